package main

import (
	"bytes"
	"context"
	"encoding/json"
	"path/filepath"
	"strings"
	"testing"

	"github.com/traybell/traybell/agent/internal/localapi"
	"github.com/traybell/traybell/shared/version"
)

func call(t *testing.T, stdin string, args ...string) (code int, out, errOut string) {
	t.Helper()
	var o, e bytes.Buffer
	code = execute(context.Background(), args, strings.NewReader(stdin), &o, &e)
	return code, o.String(), e.String()
}

func TestTicketWithoutTheServiceIsNeitherSentNorKept(t *testing.T) {
	t.Setenv("LC_ALL", "it_IT.UTF-8")
	dir := t.TempDir()
	code, out, _ := call(t, "", "ticket", "--state", dir, "--title", "T", "--email", "a@b.org", "--json")
	var f localapi.Filed
	if err := json.Unmarshal([]byte(out), &f); err != nil || f.State != localapi.FiledRefused || !strings.HasPrefix(f.Reason, "Il servizio Traybell non è attivo") {
		t.Errorf("got %q, %v", out, err)
	}
	if code != exitNotRunning {
		t.Errorf("got exit code %d, want %d", code, exitNotRunning)
	}
	code, out, _ = call(t, "", "status", "--state", dir, "--json")
	if code != exitNotRunning || !strings.Contains(out, `"not_running"`) {
		t.Errorf("status: got %d, %q", code, out)
	}
}

func TestCommandLine(t *testing.T) {
	t.Setenv("LC_ALL", "C")
	dir := t.TempDir()
	for _, tt := range []struct {
		name  string
		stdin string
		args  []string
		code  int
		out   string // a part of either output
	}{
		{"version", "", []string{"--version"}, 0, version.Version},
		{"help", "", []string{"--help"}, 0, "history"},
		{"nothing", "", nil, exitUsage, "expected one of"},
		{"unknown command", "", []string{"dance"}, exitUsage, "dance"},
		{"title is needed", "", []string{"ticket", "--email", "a@b.org"}, exitUsage, "--title"},
		{"severity is one of four", "", []string{"ticket", "--title", "t", "--email", "a@b.org", "--severity", "huge"}, exitUsage, "--severity"},
		{"no key", "", []string{"enrol", "tb1_x", "--state", dir}, exitFailed, "enrolment key"},
		{"no key on standard input", "hello\n", []string{"enrol", "-", "--state", dir}, exitFailed, "enrolment key"},
		{"an answer to nobody", "", []string{"allow", "--state", dir}, exitNotRunning, "not running"},
		{"reason of a no", "", []string{"refuse", "--reason", "why not"}, exitUsage, "--reason"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			code, out, errOut := call(t, tt.stdin, tt.args...)
			if code != tt.code || !strings.Contains(out+errOut, tt.out) {
				t.Errorf("got %d, %q, %q; want %d and %q", code, out, errOut, tt.code, tt.out)
			}
		})
	}
}

func TestNearestExistingFolder(t *testing.T) {
	dir := t.TempDir()
	if got := existing(filepath.Join(dir, "a", "b")); got != dir {
		t.Errorf("got %s, want %s", got, dir)
	}
}
