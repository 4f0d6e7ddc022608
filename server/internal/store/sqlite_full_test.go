package store

import (
	"context"
	"errors"
	"strings"
	"testing"
)

// TestFullDiskStoresNothing limits the number of pages, which fails like a full disk does.
func TestFullDiskStoresNothing(t *testing.T) {
	s, err := Open(t.Context(), Options{Data: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	e := s.engine.(*sqliteEngine)
	limit := func(pages string) {
		t.Helper()
		if err := s.Write(t.Context(), func(tx Tx) error {
			_, err := e.writer.Conn.ExecContext(context.Background(), "pragma max_page_count = "+pages)
			return err
		}); err != nil {
			t.Fatal(err)
		}
	}
	limit("1") // is raised to the present size
	big := strings.Repeat("x", 1<<20)
	err = s.Write(t.Context(), func(tx Tx) error {
		if err := tx.SetSetting("small", "1"); err != nil {
			return err
		}
		return tx.SetSetting("big", big)
	})
	if !errors.Is(err, ErrUnavailable) || !strings.Contains(err.Error(), "disk is full") {
		t.Fatalf("got %v, want ErrUnavailable with its reason", err)
	}
	limit("100000")
	for _, name := range []string{"small", "big"} {
		if err := s.Read(t.Context(), func(tx Tx) error { _, err := tx.Setting(name); return err }); !errors.Is(err, ErrNotFound) {
			t.Errorf("%s was half stored: %v", name, err)
		}
	}
	if err := s.Write(t.Context(), func(tx Tx) error { return tx.SetSetting("big", big) }); err != nil {
		t.Errorf("with space again: %v", err)
	}
}

func TestUnwritableFolderSaysWhich(t *testing.T) {
	_, err := Open(t.Context(), Options{Data: "/nonexistent/folder"})
	if err == nil || !strings.Contains(err.Error(), "/nonexistent/folder") {
		t.Errorf("got %v", err)
	}
	_, err = Open(t.Context(), Options{DatabaseURL: "postgres://user:geheim@%zz/x"})
	if err == nil || strings.Contains(err.Error(), "geheim") {
		t.Errorf("got %v: it must fail without the password", err)
	}
}
