// Command tickets measures the store with very many tickets: the views of the list, the counts beside its tabs,
// and newest-first search, on SQLite or PostgreSQL. It fills an empty database first, with texts made of a
// vocabulary whose words are as unevenly common as in life.
//
//	go run ./bench/tickets -data DIR [-database postgres://…] [-n 1000000] [-rounds 300]
package main

import (
	"context"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/traybell/traybell/server/internal/account"
	"github.com/traybell/traybell/server/internal/store"
	"github.com/traybell/traybell/server/internal/ticket"
	"github.com/traybell/traybell/shared/api"
)

const (
	organizations = 200
	people        = 4000
	technicians   = 20
	queues        = 8
	liveShare     = 0.02 // of all tickets
)

func main() {
	data := flag.String("data", "", "folder of the database")
	database := flag.String("database", "", "postgres://…; default: SQLite in -data")
	n := flag.Int("n", 1_000_000, "tickets")
	rounds := flag.Int("rounds", 300, "repetitions of each question")
	flag.Parse()
	if err := run(context.Background(), *data, *database, *n, *rounds); err != nil {
		fmt.Fprintln(os.Stderr, "tickets:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, data, database string, n, rounds int) error {
	if data == "" && database == "" {
		return fmt.Errorf("-data or -database is needed")
	}
	s, err := store.Open(ctx, store.Options{Data: data, DatabaseURL: database})
	if err != nil {
		return err
	}
	defer s.Close()
	b := &bench{s: s, r: rand.New(rand.NewPCG(1, 2))}
	for i := range 5000 {
		b.words = append(b.words, word(i))
	}
	have := 0
	if err := s.Read(ctx, func(tx store.Tx) error {
		counts, _, err := tx.TicketCounts(store.TicketFilter{})
		for _, c := range counts {
			have += c
		}
		return err
	}); err != nil {
		return err
	}
	if have == 0 {
		if err := b.people(ctx); err != nil {
			return err
		}
	}
	start := time.Now()
	if err := b.fill(ctx, have, n); err != nil {
		return err
	}
	if n > have {
		fmt.Printf("%s: filled %d tickets in %s (%.2f ms each)\n", s.Engine(), n-have, time.Since(start).Round(time.Second), time.Since(start).Seconds()*1000/float64(n-have))
	}
	return b.measure(ctx, rounds)
}

type bench struct {
	s     *store.Store
	r     *rand.Rand
	words []string
}

// word makes the i-th word of the vocabulary.
func word(i int) string {
	syllables := []string{"ka", "lo", "mi", "ter", "pri", "nos", "ba", "dru", "ven", "sol", "ge", "ran", "tu", "fel", "zo", "wi"}
	var b strings.Builder
	for n := i + 16; n > 0; n /= 16 {
		b.WriteString(syllables[n%16])
	}
	return b.String()
}

// text is n words, common ones far more often than rare ones.
func (b *bench) text(n int) string {
	list := make([]string, n)
	for i := range list {
		list[i] = b.words[int(float64(len(b.words))*b.r.Float64()*b.r.Float64()*b.r.Float64())]
	}
	return strings.Join(list, " ")
}

func (b *bench) people(ctx context.Context) error {
	now := time.Now()
	return b.s.Write(ctx, func(tx store.Tx) error {
		for i := range organizations {
			if err := tx.InsertOrganization(account.Organization{ID: org(i), Name: fmt.Sprintf("Customer %03d", i), Provider: i == 0, CreatedAt: now}); err != nil {
				return err
			}
		}
		for i := range people + technicians {
			a := account.Account{ID: person(i), Organization: org(i % organizations), Email: fmt.Sprintf("p%d@example.com", i), Name: fmt.Sprintf("Person %d", i), Language: "en", Role: account.Requester, CreatedAt: now}
			if i >= people {
				a.Organization, a.Role = org(0), account.Technician
			}
			if err := tx.InsertAccount(a); err != nil {
				return err
			}
		}
		for i := range queues {
			if err := tx.SaveQueue(ticket.Queue{ID: queue(i), Name: fmt.Sprintf("Queue %d", i)}); err != nil {
				return err
			}
		}
		return nil
	})
}

func org(i int) account.OrganizationID { return account.OrganizationID(fmt.Sprintf("o%03d", i)) }
func person(i int) account.ID          { return account.ID(fmt.Sprintf("a%05d", i)) }
func queue(i int) ticket.QueueID       { return ticket.QueueID(fmt.Sprintf("q%d", i)) }

func (b *bench) fill(ctx context.Context, have, n int) error {
	begin := time.Now().Add(-3 * 365 * 24 * time.Hour)
	for have < n {
		batch := min(2000, n-have)
		if err := b.s.Write(ctx, func(tx store.Tx) error {
			for i := range batch {
				if err := b.one(tx, have+i, n, begin); err != nil {
					return err
				}
			}
			return nil
		}); err != nil {
			return err
		}
		have += batch
	}
	return nil
}

func (b *bench) one(tx store.Tx, i, n int, begin time.Time) error {
	number, err := tx.NextTicketNumber()
	if err != nil {
		return err
	}
	made := begin.Add(time.Duration(float64(i) / float64(n) * float64(3*365*24*time.Hour)))
	p := b.r.IntN(people)
	k := ticket.Ticket{ID: ticket.ID(api.NewID(made)), Number: number, Organization: org(p % organizations), OrganizationName: fmt.Sprintf("Customer %03d", p%organizations), Title: b.text(6), Text: b.text(40), Severity: api.Severities[b.r.IntN(4)],
		Requester: ticket.Contact{Account: person(p), Name: fmt.Sprintf("Person %d", p), Email: fmt.Sprintf("p%d@example.com", p), Confirmed: true}, Language: "en", Source: ticket.FromPortal,
		Status: ticket.Closed, Assignee: person(people + b.r.IntN(technicians)), Queue: queue(b.r.IntN(queues)), CreatedAt: made, UpdatedAt: made.Add(time.Hour), ResolvedAt: made.Add(time.Hour), ClosedAt: made.Add(time.Hour), Version: 1}
	if b.r.Float64() < liveShare {
		k.Status = ticket.Statuses[b.r.IntN(5)]
		k.ResolvedAt, k.ClosedAt = time.Time{}, time.Time{}
		if k.Status == ticket.New {
			k.Assignee = ""
		}
		k.Promise.Due = time.Now().Add(time.Duration(b.r.IntN(200)-50) * time.Hour)
	}
	k.Subject = "Help request from " + k.OrganizationName + " / " + k.Title
	if err := tx.InsertTicket(k, "h"); err != nil {
		return err
	}
	return tx.IndexTicket(k, nil)
}

// measure asks every question many times and prints how long its answers took.
func (b *bench) measure(ctx context.Context, rounds int) error {
	limited := func() *store.Sight { return &store.Sight{Account: person(b.r.IntN(people))} }
	questions := []struct {
		name string
		f    func() store.TicketFilter
	}{
		{"all, last changed first", func() store.TicketFilter { return store.TicketFilter{} }},
		{"open tickets", func() store.TicketFilter { return store.TicketFilter{Status: ticket.Open} }},
		{"closed tickets", func() store.TicketFilter { return store.TicketFilter{Status: ticket.Closed} }},
		{"a queue", func() store.TicketFilter { return store.TicketFilter{Queue: queue(b.r.IntN(queues)), Live: true} }},
		{"mine", func() store.TicketFilter {
			return store.TicketFilter{Assignee: person(people + b.r.IntN(technicians)), Live: true}
		}},
		{"nobody's", func() store.TicketFilter { return store.TicketFilter{Assignee: store.NoAssignee, Live: true} }},
		{"overdue", func() store.TicketFilter {
			return store.TicketFilter{Overdue: time.Now(), Sort: ticket.ByDue, Ascending: true}
		}},
		{"an organization", func() store.TicketFilter {
			return store.TicketFilter{Organization: org(b.r.IntN(organizations))}
		}},
		{"a requester's own", func() store.TicketFilter { return store.TicketFilter{Sight: limited()} }},
		{"page 40", func() store.TicketFilter { return store.TicketFilter{Offset: 39 * 50} }},
		{"search, a common word", func() store.TicketFilter {
			return store.TicketFilter{Query: b.words[b.r.IntN(5)], Internal: true, Sort: ticket.ByNumber}
		}},
		{"search, two words", func() store.TicketFilter {
			return store.TicketFilter{Query: b.words[b.r.IntN(50)] + " " + b.words[b.r.IntN(500)], Internal: true, Sort: ticket.ByNumber}
		}},
		{"search, a rare word", func() store.TicketFilter {
			return store.TicketFilter{Query: b.words[4900+b.r.IntN(100)], Internal: true, Sort: ticket.ByNumber}
		}},
		{"search, an organization's", func() store.TicketFilter {
			return store.TicketFilter{Query: b.words[b.r.IntN(50)], Organization: org(b.r.IntN(organizations)), Sort: ticket.ByNumber}
		}},
	}
	fmt.Printf("%-28s %10s %10s %10s %10s\n", b.s.Engine(), "rows p50", "rows p99", "counts p50", "counts p99")
	for _, q := range questions {
		var rows, counts []time.Duration
		for range rounds {
			f := q.f()
			if err := b.s.Read(ctx, func(tx store.Tx) error {
				t0 := time.Now()
				if _, err := tx.Tickets(f); err != nil {
					return err
				}
				rows = append(rows, time.Since(t0))
				f.Offset = 0
				t0 = time.Now()
				if _, _, err := tx.TicketCounts(f); err != nil {
					return err
				}
				counts = append(counts, time.Since(t0))
				return nil
			}); err != nil {
				return fmt.Errorf("%s: %w", q.name, err)
			}
		}
		fmt.Printf("%-28s %10s %10s %10s %10s\n", q.name, at(rows, 50), at(rows, 99), at(counts, 50), at(counts, 99))
	}
	return nil
}

func at(list []time.Duration, percent int) string {
	slices.Sort(list)
	return fmt.Sprintf("%.2f ms", list[min(len(list)-1, len(list)*percent/100)].Seconds()*1000)
}
