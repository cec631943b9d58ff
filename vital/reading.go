package vital

import (
	"cmp"
	"crypto/sha256"
	"encoding/binary"
	"time"
)

// Partitions is P: the number of partitions of the stream. Changing it is a documented drain.
const Partitions = 8

// LiveWithin is the age up to which a reading is live; older ones take the late lane.
const LiveWithin = 15 * time.Minute

// Finding is something a device or Hale noticed about a reading. A finding is never a reason to hide a number.
type Finding uint32

// The findings. They are bits and stand in the record: never renumber.
const (
	IrregularPulse Finding = 1 << iota
	BodyMovement
	CuffLoose
	PoorSignal
	LowPerfusion
	TimeAssumed  // the message had no time; arrival stands in for it
	Historic     // measured more than 6 h before it arrived, as late as it can have been (Latest)
	PulseDropped // the cuff sent a pulse that nobody has (0, 255); the pressure is kept without it
	// ThroughBroker marks a reading that came through somebody else's MQTT broker ("trust: broker"): who sent it, and
	// whether all of it arrived, is that broker's word.
	ThroughBroker
	// FindingUnclear marks a reading of a mapping with whose number something was sent that may be a finding, and that the
	// mapping cannot read: whether the device noticed something is not known.
	FindingUnclear
	// Disputed marks a reading of which the patient says that it is wrong. It is never stored with the reading: whoever reads
	// for people adds it, and nothing is judged by it.
	Disputed
	// TimeLocal marks a reading whose time had no zone: that of whoever wears the sensor was taken.
	TimeLocal
	// TimeCorrected marks a reading whose time as sent was put right by a known offset of the device's clock.
	TimeCorrected
	// Averaged marks an average or another statistic over a time: it is kept and shown, and no limit judges it.
	Averaged
	// Amending marks a reading that took the place of one that was sent before.
	Amending
	// Claimed marks a reading that had waited for an owner until a person said whose it is.
	Claimed
	// UserUnsure marks a reading of which the device itself says that it does not know whose it is, or may be another user's: it waits until
	// a person has said so, whoever holds the sensor.
	UserUnsure
	// TimeUnsure marks a reading whose time is uncertain by more than VagueFrom: only its date was told, or nobody knows when its clock
	// was changed.
	TimeUnsure
	// CorrectionRefused marks a reading of which its device sent a correction that was refused: it stands as it is, and somebody should ask.
	CorrectionRefused
)

// Names returns the findings by the names that they have in messages and in the API, in the order of their bits.
func (f Finding) Names() []string {
	names := [...]string{
		"irregular_pulse", "body_movement", "cuff_loose", "poor_signal", "low_perfusion", "time_assumed", "historic", "pulse_dropped", "trust_broker",
		"finding_unclear", "disputed", "time_local", "time_corrected", "averaged", "amending", "claimed", "user_unsure", "time_unsure",
		"correction_refused",
	}
	var all []string
	for bit, name := range names {
		if f&(1<<bit) != 0 {
			all = append(all, name)
		}
	}
	return all
}

// HistoricAfter is the age, against the clock, from which a reading is historic: it never pages.
const HistoricAfter = 6 * time.Hour

// Latest returns the latest moment at which something can have been measured whose time is at, within unsure either way: not after it
// arrived. What arrived within LiveWithin of its time is taken at that. A reading is as old as this says: one that may have been
// measured just now is none of the past.
func Latest(at time.Time, unsure time.Duration, received time.Time) time.Time {
	if late := received.Sub(at); unsure > 0 && late >= LiveWithin {
		return at.Add(min(unsure, late))
	}
	return at
}

// Key is the identity of a reading: the same key is the same measurement, however often it is sent.
type Key struct {
	Sensor SensorID
	Metric Metric
	SentAt time.Time // the device's own time, as sent, UTC, microseconds
	Tie    int64     // the device's sequence number, else a hash of the quantities as sent
}

// Reading is one measurement on its way from the edge to the record.
type Reading struct {
	Key
	HasSequence bool // Tie is the device's own sequence number
	MeasuredAt  time.Time
	ReceivedAt  time.Time
	Org         OrgID
	Device      DeviceID // who connected and spoke
	Patient     PatientID
	Assignment  AssignmentID
	Epoch       int32 // of the assignment, as the edge knew it; re-checked in the batch transaction
	Sent        [3]Quantity
	N           uint8 // how many of Sent hold a number; an absent optional one in the middle does not occur
	Findings    Finding
	More        *More // nil for most
}

// ID is a hash of the identity: a short name for the reading and the second key of the order in which a condition
// track is folded. It never depends on the patient, the corrected time or the arrival.
func (k Key) ID() int64 {
	var b [26]byte
	binary.LittleEndian.PutUint64(b[0:], uint64(k.Sensor))
	binary.LittleEndian.PutUint16(b[8:], uint16(k.Metric))
	binary.LittleEndian.PutUint64(b[10:], uint64(k.SentAt.UnixMicro()))
	binary.LittleEndian.PutUint64(b[18:], uint64(k.Tie))
	sum := sha256.Sum256(b[:])
	return int64(binary.LittleEndian.Uint64(sum[:8]) >> 1) // positive, so that it reads well
}

// TieOf hashes quantities as sent; it is the tie of a reading whose device counts no sequence.
func TieOf(sent []Quantity) int64 {
	b := make([]byte, 0, 33)
	for _, q := range sent {
		b = binary.LittleEndian.AppendUint64(b, uint64(q.Mantissa))
		b = append(b, byte(q.Exponent))
		b = binary.LittleEndian.AppendUint16(b, uint16(q.Unit))
	}
	sum := sha256.Sum256(b)
	return int64(binary.LittleEndian.Uint64(sum[:8]) >> 1)
}

// Unsure returns within how much of its time, either way, a reading was measured.
func (r *Reading) Unsure() time.Duration {
	if r.More == nil {
		return 0
	}
	return r.More.Clock.Uncertainty
}

// FindAge finds the reading to be Historic, or not, by its times, and TimeUnsure by how well they are known.
func (r *Reading) FindAge() {
	r.Findings &^= Historic | TimeUnsure
	if !r.Vague().IsZero() {
		r.Findings |= TimeUnsure
	}
	if r.ReceivedAt.Sub(Latest(r.MeasuredAt, r.Unsure(), r.ReceivedAt)) > HistoricAfter {
		r.Findings |= Historic
	}
}

// Values returns the quantities in their metric's canonical units; absent ones are missing at the end.
func (r *Reading) Values() []float64 { return r.AppendValues(make([]float64, 0, r.N)) }

// AppendValues appends what Values returns.
func (r *Reading) AppendValues(values []float64) []float64 {
	if r.Metric < 0 || r.Metric > lastMetric {
		return values
	}
	d := &definitions[r.Metric]
	for i := 0; i < int(r.N) && i < len(d.Components); i++ {
		v, _ := r.Sent[i].To(d.Components[i].Canonical)
		values = append(values, v)
	}
	return values
}

// Partition returns the stream partition of whoever the reading belongs to: its patient, or its device when the
// patient is not known.
func (r *Reading) Partition() int {
	if r.Patient != 0 {
		return PartitionOf(uint64(r.Patient))
	}
	return PartitionOf(uint64(r.Device))
}

// PartitionOf spreads ids over the partitions; neighbours land apart.
func PartitionOf(id uint64) int {
	id ^= id >> 33
	id *= 0xff51afd7ed558ccd // finaliser of MurmurHash3 (public domain)
	id ^= id >> 33
	id *= 0xc4ceb9fe1a85ec53
	id ^= id >> 33
	return int(id % Partitions)
}

// Reason names why a message or reading was refused; the sentence beside it says what to mend.
type Reason string

// The reasons of refusal.
const (
	ReasonUnparsable  Reason = "unparsable"   // not the format its topic promises
	ReasonTooLarge    Reason = "too_large"    // above the packet limit; kept as head, length and hash
	ReasonMetric      Reason = "metric"       // unknown metric, or a component is missing
	ReasonUnit        Reason = "unit"         // unit missing, unknown or of another kind
	ReasonNotANumber  Reason = "not_a_number" // NaN, infinity, text
	ReasonImplausible Reason = "implausible"  // outside what a living person can have
	ReasonClock       Reason = "clock"        // before 2015 or in the future
	ReasonTopic       Reason = "topic"        // no topic of the wire, or one that is not this device's
	ReasonSensor      Reason = "sensor"       // a gateway named a sensor that was not granted to it
	ReasonConflict    Reason = "conflict"     // the same sequence number with another value
	ReasonName        Reason = "name"         // it amends or takes back what was never sent under that name
	ReasonNotKept     Reason = "not_kept"     // well formed, and no measurement that Hale keeps: there is nothing to mend
)

// Refused is a message, or one reading of it, that cannot be stored as a reading. It travels to the record like a
// reading does, so that nothing is lost.
type Refused struct {
	Org        OrgID
	Device     DeviceID
	ReceivedAt time.Time
	Topic      string
	Reason     Reason
	Detail     string // what to mend, for a person
	Raw        []byte // as received; the head only when Length is larger
	Length     int64  // of the whole message
	Hash       [32]byte
	// Read is what could be read of the measurement nevertheless, nil when nothing could: a number that nobody can have, a time
	// that cannot be. It is screened for emergencies and never stored as a reading.
	Read   *Reading
	Beyond Beyond // the device found a value outside of what it can measure: there is no number
	Also   []Seen // the further measurements that could be read of it, where it holds several: each is screened as Read is
}

// Seen is what could be read of a measurement that was refused.
type Seen struct {
	Read   Reading
	Beyond Beyond
}

// See adds what could be read of one more of its measurements.
func (r *Refused) See(read *Reading, beyond Beyond) {
	switch {
	case read == nil:
		r.Beyond = cmp.Or(r.Beyond, beyond)
	case r.Read == nil:
		r.Read, r.Beyond = read, cmp.Or(beyond, r.Beyond)
	default:
		r.Also = append(r.Also, Seen{*read, beyond})
	}
}

// All returns the measurements that could be read of it.
func (r *Refused) All() []Seen {
	if r.Read == nil {
		return nil
	}
	return append([]Seen{{*r.Read, r.Beyond}}, r.Also...)
}

// Partition returns the stream partition of the device that sent it.
func (r *Refused) Partition() int { return PartitionOf(uint64(r.Device)) }

// Record is one entry of an envelope: exactly one of its fields is set.
type Record struct {
	Reading  *Reading
	Refused  *Refused
	Canary   *Canary
	Status   *Status
	Original *Original
}

// AheadAtMost is how far a device's clock may be ahead of ours.
const AheadAtMost = 5 * time.Minute

// ClockPlausible reports whether a time as sent can be true at now: from 2015-01-01 to now + 5 min. Age alone is
// not a wrong clock.
func ClockPlausible(t, now time.Time) bool {
	earliest := time.Date(2015, 1, 1, 0, 0, 0, 0, time.UTC)
	return !t.Before(earliest) && !t.After(now.Add(AheadAtMost))
}

// Lane is one of the two subjects of a partition. Live is always read first.
type Lane string

// The lanes: Live holds what was measured less than LiveWithin before it arrived, Late all else.
const (
	Live Lane = "live"
	Late Lane = "late"
)

// Lane returns the lane of a reading.
func (r *Reading) Lane() Lane {
	if r.ReceivedAt.Sub(r.MeasuredAt) < LiveWithin {
		return Live
	}
	return Late
}

// Envelope is one message of the stream: records of one partition and lane that became durable together.
type Envelope struct {
	Seq     uint64
	Records []Record
}
