package people

import (
	"context"
	"errors"
	"strconv"
	"strings"
	"time"

	"github.com/traybell/traybell/server/internal/account"
	"github.com/traybell/traybell/server/internal/desk"
	"github.com/traybell/traybell/server/internal/store"
)

// BrowserLife is for how long a browser is known in which somebody has signed in.
const BrowserLife = 180 * 24 * time.Hour

// Browser makes the text by which a browser is known again in which an account has signed in, for its cookie. It
// opens nothing: guesses from there only have a count of their own.
func (p *People) Browser(id account.ID) string {
	return p.seal(string(id)+" "+strconv.FormatInt(p.o.Time().Unix(), 10), "browser")
}

// knows reports whether text was made for a browser of the account.
func (p *People) knows(text string, id account.ID, now time.Time) bool {
	if text == "" || len(text) > 500 {
		return false
	}
	plain, err := p.unseal(text, "browser")
	if err != nil {
		return false
	}
	whose, at, _ := strings.Cut(plain, " ")
	made, err := strconv.ParseInt(at, 10, 64)
	return err == nil && whose == string(id) && now.Sub(time.Unix(made, 0)) < BrowserLife
}

// countedAs is the key under which attempts at an account are counted. Those from a browser in which the account has
// signed in before have a count of their own, and so have those from an address at which it is signed in; all others
// share one. So somebody who guesses from elsewhere never keeps the owner out of where they work, and guesses from
// many addresses are not more guesses.
func (p *People) countedAs(ctx context.Context, email, address, browser string, now time.Time) (key string, err error) {
	err = p.o.Read(ctx, func(tx store.Tx) error {
		key = email
		a, err := tx.AccountByEmail(email)
		if errors.Is(err, store.ErrNotFound) {
			return nil
		}
		if err != nil {
			return err
		}
		if p.knows(browser, a.ID, now) {
			key = email + "\x00browser\x00" + hash(browser)
			return nil
		}
		logins, err := tx.Logins(a.ID)
		for _, l := range logins {
			if l.State == account.LoginIn && l.Live(now) && l.Address == address && address != "" {
				key = email + "\x00" + address
			}
		}
		return err
	})
	return key, err
}

// countedStep is the key under which attempts at the second factor are counted: as the password's, but apart from
// them, so that somebody who has the password can't keep the owner out either.
func (p *People) countedStep(ctx context.Context, s Step) (string, error) {
	key, err := p.countedAs(ctx, s.Account.Email, s.Login.Address, s.Browser, p.o.Time())
	return "second\x00" + key, err
}

// countedAgain is the key under which attempts of a complete login are counted, when it proves its second factor again.
func countedAgain(a desk.Actor) string { return "again\x00" + string(a.Account) + "\x00" + a.Login }
