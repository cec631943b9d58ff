package bridge

import "github.com/prometheus/client_golang/prometheus"

// metrics counts what the bridge does, by the broker's name in the mapping file.
type metrics struct {
	connected, waiting                                   *prometheus.GaugeVec
	received, acked, refused, retried, dropped, retained *prometheus.CounterVec
	reconnects, resubscribeFailures, rejected, forgotten *prometheus.CounterVec
}

// brokerMetrics is the part of one broker.
type brokerMetrics struct {
	connected, waiting                                   prometheus.Gauge
	received, acked, refused, retried, dropped, retained prometheus.Counter
	reconnects, resubscribeFailures, rejected, forgotten prometheus.Counter
}

func newMetrics() *metrics {
	gauge := func(name, help string) *prometheus.GaugeVec {
		return prometheus.NewGaugeVec(prometheus.GaugeOpts{Namespace: "hale", Subsystem: "bridge", Name: name, Help: help}, []string{"broker"})
	}
	counter := func(name, help string) *prometheus.CounterVec {
		return prometheus.NewCounterVec(prometheus.CounterOpts{Namespace: "hale", Subsystem: "bridge", Name: name, Help: help}, []string{"broker"})
	}
	return &metrics{
		connected:           gauge("connected", "1 while we are connected to the broker."),
		waiting:             gauge("waiting_messages", "Messages received and not yet durable."),
		received:            counter("received_total", "Messages that arrived, those that came again included."),
		acked:               counter("acknowledged_total", "Messages acknowledged to the broker: they are durable."),
		refused:             counter("refused_total", "Messages of which a part was refused and put into quarantine."),
		retried:             counter("retried_total", "Times that a message was not durable and is tried again."),
		dropped:             counter("dropped_total", "Messages of QoS 0, which carry no promise, that came while there was no room."),
		retained:            counter("retained_total", "Messages that the broker had kept (retain flag) and gave us because we subscribed."),
		reconnects:          counter("reconnects_total", "Attempts to connect again after a connection was lost."),
		resubscribeFailures: counter("resubscribe_failures_total", "Subscriptions that the broker refused or did not answer."),
		rejected:            counter("rejected_total", "Attempts to connect that the broker refused: user name, password or client id."),
		forgotten:           counter("sessions_forgotten_total", "Times that the broker had forgotten our session, and with it what it held for us."),
	}
}

func (m *metrics) register(r prometheus.Registerer) error {
	if r == nil {
		return nil
	}
	for _, c := range []prometheus.Collector{m.connected, m.waiting, m.received, m.acked, m.refused, m.retried, m.dropped, m.retained, m.reconnects, m.resubscribeFailures, m.rejected, m.forgotten} {
		if err := r.Register(c); err != nil {
			return err
		}
	}
	return nil
}

func (m *metrics) of(broker string) brokerMetrics {
	return brokerMetrics{
		connected: m.connected.WithLabelValues(broker), waiting: m.waiting.WithLabelValues(broker), received: m.received.WithLabelValues(broker),
		acked: m.acked.WithLabelValues(broker), refused: m.refused.WithLabelValues(broker), retried: m.retried.WithLabelValues(broker),
		dropped: m.dropped.WithLabelValues(broker), retained: m.retained.WithLabelValues(broker), reconnects: m.reconnects.WithLabelValues(broker),
		resubscribeFailures: m.resubscribeFailures.WithLabelValues(broker), rejected: m.rejected.WithLabelValues(broker), forgotten: m.forgotten.WithLabelValues(broker),
	}
}
