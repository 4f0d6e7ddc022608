//go:build windows || darwin

package outbox

import "errors"

func limitFiles(uint64) error { return errors.ErrUnsupported }
