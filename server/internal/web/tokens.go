package web

import (
	"errors"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/traybell/traybell/server/internal/account"
	"github.com/traybell/traybell/server/internal/desk"
	"github.com/traybell/traybell/server/internal/desk/people"
)

// tokensView is the page of the reader's own API tokens.
type tokensView struct {
	New  string // the fresh token, shown once
	List tokenList
	Form tokenForm
}

// tokenList are tokens, and where the form goes that ends one.
type tokenList struct {
	Action string
	Tokens []tokenLine
}

// tokenForm is the form by which a token is made.
type tokenForm struct {
	Name   field
	Days   []choice
	Rights []choice
}

type tokenLine struct {
	ID, Name, Text, Count string
	Rights                []string
	Over                  bool
}

// tokenDays are for how long a token can be made in the portal. One that never expires is forgotten somewhere; only
// the server's command line makes it, for whoever can explain why.
var tokenDays = []string{"30", "90", "365"}

func (s *Server) tokens(c *call) error { return s.showTokens(c, http.StatusOK, "", nil) }

func (s *Server) showTokens(c *call, status int, fresh string, problem error) error {
	if !c.actor.May(account.TokensManage) {
		return desk.Fail(desk.ErrDenied)
	}
	list, err := s.o.People.Tokens(c.ctx, c.actor)
	if err != nil {
		return err
	}
	v := tokensView{New: fresh, List: tokenList{"/settings/tokens/end", c.tokenLines(list)}, Form: c.tokenForm(c.actor.Rights.And(account.TokenRights), fresh == "")}
	if problem != nil {
		v.Form.Name.Error = desk.Text(problem, c.Language())
	}
	return c.showAs(status, "tokens", c.page("settings", c.T("rights.tokens"), v))
}

// tokenForm is the form for a token that can have some rights; again: with what was filled in.
func (c *call) tokenForm(may account.Rights, again bool) tokenForm {
	again = again && c.r.Method == http.MethodPost
	f := tokenForm{Name: field{Name: "name", Label: c.T("rights.tokens.name"), Type: "text", Max: account.MaxName, Required: true, Auto: "off"}}
	days := "90"
	if again {
		f.Name.Value, days = c.r.PostFormValue("name"), c.r.PostFormValue("days")
	}
	for _, d := range tokenDays {
		f.Days = append(f.Days, choice{Code: d, Word: c.T("rights.tokens.days." + d), Current: d == days})
	}
	for _, r := range may.List() {
		f.Rights = append(f.Rights, choice{Code: string(r), Word: c.T("rights.word." + string(r)), Current: !again || slices.Contains(c.r.PostForm["right"], string(r))})
	}
	return f
}

// tokenLines tells of each token what it is for, what it may do, and until when.
func (c *call) tokenLines(list []account.Token) (lines []tokenLine) {
	for _, k := range list {
		l := tokenLine{ID: k.ID, Name: k.Name, Over: !k.Live(c.now)}
		text := []string{c.T("rights.tokens.made", "Made", c.date(k.CreatedAt)), c.T("rights.tokens.unused")}
		if !k.SeenAt.IsZero() {
			text[1] = c.T("rights.tokens.used", "Used", c.date(k.SeenAt))
		}
		switch {
		case k.ExpiresAt.IsZero():
			text = append(text, c.T("rights.tokens.lasting"))
		case l.Over:
			text = append(text, c.T("rights.tokens.over", "Until", c.date(k.ExpiresAt)))
		default:
			text = append(text, c.T("rights.tokens.until", "Until", c.date(k.ExpiresAt)))
		}
		l.Text = strings.Join(text, ", ")
		l.Count = c.T("rights.none")
		for _, r := range k.Rights.And(account.TokenRights).List() {
			l.Rights = append(l.Rights, c.T("rights.word."+string(r)))
		}
		if len(l.Rights) > 0 {
			l.Count = c.T("rights.count", "Count", len(l.Rights))
		}
		lines = append(lines, l)
	}
	return lines
}

// newToken reads the form of a token.
func (c *call) newToken() (n people.NewToken, err error) {
	rights, err := account.ParseRights(c.r.PostForm["right"])
	if err != nil {
		return n, badForm(err)
	}
	days := c.r.PostFormValue("days")
	if !slices.Contains(tokenDays, days) {
		return n, badForm(errors.New("for how long?"))
	}
	d, err := strconv.Atoi(days)
	return people.NewToken{Name: c.r.PostFormValue("name"), Rights: rights, Life: time.Duration(d) * 24 * time.Hour}, err
}

func (s *Server) makeToken(c *call) error {
	if !c.actor.May(account.TokensManage) {
		return desk.Fail(desk.ErrDenied)
	}
	n, err := c.newToken()
	if err != nil {
		return err
	}
	_, secret, err := s.o.People.CreateNarrowToken(c.ctx, c.actor, n)
	if errors.Is(err, desk.ErrInvalid) {
		return s.showTokens(c, http.StatusUnprocessableEntity, "", err)
	}
	if err != nil {
		return err
	}
	return s.showTokens(c, http.StatusOK, secret, nil)
}

func (s *Server) endToken(c *call) error {
	if err := s.o.People.DeleteToken(c.ctx, c.actor, c.r.PostFormValue("token")); err != nil {
		return err
	}
	return c.redirect("/settings/tokens?done=token")
}
