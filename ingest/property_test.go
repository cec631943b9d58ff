package ingest_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"

	"pgregory.net/rapid"

	"hale/devices"
	"hale/fault"
	"hale/ingest"
	"hale/vital"
)

// drawElement draws an element that carries its number n, so that its record can be found again, and whether it is a
// reading.
func drawElement(t *rapid.T, n int) (element string, good bool) {
	beat := fmt.Sprintf(`{"seq":%d,"metric":"heart_rate","unit":"/min"`, n)
	switch rapid.SampledFrom([]string{"live", "late", "nobody's", "no time", "no value", "bad unit", "twice", "no object"}).Draw(t, "kind") {
	case "live":
		return beat + `,"value":61,"time":"2026-11-21T07:20:00Z"}`, true
	case "late":
		return beat + `,"value":61,"time":"2026-11-21T03:20:00+01:00"}`, true
	case "nobody's":
		return beat + `,"value":61,"time":"2026-11-20T18:20:00Z"}`, true
	case "no time":
		return beat + `,"value":61}`, true
	case "no value":
		return beat + `}`, false
	case "bad unit":
		return fmt.Sprintf(`{"seq":%d,"metric":"heart_rate","value":61,"unit":"mmHg"}`, n), false
	case "twice":
		return beat + `,"value":61,"value":61}`, false
	}
	return fmt.Sprintf(`"\"seq\":%d,"`, n), false
}

// chance is a publisher that takes or refuses envelopes by a drawn pattern, and keeps what it took.
type chance struct {
	mu      sync.Mutex
	pattern []bool
	n       int
	taken   map[string]int // element -> how often it is durable
	refused map[string]int
	busy    map[string]bool
	wrong   string
}

func (c *chance) Publish(_ context.Context, partition int, lane vital.Lane, records []vital.Record) error {
	place := fmt.Sprint(partition, lane)
	c.mu.Lock()
	if c.busy[place] {
		c.wrong = "two envelopes of one partition and lane at once"
	}
	c.busy[place] = true
	c.mu.Unlock()

	c.mu.Lock()
	defer c.mu.Unlock()
	c.busy[place] = false
	c.n++
	into := c.taken
	takes := c.pattern[c.n%len(c.pattern)]
	if !takes {
		into = c.refused
	}
	for _, r := range records {
		if r.Reading != nil {
			if r.Reading.Partition() != partition || r.Reading.Lane() != lane {
				c.wrong = "a reading in a lane that is not its own"
			}
			into[fmt.Sprint(r.Reading.Tie)]++
			continue
		}
		_, n, _ := strings.Cut(string(r.Refused.Raw), `seq`)
		into[strings.Trim(strings.SplitN(n, ",", 2)[0], `":\`)]++
	}
	if !takes {
		return errors.New("not taken")
	}
	return nil
}

// TestEveryElementEndsAsOneRecord submits drawn messages from several connections at once, under little room and with a
// stream that fails now and then.
func TestEveryElementEndsAsOneRecord(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		p := &chance{
			pattern: rapid.SliceOfN(rapid.Bool(), 1, 6).Draw(t, "pattern"),
			taken:   map[string]int{}, refused: map[string]int{}, busy: map[string]bool{},
		}
		core := ingest.New(ingest.Config{
			Snapshot: func() *devices.Snapshot { return registry() }, Publisher: p, Now: moment,
			MaxBytes: rapid.Int64Range(1, 4000).Draw(t, "room"),
		})
		var payloads []string
		var of [][]bool // for each message, whether its elements are good
		elements := 0
		for range rapid.IntRange(1, 12).Draw(t, "messages") {
			var list []string
			var good []bool
			for range rapid.IntRange(0, 6).Draw(t, "elements") {
				e, ok := drawElement(t, elements)
				list, good = append(list, e), append(good, ok)
				elements++
			}
			payloads, of = append(payloads, "["+strings.Join(list, ",")+"]"), append(of, good)
		}

		told := newReceipts()
		ctx, cancel := context.WithCancel(context.Background())
		var running, connections sync.WaitGroup
		running.Go(func() { _ = core.Run(ctx) })
		for first := range 3 {
			connections.Go(func() {
				for n := first; n < len(payloads); n += 3 {
					core.Submit(context.Background(), message(readings, payloads[n]), told.of(n))
				}
			})
		}
		connections.Wait()
		cancel()
		running.Wait()

		if p.wrong != "" {
			t.Fatal(p.wrong)
		}
		if core.Held() != 0 {
			t.Fatalf("%d bytes are charged at the end", core.Held())
		}
		next := 0
		for n, good := range of {
			if len(told.told[n]) != 1 {
				t.Fatalf("message %d was told %d times", n, len(told.told[n]))
			}
			r := told.told[n][0]
			if r.Err != nil && !fault.Is(r.Err, fault.Unavailable) {
				t.Fatal(r.Err)
			}
			accepted, failed := 0, 0
			for i, ok := range good {
				name := fmt.Sprint(next)
				next++
				if p.taken[name]+p.refused[name] != 1 {
					t.Fatalf("element %s was published %d times", name, p.taken[name]+p.refused[name])
				}
				failed += p.refused[name]
				if ok {
					accepted++
				} else if r.Err == nil && r.Refused[i-accepted].Index != i {
					t.Fatalf("message %d was told %+v", n, r.Refused)
				}
			}
			if (r.Err == nil) != (failed == 0) {
				t.Fatalf("message %d: %d elements are not durable, and it was told %v", n, failed, r.Err)
			}
			if r.Err == nil && (r.Accepted != accepted || len(r.Refused) != len(good)-accepted) {
				t.Fatalf("message %d was told %+v", n, r)
			}
		}
		if len(p.taken)+len(p.refused) != elements {
			t.Fatalf("%d elements became %d records", elements, len(p.taken)+len(p.refused))
		}
	})
}
