// Package desk is what all use cases share: who acts, how a change is made with its audit row, its
// owed side effects and its hints, and how errors are told apart.
//
// The use cases themselves are in desk/people, desk/device, desk/ticket and desk/access: one exported method per
// sentence that a user would say. Each authorises its actor, loads, applies a rule, saves and announces; none
// calls another noun's use case. Edges (web, api, httpd) call them and never the store.
package desk

import (
	"context"
	"crypto/cipher"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"time"

	"github.com/traybell/traybell/server/internal/account"
	"github.com/traybell/traybell/server/internal/bus"
	"github.com/traybell/traybell/server/internal/device"
	"github.com/traybell/traybell/server/internal/store"
	"github.com/traybell/traybell/shared/api"
)

// Ways in which an actor came, as the audit log names them.
const (
	ViaPortal  = "portal"
	ViaAPI     = "api"
	ViaLink    = "link"    // a device
	ViaMail    = "mail"    // a mail, or a link in one
	ViaCommand = "command" // traybell-server on the server's own host
)

// Actor is who does something. The zero Actor may do nothing.
type Actor struct {
	Account      account.ID // a person
	Device       device.ID  // or a device
	System       bool       // or the server's own command line and background work: may do everything
	Organization account.OrganizationID
	Name         string
	Role         account.Role
	Rights       account.Rights // what the actor may do, of which a token may leave only a part
	Reach        account.Reach  // and where
	Language     string         // en, it, de, ru
	Via          string
	Address      string
	Login        string       // id of the login, when signed in by a browser
	ConfirmedAt  time.Time    // when that login last proved its second factor
	Token        string       // id of the API token, when that is how the actor came
	StandsFor    []account.ID // the responsible persons whose deputy the actor is today
	For          string       // in whose place, as Ref names them; empty: their own
}

// Device is the actor for what a device does by itself.
func Device(id device.ID) Actor { return Actor{Device: id, Via: ViaLink} }

// System is the actor for the server's own command line and background work.
func System() Actor { return Actor{System: true, Via: ViaCommand, Name: "system", Language: "en"} }

// Of is the actor for a person, with all their rights.
func Of(a account.Account, via, address string) Actor {
	rights, reach := a.May()
	return Actor{Account: a.ID, Organization: a.Organization, Name: a.Name, Role: a.Role, Rights: rights, Reach: reach, Language: a.Language, Via: via, Address: address}
}

// Ref is the actor's name in the audit log.
func (a Actor) Ref() string {
	switch {
	case a.Account != "":
		return "account:" + string(a.Account)
	case a.Device != "":
		return "device:" + string(a.Device)
	}
	return "system"
}

// InPlaceOf is the actor while they do something for somebody else: with that person's credentials, or about
// that person's own data. The audit log names both.
func (a Actor) InPlaceOf(id account.ID) Actor {
	a.For = "account:" + string(id)
	return a
}

// ActingFor is for whom the actor acts, as the audit log names them.
func (a Actor) ActingFor() string {
	if a.For != "" {
		return a.For
	}
	return a.Ref()
}

// May reports whether the actor has a right anywhere. Those about the server as a whole need a
// reach over every organization. What belongs to an organization is asked by MayIn.
func (a Actor) May(r account.Right) bool {
	return a.System || a.Account != "" && a.Rights.Has(r) && (a.Reach.All || !r.ServerWide())
}

// MayIn reports whether the actor has a right in an organization. What they may not see there does not
// exist for them: it is store.ErrNotFound, not ErrDenied.
func (a Actor) MayIn(r account.Right, o account.OrganizationID) bool {
	return a.May(r) && (a.System || a.Reach.Has(o))
}

// Everywhere reports whether the actor has a right in every organization.
func (a Actor) Everywhere(r account.Right) bool { return a.May(r) && (a.System || a.Reach.All) }

// Need is nil if the actor has a right in an organization. Otherwise it is ErrDenied for somebody who lacks the
// right, and ErrNotFound where only the organization is beyond their reach.
func (a Actor) Need(r account.Right, o account.OrganizationID) error {
	switch {
	case !a.May(r):
		return ErrDenied
	case !a.MayIn(r, o):
		return ErrNotFound
	}
	return nil
}

// RightsIn are the actor's rights in an organization, for the rules.
func (a Actor) RightsIn(o account.OrganizationID) account.Rights {
	switch {
	case a.System:
		return account.RightsOf(account.AllRights...)
	case a.Account != "" && a.Reach.Has(o):
		return a.Rights
	}
	return 0
}

// Within lists the organizations in which the actor's rights count, for a filter: nil means every one.
func (a Actor) Within() []account.OrganizationID {
	if a.System {
		return nil
	}
	return a.Reach.Within()
}

// Staff reports whether the actor works on tickets of others.
func (a Actor) Staff() bool { return a.May(account.TicketsWork) }

// Administrator reports whether the actor may do everything everywhere.
func (a Actor) Administrator() bool {
	return a.System || a.Account != "" && a.Role == account.Administrator && a.Reach.All && a.Rights.Covers(account.Administrator.Rights())
}

// Options are what every use case works with.
type Options struct {
	Store   *store.Store
	Bus     *bus.Bus
	Logger  *slog.Logger
	Now     func() time.Time // nil: the wall clock
	Seal    cipher.AEAD      // for secrets that must be read again; its key is not in the database
	MailKey []byte           // signs reply addresses and links in mails
}

// Time is the present, in microseconds as it is stored.
func (o Options) Time() time.Time {
	if o.Now != nil {
		return o.Now().UTC().Truncate(time.Microsecond)
	}
	return time.Now().UTC().Truncate(time.Microsecond)
}

// Read runs f on one state of the data and gives its errors the desk's kinds.
func (o Options) Read(ctx context.Context, f func(store.Tx) error) error {
	return Fail(o.Store.Read(ctx, f))
}

// Change is a transaction in which an actor changes something. Its audit rows, owed jobs and data reach
// the disk together; its hints are published afterwards.
type Change struct {
	store.Tx
	Actor   Actor
	Now     time.Time
	options Options
	hints   []bus.Hint
	ids     int
}

// Change runs f in a transaction for a and publishes f's hints once it is on the disk. f may run more than
// once and must set what it returns anew each time.
func (o Options) Change(ctx context.Context, a Actor, f func(*Change) error) error {
	var hints []bus.Hint
	now := o.Time()
	err := o.Store.Write(ctx, func(tx store.Tx) error {
		c := &Change{Tx: tx, Actor: a, Now: now, options: o}
		if err := f(c); err != nil {
			return err
		}
		hints = c.hints
		return nil
	})
	if err != nil {
		return Fail(err)
	}
	if o.Bus != nil {
		for _, h := range hints {
			o.Bus.Publish(h.Topic, h.Data)
		}
	}
	return nil
}

// NewID makes an id for something that is created in this change. Ids of one change sort in the order in which
// they were made: the twelve bits behind the time count them (RFC 9562 §6.2, method 1).
func (c *Change) NewID() string {
	id := api.NewID(c.Now)
	n := c.ids & 0xfff
	c.ids++
	return fmt.Sprintf("%s%03x%s", id[:15], n, id[18:])
}

// Record writes an audit row: action is "noun.verb-in-the-past", object "noun:id" with the name under which
// people know it, detail anything that explains the change (never a secret, never content, never a person's name:
// names stand apart, where they can be anonymised). Its words are "log." + action in the catalogue.
func (c *Change) Record(action, object, objectName string, detail any) error {
	if detail == nil {
		detail = struct{}{}
	}
	b, err := json.Marshal(detail)
	if err != nil {
		return fmt.Errorf("encode the audit detail of %s: %w", action, err)
	}
	if c.Actor.Name != "" {
		if err := c.SetAuditName(c.Actor.Ref(), c.Actor.Name); err != nil {
			return err
		}
	}
	if objectName != "" {
		if err := c.SetAuditName(object, objectName); err != nil {
			return err
		}
	}
	of, err := c.whose(object)
	if err != nil {
		return err
	}
	return c.AddEntry(store.Entry{ID: c.NewID(), At: c.Now, Actor: c.Actor.Ref(), ActingFor: c.Actor.ActingFor(), Organization: of, Via: c.Actor.Via, Address: c.Actor.Address,
		Action: action, Object: object, Detail: string(b)})
}

// whose is the organization in whose log an entry about an object stands: the object's, else the actor's.
func (c *Change) whose(object string) (account.OrganizationID, error) {
	of, err := c.OrganizationOf(object)
	if !errors.Is(err, store.ErrNotFound) {
		return of, err
	}
	if c.Actor.Device == "" {
		return c.Actor.Organization, nil
	}
	of, err = c.OrganizationOf(c.Actor.Ref())
	if errors.Is(err, store.ErrNotFound) {
		err = nil
	}
	return of, err
}

// Owe queues a side effect that must happen once the change is on the disk, whatever becomes of
// this process. payload is encoded as JSON.
func (c *Change) Owe(kind string, payload any) error {
	b, err := json.Marshal(payload)
	if err != nil {
		return fmt.Errorf("encode the payload of %s: %w", kind, err)
	}
	return c.AddJob(store.Job{ID: c.NewID(), Kind: kind, Payload: string(b), CreatedAt: c.Now, RunAt: c.Now})
}

// OweAt queues a side effect for a time to come.
func (c *Change) OweAt(kind string, payload any, at time.Time) error {
	b, err := json.Marshal(payload)
	if err != nil {
		return fmt.Errorf("encode the payload of %s: %w", kind, err)
	}
	return c.AddJob(store.Job{ID: c.NewID(), Kind: kind, Payload: string(b), CreatedAt: c.Now, RunAt: at})
}

// Hint publishes data on a topic of the bus after the change.
func (c *Change) Hint(topic, data string) {
	c.hints = append(c.hints, bus.Hint{Topic: topic, Data: []byte(data)})
}

// OrganizationFor finds the organization that the actor means by a name: their own (on the command line the
// provider) when it is empty. Organizations beyond the actor's reach are not found. A new name makes a new
// organization, if the actor may.
func (c *Change) OrganizationFor(name string) (account.Organization, error) {
	if strings.TrimSpace(name) == "" {
		if c.Actor.Organization != "" {
			return c.Organization(c.Actor.Organization)
		}
		return c.Provider()
	}
	name, err := account.CheckName(name)
	if err != nil {
		return account.Organization{}, err
	}
	o, err := c.OrganizationByName(name)
	if err == nil && !c.Actor.System && o.ID != c.Actor.Organization && !c.Actor.Reach.Has(o.ID) {
		return account.Organization{}, ErrNotFound
	}
	if !errors.Is(err, store.ErrNotFound) {
		return o, err
	}
	if !c.Actor.Everywhere(account.OrganizationsManage) {
		return o, ErrNotFound // whether or not somebody else's is called so
	}
	o = account.Organization{ID: account.OrganizationID(c.NewID()), Name: name, Plan: account.FullPlan, CreatedAt: c.Now, Version: 1}
	if err := c.InsertOrganization(o); err != nil {
		return o, err
	}
	return o, c.Record("organization.made", "organization:"+string(o.ID), name, nil)
}

// Home is the organization whose member the actor is, with the plan that decides what they get. Staff and the
// server itself have everything, whatever is home to them.
func Home(tx store.Tx, a Actor) (account.Organization, error) {
	if a.System || a.Role.Staff() || a.Organization == "" {
		return account.Organization{Provider: true, Plan: account.FullPlan}, nil
	}
	return tx.Organization(a.Organization)
}

// Topics of the bus. Data is the id of what has moved; a session has the topic "session." + id.
const (
	TopicTicket = "ticket"
	TopicDevice = "device"
	TopicMail   = "mail" // of the outbox
)

// Kinds of jobs that the use cases owe. Payloads are a TicketJob.
const (
	JobTicketMoved  = "ticket.moved"  // tell the device it was filed from
	JobTicketClosed = "ticket.closed" // end the grants bound to it
)

// TicketJob is the payload of jobs about a ticket.
type TicketJob struct {
	Ticket   string `json:"ticket"`
	Answered string `json:"answered,omitempty"` // name of who has answered
}
