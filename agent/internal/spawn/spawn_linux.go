package spawn

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// Available tells whether sessions can be started on this system.
func Available() error { return nil }

// Options of New.
type Options struct {
	Folder  string // where the session program stands
	UserID  string // uid of the OS user whose rights it gets
	Start   Message
	Logger  *slog.Logger
	Message func(Message) // called for each message of the session program, one after the other
	Exited  func()        // called once when the process is gone and its descendants are killed
}

// Process is a running session program.
type Process struct {
	conn *Conn
	cmd  *exec.Cmd
	done chan struct{}
	once sync.Once
}

// lookup finds a user in passwd, or through getent where it comes from a directory.
func lookup(ctx context.Context, uid string) (Account, error) {
	a, err := localAccount(uid)
	if err == nil {
		return a, nil
	}
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	starting.RLock() // this child is no orphan
	out, gerr := exec.CommandContext(ctx, "getent", "passwd", uid).Output()
	starting.RUnlock()
	if gerr != nil {
		return a, err
	}
	a, ok := parsePasswd(strings.NewReader(string(out)), uid)
	if !ok {
		return a, err
	}
	return a, nil
}

// New starts the session program with the rights of the user, all of the user's groups and none of
// the service's environment.
func New(ctx context.Context, o Options) (*Process, error) {
	a, err := lookup(ctx, o.UserID)
	if err != nil {
		return nil, err
	}
	exe := filepath.Join(o.Folder, Program)
	if _, err := os.Stat(exe); err != nil {
		return nil, fmt.Errorf("find the session program: %w", err)
	}
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_SEQPACKET|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("make control socket: %w", err)
	}
	theirs := os.NewFile(uintptr(fds[1]), "control")
	defer theirs.Close()
	conn, err := NewConn(os.NewFile(uintptr(fds[0]), "control"))
	if err != nil {
		return nil, err
	}
	cmd := exec.Command(exe)
	cmd.ExtraFiles = []*os.File{theirs} // descriptor 3
	cmd.Dir = "/"
	cmd.Stderr = logWriter{o.Logger}
	cmd.WaitDelay = 500 * time.Millisecond
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if os.Geteuid() == 0 {
		groups, err := groupsOf(a)
		if err != nil {
			conn.Close()
			return nil, err
		}
		cmd.SysProcAttr.Credential = &syscall.Credential{Uid: a.UID, Gid: a.GID, Groups: groups}
	} else if int(a.UID) != os.Geteuid() {
		conn.Close()
		return nil, ErrOtherUser
	}
	if o.Start.Home != "" {
		a.Home = o.Start.Home
	}
	cmd.Env = environment(a, o.Start)
	o.Start.Type, o.Start.Shell, o.Start.Home, o.Start.User = Start, a.Shell, a.Home, a.Name
	starting.RLock()
	err = cmd.Start()
	if err == nil {
		running.add(cmd.Process.Pid)
	}
	starting.RUnlock()
	if err != nil {
		conn.Close()
		return nil, fmt.Errorf("start the session program: %w", err)
	}
	p := &Process{conn: conn, cmd: cmd, done: make(chan struct{})}
	if err := conn.Send(o.Start, nil); err != nil {
		p.kill()
		cmd.Wait()
		running.remove(cmd.Process.Pid)
		conn.Close()
		return nil, err
	}
	received := make(chan struct{})
	go func() {
		defer close(received)
		for {
			m, f, err := conn.Receive()
			if f != nil {
				f.Close() // the session program has nothing to hand over
			}
			if err != nil {
				return
			}
			o.Message(m)
		}
	}()
	go func() {
		<-received // EOF: the process is gone, or as good as
		p.kill()
		err := cmd.Wait()
		running.remove(cmd.Process.Pid)
		conn.Close()
		o.Logger.Debug("session program ended", "session", o.Start.Session, "err", err)
		close(p.done)
		o.Exited()
	}()
	return p, nil
}

// PID of the session program.
func (p *Process) PID() int { return p.cmd.Process.Pid }

// Done is closed when the process is gone.
func (p *Process) Done() <-chan struct{} { return p.done }

// Send writes a message to the session program.
func (p *Process) Send(m Message) error { return p.conn.Send(m, nil) }

// Open hands the session program the byte stream of a channel. The returned file is the
// service's end of it.
func (p *Process) Open(m Message) (*os.File, error) {
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("make channel: %w", err)
	}
	ours, theirs := os.NewFile(uintptr(fds[0]), "channel"), os.NewFile(uintptr(fds[1]), "channel")
	defer theirs.Close()
	m.Type = Open
	if err := p.conn.Send(m, theirs); err != nil {
		ours.Close()
		return nil, err
	}
	return ours, nil
}

// End asks the session program to end and kills it, with everything that descends from it, when it
// has not gone after grace.
func (p *Process) End(grace time.Duration) {
	p.once.Do(func() {
		p.conn.Send(Message{Type: End}, nil)
		t := time.NewTimer(grace)
		defer t.Stop()
		select {
		case <-p.done:
		case <-t.C:
			p.kill()
			p.conn.Close()
		}
	})
	<-p.done
}

// kill ends the process and all that descends from it. The session program is stopped first, so that
// it starts nothing more; it reaps its orphans, so that none of them can hide.
func (p *Process) kill() {
	pid := p.cmd.Process.Pid
	unix.Kill(pid, unix.SIGSTOP)
	for range 50 {
		ds := Descendants(pid)
		if len(ds) == 0 {
			break
		}
		for _, d := range ds {
			unix.Kill(d, unix.SIGKILL)
		}
		runtime.Gosched()
	}
	unix.Kill(-pid, unix.SIGKILL)
	unix.Kill(pid, unix.SIGKILL)
}

// parents maps each process to its parent; processes that are dead already are left out.
func parents() map[int]int {
	out := map[int]int{}
	d, err := os.Open("/proc")
	if err != nil {
		return out
	}
	defer d.Close()
	names, _ := d.Readdirnames(-1)
	for _, n := range names {
		pid, err := strconv.Atoi(n)
		if err != nil {
			continue
		}
		if ppid, state, err := parent(pid); err == nil && state != 'Z' && state != 'X' {
			out[pid] = ppid
		}
	}
	return out
}

// parent reads a process's parent and state from /proc/PID/stat.
func parent(pid int) (ppid int, state byte, err error) {
	b, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
	if err != nil {
		return 0, 0, err
	}
	// The name in parentheses may hold anything: the last parenthesis ends it.
	i := strings.LastIndexByte(string(b), ')')
	if i < 0 {
		return 0, 0, fs.ErrInvalid
	}
	f := strings.Fields(string(b[i+1:]))
	if len(f) < 2 {
		return 0, 0, fs.ErrInvalid
	}
	ppid, err = strconv.Atoi(f[1])
	return ppid, f[0][0], err
}

// Descendants lists the living processes below pid.
func Descendants(pid int) []int {
	up := parents()
	var out []int
	for p := range up {
		if below(up, p, pid) {
			out = append(out, p)
		}
	}
	slices.Sort(out)
	return out
}

func below(up map[int]int, p, top int) bool {
	for range 1 << 12 {
		q, ok := up[p]
		if !ok || q == 0 {
			return false
		}
		if q == top {
			return true
		}
		p = q
	}
	return false
}

// ErrVanished is returned by DescendsFrom for a process that is gone.
var ErrVanished = errors.New("the process is gone")

// DescendsFrom reports whether pid is one of tops or below one of them.
func DescendsFrom(pid int, tops ...int) (bool, error) {
	for range 1 << 12 {
		if slices.Contains(tops, pid) {
			return true, nil
		}
		if pid <= 1 {
			return false, nil
		}
		ppid, _, err := parent(pid)
		if err != nil {
			return false, ErrVanished
		}
		pid = ppid
	}
	return false, ErrVanished
}

// AdoptOrphans makes this process the reaper of what a killed session program leaves behind, so that
// it stays recognisable. The service calls it at its start.
func AdoptOrphans() error {
	return unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
}

// starting keeps ReapOrphans away while a child of ours is started or waited for.
var starting sync.RWMutex

// ReapOrphans kills and reaps the children of this process that are no session program: they were
// left behind by one that died, and became ours by AdoptOrphans.
func ReapOrphans() {
	starting.Lock()
	defer starting.Unlock()
	self := os.Getpid()
	for range 20 {
		again := false
		for _, pid := range children(self) {
			if running.has(pid) {
				continue
			}
			unix.Kill(pid, unix.SIGKILL)
			for _, d := range Descendants(pid) {
				unix.Kill(d, unix.SIGKILL)
			}
			var ws unix.WaitStatus
			unix.Wait4(pid, &ws, 0, nil) // it was killed: this takes no time
			again = true
		}
		if !again {
			return
		}
	}
}

// running are the children that this package started itself.
var running = &pidSet{m: map[int]bool{}}

type pidSet struct {
	mu sync.Mutex
	m  map[int]bool
}

func (s *pidSet) has(pid int) bool { s.mu.Lock(); defer s.mu.Unlock(); return s.m[pid] }
func (s *pidSet) add(pid int)      { s.mu.Lock(); defer s.mu.Unlock(); s.m[pid] = true }
func (s *pidSet) remove(pid int)   { s.mu.Lock(); defer s.mu.Unlock(); delete(s.m, pid) }

// children lists the direct children of pid, dead ones included.
func children(pid int) []int {
	var out []int
	d, err := os.Open("/proc")
	if err != nil {
		return nil
	}
	defer d.Close()
	names, _ := d.Readdirnames(-1)
	for _, n := range names {
		p, err := strconv.Atoi(n)
		if err != nil {
			continue
		}
		if ppid, _, err := parent(p); err == nil && ppid == pid {
			out = append(out, p)
		}
	}
	return out
}

// Executable is the file that a process runs.
func Executable(pid int) (os.FileInfo, error) {
	return os.Stat("/proc/" + strconv.Itoa(pid) + "/exe")
}

func groupsOf(a Account) ([]uint32, error) {
	u := &user.User{Uid: strconv.FormatUint(uint64(a.UID), 10), Gid: strconv.FormatUint(uint64(a.GID), 10), Username: a.Name}
	ids, err := u.GroupIds()
	if err != nil {
		return nil, fmt.Errorf("groups of %s: %w", a.Name, err)
	}
	var out []uint32
	for _, id := range ids {
		n, err := strconv.ParseUint(id, 10, 32)
		if err != nil {
			return nil, fmt.Errorf("groups of %s: %w", a.Name, err)
		}
		out = append(out, uint32(n))
	}
	return out, nil
}

// environment is what a fresh login would have, plus the desktop's address.
func environment(a Account, m Message) []string {
	env := []string{
		"HOME=" + a.Home, "USER=" + a.Name, "LOGNAME=" + a.Name, "SHELL=" + a.Shell,
		"PATH=/usr/local/bin:/usr/bin:/bin:/usr/local/sbin:/usr/sbin:/sbin",
	}
	lang := os.Getenv("LANG")
	if lang == "" {
		lang = "C.UTF-8"
	}
	env = append(env, "LANG="+lang)
	if run := "/run/user/" + strconv.FormatUint(uint64(a.UID), 10); isDir(run) {
		env = append(env, "XDG_RUNTIME_DIR="+run)
	}
	if m.Display != "" {
		env = append(env, "DISPLAY="+m.Display)
	}
	if m.XAuthority != "" {
		env = append(env, "XAUTHORITY="+m.XAuthority)
	}
	return env
}

func isDir(p string) bool {
	st, err := os.Stat(p)
	return err == nil && st.IsDir()
}

func rights(f *os.File) []byte { return unix.UnixRights(int(f.Fd())) }

func received(oob []byte, flags int) (*os.File, error) {
	if flags&unix.MSG_CTRUNC != 0 {
		return nil, errors.New("control message: too many descriptors")
	}
	if len(oob) == 0 {
		return nil, nil
	}
	ms, err := unix.ParseSocketControlMessage(oob)
	if err != nil {
		return nil, fmt.Errorf("control message: %w", err)
	}
	var file *os.File
	for _, m := range ms {
		fds, err := unix.ParseUnixRights(&m)
		if err != nil {
			continue
		}
		for _, fd := range fds {
			unix.CloseOnExec(fd)
			if file != nil {
				unix.Close(fd)
				continue
			}
			unix.SetNonblock(fd, true)
			file = os.NewFile(uintptr(fd), "channel")
		}
	}
	return file, nil
}

// Inherited is the session program's end of the control socket: descriptor 3. It makes the process
// the reaper of its orphans and closes it to other processes of the same user.
func Inherited() (*Conn, error) {
	if err := unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0); err != nil {
		return nil, fmt.Errorf("become the reaper: %w", err)
	}
	if err := unix.Prctl(unix.PR_SET_DUMPABLE, 0, 0, 0, 0); err != nil {
		return nil, fmt.Errorf("close the process to others: %w", err)
	}
	unix.CloseOnExec(3)
	if typ, err := unix.GetsockoptInt(3, unix.SOL_SOCKET, unix.SO_TYPE); err != nil || typ != unix.SOCK_SEQPACKET {
		return nil, errors.New("descriptor 3 is no control socket: only the Traybell service starts this program")
	}
	return NewConn(os.NewFile(3, "control"))
}

// KillDescendants ends everything below this process, for the session program's own end.
func KillDescendants() {
	for range 50 {
		ds := Descendants(os.Getpid())
		if len(ds) == 0 {
			return
		}
		for _, d := range ds {
			unix.Kill(d, unix.SIGKILL)
		}
		var ws unix.WaitStatus
		for {
			if pid, err := unix.Wait4(-1, &ws, unix.WNOHANG, nil); err != nil || pid <= 0 {
				break
			}
		}
	}
}

// logWriter passes the session program's standard error to the log, a line each, bounded.
type logWriter struct{ l *slog.Logger }

func (w logWriter) Write(b []byte) (int, error) {
	for line := range strings.SplitSeq(strings.TrimSpace(string(b[:min(len(b), 2000)])), "\n") {
		if line != "" {
			w.l.Info("session program says", "line", line)
		}
	}
	return len(b), nil
}
