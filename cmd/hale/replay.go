package main

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"sort"
	"strings"

	"github.com/schollz/progressbar/v3"

	"hale/fault"
	"hale/simulators"
)

type replayCommand struct {
	Dir string `arg:"" help:"Folder in the layout of the TIHM data set (Physiology.csv, Demographics.csv, Labels.csv)." type:"existingdir"`
	target
	Limits string  `help:"JSON file of limits that every replayed person gets as their own." placeholder:"FILE" type:"existingfile"`
	Rate   float64 `help:"Messages a second over all devices; 0 is as fast as they are taken." default:"0"`
	Score  bool    `help:"Compare the alerts with the labels."`
	JSON   bool    `help:"Print the result as one JSON object."`
}

// Run replays the recording against a running Hale.
func (c *replayCommand) Run(p *program) error {
	rec, err := simulators.ReadTIHM(c.Dir)
	if err != nil {
		return fault.Wrap(fault.Invalid, err, "cannot replay %s", c.Dir)
	}
	if err := c.find(p, "replay-devices.json"); err != nil {
		return err
	}
	r := &simulators.Replay{MQTT: c.MQTT, Credentials: c.Credentials, Rate: c.Rate, Progress: progress(p)}
	if c.Limits != "" {
		if r.Limits, err = simulators.ReadLimits(c.Limits); err != nil {
			return fault.Wrap(fault.Invalid, err, "cannot use these limits")
		}
	}
	if r.Staff, r.Trust, err = c.signIn(p); err != nil {
		return err
	}
	res, err := r.Run(p.ctx, rec, c.Score)
	if err != nil {
		return fault.Wrap(fault.Unavailable, err, "the replay stopped")
	}
	if c.JSON {
		return json.NewEncoder(p.out).Encode(res)
	}
	return tellReplay(p, res)
}

// terminal reports whether somebody watches: a bar that redraws itself is noise in a file.
func terminal(w io.Writer) bool {
	f, ok := w.(*os.File)
	if !ok {
		return false
	}
	info, err := f.Stat()
	return err == nil && info.Mode()&os.ModeCharDevice != 0
}

// progress shows one bar per step on standard error, or one line per step where nobody watches.
func progress(p *program) func(step string, done, total int) {
	var bar *progressbar.ProgressBar
	current := ""
	names := map[string]string{"enrol": "enrolling people", "live": "living their past", "connect": "connecting devices", "past": "sending the past", "send": "sending readings", "settle": "waiting for the record", "collect": "reading alerts"}
	if !terminal(p.err) {
		return func(step string, _, total int) {
			if step != current {
				current = step
				fmt.Fprintf(p.err, "%s: %d\n", names[step], total)
			}
		}
	}
	return func(step string, done, total int) {
		if step != current {
			current = step
			bar = progressbar.NewOptions(total, progressbar.OptionSetWriter(p.err), progressbar.OptionSetDescription(fmt.Sprintf("%-24s", names[step])),
				progressbar.OptionShowCount(), progressbar.OptionSetWidth(30), progressbar.OptionThrottle(100_000_000), progressbar.OptionOnCompletion(func() { fmt.Fprintln(p.err) }))
		}
		_ = bar.Set(done) // a bar that cannot be drawn is no reason to stop
	}
}

func tellReplay(p *program, r *simulators.ReplayResult) error {
	var b strings.Builder
	fmt.Fprintf(&b, "%d rows sent as %d messages in %.1f s, every one acknowledged\n", r.Rows, r.Messages, r.Seconds)
	fmt.Fprintf(&b, "stored %d (%d new)   quarantined %d (%d new)   waiting for an owner %d\n", r.Stored, r.NewStored, total(r.Quarantined), r.NewRefused, r.Parked)
	for _, reason := range sortedKeys(r.Quarantined) {
		fmt.Fprintf(&b, "  quarantined as %s: %d\n", reason, r.Quarantined[reason])
	}
	fmt.Fprintf(&b, "alerts %d (%d new)\n", r.Alerts, r.NewAlerts)
	if r.Score != nil {
		fmt.Fprintf(&b, "\n%-18s %9s %9s %9s %8s %10s\n", "label", "labelled", "hit", "alert", "recall", "precision")
		for _, s := range r.Score.Types {
			fmt.Fprintf(&b, "%-18s %9d %9d %9d %8s %10s\n", s.Type, s.LabelledDays, s.HitDays, s.AlertDays, share(s.Recall), share(s.Precision))
		}
		if l := r.Score.Latency; l != nil {
			fmt.Fprintf(&b, "\nfrom PUBACK to the alert on the API, %d readings: p50 %.0f ms, p99 %.0f ms, longest %.0f ms\n", l.Count, l.P50ms, l.P99ms, l.MaxMs)
		} else {
			fmt.Fprintf(&b, "\nno reading of this run caused or joined an alert: there is no latency to tell\n")
		}
	}
	_, err := fmt.Fprint(p.out, b.String())
	return err
}

func share(v *float64) string {
	if v == nil {
		return "-"
	}
	return fmt.Sprintf("%.3f", *v)
}

func total(m map[string]int) int {
	n := 0
	for _, v := range m {
		n += v
	}
	return n
}

func sortedKeys(m map[string]int) []string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	sort.Strings(keys)
	return keys
}
