package api

import (
	"context"
	"net/http"

	"github.com/traybell/traybell/server/internal/account"
	"github.com/traybell/traybell/server/internal/desk/people"
)

// Organization is a customer, or the provider that runs this server.
type Organization struct {
	ID            string `json:"id"`
	Name          string `json:"name"`
	Provider      bool   `json:"provider"`
	SupportPhone  string `json:"support_phone"`
	Plan          Plan   `json:"plan"`
	MembersSeeAll bool   `json:"members_see_all" doc:"members see all tickets of the organization, not only their own"`
	ProductName   string `json:"product_name"`
	TrayTitle     string `json:"tray_title"`
	TimeZone      string `json:"time_zone"`
	Licensed      int64  `json:"licensed" doc:"enabled requesters and responsible persons"`
	Devices       int64  `json:"devices"`
	CreatedAt     int64  `json:"created_at"`
}

// Plan says what an organization's members get in the portal.
type Plan struct {
	Tickets   bool `json:"tickets"`
	OwnDevice bool `json:"own_device"`
	Assets    bool `json:"assets"`
}

func organizationOf(o account.Organization, licensed, devices int64) Organization {
	p := o.Has()
	return Organization{ID: string(o.ID), Name: o.Name, Provider: o.Provider, SupportPhone: o.SupportPhone, Plan: Plan{Tickets: p.Tickets, OwnDevice: p.OwnDevice, Assets: p.Assets},
		MembersSeeAll: o.MembersSeeAll, ProductName: o.ProductName, TrayTitle: o.TrayTitle, TimeZone: o.TimeZone, Licensed: licensed, Devices: devices, CreatedAt: micros(o.CreatedAt)}
}

// organizations registers what accounts do about organizations.
func (s *server) organizations() {
	type listOrganizationsInput struct {
		Query  string `query:"query" maxLength:"200" doc:"part of the name or of a mail domain"`
		Cursor string `query:"cursor" maxLength:"2000"`
		Limit  int    `query:"limit" minimum:"1" maximum:"500" default:"100"`
	}
	type organizationList struct {
		Organizations []Organization `json:"organizations"`
		Next          string         `json:"next" doc:"cursor of the next page; empty after the last"`
	}
	register(s, operation("list-organizations", http.MethodGet, "/organizations", "Organizations by name: those that you look after, or your own", http.StatusOK), func(ctx context.Context, in *listOrganizationsInput) (*body[organizationList], error) {
		rows, next, err := s.People.OrganizationPage(ctx, actorOf(ctx), people.OrganizationFilter{Query: in.Query, After: in.Cursor, Limit: in.Limit})
		out := organizationList{Organizations: []Organization{}, Next: next}
		for _, o := range rows {
			out.Organizations = append(out.Organizations, organizationOf(o.Organization, o.Licensed, o.Devices))
		}
		return &body[organizationList]{out}, err
	})
	type one struct {
		ID string `path:"id" maxLength:"36"`
	}
	get := func(ctx context.Context, id string) (*body[Organization], error) {
		v, err := s.People.OrganizationView(ctx, actorOf(ctx), account.OrganizationID(id))
		return &body[Organization]{organizationOf(v.Organization, v.Licensed, v.Devices)}, err
	}
	register(s, operation("get-organization", http.MethodGet, "/organizations/{id}", "One organization", http.StatusOK), func(ctx context.Context, in *one) (*body[Organization], error) {
		return get(ctx, in.ID)
	})
	type createOrganizationInput struct {
		Body struct {
			Name string `json:"name" maxLength:"200"`
		}
	}
	register(s, operation("create-organization", http.MethodPost, "/organizations", "Make an organization with the full plan", http.StatusCreated), func(ctx context.Context, in *createOrganizationInput) (*body[Organization], error) {
		o, err := s.People.CreateOrganization(ctx, actorOf(ctx), in.Body.Name)
		return &body[Organization]{organizationOf(o, 0, 0)}, err
	})
	type changeOrganizationInput struct {
		ID   string `path:"id" maxLength:"36"`
		Body struct {
			Name          *string   `json:"name,omitempty" maxLength:"200"`
			SupportPhone  *string   `json:"support_phone,omitempty" maxLength:"200"`
			Plan          *Plan     `json:"plan,omitempty"`
			ProductName   *string   `json:"product_name,omitempty" maxLength:"200"`
			TrayTitle     *string   `json:"tray_title,omitempty" maxLength:"200"`
			Domains       *[]string `json:"domains,omitempty" maxItems:"50"`
			MembersSeeAll *bool     `json:"members_see_all,omitempty"`
			TimeZone      *string   `json:"time_zone,omitempty" maxLength:"64"`
		}
	}
	register(s, operation("change-organization", http.MethodPatch, "/organizations/{id}", "Change an organization; what is not said stays", http.StatusOK), func(ctx context.Context, in *changeOrganizationInput) (*body[Organization], error) {
		b := in.Body
		n := people.OrganizationChange{Name: b.Name, SupportPhone: b.SupportPhone, ProductName: b.ProductName, TrayTitle: b.TrayTitle, Domains: b.Domains, MembersSeeAll: b.MembersSeeAll, TimeZone: b.TimeZone}
		if b.Plan != nil {
			n.Plan = &account.Plan{Tickets: b.Plan.Tickets, OwnDevice: b.Plan.OwnDevice, Assets: b.Plan.Assets}
		}
		if _, err := s.People.ChangeOrganization(ctx, actorOf(ctx), account.OrganizationID(in.ID), n); err != nil {
			return nil, err
		}
		return get(ctx, in.ID)
	})
}

// accounts registers what accounts do about other accounts.
func (s *server) accounts() {
	type listAccountsInput struct {
		Query        string `query:"query" maxLength:"200" doc:"beginnings of words of name and address"`
		Organization string `query:"organization" maxLength:"36" doc:"id"`
		Role         string `query:"role" enum:"requester,responsible,technician,administrator"`
		Directory    string `query:"directory" maxLength:"64" doc:"only accounts of the directory with this id; local: of none"`
		Cursor       string `query:"cursor" maxLength:"2000"`
		Limit        int    `query:"limit" minimum:"1" maximum:"500" default:"100"`
	}
	type accountList struct {
		Accounts []Account `json:"accounts"`
		Next     string    `json:"next" doc:"cursor of the next page; empty after the last"`
	}
	register(s, operation("list-accounts", http.MethodGet, "/accounts", "Accounts by name: those that you look after", http.StatusOK), func(ctx context.Context, in *listAccountsInput) (*body[accountList], error) {
		rows, next, err := s.People.AccountPage(ctx, actorOf(ctx), people.AccountFilter{Query: in.Query, Organization: account.OrganizationID(in.Organization), Role: account.Role(in.Role), Directory: account.DirectoryID(in.Directory), After: in.Cursor, Limit: in.Limit})
		out := accountList{Accounts: []Account{}, Next: next}
		for _, a := range rows {
			out.Accounts = append(out.Accounts, accountOf(a))
		}
		return &body[accountList]{out}, err
	})
}
