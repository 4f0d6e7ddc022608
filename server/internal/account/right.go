package account

import (
	"errors"
	"slices"
	"time"
)

// Right is one thing that an account may do. It is one word in the interface, the API and the database.
//
// Nobody needs a right for what is their own: a requester has none, and files, reads and answers their own
// tickets all the same.
type Right string

// The rights. Where nothing else is said, a right counts in the organizations that its holder reaches.
const (
	TicketsWork         Right = "tickets.work"         // answer for the provider, note, move, assign
	TicketsAll          Right = "tickets.all"          // see every ticket, not only one's own
	DevicesView         Right = "devices.view"         // see every device
	DevicesManage       Right = "devices.manage"       // name, sort and give devices to people
	SessionsStart       Right = "sessions.start"       // ask a person at a device, and connect
	AssistanceCreate    Right = "assistance.create"    // make requests for remote assistance for others
	AssistanceEdit      Right = "assistance.edit"      // change their assistant, time and status
	AssistanceView      Right = "assistance.view"      // see all of them and connect
	AssistanceDelete    Right = "assistance.delete"    // close open ones, also sessions of others
	PeopleView          Right = "people.view"          // see the accounts
	PeopleManage        Right = "people.manage"        // invite, change, disable
	OrganizationsManage Right = "organizations.manage" // change an organization; make one with a reach over all
	EnrolmentManage     Right = "enrolment.manage"     // bring in devices and take them out
	DirectoriesManage   Right = "directories.manage"   // server-wide: where people sign in
	MailManage          Right = "mail.manage"          // server-wide: mail servers, what waits to be sent
	PoliciesManage      Right = "policies.manage"      // server-wide: what is set for devices
	TicketsManage       Right = "tickets.manage"       // server-wide: categories, contracts, standard replies
	AuditView           Right = "audit.view"           // read the log
	AuditExport         Right = "audit.export"         // take the log along
	ReportsView         Right = "reports.view"         // read reports and overviews
	RecordingsView      Right = "recordings.view"      // watch recordings
	TokensManage        Right = "tokens.manage"        // make API tokens, one's own and an integration's
	SettingsManage      Right = "settings.manage"      // server-wide: everything else about this server
)

// AllRights lists every right in the order in which people read them.
var AllRights = []Right{
	TicketsWork, TicketsAll, DevicesView, DevicesManage, SessionsStart, AssistanceCreate, AssistanceEdit, AssistanceView, AssistanceDelete,
	PeopleView, PeopleManage, OrganizationsManage, EnrolmentManage, DirectoriesManage, MailManage, PoliciesManage, TicketsManage,
	AuditView, AuditExport, ReportsView, RecordingsView, TokensManage, SettingsManage,
}

// ErrRight says that a word is no right.
var ErrRight = errors.New("this right does not exist")

// ServerWide reports whether the right is about the server as a whole, so that only somebody who reaches
// every organization has it.
func (r Right) ServerWide() bool {
	switch r {
	case DirectoriesManage, MailManage, PoliciesManage, TicketsManage, SettingsManage:
		return true
	}
	return false
}

// Rights is a set of rights. The zero value is none.
type Rights uint64

// RightsOf makes a set. Words that are no rights are left out.
func RightsOf(list ...Right) (s Rights) {
	for _, r := range list {
		if i := slices.Index(AllRights, r); i >= 0 {
			s |= 1 << i
		}
	}
	return s
}

// ParseRights reads words into a set; ErrRight for a word that is no right.
func ParseRights(words []string) (s Rights, err error) {
	for _, w := range words {
		if !slices.Contains(AllRights, Right(w)) {
			return 0, ErrRight
		}
		s |= RightsOf(Right(w))
	}
	return s, nil
}

// Has reports whether r is in the set.
func (s Rights) Has(r Right) bool {
	i := slices.Index(AllRights, r)
	return i >= 0 && s&(1<<i) != 0
}

// Covers reports whether every right of o is in s.
func (s Rights) Covers(o Rights) bool { return o&^s == 0 }

// And is the set of the rights that are in both.
func (s Rights) And(o Rights) Rights { return s & o }

// List lists the set in the order of AllRights.
func (s Rights) List() []Right {
	list := []Right{}
	for i, r := range AllRights {
		if s&(1<<i) != 0 {
			list = append(list, r)
		}
	}
	return list
}

// Rights are what a role may do. A requester and a responsible person reach their own organization only.
func (r Role) Rights() Rights {
	switch r {
	case Responsible:
		return RightsOf(TicketsAll, DevicesView, AssistanceView, PeopleView, PeopleManage, OrganizationsManage, ReportsView, AuditView)
	case Technician:
		return RightsOf(TicketsWork, TicketsAll, DevicesView, DevicesManage, SessionsStart, AssistanceCreate, AssistanceEdit, AssistanceView, PeopleView, ReportsView, RecordingsView, TokensManage)
	case Administrator:
		return RightsOf(AllRights...)
	case Integration:
		return TokenRights
	}
	return 0
}

// TokenRights are those that an API token can have. None of them makes tokens, sets up how people sign in
// or changes what the server trusts.
var TokenRights = RightsOf(AllRights...) &^ RightsOf(DirectoriesManage, MailManage, PoliciesManage, TokensManage, SettingsManage)

// Bounds of limits and tokens.
const (
	MaxLimits    = 500 // organizations to which a technician is limited
	MaxTokenLife = 5 * 366 * 24 * time.Hour
)

// Queue is the id of a queue of tickets.
type Queue string

// Reach says where an account's rights count. The zero value is nowhere.
type Reach struct {
	All           bool             // in every organization
	Organizations []OrganizationID // without All: in these
	Queues        []Queue          // of tickets; empty: in every queue
}

// Has reports whether rights count in an organization.
func (r Reach) Has(o OrganizationID) bool {
	return r.All || o != "" && slices.Contains(r.Organizations, o)
}

// HasQueue reports whether rights count for the tickets of a queue.
func (r Reach) HasQueue(q Queue) bool { return len(r.Queues) == 0 || slices.Contains(r.Queues, q) }

// Within lists the organizations, for a filter: nil means every one, an empty list none.
func (r Reach) Within() []OrganizationID {
	if r.All {
		return nil
	}
	return append([]OrganizationID{}, r.Organizations...)
}

// May is what an account may do, and where: its role's rights or those of its own role, in the
// organizations that it is limited to, if it is.
func (a Account) May() (Rights, Reach) {
	rights := a.Role.Rights()
	if a.OwnRole != "" && a.Role != Administrator {
		rights = a.OwnRights
	}
	switch a.Role {
	case Administrator:
		return rights, Reach{All: true}
	case Technician, Integration:
		reach := Reach{All: len(a.Limits.Organizations) == 0, Organizations: a.Limits.Organizations, Queues: a.Limits.Queues}
		return rights, reach
	}
	return rights, Reach{Organizations: []OrganizationID{a.Organization}}
}

// Limits narrow a technician or an integration to organizations or queues. Empty lists do not narrow.
type Limits struct {
	Organizations []OrganizationID `json:"organizations,omitempty"`
	Queues        []Queue          `json:"queues,omitempty"`
}
