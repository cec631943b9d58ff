package edge

import (
	"math/rand/v2"
	"net"
	"testing"

	"github.com/eclipse/paho.mqtt.golang/packets"
	"github.com/google/go-cmp/cmp"
)

// TestWhatASocketTakesInPartIsSentOnce: what is written without waiting may be cut anywhere, and the rest goes with the
// writer that waits.
func TestWhatASocketTakesInPartIsSentOnce(t *testing.T) {
	t.Parallel()
	h := open(t, Limits{}, &recorder{always: accepted})
	d := h.dial(t)
	receives, ok := d.Conn.(*net.TCPConn)
	if !ok {
		t.Fatalf("a connection of type %T", d.Conn)
	}
	if err := receives.SetReadBuffer(64 << 10); err != nil {
		t.Fatal(err)
	}
	d.send(hello("d1"))
	d.expect(`CONNACK: dup: false qos: 0 retain: false rLength: 2 sessionpresent: false returncode: 0`)
	d.subscribe(1, "hale/v1/d1/commands")
	d.receive()
	sends, ok := h.session("d1").socket.(*net.TCPConn)
	if !ok {
		t.Fatal("no socket")
	}
	if err := sends.SetWriteBuffer(16 << 10); err != nil {
		t.Fatal(err)
	}
	random := rand.NewChaCha8([32]byte{1})
	payload := make([]byte, 250<<10) // more than both buffers take, although the system doubles them
	if _, err := random.Read(payload); err != nil {
		t.Fatal(err)
	}
	if !h.Deliver("d1", Commands, payload) {
		t.Fatal("it is not delivered")
	}
	d.send(packets.NewControlPacket(packets.Pingreq))
	p, ok := d.receive().(*packets.PublishPacket) // nothing has been read before
	if !ok || p.TopicName != "hale/v1/d1/commands" || !cmp.Equal(p.Payload, payload) {
		t.Fatal("what came is not what was sent")
	}
	d.expect("PINGRESP: dup: false qos: 0 retain: false rLength: 0")
	d.ping()
}
