package fhirmap_test

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"hale/account"
	"hale/account/identity"
	"hale/api/fhirmap"
	"hale/fault"
)

const ownNumbers = "urn:hale:number:0198c0de-0000-7000-8000-00000000000f"

func TestAPatientAsFHIRHasIt(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 5, 1, 12, 0, 0, 0, time.UTC)
	p := account.Patient{UID: "0198c0de-0000-7000-8000-000000000001", Name: "Ana Novak", BirthDate: "1941-03", Sex: "female", Zone: "Europe/Ljubljana", Number: "P-1"}
	list := []identity.Identifier{
		{System: "urn:a", Value: "1", Use: "official", From: "2001"},
		{System: "urn:a", Value: "2", EndedAt: time.Date(2020, 1, 2, 3, 4, 5, 0, time.UTC), Reason: "lost"},
		{System: "urn:b", Value: "3", To: "2025"},
	}
	b, err := json.Marshal(fhirmap.PatientOf(&p, list, ownNumbers, now))
	if err != nil {
		t.Fatal(err)
	}
	want := `{"resourceType":"Patient","id":"0198c0de-0000-7000-8000-000000000001","extension":[{"url":"urn:hale:zone","valueCode":"Europe/Ljubljana"}],"identifier":[` +
		`{"use":"usual","system":"` + ownNumbers + `","value":"P-1"},{"use":"official","system":"urn:a","value":"1","period":{"start":"2001"}},` +
		`{"use":"old","system":"urn:a","value":"2","period":{"end":"2020-01-02T03:04:05Z"}},{"use":"old","system":"urn:b","value":"3","period":{"end":"2025"}}],` +
		`"name":[{"text":"Ana Novak"}],"gender":"female","birthDate":"1941-03"}`
	if diff := cmp.Diff(want, string(b)); diff != "" {
		t.Error(diff)
	}
	// What goes out comes in as the same.
	table, err := fhirmap.ReadPatients(b, ownNumbers)
	if err != nil || len(table.Records) != 1 {
		t.Fatalf("%+v %v", table, err)
	}
	wantHeader := []string{"name", "birth_date", "sex", "zone", "identifier:" + ownNumbers, "identifier:urn:a"}
	if diff := cmp.Diff(wantHeader, table.Header); diff != "" {
		t.Error(diff)
	}
	r := table.Records[0]
	if diff := cmp.Diff([]string{"Ana Novak", "1941-03", "female", "Europe/Ljubljana", "P-1", "1"}, r.Fields); diff != "" || r.Problem != "" {
		t.Error(diff, r.Problem)
	}
	if len(r.Identifiers) != 4 || r.Identifiers[2].InForce(now) || r.Identifiers[1].From != "2001" {
		t.Errorf("%+v", r.Identifiers)
	}
}

func TestPatientsThatCannotBeTaken(t *testing.T) {
	t.Parallel()
	for resource, want := range map[string]string{
		`{"resourceType":"Patient","name":[{"text":"Ana"}]}`:                                                      "",
		`{"resourceType":"Patient","active":false}`:                                                               "not in use",
		`{"resourceType":"Patient","link":[{"other":{"reference":"Patient/2"},"type":"replaced-by"}]}`:            "replaced",
		`{"resourceType":"Patient","deceasedBoolean":true}`:                                                       "died",
		`{"resourceType":"Patient","deceasedDateTime":"2020"}`:                                                    "died",
		`{"resourceType":"Patient","birthDate":"2.3.1941"}`:                                                       "YYYY-MM-DD",
		`{"resourceType":"Patient","modifierExtension":[{"url":"urn:not"}]}`:                                      "modifierExtension",
		`{"resourceType":"Observation","status":"final"}`:                                                         "only Patients",
		`{"resourceType":"Patient","identifier":[{"system":"urn:a","value":7}]}`:                                  "identifier",
		`{"resourceType":"Patient","identifier":[{"system":"urn:a","value":"7"},{"system":"urn:a","value":"8"}]}`: "",
	} {
		table, err := fhirmap.ReadPatients([]byte(resource), ownNumbers)
		if err != nil || len(table.Records) != 1 {
			t.Fatalf("%s: %v", resource, err)
		}
		if got := table.Records[0].Problem; want == "" && got != "" || !strings.Contains(got, want) {
			t.Errorf("%s: %q, want %q", resource, got, want)
		}
		if len(table.Records[0].Fields) != len(table.Header) {
			t.Errorf("%s: %d fields for %d columns", resource, len(table.Records[0].Fields), len(table.Header))
		}
	}
	if _, err := fhirmap.ReadPatients([]byte("{"), ownNumbers); !fault.Is(err, fault.Invalid) {
		t.Errorf("no JSON: %v", err)
	}
}
