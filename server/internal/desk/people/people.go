// Package people is what people do about accounts: become the first administrator, sign in and out,
// keep their password and authenticator app, invite others, make API tokens.
//
// Passwords are hashed with Argon2id, tokens and codes are stored as SHA-256, the authenticator's secret
// is sealed with a key that is not in the database. The edges (web, api, the command line) call it.
package people

import (
	"bytes"
	"context"
	"crypto/cipher"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base32"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"image/png"
	"net/url"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/pquerna/otp"
	"github.com/pquerna/otp/totp"

	"github.com/traybell/traybell/server/internal/account"
	"github.com/traybell/traybell/server/internal/desk"
	"github.com/traybell/traybell/server/internal/store"
	"github.com/traybell/traybell/shared/catalogue"
)

// Options are what the use cases work with.
type Options struct {
	desk.Options
	Seal cipher.AEAD // for secrets that must be read again
	LDAP LDAP        // both reach the directories in which people have their passwords
	OIDC OIDC
}

// People are the use cases.
type People struct {
	o       Options
	hashing chan struct{} // one token for each hash that may run
	account *limiter
	address *limiter
	node    string // who holds a lease
}

// New returns the use cases.
func New(o Options) *People {
	if o.Options.Seal == nil {
		o.Options.Seal = o.Seal
	}
	return &People{o: o, hashing: hashingSlots(), account: newLimiter(10, time.Minute), address: newLimiter(60, 10*time.Second), node: rand.Text()}
}

const (
	settingFirst = "first_administrator" // hash of the link's token
	seenEvery    = 5 * time.Minute       // how exactly a login's last use is noted
	recoverCodes = 10
	issuer       = "Traybell"
)

// ErrSecondFactor is wrapped by SignIn's error when the password is right and the code is missing.
var ErrSecondFactor = errors.New("the code from the authenticator app is needed")

// EnsureProvider makes the organization that runs this server, if there is none yet.
func (p *People) EnsureProvider(ctx context.Context, name string) error {
	name, err := account.CheckName(name)
	if err != nil {
		return desk.Fail(err)
	}
	if err := p.o.Read(ctx, func(tx store.Tx) error { _, err := tx.Provider(); return err }); !errors.Is(err, desk.ErrNotFound) {
		return err
	}
	return p.o.Change(ctx, desk.System(), func(c *desk.Change) error {
		if _, err := c.Provider(); !errors.Is(err, store.ErrNotFound) {
			return err
		}
		o := account.Organization{ID: account.OrganizationID(c.NewID()), Name: name, Provider: true, CreatedAt: c.Now}
		if err := c.InsertOrganization(o); err != nil {
			return err
		}
		return c.Record("organization.made", "organization:"+string(o.ID), o.Name, nil)
	})
}

// Initialised reports whether an administrator exists.
func (p *People) Initialised(ctx context.Context) (done bool, err error) {
	err = p.o.Read(ctx, func(tx store.Tx) error {
		n, err := tx.CountAccounts(account.Administrator)
		done = n > 0
		return err
	})
	return done, err
}

// FirstAdministratorToken makes the token of the link by which the first administrator signs up; any earlier
// one stops working. It is empty once an administrator exists.
func (p *People) FirstAdministratorToken(ctx context.Context) (token string, err error) {
	secret := newToken()
	err = p.o.Store.Write(ctx, func(tx store.Tx) error {
		token = ""
		n, err := tx.CountAccounts(account.Administrator)
		if err != nil || n > 0 {
			return err
		}
		token = secret
		return tx.SetSetting(settingFirst, hash(secret))
	})
	return token, desk.Fail(err)
}

// CheckFirst reports whether the token of the first administrator's link still works.
func (p *People) CheckFirst(ctx context.Context, token string) error {
	return p.o.Read(ctx, func(tx store.Tx) error { return checkFirst(tx, token) })
}

func checkFirst(tx store.Tx, token string) error {
	want, err := tx.Setting(settingFirst)
	if errors.Is(err, store.ErrNotFound) {
		return account.ErrUsed
	}
	if err == nil && subtle.ConstantTimeCompare([]byte(hash(token)), []byte(want)) != 1 {
		return account.ErrExpired
	}
	return err
}

// NewAccount is what a person fills in to get an account.
type NewAccount struct {
	Email     string // ignored where an invitation says it
	Name      string
	Password  string
	Language  string
	Address   string // of the browser
	UserAgent string
}

// SignedIn is a fresh sign-in: Token goes into the browser's cookie and is not stored.
type SignedIn struct {
	Token   string
	Login   account.Login
	Account account.Account
}

// FirstAdministrator makes the first administrator and signs them in. organization, if not empty, becomes
// the name of the organization that runs this server.
func (p *People) FirstAdministrator(ctx context.Context, token, organization string, n NewAccount) (s SignedIn, err error) {
	if err := p.CheckFirst(ctx, token); err != nil {
		return s, err
	}
	a, err := p.prepare(ctx, n, account.Administrator)
	if err != nil {
		return s, err
	}
	if organization != "" {
		if organization, err = account.CheckName(organization); err != nil {
			return s, desk.Fail(err)
		}
	}
	err = p.o.Change(ctx, desk.Actor{Name: a.Name, Via: desk.ViaPortal, Address: n.Address}, func(c *desk.Change) error {
		if err := checkFirst(c.Tx, token); err != nil {
			return err
		}
		o, err := c.Provider()
		if err != nil {
			return err
		}
		if organization != "" && organization != o.Name {
			o.Name = organization
			if err := c.SaveOrganization(o); err != nil {
				return err
			}
		}
		a.Organization, a.OrganizationName = o.ID, o.Name
		if s, err = p.settle(c, a, n); err != nil {
			return err
		}
		return c.SetSetting(settingFirst, "")
	})
	return s, err
}

// prepare checks what somebody filled in and hashes the password, outside of any transaction.
func (p *People) prepare(ctx context.Context, n NewAccount, r account.Role) (a account.Account, err error) {
	a = account.Account{Role: r, Language: catalogue.Match(n.Language)}
	if a.Email, err = account.NormalizeEmail(n.Email); err != nil {
		return a, desk.Fail(err)
	}
	if a.Name, err = account.CheckName(n.Name); err != nil {
		return a, desk.Fail(err)
	}
	if err := account.CheckPassword(n.Password, a.Email); err != nil {
		return a, desk.Fail(err)
	}
	a.Password, err = p.hashPassword(ctx, n.Password)
	return a, err
}

// settle stores a new account, or completes the one that an invitation has made, and signs it in.
func (p *People) settle(c *desk.Change, a account.Account, n NewAccount) (SignedIn, error) {
	invited, err := c.AccountByEmail(a.Email)
	switch {
	case err == nil && (invited.Password != "" || invited.Directory != ""):
		return SignedIn{}, desk.Refuse(desk.ErrConflict, "email_taken")
	case err == nil:
		a.ID, a.CreatedAt, a.Version = invited.ID, invited.CreatedAt, invited.Version
		if err := c.SaveAccount(a); err != nil {
			return SignedIn{}, err
		}
		a.Version++
	case errors.Is(err, store.ErrNotFound):
		a.ID, a.CreatedAt, a.Version = account.ID(c.NewID()), c.Now, 1
		if err := c.InsertAccount(a); err != nil {
			return SignedIn{}, err
		}
	default:
		return SignedIn{}, err
	}
	c.Actor = desk.Of(a, desk.ViaPortal, n.Address)
	if err := c.Record("account.made", ref(a.ID), a.Name, map[string]any{"role": a.Role}); err != nil {
		return SignedIn{}, err
	}
	return p.login(c, a, n.UserAgent)
}

// login makes a login row for c's actor.
func (p *People) login(c *desk.Change, a account.Account, userAgent string) (SignedIn, error) {
	s := SignedIn{Token: newToken(), Account: a}
	s.Login = account.Login{ID: c.NewID(), Account: a.ID, Address: c.Actor.Address, UserAgent: short(userAgent, 300), CreatedAt: c.Now, SeenAt: c.Now, Current: true}
	if err := c.InsertLogin(s.Login, hash(s.Token)); err != nil {
		return s, err
	}
	if err := c.EndOldLogins(c.Now.Add(-account.LoginIdle), c.Now.Add(-account.LoginLife)); err != nil {
		return s, err
	}
	return s, c.Record("account.signed_in", ref(a.ID), a.Name, map[string]any{"login": s.Login.ID})
}

// Credentials are what somebody types to sign in. Code is that of the authenticator app, or a
// recovery code; it is needed once the app is set up.
type Credentials struct {
	Email     string
	Password  string
	Code      string
	Language  string // of the page, for an account that is made
	Address   string
	UserAgent string
}

// SignIn checks the credentials. The error says neither which of them was wrong nor whether the account
// exists; ErrSecondFactor asks for the code; desk.ErrLimited says that there were too many attempts.
func (p *People) SignIn(ctx context.Context, in Credentials) (s SignedIn, err error) {
	email, err := account.NormalizeEmail(in.Email)
	if err != nil || utf8.RuneCountInString(in.Password) > account.MaxPassword || len(in.Code) > 100 {
		return s, desk.Refuse(desk.ErrDenied, "sign_in_wrong")
	}
	now := p.o.Time()
	byAddress, ok1 := p.address.take(in.Address, now)
	if !ok1 {
		return s, desk.Fail(desk.ErrLimited)
	}
	byAccount, ok2 := p.account.take(email, now)
	if !ok2 {
		return s, desk.Fail(desk.ErrLimited)
	}
	defer func() {
		if !errors.Is(err, desk.ErrDenied) || errors.Is(err, ErrSecondFactor) { // nothing was guessed wrong
			byAddress()
			byAccount()
		}
	}()
	a, ok, err := p.verified(ctx, in, email)
	if err != nil {
		return s, err
	}
	if !ok || a.ID == "" || a.Disabled {
		if a.ID != "" {
			p.failed(ctx, a, in.Address)
		}
		return s, desk.Refuse(desk.ErrDenied, "sign_in_wrong")
	}
	if a.TOTP && strings.TrimSpace(in.Code) == "" {
		return s, fmt.Errorf("%w: %w", ErrSecondFactor, desk.Refuse(desk.ErrDenied, "second_factor"))
	}
	err = p.o.Change(ctx, desk.Of(a, desk.ViaPortal, in.Address), func(c *desk.Change) error {
		a, err := c.Account(a.ID)
		if err != nil {
			return err
		}
		if a.TOTP {
			if a, err = p.secondFactor(c, a, in.Code); err != nil {
				return err
			}
		}
		s, err = p.login(c, a, in.UserAgent)
		return err
	})
	if errors.Is(err, desk.ErrDenied) {
		p.failed(ctx, a, in.Address)
	}
	return s, err
}

// failed notes a refused sign-in. It does not hold up the answer when it can't be written.
func (p *People) failed(ctx context.Context, a account.Account, address string) {
	err := p.o.Change(ctx, desk.Actor{Via: desk.ViaPortal, Address: address}, func(c *desk.Change) error {
		return c.Record("account.sign_in_refused", ref(a.ID), a.Name, nil)
	})
	if err != nil {
		p.o.Logger.Warn("refused sign-in could not be recorded", "err", err)
	}
}

// secondFactor spends a code of the app or a recovery code.
func (p *People) secondFactor(c *desk.Change, a account.Account, code string) (account.Account, error) {
	code = strings.ToUpper(strings.Join(strings.Fields(strings.ReplaceAll(code, "-", " ")), ""))
	if len(code) == 6 {
		step, err := p.step(a, code, c.Now)
		if err != nil {
			return a, err
		}
		if step > a.TOTPStep { // a code works once
			a.TOTPStep = step
			if err := c.SaveAccount(a); err != nil {
				return a, err
			}
			a.Version++
			return a, nil
		}
		return a, desk.Refuse(desk.ErrDenied, "code_wrong")
	}
	ok, err := c.UseRecoveryCode(a.ID, hash(string(a.ID), code))
	if err != nil {
		return a, err
	}
	if !ok {
		return a, desk.Refuse(desk.ErrDenied, "code_wrong")
	}
	return a, c.Record("account.recovery_code_used", ref(a.ID), a.Name, nil)
}

var totpOptions = totp.ValidateOpts{Period: 30, Digits: otp.DigitsSix, Algorithm: otp.AlgorithmSHA1} // what every app can do

// step returns the time step at which the code is right: the present one, or one beside it for clocks that
// are off. It is 0 when the code is wrong.
func (p *People) step(a account.Account, code string, now time.Time) (int64, error) {
	secret, err := p.unseal(a.TOTPSecret, string(a.ID))
	if err != nil {
		return 0, fmt.Errorf("open the authenticator secret: %w", err)
	}
	for _, d := range []int64{0, -1, 1} {
		step := now.Unix()/30 + d
		want, err := totp.GenerateCodeCustom(secret, time.Unix(step*30, 0), totpOptions)
		if err != nil {
			return 0, fmt.Errorf("make a code: %w", err)
		}
		if subtle.ConstantTimeCompare([]byte(want), []byte(code)) == 1 {
			return step, nil
		}
	}
	return 0, nil
}

// Login finds who a browser's token belongs to.
func (p *People) Login(ctx context.Context, token, address string) (actor desk.Actor, a account.Account, err error) {
	var l account.Login
	var acting account.Account
	var standsFor []account.ID
	now := p.o.Time()
	err = p.o.Read(ctx, func(tx store.Tx) error {
		if l, err = tx.LoginByToken(hash(token)); err != nil {
			return err
		}
		if !l.Live(now) {
			return store.ErrNotFound
		}
		if a, err = tx.Account(l.Account); err != nil {
			return err
		}
		if a.Disabled {
			return store.ErrNotFound
		}
		acting, standsFor, err = standIn(tx, a, now)
		return err
	})
	if err != nil {
		if errors.Is(err, desk.ErrNotFound) {
			err = desk.Refuse(desk.ErrDenied, "signed_out")
		}
		return desk.Actor{}, account.Account{}, err
	}
	if now.Sub(l.SeenAt) >= seenEvery {
		if err := p.o.Store.Write(ctx, func(tx store.Tx) error { return tx.SeeLogin(l.ID, now, address) }); err != nil {
			p.o.Logger.Warn("use of a login could not be noted", "err", err)
		}
	}
	actor = desk.Of(acting, desk.ViaPortal, address)
	actor.Login, actor.StandsFor = l.ID, standsFor
	return actor, a, nil
}

// SignOut ends the actor's own login.
func (p *People) SignOut(ctx context.Context, a desk.Actor) error { return p.EndLogin(ctx, a, a.Login) }

// Logins lists where the actor is signed in.
func (p *People) Logins(ctx context.Context, a desk.Actor) (list []account.Login, err error) {
	now := p.o.Time()
	err = p.o.Read(ctx, func(tx store.Tx) error {
		list, err = tx.Logins(a.Account)
		return err
	})
	list = slices.DeleteFunc(list, func(l account.Login) bool { return !l.Live(now) })
	for i := range list {
		list[i].Current = list[i].ID == a.Login
	}
	return list, err
}

// EndLogin ends one of the actor's logins.
func (p *People) EndLogin(ctx context.Context, a desk.Actor, id string) error {
	return p.o.Change(ctx, a, func(c *desk.Change) error {
		if err := c.EndLogin(a.Account, id); err != nil && !errors.Is(err, store.ErrStale) {
			return err
		}
		return c.Record("account.signed_out", ref(a.Account), a.Name, map[string]any{"login": id})
	})
}

// TOTPSetup is what an authenticator app needs, shown until it is confirmed.
type TOTPSetup struct {
	Secret string // base32, to be typed
	URL    string // otpauth://
	QR     []byte // PNG of URL, 240 × 240
}

// BeginTOTP makes a new secret for the actor's authenticator app. Nothing changes for signing in before
// ConfirmTOTP.
func (p *People) BeginTOTP(ctx context.Context, a desk.Actor) (s TOTPSetup, err error) {
	var me account.Account
	if err := p.o.Read(ctx, func(tx store.Tx) error { me, err = tx.Account(a.Account); return err }); err != nil {
		return s, err
	}
	if me.TOTP {
		return s, desk.Refuse(desk.ErrConflict, "totp_active")
	}
	raw := make([]byte, 20)
	rand.Read(raw)
	key, err := totp.Generate(totp.GenerateOpts{Issuer: issuer, AccountName: me.Email, Secret: raw})
	if err != nil {
		return s, fmt.Errorf("make an authenticator secret: %w", err)
	}
	img, err := key.Image(240, 240)
	if err != nil {
		return s, fmt.Errorf("draw the QR code: %w", err)
	}
	var b bytes.Buffer
	if err := png.Encode(&b, img); err != nil {
		return s, fmt.Errorf("encode the QR code: %w", err)
	}
	s = TOTPSetup{Secret: key.Secret(), URL: key.URL(), QR: b.Bytes()}
	err = p.o.Change(ctx, a, func(c *desk.Change) error {
		me, err := c.Account(a.Account)
		if err != nil {
			return err
		}
		if me.TOTP {
			return desk.Refuse(desk.ErrConflict, "totp_active")
		}
		me.TOTPSecret = p.seal(key.Secret(), string(me.ID))
		return c.SaveAccount(me)
	})
	return s, err
}

// ConfirmTOTP switches the second factor on, once the app shows the right code, and returns the recovery
// codes, which can't be shown again.
func (p *People) ConfirmTOTP(ctx context.Context, a desk.Actor, code string) (recovery []string, err error) {
	right, ok := p.account.take(string(a.Account), p.o.Time())
	if !ok {
		return nil, desk.Fail(desk.ErrLimited)
	}
	codes, hashes := newRecoveryCodes(a.Account)
	err = p.o.Change(ctx, a, func(c *desk.Change) error {
		me, err := c.Account(a.Account)
		if err != nil {
			return err
		}
		if me.TOTP || me.TOTPSecret == "" {
			return desk.Refuse(desk.ErrConflict, "totp_active")
		}
		step, err := p.step(me, strings.Join(strings.Fields(code), ""), c.Now)
		if err != nil {
			return err
		}
		if step == 0 {
			return desk.Refuse(desk.ErrDenied, "code_wrong")
		}
		me.TOTP, me.TOTPStep = true, step
		if err := c.SaveAccount(me); err != nil {
			return err
		}
		if err := c.SetRecoveryCodes(me.ID, hashes); err != nil {
			return err
		}
		return c.Record("account.second_factor_set", ref(me.ID), me.Name, nil)
	})
	if err != nil {
		return nil, err
	}
	right()
	return codes, nil
}

// RemoveTOTP switches the second factor off; it needs the password.
func (p *People) RemoveTOTP(ctx context.Context, a desk.Actor, password string) error {
	if err := p.confirm(ctx, a, password); err != nil {
		return err
	}
	return p.o.Change(ctx, a, func(c *desk.Change) error {
		me, err := c.Account(a.Account)
		if err != nil {
			return err
		}
		me.TOTP, me.TOTPSecret, me.TOTPStep = false, "", 0
		if err := c.SaveAccount(me); err != nil {
			return err
		}
		if err := c.SetRecoveryCodes(me.ID, nil); err != nil {
			return err
		}
		return c.Record("account.second_factor_removed", ref(me.ID), me.Name, nil)
	})
}

// RecoveryCodesLeft counts the actor's unspent recovery codes.
func (p *People) RecoveryCodesLeft(ctx context.Context, a desk.Actor) (n int64, err error) {
	err = p.o.Read(ctx, func(tx store.Tx) error { n, err = tx.CountRecoveryCodes(a.Account); return err })
	return n, err
}

// confirm checks the actor's own password.
func (p *People) confirm(ctx context.Context, a desk.Actor, password string) error {
	right, ok := p.account.take(string(a.Account), p.o.Time())
	if !ok {
		return desk.Fail(desk.ErrLimited)
	}
	var me account.Account
	err := p.o.Read(ctx, func(tx store.Tx) (err error) { me, err = tx.Account(a.Account); return err })
	if err != nil {
		return err
	}
	if utf8.RuneCountInString(password) > account.MaxPassword {
		return desk.Refuse(desk.ErrDenied, "password_wrong")
	}
	if me.Directory != "" {
		return desk.Fail(account.ErrPasswordElsewhere)
	}
	if ok, err = p.checkPassword(ctx, password, me.Password); err != nil {
		return err
	}
	if !ok {
		return desk.Refuse(desk.ErrDenied, "password_wrong")
	}
	right()
	return nil
}

// ChangePassword sets a new password and ends the account's other logins.
func (p *People) ChangePassword(ctx context.Context, a desk.Actor, old, password string) error {
	if err := p.confirm(ctx, a, old); err != nil {
		return err
	}
	var me account.Account
	if err := p.o.Read(ctx, func(tx store.Tx) (err error) { me, err = tx.Account(a.Account); return err }); err != nil {
		return err
	}
	if err := account.CheckPassword(password, me.Email); err != nil {
		return desk.Fail(err)
	}
	encoded, err := p.hashPassword(ctx, password)
	if err != nil {
		return err
	}
	return p.o.Change(ctx, a, func(c *desk.Change) error {
		me, err := c.Account(a.Account)
		if err != nil {
			return err
		}
		me.Password = encoded
		if err := c.SaveAccount(me); err != nil {
			return err
		}
		if err := c.EndLogins(me.ID, a.Login); err != nil {
			return err
		}
		return c.Record("account.password_changed", ref(me.ID), me.Name, nil)
	})
}

// ChangeProfile sets the actor's own name and language.
func (p *People) ChangeProfile(ctx context.Context, a desk.Actor, name, language string) error {
	name, err := account.CheckName(name)
	if err != nil {
		return desk.Fail(err)
	}
	if !slices.Contains(catalogue.Languages, language) {
		return desk.Fail(account.ErrLanguage)
	}
	return p.o.Change(ctx, a, func(c *desk.Change) error {
		me, err := c.Account(a.Account)
		if err != nil {
			return err
		}
		me.Name, me.Language = name, language
		if err := c.SaveAccount(me); err != nil {
			return err
		}
		c.Actor.Name = name
		return c.Record("account.profile_changed", ref(me.ID), name, nil)
	})
}

// NewInvitation names who is invited as what.
type NewInvitation struct {
	Email        string
	Role         account.Role
	Organization string // name; empty: the actor's own, or the provider on the command line
}

// Invite makes an account without a password, to which tickets and API tokens can belong already, and an
// invitation by which its owner completes it. It returns the token of the invitation's link, which is not stored.
// An account that was not completed can be invited again.
func (p *People) Invite(ctx context.Context, a desk.Actor, n NewInvitation) (i account.Invitation, token string, err error) {
	email, err := account.NormalizeEmail(n.Email)
	if err != nil {
		return i, "", desk.Fail(err)
	}
	if _, err := account.ParseRole(string(n.Role)); err != nil {
		return i, "", desk.Fail(err)
	}
	token = newToken()
	err = p.o.Change(ctx, a, func(c *desk.Change) error {
		o, err := c.OrganizationFor(n.Organization)
		if err != nil {
			return err
		}
		if err := mayMake(a, n.Role, o.ID); err != nil {
			return err
		}
		known, err := c.AccountByEmail(email)
		switch {
		case errors.Is(err, store.ErrNotFound):
			known = account.Account{ID: account.ID(c.NewID()), Organization: o.ID, Email: email, Name: email, Language: catalogue.Match(a.Language), Role: n.Role, CreatedAt: c.Now}
			if err := c.InsertAccount(known); err != nil {
				return err
			}
		case err != nil:
			return err
		case known.Password != "" || known.Directory != "":
			return desk.Refuse(desk.ErrConflict, "email_taken")
		case known.Role != n.Role || known.Organization != o.ID: // invited again, as somebody else
			if err := mayMake(a, known.Role, known.Organization); err != nil {
				return desk.Refuse(desk.ErrConflict, "email_taken")
			}
			known.Role, known.Organization = n.Role, o.ID
			if err := c.SaveAccount(known); err != nil {
				return err
			}
		}
		i = account.Invitation{ID: c.NewID(), Organization: o.ID, OrganizationName: o.Name, Email: email, Role: n.Role, MadeBy: a.Account, CreatedAt: c.Now, ExpiresAt: c.Now.Add(account.InvitationLife)}
		if err := c.InsertInvitation(i, hash(token)); err != nil {
			return err
		}
		link := "/invitation#token=" + url.QueryEscape(token)
		if err := c.OweMail(desk.Mail{Kind: desk.MailInvitation, To: email, Account: known.ID, Language: known.Language, Organization: o.ID, Link: link, Until: i.ExpiresAt,
			Data: map[string]string{"Organization": o.Name, "Role": string(n.Role), "By": inviter(a), "Until": i.ExpiresAt.Format(time.RFC3339)}}); err != nil {
			return err
		}
		return c.Record("account.invited", "invitation:"+i.ID, email, map[string]any{"role": n.Role, "organization": o.ID})
	})
	return i, token, err
}

// inviter is the name of whoever invites, if it is a person.
func inviter(a desk.Actor) string {
	if a.System {
		return ""
	}
	return a.Name
}

// mayMake reports whether the actor may make an account of a role. A token never makes staff: it would make
// itself a way to keep its rights.
func mayMake(a desk.Actor, role account.Role, into account.OrganizationID) error {
	switch {
	case a.System:
		return nil
	case !a.MayIn(account.PeopleManage, into) && a.May(account.PeopleManage):
		return store.ErrNotFound
	case a.Account == "" || !account.MayInvite(a.Rights, a.Reach, role, into) || a.Token != "" && role.Staff():
		return desk.ErrDenied
	}
	return nil
}

// Invitation finds a live invitation by its link's token, for the page that it opens.
func (p *People) Invitation(ctx context.Context, token string) (i account.Invitation, err error) {
	now := p.o.Time()
	err = p.o.Read(ctx, func(tx store.Tx) error {
		if i, err = invitation(tx, token); err != nil {
			return err
		}
		return i.Check(now)
	})
	return i, err
}

func invitation(tx store.Tx, token string) (account.Invitation, error) {
	i, err := tx.InvitationByToken(hash(token))
	if errors.Is(err, store.ErrNotFound) {
		return i, account.ErrExpired
	}
	return i, err
}

// Invitations lists those that nobody has accepted yet.
func (p *People) Invitations(ctx context.Context, a desk.Actor) (list []account.Invitation, err error) {
	if !a.May(account.PeopleManage) {
		return nil, desk.Fail(desk.ErrDenied)
	}
	err = p.o.Read(ctx, func(tx store.Tx) error { list, err = tx.Invitations(a.Within()); return err })
	return list, err
}

// AcceptInvitation makes the invited account and signs it in.
func (p *People) AcceptInvitation(ctx context.Context, token string, n NewAccount) (s SignedIn, err error) {
	i, err := p.Invitation(ctx, token)
	if err != nil {
		return s, err
	}
	n.Email = i.Email
	a, err := p.prepare(ctx, n, i.Role)
	if err != nil {
		return s, err
	}
	err = p.o.Change(ctx, desk.Actor{Name: a.Name, Via: desk.ViaPortal, Address: n.Address}, func(c *desk.Change) error {
		i, err := invitation(c.Tx, token)
		if err != nil {
			return err
		}
		if err := i.Check(c.Now); err != nil {
			return err
		}
		if err := c.UseInvitation(i.ID, c.Now); err != nil {
			return err
		}
		if err := c.DropMails(desk.MailInvitation, i.Email, c.Now); err != nil {
			return err
		}
		a.Organization, a.OrganizationName = i.Organization, i.OrganizationName
		s, err = p.settle(c, a, n)
		return err
	})
	return s, err
}

// Accounts lists the people that the actor may see.
func (p *People) Accounts(ctx context.Context, a desk.Actor) (list []account.Account, err error) {
	if !a.May(account.PeopleView) {
		return nil, desk.Fail(desk.ErrDenied)
	}
	err = p.o.Read(ctx, func(tx store.Tx) error { list, err = tx.Accounts(a.Within()); return err })
	return list, err
}

// Organizations lists those that the actor reaches, and their own.
func (p *People) Organizations(ctx context.Context, a desk.Actor) (list []account.Organization, err error) {
	within := a.Within()
	switch {
	case !a.System && a.Account == "":
		return nil, desk.Fail(desk.ErrDenied)
	case within != nil && !slices.Contains(within, a.Organization):
		within = append(within, a.Organization)
	}
	err = p.o.Read(ctx, func(tx store.Tx) error { list, err = tx.Organizations(within); return err })
	return list, err
}

// SetSupportPhone sets the number that tray and form show for the provider's support.
func (p *People) SetSupportPhone(ctx context.Context, a desk.Actor, phone string) error {
	if !a.May(account.SettingsManage) {
		return desk.Fail(desk.ErrDenied)
	}
	if phone != "" {
		var err error
		if phone, err = account.CheckName(phone); err != nil {
			return desk.Fail(err)
		}
	}
	return p.o.Change(ctx, a, func(c *desk.Change) error {
		o, err := c.Provider()
		if err != nil {
			return err
		}
		o.SupportPhone = phone
		if err := c.SaveOrganization(o); err != nil {
			return err
		}
		return c.Record("organization.phone_set", "organization:"+string(o.ID), o.Name, map[string]any{"phone": phone})
	})
}

// tokenPrefix makes an API token recognisable to secret scanners.
const tokenPrefix = "tbt_"

// CreateToken makes an API token for the actor's own account; its secret can't be shown again. A zero life
// means that it does not expire.
func (p *People) CreateToken(ctx context.Context, a desk.Actor, name string, life time.Duration) (k account.Token, secret string, err error) {
	return p.createToken(ctx, a, a.Account, name, life)
}

// CreateTokenFor makes an API token for the account with an address, on the server's command line.
func (p *People) CreateTokenFor(ctx context.Context, a desk.Actor, email, name string, life time.Duration) (k account.Token, secret string, err error) {
	if !a.System {
		return k, "", desk.Fail(desk.ErrDenied)
	}
	who, err := p.byEmail(ctx, email)
	if err != nil {
		return k, "", err
	}
	return p.createToken(ctx, a, who.ID, name, life)
}

func (p *People) byEmail(ctx context.Context, email string) (a account.Account, err error) {
	email, err = account.NormalizeEmail(email)
	if err != nil {
		return a, desk.Fail(err)
	}
	err = p.o.Read(ctx, func(tx store.Tx) error { a, err = tx.AccountByEmail(email); return err })
	if errors.Is(err, desk.ErrNotFound) {
		err = desk.Refuse(desk.ErrNotFound, "no_account")
	}
	return a, err
}

func (p *People) createToken(ctx context.Context, a desk.Actor, of account.ID, name string, life time.Duration) (k account.Token, secret string, err error) {
	if name, err = account.CheckName(name); err != nil {
		return k, "", desk.Fail(err)
	}
	if of == "" || life < 0 {
		return k, "", desk.Fail(desk.ErrDenied)
	}
	secret = tokenPrefix + newToken()
	err = p.o.Change(ctx, a, func(c *desk.Change) error {
		k = account.Token{ID: c.NewID(), Account: of, Name: name, CreatedAt: c.Now}
		if life > 0 {
			k.ExpiresAt = c.Now.Add(life)
		}
		if err := c.InsertToken(k, hash(secret)); err != nil {
			return err
		}
		return c.Record("token.made", ref(of), "", map[string]any{"token": k.ID, "name": name})
	})
	return k, secret, err
}

// Tokens lists the actor's API tokens.
func (p *People) Tokens(ctx context.Context, a desk.Actor) (list []account.Token, err error) {
	err = p.o.Read(ctx, func(tx store.Tx) error { list, err = tx.Tokens(a.Account); return err })
	return list, err
}

// DeleteToken withdraws one of the actor's API tokens.
func (p *People) DeleteToken(ctx context.Context, a desk.Actor, id string) error {
	return p.o.Change(ctx, a, func(c *desk.Change) error {
		if err := c.DeleteToken(a.Account, id); err != nil {
			if errors.Is(err, store.ErrStale) {
				return store.ErrNotFound
			}
			return err
		}
		return c.Record("token.withdrawn", ref(a.Account), a.Name, map[string]any{"token": id})
	})
}

// ActorByToken finds who an API token belongs to.
func (p *People) ActorByToken(ctx context.Context, secret, address string) (actor desk.Actor, err error) {
	if !strings.HasPrefix(secret, tokenPrefix) || len(secret) > 200 {
		return actor, desk.Refuse(desk.ErrDenied, "token_unknown")
	}
	var k account.Token
	now := p.o.Time()
	err = p.o.Read(ctx, func(tx store.Tx) error {
		if k, err = tx.TokenByHash(hash(secret)); err != nil {
			return err
		}
		a, err := tx.Account(k.Account)
		if err != nil {
			return err
		}
		if !k.Live(now) || a.Disabled {
			return store.ErrNotFound
		}
		a, standsFor, err := standIn(tx, a, now)
		actor = desk.Of(a, desk.ViaAPI, address)
		actor.StandsFor = standsFor
		return err
	})
	if errors.Is(err, desk.ErrNotFound) {
		return desk.Actor{}, desk.Refuse(desk.ErrDenied, "token_unknown")
	}
	if err == nil && now.Sub(k.SeenAt) >= seenEvery {
		if err := p.o.Store.Write(ctx, func(tx store.Tx) error { return tx.SeeToken(k.ID, now) }); err != nil {
			p.o.Logger.Warn("use of a token could not be noted", "err", err)
		}
	}
	return actor, err
}

// ResetAccount gives the account with an address a fresh start, on the server's command line: a new
// password and no second factor. All its logins end. It returns the password.
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
		who.Password, who.TOTP, who.TOTPSecret, who.TOTPStep, who.Disabled = encoded, false, "", 0, false
		if err := c.SaveAccount(who); err != nil {
			return err
		}
		who.Directory, who.ExternalID = "", "" // the way in when a directory fails
		if err := c.LinkAccount(who); err != nil {
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

func (p *People) seal(secret, bound string) string {
	nonce := make([]byte, p.o.Seal.NonceSize())
	rand.Read(nonce)
	return base64.StdEncoding.EncodeToString(p.o.Seal.Seal(nonce, nonce, []byte(secret), []byte(bound)))
}

func (p *People) unseal(sealed, bound string) (string, error) {
	b, err := base64.StdEncoding.DecodeString(sealed)
	if err != nil || len(b) < p.o.Seal.NonceSize() {
		return "", errors.New("it was changed")
	}
	n := p.o.Seal.NonceSize()
	plain, err := p.o.Seal.Open(nil, b[:n], b[n:], []byte(bound))
	return string(plain), err
}

func newRecoveryCodes(a account.ID) (codes, hashes []string) {
	for range recoverCodes {
		b := make([]byte, 10)
		rand.Read(b)
		s := base32.StdEncoding.EncodeToString(b) // 16 characters, 80 bits
		codes = append(codes, strings.Join([]string{s[:4], s[4:8], s[8:12], s[12:]}, "-"))
		hashes = append(hashes, hash(string(a), s))
	}
	return codes, hashes
}

func ref(id account.ID) string { return "account:" + string(id) }

func newToken() string {
	b := make([]byte, 32)
	rand.Read(b)
	return base64.RawURLEncoding.EncodeToString(b)
}

// hash is how secrets of full entropy are stored.
func hash(parts ...string) string {
	h := sha256.Sum256([]byte(strings.Join(parts, "\x00")))
	return hex.EncodeToString(h[:])
}

func short(s string, n int) string {
	s = strings.ToValidUTF8(strings.ReplaceAll(s, "\x00", ""), "")
	if r := []rune(s); len(r) > n {
		return string(r[:n])
	}
	return s
}

// Me is the actor's own account.
func (p *People) Me(ctx context.Context, a desk.Actor) (me account.Account, err error) {
	err = p.o.Read(ctx, func(tx store.Tx) error { me, err = tx.Account(a.Account); return err })
	return me, err
}
