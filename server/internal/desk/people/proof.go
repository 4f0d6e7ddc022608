package people

import (
	"context"
	"errors"

	"github.com/traybell/traybell/server/internal/account"
	"github.com/traybell/traybell/server/internal/desk"
	"github.com/traybell/traybell/server/internal/store"
)

// Recovery is the kind of a proof by one of the codes that were printed.
const Recovery account.FactorKind = "recovery"

// Proof is what somebody gives for their second factor: a code of the app or from an SMS, a recovery code, or the
// browser's answer of a passkey.
type Proof struct {
	Kind account.FactorKind
	Text string
}

// Prove completes a sign-in by its second factor.
func (p *People) Prove(ctx context.Context, s Step, proof Proof) (in SignedIn, err error) {
	count, err := p.countedStep(ctx, s)
	if err != nil {
		return in, err
	}
	err = p.proven(ctx, s.Actor(), count, proof, func(c *desk.Change, me account.Account) error {
		l, err := c.Login(s.Login.ID)
		if err != nil {
			return err
		}
		if l.State != account.LoginSecond || !l.Live(c.Now) || me.Disabled {
			return desk.Refuse(desk.ErrDenied, "signed_out")
		}
		in, err = p.login(c, me, l)
		return err
	})
	return in, err
}

// StepUp proves the second factor of a complete login again, for what desk.NeedFresh guards.
func (p *People) StepUp(ctx context.Context, a desk.Actor, proof Proof) error {
	return p.proven(ctx, a, countedAgain(a), proof, func(c *desk.Change, me account.Account) error {
		if err := c.ConfirmLogin(me.ID, a.Login, c.Now); err != nil {
			return err
		}
		return c.Record("account.second_factor_proven", ref(me.ID), me.Name, map[string]any{"login": a.Login, "kind": proof.Kind})
	})
}

// proven checks a proof and, if it is right, runs then in the same transaction. Wrong ones are counted under a key.
func (p *People) proven(ctx context.Context, a desk.Actor, count string, proof Proof, then func(*desk.Change, account.Account) error) error {
	right, ok := p.account.Take(count, p.o.Time())
	if !ok {
		return desk.Fail(desk.ErrLimited)
	}
	var wrong bool
	err := p.o.Change(ctx, a, func(c *desk.Change) error {
		me, err := c.Account(a.Account)
		if err != nil {
			return err
		}
		ok, err := p.check(c, me, proof)
		if err != nil {
			return err
		}
		if wrong = !ok; wrong { // what was counted is kept
			return c.Record("account.sign_in_refused", ref(me.ID), me.Name, map[string]any{"kind": short(string(proof.Kind), 20)})
		}
		return then(c, me)
	})
	if err != nil {
		return err
	}
	if wrong {
		return desk.Refuse(desk.ErrDenied, "code_wrong")
	}
	right()
	return nil
}

// check spends a proof of c's actor; it reports whether it is right.
func (p *People) check(c *desk.Change, me account.Account, proof Proof) (bool, error) {
	switch proof.Kind {
	case account.App:
		return p.checkApp(c, me, digits(proof.Text))
	case account.Passkey:
		return p.checkPasskey(c, me, proof.Text)
	case account.SMS:
		return p.checkSMS(c, me, digits(proof.Text))
	case Recovery:
		ok, err := c.UseRecoveryCode(me.ID, hash(string(me.ID), digits(proof.Text)))
		if err != nil || !ok {
			return false, err
		}
		return true, c.Record("account.recovery_code_used", ref(me.ID), me.Name, nil)
	}
	return false, nil
}

func (p *People) checkApp(c *desk.Change, me account.Account, code string) (bool, error) {
	list, err := c.Factors(me.ID)
	if err != nil {
		return false, err
	}
	for _, f := range list {
		if f.Kind != account.App {
			continue
		}
		step, err := p.appStep(f.Secret, me.ID, code, c.Now)
		if err != nil {
			return false, err
		}
		if step <= f.Step { // wrong, or it worked once already
			continue
		}
		was := f.Step
		f.Step, f.SeenAt = step, c.Now
		if err := c.UseFactor(f, was); err != nil {
			if errors.Is(err, store.ErrStale) {
				return false, nil
			}
			return false, err
		}
		return true, nil
	}
	return false, nil
}
