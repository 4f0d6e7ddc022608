// Package grant is the permission that an employee gives at their device: its exact
// bytes, its signature, and the one rule (Permits) by which device and server decide,
// each for itself, whether a channel may be opened under it.
//
// The device honours only grants that live in its own store; the signature is evidence for
// the server, its nodes and auditors and opens nothing by itself. What is signed is the exact
// byte string that travels. A reader that meets an unknown field refuses the grant, because a
// field it does not understand could be the one that narrows it.
//
// The package holds no state and does no I/O; the time spent is passed in.
package grant

import (
	"bytes"
	"crypto/ed25519"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"slices"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Scope is one thing that a grant allows.
type Scope string

// The scopes of a grant. Terminal and Files run as the grant's OS user; root is Admin,
// which only root's own policy can allow.
const (
	View      Scope = "view"
	Control   Scope = "control"
	Clipboard Scope = "clipboard"
	Files     Scope = "files"
	Terminal  Scope = "terminal"
	Forward   Scope = "forward"
	Admin     Scope = "admin"
)

// Scopes lists every scope in the order in which people read them.
var Scopes = []Scope{View, Control, Clipboard, Files, Terminal, Forward, Admin}

// Kind is the kind of a session's channel.
type Kind string

// The kinds of channel.
const (
	KindDesktop  Kind = "desktop"
	KindTerminal Kind = "terminal"
	KindFiles    Kind = "files"
	KindSSH      Kind = "ssh"
	KindForward  Kind = "forward"
)

// Needs lists the scopes without which a channel of kind k stays closed. An unknown kind
// returns nil, and Permits refuses it.
func (k Kind) Needs() []Scope {
	switch k {
	case KindDesktop:
		return []Scope{View}
	case KindTerminal:
		return []Scope{Terminal}
	case KindFiles:
		return []Scope{Files}
	case KindSSH:
		return []Scope{Terminal, Files}
	case KindForward:
		return []Scope{Forward}
	}
	return nil
}

// Attended says what a standing grant does when a person is at the device.
type Attended string

// With Ask the person is asked first and no answer is no; with Tell they get a notice with a
// refusal for 20 seconds. There is no silent mode.
const (
	Ask  Attended = "ask"
	Tell Attended = "tell"
)

// Bounds on a grant's parts.
const (
	MaxBytes  = 8 << 10                // of the encoded grant
	MaxBudget = 7 * 24 * 60 * 60       // seconds: until the ticket closes, seven days at most
	maxText   = 200                    // runes of a name
	maxList   = 32                     // targets
	version   = 1                      // of the encoding
	context   = "traybell-grant-1\x00" // domain separation of the signature
)

// Holder is the account that may use the grant, with the name and organization that were
// shown to the person who gave it.
type Holder struct {
	Account      string `json:"account"`
	Name         string `json:"name"`
	Organization string `json:"organization"`
	Key          string `json:"key,omitempty"` // thumbprint of the technician's own key, if bound to one
}

// Grant is one permission. Exactly one of Session, Ticket and Standing bounds it.
type Grant struct {
	Version  int      `json:"v"`
	ID       string   `json:"id"`     // UUIDv7
	Device   string   `json:"device"` // device id
	As       string   `json:"as"`     // OS user whose rights it lends
	AsID     string   `json:"as_id"`  // uid or SID of As, which does not change with a rename
	Scopes   []Scope  `json:"scopes"`
	Targets  []string `json:"targets,omitempty"` // host:port beyond the device's own loopback
	Holder   *Holder  `json:"holder,omitempty"`  // nil only in a standing grant: any technician of the organization
	Session  string   `json:"session,omitempty"`
	Ticket   string   `json:"ticket,omitempty"`
	Standing bool     `json:"standing,omitempty"`
	Attended Attended `json:"attended,omitempty"` // standing grants only
	MadeAt   int64    `json:"made_at"`            // Unix microseconds, device clock
	Budget   int64    `json:"budget"`             // seconds; 0 only for a standing grant: until revoked
	MadeBy   string   `json:"made_by"`            // OS user who acted
	How      string   `json:"how"`                // window, page, command, form or policy
}

// Signed is a grant as it travels: the exact bytes and the grant key's signature over them.
type Signed struct {
	Bytes     []byte `json:"bytes"`
	Signature []byte `json:"signature"`
}

// Refusal is a machine-readable reason for which nothing was opened. It is an error.
type Refusal string

// The refusals, as they appear on the wire, on the ledger and in the API's problems.
const (
	NoGrant      Refusal = "no_grant"
	Expired      Refusal = "grant_expired"
	Revoked      Refusal = "grant_revoked"
	Forged       Refusal = "grant_forged"
	Malformed    Refusal = "grant_malformed"
	OtherDevice  Refusal = "grant_of_other_device"
	OtherHolder  Refusal = "grant_of_other_holder"
	OtherSession Refusal = "grant_of_other_session"
	OtherTicket  Refusal = "grant_of_other_ticket"
	Scopeless    Refusal = "scope_not_granted"
	OtherTarget  Refusal = "target_not_granted"
	Replayed     Refusal = "offer_replayed"
	AskFirst     Refusal = "ask_first" // a standing grant, and a person is there
)

// Error implements error.
func (r Refusal) Error() string { return string(r) }

// ErrInvalid is wrapped by Check's errors.
var ErrInvalid = errors.New("grant is not valid")

// Check reports whether g states exactly one bound and stays inside the limits.
func (g Grant) Check() error {
	bad := func(format string, a ...any) error {
		return fmt.Errorf("%w: "+format, append([]any{ErrInvalid}, a...)...)
	}
	bounds := 0
	for _, set := range []bool{g.Session != "", g.Ticket != "", g.Standing} {
		if set {
			bounds++
		}
	}
	switch {
	case g.Version != version:
		return bad("version %d", g.Version)
	case g.ID == "" || g.Device == "" || g.As == "" || g.AsID == "" || g.MadeBy == "" || g.How == "":
		return bad("a field is empty")
	case bounds != 1:
		return bad("it must be bound to one of session, ticket or standing")
	case len(g.Scopes) == 0:
		return bad("no scope")
	case g.Budget < 0 || g.Budget > MaxBudget:
		return bad("budget of %d s", g.Budget)
	case g.Budget == 0 && !g.Standing:
		return bad("no budget")
	case g.Holder == nil && !g.Standing:
		return bad("no holder")
	case g.Standing != (g.Attended != ""):
		return bad("attended belongs to standing grants")
	case g.Attended != "" && g.Attended != Ask && g.Attended != Tell:
		return bad("attended %q", g.Attended)
	case len(g.Targets) > maxList:
		return bad("more than %d targets", maxList)
	}
	for i, s := range g.Scopes {
		if !slices.Contains(Scopes, s) {
			return bad("unknown scope %q", s)
		}
		if slices.Contains(g.Scopes[:i], s) {
			return bad("scope %q stands twice", s)
		}
	}
	for _, t := range g.Targets {
		if !validTarget(t) {
			return bad("target %q", t)
		}
	}
	if h := g.Holder; h != nil {
		if h.Account == "" {
			return bad("no account")
		}
		for _, s := range []string{h.Name, h.Organization} {
			if utf8.RuneCountInString(s) > maxText || strings.ContainsFunc(s, unicode.IsControl) {
				return bad("a name is too long or holds control characters")
			}
		}
	}
	return nil
}

func validTarget(t string) bool {
	host, port, err := net.SplitHostPort(t)
	if err != nil || host == "" || strings.ContainsFunc(host, func(r rune) bool { return unicode.IsControl(r) || unicode.IsSpace(r) }) {
		return false
	}
	n, err := strconv.ParseUint(port, 10, 16)
	return err == nil && n > 0
}

// Sign checks g, encodes it and signs the bytes with the device's grant key.
func Sign(g Grant, key ed25519.PrivateKey) (Signed, error) {
	g.Version = version
	if err := g.Check(); err != nil {
		return Signed{}, err
	}
	b, err := json.Marshal(g)
	if err != nil {
		return Signed{}, fmt.Errorf("encode grant: %w", err)
	}
	return Signed{Bytes: b, Signature: ed25519.Sign(key, append([]byte(context), b...))}, nil
}

// Parse decodes the exact bytes of a grant. Bytes that hold an unknown or repeated field, another
// spelling of one, trailing data or anything that Sign would have written otherwise are Malformed.
func Parse(b []byte) (Grant, error) {
	var g Grant
	if len(b) > MaxBytes {
		return g, Malformed
	}
	d := json.NewDecoder(bytes.NewReader(b))
	d.DisallowUnknownFields()
	if err := d.Decode(&g); err != nil {
		return Grant{}, Malformed
	}
	again, err := json.Marshal(g)
	if err != nil || !bytes.Equal(again, b) || g.Check() != nil {
		return Grant{}, Malformed
	}
	return g, nil
}

// Verify parses s and checks its signature by the device's grant key: Malformed or Forged.
func Verify(s Signed, key ed25519.PublicKey) (Grant, error) {
	g, err := Parse(s.Bytes)
	if err != nil {
		return Grant{}, err
	}
	if len(key) != ed25519.PublicKeySize || !ed25519.Verify(key, append([]byte(context), s.Bytes...), s.Signature) {
		return Grant{}, Forged
	}
	return g, nil
}

// Live is what the keeper of a grant knows of it now.
type Live struct {
	Spent   int64 // seconds of the budget that are gone
	Revoked bool  // ended by a person, its ticket, its session or its inviter
}

// Use is one intended use: who wants to open which kind of channel, where and for what.
type Use struct {
	Device  string
	Account string // the technician's account
	Session string
	Ticket  string
	Kind    Kind
	Control bool   // desktop only: input is wanted as well
	Target  string // forward only, host:port
}

// Has reports whether g allows scope s.
func (g Grant) Has(s Scope) bool { return slices.Contains(g.Scopes, s) }

// Ended reports whether nothing can be opened under g any more.
func (g Grant) Ended(live Live) bool {
	return live.Revoked || g.Budget > 0 && live.Spent >= g.Budget
}

// Permits decides whether g allows u now. The error is a Refusal.
func (g Grant) Permits(u Use, live Live) error {
	switch {
	case g.Check() != nil:
		return Malformed
	case live.Revoked:
		return Revoked
	case g.Ended(live):
		return Expired
	case g.Device != u.Device:
		return OtherDevice
	case g.Holder != nil && g.Holder.Account != u.Account:
		return OtherHolder
	case g.Session != "" && g.Session != u.Session:
		return OtherSession
	case g.Ticket != "" && g.Ticket != u.Ticket:
		return OtherTicket
	}
	needs := u.Kind.Needs()
	if len(needs) == 0 {
		return Scopeless
	}
	for _, s := range needs {
		if !g.Has(s) {
			return Scopeless
		}
	}
	if u.Control && (u.Kind != KindDesktop || !g.Has(Control)) {
		return Scopeless
	}
	if u.Kind == KindForward && !slices.Contains(g.Targets, u.Target) && !loopback(u.Target) {
		return OtherTarget
	}
	return nil
}

func loopback(target string) bool {
	if !validTarget(target) {
		return false
	}
	host, _, _ := net.SplitHostPort(target)
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}
