// Command serve runs the example service of package windowtest, to look at tray and windows without
// an agent: go run ./internal/window/windowtest/serve -dir DIR, then TRAYBELL_SOCKET=DIR/agent.sock
// traybell-window form. A line on standard input asks the question of the example.
package main

import (
	"bufio"
	"flag"
	"fmt"
	"os"
	"time"

	"github.com/traybell/traybell/agent/internal/localapi"
	"github.com/traybell/traybell/agent/internal/window/windowtest"
)

func main() {
	dir := flag.String("dir", "", "folder of the socket")
	flag.Parse()
	s, err := windowtest.New(*dir)
	if err != nil {
		fmt.Fprintln(os.Stderr, "serve:", err)
		os.Exit(1)
	}
	s.Example(time.Now())
	fmt.Println(s.Path)
	lines := bufio.NewScanner(os.Stdin)
	for lines.Scan() {
		s.Lock()
		c := s.Consents[windowtest.Session]
		s.Unlock()
		s.Tell(localapi.Event{Type: "consent", Consent: &c})
	}
	select {}
}
