// Package device is what people and devices do about devices: make enrolment keys, enrol, come
// online, report, list, rename, remove.
//
// The edges (web, api, httpd) call it.
package device

import (
	"context"
	"crypto/ed25519"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"slices"
	"strings"
	"time"

	"github.com/traybell/traybell/server/internal/account"
	"github.com/traybell/traybell/server/internal/desk"
	"github.com/traybell/traybell/server/internal/device"
	"github.com/traybell/traybell/server/internal/store"
	"github.com/traybell/traybell/shared/api"
	"github.com/traybell/traybell/shared/link"
)

// TokenLife is how long a device's bearer token works after its link came up.
const TokenLife = 24 * time.Hour

// Options are what the use cases work with.
type Options struct {
	desk.Options
	Identity ed25519.PublicKey // the server's
	URL      string            // by which devices reach it
	CA       []byte            // SHA-256 of the server's own CA certificate
	Secret   []byte            // signs devices' tokens
}

// Devices are the use cases.
type Devices struct {
	o       Options
	guesses guesses // of codes, by device
}

// New returns the use cases.
func New(o Options) *Devices { return &Devices{o: o} }

// NewKey is what somebody asks of an enrolment key. Zero fields mean one device, 24 hours, the actor's
// own organization (on the command line the provider) and a pinned server certificate.
type NewKey struct {
	Organization string // name; an administrator's new name makes a new organization
	Uses         int
	Life         time.Duration
	TLS          string // api.TLSPinned or api.TLSProxy
}

// CreateEnrolmentKey makes a key; its secret can't be shown again.
func (d *Devices) CreateEnrolmentKey(ctx context.Context, a desk.Actor, n NewKey) (key api.EnrolmentKey, k device.EnrolmentKey, err error) {
	if !a.May(account.EnrolmentManage) {
		return key, k, desk.Fail(desk.ErrDenied)
	}
	if n.Uses == 0 {
		n.Uses = device.DefaultUses
	}
	if n.Life == 0 {
		n.Life = device.DefaultLife
	}
	if n.TLS == "" {
		n.TLS = api.TLSPinned
	}
	if err := device.CheckKeyBounds(n.Uses, n.Life); err != nil {
		return key, k, desk.Fail(err)
	}
	if n.TLS != api.TLSPinned && n.TLS != api.TLSProxy {
		return key, k, desk.Fail(desk.ErrInvalid)
	}
	secret := make([]byte, 32)
	rand.Read(secret)
	err = d.o.Change(ctx, a, func(c *desk.Change) error {
		o, err := c.OrganizationFor(n.Organization)
		if err != nil {
			return err
		}
		if err := a.Need(account.EnrolmentManage, o.ID); err != nil {
			return err
		}
		k = device.EnrolmentKey{ID: c.NewID(), Organization: o.ID, TLS: n.TLS, Uses: n.Uses, MadeBy: a.Account, CreatedAt: c.Now, ExpiresAt: c.Now.Add(n.Life)}
		if err := c.InsertEnrolmentKey(k, secretHash(secret)); err != nil {
			return err
		}
		return c.Record("enrolment_key.made", "enrolment_key:"+k.ID, "", map[string]any{"organization": o.ID, "uses": n.Uses, "expires": k.ExpiresAt})
	})
	key = api.EnrolmentKey{URL: d.o.URL, Identity: d.o.Identity, TLS: n.TLS, ID: k.ID, Secret: secret}
	if n.TLS == api.TLSPinned {
		key.CA = d.o.CA
	}
	return key, k, err
}

// EnrolmentKeys lists the keys that still bring in devices.
func (d *Devices) EnrolmentKeys(ctx context.Context, a desk.Actor) (list []device.EnrolmentKey, err error) {
	if !a.May(account.EnrolmentManage) {
		return nil, desk.Fail(desk.ErrDenied)
	}
	now := d.o.Time()
	err = d.o.Read(ctx, func(tx store.Tx) error { list, err = keys(tx, a, now); return err })
	return list, err
}

func keys(tx store.Tx, a desk.Actor, now time.Time) ([]device.EnrolmentKey, error) {
	list, err := tx.EnrolmentKeys(now)
	return slices.DeleteFunc(list, func(k device.EnrolmentKey) bool { return !a.MayIn(account.EnrolmentManage, k.Organization) }), err
}

// RevokeEnrolmentKey withdraws a key. Devices that it brought in stay.
func (d *Devices) RevokeEnrolmentKey(ctx context.Context, a desk.Actor, id string) error {
	if !a.May(account.EnrolmentManage) {
		return desk.Fail(desk.ErrDenied)
	}
	return d.o.Change(ctx, a, func(c *desk.Change) error {
		mine, err := keys(c.Tx, a, c.Now)
		if err != nil {
			return err
		}
		if !slices.ContainsFunc(mine, func(k device.EnrolmentKey) bool { return k.ID == id }) {
			return store.ErrNotFound
		}
		if err := c.RevokeEnrolmentKey(id, c.Now); err != nil {
			return err
		}
		return c.Record("enrolment_key.revoked", "enrolment_key:"+id, "", nil)
	})
}

// Enrol brings in a device by a key. The same request again gives the same answer and uses nothing up; a
// key gives no right over a device that has enrolled already.
func (d *Devices) Enrol(ctx context.Context, r api.EnrolRequest, address string) (res api.EnrolResponse, err error) {
	if len(r.Key) > 100 || len(r.Secret) > 100 {
		return res, desk.Fail(desk.ErrInvalid)
	}
	if err := device.CheckProof(r); err != nil {
		return res, desk.Fail(err)
	}
	id := device.ID(r.Device)
	facts := device.Clean(r.Facts)
	actor := desk.Device(id)
	actor.Address = address
	err = d.o.Change(ctx, actor, func(c *desk.Change) error {
		k, err := c.EnrolmentKey(r.Key, secretHash(r.Secret))
		if errors.Is(err, store.ErrNotFound) {
			return device.ErrKeyUnknown
		}
		if err != nil {
			return err
		}
		o, err := c.Organization(k.Organization)
		if err != nil {
			return err
		}
		known, err := c.Device(id)
		switch {
		case err == nil && known.EnrolmentKey == k.ID && known.LinkKey.Equal(r.LinkKey) && known.GrantKey.Equal(r.GrantKey) && known.RemovedAt.IsZero():
			res = d.enrolled(known)
			return nil
		case err == nil:
			return desk.Refuse(desk.ErrConflict, "device_id_taken")
		case !errors.Is(err, store.ErrNotFound):
			return err
		}
		if err := k.Check(c.Now); err != nil {
			return err
		}
		if err := c.UseEnrolmentKey(k.ID); err != nil {
			return err
		}
		dev := device.Device{ID: id, Organization: o.ID, OrganizationName: o.Name, Name: device.NameFor(facts, id), LinkKey: r.LinkKey, GrantKey: r.GrantKey,
			Facts: facts, EnrolmentKey: k.ID, EnrolledAt: c.Now, Address: address}
		if err := c.InsertDevice(dev); err != nil {
			return err
		}
		res = d.enrolled(dev)
		c.Actor.Name = dev.Name
		c.Hint(desk.TopicDevice, string(id))
		return c.Record("device.enrolled", ref(id), dev.Name, map[string]any{"enrolment_key": k.ID, "organization": o.ID})
	})
	return res, err
}

func (d *Devices) enrolled(dev device.Device) api.EnrolResponse {
	return api.EnrolResponse{Device: string(dev.ID), Name: dev.Name, Organization: dev.OrganizationName, Server: link.ServerID(d.o.Identity)}
}

// LinkKey is the key by which a device proves its link; an error for one that is unknown or removed.
func (d *Devices) LinkKey(ctx context.Context, id device.ID) (key ed25519.PublicKey, err error) {
	err = d.o.Read(ctx, func(tx store.Tx) error {
		dev, err := tx.Device(id)
		if err != nil {
			return err
		}
		if !dev.RemovedAt.IsZero() {
			return device.ErrRemoved
		}
		key = dev.LinkKey
		return nil
	})
	return key, err
}

// LinkUp notes that a device's link is up and returns what the device is told.
func (d *Devices) LinkUp(ctx context.Context, id device.ID, facts link.Facts, address string) (w link.Welcome, err error) {
	facts = device.Clean(facts)
	actor := desk.Device(id)
	actor.Address = address
	err = d.o.Change(ctx, actor, func(c *desk.Change) error {
		w = link.Welcome{Time: c.Now.UnixMicro(), PortalURL: d.o.URL}
		before, err := c.Device(id)
		if err != nil {
			return err
		}
		epoch, err := c.LinkUp(id, facts, address, c.Now)
		if err != nil {
			return err
		}
		if before.Epoch > 0 {
			if err := news(c, id, before.SeenAt); err != nil {
				return err
			}
		}
		provider, err := c.Provider()
		if err != nil {
			return err
		}
		home, err := c.Organization(before.Organization)
		if err != nil {
			return err
		}
		w.Epoch, w.Name, w.Organization, w.Provider, w.SupportPhone, w.TrayTitle = epoch, before.Name, before.OrganizationName, provider.Name, provider.SupportPhone, home.TrayTitle
		if home.SupportPhone != "" {
			w.SupportPhone = home.SupportPhone
		}
		c.Hint(desk.TopicDevice, string(id))
		return nil
	})
	if err != nil {
		return w, err
	}
	expires := time.UnixMicro(w.Time).Add(TokenLife)
	w.Token, w.TokenExpires = d.token(id, expires), expires.UnixMicro()
	return w, nil
}

// news owes the device word of its tickets that have moved since it was last seen. A ticket's own notice is
// dropped while the device is away.
func news(c *desk.Change, id device.ID, since time.Time) error {
	moved, err := c.TicketNews(id, since)
	if err != nil {
		return err
	}
	for _, n := range moved {
		if err := c.Owe(desk.JobTicketMoved, desk.TicketJob{Ticket: string(n.Ticket), Answered: n.Answered}); err != nil {
			return err
		}
	}
	return nil
}

// LinkDown notes that the link of an epoch has ended. A newer link stays.
func (d *Devices) LinkDown(ctx context.Context, id device.ID, epoch int64) error {
	return d.o.Change(ctx, desk.Device(id), func(c *desk.Change) error {
		changed, err := c.LinkDown(id, epoch, c.Now)
		if changed {
			c.Hint(desk.TopicDevice, string(id))
		}
		return err
	})
}

// AllLinksDown notes that no device is linked: the server has just started.
func (d *Devices) AllLinksDown(ctx context.Context) error {
	return d.o.Change(ctx, desk.System(), func(c *desk.Change) error { return c.AllLinksDown() })
}

// FactsChanged stores what a device reports of itself.
func (d *Devices) FactsChanged(ctx context.Context, id device.ID, f link.Facts) error {
	return d.o.Change(ctx, desk.Device(id), func(c *desk.Change) error {
		c.Hint(desk.TopicDevice, string(id))
		return c.SetFacts(id, device.Clean(f))
	})
}

// token is device id ‖ expiry ‖ HMAC: it can be checked without the database.
func (d *Devices) token(id device.ID, expires time.Time) string {
	b := append([]byte(id), make([]byte, 8)...)
	binary.BigEndian.PutUint64(b[len(id):], uint64(expires.UnixMicro()))
	return base64.RawURLEncoding.EncodeToString(append(b, d.mac(b)...))
}

func (d *Devices) mac(b []byte) []byte {
	m := hmac.New(sha256.New, d.o.Secret)
	m.Write([]byte("traybell-device-token-1\x00"))
	m.Write(b)
	return m.Sum(nil)
}

// ByToken finds the device that a bearer token was given to.
func (d *Devices) ByToken(ctx context.Context, token string) (device.ID, error) {
	unknown := desk.Refuse(desk.ErrDenied, "token_unknown")
	if len(token) > 200 {
		return "", unknown
	}
	b, err := base64.RawURLEncoding.DecodeString(token)
	if err != nil || len(b) != 36+8+sha256.Size {
		return "", unknown
	}
	if !hmac.Equal(b[44:], d.mac(b[:44])) || !d.o.Time().Before(time.UnixMicro(int64(binary.BigEndian.Uint64(b[36:44])))) {
		return "", unknown
	}
	id := device.ID(b[:36])
	if _, err := d.LinkKey(ctx, id); err != nil {
		if errors.Is(err, desk.ErrNotFound) || errors.Is(err, desk.ErrDenied) {
			return "", unknown
		}
		return "", err
	}
	return id, nil
}

// Filter chooses devices among those that the actor may see.
type Filter struct {
	Query        string // part of the name, host name, system, address or a signed-in user's name
	Online       bool
	Organization account.OrganizationID
	After        string // cursor: List's next
	Limit        int    // 1 to 1000; default 200
}

// List lists devices by name, and the cursor of the next page, if there is one.
func (d *Devices) List(ctx context.Context, a desk.Actor, f Filter) (list []device.Device, next string, err error) {
	if f.Limit < 1 || f.Limit > 1000 {
		f.Limit = 200
	}
	if len(f.Query) > 200 || len(f.After) > 1000 {
		return nil, "", desk.Fail(desk.ErrInvalid)
	}
	s := store.DeviceFilter{Query: strings.TrimSpace(f.Query), Online: f.Online, Organization: f.Organization, Limit: f.Limit + 1}
	if f.After != "" {
		b, err := base64.RawURLEncoding.DecodeString(f.After)
		id, name, ok := strings.Cut(string(b), "/")
		if err != nil || !ok {
			return nil, "", desk.Fail(desk.ErrInvalid)
		}
		s.After, s.AfterID = name, device.ID(id)
	}
	if a.Account == "" && !a.System {
		return nil, "", desk.Fail(desk.ErrDenied)
	}
	err = d.o.Read(ctx, func(tx store.Tx) error {
		home, err := desk.Home(tx, a)
		if err != nil {
			return err
		}
		switch plan := home.Has(); {
		case a.May(account.DevicesView) && plan.Assets:
			s.Within = a.Within()
		case plan.OwnDevice:
			s.Within, s.Account = []account.OrganizationID{a.Organization}, a.Account
		default:
			return store.ErrNotFound
		}
		if list, err = tx.Devices(s); err != nil {
			return err
		}
		for i := range list {
			list[i] = coarse(a, list[i])
		}
		if s.Account == "" {
			return nil
		}
		for i := range list {
			if list[i], err = owned(tx, a, list[i]); err != nil {
				return err
			}
		}
		return nil
	})
	if len(list) > f.Limit {
		list = list[:f.Limit]
		last := list[f.Limit-1]
		next = base64.RawURLEncoding.EncodeToString([]byte(string(last.ID) + "/" + last.Name))
	}
	return list, next, err
}

// Get loads one device.
func (d *Devices) Get(ctx context.Context, a desk.Actor, id device.ID) (dev device.Device, err error) {
	err = d.o.Read(ctx, func(tx store.Tx) error { dev, err = visible(tx, a, id); return err })
	return coarse(a, dev), err
}

// visible loads a device that the actor may see and that is not removed.
func visible(tx store.Tx, a desk.Actor, id device.ID) (device.Device, error) {
	dev, err := tx.Device(id)
	if err != nil {
		return dev, err
	}
	if !dev.RemovedAt.IsZero() {
		return dev, store.ErrNotFound
	}
	if a.Account == "" && !a.System || dev.Organization != a.Organization && !a.MayIn(account.DevicesView, dev.Organization) {
		return dev, store.ErrNotFound
	}
	home, err := desk.Home(tx, a)
	if err != nil {
		return dev, err
	}
	switch plan := home.Has(); {
	case a.MayIn(account.DevicesView, dev.Organization) && plan.Assets:
		return dev, nil
	case !plan.OwnDevice:
		return dev, store.ErrNotFound
	}
	return owned(tx, a, dev)
}

// owned shows a device to its owner, without the people who are none of their business. It does not exist
// for anybody else.
func owned(tx store.Tx, a desk.Actor, dev device.Device) (device.Device, error) {
	on, err := tx.OwnersOn(dev.ID)
	if err != nil {
		return dev, err
	}
	mine := map[string]bool{}
	for _, w := range on {
		if w.Account == a.Account {
			mine[w.UserID] = true
		}
	}
	if len(mine) == 0 {
		return device.Device{}, store.ErrNotFound
	}
	dev.Facts.Users = slices.DeleteFunc(slices.Clone(dev.Facts.Users), func(u link.User) bool { return !mine[u.ID] })
	dev.Address = ""
	return dev, nil
}

// Rename gives a device another name.
func (d *Devices) Rename(ctx context.Context, a desk.Actor, id device.ID, name string) error {
	if !a.May(account.DevicesManage) {
		return desk.Fail(desk.ErrDenied)
	}
	name, err := device.CheckName(name)
	if err != nil {
		return desk.Fail(err)
	}
	return d.o.Change(ctx, a, func(c *desk.Change) error {
		dev, err := visible(c.Tx, a, id)
		if err != nil {
			return err
		}
		if !a.MayIn(account.DevicesManage, dev.Organization) {
			return desk.ErrDenied
		}
		was := dev.Name
		dev.Name = name
		c.Hint(desk.TopicDevice, string(id))
		if err := c.SaveDevice(dev); err != nil {
			return err
		}
		return c.Record("device.renamed", ref(id), name, map[string]any{"from": was})
	})
}

// Remove takes a device out: its link, its token and its keys stop working. Its tickets stay. The caller
// ends its link and sessions.
func (d *Devices) Remove(ctx context.Context, a desk.Actor, id device.ID) error {
	if !a.May(account.EnrolmentManage) {
		return desk.Fail(desk.ErrDenied)
	}
	return d.o.Change(ctx, a, func(c *desk.Change) error {
		dev, err := visible(c.Tx, a, id)
		if err != nil {
			return err
		}
		if !a.MayIn(account.EnrolmentManage, dev.Organization) {
			return desk.ErrDenied
		}
		dev.RemovedAt = c.Now
		c.Hint(desk.TopicDevice, string(id))
		if err := c.SaveDevice(dev); err != nil {
			return err
		}
		return c.Record("device.removed", ref(id), dev.Name, nil)
	})
}

func ref(id device.ID) string { return "device:" + string(id) }

func secretHash(secret []byte) string {
	h := sha256.Sum256(append([]byte("traybell-enrolment-key-1\x00"), secret...))
	return hex.EncodeToString(h[:])
}
