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
	Value     float64   `json:"value,omitempty"` // change and reference: the day's value; moving average: the mean

	Against    float64 `json:"against,omitempty"`     // change: the lowest or highest; reference: itself; moving average: the median
	AgainstDay string  `json:"against_day,omitempty"` // change: when that was
	By         float64 `json:"by,omitempty"`          // how far Value lies from Against, in the direction
	Name       string  `json:"name,omitempty"`        // reference: what it is

	Unlike bool    `json:"unlike,omitempty"` // change: so far from the median of 7 days that it may be somebody else's
	Median float64 `json:"median,omitempty"` // change: that median, when Unlike

	Days         int       `json:"days,omitempty"`           // change: looked back on; moving average: of the mean; average: of the mean
	DaysWith     int       `json:"days_with,omitempty"`      // moving average and average: how many of them have readings
	LongDays     int       `json:"long_days,omitempty"`      // moving average: of the median
	LongDaysWith int       `json:"long_days_with,omitempty"` // moving average: how many of them have readings
	Means        []float64 `json:"means,omitempty"`          // average: per component, rounded half up
	Readings     int       `json:"readings,omitempty"`       // average: in the mean
	Skipped      int       `json:"skipped,omitempty"`        // average: first days that were left out
}

// Words say in one plain sentence, without its full stop, why a trend judged as it did; m is the metric judged.
func (g *Grounds) Words(m vital.Metric) string {
	text := ""
	switch g.Form {
	case FormChange:
		text = g.changeWords(m)
	case FormReference:
		side := "above"
		if g.Direction == Fall {
			side = "below"
		}
		text = amount(m, g.By) + " " + side + " the " + g.Name + " of " + amount(m, g.Against) + ": " + amount(m, g.Value) + " on " + dayWords(g.Day)
	case FormMovingAverage:
		side := "above"
		if g.Direction == Fall {
			side = "below"
		}
		text = "mean of the last " + counted(g.Days, "day") + " " + amount(m, g.Value) + ", " + amount(m, g.By) + " " + side + " the median " + amount(m, g.Against) +
			" of the " + counted(g.LongDays, "day") + " before"
		if g.DaysWith < g.Days || g.LongDaysWith < g.LongDays {
			text += " (measured on " + strconv.Itoa(g.DaysWith) + " and " + strconv.Itoa(g.LongDaysWith) + " of them)"
		}
	case FormAverage:
		text = g.averageWords(m)
	}
	return text
}

func (g *Grounds) changeWords(m vital.Metric) string {
	text := amount(m, g.Value) + " on " + dayWords(g.Day)
	if g.By != 0 {
		way, extreme := "up ", "lowest "
		if g.Direction == Fall {
			way, extreme = "down ", "highest "
		}
		text = way + amount(m, g.By) + " in " + counted(g.Days, "day") + ": " + text + ", " + extreme + amount(m, g.Against) + " on " + dayWords(g.AgainstDay)
	}
	if g.Unlike {
		text += "; far from the 7-day median of " + amount(m, g.Median) + ", ask who was measured"
	}
	return text
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
		text += number(v)
	}
	text += unitAfter(m) + " from " + counted(g.Readings, "reading") + " on " + counted(g.DaysWith, "day")
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
	return strconv.FormatFloat(float64(halfUp(thousandths(v), 10))/100, 'f', -1, 64) + unitAfter(m)
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
