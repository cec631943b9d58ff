package web

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"hale/alerts"
	"hale/vital"
)

// entries are one a minute from 10:00 on, of the given kinds and levels.
func entries(kinds []alerts.EntryKind, levels ...alerts.Level) []alerts.Entry {
	var log []alerts.Entry
	for i, kind := range kinds {
		e := alerts.Entry{
			Kind: kind, RecordedAt: time.Date(2026, 11, 21, 10, i, 0, 0, time.UTC), Values: []float64{60},
			Reading: alerts.Mark{At: time.Date(2026, 11, 21, 10, i, 0, 0, time.UTC), ID: int64(i + 1)},
		}
		if i < len(levels) {
			e.Level = levels[i]
		}
		log = append(log, e)
	}
	return log
}

func TestManyFurtherReadingsAreOneLine(t *testing.T) {
	t.Parallel()
	const opened, again, acknowledged = alerts.EntryOpened, alerts.EntryOccurred, alerts.EntryAcknowledged
	const yellow, red = alerts.Yellow, alerts.Red
	k := clock{now: time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC), zone: time.UTC}
	type line struct {
		Kind, Level string
		Folded      int
	}
	for name, c := range map[string]struct {
		kinds  []alerts.EntryKind
		levels []alerts.Level
		want   []line
		text   string // of the folded line
	}{
		"three are told one by one": {
			[]alerts.EntryKind{opened, again, again, again}, []alerts.Level{red, red, red, red},
			[]line{{"opened", "red", 0}, {"occurred", "red", 0}, {"occurred", "red", 0}, {"occurred", "red", 0}}, "",
		},
		"four are one line": {
			[]alerts.EntryKind{opened, again, again, again, again, acknowledged}, []alerts.Level{red, red, red, red, red},
			[]line{{"opened", "red", 0}, {"occurred", "red", 4}, {"acknowledged", "", 0}}, "4 further readings beyond the limit, 10:01 to 10:04",
		},
		"what people did stands between them": {
			[]alerts.EntryKind{again, again, acknowledged, again, again}, []alerts.Level{red, red, 0, red, red},
			[]line{{"occurred", "red", 0}, {"occurred", "red", 0}, {"acknowledged", "", 0}, {"occurred", "red", 0}, {"occurred", "red", 0}}, "",
		},
		"one level does not stand for several": {
			[]alerts.EntryKind{again, again, again, again, again}, []alerts.Level{yellow, red, yellow, yellow, yellow},
			[]line{{"occurred", "", 5}}, "5 further readings beyond the limit, 10:00 to 10:04, at worst red",
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var got []line
			text := ""
			for _, l := range timeline(alerts.LimitOn(vital.HeartRate), entries(c.kinds, c.levels...), k) {
				got = append(got, line{l.Kind, l.Level.Code, len(l.Folded)})
				if len(l.Folded) > 0 {
					text = l.Text
				}
			}
			if diff := cmp.Diff(c.want, got); diff != "" {
				t.Errorf("(-want +got)\n%s", diff)
			}
			if text != c.text {
				t.Errorf("it says %q, want %q", text, c.text)
			}
		})
	}
}

func TestReadingsThatCameOutOfOrderAreFoldedFromTheFirstToTheLast(t *testing.T) {
	t.Parallel()
	log := entries([]alerts.EntryKind{alerts.EntryOccurred, alerts.EntryOccurred, alerts.EntryOccurred, alerts.EntryOccurred})
	log[1].Reading.At, log[2].Reading.At = log[1].Reading.At.Add(time.Hour), log[2].Reading.At.Add(-time.Hour)
	k := clock{now: log[0].RecordedAt, zone: time.UTC}
	if got := timeline(alerts.LimitOn(vital.HeartRate), log, k); len(got) != 1 || got[0].Text != "4 further readings beyond the limit, 09:02 to 11:01" {
		t.Errorf("it says %+v", got)
	}
}

func TestTheLastValueIsNotShownAsTheWorst(t *testing.T) {
	t.Parallel()
	two := []alerts.EntryKind{alerts.EntryOpened, alerts.EntryOccurred}
	last := entries(two)[1].Reading
	for name, c := range map[string]struct {
		log         []alerts.Entry
		last, worse bool
	}{
		"one that is as bad as the alert is its value": {entries(two, alerts.Red, alerts.Extreme), false, false},
		"a lesser one is the last, and was worse":      {entries(two, alerts.Extreme, alerts.Red), true, true},
		"one of a level that is not known is the last": {entries(two[:1], alerts.Extreme), true, false},
		"the worse of what is said of it counts":       {append(entries(two, alerts.Red, alerts.Red), alerts.Entry{Kind: alerts.EntryWorsened, Level: alerts.Extreme, Reading: last}), false, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			a := alerts.Alert{Episode: alerts.Episode{Level: alerts.Extreme, Last: alerts.Mark{At: last.At.In(time.FixedZone("CET", 3600)), ID: last.ID}, Occurrences: 2}}
			if last, worse := lastLevel(&a, c.log); last != c.last || worse != c.worse {
				t.Errorf("last %t, worse %t", last, worse)
			}
		})
	}
}
