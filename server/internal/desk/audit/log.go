package audit

import (
	"context"
	"encoding/json"
	"errors"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/traybell/traybell/server/internal/account"
	"github.com/traybell/traybell/server/internal/desk"
	"github.com/traybell/traybell/server/internal/store"
	"github.com/traybell/traybell/shared/catalogue"
)

// Bounds of the log as people read it.
const (
	maxPage    = 500
	maxSearch  = 5000      // rows that one page looks through for a text or an address
	watchEvery = time.Hour // an entry for each person and filter, at most
	exportStep = 500       // rows in memory
	maxText    = 200       // characters of a filter's field
)

// Actions of the log about itself.
const (
	ActionViewed   = "audit.viewed"
	ActionExported = "audit.exported"
	ActionCut      = "audit.cut"
)

// Filter chooses audit rows. Zero fields choose all.
type Filter struct {
	From, To     time.Time // To is not included
	Who          string    // "account:ID", "device:ID", "system", or a part of the name
	ActingFor    string    // "account:ID": what others did in this person's place
	Action       string
	Object       string                 // "ticket:ID", "device:ID", …, or the name: "#1042", "PC-114"
	Organization account.OrganizationID // or its name
	Address      string                 // how it begins
	Text         string                 // in names, details, addresses and the words of the action
	Language     string                 // of Text's words; default English
	Before       string                 // cursor: Next of the page before
	Limit        int                    // 1 to 500; default 100
}

// words are the filter's fields as an entry about watching or exporting holds them.
func (f Filter) words() map[string]string {
	m := map[string]string{"who": f.Who, "for": f.ActingFor, "action": f.Action, "object": f.Object, "organization": string(f.Organization), "address": f.Address, "text": f.Text}
	for name, t := range map[string]time.Time{"from": f.From, "to": f.To} {
		if !t.IsZero() {
			m[name] = t.UTC().Format(time.RFC3339)
		}
	}
	maps.DeleteFunc(m, func(_, v string) bool { return v == "" })
	return m
}

// Row is an audit row with the names by which people know its actor and object.
type Row struct {
	ID            string
	Seq           int64 // 0: not chained yet
	At            time.Time
	Actor         string
	ActorName     string
	ActingFor     string
	ActingForName string
	Organization  account.OrganizationID
	Via           string
	Address       string
	Action        string
	Object        string
	ObjectName    string
	Detail        string // JSON
	Hash          string
	Previous      string            // hash of the row before it in the chain
	Redacted      bool              // the reader may not see where the actor sat: Hash covers an address that is left out
	Names         map[string]string // of the ids in Detail
}

// Page is one page of the log, the newest row first.
type Page struct {
	Rows     []Row
	Next     string    // cursor of the next page; empty after the last
	Searched time.Time // how far back a text was looked for, when the search stopped before the page was full
}

// Views reports whether the actor reads what others did: all of it, or that of the organizations they reach.
func Views(a desk.Actor) bool { return a.May(account.AuditView) }

// Exports reports whether the actor may take it along.
func Exports(a desk.Actor) bool { return Views(a) && a.May(account.AuditExport) }

// query turns a filter into what the store is asked, for what the actor may see. none means that a name in the
// filter is nobody's.
func (l *Log) query(tx store.Tx, a desk.Actor, f Filter) (q store.EntryFilter, none bool, err error) {
	q = store.EntryFilter{From: f.From, To: f.To, ActingFor: f.ActingFor, Action: f.Action, Before: f.Before}
	within := a.Within()
	switch {
	case Views(a) && f.Organization != "":
		o, err := tx.OrganizationByName(string(f.Organization))
		if errors.Is(err, store.ErrNotFound) {
			o, err = account.Organization{ID: f.Organization}, nil
		}
		if err != nil {
			return q, false, err
		}
		if within == nil || slices.Contains(within, o.ID) {
			within = []account.OrganizationID{o.ID}
		}
		fallthrough
	case Views(a):
		for _, o := range within {
			q.Organizations = append(q.Organizations, string(o))
		}
		if within != nil && len(within) == 0 {
			return q, true, nil
		}
	case f.Who != "" && f.Who != a.Ref():
		return q, true, nil
	default:
		q.Actors = []string{a.Ref()}
	}
	if f.Who != "" && q.Actors == nil {
		if q.Actors = []string{f.Who}; f.Who != "system" && !strings.Contains(f.Who, ":") {
			if q.Actors, err = tx.ActorsNamed(f.Who); err != nil {
				return q, false, err
			}
		}
		none = len(q.Actors) == 0
	}
	if f.Object != "" {
		if q.Objects = []string{f.Object}; !strings.Contains(f.Object, ":") {
			if q.Objects, err = tx.ObjectsNamed(f.Object); err != nil {
				return q, false, err
			}
		}
		none = none || len(q.Objects) == 0
	}
	return q, none, nil
}

func (f Filter) check(a desk.Actor) error {
	if a.Account == "" && !a.System {
		return desk.Fail(desk.ErrDenied)
	}
	for _, s := range []string{f.Who, f.ActingFor, f.Action, f.Object, string(f.Organization), f.Address, f.Text, f.Before} {
		if len([]rune(s)) > maxText || strings.ContainsRune(s, 0) {
			return desk.Fail(desk.ErrInvalid)
		}
	}
	return nil
}

// List lists the log, the newest row first: of the organizations that the actor reaches with the right to read
// it, else what they did themselves. That somebody reads what others did is an entry of its own, once an
// hour for each filter.
func (l *Log) List(ctx context.Context, a desk.Actor, f Filter) (p Page, err error) {
	if err := f.check(a); err != nil {
		return p, err
	}
	if f.Limit < 1 || f.Limit > maxPage {
		f.Limit = 100
	}
	matches := f.matcher()
	err = l.o.Read(ctx, func(tx store.Tx) error {
		p = Page{}
		q, none, err := l.query(tx, a, f)
		if err != nil || none {
			return err
		}
		if matches == nil {
			q.Limit = f.Limit + 1
			rows, err := tx.Entries(q)
			if err != nil {
				return err
			}
			if len(rows) > f.Limit {
				rows = rows[:f.Limit]
				p.Next = rows[f.Limit-1].ID
			}
			p.Rows = rowsOf(rows)
			return l.finishRows(tx, a, p.Rows)
		}
		q.Limit = exportStep
		for seen := 0; seen < maxSearch; seen += exportStep {
			rows, err := tx.Entries(q)
			if err != nil {
				return err
			}
			for _, r := range rowsOf(rows) {
				if !matches(r) {
					continue
				}
				if len(p.Rows) == f.Limit {
					p.Next = p.Rows[f.Limit-1].ID
					return l.finishRows(tx, a, p.Rows)
				}
				p.Rows = append(p.Rows, r)
			}
			if len(rows) < exportStep {
				return l.finishRows(tx, a, p.Rows)
			}
			last := rows[len(rows)-1]
			q.Before = last.ID
			p.Next, p.Searched = last.ID, last.At
		}
		return l.finishRows(tx, a, p.Rows)
	})
	if err != nil {
		return p, err
	}
	if len(p.Rows) == f.Limit {
		p.Searched = time.Time{}
	}
	return p, l.watched(ctx, a, f)
}

// matcher tells which rows hold the filter's text and address; nil when it has neither.
func (f Filter) matcher() func(Row) bool {
	text, address := strings.ToLower(strings.TrimSpace(f.Text)), strings.ToLower(strings.TrimSpace(f.Address))
	if text == "" && address == "" {
		return nil
	}
	actions := map[string]bool{}
	if text != "" {
		p := catalogue.For(f.Language)
		for _, action := range Actions {
			actions[action] = strings.Contains(strings.ToLower(Words(p, action)), text)
		}
	}
	return func(r Row) bool {
		if address != "" && !strings.HasPrefix(strings.ToLower(r.Address), address) {
			return false
		}
		if text == "" || actions[r.Action] {
			return true
		}
		for _, s := range []string{r.ActorName, r.ActingForName, r.ObjectName, r.Detail, r.Address, r.Action} {
			if strings.Contains(strings.ToLower(s), text) {
				return true
			}
		}
		return false
	}
}

func rowsOf(list []store.NamedEntry) []Row {
	rows := make([]Row, 0, len(list))
	for _, e := range list {
		rows = append(rows, Row{ID: e.ID, Seq: e.Seq, At: e.At, Actor: e.Actor, ActorName: e.ActorName, ActingFor: e.ActingFor, ActingForName: e.ActingForName, Organization: e.Organization,
			Via: e.Via, Address: e.Address, Action: e.Action, Object: e.Object, ObjectName: e.ObjectName, Detail: e.Detail, Hash: e.Hash, Previous: e.Previous})
	}
	return rows
}

// finishRows adds the names of what the details name, and hides from customers where the provider's people sit.
func (l *Log) finishRows(tx store.Tx, a desk.Actor, rows []Row) error {
	var ids []string
	for i := range rows {
		ids = append(append(ids, refsIn(rows[i].Detail)...), "organization:"+string(rows[i].Organization))
	}
	slices.Sort(ids)
	names, err := tx.AuditNames(slices.Compact(ids))
	if err != nil {
		return err
	}
	theirs := map[string]bool{}
	for i := range rows {
		r := &rows[i]
		r.Names = names
		if a.Within() == nil || r.Address == "" || !strings.HasPrefix(r.Actor, "account:") || r.Actor == a.Ref() {
			continue
		}
		own, known := theirs[r.Actor]
		if !known {
			of, err := tx.OrganizationOf(r.Actor)
			own = err == nil && a.Reach.Has(of)
			theirs[r.Actor] = own
		}
		if !own {
			r.Address, r.Redacted = "", true
		}
	}
	return nil
}

// watched records that somebody reads what others did, unless that was recorded within the hour.
func (l *Log) watched(ctx context.Context, a desk.Actor, f Filter) error {
	if !Views(a) || a.System {
		return nil
	}
	b, err := json.Marshal(f.words())
	if err != nil {
		return err
	}
	fresh := func(tx store.Tx, now time.Time) (bool, error) {
		rows, err := tx.Entries(store.EntryFilter{Actors: []string{a.Ref()}, Action: ActionViewed, From: now.Add(-watchEvery), Limit: maxPage})
		return !slices.ContainsFunc(rows, func(e store.NamedEntry) bool { return e.Detail == string(b) && now.Sub(e.At) < watchEvery }), err
	}
	first := false
	if err := l.o.Read(ctx, func(tx store.Tx) error { first, err = fresh(tx, l.o.Time()); return err }); err != nil || !first {
		return err
	}
	return l.o.Change(ctx, a, func(c *desk.Change) error {
		if first, err := fresh(c.Tx, c.Now); err != nil || !first {
			return err
		}
		return c.Record(ActionViewed, subject(a), "", f.words())
	})
}

// subject is whose log somebody reads.
func subject(a desk.Actor) string {
	if a.Within() == nil {
		return "log:all"
	}
	return "organization:" + string(a.Organization)
}

// Export gives each row that the filter chooses to f, the oldest first, and holds few of them in memory. Rows that
// are written meanwhile are left out. The export is an entry itself, written before the first row is given
// away. format is how the edge writes it: "csv" or "json".
func (l *Log) Export(ctx context.Context, a desk.Actor, f Filter, format string, each func(Row) error) error {
	if err := f.check(a); err != nil {
		return err
	}
	if !Exports(a) {
		return desk.Fail(desk.ErrDenied)
	}
	until := l.o.Time()
	if err := l.o.Change(ctx, a, func(c *desk.Change) error {
		detail := f.words()
		detail["format"] = format
		return c.Record(ActionExported, subject(a), "", detail)
	}); err != nil {
		return err
	}
	if f.To.IsZero() || f.To.After(until) {
		f.To = until
	}
	f.Before = ""
	matches := f.matcher()
	after := ""
	for {
		var rows []Row
		more := false
		if err := l.o.Read(ctx, func(tx store.Tx) error {
			rows = nil
			q, none, err := l.query(tx, a, f)
			if err != nil || none {
				return err
			}
			q.Oldest, q.After, q.Limit = true, after, exportStep
			list, err := tx.Entries(q)
			if err != nil {
				return err
			}
			rows, more = rowsOf(list), len(list) == exportStep
			return l.finishRows(tx, a, rows)
		}); err != nil {
			return err
		}
		for _, r := range rows {
			if matches != nil && !matches(r) {
				continue
			}
			if err := each(r); err != nil {
				return err
			}
		}
		if !more {
			return nil
		}
		after = rows[len(rows)-1].ID
	}
}
