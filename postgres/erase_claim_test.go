package postgres_test

import (
	"testing"

	"hale/fault"
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
