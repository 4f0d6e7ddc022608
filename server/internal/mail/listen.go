package mail

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"log/slog"
	"net"
	"strings"
	"time"

	"github.com/emersion/go-smtp"

	"github.com/traybell/traybell/server/internal/desk"
	deskticket "github.com/traybell/traybell/server/internal/desk/ticket"
	"github.com/traybell/traybell/server/internal/letter"
)

// Listener takes in mail by SMTP or LMTP from the mail server of an organization. It relays nothing: every
// recipient it accepts is itself, and a mail is acknowledged only once it is on the disk.
type Listener struct {
	Tickets *deskticket.Tickets
	TLS     *tls.Config // for STARTTLS; nil: not offered
	LMTP    bool
	Domain  string   // by which it introduces itself
	Accepts []string // domains of recipients that it takes; empty: every
	Logger  *slog.Logger
}

// Serve takes in mail until ctx ends.
func (l *Listener) Serve(ctx context.Context, on net.Listener) error {
	s := smtp.NewServer(smtp.BackendFunc(func(*smtp.Conn) (smtp.Session, error) { return &delivery{l: l, ctx: ctx}, nil }))
	s.Domain, s.LMTP, s.TLSConfig = l.Domain, l.LMTP, l.TLS
	s.MaxMessageBytes, s.MaxRecipients, s.MaxLineLength = letter.MaxSize, 100, 64<<10
	s.ReadTimeout, s.WriteTimeout = 2*time.Minute, time.Minute
	s.ErrorLog = silent{}
	stop := context.AfterFunc(ctx, func() { s.Close() })
	defer stop()
	err := s.Serve(&bounded{Listener: on, free: make(chan struct{}, maxConnections)})
	if ctx.Err() != nil || errors.Is(err, smtp.ErrServerClosed) {
		return nil
	}
	return err
}

// maxConnections bounds how many mails are read at once, each of which may take twice its size in memory.
const maxConnections = 8

// bounded lets a few connections in; others wait in the kernel.
type bounded struct {
	net.Listener
	free chan struct{}
}

func (b *bounded) Accept() (net.Conn, error) {
	b.free <- struct{}{}
	c, err := b.Listener.Accept()
	if err != nil {
		<-b.free
		return nil, err
	}
	return &counted{Conn: c, free: b.free}, nil
}

type counted struct {
	net.Conn
	free chan struct{}
	done bool
}

func (c *counted) Close() error {
	err := c.Conn.Close()
	if !c.done {
		c.done = true
		<-c.free
	}
	return err
}

// silent keeps what strangers type out of the log.
type silent struct{}

func (silent) Printf(string, ...any) {}
func (silent) Println(...any)        {}

// delivery is one mail that is being handed over.
type delivery struct {
	l   *Listener
	ctx context.Context //nolint:containedctx // the session has no other way to learn of the server's end
	to  []string
}

// Mail implements smtp.Session.
func (d *delivery) Mail(string, *smtp.MailOptions) error { d.to = nil; return nil }

// Rcpt implements smtp.Session.
func (d *delivery) Rcpt(to string, _ *smtp.RcptOptions) error {
	_, domain, _ := strings.Cut(strings.ToLower(to), "@")
	for _, a := range d.l.Accepts {
		if a == domain {
			d.to = append(d.to, to)
			return nil
		}
	}
	if len(d.l.Accepts) > 0 {
		return &smtp.SMTPError{Code: 550, EnhancedCode: smtp.EnhancedCode{5, 7, 1}, Message: "this server takes mail for itself only"}
	}
	d.to = append(d.to, to)
	return nil
}

// Data implements smtp.Session.
func (d *delivery) Data(r io.Reader) error {
	raw, err := io.ReadAll(io.LimitReader(r, letter.MaxSize+1))
	if err != nil {
		return err // the connection, or a mail beyond the size that EHLO names: go-smtp has the answer
	}
	if len(raw) > letter.MaxSize {
		return smtp.ErrDataTooLarge
	}
	way := "smtp"
	if d.l.LMTP {
		way = "lmtp"
	}
	got, err := d.l.Tickets.Receive(d.ctx, deskticket.Incoming{Raw: raw, Mailbox: way, To: d.to})
	if err != nil {
		d.l.Logger.Error("a mail could not be kept; its server tries again", "err", err)
		if errors.Is(err, desk.ErrTooLarge) {
			return smtp.ErrDataTooLarge
		}
		return &smtp.SMTPError{Code: 451, EnhancedCode: smtp.EnhancedCode{4, 3, 0}, Message: "not kept, try again later"}
	}
	d.l.Logger.Info("mail taken in", "outcome", got.Outcome, "ticket", got.Ticket, "mail", got.ID)
	return nil
}

// LMTPData implements smtp.LMTPSession: one answer for each recipient, since the mail is kept once.
func (d *delivery) LMTPData(r io.Reader, status smtp.StatusCollector) error {
	err := d.Data(r)
	for _, to := range d.to {
		status.SetStatus(to, err)
	}
	return nil
}

// Reset implements smtp.Session.
func (d *delivery) Reset() { d.to = nil }

// Logout implements smtp.Session.
func (d *delivery) Logout() error { return nil }
