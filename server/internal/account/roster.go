package account

import (
	"encoding/csv"
	"errors"
	"slices"
	"strings"
)

// MaxRoster is how many people are invited at once.
const MaxRoster = 500

// ErrRoster says that a list of people can't be read.
var ErrRoster = errors.New("this list can't be read: one person a line, at most 500")

// Invitee is one line of a list of people who are to be invited. Empty fields were not said.
type Invitee struct {
	Line     int
	Email    string
	Name     string
	Role     string
	Language string
}

// ParseRoster reads people from text: lines of addresses, or CSV with the columns e-mail, name, role and language
// divided by commas or semicolons. A heading line is left out, and so is an address that came before.
func ParseRoster(text string) ([]Invitee, error) {
	var list []Invitee
	text = strings.TrimPrefix(text, "\ufeff")
	seen := map[string]bool{}
	add := func(v Invitee) {
		key := strings.ToLower(v.Email)
		if v.Email != "" && !seen[key] {
			seen[key] = true
			list = append(list, v)
		}
	}
	number := 0
	for line := range strings.Lines(text) {
		number++
		line = strings.TrimSpace(line)
		if line == "" {
			continue
		}
		r := csv.NewReader(strings.NewReader(line))
		if strings.Contains(line, ";") && !strings.Contains(line, ",") {
			r.Comma = ';'
		}
		r.TrimLeadingSpace, r.FieldsPerRecord = true, -1
		fields, err := r.Read()
		if err != nil || strings.ContainsAny(line, "\x00") {
			return nil, ErrRoster
		}
		for i := range fields {
			fields[i] = strings.TrimSpace(fields[i])
		}
		if addresses := strings.FieldsFunc(line, func(r rune) bool { return strings.ContainsRune(",; \t", r) }); !slices.ContainsFunc(addresses, func(s string) bool { return !strings.Contains(s, "@") }) {
			for _, a := range addresses {
				add(Invitee{Line: number, Email: a})
			}
		} else if number > 1 || strings.Contains(line, "@") { // not the heading
			v := Invitee{Line: number, Email: fields[0]}
			for i, to := range []*string{&v.Name, &v.Role, &v.Language} {
				if len(fields) > i+1 {
					*to = fields[i+1]
				}
			}
			add(v)
		}
		if len(list) > MaxRoster {
			return nil, ErrRoster
		}
	}
	return list, nil
}
