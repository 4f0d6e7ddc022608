package enrol

import (
	"context"
	"crypto/ed25519"
	"errors"
	"testing"
	"time"

	"github.com/traybell/traybell/agent/internal/keystore"
	"github.com/traybell/traybell/shared/api"
)

// TestFailedEnrolmentUsesUpNothing asks a server that is not there twice: the second attempt must be
// the same request, so that a server that has heard the first gives the same answer.
func TestFailedEnrolmentUsesUpNothing(t *testing.T) {
	pub, _, err := ed25519.GenerateKey(nil)
	if err != nil {
		t.Fatal(err)
	}
	o := Options{State: t.TempDir(), Machine: "m", Now: time.Now(), Key: api.EnrolmentKey{
		URL: "https://127.0.0.1:1", Identity: pub, CA: make([]byte, 32), TLS: api.TLSPinned, ID: "k1", Secret: make([]byte, 32)}}
	if _, err := Enrol(context.Background(), o); err == nil {
		t.Fatal("enrolled without a server")
	}
	first, err := keystore.Load(o.State, "m")
	if err != nil || first.Enrolled {
		t.Fatalf("got %+v, %v, want keys that are not enrolled", first, err)
	}
	if _, err := Enrol(context.Background(), o); err == nil {
		t.Fatal("enrolled without a server")
	}
	again, err := keystore.Load(o.State, "m")
	if err != nil || again.Device != first.Device || !again.LinkKey.Equal(first.LinkKey) || !again.GrantKey.Equal(first.GrantKey) {
		t.Error("the second attempt is another device")
	}
	o.Key.ID = "k2"
	Enrol(context.Background(), o)
	if other, err := keystore.Load(o.State, "m"); err != nil || other.Device == first.Device {
		t.Errorf("another key goes on with the first one's device (%v)", err)
	}
}

func TestEnrolledComputerStaysWhatItIs(t *testing.T) {
	pub, _, _ := ed25519.GenerateKey(nil)
	o := Options{State: t.TempDir(), Machine: "m", Now: time.Now(), Key: api.EnrolmentKey{
		URL: "https://127.0.0.1:1", Identity: pub, CA: make([]byte, 32), TLS: api.TLSPinned, ID: "k2", Secret: make([]byte, 32)}}
	id, err := keystore.New("device", keystore.Server{URL: "https://other"}, "k1")
	if err != nil {
		t.Fatal(err)
	}
	id.Enrolled = true
	if err := keystore.Save(o.State, "m", id); err != nil {
		t.Fatal(err)
	}
	if _, err := Enrol(context.Background(), o); !errors.Is(err, ErrEnrolled) {
		t.Errorf("got %v, want %v", err, ErrEnrolled)
	}
	o.Replace = true
	if _, err := Enrol(context.Background(), o); err == nil {
		t.Error("enrolled anew without a server")
	}
	if got, err := keystore.Load(o.State, "m"); err != nil || got.Device != "device" || !got.Enrolled {
		t.Errorf("a failed attempt has changed it: %+v, %v", got, err)
	}
}
