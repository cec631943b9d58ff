package postgres

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"hale/account"
	"hale/account/consent"
	"hale/fault"
	"hale/push"
	"hale/vital"
)

const selectGrants = `
SELECT g.id, g.uid::text, g.caregiver_id, c.uid::text, c.name, g.guardian, g.scopes, g.from_at, g.to_at, g.document, g.reason, coalesce(g.staff_id, 0), g.recorded_by,
    g.confirmed_at, g.suspended_at
FROM caregiver_grant g JOIN caregiver c ON c.org_id = g.org_id AND c.id = g.caregiver_id WHERE g.patient_id = $1 ORDER BY g.id`

func grantsOf(ctx context.Context, tx pgx.Tx, patient vital.PatientID) ([]consent.Grant, error) {
	rows, err := tx.Query(ctx, selectGrants, int64(patient))
	if err != nil {
		return nil, fmt.Errorf("load who was let in: %w", err)
	}
	list, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (consent.Grant, error) {
		var g consent.Grant
		var to, confirmed, suspended *time.Time
		err := row.Scan(&g.ID, &g.UID, &g.Caregiver, &g.Who, &g.Name, &g.Guardian, &g.Scopes, &g.From, &to, &g.Document, &g.Reason, &g.Staff, &g.RecordedBy, &confirmed, &suspended)
		g.From, g.To, g.ConfirmedAt, g.SuspendedAt = g.From.UTC(), timeOf(to), timeOf(confirmed), timeOf(suspended)
		return g, err
	})
	if err != nil {
		return nil, fmt.Errorf("load who was let in: %w", err)
	}
	return list, nil
}

// addCaregiver takes down somebody whom no grant shows yet, so their id is not read back but asked of the sequence.
const addCaregiver = `INSERT INTO caregiver (org_id, uid, name, created_at, phone) VALUES ($1, $2, $3, $4, $5)`
const addedCaregiver = `SELECT currval('caregiver_id_seq')`

const insertCaregiverGrant = `
INSERT INTO caregiver_grant (org_id, uid, patient_id, caregiver_id, guardian, scopes, from_at, to_at, suspended_at, document, reason, staff_id, recorded_by, created_at)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14)`

const amendGrant = `UPDATE caregiver_grant SET to_at = $2, confirmed_at = $3, confirmed_by = CASE WHEN $3::timestamptz IS NULL THEN NULL ELSE coalesce(confirmed_by, $4) END, suspended_at = $5 WHERE id = $1`

// LetIn stores a grant and ends those that it takes the place of. See consent.CaregiverStore.
func (a *App) LetIn(ctx context.Context, actor account.Actor, uid vital.UID, decide func(*consent.File, time.Time) (consent.Grant, []consent.Grant, error)) (made consent.Grant, err error) {
	err = a.as(ctx, actor, func(tx pgx.Tx, _ time.Time) error {
		f, now, err := lockPatient(ctx, tx, actor, uid)
		if err != nil {
			return err
		}
		g, ends, err := decide(&f, now)
		if err != nil {
			return err
		}
		if g.Caregiver == 0 {
			g.Who = newUID()
			if _, err := tx.Exec(ctx, addCaregiver, int32(actor.Org), string(g.Who), g.Name, now, g.Phone); err != nil {
				return fmt.Errorf("add caregiver: %w", err)
			}
			if err := tx.QueryRow(ctx, addedCaregiver).Scan(&g.Caregiver); err != nil {
				return fmt.Errorf("add caregiver: %w", err)
			}
		} else if g.Phone != "" {
			if _, err := tx.Exec(ctx, `UPDATE caregiver SET phone = $2 WHERE id = $1`, int64(g.Caregiver), g.Phone); err != nil {
				return fmt.Errorf("keep the caregiver's telephone: %w", err)
			}
		}
		for _, old := range ends {
			if _, err := tx.Exec(ctx, `UPDATE caregiver_grant SET to_at = greatest($2::timestamptz, from_at) WHERE id = $1`, old.ID, now); err != nil {
				return fmt.Errorf("end the earlier grant: %w", err)
			}
		}
		g.UID = newUID()
		_, err = tx.Exec(ctx, insertCaregiverGrant, int32(actor.Org), string(g.UID), int64(f.Patient.ID), int64(g.Caregiver), g.Guardian, string(g.Scopes), g.From, nullTime(g.To),
			nullTime(g.SuspendedAt), g.Document, g.Reason, nullID(g.Staff), g.RecordedBy, now)
		if err != nil {
			return fmt.Errorf("let a caregiver in: %w", err)
		}
		made = g
		if !g.Guardian && g.SuspendedAt.IsZero() {
			if err := tellLetIn(ctx, tx, f.Patient, g, now); err != nil {
				return err
			}
		}
		detail := "shares " + string(g.Scopes)
		if g.Guardian {
			detail = "guardian, to be confirmed: " + string(g.Scopes)
		}
		return writeAudit(ctx, tx, account.Audit{
			Org: actor.Org, At: now, Actor: actor, Action: string(account.ManageCaregiver), Patient: f.Patient.ID, Object: "caregiver " + string(g.Who), Detail: detail,
		})
	})
	return made, err
}

// tellLetIn owes somebody close to a patient word of what they may see now. Whose view is frozen is told nothing, and nobody is
// told that it ended: the patient does that, or does not.
func tellLetIn(ctx context.Context, tx pgx.Tx, p account.Patient, g consent.Grant, now time.Time) error {
	n := push.Notice{
		Org: p.Org, Patient: p.ID, Topic: push.AccessGiven, Dedup: string(g.UID), CreatedAt: now,
		Audience: push.ToCaregiver, Caregiver: int64(g.Caregiver), Purpose: string(consent.ForSharing),
	}
	if g.Guardian { // who acts by a document and not by what the patient shares
		n.Purpose = string(consent.ForCare)
	}
	return notify(ctx, tx, n)
}

const cancelForCaregiver = `
UPDATE outbox SET cancelled_at = $3, cancelled_for = $4 WHERE patient_id = $1 AND audience = 'caregiver' AND caregiver_id = $2 AND sent_at IS NULL AND cancelled_at IS NULL`

// AmendGrants changes the grants of one caregiver. Notices that wait for somebody whose reading ends or freezes are cancelled
// with it. See consent.CaregiverStore.
func (a *App) AmendGrants(ctx context.Context, actor account.Actor, uid, caregiver vital.UID, action account.Action, what string,
	decide func(*consent.File, []consent.Grant, time.Time) ([]consent.Grant, error),
) error {
	return a.as(ctx, actor, func(tx pgx.Tx, _ time.Time) error {
		f, now, err := lockPatient(ctx, tx, actor, uid)
		if err != nil {
			return err
		}
		var theirs []consent.Grant
		for _, g := range f.Grants {
			if g.Who == caregiver {
				theirs = append(theirs, g)
			}
		}
		changed, err := decide(&f, theirs, now)
		if err != nil {
			return err
		}
		if len(theirs) == 0 {
			return fault.New(fault.NotFound, "this patient has let no such person in")
		}
		if len(changed) == 0 {
			return nil
		}
		for _, g := range changed {
			if _, err := tx.Exec(ctx, amendGrant, g.ID, nullTime(g.To), nullTime(g.ConfirmedAt), nullID(actor.Staff), nullTime(g.SuspendedAt)); err != nil {
				return fmt.Errorf("change a grant: %w", err)
			}
			if g.ConfirmedAt.Equal(now) && !g.Ended(now) && g.SuspendedAt.IsZero() { // by this act
				if err := tellLetIn(ctx, tx, f.Patient, g, now); err != nil {
					return err
				}
			}
			if g.Ended(now) || !g.SuspendedAt.IsZero() {
				if _, err := tx.Exec(ctx, cancelForCaregiver, int64(f.Patient.ID), int64(g.Caregiver), now, "not to be told any more"); err != nil {
					return fmt.Errorf("cancel waiting notices: %w", err)
				}
			}
		}
		return writeAudit(ctx, tx, account.Audit{
			Org: actor.Org, At: now, Actor: actor, Action: string(action), Patient: f.Patient.ID, Object: "caregiver " + string(caregiver), Detail: what,
		})
	})
}

const selectPrivate = `
SELECT i.uid::text, i.kind, coalesce(i.ref::text, ''), coalesce(i.metric, 0), i.from_at, i.to_at, i.marked_by, i.marked_at,
    coalesce(e.metric, c.metric, 0), coalesce(d.purpose, ''), coalesce(c.kind, ''), coalesce(e.opened_at, d.decided_at, c.asked_at)
FROM private_item i
LEFT JOIN episode e ON i.kind = 'alert' AND e.org_id = i.org_id AND e.uid = i.ref
LEFT JOIN consent_decision d ON i.kind = 'consent' AND d.org_id = i.org_id AND d.uid = i.ref
LEFT JOIN correction c ON i.kind = 'correction' AND c.patient_id = i.patient_id AND c.uid = i.ref
WHERE i.patient_id = $1 AND i.unmarked_at IS NULL ORDER BY i.id`

// PrivateItems returns what is kept from caregivers. See consent.CaregiverStore.
func (a *App) PrivateItems(ctx context.Context, actor account.Actor, uid vital.UID) (p account.Patient, items []consent.PrivateItem, err error) {
	err = a.as(ctx, actor, func(tx pgx.Tx, _ time.Time) (err error) {
		if p, err = theirs(ctx, tx, actor, uid); err != nil {
			return err
		}
		rows, err := tx.Query(ctx, selectPrivate, int64(p.ID))
		if err != nil {
			return fmt.Errorf("load private items: %w", err)
		}
		items, err = pgx.CollectRows(rows, func(row pgx.CollectableRow) (consent.PrivateItem, error) {
			var i consent.PrivateItem
			var from, to, named *time.Time
			err := row.Scan(&i.UID, &i.Kind, &i.Ref, &i.Metric, &from, &to, &i.MarkedBy, &i.MarkedAt, &i.Names.Metric, &i.Names.Purpose, &i.Names.Wrong, &named)
			i.From, i.To, i.MarkedAt, i.Names.At = timeOf(from), timeOf(to), i.MarkedAt.UTC(), timeOf(named)
			return i, err
		})
		return err
	})
	return p, items, err
}

// refersTo finds what a private item names among what is the patient's.
const refersTo = `
SELECT CASE $1::text WHEN 'alert' THEN EXISTS (SELECT FROM episode WHERE uid = $2 AND patient_id = $3)
    WHEN 'consent' THEN EXISTS (SELECT FROM consent_decision WHERE uid = $2 AND patient_id = $3)
    ELSE EXISTS (SELECT FROM correction WHERE uid = $2 AND patient_id = $3) END`

// samePrivate finds the same thing marked before.
const samePrivate = `
SELECT uid::text, marked_at, marked_by FROM private_item WHERE patient_id = $1 AND unmarked_at IS NULL AND kind = $2
    AND (ref, metric, from_at, to_at) IS NOT DISTINCT FROM ($3::uuid, $4::smallint, $5::timestamptz, $6::timestamptz) ORDER BY id LIMIT 1`

const insertPrivate = `
INSERT INTO private_item (org_id, uid, patient_id, kind, ref, metric, from_at, to_at, marked_at, staff_id, marked_by) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)`

// MarkPrivate keeps something from caregivers; what is private already stays so, once. See consent.CaregiverStore.
func (a *App) MarkPrivate(ctx context.Context, actor account.Actor, uid vital.UID, item consent.PrivateItem, allow func(*account.Patient) error) (consent.PrivateItem, error) {
	err := a.as(ctx, actor, func(tx pgx.Tx, now time.Time) error {
		p, err := theirs(ctx, tx, actor, uid)
		if err != nil {
			return err
		}
		if err := allow(&p); err != nil {
			return err
		}
		var ref any
		if item.Ref != "" {
			u, err := parseUID(item.Ref, string(item.Kind))
			if err != nil {
				return err
			}
			var there bool
			if err := tx.QueryRow(ctx, refersTo, string(item.Kind), u, int64(p.ID)).Scan(&there); err != nil {
				return fmt.Errorf("find what is to be private: %w", err)
			}
			if !there {
				return fault.New(fault.NotFound, "this patient has no such %s", item.Kind)
			}
			ref = u
		}
		var metric *int16
		if item.Metric != 0 {
			m := int16(item.Metric)
			metric = &m
		}
		if _, err := tx.Exec(ctx, `SELECT 1 FROM patient WHERE id = $1 FOR NO KEY UPDATE`, int64(p.ID)); err != nil {
			return fmt.Errorf("lock patient: %w", err)
		}
		err = tx.QueryRow(ctx, samePrivate, int64(p.ID), string(item.Kind), ref, metric, nullTime(item.From), nullTime(item.To)).Scan(&item.UID, &item.MarkedAt, &item.MarkedBy)
		if !errors.Is(err, pgx.ErrNoRows) { // it is private already
			item.MarkedAt = item.MarkedAt.UTC()
			return err
		}
		item.UID, item.MarkedAt, item.MarkedBy = newUID(), now, actor.Name
		_, err = tx.Exec(ctx, insertPrivate, int32(p.Org), string(item.UID), int64(p.ID), string(item.Kind), ref, metric, nullTime(item.From), nullTime(item.To), now, nullID(actor.Staff), actor.Name)
		if err != nil {
			return fmt.Errorf("mark as private: %w", err)
		}
		return writeAudit(ctx, tx, account.Audit{
			Org: p.Org, At: now, Actor: actor, Action: string(account.Protect), Patient: p.ID, Object: "private " + string(item.UID), Detail: "private: " + string(item.Kind),
		})
	})
	return item, err
}

// unmarkPrivate takes along what was marked twice before that was refused.
const unmarkPrivate = `
WITH gone AS (
    UPDATE private_item i SET unmarked_at = $3, unmarked_by = $4 FROM private_item o
    WHERE o.uid = $1 AND o.patient_id = $2 AND o.unmarked_at IS NULL AND i.patient_id = o.patient_id AND i.unmarked_at IS NULL
        AND (i.kind, i.ref, i.metric, i.from_at, i.to_at) IS NOT DISTINCT FROM (o.kind, o.ref, o.metric, o.from_at, o.to_at) RETURNING i.kind
) SELECT kind FROM gone LIMIT 1`

// UnmarkPrivate shows something again. See consent.CaregiverStore.
func (a *App) UnmarkPrivate(ctx context.Context, actor account.Actor, uid, item vital.UID, allow func(*account.Patient) error) error {
	return a.as(ctx, actor, func(tx pgx.Tx, now time.Time) error {
		p, err := theirs(ctx, tx, actor, uid)
		if err != nil {
			return err
		}
		if err := allow(&p); err != nil {
			return err
		}
		u, err := parseUID(item, "private item")
		if err != nil {
			return err
		}
		var kind string
		err = tx.QueryRow(ctx, unmarkPrivate, u, int64(p.ID), now, actor.Name).Scan(&kind)
		if errors.Is(err, pgx.ErrNoRows) {
			return fault.New(fault.NotFound, "there is no such private item")
		}
		if err != nil {
			return fmt.Errorf("show again: %w", err)
		}
		return writeAudit(ctx, tx, account.Audit{
			Org: p.Org, At: now, Actor: actor, Action: string(account.Protect), Patient: p.ID, Object: "private " + string(item), Detail: "shown again: " + kind,
		})
	})
}
