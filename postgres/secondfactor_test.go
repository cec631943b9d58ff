package postgres_test

import (
	"context"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5"

	"hale/account"
	"hale/fault"
	"hale/postgres"
	"hale/vital"
)

// acts returns the audit trail of the acts of signing in and of operators, in order.
func (r *record) acts(t *testing.T) []string {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), r.db.AdminURL())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close(context.WithoutCancel(t.Context())) }()
	rows, err := conn.Query(t.Context(), `SELECT actor_name || ': ' || action FROM audit
		WHERE action LIKE '%second factor%' OR action LIKE '%recovery%' OR action LIKE '%sessions' OR action LIKE '%lock%' ORDER BY id`)
	if err != nil {
		t.Fatal(err)
	}
	all, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		t.Fatal(err)
	}
	return all
}

func TestASecondFactorInTheRecord(t *testing.T) {
	t.Parallel()
	r := newRecord(t)
	ctx := t.Context()
	hash := func(b byte) []byte { h := make([]byte, 32); h[0] = b; return h }
	stranger := r.staff(t, "Elsewhere", "eva")
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	wants := func(what string, got, want bool, err error) {
		t.Helper()
		if err != nil || got != want {
			t.Errorf("%s: %v, %v; want %v", what, got, err, want)
		}
	}
	must(r.app.OfferFactor(ctx, r.nurse, []byte("first")))
	must(r.app.OfferFactor(ctx, r.nurse, []byte("second")))
	here, elsewhere := account.Session{UID: newSessionUID(1), Actor: r.nurse}, account.Session{UID: newSessionUID(2), Actor: r.nurse}
	for i, s := range []*account.Session{&here, &elsewhere} {
		s.CreatedAt, s.ExpiresAt = time.Now().UTC(), time.Now().UTC().Add(time.Hour)
		must(r.app.OpenSession(ctx, hash(byte(100+i)), *s))
	}
	r.nurse.Session = here.UID
	if _, err := r.app.ConfirmFactor(ctx, r.nurse, []byte("first"), 10, [][]byte{hash(1)}); !fault.Is(err, fault.Conflict) {
		t.Errorf("a secret that was replaced is confirmed: %v", err)
	}
	taken, err := r.app.UseStep(ctx, r.nurse, 5)
	wants("a code of what is not on", taken, false, err)
	ended, err := r.app.ConfirmFactor(ctx, r.nurse, []byte("second"), 10, [][]byte{hash(1), hash(2)})
	must(err)
	if !slices.Equal(ended, []vital.UID{elsewhere.UID}) {
		t.Errorf("of the sessions that were opened without it, %v ended", ended)
	}
	if err := r.app.OfferFactor(ctx, r.nurse, []byte("third")); !fault.Is(err, fault.Conflict) {
		t.Errorf("one that is on is replaced: %v", err)
	}
	for _, c := range []struct {
		step int64
		want bool
	}{{10, false}, {11, true}, {11, false}, {9, false}, {12, true}} {
		taken, err := r.app.UseStep(ctx, r.nurse, c.step)
		wants("step", taken, c.want, err)
	}
	foreign := r.nurse
	foreign.Org = stranger.Org
	taken, err = r.app.UseRecovery(ctx, foreign, hash(1))
	wants("a recovery code from another organisation", taken, false, err)
	for _, want := range []bool{true, false} {
		taken, err = r.app.UseRecovery(ctx, r.nurse, hash(1))
		wants("a recovery code", taken, want, err)
	}
	sealed, state, err := r.app.Factor(ctx, r.nurse)
	if diff := cmp.Diff(account.SecondFactor{On: true, Codes: 1}, state); err != nil || diff != "" || string(sealed) != "second" {
		t.Errorf("%v %s", err, diff)
	}
	if sealed, state, err := r.app.Factor(ctx, foreign); err != nil || sealed != nil || state.On {
		t.Errorf("another organisation sees %q %+v %v", sealed, state, err)
	}
	must(r.app.RemoveFactor(ctx, r.nurse))
	if n := r.count(t, `SELECT count(*) FROM recovery_code`); n != 0 {
		t.Errorf("%d recovery codes are left", n)
	}
	want := []string{"Nurse ana: turn second factor on", "Nurse ana: use recovery code", "Nurse ana: turn second factor off"}
	if diff := cmp.Diff(want, r.acts(t)); diff != "" {
		t.Error(diff)
	}
}

func TestALoginIsLockedUntilTimeOrTheOperatorEndsIt(t *testing.T) {
	t.Parallel()
	r := newRecord(t)
	ctx := t.Context()
	start := time.Date(2026, 5, 1, 12, 0, 0, 0, time.UTC)
	fail := func(login string, who account.Actor, at time.Time) time.Time {
		t.Helper()
		if err := r.app.Failed(ctx, login, who, at, at.Add(-24*time.Hour), 3, at.Add(15*time.Minute)); err != nil {
			t.Fatal(err)
		}
		until, err := r.app.Locked(ctx, login, at)
		if err != nil {
			t.Fatal(err)
		}
		return until
	}
	for _, who := range []struct {
		login string
		actor account.Actor
	}{{"ana", r.nurse}, {"nobody", account.Actor{}}} {
		at := start
		for i := range 3 {
			at = at.Add(time.Minute)
			want := time.Time{}
			if i == 2 {
				want = at.Add(15 * time.Minute)
			}
			if got := fail(who.login, who.actor, at); !got.Equal(want) {
				t.Errorf("%s: after %d failures locked until %s, want %s", who.login, i+1, got, want)
			}
		}
		after := at.Add(15 * time.Minute)
		if until, err := r.app.Locked(ctx, who.login, after); err != nil || !until.IsZero() {
			t.Errorf("%s: the lock does not end: %s, %v", who.login, until, err)
		}
		if got := fail(who.login, who.actor, after); !got.IsZero() {
			t.Errorf("%s: the first failure after a lock locks again", who.login)
		}
		fail(who.login, who.actor, after)
		if got := fail(who.login, who.actor, after.Add(25*time.Hour)); !got.IsZero() {
			t.Errorf("%s: failures of the day before count", who.login)
		}
	}
	late := start.Add(48 * time.Hour)
	fail("ana", r.nurse, late)
	if err := r.app.Forget(ctx, "ana"); err != nil {
		t.Fatal(err)
	}
	for range 3 {
		fail("ana", r.nurse, late)
	}
	o := postgres.Operator{AdminURL: r.db.AdminURL()}
	for _, want := range []bool{true, false} {
		if was, err := o.Unlock(ctx, "ana"); err != nil || was != want {
			t.Errorf("unlock: %v, %v", was, err)
		}
	}
	if until, err := r.app.Locked(ctx, "ana", late); err != nil || !until.IsZero() {
		t.Errorf("still locked until %s, %v", until, err)
	}
	want := []string{"hale: lock login", "hale: lock login", "operator: unlock login", "operator: unlock login"}
	if diff := cmp.Diff(want, r.acts(t)); diff != "" {
		t.Error(diff)
	}
	for range 3 {
		fail("ana", r.nurse, late)
	}
	r.staff(t, "Home", "ana") // a new password
	if until, err := r.app.Locked(ctx, "ana", late); err != nil || !until.IsZero() {
		t.Errorf("locked in spite of a new password until %s, %v", until, err)
	}
	if got := r.asRole(t, "hale_app", "1", `SELECT count(*) FROM sign_in_failure`); got != "42501" {
		t.Errorf("hale_app reads what was tried: SQLSTATE %q", got)
	}
}

func TestTheOperatorListsAndEndsSessionsAndResetsASecondFactor(t *testing.T) {
	t.Parallel()
	r := newRecord(t)
	ctx := t.Context()
	o := postgres.Operator{AdminURL: r.db.AdminURL()}
	now := time.Now().UTC()
	open := func(b byte) {
		t.Helper()
		hash := make([]byte, 32)
		hash[0] = b
		s := account.Session{Actor: r.nurse, CSRF: "c", CreatedAt: now.Add(time.Duration(b) * time.Second), ExpiresAt: now.Add(time.Hour)}
		if err := r.app.OpenSession(ctx, hash, s); err != nil {
			t.Fatal(err)
		}
	}
	left := func() (list []postgres.OpenSession) {
		t.Helper()
		list, err := o.Sessions(ctx, "ana")
		if err != nil {
			t.Fatal(err)
		}
		return list
	}
	for b := range byte(3) {
		open(b)
	}
	list := left()
	if len(list) != 3 || !list[0].OpenedAt.After(list[1].OpenedAt) || !list[0].EndsAt.After(now) {
		t.Fatalf("sessions %+v", list)
	}
	if _, err := o.EndSessions(ctx, "ana", "0192"); !fault.Is(err, fault.NotFound) || len(left()) != 3 {
		t.Errorf("an unknown session: %v", err)
	}
	if n, err := o.EndSessions(ctx, "ana", list[1].UID); err != nil || n != 1 || len(left()) != 2 {
		t.Errorf("one: %d, %v", n, err)
	}
	hash := make([]byte, 32)
	hash[0] = 1
	if _, err := r.app.Session(ctx, hash, nil, now); !fault.Is(err, fault.Unauthenticated) {
		t.Errorf("the session that was ended: %v", err)
	}
	if n, err := o.EndSessions(ctx, "ana", ""); err != nil || n != 2 || len(left()) != 0 {
		t.Errorf("all: %d, %v", n, err)
	}
	open(9)
	if err := r.app.OfferFactor(ctx, r.nurse, []byte("s")); err != nil {
		t.Fatal(err)
	}
	for _, want := range []bool{true, false} {
		if was, err := o.ResetSecondFactor(ctx, "ana"); err != nil || was != want || len(left()) != 0 {
			t.Errorf("reset: %v, %v", was, err)
		}
	}
	if _, err := o.Unlock(ctx, "nobody"); !fault.Is(err, fault.NotFound) {
		t.Errorf("nobody: %v", err)
	}
	counts := map[string]int{}
	for _, act := range r.acts(t) {
		counts[act]++
	}
	want := map[string]int{"operator: list sessions": 6, "operator: end sessions": 2, "operator: reset second factor": 2}
	if diff := cmp.Diff(want, counts); diff != "" {
		t.Error(diff)
	}
}

func newSessionUID(n int) vital.UID {
	return vital.UID(fmt.Sprintf("0198c0de-0000-7000-8000-%012d", n))
}
