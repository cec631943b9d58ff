package postgres

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"

	"hale/account"
	"hale/push"
	"hale/vital"
)

// standsAlone holds for a care team (t) that has patients at $1, and nobody who may answer their alerts and can sign in.
const standsAlone = `t.ended_at IS NULL
    AND EXISTS (SELECT FROM team_patient p WHERE p.org_id = t.org_id AND p.team_id = t.id AND p.from_at <= $1 AND (p.to_at IS NULL OR p.to_at > $1))
    AND NOT EXISTS (SELECT FROM team_member m JOIN staff s ON s.org_id = m.org_id AND s.id = m.staff_id
        WHERE m.org_id = t.org_id AND m.team_id = t.id AND m.from_at <= $1 AND (m.to_at IS NULL OR m.to_at > $1) AND ` + atBedside + `)`

const unattendedTeams = `SELECT t.uid::text, t.name FROM team t WHERE t.org_id = $2 AND ` + standsAlone + ` ORDER BY t.name`

type namedTeam struct {
	UID  vital.UID
	Name string
}

func unattended(ctx context.Context, tx pgx.Tx, org vital.OrgID, now time.Time) ([]namedTeam, error) {
	rows, err := tx.Query(ctx, unattendedTeams, now, int32(org))
	if err != nil {
		return nil, fmt.Errorf("look for teams of nobody: %w", err)
	}
	list, err := pgx.CollectRows(rows, pgx.RowToStructByPos[namedTeam])
	if err != nil {
		return nil, fmt.Errorf("look for teams of nobody: %w", err)
	}
	return list, nil
}

const tellManagers = `
WITH told AS (UPDATE team SET alone_at = $4 WHERE org_id = $1 AND uid = $5)
INSERT INTO outbox (org_id, topic, dedup, severity, created_at, audience) VALUES ($1, $2, $3, 'urgent', $4, 'manager')`

// leavingAlone makes a change of somebody of the staff, and returns the names of the care teams whose patients have nobody by it who
// answers their alerts. Whoever manages teams is owed a notice of each.
func leavingAlone(ctx context.Context, tx pgx.Tx, org vital.OrgID, now time.Time, change func() error) ([]string, error) {
	before, err := unattended(ctx, tx, org, now)
	if err != nil {
		return nil, err
	}
	if err := change(); err != nil {
		return nil, err
	}
	after, err := unattended(ctx, tx, org, now)
	if err != nil {
		return nil, err
	}
	var names []string
	for _, t := range after {
		if slices.Contains(before, t) {
			continue
		}
		names = append(names, t.Name)
		dedup := string(t.UID) + " " + now.Format(time.RFC3339Nano)
		if _, err := tx.Exec(ctx, tellManagers, int32(org), string(push.TeamUnattended), dedup, now, string(t.UID)); err != nil {
			return nil, fmt.Errorf("tell whoever manages teams: %w", err)
		}
	}
	return names, nil
}

// notAlone forgets of which teams somebody was told, as soon as somebody is there again.
const notAlone = `UPDATE team t SET alone_at = NULL WHERE t.alone_at IS NOT NULL AND NOT (` + standsAlone + `)`

// tellOfAlone tells of teams of which nobody was told. One that nobody's time in it has ended was never attended: whoever takes
// patients into it sees it marked, and they stay in a team that is attended.
const tellOfAlone = `
WITH told AS (
    UPDATE team t SET alone_at = $1 WHERE t.alone_at IS NULL AND ` + standsAlone + `
        AND EXISTS (SELECT FROM team_member m WHERE m.org_id = t.org_id AND m.team_id = t.id AND m.to_at <= $1 AND m.to_at > m.from_at)
    RETURNING t.org_id, t.uid)
INSERT INTO outbox (org_id, topic, dedup, severity, created_at, audience)
SELECT org_id, $2::text, uid || ' ' || $3::text, 'urgent', $1, 'manager' FROM told`

// TellOfTeams owes notices of teams that time has left alone. See account.AloneStore.
func (w *Work) TellOfTeams(ctx context.Context, now time.Time) (told int, err error) {
	err = pgx.BeginFunc(ctx, w.pool, func(tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, notAlone, now); err != nil {
			return fmt.Errorf("look who is there again: %w", err)
		}
		done, err := tx.Exec(ctx, tellOfAlone, now, string(push.TeamUnattended), now.Format(time.RFC3339Nano))
		if err != nil {
			return fmt.Errorf("tell of teams that are left alone: %w", err)
		}
		told = int(done.RowsAffected())
		return nil
	})
	return told, classify(err)
}

// letInAction is the act of somebody who has put themselves beside a patient.
const letInAction = "let oneself in"

const newToMe = `
SELECT p.patient_id FROM team_patient p WHERE p.team_id = $1 AND (p.to_at IS NULL OR p.to_at > $3)
    AND NOT EXISTS (SELECT FROM team_patient o JOIN team_member m ON m.org_id = o.org_id AND m.team_id = o.team_id AND m.staff_id = $2
        WHERE o.org_id = p.org_id AND o.patient_id = p.patient_id AND (o.to_at IS NULL OR o.to_at > $3) AND m.from_at <= $3 AND (m.to_at IS NULL OR m.to_at > $3))
ORDER BY p.patient_id`

// opensTo returns the patients of a team with whom a member of staff is in no team just now.
func opensTo(ctx context.Context, tx pgx.Tx, team int64, staff account.StaffID, now time.Time) ([]int64, error) {
	rows, err := tx.Query(ctx, newToMe, team, int64(staff), now)
	if err != nil {
		return nil, fmt.Errorf("look whom this opens: %w", err)
	}
	return pgx.CollectRows(rows, pgx.RowTo[int64])
}

const tellOfficerOfTeam = `
INSERT INTO outbox (org_id, patient_id, topic, dedup, severity, created_at, audience) VALUES ($1, $2, $3, $4, 'urgent', $5, 'privacy_officer')`

// letIn tells that the actor has opened the records of patients to themselves, through a team or a merge ("team 01…"). It is a look that nobody else has decided
// on, as broken glass is: the privacy officer is owed a notice, and each patient's trail tells it. An organisation with one
// administrator needs the way; who is with all of them already opens nothing. about is the patient, when there is but one.
func letIn(ctx context.Context, tx pgx.Tx, actor account.Actor, now time.Time, through string, opened []int64, about vital.PatientID) error {
	if len(opened) == 0 {
		return nil
	}
	var audit []account.Audit
	for _, p := range opened {
		audit = append(audit, account.Audit{Org: actor.Org, At: now, Actor: actor, Action: letInAction, Patient: vital.PatientID(p), Object: through})
	}
	if err := writeAudits(ctx, tx, audit); err != nil {
		return err
	}
	dedup := through + " " + string(actor.UID) + " " + now.Format(time.RFC3339Nano)
	if _, err := tx.Exec(ctx, tellOfficerOfTeam, int32(actor.Org), nullID(about), string(push.LetOneselfIn), dedup, now); err != nil {
		return fmt.Errorf("tell the privacy officer: %w", err)
	}
	return nil
}

// seenByTeam returns which of some patients a member of staff sees by a care team.
const seenByTeam = `
SELECT DISTINCT x.patient_id FROM team_patient x JOIN team_member m ON m.org_id = x.org_id AND m.team_id = x.team_id
WHERE x.org_id = $1 AND x.patient_id = ANY($2) AND m.staff_id = $3 AND x.from_at <= $4 AND (x.to_at IS NULL OR x.to_at > $4)
    AND m.from_at <= $4 AND (m.to_at IS NULL OR m.to_at > $4)`

// opensBetween returns whose readings the actor opens to themselves by bringing them to another patient, or by making two records one:
// of the two they see only the other. 0 when they open nobody's.
func opensBetween(ctx context.Context, tx pgx.Tx, actor account.Actor, now time.Time, one, other vital.PatientID) (vital.PatientID, error) {
	if mayRead := account.Allow(actor, account.SeeReadings, nil) == nil; actor.Staff == 0 || !mayRead || one == 0 || other == 0 {
		return 0, nil
	}
	seen, err := idsOf(ctx, tx, seenByTeam, int32(actor.Org), []int64{int64(one), int64(other)}, int64(actor.Staff), now)
	if err != nil {
		return 0, err
	}
	if len(seen) != 1 {
		return 0, nil
	}
	if seen[0] == int64(one) {
		return other, nil
	}
	return one, nil
}
