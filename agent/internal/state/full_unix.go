//go:build linux || darwin

package state

import (
	"errors"
	"syscall"
)

func fullOS(err error) bool { return errors.Is(err, syscall.EDQUOT) || errors.Is(err, syscall.EFBIG) }
