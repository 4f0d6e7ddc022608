package access

import (
	"errors"

	"github.com/traybell/traybell/server/internal/access"
	"github.com/traybell/traybell/server/internal/desk"
	"github.com/traybell/traybell/shared/api"
	"github.com/traybell/traybell/shared/catalogue"
	"github.com/traybell/traybell/shared/grant"
)

// Text is what a technician reads for the code of a refusal: a grant.Refusal, a device's own, or one of the
// relay's. An unknown code comes with the device's own sentence.
func Text(code, sentence, language string) string {
	id := "access." + code
	if s := catalogue.For(language).T(id); s != id {
		return s
	}
	if sentence != "" {
		return sentence
	}
	return catalogue.For(language).T("access.failed")
}

// refuse makes an error whose sentence is the catalogue's "access." + code.
func refuse(kind error, code string) error {
	return &desk.Error{Kind: kind, Code: code, Text: catalogue.For("en").T("access." + code)}
}

func offline() error { return refuse(desk.ErrConflict, api.CodeOffline) }

// explain gives an error of access.Permits its kind and sentence.
func explain(err error) error {
	if r, ok := errors.AsType[grant.Refusal](err); ok {
		return refuse(desk.ErrDenied, string(r))
	}
	switch {
	case errors.Is(err, access.ErrOver):
		return refuse(desk.ErrConflict, "session_over")
	case errors.Is(err, access.ErrNotOpen):
		return refuse(desk.ErrConflict, "not_allowed_yet")
	}
	return desk.Fail(err)
}

func codeOf(err error) string {
	if e, ok := errors.AsType[*desk.Error](err); ok {
		return e.Code
	}
	return ""
}
