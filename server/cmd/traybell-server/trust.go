package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

type trustCmd struct {
	dataFlag
	Install bool `help:"Put the certificate authority into this user's browser store and, as root, into the machine's."`
}

// Run implements the command: it works on files only and needs no server.
func (c *trustCmd) Run(ctx context.Context) error {
	ca := filepath.Join(c.Data, "keys", "ca.pem")
	if _, err := os.Stat(ca); err != nil {
		return fmt.Errorf("%s holds no server yet: %w", c.Data, err)
	}
	if !c.Install {
		fmt.Printf("The certificate authority of this server: %s\nPut it into a machine's store with: traybell-server trust --install --data %s\n", ca, c.Data)
		return nil
	}
	done := 0
	home, err := os.UserHomeDir()
	if err == nil {
		if err = trustNSS(ctx, home, ca); err == nil {
			fmt.Printf("Chromium and Chrome of this user trust it (%s).\n", filepath.Join(home, ".pki", "nssdb"))
			done++
		}
	}
	if err != nil {
		fmt.Fprintf(os.Stderr, "Not put into the browser's store: %v\n", err)
	}
	if os.Geteuid() == 0 {
		if err := trustSystem(ctx, ca); err != nil {
			fmt.Fprintf(os.Stderr, "Not put into the machine's store: %v\n", err)
		} else {
			fmt.Println("Programs of this machine trust it.")
			done++
		}
	} else {
		fmt.Println("As root, this command puts it into the machine's store too.")
	}
	if done == 0 {
		return errors.New("nothing was changed")
	}
	return nil
}

// trustNSS puts the CA into the store that Chromium reads on Linux.
func trustNSS(ctx context.Context, home, ca string) error {
	if _, err := exec.LookPath("certutil"); err != nil {
		return errors.New("certutil is missing; install the package libnss3-tools")
	}
	dir := filepath.Join(home, ".pki", "nssdb")
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	db := "sql:" + dir
	if _, err := os.Stat(filepath.Join(dir, "cert9.db")); errors.Is(err, os.ErrNotExist) {
		if err := quietly(ctx, "certutil", "-N", "-d", db, "--empty-password"); err != nil {
			return err
		}
	}
	return quietly(ctx, "certutil", "-A", "-d", db, "-n", "Traybell "+ca, "-t", "C,,", "-i", ca)
}

// trustSystem puts the CA into the store of Debian and its relatives.
func trustSystem(ctx context.Context, ca string) error {
	b, err := os.ReadFile(ca)
	if err != nil {
		return err
	}
	if _, err := exec.LookPath("update-ca-certificates"); err != nil {
		return errors.New("update-ca-certificates is missing; install the package ca-certificates")
	}
	if err := os.MkdirAll("/usr/local/share/ca-certificates", 0o755); err != nil {
		return err
	}
	if err := os.WriteFile("/usr/local/share/ca-certificates/traybell.crt", b, 0o644); err != nil {
		return err
	}
	return quietly(ctx, "update-ca-certificates")
}

func quietly(ctx context.Context, name string, args ...string) error {
	out, err := exec.CommandContext(ctx, name, args...).CombinedOutput()
	if err != nil {
		return fmt.Errorf("%s: %w: %s", name, err, strings.TrimSpace(string(out)))
	}
	return nil
}
