package bridge_test

import (
	"bytes"
	"crypto/sha256"
	"crypto/tls"
	"fmt"
	"io"
	"log/slog"
	"net"
	"strings"
	"testing"
	"time"

	mqtt "github.com/eclipse/paho.mqtt.golang"
	"github.com/eclipse/paho.mqtt.golang/packets"

	"hale/ingest/bridge"
	"hale/internal/mosquitto"
	"hale/vital"
)

func TestAHugeMessageIsKeptAsItsHeadOnceAndAcknowledged(t *testing.T) {
	t.Parallel()
	for name, secure := range map[string]bool{"plain": false, "over TLS": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c, options := keeps(), mqtt.NewClientOptions().SetProtocolVersion(4).SetClientID("publisher").SetWriteTimeout(20*time.Second)
			entry := one("a", "ADDR")
			scheme := "tcp://"
			if secure {
				authority, server := certificates(t)
				c.Lines = append(c.Lines, "certfile "+server+".pem", "keyfile "+server+".key")
				entry = strings.Replace(one("a", "ADDR", ", ca_file: "+authority), "mqtt://", "mqtts://", 1)
				scheme = "ssl://"
				options.SetTLSConfig(&tls.Config{InsecureSkipVerify: true})
			}
			broker := mosquitto.New(t, c)
			p := newProxy(t, broker.Addr)
			d := &disk{}
			r := start(t, d, bridge.Config{Brokers: read(t, strings.Replace(entry, "ADDR", p.addr, 1))})
			r.ready(t)
			vendor := mqtt.NewClient(options.AddBroker(scheme + broker.Addr))
			if token := vendor.Connect(); !token.WaitTimeout(10*time.Second) || token.Error() != nil {
				t.Fatalf("connect the publisher: %v", token.Error())
			}
			t.Cleanup(func() { vendor.Disconnect(0) })

			huge := bytes.Repeat([]byte("0123456789abcdef!"), 20<<20/17)
			if token := vendor.Publish("v/s0", 1, false, huge); !token.WaitTimeout(30*time.Second) || token.Error() != nil {
				t.Fatalf("the broker did not take it: %v", token.Error())
			}
			publish(t, vendor, 1, 3)
			d.holds(t, 2)
			acknowledged := func(n int) { // so many at least: what the hang-up overtakes is sent again, which is normal
				t.Helper()
				eventually(t, 20*time.Second, func() string {
					if got, all := r.count(t, "acknowledged_total"), r.count(t, "received_total"); got < n || got != all || r.States()[0].Waiting != 0 {
						return fmt.Sprintf("%d of %d acknowledged, want %d; %+v", got, all, n, r.States())
					}
					return ""
				})
			}
			acknowledged(3)

			// On the next connection the broker would send again what it has no acknowledgement of.
			p.hangUp(t)
			eventually(t, 20*time.Second, func() string {
				if r.count(t, "reconnects_total") == 0 {
					return "no reconnect"
				}
				return ""
			})
			r.ready(t)
			publish(t, vendor, 3, 4)
			d.holds(t, 3)
			acknowledged(4)
			all := d.quarantined()
			if len(all) != 1 {
				t.Fatalf("%d are in quarantine", len(all))
			}
			no := all[0]
			if no.Reason != vital.ReasonTooLarge || no.Topic != "v/s0" || no.Length != int64(len(huge)) || no.Hash != sha256.Sum256(huge) || !bytes.Equal(no.Raw, huge[:len(no.Raw)]) || len(no.Raw) != 4<<10 {
				t.Errorf("it is kept as %d bytes of %d: %s, %s", len(no.Raw), no.Length, no.Reason, no.Topic)
			}
		})
	}
}

// liar says hello to whoever connects, reads one SUBSCRIBE and answers what the test wants.
func liar(t *testing.T, hello string, answer func(id uint16) string) (addr string) {
	t.Helper()
	l, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer func() { _ = c.Close() }()
				if _, err := packets.ReadPacket(c); err != nil {
					return
				}
				_, _ = io.WriteString(c, hello)
				p, err := packets.ReadPacket(c)
				if err != nil {
					return
				}
				_, _ = io.WriteString(c, answer(p.Details().MessageID))
				_, _ = io.Copy(io.Discard, c) // until the bridge closes
			}()
		}
	}()
	return l.Addr().String()
}

func TestABrokerThatLiesIsToldAndEndsNothing(t *testing.T) {
	t.Parallel()
	id := func(id uint16) string { return string([]byte{byte(id >> 8), byte(id)}) }
	const connack = "\x20\x02\x00\x00"
	for name, c := range map[string]struct {
		hello  string
		answer func(uint16) string
		says   string
	}{
		"what is no broker":        {"HTTP/1.1 400 Bad Request\r\n\r\n", func(uint16) string { return "" }, "the broker sent a PUBACK of 84 bytes before any CONNACK; we have closed the connection"},
		"a SUBACK of 256 MiB":      {connack, func(uint16) string { return "\x90\xff\xff\xff\x7f" }, "the broker sent a SUBACK of 268435455 bytes, which none has; we have closed the connection"},
		"a SUBACK with many codes": {connack, func(n uint16) string { return "\x90\x05" + id(n) + "\x01\x01\x01" }, "the broker sent a SUBACK with 3 codes for 2 subscriptions; we have closed the connection"},
		"a SUBACK with few codes":  {connack, func(n uint16) string { return "\x90\x03" + id(n) + "\x01" }, "the broker sent a SUBACK with 1 codes for 2 subscriptions; we have closed the connection"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			told := &lines{}
			good := mosquitto.New(t, keeps())
			d := &disk{}
			r := start(t, d, bridge.Config{
				Brokers: read(t, one("liar", liar(t, c.hello, c.answer))+one("good", good.Addr)), Log: slog.New(slog.NewTextHandler(told, nil)),
			})
			eventually(t, 20*time.Second, func() string {
				s := r.States()
				if s[0].Subscribed || !s[1].Subscribed || !strings.Contains(told.String(), c.says) || r.count(t, "reconnects_total", "liar") == 0 && c.hello == connack {
					return fmt.Sprintf("%+v; the log says %s", s, told)
				}
				return ""
			})
			publish(t, publisher(t, good), 0, 2)
			d.holds(t, 2)
			if strings.Contains(told.String(), "cannot be reached") {
				t.Errorf("the log says %s", told)
			}
		})
	}
}
