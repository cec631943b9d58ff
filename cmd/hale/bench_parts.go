package main

import (
	"context"
	"math"
	"runtime/debug"
	"slices"
	"sync"
	"time"

	"hale/alerts"
	"hale/fault"
	"hale/simulators"
	"hale/vital"
)

// idleReport is what connected devices cost that say nothing.
type idleReport struct {
	Devices   int     `json:"devices"`
	BeforeMiB float64 `json:"before_mib"`
	AfterMiB  float64 `json:"after_mib"`
	KiBEach   float64 `json:"kib_each"`
}

// settleFor is how long memory is left alone before it is read.
const settleFor = 3 * time.Second

func (c *benchCommand) idle(ctx context.Context, g *ground) (*idleReport, error) {
	g.say("connecting %d idle devices", c.Idle)
	debug.FreeOSMemory()
	before, err := resident()
	if err != nil {
		return nil, err
	}
	load, err := g.generate(ctx, simulators.LoadSpec{Kind: simulators.LoadIdle, Prefix: benchIdle, Devices: c.Idle})
	if err != nil {
		return nil, err
	}
	if _, err := load.run(); err != nil {
		return nil, err
	}
	if err := pause(ctx, settleFor); err != nil {
		return nil, err
	}
	after, err := resident() // with whatever garbage connecting has left
	if err != nil {
		return nil, err
	}
	r := &idleReport{Devices: c.Idle, BeforeMiB: mib(before), AfterMiB: mib(after), KiBEach: tenth(float64(after-before) / 1024 / float64(c.Idle))}
	g.say("%.1f KiB each", r.KiBEach)
	return r, load.end()
}

func pause(ctx context.Context, d time.Duration) error {
	select {
	case <-time.After(d):
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func mib(bytes int64) float64      { return tenth(float64(bytes) / (1 << 20)) }
func tenth(v float64) float64      { return math.Round(v*10) / 10 }
func thousandth(v float64) float64 { return math.Round(v*1000) / 1000 }

// throughputReport compares the whole way with bare COPY.
type throughputReport struct {
	Unsteady bool  `json:"unsteady"` // the rounds of COPY differ by more than a third: do not quote this run
	Copy     speed `json:"copy"`
	One      speed `json:"one_per_message"`
	Twenty   speed `json:"twenty_per_message"`
}

// speed is a system's median over the rounds.
type speed struct {
	PerSecond float64   `json:"per_second"`
	Ratio     float64   `json:"ratio_to_copy"` // median of each round's, against the COPY before and after it
	Ratios    []float64 `json:"ratios"`
	Rounds    []float64 `json:"rounds"`
	Readings  int       `json:"readings"`        // of one round
	CPU       cpuReport `json:"cpu_per_reading"` // of the last round
}

func (s *speed) add(readings int, took time.Duration) float64 {
	rate := math.Round(float64(readings) / took.Seconds())
	s.Rounds, s.Readings = append(s.Rounds, rate), readings
	s.PerSecond = median(s.Rounds)
	return rate
}

// against compares each round with what COPY reached just before and just after it.
func (s *speed) against(reference []float64) {
	for i, rate := range s.Rounds {
		s.Ratios = append(s.Ratios, thousandth(2*rate/(reference[i]+reference[i+1])))
	}
	s.Ratio = median(s.Ratios)
}

func median(list []float64) float64 {
	sorted := slices.Sorted(slices.Values(list))
	if n := len(sorted); n%2 == 0 {
		return (sorted[n/2-1] + sorted[n/2]) / 2
	}
	return sorted[len(sorted)/2]
}

// steady is by how much the rounds of the reference may differ in a run that is worth quoting.
const steady = 4.0 / 3

// copyBatch is how many rows a transaction of the reference has: where COPY has reached its speed.
const copyBatch = 5_000

// throughput runs the three systems in turn, so that whatever else the machine does falls on all of them.
func (c *benchCommand) throughput(ctx context.Context, g *ground) (*throughputReport, error) {
	r := &throughputReport{}
	for round := 0; ; round++ {
		if err := g.reference(ctx, c, round, &r.Copy); err != nil {
			return nil, err
		}
		if round == c.Rounds {
			break
		}
		for _, run := range []struct {
			into       *speed
			perMessage int
			readings   int
		}{{&r.One, 1, c.Readings}, {&r.Twenty, 20, 3 * c.Readings}} {
			readings, took, err := g.wholeWay(ctx, c, run.perMessage, run.readings, &run.into.CPU)
			if err != nil {
				return nil, err
			}
			g.say("round %d of %d: %2d readings/message %9.0f readings/s", round+1, c.Rounds, run.perMessage, run.into.add(readings, took))
		}
	}
	r.Copy.Ratio, r.Unsteady = 1, slices.Max(r.Copy.Rounds) > steady*slices.Min(r.Copy.Rounds)
	r.One.against(r.Copy.Rounds)
	r.Twenty.against(r.Copy.Rounds)
	return r, nil
}

// reference runs bare COPY once.
func (g *ground) reference(ctx context.Context, c *benchCommand, round int, into *speed) error {
	metrics := make([]vital.Metric, len(g.rules))
	for i, r := range g.rules {
		metrics[i] = r.Metric
	}
	start := time.Now().Truncate(time.Hour).Add(-time.Duration(10+round) * time.Minute)
	prepared := g.bench.PrepareCopy(start, c.Patients, metrics, 3*c.Readings, copyBatch)
	before := familyCPU(g.postmaster)
	rows, took, err := prepared.Run(ctx, c.Connections)
	if err != nil {
		return err
	}
	into.CPU.PostgreSQL = each(familyCPU(g.postmaster)-before, rows)
	g.say("bare COPY                        %9.0f rows/s", into.add(rows, took))
	return nil
}

// wholeWay times readings from the first PUBLISH to the last commit, and counts them in the table afterwards.
func (g *ground) wholeWay(ctx context.Context, c *benchCommand, perMessage, readings int, cpu *cpuReport) (int, time.Duration, error) {
	stored, err := g.bench.Stored(ctx)
	if err != nil {
		return 0, 0, err
	}
	committed, err := g.committed()
	if err != nil {
		return 0, 0, err
	}
	load, err := g.generate(ctx, simulators.LoadSpec{
		Kind: simulators.LoadFull, Prefix: benchPrefix, Devices: c.Patients, PerMessage: perMessage, Readings: readings, Window: c.Window,
		StartMillis: time.Now().Add(-time.Minute).UnixMilli(), StepMillis: 1,
	})
	if err != nil {
		return 0, 0, err
	}
	meter := g.meter()
	result, err := load.run()
	if err != nil {
		return 0, 0, err
	}
	done, err := g.waitCommitted(ctx, committed+result.Readings)
	if err != nil {
		return 0, 0, err
	}
	if err := load.end(); err != nil {
		return 0, 0, fault.Wrap(fault.Internal, err, "end the load generator")
	}
	*cpu = meter.since(result.Readings, load)
	now, err := g.bench.Stored(ctx)
	if err == nil && now-stored != result.Readings {
		err = fault.New(fault.Internal, "%d readings were acknowledged, and %d are in the table", result.Readings, now-stored)
	}
	return result.Readings, done.Sub(time.Unix(0, result.Began)), err
}

// latencyReport is the time from PUBLISH to the committed alert, in milliseconds.
type latencyReport struct {
	Connections int       `json:"connections"`
	PerMessage  int       `json:"readings_per_message"`
	PerSecond   int       `json:"readings_per_second"`
	Reached     float64   `json:"reached_per_second"`
	Overloaded  bool      `json:"overloaded"` // the wanted rate was not reached: the times are those of a machine that cannot keep up
	Alerts      int       `json:"alerts"`
	P50         float64   `json:"p50_ms"`
	P99         float64   `json:"p99_ms"`
	Max         float64   `json:"max_ms"`
	CPU         cpuReport `json:"cpu_per_reading"`
}

// perGateway is how many people live in a house with one gateway.
const perGateway = 8

func (c *benchCommand) gateways() int { return c.Patients / perGateway }

// latency times alerts through so many gateways; 0: every device connects by itself. People and readings are the same: what
// differs is how much of the machine goes into the network.
func (c *benchCommand) latency(ctx context.Context, g *ground, gateways, perMessage int) (*latencyReport, error) {
	connections := c.Patients
	if gateways > 0 {
		connections = gateways
	}
	perDevice := perMessage * max(5, int(float64(c.Rate)*c.For.Seconds())/(c.Patients*perMessage))
	g.say("timing alerts at %d readings/s, %d in a message, over %d connections for %.0f s", c.Rate, perMessage, connections, float64(perDevice*c.Patients)/float64(c.Rate))
	committed, err := g.committed()
	if err != nil {
		return nil, err
	}
	watch := g.watchAlerts(ctx)
	defer watch.stop()
	load, err := g.generate(ctx, simulators.LoadSpec{
		Kind: simulators.LoadPaced, Prefix: benchPrefix, Devices: c.Patients, Gateway: benchGateway, Gateways: gateways,
		PerMessage: perMessage, Readings: perDevice * c.Patients, PerSecond: c.Rate, Red: true,
		StartMillis: time.Now().Add(-time.Second).UnixMilli(), StepMillis: int64(len(g.rules)) * 1000 * int64(c.Patients) / int64(c.Rate),
	})
	if err != nil {
		return nil, err
	}
	meter := g.meter()
	result, err := load.run()
	if err != nil {
		return nil, err
	}
	done, err := g.waitCommitted(ctx, committed+result.Readings)
	if err != nil {
		return nil, err
	}
	took, err := watch.times(ctx, result.RedSent)
	if err != nil {
		return nil, err
	}
	r := percentiles(took)
	r.Connections, r.PerMessage, r.PerSecond, r.Reached = connections, perMessage, c.Rate, math.Round(float64(result.Readings)/done.Sub(time.Unix(0, result.Began)).Seconds())
	r.Overloaded = r.Reached < 0.98*float64(c.Rate)
	g.say("%d alerts committed: p50 %.1f ms, p99 %.1f ms, longest %.1f ms, at %.0f readings/s", r.Alerts, r.P50, r.P99, r.Max, r.Reached)
	if err := load.end(); err != nil {
		return nil, err
	}
	r.CPU = meter.since(result.Readings, load)
	return r, nil
}

// alertWatch notes when alerts of each patient were announced after a commit.
type alertWatch struct {
	patients []vital.UID
	stop     context.CancelFunc
	mu       sync.Mutex
	heard    map[vital.UID][]int64
}

func (g *ground) watchAlerts(ctx context.Context) *alertWatch {
	ctx, stop := context.WithCancel(ctx)
	w := &alertWatch{patients: g.patients, stop: stop, heard: map[vital.UID][]int64{}}
	feed := listener{g.house.conn.Feed(), g.house.log}
	go func() {
		_ = feed.Listen(ctx, func(_ vital.OrgID, e alerts.Event) { // it ends with ctx; alerts that are missing fail the part
			now := time.Now().UnixNano()
			w.mu.Lock()
			defer w.mu.Unlock()
			w.heard[e.Patient] = append(w.heard[e.Patient], now)
		})
	}()
	return w
}

// times waits for the alerts of all that were sent and returns how long each took, in milliseconds.
func (w *alertWatch) times(ctx context.Context, sent []int64) ([]float64, error) {
	deadline := time.Now().Add(10 * time.Second)
	for {
		took, missing := w.took(sent)
		if missing == 0 {
			return took, nil
		}
		if time.Now().After(deadline) || ctx.Err() != nil {
			return nil, fault.New(fault.Internal, "%d of %d red readings raised no alert", missing, len(sent))
		}
		if err := pause(ctx, 20*time.Millisecond); err != nil {
			return nil, err
		}
	}
}

func (w *alertWatch) took(sent []int64) (took []float64, missing int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for i, at := range sent {
		if at == 0 {
			continue
		}
		heard := w.heard[w.patients[i]] // of an earlier red reading, too, that is followed by a good one only now
		if n := slices.IndexFunc(heard, func(t int64) bool { return t > at }); n >= 0 {
			took = append(took, float64(heard[n]-at)/1e6)
		} else {
			missing++
		}
	}
	return took, missing
}

func percentiles(took []float64) *latencyReport {
	if len(took) == 0 {
		return &latencyReport{}
	}
	slices.Sort(took)
	at := func(q float64) float64 { return tenth(took[min(len(took)-1, int(q*float64(len(took))))]) }
	return &latencyReport{Alerts: len(took), P50: at(0.50), P99: at(0.99), Max: at(1)}
}
