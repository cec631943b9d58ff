package postgres

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"hale/account"
	"hale/push"
)

const (
	// dueNotice are notices of which no deliveries were made, with the channels that want each: none, when no channel does. A channel is
	// owed what was written since there is one.
	dueNotice = `
WITH due AS (
    SELECT o.org_id, o.id, o.topic, o.severity, o.audience, o.created_at, o.cancelled_at FROM outbox o
    WHERE o.planned_at IS NULL ORDER BY o.id LIMIT @most FOR NO KEY UPDATE SKIP LOCKED)
SELECT d.org_id, d.id, c.id, coalesce(array_position(@severities::text[], d.severity), cardinality(@severities::text[])) - 1, d.created_at
FROM due d LEFT JOIN channel c ON c.org_id = d.org_id AND c.disabled_at IS NULL AND c.created_at <= d.created_at
    AND d.cancelled_at IS NULL AND d.audience = ANY(c.audiences)
    AND (c.topics = '{}' OR d.topic = ANY(c.topics) OR split_part(d.topic, '.', 1) || '.*' = ANY(c.topics))
    AND (c.severities = '{}' OR d.severity = ANY(c.severities))
ORDER BY d.id, c.id`

	planDeliveries = `
INSERT INTO delivery (org_id, uid, outbox_id, channel_id, urgency, created_at, next_action_at)
SELECT u.*, $7 FROM unnest($1::integer[], $2::uuid[], $3::bigint[], $4::bigint[], $5::smallint[], $6::timestamptz[]) AS u`

	planned = `UPDATE outbox o SET planned_at = $3 FROM unnest($1::integer[], $2::bigint[]) AS n (org_id, id) WHERE o.org_id = n.org_id AND o.id = n.id`
)

// Plan makes deliveries: a notice is planned with all its deliveries, or not at all. See push.Store for this and the methods that follow.
func (w *Work) Plan(ctx context.Context, now time.Time, most int) (int, error) {
	n := 0
	err := pgx.BeginFunc(ctx, w.pool, func(tx pgx.Tx) (err error) {
		n, err = plan(ctx, tx, now, most)
		return err
	})
	return n, classify(wrapped(err, "plan notices"))
}

func plan(ctx context.Context, tx pgx.Tx, now time.Time, most int) (int, error) {
	rows, err := tx.Query(ctx, dueNotice, pgx.NamedArgs{"most": most, "severities": push.Severities()})
	if err != nil {
		return 0, err
	}
	var noticeOrgs, orgs []int32
	var notices, of, channels []int64
	var uids []string
	var urgencies []int16
	var written []time.Time
	var org int32
	var notice int64
	var channel *int64
	var urgency int16
	var at time.Time
	_, err = pgx.ForEachRow(rows, []any{&org, &notice, &channel, &urgency, &at}, func() error {
		if n := len(notices); n == 0 || notices[n-1] != notice {
			noticeOrgs, notices = append(noticeOrgs, org), append(notices, notice)
		}
		if channel != nil {
			orgs, uids, of, channels = append(orgs, org), append(uids, string(newUID())), append(of, notice), append(channels, *channel)
			urgencies, written = append(urgencies, urgency), append(written, at)
		}
		return nil
	})
	if err != nil || len(notices) == 0 {
		return 0, err
	}
	q := &pgx.Batch{}
	if len(uids) > 0 {
		q.Queue(planDeliveries, orgs, uids, of, channels, urgencies, written, now)
	}
	q.Queue(planned, noticeOrgs, notices, now)
	return len(notices), tx.SendBatch(ctx, q).Close()
}

// claimDeliveries takes what is due of each channel. A channel that was disabled is asked too, so that its rest is cancelled.
const claimDeliveries = `
WITH picked AS (
    SELECT d.org_id, d.id FROM channel c CROSS JOIN LATERAL (
        SELECT x.org_id, x.id FROM delivery x
        WHERE x.org_id = c.org_id AND x.channel_id = c.id AND x.state = 'waiting' AND x.next_action_at <= @now
        ORDER BY x.urgency, x.next_action_at LIMIT @most FOR NO KEY UPDATE SKIP LOCKED) d
    WHERE (c.held_until IS NULL OR c.held_until <= @now OR c.disabled_at IS NOT NULL) AND c.id <> ALL(@busy::bigint[])),
taken AS (
    UPDATE delivery d SET next_action_at = @now::timestamptz + @lease::interval, tries = d.tries + 1 FROM picked p
    WHERE d.org_id = p.org_id AND d.id = p.id
    RETURNING d.org_id, d.id, d.uid, d.tries, d.refusals, d.outbox_id, d.channel_id)
SELECT t.org_id, t.id, t.uid::text, t.tries, t.refusals, c.id, c.uid::text, c.url, c.secret, CASE WHEN c.old_until > @now THEN c.old_secret END,
    o.topic, o.severity, o.audience, o.created_at, coalesce(p.uid::text, ''),
    o.cancelled_at IS NOT NULL, c.disabled_at IS NOT NULL, coalesce(p.state = 'locked', false),
    o.purpose <> 'care' AND NOT consent_stands(o.org_id, o.patient_id, o.purpose, @now), o.audience = 'caregiver'
FROM taken t
JOIN channel c ON c.org_id = t.org_id AND c.id = t.channel_id
JOIN outbox o ON o.org_id = t.org_id AND o.id = t.outbox_id
LEFT JOIN patient p ON p.org_id = o.org_id AND p.id = o.patient_id`

// ClaimDeliveries takes what is due.
func (w *Work) ClaimDeliveries(ctx context.Context, c push.Claiming) ([]*push.Parcel, error) {
	busy := c.Busy
	if busy == nil {
		busy = []int64{}
	}
	rows, err := w.pool.Query(ctx, claimDeliveries, pgx.NamedArgs{"now": c.Now, "lease": c.Lease, "most": c.Most, "busy": busy})
	if err != nil {
		return nil, classify(fmt.Errorf("claim deliveries: %w", err))
	}
	list, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (*push.Parcel, error) {
		p := &push.Parcel{}
		var secret, old []byte
		err := row.Scan(&p.Org, &p.ID, &p.UID, &p.Claim, &p.Refusals, &p.Channel.ID, &p.Channel.UID, &p.Channel.URL, &secret, &old,
			&p.Topic, &p.Severity, &p.Audience, &p.CreatedAt, &p.Patient,
			&p.Facts.Cancelled, &p.Facts.Disabled, &p.Facts.CareEnded, &p.Facts.NoConsent, &p.Facts.ToRelative)
		p.CreatedAt, p.Channel.Secrets = p.CreatedAt.UTC(), [][]byte{secret}
		if old != nil {
			p.Channel.Secrets = append(p.Channel.Secrets, old)
		}
		return p, err
	})
	if err != nil {
		return nil, classify(fmt.Errorf("claim deliveries: %w", err))
	}
	return list, nil
}

const (
	// The notice before its deliveries, as whatever cancels it would take them.
	lockNotice = `SELECT o.id FROM outbox o JOIN delivery d ON d.org_id = o.org_id AND d.outbox_id = o.id WHERE d.org_id = $1 AND d.id = $2 FOR NO KEY UPDATE OF o`

	settleDelivery = `
UPDATE delivery SET state = @state, reason = @reason, status = @status, refusals = refusals + @refused,
    next_action_at = coalesce(@next, next_action_at), settled_at = CASE WHEN @state <> 'waiting' THEN @now::timestamptz END
WHERE org_id = @org AND id = @id AND state = 'waiting' AND tries = @claim`

	// A notice was sent when nothing of it waits any more and a part has arrived: until then what is cancelled is cancelled.
	noticeSent = `
UPDATE outbox o SET sent_at = x.first FROM (
    SELECT min(d.settled_at) FILTER (WHERE d.state = 'delivered') AS first, count(*) FILTER (WHERE d.state = 'waiting') AS waiting
    FROM delivery d WHERE d.org_id = @org AND d.outbox_id = @notice) x
WHERE o.org_id = @org AND o.id = @notice AND o.sent_at IS NULL AND o.cancelled_at IS NULL AND x.waiting = 0 AND x.first IS NOT NULL`

	holdChannel = `UPDATE channel SET held_until = $3 WHERE org_id = $1 AND id = $2 AND (held_until IS NULL OR held_until < $3)`
	channelGone = `UPDATE channel SET disabled_at = $3, disabled_why = 'gone' WHERE org_id = $1 AND id = $2 AND disabled_at IS NULL`
)

// Settle stores what became of a try.
func (w *Work) Settle(ctx context.Context, p *push.Parcel, o push.Outcome, now time.Time) error {
	err := pgx.BeginFunc(ctx, w.pool, func(tx pgx.Tx) error {
		var notice int64
		rows, err := tx.Query(ctx, lockNotice, int32(p.Org), p.ID)
		if err == nil {
			var found []int64
			if found, err = pgx.CollectRows(rows, pgx.RowTo[int64]); err == nil && len(found) == 0 {
				return nil // its notice was erased
			} else if err == nil {
				notice = found[0]
			}
		}
		if err != nil {
			return fmt.Errorf("lock a notice: %w", err)
		}
		refused := 0
		if o.Refused {
			refused = 1
		}
		args := pgx.NamedArgs{
			"org": int32(p.Org), "id": p.ID, "notice": notice, "claim": p.Claim, "now": now, "next": nullTime(o.NextAt),
			"state": string(o.State), "reason": string(o.Reason), "status": o.Status, "refused": refused,
		}
		done, err := tx.Exec(ctx, settleDelivery, args)
		if err != nil {
			return fmt.Errorf("settle a delivery: %w", err)
		}
		if done.RowsAffected() == 0 {
			return nil // another try was claimed since, and settles it
		}
		if _, err := tx.Exec(ctx, noticeSent, args); err != nil {
			return fmt.Errorf("settle a notice: %w", err)
		}
		return settleChannel(ctx, tx, p, o, now)
	})
	return classify(err)
}

// settleChannel keeps what a try says of the whole channel.
func settleChannel(ctx context.Context, tx pgx.Tx, p *push.Parcel, o push.Outcome, now time.Time) error {
	if !o.Hold.IsZero() {
		if _, err := tx.Exec(ctx, holdChannel, int32(p.Org), p.Channel.ID, o.Hold); err != nil {
			return fmt.Errorf("hold a channel: %w", err)
		}
	}
	if !o.Disable {
		return nil
	}
	done, err := tx.Exec(ctx, channelGone, int32(p.Org), p.Channel.ID, now)
	if err != nil || done.RowsAffected() == 0 {
		return err
	}
	return writeAudit(ctx, tx, account.Audit{Org: p.Org, At: now, Action: "webhook gone", Object: "webhook " + string(p.Channel.UID), Detail: "its receiver answered 410"})
}

const troubledChannels = `
SELECT count(*) FROM channel c WHERE c.disabled_why = 'gone' AND c.disabled_at > $2 OR c.disabled_at IS NULL AND (
    EXISTS (SELECT FROM delivery d WHERE d.org_id = c.org_id AND d.channel_id = c.id AND d.state = 'waiting' AND d.created_at < $1)
    OR EXISTS (SELECT FROM delivery d WHERE d.org_id = c.org_id AND d.channel_id = c.id AND d.state = 'given_up' AND d.settled_at > $2
        AND NOT EXISTS (SELECT FROM delivery n WHERE n.org_id = c.org_id AND n.channel_id = c.id AND n.state = 'delivered' AND n.settled_at > d.settled_at)))`

// TroubledChannels returns how many channels do not get through; see push.Channel's Trouble.
func (w *Work) TroubledChannels(ctx context.Context) (int, error) {
	now, err := w.Clock(ctx)
	if err != nil {
		return 0, err
	}
	var n int
	if err := w.pool.QueryRow(ctx, troubledChannels, now.Add(-push.LateAfter), now.Add(-push.TroubleFor)).Scan(&n); err != nil {
		return 0, classify(fmt.Errorf("look for channels in trouble: %w", err))
	}
	return n, nil
}
