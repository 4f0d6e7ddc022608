//go:build windows || darwin

package spawn

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"time"
)

// Available tells whether sessions can be started on this system.
func Available() error { return ErrNotAvailable }

// Options of New.
type Options struct {
	Folder  string
	UserID  string
	Start   Message
	Logger  *slog.Logger
	Message func(Message)
	Exited  func()
}

// Process is a running session program. On this system there is none.
type Process struct{}

// New returns ErrNotAvailable.
func New(context.Context, Options) (*Process, error) { return nil, ErrNotAvailable }

// PID is 0.
func (*Process) PID() int { return 0 }

// Done never closes.
func (*Process) Done() <-chan struct{} { return nil }

// Send returns ErrNotAvailable.
func (*Process) Send(Message) error { return ErrNotAvailable }

// Open returns ErrNotAvailable.
func (*Process) Open(Message) (*os.File, error) { return nil, ErrNotAvailable }

// End does nothing.
func (*Process) End(time.Duration) {}

// ErrVanished is returned by DescendsFrom for a process that is gone.
var ErrVanished = errors.New("the process is gone")

// DescendsFrom reports false: no session program runs on this system.
func DescendsFrom(int, ...int) (bool, error) { return false, nil }

// AdoptOrphans does nothing.
func AdoptOrphans() error { return nil }

// ReapOrphans does nothing.
func ReapOrphans() {}

// Executable returns ErrNotAvailable.
func Executable(int) (os.FileInfo, error) { return nil, ErrNotAvailable }

func rights(*os.File) []byte { return nil }

func received([]byte, int) (*os.File, error) { return nil, nil }

// Inherited returns ErrNotAvailable.
func Inherited() (*Conn, error) { return nil, ErrNotAvailable }

// KillDescendants does nothing.
func KillDescendants() {}
