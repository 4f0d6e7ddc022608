// Package localapi is the door between the device service and the people at the device: tray,
// windows, browser pages and commands speak it over a Unix socket or a named pipe.
//
// The kernel tells which OS user is at the other end, and every answer is limited to what concerns
// that user. The package authorises and translates; what it reaches (outbox, consent, grants,
// ledger) belongs to the service. Calls that make grants are refused to a peer that descends from
// a remote session. The service never opens a path that a peer names: clients open files and
// stream their bytes.
package localapi
