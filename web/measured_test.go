package web

import (
	"context"
	"fmt"
	"testing"
	"time"

	"hale/account"
	"hale/alerts"
	"hale/vital"
)

// heartRates are the times of heart rates, the oldest first; the rate counts up. It gathers as the record does, and
// gives no more than most one by one.
type heartRates struct {
	alerts.Charts
	at   []time.Time
	most int
}

func (h heartRates) Series(_ context.Context, _ account.Actor, q alerts.SeriesQuery) ([]alerts.Bucket, error) {
	var list []alerts.Bucket
	for i, at := range h.at {
		if at.Before(q.From) || !at.Before(q.To) || q.Width == 0 && len(list) == h.most {
			continue
		}
		v := []float64{float64(60 + i)}
		if last := len(list) - 1; q.Width > 0 && last >= 0 && list[last].Start.Equal(at.Truncate(q.Width)) {
			list[last].Max, list[last].N = v, list[last].N+1
			continue
		}
		start := at
		if q.Width > 0 {
			start = at.Truncate(q.Width)
		}
		list = append(list, alerts.Bucket{Start: start, Min: v, Max: v, Avg: v, N: 1})
	}
	return list, nil
}

func TestAChartShowsTheShortestSpanThatHasACourse(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 11, 21, 9, 4, 0, 0, time.UTC)
	every := func(n int, step time.Duration) []time.Time {
		var at []time.Time
		for i := range n {
			at = append(at, now.Add(-time.Duration(n-1-i)*step))
		}
		return at
	}
	const aDay = 24 * time.Hour
	for name, c := range map[string]struct {
		at      []time.Time
		days    int
		summary string
		rows    int
		left    int
	}{
		"a week with eight readings is enough": {every(30, aDay), 7, "The 7 days up to the newest reading: 8 readings, 82 to 89 /min.", 8, 0},
		"a month else":                         {every(9, 2*aDay), 30, "The 30 days up to the newest reading: 9 readings, 60 to 68 /min.", 9, 0},
		"a quarter else":                       {every(20, 10*aDay), 90, "The 90 days up to the newest reading: 10 readings, 70 to 79 /min.", 10, 0},
		"and else all there is":                {every(5, 100*aDay), 0, "All 5 readings, 60 to 64 /min.", 5, 0},
		"one is one":                           {every(1, aDay), 0, "All readings: only 1.", 1, 0},
		"of very many the newest are in the table": {
			every(50_000, 10*time.Second), 7, "The 7 days up to the newest reading: 50000 readings, 60 to 50059 /min.", 40, 49_960,
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := &Web{Config: Config{Charts: heartRates{at: c.at, most: 20_000}}}
			point := alerts.Point{Mark: alerts.Mark{At: now}, Metric: vital.HeartRate, Values: []float64{1}}
			m, err := w.newest(t.Context(), account.Actor{}, "ana", &point)
			if err != nil {
				t.Fatal(err)
			}
			v := viewChart(&patientView{}, &point, m, clock{now: now, zone: time.UTC})
			if v.Days != c.days || v.Summary != c.summary || len(v.Rows) != c.rows || v.Left != c.left {
				t.Errorf("%d days, %q, %d rows, %d left", v.Days, v.Summary, len(v.Rows), v.Left)
			}
			if want := fmt.Sprintf("%d /min", 59+len(c.at)); v.Rows[0].Values != want {
				t.Errorf("the table begins with %s, want %s", v.Rows[0].Values, want)
			}
		})
	}
}
