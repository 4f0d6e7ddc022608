package content

import (
	"strings"
	"testing"
	"time"

	"github.com/traybell/traybell/agent/internal/localapi"
	"github.com/traybell/traybell/shared/api"
	"github.com/traybell/traybell/shared/catalogue"
	"github.com/traybell/traybell/shared/grant"
)

var en = catalogue.For("en")

func TestTheProposedSeverityCanBeChanged(t *testing.T) {
	for _, tt := range []struct {
		answers api.Answers
		chosen  api.Severity
		want    api.Severity
	}{
		{api.Answers{}, "", api.Low},
		{api.Answers{Working: "yes", Affected: "me"}, "", api.Low},
		{api.Answers{Working: "difficult"}, "", api.Medium},
		{api.Answers{Affected: "several"}, "", api.Medium},
		{api.Answers{Working: "no"}, "", api.High},
		{api.Answers{Working: "no", Affected: "several"}, "", api.Critical},
		{api.Answers{Security: true}, "", api.Critical},
		{api.Answers{Security: true}, api.Low, api.Low},
	} {
		f := Form{Answers: tt.answers, Severity: tt.chosen}
		if got := f.Proposed(); got != tt.want {
			t.Errorf("%+v %q: got %s, want %s", tt.answers, tt.chosen, got, tt.want)
		}
	}
}

func TestCheck(t *testing.T) {
	ok := NewForm(time.Now())
	ok.Title, ok.Email = "x", "l.rossi@studioverdi.it"
	if wrong := ok.Check(en); len(wrong) != 0 {
		t.Errorf("a good form: %v", wrong)
	}
	for _, tt := range []struct {
		field  string
		change func(*Form)
	}{
		{FieldTitle, func(f *Form) { f.Title = " \t\n" }},
		{FieldTitle, func(f *Form) { f.Title = strings.Repeat("ж", api.MaxTitle+1) }},
		{FieldText, func(f *Form) { f.Text = strings.Repeat("ж", api.MaxText+1) }},
		{FieldEmail, func(f *Form) { f.Email = "" }},
		{FieldEmail, func(f *Form) { f.Email = "rossi" }},
		{FieldEmail, func(f *Form) { f.Email = "rossi@company" }},
		{FieldEmail, func(f *Form) { f.Email = "Lucia <l.rossi@studioverdi.it>" }},
		{FieldEmail, func(f *Form) { f.Email = "a@b.it, c@d.it" }},
		{FieldEmail, func(f *Form) { f.Email = "a@b.it\r\nBcc: all@b.it" }},
		{FieldEmail, func(f *Form) { f.Email = strings.Repeat("a", 300) + "@b.it" }},
		{FieldName, func(f *Form) { f.Name = strings.Repeat("x", api.MaxName+1) }},
		{FieldPhone, func(f *Form) { f.Phone = strings.Repeat("1", api.MaxName+1) }},
	} {
		f := ok
		tt.change(&f)
		if wrong := f.Check(en); len(wrong) != 1 || wrong[tt.field] == "" {
			t.Errorf("%s: %v", tt.field, wrong)
		}
	}
	edge := ok
	edge.Title = strings.Repeat("ж", api.MaxTitle)
	if wrong := edge.Check(en); len(wrong) != 0 {
		t.Errorf("a title of %d letters: %v", api.MaxTitle, wrong)
	}
}

func TestYesIsNeverMoreThanWasAsked(t *testing.T) {
	q := Ask(en, localapi.Status{Provider: "Rossi IT"}, localapi.Consent{Name: "Anna Bianchi", Organization: "Rossi IT", Scopes: []grant.Scope{grant.View, grant.Control}})
	for _, tt := range []struct {
		name   string
		ticked []string
		long   string
		scopes int
		for_   string
		ok     bool
	}{
		{"all", []string{"view", "control"}, "session", 2, "session", true},
		{"part", []string{"view"}, "8", 1, "8", true},
		{"more than asked", []string{"view", "admin", "terminal"}, "session", 1, "session", true},
		{"hours that are not offered", []string{"view"}, "1000", 1, "session", true},
		{"a ticket that there is not", []string{"view"}, "ticket", 1, "session", true},
		{"nothing", nil, "session", 0, "", false},
		{"control without the screen", []string{"control"}, "session", 0, "", false},
	} {
		a, trouble := q.Yes(en, tt.ticked, tt.long, "window")
		if (trouble == "") != tt.ok || tt.ok && (len(a.Scopes) != tt.scopes || a.For != tt.for_ || a.How != "window") {
			t.Errorf("%s: %+v %q", tt.name, a, trouble)
		}
	}
	if q.Lines[0] != "Rossi IT, your support provider" {
		t.Errorf("got %q", q.Lines)
	}
	other := Ask(en, localapi.Status{Provider: "Rossi IT"}, localapi.Consent{Name: "Paul Grey", Organization: "Nordkraft"})
	if other.Lines[0] != "Nordkraft" {
		t.Errorf("a stranger is called %q", other.Lines[0])
	}
}

func TestHelpBeforehandIsOneOfTheChoices(t *testing.T) {
	for help, ok := range map[string]bool{"": true, "ticket": true, "1": true, "48": true, "02": false, "3": false, "-1": false, "forever": false} {
		if ValidHelp(help) != ok {
			t.Errorf("ValidHelp(%q) = %v", help, !ok)
		}
	}
}

func TestAnUnknownWordOfANewerServiceIsNoGap(t *testing.T) {
	sh := history(en, []localapi.Visit{{Name: "Anna", Did: []string{"saw", "desktop", "hologram"}, To: 1, EndedBy: "earthquake"}, {Name: "Paul", Refused: "tired"}})
	rows := sh.Sections[0].Rows
	if got := rows[0].Notes[1]; got != "saw the screen · ended by the computer" {
		t.Errorf("got %q", got)
	}
	if got := rows[1].Notes[1]; got != "not let in" {
		t.Errorf("got %q", got)
	}
}
