package main

import (
	"crypto/rand"
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"hale/alerts"
	"hale/api"
	"hale/ingest/edge"
)

// canaryMisses is how many beats may be missing before the alarm: one that is late is none.
const canaryMisses = 6

// canaryMetrics shows how old the canaries' newest beats are, and what went wrong with them.
type canaryMetrics struct {
	age, own *prometheus.GaugeVec
	took     prometheus.Histogram
	failures *prometheus.CounterVec
	offset   prometheus.Gauge
}

func newCanaryMetrics(r prometheus.Registerer) *canaryMetrics {
	partition := []string{"partition"}
	m := &canaryMetrics{
		age: prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: "hale_canary_age_seconds", Help: "Time since the newest canary beat in the record was sent, over all edges."}, partition),
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
	for _, s := range r.Partitions {
		partition := strconv.Itoa(s.Partition)
		if s.Known {
			m.age.WithLabelValues(partition).Set(s.Age.Seconds())
		} else {
			m.age.DeleteLabelValues(partition)
		}
		if own {
			m.own.WithLabelValues(partition).Set(s.Own.Seconds())
		}
	}
	if r.ClockKnown {
		m.offset.Set(r.ClockOffset.Seconds())
	}
}

// canaryDeadline is the age of a partition's newest beat that is an alarm.
func (h *house) canaryDeadline() time.Duration { return canaryMisses * h.canaryEvery }

// watchCanaries makes what looks at the canaries' rows. Every process does, whatever its roles.
func (h *house) watchCanaries() stage {
	if h.canaryEvery <= 0 {
		h.canaryEvery = defaultCanary
	}
	m := newCanaryMetrics(h.registry)
	if h.has(roleEdge) {
		h.edgeName = h.owner + "-" + rand.Text()[:8] // `up` has the same owner each time, and a canary counts from 1
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

// checkCanary tells what the canaries say. Only a door of our own that acknowledges nothing makes this process not ready:
// devices should then be sent to another edge. A partition that stands still is an alarm, not a reason to turn devices
// away, for what they send is safe in the stream.
func (h *house) checkCanary() api.Check {
	c := api.Check{Name: "canary", OK: true, Detail: h.canary.Report().Text()}
	if h.edge != nil && !h.edge.Answers(h.canaryDeadline()) {
		c.OK = false
		c.Detail = "this edge has not acknowledged a message of its own canary for " + h.canaryDeadline().String()
	}
	return c
}

// defaultCanary is the time between two beats of an edge's canary.
const defaultCanary = 5 * time.Second
