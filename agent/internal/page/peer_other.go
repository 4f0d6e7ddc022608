//go:build !linux

package page

import "net"

// peersChecked says that checkPeer knows who connects: not on this system, where token and cookie
// alone keep others out.
const peersChecked = false

func checkPeer(net.Conn) error { return nil }
