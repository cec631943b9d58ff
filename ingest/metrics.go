package ingest

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"hale/vital"
)

// metrics counts what the core does. No label names a device or a patient.
type metrics struct {
	all           []prometheus.Collector
	taken, failed prometheus.Counter
	sent, unsent  prometheus.Counter // envelopes
	readings      prometheus.Counter
	refused       *prometheus.CounterVec
	size          prometheus.Histogram
	seconds       prometheus.Histogram
}

func newMetrics(held func() int64) *metrics {
	opts := func(name, help string) prometheus.Opts {
		return prometheus.Opts{Namespace: "hale", Subsystem: "ingest", Name: name, Help: help}
	}
	messages := prometheus.NewCounterVec(prometheus.CounterOpts(opts("messages_total", "Messages by outcome: durable (readings and refusals alike), or failed (the sender was told to send again).")), []string{"outcome"})
	envelopes := prometheus.NewCounterVec(prometheus.CounterOpts(opts("envelopes_total", "Envelopes by outcome: durable or failed.")), []string{"outcome"})
	m := &metrics{
		taken: messages.WithLabelValues("durable"), failed: messages.WithLabelValues("failed"),
		sent: envelopes.WithLabelValues("durable"), unsent: envelopes.WithLabelValues("failed"),
		readings: prometheus.NewCounter(prometheus.CounterOpts(opts("readings_total", "Readings that became durable."))),
		refused:  prometheus.NewCounterVec(prometheus.CounterOpts(opts("refused_total", "Refused messages and readings that became durable, by reason.")), []string{"reason"}),
		size: prometheus.NewHistogram(prometheus.HistogramOpts{
			Namespace: "hale", Subsystem: "ingest", Name: "envelope_records", Help: "Records per durable envelope.",
			Buckets: prometheus.ExponentialBuckets(1, 4, 7),
		}),
		seconds: prometheus.NewHistogram(prometheus.HistogramOpts{
			Namespace: "hale", Subsystem: "ingest", Name: "publish_seconds", Help: "Time from handing an envelope to the stream until it was durable.",
			Buckets: prometheus.ExponentialBuckets(0.0005, 2, 14),
		}),
	}
	heldBytes := prometheus.NewGaugeFunc(prometheus.GaugeOpts(opts("held_bytes", "Bytes accepted and not durable yet, as charged to the budget.")), func() float64 { return float64(held()) })
	m.all = []prometheus.Collector{messages, envelopes, m.readings, m.refused, m.size, m.seconds, heldBytes}
	return m
}

func (m *metrics) register(r prometheus.Registerer) error {
	if r == nil {
		return nil
	}
	for _, c := range m.all {
		if err := r.Register(c); err != nil {
			return err
		}
	}
	return nil
}

// published counts a durable envelope.
func (m *metrics) published(took time.Duration, records []vital.Record) {
	m.sent.Inc()
	m.size.Observe(float64(len(records)))
	m.seconds.Observe(took.Seconds())
	n := 0
	for _, r := range records {
		if r.Reading != nil {
			n++
			continue
		}
		if r.Refused != nil {
			m.refused.WithLabelValues(string(r.Refused.Reason)).Inc()
		}
	}
	m.readings.Add(float64(n))
}
