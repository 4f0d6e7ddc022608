package api

import (
	"context"
	"encoding/json"
	"net/http"
	"time"

	"github.com/traybell/traybell/server/internal/account"
	"github.com/traybell/traybell/server/internal/desk/audit"
	"github.com/traybell/traybell/shared/catalogue"
)

// Entry is a row of the audit log.
type Entry struct {
	ID             string          `json:"id"`
	Seq            int64           `json:"seq" doc:"its place in the chain; 0 while it is not chained yet"`
	At             int64           `json:"at"`
	Actor          string          `json:"actor" doc:"account:ID, device:ID or system"`
	ActorName      string          `json:"actor_name,omitempty"`
	ActingFor      string          `json:"acting_for,omitempty" doc:"in whose place; the actor, unless somebody acted for another"`
	ActingForName  string          `json:"acting_for_name,omitempty"`
	OrganizationID string          `json:"organization_id,omitempty" doc:"in whose log it stands; empty: the server's"`
	Via            string          `json:"via,omitempty"`
	Address        string          `json:"address,omitempty"`
	Action         string          `json:"action"`
	Words          string          `json:"words" doc:"the action in the language of the request"`
	Object         string          `json:"object"`
	ObjectName     string          `json:"object_name,omitempty"`
	Detail         json.RawMessage `json:"detail"`
	Hash           string          `json:"hash,omitempty"`
	Previous       string          `json:"previous,omitempty" doc:"hash of the row before it in the chain"`
}

// log registers the audit log.
func (s *server) log() {
	type listAuditInput struct {
		Limit        int    `query:"limit" minimum:"1" maximum:"500" default:"100"`
		Cursor       string `query:"cursor" maxLength:"36"`
		Object       string `query:"object" maxLength:"200" doc:"ticket:ID, device:ID, …, or a name: #1042, PC-114"`
		Actor        string `query:"actor" maxLength:"200" doc:"account:ID, device:ID, system, or a part of the name"`
		ActingFor    string `query:"acting_for" maxLength:"200" doc:"what others did in the place of account:ID"`
		Action       string `query:"action" maxLength:"200" doc:"ticket.filed, …"`
		Organization string `query:"organization" maxLength:"200" doc:"its id or name"`
		Address      string `query:"address" maxLength:"200" doc:"how it begins"`
		Text         string `query:"text" maxLength:"200" doc:"in names, details, addresses and the words of the action"`
		From         int64  `query:"from" minimum:"0" doc:"Unix microseconds, included"`
		To           int64  `query:"to" minimum:"0" doc:"Unix microseconds, not included"`
	}
	type auditList struct {
		Entries  []Entry `json:"entries"`
		Next     string  `json:"next" doc:"cursor of the next page; empty after the last"`
		Searched int64   `json:"searched,omitempty" doc:"how far back text or address was looked for, when the search stopped before the page was full; next goes on"`
	}
	register(s, operation("list-audit", http.MethodGet, "/audit", "The audit log, the newest row first: all for administrators, their organization's for responsible persons, their own acts for others. Reading it is an entry too.", http.StatusOK), func(ctx context.Context, in *listAuditInput) (*body[auditList], error) {
		p, err := s.Audit.List(ctx, actorOf(ctx), audit.Filter{From: moment(in.From), To: moment(in.To), Who: in.Actor, ActingFor: in.ActingFor, Action: in.Action, Object: in.Object,
			Organization: account.OrganizationID(in.Organization), Address: in.Address, Text: in.Text, Language: languageOf(ctx), Before: in.Cursor, Limit: in.Limit})
		if err != nil {
			return nil, err
		}
		out := auditList{Entries: []Entry{}, Next: p.Next, Searched: micros(p.Searched)}
		words := catalogue.For(languageOf(ctx))
		for _, e := range p.Rows {
			out.Entries = append(out.Entries, Entry{ID: e.ID, Seq: e.Seq, At: micros(e.At), Actor: e.Actor, ActorName: e.ActorName, ActingFor: e.ActingFor, ActingForName: e.ActingForName,
				OrganizationID: string(e.Organization), Via: e.Via, Address: e.Address, Action: e.Action, Words: audit.Words(words, e.Action), Object: e.Object, ObjectName: e.ObjectName,
				Detail: json.RawMessage(e.Detail), Hash: e.Hash, Previous: e.Previous})
		}
		return &body[auditList]{out}, nil
	})
}

// moment is the inverse of micros.
func moment(n int64) time.Time {
	if n == 0 {
		return time.Time{}
	}
	return time.UnixMicro(n).UTC()
}
