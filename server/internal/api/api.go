// Package api is the REST interface under /api/v1: for programs, the command line and devices.
//
// It hides HTTP: it maps bodies to the desk's use cases and the desk's error kinds to RFC 9457 problems, and
// publishes itself as OpenAPI 3.1 at /api/v1/openapi.json. Programs come with an account's API token, devices
// with the token that their link gave them. Readers ignore unknown fields. httpd mounts New at /api/v1/.
package api

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"maps"
	"net"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humago"

	"github.com/traybell/traybell/server/internal/desk"
	deskaccess "github.com/traybell/traybell/server/internal/desk/access"
	"github.com/traybell/traybell/server/internal/desk/audit"
	deskdevice "github.com/traybell/traybell/server/internal/desk/device"
	"github.com/traybell/traybell/server/internal/desk/people"
	deskticket "github.com/traybell/traybell/server/internal/desk/ticket"
	"github.com/traybell/traybell/server/internal/device"
	"github.com/traybell/traybell/server/internal/relay"
	"github.com/traybell/traybell/shared/api"
	"github.com/traybell/traybell/shared/catalogue"
	"github.com/traybell/traybell/shared/version"
)

// Prefix is where the interface is mounted.
const Prefix = "/api/v1"

// Options are what the interface works with.
type Options struct {
	People  *people.People
	Devices *deskdevice.Devices
	Tickets *deskticket.Tickets
	Access  *deskaccess.Sessions
	Audit   *audit.Log
	Relay   *relay.Relay
	Logger  *slog.Logger
	URL     string           // by which the server is reached, for the OpenAPI document
	Now     func() time.Time // nil: the wall clock
}

type server struct {
	Options
	api       huma.API
	mux       *http.ServeMux
	addresses *desk.Limiter
	callers   *desk.Limiter // accounts and devices
}

// How much one address, and one account or device, may ask: a burst, and one request each interval after that. Many
// share an address behind a router; an account's tokens share its count.
const (
	AddressBurst = 3000
	addressEvery = 20 * time.Millisecond
	CallerBurst  = 600
	callerEvery  = 100 * time.Millisecond
)

const (
	accountScheme = "token"
	deviceScheme  = "device"
)

// New returns the handler of everything under Prefix.
func New(o Options) http.Handler {
	if o.Now == nil {
		o.Now = time.Now
	}
	s := &server{Options: o, mux: http.NewServeMux(), addresses: desk.NewLimiter(AddressBurst, addressEvery), callers: desk.NewLimiter(CallerBurst, callerEvery)}
	c := huma.DefaultConfig("Traybell", version.Version)
	c.CreateHooks = nil // no $schema in bodies
	c.OpenAPIPath, c.DocsPath, c.SchemasPath = Prefix+"/openapi", "", ""
	c.AllowAdditionalPropertiesByDefault = true
	c.Components.SecuritySchemes = map[string]*huma.SecurityScheme{
		accountScheme: {Type: "http", Scheme: "bearer", Description: "An API token of an account, made in the portal's settings or by traybell-server token."},
		deviceScheme:  {Type: "http", Scheme: "bearer", Description: "The token that a device got with its link's welcome."},
	}
	c.Info.Description = "Tickets, devices and remote sessions. Times are Unix microseconds. Errors are RFC 9457 problems with a stable code."
	if o.URL != "" {
		c.Servers = []*huma.Server{{URL: o.URL}}
	}
	c.Transformers = append(c.Transformers, s.transform)
	s.api = humago.New(s.mux, c)
	s.api.UseMiddleware(s.authorise)
	s.devicesOwn()
	s.tickets()
	s.ticketWork()
	s.devices()
	s.sessions()
	s.people()
	s.log()
	s.mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) { s.problem(w, r, desk.Fail(desk.ErrNotFound)) })

	guard := http.NewCrossOriginProtection()
	guard.SetDenyHandler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { s.problem(w, r, desk.Fail(desk.ErrDenied)) }))
	next := guard.Handler(s.mux)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("X-Content-Type-Options", "nosniff")
		w.Header().Set("Cache-Control", "no-store")
		if _, err := s.addresses.Pass(hostOf(r.RemoteAddr), s.Now()); err != nil {
			s.problem(w, r, err)
			return
		}
		next.ServeHTTP(w, r)
	})
}

// problem is an error as it goes over the wire.
type problem struct {
	api.Problem
	after time.Duration // of too many requests: when to try again
}

// GetHeaders implements huma.HeadersError.
func (p *problem) GetHeaders() http.Header {
	h := http.Header{}
	if p.after > 0 {
		h.Set("Retry-After", strconv.FormatInt(int64((p.after+time.Second-1)/time.Second), 10))
	}
	return h
}

// GetStatus implements huma.StatusError.
func (p *problem) GetStatus() int { return p.Status }

// ContentType implements huma.ContentTypeFilter.
func (p *problem) ContentType(string) string { return "application/problem+json" }

var kinds = []struct {
	kind   error
	status int
	code   string
}{
	{desk.ErrInvalid, http.StatusUnprocessableEntity, api.CodeInvalid},
	{desk.ErrDenied, http.StatusForbidden, api.CodeDenied},
	{desk.ErrNotFound, http.StatusNotFound, api.CodeNotFound},
	{desk.ErrConflict, http.StatusConflict, api.CodeConflict},
	{desk.ErrTooLarge, http.StatusRequestEntityTooLarge, api.CodeTooLarge},
	{desk.ErrUnavailable, http.StatusServiceUnavailable, api.CodeUnavailable},
	{desk.ErrLimited, http.StatusTooManyRequests, api.CodeLimited},
}

// fail makes a problem out of an error of the desk. What the desk does not know is logged and told as
// unavailable: nothing is said to be kept that may not be.
func (s *server) fail(err error, language string) *problem {
	if err == nil {
		return nil
	}
	var p *problem
	if errors.As(err, &p) {
		return p
	}
	err = desk.Fail(err)
	for _, k := range kinds {
		if errors.Is(err, k.kind) {
			if k.kind == desk.ErrUnavailable {
				s.Logger.Error("request could not be stored", "err", cause(err))
			}
			p := newProblem(k.status, k.code, desk.Text(err, language))
			var e *desk.Error
			if errors.As(err, &e) {
				p.after = e.After
			}
			return p
		}
	}
	if !errors.Is(err, context.Canceled) && !errors.Is(err, context.DeadlineExceeded) {
		s.Logger.Error("request failed", "err", err)
	}
	return newProblem(http.StatusServiceUnavailable, api.CodeUnavailable, desk.Text(desk.ErrUnavailable, language))
}

// cause is what the log says of an error.
func cause(err error) error {
	var e *desk.Error
	if errors.As(err, &e) {
		return e.Cause()
	}
	return err
}

func newProblem(status int, code, detail string) *problem {
	return &problem{Problem: api.Problem{Title: http.StatusText(status), Status: status, Code: code, Detail: detail}}
}

// problem answers a request outside of huma with an error.
func (s *server) problem(w http.ResponseWriter, r *http.Request, err error) {
	p := s.fail(err, language(r.Header.Get("Accept-Language")))
	maps.Copy(w.Header(), p.GetHeaders())
	w.Header().Set("Content-Type", p.ContentType(""))
	w.WriteHeader(p.Status)
	json.NewEncoder(w).Encode(p)
}

// transform gives huma's own errors (of form, not of content) the shape of all others.
func (s *server) transform(_ huma.Context, _ string, v any) (any, error) {
	m, ok := v.(*huma.ErrorModel)
	if !ok {
		return v, nil
	}
	p := newProblem(m.Status, api.CodeInvalid, m.Detail)
	for _, e := range m.Errors {
		p.Detail += "; " + e.Error()
	}
	switch m.Status {
	case http.StatusUnauthorized:
		p.Code = api.CodeUnauthorized
	case http.StatusRequestEntityTooLarge:
		p.Code = api.CodeTooLarge
	case http.StatusNotFound:
		p.Code = api.CodeNotFound
	case http.StatusRequestTimeout:
		p.Code = api.CodeUnavailable
	}
	return p, nil
}

type (
	actorKey    struct{}
	languageKey struct{}
)

// authorise finds the actor of operations that name a scheme.
func (s *server) authorise(ctx huma.Context, next func(huma.Context)) {
	lang := language(ctx.Header("Accept-Language"))
	ctx = huma.WithValue(ctx, languageKey{}, lang)
	for _, scheme := range ctx.Operation().Security {
		_, asDevice := scheme[deviceScheme]
		a, err := s.actor(ctx.Context(), asDevice, ctx.Header("Authorization"), ctx.RemoteAddr())
		if err != nil {
			p := s.fail(err, lang)
			if p.Status == http.StatusForbidden {
				p.Status, p.Title, p.Code = http.StatusUnauthorized, http.StatusText(http.StatusUnauthorized), api.CodeUnauthorized
				ctx.SetHeader("WWW-Authenticate", "Bearer")
			}
			b, _ := json.Marshal(p)
			for k := range p.GetHeaders() {
				ctx.SetHeader(k, p.GetHeaders().Get(k))
			}
			ctx.SetHeader("Content-Type", p.ContentType(""))
			ctx.SetStatus(p.Status)
			ctx.BodyWriter().Write(b)
			return
		}
		ctx = huma.WithValue(ctx, actorKey{}, a)
	}
	next(ctx)
}

// actor finds who a bearer token belongs to: a device, or an account.
func (s *server) actor(ctx context.Context, asDevice bool, authorization, remote string) (desk.Actor, error) {
	token, ok := bearer(authorization)
	if !ok {
		return desk.Actor{}, desk.Refuse(desk.ErrDenied, "token_unknown")
	}
	address := hostOf(remote)
	var a desk.Actor
	var err error
	if asDevice {
		var id device.ID
		id, err = s.Devices.ByToken(ctx, token)
		a = desk.Device(id)
		a.Address = address
	} else {
		a, err = s.People.ActorByToken(ctx, token, address)
	}
	if err == nil {
		_, err = s.callers.Pass(a.Ref(), s.Now())
	}
	return a, err
}

// caller finds the account that a request's bearer token belongs to, for handlers beside huma.
func (s *server) caller(r *http.Request) (desk.Actor, error) {
	return s.actor(r.Context(), false, r.Header.Get("Authorization"), r.RemoteAddr)
}

func bearer(h string) (string, bool) {
	scheme, token, ok := strings.Cut(h, " ")
	return strings.TrimSpace(token), ok && strings.EqualFold(scheme, "bearer")
}

func hostOf(remote string) string {
	if h, _, err := net.SplitHostPort(remote); err == nil {
		return h
	}
	return remote
}

func language(accept string) string {
	if len(accept) > 200 {
		accept = ""
	}
	return catalogue.Match(accept)
}

// actorOf is the actor of an authorised operation.
func actorOf(ctx context.Context) desk.Actor {
	a, _ := ctx.Value(actorKey{}).(desk.Actor)
	return a
}

func deviceOf(ctx context.Context) device.ID { return actorOf(ctx).Device }

func languageOf(ctx context.Context) string {
	l, _ := ctx.Value(languageKey{}).(string)
	return l
}

// operation describes an operation for accounts.
func operation(id, method, path, summary string, status int) huma.Operation {
	tag, _, _ := strings.Cut(strings.TrimPrefix(path, "/"), "/")
	return huma.Operation{OperationID: id, Method: method, Path: Prefix + path, Summary: summary, DefaultStatus: status, Tags: []string{tag},
		Security: []map[string][]string{{accountScheme: {}}}, BodyReadTimeout: 30 * time.Second}
}

// register registers an operation whose handler's errors are the desk's.
func register[I, O any](s *server, op huma.Operation, f func(context.Context, *I) (*O, error)) {
	huma.Register(s.api, op, func(ctx context.Context, in *I) (*O, error) {
		out, err := f(ctx, in)
		if err != nil {
			return nil, s.fail(err, languageOf(ctx))
		}
		return out, nil
	})
}

// body wraps a value as huma wants it.
type body[T any] struct{ Body T }

// none is an input without parameters, or an answer without a body.
type none struct{}

func micros(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.UnixMicro()
}
