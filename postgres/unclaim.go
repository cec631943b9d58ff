package postgres

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"

	"hale/account"
	"hale/alerts"
	"hale/fault"
)

// unclaimedKind is the line of the log that says of a value that it is not whose it was said to be.
const unclaimedKind = "unclaimed"

// insertClaimEntry is insertUnverifiedEntry of what may tell whose a value is, or is not.
const insertClaimEntry = `
INSERT INTO unverified_entry (org_id, unverified_id, kind, recorded_at, actor_id, actor_name, actor_role, vals, note, version, claimed_for)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11) RETURNING id`

// nobodysAgain is of a value that no claim has filed: what was filed waits again when that is undone (backInInbox). A row that is closed
// is opened anew of it in a moment (openRest).
const nobodysAgain = `
WITH back AS (
    UPDATE unverified_value v SET left_at = NULL, ended_at = NULL, became = '', by_name = '', note = ''
    WHERE v.unverified_id = $1 AND v.id = $2 AND v.place <> 'inbox' AND v.became = 'claimed' AND v.ended_at IS NOT NULL RETURNING v.id
), theirs AS (DELETE FROM unverified_person p USING back b WHERE p.value_id = b.id AND p.how = 'claimed')
UPDATE unverified u SET version = u.version + 1, note = CASE WHEN u.state = 'closed' THEN $4 ELSE u.note END, next_action_at = CASE WHEN u.state = 'closed' THEN $3 ELSE u.next_action_at END
FROM back b WHERE u.id = $1`

// takeClaimBack makes a value nobody's again. See alerts.Watchlist.
func takeClaimBack(ctx context.Context, tx pgx.Tx, actor account.Actor, u *alerts.Unverified, act alerts.UnverifiedAct, now time.Time) error {
	tag, err := tx.Exec(ctx, nobodysAgain, u.ID, act.Unclaimed, now, alerts.UnclaimedNote(actor.Name, act.Note))
	if err != nil {
		return fmt.Errorf("take back whose an unverified red is: %w", err)
	}
	if tag.RowsAffected() == 0 {
		return fault.New(fault.Conflict, "somebody has taken it back already: look at it again")
	}
	return nil
}

// valueIn is what was measured of one of the values.
func valueIn(values []alerts.UnverifiedValue, id int64) []float64 {
	i := slices.IndexFunc(values, func(v alerts.UnverifiedValue) bool { return v.ID == id })
	if i < 0 || values[i].Values == nil {
		return []float64{}
	}
	return values[i].Values
}

const claimsOfUnverified = `
SELECT v.id, ` + whoseClaim + patientTables + `
    JOIN unverified_person h ON h.org_id = p.org_id AND h.patient_id = p.id
    JOIN unverified_value v ON v.org_id = h.org_id AND v.id = h.value_id AND ` + stillClaimed + `
WHERE v.unverified_id = $1 AND v.id = ANY($2)`

// fillClaims adds whose the values stand as, as far as the view of the transaction goes.
func fillClaims(ctx context.Context, tx pgx.Tx, red int64, values []alerts.UnverifiedValue) error {
	at := map[int64]*alerts.UnverifiedValue{}
	var ids []int64
	for i := range values {
		if v := &values[i]; v.Became == alerts.ClosedAsClaimed {
			ids, at[v.ID] = append(ids, v.ID), v
		}
	}
	if len(ids) == 0 {
		return nil
	}
	rows, err := tx.Query(ctx, claimsOfUnverified, red, ids)
	if err != nil {
		return fmt.Errorf("read whose unverified values are: %w", err)
	}
	var id int64
	var c alerts.Claim
	var glass *time.Time
	p := &c.Owner
	_, err = pgx.ForEachRow(rows, []any{&id, &p.ID, &p.UID, &p.Org, &p.Name, &p.Number, &p.State, &p.Relation.Team, &glass, &p.Relation.Shared, &c.Refile}, func() error {
		p.Relation.Glass = timeOf(glass)
		at[id].Claim = c
		return nil
	})
	return wrapped(err, "read whose unverified values are")
}
