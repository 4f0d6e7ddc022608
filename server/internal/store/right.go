package store

import (
	"encoding/json"
	"fmt"

	"github.com/traybell/traybell/server/internal/account"
)

const (
	setLimits   = `insert into account_limits (account_id, limits) values ($1, $2) on conflict (account_id) do update set limits = excluded.limits`
	clearLimits = `delete from account_limits where account_id = $1`
)

// SetLimits narrows a technician to organizations and queues; the zero Limits lift the narrowing.
func (t Tx) SetLimits(id account.ID, l account.Limits) error {
	if len(l.Organizations) == 0 && len(l.Queues) == 0 {
		_, err := t.exec(clearLimits, id)
		return err
	}
	_, err := t.exec(setLimits, id, jsonText(l))
	return err
}

// allRights is how a token without a choice of rights is stored.
const allRights = "*"

func rightsText(r account.Rights) string {
	if r.Covers(account.TokenRights) {
		return allRights
	}
	return jsonText(r.List())
}

// parseRights reads what rightsText has written. A word that is no right any more gives none.
func parseRights(text string) (account.Rights, error) {
	if text == allRights {
		return account.TokenRights, nil
	}
	var words []account.Right
	if err := json.Unmarshal([]byte(text), &words); err != nil {
		return 0, fmt.Errorf("stored rights: %w", err)
	}
	return account.RightsOf(words...), nil
}

func parseLimits(text string, l *account.Limits) error {
	if text == "" {
		return nil
	}
	if err := json.Unmarshal([]byte(text), l); err != nil {
		return fmt.Errorf("stored limits: %w", err)
	}
	return nil
}
