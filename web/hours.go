package web

import (
	"fmt"
	"strings"
	"time"

	"hale/account"
	"hale/fault"
)

// hoursForm is a care team's hours as people type them: a line of spans for each day of the week, and a line for each holiday.
type hoursForm struct {
	Zone     string
	Days     [7]dayForm // Monday first
	Holidays string
	Reason   string
}

type dayForm struct{ Name, Field, Spans string }

// weekday is the name of the i-th day of a week that begins with Monday.
func weekday(i int) string { return time.Weekday((i + 1) % 7).String() }

func formOf(h account.Hours) hoursForm {
	form := hoursForm{Zone: h.Zone}
	for i := range form.Days {
		form.Days[i] = dayForm{Name: weekday(i), Field: fmt.Sprintf("day%d", i), Spans: hoursWords(h.Weekly[(i+1)%7])}
	}
	var lines []string
	for _, f := range h.Holidays {
		line := f.Date + " " + f.Name
		if len(f.Spans) > 0 {
			line += ": " + hoursWords(f.Spans)
		}
		lines = append(lines, line)
	}
	form.Holidays = strings.Join(lines, "\n")
	return form
}

// hoursWords writes spans as hours reads them: "08:00-16:00 staffed, 16:00-22:00 on call".
func hoursWords(spans []account.Span) string {
	var parts []string
	for _, s := range spans {
		parts = append(parts, fmt.Sprintf("%02d:%02d-%02d:%02d %s", s.From/60, s.From%60, s.To/60, s.To%60, s.Watch))
	}
	return strings.Join(parts, ", ")
}

// hours reads what was typed; fault.Invalid says which day cannot be understood, and how it is written.
func (f *hoursForm) hours() (account.Hours, error) {
	h := account.Hours{Zone: strings.TrimSpace(f.Zone)}
	for i, day := range f.Days {
		spans, err := readSpans(day.Name, day.Spans)
		if err != nil {
			return h, err
		}
		h.Weekly[(i+1)%7] = spans
	}
	for _, line := range strings.Split(f.Holidays, "\n") {
		line = strings.TrimSpace(line)
		if line == "" {
			continue
		}
		date, rest, _ := strings.Cut(line, " ")
		name, spans, _ := strings.Cut(rest, ": ")
		read, err := readSpans(date, spans)
		if err != nil {
			return h, err
		}
		h.Holidays = append(h.Holidays, account.Holiday{Date: date, Name: strings.TrimSpace(name), Spans: read})
	}
	return h, nil
}

func readSpans(day, text string) ([]account.Span, error) {
	var list []account.Span
	for _, part := range strings.FieldsFunc(text, func(r rune) bool { return r == ',' || r == ';' }) {
		part = strings.TrimSpace(part)
		if part == "" {
			continue
		}
		times, watch, _ := strings.Cut(part, " ")
		from, to, both := strings.Cut(strings.ReplaceAll(times, "–", "-"), "-")
		start, okStart := minuteOf(from)
		end, okEnd := minuteOf(to)
		watch = strings.TrimSpace(strings.ToLower(watch))
		if watch == "" {
			watch = string(account.Staffed)
		}
		if !both || !okStart || !okEnd {
			return nil, fault.New(fault.Invalid, "%s: %q cannot be read; write for example 08:00-16:00 staffed, 16:00-22:00 on call", day, part)
		}
		list = append(list, account.Span{From: start, To: end, Watch: account.Watch(watch)})
	}
	return list, nil
}

// minuteOf reads a time of the clock as minutes after midnight; 24:00 is the end of the day.
func minuteOf(text string) (int, bool) {
	if text == "24:00" {
		return 24 * 60, true
	}
	t, err := time.Parse("15:04", strings.TrimSpace(text))
	return t.Hour()*60 + t.Minute(), err == nil
}
