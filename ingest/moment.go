package ingest

import (
	"cmp"
	"time"

	"hale/devices"
	"hale/vital"
)

// moment is when something was measured, as its sender said it. The zero moment says nothing.
type moment struct {
	at    time.Time
	local bool      // no zone was given: at holds the digits of the sender's clock as if they were UTC
	day   bool      // no more than the day was given: at is its midnight
	until time.Time // the end of a span that began at at; zero when it was a moment
	// The fields that say so, in the sender's own words, or that should; "time" when empty.
	field, untilField string
	foreign           bool // it came in a format of the world
}

// refuse says what is wrong with the time, and which field that is. In the formats of the world a detail begins with it.
func (m moment) refuse(format string, args ...any) *refusal {
	no := refuse(vital.ReasonClock, format, args...)
	if no.field = cmp.Or(m.field, timeField); m.foreign && m.field != "" && m.field != timeField {
		no.detail = no.field + ": " + no.detail
	}
	return no
}

// timeField is the field of the wire's own format that has the time.
const timeField = "time"

// said is what an element says beside what and how much: when, whose of several users, and what of it is wrong, the first
// first. Elements of all formats are settled by it.
type said struct {
	moment moment
	slot   slot
	wrong  [5]*refusal
}

// slot is the user of a sensor that several share, where one was named.
type slot struct {
	number uint8
	there  bool
}

// settle holds what was sent against what can be, and gives the reading its sensor and times. Every reading of every format
// comes through here. The refusal of one in which a number could be read holds what could.
func (d *decoder) settle(w *word, r *vital.Reading, s said) *refusal {
	no := d.judge(w, r, s)
	if no != nil && (r.N > 0 || no.beyond != 0) {
		read := *r
		no.read = &read
	}
	return no
}

func (d *decoder) judge(w *word, r *vital.Reading, s said) *refusal {
	noTime := d.clock(s, r)
	for _, no := range s.wrong {
		if no != nil {
			return no
		}
	}
	usable := w.Usable(r.Sent[:r.N])
	if reason, detail, ok := w.Check(r.Sent[:usable]); !ok {
		return &refusal{reason: reason, detail: detail}
	}
	if noTime != nil {
		return noTime
	}
	if usable < int(r.N) {
		r.Sent[usable], r.N = vital.Quantity{}, uint8(usable)
		r.Findings |= vital.PulseDropped
	}
	return nil
}

// clock gives the reading its times, and its sensor: which user's it is may depend on when. What was not timed is taken as
// measured when it arrived, and says so; so is what has a time that cannot be, until a person has looked at it.
func (d *decoder) clock(s said, r *vital.Reading) *refusal {
	if s.moment.at.IsZero() {
		s.moment.at = d.message.Untimed
	}
	at := s.moment.at
	if at.IsZero() {
		at = r.ReceivedAt
		r.Findings |= vital.TimeAssumed
	}
	r.SentAt = at.UTC().Truncate(time.Microsecond)
	r.Sensor, _ = d.snapshot.OfSlot(d.sensor, s.slot.number, s.slot.there, r.SentAt)
	if s.slot.there && s.slot.number > devices.MaxSlot {
		r.Findings |= vital.UserUnsure
	}
	no := d.timed(s.moment, r)
	if no == nil {
		no = possible(s.moment, r)
	}
	if no != nil {
		r.MeasuredAt = r.ReceivedAt
		return no
	}
	r.FindAge()
	// A broker gives a retained message again at each of our subscriptions, so that without a time of its own it would be
	// another reading of now each time.
	if d.message.Retained && r.Findings&vital.TimeAssumed != 0 {
		return s.moment.refuse("the broker had kept this message (retain flag) and it has no time of its own: nobody knows when it was measured; send without the retain flag, or with a time")
	}
	return nil
}

// possible refuses a time that cannot be.
func possible(m moment, r *vital.Reading) *refusal {
	if !m.until.IsZero() && m.until.Add(r.MeasuredAt.Sub(r.SentAt)).After(r.ReceivedAt.Add(vital.AheadAtMost)) {
		m.field = m.untilField
		return m.refuse("it ends at %s, which is more than %d minutes ahead of us; set the device's clock", m.until.UTC().Format(time.RFC3339), int(vital.AheadAtMost.Minutes()))
	}
	if !vital.ClockPlausible(r.MeasuredAt, r.ReceivedAt) {
		if r.MeasuredAt.After(r.ReceivedAt) {
			return m.refuse("time %s is more than %d minutes ahead of ours; set the device's clock", r.SentAt.Format(time.RFC3339), int(vital.AheadAtMost.Minutes()))
		}
		return m.refuse("time %s lies before 2015; set the device's clock", r.SentAt.Format(time.RFC3339))
	}
	return nil
}

// moment reads the time of an element.
func (e *element) moment() (moment, *refusal) {
	m := moment{field: e.timePath}
	switch e.time.kind {
	case absent, null:
	case text:
		sent := e.time.plain()
		t, ok := instant(sent)
		if !ok {
			return m, m.unreadable(sent)
		}
		m.at = t
	case boolean, number, list, object:
		return m, m.refuse("time is %s; send text such as 2026-11-21T07:25:00Z", e.time.kind)
	}
	return m, nil
}

// unreadable says what is wrong with a text that is no time of RFC 3339. Most often it lacks the zone: we do not guess
// where a device thinks it is.
func (m moment) unreadable(sent []byte) *refusal {
	if _, ok := instant(append(append(make([]byte, 0, len(sent)+1), sent...), 'Z')); ok {
		return m.refuse("time %s has no zone; add Z for UTC or an offset such as +01:00", quote(sent))
	}
	return m.refuse("time %s is not of the form 2026-11-21T07:25:00Z (RFC 3339, with zone)", quote(sent))
}

// instant reads a time of RFC 3339. The standard library also takes hours of one digit, a comma for the point and
// offsets of a day and more; what a device means by those we would have to guess.
func instant(b []byte) (t time.Time, ok bool) {
	const shortest = len("2006-01-02T15:04:05Z")
	if len(b) < shortest || b[10] != 'T' || b[13] != ':' || b[16] != ':' || b[19] == ',' {
		return t, false
	}
	if zone := b[len(b)-5:]; b[len(b)-1] != 'Z' && (string(zone[:2]) > "23" || string(zone[3:]) > "59") {
		return t, false
	}
	return t, t.UnmarshalText(b) == nil
}
