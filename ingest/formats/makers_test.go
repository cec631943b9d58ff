package formats_test

import (
	"strings"
	"testing"

	"hale/fault"
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

func TestAMessageIsBoundedInDepthAndLength(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct{ sent, want string }{
		"too deep":     {strings.Repeat("[", 33) + strings.Repeat("]", 33), "more than 32 deep"},
		"deep enough":  {strings.Repeat("[", 32) + strings.Repeat("]", 32), "[0]: it is a list"},
		"too long":     {"[" + strings.Repeat("0,", 1000) + "0]", "has 1001 elements"},
		"empty":        {"[]", "has 0 elements"},
		"no text":      {"[\"\xff\"]", "not UTF-8"},
		"with a mark":  {"\ufeff{}", "type: it is missing"},
		"no end":       {`{"type":`, "not JSON at byte 8"},
		"two messages": {`{} {}`, "not JSON at byte 4"},
	} {
		m := formats.Gateway([]byte(c.sent))
		if len(m.Refused) == 0 || !strings.Contains(m.Refused[0].Detail, c.want) {
			t.Errorf("%s: %+v", name, m)
		}
	}
}

func TestAFormatIsNamedInOneText(t *testing.T) {
	t.Parallel()
	for name, want := range map[string]string{
		"gatt:2A19": "refused implausible", "omh": "refused", "omh:step-count:1.0": "refused", "fhir": "refused", "withings": "refused", "gateway": "refused",
		"gatt": "", "gatt:": "", "omh:": "", "omh:step-count": "", "fhir:": "", "csv": "", "": "",
	} {
		m, err := formats.Read(name, []byte("{"))
		switch {
		case want == "" && !fault.Is(err, fault.Invalid):
			t.Errorf("%q was taken: %v", name, err)
		case want != "" && !strings.HasPrefix(told(m), want):
			t.Errorf("%q: %s", name, told(m))
		}
	}
}

// FuzzWithings: no text ends the decoder, and whatever it returns is sound.
func FuzzWithings(f *testing.F) { fuzzJSON(f, "testdata/withings.txt", formats.Withings) }

// FuzzGateway is the same of reports of gateways.
func FuzzGateway(f *testing.F) { fuzzJSON(f, "testdata/gateway.txt", formats.Gateway) }

func fuzzJSON(f *testing.F, seeds string, read func([]byte) formats.Message) {
	f.Helper()
	for _, seed := range goldenInputs(f, seeds) {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, text []byte) { sound(t, read(text)) })
}
