package store

import (
	"strings"
	"unicode"

	"golang.org/x/text/unicode/norm"
)

// fold drops capitals and accents, so that both engines find "Città" by "citta".
func fold(s string) string {
	s = strings.Map(func(r rune) rune {
		if unicode.Is(unicode.Mn, r) {
			return -1
		}
		return r
	}, norm.NFD.String(s))
	return norm.NFC.String(strings.ToLower(s))
}

// words splits what somebody searches for into folded words of letters and digits, at most eight.
func words(s string) []string {
	list := strings.FieldsFunc(fold(s), func(r rune) bool { return !unicode.IsLetter(r) && !unicode.IsDigit(r) })
	return list[:min(len(list), 8)]
}

// indexed is a text as it goes into the index: the same words that words would make.
func indexed(s string) string {
	return strings.Join(strings.FieldsFunc(fold(s), func(r rune) bool { return !unicode.IsLetter(r) && !unicode.IsDigit(r) }), " ")
}

// likeEscape makes s a literal part of a pattern of "like … escape '\'", in lower case.
func likeEscape(s string) string {
	return strings.NewReplacer(`\`, `\\`, `%`, `\%`, `_`, `\_`).Replace(strings.ToLower(s))
}
