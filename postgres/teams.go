package postgres

import (
	"context"
	"errors"
	"fmt"
	"slices"
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

const selectTeams = `
SELECT t.uid::text, t.name, t.phone, t.usual, t.created_at,
    (SELECT count(DISTINCT p.patient_id) FROM team_patient p WHERE p.org_id = t.org_id AND p.team_id = t.id AND p.from_at <= $1 AND (p.to_at IS NULL OR p.to_at > $1)),
    (SELECT count(DISTINCT m.staff_id) FROM team_member m JOIN staff s ON s.org_id = m.org_id AND s.id = m.staff_id
        WHERE m.org_id = t.org_id AND m.team_id = t.id AND m.from_at <= $1 AND (m.to_at IS NULL OR m.to_at > $1) AND ` + atBedside + `)
FROM team t WHERE t.ended_at IS NULL ORDER BY t.usual DESC, t.name COLLATE "und-x-icu"`

const selectMembers = `
SELECT t.uid::text, s.uid::text, s.name, s.role, m.from_at, m.to_at, ` + atBedside + `
FROM team_member m JOIN team t ON t.org_id = m.org_id AND t.id = m.team_id JOIN staff s ON s.org_id = m.org_id AND s.id = m.staff_id
WHERE t.ended_at IS NULL AND (m.to_at IS NULL OR m.to_at > greatest($1, m.from_at)) AND s.disabled_at IS NULL ORDER BY s.name COLLATE "und-x-icu", m.from_at`

// Teams returns the care teams that have not ended. See account.TeamBook for this and the methods that follow.
func (a *App) Teams(ctx context.Context, actor account.Actor) ([]account.Team, error) {
	var list []account.Team
	err := a.as(ctx, actor, func(tx pgx.Tx, now time.Time) (err error) {
		list, err = teamsAt(ctx, tx, now)
		return err
	})
	return list, err
}

func teamsAt(ctx context.Context, tx pgx.Tx, now time.Time) ([]account.Team, error) {
	rows, err := tx.Query(ctx, selectTeams, now)
	if err != nil {
		return nil, fmt.Errorf("list care teams: %w", err)
	}
	place := map[vital.UID]int{}
	list, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (account.Team, error) {
		var t account.Team
		err := row.Scan(&t.UID, &t.Name, &t.Phone, &t.Usual, &t.CreatedAt, &t.Patients, &t.Bedside)
		t.CreatedAt = t.CreatedAt.UTC()
		return t, err
	})
	if err != nil {
		return nil, fmt.Errorf("list care teams: %w", err)
	}
	for i := range list {
		place[list[i].UID] = i
	}
	rows, err = tx.Query(ctx, selectMembers, now)
	if err != nil {
		return nil, fmt.Errorf("list members: %w", err)
	}
	var team vital.UID
	var m account.Membership
	var to *time.Time
	if _, err := pgx.ForEachRow(rows, []any{&team, &m.Staff, &m.Name, &m.Role, &m.From, &to, &m.AtBedside}, func() error {
		m.From, m.To = m.From.UTC(), timeOf(to)
		list[place[team]].Members = append(list[place[team]].Members, m)
		return nil
	}); err != nil {
		return nil, fmt.Errorf("list members: %w", err)
	}
	for i := range list {
		list[i].Attend(now)
	}
	return list, nil
}

// oneTeam returns a team as it stands in the transaction.
func oneTeam(ctx context.Context, tx pgx.Tx, team vital.UID, now time.Time) (*account.Team, error) {
	list, err := teamsAt(ctx, tx, now)
	if err != nil {
		return nil, err
	}
	if i := slices.IndexFunc(list, func(t account.Team) bool { return t.UID == team }); i >= 0 {
		return &list[i], nil
	}
	return nil, fault.New(fault.NotFound, "there is no such care team")
}

// Colleagues returns the staff who can sign in.
func (a *App) Colleagues(ctx context.Context, actor account.Actor) ([]account.Colleague, error) {
	var list []account.Colleague
	err := a.as(ctx, actor, func(tx pgx.Tx, _ time.Time) error {
		rows, err := tx.Query(ctx, `SELECT uid::text, name, role FROM staff WHERE disabled_at IS NULL ORDER BY name COLLATE "und-x-icu", id`)
		if err != nil {
			return fmt.Errorf("list staff: %w", err)
		}
		list, err = pgx.CollectRows(rows, pgx.RowToStructByPos[account.Colleague])
		return err
	})
	return list, err
}

// TeamPatients returns those of a team's patients who are within the actor's view.
func (a *App) TeamPatients(ctx context.Context, actor account.Actor, team vital.UID) ([]account.Patient, error) {
	var list []account.Patient
	err := a.onTeam(ctx, actor, team, func(tx pgx.Tx, id int64, now time.Time) error {
		rows, err := tx.Query(ctx, `SELECT `+patientColumns+patientTables+`
WHERE EXISTS (SELECT FROM team_patient t WHERE t.org_id = p.org_id AND t.patient_id = p.id AND t.team_id = $1 AND t.from_at <= $2 AND (t.to_at IS NULL OR t.to_at > $2))
ORDER BY p.name COLLATE "und-x-icu", p.id`, id, now)
		if err != nil {
			return fmt.Errorf("list the team's patients: %w", err)
		}
		list, err = pgx.CollectRows(rows, scanPatient)
		return err
	})
	return list, err
}

// onTeam runs f on a team that has not ended, which nobody else changes meanwhile.
func (a *App) onTeam(ctx context.Context, actor account.Actor, team vital.UID, f func(tx pgx.Tx, id int64, now time.Time) error) error {
	u, err := parseUID(team, "care team")
	if err != nil {
		return err
	}
	return a.as(ctx, actor, func(tx pgx.Tx, now time.Time) error {
		var id int64
		err := tx.QueryRow(ctx, `SELECT id FROM team WHERE uid = $1 AND ended_at IS NULL FOR NO KEY UPDATE`, u).Scan(&id)
		if errors.Is(err, pgx.ErrNoRows) {
			return fault.New(fault.NotFound, "there is no such care team")
		}
		if err != nil {
			return fmt.Errorf("find the care team: %w", err)
		}
		return f(tx, id, now)
	})
}

// noteTeam writes the audit row of a change of a team.
func noteTeam(ctx context.Context, tx pgx.Tx, actor account.Actor, now time.Time, team vital.UID, patient vital.PatientID, detail string) error {
	return writeAudit(ctx, tx, account.Audit{
		Org: actor.Org, At: now, Actor: actor, Action: string(account.ManageTeams), Patient: patient, Object: "team " + string(team), Detail: detail,
	})
}

func nameTaken(name string) error {
	return fault.New(fault.Conflict, "there is a care team %q already", name)
}

// AddTeam makes a care team.
func (a *App) AddTeam(ctx context.Context, actor account.Actor, name string) (account.Team, error) {
	t := account.Team{UID: newUID(), Name: name}
	err := a.as(ctx, actor, func(tx pgx.Tx, now time.Time) error {
		t.CreatedAt = now
		_, err := tx.Exec(ctx, `INSERT INTO team (org_id, uid, name, created_at) VALUES ($1, $2, $3, $4)`, int32(actor.Org), string(t.UID), name, now)
		if violated(err, "team_name") {
			return nameTaken(name)
		}
		if err != nil {
			return fmt.Errorf("make the care team: %w", err)
		}
		return noteTeam(ctx, tx, actor, now, t.UID, 0, "made")
	})
	return t, err
}

// SetTeam gives a team another name or phone.
func (a *App) SetTeam(ctx context.Context, actor account.Actor, team vital.UID, name, phone *string) error {
	return a.onTeam(ctx, actor, team, func(tx pgx.Tx, id int64, now time.Time) error {
		_, err := tx.Exec(ctx, `UPDATE team SET name = coalesce($2, name), phone = coalesce($3, phone) WHERE id = $1`, id, name, phone)
		if violated(err, "team_name") {
			return nameTaken(*name)
		}
		if err != nil {
			return fmt.Errorf("rename the care team: %w", err)
		}
		return noteTeam(ctx, tx, actor, now, team, 0, "name and phone set")
	})
}

// stays holds for a membership (m) on whose member others may be left with a team, at $2: it has no end, or not within a week. Until
// then somebody else can be found; whoever is gone sooner is nobody to leave patients to.
const stays = `(m.to_at IS NULL OR m.to_at > $2::timestamptz + ` + staysFor + `)`

const staysFor = `interval '7 days'`

// onlyHere are the patients who are in the team and in no other that has a nurse or a physician who stays.
const onlyHere = `
SELECT count(*) FROM team_patient p JOIN patient w ON w.org_id = p.org_id AND w.id = p.patient_id AND w.state NOT IN ('locked', 'merged')
WHERE p.team_id = $1 AND ($3 = 0 OR p.patient_id = $3) AND p.from_at <= $2 AND (p.to_at IS NULL OR p.to_at > $2) AND NOT EXISTS (
    SELECT FROM team_patient o JOIN team t ON t.org_id = o.org_id AND t.id = o.team_id AND t.ended_at IS NULL
        JOIN team_member m ON m.org_id = t.org_id AND m.team_id = t.id AND m.from_at <= $2 AND ` + stays + `
        JOIN staff s ON s.org_id = m.org_id AND s.id = m.staff_id AND ` + atBedside + `
    WHERE o.org_id = p.org_id AND o.patient_id = p.patient_id AND o.team_id <> p.team_id AND o.from_at <= $2 AND o.to_at IS NULL)`

// atBedside holds for a member of staff (s) on whom a team can count to answer alerts: the role may, and they can sign in. A test
// holds it to account.Role.AtBedside.
const atBedside = `s.disabled_at IS NULL AND ` + answersAlerts

// answersAlerts is the same but for whoever is kept out from some moment on.
const answersAlerts = `s.role IN ('nurse', 'physician', 'administrator') AND has_way_in(s.org_id, s.id)`

// EndTeam ends a team with everything in it.
func (a *App) EndTeam(ctx context.Context, actor account.Actor, team vital.UID) error {
	return a.onTeam(ctx, actor, team, func(tx pgx.Tx, id int64, now time.Time) error {
		var usual bool
		var left int
		if err := tx.QueryRow(ctx, `SELECT usual, (`+onlyHere+`) FROM team WHERE id = $1`, id, now, 0).Scan(&usual, &left); err != nil {
			return fmt.Errorf("look at the care team: %w", err)
		}
		if usual {
			return fault.New(fault.Conflict, "this care team takes in who is sent to no other: it cannot end")
		}
		if left > 0 {
			return fault.New(fault.Conflict, "%d of its patients are in no other care team with a nurse or a physician who stays for a week: take them into one first, or nobody sees their alerts", left)
		}
		for _, statement := range []string{
			`UPDATE team SET ended_at = greatest($2, created_at + interval '1 microsecond') WHERE id = $1`,
			`UPDATE team_member SET to_at = greatest($2, from_at) WHERE team_id = $1 AND (to_at IS NULL OR to_at > $2)`,
			`UPDATE team_patient SET to_at = greatest($2, from_at) WHERE team_id = $1 AND (to_at IS NULL OR to_at > $2)`,
		} {
			if _, err := tx.Exec(ctx, statement, id, now); err != nil {
				return fmt.Errorf("end the care team: %w", err)
			}
		}
		return noteTeam(ctx, tx, actor, now, team, 0, "ended")
	})
}

// Join begins a membership.
func (a *App) Join(ctx context.Context, actor account.Actor, team, staff vital.UID, from, to time.Time) error {
	u, err := parseUID(staff, "member of staff")
	if err != nil {
		return err
	}
	return a.onTeam(ctx, actor, team, func(tx pgx.Tx, id int64, now time.Time) error {
		var who int64
		var overlaps, later bool
		const find = `
SELECT s.id, EXISTS (SELECT FROM team_member m WHERE m.org_id = s.org_id AND m.team_id = $2 AND m.staff_id = s.id
    AND (m.to_at IS NULL OR m.to_at > $3) AND ($4::timestamptz IS NULL OR m.from_at < $4) AND m.to_at IS DISTINCT FROM m.from_at),
    NOT EXISTS (SELECT FROM team_member m WHERE m.org_id = s.org_id AND m.team_id = $2 AND m.staff_id = s.id AND m.from_at <= $5 AND (m.to_at IS NULL OR m.to_at > $5))
FROM staff s WHERE s.uid = $1 AND s.disabled_at IS NULL`
		err := tx.QueryRow(ctx, find, u, id, from, nullTime(to), now).Scan(&who, &overlaps, &later)
		if errors.Is(err, pgx.ErrNoRows) {
			return fault.New(fault.NotFound, "there is no such member of staff")
		}
		if err != nil {
			return fmt.Errorf("find the member of staff: %w", err)
		}
		if overlaps && later {
			return fault.New(fault.Conflict, "they are to join this care team later already: take them out of it first, and let them join then")
		}
		if overlaps {
			return fault.New(fault.Conflict, "they are in this care team then already")
		}
		var opened []int64
		if actor.LetsThemselvesIn(vital.UID(u.String())) {
			if opened, err = opensTo(ctx, tx, id, actor.Staff, now); err != nil {
				return err
			}
		}
		const join = `INSERT INTO team_member (org_id, team_id, staff_id, from_at, to_at) VALUES ($1, $2, $3, $4, $5)`
		if _, err := tx.Exec(ctx, join, int32(actor.Org), id, who, from, nullTime(to)); err != nil {
			return fmt.Errorf("join the care team: %w", err)
		}
		if err := letIn(ctx, tx, actor, now, "team "+string(team), opened, 0); err != nil {
			return err
		}
		return noteTeam(ctx, tx, actor, now, team, 0, "joined by staff "+u.String())
	})
}

// Leave ends a membership, and one that has not begun yet.
func (a *App) Leave(ctx context.Context, actor account.Actor, team, staff vital.UID) error {
	u, err := parseUID(staff, "member of staff")
	if err != nil {
		return err
	}
	return a.onTeam(ctx, actor, team, func(tx pgx.Tx, id int64, now time.Time) error {
		before, err := oneTeam(ctx, tx, team, now)
		if err != nil {
			return err
		}
		const leave = `
UPDATE team_member m SET to_at = greatest($3, m.from_at) FROM staff s
WHERE s.org_id = m.org_id AND s.id = m.staff_id AND s.uid = $2 AND m.team_id = $1 AND (m.to_at IS NULL OR m.to_at > $3)`
		done, err := tx.Exec(ctx, leave, id, u, now)
		if err != nil {
			return fmt.Errorf("leave the care team: %w", err)
		}
		if done.RowsAffected() == 0 {
			return fault.New(fault.NotFound, "they are not in this care team")
		}
		after, err := oneTeam(ctx, tx, team, now)
		switch {
		case err != nil:
			return err
		case after.Unattended() && !before.Unattended():
			return fault.New(fault.Conflict, "nobody would be left to answer alerts of this team (patients: %d): let a nurse or a physician join first", after.Patients)
		case after.AloneSooner(before):
			return fault.New(fault.Conflict, "nobody would be left to answer alerts of this team (patients: %d) from %s on, when the time of those who stay ends: let somebody join first who stays longer",
				after.Patients, after.AttendedUntil.UTC().Format("2 January 2006, 15:04 UTC"))
		}
		return noteTeam(ctx, tx, actor, now, team, 0, "left by staff "+u.String())
	})
}

// TakeIn begins the care of a patient; of one who is in the team's care it changes nothing.
func (a *App) TakeIn(ctx context.Context, actor account.Actor, team, patient vital.UID) error {
	return a.onTeam(ctx, actor, team, func(tx pgx.Tx, id int64, now time.Time) error {
		p, err := onePatient(ctx, tx, patient)
		if err != nil {
			return err
		}
		const take = `
INSERT INTO team_patient (org_id, team_id, patient_id, from_at) VALUES ($1, $2, $3, $4) ON CONFLICT (org_id, patient_id, team_id) WHERE to_at IS NULL DO NOTHING`
		done, err := tx.Exec(ctx, take, int32(p.Org), id, int64(p.ID), now)
		if err != nil {
			return fmt.Errorf("take the patient in: %w", err)
		}
		if done.RowsAffected() == 0 {
			return nil
		}
		if err := tookIn(ctx, tx, actor, now, id, team, &p); err != nil {
			return err
		}
		return noteTeam(ctx, tx, actor, now, team, p.ID, "took a patient in")
	})
}

// tookIn tells of somebody who has taken a patient, whom they did not look after, into a team of their own.
func tookIn(ctx context.Context, tx pgx.Tx, actor account.Actor, now time.Time, team int64, uid vital.UID, p *account.Patient) error {
	if p.Relation.Team || !actor.LetsThemselvesIn(actor.UID) {
		return nil
	}
	var mine bool
	const member = `SELECT EXISTS (SELECT FROM team_member WHERE team_id = $1 AND staff_id = $2 AND (to_at IS NULL OR to_at > $3))`
	if err := tx.QueryRow(ctx, member, team, int64(actor.Staff), now).Scan(&mine); err != nil {
		return fmt.Errorf("look for the actor in the team: %w", err)
	}
	if !mine {
		return nil
	}
	return letIn(ctx, tx, actor, now, "team "+string(uid), []int64{int64(p.ID)}, p.ID)
}

// HandOn ends the care of a patient.
func (a *App) HandOn(ctx context.Context, actor account.Actor, team, patient vital.UID) error {
	return a.onTeam(ctx, actor, team, func(tx pgx.Tx, id int64, now time.Time) error {
		p, err := onePatient(ctx, tx, patient)
		if err != nil {
			return err
		}
		var left int
		if err := tx.QueryRow(ctx, onlyHere, id, now, int64(p.ID)).Scan(&left); err != nil {
			return fmt.Errorf("look for other care teams: %w", err)
		}
		if left > 0 {
			return fault.New(fault.Conflict, "they are in no other care team with a nurse or a physician who stays for a week: take them into one first, or nobody sees their alerts")
		}
		done, err := tx.Exec(ctx, `UPDATE team_patient SET to_at = greatest($3, from_at) WHERE team_id = $1 AND patient_id = $2 AND (to_at IS NULL OR to_at > $3)`, id, int64(p.ID), now)
		if err != nil {
			return fmt.Errorf("hand the patient on: %w", err)
		}
		if done.RowsAffected() == 0 {
			return fault.New(fault.NotFound, "they are not in this care team")
		}
		return noteTeam(ctx, tx, actor, now, team, p.ID, "handed a patient on")
	})
}
