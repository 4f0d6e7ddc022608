// Package mailtest runs a real mail server for tests: Debian's Postfix and Dovecot with configuration, queue and
// mailboxes of their own in a temporary folder, on ports of the loopback. The system's services are not touched.
//
// Every address of Domains is a mailbox whose password is Password, except those named "nobody", which are refused.
// Both need root to start, as they do anywhere; other users get an error that says so.
package mailtest

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"io/fs"
	"math/big"
	"net"
	"net/smtp"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"sort"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"text/template"
	"time"
)

// Password opens every mailbox and lets everybody submit.
const Password = "Mail-Test-7"

// Options change the server that Start runs.
type Options struct {
	Domains []string          // with mailboxes here; default: example.com
	Routes  map[string]string // domain to host:port: mail for these goes there by SMTP, as to another company
	Size    int               // the largest mail in bytes; 0: Postfix's own limit
}

// Server is a running mail server.
type Server struct {
	SMTP  int // port; STARTTLS is offered, mail for Domains and Routes is taken from anybody
	SMTPS int // port with TLS from the first byte; signing in is possible on both
	IMAP  int // port; STARTTLS is offered
	IMAPS int
	Roots *x509.CertPool // for its certificate, which is for localhost

	t       testing.TB
	dir     string
	Domains []string
}

// Start runs a mail server that ends with the test.
func Start(t testing.TB, o Options) *Server {
	t.Helper()
	if len(o.Domains) == 0 {
		o.Domains = []string{"example.com"}
	}
	if os.Geteuid() != 0 {
		t.Fatal("Postfix and Dovecot start as root only: run these tests as root, for example in a container")
	}
	for _, p := range []string{"postfix", "dovecot"} {
		if _, err := exec.LookPath(p); err != nil {
			t.Fatalf("%s is not installed; on Debian and Ubuntu: apt-get install postfix dovecot-imapd dovecot-lmtpd", p)
		}
	}
	dir, err := os.MkdirTemp("/tmp", "traybell-mail-") // short: a socket's path has at most 107 bytes
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	s := &Server{t: t, dir: dir, Domains: o.Domains}
	ports := freePorts(t, 6)
	s.SMTP, s.SMTPS, s.IMAP, s.IMAPS = ports[0], ports[1], ports[2], ports[3]
	if err := s.certificate(); err != nil {
		t.Fatal(err)
	}
	data := map[string]any{"Dir": dir, "Server": s, "LMTP": ports[4], "Auth": ports[5], "Domains": strings.Join(o.Domains, " "), "Password": Password, "Size": o.Size}
	var routes []string
	for d, to := range o.Routes {
		host, port, err := net.SplitHostPort(to)
		if err != nil {
			t.Fatal(err)
		}
		routes = append(routes, fmt.Sprintf("{%s=smtp:[%s]:%s}", d, host, port))
	}
	sort.Strings(routes)
	data["Routes"] = strings.Join(routes, ", ")
	var relays []string
	for d := range o.Routes {
		relays = append(relays, d)
	}
	data["Relays"] = strings.Join(relays, " ")
	var refused []string
	for _, d := range o.Domains {
		refused = append(refused, "{nobody@"+d+"=REJECT no such mailbox}")
	}
	data["Refused"] = strings.Join(refused, ", ")
	for _, d := range []struct {
		name, owner string
		mode        fs.FileMode
	}{{".", "root", 0o755}, {"etc", "root", 0o755}, {"queue", "root", 0o755}, {"data", "postfix", 0o700}, {"run", "root", 0o755}, {"mail", "nobody", 0o700}} {
		p := filepath.Join(dir, d.name)
		if err := os.MkdirAll(p, d.mode); err != nil {
			t.Fatal(err)
		}
		if err := os.Chmod(p, d.mode); err != nil {
			t.Fatal(err)
		}
		if err := own(p, d.owner); err != nil {
			t.Fatal(err)
		}
	}
	for name, text := range map[string]string{"etc/main.cf": mainCF, "etc/master.cf": masterCF, "dovecot.conf": dovecotConf} {
		var b bytes.Buffer
		if err := template.Must(template.New(name).Parse(text)).Execute(&b, data); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, name), b.Bytes(), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	s.run("dovecot", "-F", "-c", filepath.Join(dir, "dovecot.conf"))
	s.run("postfix", "-c", filepath.Join(dir, "etc"), "start-fg")
	for _, p := range []int{s.SMTP, s.SMTPS, s.IMAP, s.IMAPS} {
		s.wait(p)
	}
	return s
}

// run starts a program that ends, with its children, with the test.
func (s *Server) run(name string, args ...string) {
	s.t.Helper()
	log, err := os.Create(filepath.Join(s.dir, name+".out"))
	if err != nil {
		s.t.Fatal(err)
	}
	defer log.Close()
	c := exec.Command(name, args...)
	c.Stdout, c.Stderr = log, log
	c.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := c.Start(); err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() {
		if name == "postfix" { // its master is in a group of its own
			exec.Command("postfix", "-c", filepath.Join(s.dir, "etc"), "stop").Run()
		}
		syscall.Kill(-c.Process.Pid, syscall.SIGTERM)
		done := make(chan struct{})
		go func() { c.Wait(); close(done) }()
		select {
		case <-done:
		case <-time.After(5 * time.Second):
			syscall.Kill(-c.Process.Pid, syscall.SIGKILL)
			<-done
		}
	})
}

// Log is what both programs have logged, for a test that fails.
func (s *Server) Log() string {
	var all string
	for _, n := range []string{"mail.log", "postfix.out", "dovecot.out", "dovecot.log"} {
		b, _ := os.ReadFile(filepath.Join(s.dir, n))
		all += "--- " + n + "\n" + string(b)
	}
	return all
}

func (s *Server) wait(port int) {
	s.t.Helper()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	deadline := time.After(30 * time.Second)
	for {
		c, err := net.DialTimeout("tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(port)), time.Second)
		if err == nil {
			c.Close()
			return
		}
		select {
		case <-tick.C:
		case <-deadline:
			s.t.Fatalf("nothing listens on port %d: %v\n%s", port, err, s.Log())
		}
	}
}

// Mails are the raw mails that a mailbox has, in order of arrival.
func (s *Server) Mails(address string) []string {
	s.t.Helper()
	var names []string
	for _, sub := range []string{"new", "cur"} {
		list, err := filepath.Glob(filepath.Join(s.dir, "mail", address, "Maildir", sub, "*"))
		if err != nil {
			s.t.Fatal(err)
		}
		names = append(names, list...)
	}
	sort.Slice(names, func(i, j int) bool { return filepath.Base(names[i]) < filepath.Base(names[j]) })
	var out []string
	for _, n := range names {
		b, err := os.ReadFile(n)
		if err != nil {
			continue // it is just being moved
		}
		out = append(out, strings.ReplaceAll(string(b), "\r\n", "\n"))
	}
	return out
}

// Wait waits until a mailbox has n mails and returns them.
func (s *Server) Wait(address string, n int) []string {
	s.t.Helper()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	deadline := time.After(30 * time.Second)
	for {
		if m := s.Mails(address); len(m) >= n {
			return m
		}
		select {
		case <-tick.C:
		case <-deadline:
			s.t.Fatalf("%s has %d mails, want %d\n%s", address, len(s.Mails(address)), n, s.Log())
		}
	}
}

// Send hands a raw mail to the server, as another company's would.
func (s *Server) Send(from, to, raw string) {
	s.t.Helper()
	err := func() error {
		c, err := smtp.Dial(net.JoinHostPort("127.0.0.1", strconv.Itoa(s.SMTP)))
		if err != nil {
			return err
		}
		defer c.Close()
		if err := c.Mail(from); err != nil {
			return err
		}
		if err := c.Rcpt(to); err != nil {
			return err
		}
		w, err := c.Data()
		if err != nil {
			return err
		}
		if _, err := w.Write([]byte(raw)); err != nil {
			return err
		}
		if err := w.Close(); err != nil {
			return err
		}
		return c.Quit()
	}()
	if err != nil {
		s.t.Fatalf("send from %s to %s: %v\n%s", from, to, err, s.Log())
	}
}

func own(path, name string) error {
	u, err := user.Lookup(name)
	if err != nil {
		return err
	}
	uid, _ := strconv.Atoi(u.Uid)
	gid, _ := strconv.Atoi(u.Gid)
	return os.Chown(path, uid, gid)
}

// freePorts finds ports that nobody uses now.
func freePorts(t testing.TB, n int) []int {
	t.Helper()
	var ports []int
	for range n {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close()
		ports = append(ports, l.Addr().(*net.TCPAddr).Port)
	}
	return ports
}

// certificate makes an authority and a certificate for localhost.
func (s *Server) certificate() error {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return err
	}
	now := time.Now()
	c := &x509.Certificate{SerialNumber: big.NewInt(now.UnixNano()), Subject: pkix.Name{CommonName: "mailtest"}, NotBefore: now.Add(-time.Hour), NotAfter: now.Add(24 * time.Hour), IsCA: true, BasicConstraintsValid: true,
		KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign, DNSNames: []string{"localhost"}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}}
	der, err := x509.CreateCertificate(rand.Reader, c, c, &key.PublicKey, key)
	if err != nil {
		return err
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(s.dir, "cert.pem"), pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), 0o644); err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(s.dir, "key.pem"), pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: private}), 0o600); err != nil {
		return err
	}
	made, err := x509.ParseCertificate(der)
	if err != nil {
		return err
	}
	s.Roots = x509.NewCertPool()
	s.Roots.AddCert(made)
	return nil
}

const mainCF = `compatibility_level = 3.6
queue_directory = {{.Dir}}/queue
data_directory = {{.Dir}}/data
maillog_file = {{.Dir}}/mail.log
maillog_file_prefixes = {{.Dir}}
mail_owner = postfix
setgid_group = postdrop
myhostname = mail.test
mydestination =
inet_interfaces = 127.0.0.1
inet_protocols = ipv4
smtputf8_enable = no
virtual_mailbox_domains = {{.Domains}}
virtual_mailbox_maps = static:ok
virtual_transport = lmtp:inet:127.0.0.1:{{.LMTP}}
relay_domains = {{.Relays}}
{{if .Routes}}transport_maps = inline:{ {{.Routes}} }
{{end}}
default_transport = error:this mail server reaches nobody else
smtp_tls_security_level = may
smtpd_tls_security_level = may
smtpd_tls_cert_file = {{.Dir}}/cert.pem
smtpd_tls_key_file = {{.Dir}}/key.pem
smtpd_tls_auth_only = yes
smtpd_sasl_auth_enable = yes
smtpd_sasl_type = dovecot
smtpd_sasl_path = inet:127.0.0.1:{{.Auth}}
smtpd_recipient_restrictions = check_recipient_access inline:{ {{.Refused}} }, permit_sasl_authenticated, reject_unauth_destination
smtpd_client_connection_rate_limit = 0
recipient_delimiter = +
minimal_backoff_time = 1s
maximal_backoff_time = 2s
queue_run_delay = 1s
{{if .Size}}message_size_limit = {{.Size}}
{{end}}`

const masterCF = `127.0.0.1:{{.Server.SMTP}} inet n - n - - smtpd
127.0.0.1:{{.Server.SMTPS}} inet n - n - - smtpd -o smtpd_tls_wrappermode=yes
pickup unix n - n 60 1 pickup
cleanup unix n - n - 0 cleanup
qmgr unix n - n 300 1 qmgr
tlsmgr unix - - n 1000? 1 tlsmgr
rewrite unix - - n - - trivial-rewrite
bounce unix - - n - 0 bounce
defer unix - - n - 0 bounce
trace unix - - n - 0 bounce
verify unix - - n - 1 verify
proxymap unix - - n - - proxymap
smtp unix - - n - - smtp
relay unix - - n - - smtp
error unix - - n - - error
retry unix - - n - - error
discard unix - - n - - discard
lmtp unix - - n - - lmtp
anvil unix - - n - 1 anvil
scache unix - - n - 1 scache
postlog unix-dgram n - n - 1 postlogd
`

const dovecotConf = `base_dir = {{.Dir}}/run
state_dir = {{.Dir}}/run
log_path = {{.Dir}}/dovecot.log
protocols = imap lmtp
listen = 127.0.0.1
ssl = yes
ssl_cert = <{{.Dir}}/cert.pem
ssl_key = <{{.Dir}}/key.pem
disable_plaintext_auth = yes
login_trusted_networks =
first_valid_uid = 1
mail_location = maildir:~/Maildir
recipient_delimiter = +
passdb {
  driver = static
  args = password={{.Password}}
}
userdb {
  driver = static
  args = uid=nobody gid=nogroup home={{.Dir}}/mail/%u allow_all_users=yes
}
service auth {
  inet_listener {
    address = 127.0.0.1
    port = {{.Auth}}
  }
}
service imap-login {
  inet_listener imap {
    port = {{.Server.IMAP}}
  }
  inet_listener imaps {
    port = {{.Server.IMAPS}}
    ssl = yes
  }
}
service lmtp {
  inet_listener lmtp {
    address = 127.0.0.1
    port = {{.LMTP}}
  }
}
`
