package alerts_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"hale/alerts"
	"hale/vital"
)

// pulse is a heart rate at a minute after the epoch, received a second later.
func pulse(minute int, value float64) alerts.Point {
	at := epoch().Add(time.Duration(minute) * time.Minute)
	return alerts.Point{Mark: alerts.Mark{At: at, ID: int64(minute) + 1}, Metric: vital.HeartRate, Values: []float64{value}, ReceivedAt: at.Add(time.Second)}
}

// pulseRule is yellow from 100 and red from 120; one reading begins it and one ends it.
func pulseRule() alerts.Rule {
	return alerts.Rule{ID: 11, UID: "rule", Org: org, Patient: patient, Kind: alerts.KindLimit, Metric: vital.HeartRate, Versions: []alerts.Version{{
		Number: 1, EffectiveFrom: epoch().Add(-time.Hour), Enabled: true,
		Limit: alerts.Limit{Components: []alerts.Bounds{{YellowHigh: ptr(100), RedHigh: ptr(120), Margin: 3}}, K: 1, N: 1, ClearAfter: 1},
	}}}
}

// away takes the readings of these minutes from the patient, as a refile does.
func (r *record) away(minutes ...int) {
	first := minutes[0]
	r.points = slices.DeleteFunc(r.points, func(p alerts.Point) bool { return slices.Contains(minutes, int(p.ID)-1) })
	r.changes = append(r.changes, alerts.Change{Patient: patient, Rejudge: true, From: epoch().Add(time.Duration(first) * time.Minute), Moved: true})
}

// here brings readings to the patient, as a refile does.
func (r *record) here(points ...alerts.Point) {
	r.points = append(r.points, points...)
	slices.SortFunc(r.points, byMark)
	r.changes = append(r.changes, alerts.Change{Patient: patient, Rejudge: true, Late: true, From: points[0].At, Moved: true})
}

// TestReadingsThatAreTakenAway checks what becomes of alerts whose readings were somebody else's.
func TestReadingsThatAreTakenAway(t *testing.T) {
	t.Parallel()
	now := epoch().Add(time.Hour)
	cases := []struct {
		name     string
		readings []alerts.Point
		act      alerts.EntryKind // of a person, on the alert that is open; none when empty
		away     []int
		episodes string // state, level and number of readings of each, in order
		says     string // the notes of the last one, in part
		last     int    // minute of the last reading that the last one tells of
		notices  int
	}{
		{"a yellow one that nobody acted on closes", []alerts.Point{pulse(1, 80), pulse(2, 105)}, "", []int{2}, "closed yellow", "", 2, 1},
		{"also when nothing is left at all", []alerts.Point{pulse(2, 105)}, "", []int{2}, "closed yellow", "", 2, 1},
		{"a red one stays for a person", []alerts.Point{pulse(1, 80), pulse(2, 125)}, "", []int{2}, "open red", "", 2, 1},
		{"one that somebody took stays", []alerts.Point{pulse(2, 105)}, alerts.EntryAcknowledged, []int{2}, "acknowledged yellow", "", 2, 1},
		{"what is left is told of", []alerts.Point{pulse(1, 101), pulse(2, 125), pulse(3, 104), pulse(4, 118)}, "", []int{2, 4}, "open red", "without those readings this is its latest reading", 3, 2},
		{"a normal reading of another person hid that it still holds", []alerts.Point{pulse(1, 105), pulse(2, 80)}, "", []int{2}, "closed yellow, open yellow", "filed elsewhere", 1, 1},
		{"what a person has resolved opens nothing again", []alerts.Point{pulse(1, 105), pulse(2, 104)}, alerts.EntryResolved, []int{2}, "closed yellow", "", 2, 1},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			r, d := newRecord(pulseRule()), alerts.NewDecider(0)
			for _, p := range c.readings {
				if _, err := r.take(d, p.ReceivedAt, 1, p); err != nil {
					t.Fatal(err)
				}
			}
			if c.act != "" {
				r.amend(r.openEpisode(11), alerts.Entry{Kind: c.act, RecordedAt: now, Actor: ana(), Until: now.Add(time.Hour), NextStep: alerts.StepNone})
			}
			r.away(c.away...)
			if _, err := r.take(d, now, 2); err != nil {
				t.Fatal(err)
			}
			if got := r.tell(); got != c.episodes {
				t.Errorf("the alerts are %q, want %q", got, c.episodes)
			}
			e := r.episodes[len(r.episodes)-1]
			var notes []string
			for _, entry := range r.logs[e.ID] {
				notes = append(notes, entry.Note)
			}
			if said := strings.Join(notes, "\n"); !strings.Contains(said, c.says) {
				t.Errorf("the log says %q, want %q in it", said, c.says)
			}
			if want := epoch().Add(time.Duration(c.last) * time.Minute); !e.Last.At.Equal(want) {
				t.Errorf("the last reading told of is of %s, want %s", e.Last.At, want)
			}
			if e.State != alerts.Closed && e.Ended == alerts.CauseTaken && e.Holds {
				t.Error("it holds and has ended")
			}
			if len(r.notices) != c.notices {
				t.Errorf("%d notices, want %d", len(r.notices), c.notices)
			}
			r.checkPure(t)
		})
	}
}

// TestReadingsThatAreBrought checks that a person gets what is due, and that what is brought closes nothing.
func TestReadingsThatAreBrought(t *testing.T) {
	t.Parallel()
	minute := func(n int) time.Time { return epoch().Add(time.Duration(n) * time.Minute) }
	cases := []struct {
		name     string
		readings []alerts.Point
		here     []alerts.Point
		now      time.Time
		episodes string
		notices  int
	}{
		{"one of the present is told at once", nil, []alerts.Point{pulse(5, 125)}, minute(60), "open red", 1},
		{"one of the past opens an alert that calls nobody", []alerts.Point{pulse(60, 80)}, []alerts.Point{pulse(5, 125), pulse(6, 80)}, minute(24 * 60), "open red", 0},
		{"the last that is known asks for contact", nil, []alerts.Point{pulse(5, 125)}, minute(24 * 60), "open red", 1},
		{"normal ones in between close nothing", []alerts.Point{pulse(1, 105), pulse(9, 106)}, []alerts.Point{pulse(5, 80)}, minute(60), "open yellow", 1},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			r, d := newRecord(pulseRule()), alerts.NewDecider(0)
			for _, p := range c.readings {
				if _, err := r.take(d, p.ReceivedAt, 1, p); err != nil {
					t.Fatal(err)
				}
			}
			r.here(c.here...)
			if _, err := r.take(d, c.now, 2); err != nil {
				t.Fatal(err)
			}
			if got := r.tell(); got != c.episodes {
				t.Errorf("the alerts are %q, want %q", got, c.episodes)
			}
			if len(r.notices) != c.notices {
				t.Errorf("%d notices, want %d", len(r.notices), c.notices)
			}
			for _, e := range r.episodes {
				said := slices.ContainsFunc(r.logs[e.ID], func(n alerts.Entry) bool { return n.Cause == alerts.CauseBrought })
				if !said && len(c.readings) == 0 {
					t.Error("an alert does not say that its readings were filed elsewhere")
				}
			}
			r.checkPure(t)
		})
	}
}

// checkPure holds the track against the pure fold, and the alerts against their logs.
func (r *record) checkPure(t *testing.T) {
	t.Helper()
	if diff := cmp.Diff(alerts.FoldAll(&r.rules[0], r.points), r.tracks[11], cmpopts.EquateEmpty()); diff != "" {
		t.Errorf("the track is not the fold of the readings (-want +got):\n%s", diff)
	}
	for _, e := range r.episodes {
		if diff := cmp.Diff(alerts.FoldLog(*e, r.logs[e.ID]), *e); diff != "" {
			t.Errorf("alert %d is not what its log says (-log +alert):\n%s", e.ID, diff)
		}
	}
}

// tell names the alerts by state and level, in order.
func (r *record) tell() string {
	var list []string
	for _, e := range r.episodes {
		list = append(list, string(e.State)+" "+e.Level.String())
	}
	return strings.Join(list, ", ")
}
