package people

import (
	"context"
	"slices"
	"time"

	"github.com/traybell/traybell/server/internal/account"
	"github.com/traybell/traybell/server/internal/desk"
)

// byHand refuses what an API token may never do, whatever rights it has.
func byHand(a desk.Actor) error {
	if a.Token != "" {
		return desk.Refuse(desk.ErrDenied, "token_never")
	}
	return nil
}

// Limit narrows a technician to organizations; an empty list lets them work for every one. It counts from
// their next request on.
func (p *People) Limit(ctx context.Context, a desk.Actor, id account.ID, to []account.OrganizationID) error {
	if err := byHand(a); err != nil {
		return err
	}
	if !a.Everywhere(account.PeopleManage) {
		return desk.Fail(desk.ErrDenied)
	}
	if err := desk.NeedFresh(a, p.o.Time()); err != nil {
		return err
	}
	slices.Sort(to)
	to = slices.Compact(to)
	if len(to) > account.MaxLimits {
		return desk.Fail(desk.ErrInvalid)
	}
	return p.o.Change(ctx, a, func(c *desk.Change) error {
		who, err := c.Account(id)
		if err != nil {
			return err
		}
		rights, _ := who.May()
		switch {
		case who.Role != account.Technician:
			return desk.Refuse(desk.ErrInvalid, "limit_role")
		case who.ID == a.Account || !a.System && !a.Rights.Covers(rights):
			return desk.ErrDenied
		}
		for _, o := range to {
			if _, err := c.Organization(o); err != nil {
				return err
			}
		}
		limits := who.Limits
		limits.Organizations = to
		if slices.Equal(who.Limits.Organizations, to) {
			return nil
		}
		if err := c.SetLimits(id, limits); err != nil {
			return err
		}
		return c.Record("account.limited", ref(id), who.Name, map[string]any{"organizations": to, "was": who.Limits.Organizations})
	})
}

// NewToken is what somebody asks of an API token.
type NewToken struct {
	Name   string
	Rights account.Rights // of the account's, which the token has; others are left out
	Life   time.Duration  // 0: it does not expire
}

// CreateNarrowToken makes an API token for the actor's own account with some of its rights; its secret can't
// be shown again. What is an account's own (its tickets, its profile) needs no right, and every token has it.
func (p *People) CreateNarrowToken(ctx context.Context, a desk.Actor, n NewToken) (k account.Token, secret string, err error) {
	if err := byHand(a); err != nil {
		return k, "", err
	}
	if !a.May(account.TokensManage) {
		return k, "", desk.Fail(desk.ErrDenied)
	}
	if err := desk.NeedFresh(a, p.o.Time()); err != nil {
		return k, "", err
	}
	return p.createToken(ctx, a, a.Account, n)
}

func (p *People) createToken(ctx context.Context, a desk.Actor, of account.ID, n NewToken) (k account.Token, secret string, err error) {
	name, err := account.CheckName(n.Name)
	if err != nil {
		return k, "", desk.Fail(err)
	}
	if of == "" {
		return k, "", desk.Fail(desk.ErrDenied)
	}
	if n.Life < 0 || n.Life > account.MaxTokenLife {
		return k, "", desk.Fail(desk.ErrInvalid)
	}
	secret = tokenPrefix + newToken()
	err = p.o.Change(ctx, a, func(c *desk.Change) error {
		rights := account.TokenRights
		if !a.System {
			rights = n.Rights.And(a.Rights).And(account.TokenRights)
		}
		k = account.Token{ID: c.NewID(), Account: of, Name: name, Rights: rights, CreatedAt: c.Now}
		if n.Life > 0 {
			k.ExpiresAt = c.Now.Add(n.Life)
		}
		if err := c.InsertToken(k, hash(secret)); err != nil {
			return err
		}
		return c.Record("token.made", ref(of), "", map[string]any{"token": k.ID, "name": name, "rights": rights.List(), "expires": k.ExpiresAt})
	})
	return k, secret, err
}

// narrow leaves of an actor's rights what a token has. Nobody keeps by a token what they have lost.
func narrow(actor desk.Actor, k account.Token) desk.Actor {
	actor.Token = k.ID
	actor.Rights = actor.Rights.And(k.Rights).And(account.TokenRights)
	return actor
}
