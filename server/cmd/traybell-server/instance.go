package main

import (
	"context"
	"crypto/ed25519"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"os"
	"path/filepath"

	"github.com/traybell/traybell/server/internal/blob"
	"github.com/traybell/traybell/server/internal/bus"
	"github.com/traybell/traybell/server/internal/desk"
	deskaccess "github.com/traybell/traybell/server/internal/desk/access"
	"github.com/traybell/traybell/server/internal/desk/audit"
	deskdevice "github.com/traybell/traybell/server/internal/desk/device"
	deskmail "github.com/traybell/traybell/server/internal/desk/mail"
	"github.com/traybell/traybell/server/internal/desk/people"
	deskticket "github.com/traybell/traybell/server/internal/desk/ticket"
	"github.com/traybell/traybell/server/internal/directory"
	"github.com/traybell/traybell/server/internal/httpd"
	"github.com/traybell/traybell/server/internal/mail"
	"github.com/traybell/traybell/server/internal/store"
	"github.com/traybell/traybell/shared/api"
)

const defaultURL = "https://localhost:8443"

// instance is the data folder, opened: database, blobs, keys and the use cases on them.
type instance struct {
	dir     string
	url     *url.URL // by which people and devices reach the server
	lock    *os.File
	keys    *httpd.Keys
	store   *store.Store
	bus     *bus.Bus
	options desk.Options
	audit   *audit.Log

	people  *people.People
	devices *deskdevice.Devices
	tickets *deskticket.Tickets
	access  *deskaccess.Sessions
	mails   *deskmail.Mails
}

// open takes the folder's lock and opens everything in it; a new folder is made. public is kept for
// the commands that come later; empty means the one that was kept.
func open(ctx context.Context, dir, public, database string, log *slog.Logger) (in *instance, err error) {
	dir, err = filepath.Abs(dir)
	if err != nil {
		return nil, err
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("make the data folder: %w", err)
	}
	in = &instance{dir: dir}
	defer func() {
		if err != nil {
			in.close()
			in = nil
		}
	}()
	if in.lock, err = lock(dir); err != nil {
		return in, err
	}
	if in.url, err = settle(filepath.Join(dir, "public-url"), public); err != nil {
		return in, err
	}
	if in.keys, err = httpd.OpenKeys(filepath.Join(dir, "keys")); err != nil {
		return in, err
	}
	if database == "" { // the commands use the database that serve was told
		if b, rerr := os.ReadFile(filepath.Join(dir, "database-url")); rerr == nil {
			database = string(b)
		}
	} else if err = os.WriteFile(filepath.Join(dir, "database-url"), []byte(database), 0o600); err != nil {
		return in, err
	}
	if in.store, err = store.Open(ctx, store.Options{Data: dir, DatabaseURL: database, Logger: log}); err != nil {
		return in, fmt.Errorf("open the database: %w", err)
	}
	blobs, err := blob.Open(filepath.Join(dir, "blobs"))
	if err != nil {
		return in, err
	}
	seal, err := in.keys.Seal()
	if err != nil {
		return in, err
	}
	in.bus = bus.New()
	o := desk.Options{Store: in.store, Bus: in.bus, Logger: log, Seal: seal, MailKey: in.keys.Derive("traybell-mail-token-1")}
	in.options = o
	in.people = people.New(people.Options{Options: o, Seal: seal, PublicURL: in.url.String(), LDAP: directory.LDAP{}, OIDC: directory.NewOIDC()})
	in.devices = deskdevice.New(deskdevice.Options{Options: o, Identity: in.keys.Identity.Public().(ed25519.PublicKey), URL: in.url.String(),
		CA: in.keys.CAHash(), Secret: in.keys.Derive("traybell-device-token-1")})
	in.tickets = deskticket.New(deskticket.Options{Options: o, Blobs: blobs})
	in.access = deskaccess.New(o)
	in.mails = deskmail.New(o)
	in.mails.Through(&mail.Transport{PublicURL: in.url.String(), Loop: o.LoopMark()})
	in.audit = audit.New(audit.Options{Options: o, Identity: in.keys.Identity, File: filepath.Join(dir, "audit", "checkpoints.jsonl"), Node: api.NewID(o.Time())})
	return in, in.people.EnsureProvider(ctx, "Traybell")
}

func (in *instance) close() {
	if in.store != nil {
		in.store.Close()
	}
	if in.lock != nil {
		in.lock.Close()
	}
}

// settle keeps the public URL in a file, so that links made by other commands lead to the same place.
func settle(path, public string) (*url.URL, error) {
	if public == "" {
		b, err := os.ReadFile(path)
		switch {
		case err == nil:
			public = string(b)
		case errors.Is(err, os.ErrNotExist):
			public = defaultURL
		default:
			return nil, err
		}
	}
	u, err := url.Parse(public)
	if err != nil || u.Scheme != "https" || u.Host == "" || u.Path != "" && u.Path != "/" || u.User != nil || u.RawQuery != "" {
		return nil, fmt.Errorf("the public URL must be like https://help.example.com:8443, not %q", public)
	}
	u.Path = ""
	return u, os.WriteFile(path, []byte(u.String()), 0o600)
}
