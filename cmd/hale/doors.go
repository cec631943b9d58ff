package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"net"
	"os"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"hale/api/session"
	"hale/authority"
	"hale/fault"
	"hale/ingest/edge"
)

// The protocols of the encrypted doors by their registered names (ALPN), so that a browser cannot be led to the devices'
// door, whose certificate is the same.
const (
	protocolHTTP = "http/1.1"
	protocolMQTT = "mqtt"
)

// doorFlags say how `up` and `serve` encrypt what they listen on, and which proxies they believe.
type doorFlags struct {
	HTTPS   bool     `name:"https" help:"Serve the API and the screens over HTTPS only." env:"HALE_HTTPS"`
	Cert    string   `name:"tls-cert" help:"Certificate of the encrypted addresses with its intermediates, PEM. It is read again when it changes." placeholder:"FILE" env:"HALE_TLS_CERT"`
	Key     string   `name:"tls-key" help:"The certificate's key, PEM." placeholder:"FILE" env:"HALE_TLS_KEY"`
	Proxies []string `name:"trusted-proxies" help:"Addresses or ranges of proxies that are believed when they say from where a request comes (X-Forwarded-For, -Proto, -Host)." placeholder:"CIDR" env:"HALE_TRUSTED_PROXIES"`
}

// certificate is what the encrypted doors show: authority.Own or authority.Given.
type certificate interface {
	Config(protocols ...string) *tls.Config
	Expires() time.Time
	Names() []string
	TrustFile() string
	Run(ctx context.Context) error
}

// check looks at the flags themselves, before anything is started.
func (f doorFlags) check(names ...string) error {
	if (f.Cert == "") != (f.Key == "") {
		return fault.New(fault.Invalid, "--tls-cert and --tls-key belong together: say both")
	}
	for _, name := range names {
		if !authority.IsName(name) {
			return fault.New(fault.Invalid, "--tls-name %s: say a DNS name such as hale.example.org (no wildcard) or an IP address", name)
		}
	}
	_, err := f.proxies()
	return err
}

// given opens the certificate that the flags name; nil when they name none.
func (f doorFlags) given(p *program) (certificate, error) {
	if f.Cert == "" {
		return nil, nil //nolint:nilnil // no certificate is an answer here
	}
	g, err := authority.OpenGiven(authority.GivenConfig{CertFile: f.Cert, KeyFile: f.Key, Now: time.Now, Log: p.log})
	if err != nil {
		return nil, err // not g: a nil *Given in an interface is not nil
	}
	return g, nil
}

// own opens the certificate that the flags name or else the directory's own authority, good for this machine, the names
// and the addresses that are listened on.
func (f doorFlags) own(p *program, dir string, names []string, addrs ...string) (certificate, error) {
	given, err := f.given(p)
	if given != nil || err != nil {
		return given, err
	}
	known := []string{"localhost", "127.0.0.1", "::1"}
	if host, err := os.Hostname(); err == nil && authority.IsName(host) {
		known = append(known, host)
	}
	for _, addr := range addrs {
		if host, _, err := net.SplitHostPort(addr); err == nil && authority.IsName(host) {
			known = append(known, host)
		}
	}
	o, err := authority.OpenOwn(authority.OwnConfig{Dir: dir, Names: append(known, names...), Now: time.Now, Log: p.log})
	if err != nil {
		return nil, err
	}
	return o, nil
}

// overTLS is a listener that speaks HTTPS when a certificate is meant for it.
func overTLS(l net.Listener, cert certificate, wanted bool) net.Listener {
	if !wanted {
		return l
	}
	return tls.NewListener(l, cert.Config(protocolHTTP))
}

// names are those by which the certificate knows this machine.
func (h *house) names() []string {
	if h.cert == nil {
		return nil
	}
	return h.cert.Names()
}

// scheme is how the HTTP address is asked.
func scheme(https bool) string {
	if https {
		return "https://"
	}
	return "http://"
}

// nameFor is the name by which the certificate is to be checked by somebody who dials an address; "" is the address.
func nameFor(cert certificate, addr net.Addr) string {
	host, _, err := net.SplitHostPort(visitable(addr))
	if err != nil {
		return ""
	}
	leaf := &x509.Certificate{}
	for _, name := range cert.Names() {
		if ip := net.ParseIP(name); ip != nil {
			leaf.IPAddresses = append(leaf.IPAddresses, ip)
		} else {
			leaf.DNSNames = append(leaf.DNSNames, name)
		}
	}
	if leaf.VerifyHostname(host) == nil || len(cert.Names()) == 0 {
		return ""
	}
	return strings.Replace(cert.Names()[0], "*", "hale", 1) // a wildcard stands for any name
}

// renewing keeps the certificate fresh, and shows when it ends.
func (h *house) renewing() stage {
	h.registry.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "hale_certificate_expires_seconds", Help: "Seconds until the TLS certificate in use ends.",
	}, func() float64 { return time.Until(h.cert.Expires()).Seconds() }))
	return stage{name: "certificate", run: h.cert.Run}
}

// proxies are those that the flags name.
func (f doorFlags) proxies() (session.Proxies, error) {
	p, err := session.ParseProxies(f.Proxies)
	return p, fault.Wrap(fault.Invalid, err, "--trusted-proxies")
}

// forDevices are the doors of the device edge.
func (h *house) forDevices() []edge.Listener {
	list := []edge.Listener{{Listener: h.mqtt, Proxies: h.balancers}}
	if h.mqtts != nil {
		list = append(list, edge.Listener{Listener: h.mqtts, TLS: h.cert.Config(protocolMQTT), Proxies: h.balancers})
	}
	return list
}
