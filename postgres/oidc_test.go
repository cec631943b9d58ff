package postgres_test

import (
	"crypto/sha256"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"hale/account"
	"hale/fault"
	"hale/postgres"
	"hale/vital"
)

const issuer = "https://login.example.org"

// vouched is what the provider says of a nurse.
func vouched(subject string) account.Admission {
	return account.Admission{
		Identity: account.Identity{Issuer: issuer, Subject: subject}, Organisation: "Home", Name: "Nina Outside", Role: account.Nurse,
		Sitting: "sitting-" + subject, Hint: []byte("sealed"), VouchedAt: time.Now(),
	}
}

// fresh returns a session that is not stored yet, and the hash of its token.
func fresh(who account.Actor) ([]byte, account.Session) {
	now := time.Now().UTC()
	uid := vital.UID(uuid.NewString())
	who.Session = uid
	hash := sha256.Sum256([]byte(uid))
	return hash[:], account.Session{UID: uid, Actor: who, CSRF: "c", CreatedAt: now, SeenAt: now, ExpiresAt: now.Add(time.Hour)}
}

// admit lets somebody in, and returns what was opened and the hash of its token.
func (r *record) admit(t *testing.T, a account.Admission) (account.Session, []byte) {
	t.Helper()
	hash, s := fresh(account.Actor{})
	s, _, err := r.app.Admit(t.Context(), a, hash, s)
	if err != nil {
		t.Fatal(err)
	}
	return s, hash
}

// open reports whether the session of a token goes on.
func (r *record) open(t *testing.T, hash []byte) bool {
	t.Helper()
	_, err := r.app.Session(t.Context(), hash, nil, time.Now())
	if err != nil && !fault.Is(err, fault.Unauthenticated) {
		t.Fatal(err)
	}
	return err == nil
}

// column runs a query that returns texts, as an administrator.
func (r *record) column(t *testing.T, sql string, args ...any) []string {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), r.db.AdminURL())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close(t.Context()) }()
	rows, err := conn.Query(t.Context(), sql, args...)
	if err != nil {
		t.Fatal(err)
	}
	list, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		t.Fatal(err)
	}
	return list
}

// teamsOf are the care teams that somebody is in now.
func (r *record) teamsOf(t *testing.T, who account.Actor) string {
	t.Helper()
	return strings.Join(r.column(t, `SELECT t.name FROM team_member m JOIN team t ON t.id = m.team_id WHERE m.staff_id = $1 AND (m.to_at IS NULL OR m.to_at > now()) ORDER BY 1`, int64(who.Staff)), ",")
}

func TestAPersonIsMadeOnceAndFollowsTheProvider(t *testing.T) {
	t.Parallel()
	r := newRecord(t)
	first, hash := r.admit(t, vouched("nina"))
	seen, err := r.app.Session(t.Context(), hash, nil, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	if seen.Actor.Name != "Nina Outside" || seen.Actor.Role != account.Nurse || seen.Actor.Org != r.nurse.Org || seen.UID != first.UID || seen.Actor.Staff != first.Actor.Staff {
		t.Errorf("%+v", seen)
	}
	if got := r.teamsOf(t, first.Actor); got != "Home care" {
		t.Errorf("without a word about teams they are in %q", got)
	}
	again := vouched("nina")
	again.Name, again.Role = "Nina Married", account.Physician
	second, _ := r.admit(t, again)
	if second.Actor.Staff != first.Actor.Staff || second.Actor.UID != first.Actor.UID || second.UID == first.UID {
		t.Errorf("%+v after %+v", second, first)
	}
	if seen, err := r.app.Session(t.Context(), hash, nil, time.Now()); err != nil || seen.Actor.Role != account.Physician || seen.Actor.Name != "Nina Married" {
		t.Errorf("the first session has %+v, %v", seen.Actor, err)
	}
	other, _ := r.admit(t, vouched("somebody else of the same name"))
	if other.Actor.Staff == first.Actor.Staff {
		t.Error("two subjects are one person")
	}
	elsewhere := vouched("nina")
	elsewhere.Identity.Issuer = "https://other.example.org"
	if s, _ := r.admit(t, elsewhere); s.Actor.Staff == first.Actor.Staff {
		t.Error("the subject of another issuer is the same person")
	}
	if _, _, err := r.app.Login(t.Context(), r.column(t, `SELECT login FROM staff WHERE id = $1`, int64(first.Actor.Staff))[0]); !fault.Is(err, fault.NotFound) {
		t.Errorf("they can sign in with a login: %v", err)
	}
	audit := r.column(t, `SELECT action || ': ' || detail FROM audit WHERE object = $1 ORDER BY id`, "staff "+string(first.Actor.UID))
	if diff := cmp.Diff([]string{"add staff: by the identity provider: nurse", "change staff: by the identity provider: name, role nurse to physician"}, audit); diff != "" {
		t.Error(diff)
	}
	if got := r.column(t, `SELECT count(*)::text FROM audit WHERE action = 'sign in' AND actor_id = $1 AND detail = 'by the identity provider'`, int64(first.Actor.Staff)); got[0] != "2" {
		t.Errorf("%s sign-ins are written down, want 2", got[0])
	}
}

func TestManyFirstSignInsAtOnceMakeOnePerson(t *testing.T) {
	t.Parallel()
	r := newRecord(t)
	staff := make([]account.StaffID, 6)
	var wait sync.WaitGroup
	for i := range staff {
		wait.Go(func() {
			hash, s := fresh(account.Actor{})
			s, _, err := r.app.Admit(t.Context(), vouched("nina"), hash, s)
			if err != nil {
				t.Error(err)
			}
			staff[i] = s.Actor.Staff
		})
	}
	wait.Wait()
	for _, id := range staff {
		if id != staff[0] || id == 0 {
			t.Errorf("people %v", staff)
		}
	}
}

func TestCareTeamsFollowTheProvider(t *testing.T) {
	t.Parallel()
	r := newRecord(t)
	r.column(t, `INSERT INTO team (org_id, uid, name, created_at) SELECT $1, gen_random_uuid(), n, now() FROM unnest(ARRAY['Day', 'Night', 'Own']) n RETURNING name`, int32(r.nurse.Org))
	say := func(teams ...string) account.Admission {
		a := vouched("nina")
		a.Teams, a.Decided = teams, []string{"Day", "Night"}
		return a
	}
	s, _ := r.admit(t, say("Day"))
	r.column(t, `INSERT INTO team_member (org_id, team_id, staff_id, from_at) SELECT org_id, id, $1, now() FROM team WHERE name = 'Own' RETURNING team_id::text`, int64(s.Actor.Staff))
	for _, step := range []struct {
		say  []string
		want string
	}{
		{[]string{"Day"}, "Day,Own"},
		{[]string{"Night"}, "Night,Own"}, // left one, joined the other; what the provider does not decide stays
		{[]string{"Day", "Night"}, "Day,Night,Own"},
		{nil, "Own"},
	} {
		r.admit(t, say(step.say...))
		if got := r.teamsOf(t, s.Actor); got != step.want {
			t.Errorf("after %v they are in %s, want %s", step.say, got, step.want)
		}
	}
	periods := r.column(t, `SELECT t.name FROM team_member m JOIN team t ON t.id = m.team_id WHERE m.staff_id = $1 AND m.to_at IS NOT NULL ORDER BY m.id`, int64(s.Actor.Staff))
	if diff := cmp.Diff([]string{"Day", "Night", "Day"}, periods); diff != "" {
		t.Errorf("periods that have ended: %s", diff)
	}
	audit := r.column(t, `SELECT action FROM audit WHERE object = $1 AND action LIKE '% care team' ORDER BY id`, "staff "+string(s.Actor.UID))
	want := []string{"join care team", "leave care team", "join care team", "join care team", "leave care team", "leave care team"}
	if diff := cmp.Diff(want, audit); diff != "" {
		t.Error(diff)
	}
}

func TestWhomTheRecordDoesNotAdmit(t *testing.T) {
	t.Parallel()
	r := newRecord(t)
	s, hash := r.admit(t, vouched("nina"))
	try := func(a account.Admission) error {
		token, made := fresh(account.Actor{})
		_, _, err := r.app.Admit(t.Context(), a, token, made)
		if r.open(t, token) {
			t.Error("a session was opened")
		}
		return err
	}
	nowhere, team := vouched("nina"), vouched("nina")
	nowhere.Organisation, team.Teams = "Nowhere", []string{"Nowhere"}
	for name, a := range map[string]account.Admission{"an organisation": nowhere, "a team": team} {
		if err := try(a); !fault.Is(err, fault.Forbidden) || !strings.Contains(fault.MessageOf(err), "ask the administrator") {
			t.Errorf("%s that is not there: %v", name, err)
		}
	}
	ended, err := r.app.Refuse(t.Context(), vouched("nina").Identity, "no role any more")
	if err != nil || len(ended) != 1 || ended[0] != s.UID || r.open(t, hash) {
		t.Errorf("refused: %v, %v, open %v", ended, err, r.open(t, hash))
	}
	if ended, err := r.app.Refuse(t.Context(), vouched("nina").Identity, "no role any more"); err != nil || len(ended) != 0 {
		t.Errorf("refused again: %v, %v", ended, err)
	}
	if ended, err := r.app.Refuse(t.Context(), vouched("a stranger").Identity, "no role"); err != nil || len(ended) != 0 {
		t.Errorf("a stranger is refused: %v, %v", ended, err)
	}
	if got := r.column(t, `SELECT detail FROM audit WHERE action = 'refuse sign-in'`); len(got) != 1 || got[0] != "1 sessions ended: no role any more" {
		t.Errorf("written down: %v", got)
	}
	r.column(t, `UPDATE staff SET disabled_at = now() WHERE id = $1 RETURNING login`, int64(s.Actor.Staff))
	if err := try(vouched("nina")); !fault.Is(err, fault.Forbidden) || !strings.Contains(fault.MessageOf(err), "closed") {
		t.Errorf("disabled: %v", err)
	}
}

func TestWhoMovesToAnotherOrganisationLeavesTheFirst(t *testing.T) {
	t.Parallel()
	r := newRecord(t)
	r.staff(t, "Elsewhere", "eva")
	at, hash := r.admit(t, vouched("nina"))
	move := vouched("nina")
	move.Organisation = "Elsewhere"
	token, made := fresh(account.Actor{})
	s, ended, err := r.app.Admit(t.Context(), move, token, made)
	if err != nil || s.Actor.Org == at.Actor.Org || s.Actor.Staff == at.Actor.Staff {
		t.Fatalf("%+v, %v", s.Actor, err)
	}
	if diff := cmp.Diff([]vital.UID{at.UID}, ended); diff != "" || r.open(t, hash) || !r.open(t, token) {
		t.Errorf("ended: %s", diff)
	}
}

// word is a provider's word that somebody has signed out.
func word(name, subject, sitting string, at time.Time) account.SignedOut {
	hash := sha256.Sum256([]byte(name))
	return account.SignedOut{Issuer: issuer, Subject: subject, Sitting: sitting, Token: hash[:], At: at, Until: at.Add(2 * time.Minute)}
}

func TestTheProvidersWordEndsSessions(t *testing.T) {
	t.Parallel()
	r := newRecord(t)
	sit := func(subject, sitting string) (account.Session, []byte) {
		a := vouched(subject)
		a.Sitting = sitting
		return r.admit(t, a)
	}
	one, hash1 := sit("nina", "s1")
	_, hash2 := sit("nina", "s2")
	_, hash3 := sit("oto", "s3")
	local, made := fresh(r.nurse)
	if err := r.app.OpenSession(t.Context(), local, made); err != nil {
		t.Fatal(err)
	}
	check := func(what string, want ...bool) {
		t.Helper()
		var got []bool
		for _, hash := range [][]byte{hash1, hash2, hash3, local} {
			got = append(got, r.open(t, hash))
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s: %s", what, diff)
		}
	}
	end := func(w account.SignedOut) []vital.UID {
		t.Helper()
		ended, err := r.app.EndSignedOut(t.Context(), w)
		if err != nil {
			t.Fatal(err)
		}
		return ended
	}
	end(word("a", "somebody", "", time.Now()))
	end(word("b", "oto", "s1", time.Now()))
	check("a word about others", true, true, true, true)
	if ended := end(word("c", "nina", "s1", time.Now())); len(ended) != 1 || ended[0] != one.UID {
		t.Errorf("ended %v", ended)
	}
	check("a word about one session", false, true, true, true)
	if _, err := r.app.EndSignedOut(t.Context(), word("c", "nina", "", time.Now())); !fault.Is(err, fault.Conflict) {
		t.Errorf("the same word again: %v", err)
	}
	foreign := word("d", "nina", "", time.Now())
	foreign.Issuer = "https://other.example.org"
	end(foreign)
	check("the same word again, and another issuer's", false, true, true, true)
	end(word("e", "nina", "", time.Now().Add(-time.Second)))
	check("a word about somebody", false, false, true, true)
	if got := r.column(t, `SELECT actor_name || ': ' || object FROM audit WHERE action = 'end session' ORDER BY id`); len(got) != 2 || got[0] != "hale: session "+string(one.UID) {
		t.Errorf("written down: %v", got)
	}
	hint, ok, err := r.app.SignOutHint(t.Context(), one.Actor)
	if err != nil || !ok || string(hint) != "sealed" {
		t.Errorf("hint %q %v %v", hint, ok, err)
	}
	if _, ok, err := r.app.SignOutHint(t.Context(), made.Actor); err != nil || ok {
		t.Errorf("a session of a login has a hint: %v", err)
	}
}

func TestWhoHasSignedOutMeanwhileDoesNotComeIn(t *testing.T) {
	t.Parallel()
	r := newRecord(t)
	try := func(sitting string, vouchedAt time.Time) error {
		a := vouched("nina")
		a.Sitting, a.VouchedAt = sitting, vouchedAt
		hash, s := fresh(account.Actor{})
		_, _, err := r.app.Admit(t.Context(), a, hash, s)
		return err
	}
	now := time.Now()
	for _, w := range []account.SignedOut{word("a", "", "s1", now), word("b", "nina", "", now)} {
		if _, err := r.app.EndSignedOut(t.Context(), w); err != nil {
			t.Fatal(err)
		}
	}
	for name, c := range map[string]struct {
		sitting string
		at      time.Time
		in      bool
	}{
		"a session of theirs that has ended":       {"s1", now.Add(time.Minute), false},
		"vouched for before everything ended":      {"s2", now.Add(-time.Minute), false},
		"vouched for afterwards, in a new session": {"s2", now.Add(time.Second), true},
	} {
		if err := try(c.sitting, c.at); (err == nil) != c.in || err != nil && !fault.Is(err, fault.Unauthenticated) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestAFlowIsTakenOnceAndInTime(t *testing.T) {
	t.Parallel()
	r := newRecord(t)
	now := time.Now()
	hash := func(name string) []byte { h := sha256.Sum256([]byte(name)); return h[:] }
	for _, name := range []string{"a", "b"} {
		if err := r.app.BeginFlow(t.Context(), hash(name), "/"+name, now, now.Add(10*time.Minute)); err != nil {
			t.Fatal(err)
		}
	}
	if next, err := r.app.TakeFlow(t.Context(), hash("a"), now.Add(9*time.Minute)); err != nil || next != "/a" {
		t.Errorf("%q, %v", next, err)
	}
	for name, at := range map[string]time.Time{"a": now, "b": now.Add(10 * time.Minute), "c": now} {
		if _, err := r.app.TakeFlow(t.Context(), hash(name), at); !fault.Is(err, fault.NotFound) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if err := r.app.BeginFlow(t.Context(), hash("d"), "/", now.Add(time.Hour), now.Add(2*time.Hour)); err != nil {
		t.Fatal(err)
	}
	if left := r.column(t, `SELECT count(*)::text FROM sign_in_flow`); left[0] != "1" {
		t.Errorf("%s flows are kept", left[0])
	}
}

func TestTheApplicationReachesFlowsAndIdentitiesByItsFunctionsOnly(t *testing.T) {
	t.Parallel()
	r := newRecord(t)
	r.admit(t, vouched("nina"))
	for _, c := range []struct{ org, statement, want string }{
		{"1", "SELECT 1/count(*) FROM staff_identity", ""},
		{"2", "SELECT 1/count(*) FROM staff_identity", "22012"},
		{"2", "SELECT 1/count(*) FROM provider_session", "22012"},
		{"1", "SELECT * FROM sign_in_flow", "42501"},
		{"1", "DELETE FROM provider_sign_out", "42501"},
		{"1", "UPDATE staff_identity SET staff_id = 1", "42501"},
		{"1", "UPDATE staff SET password_hash = ''", "42501"},
		{"2", "INSERT INTO staff_identity (org_id, staff_id, issuer, subject, created_at) VALUES (1, 1, 'i', 's', now())", "42501"},
	} {
		if got := r.asRole(t, postgres.RoleApp, c.org, c.statement); got != c.want {
			t.Errorf("in organisation %s: %s: SQLSTATE %q, want %q", c.org, c.statement, got, c.want)
		}
	}
}
