package web

import (
	"context"
	"slices"
	"strconv"
	"time"

	"hale/account"
	"hale/alerts"
	"hale/vital"
)

// measured is what was measured of a metric in the days up to its newest reading.
type measured struct {
	days  int             // 0: all that there is
	hours []alerts.Bucket // by the hour
	last  []alerts.Bucket // the newest readings one by one, the oldest first
}

const enoughReadings = 8 // for a chart that shows a course

// newest returns the readings of the shortest of the spans that a chart offers, a day aside, that holds enough of them.
func (w *Web) newest(ctx context.Context, actor account.Actor, patient vital.UID, point *alerts.Point) (measured, error) {
	q := alerts.SeriesQuery{Patient: patient, Metric: point.Metric, To: point.At.Add(time.Second), Width: time.Hour} // the end is not part of it
	var m measured
	for _, days := range []int{7, 30, 90, 0} {
		q.From = time.Date(2015, 1, 1, 0, 0, 0, 0, time.UTC) // no reading is older: ingest refuses them
		if days > 0 {
			q.From = point.At.Add(-time.Duration(days) * 24 * time.Hour)
		}
		hours, err := w.Charts.Series(ctx, actor, q)
		if err != nil {
			return measured{}, err
		}
		m.days, m.hours = days, hours
		if m.count() >= enoughReadings {
			break
		}
	}
	// A sensor may have sent more than can be read one by one: no more is asked for than the table shows.
	from, some := q.To, 0
	for _, b := range slices.Backward(m.hours) {
		if some >= tableLength {
			break
		}
		from, some = b.Start, some+b.N
	}
	if from.After(q.From) {
		q.From = from
	}
	q.Width = 0
	var err error
	m.last, err = w.Charts.Series(ctx, actor, q)
	return m, err
}

func (m measured) count() int {
	n := 0
	for _, b := range m.hours {
		n += b.N
	}
	return n
}

func viewChart(view *patientView, point *alerts.Point, m measured, k clock) chartView {
	v := chartView{
		Patient: view.ID, Metric: point.Metric.String(), Title: metricWord(point.Metric), Zone: k.zone.String(), Newest: k.measured(point.At, point.Vague()),
		Days: m.days, Span: spanWords(m.days),
		End: point.At.UnixMilli(), Latest: valueWords(point.Metric, point.Values), Findings: findingWords(point.Findings),
		Summary: summaryWords(point.Metric, m),
	}
	for _, b := range slices.Backward(m.last) {
		if len(v.Rows) == tableLength {
			break
		}
		values := valueWords(point.Metric, b.Avg)
		if b.Findings&vital.Disputed != 0 {
			values += ", disputed by the patient"
		}
		v.Rows = append(v.Rows, readingLine{At: k.measured(b.Start, vital.VagueWithin(b.Clock.Uncertainty, b.ReceivedAt)).Exact, Values: values, Clock: clockWords(b)})
	}
	v.Left = max(0, m.count()-len(v.Rows))
	return v
}

// spanWords names a span as the button of the chart does, and where it ends: the newest reading may be of years ago.
func spanWords(days int) string {
	if days == 0 {
		return "All readings"
	}
	return "The " + strconv.Itoa(days) + " days up to the newest reading"
}

// summaryWords tells a span of a metric: how many readings, and from where to where.
func summaryWords(metric vital.Metric, m measured) string {
	d, ok := vital.Define(metric)
	readings := m.count()
	if !ok || readings == 0 {
		return ""
	}
	text := spanWords(m.days) + ": "
	if readings == 1 {
		return text + "only 1."
	}
	text += strconv.Itoa(readings) + " readings"
	if m.days == 0 {
		text = "All " + strconv.Itoa(readings) + " readings"
	}
	for i, part := range d.Components {
		low, high, some := spread(m.hours, i)
		if !some {
			continue
		}
		name := ""
		if len(d.Components) > 1 {
			name = part.Code + " "
		}
		text += ", " + name + withUnit(number(low)+" to "+number(high), part.Canonical)
	}
	return text + "."
}

// spread returns the least and the greatest value of a component; some is false when it was never measured.
func spread(hours []alerts.Bucket, i int) (low, high float64, some bool) {
	for _, b := range hours {
		if i >= len(b.Min) || i >= len(b.Max) {
			continue
		}
		if !some {
			low, high, some = b.Min[i], b.Max[i], true
		}
		low, high = min(low, b.Min[i]), max(high, b.Max[i])
	}
	return low, high, some
}
