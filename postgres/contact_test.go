package postgres_test

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"hale/alerts"
	"hale/vital"
)

// only returns the one alert of the worklist, after comparing it with its log.
func (r *record) only(t *testing.T) alerts.Alert {
	t.Helper()
	list, err := r.app.Worklist(t.Context(), r.nurse)
	if err != nil || len(list) != 1 {
		t.Fatalf("worklist %+v, %v", list, err)
	}
	log, err := r.app.Log(t.Context(), r.nurse, list[0].UID)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(list[0].Episode, alerts.FoldLog(list[0].Episode, log)); diff != "" {
		t.Errorf("the log does not fold to the episode (-stored +folded):\n%s", diff)
	}
	return list[0]
}

// TestContactIsAskedForUntilSomethingNewerIsKnown takes a red of a day ago that is the last known (product.md, section 2).
func TestContactIsAskedForUntilSomethingNewerIsKnown(t *testing.T) {
	t.Parallel()
	r := newRecord(t)
	r.advance(t, r.pressure(60, 185, 100))
	if a := r.only(t); !a.ContactNow() || !a.Historic || a.Past() {
		t.Errorf("of the last known: %+v", a)
	}
	r.advance(t, r.pressure(30, 188, 100)) // comes later, is older
	if a := r.only(t); !a.ContactNow() || a.LastValues[0] != 185 || a.WorstValues[0] != 188 {
		t.Errorf("after an older one: %+v", a)
	}
	r.advance(t, r.pressure(90, 178, 100)) // inside red, within the margin: the alert stays as it is
	if a := r.only(t); a.ContactNow() || !a.Contact {
		t.Errorf("after a newer one: %+v", a)
	}
	one, err := r.app.Alert(t.Context(), r.nurse, r.only(t).UID)
	if err != nil || !one.Newer {
		t.Errorf("the one alert: %+v, %v", one, err)
	}
}

func TestAnAlertKeepsItsWorstAndItsBeginning(t *testing.T) {
	t.Parallel()
	r := newRecord(t)
	var newest []vital.Record // a backlog, newest first
	for _, m := range []int{1980, 1500, 900, 300, 0} {
		newest = append(newest, r.pressure(m, []int64{181, 185, 183, 182, 184}[len(newest)], 90))
	}
	for _, rec := range newest {
		r.advance(t, rec)
	}
	a := r.only(t)
	if want := newest[4].Reading.MeasuredAt.UTC(); !a.Since.Equal(want) || !a.First.At.Equal(a.Last.At) || a.Last.At.Sub(a.Since) != 33*time.Hour {
		t.Errorf("since %s, want %s; first %s, last %s", a.Since, want, a.First.At, a.Last.At)
	}
	if a.WorstValues[0] != 185 || a.LastValues[0] != 181 || !a.Eased() || a.WorstLevel != alerts.Red {
		t.Errorf("worst %v at %s, last %v", a.WorstValues, a.Worst.At, a.LastValues)
	}
}
