package desk

import (
	"errors"
	"strings"
	"testing"
)

func TestMailTokenStandsNoChange(t *testing.T) {
	o := Options{MailKey: []byte("0123456789abcdef0123456789abcdef")}
	token := o.SignMail(TokenReply, 1042, "Lucia@studioverdi.it")
	if len("help+"+token) > 64 {
		t.Errorf("%s does not fit into a local part", token)
	}
	for _, s := range []string{token, strings.ToUpper(token)} {
		got, err := o.OpenMail(TokenReply, s)
		if err != nil || got.Number != 1042 || !got.Matches("lucia@studioverdi.it") || got.Matches("carla@studioverdi.it") {
			t.Errorf("%s: %+v, %v", s, got, err)
		}
	}
	for i := range token {
		for _, r := range "a7.tz0" {
			changed := token[:i] + string(r) + token[i+1:]
			if changed == token {
				continue
			}
			if _, err := o.OpenMail(TokenReply, changed); !errors.Is(err, ErrMailToken) {
				t.Errorf("%s instead of %s was accepted", changed, token)
			}
		}
	}
	for _, s := range []string{"", ".", "..", "t", token + ".", strings.Repeat("a", 1000), token[:len(token)-1]} {
		if _, err := o.OpenMail(TokenReply, s); !errors.Is(err, ErrMailToken) {
			t.Errorf("%q was accepted", s)
		}
	}
	if _, err := o.OpenMail(TokenDecide, token); !errors.Is(err, ErrMailToken) {
		t.Error("a reply address decides")
	}
	if _, err := (Options{}).OpenMail(TokenReply, (Options{}).SignMail(TokenReply, 1, "a@b.c")); !errors.Is(err, ErrMailToken) {
		t.Error("without a key everything is accepted")
	}
}
