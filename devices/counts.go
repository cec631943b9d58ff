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

// Bounds of a look back, in days.
const (
	mostDays  = 92
	usualDays = 14 // when nobody says
)

// DaysBack returns how many days a look back at a device or a patient takes in: 14 for 0. It is fault.Invalid for more than 92.
func DaysBack(asked int) (int, error) {
	switch {
	case asked == 0:
		return usualDays, nil
	case asked < 1 || asked > mostDays:
		return 0, fault.New(fault.Invalid, "days: give 1 to %d", mostDays)
	}
	return asked, nil
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
	if err := CheckUID("uid", device); err != nil {
		return nil, err
	}
	days, err := DaysBack(days)
	if err != nil {
		return nil, err
	}
	numbers, err := c.Book.Numbers(ctx, actor, device, c.Now().Add(-time.Duration(days)*24*time.Hour))
	if err != nil {
		return nil, err
	}
	all := make(map[string][]Sequence, len(numbers))
	for sensor, list := range numbers {
		all[sensor] = Sequences(list)
	}
	return all, nil
}
