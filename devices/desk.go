package devices

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"regexp"
	"slices"
	"strings"
	"time"

	"hale/account"
	"hale/fault"
	"hale/vital"
)

// Bounds of what the desk may say of a device, and of one listing.
const (
	longestModel = 200 // characters
	mostSensors  = 256 // that one gateway speaks for
	mostDevices  = 1000
)

// FurthestAhead is how far in the future an assignment, a schedule or a pause may begin.
const FurthestAhead = 366 * 24 * time.Hour

// Patients is the record as the Desk needs it to know whom a sensor is given to.
type Patients interface {
	Patient(ctx context.Context, actor account.Actor, uid vital.UID) (account.Patient, error)
}

// Desk is where kit is enrolled, given to patients and taken out of use.
type Desk struct {
	Kit      Inventory
	Patients Patients
	Now      func() time.Time
	// Changed, when set, is called after each change, so that an edge in this process need not wait for its next look:
	// Cache.Nudge, or Cache.Look for one that is to know before the desk has its answer.
	Changed func(ctx context.Context)
}

// Enrolled is a new device with its secret, which is shown this once: only a hash of it is stored.
type Enrolled struct {
	Device Device
	Secret string // the MQTT password: 256 random bits as base64url
}

// Devices lists the organisation's devices by name, without what could tell their secrets. A limit of 0 means 1000, which
// is also the most.
func (d *Desk) Devices(ctx context.Context, actor account.Actor, limit int) ([]Device, error) {
	if err := account.Allow(actor, account.SeeDevices, nil); err != nil {
		return nil, err
	}
	limit, err := account.ListLength(limit, mostDevices, mostDevices)
	if err != nil {
		return nil, err
	}
	list, err := d.Kit.Devices(ctx, actor, limit)
	for i := range list {
		list[i].SecretHash = [sha256.Size]byte{}
	}
	return list, err
}

// Enrol takes a new device into the actor's organisation and makes its secret. An empty UID is replaced by a random one;
// whatever the caller says of SecretHash is not used. A UID that is taken is fault.Conflict.
func (d *Desk) Enrol(ctx context.Context, actor account.Actor, e Enrolment) (Enrolled, error) {
	if err := account.Allow(actor, account.EnrolDevice, nil); err != nil {
		return Enrolled{}, err
	}
	e.UID, e.Model = strings.TrimSpace(e.UID), strings.TrimSpace(e.Model)
	if e.UID == "" {
		e.UID = strings.ToLower(rand.Text())
	}
	if err := e.check(); err != nil {
		return Enrolled{}, err
	}
	secret, kept, err := NewSecret()
	if err != nil {
		return Enrolled{}, err
	}
	e.SecretHash, e.BrokerHash = kept.Hash, kept.Broker
	device, err := d.Kit.Enrol(ctx, actor, e)
	if err != nil {
		return Enrolled{}, err
	}
	d.changed(ctx)
	return Enrolled{Device: device, Secret: secret}, nil
}

func (e *Enrolment) check() error {
	if err := CheckUID("uid", e.UID); err != nil {
		return err
	}
	if e.Model == "" || !account.Printable(e.Model, longestModel) {
		return fault.New(fault.Invalid, "model: give 1 to %d printable characters", longestModel)
	}
	if len(e.Sensors) > mostSensors {
		return fault.New(fault.Invalid, "sensors: a gateway speaks for at most %d", mostSensors)
	}
	for i, s := range e.Sensors {
		if err := CheckUID("sensors", s); err != nil {
			return err
		}
		if s == e.UID {
			return fault.New(fault.Invalid, "sensors: %q is the device itself; name only what it speaks for besides", s)
		}
		if slices.Contains(e.Sensors[:i], s) {
			return fault.New(fault.Invalid, "sensors: %q stands twice", s)
		}
	}
	return nil
}

// Assign gives a sensor's readings to a patient from a time on, from now on when none is said. See Inventory for what is fault.Conflict.
func (d *Desk) Assign(ctx context.Context, actor account.Actor, b Binding) (Assignment, error) {
	if err := account.Allow(actor, account.AssignDevice, nil); err != nil {
		return Assignment{}, err
	}
	now := d.Now()
	if b.From.IsZero() {
		b.From = now
	}
	b.From = b.From.UTC().Truncate(time.Microsecond)
	if !b.To.IsZero() {
		b.To = b.To.UTC().Truncate(time.Microsecond)
	}
	if err := b.check(now); err != nil {
		return Assignment{}, err
	}
	p, err := d.Patients.Patient(ctx, actor, b.Patient)
	if err != nil {
		return Assignment{}, err
	}
	if err := account.Allow(actor, account.AssignDevice, &p); err != nil {
		return Assignment{}, err
	}
	made, err := d.Kit.Assign(ctx, actor, b)
	if err != nil {
		return Assignment{}, err
	}
	d.changed(ctx)
	return made, nil
}

func (b *Binding) check(now time.Time) error {
	if err := checkSensor(b.Sensor); err != nil {
		return err
	}
	if b.Patient == "" {
		return fault.New(fault.Invalid, "patient: say whose the readings are")
	}
	if b.From.After(now.Add(FurthestAhead)) {
		return fault.New(fault.Invalid, "from: an assignment may begin at most a year ahead, not in %d", b.From.Year())
	}
	if !b.To.IsZero() && !b.To.After(b.From) {
		return fault.New(fault.Invalid, "to: must lie after from, or be left out until further notice")
	}
	return nil
}

// Revoke takes a device out of use: its secret is worthless at once, and its connection is closed. What it sent before
// stays. Who may enrol may revoke.
func (d *Desk) Revoke(ctx context.Context, actor account.Actor, uid string) error {
	if err := account.Allow(actor, account.EnrolDevice, nil); err != nil {
		return err
	}
	if err := CheckUID("uid", uid); err != nil {
		return err
	}
	if err := d.Kit.Revoke(ctx, actor, uid); err != nil {
		return err
	}
	d.changed(ctx)
	return nil
}

// Intake tells what became of everything that the device sent so far; fault.NotFound when there is no such device.
func (d *Desk) Intake(ctx context.Context, actor account.Actor, uid string) (Intake, error) {
	if err := account.Allow(actor, account.SeeDevices, nil); err != nil {
		return Intake{}, err
	}
	if err := CheckUID("uid", uid); err != nil {
		return Intake{}, err
	}
	return d.Kit.Intake(ctx, actor, uid)
}

func (d *Desk) changed(ctx context.Context) {
	if d.Changed != nil {
		d.Changed(ctx)
	}
}

var uidForm = regexp.MustCompile(UIDPattern)

// IsUID reports whether a device or sensor may have this name (UIDPattern).
func IsUID(uid string) bool { return uidForm.MatchString(uid) }

// CheckUID returns fault.Invalid, with what to mend in the field, unless a device or sensor may have this name.
func CheckUID(field, uid string) error {
	if IsUID(uid) {
		return nil
	}
	shown := uid[:min(len(uid), 80)]
	return fault.New(fault.Invalid, "%s: %q does not do as a name; give 1 to 64 of the letters A-Z and a-z, digits, and . _ - after the first", field, shown)
}
