package api

import (
	"context"
	"net/http"

	"github.com/traybell/traybell/server/internal/account"
	"github.com/traybell/traybell/server/internal/desk"
	"github.com/traybell/traybell/server/internal/desk/people"
)

// Account is a person who can sign in.
type Account struct {
	ID             string       `json:"id"`
	Email          string       `json:"email"`
	Name           string       `json:"name"`
	Role           account.Role `json:"role" enum:"requester,responsible,technician,administrator,integration"`
	Organization   string       `json:"organization"`
	OrganizationID string       `json:"organization_id"`
	Language       string       `json:"language"`
	SecondFactor   bool         `json:"second_factor"`
	Directory      string       `json:"directory,omitempty" doc:"id of the directory in which the password is checked; none: here"`
	Disabled       bool         `json:"disabled"`
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
		SecondFactor: a.SecondFactor, Disabled: a.Disabled, Directory: string(a.Directory), Invited: a.RegisteredAt.IsZero(), CreatedAt: micros(a.CreatedAt)}
}

// people registers what accounts do about accounts.
func (s *server) people() {
	register(s, operation("get-me", http.MethodGet, "/accounts/me", "The account that the token belongs to", http.StatusOK), func(ctx context.Context, _ *none) (*body[Account], error) {
		a, err := s.People.Me(ctx, actorOf(ctx))
		return &body[Account]{accountOf(a)}, err
	})

	s.accounts()
	s.account()
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

// account registers what is done about one account.
func (s *server) account() {
	get := func(ctx context.Context, id account.ID) (*body[Account], error) {
		m, err := s.People.Member(ctx, actorOf(ctx), id)
		return &body[Account]{accountOf(m.Account)}, err
	}
	type oneAccount struct {
		ID string `path:"id" maxLength:"36"`
	}
	register(s, operation("get-account", http.MethodGet, "/accounts/{id}", "One account", http.StatusOK), func(ctx context.Context, in *oneAccount) (*body[Account], error) {
		return get(ctx, account.ID(in.ID))
	})

	type inviteInput struct {
		Body struct {
			Email        string       `json:"email" maxLength:"254"`
			Role         account.Role `json:"role" enum:"requester,responsible,technician,administrator"`
			Organization string       `json:"organization,omitempty" maxLength:"200" doc:"its name; empty: your own"`
			Name         string       `json:"name,omitempty" maxLength:"200" doc:"empty: the address, until the person says it"`
			Language     string       `json:"language,omitempty" enum:"en,it,de,ru" doc:"empty: yours"`
		}
	}
	type invited struct {
		Email     string `json:"email"`
		Token     string `json:"token" doc:"what the invitation's link ends with: /invitation#token=…; shown only here"`
		ExpiresAt int64  `json:"expires_at"`
	}
	register(s, operation("invite-account", http.MethodPost, "/accounts", "Invite somebody: the link goes out by e-mail and works once", http.StatusCreated), func(ctx context.Context, in *inviteInput) (*body[invited], error) {
		b := in.Body
		i, token, err := s.People.Invite(ctx, actorOf(ctx), people.NewInvitation{Email: b.Email, Role: b.Role, Organization: b.Organization, Name: b.Name, Language: b.Language})
		if err != nil {
			return nil, err
		}
		return &body[invited]{invited{i.Email, token, micros(i.ExpiresAt)}}, nil
	})

	type changeAccountInput struct {
		ID   string `path:"id" maxLength:"36"`
		Body struct {
			Name     *string       `json:"name,omitempty" maxLength:"200"`
			Role     *account.Role `json:"role,omitempty" enum:"requester,responsible,technician,administrator"`
			Disabled *bool         `json:"disabled,omitempty" doc:"true signs the person out everywhere"`
		}
	}
	register(s, operation("change-account", http.MethodPatch, "/accounts/{id}", "Change one thing of an account: its name, its role, or whether it is disabled", http.StatusOK), func(ctx context.Context, in *changeAccountInput) (*body[Account], error) {
		a, id, b := actorOf(ctx), account.ID(in.ID), in.Body
		said := 0
		for _, given := range []bool{b.Name != nil, b.Role != nil, b.Disabled != nil} {
			if given {
				said++
			}
		}
		if said != 1 { // each is a change of its own in the log, and two could be half done
			return nil, desk.Fail(desk.ErrInvalid)
		}
		var err error
		switch {
		case b.Name != nil:
			err = s.People.Rename(ctx, a, id, *b.Name)
		case b.Role != nil:
			err = s.People.ChangeRole(ctx, a, id, *b.Role)
		case *b.Disabled:
			err = s.People.Disable(ctx, a, id)
		default:
			err = s.People.Enable(ctx, a, id)
		}
		if err != nil {
			return nil, err
		}
		return get(ctx, id)
	})
}
