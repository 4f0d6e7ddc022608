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
	LimitedTo      []string     `json:"limited_to,omitempty" doc:"ids of the organizations for which a technician works; none: all of them"`
	CreatedAt      int64        `json:"created_at"`
}

func accountOf(a account.Account) Account {
	var limits []string
	for _, o := range a.Limits.Organizations {
		limits = append(limits, string(o))
	}
	return Account{LimitedTo: limits, ID: string(a.ID), Email: a.Email, Name: a.Name, Role: a.Role, Organization: a.OrganizationName, OrganizationID: string(a.Organization), Language: a.Language,
		SecondFactor: a.SecondFactor, Directory: string(a.Directory), Invited: a.RegisteredAt.IsZero(), CreatedAt: micros(a.CreatedAt)}
}

// people registers what accounts do about accounts.
func (s *server) people() {
	register(s, operation("get-me", http.MethodGet, "/accounts/me", "The account that the token belongs to", http.StatusOK), func(ctx context.Context, _ *none) (*body[Account], error) {
		a, err := s.People.Me(ctx, actorOf(ctx))
		return &body[Account]{accountOf(a)}, err
	})

	s.accounts()
	s.organizations()

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

}
