package postgres

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"hale/account"
	"hale/alerts"
	"hale/fault"
	"hale/vital"
)

// Whose it is, is said of each value: an unverified red may stand for those of several people.

const insertClaimed = `
INSERT INTO unverified_person (org_id, unverified_id, patient_id, how, value_id)
SELECT $1, $2, x.patient_id, 'claimed', x.value_id FROM unnest($3::bigint[], $4::bigint[]) AS x (patient_id, value_id) ON CONFLICT DO NOTHING`

// stillClaimed holds of a value v and of whom h it was said to be, while it stands with them: what was filed is theirs for as long as the
// reading is, neither filed elsewhere nor taken back.
const stillClaimed = `h.how = 'claimed' AND v.became = 'claimed' AND v.ended_at IS NOT NULL AND (v.place = 'quarantine' OR EXISTS (
    SELECT FROM reading r WHERE r.sensor_id = v.sensor_id AND r.metric = v.metric AND r.sent_at = v.sent_at AND r.tie = v.tie AND (v.place = 'record' OR r.patient_id = h.patient_id)))`

// whoseClaim are the columns of alerts.Claim: whose v is, and the claim that filed it.
const whoseClaim = `p.id, p.uid::text, p.org_id, p.name, p.number, p.state, ` + relationColumns + `, coalesce((
    SELECT f.uid::text FROM refile f WHERE v.place = 'inbox' AND f.org_id = v.org_id AND f.sensor_id = v.sensor_id AND f.source_id IS NULL AND f.target_id IS NOT NULL AND f.state = 'done'
        AND f.from_at <= v.measured_at AND (f.to_at IS NULL OR f.to_at > v.measured_at) ORDER BY f.id DESC LIMIT 1), '')`

const claimedReds = `
SELECT u.uid::text, d.uid, s.uid, u.metric, u.side, ` + valueColumns + `, ` + whoseClaim + patientTables + `
    JOIN unverified_person h ON h.org_id = p.org_id AND h.patient_id = p.id
    JOIN unverified_value v ON v.org_id = h.org_id AND v.id = h.value_id AND ` + stillClaimed + `
    JOIN unverified u ON u.org_id = v.org_id AND u.id = v.unverified_id
    JOIN device d ON d.org_id = u.org_id AND d.id = u.device_id JOIN sensor s ON s.org_id = u.org_id AND s.id = u.sensor_id
WHERE ($1::uuid IS NULL OR p.uid = $1) AND ($2::timestamptz IS NULL OR v.ended_at >= $2) AND (NOT $3 OR v.place <> 'inbox')
ORDER BY v.ended_at DESC, v.id DESC LIMIT $4`

// Claimed returns claimed reds with whose they are said to be. See alerts.ClaimedBook.
func (a *App) Claimed(ctx context.Context, actor account.Actor, f alerts.ClaimedFilter) ([]alerts.ClaimedRed, error) {
	var patient any
	if f.Patient != "" {
		u, err := parseUID(f.Patient, "patient")
		if err != nil {
			return nil, err
		}
		patient = u
	}
	var list []alerts.ClaimedRed
	err := a.as(ctx, actor, func(tx pgx.Tx, _ time.Time) error {
		rows, err := tx.Query(ctx, claimedReds, patient, nullTime(f.Since), f.Unjudged, f.Limit)
		if err == nil {
			list, err = pgx.CollectRows(rows, scanClaimed)
		}
		if err != nil {
			return fmt.Errorf("list claimed reds: %w", err)
		}
		return nil
	})
	return list, err
}

func scanClaimed(row pgx.CollectableRow) (alerts.ClaimedRed, error) {
	var c alerts.ClaimedRed
	var reading int64
	var badness float64
	var unsure int64
	var findings int32
	var side vital.Beyond
	var measured, left, ended, glass *time.Time
	u, p := &c.Unverified, &c.Owner
	err := row.Scan(&u.UID, &u.Device, &u.Sensor, &u.Metric, &side, &c.Value, &u.Place, &u.Why, &u.Level, &u.Ground, &u.Values, &u.Unitless, &badness, &findings, &reading, &measured, &u.ReceivedAt,
		&u.Times, &u.Closing, &u.ClosedBy, &u.Note, &left, &ended, &unsure, &p.ID, &p.UID, &p.Org, &p.Name, &p.Number, &p.State, &p.Relation.Team, &glass, &p.Relation.Shared, &c.Refile)
	if u.Ground == alerts.GroundBeyond {
		u.Beyond = side
	}
	u.Org, u.State, u.Findings, u.ReceivedAt = p.Org, alerts.Closed, vital.Finding(uint32(findings)), u.ReceivedAt.UTC()
	u.Vague = vital.VagueWithin(time.Duration(unsure)*time.Microsecond, u.ReceivedAt)
	u.MeasuredAt, u.ClosedAt, p.Relation.Glass = timeOf(measured), timeOf(ended), timeOf(glass)
	return c, err
}

const filedFor = `
SELECT EXISTS (SELECT FROM unverified_value v JOIN reading r ON r.sensor_id = v.sensor_id AND r.metric = v.metric AND r.sent_at = v.sent_at AND r.tie = v.tie
    WHERE v.id = $1 AND r.patient_id = $2)`

// claimShown writes down of the value that an unverified red shows whose it was said to be, and why, and returns which it is; 0: all have
// ended. An average that is stored is its owner's: for anybody else it is fault.Conflict, or it would stand with both.
func claimShown(ctx context.Context, tx pgx.Tx, u *alerts.Unverified, act alerts.UnverifiedAct) (int64, error) {
	values, err := valuesOf(ctx, tx, u.ID, 1) // the worst of those that have not ended, where there is one
	if err != nil {
		return 0, err
	}
	shown := alerts.Shown(values)
	if shown == nil {
		return 0, nil
	}
	if shown.Place == alerts.InRecord {
		var theirs bool
		if err := tx.QueryRow(ctx, filedFor, shown.ID, int64(act.Claimed)).Scan(&theirs); err != nil {
			return 0, fmt.Errorf("look whose an average is: %w", err)
		}
		if !theirs {
			return 0, fault.New(fault.Conflict, "it is filed among the readings of somebody else, as an average: undo that filing, or file it anew for whose it is, first")
		}
	}
	if _, err := tx.Exec(ctx, insertClaimed, int32(u.Org), u.ID, []int64{int64(act.Claimed)}, []int64{shown.ID}); err != nil {
		return 0, fmt.Errorf("write down whose an unverified red is: %w", err)
	}
	_, err = tx.Exec(ctx, `UPDATE unverified_value SET note = $2 WHERE id = $1`, shown.ID, act.Note)
	return shown.ID, wrapped(err, "write down whose an unverified red is")
}
