package httpd

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

// TestOnlyTrustedProxiesSayWhoSent shows whom a request is taken to come from.
func TestOnlyTrustedProxiesSayWhoSent(t *testing.T) {
	for _, k := range []struct {
		name, trusted, remote string
		forwarded             []string
		want                  string
	}{
		{"off", "", "10.0.0.1:99", []string{"192.0.2.1"}, "10.0.0.1:99"},
		{"a stranger lies", "10.0.0.0/8", "198.51.100.9:99", []string{"192.0.2.1"}, "198.51.100.9:99"},
		{"the proxy says it", "10.0.0.0/8", "10.0.0.1:99", []string{"192.0.2.1"}, "192.0.2.1:0"},
		{"one address", "10.0.0.1", "10.0.0.1:99", []string{"192.0.2.1"}, "192.0.2.1:0"},
		{"another address", "10.0.0.1", "10.0.0.2:99", []string{"192.0.2.1"}, "10.0.0.2:99"},
		{"the client has lied to the proxy", "10.0.0.0/8", "10.0.0.1:99", []string{"203.0.113.5, 192.0.2.1"}, "192.0.2.1:0"},
		{"two proxies", "10.0.0.0/8", "10.0.0.1:99", []string{"203.0.113.5, 192.0.2.1, 10.0.0.7"}, "192.0.2.1:0"},
		{"two headers", "10.0.0.0/8", "10.0.0.1:99", []string{"192.0.2.1", "10.0.0.7"}, "192.0.2.1:0"},
		{"nothing said", "10.0.0.0/8", "10.0.0.1:99", nil, "10.0.0.1:99"},
		{"nonsense", "10.0.0.0/8", "10.0.0.1:99", []string{"unknown"}, "10.0.0.1:99"},
		{"nonsense further out", "10.0.0.0/8", "10.0.0.1:99", []string{"<script>, 10.0.0.7"}, "10.0.0.7:0"},
		{"IPv6", "fd00::/8", "[fd00::1]:99", []string{"2001:db8::5"}, "[2001:db8::5]:0"},
		{"IPv4 in IPv6", "127.0.0.0/8", "[::ffff:127.0.0.1]:99", []string{"::ffff:192.0.2.1"}, "192.0.2.1:0"},
		{"far too long", "10.0.0.0/8", "10.0.0.1:99", []string{strings.Repeat("10.0.0.7,", 1000) + "192.0.2.1"}, "10.0.0.1:99"},
	} {
		t.Run(k.name, func(t *testing.T) {
			var list []string
			if k.trusted != "" {
				list = []string{k.trusted}
			}
			proxies, err := ParseProxies(list)
			if err != nil {
				t.Fatal(err)
			}
			got := ""
			r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/", nil)
			r.RemoteAddr = k.remote
			for _, f := range k.forwarded {
				r.Header.Add("X-Forwarded-For", f)
			}
			behind(proxies, http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { got = r.RemoteAddr })).ServeHTTP(httptest.NewRecorder(), r)
			if got != k.want {
				t.Errorf("the request comes from %s, want %s", got, k.want)
			}
		})
	}
	for _, wrong := range []string{"proxy.example", "10.0.0.0/99", ""} {
		if _, err := ParseProxies([]string{wrong}); err == nil {
			t.Errorf("%q is a network", wrong)
		}
	}
}

// FuzzSender takes what anybody may write into the header.
func FuzzSender(f *testing.F) {
	f.Add("10.0.0.1:99", "192.0.2.1, 10.0.0.7")
	proxies, err := ParseProxies([]string{"10.0.0.0/8"})
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, remote, forwarded string) {
		if from, ok := sender(proxies, remote, []string{forwarded}); ok && (!from.IsValid() || !strings.HasPrefix(remote, "10.") && !strings.Contains(remote, "10.")) {
			t.Errorf("%q, %q: %v", remote, forwarded, from)
		}
	})
}
