package letter

import (
	"regexp"
	"strings"
	"unicode"
)

// reply is what is new in a text, and whether something was left out. Where it is not sure, everything is new: no
// line of the author's is ever lost.
func reply(s string) (string, bool) {
	all := tidy(strings.ReplaceAll(s, cutMark, ""))
	lines := strings.Split(strings.ReplaceAll(s, "\r", ""), "\n")
	for i := range lines {
		lines[i] = strings.TrimRightFunc(strings.ReplaceAll(lines[i], "\u200b", ""), unicode.IsSpace)
	}
	end := len(lines)
	signature := -1
	quoteFirst, quoteLast := -1, -1
	inline := false
	for i := 0; i < end; i++ {
		l := lines[i]
		switch {
		case strings.Contains(l, cutMark), separator(l), headerBlock(lines[i:]):
			end = i
			continue
		case strings.HasPrefix(l, ">"):
			if signature >= 0 {
				end = signature
				continue
			}
			if quoteFirst < 0 {
				quoteFirst = i
			}
			quoteLast = i
			continue
		case signature < 0 && (l == "--" || lines[i] == "-- ") && quoteFirst < 0:
			signature = i
			continue
		}
		if n := attribution(lines[i:]); n > 0 {
			next := i + n
			for next < len(lines) && lines[next] == "" {
				next++
			}
			if next >= len(lines) || !strings.HasPrefix(lines[next], ">") { // what follows is not marked: all of it is old
				end = i
				continue
			}
			for j := i; j < i+n; j++ {
				lines[j] = "> " + lines[j]
			}
			if quoteFirst < 0 {
				quoteFirst = i
			}
			quoteLast = i + n - 1
			i += n - 1
			continue
		}
		if quoteFirst >= 0 && l != "" && i > quoteLast && hasQuote(lines[i:end]) {
			inline = true
		}
	}
	var part []string
	switch {
	case inline:
		return all, false
	case quoteFirst < 0:
		part = lines[:end]
		if signature >= 0 && signature < end {
			part = lines[:signature]
		}
	default:
		above, below := lines[:quoteFirst], lines[min(quoteLast+1, end):end]
		if signature >= 0 && signature < quoteFirst {
			above = lines[:signature]
		}
		below = beforeSignature(below)
		if !said(above) {
			part = below // the answer stands under the quote
		} else if said(below) {
			return all, false
		} else {
			part = above
		}
	}
	for len(part) > 0 && (part[len(part)-1] == "" || device.MatchString(part[len(part)-1])) {
		part = part[:len(part)-1]
	}
	out := tidy(strings.Join(part, "\n"))
	if out == "" || out == all {
		return all, false
	}
	return out, true
}

func beforeSignature(lines []string) []string {
	for i, l := range lines {
		if l == "--" || l == "-- " {
			return lines[:i]
		}
	}
	return lines
}

func said(lines []string) bool {
	for _, l := range lines {
		if l != "" && !device.MatchString(l) {
			return true
		}
	}
	return false
}

func hasQuote(lines []string) bool {
	for _, l := range lines {
		if strings.HasPrefix(l, ">") {
			return true
		}
		if strings.Contains(l, cutMark) {
			return false
		}
	}
	return false
}

// device is the line that a telephone adds.
var device = regexp.MustCompile(`(?i)^(sent from (my )?|get outlook for |inviato da(l mio)? |scarica outlook per |von meinem .{1,40} gesendet|gesendet von |gesendet mit |hol(en)? sie sich outlook|отправлено (с|из) |envoyé de(puis)? |enviado desde ).{0,80}$`)

// Attributions end with one of these, on one line or wrapped over three.
var (
	attributed = regexp.MustCompile(`(?i)^((>? ?on .{5,300} wrote|il .{5,300} ha scritto|am .{5,300} schrieb.{0,200}|le .{5,300} a écrit|el .{5,300} escribió|em .{5,300} escreveu|op .{5,300} schreef.{0,200}|.{5,300} (пишет|писала?|написала?|писал\(а\)|написал\(а\))|w dniu .{5,300} napisał(\(a\))?) ?:|.{1,200}(a écrit|ha scritto|schrieb|wrote) ?:)$`)
	dated      = regexp.MustCompile(`^.{0,200}\d{1,4}[./:-]\d{1,2}.{0,200}<?[^\s<>@]{1,100}@[^\s<>@]{1,100}>?[^@]{0,40}:$`)
	separates  = regexp.MustCompile(`(?i)^ ?[-_*=]{2,}\s*(original message|original-nachricht|ursprüngliche nachricht|messaggio originale|messaggio inoltrato|исходное сообщение|пересылаемое сообщение|message d'origine|mensaje original|forwarded message|weitergeleitete nachricht|reply above this line|reply message)\s*[-_*=]{0,}$`)
	headField  = regexp.MustCompile(`(?i)^[*>\s]{0,4}(from|sent|to|cc|subject|date|da|inviato|a|oggetto|data|von|gesendet|an|betreff|datum|от|отправлено|кому|тема|дата|копия|de|envoyé|à|objet|enviado|para|asunto)\s?:\*? ?\S?.{0,300}$`)
	fromField  = regexp.MustCompile(`(?i)^[*>\s]{0,4}(from|da|von|от|de)\s?:`)
	forwarded  = regexp.MustCompile(`(?im)^\s{0,3}(-{2,}\s*(forwarded message|weitergeleitete nachricht|messaggio inoltrato|inoltrato messaggio|пересылаемое сообщение|пересланное сообщение|forwarded by .{1,100})\s*-{0,}|begin forwarded message:|inizio messaggio inoltrato:|anfang der weitergeleiteten nachricht:|начало переадресованного сообщения:|-{4,}\s*пересылаемое сообщение.{0,100})\s*$`)
)

// attribution is how many lines at the beginning say who wrote what follows; 0: none.
func attribution(lines []string) int {
	joined := ""
	for n := 1; n <= 3 && n <= len(lines); n++ {
		l := strings.TrimSpace(lines[n-1])
		if l == "" || len(joined)+len(l) > 700 || strings.HasPrefix(l, ">") {
			return 0
		}
		joined = strings.TrimSpace(joined + " " + l)
		if strings.HasSuffix(joined, ":") && (attributed.MatchString(joined) || dated.MatchString(joined)) {
			if n > 1 && (attributed.MatchString(l) || dated.MatchString(l)) && !dateBefore(lines[:n-1]) { // the last line alone is one: what stands above is text
				return 0
			}
			return n
		}
	}
	return 0
}

var year = regexp.MustCompile(`\b(19|20)\d\d\b`)

// dateBefore reports whether the first of wrapped lines begins like an attribution.
func dateBefore(lines []string) bool {
	l := strings.ToLower(strings.TrimSpace(lines[0]))
	for _, p := range []string{"on ", "il ", "am ", "le ", "el ", "em ", "op ", "w dniu "} {
		if strings.HasPrefix(l, p) {
			return strings.ContainsAny(l, "0123456789")
		}
	}
	return len(l) > 0 && l[0] >= '0' && l[0] <= '9' || year.MatchString(l)
}

func separator(l string) bool {
	t := strings.TrimSpace(l)
	return len(t) < 200 && (separates.MatchString(t) || len(t) >= 20 && strings.Trim(t, "_") == "")
}

// headerBlock reports whether the lines begin with the header of a mail, as Outlook prints it: From and at least one
// more of its fields within the next lines.
func headerBlock(lines []string) bool {
	if len(lines[0]) > 400 || !fromField.MatchString(lines[0]) {
		return false
	}
	n := 1
	for _, l := range lines[1:min(len(lines), 6)] {
		if len(l) <= 400 && headField.MatchString(l) {
			n++
		}
	}
	return n >= 3
}

// forwards reports whether a text hands on another mail.
func forwards(s string) bool {
	return len(s) <= maxText && forwarded.MatchString(s)
}

// tidy leaves at most one empty line in a row and none at the ends.
func tidy(s string) string {
	var out []string
	blank := false
	for _, l := range strings.Split(strings.ReplaceAll(s, "\r", ""), "\n") {
		l = strings.TrimRightFunc(l, unicode.IsSpace)
		if l == "" {
			blank = len(out) > 0
			continue
		}
		if blank {
			out = append(out, "")
			blank = false
		}
		out = append(out, l)
	}
	return strings.Join(out, "\n")
}

// Closes reports whether the first line of an answer is the word that closes a ticket, in one of four languages.
func Closes(s string) bool {
	l, _, _ := strings.Cut(strings.TrimSpace(s), "\n")
	l = strings.ToLower(strings.Trim(strings.TrimSpace(l), " .!:;,\"'«»„“”*"))
	switch l {
	case "close", "chiudi", "schließen", "schliessen", "закрыть", "закрой":
		return true
	}
	return false
}

var thanks = regexp.MustCompile(`(?i)^(many )?(thanks?( you)?( (so|very) much| a lot)?|thx|ty|grazie( mille| tante| molte)?|(vielen |besten |herzlichen )?dank(e)?( schön| sehr| dir| ihnen)?|спасибо( большое| вам)?|большое спасибо|благодарю( вас)?|merci( beaucoup)?|ok(ay)?|perfect|perfetto|perfekt|отлично)[\s.,!:)\x{1F600}-\x{1F64F}\x{1F44D}]{0,10}$`)

// Thanks reports whether an answer says nothing but thank you; it reopens no ticket.
func Thanks(s string) bool {
	n := 0
	for _, l := range strings.Split(strings.TrimSpace(s), "\n") {
		if l = strings.TrimSpace(l); l == "" {
			continue
		}
		if n++; n > 1 && len([]rune(l)) > 40 || n > 3 {
			return false
		}
		if n == 1 && (len(l) > 100 || !thanks.MatchString(l)) {
			return false
		}
	}
	return n > 0
}
