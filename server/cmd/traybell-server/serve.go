package main

import (
	"context"
	"crypto/sha256"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"strings"
	"sync"

	"github.com/traybell/traybell/server/internal/api"
	"github.com/traybell/traybell/server/internal/desk"
	"github.com/traybell/traybell/server/internal/desk/start"
	"github.com/traybell/traybell/server/internal/httpd"
	"github.com/traybell/traybell/server/internal/mail"
	"github.com/traybell/traybell/server/internal/relay"
	"github.com/traybell/traybell/server/internal/web"
)

type serveCmd struct {
	dataFlag
	Listen         string   `help:"Address for HTTPS; 0.0.0.0:8443 opens it to the network." default:"127.0.0.1:8443" env:"TRAYBELL_LISTEN"`
	PublicURL      string   `help:"By which people and devices reach the server (default: the one used before, at first https://localhost:8443)." name:"public-url" env:"TRAYBELL_PUBLIC_URL"`
	Database       string   `help:"postgres://… instead of the embedded database; kept in the data folder for later starts." env:"TRAYBELL_DATABASE"`
	Certificate    string   `help:"Certificate chain for browsers (PEM); devices always get the server's own." type:"existingfile" env:"TRAYBELL_CERTIFICATE"`
	CertificateKey string   `help:"Its key (PEM)." type:"existingfile" env:"TRAYBELL_CERTIFICATE_KEY"`
	Proxy          bool     `help:"A proxy ends TLS for devices too; their enrolment keys must say so (--tls proxy)." env:"TRAYBELL_PROXY"`
	TrustedProxies []string `help:"Networks of proxies whose X-Forwarded-For says who asks, such as 10.0.0.0/8,::1 (default: none)." name:"trusted-proxies" sep:"," placeholder:"CIDR" env:"TRAYBELL_TRUSTED_PROXIES"`
	TicketBurst    int      `help:"Tickets that one device may file at once; after that, one each 10 seconds. What comes sooner waits at the device." default:"30" env:"TRAYBELL_TICKET_BURST"`
	SMTP           string   `help:"Also take in mail by SMTP at this address, for example 127.0.0.1:2525; your mail server hands it over." name:"smtp" env:"TRAYBELL_SMTP"`
	LMTP           string   `help:"Also take in mail by LMTP at this address." name:"lmtp" env:"TRAYBELL_LMTP"`
}

// Run implements the command.
func (c *serveCmd) Run(ctx context.Context, log *slog.Logger) error {
	proxies, err := httpd.ParseProxies(c.TrustedProxies)
	if err != nil {
		return err
	}
	listener, err := net.Listen("tcp", c.Listen)
	if err != nil {
		return fmt.Errorf("%w: stop the program that uses the address, or choose another with --listen", err)
	}
	defer listener.Close()
	in, err := open(ctx, c.Data, c.PublicURL, c.Database, log)
	if errors.Is(err, errLocked) {
		return fmt.Errorf("%w: %s is in use; stop the other server, or choose another folder with --data", err, c.Data)
	}
	if err != nil {
		return err
	}
	defer in.close()
	var browser *tls.Certificate
	if c.Certificate != "" {
		cert, err := tls.LoadX509KeyPair(c.Certificate, c.CertificateKey)
		if err != nil {
			return fmt.Errorf("the certificate for browsers: %w", err)
		}
		browser = &cert
	}
	if err := in.devices.AllLinksDown(ctx); err != nil {
		return err
	}

	in.tickets.LimitDevices(max(1, c.TicketBurst))
	links := &httpd.Links{Devices: in.devices, Access: in.access, Logger: log}
	r := relay.New(relay.Options{Identity: in.keys.Identity, Desk: links, Logger: log, Proxy: c.Proxy})
	in.access.Reach(r)
	worker := desk.NewWorker(in.options)
	httpd.Handle(worker, in.tickets, in.access, r)
	postman := desk.NewWorker(in.options) // its own: mail servers may be slow, notices to devices may not
	postman.Batch = 1
	in.mails.Handle(postman)

	mailboxes, err := c.mailboxes(in, log)
	if err != nil {
		return err
	}

	ctx, stop := context.WithCancel(ctx)
	defer stop()
	admin, err := serveAdmin(ctx, in, log)
	if err != nil {
		return err
	}
	var background sync.WaitGroup
	for _, run := range append(mailboxes, worker.Run, postman.Run, in.audit.Run, in.access.Run, in.people.RunDirectories) {
		background.Go(func() {
			if err := run(ctx); err != nil && ctx.Err() == nil {
				log.Error("background work has ended", "err", err)
			}
		})
	}
	portal, err := web.New(web.Options{People: in.people, Devices: in.devices, Tickets: in.tickets, Access: in.access, Mails: in.mails, Start: start.New(in.options), Audit: in.audit, Relay: r, Bus: in.bus, Logger: log, PublicURL: in.url.String(), Trusted: c.Certificate != "" || c.Proxy})
	if err != nil {
		return err
	}
	context.AfterFunc(ctx, portal.Close) // open streams of events would hold up the end
	if err := c.announce(ctx, in, listener.Addr()); err != nil {
		return err
	}
	err = httpd.Serve(ctx, httpd.Options{Listener: listener, Keys: in.keys, Host: in.url.Hostname(), Browser: browser, Relay: r,
		API: api.New(api.Options{People: in.people, Devices: in.devices, Tickets: in.tickets, Access: in.access, Audit: in.audit, Relay: r, Logger: log, URL: in.url.String()}),
		Web: portal.Handler(), Logger: log, Proxies: proxies})
	stop()
	background.Wait()
	admin()
	return err
}

// announce prints where the portal is and how to get in.
func (c *serveCmd) announce(ctx context.Context, in *instance, addr net.Addr) error {
	var b strings.Builder
	fmt.Fprintf(&b, "Portal: %s\n", in.url)
	token, err := in.people.FirstAdministratorToken(ctx)
	if err != nil {
		return err
	}
	if token != "" {
		fmt.Fprintf(&b, "First administrator, works once: %s\n", in.link("/first", token))
	}
	sum := sha256.Sum256(in.keys.CA.Raw)
	fmt.Fprintf(&b, "Certificate authority: sha256:%x (%s)\n", sum, in.keys.CAPath())
	if host, port, err := net.SplitHostPort(addr.String()); err == nil {
		if ip := net.ParseIP(host); ip != nil && ip.IsLoopback() {
			name, err := os.Hostname()
			if err != nil {
				name = "HOST"
			}
			fmt.Fprintf(&b, "Only this computer reaches it. From another one: ssh -L %s:localhost:%s %s\n", port, port, name)
			fmt.Fprintf(&b, "To open it to the network: --listen 0.0.0.0:%s --public-url https://%s:%s\n", port, name, port)
		}
	}
	_, err = os.Stdout.WriteString(b.String())
	return err
}

// mailboxes opens the addresses at which mail is taken in, before anything else starts.
func (c *serveCmd) mailboxes(in *instance, log *slog.Logger) (run []func(context.Context) error, err error) {
	for _, m := range []struct {
		address string
		lmtp    bool
	}{{c.SMTP, false}, {c.LMTP, true}} {
		if m.address == "" {
			continue
		}
		on, err := net.Listen("tcp", m.address)
		if err != nil {
			return nil, fmt.Errorf("take in mail: %w", err)
		}
		l := &mail.Listener{Tickets: in.tickets, LMTP: m.lmtp, Domain: in.url.Hostname(), Logger: log}
		run = append(run, func(ctx context.Context) error { return l.Serve(ctx, on) })
	}
	fetcher := &mail.Fetcher{Mails: in.mails, Tickets: in.tickets, Logger: log}
	return append(run, fetcher.Run), nil
}
