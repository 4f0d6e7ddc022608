package web

import (
	"bytes"
	"compress/gzip"
	"embed"
	"encoding/json"
	"io"
	"io/fs"
	"mime"
	"net/http"
	"path"
	"strings"
)

//go:embed all:dist
var dist embed.FS

// assets are the files that build.mjs has made: gzipped, with a hash in the name, so that a browser
// may keep them for ever.
type assets struct {
	names map[string]string // plain name -> hashed name
	files map[string][]byte // hashed name -> gzipped bytes
}

func loadAssets() (*assets, error) {
	a := &assets{names: map[string]string{}, files: map[string][]byte{}}
	b, err := dist.ReadFile("dist/manifest.json")
	if err != nil {
		return a, nil // not built: see AssetsBuilt
	}
	if err := json.Unmarshal(b, &a.names); err != nil {
		return nil, err
	}
	for _, hashed := range a.names {
		if a.files[hashed], err = fs.ReadFile(dist, "dist/"+hashed+".gz"); err != nil {
			return nil, err
		}
	}
	return a, nil
}

// AssetsBuilt reports whether this binary holds the portal's scripts and styles. Without them the pages
// work but look bare; the server says so when it starts.
func AssetsBuilt() bool {
	_, err := dist.ReadFile("dist/manifest.json")
	return err == nil
}

// url is the address of an asset by its plain name.
func (a *assets) url(name string) string {
	if h, ok := a.names[name]; ok {
		return "/assets/" + h
	}
	return "/assets/" + name
}

func (a *assets) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	name := path.Base(r.URL.Path)
	gz, ok := a.files[name]
	if !ok {
		http.Error(w, "no such asset", http.StatusNotFound)
		return
	}
	h := w.Header()
	h.Set("Content-Type", contentType(name))
	h.Set("Cache-Control", "public, max-age=31536000, immutable")
	h.Set("Vary", "Accept-Encoding")
	if strings.Contains(r.Header.Get("Accept-Encoding"), "gzip") {
		h.Set("Content-Encoding", "gzip")
		w.Write(gz)
		return
	}
	z, err := gzip.NewReader(bytes.NewReader(gz))
	if err != nil {
		http.Error(w, "broken asset", http.StatusInternalServerError)
		return
	}
	io.Copy(w, z)
}

// contentType does not ask the system's tables, which differ between machines.
func contentType(name string) string {
	switch path.Ext(name) {
	case ".js":
		return "text/javascript; charset=utf-8"
	case ".css":
		return "text/css; charset=utf-8"
	case ".svg":
		return "image/svg+xml"
	}
	return mime.TypeByExtension(path.Ext(name))
}
