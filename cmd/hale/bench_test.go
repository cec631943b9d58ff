package main

import (
	"encoding/json"
	"os"
	"testing"
	"time"
)

// What a bench finds on a shared machine says nothing; that it measures what it says does.
func TestABenchMeasuresTheWholeWayAndLeavesNothingBehind(t *testing.T) {
	t.Parallel()
	dir := dataDir(t)
	p := start(t, "bench", "--json", "--no-install", "--data", dir, "--patients", "120", "--readings", "4800", "--rounds", "1", "--rate", "3000", "--for", "1s",
		"--idle", "60", "--backlog", "30000")
	select {
	case <-p.ended:
	case <-time.After(2 * time.Minute):
		t.Fatal("the bench does not end")
	}
	var r benchReport
	if err := json.Unmarshal([]byte(p.stdout.String()), &r); err != nil || !p.cmd.ProcessState.Success() {
		t.Fatalf("it said %q: %v", p.stdout.String(), err)
	}
	if r.Idle == nil || r.Throughput == nil || r.Latency == nil || r.Backlog == nil {
		t.Fatalf("a part is missing: %s", p.stdout.String())
	}
	if tp := r.Throughput; tp.Copy.Readings != 14_400 || tp.One.Readings != 4800 || tp.Twenty.Readings != 14_400 || tp.One.Ratio <= 0 || tp.Twenty.Ratio <= 0 {
		t.Errorf("throughput: %+v", tp)
	}
	for _, shape := range []struct {
		connections, perMessage int
		got                     *latencyReport
	}{{15, 1, r.Latency}, {120, 1, r.Alone}, {120, 20, r.Twenty}} {
		connections, l := shape.connections, shape.got
		if l == nil || l.PerMessage != shape.perMessage || l.Connections != connections || l.Alerts != 120 || l.P50 <= 0 || l.P99 < l.P50 || l.Max < l.P99 {
			t.Errorf("latency over %d connections: %+v", connections, l)
		}
	}
	if r.Idle.Devices != 60 || r.Rules != benchRules {
		t.Errorf("idle: %+v; %d rules", r.Idle, r.Rules)
	}
	if b := r.Backlog; b.Late != 30_000 || b.Alerts == 0 || b.Max <= 0 {
		t.Errorf("backlog: %+v", b)
	}
	if _, err := os.Stat(dir); !os.IsNotExist(err) {
		t.Errorf("its directory is left: %v", err)
	}
}

func TestABenchRefusesWhatItCannotMeasure(t *testing.T) {
	t.Parallel()
	full := dataDir(t)
	if err := os.MkdirAll(full+"/somebody's", 0o700); err != nil {
		t.Fatal(err)
	}
	for name, args := range map[string][]string{
		"a part that is not there":         {"--only", "speed"},
		"a directory with something in it": {"--data", full},
		"fewer readings than people":       {"--patients", "100", "--readings", "1000"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := start(t, append([]string{"bench"}, args...)...)
			<-p.ended
			if p.cmd.ProcessState.ExitCode() != 1 || p.stdout.String() != "" || p.stderr.String() == "" {
				t.Errorf("exit code %d, said %q %q", p.cmd.ProcessState.ExitCode(), p.stdout.String(), p.stderr.String())
			}
		})
	}
}
