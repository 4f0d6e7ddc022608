package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"strings"

	"github.com/traybell/traybell/server/internal/desk"
	deskticket "github.com/traybell/traybell/server/internal/desk/ticket"
	"github.com/traybell/traybell/server/internal/letter"
)

type importMailCmd struct {
	dataFlag
	JSON  bool     `help:"Print one JSON object for each mail." name:"json"`
	Files []string `arg:"" help:"Raw mails (RFC 5322), a mail a file." type:"existingfile"`
}

// importBatch is how many bytes of mails travel at once to a running server.
const importBatch = 8 << 20

// Run implements the command.
func (c *importMailCmd) Run(ctx context.Context, log *slog.Logger) error {
	args := &importMailArgs{JSON: c.JSON}
	size := 0
	send := func() error {
		if len(args.Mails) == 0 {
			return nil
		}
		err := c.run(ctx, args, log)
		args.Mails, size = nil, 0
		return err
	}
	for _, name := range c.Files {
		info, err := os.Stat(name)
		if err != nil {
			return err
		}
		if info.Size() > 4*letter.MaxSize {
			return fmt.Errorf("%s is larger than %d MB; no mail is", name, 4*letter.MaxSize>>20)
		}
		raw, err := os.ReadFile(name)
		if err != nil {
			return err
		}
		if size > 0 && size+len(raw) > importBatch {
			if err := send(); err != nil {
				return err
			}
		}
		args.Mails, size = append(args.Mails, rawMail{name, raw}), size+len(raw)
	}
	return send()
}

type rawMail struct {
	File string
	Raw  []byte
}

type importMailArgs struct {
	JSON  bool
	Mails []rawMail
}

func (*importMailArgs) name() string { return "import-mail" }

// importedMail is what became of a mail, as it is printed.
type importedMail struct {
	File        string         `json:"file"`
	Outcome     string         `json:"outcome"` // ticket, message, note, closed, held, bounce, dropped, duplicate
	Ticket      *int64         `json:"ticket"`
	Message     *string        `json:"message"`
	From        string         `json:"from"`
	FromName    string         `json:"from_name"`
	Subject     string         `json:"subject"`
	Text        string         `json:"text"`
	ReplyText   string         `json:"reply_text"`
	Attachments []importedFile `json:"attachments"`
	Automatic   bool           `json:"automatic"`
	Bounce      bool           `json:"bounce"`
	Quarantine  bool           `json:"quarantine"`
	Why         string         `json:"why"`
}

type importedFile struct {
	Name   string `json:"name"`
	Type   string `json:"type"`
	Size   int    `json:"size"`
	SHA256 string `json:"sha256"`
}

func (a *importMailArgs) do(ctx context.Context, in *instance) (string, error) {
	var b strings.Builder
	out := json.NewEncoder(&b)
	out.SetEscapeHTML(false)
	for _, m := range a.Mails {
		r, err := in.tickets.Receive(ctx, deskticket.Incoming{Raw: m.Raw, Mailbox: "import"})
		if err != nil {
			var e *desk.Error
			if errors.As(err, &e) {
				err = e
			}
			return "", fmt.Errorf("%s: %w; it and the mails behind it were not taken in", m.File, err)
		}
		i := importedMail{File: m.File, Outcome: r.Outcome, From: r.Mail.From.Email, FromName: r.Mail.From.Name, Subject: r.Mail.Subject, Text: r.Mail.Text, ReplyText: r.Mail.Reply, Attachments: []importedFile{},
			Automatic: r.Mail.Automatic != "", Bounce: r.Mail.Bounce != nil, Quarantine: r.Outcome == "held", Why: r.Why}
		if r.Ticket != 0 {
			i.Ticket = &r.Ticket
		}
		if r.Message != "" {
			i.Message = &r.Message
		}
		for n, f := range r.Mail.Files {
			i.Attachments = append(i.Attachments, importedFile{f.Name, f.Type, len(f.Data), r.SHA256[n]})
		}
		if a.JSON {
			if err := out.Encode(i); err != nil {
				return "", err
			}
			continue
		}
		fmt.Fprintf(&b, "%s: %s", m.File, r.Outcome)
		if r.Ticket != 0 {
			fmt.Fprintf(&b, " #%d", r.Ticket)
		}
		if r.Why != "" {
			fmt.Fprintf(&b, " (%s)", r.Why)
		}
		b.WriteByte('\n')
	}
	return b.String(), nil
}
