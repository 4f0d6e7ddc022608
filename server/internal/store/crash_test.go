package store_test

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/traybell/traybell/server/internal/store"
)

const crashFolder = "TRAYBELL_TEST_CRASH" // set: this process is the one that is killed

// TestConfirmedWritesSurviveSIGKILL kills a process that writes with 32 callers, ten times over the same
// data. What it confirmed must be there, and nothing half.
func TestConfirmedWritesSurviveSIGKILL(t *testing.T) {
	if dir := os.Getenv(crashFolder); dir != "" {
		writeUntilKilled(dir)
		return
	}
	dir := t.TempDir()
	confirmed := map[string]bool{}
	for round := range 10 {
		cmd := exec.Command(os.Args[0], "-test.run", "^TestConfirmedWritesSurviveSIGKILL$", "-test.v")
		cmd.Env = append(os.Environ(), crashFolder+"="+dir, "TRAYBELL_TEST_ROUND="+strconv.Itoa(round))
		out, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		lines := bufio.NewScanner(out)
		n := 0
		for lines.Scan() {
			name, ok := strings.CutPrefix(lines.Text(), "confirmed ")
			if !ok {
				continue
			}
			confirmed[name] = true
			if n++; n == 50+37*round {
				cmd.Process.Kill()
			}
		}
		cmd.Wait()
	}
	s, err := store.Open(t.Context(), store.Options{Data: dir})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	read(t, s, func(tx store.Tx) error {
		for name := range confirmed {
			for _, part := range []string{"a", "b"} {
				if _, err := tx.Setting(name + part); err != nil {
					t.Errorf("%s%s was confirmed and is lost: %v", name, part, err)
				}
			}
		}
		return nil
	})
	if len(confirmed) < 1000 {
		t.Errorf("only %d writes were confirmed", len(confirmed))
	}
}

func writeUntilKilled(dir string) {
	s, err := store.Open(context.Background(), store.Options{Data: dir})
	if err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
	var mu sync.Mutex
	var wg sync.WaitGroup
	for i := range 32 {
		wg.Go(func() {
			for j := 0; ; j++ {
				name := fmt.Sprintf("%s-%d-%d", os.Getenv("TRAYBELL_TEST_ROUND"), i, j)
				if err := s.Write(context.Background(), func(tx store.Tx) error {
					if err := tx.SetSetting(name+"a", "1"); err != nil {
						return err
					}
					return tx.SetSetting(name+"b", "1")
				}); err != nil {
					fmt.Println(err)
					os.Exit(1)
				}
				mu.Lock()
				fmt.Println("confirmed " + name)
				mu.Unlock()
			}
		})
	}
	wg.Wait()
}
