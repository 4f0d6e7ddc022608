// Package device holds the rules about devices and the keys that bring them in: what a device may
// report of itself, when an enrolment key still works, and what a name looks like.
//
// It is pure: values and the time go in, a value or a named error comes out. The desk calls it; edges
// use its types.
package device

import (
	"crypto/ed25519"
	"errors"
	"slices"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/traybell/traybell/server/internal/account"
	"github.com/traybell/traybell/shared/api"
	"github.com/traybell/traybell/shared/link"
)

// ID is the id of a device, a UUIDv7 that the device made when it enrolled.
type ID string

// Errors of this package.
var (
	ErrKeyUnknown = errors.New("this enrolment key is unknown or was withdrawn; make a new one in the portal")
	ErrKeyExpired = errors.New("this enrolment key has expired; make a new one in the portal")
	ErrKeyUsed    = errors.New("this enrolment key was used as often as it may be; make a new one in the portal")
	ErrKeyUses    = errors.New("an enrolment key works for 1 to 100000 devices and for 1 minute to 1 year")
	ErrProof      = errors.New("the device could not prove that it holds its keys")
	ErrName       = errors.New("a device's name has 1 to 100 characters on one line")
	ErrRemoved    = errors.New("this device was removed; enrol it again")
)

// Bounds.
const (
	MaxName     = 100
	maxText     = 200 // characters of one reported value
	maxList     = 64  // entries of one reported list
	DefaultUses = 1
	DefaultLife = 24 * time.Hour
)

// Device is a computer that has enrolled.
type Device struct {
	ID               ID
	Organization     account.OrganizationID
	OrganizationName string
	Name             string
	LinkKey          ed25519.PublicKey // proves the link
	GrantKey         ed25519.PublicKey // signs grants and ledger heads
	Facts            link.Facts
	EnrolledAt       time.Time
	EnrolmentKey     string // id of the key that brought it in
	Online           bool
	Epoch            int64     // of its newest link; rises with each
	SeenAt           time.Time // its link came up, or went down
	Address          string    // network address of its newest link
	RemovedAt        time.Time // zero: enrolled
	Version          int64
}

// Can reports whether the device says that it can do the named thing now (desktop, control, terminal).
func (d Device) Can(what string) bool { return slices.Contains(d.Facts.Can, what) }

// EnrolmentKey lets devices enrol into one organization.
type EnrolmentKey struct {
	ID           string
	Organization account.OrganizationID
	TLS          string // api.TLSPinned or api.TLSProxy
	Uses         int    // how many devices it may bring in
	Used         int
	MadeBy       account.ID // empty: made on the server's command line
	CreatedAt    time.Time
	ExpiresAt    time.Time
	RevokedAt    time.Time // zero: not revoked
}

// Check reports why the key brings in no further device now, or nil.
func (k EnrolmentKey) Check(now time.Time) error {
	switch {
	case !k.RevokedAt.IsZero():
		return ErrKeyUnknown
	case !now.Before(k.ExpiresAt):
		return ErrKeyExpired
	case k.Used >= k.Uses:
		return ErrKeyUsed
	}
	return nil
}

// CheckKeyBounds checks what somebody asks of a new enrolment key.
func CheckKeyBounds(uses int, life time.Duration) error {
	if uses < 1 || uses > 100_000 || life < time.Minute || life > 366*24*time.Hour {
		return ErrKeyUses
	}
	return nil
}

// CheckProof verifies that the caller holds both keys it wants to register: the signatures of the
// link key and the grant key over api.EnrolProof, one after the other.
func CheckProof(r api.EnrolRequest) error {
	if !api.ValidID(r.Device) || len(r.LinkKey) != ed25519.PublicKeySize || len(r.GrantKey) != ed25519.PublicKeySize ||
		len(r.Proof) != 2*ed25519.SignatureSize || r.LinkKey.Equal(r.GrantKey) {
		return ErrProof
	}
	msg := api.EnrolProof(r.Key, r.Device, r.LinkKey, r.GrantKey)
	if !ed25519.Verify(r.LinkKey, msg, r.Proof[:ed25519.SignatureSize]) || !ed25519.Verify(r.GrantKey, msg, r.Proof[ed25519.SignatureSize:]) {
		return ErrProof
	}
	return nil
}

// CheckName returns a device's name without surrounding space.
func CheckName(s string) (string, error) {
	s = strings.TrimSpace(s)
	if s == "" || !utf8.ValidString(s) || utf8.RuneCountInString(s) > MaxName || strings.ContainsFunc(s, unicode.IsControl) {
		return "", ErrName
	}
	return s, nil
}

// Clean cuts what a device reports to its bounds and drops control characters: the values are shown to
// people and come from a machine that may be hostile.
func Clean(f link.Facts) link.Facts {
	for _, s := range []*string{&f.Hostname, &f.OS, &f.OSName, &f.Arch, &f.Agent, &f.MachineID, &f.OSID, &f.OSVersion, &f.OSBuild, &f.CPU, &f.Restart} {
		*s = clean(*s)
	}
	for _, n := range []*int64{&f.MemoryMB, &f.DiskMB, &f.FreeMB, &f.BootAt} {
		*n = max(0, *n)
	}
	f.CPUs = min(max(0, f.CPUs), 1<<16)
	if f.Restart != "yes" && f.Restart != "no" {
		f.Restart = ""
	}
	f.Disks = slices.Clone(f.Disks[:min(len(f.Disks), maxList)])
	for i := range f.Disks {
		d := &f.Disks[i]
		d.Path, d.SizeMB = clean(d.Path), max(0, d.SizeMB)
		d.FreeMB = min(max(0, d.FreeMB), d.SizeMB)
	}
	f.Addresses = cleanList(f.Addresses)
	f.Can = cleanList(f.Can)
	f.Cannot = cleanList(f.Cannot)
	f.Users = slices.Clone(f.Users[:min(len(f.Users), maxList)])
	for i := range f.Users {
		u := &f.Users[i]
		for _, s := range []*string{&u.ID, &u.Name, &u.Display, &u.State, &u.Desktop} {
			*s = clean(*s)
		}
	}
	return f
}

// NameFor is the name a device gets when it enrols: its host name, or a part of its id.
func NameFor(f link.Facts, id ID) string {
	if n, err := CheckName(clean(f.Hostname)); err == nil {
		return n
	}
	return "device-" + string(id[len(id)-6:])
}

func cleanList(in []string) []string {
	out := slices.Clone(in[:min(len(in), maxList)])
	for i := range out {
		out[i] = clean(out[i])
	}
	return out
}

func clean(s string) string {
	s = strings.Map(func(r rune) rune {
		if r == utf8.RuneError || unicode.IsControl(r) || unicode.Is(unicode.Bidi_Control, r) {
			return -1
		}
		return r
	}, s)
	if utf8.RuneCountInString(s) > maxText {
		s = string([]rune(s)[:maxText])
	}
	return s
}
