package alerts_test

import (
	"context"
	"testing"
	"time"

	"hale/alerts"
	"hale/vital"
)

// crowd is a record of many patients of whom nothing is stored yet; it counts what it is asked.
type crowd struct {
	alerts.Facts
	situations, patients, points, intervals, logged int
}

func (c *crowd) Situations(_ context.Context, patients []vital.PatientID) ([]alerts.Situation, error) {
	c.situations++
	c.patients += len(patients)
	var list []alerts.Situation
	for _, id := range patients {
		s := alerts.Situation{Org: org, Patient: id}
		for i, d := range alerts.Defaults() {
			s.Rules = append(s.Rules, alerts.Rule{
				ID: alerts.RuleID(int(id)*100 + i), Org: org, Patient: id, Kind: alerts.KindLimit, Metric: d.Metric, Versions: []alerts.Version{d.Version},
			})
		}
		list = append(list, s)
	}
	return list, nil
}

func (c *crowd) Intervals(context.Context, vital.PatientID, alerts.RuleID, alerts.Mark) ([]alerts.Interval, error) {
	c.intervals++
	return nil, nil
}

func (c *crowd) Points(context.Context, vital.PatientID, vital.Metric, alerts.Mark) ([]alerts.Point, error) {
	c.points++
	return nil, nil
}

func (c *crowd) Logged(context.Context, vital.PatientID, alerts.RuleID, alerts.Mark) ([]alerts.Told, error) {
	c.logged++
	return nil, nil
}

func (c *crowd) asked() [5]int {
	return [5]int{c.situations, c.patients, c.points, c.intervals, c.logged}
}

// morning is a batch of two readings each of many patients.
func morning(patients int, at time.Time, rate float64) []alerts.Fresh {
	var fresh []alerts.Fresh
	for id := 1; id <= patients; id++ {
		for _, p := range []alerts.Point{
			{Mark: alerts.Mark{At: at, ID: int64(id)}, Metric: vital.HeartRate, Values: []float64{rate}, ReceivedAt: at},
			{Mark: alerts.Mark{At: at, ID: int64(id) + 1e6}, Metric: vital.OxygenSat, Values: []float64{97}, ReceivedAt: at},
		} {
			fresh = append(fresh, alerts.Fresh{Org: org, Patient: vital.PatientID(id), Point: p})
		}
	}
	return fresh
}

func TestALargeBatchAsksTheRecordOnce(t *testing.T) {
	t.Parallel()
	const patients = 2000
	c, d := &crowd{}, alerts.NewDecider(0)
	decide := func(at time.Time, rate float64) alerts.Outcome {
		out, err := d.Decide(context.Background(), at, c, nil, morning(patients, at, rate))
		if err != nil {
			t.Fatal(err)
		}
		return out
	}
	at := epoch().Add(8 * time.Hour)
	decide(at, 70)
	want(t, "asked by a cold cache", [5]int{1, patients, 0, 0, 0}, c.asked())
	decide(at, 70)
	want(t, "asked again, since the first was not committed", [5]int{2, 2 * patients, 0, 0, 0}, c.asked())
	d.Committed()

	out := decide(at.Add(time.Minute), 140)
	if len(out.Episodes) != patients || len(out.Tracks) != patients || len(out.Notices) != patients {
		t.Errorf("%d alerts, %d tracks, %d notices of %d patients", len(out.Episodes), len(out.Tracks), len(out.Notices), patients)
	}
	decide(at.Add(-time.Minute), 70) // late, but inside the limits where nothing held
	want(t, "asked by a warm cache", [5]int{2, 2 * patients, 0, 0, 0}, c.asked())

	changed := []alerts.Change{{Patient: 5}}
	if _, err := d.Decide(context.Background(), at, c, changed, morning(10, at.Add(time.Minute), 70)); err != nil {
		t.Fatal(err)
	}
	want(t, "asked about whose situation has changed", [5]int{3, 2*patients + 1, 0, 0, 0}, c.asked())
}

func TestOnlySoManyPatientsAreKept(t *testing.T) {
	t.Parallel()
	c, d := &crowd{}, alerts.NewDecider(10)
	for i := range 3 {
		at := epoch().Add(time.Duration(i) * time.Hour)
		if _, err := d.Decide(context.Background(), at, c, nil, morning(25, at, 70)); err != nil {
			t.Fatal(err)
		}
		d.Committed()
	}
	want(t, "asked", [5]int{3, 25 + 15 + 15, 0, 0, 0}, c.asked())
}

func BenchmarkDecide(b *testing.B) {
	c, d := &crowd{}, alerts.NewDecider(0)
	at := epoch()
	for b.Loop() {
		at = at.Add(time.Minute)
		if _, err := d.Decide(context.Background(), at, c, nil, morning(2000, at, 70)); err != nil {
			b.Fatal(err)
		}
		d.Committed()
	}
}
