package mail

import (
	"time"

	deskmail "github.com/traybell/traybell/server/internal/desk/mail"
	"github.com/traybell/traybell/shared/catalogue"
)

// alarm is the sheet that tells staff how much of a promised time is over.
func (s *sheet) alarm(p *catalogue.Printer, l deskmail.Letter) {
	d := l.Data
	s.Subject = p.T("mail.alarm.subject", "Number", d["Number"], "Percent", d["Percent"], "What", p.T("mail.alarm."+d["Clock"]))
	s.Heading = p.T("mail.alarm.heading", "Percent", d["Percent"])
	s.Texts = []string{p.T("mail.alarm.text", "What", p.T("mail.alarm."+d["Clock"]), "Due", moment(p, d["Due"]))}
	s.Facts = []fact{{p.T("mail.ticket"), "#" + d["Number"] + " " + d["Title"]}, {p.T("mail.organization"), d["Organization"]}, {p.T("mail.severity"), p.T("word.severity." + d["Severity"])}}
	s.Button = p.T("mail.alarm.button")
}

// approval is the sheet that asks for a decision. It carries no way to decide: that takes signing in.
func (s *sheet) approval(p *catalogue.Printer, l deskmail.Letter, again bool) {
	d := l.Data
	s.Subject = p.T("mail.approval.subject", "For", d["For"])
	if again {
		s.Subject = p.T("mail.approval.again", "For", d["For"])
	}
	s.Heading = p.T("mail.approval.heading")
	s.Texts = []string{p.T("mail.approval.text", "Requester", d["Requester"])}
	s.Facts = s.change(p, l)
	s.Button = p.T("mail.approval.button")
	s.Small = []string{p.T("mail.approval.late", "Expires", moment(p, d["Expires"])), p.T("mail.approval.unexpected")}
}

// change lists what exactly is asked, as it is stored.
func (s *sheet) change(p *catalogue.Printer, l deskmail.Letter) []fact {
	d := l.Data
	list := []fact{{p.T("mail.approval.what"), d["What"]}, {p.T("mail.approval.for"), d["For"]}, {p.T("mail.approval.kind"), p.T("mail.approval.kind." + d["Kind"])}}
	if d["EndsOn"] != "" {
		list = append(list, fact{p.T("mail.approval.ends"), day(d["EndsOn"])})
	}
	if d["Reason"] != "" {
		list = append(list, fact{p.T("mail.approval.reason"), d["Reason"]})
	}
	return append(list, fact{p.T("mail.approval.requester"), d["Requester"]}, fact{p.T("mail.ticket"), "#" + d["Number"] + " " + d["Title"]})
}

// decided is the sheet that all concerned get with the same words after a decision.
func (s *sheet) decided(p *catalogue.Printer, l deskmail.Letter) {
	d := l.Data
	state := d["State"]
	s.Subject = p.T("mail.decided."+state+".subject", "For", d["For"])
	s.Heading = s.Subject
	if state == "expired" {
		s.Texts = []string{p.T("mail.decided.expired.text")}
	} else {
		s.Texts = []string{p.T("mail.decided."+state+".text", "By", d["By"])}
	}
	if d["Why"] != "" {
		s.Facts = []fact{{p.T("mail.decided.why"), d["Why"]}}
	}
	s.Facts = append(s.Facts, s.change(p, l)...)
	s.Button = p.T("mail.decided.button")
}

// unexpected is the sheet for administrators when an approver did not expect what was asked.
func (s *sheet) unexpected(p *catalogue.Printer, l deskmail.Letter) {
	s.Subject = p.T("mail.unexpected.subject", "By", l.Data["By"], "Number", l.Data["Number"])
	s.Heading = s.Subject
	s.Texts = []string{p.T("mail.unexpected.text")}
	s.Facts = s.change(p, l)
	s.Button = p.T("mail.alarm.button")
}

// day is a date as it is written in most of our readers' countries.
func day(s string) string {
	d, err := time.Parse(time.DateOnly, s)
	if err != nil {
		return s
	}
	return d.Format("02.01.2006")
}
