package localapi

import "net"

// Peer is the process at the other end of a connection, as the kernel tells it.
type Peer struct {
	ID   string // uid or SID
	PID  int    // 0 where the system does not tell it
	Root bool   // the administrator of this computer
	Self bool   // the account that the service itself runs as
}

// Trusted reports whether the peer may see and do everything: root, or the account that
// the service runs as.
func (p Peer) Trusted() bool { return p.Root || p.Self }

// Listen opens the service's socket. Every OS user may connect; who they are is told by PeerOf.
// It fails if another service listens there.
func Listen(path string) (net.Listener, error) { return listenSocket(path) }

// PeerOf asks the kernel who is at the other end of conn.
func PeerOf(conn net.Conn) (Peer, error) { return peerOf(conn) }

// checkServer makes sure that the other end belongs to root, SYSTEM or ourselves.
func checkServer(conn net.Conn) error {
	p, err := serverOf(conn)
	if err != nil {
		return err
	}
	if !p.Root && !p.Self {
		return ErrImpostor
	}
	return nil
}
