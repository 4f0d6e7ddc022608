package account

import (
	"crypto/x509"
	"encoding/pem"
	"errors"
	"net"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"
)

// DirectoryID is the id of a directory, a UUIDv7. The empty one is Traybell itself: a local account.
type DirectoryID string

// LocalDirectory asks for the accounts without a directory, where a list is narrowed to one.
const LocalDirectory DirectoryID = "local"

// DirectoryKind says how a directory is spoken to.
type DirectoryKind string

// The kinds of directories.
const (
	LDAP DirectoryKind = "ldap" // OpenLDAP, Active Directory and their like
	OIDC DirectoryKind = "oidc" // OpenID Connect: Entra ID, Keycloak, Google and their like
)

// DirectoryKinds lists them.
var DirectoryKinds = []DirectoryKind{LDAP, OIDC}

// Errors about a directory's settings, what it answers, and who comes from it. Each is a sentence that a person
// can be shown; those that a directory causes are told in full only to who may manage it.
var (
	ErrDirectoryDomains = errors.New("a directory needs the e-mail domains that belong to it, like example.com, separated by spaces")
	ErrDirectoryServer  = errors.New("the server must be a name or address, with a port if it is an unusual one, like ldap.example.com:636")
	ErrDirectoryTLS     = errors.New("the connection must be protected: by StartTLS or LDAPS")
	ErrDirectoryCA      = errors.New("this is not a PEM certificate")
	ErrDirectoryFilter  = errors.New("a search filter can't be read; one that finds people must contain {user}")
	ErrDirectorySetting = errors.New("a setting of the directory is missing or too long")
	ErrDirectoryIssuer  = errors.New("the issuer must be an https address, exactly as the provider writes it")
	ErrDirectorySecret  = errors.New("a password or client secret is needed; give it again after changing the server")
	ErrDirectoryTwice   = errors.New("another directory has this name, or one of these domains, already")
	ErrDirectoryRole    = errors.New("a customer's directory can make requesters and responsible persons only")

	ErrDirectoryUnreachable = errors.New("the directory can't be reached; check server, port and firewall")
	ErrDirectoryCertificate = errors.New("the directory's certificate is not trusted; upload the certificate of the authority that issued it, and use the server name that stands in it")
	ErrDirectoryBind        = errors.New("the directory refuses the search account; check its name and password")
	ErrDirectoryBase        = errors.New("the directory does not have this search base, or does not show it to the search account")
	ErrDirectoryAnswer      = errors.New("the directory gave an answer that can't be used")
	ErrDirectoryNoUser      = errors.New("the directory has nobody of this name")
	ErrDirectorySeveral     = errors.New("the directory has several people of this name; narrow the filter")
	ErrDirectoryDisabled    = errors.New("this person is disabled in the directory")
	ErrDirectoryPassword    = errors.New("the directory refuses this password")
	ErrDirectoryNoID        = errors.New("the directory does not show the attribute that identifies a person for good; check the attribute's name and what the search account may read")
	ErrDirectoryNoEmail     = errors.New("the directory gives no e-mail address for this person, or does not say that it was verified")
	ErrDirectoryForeign     = errors.New("this person's e-mail address is not of a domain that belongs to the directory")
	ErrDirectoryNoRole      = errors.New("none of this person's groups has a role in Traybell")
	ErrDirectoryNotInvited  = errors.New("the directory makes no accounts; this person must be invited first")
	ErrDirectoryTaken       = errors.New("another account has this e-mail address already")

	ErrPasswordElsewhere = errors.New("the password of this account is kept by its directory; change it there")
	ErrDirectoryDown     = errors.New("your organization's directory does not answer now; try again later")

	ErrTokenState     = errors.New("the answer does not belong to a sign-in that began in this browser")
	ErrTokenRefused   = errors.New("the provider did not sign the person in")
	ErrTokenIssuer    = errors.New("the answer comes from another issuer")
	ErrTokenAudience  = errors.New("the token was made for another program")
	ErrTokenSignature = errors.New("the token's signature is not the provider's, or of a kind that is not accepted")
	ErrTokenExpired   = errors.New("the token has expired, or is from the future; check the clocks")
	ErrTokenNonce     = errors.New("the token was made for another sign-in")
	ErrTokenSubject   = errors.New("the provider's answers are about different people")
	ErrTokenExchange  = errors.New("the provider refuses to exchange the code; check client id and secret")
)

// Bounds of a directory's settings.
const (
	maxSetting = 1000
	maxCA      = 64 << 10
	maxRules   = 100
	maxDomains = 50

	MaxSecret = 4000 // of a search account's password or a client secret
)

// Directory is where passwords of accounts are checked, and who of it gets which account.
type Directory struct {
	ID           DirectoryID
	Kind         DirectoryKind
	Name         string // as on the sign-in page
	Organization OrganizationID
	Provider     bool     // that organization runs the server
	Domains      []string // e-mail domains that belong to it, in lower case; no other directory has them
	Enabled      bool
	Button       bool // the sign-in page offers it by its name
	Create       bool // a first sign-in makes the account
	DefaultRole  Role // of who is in no mapped group; empty: they can't come in
	Rules        []RoleRule
	LDAP         LDAPSettings // of the kind LDAP
	OIDC         OIDCSettings // of the kind OIDC
	Secret       string       // sealed: password of the search account, or the client secret
	CreatedAt    time.Time
	Version      int64
}

// RoleRule gives the members of a group a role.
type RoleRule struct {
	Group string `json:"group"` // name or DN; the value of a claim
	Role  Role   `json:"role"`
}

// LDAPSettings say how an LDAP server is asked.
type LDAPSettings struct {
	Server         string `json:"server"` // host or host:port
	TLS            string `json:"tls"`    // starttls or ldaps
	CA             string `json:"ca,omitempty"`
	BindDN         string `json:"bind_dn"`
	Base           string `json:"base"`
	UserFilter     string `json:"user_filter"` // {user} stands for what was typed
	IDAttribute    string `json:"id_attribute"`
	EmailAttribute string `json:"email_attribute"`
	NameAttribute  string `json:"name_attribute"`
	Groups         string `json:"groups"` // chain, member or memberof
	GroupBase      string `json:"group_base,omitempty"`
	DisabledFilter string `json:"disabled_filter,omitempty"` // fits people who are disabled
}

// How the groups of a person are found.
const (
	GroupsChain    = "chain"    // Active Directory follows nested groups itself
	GroupsMember   = "member"   // groups name their members
	GroupsMemberOf = "memberof" // people and groups name the groups they are in
)

// Connections that are protected.
const (
	StartTLS = "starttls"
	LDAPS    = "ldaps"
)

// LDAPPresets are good settings for a kind of server, to be completed.
var LDAPPresets = map[string]LDAPSettings{
	"openldap": {
		TLS: StartTLS, UserFilter: "(&(objectClass=inetOrgPerson)(|(uid={user})(mail={user})))", IDAttribute: "entryUUID", EmailAttribute: "mail", NameAttribute: "cn",
		// The value that stands for "locked by an administrator": locks after wrong passwords pass, and must not end anybody's logins.
		Groups: GroupsMember, DisabledFilter: "(pwdAccountLockedTime=000001010000Z)",
	},
	"ad": {
		TLS: LDAPS, UserFilter: "(&(objectCategory=person)(objectClass=user)(|(sAMAccountName={user})(userPrincipalName={user})(mail={user})))", IDAttribute: "objectGUID", EmailAttribute: "mail", NameAttribute: "displayName",
		Groups: GroupsChain, DisabledFilter: "(userAccountControl:1.2.840.113556.1.4.803:=2)",
	},
}

// OIDCSettings say how an OpenID provider is asked.
type OIDCSettings struct {
	Issuer      string `json:"issuer"` // exactly as in the provider's own description
	ClientID    string `json:"client_id"`
	CA          string `json:"ca,omitempty"`
	Scopes      string `json:"scopes,omitempty"` // besides openid profile email
	GroupsClaim string `json:"groups_claim,omitempty"`
	TrustEmail  bool   `json:"trust_email,omitempty"` // the provider gives verified addresses only, and does not say so
}

// Identity is a person as a directory shows them.
type Identity struct {
	ID       string // never changes and is never given to somebody else
	UserName string
	Email    string // as the directory writes it
	Verified bool   // the directory vouches for the address
	Name     string
	Groups   []Group
	Disabled bool
}

// Group is a group of a directory.
type Group struct{ ID, Name string }

// Who names somebody of a directory.
type Who struct {
	Name string // what they sign in with
	ID   string // or the ID of the Identity that they had before
}

// Flow is a sign-in at an OpenID provider that has begun. The browser that began it keeps it, and nobody else.
type Flow struct {
	Directory DirectoryID
	State     string // comes back with the answer
	Nonce     string // comes back in the token
	Verifier  string // proves that the code was asked for here (PKCE, RFC 7636)
	Redirect  string // where the answer goes
}

// Check returns the directory's settings as they are stored, or why they can't be.
func (d Directory) Check() (Directory, error) {
	var err error
	if d.Name, err = CheckName(d.Name); err != nil {
		return d, err
	}
	if !slices.Contains(DirectoryKinds, d.Kind) || len(d.Rules) > maxRules {
		return d, ErrDirectorySetting
	}
	var domains []string
	for _, s := range d.Domains {
		s = strings.ToLower(strings.TrimPrefix(strings.TrimSpace(s), "@"))
		if _, err := NormalizeEmail("a@" + s); err != nil || !strings.Contains(s, ".") {
			return d, ErrDirectoryDomains
		}
		if !slices.Contains(domains, s) {
			domains = append(domains, s)
		}
	}
	if d.Domains = domains; len(domains) == 0 || len(domains) > maxDomains {
		return d, ErrDirectoryDomains
	}
	for i, r := range d.Rules {
		r.Group = strings.TrimSpace(r.Group)
		if !plain(r.Group) || r.Group == "" {
			return d, ErrDirectorySetting
		}
		if _, err := ParseRole(string(r.Role)); err != nil {
			return d, err
		}
		if d.Rules[i] = r; r.Role.Staff() && !d.Provider {
			return d, ErrDirectoryRole
		}
	}
	if d.DefaultRole != "" {
		if _, err := ParseRole(string(d.DefaultRole)); err != nil {
			return d, err
		}
		if d.DefaultRole.Staff() { // everybody in the directory would be staff
			return d, ErrDirectoryRole
		}
	}
	if d.Kind == LDAP {
		d.OIDC = OIDCSettings{}
		d.LDAP, err = d.LDAP.check()
		return d, err
	}
	d.LDAP = LDAPSettings{}
	d.OIDC, err = d.OIDC.check()
	return d, err
}

func (l LDAPSettings) check() (LDAPSettings, error) {
	for _, s := range []*string{&l.Server, &l.TLS, &l.BindDN, &l.Base, &l.UserFilter, &l.IDAttribute, &l.EmailAttribute, &l.NameAttribute, &l.Groups, &l.GroupBase, &l.DisabledFilter} {
		if *s = strings.TrimSpace(*s); !plain(*s) {
			return l, ErrDirectorySetting
		}
	}
	if l.BindDN == "" || l.Base == "" {
		return l, ErrDirectorySetting
	}
	for _, s := range []string{l.IDAttribute, l.EmailAttribute, l.NameAttribute} {
		if s == "" || strings.ContainsFunc(s, func(r rune) bool {
			return r != '-' && (r < '0' || r > '9') && (r < 'a' || r > 'z') && (r < 'A' || r > 'Z')
		}) {
			return l, ErrDirectorySetting
		}
	}
	host := l.Server
	if h, port, err := net.SplitHostPort(l.Server); err == nil {
		if _, err := strconv.ParseUint(port, 10, 16); err != nil {
			return l, ErrDirectoryServer
		}
		host = h
	} else if strings.Contains(l.Server, ":") {
		return l, ErrDirectoryServer
	}
	if host == "" || strings.ContainsAny(host, "/ @?#") {
		return l, ErrDirectoryServer
	}
	if l.TLS != StartTLS && l.TLS != LDAPS {
		return l, ErrDirectoryTLS
	}
	if l.Groups != GroupsChain && l.Groups != GroupsMember && l.Groups != GroupsMemberOf {
		return l, ErrDirectorySetting
	}
	if !strings.Contains(l.UserFilter, "{user}") {
		return l, ErrDirectoryFilter
	}
	return l, checkCA(l.CA)
}

func (o OIDCSettings) check() (OIDCSettings, error) {
	for _, s := range []*string{&o.Issuer, &o.ClientID, &o.Scopes, &o.GroupsClaim} {
		if *s = strings.TrimSpace(*s); !plain(*s) {
			return o, ErrDirectorySetting
		}
	}
	u, err := url.Parse(o.Issuer)
	if err != nil || u.Scheme != "https" || u.Host == "" || u.User != nil || u.RawQuery != "" || u.Fragment != "" {
		return o, ErrDirectoryIssuer
	}
	if o.ClientID == "" {
		return o, ErrDirectorySetting
	}
	return o, checkCA(o.CA)
}

func plain(s string) bool { return len(s) <= maxSetting && !strings.ContainsFunc(s, unicode.IsControl) }

func checkCA(text string) error {
	if len(text) > maxCA {
		return ErrDirectoryCA
	}
	_, err := Authorities(text)
	return err
}

// Authorities reads the certificates of a PEM text, which may be empty.
func Authorities(text string) (list []*x509.Certificate, err error) {
	rest := []byte(strings.TrimSpace(text))
	for len(rest) > 0 {
		var b *pem.Block
		if b, rest = pem.Decode(rest); b == nil || b.Type != "CERTIFICATE" {
			return nil, ErrDirectoryCA
		}
		c, err := x509.ParseCertificate(b.Bytes)
		if err != nil {
			return nil, ErrDirectoryCA
		}
		list = append(list, c)
		rest = []byte(strings.TrimSpace(string(rest)))
	}
	return list, nil
}

// Owns reports whether an e-mail address is of a domain that belongs to the directory.
func (d Directory) Owns(email string) bool {
	return slices.Contains(d.Domains, EmailDomain(email))
}

// EmailDomain is what stands behind the @, in lower case.
func EmailDomain(email string) string {
	return strings.ToLower(email[strings.LastIndexByte(email, '@')+1:])
}

// RoleOf is the role that a person's groups give them: the one with the most rights, else the directory's
// default. It is ErrDirectoryNoRole when they can't come in.
func (d Directory) RoleOf(groups []Group) (Role, error) {
	best := d.DefaultRole
	for _, r := range d.Rules {
		if r.Role.Staff() && !d.Provider || slices.Index(Roles, r.Role) <= slices.Index(Roles, best) {
			continue
		}
		if slices.ContainsFunc(groups, func(g Group) bool {
			return strings.EqualFold(g.ID, r.Group) || strings.EqualFold(g.Name, r.Group)
		}) {
			best = r.Role
		}
	}
	if best == "" {
		return "", ErrDirectoryNoRole
	}
	return best, nil
}

// Admit decides what a person of the directory gets. known is the account that has their identity, or the one that
// has their address, or the zero one. The answer is the account as it should be: new ones have no ID.
//
// An account that was there before the directory is taken over only when the address is of the directory's own
// domains and verified, the account is of the same organization, and it is not an administrator's: those
// remain as the way in when the directory fails.
func (d Directory) Admit(i Identity, known Account, language string) (Account, error) {
	if i.Disabled {
		return Account{}, ErrDirectoryDisabled
	}
	role, err := d.RoleOf(i.Groups)
	if err != nil {
		return Account{}, err
	}
	email, err := NormalizeEmail(i.Email)
	if err != nil || !i.Verified {
		return Account{}, ErrDirectoryNoEmail
	}
	if !d.Owns(email) {
		return Account{}, ErrDirectoryForeign
	}
	name, err := CheckName(i.Name)
	if err != nil {
		name = email
	}
	a := known
	switch {
	case known.ID == "" && !d.Create:
		return Account{}, ErrDirectoryNotInvited
	case known.ID == "":
		a = Account{Organization: d.Organization, Language: language}
	case known.Directory == d.ID && known.ExternalID == i.ID:
	case known.Directory != "" || known.Organization != d.Organization || known.Role == Administrator || known.Disabled:
		return Account{}, ErrDirectoryTaken
	}
	if known.ID == "" || len(d.Rules) > 0 { // without rules the role stays what Traybell's administrators made it
		a.Role = role
	}
	a.Email, a.Name, a.Directory, a.ExternalID, a.Password = email, name, d.ID, i.ID, ""
	return a, nil
}
