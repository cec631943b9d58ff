package bridge_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"hale/ingest/bridge"
	"hale/internal/mosquitto"
	"hale/vital"
)

// TestARetainedMessageIsNoNewReadingAtEachConnection: the broker gives what it retains to whoever subscribes, and we
// subscribe at each connection.
func TestARetainedMessageIsNoNewReadingAtEachConnection(t *testing.T) {
	t.Parallel()
	broker := mosquitto.New(t, keeps())
	p := newProxy(t, broker.Addr)
	const timeless = `{"metric":"heart_rate","value":70,"unit":"/min"}`
	for topic, body := range map[string]string{"hale/v1/cuff-1/readings": timeless, "v/s0": payload(1)} {
		if err := broker.Publish(topic, body, "-r"); err != nil {
			t.Fatal(err)
		}
	}
	d := &disk{}
	r := start(t, d, bridge.Config{Brokers: read(t, one("a", p.addr))})
	r.ready(t)
	came := func(n int) {
		t.Helper()
		eventually(t, 20*time.Second, func() string {
			if got := r.count(t, "retained_total"); got != n || r.States()[0].Waiting > 0 || r.count(t, "acknowledged_total") != r.count(t, "received_total") {
				return fmt.Sprintf("%d retained messages came, want %d; %+v", got, n, r.States())
			}
			return ""
		})
	}
	came(2)
	for i := range 2 {
		p.cut()
		came(2 * (i + 2))
	}
	// One that comes while we are connected has no flag, and is a reading of now.
	if err := broker.Publish("hale/v1/cuff-1/readings", timeless, "-r"); err != nil {
		t.Fatal(err)
	}
	d.holds(t, 2)
	d.mu.Lock()
	defer d.mu.Unlock()
	assumed := 0
	for _, one := range d.readings {
		if one.Findings&vital.TimeAssumed != 0 {
			assumed++
		}
	}
	if assumed != 1 || d.again != 2 {
		t.Errorf("%d readings have an assumed time, and the one with a time of its own came %d times more", assumed, d.again)
	}
	if len(d.refused) != 3 {
		t.Errorf("%d are in quarantine", len(d.refused))
	}
	for _, no := range d.refused {
		if no.Reason != vital.ReasonClock || !strings.Contains(no.Detail, "retain flag") || string(no.Raw) != timeless {
			t.Errorf("refused: %+v", no)
		}
	}
}
