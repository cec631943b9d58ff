package postgres_test

import (
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"hale/alerts"
	"hale/vital"
)

// TestWhatADeviceTakesBackIsBounded for each: beyond it waits in quarantine, and what was named in vain can be named again.
func TestWhatADeviceTakesBackIsBounded(t *testing.T) {
	t.Parallel()
	r := newRecord(t)
	flood := make([]vital.Record, 1100)
	for i := range flood {
		flood[i] = r.inError(10, fmt.Sprintf("never-%d", i))
	}
	flood = append(flood, flood[0]) // in one batch twice
	if res := r.advance(t, flood...); res.Refused != 100 {
		t.Errorf("%d are refused", res.Refused)
	}
	if n := r.count(t, `SELECT count(*) FROM withdrawal WHERE state = 'asked'`); n != 1000 {
		t.Errorf("%d are open", n)
	}
	if n := r.count(t, `SELECT count(*) FROM quarantine WHERE reason = 'name' AND detail LIKE '%more than 1000%'`); n != 100 {
		t.Errorf("%d are in quarantine", n)
	}
	// Sent again they are what they were; with the first ones done there is room.
	if res := r.advance(t, flood[:1000]...); res.Refused != 0 {
		t.Errorf("%d of those that are open are refused", res.Refused)
	}
	r.exec(t, `UPDATE withdrawal SET state = CASE WHEN id % 2 = 0 THEN 'done' ELSE 'unknown' END`)
	if res := r.advance(t, flood...); res.Refused != 0 {
		t.Errorf("%d are refused though nothing is open", res.Refused)
	}
	if n := r.count(t, `SELECT count(*) FROM withdrawal WHERE state = 'asked'`); n != 600 {
		t.Errorf("%d are asked: those that were named in vain, and those that were too many", n)
	}
	r.exec(t, `UPDATE withdrawal SET next_action_at = clock_timestamp() - interval '31 days', state = CASE WHEN id % 3 = 0 THEN 'asked' ELSE state END`)
	if err := r.work.KeepOriginals(t.Context()); err != nil {
		t.Fatal(err)
	}
	if n := r.count(t, `SELECT count(*) FROM withdrawal WHERE state <> 'asked'`); n != 0 || r.count(t, `SELECT count(*) FROM withdrawal`) == 0 {
		t.Errorf("%d that are done are kept for good, or those that are open are gone", n)
	}
}

// TestAFloodOfWithdrawalsHoldsNobodyUp: what a device names in vain for the second time comes after what another takes back.
func TestAFloodOfWithdrawalsHoldsNobodyUp(t *testing.T) {
	t.Parallel()
	r := newRecord(t)
	r.advance(t, r.named(r.pressure(30, 192, 110), "obs-1", vital.Final))
	loud := r.bare(t, "loud")
	r.exec(t, fmt.Sprintf(`INSERT INTO withdrawal (org_id, sensor_id, device_id, name, standing, metric, sent_at, tie, received_at, attempts, next_action_at)
		SELECT 1, %d, %d, n, 2, 1, '2026-01-01Z', n, '2026-01-01Z', 1, '2026-01-01Z' FROM generate_series(1, 12000) n`, loud.Own, loud.ID))
	r.advance(t, r.inError(30, "obs-1"))
	if found, err := r.work.StepWithdrawal(t.Context(), r.now(t)); !found || err != nil {
		t.Fatal(found, err)
	}
	if n := r.count(t, `SELECT count(*) FROM withdrawn_reading`); n != 1 {
		t.Error("the other's is not carried out")
	}
	if n := r.count(t, `SELECT count(*) FROM withdrawal WHERE attempts = 2`); n != 49 {
		t.Errorf("%d of the loud one's were looked for", n)
	}
}

// TestWithdrawalsAreCarriedOutOnceEach by processes that look at the same time, and again when one fell silent.
func TestWithdrawalsAreCarriedOutOnceEach(t *testing.T) {
	t.Parallel()
	r := newRecord(t)
	flood := make([]vital.Record, 240)
	for i := range flood {
		flood[i] = r.inError(10, fmt.Sprintf("never-%d", i))
	}
	r.advance(t, flood...)
	now := r.now(t).Add(time.Hour)
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for found := true; found; {
				var err error
				if found, err = r.work.StepWithdrawal(t.Context(), now); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	wg.Wait()
	if n := r.count(t, `SELECT count(*) FROM withdrawal WHERE attempts = 1`); n != len(flood) {
		t.Errorf("%d were looked for once", n)
	}
	r.exec(t, `UPDATE withdrawal SET attempts = 0, next_action_at = '2026-01-01Z'::timestamptz + interval '1 minute'`) // claimed, and the process fell silent
	if found, err := r.work.StepWithdrawal(t.Context(), now); !found || err != nil {
		t.Errorf("%v, %v", found, err)
	}
}

// standing are the systolic pressures that stand in the record, and those that were taken back.
func (r *record) standing(t *testing.T) string {
	t.Helper()
	return r.text(t, `SELECT coalesce((SELECT string_agg(value::text, ',' ORDER BY value) FROM reading), '') || ' not ' ||
		coalesce((SELECT string_agg(value::text, ',' ORDER BY value) FROM withdrawn_reading), '')`)
}

// said is what a device says of one measurement under one name, so many minutes after it began.
func (r *record) said(after int, systolic int64, standing vital.Standing) vital.Record {
	rec := r.named(r.pressure(30, systolic, 80), "obs-1", standing)
	if standing == vital.EnteredInError {
		rec = r.inError(30, "obs-1")
	}
	rec.Reading.ReceivedAt = since().Add(30*time.Minute + time.Duration(after)*time.Minute)
	return rec
}

// TestWhatADeviceSaysLastOfAMeasurementStands in whatever order it comes, with the withdrawals carried out after each or at the end, and
// in one batch.
func TestWhatADeviceSaysLastOfAMeasurementStands(t *testing.T) {
	t.Parallel()
	type word struct {
		systolic int64
		standing vital.Standing
	}
	const final, amended, inError = vital.Final, vital.Amended, vital.EnteredInError
	for name, c := range map[string]struct {
		words []word
		want  string
	}{
		"a correction back to the first value":                    {[]word{{161, final}, {164, amended}, {161, amended}}, "161 not 164"},
		"a correction back and forth":                             {[]word{{161, final}, {164, amended}, {161, amended}, {164, amended}}, "164 not 161"},
		"an amendment to the value that was entered in error":     {[]word{{161, final}, {0, inError}, {161, amended}}, "161 not "},
		"entered in error again":                                  {[]word{{161, final}, {0, inError}, {161, amended}, {0, inError}}, " not 161"},
		"the first value, sent again as it was":                   {[]word{{161, final}, {164, amended}, {161, final}}, "164 not 161"},
		"entered in error before it comes":                        {[]word{{0, inError}, {190, final}}, " not 190"},
		"an amendment before what it amends":                      {[]word{{170, amended}, {190, final}}, "170 not 190"},
		"two amendments before what they amend":                   {[]word{{170, amended}, {175, amended}, {190, final}}, "175 not 170,190"},
		"an amendment after entered in error, before what it was": {[]word{{0, inError}, {170, amended}, {190, final}}, "170 not 190"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for _, each := range []bool{true, false} {
				r := newRecord(t)
				for i, w := range c.words {
					r.advance(t, r.said(i+1, w.systolic, w.standing))
					if each {
						r.withdrawAll(t)
					}
				}
				r.withdrawAll(t)
				if got := r.standing(t); got != c.want {
					t.Errorf("carried out after each (%v): %q stand, want %q", each, got, c.want)
				}
				if n := r.count(t, `SELECT count(*) FROM withdrawal WHERE state = 'unknown'`) + r.count(t, `SELECT count(*) FROM quarantine`); n != 0 {
					t.Errorf("%d count as never sent", n)
				}
			}
			r := newRecord(t)
			var all []vital.Record
			for i, w := range c.words {
				all = append(all, r.said(i+1, w.systolic, w.standing))
			}
			r.advance(t, all...)
			r.withdrawAll(t)
			if got := r.standing(t); got != c.want {
				t.Errorf("in one batch: %q stand, want %q", got, c.want)
			}
		})
	}
}

// TestWhatWasNamedInVainIsMetWhenItComes long after the looks for it have ended.
func TestWhatWasNamedInVainIsMetWhenItComes(t *testing.T) {
	t.Parallel()
	r := newRecord(t)
	r.advance(t, r.said(1, 0, vital.EnteredInError))
	now := r.now(t)
	for range 20 {
		if _, err := r.work.StepWithdrawal(t.Context(), now); err != nil {
			t.Fatal(err)
		}
		now = now.Add(10 * time.Minute)
	}
	if n := r.count(t, `SELECT count(*) FROM quarantine WHERE reason = 'name' AND convert_from(raw, 'UTF8') LIKE '%of what cuff-1 had sent under the name "obs-1": blood_pressure, of 20%' AND settled_at IS NULL`); n != 1 {
		t.Error("what was named in vain is not in quarantine, or not to be found by it")
	}
	r.advance(t, r.said(300, 190, vital.Final))
	r.withdrawAll(t)
	if got := r.standing(t); got != " not 190" {
		t.Errorf("%q stand", got)
	}
	if n := r.count(t, `SELECT count(*) FROM quarantine WHERE settled_at IS NULL`); n != 0 {
		t.Error("the desk is still asked about what was found since")
	}
}

// TestWhatIsSaidAtOneTimeHasAnOrder: of words in one message, what takes back comes after what amends, and then what stands later in it.
func TestWhatIsSaidAtOneTimeHasAnOrder(t *testing.T) {
	t.Parallel()
	const final, amended, inError = vital.Final, vital.Amended, vital.EnteredInError
	type word struct {
		systolic int64
		standing vital.Standing
	}
	for name, c := range map[string]struct {
		words []word
		want  string
	}{
		"two corrections":                        {[]word{{161, final}, {164, amended}, {170, amended}}, "170 not 161,164"},
		"two corrections, the other way":         {[]word{{161, final}, {170, amended}, {164, amended}}, "164 not 161,170"},
		"back to the first correction":           {[]word{{161, final}, {164, amended}, {170, amended}, {164, amended}}, "164 not 161,170"},
		"a correction before what it corrects":   {[]word{{164, amended}, {161, final}}, "164 not 161"},
		"corrected and taken back":               {[]word{{161, final}, {164, amended}, {0, inError}}, " not 161,164"},
		"taken back and corrected, at one time":  {[]word{{161, final}, {0, inError}, {164, amended}}, " not 161,164"},
		"back to what it was, in the same words": {[]word{{161, final}, {164, amended}, {161, amended}}, "161 not 164"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for _, batches := range []bool{false, true} {
				r := newRecord(t)
				var all []vital.Record
				for _, w := range c.words {
					rec := r.said(1, w.systolic, w.standing)
					if batches { // as when a message is decoded again later
						r.advance(t, rec)
						r.withdrawAll(t)
					}
					all = append(all, rec)
				}
				if !batches {
					r.advance(t, all...)
					r.withdrawAll(t)
				}
				if got := r.standing(t); got != c.want {
					t.Errorf("in batches of their own (%v) %q stand, want %q", batches, got, c.want)
				}
			}
		})
	}
}

// TestWhatWasRefusedAndIsTakenBackEnds as unverified, with what was said to be somebody's; what is decoded again later leaves the record.
func TestWhatWasRefusedAndIsTakenBackEnds(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name    string
		claimed bool
	}{{"nobody's", false}, {"somebody's, as a nurse said", true}} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			r := newRecord(t)
			refused := r.refusedValue(10, vital.ReasonClock, "a", vital.BloodPressure, 0, vital.Quantity{Mantissa: 250, Unit: vital.MmHg}, vital.Quantity{Mantissa: 140, Unit: vital.MmHg})
			refused.Refused.Read.More = &vital.More{Name: vital.TieOfName("obs-1")}
			other := r.refusedValue(11, vital.ReasonClock, "b", vital.HeartRate, 0, vital.Quantity{Mantissa: 20, Unit: vital.PerMinute})
			other.Refused.Read.More = &vital.More{Name: vital.TieOfName("obs-2")}
			r.advance(t, refused, other)
			list := r.unverified(t, r.nurse)
			if len(list) != 2 {
				t.Fatalf("%+v", list)
			}
			if c.claimed {
				for _, u := range list {
					if u.Metric == vital.BloodPressure {
						if _, err := r.watchlist().Claim(t.Context(), r.nurse, u.UID, u.Version, r.patient.UID, "His cuff."); err != nil {
							t.Fatal(err)
						}
					}
				}
				if len(r.claimedOf(t, r.patient)) == 0 {
					t.Fatal("it does not stand with him")
				}
			}
			r.advance(t, r.inError(30, "obs-1"))
			r.withdrawAll(t)
			r.look(t, 0)
			if list = r.unverified(t, r.nurse); len(list) != 1 || list[0].Metric != vital.HeartRate {
				t.Errorf("on the list: %+v", list)
			}
			if got := r.claimedOf(t, r.patient); got != nil {
				t.Errorf("it still stands with the patient: %v", got)
			}
			if n := r.count(t, `SELECT count(*) FROM unverified_entry WHERE kind = 'taken_back' AND vals = '{250,140}'`); n != 1 {
				t.Errorf("%d entries say it", n)
			}
			if n := r.count(t, `SELECT count(*) FROM quarantine WHERE settled_at IS NOT NULL AND detail LIKE '%since taken back%'`); n != 1 || r.count(t, `SELECT count(*) FROM quarantine`) != 2 {
				t.Errorf("%d are settled", n)
			}
			// Decoded again, received at the same time.
			again := r.named(r.pressure(10, 250, 140), "obs-1", vital.Final)
			again.Reading.ReceivedAt = refused.Refused.ReceivedAt
			r.advance(t, again)
			r.withdrawAll(t)
			if got := r.standing(t); got != " not 250" {
				t.Errorf("decoded again: %q stand", got)
			}
		})
	}
}

// TestAnAmendmentBackIsToldByTheAlert and judged: the alert tells of it again.
func TestAnAmendmentBackIsToldByTheAlert(t *testing.T) {
	t.Parallel()
	r := newRecord(t)
	for i, w := range []vital.Record{r.said(1, 192, vital.Final), r.said(2, 129, vital.Amended), r.said(3, 192, vital.Amended)} {
		r.advance(t, w)
		r.withdrawAll(t)
		r.judgeAll(t, r.patient)
		if a := r.only(t); a.Holds != (i != 1) || (len(a.Retracted) > 0) != (i == 1) {
			t.Errorf("after word %d: %+v", i+1, a.Episode)
		}
	}
	if n := r.count(t, `SELECT count(*) FROM reading WHERE value = 192 AND findings & $1 <> 0`, int64(vital.Amending)); n != 1 {
		t.Error("that it was amended is not said")
	}
}

// TestACorrectionThatWasRefusedIsSaidBesideWhatItNames: the old value goes on standing, and nobody takes it for undisputed.
func TestACorrectionThatWasRefusedIsSaidBesideWhatItNames(t *testing.T) {
	t.Parallel()
	r := newRecord(t)
	marked := func() int {
		return r.count(t, `SELECT count(*) FROM reading WHERE findings & $1 <> 0`, int64(vital.CorrectionRefused))
	}
	refused := r.refusedValue(40, vital.ReasonClock, "a", vital.BloodPressure, 0, vital.Quantity{Mantissa: 129, Unit: vital.MmHg}, vital.Quantity{Mantissa: 80, Unit: vital.MmHg})
	refused.Refused.Read.More = &vital.More{Name: vital.TieOfName("obs-1"), Standing: vital.Amended}
	r.advance(t, r.said(1, 192, vital.Final), r.pressure(20, 131, 80))
	r.advance(t, refused)
	r.withdrawAll(t)
	if got := r.standing(t); got != "131,192 not " || marked() != 1 {
		t.Errorf("%q stand, %d are marked", got, marked())
	}
	said := func() (n int) {
		a := r.only(t)
		log, err := r.app.Log(t.Context(), r.nurse, a.UID)
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range log {
			if e.Cause == alerts.CauseRefused && e.Values[0] == 192 && e.Findings&vital.CorrectionRefused != 0 {
				n++
			}
		}
		if diff := cmp.Diff(alerts.FoldLog(a.Episode, log), a.Episode); diff != "" {
			t.Errorf("it is not what its log says (-log +alert):\n%s", diff)
		}
		return n
	}
	if a := r.only(t); said() != 1 || !a.Holds || a.Retraction(a.Last) != nil {
		t.Errorf("%d entries say it of %+v", said(), a.Episode)
	}
	// The same again says nothing more; sent again as it is, the device wants just that.
	refused.Refused.ReceivedAt = refused.Refused.ReceivedAt.Add(time.Minute)
	r.advance(t, refused)
	r.withdrawAll(t)
	if said() != 1 || marked() != 1 {
		t.Errorf("refused again: %d entries, %d marked", said(), marked())
	}
	r.advance(t, r.said(30, 192, vital.Amended))
	r.withdrawAll(t)
	if got := r.standing(t); got != "131,192 not " || marked() != 0 {
		t.Errorf("confirmed: %q stand, %d are marked", got, marked())
	}
	if n := r.count(t, `SELECT count(*) FROM withdrawal WHERE state <> 'done'`); n != 0 {
		t.Errorf("%d are not carried out", n)
	}
}
