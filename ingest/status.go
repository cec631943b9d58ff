package ingest

import (
	"encoding/json"
	"maps"
	"math"
	"slices"
	"strings"
	"unicode"

	"hale/vital"
)

// Bounds of what is kept of a status.
const (
	statusKept      = 4 << 10 // bytes of it as sent
	longestFirmware = 64      // characters
	longestDetail   = 200     // characters, of what became of a command
	longestCommand  = 64      // characters of the id of a command
	leastSignal     = -150    // dBm: below is no radio
)

// state is what a device says of itself, or of one of its sensors. All of it is optional, and what is of another form than
// docs/wire.md says is as if it were not there: a status may be any JSON.
type state struct {
	Battery  loose[float64] `json:"battery"`  // percent
	Signal   loose[float64] `json:"signal"`   // dBm
	Firmware loose[string]  `json:"firmware"` // version
	Clock    loose[string]  `json:"clock"`    // RFC 3339, or without zone
	// GatewayTime is what the gateway's own clock showed at the same moment as the sensor's.
	GatewayTime loose[string] `json:"gateway_time"`
}

// deviceState is a status of a device.
type deviceState struct {
	state
	Sensors loose[map[string]loose[state]] `json:"sensors"`
	Command loose[outcome]                 `json:"command"`
}

// outcome is what became of a command.
type outcome struct {
	ID      loose[string] `json:"id"`
	Outcome loose[string] `json:"outcome"` // done or failed
	Detail  loose[string] `json:"detail"`
}

// The words for what became of a command.
const (
	outcomeDone   = "done"
	outcomeFailed = "failed"
)

// loose is a value that is not there when it has another form.
type loose[T any] struct{ it *T }

// UnmarshalJSON takes the value when it has the right form. It never fails.
func (l *loose[T]) UnmarshalJSON(b []byte) error {
	l.it = nil
	if string(b) == "null" {
		return nil
	}
	var v T
	if json.Unmarshal(b, &v) == nil {
		l.it = &v
	}
	return nil
}

// status takes a status of the device or a sensor, or a will on that topic: any JSON, of which what docs/wire.md names is understood.
func (d *decoder) status() {
	told, ok := d.stateTold()
	if !ok {
		return
	}
	own := d.stateOf(d.sensor, &told.state)
	if d.sensor != d.device.Own {
		d.note(own)
		return
	}
	if o := told.Command.it; o != nil && o.ID.it != nil {
		own.Answer = o.answer(*o.ID.it)
	}
	d.note(own)
	d.statuses[len(d.statuses)-1].Raw = d.message.Payload[:min(len(d.message.Payload), statusKept)]
	if told.Sensors.it == nil {
		return
	}
	sensors := *told.Sensors.it
	for _, name := range slices.Sorted(maps.Keys(sensors)) {
		if sensor, granted := d.device.Sensors[name]; granted && sensors[name].it != nil {
			d.note(d.stateOf(sensor, sensors[name].it))
		}
	}
}

// answered takes what a device says became of the command that the topic names.
func (d *decoder) answered(command string) {
	if _, ok := d.stateTold(); !ok {
		return
	}
	var o outcome
	_ = json.Unmarshal(d.message.Payload, &o) // what is no object says nothing: it is refused below
	answer := o.answer(command)
	if answer == nil {
		d.refuseWhole(refuse(vital.ReasonUnparsable, `say what became of the command: {"outcome":"done"} or {"outcome":"failed","detail":"why"}`))
		return
	}
	d.note(vital.Status{Sensor: d.device.Own, Answer: answer})
}

// stateTold checks that the message is one JSON value; otherwise it is refused.
func (d *decoder) stateTold() (told deviceState, ok bool) {
	s := scanner{src: d.message.Payload}
	s.space()
	_, err := s.value()
	if err == nil {
		err = s.end()
	}
	if err != nil {
		d.refuseWhole(refuse(vital.ReasonUnparsable, "%s", err))
		return deviceState{}, false
	}
	_ = json.Unmarshal(d.message.Payload, &told) // of another form it says nothing but that the device is there
	return told, true
}

// note keeps a status that the message holds, of the sensor that it names. The bytes are kept of a device's own status alone.
func (d *decoder) note(s vital.Status) {
	s.Raw = nil
	s.Org, s.Device, s.ReceivedAt, s.Connection, s.Kind = d.device.Org, d.device.ID, d.received, d.message.Connection, vital.StatusTold
	if d.message.Presence == vital.StatusWill {
		s.Kind = vital.StatusWill
	}
	d.statuses = append(d.statuses, s)
}

func (d *decoder) stateOf(sensor vital.SensorID, told *state) vital.Status {
	s := vital.Status{Sensor: sensor}
	if b := told.Battery.it; b != nil && (*b == 0 || *b >= 1 && *b <= 100) { // 0.8 may be a share or a percent
		s.Battery, s.HasBattery = uint8(math.Round(*b)), true
	}
	if g := told.Signal.it; g != nil && *g >= leastSignal && *g < 0 {
		s.Signal = int16(math.Round(*g))
	}
	if f := told.Firmware.it; f != nil {
		s.Firmware = shortText(*f, longestFirmware)
	}
	if c := told.Clock.it; c != nil {
		gateway := ""
		if told.GatewayTime.it != nil {
			gateway = *told.GatewayTime.it
		}
		d.heard(&s, *c, gateway)
	}
	return s
}

// answer returns what became of the command of that id, nil when that is not said.
func (o *outcome) answer(command string) *vital.Answer {
	said := ""
	if o.Outcome.it != nil {
		said = *o.Outcome.it
	}
	if said != outcomeDone && said != outcomeFailed || command == "" || len(command) > longestCommand {
		return nil
	}
	a := &vital.Answer{Command: vital.UID(shortText(command, longestCommand)), Done: said == outcomeDone}
	if o.Detail.it != nil {
		a.Detail = shortText(*o.Detail.it, longestDetail)
	}
	return a
}

// shortText returns the beginning of a text, without what cannot be shown.
func shortText(s string, most int) string {
	s = strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) {
			return -1
		}
		return r
	}, strings.ToValidUTF8(s, ""))
	if n := []rune(s); len(n) > most {
		s = string(n[:most])
	}
	return s
}
