package postgres_test

import (
	"strings"
	"testing"
	"time"

	"hale/alerts"
	"hale/devices"
	"hale/fault"
	"hale/vital"
)

// TestWhatWasClaimedAndIsDecodedAgainIsRefusedNoMore: the claim was of what was refused; the reading that came of it is whose it is filed
// for, or calls anew.
func TestWhatWasClaimedAndIsDecodedAgainIsRefusedNoMore(t *testing.T) {
	t.Parallel()
	r := newRecord(t)
	other := r.addPatient(t, r.nurse, "2")
	r.advance(t, r.refusedValue(-10, vital.ReasonClock, "a", vital.BloodPressure, 0, vital.Quantity{Mantissa: 250, Unit: vital.MmHg}, vital.Quantity{Mantissa: 140, Unit: vital.MmHg}))
	u := r.unverified(t, r.nurse)[0]
	if _, err := r.watchlist().Claim(t.Context(), r.nurse, u.UID, u.Version, other.UID, "Her cuff."); err != nil {
		t.Fatal(err)
	}
	list, _, err := r.app.Refusals(t.Context(), r.nurse, devices.RefusalFilter{Limit: 10})
	if err != nil || len(list) != 1 {
		t.Fatalf("%+v, %v", list, err)
	}
	if _, err := r.app.NoteRetried(t.Context(), r.desk(), list[0].UID, devices.Retried{Refused: "its time cannot be"}); err != nil {
		t.Fatal(err)
	}
	if got := r.claimedOf(t, other); len(got) == 0 {
		t.Errorf("refused again, it stands with her as it was: %v", got)
	}
	version := r.ended(t, r.nurse).Version
	for range 2 { // the second time there is nothing to say
		if _, err := r.app.NoteRetried(t.Context(), r.desk(), list[0].UID, devices.Retried{Accepted: 1}); err != nil {
			t.Fatal(err)
		}
	}
	if got := r.claimedOf(t, other); len(got) != 0 {
		t.Errorf("her page says of what was accepted that it was refused: %v", got)
	}
	after := r.ended(t, r.nurse)
	if e := lastOf(&after); e.Kind != "read_again" || e.By != "Dora Desk" || !strings.Contains(e.Note, "claimed") || after.Closing != alerts.ClosedAsClaimed || after.Version != version+1 ||
		len(after.All) != 1 || after.All[0].Became != alerts.ClosedAsReadAgain || after.All[0].Claim.Owner.ID != 0 {
		t.Errorf("the ended red: %+v\n%+v", after.Log, after.All)
	}
	if n := r.count(t, `SELECT count(*) FROM audit WHERE action = 'unverified red read_again' AND patient_id = $1 AND object = 'unverified ' || $2`, int64(other.ID), string(u.UID)); n != 1 {
		t.Errorf("%d rows in her trail", n)
	}
	if n := r.look(t, time.Minute); n != 0 {
		t.Errorf("%d events", n)
	}
}

// TestAnAverageThatIsSomebodysIsNotClaimedForAnother: it would stand with both.
func TestAnAverageThatIsSomebodysIsNotClaimedForAnother(t *testing.T) {
	t.Parallel()
	r := newRecord(t)
	other := r.addPatient(t, r.nurse, "2")
	mean := r.saturation(10, 74, vital.Averaged)
	mean.Reading.Patient, mean.Reading.Assignment, mean.Reading.Epoch = r.patient.ID, r.given.ID, r.given.Epoch
	r.advance(t, mean)
	u := r.unverified(t, r.nurse)[0]
	if _, err := r.watchlist().Claim(t.Context(), r.nurse, u.UID, u.Version, other.UID, "Hers."); !fault.Is(err, fault.Conflict) || !strings.Contains(err.Error(), "filed") {
		t.Errorf("for another: %v", err)
	}
	if list := r.unverified(t, r.nurse); len(list) != 1 || list[0].Version != u.Version || len(r.claimedOf(t, other)) != 0 {
		t.Errorf("%+v, and with her %v", list, r.claimedOf(t, other))
	}
	if _, err := r.watchlist().Claim(t.Context(), r.nurse, u.UID, u.Version, r.patient.UID, "His."); err != nil {
		t.Errorf("for whose it is: %v", err)
	}
	if got := r.claimedOf(t, r.patient); len(got) != 1 {
		t.Errorf("with him: %v", got)
	}
}
