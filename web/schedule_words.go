package web

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"hale/devices/measuring"
	"hale/fault"
	"hale/vital"
)

// expectWords tells a line of a schedule in plain words: "In the morning 07:00-10:00, Monday to Friday".
func expectWords(l *measuring.Line) []string {
	all := []string{sentence(rhythmWords(l.Days, l.Times, l.First))}
	if l.Intro != nil {
		until := dayAfter(l.First, l.Intro.For-1)
		all = append(all, fmt.Sprintf("In the first %s, until %s: %s.", manyDays(l.Intro.For), dateWords(until), rhythmWords(l.Intro.Days, l.Intro.Times, l.First)))
	}
	switch {
	case l.Last != "":
		all = append(all, fmt.Sprintf("From %s to %s.", dateWords(l.First), dateWords(l.Last)))
	case l.First != "":
		all = append(all, fmt.Sprintf("From %s on.", dateWords(l.First)))
	}
	return all
}

func rhythmWords(days measuring.Days, times []measuring.Window, first vital.Date) string {
	var at []string
	for _, w := range times {
		at = append(at, partWord(w)+windowWords(w))
	}
	text := strings.Join(at, " and ")
	switch {
	case days.Every > 1:
		return text + ", every " + ordinalWord(days.Every) + " day, counted from " + dateWords(first)
	case len(days.Weekdays) == 0 || len(days.Weekdays) == 7:
		return text + ", every day"
	}
	return text + ", " + weekdayWords(days.Weekdays)
}

// partWord says in which part of the day a window lies as a whole; nothing of one that is longer.
func partWord(w measuring.Window) string {
	const hour = 60
	switch {
	case w.From >= 4*hour && w.To <= 12*hour:
		return "in the morning "
	case w.From >= 12*hour && w.To <= 17*hour:
		return "in the afternoon "
	case w.From >= 17*hour:
		return "in the evening "
	}
	return ""
}

// windowWords writes a window as windowsOf reads it: "07:00-10:00", or with another time than the first "07:00-10:00 due 08:00".
func windowWords(w measuring.Window) string {
	text := minuteWords(w.From) + "-" + minuteWords(w.To)
	if w.At != w.From {
		text += " due " + minuteWords(w.At)
	}
	return text
}

func minuteWords(minute int) string { return fmt.Sprintf("%02d:%02d", minute/60, minute%60) }

// weekdayWords names days of the week from Monday on, with "to" for three or more in a row.
func weekdayWords(days []time.Weekday) string {
	var has [7]bool // from Monday
	for _, d := range days {
		has[(int(d)+6)%7] = true
	}
	var parts []string
	for i := 0; i < len(has); i++ {
		if !has[i] {
			continue
		}
		end := i
		for end+1 < len(has) && has[end+1] {
			end++
		}
		if end-i < 2 {
			parts = append(parts, weekday(i))
			continue
		}
		parts = append(parts, weekday(i)+" to "+weekday(end))
		i = end
	}
	if n := len(parts); n > 1 {
		return strings.Join(parts[:n-1], ", ") + " and " + parts[n-1]
	}
	return strings.Join(parts, "")
}

func ordinalWord(n int) string {
	switch n {
	case 2:
		return "second"
	case 3:
		return "third"
	}
	suffix := "th"
	if n%100 < 11 || n%100 > 13 {
		suffix = map[int]string{1: "st", 2: "nd", 3: "rd"}[n%10]
	}
	if suffix == "" {
		suffix = "th"
	}
	return strconv.Itoa(n) + suffix
}

func manyDays(n int) string {
	if n == 1 {
		return "day"
	}
	return strconv.Itoa(n) + " days"
}

func dateWords(d vital.Date) string {
	t, err := time.Parse(time.DateOnly, string(d))
	if err != nil {
		return string(d)
	}
	return t.Format("2 Jan 2006")
}

func dayAfter(d vital.Date, days int) vital.Date {
	t, err := time.Parse(time.DateOnly, string(d))
	if err != nil {
		return d
	}
	return vital.Date(t.AddDate(0, 0, days).Format(time.DateOnly))
}

// windowsWords writes windows for a field of a form.
func windowsWords(times []measuring.Window) string {
	var all []string
	for _, w := range times {
		all = append(all, windowWords(w))
	}
	return strings.Join(all, ", ")
}

// windowsOf reads times of the day as people type them: "07:00-10:00, 18:00-21:00 due 19:00".
func windowsOf(what, text string) ([]measuring.Window, error) {
	var all []measuring.Window
	for _, part := range strings.FieldsFunc(text, func(r rune) bool { return r == ',' || r == ';' }) {
		part = strings.TrimSpace(strings.ReplaceAll(part, "–", "-"))
		if part == "" {
			continue
		}
		window, due, dueSaid := strings.Cut(part, " due ")
		from, to, both := strings.Cut(window, "-")
		w := measuring.Window{}
		var okFrom, okTo, okAt bool
		w.From, okFrom = minuteOf(from)
		w.To, okTo = minuteOf(to)
		w.At, okAt = w.From, true
		if dueSaid {
			w.At, okAt = minuteOf(due)
		}
		if !both || !okFrom || !okTo || !okAt {
			return nil, fault.New(fault.Invalid, "%s: %q cannot be read; write for example 07:00-10:00, 18:00-21:00", what, part)
		}
		all = append(all, w)
	}
	return all, nil
}

// coverWords tells what became of a slot.
func coverWords(c *measuring.Covered, k clock) (sign, text string) {
	at := c.At.In(k.zone).Format("15:04")
	switch c.Cover {
	case measuring.CoverMeasured:
		return "✓", "measured at " + at
	case measuring.CoverOtherTime:
		return "≈", "measured at another time, " + at
	case measuring.CoverAhead:
		return "·", "not yet due"
	case measuring.CoverDue:
		return "○", "due now"
	case measuring.CoverMissed:
		return "✕", "missed"
	case measuring.CoverSilent:
		return "?", "not arrived: the device was not heard, or there was an outage"
	case measuring.CoverClock:
		return "!", "something came whose clock cannot be right"
	case measuring.CoverPaused:
		return "P", "paused"
	case measuring.CoverHospital:
		return "H", "in hospital"
	}
	return "", string(c.Cover)
}

// pauseWord names the kind of a pause.
func pauseWord(k measuring.PauseKind) string {
	switch k {
	case measuring.InHospital:
		return "In hospital"
	case measuring.OnHoliday:
		return "On holiday"
	case measuring.OtherPause:
		return "Paused"
	}
	return "Paused"
}

func hasDay(days []time.Weekday, d time.Weekday) bool { return slices.Contains(days, d) }
