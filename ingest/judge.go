package ingest

import (
	"time"

	"hale/devices"
	"hale/ingest/formats"
	"hale/vital"
)

// Judge says what would become of a measurement if a device of which nothing is known, neither its clock nor who wears it, sent it so that
// it arrived at received. The refusal is nil when it would be taken; the reading is then what would be stored, else what could be read.
func Judge(t *formats.Draft, received time.Time) (vital.Reading, *Refusal) {
	const own = 1
	d := decoder{
		vocabulary: newVocabulary(), snapshot: &devices.Snapshot{}, device: &devices.Device{ID: own, Org: own, Own: own}, message: &Message{},
		sensor: own, received: received.UTC().Truncate(time.Microsecond), clocks: devices.NewClockBook(),
	}
	r := vital.Reading{ReceivedAt: d.received}
	no := d.fill(&r, t)
	r.Org, r.Device = d.device.Org, d.device.ID
	if no != nil {
		return r, &Refusal{Index: t.Index, Reason: no.reason, Field: no.field, Detail: no.detail}
	}
	if t.Standing == vital.EnteredInError {
		takeBack(&r, t.Identifier)
	}
	return r, nil
}
