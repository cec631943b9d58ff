package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"time"

	"hale/alerts"
	"hale/fault"
	"hale/postgres"
	"hale/postgres/embedded"
	"hale/simulators"
	"hale/stream"
	"hale/vital"
)

// ground is a whole Hale in this process, with people of its own, for as long as a bench lasts.
type ground struct {
	say        func(format string, args ...any)
	house      *house
	bench      postgres.Bench
	patients   []vital.UID // in the order of their devices
	rules      []alerts.Default
	mqtt       string
	version    string
	load       float64
	postmaster int
	end        func() error
}

// Names of the devices of a bench, and their secret: everything is on loopback and gone afterwards.
const (
	benchPrefix  = "bench-"
	benchIdle    = "idle-"
	benchGateway = "gateway-"
	benchSecret  = "of-the-bench"
	benchRules   = 8
)

// prepare starts PostgreSQL, NATS and the roles, and enrols the people.
func (c *benchCommand) prepare(p *program) (*ground, error) {
	began := time.Now()
	g := &ground{rules: alerts.Defaults()[:benchRules], say: func(format string, args ...any) {
		fmt.Fprintf(p.err, "bench %5.1fs  %s\n", time.Since(began).Seconds(), fmt.Sprintf(format, args...))
	}}
	g.load = loadAverage()
	dir, err := c.workIn()
	if err != nil {
		return nil, err
	}
	clean := func() error { return os.RemoveAll(dir) }
	g.say("starting PostgreSQL, NATS and Hale in %s", dir)
	server, err := embedded.Start(p.ctx, databaseConfig(p, dir, !c.NoInstall))
	if err != nil {
		return nil, errors.Join(err, clean())
	}
	stop := func() error {
		bounded, cancel := context.WithTimeout(context.WithoutCancel(p.ctx), 30*time.Second)
		defer cancel()
		return errors.Join(server.Stop(bounded), clean())
	}
	if err := c.furnish(p, g, server); err != nil {
		return nil, errors.Join(err, stop())
	}
	if g.end, err = g.open(p, server, filepath.Join(dir, "stream"), stop); err != nil {
		return nil, errors.Join(err, stop())
	}
	return g, nil
}

func (c *benchCommand) furnish(p *program, g *ground, server *embedded.Server) (err error) {
	if _, err := postgres.Migrate(p.ctx, server.SuperURL("hale")); err != nil {
		return err
	}
	g.postmaster = server.PID()
	g.bench = postgres.Bench{AdminURL: server.SuperURL("hale")}
	g.patients, err = g.bench.Enrol(p.ctx, postgres.BenchPeople{
		Prefix: benchPrefix, Patients: c.Patients, Idle: benchIdle, Devices: c.Idle, Gateway: benchGateway, Gateways: c.gateways(), Secret: benchSecret, Rules: g.rules,
	})
	if err != nil {
		return err
	}
	g.version, err = g.bench.Version(p.ctx)
	return err
}

// open starts NATS and the house, and returns what ends everything.
func (g *ground) open(p *program, server *embedded.Server, dir string, stop func() error) (end func() error, err error) {
	nats, err := stream.StartServer(p.ctx, stream.ServerConfig{Dir: dir, SyncAlways: true, Log: p.log})
	if err != nil {
		return nil, err
	}
	down := func() error {
		bounded, cancel := context.WithTimeout(context.WithoutCancel(p.ctx), 15*time.Second)
		defer cancel()
		return nats.Shutdown(bounded)
	}
	registry := newRegistry()
	conn, err := nats.Connect(p.ctx, stream.Config{Log: p.log, Metrics: registry})
	if err != nil {
		return nil, errors.Join(err, down())
	}
	flow, err := conn.Ensure(p.ctx, stream.StreamConfig{MaxBytes: nats.MaxBytes()})
	if err != nil {
		conn.Close()
		return nil, errors.Join(err, down())
	}
	g.house = &house{
		roles: []string{roleEdge, roleProcess, roleAPI}, owner: "bench", alone: true, stream: flow, conn: conn, registry: registry, zone: time.UTC, number: "112", log: p.log,
		database: postgres.Config{URL: server.URL, Log: p.log},
	}
	if g.house.http, err = listen(p.ctx, "127.0.0.1:0", ""); err == nil {
		g.house.mqtt, err = listen(p.ctx, "127.0.0.1:0", "")
	}
	if err != nil {
		conn.Close()
		return nil, errors.Join(err, down())
	}
	g.mqtt = g.house.mqtt.Addr().String()
	ctx, cancel := context.WithCancel(context.WithoutCancel(p.ctx))
	ready, ended := make(chan struct{}), make(chan error, 1)
	go func() { ended <- g.house.run(ctx, func() { close(ready) }) }()
	end = func() error {
		cancel()
		err := <-ended
		conn.Close()
		return errors.Join(err, down(), stop())
	}
	select {
	case <-ready:
		return end, nil
	case err := <-ended:
		cancel()
		conn.Close()
		return nil, errors.Join(fmt.Errorf("start Hale: %w", err), down())
	case <-p.ctx.Done():
		cancel()
		err := <-ended
		conn.Close()
		return nil, errors.Join(p.ctx.Err(), err, down())
	}
}

// committed is how many readings the processor has committed so far.
func (g *ground) committed() (int, error) {
	families, err := g.house.registry.Gather()
	if err != nil {
		return 0, fmt.Errorf("read the metrics: %w", err)
	}
	total := 0.0
	for _, f := range families {
		if f.GetName() != "hale_records_committed_total" {
			continue
		}
		for _, m := range f.GetMetric() {
			total += m.GetCounter().GetValue()
		}
	}
	return int(total), nil
}

// waitCommitted waits until so many readings are committed and returns when that was.
func (g *ground) waitCommitted(ctx context.Context, want int) (time.Time, error) {
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	last, since := -1, time.Now()
	for {
		have, err := g.committed()
		now := time.Now()
		switch {
		case err != nil || have >= want:
			return now, err
		case have != last:
			last, since = have, now
		case now.Sub(since) > 30*time.Second:
			return now, fault.New(fault.Internal, "%d of %d readings are committed and nothing goes on", have, want)
		}
		select {
		case <-ctx.Done():
			return now, ctx.Err()
		case <-tick.C:
		}
	}
}

// generator is a load generator in a process of its own.
type generator struct {
	process *exec.Cmd
	in      io.WriteCloser
	out     *bufio.Reader
}

// generate starts a load generator, which is connected when this returns.
func (g *ground) generate(ctx context.Context, spec simulators.LoadSpec) (*generator, error) {
	spec.Addr, spec.Secret = g.mqtt, benchSecret
	for _, r := range g.rules {
		spec.Metrics = append(spec.Metrics, r.Metric.String())
	}
	self, err := os.Executable()
	if err != nil {
		return nil, fault.Wrap(fault.Internal, err, "find this program")
	}
	l := &generator{process: exec.CommandContext(ctx, self, "load")} //nolint:gosec // this very program
	l.process.Stderr = os.Stderr
	if l.in, err = l.process.StdinPipe(); err != nil {
		return nil, fault.Wrap(fault.Internal, err, "talk to the load generator")
	}
	out, err := l.process.StdoutPipe()
	if err != nil {
		return nil, fault.Wrap(fault.Internal, err, "hear the load generator")
	}
	l.out = bufio.NewReader(out)
	if err := l.process.Start(); err != nil {
		return nil, fault.Wrap(fault.Internal, err, "start the load generator")
	}
	if err := json.NewEncoder(l.in).Encode(spec); err != nil { //nolint:gosec // the secret of devices that end with the bench
		return nil, errors.Join(err, l.end())
	}
	if line, err := l.out.ReadString('\n'); err != nil || strings.TrimSpace(line) != loadConnected {
		return nil, fault.Wrap(fault.Unavailable, errors.Join(err, l.end()), "the load generator could not connect its devices")
	}
	return l, nil
}

// run lets the generator begin and returns its result.
func (l *generator) run() (r simulators.LoadResult, err error) {
	if _, err := io.WriteString(l.in, "true\n"); err != nil {
		return r, fault.Wrap(fault.Unavailable, err, "the load generator is gone")
	}
	line, err := l.out.ReadBytes('\n')
	if err != nil {
		return r, fault.Wrap(fault.Unavailable, err, "the load generator stopped")
	}
	return r, json.Unmarshal(line, &r)
}

// end disconnects the devices and waits for the process.
func (l *generator) end() error {
	_ = l.in.Close()
	return l.process.Wait()
}

func cpus() int         { return runtime.NumCPU() }
func goVersion() string { return runtime.Version() }

// loadAverage is how many processes wanted to run in the last minute; 0 where the kernel does not tell.
func loadAverage() float64 {
	b, err := os.ReadFile("/proc/loadavg")
	if err != nil {
		return 0
	}
	first, _, _ := strings.Cut(string(b), " ")
	load, err := strconv.ParseFloat(first, 64)
	if err != nil {
		return 0
	}
	return load
}

// resident is how many bytes of memory this process has, as the kernel counts them.
func resident() (int64, error) {
	b, err := os.ReadFile("/proc/self/status")
	if err != nil {
		return 0, fault.Wrap(fault.Unavailable, err, "this part of the bench needs Linux")
	}
	for line := range strings.Lines(string(b)) {
		if rest, ok := strings.CutPrefix(line, "VmRSS:"); ok {
			kib, err := strconv.ParseInt(strings.Fields(rest)[0], 10, 64)
			return kib << 10, err
		}
	}
	return 0, fault.New(fault.Unavailable, "the kernel does not tell this process's memory")
}
