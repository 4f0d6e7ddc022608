package spawn

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
)

// Account is an OS user as passwd(5) describes it.
type Account struct {
	Name  string
	UID   uint32
	GID   uint32
	Home  string
	Shell string
}

// parsePasswd finds a uid in passwd(5) lines.
func parsePasswd(r io.Reader, uid string) (Account, bool) {
	s := bufio.NewScanner(r)
	for s.Scan() {
		f := strings.Split(s.Text(), ":")
		if len(f) < 7 || f[2] != uid {
			continue
		}
		u, err := strconv.ParseUint(f[2], 10, 32)
		if err != nil {
			continue
		}
		g, err := strconv.ParseUint(f[3], 10, 32)
		if err != nil {
			continue
		}
		a := Account{Name: f[0], UID: uint32(u), GID: uint32(g), Home: f[5], Shell: f[6]}
		if a.Shell == "" {
			a.Shell = "/bin/sh"
		}
		return a, true
	}
	return Account{}, false
}

func localAccount(uid string) (Account, error) {
	f, err := os.Open("/etc/passwd")
	if err != nil {
		return Account{}, fmt.Errorf("look up user %s: %w", uid, err)
	}
	defer f.Close()
	a, ok := parsePasswd(f, uid)
	if !ok {
		return Account{}, fmt.Errorf("look up user %s: there is no such user", uid)
	}
	return a, nil
}
