package device_test

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"log/slog"
	"sync/atomic"
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

func TestMain(m *testing.M) { storetest.Main(m) }

type fixture struct {
	*deskdevice.Devices
	now time.Time
}

func setup(t testing.TB, s *store.Store) *fixture {
	t.Helper()
	f := &fixture{now: time.Date(2026, 11, 22, 9, 0, 0, 0, time.UTC)}
	pub, _, _ := ed25519.GenerateKey(rand.Reader)
	f.Devices = deskdevice.New(deskdevice.Options{Options: desk.Options{Store: s, Logger: slog.New(slog.DiscardHandler), Now: func() time.Time { return f.now }},
		Identity: pub, URL: "https://localhost:8443", CA: make([]byte, 32), Secret: []byte("0123456789abcdef0123456789abcdef")})
	if err := s.Write(t.Context(), func(tx store.Tx) error {
		return tx.InsertOrganization(account.Organization{ID: "o1", Name: "Rossi IT", Provider: true, SupportPhone: "051"})
	}); err != nil {
		t.Fatal(err)
	}
	return f
}

func (f *fixture) key(t testing.TB, n deskdevice.NewKey) api.EnrolmentKey {
	t.Helper()
	key, _, err := f.CreateEnrolmentKey(t.Context(), desk.System(), n)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func request(key api.EnrolmentKey, host string) api.EnrolRequest {
	lp, lk, _ := ed25519.GenerateKey(rand.Reader)
	gp, gk, _ := ed25519.GenerateKey(rand.Reader)
	r := api.EnrolRequest{Key: key.ID, Secret: key.Secret, Device: api.NewID(time.Now()), LinkKey: lp, GrantKey: gp, Facts: link.Facts{Hostname: host}}
	r.Proof = enrolProof(r, lk, gk)
	return r
}

func enrolProof(r api.EnrolRequest, lk, gk ed25519.PrivateKey) []byte {
	msg := api.EnrolProof(r.Key, r.Device, r.LinkKey, r.GrantKey)
	return append(ed25519.Sign(lk, msg), ed25519.Sign(gk, msg)...)
}

func TestEnrolmentKeysAreCounted(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *store.Store) {
		f := setup(t, s)
		key := f.key(t, deskdevice.NewKey{Uses: 2, Organization: "Studio Verdi"})
		if again, err := api.ParseEnrolmentKey(key.String()); err != nil || again.ID != key.ID {
			t.Fatal(again, err)
		}
		first := request(key, "PC-1")
		for range 3 {
			if r, err := f.Enrol(t.Context(), first, "::1"); err != nil || r.Organization != "Studio Verdi" || r.Name != "PC-1" {
				t.Fatal(r, err)
			}
		}
		if _, err := f.Enrol(t.Context(), request(key, "PC-2"), "::1"); err != nil {
			t.Fatal(err)
		}
		if _, err := f.Enrol(t.Context(), request(key, "PC-3"), "::1"); !errors.Is(err, device.ErrKeyUsed) {
			t.Errorf("a third device: %v", err)
		}
		// A key gives no right over a device that has enrolled.
		other := f.key(t, deskdevice.NewKey{})
		steal := request(other, "thief")
		steal.Device = first.Device
		if _, err := f.Enrol(t.Context(), steal, "::1"); err == nil {
			t.Error("another key took a device over")
		}
		old := f.key(t, deskdevice.NewKey{Life: time.Hour})
		f.now = f.now.Add(time.Hour)
		if _, err := f.Enrol(t.Context(), request(old, "PC-4"), "::1"); !errors.Is(err, device.ErrKeyExpired) {
			t.Errorf("an expired key: %v", err)
		}
		gone := f.key(t, deskdevice.NewKey{})
		if err := f.RevokeEnrolmentKey(t.Context(), desk.System(), gone.ID); err != nil {
			t.Fatal(err)
		}
		if _, err := f.Enrol(t.Context(), request(gone, "PC-5"), "::1"); !errors.Is(err, device.ErrKeyUnknown) {
			t.Errorf("a revoked key: %v", err)
		}
		if _, _, err := f.CreateEnrolmentKey(t.Context(), desk.Of(account.Account{ID: "a", Role: account.Technician}, desk.ViaPortal, ""), deskdevice.NewKey{}); !errors.Is(err, desk.ErrDenied) {
			t.Errorf("a technician makes keys: %v", err)
		}
		if _, _, err := f.CreateEnrolmentKey(t.Context(), desk.System(), deskdevice.NewKey{Uses: -1}); !errors.Is(err, device.ErrKeyUses) {
			t.Errorf("a key for -1 devices: %v", err)
		}
	})
}

func enrolled(t *testing.T, f *fixture) (device.ID, link.Welcome) {
	t.Helper()
	r := request(f.key(t, deskdevice.NewKey{}), "PC-1")
	if _, err := f.Enrol(t.Context(), r, "::1"); err != nil {
		t.Fatal(err)
	}
	w, err := f.LinkUp(t.Context(), device.ID(r.Device), link.Facts{Hostname: "PC-1"}, "::2")
	if err != nil {
		t.Fatal(err)
	}
	return device.ID(r.Device), w
}

func TestDeviceToken(t *testing.T) {
	f := setup(t, storetest.SQLite(t))
	id, w := enrolled(t, f)
	if got, err := f.ByToken(t.Context(), w.Token); got != id || err != nil {
		t.Fatal(got, err)
	}
	raw, err := base64.RawURLEncoding.DecodeString(w.Token)
	if err != nil {
		t.Fatal(err)
	}
	for i := range raw { // not one bit of it may change
		changed := append([]byte{}, raw...)
		changed[i] ^= 1
		if _, err := f.ByToken(t.Context(), base64.RawURLEncoding.EncodeToString(changed)); !errors.Is(err, desk.ErrDenied) {
			t.Fatalf("byte %d was changed: %v", i, err)
		}
	}
	f.now = f.now.Add(deskdevice.TokenLife)
	if _, err := f.ByToken(t.Context(), w.Token); !errors.Is(err, desk.ErrDenied) {
		t.Errorf("expired: %v", err)
	}
	f.now = f.now.Add(-time.Hour)
	if err := f.Remove(t.Context(), desk.System(), id); err != nil {
		t.Fatal(err)
	}
	if _, err := f.ByToken(t.Context(), w.Token); !errors.Is(err, desk.ErrDenied) {
		t.Errorf("of a removed device: %v", err)
	}
	if _, err := f.LinkKey(t.Context(), id); !errors.Is(err, device.ErrRemoved) {
		t.Errorf("link key of a removed device: %v", err)
	}
}

func FuzzDeviceToken(f *testing.F) {
	d := setup(f, storetest.SQLite(f))
	f.Add("")
	f.Add(base64.RawURLEncoding.EncodeToString(make([]byte, 76)))
	f.Fuzz(func(t *testing.T, token string) {
		if id, err := d.ByToken(t.Context(), token); err == nil {
			t.Errorf("%q is %s's", token, id)
		}
	})
}

func TestLinkComesAndGoes(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *store.Store) {
		f := setup(t, s)
		id, w := enrolled(t, f)
		if w.Epoch != 1 || w.Provider != "Rossi IT" || w.SupportPhone != "051" || w.Name != "PC-1" {
			t.Errorf("%+v", w)
		}
		again, err := f.LinkUp(t.Context(), id, link.Facts{Hostname: "PC-1", OSName: "x\x00y"}, "::3")
		if err != nil || again.Epoch != 2 {
			t.Fatal(again, err)
		}
		if err := f.LinkDown(t.Context(), id, 1); err != nil {
			t.Fatal(err)
		}
		d, err := f.Get(t.Context(), desk.System(), id)
		if err != nil || !d.Online || d.Address != "::3" || d.Facts.OSName != "xy" {
			t.Errorf("%+v %v", d, err)
		}
		if err := f.AllLinksDown(t.Context()); err != nil {
			t.Fatal(err)
		}
		if d, err = f.Get(t.Context(), desk.System(), id); err != nil || d.Online {
			t.Errorf("%+v %v", d, err)
		}
		if err := f.Rename(t.Context(), desk.System(), id, "Reception"); err != nil {
			t.Fatal(err)
		}
		list, next, err := f.List(t.Context(), desk.System(), deskdevice.Filter{Query: "recep", Limit: 1})
		if err != nil || len(list) != 1 || next != "" || list[0].Name != "Reception" {
			t.Errorf("%+v %q %v", list, next, err)
		}
	})
}

func TestListPages(t *testing.T) {
	f := setup(t, storetest.SQLite(t))
	key := f.key(t, deskdevice.NewKey{Uses: 5})
	for range 5 {
		if _, err := f.Enrol(t.Context(), request(key, "the same name"), "::1"); err != nil {
			t.Fatal(err)
		}
	}
	seen := map[device.ID]bool{}
	after := ""
	for pages := 1; ; pages++ {
		list, next, err := f.List(t.Context(), desk.System(), deskdevice.Filter{After: after, Limit: 2})
		if err != nil {
			t.Fatal(err)
		}
		for _, d := range list {
			seen[d.ID] = true
		}
		if after = next; after == "" {
			if pages != 3 || len(seen) != 5 {
				t.Errorf("%d devices on %d pages", len(seen), pages)
			}
			return
		}
	}
}

// BenchmarkLinkUp measures how many links a second can be noted durably when all devices come back at once.
//
//	go test ./internal/desk/device -run xxx -bench LinkUp -benchtime 3s
func BenchmarkLinkUp(b *testing.B) {
	f := setup(b, storetest.SQLite(b))
	const devices = 1000
	key := f.key(b, deskdevice.NewKey{Uses: devices})
	ids := make([]device.ID, devices)
	for i := range ids {
		r := request(key, "PC")
		if _, err := f.Enrol(b.Context(), r, "::1"); err != nil {
			b.Fatal(err)
		}
		ids[i] = device.ID(r.Device)
	}
	var next atomic.Int64
	b.SetParallelism(32)
	b.ResetTimer()
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			id := ids[next.Add(1)%devices]
			if _, err := f.LinkUp(context.Background(), id, link.Facts{Hostname: "PC", OS: "linux", OSName: "Debian GNU/Linux 12", MachineID: string(id)}, "127.0.0.1"); err != nil {
				b.Error(err)
			}
		}
	})
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "links/s")
}
