package ticket

import (
	"errors"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/traybell/traybell/shared/api"
)

var now = time.Date(2026, 11, 22, 9, 0, 0, 0, time.UTC)

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
