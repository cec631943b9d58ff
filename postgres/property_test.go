package postgres_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/jackc/pgx/v5"

	"hale/alerts"
	"hale/vital"
)

// TestWhateverTheOrderTheRecordEndsInTheReferenceTrack is the property of the condition track on the real record: two
// sensors, readings out of order and repeated in any batching, caches lost, limits and trends changed for the past, and
// readings that come through the partition of somebody else.
func TestWhateverTheOrderTheRecordEndsInTheReferenceTrack(t *testing.T) {
	t.Parallel()
	for seed := range uint64(15) {
		t.Run(fmt.Sprintf("seed %d", seed), func(t *testing.T) {
			t.Parallel()
			s := &story{record: newRecord(t), rng: rand.New(rand.NewPCG(seed, 3)), metric: vital.BloodPressure}
			switch seed % 5 {
			case 0:
				s.apart = 9 * 24 * 60 // further apart than the first windows in which earlier readings are looked for
			case 1, 2:
				s.apart = 5 * 60 // the days of trends
			case 3:
				s.apart, s.metric = 11*60, vital.BodyWeight // with the night in which the clock goes forward
			case 4:
				s.apart = 1
			}
			s.tell(t)
			s.check(t)
		})
	}
}

type story struct {
	*record
	rng     *rand.Rand
	metric  vital.Metric
	version int
	trends  map[alerts.RuleKey]int
	mended  int
	apart   int // minutes between two places on the story's time line
}

func (s *story) tell(t *testing.T) {
	t.Helper()
	second, given := s.addDevice(t, s.nurse, s.patient, "cuff-x")
	elsewhere := s.claim(t, (s.cursor.Partition+1)%vital.Partitions, "p1")
	s.version = 1
	s.trends = map[alerts.RuleKey]int{}
	s.newLimits(t)
	for range 3 {
		s.newTrend(t)
	}
	var all []vital.Record
	for range 70 {
		rec := s.pressure(s.apart*s.rng.IntN(75)/s.scale(), int64(120+s.rng.IntN(75)), 80)
		if s.metric == vital.BodyWeight {
			rec = s.weight(s.apart*s.rng.IntN(75), 65_000+500*int64(s.rng.IntN(12)))
		}
		if s.rng.IntN(2) == 0 {
			rec.Reading.Sensor, rec.Reading.Device, rec.Reading.Assignment, rec.Reading.Epoch = second.Own, second.ID, given.ID, given.Epoch
		}
		all = append(all, rec)
	}
	for i := 0; i < len(all); {
		j := min(len(all), i+1+s.rng.IntN(12))
		batch := append([]vital.Record(nil), all[i:j]...)
		for s.rng.IntN(3) == 0 {
			batch = append(batch, all[s.rng.IntN(j)])
		}
		switch s.rng.IntN(5) {
		case 0: // the process is another one now
			s.mended += s.decider.Mended()
			s.decider = alerts.NewDecider(10)
		case 1:
			s.newLimits(t)
			s.newTrend(t)
		}
		if s.rng.IntN(4) == 0 {
			elsewhere = s.misroute(t, elsewhere, batch)
		} else {
			s.advance(t, batch...)
		}
		i = j
	}
	s.advance(t) // what others left to be judged
	s.mended += s.decider.Mended()
}

// scale keeps readings that lie near each other within a few places.
func (s *story) scale() int {
	if s.apart == 5*60 {
		return 1
	}
	return 3
}

// newTrend gives the patient another version of a trend rule of what is measured.
func (s *story) newTrend(t *testing.T) {
	t.Helper()
	part := alerts.DayPart{From: "00:00", Until: "24:00"}
	steps := []alerts.TrendStep{{Level: alerts.Yellow, Direction: alerts.Rise, By: 2, Days: 1 + s.rng.IntN(6)}, {Level: alerts.Red, Direction: alerts.Fall, By: 2.5, MoreThan: true, Days: 3}}
	low, high := 150.0, float64(155+s.rng.IntN(10))
	trend := &alerts.Trend{ClearAfter: 1 + s.rng.IntN(2), Average: &alerts.TrendAverage{
		Days: 2 + s.rng.IntN(6), SkipDays: s.rng.IntN(2), LeastReadings: 1 + s.rng.IntN(8), LeastDays: 1, Components: []alerts.Bounds{{YellowLow: &low, YellowHigh: &high, Margin: 1}},
	}}
	if s.metric == vital.BodyWeight {
		trend = &alerts.Trend{ClearAfter: 1, Change: &alerts.TrendChange{Part: part, SameSensor: s.rng.IntN(2) == 0, Unlike: 3, Steps: steps}}
		if s.rng.IntN(2) == 0 {
			trend = &alerts.Trend{ClearAfter: 1, MovingAverage: &alerts.TrendMovingAverage{Part: part, ShortDays: 2, LeastShort: 1, LongDays: 5, LeastLong: 2, Steps: steps}}
		}
	}
	if s.rng.IntN(3) == 0 { // of what the first number of a reading is
		trend = &alerts.Trend{ClearAfter: 1 + s.rng.IntN(2), Baseline: &alerts.TrendBaseline{
			Days: 5, GapDays: s.rng.IntN(3), LeastDays: 2, LeastSessions: 3, LeastSpread: 0.5, Margin: 0.5, Steps: []alerts.TrendStep{
				{Level: alerts.Yellow, Direction: alerts.Rise, By: 2, Spreads: 1}, {Level: alerts.Red, Direction: alerts.Fall, Spreads: 2},
			},
		}}
	}
	key := alerts.TrendOn(s.metric, trend.Form())
	if _, known := s.trends[key]; !known && key.Form != alerts.FormBaseline {
		s.trends[key] = 1 // the default
	}
	_, err := s.app.AddVersion(t.Context(), s.nurse, s.patient.UID, key, s.trends[key], alerts.Version{
		EffectiveFrom: since().Add(time.Duration(s.apart*s.rng.IntN(20)) * time.Minute), Enabled: s.rng.IntN(8) > 0, Reason: "another view", Trend: trend,
	})
	if err != nil {
		t.Fatal(err)
	}
	s.trends[key]++
}

// misroute sends the batch through another partition, as an edge does that does not know the assignment yet.
func (s *story) misroute(t *testing.T, c alerts.Cursor, batch []vital.Record) alerts.Cursor {
	t.Helper()
	for i := range batch {
		r := *batch[i].Reading
		r.Epoch = 99
		batch[i].Reading = &r
	}
	stranger := alerts.NewDecider(10)
	now := since().Add(24 * time.Hour)
	res, err := s.work.Advance(t.Context(), alerts.Batch{Cursor: c, Lane: vital.Late, To: c.LateSeq + 1, Records: batch, Now: now}, stranger.Decide)
	if err != nil {
		t.Fatal(err)
	}
	return res.Cursor
}

func (s *story) newLimits(t *testing.T) {
	t.Helper()
	yellow, red, extreme := float64(135+s.rng.IntN(15)), 165.0, 185.0
	k := 1 + s.rng.IntN(3)
	_, err := s.app.AddVersion(t.Context(), s.nurse, s.patient.UID, alerts.LimitOn(vital.BloodPressure), s.version, alerts.Version{
		EffectiveFrom: since().Add(time.Duration(s.apart*s.rng.IntN(20)) * time.Minute), Enabled: s.rng.IntN(8) > 0, Reason: "another view",
		Limit: alerts.Limit{Components: []alerts.Bounds{{YellowHigh: &yellow, RedHigh: &red, ExtremeHigh: &extreme, Margin: 3}}, K: k, N: k + s.rng.IntN(4), ClearAfter: 1 + s.rng.IntN(3)},
	})
	if err != nil {
		t.Fatal(err)
	}
	s.version++
}

func (s *story) check(t *testing.T) {
	t.Helper()
	rules, err := s.app.Rules(t.Context(), s.nurse, s.patient.UID)
	if err != nil {
		t.Fatal(err)
	}
	held := map[alerts.Kind]int{}
	for i := range rules {
		if rules[i].Metric != s.metric {
			continue
		}
		track := s.track(t, rules[i].ID)
		if diff := cmp.Diff(alerts.FoldAll(&rules[i], s.points(t)), track, cmpopts.EquateEmpty()); diff != "" {
			t.Errorf("the stored track of %s differs from the reference (-want +got):\n%s", rules[i].Key(), diff)
		}
		held[rules[i].Kind] += len(track)
	}
	if s.apart > 60 && s.apart < 24*60 && held[alerts.KindTrend] == 0 {
		t.Error("no trend ever held: this proves nothing of trends")
	}
	if s.mended > 0 {
		t.Errorf("%d tracks were found wrong on the way", s.mended)
	}
	list, err := s.app.Alerts(t.Context(), s.nurse, alerts.Filter{Limit: 500})
	if err != nil {
		t.Fatal(err)
	}
	for _, a := range list {
		log, err := s.app.Log(t.Context(), s.nurse, a.UID)
		if err != nil {
			t.Fatal(err)
		}
		first := alerts.Episode{ID: a.ID, UID: a.UID, Org: a.Org, Patient: a.Patient, Rule: a.Rule, Metric: a.Metric}
		if diff := cmp.Diff(a.Episode, alerts.FoldLog(first, log)); diff != "" {
			t.Errorf("the log does not fold to the episode (-stored +folded):\n%s", diff)
		}
	}
}

func (s *story) points(t *testing.T) []alerts.Point {
	t.Helper()
	return query(t, s.record, `SELECT value, coalesce(value2, 'NaN'), measured_at, id, sensor_id FROM reading ORDER BY measured_at, id`, func(row pgx.CollectableRow) (alerts.Point, error) {
		p := alerts.Point{Metric: s.metric, Values: make([]float64, 2)}
		err := row.Scan(&p.Values[0], &p.Values[1], &p.At, &p.ID, &p.Sensor)
		p.At = p.At.UTC()
		return p, err
	})
}

func (s *story) track(t *testing.T, rule alerts.RuleID) []alerts.Interval {
	t.Helper()
	const stored = `SELECT from_at, from_id, to_at, coalesce(to_id, 0), peak, count, last_at, last_id FROM condition_interval WHERE rule_id = $1 ORDER BY from_at, from_id`
	return query(t, s.record, stored, func(row pgx.CollectableRow) (alerts.Interval, error) {
		var i alerts.Interval
		var to *time.Time
		err := row.Scan(&i.From.At, &i.From.ID, &to, &i.To.ID, &i.Peak, &i.Count, &i.Last.At, &i.Last.ID)
		i.From.At, i.Last.At = i.From.At.UTC(), i.Last.At.UTC()
		if to != nil {
			i.To.At = to.UTC()
		}
		return i, err
	}, int64(rule))
}

// query asks the database as its superuser.
func query[T any](t *testing.T, r *record, sql string, scan func(pgx.CollectableRow) (T, error), args ...any) []T {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), r.db.AdminURL())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close(context.WithoutCancel(t.Context())) }()
	rows, err := conn.Query(t.Context(), sql, args...)
	if err != nil {
		t.Fatal(err)
	}
	list, err := pgx.CollectRows(rows, scan)
	if err != nil {
		t.Fatal(err)
	}
	return list
}
