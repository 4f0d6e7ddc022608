package store

import (
	"slices"
	"strings"
	"time"

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

// AccountPage lists people by name. It costs about as much as what it shows, however many there are: a rare word
// is followed through the index of words; frequent ones are met soon while the accounts are walked by name.
func (t Tx) AccountPage(f AccountFilter) ([]account.Account, error) {
	w := &where{}
	w.and("a.removed_at = 0")
	if f.Within != nil {
		w.in("a.organization_id", texts(f.Within))
	}
	if f.Organization != "" {
		w.and("a.organization_id = ?", f.Organization)
	}
	if f.Role != "" {
		w.and("a.role = ?", f.Role)
	} else {
		w.and("a.role <> ?", account.Integration)
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

const (
	openInvitations = invitations + ` where i.email = $1 and i.used_at = 0 order by i.created_at desc`
	dropInvitations = `delete from invitations where email = $1 and used_at = 0`
	sameProvider    = `update organizations set sort_name = sort_name where provider`
)

// OpenInvitations lists those of an address that nobody has accepted, the newest first.
func (t Tx) OpenInvitations(email string) ([]account.Invitation, error) {
	return all(t, scanInvitation, openInvitations, email)
}

// DropInvitations withdraws every invitation of an address that nobody has accepted.
func (t Tx) DropInvitations(email string) error {
	_, err := t.exec(dropInvitations, email)
	return err
}

// OneAdministratorAtATime makes changes that could take the last administrator away wait for each other.
func (t Tx) OneAdministratorAtATime() error {
	_, err := t.exec(sameProvider)
	return err
}

// forget is what is deleted or emptied of a person. $1 is the account, $2 its address. Each statement
// uses one of them.
var forgetAccount = []string{
	`delete from logins where account_id = $1`,
	`delete from api_tokens where account_id = $1`,
	`delete from recovery_codes where account_id = $1`,
	`delete from factors where account_id = $1`,
	`delete from challenges where account_id = $1`,
	`delete from account_words where account_id = $1`,
	`delete from absences where account_id = $1 or deputy_id = $1`,
	`delete from watchers where account_id = $1`,
	`delete from idempotency where account_id = $1`,
	`delete from mails where account_id = $1`,
	`update tickets set requester_name = '', requester_email = '', requester_phone = '' where requester_account = $1`,
	`update messages set author_name = '' where author = $1`,
	`update sessions set name = '' where account_id = $1`,
}

var forgetAddress = []string{
	`update audit_names set name = '', folded = '' where id in (select 'invitation:' || id from invitations where email = $1)`,
	`delete from invitations where email = $1`,
	`delete from mails where recipient = $1`,
}

const (
	forgetName  = `update audit_names set name = '', folded = '' where id = $1`
	markRemoved = `update accounts set removed_at = $1, words = '' where id = $2`
)

// ForgetAccount takes a person out of everything but the account's own row, which the caller empties by SaveAccount
// before. Tickets, messages and visits stay without the name; the log keeps its rows, which hold ids only.
func (t Tx) ForgetAccount(a account.Account, email string, now time.Time) error {
	for _, q := range forgetAccount {
		if _, err := t.exec(q, a.ID); err != nil {
			return err
		}
	}
	for _, q := range forgetAddress {
		if _, err := t.exec(q, email); err != nil {
			return err
		}
	}
	if _, err := t.exec(forgetName, "account:"+string(a.ID)); err != nil {
		return err
	}
	_, err := t.exec(markRemoved, micros(now), a.ID)
	return err
}
