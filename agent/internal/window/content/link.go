package content

import (
	"context"
	"strings"

	"github.com/traybell/traybell/agent/internal/localapi"
	"github.com/traybell/traybell/shared/api"
	"github.com/traybell/traybell/shared/catalogue"
)

// pending is a code that was typed and not yet confirmed, with whose it is.
type pending struct {
	code  string
	owner api.Owner
	done  bool // confirmed here; the portal comes next
}

func (s *Service) pending() pending {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.link
}

func (s *Service) setPending(l pending) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.link = l
}

func (s *Service) doLink(ctx context.Context, p *catalogue.Printer, c *localapi.Client, a Action) (string, error) {
	switch a.Verb {
	case LookLink:
		code := strings.TrimSpace(a.Arg)
		if code == "" {
			return p.T("tray.link.empty"), nil
		}
		o, err := c.LookOwner(ctx, code)
		if err != nil {
			return "", err
		}
		s.setPending(pending{code: code, owner: o})
	case ClaimLink:
		l := s.pending()
		if l.code == "" {
			return "", nil
		}
		o, err := c.ClaimOwner(ctx, l.code)
		if err != nil {
			s.setPending(pending{})
			return "", err
		}
		s.setPending(pending{owner: o, done: true})
	case DropLink:
		s.setPending(pending{})
		return p.T("tray.link.dropped"), nil
	case EndLink:
		s.setPending(pending{})
		if err := c.EndOwner(ctx, a.Arg); err != nil {
			return "", err
		}
		return p.T("tray.link.ended"), nil
	}
	return "", nil
}

// readLink is the window in which this computer is linked to an account: the code, then whose it is, then
// what comes next.
func (s *Service) readLink(ctx context.Context, p *catalogue.Printer, c *localapi.Client, st localapi.Status) (Sheet, error) {
	owners, err := c.Owners(ctx)
	if err != nil {
		return Sheet{}, err
	}
	l := s.pending()
	var sh Sheet
	switch {
	case l.code != "":
		sh.Intro = p.T("tray.link.ask")
		sh.Sections = append(sh.Sections, Section{Rows: []Row{{Text: l.owner.Name, Strong: true, Notes: []string{l.owner.Email, p.T("tray.link.means")}}}})
		sh.Actions = []Action{{Verb: ClaimLink, Label: p.T("tray.link.yes")}, {Verb: DropLink, Label: p.T("tray.link.no")}}
		return sh, nil
	case l.done:
		sh.Intro = p.T("tray.link.next", "Name", l.owner.Name)
		if st.PortalURL != "" {
			sh.Sections = append(sh.Sections, Section{Rows: []Row{{Text: p.T("tray.link.portal"), Actions: []Action{{Verb: Open, Arg: strings.TrimRight(st.PortalURL, "/") + "/devices", Label: p.T("tray.tickets.open")}}}}})
		}
	default:
		sh.Intro = p.T("tray.link.intro")
		sh.Entry = &Entry{Label: p.T("tray.link.code"), Hint: "K7QMX-2XFDP", Action: Action{Verb: LookLink, Label: p.T("tray.link.go")}}
	}
	var linked Section
	for _, o := range owners {
		linked.Heading = p.T("tray.link.linked")
		linked.Rows = append(linked.Rows, Row{Text: o.Name, Notes: []string{o.Email, p.T("tray.link.since", "Date", date(p, o.Since))},
			Actions: []Action{{Verb: EndLink, Arg: o.ID, Label: p.T("tray.link.end"), Danger: true}}})
	}
	if len(linked.Rows) > 0 {
		sh.Sections = append(sh.Sections, linked)
	}
	return sh, nil
}
