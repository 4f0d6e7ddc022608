// Package content is what Traybell's windows say and do, without drawing any of it: the fields and
// rules of the form, the three truths after sending, the question before remote help, and the
// windows that list things. Package window draws it with Fyne, package page in a browser, so that
// both doors ask the same things in the same words and reach the service by the same calls.
//
// It holds values only. Service is the one type that speaks to the outside, over the local API.
package content

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/traybell/traybell/agent/internal/localapi"
	"github.com/traybell/traybell/shared/api"
	"github.com/traybell/traybell/shared/catalogue"
)

// The kinds of window, as given on traybell-window's command line.
const (
	KindForm    = "form"
	KindConsent = "consent" // with the session's id
	KindTickets = "tickets"
	KindAccess  = "access"
	KindHistory = "history"
	KindStatus  = "status"
	KindAbout   = "about"
	KindLink    = "link" // this computer to an account
)

// Kinds lists them.
var Kinds = []string{KindForm, KindConsent, KindTickets, KindAccess, KindHistory, KindStatus, KindAbout, KindLink}

// Service reaches the device service. It connects at the first call and again after the service
// came back. It may be used from several goroutines.
type Service struct {
	path string
	lang string

	mu   sync.Mutex
	c    *localapi.Client
	link pending
}

// NewService speaks to the socket at path (see localapi.ClientPath for the empty one); sentences of
// the service come in language lang.
func NewService(path, lang string) *Service { return &Service{path: path, lang: lang} }

// Client returns a connected client.
func (s *Service) Client() (*localapi.Client, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.c != nil {
		return s.c, nil
	}
	c, err := localapi.Dial(s.path)
	if err != nil {
		return nil, err
	}
	c.SetLanguage(s.lang)
	s.c = c
	return c, nil
}

// Status asks for the state of link, sessions and permissions.
func (s *Service) Status(ctx context.Context) (localapi.Status, error) {
	c, err := s.Client()
	if err != nil {
		return localapi.Status{}, err
	}
	return c.Status(ctx)
}

// Report asks what this computer reports.
func (s *Service) Report(ctx context.Context) (localapi.Report, error) {
	c, err := s.Client()
	if err != nil {
		return localapi.Report{}, err
	}
	return c.Report(ctx)
}

// Trouble puts an error of the local API into words.
func Trouble(p *catalogue.Printer, err error) string {
	if errors.Is(err, localapi.ErrNotRunning) || errors.Is(err, localapi.ErrImpostor) {
		return p.T("tray.error.service")
	}
	return p.T("tray.error", "Reason", reason(err))
}

func reason(err error) string {
	var problem api.Problem
	if errors.As(err, &problem) {
		if problem.Detail != "" {
			return problem.Detail
		}
		return problem.Title
	}
	return err.Error()
}

// Choice is one answer among several.
type Choice struct {
	Value string
	Text  string
	Hint  string
}

func clock(p *catalogue.Printer, micro int64) string {
	return time.UnixMicro(micro).Format(p.T("tray.layout.time"))
}

func date(p *catalogue.Printer, micro int64) string {
	return time.UnixMicro(micro).Format(p.T("tray.layout.date"))
}
