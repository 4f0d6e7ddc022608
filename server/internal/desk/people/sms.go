package people

import (
	"context"
	"crypto/rand"
	"crypto/subtle"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/big"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/traybell/traybell/server/internal/account"
	"github.com/traybell/traybell/server/internal/desk"
	"github.com/traybell/traybell/server/internal/store"
	"github.com/traybell/traybell/shared/catalogue"
)

const (
	settingSMS  = "sms"
	smsLife     = 10 * time.Minute
	smsAttempts = 5
	smsTimeout  = 10 * time.Second
)

// Gateway is the HTTP service that sends short messages. In URL and Body, {number} and {text} stand for the telephone
// number and the message; they are written as the place needs it: in a URL or a form percent-encoded, in JSON quoted.
type Gateway struct {
	URL         string `json:"url"`
	Method      string `json:"method"` // POST, GET or PUT
	Header      string `json:"header"` // name of a header that carries a secret; may be empty
	Secret      string `json:"secret"` // its value; sealed in the database, empty when it is shown
	ContentType string `json:"content_type"`
	Body        string `json:"body"`
}

// check returns the gateway as it is kept, or why it can't be.
func (g Gateway) check() (Gateway, error) {
	g.URL, g.Header, g.ContentType = strings.TrimSpace(g.URL), strings.TrimSpace(g.Header), strings.TrimSpace(g.ContentType)
	if g.ContentType == "" {
		g.ContentType = "application/json"
	}
	u, err := url.Parse(strings.NewReplacer("{number}", "1", "{text}", "x").Replace(g.URL))
	switch {
	case err != nil || u.Scheme != "https" && u.Scheme != "http" || u.Host == "" || u.User != nil || len(g.URL) > 2000:
		return g, desk.Refuse(desk.ErrInvalid, "sms_url")
	case g.Method != http.MethodPost && g.Method != http.MethodGet && g.Method != http.MethodPut:
		return g, desk.Refuse(desk.ErrInvalid, "sms_url")
	case len(g.Body) > 10_000 || len(g.Secret) > 4000 || strings.ContainsAny(g.Header+g.ContentType+g.Secret, "\r\n\x00") || strings.ContainsAny(g.Header, " :"):
		return g, desk.Refuse(desk.ErrInvalid, "sms_header")
	case !strings.Contains(g.URL+g.Body, "{number}") || !strings.Contains(g.URL+g.Body, "{text}"):
		return g, desk.Refuse(desk.ErrInvalid, "sms_places")
	}
	return g, nil
}

// request is the call that sends a text to a number.
func (g Gateway) request(ctx context.Context, number, text string) (*http.Request, error) {
	fill := func(s string, escape func(string) string) string {
		return strings.NewReplacer("{number}", escape(number), "{text}", escape(text)).Replace(s)
	}
	inBody := func(s string) string { return s }
	switch {
	case strings.Contains(g.ContentType, "json"):
		inBody = func(s string) string {
			b, _ := json.Marshal(s)
			return string(b[1 : len(b)-1])
		}
	case strings.Contains(g.ContentType, "form"):
		inBody = url.QueryEscape
	}
	var body io.Reader
	if g.Body != "" && g.Method != http.MethodGet {
		body = strings.NewReader(fill(g.Body, inBody))
	}
	r, err := http.NewRequestWithContext(ctx, g.Method, fill(g.URL, url.QueryEscape), body)
	if err != nil {
		return nil, err
	}
	if body != nil {
		r.Header.Set("Content-Type", g.ContentType)
	}
	if g.Header != "" && g.Secret != "" {
		r.Header.Set(g.Header, g.Secret)
	}
	return r, nil
}

// send hands a message to the gateway. The error is what the gateway or the network said.
func (p *People) send(ctx context.Context, g Gateway, number, text string) error {
	ctx, cancel := context.WithTimeout(ctx, smsTimeout)
	defer cancel()
	r, err := g.request(ctx, number, text)
	if err != nil {
		return errors.New("the address of the gateway is wrong")
	}
	// A redirect could carry the secret elsewhere.
	client := &http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	res, err := client.Do(r)
	if err != nil {
		var u *url.Error
		if errors.As(err, &u) { // its text holds the URL with number and code
			err = u.Err
		}
		return err
	}
	defer res.Body.Close()
	io.Copy(io.Discard, io.LimitReader(res.Body, 64<<10))
	if res.StatusCode < 200 || res.StatusCode > 299 {
		return fmt.Errorf("the gateway answers %s", res.Status)
	}
	return nil
}

func (p *People) gateway(tx store.Tx) (g Gateway, err error) {
	text, err := tx.Setting(settingSMS)
	if errors.Is(err, store.ErrNotFound) {
		return g, nil
	}
	if err != nil {
		return g, err
	}
	if err := decode(text, &g); err != nil {
		return g, err
	}
	if g.Secret != "" {
		g.Secret, err = p.unseal(g.Secret, settingSMS)
	}
	return g, err
}

// SMSGateway returns the gateway without its secret; set reports whether it has one. An empty URL: none is set.
func (p *People) SMSGateway(ctx context.Context, a desk.Actor) (g Gateway, set bool, err error) {
	if !a.May(account.SettingsManage) {
		return g, false, desk.Fail(desk.ErrDenied)
	}
	err = p.o.Read(ctx, func(tx store.Tx) error { g, err = p.gateway(tx); return err })
	set, g.Secret = g.Secret != "", ""
	return g, set, err
}

// SetSMSGateway sets the gateway; one without URL removes it. An empty secret keeps the one that is set, as long as the
// host stays the same.
func (p *People) SetSMSGateway(ctx context.Context, a desk.Actor, g Gateway) error {
	if !a.May(account.SettingsManage) {
		return desk.Fail(desk.ErrDenied)
	}
	if err := desk.NeedFresh(a, p.o.Time()); err != nil {
		return err
	}
	off := strings.TrimSpace(g.URL) == ""
	if !off {
		var err error
		if g, err = g.check(); err != nil {
			return err
		}
	}
	return p.o.Change(ctx, a, func(c *desk.Change) error {
		if off {
			if err := c.SetSetting(settingSMS, ""); err != nil {
				return err
			}
			return c.Record("sms.removed", "settings:sms", "", nil)
		}
		next := g
		if next.Secret == "" && next.Header != "" {
			old, err := p.gateway(c.Tx)
			if err != nil {
				return err
			}
			was, err1 := url.Parse(old.URL)
			is, err2 := url.Parse(next.URL)
			if err1 == nil && err2 == nil && was.Host == is.Host {
				next.Secret = old.Secret
			}
		}
		if next.Secret != "" {
			next.Secret = p.seal(next.Secret, settingSMS)
		}
		b, err := json.Marshal(next)
		if err != nil {
			return fmt.Errorf("keep the SMS gateway: %w", err)
		}
		if err := c.SetSetting(settingSMS, string(b)); err != nil {
			return err
		}
		return c.Record("sms.set", "settings:sms", "", map[string]any{"header": next.Header})
	})
}

// TestSMS sends a message to a number. said is what the gateway or the network answered when it failed.
func (p *People) TestSMS(ctx context.Context, a desk.Actor, number string) (said string, err error) {
	if !a.May(account.SettingsManage) {
		return "", desk.Fail(desk.ErrDenied)
	}
	if number, err = account.NormalizeNumber(number); err != nil {
		return "", desk.Fail(err)
	}
	if _, ok := p.sms.Take(number, p.o.Time()); !ok {
		return "", desk.Fail(desk.ErrLimited)
	}
	var g Gateway
	if err := p.o.Read(ctx, func(tx store.Tx) error { g, err = p.gateway(tx); return err }); err != nil {
		return "", err
	}
	if g.URL == "" {
		return "", desk.Refuse(desk.ErrConflict, "sms_unset")
	}
	if err := p.send(ctx, g, number, catalogue.For(a.Language).T("account.sms.test.text")); err != nil {
		return short(err.Error(), 300), nil
	}
	return "", p.o.Change(ctx, a, func(c *desk.Change) error { return c.Record("sms.tested", "settings:sms", "", nil) })
}

// HasSMS reports whether codes can be sent as SMS.
func (p *People) HasSMS(ctx context.Context) (ok bool, err error) {
	err = p.o.Read(ctx, func(tx store.Tx) error {
		g, err := p.gateway(tx)
		ok = g.URL != ""
		return err
	})
	return ok, err
}

// texted is the state of a code that was sent.
type texted struct {
	Number string `json:"number"` // sealed
	Hash   string `json:"hash"`
}

// sendCode makes a code, keeps it under an id and sends it to a number.
func (p *People) sendCode(ctx context.Context, a desk.Actor, id, number string) error {
	now := p.o.Time()
	for _, key := range []string{string(a.Account), number} {
		if _, ok := p.sms.Take(key, now); !ok {
			return desk.Refuse(desk.ErrLimited, "sms_limited")
		}
	}
	n, err := rand.Int(rand.Reader, big.NewInt(1_000_000))
	if err != nil {
		return err
	}
	code := fmt.Sprintf("%06d", n)
	b, err := json.Marshal(texted{Number: p.seal(number, string(a.Account)), Hash: hash(id, code)})
	if err != nil {
		return err
	}
	var g Gateway
	err = p.o.Change(ctx, a, func(c *desk.Change) error {
		if g, err = p.gateway(c.Tx); err != nil {
			return err
		}
		if g.URL == "" {
			return desk.Refuse(desk.ErrConflict, "sms_unset")
		}
		return c.PutChallenge(store.Challenge{ID: id, Account: a.Account, Data: string(b), ExpiresAt: c.Now.Add(smsLife)})
	})
	if err != nil {
		return err
	}
	if err := p.send(ctx, g, number, catalogue.For(a.Language).T("account.sms.text", "Code", code)); err != nil {
		p.o.Logger.Warn("a code could not be sent as SMS", "err", err)
		return desk.Refuse(desk.ErrConflict, "sms_failed")
	}
	return nil
}

// checkCode spends a code that was sent under an id. A wrong one is counted; after five the code is gone.
func checkCode(c *desk.Change, id, code string) (t texted, ok bool, err error) {
	known, err := c.Challenge(id, c.Now)
	if errors.Is(err, store.ErrNotFound) {
		return t, false, nil
	}
	if err != nil {
		return t, false, err
	}
	if err := decode(known.Data, &t); err != nil {
		return t, false, err
	}
	if subtle.ConstantTimeCompare([]byte(hash(id, code)), []byte(t.Hash)) == 1 {
		_, err := c.DropChallenge(id)
		return t, true, err
	}
	if known.Attempts++; known.Attempts >= smsAttempts {
		_, err := c.DropChallenge(id)
		return t, false, err
	}
	return t, false, c.PutChallenge(known)
}

// BeginSMS sends a code to the telephone that the actor wants to use from now on.
func (p *People) BeginSMS(ctx context.Context, a desk.Actor, number string) error {
	number, err := account.NormalizeNumber(number)
	if err != nil {
		return desk.Fail(err)
	}
	if err := p.o.Read(ctx, func(tx store.Tx) error { _, _, err := p.maySetUp(tx, a, p.o.Time()); return err }); err != nil {
		return err
	}
	return p.sendCode(ctx, a, setUp(a, account.SMS), number)
}

// ConfirmSMS keeps the telephone to which BeginSMS has sent the code.
func (p *People) ConfirmSMS(ctx context.Context, a desk.Actor, name, code string) (d Done, err error) {
	right, ok := p.account.Take(string(a.Account), p.o.Time())
	if !ok {
		return d, desk.Fail(desk.ErrLimited)
	}
	err = p.o.Change(ctx, a, func(c *desk.Change) error {
		l, me, err := p.maySetUp(c.Tx, a, c.Now)
		if err != nil {
			return err
		}
		var t texted
		if t, ok, err = checkCode(c, setUp(a, account.SMS), digits(code)); err != nil || !ok {
			return err // what was counted is kept
		}
		d, err = p.addFactor(c, l, me, account.Factor{Kind: account.SMS, Name: label(name), Secret: t.Number})
		return err
	})
	if err != nil {
		return d, err
	}
	if !ok {
		return d, desk.Refuse(desk.ErrDenied, "code_wrong")
	}
	right()
	return d, nil
}

// AskSMS sends a code to the actor's own telephone, the one that was used last.
func (p *People) AskSMS(ctx context.Context, a desk.Actor) error {
	var number string
	err := p.o.Read(ctx, func(tx store.Tx) error {
		list, err := tx.Factors(a.Account)
		if err != nil {
			return err
		}
		var best account.Factor
		for _, f := range list {
			if f.Kind == account.SMS && (best.ID == "" || f.SeenAt.After(best.SeenAt)) {
				best = f
			}
		}
		if best.ID == "" {
			return desk.ErrDenied
		}
		number, err = p.unseal(best.Secret, string(a.Account))
		return err
	})
	if err != nil {
		return err
	}
	return p.sendCode(ctx, a, proving(a, account.SMS), number)
}

// checkSMS checks the code that AskSMS has sent.
func (p *People) checkSMS(c *desk.Change, me account.Account, code string) (bool, error) {
	t, ok, err := checkCode(c, proving(c.Actor, account.SMS), code)
	if err != nil || !ok {
		return false, err
	}
	number, err := p.unseal(t.Number, string(me.ID))
	if err != nil {
		return false, err
	}
	list, err := c.Factors(me.ID)
	if err != nil {
		return false, err
	}
	for _, f := range list {
		if f.Kind != account.SMS {
			continue
		}
		if own, err := p.unseal(f.Secret, string(me.ID)); err != nil || own != number {
			continue
		}
		was := f.Step
		f.SeenAt = c.Now
		return true, c.UseFactor(f, was)
	}
	return false, nil // removed meanwhile
}
