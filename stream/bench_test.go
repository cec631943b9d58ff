package stream_test

import (
	"testing"

	"hale/stream"
	"hale/vital"
)

// BenchmarkEnvelope encodes and decodes an envelope of 400 readings: what one fsync serves under load.
func BenchmarkEnvelope(b *testing.B) {
	records := make([]vital.Record, 400)
	for i := range records {
		records[i].Reading = sample(i)
	}
	var buffer []byte
	for b.Loop() {
		buffer = stream.Encode(buffer[:0], vital.Partitions, records)
		if _, err := stream.Decode(buffer); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*len(records)), "ns/reading")
	b.SetBytes(int64(len(buffer)))
}
