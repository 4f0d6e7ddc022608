package device_test

import (
	"errors"
	"testing"
	"time"

	"github.com/traybell/traybell/server/internal/account"
	"github.com/traybell/traybell/server/internal/desk"
	deskdevice "github.com/traybell/traybell/server/internal/desk/device"
	"github.com/traybell/traybell/server/internal/device"
	"github.com/traybell/traybell/server/internal/store"
	"github.com/traybell/traybell/server/internal/store/storetest"
	"github.com/traybell/traybell/shared/api"
	"github.com/traybell/traybell/shared/link"
)

// A computer with two people, each linked to an account of their own, and a stranger.
func TestOwnersSeeTheirDeviceAndNobodyElseOnIt(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *store.Store) {
		ctx := t.Context()
		f := setup(t, s)
		actor := map[string]desk.Actor{}
		for _, name := range []string{"lucia", "carla", "dario"} {
			a := account.Account{ID: account.ID(name), Organization: "o1", Email: name + "@rossi.it", Name: name, Language: "en", Role: account.Requester, CreatedAt: f.now, Version: 1}
			if err := s.Write(ctx, func(tx store.Tx) error { return tx.InsertAccount(a) }); err != nil {
				t.Fatal(err)
			}
			actor[name] = desk.Of(a, desk.ViaPortal, "192.0.2.1")
		}
		enrolled, err := f.Enrol(ctx, request(f.key(t, deskdevice.NewKey{}), "PC-114"), "192.0.2.114")
		if err != nil {
			t.Fatal(err)
		}
		pc := device.ID(enrolled.Device)
		if _, err := f.LinkUp(ctx, pc, link.Facts{Hostname: "PC-114", Users: []link.User{{ID: "1001", Name: "lucia"}, {ID: "1002", Name: "carla"}}}, "192.0.2.114"); err != nil {
			t.Fatal(err)
		}
		links := func(name, uid string) device.Owner {
			t.Helper()
			w, code, err := f.StartOwner(ctx, actor[name])
			if err != nil {
				t.Fatal(err)
			}
			claim := api.OwnerClaim{Code: code, UserID: uid, User: name}
			if o, err := f.LookOwner(ctx, pc, claim); err != nil || o.Email != name+"@rossi.it" {
				t.Fatalf("looked at %+v, %v", o, err)
			}
			if _, err := f.ConfirmOwner(ctx, actor[name], w.ID); !errors.Is(err, device.ErrNotClaimed) {
				t.Errorf("confirmed before the person at the computer did: %v", err)
			}
			if _, err := f.ClaimOwner(ctx, pc, claim); err != nil {
				t.Fatal(err)
			}
			if _, err := f.Get(ctx, actor[name], pc); !errors.Is(err, desk.ErrNotFound) {
				t.Errorf("seen before it was confirmed in the portal: %v", err)
			}
			if _, err := f.ConfirmOwner(ctx, actor["dario"], w.ID); !errors.Is(err, desk.ErrNotFound) {
				t.Errorf("confirmed by another account: %v", err)
			}
			if _, err := f.ConfirmOwner(ctx, actor[name], w.ID); err != nil {
				t.Fatal(err)
			}
			return w
		}
		links("lucia", "1001")
		carlas := links("carla", "1002")

		for name, user := range map[string]string{"lucia": "1001", "carla": "1002", "dario": ""} {
			list, _, err := f.List(ctx, actor[name], deskdevice.Filter{})
			d, getErr := f.Get(ctx, actor[name], pc)
			if user == "" {
				if len(list) != 0 || err != nil || !errors.Is(getErr, desk.ErrNotFound) {
					t.Errorf("a stranger sees %+v, %v, %v", list, err, getErr)
				}
				continue
			}
			if err != nil || getErr != nil || len(list) != 1 {
				t.Fatalf("%s: %d devices, %v, %v", name, len(list), err, getErr)
			}
			for _, got := range []device.Device{list[0], d} {
				if len(got.Facts.Users) != 1 || got.Facts.Users[0].ID != user || got.Address != "" {
					t.Errorf("%s sees %+v at %q", name, got.Facts.Users, got.Address)
				}
			}
		}

		// The OS user belongs to one account.
		w, code, err := f.StartOwner(ctx, actor["dario"])
		if err != nil {
			t.Fatal(err)
		}
		if _, err := f.ClaimOwner(ctx, pc, api.OwnerClaim{Code: code, UserID: "1001", User: "lucia"}); !errors.Is(err, device.ErrOwned) {
			t.Errorf("linked twice: %v", err)
		}
		// A newer code ends the one before, and guesses end soon.
		if _, _, err := f.StartOwner(ctx, actor["dario"]); err != nil {
			t.Fatal(err)
		}
		if _, err := f.ClaimOwner(ctx, pc, api.OwnerClaim{Code: code, UserID: "1003", User: "dario"}); !errors.Is(err, device.ErrCode) {
			t.Errorf("an old code: %v", err)
		}
		_ = w
		limited := false
		for range 20 {
			_, err := f.LookOwner(ctx, pc, api.OwnerClaim{Code: "AAAAA-AAAAA", UserID: "1003", User: "dario"})
			limited = limited || errors.Is(err, desk.ErrLimited)
		}
		if !limited {
			t.Error("codes can be guessed without end")
		}

		// Both sides may end it; nobody else.
		here, err := f.OwnersHere(ctx, pc)
		if err != nil || len(here) != 2 {
			t.Fatalf("%+v, %v", here, err)
		}
		if err := f.EndOwnerHere(ctx, pc, carlas.ID, "1001"); !errors.Is(err, desk.ErrNotFound) {
			t.Errorf("ended by another OS user: %v", err)
		}
		if err := f.EndOwner(ctx, actor["lucia"], carlas.ID); !errors.Is(err, desk.ErrNotFound) {
			t.Errorf("ended by another account: %v", err)
		}
		if err := f.EndOwnerHere(ctx, pc, carlas.ID, "1002"); err != nil {
			t.Fatal(err)
		}
		if _, err := f.Get(ctx, actor["carla"], pc); !errors.Is(err, desk.ErrNotFound) {
			t.Errorf("seen after the link was ended at the computer: %v", err)
		}
		mine, err := f.Owned(ctx, actor["lucia"])
		if err != nil || len(mine) != 1 {
			t.Fatalf("%+v, %v", mine, err)
		}
		f.now = f.now.Add(time.Hour)
		if err := f.EndOwner(ctx, actor["lucia"], mine[0].ID); err != nil {
			t.Fatal(err)
		}
		if list, _, err := f.List(ctx, actor["lucia"], deskdevice.Filter{}); len(list) != 0 || err != nil {
			t.Errorf("listed after the link was ended in the portal: %+v, %v", list, err)
		}
	})
}
