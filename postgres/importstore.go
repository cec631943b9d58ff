package postgres

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"hale/account"
	"hale/account/identity"
	"hale/fault"
	"hale/vital"
)

// settling stores what was decided about the rows of a batch, in a number of statements that does not grow with them.
type settling struct {
	tx      pgx.Tx
	actor   account.Actor
	run     identity.Import
	now     time.Time
	decided []identity.Decided
	made    map[vital.PatientID]*account.Patient // by the ID that the decision gave them
}

func (s *settling) store(ctx context.Context) error {
	if err := s.addPeople(ctx); err != nil {
		return err
	}
	for _, step := range []func(context.Context) error{s.changePeople, s.give, s.pair, s.addStaff, s.keepLines} {
		if err := step(ctx); err != nil {
			return err
		}
	}
	return nil
}

// id returns the number of a person in the record, whether they were there or this batch has made them.
func (s *settling) id(decided vital.PatientID) vital.PatientID {
	if p, new := s.made[decided]; new {
		return p.ID
	}
	return decided
}

func (s *settling) addPeople(ctx context.Context) error {
	s.made = map[vital.PatientID]*account.Patient{}
	var list []*account.Patient
	for i := range s.decided {
		if p := s.decided[i].Add; p != nil {
			s.made[p.ID] = p
			list = append(list, p)
		}
	}
	if err := addPatients(ctx, s.tx, s.actor, s.now, list); err != nil {
		return err
	}
	for i := range s.decided {
		d := &s.decided[i]
		if p, new := s.made[d.Patient]; new {
			d.Line.Patient = p.UID
		}
	}
	return nil
}

const updatePatients = `
UPDATE patient p SET name = g.name, birth_date = g.birth_date, birth_year = g.birth_year, sex = g.sex, number = g.number
FROM unnest($2::bigint[], $3::text[], $4::text[], $5::smallint[], $6::text[], $7::text[]) AS g (id, name, birth_date, birth_year, sex, number)
WHERE p.org_id = $1 AND p.id = g.id`

const insertChanges = `
INSERT INTO patient_change (org_id, patient_id, at, actor_id, actor_name, source, field, before, after)
SELECT $1, g.patient_id, $2, $3, $4, $5, g.field, g.before, g.after FROM unnest($6::bigint[], $7::text[], $8::text[], $9::text[]) AS g (patient_id, field, before, after)`

// changePeople stores what rows change of people, and from what to what; the audit trail names the fields only.
func (s *settling) changePeople(ctx context.Context) error {
	var ids, changed []int64
	var names, dates, sexes, numbers, fields, befores, afters []string
	var years []int16
	var audit []account.Audit
	last := map[vital.PatientID]*account.Patient{} // several rows of a file may change one person
	for i := range s.decided {
		d := &s.decided[i]
		if d.Line.Outcome != identity.OutcomeChanged {
			continue
		}
		if d.Update != nil {
			last[s.id(d.Patient)] = d.Update
		}
		var what []string
		for _, c := range d.Line.Changes {
			what = append(what, c.Field)
			if !strings.HasPrefix(c.Field, identity.IdentifierColumn("")) {
				changed, fields, befores, afters = append(changed, int64(s.id(d.Patient))), append(fields, c.Field), append(befores, c.Before), append(afters, c.After)
			}
		}
		audit = append(audit, account.Audit{
			Org: s.actor.Org, At: s.now, Actor: s.actor, Action: "change patient", Patient: s.id(d.Patient), Object: "import " + string(s.run.UID), Detail: strings.Join(what, ", "),
		})
	}
	for id, p := range last {
		ids, names, dates = append(ids, int64(id)), append(names, p.Name), append(dates, string(p.BirthDate))
		years, sexes, numbers = append(years, int16(p.BirthYear)), append(sexes, p.Sex), append(numbers, p.Number)
	}
	if len(ids) > 0 {
		_, err := s.tx.Exec(ctx, updatePatients, int32(s.actor.Org), ids, names, dates, years, sexes, numbers)
		if violated(err, "patient_number") {
			return fault.New(fault.Conflict, "somebody was given one of these numbers in the same moment: try again")
		}
		if err != nil {
			return fmt.Errorf("change patients: %w", err)
		}
		_, err = s.tx.Exec(ctx, insertChanges, int32(s.actor.Org), s.now, nullID(s.actor.Staff), s.actor.Name, "import "+string(s.run.UID), changed, fields, befores, afters)
		if err != nil {
			return fmt.Errorf("keep what was changed: %w", err)
		}
	}
	return writeAudits(ctx, s.tx, audit)
}

func (s *settling) give(ctx context.Context) error {
	var list []given
	for i := range s.decided {
		d := &s.decided[i]
		for _, one := range d.Give {
			one.UID, one.AddedAt = newUID(), s.now
			if !one.InForce(s.now) { // it says who somebody was
				one.EndedAt, one.Reason = s.now, "it was over when it came"
			}
			list = append(list, given{s.id(d.Patient), one})
		}
	}
	return giveIdentifiers(ctx, s.tx, s.actor.Org, s.now, list)
}

// pair lists who may be one person although two came in.
func (s *settling) pair(ctx context.Context) error {
	var ones, others []int64
	for i := range s.decided {
		for _, other := range s.decided[i].Doubles {
			ones, others = append(ones, int64(s.id(s.decided[i].Patient))), append(others, int64(s.id(other)))
		}
	}
	return listDoubles(ctx, s.tx, s.actor.Org, s.now, ones, others)
}

const insertStaffList = `
INSERT INTO staff (org_id, uid, login, name, role, created_at)
SELECT $1, g.uid, g.login, g.name, g.role, $2 FROM unnest($3::uuid[], $4::text[], $5::text[], $6::text[]) AS g (uid, login, name, role)
ON CONFLICT (login) DO NOTHING RETURNING login, id`

const insertInvitations = `
INSERT INTO staff_invitation (org_id, staff_id, code_hash, created_at, expires_at)
SELECT $1, g.staff_id, g.code_hash, $2, $3 FROM unnest($4::bigint[], $5::bytea[]) AS g (staff_id, code_hash)`

const joinStaffTeams = `
INSERT INTO team_member (org_id, team_id, staff_id, from_at)
SELECT t.org_id, t.id, g.staff_id, $2 FROM unnest($3::bigint[], $4::uuid[]) AS g (staff_id, team_uid) JOIN team t ON t.org_id = $1 AND t.uid = g.team_uid AND t.ended_at IS NULL`

// addStaff makes accounts that nobody can sign in to until the invitation is used. A login that another organisation has,
// which only the record knows, is refused here.
func (s *settling) addStaff(ctx context.Context) error {
	rows := map[string]*identity.Decided{}
	var uids, logins, names, roles []string
	for i := range s.decided {
		if n := s.decided[i].Staff; n != nil {
			rows[n.Login] = &s.decided[i]
			uids, logins, names = append(uids, string(newUID())), append(logins, n.Login), append(names, n.Name)
			roles = append(roles, string(n.Role))
		}
	}
	if len(rows) == 0 {
		return nil
	}
	ids := map[string]int64{}
	var login string
	var id int64
	err := each(ctx, s.tx, insertStaffList, []any{int32(s.actor.Org), s.now, uids, logins, names, roles}, []any{&login, &id}, func() { ids[login] = id })
	if err != nil {
		return err
	}
	var invited, members []int64
	var codes [][]byte
	var teams []string
	var audit []account.Audit
	for _, login := range logins {
		d := rows[login]
		id, made := ids[login]
		if !made {
			d.Line.Outcome, d.Line.Code, d.Line.Field, d.Line.Problem = identity.OutcomeRefused, "", "login", "this login is taken elsewhere: choose another"
			continue
		}
		invited, codes = append(invited, id), append(codes, d.Staff.CodeHash)
		for _, t := range d.Staff.Teams {
			members, teams = append(members, id), append(teams, string(t))
		}
		audit = append(audit, account.Audit{Org: s.actor.Org, At: s.now, Actor: s.actor, Action: "invite staff", Object: "staff " + login, Detail: string(d.Staff.Role)})
	}
	if _, err := s.tx.Exec(ctx, insertInvitations, int32(s.actor.Org), s.now, s.now.Add(account.InvitationLasts), invited, codes); err != nil {
		return fmt.Errorf("invite staff: %w", err)
	}
	if _, err := s.tx.Exec(ctx, joinStaffTeams, int32(s.actor.Org), s.now, members, teams); err != nil {
		return fmt.Errorf("join care teams: %w", err)
	}
	for _, id := range invited {
		if !slices.Contains(members, id) {
			if err := joinUsualTeam(ctx, s.tx, s.actor.Org, account.StaffID(id), s.now); err != nil {
				return err
			}
		}
	}
	return writeAudits(ctx, s.tx, audit)
}

const insertLines = `
INSERT INTO import_line (org_id, import_id, row, line, entry, outcome, patient_id, field, problem, other_ids)
SELECT i.org_id, i.id, g.row, g.line, g.entry, g.outcome, p.id, g.field, g.problem, g.others::bigint[]
FROM unnest($3::int[], $4::int[], $5::int[], $6::text[], $7::uuid[], $8::text[], $9::text[], $10::text[]) AS g (row, line, entry, outcome, patient, field, problem, others)
    JOIN import i ON true LEFT JOIN patient p ON p.uid = g.patient
WHERE i.org_id = $1 AND i.uid = $2`

// others returns whom a row may be, as an array is written for the database.
func (s *settling) others(l *identity.ImportLine) string {
	ids := make([]string, len(l.Others))
	for i, c := range l.Others {
		ids[i] = strconv.FormatInt(int64(s.id(c.ID)), 10)
	}
	return "{" + strings.Join(ids, ",") + "}"
}

const advanceImport = `
UPDATE import SET done = done + $3, state = CASE WHEN done + $3 = rows THEN 'done' ELSE 'running' END, finished_at = CASE WHEN done + $3 = rows THEN $4::timestamptz END
WHERE org_id = $1 AND uid = $2`

// keepLines stores what became of the rows and how far the import is, with an audit row of the batch.
func (s *settling) keepLines(ctx context.Context) error {
	var numbers, lines, entries []int32
	var outcomes, fields, problems, others []string
	var patients []*string
	counts := map[identity.Outcome]int{}
	for i := range s.decided {
		l := &s.decided[i].Line
		counts[l.Outcome]++
		numbers, lines, entries = append(numbers, int32(l.Row)), append(lines, int32(l.Line)), append(entries, int32(l.Entry))
		outcomes, fields, problems = append(outcomes, string(l.Outcome)), append(fields, l.Field), append(problems, l.Problem)
		var uid *string
		if l.Patient != "" {
			text := string(l.Patient)
			uid = &text
		}
		patients, others = append(patients, uid), append(others, s.others(l))
	}
	if _, err := s.tx.Exec(ctx, insertLines, int32(s.actor.Org), string(s.run.UID), numbers, lines, entries, outcomes, patients, fields, problems, others); err != nil {
		return fmt.Errorf("keep what became of rows: %w", err)
	}
	if _, err := s.tx.Exec(ctx, advanceImport, int32(s.actor.Org), string(s.run.UID), len(s.decided), s.now); err != nil {
		return fmt.Errorf("advance the import: %w", err)
	}
	return writeAudit(ctx, s.tx, account.Audit{
		Org: s.actor.Org, At: s.now, Actor: s.actor, Action: string(account.ImportPeople), Object: "import " + string(s.run.UID),
		Detail: fmt.Sprintf("rows %d to %d: %d new, %d the same, %d changed, %d possible doubles, %d refused", s.run.Done+1, s.run.Done+len(s.decided),
			counts[identity.OutcomeNew], counts[identity.OutcomeSame], counts[identity.OutcomeChanged], counts[identity.OutcomeDouble], counts[identity.OutcomeRefused]),
	})
}
