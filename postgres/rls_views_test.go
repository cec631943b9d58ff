package postgres_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"
)

// mayInView reports whether a command on a table is for a view at all. The view of an organisation may everything that
// hale_app may. Every write is listed below; what is about a patient is read by whoever reaches the patient, and what is
// about nobody by staff, but for what is listed.
func mayInView(view, does, table string, ofPatient bool) bool {
	if view == "org" {
		return true
	}
	views, listed := apart()[does+" "+table]
	switch {
	case listed:
	case does != "SELECT":
		return false
	case ofPatient:
		views = "staff patient caregiver"
	default:
		views = "staff"
	}
	return slices.Contains(strings.Fields(views), view)
}

// throughThePatient reports whether rows that are about nobody are within a view only by somebody who wears what they tell of.
func throughThePatient(view, table string) bool {
	return slices.Contains([]string{"patient", "caregiver"}, view) && slices.Contains([]string{"device", "sensor", "gateway_grant", "kit"}, table)
}

// apart are the views, besides that of an organisation, for which a command on a table is.
func apart() map[string]string {
	return map[string]string{
		// Every page names the organisation, and asks what its consents, numbers and times of keeping are.
		"SELECT org":               "staff patient caregiver nobody",
		"SELECT consent_text":      "staff patient caregiver",
		"SELECT identifier_system": "staff patient caregiver",
		"SELECT retention":         "staff patient caregiver",
		"SELECT erasure_policy":    "staff patient caregiver",
		// What signs people in, what signs the trail, files about many people.
		"SELECT api_key":          "",
		"SELECT staff_invitation": "",
		"SELECT staff_identity":   "",
		"SELECT provider_session": "",
		"SELECT audit_chain":      "",
		"SELECT audit_checkpoint": "",
		"SELECT import":           "",
		"SELECT import_line":      "",
		"SELECT erased_span":      "",
		"SELECT inbox":            "",
		"SELECT quarantine":       "",
		"SELECT trusted_ca":       "",
		"SELECT device_cert":      "",
		"SELECT device_claim":     "",
		// What devices are asked, and what was said of their problems.
		"SELECT device_command":      "",
		"SELECT device_problem_mark": "",
		// Where notices are sent, and what was.
		"SELECT channel":    "",
		"SELECT delivery":   "",
		"SELECT invitation": "staff",
		// What measured whom stands in a copy of the record; the secret of a device is in no column that hale_app reads.
		"SELECT device":        "staff patient caregiver",
		"SELECT sensor":        "staff patient caregiver",
		"SELECT gateway_grant": "staff patient caregiver",
		// A care team is known to its patients.
		"SELECT team": "staff patient caregiver",
		// Relatives are known to the patient, and each to themselves.
		"SELECT caregiver": "staff patient caregiver",
		// What no relative may learn.
		"SELECT break_glass":        "staff patient",
		"SELECT caregiver_grant":    "staff patient",
		"SELECT private_item":       "staff patient",
		"SELECT condition_interval": "staff patient",
		"SELECT possible_double":    "staff",
		"SELECT refile":             "staff patient",
		"SELECT refile_part":        "staff patient",
		"SELECT refile_episode":     "staff patient",
		"SELECT merge":              "staff patient",
		// Which kits a patient has stands in the copy of their record.
		"SELECT kit":        "staff patient",
		"SELECT kit_holder": "staff patient",

		// What is expected of a patient, what is doubtful, what was taken back or claimed: no relative learns by it what is kept private.
		"SELECT measurement_schedule": "staff patient",
		"SELECT measurement_pause":    "staff patient",
		"SELECT technique_doubt":      "staff patient",
		"SELECT withdrawn_reading":    "staff patient",
		"SELECT unverified":           "staff",
		"SELECT unverified_person":    "staff patient",
		"SELECT unverified_entry":     "staff",
		"SELECT unverified_value":     "staff",
		// What devices sent and may still be anybody's, and what they sign in with.
		"SELECT original":     "",
		"SELECT withdrawal":   "",
		"SELECT pairing_code": "",

		"INSERT audit":   "staff patient caregiver nobody",
		"INSERT outbox":  "staff patient caregiver",
		"UPDATE outbox":  "staff patient",
		"UPDATE session": "staff patient caregiver",
		// One's own second factor.
		"INSERT second_factor": "staff",
		"UPDATE second_factor": "staff",
		"DELETE second_factor": "staff",
		"INSERT recovery_code": "staff",
		"UPDATE recovery_code": "staff",
		"DELETE recovery_code": "staff",
		// What the care team does.
		"UPDATE patient":          "staff patient", // of the patient: that care ends
		"INSERT rule":             "staff",
		"INSERT rule_version":     "staff",
		"INSERT situation_change": "staff patient",
		"UPDATE episode":          "staff",
		"INSERT timeline":         "staff",
		"UPDATE assignment":       "staff",
		"INSERT ending_step":      "staff",
		"INSERT invitation":       "staff",
		"UPDATE invitation":       "staff",
		"INSERT patient_change":   "staff",
		"INSERT refile":           "staff",
		"UPDATE guardian_request": "staff",
		// What is to be measured and when not, and what was doubtful about it.
		"INSERT measurement_schedule": "staff",
		"INSERT measurement_pause":    "staff",
		"UPDATE measurement_pause":    "staff",
		"UPDATE technique_doubt":      "staff",
		// What may be an emergency and is nobody's yet is every nurse's; whose it is said to be, only of those whom they reach.
		"UPDATE unverified":        "staff",
		"UPDATE unverified_value":  "staff",
		"INSERT unverified_entry":  "staff",
		"INSERT unverified_person": "staff",
		"DELETE unverified_person": "staff",
		// What patients do about themselves, with or without the team, and what a guardian asks.
		"INSERT consent_decision": "staff patient",
		"INSERT caregiver":        "staff patient",
		"UPDATE caregiver":        "staff patient",
		"INSERT caregiver_grant":  "staff patient",
		"UPDATE caregiver_grant":  "staff patient",
		"INSERT private_item":     "staff patient",
		"UPDATE private_item":     "staff patient",
		"INSERT guardian_request": "caregiver",
		"INSERT correction":       "patient caregiver",
		"UPDATE correction":       "staff patient caregiver",
		"INSERT share":            "patient caregiver",
		"UPDATE share":            "staff patient caregiver",
		"UPDATE erasure":          "patient caregiver",
	}
}

func TestEveryListedCommandIsOneThatThereIs(t *testing.T) {
	t.Parallel()
	s := newRLS(t)
	for does := range apart() {
		command, name, _ := strings.Cut(does, " ")
		if table := s.tables[name]; table == nil || !slices.Contains(table.may, command) {
			t.Errorf("%q stands in apart, but hale_app may not do it", does)
		}
	}
}

// TestAPatientWritesNothingOfTheirRowButThatCareEnds tries it with nothing but row level security before it.
func TestAPatientWritesNothingOfTheirRowButThatCareEnds(t *testing.T) {
	t.Parallel()
	s := newRLS(t)
	who := s.row(t, "patient", ownRow)["id"]
	s.exec(t, `UPDATE patient SET state = 'active' WHERE id = $1`, who)
	for _, v := range s.viewers(t) {
		if v.name != "the patient" {
			continue
		}
		s.as(t, v, func(tx pgx.Tx) {
			for _, set := range []string{`name = 'Other'`, `number = 'X-1'`, `birth_year = 1900`, `sex = 'other'`, `state = 'locked'`, `state = 'merged', merged_into = id`} {
				if n, refused := try(t, tx, `UPDATE patient SET `+set+` WHERE id = $1`, who); n > 0 || refused != refusedCode {
					t.Errorf("%s: %d rows, %q", set, n, refused)
				}
			}
			for _, state := range []string{"ending", "active"} {
				if n, refused := try(t, tx, `UPDATE patient SET state = $2 WHERE id = $1`, who, state); n != 1 || refused != "" {
					t.Errorf("care does not go to %s: %d rows, %q", state, n, refused)
				}
			}
		})
	}
}

// TestWhatSomebodyWearsIsKnownToThem and to who is close to them, and no other device is.
func TestWhatSomebodyWearsIsKnownToThem(t *testing.T) {
	t.Parallel()
	s := newRLS(t)
	s.row(t, "assignment", ownRow)
	sensor := s.row(t, "assignment", ownRow)["sensor_id"]
	for _, v := range s.viewers(t) {
		if !slices.Equal(v.patients, []string{ownRow}) || v.view == "staff" {
			continue
		}
		s.as(t, v, func(tx pgx.Tx) {
			if n, refused := try(t, tx, `SELECT FROM sensor WHERE id = $1`, sensor); n != 1 || refused != "" {
				t.Errorf("%s: %d sensors of theirs, %q", v.name, n, refused)
			}
			if n, _ := try(t, tx, `SELECT FROM sensor WHERE id <> $1`, sensor); n != 0 {
				t.Errorf("%s: %d sensors of others", v.name, n)
			}
		})
	}
}
