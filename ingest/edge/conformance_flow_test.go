package edge

import (
	"fmt"
	"io"
	"testing"
	"time"

	"github.com/eclipse/paho.mqtt.golang/packets"

	"hale/ingest"
)

// These are the tests that the table of statements in docs/wire.md names, for what flows on a connection.

func pubrel(id uint16) *packets.PubrelPacket {
	p := blank[*packets.PubrelPacket](packets.Pubrel)
	p.MessageID = id
	return p
}

func leave(id uint16, filters ...string) *packets.UnsubscribePacket {
	p := blank[*packets.UnsubscribePacket](packets.Unsubscribe)
	p.MessageID, p.Topics = id, filters
	return p
}

func again(p *packets.PublishPacket) *packets.PublishPacket {
	p.Dup = true
	return p
}

func TestAMessageIsAnsweredByItsQoS(t *testing.T) {
	t.Parallel()
	const topic = "hale/v1/d1/readings"
	type step struct {
		send   packets.ControlPacket
		answer string // empty: none
	}
	first, second := message(topic, 2, 6, "a"), message(topic, 2, 6, "b")
	cases := map[string]struct {
		steps []step
		taken []string // payloads that the core has then
	}{
		"QoS 0 is not answered": {
			[]step{{message(topic, 0, 0, "a"), ""}}, []string{"a"},
		},
		"QoS 1 is answered with its packet id": {
			[]step{{message(topic, 1, 65535, "a"), ack("PUBACK", 65535)}}, []string{"a"},
		},
		"QoS 1 with a packet id that was acknowledged is a new message": {
			[]step{{message(topic, 1, 5, "a"), ack("PUBACK", 5)}, {message(topic, 1, 5, "b"), ack("PUBACK", 5)}}, []string{"a", "b"},
		},
		"so it is when it is marked as a duplicate": {
			[]step{{message(topic, 1, 5, "a"), ack("PUBACK", 5)}, {again(message(topic, 1, 5, "b")), ack("PUBACK", 5)}}, []string{"a", "b"},
		},
		"QoS 2 is answered in two steps with its packet id": {
			[]step{{first, ack("PUBREC", 6)}, {pubrel(6), ack("PUBCOMP", 6)}}, []string{"a"},
		},
		"QoS 2 that comes again before PUBREL is answered again and handed on again": {
			[]step{{first, ack("PUBREC", 6)}, {again(message(topic, 2, 6, "a")), ack("PUBREC", 6)}, {pubrel(6), ack("PUBCOMP", 6)}},
			[]string{"a", "a"},
		},
		"a PUBREL that comes again is answered again": {
			[]step{{first, ack("PUBREC", 6)}, {pubrel(6), ack("PUBCOMP", 6)}, {pubrel(6), ack("PUBCOMP", 6)}}, []string{"a"},
		},
		"QoS 2 with a packet id that was released is a new message": {
			[]step{{first, ack("PUBREC", 6)}, {pubrel(6), ack("PUBCOMP", 6)}, {second, ack("PUBREC", 6)}, {pubrel(6), ack("PUBCOMP", 6)}},
			[]string{"a", "b"},
		},
		"acknowledgements of what we never sent are passed over": {
			[]step{
				{withID(packets.Puback, 1), ""}, {withID(packets.Pubrec, 2), ""}, {withID(packets.Pubcomp, 3), ""},
				{message(topic, 1, 4, "a"), ack("PUBACK", 4)},
			},
			[]string{"a"},
		},
		"a message of no length is a message": {
			[]step{{message(topic, 1, 4, ""), ack("PUBACK", 4)}}, []string{""},
		},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := open(t, Limits{}, &recorder{always: accepted})
			d := h.connect(t, "d1")
			for _, s := range c.steps {
				d.send(s.send)
				if s.answer != "" {
					d.expect(s.answer)
				}
			}
			d.ping() // and no other answer before it
			for i, m := range h.core.wait(t, len(c.taken)) {
				if string(m.Payload) != c.taken[i] || m.Topic != topic {
					t.Errorf("message %d is %+v, want %q", i, m.Message, c.taken[i])
				}
			}
		})
	}
}

// withID returns an acknowledgement of that kind.
func withID(kind byte, id uint16) packets.ControlPacket {
	p := packets.NewControlPacket(kind)
	switch p := p.(type) {
	case *packets.PubackPacket:
		p.MessageID = id
	case *packets.PubrecPacket:
		p.MessageID = id
	case *packets.PubcompPacket:
		p.MessageID = id
	}
	return p
}

func TestAcknowledgementsOfEveryQoSComeInReceiveOrder(t *testing.T) {
	t.Parallel()
	h := open(t, Limits{}, &recorder{})
	d := h.connect(t, "d1")
	const n = 30
	var want []string
	for id := 1; id <= n; id++ {
		qos := byte(id % 3)
		d.send(message("hale/v1/d1/readings", qos, uint16(id), fmt.Sprint(id)))
		if qos > 0 {
			want = append(want, ack(map[byte]string{1: "PUBACK", 2: "PUBREC"}[qos], id))
		}
	}
	got := h.core.wait(t, n)
	for i := range n { // durable in the wrong order
		got[n-1-i].done(ingest.Receipt{Accepted: 1})
	}
	d.expect(want...)
	for id := 2; id <= n; id += 3 {
		d.send(pubrel(uint16(id)))
	}
	for id := 2; id <= n; id += 3 {
		d.expect(ack("PUBCOMP", id))
	}
}

func TestEachFilterOfASubscribeIsAnsweredInItsOrder(t *testing.T) {
	t.Parallel()
	h := open(t, Limits{}, &recorder{})
	d := h.connect(t, "d1")
	p := blank[*packets.SubscribePacket](packets.Subscribe)
	p.MessageID = 65535
	var want []byte
	for _, f := range []struct {
		filter string
		code   byte
	}{
		{"hale/v1/d1/receipts", 0},
		{"hale/v1/d2/receipts", 0x80},
		{"hale/v1/d1/commands", 0},
		{"#", 0x80},
		{"+/v1/d1/commands", 0x80},
		{"hale/v1/d1/#", 0},
		{"$SYS/#", 0x80},
		{"hale/v1/d1/+", 0},
		{"/hale/v1/d1/receipts", 0x80},
		{"hale/v1/d1/receipts", 0}, // the same again
		{"+", 0x80},
		{"\ufeffhale/v1/d1/receipts", 0x80}, // nothing is stripped, folded or put right
		{"hale/v1/d1/receipts ", 0x80},
		{"hale/v1/D1/receipts", 0x80},
		{"hale//v1/d1/receipts", 0x80},
		{"hale/v1/d1/commands", 0},
	} {
		p.Topics, p.Qoss = append(p.Topics, f.filter), append(p.Qoss, byte(len(p.Qoss)%3))
		want = append(want, f.code)
	}
	d.send(p)
	d.readsBytes("\x90\x12\xff\xff" + string(want)) // one answer, of QoS 0 whatever was asked, and of 0x80
	d.ping()
}

func TestSubscriptionsThatOverlapBringOneCopy(t *testing.T) {
	t.Parallel()
	h := open(t, Limits{}, &recorder{})
	d := h.connect(t, "d1")
	d.subscribe(1, "hale/v1/d1/commands", "hale/v1/d1/#", "hale/v1/d1/+")
	d.expect("SUBACK: dup: false qos: 0 retain: false rLength: 5 MessageID: 1")
	d.subscribe(2, "hale/v1/d1/commands") // again: it takes the place of the first
	d.expect("SUBACK: dup: false qos: 0 retain: false rLength: 3 MessageID: 2")
	const one = "PUBLISH: dup: false qos: 0 retain: false rLength: 22 topicName: hale/v1/d1/commands MessageID: 0 payload: "
	if !h.Deliver("d1", Commands, []byte("1")) {
		t.Fatal("not delivered")
	}
	d.expect(one + "1")
	d.ping()
	d.send(leave(3, "hale/v1/d1/commands")) // both times it was asked for
	d.expect(ack("UNSUBACK", 3))
	if !h.Deliver("d1", Commands, []byte("2")) {
		t.Error("the wildcards went with the name")
	}
	d.expect(one + "2")
	d.send(leave(4, "hale/v1/d1/+", "hale/v1/d1/#"))
	d.expect(ack("UNSUBACK", 4))
	if h.Deliver("d1", Commands, nil) {
		t.Error("delivered to nobody")
	}
}

func TestAnUnsubscribeIsAlwaysAnsweredAndTakesExactlyWhatItNames(t *testing.T) {
	t.Parallel()
	cases := map[string]struct {
		filters []string
		stays   bool // the subscription to receipts
	}{
		"the filter":                            {[]string{"hale/v1/d1/receipts"}, false},
		"the filter among others":               {[]string{"a", "hale/v1/d1/receipts", "b/#"}, false},
		"the filter twice":                      {[]string{"hale/v1/d1/receipts", "hale/v1/d1/receipts"}, false},
		"a wildcard that would match it":        {[]string{"hale/v1/d1/+"}, true},
		"everything":                            {[]string{"#"}, true},
		"the filter in capitals":                {[]string{"hale/v1/d1/Receipts"}, true},
		"the filter with a slash behind":        {[]string{"hale/v1/d1/receipts/"}, true},
		"the filter with a byte order mark":     {[]string{"\ufeffhale/v1/d1/receipts"}, true},
		"another device's":                      {[]string{"hale/v1/d2/receipts"}, true},
		"a filter that was never asked for":     {[]string{"hale/v1/d1/commands"}, true},
		"a filter that was refused before":      {[]string{"$SYS/#"}, true},
		"several that were never asked for":     {[]string{"a", "b", "c"}, true},
		"the filter of a device named so far":   {[]string{"hale/v1/d11/receipts"}, true},
		"the filter as a shared one of a group": {[]string{"$share/g/hale/v1/d1/receipts"}, true},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := open(t, Limits{}, &recorder{})
			d := h.connect(t, "d1")
			d.subscribe(1, "hale/v1/d1/receipts", "$SYS/#")
			d.expect("SUBACK: dup: false qos: 0 retain: false rLength: 4 MessageID: 1")
			d.send(leave(300, c.filters...))
			d.expect(ack("UNSUBACK", 300))
			if got := h.Deliver("d1", Receipts, []byte("r")); got != c.stays {
				t.Errorf("delivered: %t, want %t", got, c.stays)
			}
			if c.stays {
				d.readsBytes("\x30\x16\x00\x13hale/v1/d1/receiptsr")
			}
			d.ping() // one answer for all of them
		})
	}
}

func TestWhatIsSentDownHasNoFlagsAndKeepsItsOrder(t *testing.T) {
	t.Parallel()
	h := open(t, Limits{}, &recorder{always: func(m ingest.Message) ingest.Receipt {
		return ingest.Receipt{Accepted: len(m.Payload), Wanted: true}
	}})
	d := h.connect(t, "d1")
	p := blank[*packets.SubscribePacket](packets.Subscribe)
	p.MessageID, p.Topics, p.Qoss = 1, []string{"hale/v1/d1/#"}, []byte{2}
	d.send(p)
	d.expect("SUBACK: dup: false qos: 0 retain: false rLength: 3 MessageID: 1")

	sent := again(message("hale/v1/d1/readings", 1, 4, "xx"))
	sent.Retain = true
	d.send(sent)
	d.expect(ack("PUBACK", 4))
	receipt := `{"topic":"hale/v1/d1/readings","accepted":2,"refused":[]}`
	d.readsBytes("\x30" + string([]byte{byte(21 + len(receipt))}) + "\x00\x13hale/v1/d1/receipts" + receipt) // no DUP, QoS, RETAIN or packet id

	const n = 200
	for i := range n {
		if !h.Deliver("d1", Commands, fmt.Appendf(nil, "%03d", i)) {
			t.Fatal("not delivered")
		}
	}
	for i := range n {
		d.readsBytes(fmt.Sprintf("\x30\x18\x00\x13hale/v1/d1/commands%03d", i))
	}
	d.quiet(50 * time.Millisecond) // what is not acknowledged is not sent again
}

func TestNothingIsRetained(t *testing.T) {
	t.Parallel()
	h := open(t, Limits{}, &recorder{always: accepted})
	d := h.connect(t, "d1")
	d.subscribe(1, "hale/v1/d1/#")
	d.expect("SUBACK: dup: false qos: 0 retain: false rLength: 3 MessageID: 1")
	n := 0
	for _, topic := range []string{"hale/v1/d1/commands", "hale/v1/d1/receipts", "hale/v1/d1/status"} {
		for qos := range byte(3) {
			for _, payload := range []string{"keep this", ""} {
				n++
				p := message(topic, qos, uint16(n), payload)
				p.Retain = true
				d.send(p)
				if qos > 0 {
					d.expect(ack(map[byte]string{1: "PUBACK", 2: "PUBREC"}[qos], n))
				}
			}
		}
	}
	d.ping()
	h.core.wait(t, n) // each was a message like any other
	for range 2 {
		d.subscribe(2, "hale/v1/d1/#", "hale/v1/d1/commands") // new to one connection, known to the other
		d.expect("SUBACK: dup: false qos: 0 retain: false rLength: 4 MessageID: 2")
		d.ping()
		_ = d.Close()
		d = h.connect(t, "d1")
	}
}

func TestNothingGoesFromDeviceToDevice(t *testing.T) {
	t.Parallel()
	h := open(t, Limits{}, &recorder{always: accepted})
	from, to := h.connect(t, "d1"), h.connect(t, "d2")
	to.subscribe(1, "hale/v1/d2/#")
	to.expect("SUBACK: dup: false qos: 0 retain: false rLength: 3 MessageID: 1")
	for id := 1; id <= 3; id++ {
		from.send(message([]string{"hale/v1/d2/commands", "hale/v1/d2/receipts", "hale/v1/d2/x"}[id-1], 1, uint16(id), "x"))
		from.expect(ack("PUBACK", id)) // taken, and kept apart by the core
	}
	to.send(message("hale/v1/d2/commands", 1, 4, "to myself"))
	to.expect(ack("PUBACK", 4))
	to.ping()
	h.core.wait(t, 4)
}

func TestADisconnectIsTheEndOfTheConnectionAndOfTheWill(t *testing.T) {
	t.Parallel()
	h := open(t, Limits{}, &recorder{always: accepted})
	d := h.connect(t, "d1", func(p *packets.ConnectPacket) {
		p.WillFlag, p.WillTopic, p.WillMessage = true, "hale/v1/d1/status", []byte("gone")
	})
	h.mu.Lock()
	one := h.sessions["d1"]
	h.mu.Unlock()
	d.write("\xe0\x00" + publishBehind + "\xc0\x00")
	d.closed() // the client may leave that to the server
	eventually(t, "the session is over", func() bool {
		one.mu.Lock()
		defer one.mu.Unlock()
		return one.finished
	})
	next := h.connect(t, "d1")
	_, _ = io.WriteString(next, "\xe0\x01x") // this is none: it breaks the protocol
	next.closed()
	h.stop()
	if err := <-h.ended; err != nil {
		t.Fatal(err)
	}
	h.ended <- nil
	h.core.wait(t, 0) // neither the will nor what came behind
}
