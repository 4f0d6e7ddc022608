package grants

import (
	"strconv"
	"time"

	"golang.org/x/sys/windows"
)

// boot reads the tick count, which goes on while the computer sleeps. The boot is named by its
// time to the minute; a wall clock that is set names another boot, and then its forward difference
// counts.
func boot() (string, time.Duration) {
	up := windows.DurationSinceBoot()
	return strconv.FormatInt(time.Now().Add(-up).Unix()/60, 10), up
}
