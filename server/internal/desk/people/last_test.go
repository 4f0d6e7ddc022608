package people_test

import (
	"errors"
	"testing"

	"github.com/traybell/traybell/server/internal/account"
	"github.com/traybell/traybell/server/internal/desk"
	"github.com/traybell/traybell/server/internal/servertest"
)

// The server itself may change any account, so that here nothing but the guard keeps the last administrator. It counts
// those who can sign in: not who is disabled or only invited.
func TestLastAdministratorIsKept(t *testing.T) {
	s := servertest.Start(t)
	first := s.Administrator(t).Account.ID
	second := s.Person(t, account.Administrator, "second@rossi.it", "").Account.ID
	s.Person(t, account.Technician, "t@rossi.it", "")
	ctx := t.Context()
	if err := s.People.Disable(ctx, desk.System(), second); err != nil {
		t.Fatalf("one of two: %v", err)
	}
	refused := func(what string, err error) {
		t.Helper()
		var e *desk.Error
		if !errors.As(err, &e) || e.Code != "last_administrator" {
			t.Errorf("%s: got %v, want last_administrator", what, err)
		}
	}
	refused("disable", s.People.Disable(ctx, desk.System(), first))
	refused("forget", s.People.Forget(ctx, desk.System(), first))
	refused("role", s.People.ChangeRole(ctx, desk.System(), first, account.Technician))
	if v, err := s.People.Member(ctx, desk.System(), first); err != nil || v.Disabled || v.Role != account.Administrator || v.Name == "" {
		t.Errorf("after the refusals: %+v, %v", v.Account, err)
	}
	if err := s.People.Enable(ctx, desk.System(), second); err != nil {
		t.Fatal(err)
	}
	if err := s.People.Disable(ctx, desk.System(), first); err != nil {
		t.Errorf("one of two again: %v", err)
	}
}
