package window

import (
	"bytes"
	"context"
	"errors"
	"image"
	"image/color"
	"image/png"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"fyne.io/fyne/v2"
	"fyne.io/fyne/v2/canvas"
	"fyne.io/fyne/v2/test"
	"github.com/zalando/go-keyring"

	"github.com/traybell/traybell/agent/internal/localapi"
	"github.com/traybell/traybell/agent/internal/window/content"
	"github.com/traybell/traybell/agent/internal/window/keep"
	"github.com/traybell/traybell/agent/internal/window/windowtest"
	"github.com/traybell/traybell/shared/api"
	"github.com/traybell/traybell/shared/catalogue"
	"github.com/traybell/traybell/shared/grant"
)

func TestMain(m *testing.M) {
	keyring.MockInitWithError(os.ErrNotExist) // the machine's own keyring stays out of tests
	os.Exit(m.Run())
}

// bench is a window with its service; everything runs on the test's goroutine.
type bench struct {
	s   *windowtest.Service
	w   fyne.Window
	o   Options
	now time.Time
}

func start(t *testing.T) *bench {
	t.Helper()
	a := test.NewApp()
	t.Cleanup(a.Quit)
	a.Settings().SetTheme(Theme())
	b := &bench{s: windowtest.Start(t), now: time.Date(2026, 11, 22, 12, 3, 0, 0, time.Local)}
	b.s.Example(b.now)
	b.w = test.NewWindow(nil)
	now := func(f func()) { f() }
	b.o = Options{Service: content.NewService(b.s.Path, "en"), Words: catalogue.For("en"), Status: b.s.Status, Report: b.s.Report,
		Dir: t.TempDir(), Now: func() time.Time { return b.now }, Go: now, Do: now}
	return b
}

// texts is everything readable in the window, and its pressable things by their text.
func (b *bench) look() (texts []string, presses map[string]*press) {
	presses = map[string]*press{}
	var walk func(fyne.CanvasObject)
	walk = func(o fyne.CanvasObject) {
		if !o.Visible() {
			return
		}
		switch o := o.(type) {
		case *press:
			presses[o.text] = o
			texts = append(texts, o.text)
		case *para:
			texts = append(texts, o.text)
		case *canvas.Text:
			texts = append(texts, o.Text)
		case *fyne.Container:
			for _, c := range o.Objects {
				walk(c)
			}
		case fyne.Widget:
			for _, c := range test.WidgetRenderer(o).Objects() {
				walk(c)
			}
		}
	}
	walk(b.w.Content())
	return texts, presses
}

func (b *bench) has(text string) bool {
	texts, _ := b.look()
	for _, s := range texts {
		if strings.Contains(s, text) {
			return true
		}
	}
	return false
}

func (b *bench) press(t *testing.T, text string) {
	t.Helper()
	_, presses := b.look()
	p := presses[text]
	if p == nil {
		t.Fatalf("there is no %q", text)
	}
	test.Tap(p)
}

func (b *bench) want(t *testing.T, texts ...string) {
	t.Helper()
	for _, s := range texts {
		if !b.has(s) {
			all, _ := b.look()
			t.Errorf("the window lacks %q:\n%s", s, strings.Join(all, "\n"))
		}
	}
}

func (b *bench) lacks(t *testing.T, texts ...string) {
	t.Helper()
	for _, s := range texts {
		if b.has(s) {
			t.Errorf("the window shows %q", s)
		}
	}
}

func TestFormStartsInTitleAndIsFilledByTyping(t *testing.T) {
	b := start(t)
	v := NewForm(b.w, b.o)
	defer v.Close()
	if b.w.Canvas().Focused() != v.title {
		t.Error("the focus is not in Title")
	}
	if size := b.w.Canvas().Size(); size.Width > wide+1 || size.Height > formHigh {
		t.Errorf("the form is %v", size)
	}
	test.Type(v.title, "Принтер печатает пустые страницы")
	test.Type(v.email, "l.rossi@studioverdi.it")
	b.press(t, "With difficulty")
	b.want(t, "Medium", "urgent in nature", "Urgent? 051 123 4567")
	b.press(t, "It may be a security problem")
	b.want(t, "Critical", "Stop using the computer, leave it switched on, and call 051 123 4567.")
	b.press(t, "It may be a security problem")
	v.Unfold()
	b.want(t, "If everything is Critical, nothing is.")
	b.press(t, "High")
	b.want(t, "one user stopped")
	b.press(t, "Send")
	b.want(t, "Sent. Your ticket is #1042.", "l.rossi@studioverdi.it")
	if len(b.s.Sent) != 1 {
		t.Fatalf("%d tickets", len(b.s.Sent))
	}
	got := b.s.Sent[0]
	if got.Title != "Принтер печатает пустые страницы" || got.Severity != api.High || got.Answers.Working != "difficult" || got.ID != v.f.ID || len(got.Facts) != 6 {
		t.Errorf("sent %+v", got)
	}
}

func TestAnIncompleteFormSaysWhatIsMissingBesideIt(t *testing.T) {
	b := start(t)
	v := NewForm(b.w, b.o)
	defer v.Close()
	b.press(t, "Send")
	b.want(t, "Not sent yet: please look at the marked fields.", "The title is missing", "The e-mail address is missing")
	if len(b.s.Sent) != 0 {
		t.Error("it was sent")
	}
	if b.w.Canvas().Focused() != v.title {
		t.Error("the focus is not at the first error")
	}
	test.Type(v.title, "x")
	b.lacks(t, "The title is missing")
	test.Type(v.email, "l.rossi@")
	b.press(t, "Send")
	b.want(t, "This address is not complete")
	test.Type(v.email, "studioverdi.it")
	b.press(t, "Send")
	b.want(t, "Sent. Your ticket is #1042.")
}

func TestTheThreeTruths(t *testing.T) {
	for _, tt := range []struct {
		name  string
		filed localapi.Filed
		down  bool
		want  []string
		lacks []string
	}{
		{"sent", localapi.Filed{State: localapi.FiledSent, Number: 1042, FilesPending: 2}, false,
			[]string{"Sent. Your ticket is #1042.", "2 files are still on their way"}, []string{"Try again", "Kept"}},
		{"kept", localapi.Filed{State: localapi.FiledKept}, false,
			[]string{"Kept on this computer, not sent yet.", "Urgent? Call 051 123 4567"}, []string{"Sent.", "Try again", "#"}},
		{"disk full", localapi.Filed{State: localapi.FiledRefused, Code: localapi.CodeDiskFull}, false,
			[]string{"Not sent and not kept: the disk is full.", "Your text stays in this window.", "Try again", "Copy the text"}, []string{"Sent.", "Kept on"}},
		{"refused", localapi.Filed{State: localapi.FiledRefused, Reason: "the title is forbidden"}, false,
			[]string{"Not sent and not kept: the title is forbidden"}, []string{"Sent.", "Kept on"}},
		{"sent without a number is not believed", localapi.Filed{State: localapi.FiledSent}, false, []string{"Not sent and not kept"}, []string{"Sent. Your"}},
		{"the service is gone", localapi.Filed{}, true, []string{"Not sent and not kept: the Traybell service does not answer."}, []string{"Sent.", "Kept on"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			b := start(t)
			b.s.Filed = tt.filed
			f := content.NewForm(b.now)
			f.Title, f.Email = "Printer", "a@b.example"
			v := NewFilled(b.w, b.o, f, false)
			if tt.down {
				b.s.Close()
			}
			v.Submit()
			b.want(t, tt.want...)
			b.lacks(t, tt.lacks...)
		})
	}
}

func TestTryAgainSendsTheSameTicket(t *testing.T) {
	b := start(t)
	b.s.Filed = localapi.Filed{State: localapi.FiledRefused, Code: localapi.CodeDiskFull}
	v := NewForm(b.w, b.o)
	defer v.Close()
	test.Type(v.title, "Printer")
	test.Type(v.email, "a@b.example")
	b.press(t, "Send")
	b.press(t, "Copy the text")
	if got := fyne.CurrentApp().Clipboard().Content(); !strings.Contains(got, "Printer") {
		t.Errorf("copied %q", got)
	}
	if _, err := os.Stat(filepath.Join(b.o.Dir, "draft-1.json")); err != nil {
		// The draft follows typing after a rest; leaving now must not lose it.
		v.Close()
		if _, err := os.Stat(filepath.Join(b.o.Dir, "draft-1.json")); err != nil {
			t.Error("the text is nowhere on disk")
		}
	}
	b.s.Filed = localapi.Filed{State: localapi.FiledSent, Number: 7}
	b.press(t, "Try again")
	b.want(t, "Sent. Your ticket is #7.")
	if len(b.s.Sent) != 2 || b.s.Sent[0].ID != b.s.Sent[1].ID {
		t.Errorf("sent %+v", b.s.Sent)
	}
}

func TestHelpBeforehandIsChosenUnderGuard(t *testing.T) {
	b := start(t)
	v := NewForm(b.w, b.o)
	defer v.Close()
	test.Type(v.title, "x")
	test.Type(v.email, "a@b.example")
	b.lacks(t, "Until this ticket is closed")
	b.want(t, "Ask me each time")
	_, presses := b.look()
	if presses["Change"] == nil {
		t.Fatal("there is no way to change it")
	}
	test.Tap(lastPress(b, "Change"))
	if len(b.s.Said("POST /v1/guard")) != 1 {
		t.Error("technicians' input is not held off")
	}
	b.want(t, "Nobody connects without this permission. You can end it at any time.")
	b.press(t, "Until this ticket is closed")
	b.press(t, "Send")
	if len(b.s.Sent) != 1 || b.s.Sent[0].Help != "ticket" {
		t.Errorf("sent %+v", b.s.Sent)
	}
}

// lastPress is the last thing in the window that can be pressed and reads text.
func lastPress(b *bench, text string) (last *press) {
	var walk func(fyne.CanvasObject)
	walk = func(o fyne.CanvasObject) {
		if !o.Visible() {
			return
		}
		switch o := o.(type) {
		case *press:
			if o.text == text {
				last = o
			}
		case *fyne.Container:
			for _, c := range o.Objects {
				walk(c)
			}
		case fyne.Widget:
			for _, c := range test.WidgetRenderer(o).Objects() {
				walk(c)
			}
		}
	}
	walk(b.w.Content())
	return last
}

func TestHelpIsNoPartOfTheDraft(t *testing.T) {
	b := start(t)
	v := NewForm(b.w, b.o)
	test.Type(v.title, "x")
	v.f.Help = "ticket"
	v.Close()
	v = NewForm(test.NewWindow(nil), b.o)
	defer v.Close()
	if v.f.Title != "x" || v.f.Help != "" {
		t.Errorf("came back as %+v", v.f)
	}
}

func TestWithoutAGuardNoHelpIsOffered(t *testing.T) {
	b := start(t)
	v := NewForm(b.w, b.o)
	defer v.Close()
	b.s.Close()
	test.Tap(lastPress(b, "Change"))
	b.want(t, "The Traybell service does not answer")
	b.lacks(t, "Until this ticket is closed")
}

func TestADraftComesBackAfterACrash(t *testing.T) {
	b := start(t)
	first := NewForm(b.w, b.o)
	test.Type(first.title, "half a sentence")
	id := first.f.ID
	first.Close()

	b.w = test.NewWindow(nil)
	v := NewForm(b.w, b.o)
	b.want(t, "What you had typed is back.", "half a sentence")
	if v.f.ID != id {
		t.Error("the restored form has another id, and could become a second ticket")
	}
	b.press(t, "Start afresh")
	b.lacks(t, "half a sentence")
	if v.f.ID == id {
		t.Error("the fresh form has the old id")
	}
	v.Close()
	b.w = test.NewWindow(nil)
	NewForm(b.w, b.o).Close()
	b.lacks(t, "What you had typed is back.")
}

func TestDetailsAreOneLineOnceRemembered(t *testing.T) {
	b := start(t)
	if err := keep.Remember(b.o.Dir, keep.Details{Email: "l.rossi@studioverdi.it", Name: "Lucia Rossi"}); err != nil {
		t.Fatal(err)
	}
	v := NewForm(b.w, b.o)
	defer v.Close()
	b.want(t, "Lucia Rossi, l.rossi@studioverdi.it")
	b.lacks(t, "E-mail *")
	b.press(t, "Forget them")
	b.want(t, "Forgotten.", "E-mail *")
	if v.f.Email != "" {
		t.Error("the address is still in the form")
	}
	if _, ok := keep.Recall(b.o.Dir); ok {
		t.Error("still remembered")
	}
}

func TestSentDetailsAreRememberedOnlyIfWished(t *testing.T) {
	for _, wished := range []bool{true, false} {
		b := start(t)
		v := NewForm(b.w, b.o)
		test.Type(v.title, "x")
		test.Type(v.email, "a@b.example")
		if !wished {
			b.press(t, "Remember my details on this computer")
		}
		b.press(t, "Send")
		v.Wait()
		if _, ok := keep.Recall(b.o.Dir); ok != wished {
			t.Errorf("remembered %v, wished %v", ok, wished)
		}
	}
}

func TestWhatIsCoveredIsGone(t *testing.T) {
	b := start(t)
	secret := image.NewRGBA(image.Rect(0, 0, 200, 100))
	for i := range secret.Pix {
		secret.Pix[i] = 0xff
	}
	secret.Set(50, 50, color.NRGBA{R: 0xff, A: 0xff})
	b.o.Capture = func(context.Context) (image.Image, error) { return secret, nil }
	v := NewForm(b.w, b.o)
	test.Type(v.title, "x")
	test.Type(v.email, "a@b.example")
	b.press(t, "Take a screenshot")
	b.want(t, "Cover what nobody should see, then attach it.")
	var c *covered
	var find func(fyne.CanvasObject)
	find = func(o fyne.CanvasObject) {
		if x, ok := o.(*covered); ok {
			c = x
		}
		if x, ok := o.(*fyne.Container); ok {
			for _, o := range x.Objects {
				find(o)
			}
		}
	}
	find(b.w.Content())
	origin, scale := c.fit()
	from := origin.AddXY(40*scale, 40*scale)
	to := origin.AddXY(60*scale, 60*scale)
	drag := func() {
		e := &fyne.DragEvent{Dragged: fyne.Delta{DX: to.X - from.X, DY: to.Y - from.Y}}
		e.Position = to
		c.Dragged(e)
		c.DragEnd()
	}
	drag()
	b.press(t, "Uncover the last")
	if len(c.rects) != 0 {
		t.Error("it stays covered")
	}
	drag()
	b.press(t, "Attach")
	b.want(t, "screenshot-1.png")
	b.press(t, "Send")
	if len(b.s.Files) != 1 || b.s.Files[0].Type != "image/png" {
		t.Fatalf("files: %+v", b.s.Files)
	}
	img, err := png.Decode(bytes.NewReader(b.s.Files[0].Bytes))
	if err != nil {
		t.Fatal(err)
	}
	if r, g, bl, _ := img.At(50, 50).RGBA(); r|g|bl != 0 {
		t.Errorf("under the cover is %x %x %x", r, g, bl)
	}
	if r, _, _, _ := img.At(10, 10).RGBA(); r == 0 {
		t.Error("everything is covered")
	}
	if left, _ := filepath.Glob(filepath.Join(b.o.Dir, "picture-*")); len(left) != 0 {
		t.Errorf("pictures stay: %v", left)
	}
}

func TestAFailedScreenshotIsSaid(t *testing.T) {
	b := start(t)
	b.o.Capture = func(context.Context) (image.Image, error) { return nil, errors.New("no display") }
	v := NewForm(b.w, b.o)
	defer v.Close()
	b.press(t, "Take a screenshot")
	b.want(t, "No screenshot could be taken: no display")
}

func TestFilesAreAttachedRemovedAndBounded(t *testing.T) {
	b := start(t)
	v := NewForm(b.w, b.o)
	defer v.Close()
	path := filepath.Join(t.TempDir(), "error log.txt")
	if err := os.WriteFile(path, []byte("line"), 0o600); err != nil {
		t.Fatal(err)
	}
	v.Attach(path)
	b.want(t, "error log.txt", "4 B", "At most 50 files, 200 MB together.")
	v.Attach(filepath.Dir(path))
	b.want(t, "it is not a file")
	v.Attach(path + ".gone")
	b.want(t, "can't be read")
	huge := filepath.Join(t.TempDir(), "huge")
	f, err := os.Create(huge)
	if err != nil {
		t.Fatal(err)
	}
	if err := f.Truncate(content.MaxTogether); err != nil { // sparse
		t.Fatal(err)
	}
	f.Close()
	v.Attach(huge)
	b.want(t, "huge does not fit any more")
	if len(v.f.Files) != 1 {
		t.Fatalf("%d files", len(v.f.Files))
	}
	b.press(t, "Remove")
	b.lacks(t, "error log.txt")
}

func question(t *testing.T) (*bench, *Question) {
	b := start(t)
	v := NewQuestion(b.w, b.o, b.s.Consents[windowtest.Session])
	return b, v
}

// after moves the clock on and lets the window follow.
func (b *bench) after(v *Question, d time.Duration) {
	b.now = b.now.Add(d)
	v.Tick()
}

func TestAllowWorksOneSecondAfterTheQuestionIsDrawn(t *testing.T) {
	b, v := question(t)
	b.want(t, "Anna Bianchi would like to help you on this computer.", "Rossi IT, your support provider", "OLIVE TRAIN SILVER MOON",
		"clipboard, files, commands", "No answer in 58 seconds means no.", "Not recorded.")
	b.press(t, "Allow")
	b.after(v, 5*time.Second)
	b.press(t, "Allow") // never drawn: the person has not seen it
	v.Drawn()
	b.after(v, 500*time.Millisecond)
	b.press(t, "Allow")
	if len(b.s.Allowed) != 0 {
		t.Fatal("allowed too soon")
	}
	b.after(v, 500*time.Millisecond)
	b.press(t, "until #1042 is closed")
	b.press(t, "use mouse and keyboard")
	b.press(t, "Allow")
	if len(b.s.Allowed) != 1 {
		t.Fatal("not allowed")
	}
	if a := b.s.Allowed[0]; len(a.Scopes) != 1 || a.Scopes[0] != grant.View || a.For != "ticket" || a.How != "window" {
		t.Errorf("allowed %+v", a)
	}
	b.want(t, "Allowed. Anna Bianchi can connect now.")
	if len(b.s.Said("POST /v1/consents/"+windowtest.Session+"/shown")) != 1 {
		t.Error("the service was not told that the question is shown")
	}
}

func TestEnterNeverAllowsAndEscRefuses(t *testing.T) {
	b, v := question(t)
	v.Drawn()
	b.after(v, 2*time.Second)
	_, presses := b.look()
	for _, key := range []fyne.KeyName{fyne.KeyReturn, fyne.KeyEnter} {
		presses["Allow"].TypedKey(&fyne.KeyEvent{Name: key})
		b.w.Canvas().OnTypedKey()(&fyne.KeyEvent{Name: key})
		for _, p := range presses {
			if p.face >= check {
				p.TypedKey(&fyne.KeyEvent{Name: key})
			}
		}
	}
	if len(b.s.Allowed) != 0 {
		t.Fatal("Enter allowed it")
	}
	if b.w.Canvas().Focused() != nil {
		t.Error("something has the focus when it opens")
	}
	b.w.Canvas().OnTypedKey()(&fyne.KeyEvent{Name: fyne.KeyEscape})
	if len(b.s.Refused) != 1 || b.s.Refused[0].Reason != "no" {
		t.Errorf("Esc gave %+v", b.s.Refused)
	}
	b.want(t, "Refused. Nobody can connect.")
}

func TestEscRefusesFromEveryControl(t *testing.T) {
	b, v := question(t)
	_, presses := b.look()
	for text := range presses {
		b.s.Consents[windowtest.Session] = v.q.Consent
		b.s.Refused = nil
		NewQuestion(b.w, b.o, v.q.Consent)
		_, presses := b.look()
		presses[text].TypedKey(&fyne.KeyEvent{Name: fyne.KeyEscape})
		if len(b.s.Refused) != 1 {
			t.Errorf("Esc on %q does not refuse", text)
		}
	}
}

func TestOnlyTheOwnAnswerClosesTheWindow(t *testing.T) {
	for _, own := range []bool{true, false} {
		b, v := question(t)
		closed := false
		b.w.SetOnClosed(func() { closed = true })
		v.Drawn()
		if own {
			b.press(t, "Refuse")
		} else {
			v.Over("withdrawn")
		}
		b.after(v, linger-time.Second)
		if closed {
			t.Error("closed before it can be read")
		}
		b.after(v, time.Second)
		if closed != own {
			t.Errorf("own answer %v: closed %v", own, closed)
		}
	}
}

func TestSilenceIsNo(t *testing.T) {
	b, v := question(t)
	v.Drawn()
	for range 57 {
		b.s.Lock()
		c := b.s.Consents[windowtest.Session]
		c.Seconds-- // the service's own countdown
		b.s.Consents[windowtest.Session] = c
		b.s.Unlock()
		b.after(v, time.Second)
	}
	b.want(t, "No answer in 1 second means no.")
	b.s.Lock()
	delete(b.s.Consents, windowtest.Session)
	b.s.Unlock()
	b.after(v, time.Second)
	b.want(t, "No answer means no. Nobody can connect.")
	if len(b.s.Allowed) != 0 {
		t.Error("silence allowed it")
	}
}

func TestMoreTimeAndWithdrawal(t *testing.T) {
	b, v := question(t)
	v.Drawn()
	b.press(t, "More time")
	b.want(t, "No answer in 118 seconds means no.")
	b.s.Lock()
	c := b.s.Consents[windowtest.Session]
	c.Over = "withdrawn"
	b.s.Consents[windowtest.Session] = c
	b.s.Unlock()
	for range 5 {
		b.after(v, time.Second)
	}
	b.want(t, "Anna Bianchi no longer asks.")
}

func TestNothingTickedIsNotAYes(t *testing.T) {
	b, v := question(t)
	v.Drawn()
	b.after(v, 2*time.Second)
	b.press(t, "see the screen")
	b.press(t, "Allow")
	b.want(t, "Mouse and keyboard need the screen as well.")
	b.press(t, "use mouse and keyboard")
	b.press(t, "Allow")
	b.want(t, "Nothing is ticked")
	if len(b.s.Allowed) != 0 {
		t.Errorf("allowed %+v", b.s.Allowed)
	}
}

func TestAllowAndRefuseWeighTheSame(t *testing.T) {
	b, v := question(t)
	v.Drawn()
	b.after(v, 2*time.Second)
	_, p := b.look()
	a, r := p["Allow"], p["Refuse"]
	if a.face != r.face || a.face == solid || a.Size() != r.Size() || a.off || r.off {
		t.Errorf("Allow %+v, Refuse %+v", a, r)
	}
}

func TestAccessIsEndedFromItsWindow(t *testing.T) {
	b := start(t)
	NewSheet(b.w, b.o, b.o.Service.Sheet(context.Background(), b.o.Words, content.KindAccess))
	b.want(t, "Anna Bianchi · Rossi IT", "until #1042 is closed", "≤ 2 hours")
	b.press(t, "Pause")
	b.want(t, "paused: nobody sees or touches anything")
	b.press(t, "Go on")
	b.press(t, "End everything now")
	b.want(t, "Ended. Nobody can connect now.", "Nobody can connect now. When support wants to help")
	if len(b.s.Grants) != 0 || len(b.s.Sessions) != 0 {
		t.Error("something is still open")
	}
}

func TestAComputerIsLinkedFromItsWindow(t *testing.T) {
	b := start(t)
	b.s.Owners = []api.Owner{{ID: "w1", Name: "Carla Neri", Email: "c.neri@studioverdi.it", Confirmed: true, Since: b.now.UnixMicro()}}
	NewSheet(b.w, b.o, b.o.Service.Sheet(context.Background(), b.o.Words, content.KindLink))
	b.want(t, "Carla Neri", "Type here the code")
	b.press(t, "End the link")
	b.want(t, "Ended. The account no longer sees this computer.")
	if len(b.s.Owners) != 0 {
		t.Error("the link was not ended")
	}
	b.press(t, "Continue")
	b.want(t, "Type the code first.")
	typed := func(code string) {
		test.Type(b.w.Canvas().Focused(), code)
		b.press(t, "Continue")
	}
	typed("WRONG-CODES")
	b.want(t, "This code is not known here.")
	typed(b.s.Code)
	b.want(t, "The code belongs to this account. Is it yours?", "Lucia Rossi", "l.rossi@studioverdi.it")
	b.press(t, "No, not mine")
	b.want(t, "Nothing was linked.", "Type here the code")
	if said := b.s.Said("POST /v1/owners"); slices.ContainsFunc(said, func(c windowtest.Call) bool { return c.Line == "POST /v1/owners" }) {
		t.Fatal("linked without a yes")
	}
	typed(b.s.Code)
	b.press(t, "Yes, link it")
	b.want(t, "Confirmed here. Now confirm it in the portal too, signed in as Lucia Rossi.")
}

func TestASheetThatCantBeReadSaysSo(t *testing.T) {
	b := start(t)
	b.s.Close()
	NewSheet(b.w, b.o, b.o.Service.Sheet(context.Background(), b.o.Words, content.KindTickets))
	b.want(t, "The Traybell service does not answer on this computer.", "Look again")
}

func TestTicketsListTheUsersOwn(t *testing.T) {
	b := start(t)
	NewSheet(b.w, b.o, b.o.Service.Sheet(context.Background(), b.o.Words, content.KindTickets))
	b.want(t, "#1042  Printer on the 2nd floor", "Open: somebody is working on it", "Anna Bianchi has answered", "1 file still to send", "Kept on this computer, not sent yet")
}

func TestTheIconIsAPicture(t *testing.T) {
	img, err := png.Decode(bytes.NewReader(Icon().Content()))
	if err != nil || img.Bounds().Dx() != 64 {
		t.Errorf("the icon: %v", err)
	}
}

func TestKeysAloneReachEverythingOnASmallScreen(t *testing.T) {
	b := start(t)
	v := NewForm(b.w, b.o)
	defer v.Close()
	b.w.Resize(fyne.NewSize(wide, 240))
	seen := 0
	for range 40 {
		b.w.Canvas().FocusNext()
		o, ok := b.w.Canvas().Focused().(fyne.CanvasObject)
		if !ok {
			t.Fatal("the focus is lost")
		}
		y := fyne.CurrentApp().Driver().AbsolutePositionForObject(o).Y
		if y < 0 || y+o.Size().Height > 240 {
			t.Fatalf("the focus is out of sight, at %v", y)
		}
		if o == fyne.CanvasObject(v.send) {
			seen++
		}
	}
	if seen == 0 {
		t.Error("Send is not reached")
	}
}

func TestEveryWindowFitsInEveryLanguage(t *testing.T) {
	for _, code := range catalogue.Languages {
		b := start(t)
		b.o.Words = catalogue.For(code)
		check := func(name string) {
			t.Helper()
			if min := b.w.Content().MinSize(); min.Width > wide {
				t.Errorf("%s %s needs %v", code, name, min)
			}
			texts, _ := b.look()
			for _, s := range texts {
				for _, area := range []string{"form.", "tray.", "consent.", "word."} {
					if strings.HasPrefix(s, area) {
						t.Errorf("%s %s: no text for %s", code, name, s)
					}
				}
			}
		}
		v := NewForm(b.w, b.o)
		check("form")
		v.Unfold()
		check("severity")
		v.Submit()
		check("errors")
		v.Close()
		NewQuestion(b.w, b.o, b.s.Consents[windowtest.Session])
		check("consent")
		for _, kind := range []string{content.KindTickets, content.KindAccess, content.KindHistory, content.KindStatus, content.KindAbout, content.KindLink} {
			NewSheet(b.w, b.o, b.o.Service.Sheet(context.Background(), b.o.Words, kind))
			check(kind)
		}
	}
}
