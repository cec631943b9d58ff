package bridge_test

import (
	"fmt"
	"net"
	"sync"
	"testing"
	"time"

	"github.com/eclipse/paho.mqtt.golang/packets"
)

// vendor is somebody else's device that does what a good one does: it keeps a message until the broker has acknowledged
// it, and connects again and again. paho's publisher does not tell for sure what was acknowledged.
type vendor struct {
	addr string

	mu    sync.Mutex
	acked map[int]bool
}

// vendorWindow is how many messages it has on their way at once.
const vendorWindow = 50

// send publishes the messages [from, to) and returns when all are acknowledged.
func (v *vendor) send(t *testing.T, from, to int) {
	t.Helper()
	var missing []int
	for n := from; n < to; n++ {
		missing = append(missing, n)
	}
	for deadline := time.Now().Add(60 * time.Second); len(missing) > 0; {
		if time.Now().After(deadline) {
			t.Errorf("%d messages are not acknowledged by the broker", len(missing))
			return
		}
		if err := v.round(missing); err != nil {
			<-time.After(5 * time.Millisecond) // the broker is away
		}
		v.mu.Lock()
		rest := missing[:0]
		for _, n := range missing {
			if !v.acked[n] {
				rest = append(rest, n)
			}
		}
		missing = rest
		v.mu.Unlock()
	}
}

// round connects and sends, until all is acknowledged or the connection ends.
func (v *vendor) round(list []int) error {
	conn, err := net.DialTimeout("tcp", v.addr, time.Second) //nolint:noctx // bounded, and of a test
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close() }()
	hello := packets.NewControlPacket(packets.Connect).(*packets.ConnectPacket) //nolint:errcheck // it is one
	hello.ProtocolName, hello.ProtocolVersion, hello.ClientIdentifier, hello.CleanSession = "MQTT", 4, "vendor", true
	if err := hello.Write(conn); err != nil {
		return err
	}
	if _, err := packets.ReadPacket(conn); err != nil {
		return err
	}
	window := make(chan struct{}, vendorWindow)
	ended := make(chan error, 1)
	go func() {
		for range list {
			p, err := packets.ReadPacket(conn)
			if err != nil {
				ended <- err
				return
			}
			if ack, ok := p.(*packets.PubackPacket); ok {
				v.mu.Lock()
				v.acked[list[int(ack.MessageID)-1]] = true
				v.mu.Unlock()
				<-window
			}
		}
		ended <- nil
	}()
	for i, n := range list {
		select {
		case window <- struct{}{}:
		case err := <-ended:
			return err
		}
		p := packets.NewControlPacket(packets.Publish).(*packets.PublishPacket) //nolint:errcheck // it is one
		p.Qos, p.MessageID, p.TopicName, p.Payload = 1, uint16(i+1), fmt.Sprintf("v/s%d", n%3), []byte(payload(n))
		if err := p.Write(conn); err != nil {
			return err
		}
	}
	return <-ended
}

// count returns how many messages the broker has acknowledged.
func (v *vendor) count() int {
	v.mu.Lock()
	defer v.mu.Unlock()
	return len(v.acked)
}
