package main

import (
	"strconv"

	"github.com/prometheus/client_golang/prometheus"

	"hale/alerts"
)

// processorMetrics shows what the processor does; the domain itself knows no metrics library.
type processorMetrics struct {
	records *prometheus.CounterVec
	batch   *prometheus.HistogramVec
	failed  *prometheus.CounterVec
	owned   *prometheus.GaugeVec
}

func newProcessorMetrics(r prometheus.Registerer) *processorMetrics {
	m := &processorMetrics{
		records: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "hale_records_committed_total", Help: "Records committed, by what became of them."}, []string{"outcome"}),
		batch: prometheus.NewHistogramVec(prometheus.HistogramOpts{Name: "hale_batch_seconds", Help: "Time of one batch transaction.",
			Buckets: prometheus.ExponentialBuckets(0.001, 2, 14)}, []string{"lane"}),
		failed: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "hale_batches_failed_total", Help: "Batches and reads that failed and are tried again."}, []string{"partition"}),
		owned:  prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: "hale_partition_owned", Help: "1 where this process owns the partition, 0 where it does not."}, []string{"partition"}),
	}
	r.MustRegister(m.records, m.batch, m.failed, m.owned)
	return m
}

func (m *processorMetrics) watch() alerts.Watch {
	return alerts.Watch{
		Committed: func(b alerts.BatchReport) {
			m.batch.WithLabelValues(string(b.Lane)).Observe(b.Took.Seconds())
			m.records.WithLabelValues("stored").Add(float64(b.Result.Stored))
			m.records.WithLabelValues("duplicate").Add(float64(b.Result.Duplicates))
			m.records.WithLabelValues("refused").Add(float64(b.Result.Refused))
			m.records.WithLabelValues("parked").Add(float64(b.Result.Parked))
		},
		Failed: func(partition int, _ error) { m.failed.WithLabelValues(strconv.Itoa(partition)).Inc() },
		Changed: func(s alerts.PartitionStatus) {
			owned := 0.0
			if s.State == alerts.PartitionOwned {
				owned = 1
			}
			m.owned.WithLabelValues(strconv.Itoa(s.Partition)).Set(owned)
		},
	}
}
