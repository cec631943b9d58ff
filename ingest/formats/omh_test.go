package formats_test

import (
	"strings"
	"testing"

	"hale/ingest/formats"
)

func TestOpenMHealth(t *testing.T) {
	t.Parallel()
	golden(t, "testdata/omh.txt", func(t *testing.T, given string) formats.Message {
		t.Helper()
		first, body, ok := strings.Cut(given, "\n")
		if !ok || first == "data point" {
			return formats.OpenMHealth([]byte(body), formats.Schema{})
		}
		s, err := formats.ParseSchema(first)
		if err != nil {
			t.Fatal(err)
		}
		return formats.OpenMHealth([]byte(body), s)
	})
}

func TestASchemaIsNamedInOneWay(t *testing.T) {
	t.Parallel()
	for _, good := range []string{"blood-pressure:4.0", "omh:blood-pressure:4.0"} {
		if s, err := formats.ParseSchema(good); err != nil || s != (formats.Schema{Name: "blood-pressure", Version: "4.0"}) {
			t.Errorf("%s: %v, %v", good, s, err)
		}
	}
	for _, bad := range []string{"", "omh", "blood-pressure", ":4.0", "blood-pressure:"} {
		if s, err := formats.ParseSchema(bad); err == nil {
			t.Errorf("%q was taken as %v", bad, s)
		}
	}
}

// FuzzOpenMHealth: no body ends the decoder, and whatever it returns is sound.
func FuzzOpenMHealth(f *testing.F) {
	for _, schema := range append(formats.Schemas(), "", "body-mass-index") {
		for _, version := range []string{"1.0", "2.0", "3.1", "4.0", "x", ""} {
			f.Add(schema, version, `{"systolic_blood_pressure":{"value":160,"unit":"mmHg"},"diastolic_blood_pressure":{"value":60,"unit":"mmHg"},`+
				`"effective_time_frame":{"date_time":"2026-02-05T07:25:00Z"},"body_posture":"sitting"}`)
		}
		f.Add(schema, "1.0", `[{"step_count":6000},{"sleep_duration":{"value":25200,"unit":"sec"}},{"body_weight":{"value":1.6e3,"unit":"oz"}}]`)
		f.Add(schema, "3.0", `{"total_sleep_time":{"value":1,"unit":"d"},"effective_time_frame":{"time_interval":{"end_date_time":"2026-02-05T07:25:00+01:00",`+
			`"duration":{"value":2.5,"unit":"Mo"}}},"descriptive_statistic":"average"}`)
	}
	f.Add("", "", `{"header":{"id":"a","creation_date_time":"2026-02-05T07:25:00Z","schema_id":{"namespace":"omh","name":"heart-rate","version":"2.0"}},`+
		`"body":{"heart_rate":{"value":61,"unit":"beats/min"},"effective_time_frame":{"time_interval":{"date":"2026-02-05","part_of_day":"night"}}}}`)
	f.Fuzz(func(t *testing.T, name, version, body string) {
		sound(t, formats.OpenMHealth([]byte(body), formats.Schema{Name: name, Version: version}))
	})
}
