package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"os"
	"runtime/pprof"
	"slices"
	"time"

	"hale/fault"
)

type benchCommand struct {
	Short       bool          `help:"Fewer and shorter rounds: under three minutes."`
	JSON        bool          `help:"Print the result as one JSON object."`
	Only        []string      `help:"Run these parts only: idle, throughput, latency, backlog." placeholder:"PART"`
	Data        string        `help:"Directory to work in; it is emptied afterwards (default: a new temporary one)." placeholder:"DIR"`
	Patients    int           `help:"People with one device and eight limits each." default:"2000"`
	Rounds      int           `help:"Rounds of each compared system (default 5, with --short 3)."`
	Readings    int           `help:"Readings of one round at one in a message; at twenty it is three times as many (default 1200000, with --short 400000)."`
	Rate        int           `help:"Readings a second while alerts are timed." default:"20000"`
	For         time.Duration `help:"How long alerts are timed, in each of three ways (default 60s, with --short 15s)."`
	Idle        int           `help:"Idle devices that are connected." default:"8000"`
	Backlog     int           `help:"Late readings that drain while present ones are timed (default 10000000, with --short 500000)."`
	Window      int           `help:"Messages of one device that may be unacknowledged." default:"32"`
	Connections int           `help:"Copies at once in the reference." default:"2"`
	NoInstall   bool          `help:"Do not install a missing PostgreSQL."`
	Profile     string        `help:"Write a CPU profile of Hale's side of each part to FILE.PART." placeholder:"FILE"`
}

// The parts of a bench, in the order in which they run.
const (
	partIdle       = "idle"
	partThroughput = "throughput"
	partLatency    = "latency"
	partBacklog    = "backlog"
)

// benchReport is what a bench found. Speeds are readings (or rows) a second; only ratios within one run travel to
// another machine.
type benchReport struct {
	CPUs       int               `json:"cpus"`
	GoVersion  string            `json:"go"`
	PostgreSQL string            `json:"postgresql"`
	Patients   int               `json:"patients"`
	Rules      int               `json:"rules_per_patient"`
	Sync       bool              `json:"sync_always"`
	Load       float64           `json:"load_average"` // of the last minute before it began: what else the machine did
	Idle       *idleReport       `json:"idle,omitempty"`
	Throughput *throughputReport `json:"throughput,omitempty"`
	Latency    *latencyReport    `json:"latency,omitempty"`        // people share gateways, eight each; one reading a message
	Alone      *latencyReport    `json:"latency_alone,omitempty"`  // each device has a connection of its own
	Twenty     *latencyReport    `json:"latency_twenty,omitempty"` // so has it here, and sends twenty readings a message
	Backlog    *backlogReport    `json:"backlog,omitempty"`
	Seconds    float64           `json:"seconds"`
}

// Run measures this machine and tells what it found.
func (c *benchCommand) Run(p *program) error {
	if err := c.complete(); err != nil {
		return err
	}
	start := time.Now()
	g, err := c.prepare(p)
	if err != nil {
		return err
	}
	report, err := c.measure(p, g)
	if endErr := g.end(); err == nil {
		err = endErr
	}
	if p.ctx.Err() != nil {
		return fault.New(fault.Unavailable, "interrupted; nothing was kept")
	}
	if err != nil {
		return err
	}
	report.Seconds = math.Round(time.Since(start).Seconds())
	if c.JSON {
		return json.NewEncoder(p.out).Encode(report)
	}
	return tellBench(p.out, report)
}

// complete fills in what depends on --short and refuses what cannot be.
func (c *benchCommand) complete() error {
	parts := []string{partIdle, partThroughput, partLatency, partBacklog}
	for _, name := range c.Only {
		if !slices.Contains(parts, name) {
			return fault.New(fault.Invalid, "there is no part %q; the parts are idle, throughput, latency and backlog", name)
		}
	}
	if len(c.Only) == 0 {
		c.Only = parts
		if c.Short {
			c.Only = parts[:3]
		}
	}
	choose := func(given, long, short int) int {
		switch {
		case given > 0:
			return given
		case c.Short:
			return short
		}
		return long
	}
	c.Rounds = choose(c.Rounds, 5, 3)
	c.Readings = choose(c.Readings, 1_200_000, 400_000)
	c.Backlog = choose(c.Backlog, 10_000_000, 500_000)
	c.For = time.Duration(choose(int(c.For), int(time.Minute), int(15*time.Second)))
	if c.Readings/20 < c.Patients {
		return fault.New(fault.Invalid, "--readings %d is less than one message of each of the %d people", c.Readings, c.Patients)
	}
	if c.Patients < perGateway || c.Rate < 1 || c.Idle < 1 || c.Window < 1 || c.Connections < 1 {
		return fault.New(fault.Invalid, "--patients must be at least %d, --rate, --idle, --window and --connections at least 1", perGateway)
	}
	return nil
}

func (c *benchCommand) measure(p *program, g *ground) (*benchReport, error) {
	report := &benchReport{CPUs: cpus(), GoVersion: goVersion(), PostgreSQL: g.version, Patients: c.Patients, Rules: len(g.rules), Sync: true, Load: g.load}
	var err error
	for _, part := range []struct {
		name string
		run  func() error
	}{
		{partIdle, func() error { report.Idle, err = c.idle(p.ctx, g); return err }},
		{partThroughput, func() error { report.Throughput, err = c.throughput(p.ctx, g); return err }},
		{partLatency, func() error {
			for _, shape := range []struct {
				into                 **latencyReport
				gateways, perMessage int
			}{{&report.Twenty, 0, 20}, {&report.Latency, c.gateways(), 1}, {&report.Alone, 0, 1}} {
				if *shape.into, err = c.latency(p.ctx, g, shape.gateways, shape.perMessage); err != nil {
					return err
				}
			}
			return nil
		}},
		{partBacklog, func() error { report.Backlog, err = c.backlog(p.ctx, g); return err }},
	} {
		if !slices.Contains(c.Only, part.name) {
			continue
		}
		if err := c.profiled(part.name, part.run); err != nil {
			return nil, fmt.Errorf("%s: %w", part.name, err)
		}
	}
	return report, nil
}

// profiled runs a part and writes its profile, when one is wanted.
func (c *benchCommand) profiled(name string, run func() error) error {
	if c.Profile == "" {
		return run()
	}
	f, err := os.Create(c.Profile + "." + name) //nolint:gosec // the user names the file
	if err != nil {
		return fault.Wrap(fault.Invalid, err, "--profile %s", c.Profile)
	}
	if err := pprof.StartCPUProfile(f); err != nil {
		return errors.Join(err, f.Close())
	}
	err = run()
	pprof.StopCPUProfile()
	return errors.Join(err, f.Close())
}

// workIn is the directory of a bench, and whether it was made for it.
func (c *benchCommand) workIn() (dir string, err error) {
	if c.Data == "" {
		dir, err = os.MkdirTemp("", "hale-bench-")
		if err == nil {
			err = os.Chmod(dir, 0o711) //nolint:gosec // as root the database user must pass it
		}
		return dir, fault.Wrap(fault.Unavailable, err, "make a directory to work in")
	}
	left, err := os.ReadDir(c.Data)
	switch {
	case os.IsNotExist(err):
		err = os.MkdirAll(c.Data, 0o711) //nolint:gosec // as above
	case err == nil && len(left) > 0:
		return "", fault.New(fault.Invalid, "--data %s is not empty, and it would be emptied: choose another", c.Data)
	}
	return c.Data, fault.Wrap(fault.Invalid, err, "--data %s", c.Data)
}
