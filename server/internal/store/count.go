package store

import (
	"slices"
	"strings"
	"time"

	"github.com/traybell/traybell/server/internal/account"
	"github.com/traybell/traybell/server/internal/ticket"
)

// countShards spread the counters of busy scopes, so that writers on PostgreSQL do not wait for each other's
// rows. A ticket always counts in the same shard.
const countShards = 8

// counted is what a ticket is counted by.
type counted struct {
	number       int64
	organization account.OrganizationID
	requester    account.ID
	assignee     account.ID
	queue        ticket.QueueID
	status       ticket.Status // empty: there is no ticket
}

func countedOf(k ticket.Ticket) counted {
	return counted{k.Number, k.Organization, k.Requester.Account, k.Assignee, k.Queue, k.Status}
}

const ticketCounted = `select number, organization_id, requester_account, assignee, queue_id, status from tickets where id = $1`

func scanCounted(r row) (c counted, err error) {
	return c, r.Scan(&c.number, &c.organization, &c.requester, &c.assignee, &c.queue, &c.status)
}

func (c counted) scopes() []string {
	if c.status == "" {
		return nil
	}
	list := []string{"all", "org:" + string(c.organization), "asg:" + string(c.assignee), "que:" + string(c.queue)}
	if c.requester != "" {
		list = append(list, "req:"+string(c.requester))
	}
	return list
}

const countTicket = `insert into ticket_counts (scope, status, shard, n) values ($1, $2, $3, $4) on conflict (scope, status, shard) do update set n = ticket_counts.n + excluded.n`

// countTicket moves a ticket from one set of counters to another. Rows are always touched in the same order, so
// that two transactions can't wait for each other.
func (t Tx) countTicket(from, to counted) error {
	type cell struct{ scope, status string }
	delta := map[cell]int{}
	for _, s := range from.scopes() {
		delta[cell{s, string(from.status)}]--
	}
	for _, s := range to.scopes() {
		delta[cell{s, string(to.status)}]++
	}
	var cells []cell
	for c, n := range delta {
		if n != 0 {
			cells = append(cells, c)
		}
	}
	slices.SortFunc(cells, func(a, b cell) int { return strings.Compare(a.scope+" "+a.status, b.scope+" "+b.status) })
	for _, c := range cells {
		if _, err := t.exec(countTicket, c.scope, c.status, max(from.number, to.number)%countShards, delta[c]); err != nil {
			return err
		}
	}
	return nil
}

// countAtMost is how many tickets are counted one by one; beyond it a list says "more than".
const (
	countAtMost   = 1000
	countSearched = 200 // of a search
)

type statusCount struct {
	status ticket.Status
	n      int
}

func scanStatusCount(r row) (c statusCount, err error) { return c, r.Scan(&c.status, &c.n) }

// TicketCounts counts the tickets that f chooses by their status, without regard to f.Status. Where f asks for
// one property only the counters answer; everything else is counted up to a bound, and more tells that there are
// further ones.
func (t Tx) TicketCounts(f TicketFilter) (counts map[ticket.Status]int, more bool, err error) {
	f.Status, f.Sort = "", ""
	var list []statusCount
	bound := countAtMost
	if scopes := f.counters(); scopes != nil {
		w := &where{}
		w.in("scope", scopes)
		list, err = all(t, scanStatusCount, `select status, cast(sum(n) as bigint) from ticket_counts`+w.String()+` group by status`, w.args...)
	} else {
		from, w, number := t.ticketFrom(f)
		if number != "" {
			bound = countSearched
		}
		list, err = all(t, scanStatusCount, `select status, count(*) from (select t.status `+from+w.String()+` limit `+w.next(bound+1)+`) c group by status`, w.args...)
	}
	counts = map[ticket.Status]int{}
	sum := 0
	for _, c := range list {
		if c.n > 0 && !(f.Live && c.status == ticket.Closed) {
			counts[c.status] = c.n
		}
		sum += c.n
	}
	return counts, f.counters() == nil && sum > bound, err
}

// counters are the scopes whose counters answer f, or nil.
func (f TicketFilter) counters() []string {
	asked, scopes := 0, []string(nil)
	add := func(set bool, s string) {
		if set {
			asked, scopes = asked+1, append(scopes, s)
		}
	}
	add(f.Organization != "", "org:"+string(f.Organization))
	add(f.Requester != "", "req:"+string(f.Requester))
	add(f.Queue == NoQueue, "que:")
	add(f.Queue != "" && f.Queue != NoQueue, "que:"+string(f.Queue))
	add(f.Assignee == NoAssignee, "asg:")
	add(f.Assignee != "" && f.Assignee != NoAssignee, "asg:"+string(f.Assignee))
	other := f.Device != "" || f.OSUserID != "" || f.Category != "" || f.Severity != "" || f.Held || !f.Overdue.IsZero() || strings.TrimSpace(f.Query) != "" || f.Before > 0 ||
		!f.Since.IsZero() || !f.Until.IsZero()
	if other || asked > 1 {
		return nil
	}
	switch {
	case f.Sight == nil || f.Sight.All && f.Sight.Within == nil && len(f.Sight.Queues) == 0:
		if asked == 0 {
			return []string{"all"}
		}
		return scopes
	case asked > 0 || len(f.Sight.Queues) > 0:
		return nil
	case !f.Sight.All && !f.Sight.Assigned && f.Sight.Account != "":
		return []string{"req:" + string(f.Sight.Account)}
	case f.Sight.All && len(f.Sight.Within) == 1:
		return []string{"org:" + string(f.Sight.Within[0])} // where their own tickets are, too
	}
	return nil
}

const severityCounts = `select severity, count(*) from (select severity from tickets where organization_id = $1 and created_at >= $2 order by number desc limit 500) c group by severity`

// SeverityCounts counts an organization's tickets since a time by severity, the newest 500 at most.
func (t Tx) SeverityCounts(o account.OrganizationID, since time.Time) (map[string]int, error) {
	list, err := all(t, scanStatusCount, severityCounts, o, micros(since))
	m := map[string]int{}
	for _, c := range list {
		m[string(c.status)] = c.n
	}
	return m, err
}
