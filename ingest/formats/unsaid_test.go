package formats_test

import (
	"fmt"
	"strings"
	"testing"

	"hale/ingest/formats"
)

// beside tells what was read of the first refusal of a payload beside its numbers.
func beside(m formats.Message) string {
	if len(m.Refused) == 0 || m.Refused[0].Draft == nil {
		return ""
	}
	d := m.Refused[0].Draft
	var words []string
	for _, f := range d.Facts {
		words = append(words, f.Name+"="+f.Value)
	}
	if d.HasSlot {
		words = append(words, fmt.Sprintf("slot %d", d.Slot))
	}
	if d.HasSequence {
		words = append(words, fmt.Sprintf("seq %d", d.Sequence))
	}
	return strings.Join(append(words, d.Findings.Names()...), "; ")
}

// TestNothingIsSaidThatNobodySent: of a payload that ends too early what is not there has no facts, no user and no number of its own.
func TestNothingIsSaidThatNobodySent(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct{ characteristic, value, want string }{
		"a cuff that sends nothing":              {"2A35", "", ""},
		"a cuff without its mean":                {"2A35", "00 8000 4F00", ""},
		"a cuff of whose mean half is there":     {"2A35", "00 8000 4F00 5F", ""},
		"a cuff that ends in its date":           {"2A35", "1E 8000 4F00 5F00 EA07", "mean_pressure=95 mm[Hg]"},
		"a cuff without its user":                {"2A35", "08 8000 4F00 5F00", "mean_pressure=95 mm[Hg]"},
		"a cuff that no clock was set in":        {"2A35", "0A 8000 4F00 5F00 EA07021E073A00 01", "mean_pressure=95 mm[Hg]; slot 1"},
		"the same, and its user is missing":      {"2A35", "0A 8000 4F00 5F00 EA07021E073A00", "mean_pressure=95 mm[Hg]"},
		"a reserved flag":                        {"2A35", "28 8000 4F00 5F00 01", ""},
		"a heart rate without its intervals":     {"2A37", "10 44", ""},
		"a heart rate with one and a half":       {"2A37", "10 44 7203 7A", "rr_intervals=0.861328125 s"},
		"a heart rate without its energy":        {"2A37", "0E 44", "contact=detected"},
		"a heart rate that sends nothing":        {"2A37", "", ""},
		"a weight without its height":            {"2A9D", "0E 7943 EA070A19061E05 02 E100", "body_mass_index=22.5 kg/m2; slot 2"},
		"a weight without its index":             {"2A9D", "0C 7943 02", "slot 2"},
		"pounds without their height":            {"2A9D", "0D 7943 02 E100", "body_mass_index=22.5 kg/m2; slot 2"},
		"a temperature without its place":        {"2A1C", "04 382700FE", ""},
		"a glucose that ends in its number":      {"2A18", "02 0700 EA070501071E00", ""},
		"a glucose without a sequence":           {"2A18", "02 07", ""},
		"a glucose without its offset":           {"2A18", "13 0700 EA070501071E00", ""},
		"a glucose with a byte too many":         {"2A18", "12 0700 EA070501071E00 7EB0 11 00", "context=follows; specimen=capillary whole blood; sample_location=finger; seq 7"},
		"an oximeter without its amplitude":      {"2A5E", "08 6100 4800", ""},
		"an oximeter without its clock":          {"2A5E", "10 6100", ""},
		"an oximeter of which the slow are gone": {"2A5F", "03 6100 4800 6000 4700", "saturation_fast=96 %; pulse_fast=71 /min"},
	} {
		m := formats.GATT(c.characteristic, octets(t, c.value))
		if len(m.Drafts) != 0 || len(m.Refused) == 0 {
			t.Errorf("%s: %s", name, told(m))
		} else if got := beside(m); got != c.want {
			t.Errorf("%s: it says %q, want %q", name, got, c.want)
		}
	}
}
