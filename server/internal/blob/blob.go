// Package blob keeps the bytes of attachments in a folder, named by their SHA-256.
//
// It promises that bytes whose Put has returned are on the disk, whole and as announced; an interrupted Put
// leaves nothing but a temporary file that the next Open removes. The desk calls it.
package blob

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"syscall"
)

// Errors that callers tell apart with errors.Is.
var (
	ErrMismatch    = errors.New("the bytes are not those that were announced")
	ErrTooLarge    = errors.New("the file is larger than allowed")
	ErrNotFound    = errors.New("the file's bytes are not here")
	ErrUnavailable = errors.New("the file could not be stored")
)

// Folder is a folder of blobs.
type Folder struct{ dir string }

const temporary = "incoming"

// Open prepares the folder and removes what interrupted Puts have left.
func Open(dir string) (*Folder, error) {
	f := &Folder{dir}
	tmp := filepath.Join(dir, temporary)
	if err := os.RemoveAll(tmp); err != nil {
		return nil, fmt.Errorf("clear %s: %w", tmp, err)
	}
	if err := os.MkdirAll(tmp, 0o700); err != nil {
		return nil, fmt.Errorf("make %s: %w", tmp, err)
	}
	return f, nil
}

// Put stores at most limit bytes of r and returns their SHA-256 in hex and their number. If want is
// not empty, other bytes are refused with ErrMismatch.
func (f *Folder) Put(r io.Reader, want string, limit int64) (sum string, size int64, err error) {
	tmp, err := os.CreateTemp(filepath.Join(f.dir, temporary), "")
	if err != nil {
		return "", 0, unavailable(err)
	}
	defer func() {
		tmp.Close()
		os.Remove(tmp.Name())
	}()
	h := sha256.New()
	w := &fileWriter{f: tmp}
	size, err = io.Copy(io.MultiWriter(h, w), io.LimitReader(r, limit+1))
	switch {
	case w.err != nil:
		return "", 0, unavailable(w.err)
	case err != nil:
		return "", 0, fmt.Errorf("read the file's bytes: %w", err)
	case size > limit:
		return "", 0, ErrTooLarge
	}
	sum = hex.EncodeToString(h.Sum(nil))
	if want != "" && sum != want {
		return "", 0, ErrMismatch
	}
	if err := tmp.Sync(); err != nil {
		return "", 0, unavailable(err)
	}
	path := f.path(sum)
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return "", 0, unavailable(err)
	}
	if err := os.Rename(tmp.Name(), path); err != nil {
		return "", 0, unavailable(err)
	}
	for _, dir := range []string{filepath.Dir(path), f.dir} {
		if err := syncDir(dir); err != nil {
			return "", 0, unavailable(err)
		}
	}
	return sum, size, nil
}

// Get opens the bytes with this SHA-256.
func (f *Folder) Get(sum string) (*os.File, error) {
	if len(sum) != 64 || strings.Trim(sum, "0123456789abcdef") != "" {
		return nil, ErrNotFound
	}
	file, err := os.Open(f.path(sum))
	if errors.Is(err, os.ErrNotExist) {
		return nil, ErrNotFound
	}
	return file, err
}

func (f *Folder) path(sum string) string { return filepath.Join(f.dir, sum[:2], sum) }

// fileWriter remembers the disk's error, to tell it from the sender's.
type fileWriter struct {
	f   *os.File
	err error
}

func (w *fileWriter) Write(p []byte) (int, error) {
	n, err := w.f.Write(p)
	if err != nil {
		w.err = err
	}
	return n, err
}

func unavailable(err error) error {
	if errors.Is(err, syscall.ENOSPC) {
		return fmt.Errorf("%w: the disk is full: %w", ErrUnavailable, err)
	}
	return fmt.Errorf("%w: %w", ErrUnavailable, err)
}
