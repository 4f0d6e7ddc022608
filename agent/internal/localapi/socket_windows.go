package localapi

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"net"
	"strings"

	"github.com/Microsoft/go-winio"
	"golang.org/x/sys/windows"
)

const defaultSocket = `\\.\pipe\traybell-agent`

// stateSocket names the pipe of a development service after its state folder.
func stateSocket(state string) string {
	h := sha256.Sum256([]byte(strings.ToLower(absolute(state))))
	return defaultSocket + "-" + hex.EncodeToString(h[:8])
}

func dialSocket(ctx context.Context, path string) (net.Conn, error) {
	return winio.DialPipeContext(ctx, path)
}

// listenSocket creates the pipe; go-winio does so with FILE_CREATE, which fails if an instance
// exists already, as FILE_FLAG_FIRST_PIPE_INSTANCE does. SYSTEM and administrators own it, people
// signed in at the computer may speak, the network may not.
func listenSocket(path string) (net.Listener, error) {
	l, err := winio.ListenPipe(path, &winio.PipeConfig{
		SecurityDescriptor: "D:P(D;;GA;;;NU)(A;;GA;;;SY)(A;;GA;;;BA)(A;;GA;;;OW)(A;;GRGW;;;IU)",
		InputBufferSize:    64 << 10, OutputBufferSize: 64 << 10,
	})
	if err != nil {
		return nil, fmt.Errorf("listen on %s: %w", path, err)
	}
	return l, nil
}

func handleOf(conn net.Conn) (windows.Handle, error) {
	f, ok := conn.(interface{ Fd() uintptr })
	if !ok {
		return 0, fmt.Errorf("peer of %T: not a named pipe", conn)
	}
	return windows.Handle(f.Fd()), nil
}

func peerOf(conn net.Conn) (Peer, error) {
	h, err := handleOf(conn)
	if err != nil {
		return Peer{}, err
	}
	var pid uint32
	if err := windows.GetNamedPipeClientProcessId(h, &pid); err != nil {
		return Peer{}, fmt.Errorf("peer of the pipe: %w", err)
	}
	return ownerOf(pid)
}

func serverOf(conn net.Conn) (Peer, error) {
	h, err := handleOf(conn)
	if err != nil {
		return Peer{}, err
	}
	var pid uint32
	if err := windows.GetNamedPipeServerProcessId(h, &pid); err != nil {
		return Peer{}, fmt.Errorf("server of the pipe: %w", err)
	}
	p, err := ownerOf(pid)
	if err != nil {
		// A plain user may not look into a process of SYSTEM. The pipe's owner, which only its
		// creator sets, tells the same.
		sd, serr := windows.GetSecurityInfo(h, windows.SE_KERNEL_OBJECT, windows.OWNER_SECURITY_INFORMATION)
		if serr != nil {
			return Peer{}, err
		}
		owner, _, serr := sd.Owner()
		if serr != nil {
			return Peer{}, err
		}
		root := owner.IsWellKnown(windows.WinLocalSystemSid) || owner.IsWellKnown(windows.WinBuiltinAdministratorsSid)
		return Peer{ID: owner.String(), PID: int(pid), Root: root}, nil
	}
	return p, nil
}

func ownerOf(pid uint32) (Peer, error) {
	p, err := windows.OpenProcess(windows.PROCESS_QUERY_LIMITED_INFORMATION, false, pid)
	if err != nil {
		return Peer{}, fmt.Errorf("open process %d: %w", pid, err)
	}
	defer windows.CloseHandle(p)
	var t windows.Token
	if err := windows.OpenProcessToken(p, windows.TOKEN_QUERY, &t); err != nil {
		return Peer{}, fmt.Errorf("token of process %d: %w", pid, err)
	}
	defer t.Close()
	u, err := t.GetTokenUser()
	if err != nil {
		return Peer{}, fmt.Errorf("user of process %d: %w", pid, err)
	}
	self, err := windows.GetCurrentProcessToken().GetTokenUser()
	if err != nil {
		return Peer{}, fmt.Errorf("own user: %w", err)
	}
	return Peer{
		ID: u.User.Sid.String(), PID: int(pid),
		Root: u.User.Sid.IsWellKnown(windows.WinLocalSystemSid) || t.IsElevated(),
		Self: u.User.Sid.Equals(self.User.Sid),
	}, nil
}
