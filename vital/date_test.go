package vital_test

import (
	"testing"
	"time"

	"hale/vital"
)

func TestDatesAreOfTheCalendar(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]struct {
		date, when bool
		year       int
	}{
		"1941": {true, true, 1941}, "1941-03": {true, true, 1941}, "1941-03-02": {true, true, 1941}, "2024-02-29": {true, true, 2024},
		"2023-02-29": {}, "1941-3-2": {}, "2.3.1941": {}, "0000": {}, "": {}, "1941-13": {}, "19 1": {}, "+194": {}, "1941-03-0": {}, "02/03/1941": {},
		"1941-03-02T10:00:00Z": {false, true, 0}, "1941-03-02T10:00:00.25+01:00": {false, true, 0}, "1941-03-02T10:00": {},
	} {
		if d := vital.Date(text); d.Valid() != want.date || d.Year() != want.year || vital.ValidWhen(text) != want.when {
			t.Errorf("%q: valid %v, year %d, when %v", text, d.Valid(), d.Year(), vital.ValidWhen(text))
		}
	}
}

func TestDatesAgreeAsFarAsBothAreKnown(t *testing.T) {
	t.Parallel()
	for pair, want := range map[[2]vital.Date]bool{
		{"1941", "1941-03-02"}: true, {"1941-03-02", "1941-03-02"}: true, {"", "1941"}: true, {"1941-03", "1941-04-02"}: false, {"1941", "1942"}: false,
	} {
		if pair[0].Agrees(pair[1]) != want || pair[1].Agrees(pair[0]) != want {
			t.Errorf("%s and %s", pair[0], pair[1])
		}
	}
}

func TestAPeriodIncludesItsEnd(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]time.Time{
		"2001":                 time.Date(2002, 1, 1, 12, 0, 0, 0, time.UTC),
		"2001-05":              time.Date(2001, 6, 1, 12, 0, 0, 0, time.UTC),
		"2001-12-31":           time.Date(2002, 1, 1, 12, 0, 0, 0, time.UTC),
		"2001-05-06T10:00:00Z": time.Date(2001, 5, 6, 10, 0, 0, 0, time.UTC),
		"soon":                 {},
	} {
		if got := vital.EndOf(text); !got.Equal(want) {
			t.Errorf("%q ends at %s", text, got)
		}
	}
}
