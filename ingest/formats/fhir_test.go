package formats_test

import (
	"testing"

	"hale/ingest/formats"
)

func TestFHIR(t *testing.T) {
	t.Parallel()
	golden(t, "testdata/fhir.txt", func(_ *testing.T, given string) formats.Message { return formats.FHIR([]byte(given)) })
}

// FuzzFHIR: no text ends the decoder, and whatever it returns is sound. That a measurement is written and read as the same is held where it
// is written (cmd/hale, FuzzWhatIsExported).
func FuzzFHIR(f *testing.F) { fuzzJSON(f, "testdata/fhir.txt", formats.FHIR) }
