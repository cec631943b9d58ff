package main

import (
	"context"
	"crypto/sha256"
	"net"
	"net/netip"
	"net/url"
	"os"
	"strings"
	"time"

	"hale/devices"
	"hale/devices/credential"
	"hale/fault"
)

// pairFlags say what a device is told that has just got its secret.
type pairFlags struct {
	DeviceURL []string `name:"device-url" help:"Address at which devices reach the device edge, for example mqtts://hale.example.org:8883; a device is told it when it is paired (default: where this process listens)." placeholder:"URL" env:"HALE_DEVICE_URL"`
	DeviceCA  string   `name:"device-ca" help:"File of the certificates (PEM) that devices must trust, given to a device when it is paired (default: those of the own authority; with --tls-cert none, which means those that everybody trusts)." placeholder:"FILE" env:"HALE_DEVICE_CA"`
}

// checkPairing looks at the flags themselves, before anything is started.
func (f pairFlags) checkPairing() error {
	for _, text := range f.DeviceURL {
		u, err := url.Parse(text)
		if err != nil || u.Scheme != "mqtts" && u.Scheme != "mqtt" || u.Hostname() == "" || u.User != nil || strings.Trim(u.Path, "/") != "" || u.RawQuery != "" || u.Fragment != "" {
			return fault.New(fault.Invalid, "--device-url %s: say an address such as mqtts://hale.example.org:8883", text)
		}
	}
	if f.DeviceCA == "" {
		return nil
	}
	_, err := os.ReadFile(f.DeviceCA)
	return fault.Wrap(fault.Invalid, err, "--device-ca cannot be read")
}

// deviceWays says how a device reaches the edge; host is the name by which somebody asked this process, or empty.
func (h *house) deviceWays(host string) (credential.Ways, error) {
	var w credential.Ways
	for _, text := range h.pairs.DeviceURL {
		if strings.HasPrefix(text, "mqtts:") {
			w.MQTTS = append(w.MQTTS, text)
		} else {
			w.MQTT = append(w.MQTT, text)
		}
	}
	if len(h.pairs.DeviceURL) == 0 {
		w.MQTTS, w.MQTT = listening("mqtts://", h.mqtts, host), listening("mqtt://", h.mqtt, host)
	}
	if len(w.MQTTS)+len(w.MQTT) == 0 {
		return w, fault.New(fault.Invalid, "this Hale does not know how devices reach it, so that none can be paired: let the operator start it with --device-url mqtts://...")
	}
	if h.pairs.DeviceCA == "" {
		return w, nil
	}
	trusted, err := os.ReadFile(h.pairs.DeviceCA) // each time: a second certificate comes years before the first ends
	if err != nil {
		return w, fault.Wrap(fault.Internal, err, "the certificates that devices must trust cannot be read")
	}
	w.CA = string(trusted)
	return w, nil
}

// listening is the address of a listener as a device dials it; none when that is every address of this machine and nobody has named
// one.
func listening(scheme string, l net.Listener, host string) []string {
	if l == nil {
		return nil
	}
	at, port, err := net.SplitHostPort(l.Addr().String())
	if err != nil {
		return nil
	}
	if addr, err := netip.ParseAddr(at); err == nil && addr.IsUnspecified() {
		if at = host; at == "" {
			return nil
		}
	}
	return []string{scheme + net.JoinHostPort(at, port)}
}

// newCredentials is where devices get their secrets.
func (h *house) newCredentials() *credential.Credentials {
	c := credential.NewCredentials(h.app, h.app, time.Now)
	c.Changed = h.registryChanged
	return c
}

// renewal is a device that has connected with its new secret.
type renewal struct {
	device *devices.Device
	shown  [sha256.Size]byte
}

// renewed notes a device that has connected with its new secret, unless there are too many: its old one ends by its time then, or at
// its next connect.
func (h *house) renewed(d *devices.Device, shown [sha256.Size]byte) {
	select {
	case h.renewals <- renewal{d, shown}:
	default:
	}
}

// newPhones is where apps come in that send over HTTP; their new secret ends the old as that of any other device.
func (h *house) newPhones() *credential.Phones {
	p := credential.NewPhones(h.cache.Current, time.Now)
	p.Renewed = h.renewed
	return p
}

// endingOldSecrets ends the old secrets of devices that have connected with the new one.
func (h *house) endingOldSecrets() stage {
	return stage{name: "renewed secrets", run: func(ctx context.Context) error {
		for {
			select {
			case <-ctx.Done():
				return nil
			case r := <-h.renewals:
				if err := h.work.DropOldSecret(ctx, r.device, r.shown); err != nil {
					h.log.Warn("an old secret stays good until its time is over", "device", r.device.UID, "error", err)
					continue
				}
				h.registryChanged(ctx)
			}
		}
	}}
}

// mostRenewals is how many devices may wait for their old secret to end.
const mostRenewals = 1_000
