package httpd

import (
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"strings"
)

// maxForwarded bounds what is read of X-Forwarded-For.
const maxForwarded = 4000

// ParseProxies reads the networks of proxies: addresses, or networks as 10.0.0.0/8.
func ParseProxies(list []string) (networks []netip.Prefix, err error) {
	for _, text := range list {
		text = strings.TrimSpace(text)
		p, err := netip.ParsePrefix(text)
		if err != nil {
			a, aerr := netip.ParseAddr(text)
			if aerr != nil {
				return nil, fmt.Errorf("a trusted proxy is an address or a network such as 10.0.0.0/8, not %q", text)
			}
			p = netip.PrefixFrom(a.Unmap(), a.Unmap().BitLen())
		}
		networks = append(networks, p.Masked())
	}
	return networks, nil
}

// behind gives requests that come through trusted proxies the address of who has sent them to the outermost one. What
// others write into X-Forwarded-For is not looked at.
func behind(proxies []netip.Prefix, next http.Handler) http.Handler {
	if len(proxies) == 0 {
		return next
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if from, ok := sender(proxies, r.RemoteAddr, r.Header.Values("X-Forwarded-For")); ok {
			r.RemoteAddr = net.JoinHostPort(from.String(), "0")
		}
		next.ServeHTTP(w, r)
	})
}

// sender goes from the connection's address outwards, as long as it was a trusted proxy that named the next one.
func sender(proxies []netip.Prefix, remote string, forwarded []string) (from netip.Addr, ok bool) {
	peer, err := netip.ParseAddrPort(remote)
	if err != nil {
		return from, false
	}
	from = peer.Addr().Unmap()
	trusted := func(a netip.Addr) bool {
		for _, p := range proxies {
			if p.Contains(a.WithZone("")) {
				return true
			}
		}
		return false
	}
	text := strings.Join(forwarded, ",")
	for trusted(from) && text != "" && len(text) <= maxForwarded {
		i := strings.LastIndexByte(text, ',')
		a, err := netip.ParseAddr(strings.TrimSpace(text[i+1:]))
		if err != nil {
			break
		}
		from, ok = a.Unmap().WithZone(""), true
		text = text[:max(i, 0)]
	}
	return from, ok
}
