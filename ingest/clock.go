package ingest

import (
	"time"

	"hale/devices"
	"hale/vital"
)

// clockStep is how finely a clock is told.
const clockStep = time.Second

// timed says when a reading was measured, of which the time as sent and the sensor are known: by what is known of the clock that
// showed it, and in the zone of whoever wore the sensor when it told none. An offset that is too large says that nobody can know.
func (d *decoder) timed(m moment, r *vital.Reading) *refusal {
	r.MeasuredAt = r.SentAt
	if r.Findings&vital.TimeAssumed != 0 {
		return nil
	}
	at, clock := d.snapshot.Moment(devices.Stamp{
		Sent: r.SentAt, Received: r.ReceivedAt, Local: m.local, Day: m.day, Sensor: d.sensor, Gateway: d.device.Own, Worn: r.Sensor,
	}, d.clocks)
	if clock == (vital.Clock{}) {
		return nil
	}
	if by := clock.Offset.Abs(); by > devices.MostOffset {
		return m.refuse("time %s is by a clock that is wrong by %d days: set it; when this was measured, a person has to say",
			r.SentAt.Format(time.RFC3339), int(by/(24*time.Hour)))
	}
	r.MeasuredAt = at.Truncate(time.Microsecond)
	if clock.Method == vital.ClockZone {
		r.Findings |= vital.TimeLocal
	} else if clock.Offset != 0 {
		r.Findings |= vital.TimeCorrected
	}
	if r.More == nil {
		r.More = &vital.More{}
	}
	r.More.Clock = clock
	return nil
}

// heard takes what a status says of a clock: what it showed when the message was sent, with zone or without; or, where the
// gateway's own time stands beside, when that was so. What is no time says nothing, and neither does a message that was not sent
// just now: a will, or one that a broker had kept.
func (d *decoder) heard(s *vital.Status, clock, gatewayTime string) {
	shown, local, ok := clockShown(clock)
	if !ok {
		return
	}
	s.Clock = shown.UTC().Truncate(time.Microsecond)
	if d.message.Retained || d.message.Presence == vital.StatusWill {
		return
	}
	l := vital.ClockLook{At: d.received, Local: local}
	l.Method, l.Uncertainty = vital.ClockCoincident, devices.ClockTolerance+clockStep
	if gatewayTime != "" && s.Sensor != d.device.Own {
		beside, noZone, ok := clockShown(gatewayTime)
		if !ok || noZone {
			return
		}
		own, _ := d.clocks.Known(d.snapshot, devices.ClockKey{Sensor: d.device.Own}).At(beside, d.received)
		l.At, l.Method = beside.Add(own.Offset).UTC().Truncate(time.Microsecond), vital.ClockGateway
		l.Uncertainty += own.Uncertainty
		if !vital.ClockPlausible(l.At, d.received) {
			return // the gateway's own clock is wrong, and nobody knows by how much
		}
	}
	l.Offset = l.At.Sub(s.Clock)
	s.Look = &l
	d.clocks.Hear(d.snapshot, s.Sensor, l)
}

// clockShown reads what a clock showed. The digits of one without zone are returned as if they were UTC.
func clockShown(told string) (at time.Time, local, ok bool) {
	if at, ok = instant([]byte(told)); ok {
		return at, false, true
	}
	at, ok = instant([]byte(told + "Z"))
	return at, true, ok
}
