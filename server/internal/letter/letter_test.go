package letter_test

import (
	"encoding/json"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/traybell/traybell/server/internal/letter"
)

// want is what corpus.json says of a mail of testdata/corpus. Absent fields are not looked at.
type want struct {
	Rule       int // of the twenty-five
	Error      bool
	Reply      *string
	Whole      bool // nothing was cut
	Has        []string
	Subject    *string
	From       *string `json:"frm"`
	CC         []string
	Delivered  string
	References []string
	Loops      []string
	Results    int
	Automatic  *bool
	Bounce     *bool
	Returned   string
	Recipient  string
	Delayed    bool
	Forward    *bool
	Files      []string
	Inline     *int
	Signed     *bool
	Encrypted  *bool
	Event      string
	Closes     *bool
	Thanks     *bool
	Fast       bool
}

func TestCorpus(t *testing.T) {
	b, err := os.ReadFile("testdata/corpus.json")
	if err != nil {
		t.Fatal(err)
	}
	var all map[string]want
	if err := json.Unmarshal(b, &all); err != nil {
		t.Fatal(err)
	}
	if len(all) < 150 {
		t.Fatalf("only %d mails", len(all))
	}
	names := make([]string, 0, len(all))
	for name := range all {
		names = append(names, name)
	}
	slices.Sort(names)
	for _, name := range names {
		w := all[name]
		t.Run(name, func(t *testing.T) {
			raw, err := os.ReadFile(filepath.Join("testdata/corpus", name))
			if err != nil {
				t.Fatal(err)
			}
			begin := time.Now()
			m, err := letter.Read(raw)
			if took := time.Since(begin); took > 2*time.Second {
				t.Errorf("it took %s", took)
			}
			if (err != nil) != w.Error {
				t.Fatalf("error %v, want one: %v", err, w.Error)
			}
			if err != nil {
				return
			}
			check(t, "reply", w.Reply, m.Reply)
			check(t, "subject", w.Subject, m.Subject)
			check(t, "from", w.From, m.From.Email)
			check(t, "automatic", w.Automatic, m.Automatic != "")
			check(t, "bounce", w.Bounce, m.Bounce != nil)
			check(t, "forward", w.Forward, m.Forward)
			check(t, "signed", w.Signed, m.Signed)
			check(t, "encrypted", w.Encrypted, m.Encrypted)
			check(t, "closes", w.Closes, letter.Closes(m.Reply))
			check(t, "thanks", w.Thanks, letter.Thanks(m.Reply))
			if w.Whole && m.Cut {
				t.Errorf("something was cut; left is %q", m.Reply)
			}
			for _, s := range w.Has {
				if !strings.Contains(m.Reply, s) {
					t.Errorf("%q is lost; left is %q", s, m.Reply)
				}
			}
			lists := func(what string, got, want []string) {
				if want != nil && !reflect.DeepEqual(got, want) {
					t.Errorf("%s: %q, want %q", what, got, want)
				}
			}
			lists("references", m.References, w.References)
			lists("loops", m.Loops, w.Loops)
			var cc, files []string
			inline := 0
			for _, a := range m.Cc {
				cc = append(cc, a.Email)
			}
			for _, f := range m.Files {
				files = append(files, f.Name)
				if f.Inline {
					inline++
				}
			}
			lists("cc", cc, w.CC)
			lists("files", files, w.Files)
			check(t, "inline", w.Inline, inline)
			if w.Delivered != "" && !slices.Contains(m.Delivered, w.Delivered) {
				t.Errorf("delivered to %q", m.Delivered)
			}
			if w.Results > 0 && len(m.Results) != w.Results {
				t.Errorf("%d results", len(m.Results))
			}
			if w.Returned != "" && (m.Bounce == nil || len(m.Bounce.MessageIDs) == 0 || m.Bounce.MessageIDs[0] != w.Returned || m.Bounce.Delayed != w.Delayed || w.Recipient != "" && m.Bounce.Recipient != w.Recipient) {
				t.Errorf("the bounce is %+v", m.Bounce)
			}
			if w.Event != "" && (m.Event == nil || m.Event.Summary != w.Event || !m.Event.Start.Equal(time.Date(2026, 12, 1, 14, 0, 0, 0, time.UTC)) || m.Event.From != "anna@rossi.it") {
				t.Errorf("the event is %+v", m.Event)
			}
		})
	}
	rules := map[int]bool{}
	for _, w := range all {
		rules[w.Rule] = true
	}
	for r := 1; r <= 25; r++ {
		if !rules[r] {
			t.Errorf("no mail stands for rule %d", r)
		}
	}
}

func check[T comparable](t *testing.T, what string, want *T, got T) {
	t.Helper()
	if want != nil && got != *want {
		t.Errorf("%s: got %#v, want %#v", what, got, *want)
	}
}

// FuzzRead looks for input that crashes, or brings NUL or broken UTF-8 into the texts.
func FuzzRead(f *testing.F) {
	names, err := filepath.Glob("testdata/corpus/*.eml")
	if err != nil {
		f.Fatal(err)
	}
	for _, n := range names {
		if b, err := os.ReadFile(n); err == nil && len(b) < 8<<10 {
			f.Add(b)
		}
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		m, err := letter.Read(raw)
		if err != nil {
			return
		}
		for _, s := range []string{m.Text, m.Reply, m.Subject, m.From.Name, m.From.Email} {
			if strings.ContainsRune(s, 0) || !utf8.ValidString(s) {
				t.Errorf("%q", s)
			}
		}
		if m.Reply == "" && m.Text != "" {
			t.Errorf("the text %q is lost", m.Text)
		}
		letter.Closes(m.Reply)
		letter.Thanks(m.Reply)
	})
}
