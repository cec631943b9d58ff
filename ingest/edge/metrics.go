package edge

import (
	"github.com/prometheus/client_golang/prometheus"

	"hale/ingest"
)

// metrics counts what the edge does. No label names a device.
type metrics struct {
	connections *prometheus.GaugeVec
	connects    *prometheus.CounterVec
	closed      *prometheus.CounterVec
	accepted    prometheus.Counter
	refused     prometheus.Counter
	failed      prometheus.Counter
	messages    *prometheus.CounterVec
	received    prometheus.Counter
	unacked     prometheus.Gauge
	held        prometheus.GaugeFunc
	waiting     prometheus.GaugeFunc
	receipts    *prometheus.CounterVec

	certificates *prometheus.CounterVec
	heldBack     prometheus.Counter
	slowed       prometheus.Gauge
}

func newMetrics(held, waiting func() int) *metrics {
	counter := func(name, help string) prometheus.Counter {
		return prometheus.NewCounter(prometheus.CounterOpts{Namespace: "hale", Subsystem: "edge", Name: name, Help: help})
	}
	counters := func(name, help string, labels ...string) *prometheus.CounterVec {
		return prometheus.NewCounterVec(prometheus.CounterOpts{Namespace: "hale", Subsystem: "edge", Name: name, Help: help}, labels)
	}
	shown := func(name, help string, value func() int) prometheus.GaugeFunc {
		return prometheus.NewGaugeFunc(prometheus.GaugeOpts{Namespace: "hale", Subsystem: "edge", Name: name, Help: help},
			func() float64 { return float64(value()) })
	}
	gauge := func(name, help string) prometheus.Gauge {
		return prometheus.NewGauge(prometheus.GaugeOpts{Namespace: "hale", Subsystem: "edge", Name: name, Help: help})
	}
	m := &metrics{
		connections: prometheus.NewGaugeVec(prometheus.GaugeOpts{Namespace: "hale", Subsystem: "edge", Name: "connections",
			Help: "Connections that are open, signed in or not, by listener (plain, tls)."}, []string{"listener"}),
		connects: counters("connects_total", "Attempts to sign in, by listener and CONNACK code. Without an answer: none (no CONNECT came in time), "+
			"tls (the TLS handshake failed), proxy (no PROXY header), throttled (too many wrong secrets), full (no room), waited (too long in line), drain.",
			"listener", "code"),
		closed:       counters("closed_total", "Sessions that ended, by cause.", "cause"),
		messages:     counters("messages_total", "Messages by outcome: accepted, refused (at least in part), failed (not durable, not acknowledged).", "outcome"),
		received:     counter("received_bytes_total", "Bytes of messages, heads and payloads, that arrived."),
		unacked:      gauge("unacknowledged_messages", "Messages with the core that are not durable yet."),
		held:         shown("held_bytes", "Bytes received, or about to be, that are not durable yet.", held),
		waiting:      shown("waiting_connections", "Connections in line to be asked who they are.", waiting),
		heldBack:     counter("held_back_total", "Messages that waited since their device sends faster than it is read."),
		slowed:       gauge("slowed_connections", "Connections that are not read just now since their device sends too fast."),
		certificates: counters("client_certificates_total", "Client certificates that were shown, by outcome: good, or the objection (name, unknown, revoked, expired, early, authority).", "outcome"),
		receipts:     counters("receipts_total", "Receipts by outcome: sent, or dropped because the device does not read.", "outcome"),
	}
	m.accepted, m.refused, m.failed = m.messages.WithLabelValues("accepted"), m.messages.WithLabelValues("refused"), m.messages.WithLabelValues("failed")
	return m
}

func (m *metrics) register(r prometheus.Registerer) error {
	if r == nil {
		return nil
	}
	for _, c := range []prometheus.Collector{m.connections, m.connects, m.closed, m.messages, m.received, m.unacked, m.held, m.waiting, m.receipts, m.certificates, m.heldBack, m.slowed} {
		if err := r.Register(c); err != nil {
			return err
		}
	}
	return nil
}

func (m *metrics) settled(r ingest.Receipt) {
	switch {
	case r.Err != nil:
		m.failed.Inc()
	case len(r.Refused) > 0:
		m.refused.Inc()
	default:
		m.accepted.Inc()
	}
}
