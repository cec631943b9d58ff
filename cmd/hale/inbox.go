package main

import (
	"context"
	"time"

	"hale/account"
	"hale/safe"
	"hale/vital"
)

// claimer files what waits of an unverified red to whom it belongs (alerts.Claimer).
type claimer struct{ inbox *safe.Inbox }

// Claim gives what waits of the sensor to the patient.
func (c claimer) Claim(ctx context.Context, actor account.Actor, sensor string, from, to time.Time, patient vital.UID, reason string) error {
	_, err := c.inbox.Claim(ctx, actor, sensor, from, to, patient, reason)
	return err
}
