// Package version names the build and the wire capability of this tree.
// Every program prints Version; agent and server exchange Capability in the
// link's handshake and use the lower of the two.
package version

// Version is the release, set by the linker (-X …/version.Version=…) in release builds.
var Version = "0.1.0-dev"

// Capability is the integer that grows by one with every addition to the wire.
//
//	1  enrolment, link, tickets with files, grants, sessions with desktop and terminal
const Capability = 1
