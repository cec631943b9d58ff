package web

import (
	"math"
	"strconv"
	"strings"

	"hale/account"
	"hale/alerts"
	"hale/vital"
)

// number returns a value with at most two decimals. It is not rounded further: 179.6 must not read as a red 180.
func number(v float64) string {
	return strconv.FormatFloat(math.Round(v*100)/100, 'f', -1, 64)
}

func withUnit(text string, u vital.Unit) string {
	switch word := u.Word(); word {
	case "":
		return text
	case "%":
		return text + " %"
	default:
		return text + " " + word
	}
}

// valueWords returns a reading's values as one says them: "182/104 mm[Hg], pulse 88 /min".
func valueWords(m vital.Metric, values []float64) string {
	d, ok := vital.Define(m)
	if !ok || len(values) == 0 {
		return ""
	}
	if m == vital.BloodPressure && len(values) >= 2 {
		text := withUnit(number(values[0])+"/"+number(values[1]), vital.MmHg)
		if len(values) > 2 {
			text += ", pulse " + withUnit(number(values[2]), vital.PerMinute)
		}
		return text
	}
	return withUnit(number(values[0]), d.Components[0].Canonical)
}

func metricWord(m vital.Metric) string {
	if d, ok := vital.Define(m); ok {
		return d.Display
	}
	return "Unknown measurement"
}

func levelWord(l alerts.Level) string {
	switch l {
	case alerts.Extreme:
		return "Extreme"
	case alerts.Red:
		return "Red"
	case alerts.Yellow:
		return "Yellow"
	case alerts.None:
		return "No level"
	}
	return "No level"
}

func roleWord(r account.Role) string { return strings.ReplaceAll(string(r), "_", " ") }

// ruleWords are a limit in plain words, one line per level that it has, worst first.
type ruleWords struct {
	Lines  []levelLine
	Begins string
	Ends   string
}

type levelLine struct{ Level, Word, Text string }

// limitWords puts a rule's version into words. Low bounds fire below, high bounds at or above (alerts.Bounds).
func limitWords(m vital.Metric, l alerts.Limit) ruleWords {
	d, ok := vital.Define(m)
	if !ok {
		return ruleWords{}
	}
	var w ruleWords
	for _, level := range []alerts.Level{alerts.Extreme, alerts.Red, alerts.Yellow} {
		var parts []string
		for i, b := range l.Components {
			if i >= len(d.Components) {
				break
			}
			if text := boundWords(d, i, b, level); text != "" {
				parts = append(parts, text)
			}
		}
		if len(parts) > 0 {
			w.Lines = append(w.Lines, levelLine{Level: level.String(), Word: levelWord(level), Text: strings.Join(parts, "; ")})
		}
	}
	w.Begins, w.Ends = beginWords(l), endWords(d, l)
	return w
}

func boundWords(d vital.Definition, i int, b alerts.Bounds, level alerts.Level) string {
	low, high := b.YellowLow, b.YellowHigh
	switch level {
	case alerts.Extreme:
		low, high = b.ExtremeLow, b.ExtremeHigh
	case alerts.Red:
		low, high = b.RedLow, b.RedHigh
	case alerts.Yellow, alerts.None:
	}
	unit := d.Components[i].Canonical
	var parts []string
	if low != nil {
		parts = append(parts, "below "+withUnit(number(*low), unit))
	}
	if high != nil {
		parts = append(parts, "at or above "+withUnit(number(*high), unit))
	}
	if len(parts) == 0 {
		return ""
	}
	name := ""
	if len(d.Components) > 1 {
		name = d.Components[i].Code + " "
	}
	return name + strings.Join(parts, ", or ")
}

func beginWords(l alerts.Limit) string {
	if l.ForMinutes > 0 {
		return "All readings of " + strconv.Itoa(l.ForMinutes) + " minutes must be beyond a limit, no two of them more than " + strconv.Itoa(l.GapMinutes) +
			" minutes apart; one extreme reading is enough."
	}
	if l.N <= 1 {
		return "One reading is enough."
	}
	return strconv.Itoa(l.K) + " of the last " + strconv.Itoa(l.N) + " readings must be beyond a limit; one extreme reading is enough."
}

func endWords(d vital.Definition, l alerts.Limit) string {
	text := "The condition ends after one reading back inside"
	if l.ClearAfter > 1 {
		text = "The condition ends after " + strconv.Itoa(l.ClearAfter) + " readings in a row back inside"
	}
	var margins []string
	for i, b := range l.Components {
		if b.Margin == 0 || i >= len(d.Components) {
			continue
		}
		margin := withUnit(number(b.Margin), d.Components[i].Canonical)
		if len(d.Components) > 1 {
			margin += " " + d.Components[i].Code
		}
		margins = append(margins, margin)
	}
	if len(margins) > 0 {
		text += " by at least " + strings.Join(margins, " and ")
	}
	return text + "."
}

// stepWord returns what follows a resolved alert.
func stepWord(s alerts.NextStep) string {
	switch s {
	case alerts.StepNone:
		return "nothing further"
	case alerts.StepRecheck:
		return "measure again"
	case alerts.StepCall:
		return "call"
	case alerts.StepHandOver:
		return "handed over"
	}
	return ""
}

// endedWord says why a condition holds no more.
func endedWord(key alerts.RuleKey, c alerts.Cause) string {
	off, rule, late, other := "no limits in force", "Not beyond the limits as they were changed", "Not beyond the limits, as late data shows", "Not beyond the limits any more"
	if key.Kind == alerts.KindTrend {
		off, rule, late, other = "no rule in force", "No longer so by the rule as it was changed", "No longer so, as late data shows", "No longer so"
	}
	switch c {
	case alerts.CauseReturned:
		return returnedWord(key)
	case alerts.CauseRuleOff:
		return "Not judged any more: " + off
	case alerts.CauseRule:
		return rule
	case alerts.CauseLate:
		return late
	case alerts.CauseTaken:
		return "No longer so here: its readings are not in this record any more"
	case alerts.CauseBrought:
		return "No longer so by the readings that were filed here"
	case alerts.CauseWithdrawn:
		return "No longer so: readings that it told of were taken back"
	case alerts.CauseRefused:
	}
	return other
}

// changedWord says what changed the knowledge of the past.
func changedWord(key alerts.RuleKey, c alerts.Cause) string {
	switch c {
	case alerts.CauseRule:
		if key.Kind == alerts.KindTrend {
			return "A changed rule changed what is known of the past"
		}
		return "Changed limits changed what is known of the past"
	case alerts.CauseLate:
		return "Late data changed what is known of the past"
	case alerts.CauseTaken:
		return "Readings that it told of are not in this record any more"
	case alerts.CauseBrought:
		return "Readings that were filed elsewhere are this person's, and are filed here now"
	case alerts.CauseWithdrawn:
		return "A reading was taken back"
	case alerts.CauseRefused:
		return "Its device sent a correction that was refused: ask"
	case alerts.CauseReturned, alerts.CauseRuleOff:
	}
	return "What is known of the past has changed"
}
