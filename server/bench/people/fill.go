//go:build linux

package main

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"strings"
	"time"

	"github.com/traybell/traybell/server/internal/account"
	"github.com/traybell/traybell/server/internal/device"
	"github.com/traybell/traybell/server/internal/servertest"
	"github.com/traybell/traybell/server/internal/store"
	"github.com/traybell/traybell/server/internal/ticket"
	"github.com/traybell/traybell/shared/api"
	"github.com/traybell/traybell/shared/link"
)

// size is how much there is.
type size struct{ organizations, accounts, tickets, devices, entries int }

// world is what the pages ask for.
type world struct {
	big    account.Organization // with 500 members
	person account.ID
	emails []string // of the accounts; all have the same password
}

var (
	given  = strings.Fields("Maria Marco Anna Luca Giulia Paolo Sara Andrea Chiara Matteo Elena Davide Laura Simone Paola Stefano Marta Roberto Silvia Antonio Hans Ursula Peter Sabine Klaus Monika Jürgen Petra Wolfgang Renate Stefan Birgit Uwe Karin Dieter Heike Jens Anja Olaf Svenja Иван Ольга Пётр Анна Сергей Елена Дмитрий Наталья Алексей Татьяна John Mary Robert Linda Michael Susan David Karen Thomas Nancy")
	family = strings.Fields("Rossi Russo Ferrari Esposito Bianchi Romano Colombo Ricci Marino Greco Bruno Gallo Conti Mancini Costa Giordano Rizzo Lombardi Moretti Barbieri Müller Schmidt Schneider Fischer Weber Meyer Wagner Becker Schulz Hoffmann Koch Bauer Richter Klein Wolf Schröder Neumann Schwarz Zimmermann Braun Иванов Петров Сидоров Смирнов Кузнецов Попов Васильев Соколов Михайлов Новиков Smith Johnson Williams Brown Jones Miller Davis Wilson Anderson Taylor Verdi")
	kinds  = strings.Fields("Studio Officina Farmacia Bäckerei Kanzlei Werkstatt Практика Склад Garage Clinic Hotel Libreria Autohaus Praxis Agency Cantina Druckerei Gärtnerei Caffè School")
	trades = []string{"Stampante bloccata", "Outlook startet nicht", "VPN drops every hour", "Нет звука", "Password scaduta", "Bildschirm bleibt schwarz", "Cannot open the shared folder", "La stampante stampa vuoto"}
)

// apart are two names that are frequent, and that nobody has both of.
const apart = "maria+zimmermann"

const batch = 5000

// fill stores everything in transactions of some thousand rows.
func fill(ctx context.Context, s *servertest.Server, n size, admin account.Account) (*world, error) {
	now := time.Now()
	w := &world{}
	at := func(i, of int) time.Time {
		return now.Add(-time.Duration(of-i) * 30 * 24 * time.Hour / time.Duration(of))
	} // over a month
	chunks := func(n int, f func(tx store.Tx, i int) error) error {
		for from := 0; from < n; from += batch {
			if err := s.Store.Write(ctx, func(tx store.Tx) error {
				for i := from; i < min(from+batch, n); i++ {
					if err := f(tx, i); err != nil {
						return err
					}
				}
				return nil
			}); err != nil {
				return err
			}
		}
		return nil
	}
	var password string
	if err := s.Store.Read(ctx, func(tx store.Tx) error {
		a, err := tx.Account(admin.ID)
		password = a.Password
		return err
	}); err != nil {
		return nil, err
	}

	organizations := make([]account.Organization, n.organizations)
	tld := []string{"it", "de", "ru", "com"}
	if err := chunks(n.organizations, func(tx store.Tx, i int) error {
		o := account.Organization{ID: account.OrganizationID(api.NewID(now)), Name: fmt.Sprintf("%s %s %d", kinds[i%len(kinds)], family[i/len(kinds)%len(family)], i), CreatedAt: at(i, n.organizations)}
		organizations[i] = o
		if err := tx.InsertOrganization(o); err != nil {
			return err
		}
		return tx.SetDomains(o.ID, []string{fmt.Sprintf("kunde%d.%s", i, tld[i%len(tld)])})
	}); err != nil {
		return nil, err
	}
	w.big = organizations[0]

	// The first organization has 500 members, the others share the rest evenly.
	of := func(i int) int {
		if i < 500 || n.organizations == 1 {
			return 0
		}
		return 1 + i%(n.organizations-1)
	}
	accounts := make([]account.Account, n.accounts)
	w.emails = make([]string, n.accounts)
	if err := chunks(n.accounts, func(tx store.Tx, i int) error {
		first, last := given[i%len(given)], family[i/len(given)%len(family)]
		if first == "Maria" && last == "Zimmermann" {
			last = "Rossi"
		}
		o := of(i)
		role := account.Requester
		switch {
		case i%50 == 7:
			role = account.Responsible
		case i%2000 == 11:
			role = account.Technician
		}
		a := account.Account{ID: account.ID(api.NewID(now)), Organization: organizations[o].ID, Email: fmt.Sprintf("%s.%d@kunde%d.%s", strings.ToLower(ascii(last)), i, o, tld[o%len(tld)]), Name: first + " " + last,
			Language: "it", Role: role, Password: password, RegisteredAt: at(i, n.accounts), CreatedAt: at(i, n.accounts)}
		accounts[i], w.emails[i] = a, a.Email
		if err := tx.InsertAccount(a); err != nil {
			return err
		}
		return tx.InsertFactor(account.Factor{ID: api.NewID(now), Account: a.ID, Kind: account.App, Secret: "-", CreatedAt: a.CreatedAt})
	}); err != nil {
		return nil, err
	}
	w.person = accounts[300].ID

	devices := make([]device.ID, n.devices)
	systems := []struct{ os, id, version, name string }{{"linux", "debian", "12", "Debian GNU/Linux 12 (bookworm)"}, {"linux", "ubuntu", "24.04", "Ubuntu 24.04 LTS"}, {"windows", "windows", "22631", "Windows 11 Pro"}, {"windows", "windows", "19045", "Windows 10 Pro"}, {"linux", "debian", "10", "Debian GNU/Linux 10 (buster)"}}
	if err := chunks(n.devices, func(tx store.Tx, i int) error {
		key := sha256.Sum256([]byte(fmt.Sprint("bench", i)))
		sys := systems[i%len(systems)]
		f := link.Facts{Hostname: fmt.Sprintf("pc-%05d", i), OS: sys.os, OSID: sys.id, OSVersion: sys.version, OSName: sys.name, Arch: "amd64", Agent: "0.1.0", MachineID: hex.EncodeToString(key[:]), CPU: "Intel Core i5", CPUs: 8, MemoryMB: 16000, DiskMB: 500000, FreeMB: int64(i%500) * 1000,
			Disks: []link.Disk{{Path: "/", SizeMB: 500000, FreeMB: int64(i%500) * 1000}}, Addresses: []string{"192.0.2.17", "2001:db8::17"}, Users: []link.User{{ID: "1000", Name: "lucia", Display: "Lucia Rossi", State: "active", Desktop: "x11"}}, Can: []string{"desktop", "control", "terminal"}}
		devices[i] = device.ID(api.NewID(now))
		o := organizations[0]
		if i >= 100 {
			o = organizations[i%n.organizations]
		}
		return tx.InsertDevice(device.Device{ID: devices[i], Organization: o.ID, Name: f.Hostname, LinkKey: key[:], GrantKey: key[:], Facts: f, EnrolledAt: at(i, n.devices)})
	}); err != nil {
		return nil, err
	}

	statuses := []ticket.Status{ticket.New, ticket.Open, ticket.Waiting, ticket.Closed, ticket.Closed, ticket.Closed, ticket.Closed, ticket.Resolved}
	severities := []api.Severity{"low", "medium", "medium", "high"}
	if err := chunks(n.tickets, func(tx store.Tx, i int) error {
		a := accounts[(i*37)%n.accounts]
		title := trades[i%len(trades)]
		number, err := tx.NextTicketNumber()
		if err != nil {
			return err
		}
		when := at(i, n.tickets)
		k := ticket.Ticket{ID: ticket.ID(api.NewID(when)), Number: number, Organization: a.Organization, Subject: "Help request / " + title, Title: title, Text: "Da stamattina non funziona più. " + title + ", e domani devo consegnare.", Severity: severities[i%len(severities)], Status: statuses[i%len(statuses)],
			Requester: ticket.Contact{Account: a.ID, Name: a.Name, Email: a.Email, Confirmed: true}, Device: devices[i%n.devices], Language: "it", Source: ticket.FromPortal, CreatedAt: when, UpdatedAt: when}
		if err := tx.InsertTicket(k, ""); err != nil {
			return err
		}
		return tx.IndexTicket(k, nil)
	}); err != nil {
		return nil, err
	}

	actions := []string{"account.signed_in", "account.signed_in", "account.changed", "ticket.filed"}
	if err := chunks(n.entries, func(tx store.Tx, i int) error {
		a := accounts[(i*13)%n.accounts]
		when := at(i, n.entries)
		who := "account:" + string(a.ID)
		if err := tx.SetAuditName(who, a.Name); err != nil {
			return err
		}
		return tx.AddEntry(store.Entry{ID: api.NewID(when), At: when, Actor: who, ActingFor: who, Organization: a.Organization, Via: "portal", Address: "192.0.2.7", Action: actions[i%len(actions)], Object: who, Detail: "{}"})
	}); err != nil {
		return nil, err
	}
	return w, nil
}

// ascii makes a family name fit for an address.
func ascii(s string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case r < 128:
			return r
		case r >= 'А' && r <= 'я':
			return 'a' + (r-'А')%26
		}
		return 'e'
	}, s)
}

// settle waits until the log is chained, so that it is not chained while pages are measured.
func (w *world) settle(ctx context.Context, s *servertest.Server) error {
	tick := time.NewTicker(200 * time.Millisecond)
	defer tick.Stop()
	for range tick.C {
		var left []store.Entry
		if err := s.Store.Read(ctx, func(tx store.Tx) (err error) { left, err = tx.UnchainedEntries(1); return err }); err != nil {
			return err
		}
		if len(left) == 0 {
			return nil
		}
	}
	return nil
}
