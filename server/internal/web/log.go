package web

import (
	"bufio"
	"encoding/csv"
	"encoding/json"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/traybell/traybell/server/internal/account"
	"github.com/traybell/traybell/server/internal/desk/audit"
)

// logPage is how many entries a page of the log shows.
const logPage = 50

// logView is the log.
type logView struct {
	Filter        logFilter
	Actions       []choice
	All           bool // of every organization
	Filtered      bool
	Rows          []logRow
	Empty         string
	Searched      string
	Older, Newest string
	ExportForm    []pair // what the filters say, for the forms of the export
	MayExport     bool
	Keeps         bool
	Keep          int // days; 0: for ever
	ClearHref     string
}

// logFilter is what the form holds.
type logFilter struct{ From, To, Who, For, About, Organization, Address, Text string }

type logRow struct {
	At                when
	Clock             string
	Who, WhoHref      string
	Place             string
	What              string
	About, AboutHref  string
	ThingHref         string
	Organization      string
	Way, Address      string
	Facts             []pair
	Number, ShortHash string
}

// logQuery reads the filter that a link or form carries. again are its fields, to be carried on.
func (c *call) logQuery(get func(string) string) (f audit.Filter, shown logFilter, again url.Values) {
	again = url.Values{}
	take := func(name string) string {
		v := strings.TrimSpace(clip(get(name), 200))
		if v != "" {
			again.Set(name, v)
		}
		return v
	}
	day := func(name string, after int) (time.Time, string) {
		t, err := time.ParseInLocation(time.DateOnly, take(name), c.zone)
		if err != nil {
			again.Del(name)
			return time.Time{}, ""
		}
		return t.AddDate(0, 0, after), t.Format(time.DateOnly)
	}
	f.From, shown.From = day("from", 0)
	f.To, shown.To = day("to", 1)
	f.Who, f.ActingFor, f.Action, f.Object, f.Address, f.Text = take("who"), take("for"), take("what"), take("about"), take("address"), take("text")
	f.Organization = account.OrganizationID(take("organization"))
	f.Language, f.Before, f.Limit = c.Language(), clip(get("before"), 36), logPage
	shown.Who, shown.For, shown.About, shown.Organization, shown.Address, shown.Text = f.Who, f.ActingFor, f.Object, string(f.Organization), f.Address, f.Text
	return f, shown, again
}

// log shows who did what, the newest first.
func (s *Server) log(c *call) error {
	if !audit.Views(c.actor) {
		return errNotFound
	}
	query := c.r.URL.Query()
	f, shown, again := c.logQuery(query.Get)
	found, err := s.o.Audit.List(c.ctx, c.actor, f)
	if err != nil {
		return err
	}
	v := logView{Filter: shown, All: len(c.actor.Within()) != 1, Filtered: len(again) > 0, MayExport: audit.Exports(c.actor), ClearHref: "/log"}
	v.Actions = append(v.Actions, choice{Word: c.T("log.page.what.all")})
	for _, a := range audit.Actions {
		v.Actions = append(v.Actions, choice{Code: a, Word: audit.Words(c.Printer, a), Current: a == f.Action})
	}
	sortChoices(v.Actions[1:])
	for _, r := range found.Rows {
		v.Rows = append(v.Rows, c.logRow(r, v.All))
		// A link from an entry filters by id; the form shows the name.
		if r.Actor == f.Who {
			v.Filter.Who = v.Rows[len(v.Rows)-1].Who
		}
		if r.Object == f.Object && r.ObjectName != "" {
			v.Filter.About = r.ObjectName
		}
		if string(r.Organization) == shown.Organization && v.Rows[len(v.Rows)-1].Organization != "" {
			v.Filter.Organization = v.Rows[len(v.Rows)-1].Organization
		}
	}
	for name := range again {
		v.ExportForm = append(v.ExportForm, pair{name, again.Get(name)})
	}
	if !found.Searched.IsZero() {
		v.Searched = c.T("log.page.searched", "Date", c.moment(found.Searched))
	}
	link := func(before string) string {
		u := url.Values{}
		for name := range again {
			u.Set(name, again.Get(name))
		}
		if before != "" {
			u.Set("before", before)
		}
		if len(u) == 0 {
			return "/log"
		}
		return "/log?" + u.Encode()
	}
	if found.Next != "" {
		v.Older = link(found.Next)
	}
	if f.Before != "" {
		v.Newest = link("")
	}
	if v.Keeps = audit.Keeps(c.actor); v.Keeps {
		if v.Keep, err = s.o.Audit.Retention(c.ctx); err != nil {
			return err
		}
	}
	if v.Empty = c.T("log.page.none"); !v.Filtered {
		v.Empty = c.T("log.page.empty")
	}
	return c.show("log", c.page("log", c.T("log.page.title"), v))
}

func (c *call) logRow(r audit.Row, all bool) logRow {
	row := logRow{At: c.when(r.At), Who: c.logName(r.Actor, r.ActorName), WhoHref: "/log?who=" + escape(r.Actor), What: audit.Words(c.Printer, r.Action),
		About: r.ObjectName, AboutHref: "/log?about=" + escape(r.Object), Address: r.Address}
	row.At.Text, row.Clock = c.day(r.At), r.At.In(c.zone).Format("15:04:05")
	if r.ActingFor != "" && r.ActingFor != r.Actor {
		row.Place = c.T("log.page.inplace", "Name", c.logName(r.ActingFor, r.ActingForName))
	}
	noun, id, _ := strings.Cut(r.Object, ":")
	switch noun {
	case "ticket":
		if number, ok := strings.CutPrefix(r.ObjectName, "#"); ok {
			row.ThingHref = "/tickets/" + number
		}
	case "device":
		row.ThingHref = "/devices/" + id
	case "session":
		if c.actor.Staff() {
			row.ThingHref = "/sessions/" + id
		}
	}
	if r.Object == r.Actor {
		row.About = ""
	}
	if all {
		row.Organization = r.Names["organization:"+string(r.Organization)]
	}
	if way := c.T("log.page.via." + r.Via); way != "log.page.via."+r.Via {
		row.Way = way
	}
	for _, f := range r.Facts(c.Printer) {
		if !f.Time.IsZero() {
			f.Value = c.day(f.Time) + " " + f.Time.In(c.zone).Format("15:04")
		}
		row.Facts = append(row.Facts, pair{f.Name, f.Value})
	}
	row.Number, row.ShortHash = c.T("log.page.waiting"), ""
	if r.Seq > 0 {
		row.Number, row.ShortHash = strconv.FormatInt(r.Seq, 10), r.Hash
	}
	return row
}

// logName is how an actor is called.
func (c *call) logName(ref, name string) string {
	switch {
	case ref == "system":
		return c.T("log.page.system")
	case name != "":
		return name
	}
	return c.T("log.page.nameless")
}

// keepLog sets how long entries are kept.
func (s *Server) keepLog(c *call) error {
	if err := s.o.Audit.SetRetention(c.ctx, c.actor, atoi(c.r.PostFormValue("days"), -1)); err != nil {
		return err
	}
	return c.redirect("/log?done=saved")
}

// exportLog sends what the filters show as a file, as it is read.
func (s *Server) exportLog(c *call) error {
	if !audit.Exports(c.actor) {
		return errNotFound
	}
	f, _, _ := c.logQuery(c.r.PostFormValue)
	format := c.r.PostFormValue("format")
	name := "log-" + c.now.UTC().Format("20060102-150405")
	var out interface {
		head() error
		row(audit.Row) error
		end() error
	}
	w := bufio.NewWriterSize(c.w, 64<<10)
	switch format {
	case "csv":
		out = &csvLog{w: csv.NewWriter(w), c: c}
	case "json":
		out = &jsonLog{w: w, head1: s.o.Audit.Head(f)}
	default:
		return errForm
	}
	begun := false
	begin := func() error {
		begun = true
		h := c.w.Header()
		h.Set("Content-Disposition", `attachment; filename="`+name+`.`+format+`"`)
		h.Set("Content-Type", map[string]string{"csv": "text/csv; charset=utf-8", "json": "application/json"}[format])
		return out.head()
	}
	err := s.o.Audit.Export(c.ctx, c.actor, f, format, func(r audit.Row) error {
		if !begun {
			if err := begin(); err != nil {
				return err
			}
		}
		return out.row(r)
	})
	if err == nil && !begun {
		err = begin()
	}
	if err == nil {
		err = out.end()
	}
	if err == nil {
		err = w.Flush()
	}
	if err != nil && begun {
		// Half a file must not look like a whole one: the connection is cut.
		s.o.Logger.Info("an export of the log was cut short", "err", err)
		panic(http.ErrAbortHandler)
	}
	return err
}

// csvLog writes the log for spreadsheets.
type csvLog struct {
	w *csv.Writer
	c *call
}

func (l *csvLog) head() error {
	return l.w.Write([]string{"time", "actor", "actor_name", "acting_for", "acting_for_name", "action", "words", "object", "object_name", "organization", "via", "address", "detail", "id", "seq", "hash"})
}

func (l *csvLog) row(r audit.Row) error {
	list := []string{r.At.UTC().Format(time.RFC3339Nano), r.Actor, r.ActorName, r.ActingFor, r.ActingForName, r.Action, audit.Words(l.c.Printer, r.Action), r.Object, r.ObjectName,
		r.Names["organization:"+string(r.Organization)], r.Via, r.Address, r.Detail, r.ID, strconv.FormatInt(r.Seq, 10), r.Hash}
	for i := range list {
		list[i] = cell(list[i])
	}
	return l.w.Write(list)
}

func (l *csvLog) end() error { l.w.Flush(); return l.w.Error() }

// cell keeps a spreadsheet from taking a text for a formula (ASVS 5.0 1.2.10).
func cell(s string) string {
	if s != "" && strings.ContainsRune("=+-@\t\r\n\x00", rune(s[0])) {
		return "'" + s
	}
	return s
}

// jsonLog writes the log so that it can be verified apart.
type jsonLog struct {
	w     *bufio.Writer
	head1 audit.ExportHead
	more  bool
}

func (l *jsonLog) head() error {
	b, err := json.Marshal(l.head1)
	if err != nil {
		return err
	}
	l.w.Write(b[:len(b)-1]) // the entries are the last field
	_, err = l.w.WriteString(`,"entries":[`)
	return err
}

func (l *jsonLog) row(r audit.Row) error {
	b, err := json.Marshal(r.Exported())
	if err != nil {
		return err
	}
	if l.more {
		l.w.WriteByte(',')
	}
	l.more = true
	l.w.WriteByte('\n')
	_, err = l.w.Write(b)
	return err
}

func (l *jsonLog) end() error { _, err := l.w.WriteString("\n]}\n"); return err }

// sortChoices sorts by what people read.
func sortChoices(list []choice) {
	slices.SortFunc(list, func(a, b choice) int { return strings.Compare(a.Word, b.Word) })
}
