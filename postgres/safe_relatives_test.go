package postgres_test

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"hale/account"
	"hale/account/consent"
	"hale/account/identity"
	"hale/alerts"
	"hale/fault"
	"hale/safe"
	"hale/vital"
)

// guardian is somebody who acts for the patient by a court's word, with a session of their own.
func (r *record) guardian(t *testing.T, name string) account.Actor {
	t.Helper()
	g, err := r.caregivers().LetIn(t.Context(), r.nurse, r.patient.UID, consent.LetIn{
		Name: name, Guardian: true, Scopes: account.ScopesOf(account.ForGuardians()...), Document: "court 12/26", Reason: "seen", To: time.Now().Add(24 * time.Hour),
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := r.caregivers().Confirm(t.Context(), r.staff(t, "Home", "second"), r.patient.UID, g.Who); err != nil {
		t.Fatal(err)
	}
	who := caregiverOf(r, g)
	who.Session = "0192aaaa-0000-7000-8000-000000000001"
	r.exec(t, fmt.Sprintf(`INSERT INTO session (org_id, uid, caregiver_id, token_hash, device_hash, csrf, created_at, seen_at, expires_at)
		VALUES (%d, '%s', %d, decode(repeat('ab', 32), 'hex'), decode(repeat('cd', 32), 'hex'), 'x', now(), now(), now() + interval '1 hour')`, who.Org, who.Session, who.Caregiver))
	return who
}

// shown is everything that somebody is shown of the patient, by name, without the hour and without their own acts.
func (r *record) shown(t *testing.T, s *safe.Safe, who account.Actor) map[string]string {
	t.Helper()
	all := map[string]string{}
	for name, text := range copyOf(t, s, who, r.patient.UID) {
		switch name {
		case "manifest.json", "README.txt", "index.html":
			continue
		case "looks.csv", "fhir.json":
			var others []string
			for line := range strings.Lines(text) {
				if !strings.Contains(line, who.Name) {
					others = append(others, line)
				}
			}
			text = strings.Join(others, "")
		}
		all[name] = text
	}
	ctx := t.Context()
	p, numbers, err := (&identity.Identities{Book: r.app, Now: time.Now}).Of(ctx, who, r.patient.UID)
	if err != nil {
		t.Fatal(err)
	}
	p.Relation.Frozen = time.Time{}
	changes, err := (&identity.Identities{Book: r.app, Now: time.Now}).Changes(ctx, who, r.patient.UID)
	if err != nil {
		t.Fatal(err)
	}
	wishes, err := (&safe.Erasures{Book: r.app, People: r.app}).Of(ctx, who, r.patient.UID)
	if err != nil {
		t.Fatal(err)
	}
	sheet, err := s.Sheets.Of(ctx, who, r.patient.UID)
	if err != nil {
		t.Fatal(err)
	}
	sheet.At, sheet.Patient.Relation.Frozen = time.Time{}, time.Time{}
	_, shares, err := s.Shares.List(ctx, who, r.patient.UID)
	if err != nil {
		t.Fatal(err)
	}
	for name, thing := range map[string]any{"patient": p, "numbers": numbers, "changes": changes, "wishes": wishes, "sheet": sheet, "shares": shares} {
		all[name] = fmt.Sprintf("%+v", thing)
	}
	return all
}

func TestAFrozenGuardianIsShownNothingThatCameLaterAndSeesNoGap(t *testing.T) {
	t.Parallel()
	r := newRecord(t)
	r.arrive(t, r.pressure(0, 190, 100))
	son := r.guardian(t, "Saul Son")
	s, self := r.safeOf()
	ctx := t.Context()
	from := netip.MustParseAddr("203.0.113.9")
	wrong := safe.Correction{Kind: safe.WrongName, Wish: "I am Ana Novak"}
	asked, err := s.Corrections.Ask(ctx, self, r.patient.UID, wrong)
	if err != nil {
		t.Fatal(err)
	}
	_, hers, err := s.Shares.Make(ctx, self, r.patient.UID, safe.ShareMonth, time.Hour, 9)
	if err != nil {
		t.Fatal(err)
	}
	before := r.shown(t, s, son)
	if err := r.caregivers().Suspend(ctx, self, "", caregiverUID(t, r, son), true); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(before, r.shown(t, s, son)); diff != "" {
		t.Errorf("the suspension shows (-before +after):\n%s", diff)
	}
	// She changes her name, goes to a doctor, asks to be forgotten, and is taken in elsewhere.
	if _, err := s.Corrections.Decide(ctx, r.nurse, asked.UID, safe.Decision{Accept: true, Answer: "seen", Name: "Ana Novak"}); err != nil {
		t.Fatal(err)
	}
	if _, _, err := s.Shares.Open(ctx, hers, from); err != nil {
		t.Fatal(err)
	}
	if _, err := (&safe.Erasures{Book: r.app, People: r.app}).Ask(ctx, self, r.patient.UID, "before he finds me"); err != nil {
		t.Fatal(err)
	}
	r.exec(t, fmt.Sprintf(`WITH t AS (INSERT INTO team (org_id, uid, name, created_at) VALUES (%[1]d, gen_random_uuid(), 'Shelter', now()) RETURNING id)
		INSERT INTO team_patient (org_id, team_id, patient_id, from_at) SELECT %[1]d, id, %[2]d, now() FROM t;
		UPDATE team_patient SET to_at = now() WHERE patient_id = %[2]d AND team_id IN (SELECT id FROM team WHERE usual);
		INSERT INTO patient_identifier (org_id, uid, patient_id, system, value, key, added_at) VALUES (%[1]d, gen_random_uuid(), %[2]d, 'urn:shelter', 'S1', 's1', now());
		INSERT INTO break_glass (org_id, uid, patient_id, staff_id, reason, from_at, until_at) VALUES (%[1]d, gen_random_uuid(), %[2]d, %[3]d, 'she fled', now(), now() + interval '1 hour')`,
		r.nurse.Org, r.patient.ID, r.nurse.Staff))
	r.arrive(t, r.pressure(0, 230, 120))
	alert := r.see(t, r.nurse).Alerts[0]
	resolve := func(_ alerts.Alert, now time.Time) ([]alerts.Entry, error) {
		return []alerts.Entry{{Kind: alerts.EntryResolved, RecordedAt: now, NextStep: alerts.StepNone, Note: "he is violent", Actor: r.nurse}}, nil
	}
	if _, _, err := r.app.Amend(ctx, r.nurse, alert.UID, resolve); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(before, r.shown(t, s, son)); diff != "" {
		t.Errorf("what came later shows (-before +after):\n%s", diff)
	}
	// What he does is taken as always, and he sees it.
	if _, err := s.Corrections.Ask(ctx, son, r.patient.UID, wrong); err != nil {
		t.Errorf("her question is told by the answer to his: %v", err)
	}
	share, secret, err := s.Shares.Make(ctx, son, r.patient.UID, safe.ShareEverything, time.Hour, 9)
	if err != nil {
		t.Fatal(err)
	}
	if _, list, err := s.Shares.List(ctx, son, r.patient.UID); err != nil || len(list) != 2 || list[0].UID != share.UID {
		t.Errorf("his own link is not in his list: %+v, %v", list, err)
	}
	o, _, err := s.Shares.Open(ctx, secret, from)
	if err != nil {
		t.Fatal(err)
	}
	if newest, err := r.app.Latest(ctx, o.Actor, r.patient.UID); err != nil || len(newest) != 1 || newest[0].Values[0] != 190 {
		t.Errorf("his link shows %+v, %v", newest, err)
	}
	if n := r.count(t, `SELECT count(*) FROM audit WHERE actor_role = 'caregiver' AND patient_id = $1 AND actor_name = 'Saul Son'`, int64(r.patient.ID)); n != 0 {
		t.Errorf("%d acts of a guardian do not say so", n)
	}
	if err := r.caregivers().End(ctx, r.nurse, r.patient.UID, caregiverUID(t, r, son)); err != nil {
		t.Fatal(err)
	}
	if _, _, err := s.Shares.Open(ctx, secret, from); !fault.Is(err, fault.NotFound) {
		t.Errorf("his link opens after he was shut out: %v", err)
	}
}

func caregiverUID(t *testing.T, r *record, who account.Actor) vital.UID {
	t.Helper()
	return vital.UID(r.column(t, `SELECT uid::text FROM caregiver WHERE id = $1`, int64(who.Caregiver))[0])
}

func TestTheTrailTellsARelativeOfNoPrivateItem(t *testing.T) {
	t.Parallel()
	r := newRecord(t)
	r.arrive(t, r.pressure(0, 190, 100))
	son := r.guardian(t, "Saul Son")
	s, self := r.safeOf()
	ctx := t.Context()
	asked, err := s.Corrections.Ask(ctx, self, r.patient.UID, safe.Correction{Kind: safe.WrongBirth, Wish: "1941"})
	if err != nil {
		t.Fatal(err)
	}
	r.agree(t, consent.ForResearch)
	decision := vital.UID(r.column(t, `SELECT uid::text FROM consent_decision ORDER BY id DESC LIMIT 1`)[0])
	alert := r.see(t, r.nurse).Alerts[0].UID
	looks := &account.Looks{Log: r.app, Now: time.Now}
	hidden := map[consent.PrivateKind]vital.UID{consent.PrivateAlert: alert, consent.PrivateConsent: decision, consent.PrivateCorrection: asked.UID}
	for kind, ref := range hidden {
		if _, err := r.caregivers().MarkPrivate(ctx, self, "", consent.PrivateItem{Kind: kind, Ref: ref}); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := r.caregivers().MarkPrivate(ctx, self, "", consent.PrivateItem{Kind: consent.PrivateMetric, Metric: vital.PainScore}); err != nil {
		t.Fatal(err)
	}
	for object, detail := range map[string]string{"alert " + string(alert): "", "patient " + string(r.patient.UID): "pain_score", "private items": "", "limits": ""} {
		if err := looks.Saw(ctx, r.nurse, object, detail, r.patient.ID); err != nil {
			t.Fatal(err)
		}
	}
	for name, text := range copyOf(t, s, son, r.patient.UID) {
		for kind, word := range map[consent.PrivateKind]string{
			"alert": string(alert), "consent": string(decision), "correction": string(asked.UID), "metric": "pain_score", "list": "private",
		} {
			if strings.Contains(text, word) && name != "manifest.json" && name != "README.txt" {
				t.Errorf("%s of a guardian's copy tells of a private %s", name, kind)
			}
		}
	}
	limits, err := (&alerts.Limits{Book: r.app, Now: time.Now}).Get(ctx, son, r.patient.UID)
	if err != nil || len(limits) == 0 {
		t.Fatal(limits, err)
	}
	for i := range limits {
		if limits[i].Metric == vital.PainScore {
			t.Error("he reads the limits of a private metric")
		}
	}
	_, visits, _, err := s.Looks.List(ctx, son, r.patient.UID, safe.LookFilter{})
	if err != nil {
		t.Fatal(err)
	}
	if said := fmt.Sprintf("%+v", visits); strings.Contains(said, string(asked.UID)) || strings.Contains(said, "pain_score") || !strings.Contains(said, "Object:limits") {
		t.Errorf("he reads %s", said)
	}
}

func TestMetricsHaveTheSameCodesInTheDatabase(t *testing.T) {
	t.Parallel()
	r := newRecord(t)
	for _, d := range vital.Metrics() {
		if got := r.column(t, `SELECT metric_code($1::smallint)`, int16(d.Metric))[0]; got != d.Code {
			t.Errorf("%d is %q, want %q", d.Metric, got, d.Code)
		}
	}
}

func TestAListOfPatientsLeavesOneRow(t *testing.T) {
	t.Parallel()
	r := newRecord(t)
	looks := &account.Looks{Log: r.app, Now: time.Now}
	d := &account.Directory{People: r.app, Now: time.Now, Looks: looks}
	for range 3 {
		if list, err := d.Patients(t.Context(), r.nurse, "", 0); err != nil || len(list) != 1 {
			t.Fatal(list, err)
		}
	}
	if n := r.count(t, `SELECT count(*) FROM audit WHERE action = 'look' AND object = 'patients' AND patient_id IS NULL`); n != 1 {
		t.Errorf("%d rows", n)
	}
}

func TestAnEmergencySheetTellsWhatIsKnownAndNeverNone(t *testing.T) {
	t.Parallel()
	r := newRecord(t)
	r.advance(t, r.pressure(10, 190, 100))
	s, self := r.safeOf()
	red := 170.0
	limits := &alerts.Limits{Book: r.app, Now: time.Now}
	limit := alerts.Limit{K: 1, N: 1, ClearAfter: 1, Components: []alerts.Bounds{{RedHigh: &red}}}
	if _, err := limits.Set(t.Context(), r.nurse, r.patient.UID, vital.BloodPressure, 1, alerts.Version{Enabled: true, Limit: limit, Reason: "stroke in October"}); err != nil {
		t.Fatal(err)
	}
	sheet, err := s.Sheets.Of(t.Context(), self, r.patient.UID)
	if err != nil {
		t.Fatal(err)
	}
	if len(sheet.Latest) != 1 || sheet.Latest[0].Values[0] != 190 || len(sheet.Limits) != 1 || *sheet.Limits[0].High != 170 || sheet.Limits[0].Reason != "stroke in October" {
		t.Errorf("%+v", sheet)
	}
	if len(sheet.Teams) != 1 || sheet.Teams[0].Name != "Home care" || sheet.Patient.UID != r.patient.UID {
		t.Errorf("%+v", sheet)
	}
	// Of what came with its date alone no time is made up.
	dated := r.weight(60, 78_000)
	dated.Reading.Findings |= vital.TimeLocal | vital.TimeUnsure
	dated.Reading.More = &vital.More{Clock: vital.Clock{Method: vital.ClockZone, Uncertainty: 25 * time.Hour}}
	r.advance(t, dated)
	if sheet, err = s.Sheets.Of(t.Context(), self, r.patient.UID); err != nil || len(sheet.Latest) != 2 || sheet.Latest[0].Vague != (vital.Vague{}) || sheet.Latest[1].Vague != dated.Reading.Vague() {
		t.Errorf("%+v, %v", sheet.Latest, err)
	}
	// A guardian whose document one person only has seen is nobody to call yet.
	if _, err := r.caregivers().LetIn(t.Context(), r.nurse, r.patient.UID, consent.LetIn{
		Name: "Gal", Guardian: true, Scopes: account.ScopesOf(account.ForGuardians()...), Document: "court 12/26", Reason: "seen", To: time.Now().Add(24 * time.Hour),
	}); err != nil {
		t.Fatal(err)
	}
	r.agree(t, consent.ForSharing)
	letIn := consent.LetIn{Name: "Eva", Phone: "040 111 222", Scopes: account.ScopesOf(account.ForCaregivers()...)}
	g, err := r.caregivers().LetIn(t.Context(), self, "", letIn)
	if err != nil {
		t.Fatal(err)
	}
	helpers := func(want ...safe.Helper) {
		t.Helper()
		sheet, err := s.Sheets.Of(t.Context(), self, r.patient.UID)
		if diff := cmp.Diff(want, sheet.Helpers); err != nil || diff != "" {
			t.Error(diff, err)
		}
	}
	helpers(safe.Helper{Name: "Eva", Phone: "040 111 222"})
	letIn.Who, letIn.Phone = g.Who, "040 333 444"
	if _, err := r.caregivers().LetIn(t.Context(), r.nurse, r.patient.UID, consent.LetIn{Who: g.Who, Phone: letIn.Phone, Scopes: letIn.Scopes, Reason: "she said so"}); err != nil {
		t.Fatal(err)
	}
	helpers(safe.Helper{Name: "Eva", Phone: "040 333 444"})
	letIn.Phone = "ring the bell"
	if _, err := r.caregivers().LetIn(t.Context(), self, "", letIn); !fault.Is(err, fault.Invalid) {
		t.Errorf("no telephone is taken for one: %v", err)
	}
	if _, err := s.Sheets.Of(t.Context(), r.staff(t, "Elsewhere", "eva"), r.patient.UID); !fault.Is(err, fault.NotFound) {
		t.Errorf("a stranger saw the sheet: %v", err)
	}
}
