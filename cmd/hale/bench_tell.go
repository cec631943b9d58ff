package main

import (
	"fmt"
	"io"
	"strings"
)

// tellBench prints a report for a person.
func tellBench(out io.Writer, r *benchReport) error {
	var b strings.Builder
	fmt.Fprintf(&b, "%d CPUs, %s, PostgreSQL %s; %d people with %d limits each; every envelope synced to disk\n\n", r.CPUs, r.GoVersion, r.PostgreSQL, r.Patients, r.Rules)
	if t := r.Throughput; t != nil {
		if t.Unsteady {
			b.WriteString("UNSTEADY: the machine did other things meanwhile; do not quote this run.\n")
		}
		fmt.Fprintf(&b, "%-34s %12s %8s\n", "from PUBLISH to commit", "per second", "ratio")
		for _, line := range []struct {
			name  string
			speed speed
		}{{"bare COPY into the same table", t.Copy}, {"readings, 1 in a message", t.One}, {"readings, 20 in a message", t.Twenty}} {
			fmt.Fprintf(&b, "%-34s %12.0f %8.2f\n", line.name, line.speed.PerSecond, line.speed.Ratio)
		}
		b.WriteByte('\n')
	}
	for _, l := range []*latencyReport{r.Twenty, r.Latency, r.Alone} {
		if l == nil {
			continue
		}
		fmt.Fprintf(&b, "At %.0f readings/s (%d asked), %d in a message, over %d connections an alert is committed after p50 %.1f ms, p99 %.1f ms, longest %.1f ms (%d alerts).\n",
			l.Reached, l.PerSecond, l.PerMessage, l.Connections, l.P50, l.P99, l.Max, l.Alerts)
		if l.Overloaded {
			b.WriteString("  NOT REACHED: these times are those of a machine that cannot keep up.\n")
		}
	}
	if i := r.Idle; i != nil {
		fmt.Fprintf(&b, "%d idle devices take %.1f KiB each.\n", i.Devices, i.KiBEach)
	}
	if l := r.Backlog; l != nil {
		fmt.Fprintf(&b, "While %d late readings drained at %.0f/s, an alert of now was committed after p50 %.1f ms, p99 %.1f ms, longest %.1f ms (%d alerts).\n",
			l.Late, l.PerSecond, l.P50, l.P99, l.Max, l.Alerts)
	}
	fmt.Fprintf(&b, "Took %.0f s. Only ratios within one run travel to another machine.\n", r.Seconds)
	_, err := io.WriteString(out, b.String())
	return err
}
