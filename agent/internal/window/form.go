package window

import (
	"bytes"
	"context"
	"image"
	"image/png"
	"os"
	"strconv"
	"sync"
	"time"

	"fyne.io/fyne/v2"
	"fyne.io/fyne/v2/canvas"
	"fyne.io/fyne/v2/container"
	"fyne.io/fyne/v2/dialog"

	"github.com/traybell/traybell/agent/internal/localapi"
	"github.com/traybell/traybell/agent/internal/window/content"
	"github.com/traybell/traybell/agent/internal/window/keep"
	"github.com/traybell/traybell/shared/api"
)

const (
	formHigh  = 680
	right     = inside - label - gap
	saveAfter = 400 * time.Millisecond // of rest, then the draft is saved
)

// Form is the assistance request form in a window.
type Form struct {
	o     Options
	w     fyne.Window
	f     content.Form
	draft *keep.Draft
	facts []api.Fact

	title, text, email, name, phone *entry
	wrong                           map[string]*wrong
	summary                         *wrong
	files                           *fyne.Container
	fileTrouble                     *wrong
	severity, unfold, offer, grow   func()
	told, urgent                    *para
	toldBox                         fyne.CanvasObject
	with                            *press
	withList                        *fyne.Container
	you, fields, forgotten          *fyne.Container
	remember                        *press
	send                            *press
	body, foot                      fyne.CanvasObject
	built                           bool

	saving  sync.Mutex // of draft files, and gone
	timer   *time.Timer
	gone    bool // the draft is removed or let go
	sending bool
	release []context.CancelFunc // of guards
	pending sync.WaitGroup       // what the program must not end without
}

// Wait returns once the details are remembered; the program ends after it.
func (v *Form) Wait() { v.pending.Wait() }

// NewForm fills w with a form: the draft that a crash left, or an empty one with the remembered details.
func NewForm(w fyne.Window, o Options) *Form {
	o.defaults()
	v := &Form{o: o, w: w, grow: func() {}}
	found := false
	if o.Dir != "" {
		var err error
		if v.draft, v.f, found, err = keep.Open(o.Dir, o.Now()); err != nil {
			o.Log.Warn("no draft can be kept", "err", err)
		}
	}
	if v.f.ID == "" {
		v.f = content.NewForm(o.Now())
	}
	recalled := false
	if o.Dir != "" && v.f.Email == "" {
		if d, ok := keep.Recall(o.Dir); ok {
			v.f.Email, v.f.Name, v.f.Phone, recalled = d.Email, d.Name, d.Phone, true
		}
	}
	v.build(found, recalled)
	v.show()
	v.w.SetOnClosed(v.Close)
	return v
}

// NewFilled is NewForm with a form that is filled in already; recalled shows the details in one line.
func NewFilled(w fyne.Window, o Options, f content.Form, recalled bool) *Form {
	o.defaults()
	v := &Form{o: o, w: w, f: f, grow: func() {}}
	v.build(false, recalled)
	v.show()
	return v
}

// Close saves the draft at once and lets it go. It is called when the window closes.
func (v *Form) Close() {
	v.unguard()
	if v.timer != nil {
		v.timer.Stop()
	}
	v.saving.Lock()
	defer v.saving.Unlock()
	if v.draft == nil || v.gone {
		return
	}
	v.gone = true
	if v.f.Typed() {
		if err := v.draft.Save(v.f); err != nil {
			v.o.Log.Warn("draft not saved", "err", err)
		}
	} else {
		v.draft.Forget(v.f)
	}
	v.draft.Close()
}

// Update shows what the service told later than the window was drawn.
func (v *Form) Update(st localapi.Status, r localapi.Report) {
	v.o.Status, v.o.Report = st, r
	v.fill()
}

func (v *Form) show() {
	v.w.SetTitle(content.FormWindow(v.o.Words, v.o.Status))
	v.grow = page(v.w, formHigh, v.body, v.foot)
	if v.f.Title == "" {
		v.w.Canvas().Focus(v.title)
	}
}

// changed notes that something was filled in; the draft follows when typing rests.
func (v *Form) changed() {
	if v.draft == nil || !v.built {
		return
	}
	if v.timer != nil {
		v.timer.Stop()
	}
	f := v.f
	f.Files = append([]content.File(nil), v.f.Files...)
	v.timer = time.AfterFunc(saveAfter, func() { v.save(f) })
}

// save runs on any goroutine.
func (v *Form) save(f content.Form) {
	v.saving.Lock()
	defer v.saving.Unlock()
	if v.gone {
		return
	}
	if err := v.draft.Save(f); err != nil {
		v.o.Log.Warn("draft not saved", "err", err)
		v.o.Do(func() { v.summary.set(v.o.Words.T("form.draft.off")) })
	}
}

func (v *Form) field(into *string, hint string, lines int, name string) *entry {
	e := newEntry(hint, lines)
	e.SetText(*into)
	e.OnChanged = func(s string) {
		*into = s
		if w := v.wrong[name]; w != nil && w.visible() {
			w.set("")
		}
		v.changed()
	}
	e.paste = v.paste
	return e
}

func (v *Form) build(found, recalled bool) {
	t := v.o.Words.T
	v.wrong = map[string]*wrong{}
	under := func(name string) fyne.CanvasObject {
		w := newWrong(right)
		v.wrong[name] = w
		return w.box
	}
	v.title = v.field(&v.f.Title, t("form.title.hint"), 1, content.FieldTitle)
	v.text = v.field(&v.f.Text, t("form.text.hint"), 3, content.FieldText)
	v.email = v.field(&v.f.Email, "", 1, content.FieldEmail)
	v.name = v.field(&v.f.Name, t("form.name"), 1, content.FieldName)
	v.phone = v.field(&v.f.Phone, t("form.phone"), 1, content.FieldPhone)

	rows := []fyne.CanvasObject{newPara(t("form.intro"), 13, false, ink2, inside)}
	v.summary = newWrong(inside)
	rows = append(rows, v.summary.box)
	if found {
		var bar fyne.CanvasObject
		fresh := slimButton(t("form.draft.fresh"), func() { v.fresh() })
		bar = box(mediumSoft, false, 8, 4, container.New(ends{1}, newPara(t("form.draft"), 13, false, ink1, inside-200), fresh))
		rows = append(rows, bar)
	}
	rows = append(rows,
		pairTop(label, term(t("form.title")+" *", label), stack(4, v.title, under(content.FieldTitle))),
		pairTop(label, term(t("form.text"), label), stack(4, v.text, under(content.FieldText))),
	)

	question := func(text string, choices []content.Choice, into *string) fyne.CanvasObject {
		r := newRadios(func(s string) { *into = s; v.answered() })
		for _, c := range choices {
			r.add(c.Value, c.Text)
		}
		r.set(*into)
		return pair(label, term(text, label), container.New(flow{right, 14}, r.objects()...))
	}
	rows = append(rows,
		question(t("form.working"), content.Working(v.o.Words), &v.f.Answers.Working),
		question(t("form.affected"), content.Affected(v.o.Words), &v.f.Answers.Affected),
	)
	v.told = newPara("", 13, true, critical, right-16)
	v.toldBox = box(canvasGround, true, 8, 6, v.told)
	security := newCheck(t("form.security"), v.f.Answers.Security, func(on bool) { v.f.Answers.Security = on; v.answered() })
	rows = append(rows, pairTop(label, stack(0), stack(4, security, v.toldBox)))
	rows = append(rows, v.buildSeverity())

	v.files = stack(4)
	v.fileTrouble = newWrong(right)
	var tools []fyne.CanvasObject
	if v.o.Capture != nil {
		tools = append(tools, slimButton(t("form.screenshot"), v.shoot))
	}
	tools = append(tools, slimButton(t("form.file.add"), v.choose))
	if v.o.Picture != nil {
		tools = append(tools, newPara(t("form.paste"), 13, false, ink2, 200))
	}
	rows = append(rows, pairTop(label, term(t("form.files"), label), stack(4, container.New(flow{right, gap}, tools...), v.files, v.fileTrouble.box)))

	rows = append(rows, hairline())
	v.you = stack(4)
	v.fields = stack(4,
		pairTop(label, term(t("form.email")+" *", label), stack(4, v.email, under(content.FieldEmail))),
		pairTop(label, term(t("form.name")+" · "+t("form.phone"), label), stack(4, container.NewGridWithColumns(2, v.name, v.phone), under(content.FieldName), under(content.FieldPhone))),
	)
	who := v.f.Email
	if v.f.Name != "" {
		who = v.f.Name + ", " + who
	}
	if v.f.Phone != "" {
		who += ", " + v.f.Phone
	}
	change := newLink(t("form.you.change"), func() { v.edit() })
	whoWide := right - change.MinSize().Width - gap
	v.you = pair(label, term(t("form.you"), label), container.New(ends{1}, newPara(cut(who, 13, false, whoWide), 13, false, ink1, whoWide), change))
	v.remember = newCheck(t("form.remember"), v.f.Remember, func(on bool) { v.f.Remember = on; v.changed() })
	forget := newLink(t("form.forget"), v.forget)
	if !recalled {
		forget.Hide()
	}
	v.forgotten = stack(0, newPara(t("form.forgotten"), 13, false, ink2, right))
	v.forgotten.Hide()
	rows = append(rows, v.you, v.fields,
		pairTop(label, stack(0), stack(2, v.remember,
			container.New(ends{1}, newPara(t("form.remember.hint"), 13, false, ink3, right-forget.MinSize().Width-gap), forget), v.forgotten)))
	if recalled {
		v.fields.Hide()
	} else {
		v.you.Hide()
	}

	rows = append(rows, hairline(), v.buildHelp())
	v.withList = stack(4)
	v.withList.Hide()
	v.with = newLink("", func() {
		v.withList.Hidden = !v.withList.Hidden
		v.grow()
	})
	rows = append(rows, hairline(), v.with, v.withList)
	v.body = stack(gap, rows...)

	v.urgent = newPara("", 13, false, ink1, 260)
	cancel := button(t("word.cancel"), func() { v.w.Close() })
	cancel.broad = 88
	v.send = solidButton(t("word.send"), v.Submit)
	v.send.broad = 104
	v.foot = container.New(ends{1}, v.urgent, cancel, v.send)

	v.list()
	v.fill()
	v.built = true
}

func (v *Form) fill() {
	p := v.o.Words
	v.w.SetTitle(content.FormWindow(p, v.o.Status))
	v.told.set(content.Told(p, v.o.Status))
	v.urgent.set("")
	if v.o.Status.SupportPhone != "" {
		v.urgent.set(p.T("form.urgent", "Phone", v.o.Status.SupportPhone))
	}
	var sentence string
	sentence, v.facts = content.SentWith(p, v.o.Report)
	v.with.setText(cut(sentence, 13, false, inside-12))
	v.with.Hidden = sentence == ""
	v.withList.Objects = nil
	for _, f := range v.facts {
		v.withList.Add(pairTop(label, newPara(f.Name, 13, false, ink2, label), newPara(f.Value, 13, false, ink1, right)))
	}
	v.answered()
}

func (v *Form) buildSeverity() fyne.CanvasObject {
	p := v.o.Words
	img := canvas.NewImageFromResource(nil)
	img.FillMode = canvas.ImageFillContain
	word, rule := newPara("", 14, true, ink1, 120), newPara("", 13, false, ink2, right-190)
	more := stack(2)
	r := newRadios(nil)
	for _, c := range content.Severities(p) {
		item := r.add(c.Value, c.Text)
		more.Add(pairTop(110, item, container.New(inset{0, 2}, newPara(c.Hint, 13, false, ink2, right-110-gap))))
	}
	more.Add(r.add("", p.T("form.severity.proposed")))
	more.Add(newPara(p.T("form.severity.nudge"), 13, false, ink2, right))
	more.Hide()
	v.unfold = func() {
		more.Hidden = !more.Hidden
		v.grow()
	}
	change := newLink(p.T("form.severity.change"), func() { v.unfold() })
	r.changed = func(s string) { v.f.Severity = api.Severity(s); v.answered() }
	row := container.New(ends{3}, container.NewGridWrap(fyne.NewSize(14, 20), img), word, rule, change)
	v.severity = func() {
		s := string(v.f.Proposed())
		setMark(img, s)
		word.set(p.T("word.severity." + s))
		rule.set(p.T("word.rule." + s))
		r.set(string(v.f.Severity))
		row.Refresh()
	}
	return pairTop(label, term(p.T("form.severity"), label), stack(4, row, more))
}

// OfferHelp shows the choices of remote help beforehand.
func (v *Form) OfferHelp() { v.offer() }

// buildHelp offers remote help beforehand. Its choices appear only once technicians' input is held
// off, because they make a permission: nobody may press them from afar.
func (v *Form) buildHelp() fyne.CanvasObject {
	p := v.o.Words
	v.f.Help = ""
	hours := 2
	now := newPara(p.T("form.help.ask"), 14, false, ink1, right-120)
	trouble := newWrong(right)
	r := newRadios(nil)
	var objects []fyne.CanvasObject
	for _, c := range content.Helps(p) {
		objects = append(objects, r.add(c.Value, c.Text))
	}
	hour := r.add("hours", content.HelpHours(p, hours))
	choose := func(s string) {
		if s == "hours" {
			s = strconv.Itoa(hours)
		}
		v.f.Help = s
	}
	r.changed = choose
	pick := newPress(outlined, "", nil)
	pick.glyph, pick.slim = glyphDown, true
	pick.tapped = func() {
		var items []*fyne.MenuItem
		for _, n := range content.Hours {
			items = append(items, fyne.NewMenuItem(content.HelpHours(p, n), func() {
				hours = n
				hour.setText(content.HelpHours(p, n))
				r.set("hours")
				choose("hours")
				v.grow()
			}))
		}
		dropDown(v.w, pick, items)
	}
	r.set("")
	more := stack(4, container.New(flow{right, 14}, append(objects, container.New(flow{right, 4}, hour, pick))...),
		newPara(p.T("form.help.hint"), 13, false, ink2, right), newPara(p.T("form.help.what"), 13, false, ink2, right))
	more.Hide()
	var closed *fyne.Container
	v.offer = func() {
		v.o.Go(func() {
			err := v.guard()
			v.o.Do(func() {
				trouble.set("")
				if err != nil {
					trouble.set(content.Trouble(p, err))
				} else {
					closed.Hide()
					more.Show()
				}
				v.grow()
			})
		})
	}
	change := newLink(p.T("form.severity.change"), v.offer)
	closed = container.New(ends{1}, now, change)
	return pairTop(label, term(p.T("form.help"), label), stack(4, closed, more, trouble.box))
}

// guard holds technicians' input off until the window closes.
func (v *Form) guard() error {
	c, err := v.o.Service.Client()
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(context.Background())
	if err := c.Guard(ctx); err != nil {
		cancel()
		return err
	}
	v.saving.Lock()
	v.release = append(v.release, cancel)
	v.saving.Unlock()
	return nil
}

// unguard ends what guard began.
func (v *Form) unguard() {
	v.saving.Lock()
	defer v.saving.Unlock()
	for _, r := range v.release {
		r()
	}
	v.release = nil
}

// Unfold shows the four severities with their rules, or hides them.
func (v *Form) Unfold() { v.unfold() }

// answered follows an answer: severity, and the advice for a security problem.
func (v *Form) answered() {
	v.severity()
	if v.f.Answers.Security {
		v.toldBox.Show()
	} else {
		v.toldBox.Hide()
	}
	v.grow()
	v.changed()
}

func (v *Form) edit() {
	v.you.Hide()
	v.fields.Show()
	v.grow()
	v.w.Canvas().Focus(v.email)
}

func (v *Form) forget() {
	if err := keep.Forget(v.o.Dir); err != nil {
		v.summary.set(content.Trouble(v.o.Words, err))
		v.grow()
		return
	}
	v.email.SetText("")
	v.name.SetText("")
	v.phone.SetText("")
	v.f.Remember, v.remember.on = false, false
	v.remember.Refresh()
	v.forgotten.Show()
	v.you.Hide()
	v.fields.Show()
	v.grow()
}

func (v *Form) fresh() {
	v.saving.Lock()
	if v.draft != nil {
		v.draft.Forget(v.f)
	}
	v.saving.Unlock()
	f := content.NewForm(v.o.Now())
	f.Email, f.Name, f.Phone, f.Remember = v.f.Email, v.f.Name, v.f.Phone, v.f.Remember
	v.f, v.built = f, false
	v.build(false, false)
	v.show()
}

// list shows the attached files.
func (v *Form) list() {
	v.files.Objects = nil
	for i, f := range v.f.Files {
		remove := newLink(v.o.Words.T("form.file.remove"), func() { v.remove(i) })
		img := canvas.NewImageFromResource(icon24(glyphClip, ink2))
		img.FillMode = canvas.ImageFillContain
		name := cut(f.Name, 13, false, right-150)
		v.files.Add(container.New(ends{3}, container.NewGridWrap(fyne.NewSize(14, 20), img),
			newPara(name, 13, false, ink1, right-150), newPara(size(f.Size), 13, false, ink3, 70), remove))
	}
	if len(v.f.Files) > 0 {
		v.files.Add(newPara(v.o.Words.T("form.limits"), 13, false, ink3, right))
	}
	v.files.Refresh()
	v.grow()
}

func (v *Form) remove(i int) {
	if v.draft != nil {
		v.draft.Drop(v.f.Files[i])
	}
	v.f.Files = append(v.f.Files[:i:i], v.f.Files[i+1:]...)
	v.fileTrouble.set("")
	v.list()
	v.changed()
}

// Attach adds files by their path, as when they are dropped on the window.
func (v *Form) Attach(paths ...string) {
	for _, path := range paths {
		v.fileTrouble.set(v.f.Attach(v.o.Words, path, "", "", false))
		if v.fileTrouble.visible() {
			break
		}
	}
	v.list()
	v.changed()
}

func (v *Form) choose() {
	d := dialog.NewFileOpen(func(r fyne.URIReadCloser, err error) {
		if r == nil {
			return
		}
		r.Close()
		v.Attach(r.URI().Path())
	}, v.w)
	d.SetTitleText(v.o.Words.T("form.choose"))
	d.Resize(fyne.NewSize(wide-20, formHigh-40))
	d.Show()
}

// shoot hides the window, takes the picture and asks what to cover.
func (v *Form) shoot() {
	v.w.Hide()
	v.o.Go(func() {
		ctx, cancel := context.WithTimeout(context.Background(), Patience)
		defer cancel()
		img, err := v.o.Capture(ctx)
		v.o.Do(func() {
			v.w.Show()
			if err != nil {
				v.fileTrouble.set(v.o.Words.T("form.error.shot", "Reason", err.Error()))
				v.grow()
				return
			}
			v.cover(img)
		})
	})
}

// paste attaches a picture from the clipboard; false: there is none.
func (v *Form) paste() bool {
	if v.o.Picture == nil {
		return false
	}
	b, err := v.o.Picture()
	if err != nil {
		v.o.Log.Debug("nothing pasted", "err", err)
		return false
	}
	img, err := png.Decode(bytes.NewReader(b))
	if err != nil {
		return false
	}
	v.cover(img)
	return true
}

// cover shows a picture so that parts of it can be covered, then attached.
func (v *Form) cover(img image.Image) {
	Cover(v.w, v.o.Words, img, func(b []byte) {
		if b != nil {
			v.attachPicture(b)
		}
		v.show()
		v.w.CenterOnScreen()
	})
}

func (v *Form) attachPicture(b []byte) {
	n := 1
	for _, f := range v.f.Files {
		if f.Own {
			n++
		}
	}
	var path string
	var err error
	if v.draft != nil {
		path, err = v.draft.Picture(b)
	} else {
		path, err = loose(b)
	}
	if err != nil {
		v.fileTrouble.set(v.o.Words.T("form.error.shot", "Reason", err.Error()))
	} else {
		v.fileTrouble.set(v.f.Attach(v.o.Words, path, v.o.Words.T("form.file.shot", "Count", n), "image/png", true))
	}
	v.list()
	v.changed()
}

// loose keeps a picture where no draft can be kept; the system's clean-up takes it.
func loose(b []byte) (string, error) {
	f, err := os.CreateTemp("", "traybell-picture-*.png")
	if err != nil {
		return "", err
	}
	defer f.Close()
	_, err = f.Write(b)
	return f.Name(), err
}

// Submit checks the form and sends it.
func (v *Form) Submit() {
	if v.sending {
		return
	}
	wrong := v.f.Check(v.o.Words)
	first := true
	for _, name := range content.Fields {
		v.wrong[name].set(wrong[name])
		if wrong[name] != "" && first {
			first = false
			switch name {
			case content.FieldTitle:
				v.w.Canvas().Focus(v.title)
			case content.FieldText:
				v.w.Canvas().Focus(v.text)
			default:
				v.you.Hide()
				v.fields.Show()
				v.w.Canvas().Focus(map[string]*entry{content.FieldEmail: v.email, content.FieldName: v.name, content.FieldPhone: v.phone}[name])
			}
		}
	}
	v.summary.set("")
	if len(wrong) > 0 {
		v.summary.set(v.o.Words.T("form.error.summary"))
		v.grow()
		return
	}
	v.sending = true
	v.send.setText(v.o.Words.T("form.sending"))
	v.send.Disable()
	f, facts := v.f, v.facts
	v.o.Go(func() {
		ctx, cancel := context.WithTimeout(context.Background(), time.Hour) // large files
		defer cancel()
		filed, err := v.o.Service.Send(ctx, f, facts)
		if err != nil {
			v.o.Log.Warn("ticket not taken", "ticket", f.ID, "err", err)
		}
		v.o.Do(func() { v.done(f, filed, err) })
	})
}

func (v *Form) done(f content.Form, filed localapi.Filed, err error) {
	v.sending = false
	v.send.setText(v.o.Words.T("word.send"))
	v.send.Enable()
	o := content.After(v.o.Words, v.o.Status, f, filed, err)
	if o.Truth != content.Neither {
		v.taken(f)
	}
	v.Show(f, o)
}

// taken follows a ticket that is in the service's hands.
func (v *Form) taken(f content.Form) {
	v.unguard()
	if v.timer != nil {
		v.timer.Stop()
	}
	v.saving.Lock()
	if v.draft != nil && !v.gone {
		v.draft.Forget(f)
		v.draft.Close()
	}
	v.gone = true
	v.saving.Unlock()
	for _, file := range f.Files {
		if v.draft == nil && file.Own {
			os.Remove(file.Path)
		}
	}
	if v.o.Dir == "" {
		return
	}
	remember, d := f.Remember, keep.Details{Email: f.Email, Name: f.Name, Phone: f.Phone}
	dir, log := v.o.Dir, v.o.Log
	v.pending.Add(1)
	v.o.Go(func() { // a keyring may take its time
		defer v.pending.Done()
		if remember {
			if err := keep.Remember(dir, d); err != nil {
				log.Warn("details not remembered", "err", err)
			}
		} else if err := keep.Forget(dir); err != nil {
			log.Warn("details not forgotten", "err", err)
		}
	})
}

// Show shows one of the three truths about f.
func (v *Form) Show(f content.Form, o content.Outcome) {
	t := v.o.Words.T
	rows := []fyne.CanvasObject{heading(o.Heading)}
	for _, l := range o.Lines {
		rows = append(rows, newPara(l, 14, false, ink1, inside))
	}
	var foot fyne.CanvasObject
	if o.Truth == content.Neither {
		copied := newPara("", 13, false, ink2, 160)
		copyText := button(t("form.copy"), func() {
			fyne.CurrentApp().Clipboard().SetContent(f.Plain())
			copied.set(t("form.copied"))
		})
		again := solidButton(t("form.again"), func() { v.show(); v.Submit() })
		again.broad = 104
		foot = container.New(ends{2}, newLink(t("form.edit"), v.show), copied, copyText, again)
	} else {
		done := solidButton(t("form.done"), func() { v.w.Close() })
		done.broad = 104
		mine := newLink(t("form.opentickets"), func() {
			if v.o.Open != nil {
				v.o.Open(content.KindTickets)
			}
			v.w.Close()
		})
		foot = container.New(ends{1}, mine, done)
		defer v.w.Canvas().Focus(done)
	}
	page(v.w, formHigh, stack(gap, rows...), foot)
}
