package postgres_test

import (
	"crypto/sha256"
	"fmt"
	"strings"
	"testing"

	"hale/account"
	"hale/fault"
	"hale/safe"
)

// owed are the notices about an erasure that are to be sent, the oldest first.
const owed = `SELECT coalesce(string_agg(topic || ' ' || audience, ', ' ORDER BY id), '') FROM outbox WHERE topic LIKE 'erasure.%' AND cancelled_at IS NULL`

// TestAnErasureIsToldToThoseWhomItConcerns lets a guardian ask for somebody with a red alert, and follows who is owed a notice.
func TestAnErasureIsToldToThoseWhomItConcerns(t *testing.T) {
	t.Parallel()
	r := newRecord(t)
	son, olga, otto := r.guardian(t, "Saul Son"), r.officer(t, "olga"), r.officer(t, "otto")
	_, self := r.safeOf()
	r.advance(t, r.pressure(10, 191, 101))
	s := &safe.Erasures{Book: r.app, People: r.app}
	ctx := t.Context()
	told := func(want string) {
		t.Helper()
		if got := r.text(t, owed); got != want {
			t.Errorf("owed are %q, not %q", got, want)
		}
	}
	his, err := s.Ask(ctx, son, r.patient.UID, "")
	if err != nil {
		t.Fatal(err)
	}
	asked := "erasure.asked privacy_officer, erasure.asked patient"
	told(asked)
	if _, err := s.Decide(ctx, olga, his.UID, safe.ErasureDecision{}); err != nil {
		t.Fatal(err)
	}
	decided := asked + ", erasure.decided patient, erasure.decided team"
	told(decided)
	if _, err := s.Confirm(ctx, otto, his.UID, his.Number, wasTold); !fault.Is(err, fault.Conflict) || !strings.Contains(err.Error(), "red alerts") {
		t.Fatalf("confirmed with a red alert open: %v", err)
	}
	told(decided)
	r.closeRed(t, r.patient)
	if _, err := s.Confirm(ctx, otto, his.UID, his.Number, ""); !fault.Is(err, fault.Conflict) {
		t.Fatalf("confirmed though nobody told the patient: %v", err)
	}
	if _, err := s.Confirm(ctx, otto, his.UID, his.Number, wasTold); err != nil {
		t.Fatal(err)
	}
	confirmed := decided + ", erasure.confirmed patient, erasure.confirmed team"
	told(confirmed)
	list, err := s.Of(ctx, self, r.patient.UID)
	if err != nil || len(list) != 1 || list[0].DueAt.IsZero() || list[0].Told != wasTold {
		t.Fatalf("the patient reads %+v, %v", list, err)
	}
	if _, err := s.Withdraw(ctx, self, his.UID); err != nil {
		t.Fatalf("the patient takes back what the guardian asked: %v", err)
	}
	told(confirmed + ", erasure.withdrawn patient, erasure.withdrawn team, erasure.withdrawn privacy_officer")
}

// TestARedAlertAfterTheConfirmationIsClosedByAPersonFirst carries an erasure out that meanwhile has become dangerous.
func TestARedAlertAfterTheConfirmationIsClosedByAPersonFirst(t *testing.T) {
	t.Parallel()
	r := newRecord(t)
	_, self := r.safeOf()
	r.exec(t, `INSERT INTO session (org_id, uid, patient_id, token_hash, device_hash, csrf, created_at, seen_at, expires_at)
		SELECT org_id, '0192aaaa-0000-7000-8000-000000000009', id, decode(repeat('ef', 32), 'hex'), decode(repeat('cd', 32), 'hex'), 'x', now(), now(), now() + interval '1 hour' FROM patient ORDER BY id LIMIT 1`)
	r.request(t, r.patient, atOnce(), safe.ErasureDecision{})
	r.advance(t, r.pressure(10, 191, 101))
	if _, ok, err := r.work.ClaimErasure(t.Context(), r.now(t)); err != nil || ok {
		t.Fatalf("it is carried out with a red alert open: %t, %v", ok, err)
	}
	r.closeRed(t, account.Patient{ID: self.Self})
	r.carryErasureOut(t, r.now(t))
	if got := r.text(t, `SELECT state FROM erasure`); got != "done" {
		t.Errorf("the request is %s", got)
	}
	hash := make([]byte, 32)
	for i := range hash {
		hash[i] = 0xef
	}
	bye, err := r.app.Farewell(t.Context(), hash)
	if err != nil || bye.Number != 1 || bye.Asked != "patient" || bye.At.IsZero() {
		t.Errorf("the patient's browser is told %+v, %v", bye, err)
	}
	hash[0] = 0
	if bye, err := r.app.Farewell(t.Context(), hash); err != nil || bye.Number != 0 {
		t.Errorf("another browser is told %+v, %v", bye, err)
	}
}

// TestABrowserIsToldOfAnErasureForNinetyDays and nothing afterwards.
func TestABrowserIsToldOfAnErasureForNinetyDays(t *testing.T) {
	t.Parallel()
	r := newRecord(t)
	for number, age := range map[int]string{1: "90 days -1 hour", 2: "90 days 1 hour"} {
		hash := sha256.Sum256([]byte(age))
		r.exec(t, fmt.Sprintf(`INSERT INTO farewell (org_id, token_hash, number, asked, at)
			VALUES (%d, '\x%x', %d, 'patient', now() - interval '%s')`, r.nurse.Org, hash, number, age))
		want := 0
		if number == 1 {
			want = 1
		}
		if bye, err := r.app.Farewell(t.Context(), hash[:]); err != nil || bye.Number != want {
			t.Errorf("%s after the erasure it is told %+v, %v, want number %d", age, bye, err, want)
		}
	}
}
