package main

import (
	"context"
	"time"

	"hale/account"
	"hale/devices/measuring"
	"hale/safe"
)

// technique is where people answer what is doubtful about measurements. A weight of somebody else is filed as nobody's, like any
// other reading that was filed under the wrong person.
func (h *house) technique(looks *account.Looks) *measuring.Technique {
	refiles := h.refiles(looks)
	return &measuring.Technique{
		Book: h.app, People: h.app, Looks: looks, Now: time.Now,
		Away: func(ctx context.Context, actor account.Actor, q measuring.Question, reason string) error {
			_, err := refiles.Ask(ctx, actor, safe.Wish{
				Sensor: q.Sensor, From: q.MeasuredAt, To: q.MeasuredAt.Add(time.Microsecond), Owner: q.Patient.UID, Reason: reason, Doubt: q.UID, DoubtNote: q.Note,
			})
			return err
		},
	}
}
