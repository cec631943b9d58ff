package ingest_test

import (
	"fmt"
	"strings"
	"testing"

	"hale/ingest"
	"hale/vital"
)

// Whoever sent a time that is refused must know which of its fields it was.
func TestARefusedTimeNamesItsField(t *testing.T) {
	t.Parallel()
	const fhir, omh = "hale/v1/cuff-7/fhir", "hale/v1/cuff-7/omh"
	heart := func(time string) string { return `{"metric":"heart_rate","value":61,"unit":"/min"` + time + `}` }
	period := strings.Replace(observation("final", "61.0", ""), `"effectiveDateTime":"2026-11-21T07:25:00+00:00"`, `"effectivePeriod":{"start":"2026-11-21T07:00:00Z","end":"2026-11-21T09:00:00Z"}`, 1)
	point := func(frame string) string {
		return `{"header":{"id":"f1","creation_date_time":"2026-11-21T07:20:00Z","schema_id":{"namespace":"omh","name":"body-weight","version":"2.0"}},` +
			`"body":{"body_weight":{"value":81.40,"unit":"kg"},"effective_time_frame":` + frame + `}}`
	}
	withings := func(date int) string {
		return fmt.Sprintf(`{"status":0,"body":{"measuregrps":[{"attrib":0,"category":1,"date":%d,"measures":[{"value":97,"type":54,"unit":0}]}]}}`, date)
	}
	cases := map[string]struct{ topic, payload, field string }{
		"long ago":                          {readings, heart(`,"time":"2000-01-01T00:00:00Z"`), "time"},
		"ahead of us":                       {readings, heart(`,"time":"2026-11-21T08:25:00Z"`), "time"},
		"without a zone":                    {readings, heart(`,"time":"2026-11-21T07:25:00"`), "time"},
		"no text":                           {readings, heart(`,"time":1795245900`), "time"},
		"Bluetooth, reset":                  {"hale/v1/cuff-7/gatt/2a35", octets(t, "1E 8E00 5B00 6C00 D0070101000000 4200 01 0400"), "time"},
		"FHIR, a month":                     {fhir, onDay("2026-11"), "effectiveDateTime"},
		"FHIR, long ago":                    {fhir, onDay("2013-11-21T07:25:00Z"), "effectiveDateTime"},
		"FHIR, a period that is not over":   {fhir, period, "effectivePeriod.end"},
		"FHIR, of a Bundle":                 {fhir, `{"resourceType":"Bundle","type":"collection","entry":[{"resource":` + onDay("2013") + `}]}`, "entry[0].resource.effectiveDateTime"},
		"Open mHealth, long ago":            {omh, point(`{"date_time":"2013-02-05T07:25:00Z"}`), "body.effective_time_frame.date_time"},
		"Open mHealth, an interval to come": {omh, point(`{"time_interval":{"start_date_time":"2026-11-21T07:00:00Z","end_date_time":"2026-11-21T09:00:00Z"}}`), "body.effective_time_frame.time_interval.end_date_time"},
		"Open mHealth, by its length":       {omh, point(`{"time_interval":{"start_date_time":"2026-11-21T07:00:00Z","duration":{"value":3,"unit":"h"}}}`), "body.effective_time_frame.time_interval"},
		"Open mHealth, a day":               {omh, point(`{"time_interval":{"date":"2013-11-21","part_of_day":"morning"}}`), "body.effective_time_frame.time_interval.date"},
		"Withings":                          {"hale/v1/cuff-7/withings", withings(1195245900), "body.measuregrps[0].date"},
		"a gateway":                         {"hale/v1/cuff-7/gateway", `{"timestamp":1195245900,"systolic":142,"diastolic":91,"unit":"mmHg"}`, "timestamp"},
		"a gateway's report": {"hale/v1/cuff-7/gateway", `{"from":"PI","to":"CLOUD","time":1195245900,"mac":"DC:A6","type":"reportAttribute","data":{"attribute":"WBP","ble_mac":"FF:22",` +
			`"value":{"bp_high":120,"bp_low":78,"pr":71,"unit":"mmHg"}}}`, "time"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, receipt := ingest.New(ingest.Config{}).Decode(registry(), message(c.topic, c.payload))
			if len(receipt.Refused) != 1 {
				t.Fatalf("told %+v", receipt)
			}
			if no := receipt.Refused[0]; no.Reason != vital.ReasonClock || no.Field != c.field || !strings.Contains(no.Detail, c.field) && c.topic != readings {
				t.Errorf("refused %+v, want the field %q", no, c.field)
			}
		})
	}
	kept := message(readings, heart(""))
	kept.Retained = true
	if _, receipt := ingest.New(ingest.Config{}).Decode(registry(), kept); len(receipt.Refused) != 1 || receipt.Refused[0].Field != "time" {
		t.Errorf("kept by a broker: %+v", receipt)
	}
}
