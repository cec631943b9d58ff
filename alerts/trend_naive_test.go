package alerts_test

import (
	"math"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"hale/alerts"
	"hale/vital"
)

// TestTrendLevelsAreThoseOfAPlainCount compares every level with one that is counted from all readings, day by day,
// without any memory in between.
func TestTrendLevelsAreThoseOfAPlainCount(t *testing.T) {
	t.Parallel()
	for _, form := range alerts.Forms() {
		t.Run(string(form), func(t *testing.T) {
			t.Parallel()
			rapid.Check(t, func(t *rapid.T) {
				v := drawTrendVersion(form)(t)
				v.Number, v.EffectiveFrom, v.Enabled = 1, autumn().Add(-time.Hour), true
				rule := alerts.Rule{Kind: alerts.KindTrend, Form: form, Metric: vital.BodyWeight, Versions: []alerts.Version{v}}
				points := drawWeights(t)
				slices.SortFunc(points, byMark)
				run := alerts.Resume(&rule, nil)
				for i, p := range points {
					if got, want := run.Step(p).Level, countedLevel(t, v.Trend, points[:i+1]); got != want {
						t.Fatalf("reading %d of %s: %s, a plain count says %s", p.ID, p.At, got, want)
					}
				}
			})
		})
	}
}

// plain is the values of the local days before and up to the last of the readings, in grams.
type plain struct {
	zone  *time.Location
	part  alerts.DayPart
	all   []alerts.Point
	today time.Time // noon of the day, by UTC, so that days can be counted
}

func newPlain(t *rapid.T, trend *alerts.Trend, part alerts.DayPart, points []alerts.Point) *plain {
	zone, err := time.LoadLocation(trend.Zone)
	if err != nil {
		t.Fatal(err)
	}
	d := &plain{zone: zone, part: part, all: points}
	d.today, _ = d.dayOf(points[len(points)-1])
	return d
}

func (d *plain) dayOf(p alerts.Point) (noon time.Time, clock string) {
	l := p.At.In(d.zone)
	return time.Date(l.Year(), l.Month(), l.Day(), 12, 0, 0, 0, time.UTC), l.Format("15:04")
}

// value is the first reading of the day so many days ago; scale 0 is any.
func (d *plain) value(ago int, scale vital.SensorID) (p alerts.Point, ok bool) {
	for _, p := range d.all {
		day, clock := d.dayOf(p)
		if day.Equal(d.today.AddDate(0, 0, -ago)) && clock >= d.part.From && clock < d.part.Until && (scale == 0 || p.Sensor == scale) {
			return p, true
		}
	}
	return alerts.Point{}, false
}

// between returns the values from so many days ago to so many.
func (d *plain) between(from, to int, scale vital.SensorID) []int {
	var list []int
	for ago := from; ago >= to; ago-- {
		if p, ok := d.value(ago, scale); ok {
			list = append(list, grams(p))
		}
	}
	return list
}

func grams(p alerts.Point) int { return int(math.Round(p.Values[0] * 1000)) }

func middle(list []int) int {
	list = slices.Sorted(slices.Values(list))
	n := len(list)
	if n%2 == 1 {
		return list[n/2]
	}
	return int(math.Floor(float64(list[n/2-1]+list[n/2])/2 + 0.5))
}

func mean(list []int) int {
	sum := 0
	for _, v := range list {
		sum += v
	}
	return int(math.Floor(float64(sum)/float64(len(list)) + 0.5))
}

func reached(s alerts.TrendStep, value, against int) bool {
	by := value - against
	if s.Direction == alerts.Fall {
		by = -by
	}
	return float64(by) > s.By*1000 || !s.MoreThan && float64(by) == s.By*1000
}

func countedLevel(t *rapid.T, trend *alerts.Trend, points []alerts.Point) alerts.Level {
	p := points[len(points)-1]
	scale := func(same bool) vital.SensorID {
		if same {
			return p.Sensor
		}
		return 0
	}
	worst := alerts.None
	switch {
	case trend.Change != nil:
		return countedChange(newPlain(t, trend, trend.Change.Part, points), trend.Change, p, scale(trend.Change.SameSensor))
	case trend.Reference != nil:
		d := newPlain(t, trend, trend.Reference.Part, points)
		if first, ok := d.value(0, 0); ok && first.ID == p.ID {
			for _, s := range trend.Reference.Steps {
				if reached(s, grams(p), int(trend.Reference.Value*1000)) {
					worst = max(worst, s.Level)
				}
			}
		}
	case trend.MovingAverage != nil:
		m := trend.MovingAverage
		d, of := newPlain(t, trend, m.Part, points), scale(m.SameSensor)
		short, long := d.between(m.ShortDays-1, 0, of), d.between(m.ShortDays+m.LongDays-1, m.ShortDays, of)
		if first, ok := d.value(0, of); ok && first.ID == p.ID && len(short) >= m.LeastShort && len(long) >= m.LeastLong {
			for _, s := range m.Steps {
				if reached(s, mean(short), middle(long)) {
					worst = max(worst, s.Level)
				}
			}
		}
	case trend.Average != nil:
		return countedAverage(newPlain(t, trend, alerts.DayPart{}, points), trend.Average)
	}
	return worst
}

func countedChange(d *plain, c *alerts.TrendChange, p alerts.Point, scale vital.SensorID) alerts.Level {
	if first, ok := d.value(0, scale); !ok || first.ID != p.ID {
		return alerts.None
	}
	worst := alerts.None
	week := d.between(7, 1, scale)
	ask := c.Unlike > 0 && len(week) >= 3
	unlike := func(v int) bool { return ask && math.Abs(float64(v-middle(week))) > c.Unlike*1000 }
	// The steps look back on at most a week here, so that the week is everything there is to be like.
	all := !slices.ContainsFunc(week, func(v int) bool { return !unlike(v) })
	for _, s := range c.Steps {
		for _, v := range d.between(s.Days, 1, scale) {
			if (all || !unlike(v)) && reached(s, grams(p), v) { // beyond one of them is beyond the furthest
				worst = max(worst, s.Level)
			}
		}
	}
	if unlike(grams(p)) {
		worst = max(worst, alerts.Yellow)
	}
	return worst
}

func countedAverage(d *plain, a *alerts.TrendAverage) alerts.Level {
	var days [][]float64
	for ago := a.Days - 1; ago >= 0; ago-- {
		var values []float64
		for _, p := range d.all {
			if day, _ := d.dayOf(p); day.Equal(d.today.AddDate(0, 0, -ago)) {
				values = append(values, p.Values[0])
			}
		}
		if len(values) > 0 {
			days = append(days, values)
		}
	}
	days = days[min(a.SkipDays, len(days)):]
	n, sum := 0, 0.0
	for _, values := range days {
		for _, v := range values {
			n, sum = n+1, sum+v
		}
	}
	if n < a.LeastReadings || len(days) < a.LeastDays {
		return alerts.None
	}
	mean, b := math.Floor(sum/float64(n)+0.5), &a.Components[0]
	switch {
	case mean >= *b.RedHigh:
		return alerts.Red
	case mean >= *b.YellowHigh || mean < *b.YellowLow:
		return alerts.Yellow
	}
	return alerts.None
}
