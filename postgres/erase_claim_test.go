package postgres_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"hale/fault"
	"hale/postgres"
	"hale/safe"
)

// TestAProcessThatWasHeldUpPastItsLeaseChangesNothing lets a second process take an erasure over, step by step.
func TestAProcessThatWasHeldUpPastItsLeaseChangesNothing(t *testing.T) {
	t.Parallel()
	r := newRecord(t)
	r.arrive(t, r.pressure(10, 120, 80))
	r.request(t, r.patient, atOnce(), safe.ErasureDecision{})
	ctx, now := t.Context(), r.now(t)
	claim := func() safe.EraseTask {
		t.Helper()
		r.exec(t, `UPDATE erasure SET lease_until = '-infinity'`)
		task, ok, err := r.work.ClaimErasure(ctx, now)
		if err != nil || !ok {
			t.Fatalf("claim: %v, %v", ok, err)
		}
		return task
	}
	old, task := claim(), claim()
	steps := []struct {
		name string
		do   func(safe.EraseTask) error
	}{
		{"cut off", func(t safe.EraseTask) error { return r.work.CutOff(ctx, t, now) }},
		{"await the stream", func(t safe.EraseTask) error { return r.work.AwaitStream(ctx, t, "s", 7) }},
		{"delete", func(t safe.EraseTask) error { return r.work.DeleteDue(ctx, t, now) }},
		{"purged", func(t safe.EraseTask) error { return r.work.Purged(ctx, t) }},
		{"write anew", func(t safe.EraseTask) error { _, err := r.work.RewriteErased(ctx, t); return err }},
		{"finish", func(t safe.EraseTask) error {
			return r.work.FinishErasure(ctx, t, now, func(string, *safe.Erasure, safe.Policy) ([]byte, error) { return []byte("{}"), nil })
		}},
		{"release", func(t safe.EraseTask) error { return r.work.ReleaseErasure(ctx, t, now) }},
	}
	const whole = `SELECT e::text || coalesce((SELECT p::text FROM patient p WHERE p.org_id = e.org_id ORDER BY p.id LIMIT 1), '') FROM erasure e`
	for _, s := range steps {
		before := r.text(t, whole)
		if err := s.do(old); !fault.Is(err, fault.Conflict) {
			t.Errorf("%s, by who was held up: %v", s.name, err)
		}
		if after := r.text(t, whole); after != before {
			t.Errorf("%s, by who was held up, changed\n%s\nto\n%s", s.name, before, after)
		}
		if err := s.do(task); err != nil {
			t.Errorf("%s, by who has it: %v", s.name, err)
		}
		if s.name == "delete" {
			if n := r.count(t, `SELECT count(*) FROM reading`); n != 0 {
				t.Errorf("%d readings are left", n)
			}
		}
	}
}

// reading is a record that counts how often the whole ledger is read.
type reading struct {
	safe.EraseStore
	reads int
}

func (s *reading) Ledger(ctx context.Context) ([]safe.LedgerEntry, error) {
	s.reads++
	return s.EraseStore.Ledger(ctx)
}

func TestTheLedgerIsReadWhenItHasGrown(t *testing.T) {
	t.Parallel()
	r := newRecord(t)
	store := &reading{EraseStore: r.work}
	var kept []safe.LedgerEntry
	full := errors.New("the disk is full")
	eraser := r.eraser(&still{end: 7})
	eraser.Store = store
	eraser.Keep = func(_ context.Context, entries []safe.LedgerEntry) error {
		kept = entries
		return full
	}
	look := func(reads, entries int, want error) {
		t.Helper()
		if err := eraser.RunOnce(t.Context(), r.now(t)); !errors.Is(err, want) || store.reads != reads || len(kept) != entries {
			t.Errorf("%d reads and %d entries, want %d and %d, %v", store.reads, len(kept), reads, entries, err)
		}
	}
	look(1, 0, full)
	look(2, 0, full) // what was not kept is tried again
	full = nil
	look(3, 0, nil)
	look(3, 0, nil)
	r.request(t, r.patient, atOnce(), safe.ErasureDecision{})
	r.carryErasureOut(t, r.now(t)) // by another process
	look(4, 1, nil)
	look(4, 1, nil)
}

// TestEveryStepOfAnErasureStandsInTheTrail by whom it was taken, with what operators looked at. Who asked is nobody any more.
func TestEveryStepOfAnErasureStandsInTheTrail(t *testing.T) {
	t.Parallel()
	r := newRecord(t)
	r.request(t, r.patient, atOnce(), safe.ErasureDecision{})
	r.carryErasureOut(t, r.now(t))
	operator := postgres.Operator{AdminURL: r.db.AdminURL()}
	if _, err := operator.Erasures(t.Context(), "Home"); err != nil {
		t.Fatal(err)
	}
	if _, err := operator.ErasureLedger(t.Context()); err != nil {
		t.Fatal(err)
	}
	want := []string{
		"operator: create organisation", "Officer olga: set retention", ": ask for erasure", "Officer olga: decide on erasure", "Officer otto: confirm erasure",
		"hale: begin erasure", "hale: erase", "hale: finish erasure", "operator: list erasures", "operator: write erasure ledger",
	}
	const steps = `SELECT name || ': ' || action FROM (SELECT actor_name AS name, action, id FROM audit WHERE action LIKE '%erasure%' OR action IN ('erase', 'set retention', 'create organisation')) a ORDER BY id`
	if diff := cmp.Diff(want, r.column(t, steps)); diff != "" {
		t.Errorf("the trail (-want +got):\n%s", diff)
	}
}

// TestWhatIsParkedOfTheErasedGoesByItsTimeOfArrival and not by when the batch is stored, while a law keeps such readings.
func TestWhatIsParkedOfTheErasedGoesByItsTimeOfArrival(t *testing.T) {
	t.Parallel()
	r := newRecord(t)
	r.advance(t, r.pressure(10, 191, 101))
	policy := atOnce()
	for i := range policy.Retention {
		if c := policy.Retention[i].Class; c == safe.ClassPairing || c == safe.ClassReadings {
			policy.Retention[i].Years, policy.Retention[i].Ground = 3, "claims lapse after three years"
		}
	}
	r.request(t, r.patient, policy, safe.ErasureDecision{})
	r.carryErasureOut(t, r.now(t))
	for _, arrived := range []string{"now()", "now() + interval '4 years'"} {
		r.exec(t, `INSERT INTO inbox (sensor_id, metric, sent_at, tie, org_id, device_id, id, measured_at, received_at, mantissa, exponent, unit, findings, has_sequence, reason)
			SELECT sensor_id, metric, sent_at, tie + 1, org_id, device_id, id, measured_at, `+arrived+`, mantissa, exponent, unit, findings, has_sequence, 'x' FROM reading ON CONFLICT DO NOTHING`)
		if n := r.count(t, `SELECT count(*) FROM inbox`); n != 1 {
			t.Errorf("arrived %s: %d readings are parked, want the one that the law kept then", arrived, n)
		}
		if arrived == "now()" {
			r.exec(t, `UPDATE inbox SET tie = tie + 100`)
		}
	}
}

func TestAFarewellIsForgottenAfterItsTime(t *testing.T) {
	t.Parallel()
	r := newRecord(t)
	now := r.now(t)
	for days, token := range map[int]string{89: "young", 91: "old"} {
		r.exec(t, fmt.Sprintf(`INSERT INTO farewell (org_id, token_hash, number, asked, at) VALUES (1, sha256('%s'), 7, 'patient', '%s')`, token, now.AddDate(0, 0, -days).Format(time.RFC3339)))
	}
	e := r.eraser(&still{end: 40})
	if err := e.RunOnce(t.Context(), now); err != nil {
		t.Fatal(err)
	}
	if n := r.count(t, `SELECT count(*) FROM farewell WHERE token_hash = sha256('young')`); n != 1 || r.count(t, `SELECT count(*) FROM farewell`) != 1 {
		t.Errorf("%d of the young ones are there, of %d", n, r.count(t, `SELECT count(*) FROM farewell`))
	}
}
