package main

import (
	"bytes"
	"context"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/traybell/traybell/shared/api"
	"github.com/traybell/traybell/shared/catalogue"
	"github.com/traybell/traybell/shared/grant"
	"github.com/traybell/traybell/shared/link"
)

// client speaks to one server as one account.
type client struct {
	config
	tls  *tls.Config
	http *http.Client
	say  *catalogue.Printer
}

// errPin is returned when the certificate that was pinned is not in the server's chain.
var errPin = errors.New("the server shows another certificate than the one that was pinned")

// newClient makes a client of a login.
func newClient(c config, say *catalogue.Printer) *client {
	conf := &tls.Config{MinVersion: tls.VersionTLS12}
	if c.Pin != "" {
		conf.InsecureSkipVerify = true // VerifyConnection checks the chain against the pin instead
		conf.VerifyConnection = func(cs tls.ConnectionState) error { return verify(cs, c.Pin) }
	}
	return &client{config: c, tls: conf, say: say, http: &http.Client{
		Timeout:       30 * time.Second,
		Transport:     &http.Transport{TLSClientConfig: conf, ForceAttemptHTTP2: true, Proxy: http.ProxyFromEnvironment},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }, // a token goes nowhere else
	}}
}

// verify checks that the server's certificate was issued by the pinned one for the name that was asked for.
func verify(cs tls.ConnectionState, pin string) error {
	roots, others := x509.NewCertPool(), x509.NewCertPool()
	found := false
	for _, c := range cs.PeerCertificates {
		if fingerprint(c) == pin {
			roots.AddCert(c)
			found = true
		} else {
			others.AddCert(c)
		}
	}
	if !found {
		return errPin
	}
	_, err := cs.PeerCertificates[0].Verify(x509.VerifyOptions{DNSName: cs.ServerName, Roots: roots, Intermediates: others})
	return err
}

func fingerprint(c *x509.Certificate) string {
	sum := sha256.Sum256(c.Raw)
	return hex.EncodeToString(sum[:])
}

// firstPin looks at the server's chain and returns the pin of its last certificate: the CA's.
func firstPin(ctx context.Context, server string) (string, error) {
	host := strings.TrimPrefix(server, "https://")
	d := tls.Dialer{Config: &tls.Config{InsecureSkipVerify: true, NextProtos: []string{"http/1.1"}}} // it is looked at, nothing is sent
	c, err := d.DialContext(ctx, "tcp", withPort(host))
	if err != nil {
		return "", err
	}
	defer c.Close()
	cs := c.(*tls.Conn).ConnectionState()
	pin := fingerprint(cs.PeerCertificates[len(cs.PeerCertificates)-1])
	return pin, verify(cs, pin)
}

func withPort(host string) string {
	if _, _, err := net.SplitHostPort(host); err == nil {
		return host
	}
	return net.JoinHostPort(strings.Trim(host, "[]"), "443")
}

// call makes a request. A refusal of the server is an api.Problem.
func (c *client) call(ctx context.Context, method, path string, in, out any) error {
	var send io.Reader
	if in != nil {
		b, err := json.Marshal(in)
		if err != nil {
			return err
		}
		send = bytes.NewReader(b)
	}
	req, err := http.NewRequestWithContext(ctx, method, c.Server+"/api/v1"+path, send)
	if err != nil {
		return err
	}
	req.Header.Set("Authorization", "Bearer "+c.Token)
	req.Header.Set("Accept-Language", c.say.Language())
	if send != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	res, err := c.http.Do(req)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	b, err := io.ReadAll(io.LimitReader(res.Body, 16<<20))
	if err != nil {
		return err
	}
	if res.StatusCode >= 300 {
		return problem(res.StatusCode, b)
	}
	if out == nil {
		return nil
	}
	return json.Unmarshal(b, out)
}

func problem(status int, body []byte) error {
	p := api.Problem{Title: http.StatusText(status), Status: status}
	if err := json.Unmarshal(body, &p); err != nil {
		p.Code = "http"
	}
	return p
}

// sentence is what a person reads of an error.
func sentence(err error, say *catalogue.Printer) string {
	if p, ok := errors.AsType[api.Problem](err); ok {
		if p.Detail != "" {
			return plain(p.Detail)
		}
		return plain(p.Title)
	}
	if errors.Is(err, errPin) {
		return say.T("cli.other_certificate")
	}
	if _, ok := errors.AsType[x509.UnknownAuthorityError](err); ok {
		return say.T("cli.unknown_certificate")
	}
	if u, ok := errors.AsType[*url.Error](err); ok {
		return say.T("cli.unreachable", "Error", plain(u.Err.Error()))
	}
	return plain(err.Error())
}

// device is a device as the server lists it.
type device struct {
	ID           string     `json:"id"`
	Name         string     `json:"name"`
	Organization string     `json:"organization"`
	Online       bool       `json:"online"`
	Facts        link.Facts `json:"facts"`
}

// session is a session as the server tells it.
type session struct {
	ID           string        `json:"id"`
	DeviceName   string        `json:"device_name"`
	TicketNumber int64         `json:"ticket_number"`
	TicketTitle  string        `json:"ticket_title"`
	Name         string        `json:"name"`
	State        string        `json:"state"`
	User         string        `json:"user"`
	UserSince    int64         `json:"user_since"`
	Words        string        `json:"words"`
	Deadline     int64         `json:"deadline"`
	Granted      []grant.Scope `json:"granted"`
	Reason       string        `json:"reason"`
	Used         []string      `json:"used"`
	AskedAt      int64         `json:"asked_at"`
	AllowedAt    int64         `json:"allowed_at"`
	EndedAt      int64         `json:"ended_at"`
	Until        int64         `json:"until"`
}

func (s session) open() bool {
	return s.State == "allowed" || s.State == "active" || s.State == "paused"
}
func (s session) over() bool {
	return s.State == "ended" || s.State == "refused" || s.State == "withdrawn"
}

// find returns the device with that name or id.
func (c *client) find(ctx context.Context, name string) (device, error) {
	if api.ValidID(name) {
		var d device
		err := c.call(ctx, http.MethodGet, "/devices/"+name, nil, &d)
		return d, err
	}
	var list struct {
		Devices []device `json:"devices"`
	}
	if err := c.call(ctx, http.MethodGet, "/devices?limit=1000&query="+url.QueryEscape(name), nil, &list); err != nil {
		return device{}, err
	}
	var found []device
	for _, d := range list.Devices {
		if strings.EqualFold(d.Name, name) {
			found = append(found, d)
		}
	}
	switch len(found) {
	case 0:
		return device{}, errors.New(c.say.T("cli.no_device", "Device", name))
	case 1:
		return found[0], nil
	}
	text := c.say.T("cli.many_devices", "Device", name)
	for _, d := range found {
		text += fmt.Sprintf("\n  %s  %s", d.ID, plain(d.Organization))
	}
	return device{}, errors.New(text)
}

// channel opens a channel of a session.
func (c *client) channel(ctx context.Context, session string, kind grant.Kind, control bool) (net.Conn, error) {
	conf := c.tls.Clone()
	conf.NextProtos = []string{"http/1.1"}
	host := strings.TrimPrefix(c.Server, "https://")
	d := tls.Dialer{Config: conf}
	raw, err := d.DialContext(ctx, "tcp", withPort(host))
	if err != nil {
		return nil, err
	}
	path := "/api/v1/sessions/" + session + "/channels/" + string(kind)
	if control {
		path += "?control=1"
	}
	raw.SetDeadline(time.Now().Add(30 * time.Second))
	conn, err := link.RequestUpgrade(raw, host, path, http.Header{"Authorization": {"Bearer " + c.Token}, "Accept-Language": {c.say.Language()}})
	if err != nil {
		raw.Close()
		if u, ok := errors.AsType[*link.UpgradeError](err); ok {
			return nil, problem(u.Status, u.Body)
		}
		return nil, err
	}
	raw.SetDeadline(time.Time{})
	return conn, nil
}

// plain makes a text of the server fit for a terminal: without control characters.
func plain(s string) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' && r != '\n' || r >= 0x7f && r < 0xa0 || r >= 0x202a && r <= 0x202e || r >= 0x2066 && r <= 0x2069 {
			return -1
		}
		return r
	}, s)
}
