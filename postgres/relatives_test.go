package postgres_test

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"

	"hale/account"
	"hale/account/consent"
	"hale/fault"
	"hale/safe"
	"hale/vital"
)

// relative is a guardian with a session of their own, whose number tells them from others of the same name.
func (r *record) relative(t *testing.T, name string, number int) account.Actor {
	t.Helper()
	g, err := r.caregivers().LetIn(t.Context(), r.nurse, r.patient.UID, consent.LetIn{
		Name: name, Guardian: true, Scopes: account.ScopesOf(account.ForGuardians()...), Document: "court 12/26", Reason: "seen", To: time.Now().Add(24 * time.Hour),
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := r.caregivers().Confirm(t.Context(), r.staff(t, "Home", fmt.Sprintf("second%d", number)), r.patient.UID, g.Who); err != nil {
		t.Fatal(err)
	}
	who := caregiverOf(r, g)
	who.Session = vital.UID(fmt.Sprintf("0192aaaa-0000-7000-8000-0000000000%02d", number))
	r.exec(t, fmt.Sprintf(`INSERT INTO session (org_id, uid, caregiver_id, token_hash, device_hash, csrf, created_at, seen_at, expires_at)
		VALUES (%d, '%s', %d, decode(repeat('%02d', 32), 'hex'), decode(repeat('cd', 32), 'hex'), 'x', now(), now(), now() + interval '1 hour')`, who.Org, who.Session, who.Caregiver, number))
	return who
}

// TestARelativeSeesWhatTheyAndThePatientDidAndTakesBackTheirOwnOnly with two relatives of one name.
func TestARelativeSeesWhatTheyAndThePatientDidAndTakesBackTheirOwnOnly(t *testing.T) {
	t.Parallel()
	r := newRecord(t)
	father, son := r.relative(t, "Bo Twin", 11), r.relative(t, "Bo Twin", 12)
	s, self := r.safeOf()
	ctx := t.Context()
	looks := &account.Looks{Log: r.app, Now: time.Now}
	wish := safe.Correction{Kind: safe.WrongName, Wish: "I am Ana"}
	asked, links := map[account.CaregiverID]vital.UID{}, map[account.CaregiverID]vital.UID{}
	for who, actor := range map[account.CaregiverID]account.Actor{0: self, father.Caregiver: father, son.Caregiver: son} {
		c, err := s.Corrections.Ask(ctx, actor, r.patient.UID, wish)
		if err != nil {
			t.Fatalf("%s asks: %v", actor.Name, err)
		}
		link, secret, err := s.Shares.Make(ctx, actor, r.patient.UID, safe.ShareSheet, time.Hour, 9)
		if err != nil {
			t.Fatal(err)
		}
		if _, _, err := s.Shares.Open(ctx, secret, netip.MustParseAddr("203.0.113.9")); err != nil {
			t.Fatal(err)
		}
		if err := looks.Saw(ctx, actor, fmt.Sprintf("page %d", who), "", r.patient.ID); err != nil {
			t.Fatal(err)
		}
		asked[who], links[who] = c.UID, link.UID
	}
	_, visits, _, err := s.Looks.List(ctx, father, r.patient.UID, safe.LookFilter{})
	if err != nil {
		t.Fatal(err)
	}
	trail := fmt.Sprintf("%+v", visits)
	_, wishes, err := s.Corrections.Of(ctx, father, r.patient.UID)
	if err != nil {
		t.Fatal(err)
	}
	_, shares, err := s.Shares.List(ctx, father, r.patient.UID)
	if err != nil {
		t.Fatal(err)
	}
	seen := map[string]string{"trail": trail, "corrections": fmt.Sprintf("%+v", wishes), "links": fmt.Sprintf("%+v", shares)}
	for name, text := range copyOf(t, s, father, r.patient.UID) {
		if name == "looks.csv" || strings.HasPrefix(name, "tables/") {
			seen["copy"] += text
		}
	}
	for name, where := range map[string][]vital.UID{"trail": {asked[0], links[0]}, "corrections": {asked[0]}, "links": {links[0]}, "copy": {asked[0], links[0]}} {
		for _, uid := range where {
			if !strings.Contains(seen[name], string(uid)) {
				t.Errorf("what the patient made is not in his %s: %s", name, seen[name])
			}
		}
	}
	for name, text := range seen {
		for _, uid := range []vital.UID{asked[son.Caregiver], links[son.Caregiver], son.Session} {
			if strings.Contains(text, string(uid)) {
				t.Errorf("what another relative of the same name did is in his %s: %s", name, text)
			}
		}
		mine := asked[father.Caregiver]
		if name == "links" {
			mine = links[father.Caregiver]
		}
		if !strings.Contains(text, string(mine)) {
			t.Errorf("what he did himself is not in his %s: %s", name, text)
		}
	}
	if !strings.Contains(trail, fmt.Sprintf("Object:page %d", father.Caregiver)) || !strings.Contains(trail, "Object:page 0") {
		t.Errorf("his trail lacks his own look, or the patient's: %s", trail)
	}
	for whose, want := range map[account.CaregiverID]fault.Kind{0: fault.Forbidden, son.Caregiver: fault.NotFound} {
		if _, err := s.Corrections.Withdraw(ctx, father, asked[whose]); !fault.Is(err, want) {
			t.Errorf("he takes back what %d asked: %v", whose, err)
		}
		if err := s.Shares.End(ctx, father, links[whose]); !fault.Is(err, want) {
			t.Errorf("he ends the link of %d: %v", whose, err)
		}
	}
	for _, statement := range []string{`UPDATE correction SET state = 'withdrawn', decided_at = now() WHERE asked_by IS NULL`, `UPDATE share SET ended_at = now() WHERE caregiver_id IS NULL`} {
		if got := r.inView(t, "caregiver", int64(father.Caregiver), statement); got != "42501" {
			t.Errorf("row level security alone lets him: %q", got)
		}
	}
	for actor, whose := range map[*account.Actor]account.CaregiverID{&father: father.Caregiver, &self: son.Caregiver} {
		if _, err := s.Corrections.Withdraw(ctx, *actor, asked[whose]); err != nil {
			t.Error(err)
		}
		if err := s.Shares.End(ctx, *actor, links[whose]); err != nil {
			t.Error(err)
		}
	}
}

// TestOfTwoRelativesOfOneNameTheFrozenOneSeesNothingThatTheOtherDid, also where a row of before names nobody's session.
func TestOfTwoRelativesOfOneNameTheFrozenOneSeesNothingThatTheOtherDid(t *testing.T) {
	t.Parallel()
	r := newRecord(t)
	father := r.relative(t, "Ana Twin", 11)
	s, self := r.safeOf()
	looks := &account.Looks{Log: r.app, Now: time.Now}
	saw := func(who account.Actor, what string) {
		t.Helper()
		if err := looks.Saw(t.Context(), who, what, "", r.patient.ID); err != nil {
			t.Fatal(err)
		}
	}
	reads := func() string {
		t.Helper()
		_, visits, _, err := s.Looks.List(t.Context(), father, r.patient.UID, safe.LookFilter{})
		if err != nil {
			t.Fatal(err)
		}
		return fmt.Sprintf("%+v", visits)
	}
	old := father
	old.Session = ""
	saw(old, "before sessions")
	if said := reads(); !strings.Contains(said, "before sessions") {
		t.Errorf("what only he can have done is not in his trail: %s", said)
	}
	son := r.relative(t, "Ana Twin", 12)
	if err := r.caregivers().Suspend(t.Context(), self, "", caregiverUID(t, r, father), true); err != nil {
		t.Fatal(err)
	}
	saw(son, "the son's look")
	saw(father, "the father's look")
	said := reads()
	for what, want := range map[string]bool{"the son's look": false, "the father's look": true, "before sessions": false} {
		if strings.Contains(said, what) != want {
			t.Errorf("%q in his trail is %v: %s", what, !want, said)
		}
	}
}

// TestARelativeWritesInTheirOwnNameOnly tries it with nothing but row level security before it.
func TestARelativeWritesInTheirOwnNameOnly(t *testing.T) {
	t.Parallel()
	r := newRecord(t)
	father, son := r.relative(t, "Bo Twin", 11), r.relative(t, "Bo Twin", 12)
	own := fmt.Sprint(father.Caregiver)
	for whose, want := range map[string]string{own: "", fmt.Sprint(son.Caregiver): "42501", "NULL": "42501"} { // NULL: the patient
		for table, statement := range map[string]string{
			"correction": `INSERT INTO correction (org_id, uid, patient_id, kind, wish, asked_name, asked_role, asked_at, asked_by)
				VALUES (%d, gen_random_uuid(), %d, 'name', 'I am Ana', 'Bo Twin', 'guardian', now(), %s)`,
			"share": `INSERT INTO share (org_id, uid, patient_id, what, secret_hash, made_name, made_role, created_at, expires_at, opens_most, caregiver_id)
				VALUES (%d, gen_random_uuid(), %d, 'sheet', sha256(gen_random_uuid()::text::bytea), 'Bo Twin', 'guardian', now(), now() + interval '1 hour', 1, %s)`,
		} {
			if got := r.inView(t, "caregiver", int64(father.Caregiver), fmt.Sprintf(statement, r.patient.Org, r.patient.ID, whose)); got != want {
				t.Errorf("caregiver %s writes a %s in the name of %s: %q, want %q", own, table, whose, got, want)
			}
		}
	}
}

// TestARelativeDoesNotReadWhereOthersLookedAtWhatIsNotForThem: a list that the trail names tells that there is something in it.
func TestARelativeDoesNotReadWhereOthersLookedAtWhatIsNotForThem(t *testing.T) {
	t.Parallel()
	r := newRecord(t)
	father := r.relative(t, "Bo Twin", 11)
	s, self := r.safeOf()
	looks := &account.Looks{Log: r.app, Now: time.Now}
	objects := map[string]bool{"sheet": true, "corrections": true}
	for _, object := range []string{"private items", "caregivers", "codes", "sessions", "erasures", "refiles", "merges", "doubles", "shares"} {
		objects[object] = false
	}
	for object := range objects {
		if err := looks.Saw(t.Context(), r.nurse, object, "", r.patient.ID); err != nil {
			t.Fatal(err)
		}
	}
	reads := func(who account.Actor) string {
		t.Helper()
		_, visits, _, err := s.Looks.List(t.Context(), who, r.patient.UID, safe.LookFilter{})
		if err != nil {
			t.Fatal(err)
		}
		return fmt.Sprintf("%+v", visits)
	}
	his, hers := reads(father), reads(self)
	for object, forHim := range objects {
		if row := "Object:" + object + " "; strings.Contains(his, row) != forHim || !strings.Contains(hers, row) {
			t.Errorf("that somebody looked at %q is in a relative's trail: %v, want %v, and always in the patient's: %s, %s", object, !forHim, forHim, his, hers)
		}
	}
}
