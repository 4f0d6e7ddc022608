// Package enrol makes a computer a device of a server: it makes the two keys, proves them, and keeps
// what the enrolment key pins. The command `traybell-agent enrol` calls it.
//
// The keys are on the disk before the server is asked, so that a crash or a lost answer in between
// uses up nothing: the same enrolment key again repeats the same request.
package enrol

import (
	"context"
	"crypto/ed25519"
	"errors"
	"fmt"
	"time"

	"github.com/traybell/traybell/agent/internal/apiclient"
	"github.com/traybell/traybell/agent/internal/keystore"
	"github.com/traybell/traybell/shared/api"
	"github.com/traybell/traybell/shared/link"
)

// ErrEnrolled is returned where the computer belongs to a server already.
var ErrEnrolled = errors.New("this computer is enrolled already")

// Options of Enrol.
type Options struct {
	State   string // state folder
	Machine string // hash of the machine id
	Key     api.EnrolmentKey
	Facts   link.Facts
	Now     time.Time
	Replace bool // enrol anew although the computer is enrolled
}

// Enrol registers this computer and returns its identity. With an enrolment key of the server it
// belongs to already, that was used for it, it returns the identity as it is.
func Enrol(ctx context.Context, o Options) (keystore.Identity, error) {
	id, err := keystore.Load(o.State, o.Machine)
	switch {
	case errors.Is(err, keystore.ErrNone), errors.Is(err, keystore.ErrCloned):
		id = keystore.Identity{}
	case err != nil:
		return id, err
	case id.Enrolled && id.KeyID == o.Key.ID:
		return id, nil
	case id.Enrolled && !o.Replace:
		return id, ErrEnrolled
	}
	if id.Device == "" || id.Enrolled || id.KeyID != o.Key.ID {
		server := keystore.Server{URL: o.Key.URL, Identity: o.Key.Identity, CA: o.Key.CA, TLS: o.Key.TLS}
		former := id
		if id, err = keystore.New(api.NewID(o.Now), server, o.Key.ID); err != nil {
			return id, err
		}
		// An enrolled computer stays what it is until the new server has said yes.
		if !former.Enrolled {
			if err := keystore.Save(o.State, o.Machine, id); err != nil {
				return id, err
			}
		}
	}
	pub := func(k ed25519.PrivateKey) ed25519.PublicKey { return k.Public().(ed25519.PublicKey) }
	proof := api.EnrolProof(o.Key.ID, id.Device, pub(id.LinkKey), pub(id.GrantKey))
	c := apiclient.New(id.Server, func() string { return "" })
	defer c.Close()
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	resp, err := c.Enrol(ctx, api.EnrolRequest{
		Key: o.Key.ID, Secret: o.Key.Secret, Device: id.Device,
		LinkKey: pub(id.LinkKey), GrantKey: pub(id.GrantKey),
		Proof: append(ed25519.Sign(id.LinkKey, proof), ed25519.Sign(id.GrantKey, proof)...),
		Facts: o.Facts,
	})
	if err != nil {
		return id, fmt.Errorf("enrol at %s: %w", id.Server.URL, err)
	}
	if resp.Server != "" && resp.Server != id.Server.ID() {
		return id, fmt.Errorf("enrol at %s: %w", id.Server.URL, link.ErrSignature)
	}
	if resp.Device != "" && resp.Device != id.Device {
		return id, fmt.Errorf("enrol at %s: the server answered for another device", id.Server.URL)
	}
	id.Enrolled, id.Name, id.Organization = true, resp.Name, resp.Organization
	return id, keystore.Save(o.State, o.Machine, id)
}
