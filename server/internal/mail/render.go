package mail

import (
	"bytes"
	_ "embed"
	"fmt"
	"html/template"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/traybell/traybell/server/internal/desk"
	deskmail "github.com/traybell/traybell/server/internal/desk/mail"
	"github.com/traybell/traybell/shared/catalogue"
)

//go:embed letter.html
var letterHTML string

var layout = template.Must(template.New("letter").Parse(letterHTML))

// Printed is a mail in its language.
type Printed struct {
	Subject string
	Text    string // lines of at most 78 characters where words allow it
	HTML    string
}

// sheet is what the layout shows, from top to bottom.
type sheet struct {
	Language string
	Brand    string
	Subject  string
	Hidden   string // what lists of mails show beside the subject
	Heading  string
	Facts    []fact
	Texts    []string
	Button   string
	URL      string
	Said     string   // what a person has written: its line breaks stay
	Quote    string   // what the recipient has written themselves
	Files    []string // that wait in the portal
	Links    []link   // lesser ones below
	Small    []string
}

type link struct{ Text, URL string }

type fact struct{ Name, Value string }

// byPeople are the kinds whose text a person has written: they carry no mark of automatic mail.
var byPeople = []string{desk.MailTicketAnswered}

// kinds turn a letter's data into a sheet.
var kinds = map[string]func(*sheet, *catalogue.Printer, deskmail.Letter){
	desk.MailInvitation: func(s *sheet, p *catalogue.Printer, l deskmail.Letter) {
		s.Subject, s.Heading = p.T("mail.invitation.subject", "Brand", l.Brand), p.T("mail.invitation.heading")
		if by := l.Data["By"]; by != "" {
			s.Texts = append(s.Texts, p.T("mail.invitation.by", "By", by, "Brand", l.Brand))
		} else {
			s.Texts = append(s.Texts, p.T("mail.invitation.text", "Brand", l.Brand))
		}
		s.Facts = []fact{{p.T("web.email"), l.To}, {p.T("web.organization"), l.Data["Organization"]}, {p.T("web.role"), p.T("web.role." + l.Data["Role"])}}
		s.Button = p.T("mail.invitation.button")
		s.Small = []string{p.T("mail.once", "Until", moment(p, l.Data["Until"])), p.T("mail.invitation.next"), p.T("mail.invitation.unexpected")}
	},
	desk.MailReset: func(s *sheet, p *catalogue.Printer, l deskmail.Letter) {
		s.Subject, s.Heading = p.T("mail.reset.subject"), p.T("mail.reset.subject")
		s.Texts = []string{p.T("mail.reset.text", "Email", l.To)}
		s.Button = p.T("mail.reset.button")
		s.Small = []string{p.T("mail.once", "Until", moment(p, l.Data["Until"])), p.T("mail.reset.factor"), p.T("mail.reset.unexpected")}
	},
	desk.MailPasswordSet: func(s *sheet, p *catalogue.Printer, l deskmail.Letter) {
		s.notice(p, l, "password_set")
	},
	desk.MailFactorChanged: func(s *sheet, p *catalogue.Printer, l deskmail.Letter) {
		s.notice(p, l, "factor_changed")
	},
	desk.MailFactorReset: func(s *sheet, p *catalogue.Printer, l deskmail.Letter) {
		s.notice(p, l, "factor_reset")
		s.Button = p.T("mail.factor_reset.button")
		s.Small = append([]string{p.T("mail.once", "Until", moment(p, l.Data["Until"]))}, s.Small...)
	},
	desk.MailSpecialistIn: func(s *sheet, p *catalogue.Printer, l deskmail.Letter) {
		s.Subject = p.T("mail.specialist_in.subject", "Name", l.Data["Name"])
		s.Heading = s.Subject
		s.Texts = []string{p.T("mail.specialist_in.text")}
		s.Facts = []fact{{p.T("mail.who"), l.Data["Name"]}, {p.T("mail.when"), moment(p, l.Data["When"])}}
		if n := l.Data["Number"]; n != "" {
			s.Facts = append(s.Facts, fact{p.T("mail.ticket"), "#" + n})
		}
		s.Small = []string{p.T("mail.specialist_in.unexpected")}
	},
	desk.MailTicketFiled: func(s *sheet, p *catalogue.Printer, l deskmail.Letter) {
		k := l.Ticket
		s.Subject, s.Heading = subject(k), p.T("mail.ticket_filed.heading", "Number", k.Number)
		s.Texts = []string{p.T("mail.ticket_filed.text")}
		if k.Confirm != "" {
			s.Texts = append(s.Texts, p.T("mail.ticket_filed.confirm"))
			s.Button, s.URL = p.T("mail.ticket_filed.confirm.button"), "/confirm#token="+k.Confirm
		} else if k.Account {
			s.Button, s.URL = p.T("mail.look"), "/tickets/"+strconv.FormatInt(k.Number, 10)
		}
		s.Quote = k.Title
		if k.Text != "" {
			s.Quote += "\n\n" + k.Text
		}
		s.decide(p, k, "close")
	},
	desk.MailTicketAnswered: func(s *sheet, p *catalogue.Printer, l deskmail.Letter) {
		k := l.Ticket
		s.Subject, s.Heading, s.Said = subject(k), p.T("mail.ticket_answered.heading", "Name", k.Author), k.Answer
		s.Hidden, s.Files = oneLine(k.Answer), k.Files
		if k.Account {
			s.Button, s.URL = p.T("mail.look"), "/tickets/"+strconv.FormatInt(k.Number, 10)
		}
		s.decide(p, k, "close", "broken")
	},
	desk.MailTicketResolved: func(s *sheet, p *catalogue.Printer, l deskmail.Letter) {
		k := l.Ticket
		s.Subject, s.Heading = subject(k), p.T("mail.ticket_resolved.heading", "Number", k.Number)
		s.Texts = []string{p.T("mail.ticket_resolved.text")}
		s.Quote = k.Title
		s.decide(p, k, "close", "broken")
	},
	desk.MailTicketClosed: func(s *sheet, p *catalogue.Printer, l deskmail.Letter) {
		k := l.Ticket
		s.Subject, s.Heading = subject(k), p.T("mail.ticket_closed.heading", "Number", k.Number)
		s.Texts = []string{p.T("mail.ticket_closed.text")}
		s.Quote = k.Title
	},
	desk.MailAlarm:              func(s *sheet, p *catalogue.Printer, l deskmail.Letter) { s.alarm(p, l) },
	desk.MailApproval:           func(s *sheet, p *catalogue.Printer, l deskmail.Letter) { s.approval(p, l, false) },
	desk.MailApprovalReminder:   func(s *sheet, p *catalogue.Printer, l deskmail.Letter) { s.approval(p, l, true) },
	desk.MailApprovalDecided:    func(s *sheet, p *catalogue.Printer, l deskmail.Letter) { s.decided(p, l) },
	desk.MailApprovalUnexpected: func(s *sheet, p *catalogue.Printer, l deskmail.Letter) { s.unexpected(p, l) },
	desk.MailTurnedAway: func(s *sheet, p *catalogue.Printer, l deskmail.Letter) {
		s.Subject, s.Heading = p.T("mail.turned_away.subject"), p.T("mail.turned_away.subject")
		s.Texts = []string{p.T("mail.turned_away.text", "Brand", l.Brand)}
		s.Quote, s.Button, s.URL = l.Data["Subject"], p.T("mail.turned_away.button"), "/tickets/new"
	},
	desk.MailTest: func(s *sheet, p *catalogue.Printer, l deskmail.Letter) {
		s.Subject, s.Heading = p.T("mail.test.subject", "Brand", l.Brand), p.T("mail.test.heading")
		s.Texts = []string{p.T("mail.test.text", "By", l.Data["By"])}
	},
}

// subject keeps the mails of a ticket together in programs that sort by it.
func subject(k *deskmail.LetterTicket) string {
	return fmt.Sprintf("[#%d] %s", k.Number, k.Title)
}

// decide adds the two links of the footer. Each opens a page; only its button decides.
func (s *sheet) decide(p *catalogue.Printer, k *deskmail.LetterTicket, which ...string) {
	for _, w := range which {
		s.Links = append(s.Links, link{p.T("mail.link." + w), "/decide#token=" + k.Decide})
	}
	s.Small = append(s.Small, p.T("mail.answer"))
}

// notice is the sheet of what has happened to somebody's account.
func (s *sheet) notice(p *catalogue.Printer, l deskmail.Letter, kind string) {
	s.Subject = p.T("mail." + kind + ".subject")
	s.Heading = s.Subject
	s.Texts = []string{p.T("mail." + kind + ".text")}
	s.Facts = []fact{{p.T("web.email"), l.To}, {p.T("mail.when"), moment(p, l.Data["When"])}}
	if by := l.Data["By"]; by != "" {
		s.Facts = append(s.Facts, fact{p.T("mail.who"), by})
	}
	if a := l.Data["Address"]; a != "" {
		s.Facts = append(s.Facts, fact{p.T("mail.address"), a})
	}
	s.Small = []string{p.T("mail.notyou")}
}

// Render writes a letter in its language.
func (t *Transport) Render(l deskmail.Letter) (Printed, error) {
	make := kinds[l.Kind]
	if make == nil {
		return Printed{}, fmt.Errorf("there is no text for mails of kind %q", l.Kind)
	}
	if strings.HasPrefix(l.Kind, "ticket_") && l.Ticket == nil {
		return Printed{}, fmt.Errorf("a mail of kind %s needs its ticket", l.Kind)
	}
	p := catalogue.For(l.Language)
	s := &sheet{Language: p.Language(), Brand: l.Brand}
	make(s, p, l)
	if l.Link != "" {
		s.URL = l.Link
	}
	at := strings.TrimSuffix(t.PublicURL, "/")
	if s.URL != "" {
		s.URL = at + s.URL
	}
	for i := range s.Links {
		s.Links[i].URL = at + s.Links[i].URL
	}
	if s.Hidden == "" && len(s.Texts) > 0 {
		s.Hidden = s.Texts[0]
	}
	if !slices.Contains(byPeople, l.Kind) {
		s.Small = append(s.Small, p.T("mail.automatic", "Brand", l.Brand))
	}
	if r := []rune(s.Hidden); len(r) > 120 {
		s.Hidden = string(r[:120])
	}
	s.Subject = oneLine(s.Subject)
	var b bytes.Buffer
	if err := layout.Execute(&b, s); err != nil {
		return Printed{}, fmt.Errorf("write %s: %w", l.Kind, err)
	}
	return Printed{Subject: s.Subject, Text: s.text(), HTML: b.String()}, nil
}

// text is the sheet for programs that show no HTML.
func (s *sheet) text() string {
	var b strings.Builder
	b.WriteString(wrap(s.Heading) + "\n")
	if s.Said != "" {
		b.WriteString("\n" + wrap(s.Said) + "\n")
	}
	for _, f := range s.Files {
		b.WriteString("\n* " + f + "\n")
	}
	for _, t := range s.Texts {
		b.WriteString("\n" + wrap(t) + "\n")
	}
	if s.Quote != "" {
		b.WriteString("\n> " + strings.ReplaceAll(wrap(s.Quote), "\n", "\n> ") + "\n")
	}
	if len(s.Facts) > 0 {
		b.WriteString("\n")
	}
	for _, f := range s.Facts {
		b.WriteString(f.Name + ": " + f.Value + "\n")
	}
	if s.URL != "" {
		b.WriteString("\n" + s.Button + ":\n" + s.URL + "\n")
	}
	if len(s.Links)+len(s.Small) > 0 {
		b.WriteString("\n-- \n")
	}
	for _, l := range s.Links {
		b.WriteString(l.Text + ":\n" + l.URL + "\n")
	}
	for _, t := range s.Small {
		b.WriteString("\n" + wrap(t) + "\n")
	}
	return b.String()
}

// wrap breaks lines between words.
func wrap(s string) string {
	var b strings.Builder
	for i, line := range strings.Split(s, "\n") {
		if i > 0 {
			b.WriteByte('\n')
		}
		n := 0
		for j, w := range strings.Fields(line) {
			k := len([]rune(w))
			switch {
			case j == 0:
			case n+1+k > 76:
				b.WriteByte('\n')
				n = 0
			default:
				b.WriteByte(' ')
				n++
			}
			b.WriteString(w)
			n += k
		}
	}
	return b.String()
}

func oneLine(s string) string { return strings.Join(strings.Fields(s), " ") }

// moment is a time of a letter's data, in the server's zone, which it names.
func moment(p *catalogue.Printer, s string) string {
	t, err := time.Parse(time.RFC3339, s)
	if err != nil {
		return s
	}
	t = t.Local()
	day := p.T("web.date.year", "Day", t.Day(), "Month", p.T("web.month."+strconv.Itoa(int(t.Month()))), "Year", t.Year())
	return day + ", " + t.Format("15:04 MST")
}
