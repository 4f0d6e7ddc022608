package directory_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"errors"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/traybell/traybell/server/internal/account"
	"github.com/traybell/traybell/server/internal/directory"
	"github.com/traybell/traybell/server/internal/directory/directorytest"
)

func TestOIDCAgainstARealProvider(t *testing.T) {
	const back = "https://localhost:8443/sign-in/back/1"
	p := directorytest.StartProvider(t, back)
	o := directory.NewOIDC()
	set := p.Settings()
	begin := func() (string, account.Flow) {
		t.Helper()
		location, f, err := o.Begin(t.Context(), set, back)
		if err != nil {
			t.Fatal(err)
		}
		return location, f
	}
	location, f := begin()
	if q := mustURL(t, location).Query(); q.Get("code_challenge_method") != "S256" || q.Get("code_challenge") == "" || q.Get("nonce") == "" || strings.Contains(location, f.Verifier) {
		t.Errorf("no PKCE, or no nonce: %s", location)
	}
	answer := p.Approve(t, location, "carla").Query()
	i, err := o.Finish(t.Context(), set, directorytest.ClientSecret, f, answer)
	if err != nil {
		t.Fatal(err)
	}
	if i.Email != "carla@contoso.example" || !i.Verified || i.ID != p.Issuer+"#carla" || i.Name != "Carla" || !slices.Equal(names(i.Groups), []string{"leads", "staff"}) {
		t.Errorf("got %+v", i)
	}
	if _, err := o.Finish(t.Context(), set, directorytest.ClientSecret, f, answer); !errors.Is(err, account.ErrTokenExchange) {
		t.Errorf("the same code again: %v", err)
	}

	location, f = begin()
	answer = p.Approve(t, location, "otto").Query()
	wrong := f
	wrong.Verifier = strings.Repeat("a", 43)
	if _, err := o.Finish(t.Context(), set, directorytest.ClientSecret, wrong, answer); !errors.Is(err, account.ErrTokenExchange) {
		t.Errorf("without the verifier of PKCE: %v", err)
	}
	location, f = begin()
	if _, err := o.Finish(t.Context(), set, "wrong", f, p.Approve(t, location, "otto").Query()); !errors.Is(err, account.ErrTokenExchange) {
		t.Errorf("a wrong client secret: %v", err)
	}
	location, f = begin()
	if i, err := o.Finish(t.Context(), set, directorytest.ClientSecret, f, p.Approve(t, location, "unverified").Query()); err != nil || i.Verified {
		t.Errorf("an address that is not verified: %+v %v", i, err)
	}
}

func mustURL(t *testing.T, s string) *url.URL {
	t.Helper()
	u, err := url.Parse(s)
	if err != nil {
		t.Fatal(err)
	}
	return u
}

// rogue is a provider that does what a test tells it.
type rogue struct {
	*httptest.Server
	key      *ecdsa.PrivateKey
	describe func(map[string]any)       // changes the description
	claims   func(map[string]any)       // changes the token's claims
	sign     func(claims []byte) string // in place of a good signature
	info     map[string]any             // what userinfo says
	nonce    string
}

func part(v any) string {
	b, err := json.Marshal(v)
	if err != nil {
		panic(err)
	}
	return base64.RawURLEncoding.EncodeToString(b)
}

// es256 signs the JWT of a head and claims.
func es256(key *ecdsa.PrivateKey, head, claims any) string {
	text := part(head) + "." + part(claims)
	sum := sha256.Sum256([]byte(text))
	r, s, err := ecdsa.Sign(rand.Reader, key, sum[:])
	if err != nil {
		panic(err)
	}
	sig := make([]byte, 64)
	r.FillBytes(sig[:32])
	s.FillBytes(sig[32:])
	return text + "." + base64.RawURLEncoding.EncodeToString(sig)
}

func newRogue(t *testing.T) *rogue {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	a := &rogue{key: key}
	mux := http.NewServeMux()
	answer := func(w http.ResponseWriter, v any) {
		w.Header().Set("Content-Type", "application/json")
		json.NewEncoder(w).Encode(v)
	}
	mux.HandleFunc("/.well-known/openid-configuration", func(w http.ResponseWriter, r *http.Request) {
		d := map[string]any{"issuer": a.URL, "authorization_endpoint": a.URL + "/auth", "token_endpoint": a.URL + "/token", "jwks_uri": a.URL + "/keys", "userinfo_endpoint": a.URL + "/me",
			"id_token_signing_alg_values_supported": []string{"ES256", "HS256", "none"}}
		if a.describe != nil {
			a.describe(d)
		}
		answer(w, d)
	})
	mux.HandleFunc("/keys", func(w http.ResponseWriter, r *http.Request) {
		x, y := make([]byte, 32), make([]byte, 32)
		key.X.FillBytes(x)
		key.Y.FillBytes(y)
		answer(w, map[string]any{"keys": []any{map[string]any{"kty": "EC", "crv": "P-256", "alg": "ES256", "use": "sig", "kid": "1", "x": base64.RawURLEncoding.EncodeToString(x), "y": base64.RawURLEncoding.EncodeToString(y)}}})
	})
	mux.HandleFunc("/me", func(w http.ResponseWriter, r *http.Request) { answer(w, a.info) })
	mux.HandleFunc("/token", func(w http.ResponseWriter, r *http.Request) {
		now := time.Now()
		c := map[string]any{"iss": a.URL, "aud": "traybell", "sub": "7", "nonce": a.nonce, "iat": now.Unix(), "exp": now.Add(time.Minute).Unix(), "email": "lucia@contoso.example", "email_verified": true, "name": "Lucia"}
		if a.claims != nil {
			a.claims(c)
		}
		var token string
		if a.sign != nil {
			b, _ := json.Marshal(c)
			token = a.sign(b)
		} else {
			token = es256(key, map[string]any{"alg": "ES256", "kid": "1"}, c)
		}
		answer(w, map[string]any{"access_token": "at", "token_type": "Bearer", "id_token": token})
	})
	a.Server = httptest.NewTLSServer(mux)
	t.Cleanup(a.Close)
	return a
}

func (a *rogue) settings() account.OIDCSettings {
	ca := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: a.Certificate().Raw})
	return account.OIDCSettings{Issuer: a.URL, ClientID: "traybell", CA: string(ca)}
}

// Each case is refused with its own error, and passes without what is wrong in it.
func TestOIDCRefusesWhatIsNotRight(t *testing.T) {
	set := func(k string, v any) func(*rogue) {
		return func(a *rogue) {
			a.claims = func(c map[string]any) {
				if c[k] = v; v == nil {
					delete(c, k)
				}
			}
		}
	}
	other, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	now := time.Now()
	for _, tt := range []struct {
		name   string
		make   func(*rogue)
		answer func(*rogue, url.Values)
		want   error
	}{
		{"another nonce", set("nonce", "other"), nil, account.ErrTokenNonce},
		{"no nonce", set("nonce", nil), nil, account.ErrTokenNonce},
		{"another audience", set("aud", "other"), nil, account.ErrTokenAudience},
		{"no audience", set("aud", nil), nil, account.ErrTokenAudience},
		{"several audiences and no authorized party", set("aud", []string{"traybell", "other"}), nil, account.ErrTokenAudience},
		{"another authorized party", set("azp", "other"), nil, account.ErrTokenAudience},
		{"another issuer", set("iss", "https://other.example"), nil, account.ErrTokenIssuer},
		{"an issuer with a slash", func(a *rogue) { a.claims = func(c map[string]any) { c["iss"] = a.URL + "/" } }, nil, account.ErrTokenIssuer},
		{"a token that has expired", set("exp", now.Add(-2*time.Minute).Unix()), nil, account.ErrTokenExpired},
		{"no expiry", set("exp", nil), nil, account.ErrTokenExpired},
		{"a token from the future", set("iat", now.Add(time.Hour).Unix()), nil, account.ErrTokenExpired},
		{"a token for later", set("nbf", now.Add(time.Hour).Unix()), nil, account.ErrTokenExpired},
		{"no subject", set("sub", nil), nil, account.ErrDirectoryAnswer},
		{"a signature of another key", func(a *rogue) {
			a.sign = func(c []byte) string {
				return es256(other, map[string]any{"alg": "ES256", "kid": "1"}, json.RawMessage(c))
			}
		}, nil, account.ErrTokenSignature},
		{"changed claims", func(a *rogue) {
			a.sign = func(c []byte) string {
				p := strings.Split(es256(a.key, map[string]any{"alg": "ES256", "kid": "1"}, json.RawMessage(c)), ".")
				return p[0] + "." + part(json.RawMessage(strings.Replace(string(c), "lucia@", "boss@", 1))) + "." + p[2]
			}
		}, nil, account.ErrTokenSignature},
		{"no signature", func(a *rogue) {
			a.sign = func(c []byte) string {
				return part(map[string]any{"alg": "none"}) + "." + part(json.RawMessage(c)) + "."
			}
		}, nil, account.ErrTokenSignature},
		{"the public key as a secret", func(a *rogue) {
			a.sign = func(c []byte) string {
				der, _ := x509.MarshalPKIXPublicKey(&a.key.PublicKey)
				return hs256(pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der}), c)
			}
		}, nil, account.ErrTokenSignature},
		{"the client secret as a key", func(a *rogue) {
			a.sign = func(c []byte) string { return hs256([]byte("secret"), c) }
		}, nil, account.ErrTokenSignature},
		{"no token", func(a *rogue) { a.sign = func([]byte) string { return "" } }, nil, account.ErrTokenSignature},
		{"another hash of the access token", set("at_hash", "AAAA"), nil, account.ErrTokenSignature},
		{"another state", nil, func(_ *rogue, q url.Values) { q.Set("state", "other") }, account.ErrTokenState},
		{"no state", nil, func(_ *rogue, q url.Values) { q.Del("state") }, account.ErrTokenState},
		{"a mix-up: the answer of another issuer", nil, func(_ *rogue, q url.Values) { q.Set("iss", "https://other.example") }, account.ErrTokenIssuer},
		{"an answer without its issuer, which was promised", func(a *rogue) {
			a.describe = func(d map[string]any) { d["authorization_response_iss_parameter_supported"] = true }
		}, nil, account.ErrTokenIssuer},
		{"a no of the provider", nil, func(_ *rogue, q url.Values) { q.Set("error", "access_denied"); q.Del("code") }, account.ErrTokenRefused},
		{"userinfo about somebody else", func(a *rogue) {
			set("email", nil)(a)
			a.info = map[string]any{"sub": "8", "email": "boss@contoso.example", "email_verified": true}
		}, nil, account.ErrTokenSubject},
	} {
		t.Run(tt.name, func(t *testing.T) {
			run := func(bad bool) error {
				a := newRogue(t)
				if bad && tt.make != nil {
					tt.make(a)
				}
				o := directory.NewOIDC()
				_, f, err := o.Begin(t.Context(), a.settings(), "https://localhost/back")
				if err != nil {
					t.Fatal(err)
				}
				a.nonce = f.Nonce
				q := url.Values{"state": {f.State}, "code": {"c"}}
				if bad && tt.answer != nil {
					tt.answer(a, q)
				}
				i, err := o.Finish(t.Context(), a.settings(), "secret", f, q)
				if err == nil && (i.Email != "lucia@contoso.example" || !i.Verified) {
					t.Errorf("got %+v", i)
				}
				return err
			}
			if err := run(true); !errors.Is(err, tt.want) {
				t.Errorf("got %v, want %v", err, tt.want)
			}
			if err := run(false); err != nil {
				t.Errorf("the twin: %v", err)
			}
		})
	}
}

func hs256(key, claims []byte) string {
	text := part(map[string]any{"alg": "HS256", "kid": "1"}) + "." + part(json.RawMessage(claims))
	m := hmac.New(sha256.New, key)
	m.Write([]byte(text))
	return text + "." + base64.RawURLEncoding.EncodeToString(m.Sum(nil))
}

func TestOIDCAddressesCountOnlyWhenVerified(t *testing.T) {
	for _, tt := range []struct {
		name  string
		value any
		trust bool
		want  bool
	}{
		{"verified", true, false, true}, {"verified as text", "true", false, true}, {"not verified", false, false, false}, {"not verified, though trusted", false, true, false},
		{"not said", nil, false, false}, {"not said, trusted", nil, true, true}, {"nonsense", 1, true, false},
	} {
		a := newRogue(t)
		a.claims = func(c map[string]any) {
			if c["email_verified"] = tt.value; tt.value == nil {
				delete(c, "email_verified")
			}
		}
		o, s := directory.NewOIDC(), a.settings()
		s.TrustEmail = tt.trust
		_, f, err := o.Begin(t.Context(), s, "https://localhost/back")
		if err != nil {
			t.Fatal(err)
		}
		a.nonce = f.Nonce
		if i, err := o.Finish(t.Context(), s, "", f, url.Values{"state": {f.State}, "code": {"c"}}); err != nil || i.Verified != tt.want {
			t.Errorf("%s: got %v, %v", tt.name, i.Verified, err)
		}
	}
}

func TestOIDCDescriptionsAreChecked(t *testing.T) {
	for name, tt := range map[string]struct {
		make func(*rogue)
		set  func(*account.OIDCSettings)
		want error
	}{
		"another issuer":        {func(a *rogue) { a.describe = func(d map[string]any) { d["issuer"] = "https://other.example" } }, nil, account.ErrTokenIssuer},
		"an unprotected token":  {func(a *rogue) { a.describe = func(d map[string]any) { d["token_endpoint"] = "http://localhost/token" } }, nil, account.ErrDirectoryAnswer},
		"no provider":           {nil, func(s *account.OIDCSettings) { s.Issuer += "/nothing" }, account.ErrDirectoryAnswer},
		"a foreign certificate": {nil, func(s *account.OIDCSettings) { s.CA = "" }, account.ErrDirectoryCertificate},
		"nobody there":          {nil, func(s *account.OIDCSettings) { s.Issuer = "https://localhost:1" }, account.ErrDirectoryUnreachable},
	} {
		a := newRogue(t)
		if tt.make != nil {
			tt.make(a)
		}
		s := a.settings()
		if tt.set != nil {
			tt.set(&s)
		}
		if _, _, err := directory.NewOIDC().Begin(t.Context(), s, "https://localhost/back"); !errors.Is(err, tt.want) {
			t.Errorf("%s: got %v, want %v", name, err, tt.want)
		}
	}
}
