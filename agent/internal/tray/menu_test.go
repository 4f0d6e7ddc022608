package tray

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/traybell/traybell/agent/internal/localapi"
	"github.com/traybell/traybell/shared/catalogue"
)

var noon = time.Date(2026, 11, 22, 12, 0, 0, 0, time.Local)

func lines(items []Item) []string {
	var out []string
	for _, i := range items {
		switch {
		case i.Title == "":
			out = append(out, "-")
		case i.Info:
			out = append(out, "("+i.Title+")")
		default:
			out = append(out, i.Title)
		}
		for _, sub := range lines(i.Items) {
			out = append(out, "  "+sub)
		}
	}
	return out
}

func TestMenu(t *testing.T) {
	link := []string{"Link this PC to my account…"}
	rest := []string{"Status, what this computer reports, help", "About"}
	access := func(state string) []string {
		return []string{"Remote access", "  (" + state + ")", "  Change or end…", "  Who was on this computer"}
	}
	ready := localapi.Status{State: localapi.StateReady, Organization: "Studio Verdi"}
	with := func(change func(*localapi.Status)) *localapi.Status { st := ready; change(&st); return &st }
	for _, tt := range []struct {
		name  string
		st    *localapi.Status
		icon  Icon
		tip   string
		lines []string
	}{
		{"the service does not answer", nil, Outline, "The Traybell service does not answer",
			slices.Concat([]string{"(The Traybell service does not answer)", "-", "Assistance request form…", "-"}, rest)},
		{"ready", &ready, Full, "Studio Verdi · ready",
			slices.Concat([]string{"(Studio Verdi · ready)", "-", "Assistance request form…", "My tickets", "-"}, access("Nobody can connect now"), link, rest)},
		{"offline, even with an answer", with(func(s *localapi.Status) { s.State, s.Answers = localapi.StateOffline, 1 }), Outline,
			"Studio Verdi · server not reached, tickets are kept",
			slices.Concat([]string{"(Studio Verdi · server not reached, tickets are kept)", "-", "Assistance request form…", "My tickets (1 new answer)", "-"}, access("Nobody can connect now"), link, rest)},
		{"answers and a telephone", with(func(s *localapi.Status) { s.Answers, s.SupportPhone = 2, "051 123 4567" }), Dot, "2 new answers to your tickets",
			slices.Concat([]string{"(Studio Verdi · ready)", "-", "Assistance request form…", "My tickets (2 new answers)", "-"}, access("Nobody can connect now"),
				[]string{"Call support: 051 123 4567"}, link, rest)},
		{"somebody sees the screen", with(func(s *localapi.Status) {
			s.Sessions = []localapi.Session{{Name: "Anna Bianchi", Sees: true}}
			s.Grants = []localapi.Grant{{Left: 5*3600 + 30*60, TicketNumber: 1042}}
		}), Eye, "Anna Bianchi can see your screen",
			slices.Concat([]string{"End remote access now (Anna Bianchi)", "(Studio Verdi · ready)", "-", "Assistance request form…", "My tickets", "-"}, access("Open until 17:30, #1042"), link, rest)},
		{"paused: nobody sees, but somebody is connected", with(func(s *localapi.Status) {
			s.Sessions = []localapi.Session{{Name: "Anna Bianchi", Sees: true, Paused: true}}
			s.Grants = []localapi.Grant{{Left: 60}, {Left: -1, Standing: true}}
		}), Full, "Anna Bianchi is connected to this computer",
			slices.Concat([]string{"End remote access now (Anna Bianchi)", "(Studio Verdi · ready)", "-", "Assistance request form…", "My tickets", "-"}, access("Open until you end it"), link, rest)},
		{"a question waits", with(func(s *localapi.Status) { s.Waiting = []localapi.Consent{{Session: "s", Name: "Anna Bianchi"}} }), Full, "Studio Verdi · ready",
			slices.Concat([]string{"Answer Anna Bianchi's question…", "(Studio Verdi · ready)", "-", "Assistance request form…", "My tickets", "-"}, access("Nobody can connect now"), link, rest)},
		{"under the organization's own title", with(func(s *localapi.Status) { s.TrayTitle = "Verdi Help" }), Full, "Verdi Help · ready",
			slices.Concat([]string{"(Verdi Help · ready)", "-", "Assistance request form…", "My tickets", "-"}, access("Nobody can connect now"), link, rest)},
		{"not enrolled", &localapi.Status{State: localapi.StateUnenrolled}, Outline, "This computer belongs to no organization yet",
			slices.Concat([]string{"(This computer belongs to no organization yet)", "-", "Assistance request form…", "My tickets", "-"}, access("Nobody can connect now"), rest)},
	} {
		t.Run(tt.name, func(t *testing.T) {
			v := Menu(catalogue.For("en"), tt.st, noon)
			if v.Icon != tt.icon || v.Tip != tt.tip {
				t.Errorf("icon %d %q, want %d %q", v.Icon, v.Tip, tt.icon, tt.tip)
			}
			if got := lines(v.Items); !slices.Equal(got, tt.lines) {
				t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(tt.lines, "\n"))
			}
		})
	}
}

// The adapter makes its entries once, in one order; every menu must be a part of it.
func TestEveryMenuKeepsTheAdaptersOrder(t *testing.T) {
	var known []string
	for _, i := range order {
		if i.ID != "" {
			known = append(known, i.ID)
		}
	}
	for _, code := range catalogue.Languages {
		for _, st := range []*localapi.Status{nil, {State: localapi.StateReady, SupportPhone: "1", Answers: 3, Organization: "O",
			Sessions: []localapi.Session{{Name: "A", Sees: true}}, Waiting: []localapi.Consent{{Name: "B"}}}} {
			at := -1
			for _, i := range Menu(catalogue.For(code), st, noon).Items {
				if i.Title == "" {
					continue
				}
				if strings.HasPrefix(i.Title, "tray.") {
					t.Errorf("%s: no text for %s", code, i.Title)
				}
				next := slices.Index(known, i.ID)
				if next <= at {
					t.Errorf("%s: entry %q is not in the adapter's order", code, i.ID)
				}
				at = next
			}
		}
	}
}

func TestThereIsNoQuit(t *testing.T) {
	for _, i := range order {
		if i.ID == "quit" {
			t.Error("the tray can be quit")
		}
	}
}
