package postgres

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"hale/account"
	"hale/fault"
	"hale/push"
	"hale/vital"
)

// channelColumns are those of a channel with how it does at $1.
const channelColumns = `c.id, c.uid::text, c.name, c.url, c.topics, c.severities, c.audiences, c.created_at, c.created_name, c.disabled_at, c.disabled_why,
CASE WHEN c.old_until > $1 THEN c.old_until END, w.waiting, w.oldest,
(SELECT max(d.settled_at) FROM delivery d WHERE d.org_id = c.org_id AND d.channel_id = c.id AND d.state = 'delivered'), g.given_up, g.newest
FROM channel c
CROSS JOIN LATERAL (SELECT count(*) AS waiting, min(d.created_at) AS oldest FROM delivery d WHERE d.org_id = c.org_id AND d.channel_id = c.id AND d.state = 'waiting') w
CROSS JOIN LATERAL (SELECT count(*) AS given_up, max(d.settled_at) AS newest FROM delivery d
    WHERE d.org_id = c.org_id AND d.channel_id = c.id AND d.state = 'given_up' AND d.settled_at > $2) g`

const (
	selectChannels = `SELECT ` + channelColumns + ` ORDER BY c.disabled_at IS NOT NULL, c.disabled_at DESC, lower(c.name), c.id`
	selectChannel  = `SELECT ` + channelColumns + ` WHERE c.uid = $3`
)

// channelRow is a channel with its number.
type channelRow struct {
	push.Channel
	id int64
}

func scanChannel(row pgx.CollectableRow) (channelRow, error) {
	var c channelRow
	var disabled, old, oldest, delivered, gaveUp *time.Time
	s := &c.Standing
	err := row.Scan(&c.id, &c.UID, &c.Name, &c.URL, &c.Topics, &c.Severities, &c.Audiences, &c.CreatedAt, &c.CreatedBy, &disabled, &c.DisabledWhy,
		&old, &s.Waiting, &oldest, &delivered, &s.GivenUp, &gaveUp)
	c.CreatedAt, c.DisabledAt, c.OldUntil = c.CreatedAt.UTC(), timeOf(disabled), timeOf(old)
	s.Oldest, s.DeliveredAt, s.GivenUpAt = timeOf(oldest), timeOf(delivered), timeOf(gaveUp)
	return c, err
}

func readChannels(ctx context.Context, tx pgx.Tx, now time.Time, query string, args ...any) ([]channelRow, error) {
	rows, err := tx.Query(ctx, query, append([]any{now, now.Add(-push.TroubleFor)}, args...)...)
	if err != nil {
		return nil, fmt.Errorf("read channels: %w", err)
	}
	list, err := pgx.CollectRows(rows, scanChannel)
	if err != nil {
		return nil, fmt.Errorf("read channels: %w", err)
	}
	return list, nil
}

func readChannel(ctx context.Context, tx pgx.Tx, uid vital.UID, now time.Time) (channelRow, error) {
	u, err := parseUID(uid, "webhook")
	if err != nil {
		return channelRow{}, err
	}
	list, err := readChannels(ctx, tx, now, selectChannel, u)
	if err == nil && len(list) == 0 {
		err = fault.New(fault.NotFound, "there is no webhook %s", uid)
	}
	if err != nil {
		return channelRow{}, err
	}
	return list[0], nil
}

// Channels lists the organisation's channels. See push.ChannelBook for this and the methods that follow.
func (a *App) Channels(ctx context.Context, actor account.Actor) (list []push.Channel, at time.Time, err error) {
	err = a.as(ctx, actor, func(tx pgx.Tx, now time.Time) error {
		at = now
		rows, err := readChannels(ctx, tx, now, selectChannels)
		for i := range rows {
			list = append(list, rows[i].Channel)
		}
		return err
	})
	return list, at, err
}

const teamChannels = `SELECT ` + channelColumns + ` WHERE 'team' = ANY(c.audiences) AND (c.disabled_at IS NULL OR c.disabled_at > $2) ORDER BY lower(c.name), c.id`

// ChannelsToTeams lists the channels by which care teams are told. See push.TroubleBook. It is Hale that looks: whoever counts on
// being told need not see where notices are sent.
func (a *App) ChannelsToTeams(ctx context.Context, actor account.Actor) (list []push.Channel, at time.Time, err error) {
	err = a.inOrg(ctx, actor.Org, func(tx pgx.Tx, now time.Time) error {
		at = now
		rows, err := readChannels(ctx, tx, now, teamChannels)
		for i := range rows {
			list = append(list, rows[i].Channel)
		}
		return err
	})
	return list, at, err
}

const insertChannel = `
INSERT INTO channel (org_id, uid, name, url, topics, severities, audiences, secret, created_at, created_by, created_name)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)`

// AddChannel keeps a new channel.
func (a *App) AddChannel(ctx context.Context, actor account.Actor, c push.Channel, seal func(vital.UID) ([]byte, error)) (push.Channel, error) {
	err := a.as(ctx, actor, func(tx pgx.Tx, now time.Time) error {
		c.UID, c.CreatedAt, c.CreatedBy = newUID(), now, actor.Name
		sealed, err := seal(c.UID)
		if err != nil {
			return err
		}
		// One at a time, so that there are never more than may be.
		if _, err := tx.Exec(ctx, `SELECT pg_advisory_xact_lock(hashtext('channels'), $1)`, int32(actor.Org)); err != nil {
			return fmt.Errorf("wait for who adds a channel: %w", err)
		}
		var others int
		if err := tx.QueryRow(ctx, `SELECT count(*) FROM channel WHERE disabled_at IS NULL`).Scan(&others); err != nil {
			return fmt.Errorf("count channels: %w", err)
		}
		if others >= push.MostChannels {
			return fault.New(fault.Conflict, "there are %d webhooks already: disable one first", others)
		}
		_, err = tx.Exec(ctx, insertChannel, int32(actor.Org), string(c.UID), c.Name, c.URL, textsOfAny(c.Topics), textsOfAny(c.Severities), textsOfAny(c.Audiences),
			sealed, now, nullID(actor.Staff), actor.Name)
		if violated(err, "channel_name") {
			return fault.New(fault.Conflict, "there is a webhook of this name already: choose another name, or disable that one first")
		}
		if err != nil {
			return fmt.Errorf("add a channel: %w", err)
		}
		return writeAudit(ctx, tx, account.Audit{
			Org: actor.Org, At: now, Actor: actor, Action: "make webhook", Object: "webhook " + string(c.UID), Detail: fmt.Sprintf("%v %v %v", c.Topics, c.Severities, c.Audiences),
		})
	})
	return c, err
}

// textsOfAny is a list that is written as text[] and never null.
func textsOfAny[T ~string](list []T) []string {
	texts := make([]string, len(list))
	for i, t := range list {
		texts[i] = string(t)
	}
	return texts
}

const (
	lockChannel    = `SELECT id FROM channel WHERE uid = $1 FOR NO KEY UPDATE`
	disableChannel = `UPDATE channel SET disabled_at = $2, disabled_why = 'person' WHERE id = $1`
	renewSecret    = `UPDATE channel SET secret = $2, old_until = $3 WHERE id = $1`
	insertTest     = `
INSERT INTO outbox (org_id, topic, dedup, severity, created_at, audience, planned_at) VALUES ($1, $2, $3, $4, $5, $6, $5) RETURNING id`
	insertDelivery = `INSERT INTO delivery (org_id, uid, outbox_id, channel_id, urgency, created_at, next_action_at) VALUES ($1, $2, $3, $4, 0, $5, $5)`
)

// AmendChannel changes a channel as decide says.
func (a *App) AmendChannel(ctx context.Context, actor account.Actor, uid vital.UID, decide func(push.Channel, time.Time) (push.Amendment, error)) (done push.Channel, err error) {
	u, err := parseUID(uid, "webhook")
	if err != nil {
		return push.Channel{}, err
	}
	err = a.as(ctx, actor, func(tx pgx.Tx, now time.Time) error {
		var id int64
		if err := tx.QueryRow(ctx, lockChannel, u).Scan(&id); errors.Is(err, pgx.ErrNoRows) {
			return fault.New(fault.NotFound, "there is no webhook %s", uid)
		} else if err != nil {
			return fmt.Errorf("lock a channel: %w", err)
		}
		row, err := readChannel(ctx, tx, uid, now)
		if err != nil {
			return err
		}
		m, err := decide(row.Channel, now)
		if err != nil {
			return err
		}
		if err := saveAmendment(ctx, tx, actor, row, m, now); err != nil {
			return err
		}
		row, err = readChannel(ctx, tx, uid, now)
		done = row.Channel
		return err
	})
	return done, err
}

func saveAmendment(ctx context.Context, tx pgx.Tx, actor account.Actor, row channelRow, m push.Amendment, now time.Time) error {
	var err error
	switch {
	case m.Disable:
		_, err = tx.Exec(ctx, disableChannel, row.id, now)
	case m.Secret != nil:
		_, err = tx.Exec(ctx, renewSecret, row.id, m.Secret, m.Until)
	case m.Test:
		err = owedTest(ctx, tx, actor.Org, row.id, now)
	default:
		return nil // it is so already
	}
	if err != nil {
		return fmt.Errorf("change a channel: %w", err)
	}
	return writeAudit(ctx, tx, account.Audit{Org: actor.Org, At: now, Actor: actor, Action: m.Act, Object: "webhook " + string(row.UID)})
}

// owedTest owes a channel a notice that tells of nothing.
func owedTest(ctx context.Context, tx pgx.Tx, org vital.OrgID, channel int64, now time.Time) error {
	uid := string(newUID())
	var notice int64
	err := tx.QueryRow(ctx, insertTest, int32(org), string(push.ChannelTested), uid, push.SeverityNone, now, string(push.ToManagers)).Scan(&notice)
	if err != nil {
		return err
	}
	_, err = tx.Exec(ctx, insertDelivery, int32(org), uid, notice, channel, now)
	return err
}

const selectDeliveries = `
SELECT d.uid::text, o.topic, o.severity, o.audience, o.created_at, d.state, d.tries, d.reason, d.status, CASE WHEN d.state = 'waiting' THEN d.next_action_at END, d.settled_at
FROM delivery d JOIN outbox o ON o.org_id = d.org_id AND o.id = d.outbox_id WHERE d.channel_id = $1 ORDER BY d.id DESC LIMIT $2`

// Deliveries lists the newest deliveries to a channel.
func (a *App) Deliveries(ctx context.Context, actor account.Actor, uid vital.UID, most int) (list []push.Delivery, err error) {
	err = a.as(ctx, actor, func(tx pgx.Tx, now time.Time) error {
		row, err := readChannel(ctx, tx, uid, now)
		if err != nil {
			return err
		}
		rows, err := tx.Query(ctx, selectDeliveries, row.id, most)
		if err != nil {
			return fmt.Errorf("list deliveries: %w", err)
		}
		list, err = pgx.CollectRows(rows, func(row pgx.CollectableRow) (push.Delivery, error) {
			var d push.Delivery
			var next, settled *time.Time
			err := row.Scan(&d.UID, &d.Topic, &d.Severity, &d.Audience, &d.CreatedAt, &d.State, &d.Tries, &d.Reason, &d.Status, &next, &settled)
			d.CreatedAt, d.NextAt, d.SettledAt = d.CreatedAt.UTC(), timeOf(next), timeOf(settled)
			return d, err
		})
		return err
	})
	return list, err
}
