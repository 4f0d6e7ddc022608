package httpd

import (
	"bytes"
	"crypto"
	"crypto/cipher"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/hkdf"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"golang.org/x/crypto/chacha20poly1305"
)

const (
	caLife    = 20 * 365 * 24 * time.Hour
	leafLife  = 397 * 24 * time.Hour // the most that browsers accept
	leafRenew = 90 * 24 * time.Hour  // left when it is renewed
)

// Keys are what makes this server this server: its identity key, its own CA and a secret for what
// it seals and signs for itself. They live in a folder of their own, readable by the server only, and belong into
// every backup: without them no device knows the server again.
type Keys struct {
	Identity ed25519.PrivateKey // signs the link's handshake and the audit checkpoints
	CA       *x509.Certificate  // P-256; agents pin it
	dir      string
	caKey    crypto.Signer
	secret   []byte // 32 bytes, from which Derive makes keys

	mu   sync.Mutex
	leaf *tls.Certificate // for names
}

// OpenKeys loads the keys of a folder, or makes them at the first start.
func OpenKeys(dir string) (*Keys, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	k := &Keys{dir: dir}
	identity, err := loadKey(filepath.Join(dir, "identity.key"), func() (crypto.Signer, error) {
		_, key, err := ed25519.GenerateKey(nil)
		return key, err
	})
	if err != nil {
		return nil, err
	}
	var ok bool
	if k.Identity, ok = identity.(ed25519.PrivateKey); !ok {
		return nil, fmt.Errorf("%s holds no Ed25519 key", filepath.Join(dir, "identity.key"))
	}
	if k.caKey, err = loadKey(filepath.Join(dir, "ca.key"), newP256); err != nil {
		return nil, err
	}
	if err := k.loadCA(time.Now()); err != nil {
		return nil, err
	}
	secret := filepath.Join(dir, "secret.key")
	if k.secret, err = os.ReadFile(secret); errors.Is(err, os.ErrNotExist) {
		k.secret = make([]byte, 32)
		rand.Read(k.secret)
		err = writeFile(secret, k.secret, 0o600)
	}
	if err == nil && len(k.secret) != 32 {
		err = fmt.Errorf("%s is damaged: restore it from a backup", secret)
	}
	return k, err
}

// Derive makes a 32-byte key for one purpose (HKDF, RFC 5869).
func (k *Keys) Derive(purpose string) []byte {
	b, err := hkdf.Key(sha256.New, k.secret, nil, purpose, 32)
	if err != nil {
		panic(err) // only for lengths that HKDF can't make
	}
	return b
}

// Seal encrypts what the server must read again, such as the secrets of authenticator apps.
func (k *Keys) Seal() (cipher.AEAD, error) { return chacha20poly1305.NewX(k.Derive("traybell-seal-1")) }

func newP256() (crypto.Signer, error) { return ecdsa.GenerateKey(elliptic.P256(), rand.Reader) }

func loadKey(path string, generate func() (crypto.Signer, error)) (crypto.Signer, error) {
	b, err := os.ReadFile(path)
	if errors.Is(err, os.ErrNotExist) {
		key, err := generate()
		if err != nil {
			return nil, err
		}
		der, err := x509.MarshalPKCS8PrivateKey(key)
		if err != nil {
			return nil, err
		}
		return key, writeFile(path, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}), 0o600)
	}
	if err != nil {
		return nil, err
	}
	p, _ := pem.Decode(b)
	if p == nil {
		return nil, fmt.Errorf("%s is damaged: restore it from a backup", path)
	}
	key, err := x509.ParsePKCS8PrivateKey(p.Bytes)
	if err != nil {
		return nil, fmt.Errorf("%s: %w: restore it from a backup", path, err)
	}
	signer, ok := key.(crypto.Signer)
	if !ok {
		return nil, fmt.Errorf("%s holds no signing key", path)
	}
	return signer, nil
}

func (k *Keys) loadCA(now time.Time) error {
	path := filepath.Join(k.dir, "ca.pem")
	b, err := os.ReadFile(path)
	if errors.Is(err, os.ErrNotExist) {
		id := sha256.Sum256(k.Identity.Public().(ed25519.PublicKey))
		template := &x509.Certificate{
			SerialNumber: serial(), Subject: pkix.Name{Organization: []string{"Traybell"}, CommonName: "Traybell CA " + hex.EncodeToString(id[:4])},
			NotBefore: now.Add(-24 * time.Hour), NotAfter: now.Add(caLife), IsCA: true, BasicConstraintsValid: true, MaxPathLenZero: true,
			KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageCRLSign,
		}
		der, err := x509.CreateCertificate(rand.Reader, template, template, k.caKey.Public(), k.caKey)
		if err != nil {
			return fmt.Errorf("make the CA: %w", err)
		}
		if k.CA, err = x509.ParseCertificate(der); err != nil {
			return err
		}
		return writeFile(path, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), 0o644)
	}
	if err != nil {
		return err
	}
	k.CA, err = parseCertificate(b)
	if err != nil {
		return fmt.Errorf("%s: %w: restore it from a backup", path, err)
	}
	return nil
}

func parseCertificate(b []byte) (*x509.Certificate, error) {
	p, _ := pem.Decode(b)
	if p == nil {
		return nil, errors.New("no certificate")
	}
	return x509.ParseCertificate(p.Bytes)
}

func serial() *big.Int {
	b := make([]byte, 16)
	rand.Read(b)
	b[0] &= 0x7f
	return new(big.Int).SetBytes(b)
}

// CAPath is where the CA's certificate stands, for trust stores.
func (k *Keys) CAPath() string { return filepath.Join(k.dir, "ca.pem") }

// CAHash is the SHA-256 of the CA's certificate, which enrolment keys and `traybell login --pin` carry.
func (k *Keys) CAHash() []byte {
	h := sha256.Sum256(k.CA.Raw)
	return h[:]
}

// Certificate is the server's own certificate for these names, signed by its CA. It is kept beside
// the CA and renewed when it has less than 90 days left or a name is missing.
func (k *Keys) Certificate(names []string, now time.Time) (*tls.Certificate, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.leaf != nil && covers(k.leaf.Leaf, names, now) {
		return k.leaf, nil
	}
	key, err := loadKey(filepath.Join(k.dir, "server.key"), newP256)
	if err != nil {
		return nil, err
	}
	path := filepath.Join(k.dir, "server.pem")
	var leaf *x509.Certificate
	if b, err := os.ReadFile(path); err == nil {
		leaf, _ = parseCertificate(b) // a damaged one is made anew
	}
	if leaf == nil || !covers(leaf, names, now) || !bytes.Equal(leaf.AuthorityKeyId, k.CA.SubjectKeyId) {
		template := &x509.Certificate{
			SerialNumber: serial(), Subject: pkix.Name{CommonName: names[0]}, NotBefore: now.Add(-24 * time.Hour), NotAfter: now.Add(leafLife),
			KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}, BasicConstraintsValid: true,
		}
		for _, n := range names {
			if ip := net.ParseIP(n); ip != nil {
				template.IPAddresses = append(template.IPAddresses, ip)
			} else {
				template.DNSNames = append(template.DNSNames, n)
			}
		}
		der, err := x509.CreateCertificate(rand.Reader, template, k.CA, key.Public(), k.caKey)
		if err != nil {
			return nil, fmt.Errorf("make the server's certificate: %w", err)
		}
		if leaf, err = x509.ParseCertificate(der); err != nil {
			return nil, err
		}
		if err := writeFile(path, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), 0o644); err != nil {
			return nil, err
		}
	}
	k.leaf = &tls.Certificate{Certificate: [][]byte{leaf.Raw, k.CA.Raw}, PrivateKey: key, Leaf: leaf}
	return k.leaf, nil
}

func covers(leaf *x509.Certificate, names []string, now time.Time) bool {
	if leaf.NotAfter.Sub(now) < leafRenew || now.Before(leaf.NotBefore) {
		return false
	}
	return !slices.ContainsFunc(names, func(n string) bool { return leaf.VerifyHostname(n) != nil })
}

// Names are the names and addresses under which this server may be opened: the public URL's host
// first, then localhost, the host's name and its addresses.
func Names(public string) []string {
	names := []string{public, "localhost", "127.0.0.1", "::1"}
	if h, err := os.Hostname(); err == nil {
		names = append(names, h)
	}
	if addrs, err := net.InterfaceAddrs(); err == nil {
		for _, a := range addrs {
			if n, ok := a.(*net.IPNet); ok && !n.IP.IsLinkLocalUnicast() {
				names = append(names, n.IP.String())
			}
		}
	}
	slices.Sort(names[1:])
	return slices.DeleteFunc(slices.Compact(names), func(n string) bool {
		return net.ParseIP(n) == nil && !hostname(n)
	})
}

// hostname reports whether a certificate can carry n.
func hostname(n string) bool {
	if n == "" || len(n) > 253 {
		return false
	}
	for _, c := range []byte(n) {
		if !(c == '-' || c == '.' || '0' <= c && c <= '9' || 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z') {
			return false
		}
	}
	return true
}

// writeFile writes a file so that after a crash it is either absent or whole.
func writeFile(path string, b []byte, mode os.FileMode) error {
	f, err := os.CreateTemp(filepath.Dir(path), ".new-*")
	if err != nil {
		return err
	}
	defer os.Remove(f.Name()) // gone after the rename
	if _, err = f.Write(b); err == nil {
		err = f.Chmod(mode)
	}
	if err == nil {
		err = f.Sync()
	}
	if cerr := f.Close(); err == nil {
		err = cerr
	}
	if err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	return os.Rename(f.Name(), path)
}
