package ingest_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"hale/ingest"
	"hale/vital"
)

// TestOfAMessageThatIsRefusedTheNumbersAreRead: what cannot be taken apart, or says two things at once, may be an emergency.
func TestOfAMessageThatIsRefusedTheNumbersAreRead(t *testing.T) {
	t.Parallel()
	oxygen := func(value string) string {
		return `{"metric":"oxygen_saturation","unit":"%","value":` + value + `,"time":"2026-11-21T07:20:00Z"}`
	}
	many := func(value string, n int) string { return strings.Repeat(oxygen(value)+",", n) }
	for name, c := range map[string]struct {
		payload string
		want    []string
	}{
		"more than a list holds":                {"[" + many("97", ingest.MaxElements) + oxygen("72") + "]", []string{"97", "72"}},
		"all of many":                           {"[" + many("72", ingest.MaxElements) + oxygen("72") + "]", []string{"72"}},
		"many that are refused by themselves":   {"[" + many(`"71"`, ingest.MaxElements) + oxygen("98") + "]", []string{"71", "98"}},
		"a list that ends too early":            {"[" + oxygen("97") + "," + oxygen("72") + ",", []string{"97", "72"}},
		"a list that ends in its second part":   {"[" + many("97", ingest.MaxElements) + oxygen("72") + ",{", []string{"97", "72"}},
		"a value twice":                         {oxygen(`98,"value":72`), []string{"98", "72"}},
		"a value twice, the first worse":        {"[" + oxygen(`72,"value":98`) + "]", []string{"72", "98"}},
		"a value twice that is the same":        {oxygen(`72,"value":72`), []string{"72"}},
		"a value twice, of which one is none":   {oxygen(`72,"value":null`), []string{"72"}},
		"a unit twice, of which one is no unit": {oxygen(`72,"unit":"none"`), []string{"72", "72 without unit"}},
	} {
		records, receipt := decode(message(readings, c.payload))
		var read []string
		for _, r := range records {
			if r.Reading != nil || r.Refused.Read == nil || r.Refused.Reason != vital.ReasonUnparsable {
				t.Errorf("%s: %+v", name, r)
				continue
			}
			q := r.Refused.Read.Sent[0]
			words := q.String()
			if q.Unit == vital.NoUnit {
				words += " without unit"
			}
			read = append(read, words)
		}
		if diff := cmp.Diff(c.want, read); diff != "" {
			t.Errorf("%s: %s", name, diff)
		}
		if len(receipt.Refused) != 1 || receipt.Accepted != 0 {
			t.Errorf("%s: %+v", name, receipt)
		}
	}
}
