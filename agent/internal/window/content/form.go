package content

import (
	"context"
	"errors"
	"fmt"
	"net/mail"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/traybell/traybell/agent/internal/localapi"
	"github.com/traybell/traybell/shared/api"
	"github.com/traybell/traybell/shared/catalogue"
)

// MaxTogether bounds the files of one ticket, in bytes.
const MaxTogether = 200 << 20

// Form is the assistance request as far as it has been filled in. It is also the draft on disk.
type Form struct {
	ID       string       `json:"id"` // UUIDv7, made when the form opened
	Title    string       `json:"title"`
	Text     string       `json:"text,omitempty"`
	Answers  api.Answers  `json:"answers"`
	Severity api.Severity `json:"severity,omitempty"` // chosen by hand; empty: as proposed
	Email    string       `json:"email,omitempty"`
	Name     string       `json:"name,omitempty"`
	Phone    string       `json:"phone,omitempty"`
	Remember bool         `json:"remember"`
	Files    []File       `json:"files,omitempty"`

	// Help allows remote help beforehand: ticket, or hours as in Hours; empty is to be asked. It is
	// no part of the draft: a permission is given by a person, not by a file that others may write.
	Help string `json:"-"`
}

// File is a picture or file to be sent with a form. It is read again when the form is sent.
type File struct {
	Name string `json:"name"`
	Type string `json:"type"`
	Path string `json:"path"`
	Size int64  `json:"size"`
	Own  bool   `json:"own,omitempty"` // made by us beside the draft, and removed with it
}

// NewForm opens an empty form.
func NewForm(now time.Time) Form { return Form{ID: api.NewID(now), Remember: true} }

// Typed reports whether anything worth keeping was filled in.
func (f Form) Typed() bool {
	return strings.TrimSpace(f.Title) != "" || strings.TrimSpace(f.Text) != "" || len(f.Files) > 0 || f.Answers != (api.Answers{})
}

// Proposed is the severity as chosen, or as the answers propose it.
func (f Form) Proposed() api.Severity {
	if f.Severity != "" {
		return f.Severity
	}
	return f.Answers.Severity()
}

// The fields of the form that can be wrong.
const (
	FieldTitle = "title"
	FieldText  = "text"
	FieldEmail = "email"
	FieldName  = "name"
	FieldPhone = "phone"
)

// Fields lists them in the order of the form.
var Fields = []string{FieldTitle, FieldText, FieldEmail, FieldName, FieldPhone}

// Check returns a sentence for each field that keeps the form from being sent.
func (f Form) Check(p *catalogue.Printer) map[string]string {
	wrong := map[string]string{}
	title, email := strings.TrimSpace(f.Title), strings.TrimSpace(f.Email)
	switch {
	case title == "":
		wrong[FieldTitle] = p.T("form.error.title")
	case utf8.RuneCountInString(title) > api.MaxTitle:
		wrong[FieldTitle] = p.T("form.error.title.long")
	}
	if utf8.RuneCountInString(f.Text) > api.MaxText {
		wrong[FieldText] = p.T("form.error.text.long")
	}
	switch {
	case email == "":
		wrong[FieldEmail] = p.T("form.error.email")
	case !address(email):
		wrong[FieldEmail] = p.T("form.error.email.bad")
	}
	for field, value := range map[string]string{FieldName: f.Name, FieldPhone: f.Phone} {
		if utf8.RuneCountInString(value) > api.MaxName {
			wrong[field] = p.T("form.error.long")
		}
	}
	return wrong
}

// address reports whether s looks like one e-mail address; its owner alone can prove it.
func address(s string) bool {
	if utf8.RuneCountInString(s) > api.MaxEmail || strings.ContainsAny(s, " \t\r\n<>,;") {
		return false
	}
	a, err := mail.ParseAddress(s)
	if err != nil || a.Address != s {
		return false
	}
	_, domain, _ := strings.Cut(s, "@")
	return strings.Contains(strings.Trim(domain, "."), ".") || domain == "localhost"
}

// Ticket is the form as the service takes it.
func (f Form) Ticket(lang string, facts []api.Fact) localapi.Ticket {
	return localapi.Ticket{
		ID: f.ID, Title: strings.TrimSpace(f.Title), Text: strings.TrimSpace(f.Text),
		Severity: f.Proposed(), Answers: f.Answers,
		Email: strings.TrimSpace(f.Email), Name: strings.TrimSpace(f.Name), Phone: strings.TrimSpace(f.Phone),
		Language: lang, Facts: facts, Files: len(f.Files), Help: f.Help,
	}
}

// Plain is the form as text, for the clipboard.
func (f Form) Plain() string {
	var b strings.Builder
	for _, s := range []string{f.Title, f.Text, f.Name, f.Email, f.Phone} {
		if s = strings.TrimSpace(s); s != "" {
			fmt.Fprintln(&b, s)
		}
	}
	return b.String()
}

// Attach adds the file at path, or returns the sentence that says why it can't be added.
func (f *Form) Attach(p *catalogue.Printer, path, name, contentType string, own bool) string {
	if name == "" {
		name = path[strings.LastIndexAny(path, `/\`)+1:]
	}
	if r := []rune(name); len(r) > api.MaxFileName {
		name = string(r[len(r)-api.MaxFileName:])
	}
	if len(f.Files) >= api.MaxFiles {
		return p.T("form.error.file.many")
	}
	info, err := os.Stat(path)
	if err == nil && !info.Mode().IsRegular() {
		err = errors.New(p.T("form.error.file.kind"))
	}
	if err == nil {
		var r *os.File
		if r, err = os.Open(path); err == nil {
			r.Close()
		}
	}
	if err != nil {
		var pe *os.PathError
		if errors.As(err, &pe) {
			err = pe.Err
		}
		return p.T("form.error.file", "Name", name, "Reason", err.Error())
	}
	total := info.Size()
	for _, other := range f.Files {
		total += other.Size
	}
	if total > MaxTogether {
		return p.T("form.error.file.big", "Name", name)
	}
	f.Files = append(f.Files, File{Name: name, Type: contentType, Path: path, Size: info.Size(), Own: own})
	return ""
}

// Helps are the choices of remote help beforehand, the hours apart: to be asked, and until the ticket
// is closed.
func Helps(p *catalogue.Printer) []Choice {
	return []Choice{{Value: "", Text: p.T("form.help.ask")}, {Value: "ticket", Text: p.T("form.help.ticket")}}
}

// HelpHours is the text of help beforehand for n hours.
func HelpHours(p *catalogue.Printer, n int) string { return p.T("form.help.hours", "Count", n) }

// ValidHelp reports whether help is one of the choices.
func ValidHelp(help string) bool {
	n, err := strconv.Atoi(help)
	return help == "" || help == "ticket" || err == nil && slices.Contains(Hours, n) && help == strconv.Itoa(n)
}

// Working, Affected and Severities are the choices of the two questions and of the severity. The
// severity's hints are its rules.
func Working(p *catalogue.Printer) []Choice {
	return choices(p, "form.working.", "yes", "difficult", "no")
}

// Affected: see Working.
func Affected(p *catalogue.Printer) []Choice {
	return choices(p, "form.affected.", "me", "several", "unknown")
}

// Severities: see Working.
func Severities(p *catalogue.Printer) []Choice {
	var out []Choice
	for _, s := range api.Severities {
		out = append(out, Choice{Value: string(s), Text: p.T("word.severity." + string(s)), Hint: p.T("word.rule." + string(s))})
	}
	return out
}

func choices(p *catalogue.Printer, prefix string, values ...string) []Choice {
	var out []Choice
	for _, v := range values {
		out = append(out, Choice{Value: v, Text: p.T(prefix + v)})
	}
	return out
}

// Told is the sentence under a ticked security box.
func Told(p *catalogue.Printer, st localapi.Status) string {
	if st.SupportPhone == "" {
		return p.T("form.security.told.plain")
	}
	return p.T("form.security.told", "Phone", st.SupportPhone)
}

// FormWindow is the form's window title.
func FormWindow(p *catalogue.Printer, st localapi.Status) string {
	if st.Organization == "" {
		return p.T("form.window.plain")
	}
	return p.T("form.window", "Organization", st.Organization)
}

// SentWith is the line "What is sent with it" and the facts behind it.
func SentWith(p *catalogue.Printer, r localapi.Report) (string, []api.Fact) {
	var facts []api.Fact
	for _, f := range r.Fields {
		if strings.TrimSpace(f.Value) != "" {
			facts = append(facts, api.Fact{Name: p.T(f.Name), Value: f.Value})
		}
	}
	if len(facts) == 0 {
		return "", nil
	}
	var names []string
	for _, v := range []string{r.Facts.Hostname, r.Facts.OSName} {
		if v != "" {
			names = append(names, v)
		}
	}
	if len(names) == 0 {
		names = append(names, facts[0].Name)
	}
	return p.T("form.with", "Items", strings.Join(names, ", ")+", …", "Count", len(facts)), facts
}

// Wait is how long Send waits for the server before a ticket counts as kept.
const Wait = 5 * time.Second

// Send hands files and form to the service and returns what became of it. An error means that the
// service could not be reached or stopped answering; sending the same form again is safe, because
// its id makes it the same ticket.
func (s *Service) Send(ctx context.Context, f Form, facts []api.Fact) (localapi.Filed, error) {
	c, err := s.Client()
	if err != nil {
		return localapi.Filed{}, err
	}
	for i, file := range f.Files {
		if err := put(ctx, c, f.ID, i, file); err != nil {
			var p api.Problem
			if errors.As(err, &p) {
				return localapi.Filed{State: localapi.FiledRefused, ID: f.ID, Code: p.Code, Reason: reason(err)}, nil
			}
			return localapi.Filed{}, err
		}
	}
	t := f.Ticket(s.lang, facts)
	filed, err := c.File(ctx, t, Wait)
	if err != nil && ctx.Err() == nil {
		// The service may have kept the ticket and gone away before it could say so.
		return c.File(ctx, t, Wait)
	}
	return filed, err
}

func put(ctx context.Context, c *localapi.Client, id string, index int, f File) error {
	r, err := os.Open(f.Path)
	if err != nil {
		return err
	}
	defer r.Close()
	return c.PutFile(ctx, id, index, f.Name, f.Type, r)
}

// The three truths.
const (
	Sent    = "sent"
	Kept    = "kept"
	Neither = "neither"
)

// Outcome is what the person reads after sending.
type Outcome struct {
	Truth   string
	Heading string
	Lines   []string
}

// After puts what became of a form into words. It never says more than the service confirmed.
func After(p *catalogue.Printer, st localapi.Status, f Form, filed localapi.Filed, err error) Outcome {
	switch {
	case err == nil && filed.State == localapi.FiledSent && filed.Number > 0:
		o := Outcome{Truth: Sent, Heading: p.T("form.sent", "Number", filed.Number),
			Lines: []string{p.T("form.sent.text", "Email", strings.TrimSpace(f.Email))}}
		if filed.FilesPending > 0 {
			o.Lines = append(o.Lines, p.T("form.sent.files", "Count", filed.FilesPending))
		}
		return o
	case err == nil && filed.State == localapi.FiledKept:
		o := Outcome{Truth: Kept, Heading: p.T("form.kept"), Lines: []string{p.T("form.kept.text")}}
		if st.SupportPhone != "" {
			o.Lines = append(o.Lines, p.T("form.kept.urgent", "Phone", st.SupportPhone))
		}
		return o
	}
	o := Outcome{Truth: Neither, Lines: []string{p.T("form.neither.text")}}
	switch {
	case errors.Is(err, localapi.ErrNotRunning), errors.Is(err, localapi.ErrImpostor):
		o.Heading = p.T("form.neither.service")
	case err != nil:
		o.Heading = p.T("form.neither.other", "Reason", reason(err))
	case filed.Code == localapi.CodeDiskFull:
		o.Heading = p.T("form.neither.disk")
	case filed.Code == localapi.CodeNotEnrolled:
		o.Heading = p.T("form.neither.unenrolled")
	default:
		o.Heading = p.T("form.neither.other", "Reason", filed.Reason)
	}
	if st.SupportPhone != "" {
		o.Lines = append(o.Lines, p.T("form.kept.urgent", "Phone", st.SupportPhone))
	}
	return o
}
