package fhir_test

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"hale/fault"
	"hale/fhir"
)

// same compares two JSON texts member by member; numbers are compared as they are written.
func same(t *testing.T, want, got []byte) string {
	t.Helper()
	read := func(b []byte) (v any) {
		d := json.NewDecoder(bytes.NewReader(b))
		d.UseNumber()
		if err := d.Decode(&v); err != nil {
			t.Fatal(err)
		}
		return v
	}
	return cmp.Diff(read(want), read(got))
}

func file(t *testing.T, name string) []byte {
	t.Helper()
	b, err := os.ReadFile(filepath.Join("testdata", name))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestWhatIsReadIsWrittenAgain(t *testing.T) {
	t.Parallel()
	for name, into := range map[string]any{"patient.json": &fhir.Patient{}, "bundle.json": &fhir.Bundle{}} {
		text := file(t, name)
		if err := json.Unmarshal(text, into); err != nil {
			t.Fatal(err)
		}
		again, err := json.Marshal(into)
		if err != nil {
			t.Fatal(err)
		}
		if diff := same(t, text, again); diff != "" {
			t.Errorf("%s (-read +written):\n%s", name, diff)
		}
	}
}

// TestPublishedExamplesTravelUnchanged takes the published examples through a Bundle, where they are at hand.
func TestPublishedExamplesTravelUnchanged(t *testing.T) {
	t.Parallel()
	var list []string
	const shared = "../../shared"
	if _, err := os.Stat(shared); err != nil {
		t.Log("the published FHIR examples are not at hand: only testdata was tried")
		list = []string{"testdata/patient.json"}
	} else if list, err = filepath.Glob(shared + "/vectors/fhir/*.json"); err != nil || len(list) < 8 {
		t.Fatalf("the published FHIR examples are incomplete: %v %v", list, err)
	}
	bundle := fhir.Bundle{ResourceType: "Bundle", Type: "collection"}
	var texts [][]byte
	for _, name := range list {
		text, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		var r fhir.Resource
		if err := json.Unmarshal(text, &r); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		texts = append(texts, text)
		bundle.Entry = append(bundle.Entry, fhir.Entry{Resource: &r})
	}
	written, err := json.Marshal(bundle)
	if err != nil {
		t.Fatal(err)
	}
	var again fhir.Bundle
	if err := json.Unmarshal(written, &again); err != nil {
		t.Fatal(err)
	}
	for i, e := range again.Entry {
		if diff := same(t, texts[i], e.Resource.Raw); diff != "" {
			t.Errorf("%s (-read +written):\n%s", list[i], diff)
		}
	}
	if len(again.Entry) != len(list) {
		t.Errorf("%d of %d entries came back", len(again.Entry), len(list))
	}
}

func TestPatientsOfAFile(t *testing.T) {
	t.Parallel()
	type place struct {
		Line, Entry int
		Name, Why   string
	}
	for name, want := range map[string][]place{
		"patient.json": {{1, 0, "Ana Marija Novak", ""}},
		"bundle.json": {
			{1, 1, "Ana Novak", ""}, {1, 2, "", "this is a Observation: only Patients can be taken"}, {1, 3, "", "the entry has no resource"},
			{1, 4, "Not Ana", "modifierExtension changes the meaning of the rest in a way that is not known here: send the Patient without it"},
		},
		"patients.ndjson": {
			{1, 0, "Ana Novak", ""}, {2, 0, "Jan Kovač", "birthDate is null, which FHIR does not allow: leave it out"},
			{4, 0, "", "this is a Organization: only Patients can be taken"}, {5, 0, "", "a resource is a JSON object with a resourceType"},
			{6, 0, "", "name: this is not what FHIR R4 has here"},
		},
	} {
		list, err := fhir.Patients(append([]byte("\ufeff"), file(t, name)...))
		if err != nil {
			t.Fatal(err)
		}
		var got []place
		for _, r := range list {
			p := place{Line: r.Line, Entry: r.Entry, Name: r.Patient.FullName()}
			if r.Err != nil {
				p.Why = fault.MessageOf(r.Err)
			}
			got = append(got, p)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
}

func TestAFileThatIsNoJSONIsRefusedWithItsLine(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"":   "the file holds no Patient",
		"\n": "the file holds no Patient",
		"{\"resourceType\":\"Patient\"}\n{\"resourceType\":": "line 2: ",
		"{\"resourceType\":\"Patient\"}\n\n{]}\n":            "line 3: ",
		"name,zone\nAna,Europe/Ljubljana\n":                  "line 1: ",
	} {
		_, err := fhir.Patients([]byte(text))
		if !fault.Is(err, fault.Invalid) || !strings.HasPrefix(fault.MessageOf(err), want) {
			t.Errorf("%q: %v", text, err)
		}
	}
}

func TestTheNameIsTheOneInUse(t *testing.T) {
	t.Parallel()
	for want, names := range map[string][]fhir.HumanName{
		"":             {{Use: "old", Text: "Ana Oblak"}, {Use: "maiden", Text: "Ana Oblak"}},
		"Ana Novak":    {{Use: "usual", Text: "Anka"}, {Use: "official", Given: []string{"Ana"}, Family: "Novak"}},
		"Anka":         {{Text: "Ana"}, {Use: "usual", Text: " Anka "}, {Use: "usual", Text: "Ančka"}},
		"Ana B. Novak": {{Given: []string{"Ana", "B."}, Family: "Novak", Prefix: []string{"dr."}}},
	} {
		if p := (fhir.Patient{Name: names}); p.FullName() != want {
			t.Errorf("%q, want %q", p.FullName(), want)
		}
	}
}

// FuzzPatients looks for text that breaks the reader, and for a Patient that does not survive being written.
func FuzzPatients(f *testing.F) {
	for _, name := range []string{"patient.json", "bundle.json", "patients.ndjson"} {
		b, err := os.ReadFile(filepath.Join("testdata", name))
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		list, err := fhir.Patients(text)
		if err != nil {
			if !fault.Is(err, fault.Invalid) {
				t.Fatal(err)
			}
			return
		}
		for _, r := range list {
			if r.Line < 1 || r.Line > 1+bytes.Count(text, []byte("\n")) {
				t.Fatalf("line %d", r.Line)
			}
			if r.Err != nil {
				continue
			}
			written, err := json.Marshal(r.Patient)
			if err != nil {
				t.Fatal(err)
			}
			again, err := fhir.Patients(written)
			if err != nil || len(again) != 1 || again[0].Err != nil {
				t.Fatalf("%s is not read again: %v %+v", written, err, again)
			}
			twice, err := json.Marshal(again[0].Patient)
			if err != nil || !bytes.Equal(written, twice) {
				t.Fatalf("%s became %s: %v", written, twice, err)
			}
		}
	})
}
