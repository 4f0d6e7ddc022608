package desk

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base32"
	"errors"
	"strconv"
	"strings"
)

// MailToken is what a mail about a ticket carries for one recipient, in its reply address and behind its links: the
// ticket's number and a mark of the recipient, signed with 80 bits. It survives lower and upper case and fits, after
// "help+", into the 64 bytes of a local part.
type MailToken struct {
	Number    int64
	Recipient string // mark of the address, see Matches
}

// Purposes of tokens: one for a reply address is none for a link.
const (
	TokenReply   = "reply"   // in the reply address
	TokenDecide  = "decide"  // closes, or says that it is still broken
	TokenConfirm = "confirm" // confirms that the address is the requester's
)

// ErrMailToken says that a token was not made by this server, or for another purpose.
var ErrMailToken = errors.New("the token was not made by this server")

var tokenText = base32.NewEncoding("abcdefghijklmnopqrstuvwxyz234567").WithPadding(base32.NoPadding)

// SignMail makes a token for one recipient of mails about a ticket.
func (o Options) SignMail(purpose string, number int64, address string) string {
	body := "t" + strconv.FormatInt(number, 36) + "." + recipientMark(address)
	return body + "." + o.mailMAC(purpose, body)
}

// OpenMail reads a token. A single changed character makes it ErrMailToken.
func (o Options) OpenMail(purpose, token string) (t MailToken, err error) {
	token = strings.ToLower(token)
	i := strings.LastIndexByte(token, '.')
	if i < 0 || len(token) > 64 || len(o.MailKey) == 0 || !hmac.Equal([]byte(o.mailMAC(purpose, token[:i])), []byte(token[i+1:])) {
		return t, ErrMailToken
	}
	number, mark, ok := strings.Cut(strings.TrimPrefix(token[:i], "t"), ".")
	t.Recipient = mark
	if t.Number, err = strconv.ParseInt(number, 36, 64); err != nil || !ok {
		return t, ErrMailToken
	}
	return t, nil
}

// Matches reports whether the token was made for an address.
func (t MailToken) Matches(address string) bool { return t.Recipient == recipientMark(address) }

func recipientMark(address string) string {
	h := sha256.Sum256([]byte(strings.ToLower(strings.TrimSpace(address))))
	return tokenText.EncodeToString(h[:5])
}

func (o Options) mailMAC(purpose, body string) string {
	m := hmac.New(sha256.New, o.MailKey)
	m.Write([]byte("traybell-mail-1\x00" + purpose + "\x00" + body))
	return tokenText.EncodeToString(m.Sum(nil)[:10])
}

// LoopMark is the X-Loop mark of this server's own mails.
func (o Options) LoopMark() string { return "traybell-" + o.mailMAC("loop", "") }
