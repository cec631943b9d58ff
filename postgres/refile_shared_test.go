package postgres_test

import (
	"slices"
	"testing"
	"time"

	"hale/account"
	"hale/devices"
	"hale/fault"
	"hale/safe"
)

// TestNobodyGetsWhatIsStillToComeOfASharedSensor by a claim of what waits, or by filing anew: a reading that names no user slot is of
// either. What somebody has looked at, in the past, they may have; and whose all slots are may have the rest.
func TestNobodyGetsWhatIsStillToComeOfASharedSensor(t *testing.T) {
	t.Parallel()
	d := newDepot(t)
	anna, bert := d.patient, d.addPatient(t, d.nurse, "2")
	cuff := d.enrol(t, "shared-1")
	kit := d.make(t, "K-1", "shared-1")
	d.describe(t, "shared-1", "blood pressure cuff for two")
	slots := func(second account.Patient) time.Time {
		d.issue(t, kit, anna, devices.SlotUser{Sensor: "shared-1", Slot: 1, Patient: anna.UID}, devices.SlotUser{Sensor: "shared-1", Slot: 2, Patient: second.UID})
		s := d.edge(t)
		list := s.Assignments[s.Slots[cuff.Own][1].Sensor]
		return list[len(list)-1].From
	}
	from := slots(bert)
	d.measure(t, d.edge(t), cuff, cuff.Own, -1, from, 61_000)
	d.measure(t, d.edge(t), cuff, cuff.Own, -1, from.Add(time.Microsecond), 62_000)

	wish := safe.Wish{Sensor: "shared-1", From: from, BelongsTo: anna.UID, Reason: "She pressed no button."}
	if _, err := d.refiles().Ask(t.Context(), d.desk, wish); !fault.Is(err, fault.Conflict) {
		t.Errorf("all that is to come, although Bert has a slot: %v", err)
	}
	claim := func(to time.Time) error {
		_, err := d.inbox().Claim(t.Context(), d.nurse, "shared-1", from, to, anna.UID, "She pressed no button.")
		return err
	}
	if err := claim(time.Now().Add(time.Hour)); !fault.Is(err, fault.Conflict) {
		t.Errorf("what waits with an hour that is to come: %v", err)
	}
	if err := claim(from.Add(time.Microsecond)); err != nil {
		t.Errorf("what has been measured: %v", err)
	}
	d.carryOut(t, 100)
	d.whoseIs(t, 61_000, anna.Name)
	d.whoseIs(t, 62_000, "inbox")

	// Both slots are Anna's when it is asked, and one is Bert's when it is carried out.
	d.back(t, kit)
	slots(anna)
	wish.From = from.Add(time.Microsecond)
	asked, err := d.refiles().Ask(t.Context(), d.desk, wish)
	if err != nil {
		t.Fatalf("all slots are Anna's: %v", err)
	}
	d.back(t, kit)
	slots(bert)
	d.carryOut(t, 100)
	if got, err := d.refiles().Get(t.Context(), d.desk, asked.UID); err != nil || got.State != safe.RefileFailed {
		t.Errorf("carried out when Bert has a slot: %+v, %v", got, err)
	}
	d.whoseIs(t, 62_000, "inbox")

	d.back(t, kit)
	last := slots(anna)
	if _, err := d.refiles().Ask(t.Context(), d.desk, wish); err != nil {
		t.Fatal(err)
	}
	d.carryOut(t, 100)
	d.measure(t, d.edge(t), cuff, cuff.Own, -1, last, 63_000)
	d.whoseIs(t, 62_000, anna.Name)
	d.whoseIs(t, 63_000, anna.Name)

	// The whole is Anna's now: no slot of it goes on as Bert's, while what was his in the past may be told to be his.
	slot := safe.Wish{Sensor: "shared-1:2", From: last, Owner: anna.UID, BelongsTo: bert.UID, Reason: "He pressed it."}
	if _, err := d.refiles().Ask(t.Context(), d.nurse, slot); !fault.Is(err, fault.Conflict) {
		t.Errorf("a slot beside the whole: %v", err)
	}
	slot.To = last.Add(time.Microsecond)
	if _, err := d.refiles().Ask(t.Context(), d.nurse, slot); err != nil {
		t.Errorf("a moment of a slot: %v", err)
	}
}

func (d *depot) whoseIs(t *testing.T, grams int64, want string) {
	t.Helper()
	if got := d.whose(t, grams); !slices.Equal(got, []string{want}) {
		t.Errorf("%d g: %v, want it once with %s", grams, got, want)
	}
}
