package web

import (
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/traybell/traybell/server/internal/access"
	"github.com/traybell/traybell/server/internal/account"
	"github.com/traybell/traybell/server/internal/desk"
	deskaccess "github.com/traybell/traybell/server/internal/desk/access"
	"github.com/traybell/traybell/server/internal/device"
	"github.com/traybell/traybell/server/internal/ticket"
)

// beat keeps proxies from cutting a quiet stream.
const beat = 25 * time.Second

// events is the stream of hints: what has moved, never the news itself. The page loads again what it shows,
// with its own right to see it; so a hint tells requesters nothing but that some ticket has moved, and its id
// is given to staff only, of what they reach.
func (s *Server) events(c *call) error {
	rc := http.NewResponseController(c.w)
	if err := rc.SetWriteDeadline(time.Time{}); err != nil {
		s.o.Logger.Debug("write deadline of an event stream not lifted", "err", err)
	}
	c.w.Header().Set("Content-Type", "text/event-stream")
	c.w.Header().Set("X-Accel-Buffering", "no")
	c.w.WriteHeader(http.StatusOK)
	fmt.Fprint(c.w, "retry: 3000\n\n")
	if err := rc.Flush(); err != nil {
		return nil
	}
	hints := s.o.Bus.Subscribe(c.ctx, desk.TopicTicket, desk.TopicDevice, deskaccess.TopicSession)
	tick := time.NewTicker(beat)
	defer tick.Stop()
	check := time.NewTicker(s.o.Recheck)
	defer check.Stop()
	for {
		select {
		case h, ok := <-hints:
			if !ok {
				return nil
			}
			id := ""
			if c.actor.May(account.TicketsWork) {
				id = strings.Map(printable, string(h.Data))
				if !c.actor.Reach.All && !s.reaches(c, h.Topic, id) {
					continue
				}
			}
			if _, err := fmt.Fprintf(c.w, "event: %s\ndata: %s\n\n", h.Topic, id); err != nil {
				return nil
			}
			if err := rc.Flush(); err != nil {
				return nil
			}
		case <-tick.C:
			if _, err := fmt.Fprint(c.w, ": \n\n"); err != nil {
				return nil
			}
			if err := rc.Flush(); err != nil {
				return nil
			}
		case <-check.C:
			if !c.signedIn() {
				return nil
			}
		case <-s.closing:
			return nil
		case <-c.ctx.Done():
			return nil
		}
	}
}

// reaches reports whether somebody limited to organizations may know that a thing has moved.
func (s *Server) reaches(c *call, topic, id string) bool {
	var err error
	switch topic {
	case desk.TopicTicket:
		_, err = s.o.Tickets.Get(c.ctx, c.actor, ticket.ID(id))
	case desk.TopicDevice:
		_, err = s.o.Devices.Get(c.ctx, c.actor, device.ID(id))
	default:
		_, err = s.o.Access.Session(c.ctx, c.actor, access.SessionID(id))
	}
	return err == nil
}

func printable(r rune) rune {
	if r < ' ' || r > '~' {
		return -1
	}
	return r
}
