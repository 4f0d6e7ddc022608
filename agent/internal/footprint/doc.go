// Package footprint keeps the programs that wait all day small: service and tray call it when what
// starting or a session needed is no longer needed. It promises to free nothing that is in use.
package footprint
