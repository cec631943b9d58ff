package ingest_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"hale/vital"
)

func TestWhatASensorThatWasNotGrantedMeasuredIsReadNevertheless(t *testing.T) {
	t.Parallel()
	const low, list = `{"metric":"oxygen_saturation","value":70,"unit":"%"}`,
		`[{"metric":"oxygen_saturation","value":97,"unit":"%"},{"metric":"heart_rate","value":22,"unit":"/min","time":"2026-11-21T07:25:00Z"},{"metric":"tea","value":1}]`
	topic := "hale/v1/cuff-7/sensors/newox/"
	for name, c := range map[string]struct {
		topic, payload string
		read           []vital.Quantity // the zero quantity of a refusal of which nothing was read
	}{
		"our own JSON":            {topic + "readings", low, []vital.Quantity{q(70, 0, vital.Percent)}},
		"a list of it":            {topic + "readings", list, []vital.Quantity{q(97, 0, vital.Percent), q(22, 0, vital.PerMinute), {}}},
		"without a unit":          {topic + "readings", `{"metric":"oxygen_saturation","value":70}`, []vital.Quantity{q(70, 0, vital.NoUnit)}},
		"a Bluetooth payload":     {topic + "gatt/2A5E", octets(t, "00 4600 3C00"), []vital.Quantity{q(70, 0, vital.Percent), q(60, 0, vital.PerMinute)}},
		"FHIR":                    {topic + "fhir", observation("final", "22", ""), []vital.Quantity{q(22, 0, vital.PerMinute)}},
		"a battery level":         {topic + "gatt/2A19", octets(t, "40"), []vital.Quantity{{}}},
		"what is no JSON":         {topic + "readings", "{", []vital.Quantity{{}}},
		"an empty list":           {topic + "readings", "[]", []vital.Quantity{{}}},
		"a status":                {topic + "status", `{"battery":50}`, []vital.Quantity{{}}},
		"a meal beside a glucose": {topic + "gatt/2A34", octets(t, "02 0100 03"), []vital.Quantity{{}}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			records, receipt := decode(message(c.topic, c.payload))
			if receipt.Accepted != 0 || len(receipt.Refused) != len(records) {
				t.Fatalf("%d records, told %+v", len(records), receipt)
			}
			var read []vital.Quantity
			for i, r := range records {
				if r.Refused == nil || r.Refused.Reason != vital.ReasonSensor || receipt.Refused[i].Reason != vital.ReasonSensor {
					t.Fatalf("%d became %+v", i, r)
				}
				if r.Refused.Read == nil {
					read = append(read, vital.Quantity{})
				}
				for _, s := range r.Refused.All() {
					if read = append(read, s.Read.Sent[0]); s.Read.N != 1 || s.Read.Sensor != 0 || s.Read.Patient != 0 {
						t.Errorf("%d: read %+v", i, s)
					}
				}
			}
			if diff := cmp.Diff(c.read, read); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestNumbersAreReadBesideWhatIsWrong(t *testing.T) {
	t.Parallel()
	none := vital.Quantity{}
	for payload, want := range map[string][]vital.Quantity{
		`{"metric":"oxygen_saturation","value":"70","unit":"%"}`:                                   {q(70, 0, vital.Percent)},
		`{"metric":"oxygen_saturation","value":" 70 "}`:                                            {q(70, 0, vital.NoUnit)},
		`{"metric":"oxygen_saturation","value":"7O","unit":"%"}`:                                   nil,
		`{"metric":"blood_pressure","systolic":250,"diastolic":140}`:                               {q(250, 0, vital.NoUnit), q(140, 0, vital.NoUnit)},
		`{"metric":"blood_pressure","systolic":"250","diastolic":140,"unit":"mm[Hg]","pulse":160}`: {q(250, 0, vital.MmHg), q(140, 0, vital.MmHg), q(160, 0, vital.PerMinute)},
		`{"metric":"blood_pressure","systolic":null,"diastolic":140,"unit":"mm[Hg]"}`:              {none, q(140, 0, vital.MmHg)},
		`{"metric":"blood_pressure","systolic":210,"unit":"mm[Hg]"}`:                               {q(210, 0, vital.MmHg)},
	} {
		records, _ := decode(message(readings, payload))
		if len(records) != 1 || records[0].Refused == nil {
			t.Errorf("%s became %+v", payload, records)
			continue
		}
		var got []vital.Quantity
		if read := records[0].Refused.Read; read != nil {
			got = read.Sent[:read.N]
		}
		if len(got) != len(want) {
			t.Errorf("%s: read %v, want %v", payload, got, want)
			continue
		}
		for i := range want {
			if got[i] != want[i] {
				t.Errorf("%s: read %v, want %v", payload, got, want)
			}
		}
	}
}
