package postgres_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5"

	"hale/vital"
)

// TestOfARefusedListEveryRedIsFound: the lowest number of a list is one that nobody can have, or of the past; an emergency of now stands between,
// and its time tells it from others of the same number.
func TestOfARefusedListEveryRedIsFound(t *testing.T) {
	t.Parallel()
	r := newRecord(t)
	list := r.refusedValue(0, vital.ReasonUnparsable, "list", vital.HeartRate, 0, vital.Quantity{Unit: vital.PerMinute})
	now := list.Refused.ReceivedAt
	list.Refused.Read.MeasuredAt = now.Add(-time.Minute)
	add := func(percent int64, before time.Duration) {
		one := *list.Refused.Read
		one.Metric, one.Sent[0] = vital.OxygenSat, vital.Quantity{Mantissa: percent, Unit: vital.Percent}
		one.MeasuredAt, one.ReceivedAt = now.Add(-before), now
		list.Refused.See(&one, 0)
	}
	add(0, time.Minute)
	add(70, 8*time.Hour) // of the past: it calls nobody
	add(72, 3*time.Minute)
	add(72, 2*time.Minute)
	add(75, time.Minute)
	add(98, time.Minute)
	res := r.advance(t, list)
	if len(res.Events) != 2 || res.Refused != 1 {
		t.Fatalf("%+v", res)
	}
	reds := r.unverified(t, r.nurse)
	if len(reds) != 2 || reds[0].Historic || reds[0].Values[0] != 72 || reds[0].Times != 3 || reds[0].Deadline.IsZero() || !reds[1].Historic || reds[1].Values[0] != 70 {
		t.Fatalf("%+v", reds)
	}
	one, err := r.app.Unverified(t.Context(), r.nurse, reds[0].UID)
	if err != nil {
		t.Fatal(err)
	}
	var which []string
	for _, v := range one.All {
		which = append(which, fmt.Sprintf("%v, %s before", v.Values[0], now.Sub(v.MeasuredAt)))
	}
	if diff := cmp.Diff([]string{"72, 3m0s before", "72, 2m0s before", "75, 1m0s before"}, which); diff != "" {
		t.Error(diff)
	}
	if times := query(t, r, `SELECT times FROM quarantine`, pgx.RowTo[int]); len(times) != 1 || times[0] != 1 {
		t.Errorf("it came %v times", times)
	}
}
