package store

const (
	setting       = `select value from settings where name = $1`
	setSetting    = `insert into settings (name, value) values ($1, $2) on conflict (name) do update set value = excluded.value`
	deleteSetting = `delete from settings where name = $1`
)

// Setting loads a named value; ErrNotFound when it was never set.
func (t Tx) Setting(name string) (string, error) {
	return one(t, func(r row) (s string, err error) { return s, r.Scan(&s) }, setting, name)
}

// SetSetting stores a named value; an empty one forgets it.
func (t Tx) SetSetting(name, value string) error {
	if value == "" {
		_, err := t.exec(deleteSetting, name)
		return err
	}
	_, err := t.exec(setSetting, name, value)
	return err
}
