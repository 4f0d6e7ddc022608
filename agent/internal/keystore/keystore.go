// Package keystore keeps who this device is: its id, its two Ed25519 keys (the link key proves the
// device to the server, the grant key signs permissions and ledger heads and nothing else), and the
// server it belongs to with what is pinned of it.
//
// Everything stands in one file of the state folder, readable by the service's account only, on
// Windows sealed by DPAPI as well. It is written at once or not at all. A state folder that turns up
// on another machine (a cloned disk) is not believed: Load drops the keys. The commands enrol and run
// call this package; nothing else reads the file.
package keystore

import (
	"crypto/ed25519"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/traybell/traybell/shared/link"
)

const (
	fileName = "identity"
	maxFile  = 64 << 10
)

// Errors of Load.
var (
	ErrNone   = errors.New("this computer is not enrolled")
	ErrCloned = errors.New("the state folder was copied from another computer: its keys are dropped, enrol this computer again")
)

// Server is the server a device belongs to, as its enrolment key told it.
type Server struct {
	URL      string            `json:"url"`          // https://host:port
	Identity ed25519.PublicKey `json:"identity"`     // pinned
	CA       []byte            `json:"ca,omitempty"` // SHA-256 of its CA certificate, pinned
	TLS      string            `json:"tls"`          // api.TLSPinned or api.TLSProxy
}

// ID is the server's id.
func (s Server) ID() string { return link.ServerID(s.Identity) }

// Identity is one device at one server.
type Identity struct {
	Device       string
	LinkKey      ed25519.PrivateKey
	GrantKey     ed25519.PrivateKey
	Server       Server
	KeyID        string // of the enrolment key that was used
	Enrolled     bool   // false between making the keys and the server's answer
	Name         string // of the device at the server
	Organization string
}

// Link is what the link's handshake needs.
func (i Identity) Link() link.Device {
	return link.Device{ID: i.Device, Key: i.LinkKey, Identity: i.Server.Identity}
}

// file is the identity as stored. Keys are seeds.
type file struct {
	Device       string `json:"device"`
	LinkSeed     []byte `json:"link_seed"`
	GrantSeed    []byte `json:"grant_seed"`
	Machine      string `json:"machine"`
	Server       Server `json:"server"`
	KeyID        string `json:"key_id"`
	Enrolled     bool   `json:"enrolled"`
	Name         string `json:"name,omitempty"`
	Organization string `json:"organization,omitempty"`
}

// New makes an identity with fresh keys, not enrolled yet.
func New(device string, server Server, keyID string) (Identity, error) {
	_, l, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return Identity{}, fmt.Errorf("make link key: %w", err)
	}
	_, g, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return Identity{}, fmt.Errorf("make grant key: %w", err)
	}
	return Identity{Device: device, LinkKey: l, GrantKey: g, Server: server, KeyID: keyID}, nil
}

// Load reads the identity of a state folder. machine is the hash of this computer's machine id; if
// another one stands in the file, the file is removed and ErrCloned returned. An identity whose
// enrolment was not finished comes with Enrolled false.
func Load(state, machine string) (Identity, error) {
	p := filepath.Join(state, fileName)
	b, err := readBounded(p)
	if errors.Is(err, fs.ErrNotExist) {
		return Identity{}, ErrNone
	}
	if err != nil {
		return Identity{}, fmt.Errorf("read identity: %w", err)
	}
	if b, err = unseal(b); err != nil {
		return Identity{}, fmt.Errorf("unseal identity: %w", err)
	}
	var f file
	if err := json.Unmarshal(b, &f); err != nil {
		return Identity{}, fmt.Errorf("read identity: %w", err)
	}
	if f.Machine != machine {
		if err := os.Remove(p); err != nil {
			return Identity{}, fmt.Errorf("drop the keys of another computer: %w", err)
		}
		if err := SyncDir(state); err != nil {
			return Identity{}, fmt.Errorf("drop the keys of another computer: %w", err)
		}
		return Identity{}, ErrCloned
	}
	if len(f.LinkSeed) != ed25519.SeedSize || len(f.GrantSeed) != ed25519.SeedSize {
		return Identity{}, errors.New("read identity: a key is damaged")
	}
	return Identity{
		Device: f.Device, LinkKey: ed25519.NewKeyFromSeed(f.LinkSeed), GrantKey: ed25519.NewKeyFromSeed(f.GrantSeed),
		Server: f.Server, KeyID: f.KeyID, Enrolled: f.Enrolled, Name: f.Name, Organization: f.Organization,
	}, nil
}

// Save writes the identity durably, in place of a former one.
func Save(state, machine string, i Identity) error {
	b, err := json.Marshal(file{
		Device: i.Device, LinkSeed: i.LinkKey.Seed(), GrantSeed: i.GrantKey.Seed(), Machine: machine,
		Server: i.Server, KeyID: i.KeyID, Enrolled: i.Enrolled, Name: i.Name, Organization: i.Organization,
	})
	if err != nil {
		return fmt.Errorf("encode identity: %w", err)
	}
	if b, err = seal(b); err != nil {
		return fmt.Errorf("seal identity: %w", err)
	}
	if err := os.MkdirAll(state, 0o755); err != nil {
		return fmt.Errorf("make state folder: %w", err)
	}
	f, err := os.CreateTemp(state, fileName+"-*") // 0600
	if err != nil {
		return fmt.Errorf("write identity: %w", err)
	}
	defer os.Remove(f.Name())
	if err := protect(f.Name()); err != nil {
		f.Close()
		return fmt.Errorf("protect identity: %w", err)
	}
	if _, err = f.Write(b); err == nil {
		err = f.Sync()
	}
	if cerr := f.Close(); err == nil {
		err = cerr
	}
	if err == nil {
		err = os.Rename(f.Name(), filepath.Join(state, fileName))
	}
	if err == nil {
		err = SyncDir(state)
	}
	if err != nil {
		return fmt.Errorf("write identity: %w", err)
	}
	return nil
}

func readBounded(p string) ([]byte, error) {
	st, err := os.Stat(p)
	if err != nil {
		return nil, err
	}
	if st.Size() > maxFile {
		return nil, errors.New("the file is too long")
	}
	return os.ReadFile(p)
}
