package web

import (
	deskdevice "github.com/traybell/traybell/server/internal/desk/device"
	deskticket "github.com/traybell/traybell/server/internal/desk/ticket"
)

// searchView is what was found.
type searchView struct {
	Query                        string
	Tickets                      []ticketRow
	TicketResults, DeviceResults string
	AllTickets                   string
	HasDevices                   bool
	Devices                      []deviceRow
	HasTickets                   bool
}

// found is how many of each are shown at once.
const found = 20

func (s *Server) search(c *call) error {
	v := searchView{Query: clip(c.r.URL.Query().Get("q"), 200)}
	if v.Query == "" {
		return c.show("search", c.page("search", c.T("web.search"), v))
	}
	home, err := c.home()
	if err != nil {
		return err
	}
	var tickets deskticket.List
	if v.HasTickets = home.Has().Tickets; v.HasTickets {
		if tickets, err = s.o.Tickets.List(c.ctx, c.actor, deskticket.Filter{Query: v.Query, Limit: found}); err != nil {
			return err
		}
	}
	v.TicketResults = c.T("word.results", "Count", tickets.Total)
	if tickets.Total > found {
		v.AllTickets = "/tickets?q=" + escape(v.Query)
	}
	for _, k := range tickets.Tickets {
		v.Tickets = append(v.Tickets, ticketRow{Number: k.Number, Title: k.Title, Status: c.status(k.Status), Updated: c.when(k.UpdatedAt)})
	}
	if !home.Has().Devices(c.actor.Role) {
		return c.show("search", c.page("search", c.T("web.search"), v))
	}
	devices, _, err := s.o.Devices.List(c.ctx, c.actor, deskdevice.Filter{Query: v.Query, Limit: found})
	if err != nil {
		return err
	}
	v.HasDevices, v.DeviceResults = true, c.T("word.results", "Count", len(devices))
	for _, d := range devices {
		v.Devices = append(v.Devices, c.deviceRow(d))
	}
	return c.show("search", c.page("search", c.T("web.search"), v))
}
