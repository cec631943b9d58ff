package web

import (
	"time"

	"hale/devices"
)

// clockProblemWords says what is wrong with a clock, by how that is known: what the clock was found to show, that it was changed, or
// only that times were refused, which a program that sends old measurements does as well.
func clockProblemWords(p *devices.Problem, what string) (title, text, do string) {
	title, do = "The clock of "+what+" is wrong", "Ask it to set its clock. If it stays wrong, its battery may have been empty: have the date and time set at home."
	off := p.ClockOff.Abs()
	switch {
	case p.ClockOff != 0 && off <= devices.MostOffset:
		text = "It is " + nearly(off) + aheadWord(p.ClockOff) + " Times that it sends are put right by that, and its readings are filed."
	case p.ClockOff != 0:
		text = "It is " + nearly(off) + aheadWord(p.ClockOff) + " That is too far to put right: readings with such times wait in quarantine, where they are looked at for emergencies."
	case p.ClockJump != 0:
		title, do = "The clock of "+what+" was changed", "Ask why: was it set by hand, or was its battery empty? When its readings of around then were measured is uncertain by as much."
	default:
		title = "Times that " + what + " sent cannot be right"
		do = "Look at what was refused. If its clock was reset, have the date and time set; if a program sent old measurements, nothing is wrong with a clock. It ends by itself when good times come."
	}
	if p.ClockJump != 0 {
		text = joined(text, "It was put "+putWord(p.ClockJump)+" by "+nearly(p.ClockJump.Abs())+" between two looks.")
		if p.ClockOff == 0 {
			text += " It is right now."
		}
	}
	if p.ClockRefused > 0 {
		text = joined(text, countWord(p.ClockRefused, "message waits", "messages wait")+" in quarantine because of times that cannot be. Emergencies are looked for in them all the same.")
	}
	return title, text, do
}

func joined(text, more string) string {
	if text == "" {
		return more
	}
	return text + " " + more
}

// nearly is a span in words, rounded to what it shows.
func nearly(d time.Duration) string {
	const day = 24 * time.Hour
	switch {
	case d < 2*time.Hour:
		d = d.Round(time.Minute)
	case d < 2*day:
		d = d.Round(time.Hour)
	default:
		d = d.Round(day)
	}
	return span(d)
}

func putWord(jump time.Duration) string {
	if jump > 0 {
		return "back"
	}
	return "forward"
}
