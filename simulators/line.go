package simulators

import "time"

// outage is a span in which a device has no line: it measures, remembers, and sends when the line is back.
type outage struct {
	from, to time.Time
	resend   bool // the acknowledgement of what was sent last was lost, so that it is sent again
}

// outageOn returns the one of a kit that begins on a day.
func (l *Life) outageOn(kit, day int) (outage, bool) {
	if l.habits.calm || day < 0 {
		return outage{}, false
	}
	r := l.source("line", int64(kit), int64(day))
	if !chance(r, 0.05) {
		return outage{}, false
	}
	from := l.clock(day, between(r, 0, 23))
	return outage{from: from, to: from.Add(time.Duration(between(r, 1, 26) * float64(time.Hour)).Truncate(time.Second)), resend: chance(r, 0.6)}, true
}

// line says when a kit sends what it measures at a time, and when it sends it again: zero for never.
func (l *Life) line(kit int, at time.Time) (sent, resent time.Time) {
	sent = at.Add(time.Duration(2+l.source("upload", int64(kit), at.Unix()).IntN(15)) * time.Second)
	day := l.dayOf(at)
	for d := day - 2; d <= day+1; d++ {
		o, ok := l.outageOn(kit, d)
		if !ok {
			continue
		}
		switch {
		case !sent.Before(o.from) && sent.Before(o.to):
			sent = o.to
			if o.resend && at.Sub(o.from) < 6*time.Hour {
				resent = o.to.Add(30 * time.Second)
			}
			l.noteOutage(kit, d, o)
		case sent.Before(o.from) && o.from.Sub(sent) < 3*time.Hour && o.resend:
			resent = o.to // what went out last, without hearing the acknowledgement
		}
	}
	if !l.gap.from.IsZero() && !sent.Before(l.gap.from) && sent.Before(l.gap.to) {
		sent = l.gap.to
	}
	if resent.Before(sent) {
		resent = time.Time{}
	}
	return sent, resent
}

// noteOutage notes each outage once.
func (l *Life) noteOutage(kit, day int, o outage) {
	key := [2]int{kit, day}
	if l.noted[key] {
		return
	}
	l.noted[key] = true
	l.noteSpan(o.from, o.to, Line, "offline", l.Kits[kit].Device)
}
