package ticket

import (
	"context"
	"errors"
	"slices"

	"github.com/traybell/traybell/server/internal/account"
	"github.com/traybell/traybell/server/internal/desk"
	"github.com/traybell/traybell/server/internal/store"
	"github.com/traybell/traybell/server/internal/ticket"
)

// mailTo owes the requester a mail about their ticket. message is the answer that it carries.
func mailTo(c *desk.Change, k ticket.Ticket, kind, message string) error {
	if k.Requester.Email == "" {
		return nil
	}
	if k.Source == ticket.FromMail && kind == desk.MailTicketFiled {
		if stop, err := braked(c, k.Requester.Email, kind); err != nil || stop {
			return err
		}
	}
	data := map[string]string{}
	if message != "" {
		data["Message"] = message
	}
	return c.OweMail(desk.Mail{Kind: kind, To: k.Requester.Email, Name: k.Requester.Name, Account: k.Requester.Account, Language: k.Language, Organization: k.Organization, Ticket: k.ID, Data: data})
}

// mailMoved tells the requester by mail that somebody else has resolved or closed their ticket.
func mailMoved(c *desk.Change, k ticket.Ticket) error {
	if c.Actor.Account != "" && c.Actor.Account == k.Requester.Account {
		return nil
	}
	switch k.Status {
	case ticket.Resolved:
		return mailTo(c, k, desk.MailTicketResolved, "")
	case ticket.Closed:
		return mailTo(c, k, desk.MailTicketClosed, "")
	}
	return nil
}

// known fills in, on a ticket that is just being filed at a device, that the owner of its address has confirmed it
// for this device and OS user before.
func known(c *desk.Change, k *ticket.Ticket) error {
	ok, err := c.RequesterConfirmed(*k)
	if err != nil || !ok {
		return err
	}
	k.Requester.Confirmed = true
	k.Requester.Account, err = owner(c.Tx, *k)
	return err
}

// owner is the account to which a confirmed address belongs, if it is of the ticket's organization.
func owner(tx store.Tx, k ticket.Ticket) (account.ID, error) {
	a, err := tx.AccountByEmail(k.Requester.Email)
	if errors.Is(err, store.ErrNotFound) || err == nil && (a.Organization != k.Organization || a.Disabled) {
		return "", nil
	}
	return a.ID, err
}

// MailedTicket is what somebody who came by a link in a mail reads of its ticket.
type MailedTicket struct {
	Number int64
	Title  string
	Email  string
	Status ticket.Status
	Done   bool // the address is confirmed already, or the ticket closed
	Closes bool // it can be closed now
	Broken bool // it can be said that it is still broken
}

// ByMail finds the ticket of a link in a mail. Looking changes nothing.
func (d *Tickets) ByMail(ctx context.Context, purpose, token string) (m MailedTicket, err error) {
	now := d.o.Time()
	err = d.o.Read(ctx, func(tx store.Tx) error {
		k, err := d.mailed(tx, purpose, token)
		if err != nil {
			return err
		}
		m = MailedTicket{Number: k.Number, Title: k.Title, Email: k.Requester.Email, Status: k.Status}
		if purpose == desk.TokenConfirm {
			m.Done = k.Requester.Confirmed
			return nil
		}
		moves := k.Moves(0, true, now)
		m.Closes, m.Done = slices.Contains(moves, ticket.Closed), k.Status == ticket.Closed
		_, err = k.Answer(false, now)
		m.Broken = err == nil
		return nil
	})
	return m, err
}

// mailed loads the ticket that a token of its requester opens.
func (d *Tickets) mailed(tx store.Tx, purpose, token string) (k ticket.Ticket, err error) {
	t, err := d.o.OpenMail(purpose, token)
	if err != nil {
		return k, desk.Refuse(desk.ErrNotFound, "mail_link")
	}
	k, err = tx.TicketByNumber(t.Number)
	if err == nil && !t.Matches(k.Requester.Email) || errors.Is(err, store.ErrNotFound) {
		return k, desk.Refuse(desk.ErrNotFound, "mail_link")
	}
	return k, err
}

// requester is the actor for somebody who proved by a mail that they are a ticket's requester.
func requester(k ticket.Ticket, address string) desk.Actor {
	name := k.Requester.Name
	if name == "" {
		name = k.Requester.Email
	}
	return desk.Actor{Account: k.Requester.Account, Name: name, Language: k.Language, Via: desk.ViaMail, Address: address}
}

// ConfirmAddress notes that the requester has opened the copy that went to their address, and says so. From then on
// the address counts for this OS user and device, and older tickets filed there with it are theirs too.
func (d *Tickets) ConfirmAddress(ctx context.Context, token, address string) error {
	return d.o.Change(ctx, desk.Actor{Via: desk.ViaMail, Address: address}, func(c *desk.Change) error {
		k, err := d.mailed(c.Tx, desk.TokenConfirm, token)
		if err != nil || k.Requester.Confirmed {
			return err
		}
		to, err := owner(c.Tx, k)
		if err != nil {
			return err
		}
		k.Requester.Account = to
		c.Actor = requester(k, address)
		if err := c.ConfirmRequester(k, to); err != nil {
			return err
		}
		c.Hint(desk.TopicTicket, string(k.ID))
		return c.Record("ticket.address_confirmed", ref(k.ID), name(k), map[string]any{"device": k.Device, "os_user": k.OSUser})
	})
}

// CloseByMail closes a ticket for its requester, who pressed the button behind the link in a mail.
func (d *Tickets) CloseByMail(ctx context.Context, token, address string) error {
	return d.o.Change(ctx, desk.Actor{Via: desk.ViaMail, Address: address}, func(c *desk.Change) error {
		k, err := d.mailed(c.Tx, desk.TokenDecide, token)
		if err != nil || k.Status == ticket.Closed {
			return err
		}
		c.Actor = requester(k, address)
		return d.closeFor(c, k)
	})
}

// closeFor closes a ticket at its requester's wish.
func (d *Tickets) closeFor(c *desk.Change, k ticket.Ticket) error {
	from := k.Status
	k, err := k.ChangeStatus(ticket.Move{To: ticket.Closed}, 0, true, c.Now)
	if err != nil || k.Status == from {
		return err
	}
	if err := event(c, k, "status "+string(k.Status)); err != nil {
		return err
	}
	if err := c.Record("ticket.status_changed", ref(k.ID), name(k), map[string]any{"from": from, "to": k.Status}); err != nil {
		return err
	}
	if err := c.Owe(desk.JobTicketClosed, desk.TicketJob{Ticket: string(k.ID)}); err != nil {
		return err
	}
	if err := owe(c, k, ""); err != nil {
		return err
	}
	c.Hint(desk.TopicTicket, string(k.ID))
	return c.SaveTicket(k)
}

// BrokenByMail adds what the requester says behind the link in a mail; a ticket that waits or is resolved goes on.
func (d *Tickets) BrokenByMail(ctx context.Context, token, text, address string) error {
	if err := ticket.CheckText(text); err != nil {
		return desk.Fail(err)
	}
	return d.o.Change(ctx, desk.Actor{Via: desk.ViaMail, Address: address}, func(c *desk.Change) error {
		k, err := d.mailed(c.Tx, desk.TokenDecide, token)
		if err != nil {
			return err
		}
		c.Actor = requester(k, address)
		_, err = d.sayFor(c, k, ticket.Public, text)
		return err
	})
}

// sayFor adds a message of the requester's, or a note in their name, and returns its id.
func (d *Tickets) sayFor(c *desk.Change, k ticket.Ticket, kind ticket.MessageKind, text string) (string, error) {
	before := k.Status
	var err error
	if kind == ticket.Public {
		if k, err = k.Answer(false, c.Now); err != nil {
			return "", err
		}
	}
	m := ticket.Message{ID: c.NewID(), Ticket: k.ID, Kind: kind, Author: c.Actor.Account, AuthorName: c.Actor.Name, Text: text, At: c.Now}
	if err := c.InsertMessage(m); err != nil {
		return "", err
	}
	if k.Status != before {
		if err := event(c, k, "status "+string(k.Status)); err != nil {
			return "", err
		}
	}
	thread, err := c.Messages(k.ID)
	if err != nil {
		return "", err
	}
	if err := c.IndexTicket(k, thread); err != nil {
		return "", err
	}
	if err := c.Record("ticket.answered", ref(k.ID), name(k), map[string]any{"message": m.ID}); err != nil {
		return "", err
	}
	if err := owe(c, k, ""); err != nil {
		return "", err
	}
	c.Hint(desk.TopicTicket, string(k.ID))
	return m.ID, c.SaveTicket(k)
}
