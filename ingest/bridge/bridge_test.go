package bridge_test

import (
	"bytes"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"hale/devices"
	"hale/fault"
	"hale/ingest"
	"hale/ingest/bridge"
	"hale/internal/mosquitto"
	"hale/vital"
)

// keeps is a broker that keeps sessions on disk and drops nothing, as docs/bridge.md asks for.
func keeps() mosquitto.Config {
	return mosquitto.Config{Lines: []string{"persistence true", "autosave_interval 1", "max_queued_messages 0", "max_inflight_messages 100"}}
}

func TestAMessageIsAcknowledgedWhenItIsDurableAndNotBefore(t *testing.T) {
	t.Parallel()
	broker := mosquitto.New(t, keeps())
	d := &disk{}
	r := start(t, d, bridge.Config{Brokers: read(t, one("a", broker.Addr))})
	r.ready(t)
	vendor := publisher(t, broker)
	publish(t, vendor, 0, 5)
	d.holds(t, 5)
	eventually(t, 15*time.Second, func() string {
		if n := r.count(t, "acknowledged_total"); n != 5 {
			return fmt.Sprintf("%d acknowledged", n)
		}
		return ""
	})

	// The stream is away: nothing is acknowledged, the connection stands, and we try again.
	d.failing.Store(true)
	publish(t, vendor, 5, 10)
	eventually(t, 15*time.Second, func() string {
		if s := r.States()[0]; s.Waiting != 5 || !strings.Contains(s.Problem, "cannot be made durable") || r.count(t, "retried_total") < 20 {
			return fmt.Sprintf("%+v, %d tried again", s, r.count(t, "retried_total"))
		}
		return ""
	})
	if n := r.count(t, "acknowledged_total"); n != 5 {
		t.Errorf("%d are acknowledged, of which 5 are durable", n)
	}

	// The same session sees them again, because nobody acknowledged them.
	r.stop()
	if n, _ := d.held(); n != 5 {
		t.Errorf("%d readings on a disk that is away", n)
	}
	healthy := &disk{}
	again := start(t, healthy, bridge.Config{Brokers: read(t, one("a", broker.Addr))})
	healthy.holds(t, 5)
	_, ties := healthy.held()
	for n := range int64(5) {
		if !ties[5+n] {
			t.Errorf("message %d did not come again", 5+n)
		}
	}
	again.ready(t)

	// A stream that comes back needs no reconnect: we have kept the messages.
	healthy.failing.Store(true)
	publish(t, vendor, 10, 15)
	eventually(t, 15*time.Second, func() string {
		if again.count(t, "retried_total") < 5 {
			return "not tried again"
		}
		return ""
	})
	healthy.failing.Store(false)
	healthy.holds(t, 10)
	eventually(t, 15*time.Second, func() string {
		if s := again.States()[0]; s.Waiting != 0 || s.Problem != "" {
			return fmt.Sprintf("%+v", s)
		}
		return ""
	})
	if n := again.count(t, "reconnects_total"); n != 0 {
		t.Errorf("%d reconnects", n)
	}
	third := &disk{}
	again.stop()
	start(t, third, bridge.Config{Brokers: read(t, one("a", broker.Addr))}).ready(t)
	publish(t, vendor, 100, 101)
	third.holds(t, 1) // and nothing of what was acknowledged
}

func TestASessionIsResumed(t *testing.T) {
	t.Parallel()
	broker := mosquitto.New(t, keeps())
	d := &disk{}
	first := start(t, d, bridge.Config{Brokers: read(t, one("a", broker.Addr))})
	first.ready(t)
	first.stop()
	vendor := publisher(t, broker)
	publish(t, vendor, 0, 300) // nobody listens
	if err := broker.Publish("hale/v1/cuff-1/readings", `{"metric":"heart_rate","value":70,"unit":"/min","time":"2026-05-21T07:00:15Z","seq":9000}`); err != nil {
		t.Fatal(err)
	}
	second := start(t, d, bridge.Config{Brokers: read(t, one("a", broker.Addr))})
	d.holds(t, 301)
	second.ready(t)
	d.mu.Lock()
	defer d.mu.Unlock()
	for k, r := range d.readings {
		if r.Findings&vital.ThroughBroker == 0 {
			t.Errorf("%+v is not marked as one through a broker", k)
		}
	}
	if len(d.refused) != 0 {
		t.Errorf("refused: %+v", d.refused)
	}
}

func TestWhatCannotBeMappedIsKeptAndAcknowledged(t *testing.T) {
	t.Parallel()
	broker := mosquitto.New(t, keeps())
	d := &disk{}
	r := start(t, d, bridge.Config{Brokers: read(t, one("a", broker.Addr)), Limits: bridge.Limits{Packet: 1000}})
	r.ready(t)
	large := payload(1) + strings.Repeat(" ", 5000)
	for topic, body := range map[string]string{
		"v/s0": "garbage\x00\xff", "v/nobody": payload(1), "v/s1": large, "v/s2": payload(2), "hale/v1/nobody/readings": "{}",
	} {
		if err := broker.Publish(topic, body); err != nil {
			t.Fatal(err)
		}
	}
	d.holds(t, 1)
	eventually(t, 15*time.Second, func() string {
		if n := r.count(t, "acknowledged_total"); n != 5 || r.count(t, "refused_total") != 4 {
			return fmt.Sprintf("%d acknowledged, %d refused", n, r.count(t, "refused_total"))
		}
		return ""
	})
	reasons := map[vital.Reason]vital.Refused{}
	for _, no := range d.quarantined() {
		reasons[no.Reason] = no
	}
	if no := reasons[vital.ReasonUnparsable]; no.Device != 5 || string(no.Raw) != "garbage\x00\xff" || no.Topic != "v/s0" {
		t.Errorf("garbage: %+v", no)
	}
	if no := reasons[vital.ReasonSensor]; string(no.Raw) != payload(1) {
		t.Errorf("a sensor that was not granted: %+v", no)
	}
	if no := reasons[vital.ReasonTooLarge]; no.Length != int64(len(large)) || !bytes.HasPrefix([]byte(large), no.Raw) {
		t.Errorf("a message that is too large: length %d", no.Length)
	}
	if no := reasons[vital.ReasonTopic]; no.Topic != "hale/v1/nobody/readings" {
		t.Errorf("an unknown device: %+v", no)
	}
}

func TestTwoBridgesShareASubscription(t *testing.T) {
	t.Parallel()
	broker := mosquitto.New(t, keeps())
	entry := strings.Replace(one("a", broker.Addr, ", share: hale"), "client_id: bridge-a", "client_id: 'bridge-{instance}'", 1)
	d := &disk{}
	first := start(t, d, bridge.Config{Brokers: read(t, entry), Instance: "1"})
	second := start(t, d, bridge.Config{Brokers: read(t, entry), Instance: "2"})
	first.ready(t)
	second.ready(t)
	const n = 400
	publish(t, publisher(t, broker), 0, n)
	d.holds(t, n)
	if d.again != 0 {
		t.Errorf("%d came twice", d.again)
	}
	one, two := first.count(t, "received_total"), second.count(t, "received_total")
	if one+two != n || one < n/10 || two < n/10 {
		t.Errorf("the bridges got %d and %d of %d", one, two, n)
	}
}

func TestABrokerThatIsAwayHurtsNobody(t *testing.T) {
	t.Parallel()
	here, away := mosquitto.New(t, keeps()), mosquitto.New(t, keeps())
	away.Kill()
	d := &disk{}
	r := start(t, d, bridge.Config{Brokers: read(t, one("here", here.Addr)+one("away", away.Addr))})
	eventually(t, 20*time.Second, func() string {
		s := r.States()
		if !s[0].Subscribed || s[0].Problem != "" || s[1].Connected || !strings.Contains(s[1].Problem, "cannot be reached: dial: connect: connection refused") {
			return fmt.Sprintf("%+v", s)
		}
		return ""
	})
	publish(t, publisher(t, here), 0, 20)
	d.holds(t, 20)
	away.Start()
	r.ready(t)
	publish(t, publisher(t, away), 20, 40)
	d.holds(t, 40)
	if a, b := r.count(t, "received_total", "here"), r.count(t, "received_total", "away"); a != 20 || b != 20 {
		t.Errorf("received %d and %d", a, b)
	}
}

// lines is a log that a test can read meanwhile.
type lines struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (l *lines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.Write(p)
}

func (l *lines) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.String()
}

func TestAWrongPasswordIsToldAndCanBeMended(t *testing.T) {
	t.Parallel()
	c := keeps()
	c.Users = map[string]string{"hale": "right-secret"}
	broker := mosquitto.New(t, c)
	var mu sync.Mutex
	password, clock := "wrong-secret", time.Now()
	told := &lines{}
	d := &disk{}
	asked := 0
	r := start(t, d, bridge.Config{
		Brokers: read(t, one("a", broker.Addr)), Log: slog.New(slog.NewTextHandler(told, nil)),
		Now: func() time.Time {
			mu.Lock()
			defer mu.Unlock()
			return clock
		},
		Credentials: func(b *ingest.Broker) (string, string, error) {
			mu.Lock()
			defer mu.Unlock()
			asked++
			if password == "" {
				return "", "", fault.New(fault.Invalid, "the credentials of broker %s cannot be read", b.Name)
			}
			return "hale", password, nil
		},
	})
	eventually(t, 20*time.Second, func() string {
		mu.Lock()
		n := asked
		mu.Unlock()
		if s := r.States()[0]; !strings.Contains(s.Problem, "refuses our user name or password") || n < 5 {
			return fmt.Sprintf("%+v, asked %d times", s, n)
		}
		return ""
	})
	if n := r.count(t, "rejected_total"); n != 1 {
		t.Errorf("the broker was asked %d times within its pause: brokers lock out those who guess", n)
	}
	mu.Lock()
	password = ""
	mu.Unlock()
	eventually(t, 20*time.Second, func() string {
		if s := r.States()[0]; !strings.Contains(s.Problem, "credentials of broker a cannot be read") {
			return fmt.Sprintf("%+v", s)
		}
		return ""
	})
	mu.Lock()
	password, clock = "right-secret", clock.Add(30*time.Second)
	mu.Unlock()
	r.ready(t)
	if s := r.States()[0]; s.Problem != "" {
		t.Errorf("a problem that is none any more: %q", s.Problem)
	}
	if text := told.String(); strings.Contains(text, "secret") || !strings.Contains(text, "refuses our user name or password") {
		t.Errorf("the log says %s", text)
	}
}

func TestASubscriptionThatIsRefusedIsToldAndAskedForAgain(t *testing.T) {
	t.Parallel()
	broker := mosquitto.New(t, mosquitto.Guarded(t, "v/+", "v/#"))
	d := &disk{}
	entry := strings.Replace(one("a", broker.Addr), "[v/+, hale/v1/#]", "[v/s0, hale/v1/#]", 1)
	r := start(t, d, bridge.Config{Brokers: read(t, entry), Credentials: func(*ingest.Broker) (string, string, error) {
		return mosquitto.GuardedUser, mosquitto.GuardedPassword, nil
	}})
	eventually(t, 20*time.Second, func() string {
		s := r.States()[0]
		if !s.Connected || s.Subscribed || !strings.Contains(s.Problem, "the broker refuses the subscriptions hale/v1/#: let our user read them there") {
			return fmt.Sprintf("%+v", s)
		}
		if r.count(t, "resubscribe_failures_total") < 2 {
			return "it does not ask again"
		}
		return ""
	})
	// What was granted is not asked for again, or all that is retained there would come again.
	if err := broker.Publish("v/s0", payload(7), "-r", "-u", mosquitto.GuardedUser, "-P", mosquitto.GuardedPassword); err != nil {
		t.Fatal(err)
	}
	d.holds(t, 1)
	asked := r.count(t, "resubscribe_failures_total")
	eventually(t, 20*time.Second, func() string {
		if r.count(t, "resubscribe_failures_total") < asked+3 {
			return "it does not ask again"
		}
		return ""
	})
	if n := r.count(t, "received_total"); n != 1 {
		t.Errorf("one message was received %d times", n)
	}
	// And it works.
	if err := broker.Publish("v/s0", payload(0), "-u", mosquitto.GuardedUser, "-P", mosquitto.GuardedPassword); err != nil {
		t.Fatal(err)
	}
	d.holds(t, 2)
}

func TestABridgeWhoseDeviceIsNotEnrolledWaitsAndSaysSo(t *testing.T) {
	t.Parallel()
	broker := mosquitto.New(t, keeps())
	snapshot := registry()
	revoked := *snapshot.Devices["bridge-1"]
	revoked.Revoked = true
	empty := &devices.Snapshot{Devices: map[string]*devices.Device{"bridge-1": &revoked}}
	var mu sync.Mutex
	now := (*devices.Snapshot)(nil)
	set := func(s *devices.Snapshot) {
		mu.Lock()
		now = s
		mu.Unlock()
	}
	d := &disk{}
	r := start(t, d, bridge.Config{Brokers: read(t, one("a", broker.Addr)), Snapshot: func() *devices.Snapshot {
		mu.Lock()
		defer mu.Unlock()
		return now
	}})
	r.ready(t)
	publish(t, publisher(t, broker), 0, 3)
	says := func(want string) {
		t.Helper()
		eventually(t, 15*time.Second, func() string {
			if s := r.States()[0]; s.Waiting != 3 || !strings.Contains(s.Problem, want) {
				return fmt.Sprintf("%+v", s)
			}
			return ""
		})
	}
	says("the registry has not been read yet")
	set(empty)
	says("the bridge's device bridge-1 is not enrolled, or was revoked")
	if n := r.count(t, "acknowledged_total"); n != 0 {
		t.Errorf("%d acknowledged", n)
	}
	set(snapshot)
	d.holds(t, 3)
}

func TestAMessageWithoutATimeThatComesAgainIsTheSameReading(t *testing.T) {
	t.Parallel()
	broker := mosquitto.New(t, keeps())
	p := newProxy(t, broker.Addr)
	d := &disk{}
	r := start(t, d, bridge.Config{Brokers: read(t, one("a", p.addr))})
	r.ready(t)
	d.failing.Store(true)
	if err := broker.Publish("hale/v1/cuff-1/readings", `{"metric":"heart_rate","value":70,"unit":"/min"}`); err != nil {
		t.Fatal(err)
	}
	eventually(t, 15*time.Second, func() string {
		if r.count(t, "retried_total") == 0 {
			return "not tried"
		}
		return ""
	})
	p.cut() // the acknowledgement will be lost
	eventually(t, 20*time.Second, func() string {
		if n := r.count(t, "received_total"); n != 2 {
			return fmt.Sprintf("received %d times", n)
		}
		return ""
	})
	d.failing.Store(false)
	eventually(t, 20*time.Second, func() string {
		if s := r.States()[0]; s.Waiting > 0 {
			return fmt.Sprintf("%+v", s)
		}
		return ""
	})
	if n, _ := d.held(); n != 1 || d.again != 1 {
		t.Errorf("one message that came twice is %d readings", n)
	}
}

func TestASlowBrokerLosesNothing(t *testing.T) {
	t.Parallel()
	broker := mosquitto.New(t, keeps())
	p := newProxy(t, broker.Addr)
	p.perTick.Store(200) // 20 kB/s, in pieces that end in the middle of packets
	d := &disk{}
	r := start(t, d, bridge.Config{Brokers: read(t, one("a", p.addr)), Limits: bridge.Limits{HeldBytes: 4 << 10, RetryFirst: time.Millisecond}})
	r.ready(t)
	publish(t, publisher(t, broker), 0, 200)
	eventually(t, 20*time.Second, func() string {
		if n, _ := d.held(); n < 20 {
			return fmt.Sprintf("%d readings", n)
		}
		return ""
	})
	p.cut() // in the middle of it
	eventually(t, 20*time.Second, func() string {
		if r.count(t, "reconnects_total") == 0 {
			return "no reconnect"
		}
		return ""
	})
	p.perTick.Store(0)
	d.holds(t, 200)
	r.ready(t)
}

func TestTLSToTheBroker(t *testing.T) {
	t.Parallel()
	authority, server := certificates(t)
	c := keeps()
	c.Lines = append(c.Lines, "certfile "+server+".pem", "keyfile "+server+".key")
	broker := mosquitto.New(t, c)
	entry := strings.Replace(one("a", broker.Addr, ", ca_file: "+authority), "mqtt://", "mqtts://", 1)
	r := start(t, &disk{}, bridge.Config{Brokers: read(t, entry)})
	r.ready(t)

	stranger, _ := certificates(t)
	other := start(t, &disk{}, bridge.Config{Brokers: read(t, strings.Replace(entry, authority, stranger, 1)), Instance: "2"})
	eventually(t, 20*time.Second, func() string {
		if s := other.States()[0]; s.Connected || !strings.Contains(s.Problem, "certificate signed by unknown authority") {
			return fmt.Sprintf("%+v", s)
		}
		return ""
	})
	for file, want := range map[string]string{"/nowhere/ca.pem": "cannot be read", server + ".key": "holds no certificate"} {
		if _, err := bridge.New(bridge.Config{Brokers: read(t, strings.Replace(entry, authority, file, 1))}); !fault.Is(err, fault.Invalid) || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", file, err)
		}
	}
}
