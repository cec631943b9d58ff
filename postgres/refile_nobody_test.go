package postgres_test

import (
	"testing"
	"time"

	"hale/account"
	"hale/fault"
	"hale/safe"
)

// TestANurseParksReadingsAndTakesThemBack: what waits as nobody's is the device desk's, but for whoever let it wait by mistake;
// and nobody but the desk takes away what the device is still to send.
func TestANurseParksReadingsAndTakesThemBack(t *testing.T) {
	t.Parallel()
	r := newRecord(t)
	ctx, refiles := t.Context(), r.refiles()
	nina, mia, dora := r.member(t, "nina", account.Nurse), r.member(t, "mia", account.Nurse), r.member(t, "dora", account.DeviceDesk)
	r.advance(t, r.pressure(10, 150, 90), r.pressure(20, 150, 90))
	ahead := r.wish(r.patient.UID, "", 5, 15)
	ahead.To = time.Now().Add(time.Hour)
	for name, w := range map[string]safe.Wish{"without an end": r.wish(r.patient.UID, "", 5, 0), "into the future": ahead} {
		if _, err := refiles.Ask(ctx, nina, w); !fault.Is(err, fault.Invalid) {
			t.Errorf("a nurse parks %s: %v", name, err)
		}
		if _, err := refiles.Preview(ctx, nina, w); !fault.Is(err, fault.Invalid) {
			t.Errorf("a nurse would park %s: %v", name, err)
		}
	}
	parked, err := refiles.Ask(ctx, nina, r.wish(r.patient.UID, "", 5, 15))
	if err != nil {
		t.Fatal(err)
	}
	r.carryOut(t, 10)
	if n := r.count(t, "SELECT count(*) FROM assignment WHERE patient_id = $1 AND to_at IS NULL", int64(r.patient.ID)); n != 1 {
		t.Errorf("%d assignments of the patient go on, want 1", n)
	}
	for name, c := range map[string]struct {
		by   account.Actor
		want bool
	}{"who asked": {nina, true}, "the device desk": {dora, true}, "a colleague": {mia, false}} {
		got, err := refiles.Get(ctx, c.by, parked.UID)
		if err != nil || got.MayUndo(c.by) != c.want {
			t.Errorf("%s is offered to undo it: %v, %v", name, got.MayUndo(c.by), err)
		}
	}
	if _, err := refiles.Undo(ctx, mia, parked.UID, ""); !fault.Is(err, fault.Forbidden) {
		t.Errorf("a colleague gives back what waits: %v", err)
	}
	if _, err := refiles.Undo(ctx, nina, parked.UID, ""); err != nil {
		t.Fatalf("whoever parked it takes it back: %v", err)
	}
	r.carryOut(t, 10)
	if n := r.count(t, "SELECT count(*) FROM reading WHERE patient_id = $1", int64(r.patient.ID)); n != 2 {
		t.Errorf("%d readings are the patient's again, want 2", n)
	}
	if got, err := refiles.Get(ctx, nina, parked.UID); err != nil || got.MayUndo(nina) {
		t.Errorf("what was undone is offered again: %v", err)
	}
	if _, err := refiles.Ask(ctx, dora, r.wish(r.patient.UID, "", 5, 0)); err != nil {
		t.Errorf("the device desk parks without an end: %v", err)
	}
}
