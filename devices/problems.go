package devices

import (
	"cmp"
	"context"
	"slices"
	"time"

	"hale/account"
	"hale/fault"
	"hale/vital"
)

// ProblemKind says what is wrong with a device.
type ProblemKind string

// The kinds of problem, the most urgent first.
const (
	ProblemOutage      ProblemKind = "outage"      // an incident: nothing comes from it, or from anything
	ProblemClock       ProblemKind = "clock"       // its clock is off, was changed lately, or its times were refused
	ProblemCertificate ProblemKind = "certificate" // that of its last client certificate ends
	ProblemSilent      ProblemKind = "silent"      // something was expected of it and did not come, though it is there
	ProblemBattery     ProblemKind = "battery"
	ProblemSignal      ProblemKind = "signal"
	ProblemGaps        ProblemKind = "gaps"        // readings are missing in its count
	ProblemCalibration ProblemKind = "calibration" // it is due
)

// ProblemKinds returns the kinds, the most urgent first.
func ProblemKinds() []ProblemKind {
	return []ProblemKind{ProblemOutage, ProblemClock, ProblemCertificate, ProblemSilent, ProblemBattery, ProblemSignal, ProblemGaps, ProblemCalibration}
}

// ProblemState is what a person has said of a problem.
type ProblemState string

// The states of a problem.
const (
	ProblemNew     ProblemState = "new"
	ProblemSeen    ProblemState = "seen"
	ProblemSnoozed ProblemState = "snoozed" // until a time; then it is new again
)

// Wearer is a patient who wears a sensor.
type Wearer struct {
	ID     vital.PatientID
	UID    vital.UID
	Name   string
	Number string
}

// Fact is what is known of one sensor for which a device speaks, or of the device itself as its own sensor.
type Fact struct {
	Device     vital.DeviceID
	Name       string // UID of the device
	Model      string
	Sensor     vital.SensorID
	SensorName string
	Wearers    []Wearer
	Condition  Condition // zero while nothing was heard of it
	Clock      ClockFact
	Silence    Silence // Slots is 0 when nothing is missing
	// CertificateEnds is when the last of the device's client certificates ends that are good; zero when it has none.
	CertificateEnds time.Time
	CalibrationDue  time.Time // zero: no day is known
	// Lost is how many readings are missing in the sensor's own count since LostAt, as the latest days show; 0 for none.
	Lost   int
	LostAt time.Time
}

// settles is how long numbers may be missing before it is a gap: what was buffered may come in any order [J].
const settles = time.Hour

// LostIn returns how many readings are missing in the latest count of a sensor, and since when.
func LostIn(counted []Counted, now time.Time) (lost int, since time.Time) {
	for _, s := range Sequences(counted) {
		for _, g := range s.Gaps {
			if now.Sub(g.To) < settles {
				continue
			}
			lost += int(g.Missing)
			if since.IsZero() || g.From.Before(since) {
				since = g.From
			}
		}
	}
	return lost, since
}

// ProblemMark is what a person has said of a problem, as it began then.
type ProblemMark struct {
	Device vital.DeviceID
	Sensor vital.SensorID
	Kind   ProblemKind
	Since  time.Time
	State  ProblemState
	Until  time.Time // with snoozed
	Note   string
	By     string
	At     time.Time
}

// Facts is what is known of the devices of an organisation.
type Facts struct {
	Devices   []Fact
	Incidents []Incident // that are open
	Marks     []ProblemMark
}

// Problem is something of a device that a person should look after.
type Problem struct {
	Kind      ProblemKind
	DeviceID  vital.DeviceID // 0: the platform
	Device    string
	Model     string
	SensorID  vital.SensorID
	Sensor    string // UID; the device's own when it is the device itself
	Since     time.Time
	Wearers   []Wearer
	Battery   uint8         // percent, with battery
	Signal    int16         // dBm, with signal
	ClockOff  time.Duration // with clock: ahead of ours is positive, 0 when it is right by now or not known
	ClockJump time.Duration // with clock: by how much it was put back, between two looks, 0 if it was not; negative is forward
	// ClockRefused is how many messages wait in quarantine whose times cannot be, with clock.
	ClockRefused int
	Slots        int       // expected measurements that did not come, with silent
	Lost         int       // readings, with gaps
	Ends         time.Time // with certificate and calibration
	LastHeard    time.Time // zero: never
	Incident     Incident  // with outage
	State        ProblemState
	Until        time.Time
	Note, By     string
	MarkedAt     time.Time
	SnoozedYet   bool // it was snoozed, and that is over
}

// List says at now what is wrong: new problems before those that somebody has seen, the urgent before the others. What an open
// incident explains is not there beside it.
func (f *Facts) List(now time.Time) []Problem {
	var all []Problem
	for _, i := range f.Incidents {
		all = append(all, f.outage(i))
	}
	for k := range f.Devices {
		all = append(all, f.Devices[k].problems(now)...)
	}
	for i := range all {
		all[i].mark(f.Marks, now)
	}
	order := func(p *Problem) int { return slices.Index(ProblemKinds(), p.Kind) }
	slices.SortStableFunc(all, func(a, b Problem) int {
		return cmp.Or(cmp.Compare(rank(a.State), rank(b.State)), cmp.Compare(order(&a), order(&b)), a.Since.Compare(b.Since), cmp.Compare(a.Device, b.Device), cmp.Compare(a.Sensor, b.Sensor))
	})
	return all
}

func rank(s ProblemState) int {
	return slices.Index([]ProblemState{ProblemNew, ProblemSeen, ProblemSnoozed}, s)
}

// outage is the problem that an incident is: one, with everybody whom it concerns.
func (f *Facts) outage(i Incident) Problem {
	p := Problem{Kind: ProblemOutage, DeviceID: i.Device, Device: i.Name, Since: i.From, LastHeard: i.From, Incident: i}
	for k := range f.Devices {
		d := &f.Devices[k]
		if i.Device == 0 || d.Device != i.Device {
			continue
		}
		p.Model = d.Model
		if d.SensorName == d.Name {
			p.SensorID, p.Sensor = d.Sensor, d.SensorName
		}
		for _, w := range d.Wearers {
			if !slices.Contains(p.Wearers, w) {
				p.Wearers = append(p.Wearers, w)
			}
		}
	}
	return p
}

// problems returns what is wrong with the sensor itself.
func (d *Fact) problems(now time.Time) []Problem {
	var all []Problem
	add := func(kind ProblemKind, since time.Time, fill func(p *Problem)) {
		p := Problem{
			Kind: kind, DeviceID: d.Device, Device: d.Name, Model: d.Model, SensorID: d.Sensor, Sensor: d.SensorName, Since: since, Wearers: d.Wearers,
			LastHeard: d.Condition.HeardAt,
		}
		fill(&p)
		all = append(all, p)
	}
	c := &d.Condition
	if since, fill, wrong := d.clockProblem(now); wrong {
		add(ProblemClock, since, fill)
	}
	if ends := d.CertificateEnds; !ends.IsZero() && ends.Sub(now) < EndsSoon {
		add(ProblemCertificate, ends.Add(-EndsSoon), func(p *Problem) { p.Ends = ends })
	}
	if d.Silence.Slots > 0 && !d.Silence.Explained {
		add(ProblemSilent, d.Silence.From, func(p *Problem) { p.Slots = d.Silence.Slots })
	}
	if !c.BatteryLowAt.IsZero() {
		add(ProblemBattery, c.BatteryLowAt, func(p *Problem) { p.Battery = c.Battery })
	}
	if !c.SignalPoorAt.IsZero() {
		add(ProblemSignal, c.SignalPoorAt, func(p *Problem) { p.Signal = c.Signal })
	}
	if d.Lost > 0 {
		add(ProblemGaps, d.LostAt, func(p *Problem) { p.Lost = d.Lost })
	}
	if due := d.CalibrationDue; !due.IsZero() && !due.After(now) && len(d.Wearers) > 0 {
		add(ProblemCalibration, due, func(p *Problem) { p.Ends = due })
	}
	return all
}

// mark says what a person has said of the problem: of the one that began then, and not of one that came again.
func (p *Problem) mark(marks []ProblemMark, now time.Time) {
	p.State = ProblemNew
	for _, m := range marks {
		if m.Device != p.DeviceID || m.Sensor != p.SensorID || m.Kind != p.Kind || !m.Since.Equal(p.Since) {
			continue
		}
		p.Note, p.By, p.MarkedAt = m.Note, m.By, m.At
		if m.State == ProblemSnoozed && !now.Before(m.Until) {
			p.SnoozedYet = true
			continue
		}
		p.State, p.Until = m.State, m.Until
	}
}

// ProblemBook is the record as Problems needs it. Every method is bound to the actor's organisation.
type ProblemBook interface {
	// DeviceFacts returns what is known of the organisation's devices, and the time.
	DeviceFacts(ctx context.Context, actor account.Actor) (Facts, time.Time, error)
	// MarkProblem stores what a person says of a problem, with its audit row; new forgets what was said.
	MarkProblem(ctx context.Context, actor account.Actor, p Problem, m ProblemMark) error
	// Incidents returns those of the organisation that are open, then the newest that are over.
	Incidents(ctx context.Context, actor account.Actor, limit int) ([]Incident, error)
}

// Problems is where the device desk sees what is wrong, and says that it is looked after.
type Problems struct {
	Book  ProblemBook
	Looks *account.Looks // at whose devices it was looked; nil writes nothing
}

// Bounds of what people say of problems.
const (
	longestSnooze = 31 * 24 * time.Hour
	longestRemark = 500 // characters
	mostIncidents = 200
)

// List returns what is wrong with the organisation's devices. It is written down whose devices were shown.
func (s *Problems) List(ctx context.Context, actor account.Actor) ([]Problem, error) {
	if err := account.Allow(actor, account.SeeDevices, nil); err != nil {
		return nil, err
	}
	facts, now, err := s.Book.DeviceFacts(ctx, actor)
	if err != nil {
		return nil, err
	}
	list := facts.List(now)
	var seen []vital.PatientID
	for i := range list {
		for _, w := range list[i].Wearers {
			if !slices.Contains(seen, w.ID) {
				seen = append(seen, w.ID)
			}
		}
	}
	return list, s.Looks.Saw(ctx, actor, "device problems", "", seen...)
}

// ProblemAsk names a problem, and what is said of it.
type ProblemAsk struct {
	Device string // UID
	Sensor string // UID; the device itself when empty
	Kind   ProblemKind
	State  ProblemState
	Until  time.Time // with snoozed
	Note   string
}

// Mark says of a problem that it was seen, or is snoozed until a time at most a month ahead, or is new after all. A problem that is not
// there (any more) is fault.NotFound.
func (s *Problems) Mark(ctx context.Context, actor account.Actor, a ProblemAsk) error {
	if err := account.Allow(actor, account.EnrolDevice, nil); err != nil {
		return err
	}
	facts, now, err := s.Book.DeviceFacts(ctx, actor)
	if err != nil {
		return err
	}
	if err := a.check(now); err != nil {
		return err
	}
	for _, p := range facts.List(now) {
		if p.DeviceID != 0 && p.Device == a.Device && p.Kind == a.Kind && p.Sensor == a.Sensor {
			return s.Book.MarkProblem(ctx, actor, p, ProblemMark{Device: p.DeviceID, Sensor: p.SensorID, Kind: p.Kind, Since: p.Since, State: a.State, Until: a.Until, Note: a.Note})
		}
	}
	return fault.New(fault.NotFound, "there is no such problem just now: look again")
}

func (a *ProblemAsk) check(now time.Time) error {
	if a.Sensor == "" {
		a.Sensor = a.Device
	}
	if a.Note != "" && !account.Printable(a.Note, longestRemark) {
		return fault.New(fault.Invalid, "note: give at most %d printable characters", longestRemark)
	}
	switch a.State {
	case ProblemNew, ProblemSeen:
		a.Until = time.Time{}
	case ProblemSnoozed:
		a.Until = a.Until.UTC().Truncate(time.Microsecond)
		if !a.Until.After(now) || a.Until.After(now.Add(longestSnooze)) {
			return fault.New(fault.Invalid, "until: say until when, at most 31 days ahead")
		}
	default:
		return fault.New(fault.Invalid, "state: give new, seen or snoozed")
	}
	return nil
}

// Incidents returns outages: those that last, then the newest that are over. Whoever sees alerts sees them, since they say why
// nothing comes of people. A limit of 0 means 200, which is also the most.
func (s *Problems) Incidents(ctx context.Context, actor account.Actor, limit int) ([]Incident, error) {
	if account.Allow(actor, account.SeeDevices, nil) != nil {
		if err := account.Allow(actor, account.SeeAlerts, nil); err != nil {
			return nil, err
		}
		if actor.Role == account.SelfRole || actor.Role == account.CaregiverRole {
			return nil, fault.New(fault.Forbidden, "outages are for the care team and the device desk")
		}
	}
	limit, err := account.ListLength(limit, mostIncidents, mostIncidents)
	if err != nil {
		return nil, err
	}
	return s.Book.Incidents(ctx, actor, limit)
}
