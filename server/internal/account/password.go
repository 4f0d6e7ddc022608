package account

import (
	"bufio"
	"bytes"
	"compress/gzip"
	_ "embed"
	"errors"
	"strings"
	"sync"
	"unicode"
	"unicode/utf8"
)

// Bounds on passwords, in characters. Longer ones are refused because hashing costs time.
const (
	MinPassword = 8
	MaxPassword = 256
)

// Errors of CheckPassword, each with its cure.
var (
	ErrPasswordShort  = errors.New("the password needs at least 8 characters")
	ErrPasswordLong   = errors.New("the password may have at most 256 characters")
	ErrPasswordKinds  = errors.New("the password needs an upper case letter, a lower case letter, and a digit or a symbol")
	ErrPasswordCommon = errors.New("this password is on the lists that attackers try first; choose another one")
)

//go:embed common.txt
var commonText string

// The passwords used most, from the list of zxcvbn 4.4.2 (© 2012–2016 Dan Wheeler and Dropbox, Inc., MIT licence):
// in lower case, without what people put around a word.
//
//go:embed common-used.txt.gz
var commonUsed []byte

var common = sync.OnceValue(func() map[string]bool {
	m := map[string]bool{}
	for line := range strings.Lines(commonText) {
		m[strings.TrimSpace(line)] = true
	}
	z, err := gzip.NewReader(bytes.NewReader(commonUsed))
	if err != nil {
		return m
	}
	for lines := bufio.NewScanner(z); lines.Scan(); {
		m[lines.Text()] = true
	}
	return m
})

// CheckPassword applies the customer's rule (8 characters, upper case, lower case, digit or symbol)
// and refuses common passwords and the account's own address. Any Unicode is accepted.
func CheckPassword(password, email string) error {
	n := utf8.RuneCountInString(password)
	switch {
	case n < MinPassword:
		return ErrPasswordShort
	case n > MaxPassword:
		return ErrPasswordLong
	}
	var upper, lower, other bool
	for _, r := range password {
		switch {
		case unicode.IsUpper(r):
			upper = true
		case unicode.IsLower(r):
			lower = true
		case !unicode.IsLetter(r):
			other = true
		}
	}
	if !upper || !lower || !other {
		return ErrPasswordKinds
	}
	// What people add to a common word to satisfy a rule does not make it rare.
	folded := strings.ToLower(password)
	trimmed := strings.TrimFunc(folded, func(r rune) bool { return !unicode.IsLetter(r) })
	local, _, _ := strings.Cut(strings.ToLower(email), "@")
	if common()[folded] || common()[trimmed] || trimmed == "" || email != "" && (folded == strings.ToLower(email) || trimmed == local) {
		return ErrPasswordCommon
	}
	return nil
}
