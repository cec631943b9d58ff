package postgres

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"hale/account"
	"hale/fault"
	"hale/vital"
)

// usualTeam is the name of the care team that an organisation begins with: it takes in everybody who is sent to no other, so
// that an organisation with one team need not know of teams.
const usualTeam = "Home care"

const insertUsualTeam = `INSERT INTO team (org_id, uid, name, usual, created_at) VALUES ($1, $2, $3, true, $4)`

// beginTeams gives a new organisation its usual team.
func beginTeams(ctx context.Context, tx pgx.Tx, org vital.OrgID, now time.Time) error {
	if _, err := tx.Exec(ctx, insertUsualTeam, int32(org), string(newUID()), usualTeam, now); err != nil {
		return fmt.Errorf("make the first care team: %w", err)
	}
	return nil
}

const joinPatient = `
INSERT INTO team_patient (org_id, team_id, patient_id, from_at)
SELECT t.org_id, t.id, $2, $3 FROM team t
WHERE t.org_id = $1 AND t.ended_at IS NULL AND CASE WHEN cardinality($4::uuid[]) = 0 THEN t.usual ELSE t.uid = ANY($4) END`

// joinTeams takes a new patient into the teams that were named, or into the usual one.
func joinTeams(ctx context.Context, tx pgx.Tx, p account.Patient, now time.Time) error {
	teams := make([]string, len(p.Teams))
	for i, uid := range p.Teams {
		u, err := parseUID(uid, "care team")
		if err != nil {
			return err
		}
		teams[i] = u.String()
	}
	done, err := tx.Exec(ctx, joinPatient, int32(p.Org), int64(p.ID), now, teams)
	if err != nil {
		return fmt.Errorf("join care teams: %w", err)
	}
	if len(teams) > 0 && int(done.RowsAffected()) != len(teams) {
		return fault.New(fault.Invalid, "teams: there is no such care team, or it is named twice")
	}
	return nil
}

const joinStaff = `
INSERT INTO team_member (org_id, team_id, staff_id, from_at)
SELECT t.org_id, t.id, s.id, $3 FROM team t JOIN staff s ON s.org_id = t.org_id AND s.id = $2
WHERE t.org_id = $1 AND t.usual AND s.role IN ('nurse', 'pharmacist', 'physician', 'administrator')
    AND NOT EXISTS (SELECT FROM team_member m WHERE m.org_id = t.org_id AND m.staff_id = s.id)`

// joinUsualTeam takes somebody who is new to the organisation, and whose work is care, into its usual team.
func joinUsualTeam(ctx context.Context, tx pgx.Tx, org vital.OrgID, staff account.StaffID, now time.Time) error {
	if _, err := tx.Exec(ctx, joinStaff, int32(org), int64(staff), now); err != nil {
		return fmt.Errorf("join the usual care team: %w", err)
	}
	return nil
}
