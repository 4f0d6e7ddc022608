package ticket

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/traybell/traybell/server/internal/account"
	"github.com/traybell/traybell/shared/api"
)

var now = time.Date(2026, 11, 22, 9, 0, 0, 0, time.UTC)

func at(s Status) Ticket {
	k := Ticket{Status: s, CreatedAt: now.Add(-time.Hour)}
	if s == Resolved || s == Closed {
		k.ResolvedAt = now.Add(-time.Minute)
	}
	if s == Closed {
		k.ClosedAt = now.Add(-time.Minute)
	}
	return k
}

// TestEveryMove walks status × status × role × whose ticket it is.
func TestEveryMove(t *testing.T) {
	for _, from := range Statuses {
		for _, to := range Statuses {
			for _, role := range account.Roles {
				for _, mine := range []bool{false, true} {
					k, err := at(from).ChangeStatus(to, "because", role.Rights(), mine, now)
					var want bool
					switch {
					case from == to:
						want = true
					case to == New: // where a ticket starts, and nowhere else
					case role.Staff():
						want = from != Resolved && from != Closed || to == Open || from == Resolved && to == Closed
					case mine:
						want = to == Closed || from == Resolved && to == Open
					}
					if (err == nil) != want {
						t.Errorf("%s → %s by %s, theirs %v: %v, want allowed %v", from, to, role, mine, err, want)
					}
					if err != nil {
						if k.Status != from {
							t.Errorf("%s → %s was refused and done", from, to)
						}
						continue
					}
					if (k.Status == Resolved || k.Status == Closed) != !k.ResolvedAt.IsZero() || (k.Status == Closed) != !k.ClosedAt.IsZero() {
						t.Errorf("%s → %s: resolved at %v, closed at %v", from, to, k.ResolvedAt, k.ClosedAt)
					}
				}
			}
		}
	}
}

func TestPausedNeedsAReasonAndForgetsIt(t *testing.T) {
	if _, err := at(Open).ChangeStatus(Paused, " ", account.Technician.Rights(), false, now); !errors.Is(err, ErrReason) {
		t.Errorf("got %v", err)
	}
	k, err := at(Open).ChangeStatus(Paused, "spare part", account.Technician.Rights(), false, now)
	if err != nil || k.Reason != "spare part" {
		t.Fatal(k.Reason, err)
	}
	if k, err = k.ChangeStatus(Open, "", account.Technician.Rights(), false, now); err != nil || k.Reason != "" {
		t.Errorf("%q %v", k.Reason, err)
	}
}

func TestAnswerMoves(t *testing.T) {
	for _, c := range []struct {
		from            Status
		staff, customer Status // after an answer of either; empty: refused
	}{
		{New, Open, New}, {Open, Open, Open}, {Waiting, Waiting, Open}, {Paused, Paused, Paused}, {Resolved, Resolved, Open}, {Closed, "", ""},
	} {
		for _, staff := range []bool{true, false} {
			want := c.customer
			if staff {
				want = c.staff
			}
			k, err := at(c.from).Answer(staff, now)
			if want == "" {
				if !errors.Is(err, ErrClosed) {
					t.Errorf("%s: %v", c.from, err)
				}
				continue
			}
			if err != nil || k.Status != want || k.CustomerLast == staff {
				t.Errorf("%s, staff %v: %s %v, want %s", c.from, staff, k.Status, err, want)
			}
		}
	}
	late := at(Resolved)
	if _, err := late.Answer(false, late.ResolvedAt.Add(ReopenWithin)); !errors.Is(err, ErrClosed) {
		t.Errorf("an answer after 14 days reopened: %v", err)
	}
	if slices.Contains(late.Moves(account.Requester.Rights(), true, late.ResolvedAt.Add(ReopenWithin)), Open) {
		t.Error("the requester may reopen after 14 days")
	}
}

func good() api.DeviceTicket {
	return api.DeviceTicket{ID: api.NewID(now), Title: "Printer", Email: "l@v.it", OSUser: "lucia", OSUserID: "1000", Files: []api.TicketFile{{Index: 0, Name: "a", Size: 1, SHA256: make([]byte, 32)}}}
}

func TestCheckDeviceTicket(t *testing.T) {
	if err := CheckDeviceTicket(good()); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name   string
		change func(*api.DeviceTicket)
		want   error
	}{
		{"no id", func(k *api.DeviceTicket) { k.ID = "1" }, ErrID},
		{"no title", func(k *api.DeviceTicket) { k.Title = " \n" }, ErrTitle},
		{"a long title", func(k *api.DeviceTicket) { k.Title = strings.Repeat("ü", 201) }, ErrTitle},
		{"no address", func(k *api.DeviceTicket) { k.Email = "lucia" }, ErrEmail},
		{"a long text", func(k *api.DeviceTicket) { k.Text = strings.Repeat("ü", 50_001) }, ErrText},
		{"a zero byte", func(k *api.DeviceTicket) { k.Text = "a\x00b" }, ErrText},
		{"broken UTF-8", func(k *api.DeviceTicket) { k.Title = "\xff" }, ErrTitle},
		{"a long name", func(k *api.DeviceTicket) { k.Name = strings.Repeat("x", 201) }, ErrContact},
		{"an unknown severity", func(k *api.DeviceTicket) { k.Severity = "urgent" }, ErrSeverity},
		{"many facts", func(k *api.DeviceTicket) { k.Facts = make([]api.Fact, 201) }, ErrFacts},
		{"a gap in the files", func(k *api.DeviceTicket) { k.Files[0].Index = 1 }, ErrFiles},
		{"a huge file", func(k *api.DeviceTicket) { k.Files[0].Size = api.MaxFileSize + 1 }, ErrFiles},
		{"no hash", func(k *api.DeviceTicket) { k.Files[0].SHA256 = nil }, ErrFiles},
		{"too many files", func(k *api.DeviceTicket) { k.Files = make([]api.TicketFile, 51) }, ErrFiles},
	} {
		k := good()
		c.change(&k)
		if got := CheckDeviceTicket(k); !errors.Is(got, c.want) {
			t.Errorf("%s: %v, want %v", c.name, got, c.want)
		}
	}
	k := good()
	k.Title, k.Text = strings.Repeat("ü", 200), strings.Repeat("😀", 50_000)
	if err := CheckDeviceTicket(k); err != nil {
		t.Errorf("as long as allowed: %v", err)
	}
}

func FuzzFileName(f *testing.F) {
	for _, s := range []string{`C:\a\b.png`, "../../etc/passwd", "\u202egnp.exe", "", "...", strings.Repeat("x", 500), "a\r\nb"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		got := FileName(s)
		if got == "" || got == "." || got == ".." || strings.ContainsAny(got, "/\\\r\n\x00\u202e") || !utf8.ValidString(got) || utf8.RuneCountInString(got) > api.MaxFileName {
			t.Errorf("%q became %q", s, got)
		}
	})
}
