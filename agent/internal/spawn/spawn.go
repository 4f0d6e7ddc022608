// Package spawn starts and ends the session program: one process per session, running as the OS user
// whom the grant names, with an inherited socket for control.
//
// Everything that a technician sends is parsed there and nowhere else; the service only hands over
// one end of a socket pair for each channel. Ending a session kills everything that descends from it,
// also what has detached itself: the session program is the reaper of its orphans. The package holds
// the protocol of the socket as well, for both sides. The service calls Start; traybell-session
// calls Inherited.
package spawn

import (
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"

	"github.com/traybell/traybell/shared/grant"
)

// Program is the session program's name; it stands beside the service's.
const Program = "traybell-session"

// Errors of Start.
var (
	ErrNotAvailable = errors.New("remote sessions are not available on this system yet")
	ErrOtherUser    = errors.New("the service may not act for another user: it does not run as root")
)

// Messages from the service to the session program, and back.
const (
	Start  = "start"  // first message: whose session it is
	Open   = "open"   // a channel; its byte stream comes as a passed descriptor
	Shut   = "shut"   // close one channel
	Freeze = "freeze" // On: a question is open, input is dropped and the picture stands
	Pause  = "pause"  // On; both directions: the sign's button, and the word of the service
	End    = "end"    // both directions: the sign's button, and the word of the service

	Opened   = "opened"    // a channel's process runs
	Refused  = "refused"   // a channel could not be opened: Code, Text
	Closed   = "closed"    // a channel is over
	Used     = "used"      // What: saw, controlled, terminal
	SignLost = "sign_lost" // the sign is gone, and with it every desktop channel
)

// Message is one message of the control socket. Which fields are set depends on Type.
type Message struct {
	Type string `json:"type"`

	// start
	Session      string        `json:"session,omitempty"`
	Language     string        `json:"language,omitempty"`
	Name         string        `json:"name,omitempty"`
	Organization string        `json:"organization,omitempty"`
	Scopes       []grant.Scope `json:"scopes,omitempty"`
	Display      string        `json:"display,omitempty"`
	XAuthority   string        `json:"xauthority,omitempty"`
	Shell        string        `json:"shell,omitempty"`
	Home         string        `json:"home,omitempty"`
	User         string        `json:"user,omitempty"`
	Since        int64         `json:"since,omitempty"` // Unix microseconds

	// open, opened, refused, closed, shut
	Channel string     `json:"channel,omitempty"`
	Kind    grant.Kind `json:"kind,omitempty"`
	Control bool       `json:"control,omitempty"`
	Code    string     `json:"code,omitempty"`
	Text    string     `json:"text,omitempty"`

	On   bool   `json:"on,omitempty"`
	What string `json:"what,omitempty"`
}

// maxMessage bounds one message of the control socket, in bytes.
const maxMessage = 64 << 10

// Conn is one end of the control socket. Send may be called from several goroutines, Receive from
// one.
type Conn struct{ c *net.UnixConn }

// NewConn takes over one end of a socket pair that keeps message boundaries.
func NewConn(f *os.File) (*Conn, error) {
	c, err := net.FileConn(f)
	f.Close()
	if err != nil {
		return nil, fmt.Errorf("control socket: %w", err)
	}
	u, ok := c.(*net.UnixConn)
	if !ok {
		c.Close()
		return nil, fmt.Errorf("control socket: %T is no Unix socket", c)
	}
	return &Conn{u}, nil
}

// Close closes the socket; the other end reads EOF.
func (c *Conn) Close() error { return c.c.Close() }

// Send writes one message. file, if not nil, goes with it and stays open here.
func (c *Conn) Send(m Message, file *os.File) error {
	b, err := json.Marshal(m)
	if err != nil {
		return err
	}
	if len(b) > maxMessage {
		return errors.New("control message is too long")
	}
	var oob []byte
	if file != nil {
		oob = rights(file)
	}
	if _, _, err := c.c.WriteMsgUnix(b, oob, nil); err != nil {
		return fmt.Errorf("send %s: %w", m.Type, err)
	}
	return nil
}

// Receive reads one message and the file that came with it, if one did.
func (c *Conn) Receive() (Message, *os.File, error) {
	var m Message
	b := make([]byte, maxMessage)
	oob := make([]byte, 64)
	n, on, flags, _, err := c.c.ReadMsgUnix(b, oob)
	if err != nil {
		return m, nil, err
	}
	file, err := received(oob[:on], flags)
	if err != nil {
		return m, nil, err
	}
	if n == 0 && file == nil {
		return m, nil, net.ErrClosed
	}
	if err := json.Unmarshal(b[:n], &m); err != nil {
		if file != nil {
			file.Close()
		}
		return m, nil, fmt.Errorf("control message: %w", err)
	}
	return m, file, nil
}
