package grants

import (
	"time"

	"golang.org/x/sys/unix"
)

// boot reads the uptime from the time of the boot, which the kernel corrects when the wall clock is
// set; the session id of the boot names it.
func boot() (string, time.Duration) {
	id, err := unix.Sysctl("kern.bootsessionuuid")
	if err != nil {
		return "", 0
	}
	tv, err := unix.SysctlTimeval("kern.boottime")
	if err != nil {
		return "", 0
	}
	return id, time.Since(time.Unix(tv.Sec, int64(tv.Usec)*1000))
}
