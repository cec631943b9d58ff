package alerts_test

import (
	"testing"
	"time"

	"hale/alerts"
	"hale/vital"
)

// BenchmarkTrendStep is one reading of somebody who measures twice a day, or is weighed once, after weeks of it, by form.
func BenchmarkTrendStep(b *testing.B) {
	b.Run("moving_average", func(b *testing.B) {
		for _, d := range alerts.TrendDefaults("UTC", 0, epoch()) {
			if d.Key() == alerts.TrendOn(vital.BodyWeight, alerts.FormMovingAverage) {
				benchStep(b, vital.BodyWeight, 66, 24*time.Hour, d.Version.Trend)
			}
		}
	})
	b.Run("average", func(b *testing.B) {
		benchStep(b, vital.OxygenSat, 93, 12*time.Hour, &alerts.Trend{Zone: "UTC", ClearAfter: 1, Average: &alerts.TrendAverage{
			Days: 28, LeastReadings: 14, LeastDays: 14, Components: []alerts.Bounds{{YellowLow: ptr(90)}},
		}})
	})
	b.Run("baseline", func(b *testing.B) { benchStep(b, vital.OxygenSat, 93, 12*time.Hour, offered(b, vital.OxygenSat)) })
}

func benchStep(b *testing.B, m vital.Metric, value float64, every time.Duration, trend *alerts.Trend) {
	b.Helper()
	rule := alerts.Rule{ID: 1, Kind: alerts.KindTrend, Form: trend.Form(), Metric: m, Versions: []alerts.Version{{Number: 1, Enabled: true, Trend: trend}}}
	run := alerts.Resume(&rule, nil)
	p := alerts.Point{Metric: m, Values: []float64{value}, Mark: alerts.Mark{At: epoch().Add(8 * time.Hour)}}
	next := func() {
		p.At, p.ID = p.At.Add(every), p.ID+1
		p.Values[0] = value + float64(p.ID%3)/2
		run.Step(p)
	}
	for range 64 {
		next()
	}
	b.ReportAllocs()
	for b.Loop() {
		next()
	}
}
