package web

import (
	"slices"
	"strconv"
	"strings"

	"hale/alerts"
	"hale/vital"
)

// foldFrom is how many further readings in a row are told in one line: more would bury what people did.
const foldFrom = 4

// timeline puts the log of an alert into words.
func timeline(key alerts.RuleKey, log []alerts.Entry, k clock) []lineView {
	var lines []lineView
	gone := alerts.RetractedIn(log)
	for len(log) > 0 {
		run := 0
		for run < len(log) && log[run].Kind == alerts.EntryOccurred {
			run++
		}
		if run >= foldFrom {
			lines, log = append(lines, fold(key, log[:run], gone, k)), log[run:]
			continue
		}
		run = max(run, 1)
		for i := range log[:run] {
			lines = append(lines, entryLine(key, &log[i], gone, k))
		}
		log = log[run:]
	}
	return lines
}

// entryLine tells an entry, and whether its reading does not stand any more, or the patient says that it is wrong.
func entryLine(key alerts.RuleKey, e *alerts.Entry, gone map[int64]*alerts.Retraction, k clock) lineView {
	line := viewEntry(key, e, k)
	if e.Findings&vital.Disputed != 0 {
		line.Text += " (disputed by the patient)"
	}
	strike(&line, key, e, gone, k)
	return line
}

// fold tells readings beyond a limit in one line, with each of them below it. They need not have come in order.
func fold(key alerts.RuleKey, run []alerts.Entry, gone map[int64]*alerts.Retraction, k clock) lineView {
	line := lineView{At: k.at(run[0].RecordedAt), Kind: string(alerts.EntryOccurred)}
	first, last, least, worst := run[0].Reading.At, run[0].Reading.At, run[0].Level, run[0].Level
	for i := range run {
		e := &run[i]
		line.Folded = append(line.Folded, entryLine(key, e, gone, k))
		if e.Reading.At.Before(first) {
			first = e.Reading.At
		}
		if e.Reading.At.After(last) {
			last = e.Reading.At
		}
		least, worst = min(least, e.Level), max(worst, e.Level)
	}
	undone := 0
	for i := range line.Folded {
		if line.Folded[i].Gone != "" {
			undone++
		}
	}
	line.Text = strconv.Itoa(len(run)) + " further readings beyond the limit, " + k.short(first) + " to " + k.short(last)
	if slices.ContainsFunc(run, func(e alerts.Entry) bool { return !e.Vague.IsZero() }) {
		line.Text = strconv.Itoa(len(run)) + " further readings beyond the limit, not of all is known when they were measured"
	}
	if least == worst {
		line.Level = viewLevel(worst)
	} else {
		line.Text += ", at worst " + strings.ToLower(levelWord(worst))
	}
	if undone > 0 {
		line.Text += ", of which " + strconv.Itoa(undone) + " do not stand any more"
	}
	return line
}

// lastLevel reports whether an alert's values are to be called its last, because others were or may have been worse, and
// whether that is known.
func lastLevel(a *alerts.Alert, log []alerts.Entry) (last, worse bool) {
	level := alerts.None
	for i := range log {
		if e := &log[i]; e.Tells() && e.Reading.ID == a.Last.ID && e.Reading.At.Equal(a.Last.At) {
			level = max(level, e.Level)
		}
	}
	if level == alerts.None {
		return a.Occurrences > 1, false
	}
	return level < a.Level, level < a.Level
}
