package mail_test

import (
	"fmt"
	"net"
	netmail "net/mail"
	"strings"
	"testing"

	"github.com/traybell/traybell/server/internal/account"
	"github.com/traybell/traybell/server/internal/desk"
	deskmail "github.com/traybell/traybell/server/internal/desk/mail"
	deskticket "github.com/traybell/traybell/server/internal/desk/ticket"
	"github.com/traybell/traybell/server/internal/mail"
	"github.com/traybell/traybell/server/internal/mail/mailtest"
	"github.com/traybell/traybell/server/internal/servertest"
	"github.com/traybell/traybell/server/internal/ticket"
)

// TestThreadGoesThroughRealPrograms files a ticket at a device and carries its thread through Postfix and Dovecot, to the
// requester's mailbox and back through the server's own SMTP listener.
func TestThreadGoesThroughRealPrograms(t *testing.T) {
	in, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	post := mailtest.Start(t, mailtest.Options{Domains: []string{"studioverdi.it", "private.example"}, Routes: map[string]string{"help.example.com": in.Addr().String()}})
	s := servertest.Start(t)
	s.Mails.Through(&mail.Transport{PublicURL: s.URL, Loop: s.LoopMark(), Roots: post.Roots})
	listener := &mail.Listener{Tickets: s.Tickets, Domain: "help.example.com", Accepts: []string{"help.example.com"}, Logger: s.Logger}
	served := make(chan error, 1)
	go func() { served <- listener.Serve(t.Context(), in) }()

	anna := s.Administrator(t)
	s.Person(t, account.Requester, "lucia@studioverdi.it", "Studio Verdi")
	if err := s.Mails.SetOutgoing(t.Context(), desk.System(), deskmail.Server{Host: "localhost", Port: post.SMTP, Security: deskmail.STARTTLS, From: "help@help.example.com"}); err != nil {
		t.Fatal(err)
	}
	filed := s.Enrol(t, "PC-114", "Studio Verdi").File(t, "Printer prints blank pages")
	id := ticket.ID(filed.ID)
	view := func() deskticket.View {
		t.Helper()
		v, err := s.Tickets.Get(t.Context(), anna.Actor, id)
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
	inbox := post.Wait("lucia@studioverdi.it", 1)
	// An invitation waits in the outbox until there is a server, so the ticket's copy is found by its subject.
	find := func(list []string, what string) *netmail.Message {
		t.Helper()
		for _, raw := range list {
			m, err := netmail.ReadMessage(strings.NewReader(raw))
			if err != nil {
				t.Fatal(err)
			}
			if strings.Contains(raw, what) && strings.Contains(m.Header.Get("Subject"), fmt.Sprintf("[#%d]", filed.Number)) {
				return m
			}
		}
		return nil
	}
	var copyMail *netmail.Message
	servertest.Eventually(t, "the ticket's copy", func() bool {
		inbox = post.Mails("lucia@studioverdi.it")
		copyMail = find(inbox, "")
		return copyMail != nil
	})
	if copyMail.Header.Get("Auto-Submitted") != "auto-generated" || copyMail.Header.Get("X-Loop") != s.LoopMark() {
		t.Errorf("the copy is not marked as automatic: %v", copyMail.Header)
	}
	replyTo := copyMail.Header.Get("Reply-To")
	if i := strings.IndexByte(replyTo, '<'); i >= 0 {
		replyTo = strings.Trim(replyTo[i:], "<>")
	}
	send := func(from, to, subject, extra, body string) {
		t.Helper()
		raw := "From: " + from + "\r\nTo: " + to + "\r\nSubject: " + subject + "\r\nMessage-ID: <" + fmt.Sprint(len(body), strings.Map(letters26, subject+from)) + "@studioverdi.it>\r\n" + extra + "\r\n" + body + "\r\n"
		post.Send(from, to, raw)
	}
	said := func(text string) bool {
		for _, m := range view().Messages {
			if strings.Contains(m.Text, text) && m.Kind == ticket.Public {
				return true
			}
		}
		return false
	}
	eventually := func(what string, f func() bool) {
		t.Helper()
		servertest.Eventually(t, what+"\n", f)
	}

	// Subject rewritten, history removed: the signed address is enough. The picture comes along.
	send("lucia@studioverdi.it", replyTo, "Something else", "MIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary=b\r\n", "--b\r\nContent-Type: text/plain\r\n\r\nStill blank.\r\n--b\r\nContent-Type: image/png; name=page.png\r\nContent-Transfer-Encoding: base64\r\nContent-Disposition: attachment; filename=page.png\r\n\r\niVBORw0KGgo=\r\n--b--")
	eventually("the answer", func() bool { return said("Still blank.") })
	pictures := 0
	for _, m := range view().Messages {
		pictures += len(m.Files)
	}
	if pictures != 1 {
		t.Errorf("%d files on the answer, want the picture", pictures)
	}

	// The technician answers; a person wrote it, so nothing marks it as automatic, and it names the copy.
	if _, err := s.Tickets.Answer(t.Context(), anna.Actor, id, "Please print the test page."); err != nil {
		t.Fatal(err)
	}
	var answer *netmail.Message
	eventually("the technician's answer", func() bool {
		answer = find(post.Mails("lucia@studioverdi.it"), "Please print the test page")
		return answer != nil
	})
	if answer.Header.Get("Auto-Submitted") != "" || answer.Header.Get("In-Reply-To") != copyMail.Header.Get("Message-Id") {
		t.Errorf("the answer's header is %v", answer.Header)
	}

	before := len(view().Messages)
	held := func() int {
		t.Helper()
		list, err := s.Tickets.Quarantine(t.Context(), anna.Actor)
		if err != nil {
			t.Fatal(err)
		}
		return len(list)
	}
	// From another address, by a stranger who knows number and subject, by an address nobody knows: all wait for a person.
	send("lucia@private.example", replyTo, "From home", "", "It works from home")
	eventually("the held answer", func() bool { return held() == 1 })
	send("eve@private.example", "help@help.example.com", fmt.Sprintf("Re: [#%d] Printer", filed.Number), "", "close")
	eventually("the held stranger", func() bool { return held() == 2 })
	if got := len(view().Messages); got != before {
		t.Errorf("strangers changed the ticket: %d messages, then %d", before, got)
	}

	// Our own notice comes back word for word: dropped. An auto-responder: a note, no change of status.
	if _, err := s.Tickets.Receive(t.Context(), deskticket.Incoming{Raw: []byte(inbox[0])}); err != nil {
		t.Fatal(err)
	}
	status := view().Ticket.Status
	send("lucia@studioverdi.it", replyTo, "Automatic reply: Printer", "Auto-Submitted: auto-replied\r\n", "I am away.")
	eventually("the note", func() bool { return len(view().Messages) == before+1 })
	if v := view(); v.Messages[before].Kind != ticket.Note || v.Ticket.Status != status {
		t.Errorf("an automatic answer made %s and %s", v.Messages[before].Kind, v.Ticket.Status)
	}

	// Twice the same: once. Then the requester closes by mail.
	for range 2 {
		send("lucia@studioverdi.it", replyTo, "Re: Printer", "In-Reply-To: "+answer.Header.Get("Message-Id")+"\r\n", "The test page is fine.")
	}
	eventually("the second answer", func() bool { return said("The test page is fine.") })
	send("lucia@studioverdi.it", replyTo, "Re: closing", "", "close\r\n\r\nThank you!\r\n")
	eventually("the ticket to close", func() bool { return view().Ticket.Status == ticket.Closed })
	n := 0
	for _, m := range view().Messages {
		if strings.Contains(m.Text, "The test page is fine.") {
			n++
		}
	}
	if n != 1 {
		t.Errorf("the same mail twice made %d messages", n)
	}

	// A person accepts what was held.
	list, err := s.Tickets.Quarantine(t.Context(), anna.Actor)
	if err != nil || len(list) != 2 {
		t.Fatalf("%+v, %v", list, err)
	}
	number, err := s.Tickets.AcceptMail(t.Context(), anna.Actor, list[1].ID)
	if err != nil || number != filed.Number {
		t.Errorf("accepting the answer from another address: #%d, %v", number, err)
	}
	if !said("It works from home") {
		t.Error("the accepted answer is not on the ticket")
	}
	select {
	case err := <-served:
		t.Fatalf("the listener ended: %v", err)
	default:
	}
}

func letters26(r rune) rune {
	if r >= 'a' && r <= 'z' {
		return r
	}
	return -1
}
