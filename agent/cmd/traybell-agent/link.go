package main

import (
	"bufio"
	"fmt"
	"slices"
	"strings"
	"time"
)

type linkCmd struct {
	where
	Code string `arg:"" optional:"" help:"The code that the portal shows under Devices. Without it: list your links."`
	Yes  bool   `help:"Don't ask whether the account is the right one."`
	End  bool   `help:"End your links on this computer."`
	JSON bool   `help:"Print JSON."`
}

func (c *linkCmd) Run(a *app) error {
	cl, err := c.dial(a)
	if err != nil {
		return err
	}
	if c.Code == "" {
		owners, err := cl.Owners(a.ctx)
		if err != nil {
			return err
		}
		if c.End {
			for _, o := range owners {
				if err := cl.EndOwner(a.ctx, o.ID); err != nil {
					return err
				}
			}
			a.print("agent.link.ended")
			return nil
		}
		if c.JSON {
			return a.asJSON(owners)
		}
		for _, o := range owners {
			a.print("agent.link.linked", "Name", o.Name, "Email", o.Email, "Date", time.UnixMicro(o.Since).Format("2006-01-02"))
		}
		if len(owners) == 0 {
			a.print("agent.link.none")
		}
		return nil
	}
	o, err := cl.LookOwner(a.ctx, c.Code)
	if err != nil {
		return err
	}
	if !c.Yes {
		fmt.Fprint(a.out, a.say.T("agent.link.ask", "Name", o.Name, "Email", o.Email)+" ")
		line, _ := bufio.NewReader(a.in).ReadString('\n')
		if !slices.Contains([]string{"y", "yes", "s", "si", "sì", "j", "ja", "д", "да"}, strings.ToLower(strings.TrimSpace(line))) {
			a.print("agent.link.dropped")
			return silent{exitFailed}
		}
	}
	if o, err = cl.ClaimOwner(a.ctx, c.Code); err != nil {
		return err
	}
	if c.JSON {
		return a.asJSON(o)
	}
	a.print("agent.link.next", "Name", o.Name)
	return nil
}
