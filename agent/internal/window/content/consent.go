package content

import (
	"errors"
	"slices"
	"strconv"
	"strings"

	"github.com/traybell/traybell/agent/internal/localapi"
	"github.com/traybell/traybell/shared/api"
	"github.com/traybell/traybell/shared/catalogue"
	"github.com/traybell/traybell/shared/grant"
)

// Hours are the budgets that a person can choose, in hours.
var Hours = []int{1, 2, 4, 8, 24, 48}

// Question is a technician's question as the person reads it.
type Question struct {
	localapi.Consent
	Heading  string
	Lines    []string // who, and for which ticket
	Asks     string   // label before the scopes
	Choices  []Choice // one for each scope asked
	NotAsked string
	Long     []Choice // session and, if there is one, ticket; hours are Hours
	Words    []string // before and after the four words
	Standing string
}

// Ask puts a question into words.
func Ask(p *catalogue.Printer, st localapi.Status, c localapi.Consent) Question {
	q := Question{Consent: c, Heading: p.T("consent.heading", "Name", c.Name)}
	switch {
	case c.Organization != "" && c.Organization == st.Provider:
		q.Lines = append(q.Lines, p.T("consent.provider", "Organization", c.Organization))
	case c.Organization != "":
		q.Lines = append(q.Lines, c.Organization)
	}
	if c.TicketNumber > 0 {
		q.Lines = append(q.Lines, p.T("consent.ticket", "Number", c.TicketNumber, "Title", c.TicketTitle))
	}
	q.Asks = p.T("consent.asks", "Name", given(c.Name))
	var not []string
	for _, s := range grant.Scopes {
		if slices.Contains(c.Scopes, s) {
			q.Choices = append(q.Choices, Choice{Value: string(s), Text: p.T("word.scope." + string(s))})
			continue
		}
		if s != grant.Admin && s != grant.Forward {
			not = append(not, p.T("consent.short."+string(s)))
		}
	}
	q.NotAsked = strings.Join(not, ", ")
	q.Long = []Choice{{Value: "session", Text: p.T("consent.long.session")}}
	if c.Ticket != "" && c.TicketNumber > 0 {
		q.Long = append(q.Long, Choice{Value: "ticket", Text: p.T("consent.long.ticket", "Number", c.TicketNumber)})
	}
	q.Words = []string{p.T("consent.words", "Name", given(c.Name)), p.T("consent.words.other")}
	if c.Standing {
		q.Standing = p.T("consent.standing")
	}
	return q
}

// given is the part of a name that fits a label: the first word of two, else the whole name.
func given(name string) string {
	if words := strings.Fields(name); len(words) == 2 && len([]rune(words[0])) <= 16 && !strings.HasSuffix(words[0], ",") {
		return words[0]
	}
	return name
}

// Hour is the text of a budget of n hours.
func Hour(p *catalogue.Printer, n int) string { return p.T("consent.long.hours", "Count", n) }

// Yes is the permission that a person gives with these ticks. trouble is the sentence that says why
// it can't be given, and empty if it can.
func (q Question) Yes(p *catalogue.Printer, ticked []string, long, how string) (a localapi.Allow, trouble string) {
	for _, s := range q.Scopes {
		if slices.Contains(ticked, string(s)) {
			a.Scopes = append(a.Scopes, s)
		}
	}
	if len(a.Scopes) == 0 {
		return a, p.T("consent.nothing")
	}
	if slices.Contains(a.Scopes, grant.Control) && !slices.Contains(a.Scopes, grant.View) {
		return a, p.T("consent.needsview")
	}
	a.For, a.How = "session", how
	if n, err := strconv.Atoi(long); err == nil && slices.Contains(Hours, n) || long == "ticket" && q.Ticket != "" {
		a.For = long
	}
	return a, ""
}

// Refusals are the other answers than a plain no; their values are localapi.Refuse reasons.
func Refusals(p *catalogue.Printer) []Choice {
	return []Choice{{Value: "later", Text: p.T("consent.later")}, {Value: "unknown_person", Text: p.T("consent.unknown")}}
}

// Over says how a question ended: allowed, refused, silence, withdrawn, or anything else.
func Over(p *catalogue.Printer, c localapi.Consent, how string) Outcome {
	o := Outcome{Truth: how}
	switch how {
	case "allowed":
		o.Heading, o.Lines = p.T("consent.over.allowed", "Name", c.Name), []string{p.T("consent.over.allowed.text")}
	case "refused":
		o.Heading = p.T("consent.over.refused")
	case "silence":
		o.Heading = p.T("consent.over.silence")
	case "withdrawn":
		o.Heading = p.T("consent.over.withdrawn", "Name", c.Name)
	default:
		o.Heading = p.T("consent.over.gone")
	}
	return o
}

// Gone reports by its error that a question is over; otherwise it is empty.
func Gone(err error) string {
	var p api.Problem
	if errors.As(err, &p) && (p.Code == localapi.CodeGone || p.Code == api.CodeNotFound) {
		return "gone"
	}
	return ""
}
