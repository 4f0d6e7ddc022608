package mail

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"strconv"
	"sync"
	"time"

	"github.com/emersion/go-imap/v2"
	"github.com/emersion/go-imap/v2/imapclient"

	deskmail "github.com/traybell/traybell/server/internal/desk/mail"
	deskticket "github.com/traybell/traybell/server/internal/desk/ticket"
	"github.com/traybell/traybell/server/internal/letter"
)

// Times of reading mailboxes.
const (
	lookEvery = 5 * time.Second // for mailboxes that were added or removed
	idleFor   = 4 * time.Minute // then a look without having been told
	pauseMin  = 5 * time.Second // after a failure; it doubles
	pauseMax  = 5 * time.Minute
)

// Fetcher reads the IMAP mailboxes of the settings and hands what is new to the tickets. A mail is marked as read
// and passed over only after it was kept, so a crash reads it again, which changes nothing.
type Fetcher struct {
	Mails   *deskmail.Mails
	Tickets *deskticket.Tickets
	Roots   *x509.CertPool // for the servers' certificates; nil: the system's
	Logger  *slog.Logger
}

// Run reads until ctx ends.
func (f *Fetcher) Run(ctx context.Context) error {
	var running sync.WaitGroup
	defer running.Wait()
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	reading := map[deskmail.Mailbox]context.CancelFunc{}
	tick := time.NewTicker(lookEvery)
	defer tick.Stop()
	for {
		list, err := f.Mails.Open(ctx)
		if err != nil && ctx.Err() == nil {
			f.Logger.Error("mailboxes can't be listed", "err", err)
		}
		if err == nil {
			wanted := map[deskmail.Mailbox]bool{}
			for _, b := range list {
				wanted[b] = true
				if reading[b] == nil {
					one, end := context.WithCancel(ctx)
					reading[b] = end
					running.Go(func() { f.read(one, b) })
				}
			}
			for b, end := range reading {
				if !wanted[b] {
					end()
					delete(reading, b)
				}
			}
		}
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
}

// read keeps one mailbox read, whatever happens to its server.
func (f *Fetcher) read(ctx context.Context, b deskmail.Mailbox) {
	pause, said := pauseMin, "?"
	say := func(reason string) {
		if reason == said || ctx.Err() != nil {
			return
		}
		if err := f.Mails.SetState(ctx, b, reason); err == nil {
			said = reason
		}
	}
	for ctx.Err() == nil {
		err := f.session(ctx, b, func() { pause = pauseMin; say("") })
		if ctx.Err() != nil {
			return
		}
		if err != nil {
			say(err.Error())
			f.Logger.Info("a mailbox can't be read", "host", b.Host, "err", err)
		}
		timer := time.NewTimer(pause)
		select {
		case <-ctx.Done():
			timer.Stop()
			return
		case <-timer.C:
		}
		pause = min(2*pause, pauseMax)
	}
}

// session reads over one connection; well is called once everything that was new has been kept.
func (f *Fetcher) session(ctx context.Context, b deskmail.Mailbox, well func()) error {
	news := make(chan struct{}, 1)
	o := &imapclient.Options{TLSConfig: &tls.Config{ServerName: b.Host, RootCAs: f.Roots, MinVersion: tls.VersionTLS12}, Dialer: &net.Dialer{Timeout: timeout},
		UnilateralDataHandler: &imapclient.UnilateralDataHandler{Mailbox: func(d *imapclient.UnilateralDataMailbox) {
			if d.NumMessages != nil {
				select {
				case news <- struct{}{}:
				default:
				}
			}
		}}}
	address := net.JoinHostPort(b.Host, strconv.Itoa(b.Port))
	dial := map[deskmail.Security]func(string, *imapclient.Options) (*imapclient.Client, error){
		deskmail.TLS: imapclient.DialTLS, deskmail.STARTTLS: imapclient.DialStartTLS, deskmail.Plain: imapclient.DialInsecure}[b.Security]
	if dial == nil {
		return errors.New("the encryption is not known")
	}
	c, err := dial(address, o)
	if err != nil {
		return err
	}
	defer c.Close()
	stop := context.AfterFunc(ctx, func() { c.Close() })
	defer stop()
	if err := c.Login(b.User, b.Password).Wait(); err != nil {
		return fmt.Errorf("sign in: %w", err)
	}
	box, err := c.Select(b.Folder, nil).Wait()
	if err != nil {
		return fmt.Errorf("open %s: %w", b.Folder, err)
	}
	place, known, err := f.Mails.Place(ctx, b)
	if err != nil {
		return err
	}
	switch {
	case !known: // what was there before is nobody's request
		place = deskmail.Place{Validity: box.UIDValidity, Last: uint32(max(box.UIDNext, 1) - 1)}
		if err := f.Mails.SetPlace(ctx, b, place); err != nil {
			return err
		}
	case place.Validity != box.UIDValidity: // the server has numbered anew: read again, known mails change nothing
		place = deskmail.Place{Validity: box.UIDValidity}
	}
	for {
		if place, err = f.fetch(ctx, c, b, place); err != nil {
			return err
		}
		well()
		idle, err := c.Idle()
		if err != nil {
			return err
		}
		timer := time.NewTimer(idleFor)
		select {
		case <-ctx.Done():
		case <-news:
		case <-timer.C:
		case <-c.Closed():
		}
		timer.Stop()
		if err := idle.Close(); err != nil {
			return err
		}
		if err := idle.Wait(); err != nil {
			return err
		}
	}
}

// fetch takes in what lies behind place, one mail at a time.
func (f *Fetcher) fetch(ctx context.Context, c *imapclient.Client, b deskmail.Mailbox, place deskmail.Place) (deskmail.Place, error) {
	list, err := c.Fetch(imap.UIDSet{imap.UIDRange{Start: imap.UID(place.Last + 1), Stop: 0}}, &imap.FetchOptions{UID: true, RFC822Size: true}).Collect()
	if err != nil {
		return place, err
	}
	for _, m := range list {
		if uint32(m.UID) <= place.Last { // "n:*" names the last mail even if it is older
			continue
		}
		one := imap.UIDSetNum(m.UID)
		section := &imap.FetchItemBodySection{Peek: true}
		large := m.RFC822Size > letter.MaxSize
		if large { // its header is enough to tell who must hear of it
			section.Specifier = imap.PartSpecifierHeader
		}
		got, err := c.Fetch(one, &imap.FetchOptions{UID: true, BodySection: []*imap.FetchItemBodySection{section}}).Collect()
		if err != nil {
			return place, err
		}
		if len(got) == 1 {
			r, err := f.Tickets.Receive(ctx, deskticket.Incoming{Raw: got[0].FindBodySection(section), Mailbox: b.User, Trusted: b.Trusted, TooLarge: large})
			if err != nil {
				return place, fmt.Errorf("keep a mail: %w", err)
			}
			f.Logger.Info("mail taken in", "outcome", r.Outcome, "ticket", r.Ticket, "mail", r.ID)
			if err := c.Store(one, &imap.StoreFlags{Op: imap.StoreFlagsAdd, Silent: true, Flags: []imap.Flag{imap.FlagSeen}}, nil).Close(); err != nil {
				return place, err
			}
		}
		place.Last = uint32(m.UID)
		if err := f.Mails.SetPlace(ctx, b, place); err != nil {
			return place, err
		}
	}
	return place, nil
}
