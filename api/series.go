package api

import (
	"context"
	"time"

	"hale/account"
	"hale/alerts"
	"hale/fault"
	"hale/vital"
)

type seriesInput struct {
	ID     string    `path:"id" format:"uuid"`
	Metric string    `query:"metric" required:"true" example:"blood_pressure"`
	From   time.Time `query:"from" doc:"30 days before the end when left out"`
	To     time.Time `query:"to" doc:"Now when left out"`
	Points int       `query:"points" minimum:"10" maximum:"5000" default:"600" doc:"At most about so many points"`
}

type componentBody struct {
	Code string `json:"code" example:"systolic"`
	Unit string `json:"unit" doc:"UCUM" example:"mm[Hg]"`
}

type pointBody struct {
	T   int64     `json:"t" doc:"Start of the span, or time of the reading, in milliseconds since 1970" example:"1795248000000"`
	N   int       `json:"n" doc:"Readings in the span" example:"3"`
	Min []float64 `json:"min"`
	Max []float64 `json:"max"`
	Avg []float64 `json:"avg"`

	Findings []string `json:"findings,omitempty" doc:"What the device or Hale noticed about any of the readings; trust_broker is one that came through another broker" example:"irregular_pulse"`

	Clock *clockBody `json:"clock,omitempty" doc:"Of a single reading whose time was not taken as it was sent: what was sent, and how the time of measurement was arrived at"`

	Facts []factBody `json:"facts,omitempty" doc:"What was said beside the numbers, where the point is one reading"`
}

type factBody struct {
	Name  string `json:"name" example:"mean_pressure"`
	Value string `json:"value" example:"95 mm[Hg]"`
}

type clockBody struct {
	SentAt             time.Time `json:"sent_at" doc:"The time as sent. Of a clock that tells no zone (method zone, finding time_local) these are its digits as if they were UTC"`
	OffsetSeconds      float64   `json:"offset_seconds" doc:"Added to the time as sent" example:"-2220"`
	Method             string    `json:"method" enum:"coincident,gateway,arrival,zone" doc:"coincident: the device said what its clock showed when it sent; gateway: the gateway's time stood beside the sensor's; zone: the zone of whoever wore the sensor"`
	UncertaintySeconds float64   `json:"uncertainty_seconds" doc:"It was measured within so much of it, either way" example:"11"`
}

func timedBy(b alerts.Bucket) *clockBody {
	if b.Clock == (vital.Clock{}) {
		return nil
	}
	return &clockBody{SentAt: b.SentAt.UTC(), OffsetSeconds: b.Clock.Offset.Seconds(), Method: b.Clock.Method.String(), UncertaintySeconds: b.Clock.Uncertainty.Seconds()}
}

func factsOf(facts []vital.Fact) []factBody {
	var list []factBody
	for _, f := range facts {
		list = append(list, factBody(f))
	}
	return list
}

type limitSpan struct {
	From       time.Time       `json:"from" doc:"These limits hold from then on"`
	Version    int             `json:"version"`
	Enabled    bool            `json:"enabled"`
	Components []alerts.Bounds `json:"components" doc:"Bounds in canonical units, in the order of the metric's components; empty when not enabled"`
}

type seriesOutput struct {
	Body struct {
		Metric        string          `json:"metric" example:"blood_pressure"`
		Display       string          `json:"display" example:"Blood pressure"`
		Components    []componentBody `json:"components"`
		From          time.Time       `json:"from"`
		To            time.Time       `json:"to"`
		BucketSeconds int             `json:"bucket_seconds" doc:"Width of a span; 0 when each point is one reading" example:"3600"`
		Points        []pointBody     `json:"points"`
		Limits        []limitSpan     `json:"limits"`
	}
}

const (
	defaultSpan = 30 * 24 * time.Hour
	longestSpan = 20 * 366 * 24 * time.Hour
)

// widths are the spans of time that readings are gathered in, from which the narrowest is chosen that gives no more
// than the points asked for. A reader sees minutes, hours and days, never 37 minutes.
func widths() []time.Duration {
	const minute, hour, day = time.Minute, time.Hour, 24 * time.Hour
	return []time.Duration{
		minute, 5 * minute, 15 * minute, hour, 3 * hour, 6 * hour, 12 * hour, day, 2 * day, 7 * day, 14 * day, 28 * day, 91 * day, 364 * day,
	}
}

func widthFor(span time.Duration, points int) time.Duration {
	all := widths()
	for _, w := range all {
		if span <= w*time.Duration(points) {
			return w
		}
	}
	return all[len(all)-1]
}

func (s *Server) getSeries(ctx context.Context, actor account.Actor, in *seriesInput) (*seriesOutput, error) {
	metric, ok := vital.ParseMetric(in.Metric)
	if !ok {
		return nil, fault.New(fault.Invalid, "metric: there is no metric %q", in.Metric)
	}
	q, err := s.span(in)
	if err != nil {
		return nil, err
	}
	q.Metric = metric
	if _, err := s.Directory.Readings(ctx, actor, q.Patient, metric.String()); err != nil {
		return nil, err
	}
	buckets, width, err := s.buckets(ctx, actor, q, in.Points)
	if err != nil {
		return nil, err
	}
	rules, err := s.Limits.Get(ctx, actor, q.Patient)
	if err != nil {
		return nil, err
	}
	d, _ := vital.Define(metric)
	out := &seriesOutput{}
	out.Body.Metric, out.Body.Display, out.Body.Components = d.Code, d.Display, componentsOf(d)
	out.Body.From, out.Body.To, out.Body.BucketSeconds = q.From, q.To, int(width.Seconds())
	out.Body.Points = pointsOf(buckets)
	out.Body.Limits = limitsOver(rules, metric, q.From, q.To)
	return out, nil
}

// span reads from and to, which are left out or right.
func (s *Server) span(in *seriesInput) (alerts.SeriesQuery, error) {
	q := alerts.SeriesQuery{Patient: vital.UID(in.ID), From: in.From.UTC(), To: in.To.UTC()}
	if in.To.IsZero() {
		q.To = s.Now().UTC()
	}
	if in.From.IsZero() {
		q.From = q.To.Add(-defaultSpan)
	}
	if !q.From.Before(q.To) || q.To.Sub(q.From) > longestSpan {
		return q, fault.New(fault.Invalid, "from must lie before to, by at most 20 years")
	}
	return q, nil
}

// buckets reads the chart, and reads it again as single readings when there are few enough of them.
func (s *Server) buckets(ctx context.Context, actor account.Actor, q alerts.SeriesQuery, points int) ([]alerts.Bucket, time.Duration, error) {
	q.Width = widthFor(q.To.Sub(q.From), points)
	gathered, err := s.Charts.Series(ctx, actor, q)
	if err != nil {
		return nil, 0, err
	}
	readings := 0
	for _, b := range gathered {
		readings += b.N
	}
	if readings > points {
		return gathered, q.Width, nil
	}
	q.Width = 0
	single, err := s.Charts.Series(ctx, actor, q)
	return single, 0, err
}

func componentsOf(d vital.Definition) []componentBody {
	list := make([]componentBody, len(d.Components))
	for i, c := range d.Components {
		list[i] = componentBody{Code: c.Code, Unit: c.Canonical.UCUM()}
	}
	return list
}

func pointsOf(buckets []alerts.Bucket) []pointBody {
	list := make([]pointBody, len(buckets))
	for i, b := range buckets {
		list[i] = pointBody{T: b.Start.UnixMilli(), N: b.N, Min: orEmpty(b.Min), Max: orEmpty(b.Max), Avg: orEmpty(b.Avg), Findings: b.Findings.Names(), Facts: factsOf(b.Facts), Clock: timedBy(b)}
	}
	return list
}

// limitsOver returns which limits were in force when, over a span of measured time: the one in force at its start and
// each that begins within it.
func limitsOver(rules []alerts.Rule, metric vital.Metric, from, to time.Time) []limitSpan {
	spans := []limitSpan{}
	for i := range rules {
		if rules[i].Metric != metric || rules[i].Kind != alerts.KindLimit {
			continue
		}
		starts := []time.Time{from}
		for _, v := range rules[i].Versions {
			if v.EffectiveFrom.After(from) && v.EffectiveFrom.Before(to) {
				starts = append(starts, v.EffectiveFrom)
			}
		}
		spans = append(spans, spansAt(&rules[i], starts)...)
	}
	return spans
}

// spansAt returns what is in force at each start, in order of time; a start at which nothing changes is left out.
func spansAt(r *alerts.Rule, starts []time.Time) []limitSpan {
	sortTimes(starts)
	var spans []limitSpan
	for _, t := range starts {
		v, ok := r.InForce(t)
		if !ok || len(spans) > 0 && spans[len(spans)-1].Version == v.Number {
			continue
		}
		span := limitSpan{From: t.UTC(), Version: v.Number, Enabled: v.Enabled, Components: []alerts.Bounds{}}
		if v.Enabled {
			span.Components = orEmpty(v.Limit.Components)
		}
		spans = append(spans, span)
	}
	return spans
}
