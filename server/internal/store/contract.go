package store

import (
	"encoding/json"
	"errors"
	"time"

	"github.com/traybell/traybell/server/internal/account"
	"github.com/traybell/traybell/server/internal/ticket"
	"github.com/traybell/traybell/server/internal/ticket/sla"
)

const calendars = `select id, body, version from calendars order by id`

// Calendars lists the calendars in the order in which they were made.
func (t Tx) Calendars() ([]ticket.Calendar, error) {
	return all(t, func(r row) (c ticket.Calendar, err error) {
		var body string
		if err := r.Scan(&c.ID, &body, &c.Version); err != nil {
			return c, err
		}
		return c, decode("calendar "+c.ID, body, &c.Calendar)
	}, calendars)
}

const (
	insertCalendar = `insert into calendars (id, body, version) values ($1, $2, 1)`
	updateCalendar = `update calendars set body = $1, version = version + 1 where id = $2 and version = $3`
)

// SaveCalendar stores a calendar as SaveQueue stores a queue.
func (t Tx) SaveCalendar(c ticket.Calendar) error {
	if c.Version == 0 {
		_, err := t.exec(insertCalendar, c.ID, jsonText(c.Calendar))
		return err
	}
	return t.change(updateCalendar, jsonText(c.Calendar), c.ID, c.Version)
}

const contracts = `select c.id, c.name, c.calendar_id, k.body, c.targets, c.always_critical, c.standard, c.version from contracts c join calendars k on k.id = c.calendar_id`

func scanContract(r row) (c ticket.Contract, err error) {
	var body, targets string
	if err := r.Scan(&c.ID, &c.Name, &c.CalendarID, &body, &targets, &c.AlwaysCritical, &c.Standard, &c.Version); err != nil {
		return c, err
	}
	if err := decode("calendar "+c.CalendarID, body, &c.Calendar); err != nil {
		return c, err
	}
	return c, decode("targets of contract "+c.ID, targets, &c.Targets)
}

// Contracts lists the contracts by name.
func (t Tx) Contracts() ([]ticket.Contract, error) {
	return all(t, scanContract, contracts+` order by lower(c.name), c.id`)
}

const (
	contractOf       = contracts + ` join organization_contracts o on o.contract_id = c.id where o.organization_id = $1`
	standardContract = contracts + ` where c.standard`
)

// ContractOf is the contract that counts for an organization: its own, else the standard one, else ErrNotFound.
func (t Tx) ContractOf(o account.OrganizationID) (ticket.Contract, error) {
	c, err := one(t, scanContract, contractOf, o)
	if errors.Is(err, ErrNotFound) {
		return one(t, scanContract, standardContract)
	}
	return c, err
}

const (
	insertContract = `insert into contracts (id, name, calendar_id, targets, always_critical, standard, version) values ($1, $2, $3, $4, $5, $6, 1)`
	updateContract = `update contracts set name = $1, calendar_id = $2, targets = $3, always_critical = $4, standard = $5, version = version + 1 where id = $6 and version = $7`
	otherStandards = `update contracts set standard = $1, version = version + 1 where standard and id <> $2`
)

// SaveContract stores a contract as SaveQueue stores a queue. One contract at most is the standard.
func (t Tx) SaveContract(c ticket.Contract) error {
	if c.Standard {
		if _, err := t.exec(otherStandards, false, c.ID); err != nil {
			return err
		}
	}
	if c.Version == 0 {
		_, err := t.exec(insertContract, c.ID, c.Name, c.CalendarID, jsonText(c.Targets), c.AlwaysCritical, c.Standard)
		return err
	}
	return t.change(updateContract, c.Name, c.CalendarID, jsonText(c.Targets), c.AlwaysCritical, c.Standard, c.ID, c.Version)
}

const (
	setContract      = `insert into organization_contracts (organization_id, contract_id) values ($1, $2) on conflict (organization_id) do update set contract_id = excluded.contract_id`
	dropContract     = `delete from organization_contracts where organization_id = $1`
	contractsOfAll   = `select organization_id, contract_id from organization_contracts`
	liveOrganization = `select id from tickets where organization_id = $1 and status <> 'closed' order by updated_at`
)

// SetContract gives an organization a contract of its own; an empty id returns it to the standard.
func (t Tx) SetContract(o account.OrganizationID, contract string) error {
	if contract == "" {
		_, err := t.exec(dropContract, o)
		return err
	}
	_, err := t.exec(setContract, o, contract)
	return err
}

// OrganizationContracts maps the organizations that have a contract of their own to its id.
func (t Tx) OrganizationContracts() (map[account.OrganizationID]string, error) {
	type pair struct {
		o account.OrganizationID
		c string
	}
	list, err := all(t, func(r row) (p pair, err error) { return p, r.Scan(&p.o, &p.c) }, contractsOfAll)
	m := map[account.OrganizationID]string{}
	for _, p := range list {
		m[p.o] = p.c
	}
	return m, err
}

// LiveTickets lists an organization's tickets that are not closed.
func (t Tx) LiveTickets(o account.OrganizationID) ([]ticket.ID, error) {
	return all(t, func(r row) (id ticket.ID, err error) { return id, r.Scan(&id) }, liveOrganization, o)
}

const (
	duty     = `select plan, version from duties where scope = $1`
	allDuty  = `select scope, plan, version from duties order by scope`
	saveDuty = `insert into duties (scope, plan, version) values ($1, $2, 1) on conflict (scope) do update set plan = excluded.plan, version = duties.version + 1`
)

// Duty is the duty plan of a scope: "org:ID", "que:ID" or "all"; ErrNotFound when it has none.
func (t Tx) Duty(scope string) (p sla.Plan, err error) {
	s, err := one(t, func(r row) (s string, err error) {
		var version int64
		return s, r.Scan(&s, &version)
	}, duty, scope)
	if err != nil {
		return p, err
	}
	return p, decode("duty plan of "+scope, s, &p)
}

// Duties maps every scope that has a duty plan to it.
func (t Tx) Duties() (map[string]sla.Plan, error) {
	type entry struct{ scope, plan string }
	list, err := all(t, func(r row) (e entry, err error) {
		var version int64
		return e, r.Scan(&e.scope, &e.plan, &version)
	}, allDuty)
	m := map[string]sla.Plan{}
	for _, e := range list {
		var p sla.Plan
		if err := json.Unmarshal([]byte(e.plan), &p); err != nil {
			return nil, err
		}
		m[e.scope] = p
	}
	return m, err
}

// SaveDuty stores a scope's duty plan.
func (t Tx) SaveDuty(scope string, p sla.Plan) error {
	_, err := t.exec(saveDuty, scope, jsonText(p))
	return err
}

const (
	rangAlarm = `select count(*) from alarms where ticket_id = $1 and clock = $2 and percent = $3 and arm = $4`
	ringAlarm = `insert into alarms (ticket_id, clock, percent, arm, at) values ($1, $2, $3, $4, $5) on conflict (ticket_id, clock, percent, arm) do nothing`
)

// RingAlarm notes that an alarm has rung and reports whether it is the first time.
func (t Tx) RingAlarm(id ticket.ID, a sla.Alarm, now time.Time) (bool, error) {
	n, err := t.exec(ringAlarm, id, a.Clock, a.Percent, a.Arm, micros(now))
	return n == 1, err
}

// AlarmRang reports whether an alarm has rung.
func (t Tx) AlarmRang(id ticket.ID, a sla.Alarm) (bool, error) {
	n, err := one(t, scanInt, rangAlarm, id, a.Clock, a.Percent, a.Arm)
	return n > 0, err
}
