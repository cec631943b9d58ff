// Package devices knows the kit: what connects, with which credential, which sensors it speaks for, and whose
// sensor that is over time. The edges read it as a snapshot (Cache); the desk changes it (Desk).
package devices

import (
	"crypto/sha256"
	"time"

	"hale/vital"
)

// Device is something that connects: a stand-alone device or a gateway. Its UID is its MQTT user name, client id
// and first topic level; it matches UIDPattern.
type Device struct {
	ID         vital.DeviceID
	Org        vital.OrgID
	UID        string
	Model      string
	SecretHash [sha256.Size]byte
	NextHash   [sha256.Size]byte // of the secret that takes its place, while OldUntil is set
	OldUntil   time.Time         // from then on only the next secret is good; zero: there is no next one
	Revoked    bool
	Own        vital.SensorID            // the sensor of the device itself
	Sensors    map[string]vital.SensorID // what a gateway may speak for, by the sensor's UID
	// Certificates are those by which it may show who it is, besides or instead of the secret.
	Certificates []Certificate
}

// UIDPattern is the form of a device's or sensor's UID: it stands in MQTT topics.
const UIDPattern = `^[A-Za-z0-9][A-Za-z0-9_.-]{0,63}$`

// Assignment is a period in which a sensor's readings are one patient's. The period is half open: [From, To).
type Assignment struct {
	ID      vital.AssignmentID
	Org     vital.OrgID
	Sensor  vital.SensorID
	Patient vital.PatientID
	From    time.Time
	To      time.Time // zero while it lasts
	Epoch   int32     // counts the changes of this assignment
}

// Covers reports whether the assignment holds at t.
func (a Assignment) Covers(t time.Time) bool {
	return !t.Before(a.From) && (a.To.IsZero() || t.Before(a.To))
}

// Snapshot is everything an edge needs to know, as of one version of the registry. It is immutable.
type Snapshot struct {
	Version     int64
	Devices     map[string]*Device                    // by UID
	Assignments map[vital.SensorID][]Assignment       // ordered by From
	Slots       map[vital.SensorID]map[uint8]UserSlot // of the sensors that several people share; see OfSlot
	Clocks      map[ClockKey]Clocks                   // what is known of clocks that were looked at; see Moment
	Zones       map[vital.PatientID]*time.Location    // where those live to whom sensors are assigned
	Authorities map[vital.OrgID][]*Authority          // whose certificates devices may show; see Identify
	// Epoch is the highest one of a connection that the record has heard of: the next connection has a higher one (docs/adr/0010).
	Epoch int64
}

// Owner returns the assignment that covers t; ok is false when nobody is known to own the sensor then.
func (s *Snapshot) Owner(sensor vital.SensorID, t time.Time) (a Assignment, ok bool) {
	list := s.Assignments[sensor]
	for i := len(list) - 1; i >= 0; i-- {
		if list[i].Covers(t) {
			return list[i], true
		}
	}
	return Assignment{}, false
}
