package main

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// sharedVectors is where vectors of others lie beside the project, when they do; nothing of them is part of the project.
const sharedVectors = "../../../shared/vectors"

func TestTheDecodersReadTheVectorsOfTheProject(t *testing.T) {
	t.Parallel()
	for format, path := range map[string]string{"gatt": "gatt.json", "omh": "omh", "fhir": "fhir", "news2": "news2.json"} {
		if code, said := hale(t, "conformance", format, filepath.Join("testdata/vectors", path)); code != 0 {
			t.Errorf("%s ended with %d:\n%s", format, code, said)
		}
	}
}

// TestTheDecodersReadTheVectorsOfOthers: a shared folder without the vectors is a mistake, not a reason to test less.
func TestTheDecodersReadTheVectorsOfOthers(t *testing.T) {
	t.Parallel()
	if _, err := os.Stat("../../../shared"); err != nil {
		fmt.Println("conformance: no vectors beside the project; the project's own are read by the test before this one")
		return
	}
	for format, c := range map[string]struct {
		path  string
		least int
	}{"gatt": {"ble_vectors.json", 27}, "omh": {"omh", 60}, "fhir": {"fhir", 8}, "news2": {"news2_vectors.json", 10}} {
		code, said := hale(t, "conformance", format, filepath.Join(sharedVectors, c.path))
		if code != 0 {
			t.Errorf("%s ended with %d:\n%s", format, code, said)
		}
		var as, all int
		if at := strings.Index(said, " vectors as expected"); at > 0 {
			if _, err := fmt.Sscanf(said[strings.LastIndex(said[:at], "\n")+1:], "%d of %d vectors", &as, &all); err != nil {
				t.Errorf("%s: %v", format, err)
			}
		}
		if as != all || all < c.least || strings.Contains(said, "MISS") {
			t.Errorf("%s: %d of %d vectors are read, there are %d:\n%s", format, as, all, c.least, said)
		}
	}
}

// TestAMissedVectorIsTold spoils vectors, one at a time.
func TestAMissedVectorIsTold(t *testing.T) {
	t.Parallel()
	good, err := os.ReadFile("testdata/vectors/gatt.json")
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct{ old, spoilt string }{
		"another number":           {`"systolic": 142`, `"systolic": 143`},
		"another canonical number": {`"weight_kg": 78.349`, `"weight_kg": 79.349`},
		"another mean":             {`"map_mmHg": 93.0`, `"map_mmHg": 12.4`},
		"another amount":           {`"mmol_L": 6.99`, `"mmol_L": 126`},
		"another unit":             {`"unit": "kPa"`, `"unit": "mm[Hg]"`},
		"another time":             {`"timestamp": "2026-03-29T07:58:00"`, `"timestamp": "2026-03-29T07:59:00"`},
		"another user":             {`"user_id": 1`, `"user_id": 2`},
		"another finding":          {`"irregular_pulse"`, `"cuff_loose"`},
		"a number that failed":     {`"systolic": null`, `"systolic": 0`},
		"a number that is there":   {`"spo2": 72`, `"spo2": null`},
		"another interval":         {`0.869140625`, `0.87`},
		"another meal":             {`"meal": "fasting"`, `"meal": "casual"`},
		"another special":          {`"meaning": "NaN"`, `"meaning": "NRes"`},
		"another float":            {`"value": 1234`, `"value": 123.4`},
		"a key of nobody":          {`"battery_pct": 100`, `"colour": 7`},
		"a truth that is none":     {`"demonstration": true`, `"calibrating": true`},
		"no control solution":      {`"control_solution": true`, `"control_solution": false`},
		"hex that is none":         {`"hex": "64"`, `"hex": "6"`},
		"nothing expected":         {`"battery_pct": 100`, `"note": "full"`},
	} {
		spoilt := strings.Replace(string(good), c.old, c.spoilt, 1)
		if spoilt == string(good) {
			t.Fatalf("%s: %s is not there to be spoilt", name, c.old)
		}
		file := filepath.Join(t.TempDir(), "gatt.json")
		if err := os.WriteFile(file, []byte(spoilt), 0o600); err != nil {
			t.Fatal(err)
		}
		code, said := hale(t, "conformance", "gatt", file)
		if code != 1 || strings.Count(said, "MISS") != 1 || !strings.Contains(said, "vectors are missed") {
			t.Errorf("%s: ended with %d:\n%s", name, code, said)
		}
	}
}

func TestAMissedBodyOrResourceIsTold(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct{ format, path, text string }{
		"a body that should fail and does not": {"omh", "step-count/1.0/shouldFail/a.json", `{"step_count":1}`},
		"a body that should pass and does not": {"omh", "step-count/1.0/shouldPass/a.json", `{"step_count":"1"}`},
		"a reason that names no field":         {"omh", "step-count/1.0/shouldFail/a.json", `[`},
		"a schema that nobody knows":           {"omh", "blood_pressure/3.0/shouldPass/a.json", `{}`},
		"a version that nobody knows":          {"omh", "step-count/9.0/shouldFail/a.json", `{}`},
		"a body that lies anywhere":            {"omh", "step-count/1.0/a.json", `{"step_count":1}`},
		"an Observation that cannot be read": {"fhir", "a.json", `{"resourceType":"Observation","status":"final",` +
			`"code":{"coding":[{"system":"http://loinc.org","code":"8867-4"}]},"valueString":"1"}`},
		"no JSON":    {"fhir", "a.json", `{`},
		"no vectors": {"fhir", "a.txt", ``},
		"no file":    {"gatt", "a.txt", `x`},
	} {
		dir := t.TempDir()
		file := filepath.Join(dir, filepath.FromSlash(c.path))
		if err := os.MkdirAll(filepath.Dir(file), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, []byte(c.text), 0o600); err != nil {
			t.Fatal(err)
		}
		if code, said := hale(t, "conformance", c.format, dir); code != 1 {
			t.Errorf("%s: ended with %d:\n%s", name, code, said)
		}
	}
}

// heartOf is a heart rate of FHIR at a time.
func heartOf(effective string) string {
	return `{"resourceType":"Observation","status":"final","code":{"coding":[{"system":"http://loinc.org","code":"8867-4"}]},` + effective +
		`"valueQuantity":{"value":61,"system":"http://unitsofmeasure.org","code":"/min"}}`
}

func TestAPayloadIsDecodedForAPerson(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		format, payload string
		more            []string
		code            int
		want            []string
	}{
		"a cuff in hexadecimal digits": {"gatt:2A35", "1E 8E00 5B00 6C00 EA07031D073A00 4200 01 0400\n", nil, 0, []string{
			"blood_pressure: systolic 142 mm[Hg], diastolic 91 mm[Hg], pulse 66 /min (142 mm[Hg], 91 mm[Hg], 66 /min)",
			", at 2026-03-29T07:58:00 by its own clock, user 1, irregular_pulse",
			"mean_pressure  108 mm[Hg]",
		}},
		"the same in bytes": {"gatt:2a35", "\x00\x80\x00\x4f\x00\x5f\x00", nil, 0, []string{"systolic 128 mm[Hg]"}},
		"a glucose out of range": {"gatt:2A18", "0A0900EA0705010D0000FE07112000", nil, 1, []string{
			"REFUSED  element 0: not_a_number: concentration: byte 10", "higher than it can measure", "1 of 1 refused",
		}},
		"what is implausible": {"gatt:2A37", "00 05", nil, 0, []string{"DOUBT  it would be kept apart: heart_rate value 5 /min lies outside"}},
		"a time that says no more than the month": {"fhir", heartOf(`"effectiveDateTime":"2026-11",`), nil, 0, []string{
			"at 2026-11\n", "DOUBT  it would be kept apart: effectiveDateTime: the time says no more than the month",
		}},
		"a time before there was Hale": {"fhir", heartOf(`"effectiveDateTime":"1999-07-02",`), nil, 0, []string{"DOUBT  it would be kept apart: effectiveDateTime: time 1999-07-02T00:00:00Z lies before 2015"}},
		"a time that is to come":       {"fhir", heartOf(`"effectiveDateTime":"2999-07-02T08:00:00Z",`), []string{"--json"}, 0, []string{`"doubt": "effectiveDateTime: time 2999-07-02T08:00:00Z is more than 5 minutes ahead of ours`}},
		"a cuff that sent nothing":     {"gatt:2A35", "\x00", nil, 1, []string{"REFUSED  element 0: unparsable: systolic: byte 1", "!mean_pressure"}},
		"a body of Open mHealth": {"omh:heart-rate:1.0", `{"heart_rate":{"value":61.0,"unit":"beats/min"}}`, nil, 0, []string{
			"heart_rate: value 61.0 /min (61 /min), time not known",
		}},
		"a Bundle": {"fhir", `{"resourceType":"Bundle","type":"batch","entry":[{"resource":{"resourceType":"Patient"}}]}`, nil, 1, []string{
			"NOT KEPT  element 0: metric: entry[0].resource.resourceType: a Patient",
		}},
		"the wire": {"json", `[{"metric":"heart_rate","value":61,"unit":"bpm","time":"2026-03-29T07:58:00+02:00","seq":7},{"metric":"mood"}]`, nil, 1, []string{
			"heart_rate: value 61 /min (61 /min), at 2026-03-29T05:58:00Z, sequence 7", `element 1: metric: metric "mood" is not known`,
		}},
		"a gateway":                {"gateway", `{"type":"HB_Msg","mac":"DC:A6"}`, nil, 0, []string{"heartbeat  DC:A6"}},
		"Withings":                 {"withings", `{"status":503}`, nil, 1, []string{"status: 503 is an error of Withings"}},
		"the context of a glucose": {"gatt:2A34", "02070003", nil, 0, []string{"beside the measurement with sequence 7", "meal  fasting"}},
		"as JSON": {"gatt:2A9D", "02 363D EA070A19061E05", []string{"--json"}, 0, []string{
			`"sent": "78.350"`, `"sent_unit": "kg"`, `"time": "2026-10-25T06:30:05"`, `"local_time": true`,
		}},
		"a refusal as JSON": {"gatt:2A18", "0A0900EA0705010D0000FE07112000", []string{"--json"}, 1, []string{
			`"readings": []`, `"beyond": "above"`, `"field": "concentration"`,
		}},
		"a format of nobody":         {"csv", "x", nil, 1, []string{`format "csv" is not known`}},
		"a characteristic of none":   {"gatt", "x", nil, 1, []string{"say which characteristic"}},
		"a schema that is no name":   {"omh:x", "x", nil, 1, []string{"names no schema"}},
		"a schema of something else": {"omh:mood:1.0", "{}", nil, 1, []string{"is no schema that Hale reads"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			file := filepath.Join(t.TempDir(), "payload")
			if err := os.WriteFile(file, []byte(c.payload), 0o600); err != nil {
				t.Fatal(err)
			}
			code, said := hale(t, append([]string{"decode", "--format", c.format, file}, c.more...)...)
			if code != c.code {
				t.Errorf("it ended with %d", code)
			}
			for _, want := range c.want {
				if not, never := strings.CutPrefix(want, "!"); never == strings.Contains(said, not) {
					t.Errorf("%q is wrong of\n%s", want, said)
				}
			}
		})
	}
}

func TestHexadecimalDigitsAreToldFromBytes(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{"0x00 48\n": "\x00\x48", "00:48": "\x00\x48", "00-48": "\x00\x48", "\x00\x48": "\x00\x48", "": "", "d": "d", "Z\x01": "Z\x01"} {
		if got, err := hexOrBytes([]byte(text)); err != nil || !bytes.Equal(got, []byte(want)) {
			t.Errorf("%q became %q, %v", text, got, err)
		}
	}
	for text, want := range map[string]string{"0AGG": `digit 3 is 'G'`, "0x00 4O\n": `digit 4 is 'O'`, "004": "3 digits"} {
		if got, err := hexOrBytes([]byte(text)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q became %q, %v; want %s", text, got, err, want)
		}
	}
}

// TestTheGuideToFormatsIsRight runs every line of docs/formats.md that decodes a sample, and knows every sample from there.
func TestTheGuideToFormatsIsRight(t *testing.T) {
	t.Parallel()
	guide, err := os.ReadFile("../../docs/formats.md")
	if err != nil {
		t.Fatal(err)
	}
	samples, err := filepath.Glob("../../docs/examples/formats/*")
	if err != nil || len(samples) < 5 {
		t.Fatalf("samples %v, %v", samples, err)
	}
	tried := map[string]bool{}
	for _, line := range regexp.MustCompile(`hale decode --format (\S+) (docs/\S+)`).FindAllStringSubmatch(string(guide), -1) {
		sample := "../../" + line[2]
		tried[sample] = true
		if code, said := hale(t, "decode", "--format", line[1], sample); code != 0 || strings.Contains(said, "DOUBT") {
			t.Errorf("%s ends with %d: %s", line[0], code, said)
		}
	}
	for _, sample := range samples {
		if !tried[sample] {
			t.Errorf("docs/formats.md does not say how %s is decoded", sample)
		}
	}
}
