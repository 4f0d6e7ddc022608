//go:build linux || darwin

package service

import (
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
)

// notifyText writes one line to a text console or remote shell whose user has no tray. It does not
// wait for a terminal that is stopped.
func notifyText(tty, line string) {
	if tty == "" || strings.Contains(tty, "..") {
		return
	}
	f, err := os.OpenFile(filepath.Join("/dev", tty), os.O_WRONLY|syscall.O_NONBLOCK|syscall.O_NOCTTY, 0)
	if err != nil {
		return
	}
	defer f.Close()
	if st, err := f.Stat(); err == nil && st.Mode()&os.ModeCharDevice != 0 {
		f.WriteString("\r\n" + line + "\r\n")
	}
}

func ownID() string { return strconv.Itoa(os.Geteuid()) }
