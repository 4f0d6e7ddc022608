package store

// FirstSteps says what exists on this server already.
type FirstSteps struct {
	Customer bool // an organization beside the provider
	Device   bool
	Ticket   bool
	Session  bool
	Sent     bool // a mail server has taken a mail
}

const firstSteps = `select exists (select 1 from organizations where not provider), exists (select 1 from devices), exists (select 1 from tickets), exists (select 1 from sessions where allowed_at > 0),
	exists (select 1 from mails where state = 'sent')`

// FirstSteps says what exists on this server already.
func (t Tx) FirstSteps() (FirstSteps, error) {
	return one(t, func(r row) (f FirstSteps, err error) {
		return f, r.Scan(&f.Customer, &f.Device, &f.Ticket, &f.Session, &f.Sent)
	}, firstSteps)
}
