// Package mail writes the server's mails in four languages, as text and as HTML, and speaks to mail servers.
//
// It is an edge: the desk owes mails as data (desk.Mail) and hands them over as a Letter; here they become
// sentences of the catalogue in a layout of tables that mail programs can draw, without remote pictures and
// readable in dark mode. What a mail server answers comes back as a receipt or as a SendError that says how far
// it came. Nothing here is logged.
package mail

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/textproto"
	"slices"
	"strings"
	"time"

	"github.com/wneessen/go-mail"
	"github.com/wneessen/go-mail/smtp"

	deskmail "github.com/traybell/traybell/server/internal/desk/mail"
	"github.com/traybell/traybell/shared/version"
)

// timeout is for a whole mail; a job has half a minute.
const timeout = 25 * time.Second

// Transport writes and sends letters. It implements the desk's Transport.
type Transport struct {
	PublicURL string         // https://host[:port], before the paths of links
	Loop      string         // this server's own X-Loop mark: a mail that carries it was sent by us
	Roots     *x509.CertPool // for the mail server's certificate; nil: the system's
}

var _ deskmail.Transport = (*Transport)(nil)

// Send writes l and hands it to s.
func (t *Transport) Send(ctx context.Context, s deskmail.Server, l deskmail.Letter) (r deskmail.Receipt, err error) {
	m, err := t.write(l)
	if err != nil {
		return r, &deskmail.SendError{Stage: deskmail.StageContent, Permanent: true, Text: err.Error()}
	}
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	options := []mail.Option{mail.WithPort(s.Port), mail.WithTimeout(timeout), mail.WithTLSConfig(&tls.Config{ServerName: s.Host, RootCAs: t.Roots, MinVersion: tls.VersionTLS12}), mail.WithHELO(helo(l.From))}
	switch s.Security {
	case deskmail.TLS:
		options = append(options, mail.WithSSL())
	case deskmail.STARTTLS:
		options = append(options, mail.WithTLSPolicy(mail.TLSMandatory))
	default:
		options = append(options, mail.WithTLSPolicy(mail.NoTLS))
	}
	if s.User != "" {
		kind := mail.SMTPAuthAutoDiscover
		if s.Security == deskmail.Plain {
			kind = mail.SMTPAuthPlainNoEnc // on loopback only: the desk refuses it elsewhere
		}
		options = append(options, mail.WithSMTPAuth(kind), mail.WithUsername(s.User), mail.WithPassword(s.Password))
	}
	c, err := mail.NewClient(s.Host, options...)
	if err != nil {
		return r, &deskmail.SendError{Stage: deskmail.StageOther, Permanent: true, Text: err.Error()}
	}
	conn, err := c.DialToSMTPClientWithContext(ctx)
	if err != nil {
		return r, dialError(err)
	}
	defer c.CloseWithSMTPClient(conn)
	if state, err := conn.GetTLSConnectionState(); err == nil {
		r.TLS = tls.VersionName(state.Version)
	} else if !errors.Is(err, smtp.ErrNonTLSConnection) {
		return r, dialError(err)
	}
	err = c.SendWithSMTPClient(conn, m)
	if m.IsDelivered() { // an error behind the server's yes changes nothing
		r.Reply = strings.TrimSpace(m.ServerResponse())
		return r, nil
	}
	return r, sendError(err)
}

// helo is the name by which we introduce ourselves: that of our sender's domain, since the machine's own name is
// often nobody else's business and refused.
func helo(from string) string {
	_, d, _ := strings.Cut(from, "@")
	return d
}

// dialError tells what went wrong before any mail was offered.
func dialError(err error) error {
	e := &deskmail.SendError{Stage: deskmail.StageOther, Text: err.Error()}
	var (
		name    *net.DNSError
		op      *net.OpError
		unknown x509.UnknownAuthorityError
		host    x509.HostnameError
		invalid x509.CertificateInvalidError
		record  tls.RecordHeaderError
		answer  *textproto.Error
	)
	switch {
	case errors.As(err, &name):
		e.Stage = deskmail.StageName
	case errors.As(err, &unknown), errors.As(err, &host), errors.As(err, &invalid), errors.As(err, &record), strings.Contains(err.Error(), "STARTTLS"), strings.Contains(err.Error(), "tls:"):
		e.Stage = deskmail.StageTLS
	case strings.Contains(err.Error(), "AUTH"):
		e.Stage = deskmail.StageSignIn
	case errors.As(err, &op), errors.Is(err, context.DeadlineExceeded):
		e.Stage = deskmail.StageConnect
	}
	if errors.As(err, &answer) {
		e.Text = fmt.Sprintf("%d %s", answer.Code, answer.Msg)
	}
	return e // settings are mended and servers come back: all of it is tried again
}

// sendError tells why a server did not take a mail.
func sendError(err error) error {
	e := &deskmail.SendError{Stage: deskmail.StageOther, Text: fmt.Sprint(err)}
	var s *mail.SendError
	if !errors.As(err, &s) {
		return e
	}
	switch s.Reason {
	case mail.ErrSMTPMailFrom:
		e.Stage = deskmail.StageSender
	case mail.ErrSMTPRcptTo:
		e.Stage = deskmail.StageRecipient
	case mail.ErrSMTPData, mail.ErrSMTPDataClose, mail.ErrWriteContent, mail.ErrNoUnencoded:
		e.Stage = deskmail.StageContent
	case mail.ErrConnCheck:
		e.Stage = deskmail.StageConnect
	}
	code := s.ErrorCode()
	e.Permanent = code >= 500 && code < 600 && e.Stage != deskmail.StageSender
	if i := strings.Index(e.Text, ", affected "); i > 0 {
		e.Text = e.Text[:i]
	}
	return e
}

// write makes the mail's bytes.
func (t *Transport) write(l deskmail.Letter) (*mail.Msg, error) {
	p, err := t.Render(l)
	if err != nil {
		return nil, err
	}
	m := mail.NewMsg(mail.WithNoDefaultUserAgent())
	if err := m.FromFormat(l.FromName, l.From); err != nil {
		return nil, fmt.Errorf("sender: %w", err)
	}
	if err := m.EnvelopeFrom(l.From); err != nil {
		return nil, fmt.Errorf("sender: %w", err)
	}
	if err := m.AddToFormat(l.ToName, l.To); err != nil {
		return nil, fmt.Errorf("recipient: %w", err)
	}
	m.Subject(p.Subject)
	m.SetMessageIDWithValue(l.MessageID)
	m.SetDateWithValue(l.At)
	m.SetGenHeader("X-Mailer", "Traybell "+version.Version)
	m.SetGenHeader("Content-Language", l.Language)
	if t.Loop != "" {
		m.SetGenHeader("X-Loop", t.Loop)
	}
	if !slices.Contains(byPeople, l.Kind) {
		m.SetGenHeader("Auto-Submitted", "auto-generated")
		m.SetGenHeader("X-Auto-Response-Suppress", "All")
	}
	if k := l.Ticket; k != nil {
		if err := m.ReplyTo(k.ReplyTo); err != nil {
			return nil, fmt.Errorf("reply address: %w", err)
		}
		if n := len(k.References); n > 0 {
			m.SetGenHeader("In-Reply-To", "<"+k.References[n-1]+">")
			m.SetGenHeader("References", "<"+strings.Join(k.References, "> <")+">")
		}
	}
	m.SetBodyString(mail.TypeTextPlain, p.Text)
	m.AddAlternativeString(mail.TypeTextHTML, p.HTML)
	return m, nil
}
