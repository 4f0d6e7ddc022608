package store

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"github.com/traybell/traybell/server/internal/account"
	"github.com/traybell/traybell/server/internal/device"
	"github.com/traybell/traybell/shared/link"
)

const insertEnrolmentKey = `insert into enrolment_keys (id, secret_hash, organization_id, tls, uses, used, made_by, created_at, expires_at, revoked_at) values ($1, $2, $3, $4, $5, 0, $6, $7, $8, 0)`

// InsertEnrolmentKey stores a key with its secret's hash.
func (t Tx) InsertEnrolmentKey(k device.EnrolmentKey, secretHash string) error {
	_, err := t.exec(insertEnrolmentKey, k.ID, secretHash, k.Organization, k.TLS, k.Uses, k.MadeBy, micros(k.CreatedAt), micros(k.ExpiresAt))
	return err
}

const enrolmentKeys = `select id, organization_id, tls, uses, used, made_by, created_at, expires_at, revoked_at from enrolment_keys`

func scanEnrolmentKey(r row) (k device.EnrolmentKey, err error) {
	var created, expires, revoked int64
	err = r.Scan(&k.ID, &k.Organization, &k.TLS, &k.Uses, &k.Used, &k.MadeBy, &created, &expires, &revoked)
	k.CreatedAt, k.ExpiresAt, k.RevokedAt = at(created), at(expires), at(revoked)
	return k, err
}

// EnrolmentKey finds a key by its id and its secret's hash.
func (t Tx) EnrolmentKey(id, secretHash string) (device.EnrolmentKey, error) {
	return one(t, scanEnrolmentKey, enrolmentKeys+` where id = $1 and secret_hash = $2`, id, secretHash)
}

// EnrolmentKeys lists the keys that still bring in devices, the newest first.
func (t Tx) EnrolmentKeys(now time.Time) ([]device.EnrolmentKey, error) {
	return all(t, scanEnrolmentKey, enrolmentKeys+` where revoked_at = 0 and used < uses and expires_at > $1 order by created_at desc, id`, micros(now))
}

const (
	useEnrolmentKey    = `update enrolment_keys set used = used + 1 where id = $1 and used < uses and revoked_at = 0`
	revokeEnrolmentKey = `update enrolment_keys set revoked_at = $1 where id = $2 and revoked_at = 0`
)

// UseEnrolmentKey counts one device; ErrStale when the key was used up meanwhile.
func (t Tx) UseEnrolmentKey(id string) error { return t.change(useEnrolmentKey, id) }

// RevokeEnrolmentKey withdraws a key; ErrStale when it is not there any more.
func (t Tx) RevokeEnrolmentKey(id string, now time.Time) error {
	return t.change(revokeEnrolmentKey, micros(now), id)
}

const devices = `select d.id, d.organization_id, o.name, d.name, d.link_key, d.grant_key, d.facts, d.enrolment_key, d.enrolled_at, d.online, d.epoch, d.seen_at, d.address, d.removed_at, d.version
	from devices d join organizations o on o.id = d.organization_id`

func scanDevice(r row) (d device.Device, err error) {
	var linkKey, grantKey, facts string
	var enrolled, seen, removed int64
	if err := r.Scan(&d.ID, &d.Organization, &d.OrganizationName, &d.Name, &linkKey, &grantKey, &facts, &d.EnrolmentKey, &enrolled, &d.Online, &d.Epoch, &seen, &d.Address, &removed, &d.Version); err != nil {
		return d, err
	}
	d.EnrolledAt, d.SeenAt, d.RemovedAt = at(enrolled), at(seen), at(removed)
	if d.LinkKey, err = base64.StdEncoding.DecodeString(linkKey); err != nil {
		return d, fmt.Errorf("link key of device %s: %w", d.ID, err)
	}
	if d.GrantKey, err = base64.StdEncoding.DecodeString(grantKey); err != nil {
		return d, fmt.Errorf("grant key of device %s: %w", d.ID, err)
	}
	if err := json.Unmarshal([]byte(facts), &d.Facts); err != nil {
		return d, fmt.Errorf("facts of device %s: %w", d.ID, err)
	}
	return d, nil
}

const insertDevice = `insert into devices (id, organization_id, name, link_key, grant_key, machine_id, facts, words, enrolment_key, enrolled_at, online, epoch, seen_at, address, removed_at, version)
	values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, 0, $10, $12, 0, 1)`

// InsertDevice stores a device that enrols; ErrExists when its id is taken.
func (t Tx) InsertDevice(d device.Device) error {
	_, err := t.exec(insertDevice, d.ID, d.Organization, d.Name, base64.StdEncoding.EncodeToString(d.LinkKey), base64.StdEncoding.EncodeToString(d.GrantKey),
		d.Facts.MachineID, jsonText(d.Facts), deviceWords(d.Facts), d.EnrolmentKey, micros(d.EnrolledAt), false, d.Address)
	return err
}

// Device loads one device, removed ones too.
func (t Tx) Device(id device.ID) (device.Device, error) {
	return one(t, scanDevice, devices+` where d.id = $1`, id)
}

// DeviceFilter chooses devices that are not removed. Zero fields choose all.
type DeviceFilter struct {
	Organization account.OrganizationID
	Within       []account.OrganizationID // nil: every one
	Account      account.ID               // whose owner this account is
	Query        string                   // a part of the name, host name or a signed-in user's name
	Online       bool
	After        string // name and id of the last device of the page before, as Cursor returns them
	AfterID      device.ID
	Limit        int
}

// Devices lists devices by name.
func (t Tx) Devices(f DeviceFilter) ([]device.Device, error) {
	w := &where{}
	w.and("d.removed_at = 0")
	if f.Organization != "" {
		w.and("d.organization_id = ?", f.Organization)
	}
	w.within("d.organization_id", f.Within)
	if f.Account != "" {
		w.and("d.id in (select device_id from device_owners where account_id = ? and confirmed_at > 0 and ended_at = 0)", f.Account)
	}
	if f.Query != "" {
		like := "%" + likeEscape(f.Query) + "%"
		w.and(`(lower(d.name) like ? escape '\' or d.words like ? escape '\')`, like, like)
	}
	if f.Online {
		w.and("d.online")
	}
	if f.AfterID != "" {
		w.and("(d.name > ? or d.name = ? and d.id > ?)", f.After, f.After, f.AfterID)
	}
	if f.Limit <= 0 {
		f.Limit = 1000
	}
	q := devices + w.String() + " order by d.name, d.id limit " + w.next(f.Limit)
	return all(t, scanDevice, q, w.args...)
}

const linkUp = `update devices set online = $1, epoch = epoch + 1, seen_at = $2, address = $3, facts = $4, machine_id = $5, words = $6, version = version + 1 where id = $7 and removed_at = 0 returning epoch`

// LinkUp notes a new link of a device and returns its epoch; ErrNotFound for a removed one.
func (t Tx) LinkUp(id device.ID, facts link.Facts, address string, now time.Time) (int64, error) {
	return one(t, scanInt, linkUp, true, micros(now), address, jsonText(facts), facts.MachineID, deviceWords(facts), id)
}

const linkDown = `update devices set online = $1, seen_at = $2, version = version + 1 where id = $3 and epoch = $4 and online`

// LinkDown notes that the link of an epoch is gone; a newer one stays. It reports whether that changed anything.
func (t Tx) LinkDown(id device.ID, epoch int64, now time.Time) (bool, error) {
	n, err := t.exec(linkDown, false, micros(now), id, epoch)
	return n == 1, err
}

const allDown = `update devices set online = $1, version = version + 1 where online`

// AllLinksDown notes that no device has a link: the server has just started.
func (t Tx) AllLinksDown() error {
	_, err := t.exec(allDown, false)
	return err
}

const setFacts = `update devices set facts = $1, machine_id = $2, words = $3, version = version + 1 where id = $4 and removed_at = 0`

// SetFacts stores what a device reports of itself.
func (t Tx) SetFacts(id device.ID, f link.Facts) error {
	return t.change(setFacts, jsonText(f), f.MachineID, deviceWords(f), id)
}

// deviceWords are what a device is found by beside its name.
func deviceWords(f link.Facts) string {
	list := append([]string{f.Hostname, f.OSName}, f.Addresses...)
	for _, u := range f.Users {
		list = append(list, u.Name, u.Display)
	}
	return strings.ToLower(strings.Join(list, " "))
}

const saveDevice = `update devices set name = $1, removed_at = $2, version = version + 1 where id = $3 and version = $4`

// SaveDevice stores a device's changed name and removal, or returns ErrStale.
func (t Tx) SaveDevice(d device.Device) error {
	return t.change(saveDevice, d.Name, micros(d.RemovedAt), d.ID, d.Version)
}
