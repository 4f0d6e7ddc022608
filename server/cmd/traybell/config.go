package main

import (
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"strings"
)

// config is what a login keeps. The file is readable by its owner only.
type config struct {
	Server string `json:"server"`        // https://host:port
	Token  string `json:"token"`         // API token
	Pin    string `json:"pin,omitempty"` // hex SHA-256 of the certificate that must be in the server's chain; empty: the system's roots
}

func (p *program) path() (string, error) {
	if p.config != "" {
		return p.config, nil
	}
	dir, err := os.UserConfigDir()
	if err != nil {
		return "", err
	}
	return filepath.Join(dir, "traybell", "cli.json"), nil
}

// load reads the login.
func (p *program) load() (c config, err error) {
	path, err := p.path()
	if err != nil {
		return c, err
	}
	b, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return c, errors.New(p.say.T("cli.no_login"))
	}
	if err != nil {
		return c, err
	}
	if err := json.Unmarshal(b, &c); err != nil {
		return c, fmt.Errorf("read %s: %w", path, err)
	}
	return c, nil
}

// save writes the login under a name of its own first, so that a full disk leaves the former one.
func (p *program) save(c config) (string, error) {
	path, err := p.path()
	if err != nil {
		return "", err
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return "", err
	}
	b, err := json.MarshalIndent(c, "", "\t")
	if err != nil {
		return "", err
	}
	f, err := os.CreateTemp(filepath.Dir(path), ".cli-*") // 0600
	if err != nil {
		return "", err
	}
	defer os.Remove(f.Name())
	_, err = f.Write(append(b, '\n'))
	if e := f.Close(); err == nil {
		err = e
	}
	if err != nil {
		return "", err
	}
	return path, os.Rename(f.Name(), path)
}

// parsePin reads sha256:HEX, with or without colons between the bytes.
func parsePin(s string) (string, error) {
	h, ok := strings.CutPrefix(strings.ToLower(strings.TrimSpace(s)), "sha256:")
	h = strings.ReplaceAll(h, ":", "")
	if b, err := hex.DecodeString(h); !ok || err != nil || len(b) != 32 {
		return "", errors.New("a pin is sha256: and 64 hexadecimal digits, or first")
	}
	return h, nil
}

func parseServer(s string) (string, error) {
	u, err := url.Parse(strings.TrimSpace(s))
	if err != nil || u.Scheme != "https" || u.Host == "" || u.User != nil || strings.Trim(u.Path, "/") != "" || u.RawQuery != "" {
		return "", errors.New("the server's address has the form https://host:port")
	}
	return "https://" + u.Host, nil
}

// readToken reads a token from a file, or from standard input for "-".
func readToken(name string) (string, error) {
	var r io.Reader = os.Stdin
	if name != "-" {
		f, err := os.Open(name)
		if err != nil {
			return "", err
		}
		defer f.Close()
		r = f
	}
	b, err := io.ReadAll(io.LimitReader(r, 4096))
	if err != nil {
		return "", err
	}
	t := strings.TrimSpace(string(b))
	if t == "" || strings.ContainsAny(t, " \r\n\t") {
		return "", errors.New("the file must hold one API token and nothing else")
	}
	return t, nil
}
