package web

import (
	"github.com/traybell/traybell/server/internal/device"
)

// linkView is the page on which somebody links computers to their account.
type linkView struct {
	Code, Until string
	Claims      []ownerRow // entered at a computer, to be confirmed here
	Linked      []ownerRow
	Can         bool
}

type ownerRow struct{ ID, Href, Name, Text string }

func (s *Server) linkDevice(c *call) error { return s.showLink(c, "", "") }

// startLink makes a code, which is shown this once.
func (s *Server) startLink(c *call) error {
	_, code, err := s.o.Devices.StartOwner(c.ctx, c.actor)
	if err != nil {
		return err
	}
	return s.showLink(c, code, c.moment(c.now.Add(device.CodeLife)))
}

func (s *Server) showLink(c *call, code, until string) error {
	list, err := s.o.Devices.Owned(c.ctx, c.actor)
	if err != nil {
		return err
	}
	v := linkView{Code: code, Until: until}
	for _, w := range list {
		row := ownerRow{ID: w.ID, Name: w.DeviceName, Href: "/devices/" + string(w.Device)}
		switch w.State(c.now) {
		case device.OwnerClaimed:
			row.Text = c.T("devices.link.claim.text", "User", w.User, "When", c.date(w.ClaimedAt))
			v.Claims = append(v.Claims, row)
		case device.OwnerLinked:
			row.Text = c.T("devices.link.linked.text", "User", w.User, "When", c.date(w.ConfirmedAt))
			v.Linked = append(v.Linked, row)
		}
	}
	return c.show("link", c.page("devices", c.T("devices.link"), v))
}

func (s *Server) confirmLink(c *call) error {
	w, err := s.o.Devices.ConfirmOwner(c.ctx, c.actor, c.r.PostFormValue("id"))
	if err != nil {
		return err
	}
	return c.redirect("/devices/" + string(w.Device) + "?done=linked")
}

func (s *Server) endLink(c *call) error {
	if err := s.o.Devices.EndOwner(c.ctx, c.actor, c.r.PostFormValue("id")); err != nil {
		return err
	}
	return c.redirect("/devices/link?done=unlinked")
}
