// Package sla computes working time: calendars with a time zone, weekly hours and holidays; the budgets that
// a contract promises per severity; when a ticket's answers and its solution are due; and who is on duty.
//
// It is pure and keeps nothing: due times follow from a ticket's log each time they are asked for, so that a
// corrected log, calendar or contract corrects them too. The desk stores the result beside the ticket for lists.
//
// Working time is counted on the wall clock of the calendar's zone. A night shift from 22:00 to 6:00 is eight
// hours in every night of the year: the hour that summer time leaves out counts as worked, the one that it
// repeats counts once. A calendar that is always open counts elapsed time instead: two hours are two hours.
package sla

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
	_ "time/tzdata" // contracts name zones on servers without zone files, too
	"unicode/utf8"
)

// Errors of this package. Each is a sentence that a person can be shown.
var (
	ErrZone     = errors.New("the time zone is unknown; write it like Europe/Rome")
	ErrHours    = errors.New("weekly hours go from 00:00 to 24:00; at least one interval is needed, and none may be empty")
	ErrHolidays = errors.New("a calendar takes at most 400 holidays, each a date of its own")
	ErrName     = errors.New("a name is needed, at most 200 characters")
	ErrTargets  = errors.New("times are between 1 minute and 366 days, and the solution comes after the first answer")
	ErrDuty     = errors.New("a duty plan takes at most 200 shifts and 400 exceptions, each with a person and a time")
)

// Bounds of a calendar.
const (
	maxIntervals = 100
	maxHolidays  = 400
	maxBudget    = 366 * 24 * time.Hour
	maxDays      = 40 * 366 // after which a search for working time gives up
	dayMinutes   = 24 * 60
)

// Interval is a stretch of weekly hours in minutes after midnight. To is at most 1440; when it is not after
// From, the interval passes midnight and ends on the next day.
type Interval struct {
	Day  time.Weekday `json:"day"`
	From int          `json:"from"`
	To   int          `json:"to"`
}

// Holiday is a day without working time.
type Holiday struct {
	Month time.Month `json:"month"`
	Day   int        `json:"day"`
	Year  int        `json:"year,omitempty"` // 0: every year
	Name  string     `json:"name,omitempty"`
}

// Calendar says when work is done.
type Calendar struct {
	Name     string     `json:"name"`
	Zone     string     `json:"zone"` // IANA
	Always   bool       `json:"always,omitempty"`
	Week     []Interval `json:"week,omitempty"`
	Holidays []Holiday  `json:"holidays,omitempty"`
}

// Always is the calendar that never closes.
var Always = Calendar{Name: "24×7", Zone: "UTC", Always: true}

// Check reports why c can't be used.
func (c Calendar) Check() error {
	if c.Name == "" || !utf8.ValidString(c.Name) || utf8.RuneCountInString(c.Name) > 200 {
		return ErrName
	}
	if c.Zone == "" || c.Zone == "Local" || len(c.Zone) > 64 {
		return ErrZone
	}
	if _, err := time.LoadLocation(c.Zone); err != nil {
		return ErrZone
	}
	if !c.Always && len(c.Week) == 0 || len(c.Week) > maxIntervals {
		return ErrHours
	}
	for _, i := range c.Week {
		if i.Day < time.Sunday || i.Day > time.Saturday || i.From < 0 || i.From >= dayMinutes || i.To < 0 || i.To > dayMinutes || i.To == i.From {
			return ErrHours
		}
	}
	if len(c.Holidays) > maxHolidays {
		return ErrHolidays
	}
	seen := map[Holiday]bool{}
	for _, h := range c.Holidays {
		year := h.Year
		if year == 0 {
			year = 2024 // a leap year: 29 February may be a yearly holiday
		}
		d := time.Date(year, h.Month, h.Day, 0, 0, 0, 0, time.UTC)
		if h.Year < 0 || h.Year > 9999 || d.Month() != h.Month || d.Day() != h.Day || utf8.RuneCountInString(h.Name) > 200 {
			return ErrHolidays
		}
		h.Name = ""
		if seen[h] {
			return ErrHolidays
		}
		seen[h] = true
	}
	return nil
}

// Hours is a calendar made ready for counting.
type Hours struct {
	loc    *time.Location
	always bool
	week   [7][]stretch // by weekday, sorted, without overlaps
	off    map[Holiday]bool
}

// stretch is working time of one day, in time after its midnight.
type stretch struct{ from, to time.Duration }

// Hours makes the calendar ready; its errors are those of Check.
func (c Calendar) Hours() (*Hours, error) {
	if err := c.Check(); err != nil {
		return nil, err
	}
	loc, err := time.LoadLocation(c.Zone)
	if err != nil {
		return nil, ErrZone
	}
	h := &Hours{loc: loc, always: c.Always, off: map[Holiday]bool{}}
	add := func(d time.Weekday, from, to int) {
		h.week[d] = append(h.week[d], stretch{time.Duration(from) * time.Minute, time.Duration(to) * time.Minute})
	}
	for _, i := range c.Week {
		if i.To > i.From {
			add(i.Day, i.From, i.To)
			continue
		}
		add(i.Day, i.From, dayMinutes)
		if i.To > 0 {
			add((i.Day+1)%7, 0, i.To)
		}
	}
	for d := range h.week {
		h.week[d] = union(h.week[d])
	}
	for _, y := range c.Holidays {
		h.off[Holiday{Month: y.Month, Day: y.Day, Year: y.Year}] = true
	}
	return h, nil
}

func union(list []stretch) []stretch {
	slices.SortFunc(list, func(a, b stretch) int { return int(a.from - b.from) })
	var out []stretch
	for _, s := range list {
		if n := len(out); n > 0 && s.from <= out[n-1].to {
			out[n-1].to = max(out[n-1].to, s.to)
			continue
		}
		out = append(out, s)
	}
	return out
}

// day is the working time of the date whose midnight on the wall is d.
func (h *Hours) day(d time.Time) []stretch {
	y, m, n := d.Date()
	if h.off[Holiday{Month: m, Day: n}] || h.off[Holiday{Month: m, Day: n, Year: y}] {
		return nil
	}
	return h.week[d.Weekday()]
}

// wall is what the zone's clock shows at t, written as a UTC time. It never goes back: while a clock that
// was set back repeats an hour, it stands.
func (h *Hours) wall(t time.Time) time.Time {
	t = t.In(h.loc)
	_, offset := t.Zone()
	w := naive(t, offset)
	start, _ := t.ZoneBounds()
	if start.IsZero() {
		return w
	}
	_, before := start.Add(-time.Nanosecond).Zone()
	if turn := naive(start, before); turn.After(w) {
		return turn
	}
	return w
}

func naive(t time.Time, offset int) time.Time {
	return t.UTC().Add(time.Duration(offset) * time.Second)
}

// instant is the first moment at which the wall shows w or more.
func (h *Hours) instant(w time.Time) time.Time {
	guess := time.Date(w.Year(), w.Month(), w.Day(), w.Hour(), w.Minute(), w.Second(), w.Nanosecond(), h.loc)
	start, end := guess.ZoneBounds()
	var list []time.Time
	from := func(t time.Time) {
		_, offset := t.In(h.loc).Zone()
		list = append(list, w.Add(-time.Duration(offset)*time.Second))
	}
	from(guess)
	if !start.IsZero() {
		list = append(list, start)
		from(start.Add(-time.Nanosecond))
	}
	if !end.IsZero() {
		list = append(list, end)
		from(end)
	}
	slices.SortFunc(list, time.Time.Compare)
	for _, t := range list {
		if !h.wall(t).Before(w) {
			return t.UTC()
		}
	}
	return guess.UTC()
}

func midnight(w time.Time) time.Time {
	return time.Date(w.Year(), w.Month(), w.Day(), 0, 0, 0, 0, time.UTC)
}

// Between is the working time from a to b; nothing when b is not after a.
func (h *Hours) Between(a, b time.Time) time.Duration {
	if !b.After(a) {
		return 0
	}
	if h.always {
		return b.Sub(a)
	}
	from, to := h.wall(a), h.wall(b)
	var sum time.Duration
	n := 0
	for d := midnight(from); d.Before(to) && n < maxDays; d, n = d.AddDate(0, 0, 1), n+1 {
		for _, s := range h.day(d) {
			start, end := d.Add(s.from), d.Add(s.to)
			if start.Before(from) {
				start = from
			}
			if end.After(to) {
				end = to
			}
			if end.After(start) {
				sum += end.Sub(start)
			}
		}
	}
	return sum
}

// Add is when a budget of working time that starts at a is used up. Used up at the end of a working day is
// that end, not the next morning. It is the zero time when the calendar has no such time within 40 years.
func (h *Hours) Add(a time.Time, budget time.Duration) time.Time {
	if h.always {
		return a.Add(max(budget, 0)).UTC()
	}
	from := h.wall(a)
	n := 0
	for d := midnight(from); n < maxDays; d, n = d.AddDate(0, 0, 1), n+1 {
		for _, s := range h.day(d) {
			start, end := d.Add(s.from), d.Add(s.to)
			if start.Before(from) {
				start = from
			}
			if !end.After(start) {
				continue
			}
			if left := end.Sub(start); budget > left {
				budget -= left
				continue
			}
			if budget <= 0 {
				if start.Equal(from) {
					return a.UTC()
				}
				return h.instant(start)
			}
			return h.instant(start.Add(budget))
		}
	}
	return time.Time{}
}

// Open reports whether work is done at t.
func (h *Hours) Open(t time.Time) bool {
	if h.always {
		return true
	}
	w := h.wall(t)
	d := midnight(w)
	for _, s := range h.day(d) {
		if at := w.Sub(d); at >= s.from && at < s.to {
			return true
		}
	}
	return false
}

// Days is the moment at which n working days after the day of a have passed: the end of the n-th day with
// working time. Time for which a person may take their own, as until a ticket closes by itself, is counted so.
func (h *Hours) Days(a time.Time, n int) time.Time {
	from := h.wall(a)
	d := midnight(from)
	for range maxDays {
		d = d.AddDate(0, 0, 1)
		if len(h.day(d)) == 0 && !h.always {
			continue
		}
		if n--; n <= 0 {
			end := 24 * time.Hour
			if day := h.day(d); !h.always {
				end = day[len(day)-1].to
			}
			return h.instant(d.Add(end))
		}
	}
	return time.Time{}
}

// Location is the calendar's zone.
func (h *Hours) Location() *time.Location { return h.loc }

// ParseClock reads "08:30" as minutes after midnight; "24:00" is the end of the day.
func ParseClock(s string) (int, error) {
	h, m, ok := strings.Cut(s, ":")
	hour, err1 := strconv.ParseUint(h, 10, 8)
	minute, err2 := strconv.ParseUint(m, 10, 8)
	if !ok || err1 != nil || err2 != nil || len(m) != 2 || minute > 59 || hour > 24 || hour == 24 && minute > 0 {
		return 0, ErrHours
	}
	return int(hour*60 + minute), nil
}

// Clock writes minutes after midnight as "08:30".
func Clock(minutes int) string { return fmt.Sprintf("%02d:%02d", minutes/60, minutes%60) }
