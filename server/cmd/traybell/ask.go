package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"time"

	"github.com/traybell/traybell/shared/catalogue"
	"github.com/traybell/traybell/shared/grant"
)

// visit is one session that a command has asked for.
type visit struct {
	*client
	session session
	shown   string // the last line that was printed while waiting
}

// ask asks the person at a device, says what it waits for, and returns when channels may be opened. When
// ctx ends while it waits, the question is taken back.
func (c *client) ask(ctx context.Context, name, ticket string, scopes ...grant.Scope) (*visit, error) {
	d, err := c.find(ctx, name)
	if err != nil {
		return nil, err
	}
	v := &visit{client: c}
	in := map[string]any{"device": d.ID, "scopes": scopes}
	if ticket != "" {
		in["ticket"] = ticket
	}
	// An interrupt waits for the answer, else nobody would know which question to take back.
	if err := c.call(context.WithoutCancel(ctx), http.MethodPost, "/sessions", in, &v.session); err != nil {
		return nil, err
	}
	fmt.Fprintln(os.Stderr, plain(c.say.T("cli.asked", "Device", d.Name, "Number", v.session.TicketNumber)))
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for {
		switch {
		case v.session.open():
			fmt.Fprintln(os.Stderr, plain(c.say.T("cli.allowed", "User", v.session.User)))
			return v, nil
		case v.session.over():
			return nil, errors.New(v.why())
		}
		if line := v.waiting(); line != v.shown {
			v.shown = line
			fmt.Fprintln(os.Stderr, plain(line))
		}
		select {
		case <-ctx.Done():
			v.leave()
			return nil, errors.New(c.say.T("cli.withdrawn"))
		case <-tick.C:
		}
		if err := v.refresh(ctx); err != nil && ctx.Err() == nil {
			v.leave()
			return nil, err
		}
	}
}

func (v *visit) refresh(ctx context.Context) error {
	return v.call(ctx, http.MethodGet, "/sessions/"+v.session.ID, nil, &v.session)
}

// waiting says what the question waits for.
func (v *visit) waiting() string {
	s := v.session
	switch {
	case s.State == "nobody":
		return v.say.T("cli.nobody")
	case s.State == "locked" && s.UserSince > 0:
		return v.say.T("cli.locked_since", "User", s.User, "Time", time.UnixMicro(s.UserSince).Local().Format("15:04"))
	case s.State == "locked":
		return v.say.T("cli.locked")
	case s.Words != "":
		return v.say.T("cli.shown", "User", s.User) + "\n" + v.say.T("cli.words", "Words", s.Words)
	case s.User != "":
		return v.say.T("cli.shown", "User", s.User)
	}
	return v.say.T("cli.sent")
}

// why says how the session came to its end.
func (v *visit) why() string { return why(v.session, v.say) }

func why(s session, say *catalogue.Printer) string {
	id := "cli.ended." + s.Reason
	if s.State == "refused" {
		id = "cli.refused." + s.Reason
	}
	if text := say.T(id); text != id {
		return text
	}
	if text := say.T("access." + s.Reason); text != "access."+s.Reason {
		return text
	}
	if s.State == "refused" {
		return say.T("cli.refused.other")
	}
	return say.T("cli.ended.other")
}

// leave ends the session, also when the command's own context has ended.
func (v *visit) leave() {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	if err := v.call(ctx, http.MethodPost, "/sessions/"+v.session.ID+"/leave", map[string]string{}, nil); err != nil {
		fmt.Fprintln(os.Stderr, "traybell: "+sentence(err, v.say))
	}
}

// watch returns when the session is over or ctx has ended. A server that can't be reached for a while ends
// nothing: the session waits.
func (v *visit) watch(ctx context.Context) {
	tick := time.NewTicker(15 * time.Second) // the channels end by themselves, at once
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			before := v.session.State
			if v.refresh(ctx) != nil {
				continue
			}
			switch {
			case v.session.over():
				return
			case v.session.State == "paused" && before != "paused":
				fmt.Fprintln(os.Stderr, v.say.T("cli.paused"))
			case v.session.State != "paused" && before == "paused":
				fmt.Fprintln(os.Stderr, v.say.T("cli.resumed"))
			}
		}
	}
}
