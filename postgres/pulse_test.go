package postgres_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"hale/account"
	"hale/account/consent"
	"hale/alerts"
	"hale/safe"
	"hale/vital"
)

// everything is all that somebody is shown of the patient's readings, alerts, limits and trends, as text by where it stands.
func (r *record) everything(t *testing.T, s *safe.Safe, who account.Actor) map[string]string {
	t.Helper()
	rules, err := r.app.Rules(t.Context(), who, r.patient.UID)
	if err != nil {
		t.Fatal(err)
	}
	sheet, err := s.Sheets.Of(t.Context(), who, r.patient.UID)
	if err != nil {
		t.Fatal(err)
	}
	seen := r.see(t, who)
	all := map[string]string{"sheet": spelt(sheet), "rules": spelt(rules), "latest": spelt(seen.Latest), "series": spelt(seen.Series), "alerts": spelt(seen.Alerts), "logs": spelt(seen.Logs)}
	if account.Allow(who, account.ExportRecord, nil) == nil && who.Name != "Eva" {
		for name, text := range copyOf(t, s, who, r.patient.UID) {
			all[name] = text
		}
	}
	return all
}

func spelt(thing any) string {
	b, err := json.Marshal(thing)
	if err != nil {
		return err.Error()
	}
	return string(b)
}

// TestAPrivateHeartRateIsNowhereForARelative neither in a cuff's readings nor in what was set for it.
func TestAPrivateHeartRateIsNowhereForARelative(t *testing.T) {
	t.Parallel()
	r := newRecord(t)
	ctx := t.Context()
	beat := func(minutes int) vital.Record {
		p := r.pressure(minutes, 190, 100)
		p.Reading.Sent[2] = vital.Quantity{Mantissa: 1371, Exponent: -1, Unit: vital.PerMinute}
		p.Reading.N, p.Reading.Findings = 3, vital.IrregularPulse
		p.Reading.Tie = vital.TieOf(p.Reading.Sent[:])
		return p
	}
	limits := &alerts.Limits{Book: r.app, Now: time.Now}
	high, pulse := 170.0, 131.7
	for metric, components := range map[vital.Metric][]alerts.Bounds{
		vital.HeartRate: {{RedHigh: &pulse}}, vital.BloodPressure: {{RedHigh: &high}, {}, {RedHigh: &pulse}},
	} {
		reason := map[vital.Metric]string{vital.HeartRate: "what the heart is told", vital.BloodPressure: "stroke"}[metric]
		if _, err := limits.Set(ctx, r.nurse, r.patient.UID, metric, 1, alerts.Version{Enabled: true, Advice: "rest after " + reason, Reason: reason, Limit: alerts.Limit{K: 1, N: 1, ClearAfter: 1, Components: components}}); err != nil {
			t.Fatal(err)
		}
	}
	r.advance(t, beat(0), beat(10))
	r.agree(t, consent.ForSharing)
	son, eva := r.relative(t, "Saul Son", 11), r.letIn(t, "Eva")
	s, self := r.safeOf()
	secrets := []string{"137.1", "131.7", "what the heart is told", "irregular_pulse"}
	where := func(who account.Actor) map[string][]string {
		t.Helper()
		found := map[string][]string{}
		for place, text := range r.everything(t, s, who) {
			for _, secret := range secrets {
				if strings.Contains(text, secret) {
					found[secret] = append(found[secret], place)
				}
			}
		}
		return found
	}
	for _, who := range []account.Actor{self, son, eva} {
		open := where(who)
		for _, secret := range secrets[:3] {
			if len(open[secret]) == 0 {
				t.Errorf("%s does not see %q before it is private", who.Name, secret)
			}
		}
	}
	mark := func(item consent.PrivateItem) consent.PrivateItem {
		t.Helper()
		made, err := r.caregivers().MarkPrivate(ctx, self, "", item)
		if err != nil {
			t.Fatal(err)
		}
		return made
	}
	always := mark(consent.PrivateItem{Kind: consent.PrivateMetric, Metric: vital.HeartRate})
	for _, who := range []account.Actor{son, eva} {
		for secret, places := range where(who) {
			t.Errorf("%s finds %q in %v", who.Name, secret, places)
		}
		if now := r.see(t, who); len(now.Latest) != 1 || len(now.Latest[0].Values) != 2 || now.Latest[0].Findings != 0 || len(now.Alerts) != 1 || len(now.Alerts[0].LastValues) != 2 {
			t.Errorf("%s sees %+v", who.Name, now)
		}
	}
	if hers := where(self); len(hers["137.1"]) < 6 {
		t.Errorf("the patient finds the pulse in %v only", hers["137.1"])
	}
	if got := r.inView(t, "caregiver", int64(son.Caregiver), fmt.Sprintf(`SELECT 1/count(*) FROM rule_version v JOIN rule r ON r.id = v.rule_id WHERE r.metric = %d`, vital.HeartRate)); got != "22012" {
		t.Errorf("row level security alone shows limits of what is private: %q", got)
	}
	// Of a span, what was measured in it; what was set for always stays.
	if err := r.caregivers().UnmarkPrivate(ctx, self, "", always.UID); err != nil {
		t.Fatal(err)
	}
	mark(consent.PrivateItem{Kind: consent.PrivateMetric, Metric: vital.HeartRate, From: since().Add(5 * time.Minute), To: since().Add(15 * time.Minute)})
	now := r.see(t, son)
	if len(now.Series) != 2 || len(now.Series[0].Avg) != 3 || len(now.Series[1].Avg) != 2 || len(where(son)["131.7"]) == 0 {
		t.Errorf("of a span he sees %+v", now.Series)
	}
}
