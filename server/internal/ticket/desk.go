package ticket

import (
	"slices"
	"strings"
	"time"
	"unicode"

	"github.com/traybell/traybell/server/internal/account"
	"github.com/traybell/traybell/server/internal/ticket/sla"
	"github.com/traybell/traybell/shared/catalogue"
)

// Queue is where tickets wait for a team.
type Queue struct {
	ID       QueueID
	Name     string
	Lead     account.ID // who is told when times run out; may be empty
	Archived bool
	Version  int64
}

// Check reports why q can't be used.
func (q Queue) Check() error {
	if strings.TrimSpace(q.Name) == "" || !text(q.Name, account.MaxName) || strings.ContainsAny(q.Name, "\r\n") {
		return account.ErrName
	}
	return nil
}

// CategoryID is the id of a category, a UUIDv7.
type CategoryID string

// CategoryKind tells categories apart whose tickets may need an approval.
type CategoryKind string

// The kinds of category.
const (
	Plain      CategoryKind = ""
	Password   CategoryKind = "password"   // a password or second factor is reset
	Security   CategoryKind = "security"   // a protection is changed
	Permission CategoryKind = "permission" // somebody gets access to a shared resource
)

// ApprovalKinds lists the kinds that an organization may let wait for an approval.
var ApprovalKinds = []CategoryKind{Password, Security, Permission}

// Category is what a ticket is about.
type Category struct {
	ID       CategoryID
	Names    map[string]string // by language; English or the first is shown where one is missing
	Kind     CategoryKind
	Queue    QueueID // its tickets go there; may be empty
	Position int
	Archived bool
	Version  int64
}

// Name is the category's name in a language.
func (c Category) Name(language string) string { return inLanguage(c.Names, language) }

// Called reports whether name is one of the category's names.
func (c Category) Called(name string) bool {
	for _, n := range c.Names {
		if strings.EqualFold(strings.TrimSpace(name), n) {
			return true
		}
	}
	return false
}

// Check reports why c can't be used.
func (c Category) Check() error {
	if c.Name("en") == "" {
		return account.ErrName
	}
	for l, n := range c.Names {
		if _, ok := catalogue.Names[l]; !ok || !text(n, account.MaxName) || strings.ContainsAny(n, "\r\n") {
			return account.ErrName
		}
	}
	if c.Kind != Plain && !slices.Contains(ApprovalKinds, c.Kind) {
		return ErrKind
	}
	return nil
}

// inLanguage is the text in a language, else in English, else in any.
func inLanguage(m map[string]string, language string) string {
	for _, l := range append([]string{language}, catalogue.Languages...) {
		if s := strings.TrimSpace(m[l]); s != "" {
			return s
		}
	}
	return ""
}

// Reply is a standard reply: a text that answers what is asked often.
type Reply struct {
	ID       string
	Name     string            // as staff finds it
	Category CategoryID        // offered first for this category; may be empty
	Texts    map[string]string // by language
	Version  int64
}

// Check reports why r can't be used.
func (r Reply) Check() error {
	if strings.TrimSpace(r.Name) == "" || !text(r.Name, account.MaxName) || strings.ContainsAny(r.Name, "\r\n") {
		return account.ErrName
	}
	if inLanguage(r.Texts, "en") == "" {
		return ErrText
	}
	for l, s := range r.Texts {
		if _, ok := catalogue.Names[l]; !ok || !text(s, 10_000) {
			return ErrText
		}
	}
	return nil
}

// Text is the reply to a requester: in their language, with {name}, {number}, {title} and {technician} filled in.
func (r Reply) Text(k Ticket, technician string) string {
	name := k.Requester.Name
	if name == "" {
		name = k.Requester.Email
	}
	return strings.NewReplacer("{name}", name, "{number}", number(k.Number), "{title}", k.Title, "{technician}", technician).Replace(inLanguage(r.Texts, k.Language))
}

func number(n int64) string {
	var b [20]byte
	i := len(b)
	for ; n > 0 || i == len(b); n /= 10 {
		i--
		b[i] = byte('0' + n%10)
	}
	return string(b[i:])
}

// Calendar is a calendar with its id.
type Calendar struct {
	ID string
	sla.Calendar
	Version int64
}

// Contract is a contract with its id. The embedded calendar is that of CalendarID.
type Contract struct {
	ID         string
	CalendarID string
	Standard   bool // for organizations without one of their own
	sla.Contract
	Version int64
}

// Worked is time that somebody worked on a ticket.
type Worked struct {
	ID           string
	Ticket       ID
	Number       int64
	Title        string
	Organization account.OrganizationID
	Account      account.ID
	AccountName  string
	Minutes      int
	Note         string
	Billable     bool
	At           time.Time // when the work was done
	MadeAt       time.Time
}

// Check reports why w can't be booked.
func (w Worked) Check(now time.Time) error {
	if w.Minutes < 1 || w.Minutes > 24*60 || !text(w.Note, 2000) || w.At.After(now.Add(24*time.Hour)) || w.At.Before(now.AddDate(-1, 0, 0)) {
		return ErrMinutes
	}
	return nil
}

// Similar measures how alike two titles are, from 0 to 1: the share of the words of the shorter that the other
// has too, in any form. Words of one or two letters say nothing.
func Similar(a, b string) float64 {
	wa, wb := stems(a), stems(b)
	if len(wa) == 0 || len(wb) == 0 {
		return 0
	}
	if len(wa) > len(wb) {
		wa, wb = wb, wa
	}
	hits := 0
	for _, w := range wa {
		if slices.ContainsFunc(wb, func(o string) bool { return w == o }) {
			hits++
		}
	}
	score := float64(hits) / float64(len(wa))
	if len(wa) == 1 && len(wb) > 3 {
		score /= 2 // "printer" alone is like everything about printers
	}
	return score
}

// stems are the words of a title, folded and cut so that their forms meet.
func stems(s string) []string {
	var list []string
	for _, w := range strings.FieldsFunc(strings.ToLower(s), func(r rune) bool { return !isWord(r) }) {
		r := []rune(w)
		if len(r) < 3 {
			continue
		}
		if len(r) > 5 {
			r = r[:5]
		}
		if w = string(r); !slices.Contains(list, w) && !slices.Contains(empty, w) {
			list = append(list, w)
		}
	}
	return list
}

// empty are words (cut as stems cuts them) that say nothing about a problem, in our four languages.
var empty = strings.Fields("the and not can cannot does with from has have work worki longe since non più che con per del della dello nel nella alla funzi una uno sul sulla " +
	"der die das den dem ein eine nicht mit von auf geht kann mehr ist und bei hat wird не на по для что это как работ больш или нет")

func isWord(r rune) bool { return unicode.IsLetter(r) || unicode.IsDigit(r) }
