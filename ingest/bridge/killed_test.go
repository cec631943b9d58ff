package bridge_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"hale/ingest"
	"hale/ingest/bridge"
	"hale/internal/mosquitto"
	"hale/vital"
)

// tired is a disk that takes a while for each envelope, and now and then does not take one.
type tired struct {
	disk
	takes time.Duration
}

func (d *tired) Publish(ctx context.Context, partition int, lane vital.Lane, records []vital.Record) error {
	<-time.After(d.takes)
	if rand.IntN(20) == 0 {
		return errors.New("not this time")
	}
	return d.disk.Publish(ctx, partition, lane, records)
}

// witness is a core that notes what reached the bridge.
type witness struct {
	bridge.Core
	mu   sync.Mutex
	seen map[int64]bool
}

func (w *witness) Submit(ctx context.Context, m ingest.Message, done func(ingest.Receipt)) {
	var body struct{ N int64 }
	if err := json.Unmarshal(m.Payload, &body); err == nil {
		w.mu.Lock()
		w.seen[body.N] = true
		w.mu.Unlock()
	}
	w.Core.Submit(ctx, m, done)
}

func (w *witness) all() map[int64]bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	all := map[int64]bool{}
	for n := range w.seen {
		all[n] = true
	}
	return all
}

// TestABrokerIsKilledUnderLoad holds us to our part: whatever reached us is stored once, whatever the broker promised or
// forgot. What it lost of what it had acknowledged to the devices is its own part, and is told in docs/bridge.md.
func TestABrokerIsKilledUnderLoad(t *testing.T) {
	t.Parallel()
	const kills = 2
	for name, c := range map[string]struct {
		lines     []string
		messages  int
		forgotten int // times that the broker has forgotten our session
	}{
		"saving at each change": {[]string{"persistence true", "autosave_on_changes true", "autosave_interval 1", "max_queued_messages 0", "max_inflight_messages 100"}, 900, 0},
		"saving each second":    {[]string{"persistence true", "autosave_interval 1", "max_queued_messages 0", "max_inflight_messages 100"}, 6000, 0},
		"as Debian ships it":    {[]string{"persistence true"}, 6000, kills},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			messages := c.messages
			broker := mosquitto.New(t, mosquitto.Config{Lines: c.lines})
			d := &tired{takes: time.Millisecond}
			var seen *witness
			r := startWith(t, d, bridge.Config{Brokers: read(t, one("a", broker.Addr))}, func(c bridge.Core) bridge.Core {
				seen = &witness{Core: c, seen: map[int64]bool{}}
				return seen
			})
			r.ready(t)
			if c.forgotten == 0 {
				broker.Save() // our session, which is younger than a second
			}

			v := &vendor{addr: broker.Addr, acked: map[int]bool{}}
			var load sync.WaitGroup
			load.Go(func() { v.send(t, 0, messages) })
			for i := range kills {
				eventually(t, 30*time.Second, func() string {
					if v.count() < (i+1)*messages/(kills+1) {
						return fmt.Sprintf("the broker has acknowledged %d messages", v.count())
					}
					return ""
				})
				before := r.count(t, "reconnects_total")
				broker.Kill()
				broker.Start()
				eventually(t, 20*time.Second, func() string { // or the next kill would meet a bridge that was not back yet
					if r.count(t, "reconnects_total") == before {
						return "the bridge has not noticed"
					}
					return ""
				})
				r.ready(t)
			}
			load.Wait()
			r.ready(t)
			const last = 900_000 // a broker delivers in order, so that a last message tells
			v.send(t, last, last+1)
			eventually(t, 30*time.Second, func() string {
				if _, ties := d.held(); !ties[last] || r.States()[0].Waiting > 0 {
					return fmt.Sprintf("the last message is not there: %+v; received %d, acknowledged %d, reconnects %d", r.States(), r.count(t, "received_total"), r.count(t, "acknowledged_total"), r.count(t, "reconnects_total"))
				}
				return ""
			})

			stored, ties := d.held()
			reached := seen.all()
			if stored != len(ties) {
				t.Errorf("%d readings of %d messages: some are doubled", stored, len(ties))
			}
			for n := range reached {
				if !ties[n] {
					t.Errorf("message %d reached us and is not stored", n)
				}
			}
			for n := range ties {
				if !reached[n] {
					t.Errorf("reading %d never came", n)
				}
			}
			lost := 0
			for n := range int64(messages) {
				if !ties[n] {
					lost++
				}
			}
			t.Logf("the broker acknowledged %d messages and was killed %d times; %d never reached us; %d came more than once; it forgot our session %d times",
				messages, kills, lost, d.again, r.count(t, "sessions_forgotten_total"))
			if n := r.count(t, "sessions_forgotten_total"); n != c.forgotten {
				t.Errorf("the broker has forgotten our session %d times, and we know of %d", c.forgotten, n)
			}
		})
	}
}
