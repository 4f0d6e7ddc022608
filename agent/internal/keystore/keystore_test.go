package keystore

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"runtime"
	"testing"

	"github.com/traybell/traybell/shared/api"
)

func TestIdentityComesBackAndStaysSecret(t *testing.T) {
	dir := t.TempDir()
	if _, err := Load(dir, "m"); !errors.Is(err, ErrNone) {
		t.Fatalf("an empty folder gives %v, want %v", err, ErrNone)
	}
	id, err := New("device", Server{URL: "https://localhost:1", TLS: api.TLSPinned, Identity: make([]byte, 32)}, "key")
	if err != nil {
		t.Fatal(err)
	}
	id.Enrolled, id.Name = true, "PC-114"
	if err := Save(dir, "m", id); err != nil {
		t.Fatal(err)
	}
	got, err := Load(dir, "m")
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got.LinkKey, id.LinkKey) || !bytes.Equal(got.GrantKey, id.GrantKey) || got.Device != id.Device || got.Name != id.Name || !got.Enrolled {
		t.Errorf("got %+v, want %+v", got, id)
	}
	if bytes.Equal(got.LinkKey, got.GrantKey) {
		t.Error("both keys are one")
	}
	if runtime.GOOS != "windows" {
		st, err := os.Stat(filepath.Join(dir, fileName))
		if err != nil {
			t.Fatal(err)
		}
		if st.Mode().Perm() != 0o600 {
			t.Errorf("got mode %o, want 600", st.Mode().Perm())
		}
	}
	left, _ := os.ReadDir(dir)
	if len(left) != 1 {
		t.Errorf("%d files are left, want 1", len(left))
	}
}

func TestClonedFolderLosesItsKeys(t *testing.T) {
	dir := t.TempDir()
	id, err := New("device", Server{}, "key")
	if err != nil {
		t.Fatal(err)
	}
	if err := Save(dir, "machine", id); err != nil {
		t.Fatal(err)
	}
	if _, err := Load(dir, "clone"); !errors.Is(err, ErrCloned) {
		t.Fatalf("got %v, want %v", err, ErrCloned)
	}
	if _, err := Load(dir, "machine"); !errors.Is(err, ErrNone) {
		t.Errorf("the keys are still there: %v", err)
	}
}
