package edge

import (
	"bytes"
	"fmt"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"testing"
)

const benchReading = `{"metric":"heart_rate","value":61,"unit":"/min","time":"2026-11-21T07:25:00.250Z","seq":7}`

// signedIn returns a connection of a device, and one of its messages.
func signedIn(b *testing.B, s *Server, uid string) (conn net.Conn, publish []byte) {
	b.Helper()
	conn, err := holdOne(doorPlain, s.Addr().String(), uid)
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = conn.Close() })
	return conn, encodePaho(b, message("hale/v1/"+uid+"/readings", 1, 1, benchReading))
}

// BenchmarkPublish measures a few connections that send readings of QoS 1 as fast as they can and read the
// acknowledgements, with a core in which everything is durable at once.
func BenchmarkPublish(b *testing.B) {
	for _, count := range []int{1, 4} {
		b.Run(fmt.Sprintf("%d busy", count), func(b *testing.B) {
			s := serving(b, doorPlain, count)
			const batch = 100
			each := (b.N + batch*count - 1) / (batch * count)
			var crowd sync.WaitGroup
			var size int
			start := make(chan struct{})
			for i := range count {
				conn, one := signedIn(b, s, fmt.Sprintf("d%d", i))
				size = len(one)
				many := bytes.Repeat(one, batch)
				crowd.Go(func() {
					<-start
					for range each {
						if _, err := conn.Write(many); err != nil {
							return // the reader below sees it too
						}
					}
				})
				crowd.Go(func() {
					if _, err := io.CopyN(io.Discard, conn, int64(each*batch)*4); err != nil {
						b.Error(err)
					}
				})
			}
			b.SetBytes(int64(size))
			b.ReportAllocs()
			b.ResetTimer()
			close(start)
			crowd.Wait()
			b.StopTimer()
		})
	}
}

// BenchmarkOutstanding measures 1,000 connections that send a reading each and wait for its acknowledgement before the
// next one. What the clients need is in it too.
func BenchmarkOutstanding(b *testing.B) {
	const count = 1000
	s := serving(b, doorPlain, count)
	var left atomic.Int64
	left.Store(int64(b.N))
	var crowd sync.WaitGroup
	start := make(chan struct{})
	for i := range count {
		conn, one := signedIn(b, s, fmt.Sprintf("d%d", i))
		crowd.Go(func() {
			var ack [4]byte
			<-start
			for left.Add(-1) >= 0 {
				if _, err := conn.Write(one); err != nil {
					b.Error(err)
					return
				}
				if _, err := io.ReadFull(conn, ack[:]); err != nil {
					b.Error(err)
					return
				}
			}
		})
	}
	b.ReportAllocs()
	b.ResetTimer()
	close(start)
	crowd.Wait()
	b.StopTimer()
}
