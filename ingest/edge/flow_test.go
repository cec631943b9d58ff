package edge

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"math/rand/v2"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/eclipse/paho.mqtt.golang/packets"
	"github.com/google/go-cmp/cmp"

	"hale/fault"
	"hale/ingest"
)

func TestAcknowledgementsComeWhenDurableAndInReceiveOrder(t *testing.T) {
	t.Parallel()
	h := open(t, Limits{}, &recorder{})
	d := h.connect(t, "d1")
	const n = 200
	for id := 1; id <= n; id++ {
		d.send(message("hale/v1/d1/readings", 1, uint16(id), fmt.Sprint(id)))
	}
	got := h.core.wait(t, n)
	d.ping() // nothing is acknowledged before it
	for i, m := range got {
		if m.Topic != "hale/v1/d1/readings" || string(m.Payload) != fmt.Sprint(i+1) || m.Device.UID != "d1" || m.Oversize != nil {
			t.Fatalf("message %d is %+v", i, m.Message)
		}
	}
	for _, i := range rand.Perm(n) {
		go got[i].done(ingest.Receipt{Accepted: 1})
	}
	for id := 1; id <= n; id++ {
		d.expect(ack("PUBACK", id))
	}
}

func TestOneMessageThatIsNotDurableHoldsBackTheAcknowledgementsBehindIt(t *testing.T) {
	t.Parallel()
	h := open(t, Limits{}, &recorder{})
	d := h.connect(t, "d1")
	for id := 1; id <= 3; id++ {
		d.send(message("hale/v1/d1/readings", 1, uint16(id), "x"))
	}
	got := h.core.wait(t, 3)
	got[1].done(ingest.Receipt{})
	got[2].done(ingest.Receipt{})
	d.ping()
	got[0].done(ingest.Receipt{})
	d.expect(ack("PUBACK", 1), ack("PUBACK", 2), ack("PUBACK", 3))
}

func TestWhatIsNotDurableClosesTheConnectionUnacknowledged(t *testing.T) {
	t.Parallel()
	h := open(t, Limits{}, &recorder{})
	d := h.connect(t, "d1", func(p *packets.ConnectPacket) {
		p.WillFlag, p.WillTopic, p.WillMessage = true, "hale/v1/d1/status", []byte("gone")
	})
	other := h.connect(t, "d2")
	for id := 1; id <= 3; id++ {
		d.send(message("hale/v1/d1/readings", 1, uint16(id), "x"))
	}
	got := h.core.wait(t, 3)
	got[1].done(ingest.Receipt{Err: fault.New(fault.Unavailable, "the stream is away")})
	got[2].done(ingest.Receipt{})
	d.closed()
	got[0].done(ingest.Receipt{}) // too late, and harmless
	other.ping()
	h.core.wait(t, 3) // the will is not told: it was us who hung up
}

func TestQualityOfServiceIsAnsweredByItsRules(t *testing.T) {
	t.Parallel()
	h := open(t, Limits{}, &recorder{always: accepted})
	d := h.connect(t, "d1")
	release := blank[*packets.PubrelPacket](packets.Pubrel)
	release.MessageID = 9
	d.send(message("hale/v1/d1/readings", 2, 8, "x"))
	d.expect(ack("PUBREC", 8))
	d.send(release) // of a message that this connection has never seen
	d.expect(ack("PUBCOMP", 9))
	release.MessageID = 8
	d.send(release, release)
	d.expect(ack("PUBCOMP", 8), ack("PUBCOMP", 8))
	d.send(message("hale/v1/d1/readings", 0, 0, "y"), packets.NewControlPacket(packets.Puback))
	if got := h.core.wait(t, 2); string(got[1].Payload) != "y" {
		t.Errorf("the message of QoS 0 is %q", got[1].Payload)
	}
}

func TestAMessageOfQoS0AndAGoodbyeAreEnough(t *testing.T) {
	t.Parallel()
	h := open(t, Limits{}, &recorder{full: make(chan struct{})})
	d := h.connect(t, "d1")
	for range 20 {
		d.send(message("hale/v1/d1/readings", 0, 0, "x"))
	}
	d.send(packets.NewControlPacket(packets.Disconnect))
	d.closed()
	close(h.core.full)
	h.core.wait(t, 20)
}

func TestPingsAreAnsweredWhileTheWindowIsFull(t *testing.T) {
	t.Parallel()
	h := open(t, Limits{}, &recorder{})
	d := h.connect(t, "d1")
	const window, more = 1024, 50
	for id := 1; id <= window+more; id++ {
		d.send(message("hale/v1/d1/readings", 1, uint16(id), "x"))
	}
	d.ping() // behind everything
	got := h.core.wait(t, window)
	for _, m := range got {
		m.done(ingest.Receipt{})
	}
	for id := 1; id <= window; id++ {
		d.expect(ack("PUBACK", id))
	}
	for _, m := range h.core.wait(t, window+more)[window:] {
		m.done(ingest.Receipt{})
	}
	for id := window + 1; id <= window+more; id++ {
		d.expect(ack("PUBACK", id))
	}
}

func TestPingsAreAnsweredWhileTheCoreIsFull(t *testing.T) {
	t.Parallel()
	h := open(t, Limits{}, &recorder{always: accepted, full: make(chan struct{})})
	d := h.connect(t, "d1")
	for id := 1; id <= 100; id++ {
		d.send(message("hale/v1/d1/readings", 1, uint16(id), "x"))
	}
	d.ping()
	if h.core.count() != 0 {
		t.Fatal("the core was not full")
	}
	close(h.core.full)
	for id := 1; id <= 100; id++ {
		d.expect(ack("PUBACK", id))
	}
}

func TestADeviceThatIsHeldBackIsNotTakenForDead(t *testing.T) {
	t.Parallel()
	h := open(t, Limits{Window: 1, ReadAhead: 1, ChunkWithin: 500 * time.Millisecond}, &recorder{})
	d := h.connect(t, "d1", func(p *packets.ConnectPacket) { p.Keepalive = 1 })
	const n = 20
	for id := 1; id <= n; id++ {
		d.send(message("hale/v1/d1/readings", 1, uint16(id), strings.Repeat("x", 20_000)))
	}
	d.quiet(1800 * time.Millisecond) // longer than one and a half times the keep-alive
	for id := 1; id <= n; id++ {
		h.core.wait(t, id)[id-1].done(ingest.Receipt{})
		d.expect(ack("PUBACK", id))
	}
	d.closed() // and now it is silent of its own
}

func TestTheEdgeHoldsABoundedNumberOfBytes(t *testing.T) {
	t.Parallel()
	const size = 3000
	h := open(t, Limits{Packet: 4 << 10, HeldBytes: 3 * size}, &recorder{})
	first, second := h.connect(t, "d1"), h.connect(t, "d2")
	for id := 1; id <= 3; id++ {
		first.send(message("hale/v1/d1/readings", 1, uint16(id), strings.Repeat("x", size)))
	}
	h.core.wait(t, 2)
	second.ping()
	second.send(message("hale/v1/d2/readings", 1, 1, strings.Repeat("x", size)))
	second.quiet(50 * time.Millisecond)
	got := h.core.wait(t, 2)
	if h.held.try(size) {
		t.Error("there is room for another message, so nothing was held back")
	}
	for _, m := range got {
		m.done(ingest.Receipt{})
	}
	for _, m := range h.core.wait(t, 4)[2:] {
		m.done(ingest.Receipt{})
	}
	first.expect(ack("PUBACK", 1), ack("PUBACK", 2), ack("PUBACK", 3))
	second.expect(ack("PUBACK", 1))
	eventually(t, "all bytes are given back", func() bool {
		return h.held.inUse() == 0
	})
}

//nolint:tparallel // its parts are the steps of one connection
func TestMessagesThatAreTooLarge(t *testing.T) {
	t.Parallel()
	h := open(t, Limits{}, &recorder{always: accepted})
	d, neighbour := h.connect(t, "d1"), h.connect(t, "d2")

	t.Run("one of 256 KiB is taken whole", func(t *testing.T) {
		topic := "hale/v1/d1/readings"
		payload := strings.Repeat("0123456789abcdef", 256<<10/16)[:256<<10-len(topic)-4]
		d.send(message(topic, 1, 1, payload))
		d.expect(ack("PUBACK", 1))
		if got := h.core.wait(t, 1)[0]; string(got.Payload) != payload || got.Oversize != nil {
			t.Errorf("%d bytes came, oversize %v", len(got.Payload), got.Oversize)
		}
	})
	t.Run("one of 1 MiB is kept as head, length and hash, and acknowledged", func(t *testing.T) {
		payload := strings.Repeat("0123456789abcdef", 1<<20/16)
		d.send(message("hale/v1/d1/readings", 1, 2, payload))
		d.expect(ack("PUBACK", 2))
		want := ingest.Message{
			Topic: "hale/v1/d1/readings", Payload: []byte(payload[:4096]),
			Oversize: &ingest.Oversize{Length: 1 << 20, Hash: sha256.Sum256([]byte(payload))},
		}
		got := h.core.wait(t, 2)[1].Message
		got.Device, got.ReceivedAt, got.Connection = nil, time.Time{}, 0
		if diff := cmp.Diff(want, got); diff != "" {
			t.Error(diff)
		}
	})
	t.Run("one of 17 MiB closes the connection, and the neighbour goes on", func(t *testing.T) {
		d.write(string(appendHeader(nil, typePublish, 2, 17<<20)) + "\x00\x13hale/v1/d1/readings\x00\x03")
		d.closed()
		h.core.wait(t, 2)
		neighbour.ping()
	})
}

func TestReceiptsTellWhatBecameOfAMessage(t *testing.T) {
	t.Parallel()
	core := &recorder{always: func(m ingest.Message) ingest.Receipt {
		switch string(m.Payload) {
		case "asks":
			return ingest.Receipt{Accepted: 2, Wanted: true}
		case "is wrong":
			return ingest.Receipt{Accepted: 1, Refused: []ingest.Refusal{{Index: 1, Reason: "unit", Detail: `unit "kg" <-`}}}
		}
		return ingest.Receipt{Accepted: 1}
	}}
	h := open(t, Limits{}, core)
	d := h.connect(t, "d1")
	d.send(message("hale/v1/d1/readings", 1, 1, "is wrong")) // nobody listens yet
	d.expect(ack("PUBACK", 1))
	d.subscribe(7, "hale/v1/d1/receipts")
	d.expect("SUBACK: dup: false qos: 0 retain: false rLength: 3 MessageID: 7")
	d.send(message("hale/v1/d1/readings", 1, 2, "is right"), message("hale/v1/d1/readings", 1, 3, "asks"), message("hale/v1/d1/readings", 0, 0, "is wrong"))
	d.expect(ack("PUBACK", 2), ack("PUBACK", 3))
	for _, want := range []string{
		`{"topic":"hale/v1/d1/readings","accepted":2,"refused":[]}`,
		`{"topic":"hale/v1/d1/readings","accepted":1,"refused":[{"index":1,"reason":"unit","detail":"unit \"kg\" \u003c-"}]}`,
	} {
		p, ok := d.receive().(*packets.PublishPacket)
		if !ok || p.TopicName != "hale/v1/d1/receipts" || string(p.Payload) != want || p.Qos != 0 || p.Retain {
			t.Errorf("receipt %v, want %s", p, want)
		}
	}
}

func TestWhoDoesNotReadIsGivenUpWithoutHarmToOthers(t *testing.T) {
	t.Parallel()
	h := open(t, Limits{WriteWithin: 50 * time.Millisecond}, &recorder{always: accepted})
	d, neighbour := h.connect(t, "d1"), h.connect(t, "d2")
	d.subscribe(1, "hale/v1/d1/commands")
	d.expect("SUBACK: dup: false qos: 0 retain: false rLength: 3 MessageID: 1")
	large := make([]byte, 200<<10)
	eventually(t, "the connection is given up", func() bool {
		h.Deliver("d1", Commands, large)
		return h.open.Load() == 1
	})
	neighbour.ping()
}

func TestPingsWithoutEndAreBounded(t *testing.T) {
	t.Parallel()
	s := New(Config{})
	one := &session{server: s, out: &outflow{make([]byte, maxAnswersBehind+1)}, flushing: true}
	if err := one.reply(appendPingresp); !errors.Is(err, errDeaf) {
		t.Errorf("error %v, want that the device does not read", err)
	}
	one.out.b = one.out.b[:maxAnswersBehind]
	if err := one.reply(appendPingresp); err != nil || one.behind() != maxAnswersBehind+2 {
		t.Errorf("error %v and %d bytes, want an answer", err, one.behind())
	}
}

func TestNothingIsLeftRunning(t *testing.T) {
	before := runtime.NumGoroutine()
	core := &recorder{always: accepted}
	h := open(t, Limits{}, core)
	for i := range 30 {
		d := h.connect(t, "d1")
		d.send(message("hale/v1/d1/readings", 1, uint16(i+1), "x"))
		d.expect(ack("PUBACK", i+1))
	}
	eventually(t, "one goroutine for each connection", func() bool { return runtime.NumGoroutine() <= before+8 })
	h.stop()
	if err := <-h.ended; err != nil {
		t.Fatal(err)
	}
	h.ended <- nil
	eventually(t, "no goroutine is left", func() bool { return runtime.NumGoroutine() <= before })
}
