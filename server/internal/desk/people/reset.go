package people

import (
	"context"

	"github.com/traybell/traybell/server/internal/desk"
)

// ResetAccount gives the account with an address a fresh start, on the server's command line: a new
// password, and a second factor that must be set up at the next sign-in. All its logins end. It returns the password.
func (p *People) ResetAccount(ctx context.Context, a desk.Actor, email string) (password string, err error) {
	if !a.System {
		return "", desk.Fail(desk.ErrDenied)
	}
	who, err := p.byEmail(ctx, email)
	if err != nil {
		return "", err
	}
	password = "Tb-" + newToken()[:16] + "-7"
	encoded, err := p.hashPassword(ctx, password)
	if err != nil {
		return "", err
	}
	err = p.o.Change(ctx, a, func(c *desk.Change) error {
		who, err := c.Account(who.ID)
		if err != nil {
			return err
		}
		who.Password, who.FactorLost, who.Disabled = encoded, false, false
		if who.RegisteredAt.IsZero() {
			who.RegisteredAt = c.Now
		}
		if err := c.SaveAccount(who); err != nil {
			return err
		}
		who.Directory, who.ExternalID = "", "" // the way in when a directory fails
		if err := c.LinkAccount(who); err != nil {
			return err
		}
		if err := c.DeleteFactors(who.ID); err != nil {
			return err
		}
		if err := c.SetRecoveryCodes(who.ID, nil); err != nil {
			return err
		}
		if err := c.EndLogins(who.ID, ""); err != nil {
			return err
		}
		return c.Record("account.reset", ref(who.ID), who.Name, nil)
	})
	return password, err
}
