package page

import (
	"bytes"
	"context"
	"io"
	"mime/multipart"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/zalando/go-keyring"

	"github.com/traybell/traybell/agent/internal/localapi"
	"github.com/traybell/traybell/agent/internal/window/content"
	"github.com/traybell/traybell/agent/internal/window/launch"
	"github.com/traybell/traybell/agent/internal/window/windowtest"
	"github.com/traybell/traybell/shared/catalogue"
)

// A keyring of the machine that runs the tests stays out of them.
func TestMain(m *testing.M) {
	keyring.MockInitWithError(os.ErrNotExist)
	os.Exit(m.Run())
}

// open runs a page of a kind and returns a browser that has come in by its address.
type open struct {
	t      *testing.T
	s      *windowtest.Service
	host   string
	first  string // the address with the token
	client *http.Client
	dir    string
	ended  chan error
}

func start(t *testing.T, kind string) *open {
	t.Helper()
	b := &open{t: t, s: windowtest.Start(t), dir: t.TempDir(), ended: make(chan error, 1)}
	b.s.Example(time.Now())
	jar, _ := cookiejar.New(nil)
	b.client = &http.Client{Jar: jar, Timeout: patience}
	w := launch.Window{Kind: kind, Socket: b.s.Path}
	if kind == content.KindConsent {
		w.Session = windowtest.Session
	}
	ctx, cancel := context.WithCancel(context.Background())
	addresses := make(chan string, 1)
	done := make(chan struct{})
	go func() {
		defer close(done)
		b.ended <- Run(ctx, Options{Window: w, Language: "en", Dir: b.dir, Browse: func(u string) error { addresses <- u; return nil }})
	}()
	t.Cleanup(func() { cancel(); b.client.CloseIdleConnections(); <-done })
	select {
	case b.first = <-addresses:
	case err := <-b.ended:
		t.Fatal(err)
	}
	u, err := url.Parse(b.first)
	if err != nil {
		t.Fatal(err)
	}
	b.host = u.Host
	return b
}

func (b *open) get(path string) (int, string) {
	b.t.Helper()
	r, err := b.client.Get("http://" + b.host + path)
	return b.read(r, err)
}

func (b *open) read(r *http.Response, err error) (int, string) {
	b.t.Helper()
	if err != nil {
		b.t.Fatal(err)
	}
	defer r.Body.Close()
	body, err := io.ReadAll(r.Body)
	if err != nil {
		b.t.Fatal(err)
	}
	return r.StatusCode, string(body)
}

func (b *open) enter() string {
	b.t.Helper()
	status, body := b.read(b.client.Get(b.first))
	if status != 200 {
		b.t.Fatalf("the address answers %d: %s", status, body)
	}
	return body
}

func (b *open) post(path string, v url.Values) (int, string) {
	b.t.Helper()
	req, err := http.NewRequest("POST", "http://"+b.host+path, strings.NewReader(v.Encode()))
	if err != nil {
		b.t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	req.Header.Set("Origin", "http://"+b.host)
	return b.read(b.client.Do(req))
}

// form posts the form with files, as a browser does.
func (b *open) form(v url.Values, files map[string]string) (int, string) {
	b.t.Helper()
	var buf bytes.Buffer
	m := multipart.NewWriter(&buf)
	for k, vs := range v {
		for _, s := range vs {
			m.WriteField(k, s)
		}
	}
	for name, text := range files {
		w, err := m.CreateFormFile("files", name)
		if err != nil {
			b.t.Fatal(err)
		}
		io.WriteString(w, text)
	}
	m.Close()
	req, err := http.NewRequest("POST", "http://"+b.host+"/form", &buf)
	if err != nil {
		b.t.Fatal(err)
	}
	req.Header.Set("Content-Type", m.FormDataContentType())
	req.Header.Set("Origin", "http://"+b.host)
	return b.read(b.client.Do(req))
}

func hidden(t *testing.T, body, name string) string {
	t.Helper()
	_, rest, ok := strings.Cut(body, `name="`+name+`" value="`)
	if !ok {
		t.Fatalf("no field %s in\n%s", name, body)
	}
	value, _, _ := strings.Cut(rest, `"`)
	return value
}

func TestTheAddressWorksOnce(t *testing.T) {
	b := start(t, content.KindAbout)
	b.enter()
	if status, _ := b.get("/about"); status != 200 {
		t.Errorf("with the cookie: %d", status)
	}
	stranger := &http.Client{Timeout: patience}
	for _, address := range []string{b.first, "http://" + b.host + "/", "http://" + b.host + "/about", "http://" + b.host + "/?token=" + strings.Repeat("0", 64)} {
		if status, body := b.read(stranger.Get(address)); status != 403 || strings.Contains(body, "Traybell lets you") {
			t.Errorf("%s without the cookie: %d", address, status)
		}
	}
}

func TestAnOldTokenIsRefused(t *testing.T) {
	for _, tt := range []struct {
		name string
		late time.Duration
		want int
	}{{"in time", 0, http.StatusSeeOther}, {"too late", tokenLifeChecked + time.Second, http.StatusForbidden}} {
		t.Run(tt.name, func(t *testing.T) {
			v := newVisit(Options{Language: "en", Window: launch.Window{Kind: "about"}}, "127.0.0.1:1")
			defer v.end()
			now := time.Now()
			v.now = func() time.Time { return now.Add(tt.late) }
			w := httptest.NewRecorder()
			r := httptest.NewRequest("GET", v.address(), nil)
			v.ServeHTTP(w, r)
			if w.Code != tt.want {
				t.Errorf("got %d, want %d", w.Code, tt.want)
			}
		})
	}
}

func TestForeignHostsAndOriginsAreRefused(t *testing.T) {
	b := start(t, content.KindAccess)
	b.enter()
	own := "http://" + b.host
	for _, tt := range []struct {
		name, method, host, origin string
		cookie                     bool
		ok                         bool
	}{
		{"own page", "GET", b.host, "", true, true},
		{"own post", "POST", b.host, own, true, true},
		{"another name for this machine", "GET", "localhost:" + strings.Split(b.host, ":")[1], "", true, false},
		{"a name that a hostile site points here", "GET", "evil.example", "", true, false},
		{"a post from a hostile site", "POST", b.host, "http://evil.example", true, false},
		{"a read from a hostile site", "GET", b.host, "http://evil.example", true, false},
		{"a post from another port", "POST", b.host, "http://127.0.0.1:1", true, false},
		{"a post without an origin", "POST", b.host, "", true, false},
		{"a post from a file", "POST", b.host, "null", true, false},
		{"own post without the cookie", "POST", b.host, own, false, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			before := len(b.s.Said("POST /v1/end"))
			path, body := "/access", io.Reader(nil)
			if tt.method == "POST" {
				path, body = "/act", strings.NewReader("verb=end-all")
			}
			req, err := http.NewRequest(tt.method, own+path, body)
			if err != nil {
				t.Fatal(err)
			}
			req.Host = tt.host
			req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
			if tt.origin != "" {
				req.Header.Set("Origin", tt.origin)
			}
			client := b.client
			if !tt.cookie {
				client = &http.Client{Timeout: patience}
			}
			status, _ := b.read(client.Do(req))
			if (status == 200) != tt.ok {
				t.Errorf("answered %d", status)
			}
			acted := len(b.s.Said("POST /v1/end")) > before
			if want := tt.ok && tt.method == "POST"; acted != want {
				t.Errorf("acted: %v, want %v", acted, want)
			}
		})
	}
}

func TestAPageIsLockedDown(t *testing.T) {
	b := start(t, content.KindAbout)
	b.enter()
	r, err := b.client.Get("http://" + b.host + "/about")
	if err != nil {
		t.Fatal(err)
	}
	defer r.Body.Close()
	if got := r.Header.Get("Referrer-Policy"); got != "same-origin" {
		t.Errorf("with the referrer policy %q a browser sends our forms from the origin \"null\"", got)
	}
	csp := r.Header.Get("Content-Security-Policy")
	for _, part := range []string{"default-src 'none'", "frame-ancestors 'none'", "form-action 'self'"} {
		if !strings.Contains(csp, part) {
			t.Errorf("the policy %q lacks %q", csp, part)
		}
	}
	if strings.Contains(csp, "unsafe") {
		t.Errorf("the policy is open: %q", csp)
	}
	if c := b.client.Jar.Cookies(&url.URL{Scheme: "http", Host: b.host, Path: "/"}); len(c) != 1 {
		t.Errorf("%d cookies", len(c))
	}
}

func TestFormTellsTheThreeTruths(t *testing.T) {
	valid := func(id string) url.Values {
		return url.Values{"id": {id}, "title": {"Printer <b>blank</b>"}, "email": {"l.rossi@studioverdi.it"}, "name": {"Lucia Rossi"}, "working": {"difficult"}, "affected": {"me"}, "remember": {"1"}, "do": {"send"}}
	}
	b := start(t, content.KindForm)
	id := hidden(t, b.enter(), "id")

	status, body := b.form(url.Values{"id": {id}, "title": {""}, "email": {"nobody"}, "do": {"send"}}, nil)
	if status != 422 || !strings.Contains(body, "The title is missing") || !strings.Contains(body, "This address is not complete") || !strings.Contains(body, `aria-invalid="true"`) {
		t.Errorf("a form without a title: %d\n%s", status, body)
	}
	b.s.Lock()
	if len(b.s.Sent) != 0 {
		t.Error("an incomplete form was sent")
	}
	b.s.Filed = localapi.Filed{State: localapi.FiledRefused, Code: localapi.CodeDiskFull}
	b.s.Unlock()
	_, body = b.form(valid(id), map[string]string{"error log.txt": "line"})
	if !strings.Contains(body, "Not sent and not kept: the disk is full.") || strings.Contains(body, "Sent.") || !strings.Contains(body, "Printer &lt;b&gt;blank") {
		t.Errorf("a full disk:\n%s", body)
	}
	if _, page := b.get("/form"); !strings.Contains(page, "Printer &lt;b&gt;blank") {
		t.Error("the text is lost")
	}

	b.s.Lock()
	b.s.Filed = localapi.Filed{State: localapi.FiledSent, Number: 1042}
	b.s.Unlock()
	if _, body = b.form(valid(id), nil); !strings.Contains(body, "Sent. Your ticket is #1042.") {
		t.Errorf("sent:\n%s", body)
	}
	b.s.Lock()
	last := b.s.Sent[len(b.s.Sent)-1]
	if last.ID != id || last.Title != "Printer <b>blank</b>" || last.Severity != "medium" || last.Files != 1 || last.Email != "l.rossi@studioverdi.it" {
		t.Errorf("sent %+v", last)
	}
	if f := b.s.Files[len(b.s.Files)-1]; f.Name != "error log.txt" || string(f.Bytes) != "line" {
		t.Errorf("put %+v", f)
	}
	b.s.Filed = localapi.Filed{State: localapi.FiledKept}
	b.s.Unlock()
	left, err := filepath.Glob(filepath.Join(b.dir, "picture-*"))
	if err != nil || len(left) != 0 {
		t.Errorf("files stay after sending: %v", left)
	}

	_, body = b.get("/form")
	next := hidden(t, body, "id")
	if next == id {
		t.Error("the next form has the old id")
	}
	if !strings.Contains(body, "l.rossi@studioverdi.it") {
		t.Error("the details are not remembered")
	}
	if _, body = b.form(valid(next), nil); !strings.Contains(body, "Kept on this computer, not sent yet.") || strings.Contains(body, "Your ticket is") {
		t.Errorf("kept:\n%s", body)
	}
}

func TestHelpBeforehandIsChosenUnderGuard(t *testing.T) {
	b := start(t, content.KindForm)
	body := b.enter()
	id := hidden(t, body, "id")
	if strings.Contains(body, "Until this ticket is closed") {
		t.Error("help is offered without a guard")
	}
	fields := url.Values{"id": {id}, "title": {"x"}, "email": {"a@b.example"}, "do": {"help"}}
	if _, body = b.form(fields, nil); !strings.Contains(body, "Until this ticket is closed") || len(b.s.Said("POST /v1/guard")) != 1 {
		t.Errorf("no choices, or no guard:\n%s", body)
	}
	fields.Set("do", "send")
	fields.Set("help", "ticket")
	fields.Set("helping", "1")
	b.form(fields, nil)
	b.s.Lock()
	defer b.s.Unlock()
	if len(b.s.Sent) != 1 || b.s.Sent[0].Help != "ticket" {
		t.Errorf("sent %+v", b.s.Sent)
	}
}

func TestHelpWithoutItsChoicesIsIgnored(t *testing.T) {
	b := start(t, content.KindForm)
	id := hidden(t, b.enter(), "id")
	b.form(url.Values{"id": {id}, "title": {"x"}, "email": {"a@b.example"}, "do": {"send"}, "help": {"48"}}, nil)
	b.s.Lock()
	defer b.s.Unlock()
	if len(b.s.Sent) != 1 || b.s.Sent[0].Help != "" {
		t.Errorf("sent %+v", b.s.Sent)
	}
}

func TestADraftSurvives(t *testing.T) {
	b := start(t, content.KindForm)
	id := hidden(t, b.enter(), "id")
	if status, _ := b.post("/draft", url.Values{"id": {id}, "title": {"half a sent"}, "email": {"a@b.example"}}); status != 204 {
		t.Fatalf("draft: %d", status)
	}
	if status, _ := b.post("/draft", url.Values{"id": {"another"}, "title": {"x"}}); status != 409 {
		t.Errorf("a draft of another form: %d", status)
	}
	saved, err := os.ReadFile(filepath.Join(b.dir, "draft-1.json"))
	if err != nil || !strings.Contains(string(saved), "half a sent") {
		t.Errorf("on disk: %s %v", saved, err)
	}
}

func TestAQuestionIsAllowedRefusedAndOver(t *testing.T) {
	b := start(t, content.KindConsent)
	body := b.enter()
	for _, text := range []string{"Anna Bianchi would like to help you on this computer.", "OLIVE TRAIN SILVER MOON", "Not recorded.", "clipboard, files, commands", "No answer in 58 seconds means no."} {
		if !strings.Contains(body, text) {
			t.Errorf("the question lacks %q", text)
		}
	}
	if len(b.s.Said("POST /v1/consents/"+windowtest.Session+"/shown")) == 0 {
		t.Error("the service does not know that the question is shown")
	}
	// What a browser presses on Enter is the first submit button: it must be one that does nothing.
	first := body[strings.Index(body, `<form method="post" action="/consent"`):]
	if button, _, _ := strings.Cut(first[strings.Index(first, "<button"):], ">"); !strings.Contains(button, "disabled") {
		t.Errorf("Enter would press %s", button)
	}
	if _, body = b.post("/consent", url.Values{"do": {"allow"}}); !strings.Contains(body, "Nothing is ticked") {
		t.Errorf("allowed nothing:\n%s", body)
	}
	if _, body = b.post("/consent", url.Values{"do": {"allow"}, "scope": {"control"}}); !strings.Contains(body, "need the screen as well") {
		t.Errorf("control without view:\n%s", body)
	}
	if _, body = b.post("/consent", url.Values{"do": {"more"}}); !strings.Contains(body, "118 seconds") {
		t.Errorf("more time:\n%s", body)
	}
	if _, body = b.post("/consent", url.Values{"do": {"allow"}, "scope": {"view", "terminal"}, "long": {"hours"}, "hours": {"4"}}); !strings.Contains(body, "Allowed. Anna Bianchi can connect now.") {
		t.Errorf("allowed:\n%s", body)
	}
	b.s.Lock()
	if len(b.s.Allowed) != 1 || len(b.s.Allowed[0].Scopes) != 1 || b.s.Allowed[0].Scopes[0] != "view" || b.s.Allowed[0].For != "4" || b.s.Allowed[0].How != "page" {
		t.Errorf("allowed %+v", b.s.Allowed)
	}
	b.s.Unlock()
	if _, body = b.get("/consent"); !strings.Contains(body, "Allowed.") || strings.Contains(body, `value="allow"`) {
		t.Errorf("afterwards:\n%s", body)
	}
}

func TestRefusals(t *testing.T) {
	for do, reason := range map[string]string{"no": "no", "later": "later", "unknown_person": "unknown_person", "": "no", "nonsense": "no"} {
		t.Run(do, func(t *testing.T) {
			b := start(t, content.KindConsent)
			b.enter()
			if _, body := b.post("/consent", url.Values{"do": {do}, "scope": {"view"}}); !strings.Contains(body, "Refused. Nobody can connect.") {
				t.Errorf("got\n%s", body)
			}
			b.s.Lock()
			defer b.s.Unlock()
			if len(b.s.Allowed) != 0 || len(b.s.Refused) != 1 || b.s.Refused[0].Reason != reason {
				t.Errorf("allowed %v, refused %v", b.s.Allowed, b.s.Refused)
			}
		})
	}
}

func TestAccessIsEndedAndGuarded(t *testing.T) {
	b := start(t, content.KindAccess)
	if body := b.enter(); !strings.Contains(body, "Anna Bianchi · Rossi IT") || !strings.Contains(body, "until #1042 is closed") {
		t.Errorf("access:\n%s", body)
	}
	if len(b.s.Said("POST /v1/guard")) != 1 {
		t.Error("technicians' input is not kept away")
	}
	if _, body := b.post("/act", url.Values{"verb": {"end-all"}}); !strings.Contains(body, "Ended. Nobody can connect now.") || strings.Contains(body, "until #1042") {
		t.Errorf("ended:\n%s", body)
	}
}

func TestEveryPageRendersInEveryLanguage(t *testing.T) {
	for _, code := range catalogue.Languages {
		s := windowtest.Start(t)
		s.Example(time.Now())
		v := newVisit(Options{Language: code, Dir: t.TempDir(), Window: launch.Window{Kind: "consent", Session: windowtest.Session, Socket: s.Path}}, "127.0.0.1:1")
		for _, kind := range content.Kinds {
			w := httptest.NewRecorder()
			r := httptest.NewRequest("GET", "http://127.0.0.1:1/"+kind, nil)
			r.AddCookie(&http.Cookie{Name: cookieName, Value: v.cookie})
			v.ServeHTTP(w, r)
			body := w.Body.String()
			if w.Code != 200 || !strings.HasSuffix(strings.TrimSpace(body), "</html>") || !strings.Contains(body, `<html lang="`+code+`"`) {
				t.Errorf("%s %s: %d\n%s", code, kind, w.Code, body)
			}
			for _, area := range []string{"form.", "tray.", "consent.", "word."} {
				if strings.Contains(body, ">"+area) {
					t.Errorf("%s %s: a text is missing (%s…)", code, kind, area)
				}
			}
		}
		v.end()
	}
}

func TestThePageEndsWhenItIsClosed(t *testing.T) {
	b := start(t, content.KindAbout)
	b.enter()
	if _, body := b.post("/close", nil); !strings.Contains(body, "You can close this tab now.") {
		t.Errorf("got\n%s", body)
	}
	select {
	case err := <-b.ended:
		if err != nil {
			t.Error(err)
		}
	case <-time.After(patience):
		t.Error("it goes on")
	}
}
