package main

import (
	"bytes"
	"context"
	"net"
	"os"
	"strings"
	"testing"
	"time"

	"hale/fault"
)

func TestPlainHTTPStaysOnThisMachineUnlessTheOperatorInsists(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		http, mqtt string
		insist     bool
		refused    bool
		warned     string // what about; "" for nothing
	}{
		"defaults":                             {},
		"loopback by number":                   {http: "127.0.0.1:8080", mqtt: "127.0.0.1:1883"},
		"loopback by name":                     {http: "localhost:8080", mqtt: "localhost:1883"},
		"loopback of IPv6":                     {http: "[::1]:8080", mqtt: "[::ffff:127.0.0.1]:1883"},
		"HTTP on every interface":              {http: "0.0.0.0:8080", refused: true},
		"HTTP on every interface of IPv6":      {http: "[::]:8080", refused: true},
		"HTTP on every interface by no host":   {http: ":8080", refused: true},
		"HTTP on another address":              {http: "192.0.2.1:8080", refused: true},
		"HTTP on every interface, insisted on": {http: "0.0.0.0:8080", insist: true, warned: "HTTP"},
		"MQTT on every interface":              {mqtt: ":1883", warned: "MQTT"},
		"HTTP without a port":                  {http: "0.0.0.0", insist: true, refused: true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var said bytes.Buffer
			err := keepPlain(t.Context(), &said, c.http, c.mqtt, c.insist)
			if (err != nil) != c.refused || c.refused && !fault.Is(err, fault.Invalid) {
				t.Errorf("refused with %v", err)
			}
			lines := strings.Count(said.String(), "\n")
			if c.warned == "" && lines != 0 || c.warned != "" && (lines != 1 || !strings.Contains(said.String(), "unencrypted over "+c.warned)) {
				t.Errorf("warned of %q", said.String())
			}
		})
	}
}

func TestCommandsRefuseOpenHTTPBeforeTheyStartAnything(t *testing.T) {
	t.Parallel()
	dir := dataDir(t)
	for name, args := range map[string][]string{
		"up":    {"up", "--no-install", "--data", dir, "--http", "0.0.0.0:0", "--mqtt", "127.0.0.1:0"},
		"serve": {"serve", "--http", ":0", "--nats", "nats://127.0.0.1:1", "--database", "postgres://127.0.0.1:1/hale"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
			defer cancel()
			var out, said bytes.Buffer
			code := run(ctx, args, &out, &said, func(string) string { return "" })
			if code != 1 || !strings.Contains(said.String(), "--insecure-http") || !strings.Contains(said.String(), "proxy that ends TLS") {
				t.Errorf("ended with %d and said %q", code, said.String())
			}
			if _, err := os.Stat(dir); err == nil {
				t.Error("the data directory was made")
			}
		})
	}
}

func TestAnAddressIsToldAsItCanBeVisited(t *testing.T) {
	t.Parallel()
	for bound, want := range map[string]string{
		"0.0.0.0:8080": "127.0.0.1:8080", "[::]:8080": "127.0.0.1:8080", "127.0.0.1:8080": "127.0.0.1:8080", "[::1]:8080": "[::1]:8080", "192.0.2.1:80": "192.0.2.1:80",
	} {
		addr, err := net.ResolveTCPAddr("tcp", bound)
		if err != nil {
			t.Fatal(err)
		}
		if got := visitable(addr); got != want {
			t.Errorf("%s is told as %s, want %s", bound, got, want)
		}
	}
}

func TestWhoIsReachedByOthersSaysByWhichAddress(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		http, public string
		warns        bool
	}{
		"this machine only":                 {http: "127.0.0.1:8080"},
		"the default, which is the same":    {},
		"everywhere, and nothing was said":  {http: "0.0.0.0:8080", warns: true},
		"everywhere, under an address":      {http: "0.0.0.0:8080", public: "https://hale.example.org"},
		"one address, and nothing was said": {http: "192.0.2.7:443", warns: true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var said strings.Builder
			if err := keepAddress(t.Context(), &said, c.http, c.public); err != nil {
				t.Fatal(err)
			}
			if got := strings.Contains(said.String(), "--public-url"); got != c.warns {
				t.Errorf("it says %q", said.String())
			}
		})
	}
	if _, err := (&oidcFlags{Public: "hale.example.org", Local: true}).ways(&program{}, ""); !fault.Is(err, fault.Invalid) || !strings.Contains(err.Error(), "--public-url") {
		t.Errorf("an address that is none: %v", err)
	}
}
