package ingest_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"hale/devices"
	"hale/ingest"
	"hale/vital"
)

// onDay is a heart rate in FHIR R4 of which no more than the day is told.
func onDay(day string) string {
	return strings.Replace(observation("final", "61.0", ""), "2026-11-21T07:25:00+00:00", day, 1)
}

// A reading is of the past when even the latest moment at which it can have been measured is long over.
func TestWhatMayHaveBeenMeasuredJustNowIsNotHistoric(t *testing.T) {
	t.Parallel()
	// Its clock was right a day ago and is nine hours behind now: when in between that came about, nobody knows.
	look := func(ago, offset time.Duration) vital.ClockLook {
		return vital.ClockLook{At: moment().Add(-ago), Clock: vital.Clock{Offset: offset, Method: vital.ClockCoincident, Uncertainty: 11 * time.Second}}
	}
	changed, _ := devices.Clocks(nil).Hear(look(24*time.Hour, 20*time.Second))
	changed, _ = changed.Hear(look(0, 9*time.Hour))
	steady, _ := devices.Clocks(nil).Hear(look(24*time.Hour, 9*time.Hour))
	const fhir = "hale/v1/cuff-7/fhir"
	cases := map[string]struct {
		topic, payload string
		clocks         devices.Clocks
		historic       bool
	}{
		"the date of today":                           {fhir, onDay("2026-11-21"), nil, false},
		"that of yesterday, over since seven hours":   {fhir, onDay("2026-11-20"), nil, true},
		"a clock that was changed by hours meanwhile": {readings, heartAt(moment().Add(-16 * time.Hour)), changed, false},
		"the same, but a day before":                  {readings, heartAt(moment().Add(-40 * time.Hour)), changed, true},
		"a clock that was wrong by as much all along": {readings, heartAt(moment().Add(-16 * time.Hour)), steady, true},
		"a clock of which nothing is known":           {readings, heartAt(moment().Add(-7 * time.Hour)), nil, true},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := registry()
			s.Clocks = map[devices.ClockKey]devices.Clocks{{Sensor: own}: c.clocks}
			r := one(t, ingest.New(ingest.Config{}), s, message(c.topic, c.payload)).Reading
			if r == nil || (r.Findings&vital.Historic != 0) != c.historic {
				t.Errorf("became %s, historic is to be %t", fmt.Sprintf("%+v", r), c.historic)
			}
		})
	}
}
