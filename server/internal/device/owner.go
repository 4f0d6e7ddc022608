package device

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"strings"
	"time"

	"github.com/traybell/traybell/server/internal/account"
)

// Errors about owners.
var (
	ErrCode       = errors.New("this code is not known or has expired; make a new one in the portal")
	ErrOwned      = errors.New("another account is linked to this computer and user; end that link first")
	ErrCodeUsed   = errors.New("this code was entered on another computer already; make a new one in the portal")
	ErrNotClaimed = errors.New("nobody has entered the code on a computer yet")
	ErrElsewhere  = errors.New("this computer belongs to another organization than the account")
)

// Bounds of linking a computer to an account.
const (
	CodeLife    = 15 * time.Minute // until the code was entered
	ConfirmLife = 15 * time.Minute // from then until it was confirmed in the portal
	MaxOwned    = 50               // devices of one account
	MaxOSUser   = 200
)

// OwnerState says how far a link between account and device has come.
type OwnerState string

// The states of a link.
const (
	OwnerAsked   OwnerState = "asked"   // a code was made in the portal
	OwnerClaimed OwnerState = "claimed" // the OS user has entered and confirmed it at the computer
	OwnerLinked  OwnerState = "linked"  // confirmed in the portal too
	OwnerOver    OwnerState = "over"    // ended, or never finished
)

// Owner is the link of an account to a device as one of its OS users. It is begun in the portal by a code,
// confirmed by the OS user at the device and then in the portal; both sides may end it.
type Owner struct {
	ID           string
	Account      account.ID
	AccountName  string
	AccountEmail string
	Organization account.OrganizationID // of the account
	Device       ID                     // empty until claimed
	DeviceName   string
	UserID       string // OS user: uid or SID
	User         string // and name
	AskedAt      time.Time
	ClaimedAt    time.Time // zero: not yet
	ConfirmedAt  time.Time // zero: not yet
	EndedAt      time.Time // zero: not ended
	Version      int64
}

// State is how far the link has come.
func (o Owner) State(now time.Time) OwnerState {
	switch {
	case !o.EndedAt.IsZero():
		return OwnerOver
	case !o.ConfirmedAt.IsZero():
		return OwnerLinked
	case !o.ClaimedAt.IsZero():
		if now.Sub(o.ClaimedAt) >= ConfirmLife {
			return OwnerOver
		}
		return OwnerClaimed
	case now.Sub(o.AskedAt) >= CodeLife:
		return OwnerOver
	}
	return OwnerAsked
}

// Claim notes that an OS user has confirmed the code at a device.
func (o Owner) Claim(d Device, userID, user string, now time.Time) (Owner, error) {
	switch o.State(now) {
	case OwnerAsked:
	case OwnerClaimed, OwnerLinked:
		if o.Device == d.ID && o.UserID == userID {
			return o, nil // the answer was lost: the same again
		}
		return o, ErrCodeUsed
	default:
		return o, ErrCode
	}
	if d.Organization != o.Organization {
		return o, ErrElsewhere
	}
	userID, user = clean(userID), clean(user)
	if userID == "" || user == "" {
		return o, ErrCode
	}
	o.Device, o.DeviceName, o.UserID, o.User, o.ClaimedAt = d.ID, d.Name, userID, user, now
	return o, nil
}

// Confirm notes that the account has confirmed the computer in the portal.
func (o Owner) Confirm(now time.Time) (Owner, error) {
	switch o.State(now) {
	case OwnerLinked:
		return o, nil
	case OwnerAsked:
		return o, ErrNotClaimed
	case OwnerOver:
		return o, ErrCode
	}
	o.ConfirmedAt = now
	return o, nil
}

// End ends a link, or takes a code back.
func (o Owner) End(now time.Time) Owner {
	if o.EndedAt.IsZero() {
		o.EndedAt = now
	}
	return o
}

// codeLetters has no letters or digits that look alike.
const codeLetters = "23456789ABCDEFGHJKMNPQRSTVWXYZ"

// NewCode makes a code that a person reads in the portal and types at the computer: 49 random bits.
func NewCode() string {
	var b strings.Builder
	for b.Len() < 11 {
		var r [1]byte
		rand.Read(r[:])
		if int(r[0]) >= 256/len(codeLetters)*len(codeLetters) {
			continue
		}
		if b.Len() == 5 {
			b.WriteByte('-')
		}
		b.WriteByte(codeLetters[int(r[0])%len(codeLetters)])
	}
	return b.String()
}

// HashCode is what the server keeps of a code. Case, spaces and hyphens do not matter.
func HashCode(code string) string {
	code = strings.Map(func(r rune) rune {
		switch {
		case r == ' ' || r == '-' || r == '\t':
			return -1
		case r >= 'a' && r <= 'z':
			return r - 'a' + 'A'
		}
		return r
	}, code)
	h := sha256.Sum256([]byte("traybell-owner-code-1\x00" + code))
	return hex.EncodeToString(h[:])
}
