package api

import (
	"context"
	"net/http"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/traybell/traybell/server/internal/desk"
	deskticket "github.com/traybell/traybell/server/internal/desk/ticket"
	"github.com/traybell/traybell/server/internal/ticket"
	"github.com/traybell/traybell/shared/api"
)

// similarOf is what somebody who types a title is told of colleagues' tickets: no text of theirs.
func similarOf(a deskticket.Alike) api.Similar {
	return api.Similar{Ticket: string(a.Ticket), Own: a.Own, People: a.People, Since: micros(a.Since), Working: a.Working}
}

// ticketWork registers what goes on around a ticket: time, merging, and what colleagues have reported.
func (s *server) ticketWork() {
	type timeInput struct {
		TicketPath
		Body struct {
			Minutes  int    `json:"minutes" minimum:"1" maximum:"1440"`
			Note     string `json:"note,omitempty"`
			Billable bool   `json:"billable,omitempty"`
		}
	}
	type booked struct {
		ID      string `json:"id"`
		Minutes int    `json:"minutes"`
	}
	register(s, operation("book-time", http.MethodPost, "/tickets/{id}/time", "Book time worked on a ticket; staff only", http.StatusCreated), func(ctx context.Context, in *timeInput) (*body[booked], error) {
		a := actorOf(ctx)
		id, err := s.find(ctx, a, in.ID)
		if err != nil {
			return nil, err
		}
		w, err := s.Tickets.BookTime(ctx, a, id, in.Body.Minutes, in.Body.Note, in.Body.Billable, time.Time{})
		return &body[booked]{booked{w.ID, w.Minutes}}, err
	})
	type mergeInput struct {
		TicketPath
		Body struct {
			Into string `json:"into" maxLength:"36" doc:"id or number of the ticket that goes on"`
		}
	}
	changeTicket(s, "merge-ticket", "/tickets/{id}/merge", "Merge a ticket into another one; staff only", func(in *mergeInput) string { return in.ID }, func(ctx context.Context, a desk.Actor, id ticket.ID, in *mergeInput) error {
		into, err := s.load(ctx, a, in.Body.Into)
		if err != nil {
			return err
		}
		return s.Tickets.Merge(ctx, a, id, into.Ticket.Number)
	})
}

// similarOwn registers, for devices, what a form shows while a title is typed.
func (s *server) similarOwn(op func(id, method, path, summary string) huma.Operation) {
	type similarInput struct {
		Body api.SimilarAsked
	}
	register(s, op("find-similar", http.MethodPost, "/device/tickets/similar", "Whether colleagues have reported the same today"), func(ctx context.Context, in *similarInput) (*body[api.Similar], error) {
		a, err := s.Tickets.Similar(ctx, actorOf(ctx), in.Body.Title, in.Body.Email)
		return &body[api.Similar]{similarOf(a)}, err
	})
	type meTooInput struct {
		ID   string `path:"id" maxLength:"36"`
		Body api.MeToo
	}
	join := op("me-too", http.MethodPost, "/device/tickets/{id}/me-too", "Add somebody to a colleague's ticket")
	join.DefaultStatus = http.StatusNoContent
	register(s, join, func(ctx context.Context, in *meTooInput) (*none, error) {
		return nil, s.Tickets.MeToo(ctx, actorOf(ctx), ticket.ID(in.ID), in.Body.Name, in.Body.Email)
	})
}
