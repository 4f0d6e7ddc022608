package page

import (
	"context"
	"embed"
	"errors"
	"fmt"
	"html/template"
	"io"
	"io/fs"
	"mime"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/traybell/traybell/agent/internal/localapi"
	"github.com/traybell/traybell/agent/internal/window/content"
	"github.com/traybell/traybell/agent/internal/window/keep"
	"github.com/traybell/traybell/shared/api"
)

//go:embed page.html page.css page.js
var files embed.FS

// patience bounds a call to the service behind a page.
const patience = 20 * time.Second

func (v *visit) routes() {
	v.mux = http.NewServeMux()
	v.mux.HandleFunc("GET /{$}", func(w http.ResponseWriter, r *http.Request) {
		path := v.o.Window.Kind
		http.Redirect(w, r, "/"+path, http.StatusSeeOther)
	})
	for _, name := range []string{"page.css", "page.js"} {
		b, err := files.ReadFile(name)
		if err != nil {
			panic(err) // they are embedded
		}
		v.mux.HandleFunc("GET /"+name, func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Type", mime.TypeByExtension(filepath.Ext(name)))
			w.Write(b)
		})
	}
	v.mux.HandleFunc("GET /form", v.showForm)
	v.mux.HandleFunc("POST /form", v.postForm)
	v.mux.HandleFunc("POST /draft", v.postDraft)
	v.mux.HandleFunc("POST /fresh", v.postFresh)
	v.mux.HandleFunc("POST /forget", v.postForget)
	v.mux.HandleFunc("GET /consent", v.showConsent)
	v.mux.HandleFunc("POST /consent", v.postConsent)
	for _, kind := range []string{content.KindTickets, content.KindAccess, content.KindHistory, content.KindStatus, content.KindAbout, content.KindLink} {
		v.mux.HandleFunc("GET /"+kind, func(w http.ResponseWriter, r *http.Request) { v.showSheet(w, r, kind) })
	}
	v.mux.HandleFunc("POST /act", v.postAct)
	v.mux.HandleFunc("POST /close", v.postClose)
	v.mux.HandleFunc("GET /events", v.events)
}

// screen is what the template gets.
type screen struct {
	Lang    string
	Title   string
	Notice  string
	Form    *formScreen
	Outcome *outcomeScreen
	Sheet   *content.Sheet
	Ask     *askScreen
	Closed  string
	v       *visit
}

// T gives the template its words.
func (s screen) T(id string, args ...any) string { return s.v.p.T(id, args...) }

var pages = template.Must(template.New("page.html").ParseFS(files, "page.html"))

func (v *visit) render(w http.ResponseWriter, status int, s screen) {
	s.Lang, s.v = v.p.Language(), v
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.WriteHeader(status)
	if err := pages.Execute(w, s); err != nil {
		v.o.Log.Error("page", "err", err)
	}
}

func (v *visit) status(ctx context.Context) localapi.Status {
	st, err := v.service.Status(ctx)
	if err != nil {
		v.o.Log.Debug("status", "err", err)
	}
	return st
}

// form is the form that the page fills in.
type form struct {
	content.Form
	draft    *keep.Draft
	found    bool
	recalled bool
	sent     bool
}

func (f *form) close() {
	if f.draft == nil || f.sent {
		return
	}
	if !f.Typed() {
		f.draft.Forget(f.Form)
	}
	f.draft.Close()
}

// current is the form being filled in; a new one after the last was sent.
func (v *visit) current() *form {
	if v.form != nil && !v.form.sent {
		return v.form
	}
	f := &form{Form: content.NewForm(v.now())}
	if v.o.Dir != "" {
		d, draft, found, err := keep.Open(v.o.Dir, v.now())
		if err != nil {
			v.o.Log.Warn("no draft can be kept", "err", err)
		} else {
			f.draft, f.Form, f.found = d, draft, found
		}
		if f.Email == "" {
			if d, ok := keep.Recall(v.o.Dir); ok {
				f.Email, f.Name, f.Phone, f.recalled = d.Email, d.Name, d.Phone, true
			}
		}
	}
	v.form = f
	return f
}

type formScreen struct {
	F                             content.Form
	Wrong                         map[string]string
	Trouble                       string
	Found, Recalled               bool
	Working, Affected, Severities []content.Choice
	Told, Phone, With             string
	Facts                         []api.Fact
	Proposed                      string
	Helps                         []content.Choice // empty until they are asked for
}

func (v *visit) formScreen(ctx context.Context, f *form) (*formScreen, localapi.Status) {
	st := v.status(ctx)
	s := &formScreen{F: f.Form, Found: f.found, Recalled: f.recalled, Working: content.Working(v.p), Affected: content.Affected(v.p),
		Severities: content.Severities(v.p), Told: content.Told(v.p, st), Phone: st.SupportPhone, Proposed: string(f.Proposed())}
	if r, err := v.service.Report(ctx); err == nil {
		s.With, s.Facts = content.SentWith(v.p, r)
	}
	return s, st
}

// offerHelp shows the choices of help beforehand, which make a permission, only while technicians'
// input is held off.
func (v *visit) offerHelp(s *formScreen) {
	if !v.guard() {
		return
	}
	s.Helps = content.Helps(v.p)
	for _, n := range content.Hours {
		s.Helps = append(s.Helps, content.Choice{Value: strconv.Itoa(n), Text: content.HelpHours(v.p, n)})
	}
}

func (v *visit) showForm(w http.ResponseWriter, r *http.Request) {
	v.mu.Lock()
	f := v.current()
	v.mu.Unlock()
	s, st := v.formScreen(r.Context(), f)
	v.render(w, 200, screen{Title: content.FormWindow(v.p, st), Form: s})
}

// fill takes the fields of a posted form.
func fill(f *content.Form, get func(string) string) {
	f.Title, f.Text = get("title"), strings.ReplaceAll(get("text"), "\r\n", "\n")
	f.Email, f.Name, f.Phone = get("email"), get("name"), get("phone")
	pick := func(value string, of ...string) string {
		if slices.Contains(of, value) {
			return value
		}
		return ""
	}
	f.Answers.Working = pick(get("working"), "yes", "difficult", "no")
	f.Answers.Affected = pick(get("affected"), "me", "several", "unknown")
	f.Answers.Security = get("security") != ""
	f.Remember = get("remember") != ""
	f.Severity = ""
	if s := api.Severity(get("severity")); slices.Contains(api.Severities, s) {
		f.Severity = s
	}
}

func (v *visit) postDraft(w http.ResponseWriter, r *http.Request) {
	r.Body = http.MaxBytesReader(w, r.Body, 1<<20)
	if err := r.ParseForm(); err != nil {
		v.refuse(w, http.StatusBadRequest)
		return
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	f := v.current()
	if r.PostFormValue("id") != f.ID {
		w.WriteHeader(http.StatusConflict)
		return
	}
	fill(&f.Form, r.PostFormValue)
	if f.draft != nil {
		if err := f.draft.Save(f.Form); err != nil {
			v.o.Log.Warn("draft not saved", "err", err)
			w.WriteHeader(http.StatusInsufficientStorage)
			return
		}
	}
	w.WriteHeader(http.StatusNoContent)
}

// postForm takes fields and files one after the other, files to disk, and sends, removes or adds.
func (v *visit) postForm(w http.ResponseWriter, r *http.Request) {
	parts, err := r.MultipartReader()
	if err != nil {
		v.refuse(w, http.StatusBadRequest)
		return
	}
	v.mu.Lock()
	f := v.current()
	busy := f.Form
	v.mu.Unlock()
	fields := map[string]string{}
	trouble := ""
	for {
		part, err := parts.NextPart()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			v.refuse(w, http.StatusBadRequest)
			return
		}
		if part.FileName() == "" {
			b, err := io.ReadAll(io.LimitReader(part, 1<<20))
			if err != nil {
				v.refuse(w, http.StatusBadRequest)
				return
			}
			fields[part.FormName()] = string(b)
			continue
		}
		if t := v.upload(&busy, f.draft, part.FileName(), part.Header.Get("Content-Type"), part); t != "" && trouble == "" {
			trouble = t
		}
	}
	if fields["id"] != f.ID {
		http.Redirect(w, r, "/form", http.StatusSeeOther)
		return
	}
	v.mu.Lock()
	f.Files = busy.Files
	fill(&f.Form, func(k string) string { return fields[k] })
	if n, err := strconv.Atoi(fields["remove"]); err == nil && n >= 0 && n < len(f.Files) {
		if f.draft != nil {
			f.draft.Drop(f.Files[n])
		}
		f.Files = slices.Delete(slices.Clone(f.Files), n, n+1)
	}
	if f.draft != nil {
		if err := f.draft.Save(f.Form); err != nil {
			v.o.Log.Warn("draft not saved", "err", err)
		}
	}
	filled := f.Form
	v.mu.Unlock()

	s, st := v.formScreen(r.Context(), f)
	s.Trouble = trouble
	if fields["do"] == "help" || fields["helping"] != "" {
		v.offerHelp(s)
	}
	if s.Helps != nil && content.ValidHelp(fields["help"]) {
		filled.Help = fields["help"]
		s.F.Help = filled.Help
	}
	if fields["do"] != "send" || trouble != "" {
		v.render(w, 200, screen{Title: content.FormWindow(v.p, st), Form: s})
		return
	}
	if s.Wrong = filled.Check(v.p); len(s.Wrong) > 0 {
		s.Trouble = v.p.T("form.error.summary")
		v.render(w, http.StatusUnprocessableEntity, screen{Title: content.FormWindow(v.p, st), Form: s})
		return
	}
	filed, err := v.service.Send(context.WithoutCancel(r.Context()), filled, s.Facts)
	if err != nil {
		v.o.Log.Warn("ticket not taken", "ticket", filled.ID, "err", err)
	}
	o := content.After(v.p, st, filled, filed, err)
	if o.Truth != content.Neither {
		v.taken(f)
	}
	v.render(w, 200, screen{Title: content.FormWindow(v.p, st), Outcome: &outcomeScreen{Outcome: o, Plain: filled.Plain(), Neither: o.Truth == content.Neither, F: filled, Form: true}})
}

// taken follows a ticket that is in the service's hands.
func (v *visit) taken(f *form) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if f.draft != nil {
		f.draft.Forget(f.Form)
		f.draft.Close()
	}
	f.sent = true
	if v.o.Dir == "" {
		return
	}
	var err error
	if f.Remember {
		err = keep.Remember(v.o.Dir, keep.Details{Email: f.Email, Name: f.Name, Phone: f.Phone})
	} else {
		err = keep.Forget(v.o.Dir)
	}
	if err != nil {
		v.o.Log.Warn("details not remembered", "err", err)
	}
}

// upload keeps a file of the page until it is sent, and returns what is wrong with it.
func (v *visit) upload(f *content.Form, d *keep.Draft, name, kind string, from io.Reader) string {
	dir := v.o.Dir
	if dir == "" {
		dir = os.TempDir()
	}
	t, err := os.CreateTemp(dir, "picture-*.upload")
	if err != nil {
		return v.p.T("form.error.file", "Name", name, "Reason", err.Error())
	}
	n, err := io.Copy(t, from)
	if e := t.Close(); err == nil {
		err = e
	}
	trouble := ""
	switch {
	case err != nil:
		var pe *fs.PathError
		if errors.As(err, &pe) {
			err = pe.Err
		}
		trouble = v.p.T("form.error.file", "Name", name, "Reason", err.Error())
	case n == 0 && name == "":
		trouble = " "
	default:
		trouble = f.Attach(v.p, t.Name(), filepath.Base(name), kind, true)
	}
	if trouble != "" {
		os.Remove(t.Name())
	}
	return strings.TrimSpace(trouble)
}

func (v *visit) postFresh(w http.ResponseWriter, r *http.Request) {
	v.mu.Lock()
	if f := v.form; f != nil && !f.sent {
		if f.draft != nil {
			f.draft.Forget(f.Form)
			f.draft.Close()
		}
		v.form = nil
	}
	v.mu.Unlock()
	http.Redirect(w, r, "/form", http.StatusSeeOther)
}

func (v *visit) postForget(w http.ResponseWriter, r *http.Request) {
	err := keep.Forget(v.o.Dir)
	v.mu.Lock()
	f := v.current()
	if err == nil {
		f.Email, f.Name, f.Phone, f.Remember, f.recalled = "", "", "", false, false
	}
	v.mu.Unlock()
	s, st := v.formScreen(r.Context(), f)
	sc := screen{Title: content.FormWindow(v.p, st), Form: s, Notice: v.p.T("form.forgotten")}
	if err != nil {
		sc.Notice = content.Trouble(v.p, err)
	}
	v.render(w, 200, sc)
}

type outcomeScreen struct {
	content.Outcome
	Plain   string
	Neither bool
	F       content.Form
	Form    bool // of the form, not of a question
}

type askScreen struct {
	content.Question
	Hours     []content.Choice
	Refusals  []content.Choice
	Countdown string
	Trouble   string
}

func (v *visit) showConsent(w http.ResponseWriter, r *http.Request) { v.consent(w, r, "") }

func (v *visit) consent(w http.ResponseWriter, r *http.Request, trouble string) {
	ctx, cancel := context.WithTimeout(r.Context(), patience)
	defer cancel()
	title := v.p.T("consent.window")
	c, err := v.service.Client()
	var q localapi.Consent
	if err == nil {
		q, err = c.Consent(ctx, v.o.Window.Session)
	}
	if over := ended(q, err); over != "" {
		v.render(w, 200, screen{Title: title, Outcome: &outcomeScreen{Outcome: content.Over(v.p, q, over)}})
		return
	}
	if err != nil {
		v.render(w, 200, screen{Title: title, Notice: content.Trouble(v.p, err)})
		return
	}
	if err := c.Shown(ctx, q.Session); err != nil {
		v.o.Log.Warn("question", "session", q.Session, "err", err)
	}
	s := &askScreen{Question: content.Ask(v.p, v.status(ctx), q), Refusals: content.Refusals(v.p), Trouble: trouble,
		Countdown: v.p.T("consent.countdown", "Count", q.Seconds)}
	for _, n := range content.Hours {
		s.Hours = append(s.Hours, content.Choice{Value: strconv.Itoa(n), Text: content.Hour(v.p, n)})
	}
	v.render(w, 200, screen{Title: title, Ask: s})
}

// ended says how a question ended, or nothing.
func ended(q localapi.Consent, err error) string {
	if err == nil {
		return q.Over
	}
	return content.Gone(err)
}

func (v *visit) postConsent(w http.ResponseWriter, r *http.Request) {
	r.Body = http.MaxBytesReader(w, r.Body, 1<<16)
	if err := r.ParseForm(); err != nil {
		v.refuse(w, http.StatusBadRequest)
		return
	}
	ctx, cancel := context.WithTimeout(r.Context(), patience)
	defer cancel()
	c, err := v.service.Client()
	var q localapi.Consent
	if err == nil {
		q, err = c.Consent(ctx, v.o.Window.Session)
	}
	if err == nil && q.Over == "" {
		switch do := r.PostForm.Get("do"); do {
		case "allow":
			long := r.PostForm.Get("long")
			if long == "hours" {
				long = r.PostForm.Get("hours")
			}
			a, trouble := content.Ask(v.p, localapi.Status{}, q).Yes(v.p, r.PostForm["scope"], long, "page")
			if trouble != "" {
				v.consent(w, r, trouble)
				return
			}
			err = c.Allow(ctx, q.Session, a)
		case "more":
			_, err = c.MoreTime(ctx, q.Session)
		case "later", "unknown_person":
			err = c.Refuse(ctx, q.Session, localapi.Refuse{Reason: do})
		default:
			err = c.Refuse(ctx, q.Session, localapi.Refuse{Reason: "no"})
		}
		if err == nil && (r.PostForm.Get("do") != "more") {
			how := "refused"
			if r.PostForm.Get("do") == "allow" {
				how = "allowed"
			}
			v.render(w, 200, screen{Title: v.p.T("consent.window"), Outcome: &outcomeScreen{Outcome: content.Over(v.p, q, how)}})
			return
		}
	}
	if err != nil && ended(q, err) == "" {
		v.consent(w, r, content.Trouble(v.p, err))
		return
	}
	http.Redirect(w, r, "/consent", http.StatusSeeOther)
}

func (v *visit) showSheet(w http.ResponseWriter, r *http.Request, kind string) {
	ctx, cancel := context.WithTimeout(r.Context(), patience)
	defer cancel()
	if kind == content.KindAccess || kind == content.KindLink {
		v.guard()
	}
	sh := v.service.Sheet(ctx, v.p, kind)
	v.mu.Lock()
	notice := v.notice
	v.notice = ""
	v.mu.Unlock()
	v.render(w, 200, screen{Title: sh.Title, Sheet: &sh, Notice: notice})
}

// guard keeps technicians' input away while permissions are changed here.
func (v *visit) guard() bool {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.guarded {
		return true
	}
	c, err := v.service.Client()
	if err == nil {
		err = c.Guard(v.life)
	}
	if err != nil {
		v.o.Log.Warn("no guard", "err", err)
		return false
	}
	v.guarded = true
	return true
}

func (v *visit) postAct(w http.ResponseWriter, r *http.Request) {
	r.Body = http.MaxBytesReader(w, r.Body, 1<<16)
	ctx, cancel := context.WithTimeout(r.Context(), patience)
	defer cancel()
	notice, err := v.service.Do(ctx, v.p, content.Action{Verb: r.PostFormValue("verb"), Arg: r.PostFormValue("arg")})
	if err != nil {
		notice = content.Trouble(v.p, err)
	}
	v.mu.Lock()
	v.notice = notice
	v.mu.Unlock()
	to := content.KindAccess
	if slices.Contains(content.Kinds, r.PostFormValue("kind")) {
		to = r.PostFormValue("kind")
	}
	http.Redirect(w, r, "/"+to, http.StatusSeeOther)
}

func (v *visit) postClose(w http.ResponseWriter, r *http.Request) {
	v.render(w, 200, screen{Title: "Traybell", Closed: v.p.T("tray.page.close")})
	if f, ok := w.(http.Flusher); ok {
		f.Flush()
	}
	go v.finish()
}

// events tells the page each second how much time is left, and when the question is over. The
// stream is also how the server knows that the page is there.
func (v *visit) events(w http.ResponseWriter, r *http.Request) {
	defer v.stream()()
	w.Header().Set("Content-Type", "text/event-stream")
	w.WriteHeader(200)
	flush := func() {
		if f, ok := w.(http.Flusher); ok {
			f.Flush()
		}
	}
	fmt.Fprint(w, ": here\n\n")
	flush()
	question := r.URL.Query().Get("for") == content.KindConsent
	t := time.NewTicker(time.Second)
	defer t.Stop()
	beat := 0
	for {
		select {
		case <-r.Context().Done():
			return
		case <-v.life.Done():
			return
		case <-t.C:
		}
		if beat++; !question {
			if beat%10 == 0 {
				fmt.Fprint(w, ": here\n\n")
				flush()
			}
			continue
		}
		c, err := v.service.Client()
		var q localapi.Consent
		if err == nil {
			q, err = c.Consent(r.Context(), v.o.Window.Session)
		}
		if ended(q, err) != "" {
			fmt.Fprint(w, "event: over\ndata: over\n\n")
			flush()
			return
		}
		if err == nil {
			fmt.Fprintf(w, "event: left\ndata: %s\n\n", v.p.T("consent.countdown", "Count", q.Seconds))
			flush()
		}
	}
}
