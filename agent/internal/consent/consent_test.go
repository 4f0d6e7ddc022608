package consent

import (
	"errors"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
	"unicode"

	"github.com/traybell/traybell/shared/grant"
)

const anna, lucia = "account-anna", "4001"

func question() Question {
	return Question{Session: "s1", Account: anna, Name: "Anna", UserID: lucia, User: "lucia", Scopes: []grant.Scope{grant.View, grant.Control}}
}

// outcomes are what became of a desk's questions.
type outcomes struct {
	mu  sync.Mutex
	all []Outcome
}

func (o *outcomes) list() []Outcome {
	o.mu.Lock()
	defer o.mu.Unlock()
	return slices.Clone(o.all)
}

// desk is a desk whose outcomes can be looked at.
func desk() (*Desk, *outcomes) {
	over := &outcomes{}
	return New(Options{Now: time.Now, Over: func(o Outcome) {
		over.mu.Lock()
		defer over.mu.Unlock()
		over.all = append(over.all, o)
	}}), over
}

func allow(d *Desk, scopes ...grant.Scope) error {
	return d.Allow("s1", lucia, scopes, func(Question) error { return nil })
}

func TestSilenceIsNo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d, over := desk()
		if _, reason := d.Ask(question()); reason != "" {
			t.Fatal(reason)
		}
		<-time.After(59 * time.Second)
		synctest.Wait()
		if len(over.list()) != 0 {
			t.Fatal("the question is over after 59 s")
		}
		<-time.After(2 * time.Second)
		synctest.Wait()
		if len(over.list()) != 1 || over.list()[0].Result != Silence {
			t.Fatalf("got %+v, want silence", over.list())
		}
		if err := allow(d, grant.View); !errors.Is(err, ErrGone) {
			t.Errorf("a late yes gives %v, want %v", err, ErrGone)
		}
	})
}

func TestMoreTimeTenTimes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d, over := desk()
		d.Ask(question())
		for i := range Prolongs {
			if _, err := d.MoreTime("s1", lucia); err != nil {
				t.Fatalf("time %d: %v", i+1, err)
			}
		}
		if _, err := d.MoreTime("s1", lucia); !errors.Is(err, ErrNoMore) {
			t.Errorf("an eleventh time gives %v, want %v", err, ErrNoMore)
		}
		<-time.After(11*time.Minute - time.Second)
		synctest.Wait()
		if len(over.list()) != 0 {
			t.Fatal("the question is over too early")
		}
		<-time.After(2 * time.Second)
		synctest.Wait()
		if len(over.list()) != 1 {
			t.Error("the question never ends")
		}
	})
}

func TestYesCountsASecondAfterTheQuestionWasDrawn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d, over := desk()
		d.Ask(question())
		<-time.After(5 * time.Second)
		if err := allow(d, grant.View); !errors.Is(err, ErrTooSoon) {
			t.Errorf("a yes to an undrawn question gives %v, want %v", err, ErrTooSoon)
		}
		if _, first, err := d.Shown("s1", lucia); err != nil || !first {
			t.Fatalf("shown: %v, %v", first, err)
		}
		<-time.After(900 * time.Millisecond)
		if err := allow(d, grant.View); !errors.Is(err, ErrTooSoon) {
			t.Errorf("got %v, want %v", err, ErrTooSoon)
		}
		if _, first, _ := d.Shown("s1", lucia); first {
			t.Error("drawn a second time counts as the first")
		}
		<-time.After(200 * time.Millisecond)
		if err := allow(d, grant.View, grant.Terminal); !errors.Is(err, ErrScopes) {
			t.Errorf("more than asked gives %v, want %v", err, ErrScopes)
		}
		if err := allow(d, grant.View); err != nil {
			t.Error(err)
		}
		if len(over.list()) != 1 || over.list()[0].Result != Allowed {
			t.Errorf("got %+v", over.list())
		}
	})
}

func TestOnlyTheRightPersonAnswers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d, _ := desk()
		d.Ask(question())
		defer d.Withdraw("s1")
		d.Shown("s1", lucia)
		<-time.After(2 * time.Second)
		const carla = "4002"
		if err := d.Allow("s1", carla, []grant.Scope{grant.View}, func(Question) error { t.Error("a grant is made"); return nil }); !errors.Is(err, ErrGone) {
			t.Errorf("another's yes gives %v, want %v", err, ErrGone)
		}
		if err := d.Refuse("s1", carla, "no"); !errors.Is(err, ErrGone) {
			t.Errorf("another's no gives %v, want %v", err, ErrGone)
		}
		if got := d.Waiting(carla); len(got) != 0 {
			t.Errorf("another sees %+v", got)
		}
		if got := d.Waiting(lucia); len(got) != 1 {
			t.Errorf("the person sees %d questions, want 1", len(got))
		}
	})
}

func TestCoolDownAfterANo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d, _ := desk()
		d.Ask(question())
		if err := d.Refuse("s1", lucia, "later"); err != nil {
			t.Fatal(err)
		}
		if _, reason := d.Ask(question()); reason != ReasonCoolDown {
			t.Errorf("got %q, want %q", reason, ReasonCoolDown)
		}
		other := question()
		other.Account, other.Session = "account-otto", "s2"
		if _, reason := d.Ask(other); reason != "" {
			t.Errorf("another technician gets %q", reason)
		}
		d.Withdraw("s2")
		<-time.After(CoolDown + time.Second)
		if _, reason := d.Ask(question()); reason != "" {
			t.Errorf("after the cool-down: %q", reason)
		}
		d.Withdraw("s1")
	})
}

func TestGrantThatCanNotBeKeptLeavesTheQuestionOpen(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d, over := desk()
		d.Ask(question())
		d.Shown("s1", lucia)
		<-time.After(2 * time.Second)
		full := errors.New("disk full")
		if err := d.Allow("s1", lucia, []grant.Scope{grant.View}, func(Question) error { return full }); !errors.Is(err, full) {
			t.Errorf("got %v, want %v", err, full)
		}
		if len(over.list()) != 0 || len(d.Waiting(lucia)) != 1 {
			t.Error("the question is gone")
		}
		d.Withdraw("s1")
	})
}

func TestWordsArePlainAndManyInEveryLanguage(t *testing.T) {
	for _, lang := range []string{"en", "it", "de", "ru"} {
		list := wordList(lang)
		seen := map[string]bool{}
		for _, w := range list {
			if k := strings.ToUpper(w); seen[k] {
				t.Errorf("%s: %q stands twice", lang, w)
			} else {
				seen[k] = true
			}
			for _, r := range w {
				if !unicode.IsLetter(r) {
					t.Errorf("%s: %q is no plain word", lang, w)
				}
			}
		}
		if len(list) < 256 {
			t.Errorf("%s: %d words, want 256 at least", lang, len(list))
		}
		if w := strings.Fields(Words(lang)); len(w) != 4 {
			t.Errorf("%s: got %v, want four words", lang, w)
		}
	}
	if a, b := Words("en"), Words("en"); a == b {
		t.Errorf("%q twice", a)
	}
}

func TestTextsOfTheServerAreCleaned(t *testing.T) {
	for _, tt := range []struct{ name, in, want string }{
		{"plain", "Anna Bianchi", "Anna Bianchi"},
		{"lines", "Anna\r\n\tBianchi ", "Anna Bianchi"},
		{"bidi", "Anna\u202e ihcnaiB\u2066", "Anna ihcnaiB"},
		{"zero width", "An\u200bna", "Anna"},
		{"escape", "\x1b[31mAnna", "[31mAnna"},
		{"broken", "An\xffna", "Anna"},
		{"long", strings.Repeat("ж", 200), strings.Repeat("ж", 79) + "…"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if got := Clean(tt.in); got != tt.want {
				t.Errorf("got %q, want %q", got, tt.want)
			}
		})
	}
}

func FuzzClean(f *testing.F) {
	f.Add("Anna\u202e")
	f.Fuzz(func(t *testing.T, s string) {
		got := Clean(s)
		if n := len([]rune(got)); n > maxText {
			t.Errorf("%d runes", n)
		}
		if strings.ContainsFunc(got, func(r rune) bool { return unicode.IsControl(r) || unicode.Is(unicode.Bidi_Control, r) }) {
			t.Errorf("%q holds a control character", got)
		}
	})
}
