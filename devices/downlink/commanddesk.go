package downlink

import (
	"context"
	"time"

	"hale/account"
	"hale/devices"
	"hale/vital"
)

// CommandBook is the record as the CommandDesk needs it. Every method is bound to the actor's organisation and writes its audit row.
type CommandBook interface {
	// AddCommand stores a command of a device that is in use, after decide has completed it: its homes are known then. A device or
	// sensor that is not there, or that does not belong together, is fault.NotFound; a revoked device is fault.Conflict.
	AddCommand(ctx context.Context, actor account.Actor, c Command, decide func(c *Command, now time.Time) error) (Command, error)
	// Commands returns those of a device, newest first; fault.NotFound when there is no such device.
	Commands(ctx context.Context, actor account.Actor, device string, limit int) ([]Command, error)
	// WithdrawCommand settles an open command: it is not sent any more. One that is settled is fault.Conflict.
	WithdrawCommand(ctx context.Context, actor account.Actor, device string, id vital.UID) error
}

// CommandDesk is where people ask something of a device. Who may enrol a device may ask it.
type CommandDesk struct {
	Book CommandBook
	// Told, when set, is called after each change, so that the edges look at once.
	Told func(ctx context.Context)
}

// mostCommands is how many commands one listing holds.
const mostCommands = 200

// Ask asks something of a device. What is wrong with it is fault.Invalid.
func (d *CommandDesk) Ask(ctx context.Context, actor account.Actor, c Command) (Command, error) {
	if err := account.Allow(actor, account.EnrolDevice, nil); err != nil {
		return Command{}, err
	}
	if err := devices.CheckUID("device", c.Device); err != nil {
		return Command{}, err
	}
	if c.Sensor == "" {
		c.Sensor = c.Device
	}
	if err := devices.CheckUID("sensor", c.Sensor); err != nil {
		return Command{}, err
	}
	made, err := d.Book.AddCommand(ctx, actor, c, (*Command).Check)
	if err == nil {
		d.told(ctx)
	}
	return made, err
}

// Commands returns what was asked of a device, newest first. A limit of 0 means 200, which is also the most.
func (d *CommandDesk) Commands(ctx context.Context, actor account.Actor, device string, limit int) ([]Command, error) {
	if err := account.Allow(actor, account.SeeDevices, nil); err != nil {
		return nil, err
	}
	if err := devices.CheckUID("device", device); err != nil {
		return nil, err
	}
	limit, err := account.ListLength(limit, mostCommands, mostCommands)
	if err != nil {
		return nil, err
	}
	return d.Book.Commands(ctx, actor, device, limit)
}

// Withdraw takes back what was asked, as long as the device has not said what became of it. A device that has it already may do it
// all the same.
func (d *CommandDesk) Withdraw(ctx context.Context, actor account.Actor, device string, id vital.UID) error {
	if err := account.Allow(actor, account.EnrolDevice, nil); err != nil {
		return err
	}
	if err := devices.CheckUID("device", device); err != nil {
		return err
	}
	err := d.Book.WithdrawCommand(ctx, actor, device, id)
	if err == nil {
		d.told(ctx)
	}
	return err
}

func (d *CommandDesk) told(ctx context.Context) {
	if d.Told != nil {
		d.Told(ctx)
	}
}
