package desk

import (
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/traybell/traybell/server/internal/account"
	"github.com/traybell/traybell/server/internal/store"
	"github.com/traybell/traybell/server/internal/ticket"
	"github.com/traybell/traybell/shared/catalogue"
)

// JobMail is the kind of job that sends a mail; its payload is a MailJob.
const JobMail = "mail.send"

// MailJob is the payload of JobMail.
type MailJob struct {
	Mail string `json:"mail"`
	Turn int64  `json:"turn"`
}

// Kinds of mail. Package mail has a text for each, in four languages; what a kind needs of Data stands beside it.
const (
	MailInvitation         = "invitation"          // Link; Organization, Role, Until, By (may be empty)
	MailReset              = "reset"               // Link; Until
	MailPasswordSet        = "password_set"        // a notice: When, Address
	MailFactorChanged      = "factor_changed"      // a notice: When, Address
	MailFactorReset        = "factor_reset"        // a notice: By, When
	MailSpecialistIn       = "specialist_in"       // a notice: Name, When, Number (may be empty)
	MailTest               = "test"                // By
	MailTicketFiled        = "ticket_filed"        // Ticket
	MailTicketAnswered     = "ticket_answered"     // Ticket; Message
	MailTicketResolved     = "ticket_resolved"     // Ticket
	MailTicketClosed       = "ticket_closed"       // Ticket
	MailAlarm              = "alarm"               // to staff: Number, Title, Organization, Clock (first, solution), Percent, Due, Severity
	MailApproval           = "approval"            // to who may decide: Number, Title, Kind, What, For, Reason, EndsOn, Requester, Expires
	MailApprovalReminder   = "approval_reminder"   // the same
	MailApprovalDecided    = "approval_decided"    // the same, with State, By, Why
	MailApprovalUnexpected = "approval_unexpected" // to administrators: the same
	MailTurnedAway         = "turned_away"         // Subject: a mail of an unknown sender was not made a ticket
)

// Mail is a mail that a change owes to somebody. It is sent after the change, or waits until there is a mail
// server; meanwhile those who may see it copy its link.
type Mail struct {
	Kind         string // one of the kinds above
	To           string // address
	Name         string // of the recipient; may be empty
	Account      account.ID
	Language     string                 // en, it, de, ru
	Organization account.OrganizationID // whose name and logo it carries; empty: the provider's
	Ticket       ticket.ID
	Link         string            // where its button leads: a path of the portal, with its secret behind '#'; may be empty
	Data         map[string]string // what the kind's text needs; times as RFC 3339
	Until        time.Time         // what the link opens is over then and the mail is not sent any more; zero: never
}

// MailContent is what is sealed in a waiting mail.
type MailContent struct {
	Link string            `json:"link,omitempty"`
	Data map[string]string `json:"data,omitempty"`
}

// ErrNoSeal says that the desk was put together without a key for secrets.
var ErrNoSeal = errors.New("there is no key to seal secrets with")

// OweMail queues a mail that must reach its recipient once the change is on the disk. One with a link is sealed: the
// database alone lets nobody use a waiting invitation.
func (c *Change) OweMail(m Mail) error {
	id := c.NewID()
	content, err := json.Marshal(MailContent{Link: m.Link, Data: m.Data})
	if err != nil {
		return fmt.Errorf("encode the mail %s: %w", m.Kind, err)
	}
	data := string(content)
	if m.Link != "" {
		if data, err = c.options.SealText(data, "mail:"+id); err != nil {
			return err
		}
	}
	if err := c.InsertMail(store.Mail{ID: id, Kind: m.Kind, To: m.To, ToName: m.Name, Account: m.Account, Organization: m.Organization, Language: catalogue.Match(m.Language), Ticket: m.Ticket,
		Data: data, Link: m.Link != "", State: store.MailWaiting, MadeBy: c.Actor.Account, CreatedAt: c.Now, ExpiresAt: m.Until, MovedAt: c.Now}); err != nil {
		return err
	}
	c.Hint(TopicMail, id)
	return c.Owe(JobMail, MailJob{Mail: id})
}

// OpenMailContent reads what OweMail has kept.
func (o Options) OpenMailContent(m store.Mail) (content MailContent, err error) {
	data := m.Data
	if m.Link {
		if data, err = o.OpenText(data, "mail:"+m.ID); err != nil {
			return content, err
		}
	}
	if err := json.Unmarshal([]byte(data), &content); err != nil {
		return content, fmt.Errorf("content of mail %s: %w", m.ID, err)
	}
	return content, nil
}

// SealText seals a secret that must be read again, bound to what it belongs to.
func (o Options) SealText(secret, bound string) (string, error) {
	if o.Seal == nil {
		return "", ErrNoSeal
	}
	nonce := make([]byte, o.Seal.NonceSize())
	rand.Read(nonce)
	return base64.StdEncoding.EncodeToString(o.Seal.Seal(nonce, nonce, []byte(secret), []byte(bound))), nil
}

// OpenText reads what SealText has sealed for the same purpose.
func (o Options) OpenText(sealed, bound string) (string, error) {
	if o.Seal == nil {
		return "", ErrNoSeal
	}
	b, err := base64.StdEncoding.DecodeString(sealed)
	n := o.Seal.NonceSize()
	if err != nil || len(b) < n {
		return "", errors.New("a sealed secret was changed")
	}
	plain, err := o.Seal.Open(nil, b[:n], b[n:], []byte(bound))
	if err != nil {
		return "", errors.New("a sealed secret was changed, or the server's keys are not those it was sealed with")
	}
	return string(plain), nil
}

// SettingMailOut names the setting that holds the mail server for outgoing mail.
const SettingMailOut = "mail.out"

// OwnAddresses are the addresses from which the server itself sends: mail from them is its own.
func OwnAddresses(tx store.Tx) ([]string, error) {
	text, err := tx.Setting(SettingMailOut)
	if errors.Is(err, store.ErrNotFound) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var s struct {
		From string `json:"from"`
	}
	if err := json.Unmarshal([]byte(text), &s); err != nil {
		return nil, fmt.Errorf("setting %s: %w", SettingMailOut, err)
	}
	return []string{s.From}, nil
}
