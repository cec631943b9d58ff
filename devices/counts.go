package devices

import (
	"context"
	"time"

	"hale/account"
	"hale/fault"
)

// NumberBook is the record as Counts needs it.
type NumberBook interface {
	// Numbers returns what a device's sensors counted since a time, as sent, by the sensor's name: stored readings and those that
	// wait for an owner. User slots count with the sensor that they share. fault.NotFound when there is no such device.
	Numbers(ctx context.Context, actor account.Actor, device string, since time.Time) (map[string][]Counted, error)
}

// Counts is where the device desk sees which readings of a device are missing.
type Counts struct {
	Book NumberBook
	Now  func() time.Time
}

// Of returns what the numbers of each sensor of the device tell for the last days, by the sensor's name; those that count nothing
// are left out. Days of 0 are 14, and more than 92 are fault.Invalid.
func (c *Counts) Of(ctx context.Context, actor account.Actor, device string, days int) (map[string][]Sequence, error) {
	if err := account.Allow(actor, account.SeeDevices, nil); err != nil {
		return nil, err
	}
	if err := checkUID("uid", device); err != nil {
		return nil, err
	}
	if days == 0 {
		days = usualDays
	}
	if days < 1 || days > mostDays {
		return nil, fault.New(fault.Invalid, "days: give 1 to %d", mostDays)
	}
	numbers, err := c.Book.Numbers(ctx, actor, device, c.Now().Add(-time.Duration(days)*oneDay))
	if err != nil {
		return nil, err
	}
	all := make(map[string][]Sequence, len(numbers))
	for sensor, list := range numbers {
		all[sensor] = Sequences(list)
	}
	return all, nil
}
