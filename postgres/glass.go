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

// Whoever names this many patients who are not there, within an hour, has to wait: numbers are not to be tried out.
const (
	glassMisses     = 10
	glassMissesIn   = time.Hour
	glassMissAction = "break the glass of nobody"
)

const countMisses = `SELECT count(*) FROM audit WHERE actor_id = $1 AND action = '` + glassMissAction + `' AND at > $2`

// findByNumber finds a number however its letters are typed, unless that could mean two patients, and goes from a record that was merged to the one under which the person is known now: the card in their hand is old.
const findByNumber = `
WITH RECURSIVE named AS (
    SELECT p.id, p.uid, p.org_id, p.name, p.number, p.state, p.merged_into FROM patient p WHERE p.number = $1 OR p.uid::text = lower($1)
        OR lower(p.number) = lower($1) AND NOT EXISTS (SELECT FROM patient o WHERE o.org_id = p.org_id AND lower(o.number) = lower($1) AND o.id <> p.id)
    UNION SELECT q.id, q.uid, q.org_id, q.name, q.number, q.state, q.merged_into FROM named n JOIN patient q ON q.org_id = n.org_id AND q.id = n.merged_into
    WHERE n.state = 'merged')
SELECT n.id, n.uid::text, n.name, n.number, EXISTS (SELECT FROM team_patient t JOIN team_member m ON m.org_id = t.org_id AND m.team_id = t.team_id AND m.staff_id = $2
    WHERE t.org_id = n.org_id AND t.patient_id = n.id AND t.from_at <= $3 AND (t.to_at IS NULL OR t.to_at > $3) AND m.from_at <= $3 AND (m.to_at IS NULL OR m.to_at > $3))
FROM named n WHERE n.state <> 'merged' LIMIT 1`

const tellOfficer = `
INSERT INTO outbox (org_id, patient_id, topic, dedup, severity, created_at, audience) VALUES ($1, $2, $3, $4, 'urgent', $5, 'privacy_officer')`
const insertGlass = `INSERT INTO break_glass (org_id, uid, patient_id, staff_id, reason, from_at, until_at) VALUES ($1, $2, $3, $4, $5, $6, $7)`

// Break opens a record for somebody who is in none of its care teams. See account.GlassBook.
func (a *App) Break(ctx context.Context, actor account.Actor, patient, reason string, lasts time.Duration) (account.Glass, error) {
	g := account.Glass{UID: newUID(), Staff: actor.UID, StaffName: actor.Name, StaffRole: actor.Role, Reason: reason}
	missed := false
	// The whole organisation is looked through, and nothing but whether there is such a patient comes out of it.
	err := a.inOrg(ctx, actor.Org, func(tx pgx.Tx, now time.Time) error {
		var misses int
		if err := tx.QueryRow(ctx, countMisses, int64(actor.Staff), now.Add(-glassMissesIn)).Scan(&misses); err != nil {
			return fmt.Errorf("count wrong numbers: %w", err)
		}
		if misses >= glassMisses {
			return fault.New(fault.Forbidden, "too many numbers that no patient has: wait an hour, or ask somebody of the care team")
		}
		var id vital.PatientID
		var mine bool
		err := tx.QueryRow(ctx, findByNumber, patient, int64(actor.Staff), now).Scan(&id, &g.Patient, &g.PatientName, &g.Number, &mine)
		if errors.Is(err, pgx.ErrNoRows) {
			missed = true
			return writeAudit(ctx, tx, account.Audit{Org: actor.Org, At: now, Actor: actor, Action: glassMissAction})
		}
		if err != nil {
			return fmt.Errorf("find the patient: %w", err)
		}
		if mine {
			return fault.New(fault.Conflict, "this patient is in the care of a team of yours: open their record, there is no glass to break")
		}
		g.From, g.Until = now, now.Add(lasts)
		if _, err := tx.Exec(ctx, insertGlass, int32(actor.Org), string(g.UID), int64(id), int64(actor.Staff), reason, g.From, g.Until); err != nil {
			return fmt.Errorf("break the glass: %w", err)
		}
		if _, err := tx.Exec(ctx, tellOfficer, int32(actor.Org), int64(id), string(push.GlassBroken), string(g.UID), now); err != nil {
			return fmt.Errorf("tell the privacy officer: %w", err)
		}
		return writeAudit(ctx, tx, account.Audit{
			Org: actor.Org, At: now, Actor: actor, Action: string(account.BreakGlass), Patient: id, Object: "glass " + string(g.UID),
			Detail: "until " + g.Until.Format(time.RFC3339),
		})
	})
	if err == nil && missed {
		err = fault.New(fault.NotFound, "there is no patient of this number")
	}
	return g, err
}

// EndGlass closes the record again.
func (a *App) EndGlass(ctx context.Context, actor account.Actor, uid vital.UID) error {
	u, err := parseUID(uid, "broken glass")
	if err != nil {
		return err
	}
	return a.inOrg(ctx, actor.Org, func(tx pgx.Tx, now time.Time) error {
		var patient vital.PatientID
		const end = `UPDATE break_glass SET ended_at = $3 WHERE uid = $1 AND staff_id = $2 AND ended_at IS NULL AND until_at > $3 RETURNING patient_id`
		err := tx.QueryRow(ctx, end, u, int64(actor.Staff), now).Scan(&patient)
		if errors.Is(err, pgx.ErrNoRows) {
			return fault.New(fault.NotFound, "you have no such record open")
		}
		if err != nil {
			return fmt.Errorf("close the record: %w", err)
		}
		return writeAudit(ctx, tx, account.Audit{Org: actor.Org, At: now, Actor: actor, Action: "close the glass", Patient: patient, Object: "glass " + string(uid)})
	})
}

const selectGlass = `
SELECT g.uid::text, p.uid::text, p.name, p.number, s.uid::text, s.name, s.role, g.reason, g.from_at, g.until_at, g.ended_at, g.reviewed_at, coalesce(r.name, ''), g.finding
FROM break_glass g JOIN patient p ON p.org_id = g.org_id AND p.id = g.patient_id JOIN staff s ON s.org_id = g.org_id AND s.id = g.staff_id
LEFT JOIN staff r ON r.org_id = g.org_id AND r.id = g.reviewed_by
WHERE $1 = 0 OR g.staff_id = $1 ORDER BY g.reviewed_at IS NOT NULL, g.id DESC LIMIT $2`

// Broken returns the breakings of the glass that nobody has reviewed first. See account.GlassBook.
func (a *App) Broken(ctx context.Context, actor account.Actor, staff account.StaffID, limit int) ([]account.Glass, error) {
	var list []account.Glass
	// One's own are shown also when the time has run out, and the patient is out of one's view again.
	err := a.inOrg(ctx, actor.Org, func(tx pgx.Tx, _ time.Time) error {
		rows, err := tx.Query(ctx, selectGlass, int64(staff), limit)
		if err != nil {
			return fmt.Errorf("list broken glass: %w", err)
		}
		list, err = pgx.CollectRows(rows, func(row pgx.CollectableRow) (account.Glass, error) {
			var g account.Glass
			var ended, reviewed *time.Time
			err := row.Scan(&g.UID, &g.Patient, &g.PatientName, &g.Number, &g.Staff, &g.StaffName, &g.StaffRole, &g.Reason, &g.From, &g.Until, &ended, &reviewed, &g.Reviewer, &g.Finding)
			g.From, g.Until, g.EndedAt, g.ReviewedAt = g.From.UTC(), g.Until.UTC(), timeOf(ended), timeOf(reviewed)
			return g, err
		})
		return err
	})
	return list, err
}

// Review writes down what the privacy officer found.
func (a *App) Review(ctx context.Context, actor account.Actor, uid vital.UID, finding string) error {
	u, err := parseUID(uid, "broken glass")
	if err != nil {
		return err
	}
	return a.as(ctx, actor, func(tx pgx.Tx, now time.Time) error {
		var patient vital.PatientID
		var reviewed bool
		err := tx.QueryRow(ctx, `SELECT patient_id, reviewed_at IS NOT NULL FROM break_glass WHERE uid = $1 FOR NO KEY UPDATE`, u).Scan(&patient, &reviewed)
		if errors.Is(err, pgx.ErrNoRows) {
			return fault.New(fault.NotFound, "there is no such broken glass")
		}
		if err != nil {
			return fmt.Errorf("find broken glass: %w", err)
		}
		if reviewed {
			return fault.New(fault.Conflict, "it has been reviewed already")
		}
		if _, err := tx.Exec(ctx, `UPDATE break_glass SET reviewed_at = $2, reviewed_by = $3, finding = $4 WHERE uid = $1`, u, now, int64(actor.Staff), finding); err != nil {
			return fmt.Errorf("review broken glass: %w", err)
		}
		return writeAudit(ctx, tx, account.Audit{Org: actor.Org, At: now, Actor: actor, Action: "review broken glass", Patient: patient, Object: "glass " + string(uid)})
	})
}
