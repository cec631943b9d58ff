package edge

import (
	"errors"
	"fmt"
	"io"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/eclipse/paho.mqtt.golang/packets"

	"hale/ingest"
)

// costOf is what a message of that length on a device's readings is counted as.
func costOf(payload int) int { return messageCost + len("hale/v1/d1/readings") + payload }

func TestPingsAreAnsweredWhileTheEdgeHoldsAllItMay(t *testing.T) {
	t.Parallel()
	const size = 1000
	limits := Limits{Packet: 4 << 10, HeldBytes: 4 * costOf(size), Reserve: 3 * costOf(size), Beyond: 2 * costOf(size), DrainWithin: time.Second}
	h := open(t, limits, &recorder{})
	first, second := h.connect(t, "d1"), h.connect(t, "d2")
	for id := 1; id <= 4; id++ {
		first.send(message("hale/v1/d1/readings", 1, uint16(id), strings.Repeat("x", size)))
	}
	h.core.wait(t, 4)
	for id := 1; id <= 4; id++ { // the last one is beyond its reserve
		second.send(message("hale/v1/d2/readings", 1, uint16(id), strings.Repeat("y", size)))
		second.ping()
	}
	first.ping()
	if got := h.core.wait(t, 4); h.held.inUse() > h.limits.HeldBytes {
		t.Errorf("%d bytes are held of %d messages", h.held.inUse(), len(got))
	}
	second.send(message("hale/v1/d2/readings", 1, 5, strings.Repeat("y", size)), packets.NewControlPacket(packets.Pingreq))
	second.quiet(50 * time.Millisecond) // another one beyond its reserve: nothing behind it is read
	for _, m := range h.core.wait(t, 4) {
		m.done(ingest.Receipt{})
	}
	first.expect(ack("PUBACK", 1), ack("PUBACK", 2), ack("PUBACK", 3), ack("PUBACK", 4))
	second.expect("PINGRESP: dup: false qos: 0 retain: false rLength: 0")
	for i, m := range h.core.wait(t, 8)[4:] {
		m.done(ingest.Receipt{})
		second.expect(ack("PUBACK", i+1))
	}
	h.core.wait(t, 9)[8].done(ingest.Receipt{})
	second.expect(ack("PUBACK", 5))
	eventually(t, "all bytes are given back", func() bool { return h.held.inUse() == 0 && h.beyond.inUse() == 0 })
}

func TestAPingBehindALargeMessageIsAnsweredWhileTheEdgeHoldsAllItMay(t *testing.T) {
	t.Parallel()
	for name, size := range map[string]int{"larger than the reserve": 10 << 10, "larger than a buffer": 100 << 10} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			limits := Limits{HeldBytes: 300 << 10, Beyond: costOf(size), DrainWithin: time.Second}
			h := open(t, limits, &recorder{})
			first, second, third := h.connect(t, "d1"), h.connect(t, "d2"), h.connect(t, "d3")
			filling := 0
			for ; (filling+1)*costOf(40<<10) <= h.limits.HeldBytes; filling++ {
				first.send(message("hale/v1/d1/readings", 1, uint16(filling+1), strings.Repeat("x", 40<<10)))
			}
			rest := h.limits.HeldBytes - filling*costOf(40<<10) - costOf(0)
			first.send(message("hale/v1/d1/readings", 1, 999, strings.Repeat("x", rest)))
			got := h.core.wait(t, filling+1)
			second.send(message("hale/v1/d2/readings", 1, 1, strings.Repeat("y", size)))
			second.ping()
			third.send(message("hale/v1/d3/readings", 1, 1, strings.Repeat("y", size)), packets.NewControlPacket(packets.Pingreq))
			third.quiet(50 * time.Millisecond) // what may go beyond the reserves is used up
			for _, m := range got {
				m.done(ingest.Receipt{})
			}
			for _, m := range h.core.wait(t, filling+3)[filling+1:] {
				m.done(ingest.Receipt{})
			}
			second.expect(ack("PUBACK", 1))
			if a, b := third.receive().String(), third.receive().String(); a != ack("PUBACK", 1) && b != ack("PUBACK", 1) {
				t.Errorf("received %q and %q", a, b)
			}
			eventually(t, "all bytes are given back", func() bool { return h.held.inUse() == 0 && h.beyond.inUse() == 0 })
		})
	}
}

func TestNoDeviceStarvesWhenTheEdgeHoldsAllItMay(t *testing.T) {
	t.Parallel()
	const room, greed, others = 10, 400, 5
	uids := []string{"greedy"}
	for i := range others {
		uids = append(uids, fmt.Sprintf("modest%d", i))
	}
	cost := messageCost + len("hale/v1/modest0/readings") + 1
	h := open(t, Limits{Packet: 1 << 10, HeldBytes: max(room*cost, 1<<10+maxTopic+messageCost), DrainWithin: time.Second}, &recorder{})
	h.registry.Store(kit(2, uids...))
	greedy := h.connect(t, "greedy")
	for id := 1; id <= greed; id++ {
		greedy.send(message("hale/v1/greedy/readings", 1, uint16(id), "x"))
	}
	one := h.session("greedy")
	eventually(t, "the edge is full, and so is what one device may have in line", func() bool {
		one.mu.Lock()
		defer one.mu.Unlock()
		return one.unheld > h.limits.Reserve
	})
	line := func() int { h.held.mu.Lock(); defer h.held.mu.Unlock(); return h.held.line.Len() }
	before := line()
	for _, uid := range uids[1:] {
		h.connect(t, uid).send(message("hale/v1/"+uid+"/readings", 1, 1, "x"))
	}
	eventually(t, "all stand in line", func() bool { return line() >= before+others })
	// One place after the other becomes free. Whoever has waited is next: those who were before, and some whose goroutine is
	// a little faster.
	settled := 0
	for most := before + others + room + greed/3; ; settled++ {
		served := 0
		h.core.mu.Lock()
		for _, m := range h.core.taken {
			if m.Device.UID != "greedy" {
				served++
			}
		}
		h.core.mu.Unlock()
		if served == others {
			break
		}
		if settled > most {
			t.Fatalf("after %d messages of a greedy device only %d others had their turn", settled, served)
		}
		eventually(t, "another message", func() bool { return h.core.count() > settled })
		h.core.mu.Lock()
		m := h.core.taken[settled]
		h.core.mu.Unlock()
		m.done(ingest.Receipt{})
	}
}

func TestLargeMessagesThatCreepInHoldUpNobody(t *testing.T) {
	t.Parallel()
	const large = 100 << 10
	h := open(t, Limits{HeldBytes: 600 << 10}, &recorder{always: accepted})
	uids := []string{"d1", "d2", "d3"}
	for i := range 8 {
		uids = append(uids, fmt.Sprintf("creep%d", i))
	}
	h.registry.Store(kit(2, append(uids, "good")...))
	for _, uid := range uids {
		d := h.connect(t, uid)
		d.write(string(appendHeader(nil, typePublish, 2, large)) + "\x00\x13hale/v1/d1/readings\x00\x01{")
	}
	eventually(t, "they have begun", func() bool {
		h.arriving.mu.Lock()
		defer h.arriving.mu.Unlock()
		return h.arriving.used+h.arriving.line.Len()*large >= len(uids)*large
	})
	good := h.connect(t, "good")
	for id := 1; id <= 50; id++ {
		good.send(message("hale/v1/good/readings", 1, uint16(id), strings.Repeat("x", 4000)))
		good.expect(ack("PUBACK", id))
	}
	if n := h.held.inUse(); n > h.limits.HeldBytes*6/10 || n < large {
		t.Errorf("messages that have not arrived hold %d of %d bytes", n, h.limits.HeldBytes)
	}
	for uid := range h.registry.Load().Devices {
		if one := h.session(uid); one != nil {
			_ = one.socket.Close()
		}
	}
	eventually(t, "all is given back", func() bool { return h.held.inUse() == 0 && h.arriving.inUse() == 0 })
}

func TestMessagesThatHaveOnlyBegunHoldUpNobody(t *testing.T) {
	t.Parallel()
	cases := map[string]struct{ length, came int }{
		"as large as a buffer, and only the head": {16_300, 0},
		"as large as a buffer, and a part":        {16_300, 9_000},
		"too large to take":                       {300 << 10, 100},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			const count = 160
			h := open(t, Limits{HeldBytes: 600 << 10}, &recorder{always: accepted})
			uids := []string{"d1"}
			for i := range count {
				uids = append(uids, fmt.Sprintf("half%d", i))
			}
			h.registry.Store(kit(2, uids...))
			for _, uid := range uids[1:] {
				d := h.connect(t, uid)
				d.ping()
				d.write(string(appendHeader(nil, typePublish, 2, c.length)) + "\x00\x13hale/v1/d1/readings\x00\x01" + strings.Repeat("x", c.came))
			}
			good := h.connect(t, "d1")
			for id := 1; id <= 50; id++ {
				good.send(message("hale/v1/d1/readings", 1, uint16(id), strings.Repeat("x", 16_000)))
				good.expect(ack("PUBACK", id))
			}
			if n := h.held.inUse(); n > h.limits.HeldBytes/2 {
				t.Errorf("messages that have only begun hold %d of %d bytes", n, h.limits.HeldBytes)
			}
			h.stop()
			eventually(t, "all is given back", func() bool { return h.held.inUse() == 0 && h.arriving.inUse() == 0 })
		})
	}
}

func TestWhoConnectsAgainAndAgainFillsNothing(t *testing.T) {
	t.Parallel()
	const size = 1000
	h := open(t, Limits{Packet: 4 << 10, HeldBytes: 4 * costOf(size), Window: 2, DrainWithin: time.Second}, &recorder{})
	first := h.connect(t, "d1")
	for id := 1; id <= 6; id++ {
		first.send(message("hale/v1/d1/readings", 1, uint16(id), strings.Repeat("x", size)))
	}
	h.core.wait(t, 2)
	for range 30 {
		d := h.connect(t, "d2")
		for id := 1; id <= 5; id++ {
			d.send(message("hale/v1/d2/readings", 1, uint16(id), strings.Repeat("y", size)))
		}
		d.ping()
	}
	eventually(t, "the sessions before are over", func() bool {
		h.mu.Lock()
		defer h.mu.Unlock()
		return len(h.live) == 2
	})
	h.held.mu.Lock()
	line, used := h.held.line.Len(), h.held.used
	h.held.mu.Unlock()
	if line > 10 || used > h.limits.HeldBytes {
		t.Errorf("%d messages stand in line and %d bytes are held", line, used)
	}
}

func TestABudgetServesInTurn(t *testing.T) {
	t.Parallel()
	b := &budget{size: 10}
	order := ""
	want := func(name string, bytes int) *claim {
		return &claim{bytes: bytes, granted: func() { order += name }}
	}
	if !b.try(6) || !b.take(want("at once", 4)) || b.try(1) {
		t.Fatal("the room is not what it should be")
	}
	large, small, gone := want("l", 8), want("s", 1), want("g", 1)
	if b.take(large) || b.take(gone) || b.take(small) {
		t.Fatal("granted without room")
	}
	b.give(4)
	if order != "" || b.try(1) {
		t.Fatalf("%q overtook a larger one", order)
	}
	if !b.leave(gone) || b.leave(gone) {
		t.Error("who leaves the line is not out of it")
	}
	b.give(6)
	if order != "ls" || b.inUse() != 9 || b.leave(large) {
		t.Errorf("granted %q, in use %d", order, b.inUse())
	}
	huge := want("h", 9)
	next := want("n", 1)
	if b.take(huge) || b.take(next) || !b.leave(huge) || order != "lsn" {
		t.Errorf("granted %q when the one before has left", order)
	}
}

func TestQoS2AcrossConnectionsAndTLS(t *testing.T) {
	t.Parallel()
	h := openDoors(t, Limits{}, &recorder{}, Listener{}, Listener{TLS: selfSigned(t)})
	release := blank[*packets.PubrelPacket](packets.Pubrel)
	release.MessageID = 7
	first := h.secure(t, "d1")
	first.send(message("hale/v1/d1/readings", 2, 7, "x"))
	got := h.core.wait(t, 1)[0]
	first.ping() // no PUBREC before it is durable
	got.done(ingest.Receipt{Accepted: 1})
	first.expect(ack("PUBREC", 7))
	_ = first.Close() // before its PUBREL
	second := h.connect(t, "d1")
	second.send(release)
	second.expect(ack("PUBCOMP", 7))
	third := h.secure(t, "d1")
	third.send(release, message("hale/v1/d1/readings", 2, 7, "y"))
	third.expect(ack("PUBCOMP", 7))
	h.core.wait(t, 2)[1].done(ingest.Receipt{Err: errors.New("the disk is away")})
	_ = third.SetReadDeadline(time.Now().Add(patience))
	if rest, _ := io.ReadAll(third); len(rest) > 0 {
		t.Errorf("received %x of a message that is not durable", rest)
	}
}

func TestWhoCreepsIsHungUpOn(t *testing.T) {
	t.Parallel()
	h := openDoors(t, Limits{ConnectWithin: 300 * time.Millisecond, ChunkWithin: 300 * time.Millisecond}, &recorder{always: accepted}, Listener{}, Listener{TLS: selfSigned(t)})
	publish := string(encodePaho(t, message("hale/v1/d1/readings", 1, 1, strings.Repeat("x", 20_000))))
	doors := map[string]func(t *testing.T, uid string) raw{doorPlain: h.connectAs, doorTLS: func(t *testing.T, uid string) raw { t.Helper(); return h.secure(t, uid) }}
	creep := func(t *testing.T, d raw, data string) {
		t.Helper()
		began := time.Now()
		tick := time.NewTicker(20 * time.Millisecond)
		defer tick.Stop()
		for _, b := range []byte(data) {
			if _, err := d.Write([]byte{b}); err != nil {
				break
			}
			<-tick.C
		}
		d.closed()
		if after := time.Since(began); after > 3*time.Second {
			t.Errorf("it took %v", after)
		}
	}
	t.Run("a CONNECT byte by byte", func(t *testing.T) {
		t.Parallel()
		creep(t, h.dial(t), string(encodePaho(t, hello("d1"))))
	})
	t.Run("TLS byte by byte", func(t *testing.T) {
		t.Parallel()
		creep(t, h.dialDoor(t, 1), "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"+strings.Repeat("x", 500))
	})
	for i, kind := range []string{doorPlain, doorTLS} {
		t.Run("a PUBLISH byte by byte, "+kind, func(t *testing.T) {
			t.Parallel()
			creep(t, doors[kind](t, fmt.Sprintf("d%d", i+1)), publish[:400])
		})
		t.Run("a header that promises 256 MiB, "+kind, func(t *testing.T) {
			t.Parallel()
			one := openDoors(t, Limits{}, &recorder{}, Listener{}, Listener{TLS: selfSigned(t)})
			var d raw
			if kind == doorTLS {
				d = one.secure(t, "d1")
			} else {
				d = one.connect(t, "d1")
			}
			d.write("\x30\xff\xff\xff\x7f")
			d.closed()
		})
	}
}

func (h *house) connectAs(t *testing.T, uid string) raw {
	t.Helper()
	return h.connect(t, uid)
}

// TestIdleConnectionsCostLittle is not parallel: it looks at the memory of the whole process, in which the clients are too.
func TestIdleConnectionsCostLittle(t *testing.T) {
	cases := map[string]int{doorPlain: 14 << 10, doorTLS: 26 << 10} // both ends; with a buffer at each it would be 16 KiB more
	for kind, most := range cases {
		const count = 200
		uids := make([]string, count)
		for i := range uids {
			uids[i] = fmt.Sprintf("d%d", i)
		}
		h := openDoors(t, Limits{}, &recorder{always: accepted, forget: true}, Listener{}, Listener{TLS: selfSigned(t)})
		h.registry.Store(kit(2, uids...))
		before := inUse()
		for _, uid := range uids {
			var d raw
			if kind == doorTLS {
				d = h.secure(t, uid)
			} else {
				d = h.connect(t, uid)
			}
			for id, topic := range []string{"/readings", "/" + strings.Repeat("long", 50)} {
				d.send(message("hale/v1/"+uid+topic, 1, uint16(id+1), strings.Repeat("x", 3000)))
				d.expect(ack("PUBACK", id+1))
			}
			// One that fills what is waited with to the last byte, which looks as if more came.
			exact := message("hale/v1/"+uid+"/readings", 1, 3, "")
			exact.Payload = make([]byte, inflowWait-len(encodePaho(t, exact)))
			d.send(exact)
			d.expect(ack("PUBACK", 3))
			if kind == doorPlain {
				d.write("\x30\x80") // the beginning of a header, which is kept without a buffer
			}
		}
		if each := (inUse() - before) / count; each > most {
			t.Errorf("an idle connection (%s) costs %d bytes, want %d at most", kind, each, most)
		}
	}
}

func inUse() int {
	var m runtime.MemStats
	for range 3 { // what a pool holds goes with the second
		runtime.GC()
	}
	runtime.ReadMemStats(&m)
	return int(m.HeapAlloc + m.StackInuse)
}
