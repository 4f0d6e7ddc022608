package desk

import (
	"context"
	"errors"
	"time"

	"github.com/traybell/traybell/server/internal/access"
	"github.com/traybell/traybell/server/internal/account"
	"github.com/traybell/traybell/server/internal/device"
	"github.com/traybell/traybell/server/internal/store"
	"github.com/traybell/traybell/server/internal/ticket"
	"github.com/traybell/traybell/server/internal/ticket/sla"
	"github.com/traybell/traybell/shared/catalogue"
)

// Kinds of errors. Edges map each once, to a status and a page.
var (
	ErrInvalid     = errors.New("this can't be accepted as it is")
	ErrDenied      = errors.New("you are not allowed to do this")
	ErrNotFound    = errors.New("this does not exist, or is not yours to see")
	ErrConflict    = errors.New("this was changed or made by somebody else meanwhile; look again")
	ErrTooLarge    = errors.New("this is too large")
	ErrUnavailable = errors.New("the server can't store anything now; nothing was kept, try again later")
	ErrLimited     = errors.New("too many attempts; wait a minute and try again")
)

// Error is an error with a sentence of its own that a person can be shown.
type Error struct {
	Kind  error         // one of the kinds above
	Code  string        // stable; its text is the catalogue's "desk." + Code, "access." + Code, "people." + Code, or Code itself where it names its area
	Text  string        // English
	After time.Duration // of ErrLimited: when it is worth trying again; 0: not known
	cause error
}

// Error implements error.
func (e *Error) Error() string { return e.Text }

// Unwrap makes errors.Is find the kind and the rule's error.
func (e *Error) Unwrap() []error {
	if e.cause == nil {
		return []error{e.Kind}
	}
	return []error{e.Kind, e.cause}
}

// Cause is what lies behind the sentence, for the log; e itself when there is nothing else.
func (e *Error) Cause() error {
	if e.cause == nil {
		return e
	}
	return e.cause
}

// In is the sentence in a language.
func (e *Error) In(language string) string {
	for _, area := range []string{"desk.", "access.", "people.", ""} {
		if s := catalogue.For(language).T(area + e.Code); s != area+e.Code {
			return s
		}
	}
	return e.Text
}

// Text is what a person is told of any error, in a language. Errors that are not the desk's have no
// sentence of their own: they give that of ErrUnavailable, and belong into the log.
func Text(err error, language string) string {
	var e *Error
	if errors.As(Fail(err), &e) {
		return e.In(language)
	}
	return catalogue.For(language).T("desk.unavailable")
}

// code gives the errors of the rules their kind and code.
var codes = []struct {
	err  error
	kind error
	code string
}{
	{account.ErrRole, ErrInvalid, "role"},
	{account.ErrEmail, ErrInvalid, "email"},
	{account.ErrName, ErrInvalid, "name"},
	{account.ErrLanguage, ErrInvalid, "language"},
	{account.ErrExpired, ErrInvalid, "link_expired"},
	{account.ErrUsed, ErrInvalid, "link_used"},
	{account.ErrPasswordShort, ErrInvalid, "password_short"},
	{account.ErrPasswordLong, ErrInvalid, "password_long"},
	{account.ErrPasswordKinds, ErrInvalid, "password_kinds"},
	{account.ErrPasswordCommon, ErrInvalid, "password_common"},
	{account.ErrDomain, ErrInvalid, "domain"},
	{account.ErrZone, ErrInvalid, "time_zone"},
	{account.ErrTray, ErrInvalid, "tray_title"},
	{account.ErrLogo, ErrInvalid, "logo_picture"},
	{account.ErrDays, ErrInvalid, "absence_days"},
	{account.ErrRoster, ErrInvalid, "roster"},
	{account.ErrDeputy, ErrInvalid, "absence_deputy"},
	{account.ErrProvider, ErrConflict, "provider_plan"},
	{account.ErrDirectoryDomains, ErrInvalid, "directory.domains"},
	{account.ErrDirectoryServer, ErrInvalid, "directory.server"},
	{account.ErrDirectoryTLS, ErrInvalid, "directory.tls"},
	{account.ErrDirectoryCA, ErrInvalid, "directory.ca"},
	{account.ErrDirectoryFilter, ErrInvalid, "directory.filter"},
	{account.ErrDirectorySetting, ErrInvalid, "directory.setting"},
	{account.ErrDirectoryIssuer, ErrInvalid, "directory.issuer"},
	{account.ErrDirectorySecret, ErrInvalid, "directory.secret"},
	{account.ErrDirectoryTwice, ErrInvalid, "directory.twice"},
	{account.ErrDirectoryRole, ErrInvalid, "directory.role"},
	{account.ErrDirectoryUnreachable, ErrInvalid, "directory.unreachable"},
	{account.ErrDirectoryCertificate, ErrInvalid, "directory.certificate"},
	{account.ErrDirectoryBind, ErrInvalid, "directory.bind"},
	{account.ErrDirectoryBase, ErrInvalid, "directory.base"},
	{account.ErrDirectoryAnswer, ErrInvalid, "directory.answer"},
	{account.ErrDirectoryNoUser, ErrInvalid, "directory.no_user"},
	{account.ErrDirectorySeveral, ErrInvalid, "directory.several"},
	{account.ErrDirectoryNoID, ErrInvalid, "directory.no_id"},
	{account.ErrDirectoryDisabled, ErrDenied, "directory.disabled"},
	{account.ErrDirectoryPassword, ErrDenied, "directory.password"},
	{account.ErrDirectoryNoEmail, ErrDenied, "directory.no_email"},
	{account.ErrDirectoryForeign, ErrDenied, "directory.foreign"},
	{account.ErrDirectoryNoRole, ErrDenied, "directory.no_role"},
	{account.ErrDirectoryNotInvited, ErrDenied, "directory.not_invited"},
	{account.ErrDirectoryTaken, ErrDenied, "directory.taken"},
	{account.ErrDirectoryDown, ErrInvalid, "directory.down"},
	{account.ErrTokenState, ErrDenied, "directory.state"},
	{account.ErrTokenRefused, ErrDenied, "directory.refused"},
	{account.ErrTokenIssuer, ErrDenied, "directory.token_issuer"},
	{account.ErrTokenAudience, ErrDenied, "directory.audience"},
	{account.ErrTokenSignature, ErrDenied, "directory.signature"},
	{account.ErrTokenExpired, ErrDenied, "directory.expired"},
	{account.ErrTokenNonce, ErrDenied, "directory.nonce"},
	{account.ErrTokenSubject, ErrDenied, "directory.subject"},
	{account.ErrTokenExchange, ErrDenied, "directory.exchange"},
	{account.ErrPasswordElsewhere, ErrDenied, "directory.password_elsewhere"},
	{device.ErrKeyUnknown, ErrDenied, "key_unknown"},
	{device.ErrKeyExpired, ErrDenied, "key_expired"},
	{device.ErrKeyUsed, ErrDenied, "key_used"},
	{device.ErrKeyUses, ErrInvalid, "key_uses"},
	{device.ErrProof, ErrInvalid, "device_proof"},
	{device.ErrName, ErrInvalid, "device_name"},
	{device.ErrRemoved, ErrDenied, "device_removed"},
	{device.ErrCode, ErrInvalid, "owner_code"},
	{device.ErrCodeUsed, ErrConflict, "owner_code_used"},
	{device.ErrOwned, ErrConflict, "owner_taken"},
	{device.ErrNotClaimed, ErrConflict, "owner_not_claimed"},
	{device.ErrElsewhere, ErrInvalid, "owner_code"},
	{ticket.ErrTitle, ErrInvalid, "title"},
	{ticket.ErrText, ErrInvalid, "text"},
	{ticket.ErrEmail, ErrInvalid, "email"},
	{ticket.ErrContact, ErrInvalid, "contact"},
	{ticket.ErrSeverity, ErrInvalid, "severity"},
	{ticket.ErrStatus, ErrInvalid, "status"},
	{ticket.ErrFiles, ErrInvalid, "files"},
	{ticket.ErrID, ErrInvalid, "id"},
	{ticket.ErrFacts, ErrInvalid, "facts"},
	{ticket.ErrMove, ErrConflict, "move"},
	{ticket.ErrReason, ErrInvalid, "reason"},
	{ticket.ErrNotYours, ErrDenied, "not_yours"},
	{ticket.ErrClosed, ErrConflict, "closed"},
	{ticket.ErrFollowUp, ErrConflict, "follow_up"},
	{ticket.ErrHeld, ErrConflict, "held"},
	{ticket.ErrMerged, ErrConflict, "merged"},
	{ticket.ErrUntil, ErrInvalid, "until"},
	{ticket.ErrMerge, ErrInvalid, "merge"},
	{ticket.ErrUnmerge, ErrConflict, "unmerge"},
	{ticket.ErrMinutes, ErrInvalid, "minutes"},
	{ticket.ErrKind, ErrInvalid, "category_kind"},
	{ticket.ErrChange, ErrInvalid, "approval_change"},
	{ticket.ErrDecided, ErrConflict, "approval_decided"},
	{ticket.ErrChanged, ErrConflict, "approval_changed"},
	{ticket.ErrLate, ErrConflict, "approval_late"},
	{ticket.ErrApprover, ErrDenied, "approval_not_yours"},
	{ticket.ErrOwnBenefit, ErrDenied, "approval_own"},
	{ticket.ErrWhy, ErrInvalid, "approval_why"},
	{ticket.ErrStarted, ErrConflict, "approval_started"},
	{sla.ErrZone, ErrInvalid, "zone"},
	{sla.ErrHours, ErrInvalid, "hours"},
	{sla.ErrHolidays, ErrInvalid, "holidays"},
	{sla.ErrName, ErrInvalid, "name"},
	{sla.ErrTargets, ErrInvalid, "targets"},
	{sla.ErrDuty, ErrInvalid, "duty"},

	{access.ErrOver, ErrConflict, "session_over"},
	{access.ErrEvent, ErrConflict, "session_over"},
	{access.ErrMayNot, ErrDenied, "may_not_ask"},
	{access.ErrNotYours, ErrDenied, "session_not_yours"},
	{access.ErrScopes, ErrInvalid, "scopes"},
	{access.ErrOutcome, ErrInvalid, "outcome"},
	{access.ErrNotOpen, ErrConflict, "not_allowed_yet"},

	{store.ErrNotFound, ErrNotFound, "not_found"},
	{store.ErrExists, ErrConflict, "conflict"},
	{store.ErrStale, ErrConflict, "conflict"},
	{store.ErrUnavailable, ErrUnavailable, "unavailable"},
	{store.ErrClosed, ErrUnavailable, "unavailable"},

	{account.ErrNumber, ErrInvalid, "number"},
	{ErrStepUp, ErrStepUp, "step_up"},

	{ErrInvalid, ErrInvalid, "invalid"},
	{ErrDenied, ErrDenied, "denied"},
	{ErrNotFound, ErrNotFound, "not_found"},
	{ErrConflict, ErrConflict, "conflict"},
	{ErrTooLarge, ErrTooLarge, "too_large"},
	{ErrUnavailable, ErrUnavailable, "unavailable"},
	{ErrLimited, ErrLimited, "limited"},
}

// Fail gives an error of a rule or the store its kind, and its sentence. Others come out as they are.
func Fail(err error) error {
	var e *Error
	if err == nil || errors.As(err, &e) || errors.Is(err, context.Canceled) {
		return err
	}
	for _, c := range codes {
		if errors.Is(err, c.err) {
			text := c.err.Error()
			if c.err != c.kind && (errors.Is(err, store.ErrNotFound) || c.code == "conflict" || c.code == "unavailable") {
				text = c.kind.Error() // the store's own words are for the log
			}
			return &Error{Kind: c.kind, Code: c.code, Text: text, cause: err}
		}
	}
	return err
}

// Refuse makes an error with a sentence of its own; code must be in the catalogue.
func Refuse(kind error, code string) error {
	return &Error{Kind: kind, Code: code, Text: catalogue.For("en").T("desk." + code)}
}
