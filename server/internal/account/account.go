// Package account holds the rules about people and organizations: roles and what they may do,
// how an e-mail address and a password must look, when an invitation, a login or a token is still good.
//
// It is pure: values and the time go in, a value or a named error comes out. It does no I/O and
// holds no state. The desk calls it; edges use its types.
package account

import (
	"errors"
	"net/mail"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"
)

// ID is the id of an account, a UUIDv7.
type ID string

// OrganizationID is the id of an organization, a UUIDv7.
type OrganizationID string

// Role is what an account is in Traybell. It is one word in the interface, the API and the database.
type Role string

// The roles.
const (
	Requester     Role = "requester"     // files tickets and sees their own
	Responsible   Role = "responsible"   // speaks for the organization: sees all its tickets and devices
	Technician    Role = "technician"    // works on tickets of every organization, or of some
	Administrator Role = "administrator" // a technician who also decides about people, keys and settings
)

// Integration is the role of an account that is no person: a program of the provider or of an organization. It has
// tokens, each with rights of its own, and no way to sign in. It is not among Roles: nobody is given it.
const Integration Role = "integration"

// Roles lists every role of people, from the fewest rights to the most.
var Roles = []Role{Requester, Responsible, Technician, Administrator}

// Errors of this package. Each is a sentence that a person can be shown.
var (
	ErrRole     = errors.New("the role must be requester, responsible, technician or administrator")
	ErrEmail    = errors.New("this is not an e-mail address")
	ErrName     = errors.New("a name is needed, at most 200 characters on one line")
	ErrLanguage = errors.New("the language must be en, it, de or ru")
	ErrExpired  = errors.New("this link has expired; ask for a new one")
	ErrUsed     = errors.New("this link was used already")
)

// Bounds on texts, in characters.
const (
	MaxEmail = 254
	MaxName  = 200
)

// Lifetimes.
const (
	InvitationLife = 7 * 24 * time.Hour  // from Invite to AcceptInvitation
	LoginLife      = 30 * 24 * time.Hour // of a browser's sign-in, however much it is used
	LoginIdle      = 7 * 24 * time.Hour  // of a sign-in that is not used
)

// ParseRole reads a role's word.
func ParseRole(s string) (Role, error) {
	for _, r := range Roles {
		if string(r) == s {
			return r, nil
		}
	}
	return "", ErrRole
}

// Staff reports whether r works on tickets of others: technicians and administrators.
func (r Role) Staff() bool { return r == Technician || r == Administrator }

// Organization is a customer, or the one provider that runs this server.
type Organization struct {
	ID            OrganizationID
	Name          string
	Provider      bool   // the organization that runs the server; exactly one
	SupportPhone  string // shown in tray and form; empty: the provider's
	Plan          Plan   // as it is stored; Has says what members have
	MembersSeeAll bool   // members see all tickets of the organization, not only their own
	ProductName   string // shown to members instead of the provider's name; may be empty
	TrayTitle     string // the tray's first line; empty: the name
	Logo          string // SHA-256 of its picture; empty: none
	TimeZone      string // IANA name, by which days are counted; empty: UTC
	CreatedAt     time.Time
	Version       int64
}

// Account is a person who can sign in.
type Account struct {
	ID               ID
	Organization     OrganizationID
	OrganizationName string
	Email            string // as NormalizeEmail returns it
	Name             string
	Language         string // en, it, de, ru
	Role             Role
	OwnRole          string      // id of a role of the administrators' own making, in place of Role's rights; empty: none
	OwnRights        Rights      // of OwnRole
	Limits           Limits      // of a technician
	Password         string      // encoded hash; never leaves the desk
	RegisteredAt     time.Time   // when the account first stood with password and second factor; zero: invited only
	FactorLost       bool        // its second factor was reset; a link to its own address sets up a new one
	SecondFactor     bool        // it has one; only read
	Directory        DirectoryID // where the password is checked; empty: here
	ExternalID       string      // who the person is there
	Disabled         bool
	CreatedAt        time.Time
	Version          int64
}

// Login is one browser signed in as an account.
type Login struct {
	ID          string
	Account     ID
	Address     string
	UserAgent   string
	CreatedAt   time.Time
	SeenAt      time.Time
	State       LoginState
	ConfirmedAt time.Time // when it last proved the second factor
	Invitation  string    // id of the invitation by which somebody signs up, or "first"
	Current     bool      // it is the one that asks
}

// Live reports whether the login is still good at the given time.
func (l Login) Live(now time.Time) bool {
	if l.State != LoginIn {
		return now.Sub(l.CreatedAt) < StepLife
	}
	return now.Sub(l.CreatedAt) < LoginLife && now.Sub(l.SeenAt) < LoginIdle
}

// Invitation lets one person make an account with a given address and role.
type Invitation struct {
	ID               string
	Organization     OrganizationID
	OrganizationName string
	Email            string
	Role             Role
	MadeBy           ID // empty: made on the server's command line
	CreatedAt        time.Time
	ExpiresAt        time.Time
	UsedAt           time.Time // zero: not used
}

// Check reports why the invitation can't be accepted now: ErrUsed, ErrExpired, or nil.
func (i Invitation) Check(now time.Time) error {
	switch {
	case !i.UsedAt.IsZero():
		return ErrUsed
	case !now.Before(i.ExpiresAt):
		return ErrExpired
	}
	return nil
}

// Token is an API token of an account; its secret is known only to its owner.
type Token struct {
	ID        string
	Account   ID
	Name      string
	Rights    Rights // which of the account's it has
	CreatedAt time.Time
	SeenAt    time.Time
	ExpiresAt time.Time // zero: never
}

// Live reports whether the token is still good.
func (t Token) Live(now time.Time) bool { return t.ExpiresAt.IsZero() || now.Before(t.ExpiresAt) }

// NormalizeEmail checks an address and returns it as it is stored: without surrounding space, the
// domain in lower case, and the local part too, since no server in use tells the two apart.
func NormalizeEmail(s string) (string, error) {
	s = strings.TrimSpace(s)
	if len(s) > MaxEmail || strings.ContainsFunc(s, func(r rune) bool { return unicode.IsSpace(r) || unicode.IsControl(r) }) {
		return "", ErrEmail
	}
	a, err := mail.ParseAddress(s)
	if err != nil || a.Name != "" || a.Address != s {
		return "", ErrEmail
	}
	at := strings.LastIndexByte(s, '@')
	if at < 1 || at == len(s)-1 || strings.ContainsAny(s, "<>\"(),:;\\") {
		return "", ErrEmail
	}
	return strings.ToLower(s), nil
}

// CheckName returns a person's or an organization's name without surrounding space.
func CheckName(s string) (string, error) {
	s = strings.TrimSpace(s)
	if s == "" || utf8.RuneCountInString(s) > MaxName || !utf8.ValidString(s) || strings.ContainsFunc(s, unicode.IsControl) {
		return "", ErrName
	}
	return s, nil
}

// MayInvite reports whether somebody with these rights and this reach may invite somebody with the given role
// into an organization. Nobody can give a right that they lack; where only some organizations are reached,
// nobody of staff is made, because staff reaches further.
func MayInvite(rights Rights, reach Reach, role Role, into OrganizationID) bool {
	switch {
	case role == Integration: // is no person
		return false
	case !rights.Has(PeopleManage) || !reach.Has(into) || !rights.Covers(role.Rights()):
		return false
	case role == Requester:
		return true
	case role == Responsible:
		return rights.Has(TicketsWork) // a customer's responsible person does not name others
	}
	return reach.All
}
