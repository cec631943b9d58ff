package formats

import (
	"cmp"
	"strconv"
	"time"

	"hale/vital"
)

// moment reads a time of RFC 3339 with zone: we do not guess where a device thinks it is.
func moment(n *node) (time.Time, *Refusal) {
	if no := n.is(text); no != nil {
		no.Reason = vital.ReasonClock
		return time.Time{}, no
	}
	if t, ok := instant(n.raw); ok {
		return t, nil
	}
	shown := strconv.Quote(clipped(n.raw, 40))
	if _, ok := instant(n.raw + "Z"); ok {
		return time.Time{}, refuse(vital.ReasonClock, n.path, "%s has no zone; add Z for UTC or an offset such as +01:00", shown)
	}
	return time.Time{}, refuse(vital.ReasonClock, n.path, "%s is not of the form 2026-11-21T07:25:00Z (RFC 3339, with zone)", shown)
}

// instant reads a time of RFC 3339. The standard library also takes hours of one digit, a comma for the point and offsets of a
// day and more; what is meant by those we would have to guess.
func instant(s string) (time.Time, bool) {
	const shortest = len("2006-01-02T15:04:05Z")
	if len(s) < shortest || s[10] != 'T' || s[13] != ':' || s[16] != ':' || s[19] == ',' {
		return time.Time{}, false
	}
	if zone := s[len(s)-5:]; s[len(s)-1] != 'Z' && (zone[:2] > "23" || zone[3:] > "59") {
		return time.Time{}, false
	}
	t, err := time.Parse(time.RFC3339Nano, s)
	if _, east := t.Zone(); east == 0 {
		t = t.UTC()
	} else {
		t = t.In(time.FixedZone("", east)) // never the zone of this machine
	}
	return t, err == nil
}

// day reads a date.
func day(n *node) (time.Time, *Refusal) {
	if no := n.is(text); no != nil {
		no.Reason = vital.ReasonClock
		return time.Time{}, no
	}
	t, err := time.Parse(time.DateOnly, n.raw)
	if err != nil {
		return t, refuse(vital.ReasonClock, n.path, "%s is no date of the form 2026-11-21", strconv.Quote(clipped(n.raw, 40)))
	}
	return t, nil
}

// frame takes effective_time_frame: a moment, or an interval in one of its forms.
func (d *Draft) frame(b *node, rules *schemaRules) *Refusal {
	f := b.get("effective_time_frame")
	d.Time.Field = b.at("effective_time_frame")
	if f == nil {
		if rules.timing == optional {
			return nil
		}
		return refuse(vital.ReasonClock, b.at("effective_time_frame"), "it is missing; this version of the schema needs it")
	}
	if no := f.is(object); no != nil {
		no.Reason = vital.ReasonClock
		return no
	}
	at, span := f.get("date_time"), f.get("time_interval")
	switch {
	case at == nil && span == nil:
		return refuse(vital.ReasonClock, f.path, "it has neither date_time nor time_interval")
	case at != nil && span != nil:
		return refuse(vital.ReasonClock, f.path, "it has both date_time and time_interval; send one of them")
	case at != nil && rules.timing == interval:
		return refuse(vital.ReasonClock, at.path, "a moment is no time of this; send a time_interval")
	case at != nil:
		t, no := moment(at)
		d.Time = Time{At: t, Field: at.path}
		return no
	}
	return d.interval(b, span, rules)
}

func (d *Draft) interval(b, span *node, rules *schemaRules) *Refusal {
	if no := span.is(object); no != nil {
		no.Reason = vital.ReasonClock
		return no
	}
	start, end, length := span.get("start_date_time"), span.get("end_date_time"), span.get("duration")
	date, part := span.get("date"), span.get("part_of_day")
	forms := 0
	for _, there := range [...]bool{start != nil && end != nil, start != nil && length != nil, end != nil && length != nil,
		date != nil && part != nil && !rules.ieee} {
		if there {
			forms++
		}
	}
	if forms != 1 {
		also := ", or date and part_of_day"
		if rules.ieee {
			also = ""
		}
		return refuse(vital.ReasonClock, span.path,
			"send exactly one of: start_date_time and end_date_time, start_date_time and duration, end_date_time and duration%s", also)
	}
	if date != nil && part != nil && !rules.ieee {
		t, no := day(date)
		if no != nil {
			return no
		}
		if no := part.among([]string{"morning", "afternoon", "evening", "night"}); no != nil {
			return no
		}
		d.Time = Time{At: t, Local: true, Precision: ToDay, Field: date.path}
		d.fact("part_of_day", "%s", part.raw)
		return nil
	}
	var no *Refusal
	d.Time.Field, d.Time.UntilField = span.path, span.path
	if start != nil {
		d.Time.Field = start.path
		if d.Time.At, no = moment(start); no != nil {
			return no
		}
	}
	if end != nil {
		d.Time.UntilField = end.path
		if d.Time.Until, no = moment(end); no != nil {
			return no
		}
	}
	switch {
	case length == nil:
	case start != nil:
		d.Time.Until, no = lasting(d.Time.At, length, 1)
	default:
		d.Time.At, no = lasting(d.Time.Until, length, -1)
	}
	if no == nil && length != nil && d.Time.Until.Before(d.Time.At) {
		return refuse(vital.ReasonClock, length.path, "the interval ends before it begins")
	}
	return cmp.Or(no, d.backwards(b, end))
}

// backwards refuses an interval that ends before it begins, but that of a statistic: by the standard's own vectors there may be one. It
// is no measurement that anything judges, and has no end then but in the words of its sender.
func (d *Draft) backwards(b, end *node) *Refusal {
	no := d.Time.backwards()
	if s := b.get("descriptive_statistic"); no == nil || s == nil || s.kind != text {
		return no
	}
	d.fact("end_date_time", "%s, which is before it begins", clipped(end.raw, factAtMost))
	d.Time.Until, d.Time.UntilField = time.Time{}, ""
	return nil
}

// longest bounds how long an interval may be; it keeps the arithmetic of times within its range.
const longest = 200 * 365 * 24 * time.Hour

// lasting returns the time that lies a duration after t, or before it when sign is -1. Whole months and years are those of the
// calendar; a part of one is that part of 30 or 365 days.
func lasting(t time.Time, length *node, sign int) (time.Time, *Refusal) {
	if no := length.is(object); no != nil {
		no.Reason = vital.ReasonClock
		return t, no
	}
	value, no := length.need("value", number)
	if no != nil {
		return t, no
	}
	q, no := value.decimal(vital.NoUnit)
	if no != nil {
		return t, no
	}
	unit, no := length.need("unit", text)
	if no != nil {
		return t, no
	}
	each, known := map[string]float64{
		"ps": 1e-12, "ns": 1e-9, "us": 1e-6, "ms": 1e-3, "sec": 1, "min": 60, "h": 3600, "d": 86400, "wk": 604800, "Mo": 30 * 86400, "yr": 365 * 86400,
	}[unit.raw]
	if !known {
		return t, refuse(vital.ReasonUnit, unit.path, "%s is none of: %s", strconv.Quote(clipped(unit.raw, 40)), spelled(durations()))
	}
	n := q.Float()
	seconds := n * each
	if limit := longest.Seconds(); seconds > limit || seconds < -limit {
		return t, refuse(vital.ReasonClock, value.path, "%s %s is longer than 200 years", q, unit.raw)
	}
	if n == float64(int(n)) {
		switch unit.raw {
		case "Mo":
			return t.AddDate(0, sign*int(n), 0), nil
		case "yr":
			return t.AddDate(sign*int(n), 0, 0), nil
		}
	}
	return t.Add(time.Duration(sign) * time.Duration(seconds*float64(time.Second))), nil
}
