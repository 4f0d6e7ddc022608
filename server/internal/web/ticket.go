package web

import (
	"errors"
	"io"
	"mime"
	"mime/multipart"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/traybell/traybell/server/internal/access"
	"github.com/traybell/traybell/server/internal/account"
	"github.com/traybell/traybell/server/internal/desk"
	deskticket "github.com/traybell/traybell/server/internal/desk/ticket"
	"github.com/traybell/traybell/server/internal/device"
	"github.com/traybell/traybell/server/internal/ticket"
	"github.com/traybell/traybell/shared/api"
)

// ticketView is the page of one ticket.
type ticketView struct {
	Number           int64
	Title            string
	Status, Severity mark
	Assignee         string
	Origin           string
	Says             string // requester: the status in words
	Staff            bool
	Takeable         bool
	TakeMain         bool
	Moves            []choice
	Tomorrow         string // the first date to which it can be paused
	Severities       []choice
	Staffs           []choice // to whom the ticket can be handed over
	Thread           []entry
	Write            bool
	NoWrite          string // why nothing can be written
	Draft, Error     string
	To               string
	Then             []choice
	Requester        requesterView
	Device           *ticketDevice
	Visits           []visitView
	Work             workView
	NoVisits         bool // there was none; others than staff are not told here
}

// entry is one part of the thread: a message, a note or an event.
type entry struct {
	Event, Note, Mine bool
	Icon              string
	Author, Initials  string
	How               string
	Text              string
	At                when
	Files             []fileView
	Sent              *sentView

	time time.Time
}

type fileView struct{ Name, Size, Href, Icon string }

type sentView struct {
	Count int
	Facts []pair
}

type requesterView struct{ Name, Initials, Organization, Phone, Email, Remark string }

type ticketDevice struct {
	Name, Href string
	Says       []line
	Ask        *askView
}

type visitView struct{ Href, When, Text string }

func (s *Server) ticket(c *call) error {
	v, err := s.ticketOf(c)
	if err != nil {
		return err
	}
	return s.showTicket(c, http.StatusOK, v, "", "")
}

// showTicket shows a ticket's page; draft and problem are of an answer that was not taken.
func (s *Server) showTicket(c *call, status int, v deskticket.View, draft, problem string) error {
	k := v.Ticket
	staff := c.actor.MayIn(account.TicketsWork, k.Organization)
	view := ticketView{
		Number: k.Number, Title: k.Title, Status: c.status(k.Status), Severity: c.severity(k.Severity), Staff: staff,
		Assignee: k.AssigneeName, Origin: c.T("web.origin", "Subject", c.origin(k), "When", c.date(k.CreatedAt)),
		Draft: draft, Error: problem, To: c.T("web.to.support"), Write: (k.Status != ticket.Closed || !staff && k.Reopenable(c.now)) && (staff || v.Mine),
	}
	if k.Assignee == "" {
		view.Assignee = c.T("web.nobody")
	}
	for _, m := range v.Moves {
		view.Moves = append(view.Moves, choice{Code: string(m), Word: c.T("word.status." + string(m)), NeedsReason: m == ticket.Paused, Verb: c.T("web.verb." + verb(m))})
	}
	view.Tomorrow = c.now.In(c.zone).AddDate(0, 0, 1).Format(time.DateOnly)
	var sessions []access.Session
	if staff {
		view.To = c.T("web.to", "Name", c.requester(k))
		view.NoWrite = c.T("web.closed.nowrite")
		view.Takeable = k.Assignee != c.actor.Account && k.Status != ticket.Closed
		view.TakeMain = k.Assignee == ""
		for _, sv := range api.Severities {
			view.Severities = append(view.Severities, choice{Code: string(sv), Word: c.T("word.severity." + string(sv)), Rule: c.T("word.rule." + string(sv)), Current: sv == k.Severity})
		}
		if k.Status != ticket.Closed {
			for _, a := range v.Staff {
				view.Staffs = append(view.Staffs, choice{Code: string(a.ID), Word: a.Name, Current: a.ID == k.Assignee})
			}
		}
		view.Then = []choice{{Code: "", Word: c.T("word.status." + string(afterAnswer(k.Status))), Current: true}}
		for _, st := range []ticket.Status{ticket.Open, ticket.Waiting, ticket.Resolved, ticket.Closed} {
			if st != afterAnswer(k.Status) {
				view.Then = append(view.Then, choice{Code: string(st), Word: c.T("word.status." + string(st))})
			}
		}
		var err error
		if sessions, err = s.o.Access.Sessions(c.ctx, c.actor, sessionsOfTicket(k.ID)); err != nil {
			return err
		}
		named(sessions, v.Device)
		view.Visits = c.visits(sessions)
		view.NoVisits = len(sessions) == 0 && k.DeviceName != ""
	} else {
		view.Says = c.says(k).Text
		view.NoWrite = c.T("web.closed.nowrite.requester", "Number", k.Number)
		if !v.Mine {
			view.NoWrite = c.T("people.colleague")
		}
	}
	var err error
	if view.Work, err = s.work(c, v, staff); err != nil {
		return err
	}
	if id := c.r.URL.Query().Get("reply"); staff && id != "" && draft == "" {
		if view.Draft, err = s.reply(c, k, id); err != nil {
			return err
		}
	}
	if k.Held() {
		view.Then = nil // it waits, whatever is answered
	}
	if k.MergedInto != "" {
		view.Write, view.NoWrite = false, c.T("tickets.merged.nowrite")
	} else if !staff && !view.Write && v.Mine {
		view.Write, view.To = true, c.T("tickets.followup")
	}
	view.Thread = c.thread(v, sessions)
	view.Requester = requesterView{Name: c.requester(k), Initials: initials(c.requester(k)), Organization: k.OrganizationName, Phone: k.Requester.Phone, Email: k.Requester.Email}
	if !k.Requester.Confirmed && k.Requester.Email != "" {
		view.Requester.Remark = c.T("web.requester.unconfirmed")
	}
	if k.DeviceName != "" {
		td := &ticketDevice{Name: k.DeviceName}
		if d := v.Device; d != nil {
			td.Href = "/devices/" + string(d.ID)
			td.Name = d.Name
			td.Says = c.deviceSays(*d)
			if staff {
				grants, err := s.o.Access.Grants(c.ctx, c.actor, d.ID)
				if err != nil {
					return err
				}
				for _, g := range c.grants(grants, k) {
					td.Says = append(td.Says, line{Kind: "yes", Icon: "i-shield-check", Text: g.Text})
				}
				td.Ask = c.askForm(*d, string(k.ID), k.Status, sessions)
			}
		}
		view.Device = td
	}
	p := c.page("tickets", "#"+strings.TrimPrefix(c.ticketPath(k.Number), "/tickets/")+" "+k.Title, view)
	if status != http.StatusOK {
		return c.showAs(status, "ticket", p)
	}
	return c.show("ticket", p)
}

// verb is the catalogue's word for a move as the requester presses it.
func verb(to ticket.Status) string {
	if to == ticket.Open {
		return "open"
	}
	return "closed"
}

// afterAnswer is where a ticket stands once staff has answered.
func afterAnswer(s ticket.Status) ticket.Status {
	if s == ticket.New {
		return ticket.Open
	}
	return s
}

func (c *call) severity(s api.Severity) mark {
	return mark{Code: string(s), Word: c.T("word.severity." + string(s))}
}

// origin is what others read as the ticket's subject, without the title that the page shows large.
func (c *call) origin(k ticket.Ticket) string {
	if s, ok := strings.CutSuffix(k.Subject, " / "+k.Title); ok {
		return s
	}
	return k.OrganizationName
}

// thread is what was said and what happened, the oldest first.
func (c *call) thread(v deskticket.View, sessions []access.Session) []entry {
	k := v.Ticket
	filed := entry{Author: c.requester(k), Text: k.Text, At: c.when(k.CreatedAt), Files: c.files(k, v.Files), time: k.CreatedAt, Mine: k.Requester.Account != "" && k.Requester.Account == c.actor.Account}
	switch k.Source {
	case ticket.FromDevice:
		filed.How = c.T("web.how.device", "Device", k.DeviceName)
	case ticket.FromPhone:
		filed.How = c.T("web.how.phone")
	case ticket.FromMail:
		filed.How = c.T("mail.how")
	case ticket.FromAPI:
		filed.How = c.T("web.how.api")
	default:
		filed.How = c.T("web.how.portal")
	}
	if len(k.Facts) > 0 {
		filed.Sent = &sentView{Count: len(k.Facts)}
		for _, f := range k.Facts {
			filed.Sent.Facts = append(filed.Sent.Facts, pair{c.T(f.Name), f.Value})
		}
	}
	list := []entry{filed}
	for _, m := range v.Messages {
		by := m.AuthorName
		if by == "" && m.Author != "" {
			by = c.formerName(by)
		}
		if n := v.Merged[m.Ticket]; n > 0 {
			by = strings.TrimSpace(by + " #" + strconv.FormatInt(n, 10))
		}
		e := entry{Author: by, Text: m.Text, At: c.when(m.At), time: m.At, Mine: m.Author != "" && m.Author == c.actor.Account}
		if e.Author == "" {
			e.Author = c.T("web.system")
			if !m.FromStaff {
				e.Author = c.requester(k)
			}
		}
		switch m.Kind {
		case ticket.Event:
			e.Event = true
			e.Icon, e.Text = c.event(m, e.Author)
		case ticket.Note:
			e.Note, e.How, e.Files = true, c.T("web.note.never"), c.files(k, m.Files)
		default:
			e.Files = c.files(k, m.Files)
		}
		list = append(list, e)
	}
	for _, se := range sessions {
		list = append(list, c.sessionEvents(se)...)
	}
	slices.SortStableFunc(list, func(a, b entry) int { return a.time.Compare(b.time) })
	for i := range list {
		list[i].Initials = initials(list[i].Author)
	}
	return list
}

// event puts what happened to the ticket into words; its text is "status TO", "severity TO",
// "assigned NAME" or "unassigned".
func (c *call) event(m ticket.Message, who string) (icon, text string) {
	what, arg, _ := strings.Cut(m.Text, " ")
	switch what {
	case "status":
		return "i-circle-check", c.T("web.event.status", "Name", who, "Status", c.T("word.status."+arg))
	case "severity":
		return "i-alert-circle", c.T("web.event.severity", "Name", who, "Severity", c.T("word.severity."+arg))
	case "assigned":
		if arg == who {
			return "i-user-check", c.T("web.event.taken", "Name", who)
		}
		return "i-user-check", c.T("web.event.assigned", "Name", arg)
	case ticket.EventAlarm:
		clock, percent, _ := strings.Cut(arg, " ")
		return "i-clock-exclamation", c.T("tickets.event.alarm", "Percent", percent, "What", c.T("mail.alarm."+clock))
	case ticket.EventMeToo:
		return "i-users", c.T("tickets.event.metoo", "Name", arg)
	case ticket.EventFollows:
		return "i-link", c.T("tickets.event.follows", "Number", arg)
	case ticket.EventMerged:
		return "i-arrow-merge", c.T("tickets.event.merged", "Number", arg)
	case ticket.EventAbsorbed:
		return "i-arrow-merge", c.T("tickets.event.absorbed", "Number", arg)
	case ticket.EventAnswered:
		return "i-phone", c.T("tickets.event.answered", "Name", who)
	case ticket.EventHeld, ticket.EventExpired, ticket.EventVoided:
		return "i-clipboard-check", c.T("tickets.event." + what)
	case ticket.EventApproved:
		return "i-circle-check", c.T("tickets.event.approved", "Name", arg)
	case ticket.EventDeclined:
		return "i-circle-x", c.T("tickets.event.declined", "Text", arg)
	case ticket.EventRecalled:
		return "i-arrow-back-up", c.T("tickets.event.recalled", "Name", arg)
	case "unassigned":
		return "i-user-check", c.T("web.event.assigned", "Name", c.T("web.nobody"))
	}
	return "i-info-circle", c.T("web.event.other", "Name", who, "Text", m.Text)
}

func (c *call) files(k ticket.Ticket, files []ticket.File) []fileView {
	var list []fileView
	for _, f := range files {
		v := fileView{Name: f.Name, Size: c.size(f.Size), Icon: "i-paperclip"}
		if pictures[f.Type] {
			v.Icon = "i-photo"
		}
		if f.Arrived {
			v.Href = c.ticketPath(k.Number) + "/files/" + f.ID
		}
		list = append(list, v)
	}
	return list
}

// pictures are the types that a browser may show; everything else is only offered for download.
var pictures = map[string]bool{"image/png": true, "image/jpeg": true, "image/gif": true, "image/webp": true}

// file hands out a file of a ticket. It comes from a stranger: nothing in it may run here.
func (s *Server) file(c *call) error {
	if _, err := s.ticketOf(c); err != nil {
		return err
	}
	f, r, err := s.o.Tickets.OpenFile(c.ctx, c.actor, c.r.PathValue("file"))
	if err != nil {
		return err
	}
	defer r.Close()
	h := c.w.Header()
	h.Set("Content-Security-Policy", "sandbox; default-src 'none'; img-src 'self'; style-src 'unsafe-inline'")
	disposition, typ := "attachment", "application/octet-stream"
	if pictures[f.Type] {
		disposition, typ = "inline", f.Type
	}
	h.Set("Content-Type", typ)
	h.Set("Content-Disposition", mime.FormatMediaType(disposition, map[string]string{"filename": f.Name}))
	http.ServeContent(c.w, c.r, "", f.At, r)
	return nil
}

// message takes an answer or a note, with its files.
func (s *Server) message(c *call) error {
	v, err := s.ticketOf(c)
	if err != nil {
		return err
	}
	k := v.Ticket
	form, files, err := s.messageForm(c, k.ID)
	if err != nil {
		return err
	}
	text := form["text"]
	done := "sent"
	if form["kind"] == "note" {
		done = "noted"
		_, err = s.o.Tickets.Note(c.ctx, c.actor, k.ID, text, files...)
	} else {
		if c.actor.MayIn(account.TicketsWork, k.Organization) {
			done = "answered"
		}
		var m ticket.Message
		m, err = s.o.Tickets.Answer(c.ctx, c.actor, k.ID, text, files...)
		if err == nil && m.Ticket != k.ID { // too late: it has become a ticket of its own
			next, err := s.o.Tickets.Get(c.ctx, c.actor, m.Ticket)
			if err != nil {
				return err
			}
			return c.redirect(c.ticketPath(next.Ticket.Number) + "?done=followed")
		}
		if to, bad := ticket.ParseStatus(form["then"]); err == nil && bad == nil && c.actor.MayIn(account.TicketsWork, k.Organization) {
			err = s.o.Tickets.ChangeStatus(c.ctx, c.actor, k.ID, to, "")
		}
	}
	if errors.Is(err, desk.ErrInvalid) || errors.Is(err, desk.ErrConflict) {
		return s.showTicket(c, http.StatusUnprocessableEntity, v, text, desk.Text(err, c.Language()))
	}
	if err != nil {
		return err
	}
	if back := form["back"]; strings.HasPrefix(back, "/sessions/") && !strings.ContainsAny(back, "\\?#") {
		return c.redirect(back)
	}
	return c.redirect(c.ticketPath(k.Number) + "?done=" + done)
}

// messageForm reads the answer form. Its files are streamed to the ticket while they are read, so
// that no size of theirs is held in memory.
func (s *Server) messageForm(c *call, id ticket.ID) (map[string]string, []string, error) {
	form := map[string]string{}
	typ, _, _ := mime.ParseMediaType(c.r.Header.Get("Content-Type"))
	if typ != "multipart/form-data" {
		c.r.Body = http.MaxBytesReader(c.w, c.r.Body, maxForm)
		if err := c.r.ParseForm(); err != nil {
			return nil, nil, badForm(err)
		}
		for k := range c.r.PostForm {
			form[k] = c.r.PostForm.Get(k)
		}
		return form, nil, nil
	}
	c.r.Body = http.MaxBytesReader(c.w, c.r.Body, maxUpload)
	parts, err := c.r.MultipartReader()
	if err != nil {
		return nil, nil, badForm(err)
	}
	var files []string
	for n := 0; n < 100; n++ {
		p, err := parts.NextPart()
		if errors.Is(err, io.EOF) {
			return form, files, nil
		}
		if err != nil {
			return nil, nil, badForm(err)
		}
		if err := s.messagePart(c, id, p, form, &files); err != nil {
			return nil, nil, err
		}
	}
	return nil, nil, badForm(errors.New("too many parts"))
}

func (s *Server) messagePart(c *call, id ticket.ID, p *multipart.Part, form map[string]string, files *[]string) error {
	if p.FormName() != "file" {
		b, err := io.ReadAll(io.LimitReader(p, 4*api.MaxText+1))
		if err != nil {
			return badForm(err)
		}
		form[p.FormName()] = string(b)
		return nil
	}
	if p.FileName() == "" || len(*files) >= api.MaxFiles { // no file was chosen
		return nil
	}
	f, err := s.o.Tickets.Attach(c.ctx, c.actor, id, p.FileName(), p.Header.Get("Content-Type"), p)
	if err != nil {
		return err
	}
	*files = append(*files, f.ID)
	return nil
}

// changeStatus moves the ticket.
func (s *Server) changeStatus(c *call) error {
	v, err := s.ticketOf(c)
	if err != nil {
		return err
	}
	to, err := ticket.ParseStatus(c.r.PostFormValue("status"))
	if err != nil {
		return desk.Fail(err)
	}
	m := ticket.Move{To: to, Reason: c.r.PostFormValue("reason")}
	if to == ticket.Paused {
		m.Until = c.morning(c.r.PostFormValue("until"))
	}
	if err := s.o.Tickets.Move(c.ctx, c.actor, v.Ticket.ID, m); err != nil {
		return err
	}
	return c.redirect(c.ticketPath(v.Ticket.Number) + "?done=moved")
}

// morning is 8 o'clock of a date as a form's date field writes it, in the reader's zone; zero when it is none.
func (c *call) morning(date string) time.Time {
	d, err := time.ParseInLocation(time.DateOnly, date, c.zone)
	if err != nil {
		return time.Time{}
	}
	return d.Add(8 * time.Hour)
}

// assign hands the ticket over to another technician.
func (s *Server) assign(c *call) error {
	v, err := s.ticketOf(c)
	if err != nil {
		return err
	}
	if err := s.o.Tickets.Assign(c.ctx, c.actor, v.Ticket.ID, account.ID(c.r.PostFormValue("to"))); err != nil {
		return err
	}
	return c.redirect(c.ticketPath(v.Ticket.Number) + "?done=assigned")
}

func (s *Server) changeSeverity(c *call) error {
	v, err := s.ticketOf(c)
	if err != nil {
		return err
	}
	if err := s.o.Tickets.ChangeSeverity(c.ctx, c.actor, v.Ticket.ID, api.Severity(c.r.PostFormValue("severity"))); err != nil {
		return err
	}
	return c.redirect(c.ticketPath(v.Ticket.Number) + "?done=severity")
}

// newView is the form for a new ticket.
type newView struct {
	Title, Email, Name, Phone field
	Text, Error               string
	Severities                []choice
	Staff                     bool
	Devices                   []choice
	Categories                []choice
	Urgent                    bool
	Alike                     alikeView
}

func (s *Server) newTicket(c *call) error {
	if home, err := c.home(); err != nil {
		return err
	} else if !home.Has().Tickets {
		return errNotFound
	}
	return s.showNew(c, http.StatusOK, deskticket.Draft{Severity: api.Low, Device: device.ID(c.r.URL.Query().Get("device"))}, nil)
}

func (s *Server) showNew(c *call, status int, d deskticket.Draft, problem error) error {
	contact := ticket.Contact{}
	if d.For != nil {
		contact = *d.For
	}
	view := newView{
		Title: field{Name: "title", Label: c.T("web.new.title") + " *", Hint: c.T("web.new.title.hint"), Type: "text", Value: d.Title, Max: api.MaxTitle, Required: true, Focus: true, Auto: "off"},
		Email: field{Name: "email", Label: c.T("web.new.email"), Type: "email", Value: contact.Email, Max: api.MaxEmail, Auto: "off"},
		Name:  field{Name: "name", Label: c.T("web.new.name"), Type: "text", Value: contact.Name, Max: api.MaxName, Auto: "off"},
		Phone: field{Name: "phone", Label: c.T("web.phone"), Type: "tel", Value: contact.Phone, Max: api.MaxName, Auto: "off"},
		Text:  d.Text, Staff: c.actor.May(account.TicketsWork),
	}
	for _, sv := range api.Severities {
		view.Severities = append(view.Severities, choice{Code: string(sv), Word: c.T("word.severity." + string(sv)), Rule: c.T("word.rule." + string(sv)), Current: sv == d.Severity})
	}
	sorting, err := s.o.Tickets.Sorting(c.ctx, c.actor)
	if err != nil {
		return err
	}
	for _, g := range sorting.Categories {
		view.Categories = append(view.Categories, choice{Code: string(g.ID), Word: g.Name(c.Language()), Current: string(g.ID) == d.Category})
	}
	if view.Urgent, err = s.o.Tickets.Urgent(c.ctx, c.actor); err != nil {
		return err
	}
	if view.Alike, err = s.alike(c, d.Title); err != nil {
		return err
	}
	switch {
	case errors.Is(problem, ticket.ErrTitle):
		view.Title.Error = c.T("web.error.title")
	case errors.Is(problem, ticket.ErrEmail), errors.Is(problem, errEmail):
		view.Email.Error = c.T("web.error.email")
	case problem != nil:
		view.Error = desk.Text(problem, c.Language())
	}
	if view.Staff {
		list, err := s.devicesFor(c)
		if err != nil {
			return err
		}
		for _, dev := range list {
			view.Devices = append(view.Devices, choice{Code: string(dev.ID), Word: dev.Name, Current: dev.ID == d.Device})
		}
	}
	return c.showAs(status, "new", c.page("new", c.T("web.create"), view))
}

func (s *Server) createTicket(c *call) error {
	get := c.r.PostFormValue
	d := deskticket.Draft{Title: get("title"), Text: strings.TrimSpace(get("text")), Severity: api.Severity(get("severity")), Category: get("category")}
	if c.actor.May(account.TicketsWork) {
		d.Device = device.ID(get("device"))
		if get("email") != "" || get("name") != "" || get("phone") != "" {
			d.For = &ticket.Contact{Email: strings.TrimSpace(get("email")), Name: strings.TrimSpace(get("name")), Phone: strings.TrimSpace(get("phone"))}
		}
	}
	k, err := s.o.Tickets.Create(c.ctx, c.actor, d)
	if errors.Is(err, desk.ErrInvalid) {
		return s.showNew(c, http.StatusUnprocessableEntity, d, err)
	}
	if err != nil {
		return err
	}
	if !k.Promise.FirstDue.IsZero() {
		return c.redirect(c.ticketPath(k.Number) + "?done=expected")
	}
	return c.redirect(c.ticketPath(k.Number) + "?done=created")
}
