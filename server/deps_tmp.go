package server

import (
	_ "github.com/coreos/go-oidc/v3/oidc"
	_ "github.com/emersion/go-imap/v2/imapclient"
	_ "github.com/emersion/go-smtp"
	_ "github.com/go-ldap/ldap/v3"
	_ "github.com/go-webauthn/webauthn/webauthn"
	_ "github.com/jhillyerd/enmime/v2"
	_ "github.com/microcosm-cc/bluemonday"
	_ "github.com/wneessen/go-mail"
	_ "golang.org/x/oauth2"
	_ "golang.org/x/time/rate"
)
