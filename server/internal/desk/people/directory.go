package people

import (
	"context"
	"encoding/json"
	"errors"
	"net/url"
	"time"

	"github.com/traybell/traybell/server/internal/account"
	"github.com/traybell/traybell/server/internal/desk"
	"github.com/traybell/traybell/server/internal/store"
	"github.com/traybell/traybell/shared/api"
)

// LDAP asks LDAP servers about people; package directory has it.
type LDAP interface {
	Check(s account.LDAPSettings) error
	SignIn(ctx context.Context, s account.LDAPSettings, secret, user, password string) (account.Identity, error)
	Find(ctx context.Context, s account.LDAPSettings, secret string, who account.Who) (account.Identity, error)
}

// OIDC sends people to OpenID providers and reads what they come back with; package directory has it.
type OIDC interface {
	Begin(ctx context.Context, s account.OIDCSettings, redirect string) (location string, f account.Flow, err error)
	Finish(ctx context.Context, s account.OIDCSettings, secret string, f account.Flow, answer url.Values) (account.Identity, error)
}

const (
	directoriesEvery = 15 * time.Minute // between two looks at everybody who comes from a directory
	directoriesLease = "directories"
	providerLogin    = 24 * time.Hour // life of a login by way of an OpenID provider, which can't be asked again
	fewLost          = 5              // so many people may leave a directory at once, however small it is
)

// Directories lists the directories.
func (p *People) Directories(ctx context.Context, a desk.Actor) (list []account.Directory, err error) {
	if !a.May(account.DirectoriesManage) {
		return nil, desk.Fail(desk.ErrDenied)
	}
	err = p.o.Read(ctx, func(tx store.Tx) error { list, err = tx.Directories(); return err })
	return list, err
}

// Directory loads one directory.
func (p *People) Directory(ctx context.Context, a desk.Actor, id account.DirectoryID) (d account.Directory, err error) {
	if !a.May(account.DirectoriesManage) {
		return d, desk.Fail(desk.ErrDenied)
	}
	err = p.o.Read(ctx, func(tx store.Tx) error { d, err = tx.Directory(id); return err })
	return d, err
}

// SaveDirectory adds a directory, whose Version is zero, or changes one. A nil secret keeps the one that is stored;
// it must be given again when the server or issuer that it goes to changes.
func (p *People) SaveDirectory(ctx context.Context, a desk.Actor, d account.Directory, secret *string) (saved account.Directory, err error) {
	if !a.May(account.DirectoriesManage) {
		return d, desk.Fail(desk.ErrDenied)
	}
	if err := desk.NeedFresh(a, p.o.Time()); err != nil {
		return d, err
	}
	err = p.o.Change(ctx, a, func(c *desk.Change) error {
		was, err := c.Directory(d.ID)
		switch {
		case err == nil && d.Version == 0, errors.Is(err, store.ErrNotFound) && d.Version != 0:
			return store.ErrStale
		case err != nil && !errors.Is(err, store.ErrNotFound):
			return err
		}
		if saved, err = p.checkDirectory(c.Tx, d, was, secret); err != nil {
			return err
		}
		action := "directory.changed"
		if d.Version == 0 {
			action, saved.CreatedAt, saved.Version = "directory.made", c.Now, 1
			err = c.InsertDirectory(saved)
		} else {
			err = c.SaveDirectory(saved)
			saved.Version++
		}
		if errors.Is(err, store.ErrExists) {
			return account.ErrDirectoryTwice
		}
		if err != nil {
			return err
		}
		if was.Enabled && !saved.Enabled {
			if err := c.EndDirectoryLogins(saved.ID, c.Now.Add(time.Microsecond)); err != nil {
				return err
			}
		}
		return c.Record(action, "directory:"+string(saved.ID), saved.Name, map[string]any{"kind": saved.Kind, "organization": saved.Organization, "enabled": saved.Enabled,
			"domains": saved.Domains, "create": saved.Create, "default_role": saved.DefaultRole, "rules": saved.Rules, "server": saved.LDAP.Server + saved.OIDC.Issuer, "secret_changed": secret != nil})
	})
	return saved, err
}

// checkDirectory completes what somebody filled in with what is known, and seals a new secret.
func (p *People) checkDirectory(tx store.Tx, d, was account.Directory, secret *string) (account.Directory, error) {
	if !api.ValidID(string(d.ID)) {
		return d, account.ErrDirectorySetting
	}
	o, err := tx.Organization(d.Organization)
	if err != nil {
		return d, err
	}
	d.Provider = o.Provider
	if was.ID != "" {
		d.Kind = was.Kind
	}
	if d, err = d.Check(); err != nil {
		return d, err
	}
	if d.Kind == account.LDAP {
		if err := p.o.LDAP.Check(d.LDAP); err != nil {
			return d, err
		}
	}
	d.Secret = was.Secret
	switch {
	case secret != nil && len(*secret) > account.MaxSecret:
		return d, account.ErrDirectorySetting
	case secret != nil && *secret == "":
		d.Secret = ""
	case secret != nil:
		d.Secret = p.seal(*secret, "directory:"+string(d.ID))
	case was.LDAP.Server != d.LDAP.Server || was.LDAP.CA != d.LDAP.CA || was.OIDC.Issuer != d.OIDC.Issuer || was.OIDC.CA != d.OIDC.CA:
		if was.Secret != "" { // it would be told to somebody it was not meant for
			return d, account.ErrDirectorySecret
		}
	}
	if d.Kind == account.LDAP && d.Secret == "" {
		return d, account.ErrDirectorySecret
	}
	return d, nil
}

// DeleteDirectory removes a directory. Its accounts stay, disabled and signed out, with their tickets.
func (p *People) DeleteDirectory(ctx context.Context, a desk.Actor, id account.DirectoryID) error {
	if !a.May(account.DirectoriesManage) {
		return desk.Fail(desk.ErrDenied)
	}
	if err := desk.NeedFresh(a, p.o.Time()); err != nil {
		return err
	}
	return p.o.Change(ctx, a, func(c *desk.Change) error {
		d, err := c.Directory(id)
		if err != nil {
			return err
		}
		n, err := c.DeleteDirectory(id, c.Now)
		if err != nil {
			return err
		}
		return c.Record("directory.removed", "directory:"+string(id), d.Name, map[string]any{"accounts_disabled": n})
	})
}

// DirectoryTest is what a test of a directory has found.
type DirectoryTest struct {
	Identity account.Identity // LDAP: who was looked for
	Role     account.Role     // that they would get; empty: they could not come in
	Refused  error            // why not
}

// TestDirectory asks a directory with the settings given, stored or not, and changes nothing. An LDAP server is
// asked for a person; of an OpenID provider its description is read. A nil secret is the stored one.
func (p *People) TestDirectory(ctx context.Context, a desk.Actor, d account.Directory, secret *string, user string) (t DirectoryTest, err error) {
	if !a.May(account.DirectoriesManage) {
		return t, desk.Fail(desk.ErrDenied)
	}
	err = p.o.Read(ctx, func(tx store.Tx) error {
		was, err := tx.Directory(d.ID)
		if err != nil && !errors.Is(err, store.ErrNotFound) {
			return err
		}
		d, err = p.checkDirectory(tx, d, was, secret)
		return err
	})
	if err != nil {
		return t, err
	}
	if d.Kind == account.OIDC {
		_, _, err = p.o.OIDC.Begin(ctx, d.OIDC, "https://localhost/")
		return t, p.directoryFailed(d, err)
	}
	plain, err := p.unseal(d.Secret, "directory:"+string(d.ID))
	if err != nil {
		return t, err
	}
	if t.Identity, err = p.o.LDAP.Find(ctx, d.LDAP, plain, account.Who{Name: user}); err != nil {
		return t, p.directoryFailed(d, err)
	}
	admitted, err := d.Admit(t.Identity, account.Account{}, a.Language)
	if errors.Is(err, account.ErrDirectoryNotInvited) {
		admitted.Role, err = d.RoleOf(t.Identity.Groups)
	}
	t.Role, t.Refused = admitted.Role, err
	return t, nil
}

// directoryFailed logs what a directory has said, which its error's sentence leaves out.
func (p *People) directoryFailed(d account.Directory, err error) error {
	if err != nil {
		p.o.Logger.Info("a directory gave no answer that can be used", "directory", d.ID, "err", err)
	}
	return desk.Fail(err)
}

// DirectoryChoice is a directory as the sign-in page offers it.
type DirectoryChoice struct {
	ID   account.DirectoryID
	Kind account.DirectoryKind
	Name string
}

// DirectoryChoices lists what the sign-in page offers, to anybody. sso reports whether an address may lead to a provider.
func (p *People) DirectoryChoices(ctx context.Context) (list []DirectoryChoice, sso bool, err error) {
	err = p.o.Read(ctx, func(tx store.Tx) error {
		all, err := tx.Directories()
		list, sso = nil, false
		for _, d := range all {
			if d.Enabled && d.Kind == account.OIDC {
				sso = true
				if d.Button {
					list = append(list, DirectoryChoice{d.ID, d.Kind, d.Name})
				}
			}
		}
		return err
	})
	return list, sso, err
}

// DirectoryNames lists the directories by which the actor can narrow lists of people: those of the organizations that
// they reach.
func (p *People) DirectoryNames(ctx context.Context, a desk.Actor) (list []DirectoryChoice, err error) {
	err = p.o.Read(ctx, func(tx store.Tx) error {
		all, err := tx.Directories()
		list = nil
		for _, d := range all {
			if a.MayIn(account.PeopleView, d.Organization) {
				list = append(list, DirectoryChoice{d.ID, d.Kind, d.Name})
			}
		}
		return err
	})
	return list, err
}

// DirectoryFor finds the directory to which an address belongs by its domain, and nothing but its domain: whether
// there is an account plays no part. desk.ErrNotFound: none.
func (p *People) DirectoryFor(ctx context.Context, email string) (choice DirectoryChoice, err error) {
	err = p.o.Read(ctx, func(tx store.Tx) error {
		d, err := tx.DirectoryByDomain(account.EmailDomain(email))
		if err == nil && !d.Enabled {
			err = store.ErrNotFound
		}
		choice = DirectoryChoice{d.ID, d.Kind, d.Name}
		return err
	})
	return choice, err
}

// verified checks a password where it is checked: here, or in the directory to which the account or the address's
// domain belongs. Whoever comes from a directory has their account made or brought up to date on the way. ok is false
// for a wrong password and for an unknown address, which take about the same time. known is the account, as far as there
// is one, for the log.
func (p *People) verified(ctx context.Context, in Credentials, email string) (known account.Account, ok bool, err error) {
	var d account.Directory
	err = p.o.Read(ctx, func(tx store.Tx) (err error) {
		if known, err = tx.AccountByEmail(email); err != nil && !errors.Is(err, store.ErrNotFound) {
			return err
		}
		if known.Directory != "" {
			d, err = tx.Directory(known.Directory)
		} else {
			d, err = tx.DirectoryByDomain(account.EmailDomain(email))
		}
		if errors.Is(err, store.ErrNotFound) {
			d, err = account.Directory{}, nil
		}
		return err
	})
	if err != nil {
		return known, false, err
	}
	encoded := known.Password
	if encoded == "" || known.Directory != "" {
		encoded = nobody() // an unknown address costs as much time as a known one
	}
	ok, err = p.checkPassword(ctx, in.Password, encoded)
	if ok || err != nil || d.Kind != account.LDAP || !d.Enabled || in.Password == "" {
		return known, ok, err
	}
	secret, err := p.unseal(d.Secret, "directory:"+string(d.ID))
	if err != nil {
		return known, false, err
	}
	var i account.Identity
	if known.Password != "" { // a wrong password of a local account is not told to the directory, but takes as long
		if _, err = p.o.LDAP.Find(ctx, d.LDAP, secret, account.Who{Name: email}); err == nil {
			err = account.ErrDirectoryPassword
		}
	} else {
		i, err = p.o.LDAP.SignIn(ctx, d.LDAP, secret, email, in.Password)
	}
	if errors.Is(err, account.ErrDirectoryNoUser) || errors.Is(err, account.ErrDirectoryPassword) {
		return known, false, nil
	}
	if err != nil {
		p.directoryFailed(d, err)
		return known, false, desk.Fail(account.ErrDirectoryDown)
	}
	known, err = p.admit(ctx, d, i, in.Language, in.Address)
	return known, err == nil, err
}

// admit makes or brings up to date the account of somebody whom a directory vouches for.
func (p *People) admit(ctx context.Context, d account.Directory, i account.Identity, language, address string) (a account.Account, err error) {
	err = p.o.Change(ctx, desk.Actor{Name: short(i.Name, account.MaxName), Via: desk.ViaPortal, Address: address}, func(c *desk.Change) error {
		d, err := c.Directory(d.ID)
		if err != nil {
			return err
		}
		if !d.Enabled {
			return desk.Refuse(desk.ErrDenied, "sign_in_wrong")
		}
		known, err := c.AccountByIdentity(d.ID, i.ID)
		if errors.Is(err, store.ErrNotFound) {
			email, _ := account.NormalizeEmail(i.Email)
			known, err = c.AccountByEmail(email)
		}
		if err != nil && !errors.Is(err, store.ErrNotFound) {
			return err
		}
		if known.Disabled && known.Directory == d.ID {
			gone, err := c.DirectoryGone(known.ID)
			if err != nil {
				return err
			}
			if !gone { // by an administrator, who decides
				return desk.Refuse(desk.ErrDenied, "sign_in_wrong")
			}
			known.Disabled = false
		}
		if a, err = d.Admit(i, known, language); err != nil {
			return err
		}
		a, err = p.keep(c, d, a, known)
		return err
	})
	return a, err
}

// keep stores an account as its directory has it.
func (p *People) keep(c *desk.Change, d account.Directory, a, known account.Account) (account.Account, error) {
	detail := map[string]any{"directory": d.ID, "role": a.Role}
	if known.ID == "" {
		a.ID, a.CreatedAt, a.Version = account.ID(c.NewID()), c.Now, 1
		if err := c.InsertAccount(a); err != nil {
			return a, err
		}
		if err := c.LinkAccount(a); err != nil {
			return a, err
		}
		c.Actor = desk.Of(a, c.Actor.Via, c.Actor.Address)
		return a, c.Record("account.made_from_directory", ref(a.ID), a.Name, detail)
	}
	if a.Email != known.Email {
		if _, err := c.AccountByEmail(a.Email); err == nil {
			a.Email = known.Email // somebody else has the new address
		} else if !errors.Is(err, store.ErrNotFound) {
			return a, err
		}
	}
	if c.Actor.Account == "" && !c.Actor.System {
		c.Actor = desk.Of(a, c.Actor.Via, c.Actor.Address)
	}
	if a.Email == known.Email && a.Name == known.Name && a.Role == known.Role && a.Directory == known.Directory && !known.Disabled {
		if gone, err := c.DirectoryGone(a.ID); err != nil || !gone {
			return a, err
		}
	}
	if err := c.SaveAccount(a); err != nil {
		return a, err
	}
	a.Version++
	if err := c.LinkAccount(a); err != nil {
		return a, err
	}
	action := "account.updated_from_directory"
	if known.Directory != a.Directory {
		action = "account.joined_directory"
		if err := c.EndLogins(a.ID, ""); err != nil {
			return a, err
		}
	}
	return a, c.Record(action, ref(a.ID), a.Name, detail)
}

// FlowLife is how long somebody may take at an OpenID provider.
const FlowLife = 30 * time.Minute

// keptFlow is what a browser keeps, sealed, while it is at a provider.
type keptFlow struct {
	account.Flow
	Next  string
	Until time.Time
}

const flowSeal = "directory flow"

// BeginProvider sends a browser to an OpenID provider: location is where. The browser that asked keeps kept, which
// is sealed, and nobody else gets it; with it the browser is known when it comes back to redirect, to go on to next.
func (p *People) BeginProvider(ctx context.Context, id account.DirectoryID, redirect, next, address string) (location, kept string, err error) {
	d, err := p.provider(ctx, id)
	if err != nil {
		return "", "", err
	}
	done, ok := p.address.Take(address, p.o.Time())
	if !ok {
		return "", "", desk.Fail(desk.ErrLimited)
	}
	location, flow, err := p.o.OIDC.Begin(ctx, d.OIDC, redirect)
	if err != nil {
		p.directoryFailed(d, err)
		return "", "", desk.Fail(account.ErrDirectoryDown)
	}
	done()
	flow.Directory = id
	b, err := json.Marshal(keptFlow{flow, short(next, 1000), p.o.Time().Add(FlowLife)})
	return location, p.seal(string(b), flowSeal), err
}

// FromProvider is a browser's return from an OpenID provider.
type FromProvider struct {
	Directory account.DirectoryID // to whose address it came
	Kept      string
	Answer    url.Values
	Language  string // of the page, for an account that is made
	Address   string
}

// FromProvider checks a browser's return. It returns the account of the person, made or brought up to date, for which
// the first factor counts as proven, and where they wanted to go.
func (p *People) FromProvider(ctx context.Context, in FromProvider) (a account.Account, next string, err error) {
	plain, err := p.unseal(in.Kept, flowSeal)
	var kept keptFlow
	if err == nil {
		err = json.Unmarshal([]byte(plain), &kept)
	}
	if err != nil || kept.Directory != in.Directory || !p.o.Time().Before(kept.Until) {
		return a, "", desk.Fail(account.ErrTokenState)
	}
	d, err := p.provider(ctx, in.Directory)
	if err != nil {
		return a, "", err
	}
	right, ok := p.address.Take(in.Address, p.o.Time())
	if !ok {
		return a, "", desk.Fail(desk.ErrLimited)
	}
	secret := ""
	if d.Secret != "" {
		if secret, err = p.unseal(d.Secret, "directory:"+string(d.ID)); err != nil {
			return a, "", err
		}
	}
	i, err := p.o.OIDC.Finish(ctx, d.OIDC, secret, kept.Flow, in.Answer)
	if err != nil {
		p.refusedByProvider(ctx, d, err, in.Address)
		return a, "", p.directoryFailed(d, err)
	}
	right()
	a, err = p.admit(ctx, d, i, in.Language, in.Address)
	return a, kept.Next, err
}

// refusedByProvider notes that an answer was refused: a misbehaving provider, or somebody who plays one.
func (p *People) refusedByProvider(ctx context.Context, d account.Directory, why error, address string) {
	var e *desk.Error
	if !errors.As(desk.Fail(why), &e) {
		return
	}
	err := p.o.Change(ctx, desk.Actor{Via: desk.ViaPortal, Address: address}, func(c *desk.Change) error {
		return c.Record("directory.answer_refused", "directory:"+string(d.ID), d.Name, map[string]any{"why": e.Code})
	})
	if err != nil {
		p.o.Logger.Warn("a provider's refused answer could not be recorded", "err", err)
	}
}

func (p *People) provider(ctx context.Context, id account.DirectoryID) (d account.Directory, err error) {
	err = p.o.Read(ctx, func(tx store.Tx) error {
		if d, err = tx.Directory(id); err == nil && (!d.Enabled || d.Kind != account.OIDC) {
			err = store.ErrNotFound
		}
		return err
	})
	return d, err
}

// RunDirectories looks again at everybody who comes from a directory, until ctx ends.
func (p *People) RunDirectories(ctx context.Context) error {
	tick := time.NewTicker(directoriesEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
		now := p.o.Time()
		var mine bool
		err := p.o.Store.Write(ctx, func(tx store.Tx) (err error) {
			mine, err = tx.TakeLease(directoriesLease, p.node, now, now.Add(directoriesEvery*2))
			return err
		})
		if err == nil && mine {
			err = p.CheckDirectories(ctx)
		}
		if err != nil && ctx.Err() == nil {
			p.o.Logger.Error("the directories could not be checked", "err", err)
		}
	}
}

// CheckDirectories disables the accounts of those whom their directory has disabled or removed, ends their logins,
// and gives the others the role that their groups have now. A directory that can't be asked changes nothing. Logins
// by way of an OpenID provider, which can't be asked about people, end after a day.
func (p *People) CheckDirectories(ctx context.Context) error {
	var list []account.Directory
	if err := p.o.Read(ctx, func(tx store.Tx) (err error) { list, err = tx.Directories(); return err }); err != nil {
		return err
	}
	var failed error
	for _, d := range list {
		var err error
		switch {
		case !d.Enabled:
		case d.Kind == account.OIDC:
			err = p.o.Store.Write(ctx, func(tx store.Tx) error { return tx.EndDirectoryLogins(d.ID, p.o.Time().Add(-providerLogin)) })
		default:
			err = p.checkPeople(ctx, d)
		}
		failed = errors.Join(failed, err)
	}
	return failed
}

func (p *People) checkPeople(ctx context.Context, d account.Directory) error {
	secret, err := p.unseal(d.Secret, "directory:"+string(d.ID))
	if err != nil {
		return err
	}
	var people []account.Account
	if err := p.o.Read(ctx, func(tx store.Tx) (err error) { people, err = tx.DirectoryAccounts(d.ID); return err }); err != nil {
		return err
	}
	lost, missing := map[account.ID]string{}, 0
	for _, a := range people {
		i, err := p.o.LDAP.Find(ctx, d.LDAP, secret, account.Who{ID: a.ExternalID})
		switch {
		case errors.Is(err, account.ErrDirectoryNoUser):
			lost[a.ID] = "removed"
			missing++
			continue
		case err != nil:
			p.directoryFailed(d, err)
			return nil // nobody loses anything because a directory is down
		}
		if i.Disabled {
			lost[a.ID] = "disabled"
			continue
		}
		now, err := d.Admit(i, a, a.Language)
		if err != nil {
			lost[a.ID] = "no_role"
			continue
		}
		if now.Role == a.Role {
			continue
		}
		err = p.o.Change(ctx, desk.System(), func(c *desk.Change) error {
			a, err := c.Account(a.ID)
			if err != nil {
				return err
			}
			now := a
			now.Role, err = d.RoleOf(i.Groups)
			if err == nil {
				_, err = p.keep(c, d, now, a)
			}
			return err
		})
		if err != nil {
			return err
		}
	}
	if missing > fewLost && missing*2 > len(people) { // rather a search base that was renamed than a company that closed
		p.o.Logger.Error("most people of a directory are gone; nobody was disabled, check its search base and the rights of its search account", "directory", d.ID)
		return nil
	}
	for id, why := range lost {
		err := p.o.Change(ctx, desk.System(), func(c *desk.Change) error {
			a, err := c.Account(id)
			if err != nil || a.Disabled || a.Directory != d.ID {
				return err
			}
			if err := c.LoseAccount(id); err != nil {
				return err
			}
			if err := c.EndLogins(id, ""); err != nil {
				return err
			}
			return c.Record("account.disabled", ref(id), a.Name, map[string]any{"directory": d.ID, "why": why})
		})
		if err != nil {
			return err
		}
	}
	return nil
}
