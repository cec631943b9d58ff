package bridge_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	"hale/ingest"
	"hale/ingest/bridge"
	"hale/internal/mosquitto"
	"hale/vital"
)

// gate is a disk that takes nothing before it is opened.
type gate struct {
	disk
	open chan struct{}
}

func (g *gate) Publish(ctx context.Context, partition int, lane vital.Lane, records []vital.Record) error {
	select {
	case <-g.open:
		return g.disk.Publish(ctx, partition, lane, records)
	case <-ctx.Done():
		return ctx.Err()
	}
}

var _ ingest.Publisher = (*gate)(nil)

func TestWhatIsUnderWayAtTheEndIsAcknowledgedWhenItIsDurable(t *testing.T) {
	t.Parallel()
	broker := mosquitto.New(t, keeps())
	const n = 60
	d := &gate{open: make(chan struct{})}
	limits := brisk()
	limits.DrainWithin = time.Minute
	r := start(t, d, bridge.Config{Brokers: read(t, one("a", broker.Addr)), Limits: limits})
	r.ready(t)
	vendor := publisher(t, broker)
	publish(t, vendor, 0, n)
	eventually(t, 15*time.Second, func() string {
		if s := r.States()[0]; s.Waiting != n {
			return fmt.Sprintf("%+v", s)
		}
		return ""
	})
	stopped := make(chan struct{})
	go func() {
		defer close(stopped)
		r.stop()
	}()
	// A bridge that is stopping takes no more; the broker keeps it for the next.
	next := n
	eventually(t, 15*time.Second, func() string {
		publish(t, vendor, next, next+1)
		next++
		if waiting := r.States()[0].Waiting; waiting == next || waiting == r.count(t, "received_total") {
			return "it takes messages"
		}
		return ""
	})
	select {
	case <-stopped:
		t.Error("it has left what it had received")
	default:
	}
	if got := r.count(t, "acknowledged_total"); got != 0 {
		t.Errorf("%d are acknowledged, and none is durable", got)
	}
	close(d.open)
	<-stopped
	if got := r.count(t, "acknowledged_total"); got < n {
		t.Errorf("%d of %d are acknowledged", got, n)
	}
	later := &disk{}
	again := start(t, later, bridge.Config{Brokers: read(t, one("a", broker.Addr))})
	again.ready(t)
	publish(t, vendor, 900, 901)
	eventually(t, 15*time.Second, func() string {
		if _, ties := later.held(); !ties[900] {
			return "the last message is not there"
		}
		return ""
	})
	_, ties := later.held()
	for i := range int64(n) {
		if ties[i] {
			t.Errorf("message %d was durable and came again", i)
		}
	}
}
