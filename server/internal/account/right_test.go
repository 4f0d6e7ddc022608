package account

import (
	"errors"
	"slices"
	"testing"
)

func TestRolesAreSetsOfRights(t *testing.T) {
	if got := Requester.Rights().List(); len(got) != 0 {
		t.Errorf("a requester has %v; their own needs no right", got)
	}
	if got := Administrator.Rights().List(); !slices.Equal(got, AllRights) {
		t.Errorf("an administrator has %v", got)
	}
	for _, r := range Roles {
		if !Administrator.Rights().Covers(r.Rights()) {
			t.Errorf("%s has what an administrator lacks", r)
		}
		if r != Administrator && r.Rights().Covers(Administrator.Rights()) {
			t.Errorf("%s may do all that an administrator may", r)
		}
		for _, right := range r.Rights().List() {
			if right.ServerWide() && r != Administrator {
				t.Errorf("%s has %s, which is about the whole server", r, right)
			}
		}
	}
	if Responsible.Rights().Has(TicketsWork) || Responsible.Rights().Has(SessionsStart) {
		t.Error("a responsible person works as a technician")
	}
}

func TestRightsAreASet(t *testing.T) {
	for i, r := range AllRights {
		if slices.Index(AllRights, r) != i {
			t.Errorf("%s is there twice", r)
		}
		s := RightsOf(r)
		for _, other := range AllRights {
			if s.Has(other) != (r == other) {
				t.Errorf("{%s} has %s: %v", r, other, s.Has(other))
			}
		}
		if !slices.Equal(s.List(), []Right{r}) || !s.Covers(0) || Rights(0).Covers(s) {
			t.Errorf("{%s} is %v", r, s.List())
		}
	}
	if s, err := ParseRights([]string{"tickets.all", "mail.manage"}); err != nil || s != RightsOf(MailManage, TicketsAll) {
		t.Errorf("parsed %v, %v", s.List(), err)
	}
	if _, err := ParseRights([]string{"tickets.all", "everything"}); !errors.Is(err, ErrRight) {
		t.Errorf("an unknown right: %v", err)
	}
	if Rights(1<<63).Has("everything") || RightsOf("everything") != 0 {
		t.Error("an unknown word is a right")
	}
}

func TestReach(t *testing.T) {
	if (Reach{}).Has("") || (Reach{}).Has("o1") || (Reach{Organizations: []OrganizationID{""}}).Has("") {
		t.Error("nothing reaches somewhere")
	}
	some := Reach{Organizations: []OrganizationID{"o1"}}
	if !some.Has("o1") || some.Has("o2") || !(Reach{All: true}).Has("o2") {
		t.Error("reach by organization")
	}
	if !some.HasQueue("q") || (Reach{Queues: []Queue{"q"}}).HasQueue("r") || !(Reach{Queues: []Queue{"q"}}).HasQueue("q") {
		t.Error("reach by queue")
	}
	if (Reach{All: true}).Within() != nil || (Reach{}).Within() == nil {
		t.Error("a filter takes nobody's reach for everybody's")
	}
}

func TestWhatAnAccountMay(t *testing.T) {
	limits := Limits{Organizations: []OrganizationID{"o2"}}
	own := RightsOf(TicketsAll, PeopleManage)
	for _, c := range []struct {
		name   string
		a      Account
		rights Rights
		reach  Reach
	}{
		{"requester", Account{Organization: "o1", Role: Requester}, 0, Reach{Organizations: []OrganizationID{"o1"}}},
		{"responsible", Account{Organization: "o1", Role: Responsible, Limits: limits}, Responsible.Rights(), Reach{Organizations: []OrganizationID{"o1"}}},
		{"technician", Account{Organization: "o1", Role: Technician}, Technician.Rights(), Reach{All: true}},
		{"limited technician", Account{Organization: "o1", Role: Technician, Limits: limits}, Technician.Rights(), Reach{Organizations: []OrganizationID{"o2"}}},
		{"own role", Account{Organization: "o1", Role: Technician, OwnRole: "r", OwnRights: own}, own, Reach{All: true}},
		{"own role without rights", Account{Organization: "o1", Role: Technician, OwnRole: "r"}, 0, Reach{All: true}},
		{"administrator", Account{Organization: "o1", Role: Administrator, OwnRole: "r", Limits: limits}, Administrator.Rights(), Reach{All: true}},
		{"nothing", Account{Organization: "o1"}, 0, Reach{Organizations: []OrganizationID{"o1"}}},
	} {
		rights, reach := c.a.May()
		if rights != c.rights || reach.All != c.reach.All || !slices.Equal(reach.Organizations, c.reach.Organizations) {
			t.Errorf("%s: %v in %+v, want %v in %+v", c.name, rights.List(), reach, c.rights.List(), c.reach)
		}
	}
}
