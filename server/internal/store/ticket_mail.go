package store

import (
	"github.com/traybell/traybell/server/internal/account"
	"github.com/traybell/traybell/server/internal/ticket"
)

const confirmRequester = `update tickets set requester_confirmed = $1, requester_account = $2, version = version + 1
	where not requester_confirmed and requester_email = $3 and (id = $4 or device_id <> '' and device_id = $5 and os_user_id = $6)`

// ConfirmRequester notes that the address of k's requester is theirs, on k and on every other ticket that was filed
// with that address by the same OS user at the same device. to is the account that they belong to from now on.
func (t Tx) ConfirmRequester(k ticket.Ticket, to account.ID) error {
	_, err := t.exec(confirmRequester, true, to, k.Requester.Email, k.ID, k.Device, k.OSUserID)
	return err
}

const requesterConfirmed = `select count(*) from (select 1 from tickets where requester_confirmed and requester_email = $1 and device_id <> '' and device_id = $2 and os_user_id = $3 limit 1) known`

// RequesterConfirmed reports whether the owner of k's address has confirmed it for k's device and OS user before.
func (t Tx) RequesterConfirmed(k ticket.Ticket) (bool, error) {
	n, err := one(t, scanInt, requesterConfirmed, k.Requester.Email, k.Device, k.OSUserID)
	return n > 0, err
}
