package api

import (
	"context"
	"net/http"

	"github.com/traybell/traybell/server/internal/account"
)

// Account is a person who can sign in.
type Account struct {
	ID             string       `json:"id"`
	Email          string       `json:"email"`
	Name           string       `json:"name"`
	Role           account.Role `json:"role" enum:"requester,responsible,technician,administrator"`
	Organization   string       `json:"organization"`
	OrganizationID string       `json:"organization_id"`
	Language       string       `json:"language"`
	SecondFactor   bool         `json:"second_factor"`
	Directory      string       `json:"directory,omitempty" doc:"id of the directory in which the password is checked; none: here"`
	Invited        bool         `json:"invited" doc:"has not accepted the invitation yet"`
	CreatedAt      int64        `json:"created_at"`
}

func accountOf(a account.Account) Account {
	return Account{ID: string(a.ID), Email: a.Email, Name: a.Name, Role: a.Role, Organization: a.OrganizationName, OrganizationID: string(a.Organization), Language: a.Language,
		SecondFactor: a.SecondFactor, Directory: string(a.Directory), Invited: a.RegisteredAt.IsZero(), CreatedAt: micros(a.CreatedAt)}
}

// Organization is a customer, or the provider that runs this server.
type Organization struct {
	ID       string `json:"id"`
	Name     string `json:"name"`
	Provider bool   `json:"provider"`
}

// people registers what accounts do about accounts.
func (s *server) people() {
	register(s, operation("get-me", http.MethodGet, "/accounts/me", "The account that the token belongs to", http.StatusOK), func(ctx context.Context, _ *none) (*body[Account], error) {
		a, err := s.People.Me(ctx, actorOf(ctx))
		return &body[Account]{accountOf(a)}, err
	})

	type accountList struct {
		Accounts []Account `json:"accounts"`
	}
	register(s, operation("list-accounts", http.MethodGet, "/accounts", "Accounts: all for staff, the organization's for its responsible person", http.StatusOK), func(ctx context.Context, in *struct {
		Directory string `query:"directory" maxLength:"64" doc:"only accounts of the directory with this id; local: of none"`
	}) (*body[accountList], error) {
		list, err := s.People.Accounts(ctx, actorOf(ctx))
		out := accountList{Accounts: []Account{}}
		for _, a := range list {
			if want := account.DirectoryID(in.Directory); want != "" && want != a.Directory && (want != account.LocalDirectory || a.Directory != "") {
				continue
			}
			out.Accounts = append(out.Accounts, accountOf(a))
		}
		return &body[accountList]{out}, err
	})

	type directoryName struct {
		ID   string `json:"id"`
		Kind string `json:"kind" enum:"ldap,oidc"`
		Name string `json:"name"`
	}
	type directoryList struct {
		Directories []directoryName `json:"directories"`
	}
	register(s, operation("list-directories", http.MethodGet, "/directories", "Directories by which accounts can be narrowed, of the organizations that the token's account reaches", http.StatusOK), func(ctx context.Context, _ *none) (*body[directoryList], error) {
		list, err := s.People.DirectoryNames(ctx, actorOf(ctx))
		out := directoryList{Directories: []directoryName{}}
		for _, d := range list {
			out.Directories = append(out.Directories, directoryName{string(d.ID), string(d.Kind), d.Name})
		}
		return &body[directoryList]{out}, err
	})

	type organizationList struct {
		Organizations []Organization `json:"organizations"`
	}
	register(s, operation("list-organizations", http.MethodGet, "/organizations", "Organizations: all for staff, the own one for others", http.StatusOK), func(ctx context.Context, _ *none) (*body[organizationList], error) {
		list, err := s.People.Organizations(ctx, actorOf(ctx))
		out := organizationList{Organizations: []Organization{}}
		for _, o := range list {
			out.Organizations = append(out.Organizations, Organization{ID: string(o.ID), Name: o.Name, Provider: o.Provider})
		}
		return &body[organizationList]{out}, err
	})
}
