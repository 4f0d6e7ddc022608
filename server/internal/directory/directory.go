// Package directory speaks to the directories in which people have their passwords: LDAP servers, Active
// Directory among them, and OpenID providers.
//
// It finds out who somebody is and says so as an account.Identity, or gives one of the errors of package
// account. It decides nothing and keeps nothing: what a person may become in Traybell is a rule of package
// account, and desk/people, which calls it, stores it. Whatever a directory answers is foreign: connections
// are protected and their certificates checked, waiting times and sizes are bounded, referrals and redirects to
// other places are not followed.
package directory

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"time"

	"github.com/traybell/traybell/server/internal/account"
)

// Bounds of what a directory may take and send.
const (
	patience  = 10 * time.Second // for one answer
	maxAnswer = 8 << 20          // bytes of one connection or body
)

// trust is the TLS configuration for a server: its name is checked against the settings' authorities, or those
// of the system when there are none.
func trust(ca, serverName string) (*tls.Config, error) {
	list, err := account.Authorities(ca)
	if err != nil {
		return nil, err
	}
	c := &tls.Config{ServerName: serverName, MinVersion: tls.VersionTLS12}
	if len(list) > 0 {
		c.RootCAs = x509.NewCertPool()
		for _, a := range list {
			c.RootCAs.AddCert(a)
		}
	}
	return c, nil
}

// unreached tells a certificate that is not trusted from a server that does not answer.
func unreached(err error) error {
	var cert *tls.CertificateVerificationError
	// go-ldap's StartTLS hands on the text of the handshake's error only.
	if errors.As(err, &cert) || strings.Contains(err.Error(), "tls: failed to verify certificate") {
		return fmt.Errorf("%w: %w", account.ErrDirectoryCertificate, err)
	}
	return fmt.Errorf("%w: %w", account.ErrDirectoryUnreachable, err)
}

// bounded is a connection that gives up after maxAnswer bytes.
type bounded struct {
	net.Conn
	left int
}

// Read implements net.Conn.
func (b *bounded) Read(p []byte) (int, error) {
	if b.left <= 0 {
		return 0, io.ErrUnexpectedEOF
	}
	n, err := b.Conn.Read(p[:min(len(p), b.left)])
	b.left -= n
	return n, err
}
