package outbox

import (
	"bytes"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/traybell/traybell/agent/internal/apiclient"
	"github.com/traybell/traybell/agent/internal/state"
	"github.com/traybell/traybell/shared/api"
)

var (
	lucia = Person{ID: "4001", Name: "lucia"}
	carla = Person{ID: "4002", Name: "carla"}
)

// offline is an outbox without a server.
func offline(t testing.TB, dir string) (*Outbox, *sql.DB) {
	t.Helper()
	ctx := context.Background()
	db, err := state.Open(ctx, dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	b, err := New(ctx, Options{DB: db, Dir: filepath.Join(dir, "outbox"), Client: func() *apiclient.Client { return nil },
		Ready: func() bool { return false }, Now: time.Now, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	return b, db
}

func newForm() Form {
	return Form{ID: api.NewID(time.Now()), Title: "Printer", Email: "l.rossi@studioverdi.it"}
}

func put(b *Outbox, who Person, id string, index int, r io.Reader) error {
	return b.PutFile(context.Background(), who, id, index, "a.png", "image/png", r)
}

func TestFormsAreChecked(t *testing.T) {
	b, _ := offline(t, t.TempDir())
	for _, tt := range []struct {
		name   string
		change func(*Form)
		field  string // empty: accepted
	}{
		{"as it should be", func(f *Form) {}, ""},
		{"spaces around", func(f *Form) { f.Title, f.Email = " Printer ", " a@b.org " }, ""},
		{"an id of the client's own", func(f *Form) { f.ID = "1" }, "id"},
		{"an id that leaves the folder", func(f *Form) { f.ID = "../../../../etc/passwd-0000-000000000" }, "id"},
		{"no title", func(f *Form) { f.Title = " \t" }, "title"},
		{"a title of two lines", func(f *Form) { f.Title = "a\nb" }, "title"},
		{"a title that is too long", func(f *Form) { f.Title = strings.Repeat("x", api.MaxTitle+1) }, "title"},
		{"a title of the longest length", func(f *Form) { f.Title = strings.Repeat("ж", api.MaxTitle) }, ""},
		{"a text that is too long", func(f *Form) { f.Text = strings.Repeat("x", api.MaxText+1) }, "text"},
		{"broken text", func(f *Form) { f.Text = "\xff" }, "text"},
		{"no address", func(f *Form) { f.Email = "" }, "email"},
		{"a name with the address", func(f *Form) { f.Email = "Lucia <l@b.org>" }, "email"},
		{"two addresses", func(f *Form) { f.Email = "a@b.org, c@d.org" }, "email"},
		{"a header in the address", func(f *Form) { f.Email = "a@b.org\r\nBcc: x@y.org" }, "email"},
		{"a severity that there is not", func(f *Form) { f.Severity = "extreme" }, "severity"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			f := newForm()
			tt.change(&f)
			_, err := b.File(context.Background(), lucia, f)
			var inv InvalidError
			switch {
			case tt.field == "" && err != nil:
				t.Errorf("got %v, want it accepted", err)
			case tt.field != "" && (!errors.As(err, &inv) || inv.Field != tt.field):
				t.Errorf("got %v, want invalid %s", err, tt.field)
			}
		})
	}
}

func TestFilesBelongToTheirTicketAndUser(t *testing.T) {
	dir := t.TempDir()
	b, db := offline(t, dir)
	ctx := context.Background()
	f := newForm()
	if err := put(b, lucia, f.ID, 0, strings.NewReader("one")); err != nil {
		t.Fatal(err)
	}
	if err := put(b, carla, f.ID, 1, strings.NewReader("mine")); !errors.Is(err, ErrConflict) {
		t.Errorf("another user's file: got %v, want %v", err, ErrConflict)
	}
	if err := put(b, lucia, f.ID, api.MaxFiles, strings.NewReader("x")); !errors.Is(err, ErrTooMany) {
		t.Errorf("got %v, want %v", err, ErrTooMany)
	}
	f.Files = 2
	if _, err := b.File(ctx, lucia, f); !errors.Is(err, ErrMissing) {
		t.Errorf("a file is missing: got %v, want %v", err, ErrMissing)
	}
	if err := put(b, lucia, f.ID, 1, strings.NewReader("two")); err != nil {
		t.Fatal(err)
	}
	if _, err := b.File(ctx, carla, f); !errors.Is(err, ErrConflict) {
		t.Errorf("another user's ticket: got %v, want %v", err, ErrConflict)
	}
	i, err := b.File(ctx, lucia, f)
	if err != nil || i.State != Kept || i.Pending != 2 {
		t.Fatalf("got %+v, %v", i, err)
	}
	if err := put(b, lucia, f.ID, 1, strings.NewReader("two")); err != nil {
		t.Errorf("the same bytes again: %v", err)
	}
	if err := put(b, lucia, f.ID, 1, strings.NewReader("other")); !errors.Is(err, ErrConflict) {
		t.Errorf("other bytes after filing: got %v, want %v", err, ErrConflict)
	}
	if got, err := os.ReadFile(b.path(f.ID, 1)); err != nil || string(got) != "two" {
		t.Errorf("the kept file is %q, %v", got, err)
	}
	if _, err := b.File(ctx, carla, f); !errors.Is(err, ErrConflict) {
		t.Errorf("the same id by another user: got %v, want %v", err, ErrConflict)
	}
	if l, err := b.List(ctx, carla.ID); err != nil || len(l) != 0 {
		t.Errorf("the other user lists %+v, %v", l, err)
	}
	// A restart keeps what was filed and drops what was not finished.
	if err := os.WriteFile(filepath.Join(b.folder(f.ID), "part-1"), []byte("x"), 0o600); err != nil {
		t.Fatal(err)
	}
	stale := newForm()
	if err := put(b, lucia, stale.ID, 0, strings.NewReader("never sent")); err != nil {
		t.Fatal(err)
	}
	if _, err := db.Exec(`update file set staged_at = 1 where ticket = $1`, stale.ID); err != nil {
		t.Fatal(err)
	}
	db.Close()
	again, _ := offline(t, dir)
	if left, _ := os.ReadDir(again.folder(f.ID)); len(left) != 2 {
		t.Errorf("%d files of the ticket are left, want 2", len(left))
	}
	if _, err := os.Stat(again.folder(stale.ID)); !os.IsNotExist(err) {
		t.Errorf("a form that was never sent is still there: %v", err)
	}
}

// zeros is a reader of n zero bytes.
func zeros(n int64) io.Reader { return io.LimitReader(zero{}, n) }

type zero struct{}

func (zero) Read(b []byte) (int, error) { clear(b); return len(b), nil }

func TestFilesOfATicketAreBounded(t *testing.T) {
	if testing.Short() {
		t.Skip("writes 200 MB")
	}
	b, _ := offline(t, t.TempDir())
	f := newForm()
	if err := put(b, lucia, f.ID, 0, zeros(MaxBytes-1000)); err != nil {
		t.Fatal(err)
	}
	if err := put(b, lucia, f.ID, 1, zeros(1001)); !errors.Is(err, ErrTooLarge) {
		t.Errorf("got %v, want %v", err, ErrTooLarge)
	}
	if err := put(b, lucia, f.ID, 1, zeros(1000)); err != nil {
		t.Errorf("up to the bound: %v", err)
	}
	if err := put(b, lucia, f.ID, 0, zeros(10)); err != nil {
		t.Errorf("a smaller file in its place: %v", err)
	}
}

func TestBrokenUploadLeavesNothing(t *testing.T) {
	b, _ := offline(t, t.TempDir())
	f := newForm()
	err := put(b, lucia, f.ID, 0, io.MultiReader(strings.NewReader("half"), broken{}))
	if err == nil {
		t.Fatal("a broken upload is accepted")
	}
	if left, _ := os.ReadDir(b.o.Dir); len(left) != 0 {
		t.Errorf("%d folders are left", len(left))
	}
}

type broken struct{}

func (broken) Read([]byte) (int, error) { return 0, errors.New("the client went away") }

func TestAnswersAreCountedUntilLookedAt(t *testing.T) {
	b, _ := offline(t, t.TempDir())
	ctx := context.Background()
	f := newForm()
	if _, err := b.File(ctx, lucia, f); err != nil {
		t.Fatal(err)
	}
	if _, err := b.Moved(ctx, f.ID, "waiting", "Anna"); err != nil {
		t.Fatal(err)
	}
	if kept, _, answers, err := b.Counts(ctx, lucia.ID); err != nil || kept != 1 || answers != 1 {
		t.Errorf("got %d kept, %d answers, %v", kept, answers, err)
	}
	if err := b.Looked(ctx, carla.ID, f.ID); err != nil {
		t.Fatal(err)
	}
	if _, _, answers, _ := b.Counts(ctx, lucia.ID); answers != 1 {
		t.Error("another user's look counts")
	}
	if err := b.Looked(ctx, lucia.ID, f.ID); err != nil {
		t.Fatal(err)
	}
	if _, _, answers, _ := b.Counts(ctx, lucia.ID); answers != 0 {
		t.Error("the answer is still new")
	}
	if _, err := b.Moved(ctx, api.NewID(time.Now()), "open", ""); !errors.Is(err, ErrNotFound) {
		t.Errorf("an unknown ticket: got %v, want %v", err, ErrNotFound)
	}
}

func FuzzCleanFileName(f *testing.F) {
	for _, s := range []string{"a.png", "../../etc/passwd", `C:\x\y.txt`, "..", "\u202egnp.exe", strings.Repeat("x", 500) + ".png", "a\x00b"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		got := CleanFileName(s)
		if utf8.RuneCountInString(got) > api.MaxFileName || got == "." || got == ".." || strings.ContainsAny(got, `/\`) ||
			strings.ContainsFunc(got, unicode.IsControl) || !utf8.ValidString(got) {
			t.Errorf("%q gives %q", s, got)
		}
	})
}

// TestMain also plays the process whose files may not grow, for the test below.
func TestMain(m *testing.M) {
	if dir := os.Getenv("TRAYBELL_TEST_LIMITED"); dir != "" {
		limited(dir)
		return
	}
	os.Exit(m.Run())
}

// say prints what the parent looks at.
func say(what string, err error) {
	switch {
	case err == nil:
		fmt.Println(what, "ok")
	case errors.Is(err, ErrDiskFull):
		fmt.Println(what, "disk full")
	default:
		fmt.Println(what, "other:", err)
	}
}

// limited runs in a process of its own whose files are limited in size, which the kernel answers like
// a disk that is full.
func limited(dir string) {
	var t testing.T
	b, _ := offline(&t, dir)
	f := newForm()
	say("small", put(b, lucia, f.ID, 0, bytes.NewReader(make([]byte, 1000))))
	f.Files = 1
	_, err := b.File(context.Background(), lucia, f)
	say("file", err)
	if err := limitFiles(300 << 10); err != nil {
		fmt.Println(err)
		return
	}
	g := newForm()
	say("large", put(b, lucia, g.ID, 0, bytes.NewReader(make([]byte, 1<<20))))
	left, _ := os.ReadDir(b.folder(g.ID))
	fmt.Println("left", len(left))
	for i := range 1000 {
		h := newForm()
		h.Text = strings.Repeat("x", 40_000)
		if _, err := b.File(context.Background(), lucia, h); err != nil {
			say("many", err)
			l, _ := b.List(context.Background(), lucia.ID)
			fmt.Println("listed as told", len(l) == i+1)
			break
		}
	}
}
