package web

import (
	"strconv"
	"strings"

	"hale/alerts"
	"hale/vital"
)

// ruleWordsOf puts a version of any rule into words.
func ruleWordsOf(key alerts.RuleKey, v *alerts.Version) ruleWords {
	if key.Kind == alerts.KindLimit || v.Trend == nil {
		return limitWords(key.Metric, v.Limit)
	}
	d, ok := vital.Define(key.Metric)
	if !ok {
		return ruleWords{}
	}
	t := v.Trend
	var w ruleWords
	switch {
	case t.Change != nil:
		w = changeWords(d, t.Change)
	case t.Reference != nil:
		w = referenceWords(d, t.Reference)
	case t.MovingAverage != nil:
		w = movingAverageWords(d, t.MovingAverage)
	case t.Average != nil:
		w = averageWords(d, t.Average)
	case t.Baseline != nil:
		return baselineWords(d, t)
	default:
		return w
	}
	if t.ClearAfter > 1 {
		w.Ends = strings.Replace(w.Ends, "after one", "after "+strconv.Itoa(t.ClearAfter), 1)
	}
	return w
}

// titleWords names a rule: "Blood pressure", or of a trend "Body weight: change over days".
func titleWords(key alerts.RuleKey) string {
	switch key.Form {
	case alerts.FormChange:
		return metricWord(key.Metric) + ": change over days"
	case alerts.FormReference:
		return metricWord(key.Metric) + ": against a reference"
	case alerts.FormMovingAverage:
		return metricWord(key.Metric) + ": moving average"
	case alerts.FormAverage:
		return metricWord(key.Metric) + ": average of days"
	case alerts.FormBaseline:
		return metricWord(key.Metric) + ": against what is usual"
	case "":
	}
	return metricWord(key.Metric)
}

// stepLines tells the steps of a trend, one line per level, worst first.
func stepLines(steps []alerts.TrendStep, words func(s *alerts.TrendStep) string) []levelLine {
	var lines []levelLine
	for _, level := range []alerts.Level{alerts.Red, alerts.Yellow} {
		var parts []string
		for i := range steps {
			if steps[i].Level == level {
				parts = append(parts, words(&steps[i]))
			}
		}
		if len(parts) > 0 {
			lines = append(lines, levelLine{Level: level.String(), Word: levelWord(level), Text: strings.Join(parts, "; ")})
		}
	}
	return lines
}

// byWords is a step's distance: "more than 2 kg", "1.36 kg or more".
func byWords(d vital.Definition, s *alerts.TrendStep) string {
	by := withUnit(number(s.By), d.Components[0].Canonical)
	if s.MoreThan {
		return "more than " + by
	}
	return by + " or more"
}

func partWords(p alerts.DayPart) string {
	if p.From == "00:00" && p.Until == "24:00" {
		return "The first value of each day counts"
	}
	return "The first value of each day from " + p.From + " until " + p.Until + " counts"
}

func deviceWords(same bool) string {
	if same {
		return ", compared with those of the same device."
	}
	return ", whichever device it is of."
}

func changeWords(d vital.Definition, c *alerts.TrendChange) ruleWords {
	return ruleWords{
		Lines: stepLines(c.Steps, func(s *alerts.TrendStep) string {
			way := "up "
			if s.Direction == alerts.Fall {
				way = "down "
			}
			return way + byWords(d, s) + " in " + dayCount(s.Days)
		}),
		Begins: partWords(c.Part) + deviceWords(c.SameSensor) + " A rise is from the lowest of those days, a fall from the highest." + repeatWords + unlikeWords(d, c.Unlike),
		Ends:   "The condition ends after one value that is none of these; the alert then waits for a person, since what stays high rises no more.",
	}
}

// repeatWords say which of several values counts.
const repeatWords = " A repeat within 10 minutes counts instead."

// unlikeWords say what becomes of a value that may be somebody else's.
func unlikeWords(d vital.Definition, unlike float64) string {
	if unlike == 0 {
		return ""
	}
	return " What lies more than " + withUnit(number(unlike), d.Components[0].Canonical) + " from the 7-day median may be somebody else's: it is yellow, whatever the step," +
		" asks who was measured, and is compared with nothing later; the first value nearer than that counts. Only what is measured on most days of a week becomes the usual, which is told."
}

// askedWords say that the end answers no question.
func askedWords(unlike float64) string {
	if unlike == 0 {
		return ""
	}
	return " An alert that asked who was measured then waits for a person, unless the same day answered."
}

func referenceWords(d vital.Definition, r *alerts.TrendReference) ruleWords {
	unit := d.Components[0].Canonical
	return ruleWords{
		Lines: stepLines(r.Steps, func(s *alerts.TrendStep) string {
			side := " above the "
			if s.Direction == alerts.Fall {
				side = " below the "
			}
			return byWords(d, s) + side + r.Name + " of " + withUnit(number(r.Value), unit)
		}),
		Begins: partWords(r.Part) + "." + repeatWords + unlikeWords(d, r.Unlike),
		Ends:   "The condition ends after one value back inside" + marginWords(r.Margin, unit) + "." + askedWords(r.Unlike),
	}
}

func movingAverageWords(d vital.Definition, m *alerts.TrendMovingAverage) ruleWords {
	return ruleWords{
		Lines: stepLines(m.Steps, func(s *alerts.TrendStep) string {
			side := " above the median of the "
			if s.Direction == alerts.Fall {
				side = " below the median of the "
			}
			return "mean of " + dayCount(m.ShortDays) + " " + byWords(d, s) + side + dayCount(m.LongDays) + " before"
		}),
		Begins: partWords(m.Part) + deviceWords(m.SameSensor) + " It says nothing before " + strconv.Itoa(m.LeastShort) + " of the " + dayCount(m.ShortDays) +
			" and " + strconv.Itoa(m.LeastLong) + " of the " + dayCount(m.LongDays) + " before have a value." + repeatWords + unlikeWords(d, m.Unlike),
		Ends: "The condition ends after one mean back inside" + marginWords(m.Margin, d.Components[0].Canonical) +
			"; the alert then waits for a person, since what stays high becomes the median.",
	}
}

func averageWords(d vital.Definition, a *alerts.TrendAverage) ruleWords {
	bounds := alerts.Limit{Components: a.Components, K: 1, N: 1, ClearAfter: 1}
	w := limitWords(d.Metric, bounds)
	skipped := ""
	switch {
	case a.SkipDays == 1:
		skipped = " without the first of them"
	case a.SkipDays > 1:
		skipped = " without the first " + strconv.Itoa(a.SkipDays)
	}
	rounded := ""
	if d.Metric == vital.BloodPressure {
		rounded = ", rounded half up,"
	}
	w.Begins = "The mean of the sessions of " + dayCount(a.Days) + skipped + rounded + " counts. A session is the mean of the readings of a day before noon, or from noon on:" +
		" each weighs the same, however many readings it has. It says nothing before there are " + strconv.Itoa(a.LeastReadings) + " readings on " + dayCount(a.LeastDays) + "."
	w.Ends = strings.Replace(w.Ends, "one reading back inside", "one mean back inside", 1)
	return w
}

func baselineWords(d vital.Definition, t *alerts.Trend) ruleWords {
	b, unit := t.Baseline, d.Components[0].Canonical
	part, gap, after := "Each reading", "", "one reading"
	if b.Part != nil {
		part += " from " + b.Part.From + " until " + b.Part.Until
	}
	if b.GapDays > 0 {
		gap = ", with " + dayCount(b.GapDays) + " left out between them and the day of the reading"
	}
	if t.ClearAfter > 1 {
		after = strconv.Itoa(t.ClearAfter) + " readings in a row"
	}
	return ruleWords{
		Lines: stepLines(b.Steps, func(s *alerts.TrendStep) string {
			side := " above"
			if s.Direction == alerts.Fall {
				side = " below"
			}
			return awayWords(d, s) + side + " what is usual"
		}),
		Begins: part + " is compared with what is usual for this person: the median of the sessions of " + dayCount(b.Days) + " before it" + gap +
			". A session is the mean of the readings of a day before noon, or from noon on: each weighs the same, however many readings it has." +
			" The usual spread is how far sessions mostly lie from that median (MAD), at least " + withUnit(number(b.LeastSpread), unit) +
			". It says nothing before there are " + strconv.Itoa(b.LeastSessions) + " sessions on " + dayCount(b.LeastDays) + ".",
		Ends: "The condition ends after " + after + " back inside" + marginWords(b.Margin, unit) +
			". When they are inside only because what is usual has changed since it began, the alert waits for a person.",
	}
}

// awayWords is the distance of a step of a baseline: "3 % or more", "3 usual spreads or more", "15 /min and 3 usual spreads or more".
func awayWords(d vital.Definition, s *alerts.TrendStep) string {
	var parts []string
	if s.By > 0 {
		parts = append(parts, withUnit(number(s.By), d.Components[0].Canonical))
	}
	if s.Spreads > 0 {
		parts = append(parts, number(s.Spreads)+" usual spreads")
	}
	if s.MoreThan {
		return "more than " + strings.Join(parts, " and ")
	}
	return strings.Join(parts, " and ") + " or more"
}

func marginWords(margin float64, u vital.Unit) string {
	if margin == 0 {
		return ""
	}
	return " by at least " + withUnit(number(margin), u)
}

func dayCount(n int) string {
	if n == 1 {
		return "1 day"
	}
	return strconv.Itoa(n) + " days"
}

// returnedWord says that a condition ended because what was measured did.
func returnedWord(key alerts.RuleKey) string {
	switch key.Form {
	case alerts.FormChange, alerts.FormMovingAverage:
		return "No longer changing so fast"
	case alerts.FormReference:
		return "Back near the reference"
	case alerts.FormAverage:
		return "The mean is back inside the limits"
	case alerts.FormBaseline:
		return "Back near what is usual"
	case "":
	}
	return "Back inside the limits"
}

// againWord says that a further reading counts.
func againWord(key alerts.RuleKey) string {
	if key.Kind == alerts.KindTrend {
		return "Seen again"
	}
	return "Beyond a limit again"
}

// resumedWord says that a condition holds again.
func resumedWord(key alerts.RuleKey) string {
	if key.Kind == alerts.KindTrend {
		return "Holds again"
	}
	return "Beyond the limits again"
}

// renewedWord says that what is counted already is judged by another version.
func renewedWord(key alerts.RuleKey) string {
	if key.Kind == alerts.KindTrend {
		return "Judged anew by the rule as it was changed"
	}
	return "Judged anew by the limits as they were changed"
}

// ruleNoun names what somebody changed.
func ruleNoun(key alerts.RuleKey) string {
	if key.Kind == alerts.KindTrend {
		return "rule was"
	}
	return "limits were"
}
