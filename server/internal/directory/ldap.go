package directory

import (
	"context"
	"crypto/rand"
	"crypto/tls"
	"encoding/hex"
	"errors"
	"fmt"
	"net"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/go-ldap/ldap/v3"

	"github.com/traybell/traybell/server/internal/account"
)

// Bounds of the search for groups.
const (
	maxGroups = 500
	maxDepth  = 20
)

// chainRule makes Active Directory follow groups in groups (LDAP_MATCHING_RULE_IN_CHAIN).
const chainRule = "1.2.840.113556.1.4.1941"

// LDAP asks LDAP servers. The zero value is ready.
type LDAP struct{}

// Check reports whether the search filters of the settings can be read.
func (LDAP) Check(l account.LDAPSettings) error {
	for _, f := range []string{l.UserFilter, l.DisabledFilter} {
		if f == "" {
			continue
		}
		if _, err := ldap.CompileFilter(strings.ReplaceAll(f, "{user}", "x")); err != nil {
			return fmt.Errorf("%w: %w", account.ErrDirectoryFilter, err)
		}
	}
	for _, dn := range []string{l.BindDN, l.Base, l.GroupBase} {
		if strings.Contains(dn, "@") { // Active Directory takes user@domain where a DN is meant
			continue
		}
		if _, err := ldap.ParseDN(dn); err != nil {
			return fmt.Errorf("%w: %w", account.ErrDirectoryBase, err)
		}
	}
	return nil
}

// SignIn checks a person's password. An empty one is refused here: a server takes a bind without a password for an
// anonymous one and says yes.
func (l LDAP) SignIn(ctx context.Context, s account.LDAPSettings, secret, user, password string) (account.Identity, error) {
	if password == "" {
		return account.Identity{}, account.ErrDirectoryPassword
	}
	return l.find(ctx, s, secret, userFilter(s, user), &password)
}

// Find looks for a person. Somebody who was found before must still fit the filter, whatever they sign in with
// now.
func (l LDAP) Find(ctx context.Context, s account.LDAPSettings, secret string, who account.Who) (account.Identity, error) {
	if who.ID == "" {
		return l.find(ctx, s, secret, userFilter(s, who.Name), nil)
	}
	filter, err := idFilter(s, who.ID)
	if err != nil {
		return account.Identity{}, err
	}
	return l.find(ctx, s, secret, "(&"+filter+strings.ReplaceAll(s.UserFilter, "{user}", "*")+")", nil)
}

func userFilter(s account.LDAPSettings, user string) string {
	return strings.ReplaceAll(s.UserFilter, "{user}", ldap.EscapeFilter(user))
}

func (l LDAP) find(ctx context.Context, s account.LDAPSettings, secret, filter string, password *string) (i account.Identity, err error) {
	if secret == "" {
		return i, account.ErrDirectoryBind
	}
	c, err := dial(ctx, s)
	if err != nil {
		return i, err
	}
	defer c.Close()
	stop := context.AfterFunc(ctx, func() { c.Close() })
	defer stop()
	q := query{c, s}
	if err := q.bind(secret); err != nil {
		return i, err
	}
	e, err := q.person(filter)
	if errors.Is(err, account.ErrDirectoryNoUser) && password != nil {
		// Somebody unknown costs a bind as well, so that the time does not tell who is known.
		c.Bind("cn="+rand.Text()+","+s.Base, *password)
		return i, err
	}
	if err != nil {
		return i, err
	}
	if password != nil {
		if err := c.Bind(e.DN, *password); err != nil {
			return i, refused(err, account.ErrDirectoryPassword)
		}
		if err := q.bind(secret); err != nil { // groups are read with the rights of the search account
			return i, err
		}
	}
	i = account.Identity{ID: textID(e, s), UserName: e.DN, Email: value(e, s.EmailAttribute), Name: value(e, s.NameAttribute)}
	if i.ID == "" {
		return i, account.ErrDirectoryNoID
	}
	i.Verified = i.Email != "" // whoever manages the directory gives the addresses
	if i.Disabled, err = q.fits(e.DN, s.DisabledFilter); err != nil {
		return i, err
	}
	i.Groups, err = q.groups(e)
	return i, err
}

// dial opens a protected connection, and nothing else.
func dial(ctx context.Context, s account.LDAPSettings) (*ldap.Conn, error) {
	host, port, err := net.SplitHostPort(s.Server)
	if err != nil {
		host, port = s.Server, "389"
		if s.TLS == account.LDAPS {
			port = "636"
		}
	}
	cfg, err := trust(s.CA, host)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	raw, err := (&net.Dialer{}).DialContext(ctx, "tcp", net.JoinHostPort(host, port))
	if err != nil {
		return nil, unreached(err)
	}
	if err := raw.SetDeadline(time.Now().Add(3 * patience)); err != nil {
		raw.Close()
		return nil, unreached(err)
	}
	conn := net.Conn(&bounded{raw, maxAnswer})
	switch s.TLS {
	case account.LDAPS:
		t := tls.Client(conn, cfg)
		if err := t.HandshakeContext(ctx); err != nil {
			raw.Close()
			return nil, unreached(err)
		}
		c := ldap.NewConn(t, true)
		c.Start()
		c.SetTimeout(patience)
		return c, nil
	case account.StartTLS:
		c := ldap.NewConn(conn, false)
		c.Start()
		c.SetTimeout(patience)
		if err := c.StartTLS(cfg); err != nil {
			c.Close()
			return nil, unreached(err)
		}
		return c, nil
	}
	raw.Close()
	return nil, account.ErrDirectoryTLS
}

// query is a connection with its settings.
type query struct {
	c *ldap.Conn
	s account.LDAPSettings
}

func (q query) bind(secret string) error {
	if err := q.c.Bind(q.s.BindDN, secret); err != nil {
		return refused(err, account.ErrDirectoryBind)
	}
	return nil
}

// refused tells a server that says no from one that can't be asked.
func refused(err, no error) error {
	if ldap.IsErrorAnyOf(err, ldap.LDAPResultInvalidCredentials, ldap.LDAPResultInvalidDNSyntax, ldap.LDAPResultNoSuchObject, ldap.LDAPResultUnwillingToPerform,
		ldap.LDAPResultInappropriateAuthentication, ldap.LDAPResultInsufficientAccessRights, ldap.LDAPResultConstraintViolation, ldap.ErrorEmptyPassword) {
		return fmt.Errorf("%w: %w", no, err)
	}
	return fmt.Errorf("%w: %w", account.ErrDirectoryUnreachable, err)
}

// search runs a bounded search. Referrals are left aside.
func (q query) search(base string, scope, limit int, filter string, attributes ...string) ([]*ldap.Entry, error) {
	r, err := q.c.Search(ldap.NewSearchRequest(base, scope, ldap.NeverDerefAliases, limit, int(patience/time.Second), false, filter, attributes, nil))
	switch {
	case err == nil, ldap.IsErrorWithCode(err, ldap.LDAPResultReferral):
	case ldap.IsErrorWithCode(err, ldap.LDAPResultSizeLimitExceeded):
		if r == nil || len(r.Entries) < limit {
			return nil, fmt.Errorf("%w: %w", account.ErrDirectorySeveral, err)
		}
	case ldap.IsErrorAnyOf(err, ldap.LDAPResultNoSuchObject, ldap.LDAPResultInvalidDNSyntax, ldap.LDAPResultInsufficientAccessRights):
		return nil, fmt.Errorf("%w: %w", account.ErrDirectoryBase, err)
	case ldap.IsErrorAnyOf(err, ldap.ErrorFilterCompile, ldap.LDAPResultFilterError):
		return nil, fmt.Errorf("%w: %w", account.ErrDirectoryFilter, err)
	default:
		return nil, fmt.Errorf("%w: %w", account.ErrDirectoryUnreachable, err)
	}
	if r == nil {
		return nil, nil
	}
	return r.Entries, nil
}

// person finds the one entry that a filter fits.
func (q query) person(filter string) (*ldap.Entry, error) {
	list, err := q.search(q.s.Base, ldap.ScopeWholeSubtree, 2, filter, q.s.IDAttribute, q.s.EmailAttribute, q.s.NameAttribute, "memberOf")
	switch {
	case err != nil:
		return nil, err
	case len(list) == 0:
		return nil, account.ErrDirectoryNoUser
	case len(list) > 1:
		return nil, account.ErrDirectorySeveral
	}
	return list[0], nil
}

// fits reports whether an entry fits a filter. An empty filter fits nobody.
func (q query) fits(dn, filter string) (bool, error) {
	if filter == "" {
		return false, nil
	}
	list, err := q.search(dn, ldap.ScopeBaseObject, 1, filter, "1.1")
	return len(list) > 0, err
}

// groups finds the groups that somebody is in, also by way of other groups.
func (q query) groups(e *ldap.Entry) ([]account.Group, error) {
	base := q.s.GroupBase
	if base == "" {
		base = q.s.Base
	}
	var found []account.Group
	seen := map[string]bool{same(e.DN): true} // groups may contain each other
	add := func(dn string) bool {
		if key := same(dn); seen[key] || len(found) >= maxGroups {
			return false
		} else {
			seen[key] = true
		}
		found = append(found, account.Group{ID: dn, Name: commonName(dn)})
		return true
	}
	if q.s.Groups == account.GroupsChain {
		list, err := q.search(base, ldap.ScopeWholeSubtree, maxGroups, "(member:"+chainRule+":="+ldap.EscapeFilter(e.DN)+")", "1.1")
		for _, g := range list {
			add(g.DN)
		}
		return found, err
	}
	next := []string{e.DN}
	for depth := 0; len(next) > 0 && depth < maxDepth; depth++ {
		var above []string
		for _, dn := range next {
			parents, err := q.parents(base, dn, e)
			if err != nil {
				return nil, err
			}
			for _, p := range parents {
				if add(p) {
					above = append(above, p)
				}
			}
		}
		next = above
	}
	return found, nil
}

// parents finds the groups in which a person or group is by itself.
func (q query) parents(base, dn string, person *ldap.Entry) ([]string, error) {
	if q.s.Groups == account.GroupsMemberOf {
		if dn == person.DN {
			return person.GetEqualFoldAttributeValues("memberOf"), nil
		}
		list, err := q.search(dn, ldap.ScopeBaseObject, 1, "(objectClass=*)", "memberOf")
		if errors.Is(err, account.ErrDirectoryBase) { // a group that the search account may not see
			return nil, nil
		}
		if err != nil || len(list) == 0 {
			return nil, err
		}
		return list[0].GetEqualFoldAttributeValues("memberOf"), nil
	}
	v := ldap.EscapeFilter(dn)
	list, err := q.search(base, ldap.ScopeWholeSubtree, maxGroups, "(|(&(objectClass=groupOfNames)(member="+v+"))(&(objectClass=groupOfUniqueNames)(uniqueMember="+v+")))", "1.1")
	var out []string
	for _, g := range list {
		out = append(out, g.DN)
	}
	return out, err
}

// same is a DN in the form in which two spellings of it are equal.
func same(dn string) string {
	if d, err := ldap.ParseDN(dn); err == nil {
		dn = d.String()
	}
	return strings.ToLower(dn)
}

// commonName is the value of a DN's first part.
func commonName(dn string) string {
	d, err := ldap.ParseDN(dn)
	if err != nil || len(d.RDNs) == 0 || len(d.RDNs[0].Attributes) == 0 {
		return dn
	}
	return d.RDNs[0].Attributes[0].Value
}

// value is the first value of an attribute, if it is text of a modest length.
func value(e *ldap.Entry, name string) string {
	v := e.GetEqualFoldAttributeValue(name)
	if len(v) > 1000 || !utf8.ValidString(v) {
		return ""
	}
	return strings.TrimSpace(v)
}

// guid are the attributes whose value is sixteen bytes, the first fields in little-endian order.
var guid = []string{"objectguid", "ms-ds-consistencyguid"}

// textID is the identifying attribute as it is stored.
func textID(e *ldap.Entry, s account.LDAPSettings) string {
	if !slices.Contains(guid, strings.ToLower(s.IDAttribute)) {
		return value(e, s.IDAttribute)
	}
	b := e.GetEqualFoldRawAttributeValue(s.IDAttribute)
	if len(b) != 16 {
		return ""
	}
	return fmt.Sprintf("%x-%x-%x-%x-%x", []byte{b[3], b[2], b[1], b[0]}, []byte{b[5], b[4]}, []byte{b[7], b[6]}, b[8:10], b[10:])
}

// idFilter is the filter that finds an id again.
func idFilter(s account.LDAPSettings, id string) (string, error) {
	if !slices.Contains(guid, strings.ToLower(s.IDAttribute)) {
		return "(" + s.IDAttribute + "=" + ldap.EscapeFilter(id) + ")", nil
	}
	x, err := hex.DecodeString(strings.ReplaceAll(id, "-", ""))
	if err != nil || len(x) != 16 {
		return "", account.ErrDirectoryNoID
	}
	raw := slices.Concat([]byte{x[3], x[2], x[1], x[0]}, []byte{x[5], x[4]}, []byte{x[7], x[6]}, x[8:])
	var f strings.Builder
	for _, x := range raw {
		fmt.Fprintf(&f, `\%02x`, x)
	}
	return "(" + s.IDAttribute + "=" + f.String() + ")", nil
}
