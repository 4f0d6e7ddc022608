package account

import (
	"errors"
	"strings"
	"time"
	"unicode/utf8"
)

// Errors about organizations. Each is a sentence that a person can be shown.
var (
	ErrDomain   = errors.New("this is not a mail domain; it looks like example.com")
	ErrZone     = errors.New("this time zone is not known; it looks like Europe/Rome")
	ErrTray     = errors.New("the title in the tray may have at most 40 characters on one line")
	ErrDays     = errors.New("an absence needs a first and a last day, in this order, within two years")
	ErrDeputy   = errors.New("the deputy must be somebody else of the same organization who can sign in")
	ErrProvider = errors.New("the organization that runs the server has everything; it has no plan")
)

// Bounds of an organization.
const (
	MaxDomains   = 50
	MaxTrayTitle = 40 // characters, what a menu's first line holds
)

// Plan says what an organization's members get in the portal. What they lack is absent there.
type Plan struct {
	Tickets   bool // ticket management
	OwnDevice bool // their own devices, and remote access to them by a permission they made
	Assets    bool // the overview of all devices, for responsible persons
}

// FullPlan is everything: what a new organization gets, and what the provider always has.
var FullPlan = Plan{Tickets: true, OwnDevice: true, Assets: true}

// Devices reports whether a member of the role sees any devices under the plan.
func (p Plan) Devices(r Role) bool { return r.Staff() || p.OwnDevice || p.Assets && r == Responsible }

// Has is the plan that the organization's members have.
func (o Organization) Has() Plan {
	if o.Provider {
		return FullPlan
	}
	return o.Plan
}

// Licensed reports whether an account counts as a licensed user: requesters and responsible persons
// that are enabled. Technicians, administrators, specialists and guests never count.
func Licensed(r Role, disabled bool) bool { return !disabled && (r == Requester || r == Responsible) }

// LicensedRoles are the roles that count.
var LicensedRoles = []Role{Requester, Responsible}

// CheckDomain returns a mail domain as it is stored: lower case, without a leading @.
func CheckDomain(s string) (string, error) {
	s = strings.TrimPrefix(strings.ToLower(strings.TrimSpace(s)), "@")
	s = strings.TrimSuffix(s, ".")
	if len(s) > 253 || !strings.Contains(s, ".") {
		return "", ErrDomain
	}
	for label := range strings.SplitSeq(s, ".") {
		if label == "" || len(label) > 63 || label[0] == '-' || label[len(label)-1] == '-' {
			return "", ErrDomain
		}
		for _, r := range label {
			if r != '-' && (r < '0' || r > '9') && (r < 'a' || r > 'z') && r < utf8.RuneSelf || r == utf8.RuneError {
				return "", ErrDomain
			}
		}
	}
	if _, err := NormalizeEmail("a@" + s); err != nil {
		return "", ErrDomain
	}
	return s, nil
}

// CheckTrayTitle returns the text of the tray's first line; empty means the organization's name.
func CheckTrayTitle(s string) (string, error) {
	if strings.TrimSpace(s) == "" {
		return "", nil
	}
	s, err := CheckName(s)
	if err != nil || utf8.RuneCountInString(s) > MaxTrayTitle {
		return "", ErrTray
	}
	return s, nil
}

// Day is a date without a time, "2006-01-02"; it sorts as text.
type Day string

// DayIn is the day it is in a time zone.
func DayIn(zone *time.Location, now time.Time) Day { return Day(now.In(zone).Format(time.DateOnly)) }

// CheckDay reads a day.
func CheckDay(s string) (Day, error) {
	t, err := time.Parse(time.DateOnly, strings.TrimSpace(s))
	if err != nil || t.Year() < 2000 || t.Year() > 9999 {
		return "", ErrDays
	}
	return Day(t.Format(time.DateOnly)), nil
}

// Absence names the deputy who stands for a responsible person from one day to another, both included.
type Absence struct {
	ID           string
	Organization OrganizationID
	Account      ID // the responsible person who is away
	Deputy       ID
	From, To     Day
}

// On reports whether the person is away on a day.
func (a Absence) On(d Day) bool { return a.From <= d && d <= a.To }

// CheckAbsence reports what is wrong with an absence of who with this deputy, seen on a day: ErrDays or ErrDeputy.
func CheckAbsence(a Absence, who, deputy Account, today Day) error {
	from, err1 := time.Parse(time.DateOnly, string(a.From))
	to, err2 := time.Parse(time.DateOnly, string(a.To))
	if err1 != nil || err2 != nil || to.Before(from) || to.Sub(from) > 2*366*24*time.Hour || a.To < today {
		return ErrDays
	}
	if who.Role != Responsible || who.Organization != a.Organization || deputy.Organization != a.Organization || deputy.ID == who.ID || deputy.Disabled || deputy.Role.Staff() {
		return ErrDeputy
	}
	return nil
}

// StandIns names, for each responsible person, who stands for them on a day: themselves when they are there, their
// deputy when they are away, the deputy's deputy when that one is away too. A person whose deputies are all away
// keeps standing for themselves, so that nobody is left without a voice.
func StandIns(responsible []ID, absences []Absence, day Day) map[ID]ID {
	deputy := map[ID]ID{}
	for _, a := range absences {
		if a.On(day) {
			if _, taken := deputy[a.Account]; !taken {
				deputy[a.Account] = a.Deputy
			}
		}
	}
	out := map[ID]ID{}
	for _, r := range responsible {
		at := r
		for range absences { // a ring of absent deputies ends after as many steps as there are absences
			next, away := deputy[at]
			if !away {
				break
			}
			at = next
		}
		if _, away := deputy[at]; away {
			at = r
		}
		out[r] = at
	}
	return out
}

// MaxTemplates is how many templates of organizations a server keeps.
const MaxTemplates = 50

// Template is what a new organization can start with: settings of one, kept under a name.
type Template struct {
	ID            string
	Name          string
	SupportPhone  string
	Plan          Plan
	MembersSeeAll bool
	ProductName   string
	TrayTitle     string
	TimeZone      string
	CreatedAt     time.Time
}

// TemplateOf keeps an organization's settings. Its people, domains and logo are its own.
func TemplateOf(o Organization, name string) Template {
	return Template{Name: name, SupportPhone: o.SupportPhone, Plan: o.Has(), MembersSeeAll: o.MembersSeeAll, ProductName: o.ProductName, TrayTitle: o.TrayTitle, TimeZone: o.TimeZone}
}

// Apply gives an organization the template's settings.
func (t Template) Apply(o Organization) Organization {
	o.SupportPhone, o.Plan, o.MembersSeeAll, o.ProductName, o.TrayTitle, o.TimeZone = t.SupportPhone, t.Plan, t.MembersSeeAll, t.ProductName, t.TrayTitle, t.TimeZone
	return o
}
