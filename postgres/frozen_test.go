package postgres_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"hale/account"
)

// relativeCounts returns what a query with a single number finds for a relative, by nothing but row level security.
func (r *record) relativeCounts(t *testing.T, who account.Actor, query string) int {
	t.Helper()
	now := r.now(t)
	conn, err := pgx.Connect(t.Context(), r.db.AdminURL())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close(context.WithoutCancel(t.Context())) }()
	_, err = conn.Exec(t.Context(), fmt.Sprintf(`SET ROLE hale_app; SET app.view = 'caregiver'; SET app.org = '%d'; SET app.who = '%d'; SET app.now = '%s'`, who.Org, who.Caregiver, now.Format(time.RFC3339Nano)))
	if err != nil {
		t.Fatal(err)
	}
	var n int
	if err := conn.QueryRow(t.Context(), query).Scan(&n); err != nil {
		t.Fatal(fmt.Errorf("%s: %w", query, err))
	}
	return n
}

// keptFromTheFrozen are tables of which a relative with a frozen view sees what was there before, and nothing that came later. $N
// tells two rows of a table apart, $T is when they came.
func keptFromTheFrozen() map[string]string {
	return map[string]string{
		"assignment":  `INSERT INTO assignment (org_id, sensor_id, patient_id, from_at, to_at, created_at) SELECT $O, id, $P, '2020-01-0$NZ', '2020-01-0$NZ'::timestamptz + interval '1 hour', $T FROM sensor ORDER BY id LIMIT 1`,
		"ending_step": `INSERT INTO ending_step (org_id, uid, patient_id, kind, at, actor_name, actor_role) VALUES ($O, gen_random_uuid(), $P, 'started', $T, 'x', 'nurse')`,
		"rule_version": `INSERT INTO rule_version (org_id, rule_id, number, effective_from, enabled, spec, advice, author_name, reason, created_at)
			SELECT $O, rule_id, 70 + $N, effective_from, true, spec, '', 'x', 'x', $T FROM rule_version v JOIN rule r ON r.org_id = v.org_id AND r.id = v.rule_id WHERE r.patient_id = $P ORDER BY v.rule_id LIMIT 1`,
		"share": `INSERT INTO share (org_id, uid, patient_id, what, secret_hash, made_name, made_role, created_at, expires_at, opens_most)
			VALUES ($O, gen_random_uuid(), $P, 'sheet', sha256('$N'), 'x', 'patient', $T, $T::timestamptz + interval '1 day', 3)`,
		"outbox": `INSERT INTO outbox (org_id, patient_id, topic, dedup, severity, created_at, audience) VALUES ($O, $P, 'x', '$N', 'red', $T, 'team')`,
	}
}

// frozenElsewhere are the tables with such a rule whose rows other tests look for in a frozen view.
func frozenElsewhere() []string {
	return []string{"audit", "consent_decision", "correction", "episode", "erasure", "patient_change", "patient_identifier", "reading", "rule", "team_patient", "timeline"}
}

// TestAFrozenViewEndsInEveryTable with nothing but row level security before the rows.
func TestAFrozenViewEndsInEveryTable(t *testing.T) {
	t.Parallel()
	r := newRecord(t)
	son := r.relative(t, "Saul Son", 11)
	_, self := r.safeOf()
	cases := keptFromTheFrozen()
	count := func(table string) int {
		t.Helper()
		if table == "rule_version" {
			return r.relativeCounts(t, son, `SELECT count(*) FROM rule_version WHERE author_name = 'x'`)
		}
		return r.relativeCounts(t, son, `SELECT count(*) FROM `+table)
	}
	insert := func(number int) {
		t.Helper()
		for _, statement := range cases {
			fill := strings.NewReplacer("$O", fmt.Sprint(r.patient.Org), "$P", fmt.Sprint(r.patient.ID), "$N", fmt.Sprint(number), "$T", "'"+r.now(t).Format(time.RFC3339Nano)+"'")
			r.exec(t, fill.Replace(statement))
		}
	}
	insert(1)
	before := map[string]int{}
	for table := range cases {
		before[table] = count(table)
		if want := table != "outbox"; (before[table] > 0) != want { // whom a notice is owed is for no relative, ever
			t.Errorf("%s: he sees %d rows before his view is frozen", table, before[table])
		}
	}
	if err := r.caregivers().Suspend(t.Context(), self, "", caregiverUID(t, r, son), true); err != nil {
		t.Fatal(err)
	}
	insert(2)
	for table := range cases {
		if n := count(table); n != before[table] {
			t.Errorf("%s: he sees %d rows, and %d before his view was frozen", table, n, before[table])
		}
	}
	if err := r.caregivers().Suspend(t.Context(), self, "", caregiverUID(t, r, son), false); err != nil {
		t.Fatal(err)
	}
	for table := range cases {
		if n := count(table); table != "outbox" && n != before[table]+1 {
			t.Errorf("%s: he sees %d rows once his view is as before, want %d", table, n, before[table]+1)
		}
	}
	listed := append(frozenElsewhere(), "assignment", "ending_step", "guardian_request", "outbox", "rule_version", "share")
	slices.Sort(listed)
	ruled := r.column(t, `SELECT DISTINCT tablename::text FROM pg_policies WHERE policyname IN ('not_hidden', 'own_requests') ORDER BY 1`)
	if !slices.Equal(listed, ruled) {
		t.Errorf("row level security keeps something from relatives in %v; %v are looked at", ruled, listed)
	}
}

// TestARelativeSeesNoRequestOfAnother with nothing but row level security before the rows.
func TestARelativeSeesNoRequestOfAnother(t *testing.T) {
	t.Parallel()
	r := newRecord(t)
	father, son := r.relative(t, "Bo Father", 11), r.relative(t, "Saul Son", 12)
	for _, who := range []account.Actor{father, son, son} {
		r.exec(t, fmt.Sprintf(`INSERT INTO guardian_request (org_id, uid, patient_id, caregiver_id, purpose, version, choice, made_at) VALUES (%d, gen_random_uuid(), %d, %d, 'care', 1, 'withdrawn', now())`,
			r.patient.Org, r.patient.ID, who.Caregiver))
	}
	for want, who := range map[int]account.Actor{1: father, 2: son} {
		if n := r.relativeCounts(t, who, `SELECT count(*) FROM guardian_request`); n != want {
			t.Errorf("%s sees %d requests, want their own %d", who.Name, n, want)
		}
	}
}
