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
