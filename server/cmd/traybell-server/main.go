// Command traybell-server is the server: portal, API and relay in one program on an embedded
// database. `traybell-server serve` runs it; the other commands work on its data folder. Beside a
// running server they speak to it through DATA/admin.sock, otherwise they take the folder's lock.
//
// Each flag has a variable TRAYBELL_…; --config names a JSON file with the same names.
package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"strings"
	"syscall"

	"github.com/alecthomas/kong"

	"github.com/traybell/traybell/server/internal/desk"
	"github.com/traybell/traybell/shared/version"
)

type cli struct {
	Serve        serveCmd        `cmd:"" help:"Run the server."`
	Token        tokenCmd        `cmd:"" help:"Make an API token for an account and print it."`
	Invite       inviteCmd       `cmd:"" help:"Invite a person and print the link."`
	EnrolmentKey enrolmentKeyCmd `cmd:"" name:"enrolment-key" help:"Make a key with which devices enrol, and print it."`
	Account      accountCmd      `cmd:"" help:"Help somebody who is locked out."`
	ImportMail   importMailCmd   `cmd:"" name:"import-mail" help:"Take in raw mails from files as if they had been delivered."`
	Audit        auditCmd        `cmd:"" help:"Check the audit log."`
	Link         linkCmd         `cmd:"" help:"Print the portal's address and, until it was used, the first administrator's link again."`
	Trust        trustCmd        `cmd:"" help:"Make this machine trust the server's own certificate."`

	Config  kong.ConfigFlag  `help:"JSON file with flags, for example {\"serve\": {\"listen\": \":8443\"}}." type:"path"`
	Version kong.VersionFlag `help:"Print the version."`
}

func main() {
	log := slog.New(slog.NewTextHandler(os.Stderr, nil))
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	k := kong.Parse(&cli{}, kong.Name("traybell-server"), kong.Description("Traybell's server: help desk portal, API and relay."),
		kong.Vars{"version": "traybell-server " + version.Version}, kong.UsageOnError(), kong.Configuration(kong.JSON),
		kong.DefaultEnvars("TRAYBELL"), kong.BindTo(ctx, (*context.Context)(nil)), kong.Bind(log))
	err := k.Run()
	if err == nil {
		return
	}
	var e *desk.Error
	if errors.As(err, &e) {
		err = errors.New(e.Text)
	}
	fmt.Fprintln(os.Stderr, "traybell-server:", strings.TrimSpace(err.Error()))
	os.Exit(1)
}
