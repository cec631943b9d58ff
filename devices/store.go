package devices

import (
	"context"
	"time"

	"hale/account"
	"hale/vital"
)

// Registry is the record as the edges' Cache needs it.
type Registry interface {
	// Version grows with every change of a device, credential, grant or assignment of any organisation.
	Version(ctx context.Context) (int64, error)
	Snapshot(ctx context.Context) (*Snapshot, error)
}

// Enrolment is a new device as the desk describes it. UID is chosen by the desk and unique in the installation.
type Enrolment struct {
	UID        string
	Model      string
	SecretHash [32]byte
	BrokerHash string   // the secret as Mosquitto keeps passwords
	Sensors    []string // UIDs of further sensors that it may speak for
}

// Binding says whose a sensor's readings are from a time on.
type Binding struct {
	Sensor  string // UID of a device (its own sensor) or of a granted sensor
	Patient vital.UID
	From    time.Time // zero: from now on
	To      time.Time // zero: until further notice
}

// Inventory is the record as the Desk needs it. Every method is bound to the actor's organisation and writes its audit row.
type Inventory interface {
	Devices(ctx context.Context, actor account.Actor, limit int) ([]Device, error)
	// Enrol stores a device; a UID that is taken is fault.Conflict.
	Enrol(ctx context.Context, actor account.Actor, e Enrolment) (Device, error)
	// Assign starts an assignment. It may lie in the past when the sensor has no earlier or overlapping assignment
	// and nothing of it is stored or parked in that span; otherwise fault.Conflict says what stands there.
	Assign(ctx context.Context, actor account.Actor, b Binding) (Assignment, error)
	// Intake tells what became of everything the device sent so far; fault.NotFound when there is no such device.
	Intake(ctx context.Context, actor account.Actor, uid string) (Intake, error)
	// Revoke makes the device's secret worthless at once.
	Revoke(ctx context.Context, actor account.Actor, uid string) error
}

// Intake tells what became of what a device sent: every reading ends in exactly one of the three.
type Intake struct {
	Stored      int                  // readings in the record
	Parked      int                  // waiting for an owner
	Quarantined map[vital.Reason]int // refused, by reason
}

// Total counts all of it.
func (i Intake) Total() int {
	n := i.Stored + i.Parked
	for _, q := range i.Quarantined {
		n += q
	}
	return n
}
