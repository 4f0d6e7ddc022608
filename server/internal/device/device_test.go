package device

import (
	"crypto/ed25519"
	"crypto/rand"
	"strings"
	"testing"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/traybell/traybell/shared/api"
	"github.com/traybell/traybell/shared/link"
)

func TestEnrolmentKeyChecks(t *testing.T) {
	now := time.Now()
	good := EnrolmentKey{Uses: 2, Used: 1, ExpiresAt: now.Add(1)}
	used, expired, revoked := good, good, good
	used.Used = 2
	expired.ExpiresAt = now
	revoked.RevokedAt = now
	for _, c := range []struct {
		k    EnrolmentKey
		want error
	}{{good, nil}, {used, ErrKeyUsed}, {expired, ErrKeyExpired}, {revoked, ErrKeyUnknown}} {
		if got := c.k.Check(now); got != c.want {
			t.Errorf("%+v: %v, want %v", c.k, got, c.want)
		}
	}
}

func TestProofNeedsBothKeys(t *testing.T) {
	lp, lk, _ := ed25519.GenerateKey(rand.Reader)
	gp, gk, _ := ed25519.GenerateKey(rand.Reader)
	now := time.Now()
	make := func(change func(*api.EnrolRequest)) api.EnrolRequest {
		r := api.EnrolRequest{Key: "k", Device: api.NewID(now), LinkKey: lp, GrantKey: gp}
		msg := api.EnrolProof(r.Key, r.Device, r.LinkKey, r.GrantKey)
		r.Proof = append(ed25519.Sign(lk, msg), ed25519.Sign(gk, msg)...)
		change(&r)
		return r
	}
	if err := CheckProof(make(func(*api.EnrolRequest) {})); err != nil {
		t.Fatal(err)
	}
	for name, change := range map[string]func(*api.EnrolRequest){
		"another device":       func(r *api.EnrolRequest) { r.Device = api.NewID(now.Add(time.Second)) },
		"another key":          func(r *api.EnrolRequest) { r.Key = "x" },
		"no grant signature":   func(r *api.EnrolRequest) { r.Proof = r.Proof[:64] },
		"signatures swapped":   func(r *api.EnrolRequest) { r.Proof = append(append([]byte{}, r.Proof[64:]...), r.Proof[:64]...) },
		"one key for both":     func(r *api.EnrolRequest) { r.GrantKey = r.LinkKey },
		"no id":                func(r *api.EnrolRequest) { r.Device = "x" },
		"a key that is no key": func(r *api.EnrolRequest) { r.LinkKey = nil },
	} {
		if err := CheckProof(make(change)); err != ErrProof {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func FuzzClean(f *testing.F) {
	f.Add("PC-114", "lucia")
	f.Add("\u202egnp.exe\x00", strings.Repeat("x", 1000))
	f.Fuzz(func(t *testing.T, host, user string) {
		users := make([]link.User, 100)
		users[0].Name = user
		c := Clean(link.Facts{Hostname: host, Addresses: []string{user}, Users: users})
		for _, s := range []string{c.Hostname, c.Addresses[0], c.Users[0].Name, NameFor(c, "01a20281-b491-75ae-aea0-5b4d6f381fd0")} {
			if !utf8.ValidString(s) || utf8.RuneCountInString(s) > maxText || strings.ContainsFunc(s, func(r rune) bool { return unicode.IsControl(r) || unicode.Is(unicode.Bidi_Control, r) }) {
				t.Errorf("%q was let through", s)
			}
		}
		if len(c.Users) > maxList || NameFor(c, "01a20281-b491-75ae-aea0-5b4d6f381fd0") == "" {
			t.Errorf("%d users, name %q", len(c.Users), NameFor(c, "01a20281-b491-75ae-aea0-5b4d6f381fd0"))
		}
	})
}
