package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"sync"

	"github.com/traybell/traybell/shared/grant"
)

type vnc struct {
	Device   string `arg:"" help:"Name or id of the device."`
	Listen   string `help:"Local address for the VNC viewer." default:"127.0.0.1:5999" placeholder:"ADDR"`
	Ticket   string `help:"Number or id of the ticket that this work belongs to. Without it a ticket is made." placeholder:"N"`
	ViewOnly bool   `help:"Ask to see the screen only."`
}

// Run implements the command.
func (v *vnc) Run(ctx context.Context, p *program) error {
	c, err := p.client()
	if err != nil {
		return err
	}
	l, err := listenLocal(v.Listen, p) // before anybody is asked
	if err != nil {
		return err
	}
	defer l.Close()
	scopes := []grant.Scope{grant.View, grant.Control}
	if v.ViewOnly {
		scopes = scopes[:1]
	}
	visit, err := c.ask(ctx, v.Device, v.Ticket, scopes...)
	if err != nil {
		return err
	}
	control := false
	for _, s := range visit.session.Granted {
		control = control || s == grant.Control && !v.ViewOnly
	}
	if !control && !v.ViewOnly {
		fmt.Fprintln(os.Stderr, p.say.T("cli.view_only"))
	}
	fmt.Fprintln(os.Stderr, p.say.T("cli.vnc_ready", "Address", l.Addr().String()))

	ctx, stop := context.WithCancel(ctx)
	defer stop()
	var viewers sync.WaitGroup
	viewers.Go(func() { visit.viewers(ctx, l, control) })
	visit.watch(ctx)
	interrupted := ctx.Err() != nil
	stop()
	l.Close()
	viewers.Wait()
	if interrupted {
		visit.leave()
		fmt.Fprintln(os.Stderr, p.say.T("cli.left"))
		return nil
	}
	fmt.Fprintln(os.Stderr, visit.why())
	return nil
}

// listenLocal listens where only this computer can connect: a viewer needs no password here.
func listenLocal(addr string, p *program) (net.Listener, error) {
	host, _, err := net.SplitHostPort(addr)
	if err != nil {
		return nil, err
	}
	if ip := net.ParseIP(host); host != "localhost" && (ip == nil || !ip.IsLoopback()) {
		return nil, errors.New(p.say.T("cli.not_local", "Address", addr))
	}
	return net.Listen("tcp", addr)
}

// viewers gives each viewer that connects a desktop channel of its own, until the listener is closed.
func (v *visit) viewers(ctx context.Context, l net.Listener, control bool) {
	var wg sync.WaitGroup
	defer wg.Wait()
	for {
		near, err := l.Accept()
		if err != nil {
			return
		}
		wg.Go(func() {
			defer near.Close()
			far, err := v.channel(ctx, v.session.ID, grant.KindDesktop, control)
			if err != nil {
				if ctx.Err() == nil {
					fmt.Fprintln(os.Stderr, "traybell: "+sentence(err, v.say))
				}
				return
			}
			join(ctx, near, far)
		})
	}
}

// join copies both ways until either side or ctx ends.
func join(ctx context.Context, a, b net.Conn) {
	stop := context.AfterFunc(ctx, func() {
		a.Close()
		b.Close()
	})
	defer stop()
	var wg sync.WaitGroup
	for _, way := range [][2]net.Conn{{a, b}, {b, a}} {
		wg.Go(func() {
			io.Copy(way[0], way[1])
			way[0].Close()
			way[1].Close()
		})
	}
	wg.Wait()
}
