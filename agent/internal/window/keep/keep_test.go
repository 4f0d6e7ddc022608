package keep

import (
	"os"
	"path/filepath"
	"reflect"
	"runtime"
	"testing"
	"time"

	"github.com/zalando/go-keyring"

	"github.com/traybell/traybell/agent/internal/window/content"
)

func TestDraftSurvivesACrashAndIsRemovedAfterSending(t *testing.T) {
	dir, now := t.TempDir(), time.Now()
	d, f, found, err := Open(dir, now)
	if err != nil || found {
		t.Fatalf("Open: found %v, %v", found, err)
	}
	f.Title, f.Text = "Printer", "blank pages"
	path, err := d.Picture([]byte("png"))
	if err != nil {
		t.Fatal(err)
	}
	f.Files = []content.File{{Name: "s.png", Path: path, Size: 3, Own: true}, {Name: "gone", Path: filepath.Join(dir, "gone")}}
	if err := d.Save(f); err != nil {
		t.Fatal(err)
	}
	if runtime.GOOS != "windows" {
		for _, p := range []string{d.path, path} {
			if i, err := os.Stat(p); err != nil || i.Mode().Perm() != 0o600 {
				t.Errorf("%s: mode %v, %v", p, i.Mode(), err)
			}
		}
	}

	second, other, found, err := Open(dir, now)
	if err != nil || found || other.ID == f.ID {
		t.Fatalf("a second open form got the first one's draft: %v %v", found, err)
	}
	second.Close()

	d.Close() // as the end of the process does
	d, again, found, err := Open(dir, now)
	if err != nil || !found {
		t.Fatalf("the draft is lost: %v", err)
	}
	f.Files = f.Files[:1]
	if !reflect.DeepEqual(again, f) {
		t.Errorf("got %+v, want %+v", again, f)
	}
	d.Forget(again)
	d.Close()
	if _, err := os.Stat(path); err == nil {
		t.Error("the picture stays after sending")
	}
	if _, _, found, _ := Open(dir, now); found {
		t.Error("the draft stays after sending")
	}
}

func TestForgetLeavesOtherFilesAlone(t *testing.T) {
	dir := t.TempDir()
	d, f, _, err := Open(dir, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	mine := filepath.Join(t.TempDir(), "picture-of-me.png")
	if err := os.WriteFile(mine, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	f.Files = []content.File{{Path: mine, Own: true}, {Path: mine}}
	d.Forget(f)
	if _, err := os.Stat(mine); err != nil {
		t.Error("a file outside the draft folder was removed")
	}
}

func TestDetails(t *testing.T) {
	want := Details{Email: "l.rossi@studioverdi.it", Name: "Lucia Rossi"}
	for _, tt := range []struct {
		name string
		init func()
		file string
	}{
		{"keyring", keyring.MockInit, "in-keyring"},
		{"no keyring", func() { keyring.MockInitWithError(os.ErrNotExist) }, "details.json"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			tt.init()
			dir := t.TempDir()
			if _, ok := Recall(dir); ok {
				t.Fatal("something is remembered before")
			}
			if err := Remember(dir, want); err != nil {
				t.Fatal(err)
			}
			if got, ok := Recall(dir); !ok || got != want {
				t.Errorf("got %+v %v", got, ok)
			}
			if _, err := os.Stat(filepath.Join(dir, tt.file)); err != nil {
				t.Error(err)
			}
			if err := Forget(dir); err != nil {
				t.Fatal(err)
			}
			if _, ok := Recall(dir); ok {
				t.Error("still remembered")
			}
		})
	}
}
