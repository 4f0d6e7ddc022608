package audit

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/traybell/traybell/shared/catalogue"
)

// Words says an action in words: the catalogue's "log." + action, or the action's own name where it has none.
func Words(p *catalogue.Printer, action string) string {
	if s := p.T("log." + action); s != "log."+action {
		return s
	}
	return strings.NewReplacer(".", " ", "_", " ").Replace(action)
}

// Fact is one thing that an entry's detail tells.
type Fact struct {
	Name  string
	Value string
	Time  time.Time // instead of Value
}

// Facts are the row's detail in words, in the order of their names in the detail.
func (r Row) Facts(p *catalogue.Printer) []Fact {
	var detail map[string]any
	if json.Unmarshal([]byte(r.Detail), &detail) != nil {
		return nil
	}
	keys := make([]string, 0, len(detail))
	for k := range detail {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	var facts []Fact
	for _, k := range keys {
		f := Fact{Name: p.T("log.detail." + k)}
		if f.Name == "log.detail."+k {
			f.Name = strings.ReplaceAll(k, "_", " ")
		}
		if s, ok := detail[k].(string); ok {
			if t, err := time.Parse(time.RFC3339, s); err == nil {
				f.Time = t
				if t.Year() > 1 {
					facts = append(facts, f)
				}
				continue
			}
		}
		if f.Value = r.value(p, k, detail[k]); f.Value != "" {
			facts = append(facts, f)
		}
	}
	return facts
}

// kinds are the catalogue's words for the values of a detail.
var kinds = map[string][]string{
	"role": {"web.role."}, "severity": {"word.severity."}, "scopes": {"word.scope."}, "from": {"word.status.", "word.severity.", "web.role."}, "to": {"word.status.", "word.severity.", "web.role."},
	"action": {"log."},
}

func (r Row) value(p *catalogue.Printer, key string, v any) string {
	switch v := v.(type) {
	case nil:
		return ""
	case bool:
		if v {
			return p.T("log.yes")
		}
		return p.T("log.no")
	case float64:
		return fmt.Sprint(int64(v))
	case []any:
		var list []string
		for _, e := range v {
			if s := r.value(p, key, e); s != "" {
				list = append(list, s)
			}
		}
		return strings.Join(list, ", ")
	case string:
		for _, kind := range kinds[key] {
			if s := p.T(kind + v); s != kind+v {
				return s
			}
		}
		for _, ref := range refs(key, v) {
			if name := r.Names[ref]; name != "" {
				return name
			}
		}
		return v
	}
	b, _ := json.Marshal(v)
	return string(b)
}

// refs are the names that an id in a detail may have in the log.
func refs(key, id string) []string {
	if strings.Contains(id, ":") && len(id) < 100 {
		return []string{id}
	}
	if len(id) != 36 {
		return nil
	}
	return []string{key + ":" + id, "account:" + id, "organization:" + id}
}

// refsIn lists the ids in a row's detail that may have a name.
func refsIn(detail string) (list []string) {
	var m map[string]any
	if json.Unmarshal([]byte(detail), &m) != nil {
		return nil
	}
	for k, v := range m {
		if s, ok := v.(string); ok {
			list = append(list, refs(k, s)...)
		}
	}
	return list
}
