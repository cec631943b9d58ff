package postgres_test

import (
	"fmt"
	"testing"
	"time"

	"hale/account"
	"hale/fault"
	"hale/vital"
)

func TestBrokenGlassOpensARecordForAWhileAndTellsEverybody(t *testing.T) {
	t.Parallel()
	r := newRecord(t)
	r.advance(t, r.pressure(10, 190, 100))
	ctx := t.Context()
	nurse, officer := r.member(t, "nina", account.Nurse), r.member(t, "petra", account.PrivacyOfficer)
	r.leave(t, nurse, 0)
	e := account.Emergency{Book: r.app}
	const reason = "found unconscious at home"
	sees := func() bool {
		p, err := r.app.Patient(ctx, nurse, r.patient.UID)
		return err == nil && account.Allow(nurse, account.SeeReadings, &p) == nil
	}
	if sees() {
		t.Fatal("a nurse of no team sees the patient")
	}
	for name, c := range map[string]struct {
		who     account.Actor
		patient string
		reason  string
		lasts   time.Duration
		want    fault.Kind
	}{
		"without a reason":         {nurse, "1", "urgent", 0, fault.Invalid},
		"for ever":                 {nurse, "1", reason, 9 * time.Hour, fault.Invalid},
		"by name":                  {nurse, r.patient.Name, reason, 0, fault.NotFound},
		"of another organisation":  {r.staff(t, "Elsewhere", "eva"), string(r.patient.UID), reason, 0, fault.NotFound},
		"by the device desk":       {r.member(t, "dora", account.DeviceDesk), "1", reason, 0, fault.Forbidden},
		"by a researcher":          {r.member(t, "rok", account.Researcher), "1", reason, 0, fault.Forbidden},
		"by somebody not there":    {account.Actor{}, "1", reason, 0, fault.Unauthenticated},
		"of nobody of this number": {nurse, "0", reason, 0, fault.NotFound},
	} {
		if _, err := e.Break(ctx, c.who, c.patient, c.reason, c.lasts); !fault.Is(err, c.want) {
			t.Errorf("%s: %v, want %s", name, err, c.want)
		}
	}
	g, err := e.Break(ctx, nurse, "1", reason, 0)
	if err != nil || g.Until.Sub(g.From) != account.GlassFor || g.Patient != r.patient.UID {
		t.Fatalf("%+v, %v", g, err)
	}
	if !sees() {
		t.Error("broken glass opens nothing")
	}
	if n := r.count(t, `SELECT count(*) FROM outbox WHERE topic = 'access.glass' AND dedup = $1 AND audience = 'privacy_officer'`, string(g.UID)); n != 1 {
		t.Errorf("%d notices to the privacy officer", n)
	}
	if n := r.count(t, `SELECT count(*) FROM audit WHERE action = 'break the glass' AND patient_id = $1 AND detail LIKE 'until %'`, int64(r.patient.ID)); n != 1 {
		t.Errorf("%d audit rows", n)
	}
	list, err := e.List(ctx, officer)
	if err != nil || len(list) != 1 || list[0].Reason != reason || list[0].StaffName != "nina" || !list[0].InForce(g.From) {
		t.Errorf("what the privacy officer sees: %+v, %v", list, err)
	}
	if list, err := e.List(ctx, r.member(t, "mia", account.Nurse)); err != nil || len(list) != 0 {
		t.Errorf("what another nurse sees: %+v, %v", list, err)
	}
	if err := e.Review(ctx, nurse, g.UID, "fine"); !fault.Is(err, fault.Forbidden) {
		t.Errorf("a nurse reviews herself: %v", err)
	}
	if err := e.Review(ctx, officer, g.UID, "called the team, was right"); err != nil {
		t.Error(err)
	}
	if err := e.Review(ctx, officer, g.UID, "again"); !fault.Is(err, fault.Conflict) {
		t.Errorf("reviewed twice: %v", err)
	}
	if err := e.End(ctx, nurse, g.UID); err != nil || sees() {
		t.Errorf("closed: %v; still seen: %v", err, sees())
	}
	if err := e.End(ctx, nurse, g.UID); !fault.Is(err, fault.NotFound) {
		t.Errorf("closed twice: %v", err)
	}
	if _, err := e.Break(ctx, nurse, "1", reason, time.Hour); err != nil {
		t.Fatal(err)
	}
	r.exec(t, `UPDATE break_glass SET from_at = from_at - interval '1 hour', until_at = until_at - interval '1 hour' WHERE ended_at IS NULL`)
	if sees() {
		t.Error("it does not end by itself")
	}
}

func TestNumbersAreNotToBeTriedOut(t *testing.T) {
	t.Parallel()
	r := newRecord(t)
	nurse := r.member(t, "nina", account.Nurse)
	e := account.Emergency{Book: r.app}
	for range 10 {
		if _, err := e.Break(t.Context(), nurse, "none", "found unconscious at home", 0); !fault.Is(err, fault.NotFound) {
			t.Fatal(err)
		}
	}
	if _, err := e.Break(t.Context(), nurse, "1", "found unconscious at home", 0); !fault.Is(err, fault.Forbidden) {
		t.Errorf("after ten wrong numbers: %v", err)
	}
	if n := r.count(t, `SELECT count(*) FROM audit WHERE action = 'break the glass of nobody'`); n != 10 {
		t.Errorf("%d attempts are in the audit trail", n)
	}
}

// TestTheCardInTheHandIsOld: the number of a record that was merged opens the one under which the person is known now.
func TestTheCardInTheHandIsOld(t *testing.T) {
	t.Parallel()
	r := newRecord(t)
	nurse := r.member(t, "nina", account.Nurse)
	admin := account.Actor{Org: r.patient.Org, Role: account.Administrator, Name: "operator"}
	older, err := r.app.AddPatient(t.Context(), admin, account.Patient{Name: "Ana N.", Sex: "unknown", Zone: "UTC", Number: "OLD-1"})
	if err != nil {
		t.Fatal(err)
	}
	oldest, err := r.app.AddPatient(t.Context(), admin, account.Patient{Name: "A. N.", Sex: "unknown", Zone: "UTC", Number: "OLD-0"})
	if err != nil {
		t.Fatal(err)
	}
	for from, into := range map[vital.PatientID]vital.PatientID{older.ID: r.patient.ID, oldest.ID: older.ID} {
		r.exec(t, fmt.Sprintf(`UPDATE patient SET state = 'merged', merged_into = %d WHERE id = %d`, int64(into), int64(from)))
	}
	e := account.Emergency{Book: r.app}
	if _, err := e.Break(t.Context(), nurse, "OLD-1", "found unconscious at home", 0); !fault.Is(err, fault.Conflict) || r.count(t, `SELECT count(*) FROM break_glass`) != 0 {
		t.Errorf("a patient of her own team: %v", err)
	}
	r.leave(t, nurse, 0)
	for _, number := range []string{"OLD-1", "old-0", string(oldest.UID)} {
		if g, err := e.Break(t.Context(), nurse, number, "found unconscious at home", 0); err != nil || g.Patient != r.patient.UID || g.Number != "1" {
			t.Errorf("%s: %+v, %v", number, g, err)
		}
	}
}

// TestANumberInOtherLettersFindsOneOrNobody: what could mean two patients opens neither.
func TestANumberInOtherLettersFindsOneOrNobody(t *testing.T) {
	t.Parallel()
	r := newRecord(t)
	nurse, e := r.member(t, "nina", account.Nurse), account.Emergency{Book: r.app}
	r.leave(t, nurse, 0)
	r.addPatient(t, r.nurse, "ab-1")
	twin := r.addPatient(t, r.nurse, "AB-1")
	if _, err := e.Break(t.Context(), nurse, "Ab-1", "found unconscious at home", 0); !fault.Is(err, fault.NotFound) {
		t.Errorf("a number that may be of two: %v", err)
	}
	if g, err := e.Break(t.Context(), nurse, "AB-1", "found unconscious at home", 0); err != nil || g.Patient != twin.UID {
		t.Errorf("the number as it stands: %+v, %v", g, err)
	}
}

// TestAMergeLeavesAnEmergencyLookOpen: whoever has broken the glass of one record sees the one under which the person is known now,
// for the rest of the time; and no longer than that when the merge is undone.
func TestAMergeLeavesAnEmergencyLookOpen(t *testing.T) {
	t.Parallel()
	r := newRecord(t)
	ctx, y := t.Context(), r.addPatient(t, r.nurse, "2")
	nurse, e := r.member(t, "nina", account.Nurse), account.Emergency{Book: r.app}
	r.leave(t, nurse, 0)
	g, err := e.Break(ctx, nurse, "1", "found unconscious at home", 0)
	if err != nil {
		t.Fatal(err)
	}
	sees := func() account.Relation {
		p, err := r.app.Patient(ctx, nurse, y.UID)
		if err != nil {
			return account.Relation{}
		}
		return p.Relation
	}
	made := r.merge(t, r.patient, y)
	if got := sees(); got.Team || got.Glass.Unix() != g.Until.Unix() {
		t.Errorf("after the merge she sees the record that stays: %+v, want until %s", got, g.Until)
	}
	if n := r.count(t, `SELECT count(*) FROM outbox WHERE topic = 'access.glass' AND audience = 'privacy_officer' AND patient_id = $1`, int64(y.ID)); n != 1 {
		t.Errorf("%d notices to the privacy officer", n)
	}
	if _, err := r.merges().Undo(ctx, r.nurse, made.UID, "they are two"); err != nil {
		t.Fatal(err)
	}
	if got := sees(); !got.Glass.IsZero() {
		t.Errorf("after the undo she still sees the other: %+v", got)
	}
}
