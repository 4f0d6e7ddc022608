// Command deskserve shows one X display to RFB viewers on a loopback port,
// without grant, link or sign: the desktop engine alone, for benchmarks and for
// trying viewers. It is never packaged.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"log/slog"
	"net"
	"os"
	"os/signal"
	"runtime/pprof"
	"sync"
	"syscall"

	"github.com/traybell/traybell/agent/internal/desktop"
)

func main() {
	display := flag.String("display", os.Getenv("DISPLAY"), "X display to show")
	listen := flag.String("listen", "127.0.0.1:5900", "loopback address to serve")
	viewOnly := flag.Bool("view-only", false, "inject nothing")
	profile := flag.String("profile", "", "write a CPU profile to this file")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := serve(ctx, *display, *listen, *viewOnly, *profile); err != nil {
		fmt.Fprintln(os.Stderr, "deskserve:", err)
		os.Exit(1)
	}
}

func serve(ctx context.Context, display, listen string, viewOnly bool, profile string) error {
	log := slog.New(slog.NewTextHandler(os.Stderr, nil))
	if profile != "" {
		f, err := os.Create(profile)
		if err != nil {
			return err
		}
		defer f.Close()
		if err := pprof.StartCPUProfile(f); err != nil {
			return err
		}
		defer pprof.StopCPUProfile()
	}
	d, err := desktop.Open(desktop.Options{Display: display, ViewOnly: viewOnly, Name: "deskserve " + display, Logger: log})
	if err != nil {
		return err
	}
	defer d.Close()
	addr, err := net.ResolveTCPAddr("tcp", listen)
	if err != nil || !addr.IP.IsLoopback() {
		return fmt.Errorf("listen %s: only loopback addresses", listen)
	}
	l, err := net.ListenTCP("tcp", addr)
	if err != nil {
		return err
	}
	context.AfterFunc(ctx, func() { l.Close() })
	var viewers sync.WaitGroup
	defer viewers.Wait()
	for {
		conn, err := l.Accept()
		if err != nil {
			if ctx.Err() != nil {
				return nil
			}
			return err
		}
		viewers.Go(func() {
			if err := d.Serve(ctx, conn); err != nil && !errors.Is(err, context.Canceled) {
				log.Warn("viewer ended", "err", err)
			}
		})
	}
}
