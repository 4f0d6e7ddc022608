package blob

import (
	"bytes"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/iotest"
)

const sum = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad" // of "abc"

func TestPutKeepsWhatWasAnnounced(t *testing.T) {
	dir := t.TempDir()
	f, err := Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	for range 2 { // the same bytes again are the same blob
		got, n, err := f.Put(strings.NewReader("abc"), sum, 3)
		if got != sum || n != 3 || err != nil {
			t.Fatalf("got %s, %d, %v", got, n, err)
		}
	}
	r, err := f.Get(sum)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	if b, _ := io.ReadAll(r); string(b) != "abc" {
		t.Errorf("got %q", b)
	}
}

func TestPutRefuses(t *testing.T) {
	dir := t.TempDir()
	f, err := Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	broken := errors.New("line cut")
	for _, c := range []struct {
		name  string
		r     io.Reader
		limit int64
		want  error
	}{
		{"other bytes", strings.NewReader("abd"), 3, ErrMismatch},
		{"too many", bytes.NewReader(make([]byte, 4)), 3, ErrTooLarge},
		{"a cut line", io.MultiReader(strings.NewReader("ab"), iotest.ErrReader(broken)), 3, broken},
	} {
		if _, _, err := f.Put(c.r, sum, c.limit); !errors.Is(err, c.want) {
			t.Errorf("%s: %v, want %v", c.name, err, c.want)
		}
	}
	left, _ := filepath.Glob(filepath.Join(dir, "*", "*"))
	if len(left) != 0 {
		t.Errorf("it left %v", left)
	}
	for _, name := range []string{sum, "", "../../etc/passwd", strings.Repeat("/", 64)} {
		if _, err := f.Get(name); !errors.Is(err, ErrNotFound) {
			t.Errorf("Get(%q): %v", name, err)
		}
	}
}

func TestPutSaysThatTheDiskIsTheReason(t *testing.T) {
	dir := t.TempDir()
	f, err := Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.RemoveAll(filepath.Join(dir, temporary)); err != nil {
		t.Fatal(err)
	}
	if _, _, err := f.Put(strings.NewReader("abc"), "", 3); !errors.Is(err, ErrUnavailable) {
		t.Errorf("got %v, want ErrUnavailable", err)
	}
	full := &fileWriter{}
	if full.f, err = os.OpenFile("/dev/full", os.O_WRONLY, 0); err != nil {
		t.Skip("no /dev/full here")
	}
	if _, err := full.Write([]byte("x")); err == nil || !strings.Contains(unavailable(full.err).Error(), "disk is full") {
		t.Errorf("got %v", full.err)
	}
}
