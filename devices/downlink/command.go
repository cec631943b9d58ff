// Package downlink is what Hale asks of devices: commands with an end, their quiet hours, how they reach a connected device (Sender)
// and what became of them.
package downlink

import (
	"encoding/json"
	"slices"
	"strings"
	"time"

	"hale/account"
	"hale/fault"
	"hale/vital"
)

// CommandKind is what a device is asked for.
type CommandKind string

// The kinds of command. They are words of docs/wire.md.
const (
	MeasureNow  CommandKind = "measure_now"  // ask the person to measure
	SetInterval CommandKind = "set_interval" // measure by itself so often
	SyncClock   CommandKind = "sync_clock"
	ShowText    CommandKind = "text"
)

// CommandKinds returns the kinds, in the order in which a person is offered them.
func CommandKinds() []CommandKind { return []CommandKind{MeasureNow, ShowText, SyncClock, SetInterval} }

// disturbs reports whether a person at home notices it.
func (k CommandKind) disturbs() bool { return k == MeasureNow || k == ShowText }

// lasts returns how long a command is good when nobody says otherwise.
func (k CommandKind) lasts() time.Duration {
	if k == MeasureNow {
		return time.Hour
	}
	return 24 * time.Hour
}

// CommandState is where a command stands.
type CommandState string

// The states of a command. One that is queued or sent is open.
const (
	CommandQueued    CommandState = "queued"
	CommandSent      CommandState = "sent"
	CommandDone      CommandState = "done"
	CommandFailed    CommandState = "failed"
	CommandExpired   CommandState = "expired"
	CommandWithdrawn CommandState = "withdrawn"
	CommandCancelled CommandState = "cancelled" // nobody took it back: the device changed hands, or is out of use
)

// Open reports whether it may still be sent.
func (s CommandState) Open() bool { return s == CommandQueued || s == CommandSent }

// Bounds of a command.
const (
	longestText     = 200                // characters
	longestGood     = 7 * 24 * time.Hour // from its making to its not-after
	fastestInterval = 60                 // seconds
	slowestInterval = 24 * 60 * 60
)

// Quiet hours of a home, by the clock on its wall [J: the night of people who go to bed early].
const (
	quietFrom = 21 // o'clock
	quietTo   = 7
)

// Command is something that Hale asks of a device.
type Command struct {
	ID        vital.UID
	Device    string // UID
	Sensor    string // UID of what it is for: the device itself, or a sensor that it speaks for
	Kind      CommandKind
	Metric    string // with measure_now: what to measure, by its name in docs/wire.md; empty: whatever the device measures
	Seconds   int    // with set_interval
	Text      string // with text
	Urgent    bool   // quiet hours do not hold it back
	CreatedAt time.Time
	NotAfter  time.Time // from then on it is stale, and never delivered
	By        string    // name of who asked
	State     CommandState
	SentAt    time.Time // last; zero: never
	Times     int       // sent
	SettledAt time.Time
	Detail    string           // in the device's words, or why it was cancelled
	Homes     []*time.Location // clocks of the homes in which it would be noticed
}

// At returns the command as it stands at now: one whose time has passed has expired, whether that was written down or not.
func (c Command) At(now time.Time) Command {
	if c.State.Open() && !now.Before(c.NotAfter) {
		c.State, c.SettledAt = CommandExpired, c.NotAfter
	}
	return c
}

// HeldUntil returns until when quiet hours hold the command back; zero when they do not.
func (c *Command) HeldUntil(now time.Time) (until time.Time) {
	if c.Urgent || !c.Kind.disturbs() {
		return time.Time{}
	}
	for _, home := range c.Homes {
		local := now.In(home)
		day := local.Day()
		switch {
		case local.Hour() >= quietFrom:
			day++
		case local.Hour() >= quietTo:
			continue
		}
		if end := time.Date(local.Year(), local.Month(), day, quietTo, 0, 0, 0, home).UTC(); end.After(until) {
			until = end
		}
	}
	return until
}

// Deliverable reports whether it may be sent at now: it is open, not stale, and nobody's night.
func (c *Command) Deliverable(now time.Time) bool {
	return c.At(now).State.Open() && c.HeldUntil(now).IsZero()
}

// Check completes a command that somebody asks for at now, and says what is wrong with it (fault.Invalid).
func (c *Command) Check(now time.Time) error {
	if !slices.Contains(CommandKinds(), c.Kind) {
		return fault.New(fault.Invalid, "kind: give one of measure_now, text, sync_clock, set_interval")
	}
	c.Text = strings.TrimSpace(c.Text)
	if err := c.checkContent(); err != nil {
		return err
	}
	if c.NotAfter.IsZero() {
		c.NotAfter = now.Add(c.Kind.lasts())
		if held := c.HeldUntil(now); !held.IsZero() {
			c.NotAfter = held.Add(c.Kind.lasts())
		}
	}
	c.NotAfter = c.NotAfter.UTC().Truncate(time.Microsecond)
	if !c.NotAfter.After(now) || c.NotAfter.After(now.Add(longestGood)) {
		return fault.New(fault.Invalid, "not_after: until when it makes sense lies ahead, and at most 7 days")
	}
	if held := c.HeldUntil(now); !held.Before(c.NotAfter) {
		return fault.New(fault.Invalid, "not_after: quiet hours at home hold it back until %s, when it would be stale: let it be good for longer, or say that it is urgent", held.Format(time.RFC3339))
	}
	return nil
}

func (c *Command) checkContent() error {
	if c.Kind != MeasureNow && c.Metric != "" || c.Kind != SetInterval && c.Seconds != 0 || c.Kind != ShowText && c.Text != "" {
		return fault.New(fault.Invalid, "metric goes with measure_now, seconds with set_interval and text with text")
	}
	switch c.Kind {
	case MeasureNow:
		if _, known := vital.ParseMetric(c.Metric); c.Metric != "" && !known {
			return fault.New(fault.Invalid, "metric: %q is none that Hale knows; leave it out for whatever the device measures", c.Metric[:min(len(c.Metric), 40)])
		}
	case SetInterval:
		if c.Seconds < fastestInterval || c.Seconds > slowestInterval {
			return fault.New(fault.Invalid, "seconds: give %d to %d", fastestInterval, slowestInterval)
		}
	case ShowText:
		if c.Text == "" || !account.Printable(c.Text, longestText) {
			return fault.New(fault.Invalid, "text: give 1 to %d printable characters", longestText)
		}
	case SyncClock:
	}
	return nil
}

// Wire writes the command as it goes down to the device at now: docs/wire.md.
func (c *Command) Wire(now time.Time) []byte {
	wire := struct {
		ID       vital.UID   `json:"id"`
		Kind     CommandKind `json:"kind"`
		Sensor   string      `json:"sensor,omitempty"`
		Metric   string      `json:"metric,omitempty"`
		Seconds  int         `json:"seconds,omitempty"`
		Text     string      `json:"text,omitempty"`
		NotAfter string      `json:"not_after"`
		Now      string      `json:"now"`
	}{
		c.ID, c.Kind, c.Sensor, c.Metric, c.Seconds, c.Text, c.NotAfter.UTC().Format(time.RFC3339Nano), now.UTC().Truncate(time.Millisecond).Format(time.RFC3339Nano),
	}
	if c.Sensor == c.Device {
		wire.Sensor = ""
	}
	b, err := json.Marshal(wire)
	if err != nil {
		return nil // texts and numbers can always be written
	}
	return b
}
