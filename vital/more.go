package vital

import (
	"crypto/sha256"
	"encoding/binary"
	"time"
)

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

// ClockLook is one comparison of a device's clock with ours. Its offset may be of any size.
type ClockLook struct {
	Clock
	At    time.Time // ours, when the clock showed what it did
	Local bool      // the clock tells no zone: its digits were taken as if they were UTC, and the offset has the zone in it
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

// String names the method as it stands in messages and in the API.
func (m ClockMethod) String() string {
	switch m {
	case ClockAsSent:
		return "as_sent"
	case ClockCoincident:
		return "coincident"
	case ClockGateway:
		return "gateway"
	case ClockArrival:
		return "arrival"
	case ClockZone:
		return "zone"
	}
	return "unknown"
}

// Fact is something beside the numbers, such as {"body_posture", "sitting"} or {"mean_pressure", "95 mm[Hg]"}.
type Fact struct{ Name, Value string }

// Until is the name of the fact that says when something ended that lasted: a date, a time of RFC 3339, or the same without zone.
const Until = "until"

// Identifier is the name of the fact that gives the sender's own name for what it takes back, as it was sent: of what is taken back only.
const Identifier = "identifier"

// Standing is what a measurement is worth by its sender's word.
type Standing uint8

// The standings. They stand in the record: never renumber.
const (
	Final          Standing = iota // as measured
	Amended                        // it takes the place of one that was sent before
	EnteredInError                 // it takes one back that was sent before
	Summary                        // an average or another statistic over a time: no limit judges it
)

// TieOfName hashes the sender's own name for a measurement; 0 when it has none.
func TieOfName(name string) int64 {
	if name == "" {
		return 0
	}
	sum := sha256.Sum256([]byte(name))
	return int64(binary.LittleEndian.Uint64(sum[:8])>>1) | 1
}

// NotJudged are the findings of a reading that is kept and shown, and that no rule looks at: neither as a value nor as one of so
// many.
const NotJudged = Averaged

// Beyond is on which side of its range a device found a value that it could not measure; 0 when it did not.
type Beyond int8

// The sides. With Under and Over it was not the device's range: the number that was sent is a bound, and what was measured lies below it, or
// above ("<70 %").
const (
	Below Beyond = -1
	Above Beyond = 1
	Under Beyond = -2
	Over  Beyond = 2
)

// Bound reports whether the number that was sent is a bound of what was measured.
func (b Beyond) Bound() bool { return b == Under || b == Over }

// Status is what is known of a device, or of one sensor that it speaks for, beside measurements: it travels to the record like
// a reading does.
type Status struct {
	Org        OrgID
	Device     DeviceID
	Sensor     SensorID // what it tells of; the device's own when it tells of itself
	ReceivedAt time.Time
	Kind       StatusKind
	Connection int64  // the epoch of the connection that told it: what an older one tells is ignored
	Edge       string // where that connection is: one life of one edge; empty without a connection
	Battery    uint8  // percent, where HasBattery says so
	HasBattery bool
	Signal     int16 // dBm, 0 when it is not told
	Firmware   string
	Clock      time.Time  // what the clock showed when it was told; zero when it was not told
	Look       *ClockLook // what that says of the clock; nil when nothing
	Raw        []byte     // as sent
	Answer     *Answer    // what became of a command; nil for most
}

// Answer is what a device says became of a command that it was sent.
type Answer struct {
	Command UID
	Done    bool   // false: it could not
	Detail  string // in the device's words
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
