package devices

import (
	"slices"
	"time"

	"hale/vital"
)

// IncidentKind says what is out.
type IncidentKind string

// The kinds of incident.
const (
	DeviceOut   IncidentKind = "device"
	GatewayOut  IncidentKind = "gateway" // with all that it speaks for
	PlatformOut IncidentKind = "platform"
)

// IncidentWhy says how an incident was noticed.
type IncidentWhy string

// The ways in which an incident is noticed.
const (
	WhySilent       IncidentWhy = "silent"        // something was expected, and the device was not heard
	WhyManySilent   IncidentWhy = "many_silent"   // of many devices at once
	WhyEdgeMissed   IncidentWhy = "edge_missed"   // no device edge takes anything
	WhyStreamBehind IncidentWhy = "stream_behind" // what devices sent is not judged yet
)

// Incident is an outage: however many people's measurements do not come because of it, it is one.
type Incident struct {
	UID      vital.UID
	Org      vital.OrgID
	Kind     IncidentKind
	Device   vital.DeviceID // 0 of the platform
	Name     string         // UID of the device, as people see it; "" of the platform
	Why      IncidentWhy
	From     time.Time // since when nothing was heard
	OpenedAt time.Time
	To       time.Time // zero while it lasts
	Explains int       // patients whose measurements it held back, at most at once
}

// Explaining reports whether the incident says why something did not come that was expected until closes.
func (i *Incident) Explaining(closes time.Time) bool { return i.To.IsZero() && closes.After(i.From) }

// explained reports whether the incident, which is over, says for good why nothing came of a slot: all of it lay within. That of a single
// device does not: one that connects only when somebody measures, and comes back with nothing, has measured nothing.
func (i *Incident) explained(s Passed) bool {
	return i.Kind != DeviceOut && !i.To.IsZero() && !s.Opens.Before(i.From) && !s.Closes.After(i.To)
}

// Rules of an outage.
const (
	// manyDevices that fall silent at once, and at least half of those that were there, are no device's trouble [J].
	manyDevices = 5
	// goneFor is how long a device that vanished is given to come back before it counts [J].
	goneFor = 10 * time.Minute
	// outOfToday is how long ago a device was heard that can be part of an outage that is noticed now [J].
	outOfToday = 24 * time.Hour
)

// Watched is what a look at the presence of one organisation's devices knows.
type Watched struct {
	Devices []WatchedDevice
	Open    []Incident // of the organisation
	Over    []Incident // that ended within LookBack
	// Platform is what the installation itself is known to lack; "" for nothing. Since says since when.
	Platform IncidentWhy
	Since    time.Time
}

// WatchedDevice is one that is in use and worn.
type WatchedDevice struct {
	Presence
	Life    *EdgeLife // of the edge that has its newest connection; nil when it is not known
	Gateway bool      // it speaks for more than itself
	Missed  []Missed

	cut bool // its edge has ended without a goodbye, and it has not come back
}

// Missed is what was expected of a sensor since something came of it, and did not come.
type Missed struct {
	Sensor  vital.SensorID
	Metric  vital.Metric
	Patient vital.PatientID
	Opens   time.Time // when the first of the slots opened
	Closes  time.Time // and closed
	Slots   int

	LastOpens, LastCloses time.Time // the same of the last of them

	Passed []Passed // each of them
}

// Passed is a slot that passed with nothing.
type Passed struct{ Opens, Closes time.Time }

// Add counts one more slot, later than all before.
func (m *Missed) Add(s Passed) {
	if m.Slots++; m.Slots == 1 {
		m.Opens, m.Closes = s.Opens, s.Closes
	}
	m.LastOpens, m.LastCloses = s.Opens, s.Closes
	m.Passed = append(m.Passed, s)
}

// beside returns what was missed outside of the incidents of the device, or of the platform, that are over.
func (m *Missed) beside(incidents []Incident, device vital.DeviceID) Missed {
	rest := Missed{Sensor: m.Sensor, Metric: m.Metric, Patient: m.Patient}
	for _, s := range m.Passed {
		if !slices.ContainsFunc(incidents, func(i Incident) bool { return (i.Kind == PlatformOut || i.Device == device) && i.explained(s) }) {
			rest.Add(s)
		}
	}
	return rest
}

// Silence is that of a sensor something was expected and did not come, as the last look found it: it is replaced every minute. A rule
// that tells people of what is missing (none does yet) reads it from here: whoever is behind the sensor is told of nothing that is
// Explained, and of the rest as of any other trouble. It holds back nothing that was measured.
type Silence struct {
	Org    vital.OrgID
	Sensor vital.SensorID // the slot of a shared one
	Metric vital.Metric
	From   time.Time // when the first of the slots opened that passed since something came
	Slots  int
	// Explained is that every one of the slots closed after an incident began that is open: of the platform, or of what speaks for the
	// sensor. A slot that had passed before is not its doing. It is taken back by the look that finds the incident over.
	// What lay all within an outage of more than one device that is over is no silence.
	Explained bool
}

// end ends the connection of a device whose edge has ended, as of the last that is known of it.
func (d *WatchedDevice) end(now time.Time) {
	if d.Life == nil || d.ConnectedAt.IsZero() || !d.LeftAt.IsZero() {
		return
	}
	if at, killed, over := d.Life.Over(now); over {
		d.LeftAt, d.Vanished, d.cut = later(at, d.ConnectedAt), killed, killed
	}
}

// there reports whether the device is connected. Where it is not known whether its edge lives, what was not heard for a day is not.
func (d *WatchedDevice) there(now time.Time) bool {
	return !d.ConnectedAt.IsZero() && d.LeftAt.IsZero() && (d.Life != nil || now.Sub(d.HeardAt) < outOfToday)
}

// heardSince reports whether the device was heard after its connection ended: it sends over HTTP, which is no connection. An edge that
// was killed may have taken something since it renewed its lease.
func (d *WatchedDevice) heardSince() bool {
	ended := d.LeftAt
	if d.cut {
		ended = ended.Add(EdgeLease)
	}
	return d.HeardAt.After(ended)
}

// last is when the device was known to be there last: heard, or connected.
func (d *WatchedDevice) last() time.Time { return later(d.HeardAt, d.LeftAt) }

// out reports whether the device itself is why something did not come: it has not been there since that was expected, or was cut off
// by its edge while it was.
func (d *WatchedDevice) out(now time.Time) bool {
	if d.there(now) {
		return false
	}
	return slices.ContainsFunc(d.Missed, func(m Missed) bool { return d.last().Before(m.LastOpens) || d.cut && d.last().Before(m.LastCloses) })
}

// since is from when on the device was not there; of one that was never heard, when something was expected first.
func (d *WatchedDevice) since() time.Time {
	from := d.last()
	for _, m := range d.Missed {
		if d.HeardAt.IsZero() && (from.IsZero() || m.Opens.Before(from)) {
			from = m.Opens
		}
	}
	return from
}

func (d *WatchedDevice) people() int { return peopleOf(d.Missed) }

func peopleOf(all []Missed) int {
	seen := map[vital.PatientID]bool{}
	for _, m := range all {
		seen[m.Patient] = true
	}
	return len(seen)
}

// Outages says at now which incidents of an organisation stand: those that are open and last, with what they explain by now; those
// that have ended, with their end; and new ones, without UID. And of which sensors something was expected that did not come.
// Nothing of it touches what was measured: an incident explains what is missing, and only that.
func Outages(org vital.OrgID, w Watched, now time.Time) ([]Incident, []Silence) {
	w.Devices = slices.Clone(w.Devices)
	for k := range w.Devices {
		w.Devices[k].end(now)
	}
	byDevice := map[vital.DeviceID]Incident{}
	var platform *Incident
	for _, i := range w.Open {
		if i.Kind == PlatformOut {
			platform = &i
		} else {
			byDevice[i.Device] = i
		}
	}
	platform = w.platform(org, platform, now)
	var all []Incident
	if platform != nil {
		all = append(all, *platform)
	}
	lasts := platform != nil && platform.To.IsZero()
	for k := range w.Devices {
		d := &w.Devices[k]
		open, known := byDevice[d.Device]
		delete(byDevice, d.Device)
		switch {
		case known && d.HeardAt.After(open.From):
			open.To = d.HeardAt
		case known && d.there(now):
			open.To = now // it never left: its edge was cut off, and is back
		case known && lasts && d.last().After(now.Add(-outOfToday)) && !d.last().Before(platform.From):
			open.To = now // it is part of the greater one
		case known:
			open.Explains = max(open.Explains, d.people())
		case d.out(now) && (!lasts || platform.From.Sub(d.last()) >= outOfToday):
			open = Incident{Org: org, Kind: DeviceOut, Device: d.Device, Why: WhySilent, From: d.since(), OpenedAt: now, Explains: d.people()}
			if d.Gateway {
				open.Kind = GatewayOut
			}
		default:
			continue
		}
		all = append(all, open)
	}
	for _, i := range byDevice { // nobody has it any more
		i.To = now
		all = append(all, i)
	}
	slices.SortFunc(all, func(a, b Incident) int { return int(a.Device - b.Device) })
	return all, w.silences(org, all)
}

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

// silences returns of which sensors something was expected, and whether an incident explains it.
func (w *Watched) silences(org vital.OrgID, incidents []Incident) []Silence {
	type part struct {
		sensor vital.SensorID
		metric vital.Metric
	}
	known := map[part]*Silence{}
	var list []*Silence
	over := slices.Concat(w.Over, incidents)
	for k := range w.Devices {
		d := &w.Devices[k]
		for _, missed := range d.Missed {
			m := missed.beside(over, d.Device)
			if m.Slots == 0 {
				continue
			}
			explained := slices.ContainsFunc(incidents, func(i Incident) bool {
				return (i.Kind == PlatformOut || i.Device == d.Device) && i.Explaining(m.Closes)
			})
			s := known[part{m.Sensor, m.Metric}]
			if s == nil {
				s = &Silence{Org: org, Sensor: m.Sensor, Metric: m.Metric, From: m.Opens}
				known[part{m.Sensor, m.Metric}] = s
				list = append(list, s)
			}
			s.Slots = max(s.Slots, m.Slots)
			s.Explained = s.Explained || explained
			if m.Opens.Before(s.From) {
				s.From = m.Opens
			}
		}
	}
	all := make([]Silence, len(list))
	for i, s := range list {
		all[i] = *s
	}
	return all
}

// platform returns the platform's incident as it stands now; nil when there was none and is none.
func (w *Watched) platform(org vital.OrgID, open *Incident, now time.Time) *Incident {
	why, from := w.Platform, w.Since
	if why == "" {
		why, from = w.manySilent(open, now)
	}
	switch {
	case why == "" && open == nil:
		return nil
	case why == "":
		open.To = now
		return open
	case open == nil:
		open = &Incident{Org: org, Kind: PlatformOut, Why: why, From: from, OpenedAt: now}
	}
	var held []Missed
	for k := range w.Devices {
		for _, m := range w.Devices[k].Missed {
			if open.Explaining(m.Closes) {
				held = append(held, m)
			}
		}
	}
	open.Explains = max(open.Explains, peopleOf(held))
	return open
}

// manySilent reports since when many devices are silent that were there together. One that is noticed lasts until three quarters
// are back.
func (w *Watched) manySilent(open *Incident, now time.Time) (IncidentWhy, time.Time) {
	var lost []time.Time // when those were there last that are silent
	others := 0
	for k := range w.Devices {
		d := &w.Devices[k]
		switch {
		case !d.there(now) && now.Sub(d.last()) >= outOfToday && (open == nil || d.last().Before(open.From)):
			// It was not there before either.
		case d.Vanished && !d.LeftAt.IsZero() && now.Sub(d.LeftAt) >= goneFor && !d.heardSince() || d.out(now):
			lost = append(lost, d.last())
		default:
			others++
		}
	}
	if open != nil && open.Why == WhyManySilent {
		if 4*len(lost) > len(lost)+others {
			return WhyManySilent, open.From
		}
		return "", time.Time{}
	}
	if len(lost) < manyDevices || len(lost) < others {
		return "", time.Time{}
	}
	return WhyManySilent, slices.MinFunc(lost, time.Time.Compare)
}
