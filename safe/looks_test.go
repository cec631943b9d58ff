package safe_test

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"hale/account"
	"hale/safe"
)

func at(minutes float64) time.Time {
	return time.Date(2026, 3, 3, 13, 5, 0, 0, time.UTC).Add(time.Duration(minutes * float64(time.Minute)))
}

func look(id int64, minutes float64, name string, role account.Role, object, detail string) safe.Look {
	return safe.Look{ID: id, At: at(minutes), Name: name, Role: role, Session: "s-" + name, Action: account.LookAction, Object: object, Detail: detail}
}

func zone(t *testing.T) *time.Location {
	t.Helper()
	z, err := time.LoadLocation("Europe/Ljubljana")
	if err != nil {
		t.Fatal(err)
	}
	return z
}

// tell returns the visits as sentences.
func tell(t *testing.T, whose safe.Whose, rows ...safe.Look) []string {
	t.Helper()
	visits := safe.Visits(rows)
	var said []string
	for i := range visits {
		said = append(said, visits[i].Words(zone(t), whose).String())
	}
	return said
}

func TestVisitsAreToldInPlainWords(t *testing.T) {
	t.Parallel()
	patient := "patient 0192"
	through := look(1, 0, "Jan Kos", account.Physician, patient, "")
	through.Glass = "found on the floor"
	share := safe.Look{At: at(0), Name: safe.ShareName, Action: account.LookAction, Object: "share 1", Detail: "month, opened from 203.0.113.9"}
	act := func(role account.Role, name, action, object, detail string) safe.Look {
		return safe.Look{At: at(0), Name: name, Role: role, Action: action, Object: object, Detail: detail}
	}
	for name, c := range map[string]struct {
		rows  []safe.Look
		whose safe.Whose
		want  []string
	}{
		"one look":             {[]safe.Look{look(1, 0, "Ana Novak", account.Nurse, patient, "blood_pressure")}, safe.Yours, []string{"Tuesday 3 March 2026, 14:05: nurse Ana Novak looked at your blood pressure"}},
		"to somebody else":     {[]safe.Look{look(1, 0, "Ana Novak", account.Nurse, patient, "fev1")}, safe.Theirs, []string{"Tuesday 3 March 2026, 14:05: nurse Ana Novak looked at their FEV1"}},
		"broken glass":         {[]safe.Look{through}, safe.Yours, []string{"Tuesday 3 March 2026, 14:05: physician Jan Kos looked at your record, in an emergency look with the reason “found on the floor”"}},
		"a program by its key": {[]safe.Look{look(1, 0, "Clinic sync", account.SystemRole, patient, "")}, safe.Yours, []string{"Tuesday 3 March 2026, 14:05: the program “Clinic sync” looked at your record"}},
		"oneself":              {[]safe.Look{look(1, 0, "Me", account.SelfRole, "sheet", "")}, safe.Yours, []string{"Tuesday 3 March 2026, 14:05: you looked at your emergency sheet"}},
		"a guardian":           {[]safe.Look{look(1, 0, "Eva", "guardian", "looks", "")}, safe.Yours, []string{"Tuesday 3 March 2026, 14:05: guardian Eva looked at who had looked at your data"}},
		"a link":               {[]safe.Look{share}, safe.Yours, []string{"Tuesday 3 March 2026, 14:05: somebody with your link looked at your emergency sheet and what was measured in the last month, from the internet address 203.0.113.9"}},
		"an alert handled":     {[]safe.Look{act(account.Nurse, "Ana", "alert acknowledged", "alert 1", "")}, safe.Yours, []string{"Tuesday 3 March 2026, 14:05: nurse Ana took on an alert of yours"}},
		"limits changed":       {[]safe.Look{act(account.Physician, "Jan", "set limits", "rule 1", "limit heart_rate version 2")}, safe.Yours, []string{"Tuesday 3 March 2026, 14:05: physician Jan changed your limits (heart rate)"}},
		"an operator":          {[]safe.Look{act("", "operator", "export a record", "patient 1", "zip")}, safe.Yours, []string{"Tuesday 3 March 2026, 14:05: an operator of the programme's computers took a copy of your whole record"}},
		"an act without words": {[]safe.Look{act(account.DeviceDesk, "Bo", "juggle", "", "")}, safe.Theirs, []string{"Tuesday 3 March 2026, 14:05: device desk Bo did something else with their record"}},
		"five looks in ten minutes are one line": {
			[]safe.Look{
				look(5, 7, "Ana Novak", account.Nurse, patient, "heart_rate"), look(4, 6, "Ana Novak", account.Nurse, patient, "blood_pressure"), look(3, 2, "Ana Novak", account.Nurse, "worklist", ""),
				look(2, 1, "Ana Novak", account.Nurse, patient, "blood_pressure"), look(1, 0, "Ana Novak", account.Nurse, patient, ""),
			}, safe.Yours,
			[]string{"Tuesday 3 March 2026, 14:05 to 14:12: nurse Ana Novak looked at your record, your blood pressure, your open alerts, in the care team's list and your heart rate"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if diff := cmp.Diff(c.want, tell(t, c.whose, c.rows...)); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestVisitsKeepApartWhatDoesNotBelongTogether(t *testing.T) {
	t.Parallel()
	a := look(1, 0, "Ana", account.Nurse, "worklist", "")
	for name, c := range map[string]struct {
		change func(*safe.Look)
		want   int
	}{
		"the same person a little later is one visit":  {func(l *safe.Look) { l.At = at(10) }, 1},
		"after a longer pause it is another":           {func(l *safe.Look) { l.At = at(10.1) }, 2},
		"another person is another":                    {func(l *safe.Look) { l.Name = "Bor" }, 2},
		"another session is another":                   {func(l *safe.Look) { l.Session = "x" }, 2},
		"an act is apart from looks":                   {func(l *safe.Look) { l.Action = "set limits" }, 2},
		"what broken glass shows is apart from a look": {func(l *safe.Look) { l.Glass = "reason" }, 2},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := a
			b.ID, b.At = 2, at(1)
			c.change(&b)
			if got := safe.Visits([]safe.Look{b, a}); len(got) != c.want {
				t.Errorf("%d visits, want %d", len(got), c.want)
			}
		})
	}
	// Others may look in between.
	if got := safe.Visits([]safe.Look{look(3, 2, "Ana", account.Nurse, "worklist", ""), look(2, 1, "Bor", account.Nurse, "worklist", ""), a}); len(got) != 2 || len(got[0].Rows) != 2 {
		t.Errorf("%+v", got)
	}
}

func TestARelativeLearnsNothingOfWhatProtectsFromThem(t *testing.T) {
	t.Parallel()
	rows := []safe.Look{{ID: 2, Action: safe.Silent()[0]}, look(1, 0, "Ana", account.Nurse, "worklist", "")}
	for role, want := range map[account.Role]int{account.CaregiverRole: 1, account.SelfRole: 2, account.PrivacyOfficer: 2} {
		if got := safe.VisibleTo(account.Actor{Role: role}, rows); len(got) != want {
			t.Errorf("%s sees %d rows, want %d", role, len(got), want)
		}
	}
	if len(rows) != 2 || !strings.Contains(rows[0].Action, "protect") {
		t.Error("the rows themselves were changed")
	}
}

func TestALineNamesAFewThingsAndCountsTheRest(t *testing.T) {
	t.Parallel()
	patient := "patient 1"
	rows := []safe.Look{
		look(6, 6, "Ana", account.Nurse, "sheet", ""), look(5, 5, "Ana", account.Nurse, patient, "body_weight"), look(4, 4, "Ana", account.Nurse, patient, "heart_rate"),
		look(3, 3, "Ana", account.Nurse, patient, "blood_pressure"), look(2, 2, "Ana", account.Nurse, patient, "heart_rate"), look(1, 1, "Ana", account.Nurse, patient, ""),
	}
	visit := safe.Visits(rows)[0]
	few, more := visit.Few(3, safe.Yours)
	if got := few.Words(time.UTC, safe.Yours).Did; more != 2 || got != "looked at your record, your heart rate and your blood pressure" || len(few.Rows) != 4 || few.Rows[0].ID != 4 || len(visit.Rows) != 6 {
		t.Errorf("%q and %d more, of rows %+v", got, more, few.Rows)
	}
	if few, more := visit.Few(9, safe.Yours); more != 0 || len(few.Rows) != 6 {
		t.Errorf("%d more of %d rows", more, len(few.Rows))
	}
}
