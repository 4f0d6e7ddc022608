// Command traybell-session is one technician's session on a device. The service starts it, as the OS
// user whom the grant names, with a control socket as descriptor 3; nobody else can.
//
// All parsing of a technician's bytes happens here. It shows the always-visible sign: without a sign
// there is no desktop channel. When the control socket closes, it ends everything that it started.
package main

import (
	"fmt"
	"log/slog"
	"os"

	"github.com/traybell/traybell/agent/internal/spawn"
	"github.com/traybell/traybell/shared/version"
)

func main() {
	if len(os.Args) > 1 && os.Args[1] == "--version" {
		fmt.Println(version.Version)
		return
	}
	log := slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelInfo}))
	control, err := spawn.Inherited()
	if err != nil {
		log.Error("start", "err", err)
		os.Exit(1)
	}
	err = run(control, log)
	spawn.KillDescendants()
	if err != nil {
		log.Error("session", "err", err)
		os.Exit(1)
	}
}
