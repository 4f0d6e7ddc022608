package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/url"
	"path/filepath"
	"strings"
	"time"

	"github.com/traybell/traybell/server/internal/account"
	"github.com/traybell/traybell/server/internal/desk"
	deskdevice "github.com/traybell/traybell/server/internal/desk/device"
	"github.com/traybell/traybell/server/internal/desk/people"
	"github.com/traybell/traybell/shared/api"
)

// dataFlag is the folder that every command works on.
type dataFlag struct {
	Data string `help:"The server's data folder." default:"/var/lib/traybell-server" type:"path" env:"TRAYBELL_DATA"`
}

// run executes a command and prints its output.
func (d dataFlag) run(ctx context.Context, c command, log *slog.Logger) error {
	out, err := execute(ctx, d.Data, c, log)
	if err != nil {
		return err
	}
	fmt.Print(out)
	return nil
}

type tokenCmd struct {
	dataFlag
	tokenArgs
}

type tokenArgs struct {
	Account string        `help:"E-mail address of the account." required:""`
	Name    string        `help:"What the token is for." default:"command line"`
	Expires time.Duration `help:"How long it works; 0 is until it is withdrawn." default:"0"`
}

// Run implements the command.
func (c *tokenCmd) Run(ctx context.Context, log *slog.Logger) error {
	return c.run(ctx, &c.tokenArgs, log)
}

func (*tokenArgs) name() string { return "token" }

func (a *tokenArgs) do(ctx context.Context, in *instance) (string, error) {
	_, secret, err := in.people.CreateTokenFor(ctx, desk.System(), a.Account, a.Name, a.Expires)
	return secret + "\n", err
}

type inviteCmd struct {
	dataFlag
	inviteArgs
}

type inviteArgs struct {
	Role         string `help:"requester, responsible, technician or administrator." required:""`
	Email        string `help:"E-mail address of the person." required:""`
	Organization string `help:"Name of the organization; a new one is made. Default: the provider."`
}

// Run implements the command.
func (c *inviteCmd) Run(ctx context.Context, log *slog.Logger) error {
	return c.run(ctx, &c.inviteArgs, log)
}

func (*inviteArgs) name() string { return "invite" }

func (a *inviteArgs) do(ctx context.Context, in *instance) (string, error) {
	_, token, err := in.people.Invite(ctx, desk.System(), people.NewInvitation{Email: a.Email, Role: account.Role(a.Role), Organization: a.Organization})
	return in.link("/invitation", token) + "\n", err
}

// link is an address in the portal with a one-time token behind '#', which browsers never send and
// servers never log.
func (in *instance) link(path, token string) string {
	u := *in.url
	u.Path, u.Fragment = path, "token="+url.QueryEscape(token)
	return u.String()
}

type enrolmentKeyCmd struct {
	dataFlag
	enrolmentKeyArgs
}

type enrolmentKeyArgs struct {
	Organization string        `help:"Name of the organization whose devices they are; a new one is made. Default: the provider."`
	Uses         int           `help:"How many devices it brings in." default:"1"`
	Expires      time.Duration `help:"How long it works." default:"24h"`
	TLS          string        `help:"pinned: devices reach this server itself. proxy: a proxy with a public certificate ends TLS." enum:"pinned,proxy" default:"pinned"`
}

// Run implements the command.
func (c *enrolmentKeyCmd) Run(ctx context.Context, log *slog.Logger) error {
	return c.run(ctx, &c.enrolmentKeyArgs, log)
}

func (*enrolmentKeyArgs) name() string { return "enrolment-key" }

func (a *enrolmentKeyArgs) do(ctx context.Context, in *instance) (string, error) {
	mode := api.TLSPinned
	if a.TLS == "proxy" {
		mode = api.TLSProxy
	}
	key, _, err := in.devices.CreateEnrolmentKey(ctx, desk.System(), deskdevice.NewKey{Organization: a.Organization, Uses: a.Uses, Life: a.Expires, TLS: mode})
	if err != nil {
		return "", err
	}
	return key.String() + "\n", nil
}

type accountCmd struct {
	Reset resetCmd `cmd:"" help:"Give an account a new password and remove its second factor."`
}

type resetCmd struct {
	dataFlag
	resetArgs
}

type resetArgs struct {
	Email string `help:"E-mail address of the account." required:""`
}

// Run implements the command.
func (c *resetCmd) Run(ctx context.Context, log *slog.Logger) error {
	return c.run(ctx, &c.resetArgs, log)
}

func (*resetArgs) name() string { return "reset" }

func (a *resetArgs) do(ctx context.Context, in *instance) (string, error) {
	password, err := in.people.ResetAccount(ctx, desk.System(), a.Email)
	return fmt.Sprintf("New password of %s: %s\nIts authenticator app and all its logins are removed.\n", a.Email, password), err
}

type auditCmd struct {
	Verify verifyCmd `cmd:"" help:"Check that no entry was changed, removed, inserted or reordered."`
}

type verifyCmd struct {
	dataFlag
	verifyArgs
}

type verifyArgs struct {
	Checkpoints string `help:"A file of signed checkpoints, or a folder of them, that was kept elsewhere. The server's own, beside the database, are always compared." placeholder:"FILE|DIR"`
}

// Run implements the command.
func (c *verifyCmd) Run(ctx context.Context, log *slog.Logger) error {
	if c.Checkpoints != "" { // the running server has another working folder
		path, err := filepath.Abs(c.Checkpoints)
		if err != nil {
			return err
		}
		c.Checkpoints = path
	}
	return c.run(ctx, &c.verifyArgs, log)
}

func (*verifyArgs) name() string { return "verify" }

func (a *verifyArgs) do(ctx context.Context, in *instance) (string, error) {
	var marks io.Reader // nil: the server's own file
	if a.Checkpoints != "" {
		var err error
		if marks, err = in.audit.Checkpoints(a.Checkpoints); err != nil {
			return "", err
		}
	}
	r, err := in.audit.Verify(ctx, desk.System(), marks)
	if err == nil && r.Problem != "" {
		err = errors.New(r.String())
	}
	return r.String() + "\n", err
}

type linkCmd struct {
	dataFlag
	linkArgs
}

type linkArgs struct{}

// Run implements the command.
func (c *linkCmd) Run(ctx context.Context, log *slog.Logger) error {
	return c.run(ctx, &c.linkArgs, log)
}

func (*linkArgs) name() string { return "link" }

func (*linkArgs) do(ctx context.Context, in *instance) (string, error) {
	var b strings.Builder
	fmt.Fprintf(&b, "Portal: %s\n", in.url)
	token, err := in.people.FirstAdministratorToken(ctx)
	if err != nil {
		return "", err
	}
	if token != "" {
		fmt.Fprintf(&b, "First administrator: %s\n", in.link("/first", token))
	}
	return b.String(), nil
}
