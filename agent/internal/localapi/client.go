package localapi

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"github.com/traybell/traybell/shared/api"
)

// SocketVariable is the environment variable that overrides the socket for clients.
const SocketVariable = "TRAYBELL_SOCKET"

// Errors of Dial and of every call.
var (
	// ErrNotRunning is wrapped where nobody answers on the socket.
	ErrNotRunning = errors.New("the Traybell service is not running")
	// ErrImpostor is returned where the socket is served by somebody who is neither the
	// administrator of this computer nor ourselves.
	ErrImpostor = errors.New("the socket is not served by the Traybell service")
)

// maxAnswer bounds an answer and one line of the tray's stream, in bytes.
const maxAnswer = 16 << 20

// Path is where the service with this state folder listens; an empty folder means the installed
// service. Clients let SocketVariable override it by passing the result through ClientPath.
func Path(state string) string {
	if state == "" {
		return defaultSocket
	}
	return stateSocket(state)
}

// ClientPath is the socket a client uses: path if it is set, else SocketVariable, else the
// installed service's.
func ClientPath(path string) string {
	if path != "" {
		return path
	}
	if p := os.Getenv(SocketVariable); p != "" {
		return p
	}
	return defaultSocket
}

// Client speaks to the service. It may be used from several goroutines.
type Client struct {
	http *http.Client
	lang string
	path string
}

// Dial checks that the service answers at path (see ClientPath for the empty one) and that its end
// belongs to root, SYSTEM or ourselves. Every later connection is checked in the same way.
func Dial(path string) (*Client, error) {
	path = ClientPath(path)
	c := &Client{path: path}
	dial := func(ctx context.Context, _, _ string) (net.Conn, error) {
		conn, err := dialSocket(ctx, path)
		if err != nil {
			return nil, fmt.Errorf("%w (%s): %w", ErrNotRunning, path, err)
		}
		if err := checkServer(conn); err != nil {
			conn.Close()
			return nil, err
		}
		return conn, nil
	}
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	conn, err := dial(ctx, "", "")
	if err != nil {
		return nil, err
	}
	conn.Close()
	c.http = &http.Client{Transport: &http.Transport{DialContext: dial, MaxIdleConnsPerHost: 2, IdleConnTimeout: 30 * time.Second}}
	return c, nil
}

// SetLanguage chooses the language of the service's sentences: en, it, de or ru.
func (c *Client) SetLanguage(code string) { c.lang = code }

// Close lets idle connections go.
func (c *Client) Close() { c.http.CloseIdleConnections() }

func (c *Client) request(ctx context.Context, method, path string, body io.Reader, header http.Header) (*http.Response, error) {
	req, err := http.NewRequestWithContext(ctx, method, "http://traybell"+path, body)
	if err != nil {
		return nil, err
	}
	for k, v := range header {
		req.Header[k] = v
	}
	if c.lang != "" {
		req.Header.Set("Accept-Language", c.lang)
	}
	resp, err := c.http.Do(req)
	if err != nil {
		var u *url.Error
		if errors.As(err, &u) {
			err = u.Err
		}
		return nil, err
	}
	if resp.StatusCode < 300 {
		return resp, nil
	}
	defer resp.Body.Close()
	var p api.Problem
	if err := json.NewDecoder(io.LimitReader(resp.Body, 1<<20)).Decode(&p); err != nil {
		return nil, fmt.Errorf("%s %s: %s", method, path, resp.Status)
	}
	p.Status = resp.StatusCode
	return nil, p
}

// call sends in as JSON, if it is not nil, and decodes the answer into out, if that is not nil.
func (c *Client) call(ctx context.Context, method, path string, in, out any) error {
	var body io.Reader
	header := http.Header{}
	if in != nil {
		b, err := json.Marshal(in)
		if err != nil {
			return err
		}
		body = bytes.NewReader(b)
		header.Set("Content-Type", "application/json")
	}
	resp, err := c.request(ctx, method, path, body, header)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if out == nil {
		return nil
	}
	if err := json.NewDecoder(io.LimitReader(resp.Body, maxAnswer)).Decode(out); err != nil {
		return fmt.Errorf("%s %s: %w", method, path, err)
	}
	return nil
}

// Status returns what concerns this OS user.
func (c *Client) Status(ctx context.Context) (Status, error) {
	var s Status
	return s, c.call(ctx, "GET", "/v1/status", nil, &s)
}

// Report returns what this computer reports, field by field.
func (c *Client) Report(ctx context.Context) (Report, error) {
	var r Report
	return r, c.call(ctx, "GET", "/v1/report", nil, &r)
}

// Tray registers a desktop until ctx ends. The channel is closed when the registration is over, by
// ctx or because the service went away; the caller then registers again.
func (c *Client) Tray(ctx context.Context, t Tray) (<-chan Event, error) {
	b, err := json.Marshal(t)
	if err != nil {
		return nil, err
	}
	resp, err := c.request(ctx, "POST", "/v1/tray", bytes.NewReader(b), http.Header{"Content-Type": {"application/json"}})
	if err != nil {
		return nil, err
	}
	events := make(chan Event)
	go func() {
		defer close(events)
		defer resp.Body.Close()
		d := json.NewDecoder(resp.Body)
		for {
			var e Event
			if d.Decode(&e) != nil {
				return
			}
			select {
			case events <- e:
			case <-ctx.Done():
				return
			}
		}
	}()
	return events, nil
}

// PutFile streams one file of a ticket to the service before the ticket is filed. The service keeps
// it durably; the same bytes again are accepted.
func (c *Client) PutFile(ctx context.Context, id string, index int, name, contentType string, r io.Reader) error {
	if contentType == "" {
		contentType = "application/octet-stream"
	}
	resp, err := c.request(ctx, "PUT", "/v1/tickets/"+url.PathEscape(id)+"/files/"+strconv.Itoa(index), r,
		http.Header{"Content-Type": {contentType}, "Traybell-Name": {url.PathEscape(name)}})
	if err != nil {
		return err
	}
	return resp.Body.Close()
}

// File files a ticket and waits up to wait for the server's number. Filed tells one of the three
// truths; a refusal by the service itself is State refused as well, with Code and Reason.
func (c *Client) File(ctx context.Context, t Ticket, wait time.Duration) (Filed, error) {
	var f Filed
	err := c.call(ctx, "POST", "/v1/tickets?wait="+url.QueryEscape(wait.String()), t, &f)
	var p api.Problem
	if errors.As(err, &p) {
		return Filed{State: FiledRefused, ID: t.ID, Title: t.Title, Reason: p.Detail, Code: p.Code}, nil
	}
	return f, err
}

// Tickets lists what this OS user filed here, newest first.
func (c *Client) Tickets(ctx context.Context) ([]Filed, error) {
	var f []Filed
	return f, c.call(ctx, "GET", "/v1/tickets", nil, &f)
}

// Ticket returns one ticket of this OS user.
func (c *Client) Ticket(ctx context.Context, id string) (Filed, error) {
	var f Filed
	return f, c.call(ctx, "GET", "/v1/tickets/"+url.PathEscape(id), nil, &f)
}

// Consents lists the questions that wait for this OS user.
func (c *Client) Consents(ctx context.Context) ([]Consent, error) {
	var q []Consent
	return q, c.call(ctx, "GET", "/v1/consents", nil, &q)
}

// Consent returns one question.
func (c *Client) Consent(ctx context.Context, session string) (Consent, error) {
	var q Consent
	return q, c.call(ctx, "GET", "/v1/consents/"+url.PathEscape(session), nil, &q)
}

// Shown says that the question is drawn; Allow works from one second later on.
func (c *Client) Shown(ctx context.Context, session string) error {
	return c.call(ctx, "POST", "/v1/consents/"+url.PathEscape(session)+"/shown", nil, nil)
}

// Allow is the person's yes.
func (c *Client) Allow(ctx context.Context, session string, a Allow) error {
	return c.call(ctx, "POST", "/v1/consents/"+url.PathEscape(session)+"/allow", a, nil)
}

// Refuse is the person's no.
func (c *Client) Refuse(ctx context.Context, session string, r Refuse) error {
	return c.call(ctx, "POST", "/v1/consents/"+url.PathEscape(session)+"/refuse", r, nil)
}

// MoreTime prolongs a question by 60 seconds, ten times at most.
func (c *Client) MoreTime(ctx context.Context, session string) (Consent, error) {
	var q Consent
	return q, c.call(ctx, "POST", "/v1/consents/"+url.PathEscape(session)+"/more-time", nil, &q)
}

// Grants lists the live permissions of this OS user.
func (c *Client) Grants(ctx context.Context) ([]Grant, error) {
	var g []Grant
	return g, c.call(ctx, "GET", "/v1/grants", nil, &g)
}

// AddGrant makes a standing permission; only the administrator of this computer may.
func (c *Client) AddGrant(ctx context.Context, n NewGrant) (Grant, error) {
	var g Grant
	return g, c.call(ctx, "POST", "/v1/grants", n, &g)
}

// EndGrant ends a permission, and with it the channels that are open under it.
func (c *Client) EndGrant(ctx context.Context, id string) error {
	return c.call(ctx, "DELETE", "/v1/grants/"+url.PathEscape(id), nil, nil)
}

// Sessions lists the live visits of this OS user.
func (c *Client) Sessions(ctx context.Context) ([]Session, error) {
	var s []Session
	return s, c.call(ctx, "GET", "/v1/sessions", nil, &s)
}

// Pause blanks the stream of a session and drops its input.
func (c *Client) Pause(ctx context.Context, session string) error {
	return c.call(ctx, "POST", "/v1/sessions/"+url.PathEscape(session)+"/pause", nil, nil)
}

// Resume ends a pause.
func (c *Client) Resume(ctx context.Context, session string) error {
	return c.call(ctx, "POST", "/v1/sessions/"+url.PathEscape(session)+"/resume", nil, nil)
}

// End ends one session, or everything of this OS user at once; it works without the server.
func (c *Client) End(ctx context.Context, e End) error {
	return c.call(ctx, "POST", "/v1/end", e, nil)
}

// History lists who was on this computer as this OS user, newest first.
func (c *Client) History(ctx context.Context) ([]Visit, error) {
	var v []Visit
	return v, c.call(ctx, "GET", "/v1/history", nil, &v)
}

// LookOwner asks whose account a code of the portal belongs to.
func (c *Client) LookOwner(ctx context.Context, code string) (api.Owner, error) {
	var o api.Owner
	return o, c.call(ctx, "POST", "/v1/owners/look", Link{Code: code}, &o)
}

// ClaimOwner is this OS user's yes to the code of an account.
func (c *Client) ClaimOwner(ctx context.Context, code string) (api.Owner, error) {
	var o api.Owner
	return o, c.call(ctx, "POST", "/v1/owners", Link{Code: code}, &o)
}

// Owners lists the accounts that this OS user has linked here.
func (c *Client) Owners(ctx context.Context) ([]api.Owner, error) {
	var o []api.Owner
	return o, c.call(ctx, "GET", "/v1/owners", nil, &o)
}

// EndOwner ends the link to an account.
func (c *Client) EndOwner(ctx context.Context, id string) error {
	return c.call(ctx, "DELETE", "/v1/owners/"+url.PathEscape(id), nil, nil)
}

// Guard freezes technicians' input and picture for this OS user until ctx ends. Windows of Traybell in
// which permissions or secrets are seen or changed hold it while they are open; the consent
// window needs none, because a waiting question freezes by itself.
func (c *Client) Guard(ctx context.Context) error {
	resp, err := c.request(ctx, "POST", "/v1/guard", nil, nil)
	if err != nil {
		return err
	}
	go func() {
		defer resp.Body.Close()
		io.Copy(io.Discard, resp.Body)
	}()
	return nil
}

// absolute makes a state folder's path independent of the working directory, as far as that can be.
func absolute(state string) string {
	if p, err := filepath.Abs(state); err == nil {
		return p
	}
	return state
}
