package edge

import (
	"bytes"
	"context"
	"io"
	"net"
	"testing"

	"hale/devices"
)

// BenchmarkPublish measures one connection that sends readings of QoS 1 as fast as it can and reads the
// acknowledgements, with a core in which everything is durable at once.
func BenchmarkPublish(b *testing.B) {
	registry := kit(1, "d1")
	s := New(Config{
		Addr: "127.0.0.1:0", Core: &recorder{always: accepted, forget: true},
		Snapshot: func() (*devices.Snapshot, bool) { return registry, true },
	})
	ctx, stop := context.WithCancel(b.Context())
	if err := s.Listen(ctx); err != nil {
		b.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- s.Run(ctx) }()
	var dialer net.Dialer
	conn, err := dialer.DialContext(ctx, "tcp", s.Addr().String())
	if err != nil {
		b.Fatal(err)
	}
	if _, err := conn.Write(encodePaho(b, hello("d1"))); err != nil {
		b.Fatal(err)
	}
	one := encodePaho(b, message("hale/v1/d1/readings", 1, 1, `{"metric":"heart_rate","value":61,"unit":"/min","time":"2026-11-21T07:25:00.250Z","seq":7}`))
	const batch = 100
	many := bytes.Repeat(one, batch)
	b.SetBytes(int64(len(one)))
	b.ReportAllocs()
	b.ResetTimer()
	go func() {
		for range (b.N + batch - 1) / batch {
			if _, err := conn.Write(many); err != nil {
				return // the reader below sees it too
			}
		}
	}()
	if _, err := io.CopyN(io.Discard, conn, 4+int64((b.N+batch-1)/batch*batch)*4); err != nil {
		b.Fatal(err)
	}
	b.StopTimer()
	_ = conn.Close()
	stop()
	if err := <-ended; err != nil {
		b.Fatal(err)
	}
}
