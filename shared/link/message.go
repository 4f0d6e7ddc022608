package link

import (
	"encoding/binary"
	"encoding/json"

	"github.com/traybell/traybell/shared/grant"
)

// The messages of a link, by their type. Direction is told by who may send it:
// A the agent, S the server.
const (
	TypeHello        = "hello"         // A then S: nonces, capability; S's is signed
	TypeProof        = "proof"         // A: signature, facts, grants
	TypeWelcome      = "welcome"       // S: the link is up
	TypeRefused      = "refused"       // S: the link is not accepted; the connection ends
	TypePing         = "ping"          // A
	TypePong         = "pong"          // S
	TypeFacts        = "facts"         // A: something that the device reports has changed
	TypeAsk          = "ask"           // S: a technician asks the person at the device
	TypeWithdraw     = "withdraw"      // S: the technician no longer asks
	TypeAskState     = "ask_state"     // A: what became of the question so far
	TypeGrant        = "grant"         // A: a grant was made
	TypeGrantEnded   = "grant_ended"   // A: a grant has ended on the device
	TypeEndGrant     = "end_grant"     // S: a grant is over (ticket closed, session left)
	TypeOffer        = "offer"         // S: dial a channel
	TypeOfferRefused = "offer_refused" // A: the device did not open it, and why
	TypeChannelUp    = "channel_up"    // A: the channel's process runs and its bytes flow
	TypeSession      = "session"       // A: a session's state on the device (used, paused, ended)
	TypeEndSession   = "end_session"   // S: the technician left
	TypeTicket       = "ticket"        // S: a ticket filed from this device has moved
	TypeLedgerHead   = "ledger_head"   // A: signed head of the device's ledger
)

// Message is one framed message. Body is the JSON of the struct that belongs to Type.
// Readers ignore types and fields that they do not know.
type Message struct {
	Type string          `json:"type"`
	Body json.RawMessage `json:"body,omitempty"`
}

// Hello opens the handshake. The agent's carries Device, the server's Server and Signature.
type Hello struct {
	Capability int    `json:"capability"`
	Device     string `json:"device,omitempty"`
	Server     string `json:"server,omitempty"`
	Nonce      []byte `json:"nonce"` // 32 random bytes
	Signature  []byte `json:"signature,omitempty"`
}

// Proof is the agent's signature with what the server needs to know at once.
type Proof struct {
	Signature []byte         `json:"signature"`
	Facts     Facts          `json:"facts"`
	Grants    []grant.Signed `json:"grants,omitempty"` // live on the device
	Ended     []GrantEnded   `json:"ended,omitempty"`  // ended while the link was down, newest 100
	Ledger    *LedgerHead    `json:"ledger,omitempty"`
}

// Welcome says that the link is up and tells the device what it shows its users. The agent
// applies Ended before it accepts an offer.
type Welcome struct {
	Epoch        int64    `json:"epoch"`         // rises with each link of the device
	Token        string   `json:"token"`         // bearer token for /api/v1/device, until TokenExpires
	TokenExpires int64    `json:"token_expires"` // Unix microseconds, server clock
	Time         int64    `json:"time"`          // Unix microseconds, server clock
	Name         string   `json:"name"`          // the device's name at the server
	Organization string   `json:"organization"`
	Provider     string   `json:"provider"` // the organization that runs the server
	SupportPhone string   `json:"support_phone,omitempty"`
	TrayTitle    string   `json:"tray_title,omitempty"` // first line of the tray's menu; empty: the organization
	PortalURL    string   `json:"portal_url,omitempty"`
	Ended        []string `json:"ended,omitempty"`    // grant ids that are over
	Sessions     []string `json:"sessions,omitempty"` // sessions the server still holds open on this device; others are over
}

// Refused ends a link or an attempt at one.
type Refused struct {
	Code string `json:"code"` // unknown_device, bad_signature, replaced, too_old, busy
	Text string `json:"text"`
}

// User is a person signed in at the device.
type User struct {
	ID      string `json:"id"`                // uid or SID
	Name    string `json:"name"`              // OS user name
	Display string `json:"display,omitempty"` // full name
	State   string `json:"state"`             // active, locked, away, text
	Since   int64  `json:"since,omitempty"`   // state since, Unix microseconds
	Desktop string `json:"desktop,omitempty"` // x11, wayland, windows, macos, none
}

// Disk is one fixed disk or partition that holds files.
type Disk struct {
	Path   string `json:"path"` // where it is mounted, or its letter
	SizeMB int64  `json:"size_mb"`
	FreeMB int64  `json:"free_mb"`
}

// Facts is what a device reports of itself. The employee can read the same list.
type Facts struct {
	Hostname  string   `json:"hostname"`
	OS        string   `json:"os"`                   // linux, windows, darwin
	OSName    string   `json:"os_name"`              // "Debian GNU/Linux 12"
	Arch      string   `json:"arch"`                 // amd64, arm64
	Agent     string   `json:"agent"`                // version
	MachineID string   `json:"machine_id"`           // SHA-256 of the machine id
	OSID      string   `json:"os_id,omitempty"`      // debian, ubuntu, …; windows, windows-server, macos
	OSVersion string   `json:"os_version,omitempty"` // "12", "24.04"; on Windows as OSBuild
	OSBuild   string   `json:"os_build,omitempty"`   // kernel release; on Windows the build number
	CPU       string   `json:"cpu,omitempty"`        // model
	CPUs      int      `json:"cpus,omitempty"`
	MemoryMB  int64    `json:"memory_mb,omitempty"`
	DiskMB    int64    `json:"disk_mb,omitempty"`
	FreeMB    int64    `json:"free_mb,omitempty"`
	Disks     []Disk   `json:"disks,omitempty"`   // fixed ones, the largest first
	BootAt    int64    `json:"boot_at,omitempty"` // Unix microseconds, device clock
	Restart   string   `json:"restart,omitempty"` // yes: the system waits to be restarted; no; empty: not known
	Addresses []string `json:"addresses,omitempty"`
	Users     []User   `json:"users,omitempty"`
	Can       []string `json:"can,omitempty"`    // desktop, control, terminal: what works here now
	Cannot    []string `json:"cannot,omitempty"` // codes of why not: wayland_not_shown, no_desktop, os_not_yet
}

// Ask is a technician's question to the person at the device. Texts are plain and at most 80
// characters; the device shortens and cleans them again before it shows them.
type Ask struct {
	Session      string        `json:"session"`
	Account      string        `json:"account"`
	Name         string        `json:"name"`
	Organization string        `json:"organization"`
	Ticket       string        `json:"ticket,omitempty"`
	TicketNumber int64         `json:"ticket_number,omitempty"`
	TicketTitle  string        `json:"ticket_title,omitempty"`
	User         string        `json:"user,omitempty"` // OS user whose desktop is meant; empty: the ticket's or the active one
	Scopes       []grant.Scope `json:"scopes"`
}

// Withdraw takes a question back.
type Withdraw struct {
	Session string `json:"session"`
}

// The states of a question.
const (
	AskShown   = "shown"   // the person has the question on the screen
	AskNobody  = "nobody"  // nobody is signed in
	AskLocked  = "locked"  // the screen is locked or switched away since Since
	AskRefused = "refused" // with Reason: no, later, unknown_person, silence, cooldown, busy
	AskAllowed = "allowed" // a grant exists now
	AskOpen    = "open"    // nobody asked: a standing grant opens and nobody is there
)

// AskState tells what became of a question.
type AskState struct {
	Session string        `json:"session"`
	State   string        `json:"state"`
	User    string        `json:"user,omitempty"`
	Since   int64         `json:"since,omitempty"`
	Seconds int           `json:"seconds,omitempty"` // left to answer
	Words   string        `json:"words,omitempty"`   // four words to be read out
	Reason  string        `json:"reason,omitempty"`
	Grant   *grant.Signed `json:"grant,omitempty"`
}

// GrantMade carries a grant that was made or widened on the device.
type GrantMade struct {
	Grant grant.Signed `json:"grant"`
	Spent int64        `json:"spent"` // seconds
}

// GrantEnded says that a grant is over on the device.
type GrantEnded struct {
	ID     string `json:"id"`
	At     int64  `json:"at"`     // Unix microseconds, device clock
	Reason string `json:"reason"` // revoked, budget, ticket_closed, session_ended, renewed
}

// EndGrant asks the device to end a grant.
type EndGrant struct {
	ID     string `json:"id"`
	Reason string `json:"reason"`
}

// Offer asks the device to dial a channel with a single-use token. The device decides by its
// own grants whether it does.
type Offer struct {
	Channel string     `json:"channel"`
	Token   string     `json:"token"`
	Session string     `json:"session"`
	Ticket  string     `json:"ticket,omitempty"`
	Grant   string     `json:"grant"` // id of a grant that is live in the device's own store
	Account string     `json:"account"`
	Name    string     `json:"name"`
	Kind    grant.Kind `json:"kind"`
	Control bool       `json:"control,omitempty"`
	Target  string     `json:"target,omitempty"`
}

// OfferRefused says that no channel was opened. Code is a grant.Refusal or one of
// no_desktop, no_sign, not_available, failed.
type OfferRefused struct {
	Channel string `json:"channel"`
	Code    string `json:"code"`
	Text    string `json:"text"`
}

// ChannelUp says that the channel's bytes flow.
type ChannelUp struct {
	Channel string `json:"channel"`
}

// SessionState is what the device says of a running session.
type SessionState struct {
	Session string `json:"session"`
	State   string `json:"state"`            // active, paused, ended
	Reason  string `json:"reason,omitempty"` // ended: person, technician, budget, ticket_closed, sign_lost, signed_out, failed
	At      int64  `json:"at"`               // Unix microseconds, device clock
}

// EndSession ends a session on the device.
type EndSession struct {
	Session string `json:"session"`
	Reason  string `json:"reason"`
}

// TicketMoved tells the device that a ticket filed from it has changed, for the tray's notice.
type TicketMoved struct {
	ID       string `json:"id"`
	Number   int64  `json:"number"`
	Status   string `json:"status"`
	Answered string `json:"answered,omitempty"` // who has answered, if that is the change
}

// LedgerHead is the head of the device's own chained record, signed by the grant key.
type LedgerHead struct {
	Seq       int64  `json:"seq"`
	Hash      []byte `json:"hash"`
	At        int64  `json:"at"`
	Signature []byte `json:"signature"`
}

// Bytes is what the grant key signs of a head: "traybell-ledger-1\0" ‖ device id ‖ 0 ‖ sequence number,
// time (eight bytes each, big-endian) ‖ hash. It can't be mistaken for a grant.
func (h LedgerHead) Bytes(device string) []byte {
	b := append([]byte("traybell-ledger-1\x00"), device...)
	b = append(b, 0)
	b = binary.BigEndian.AppendUint64(b, uint64(h.Seq))
	b = binary.BigEndian.AppendUint64(b, uint64(h.At))
	return append(b, h.Hash...)
}
