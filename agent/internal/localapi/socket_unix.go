//go:build linux || darwin

package localapi

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"syscall"
	"time"
)

func stateSocket(state string) string { return filepath.Join(absolute(state), "agent.sock") }

func dialSocket(ctx context.Context, path string) (net.Conn, error) {
	var d net.Dialer
	return d.DialContext(ctx, "unix", path)
}

func listenSocket(path string) (net.Listener, error) {
	dir := filepath.Dir(path)
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, fmt.Errorf("make the socket's folder: %w", err)
	}
	// A socket left behind by a killed service is removed; one that answers is not.
	if conn, err := net.DialTimeout("unix", path, time.Second); err == nil {
		conn.Close()
		return nil, fmt.Errorf("listen on %s: %w", path, syscall.EADDRINUSE)
	}
	if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, fmt.Errorf("remove the former socket: %w", err)
	}
	l, err := net.Listen("unix", path)
	if err != nil {
		return nil, fmt.Errorf("listen on %s: %w", path, err)
	}
	if err := os.Chmod(path, 0o666); err != nil { // the kernel tells who connects
		l.Close()
		return nil, fmt.Errorf("open the socket to all users: %w", err)
	}
	return l, nil
}

func peerOf(conn net.Conn) (Peer, error) {
	uc, ok := conn.(*net.UnixConn)
	if !ok {
		return Peer{}, fmt.Errorf("peer of %T: not a Unix socket", conn)
	}
	raw, err := uc.SyscallConn()
	if err != nil {
		return Peer{}, fmt.Errorf("peer of the socket: %w", err)
	}
	var uid, pid int
	var perr error
	if err := raw.Control(func(fd uintptr) { uid, pid, perr = credentials(int(fd)) }); err != nil {
		return Peer{}, fmt.Errorf("peer of the socket: %w", err)
	}
	if perr != nil {
		return Peer{}, fmt.Errorf("peer of the socket: %w", perr)
	}
	return Peer{ID: strconv.Itoa(uid), PID: pid, Root: uid == 0, Self: uid == os.Geteuid()}, nil
}

func serverOf(conn net.Conn) (Peer, error) { return peerOf(conn) }
