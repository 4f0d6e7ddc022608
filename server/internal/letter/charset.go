package letter

import (
	"encoding/base64"
	"io"
	"strings"
	"unicode/utf16"
	"unicode/utf8"

	"github.com/jhillyerd/enmime/v2"
	"golang.org/x/net/html/charset"
	"golang.org/x/text/encoding"
	"golang.org/x/text/encoding/charmap"
	"golang.org/x/text/encoding/ianaindex"
	"golang.org/x/text/encoding/japanese"
)

// text is b in UTF-8 without NUL: by its declared charset if that fits, else by what it looks like, else as
// windows-1252, in which everything is valid.
func text(b []byte, declared string) string {
	s := decode(b, declared)
	return strings.ReplaceAll(strings.ToValidUTF8(s, "\ufffd"), "\x00", "")
}

func decode(b []byte, declared string) string {
	declared = strings.ToLower(strings.Trim(strings.TrimSpace(declared), `"'`))
	declared = strings.TrimPrefix(declared, "charset=")
	switch declared {
	case "utf-7", "unicode-1-1-utf-7", "x-unicode-2-0-utf-7":
		return utf7(string(b))
	case "", "us-ascii", "ascii", "utf-8", "utf8", "x-unknown", "unknown-8bit", "default", "iso-8859-1", "latin1", "windows-1252":
		// Programs that declare one of these often send another: UTF-8 proves itself.
		if utf8.Valid(b) && !strings.Contains(string(b), "\x1b$") {
			return string(b)
		}
	default:
		if e := lookup(declared); e != nil {
			if s, err := e.NewDecoder().Bytes(b); err == nil && !strings.ContainsRune(string(s), utf8.RuneError) {
				return string(s)
			}
			if utf8.Valid(b) {
				return string(b)
			}
		}
	}
	if utf8.Valid(b) && !strings.Contains(string(b), "\x1b$") {
		return string(b)
	}
	if strings.Contains(string(b), "\x1b$") || strings.Contains(string(b), "\x1b(J") {
		if s, err := japanese.ISO2022JP.NewDecoder().Bytes(b); err == nil {
			return string(s)
		}
	}
	e := lookup(declared)
	if e == nil || declared == "utf-8" || declared == "utf8" || declared == "us-ascii" {
		e = guess(b)
	}
	s, err := e.NewDecoder().Bytes(b)
	if err != nil {
		return string(b)
	}
	return string(s)
}

func lookup(name string) encoding.Encoding {
	if name == "" {
		return nil
	}
	if e, _ := charset.Lookup(name); e != nil && e != encoding.Replacement {
		return e
	}
	if e, err := ianaindex.MIME.Encoding(name); err == nil && e != nil {
		return e
	}
	switch strings.ReplaceAll(name, "-", "") {
	case "cp850", "ibm850":
		return charmap.CodePage850
	case "cp437", "ibm437":
		return charmap.CodePage437
	case "cp866", "ibm866":
		return charmap.CodePage866
	case "cp1251":
		return charmap.Windows1251
	case "cp1252":
		return charmap.Windows1252
	case "koi8":
		return charmap.KOI8R
	}
	return nil
}

// guess tells undeclared Cyrillic from Western 8-bit text: in Russian most bytes above 127 are letters that follow
// each other, in Western texts they stand alone.
func guess(b []byte) encoding.Encoding {
	high, pairs := 0, 0
	var koi, win int
	for i, c := range b {
		if c < 0x80 {
			continue
		}
		high++
		if i > 0 && b[i-1] >= 0x80 {
			pairs++
		}
		switch {
		case c >= 0xc0 && c <= 0xdf: // small letters in KOI8-R, capitals in windows-1251
			koi++
		case c >= 0xe0: // the other way round
			win++
		}
	}
	if high < 4 || pairs*2 < high {
		return charmap.Windows1252
	}
	if koi > win {
		return charmap.KOI8R
	}
	return charmap.Windows1251
}

func charsetReader(name string, r io.Reader) (io.Reader, error) {
	b, err := io.ReadAll(io.LimitReader(r, maxHeader))
	if err != nil {
		return nil, err
	}
	return strings.NewReader(text(b, name)), nil
}

// htmlCharset is the declared charset of an HTML part, which may stand in the text itself.
func htmlCharset(p *enmime.Part) string {
	if p.Charset != "" {
		return p.Charset
	}
	head := strings.ToLower(string(p.Content[:min(len(p.Content), 2048)]))
	if i := strings.Index(head, "charset="); i >= 0 {
		name := strings.TrimLeft(head[i+8:], `"' `)
		if end := strings.IndexAny(name, "\"'>; /"); end >= 0 {
			return name[:end]
		}
	}
	return ""
}

// utf7 decodes RFC 2152.
func utf7(s string) string {
	var b strings.Builder
	for {
		i := strings.IndexByte(s, '+')
		if i < 0 {
			return b.String() + s
		}
		b.WriteString(s[:i])
		s = s[i+1:]
		n := 0
		for n < len(s) && strings.IndexByte("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/", s[n]) >= 0 {
			n++
		}
		if n == 0 {
			b.WriteByte('+')
			s = strings.TrimPrefix(s, "-")
			continue
		}
		if raw, err := base64.RawStdEncoding.DecodeString(s[:n-n*6%8/6]); err == nil || n%4 == 1 {
			var u []uint16
			for j := 0; j+1 < len(raw); j += 2 {
				u = append(u, uint16(raw[j])<<8|uint16(raw[j+1]))
			}
			b.WriteString(string(utf16.Decode(u)))
		}
		s = strings.TrimPrefix(s[n:], "-")
	}
}

// content undoes the transfer encoding, whatever is broken in it.
func content(p *enmime.Part) []byte {
	switch strings.ToLower(strings.TrimSpace(p.Header.Get("Content-Transfer-Encoding"))) {
	case "base64":
		clean := make([]byte, 0, len(p.Content))
		for _, c := range p.Content {
			if c >= 'A' && c <= 'Z' || c >= 'a' && c <= 'z' || c >= '0' && c <= '9' || c == '+' || c == '/' {
				clean = append(clean, c)
			}
		}
		if len(clean)%4 == 1 {
			clean = clean[:len(clean)-1]
		}
		out := make([]byte, base64.RawStdEncoding.DecodedLen(len(clean)))
		n, _ := base64.RawStdEncoding.Decode(out, clean) // what could be read counts
		return out[:n]
	case "quoted-printable":
		out := make([]byte, 0, len(p.Content))
		b := p.Content
		for i := 0; i < len(b); i++ {
			if b[i] != '=' {
				out = append(out, b[i])
				continue
			}
			j := i + 1
			for j < len(b) && (b[j] == ' ' || b[j] == '\t') {
				j++
			}
			switch {
			case j < len(b) && b[j] == '\n':
				i = j
			case j+1 < len(b) && b[j] == '\r' && b[j+1] == '\n':
				i = j + 1
			case i+2 < len(b) && hex(b[i+1]) >= 0 && hex(b[i+2]) >= 0:
				out = append(out, byte(hex(b[i+1])<<4|hex(b[i+2])))
				i += 2
			default:
				out = append(out, '=')
			}
		}
		return out
	}
	return p.Content
}

func hex(c byte) int {
	switch {
	case c >= '0' && c <= '9':
		return int(c - '0')
	case c >= 'A' && c <= 'F':
		return int(c-'A') + 10
	case c >= 'a' && c <= 'f':
		return int(c-'a') + 10
	}
	return -1
}
