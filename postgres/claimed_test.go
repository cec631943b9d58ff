package postgres_test

import (
	"context"
	"testing"
	"time"

	"hale/account"
	"hale/alerts"
	"hale/safe"
	"hale/vital"
)

// fromInbox claims as the program does.
type fromInbox struct{ inbox *safe.Inbox }

func (f fromInbox) Claim(ctx context.Context, actor account.Actor, sensor string, from, to time.Time, patient vital.UID, reason string) error {
	_, err := f.inbox.Claim(ctx, actor, sensor, from, to, patient, reason)
	return err
}

// TestAClaimedRedStandsWithItsPatient: what was refused is no reading, and whoever looks after the patient sees it all the same; what
// had waited is a reading that says so.
func TestAClaimedRedStandsWithItsPatient(t *testing.T) {
	t.Parallel()
	r := newRecord(t)
	other := r.addPatient(t, r.nurse, "2")
	stranger := r.stranger(t, "eva")
	now := func() time.Time { return r.now(t) }
	watch := &alerts.Watchlist{Book: r.app, Claimer: fromInbox{r.inbox()}, Now: now}
	reds := &alerts.ClaimedReds{Book: r.app, Now: now}
	r.advance(t, r.refusedValue(-10, vital.ReasonClock, "a", vital.BloodPressure, 0, vital.Quantity{Mantissa: 250, Unit: vital.MmHg}, vital.Quantity{Mantissa: 140, Unit: vital.MmHg}), r.saturation(-60, 72, 0))
	open := r.unverified(t, r.nurse)
	if len(open) != 2 {
		t.Fatalf("%+v", open)
	}
	if list, err := reds.Of(t.Context(), r.nurse, other.UID); err != nil || len(list) != 0 {
		t.Errorf("before anybody has said whose: %+v, %v", list, err)
	}
	for _, u := range open {
		if _, err := watch.Claim(t.Context(), r.nurse, u.UID, u.Version, other.UID, "Her cuff."); err != nil {
			t.Fatal(err)
		}
	}
	r.carryOut(t, 100)
	r.judgeAll(t, other)
	r.look(t, 0) // what was filed and judged ends by itself
	list, err := reds.Of(t.Context(), r.nurse, other.UID)
	if err != nil || len(list) != 2 || !list[0].Filed() || list[0].Values[0] != 72 || list[0].Note != "Her cuff." { // the newest first: what was filed ends once it was judged
		t.Fatalf("on her page: %+v, %v", list, err)
	}
	if c := list[1]; c.Filed() || c.Metric != vital.BloodPressure || c.Owner.ID != other.ID || c.ClosedBy != r.nurse.Name || c.Note != "Her cuff." {
		t.Errorf("%+v", c)
	}
	lately, err := reds.Lately(t.Context(), r.nurse)
	if err != nil || len(lately) != 1 || lately[0].Metric != vital.BloodPressure {
		t.Errorf("on the board stands what no limit judges: %+v, %v", lately, err)
	}
	reds.Now = func() time.Time { return r.now(t).Add(alerts.ClaimedOnBoard + time.Minute) }
	if lately, err := reds.Lately(t.Context(), r.nurse); err != nil || len(lately) != 0 {
		t.Errorf("a day later: %+v, %v", lately, err)
	}
	reds.Now = now
	for name, see := range map[string]func() ([]alerts.ClaimedRed, error){
		"on the board": func() ([]alerts.ClaimedRed, error) { return reds.Lately(t.Context(), stranger) },
		"on the page":  func() ([]alerts.ClaimedRed, error) { return reds.Of(t.Context(), stranger, other.UID) },
	} {
		if list, err := see(); err != nil || len(list) != 0 {
			t.Errorf("a nurse of no care team is told %s: %+v, %v", name, list, err)
		}
	}
	if n := r.count(t, `SELECT count(*) FROM reading WHERE patient_id = $1 AND value = 72 AND findings & $2 <> 0`, int64(other.ID), int64(vital.Claimed)); n != 1 {
		t.Error("the reading does not say that it was claimed")
	}
}
