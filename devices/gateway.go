package devices

import (
	"context"
	"errors"
	"strings"
	"time"

	"hale/account"
	"hale/fault"
)

// Granting lets a gateway speak for one more sensor. Nobody has the sensor by that: whose it is, a person says.
type Granting struct {
	Device string // UID of the gateway
	Sensor string // UID of the sensor, which comes to be when there is none of that name
	// Is says what the sensor is; nil leaves that as it is.
	Is *Describing
	// Confirmed says that whoever has the sensor has it where the gateway is, though somebody else has the gateway: it was asked.
	Confirmed bool
}

// Carrier is a device as it is when it is to speak for one more sensor.
type Carrier struct {
	Revoked bool
	Sensors int  // that it speaks for, besides its own
	Speaks  bool // for the one that is asked about
	// Elsewhere is who has the sensor and not the gateway, while somebody else has that; nil when there is nobody like that.
	Elsewhere *Elsewhere
}

// Elsewhere is somebody who has a sensor and not the gateway that is to speak for it. Who it is, the assignments of the sensor say.
type Elsewhere struct {
	Since time.Time
	Kits  []string // labels of the kits that they have
}

// Granted is a sensor that a gateway speaks for, or has spoken for.
type Granted struct {
	Sensor string
	Ended  time.Time // when it was taken from the gateway; zero: the gateway speaks for it
	Held   bool      // somebody has the sensor, or a user slot of it, now
	Others []string  // UIDs of the other gateways in use that speak for it
}

// GrantBook is the record as the Gateways need it. Every method is bound to the actor's organisation, and what it changes has its audit
// row; a device that is not there is fault.NotFound.
type GrantBook interface {
	// Granted returns what the device speaks for, and what was taken from it, by name.
	Granted(ctx context.Context, actor account.Actor, device string) ([]Granted, error)
	// GrantSensor asks decide about the gateway as it is then, and when that wants it, lets it speak for the sensor. A name that is a
	// device's own, or somebody else's, is fault.Conflict; a type that is not there is fault.NotFound.
	GrantSensor(ctx context.Context, actor account.Actor, g Granting, decide func(Carrier) (grant bool, err error)) (Granted, error)
	// EndGrant takes a sensor from a gateway, and cancels what is open of what the gateway was asked for it; fault.NotFound when the
	// gateway never spoke for it. Taking it twice is a success.
	EndGrant(ctx context.Context, actor account.Actor, device, sensor string) error
}

// Gateways is where it is said for which sensors a gateway speaks, once it is enrolled.
type Gateways struct {
	Book GrantBook
	// Changed, when set, is called after each change, as Desk.Changed.
	Changed func(ctx context.Context)
}

// Of returns what a gateway speaks for, and what was taken from it, by name.
func (g *Gateways) Of(ctx context.Context, actor account.Actor, device string) ([]Granted, error) {
	if err := account.Allow(actor, account.SeeDevices, nil); err != nil {
		return nil, err
	}
	if err := CheckUID("uid", device); err != nil {
		return nil, err
	}
	return g.Book.Granted(ctx, actor, device)
}

// Grant lets a gateway speak for one more sensor from now on. It is a success when the gateway does already. A sensor that somebody has
// who has not the gateway, while somebody else has that, is fault.Conflict unless it was confirmed. Who may enrol may do it.
func (g *Gateways) Grant(ctx context.Context, actor account.Actor, add Granting) (Granted, error) {
	if err := account.Allow(actor, account.EnrolDevice, nil); err != nil {
		return Granted{}, err
	}
	if err := add.check(); err != nil {
		return Granted{}, err
	}
	made, err := g.Book.GrantSensor(ctx, actor, add, add.take)
	if err != nil {
		return Granted{}, err
	}
	g.changed(ctx)
	return made, nil
}

func (g *Granting) check() error {
	if err := checkPair(g.Device, g.Sensor); err != nil {
		return err
	}
	if g.Is == nil {
		return nil
	}
	g.Is.Sensor = g.Sensor
	return g.Is.check()
}

// checkPair accepts the names of a gateway and of something that it speaks for besides itself.
func checkPair(device, sensor string) error {
	if err := CheckUID("uid", device); err != nil {
		return err
	}
	if err := CheckUID("sensor", sensor); err != nil {
		return err
	}
	if device == sensor {
		return fault.New(fault.Invalid, "sensor: %q is the device itself; name only what it speaks for besides", sensor)
	}
	return nil
}

// take decides whether the gateway comes to speak for the sensor: not when it does already. What it sends would be somebody's in
// another home than the gateway's, so that is not done without a word.
func (g *Granting) take(is Carrier) (bool, error) {
	switch {
	case is.Revoked:
		return false, fault.New(fault.Conflict, "the device was taken out of use: it speaks for nothing")
	case is.Speaks:
		return false, nil
	case is.Sensors >= mostSensors:
		return false, fault.New(fault.Conflict, "a gateway speaks for at most %d sensors: take those from it that it does not have any more", mostSensors)
	case is.Elsewhere != nil && !g.Confirmed:
		return false, fault.Wrap(fault.Conflict, ErrElsewhere, "the sensor %s is somebody else's, %s, and not of those who have %s: what this gateway sends of it would be theirs. "+
			"End who has it first, or confirm that it stays theirs", g.Sensor, is.Elsewhere, g.Device)
	}
	return true, nil
}

// ErrElsewhere is the cause where somebody else has a sensor than the gateway that is to speak for it, and nobody has confirmed that.
var ErrElsewhere = errors.New("the sensor is somebody else's than the gateway")

// String says since when, and with which kits, without the names of people.
func (e *Elsewhere) String() string {
	text := "since " + e.Since.UTC().Format(time.RFC3339)
	if len(e.Kits) > 0 {
		text += " (kit " + strings.Join(e.Kits, ", ") + ")"
	}
	return text
}

// Take ends that a gateway speaks for a sensor: from now on nothing of that sensor is taken from it. What it sent before stays, and
// whoever has the sensor still has it. Who may enrol may do it.
func (g *Gateways) Take(ctx context.Context, actor account.Actor, device, sensor string) error {
	if err := account.Allow(actor, account.EnrolDevice, nil); err != nil {
		return err
	}
	if err := checkPair(device, sensor); err != nil {
		return err
	}
	if err := g.Book.EndGrant(ctx, actor, device, sensor); err != nil {
		return err
	}
	g.changed(ctx)
	return nil
}

func (g *Gateways) changed(ctx context.Context) {
	if g.Changed != nil {
		g.Changed(ctx)
	}
}
