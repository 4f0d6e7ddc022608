package window

import (
	"context"
	"strconv"
	"sync/atomic"
	"time"

	"fyne.io/fyne/v2"
	"fyne.io/fyne/v2/canvas"
	"fyne.io/fyne/v2/container"

	"github.com/traybell/traybell/agent/internal/localapi"
	"github.com/traybell/traybell/agent/internal/window/content"
)

// settle is how long after it is drawn a question takes no yes: a click or key that was meant for
// something else must not give a permission.
const settle = time.Second

// linger is how long the person's own answer stays to be read before the window leaves the screen.
const linger = 6 * time.Second

// Question is a technician's question in a window.
type Question struct {
	o Options
	w fyne.Window
	q content.Question

	deadline time.Time
	ticks    map[string]*press
	long     string
	hours    int
	allow    *press
	more     *press
	count    *para
	trouble  *wrong
	body     fyne.CanvasObject
	grow     func()
	drawn    time.Time
	over     bool
	answered bool      // the answer is on its way
	mine     time.Time // when the person's own answer arrived
	refresh  atomic.Bool
}

// NewQuestion fills w with the question c. The owner of the window calls Drawn once it is on the
// screen, and Tick each second from then on.
func NewQuestion(w fyne.Window, o Options, c localapi.Consent) *Question {
	o.defaults()
	v := &Question{o: o, w: w, q: content.Ask(o.Words, o.Status, c), long: "session", hours: 2}
	v.deadline = o.Now().Add(time.Duration(c.Seconds) * time.Second)
	w.SetTitle(o.Words.T("consent.window"))
	if c.Over != "" {
		v.Over(c.Over)
		return v
	}
	v.show()
	w.Canvas().SetOnTypedKey(v.key)
	w.SetCloseIntercept(func() {
		if v.over {
			w.Close()
			return
		}
		v.no("no") // closing without an answer is a no
	})
	return v
}

// Drawn tells the service that the person has the question on the screen.
func (v *Question) Drawn() {
	if v.over {
		return
	}
	v.drawn = v.o.Now()
	v.o.Go(func() {
		v.call(func(ctx context.Context, c *localapi.Client) error { return c.Shown(ctx, v.q.Session) }, nil)
	})
}

// Tick moves the countdown and makes Allow work. Silence is a no, which the service decides; the
// window only says so.
func (v *Question) Tick() {
	if v.over {
		if !v.mine.IsZero() && v.o.Now().Sub(v.mine) >= linger {
			v.w.Close()
		}
		return
	}
	left := v.left()
	if left <= 0 {
		v.ask() // the service knows how it ended
		return
	}
	v.count.set(v.o.Words.T("consent.countdown", "Count", left))
	v.allow.enable(!v.answered && !v.drawn.IsZero() && v.o.Now().Sub(v.drawn) >= settle)
	if left%5 == 0 {
		v.ask() // it may have been withdrawn, or answered by a command
	}
}

func (v *Question) left() int {
	d := v.deadline.Sub(v.o.Now())
	return int((d + time.Second - 1) / time.Second)
}

// ask reads the question's state from the service, one call at a time.
func (v *Question) ask() {
	if v.refresh.Swap(true) {
		return
	}
	v.o.Go(func() {
		defer v.refresh.Store(false)
		ctx, cancel := context.WithTimeout(context.Background(), Patience)
		defer cancel()
		c, err := v.o.Service.Client()
		var q localapi.Consent
		if err == nil {
			q, err = c.Consent(ctx, v.q.Session)
		}
		v.o.Do(func() { v.told(q, err) })
	})
}

func (v *Question) told(q localapi.Consent, err error) {
	switch {
	case v.over || v.answered:
	case err == nil && q.Over != "":
		v.Over(q.Over)
	case content.Gone(err) != "":
		if v.left() <= 0 {
			v.Over("silence")
		} else {
			v.Over("gone")
		}
	case err == nil:
		v.deadline = v.o.Now().Add(time.Duration(q.Seconds) * time.Second)
		v.more.Hidden = q.MoreTime == 0
	case v.left() <= 0:
		v.Over("silence")
	}
}

func (v *Question) call(do func(context.Context, *localapi.Client) error, then func(error)) {
	ctx, cancel := context.WithTimeout(context.Background(), Patience)
	defer cancel()
	c, err := v.o.Service.Client()
	if err == nil {
		err = do(ctx, c)
	}
	if err != nil {
		v.o.Log.Warn("question", "session", v.q.Session, "err", err)
	}
	if then != nil {
		v.o.Do(func() { then(err) })
	}
}

func (v *Question) key(e *fyne.KeyEvent) {
	if e.Name == fyne.KeyEscape && !v.over {
		v.no("no")
	}
}

func (v *Question) show() {
	t := v.o.Words.T
	width := float32(inside - labelSlim - gap)
	rows := []fyne.CanvasObject{heading(v.q.Heading)}
	for _, l := range v.q.Lines {
		rows = append(rows, newPara(l, 13, false, ink2, inside))
	}
	if v.q.Standing != "" {
		rows = append(rows, newPara(v.q.Standing, 13, false, ink2, inside))
	}
	head := stack(2, rows...)

	var all []*press // to hear Esc
	v.ticks = map[string]*press{}
	var ticks []fyne.CanvasObject
	for _, c := range v.q.Choices {
		p := newCheck(c.Text, true, func(bool) { v.trouble.set(""); v.grow() })
		v.ticks[c.Value] = p
		ticks, all = append(ticks, p), append(all, p)
	}
	rows = []fyne.CanvasObject{head, hairline(),
		pairTop(labelSlim, term(v.q.Asks, labelSlim), container.New(flow{width, 14}, ticks...))}
	if v.q.NotAsked != "" {
		rows = append(rows, pairTop(labelSlim, term(t("consent.notasked"), labelSlim), newPara(v.q.NotAsked, 14, false, ink2, width)))
	}

	long := newRadios(func(s string) { v.long = s })
	for _, c := range v.q.Long {
		long.add(c.Value, c.Text)
	}
	hours := long.add("hours", content.Hour(v.o.Words, v.hours))
	var pick *press
	pick = newPress(outlined, "", func() {
		var items []*fyne.MenuItem
		for _, n := range content.Hours {
			items = append(items, fyne.NewMenuItem(content.Hour(v.o.Words, n), func() {
				v.hours, v.long = n, "hours"
				hours.setText(content.Hour(v.o.Words, n))
				long.set("hours")
				v.grow()
			}))
		}
		dropDown(v.w, pick, items)
	})
	pick.glyph, pick.slim = glyphDown, true
	all = append(all, long.items...)
	all = append(all, pick)
	long.set(v.long)
	objects := long.objects()
	last := len(objects) - 1
	hour := container.New(flow{width, 4}, objects[last], pick)
	rows = append(rows,
		pairTop(labelSlim, term(t("consent.long"), labelSlim), container.New(flow{width, 14}, append(objects[:last:last], hour)...)),
		pair(labelSlim, term(t("consent.recording"), labelSlim), newPara(t("consent.recording.no"), 14, false, ink1, width)),
	)
	words := canvas.NewText(v.q.Consent.Words, tone(ink1))
	words.TextSize, words.TextStyle = 18, fyne.TextStyle{Bold: true, Monospace: true}
	rows = append(rows,
		box(canvasGround, true, 12, 10, stack(2,
			newPara(v.q.Words[0], 13, false, ink1, inside-24), words, newPara(v.q.Words[1], 13, false, ink1, inside-24))),
		newPara(t("consent.advice"), 13, false, ink2, inside))
	v.trouble = newWrong(inside)
	rows = append(rows, v.trouble.box)
	v.body = stack(gap, rows...)

	refuse := button(t("word.refuse"), func() { v.no("no") })
	var other *press
	other = button("", func() {
		var items []*fyne.MenuItem
		for _, c := range content.Refusals(v.o.Words) {
			items = append(items, fyne.NewMenuItem(c.Text, func() { v.no(c.Value) }))
		}
		dropDown(v.w, other, items)
	})
	other.glyph = glyphDown
	v.allow = button(t("word.allow"), v.yes)
	v.allow.Disable()
	v.allow.quiet, refuse.quiet = true, true
	refuse.broad, v.allow.broad = 104, 104
	v.count = newPara(t("consent.countdown", "Count", v.left()), 13, false, ink2, 0)
	v.more = newLink(t("consent.more"), v.longer)
	v.more.Hidden = v.q.MoreTime == 0
	for _, p := range append(all, refuse, other, v.allow, v.more) {
		p.escaped = func() { v.no("no") }
	}
	v.count.width = inside - v.more.MinSize().Width - gap
	v.count.fill()
	foot := stack(gap, container.New(ends{2}, v.count, v.more), container.New(ends{2}, refuse, other, v.allow))
	v.grow = page(v.w, formHigh, v.body, foot)
}

func (v *Question) yes() {
	if v.over || v.answered || v.drawn.IsZero() || v.o.Now().Sub(v.drawn) < settle {
		return
	}
	var ticked []string
	for _, c := range v.q.Choices {
		if v.ticks[c.Value].on {
			ticked = append(ticked, c.Value)
		}
	}
	long := v.long
	if long == "hours" {
		long = strconv.Itoa(v.hours)
	}
	a, trouble := v.q.Yes(v.o.Words, ticked, long, "window")
	if trouble != "" {
		v.refused(trouble)
		return
	}
	v.answered = true
	v.allow.Disable()
	v.o.Go(func() {
		v.call(func(ctx context.Context, c *localapi.Client) error { return c.Allow(ctx, v.q.Session, a) },
			func(err error) { v.answer("allowed", err) })
	})
}

func (v *Question) no(reason string) {
	if v.over || v.answered {
		return
	}
	v.answered = true
	v.allow.Disable()
	v.o.Go(func() {
		v.call(func(ctx context.Context, c *localapi.Client) error {
			return c.Refuse(ctx, v.q.Session, localapi.Refuse{Reason: reason})
		}, func(err error) { v.answer("refused", err) })
	})
}

func (v *Question) answer(how string, err error) {
	v.answered = false
	switch {
	case err == nil:
		v.mine = v.o.Now()
		v.Over(how)
	case content.Gone(err) != "":
		v.Over("gone")
	default:
		v.refused(content.Trouble(v.o.Words, err))
	}
}

func (v *Question) refused(trouble string) {
	v.trouble.set(trouble)
	v.grow()
}

func (v *Question) longer() {
	v.o.Go(func() {
		var q localapi.Consent
		v.call(func(ctx context.Context, c *localapi.Client) (err error) {
			q, err = c.MoreTime(ctx, v.q.Session)
			return err
		}, func(err error) {
			if err != nil {
				v.refused(content.Trouble(v.o.Words, err))
				return
			}
			v.told(q, nil)
			v.Tick()
		})
	})
}

// Over shows how the question ended. The window closes by itself afterwards only where the person
// has given the answer; otherwise it waits to be read.
func (v *Question) Over(how string) {
	if v.over {
		return
	}
	v.over = true
	v.w.Canvas().SetOnTypedKey(func(e *fyne.KeyEvent) {
		if e.Name == fyne.KeyEscape {
			v.w.Close()
		}
	})
	o := content.Over(v.o.Words, v.q.Consent, how)
	rows := []fyne.CanvasObject{heading(o.Heading)}
	for _, l := range o.Lines {
		rows = append(rows, newPara(l, 14, false, ink1, inside))
	}
	done := button(v.o.Words.T("word.close"), func() { v.w.Close() })
	done.broad = 104
	page(v.w, formHigh, stack(gap, rows...), container.New(ends{0}, done))
}
