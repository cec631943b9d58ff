package ingest

import (
	"crypto/sha256"
	"strings"
	"time"

	"hale/devices"
	"hale/vital"
)

// Tried is what one part of a message would become.
type Tried struct {
	Sensor  string         // UID of the sensor that measured it
	Reading *vital.Reading // nil when it would be refused
	Refusal *Refusal       // nil when it would be taken
	Doubts  []string       // why the reading is marked with vital.FindingUnclear, and what to mend in the mapping
}

// LargestForeign is the payload in bytes of a message through a broker, above which it is refused and only its head kept.
const LargestForeign = 256 << 10

// Try shows what the mapping makes of a message, without a server: the bridge's device is taken as enrolled, and every
// sensor as granted to it. A message of the native wire is tried as if its device were enrolled. One of more than
// LargestForeign bytes is refused, as the bridge refuses it.
func (m *Mapping) Try(device, topic string, payload []byte, now time.Time) []Tried {
	t := &trial{}
	self := &devices.Device{ID: 1, Org: 1, UID: device}
	d := decoder{
		vocabulary: newVocabulary(), device: self, trial: t, received: now.UTC().Truncate(time.Microsecond),
		snapshot: &devices.Snapshot{Devices: map[string]*devices.Device{}},
		message:  &Message{Device: self, Topic: topic, Payload: payload, Mapping: m},
	}
	if len(payload) > LargestForeign {
		d.message.Oversize = &Oversize{Length: int64(len(payload)), Hash: sha256.Sum256(payload)}
	}
	if rest, ok := strings.CutPrefix(topic, topicRoot); ok {
		uid, rest, _ := strings.Cut(rest, "/")
		one := &devices.Device{ID: 2, Org: 1, UID: uid, Own: t.sensor(uid), Sensors: map[string]vital.SensorID{}}
		if name, ok := strings.CutPrefix(rest, "sensors/"); ok {
			name, _, _ = strings.Cut(name, "/")
			one.Sensors[name] = t.sensor(name)
		}
		d.snapshot.Devices[uid] = one
	}
	d.decode()
	var all []Tried
	for i := range d.readings {
		r := &d.readings[i]
		all = append(all, Tried{Sensor: t.names[r.Sensor-1], Reading: r, Doubts: t.doubts[i]})
	}
	for i := range d.told {
		all = append(all, Tried{Refusal: &d.told[i]})
	}
	return all
}

// trial gives numbers to the sensors that a message names, and notes what of it is in doubt.
type trial struct {
	names  []string
	doubts map[int][]string // by place among the readings
}

// doubt notes what could not be read of the reading's findings. Outside of a trial the reading's mark is all that tells.
func (t *trial) doubt(reading int, s *scope) {
	if t == nil {
		return
	}
	if t.doubts == nil {
		t.doubts = map[int][]string{}
	}
	for _, f := range s.unclear {
		t.doubts[reading] = append(t.doubts[reading], f.doubt(s))
	}
}

func (t *trial) sensor(uid string) vital.SensorID {
	for i, name := range t.names {
		if name == uid {
			return vital.SensorID(i + 1)
		}
	}
	t.names = append(t.names, uid)
	return vital.SensorID(len(t.names))
}
