package service

import (
	"context"
	"errors"
	"net/http"

	"github.com/traybell/traybell/agent/internal/ledger"
	"github.com/traybell/traybell/agent/internal/localapi"
	"github.com/traybell/traybell/agent/internal/outbox"
	"github.com/traybell/traybell/shared/api"
)

// The links between accounts of the portal and OS users of this device live at the server; the service
// vouches for who speaks here.

// ask calls the server for a person who waits for the answer. Without a link there is none.
func (c *call) ask(f func(ctx context.Context) error) error {
	if !c.d.ready() {
		return c.problem(http.StatusServiceUnavailable, localapi.CodeOffline)
	}
	err := f(c.r.Context())
	var p api.Problem
	if err != nil && !errors.As(err, &p) {
		c.d.log.Info("server does not answer about owners", "err", err)
		return c.problem(http.StatusServiceUnavailable, localapi.CodeOffline)
	}
	return err
}

func (c *call) code() (r api.OwnerClaim, err error) {
	var l localapi.Link
	if err := c.decode(&l); err != nil {
		return r, err
	}
	if l.Code == "" || len(l.Code) > 50 {
		return r, outbox.InvalidError{Field: "code"}
	}
	return api.OwnerClaim{Code: l.Code, UserID: c.peer.ID, User: userName(c.peer.ID)}, nil
}

func (c *call) lookOwner() error {
	r, err := c.code()
	if err != nil {
		return err
	}
	var o api.Owner
	if err := c.ask(func(ctx context.Context) error { o, err = c.d.client.LookOwner(ctx, c.say.Language(), r); return err }); err != nil {
		return err
	}
	return c.answer(o)
}

func (c *call) claimOwner() error {
	r, err := c.code()
	if err != nil {
		return err
	}
	var o api.Owner
	if err := c.ask(func(ctx context.Context) error { o, err = c.d.client.ClaimOwner(ctx, c.say.Language(), r); return err }); err != nil {
		return err
	}
	c.d.record(c.r.Context(), ledger.Entry{Event: ledger.OwnerClaimed, Name: clip(o.Name), By: r.User, As: r.User, AsID: r.UserID})
	return c.answer(o)
}

func (c *call) owners() error {
	var all api.OwnerList
	if err := c.ask(func(ctx context.Context) (err error) { all, err = c.d.client.Owners(ctx); return err }); err != nil {
		return err
	}
	mine := []api.Owner{}
	for _, o := range all.Owners {
		if o.UserID == c.peer.ID {
			mine = append(mine, o)
		}
	}
	return list(c, mine)
}

func (c *call) endOwner() error {
	id := c.r.PathValue("id")
	if err := c.ask(func(ctx context.Context) error { return c.d.client.EndOwner(ctx, id, c.peer.ID) }); err != nil {
		return err
	}
	c.d.record(c.r.Context(), ledger.Entry{Event: ledger.OwnerEnded, By: userName(c.peer.ID), As: userName(c.peer.ID), AsID: c.peer.ID})
	return c.done()
}
