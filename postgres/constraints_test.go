package postgres_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"hale/account/consent"
)

// breaking tries statements as a superuser, whom no grant holds back, and undoes them. It returns what refused the last one.
func (r *record) breaking(t *testing.T, statements ...string) *pgconn.PgError {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), r.db.AdminURL())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close(context.WithoutCancel(t.Context())) }()
	tx, err := conn.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for i, s := range statements {
		_, err = tx.Exec(t.Context(), s)
		if err != nil && i < len(statements)-1 {
			t.Fatal(fmt.Errorf("%s: %w", s, err))
		}
	}
	var refused *pgconn.PgError
	if err != nil && !errors.As(err, &refused) {
		t.Fatal(err)
	}
	return refused
}

// TestWhatIsAppendOnlyRefusesEveryChange of the tables that keep what was done, agreed or decided.
func TestWhatIsAppendOnlyRefusesEveryChange(t *testing.T) {
	t.Parallel()
	r := newRecord(t)
	tables := map[string]string{ // what a trigger of each refuses; erasure deletes of some, and seals the audit
		"audit": "DELETE TRUNCATE", "audit_checkpoint": "UPDATE DELETE TRUNCATE", "timeline": "UPDATE DELETE TRUNCATE", "rule_version": "UPDATE DELETE TRUNCATE",
		"consent_text": "UPDATE DELETE TRUNCATE", "consent_decision": "UPDATE TRUNCATE", "ending_step": "UPDATE TRUNCATE",
		"erasure_ledger": "UPDATE DELETE TRUNCATE", "team_hours": "UPDATE DELETE TRUNCATE", "kit_event": "UPDATE DELETE TRUNCATE",
		"measurement_schedule": "UPDATE TRUNCATE",
	}
	forms := map[string]string{"UPDATE": "UPDATE %s SET org_id = org_id", "DELETE": "DELETE FROM %s", "TRUNCATE": "TRUNCATE %s CASCADE"}
	var names []string
	for table, commands := range tables {
		names = append(names, table+"_append_only")
		for command := range strings.FieldsSeq(commands) {
			refused := r.breaking(t, fmt.Sprintf(forms[command], table))
			if refused == nil || refused.Code != "42501" || refused.Message != table+" is append-only" {
				t.Errorf("%s of %s: %v, want that it is append-only", command, table, refused)
			}
		}
	}
	slices.Sort(names)
	const there = `SELECT tgname::text FROM pg_trigger WHERE tgname LIKE '%append_only' AND NOT tgisinternal AND tgenabled <> 'D' ORDER BY 1`
	if found := r.column(t, there); !slices.Equal(found, names) {
		t.Errorf("the triggers are %v, this test tries %v", found, names)
	}
}

// TestTheDatabaseItselfRefusesWhatMustNotBe whatever a program of ours believes.
func TestTheDatabaseItselfRefusesWhatMustNotBe(t *testing.T) {
	t.Parallel()
	r := newRecord(t)
	one, two := r.officer(t, "olga"), r.officer(t, "otto")
	r.relative(t, "Saul Son", 11)
	r.agree(t, consent.ForSharing)
	eva := r.letIn(t, "Eva")
	self := fmt.Sprintf("%d, gen_random_uuid(), %d", r.patient.Org, r.patient.ID)
	decided := fmt.Sprintf(`INSERT INTO erasure (org_id, uid, patient_id, number, state, asked_role, asked_at, decided_by, decided_at) VALUES (%s, 1, 'decided', 'patient', now(), %d, now())`, self, one.Staff)
	grant := func(set string) string {
		return fmt.Sprintf(`UPDATE caregiver_grant SET %s WHERE guardian`, set)
	}
	session := func(column string, id int64, device string) string {
		return fmt.Sprintf(`INSERT INTO session (org_id, uid, %s, token_hash, device_hash, csrf, created_at, seen_at, expires_at)
			VALUES (%d, gen_random_uuid(), %d, decode(repeat('99', 32), 'hex'), %s, 'x', now(), now(), now() + interval '1 hour')`, column, r.patient.Org, id, device)
	}
	const device = "decode(repeat('cd', 32), 'hex')"
	audit := func(columns, values string) string {
		return fmt.Sprintf(`INSERT INTO audit (org_id, at, action, %s) VALUES (%d, now(), 'x', %s)`, columns, r.patient.Org, values)
	}
	const hash = "decode(repeat('ab', 32), 'hex')"
	notice := func(audience, about, caregiver string) string {
		return fmt.Sprintf(`INSERT INTO outbox (org_id, topic, dedup, severity, created_at, audience, patient_id, caregiver_id)
			VALUES (%d, 'x', 'x', 'info', now(), '%s', %s, %s)`, r.patient.Org, audience, about, caregiver)
	}
	for _, c := range []struct {
		name       string
		statements []string
		constraint string // "": it is allowed
	}{
		{"another officer confirms an erasure", []string{decided, fmt.Sprintf(`UPDATE erasure SET confirmed_by = %d`, two.Staff)}, ""},
		{"who decided on an erasure confirms it", []string{decided, fmt.Sprintf(`UPDATE erasure SET confirmed_by = %d`, one.Staff)}, "erasure_check3"},
		{"an erasure is refused without a word", []string{decided, `UPDATE erasure SET state = 'refused', answer = ''`}, "erasure_check2"},
		{"another member of staff confirms a guardian", []string{grant(fmt.Sprintf("staff_id = %d, confirmed_by = %d", one.Staff, two.Staff))}, ""},
		{"who wrote a guardian down confirms them", []string{grant("confirmed_by = staff_id")}, "caregiver_grant_two_people"},
		{"a guardian is confirmed by nobody", []string{grant("confirmed_by = NULL")}, "caregiver_grant_confirmed"},
		{"a guardian without a document", []string{grant("document = ''")}, "caregiver_grant_guardian"},
		{"a guardian without an end", []string{grant("to_at = NULL")}, "caregiver_grant_guardian"},
		{"a guardian whom nobody wrote down", []string{grant("staff_id = NULL, confirmed_by = NULL, confirmed_at = NULL")}, "caregiver_grant_guardian"},
		{"a patient's session on a device", []string{session("patient_id", int64(r.patient.ID), device)}, ""},
		{"a patient's session on no device", []string{session("patient_id", int64(r.patient.ID), "NULL")}, "session_bound_to_device"},
		{"a relative's session on no device", []string{session("caregiver_id", int64(eva.Caregiver), "NULL")}, "session_bound_to_device"},
		{"a session of staff that hangs on a device", []string{session("staff_id", int64(r.nurse.Staff), device)}, "session_bound_to_device"},
		{"a blanked row of the trail", []string{audit("actor_name, actor_role, subject, blanked, salt", "'', 'patient', "+hash+", gen_random_uuid(), ''")}, ""},
		{"a blanked row that no entry accounts for", []string{audit("actor_name, actor_role, subject, salt", "'', '', "+hash+", ''")}, "audit_blanked_check"},
		{"a blanked row that tells whom it was about", []string{audit("actor_name, actor_role, subject, blanked, salt, patient_id", fmt.Sprintf("'', '', %s, gen_random_uuid(), '', %d", hash, r.patient.ID))}, "audit_blanked_check"},
		{"a blanked row with its salt", []string{audit("actor_name, actor_role, subject, blanked, salt", "'', '', "+hash+", gen_random_uuid(), 'salt'")}, "audit_blanked_check"},
		{"a blanked row that names the patient", []string{audit("actor_name, actor_role, subject, blanked, salt", "'Ana', 'patient', "+hash+", gen_random_uuid(), ''")}, "audit_blanked_check"},
		{"a notice to managers about no patient", []string{notice("manager", "NULL", "NULL")}, ""},
		{"a notice to the privacy officer about no patient", []string{notice("privacy_officer", "NULL", "NULL")}, ""},
		{"a notice to the team about a patient", []string{notice("team", fmt.Sprint(r.patient.ID), "NULL")}, ""},
		{"a notice to the team about no patient", []string{notice("team", "NULL", "NULL")}, "outbox_about"},
		{"a notice to the patient about no patient", []string{notice("patient", "NULL", "NULL")}, "outbox_about"},
		{"a notice to a relative about no patient", []string{notice("caregiver", "NULL", fmt.Sprint(eva.Caregiver))}, "outbox_about"},
	} {
		got := ""
		if refused := r.breaking(t, c.statements...); refused != nil {
			got = refused.ConstraintName
			if got == "" {
				got = refused.Message
			}
		}
		if got != c.constraint {
			t.Errorf("%s: refused by %q, want %q", c.name, got, c.constraint)
		}
	}
}
