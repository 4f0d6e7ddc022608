package account

import (
	"errors"
	"strings"
	"time"
)

// FactorKind is how a person proves, besides the password, that it is they who sign in.
type FactorKind string

// The kinds of second factors.
const (
	App     FactorKind = "app"     // time-based codes of an authenticator app, RFC 6238
	Passkey FactorKind = "passkey" // WebAuthn
	SMS     FactorKind = "sms"     // codes sent to a telephone
)

// Factor is one second factor of an account.
type Factor struct {
	ID        string
	Account   ID
	Kind      FactorKind
	Name      string // as its owner calls it; may be empty
	Secret    string // sealed: the app's key, the telephone number; a passkey's public record. Never leaves the desk
	KeyID     string // of a passkey
	Step      int64  // of an app: the last time step accepted, so that no code works twice
	CreatedAt time.Time
	SeenAt    time.Time // zero: not used since
	Shown     string    // of a telephone: what may be shown of its number; only read
}

// LoginState tells how far a login is.
type LoginState string

// The states of a login.
const (
	LoginIn     LoginState = "in"     // password and second factor are proven
	LoginSecond LoginState = "second" // the password is, one of the second factors is asked for
	LoginSetup  LoginState = "setup"  // the password is, a second factor must be set up
)

// StepLife is how long a login may be half-way: long enough to install an authenticator app.
const StepLife = time.Hour

// ErrNumber is a telephone number that no message can be sent to.
var ErrNumber = errors.New("a telephone number with its country is needed, like +39 333 1234567")

// NormalizeNumber checks a telephone number and returns it in E.164, "+393331234567".
func NormalizeNumber(s string) (string, error) {
	s = strings.TrimSpace(s)
	if rest, ok := strings.CutPrefix(s, "00"); ok {
		s = "+" + rest
	}
	if !strings.HasPrefix(s, "+") || len(s) > 40 {
		return "", ErrNumber
	}
	var b strings.Builder
	for _, r := range s[1:] {
		switch {
		case r >= '0' && r <= '9':
			b.WriteRune(r)
		case strings.ContainsRune(" -./()", r):
		default:
			return "", ErrNumber
		}
	}
	if n := b.Len(); n < 7 || n > 15 || b.String()[0] == '0' {
		return "", ErrNumber
	}
	return "+" + b.String(), nil
}

// MaskNumber shows the end of a telephone number only, as pages and logs do.
func MaskNumber(s string) string {
	if len(s) < 6 {
		return s
	}
	return s[:3] + " … " + s[len(s)-3:]
}
