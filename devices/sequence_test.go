package devices_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"hale/devices"
	"hale/vital"
)

// numbered are readings of a metric, each so many minutes after the one before, with their numbers.
func numbered(m vital.Metric, minutes int, numbers ...int64) (all []devices.Counted) {
	at := time.Date(2026, 6, 1, 6, 0, 0, 0, time.UTC)
	for i, n := range numbers {
		all = append(all, devices.Counted{Metric: m, Number: n, SentAt: at.Add(time.Duration(i*minutes) * time.Minute)})
	}
	return all
}

func told(all []devices.Sequence) (texts []string) {
	for _, s := range all {
		text := fmt.Sprintf("%d: %d missing", s.Metric, s.Missing())
		for _, g := range s.Gaps {
			text += fmt.Sprintf(" (%d-%d)", g.After, g.Before)
		}
		for _, r := range s.Repeated {
			text += fmt.Sprintf(", %d again", r.Number)
		}
		if n := len(s.Restarts); n > 0 {
			text += fmt.Sprintf(", anew %d", n)
		}
		texts = append(texts, text)
	}
	return texts
}

func TestNumbersThatAreMissing(t *testing.T) {
	t.Parallel()
	bp, pulse := vital.BloodPressure, vital.HeartRate
	for name, c := range map[string]struct {
		readings []devices.Counted
		want     []string
	}{
		"nothing":                                   {nil, nil},
		"one after another":                         {numbered(bp, 60, 5, 6, 7), []string{"1: 0 missing"}},
		"two are missing":                           {numbered(bp, 60, 5, 6, 9, 10), []string{"1: 2 missing (6-9)"}},
		"two gaps":                                  {numbered(bp, 60, 1, 3, 4, 7), []string{"1: 3 missing (1-3) (4-7)"}},
		"a count that began at one again":           {numbered(bp, 60, 98, 99, 100, 1, 2, 4), []string{"1: 1 missing (2-4), anew 1"}},
		"a count that wrapped around":               {numbered(bp, 60, 65534, 65535, 0, 1), []string{"1: 0 missing, anew 1"}},
		"a leap to a million is a new count":        {numbered(bp, 60, 5, 6, 1_000_000, 1_000_001), []string{"1: 0 missing, anew 1"}},
		"a leap over more than ten thousand":        {numbered(bp, 7200, 5, 20_005, 20_006), []string{"1: 0 missing, anew 1"}},
		"a leap faster than a reading a second":     {numbered(bp, 1, 5, 200), []string{"1: 0 missing, anew 1"}},
		"a buffer that was lost overnight":          {numbered(pulse, 600, 100, 8000, 8001), []string{"2: 7899 missing (100-8000)"}},
		"a clock of minutes":                        {numbered(bp, 0, 5, 7), []string{"1: 1 missing (5-7)"}},
		"one that came late fills its gap":          {numbered(bp, 60, 1, 2, 4, 3, 5), []string{"1: 0 missing"}},
		"a number under another time":               {numbered(bp, 60, 1, 2, 3, 2, 4), []string{"1: 0 missing, 2 again"}},
		"the last one under another time":           {numbered(bp, 60, 1, 2, 3, 3), []string{"1: 0 missing, 3 again"}},
		"the two metrics are counted together":      {append(numbered(bp, 60, 1, 3, 6), numbered(pulse, 60, 2, 4, 7)...), []string{"0: 1 missing (4-6)"}},
		"each metric is counted for itself":         {append(numbered(bp, 60, 1, 2, 4), numbered(pulse, 60, 1, 2, 3, 4)...), []string{"1: 1 missing (2-4)", "2: 0 missing"}},
		"the largest numbers there can be, at once": {numbered(bp, 60, 0, 1<<62), []string{"1: 0 missing, anew 1"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if diff := cmp.Diff(c.want, told(devices.Sequences(c.readings))); diff != "" {
				t.Error(diff)
			}
		})
	}
}
