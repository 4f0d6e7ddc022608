package httpd

import (
	"context"
	"crypto/ed25519"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"

	"github.com/traybell/traybell/server/internal/desk"
	deskaccess "github.com/traybell/traybell/server/internal/desk/access"
	deskdevice "github.com/traybell/traybell/server/internal/desk/device"
	deskticket "github.com/traybell/traybell/server/internal/desk/ticket"
	"github.com/traybell/traybell/server/internal/device"
	"github.com/traybell/traybell/server/internal/relay"
	"github.com/traybell/traybell/server/internal/ticket"
	"github.com/traybell/traybell/shared/link"
)

// Links hands what devices say to the use cases. It implements relay.Desk.
type Links struct {
	Devices *deskdevice.Devices
	Access  *deskaccess.Sessions
	Logger  *slog.Logger
}

// LinkKey implements relay.Desk.
func (l *Links) LinkKey(ctx context.Context, id string) (ed25519.PublicKey, error) {
	key, err := l.Devices.LinkKey(ctx, device.ID(id))
	if errors.Is(err, desk.ErrNotFound) || errors.Is(err, desk.ErrDenied) {
		return nil, fmt.Errorf("%w: %w", relay.ErrUnknownDevice, err)
	}
	return key, err
}

// Up implements relay.Desk.
func (l *Links) Up(ctx context.Context, p link.Peer, addr string) (link.Welcome, error) {
	id := device.ID(p.Device)
	w, err := l.Devices.LinkUp(ctx, id, p.Proof.Facts, addr)
	if err != nil {
		return w, err
	}
	known, err := l.Access.LinkUp(ctx, id, p.Proof)
	if err != nil {
		l.Down(ctx, p.Device, w.Epoch) // the relay drops the link: it must not stay online in the lists
		return w, err
	}
	w.Ended, w.Sessions = known.Ended, known.Sessions
	if h := p.Proof.Ledger; h != nil {
		if err := l.Devices.LedgerHead(ctx, id, *h); err != nil {
			l.Logger.Warn("head of a device's ledger not kept", "device", p.Device, "err", err)
		}
	}
	return w, nil
}

// Message implements relay.Desk.
func (l *Links) Message(ctx context.Context, id string, m link.Message) error {
	switch m.Type {
	case link.TypeFacts:
		var f link.Facts
		if err := m.Decode(&f); err != nil {
			return err
		}
		return l.Devices.FactsChanged(ctx, device.ID(id), f)
	case link.TypeLedgerHead:
		var h link.LedgerHead
		if err := m.Decode(&h); err != nil {
			return err
		}
		return l.Devices.LedgerHead(ctx, device.ID(id), h)
	}
	return l.Access.FromDevice(ctx, device.ID(id), m)
}

// Down implements relay.Desk.
func (l *Links) Down(ctx context.Context, id string, epoch int64) {
	if err := l.Devices.LinkDown(ctx, device.ID(id), epoch); err != nil {
		l.Logger.Error("end of a link not noted", "device", id, "err", err)
	}
}

// Handle gives the worker what changes of tickets owe to devices. A device that is offline is told
// when its link comes up.
func Handle(w *desk.Worker, tickets *deskticket.Tickets, access *deskaccess.Sessions, r *relay.Relay) {
	tickets.Handle(w)
	w.Handle(desk.JobTicketMoved, func(ctx context.Context, payload []byte) error {
		var j desk.TicketJob
		if err := json.Unmarshal(payload, &j); err != nil {
			return err
		}
		k, err := tickets.Moved(ctx, ticket.ID(j.Ticket))
		if errors.Is(err, desk.ErrNotFound) || err == nil && k.Device == "" {
			return desk.ErrDrop
		}
		if err != nil {
			return err
		}
		err = r.Send(string(k.Device), link.TypeTicket, link.TicketMoved{ID: string(k.ID), Number: k.Number, Status: string(k.Status), Answered: j.Answered})
		if errors.Is(err, relay.ErrOffline) {
			return desk.ErrDrop // desk/device owes the news again when the link comes up
		}
		return err
	})
	w.Handle(desk.JobTicketClosed, func(ctx context.Context, payload []byte) error {
		var j desk.TicketJob
		if err := json.Unmarshal(payload, &j); err != nil {
			return err
		}
		return access.TicketClosed(ctx, ticket.ID(j.Ticket))
	})
}
