package postgres_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5"

	"hale/alerts"
	"hale/vital"
)

// TestWhateverTheOrderTheRecordEndsInTheReferenceTrack is the property of the condition track on the real record: two
// sensors, readings out of order and repeated in any batching, caches lost, limits changed for the past, and readings
// that come through the partition of somebody else.
func TestWhateverTheOrderTheRecordEndsInTheReferenceTrack(t *testing.T) {
	t.Parallel()
	for seed := range uint64(15) {
		t.Run(fmt.Sprintf("seed %d", seed), func(t *testing.T) {
			t.Parallel()
			s := &story{record: newRecord(t), rng: rand.New(rand.NewPCG(seed, 3)), apart: 1}
			if seed%3 == 0 {
				s.apart = 9 * 24 * 60 // further apart than the first windows in which earlier readings are looked for
			}
			s.tell(t)
			s.check(t)
		})
	}
}

type story struct {
	*record
	rng     *rand.Rand
	version int
	mended  int
	apart   int // minutes between two places on the story's time line
}

func (s *story) tell(t *testing.T) {
	t.Helper()
	second, given := s.addDevice(t, s.nurse, s.patient, "cuff-x")
	elsewhere := s.claim(t, (s.cursor.Partition+1)%vital.Partitions, "p1")
	s.version = 1
	s.newLimits(t)
	var all []vital.Record
	for range 70 {
		rec := s.pressure(s.apart*s.rng.IntN(25), int64(120+s.rng.IntN(75)), 80)
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
	res, err := s.work.Advance(t.Context(), alerts.Batch{Cursor: c, Lane: vital.Late, To: c.LateSeq + 1, Records: batch, Now: now}, stranger.At(now))
	if err != nil {
		t.Fatal(err)
	}
	return res.Cursor
}

func (s *story) newLimits(t *testing.T) {
	t.Helper()
	yellow, red, extreme := float64(135+s.rng.IntN(15)), 165.0, 185.0
	k := 1 + s.rng.IntN(3)
	_, err := s.app.AddVersion(t.Context(), s.nurse, s.patient.UID, vital.BloodPressure, s.version, alerts.Version{
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
	for i := range rules {
		if rules[i].Metric != vital.BloodPressure {
			continue
		}
		if diff := cmp.Diff(alerts.FoldAll(&rules[i], s.points(t)), s.track(t, rules[i].ID)); diff != "" {
			t.Errorf("the stored track differs from the reference (-want +got):\n%s", diff)
		}
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
	return query(t, s.record, `SELECT value, value2, measured_at, id FROM reading ORDER BY measured_at, id`, func(row pgx.CollectableRow) (alerts.Point, error) {
		p := alerts.Point{Metric: vital.BloodPressure, Values: make([]float64, 2)}
		err := row.Scan(&p.Values[0], &p.Values[1], &p.At, &p.ID)
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
