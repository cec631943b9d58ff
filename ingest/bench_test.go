package ingest_test

import (
	"bytes"
	"context"
	"fmt"
	"sync"
	"testing"

	"hale/ingest"
)

// BenchmarkSubmit measures the way from a payload to a publisher that takes everything at once. ns/reading and
// allocs/reading are those of the whole core: decoding, gathering and settling.
func BenchmarkSubmit(b *testing.B) {
	const (
		rate     = `{"metric":"heart_rate","value":61,"unit":"/min","time":"2026-11-21T07:24:59.%06dZ"}`
		pressure = `{"metric":"blood_pressure","systolic":{"value":128,"unit":"mm[Hg]"},"diastolic":{"value":79,"unit":"mm[Hg]"},"pulse":{"value":66,"unit":"/min"},"time":"2026-11-21T07:24:59.%06dZ","seq":7,"findings":["irregular_pulse"]}`
	)
	for _, c := range []struct {
		name string
		form string
		n    int
	}{{"one heart rate", rate, 1}, {"one blood pressure", pressure, 1}, {"twenty heart rates", rate, 20}, {"twenty blood pressures", pressure, 20}} {
		b.Run(c.name, func(b *testing.B) {
			var payload bytes.Buffer
			for i := range c.n {
				payload.WriteByte(",["[boolToInt(i == 0)])
				fmt.Fprintf(&payload, c.form, i)
			}
			payload.WriteByte(']')
			m := message(readings, payload.String())
			h := start(b, ingest.Config{Publisher: taker{}})
			var open sync.WaitGroup
			open.Add(b.N)
			done := func(r ingest.Receipt) {
				if r.Err != nil || r.Accepted != c.n {
					b.Errorf("receipt %+v", r)
				}
				open.Done()
			}
			b.ReportAllocs()
			b.ResetTimer()
			for range b.N {
				h.core.Submit(context.Background(), m, done)
			}
			open.Wait()
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*c.n), "ns/reading")
		})
	}
}

func boolToInt(b bool) int {
	if b {
		return 1
	}
	return 0
}
