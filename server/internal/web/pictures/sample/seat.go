package sample

import (
	"bufio"
	"context"
	"crypto/ed25519"
	"encoding/binary"
	"image"
	"image/color"
	"image/draw"
	"io"
	"net"
	"sync"

	"github.com/traybell/traybell/server/internal/device"
	"github.com/traybell/traybell/server/internal/relay"
	"github.com/traybell/traybell/shared/api"
	"github.com/traybell/traybell/shared/grant"
	"github.com/traybell/traybell/shared/link"
)

// seat is one device with the person at it.
type seat struct {
	p      *Portal
	ctx    context.Context
	id     device.ID
	key    ed25519.PrivateKey
	facts  link.Facts
	online bool

	mu    sync.Mutex
	asked link.Ask
	conns []net.Conn
	next  string // what becomes of the next question: a state of link.AskState, or "" to wait
	why   string
}

// words are what the technician reads out.
const words = "olive train silver moon"

// take plays what a device does with a message of the server.
func (s *seat) take(typ string, body any) error {
	if ask, ok := body.(link.Ask); ok {
		s.mu.Lock()
		s.asked = ask
		next, why := s.next, s.why
		s.mu.Unlock()
		switch next {
		case "":
			return nil
		case link.AskAllowed:
			return s.Allow(ask.Scopes)
		}
		return s.answer(link.AskState{State: next, Reason: why})
	}
	return nil
}

// Expect says what becomes of the next question: a state of link.AskState with a reason.
func (s *seat) expect(state, why string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.next, s.why = state, why
}

func (s *seat) user() link.User {
	if len(s.facts.Users) == 0 {
		return link.User{}
	}
	return s.facts.Users[0]
}

func (s *seat) answer(a link.AskState) error {
	s.mu.Lock()
	a.Session = s.asked.Session
	s.mu.Unlock()
	if a.User == "" {
		a.User = s.user().Name
	}
	if a.State == link.AskShown {
		a.Words, a.Seconds = words, 58
	}
	if a.State == link.AskNobody {
		a.User = ""
	}
	if a.State == link.AskLocked {
		a.Since = s.p.clock.now().Add(-44 * 60e9).UnixMicro()
	}
	return s.p.tell(s.ctx, s.id, link.TypeAskState, a)
}

// Allow answers the question with a permission for this visit.
func (s *seat) Allow(scopes []grant.Scope) error {
	s.mu.Lock()
	ask := s.asked
	s.mu.Unlock()
	now := s.p.clock.now()
	u := s.user()
	g := grant.Grant{
		ID: api.NewID(now), Device: string(s.id), As: u.Name, AsID: u.ID, Scopes: scopes, Session: ask.Session, Budget: 8 * 60 * 60, MadeAt: now.UnixMicro(), MadeBy: u.Name, How: "window",
		Holder: &grant.Holder{Account: ask.Account, Name: ask.Name, Organization: ask.Organization},
	}
	signed, err := grant.Sign(g, s.key)
	if err != nil {
		return err
	}
	if err := s.answer(link.AskState{State: link.AskShown}); err != nil {
		return err
	}
	return s.answer(link.AskState{State: link.AskAllowed, Grant: &signed})
}

func (s *seat) report(state, reason string) error {
	s.mu.Lock()
	session := s.asked.Session
	s.mu.Unlock()
	return s.p.tell(s.ctx, s.id, link.TypeSession, link.SessionState{Session: session, State: state, Reason: reason, At: s.p.clock.now().UnixMicro()})
}

func (s *seat) end() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, c := range s.conns {
		c.Close()
	}
	s.conns = nil
}

// open plays a channel.
func (s *seat) open(o link.Offer) (net.Conn, error) {
	if o.Kind == grant.KindTerminal && o.Control {
		return nil, &relay.RefusedError{Code: string(grant.Scopeless), Text: "a terminal has no control"}
	}
	l, err := net.Listen("tcp", "127.0.0.1:0") // real connections, so that half-closing works
	if err != nil {
		return nil, err
	}
	defer l.Close()
	there, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		return nil, err
	}
	here, err := l.Accept()
	if err != nil {
		return nil, err
	}
	s.mu.Lock()
	s.conns = append(s.conns, there)
	s.mu.Unlock()
	if err := s.p.tell(s.ctx, s.id, link.TypeChannelUp, link.ChannelUp{Channel: o.Channel}); err != nil {
		return nil, err
	}
	go func() {
		defer there.Close()
		if o.Kind == grant.KindDesktop {
			desktop(there)
		} else {
			terminal(there, s.user().Name)
		}
	}()
	return here, nil
}

// desktop is the smallest RFB 3.8 server that shows a picture. It notes the last key in the
// picture's corner, so that a test sees that keys arrive.
func desktop(c net.Conn) {
	const w, h = 1280, 800
	r := bufio.NewReader(c)
	skip := func(n int) bool { _, err := r.Discard(n); return err == nil }
	c.Write([]byte("RFB 003.008\n"))
	if !skip(12) {
		return
	}
	c.Write([]byte{1, 1})
	if !skip(1) {
		return
	}
	c.Write([]byte{0, 0, 0, 0})
	if !skip(1) {
		return
	}
	init := binary.BigEndian.AppendUint16(nil, w)
	init = binary.BigEndian.AppendUint16(init, h)
	init = append(init, 32, 24, 0, 1, 0, 255, 0, 255, 0, 255, 0, 8, 16, 0, 0, 0)
	init = binary.BigEndian.AppendUint32(init, 6)
	c.Write(append(init, "PC-114"...))
	img := paint(w, h)
	send := func(area image.Rectangle) {
		b := []byte{0, 0, 0, 1}
		for _, n := range []int{area.Min.X, area.Min.Y, area.Dx(), area.Dy()} {
			b = binary.BigEndian.AppendUint16(b, uint16(n))
		}
		b = append(b, 0, 0, 0, 0)
		for y := area.Min.Y; y < area.Max.Y; y++ {
			for x := area.Min.X; x < area.Max.X; x++ {
				p := img.RGBAAt(x, y)
				b = append(b, p.R, p.G, p.B, 0)
			}
		}
		c.Write(b)
	}
	waiting, dirty := false, image.Rectangle{}
	for {
		typ, err := r.ReadByte()
		if err != nil {
			return
		}
		switch typ {
		case 0:
			skip(19)
		case 2:
			var head [3]byte
			io.ReadFull(r, head[:])
			skip(4 * int(binary.BigEndian.Uint16(head[1:])))
		case 3:
			var m [9]byte
			io.ReadFull(r, m[:])
			if m[0] == 0 {
				send(image.Rect(0, 0, w, h))
			} else {
				waiting = true
			}
		case 4:
			var m [7]byte
			io.ReadFull(r, m[:])
			if m[0] == 1 {
				key := binary.BigEndian.Uint32(m[3:])
				dirty = image.Rect(0, 0, 8, 8)
				draw.Draw(img, dirty, image.NewUniform(color.RGBA{byte(key), byte(key >> 8), 0x55, 255}), image.Point{}, draw.Src)
			}
		case 5:
			skip(5)
		case 6:
			var m [7]byte
			io.ReadFull(r, m[:])
			if n := int32(binary.BigEndian.Uint32(m[3:])); n > 0 {
				skip(int(n))
			} else {
				skip(int(-n))
			}
		default:
			return
		}
		if waiting && !dirty.Empty() {
			send(dirty)
			waiting, dirty = false, image.Rectangle{}
		}
	}
}

// paint draws a desktop with two windows.
func paint(w, h int) *image.RGBA {
	img := image.NewRGBA(image.Rect(0, 0, w, h))
	fill := func(x0, y0, x1, y1 int, c uint32) {
		draw.Draw(img, image.Rect(x0, y0, x1, y1), image.NewUniform(color.RGBA{byte(c >> 16), byte(c >> 8), byte(c), 255}), image.Point{}, draw.Src)
	}
	fill(0, 0, w, h, 0x4b7488)
	fill(0, h-300, w, h, 0x3f6577)
	fill(0, h-40, w, h, 0xe9eef1)
	for i := range 4 {
		fill(w/2-80+40*i, h-30, w/2-60+40*i, h-10, []uint32{0x3d6f9a, 0xe3b54c, 0x2f6f9f, 0x2d8a6e}[i])
	}
	for i := range 3 {
		fill(40, 40+90*i, 72, 72+90*i, []uint32{0xf0c35a, 0xffffff, 0xd5e0e5}[i])
	}
	fill(150, 60, 740, 480, 0xf4f4f4)
	fill(150, 60, 740, 92, 0xe6ebed)
	for i := range 3 {
		fill(174, 150+80*i, 716, 210+80*i, 0xffffff)
		fill(190, 166+80*i, 300, 176+80*i, 0x333333)
		fill(190, 188+80*i, 420, 194+80*i, 0x999999)
	}
	fill(480, 280, 1100, 600, 0xffffff)
	fill(480, 280, 1100, 314, 0xdfe7ea)
	fill(480, 400, 1100, 430, 0xdbe9f7)
	for i := range 4 {
		fill(500, 410+30*i, 640, 418+30*i, 0x444444)
		fill(720, 410+30*i, 780, 418+30*i, 0x777777)
		fill(860, 410+30*i, 900, 418+30*i, 0x777777)
	}
	return img
}

// terminal greets and echoes.
func terminal(c net.Conn, user string) {
	prompt := "\x1b[32m" + user + "@pc-114\x1b[0m:\x1b[34m~\x1b[0m$ "
	put := func(s string) { link.WriteTerminal(c, link.TerminalData, []byte(s)) }
	put(prompt + "lpstat -t\r\nscheduler is running\r\nsystem default destination: HP-2F\r\nprinter HP-2F \x1b[33mnow printing HP-2F-311\x1b[0m.  enabled since today\r\n" + prompt)
	buf := make([]byte, link.MaxTerminalFrame)
	for {
		typ, b, err := link.ReadTerminal(c, buf)
		if err != nil {
			return
		}
		if typ != link.TerminalData {
			continue
		}
		for _, k := range string(b) {
			switch k {
			case '\r':
				put("\r\n" + prompt)
			case 4:
				put("\r\n")
				link.WriteTerminal(c, link.TerminalExit, []byte{0, 0, 0, 0})
				return
			default:
				put(string(k))
			}
		}
	}
}
