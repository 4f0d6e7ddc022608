// Package httpd is the server's door: its keys and certificates, the one HTTPS listener for
// browsers, programs and devices, and what is mounted where on it.
//
// It promises that devices always meet the certificate of the server's own CA, which their enrolment
// key pins, while browsers get the configured one; that the listener survives slow and hostile peers;
// and that Close lets requests in flight end. cmd/traybell-server builds it; it knows no SQL.
package httpd

import (
	"context"
	"crypto/tls"
	"errors"
	"log"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/traybell/traybell/server/internal/relay"
	"github.com/traybell/traybell/shared/link"
)

// Options are the parts that the server mounts. API takes /api/, Web everything else.
type Options struct {
	Listener net.Listener
	Keys     *Keys
	Host     string           // of the public URL
	Browser  *tls.Certificate // for browsers; nil: the server's own
	Relay    *relay.Relay
	API      http.Handler
	Web      http.Handler
	Logger   *slog.Logger
	Proxies  []netip.Prefix // whose X-Forwarded-For is believed
}

// Serve answers until ctx ends, then gives requests in flight four seconds.
func Serve(ctx context.Context, o Options) error {
	names := Names(o.Host)
	if _, err := o.Keys.Certificate(names, time.Now()); err != nil {
		return err
	}
	config := &tls.Config{
		MinVersion: tls.VersionTLS12,
		NextProtos: []string{link.ALPN, "h2", "http/1.1"},
		GetCertificate: func(hello *tls.ClientHelloInfo) (*tls.Certificate, error) {
			if o.Browser != nil && !slices.Contains(hello.SupportedProtos, link.ALPN) {
				return o.Browser, nil
			}
			return o.Keys.Certificate(names, time.Now())
		},
	}
	devices, others := relay.Split(o.Listener, config, o.Logger)

	mux := http.NewServeMux()
	mux.Handle("/api/", o.API)
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/plain; charset=utf-8")
		w.Write([]byte("ok\n"))
	})
	mux.Handle("/", o.Web)

	// Devices reach their own routes only, whatever they ask for.
	own := http.NewServeMux()
	own.HandleFunc("GET "+link.Path, o.Relay.ServeLink)
	own.HandleFunc("GET "+link.ChannelPath, o.Relay.ServeChannel)
	own.Handle("/api/v1/device/", o.API)

	// Behind a proxy that ends TLS, devices come through the ordinary listener.
	mux.HandleFunc("GET "+link.Path, o.Relay.ServeLink)
	mux.HandleFunc("GET "+link.ChannelPath, o.Relay.ServeChannel)

	var wg sync.WaitGroup
	failed := make(chan error, 2)
	servers := []*http.Server{serverFor(behind(o.Proxies, secure(mux, o.Browser != nil)), o.Logger), serverFor(own, o.Logger)}
	for i, l := range []net.Listener{others, devices} {
		wg.Go(func() {
			if err := servers[i].Serve(l); !errors.Is(err, http.ErrServerClosed) {
				failed <- err
			}
		})
	}
	var err error
	select {
	case <-ctx.Done():
	case err = <-failed:
	}
	end, cancel := context.WithTimeout(context.Background(), 4*time.Second)
	defer cancel()
	if rerr := o.Relay.Close(end); rerr != nil {
		o.Logger.Warn("links did not end in time", "err", rerr)
	}
	for _, s := range servers {
		if serr := s.Shutdown(end); serr != nil {
			s.Close() // streams of events are ended by force
		}
	}
	wg.Wait()
	return err
}

func serverFor(h http.Handler, logger *slog.Logger) *http.Server {
	return &http.Server{
		Handler:           h,
		ReadHeaderTimeout: 10 * time.Second,
		IdleTimeout:       2 * time.Minute,
		MaxHeaderBytes:    32 << 10,
		ErrorLog:          log.New(quiet{logger}, "", 0),
	}
}

// secure sets what every answer to a browser carries. Only a server with a certificate that browsers
// know insists on HTTPS for its name: on localhost that would bind other programs too.
func secure(next http.Handler, strict bool) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		if strict {
			h.Set("Strict-Transport-Security", "max-age=31536000")
		}
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("Referrer-Policy", "no-referrer")
		next.ServeHTTP(w, r)
	})
}

// quiet takes the lines that net/http writes about peers that hang up or speak no TLS.
type quiet struct{ log *slog.Logger }

func (q quiet) Write(p []byte) (int, error) {
	q.log.Debug("connection ended", "err", strings.TrimSpace(string(p)))
	return len(p), nil
}
