package mail_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/traybell/traybell/server/internal/desk"
	deskmail "github.com/traybell/traybell/server/internal/desk/mail"
	"github.com/traybell/traybell/server/internal/mail"
	"github.com/traybell/traybell/shared/catalogue"
)

// letters are one of each kind, with texts that would break out of HTML or headers.
func letters(language string) []deskmail.Letter {
	l := deskmail.Letter{MessageID: "m@example.com", At: time.Now(), From: "help@example.com", FromName: "Rossi IT", Brand: "Rossi & Söhne <IT>", To: "lucia@studioverdi.it", ToName: "Lucia", Language: language}
	of := func(kind, link string, data ...string) deskmail.Letter {
		k := l
		k.Kind, k.Link, k.Data = kind, link, map[string]string{}
		for i := 0; i+1 < len(data); i += 2 {
			k.Data[data[i]] = data[i+1]
		}
		return k
	}
	return []deskmail.Letter{
		of(desk.MailInvitation, "/invitation#token=a", "Organization", "Studio <Verdi>", "Role", "responsible", "By", "Anna\r\nBcc: x", "Until", "2026-11-29T10:00:00Z"),
		of(desk.MailReset, "/reset#token=a", "Until", "2026-11-29T10:00:00Z"),
		of(desk.MailPasswordSet, "", "When", "2026-11-29T10:00:00Z", "Address", "192.0.2.1"),
		of(desk.MailFactorChanged, "", "When", "2026-11-29T10:00:00Z", "Address", "192.0.2.1"),
		of(desk.MailFactorReset, "", "When", "2026-11-29T10:00:00Z", "By", "Anna"),
		of(desk.MailSpecialistIn, "", "When", "2026-11-29T10:00:00Z", "Name", "Marco\nX-Evil: 1", "Number", "1042"),
		of(desk.MailTest, "", "By", "Anna"),
		of(desk.MailTurnedAway, "", "Subject", "Help <b>"),
		about(of(desk.MailTicketFiled, ""), deskmail.LetterTicket{Confirm: "t1.c.d"}),
		about(of(desk.MailTicketAnswered, ""), deskmail.LetterTicket{Account: true, Author: "Anna <Bianchi>", Answer: "Please print the printer’s own test page:\n\n  Settings › Reports\n\nThen tell us whether it is <Verdi> white, too.", Files: []string{"page.pdf"}}),
		about(of(desk.MailTicketResolved, ""), deskmail.LetterTicket{}),
		about(of(desk.MailTicketClosed, ""), deskmail.LetterTicket{}),
	}
}

func about(l deskmail.Letter, k deskmail.LetterTicket) deskmail.Letter {
	k.Number, k.Title, k.Text, k.Decide = 1042, "Printer <Verdi> prints\r\nX-Evil: 1", "Since this morning every page comes out white.\nI switched it off and on once.", "t1.a.b"
	l.Ticket = &k
	return l
}

// TestEveryKindIsWritten also leaves the HTML in $TRAYBELL_MAIL_PICTURES, to be looked at.
func TestEveryKindIsWritten(t *testing.T) {
	tr := &mail.Transport{PublicURL: "https://help.example.com"}
	for _, language := range catalogue.Languages {
		for _, l := range letters(language) {
			p, err := tr.Render(l)
			if err != nil {
				t.Fatal(err)
			}
			if strings.ContainsAny(p.Subject, "\r\n") || p.Subject == "" {
				t.Errorf("%s in %s: subject %q", l.Kind, language, p.Subject)
			}
			for _, s := range []string{p.Subject, p.Text, p.HTML} {
				if strings.Contains(s, "mail.") && !strings.Contains(s, "https://") || strings.Contains(s, "{{") || strings.Contains(s, "<no value>") {
					t.Errorf("%s in %s has a gap: %s", l.Kind, language, s)
				}
			}
			if strings.Contains(p.HTML, "<Verdi>") || strings.Contains(p.HTML, "<IT>") || strings.Contains(p.HTML, "<img") || strings.Contains(p.HTML, "<script") {
				t.Errorf("%s in %s is not escaped, or has pictures or scripts", l.Kind, language)
			}
			if l.Link != "" && (!strings.Contains(p.Text, "\nhttps://help.example.com"+l.Link+"\n") || !strings.Contains(p.HTML, `href="https://help.example.com`+l.Link+`"`)) {
				t.Errorf("%s in %s lacks its link", l.Kind, language)
			}
			for _, line := range strings.Split(p.Text, "\n") {
				if len([]rune(line)) > 78 && !strings.HasPrefix(line, "https://") {
					t.Errorf("%s in %s has a long line: %s", l.Kind, language, line)
				}
			}
			if dir := os.Getenv("TRAYBELL_MAIL_PICTURES"); dir != "" {
				if err := os.WriteFile(filepath.Join(dir, l.Kind+"-"+language+".html"), []byte(p.HTML), 0o600); err != nil {
					t.Fatal(err)
				}
			}
		}
	}
	if _, err := tr.Render(deskmail.Letter{Kind: "unknown"}); err == nil {
		t.Error("a kind without a text was written")
	}
}
