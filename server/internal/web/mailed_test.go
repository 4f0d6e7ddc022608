package web_test

import (
	"strings"
	"testing"

	"github.com/traybell/traybell/server/internal/desk"
	deskticket "github.com/traybell/traybell/server/internal/desk/ticket"
	"github.com/traybell/traybell/server/internal/ticket"
)

// TestLinksInMailsDecideByTheirButtonOnly opens a mail's links as a scanner would, and then presses.
func TestLinksInMailsDecideByTheirButtonOnly(t *testing.T) {
	const address = "g.verdi@weber-bau.example"
	k, err := portal.Tickets.Create(t.Context(), desk.System(), deskticket.Draft{Title: "Printer by mail", For: &ticket.Contact{Name: "Gina", Email: address}})
	if err != nil {
		t.Fatal(err)
	}
	status := func() ticket.Status {
		v, err := portal.Tickets.Get(t.Context(), desk.System(), k.ID)
		if err != nil {
			t.Fatal(err)
		}
		return v.Ticket.Status
	}
	decide, confirm := portal.SignMail(desk.TokenDecide, k.Number, address), portal.SignMail(desk.TokenConfirm, k.Number, address)
	b := open(t, portal, "")
	b.get("/decide").want(t, 200, `data-fragment="submit"`)
	b.post("/decide", "token", decide, "step", "check").want(t, 200, "Printer by mail", "It works now: close it", "Still broken")
	if got := status(); got != ticket.New {
		t.Fatalf("looking made it %s", got)
	}
	for _, wrong := range []string{"", confirm, decide[:len(decide)-1] + "z", strings.Repeat("x", 500)} {
		if a := b.post("/decide", "token", wrong, "step", "close"); a.StatusCode != 422 || strings.Contains(a.body, "Printer by mail") {
			t.Errorf("the token %q: %d", wrong, a.StatusCode)
		}
	}
	b.post("/decide", "token", decide, "step", "broken", "text", " ").want(t, 422)
	b.post("/decide", "token", decide, "step", "broken", "text", "Still blank").want(t, 200, "goes on")
	b.post("/decide", "token", decide, "step", "close").want(t, 200, "is closed")
	if got := status(); got != ticket.Closed {
		t.Errorf("it is %s", got)
	}
	b.post("/decide", "token", decide, "step", "check").want(t, 200, "Closed", "Still broken")

	b.post("/confirm", "token", confirm, "step", "check").want(t, 200, address)
	v, err := portal.Tickets.Get(t.Context(), desk.System(), k.ID)
	if err != nil || v.Ticket.Requester.Confirmed {
		t.Errorf("looking confirmed the address: %v", err)
	}
	b.post("/confirm", "token", confirm, "step", "confirm").want(t, 200, "is confirmed")
	if v, err = portal.Tickets.Get(t.Context(), desk.System(), k.ID); err != nil || !v.Ticket.Requester.Confirmed {
		t.Errorf("the address is not confirmed: %v", err)
	}
}
