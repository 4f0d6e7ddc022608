package web

import (
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"
	_ "time/tzdata" // the reader's zone must be known on servers without zone files, too
	"unicode"
	"unicode/utf8"

	"github.com/traybell/traybell/shared/catalogue"
)

// reader is who reads a page: their language, time zone and the present.
type reader struct {
	*catalogue.Printer
	zone *time.Location
	now  time.Time
}

// zoneOf is the zone that the reader's browser has told in a cookie, or the server's own.
func zoneOf(r *http.Request) *time.Location {
	c, err := r.Cookie("tz")
	if err != nil || len(c.Value) > 64 || strings.Contains(c.Value, "..") {
		return time.Local
	}
	name, err := url.QueryUnescape(c.Value)
	if err != nil {
		return time.Local
	}
	loc, err := time.LoadLocation(name)
	if err != nil {
		return time.Local
	}
	return loc
}

func (r reader) when(t time.Time) when {
	if t.IsZero() {
		return when{}
	}
	return when{ISO: t.UTC().Format(time.RFC3339), Text: r.date(t)}
}

// date is "today 14:38", "yesterday 17:20", "24 Nov" or "24 Nov 2025".
func (r reader) date(t time.Time) string {
	t = t.In(r.zone)
	clock := t.Format("15:04")
	switch r.daysAgo(t) {
	case 0:
		return r.T("web.date.today", "Time", clock)
	case 1:
		return r.T("web.date.yesterday", "Time", clock)
	}
	return r.day(t)
}

// moment is the time with its day unless that is today: for times that are near.
func (r reader) moment(t time.Time) string {
	t = t.In(r.zone)
	if r.daysAgo(t) == 0 {
		return t.Format("15:04")
	}
	return r.day(t) + " " + t.Format("15:04")
}

// day is "today", "yesterday", "24 Nov" or "24 Nov 2025".
func (r reader) day(t time.Time) string {
	t = t.In(r.zone)
	switch r.daysAgo(t) {
	case 0:
		return r.T("web.day.today")
	case 1:
		return r.T("web.day.yesterday")
	}
	month := r.T("web.month." + strconv.Itoa(int(t.Month())))
	if t.Year() == r.now.In(r.zone).Year() {
		return r.T("web.date.day", "Day", t.Day(), "Month", month)
	}
	return r.T("web.date.year", "Day", t.Day(), "Month", month, "Year", t.Year())
}

// daysAgo counts the midnights between t and the present, in the reader's zone.
func (r reader) daysAgo(t time.Time) int {
	now := r.now.In(r.zone)
	midnight := func(t time.Time) time.Time { return time.Date(t.Year(), t.Month(), t.Day(), 12, 0, 0, 0, time.UTC) }
	return int(midnight(now).Sub(midnight(t)).Hours() / 24)
}

// size is a number of bytes as people read it.
func (r reader) size(n int64) string {
	const unit = 1000
	switch {
	case n < unit:
		return fmt.Sprintf("%d B", n)
	case n < unit*unit:
		return fmt.Sprintf("%d kB", (n+unit/2)/unit)
	case n < unit*unit*unit:
		return r.decimal(float64(n)/unit/unit) + " MB"
	}
	return r.decimal(float64(n)/unit/unit/unit) + " GB"
}

// gigabytes is an amount of memory or disk as the systems themselves show it.
func (r reader) gigabytes(mb int64) string { return r.decimal(float64(mb)/1024) + " GB" }

func (r reader) decimal(f float64) string {
	s := strconv.FormatFloat(f, 'f', 1, 64)
	s = strings.TrimSuffix(s, ".0")
	if r.Language() != "en" {
		s = strings.Replace(s, ".", ",", 1)
	}
	return s
}

// initials are one or two letters for a person's mark.
func initials(name string) string {
	var out []rune
	for _, w := range strings.Fields(name) {
		if c, _ := utf8.DecodeRuneInString(w); unicode.IsLetter(c) || unicode.IsDigit(c) {
			out = append(out, unicode.ToUpper(c))
		}
	}
	switch {
	case len(out) == 0:
		return "?"
	case len(out) > 2:
		out = []rune{out[0], out[len(out)-1]}
	}
	return string(out)
}
