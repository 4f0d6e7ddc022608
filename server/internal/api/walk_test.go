package api_test

import (
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/traybell/traybell/server/internal/access"
	"github.com/traybell/traybell/server/internal/account"
	"github.com/traybell/traybell/server/internal/desk"
	deskdevice "github.com/traybell/traybell/server/internal/desk/device"
	"github.com/traybell/traybell/server/internal/desk/people"
	deskticket "github.com/traybell/traybell/server/internal/desk/ticket"
	"github.com/traybell/traybell/server/internal/device"
	"github.com/traybell/traybell/server/internal/servertest"
	"github.com/traybell/traybell/server/internal/store"
	"github.com/traybell/traybell/server/internal/ticket"
	"github.com/traybell/traybell/shared/api"
)

// opRule says who gets through an operation. Each letter is somebody who comes with an API token:
//
//	q requester of Studio Verdi       r responsible person of Studio Verdi
//	l technician limited to Neri      t technician of the provider
//	a administrator                   f the administrator by a token without rights
//	d somebody whose account is disabled      x somebody by a token that has expired
//	n nobody: no token                v a device, with its own token
//
// Whoever is not named is refused: 401, 403 or 404. verdi is who gets through to what is Studio Verdi's (the
// ticket is the requester's own), neri to what is Neri's; an operation about no organization has verdi only.
//
// To add a rule for a new operation, add one line to operations. body is what is sent; the words {ticket}, {device}
// and {fresh} in it stand for things of the organization, made anew for each call. 409 and 422 count as getting through.
type opRule struct {
	verdi, neri string
	body        string
}

const allCallers = "qrltafdxnv"

// operations has a line for each operation of the API.
var operations = map[string]opRule{
	"GET /accounts/me":               {verdi: "qrltaf"},
	"GET /accounts":                  {verdi: "rlta"},
	"GET /accounts/{id}":             {verdi: "qrta", neri: "lta"},
	"POST /accounts":                 {verdi: "ra", body: `{"email":"{fresh}","role":"requester"}`},
	"PATCH /accounts/{id}":           {verdi: "ra", neri: "a", body: `{"name":"Lucia"}`},
	"GET /organizations":             {verdi: "qrltaf"},
	"GET /directories":               {verdi: "qrltaf"},
	"POST /organizations":            {verdi: "a", body: `{"name":"New {fresh}"}`},
	"GET /organizations/{id}":        {verdi: "rta", neri: "lta"},
	"PATCH /organizations/{id}":      {verdi: "ra", neri: "a", body: `{"members_see_all":false}`},
	"GET /audit":                     {verdi: "qrltaf"}, // their own acts
	"GET /devices":                   {verdi: "qrltaf"}, // from which they filed
	"GET /devices/{id}":              {verdi: "rta", neri: "lta"},
	"POST /tickets/{id}/time":        {verdi: "ta", neri: "lta", body: `{"minutes":5}`},
	"PUT /tickets/{id}/merge":        {verdi: "ta", neri: "lta", body: `{"into":"{id}"}`},
	"PATCH /devices/{id}":            {verdi: "ta", neri: "lta", body: `{"name":"PC-7"}`},
	"DELETE /devices/{id}":           {verdi: "a", neri: "a"},
	"POST /enrolment-keys":           {verdi: "a", body: `{}`},
	"GET /enrolment-keys":            {verdi: "a"},
	"DELETE /enrolment-keys/{id}":    {verdi: "a", neri: "a"},
	"POST /sessions":                 {verdi: "ta", neri: "lta", body: `{"device":"{device}"}`},
	"GET /sessions":                  {verdi: "rlta"},
	"GET /sessions/{id}":             {verdi: "rta", neri: "lta"},
	"POST /sessions/{id}/leave":      {verdi: "ta", neri: "ta", body: `{}`},
	"GET /grants":                    {verdi: "lta"},
	"GET /tickets":                   {verdi: "qrltaf"}, // their own
	"POST /tickets":                  {verdi: "qrltaf", body: `{"title":"Printer"}`},
	"GET /tickets/{id}":              {verdi: "qrta", neri: "lta"},
	"POST /tickets/{id}/messages":    {verdi: "qrta", neri: "lta", body: `{"text":"Hello"}`},
	"POST /tickets/{id}/notes":       {verdi: "ta", neri: "lta", body: `{"text":"Hello"}`},
	"POST /tickets/{id}/files":       {verdi: "qrta", neri: "lta", body: `bytes`},
	"GET /tickets/{id}/files/{file}": {verdi: "qrta", neri: "lta"},
	"PUT /tickets/{id}/status":       {verdi: "qrta", neri: "lta", body: `{"status":"closed"}`},
	"PUT /tickets/{id}/severity":     {verdi: "ta", neri: "lta", body: `{"severity":"high"}`},
	"PUT /tickets/{id}/assignee":     {verdi: "ta", neri: "lta", body: `{"account":""}`},
}

// devicesOwn are the operations by which devices speak for themselves, below this path; tests of their own
// show that no account's token and no other device's opens them.
const devicesOwn = "/device/"

type opWalker struct {
	*servertest.Server
	t       *testing.T
	tokens  map[byte]string
	tech    account.Account
	admin   *servertest.Person
	authors map[string]desk.Actor // of tickets, by organization
	devices map[string]*servertest.Device
	n       int
}

func newOpWalker(t *testing.T) *opWalker {
	s := servertest.Start(t)
	admin := s.Administrator(t)
	w := &opWalker{Server: s, t: t, admin: admin, tokens: map[byte]string{'a': admin.Token}, devices: map[string]*servertest.Device{}}
	w.devices["verdi"], w.devices["neri"] = s.Enrol(t, "PC-1", "Studio Verdi"), s.Enrol(t, "PC-2", "Neri")
	w.tokens['v'] = w.devices["verdi"].Token
	person := func(as byte, role account.Role, organization string) account.Account {
		p := s.Person(t, role, string(as)+"@example.com", organization)
		w.tokens[as] = p.Token
		return p.Account
	}
	w.authors = map[string]desk.Actor{
		"verdi": desk.Of(person('q', account.Requester, "Studio Verdi"), desk.ViaAPI, ""),
		"neri":  desk.Of(s.Person(t, account.Requester, "author@neri.it", "Neri").Account, desk.ViaAPI, ""),
	}
	person('r', account.Responsible, "Studio Verdi")
	w.tech = person('t', account.Technician, "")
	limited, gone := person('l', account.Technician, ""), person('d', account.Technician, "")
	var err error
	fail := func() {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	_, w.tokens['f'], err = s.People.CreateNarrowToken(t.Context(), admin.Actor, people.NewToken{Name: "narrow"})
	fail()
	_, w.tokens['x'], err = s.People.CreateNarrowToken(t.Context(), admin.Actor, people.NewToken{Name: "short", Rights: admin.Actor.Rights, Life: time.Microsecond})
	fail()
	err = s.Store.Write(t.Context(), func(tx store.Tx) error {
		a, err := tx.Account(gone.ID)
		if err != nil {
			return err
		}
		a.Disabled = true
		return tx.SaveAccount(a)
	})
	fail()
	var neri account.OrganizationID
	err = s.Store.Read(t.Context(), func(tx store.Tx) error {
		o, err := tx.OrganizationByName("Neri")
		neri = o.ID
		return err
	})
	fail()
	err = s.People.Limit(t.Context(), desk.System(), limited.ID, []account.OrganizationID{neri})
	fail()
	w.things("GET /tickets/{id}", "{id}", "verdi") // so that the requester has filed from the device
	return w
}

// things fills a path or a body with things of an organization, made anew.
func (w *opWalker) things(op, text, org string) string {
	w.t.Helper()
	w.n++
	ctx := w.t.Context()
	fail := func(err error) {
		if err != nil {
			w.t.Helper()
			w.t.Fatal(err)
		}
	}
	_, path, _ := strings.Cut(op, " ")
	var k ticket.Ticket
	file := func() {
		var err error
		k, err = w.Tickets.Create(ctx, w.authors[org], deskticket.Draft{Title: "Printer", Device: device.ID(w.devices[org].ID)})
		fail(err)
	}
	if strings.Contains(text, "{id}") {
		id := ""
		switch {
		case strings.HasPrefix(path, "/tickets/"):
			file()
			id = []string{string(k.ID), strconv.FormatInt(k.Number, 10)}[w.n%2]
		case op == "DELETE /devices/{id}":
			id = w.Enrol(w.t, fmt.Sprintf("PC-%d", 100+w.n), map[string]string{"verdi": "Studio Verdi", "neri": "Neri"}[org]).ID
		case strings.HasPrefix(path, "/devices/"):
			id = w.devices[org].ID
		case strings.HasPrefix(path, "/accounts/"):
			id = string(w.authors[org].Account)
		case strings.HasPrefix(path, "/organizations/"):
			fail(w.Store.Read(ctx, func(tx store.Tx) error {
				o, err := tx.OrganizationByName(map[string]string{"verdi": "Studio Verdi", "neri": "Neri"}[org])
				id = string(o.ID)
				return err
			}))
		case strings.HasPrefix(path, "/enrolment-keys/"):
			_, key, err := w.Devices.CreateEnrolmentKey(ctx, desk.System(), deskdevice.NewKey{Organization: map[string]string{"verdi": "Studio Verdi", "neri": "Neri"}[org]})
			fail(err)
			id = key.ID
		case strings.HasPrefix(path, "/sessions/"):
			file()
			id = api.NewID(time.Now())
			fail(w.Store.Write(ctx, func(tx store.Tx) error {
				d, err := tx.Device(k.Device)
				if err != nil {
					return err
				}
				s, err := access.Ask(access.SessionID(id), account.Technician.Rights(), w.tech.ID, w.tech.Name, d, k, nil, time.Now())
				if err != nil {
					return err
				}
				return tx.InsertSession(s)
			}))
		default:
			w.t.Fatalf("%s: say in things what {id} is", op)
		}
		text = strings.ReplaceAll(text, "{id}", id)
	}
	if strings.Contains(text, "{file}") {
		f, err := w.Tickets.Attach(ctx, w.admin.Actor, k.ID, "a.txt", "text/plain", strings.NewReader("x"))
		fail(err)
		text = strings.ReplaceAll(text, "{file}", f.ID)
	}
	text = strings.ReplaceAll(text, "{device}", w.devices[org].ID)
	return strings.ReplaceAll(text, "{fresh}", fmt.Sprintf("new%d@verdi.it", w.n))
}

func (w *opWalker) call(op string, r opRule, org string, as byte) (through bool, status int) {
	w.t.Helper()
	method, path, _ := strings.Cut(op, " ")
	var body io.Reader
	if r.body != "" {
		body = strings.NewReader(w.things(op, r.body, org))
	}
	req, err := http.NewRequestWithContext(w.t.Context(), method, w.URL+"/api/v1"+w.things(op, path, org), body)
	if err != nil {
		w.t.Fatal(err)
	}
	if body != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	if w.tokens[as] != "" {
		req.Header.Set("Authorization", "Bearer "+w.tokens[as])
	}
	res, err := w.Client.Do(req)
	if err != nil {
		w.t.Fatal(err)
	}
	res.Body.Close()
	if res.StatusCode >= 500 {
		w.t.Errorf("%s of %s as %c: status %d", op, org, as, res.StatusCode)
	}
	return res.StatusCode != http.StatusUnauthorized && res.StatusCode != http.StatusForbidden && res.StatusCode != http.StatusNotFound, res.StatusCode
}

// TestTheWalk calls every operation that the server publishes as everybody, on what is theirs and on what is
// another organization's, and compares who got through with the rules. It fails when an operation is added without a
// rule.
func TestTheWalk(t *testing.T) {
	w := newOpWalker(t)
	res, err := w.Client.Get(w.URL + "/api/v1/openapi.json")
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	var doc struct {
		Paths map[string]map[string]json.RawMessage `json:"paths"`
	}
	if err := json.NewDecoder(res.Body).Decode(&doc); err != nil {
		t.Fatal(err)
	}
	published := map[string]bool{}
	for path, methods := range doc.Paths {
		path = strings.TrimPrefix(path, "/api/v1")
		for method := range methods {
			op := strings.ToUpper(method) + " " + path
			published[op] = true
			if _, ruled := operations[op]; !ruled && !strings.HasPrefix(path, devicesOwn) {
				t.Errorf("%s: add a rule for it to operations in walk_test.go", op)
			}
		}
	}
	if len(published) < 25 {
		t.Fatalf("only %d operations are published", len(published))
	}
	for _, op := range slices.Sorted(maps.Keys(operations)) {
		r := operations[op]
		if !published[op] {
			t.Errorf("%s has a rule and does not exist", op)
			continue
		}
		orgs := map[string]string{"verdi": r.verdi}
		if strings.Contains(op, "{") || strings.Contains(r.body, "{device}") {
			orgs["neri"] = r.neri
		}
		for org, may := range orgs {
			if may == "" {
				t.Errorf("%s: nobody gets through to what is %s's; then it proves nothing", op, org)
			}
			for _, as := range []byte(allCallers) {
				through, status := w.call(op, r, org, as)
				if want := strings.IndexByte(may, as) >= 0; through != want {
					t.Errorf("%s of %s as %c: through %v (status %d), want %v", op, org, as, through, status, want)
				}
				if strings.Contains("dxnv", string(as)) && status != http.StatusUnauthorized {
					t.Errorf("%s as %c: status %d, want 401", op, as, status)
				}
			}
		}
	}
}
