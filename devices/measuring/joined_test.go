package measuring

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"hale/account"
	"hale/vital"
)

// TestTwoSchedulesOfOnePersonBecomeOne: nothing is expected twice, nothing ceases to be, and the past stays; apart again, each is what
// it was.
func TestTwoSchedulesOfOnePersonBecomeOne(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 11, 21, 9, 0, 0, 0, time.UTC)
	days := func(n int) time.Time { return now.AddDate(0, 0, n) }
	line := func(m vital.Metric, from int) Line {
		return Line{Metric: m, First: "2026-11-01", Times: []Window{{From: from, At: from + 30, To: from + 60}}}
	}
	version := func(number int, from time.Time, lines ...Line) Schedule {
		return Schedule{Number: number, EffectiveFrom: from, Lines: lines}
	}
	morning, evening, weight, sugar := line(vital.BloodPressure, 420), line(vital.BloodPressure, 1140), line(vital.BodyWeight, 420), line(vital.Glucose, 420)
	for name, c := range map[string]struct {
		own, other []Schedule
		added      int // versions
	}{
		"none has one":                 {nil, nil, 0},
		"only the other has one":       {nil, []Schedule{version(1, days(-9), morning, weight)}, 1},
		"only the own has one":         {[]Schedule{version(1, days(-9), morning)}, nil, 0},
		"both of the same metric":      {[]Schedule{version(1, days(-9), morning)}, []Schedule{version(1, days(-8), evening)}, 0},
		"each of another":              {[]Schedule{version(1, days(-9), morning)}, []Schedule{version(1, days(-8), evening, weight)}, 1},
		"the other's has ended":        {[]Schedule{version(1, days(-9), morning)}, []Schedule{version(1, days(-8), weight), version(2, days(-1))}, 0},
		"the other's is to come":       {[]Schedule{version(1, days(-9), morning)}, []Schedule{version(1, days(5), weight)}, 2},
		"the own is to change as well": {[]Schedule{version(1, days(-9), morning), version(2, days(3), evening, sugar)}, []Schedule{version(1, days(-8), weight, sugar)}, 2},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			slots := func(versions []Schedule, from, to time.Time) []Slot { return Slots(versions, time.UTC, from, to) }
			number := func(versions, more []Schedule) []Schedule {
				all := append([]Schedule(nil), versions...)
				for _, v := range more {
					v.Number = len(all) + 1
					all = append(all, v)
				}
				return all
			}
			joined := Joined(c.own, c.other, now)
			if len(joined) != c.added {
				t.Fatalf("%d versions are added, want %d", len(joined), c.added)
			}
			one := number(c.own, joined)
			if diff := cmp.Diff(slots(c.own, days(-9), now), slots(one, days(-9), now)); diff != "" {
				t.Errorf("what was expected before is another now:\n%s", diff)
			}
			for day := range 8 {
				got := map[vital.Metric]int{}
				for _, s := range slots(one, days(day), days(day+1)) {
					got[s.Metric]++
				}
				want := map[vital.Metric]int{}
				for _, s := range slots(c.own, days(day), days(day+1)) {
					want[s.Metric]++
				}
				for _, s := range slots(c.other, days(day), days(day+1)) {
					if _, some := want[s.Metric]; !some {
						want[s.Metric] = 1
					}
				}
				if diff := cmp.Diff(want, got); diff != "" {
					t.Errorf("day %d (-want +got):\n%s", day, diff)
				}
			}
			if len(joined) == 0 {
				return
			}
			apart := number(one, Alone(c.own, days(4)))
			if diff := cmp.Diff(slots(c.own, days(4), days(20)), slots(apart, days(4), days(20))); diff != "" {
				t.Errorf("apart again (-want +got):\n%s", diff)
			}
			if diff := cmp.Diff(slots(one, days(-9), days(4)), slots(apart, days(-9), days(4))); diff != "" {
				t.Errorf("what was expected while they were one is another now:\n%s", diff)
			}
		})
	}
	h := History{Patient: account.Patient{State: account.Merged}, Versions: []Authored{{Schedule: version(1, days(-9), morning)}}}
	if p := h.Plan(); len(p.Versions) != 0 {
		t.Error("of a record whose readings are another's something is missing")
	}
}
