package edge

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"hale/ingest"
)

// tally is a core that takes every reading it can, remembers their sequence numbers, and hangs up now and then without
// acknowledging.
type tally struct {
	t *testing.T

	mu       sync.Mutex
	messages int
	taken    map[int64]string // what was measured, by sequence number
	clocks   int
}

func (c *tally) take(m ingest.Message) ingest.Receipt {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.messages++; c.messages%20 == 10 {
		return ingest.Receipt{Err: context.DeadlineExceeded}
	}
	switch m.Topic {
	case "hale/v1/d1/status":
		var status struct{ Clock time.Time }
		if err := json.Unmarshal(m.Payload, &status); err != nil || time.Since(status.Clock).Abs() > time.Minute {
			c.t.Errorf("a status that does not say what the clock shows: %s %v", m.Payload, err)
		}
		c.clocks++
		return ingest.Receipt{}
	case "hale/v1/d1/readings":
	default:
		c.t.Errorf("a message to %s", m.Topic)
	}
	var readings []struct {
		Seq    int64
		Metric string
		Value  json.Number
		Unit   string
		Time   time.Time
	}
	if err := json.Unmarshal(m.Payload, &readings); err != nil {
		c.t.Errorf("%s: %v", m.Payload, err)
	}
	for _, r := range readings {
		what := r.Metric + " " + r.Value.String() + " " + r.Unit + " " + r.Time.Format(time.RFC3339Nano)
		if before, again := c.taken[r.Seq]; again && before != what {
			c.t.Errorf("reading %d came as %q and as %q", r.Seq, before, what)
		}
		c.taken[r.Seq] = what
	}
	return ingest.Receipt{Accepted: len(readings)}
}

func (c *tally) count() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.taken)
}

// missing are the sequence numbers below the newest that have not come.
func (c *tally) missing() []int64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	var list []int64
	for seq, found := int64(1), 0; found < len(c.taken); seq++ {
		if _, ok := c.taken[seq]; ok {
			found++
		} else {
			list = append(list, seq)
		}
	}
	return list
}

// sound fails when something came otherwise than it was measured.
func (c *tally) sound() {
	c.t.Helper()
	missing := c.missing()
	c.mu.Lock()
	defer c.mu.Unlock()
	for seq, what := range c.taken {
		if seq < 1 || !strings.HasPrefix(what, "heart_rate ") || !strings.Contains(what, " /min ") {
			c.t.Errorf("reading %d of %d: %q", seq, len(c.taken), what)
		}
	}
	if c.clocks == 0 {
		c.t.Error("nobody said what the clock shows")
	}
	c.t.Logf("%d readings in %d messages, %d of them statuses; missing %v", len(c.taken), c.messages, c.clocks, missing)
}

// TestTheSamplesLoseNothing runs the samples for device makers as they stand: the edge hangs up now and then without
// acknowledging, the programs are killed and started again, and every number arrives. The one for computers speaks plain MQTT
// here, the one for microcontrollers TLS; that one runs in CPython, for want of a board.
func TestTheSamplesLoseNothing(t *testing.T) {
	t.Parallel()
	python := interpreter(t)
	for name, start := range map[string]func(life context.Context, t *testing.T, doors []Listener, dir string) *exec.Cmd{
		"python": func(life context.Context, t *testing.T, doors []Listener, dir string) *exec.Cmd {
			t.Helper()
			cmd := exec.CommandContext(life, python, sample(t, "python/device.py"))
			cmd.Dir, cmd.Env = dir, append(os.Environ(), "DEVICE=d1", "SECRET="+secret, "HALE="+doors[0].Addr().String())
			cmd.Stdin = numbers(life)
			return cmd
		},
		"microcontroller": func(life context.Context, t *testing.T, doors []Listener, dir string) *exec.Cmd {
			t.Helper()
			_, port, _ := net.SplitHostPort(doors[1].Addr().String())
			write(t, filepath.Join(dir, "config.json"), `{"host":"localhost","port":`+port+`,"uid":"d1","secret":"`+secret+`","ca":"ca.der"}`)
			write(t, filepath.Join(dir, "sensor.py"), "import time\ndef measure():\n    time.sleep(0.02)\n    return 61\n")
			cmd := exec.CommandContext(life, python, "-c", "import sys; sys.path[:0] = ['.', sys.argv[1]]; import main; main.main()", filepath.Dir(sample(t, "microcontroller/main.py")))
			cmd.Dir, cmd.Env = dir, append(os.Environ(), "PYTHONDONTWRITEBYTECODE=1")
			return cmd
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			core := &tally{t: t, taken: map[int64]string{}}
			defer core.sound()
			var spent []int64 // numbers on what was never written
			config := selfSigned(t)
			doors := []Listener{{}, {TLS: config}}
			openDoors(t, Limits{WrongSecretFor: time.Millisecond}, &recorder{forget: true, always: core.take}, doors...)
			dir := t.TempDir()
			write(t, filepath.Join(dir, "ca.der"), string(config.Certificates[0].Certificate[0]))
			for life := 1; life <= 3; life++ {
				ctx, kill := context.WithCancel(t.Context())
				cmd := start(ctx, t, doors, dir)
				cmd.Stderr = os.Stderr
				if err := cmd.Start(); err != nil {
					kill()
					t.Fatal(err)
				}
				eventuallyWithin(t, time.Minute, strconv.Itoa(40*life)+" readings", func() bool { return core.count() >= 40*life })
				if life == 3 { // the newest go first, so the older ones may still be on their way
					eventuallyWithin(t, time.Minute, "what was measured before", func() bool {
						return !slices.ContainsFunc(core.missing(), func(seq int64) bool { return !slices.Contains(spent, seq) })
					})
				}
				kill()
				_ = cmd.Wait() // killed
				spent = append(spent, unwritten(dir)...)
			}
		})
	}
}

// unwritten is the newest number of a microcontroller that was killed after it had counted the reading and before it had written it.
// The other sample counts in its database, where there is nothing between the two.
func unwritten(dir string) []int64 {
	var newest int64
	for _, name := range []string{"count.a", "count.b"} {
		count, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil {
			continue
		}
		if n, err := strconv.ParseInt(strings.Split(string(count), " ")[0], 10, 64); err == nil {
			newest = max(newest, n)
		}
	}
	files, _ := filepath.Glob(filepath.Join(dir, "box", "*"))
	for _, file := range files {
		if text, err := os.ReadFile(file); err == nil && strings.Contains(string(text), fmt.Sprintf(`"seq": %d}`, newest)) {
			return nil
		}
	}
	return []int64{newest} // or it has come
}

// numbers is what a sensor might measure, one number every 20 ms, until ctx ends.
func numbers(ctx context.Context) io.Reader {
	r, w := io.Pipe()
	go func() {
		defer func() { _ = w.Close() }()
		tick := time.NewTicker(20 * time.Millisecond)
		defer tick.Stop()
		for n := 0; ; n++ {
			select {
			case <-ctx.Done():
				return
			case <-tick.C:
			}
			if _, err := io.WriteString(w, strconv.Itoa(60+n%40)+"\n"); err != nil {
				return
			}
		}
	}()
	return r
}

// sample returns the path of a sample.
func sample(t *testing.T, name string) string {
	t.Helper()
	path, err := filepath.Abs(filepath.Join("../../samples", name))
	if err != nil {
		t.Fatal(err)
	}
	return path
}

func write(t *testing.T, file, text string) {
	t.Helper()
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

// interpreter returns a Python that has paho-mqtt.
func interpreter(t *testing.T) string {
	t.Helper()
	for _, python := range []string{"python3", "/usr/bin/python3"} {
		if exec.CommandContext(t.Context(), python, "-c", "import paho.mqtt.client").Run() == nil {
			return python
		}
	}
	t.Fatal("Python 3 with paho-mqtt is missing: apt-get install python3-paho-mqtt, or pip install paho-mqtt")
	return ""
}
