package apiclient

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"io"
	"math/big"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/traybell/traybell/agent/internal/keystore"
	"github.com/traybell/traybell/shared/api"
	"github.com/traybell/traybell/shared/link"
)

// authority is a CA of a test and a certificate that it gives out.
type authority struct {
	ca  *x509.Certificate
	key *ecdsa.PrivateKey
}

func newAuthority(t *testing.T) authority {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	tpl := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "CA"}, IsCA: true, BasicConstraintsValid: true,
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), KeyUsage: x509.KeyUsageCertSign}
	der, err := x509.CreateCertificate(rand.Reader, tpl, tpl, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	ca, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return authority{ca, key}
}

// leaf is a server certificate for a host, with the chain that the server shows.
func (a authority) leaf(t *testing.T, host string, until time.Time, chain ...*x509.Certificate) tls.Certificate {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	tpl := &x509.Certificate{SerialNumber: big.NewInt(2), DNSNames: []string{host}, NotBefore: time.Now().Add(-2 * time.Hour), NotAfter: until,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}}
	der, err := x509.CreateCertificate(rand.Reader, tpl, a.ca, &key.PublicKey, a.key)
	if err != nil {
		t.Fatal(err)
	}
	c := tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
	for _, x := range chain {
		c.Certificate = append(c.Certificate, x.Raw)
	}
	return c
}

func TestOnlyThePinnedServerIsBelieved(t *testing.T) {
	ours, theirs := newAuthority(t), newAuthority(t)
	later := time.Now().Add(time.Hour)
	for _, tt := range []struct {
		name string
		cert tls.Certificate
		ok   bool
	}{
		{"our server", ours.leaf(t, "localhost", later, ours.ca), true},
		{"another authority", theirs.leaf(t, "localhost", later, theirs.ca), false},
		{"another authority that shows our CA too", theirs.leaf(t, "localhost", later, theirs.ca, ours.ca), false},
		{"our CA is not shown", ours.leaf(t, "localhost", later), false},
		{"another name", ours.leaf(t, "example.org", later, ours.ca), false},
		{"out of date", ours.leaf(t, "localhost", time.Now().Add(-time.Hour), ours.ca), false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			l, err := tls.Listen("tcp", "127.0.0.1:0", &tls.Config{Certificates: []tls.Certificate{tt.cert}, NextProtos: []string{link.ALPN}, MinVersion: tls.VersionTLS13})
			if err != nil {
				t.Fatal(err)
			}
			defer l.Close()
			go func() {
				for {
					c, err := l.Accept()
					if err != nil {
						return
					}
					go func() { io.Copy(c, c); c.Close() }()
				}
			}()
			_, port, _ := net.SplitHostPort(l.Addr().String())
			pin := sha256.Sum256(ours.ca.Raw)
			c, err := Dial(context.Background(), keystore.Server{URL: "https://localhost:" + port, CA: pin[:], TLS: api.TLSPinned})
			if !tt.ok {
				if !errors.Is(err, ErrPinned) {
					t.Errorf("got %v, want %v", err, ErrPinned)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close()
			if got := c.ConnectionState().NegotiatedProtocol; got != link.ALPN {
				t.Errorf("got protocol %q, want %q", got, link.ALPN)
			}
		})
	}
}

func TestRefusalsAreToldFromFailures(t *testing.T) {
	for status, final := range map[int]bool{400: true, 403: false, 404: false, 409: true, 413: true, 422: true, 401: false, 408: false, 429: false, 500: false, 502: false, 503: false, 507: false} {
		err := answer(status, io.NopCloser(strings.NewReader("not JSON")), nil)
		p, got := Final(err)
		if got != final || p.Status != status && final {
			t.Errorf("%d: final %v, want %v", status, got, final)
		}
	}
	if _, final := Final(io.ErrUnexpectedEOF); final {
		t.Error("a cut line counts as a refusal")
	}
}
