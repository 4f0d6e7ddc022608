package storetest

import (
	"errors"
	"os"
	"os/exec"
	"os/user"
	"strconv"
	"syscall"
)

// quit ends PostgreSQL at once; nothing of it is kept.
const quit = syscall.SIGQUIT

// lower gives dir to the user that PostgreSQL is to run as, and returns what makes a command run so: PostgreSQL
// refuses to run as root. It ends with the test binary, however that ends.
func lower(dir string) (func(*exec.Cmd), error) {
	attr := &syscall.SysProcAttr{Pdeathsig: quit}
	if os.Getuid() == 0 {
		u, err := unprivileged()
		if err != nil {
			return nil, err
		}
		uid, _ := strconv.Atoi(u.Uid)
		gid, _ := strconv.Atoi(u.Gid)
		if err := os.Chown(dir, uid, gid); err != nil {
			return nil, err
		}
		attr.Credential = &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}
	}
	return func(c *exec.Cmd) { c.SysProcAttr = attr }, nil
}

func unprivileged() (*user.User, error) {
	for _, name := range []string{"postgres", "nobody"} {
		if u, err := user.Lookup(name); err == nil {
			return u, nil
		}
	}
	return nil, errors.New("PostgreSQL needs an unprivileged user to run as: neither postgres nor nobody exists")
}
