package web

import (
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/traybell/traybell/server/internal/desk"
	deskaccess "github.com/traybell/traybell/server/internal/desk/access"
)

// beat keeps proxies from cutting a quiet stream.
const beat = 25 * time.Second

// events is the stream of hints: what has moved, never the news itself. The page loads again what it shows,
// with its own right to see it; so a hint tells requesters nothing but that some ticket has moved, and its id
// is given to staff only.
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
			if c.actor.Staff() {
				id = strings.Map(printable, string(h.Data))
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

func printable(r rune) rune {
	if r < ' ' || r > '~' {
		return -1
	}
	return r
}
