package web

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/coder/websocket"

	"github.com/traybell/traybell/server/internal/access"
	"github.com/traybell/traybell/server/internal/account"
	"github.com/traybell/traybell/server/internal/desk"
	"github.com/traybell/traybell/server/internal/relay"
	"github.com/traybell/traybell/shared/api"
	"github.com/traybell/traybell/shared/grant"
)

// closeRefused is the WebSocket's close code whose reason is the code of a refusal.
const closeRefused websocket.StatusCode = 4000

// channel is the browser's leg of a channel: the desk authorises, the relay asks the device, and from
// then on bytes flow that nobody here looks at.
func (s *Server) channel(c *call) error {
	kind := grant.Kind(c.r.PathValue("kind"))
	if kind != grant.KindDesktop && kind != grant.KindTerminal || !api.ValidID(c.r.PathValue("id")) {
		return errNotFound
	}
	seen, err := s.o.Access.Session(c.ctx, c.actor, access.SessionID(c.r.PathValue("id")))
	if err != nil {
		return err
	}
	if !c.actor.MayIn(account.SessionsStart, seen.Organization) {
		return errNotFound
	}
	// The library refuses an Origin other than the request's own host.
	ws, err := websocket.Accept(c.w, c.r, &websocket.AcceptOptions{CompressionMode: websocket.CompressionDisabled})
	if err != nil {
		return nil // it has answered
	}
	defer ws.CloseNow()
	// The request's own context ends with the handler's return only: the connection is hijacked.
	ctx, cancel := context.WithCancel(c.ctx)
	defer cancel()

	offer, err := s.o.Access.Authorise(ctx, c.actor, access.SessionID(c.r.PathValue("id")), kind, kind == grant.KindDesktop && c.r.URL.Query().Get("control") == "1")
	if err != nil {
		ws.Close(closeRefused, s.refusal(err))
		return nil
	}
	session, err := s.o.Access.Session(ctx, c.actor, access.SessionID(offer.Session))
	if err != nil {
		ws.Close(closeRefused, s.refusal(err))
		return nil
	}
	device, err := s.o.Relay.Open(ctx, string(session.Device), offer)
	if err != nil {
		ws.Close(closeRefused, s.refusal(err))
		return nil
	}
	defer device.Close()
	ws.SetReadLimit(1 << 20) // a paste into the remote clipboard is the longest message of a browser
	browser := websocket.NetConn(ctx, ws, websocket.MessageBinary)
	started := time.Now()
	var watch sync.WaitGroup
	watch.Go(func() { s.untilSignedOut(ctx, c, seen.Organization, ws, cancel) })
	down, up, err := relay.Splice(ctx, device, browser)
	cancel()
	watch.Wait()
	s.o.Logger.Info("channel closed", "session", offer.Session, "kind", kind, "seconds", int(time.Since(started).Seconds()), "down", down, "up", up, "err", err)
	return nil
}

// untilSignedOut closes a channel whose login has been ended, from here or from another browser, or whose
// technician works for the organization no more.
func (s *Server) untilSignedOut(ctx context.Context, c *call, of account.OrganizationID, ws *websocket.Conn, cancel context.CancelFunc) {
	check := time.NewTicker(s.o.Recheck)
	defer check.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-check.C:
			if !c.signedIn() || !c.actor.MayIn(account.SessionsStart, of) {
				ws.Close(closeRefused, "signed_out")
				cancel()
				return
			}
		}
	}
}

// refusal is the code for which a channel stays closed.
func (s *Server) refusal(err error) string {
	var refused *relay.RefusedError
	var own *desk.Error
	switch {
	case errors.As(err, &refused):
		return refused.Code
	case errors.Is(err, relay.ErrOffline):
		return api.CodeOffline
	case errors.As(err, &own):
		return own.Code
	}
	s.o.Logger.Warn("channel not opened", "err", err)
	return "failed"
}
