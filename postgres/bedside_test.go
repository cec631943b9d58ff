package postgres_test

import (
	"crypto/sha256"
	"fmt"
	"strings"
	"testing"
	"time"

	"hale/account"
	"hale/account/identity"
	"hale/fault"
	"hale/postgres"
	"hale/vital"
)

// uidOf is the public id of a member of staff.
func (r *record) uidOf(t *testing.T, who account.Actor) vital.UID {
	t.Helper()
	list, err := r.app.Employees(t.Context(), r.nurse)
	if err != nil {
		t.Fatal(err)
	}
	for i := range list {
		if list[i].Login == who.Name {
			return list[i].UID
		}
	}
	t.Fatalf("nobody is %q", who.Name)
	return ""
}

// invited makes an account whose owner has not chosen a password yet.
func (r *record) invited(t *testing.T, login string, role account.Role) account.Employee {
	t.Helper()
	code := sha256.Sum256([]byte(login))
	e, err := r.app.AddEmployee(t.Context(), r.nurse, account.Employee{Login: login, Name: login, Role: role}, code[:], time.Now().Add(time.Hour))
	if err != nil {
		t.Fatal(err)
	}
	return e
}

// TestTheRecordAndTheRulesAgreeOnWhoStandsAtTheBedside: the roles that a query counts are those that may answer alerts.
func TestTheRecordAndTheRulesAgreeOnWhoStandsAtTheBedside(t *testing.T) {
	t.Parallel()
	r := newRecord(t)
	team := r.usual(t, r.nurse)
	teams := account.Teams{Book: r.app, Now: time.Now}
	for _, role := range account.StaffRoles() {
		who := r.uidOf(t, r.member(t, "works-as-"+string(role), role))
		if !account.Nurse.AtBedside(true) || account.Nurse.AtBedside(false) {
			t.Fatal("a nurse who cannot sign in stands at the bedside, or one who can does not")
		}
		if err := teams.Join(t.Context(), r.nurse, team.UID, who, time.Time{}, time.Time{}); err != nil && !fault.Is(err, fault.Conflict) {
			t.Fatal(err)
		}
	}
	now := r.usual(t, r.nurse)
	for _, m := range now.Members {
		if m.AtBedside != m.Role.AtBedside(true) {
			t.Errorf("the record counts on %s: %v", m.Role, m.AtBedside)
		}
	}
	if now.Bedside != 4 { // the record's own administrator, and one of each of three
		t.Errorf("%d at the bedside", now.Bedside)
	}
}

func TestADutyCountsOnlyForWhoCanStandAtTheBedside(t *testing.T) {
	t.Parallel()
	r := newRecord(t)
	ctx, team := t.Context(), r.usual(t, r.nurse)
	teams, rosters := account.Teams{Book: r.app, Now: time.Now}, account.Rosters{Book: r.app, Now: time.Now}
	from := time.Now().UTC().Truncate(time.Minute).Add(time.Hour)
	hours := account.HoursVersion{Hours: account.Hours{Zone: "UTC"}, Reason: "pilot"}
	for day := range hours.Hours.Weekly {
		hours.Hours.Weekly[day] = []account.Span{{From: 0, To: 24 * 60, Watch: account.Staffed}}
	}
	if _, err := rosters.SetHours(ctx, r.nurse, team.UID, 0, hours); err != nil {
		t.Fatal(err)
	}
	researcher, nina := r.uidOf(t, r.member(t, "rok", account.Researcher)), r.uidOf(t, r.member(t, "nina", account.Nurse))
	if err := teams.Join(ctx, r.nurse, team.UID, researcher, time.Time{}, time.Time{}); err != nil {
		t.Fatal(err)
	}
	shift := func(staff vital.UID) error {
		_, err := rosters.AddShift(ctx, r.nurse, team.UID, account.Shift{Staff: staff, Duty: account.OnDuty, From: from, To: from.Add(8 * time.Hour)})
		return err
	}
	gaps := func() int {
		t.Helper()
		roster, err := rosters.Roster(ctx, r.nurse, team.UID, from, from.Add(8*time.Hour))
		if err != nil {
			t.Fatal(err)
		}
		return len(roster.Gaps)
	}
	for name, who := range map[string]vital.UID{"a researcher": researcher, "a nurse who never signed in": r.invited(t, "new", account.Nurse).UID} {
		if err := shift(who); !fault.Is(err, fault.Conflict) {
			t.Errorf("a duty of %s: %v", name, err)
		}
	}
	if err := shift(nina); err != nil || gaps() != 0 {
		t.Fatalf("a nurse: %v, %d gaps", err, gaps())
	}
	staffing := account.Staffing{Book: r.app, Now: time.Now}
	for name, c := range map[string]struct{ do, back string }{
		"who became a researcher":            {`role = 'researcher'`, `role = 'nurse'`},
		"whose password was taken away":      {`password_hash = ''`, `password_hash = 'x'`},
		"who was kept out at this moment":    {`disabled_at = clock_timestamp()`, `disabled_at = NULL`},
		"who is somebody of the device desk": {`role = 'device_desk'`, `role = 'nurse'`},
	} {
		r.exec(t, fmt.Sprintf(`UPDATE staff SET %s WHERE uid = '%s'`, c.do, nina))
		if gaps() != 1 {
			t.Errorf("a nurse %s fills the roster", name)
		}
		r.exec(t, fmt.Sprintf(`UPDATE staff SET %s WHERE uid = '%s'`, c.back, nina))
	}
	if _, err := staffing.Set(ctx, r.nurse, nina, "nina", account.Manager); err != nil || gaps() != 1 {
		t.Errorf("a nurse who became a manager: %v, %d gaps", err, gaps())
	}
}

// TestATeamIsNotLeftToSomebodyWhoCannotSignIn: whoever was invited and has not come is nobody to leave patients to.
func TestATeamIsNotLeftToSomebodyWhoCannotSignIn(t *testing.T) {
	t.Parallel()
	r := newRecord(t)
	ctx := t.Context()
	teams := account.Teams{Book: r.app, Now: time.Now}
	only, err := teams.Add(ctx, r.nurse, "Only")
	if err != nil {
		t.Fatal(err)
	}
	usual, nina, invited := r.usual(t, r.nurse), r.uidOf(t, r.member(t, "nina", account.Nurse)), r.invited(t, "new", account.Nurse).UID
	for _, err := range []error{
		teams.Join(ctx, r.nurse, only.UID, nina, time.Time{}, time.Time{}), teams.TakeIn(ctx, r.nurse, only.UID, r.patient.UID),
		teams.Join(ctx, r.nurse, only.UID, invited, time.Time{}, time.Time{}),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	if err := teams.Leave(ctx, r.nurse, only.UID, nina); !fault.Is(err, fault.Conflict) {
		t.Errorf("the team's last nurse who can sign in leaves it: %v", err)
	}
	r.exec(t, `UPDATE staff SET password_hash = '' WHERE login = 'nina'`)
	if got, err := teams.Get(ctx, r.nurse, only.UID); err != nil || !got.Unattended() {
		t.Errorf("a team of two who cannot sign in is attended: %+v, %v", got, err)
	}
	if err := teams.HandOn(ctx, r.nurse, usual.UID, r.patient.UID); !fault.Is(err, fault.Conflict) {
		t.Errorf("handed on to a team of two who cannot sign in: %v", err)
	}
	// Somebody whom an identity provider knows needs no password.
	r.exec(t, `INSERT INTO staff_identity (org_id, staff_id, issuer, subject, created_at) SELECT org_id, id, 'https://id.test', 's', clock_timestamp() FROM staff WHERE login = 'nina'`)
	if got, err := teams.Get(ctx, r.nurse, only.UID); err != nil || got.Unattended() {
		t.Errorf("a team with a nurse who signs in elsewhere is unattended: %+v, %v", got, err)
	}
}

func TestAnImportTakesNobodyIntoATeamOfNobody(t *testing.T) {
	t.Parallel()
	r := newRecord(t)
	if _, err := (&account.Teams{Book: r.app, Now: time.Now}).Add(t.Context(), r.nurse, "Empty"); err != nil {
		t.Fatal(err)
	}
	_, lines := r.bring(t, identity.ImportOptions{Zone: "UTC"}, "name,birth_date,number,team\nAna Kos,1941-03-02,A-1,Empty\nEva Zor,1942-03-02,E-1,\nIda Lah,1943-03-02,I-1,Empty|Home care\n")
	if got := outcomes(lines); got != "refused new new" || lines[0].Field != "team" {
		t.Errorf("%s: %+v", got, lines)
	}
}

// TestALoginThatOnlyLooksLikeAnotherIsRefused: a nurse who types her login in capital letters must not be somebody else.
func TestALoginThatOnlyLooksLikeAnotherIsRefused(t *testing.T) {
	t.Parallel()
	r := newRecord(t)
	r.invited(t, "staff", account.Nurse)
	code := sha256.Sum256([]byte("x"))
	if _, err := r.app.AddEmployee(t.Context(), r.nurse, account.Employee{Login: "STAFF", Name: "x", Role: account.Nurse}, code[:], time.Now().Add(time.Hour)); !fault.Is(err, fault.Conflict) {
		t.Errorf("by an administrator: %v", err)
	}
	for org, login := range map[string]string{"Home": "Staff", "Elsewhere": "sTaff", "Else": "ｓtaff"} {
		_, err := postgres.Operator{AdminURL: r.db.AdminURL()}.SetStaff(t.Context(), postgres.Staff{Organisation: org, Login: login, Name: "x", Role: account.Nurse, PasswordHash: "x"})
		if !fault.Is(err, fault.Conflict) {
			t.Errorf("by the operator, in %s: %v", org, err)
		}
	}
	r.member(t, "staff", account.Nurse) // the same login is the same person
	// Look-alikes that were there before stay, and their passwords can be set.
	r.exec(t, `SET session_replication_role = replica; INSERT INTO staff (org_id, uid, login, name, role, password_hash, created_at) VALUES (1, gen_random_uuid(), 'Staff', 'x', 'nurse', 'x', now()); SET session_replication_role = DEFAULT`)
	for _, login := range []string{"staff", "Staff"} {
		if _, err := (postgres.Operator{AdminURL: r.db.AdminURL()}).SetStaff(t.Context(), postgres.Staff{Organisation: "Home", Login: login, Name: "x", Role: account.Nurse, PasswordHash: "y"}); err != nil {
			t.Errorf("the password of %q cannot be set: %v", login, err)
		}
	}
}

// TestWhoTakesALastNurseAwayIsToldAndSoAreTheManagers by role, by keeping out, and by a new code.
func TestWhoTakesALastNurseAwayIsToldAndSoAreTheManagers(t *testing.T) {
	t.Parallel()
	r := newRecord(t)
	ctx := t.Context()
	teams, staffing := account.Teams{Book: r.app, Now: time.Now}, account.Staffing{Book: r.app, Now: time.Now, Code: func() (string, []byte) {
		code := sha256.Sum256([]byte("code"))
		return "code", code[:]
	}}
	only, err := teams.Add(ctx, r.nurse, "Only")
	if err != nil {
		t.Fatal(err)
	}
	nina := r.uidOf(t, r.member(t, "nina", account.Nurse))
	for _, err := range []error{teams.Join(ctx, r.nurse, only.UID, nina, time.Time{}, time.Time{}), teams.TakeIn(ctx, r.nurse, only.UID, r.patient.UID)} {
		if err != nil {
			t.Fatal(err)
		}
	}
	notices := func() int {
		return r.count(t, `SELECT count(*) FROM outbox WHERE topic = 'team.unattended' AND audience = 'manager' AND patient_id IS NULL`)
	}
	want := func(what string, n int, alone []string, err error) {
		t.Helper()
		if err != nil || len(alone) != 1 || alone[0] != "Only" || notices() != n {
			t.Errorf("%s: %v, %v, %d notices", what, alone, err, notices())
		}
	}
	alone, err := staffing.Set(ctx, r.nurse, nina, "nina", account.Researcher)
	want("another role", 1, alone, err)
	if alone, err := staffing.Set(ctx, r.nurse, nina, "nina", account.Nurse); err != nil || len(alone) != 0 {
		t.Errorf("back again: %v, %v", alone, err)
	}
	if _, err := staffing.Reinvite(ctx, r.nurse, nina); err != nil || notices() != 2 {
		t.Errorf("a new code: %v, %d notices", err, notices())
	}
	r.exec(t, `UPDATE staff SET password_hash = 'x' WHERE login = 'nina'`)
	alone, err = staffing.KeepOut(ctx, r.nurse, nina, true)
	want("kept out", 3, alone, err)
	if alone, err := staffing.KeepOut(ctx, r.nurse, nina, true); err != nil || len(alone) != 0 || notices() != 3 {
		t.Errorf("kept out already: %v, %v", alone, err)
	}
}

// TestWhoLetsThemselvesInIsSeen: an administrator who opens records by a team of their own is known to the privacy officer and the patients.
func TestWhoLetsThemselvesInIsSeen(t *testing.T) {
	t.Parallel()
	r := newRecord(t)
	ctx, teams := t.Context(), account.Teams{Book: r.app, Now: time.Now}
	boss := r.member(t, "boss", account.Administrator)
	boss.UID = r.uidOf(t, boss)
	usual := r.usual(t, r.nurse)
	told := func() (notices, rows int) {
		return r.count(t, `SELECT count(*) FROM outbox WHERE topic = 'access.let_in' AND audience = 'privacy_officer'`),
			r.count(t, `SELECT count(*) FROM audit WHERE action = 'let oneself in' AND actor_name = 'boss' AND patient_id = $1`, int64(r.patient.ID))
	}
	own, err := teams.Add(ctx, boss, "Own")
	if err != nil {
		t.Fatal(err)
	}
	if err := teams.Join(ctx, boss, own.UID, boss.UID, time.Time{}, time.Time{}); err != nil {
		t.Fatal(err)
	}
	if err := teams.TakeIn(ctx, boss, own.UID, r.patient.UID); err != nil {
		t.Fatal(err)
	}
	if n, rows := told(); n+rows != 0 {
		t.Errorf("who is with the patient already opens nothing: %d notices, %d rows", n, rows)
	}
	for _, team := range []account.Team{own, usual} {
		if err := teams.Leave(ctx, r.nurse, team.UID, boss.UID); err != nil && team.UID == usual.UID {
			t.Fatal(err)
		}
	}
	r.exec(t, `UPDATE team_member m SET to_at = greatest(from_at, clock_timestamp()) FROM team t WHERE t.id = m.team_id AND t.name = 'Own'`)
	r.exec(t, `UPDATE team_patient p SET to_at = greatest(from_at, clock_timestamp()) FROM team t WHERE t.id = p.team_id AND t.name = 'Own'`)
	if err := teams.Join(ctx, r.nurse, usual.UID, boss.UID, time.Time{}, time.Time{}); err != nil {
		t.Fatal(err)
	}
	if n, rows := told(); n+rows != 0 {
		t.Errorf("whom another lets in: %d notices, %d rows", n, rows)
	}
	if err := teams.Leave(ctx, r.nurse, usual.UID, boss.UID); err != nil {
		t.Fatal(err)
	}
	if err := teams.Join(ctx, boss, usual.UID, boss.UID, time.Time{}, time.Time{}); err != nil {
		t.Fatal(err)
	}
	if n, rows := told(); n != 1 || rows != 1 {
		t.Errorf("by their own hand: %d notices, %d rows of the patient's trail", n, rows)
	}
	if err := teams.Leave(ctx, r.nurse, usual.UID, boss.UID); err != nil {
		t.Fatal(err)
	}
	if err := teams.Join(ctx, boss, own.UID, boss.UID, time.Time{}, time.Time{}); err != nil {
		t.Fatal(err)
	}
	if err := teams.TakeIn(ctx, boss, own.UID, r.patient.UID); err != nil {
		t.Fatal(err)
	}
	if n, rows := told(); n != 2 || rows != 2 {
		t.Errorf("by taking the patient into a team of their own: %d notices, %d rows", n, rows)
	}
}

// TestWhoIsToJoinLaterIsToldHowToJoinNow: the two memberships would overlap, and nobody is left to guess why.
func TestWhoIsToJoinLaterIsToldHowToJoinNow(t *testing.T) {
	t.Parallel()
	r := newRecord(t)
	ctx, teams := t.Context(), account.Teams{Book: r.app, Now: time.Now}
	heart, err := teams.Add(ctx, r.nurse, "Heart")
	if err != nil {
		t.Fatal(err)
	}
	nina := r.uidOf(t, r.member(t, "nina", account.Nurse))
	if err := teams.Join(ctx, r.nurse, heart.UID, nina, time.Now().Add(time.Hour), time.Time{}); err != nil {
		t.Fatal(err)
	}
	err = teams.Join(ctx, r.nurse, heart.UID, nina, time.Time{}, time.Time{})
	if !fault.Is(err, fault.Conflict) || !strings.Contains(fault.MessageOf(err), "take them out of it first") {
		t.Errorf("joining now: %v", err)
	}
	if err := teams.Leave(ctx, r.nurse, heart.UID, nina); err != nil {
		t.Fatal(err)
	}
	if err := teams.Join(ctx, r.nurse, heart.UID, nina, time.Time{}, time.Time{}); err != nil {
		t.Errorf("after what was said: %v", err)
	}
}

// TestWhoHasAWayInIsNotSaidOfAnotherOrganisation by the function that looks past row level security.
func TestWhoHasAWayInIsNotSaidOfAnotherOrganisation(t *testing.T) {
	t.Parallel()
	r := newRecord(t)
	eve := r.staff(t, "Elsewhere", "eve")
	for org, want := range map[vital.OrgID]string{eve.Org: "", r.nurse.Org: "22012"} { // a division by zero: no
		if got := r.asRole(t, "hale_app", fmt.Sprint(org), fmt.Sprintf("SELECT 1 / has_way_in(%d, %d)::int", eve.Org, eve.Staff)); got != want {
			t.Errorf("acting for organisation %d, of one in %d: %q, want %q", org, eve.Org, got, want)
		}
	}
}

// TestATeamIsNotLeftToSomebodyWhoGoesSooner: whoever stays for a minute is no reason to let the last nurse go, nor to bring patients.
func TestATeamIsNotLeftToSomebodyWhoGoesSooner(t *testing.T) {
	t.Parallel()
	r := newRecord(t)
	ctx, teams := t.Context(), account.Teams{Book: r.app, Now: time.Now}
	only, err := teams.Add(ctx, r.nurse, "Short")
	if err != nil {
		t.Fatal(err)
	}
	usual := r.usual(t, r.nurse)
	nina, pia, rok := r.uidOf(t, r.member(t, "nina", account.Nurse)), r.uidOf(t, r.member(t, "pia", account.Physician)), r.uidOf(t, r.member(t, "rok", account.Nurse))
	join := func(who vital.UID, to time.Duration) time.Time {
		t.Helper()
		var until time.Time
		if to != 0 {
			until = time.Now().UTC().Add(to).Truncate(time.Microsecond)
		}
		if err := teams.Join(ctx, r.nurse, only.UID, who, time.Time{}, until); err != nil {
			t.Fatal(err)
		}
		return until
	}
	ends := func() time.Time {
		t.Helper()
		got, err := teams.Get(ctx, r.nurse, only.UID)
		if err != nil {
			t.Fatal(err)
		}
		return got.Ends()
	}
	if err := teams.TakeIn(ctx, r.nurse, only.UID, r.patient.UID); err != nil {
		t.Fatal(err)
	}
	soon := join(pia, time.Minute)
	if !ends().Equal(soon) {
		t.Errorf("the team is attended until %s, want %s", ends(), soon)
	}
	if err := teams.HandOn(ctx, r.nurse, usual.UID, r.patient.UID); !fault.Is(err, fault.Conflict) {
		t.Errorf("handed on to a team of somebody who stays for a minute: %v", err)
	}
	if _, err := r.app.AddPatient(ctx, r.nurse, account.Patient{Name: "H", Sex: "unknown", Zone: "UTC", Teams: []vital.UID{only.UID}}); !fault.Is(err, fault.Conflict) {
		t.Errorf("a new patient for a team of somebody who stays for a minute: %v", err)
	}
	_, lines := r.bring(t, identity.ImportOptions{Zone: "UTC"}, "name,birth_date,number,team\nAna Kos,1941-03-02,A-1,Short\n")
	if got := outcomes(lines); got != "refused" {
		t.Errorf("an import into it: %s", got)
	}
	join(nina, 0)
	if err := teams.Leave(ctx, r.nurse, only.UID, nina); !fault.Is(err, fault.Conflict) {
		t.Errorf("the last nurse who stays leaves: %v", err)
	}
	if err := teams.HandOn(ctx, r.nurse, usual.UID, r.patient.UID); err != nil || !ends().IsZero() {
		t.Errorf("handed on to a team with somebody who stays: %v, %s", err, ends())
	}
	if err := teams.Leave(ctx, r.nurse, only.UID, pia); err != nil {
		t.Errorf("whoever was to leave sooner leaves now: %v", err)
	}
	// Two whose time ends, in the order of their ends.
	join(pia, 2*time.Hour)
	later := join(rok, 3*time.Hour)
	r.exec(t, fmt.Sprintf(`UPDATE team_member SET to_at = '%s' WHERE to_at IS NULL AND team_id = (SELECT id FROM team WHERE name = 'Short')`, later.Add(time.Hour).Format(time.RFC3339Nano)))
	if err := teams.Leave(ctx, r.nurse, only.UID, nina); !fault.Is(err, fault.Conflict) {
		t.Errorf("the one who stays longest leaves: %v", err)
	}
	if err := teams.Leave(ctx, r.nurse, only.UID, rok); err != nil {
		t.Errorf("one who stays less long leaves: %v", err)
	}
}

// TestTimeThatLeavesATeamAloneIsTold once, until somebody is there again; what somebody was told of by what they did is not told again.
func TestTimeThatLeavesATeamAloneIsTold(t *testing.T) {
	t.Parallel()
	r := newRecord(t)
	ctx, teams := t.Context(), account.Teams{Book: r.app, Now: time.Now}
	only, err := teams.Add(ctx, r.nurse, "Short")
	if err != nil {
		t.Fatal(err)
	}
	nina := r.uidOf(t, r.member(t, "nina", account.Nurse))
	now := time.Now().UTC()
	look := func(what string, after time.Duration, told, notices int) {
		t.Helper()
		n, err := r.work.TellOfTeams(ctx, now.Add(after))
		all := r.count(t, `SELECT count(*) FROM outbox WHERE topic = 'team.unattended' AND audience = 'manager' AND severity = 'urgent'`)
		if err != nil || n != told || all != notices {
			t.Errorf("%s: %d told, %d notices, %v; want %d, %d", what, n, all, err, told, notices)
		}
	}
	if err := teams.TakeIn(ctx, r.nurse, only.UID, r.patient.UID); err != nil {
		t.Fatal(err)
	}
	look("a team that nobody was ever in", time.Minute, 0, 0)
	if err := teams.Join(ctx, r.nurse, only.UID, nina, time.Time{}, now.Add(time.Hour)); err != nil {
		t.Fatal(err)
	}
	look("while she is there", time.Minute, 0, 0)
	look("after her time", 2*time.Hour, 1, 1)
	look("and again", 3*time.Hour, 0, 1)
	look("somebody is there again", time.Minute, 0, 1)
	look("and their time ends", 2*time.Hour+time.Minute, 1, 2)
	look("somebody is there once more", time.Minute, 0, 2)
	if alone, err := (&account.Staffing{Book: r.app, Now: time.Now}).KeepOut(ctx, r.nurse, nina, true); err != nil || len(alone) != 1 {
		t.Fatalf("kept out: %v, %v", alone, err)
	}
	look("of whom they kept out they were told", time.Hour, 0, 3)
	if got := r.asRole(t, "hale_work", "", `SELECT login FROM staff`); got != "42501" {
		t.Errorf("the round reads names of staff: %q", got)
	}
}

// TestWhoIsLetInAgainIsInNoTeam, and whoever does it is told which teams still have nobody.
func TestWhoIsLetInAgainIsInNoTeam(t *testing.T) {
	t.Parallel()
	r := newRecord(t)
	ctx, teams, staffing := t.Context(), account.Teams{Book: r.app, Now: time.Now}, account.Staffing{Book: r.app, Now: time.Now}
	only, err := teams.Add(ctx, r.nurse, "Only")
	if err != nil {
		t.Fatal(err)
	}
	nina := r.uidOf(t, r.member(t, "nina", account.Nurse))
	for _, err := range []error{teams.Join(ctx, r.nurse, only.UID, nina, time.Time{}, time.Time{}), teams.TakeIn(ctx, r.nurse, only.UID, r.patient.UID)} {
		if err != nil {
			t.Fatal(err)
		}
	}
	if _, err := staffing.KeepOut(ctx, r.nurse, nina, true); err != nil {
		t.Fatal(err)
	}
	for _, what := range []string{"let in again", "and once more"} {
		if alone, err := staffing.KeepOut(ctx, r.nurse, nina, false); err != nil || len(alone) != 1 || alone[0] != "Only" {
			t.Errorf("%s: %v, %v", what, alone, err)
		}
	}
	if n := r.count(t, `SELECT count(*) FROM audit WHERE action = 'let staff in again'`); n != 1 {
		t.Errorf("%d rows of the trail", n)
	}
	if err := teams.Join(ctx, r.nurse, only.UID, nina, time.Time{}, time.Time{}); err != nil {
		t.Fatal(err)
	}
	if alone, err := staffing.KeepOut(ctx, r.nurse, nina, false); err != nil || len(alone) != 0 {
		t.Errorf("once they have joined: %v, %v", alone, err)
	}
}
