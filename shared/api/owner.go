package api

// OwnerClaim is the body of POST /api/v1/device/owners/look and POST /api/v1/device/owners: what a person at
// a device typed to link it to an account. The device vouches for the OS user.
type OwnerClaim struct {
	Code   string `json:"code"`
	UserID string `json:"user_id"` // uid or SID
	User   string `json:"user"`    // OS user name
}

// Owner is the account to which an OS user of a device is linked, or about to be.
type Owner struct {
	ID        string `json:"id"`
	Name      string `json:"name"`
	Email     string `json:"email"`
	UserID    string `json:"user_id"`
	Confirmed bool   `json:"confirmed"` // in the portal too
	Since     int64  `json:"since,omitempty"`
}

// OwnerList is the answer of GET /api/v1/device/owners.
type OwnerList struct {
	Owners []Owner `json:"owners"`
}
