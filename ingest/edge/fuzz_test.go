package edge

import (
	"bufio"
	"bytes"
	"context"
	"net"
	"testing"
	"time"

	"github.com/eclipse/paho.mqtt.golang/packets"
	"github.com/pires/go-proxyproto"
	"pgregory.net/rapid"

	"hale/devices"
)

// FuzzConnection sends anything behind a good CONNECT: whatever it is, the session ends, and everything it held is given
// back.
func FuzzConnection(f *testing.F) {
	for seed := range 30 {
		one, two := rapid.Custom(anyPacket).Example(seed), rapid.Custom(anyPacket).Example(seed+100)
		f.Add(append(encodePaho(f, one), encodePaho(f, two)...))
	}
	f.Add(encodePaho(f, message("hale/v1/d1/readings", 1, 1, string(make([]byte, 3000)))))
	f.Fuzz(func(t *testing.T, data []byte) {
		core := &recorder{always: accepted}
		registry := kit(1, "d1")
		s := New(Config{
			Snapshot: func() (*devices.Snapshot, bool) { return registry, true }, Core: core,
			Limits: Limits{Packet: 1 << 10, Drained: 1 << 20, HeldBytes: 1},
		})
		ours, theirs := net.Pipe()
		s.begin(context.Background(), context.Background())
		s.arrive(context.Background(), Listener{}, theirs)
		go func() { // reads the answers until the server hangs up
			for {
				if _, err := packets.ReadPacket(ours); err != nil {
					return
				}
			}
		}()
		stream := bytes.Join([][]byte{encodePaho(t, hello("d1")), data}, nil)
		if err := ours.SetWriteDeadline(time.Now().Add(patience)); err != nil {
			t.Fatal(err)
		}
		_, _ = ours.Write(stream) // the server may hang up in the middle
		_ = ours.Close()
		close(s.crew.dismissed)
		s.workers.Wait()
		if s.held.inUse() != 0 || s.arriving.inUse() != 0 {
			t.Error("bytes are held that nobody has")
		}
		if len(s.sessions) != 0 || len(s.live) != 0 || s.open.Load() != 0 || s.porch.active != 0 {
			t.Error("the session is not forgotten")
		}
		for _, m := range core.taken {
			if m.Device == nil || !publishable([]byte(m.Topic)) || len(m.Payload) > 4<<10 {
				t.Errorf("the core was handed %+v", m.Message)
			}
		}
	})
}

// FuzzProxyHeader reads anything as what a load balancer says first: never a byte of what comes behind it, and never more
// than its longest form.
func FuzzProxyHeader(f *testing.F) {
	f.Add([]byte("PROXY TCP4 192.0.2.7 192.0.2.1 4660 1883\r\n\x10"))
	f.Add([]byte("\r\n\r\n\x00\r\nQUIT\n\x21\x11\x00\x0c\xc0\x00\x02\x07\xc0\x00\x02\x01\x12\x34\x07\x5b\x10"))
	f.Add([]byte("\r\n\r\n\x00\r\nQUIT\n\x20\x00\x00\x00"))
	f.Fuzz(func(t *testing.T, data []byte) {
		r := bytes.NewReader(data)
		text, err := proxyHeader(r)
		if err != nil {
			return
		}
		if len(text) > proxyLongest || !bytes.Equal(data, append(bytes.Clone(text), data[len(data)-r.Len():]...)) {
			t.Fatalf("read %d bytes of %x", len(text), data)
		}
		h, err := proxyproto.Read(bufio.NewReader(bytes.NewReader(text)))
		if err == nil && h.Version == 2 && h.Command.IsProxy() && h.TransportProtocol.IsStream() && h.SourceAddr == nil {
			t.Fatalf("%x speaks for nobody", text)
		}
	})
}
