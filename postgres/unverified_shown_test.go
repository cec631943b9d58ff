package postgres_test

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"hale/account"
	"hale/alerts"
	"hale/safe"
	"hale/vital"
)

// TestNobodyActsOnAValueThatTheyWereNotShown: whoever speaks of 74 % does not end, or file to anybody, the 61 % that came since.
func TestNobodyActsOnAValueThatTheyWereNotShown(t *testing.T) {
	t.Parallel()
	r := newRecord(t)
	other := r.addPatient(t, r.nurse, "2")
	r.advance(t, r.saturation(-60, 74, 0))
	u := r.unverified(t, r.nurse)[0]
	if res := r.advance(t, r.saturation(-59, 61, 0)); len(res.Events) != 0 || r.count(t, `SELECT count(*) FROM outbox WHERE topic = 'unverified.worsened'`) != 0 {
		t.Error("a worse value of one that nobody has taken calls a second time")
	}
	watch := r.watchlist()
	acts := map[string]func(version int) error{
		"claimed": func(version int) error {
			_, err := watch.Claim(t.Context(), r.nurse, u.UID, version, other.UID, "the 74 was hers")
			return err
		},
		"acknowledged": func(version int) error {
			_, err := watch.Acknowledge(t.Context(), r.nurse, u.UID, version, time.Time{})
			return err
		},
		"closed": func(version int) error {
			_, err := watch.Close(t.Context(), r.nurse, u.UID, version, alerts.ClosedAsNotReal, "a test")
			return err
		},
	}
	for name, act := range acts {
		if err := act(u.Version); !errors.Is(err, alerts.ErrStale) {
			t.Errorf("%s by who saw 74: %v", name, err)
		}
	}
	if n := r.count(t, `SELECT count(*) FROM refile`); n != 0 {
		t.Error("a value that nobody has seen is being filed")
	}
	came := r.unverified(t, r.nurse)[0]
	if came.Values[0] != 61 || came.State != alerts.Open {
		t.Fatalf("%+v", came)
	}
	r.advance(t, r.saturation(-58, 70, 0)) // it goes on showing 61
	if err := acts["acknowledged"](came.Version); err != nil {
		t.Errorf("who saw 61: %v", err)
	}
}

// TestAWorseValueThanTheOneLookedAfterCalls: nobody knows whose either is, so the worse may be another person's.
func TestAWorseValueThanTheOneLookedAfterCalls(t *testing.T) {
	t.Parallel()
	r := newRecord(t)
	r.advance(t, r.saturation(-60, 84, 0))
	u := r.unverified(t, r.nurse)[0]
	u, err := r.watchlist().Acknowledge(t.Context(), r.nurse, u.UID, u.Version, time.Time{})
	if err != nil {
		t.Fatal(err)
	}
	if res := r.advance(t, r.saturation(-59, 84, 0), r.saturation(-58, 84, 0)); len(res.Events) != 0 || r.unverified(t, r.nurse)[0].State != alerts.Acknowledged {
		t.Error("the same again breaks what somebody looks after")
	}
	res := r.advance(t, r.saturation(-57, 60, 0))
	after, err := r.app.Unverified(t.Context(), r.nurse, u.UID)
	if err != nil || after.State != alerts.Open || after.Values[0] != 60 || after.Version != u.Version+1 || len(res.Events) != 1 || res.Events[0].Version != after.Version {
		t.Fatalf("%+v, %+v, %v", after, res.Events, err)
	}
	if e := lastOf(&after); e.Kind != "worsened" || e.Values[0] != 60 {
		t.Errorf("%+v", after.Log)
	}
	if n := r.count(t, `SELECT count(*) FROM outbox WHERE topic = 'unverified.worsened'`); n != 1 {
		t.Errorf("%d notices", n)
	}
	if n := r.count(t, `SELECT count(*) FROM unverified WHERE next_action_at = deadline_at`); n != 1 {
		t.Error("it does not become loud when nobody looks")
	}
}

// TestEachSeesTheirOwnClaimedValue though one row stood for both, and not when the claim is undone, or the reading is taken back.
func TestEachSeesTheirOwnClaimedValue(t *testing.T) {
	t.Parallel()
	r := newRecord(t)
	aino, carmen := r.addPatient(t, r.nurse, "2"), r.addPatient(t, r.nurse, "3")
	r.twoClaimed(t, carmen, aino)
	of := func(p account.Patient) []float64 { return r.claimedOf(t, p) }
	if diff := cmp.Diff([][]float64{{61}, {74}}, [][]float64{of(aino), of(carmen)}); diff != "" {
		t.Errorf("each her own:\n%s", diff)
	}
	// The claim for Carmen is undone.
	r.ask(t, safe.Wish{Sensor: "cuff-1", From: since().Add(-time.Hour), To: since().Add(-time.Hour + time.Second), Owner: carmen.UID, Reason: "It was not she."})
	r.carryOut(t, 100)
	r.look(t, 0)
	if diff := cmp.Diff([][]float64{{61}, nil}, [][]float64{of(aino), of(carmen)}); diff != "" {
		t.Errorf("after hers was undone:\n%s", diff)
	}
	if n := r.count(t, `SELECT count(*) FROM unverified_person WHERE patient_id = $1`, int64(carmen.ID)); n != 0 {
		t.Error("it is still said to be hers")
	}
	if list := r.unverified(t, r.nurse); len(list) != 1 || list[0].Values[0] != 74 {
		t.Errorf("what is nobody's again: %+v", list)
	}
	r.exec(t, `DELETE FROM reading WHERE value = 61`) // taken back
	if got := of(aino); got != nil {
		t.Errorf("what stands no more is still hers: %v", got)
	}
}

// twoClaimed are 74 and 61 % of one sensor, which one row stood for, claimed for two people and judged.
func (r *record) twoClaimed(t *testing.T, carmen, aino account.Patient) {
	t.Helper()
	r.advance(t, r.saturation(-60, 74, 0), r.saturation(-59, 61, 0))
	r.calm(t)
	for i, p := range []account.Patient{carmen, aino} {
		at := since().Add(time.Duration(i-60) * time.Minute)
		if _, err := r.inbox().Claim(t.Context(), r.nurse, "cuff-1", at, at.Add(time.Microsecond), p.UID, "It was she."); err != nil {
			t.Fatal(err)
		}
		r.carryOut(t, 100)
	}
	r.judgeAll(t, aino)
	r.judgeAll(t, carmen)
	r.look(t, 0)
}

// claimedOf are the values that stand on the patient's page as claimed.
func (r *record) claimedOf(t *testing.T, p account.Patient) (values []float64) {
	t.Helper()
	reds := &alerts.ClaimedReds{Book: r.app, Now: func() time.Time { return r.now(t) }}
	list, err := reds.Of(t.Context(), r.nurse, p.UID)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range list {
		if c.Owner.ID != p.ID || c.Owner.Name != p.Name {
			t.Errorf("a red of %s stands with %s", c.Owner.Name, p.Name)
		}
		values = append(values, c.Values...)
	}
	return values
}

// TestErasingOneLeavesWhatIsTheOthers of a row that stood for both.
func TestErasingOneLeavesWhatIsTheOthers(t *testing.T) {
	t.Parallel()
	r := newRecord(t)
	aino, carmen := r.addPatient(t, r.nurse, "2"), r.addPatient(t, r.nurse, "3")
	r.twoClaimed(t, carmen, aino)
	r.request(t, aino, atOnce(), safe.ErasureDecision{})
	r.carryErasureOut(t, r.now(t))
	if n := r.count(t, `SELECT (SELECT count(*) FROM unverified WHERE vals = '{61}') + (SELECT count(*) FROM unverified_value WHERE vals = '{61}') + (SELECT count(*) FROM unverified_entry WHERE vals = '{61}')`); n != 0 {
		t.Errorf("%d rows tell of who was erased", n)
	}
	if diff := cmp.Diff([]float64{74}, r.claimedOf(t, carmen)); diff != "" {
		t.Errorf("the other's:\n%s", diff)
	}
	if n := r.count(t, `SELECT count(*) FROM unverified WHERE vals = '{74}'`); n != 1 {
		t.Error("the row does not show what is left")
	}
	u := r.ended(t, r.nurse)
	var log []string
	for _, e := range u.Log {
		log = append(log, fmt.Sprintf("%s %v %s %s", e.Kind, e.Values, e.By, e.Note))
	}
	if diff := cmp.Diff([]string{"opened []  ", "claimed [74] " + r.nurse.Name + " "}, log); diff != "" {
		t.Errorf("the log of what is left:\n%s", diff)
	}
}

// TestErasingWhoseItWasNotLeavesWhoseItIs: of her goes that it was said to be hers, and why it was not; of whose it is, what is left behind
// by the wrong claim goes as well.
func TestErasingWhoseItWasNotLeavesWhoseItIs(t *testing.T) {
	t.Parallel()
	r := newRecord(t)
	aino, carmen := r.addPatient(t, r.nurse, "2"), r.addPatient(t, r.nurse, "3")
	r.advance(t, r.refusedValue(-10, vital.ReasonClock, "a", vital.BloodPressure, 0, vital.Quantity{Mantissa: 250, Unit: vital.MmHg}, vital.Quantity{Mantissa: 140, Unit: vital.MmHg}))
	watch := r.watchlist()
	for i, p := range []account.Patient{aino, carmen} {
		list := r.unverified(t, r.nurse)
		if len(list) != 1 {
			t.Fatalf("%+v", list)
		}
		u := list[0]
		after, err := watch.Claim(t.Context(), r.nurse, u.UID, u.Version, p.UID, "NEEDLE "+p.Name)
		if err == nil && i == 0 {
			_, err = watch.Unclaim(t.Context(), r.nurse, u.UID, after.All[0].ID, "NEEDLE was at church")
		}
		if err != nil {
			t.Fatal(err)
		}
		r.look(t, 0)
	}
	r.request(t, aino, atOnce(), safe.ErasureDecision{})
	r.carryErasureOut(t, r.now(t))
	if n := r.count(t, `SELECT (SELECT count(*) FROM unverified WHERE note LIKE '%church%') + (SELECT count(*) FROM unverified_entry WHERE note LIKE '%church%' OR claimed_for = $1)`, int64(aino.ID)); n != 0 {
		t.Errorf("%d rows tell of whose it was not", n)
	}
	if diff := cmp.Diff([]float64{250, 140}, r.claimedOf(t, carmen)); diff != "" {
		t.Errorf("whose it is:\n%s", diff)
	}
	r.request(t, carmen, atOnce(), safe.ErasureDecision{})
	r.carryErasureOut(t, r.now(t))
	if n := r.count(t, `SELECT (SELECT count(*) FROM unverified) + (SELECT count(*) FROM unverified_value) + (SELECT count(*) FROM unverified_entry)`); n != 0 {
		t.Errorf("%d rows are left of hers", n)
	}
}
