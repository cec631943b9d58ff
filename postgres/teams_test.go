package postgres_test

import (
	"fmt"
	"testing"
	"time"

	"hale/account"
	"hale/fault"
	"hale/postgres"
)

// member makes a member of staff of any role in the record's organisation.
func (r *record) member(t *testing.T, login string, role account.Role) account.Actor {
	t.Helper()
	who, err := postgres.Operator{AdminURL: r.db.AdminURL()}.SetStaff(t.Context(), postgres.Staff{Organisation: "Home", Login: login, Name: login, Role: role, PasswordHash: "x"})
	if err != nil {
		t.Fatal(err)
	}
	return who
}

// leave ends whatever somebody's care teams are at a moment.
func (r *record) leave(t *testing.T, who account.Actor, ago time.Duration) {
	t.Helper()
	r.exec(t, fmt.Sprintf(`UPDATE team_member SET from_at = from_at - interval '1 day', to_at = clock_timestamp() - interval '%d milliseconds' WHERE staff_id = %d`, ago.Milliseconds(), who.Staff))
}

func TestWhoIsInNoCareTeamTogetherSeesNothing(t *testing.T) {
	t.Parallel()
	r := newRecord(t)
	r.advance(t, r.pressure(10, 190, 100))
	nurse := r.member(t, "nina", account.Nurse)
	sees := func() (patients, alerts int, relation account.Relation, err error) {
		list, err := r.app.Patients(t.Context(), nurse, "", 0)
		if err != nil {
			t.Fatal(err)
		}
		open, err := r.app.Worklist(t.Context(), nurse)
		if err != nil {
			t.Fatal(err)
		}
		p, err := r.app.Patient(t.Context(), nurse, r.patient.UID)
		return len(list), len(open), p.Relation, err
	}
	if patients, open, relation, err := sees(); patients != 1 || open != 1 || !relation.Team || err != nil {
		t.Fatalf("a nurse of the usual team sees %d patients, %d alerts, as %+v, %v", patients, open, relation, err)
	}
	r.leave(t, nurse, -time.Hour)
	if patients, open, relation, _ := sees(); patients != 1 || open != 1 || !relation.Team {
		t.Errorf("before the period ends: %d patients, %d alerts, as %+v", patients, open, relation)
	}
	r.leave(t, nurse, 0)
	if patients, open, _, err := sees(); patients != 0 || open != 0 || !fault.Is(err, fault.NotFound) {
		t.Errorf("after it: %d patients, %d alerts, %v", patients, open, err)
	}
	if _, err := r.app.Rules(t.Context(), nurse, r.patient.UID); !fault.Is(err, fault.NotFound) {
		t.Errorf("the limits: %v", err)
	}
	r.exec(t, fmt.Sprintf(`INSERT INTO break_glass (org_id, uid, patient_id, staff_id, reason, from_at, until_at)
		VALUES (%d, gen_random_uuid(), %d, %d, 'fell', clock_timestamp(), clock_timestamp() + interval '1 hour')`, r.patient.Org, r.patient.ID, nurse.Staff))
	if patients, open, relation, err := sees(); patients != 1 || open != 1 || relation.Team || relation.Glass.IsZero() || err != nil {
		t.Errorf("with broken glass: %d patients, %d alerts, as %+v, %v", patients, open, relation, err)
	}
}

func TestANewPatientIsOfTheNamedTeamsOrOfTheUsualOne(t *testing.T) {
	t.Parallel()
	r := newRecord(t)
	r.exec(t, fmt.Sprintf(`INSERT INTO team (org_id, uid, name, created_at) VALUES (%d, '01920000-0000-7000-8000-00000000000a', 'Heart', clock_timestamp())`, r.nurse.Org))
	desk := r.member(t, "dora", account.DeviceDesk)
	heart := account.Patient{Name: "H", Sex: "unknown", Zone: "UTC", Teams: append(r.patient.Teams, "01920000-0000-7000-8000-00000000000a")}
	if _, err := r.app.AddPatient(t.Context(), desk, heart); !fault.Is(err, fault.Conflict) || r.count(t, `SELECT count(*) FROM patient WHERE name = 'H'`) != 0 {
		t.Errorf("into a team of nobody: %v", err)
	}
	r.exec(t, fmt.Sprintf(`INSERT INTO team_member (org_id, team_id, staff_id, from_at) SELECT org_id, id, %d, clock_timestamp() FROM team WHERE name = 'Heart'`, r.nurse.Staff))
	p, err := r.app.AddPatient(t.Context(), desk, heart)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := r.app.Patient(t.Context(), r.member(t, "nina", account.Nurse), p.UID); !fault.Is(err, fault.NotFound) {
		t.Errorf("the usual team's nurse sees who was sent to another: %v", err)
	}
	heart.Teams = append(heart.Teams, "01920000-0000-7000-8000-00000000000b")
	if _, err := r.app.AddPatient(t.Context(), desk, heart); !fault.Is(err, fault.Invalid) {
		t.Errorf("a team that there is not: %v", err)
	}
	if n := r.count(t, `SELECT count(*) FROM team_member m JOIN staff s ON s.id = m.staff_id WHERE s.role = 'device_desk'`); n != 0 {
		t.Error("the device desk is in a care team")
	}
}

func TestACareTeamFromItsMakingToItsEnd(t *testing.T) {
	t.Parallel()
	r := newRecord(t)
	manager, nina, mia := r.member(t, "max", account.Manager), r.member(t, "nina", account.Nurse), r.member(t, "mia", account.Nurse)
	teams := account.Teams{Book: r.app, Now: time.Now}
	ctx := t.Context()
	staff := map[string]account.Colleague{}
	list, err := teams.Colleagues(ctx, nina)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range list {
		staff[c.Name] = c
	}
	heart, err := teams.Add(ctx, manager, " Heart ")
	if err != nil || heart.Name != "Heart" {
		t.Fatalf("%+v, %v", heart, err)
	}
	usual := r.usual(t, manager)
	sees := func(who account.Actor) bool {
		_, err := r.app.Patient(ctx, who, r.patient.UID)
		return err == nil
	}
	step := func(what string, want fault.Kind, err error) {
		t.Helper()
		if got := fault.KindOf(err); err == nil && want != "" || err != nil && got != want {
			t.Errorf("%s: %v, want %q", what, err, want)
		}
	}
	step("a nurse makes a team", fault.Forbidden, second(teams.Add(ctx, nina, "Lungs")))
	step("a name twice", fault.Conflict, second(teams.Add(ctx, manager, "Heart")))
	step("a rename to a name that is taken", fault.Conflict, teams.Set(ctx, manager, heart.UID, &usual.Name, nil))
	step("a phone that cannot be dialled", fault.Invalid, teams.Set(ctx, manager, heart.UID, nil, ptr("ask Ana")))
	step("a phone", "", teams.Set(ctx, manager, heart.UID, nil, ptr("+386 1 234 56 78")))
	step("a name alone", "", teams.Set(ctx, manager, heart.UID, ptr("Heart"), nil))
	if got, err := teams.Get(ctx, nina, heart.UID); err != nil || got.Name != "Heart" || got.Phone != "+386 1 234 56 78" {
		t.Errorf("a new name took the phone away: %+v, %v", got, err)
	}
	step("handed on to nobody", fault.Conflict, teams.HandOn(ctx, manager, usual.UID, r.patient.UID))
	step("taken in", "", teams.TakeIn(ctx, manager, heart.UID, r.patient.UID))
	step("taken in again", "", teams.TakeIn(ctx, manager, heart.UID, r.patient.UID))
	if got, err := teams.Get(ctx, nina, heart.UID); err != nil || !got.Unattended() || got.Patients != 1 {
		t.Errorf("a team of nobody: %+v, %v", got, err)
	}
	step("nina joins", "", teams.Join(ctx, manager, heart.UID, staff["nina"].UID, time.Time{}, time.Time{}))
	step("nina joins again", fault.Conflict, teams.Join(ctx, manager, heart.UID, staff["nina"].UID, time.Time{}, time.Time{}))
	step("mia joins later", "", teams.Join(ctx, manager, heart.UID, staff["mia"].UID, time.Now().Add(time.Hour), time.Time{}))
	step("handed on", "", teams.HandOn(ctx, manager, usual.UID, r.patient.UID))
	if !sees(nina) || sees(mia) {
		t.Errorf("nina sees: %v, mia, who is to join later: %v", sees(nina), sees(mia))
	}
	if listed, err := teams.Patients(ctx, nina, heart.UID); err != nil || len(listed) != 1 {
		t.Errorf("the team's patients: %v, %v", listed, err)
	}
	if listed, err := teams.Patients(ctx, mia, heart.UID); err != nil || len(listed) != 0 {
		t.Errorf("the patients of another team: %v, %v", listed, err)
	}
	step("the last nurse leaves", fault.Conflict, teams.Leave(ctx, manager, heart.UID, staff["nina"].UID))
	if !sees(nina) {
		t.Error("what was refused was done")
	}
	step("the team ends with its patient", fault.Conflict, teams.End(ctx, manager, heart.UID))
	step("the usual team ends", fault.Conflict, teams.End(ctx, manager, usual.UID))
	step("back to the usual team", "", teams.TakeIn(ctx, manager, usual.UID, r.patient.UID))
	step("the team ends", "", teams.End(ctx, manager, heart.UID))
	step("it ends again", fault.NotFound, teams.End(ctx, manager, heart.UID))
	step("its name is free", "", second(teams.Add(ctx, manager, "Heart")))
	if n := r.count(t, `SELECT count(*) FROM audit WHERE action = 'manage care teams'`); n != 10 {
		t.Errorf("%d audit rows", n)
	}
	step("another organisation's manager", fault.NotFound, teams.TakeIn(ctx, r.staff(t, "Elsewhere", "eva"), usual.UID, r.patient.UID))
}

func second[T any](_ T, err error) error { return err }

func (r *record) usual(t *testing.T, who account.Actor) account.Team {
	t.Helper()
	list, err := r.app.Teams(t.Context(), who)
	if err != nil || len(list) == 0 || !list[0].Usual {
		t.Fatalf("%+v, %v", list, err)
	}
	return list[0]
}

func TestWhoIsOnDutyWhen(t *testing.T) {
	t.Parallel()
	r := newRecord(t)
	manager, nina := r.member(t, "max", account.Manager), r.member(t, "nina", account.Nurse)
	rosters := account.Rosters{Book: r.app, Now: time.Now}
	ctx, team := t.Context(), r.usual(t, manager)
	var staff account.Membership
	for _, m := range team.Members {
		if m.Name == "nina" {
			staff = m
		}
	}
	start := time.Now().UTC().Truncate(time.Minute).Add(time.Hour)
	hours := account.HoursVersion{Hours: account.Hours{Zone: "Europe/Ljubljana"}, Reason: "pilot"}
	for day := range hours.Hours.Weekly {
		hours.Hours.Weekly[day] = []account.Span{{From: 0, To: 24 * 60, Watch: account.Staffed}}
	}
	if v, err := rosters.SetHours(ctx, manager, team.UID, 0, hours); err != nil || v.Number != 1 {
		t.Fatalf("%+v, %v", v, err)
	}
	if _, err := rosters.SetHours(ctx, manager, team.UID, 0, hours); !fault.Is(err, fault.Conflict) {
		t.Errorf("hours that somebody has changed: %v", err)
	}
	if _, err := rosters.SetHours(ctx, nina, team.UID, 1, hours); !fault.Is(err, fault.Forbidden) {
		t.Errorf("a nurse sets the hours: %v", err)
	}
	shift := account.Shift{Staff: staff.Staff, Duty: account.OnDuty, From: start.Add(time.Hour), To: start.Add(9 * time.Hour)}
	made, err := rosters.AddShift(ctx, manager, team.UID, shift)
	if err != nil || made.Name != "nina" {
		t.Fatalf("%+v, %v", made, err)
	}
	if _, err := rosters.AddShift(ctx, manager, team.UID, shift); !fault.Is(err, fault.Conflict) {
		t.Errorf("the same duty twice: %v", err)
	}
	shift.Duty = account.Backup
	if _, err := rosters.AddShift(ctx, manager, team.UID, shift); err != nil {
		t.Errorf("another duty: %v", err)
	}
	roster, err := rosters.Roster(ctx, nina, team.UID, start, start.Add(12*time.Hour))
	if err != nil || !roster.Chosen || len(roster.Periods) != 1 || len(roster.Shifts) != 2 || len(roster.Gaps) != 2 ||
		!roster.Gaps[0].To.Equal(made.From) || !roster.Gaps[1].From.Equal(made.To) {
		t.Errorf("%+v, %v", roster, err)
	}
	r.exec(t, fmt.Sprintf(`UPDATE staff SET disabled_at = '%s' WHERE id = %d`, made.From.Add(2*time.Hour).Format(time.RFC3339), nina.Staff))
	if roster, err = rosters.Roster(ctx, manager, team.UID, start, start.Add(12*time.Hour)); err != nil || len(roster.Gaps) != 2 || !roster.Gaps[1].From.Equal(made.From.Add(2*time.Hour)) {
		t.Errorf("somebody who cannot sign in any more is on duty: %+v, %v", roster.Gaps, err)
	}
	r.exec(t, fmt.Sprintf(`UPDATE staff SET disabled_at = NULL WHERE id = %d`, nina.Staff))
	if err := rosters.CancelShift(ctx, manager, made.UID); err != nil {
		t.Error(err)
	}
	if err := rosters.CancelShift(ctx, manager, made.UID); !fault.Is(err, fault.NotFound) {
		t.Errorf("cancelled twice: %v", err)
	}
	if roster, err = rosters.Roster(ctx, nina, team.UID, start, start.Add(12*time.Hour)); err != nil || len(roster.Gaps) != 1 {
		t.Errorf("a backup alone fills no gap: %+v, %v", roster.Gaps, err)
	}
	r.leave(t, nina, 0)
	if _, err := rosters.AddShift(ctx, manager, team.UID, shift); !fault.Is(err, fault.Conflict) {
		t.Errorf("a shift of somebody who has left: %v", err)
	}
	if roster, err = rosters.Roster(ctx, manager, team.UID, start, start.Add(12*time.Hour)); err != nil || len(roster.Shifts) != 0 {
		t.Errorf("the shifts of somebody who has left: %+v, %v", roster.Shifts, err)
	}
}

func ptr(text string) *string { return &text }
