package alerts

import (
	"strconv"
	"time"

	"hale/vital"
)

// Grounds are the numbers by which a trend put a reading at its level. They stand in the log as they were, so that an
// alert can be explained whatever arrives later. Values are in the metric's canonical unit, days are the patient's local
// ones, as in "2026-05-12".
type Grounds struct {
	Form      Form      `json:"form"`
	Direction Direction `json:"direction,omitempty"`
	Day       string    `json:"day"`             // of the reading
	Value     float64   `json:"value,omitempty"` // change and reference: the day's value; moving average: the mean; baseline: the reading's

	Against    float64 `json:"against,omitempty"`     // change: the lowest or highest; reference: itself; moving average and baseline: the median
	AgainstDay string  `json:"against_day,omitempty"` // change: when that was; baseline: the last day of the median
	By         float64 `json:"by,omitempty"`          // how far Value lies from Against, in the direction
	Name       string  `json:"name,omitempty"`        // reference: what it is
	Spread     float64 `json:"spread,omitempty"`      // baseline: the usual spread

	Unlike    bool    `json:"unlike,omitempty"`     // Value is the day's, and so far from Median that it may be somebody else's
	Median    float64 `json:"median,omitempty"`     // of 7 days, when Unlike or MedianWas; with Unlike 0: too few days, it is far from another value of the day
	MedianWas float64 `json:"median_was,omitempty"` // what the median was until the values became those that are usual now

	Days         int       `json:"days,omitempty"`           // change: looked back on; moving average: of the mean; average: of the mean; baseline: of the median
	DaysWith     int       `json:"days_with,omitempty"`      // moving average, average, baseline: how many of them have readings
	LongDays     int       `json:"long_days,omitempty"`      // moving average: of the median
	LongDaysWith int       `json:"long_days_with,omitempty"` // moving average: how many of them have readings
	Means        []float64 `json:"means,omitempty"`          // average: per component, rounded as they are compared
	Readings     int       `json:"readings,omitempty"`       // average: in the mean
	Sessions     int       `json:"sessions,omitempty"`       // average, baseline: half-days with readings, each of which weighs the same; 0: of before that was so
	Skipped      int       `json:"skipped,omitempty"`        // average: first days that were left out
}

// Words say in one plain sentence, without its full stop, why a trend judged as it did; m is the metric judged.
func (g *Grounds) Words(m vital.Metric) string {
	switch {
	case g.Form == FormAverage:
		return g.averageWords(m)
	case g.Direction == "": // no step was reached
		return amount(m, g.Value) + " on " + dayWords(g.Day) + g.doubtWords(m)
	}
	text := ""
	switch g.Form {
	case FormChange:
		way, extreme := "up ", "lowest "
		if g.Direction == Fall {
			way, extreme = "down ", "highest "
		}
		text = way + amount(m, g.By) + " in " + counted(g.Days, "day") + ": " + amount(m, g.Value) + " on " + dayWords(g.Day) + ", " +
			extreme + amount(m, g.Against) + " on " + dayWords(g.AgainstDay)
	case FormReference:
		text = amount(m, g.By) + g.side() + "the " + g.Name + " of " + amount(m, g.Against) + ": " + amount(m, g.Value) + " on " + dayWords(g.Day)
	case FormMovingAverage:
		text = "mean of the last " + counted(g.Days, "day") + " " + amount(m, g.Value) + ", " + amount(m, g.By) + g.side() + "the median " + amount(m, g.Against) +
			" of the " + counted(g.LongDays, "day") + " before"
		if g.DaysWith < g.Days || g.LongDaysWith < g.LongDays {
			done := "measured"
			if m == vital.BodyWeight {
				done = "weighed"
			}
			text += ", " + done + " on " + strconv.Itoa(g.DaysWith) + " of the " + strconv.Itoa(g.Days) + " and " +
				strconv.Itoa(g.LongDaysWith) + " of the " + counted(g.LongDays, "day")
		}
	case FormBaseline:
		return g.baselineWords(m)
	case FormAverage:
	}
	return text + g.doubtWords(m)
}

func (g *Grounds) side() string {
	if g.Direction == Fall {
		return " below "
	}
	return " above "
}

// doubts reports whether it is asked who was measured.
func (g *Grounds) doubts() bool { return g != nil && (g.Unlike || g.MedianWas != 0) }

// doubtWords ask the question that is open; empty when none is.
func (g *Grounds) doubtWords(m vital.Metric) string {
	switch {
	case g.Unlike && g.Median == 0:
		return "; far from another value of that day, ask who was measured"
	case g.Unlike:
		return "; far from the 7-day median of " + amount(m, g.Median) + ", ask who was measured"
	case g.MedianWas != 0:
		return "; the 7-day median is now " + amount(m, g.Median) + ", it was " + amount(m, g.MedianWas) + ", ask who was measured"
	}
	return ""
}

func (g *Grounds) averageWords(m vital.Metric) string {
	text := strconv.Itoa(g.Days) + "-day average "
	for i, v := range g.Means {
		if i == 2 { // the mean pulse says nothing here
			break
		}
		if i > 0 {
			text += "/"
		}
		text += decimals(v)
	}
	text += unitAfter(m) + " from " + counted(g.Readings, "reading")
	if g.Sessions > 0 {
		text += " in " + counted(g.Sessions, "session")
	}
	text += " on " + counted(g.DaysWith, "day")
	switch {
	case g.Skipped == 1:
		text += ", first day left out"
	case g.Skipped > 1:
		text += ", first " + strconv.Itoa(g.Skipped) + " days left out"
	}
	return text
}

// amount is a value with its unit, to two decimals.
func amount(m vital.Metric, v float64) string {
	return decimals(v) + unitAfter(m)
}

func decimals(v float64) string {
	return strconv.FormatFloat(float64(halfUp(thousandths(v), 10))/100, 'f', -1, 64)
}

func unitAfter(m vital.Metric) string {
	d, ok := vital.Define(m)
	if !ok {
		return ""
	}
	if word := d.Components[0].Canonical.Word(); word != "" {
		return " " + word
	}
	return ""
}

func counted(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return strconv.Itoa(n) + " " + what + "s"
}

// dayWords is a date as people say it: "Tue 12 May".
func dayWords(day string) string {
	t, err := time.Parse(time.DateOnly, day)
	if err != nil {
		return day
	}
	return t.Format("Mon 2 Jan")
}
