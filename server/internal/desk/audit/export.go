package audit

import (
	"crypto/ed25519"
	"time"

	"github.com/traybell/traybell/server/internal/account"
	"github.com/traybell/traybell/server/internal/store"
)

// ExportFormat is what an exported log calls itself.
const ExportFormat = "traybell-log-1"

// ExportHead is how an exported log begins. Its entries follow as the field "entries".
type ExportHead struct {
	Format   string            `json:"format"`
	Identity []byte            `json:"identity"` // the server's public key, which signs checkpoints and cuts
	At       int64             `json:"exported_at"`
	Filter   map[string]string `json:"filter"`
}

// Head is the beginning of an export.
func (l *Log) Head(f Filter) ExportHead {
	return ExportHead{Format: ExportFormat, Identity: l.o.Identity.Public().(ed25519.PublicKey), At: l.o.Time().UnixMicro(), Filter: f.words()}
}

// ExportEntry is an exported row: what its hash covers, byte for byte, the hash before it, and the names.
type ExportEntry struct {
	ID            string `json:"id"`
	Seq           int64  `json:"seq"`
	At            int64  `json:"at"`
	Actor         string `json:"actor"`
	ActorName     string `json:"actor_name,omitempty"`
	ActingFor     string `json:"acting_for"`
	ActingForName string `json:"acting_for_name,omitempty"`
	Organization  string `json:"organization"`
	Via           string `json:"via"`
	Address       string `json:"address"`
	Action        string `json:"action"`
	Object        string `json:"object"`
	ObjectName    string `json:"object_name,omitempty"`
	Detail        string `json:"detail"`
	Previous      string `json:"previous"`
	Hash          string `json:"hash"`
	Redacted      bool   `json:"redacted,omitempty"` // the address is left out, so that the hash can't be computed again
}

// Exported is the row as an export holds it.
func (r Row) Exported() ExportEntry {
	return ExportEntry{ID: r.ID, Seq: r.Seq, At: r.At.UnixMicro(), Actor: r.Actor, ActorName: r.ActorName, ActingFor: r.ActingFor, ActingForName: r.ActingForName, Organization: string(r.Organization),
		Via: r.Via, Address: r.Address, Action: r.Action, Object: r.Object, ObjectName: r.ObjectName, Detail: r.Detail, Previous: r.Previous, Hash: r.Hash, Redacted: r.Redacted}
}

// Right reports whether the entry is the one that was written behind the row with the hash Previous.
func (e ExportEntry) Right() bool {
	return e.Hash == link(e.Previous, e.row())
}

func (e ExportEntry) row() store.Entry {
	return store.Entry{ID: e.ID, Seq: e.Seq, At: time.UnixMicro(e.At), Actor: e.Actor, ActingFor: e.ActingFor, Organization: account.OrganizationID(e.Organization), Via: e.Via, Address: e.Address,
		Action: e.Action, Object: e.Object, Detail: e.Detail}
}
