package localapi

import "golang.org/x/sys/unix"

const defaultSocket = "/var/run/traybell/agent.sock"

// credentials of the process that connected, or that listens, by LOCAL_PEERCRED and LOCAL_PEERPID.
func credentials(fd int) (uid, pid int, err error) {
	c, err := unix.GetsockoptXucred(fd, unix.SOL_LOCAL, unix.LOCAL_PEERCRED)
	if err != nil {
		return 0, 0, err
	}
	pid, err = unix.GetsockoptInt(fd, unix.SOL_LOCAL, unix.LOCAL_PEERPID)
	if err != nil {
		return 0, 0, err
	}
	return int(c.Uid), pid, nil
}
