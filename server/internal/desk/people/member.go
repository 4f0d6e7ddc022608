package people

import (
	"context"
	"strings"

	"github.com/traybell/traybell/server/internal/account"
	"github.com/traybell/traybell/server/internal/desk"
	"github.com/traybell/traybell/server/internal/store"
)

// AccountFilter chooses accounts among those that the actor may see.
type AccountFilter struct {
	Organization account.OrganizationID
	Role         account.Role
	Directory    account.DirectoryID // account.LocalDirectory: of none
	Query        string              // beginnings of words of name and address
	After        string              // cursor: AccountPage's next
	Limit        int                 // 1 to 500; default 50
}

// AccountPage lists accounts by name, and the cursor of the next page, if there is one.
func (p *People) AccountPage(ctx context.Context, a desk.Actor, f AccountFilter) (list []account.Account, next string, err error) {
	if !a.May(account.PeopleView) {
		return nil, "", desk.Fail(desk.ErrDenied)
	}
	if f.Limit < 1 || f.Limit > 500 {
		f.Limit = 50
	}
	if f.Role != "" {
		if _, err := account.ParseRole(string(f.Role)); err != nil {
			return nil, "", desk.Fail(err)
		}
	}
	s := store.AccountFilter{Within: a.Within(), Organization: f.Organization, Role: f.Role, Directory: f.Directory, Query: strings.TrimSpace(f.Query), Limit: f.Limit + 1}
	if len(s.Query) > 200 {
		return nil, "", desk.Fail(desk.ErrInvalid)
	}
	after, id, err := cursorOf(f.After)
	if err != nil {
		return nil, "", err
	}
	s.After, s.AfterID = after, account.ID(id)
	err = p.o.Read(ctx, func(tx store.Tx) error { list, err = tx.AccountPage(s); return err })
	if len(list) > f.Limit {
		list = list[:f.Limit]
		last := list[f.Limit-1]
		next = cursor(last.Name, string(last.ID))
	}
	return list, next, err
}
