package simulators

import (
	"math"
	"time"
)

// state is what perfect instruments would show at a moment, in canonical units.
type state struct {
	systolic, diastolic, pulse, saturation, weight, temperature, respiration, glucose, flow float64

	effect effect
}

// drift is how a day differs from the usual one: standard normal numbers, each following that of the day before.
type drift struct {
	systolic, diastolic, pulse, saturation, weight, temperature, respiration, glucose float64
}

// persistence is how much of a day's difference the next one keeps: the coefficient of an AR(1) process [J].
const persistence = 0.6

// drift returns the differences of a day. Days before the first are as the first.
func (l *Life) drift(day int) drift {
	day = max(day, 0)
	for n := len(l.drifts); n <= day; n++ {
		r := l.source("drift", int64(n))
		var d, before drift
		keep, fresh := 0.0, 1.0
		if n > 0 {
			before, keep, fresh = l.drifts[n-1], persistence, math.Sqrt(1-persistence*persistence)
		}
		next := func(was float64) float64 { return keep*was + fresh*clamp(r.NormFloat64(), -2.5, 2.5) }
		d.systolic, d.diastolic, d.pulse, d.saturation = next(before.systolic), next(before.diastolic), next(before.pulse), next(before.saturation)
		d.weight, d.temperature, d.respiration, d.glucose = next(before.weight), next(before.temperature), next(before.respiration), next(before.glucose)
		l.drifts = append(l.drifts, d)
	}
	return l.drifts[day]
}

// at returns the person's state: what is normal for them, the hour's rhythm, the day's difference, and what goes wrong.
func (l *Life) at(t time.Time) state {
	n, d, e := &l.normal, l.drift(l.dayOf(t)), l.effects(t)
	local := t.In(l.Zone)
	hour := float64(local.Hour()) + float64(local.Minute())/60 + float64(local.Second())/3600
	rhythm := func(highest float64) float64 { return math.Cos((hour - highest) / 24 * 2 * math.Pi) }

	// Pressure falls at night and rises steeply after waking; the dip is a share of the person's own pressure.
	sinceRising := (hour - l.habits.wake - 1) / 1.2
	daily := n.dip/2*rhythm(16) + 0.02*math.Exp(-sinceRising*sinceRising)
	s := state{
		systolic:    n.systolic*(1+daily) + n.unsteady*d.systolic + e.systolic,
		diastolic:   n.diastolic*(1+daily) + n.unsteady*(0.45*d.systolic+0.25*d.diastolic) + e.diastolic,
		saturation:  n.saturation + 0.25*rhythm(15) + 0.3*d.saturation + e.saturation,
		weight:      n.weight + 0.25*d.weight + 0.2*rhythm(19) + e.weight - n.loss*math.Max(0, t.Sub(l.start).Hours()/24),
		temperature: n.temperature + 0.22*rhythm(17) + 0.08*d.temperature + e.temperature,
		glucose:     l.sugar(hour)*(1+0.05*d.glucose) + e.glucose,
		flow:        n.flow * (1 + 0.03*rhythm(15) + 0.03*d.respiration) * e.flow,
		effect:      e,
	}
	if e.lowest > 0 {
		s.glucose = math.Min(s.glucose, e.lowest)
	}
	// The heart answers fever (some 8 beats a degree) and want of oxygen, and so does breathing.
	fever, want := math.Max(0, s.temperature-37.4), math.Max(0, n.saturation-s.saturation-1.2)
	s.pulse = n.pulse + 4*rhythm(15) + 3*d.pulse + e.pulse + 8*fever + 1*want
	s.respiration = n.respiration + 0.5*rhythm(16) + 0.5*d.respiration + e.respiration + 1.5*fever + 0.4*want

	s.saturation = clamp(s.saturation, 72, 100)
	s.systolic = clamp(s.systolic, 74, 245)
	s.diastolic = clamp(s.diastolic, 40, math.Min(140, s.systolic-20))
	s.pulse = clamp(s.pulse, 38, 185)
	s.respiration = clamp(s.respiration, 9, 42)
	s.temperature = clamp(s.temperature, 35, 40.6)
	s.glucose = clamp(s.glucose, 38, 480)
	return s
}

// Local hours of the meals after breakfast, which comes an hour after waking.
const (
	lunch  = 12.7
	dinner = 18.4
)

// sugar is the blood glucose in the course of the day: the fasting level and a wave after each meal, highest an hour
// after it.
func (l *Life) sugar(hour float64) float64 {
	v := l.normal.fasting
	for _, meal := range []float64{l.habits.wake + 1, lunch, dinner} {
		if since := hour - meal; since > 0 {
			v += l.normal.meal * since * math.Exp(1-since)
		}
	}
	return v
}
