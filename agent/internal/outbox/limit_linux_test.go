package outbox

import (
	"os"
	"os/exec"
	"os/signal"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

// limitFiles makes writes beyond n bytes of a file fail.
func limitFiles(n uint64) error {
	signal.Ignore(syscall.SIGXFSZ)
	return unix.Setrlimit(unix.RLIMIT_FSIZE, &unix.Rlimit{Cur: n, Max: n})
}

func TestWhereNothingCanBeWrittenNothingIsKept(t *testing.T) {
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), "TRAYBELL_TEST_LIMITED="+t.TempDir())
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	for _, want := range []string{"small ok", "file ok", "large disk full", "left 0", "many disk full", "listed as told true"} {
		if !strings.Contains(string(out), want+"\n") {
			t.Errorf("got\n%s\nwithout %q", out, want)
		}
	}
}
