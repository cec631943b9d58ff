package measuring

import (
	"slices"
	"time"

	"hale/devices"
	"hale/vital"
)

// Plan is what a patient is to measure at home: every version of their schedule, the times in which nothing is expected, and the
// clock of their home. The empty Plan expects nothing.
type Plan struct {
	Versions []Schedule
	Pauses   []Pause
	Zone     *time.Location
}

// InForce returns the version that holds at a moment; ok is false when none does yet.
func (p *Plan) InForce(at time.Time) (s *Schedule, ok bool) {
	i := inForce(p.Versions, at)
	if i < 0 {
		return nil, false
	}
	return &p.Versions[i], true
}

// Metrics returns what any version of the plan expects, each once.
func (p *Plan) Metrics() []vital.Metric {
	var all []vital.Metric
	for i := range p.Versions {
		for _, l := range p.Versions[i].Lines {
			if !slices.Contains(all, l.Metric) {
				all = append(all, l.Metric)
			}
		}
	}
	return all
}

// Around returns the whole days of the home that [from, to) touches: whoever asks Expected brings what was measured in them.
func (p *Plan) Around(from, to time.Time) (low, high time.Time) {
	first, last := from.In(p.Zone), to.In(p.Zone)
	low = time.Date(first.Year(), first.Month(), first.Day(), 0, 0, 0, 0, p.Zone)
	high = time.Date(last.Year(), last.Month(), last.Day()+1, 0, 0, 0, 0, p.Zone)
	return low.UTC(), high.UTC()
}

// Expected says at now what was expected of the patient in the slots that open in [from, to), and what became of each, by Opens. It
// is the one answer to "what was expected, and what of it is covered": a strip of days and presence are read off it. What was
// measured is to be given for the whole days of the home (Around), since a measurement beside every window is that of the
// nearest slot of its day. The pauses are the plan's; those of seen are not looked at.
func (p *Plan) Expected(seen Seen, from, to, now time.Time) []Covered {
	if p.Zone == nil || !from.Before(to) {
		return nil
	}
	seen.Pauses = p.Pauses
	low, high := p.Around(from, to)
	all := Coverage(Slots(p.Versions, p.Zone, low, high), seen, p.Zone, now)
	return slices.DeleteFunc(all, func(c Covered) bool { return c.Opens.Before(from) || !c.Opens.Before(to) })
}

// Missing says at now of each metric what was expected since from and since something of it came, and did not come. What was
// measured is to be given for the whole days of the home (Around).
func (p *Plan) Missing(seen Seen, from, now time.Time) map[vital.Metric]devices.Missed {
	all := map[vital.Metric]devices.Missed{}
	for _, c := range p.Expected(seen, from, now, now) {
		switch c.Cover {
		case CoverMeasured, CoverOtherTime, CoverClock:
			delete(all, c.Metric)
		case CoverMissed, CoverSilent:
			m := all[c.Metric]
			m.Metric = c.Metric
			m.Add(devices.Passed{Opens: c.Opens, Closes: c.Closes})
			all[c.Metric] = m
		case CoverAhead, CoverDue, CoverPaused, CoverHospital:
		}
	}
	for metric, m := range all {
		for _, mark := range seen.Measured { // beside every window, or in one that is open
			if mark.Metric == metric && !mark.At.Before(m.Closes) {
				delete(all, metric)
			}
		}
	}
	return all
}
