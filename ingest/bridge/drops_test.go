package bridge_test

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"hale/ingest"
	"hale/ingest/bridge"
	"hale/internal/mosquitto"
)

// TestWhatMosquittoDropsByItself holds docs/bridge.md to what it says of the broker that Debian ships: none of this is
// told to anybody, and each has a setting or is a reason for QoS 1.
func TestWhatMosquittoDropsByItself(t *testing.T) {
	t.Parallel()
	const sent = 3000
	for name, c := range map[string]struct {
		lines     []string
		qos       byte
		low, high int // how many of sent arrive, that were published while we were away
	}{
		"as shipped it keeps 1,000 for a session": {nil, 1, 1000, 1100},
		"with max_queued_messages 0 it keeps all": {[]string{"max_queued_messages 0"}, 1, sent, sent},
		"QoS 0 is not kept for a session":         {[]string{"max_queued_messages 0"}, 0, 0, 0},
		"a message above message_size_limit":      {[]string{"message_size_limit 20"}, 1, 0, 0}, // ours have more than 20 bytes
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			broker := mosquitto.New(t, mosquitto.Config{Lines: append([]string{"persistence true"}, c.lines...)})
			d := &disk{}
			brokers := read(t, one("a", broker.Addr))
			first := start(t, d, bridge.Config{Brokers: brokers})
			first.ready(t)
			first.stop()
			vendor := publisher(t, broker)
			for n := range sent {
				token := vendor.Publish(fmt.Sprintf("v/s%d", n%3), c.qos, false, payload(n))
				if n%100 == 99 && !token.WaitTimeout(10*time.Second) {
					t.Fatal("the broker does not answer")
				}
			}
			if token := vendor.Publish("nobody/reads/this", 1, false, "x"); !token.WaitTimeout(10 * time.Second) {
				t.Fatal("the broker does not answer")
			}
			second := start(t, d, bridge.Config{Brokers: brokers})
			second.ready(t)
			if len(c.lines) > 0 && c.lines[0] == "message_size_limit 20" {
				if n, _ := d.held(); n != 0 {
					t.Errorf("%d arrived", n)
				}
				return
			}
			publish(t, vendor, sent, sent+1) // a broker delivers in order, so that a last message tells
			eventually(t, 20*time.Second, func() string {
				if _, ties := d.held(); !ties[sent] || second.States()[0].Waiting > 0 {
					n, _ := d.held()
					return fmt.Sprintf("the last message is not there: %d held, %d received, %d acknowledged, %+v", n, second.count(t, "received_total"), second.count(t, "acknowledged_total"), second.States())
				}
				return ""
			})
			got, _ := d.held()
			if got--; got < c.low || got > c.high {
				t.Errorf("%d of %d arrived, want %d to %d", got, sent, c.low, c.high)
			}
		})
	}
}

// TestMosquittosACLGrantsWhatItDoesNotDeliver is why docs/bridge.md says to send a message to each topic once.
func TestMosquittosACLGrantsWhatItDoesNotDeliver(t *testing.T) {
	t.Parallel()
	acl := filepath.Join(t.TempDir(), "acl")
	if err := os.WriteFile(acl, []byte("user hale\ntopic readwrite v/s0\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	broker := mosquitto.New(t, mosquitto.Config{Users: map[string]string{"hale": "x"}, Lines: []string{"acl_file " + acl}})
	d := &disk{}
	r := start(t, d, bridge.Config{Brokers: read(t, one("a", broker.Addr)), Credentials: func(*ingest.Broker) (string, string, error) { return "hale", "x", nil }})
	r.ready(t)
	if s := r.States()[0]; s.Problem != "" {
		t.Errorf("it says %q", s.Problem)
	}
	for _, topic := range []string{"v/s1", "v/s0"} {
		if err := broker.Publish(topic, payload(1), "-u", "hale", "-P", "x"); err != nil {
			t.Fatal(err)
		}
	}
	d.holds(t, 1)
	if n := r.count(t, "received_total"); n != 1 {
		t.Errorf("received %d", n)
	}
}
