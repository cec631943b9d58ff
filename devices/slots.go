package devices

import (
	"strconv"
	"strings"
	"time"

	"hale/vital"
)

// MaxSlot is the highest number of a user slot. 255 means that the device does not know who used it (Bluetooth SIG):
// such a reading waits, whoever holds the sensor (vital.UserUnsure).
const MaxSlot = 254

// slotMark stands in the name of a user slot between the name of the shared sensor and the number, as in "cuff-1:2". No
// device and no sensor has it in its name (UIDPattern), so nobody publishes as a slot.
const slotMark = ":"

// UserSlot is the place of one user in a sensor that several people share: a sensor of its own, which is assigned like any other.
type UserSlot struct {
	Sensor vital.SensorID
	// Since is from which time on, as the device sent it, readings with this number are the slot's; before, they are the
	// shared sensor's, so that a reading that is sent again keeps the identity under which it was stored. Zero: always.
	Since time.Time
}

// SlotUID returns the name of a user slot of a sensor.
func SlotUID(sensor string, slot uint8) string {
	return sensor + slotMark + strconv.Itoa(int(slot))
}

// SplitSlotUID is the opposite of SlotUID; ok is false of a name that is no slot's.
func SplitSlotUID(uid string) (sensor string, slot uint8, ok bool) {
	sensor, number, ok := strings.Cut(uid, slotMark)
	n, err := strconv.ParseUint(number, 10, 8)
	if !ok || err != nil || n > MaxSlot || SlotUID(sensor, uint8(n)) != uid {
		return "", 0, false
	}
	return sensor, uint8(n), true
}

// OfSlot returns the sensor whose a reading is that the given sensor sent with a user slot, or without one (has false), at a
// time as sent. A sensor that nobody shares is meant itself, whatever slot it names. Of a shared one it is the slot's; ok is
// false when no such slot is known, or none was named: the reading is then the shared sensor's, which has an owner only while
// all its slots are one person's, and waits in the inbox otherwise.
func (s *Snapshot) OfSlot(sensor vital.SensorID, slot uint8, has bool, sent time.Time) (of vital.SensorID, ok bool) {
	slots := s.Slots[sensor]
	if len(slots) == 0 {
		return sensor, true
	}
	one, known := slots[slot]
	if !has || !known || sent.Before(one.Since) {
		return sensor, false
	}
	return one.Sensor, true
}
