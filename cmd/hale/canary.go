package main

import (
	"context"
	"crypto/rand"
	"net"
	"os"
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"hale/alerts"
	"hale/api"
	"hale/ingest/edge"
)

// canaryMisses is how many beats may be missing at the least: one that is late is none.
const canaryMisses = 6

// canaryBeatsAfter is how many of them may be missing beside a processor's death: one was on its way, one comes next.
const canaryBeatsAfter = 2

// canaryTakeOver is how long another processor may take, when a lease is over, until it has seen it and caught up: it looks
// every second.
const canaryTakeOver = 2 * time.Second

// canaryLeaveWithin bounds the last word of an edge that stops.
const canaryLeaveWithin = 2 * time.Second

// canaryMetrics shows how old the canaries' newest beats are, and what went wrong with them.
type canaryMetrics struct {
	age, own *prometheus.GaugeVec
	took     prometheus.Histogram
	failures *prometheus.CounterVec
	offset   prometheus.Gauge

	shown map[[2]string]bool // partitions and edges whose age is shown
}

func newCanaryMetrics(r prometheus.Registerer) *canaryMetrics {
	partition := []string{"partition"}
	m := &canaryMetrics{
		age: prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: "hale_canary_age_seconds", Help: "Time since the newest canary beat of an edge in the record was sent; since the edge started as long as there is none."}, []string{"partition", "edge"}),
		own: prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: "hale_canary_own_age_seconds", Help: "The same of this edge's own canary; since its start as long as there is none."}, partition),
		took: prometheus.NewHistogram(prometheus.HistogramOpts{Name: "hale_canary_seconds", Help: "Time of a canary's beat of this edge from being sent to its commit, by the record's clock.",
			Buckets: prometheus.ExponentialBuckets(0.002, 2, 16)}),
		failures: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "hale_canary_failures_total", Help: "What went wrong with canaries, as this process saw it."}, []string{"reason"}),
		offset:   prometheus.NewGauge(prometheus.GaugeOpts{Name: "hale_clock_offset_seconds", Help: "How far the record's clock is ahead of this machine's."}),
	}
	for _, reason := range []alerts.CanaryTrouble{alerts.CanaryLate, alerts.CanaryWrong, alerts.CanaryRecord} {
		m.failures.WithLabelValues(string(reason))
	}
	for _, reason := range []edge.CanaryFailure{edge.CanaryConnect, edge.CanaryLost, edge.CanaryUnheard} {
		m.failures.WithLabelValues(string(reason))
	}
	r.MustRegister(m.age, m.own, m.took, m.failures, m.offset)
	return m
}

func (m *canaryMetrics) looked(r alerts.CanaryReport, own bool) {
	shown := map[[2]string]bool{}
	for _, e := range r.Edges {
		for p, age := range e.Ages {
			if e.Known[p] {
				labels := [2]string{strconv.Itoa(p), e.Place}
				m.age.WithLabelValues(labels[:]...).Set(age.Seconds())
				shown[labels] = true
			}
		}
	}
	for labels := range m.shown {
		if !shown[labels] {
			m.age.DeleteLabelValues(labels[:]...)
		}
	}
	m.shown = shown
	for _, s := range r.Partitions {
		if own {
			m.own.WithLabelValues(strconv.Itoa(s.Partition)).Set(s.Own.Seconds())
		}
	}
	if r.ClockKnown {
		m.offset.Set(r.ClockOffset.Seconds())
	}
}

// doorDeadline is how long this edge's own door may leave its canary unacknowledged.
func (h *house) doorDeadline() time.Duration { return canaryMisses * h.canaryEvery }

// canaryDeadline is the age of a newest beat in the record that is an alarm. When a processor dies, its partitions stand
// still until their leases are over and another has looked for free ones; that is how the house is to behave, and no alarm.
func (h *house) canaryDeadline() time.Duration {
	if h.alone {
		return h.doorDeadline() // nobody else can take over, and it waits for no lease of its own
	}
	return max(h.lease+canaryTakeOver+canaryBeatsAfter*h.canaryEvery, h.doorDeadline())
}

// watchCanaries makes what looks at the canaries' rows. Every process does, whatever its roles.
func (h *house) watchCanaries() stage {
	if h.canaryEvery <= 0 {
		h.canaryEvery = defaultCanary
	}
	m := newCanaryMetrics(h.registry)
	if h.has(roleEdge) {
		h.edgeName = alerts.CanaryName(h.place(), rand.Text()[:8]) // a canary counts from 1 in every process
	}
	h.canary = alerts.NewCanaryWatch(alerts.CanaryConfig{
		Rows: h.work, Edge: h.edgeName, Every: min(time.Second, h.canaryEvery/2), Deadline: h.canaryDeadline(), Log: h.log,
		Looked:  func(r alerts.CanaryReport) { m.looked(r, h.edgeName != "") },
		Arrived: func(took time.Duration) { m.took.Observe(took.Seconds()) },
		Failed:  func(t alerts.CanaryTrouble) { m.failures.WithLabelValues(string(t)).Inc() },
	})
	h.ownDoor = edge.CanaryConfig{
		Name: h.edgeName, Every: h.canaryEvery, Clock: h.canary.Clock,
		Failed: func(f edge.CanaryFailure) { m.failures.WithLabelValues(string(f)).Inc() },
	}
	return stage{name: "canary watch", run: h.canary.Run}
}

// place is where the edge of this process is: a process that starts there again takes over from one that died.
func (h *house) place() string {
	if h.mqtt == nil || h.alone {
		return h.owner
	}
	host, err := os.Hostname()
	if err != nil {
		host = "host"
	}
	_, port, err := net.SplitHostPort(h.mqtt.Addr().String())
	if err != nil {
		return h.owner
	}
	return net.JoinHostPort(host, port)
}

// leaveCanary tells the others not to miss this edge, which has stopped in order.
func (h *house) leaveCanary(ctx context.Context) {
	bounded, cancel := context.WithTimeout(context.WithoutCancel(ctx), canaryLeaveWithin)
	defer cancel()
	if err := h.canary.Leave(bounded); err != nil {
		h.log.Warn("the other processes will miss this edge's canary", "error", err)
	}
}

// checkCanary tells what the canaries say. Only a door of our own that acknowledges nothing makes this process not ready:
// devices should then be sent to another edge. A partition that stands still is an alarm, not a reason to turn devices
// away, for what they send is safe in the stream.
func (h *house) checkCanary() api.Check {
	if h.edge != nil && !h.edge.Answers(h.doorDeadline()) {
		return api.Check{Name: "canary", Detail: "this edge has not acknowledged a message of its own canary for " + h.doorDeadline().String()}
	}
	text := h.canary.Report().Text()
	return api.Check{Name: "canary", OK: text == "", Alarm: true, Detail: text}
}

// defaultCanary is the time between two beats of an edge's canary.
const defaultCanary = 5 * time.Second
