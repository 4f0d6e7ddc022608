package api

import (
	"crypto/ed25519"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"strings"

	"github.com/traybell/traybell/shared/link"
)

// How TLS reaches the server, fixed by the enrolment key and never negotiated.
const (
	TLSPinned = "pinned" // the server's own CA, pinned by CA; the link is bound to the TLS exporter
	TLSProxy  = "proxy"  // a proxy with a public certificate ends TLS; the link is bound to nothing
)

const keyPrefix = "tb1_"

// ErrEnrolmentKey is wrapped by ParseEnrolmentKey.
var ErrEnrolmentKey = errors.New("this is not an enrolment key")

// EnrolmentKey is what a device needs to find, trust and enrol at its server. It is a secret.
type EnrolmentKey struct {
	URL      string            `json:"u"`           // https://host:port
	Identity ed25519.PublicKey `json:"i"`           // the server's identity key
	CA       []byte            `json:"c,omitempty"` // SHA-256 of the server's own CA certificate (DER)
	TLS      string            `json:"t"`           // TLSPinned or TLSProxy
	ID       string            `json:"k"`
	Secret   []byte            `json:"s"` // 32 random bytes
}

// String encodes k as tb1_….
func (k EnrolmentKey) String() string {
	b, _ := json.Marshal(k)
	return keyPrefix + base64.RawURLEncoding.EncodeToString(b)
}

// ParseEnrolmentKey decodes what String wrote; surrounding space is ignored.
func ParseEnrolmentKey(s string) (EnrolmentKey, error) {
	var k EnrolmentKey
	s = strings.TrimSpace(s)
	enc, ok := strings.CutPrefix(s, keyPrefix)
	if !ok || len(s) > 4096 {
		return k, fmt.Errorf("%w: it must begin with %s", ErrEnrolmentKey, keyPrefix)
	}
	b, err := base64.RawURLEncoding.DecodeString(enc)
	if err != nil {
		return k, fmt.Errorf("%w: a part is missing or was changed", ErrEnrolmentKey)
	}
	if err := json.Unmarshal(b, &k); err != nil {
		return k, fmt.Errorf("%w: a part is missing or was changed", ErrEnrolmentKey)
	}
	u, err := url.Parse(k.URL)
	if err != nil || u.Scheme != "https" || u.Host == "" || len(k.Identity) != ed25519.PublicKeySize || len(k.Secret) < 16 || k.ID == "" {
		return EnrolmentKey{}, fmt.Errorf("%w: a part is missing or was changed", ErrEnrolmentKey)
	}
	if k.TLS == TLSPinned && len(k.CA) != 32 || k.TLS != TLSPinned && k.TLS != TLSProxy {
		return EnrolmentKey{}, fmt.Errorf("%w: unknown TLS mode", ErrEnrolmentKey)
	}
	return k, nil
}

// EnrolRequest is the body of POST /api/v1/device/enrol, authenticated by the key's secret in it.
type EnrolRequest struct {
	Key      string            `json:"key"`    // id of the enrolment key
	Secret   []byte            `json:"secret"` // its secret
	Device   string            `json:"device"` // UUIDv7 made by the device; the same request again gives the same answer
	LinkKey  ed25519.PublicKey `json:"link_key"`
	GrantKey ed25519.PublicKey `json:"grant_key"`
	Proof    []byte            `json:"proof"` // both keys' signatures over the device id, concatenated: 128 bytes, see EnrolProof
	Facts    link.Facts        `json:"facts"`
}

// EnrolResponse tells the device where it belongs.
type EnrolResponse struct {
	Device       string `json:"device"`
	Name         string `json:"name"`
	Organization string `json:"organization"`
	Server       string `json:"server"` // server id, link.ServerID of the identity key
}

// EnrolProof is the byte string that both device keys sign, so that nobody enrols keys that they
// do not hold.
func EnrolProof(keyID, device string, linkKey, grantKey ed25519.PublicKey) []byte {
	b := []byte("traybell-enrol-1\x00" + keyID + "\x00" + device + "\x00")
	b = append(b, linkKey...)
	return append(b, grantKey...)
}
