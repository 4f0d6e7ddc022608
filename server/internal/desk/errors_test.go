package desk

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"testing"

	"github.com/traybell/traybell/server/internal/store"
	"github.com/traybell/traybell/server/internal/ticket"
	"github.com/traybell/traybell/shared/catalogue"
)

func TestErrorsKeepTheirKindCauseAndSentence(t *testing.T) {
	for _, c := range []struct {
		err, kind error
		text      string
	}{
		{ticket.ErrTitle, ErrInvalid, "The title is missing or longer than 200 characters."},
		{fmt.Errorf("load: %w", store.ErrNotFound), ErrNotFound, "This does not exist, or is not yours to see."},
		{fmt.Errorf("x: %w: secret detail", store.ErrUnavailable), ErrUnavailable, "The server can't store anything now. Nothing was kept; try again later."},
		{Refuse(ErrConflict, "email_taken"), ErrConflict, "This address has an account already. Sign in instead."},
	} {
		got := Fail(c.err)
		if !errors.Is(got, c.kind) || !errors.Is(got, c.err) || Text(got, "en") != c.text {
			t.Errorf("%v: got %v, %q", c.err, got, Text(got, "en"))
		}
	}
	if err := errors.New("a bug"); Fail(err) != err {
		t.Error("an unknown error was given a kind")
	}
}

// TestEveryCodeHasItsSentence reads the codes out of the sources of the desk.
func TestEveryCodeHasItsSentence(t *testing.T) {
	files, err := filepath.Glob("*/*.go")
	if err != nil || len(files) == 0 {
		t.Fatal(files, err)
	}
	refuse := regexp.MustCompile(`desk\.Refuse\([^,]+, "([a-z_]+)"\)`)
	seen := 0
	check := func(code string) {
		seen++
		for _, lang := range catalogue.Languages {
			if (&Error{Code: code}).In(lang) == "" {
				t.Errorf("%s has no text in %s", code, lang)
			}
		}
	}
	for _, f := range files {
		b, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range refuse.FindAllSubmatch(b, -1) {
			check(string(m[1]))
		}
	}
	for _, c := range codes {
		check(c.code)
	}
	if seen < 40 {
		t.Errorf("only %d codes were found", seen)
	}
}
