package api

import (
	"context"
	"net/http"
	"time"

	"github.com/traybell/traybell/server/internal/account"
	deskdevice "github.com/traybell/traybell/server/internal/desk/device"
	"github.com/traybell/traybell/server/internal/device"
	"github.com/traybell/traybell/shared/link"
)

// Device is an enrolled computer.
type Device struct {
	ID           string      `json:"id"`
	Name         string      `json:"name"`
	Organization string      `json:"organization"`
	Online       bool        `json:"online"`
	SeenAt       int64       `json:"seen_at"`
	EnrolledAt   int64       `json:"enrolled_at"`
	Address      string      `json:"address,omitempty"`
	LinkKey      []byte      `json:"link_key"`
	GrantKey     []byte      `json:"grant_key"`
	Facts        *link.Facts `json:"facts"`
	Support      string      `json:"support" doc:"of its system: supported, ending, ended or unknown"`
	SupportEnds  string      `json:"support_ends,omitempty" doc:"the day, as 2028-06-30"`
}

func (s *server) deviceOf(d device.Device) Device {
	// The relay knows better than the row while a link is just coming or going.
	online := d.Online
	if s.Relay != nil {
		online = s.Relay.Online(string(d.ID))
	}
	support, end := device.SupportOf(d.Facts, time.Now())
	ends := ""
	if !end.IsZero() {
		ends = end.Format(time.DateOnly)
	}
	return Device{Support: string(support), SupportEnds: ends, ID: string(d.ID), Name: d.Name, Organization: d.OrganizationName, Online: online, SeenAt: micros(d.SeenAt), EnrolledAt: micros(d.EnrolledAt), Address: d.Address,
		LinkKey: d.LinkKey, GrantKey: d.GrantKey, Facts: &d.Facts}
}

// EnrolmentKey is a key that brings in devices. Key is the whole secret, shown once.
type EnrolmentKey struct {
	ID           string `json:"id"`
	Key          string `json:"key,omitempty"`
	Organization string `json:"organization"` // id
	TLS          string `json:"tls"`
	Uses         int    `json:"uses"`
	Used         int    `json:"used"`
	ExpiresAt    int64  `json:"expires_at"`
}

func enrolmentKeyOf(k device.EnrolmentKey) EnrolmentKey {
	return EnrolmentKey{ID: k.ID, Organization: string(k.Organization), TLS: k.TLS, Uses: k.Uses, Used: k.Used, ExpiresAt: micros(k.ExpiresAt)}
}

// DevicePath names a device, or something else by its id.
type DevicePath struct {
	ID string `path:"id" maxLength:"36"`
}

// devices registers what accounts do with devices.
func (s *server) devices() {
	type listDevicesInput struct {
		Limit        int    `query:"limit" minimum:"1" maximum:"1000" default:"200"`
		Cursor       string `query:"cursor" maxLength:"1000"`
		Query        string `query:"query" maxLength:"200"`
		Online       bool   `query:"online"`
		Organization string `query:"organization" maxLength:"36"`
	}
	type deviceList struct {
		Devices []Device `json:"devices"`
		Next    string   `json:"next" doc:"cursor of the next page; empty after the last"`
	}
	register(s, operation("list-devices", http.MethodGet, "/devices", "List devices by name", http.StatusOK), func(ctx context.Context, in *listDevicesInput) (*body[deviceList], error) {
		devices, next, err := s.Devices.List(ctx, actorOf(ctx), deskdevice.Filter{Query: in.Query, Online: in.Online, Organization: account.OrganizationID(in.Organization), After: in.Cursor, Limit: in.Limit})
		out := deviceList{Devices: []Device{}, Next: next}
		for _, d := range devices {
			out.Devices = append(out.Devices, s.deviceOf(d))
		}
		return &body[deviceList]{out}, err
	})

	get := func(ctx context.Context, id string) (*body[Device], error) {
		d, err := s.Devices.Get(ctx, actorOf(ctx), device.ID(id))
		return &body[Device]{s.deviceOf(d)}, err
	}
	register(s, operation("get-device", http.MethodGet, "/devices/{id}", "One device", http.StatusOK), func(ctx context.Context, in *DevicePath) (*body[Device], error) {
		return get(ctx, in.ID)
	})

	type renameInput struct {
		DevicePath
		Body struct {
			Name string `json:"name"`
		}
	}
	register(s, operation("rename-device", http.MethodPatch, "/devices/{id}", "Rename a device; staff only", http.StatusOK), func(ctx context.Context, in *renameInput) (*body[Device], error) {
		if err := s.Devices.Rename(ctx, actorOf(ctx), device.ID(in.ID), in.Body.Name); err != nil {
			return nil, err
		}
		return get(ctx, in.ID)
	})

	register(s, operation("remove-device", http.MethodDelete, "/devices/{id}", "Remove a device; administrators only", http.StatusNoContent), func(ctx context.Context, in *DevicePath) (*none, error) {
		if err := s.Devices.Remove(ctx, actorOf(ctx), device.ID(in.ID)); err != nil {
			return nil, err
		}
		if err := s.Access.DeviceRemoved(ctx, device.ID(in.ID)); err != nil {
			return nil, err
		}
		if s.Relay != nil {
			s.Relay.Drop(in.ID, "unknown_device", device.ErrRemoved.Error())
		}
		return nil, nil
	})

	type keyInput struct {
		Body struct {
			Organization string `json:"organization,omitempty" doc:"name; an administrator's new name makes a new organization"`
			Uses         int    `json:"uses,omitempty" doc:"default 1"`
			Seconds      int64  `json:"seconds,omitempty" minimum:"0" maximum:"31622400" doc:"until it expires; default a day"`
			TLS          string `json:"tls,omitempty" doc:"pinned (default) or proxy"`
		}
	}
	register(s, operation("make-enrolment-key", http.MethodPost, "/enrolment-keys", "Make an enrolment key; administrators only", http.StatusCreated), func(ctx context.Context, in *keyInput) (*body[EnrolmentKey], error) {
		key, k, err := s.Devices.CreateEnrolmentKey(ctx, actorOf(ctx), deskdevice.NewKey{Organization: in.Body.Organization, Uses: in.Body.Uses, Life: time.Duration(in.Body.Seconds) * time.Second, TLS: in.Body.TLS})
		if err != nil {
			return nil, err
		}
		out := enrolmentKeyOf(k)
		out.Key = key.String()
		return &body[EnrolmentKey]{out}, nil
	})

	type enrolmentKeyList struct {
		Keys []EnrolmentKey `json:"enrolment_keys"`
	}
	register(s, operation("list-enrolment-keys", http.MethodGet, "/enrolment-keys", "The keys that still bring in devices; administrators only", http.StatusOK), func(ctx context.Context, _ *none) (*body[enrolmentKeyList], error) {
		list, err := s.Devices.EnrolmentKeys(ctx, actorOf(ctx))
		out := enrolmentKeyList{Keys: []EnrolmentKey{}}
		for _, k := range list {
			out.Keys = append(out.Keys, enrolmentKeyOf(k))
		}
		return &body[enrolmentKeyList]{out}, err
	})

	register(s, operation("revoke-enrolment-key", http.MethodDelete, "/enrolment-keys/{id}", "Withdraw an enrolment key; administrators only", http.StatusNoContent), func(ctx context.Context, in *DevicePath) (*none, error) {
		return nil, s.Devices.RevokeEnrolmentKey(ctx, actorOf(ctx), in.ID)
	})
}
