package api_test

import (
	"encoding/json"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/traybell/traybell/server/internal/account"
	"github.com/traybell/traybell/server/internal/api"
	"github.com/traybell/traybell/server/internal/servertest"
	wire "github.com/traybell/traybell/shared/api"
)

// TestTooManyRequestsAreToldWhenToComeBack asks until an account, and then an address, has asked too much.
func TestTooManyRequestsAreToldWhenToComeBack(t *testing.T) {
	s := servertest.Start(t)
	anna, marco := s.Administrator(t), s.Person(t, account.Technician, "marco@rossi.it", "")
	now := time.Date(2026, 11, 22, 9, 0, 0, 0, time.UTC)
	h := api.New(api.Options{People: s.People, Devices: s.Devices, Tickets: s.Tickets, Access: s.Access, Audit: s.Audit, Relay: s.Relay, Logger: slog.New(slog.DiscardHandler), Now: func() time.Time { return now }})
	ask := func(address, token string) *http.Response {
		r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/api/v1/accounts/me", nil)
		r.RemoteAddr = address + ":1234"
		r.Header.Set("Authorization", "Bearer "+token)
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		return w.Result()
	}
	limited := func(res *http.Response, what string) {
		t.Helper()
		var p wire.Problem
		if err := json.NewDecoder(res.Body).Decode(&p); err != nil || res.StatusCode != http.StatusTooManyRequests || p.Code != wire.CodeLimited ||
			res.Header.Get("Retry-After") != "1" || res.Header.Get("Content-Type") != "application/problem+json" {
			t.Errorf("%s: status %d, %+v, %v, %v", what, res.StatusCode, p, res.Header, err)
		}
	}
	for i := range api.CallerBurst {
		if res := ask("192.0.2.1", anna.Token); res.StatusCode != http.StatusOK {
			t.Fatalf("request %d: status %d", i, res.StatusCode)
		}
	}
	limited(ask("192.0.2.2", anna.Token), "one account from another address")
	if res := ask("192.0.2.1", marco.Token); res.StatusCode != http.StatusOK {
		t.Errorf("another account is held up: %d", res.StatusCode)
	}
	now = now.Add(100 * time.Millisecond)
	if res := ask("192.0.2.2", anna.Token); res.StatusCode != http.StatusOK {
		t.Errorf("after the wait: %d", res.StatusCode)
	}
	for i := range api.AddressBurst {
		if res := ask("192.0.2.3", "wrong"); res.StatusCode != http.StatusUnauthorized {
			t.Fatalf("guess %d: status %d", i, res.StatusCode)
		}
	}
	limited(ask("192.0.2.3", marco.Token), "an address that guesses")
	if res := ask("192.0.2.4", marco.Token); res.StatusCode != http.StatusOK {
		t.Errorf("another address is held up: %d", res.StatusCode)
	}
}

// TestDeviceIsToldToComeBackLater gets 429 for one ticket too many, and the same ticket is filed later.
func TestDeviceIsToldToComeBackLater(t *testing.T) {
	s := servertest.Start(t)
	s.Tickets.LimitDevices(1)
	d := s.Enrol(t, "PC-1", "Studio Verdi")
	d.File(t, "first")
	in := servertest.NewTicket("second")
	if status, p := d.Call(t, http.MethodPost, "/api/v1/device/tickets", in, nil); status != http.StatusTooManyRequests || p.Code != wire.CodeLimited {
		t.Errorf("got %d %+v", status, p)
	}
	s.Tickets.LimitDevices(1) // as after a while
	if status, p := d.Call(t, http.MethodPost, "/api/v1/device/tickets", in, nil); status != http.StatusOK {
		t.Errorf("later: %d %+v", status, p)
	}
}
