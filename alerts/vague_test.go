package alerts_test

import (
	"testing"
	"time"

	"hale/alerts"
)

// dated is a pulse of which no more is known than that it was measured within the day, and that arrived at that minute.
func dated(minute, arrived int, value float64) alerts.Point {
	p := pulse(minute, value)
	p.ReceivedAt, p.Unsure = epoch().Add(time.Duration(arrived)*time.Minute), 24*time.Hour
	return p
}

// TestAnAlertKnowsHowWellTheTimesOfItsReadingsAreKnown: so that nobody is shown one as if it were known.
func TestAnAlertKnowsHowWellTheTimesOfItsReadingsAreKnown(t *testing.T) {
	t.Parallel()
	r, d := newRecord(pulseRule()), alerts.NewDecider(0)
	for _, p := range []alerts.Point{dated(1, 300, 125), pulse(302, 106), pulse(304, 104)} {
		if _, err := r.take(d, p.ReceivedAt, 1, p); err != nil {
			t.Fatal(err)
		}
	}
	e := r.openEpisode(11)
	if e == nil {
		t.Fatal("nothing is open")
	}
	first := dated(1, 300, 125)
	if want := first.Vague(); e.FirstVague != want || e.SinceVague != want || e.WorstVague != want || want.IsZero() || !e.LastVague.IsZero() {
		t.Errorf("first %v, since %v, worst %v, last %v", e.FirstVague, e.SinceVague, e.WorstVague, e.LastVague)
	}
	if n := r.logs[e.ID][0]; n.Vague != first.Vague() {
		t.Errorf("the log says %v", n.Vague)
	}
	// Judged anew, it is said of the one that is its last by then.
	r.back(epoch().Add(306*time.Minute), ana(), 304, 302)
	if _, err := r.take(d, epoch().Add(310*time.Minute), 1); err != nil {
		t.Fatal(err)
	}
	if e := r.openEpisode(11); e.WorstVague != first.Vague() || e.LastVague != first.Vague() {
		t.Errorf("judged anew: worst %v, last %v", e.WorstVague, e.LastVague)
	}
	r.checkPure(t)
}

// TestWhatMayHaveBeenMeasuredSinceIsNotResolved: a red of today's date is none of the readings of this morning that a person has seen to.
func TestWhatMayHaveBeenMeasuredSinceIsNotResolved(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		late alerts.Point
		open bool
	}{
		"measured before it was resolved":           {func() alerts.Point { p := pulse(3, 125); p.ReceivedAt = epoch().Add(300 * time.Minute); return p }(), false},
		"perhaps after it, for all that is known":   {dated(3, 300, 125), true},
		"within some minutes, and surely before it": {func() alerts.Point { p := dated(3, 300, 125); p.Unsure = 4 * time.Minute; return p }(), false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r, d := newRecord(pulseRule()), alerts.NewDecider(0)
			if _, err := r.take(d, epoch().Add(2*time.Minute), 1, pulse(2, 125)); err != nil {
				t.Fatal(err)
			}
			at := epoch().Add(10 * time.Minute)
			r.amend(r.openEpisode(11), alerts.Entry{Kind: alerts.EntryResolved, RecordedAt: at, Actor: ana(), NextStep: alerts.StepNone})
			if _, err := r.take(d, c.late.ReceivedAt, 1, c.late); err != nil {
				t.Fatal(err)
			}
			if open := r.openEpisode(11) != nil; open != c.open {
				t.Errorf("somebody is called: %v", open)
			}
			r.checkPure(t)
		})
	}
}
