package postgres_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5"
	"pgregory.net/rapid"

	"hale/account"
	"hale/account/consent"
	"hale/alerts"
	"hale/fault"
	"hale/vital"
)

// self is the record's patient, signed in.
func (r *record) self() account.Actor {
	return account.Actor{Org: r.nurse.Org, Self: r.patient.ID, UID: r.patient.UID, Name: "Person 1", Role: account.SelfRole}
}

func caregiverOf(r *record, g consent.Grant) account.Actor {
	return account.Actor{Org: r.nurse.Org, Caregiver: g.Caregiver, UID: g.Who, Name: g.Name, Role: account.CaregiverRole}
}

func (r *record) consents() *consent.Consents { return &consent.Consents{Store: r.app} }

func (r *record) caregivers() *consent.Caregivers { return &consent.Caregivers{Store: r.app} }

// agree is the patient's own yes.
func (r *record) agree(t *testing.T, purpose consent.Purpose) {
	t.Helper()
	r.decide(t, purpose, consent.Given)
}

func (r *record) decide(t *testing.T, purpose consent.Purpose, c consent.Choice) {
	t.Helper()
	if err := r.consents().Decide(t.Context(), r.self(), "", consent.Act{Purpose: purpose, Version: 1, Choice: c}); err != nil {
		t.Fatal(err)
	}
}

// letIn lets a caregiver see all that can be shared.
func (r *record) letIn(t *testing.T, name string) account.Actor {
	t.Helper()
	g, err := r.caregivers().LetIn(t.Context(), r.self(), "", consent.LetIn{Name: name, Scopes: account.ScopesOf(account.ForCaregivers()...)})
	if err != nil {
		t.Fatal(err)
	}
	return caregiverOf(r, g)
}

// arrive commits readings that were measured and arrive now.
func (r *record) arrive(t *testing.T, records ...vital.Record) alerts.Result {
	t.Helper()
	now, err := r.work.Clock(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for i := range records {
		at := now.Add(time.Duration(i-len(records)) * time.Millisecond).Truncate(time.Microsecond)
		records[i].Reading.SentAt, records[i].Reading.MeasuredAt, records[i].Reading.ReceivedAt = at, at, now
	}
	return r.commit(t, records...)
}

// commit commits records by the database's clock.
func (r *record) commit(t *testing.T, records ...vital.Record) alerts.Result {
	t.Helper()
	res, err := r.work.Advance(t.Context(), alerts.Batch{Cursor: r.cursor, Lane: vital.Live, To: r.cursor.LiveSeq + 1, Records: records}, r.decider.Decide)
	if err != nil {
		t.Fatal(err)
	}
	r.cursor = res.Cursor
	r.decider.Committed()
	return res
}

// seen is all that an actor is shown of the record's patient: what a relative could compare from one day to the next.
type seen struct {
	Patients []string
	Latest   []alerts.Point
	Series   []alerts.Bucket
	Alerts   []alerts.Alert
	Open     []alerts.Alert
	Worklist []alerts.Alert
	Logs     [][]alerts.Entry
	Rules    int
	Log      []consent.Decision
	Grants   []consent.Grant
	Ending   []consent.EndingStep
}

func (r *record) see(t *testing.T, actor account.Actor) seen {
	t.Helper()
	ctx := t.Context()
	var s seen
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	people, err := r.app.Patients(ctx, actor, "", 0)
	must(err)
	for _, p := range people {
		s.Patients = append(s.Patients, string(p.UID))
	}
	s.Latest, err = r.app.Latest(ctx, actor, r.patient.UID)
	must(err)
	s.Series, err = r.app.Series(ctx, actor, alerts.SeriesQuery{Patient: r.patient.UID, Metric: vital.BloodPressure, From: since(), To: time.Now().Add(time.Hour)})
	must(err)
	s.Alerts, err = r.app.Alerts(ctx, actor, alerts.Filter{Patient: r.patient.UID})
	must(err)
	s.Open, err = r.app.Alerts(ctx, actor, alerts.Filter{Patient: r.patient.UID, States: []alerts.State{alerts.Open}})
	must(err)
	s.Worklist, err = r.app.Worklist(ctx, actor)
	must(err)
	for _, a := range s.Alerts {
		log, err := r.app.Log(ctx, actor, a.UID)
		must(err)
		s.Logs = append(s.Logs, log)
		one, err := r.app.Alert(ctx, actor, a.UID)
		must(err)
		if diff := cmp.Diff(a, one); diff != "" {
			t.Errorf("an alert alone is another than in the list (-list +alone):\n%s", diff)
		}
	}
	rules, err := r.app.Rules(ctx, actor, r.patient.UID)
	must(err)
	for _, rule := range rules {
		s.Rules += len(rule.Versions)
	}
	f, _, err := r.app.ConsentFile(ctx, actor, r.patient.UID)
	must(err)
	s.Log, s.Grants, s.Ending = f.Log, f.Grants, f.Steps
	return s
}

func TestReachIsTheSameFoldInSQL(t *testing.T) {
	t.Parallel()
	r := newRecord(t)
	conn, err := pgx.Connect(t.Context(), r.db.AdminURL())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close(context.WithoutCancel(t.Context())) }()
	start := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	n := 0
	rapid.Check(t, func(rt *rapid.T) {
		n++
		moment := rapid.Custom(func(rt *rapid.T) time.Time {
			return start.Add(time.Duration(rapid.IntRange(0, 500).Draw(rt, "day")) * 12 * time.Hour)
		})
		maybe := func(name string) *time.Time {
			if !rapid.Bool().Draw(rt, name) {
				return nil
			}
			at := moment.Draw(rt, name+" at")
			return &at
		}
		orElse := func(at *time.Time) time.Time {
			if at == nil {
				return time.Time{}
			}
			return *at
		}
		ctx := context.Background()
		must := func(err error) {
			if err != nil {
				rt.Fatal(err)
			}
		}
		var patient vital.PatientID
		var caregiver account.CaregiverID
		must(conn.QueryRow(ctx, `INSERT INTO patient (org_id, uid, name, sex, zone, created_at) VALUES (1, gen_random_uuid(), 'x', 'other', 'UTC', $1) RETURNING id`, start).Scan(&patient))
		must(conn.QueryRow(ctx, `INSERT INTO caregiver (org_id, uid, name, created_at) VALUES (1, gen_random_uuid(), 'y', $1) RETURNING id`, start).Scan(&caregiver))
		var log []consent.Decision
		for range rapid.IntRange(0, 6).Draw(rt, "decisions") {
			d := consent.Decision{
				Purpose: rapid.SampledFrom([]consent.Purpose{consent.ForSharing, consent.ForSharing, consent.ForCare}).Draw(rt, "purpose"), Version: 1,
				Choice: rapid.SampledFrom([]consent.Choice{consent.Given, consent.Given, consent.Refused, consent.Withdrawn}).Draw(rt, "choice"), DecidedAt: moment.Draw(rt, "decided"),
			}
			must(conn.QueryRow(ctx, `INSERT INTO consent_decision (org_id, uid, patient_id, purpose, version, language, choice, decided_by, through, recorded_by, decided_at, created_at)
				VALUES (1, gen_random_uuid(), $1, $2, 1, 'en', $3, 'self', 'own_session', 'x', $4, $4) RETURNING id`, int64(patient), string(d.Purpose), string(d.Choice), d.DecidedAt).Scan(&d.ID))
			log = append(log, d)
		}
		var grants []consent.Grant
		for range rapid.IntRange(0, 4).Draw(rt, "grants") {
			g := consent.Grant{
				Caregiver: caregiver, Guardian: rapid.Bool().Draw(rt, "guardian"), From: moment.Draw(rt, "from"),
				Scopes: account.ScopesOf(rapid.SliceOfN(rapid.SampledFrom(account.ForGuardians()), 1, 3).Draw(rt, "scopes")...),
			}
			to, suspended := maybe("to"), maybe("suspended")
			var confirmed *time.Time
			if g.Guardian {
				end := start.Add(time.Duration(rapid.IntRange(300, 500).Draw(rt, "end")) * 12 * time.Hour)
				to, confirmed = &end, maybe("confirmed")
			}
			if to != nil && to.Before(g.From) {
				to = &g.From
			}
			g.To, g.SuspendedAt, g.ConfirmedAt = orElse(to), orElse(suspended), orElse(confirmed)
			var document string
			var first, second *int64
			if g.Guardian {
				id := int64(r.nurse.Staff)
				document, first = "d", &id
			}
			if confirmed != nil {
				other := int64(r.nurse.Staff) + 1
				second = &other
			}
			must(func() error {
				_, err := conn.Exec(ctx, `SET session_replication_role = replica`) // the second person need not exist here
				if err != nil {
					return err
				}
				_, err = conn.Exec(ctx, `INSERT INTO caregiver_grant (org_id, patient_id, caregiver_id, guardian, scopes, from_at, to_at, suspended_at, confirmed_at, document, staff_id, confirmed_by)
					VALUES (1, $1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)`, int64(patient), int64(caregiver), g.Guardian, string(g.Scopes), g.From, to, suspended, confirmed, document, first, second)
				return err
			}())
			grants = append(grants, g)
		}
		edges := []time.Time{{}} // where something begins or ends; zero: anywhere
		for _, d := range log {
			edges = append(edges, d.DecidedAt, d.DecidedAt.Add(consent.AskAgainAfter+consent.AskGrace))
		}
		for _, g := range grants {
			edges = append(edges, g.From, g.To, g.ConfirmedAt, g.SuspendedAt)
		}
		for range 8 {
			at := rapid.SampledFrom(edges).Draw(rt, "edge")
			if at.IsZero() {
				at = moment.Draw(rt, "now")
			}
			at = at.Add(time.Duration(rapid.IntRange(-1, 1).Draw(rt, "beside")) * time.Microsecond)
			want := consent.WayOf(caregiver, grants, log, at)
			var got account.Relation
			tx, err := conn.Begin(ctx)
			must(err)
			_, err = tx.Exec(ctx, `SET LOCAL ROLE hale_app`)
			must(err)
			_, err = tx.Exec(ctx, `SELECT set_config('app.org', '1', true), set_config('app.view', 'caregiver', true), set_config('app.who', $1, true), set_config('app.now', $2, true)`,
				fmt.Sprint(int64(caregiver)), at.Format(time.RFC3339Nano))
			must(err)
			var shared string
			var frozen *time.Time
			err = tx.QueryRow(ctx, `SELECT m.shared, w.guardian, w.frozen_at FROM my_patients() m JOIN my_ways() w USING (patient_id) JOIN patient p ON p.id = m.patient_id WHERE m.patient_id = $1`, int64(patient)).
				Scan(&shared, &got.Guardian, &frozen)
			if err != nil && !errors.Is(err, pgx.ErrNoRows) {
				rt.Fatal(err)
			}
			must(tx.Rollback(ctx))
			got.Shared = account.ScopesOf(account.Scopes(shared).Actions()...)
			if frozen != nil {
				got.Frozen = frozen.UTC()
			}
			if diff := cmp.Diff(want, got); diff != "" {
				rt.Fatalf("at %s of %+v and %+v (-fold +SQL):\n%s", at, grants, log, diff)
			}
		}
	})
	if n == 0 {
		t.Error("nothing was tried")
	}
}

func TestWithdrawingSharingStopsReadsAndNoticesAtOnce(t *testing.T) {
	t.Parallel()
	r := newRecord(t)
	r.arrive(t, r.pressure(0, 190, 100))
	if _, err := r.caregivers().LetIn(t.Context(), r.self(), "", consent.LetIn{Name: "Eva", Scopes: account.ScopesOf(account.SeeReadings)}); !fault.Is(err, fault.Conflict) {
		t.Fatalf("let in without consent to sharing: %v", err)
	}
	r.agree(t, consent.ForSharing)
	eva := r.letIn(t, "Eva")
	p, err := r.app.Patient(t.Context(), eva, r.patient.UID)
	if err != nil || account.Allow(eva, account.SeeReadings, &p) != nil || account.Allow(eva, account.RecordConsent, &p) == nil {
		t.Fatalf("a caregiver reaches %+v, %v", p.Relation, err)
	}
	if got := r.see(t, eva); len(got.Latest) != 1 || len(got.Alerts) != 1 || len(got.Grants) != 0 {
		t.Fatalf("a caregiver sees %+v", got)
	}
	owe := func(dedup, purpose string) {
		t.Helper()
		r.exec(t, fmt.Sprintf(`INSERT INTO outbox (org_id, patient_id, topic, dedup, severity, created_at, audience, purpose)
			VALUES (%d, %d, 'x', '%s', 'red', clock_timestamp(), 'team', '%s')`, r.nurse.Org, r.patient.ID, dedup, purpose))
	}
	const told = `topic = 'access.given' AND audience = 'caregiver' AND dedup = (SELECT uid::text FROM caregiver_grant WHERE caregiver_id = outbox.caregiver_id)`
	if n := r.count(t, `SELECT count(*) FROM outbox WHERE cancelled_at IS NULL AND purpose = 'caregiver_sharing' AND `+told); n != 1 {
		t.Errorf("%d notices tell her that she was let in", n)
	}
	owe("for research", "research")
	owe("for the team", "care")
	r.decide(t, consent.ForSharing, consent.Withdrawn)
	if _, err := r.app.Patient(t.Context(), eva, r.patient.UID); !fault.Is(err, fault.NotFound) {
		t.Errorf("after the withdrawal a caregiver finds the patient: %v", err)
	}
	if list, err := r.app.Worklist(t.Context(), eva); err != nil || len(list) != 0 {
		t.Errorf("and alerts: %v, %v", list, err)
	}
	if heard, err := r.app.AlertsHeard(t.Context(), eva, []vital.UID{r.see(t, r.nurse).Alerts[0].UID}); err != nil || len(heard) != 0 {
		t.Errorf("and hears of them: %v, %v", heard, err)
	}
	if n := r.count(t, `SELECT count(*) FROM outbox WHERE cancelled_at IS NOT NULL AND cancelled_for = 'consent ended' AND `+told); n != 1 {
		t.Error("the notice for the caregiver still waits")
	}
	if n := r.count(t, `SELECT count(*) FROM outbox WHERE cancelled_at IS NOT NULL`); n != 1 {
		t.Errorf("%d notices were cancelled", n)
	}
	r.agree(t, consent.ForSharing)
	if _, err := r.app.Patient(t.Context(), eva, r.patient.UID); err != nil {
		t.Errorf("sharing is agreed to again: %v", err)
	}
	if err := r.caregivers().End(t.Context(), r.self(), "", eva.UID); err != nil {
		t.Fatal(err)
	}
	if _, err := r.app.Patient(t.Context(), eva, r.patient.UID); !fault.Is(err, fault.NotFound) {
		t.Errorf("whose grant was ended finds the patient: %v", err)
	}
}

func TestConsentsAreAskedForAgain(t *testing.T) {
	t.Parallel()
	r := newRecord(t)
	ctx := t.Context()
	r.agree(t, consent.ForCare)
	r.agree(t, consent.ForSharing)
	r.letIn(t, "Eva") // she is owed a notice, which lapses with the consent
	now, err := r.work.Clock(ctx)
	if err != nil {
		t.Fatal(err)
	}
	for _, step := range []struct {
		after            time.Duration
		asked, cancelled int
	}{
		{0, 0, 0}, {consent.AskAgainAfter - time.Hour, 0, 0}, {consent.AskAgainAfter + time.Hour, 4, 0}, {consent.AskAgainAfter + 2*time.Hour, 0, 0},
		{consent.AskAgainAfter + consent.AskGrace - time.Hour, 0, 0}, {consent.AskAgainAfter + consent.AskGrace + time.Hour, 0, 1},
	} {
		asked, cancelled, err := r.work.AskAgain(ctx, now.Add(step.after))
		if err != nil || asked != step.asked || cancelled != step.cancelled {
			t.Errorf("after %s: %d asked, %d cancelled, %v; want %d, %d", step.after, asked, cancelled, err, step.asked, step.cancelled)
		}
	}
	// A new text is asked about once, and by everybody who agreed to the older one.
	text, err := r.consents().AddText(ctx, r.nurse, consent.Text{Purpose: consent.ForCare, Language: "en", Body: "Other words."})
	if err != nil || text.Version != 2 {
		t.Fatalf("%+v, %v", text, err)
	}
	if _, err := r.consents().AddText(ctx, r.nurse, consent.Text{Purpose: consent.ForCare, Version: 2, Language: "en", Body: "Yet others."}); !fault.Is(err, fault.Conflict) {
		t.Errorf("a text was changed: %v", err)
	}
	if asked, _, err := r.work.AskAgain(ctx, now.Add(time.Hour)); err != nil || asked != 2 {
		t.Errorf("%d asked about the new text, %v", asked, err)
	}
	due, endings, err := r.consents().DueList(ctx, r.nurse)
	if err != nil || len(due) != 1 || due[0].Standing.Due != consent.DueText || due[0].Standing.Version != 1 || len(endings) != 0 {
		t.Errorf("due: %+v, %v, %v", due, endings, err)
	}
	for _, statement := range []string{`UPDATE consent_text SET body = 'x'`, `DELETE FROM consent_text`, `UPDATE consent_decision SET choice = 'given'`, `DELETE FROM consent_decision`, `UPDATE ending_step SET at = at`} {
		if got := r.asRole(t, "hale_app", "1", statement); got != "42501" {
			t.Errorf("%s: %q", statement, got)
		}
	}
}

// TestWhetherAnybodySharesAlerts: the feed is for those with whom somebody does, and closes when nobody does any more. One whose view
// is frozen is not to notice it.
func TestWhetherAnybodySharesAlerts(t *testing.T) {
	t.Parallel()
	r := newRecord(t)
	hears := func(what string, who account.Actor, want bool) {
		t.Helper()
		if got, err := r.app.HearsAny(t.Context(), who); err != nil || got != want {
			t.Errorf("%s: %v %v, want %v", what, got, err, want)
		}
	}
	r.agree(t, consent.ForSharing)
	son := r.letIn(t, "Son")
	g, err := r.caregivers().LetIn(t.Context(), r.self(), "", consent.LetIn{Name: "Eva", Scopes: account.ScopesOf(account.SeeReadings)})
	if err != nil {
		t.Fatal(err)
	}
	hears("a son who may see alerts", son, true)
	hears("a friend who may see readings only", caregiverOf(r, g), false)
	if err := r.caregivers().Suspend(t.Context(), r.self(), "", son.UID, true); err != nil {
		t.Fatal(err)
	}
	hears("a son whose view is frozen", son, true)
	r.decide(t, consent.ForSharing, consent.Withdrawn)
	hears("a son after the withdrawal", son, false)
}

// TestAFrozenRelativeIsToldOfNoAccess changes what a frozen relative may see: a notice would tell that something had happened.
func TestAFrozenRelativeIsToldOfNoAccess(t *testing.T) {
	t.Parallel()
	r := newRecord(t)
	r.agree(t, consent.ForSharing)
	eva := r.letIn(t, "Eva")
	told := func() int {
		return r.count(t, `SELECT count(*) FROM outbox WHERE topic = 'access.given' AND caregiver_id = $1`, int64(eva.Caregiver))
	}
	who := caregiverUID(t, r, eva)
	change := func(scopes ...account.Action) {
		t.Helper()
		if _, err := r.caregivers().LetIn(t.Context(), r.self(), "", consent.LetIn{Who: who, Scopes: account.ScopesOf(scopes...)}); err != nil {
			t.Fatal(err)
		}
	}
	change(account.SeePatients)
	if n := told(); n != 2 {
		t.Fatalf("while she is not frozen she is told %d times of two", n)
	}
	if err := r.caregivers().Suspend(t.Context(), r.self(), "", who, true); err != nil {
		t.Fatal(err)
	}
	change(account.SeePatients, account.SeeReadings)
	if n := told(); n != 2 {
		t.Errorf("frozen she was told %d times more", n-2)
	}
}
