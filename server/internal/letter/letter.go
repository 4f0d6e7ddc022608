// Package letter reads incoming mail: what its bytes say, who wrote it to whom, which part of the text is new,
// whether a machine sent it, whether it is a delivery failure.
//
// It is pure: bytes go in, values come out; it asks no clock, no network, no store. Input is hostile: sizes, parts
// and depth are bounded, patterns run in linear time, and nothing of what it returns holds NUL. The desk decides
// what becomes of a mail (desk/ticket.Receive).
package letter

import (
	"bytes"
	"errors"
	"mime"
	"net/mail"
	"path"
	"strings"
	"time"

	"github.com/jhillyerd/enmime/v2"
)

// Bounds of what is read. Mail beyond them is not read but kept raw by the caller.
const (
	MaxSize    = 25 << 20  // bytes of a whole mail
	maxHeader  = 256 << 10 // bytes of its header
	maxParts   = 200
	maxDepth   = 20
	maxBounds  = 16   // "boundary=" in the whole mail: the time to parse unclosed parts doubles with each
	maxDashes  = 5000 // lines that begin like a boundary
	maxText    = 2 << 20
	maxAddress = 100 // addresses of one header
	maxRefs    = 100
)

// Errors of Read.
var (
	ErrTooLarge = errors.New("the mail is larger than 25 MiB, or its header than 256 KiB")
	ErrComplex  = errors.New("the mail has too many parts, or they are nested too deeply")
	ErrBroken   = errors.New("this is no mail: it has no header that can be read")
)

// Address is somebody's name and address; the address is in lower case.
type Address struct {
	Name  string
	Email string
}

// File is an attachment.
type File struct {
	Name   string
	Type   string
	Inline bool // the text shows it in place
	Data   []byte
}

// Bounce is a delivery failure of a mail that was sent.
type Bounce struct {
	MessageIDs []string // candidates for the mail that came back, the surest first
	Recipient  string   // who could not be reached; may be empty
	Status     string   // "5.1.1"; may be empty
	Reason     string   // what the other server said; may be empty
	Delayed    bool     // it is still being tried
}

// Event is an invitation to a meeting.
type Event struct {
	Method, Summary, Place, From string
	Start                        time.Time
}

// Mail is what a mail says.
type Mail struct {
	MessageID  string   // without angle brackets; may be empty
	References []string // Message-IDs of the mails it answers, the nearest first
	From       Address
	ReplyTo    Address
	To, Cc     []Address
	Delivered  []string // addresses that servers on the way wrote down: Delivered-To and the like
	Subject    string
	Date       time.Time
	Text       string // all of it, as plain text
	Reply      string // what is new in it
	Cut        bool   // Reply is shorter than Text
	Automatic  string // why a machine must have sent it; empty: a person did
	Bounce     *Bounce
	Forward    bool // it hands on another mail instead of answering it
	Event      *Event
	Signed     bool // S/MIME or PGP; not checked
	Encrypted  bool
	Loops      []string // X-Loop marks
	Results    []string // Authentication-Results, the newest first
	Files      []File
}

var parser = enmime.NewParser(enmime.DisableTextConversion(true), enmime.RawContent(true), enmime.MultipartWOBoundaryAsSinglePart(true), enmime.SkipMalformedParts(true), enmime.SetReadPartErrorPolicy(enmime.AllowCorruptTextPartErrorPolicy))

// Read reads a whole mail. What is broken in it is mended as mail programs do.
func Read(raw []byte) (m Mail, err error) {
	if len(raw) > MaxSize {
		return m, ErrTooLarge
	}
	raw = repair(raw)
	head, _, _ := bytes.Cut(raw, []byte("\r\n\r\n"))
	if len(head) > maxHeader {
		return m, ErrTooLarge
	}
	if count(raw, "boundary=") > maxBounds || bytes.Count(raw, []byte("\n--")) > maxDashes {
		return m, ErrComplex
	}
	defer func() {
		if p := recover(); p != nil { // a parser of foreign code must not take the server along
			err = ErrBroken
		}
	}()
	root, err := parser.ReadParts(bytes.NewReader(raw))
	if err != nil || root == nil || root.Header == nil || len(root.Header) == 0 {
		return m, ErrBroken
	}
	h := header{root.Header}
	m.header(h)
	w := &walker{m: &m}
	if err := w.walk(root, 0); err != nil {
		return m, err
	}
	w.finish()
	m.Bounce = bounce(m, h, w)
	m.Automatic = automatic(m, h, w)
	return m, nil
}

// count counts a word in any case.
func count(b []byte, word string) int {
	return bytes.Count(bytes.ToLower(b), []byte(word))
}

// repair makes lines end alike and drops what stands before the header.
func repair(raw []byte) []byte {
	raw = bytes.TrimLeft(raw, "\r\n \t\ufeff")
	if bytes.HasPrefix(raw, []byte("From ")) || bytes.HasPrefix(raw, []byte(">From ")) { // an mbox's own line
		if i := bytes.IndexByte(raw, '\n'); i >= 0 {
			raw = raw[i+1:]
		}
	}
	raw = bytes.ReplaceAll(raw, []byte{0}, nil)
	raw = bytes.ReplaceAll(raw, []byte("\r\n"), []byte("\n"))
	raw = bytes.ReplaceAll(raw, []byte("\r"), []byte("\n"))
	return bytes.ReplaceAll(raw, []byte("\n"), []byte("\r\n"))
}

// header reads fields with their encoded words.
type header struct{ h map[string][]string }

func (h header) raw(name string) []string {
	for k, v := range h.h {
		if strings.EqualFold(k, name) {
			return v
		}
	}
	return nil
}

func (h header) all(name string) []string {
	var list []string
	for _, v := range h.raw(name) {
		list = append(list, words(v))
	}
	return list
}

func (h header) get(name string) string {
	if v := h.all(name); len(v) > 0 {
		return strings.TrimSpace(v[0])
	}
	return ""
}

func (h header) has(name string) bool { return len(h.raw(name)) > 0 }

var decoder = &mime.WordDecoder{CharsetReader: charsetReader}

// words decodes encoded words, also those that were cut in the middle of a character, and raw 8-bit text.
func words(s string) string {
	s = strings.ReplaceAll(s, "\r\n", "")
	if d, err := decoder.DecodeHeader(joinWords(s)); err == nil {
		s = d
	}
	return clean(text([]byte(s), ""))
}

// joinWords joins neighbouring base64 words of one charset, which some programs cut inside a character.
func joinWords(s string) string {
	for _, enc := range []string{"B", "b", "Q", "q"} {
		for {
			i := strings.Index(s, "?= =?")
			if i < 0 {
				break
			}
			start := strings.LastIndex(s[:i], "=?")
			if start < 0 {
				return s
			}
			a := strings.SplitN(s[start+2:i], "?", 3)
			end := strings.Index(s[i+5:], "?=")
			if end < 0 || len(a) != 3 {
				return s
			}
			b := strings.SplitN(s[i+5:i+5+end], "?", 3)
			if len(b) != 3 { // an encoded question mark
				return s
			}
			if !strings.EqualFold(a[0], b[0]) || a[1] != b[1] || a[1] != enc || strings.HasSuffix(a[2], "=") && (enc == "B" || enc == "b") {
				break
			}
			s = s[:start] + "=?" + a[0] + "?" + a[1] + "?" + a[2] + b[2] + s[i+5+end:]
		}
	}
	return s
}

// clean leaves one line without control or direction marks.
func clean(s string) string {
	s = strings.Map(func(r rune) rune {
		switch {
		case r == '\t' || r == '\n' || r == '\r':
			return ' '
		case r < ' ' || r == 0x7f || r >= 0x202a && r <= 0x202e || r >= 0x2066 && r <= 0x2069:
			return -1
		}
		return r
	}, s)
	return strings.TrimSpace(s)
}

func (m *Mail) header(h header) {
	m.MessageID = first(ids(h.raw("Message-Id")))
	refs := ids(h.raw("References"))
	for i, j := 0, len(refs)-1; i < j; i, j = i+1, j-1 {
		refs[i], refs[j] = refs[j], refs[i]
	}
	m.References = unique(append(ids(h.raw("In-Reply-To")), refs...))
	if len(m.References) > maxRefs {
		m.References = m.References[:maxRefs]
	}
	m.From = firstAddress(addresses(h.raw("From")))
	if m.From.Email == "" {
		m.From = firstAddress(addresses(h.raw("Sender")))
	}
	m.ReplyTo = firstAddress(addresses(h.raw("Reply-To")))
	m.To, m.Cc = addresses(h.raw("To")), addresses(h.raw("Cc"))
	for _, name := range []string{"Delivered-To", "X-Original-To", "Envelope-To", "X-Envelope-To", "X-Delivered-To"} {
		for _, a := range addresses(h.raw(name)) {
			m.Delivered = append(m.Delivered, a.Email)
		}
	}
	m.Subject = h.get("Subject")
	if t, err := mail.ParseDate(h.get("Date")); err == nil {
		m.Date = t.UTC()
	}
	m.Loops = h.all("X-Loop")
	m.Results = h.all("Authentication-Results")
}

// ids finds Message-IDs, with or without their brackets.
func ids(values []string) (list []string) {
	for _, v := range values {
		for _, f := range strings.FieldsFunc(v, func(r rune) bool {
			return r == '<' || r == '>' || r == ' ' || r == '\t' || r == '\r' || r == '\n' || r == ','
		}) {
			if strings.Contains(f, "@") && len(f) <= 500 && len(list) < 2*maxRefs {
				list = append(list, clean(f))
			}
		}
	}
	return list
}

func first(list []string) string {
	if len(list) == 0 {
		return ""
	}
	return list[0]
}

func unique(list []string) (out []string) {
	seen := map[string]bool{}
	for _, s := range list {
		if !seen[s] {
			seen[s] = true
			out = append(out, s)
		}
	}
	return out
}

func firstAddress(list []Address) Address {
	if len(list) == 0 {
		return Address{}
	}
	return list[0]
}

// addresses reads a list leniently: what no parser takes is searched for addresses.
func addresses(values []string) (out []Address) {
	for _, v := range values {
		v = strings.ReplaceAll(v, "\r\n", "")
		list, err := (&mail.AddressParser{WordDecoder: decoder}).ParseList(v)
		if err != nil {
			list = nil
			name, rest := "", v
			for len(list) < maxAddress {
				i := strings.IndexByte(rest, '@')
				if i < 0 {
					break
				}
				from := strings.LastIndexAny(rest[:i], " <>,;:\"()\t'") + 1
				to := strings.IndexAny(rest[i:], " <>,;:\"()\t'")
				if to < 0 {
					to = len(rest) - i
				}
				name = strings.Trim(rest[:from], " <>,;:\"()\t'")
				if from < i && to > 1 {
					list = append(list, &mail.Address{Name: words(name), Address: rest[from : i+to]})
				}
				rest = rest[i+to:]
			}
		}
		for _, a := range list {
			if len(out) < maxAddress && len(a.Address) <= 320 {
				out = append(out, Address{Name: clean(text([]byte(a.Name), "")), Email: strings.ToLower(clean(a.Address))})
			}
		}
	}
	return out
}

// walker goes through the parts.
type walker struct {
	m       *Mail
	parts   int
	plain   []string
	html    []string
	cids    []string       // parallel to m.Files
	status  []*enmime.Part // message/delivery-status
	returns []*enmime.Part // the mail that came back, or its header
	receipt bool
	report  bool
	reply   bool // a calendar's answer
}

func (w *walker) walk(p *enmime.Part, depth int) error {
	w.parts++
	if p.FirstChild == nil {
		p.Content = content(p)
		p.Header.Del("Content-Transfer-Encoding")
	}
	if w.parts > maxParts || depth > maxDepth {
		return ErrComplex
	}
	kind := strings.ToLower(p.ContentType)
	name := strings.ToLower(path.Ext(p.FileName))
	switch {
	case kind == "multipart/report":
		w.report = true
		w.receipt = strings.EqualFold(param(p, "report-type"), "disposition-notification")
	case kind == "multipart/signed", kind == "application/pgp-signature", kind == "application/pkcs7-signature", kind == "application/x-pkcs7-signature":
		w.m.Signed = true
	case kind == "multipart/encrypted", strings.Contains(kind, "pkcs7-mime"):
		w.m.Encrypted = !strings.EqualFold(param(p, "smime-type"), "signed-data")
		w.m.Signed = w.m.Signed || !w.m.Encrypted
	case kind == "message/delivery-status":
		w.status = append(w.status, p)
	case kind == "text/rfc822-headers":
		w.returns = append(w.returns, p)
	case kind == "text/calendar" && w.m.Event == nil:
		w.m.Event = event(text(p.Content, p.Charset))
		w.reply = w.m.Event != nil && (strings.EqualFold(w.m.Event.Method, "REPLY") || strings.EqualFold(w.m.Event.Method, "COUNTER"))
	}
	if p.FirstChild == nil {
		if strings.HasPrefix(kind, "multipart/") { // without a boundary that can be found it is one text
			kind = "text/plain"
		}
		attached := strings.EqualFold(p.Disposition, "attachment") || p.FileName != "" && !strings.EqualFold(p.Disposition, "inline")
		switch {
		case !attached && (kind == "" || kind == "text/plain") && len(p.Content) <= maxText:
			t := text(p.Content, p.Charset)
			if strings.EqualFold(param(p, "format"), "flowed") {
				t = unflow(t, strings.EqualFold(param(p, "delsp"), "yes"))
			}
			w.plain = append(w.plain, t)
		case !attached && kind == "text/html" && len(p.Content) <= maxText:
			w.html = append(w.html, text(p.Content, htmlCharset(p)))
		case kind == "message/rfc822" && w.report:
			w.returns = append(w.returns, p)
		case kind == "message/delivery-status" || kind == "text/rfc822-headers" || kind == "message/disposition-notification":
		case len(p.Content) == 0 && p.FileName == "":
		default:
			w.file(p, kind, name)
		}
	}
	for c := p.FirstChild; c != nil; c = c.NextSibling {
		if err := w.walk(c, depth+1); err != nil {
			return err
		}
	}
	return nil
}

func (w *walker) file(p *enmime.Part, kind, ext string) {
	f := File{Name: clean(text([]byte(words(p.FileName)), "")), Type: kind, Data: p.Content}
	if f.Type == "" {
		f.Type = "application/octet-stream"
	}
	if f.Name == "" {
		if ext == "" {
			if list, err := mime.ExtensionsByType(f.Type); err == nil && len(list) > 0 {
				ext = list[0]
			}
		}
		switch kind {
		case "text/calendar":
			ext = ".ics"
		case "message/rfc822":
			ext = ".eml"
		}
		f.Name = "file" + ext
		if kind == "message/rfc822" {
			w.m.Forward = true
		}
	}
	w.m.Files = append(w.m.Files, f)
	w.cids = append(w.cids, strings.Trim(p.ContentID, "<> "))
}

// finish puts the text together.
func (w *walker) finish() {
	m := w.m
	plain := strings.TrimSpace(strings.Join(w.plain, "\n"))
	var doc string
	if len(w.html) > 0 {
		var shown []string
		doc, shown = fromHTML(strings.Join(w.html, "\n"))
		for i, cid := range w.cids {
			for _, s := range shown {
				if cid != "" && strings.EqualFold(s, cid) {
					m.Files[i].Inline = true
				}
			}
		}
	}
	switch {
	case strings.TrimSpace(strings.ReplaceAll(doc, cutMark, "")) != "":
		m.Text = tidy(strings.ReplaceAll(doc, cutMark, ""))
		m.Reply, m.Cut = reply(doc)
	default:
		m.Text = tidy(plain)
		m.Reply, m.Cut = reply(plain)
	}
	m.Forward = m.Forward || forwards(m.Text)
	seen := map[string]bool{} // the same picture twice is one
	files := m.Files[:0]
	for _, f := range m.Files {
		key := f.Name + "\x00" + string(f.Data)
		if !seen[key] {
			seen[key] = true
			files = append(files, f)
		}
	}
	m.Files = files
}

// param is a parameter of a part's Content-Type.
func param(p *enmime.Part, name string) string {
	_, params, err := mime.ParseMediaType(p.Header.Get("Content-Type"))
	if err != nil && params == nil {
		return ""
	}
	return params[name]
}

// unflow joins the lines of RFC 3676.
func unflow(s string, delsp bool) string {
	var b strings.Builder
	lines := strings.Split(s, "\n")
	for i, l := range lines {
		l = strings.TrimSuffix(l, "\r")
		quoted := strings.HasPrefix(l, ">")
		if !quoted {
			l = strings.TrimPrefix(l, " ")
		}
		if l != "-- " && strings.HasSuffix(l, " ") && i+1 < len(lines) && strings.HasPrefix(lines[i+1], ">") == quoted && !quoted {
			if delsp {
				l = strings.TrimSuffix(l, " ")
			}
			b.WriteString(l)
			continue
		}
		b.WriteString(l + "\n")
	}
	return b.String()
}
