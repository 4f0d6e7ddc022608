package api_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/traybell/traybell/server/internal/account"
	"github.com/traybell/traybell/server/internal/servertest"
	"github.com/traybell/traybell/server/internal/store/storetest"
	wire "github.com/traybell/traybell/shared/api"
	"github.com/traybell/traybell/shared/link"
)

func TestMain(m *testing.M) { storetest.Main(m) }

type list struct {
	Tickets []struct {
		ID     string
		Number int64
		Title  string
		Status string
	}
	Counts map[string]int
	Next   string
}

type page struct {
	ID, Title, Text, Email, Name, Subject, Severity, Status string
	Number                                                  int64
	Files                                                   []struct {
		ID, Name, SHA256 string
		Index            int
		Size             int64
		Arrived          bool
	}
	Messages []struct{ Kind, Name, Text string }
	Moves    []string
}

func TestTicketFromDeviceToAnswer(t *testing.T) {
	for _, engine := range []string{"sqlite", "postgres"} {
		t.Run(engine, func(t *testing.T) {
			o := servertest.Options{}
			if engine == "postgres" {
				o.DatabaseURL = storetest.PostgresURL(t)
			}
			s := servertest.StartWith(t, o)
			admin := s.Administrator(t)
			d := s.Enrol(t, "PC-114", "Studio Verdi")

			data := bytes.Repeat([]byte("picture"), 1000)
			sum := sha256.Sum256(data)
			ticket := servertest.NewTicket("Printer prints blank pages")
			ticket.Files = []wire.TicketFile{{Index: 0, Name: `C:\pictures\a.png`, Type: "image/png", Size: int64(len(data)), SHA256: sum[:]}}
			var filed, again wire.TicketFiled
			if status, p := d.Call(t, "POST", "/api/v1/device/tickets", ticket, &filed); status != 200 {
				t.Fatal(status, p)
			}
			if filed.Subject != "Help request from Studio Verdi / Printer prints blank pages" || filed.Number <= 1000 || len(filed.Missing) != 1 {
				t.Errorf("filed %+v", filed)
			}
			file := "/api/v1/device/tickets/" + ticket.ID + "/files/0"
			if status, p := d.Call(t, "PUT", file, strings.NewReader("other bytes"), nil); status != 422 || p.Code != wire.CodeInvalid {
				t.Errorf("other bytes than announced: %d %+v", status, p)
			}
			for range 2 { // the second changes nothing
				if status, p := d.Call(t, "PUT", file, bytes.NewReader(data), nil); status != 204 {
					t.Fatal(status, p)
				}
			}
			if status, _ := d.Call(t, "GET", "/api/v1/device/tickets/"+ticket.ID, nil, &again); status != 200 || again.Number != filed.Number || len(again.Missing) != 0 {
				t.Errorf("%d %+v", status, again)
			}

			var l list
			admin.Call(t, "GET", "/api/v1/tickets?query=printer+verdi", nil, &l)
			if len(l.Tickets) != 1 || l.Tickets[0].Number != filed.Number || l.Counts["new"] != 1 {
				t.Errorf("list %+v", l)
			}
			var p page
			if status, problem := admin.Call(t, "GET", "/api/v1/tickets/"+ticket.ID, nil, &p); status != 200 {
				t.Fatal(status, problem)
			}
			if p.Title != ticket.Title || p.Text != ticket.Text || p.Email != ticket.Email || p.Severity != "medium" || p.Files[0].SHA256 != hex.EncodeToString(sum[:]) || p.Files[0].Name != "a.png" || !p.Files[0].Arrived {
				t.Errorf("page %+v", p)
			}
			var got []byte
			if status, _ := admin.Call(t, "GET", "/api/v1/tickets/"+ticket.ID+"/files/"+p.Files[0].ID, nil, &got); status != 200 || !bytes.Equal(got, data) {
				t.Errorf("file: %d, %d bytes", status, len(got))
			}

			up, _ := d.Link(t, link.Proof{})
			defer up.Close()
			if status, problem := admin.Call(t, "POST", "/api/v1/tickets/"+ticket.ID+"/messages", map[string]any{"text": "Is there paper?"}, nil); status != 201 {
				t.Fatal(status, problem)
			}
			m, err := up.Read()
			var moved link.TicketMoved
			if err != nil || m.Type != link.TypeTicket || m.Decode(&moved) != nil || moved.Answered != "Anna Bianchi" || moved.Number != filed.Number || moved.Status != "open" {
				t.Errorf("the device was told %v %+v %v", m.Type, moved, err)
			}
			if status, problem := admin.Call(t, "POST", "/api/v1/tickets/"+ticket.ID+"/notes", map[string]any{"text": "cartridge"}, nil); status != 201 {
				t.Fatal(status, problem)
			}
			for _, c := range []struct {
				path string
				body any
				want int
			}{
				{"status", map[string]string{"status": "paused"}, 422},
				{"status", map[string]string{"status": "paused", "reason": "spare part"}, 422},
				{"status", map[string]any{"status": "paused", "reason": "spare part", "until": time.Now().Add(48 * time.Hour).UnixMicro()}, 200},
				{"status", map[string]string{"status": "closed"}, 200},
				{"status", map[string]string{"status": "new"}, 409},
				{"severity", map[string]string{"severity": "high"}, 200},
				{"severity", map[string]string{"severity": "whatever"}, 422},
			} {
				if status, problem := admin.Call(t, "PUT", "/api/v1/tickets/"+ticket.ID+"/"+c.path, c.body, nil); status != c.want {
					t.Errorf("%v: %d %+v, want %d", c.body, status, problem, c.want)
				}
			}
			if status, problem := admin.Call(t, "POST", "/api/v1/tickets/"+ticket.ID+"/messages", map[string]any{"text": "more"}, nil); status != 409 || problem.Code != wire.CodeConflict {
				t.Errorf("an answer to a closed ticket: %d %+v", status, problem)
			}
		})
	}
}

// TestTicketIsFiledOnce is the promise behind "nothing lost": an agent that does not know whether its request
// arrived asks again.
func TestTicketIsFiledOnce(t *testing.T) {
	for _, engine := range []string{"sqlite", "postgres"} {
		t.Run(engine, func(t *testing.T) {
			o := servertest.Options{}
			if engine == "postgres" {
				o.DatabaseURL = storetest.PostgresURL(t)
			}
			s := servertest.StartWith(t, o)
			admin := s.Administrator(t)
			d, other := s.Enrol(t, "PC-114", ""), s.Enrol(t, "PC-115", "")
			ticket := servertest.NewTicket("Printer")
			numbers := make([]int64, 32)
			var wg sync.WaitGroup
			for i := range numbers {
				wg.Go(func() {
					var filed wire.TicketFiled
					if status, p := d.Call(t, "POST", "/api/v1/device/tickets", ticket, &filed); status != 200 {
						t.Errorf("%d %+v", status, p)
					}
					numbers[i] = filed.Number
				})
			}
			wg.Wait()
			for _, n := range numbers {
				if n != numbers[0] || n == 0 {
					t.Fatalf("the same ticket got the numbers %v", numbers)
				}
			}
			changed := ticket
			changed.Text = "Something else"
			if status, p := d.Call(t, "POST", "/api/v1/device/tickets", changed, nil); status != 409 || p.Code != wire.CodeConflict {
				t.Errorf("the same id with another body: %d %+v", status, p)
			}
			if status, p := other.Call(t, "POST", "/api/v1/device/tickets", ticket, nil); status != 409 || p.Code != wire.CodeConflict {
				t.Errorf("another device's id: %d %+v", status, p)
			}
			if status, _ := other.Call(t, "GET", "/api/v1/device/tickets/"+ticket.ID, nil, nil); status != 404 {
				t.Errorf("another device reads the ticket: %d", status)
			}
			var l list
			admin.Call(t, "GET", "/api/v1/tickets", nil, &l)
			if len(l.Tickets) != 1 {
				t.Errorf("there are %d tickets, want 1", len(l.Tickets))
			}
		})
	}
}

func TestIdempotencyKey(t *testing.T) {
	s := servertest.Start(t)
	admin := s.Administrator(t)
	post := func(key, title string) (int, int64) {
		var k struct{ Number int64 }
		status, _ := admin.Header(t, http.Header{"Idempotency-Key": {key}}, "POST", "/api/v1/tickets", map[string]string{"title": title}, &k)
		return status, k.Number
	}
	s1, n1 := post("a", "Phone")
	s2, n2 := post("a", "Phone")
	s3, _ := post("a", "Other")
	s4, n4 := post("b", "Phone")
	if s1 != 201 || s2 != 201 || n1 != n2 || s3 != 409 || s4 != 201 || n4 == n1 {
		t.Errorf("got %d #%d, %d #%d, %d, %d #%d", s1, n1, s2, n2, s3, s4, n4)
	}
}

func TestListPages(t *testing.T) {
	s := servertest.Start(t)
	admin := s.Administrator(t)
	for range 5 {
		if status, p := admin.Call(t, "POST", "/api/v1/tickets", map[string]string{"title": "x"}, nil); status != 201 {
			t.Fatal(status, p)
		}
	}
	var numbers []int64
	next := ""
	for {
		var l list
		if status, p := admin.Call(t, "GET", "/api/v1/tickets?limit=2&cursor="+next, nil, &l); status != 200 {
			t.Fatal(status, p)
		}
		for _, k := range l.Tickets {
			numbers = append(numbers, k.Number)
		}
		if next = l.Next; next == "" {
			break
		}
	}
	if len(numbers) != 5 || numbers[0] != 1005 || numbers[4] != 1001 {
		t.Errorf("got %v", numbers)
	}
}

// TestWhoSeesWhat walks roles over tickets, devices, people and the log.
func TestWhoSeesWhat(t *testing.T) {
	s := servertest.Start(t)
	admin := s.Administrator(t)
	tech := s.Person(t, account.Technician, "tech@rossi.it", "")
	boss := s.Person(t, account.Responsible, "carla@verdi.it", "Studio Verdi")
	lucia := s.Person(t, account.Requester, "lucia@verdi.it", "Studio Verdi")
	stranger := s.Person(t, account.Responsible, "x@neri.it", "Neri")
	d := s.Enrol(t, "PC-114", "Studio Verdi")
	filed := d.File(t, "From the device")
	var mine struct{ ID string }
	if status, p := lucia.Call(t, "POST", "/api/v1/tickets", map[string]string{"title": "Mine"}, &mine); status != 201 {
		t.Fatal(status, p)
	}
	if status, p := tech.Call(t, "POST", "/api/v1/tickets/"+mine.ID+"/notes", map[string]string{"text": "secret note"}, nil); status != 201 {
		t.Fatal(status, p)
	}
	for _, c := range []struct {
		name                                  string
		who                                   *servertest.Person
		tickets, devices, notes               int
		device, mine, note, keys, people, log int // statuses
	}{
		{"administrator", admin, 2, 1, 1, 200, 200, 201, 201, 200, 200},
		{"technician", tech, 2, 1, 1, 200, 200, 201, 403, 200, 200},
		{"responsible person", boss, 2, 1, 0, 200, 200, 403, 403, 200, 200},
		{"requester", lucia, 1, 0, 0, 404, 200, 403, 403, 403, 200},
		{"another organization", stranger, 0, 0, 0, 404, 404, 403, 403, 200, 200},
	} {
		t.Run(c.name, func(t *testing.T) {
			var l list
			var devices struct{ Devices []struct{ Name string } }
			var p page
			c.who.Call(t, "GET", "/api/v1/tickets", nil, &l)
			c.who.Call(t, "GET", "/api/v1/devices", nil, &devices)
			if len(l.Tickets) != c.tickets || len(devices.Devices) != c.devices {
				t.Errorf("sees %d tickets and %d devices, want %d and %d", len(l.Tickets), len(devices.Devices), c.tickets, c.devices)
			}
			if status, _ := c.who.Call(t, "GET", "/api/v1/tickets/"+mine.ID, nil, &p); status != c.mine {
				t.Errorf("ticket: %d, want %d", status, c.mine)
			}
			notes := 0
			for _, m := range p.Messages {
				if m.Text == "secret note" {
					notes++
				}
			}
			if notes != c.notes {
				t.Errorf("reads %d notes, want %d", notes, c.notes)
			}
			l = list{}
			c.who.Call(t, "GET", "/api/v1/tickets?query=secret", nil, &l)
			if len(l.Tickets) != c.notes {
				t.Errorf("finds %d tickets by a note's word, want %d", len(l.Tickets), c.notes)
			}
			statuses := []struct {
				method, path string
				body         any
				want         int
			}{
				{"GET", "/api/v1/devices/" + d.ID, nil, c.device},
				{"GET", "/api/v1/tickets/" + filed.ID, nil, map[string]int{"requester": 404, "another organization": 404}[c.name]},
				{"POST", "/api/v1/enrolment-keys", map[string]any{}, c.keys},
				{"GET", "/api/v1/accounts", nil, c.people},
				{"GET", "/api/v1/accounts/me", nil, 200},
				{"GET", "/api/v1/organizations", nil, 200},
				{"GET", "/api/v1/audit", nil, c.log},
			}
			for _, r := range statuses {
				if r.want == 0 {
					r.want = 200
				}
				if status, problem := c.who.Call(t, r.method, r.path, r.body, nil); status != r.want {
					t.Errorf("%s %s: %d %+v, want %d", r.method, r.path, status, problem, r.want)
				}
			}
			if c.note == 403 {
				if status, _ := c.who.Call(t, "POST", "/api/v1/tickets/"+mine.ID+"/notes", map[string]string{"text": "x"}, nil); status != c.note {
					t.Errorf("note: %d, want %d", status, c.note)
				}
				if status, _ := c.who.Call(t, "PUT", "/api/v1/tickets/"+mine.ID+"/severity", map[string]string{"severity": "low"}, nil); status != 403 {
					t.Errorf("severity: %d", status)
				}
			}
		})
	}
	var log struct {
		Entries []struct{ Actor, Action string }
	}
	lucia.Call(t, "GET", "/api/v1/audit", nil, &log)
	for _, e := range log.Entries {
		if e.Actor != "account:"+string(lucia.Account.ID) {
			t.Errorf("a requester reads what others did: %+v", e)
		}
	}
}

func TestWithoutTokenNothing(t *testing.T) {
	s := servertest.Start(t)
	s.Administrator(t)
	d := s.Enrol(t, "PC-114", "")
	res, err := s.Client.Get(s.URL + "/api/v1/openapi.json")
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	var doc struct {
		OpenAPI string
		Paths   map[string]map[string]struct{ Security []map[string][]string }
	}
	if err := json.NewDecoder(res.Body).Decode(&doc); err != nil || !strings.HasPrefix(doc.OpenAPI, "3.1") {
		t.Fatalf("openapi %q, %v", doc.OpenAPI, err)
	}
	n := 0
	for path, ops := range doc.Paths {
		for method := range ops {
			n++
			open := path == "/api/v1/device/enrol"
			path := strings.NewReplacer("{id}", d.ID, "{index}", "0", "{file}", d.ID, "{kind}", "desktop").Replace(path)
			for _, token := range []string{"", "tbt_wrong", d.Token + "x", d.Token} {
				if token == d.Token && strings.HasPrefix(path, "/api/v1/device/") {
					continue // it is theirs
				}
				req, _ := http.NewRequest(strings.ToUpper(method), s.URL+path, strings.NewReader("{}"))
				req.Header.Set("Content-Type", "application/json")
				if token != "" {
					req.Header.Set("Authorization", "Bearer "+token)
				}
				res, err := s.Client.Do(req)
				if err != nil {
					t.Fatal(err)
				}
				res.Body.Close()
				if got := res.StatusCode; got != http.StatusUnauthorized && !open {
					t.Errorf("%s %s with token %q: %s", method, path, token, res.Status)
				}
			}
		}
	}
	if n < 20 {
		t.Errorf("only %d operations", n)
	}
	admin := s.Person(t, account.Administrator, "b@example.com", "")
	if status, _ := admin.Call(t, "POST", "/api/v1/device/tickets", servertest.NewTicket("x"), nil); status != 401 {
		t.Errorf("an account's token files as a device: %d", status)
	}
}

func TestEnrolment(t *testing.T) {
	s := servertest.Start(t)
	admin := s.Administrator(t)
	d := s.NewDevice(t, "PC-114", "")
	for range 2 { // the same request again uses nothing up
		if status, p := d.Call(t, "POST", "/api/v1/device/enrol", d.Enrolment, nil); status != 200 {
			t.Fatal(status, p)
		}
	}
	thief := s.NewDevice(t, "PC-114", "")
	taken := thief.Enrolment
	taken.Device = d.ID
	if status, _ := thief.Call(t, "POST", "/api/v1/device/enrol", taken, nil); status != 422 {
		t.Errorf("without a proof for that id: %d", status)
	}
	second := s.NewDevice(t, "PC-115", "")
	used := second.Enrolment
	used.Key, used.Secret = d.Enrolment.Key, d.Enrolment.Secret
	if status, _ := second.Call(t, "POST", "/api/v1/device/enrol", used, nil); status != 422 {
		t.Errorf("a proof for another key: %d", status)
	}
	wrong := second.Enrolment
	wrong.Secret = bytes.Repeat([]byte{1}, 32)
	if status, p := second.Call(t, "POST", "/api/v1/device/enrol", wrong, nil); status != 403 || !strings.Contains(p.Detail, "unknown") {
		t.Errorf("a wrong secret: %d %+v", status, p)
	}
	c, w := d.Link(t, link.Proof{})
	defer c.Close()
	if w.Organization != servertest.Provider || w.Epoch != 1 || w.TokenExpires-w.Time != (24*time.Hour).Microseconds() {
		t.Errorf("welcome %+v", w)
	}
	if status, p := admin.Call(t, "DELETE", "/api/v1/devices/"+d.ID, nil, nil); status != 204 {
		t.Fatal(status, p)
	}
	if status, _ := d.Call(t, "POST", "/api/v1/device/tickets", servertest.NewTicket("x"), nil); status != 401 {
		t.Errorf("a removed device files tickets: %d", status)
	}
	for {
		if _, err := c.Read(); err != nil {
			break // its link is cut
		}
	}
}

func TestProblemsAreInTheCallersLanguage(t *testing.T) {
	s := servertest.Start(t)
	admin := s.Administrator(t)
	_, p := admin.Header(t, http.Header{"Accept-Language": {"it-IT,it;q=0.9"}}, "POST", "/api/v1/tickets", map[string]string{"title": " "}, nil)
	if p.Detail != "Il titolo manca o supera i 200 caratteri." || p.Code != wire.CodeInvalid {
		t.Errorf("got %+v", p)
	}
	if status, p := admin.Call(t, "POST", "/api/v1/tickets", strings.NewReader("{"), nil); status < 400 || status >= 500 || p.Code != wire.CodeInvalid {
		t.Errorf("broken JSON: %d %+v", status, p)
	}
	if status, p := admin.Call(t, "GET", "/api/v1/nothing", nil, nil); status != 404 || p.Code != wire.CodeNotFound {
		t.Errorf("an unknown path: %d %+v", status, p)
	}
	if status, p := admin.Call(t, "POST", "/api/v1/tickets", map[string]any{"title": "x", "a field of tomorrow": 1}, nil); status != 201 {
		t.Errorf("an unknown field: %d %+v", status, p)
	}
}

// TestNewsWaitsForTheDevice: what happened while a device was away reaches it when it comes back.
func TestNewsWaitsForTheDevice(t *testing.T) {
	s := servertest.Start(t)
	admin := s.Administrator(t)
	d := s.Enrol(t, "PC-114", "")
	quiet, answered := d.File(t, "Nobody answers this"), d.File(t, "Printer")
	if status, p := admin.Call(t, "POST", "/api/v1/tickets/"+answered.ID+"/messages", map[string]string{"text": "On my way"}, nil); status != 201 {
		t.Fatal(status, p)
	}
	servertest.Eventually(t, "dropping the notice", func() bool {
		n, err := s.Worker.Once(t.Context())
		return n == 0 && err == nil
	})
	up, _ := d.Link(t, link.Proof{})
	defer up.Close()
	m, err := up.Read()
	var moved link.TicketMoved
	if err != nil || m.Type != link.TypeTicket || m.Decode(&moved) != nil {
		t.Fatal(m, err)
	}
	if moved.ID != answered.ID || moved.ID == quiet.ID || moved.Answered != "Anna Bianchi" || moved.Status != "open" {
		t.Errorf("got %+v", moved)
	}
}

// BenchmarkFile measures tickets filed durably over HTTPS by 64 callers of one device.
//
//	go test ./internal/api -run xxx -bench File -benchtime 5000x
func BenchmarkFile(b *testing.B) {
	s := servertest.Start(b)
	d := s.Enrol(b, "PC-114", "")
	b.SetParallelism(32)
	b.ResetTimer()
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			d.File(b, "Printer prints blank pages")
		}
	})
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "tickets/s")
}
