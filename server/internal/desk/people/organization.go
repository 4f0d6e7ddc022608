package people

import (
	"context"
	"encoding/base64"
	"errors"
	"slices"
	"strings"
	"time"

	"github.com/traybell/traybell/server/internal/account"
	"github.com/traybell/traybell/server/internal/desk"
	"github.com/traybell/traybell/server/internal/store"
)

// OrganizationFilter chooses organizations among those that the actor reaches.
type OrganizationFilter struct {
	Query string // part of the name or of a mail domain
	After string // cursor: OrganizationPage's next
	Limit int    // 1 to 500; default 50
}

// OrganizationRow is an organization in a list.
type OrganizationRow struct {
	account.Organization
	Licensed int64 // users that count
	Devices  int64
}

// OrganizationPage lists organizations by name, and the cursor of the next page, if there is one. Those who look
// after several see them; others see their own, without counts unless they see its people.
func (p *People) OrganizationPage(ctx context.Context, a desk.Actor, f OrganizationFilter) (list []OrganizationRow, next string, err error) {
	within, counted := a.Within(), a.May(account.PeopleView)
	if !counted {
		if a.Account == "" {
			return nil, "", desk.Fail(desk.ErrDenied)
		}
		within = []account.OrganizationID{a.Organization}
	}
	if f.Limit < 1 || f.Limit > 500 {
		f.Limit = 50
	}
	s := store.OrganizationFilter{Within: within, Query: strings.TrimSpace(f.Query), Limit: f.Limit + 1}
	if len(s.Query) > 200 {
		return nil, "", desk.Fail(desk.ErrInvalid)
	}
	after, id, err := cursorOf(f.After)
	if err != nil {
		return nil, "", err
	}
	s.After, s.AfterID = after, account.OrganizationID(id)
	err = p.o.Read(ctx, func(tx store.Tx) error {
		list, next = nil, ""
		page, err := tx.OrganizationPage(s)
		if err != nil {
			return err
		}
		if len(page) > f.Limit {
			page = page[:f.Limit]
			last := page[f.Limit-1]
			next = cursor(last.Name, string(last.ID))
		}
		var ids []account.OrganizationID
		for _, o := range page {
			if counted {
				ids = append(ids, o.ID)
			}
		}
		licensed, err := tx.CountLicensed(ids...)
		if err != nil {
			return err
		}
		devices, err := tx.CountDevices(ids...)
		if err != nil {
			return err
		}
		for _, o := range page {
			list = append(list, OrganizationRow{Organization: o, Licensed: licensed[o.ID], Devices: devices[o.ID]})
		}
		return nil
	})
	return list, next, err
}

// cursor is where a page by name ends.
func cursor(name, id string) string {
	return base64.RawURLEncoding.EncodeToString([]byte(id + "/" + store.SortKey(name)))
}

func cursorOf(s string) (sort, id string, err error) {
	if s == "" {
		return "", "", nil
	}
	b, err := base64.RawURLEncoding.DecodeString(s)
	id, sort, ok := strings.Cut(string(b), "/")
	if err != nil || !ok || len(s) > 2000 || id == "" {
		return "", "", desk.Fail(desk.ErrInvalid)
	}
	return sort, id, nil
}

// OrganizationView is one organization with all that its page shows.
type OrganizationView struct {
	account.Organization
	Domains     []string
	Licensed    int64
	Devices     int64
	Responsible []account.Account // enabled ones
	Absences    []Absence         // that are not over
	Speaks      map[account.ID]account.ID
	Today       account.Day // in its time zone
	Manage      bool        // the actor may change how its people work together
	Sell        bool        // the actor may change name, plan, domains and brand
}

// Absence is an absence with its people.
type Absence struct {
	account.Absence
	Name, DeputyName string
}

// zoneOf is the time zone of an organization.
func zoneOf(o account.Organization) *time.Location {
	z, err := time.LoadLocation(o.TimeZone) // empty: UTC
	if err != nil || o.TimeZone == "Local" {
		return time.UTC
	}
	return z
}

// manages reports whether the actor may change how the people of an organization work together.
func manages(a desk.Actor, o account.OrganizationID) bool {
	return a.MayIn(account.OrganizationsManage, o)
}

// sells reports whether the actor may also change what an organization has bought and how it looks: that
// is for the provider's side, not for the customer's own responsible person.
func sells(a desk.Actor, o account.OrganizationID) bool {
	return manages(a, o) && (a.System || a.Role.Staff())
}

// visible loads an organization that the actor may look at.
func visible(tx store.Tx, a desk.Actor, id account.OrganizationID) (account.Organization, error) {
	if !a.MayIn(account.PeopleView, id) {
		return account.Organization{}, store.ErrNotFound
	}
	return tx.Organization(id)
}

// OrganizationView loads one organization for its page.
func (p *People) OrganizationView(ctx context.Context, a desk.Actor, id account.OrganizationID) (v OrganizationView, err error) {
	now := p.o.Time()
	err = p.o.Read(ctx, func(tx store.Tx) error {
		o, err := visible(tx, a, id)
		if err != nil {
			return err
		}
		v = OrganizationView{Organization: o, Today: account.DayIn(zoneOf(o), now), Manage: manages(a, id), Sell: sells(a, id)}
		if v.Domains, err = tx.Domains(id); err != nil {
			return err
		}
		licensed, err := tx.CountLicensed(id)
		if err != nil {
			return err
		}
		devices, err := tx.CountDevices(id)
		if err != nil {
			return err
		}
		v.Licensed, v.Devices = licensed[id], devices[id]
		if v.Responsible, err = tx.Responsible(id); err != nil {
			return err
		}
		absences, err := tx.Absences(id, v.Today)
		if err != nil {
			return err
		}
		var who []account.ID
		names := map[account.ID]string{}
		for _, r := range v.Responsible {
			who = append(who, r.ID)
			names[r.ID] = r.Name
		}
		v.Speaks = account.StandIns(who, absences, v.Today)
		for _, b := range absences {
			for _, id := range []account.ID{b.Account, b.Deputy} {
				if names[id] == "" {
					k, err := tx.Account(id)
					if err != nil {
						return err
					}
					names[id] = k.Name
				}
			}
			v.Absences = append(v.Absences, Absence{Absence: b, Name: names[b.Account], DeputyName: names[b.Deputy]})
		}
		return nil
	})
	return v, err
}

// Home is the organization whose member the actor is, with the brand and plan that their pages follow. For
// staff it is the provider.
func (p *People) Home(ctx context.Context, a desk.Actor) (o account.Organization, err error) {
	err = p.o.Read(ctx, func(tx store.Tx) error {
		if a.Role.Staff() || a.Organization == "" {
			o, err = tx.Provider()
			return err
		}
		o, err = tx.Organization(a.Organization)
		return err
	})
	return o, err
}

// Provider is the organization that runs the server.
func (p *People) Provider(ctx context.Context) (o account.Organization, err error) {
	err = p.o.Read(ctx, func(tx store.Tx) error { o, err = tx.Provider(); return err })
	return o, err
}

// CreateOrganization makes a customer with the full plan.
func (p *People) CreateOrganization(ctx context.Context, a desk.Actor, name string) (account.Organization, error) {
	return p.CreateOrganizationFrom(ctx, a, name, "")
}

func organizationRef(id account.OrganizationID) string { return "organization:" + string(id) }

// OrganizationChange says what changes of an organization; nil fields stay.
type OrganizationChange struct {
	// for the provider's side
	Name         *string
	SupportPhone *string
	Plan         *account.Plan
	ProductName  *string
	TrayTitle    *string
	Domains      *[]string
	// for its responsible persons, too
	MembersSeeAll *bool
	TimeZone      *string
}

func (n OrganizationChange) sells() bool {
	return n.Name != nil || n.SupportPhone != nil || n.Plan != nil || n.ProductName != nil || n.TrayTitle != nil || n.Domains != nil
}

// optional checks a name that may be empty.
func optional(s string) (string, error) {
	if strings.TrimSpace(s) == "" {
		return "", nil
	}
	return account.CheckName(s)
}

// ChangeOrganization changes an organization. The devices of the organization learn of a new name, phone or
// title in the tray when their links come up the next time.
func (p *People) ChangeOrganization(ctx context.Context, a desk.Actor, id account.OrganizationID, n OrganizationChange) (o account.Organization, err error) {
	if n.Domains != nil {
		var list []string
		for _, d := range *n.Domains {
			if strings.TrimSpace(d) == "" {
				continue
			}
			d, err := account.CheckDomain(d)
			if err != nil {
				return o, desk.Fail(err)
			}
			list = append(list, d)
		}
		slices.Sort(list)
		list = slices.Compact(list)
		if len(list) > account.MaxDomains {
			return o, desk.Refuse(desk.ErrInvalid, "domains_many")
		}
		n.Domains = &list
	}
	if n.TimeZone != nil && *n.TimeZone != "" {
		if _, err := time.LoadLocation(*n.TimeZone); err != nil || *n.TimeZone == "Local" || len(*n.TimeZone) > 64 {
			return o, desk.Fail(account.ErrZone)
		}
	}
	err = p.o.Change(ctx, a, func(c *desk.Change) error {
		if o, err = visible(c.Tx, a, id); err != nil {
			return err
		}
		if !manages(a, id) || n.sells() && !sells(a, id) {
			return desk.ErrDenied
		}
		before, detail := o, map[string]any{}
		if n.Name != nil {
			if o.Name, err = account.CheckName(*n.Name); err != nil {
				return err
			}
			if o.Name != before.Name {
				if _, err := c.OrganizationByName(o.Name); !errors.Is(err, store.ErrNotFound) {
					if err == nil {
						err = desk.Refuse(desk.ErrConflict, "organization_taken")
					}
					return err
				}
				detail["was"] = before.Name
			}
		}
		for _, t := range []struct {
			to    *string
			value *string
			check func(string) (string, error)
			word  string
		}{{&o.SupportPhone, n.SupportPhone, optional, "phone"}, {&o.ProductName, n.ProductName, optional, "product_name"}, {&o.TrayTitle, n.TrayTitle, account.CheckTrayTitle, "tray_title"}} {
			if t.value == nil {
				continue
			}
			v, err := t.check(*t.value)
			if err != nil {
				return err
			}
			if v != *t.to {
				*t.to = v
				detail[t.word] = v
			}
		}
		if n.Plan != nil && *n.Plan != o.Plan {
			if o.Provider {
				return account.ErrProvider
			}
			o.Plan = *n.Plan
			detail["plan"] = map[string]bool{"tickets": o.Plan.Tickets, "own_device": o.Plan.OwnDevice, "assets": o.Plan.Assets}
		}
		if n.MembersSeeAll != nil && *n.MembersSeeAll != o.MembersSeeAll {
			o.MembersSeeAll = *n.MembersSeeAll
			detail["members_see_all"] = o.MembersSeeAll
		}
		if n.TimeZone != nil && *n.TimeZone != o.TimeZone {
			o.TimeZone = *n.TimeZone
			detail["time_zone"] = o.TimeZone
		}
		if n.Domains != nil {
			was, err := c.Domains(id)
			if err != nil {
				return err
			}
			if !slices.Equal(was, *n.Domains) {
				for _, d := range *n.Domains {
					switch other, err := c.OrganizationByDomain(d); {
					case err == nil && other.ID != id:
						return desk.Refuse(desk.ErrConflict, "domain_taken")
					case err != nil && !errors.Is(err, store.ErrNotFound):
						return err
					}
				}
				if err := c.SetDomains(id, *n.Domains); err != nil {
					return err
				}
				detail["domains"] = *n.Domains
			}
		}
		if o == before && len(detail) == 0 {
			return nil
		}
		if err := c.SaveOrganization(o); err != nil {
			return err
		}
		o.Version++
		return c.Record("organization.changed", organizationRef(id), o.Name, detail)
	})
	return o, err
}

// AddAbsence names a deputy for a responsible person, from one day to another. A responsible person does it for
// everybody of their organization.
func (p *People) AddAbsence(ctx context.Context, a desk.Actor, b account.Absence) error {
	now := p.o.Time()
	return p.o.Change(ctx, a, func(c *desk.Change) error {
		o, err := visible(c.Tx, a, b.Organization)
		if err != nil {
			return err
		}
		if !manages(a, o.ID) {
			return desk.ErrDenied
		}
		who, err := c.Account(b.Account)
		if err != nil {
			return err
		}
		deputy, err := c.Account(b.Deputy)
		if errors.Is(err, store.ErrNotFound) {
			return account.ErrDeputy
		}
		if err != nil {
			return err
		}
		if err := account.CheckAbsence(b, who, deputy, account.DayIn(zoneOf(o), now)); err != nil {
			return err
		}
		b.ID = c.NewID()
		if err := c.InsertAbsence(b); err != nil {
			return err
		}
		return c.Record("deputy.named", ref(who.ID), who.Name, map[string]any{"deputy": deputy.ID, "from": b.From, "to": b.To, "absence": b.ID})
	})
}

// DropAbsence takes an absence back.
func (p *People) DropAbsence(ctx context.Context, a desk.Actor, o account.OrganizationID, id string) error {
	return p.o.Change(ctx, a, func(c *desk.Change) error {
		if _, err := visible(c.Tx, a, o); err != nil {
			return err
		}
		if !manages(a, o) {
			return desk.ErrDenied
		}
		if err := c.DeleteAbsence(o, id); err != nil {
			if errors.Is(err, store.ErrStale) {
				return store.ErrNotFound
			}
			return err
		}
		return c.Record("deputy.taken_back", organizationRef(o), "", map[string]any{"absence": id})
	})
}

// StandIn raises a requester to a responsible person on the days on which they are somebody's deputy, and names for
// whom they stand. The account's own role stays what it is.
func standIn(tx store.Tx, a account.Account, now time.Time) (account.Account, []account.ID, error) {
	if a.Role != account.Requester && a.Role != account.Responsible {
		return a, nil, nil
	}
	// A day is not over everywhere before it is over twelve hours west of Greenwich.
	named, err := tx.Deputises(a.ID, account.DayIn(time.UTC, now.Add(-12*time.Hour)))
	if err != nil || !named {
		return a, nil, err
	}
	o, err := tx.Organization(a.Organization)
	if err != nil {
		return a, nil, err
	}
	today := account.DayIn(zoneOf(o), now)
	responsible, err := tx.Responsible(o.ID)
	if err != nil {
		return a, nil, err
	}
	absences, err := tx.Absences(o.ID, today)
	if err != nil {
		return a, nil, err
	}
	var who []account.ID
	for _, r := range responsible {
		who = append(who, r.ID)
	}
	var of []account.ID
	for r, by := range account.StandIns(who, absences, today) {
		if by == a.ID && r != a.ID {
			of = append(of, r)
		}
	}
	if len(of) > 0 {
		slices.Sort(of)
		a.Role, a.OwnRole, a.OwnRights = account.Responsible, "", 0
	}
	return a, of, nil
}
