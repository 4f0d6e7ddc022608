package localapi

import "golang.org/x/sys/unix"

const defaultSocket = "/run/traybell/agent.sock"

// credentials of the process that connected, or that listens, by SO_PEERCRED.
func credentials(fd int) (uid, pid int, err error) {
	c, err := unix.GetsockoptUcred(fd, unix.SOL_SOCKET, unix.SO_PEERCRED)
	if err != nil {
		return 0, 0, err
	}
	return int(c.Uid), int(c.Pid), nil
}
