// Package directorytest runs real directories for tests: OpenLDAP's slapd with a small company in it.
//
// The server is a process of the test with its data in a temporary folder, on ports of its own on the loopback
// interface, and a certificate of an authority that only the test knows. The system's own slapd is never touched.
package directorytest

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/traybell/traybell/server/internal/account"
)

// What is in the directory.
const (
	Base       = "dc=studioverdi,dc=example"
	People     = "ou=people," + Base
	Groups     = "ou=groups," + Base
	AdminDN    = "cn=admin," + Base
	SearchDN   = "cn=traybell," + Base
	Secret     = "Search-Account-1" // of the search account
	Password   = "Lucia's (very) *good* \\ Passwort"
	AdminEmail = "c.neri@studioverdi.example"
)

// Slapd is a running server.
type Slapd struct {
	Plain  string // host:port for StartTLS
	Secure string // host:port for LDAPS
	CA     string // PEM of the authority that has issued its certificate
	socket string
}

// Settings are good ones for the server.
func (s *Slapd) Settings() account.LDAPSettings {
	l := account.LDAPPresets["openldap"]
	l.Server, l.CA, l.BindDN, l.Base = s.Plain, s.CA, SearchDN, Base
	return l
}

// Authority issues certificates for localhost.
type Authority struct {
	PEM  string
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

// NewAuthority makes an authority.
func NewAuthority(t testing.TB) *Authority {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	c := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "test authority"}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign}
	der, err := x509.CreateCertificate(rand.Reader, c, c, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	if c, err = x509.ParseCertificate(der); err != nil {
		t.Fatal(err)
	}
	return &Authority{PEM: string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})), cert: c, key: key}
}

// Issue makes a certificate for a name and its key, both PEM.
func (a *Authority) Issue(t testing.TB, name string) (cert, key []byte) {
	t.Helper()
	k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	c := &x509.Certificate{SerialNumber: big.NewInt(2), Subject: pkix.Name{CommonName: name}, DNSNames: []string{name}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}}
	der, err := x509.CreateCertificate(rand.Reader, c, a.cert, &k.PublicKey, a.key)
	if err != nil {
		t.Fatal(err)
	}
	b, err := x509.MarshalPKCS8PrivateKey(k)
	if err != nil {
		t.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: b})
}

const config = `
include /etc/ldap/schema/core.schema
include /etc/ldap/schema/cosine.schema
include /etc/ldap/schema/inetorgperson.schema
modulepath /usr/lib/ldap
moduleload back_mdb
moduleload ppolicy
moduleload memberof
pidfile %[1]s/slapd.pid
TLSCACertificateFile %[1]s/ca.pem
TLSCertificateFile %[1]s/cert.pem
TLSCertificateKeyFile %[1]s/key.pem
TLSProtocolMin 3.3
security simple_bind=128
localSSF 256
database mdb
suffix "%[2]s"
directory %[1]s/data
rootdn "%[3]s"
rootpw Admin-1
overlay ppolicy
overlay memberof
memberof-refint TRUE
access to attrs=userPassword by anonymous auth by * none
access to * by dn.exact="%[4]s" read by * none
`

const entries = `dn: dc=studioverdi,dc=example
objectClass: dcObject
objectClass: organization
o: Studio Verdi
dc: studioverdi

dn: ou=people,dc=studioverdi,dc=example
objectClass: organizationalUnit
ou: people

dn: ou=groups,dc=studioverdi,dc=example
objectClass: organizationalUnit
ou: groups

dn: cn=traybell,dc=studioverdi,dc=example
objectClass: organizationalRole
objectClass: simpleSecurityObject
cn: traybell
userPassword: Search-Account-1

`

// Start runs a server that ends with the test. It needs Debian's packages slapd and ldap-utils.
func Start(t testing.TB) *Slapd {
	t.Helper()
	dir, err := os.MkdirTemp("", "slapd-") // the path of a socket must be short
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	a := NewAuthority(t)
	cert, key := a.Issue(t, "localhost")
	must(os.Mkdir(filepath.Join(dir, "data"), 0o700))
	for name, b := range map[string][]byte{"ca.pem": []byte(a.PEM), "cert.pem": cert, "key.pem": key, "slapd.conf": fmt.Appendf(nil, config, dir, Base, AdminDN, SearchDN), "base.ldif": []byte(entries)} {
		must(os.WriteFile(filepath.Join(dir, name), b, 0o600))
	}
	slapadd := exec.CommandContext(t.Context(), program("slapadd"), "-f", filepath.Join(dir, "slapd.conf"), "-l", filepath.Join(dir, "base.ldif"))
	if out, err := slapadd.CombinedOutput(); err != nil {
		t.Fatalf("slapadd (Debian's package slapd): %v\n%s", err, out)
	}
	s := &Slapd{Plain: fmt.Sprintf("localhost:%d", free(t)), Secure: fmt.Sprintf("localhost:%d", free(t)), CA: a.PEM, socket: "ldapi://" + url.QueryEscape(filepath.Join(dir, "socket"))}
	cmd := exec.Command(program("slapd"), "-f", filepath.Join(dir, "slapd.conf"), "-h", "ldap://"+s.Plain+" ldaps://"+s.Secure+" "+s.socket, "-d", "0")
	var said strings.Builder
	cmd.Stderr = &said
	must(cmd.Start())
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	t.Cleanup(func() {
		cmd.Process.Kill()
		<-ended
	})
	tick, deadline := time.NewTicker(20*time.Millisecond), time.After(20*time.Second)
	defer tick.Stop()
	for {
		c, err := net.Dial("tcp", s.Secure)
		if err == nil {
			c.Close()
			break
		}
		select {
		case <-tick.C:
		case err := <-ended:
			ended <- err
			t.Fatalf("slapd has ended: %v\n%s", err, said.String())
		case <-deadline:
			t.Fatalf("slapd does not answer: %v", err)
		}
	}
	s.Person(t, "lucia", "l.rossi@studioverdi.example", "Lucia Rossi")
	s.Person(t, "otto", "o.weber@studioverdi.example", "Otto Weber (Büro)")
	s.Person(t, "carla", AdminEmail, "Carla Neri")
	s.Group(t, "staff", "lucia", "otto", "carla")
	s.Group(t, "leads", "carla")
	// leads are in managers, managers in board, and board, by mistake, in leads
	s.Change(t, `dn: cn=managers,`+Groups+`
changetype: add
objectClass: groupOfNames
cn: managers
member: cn=leads,`+Groups+`

dn: cn=board,`+Groups+`
changetype: add
objectClass: groupOfNames
cn: board
member: cn=managers,`+Groups+`

dn: cn=leads,`+Groups+`
changetype: modify
add: member
member: cn=board,`+Groups+`
`)
	return s
}

// program finds a program that belongs into a folder that is not in everybody's path.
func program(name string) string {
	if p, err := exec.LookPath(name); err == nil {
		return p
	}
	return "/usr/sbin/" + name
}

func free(t testing.TB) int {
	l, err := net.Listen("tcp", "localhost:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port
}

// Person adds somebody whose password is Password.
func (s *Slapd) Person(t testing.TB, uid, mail, name string) {
	t.Helper()
	s.Change(t, fmt.Sprintf("dn: uid=%[1]s,%[2]s\nchangetype: add\nobjectClass: inetOrgPerson\nuid: %[1]s\ncn: %[3]s\nsn: %[3]s\nmail: %[4]s\nuserPassword: %[5]s\n", uid, People, name, mail, Password))
}

// Group adds a group of people.
func (s *Slapd) Group(t testing.TB, name string, uids ...string) {
	t.Helper()
	text := fmt.Sprintf("dn: cn=%s,%s\nchangetype: add\nobjectClass: groupOfNames\ncn: %[1]s\n", name, Groups)
	for _, u := range uids {
		text += "member: uid=" + u + "," + People + "\n"
	}
	s.Change(t, text)
}

// Disable locks somebody as an administrator does.
func (s *Slapd) Disable(t testing.TB, uid string) {
	t.Helper()
	s.Change(t, "dn: uid="+uid+","+People+"\nchangetype: modify\nreplace: pwdAccountLockedTime\npwdAccountLockedTime: 000001010000Z\n")
}

// Enable unlocks somebody again.
func (s *Slapd) Enable(t testing.TB, uid string) {
	t.Helper()
	s.Change(t, "dn: uid="+uid+","+People+"\nchangetype: modify\ndelete: pwdAccountLockedTime\n")
}

// Remove deletes somebody.
func (s *Slapd) Remove(t testing.TB, uid string) {
	t.Helper()
	s.Change(t, "dn: uid="+uid+","+People+"\nchangetype: delete\n")
}

// Change runs an LDIF as the directory's administrator, with OpenLDAP's own tool.
func (s *Slapd) Change(t testing.TB, ldif string) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "ldapmodify", "-x", "-H", s.socket, "-D", AdminDN, "-w", "Admin-1")
	cmd.Stdin = strings.NewReader(ldif)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("ldapmodify (Debian's package ldap-utils): %v\n%s\n%s", err, out, ldif)
	}
}
