// Package ticket is what people and devices do with tickets: file, list, read, answer, note, attach,
// move, take. Every method authorises its actor; what an actor may not see does not exist for them.
//
// The edges (web, api) call it.
package ticket

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/traybell/traybell/server/internal/account"
	"github.com/traybell/traybell/server/internal/blob"
	"github.com/traybell/traybell/server/internal/desk"
	"github.com/traybell/traybell/server/internal/device"
	"github.com/traybell/traybell/server/internal/store"
	"github.com/traybell/traybell/server/internal/ticket"
	"github.com/traybell/traybell/shared/api"
	"github.com/traybell/traybell/shared/catalogue"
)

// Options are what the use cases work with.
type Options struct {
	desk.Options
	Blobs *blob.Folder
}

// Tickets are the use cases.
type Tickets struct {
	o       Options
	filed   *desk.Limiter // tickets, by device
	uploads *desk.Limiter // files, by account
}

// Bounds of what one device or account may bring in at once, and how often after that.
const (
	DeviceBurst = 30
	deviceEvery = 10 * time.Second
	uploadBurst = 100
	uploadEvery = 3 * time.Second
)

// New returns the use cases.
func New(o Options) *Tickets {
	return &Tickets{o: o, filed: desk.NewLimiter(DeviceBurst, deviceEvery), uploads: desk.NewLimiter(uploadBurst, uploadEvery)}
}

// LimitDevices sets how many tickets one device may file at once, before anything is filed. What comes too soon is
// kept at the device and filed later.
func (d *Tickets) LimitDevices(burst int) { d.filed = desk.NewLimiter(burst, deviceEvery) }

// Draft is a ticket that somebody writes in the portal or by the API.
type Draft struct {
	Title    string
	Text     string
	Category string
	Severity api.Severity // empty: from Answers
	Answers  api.Answers
	Device   device.ID              // may be empty
	For      *ticket.Contact        // staff only: the person it is for; nil: the actor
	Of       account.OrganizationID // staff only, with For: that person's organization; empty: the device's or the provider
	Language string                 // empty: the actor's
	Source   ticket.Source          // empty: from how the actor came
	Key      string                 // the API client's Idempotency-Key
}

// Filter chooses tickets among those that the actor may see.
type Filter struct {
	Status       ticket.Status // empty: every status
	Live         bool          // not closed
	Query        string
	Mine         bool // staff: assigned to me; others: filed by me
	Nobodys      bool // assigned to nobody
	Overdue      bool // a promise has run out
	Held         bool // waits for an approval
	Queue        ticket.QueueID
	Category     string // its id
	Organization account.OrganizationID
	Device       device.ID
	Sort         ticket.Sort
	Ascending    bool
	Page         int   // from 1
	Before       int64 // cursor instead of Page: only numbers below, by descending number
	Limit        int   // 1 to 500; default 50
}

// List is a page of tickets.
type List struct {
	Tickets []ticket.Ticket
	Counts  map[ticket.Status]int // of the same filter without Status
	Total   int                   // that the filter chooses
	More    bool                  // there are more than Total: they were not counted to the end
	All     int                   // the sum of Counts
	Page    int
	Pages   int
}

// View is one ticket with all that its page shows.
type View struct {
	Ticket   ticket.Ticket
	Messages []ticket.Message  // without notes for those who may not read them; each with its files
	Files    []ticket.File     // filed with the ticket
	Device   *device.Device    // nil: none
	Moves    []ticket.Status   // into which the actor may put it now
	Mine     bool              // the actor is its requester or speaks for its organization; others can at most read it
	Staff    []account.Account // to whom it can be given; for staff only
	Beside
}

// FileFromDevice stores a ticket that was filed at a device. The same id with the same body gives the first
// answer again; another body is a conflict.
func (d *Tickets) FileFromDevice(ctx context.Context, from device.ID, t api.DeviceTicket) (api.TicketFiled, error) {
	var filed api.TicketFiled
	if err := ticket.CheckDeviceTicket(t); err != nil {
		return filed, desk.Fail(err)
	}
	body, err := json.Marshal(t)
	if err != nil {
		return filed, fmt.Errorf("encode the ticket: %w", err)
	}
	bodyHash := hash(string(from), string(body))
	email, err := account.NormalizeEmail(t.Email)
	if err != nil {
		return filed, desk.Fail(err)
	}
	id := ticket.ID(t.ID)
	actor := desk.Device(from)
	var back func() // the ticket was counted
	err = d.o.Change(ctx, actor, func(c *desk.Change) error {
		switch known, err := c.TicketBody(id); {
		case err == nil && known == bodyHash:
			filed, err = answer(c.Tx, id)
			return err
		case err == nil:
			return desk.Refuse(desk.ErrConflict, "ticket_id_taken")
		case !errors.Is(err, store.ErrNotFound):
			return err
		}
		dev, err := c.Device(from)
		if err != nil {
			return err
		}
		if !dev.RemovedAt.IsZero() {
			return device.ErrRemoved
		}
		if back == nil {
			if back, err = d.filed.Pass(string(from), c.Now); err != nil {
				return err
			}
		}
		c.Actor.Name = dev.Name
		k := ticket.Ticket{
			ID: id, Organization: dev.Organization, OrganizationName: dev.OrganizationName, Title: strings.TrimSpace(t.Title), Text: t.Text, Category: t.Category,
			Severity: t.Severity, Answers: t.Answers, Requester: ticket.Contact{Name: t.Name, Email: email, Phone: t.Phone},
			Device: from, DeviceName: dev.Name, OSUser: t.OSUser, OSUserID: t.OSUserID, Language: catalogue.Match(t.Language), Source: ticket.FromDevice, Facts: t.Facts,
		}
		if err := known(c, &k); err != nil {
			return err
		}
		if err := insert(c, &k, bodyHash); err != nil {
			return err
		}
		for _, f := range t.Files {
			if err := c.InsertFile(ticket.File{ID: c.NewID(), Ticket: id, Index: f.Index, Name: ticket.FileName(f.Name), Type: f.Type, Size: f.Size, SHA256: hex.EncodeToString(f.SHA256), At: c.Now}); err != nil {
				return err
			}
		}
		filed = api.TicketFiled{ID: t.ID, Number: k.Number, Subject: k.Subject, Status: string(k.Status), AnswerBy: answerBy(k)}
		for _, f := range t.Files {
			filed.Missing = append(filed.Missing, f.Index)
		}
		return nil
	})
	if err != nil && back != nil {
		back() // it was not kept
	}
	return filed, err
}

// insert completes a new ticket and stores it with its audit row and hint.
func insert(c *desk.Change, k *ticket.Ticket, bodyHash string) (err error) {
	if k.Severity == "" {
		k.Severity = k.Answers.Severity()
	}
	k.Status, k.CreatedAt, k.UpdatedAt, k.CustomerLast, k.Version = ticket.New, c.Now, c.Now, true, 1
	category, err := categorise(c.Tx, k)
	if err != nil {
		return err
	}
	k.Subject = catalogue.For(k.Language).T("ticket.subject", "Organization", k.OrganizationName, "Title", k.Title)
	if k.Number, err = c.NextTicketNumber(); err != nil {
		return err
	}
	if err := settle(c, k); err != nil {
		return err
	}
	if err := c.InsertTicket(*k, bodyHash); err != nil {
		return err
	}
	if err := c.IndexTicket(*k, nil); err != nil {
		return err
	}
	if err := holdNew(c, k, category); err != nil {
		return err
	}
	c.Hint(desk.TopicTicket, string(k.ID))
	if err := mailTo(c, *k, desk.MailTicketFiled, ""); err != nil {
		return err
	}
	return c.Record("ticket.filed", ref(k.ID), name(*k), map[string]any{"number": k.Number, "severity": k.Severity, "source": k.Source, "os_user": k.OSUser})
}

// answer is what the filer of a ticket is told.
func answer(tx store.Tx, id ticket.ID) (api.TicketFiled, error) {
	k, err := tx.Ticket(id)
	if err != nil {
		return api.TicketFiled{}, err
	}
	files, err := tx.Files(id)
	if err != nil {
		return api.TicketFiled{}, err
	}
	filed := api.TicketFiled{ID: string(k.ID), Number: k.Number, Subject: k.Subject, Status: string(k.Status), AnswerBy: answerBy(k)}
	for _, f := range files {
		if f.Message == "" && f.Index >= 0 && !f.Arrived {
			filed.Missing = append(filed.Missing, f.Index)
		}
	}
	return filed, nil
}

// FiledFromDevice tells a device what became of a ticket that it filed.
func (d *Tickets) FiledFromDevice(ctx context.Context, from device.ID, id ticket.ID) (filed api.TicketFiled, err error) {
	err = d.o.Read(ctx, func(tx store.Tx) error {
		k, err := tx.Ticket(id)
		if err != nil {
			return err
		}
		if k.Device != from {
			return store.ErrNotFound
		}
		filed, err = answer(tx, id)
		return err
	})
	return filed, err
}

// PutDeviceFile stores the bytes of a file that was announced with a ticket. The same bytes again
// change nothing.
func (d *Tickets) PutDeviceFile(ctx context.Context, from device.ID, id ticket.ID, index int, r io.Reader) error {
	var f ticket.File
	err := d.o.Read(ctx, func(tx store.Tx) (err error) {
		k, err := tx.Ticket(id)
		if err != nil {
			return err
		}
		if k.Device != from {
			return store.ErrNotFound
		}
		f, err = tx.FiledFile(id, index)
		return err
	})
	if err != nil {
		return err
	}
	if _, _, err := d.o.Blobs.Put(r, f.SHA256, f.Size); err != nil {
		return blobError(err)
	}
	if f.Arrived {
		return nil
	}
	return d.o.Change(ctx, desk.Device(from), func(c *desk.Change) error {
		c.Hint(desk.TopicTicket, string(id))
		if err := c.FileArrived(f.ID, c.Now); err != nil {
			return err
		}
		return c.Record("ticket.file_arrived", ref(id), "", map[string]any{"file": f.ID, "sha256": f.SHA256, "size": f.Size})
	})
}

func blobError(err error) error {
	switch {
	case errors.Is(err, blob.ErrMismatch):
		return desk.Refuse(desk.ErrInvalid, "file_mismatch")
	case errors.Is(err, blob.ErrTooLarge):
		return desk.Refuse(desk.ErrTooLarge, "file_too_large")
	case errors.Is(err, blob.ErrNotFound):
		return desk.Refuse(desk.ErrNotFound, "file_pending")
	case errors.Is(err, blob.ErrUnavailable):
		return fmt.Errorf("%w: %w", desk.Refuse(desk.ErrUnavailable, "unavailable"), err)
	}
	return err
}

// Create stores a ticket that a person wrote in the portal or by the API.
func (d *Tickets) Create(ctx context.Context, a desk.Actor, draft Draft) (k ticket.Ticket, err error) {
	if a.Account == "" && !a.System {
		return k, desk.Fail(desk.ErrDenied)
	}
	if err := ticket.CheckTitle(draft.Title); err != nil {
		return k, desk.Fail(err)
	}
	if draft.Text != "" {
		if err := ticket.CheckText(draft.Text); err != nil {
			return k, desk.Fail(err)
		}
	}
	if draft.Severity != "" {
		if _, err := k.ChangeSeverity(draft.Severity, time.Time{}); err != nil {
			return k, desk.Fail(err)
		}
	}
	if draft.For != nil {
		if !a.May(account.TicketsWork) {
			return k, desk.Fail(desk.ErrDenied)
		}
		if draft.For.Email != "" {
			if draft.For.Email, err = account.NormalizeEmail(draft.For.Email); err != nil {
				return k, desk.Fail(err)
			}
		}
		if draft.For.Name != "" {
			if draft.For.Name, err = account.CheckName(draft.For.Name); err != nil {
				return k, desk.Fail(err)
			}
		}
		if len(draft.For.Phone) > api.MaxName {
			return k, desk.Fail(ticket.ErrContact)
		}
	}
	if len(draft.Category) > api.MaxName || len(draft.Key) > 200 {
		return k, desk.Fail(desk.ErrInvalid)
	}
	body, err := json.Marshal(draft)
	if err != nil {
		return k, fmt.Errorf("encode the ticket: %w", err)
	}
	bodyHash, keyHash := hash(string(a.Account), string(body)), hash(draft.Key)
	err = d.o.Change(ctx, a, func(c *desk.Change) error {
		k = ticket.Ticket{ID: ticket.ID(c.NewID()), Title: strings.TrimSpace(draft.Title), Text: draft.Text, Category: draft.Category, Severity: draft.Severity, Answers: draft.Answers,
			Language: catalogue.Match(draft.Language, a.Language), Source: draft.Source, Organization: a.Organization}
		if k.Source == "" {
			k.Source = map[string]ticket.Source{desk.ViaAPI: ticket.FromAPI}[a.Via]
		}
		if k.Source == "" {
			k.Source = ticket.FromPortal
		}
		if draft.Key != "" {
			switch known, id, err := c.Answered(a.Account, keyHash); {
			case err == nil && known == bodyHash:
				k, err = c.Ticket(id)
				return err
			case err == nil:
				return desk.Refuse(desk.ErrConflict, "idempotency_key_taken")
			case !errors.Is(err, store.ErrNotFound):
				return err
			}
			if err := c.SetAnswered(a.Account, keyHash, bodyHash, k.ID, c.Now); err != nil {
				return err
			}
		}
		if _, err := member(c.Tx, a); err != nil {
			return err
		}
		if err := d.contact(c, a, draft, &k); err != nil {
			return err
		}
		return insert(c, &k, bodyHash)
	})
	return k, err
}

// contact fills in whom and which device a draft is for.
func (d *Tickets) contact(c *desk.Change, a desk.Actor, draft Draft, k *ticket.Ticket) error {
	if draft.Device != "" {
		dev, err := c.Device(draft.Device)
		if err != nil {
			return err
		}
		works := a.MayIn(account.TicketsWork, dev.Organization)
		if !dev.RemovedAt.IsZero() || !works && dev.Organization != a.Organization {
			return store.ErrNotFound
		}
		k.Device, k.DeviceName = dev.ID, dev.Name
		if works {
			k.Organization = dev.Organization
		}
	}
	if draft.For != nil {
		k.Requester = *draft.For
		k.Requester.Account, k.Requester.Confirmed = "", false
		if draft.Of != "" {
			k.Organization = draft.Of
		}
		if draft.For.Email != "" {
			who, err := c.AccountByEmail(draft.For.Email)
			if err != nil && !errors.Is(err, store.ErrNotFound) {
				return err
			}
			if err == nil && a.MayIn(account.TicketsWork, who.Organization) { // staff vouches for the caller
				k.Requester.Account, k.Requester.Confirmed, k.Organization = who.ID, true, who.Organization
				if k.Requester.Name == "" {
					k.Requester.Name = who.Name
				}
			}
		}
	} else if a.Account != "" {
		me, err := c.Account(a.Account)
		if err != nil {
			return err
		}
		k.Requester = ticket.Contact{Account: me.ID, Name: me.Name, Email: me.Email, Confirmed: true}
		if me.Role == account.Integration {
			k.Requester.Email = "" // its own is no mailbox
		}
	}
	if k.Organization == "" {
		o, err := c.Provider()
		if err != nil {
			return err
		}
		k.Organization = o.ID
	}
	if draft.For != nil {
		if err := a.Need(account.TicketsWork, k.Organization); err != nil {
			return err
		}
	}
	o, err := c.Organization(k.Organization)
	if err != nil {
		return err
	}
	k.OrganizationName = o.Name
	return nil
}

// scope limits a filter to what the actor may see, as sees does for one ticket.
func scope(a desk.Actor, f *store.TicketFilter) error {
	if a.System {
		f.Internal = true
		return nil
	}
	if a.Account == "" {
		return desk.ErrDenied
	}
	works := a.May(account.TicketsWork)
	f.Sight = &store.Sight{Account: a.Account, All: a.May(account.TicketsAll), Assigned: works, Within: a.Within(), Queues: a.Reach.Queues}
	if works {
		f.Internal = a.Reach.All || f.Sight.All
		if f.Internal && !a.Reach.All && f.Query != "" {
			f.Sight.Account = "" // no word of a note on their own ticket elsewhere may be guessed
		}
	}
	return nil
}

// List lists the tickets that the actor may see, with the counts beside each status.
func (d *Tickets) List(ctx context.Context, a desk.Actor, f Filter) (l List, err error) {
	if f.Limit < 1 || f.Limit > 500 {
		f.Limit = 50
	}
	s := store.TicketFilter{Organization: f.Organization, Device: f.Device, Status: f.Status, Live: f.Live, Query: f.Query, Sort: f.Sort, Ascending: f.Ascending, Limit: f.Limit, Before: f.Before,
		Held: f.Held, Queue: f.Queue, Category: f.Category}
	if f.Overdue {
		s.Overdue = d.o.Time()
	}
	if f.Nobodys {
		s.Assignee = store.NoAssignee
	}
	if len(s.Query) > 200 {
		return l, desk.Fail(desk.ErrInvalid)
	}
	if f.Mine && a.May(account.TicketsWork) {
		s.Assignee = a.Account
	} else if f.Mine {
		s.Requester = a.Account
	}
	if err := scope(a, &s); err != nil {
		return l, desk.Fail(err)
	}
	err = d.o.Read(ctx, func(tx store.Tx) error {
		home, err := member(tx, a)
		if err != nil {
			return err
		}
		if home.MembersSeeAll && s.Sight != nil {
			s.Sight.All = true // within their own organization, which is as far as a member reaches
		}
		counts := s
		counts.Before = 0
		l = List{Page: max(f.Page, 1)}
		if l.Counts, l.More, err = tx.TicketCounts(counts); err != nil {
			return err
		}
		for status, n := range l.Counts {
			l.All += n
			if f.Status == "" || f.Status == status {
				l.Total += n
			}
		}
		l.Pages = max(1, (l.Total+f.Limit-1)/f.Limit)
		l.Page = min(l.Page, l.Pages)
		if f.Before > 0 {
			s.Sort, s.Ascending = ticket.ByNumber, false
		} else {
			s.Offset = (l.Page - 1) * f.Limit
		}
		l.Tickets, err = tx.Tickets(s)
		return err
	})
	return l, err
}

// mine reports whether the actor is the ticket's requester or speaks for its organization.
func mine(a desk.Actor, k ticket.Ticket) bool {
	return a.Account != "" && (k.Requester.Account == a.Account || a.Role == account.Responsible && k.Organization == a.Organization && a.MayIn(account.TicketsAll, k.Organization))
}

// works reports whether the actor may do with the ticket what only staff does.
func works(a desk.Actor, k ticket.Ticket) bool {
	return reaches(a, k) && a.MayIn(account.TicketsWork, k.Organization) && (k.Assignee == a.Account || a.Reach.HasQueue(k.Queue))
}

// reaches reports whether the ticket is the actor's to see by right, as its requester or as its assignee.
func reaches(a desk.Actor, k ticket.Ticket) bool {
	return mine(a, k) || a.MayIn(account.TicketsAll, k.Organization) && a.Reach.HasQueue(k.Queue) || k.Assignee == a.Account && a.MayIn(account.TicketsWork, k.Organization)
}

// member is the organization that the actor belongs to; store.ErrNotFound when its plan has no tickets.
func member(tx store.Tx, a desk.Actor) (account.Organization, error) {
	home, err := desk.Home(tx, a)
	if err == nil && !home.Has().Tickets {
		err = store.ErrNotFound
	}
	return home, err
}

// sees reports store.ErrNotFound for a ticket that the actor may not see.
func sees(tx store.Tx, a desk.Actor, k ticket.Ticket) error {
	home, err := member(tx, a)
	if err != nil || reaches(a, k) || home.MembersSeeAll && a.Account != "" && k.Organization == a.Organization {
		return err
	}
	return store.ErrNotFound
}

// acts reports why the actor may not answer or move a ticket. What a colleague has filed can at most be read.
func acts(tx store.Tx, a desk.Actor, k ticket.Ticket) error {
	if err := sees(tx, a, k); err != nil || works(a, k) || mine(a, k) {
		return err
	}
	return desk.Refuse(desk.ErrDenied, "colleague")
}

// Get loads one ticket for its page.
func (d *Tickets) Get(ctx context.Context, a desk.Actor, id ticket.ID) (View, error) {
	return d.view(ctx, a, func(tx store.Tx) (ticket.Ticket, error) { return tx.Ticket(id) })
}

// ByNumber loads one ticket by its number.
func (d *Tickets) ByNumber(ctx context.Context, a desk.Actor, number int64) (View, error) {
	return d.view(ctx, a, func(tx store.Tx) (ticket.Ticket, error) { return tx.TicketByNumber(number) })
}

func (d *Tickets) view(ctx context.Context, a desk.Actor, load func(store.Tx) (ticket.Ticket, error)) (v View, err error) {
	now := d.o.Time()
	err = d.o.Read(ctx, func(tx store.Tx) error {
		k, err := load(tx)
		if err != nil {
			return err
		}
		if err := sees(tx, a, k); err != nil {
			return err
		}
		v = View{Ticket: k, Mine: mine(a, k), Moves: k.Moves(a.RightsIn(k.Organization), mine(a, k), now)}
		thread, err := tx.Messages(k.ID)
		if err != nil {
			return err
		}
		files, err := tx.Files(k.ID)
		if err != nil {
			return err
		}
		byMessage := map[string][]ticket.File{}
		for _, f := range files {
			byMessage[f.Message] = append(byMessage[f.Message], f)
		}
		v.Files = byMessage[""]
		for _, m := range thread {
			if m.Internal() && !works(a, k) {
				continue
			}
			m.Files = byMessage[m.ID]
			v.Messages = append(v.Messages, m)
		}
		if k.Device != "" {
			dev, err := tx.Device(k.Device)
			if err != nil {
				return err
			}
			if dev.RemovedAt.IsZero() && (works(a, k) || dev.Organization == a.Organization) {
				v.Device = &dev
			}
		}
		if works(a, k) {
			if v.Staff, err = staff(tx, k); err != nil {
				return err
			}
		}
		return v.beside(tx, a, d)
	})
	return v, err
}

// staff lists the accounts that a ticket may be given to.
func staff(tx store.Tx, k ticket.Ticket) ([]account.Account, error) {
	list, err := tx.Staff()
	return slices.DeleteFunc(list, func(a account.Account) bool { return !assignable(a, k) }), err
}

func assignable(a account.Account, k ticket.Ticket) bool {
	return !a.Disabled && desk.Of(a, "", "").MayIn(account.TicketsWork, k.Organization)
}

// Answer adds a public message with files that were attached before. An answer of the requester
// reopens a waiting or recently resolved ticket.
func (d *Tickets) Answer(ctx context.Context, a desk.Actor, id ticket.ID, text string, files ...string) (ticket.Message, error) {
	return d.say(ctx, a, id, ticket.Public, text, files)
}

// Note adds an internal note, which only staff reads.
func (d *Tickets) Note(ctx context.Context, a desk.Actor, id ticket.ID, text string, files ...string) (ticket.Message, error) {
	if !a.May(account.TicketsWork) {
		return ticket.Message{}, desk.Fail(desk.ErrDenied)
	}
	return d.say(ctx, a, id, ticket.Note, text, files)
}

func (d *Tickets) say(ctx context.Context, a desk.Actor, id ticket.ID, kind ticket.MessageKind, text string, files []string) (m ticket.Message, err error) {
	if err := ticket.CheckText(text); err != nil {
		return m, desk.Fail(err)
	}
	err = d.change(ctx, a, id, func(c *desk.Change, k ticket.Ticket) (ticket.Ticket, error) {
		before := k.Status
		if kind == ticket.Note && !works(a, k) {
			return k, desk.ErrDenied // their own ticket, in an organization for which they don't work
		}
		staff := works(a, k) && k.Requester.Account != a.Account
		if kind == ticket.Public {
			k, err = k.Answer(staff, c.Now)
			if errors.Is(err, ticket.ErrFollowUp) {
				next, err := followUp(c, k, text)
				m = ticket.Message{Ticket: next.ID, Kind: kind, Author: a.Account, AuthorName: a.Name, Text: text, At: c.Now}
				return k, err
			}
			if err != nil {
				return k, err
			}
			if err := replied(c, id); err != nil {
				return k, err
			}
			if staff {
				if err := started(c, id); err != nil {
					return k, err
				}
			}
		}
		m = ticket.Message{ID: c.NewID(), Ticket: id, Kind: kind, Author: a.Account, AuthorName: a.Name, FromStaff: staff, Text: text, At: c.Now}
		if err := c.InsertMessage(m); err != nil {
			return k, err
		}
		for _, f := range files {
			if err := c.FileBelongsTo(f, id, m.ID); err != nil {
				return k, err
			}
		}
		if k.Status != before {
			if err := event(c, k, "status "+string(k.Status)); err != nil {
				return k, err
			}
		}
		thread, err := c.Messages(id)
		if err != nil {
			return k, err
		}
		if err := c.IndexTicket(k, thread); err != nil {
			return k, err
		}
		action := "ticket.answered"
		if kind == ticket.Note {
			action = "ticket.noted"
		}
		if err := c.Record(action, ref(id), name(k), map[string]any{"message": m.ID, "files": len(files)}); err != nil {
			return k, err
		}
		if kind == ticket.Public && staff {
			if err := mailTo(c, k, desk.MailTicketAnswered, m.ID); err != nil {
				return k, err
			}
			return k, owe(c, k, a.Name)
		}
		return k, nil
	})
	return m, err
}

// ChangeStatus moves a ticket. Paused needs a reason; the requester may close it or say that a resolved one
// still does not work. Closing ends every permission that was given for the ticket.
func (d *Tickets) ChangeStatus(ctx context.Context, a desk.Actor, id ticket.ID, to ticket.Status, reason string) error {
	return d.Move(ctx, a, id, ticket.Move{To: to, Reason: reason})
}

// Move is ChangeStatus with the date on which a paused ticket comes back by itself.
func (d *Tickets) Move(ctx context.Context, a desk.Actor, id ticket.ID, m ticket.Move) error {
	return d.change(ctx, a, id, func(c *desk.Change, k ticket.Ticket) (ticket.Ticket, error) {
		from, held := k.Status, k.Held()
		k, err := k.ChangeStatus(m, a.RightsIn(k.Organization), mine(a, k), c.Now)
		if err != nil || k.Status == from {
			return k, err
		}
		if held {
			if err := void(c, k); err != nil {
				return k, err
			}
		}
		if works(a, k) {
			if err := started(c, id); err != nil {
				return k, err
			}
		}
		return k, moved(c, k, from)
	})
}

// ChangeSeverity sets the severity. Only staff does.
func (d *Tickets) ChangeSeverity(ctx context.Context, a desk.Actor, id ticket.ID, s api.Severity) error {
	if !a.May(account.TicketsWork) {
		return desk.Fail(desk.ErrDenied)
	}
	return d.change(ctx, a, id, func(c *desk.Change, k ticket.Ticket) (ticket.Ticket, error) {
		if !works(a, k) {
			return k, desk.ErrDenied
		}
		from := k.Severity
		k, err := k.ChangeSeverity(s, c.Now)
		if err != nil || from == s {
			return k, err
		}
		if err := event(c, k, "severity "+string(s)); err != nil {
			return k, err
		}
		return k, c.Record("ticket.severity_changed", ref(id), name(k), map[string]any{"from": from, "to": s})
	})
}

// Take gives the ticket to the actor.
func (d *Tickets) Take(ctx context.Context, a desk.Actor, id ticket.ID) error {
	return d.Assign(ctx, a, id, a.Account)
}

// Assign gives the ticket to a technician; an empty account gives it to nobody.
func (d *Tickets) Assign(ctx context.Context, a desk.Actor, id ticket.ID, to account.ID) error {
	if !a.May(account.TicketsWork) {
		return desk.Fail(desk.ErrDenied)
	}
	return d.change(ctx, a, id, func(c *desk.Change, k ticket.Ticket) (ticket.Ticket, error) {
		if !works(a, k) {
			return k, desk.ErrDenied
		}
		var who account.Account
		if to != "" {
			var err error
			if who, err = c.Account(to); err != nil && !errors.Is(err, store.ErrNotFound) {
				return k, err
			}
			if err != nil || !assignable(who, k) {
				return k, desk.Refuse(desk.ErrInvalid, "not_staff")
			}
		}
		from, status := k.Assignee, k.Status
		k, err := k.Assign(to, who.Name, c.Now)
		if err != nil || from == to {
			return k, err
		}
		text := "unassigned"
		if to != "" {
			text = "assigned " + who.Name
		}
		if err := event(c, k, text); err != nil {
			return k, err
		}
		if err := c.Record("ticket.assigned", ref(id), name(k), map[string]any{"from": from, "to": to}); err != nil {
			return k, err
		}
		if k.Status != status {
			return k, owe(c, k, "")
		}
		return k, nil
	})
}

// change loads a ticket that the actor may see, lets f change it, and saves it.
func (d *Tickets) change(ctx context.Context, a desk.Actor, id ticket.ID, f func(*desk.Change, ticket.Ticket) (ticket.Ticket, error)) error {
	return d.o.Change(ctx, a, func(c *desk.Change) error {
		k, err := c.Ticket(id)
		if err != nil {
			return err
		}
		if err := acts(c.Tx, a, k); err != nil {
			return err
		}
		if k, err = f(c, k); err != nil {
			return err
		}
		if err := settle(c, &k); err != nil {
			return err
		}
		c.Hint(desk.TopicTicket, string(id))
		return c.SaveTicket(k)
	})
}

// event adds what happened to the ticket's thread. text is "status TO", "severity TO", "assigned NAME" or
// "unassigned".
func event(c *desk.Change, k ticket.Ticket, text string) error {
	return c.InsertMessage(ticket.Message{ID: c.NewID(), Ticket: k.ID, Kind: ticket.Event, Author: c.Actor.Account, AuthorName: c.Actor.Name, FromStaff: c.Actor.System || works(c.Actor, k), Text: text, At: c.Now})
}

// owe queues the notice to the device that the ticket was filed from.
func owe(c *desk.Change, k ticket.Ticket, answered string) error {
	if k.Device == "" || k.Source != ticket.FromDevice {
		return nil
	}
	return c.Owe(desk.JobTicketMoved, desk.TicketJob{Ticket: string(k.ID), Answered: answered})
}

// Attach stores a file on a ticket; Answer and Note then take it by its id.
func (d *Tickets) Attach(ctx context.Context, a desk.Actor, id ticket.ID, fileName, contentType string, r io.Reader) (f ticket.File, err error) {
	if err := d.o.Read(ctx, func(tx store.Tx) error {
		k, err := tx.Ticket(id)
		if err != nil {
			return err
		}
		if k.Status == ticket.Closed {
			return ticket.ErrClosed
		}
		return acts(tx, a, k)
	}); err != nil {
		return f, err
	}
	if _, err := d.uploads.Pass(string(a.Account), d.o.Time()); err != nil {
		return f, err
	}
	sum, size, err := d.o.Blobs.Put(r, "", api.MaxFileSize)
	if err != nil {
		return f, blobError(err)
	}
	if len(contentType) > 200 || strings.ContainsAny(contentType, "\r\n\x00") {
		contentType = "application/octet-stream"
	}
	err = d.change(ctx, a, id, func(c *desk.Change, k ticket.Ticket) (ticket.Ticket, error) {
		k.UpdatedAt = c.Now
		f = ticket.File{ID: c.NewID(), Ticket: id, Index: -1, Name: ticket.FileName(fileName), Type: contentType, Size: size, SHA256: sum, Arrived: true, At: c.Now}
		if err := c.InsertFile(f); err != nil {
			return k, err
		}
		return k, c.Record("ticket.file_attached", ref(id), name(k), map[string]any{"file": f.ID, "sha256": sum, "size": size})
	})
	return f, err
}

// OpenFile opens a file of a ticket that the actor may see. The caller closes it.
func (d *Tickets) OpenFile(ctx context.Context, a desk.Actor, file string) (ticket.File, *os.File, error) {
	var f ticket.File
	err := d.o.Read(ctx, func(tx store.Tx) (err error) {
		if f, err = tx.File(file); err != nil {
			return err
		}
		k, err := tx.Ticket(f.Ticket)
		if err != nil {
			return err
		}
		if err := sees(tx, a, k); err != nil || f.Message == "" || works(a, k) {
			return err
		}
		thread, err := tx.Messages(k.ID)
		for _, m := range thread {
			if m.ID == f.Message && m.Kind == ticket.Note {
				return store.ErrNotFound
			}
		}
		return err
	})
	if err != nil {
		return f, nil, err
	}
	if !f.Arrived {
		return f, nil, desk.Refuse(desk.ErrNotFound, "file_pending")
	}
	r, err := d.o.Blobs.Get(f.SHA256)
	if err != nil {
		return f, nil, blobError(err)
	}
	return f, r, nil
}

// Moved is what a device is told of a ticket, for the notice in the tray.
func (d *Tickets) Moved(ctx context.Context, id ticket.ID) (k ticket.Ticket, err error) {
	err = d.o.Read(ctx, func(tx store.Tx) (err error) {
		k, err = tx.Ticket(id)
		return err
	})
	return k, err
}

func ref(id ticket.ID) string { return "ticket:" + string(id) }

func name(k ticket.Ticket) string { return fmt.Sprintf("#%d", k.Number) }

func hash(parts ...string) string {
	h := sha256.New()
	for _, p := range parts {
		fmt.Fprintf(h, "%d:%s", len(p), p)
	}
	return hex.EncodeToString(h.Sum(nil))
}
