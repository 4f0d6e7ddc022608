//go:build linux || darwin

package terminal

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"syscall"
	"time"

	creack "github.com/creack/pty"
	"golang.org/x/sys/unix"
)

// endGrace is how long a shell may take to react to the hang-up.
const endGrace = 300 * time.Millisecond

type shell struct {
	master *os.File
	cmd    *exec.Cmd
	gone   chan struct{}
	once   sync.Once
}

// start runs a login shell: its name begins with a dash.
func start(o Options) (pty, error) {
	cmd := exec.Command(o.Shell)
	cmd.Args = []string{"-" + filepath.Base(o.Shell)}
	cmd.Env = append(append([]string(nil), o.Env...), "TERM=xterm-256color")
	cmd.Dir = o.Home
	if st, err := os.Stat(o.Home); err != nil || !st.IsDir() {
		cmd.Dir = "/"
	}
	master, err := creack.StartWithSize(cmd, &creack.Winsize{Cols: 80, Rows: 24})
	if err != nil {
		return nil, err
	}
	s := &shell{cmd: cmd, gone: make(chan struct{})}
	go func() {
		cmd.Wait()
		close(s.gone)
	}()
	if s.master, err = pollable(master); err != nil {
		cmd.Process.Kill()
		return nil, err
	}
	return s, nil
}

// pollable takes over a file whose Close ends a Read that waits. creack/pty's is in blocking mode:
// what a background job holds open would never let go of it.
func pollable(f *os.File) (*os.File, error) {
	defer f.Close()
	fd, err := unix.FcntlInt(f.Fd(), unix.F_DUPFD_CLOEXEC, 0)
	if err != nil {
		return nil, err
	}
	if err := unix.SetNonblock(fd, true); err != nil {
		unix.Close(fd)
		return nil, err
	}
	return os.NewFile(uintptr(fd), "terminal"), nil
}

// Read returns what is printed; a terminal whose last process has gone reads as EIO.
func (s *shell) Read(b []byte) (int, error)  { return s.master.Read(b) }
func (s *shell) Write(b []byte) (int, error) { return s.master.Write(b) }

func (s *shell) resize(cols, rows uint16) error {
	sc, err := s.master.SyscallConn()
	if err != nil {
		return err
	}
	serr := errors.ErrUnsupported
	err = sc.Control(func(fd uintptr) {
		serr = unix.IoctlSetWinsize(int(fd), unix.TIOCSWINSZ, &unix.Winsize{Col: cols, Row: rows})
	})
	return errors.Join(err, serr)
}

func (s *shell) exited() <-chan struct{} { return s.gone }

// foreground is the process group that the terminal's input goes to, or 0.
func (s *shell) foreground() int {
	sc, err := s.master.SyscallConn()
	if err != nil {
		return 0
	}
	var pgrp int
	sc.Control(func(fd uintptr) { pgrp, _ = unix.IoctlGetInt(int(fd), unix.TIOCGPGRP) })
	return pgrp
}

// end hangs up and then kills the shell's process group. What has left the group is killed by the
// service, which ends everything below the session program.
func (s *shell) end() int {
	s.once.Do(func() {
		pid := s.cmd.Process.Pid
		// A shell with job control gives each job a process group of its own.
		if fg := s.foreground(); fg > 1 && fg != pid {
			defer syscall.Kill(-fg, syscall.SIGKILL)
		}
		select {
		case <-s.gone:
		default:
			syscall.Kill(-pid, syscall.SIGHUP)
			t := time.NewTimer(endGrace)
			defer t.Stop()
			select {
			case <-s.gone:
			case <-t.C:
			}
		}
		syscall.Kill(-pid, syscall.SIGKILL)
		<-s.gone
		s.master.Close()
	})
	<-s.gone
	st := s.cmd.ProcessState
	if st == nil {
		return 255
	}
	if ws, ok := st.Sys().(syscall.WaitStatus); ok && ws.Signaled() {
		return 128 + int(ws.Signal())
	}
	return st.ExitCode()
}
