package sample

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"runtime"
	"strings"
	"time"

	"github.com/traybell/traybell/server/internal/access"
	"github.com/traybell/traybell/server/internal/account"
	"github.com/traybell/traybell/server/internal/desk"
	deskmail "github.com/traybell/traybell/server/internal/desk/mail"
	"github.com/traybell/traybell/server/internal/desk/people"
	deskticket "github.com/traybell/traybell/server/internal/desk/ticket"
	"github.com/traybell/traybell/server/internal/device"
	"github.com/traybell/traybell/server/internal/ticket"
	"github.com/traybell/traybell/shared/api"
	"github.com/traybell/traybell/shared/grant"
	"github.com/traybell/traybell/shared/link"
)

// The people of the sample, by their address.
const (
	Anna  = "a.bianchi@rossi-it.example"  // administrator
	Marco = "m.conti@rossi-it.example"    // technician
	Lucia = "l.rossi@studioverdi.example" // requester
	Carla = "c.neri@studioverdi.example"  // responsible person
	Otto  = "o.weber@weber-bau.example"   // requester of another customer
)

// Filled names what a sample holds.
type Filled struct {
	Ticket     int64 // with a long thread
	FromDevice int64 // filed in the tray, with what was sent with it
	Foreign    int64 // of another customer
	Device     string
	Offline    string
	Asking     string // sessions, by what they show
	Locked     string
	Nobody     string
	Refused    string
	Ended      string
	Connected  string
	ViewOnly   string
	Colleague  string // the device of a colleague
	Directory  string
	Approval   string // that waits for the responsible person
	Person     string // Lucia's account
	Customer   string // Lucia's organization
}

// Fill makes people, devices, tickets and visits.
func (p *Portal) Fill(ctx context.Context) (f Filled, err error) {
	must := func(e error) {
		if e != nil && err == nil {
			_, _, at, _ := runtime.Caller(1)
			err = fmt.Errorf("line %d: %w", at, e)
		}
	}
	f.Directory = api.NewID(time.Now())
	p.clock.ago(20 * 24 * time.Hour)
	step, err := p.People.FirstAdministrator(ctx, p.FirstToken, "Rossi IT", people.NewAccount{Email: Anna, Name: "Anna Bianchi", Password: Password, Language: "en", Address: "192.0.2.7", UserAgent: "Mozilla/5.0 (Windows NT 10.0; Win64; x64) Firefox/147.0"})
	if err != nil {
		return f, err
	}
	anna, err := p.finish(ctx, step)
	if err != nil {
		return f, err
	}
	make := func(email, name, organization string, r account.Role) desk.Actor {
		a, e := p.account(ctx, anna, email, name, organization, r)
		must(e)
		return a
	}
	marco := make(Marco, "Marco Conti", "", account.Technician)
	lucia := make(Lucia, "Lucia Rossi", "Studio Verdi", account.Requester)
	make(Carla, "Carla Neri", "Studio Verdi", account.Responsible)
	f.Person, f.Customer = string(lucia.Account), string(lucia.Organization)
	otto := make(Otto, "Otto Weber-Hoffmannstein", "Weber Bau und Ingenieurgesellschaft", account.Requester)

	ldap, search := account.LDAPPresets["openldap"], "Search-Account-1"
	ldap.Server, ldap.BindDN, ldap.Base = "ldap.studioverdi.example", "cn=traybell,dc=studioverdi,dc=example", "dc=studioverdi,dc=example"
	_, e := p.People.SaveDirectory(ctx, desk.System(), account.Directory{ID: account.DirectoryID(f.Directory), Kind: account.LDAP, Name: "Studio Verdi", Organization: lucia.Organization, Domains: []string{"studioverdi.example"},
		Enabled: true, Create: true, DefaultRole: account.Requester, Rules: []account.RoleRule{{Group: "office managers", Role: account.Responsible}}, LDAP: ldap}, &search)
	must(e)
	_, e = p.People.SaveDirectory(ctx, desk.System(), account.Directory{ID: account.DirectoryID(api.NewID(p.clock.now())), Kind: account.OIDC, Name: "Weber Bau", Organization: otto.Organization, Domains: []string{"weber-bau.example", "weber.example"},
		Enabled: true, Button: true, Create: true, DefaultRole: account.Requester, OIDC: account.OIDCSettings{Issuer: p.URL + "/realms/staff", ClientID: "traybell", CA: p.pem}}, &search)
	must(e)

	can := []string{"desktop", "control", "terminal"}
	brings := func(organization, name, os, user, display, state string, online bool) *seat {
		facts := link.Facts{Hostname: name, OS: "linux", OSName: os, Arch: "amd64", Agent: "0.1.0", CPUs: 8, MemoryMB: 15_900, DiskMB: 476_000, FreeMB: 181_000, Addresses: []string{"192.168.20.114"}, Can: can}
		facts.BootAt, facts.Restart, facts.CPU = p.clock.now().Add(-50*time.Hour).UnixMicro(), "no", "AMD Ryzen 5 PRO 4650G"
		for prefix, is := range map[string][3]string{"Debian GNU/Linux 12": {"debian", "12", "6.1.0-40-amd64"}, "Windows 11 Pro 24H2": {"windows", "26100", "26100"},
			"Ubuntu 26.04": {"ubuntu", "26.04", "7.0.0-14-generic"}, "Fedora Linux 43": {"fedora", "43", "6.17.1-300.fc43"}} {
			if strings.HasPrefix(os, prefix) {
				facts.OSID, facts.OSVersion, facts.OSBuild = is[0], is[1], is[2]
			}
		}
		facts.Disks = []link.Disk{{Path: "/", SizeMB: 476_000, FreeMB: 181_000}}
		if name == "SRV-DOCS" {
			facts.Disks, facts.Restart = append(facts.Disks, link.Disk{Path: "/srv", SizeMB: 1_900_000, FreeMB: 84_000}), "yes"
		}
		if user != "" {
			facts.Users = []link.User{{ID: "1000", Name: user, Display: display, State: state, Desktop: "x11"}}
		}
		if state == "locked" || user == "" {
			facts.Can, facts.Cannot = []string{"terminal"}, []string{"no_desktop"}
		}
		s, e := p.enrol(ctx, anna, organization, facts, online)
		must(e)
		return s
	}
	pc := brings("Studio Verdi", "PC-114", "Debian GNU/Linux 12", "lucia", "Lucia Rossi", "active", true)
	locked := brings("Studio Verdi", "PC-108", "Windows 11 Pro 24H2", "dferri", "Davide Ferri", "active", true)
	server := brings("Studio Verdi", "SRV-DOCS", "Debian GNU/Linux 12", "", "", "", true)
	away := brings("Weber Bau und Ingenieurgesellschaft", "NB-WEBER-BAULEITUNG-02", "Ubuntu 26.04 LTS", "otto", "Otto Weber-Hoffmannstein", "active", false)
	other := brings("Weber Bau und Ingenieurgesellschaft", "WS-CAD-1", "Fedora Linux 43", "greta", "Greta Weber", "active", true)
	if err != nil {
		return f, err
	}
	f.Device, f.Offline, f.Colleague = string(pc.id), string(away.id), string(locked.id)
	_ = server
	links := func(a desk.Actor, s *seat, confirmed bool) {
		w, code, e := p.Devices.StartOwner(ctx, a)
		must(e)
		_, e = p.Devices.ClaimOwner(ctx, s.id, api.OwnerClaim{Code: code, UserID: "1000", User: s.user().Name})
		must(e)
		if confirmed {
			_, e = p.Devices.ConfirmOwner(ctx, a, w.ID)
			must(e)
		}
	}
	p.clock.ago(9 * 24 * time.Hour)
	links(lucia, pc, true)

	files := func(ago time.Duration, s *seat, email, name, title, text string, sev api.Severity) ticket.ID {
		p.clock.ago(ago)
		t := api.DeviceTicket{ID: api.NewID(p.clock.now()), Title: title, Text: text, Severity: sev, Email: email, Name: name, Phone: "051 765 4321", OSUser: s.user().Name, OSUserID: "1000", Language: "en", MadeAt: p.clock.now().UnixMicro()}
		t.Facts = []api.Fact{{Name: "Computer", Value: s.facts.Hostname}, {Name: "System", Value: s.facts.OSName}, {Name: "Printer", Value: "HP-2F: 4 jobs waiting"}, {Name: "Network", Value: "192.168.20.114, wired"}}
		_, e := p.Tickets.FileFromDevice(ctx, s.id, t)
		must(e)
		return ticket.ID(t.ID)
	}
	writes := func(ago time.Duration, a desk.Actor, s *seat, title, text string, sev api.Severity) ticket.ID {
		p.clock.ago(ago)
		k, e := p.Tickets.Create(ctx, a, deskticket.Draft{Title: title, Text: text, Severity: sev, Device: s.id})
		must(e)
		return k.ID
	}
	moves := func(ago time.Duration, a desk.Actor, id ticket.ID, to ticket.Status, reason string) {
		p.clock.ago(ago)
		m := ticket.Move{To: to, Reason: reason}
		if to == ticket.Paused {
			m.Until = p.clock.now().AddDate(0, 0, 15)
		}
		must(p.Tickets.Move(ctx, a, id, m))
	}
	says := func(ago time.Duration, a desk.Actor, id ticket.ID, text string) {
		p.clock.ago(ago)
		_, e := p.Tickets.Answer(ctx, a, id, text)
		must(e)
	}
	takes := func(ago time.Duration, a desk.Actor, id ticket.ID) {
		p.clock.ago(ago)
		must(p.Tickets.Take(ctx, a, id))
	}
	const day, hour, minute = 24 * time.Hour, time.Hour, time.Minute

	p.clock.ago(14 * day)
	p.deskSetUp(ctx, anna, marco, must)
	old := files(13*day, pc, Lucia, "Lucia Rossi", "HP-2F prints with a grey shadow", "Since Monday.", api.Low)
	takes(13*day-hour, marco, old)
	p.clock.ago(13*day - 2*hour)
	pc.expect(link.AskAllowed, "")
	past, e := p.Access.Ask(ctx, marco, pc.id, old, []grant.Scope{grant.View, grant.Control, grant.Terminal})
	must(e)
	p.opened(ctx, marco, past.ID, must)
	p.clock.ago(13*day - 2*hour - 19*minute)
	must(p.Access.Leave(ctx, marco, past.ID, access.Solved))
	f.Ended = string(past.ID)
	moves(13*day-3*hour, marco, old, ticket.Closed, "")

	outlook := writes(6*day, lucia, pc, "Outlook asks for the password again and again", "", api.Medium)
	takes(6*day-hour, anna, outlook)
	moves(5*day, anna, outlook, ticket.Resolved, "")
	fuser := writes(5*day, lucia, pc, "Replace the fuser unit in HP-2F", "The spare part is ordered.", api.Low)
	takes(5*day-hour, marco, fuser)
	moves(4*day, marco, fuser, ticket.Paused, "spare part")
	signature := files(4*day, locked, "d.ferri@studioverdi.example", "Davide Ferri", "Digital signature has expired on the tax portal", "", api.High)
	takes(4*day-hour, marco, signature)
	moves(3*day, marco, signature, ticket.Waiting, "")
	folder := writes(26*hour, lucia, pc, "Access to the folder Accounting for D. Ferri", "He needs it from Monday on.", api.Low)
	takes(25*hour, anna, folder)
	p.clock.ago(25 * hour)
	asked, e := p.Tickets.AskApproval(ctx, anna, folder, ticket.Permission, ticket.Requested{What: "Shared folder Accounting on SRV-DOCS: none → read and change", For: "Davide Ferri", Email: "d.ferri@studioverdi.example", Reason: "He takes over the invoices from Monday on.", EndsOn: p.clock.now().AddDate(0, 1, 0).Format(time.DateOnly)})
	must(e)
	f.Approval = asked.ID
	files(3*hour, other, "g.weber@weber-bau.example", "Greta Weber", "Everything is encrypted: file names end in .lockd and a note asks for money on every drive of the server", "We have pulled the network cable.", api.Critical)
	foreign := files(2*hour, away, Otto, "Otto Weber-Hoffmannstein", "CAD licence server can't be reached", "", api.High)
	mouse := p.withFile(ctx, 90*minute, pc, must)
	writes(80*minute, lucia, pc, "Second monitor for the reception", "", api.Low)

	printer := writes(58*minute, lucia, pc, "Printer on the 2nd floor prints blank pages", "Since this morning every page comes out white, from Word and from the browser. The printer shows no error. I switched it off and on once.", api.Medium)
	_, e = p.Tickets.Attach(ctx, lucia, printer, "blank-page.png", "image/png", strings.NewReader("\x89PNG\r\n\x1a\n"+strings.Repeat("blank page ", 21_800)))
	must(e)
	says(44*minute, anna, printer, "Thank you, Lucia. Please print the printer’s own test page: Settings › Reports › Print quality. If that one is white too, the fault is in the printer and not in your computer.\n\nYou can leave everything as it is and answer here.")
	takes(44*minute, anna, printer)
	p.clock.ago(38 * minute)
	_, e = p.Tickets.Note(ctx, marco, printer, "HP-2F had the same on 3 November: the fuser was near its end, the spare part comes on 3 December. Before that, check the driver: it was replaced last night on three PCs.")
	must(e)
	says(30*minute, lucia, printer, "The test page is fine, with all colours. So it is the computer? I am at my desk until half past five and you may connect.")
	p.clock.ago(20 * minute)
	_, e = p.Tickets.BookTime(ctx, anna, printer, 14, "test page, driver", true, time.Time{})
	must(e)
	p.clock.ago(0)
	v, e := p.Tickets.Get(ctx, anna, printer)
	must(e)
	f.Ticket = v.Ticket.Number
	v, e = p.Tickets.Get(ctx, anna, mouse)
	must(e)
	f.FromDevice = v.Ticket.Number
	v, e = p.Tickets.Get(ctx, anna, foreign)
	must(e)
	f.Foreign = v.Ticket.Number
	if err != nil {
		return f, err
	}

	asks := func(s *seat, who desk.Actor, id ticket.ID, state, why string, scopes ...grant.Scope) string {
		s.expect(state, why)
		se, e := p.Access.Ask(ctx, who, s.id, id, scopes)
		if e != nil {
			must(fmt.Errorf("ask: %w", e))
		}
		return string(se.ID)
	}
	f.Refused = asks(pc, marco, printer, link.AskRefused, "no")
	f.Locked = asks(locked, anna, signature, link.AskLocked, "")
	f.Nobody = asks(server, anna, "", link.AskNobody, "", grant.Terminal)
	f.Asking = asks(other, anna, "", link.AskShown, "")
	f.ViewOnly = asks(locked, marco, signature, link.AskAllowed, "", grant.View)
	f.Connected = asks(pc, anna, printer, link.AskAllowed, "", grant.View, grant.Control, grant.Terminal)
	return f, err
}

// opened notes that both kinds of channel carried bytes.
func (p *Portal) opened(ctx context.Context, a desk.Actor, id access.SessionID, must func(error)) {
	for _, k := range []grant.Kind{grant.KindDesktop, grant.KindTerminal} {
		o, err := p.Access.Authorise(ctx, a, id, k, k == grant.KindDesktop)
		if err != nil {
			must(err)
			return
		}
		s, err := p.Access.Session(ctx, a, id)
		must(err)
		must(p.tell(ctx, s.Device, link.TypeChannelUp, link.ChannelUp{Channel: o.Channel}))
	}
}

// withFile files a ticket with a picture that has arrived and a file that has not.
func (p *Portal) withFile(ctx context.Context, ago time.Duration, s *seat, must func(error)) ticket.ID {
	p.clock.ago(ago)
	png := "\x89PNG\r\n\x1a\n" + strings.Repeat("blank page ", 21_800)
	sum, log := sha256.Sum256([]byte(png)), sha256.Sum256([]byte("later"))
	t := api.DeviceTicket{
		ID: api.NewID(p.clock.now()), Title: "The wireless mouse loses its connection", Text: "Mostly in the afternoon, when the sun shines on the desk.",
		Severity: api.Low, Email: Lucia, Name: "Lucia Rossi", Phone: "051 765 4321", OSUser: "lucia", OSUserID: "1000", Language: "en", MadeAt: p.clock.now().UnixMicro(),
		Facts: []api.Fact{{Name: "Computer", Value: "PC-114"}, {Name: "System", Value: "Debian GNU/Linux 12"}, {Name: "Printer", Value: "HP-2F: error, 4 jobs waiting"}, {Name: "Network", Value: "192.168.20.114, wired"}},
		Files: []api.TicketFile{{Index: 0, Name: "mouse.png", Type: "image/png", Size: int64(len(png)), SHA256: sum[:]}, {Index: 1, Name: "drivers.log", Type: "text/plain", Size: 5, SHA256: log[:]}},
	}
	_, err := p.Tickets.FileFromDevice(ctx, s.id, t)
	must(err)
	must(p.Tickets.PutDeviceFile(ctx, s.id, ticket.ID(t.ID), 0, strings.NewReader(png)))
	return ticket.ID(t.ID)
}

// End lets the person at a device end the running visit.
func (p *Portal) End(id string) error {
	p.mu.Lock()
	s := p.seats[device.ID(id)]
	p.mu.Unlock()
	if s == nil {
		return errors.New("no such device")
	}
	if err := s.report("ended", "person"); err != nil {
		return err
	}
	s.end()
	return nil
}

// Claim lets somebody type a code of an account at a device.
func (p *Portal) Claim(id, email string) error {
	ctx := context.Background()
	a, err := p.Actor(ctx, email)
	if err != nil {
		return err
	}
	_, code, err := p.Devices.StartOwner(ctx, a)
	if err != nil {
		return err
	}
	_, err = p.Devices.ClaimOwner(ctx, device.ID(id), api.OwnerClaim{Code: code, UserID: "1001", User: "lrossi"})
	return err
}

// Remind makes the device say again that the question of Filled.Asking is on the screen.
func (p *Portal) Remind(session string) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, s := range p.seats {
		s.mu.Lock()
		mine := s.asked.Session == session
		s.mu.Unlock()
		if mine {
			return s.answer(link.AskState{State: link.AskShown})
		}
	}
	return errors.New("no such question")
}

// MailServer sets a mail server that can't be reached, or removes it.
func (p *Portal) MailServer(ctx context.Context, set bool) error {
	if !set {
		return p.Mails.ForgetOutgoing(ctx, desk.System())
	}
	return p.Mails.SetOutgoing(ctx, desk.System(), deskmail.Server{Host: "localhost", Port: 1, Security: deskmail.STARTTLS, User: "help@rossi-it.example", Password: "not used", From: "help@rossi-it.example"})
}

// SignMail makes the token that a mail about a ticket would carry.
func (p *Portal) SignMail(purpose string, number int64, address string) string {
	return p.options.SignMail(purpose, number, address)
}

// Stranger lets mail come in that must wait for a decision.
func (p *Portal) Stranger(ctx context.Context) error {
	for _, raw := range []string{
		"From: Eve Adams <eve@elsewhere.example>\r\nTo: help@rossi-it.example\r\nSubject: Is your help desk open on Saturday?\r\nMessage-ID: <s1@elsewhere.example>\r\n\r\nWe would like to become a customer.\r\n",
		"From: Marco Conti <m.conti@rossi-it.example>\r\nTo: help@rossi-it.example\r\nSubject: Please change my password\r\nMessage-ID: <s2@elsewhere.example>\r\n\r\nAt once.\r\n",
		"From: Backup <backup@nas.example>\r\nTo: help@rossi-it.example\r\nSubject: Backup finished\r\nAuto-Submitted: auto-generated\r\nMessage-ID: <s3@nas.example>\r\n\r\nAll is well.\r\n",
	} {
		if _, err := p.Tickets.Receive(ctx, deskticket.Incoming{Raw: []byte(raw), Mailbox: "sample"}); err != nil {
			return err
		}
	}
	return nil
}
