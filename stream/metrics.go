package stream

import (
	"errors"

	"github.com/prometheus/client_golang/prometheus"
)

// metrics are what the outside sees of the stream. No label holds an id.
type metrics struct {
	published, publishedRecords *prometheus.CounterVec // by lane
	publishedBytes, retries     prometheus.Counter
	refused                     *prometheus.CounterVec // by why: full, disk
	publishSeconds              prometheus.Histogram
	read, readRecords           *prometheus.CounterVec // by lane
	reopened                    prometheus.Counter
	restarts                    prometheus.Counter
	bytes, maxBytes, fill       prometheus.Gauge
	oldest, freeBytes, purged   prometheus.Gauge
}

func newMetrics(to prometheus.Registerer) *metrics {
	lane := []string{"lane"}
	return &metrics{
		published:        register(to, prometheus.NewCounterVec(prometheus.CounterOpts{Name: "hale_stream_published_envelopes_total", Help: "Envelopes that are on disk."}, lane)),
		publishedRecords: register(to, prometheus.NewCounterVec(prometheus.CounterOpts{Name: "hale_stream_published_records_total", Help: "Records in envelopes that are on disk."}, lane)),
		publishedBytes:   register(to, prometheus.NewCounter(prometheus.CounterOpts{Name: "hale_stream_published_bytes_total", Help: "Bytes of envelopes that are on disk."})),
		retries:          register(to, prometheus.NewCounter(prometheus.CounterOpts{Name: "hale_stream_publish_retries_total", Help: "Envelopes sent again because the outcome was not known or the stream was full."})),
		refused:          register(to, prometheus.NewCounterVec(prometheus.CounterOpts{Name: "hale_stream_publish_refused_total", Help: "Envelopes given back: the stream is full, or the disk is at its low-water mark."}, []string{"why"})),
		publishSeconds:   register(to, prometheus.NewHistogram(prometheus.HistogramOpts{Name: "hale_stream_publish_seconds", Help: "Time from sending an envelope to its being on disk, retries included.", Buckets: prometheus.ExponentialBuckets(0.0002, 2.5, 12)})),
		read:             register(to, prometheus.NewCounterVec(prometheus.CounterOpts{Name: "hale_stream_read_envelopes_total", Help: "Envelopes handed out by readers."}, lane)),
		readRecords:      register(to, prometheus.NewCounterVec(prometheus.CounterOpts{Name: "hale_stream_read_records_total", Help: "Records handed out by readers."}, lane)),
		reopened:         register(to, prometheus.NewCounter(prometheus.CounterOpts{Name: "hale_stream_reader_reopened_total", Help: "Times a reader lost its subscription and took it up again at its position."})),
		restarts:         register(to, prometheus.NewCounter(prometheus.CounterOpts{Name: "hale_stream_server_restarts_total", Help: "Restarts of the embedded server because it was stuck."})),
		bytes:            register(to, prometheus.NewGauge(prometheus.GaugeOpts{Name: "hale_stream_bytes", Help: "Bytes that the stream holds."})),
		maxBytes:         register(to, prometheus.NewGauge(prometheus.GaugeOpts{Name: "hale_stream_max_bytes", Help: "Bytes at which the stream is full."})),
		fill:             register(to, prometheus.NewGauge(prometheus.GaugeOpts{Name: "hale_stream_fill_ratio", Help: "Share of the stream that is filled, 0 to 1."})),
		oldest:           register(to, prometheus.NewGauge(prometheus.GaugeOpts{Name: "hale_stream_oldest_uncommitted_seconds", Help: "Age of the oldest envelope behind the lowest committed cursor."})),
		freeBytes:        register(to, prometheus.NewGauge(prometheus.GaugeOpts{Name: "hale_stream_disk_free_bytes", Help: "Free bytes of the disk under the embedded stream."})),
		purged:           register(to, prometheus.NewGauge(prometheus.GaugeOpts{Name: "hale_stream_purged_to", Help: "Sequence up to which the stream was purged."})),
	}
}

// register gives the collector to the registry, or returns the one that an earlier connection of this process gave.
func register[C prometheus.Collector](to prometheus.Registerer, c C) C {
	if to == nil {
		return c
	}
	err := to.Register(c)
	var before prometheus.AlreadyRegisteredError
	if errors.As(err, &before) {
		if same, ok := before.ExistingCollector.(C); ok {
			return same
		}
	}
	return c
}
