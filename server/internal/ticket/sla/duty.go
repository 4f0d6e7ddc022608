package sla

import (
	"slices"
	"time"

	"github.com/traybell/traybell/server/internal/account"
)

// Shift is a weekly stretch in which somebody is on duty.
type Shift struct {
	Interval
	Who account.ID `json:"who"`
}

// Exception replaces the weekly shifts between two moments: a swap, a holiday, an illness.
type Exception struct {
	From time.Time  `json:"from"`
	To   time.Time  `json:"to"`
	Who  account.ID `json:"who"`
}

// Plan says who is on duty for an organization or a queue.
type Plan struct {
	Zone       string      `json:"zone"`
	Shifts     []Shift     `json:"shifts,omitempty"`
	Exceptions []Exception `json:"exceptions,omitempty"`
	Fallback   account.ID  `json:"fallback,omitempty"` // when nobody else is
}

// Check reports why p can't be used.
func (p Plan) Check() error {
	if p.Zone == "" || p.Zone == "Local" || len(p.Zone) > 64 {
		return ErrZone
	}
	if _, err := time.LoadLocation(p.Zone); err != nil {
		return ErrZone
	}
	if len(p.Shifts) > 200 || len(p.Exceptions) > 400 {
		return ErrDuty
	}
	for _, s := range p.Shifts {
		if s.Who == "" || s.Day < time.Sunday || s.Day > time.Saturday || s.From < 0 || s.From >= dayMinutes || s.To < 0 || s.To > dayMinutes || s.From == s.To {
			return ErrDuty
		}
	}
	for _, e := range p.Exceptions {
		if e.Who == "" || !e.To.After(e.From) {
			return ErrDuty
		}
	}
	return nil
}

// OnDuty is who is on duty at t; planned is false when it is the fallback, and the id is empty when there is
// not even that. The latest exception that covers t wins over the weekly shifts, and the latest shift over earlier ones.
func (p Plan) OnDuty(t time.Time) (who account.ID, planned bool) {
	for _, e := range slices.Backward(p.Exceptions) {
		if !t.Before(e.From) && t.Before(e.To) {
			return e.Who, true
		}
	}
	loc, err := time.LoadLocation(p.Zone)
	if err != nil {
		return p.Fallback, false
	}
	w := t.In(loc)
	minute := w.Hour()*60 + w.Minute()
	for _, s := range slices.Backward(p.Shifts) {
		passes := s.To <= s.From
		today := w.Weekday() == s.Day && minute >= s.From && (passes || minute < s.To)
		overnight := passes && (s.Day+1)%7 == w.Weekday() && minute < s.To
		if today || overnight {
			return s.Who, true
		}
	}
	return p.Fallback, false
}

// Without is the plan after a person has left: their shifts and exceptions are gone.
func (p Plan) Without(who account.ID) Plan {
	p.Shifts = slices.DeleteFunc(slices.Clone(p.Shifts), func(s Shift) bool { return s.Who == who })
	p.Exceptions = slices.DeleteFunc(slices.Clone(p.Exceptions), func(e Exception) bool { return e.Who == who })
	if p.Fallback == who {
		p.Fallback = ""
	}
	return p
}
