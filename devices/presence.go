package devices

import (
	"cmp"
	"time"

	"hale/vital"
)

// HeardEvery is how often it is written at most that a device was heard because of its readings alone.
const HeardEvery = time.Minute

// BatteryLow is the charge at or below which a battery is to be changed, in percent.
const BatteryLow = 20

// SignalPoor is the strength at or below which a radio is likely to lose what it sends, in dBm [J: the last bar of Wi-Fi, Bluetooth and
// LTE lies around it].
const SignalPoor = -95

// Presence is what was heard of a device, by our clock.
type Presence struct {
	Org         vital.OrgID
	Device      vital.DeviceID
	HeardAt     time.Time // anything
	Connection  int64     // the epoch of the newest connection that told anything; 0: none, it came through a broker
	Edge        string    // where that connection is: one life of an edge; empty: not known
	ConnectedAt time.Time // zero: never, as far as it is known
	LeftAt      time.Time // zero while it is connected
	Vanished    bool      // it left without a goodbye
	StatusAt    time.Time
	Status      []byte // as sent
}

// Take adds what a status of the device says. What an older connection tells says nothing but that the device was heard then.
func (p *Presence) Take(s *vital.Status) {
	if s.ReceivedAt.After(p.HeardAt) && s.Kind != vital.StatusLeft && s.Kind != vital.StatusWill { // that is when we missed it
		p.HeardAt = s.ReceivedAt
	}
	if s.Connection != 0 && s.Connection < p.Connection {
		return
	}
	p.Connection = max(p.Connection, s.Connection)
	p.Edge = cmp.Or(s.Edge, p.Edge)
	switch s.Kind {
	case vital.StatusCame:
		p.ConnectedAt, p.LeftAt, p.Vanished = s.ReceivedAt, time.Time{}, false
	case vital.StatusLeft:
		p.LeftAt = s.ReceivedAt
	case vital.StatusWill:
		p.LeftAt, p.Vanished = s.ReceivedAt, true
		p.keep(s)
	case vital.StatusTold:
		p.keep(s)
	}
}

func (p *Presence) keep(s *vital.Status) {
	if len(s.Raw) > 0 && !s.ReceivedAt.Before(p.StatusAt) {
		p.StatusAt, p.Status = s.ReceivedAt, s.Raw
	}
}

// Condition is what was heard of a sensor, by our clock; of a device itself it is that of its own sensor.
type Condition struct {
	Org        vital.OrgID
	Sensor     vital.SensorID
	Device     vital.DeviceID // who spoke of it last
	HeardAt    time.Time
	ReadingAt  time.Time // the newest arrival of a reading, but for HeardEvery
	TimedAt    time.Time // of one with a time that can be right (Timed)
	Connection int64
	StatusAt   time.Time
	HasBattery bool
	Battery    uint8  // percent
	Signal     int16  // dBm; 0: not told
	Firmware   string // empty: not told

	// Since when the battery is low, the signal poor, and this firmware in use; zero: it is not.
	BatteryLowAt, SignalPoorAt, FirmwareAt time.Time
}

// Take adds what a status of the sensor says.
func (c *Condition) Take(s *vital.Status) {
	if s.Kind != vital.StatusTold {
		return
	}
	if s.ReceivedAt.After(c.HeardAt) {
		c.HeardAt, c.Device = s.ReceivedAt, s.Device
	}
	if s.Connection != 0 && s.Connection < c.Connection || s.ReceivedAt.Before(c.StatusAt) {
		return
	}
	c.Connection, c.StatusAt = max(c.Connection, s.Connection), s.ReceivedAt
	if s.HasBattery {
		c.HasBattery, c.Battery = true, s.Battery
	}
	if s.Signal != 0 {
		c.Signal = s.Signal
	}
	if s.Firmware != "" {
		c.Firmware = s.Firmware
	}
}
