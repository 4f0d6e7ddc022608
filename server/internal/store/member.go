package store

import (
	"slices"
	"strings"

	"github.com/traybell/traybell/server/internal/account"
)

const (
	setAccountWords = `update accounts set sort_name = $1, words = $2 where id = $3 and (sort_name <> $1 or words <> $2)`
	dropWords       = `delete from account_words where account_id = $1`
	insertWord      = `insert into account_words (word, account_id) values ($1, $2)`
)

// indexAccount makes an account findable by its present name and address. It writes nothing when
// neither has changed.
func (t Tx) indexAccount(a account.Account) error {
	list := accountWords(a)
	n, err := t.exec(setAccountWords, fold(a.Name), strings.Join(list, " "), a.ID)
	if err != nil || n == 0 {
		return err
	}
	if _, err := t.exec(dropWords, a.ID); err != nil {
		return err
	}
	for _, w := range list {
		if _, err := t.exec(insertWord, w, a.ID); err != nil {
			return err
		}
	}
	return nil
}

// accountWords are the words that an account is found by the beginning of: those of its name and address, and
// the address as a whole.
func accountWords(a account.Account) []string {
	list := strings.Fields(indexed(a.Name + " " + a.Email))
	list = append(list[:min(len(list), 24)], fold(a.Email))
	slices.Sort(list)
	return slices.Compact(list)
}

// AccountFilter chooses accounts. Zero fields choose all.
type AccountFilter struct {
	Within       []account.OrganizationID // nil: of every organization; empty: of none
	Organization account.OrganizationID
	Role         account.Role
	Directory    account.DirectoryID // account.LocalDirectory: of none
	Query        string              // beginnings of words of name and address
	After        string              // SortKey of the name, and id, of the last one of the page before
	AfterID      account.ID
	Limit        int // default 50
}

// frequent is how many accounts a word may choose before the list is walked by name instead of by the word.
const frequent = 500

// AccountPage lists accounts by name. It costs about as much as what it shows, however many there are: a rare word
// is followed through the index of words; frequent ones are met soon while the accounts are walked by name.
func (t Tx) AccountPage(f AccountFilter) ([]account.Account, error) {
	w := &where{}
	if f.Within != nil {
		w.in("a.organization_id", texts(f.Within))
	}
	if f.Organization != "" {
		w.and("a.organization_id = ?", f.Organization)
	}
	if f.Role != "" {
		w.and("a.role = ?", f.Role)
	}
	switch f.Directory {
	case "":
	case account.LocalDirectory:
		w.and("a.directory_id = ''")
	default:
		w.and("a.directory_id = ?", f.Directory)
	}
	if f.AfterID != "" {
		w.and("(a.sort_name, a.id) > (?, ?)", f.After, f.AfterID)
	}
	if q := strings.TrimSpace(f.Query); q != "" {
		list := words(q)
		if strings.Contains(q, "@") {
			list = []string{fold(q)}
		}
		if len(list) == 0 {
			return nil, nil // nothing but punctuation
		}
		var fewest []string
		for i, word := range list {
			of := &where{}
			t.e.prefix(of, "word", word)
			ids, err := all(t, scanText, `select account_id from account_words`+of.String()+` limit `+of.next(frequent+1), of.args...)
			if err != nil {
				return nil, err
			}
			if i == 0 || len(ids) < len(fewest) {
				fewest = ids
			}
		}
		if len(fewest) <= frequent {
			slices.Sort(fewest)
			w.in("a.id", slices.Compact(fewest))
		}
		for _, word := range list {
			of := &where{args: w.args}
			of.and("aw.account_id = a.id")
			t.e.prefix(of, "aw.word", word)
			w.args = of.args
			w.conds = append(w.conds, "exists (select 1 from account_words aw"+of.String()+")")
		}
	}
	if f.Limit <= 0 {
		f.Limit = 50
	}
	return all(t, scanAccount, accounts+w.String()+` order by a.sort_name, a.id limit `+w.next(f.Limit), w.args...)
}

// Responsible lists the enabled responsible persons of an organization, by name.
func (t Tx) Responsible(o account.OrganizationID) ([]account.Account, error) {
	return all(t, scanAccount, accounts+` where a.organization_id = $1 and a.role = $2 and a.disabled = $3 order by a.sort_name, a.id`, o, account.Responsible, false)
}
