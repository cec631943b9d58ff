package main

import (
	"strconv"

	"github.com/prometheus/client_golang/prometheus"

	"hale/alerts"
	"hale/vital"
)

// processorMetrics shows what the processor does; the domain itself knows no metrics library.
type processorMetrics struct {
	records *prometheus.CounterVec
	batch   *prometheus.HistogramVec
	failed  *prometheus.CounterVec
	owned   *prometheus.GaugeVec
	epoch   *prometheus.GaugeVec
	mended  prometheus.Counter

	mendedBefore [vital.Partitions]int // each is of the one goroutine that works the partition
}

func newProcessorMetrics(r prometheus.Registerer) *processorMetrics {
	m := &processorMetrics{
		records: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "hale_records_committed_total", Help: "Records committed, by what became of them."}, []string{"outcome"}),
		batch: prometheus.NewHistogramVec(prometheus.HistogramOpts{Name: "hale_batch_seconds", Help: "Time of one batch transaction.",
			Buckets: prometheus.ExponentialBuckets(0.001, 2, 14)}, []string{"lane"}),
		failed: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "hale_batches_failed_total", Help: "Batches and reads that failed and are tried again."}, []string{"partition"}),
		epoch:  prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: "hale_partition_epoch", Help: "Epoch under which this process last claimed the partition: it grows with every change of owner."}, []string{"partition"}),
		mended: prometheus.NewCounter(prometheus.CounterOpts{Name: "hale_tracks_mended_total", Help: "Condition tracks that did not follow from the stored readings and were judged anew."}),
		owned:  prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: "hale_partition_owned", Help: "1 where this process owns the partition, 0 where it does not."}, []string{"partition"}),
	}
	r.MustRegister(m.records, m.batch, m.failed, m.owned, m.epoch, m.mended)
	return m
}

func (m *processorMetrics) watch() alerts.Watch {
	return alerts.Watch{
		Committed: func(b alerts.BatchReport) {
			m.batch.WithLabelValues(string(b.Lane)).Observe(b.Took.Seconds())
			m.mended.Add(float64(b.Mended - m.mendedBefore[b.Partition]))
			m.mendedBefore[b.Partition] = b.Mended
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
				m.epoch.WithLabelValues(strconv.Itoa(s.Partition)).Set(float64(s.Cursor.Epoch))
			}
			m.owned.WithLabelValues(strconv.Itoa(s.Partition)).Set(owned)
		},
	}
}
