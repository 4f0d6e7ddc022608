package api

import (
	"context"
	"errors"
	"net/http"
	"strconv"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/traybell/traybell/server/internal/desk"
	"github.com/traybell/traybell/server/internal/ticket"
	"github.com/traybell/traybell/shared/api"
)

const maxDeviceTicket = 4 << 20

// devicesOwn registers what devices call.
func (s *server) devicesOwn() {
	op := func(id, method, path, summary string) huma.Operation {
		o := operation(id, method, path, summary, http.StatusOK)
		o.Security = []map[string][]string{{deviceScheme: {}}}
		o.MaxBodyBytes, o.BodyReadTimeout = maxDeviceTicket, time.Minute
		return o
	}

	s.similarOwn(op)
	enrol := op("enrol-device", http.MethodPost, "/device/enrol", "Enrol a device by an enrolment key")
	enrol.Security = nil
	type enrolInput struct {
		Remote
		Body api.EnrolRequest
	}
	register(s, enrol, func(ctx context.Context, in *enrolInput) (*body[api.EnrolResponse], error) {
		r, err := s.Devices.Enrol(ctx, in.Body, in.address)
		return &body[api.EnrolResponse]{r}, err
	})

	type ownerInput struct{ Body api.OwnerClaim }
	register(s, op("look-owner", http.MethodPost, "/device/owners/look", "Whose account a code would link an OS user of this device to"),
		func(ctx context.Context, in *ownerInput) (*body[api.Owner], error) {
			o, err := s.Devices.LookOwner(ctx, deviceOf(ctx), in.Body)
			return &body[api.Owner]{o}, err
		})
	register(s, op("claim-owner", http.MethodPost, "/device/owners", "An OS user of this device confirms a code; the account confirms it in the portal"),
		func(ctx context.Context, in *ownerInput) (*body[api.Owner], error) {
			o, err := s.Devices.ClaimOwner(ctx, deviceOf(ctx), in.Body)
			return &body[api.Owner]{o}, err
		})
	register(s, op("device-owners", http.MethodGet, "/device/owners", "The accounts to which OS users of this device are linked"),
		func(ctx context.Context, _ *none) (*body[api.OwnerList], error) {
			list, err := s.Devices.OwnersHere(ctx, deviceOf(ctx))
			return &body[api.OwnerList]{api.OwnerList{Owners: list}}, err
		})
	type endOwnerInput struct {
		ID   string `path:"id" maxLength:"36"`
		User string `query:"user_id" maxLength:"200" required:"true"`
	}
	end := op("end-owner-here", http.MethodDelete, "/device/owners/{id}", "An OS user of this device ends the link to an account")
	end.DefaultStatus = http.StatusNoContent
	register(s, end, func(ctx context.Context, in *endOwnerInput) (*none, error) {
		return nil, s.Devices.EndOwnerHere(ctx, deviceOf(ctx), in.ID, in.User)
	})

	type fileInput struct{ Body api.DeviceTicket }
	register(s, op("file-ticket", http.MethodPost, "/device/tickets", "File a ticket; the same id with the same body gives the same answer"),
		func(ctx context.Context, in *fileInput) (*body[api.TicketFiled], error) {
			f, err := s.Tickets.FileFromDevice(ctx, deviceOf(ctx), in.Body)
			return &body[api.TicketFiled]{f}, err
		})

	type filedInput struct {
		ID string `path:"id" maxLength:"36"`
	}
	register(s, op("filed-ticket", http.MethodGet, "/device/tickets/{id}", "What became of a ticket that this device filed"),
		func(ctx context.Context, in *filedInput) (*body[api.TicketFiled], error) {
			f, err := s.Tickets.FiledFromDevice(ctx, deviceOf(ctx), ticket.ID(in.ID))
			return &body[api.TicketFiled]{f}, err
		})

	put := op("put-ticket-file", http.MethodPut, "/device/tickets/{id}/files/{index}", "The bytes of a file that was announced with a ticket")
	put.DefaultStatus = http.StatusNoContent
	s.stream(put, true, func(w http.ResponseWriter, r *http.Request, a desk.Actor) error {
		index, err := strconv.Atoi(r.PathValue("index"))
		if err != nil || index < 0 || index >= api.MaxFiles {
			return desk.Fail(desk.ErrNotFound)
		}
		r.Body = http.MaxBytesReader(w, r.Body, api.MaxFileSize)
		if err := s.Tickets.PutDeviceFile(r.Context(), a.Device, ticket.ID(r.PathValue("id")), index, r.Body); err != nil {
			return err
		}
		w.WriteHeader(http.StatusNoContent)
		return nil
	})
}

// Remote takes the caller's address from the request.
type Remote struct{ address string }

// Resolve implements huma.Resolver.
func (r *Remote) Resolve(ctx huma.Context) []error {
	r.address = hostOf(ctx.RemoteAddr())
	return nil
}

// stream registers an operation whose bodies are streamed, which huma would hold in memory.
func (s *server) stream(op huma.Operation, asDevice bool, f func(http.ResponseWriter, *http.Request, desk.Actor) error) {
	op.Responses = map[string]*huma.Response{strconv.Itoa(op.DefaultStatus): {Description: http.StatusText(op.DefaultStatus)}}
	for _, name := range pathNames(op.Path) {
		op.Parameters = append(op.Parameters, &huma.Param{Name: name, In: "path", Required: true, Schema: &huma.Schema{Type: huma.TypeString}})
	}
	if op.Method != http.MethodGet {
		op.RequestBody = &huma.RequestBody{Required: true, Content: map[string]*huma.MediaType{"application/octet-stream": {}}}
	} else {
		op.Responses[strconv.Itoa(op.DefaultStatus)].Content = map[string]*huma.MediaType{"application/octet-stream": {}}
	}
	s.api.OpenAPI().AddOperation(&op)
	s.mux.HandleFunc(op.Method+" "+op.Path, func(w http.ResponseWriter, r *http.Request) {
		a, err := s.actor(r.Context(), asDevice, r.Header.Get("Authorization"), r.RemoteAddr)
		if err != nil {
			if errors.Is(err, desk.ErrDenied) {
				w.Header().Set("WWW-Authenticate", "Bearer")
				lang := language(r.Header.Get("Accept-Language"))
				err = newProblem(http.StatusUnauthorized, api.CodeUnauthorized, desk.Text(err, lang))
			}
			s.problem(w, r, err)
			return
		}
		if err := f(w, r, a); err != nil {
			var big *http.MaxBytesError
			if errors.As(err, &big) {
				err = desk.Refuse(desk.ErrTooLarge, "file_too_large")
			}
			s.problem(w, r, err)
		}
	})
}

// pathNames lists the names in braces of a path.
func pathNames(path string) (names []string) {
	for i := 0; i < len(path); i++ {
		if path[i] == '{' {
			j := i + 1
			for path[j] != '}' {
				j++
			}
			names = append(names, path[i+1:j])
			i = j
		}
	}
	return names
}
