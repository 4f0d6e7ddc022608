package people

import (
	"context"
	"errors"
	"strings"
	"time"

	"github.com/traybell/traybell/server/internal/account"
	"github.com/traybell/traybell/server/internal/desk"
	"github.com/traybell/traybell/server/internal/store"
)

// AccountFilter chooses accounts among those that the actor may see.
type AccountFilter struct {
	Organization account.OrganizationID
	Role         account.Role
	Directory    account.DirectoryID // account.LocalDirectory: of none
	Query        string              // beginnings of words of name and address
	After        string              // cursor: AccountPage's next
	Limit        int                 // 1 to 500; default 50
}

// AccountPage lists accounts by name, and the cursor of the next page, if there is one.
func (p *People) AccountPage(ctx context.Context, a desk.Actor, f AccountFilter) (list []account.Account, next string, err error) {
	if !a.May(account.PeopleView) {
		return nil, "", desk.Fail(desk.ErrDenied)
	}
	if f.Limit < 1 || f.Limit > 500 {
		f.Limit = 50
	}
	if f.Role != "" {
		if _, err := account.ParseRole(string(f.Role)); err != nil {
			return nil, "", desk.Fail(err)
		}
	}
	s := store.AccountFilter{Within: a.Within(), Organization: f.Organization, Role: f.Role, Directory: f.Directory, Query: strings.TrimSpace(f.Query), Limit: f.Limit + 1}
	if len(s.Query) > 200 {
		return nil, "", desk.Fail(desk.ErrInvalid)
	}
	after, id, err := cursorOf(f.After)
	if err != nil {
		return nil, "", err
	}
	s.After, s.AfterID = after, account.ID(id)
	err = p.o.Read(ctx, func(tx store.Tx) error { list, err = tx.AccountPage(s); return err })
	if len(list) > f.Limit {
		list = list[:f.Limit]
		last := list[f.Limit-1]
		next = cursor(last.Name, string(last.ID))
	}
	return list, next, err
}

// MemberView is one account with what the actor may do about it.
type MemberView struct {
	account.Account
	Invitation account.Invitation // the newest that nobody has accepted; without id: none
	Manage     bool               // the actor may change, disable and forget the account
	Self       bool               // it is the actor's own
	Roles      []account.Role     // that the actor may give
}

// manages reports whether the actor may change an account of this role in this organization.
func managesAccount(a desk.Actor, who account.Account) bool {
	return a.System || a.Account != who.ID && mayMake(a, who.Role, who.Organization) == nil
}

// member loads an account that the actor may see.
func member(tx store.Tx, a desk.Actor, id account.ID) (account.Account, error) {
	who, err := tx.Account(id)
	if err == nil && who.Role == account.Integration { // no person
		err = store.ErrNotFound
	}
	if err == nil && a.Account != id && !a.MayIn(account.PeopleView, who.Organization) {
		err = store.ErrNotFound
	}
	return who, err
}

// Member loads one account for its page.
func (p *People) Member(ctx context.Context, a desk.Actor, id account.ID) (v MemberView, err error) {
	err = p.o.Read(ctx, func(tx store.Tx) error {
		who, err := member(tx, a, id)
		if err != nil {
			return err
		}
		v = MemberView{Account: who, Manage: managesAccount(a, who), Self: who.ID == a.Account}
		open, err := tx.OpenInvitations(who.Email)
		if err != nil {
			return err
		}
		if len(open) > 0 {
			v.Invitation = open[0]
		}
		for _, r := range account.Roles {
			if mayMake(a, r, who.Organization) == nil {
				v.Roles = append(v.Roles, r)
			}
		}
		return nil
	})
	return v, err
}

// MayGive lists the roles that the actor may give to people of an organization.
func (p *People) MayGive(a desk.Actor, o account.OrganizationID) (list []account.Role) {
	for _, r := range account.Roles {
		if mayMake(a, r, o) == nil {
			list = append(list, r)
		}
	}
	return list
}

// change loads an account that the actor may manage, lets f change it and saves it. What takes an administrator away
// is refused for the last one.
func (p *People) change(ctx context.Context, a desk.Actor, id account.ID, action string, detail any, f func(*desk.Change, *account.Account) error) error {
	return p.o.Change(ctx, a, func(c *desk.Change) error {
		if err := c.OneAdministratorAtATime(); err != nil {
			return err
		}
		who, err := member(c.Tx, a, id)
		if err != nil {
			return err
		}
		if who.ID == a.Account {
			return desk.Refuse(desk.ErrDenied, "not_yourself")
		}
		if !managesAccount(a, who) {
			return desk.ErrDenied
		}
		last := false
		if who.Role == account.Administrator && !who.Disabled && !who.RegisteredAt.IsZero() {
			n, err := c.CountAccounts(account.Administrator)
			if err != nil {
				return err
			}
			last = n <= 1
		}
		if err := f(c, &who); err != nil {
			return err
		}
		if last && (who.Role != account.Administrator || who.Disabled) {
			return desk.Refuse(desk.ErrConflict, "last_administrator")
		}
		return c.Record(action, ref(id), who.Name, detail)
	})
}

// ChangeRole gives an account another role, of those that the actor may give.
func (p *People) ChangeRole(ctx context.Context, a desk.Actor, id account.ID, r account.Role) error {
	if _, err := account.ParseRole(string(r)); err != nil {
		return desk.Fail(err)
	}
	return p.change(ctx, a, id, "account.role_changed", map[string]any{"to": r}, func(c *desk.Change, who *account.Account) error {
		if err := mayMake(a, r, who.Organization); err != nil {
			return err
		}
		who.Role = r
		return c.SaveAccount(*who)
	})
}

// Rename gives an account another name.
func (p *People) Rename(ctx context.Context, a desk.Actor, id account.ID, name string) error {
	name, err := account.CheckName(name)
	if err != nil {
		return desk.Fail(err)
	}
	return p.change(ctx, a, id, "account.profile_changed", nil, func(c *desk.Change, who *account.Account) error {
		who.Name = name
		return c.SaveAccount(*who)
	})
}

// Disable ends an account's logins and refuses new ones, until Enable. Its tickets stay.
func (p *People) Disable(ctx context.Context, a desk.Actor, id account.ID) error {
	return p.change(ctx, a, id, "account.disabled", nil, func(c *desk.Change, who *account.Account) error {
		who.Disabled = true
		if err := c.SaveAccount(*who); err != nil {
			return err
		}
		return c.EndLogins(id, "")
	})
}

// Enable lets a disabled account sign in again.
func (p *People) Enable(ctx context.Context, a desk.Actor, id account.ID) error {
	return p.change(ctx, a, id, "account.enabled", nil, func(c *desk.Change, who *account.Account) error {
		who.Disabled = false
		return c.SaveAccount(*who)
	})
}

// Invited is what became of one invitation of several.
type Invited struct {
	Email string
	Token string // of the link; empty when Err says why there is none
	Err   error
}

// InviteSeveral invites people one by one: one that can't be invited does not hold up the others. role is for those
// whose line says none.
func (p *People) InviteSeveral(ctx context.Context, a desk.Actor, list []account.Invitee, role account.Role, organization string) (out []Invited, err error) {
	if !a.May(account.PeopleManage) {
		return nil, desk.Fail(desk.ErrDenied)
	}
	for _, v := range list {
		n := NewInvitation{Email: v.Email, Role: role, Organization: organization, Name: v.Name, Language: v.Language}
		if v.Role != "" {
			n.Role = account.Role(strings.ToLower(v.Role))
		}
		_, token, err := p.Invite(ctx, a, n)
		if err != nil && !isTold(err) {
			return out, err // not this person's, but the server's trouble
		}
		out = append(out, Invited{Email: v.Email, Token: token, Err: err})
		if err != nil {
			out[len(out)-1].Token = ""
		}
	}
	return out, nil
}

// isTold reports whether an error is about what was asked.
func isTold(err error) bool {
	for _, kind := range []error{desk.ErrInvalid, desk.ErrDenied, desk.ErrNotFound, desk.ErrConflict} {
		if errors.Is(err, kind) {
			return true
		}
	}
	return false
}

// InviteAgain makes a fresh link for somebody who has not accepted yet; earlier ones stop working.
func (p *People) InviteAgain(ctx context.Context, a desk.Actor, id account.ID) (token string, err error) {
	var who account.Account
	err = p.o.Change(ctx, a, func(c *desk.Change) error {
		if who, err = member(c.Tx, a, id); err != nil {
			return err
		}
		if !managesAccount(a, who) {
			return desk.ErrDenied
		}
		if !who.RegisteredAt.IsZero() || who.Directory != "" {
			return desk.Refuse(desk.ErrConflict, "joined_already")
		}
		if who.Disabled {
			who.Disabled = false
			if err := c.SaveAccount(who); err != nil {
				return err
			}
		}
		return c.DropInvitations(who.Email)
	})
	if err != nil {
		return "", err
	}
	_, token, err = p.Invite(ctx, a, NewInvitation{Email: who.Email, Role: who.Role, Organization: who.OrganizationName})
	return token, err
}

// RevokeInvitation makes the link of somebody who has not accepted yet worthless and disables the account, so
// that it does not count any more.
func (p *People) RevokeInvitation(ctx context.Context, a desk.Actor, id account.ID) error {
	return p.change(ctx, a, id, "invitation.revoked", nil, func(c *desk.Change, who *account.Account) error {
		if !who.RegisteredAt.IsZero() {
			return desk.Refuse(desk.ErrConflict, "joined_already")
		}
		who.Disabled = true
		if err := c.SaveAccount(*who); err != nil {
			return err
		}
		return c.DropInvitations(who.Email)
	})
}

// Forget deletes a person: name, address, password, second factors, logins and tokens are gone, and nothing can be
// done by this account again. Their tickets stay, without the name.
func (p *People) Forget(ctx context.Context, a desk.Actor, id account.ID) error {
	return p.change(ctx, a, id, "account.forgotten", nil, func(c *desk.Change, who *account.Account) error {
		email := who.Email
		tickets, err := c.Tickets(store.TicketFilter{Requester: id, Limit: maxForget})
		if err != nil {
			return err
		}
		was := *who
		who.Email, who.Name, who.Password, who.Disabled, who.FactorLost = string(id)+"@former.invalid", "", "", true, false
		if err := c.SaveAccount(*who); err != nil {
			return err
		}
		was.Directory, was.ExternalID = "", ""
		if err := c.LinkAccount(was); err != nil {
			return err
		}
		if err := c.ForgetAccount(was, email, c.Now); err != nil {
			return err
		}
		for _, k := range tickets {
			k.Requester.Name, k.Requester.Email, k.Requester.Phone = "", "", ""
			thread, err := c.Messages(k.ID)
			if err != nil {
				return err
			}
			if err := c.IndexTicket(k, thread); err != nil {
				return err
			}
		}
		return nil
	})
}

// maxForget is how many tickets of a person are taken out of the search index when they are forgotten.
const maxForget = 10_000

// Data is what the server holds about a person, for them to take along.
type Data struct {
	Account struct {
		ID, Email, Name, Language, Organization, Role string
		CreatedAt                                     time.Time
		SecondFactor, Disabled                        bool
	} `json:"account"`
	Logins  []DataLogin  `json:"logins"`
	Tickets []DataTicket `json:"tickets"`
}

// DataLogin is a sign-in of a person.
type DataLogin struct {
	Address   string    `json:"address"`
	Browser   string    `json:"browser"`
	CreatedAt time.Time `json:"created_at"`
	SeenAt    time.Time `json:"seen_at"`
}

// DataTicket is a ticket of a person with what was said on it.
type DataTicket struct {
	Number    int64         `json:"number"`
	Title     string        `json:"title"`
	Text      string        `json:"text"`
	Status    string        `json:"status"`
	Severity  string        `json:"severity"`
	Phone     string        `json:"phone,omitempty"`
	CreatedAt time.Time     `json:"created_at"`
	ClosedAt  time.Time     `json:"closed_at,omitzero"`
	Messages  []DataMessage `json:"messages"`
	Files     []string      `json:"files"`
}

// DataMessage is what was said on a ticket. Internal notes are not among them.
type DataMessage struct {
	By   string    `json:"by"`
	At   time.Time `json:"at"`
	Text string    `json:"text"`
}

// Export gathers what the server holds about a person: for themselves, or for those who manage the account.
func (p *People) Export(ctx context.Context, a desk.Actor, id account.ID) (d Data, err error) {
	err = p.o.Change(ctx, a, func(c *desk.Change) error {
		d = Data{Logins: []DataLogin{}, Tickets: []DataTicket{}}
		who, err := member(c.Tx, a, id)
		if err != nil {
			return err
		}
		if id != a.Account && !managesAccount(a, who) {
			return desk.ErrDenied
		}
		k := &d.Account
		k.ID, k.Email, k.Name, k.Language, k.Organization, k.Role = string(who.ID), who.Email, who.Name, who.Language, who.OrganizationName, string(who.Role)
		k.CreatedAt, k.SecondFactor, k.Disabled = who.CreatedAt, who.SecondFactor, who.Disabled
		logins, err := c.Logins(id)
		if err != nil {
			return err
		}
		for _, l := range logins {
			d.Logins = append(d.Logins, DataLogin{Address: l.Address, Browser: l.UserAgent, CreatedAt: l.CreatedAt, SeenAt: l.SeenAt})
		}
		tickets, err := c.Tickets(store.TicketFilter{Requester: id, Limit: maxForget})
		if err != nil {
			return err
		}
		for _, k := range tickets {
			t := DataTicket{Number: k.Number, Title: k.Title, Text: k.Text, Status: string(k.Status), Severity: string(k.Severity), Phone: k.Requester.Phone, CreatedAt: k.CreatedAt, ClosedAt: k.ClosedAt, Messages: []DataMessage{}, Files: []string{}}
			thread, err := c.Messages(k.ID)
			if err != nil {
				return err
			}
			inside := map[string]bool{} // internal notes, whose files are not theirs either
			for _, m := range thread {
				inside[m.ID] = m.Kind == "note"
				if m.Kind == "message" {
					t.Messages = append(t.Messages, DataMessage{By: m.AuthorName, At: m.At, Text: m.Text})
				}
			}
			files, err := c.Files(k.ID)
			if err != nil {
				return err
			}
			for _, f := range files {
				if inside[f.Message] {
					continue
				}
				t.Files = append(t.Files, f.Name)
			}
			d.Tickets = append(d.Tickets, t)
		}
		return c.Record("account.exported", ref(id), who.Name, nil)
	})
	return d, err
}
