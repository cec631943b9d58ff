package formats_test

import (
	"encoding/hex"
	"os"
	"strings"
	"testing"

	"hale/ingest/formats"
	"hale/vital"
)

func octets(tb testing.TB, text string) []byte {
	tb.Helper()
	b, err := hex.DecodeString(strings.ReplaceAll(text, " ", ""))
	if err != nil {
		tb.Fatal(err)
	}
	return b
}

func TestGATT(t *testing.T) {
	t.Parallel()
	golden(t, "testdata/gatt.txt", func(t *testing.T, given string) formats.Message {
		t.Helper()
		name, value, _ := strings.Cut(given, " ")
		return formats.GATT(name, octets(t, value))
	})
}

func TestAContextGivesAGlucoseItsMeal(t *testing.T) {
	t.Parallel()
	d := formats.GATT("2A18", octets(t, "12 0700 EA070501071E00 7EB0 11")).Drafts[0]
	other := formats.GATT("2A34", octets(t, "02 0800 03")).Context
	if other.Apply(&d) || d.Metric != vital.Glucose {
		t.Errorf("the context of another measurement was taken: %s", d.Metric)
	}
	if c := formats.GATT("2A34", octets(t, "02 0700 03")).Context; !c.Apply(&d) || d.Metric != vital.GlucoseFasting {
		t.Errorf("the measurement is %s", d.Metric)
	}
	d.Metric = vital.Glucose
	if c := formats.GATT("2A34", octets(t, "00 0700")).Context; !c.Apply(&d) || d.Metric != vital.Glucose {
		t.Errorf("a context without meal made it %s", d.Metric)
	}
}

func TestWhatIsNobodysKeepsNoNumber(t *testing.T) {
	t.Parallel()
	for _, c := range [][2]string{{"2A5E", "02 5B00 5400 0004"}, {"2A18", "02 0700 EA070501071E00 7EB0 1A"}} {
		m := formats.GATT(c[0], octets(t, c[1]))
		if len(m.Refused) != 1 || m.Refused[0].Draft == nil || m.Refused[0].Draft.N != 0 || m.Refused[0].Draft.Sent != [3]vital.Quantity{} {
			t.Errorf("%s %s: %+v", c[0], c[1], m)
		}
	}
}

// These hold each characteristic on its own: no payload ends the decoder; a measurement always holds numbers of its metric in units
// of their kind; and what was read is all of the payload: one byte less or more is never the same measurement by silence.
func FuzzGlucose(f *testing.F)        { fuzzGATT(f, "2A18") }
func FuzzBattery(f *testing.F)        { fuzzGATT(f, "2A19") }
func FuzzTemperature(f *testing.F)    { fuzzGATT(f, "2A1C") }
func FuzzGlucoseContext(f *testing.F) { fuzzGATT(f, "2A34") }
func FuzzBloodPressure(f *testing.F)  { fuzzGATT(f, "2A35") }
func FuzzHeartRate(f *testing.F)      { fuzzGATT(f, "2A37") }
func FuzzSpotCheck(f *testing.F)      { fuzzGATT(f, "2A5E") }
func FuzzContinuous(f *testing.F)     { fuzzGATT(f, "2A5F") }
func FuzzWeight(f *testing.F)         { fuzzGATT(f, "2A9D") }

func fuzzGATT(f *testing.F, name string) {
	f.Helper()
	for _, seed := range []string{"", "00", "00 8000 4F00 5F00", "1E 8E00 5B00 6C00 EA07031D073A00 4200 01 0400", "1E 44 0002 7203 7A03",
		"07 7943 EA070A19061E05 02", "00 6100 4800", "1F 6100 4800 EA07031D073A00 2000 000100 0A00", "18 6100 4800 6100 4800", "57",
		"0F ACF3 BEF5 E8070B1D170839 2040 220000 66E3", "17 0800 EA0705010C0000 C4FF 43C0 11", "07 382700FE EA070202160F00 02",
		"FF 0800 00 01 1EF0 02 21 580232 01 05D0 46F0"} {
		f.Add(octets(f, seed))
	}
	f.Fuzz(func(t *testing.T, value []byte) {
		m := formats.GATT(name, value)
		sound(t, m)
		if len(m.Drafts) > 0 || m.Context != nil {
			if longer := formats.GATT(name, append(append([]byte{}, value...), 0)); len(longer.Drafts) > 0 || longer.Context != nil {
				t.Fatalf("%s %x is a measurement with and without another byte", name, value)
			}
		}
	})
}

func TestEveryCharacteristicIsFuzzed(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile("gatt_test.go")
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range formats.Characteristics() {
		if !strings.Contains(string(text), `fuzzGATT(f, "`+c+`")`) {
			t.Errorf("%s is not", c)
		}
	}
}
