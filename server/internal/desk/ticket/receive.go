package ticket

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/traybell/traybell/server/internal/account"
	"github.com/traybell/traybell/server/internal/desk"
	"github.com/traybell/traybell/server/internal/letter"
	"github.com/traybell/traybell/server/internal/store"
	"github.com/traybell/traybell/server/internal/ticket"
	"github.com/traybell/traybell/shared/api"
	"github.com/traybell/traybell/shared/catalogue"
)

// Incoming is a mail as it arrived.
type Incoming struct {
	Raw      []byte
	Mailbox  string   // by which way: "smtp", "import", or a mailbox's address
	To       []string // recipients of the envelope
	TooLarge bool     // Raw is its header only: the mail itself was not taken over
	Trusted  string   // name of the server whose Authentication-Results count; empty: nobody's
}

// Received is what became of a mail.
type Received struct {
	Outcome string // see store.Outcome
	Why     string // a code, with details behind a colon
	Ticket  int64  // 0: none
	Message string // id of what was added to the ticket
	Mail    letter.Mail
	SHA256  []string // of Mail.Files
	ID      string   // of the row that keeps it
}

// Limits on what mails may set off, whatever their headers say.
const (
	ackEvery      = 10 * time.Minute // one acknowledgement for a sender
	acksPerDay    = 10
	reopensPerDay = 5
)

// verdict is what sort makes of a mail.
type verdict struct {
	outcome store.Outcome
	why     string
	ticket  ticket.Ticket
	message string
}

var subjectNumber = regexp.MustCompile(`\[#(\d{1,12})\]`)

// Receive takes in a mail: it becomes a ticket, a message or a note, or is held until a person decides. The same mail again
// changes nothing. An error means that nothing was kept and the mail must be offered again.
func (d *Tickets) Receive(ctx context.Context, in Incoming) (r Received, err error) {
	m, readErr := letter.Read(in.Raw)
	raw, size, err := d.o.Blobs.Put(bytes.NewReader(in.Raw), "", int64(len(in.Raw)))
	if err != nil {
		return r, blobError(err)
	}
	var sums []string
	for _, f := range m.Files {
		sum, _, err := d.o.Blobs.Put(bytes.NewReader(f.Data), "", int64(len(f.Data)))
		if err != nil {
			return r, blobError(err)
		}
		sums = append(sums, sum)
	}
	fingerprint := hash(m.MessageID, m.From.Email, m.Text, strings.Join(sums, " "))
	if m.MessageID == "" {
		fingerprint = hash(raw)
	}
	err = d.o.Change(ctx, desk.Actor{Via: desk.ViaMail, Name: short(firstOf(m.From.Name, m.From.Email), 200), System: true}, func(c *desk.Change) error {
		r = Received{Mail: m, SHA256: sums}
		switch known, err := c.IncomingByFingerprint(fingerprint); {
		case err == nil:
			r.Outcome, r.ID, r.Why = string(store.SameAsAnother), known.ID, string(known.Outcome)
			if known.Ticket != "" {
				k, err := c.Ticket(known.Ticket)
				r.Ticket, r.Message = k.Number, known.Message
				return err
			}
			return nil
		case !errors.Is(err, store.ErrNotFound):
			return err
		}
		v := verdict{outcome: store.Held, why: "unreadable"}
		if readErr == nil && in.TooLarge {
			v.why = "too large"
			if err := d.turnAway(c, m); err != nil {
				return err
			}
		} else if readErr == nil {
			if v, err = d.sort(c, m, sums, in, false); err != nil {
				return err
			}
		} else {
			v.why += ": " + readErr.Error()
		}
		row := store.Incoming{ID: c.NewID(), Fingerprint: fingerprint, MessageID: m.MessageID, Mailbox: in.Mailbox, Sender: short(m.From.Email, 320), SenderName: short(m.From.Name, 200), Subject: short(m.Subject, 500),
			Outcome: v.outcome, Why: short(v.why, 500), Ticket: v.ticket.ID, Message: v.message, Raw: raw, Size: size, At: c.Now}
		r.Outcome, r.Why, r.Ticket, r.Message, r.ID = string(v.outcome), row.Why, v.ticket.Number, v.message, row.ID
		if v.outcome == store.Held {
			c.Hint(desk.TopicMail, row.ID)
		}
		return c.InsertIncoming(row)
	})
	return r, err
}

func firstOf(list ...string) string {
	for _, s := range list {
		if s != "" {
			return s
		}
	}
	return ""
}

func short(s string, n int) string {
	if r := []rune(s); len(r) > n {
		return string(r[:n])
	}
	return s
}

// sort finds out what a mail is and does it. force is a person's word that a held mail is wanted.
func (d *Tickets) sort(c *desk.Change, m letter.Mail, sums []string, in Incoming, force bool) (v verdict, err error) {
	held := func(why string, k ticket.Ticket) (verdict, error) {
		return verdict{outcome: store.Held, why: why, ticket: k}, nil
	}
	ours, err := desk.OwnAddresses(c.Tx)
	if err != nil {
		return v, err
	}
	// Our own mail that comes back would go round for ever.
	if slices.Contains(m.Loops, d.o.LoopMark()) {
		return verdict{outcome: store.Dropped, why: "own mail"}, nil
	}
	if m.MessageID != "" && m.Bounce == nil {
		if _, err := c.MailByMessageID(m.MessageID); err == nil {
			return verdict{outcome: store.Dropped, why: "own mail"}, nil
		} else if !errors.Is(err, store.ErrNotFound) {
			return v, err
		}
	}
	if slices.Contains(ours, m.From.Email) {
		return verdict{outcome: store.Dropped, why: "from our own address"}, nil
	}
	if m.Bounce != nil && !force {
		return d.bounced(c, m)
	}

	k, token, ambiguous, err := d.match(c, m, in)
	if err != nil {
		return v, err
	}
	found := k.ID != ""
	if m.Automatic != "" && !force {
		if !found {
			return held("automatic: "+m.Automatic, k)
		}
		id, err := d.noteFor(c, k, m, sums, catalogue.For(k.Language).T("mail.note.automatic"))
		return verdict{store.MadeNote, "automatic: " + m.Automatic, k, id}, err
	}
	if m.From.Email == "" || !strings.Contains(m.From.Email, "@") {
		return held("no sender", k)
	}
	who, err := c.AccountByEmail(m.From.Email)
	if err != nil && !errors.Is(err, store.ErrNotFound) {
		return v, err
	}
	known := err == nil && !who.Disabled
	if known && who.Role.Staff() && !force && !(token && verified(m, in.Trusted)) {
		return held("unverified: an account of support, and nothing proves that the mail is theirs", k)
	}
	if found && !m.Forward {
		switch {
		case force, strings.EqualFold(m.From.Email, k.Requester.Email), known && who.Organization == k.Organization, known && who.Role.Staff():
			return d.answerFor(c, k, m, sums, token, ambiguous, who)
		case token:
			return held("another address answers for "+k.Requester.Email, k)
		}
		return held("stranger: not a participant of the ticket", k)
	}
	contact := ticket.Contact{Name: short(m.From.Name, account.MaxName), Email: m.From.Email}
	of := account.OrganizationID("")
	switch {
	case known:
		contact.Account, contact.Confirmed, of = who.ID, true, who.Organization
		if contact.Name == "" {
			contact.Name = who.Name
		}
	default:
		o, err := c.OrganizationByDomain(account.EmailDomain(m.From.Email))
		if err != nil && !errors.Is(err, store.ErrNotFound) {
			return v, err
		}
		if of = o.ID; err != nil && force {
			if o, err = c.Provider(); err != nil {
				return v, err
			}
			of = o.ID
		}
	}
	if of == "" {
		if err := d.turnAway(c, m); err != nil {
			return v, err
		}
		return held("unknown sender", k)
	}
	o, err := c.Organization(of)
	if err != nil {
		return v, err
	}
	if !o.Has().Tickets && !force {
		if err := d.turnAway(c, m); err != nil {
			return v, err
		}
		return held("the organization has no tickets", k)
	}
	fresh, err := d.fileFor(c, o, contact, m, sums, firstOf(who.Language, k.Language))
	if err != nil {
		return v, err
	}
	v = verdict{store.MadeTicket, "", fresh, ""}
	if found {
		v.why = "forwarded from #" + strconv.FormatInt(k.Number, 10)
		say := catalogue.For(fresh.Language)
		_, err = d.sayFor(c, fresh, ticket.Note, say.T("mail.note.forwarded", "Number", k.Number))
	}
	return v, err
}

// match finds the ticket that a mail belongs to: by the recipient's signed address, then by the mails it answers, then by the number
// in its subject if the sender takes part in that ticket. token says that the signed address was there and was made for
// the ticket's requester.
func (d *Tickets) match(c *desk.Change, m letter.Mail, in Incoming) (k ticket.Ticket, token, ambiguous bool, err error) {
	final := func(k ticket.Ticket, err error) (ticket.Ticket, error) {
		for range 10 {
			if err != nil || k.MergedInto == "" {
				return k, err
			}
			k, err = c.Ticket(k.MergedInto)
		}
		return k, err
	}
	addresses := append(slices.Clone(in.To), m.Delivered...)
	for _, a := range append(slices.Clone(m.To), m.Cc...) {
		addresses = append(addresses, a.Email)
	}
	var numbers []int64
	for _, a := range addresses {
		local, _, _ := strings.Cut(a, "@")
		_, tag, ok := strings.Cut(local, "+")
		if !ok {
			continue
		}
		t, err := d.o.OpenMail(desk.TokenReply, tag)
		if err != nil {
			continue
		}
		got, err := c.TicketByNumber(t.Number)
		if errors.Is(err, store.ErrNotFound) || err == nil && !t.Matches(got.Requester.Email) {
			continue
		}
		if err != nil {
			return k, false, false, err
		}
		if !slices.Contains(numbers, t.Number) {
			numbers = append(numbers, t.Number)
		}
	}
	if len(numbers) > 0 {
		k, err = final(c.TicketByNumber(slices.Max(numbers)))
		return k, true, len(numbers) > 1, err
	}
	for _, id := range m.References {
		out, err := c.MailByMessageID(id)
		of := out.Ticket
		if errors.Is(err, store.ErrNotFound) {
			var before store.Incoming
			before, err = c.IncomingByMessageID(id)
			of = before.Ticket
		}
		if errors.Is(err, store.ErrNotFound) || err == nil && of == "" {
			continue
		}
		if err != nil {
			return k, false, false, err
		}
		k, err = final(c.Ticket(of))
		return k, false, false, err
	}
	found := subjectNumber.FindAllStringSubmatch(m.Subject, 5)
	for _, f := range found {
		n, err := strconv.ParseInt(f[1], 10, 64)
		if err != nil {
			continue
		}
		got, err := c.TicketByNumber(n)
		if errors.Is(err, store.ErrNotFound) {
			continue
		}
		if err != nil {
			return k, false, false, err
		}
		k, err = final(got, nil)
		return k, false, len(found) > 1, err
	}
	return k, false, false, nil
}

// verified reports whether a server that we trust says that the mail comes from its sender's domain. Only the first result
// counts: lower ones may have been written by anybody.
func verified(m letter.Mail, trusted string) bool {
	if trusted == "" || len(m.Results) == 0 {
		return false
	}
	server, results, ok := strings.Cut(m.Results[0], ";")
	if name, _, _ := strings.Cut(strings.TrimSpace(server), " "); !ok || !strings.EqualFold(name, trusted) {
		return false
	}
	for r := range strings.SplitSeq(strings.ToLower(results), ";") {
		if f := strings.Fields(r); len(f) > 0 && f[0] == "dmarc=pass" {
			return strings.Contains(r, "header.from="+account.EmailDomain(m.From.Email))
		}
	}
	return false
}

// answerFor adds a mail to its ticket as the requester's or a colleague's message.
func (d *Tickets) answerFor(c *desk.Change, k ticket.Ticket, m letter.Mail, sums []string, token, ambiguous bool, who account.Account) (verdict, error) {
	c.Actor = desk.Actor{Account: who.ID, Name: short(firstOf(m.From.Name, who.Name, m.From.Email), account.MaxName), Language: k.Language, Via: desk.ViaMail}
	mine := strings.EqualFold(m.From.Email, k.Requester.Email)
	over := k.Status == ticket.Resolved || k.Status == ticket.Closed
	why := ""
	if ambiguous {
		why = "ambiguous: several tickets are named"
	}
	if over && letter.Thanks(m.Reply) && len(m.Files) == 0 {
		id, err := d.noteFor(c, k, m, sums, "")
		return verdict{store.MadeNote, "thanks", k, id}, err
	}
	if _, err := k.Answer(false, c.Now); err != nil {
		if !over {
			return verdict{}, err
		}
		contact := k.Requester
		if !mine {
			contact = ticket.Contact{Account: who.ID, Name: c.Actor.Name, Email: m.From.Email, Confirmed: who.ID != ""}
		}
		o, err := c.Organization(k.Organization)
		if err != nil {
			return verdict{}, err
		}
		fresh, err := d.fileFor(c, o, contact, m, sums, k.Language)
		if err != nil {
			return verdict{}, err
		}
		_, err = d.sayFor(c, fresh, ticket.Note, catalogue.For(fresh.Language).T("mail.note.follows", "Number", k.Number))
		return verdict{store.MadeTicket, "follows #" + strconv.FormatInt(k.Number, 10), fresh, ""}, err
	}
	if over {
		n, err := c.ReopenedSince(k.ID, c.Now.Add(-24*time.Hour))
		if err != nil {
			return verdict{}, err
		}
		if n >= reopensPerDay {
			id, err := d.noteFor(c, k, m, sums, catalogue.For(k.Language).T("mail.note.brake"))
			return verdict{store.MadeNote, "reopened too often today", k, id}, err
		}
		why = "reopened"
	}
	id, err := d.sayFor(c, k, ticket.Public, body(m))
	if err != nil {
		return verdict{}, err
	}
	if err := attach(c, k, id, m, sums); err != nil {
		return verdict{}, err
	}
	if token && mine && letter.Closes(m.Reply) {
		if k, err = c.Ticket(k.ID); err != nil {
			return verdict{}, err
		}
		if err := d.closeFor(c, k); err != nil {
			return verdict{}, err
		}
		return verdict{store.ClosedTicket, why, k, id}, nil
	}
	return verdict{store.MadeMessage, why, k, id}, nil
}

// noteFor keeps a mail on its ticket as an internal note, which changes nothing else.
func (d *Tickets) noteFor(c *desk.Change, k ticket.Ticket, m letter.Mail, sums []string, lead string) (string, error) {
	c.Actor = desk.Actor{Name: short(firstOf(m.From.Name, m.From.Email, "mail"), account.MaxName), Language: k.Language, Via: desk.ViaMail}
	s := strings.TrimSpace(lead + "\n\n" + body(m))
	id, err := d.sayFor(c, k, ticket.Note, fit(s))
	if err != nil {
		return "", err
	}
	return id, attach(c, k, id, m, sums)
}

// body is what a message shows of a mail.
func body(m letter.Mail) string {
	s := m.Reply
	if e := m.Event; e != nil {
		s = strings.TrimSpace(strings.Join([]string{e.Summary, when(e.Start), e.Place, e.From}, " · ") + "\n\n" + s)
	}
	if strings.TrimSpace(s) == "" {
		s = firstOf(m.Subject, "…")
	}
	return fit(s)
}

func when(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.Format("2006-01-02 15:04 MST")
}

// fit cuts a text to what a message takes; the whole mail is kept anyway.
func fit(s string) string {
	if utf8.RuneCountInString(s) > api.MaxText-10 {
		return string([]rune(s)[:api.MaxText-10]) + "\n[…]"
	}
	return s
}

func attach(c *desk.Change, k ticket.Ticket, message string, m letter.Mail, sums []string) error {
	for i, f := range m.Files {
		if i >= api.MaxFiles {
			break
		}
		if err := c.InsertFile(ticket.File{ID: c.NewID(), Ticket: k.ID, Message: message, Index: -1 - i, Name: ticket.FileName(f.Name), Type: short(f.Type, 200), Size: int64(len(f.Data)), SHA256: sums[i], Arrived: true, At: c.Now}); err != nil {
			return err
		}
	}
	return nil
}

var prefixes = regexp.MustCompile(`(?i)^(\s*(re|aw|antw|sv|r|fwd?|fw|wg|i|tr|ha|пересл|отв|ответ)\s?(\[\d+\])?:\s*|\s*\[#\d+\]\s*)+`)

// fileFor makes a ticket of a mail.
func (d *Tickets) fileFor(c *desk.Change, o account.Organization, contact ticket.Contact, m letter.Mail, sums []string, language string) (k ticket.Ticket, err error) {
	language = catalogue.Match(language)
	title := strings.TrimSpace(prefixes.ReplaceAllString(m.Subject, ""))
	if title == "" {
		title, _, _ = strings.Cut(strings.TrimSpace(m.Reply), "\n")
	}
	if title = short(strings.TrimSpace(title), api.MaxTitle); title == "" {
		title = catalogue.For(language).T("mail.nosubject")
	}
	text := m.Text
	if !m.Forward && m.Cut {
		text = m.Reply
	}
	k = ticket.Ticket{ID: ticket.ID(c.NewID()), Title: title, Text: fit(text), Requester: contact, Language: language, Source: ticket.FromMail, Organization: o.ID, OrganizationName: o.Name}
	c.Actor = requester(k, "")
	if err := insert(c, &k, ""); err != nil {
		return k, err
	}
	return k, attach(c, k, "", m, sums)
}

// braked reports whether an acknowledgement to a sender must wait, whatever their headers say: two servers that answer each other stop here.
func braked(c *desk.Change, to, kind string) (bool, error) {
	n, err := c.MailsToSince(to, kind, c.Now.Add(-ackEvery))
	if err != nil || n > 0 {
		return true, err
	}
	n, err = c.MailsToSince(to, kind, c.Now.Add(-24*time.Hour))
	return n >= acksPerDay, err
}

// turnAway tells somebody whose mail is not taken as a ticket where the form is.
func (d *Tickets) turnAway(c *desk.Change, m letter.Mail) error {
	to, err := account.NormalizeEmail(m.From.Email)
	if err != nil {
		return nil //nolint:nilerr // nobody to tell
	}
	if stop, err := braked(c, to, desk.MailTurnedAway); err != nil || stop {
		return err
	}
	return c.OweMail(desk.Mail{Kind: desk.MailTurnedAway, To: to, Name: short(m.From.Name, account.MaxName), Data: map[string]string{"Subject": short(m.Subject, 200)}})
}

// bounced notes that a mail of ours came back.
func (d *Tickets) bounced(c *desk.Change, m letter.Mail) (v verdict, err error) {
	v = verdict{outcome: store.Bounced, why: "unknown mail"}
	for _, id := range m.Bounce.MessageIDs {
		out, err := c.MailByMessageID(id)
		if errors.Is(err, store.ErrNotFound) {
			continue
		}
		if err != nil {
			return v, err
		}
		reason := strings.TrimSpace(m.Bounce.Status + " " + m.Bounce.Reason)
		v.why = "mail to " + out.To + ": " + reason
		if m.Bounce.Delayed {
			v.why = "delayed: " + v.why
			return v, nil
		}
		if out.State != store.MailReturned {
			out.State, out.LastError, out.MovedAt = store.MailReturned, short(reason, 500), c.Now
			c.Hint(desk.TopicMail, out.ID)
			if err := c.SaveMail(out); err != nil {
				return v, err
			}
		}
		if out.Ticket == "" {
			return v, nil
		}
		if v.ticket, err = c.Ticket(out.Ticket); err != nil {
			return v, err
		}
		c.Actor = desk.Actor{Name: short(firstOf(m.From.Name, m.From.Email, "mail"), account.MaxName), Via: desk.ViaMail}
		v.message, err = d.sayFor(c, v.ticket, ticket.Note, catalogue.For(v.ticket.Language).T("mail.note.bounce", "To", out.To, "Why", firstOf(reason, "?")))
		return v, err
	}
	return v, nil
}

// HeldMail is a mail in quarantine.
type HeldMail struct {
	ID      string
	At      time.Time
	From    string
	Name    string
	Subject string
	Why     string
	Ticket  int64 // that it names; 0: none
	Size    int64
}

// quarantine is for those who see every ticket and set the server's mail.
func quarantine(a desk.Actor) error {
	if !a.May(account.MailManage) {
		return desk.Fail(desk.ErrDenied)
	}
	return nil
}

// Quarantine lists the mails that wait for a person's decision, the newest first, at most 200.
func (d *Tickets) Quarantine(ctx context.Context, a desk.Actor) (list []HeldMail, err error) {
	if err := quarantine(a); err != nil {
		return nil, err
	}
	err = d.o.Read(ctx, func(tx store.Tx) error {
		rows, err := tx.HeldMails(200)
		if err != nil {
			return err
		}
		list = nil
		for _, r := range rows {
			h := HeldMail{ID: r.ID, At: r.At, From: r.Sender, Name: r.SenderName, Subject: r.Subject, Why: r.Why, Size: r.Size}
			if r.Ticket != "" {
				k, err := tx.Ticket(r.Ticket)
				if err != nil {
					return err
				}
				h.Ticket = k.Number
			}
			list = append(list, h)
		}
		return nil
	})
	return list, err
}

// AcceptMail takes a held mail in after all: as a message of the ticket that it names, else as a new ticket. It returns
// the ticket's number.
func (d *Tickets) AcceptMail(ctx context.Context, a desk.Actor, id string) (number int64, err error) {
	if err := quarantine(a); err != nil {
		return 0, err
	}
	var row store.Incoming
	if err := d.o.Read(ctx, func(tx store.Tx) error { row, err = tx.Incoming(id); return err }); err != nil {
		return 0, err
	}
	f, err := d.o.Blobs.Get(row.Raw)
	if err != nil {
		return 0, blobError(err)
	}
	var raw bytes.Buffer
	_, err = raw.ReadFrom(f)
	f.Close()
	if err != nil {
		return 0, fmt.Errorf("read a held mail: %w", err)
	}
	m, err := letter.Read(raw.Bytes())
	if err != nil {
		return 0, desk.Refuse(desk.ErrInvalid, "mail_unreadable")
	}
	var sums []string
	for _, f := range m.Files {
		sum, _, err := d.o.Blobs.Put(bytes.NewReader(f.Data), "", int64(len(f.Data)))
		if err != nil {
			return 0, blobError(err)
		}
		sums = append(sums, sum)
	}
	err = d.o.Change(ctx, a, func(c *desk.Change) error {
		row, err := c.Incoming(id)
		if err != nil {
			return err
		}
		if row.Outcome != store.Held {
			return store.ErrStale
		}
		if err := c.Record("mail.accepted", "incoming:"+id, row.Sender, map[string]any{"why": row.Why}); err != nil {
			return err
		}
		v, err := d.sort(c, m, sums, Incoming{Mailbox: row.Mailbox}, true)
		if err != nil {
			return err
		}
		row.Outcome, row.Why, row.Ticket, row.Message, number = v.outcome, "accepted", v.ticket.ID, v.message, v.ticket.Number
		return c.SaveIncoming(row)
	})
	return number, err
}

// DiscardMail gives a held mail up.
func (d *Tickets) DiscardMail(ctx context.Context, a desk.Actor, id string) error {
	if err := quarantine(a); err != nil {
		return err
	}
	return d.o.Change(ctx, a, func(c *desk.Change) error {
		row, err := c.Incoming(id)
		if err != nil {
			return err
		}
		if row.Outcome != store.Held {
			return store.ErrStale
		}
		row.Outcome, row.Why = store.Dropped, "discarded"
		if err := c.SaveIncoming(row); err != nil {
			return err
		}
		return c.Record("mail.refused", "incoming:"+id, row.Sender, nil)
	})
}
