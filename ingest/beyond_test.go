package ingest_test

import (
	"fmt"
	"testing"

	"hale/ingest"
	"hale/vital"
)

// TestWhatAMeterCannotMeasureIsToldApart: LO and HI are no numbers, and can be an emergency: they travel with the metric, in the live lane.
func TestWhatAMeterCannotMeasureIsToldApart(t *testing.T) {
	t.Parallel()
	core := ingest.New(ingest.Config{})
	for text, want := range map[string]vital.Beyond{"LO": vital.Below, "low": vital.Below, " HI ": vital.Above, "High": vital.Above, "LOST": 0} {
		no := one(t, core, registry(), message(readings, fmt.Sprintf(`{"metric":"glucose","value":%q,"unit":"mg/dL"}`, text))).Refused
		if no == nil || no.Reason != vital.ReasonNotANumber || no.Beyond != want {
			t.Errorf("%q: %+v, want beyond %d", text, no, want)
			continue
		}
		if read := no.Read != nil && no.Read.Metric == vital.Glucose && no.Read.Patient == anna && no.Read.N == 0; read != (want != 0) {
			t.Errorf("%q: read %+v", text, no.Read)
		}
	}
}
