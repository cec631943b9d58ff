package web

import (
	"strconv"

	"hale/alerts"
	"hale/vital"
)

// undoneWords says what became of a reading that an alert tells of and that stands no more: "taken back by the device, 10:05". It goes
// behind the number, which is struck out: who hears the page is not told of a line through it.
func undoneWords(m vital.Metric, r *alerts.Retraction, k clock) string {
	who, when := r.By, ", "+k.short(r.At)
	if who == "" {
		who = "the device"
	}
	switch r.How {
	case alerts.InError:
		return "taken back by " + who + when
	case alerts.Amended:
		text := "corrected by " + who + when
		if r.Instead != nil {
			text += ": it is " + valueWords(m, r.Instead.Values)
		}
		return text
	case alerts.NotHere:
		return "somebody else's, as " + who + " said" + when
	case alerts.Restored:
		if r.By == "" {
			return "stands again: amended back by the device" + when
		}
		return "theirs after all, as " + who + " said" + when
	}
	return string(r.How)
}

// retract adds to a row what does not stand any more of what it shows.
func (r *rowView) retract(a *alerts.Alert, k clock) {
	shown := 0
	say := func(m alerts.Mark) string {
		if u := a.Retraction(m); u != nil {
			shown++
			return undoneWords(a.Metric, u, k)
		}
		return ""
	}
	r.Gone = say(a.Last)
	if r.Worst != "" {
		r.GoneWorst = say(a.Worst)
	}
	if was := a.Was(a.Last); was != nil && r.Gone == "" {
		shown++
		who := was.By
		if who == "" {
			who = "the device"
		}
		r.Was = "was " + valueWords(a.Metric, was.Values) + ", corrected by " + who + ", " + k.short(was.At)
	}
	switch n := len(a.Retracted) - shown; {
	case n == 1:
		r.AlsoGone = "1 other reading of it does not stand any more"
	case n > 1:
		r.AlsoGone = strconv.Itoa(n) + " other readings of it do not stand any more"
	}
}

// strike marks the lines of the log that tell of a reading which does not stand any more.
func strike(line *lineView, key alerts.RuleKey, e *alerts.Entry, gone map[int64]*alerts.Retraction, k clock) {
	if r := gone[e.Reading.ID]; r != nil && e.Tells() && len(e.Retracts) == 0 {
		line.Gone = undoneWords(key.Metric, r, k)
	}
}
