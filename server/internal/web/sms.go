package web

import (
	"errors"
	"net/http"

	"github.com/traybell/traybell/server/internal/desk"
	"github.com/traybell/traybell/server/internal/desk/people"
)

// smsView is the page of the gateway that sends codes as SMS.
type smsView struct {
	Set                       bool
	URL, Header, Secret, Type field
	Body                      string
	Methods                   []choice
	Error                     string
	Number                    field
	Sent                      bool
	Said                      string // by the gateway or the network, when a test failed
}

func (s *Server) sms(c *call) error { return s.showGateway(c, http.StatusOK, nil, smsView{}) }

func (s *Server) showGateway(c *call, status int, typed *people.Gateway, v smsView) error {
	g, has, err := s.o.People.SMSGateway(c.ctx, c.actor)
	if err != nil {
		return err
	}
	v.Set = g.URL != ""
	if typed != nil {
		g = *typed
	}
	if g.Method == "" {
		g.Method, g.ContentType, g.Header, g.Body = http.MethodPost, "application/json", "Authorization", `{"to": "{number}", "text": "{text}"}`
	}
	v.URL = field{Name: "url", Label: c.T("account.sms.url"), Hint: c.T("account.sms.url.hint"), Type: "url", Value: g.URL, Max: 2000, Required: true, Auto: "off"}
	v.Header = field{Name: "header", Label: c.T("account.sms.header"), Hint: c.T("account.sms.header.hint"), Type: "text", Value: g.Header, Max: 200, Auto: "off"}
	v.Secret = field{Name: "secret", Label: c.T("account.sms.secret"), Type: "password", Max: 4000, Auto: "off"}
	if has {
		v.Secret.Hint = c.T("account.sms.secret.kept")
	}
	v.Type = field{Name: "type", Label: "Content-Type", Type: "text", Value: g.ContentType, Max: 200, Auto: "off"}
	v.Body = g.Body
	for _, m := range []string{http.MethodPost, http.MethodPut, http.MethodGet} {
		v.Methods = append(v.Methods, choice{Code: m, Word: m, Current: m == g.Method})
	}
	v.Number = field{Name: "number", Label: c.T("account.sms.number"), Hint: c.T("account.sms.number.hint"), Type: "tel", Value: clip(c.r.PostFormValue("number"), 40), Max: 40, Required: true, Auto: "tel", Error: v.Number.Error}
	return c.showAs(status, "sms", c.page("settings", c.T("account.sms.gateway"), v))
}

func (s *Server) saveSMS(c *call) error {
	get := c.r.PostFormValue
	g := people.Gateway{URL: get("url"), Method: get("method"), Header: get("header"), Secret: get("secret"), ContentType: get("type"), Body: get("body")}
	err := s.o.People.SetSMSGateway(c.ctx, c.actor, g)
	if errors.Is(err, desk.ErrInvalid) {
		return s.showGateway(c, http.StatusUnprocessableEntity, &g, smsView{Error: desk.Text(err, c.Language())})
	}
	if err != nil {
		return err
	}
	return c.redirect("/settings/sms?done=sms")
}

func (s *Server) removeSMS(c *call) error {
	if err := s.o.People.SetSMSGateway(c.ctx, c.actor, people.Gateway{}); err != nil {
		return err
	}
	return c.redirect("/settings/sms?done=sms.off")
}

func (s *Server) testSMS(c *call) error {
	said, err := s.o.People.TestSMS(c.ctx, c.actor, c.r.PostFormValue("number"))
	v := smsView{Said: said, Sent: err == nil && said == ""}
	if status, text := c.refused(err); text != "" {
		v.Number.Error = text
		return s.showGateway(c, status, nil, v)
	}
	if err != nil {
		return err
	}
	return s.showGateway(c, http.StatusOK, nil, v)
}
