package api

import (
	"context"
	"encoding/json"
	"net/http"

	"github.com/traybell/traybell/server/internal/account"
	"github.com/traybell/traybell/server/internal/desk/audit"
)

// Account is a person who can sign in.
type Account struct {
	ID             string       `json:"id"`
	Email          string       `json:"email"`
	Name           string       `json:"name"`
	Role           account.Role `json:"role" enum:"requester,responsible,technician,administrator"`
	Organization   string       `json:"organization"`
	OrganizationID string       `json:"organization_id"`
	Language       string       `json:"language"`
	SecondFactor   bool         `json:"second_factor"`
	Invited        bool         `json:"invited" doc:"has not accepted the invitation yet"`
	CreatedAt      int64        `json:"created_at"`
}

func accountOf(a account.Account) Account {
	return Account{ID: string(a.ID), Email: a.Email, Name: a.Name, Role: a.Role, Organization: a.OrganizationName, OrganizationID: string(a.Organization), Language: a.Language,
		SecondFactor: a.TOTP, Invited: a.Password == "", CreatedAt: micros(a.CreatedAt)}
}

// Organization is a customer, or the provider that runs this server.
type Organization struct {
	ID       string `json:"id"`
	Name     string `json:"name"`
	Provider bool   `json:"provider"`
}

// people registers what accounts do about accounts.
func (s *server) people() {
	register(s, operation("get-me", http.MethodGet, "/accounts/me", "The account that the token belongs to", http.StatusOK), func(ctx context.Context, _ *none) (*body[Account], error) {
		a, err := s.People.Me(ctx, actorOf(ctx))
		return &body[Account]{accountOf(a)}, err
	})

	type accountList struct {
		Accounts []Account `json:"accounts"`
	}
	register(s, operation("list-accounts", http.MethodGet, "/accounts", "Accounts: all for staff, the organization's for its responsible person", http.StatusOK), func(ctx context.Context, _ *none) (*body[accountList], error) {
		list, err := s.People.Accounts(ctx, actorOf(ctx))
		out := accountList{Accounts: []Account{}}
		for _, a := range list {
			out.Accounts = append(out.Accounts, accountOf(a))
		}
		return &body[accountList]{out}, err
	})

	type organizationList struct {
		Organizations []Organization `json:"organizations"`
	}
	register(s, operation("list-organizations", http.MethodGet, "/organizations", "Organizations: all for staff, the own one for others", http.StatusOK), func(ctx context.Context, _ *none) (*body[organizationList], error) {
		list, err := s.People.Organizations(ctx, actorOf(ctx))
		out := organizationList{Organizations: []Organization{}}
		for _, o := range list {
			out.Organizations = append(out.Organizations, Organization{ID: string(o.ID), Name: o.Name, Provider: o.Provider})
		}
		return &body[organizationList]{out}, err
	})
}

// Entry is a row of the audit log.
type Entry struct {
	ID         string          `json:"id"`
	Seq        int64           `json:"seq" doc:"its place in the chain; 0 while it is not chained yet"`
	At         int64           `json:"at"`
	Actor      string          `json:"actor" doc:"account:ID, device:ID or system"`
	ActorName  string          `json:"actor_name,omitempty"`
	ActingFor  string          `json:"acting_for,omitempty"`
	Via        string          `json:"via,omitempty"`
	Address    string          `json:"address,omitempty"`
	Action     string          `json:"action"`
	Object     string          `json:"object"`
	ObjectName string          `json:"object_name,omitempty"`
	Detail     json.RawMessage `json:"detail"`
	Hash       string          `json:"hash,omitempty"`
}

// log registers the audit log.
func (s *server) log() {
	type listAuditInput struct {
		Limit  int    `query:"limit" minimum:"1" maximum:"500" default:"100"`
		Cursor string `query:"cursor" maxLength:"36"`
		Object string `query:"object" maxLength:"100" doc:"ticket:ID, device:ID, …"`
		Actor  string `query:"actor" maxLength:"100"`
	}
	type auditList struct {
		Entries []Entry `json:"entries"`
		Next    string  `json:"next" doc:"cursor of the next page; empty after the last"`
	}
	register(s, operation("list-audit", http.MethodGet, "/audit", "The audit log, the newest row first: all for administrators, their own acts for others", http.StatusOK), func(ctx context.Context, in *listAuditInput) (*body[auditList], error) {
		rows, err := s.Audit.List(ctx, actorOf(ctx), audit.Filter{Object: in.Object, Actor: in.Actor, Before: in.Cursor, Limit: in.Limit})
		if err != nil {
			return nil, err
		}
		out := auditList{Entries: []Entry{}}
		for _, e := range rows {
			out.Entries = append(out.Entries, Entry{ID: e.ID, Seq: e.Seq, At: micros(e.At), Actor: e.Actor, ActorName: e.ActorName, ActingFor: e.ActingFor, Via: e.Via, Address: e.Address,
				Action: e.Action, Object: e.Object, ObjectName: e.ObjectName, Detail: json.RawMessage(e.Detail), Hash: e.Hash})
		}
		if len(rows) == in.Limit {
			out.Next = rows[len(rows)-1].ID
		}
		return &body[auditList]{out}, nil
	})
}
