package ingest_test

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"hale/ingest"
	"hale/vital"
)

// departures notes when each envelope left and with how many records.
type departures struct {
	mu    sync.Mutex
	began time.Time
	list  []departure
}

type departure struct {
	At      time.Duration
	Records int
}

func (d *departures) Publish(_ context.Context, _ int, _ vital.Lane, records []vital.Record) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.list = append(d.list, departure{time.Since(d.began), len(records)})
	return nil
}

func TestWhoComesAloneNeverWaitsAndWhoComesOftenWaitsAMoment(t *testing.T) {
	t.Parallel()
	const millisecond = time.Millisecond
	cases := map[string]struct {
		arrive []time.Duration // of single messages
		leave  []departure
	}{
		"the first goes at once":                        {[]time.Duration{0}, []departure{{0, 1}}},
		"the next ones within a moment go together":     {[]time.Duration{0, 1 * millisecond, 2 * millisecond}, []departure{{0, 1}, {8 * millisecond, 2}}},
		"who comes after a moment goes at once":         {[]time.Duration{0, 8 * millisecond, 40 * millisecond}, []departure{{0, 1}, {8 * millisecond, 1}, {40 * millisecond, 1}}},
		"when many wait the next envelope goes at once": {make([]time.Duration, 200), nil},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				d := &departures{began: time.Now()}
				h := start(t, ingest.Config{Publisher: d})
				defer h.stop()
				for i, at := range c.arrive {
					<-time.After(at - time.Since(d.began)) // the bubble's clock
					m := message(readings, fmt.Sprintf(`{"metric":"heart_rate","value":%d,"unit":"/min","time":"2026-11-21T07:25:00Z","seq":%d}`, 60+i%30, i))
					h.core.Submit(t.Context(), m, func(ingest.Receipt) {})
					if c.leave != nil {
						synctest.Wait()
					}
				}
				<-time.After(time.Second)
				d.mu.Lock()
				defer d.mu.Unlock()
				if c.leave == nil { // how they are shared out is chance; that all have left by the first moment's end is not
					if last := d.list[len(d.list)-1]; last.At > 8*millisecond {
						t.Errorf("the last left after %s", last.At)
					}
					return
				}
				if diff := cmp.Diff(c.leave, d.list); diff != "" {
					t.Errorf("departures (-want +got):\n%s", diff)
				}
			})
		})
	}
}

func TestUnderLoadTheEnvelopesOfAllPartitionsLeaveTogether(t *testing.T) {
	t.Parallel()
	if vital.PartitionOf(uint64(anna)) == vital.PartitionOf(uint64(bruno)) {
		t.Fatal("they need two partitions")
	}
	synctest.Test(t, func(t *testing.T) {
		d := &departures{began: time.Now()}
		h := start(t, ingest.Config{Publisher: d})
		defer h.stop()
		for i, at := range []time.Duration{0, 3 * time.Millisecond, 6 * time.Millisecond, 7 * time.Millisecond} {
			<-time.After(at - time.Since(d.began))
			m := message([]string{readings, gateway}[i%2], fmt.Sprintf(`{"metric":"heart_rate","value":62,"unit":"/min","time":"2026-11-21T07:25:00Z","seq":%d}`, i))
			h.core.Submit(t.Context(), m, func(ingest.Receipt) {})
			synctest.Wait()
		}
		<-time.After(time.Second)
		d.mu.Lock()
		defer d.mu.Unlock()
		want := []departure{{0, 1}, {3 * time.Millisecond, 1}, {8 * time.Millisecond, 1}, {8 * time.Millisecond, 1}}
		if diff := cmp.Diff(want, d.list); diff != "" {
			t.Errorf("departures (-want +got):\n%s", diff)
		}
	})
}
