// Command traybell-agent is Traybell on a device: the service itself (run), its enrolment, and every
// act of a person at the device as a command, for text consoles and desktops without a tray.
//
// All commands except run, enrol and service speak to the running service over its socket. Exit
// codes: 0 done, 1 refused or failed, 2 wrong usage, 3 the service is not running.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"

	"github.com/alecthomas/kong"

	"github.com/traybell/traybell/agent/internal/localapi"
	"github.com/traybell/traybell/shared/api"
	"github.com/traybell/traybell/shared/catalogue"
	"github.com/traybell/traybell/shared/version"
)

// cli is the command line.
type cli struct {
	Version kong.VersionFlag `help:"Print the version." short:"V"`

	Run     runCmd     `cmd:"" help:"Run the device service."`
	Enrol   enrolCmd   `cmd:"" help:"Enrol this computer at a server."`
	Status  statusCmd  `cmd:"" help:"Show the state of the service and of the link."`
	Report  reportCmd  `cmd:"" help:"Show what this computer reports, and who sees it."`
	Ticket  ticketCmd  `cmd:"" help:"File a ticket."`
	Tickets ticketsCmd `cmd:"" help:"List the tickets you filed from this computer."`

	Watch    watchCmd    `cmd:"" help:"Be present without a tray: show questions as they come."`
	Consents consentsCmd `cmd:"" aliases:"requests" help:"List the questions that wait for you."`
	Allow    allowCmd    `cmd:"" help:"Allow what a question asks for."`
	Refuse   refuseCmd   `cmd:"" help:"Refuse a question."`

	Grants   grantsCmd   `cmd:"" help:"List, add or end permissions."`
	Sessions sessionsCmd `cmd:"" help:"List who is connected now."`
	Pause    pauseCmd    `cmd:"" help:"Blank the picture and drop all input of a session."`
	Resume   resumeCmd   `cmd:"" help:"Let a paused session go on."`
	End      endCmd      `cmd:"" help:"End remote access now: one session, or everything."`
	History  historyCmd  `cmd:"" help:"Show who was on this computer."`

	Link linkCmd `cmd:"" help:"Link this computer to your account, by the code that the portal shows."`

	Service serviceCmd `cmd:"" help:"Install, remove, start or stop the system service."`
}

// app is what commands need of the process.
type app struct {
	ctx context.Context
	in  io.Reader
	out io.Writer
	say *catalogue.Printer
}

// Exit codes.
const (
	exitFailed     = 1
	exitUsage      = 2
	exitNotRunning = 3
)

// silent is an error that was told already.
type silent struct{ code int }

func (s silent) Error() string { return fmt.Sprintf("exit %d", s.code) }

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	code := execute(ctx, os.Args[1:], os.Stdin, os.Stdout, os.Stderr)
	stop()
	os.Exit(code)
}

func execute(ctx context.Context, args []string, in io.Reader, out, errOut io.Writer) int {
	a := &app{ctx: ctx, in: in, out: out, say: catalogue.For(language())}
	var c cli
	exited := -1
	parser, err := kong.New(&c, kong.Name("traybell-agent"), kong.Description("Traybell on this computer."),
		kong.UsageOnError(), kong.Writers(out, errOut), kong.Vars{"version": version.Version},
		kong.Exit(func(code int) { exited = code }))
	if err != nil {
		fmt.Fprintln(errOut, err)
		return exitUsage
	}
	k, err := parser.Parse(args)
	if exited >= 0 {
		return exited
	}
	if err != nil {
		fmt.Fprintln(errOut, "traybell-agent:", err)
		return exitUsage
	}
	err = k.Run(a)
	var s silent
	switch {
	case err == nil:
		return 0
	case errors.As(err, &s):
		return s.code
	}
	fmt.Fprintln(errOut, "traybell-agent:", a.sentence(err))
	if errors.Is(err, localapi.ErrNotRunning) {
		return exitNotRunning
	}
	return exitFailed
}

// sentence says what went wrong and what to do next.
func (a *app) sentence(err error) string {
	var p api.Problem
	switch {
	case errors.As(err, &p) && p.Detail != "":
		return p.Detail
	case errors.Is(err, localapi.ErrNotRunning):
		return a.say.T("agent.error.not_running")
	case errors.Is(err, localapi.ErrImpostor):
		return a.say.T("agent.error.impostor")
	}
	return err.Error()
}

// language is the reader's, by the environment.
func language() string {
	return catalogue.Match(os.Getenv("LC_ALL"), os.Getenv("LC_MESSAGES"), os.Getenv("LANG"))
}

// printf writes a message of the catalogue and a line's end.
func (a *app) print(id string, args ...any) { fmt.Fprintln(a.out, a.say.T(id, args...)) }
