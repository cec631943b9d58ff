package postgres

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"hale/account/consent"
	"hale/push"
)

// dueNotices is account.Stand for all at once: given consents that are half a year old, or of an older text than the one in
// force. A notice goes to the patient and to the team, once for a decision and a reason.
const dueNotices = `
INSERT INTO outbox (org_id, patient_id, topic, dedup, severity, created_at, audience)
SELECT d.org_id, d.patient_id, @topic, d.uid || ' ' || w.why || ' ' || a.audience, @severity, @now, a.audience
FROM (SELECT DISTINCT ON (org_id, patient_id, purpose) * FROM consent_decision WHERE decided_at <= @now ORDER BY org_id, patient_id, purpose, decided_at DESC, id DESC) d
JOIN patient p ON p.org_id = d.org_id AND p.id = d.patient_id AND p.state = 'active'
CROSS JOIN LATERAL (
    SELECT 'half_a_year' AS why WHERE d.decided_at <= @now::timestamptz - @again::interval
    UNION ALL
    SELECT 'version ' || max(t.version) FROM consent_text t WHERE t.org_id = d.org_id AND t.purpose = d.purpose AND t.effective_from <= @now HAVING max(t.version) > d.version) w
CROSS JOIN unnest(ARRAY['team', 'patient']) AS a (audience)
WHERE d.choice = 'given'
ON CONFLICT (org_id, topic, dedup) DO NOTHING`

// cancelLapsed cancels what waits under a consent that does not stand any more.
const cancelLapsed = `
UPDATE outbox o SET cancelled_at = @now, cancelled_for = 'consent lapsed'
WHERE o.sent_at IS NULL AND o.cancelled_at IS NULL AND o.purpose <> 'care' AND NOT consent_stands(o.org_id, o.patient_id, o.purpose, @now)`

// AskAgain owes notices of consents to ask again. See consent.AskStore.
func (w *Work) AskAgain(ctx context.Context, now time.Time) (asked, cancelled int, err error) {
	args := pgx.NamedArgs{"now": now, "again": consent.AskAgainAfter, "topic": string(push.ConsentDue), "severity": push.SeverityNone}
	err = pgx.BeginFunc(ctx, w.pool, func(tx pgx.Tx) error {
		done, err := tx.Exec(ctx, dueNotices, args)
		if err != nil {
			return fmt.Errorf("ask for consents: %w", err)
		}
		asked = int(done.RowsAffected())
		if done, err = tx.Exec(ctx, cancelLapsed, args); err != nil {
			return fmt.Errorf("cancel what lapsed: %w", err)
		}
		cancelled = int(done.RowsAffected())
		return nil
	})
	return asked, cancelled, classify(err)
}
