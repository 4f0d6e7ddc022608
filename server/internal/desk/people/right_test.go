package people_test

import (
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/traybell/traybell/server/internal/account"
	"github.com/traybell/traybell/server/internal/desk"
	"github.com/traybell/traybell/server/internal/desk/people"
	"github.com/traybell/traybell/server/internal/store"
	"github.com/traybell/traybell/server/internal/store/storetest"
)

// TestATechnicianIsLimited narrows a technician and lifts it again; it counts from their next request.
func TestATechnicianIsLimited(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *store.Store) {
		p, c := setup(t, s)
		boss := desk.Of(first(t, p, c).Account, desk.ViaAPI, "")
		invite := func(email string, r account.Role, organization string) account.ID {
			t.Helper()
			if _, _, err := p.Invite(t.Context(), boss, people.NewInvitation{Email: email, Role: r, Organization: organization}); err != nil {
				t.Fatal(err)
			}
			list, err := p.Accounts(t.Context(), boss)
			if err != nil {
				t.Fatal(err)
			}
			return list[slices.IndexFunc(list, func(a account.Account) bool { return a.Email == email })].ID
		}
		tech, lucia := invite("tech@rossi.it", account.Technician, ""), invite("lucia@verdi.it", account.Requester, "Verdi")
		invite("nero@neri.it", account.Requester, "Neri")
		_, secret, err := p.CreateTokenFor(t.Context(), desk.System(), "tech@rossi.it", "t", 0)
		if err != nil {
			t.Fatal(err)
		}
		names := func() (list []string) {
			t.Helper()
			a, err := p.ActorByToken(t.Context(), secret, "")
			if err != nil {
				t.Fatal(err)
			}
			all, err := p.Organizations(t.Context(), a)
			if err != nil {
				t.Fatal(err)
			}
			for _, o := range all {
				list = append(list, o.Name)
			}
			return list
		}
		organizations, err := p.Organizations(t.Context(), boss)
		if err != nil {
			t.Fatal(err)
		}
		verdi := organizations[slices.IndexFunc(organizations, func(o account.Organization) bool { return o.Name == "Verdi" })]
		if got := names(); len(got) != 3 {
			t.Fatalf("before: %v", got)
		}
		if err := p.Limit(t.Context(), boss, tech, []account.OrganizationID{verdi.ID, verdi.ID}); err != nil {
			t.Fatal(err)
		}
		if got := names(); len(got) != 2 || !slices.Contains(got, "Verdi") { // and their own
			t.Errorf("limited: %v", got)
		}
		a, err := p.ActorByToken(t.Context(), secret, "")
		if err != nil || !a.MayIn(account.TicketsWork, verdi.ID) || a.MayIn(account.TicketsWork, a.Organization) {
			t.Errorf("limited: %+v, %v", a.Reach, err)
		}
		list, err := p.Accounts(t.Context(), a)
		if err != nil || len(list) != 1 || list[0].ID != lucia {
			t.Errorf("a limited technician sees %d people, %v", len(list), err)
		}
		for name, c := range map[string]struct {
			as   desk.Actor
			who  account.ID
			to   []account.OrganizationID
			want error
		}{
			"a requester is":           {boss, lucia, nil, desk.ErrInvalid},
			"oneself is":               {boss, boss.Account, nil, desk.ErrInvalid},
			"nobody is":                {boss, "nobody", nil, desk.ErrNotFound},
			"to nowhere is":            {boss, tech, []account.OrganizationID{"nowhere"}, desk.ErrNotFound},
			"a technician's own is":    {a, tech, nil, desk.ErrDenied},
			"by an API token is":       {func() desk.Actor { b := boss; b.Token = "k"; return b }(), tech, nil, desk.ErrDenied},
			"by somebody limited is":   {func() desk.Actor { b := boss; b.Reach = a.Reach; return b }(), tech, nil, desk.ErrDenied},
			"by somebody with less is": {func() desk.Actor { b := boss; b.Rights = account.RightsOf(account.PeopleManage); return b }(), tech, nil, desk.ErrDenied},
		} {
			if err := p.Limit(t.Context(), c.as, c.who, c.to); !errors.Is(err, c.want) {
				t.Errorf("limiting %s answered with %v, want %v", name, err, c.want)
			}
		}
		if err := p.Limit(t.Context(), boss, tech, nil); err != nil {
			t.Fatal(err)
		}
		if got := names(); len(got) != 3 {
			t.Errorf("lifted: %v", got)
		}
	})
}

// TestATokenHasAPartOfItsMakersRights makes narrow tokens and shows that none outlives its maker's rights.
func TestATokenHasAPartOfItsMakersRights(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *store.Store) {
		p, c := setup(t, s)
		boss := desk.Of(first(t, p, c).Account, desk.ViaAPI, "")
		by := func(n people.NewToken) desk.Actor {
			t.Helper()
			_, secret, err := p.CreateNarrowToken(t.Context(), boss, n)
			if err != nil {
				t.Fatal(err)
			}
			a, err := p.ActorByToken(t.Context(), secret, "")
			if err != nil {
				t.Fatal(err)
			}
			return a
		}
		all := by(people.NewToken{Name: "all", Rights: boss.Rights})
		if all.Rights != account.TokenRights || all.Token == "" {
			t.Errorf("a token with everything has %v", all.Rights.List())
		}
		some := by(people.NewToken{Name: "some", Rights: account.RightsOf(account.DevicesView, account.TokensManage)})
		if some.Rights != account.RightsOf(account.DevicesView) {
			t.Errorf("a narrow token has %v", some.Rights.List())
		}
		if none := by(people.NewToken{Name: "none"}); none.Rights != 0 {
			t.Errorf("a token without rights has %v", none.Rights.List())
		}
		for _, a := range []desk.Actor{all, some} {
			if _, _, err := p.CreateNarrowToken(t.Context(), a, people.NewToken{Name: "more"}); !errors.Is(err, desk.ErrDenied) {
				t.Errorf("a token makes a token: %v", err)
			}
			if _, _, err := p.Invite(t.Context(), a, people.NewInvitation{Email: "x@rossi.it", Role: account.Technician}); !errors.Is(err, desk.ErrDenied) {
				t.Errorf("a token makes a technician: %v", err)
			}
		}
		if _, _, err := p.Invite(t.Context(), all, people.NewInvitation{Email: "x@verdi.it", Role: account.Requester}); err != nil {
			t.Errorf("a token of an administrator invites a requester: %v", err)
		}
		narrow := boss
		narrow.Rights = account.RightsOf(account.TicketsAll, account.TokensManage)
		k, _, err := p.CreateNarrowToken(t.Context(), narrow, people.NewToken{Name: "more", Rights: account.RightsOf(account.TicketsAll, account.AuditView)})
		if err != nil || k.Rights != account.RightsOf(account.TicketsAll) {
			t.Errorf("somebody gives a token a right that they lack: %v, %v", k.Rights.List(), err)
		}
		narrow.Rights = account.RightsOf(account.TicketsAll)
		if _, _, err := p.CreateNarrowToken(t.Context(), narrow, people.NewToken{Name: "x"}); !errors.Is(err, desk.ErrDenied) {
			t.Errorf("somebody without the right makes a token: %v", err)
		}
		for _, life := range []time.Duration{-1, account.MaxTokenLife + 1} {
			if _, _, err := p.CreateNarrowToken(t.Context(), boss, people.NewToken{Name: "x", Life: life}); !errors.Is(err, desk.ErrInvalid) {
				t.Errorf("a life of %v: %v", life, err)
			}
		}
		list, err := p.Tokens(t.Context(), boss)
		if err != nil || len(list) != 4 || !slices.ContainsFunc(list, func(k account.Token) bool {
			return k.Name == "some" && k.Rights == account.RightsOf(account.DevicesView)
		}) {
			t.Errorf("%d tokens, %v", len(list), err)
		}
	})
}
