package oidc_test

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"hale/account"
	"hale/account/signin/oidc"
	"hale/fault"
)

const example = `{
  "scopes": ["groups"],
  "rules": [
    {"claim": "groups", "value": "north-nurses", "organisation": "North", "role": "nurse", "teams": ["Day"]},
    {"claim": "groups", "value": "north-night", "teams": ["Night"]},
    {"claim": "groups", "value": "north-leads", "organisation": "North", "role": "manager"},
    {"claim": "groups", "value": "south-nurses", "organisation": "South", "role": "nurse"},
    {"claim": ["https://login.example.org/access", "hale"], "value": "desk", "organisation": "North", "role": "device_desk"}
  ]
}`

func parse(t *testing.T, text string) oidc.Mapping {
	t.Helper()
	m, err := oidc.ParseMapping([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func claims(t *testing.T, text string) map[string]any {
	t.Helper()
	var c map[string]any
	if err := json.Unmarshal([]byte(text), &c); err != nil {
		t.Fatal(err)
	}
	return c
}

func TestWhatClaimsMean(t *testing.T) {
	t.Parallel()
	decided := []string{"Day", "Night"}
	admit := func(org string, role account.Role, teams ...string) account.Admission {
		return account.Admission{Organisation: org, Name: "Ana Novak", Role: role, Teams: teams, Decided: decided}
	}
	for name, c := range map[string]struct {
		claims string
		want   account.Admission
	}{
		"one value of a list":              {`{"groups": ["x", "north-nurses"]}`, admit("North", account.Nurse, "Day")},
		"a single value":                   {`{"groups": "south-nurses"}`, admit("South", account.Nurse)},
		"two rules that agree":             {`{"groups": ["north-nurses", "north-night"]}`, admit("North", account.Nurse, "Day", "Night")},
		"a claim inside another":           {`{"https://login.example.org/access": {"hale": ["desk"]}}`, admit("North", account.DeviceDesk)},
		"a claim that is no list or text":  {`{"groups": {"north-nurses": true}}`, account.Admission{}},
		"a number":                         {`{"groups": 7}`, account.Admission{}},
		"nothing":                          {`{}`, account.Admission{}},
		"a value that only begins so":      {`{"groups": ["north-nurses-2"]}`, account.Admission{}},
		"a single value that begins so":    {`{"groups": "south-nurses-2"}`, account.Admission{}},
		"a single value that is cut off":   {`{"groups": "south"}`, account.Admission{}},
		"a value in another case":          {`{"groups": ["North-Nurses"]}`, account.Admission{}},
		"a team alone":                     {`{"groups": ["north-night"]}`, account.Admission{}},
		"two roles":                        {`{"groups": ["north-nurses", "north-leads"]}`, account.Admission{}},
		"two organisations":                {`{"groups": ["north-nurses", "south-nurses"]}`, account.Admission{}},
		"a list where an object should be": {`{"https://login.example.org/access": ["desk"]}`, account.Admission{}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			have := claims(t, c.claims)
			have["name"] = " Ana Novak "
			got, err := parse(t, example).Decide(have)
			if c.want.Organisation == "" {
				if !fault.Is(err, fault.Forbidden) || !strings.Contains(fault.MessageOf(err), "ask the administrator") {
					t.Errorf("%+v, %v", got, err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(c.want, got); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestANameThatIsNone(t *testing.T) {
	t.Parallel()
	for _, name := range []any{nil, "", "  ", 7, "Ana\u0000", strings.Repeat("a", 201)} {
		_, err := parse(t, example).Decide(map[string]any{"groups": "south-nurses", "name": name})
		if !fault.Is(err, fault.Forbidden) {
			t.Errorf("%v: %v", name, err)
		}
		if err != nil && strings.Contains(err.Error(), "Ana") {
			t.Errorf("the reason names the person: %v", err)
		}
	}
	m := parse(t, `{"name": ["profile", "display"], "rules": [{"claim": "g", "value": "v", "organisation": "North", "role": "nurse"}]}`)
	if a, err := m.Decide(claims(t, `{"g": "v", "profile": {"display": "Eva"}, "name": "other"}`)); err != nil || a.Name != "Eva" {
		t.Errorf("%+v, %v", a, err)
	}
}

func TestHowSomebodyMustHaveBeenAuthenticated(t *testing.T) {
	t.Parallel()
	m := parse(t, `{"acr": ["high", "highest"], "amr": ["mfa", "hwk"], "rules": [{"claim": "g", "value": "v", "organisation": "North", "role": "nurse"}]}`)
	for text, good := range map[string]bool{
		`{"acr": "high", "amr": ["pwd", "mfa", "hwk"]}`: true,
		`{"acr": "highest", "amr": ["hwk", "mfa"]}`:     true,
		`{"acr": "low", "amr": ["mfa", "hwk"]}`:         false,
		`{"amr": ["mfa", "hwk"]}`:                       false,
		`{"acr": "high", "amr": ["mfa"]}`:               false,
		`{"acr": "high"}`:                               false,
		`{}`:                                            false,
	} {
		have := claims(t, text)
		have["g"], have["name"] = "v", "Ana"
		if _, err := m.Decide(have); (err == nil) != good {
			t.Errorf("%s: %v", text, err)
		}
	}
}

func TestAMappingThatIsNone(t *testing.T) {
	t.Parallel()
	rule := func(inside string) string { return `{"rules": [{` + inside + `}]}` }
	good := `"claim": "g", "value": "v", "organisation": "North", "role": "nurse"`
	if _, err := oidc.ParseMapping([]byte(rule(good))); err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string]string{
		"nothing":            ``,
		"no JSON":            `rules:`,
		"no rules":           `{}`,
		"an unknown field":   `{"rules": [], "roles": []}`,
		"an unknown role":    rule(`"claim": "g", "value": "v", "organisation": "North", "role": "boss"`),
		"the patient's role": rule(`"claim": "g", "value": "v", "organisation": "North", "role": "patient"`),
		"no claim":           rule(`"value": "v", "organisation": "North", "role": "nurse"`),
		"an empty claim":     rule(`"claim": ["a", ""], "value": "v", "organisation": "North", "role": "nurse"`),
		"no value":           rule(`"claim": "g", "organisation": "North", "role": "nurse"`),
		"nothing given":      rule(`"claim": "g", "value": "v"`),
		"no role anywhere":   rule(`"claim": "g", "value": "v", "organisation": "North"`),
		"a team of no name":  rule(good + `, "teams": [""]`),
		"a claim in a claim": rule(`"claim": {"g": 1}, "value": "v", "organisation": "North", "role": "nurse"`),
		"two files in one":   rule(good) + rule(good),
	} {
		if _, err := oidc.ParseMapping([]byte(text)); !fault.Is(err, fault.Invalid) {
			t.Errorf("%s: %v", name, err)
		}
	}
}
