package main

import (
	"crypto/sha256"
	_ "embed"
	"encoding/base64"
	"io"
	"net"
	"net/http"
	"net/netip"
	"regexp"
	"strings"
)

// page shows what /status answers. It asks for nothing else, from nobody else.
//
//go:embed status.html
var page string

var inlined = regexp.MustCompile(`(?s)<(style|script)>(.*?)</(?:style|script)>`)

// pagePolicy lets the browser run what is in the page, and nothing that data brings into it.
var pagePolicy = func() string {
	allowed := make(map[string]string)
	for _, m := range inlined.FindAllStringSubmatch(page, -1) {
		sum := sha256.Sum256([]byte(m[2]))
		allowed[m[1]] += " 'sha256-" + base64.StdEncoding.EncodeToString(sum[:]) + "'"
	}
	return "default-src 'none'; connect-src 'self'; img-src data:; script-src" + allowed["script"] + "; style-src" + allowed["style"] +
		"; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'"
}()

func servePage(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.Header().Set("Content-Security-Policy", pagePolicy)
	w.Header().Set("Cache-Control", "no-store")
	io.WriteString(w, page)
}

// guard is what stands before an admin port: it asks nobody who he is, so a browser that somebody else's page
// has sent must not be let in.
func guard(at net.Addr, next http.Handler) http.Handler {
	tcp, ok := at.(*net.TCPAddr)
	loopback := ok && tcp.IP.IsLoopback()
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("X-Frame-Options", "DENY")
		h.Set("Content-Security-Policy", "default-src 'none'; frame-ancestors 'none'")
		h.Set("Cross-Origin-Resource-Policy", "same-origin")
		h.Set("Referrer-Policy", "no-referrer")
		if loopback && !isLocalHost(r.Host) { // a name of somebody else's that leads here
			deny(w, http.StatusMisdirectedRequest, "this admin port is for this machine: ask for localhost or 127.0.0.1")
			return
		}
		if site := r.Header.Get("Sec-Fetch-Site"); site == "cross-site" || site == "same-site" {
			// A link may lead to the page; nothing else of another site's is answered.
			if r.URL.Path != "/" || r.Header.Get("Sec-Fetch-Mode") != "navigate" || r.Header.Get("Sec-Fetch-Dest") != "document" {
				deny(w, http.StatusForbidden, "not for other sites' pages")
				return
			}
		}
		if origin := r.Header.Get("Origin"); origin != "" && origin != "http://"+r.Host && origin != "https://"+r.Host {
			deny(w, http.StatusForbidden, "not for other sites' pages")
			return
		}
		next.ServeHTTP(w, r)
	})
}

func deny(w http.ResponseWriter, status int, why string) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.WriteHeader(status)
	io.WriteString(w, why+"\n")
}

// isLocalHost says whether a Host header names this machine, with or without a port.
func isLocalHost(host string) bool {
	if name, _, err := net.SplitHostPort(host); err == nil {
		host = name
	}
	host = strings.TrimSuffix(strings.TrimPrefix(host, "["), "]")
	if strings.EqualFold(host, "localhost") || host == "" {
		return true
	}
	ip, err := netip.ParseAddr(host)
	return err == nil && ip.IsLoopback()
}
