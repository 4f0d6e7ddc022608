package web

import (
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/url"
	"strings"

	"github.com/traybell/traybell/server/internal/account"
	"github.com/traybell/traybell/server/internal/desk"
	"github.com/traybell/traybell/server/internal/desk/people"
)

// secondView asks for the second factor: at the door after the password, or again before something that needs
// a fresh proof.
type secondView struct {
	Action  string // where its form goes
	Again   bool   // somebody signed in proves it once more
	Email   string
	Next    string
	Kept    string // sealed: what goes on afterwards
	Kind    string
	Label   string
	Hint    string
	Numeric bool
	Number  string // of the telephone that a code goes to
	Sent    bool   // it is under way
	Others  []choice
	Error   string
}

// ways are the kinds of proof that somebody can choose from, the one used last first.
func ways(factors []account.Factor) []account.FactorKind {
	var list []account.FactorKind
	add := func(k account.FactorKind) {
		for _, have := range list {
			if have == k {
				return
			}
		}
		list = append(list, k)
	}
	last := -1
	for i, f := range factors {
		if last < 0 || f.SeenAt.After(factors[last].SeenAt) {
			last = i
		}
	}
	if last >= 0 {
		add(factors[last].Kind)
	}
	for _, f := range factors {
		add(f.Kind)
	}
	add(people.Recovery)
	return list
}

// showSecond asks for a proof of the kind in v, or of the one used last.
func (s *Server) showSecond(c *call, status int, factors []account.Factor, v secondView) error {
	list := ways(factors)
	kind := list[0]
	for _, k := range list {
		if string(k) == v.Kind {
			kind = k
		}
	}
	v.Kind = string(kind)
	for _, k := range list {
		if k != kind {
			v.Others = append(v.Others, choice{Code: string(k), Word: c.T("account.use." + string(k))})
		}
	}
	v.Label, v.Hint, v.Numeric = c.T("account.ask."+string(kind)), c.T("account.ask."+string(kind)+".hint"), kind != people.Recovery
	for _, f := range factors {
		if f.Kind == account.SMS && kind == account.SMS {
			v.Number = f.Shown
		}
	}
	title := c.T("web.signin.second")
	if v.Again {
		title = c.T("account.again")
	}
	return c.showAs(status, "second", c.page("", title, v))
}

func (s *Server) secondFactor(c *call) error {
	v := secondView{Action: "/second-factor", Next: local(c.r.FormValue("next"), "/")}
	if c.me.ID != "" {
		return c.redirect(v.Next)
	}
	step, ok, err := c.step()
	if err != nil {
		return err
	}
	if !ok || step.Login.State != account.LoginSecond {
		return c.redirect("/sign-in")
	}
	v.Email = step.Account.Email
	return s.showSecond(c, http.StatusOK, step.Factors, v)
}

func (s *Server) proveFactor(c *call) error {
	get := c.r.PostFormValue
	v := secondView{Action: "/second-factor", Next: local(get("next"), "/"), Kind: get("kind")}
	step, ok, err := c.step()
	if err != nil {
		return err
	}
	if !ok || step.Login.State != account.LoginSecond {
		return s.showSignIn(c, http.StatusUnprocessableEntity, signInView{Next: v.Next, Error: c.T("web.error.expired")}, "")
	}
	v.Email = step.Account.Email
	switch get("step") {
	case "choose":
		return s.showSecond(c, http.StatusOK, step.Factors, v)
	case "send":
		status, err := s.sendCode(c, step.Actor(), &v)
		if err != nil {
			return err
		}
		return s.showSecond(c, status, step.Factors, v)
	}
	v.Sent = v.Kind == string(account.SMS)
	in, err := s.o.People.Prove(c.ctx, step, people.Proof{Kind: account.FactorKind(v.Kind), Text: get("code")})
	if status, text := c.refused(err); text != "" {
		v.Error = text
		return s.showSecond(c, status, step.Factors, v)
	}
	if err != nil {
		return err
	}
	return c.enter(in, v.Next)
}

// sendCode sends an SMS to whoever proves their second factor by one.
func (s *Server) sendCode(c *call, a desk.Actor, v *secondView) (int, error) {
	v.Kind = string(account.SMS)
	err := s.o.People.AskSMS(c.ctx, a)
	if status, text := c.refused(err); text != "" {
		v.Error = text
		return status, nil
	}
	v.Sent = err == nil
	return http.StatusOK, err
}

// askPasskey gives the browser what it needs to use a passkey of whoever signs in, or is signed in.
func (s *Server) askPasskey(c *call) error {
	a := c.actor
	if c.me.ID == "" {
		step, ok, err := c.step()
		if err != nil {
			return err
		}
		if !ok || step.Login.State != account.LoginSecond {
			return desk.Refuse(desk.ErrDenied, "signed_out")
		}
		a = step.Actor()
	}
	options, err := s.o.People.AskPasskey(c.ctx, a)
	return c.json(options, err)
}

// kept is a request that waits for a proof of the second factor.
type kept struct {
	Method string     `json:"method"`
	URI    string     `json:"uri"`
	Form   url.Values `json:"form,omitempty"`
}

const maxKept = 128 << 10 // a longer form is not kept: the person is told to send it again

// askStepUp answers a request that needs a fresh proof with the page that asks for it. The request goes on
// afterwards, with everything that was filled in.
func (s *Server) askStepUp(c *call) {
	if c.r.Header.Get("HX-Request") != "" || strings.Contains(c.r.Header.Get("Accept"), "application/json") || c.r.Header.Get("Upgrade") != "" {
		back := "/tickets"
		if u, err := url.Parse(c.r.Header.Get("HX-Current-URL")); err == nil && u.Path != "" {
			back = u.RequestURI()
		}
		c.w.Header().Set("HX-Redirect", "/step-up?next="+escape(back))
		http.Error(c.w, desk.Text(desk.ErrStepUp, c.Language()), http.StatusForbidden)
		return
	}
	k := kept{Method: c.r.Method, URI: c.r.URL.RequestURI(), Form: c.r.PostForm}
	if k.Method == http.MethodPost && len(k.Form.Encode()) > maxKept {
		k = kept{Method: http.MethodGet, URI: "/tickets"}
	}
	if err := s.showStepUp(c, http.StatusForbidden, k, secondView{}); err != nil {
		s.problem(c, err)
	}
}

func (s *Server) showStepUp(c *call, status int, k kept, v secondView) error {
	b, err := json.Marshal(k)
	if err != nil {
		return err
	}
	return s.showAgain(c, status, s.o.People.Keep(c.actor, string(b)), v)
}

func (s *Server) showAgain(c *call, status int, sealed string, v secondView) error {
	factors, err := s.o.People.Factors(c.ctx, c.actor)
	if err != nil {
		return err
	}
	v.Action, v.Again, v.Kept = "/step-up", true, sealed
	return s.showSecond(c, status, factors, v)
}

func (s *Server) stepUp(c *call) error {
	next := local(c.r.URL.Query().Get("next"), "/")
	if desk.NeedFresh(c.actor, c.now) == nil {
		return c.redirect(next)
	}
	return s.showStepUp(c, http.StatusOK, kept{Method: http.MethodGet, URI: next}, secondView{})
}

func (s *Server) proveAgain(c *call) error {
	get := c.r.PostFormValue
	sealed := get("kept")
	text, err := s.o.People.Kept(c.actor, sealed)
	if err != nil {
		return err
	}
	var k kept
	if err := json.Unmarshal([]byte(text), &k); err != nil {
		return errors.Join(errForm, err)
	}
	v := secondView{Kind: get("kind")}
	switch get("step") {
	case "choose":
		return s.showAgain(c, http.StatusOK, sealed, v)
	case "send":
		status, err := s.sendCode(c, c.actor, &v)
		if err != nil {
			return err
		}
		return s.showAgain(c, status, sealed, v)
	}
	v.Sent = v.Kind == string(account.SMS)
	err = s.o.People.StepUp(c.ctx, c.actor, people.Proof{Kind: account.FactorKind(v.Kind), Text: get("code")})
	if status, text := c.refused(err); text != "" {
		v.Error = text
		return s.showAgain(c, status, sealed, v)
	}
	if err != nil {
		return err
	}
	if k.Method != http.MethodPost {
		return c.redirect(local(k.URI, "/"))
	}
	return c.goOn(k)
}

// goOn answers the request that has waited, as if it came now.
func (c *call) goOn(k kept) error {
	to, err := url.Parse(local(k.URI, "/"))
	if err != nil {
		return errors.Join(errForm, err)
	}
	r := c.r.Clone(c.ctx)
	r.Method, r.URL, r.RequestURI, r.Pattern = k.Method, to, to.RequestURI(), ""
	r.Form, r.PostForm, r.MultipartForm = nil, nil, nil
	body := k.Form.Encode()
	r.Body, r.ContentLength = io.NopCloser(strings.NewReader(body)), int64(len(body))
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	c.s.handler.ServeHTTP(c.w, r)
	return nil
}
