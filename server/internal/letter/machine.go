package letter

import (
	"regexp"
	"strings"
	"time"
)

var (
	away = regexp.MustCompile(`(?i)^(\[?(external|extern)\]?:? ?)?(re: |aw: |antw: )?(out of (the )?office|automatic reply|automated reply|auto(matic)? ?-?(reply|response|responder)|autoreply|away from (my|the) (mail|office|desk)|on (vacation|holiday|leave)|vacation (reply|response|notice)|i am (out|away)|risposta automatica|fuori (ufficio|sede)|assen(te|za)|sono in ferie|automatische (antwort|nachricht)|abwesen(d|heit)|nicht im (büro|haus)|urlaubs?(meldung|abwesenheit)|автоматический ответ|автоответ|вне офиса|нет на месте|в отпуске|réponse automatique|absence|absent du bureau|respuesta automática|fuera de (la )?oficina|resposta automática|automatisch antwoord|afwezig|autosvar|automaattinen vastaus|odpowiedź automatyczna|自動返信|自动回复)`)

	failed = regexp.MustCompile(`(?i)(undeliver(ed|able)|delivery (status notification|failure|failed|has failed|notification)|mail delivery (failed|failure|system)|returned mail|failure notice|could not be delivered|message not delivered|undelivered mail|mancat[ao] (recapito|consegna)|impossibile recapitare|consegna non riuscita|unzustellbar|nicht zugestellt|zustellung (fehlgeschlagen|gescheitert)|fehler bei der zustellung|не доставлено|не удалось доставить|недоставленн|échec de (la )?remise|non remis|no se puede entregar|delayed|warning: .{0,40}still being retried)`)

	daemon = regexp.MustCompile(`(?i)^(mailer-?daemon|postmaster|mail-?daemon|mdaemon|mailer|bounces?|microsoftexchange[0-9a-f]+|no-?reply-?bounce)(\+[^@]*)?@`)

	mentioned = regexp.MustCompile(`(?i)message-id:\s{0,4}<([^<>\s]{3,300}@[^<>\s]{1,200})>`)
	status    = regexp.MustCompile(`\b([245]\.\d{1,3}\.\d{1,3})\b`)
)

// automatic tells why a machine must have sent a mail; empty: nothing says so.
func automatic(m Mail, h header, w *walker) string {
	if v := strings.ToLower(h.get("Auto-Submitted")); v != "" && v != "no" && !strings.HasPrefix(v, "no;") {
		return "Auto-Submitted: " + v
	}
	if w.receipt {
		return "read receipt"
	}
	if w.reply {
		return "answer to an invitation"
	}
	if w.report || m.Bounce != nil {
		return "report"
	}
	switch v := strings.ToLower(h.get("Precedence")); v {
	case "bulk", "junk", "list", "auto_reply", "auto-reply":
		return "Precedence: " + v
	}
	for _, name := range []string{"List-Id", "List-Unsubscribe", "List-Post", "X-Loop", "X-Autoreply", "X-Autorespond", "X-Auto-Reply", "X-AutoReply-From", "X-Mail-Autoreply", "X-Autoresponder", "X-Auto-Reply-From", "X-Vacation", "X-Yahoo-Auto-Reply",
		"X-MS-Exchange-Inbox-Rules-Loop", "X-MS-Exchange-Generated-Message-Source", "X-FC-MachineGenerated", "X-Cron-Env", "X-Ebay-Mailtracker", "Feedback-ID", "X-Failed-Recipients", "X-Opt-Out", "X-Out-Of-Office"} {
		if h.has(name) && !strings.EqualFold(h.get(name), "no") {
			return name
		}
	}
	if v := strings.ToLower(h.get("X-Auto-Response-Suppress")); strings.Contains(v, "all") || strings.Contains(v, "autoreply") && strings.Contains(v, "oof") {
		return "X-Auto-Response-Suppress: " + v
	}
	if v := h.get("X-Post-MessageClass"); strings.Contains(strings.ToLower(v), "autoresponder") {
		return "X-POST-MessageClass"
	}
	if strings.EqualFold(h.get("Delivered-To"), "Autoresponder") {
		return "Delivered-To: Autoresponder"
	}
	if h.has("Return-Path") && strings.TrimSpace(h.raw("Return-Path")[0]) == "<>" {
		return "empty return path"
	}
	if daemon.MatchString(m.From.Email) {
		return "from " + m.From.Email
	}
	if s := m.Subject; len(s) < 500 && away.MatchString(s) {
		return "subject"
	}
	return ""
}

// bounce reads a delivery failure; nil: it is none.
func bounce(m Mail, h header, w *walker) *Bounce {
	empty := h.has("Return-Path") && strings.TrimSpace(h.raw("Return-Path")[0]) == "<>"
	looks := len(m.Subject) < 500 && failed.MatchString(m.Subject)
	if len(w.status) == 0 && !(daemon.MatchString(m.From.Email) || empty && looks || h.has("X-Failed-Recipients")) {
		return nil
	}
	if w.receipt {
		return nil
	}
	b := &Bounce{}
	for _, p := range w.status {
		for _, l := range strings.Split(unfold(text(content(p), p.Charset)), "\n") {
			name, value, ok := strings.Cut(l, ":")
			if !ok {
				continue
			}
			value = clean(value)
			switch strings.ToLower(strings.TrimSpace(name)) {
			case "final-recipient", "original-recipient":
				if _, a, ok := strings.Cut(value, ";"); ok && b.Recipient == "" {
					b.Recipient = strings.ToLower(strings.Trim(a, " <>"))
				}
			case "action":
				b.Delayed = strings.EqualFold(value, "delayed")
				if strings.EqualFold(value, "delivered") || strings.EqualFold(value, "relayed") || strings.EqualFold(value, "expanded") {
					return nil
				}
			case "status":
				b.Status = status.FindString(value)
			case "diagnostic-code":
				if _, v, ok := strings.Cut(value, ";"); ok {
					value = v
				}
				b.Reason = strings.TrimSpace(value)
			}
		}
	}
	if b.Recipient == "" {
		b.Recipient = strings.ToLower(strings.Trim(h.get("X-Failed-Recipients"), " <>"))
	}
	var found []string
	for _, p := range w.returns {
		for _, x := range mentioned.FindAllStringSubmatch(string(content(p)), 20) {
			found = append(found, x[1])
		}
	}
	body := m.Text
	if len(body) > maxText {
		body = body[:maxText]
	}
	for _, x := range mentioned.FindAllStringSubmatch(body, 20) {
		found = append(found, x[1])
	}
	b.MessageIDs = unique(append(found, m.References...))
	if b.Status == "" {
		b.Status = status.FindString(body)
	}
	if b.Reason == "" {
		for _, l := range strings.Split(body, "\n") {
			if l = clean(l); len(l) < 400 && (strings.Contains(l, "550") || strings.Contains(l, "554") || status.MatchString(l)) {
				b.Reason = l
				break
			}
		}
	}
	if r := []rune(b.Reason); len(r) > 300 {
		b.Reason = string(r[:300])
	}
	return b
}

// unfold joins continued header lines.
func unfold(s string) string {
	s = strings.ReplaceAll(s, "\r", "")
	return strings.NewReplacer("\n ", " ", "\n\t", " ").Replace(s)
}

// event reads the first meeting of a calendar file.
func event(s string) *Event {
	e := &Event{}
	inside := false
	for _, l := range strings.Split(strings.NewReplacer("\r", "", "\n ", "", "\n\t", "").Replace(strings.ReplaceAll(s, "\r\n", "\n")), "\n") {
		name, value, ok := strings.Cut(l, ":")
		if !ok {
			continue
		}
		key, params, _ := strings.Cut(name, ";")
		value = clean(strings.NewReplacer(`\n`, " ", `\,`, ",", `\;`, ";", `\\`, `\`).Replace(value))
		switch strings.ToUpper(key) {
		case "BEGIN":
			inside = inside || strings.EqualFold(value, "VEVENT")
		case "METHOD":
			e.Method = strings.ToUpper(value)
		case "SUMMARY":
			if inside && e.Summary == "" {
				e.Summary = value
			}
		case "LOCATION":
			if inside && e.Place == "" {
				e.Place = value
			}
		case "ORGANIZER":
			if inside && e.From == "" {
				e.From = strings.TrimPrefix(strings.ToLower(value), "mailto:")
			}
		case "DTSTART":
			if inside && e.Start.IsZero() {
				e.Start = moment(value, params)
			}
		}
	}
	if e.Method == "" && e.Summary == "" && e.Start.IsZero() {
		return nil
	}
	return e
}

func moment(value, params string) time.Time {
	zone := time.UTC
	for p := range strings.SplitSeq(params, ";") {
		if k, v, ok := strings.Cut(p, "="); ok && strings.EqualFold(k, "TZID") && len(v) < 64 && !strings.Contains(v, "..") {
			if z, err := time.LoadLocation(strings.Trim(v, `"`)); err == nil {
				zone = z
			}
		}
	}
	for _, layout := range []string{"20060102T150405Z", "20060102T150405", "20060102"} {
		if t, err := time.ParseInLocation(layout, value, zone); err == nil {
			return t.UTC()
		}
	}
	return time.Time{}
}
