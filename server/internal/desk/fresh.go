package desk

import (
	"errors"
	"time"
)

// FreshFor is how long after proving the second factor a login may do what needs a fresh proof.
const FreshFor = 15 * time.Minute

// ErrStepUp asks for the second factor once more. The portal asks for it, and then goes on with what was asked.
var ErrStepUp = errors.New("please prove with your second factor that it is you")

// NeedFresh returns ErrStepUp if a is signed in to the portal and has not proven the second factor for a
// while. Use cases call it before a session is started and before security settings are changed. API tokens, devices
// and the command line prove themselves in their own ways and pass.
func NeedFresh(a Actor, now time.Time) error {
	if a.Via == ViaPortal && now.Sub(a.ConfirmedAt) > FreshFor {
		return Fail(ErrStepUp)
	}
	return nil
}
