package ticket_test

import (
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/traybell/traybell/server/internal/blob"
	"github.com/traybell/traybell/server/internal/desk"
	deskticket "github.com/traybell/traybell/server/internal/desk/ticket"
	"github.com/traybell/traybell/server/internal/store/storetest"
)

// TestOneDeviceDoesNotFloodTheDesk files more tickets than a device may: what is refused is filed later as it was,
// what was filed is answered again without a count.
func TestOneDeviceDoesNotFloodTheDesk(t *testing.T) {
	f := setup(t, storetest.SQLite(t))
	now := time.Date(2026, 11, 22, 9, 0, 0, 0, time.UTC)
	blobs, err := blob.Open(filepath.Join(t.TempDir(), "blobs"))
	if err != nil {
		t.Fatal(err)
	}
	d := deskticket.New(deskticket.Options{Options: desk.Options{Store: f.s, Logger: slog.New(slog.DiscardHandler), Now: func() time.Time { return now }}, Blobs: blobs})
	first := filed("0")
	for i := range deskticket.DeviceBurst {
		in := first
		if i > 0 {
			in = filed(fmt.Sprint(i))
		}
		if _, err := d.FileFromDevice(t.Context(), dev, in); err != nil {
			t.Fatal(i, err)
		}
	}
	late := filed("late")
	_, err = d.FileFromDevice(t.Context(), dev, late)
	var e *desk.Error
	if !errors.Is(err, desk.ErrLimited) || !errors.As(err, &e) || e.After != 10*time.Second {
		t.Fatalf("one more: %v", err)
	}
	if _, err := d.FileFromDevice(t.Context(), dev, first); err != nil {
		t.Errorf("what was filed is not answered again: %v", err)
	}
	now = now.Add(10 * time.Second)
	if _, err := d.FileFromDevice(t.Context(), dev, late); err != nil {
		t.Errorf("later: %v", err)
	}
	if _, err := d.FileFromDevice(t.Context(), dev, filed("more")); !errors.Is(err, desk.ErrLimited) {
		t.Errorf("two in one interval: %v", err)
	}
}

// TestOneAccountDoesNotFillTheDisk uploads until it is told to wait; another account is not held up.
func TestOneAccountDoesNotFillTheDisk(t *testing.T) {
	f := setup(t, storetest.SQLite(t))
	k, err := f.Create(t.Context(), f.lucia, deskticket.Draft{Title: "Printer"})
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	for ; n < 300; n++ {
		if _, err = f.Attach(t.Context(), f.lucia, k.ID, "a.txt", "text/plain", strings.NewReader(fmt.Sprint(n))); err != nil {
			break
		}
	}
	if !errors.Is(err, desk.ErrLimited) || n < 100 {
		t.Errorf("after %d files: %v", n, err)
	}
	if _, err := f.Attach(t.Context(), f.tech, k.ID, "a.txt", "text/plain", strings.NewReader("x")); err != nil {
		t.Errorf("somebody else: %v", err)
	}
}
