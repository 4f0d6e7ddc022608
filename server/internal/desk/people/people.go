// Package people is what people do about accounts: become the first administrator, sign in and out,
// keep their password and authenticator app, invite others, make API tokens.
//
// Passwords are hashed with Argon2id, tokens and codes are stored as SHA-256, the authenticator's secret
// is sealed with a key that is not in the database. The edges (web, api, the command line) call it.
package people

import (
	"context"
	"crypto/cipher"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"net/url"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/traybell/traybell/server/internal/account"
	"github.com/traybell/traybell/server/internal/desk"
	"github.com/traybell/traybell/server/internal/store"
	"github.com/traybell/traybell/shared/catalogue"
)

// Options are what the use cases work with.
type Options struct {
	desk.Options
	Seal      cipher.AEAD // for secrets that must be read again
	PublicURL string      // https://host[:port]: passkeys are made for it
	LDAP      LDAP        // both reach the directories in which people have their passwords
	OIDC      OIDC
}

// People are the use cases.
type People struct {
	o       Options
	hashing chan struct{} // one token for each hash that may run
	account *desk.Limiter
	address *desk.Limiter
	sms     *desk.Limiter
	forgot  *desk.Limiter
	node    string // who holds a lease
}

// New returns the use cases.
func New(o Options) *People {
	if o.Options.Seal == nil {
		o.Options.Seal = o.Seal
	}
	return &People{o: o, hashing: hashingSlots(), account: desk.NewLimiter(10, time.Minute), address: desk.NewLimiter(60, 10*time.Second), sms: desk.NewLimiter(5, 5*time.Minute), forgot: desk.NewLimiter(3, 30*time.Minute), node: rand.Text()}
}

const seenEvery = 5 * time.Minute // how exactly the last use of a login or token is noted

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

// confirm checks the actor's own password.
func (p *People) confirm(ctx context.Context, a desk.Actor, password string) error {
	right, ok := p.account.Take(string(a.Account), p.o.Time())
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
	if err := desk.NeedFresh(a, p.o.Time()); err != nil {
		return err
	}
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
	Name         string // empty: the address, until the person says it
	Language     string // empty: the actor's
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
	name := email
	if strings.TrimSpace(n.Name) != "" {
		if name, err = account.CheckName(n.Name); err != nil {
			return i, "", desk.Fail(err)
		}
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
			known = account.Account{ID: account.ID(c.NewID()), Organization: o.ID, Email: email, Name: name, Language: catalogue.Match(n.Language, a.Language), Role: n.Role, CreatedAt: c.Now}
			if err := c.InsertAccount(known); err != nil {
				return err
			}
		case err != nil:
			return err
		case !known.RegisteredAt.IsZero() || known.Directory != "" || known.Role == account.Integration:
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

// CreateTokenFor makes an API token for the account with an address, on the server's command line.
func (p *People) CreateTokenFor(ctx context.Context, a desk.Actor, email, name string, life time.Duration) (k account.Token, secret string, err error) {
	if !a.System {
		return k, "", desk.Fail(desk.ErrDenied)
	}
	who, err := p.byEmail(ctx, email)
	if err != nil {
		return k, "", err
	}
	return p.createToken(ctx, a, who.ID, NewToken{Name: name, Life: life})
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
		actor = narrow(desk.Of(a, desk.ViaAPI, address), k)
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
