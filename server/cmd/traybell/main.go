// Command traybell is the technician's command line: it lists devices and sessions, asks the person at a
// device, and joins native programs with the channels of a session: any VNC viewer, or this terminal.
//
// It speaks the REST interface of a server to which it has been logged in, and knows nothing that the
// interface does not tell. Its token is read from a file, never from the command line, which others can see.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"github.com/alecthomas/kong"

	"github.com/traybell/traybell/shared/catalogue"
	"github.com/traybell/traybell/shared/version"
)

type commands struct {
	Config   string           `help:"File that keeps server, pin and token." type:"path" env:"TRAYBELL_CONFIG" placeholder:"FILE"`
	Version  kong.VersionFlag `help:"Print the version."`
	Login    login            `cmd:"" help:"Remember a server and an API token."`
	Devices  devices          `cmd:"" help:"List devices."`
	Sessions sessions         `cmd:"" help:"List sessions, the newest first."`
	VNC      vnc              `cmd:"" name:"vnc" help:"Ask to see a desktop, then let a VNC viewer connect to a local port."`
	Terminal terminal         `cmd:"" help:"Ask to run commands, then use this terminal for them."`
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	say := catalogue.For(catalogue.Match(os.Getenv("LC_ALL"), os.Getenv("LC_MESSAGES"), os.Getenv("LANG")))
	var c commands
	k := kong.Parse(&c, kong.Name("traybell"), kong.Description("The technician's command line of Traybell."), kong.UsageOnError(),
		kong.Vars{"version": version.Version}, kong.BindTo(ctx, (*context.Context)(nil)), kong.Bind(say))
	err := k.Run(&program{config: c.Config, say: say})
	if code, ok := errors.AsType[exitCode](err); ok {
		stop()
		os.Exit(int(code))
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "traybell: "+sentence(err, say))
		stop()
		os.Exit(1)
	}
}

// exitCode ends the program with the code of what ran at the device.
type exitCode int

// Error implements error.
func (e exitCode) Error() string { return fmt.Sprintf("exit code %d", int(e)) }

// program is what every command works with.
type program struct {
	config string // file; empty: in the user's own configuration folder
	say    *catalogue.Printer
}
