// Package keep holds what Traybell's windows keep in the user's own account: the draft of a form,
// the details that the person asked to remember, and the locks that keep two programs off the same
// draft. Tray, windows and browser pages call it; the service never does.
//
// Everything is readable by that user only (0600 in a folder 0700). The details stand in the
// desktop's keyring if one answers in time, else in such a file. A draft survives a crash because
// its lock ends with the process, and the next form takes it over.
package keep

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/zalando/go-keyring"

	"github.com/traybell/traybell/agent/internal/window/content"
)

// Folder returns the user's folder for Traybell, made if needed.
func Folder() (string, error) {
	base, err := os.UserConfigDir()
	if err != nil {
		return "", err
	}
	dir := filepath.Join(base, "traybell")
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return "", err
	}
	return dir, nil
}

// Lock is held until Release or the end of the process.
type Lock struct{ f *os.File }

// ErrLocked says that another program holds the lock.
var ErrLocked = errors.New("held by another program")

// Take locks the file at path, which is made if needed.
func Take(path string) (*Lock, error) {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, err
	}
	if err := lock(f); err != nil {
		f.Close()
		return nil, err
	}
	return &Lock{f}, nil
}

// Release lets the lock go.
func (l *Lock) Release() { l.f.Close() }

// slots bounds how many forms may be open at once with a draft each.
const slots = 9

// maxDraft bounds a draft read back, in bytes.
const maxDraft = 1 << 20

// Draft is the copy on disk of one open form.
type Draft struct {
	dir  string
	path string
	lock *Lock
}

// Open takes the first draft that no other form holds, and returns the form it remembers. found
// tells whether there was one; otherwise the form is new.
func Open(dir string, now time.Time) (d *Draft, f content.Form, found bool, err error) {
	f = content.NewForm(now)
	for n := 1; n <= slots; n++ {
		path := filepath.Join(dir, fmt.Sprintf("draft-%d.json", n))
		l, err := Take(path + ".lock")
		if errors.Is(err, ErrLocked) {
			continue
		}
		if err != nil {
			return nil, f, false, err
		}
		d = &Draft{dir: dir, path: path, lock: l}
		if old, err := read(path); err == nil && old.Typed() {
			return d, old, true, nil
		}
		return d, f, false, nil
	}
	return nil, f, false, ErrLocked
}

func read(path string) (content.Form, error) {
	var f content.Form
	info, err := os.Stat(path)
	if err != nil {
		return f, err
	}
	if info.Size() > maxDraft {
		return f, fmt.Errorf("draft %s is too large", path)
	}
	b, err := os.ReadFile(path)
	if err != nil {
		return f, err
	}
	if err := json.Unmarshal(b, &f); err != nil {
		return f, fmt.Errorf("read draft %s: %w", path, err)
	}
	files := f.Files[:0]
	for _, file := range f.Files {
		if info, err := os.Stat(file.Path); err == nil && info.Mode().IsRegular() {
			file.Size = info.Size()
			files = append(files, file)
		}
	}
	f.Files = files
	return f, nil
}

// Save writes the form durably; an old draft is replaced at once or not at all.
func (d *Draft) Save(f content.Form) error {
	b, err := json.Marshal(f)
	if err != nil {
		return err
	}
	return write(d.path, b)
}

// Picture keeps a PNG beside the draft and returns its path.
func (d *Draft) Picture(png []byte) (string, error) {
	f, err := os.CreateTemp(d.dir, "picture-*.png") // 0600
	if err != nil {
		return "", err
	}
	_, err = f.Write(png)
	if e := f.Close(); err == nil {
		err = e
	}
	if err != nil {
		os.Remove(f.Name())
		return "", err
	}
	return f.Name(), nil
}

// Drop removes a picture that Picture made.
func (d *Draft) Drop(f content.File) {
	if f.Own && filepath.Dir(f.Path) == d.dir && strings.HasPrefix(filepath.Base(f.Path), "picture-") {
		os.Remove(f.Path)
	}
}

// Forget removes the draft and its pictures: the ticket is filed, or the person starts afresh.
func (d *Draft) Forget(f content.Form) {
	for _, file := range f.Files {
		d.Drop(file)
	}
	os.Remove(d.path)
}

// Close lets the draft go; what is in it stays for the next form.
func (d *Draft) Close() { d.lock.Release() }

func write(path string, b []byte) error {
	t, err := os.CreateTemp(filepath.Dir(path), ".new-*")
	if err != nil {
		return err
	}
	_, err = t.Write(b)
	if err == nil {
		err = t.Sync()
	}
	if e := t.Close(); err == nil {
		err = e
	}
	if err == nil {
		err = os.Rename(t.Name(), path)
	}
	if err != nil {
		os.Remove(t.Name())
	}
	return err
}

// Details are what a person lets this computer remember of them.
type Details struct {
	Email string `json:"email"`
	Name  string `json:"name,omitempty"`
	Phone string `json:"phone,omitempty"`
}

const (
	ring    = "traybell"
	account = "details"
	probe   = "probe"
	// patience bounds a keyring call: a locked keyring may wait for a person.
	patience = 2 * time.Second
)

var errSlow = errors.New("the keyring does not answer")

func within(do func() error) error {
	done := make(chan error, 1)
	go func() { done <- do() }()
	t := time.NewTimer(patience)
	defer t.Stop()
	select {
	case err := <-done:
		return err
	case <-t.C:
		return errSlow
	}
}

// Recall returns the remembered details, none if there are none.
func Recall(dir string) (Details, bool) {
	var d Details
	b, err := os.ReadFile(filepath.Join(dir, "details.json"))
	if errors.Is(err, fs.ErrNotExist) {
		if _, err := os.Stat(filepath.Join(dir, "in-keyring")); err != nil {
			return d, false
		}
		got := make(chan string, 1)
		err = within(func() error {
			v, err := keyring.Get(ring, account)
			if err == nil {
				got <- v
			}
			return err
		})
		if err != nil {
			return d, false
		}
		b = []byte(<-got)
	} else if err != nil {
		return d, false
	}
	if json.Unmarshal(b, &d) != nil || d.Email == "" {
		return Details{}, false
	}
	return d, true
}

// Remember keeps d in the keyring, or in a file for this user only where no keyring answers.
func Remember(dir string, d Details) error {
	b, err := json.Marshal(d)
	if err != nil {
		return err
	}
	// A keyring counts only if it takes, gives back and forgets a value.
	err = within(func() error {
		if err := keyring.Set(ring, probe, "1"); err != nil {
			return err
		}
		if v, err := keyring.Get(ring, probe); err != nil || v != "1" {
			return errors.Join(err, errSlow)
		}
		if err := keyring.Delete(ring, probe); err != nil {
			return err
		}
		return keyring.Set(ring, account, string(b))
	})
	if err == nil {
		os.Remove(filepath.Join(dir, "details.json"))
		// The mark spares the next form a keyring call, and its wait, where nothing is kept.
		return write(filepath.Join(dir, "in-keyring"), nil)
	}
	os.Remove(filepath.Join(dir, "in-keyring"))
	return write(filepath.Join(dir, "details.json"), b)
}

// Forget removes the remembered details from wherever they are.
func Forget(dir string) error {
	err := os.Remove(filepath.Join(dir, "details.json"))
	if errors.Is(err, fs.ErrNotExist) {
		err = nil
	}
	if _, mark := os.Stat(filepath.Join(dir, "in-keyring")); mark == nil {
		e := within(func() error { return keyring.Delete(ring, account) })
		if e == nil || errors.Is(e, keyring.ErrNotFound) {
			e = os.Remove(filepath.Join(dir, "in-keyring"))
		}
		err = errors.Join(err, e)
	}
	return err
}
