package main

import (
	"errors"
	"fmt"
	"os"
	"runtime"

	"github.com/kardianos/service"
)

type serviceCmd struct {
	Install   installCmd   `cmd:"" help:"Install the system service; it starts with the computer."`
	Uninstall uninstallCmd `cmd:"" help:"Remove the system service. State and tickets stay."`
	Start     startCmd     `cmd:"" help:"Start the system service."`
	Stop      stopCmd      `cmd:"" help:"Stop the system service."`
}

const (
	serviceName = "traybell-agent"
	unitPath    = "/etc/systemd/system/" + serviceName + ".service"
)

// unit is the systemd unit. What would reach into the sessions of people (no new privileges, private
// folders, write-execute memory) is left out on purpose: a terminal has the rights of its OS user,
// neither more nor fewer.
const unit = `[Unit]
Description={{Description}}
Documentation=https://github.com/traybell/traybell
After=network-online.target
Wants=network-online.target
ConditionFileIsExecutable={{Path | cmdEscape}}
StartLimitIntervalSec=0

[Service]
Type=simple
ExecStart={{Path | cmdEscape}}{{range Arguments}} {{. | cmd}}{{end}}
Restart=always
RestartSec=2
TimeoutStopSec=15
KillMode=control-group
UMask=0022
StateDirectory=traybell
StateDirectoryMode=0755
RuntimeDirectory=traybell
RuntimeDirectoryMode=0755
OOMScoreAdjust=-200
LimitNOFILE=8192
LimitCORE=0
LockPersonality=yes
RestrictRealtime=yes
ProtectControlGroups=yes
SystemCallArchitectures=native
Environment=LANG=C.UTF-8

[Install]
WantedBy=multi-user.target
`

// idle satisfies the service library where only its control functions are used.
type idle struct{}

// Start implements service.Interface.
func (idle) Start(service.Service) error { return nil }

// Stop implements service.Interface.
func (idle) Stop(service.Service) error { return nil }

// newService describes the service to the system's manager: systemd on Linux, also while it does
// not run, such as in an image that is being built.
func newService(p service.Interface) (service.Service, error) {
	c := &service.Config{
		Name: serviceName, DisplayName: "Traybell", Description: "Traybell device service: assistance requests and remote help that people allow",
		Arguments: []string{"run"},
		Option:    service.KeyValue{"SystemdScript": unit, "OnFailure": "restart", "DelayedAutoStart": false},
	}
	if runtime.GOOS == "linux" {
		for _, sys := range service.AvailableSystems() {
			if sys.String() == "linux-systemd" {
				return sys.New(p, c)
			}
		}
	}
	return service.New(p, c)
}

// systemdRuns reports whether systemd manages this computer now.
func systemdRuns() bool {
	_, err := os.Stat("/run/systemd/system")
	return err == nil
}

type installCmd struct{}

func (installCmd) Run(a *app) error {
	s, err := newService(idle{})
	if err != nil {
		return err
	}
	err = s.Install()
	if err != nil && runtime.GOOS == "linux" && !systemdRuns() {
		if _, serr := os.Stat(unitPath); serr == nil && os.Geteuid() == 0 {
			a.print("agent.service.written", "Path", unitPath)
			return nil
		}
	}
	if err != nil {
		return a.serviceError(err)
	}
	a.print("agent.service.installed")
	return nil
}

type uninstallCmd struct{}

func (uninstallCmd) Run(a *app) error {
	s, err := newService(idle{})
	if err != nil {
		return err
	}
	if runtime.GOOS == "linux" && !systemdRuns() {
		if err := os.Remove(unitPath); err != nil {
			return a.serviceError(err)
		}
		a.print("agent.service.removed")
		return nil
	}
	s.Stop() // one that does not run can be removed as well
	if err := s.Uninstall(); err != nil {
		return a.serviceError(err)
	}
	a.print("agent.service.removed")
	return nil
}

type startCmd struct{}

func (startCmd) Run(a *app) error {
	s, err := newService(idle{})
	if err != nil {
		return err
	}
	if err := s.Start(); err != nil {
		return a.serviceError(err)
	}
	a.print("agent.service.started")
	return nil
}

type stopCmd struct{}

func (stopCmd) Run(a *app) error {
	s, err := newService(idle{})
	if err != nil {
		return err
	}
	if err := s.Stop(); err != nil {
		return a.serviceError(err)
	}
	a.print("agent.service.stopped")
	return nil
}

func (a *app) serviceError(err error) error {
	switch {
	case errors.Is(err, os.ErrPermission):
		return errors.New(a.say.T("agent.service.root"))
	case runtime.GOOS == "linux" && !systemdRuns():
		return errors.New(a.say.T("agent.service.no_systemd"))
	}
	return fmt.Errorf("%s: %w", a.say.T("agent.service.failed"), err)
}
