package postgres

import (
	"time"

	"hale/alerts"
	"hale/vital"
)

// vagueWithin is within how much of its time a reading r was measured, in microseconds, when that is not known well (131072 is
// vital.TimeUnsure); null of all others.
const vagueWithin = `CASE WHEN r.findings & 131072 <> 0 THEN (SELECT m.uncertainty_us FROM reading_more m
    WHERE m.org_id = r.org_id AND m.sensor_id = r.sensor_id AND m.metric = r.metric AND m.sent_at = r.sent_at AND m.tie = r.tie) END`

// vagueSeen is the same of a reading r as readingSeen has it, or as it stands: of the organisation of its sensor.
const vagueSeen = `CASE WHEN r.findings & 131072 <> 0 THEN (SELECT m.uncertainty_us FROM reading_more m
    WHERE m.org_id = (SELECT o.org_id FROM sensor o WHERE o.id = r.sensor_id) AND m.sensor_id = r.sensor_id AND m.metric = r.metric AND m.sent_at = r.sent_at AND m.tie = r.tie) END`

// vagueParked is the same of a reading i that waits.
const vagueParked = `CASE WHEN i.findings & 131072 <> 0 THEN (SELECT m.uncertainty_us FROM reading_more m
    WHERE m.org_id = i.org_id AND m.sensor_id = i.sensor_id AND m.metric = i.metric AND m.sent_at = i.sent_at AND m.tie = i.tie) END`

// vagueTimes are how well the times of an episode are known, as they stand in the record.
type vagueTimes struct {
	First vital.Vague `json:"first,omitzero"`
	Since vital.Vague `json:"since,omitzero"`
	Last  vital.Vague `json:"last,omitzero"`
	Worst vital.Vague `json:"worst,omitzero"`
}

// vagueOf is null of an episode whose times are known, as of nearly all.
func vagueOf(e *alerts.Episode) any {
	v := vagueTimes{e.FirstVague, e.SinceVague, e.LastVague, e.WorstVague}
	if v == (vagueTimes{}) {
		return nil
	}
	return v
}

func (v *vagueTimes) into(e *alerts.Episode) {
	if v != nil {
		e.FirstVague, e.SinceVague, e.LastVague, e.WorstVague = v.First, v.Since, v.Last, v.Worst
	}
}

func nullVague(v vital.Vague) any {
	if v.IsZero() {
		return nil
	}
	return v
}

// vagueColumns are what is known of how well a time is known: what was told, or what stands beside the reading.
type vagueColumns struct {
	told     *vital.Vague
	unsure   *int64 // microseconds
	received *time.Time
}

// targets are those of what stands beside readings.
func (c *vagueColumns) targets() []any { return []any{&c.unsure, &c.received} }

func (c *vagueColumns) of() vital.Vague {
	switch {
	case c.told != nil:
		return *c.told
	case c.unsure != nil && c.received != nil:
		return vital.VagueWithin(time.Duration(*c.unsure)*time.Microsecond, *c.received)
	}
	return vital.Vague{}
}

// tellVague says in every entry of a log how well the time of its reading is known, also of one that stands no more.
func tellVague(log []alerts.Entry) {
	known := map[int64]vital.Vague{}
	for i := range log {
		if v := log[i].Vague; !v.IsZero() {
			known[log[i].Reading.ID] = v
		}
	}
	for i := range log {
		if n := &log[i]; n.Vague.IsZero() && !n.Reading.IsZero() {
			n.Vague = known[n.Reading.ID]
		}
	}
}
