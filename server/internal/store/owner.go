package store

import (
	"time"

	"github.com/traybell/traybell/server/internal/account"
	"github.com/traybell/traybell/server/internal/device"
)

const insertOwner = `insert into device_owners (id, code_hash, account_id, organization_id, device_id, user_id, os_user, asked_at, claimed_at, confirmed_at, ended_at, version)
	values ($1, $2, $3, $4, '', '', '', $5, 0, 0, 0, 1)`

// InsertOwner stores a link that an account has begun, with its code's hash.
func (t Tx) InsertOwner(o device.Owner, codeHash string) error {
	_, err := t.exec(insertOwner, o.ID, codeHash, o.Account, o.Organization, micros(o.AskedAt))
	return err
}

const owners = `select w.id, w.account_id, a.name, a.email, w.organization_id, w.device_id, coalesce(d.name, ''), w.user_id, w.os_user, w.asked_at, w.claimed_at, w.confirmed_at, w.ended_at, w.version
	from device_owners w join accounts a on a.id = w.account_id left join devices d on d.id = w.device_id`

func scanOwner(r row) (o device.Owner, err error) {
	var asked, claimed, confirmed, ended int64
	err = r.Scan(&o.ID, &o.Account, &o.AccountName, &o.AccountEmail, &o.Organization, &o.Device, &o.DeviceName, &o.UserID, &o.User, &asked, &claimed, &confirmed, &ended, &o.Version)
	o.AskedAt, o.ClaimedAt, o.ConfirmedAt, o.EndedAt = at(asked), at(claimed), at(confirmed), at(ended)
	return o, err
}

// Owner loads one link.
func (t Tx) Owner(id string) (device.Owner, error) {
	return one(t, scanOwner, owners+` where w.id = $1`, id)
}

// OwnerByCode finds the link that a code was made for.
func (t Tx) OwnerByCode(codeHash string) (device.Owner, error) {
	return one(t, scanOwner, owners+` where w.code_hash = $1`, codeHash)
}

// OwnersOf lists what an account has linked or begun to link and not ended, the newest first. Codes that
// nobody has entered before a time are left out.
func (t Tx) OwnersOf(a account.ID, since time.Time) ([]device.Owner, error) {
	return all(t, scanOwner, owners+` where w.account_id = $1 and w.ended_at = 0 and (w.confirmed_at > 0 or w.asked_at > $2) and (w.device_id = '' or d.removed_at = 0) order by w.asked_at desc, w.id`, a, micros(since))
}

// OwnersOn lists the finished links of a device, by OS user.
func (t Tx) OwnersOn(d device.ID) ([]device.Owner, error) {
	return all(t, scanOwner, owners+` where w.device_id = $1 and w.confirmed_at > 0 and w.ended_at = 0 order by w.os_user, w.id`, d)
}

const saveOwner = `update device_owners set device_id = $1, user_id = $2, os_user = $3, claimed_at = $4, confirmed_at = $5, ended_at = $6, version = version + 1 where id = $7 and version = $8`

// SaveOwner stores a link that has moved: ErrStale when somebody else moved it meanwhile, ErrExists when
// the OS user of that device has another one.
func (t Tx) SaveOwner(o device.Owner) error {
	return t.change(saveOwner, o.Device, o.UserID, o.User, micros(o.ClaimedAt), micros(o.ConfirmedAt), micros(o.EndedAt), o.ID, o.Version)
}

const forgetOwners = `delete from device_owners where confirmed_at = 0 and asked_at < $1`

// ForgetOwners drops links that were never finished and began before a time.
func (t Tx) ForgetOwners(before time.Time) error {
	_, err := t.exec(forgetOwners, micros(before))
	return err
}
