package web

import (
	"math"
	"testing"

	"hale/alerts"
	"hale/vital"
)

func TestWhatWasRefusedIsToldInPlainWords(t *testing.T) {
	t.Parallel()
	for want, u := range map[string]alerts.Unverified{
		"systolic 210 mmHg":                            {Metric: vital.BloodPressure, Values: []float64{210}},
		"diastolic 140 mmHg":                           {Metric: vital.BloodPressure, Values: []float64{math.NaN(), 140}},
		"66 (unit not known)":                          {Metric: vital.OxygenSat, Values: []float64{66}, Unitless: true},
		"systolic 250 (unit not known)":                {Metric: vital.BloodPressure, Values: []float64{250}, Unitless: true},
		"systolic 250, diastolic 140 (unit not known)": {Metric: vital.BloodPressure, Values: []float64{250, 140}, Unitless: true},
	} {
		if got := unverifiedValues(&u); got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
	for why, want := range map[vital.Reason]string{
		vital.ReasonNotKept: "was refused: its sender calls it preliminary, or does not say that it is a final result",
		vital.ReasonUnit:    "was refused: its unit is missing or unknown",
	} {
		if got := placeWords(&alerts.Unverified{Place: alerts.InQuarantine, Why: string(why)}); got != want {
			t.Errorf("%s: %q, want %q", why, got, want)
		}
	}
}
