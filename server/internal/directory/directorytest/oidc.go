package directorytest

import (
	"bufio"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"
	"testing"

	"github.com/traybell/traybell/server/internal/account"
)

// ClientSecret is the secret of the only client of a Provider, whose id is "traybell".
const ClientSecret = "Client-Secret-1"

// Provider is npm's oidc-provider as a process of the test. Every name signs in; carla is in the group leads, the address
// of unverified is not verified.
type Provider struct {
	Issuer string
	CA     string // PEM
}

// Settings are good ones for the provider.
func (p *Provider) Settings() account.OIDCSettings {
	return account.OIDCSettings{Issuer: p.Issuer, ClientID: "traybell", CA: p.CA, GroupsClaim: "groups"}
}

// StartProvider runs a provider that ends with the test and sends people back to redirect. It needs Node.js and the
// packages that ./task setup installs.
func StartProvider(t testing.TB, redirect string) *Provider {
	t.Helper()
	_, here, _, _ := runtime.Caller(0)
	home := filepath.Join(filepath.Dir(here), "oidc")
	dir := t.TempDir()
	a := NewAuthority(t)
	cert, key := a.Issue(t, "localhost")
	for name, b := range map[string][]byte{"cert.pem": cert, "key.pem": key} {
		if err := os.WriteFile(filepath.Join(dir, name), b, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	port := free(t)
	cmd := exec.Command("node", filepath.Join(home, "provider.mjs"), fmt.Sprint(port), filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem"), redirect)
	cmd.Dir = home
	var said strings.Builder
	cmd.Stderr = &said
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		cmd.Process.Kill()
		cmd.Wait()
	})
	if line, err := bufio.NewReader(out).ReadString('\n'); err != nil || line != "ready\n" {
		cmd.Process.Kill()
		cmd.Wait()
		t.Fatalf("oidc-provider does not start (tools/setup/setup test installs it): %q %v\n%s", line, err, said.String())
	}
	return &Provider{Issuer: fmt.Sprintf("https://localhost:%d", port), CA: a.PEM}
}

var action = regexp.MustCompile(`action="([^"]+)"`)

// Approve plays a person's browser at the provider: it opens location, signs in as somebody, consents, and
// returns the address to which the provider sends it back.
func (p *Provider) Approve(t testing.TB, location, who string) *url.URL {
	t.Helper()
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM([]byte(p.CA))
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	transport := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots}}
	defer transport.CloseIdleConnections()
	c := &http.Client{Jar: jar, Transport: transport, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	at, err := url.Parse(location)
	if err != nil {
		t.Fatal(err)
	}
	for range 12 {
		if at.Scheme+"://"+at.Host != p.Issuer {
			return at
		}
		res, err := c.Get(at.String())
		if err != nil {
			t.Fatal(err)
		}
		body := new(strings.Builder)
		bufio.NewReader(res.Body).WriteTo(body)
		res.Body.Close()
		if res.StatusCode == http.StatusOK {
			m := action.FindStringSubmatch(body.String())
			if m == nil {
				t.Fatalf("no form at %s: %s", at.Path, body)
			}
			form := url.Values{"prompt": {"consent"}}
			if strings.Contains(body.String(), `value="login"`) {
				form = url.Values{"prompt": {"login"}, "login": {who}, "password": {"any"}}
			}
			to, err := at.Parse(m[1])
			if err != nil {
				t.Fatal(err)
			}
			if res, err = c.PostForm(to.String(), form); err != nil {
				t.Fatal(err)
			}
			res.Body.Close()
		}
		next := res.Header.Get("Location")
		if next == "" {
			t.Fatalf("%s at %s: %s", res.Status, at, body)
		}
		if at, err = at.Parse(next); err != nil {
			t.Fatal(err)
		}
	}
	t.Fatalf("the provider sends back and forth: %s", at)
	return nil
}
