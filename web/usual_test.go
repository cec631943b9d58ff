package web_test

import (
	"context"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"hale/account"
	"hale/alerts"
	"hale/fault"
	"hale/internal/browser"
	"hale/vital"
)

func (h *house) AddVersion(_ context.Context, actor account.Actor, patient vital.UID, key alerts.RuleKey, expected int, v alerts.Version) (alerts.Rule, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	rules := slices.Clone(h.rules[patient])
	i := slices.IndexFunc(rules, func(r alerts.Rule) bool { return r.Key() == key })
	if i < 0 {
		who := slices.IndexFunc(h.people, func(p account.Patient) bool { return p.UID == patient })
		i, rules = len(rules), append(rules, alerts.Rule{UID: ruleUID(h.people[who].ID, key), Kind: key.Kind, Metric: key.Metric, Form: key.Form})
	}
	if n := len(rules[i].Versions); n != expected {
		return alerts.Rule{}, fault.New(fault.Conflict, "the rule is at version %d by now, not %d: look at it again before you change it", n, expected)
	}
	v.Number, v.AuthorName = expected+1, actor.Name
	v.Trend.Zone = "Europe/Ljubljana"
	rules[i].Versions = append(slices.Clone(rules[i].Versions), v)
	h.rules[patient] = rules
	return rules[i], nil
}

func (h *house) EachReading(_ context.Context, _ account.Actor, patient vital.UID, m vital.Metric, from, to time.Time, take func(*alerts.Point)) error {
	h.mu.Lock()
	points := slices.Clone(h.points[patient])
	h.mu.Unlock()
	for i := range points {
		if p := &points[i]; p.Metric == m && !p.At.Before(from) && p.At.Before(to) {
			take(p)
		}
	}
	return nil
}

// breathes gives the patient a saturation on each of so many mornings before today.
func (h *house) breathes(p account.Patient, days int) {
	for ago := range days {
		h.measure(p, vital.OxygenSat, h.clock().AddDate(0, 0, -1-ago), 93)
	}
}

// filled adds to a form what stands in its fields.
func filled(form url.Values, page string) url.Values {
	for _, m := range regexp.MustCompile(`name="([^"]+)" value="([^"]*)"`).FindAllStringSubmatch(page, -1) {
		if !form.Has(m[1]) && m[1] != "off" {
			form.Set(m[1], m[2])
		}
	}
	return form
}

func TestWhatIsUsualIsSetByAForm(t *testing.T) {
	t.Parallel()
	h := newHouse(time.Date(2026, 11, 21, 9, 4, 0, 0, time.UTC))
	mira := visit(t, h.app(t), "mira")
	p := h.admit("Zofija Hribar", "P-77", 1944, "female", "Europe/Ljubljana")
	h.breathes(p, 12)
	home := "/patients/" + string(p.UID)
	page := home + "/usual/oxygen_saturation"
	_, text := mira.get(home)
	wants(t, text, `href="`+home+`/usual"`)
	_, text = mira.get(home + "/usual")
	wants(t, text, "nothing is set", `href="`+page+`"`)
	if strings.Contains(text, "/usual/body_weight") || strings.Contains(text, "/usual/blood_pressure") {
		t.Error("a baseline of what cannot have one is offered")
	}
	_, text = mira.get(page)
	wants(t, text, "for a clinician to sign", "3 points below the own median", `name="by-yellow-fall" value="3"`, `name="gap" value="7"`)
	form := filled(mira.form(text, page), text)
	form.Set("reason", "COPD")
	form.Set("spreads-red-fall", "many")
	form.Set("by-red-fall", "5")
	answer, text := mira.post(page, form)
	wants(t, text, "Red, below the usual, usual spreads: ", "is no number", `value="COPD"`, `value="many"`)
	if answer.StatusCode != http.StatusUnprocessableEntity {
		t.Errorf("what cannot be read: status %d", answer.StatusCode)
	}
	form.Set("spreads-red-fall", "2,5")
	form.Set("leastdays", "30")
	if answer, text = mira.post(page, form); answer.StatusCode != http.StatusUnprocessableEntity || !strings.Contains(text, "must be 3 to 21 of the days") {
		t.Errorf("more days than there are: status %d: %s", answer.StatusCode, words(text))
	}
	form.Set("leastdays", "14")
	if answer, text = mira.post(page, form); answer.StatusCode != http.StatusSeeOther {
		t.Fatalf("set it: status %d: %s", answer.StatusCode, words(text))
	}
	_, text = mira.get(home)
	wants(t, text, "Oxygen saturation: against what is usual", "Not enough history yet: 5 of 14 days and 5 of 14 sessions in the 21 days until Fri 13 Nov",
		"5 % and 2.5 usual spreads or more below what is usual", "3 % or more below what is usual", "the median of the sessions of 21 days before it, with 7 days left out between them and the day of the reading.",
		"after 2 readings in a row back inside by at least 1 %", "the alert waits for a person")
	if answer, text = mira.post(page, form); answer.StatusCode != http.StatusConflict || !strings.Contains(text, "at version 1 by now, not 0") {
		t.Errorf("a version that was overtaken: status %d: %s", answer.StatusCode, words(text))
	}
	h.breathes(p, 21)
	_, text = mira.get(page)
	wants(t, text, "Usual is 93 % (median of 14 sessions on 14 days until Fri 13 Nov, usual spread 1 %)", `name="spreads-red-fall" value="2.5"`, "Set another version", "Switch it off")
	off := filled(mira.form(text, page), text)
	off.Set("off", "1")
	off.Set("reason", "She was discharged from the programme")
	if answer, text = mira.post(page, off); answer.StatusCode != http.StatusSeeOther {
		t.Fatalf("switch it off: status %d: %s", answer.StatusCode, words(text))
	}
	_, text = mira.get(page)
	wants(t, text, "switched off")
	if answer, _ = mira.get(home + "/usual/body_weight"); answer.StatusCode != http.StatusNotFound {
		t.Errorf("the page of a weight: status %d", answer.StatusCode)
	}
	if answer, _ = visit(t, h.app(t), "desk").post(page, url.Values{}); answer.StatusCode != http.StatusForbidden {
		t.Errorf("the device desk sets it: status %d", answer.StatusCode)
	}
}

// fallsBelow is an alert of a saturation 4 below the usual, by a rule that was set for it.
func fallsBelow(t *testing.T, h *house, p account.Patient) vital.UID {
	t.Helper()
	b, _, _ := alerts.BaselineOffer(vital.OxygenSat)
	key := alerts.TrendOn(vital.OxygenSat, alerts.FormBaseline)
	if _, err := h.AddVersion(t.Context(), account.Actor{Name: "Mira Zupan"}, p.UID, key, 0, alerts.Version{
		EffectiveFrom: h.clock().AddDate(0, -1, 0), Enabled: true, Reason: "COPD", Trend: &alerts.Trend{ClearAfter: 2, Baseline: &b},
		Advice: "Sit down, warm your fingers and measure again in ten minutes.",
	}); err != nil {
		t.Fatal(err)
	}
	return h.trendAlarm(p, key, h.clock().Add(-time.Hour), &alerts.Grounds{
		Form: alerts.FormBaseline, Direction: alerts.Fall, Day: "2026-11-21", Value: 89, Against: 93, AgainstDay: "2026-11-13", By: 4, Spread: 1, Days: 21, DaysWith: 14, Sessions: 21,
	}, 89)
}

func TestAFallBelowTheUsualIsExplained(t *testing.T) {
	t.Parallel()
	h := newHouse(time.Date(2026, 11, 21, 9, 4, 0, 0, time.UTC))
	mira := visit(t, h.app(t), "mira")
	p := h.admit("Zofija Hribar", "P-77", 1944, "female", "Europe/Ljubljana")
	uid := fallsBelow(t, h, p)
	const why = "89 %: 4 below the usual 93 % (median of 21 sessions on 14 days until Fri 13 Nov, usual spread 1 %)"
	_, text := mira.get("/")
	wants(t, text, why)
	_, text = mira.get("/alerts/" + string(uid))
	wants(t, text, "Opened: "+why, "3 % or more below what is usual", "at least 1 %. It says nothing before there are 14 sessions on 14 days.")
	h.log(uid, alerts.Entry{Kind: alerts.EntryCleared, Cause: alerts.CauseReturned, Reading: alerts.Mark{At: h.clock(), ID: 99}})
	_, text = mira.get("/")
	wants(t, text, "back near what is usual")
}

// TestWhatIsUsualInABrowser looks at the pages in the widths of a phone and a desk.
func TestWhatIsUsualInABrowser(t *testing.T) {
	t.Parallel()
	f := furnish(t)
	f.breathes(f.weak, 21)
	uid := fallsBelow(t, f.house, f.weak)
	address := f.serve(t)
	home := "/patients/" + string(f.weak.UID)
	fitAPhoneAndReadAloud(t, browser.Start(t), address, "mira", map[string]string{
		"usual-list": home + "/usual", "usual-form": home + "/usual/oxygen_saturation", "usual-first": home + "/usual/heart_rate", "usual-alert": "/alerts/" + string(uid), "usual-patient": home + "#limits",
	})
}
