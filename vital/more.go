package vital

import "time"

// More is what few readings have beside their numbers. It judges nothing by itself: what a judgement depends on is also a
// finding (Averaged), or has moved the reading already (MeasuredAt).
type More struct {
	Clock    Clock
	Standing Standing
	// Name is a hash of the sender's own name for the measurement (TieOfName), 0 when it has none. An amendment names what it
	// amends by it.
	Name  int64
	Facts []Fact // in the order in which they were said
}

// Clock is how the time of a measurement was arrived at. The zero Clock says that the time as sent was taken as it is.
type Clock struct {
	Offset      time.Duration // added to the time as sent; at most a day, in microseconds
	Method      ClockMethod
	Uncertainty time.Duration // the measurement lies within so much of MeasuredAt, either way; microseconds
}

// ClockMethod is how the offset of a clock was known.
type ClockMethod uint8

// The methods. They stand in the record: never renumber.
const (
	ClockAsSent     ClockMethod = iota // the time as sent was taken as it is
	ClockCoincident                    // the device said what its clock showed when it sent
	ClockGateway                       // the gateway that speaks for the sensor gave its own time beside
	ClockArrival                       // the time of arrival stands in
	ClockZone                          // a local time without zone was resolved in the zone of whoever wears the sensor
)

// Fact is something beside the numbers, such as {"body_posture", "sitting"} or {"mean_pressure", "95 mm[Hg]"}.
type Fact struct{ Name, Value string }

// Standing is what a measurement is worth by its sender's word.
type Standing uint8

// The standings. They stand in the record: never renumber.
const (
	Final          Standing = iota // as measured
	Amended                        // it takes the place of one that was sent before
	EnteredInError                 // it takes one back that was sent before
	Summary                        // an average or another statistic over a time: no limit judges it
)

// Beyond is on which side of its range a device found a value that it could not measure; 0 when it did not.
type Beyond int8

// The sides.
const (
	Below Beyond = -1
	Above Beyond = 1
)

// Status is what is known of a device, or of one sensor that it speaks for, beside measurements: it travels to the record like
// a reading does.
type Status struct {
	Org        OrgID
	Device     DeviceID
	Sensor     SensorID // what it tells of; the device's own when it tells of itself
	ReceivedAt time.Time
	Kind       StatusKind
	Connection int64 // the epoch of the connection that told it: what an older one tells is ignored
	Battery    uint8 // percent, where HasBattery says so
	HasBattery bool
	Signal     int16 // dBm, 0 when it is not told
	Firmware   string
	Clock      time.Time // what the device's clock showed when it sent; zero when it was not told
	Raw        []byte    // as sent
}

// StatusKind is how a status came about.
type StatusKind uint8

// The kinds of status. They stand in stored envelopes: never renumber.
const (
	StatusTold StatusKind = iota + 1 // the device said it
	StatusWill                       // its last will, told when the connection ended without a goodbye
	StatusCame                       // it connected
	StatusLeft                       // its connection ended
)

// Partition returns the stream partition of the device that it tells of.
func (s *Status) Partition() int { return PartitionOf(uint64(s.Device)) }

// Original is a message as it was sent, kept for a time beside what was decoded of it, so that a decoder's mistake can be mended.
type Original struct {
	Org        OrgID
	Device     DeviceID
	ReceivedAt time.Time
	Topic      string
	Raw        []byte
	Hash       [32]byte // SHA-256 of Raw
}

// Partition returns the stream partition of the device that sent it.
func (o *Original) Partition() int { return PartitionOf(uint64(o.Device)) }
