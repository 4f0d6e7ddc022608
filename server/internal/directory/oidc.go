package directory

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/coreos/go-oidc/v3/oidc"
	"golang.org/x/oauth2"

	"github.com/traybell/traybell/server/internal/account"
)

const (
	skew          = time.Minute      // how far clocks may be apart
	describedFor  = 10 * time.Minute // how long a provider's description is kept
	maxProviders  = 200
	maxTokenGroup = 500
)

// signatures that a token may have: made with a private key. A client secret signs nothing here, so that a public
// key can't be passed off as one.
var signatures = []string{oidc.RS256, oidc.RS384, oidc.RS512, oidc.PS256, oidc.PS384, oidc.PS512, oidc.ES256, oidc.ES384, oidc.ES512, oidc.EdDSA}

// OIDC sends people to OpenID providers and reads what they come back with.
type OIDC struct {
	now   func() time.Time
	mu    sync.Mutex
	known map[[32]byte]*provider
}

// NewOIDC returns a client that knows no provider yet.
func NewOIDC() *OIDC { return &OIDC{now: time.Now, known: map[[32]byte]*provider{}} }

// provider is what a provider says about itself.
type provider struct {
	*oidc.Provider
	client    *http.Client
	algs      []string
	namesSelf bool // answers carry the issuer, RFC 9207
	until     time.Time
}

// discover reads a provider's description, whose issuer must be exactly the one in the settings.
func (o *OIDC) discover(ctx context.Context, s account.OIDCSettings) (*provider, error) {
	key := sha256.Sum256([]byte(s.Issuer + "\x00" + s.CA))
	now := o.now()
	o.mu.Lock()
	p := o.known[key]
	o.mu.Unlock()
	if p != nil && now.Before(p.until) {
		return p, nil
	}
	client, err := httpClient(s)
	if err != nil {
		return nil, err
	}
	found, err := oidc.NewProvider(oidc.ClientContext(ctx, client), s.Issuer)
	if err != nil {
		switch {
		case strings.Contains(err.Error(), "did not match the issuer"): // the library has no error of its own for it
			return nil, fmt.Errorf("%w: %w", account.ErrTokenIssuer, err)
		case !reachedAt(err):
			return nil, fmt.Errorf("%w: %w", account.ErrDirectoryAnswer, err)
		}
		return nil, unreached(err)
	}
	var more struct {
		Algs      []string `json:"id_token_signing_alg_values_supported"`
		NamesSelf bool     `json:"authorization_response_iss_parameter_supported"`
		JWKS      string   `json:"jwks_uri"`
	}
	if err := found.Claims(&more); err != nil {
		return nil, fmt.Errorf("%w: %w", account.ErrDirectoryAnswer, err)
	}
	e := found.Endpoint()
	for _, u := range []string{e.AuthURL, e.TokenURL, more.JWKS} {
		if !strings.HasPrefix(u, "https://") {
			return nil, fmt.Errorf("%w: the endpoint %q is not https", account.ErrDirectoryAnswer, u)
		}
	}
	p = &provider{Provider: found, client: client, namesSelf: more.NamesSelf, until: now.Add(describedFor)}
	for _, a := range more.Algs {
		if slices.Contains(signatures, a) {
			p.algs = append(p.algs, a)
		}
	}
	if len(p.algs) == 0 {
		p.algs = []string{oidc.RS256}
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	if len(o.known) >= maxProviders {
		clear(o.known)
	}
	o.known[key] = p
	return p, nil
}

// reachedAt reports whether the error is one of the way to the provider rather than of its answer.
func reachedAt(err error) bool {
	var u *url.Error
	return errors.As(err, &u)
}

// httpClient is one for a provider: bounded in time and size, protected, and staying where it was sent.
func httpClient(s account.OIDCSettings) (*http.Client, error) {
	cfg, err := trust(s.CA, "")
	if err != nil {
		return nil, err
	}
	t := &http.Transport{TLSClientConfig: cfg, TLSHandshakeTimeout: patience, ResponseHeaderTimeout: patience, MaxResponseHeaderBytes: 64 << 10, ForceAttemptHTTP2: true,
		MaxIdleConnsPerHost: 1, IdleConnTimeout: time.Minute, Proxy: http.ProxyFromEnvironment}
	return &http.Client{
		Timeout: patience, Transport: &small{t},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}, nil
}

// small gives up on bodies that are larger than any answer of a provider, and on connections that are not
// protected.
type small struct{ next http.RoundTripper }

// RoundTrip implements http.RoundTripper.
func (s *small) RoundTrip(r *http.Request) (*http.Response, error) {
	if r.URL.Scheme != "https" {
		return nil, errors.New("the address is not https")
	}
	res, err := s.next.RoundTrip(r)
	if err == nil {
		res.Body = struct {
			io.Reader
			io.Closer
		}{io.LimitReader(res.Body, maxAnswer), res.Body}
	}
	return res, err
}

func (p *provider) config(s account.OIDCSettings, secret, redirect string) *oauth2.Config {
	return &oauth2.Config{ClientID: s.ClientID, ClientSecret: secret, Endpoint: p.Endpoint(), RedirectURL: redirect,
		Scopes: append([]string{oidc.ScopeOpenID, "profile", "email"}, strings.Fields(s.Scopes)...)}
}

// Begin makes the address at the provider to which the browser is sent, and what must be kept until it comes back
// to redirect.
func (o *OIDC) Begin(ctx context.Context, s account.OIDCSettings, redirect string) (location string, f account.Flow, err error) {
	p, err := o.discover(ctx, s)
	if err != nil {
		return "", f, err
	}
	f = account.Flow{State: rand.Text(), Nonce: rand.Text(), Verifier: oauth2.GenerateVerifier(), Redirect: redirect}
	return p.config(s, "", redirect).AuthCodeURL(f.State, oidc.Nonce(f.Nonce), oauth2.S256ChallengeOption(f.Verifier)), f, nil
}

// Finish checks the answer with which the browser has come back, and exchanges it for who the person is.
func (o *OIDC) Finish(ctx context.Context, s account.OIDCSettings, secret string, f account.Flow, answer url.Values) (i account.Identity, err error) {
	if f.State == "" || subtle.ConstantTimeCompare([]byte(answer.Get("state")), []byte(f.State)) != 1 {
		return i, account.ErrTokenState
	}
	p, err := o.discover(ctx, s)
	if err != nil {
		return i, err
	}
	// An honest provider's answer must not be redeemed at another one (RFC 9207).
	if iss := answer.Get("iss"); iss != s.Issuer && (iss != "" || p.namesSelf) {
		return i, fmt.Errorf("%w: the answer names %q", account.ErrTokenIssuer, clipped(iss))
	}
	if e := answer.Get("error"); e != "" {
		return i, fmt.Errorf("%w: %s", account.ErrTokenRefused, clipped(e))
	}
	if answer.Get("code") == "" {
		return i, account.ErrTokenRefused
	}
	ctx = oidc.ClientContext(ctx, p.client)
	token, err := p.config(s, secret, f.Redirect).Exchange(ctx, answer.Get("code"), oauth2.VerifierOption(f.Verifier))
	if err != nil {
		if reachedAt(err) {
			return i, unreached(err)
		}
		return i, fmt.Errorf("%w: %w", account.ErrTokenExchange, err)
	}
	raw, ok := token.Extra("id_token").(string)
	if !ok {
		return i, fmt.Errorf("%w: no id_token", account.ErrDirectoryAnswer)
	}
	id, claims, err := o.verify(ctx, p, s, f, raw)
	if err != nil {
		return i, err
	}
	if id.AccessTokenHash != "" {
		if err := id.VerifyAccessToken(token.AccessToken); err != nil {
			return i, fmt.Errorf("%w: %w", account.ErrTokenSignature, err)
		}
	}
	// Some providers tell address and groups at this place only. It must speak of the same person.
	if p.UserInfoEndpoint() != "" && (claims["email"] == nil || s.GroupsClaim != "" && at(claims, s.GroupsClaim) == nil) {
		info, err := p.UserInfo(ctx, oauth2.StaticTokenSource(token))
		if err != nil {
			if reachedAt(err) {
				return i, unreached(err)
			}
			return i, fmt.Errorf("%w: %w", account.ErrDirectoryAnswer, err)
		}
		if info.Subject != id.Subject {
			return i, account.ErrTokenSubject
		}
		var more map[string]any
		if err := info.Claims(&more); err != nil {
			return i, fmt.Errorf("%w: %w", account.ErrDirectoryAnswer, err)
		}
		for k, v := range more {
			if _, there := claims[k]; !there {
				claims[k] = v
			}
		}
	}
	return identity(s, id, claims), nil
}

// verify checks the token by itself, each check with its own error: signature by the provider's keys, issuer,
// audience, time, nonce.
func (o *OIDC) verify(ctx context.Context, p *provider, s account.OIDCSettings, f account.Flow, raw string) (*oidc.IDToken, map[string]any, error) {
	if len(raw) > 100_000 {
		return nil, nil, account.ErrDirectoryAnswer
	}
	v := p.VerifierContext(ctx, &oidc.Config{ClientID: s.ClientID, SupportedSigningAlgs: p.algs, SkipClientIDCheck: true, SkipExpiryCheck: true, SkipIssuerCheck: true})
	id, err := v.Verify(ctx, raw)
	if err != nil {
		if reachedAt(err) {
			return nil, nil, unreached(err)
		}
		return nil, nil, fmt.Errorf("%w: %w", account.ErrTokenSignature, err)
	}
	var claims map[string]any
	if err := id.Claims(&claims); err != nil {
		return nil, nil, fmt.Errorf("%w: %w", account.ErrDirectoryAnswer, err)
	}
	now := o.now()
	azp, _ := claims["azp"].(string)
	switch {
	case id.Issuer != s.Issuer:
		return nil, nil, fmt.Errorf("%w: the token names %q", account.ErrTokenIssuer, clipped(id.Issuer))
	case !slices.Contains(id.Audience, s.ClientID), len(id.Audience) > 1 && azp == "", azp != "" && azp != s.ClientID:
		return nil, nil, account.ErrTokenAudience
	case id.Expiry.Add(skew).Before(now), id.IssuedAt.After(now.Add(skew)), notBefore(claims).After(now.Add(skew)):
		return nil, nil, account.ErrTokenExpired
	case f.Nonce == "" || subtle.ConstantTimeCompare([]byte(id.Nonce), []byte(f.Nonce)) != 1:
		return nil, nil, account.ErrTokenNonce
	case id.Subject == "" || len(id.Subject) > 255:
		return nil, nil, account.ErrDirectoryAnswer
	}
	return id, claims, nil
}

func notBefore(claims map[string]any) time.Time {
	n, _ := claims["nbf"].(float64)
	return time.Unix(int64(n), 0)
}

// identity reads the claims. A subject is only unique together with its issuer.
func identity(s account.OIDCSettings, id *oidc.IDToken, claims map[string]any) account.Identity {
	text := func(name string) string {
		v, _ := claims[name].(string)
		return clipped(v)
	}
	i := account.Identity{ID: id.Issuer + "#" + id.Subject, UserName: text("preferred_username"), Email: text("email"), Name: text("name")}
	switch v := claims["email_verified"].(type) {
	case bool:
		i.Verified = v
	case string: // some providers write it so
		i.Verified = v == "true"
	case nil:
		i.Verified = s.TrustEmail
	}
	i.Verified = i.Verified && i.Email != ""
	if s.GroupsClaim != "" {
		for _, g := range texts(at(claims, s.GroupsClaim)) {
			i.Groups = append(i.Groups, account.Group{ID: g, Name: g})
		}
	}
	return i
}

// at finds a claim by its name, or by a path of names with dots between them.
func at(claims map[string]any, path string) any {
	if v, ok := claims[path]; ok {
		return v
	}
	name, rest, more := strings.Cut(path, ".")
	if !more {
		return nil
	}
	inner, _ := claims[name].(map[string]any)
	return at(inner, rest)
}

// texts are the values of a claim that is one text or a list of them.
func texts(v any) (list []string) {
	switch v := v.(type) {
	case string:
		list = append(list, clipped(v))
	case []any:
		for _, e := range v {
			if s, ok := e.(string); ok && len(list) < maxTokenGroup {
				list = append(list, clipped(s))
			}
		}
	}
	return list
}

func clipped(s string) string {
	if len(s) > 500 {
		s = s[:500]
	}
	return strings.ToValidUTF8(s, "")
}
