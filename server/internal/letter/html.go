package letter

import (
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/net/html"
	"golang.org/x/net/html/atom"
)

// cutMark stands in a text made of HTML where the mail that is answered begins.
const cutMark = "\x01"

// Bounds of HTML. Beyond them it is read without structure.
const (
	maxLevels = 200
	maxLinks  = 5000
)

// fromHTML is the text of a page: block by block, quotes behind "> ", links with their address, cutMark where
// a mail program has put the mail that is answered. shown are the Content-IDs of pictures in the text.
func fromHTML(page string) (out string, shown []string) {
	if tooDeep(page) {
		return stripTags(page), nil
	}
	doc, err := html.Parse(strings.NewReader(page))
	if err != nil {
		return stripTags(page), nil
	}
	w := &htmlText{}
	w.node(doc, 0)
	return w.b.String(), w.cids
}

// tooDeep counts levels and links without building a tree.
func tooDeep(page string) bool {
	z := html.NewTokenizer(strings.NewReader(page))
	depth, links := 0, 0
	for {
		switch z.Next() {
		case html.ErrorToken:
			return false
		case html.StartTagToken:
			name, _ := z.TagName()
			switch atom.Lookup(name) {
			case atom.Br, atom.Img, atom.Hr, atom.Meta, atom.Link, atom.Input, atom.Col, atom.P, atom.Li, atom.Td, atom.Tr, atom.Th:
			case atom.A:
				links++
			default:
				depth++
			}
		case html.EndTagToken:
			if depth > 0 {
				depth--
			}
		}
		if depth > maxLevels || links > maxLinks {
			return true
		}
	}
}

// stripTags is what stands between tags.
func stripTags(page string) string {
	var b strings.Builder
	z := html.NewTokenizer(strings.NewReader(page))
	skip := 0
	for {
		switch z.Next() {
		case html.ErrorToken:
			return b.String()
		case html.TextToken:
			if skip == 0 {
				b.Write(z.Text())
				b.WriteByte('\n')
			}
		case html.StartTagToken:
			if name, _ := z.TagName(); string(name) == "style" || string(name) == "script" {
				skip++
			}
		case html.EndTagToken:
			if name, _ := z.TagName(); (string(name) == "style" || string(name) == "script") && skip > 0 {
				skip--
			}
		}
	}
}

type htmlText struct {
	b     strings.Builder
	quote int
	pre   int
	space bool // a space is owed
	start bool // something stands on this line
	blank int  // line breaks at the end
	cids  []string
}

func (w *htmlText) breakLine(n int) {
	if w.b.Len() == 0 {
		return
	}
	for w.blank < n {
		w.b.WriteByte('\n')
		w.blank++
		if w.blank < n && w.quote > 0 {
			w.b.WriteString(strings.Repeat("> ", w.quote))
		}
	}
	w.start, w.space = false, false
}

func (w *htmlText) say(s string) {
	if w.pre > 0 {
		for i, l := range strings.Split(s, "\n") {
			if i > 0 {
				w.blank = 0
				w.breakLine(1)
			}
			w.put(l)
		}
		return
	}
	for i, f := range strings.FieldsFunc(s, func(r rune) bool { return r == ' ' || r == '\t' || r == '\n' || r == '\r' || r == '\u00a0' }) {
		if i > 0 || w.space || startsSpace(s) && w.start {
			if w.start {
				f = " " + f
			}
		}
		w.put(f)
		w.space = false
	}
	if s != "" && endsSpace(s) {
		w.space = true
	}
}

func startsSpace(s string) bool {
	r, _ := utf8.DecodeRuneInString(s)
	return unicode.IsSpace(r)
}

func endsSpace(s string) bool {
	r, _ := utf8.DecodeLastRuneInString(s)
	return unicode.IsSpace(r)
}

func (w *htmlText) put(s string) {
	if s == "" {
		return
	}
	if !w.start && w.quote > 0 {
		w.b.WriteString(strings.Repeat("> ", w.quote))
	}
	w.b.WriteString(s)
	w.start, w.blank = true, 0
}

func attr(n *html.Node, key string) string {
	for _, a := range n.Attr {
		if strings.EqualFold(a.Key, key) {
			return a.Val
		}
	}
	return ""
}

// cuts reports whether the mail that is answered begins at n. Outlook prefixes ids and classes with x_.
func cuts(n *html.Node) bool {
	id := strings.TrimPrefix(strings.TrimPrefix(attr(n, "id"), "x_"), "x_")
	if slices.Contains([]string{"divRplyFwdMsg", "appendonsend", "OLK_SRC_BODY_SECTION", "reply-intro", "mail-editor-reference-message-container"}, id) || strings.HasPrefix(id, "divtagdefaultwrapper_quote") {
		return true
	}
	for _, c := range strings.Fields(attr(n, "class")) {
		switch strings.TrimPrefix(c, "x_") {
		case "gmail_quote", "gmail_quote_container", "gmail_attr", "moz-cite-prefix", "yahoo_quoted", "yahoo_quoted_begin", "OutlookMessageHeader", "protonmail_quote", "mail_quote", "zmail_extra", "ms-outlook-mobile-reference-message", "cmail_quote":
			return true
		}
	}
	for _, a := range n.Attr {
		if strings.HasSuffix(strings.ToLower(a.Key), "data-traybell") {
			return true
		}
	}
	if n.DataAtom == atom.Div {
		style := strings.ToLower(strings.ReplaceAll(attr(n, "style"), " ", ""))
		if strings.Contains(style, "border:none;border-top:solid#") || strings.Contains(style, "border-top:#b5c4df1ptsolid") || strings.Contains(style, "border-top:solid#e1e1e11.0pt") || strings.Contains(style, "border-top:solid#b5c4df1.0pt") {
			return true
		}
	}
	return n.DataAtom == atom.Blockquote && strings.EqualFold(attr(n, "type"), "cite") && !insideQuote(n)
}

func insideQuote(n *html.Node) bool {
	for p := n.Parent; p != nil; p = p.Parent {
		if p.DataAtom == atom.Blockquote {
			return true
		}
	}
	return false
}

func (w *htmlText) node(n *html.Node, depth int) {
	if depth > 2*maxLevels {
		return
	}
	switch n.Type {
	case html.TextNode:
		w.say(n.Data)
		return
	case html.ElementNode:
	default:
		w.children(n, depth)
		return
	}
	if hidden(n) {
		return
	}
	// A quote that is a blockquote shows its lines as quoted; a cut would hide answers in between.
	if n.DataAtom != atom.Blockquote && cuts(n) {
		w.breakLine(1)
		w.put(cutMark)
		w.breakLine(1)
	}
	switch n.DataAtom {
	case atom.Script, atom.Style, atom.Head, atom.Title, atom.Template, atom.Noscript, atom.Svg, atom.Form, atom.Object, atom.Iframe:
		return
	case atom.Br:
		w.blank = 0
		if w.b.Len() > 0 {
			w.breakLine(1)
			w.blank = 1
		}
		return
	case atom.Img:
		if src := attr(n, "src"); len(src) > 4 && strings.EqualFold(src[:4], "cid:") {
			w.cids = append(w.cids, src[4:])
		}
		return
	case atom.Hr:
		w.breakLine(1)
		return
	case atom.Pre:
		w.breakLine(1)
		w.pre++
		w.children(n, depth)
		w.pre--
		w.breakLine(1)
	case atom.Blockquote:
		w.breakLine(1)
		w.quote++
		w.children(n, depth)
		w.breakLine(1)
		w.quote--
	case atom.P, atom.H1, atom.H2, atom.H3, atom.H4, atom.Ul, atom.Ol, atom.Table:
		w.breakLine(2)
		w.children(n, depth)
		w.breakLine(2)
	case atom.Li:
		w.breakLine(1)
		w.put("* ")
		w.children(n, depth)
		w.breakLine(1)
	case atom.Div, atom.Tr, atom.Section, atom.Article, atom.Header, atom.Footer:
		w.breakLine(1)
		w.children(n, depth)
		w.breakLine(1)
	case atom.Td, atom.Th:
		w.space = true
		w.children(n, depth)
	case atom.A:
		before := w.b.Len()
		w.children(n, depth)
		href := strings.TrimSpace(attr(n, "href"))
		said := strings.TrimSpace(w.b.String()[before:])
		if (strings.HasPrefix(href, "https://") || strings.HasPrefix(href, "http://")) && len(href) <= 2000 && said != "" && !strings.Contains(href, said) && !strings.Contains(said, "://") {
			w.put(" <" + clean(href) + ">")
		}
	default:
		w.children(n, depth)
	}
}

func hidden(n *html.Node) bool {
	style := strings.ToLower(strings.ReplaceAll(attr(n, "style"), " ", ""))
	return strings.Contains(style, "display:none") || strings.Contains(style, "mso-hide:all")
}

func (w *htmlText) children(n *html.Node, depth int) {
	for c := n.FirstChild; c != nil; c = c.NextSibling {
		w.node(c, depth+1)
	}
}
