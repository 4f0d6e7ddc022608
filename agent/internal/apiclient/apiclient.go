// Package apiclient speaks the device's part of the server's REST interface: enrolment, tickets and
// their files. It also owns how a device reaches its server at all: TLS with the server's own CA,
// pinned by the enrolment key, or a public certificate where a proxy ends TLS.
//
// Its errors are api.Problem where the server answered, and anything else where it did not; Final
// tells a refusal from a failure that is worth another try. enrol, outbox and uplink call it.
package apiclient

import (
	"bytes"
	"context"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/go-resty/resty/v2"

	"github.com/traybell/traybell/agent/internal/keystore"
	"github.com/traybell/traybell/shared/api"
	"github.com/traybell/traybell/shared/link"
	"github.com/traybell/traybell/shared/version"
)

// ErrPinned is wrapped when the server shows a certificate that the enrolment key did not promise.
var ErrPinned = errors.New("the server's certificate is not the one that the enrolment key promised")

const (
	dialTimeout = 15 * time.Second
	maxAnswer   = 1 << 20
)

// TLS is how connections to s are secured. With a pinned server the certificate chain must end
// in the CA whose SHA-256 the enrolment key told, and name the host of the URL; no public authority
// can stand in.
func TLS(s keystore.Server) (*tls.Config, error) {
	u, err := url.Parse(s.URL)
	if err != nil {
		return nil, fmt.Errorf("server's address: %w", err)
	}
	host := u.Hostname()
	if s.TLS == api.TLSProxy {
		return &tls.Config{ServerName: host, MinVersion: tls.VersionTLS12, NextProtos: []string{"http/1.1"}}, nil
	}
	return &tls.Config{
		ServerName: host, MinVersion: tls.VersionTLS13, NextProtos: []string{link.ALPN},
		InsecureSkipVerify: true, // replaced by VerifyConnection, which always runs
		VerifyConnection: func(st tls.ConnectionState) error {
			return verifyPinned(st.PeerCertificates, s.CA, host)
		},
	}, nil
}

func verifyPinned(chain []*x509.Certificate, pin []byte, host string) error {
	roots, between := x509.NewCertPool(), x509.NewCertPool()
	found := false
	for _, c := range chain {
		h := sha256.Sum256(c.Raw)
		if len(pin) == len(h) && bytes.Equal(h[:], pin) && c.IsCA {
			roots.AddCert(c)
			found = true
		} else {
			between.AddCert(c)
		}
	}
	if !found {
		return ErrPinned
	}
	_, err := chain[0].Verify(x509.VerifyOptions{Roots: roots, Intermediates: between, DNSName: host})
	if err != nil {
		return fmt.Errorf("%w: %w", ErrPinned, err)
	}
	return nil
}

// Dial opens a secured connection to s.
func Dial(ctx context.Context, s keystore.Server) (*tls.Conn, error) {
	cfg, err := TLS(s)
	if err != nil {
		return nil, err
	}
	u, err := url.Parse(s.URL)
	if err != nil {
		return nil, fmt.Errorf("server's address: %w", err)
	}
	addr := u.Host
	if u.Port() == "" {
		addr = net.JoinHostPort(u.Hostname(), "443")
	}
	ctx, cancel := context.WithTimeout(ctx, dialTimeout)
	defer cancel()
	d := tls.Dialer{Config: cfg, NetDialer: &net.Dialer{KeepAlive: 30 * time.Second}}
	c, err := d.DialContext(ctx, "tcp", addr)
	if err != nil {
		return nil, fmt.Errorf("connect to %s: %w", addr, err)
	}
	return c.(*tls.Conn), nil
}

// Client calls one server. Token returns the bearer token that the link's welcome brought.
type Client struct {
	rest  *resty.Client
	token func() string
}

// New makes a client of s. Close frees its connections.
func New(s keystore.Server, token func() string) *Client {
	tr := &http.Transport{
		DialTLSContext: func(ctx context.Context, _, _ string) (net.Conn, error) { return Dial(ctx, s) },
		// Tickets are rare and come in bursts.
		MaxIdleConnsPerHost: 1, IdleConnTimeout: 20 * time.Second, ResponseHeaderTimeout: 60 * time.Second,
		ForceAttemptHTTP2: false, DisableCompression: true,
	}
	c := resty.NewWithClient(&http.Client{Transport: tr}).
		SetBaseURL(strings.TrimSuffix(s.URL, "/")).
		SetHeader("User-Agent", "traybell-agent/"+version.Version).
		SetHeader("Accept", "application/json").
		SetRedirectPolicy(resty.NoRedirectPolicy()).
		SetDoNotParseResponse(true). // answers are bounded by us
		SetLogger(quiet{})
	return &Client{rest: c, token: token}
}

// Close frees idle connections.
func (c *Client) Close() { c.rest.GetClient().CloseIdleConnections() }

// quiet keeps resty from logging: errors are returned, and nothing of a request may be printed.
type quiet struct{}

func (quiet) Errorf(string, ...any) {}
func (quiet) Warnf(string, ...any)  {}
func (quiet) Debugf(string, ...any) {}

// Enrol registers a device with an enrolment key.
func (c *Client) Enrol(ctx context.Context, r api.EnrolRequest) (api.EnrolResponse, error) {
	var out api.EnrolResponse
	return out, c.do(ctx, c.rest.R().SetBody(r), http.MethodPost, "/api/v1/device/enrol", &out)
}

// FileTicket files a ticket; the same body again gives the first answer.
func (c *Client) FileTicket(ctx context.Context, body []byte) (api.TicketFiled, error) {
	var out api.TicketFiled
	req := c.rest.R().SetAuthToken(c.token()).SetHeader("Content-Type", "application/json").SetBody(body)
	return out, c.do(ctx, req, http.MethodPost, "/api/v1/device/tickets", &out)
}

// Ticket asks what became of a ticket and which of its files are missing.
func (c *Client) Ticket(ctx context.Context, id string) (api.TicketFiled, error) {
	var out api.TicketFiled
	return out, c.do(ctx, c.rest.R().SetAuthToken(c.token()), http.MethodGet, "/api/v1/device/tickets/"+url.PathEscape(id), &out)
}

// PutFile sends one file of size bytes. The server checks it against what the ticket announced.
func (c *Client) PutFile(ctx context.Context, ticket string, index int, contentType string, size int64, r io.Reader) error {
	// resty buffers readers that it does not know the length of; the request is made by hand.
	u := c.rest.BaseURL + "/api/v1/device/tickets/" + url.PathEscape(ticket) + "/files/" + strconv.Itoa(index)
	req, err := http.NewRequestWithContext(ctx, http.MethodPut, u, r)
	if err != nil {
		return err
	}
	req.ContentLength = size
	req.Header.Set("Content-Type", contentType)
	req.Header.Set("Authorization", "Bearer "+c.token())
	req.Header.Set("User-Agent", c.rest.Header.Get("User-Agent"))
	resp, err := c.rest.GetClient().Do(req)
	if err != nil {
		return plain(err)
	}
	return answer(resp.StatusCode, resp.Body, nil)
}

// LookOwner asks whose account a code would link an OS user of this device to. A refusal is in the given language.
func (c *Client) LookOwner(ctx context.Context, language string, r api.OwnerClaim) (api.Owner, error) {
	var out api.Owner
	return out, c.do(ctx, c.rest.R().SetAuthToken(c.token()).SetHeader("Accept-Language", language).SetBody(r), http.MethodPost, "/api/v1/device/owners/look", &out)
}

// ClaimOwner confirms a code as an OS user of this device.
func (c *Client) ClaimOwner(ctx context.Context, language string, r api.OwnerClaim) (api.Owner, error) {
	var out api.Owner
	return out, c.do(ctx, c.rest.R().SetAuthToken(c.token()).SetHeader("Accept-Language", language).SetBody(r), http.MethodPost, "/api/v1/device/owners", &out)
}

// Owners lists the accounts to which OS users of this device are linked.
func (c *Client) Owners(ctx context.Context) (api.OwnerList, error) {
	var out api.OwnerList
	return out, c.do(ctx, c.rest.R().SetAuthToken(c.token()), http.MethodGet, "/api/v1/device/owners", &out)
}

// EndOwner ends the link of an OS user of this device.
func (c *Client) EndOwner(ctx context.Context, id, userID string) error {
	req := c.rest.R().SetAuthToken(c.token()).SetQueryParam("user_id", userID)
	return c.do(ctx, req, http.MethodDelete, "/api/v1/device/owners/"+url.PathEscape(id), nil)
}

func (c *Client) do(ctx context.Context, req *resty.Request, method, path string, out any) error {
	resp, err := req.SetContext(ctx).Execute(method, path)
	if err != nil {
		return plain(err)
	}
	return answer(resp.StatusCode(), resp.RawBody(), out)
}

// answer reads a response into out or returns it as a problem.
func answer(status int, body io.ReadCloser, out any) error {
	defer body.Close()
	b, err := io.ReadAll(io.LimitReader(body, maxAnswer))
	if err != nil {
		return fmt.Errorf("read the server's answer: %w", err)
	}
	if status >= 300 {
		p := api.Problem{}
		if json.Unmarshal(b, &p) != nil || p.Title == "" && p.Detail == "" {
			p = api.Problem{Title: http.StatusText(status)}
		}
		p.Status = status
		return p
	}
	if out == nil {
		return nil
	}
	if err := json.Unmarshal(b, out); err != nil {
		return fmt.Errorf("read the server's answer: %w", err)
	}
	return nil
}

// plain drops the URL from a transport's error: it says nothing to people.
func plain(err error) error {
	var u *url.Error
	if errors.As(err, &u) {
		return u.Err
	}
	return err
}

// Final reports whether the server has refused this content for good. A device that is not known or
// not allowed (401, 403, 404) is not the content's fault: it is kept until that is set right.
func Final(err error) (api.Problem, bool) {
	var p api.Problem
	if !errors.As(err, &p) {
		return p, false
	}
	return p, slices.Contains([]int{400, 409, 413, 415, 422}, p.Status)
}
