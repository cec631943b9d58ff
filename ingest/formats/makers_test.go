package formats_test

import (
	"testing"

	"hale/ingest/formats"
)

func TestWithings(t *testing.T) {
	t.Parallel()
	golden(t, "testdata/withings.txt", func(_ *testing.T, given string) formats.Message { return formats.Withings([]byte(given)) })
}

func TestGateway(t *testing.T) {
	t.Parallel()
	golden(t, "testdata/gateway.txt", func(_ *testing.T, given string) formats.Message { return formats.Gateway([]byte(given)) })
}

// FuzzMakers: no text ends the decoders of makers' JSON, and whatever they return is sound.
func FuzzMakers(f *testing.F) {
	for _, path := range []string{"testdata/withings.txt", "testdata/gateway.txt"} {
		for _, seed := range goldenInputs(f, path) {
			f.Add([]byte(seed))
		}
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		sound(t, formats.Withings(text))
		sound(t, formats.Gateway(text))
	})
}
