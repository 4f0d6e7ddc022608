package mail_test

import (
	"strings"
	"testing"

	"github.com/traybell/traybell/server/internal/account"
	"github.com/traybell/traybell/server/internal/desk"
	deskmail "github.com/traybell/traybell/server/internal/desk/mail"
	deskticket "github.com/traybell/traybell/server/internal/desk/ticket"
	"github.com/traybell/traybell/server/internal/mail"
	"github.com/traybell/traybell/server/internal/mail/mailtest"
	"github.com/traybell/traybell/server/internal/servertest"
)

// TestMailboxIsRead puts mails into Dovecot before and after the mailbox is named in the settings.
func TestMailboxIsRead(t *testing.T) {
	post := mailtest.Start(t, mailtest.Options{Domains: []string{"help.example.com"}})
	s := servertest.Start(t)
	anna := s.Administrator(t)
	s.Person(t, account.Requester, "lucia@studioverdi.it", "Studio Verdi")
	send := func(subject string) {
		t.Helper()
		post.Send("lucia@studioverdi.it", "help@help.example.com", "From: lucia@studioverdi.it\r\nTo: help@help.example.com\r\nSubject: "+subject+"\r\nMessage-ID: <"+strings.ReplaceAll(subject, " ", ".")+"@studioverdi.it>\r\n\r\nIt is broken.\r\n")
	}
	subjects := func() string {
		t.Helper()
		l, err := s.Tickets.List(t.Context(), anna.Actor, deskticket.Filter{})
		if err != nil {
			t.Fatal(err)
		}
		var all []string
		for _, k := range l.Tickets {
			all = append(all, k.Title)
		}
		return strings.Join(all, "; ")
	}
	send("Before")
	post.Wait("help@help.example.com", 1)
	f := &mail.Fetcher{Mails: s.Mails, Tickets: s.Tickets, Roots: post.Roots, Logger: s.Logger}
	done := make(chan error, 1)
	go func() { done <- f.Run(t.Context()) }()
	for _, box := range []deskmail.Mailbox{
		{Host: "localhost", Port: post.IMAPS, Security: deskmail.TLS, User: "help@help.example.com", Password: mailtest.Password},
		{Host: "localhost", Port: post.IMAP, Security: deskmail.STARTTLS, User: "other@help.example.com", Password: "wrong"},
	} {
		if err := s.Mails.AddMailbox(t.Context(), desk.System(), box); err != nil {
			t.Fatal(err)
		}
	}
	servertest.Eventually(t, "both mailboxes say how it goes", func() bool {
		list, states, err := s.Mails.Mailboxes(t.Context(), anna.Actor)
		return err == nil && len(list) == 2 && list[0].Password == "" && !states[list[0].ID].At.IsZero() && states[list[0].ID].Error == "" && strings.Contains(states[list[1].ID].Error, "sign in")
	})
	send("While it waits")
	servertest.Eventually(t, "the mail that IDLE told of", func() bool { return strings.Contains(subjects(), "While it waits") })
	send("And another")
	servertest.Eventually(t, "the next mail", func() bool { return strings.Contains(subjects(), "And another") })
	if all := subjects(); strings.Contains(all, "Before") || strings.Count(all, "While it waits") != 1 {
		t.Errorf("the tickets are %s", all)
	}
	list, _, err := s.Mails.Mailboxes(t.Context(), anna.Actor)
	if err != nil {
		t.Fatal(err)
	}
	for _, b := range list {
		if err := s.Mails.RemoveMailbox(t.Context(), anna.Actor, b.ID); err != nil {
			t.Fatal(err)
		}
	}
	select {
	case err := <-done:
		t.Fatalf("reading ended: %v", err)
	default:
	}
}
