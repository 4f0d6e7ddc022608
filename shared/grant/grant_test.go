package grant

import (
	"bytes"
	"crypto/ed25519"
	"encoding/json"
	"errors"
	"strings"
	"testing"
)

var (
	key   = ed25519.NewKeyFromSeed(bytes.Repeat([]byte{1}, 32))
	other = ed25519.NewKeyFromSeed(bytes.Repeat([]byte{2}, 32))
)

func public(k ed25519.PrivateKey) ed25519.PublicKey { return k.Public().(ed25519.PublicKey) }

func valid(change func(*Grant)) Grant {
	g := Grant{
		Version: 1, ID: "01998d5c-0000-7000-8000-000000000001", Device: "d1", As: "lucia", AsID: "1000",
		Scopes: []Scope{View, Control}, Holder: &Holder{Account: "anna", Name: "Anna Bianchi", Organization: "Rossi IT"},
		Session: "s1", MadeAt: 1795338000000000, Budget: 3600, MadeBy: "lucia", How: "window",
	}
	if change != nil {
		change(&g)
	}
	return g
}

func standing(g *Grant) {
	g.Session, g.Holder, g.Standing, g.Attended, g.Budget = "", nil, true, Ask, 0
}

func signed(t testing.TB, change func(*Grant)) Signed {
	t.Helper()
	s, err := Sign(valid(change), key)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestSignedGrantIsVerifiedByItsKeyOnly(t *testing.T) {
	for name, change := range map[string]func(*Grant){
		"session":  nil,
		"ticket":   func(g *Grant) { g.Session, g.Ticket = "", "t1" },
		"standing": standing,
		"targets":  func(g *Grant) { g.Scopes, g.Targets = []Scope{Forward}, []string{"db.example:5432", "[::1]:22"} },
	} {
		t.Run(name, func(t *testing.T) {
			s := signed(t, change)
			g, err := Verify(s, public(key))
			if err != nil {
				t.Fatal(err)
			}
			want, _ := json.Marshal(valid(change))
			if got, _ := json.Marshal(g); !bytes.Equal(got, want) {
				t.Errorf("got %s, want %s", got, want)
			}
			if _, err := Verify(s, public(other)); !errors.Is(err, Forged) {
				t.Errorf("another key: %v", err)
			}
			if _, err := Verify(s, nil); !errors.Is(err, Forged) {
				t.Errorf("no key: %v", err)
			}
			for i := range s.Signature {
				bad := Signed{Bytes: s.Bytes, Signature: bytes.Clone(s.Signature)}
				bad.Signature[i] ^= 1
				if _, err := Verify(bad, public(key)); !errors.Is(err, Forged) {
					t.Fatalf("signature with byte %d changed: %v", i, err)
				}
			}
			for i := range s.Bytes {
				bad := Signed{Bytes: bytes.Clone(s.Bytes), Signature: s.Signature}
				bad.Bytes[i] ^= 1
				if _, err := Verify(bad, public(key)); err == nil {
					t.Fatalf("bytes with byte %d changed pass", i)
				}
			}
		})
	}
}

func TestSignatureIsForGrantsOnly(t *testing.T) {
	s := signed(t, nil)
	bare := Signed{Bytes: s.Bytes, Signature: ed25519.Sign(key, s.Bytes)}
	if _, err := Verify(bare, public(key)); !errors.Is(err, Forged) {
		t.Errorf("a signature without the domain passes: %v", err)
	}
}

func TestBytesThatAreNotExactlyOursAreMalformed(t *testing.T) {
	b := string(signed(t, nil).Bytes)
	for name, bad := range map[string]string{
		"empty":                "",
		"not JSON":             "grant",
		"null":                 "null",
		"list":                 "[" + b + "]",
		"unknown field":        strings.Replace(b, `{"v":1`, `{"v":1,"until_noon":true`, 1),
		"unknown in holder":    strings.Replace(b, `"account":"anna"`, `"account":"anna","only":"x"`, 1),
		"repeated field":       strings.Replace(b, `"device":"d1"`, `"device":"d2","device":"d1"`, 1),
		"repeated scopes":      strings.Replace(b, `"scopes":["view","control"]`, `"scopes":["view"],"scopes":["view","control"]`, 1),
		"another spelling":     strings.Replace(b, `"device"`, `"Device"`, 1),
		"escaped name":         strings.Replace(b, `"device"`, `"\u0064evice"`, 1),
		"escaped value":        strings.Replace(b, `"lucia"`, `"l\u0075cia"`, 1),
		"space":                strings.Replace(b, `,`, `, `, 1),
		"leading space":        " " + b,
		"trailing space":       b + " ",
		"trailing line":        b + "\n",
		"trailing value":       b + "{}",
		"trailing bytes":       b + "x",
		"truncated":            b[:len(b)-1],
		"other order":          strings.Replace(b, `"v":1,"id":"01998d5c-0000-7000-8000-000000000001"`, `"id":"01998d5c-0000-7000-8000-000000000001","v":1`, 1),
		"empty field written":  strings.Replace(b, `"session":"s1"`, `"session":"s1","ticket":""`, 1),
		"false written":        strings.Replace(b, `"session":"s1"`, `"session":"s1","standing":false`, 1),
		"null holder":          strings.Replace(b, `"session":"s1"`, `"session":"s1","targets":null`, 1),
		"number as float":      strings.Replace(b, `"budget":3600`, `"budget":3600.0`, 1),
		"number with exponent": strings.Replace(b, `"budget":3600`, `"budget":36e2`, 1),
		"number as text":       strings.Replace(b, `"budget":3600`, `"budget":"3600"`, 1),
		"other version":        strings.Replace(b, `"v":1`, `"v":2`, 1),
		"bad UTF-8":            strings.Replace(b, "lucia", "luc\xffa", 1),
		"too long":             strings.Replace(b, "lucia", strings.Repeat("a", MaxBytes), 1),
		"deep":                 strings.Repeat(`{"holder":`, 1000),
	} {
		t.Run(name, func(t *testing.T) {
			if bad == b {
				t.Fatal("the case changes nothing")
			}
			if _, err := Parse([]byte(bad)); !errors.Is(err, Malformed) {
				t.Errorf("got %v, want malformed", err)
			}
			// even if the device itself had signed it
			s := Signed{Bytes: []byte(bad), Signature: ed25519.Sign(key, append([]byte(context), bad...))}
			if _, err := Verify(s, public(key)); !errors.Is(err, Malformed) {
				t.Errorf("signed: got %v, want malformed", err)
			}
		})
	}
	if _, err := Parse([]byte(b)); err != nil {
		t.Errorf("the twin: %v", err)
	}
}

func TestSignRefusesWhatCheckRefuses(t *testing.T) {
	for name, change := range map[string]func(*Grant){
		"no id":                  func(g *Grant) { g.ID = "" },
		"no device":              func(g *Grant) { g.Device = "" },
		"no OS user":             func(g *Grant) { g.As = "" },
		"no OS user's id":        func(g *Grant) { g.AsID = "" },
		"nobody made it":         func(g *Grant) { g.MadeBy = "" },
		"made somehow":           func(g *Grant) { g.How = "" },
		"no bound":               func(g *Grant) { g.Session = "" },
		"two bounds":             func(g *Grant) { g.Ticket = "t1" },
		"standing and session":   func(g *Grant) { g.Standing, g.Attended = true, Ask },
		"no scope":               func(g *Grant) { g.Scopes = nil },
		"unknown scope":          func(g *Grant) { g.Scopes = []Scope{"webcam"} },
		"scope twice":            func(g *Grant) { g.Scopes = []Scope{View, View} },
		"no budget":              func(g *Grant) { g.Budget = 0 },
		"negative budget":        func(g *Grant) { g.Budget = -1 },
		"budget of eight days":   func(g *Grant) { g.Budget = MaxBudget + 1 },
		"no holder":              func(g *Grant) { g.Holder = nil },
		"holder without id":      func(g *Grant) { g.Holder = &Holder{Name: "x"} },
		"name with a line":       func(g *Grant) { g.Holder.Name = "Anna\nRoot" },
		"name too long":          func(g *Grant) { g.Holder.Name = strings.Repeat("é", maxText+1) },
		"attended, with a bound": func(g *Grant) { g.Attended = Ask },
		"standing in silence":    func(g *Grant) { standing(g); g.Attended = "" },
		"standing, otherwise":    func(g *Grant) { standing(g); g.Attended = "silent" },
		"target without port":    func(g *Grant) { g.Targets = []string{"db"} },
		"target with port 0":     func(g *Grant) { g.Targets = []string{"db:0"} },
		"target with space":      func(g *Grant) { g.Targets = []string{"d b:1"} },
		"too many targets":       func(g *Grant) { g.Targets = strings.Split(strings.Repeat("a:1 ", 32)+"a:1", " ") },
	} {
		t.Run(name, func(t *testing.T) {
			if _, err := Sign(valid(change), key); !errors.Is(err, ErrInvalid) {
				t.Errorf("got %v, want ErrInvalid", err)
			}
		})
	}
}

func TestPermits(t *testing.T) {
	use := func(change func(*Use)) Use {
		u := Use{Device: "d1", Account: "anna", Session: "s1", Ticket: "t1", Kind: KindDesktop}
		if change != nil {
			change(&u)
		}
		return u
	}
	byTicket := func(g *Grant) { g.Session, g.Ticket = "", "t1" }
	scopes := func(s ...Scope) func(*Grant) { return func(g *Grant) { g.Scopes = s } }
	for _, c := range []struct {
		name  string
		grant func(*Grant)
		use   func(*Use)
		live  Live
		want  error
	}{
		{"the session's desktop", nil, nil, Live{}, nil},
		{"control", nil, func(u *Use) { u.Control = true }, Live{}, nil},
		{"the ticket's desktop", byTicket, func(u *Use) { u.Session = "another" }, Live{}, nil},
		{"standing, anybody", standing, func(u *Use) { u.Account, u.Session, u.Ticket = "bert", "", "" }, Live{Spent: 1 << 40}, nil},
		{"last second", nil, nil, Live{Spent: 3599}, nil},
		{"budget spent", nil, nil, Live{Spent: 3600}, Expired},
		{"revoked", nil, nil, Live{Revoked: true}, Revoked},
		{"standing, revoked", standing, nil, Live{Revoked: true}, Revoked},
		{"other device", nil, func(u *Use) { u.Device = "d2" }, Live{}, OtherDevice},
		{"other technician", nil, func(u *Use) { u.Account = "bert" }, Live{}, OtherHolder},
		{"nobody", nil, func(u *Use) { u.Account = "" }, Live{}, OtherHolder},
		{"other session", nil, func(u *Use) { u.Session = "s2" }, Live{}, OtherSession},
		{"no session", nil, func(u *Use) { u.Session = "" }, Live{}, OtherSession},
		{"other ticket", byTicket, func(u *Use) { u.Ticket = "t2" }, Live{}, OtherTicket},
		{"terminal without its scope", nil, func(u *Use) { u.Kind = KindTerminal }, Live{}, Scopeless},
		{"terminal", scopes(Terminal), func(u *Use) { u.Kind = KindTerminal }, Live{}, nil},
		{"desktop by terminal only", scopes(Terminal), nil, Live{}, Scopeless},
		{"control without its scope", scopes(View), func(u *Use) { u.Control = true }, Live{}, Scopeless},
		{"control of a terminal", scopes(Terminal, Control, View), func(u *Use) { u.Kind, u.Control = KindTerminal, true }, Live{}, Scopeless},
		{"files", scopes(Files), func(u *Use) { u.Kind = KindFiles }, Live{}, nil},
		{"ssh by files only", scopes(Files), func(u *Use) { u.Kind = KindSSH }, Live{}, Scopeless},
		{"ssh", scopes(Files, Terminal), func(u *Use) { u.Kind = KindSSH }, Live{}, nil},
		{"forward to loopback", scopes(Forward), func(u *Use) { u.Kind, u.Target = KindForward, "127.0.0.1:5432" }, Live{}, nil},
		{"forward to ::1", scopes(Forward), func(u *Use) { u.Kind, u.Target = KindForward, "[::1]:5432" }, Live{}, nil},
		{"forward elsewhere", scopes(Forward), func(u *Use) { u.Kind, u.Target = KindForward, "db:5432" }, Live{}, OtherTarget},
		{"forward to a name that looks local", scopes(Forward), func(u *Use) { u.Kind, u.Target = KindForward, "localhost.evil:5432" }, Live{}, OtherTarget},
		{"forward to nowhere", scopes(Forward), func(u *Use) { u.Kind, u.Target = KindForward, "" }, Live{}, OtherTarget},
		{"forward to its target", func(g *Grant) { g.Scopes, g.Targets = []Scope{Forward}, []string{"db:5432"} }, func(u *Use) { u.Kind, u.Target = KindForward, "db:5432" }, Live{}, nil},
		{"unknown kind", scopes(Scopes...), func(u *Use) { u.Kind = "webcam" }, Live{}, Scopeless},
		{"no kind", scopes(Scopes...), func(u *Use) { u.Kind = "" }, Live{}, Scopeless},
		{"made by hand, without a bound", func(g *Grant) { g.Session = "" }, nil, Live{}, Malformed},
	} {
		t.Run(c.name, func(t *testing.T) {
			if err := valid(c.grant).Permits(use(c.use), c.live); !errors.Is(err, c.want) || (err == nil) != (c.want == nil) {
				t.Errorf("got %v, want %v", err, c.want)
			}
		})
	}
	if err := (Grant{}).Permits(use(nil), Live{}); err == nil {
		t.Error("an empty grant permits something")
	}
}

func TestAdminIsImpliedByNothing(t *testing.T) {
	g := valid(func(g *Grant) { g.Scopes = []Scope{View, Control, Clipboard, Files, Terminal, Forward} })
	if g.Has(Admin) {
		t.Error("a grant without admin has it")
	}
	for _, k := range []Kind{KindDesktop, KindTerminal, KindFiles, KindSSH, KindForward} {
		if err := valid(func(g *Grant) { g.Scopes = []Scope{Admin} }).Permits(Use{Device: "d1", Account: "anna", Session: "s1", Kind: k, Target: "127.0.0.1:1"}, Live{}); !errors.Is(err, Scopeless) {
			t.Errorf("admin alone opens %s: %v", k, err)
		}
	}
}

// FuzzParse: whatever parses is what we would have written, and stays so.
func FuzzParse(f *testing.F) {
	for _, change := range []func(*Grant){nil, standing, func(g *Grant) { g.Session, g.Ticket, g.Targets = "", "t1", []string{"a:1"} }} {
		f.Add(signed(f, change).Bytes)
	}
	f.Add([]byte(`{"v":1,"v":1}`))
	f.Add([]byte(`{"v":1,"id":"\u2028<>&"}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		g, err := Parse(b)
		if err != nil {
			if g.ID != "" || g.Scopes != nil {
				t.Errorf("refused bytes gave %+v", g)
			}
			return
		}
		s, err := Sign(g, key)
		if err != nil || !bytes.Equal(s.Bytes, b) {
			t.Errorf("%q was read, but would be written as %q, %v", b, s.Bytes, err)
		}
	})
}

// FuzzVerify: only what the key has signed passes.
func FuzzVerify(f *testing.F) {
	s := signed(f, nil)
	f.Add(s.Bytes, s.Signature)
	f.Add(s.Bytes, []byte{})
	f.Fuzz(func(t *testing.T, b, sig []byte) {
		if _, err := Verify(Signed{Bytes: b, Signature: sig}, public(key)); err == nil && !ed25519.Verify(public(key), append([]byte(context), b...), sig) {
			t.Errorf("%q passes", b)
		}
	})
}
