package simulators

import (
	"fmt"
	"math"
	"math/rand/v2"
	"strconv"
	"strings"
	"time"
)

// Instrument is a kind of measuring device.
type Instrument string

// The instruments.
const (
	Cuff        Instrument = "cuff"
	Scale       Instrument = "scale"
	Oximeter    Instrument = "oximeter"
	Thermometer Instrument = "thermometer"
	Meter       Instrument = "meter" // of glucose
	Tracker     Instrument = "tracker"
	Spirometer  Instrument = "spirometer"
	Patch       Instrument = "patch"
)

// Kit is a device that a person was given: something that connects, and the instruments it speaks for.
type Kit struct {
	Device  string // its UID
	Model   string
	Sensors []Sensor
}

// Sensor is an instrument of a kit. Name is empty when the kit itself is the instrument.
type Sensor struct {
	Name       string
	Instrument Instrument
}

// Topic is where a kit publishes what the sensor measured (docs/wire.md).
func (k *Kit) Topic(sensor string) string {
	if sensor == "" {
		return "hale/v1/" + k.Device + "/readings"
	}
	return "hale/v1/" + k.Device + "/sensors/" + sensor + "/readings"
}

// Names lists the sensors that the kit speaks for besides itself.
func (k *Kit) Names() []string {
	var names []string
	for _, s := range k.Sensors {
		if s.Name != "" {
			names = append(names, s.Name)
		}
	}
	return names
}

// visit is a moment at which somebody, or a device by itself, measures.
type visit struct {
	at         time.Time
	instrument Instrument
	metric     string // of a meter: which glucose it is; of a tracker: steps or sleep
	turn       int    // 0 for the first of a pair
	again      bool   // a repeat after a bad reading, which is done with care
}

// element is one reading as the wire takes it.
type element struct {
	metric string
	text   strings.Builder
}

// write builds elements with their fields in a fixed order, so that the same life gives the same bytes.
func (l *Life) write(v *visit, metric string, value string, findings ...string) *element {
	e := &element{metric: metric}
	fmt.Fprintf(&e.text, `{"metric":%q,%s,"time":%q`, metric, value, v.at.UTC().Format(time.RFC3339))
	if l.habits.counting && (v.instrument == Cuff || v.instrument == Meter) {
		// One count for all readings of an instrument, as meters have it.
		l.counts[string(v.instrument)]++
		fmt.Fprintf(&e.text, `,"seq":%d`, l.counts[string(v.instrument)])
	}
	if len(findings) > 0 {
		fmt.Fprintf(&e.text, `,"findings":["%s"]`, strings.Join(findings, `","`))
	}
	e.text.WriteByte('}')
	return e
}

func whole(v float64) string  { return strconv.Itoa(int(math.Round(v))) }
func tenths(v float64) string { return strconv.FormatFloat(v, 'f', 1, 64) }

func valued(number, unit string) string { return fmt.Sprintf(`"value":%s,"unit":%q`, number, unit) }

// measure lets the person use an instrument: what it shows, and whether it should be measured again because something
// was plainly wrong.
func (l *Life) measure(v *visit) (shown []*element, repeat bool) {
	s := l.at(v.at)
	r := l.source("measure "+string(v.instrument)+v.metric, v.at.Unix())
	switch v.instrument {
	case Cuff:
		return l.cuff(v, &s, r)
	case Oximeter:
		return l.oximeter(v, &s, r)
	case Scale:
		return []*element{l.write(v, "body_weight", valued(tenths(l.onScale(v, &s, r)), "kg"))}, false
	case Thermometer:
		return []*element{l.write(v, "body_temperature", valued(tenths(s.temperature+0.08*r.NormFloat64()), "Cel"))}, false
	case Meter:
		return []*element{l.write(v, v.metric, l.glucose(s.glucose*(1+0.05*clamp(r.NormFloat64(), -3, 3))))}, false
	case Tracker:
		return []*element{l.tracked(v, &s, r)}, false
	case Spirometer:
		flow := clamp(s.flow*(1+0.04*r.NormFloat64()), 60, 800)
		return []*element{l.write(v, "peak_flow", valued(whole(math.Round(flow/5)*5), "L/min"))}, false
	case Patch:
		return []*element{
			l.write(v, "heart_rate", valued(whole(l.beat(&s, r)), "/min")),
			l.write(v, "respiratory_rate", valued(whole(clamp(s.respiration+0.6*r.NormFloat64(), 7, 50)), "/min")),
			l.write(v, "oxygen_saturation", valued(whole(clamp(s.saturation+0.4*r.NormFloat64(), 70, 100)), "%")),
		}, false
	}
	return nil, false
}

// beat is a pulse as counted over half a minute.
func (l *Life) beat(s *state, r *rand.Rand) float64 {
	return clamp(s.pulse+(2.4+s.effect.scatter)*clamp(r.NormFloat64(), -3, 3), 32, 200)
}

// cuff takes a blood pressure. The first of a pair is higher, more so in whoever is nervous of it.
func (l *Life) cuff(v *visit, s *state, r *rand.Rand) (shown []*element, repeat bool) {
	noise := l.normal.moment
	if s.effect.irregular {
		noise += 2 // automatic cuffs are less sure of an irregular pulse
	}
	systolic := s.systolic + noise*clamp(r.NormFloat64(), -3, 3)
	diastolic := s.diastolic + 0.6*noise*clamp(r.NormFloat64(), -3, 3)
	if v.turn == 0 {
		systolic += between(r, 1, 6) + l.normal.whiteCoat*0.6*r.Float64()
	}
	var findings []string
	if s.effect.irregular && chance(r, 0.85) || !l.habits.calm && chance(r, 0.004) {
		findings = append(findings, "irregular_pulse")
	}
	pulse := whole(l.beat(s, r))
	if !l.habits.calm && !v.again {
		systolic, diastolic, findings, repeat = l.mishap(v, r, systolic, diastolic, findings)
		if chance(r, 0.004) {
			pulse = "255" // a cuff's way of saying that it counted none
		}
	}
	step := 1.0
	if l.habits.even {
		step = 2
	}
	high := step * math.Round(clamp(systolic, 66, 262)/step)
	low := step * math.Round(clamp(diastolic, 34, high-16)/step)
	shown = append(shown, l.write(v, "blood_pressure", fmt.Sprintf(`"systolic":%.0f,"diastolic":%.0f,"pulse":%s,"unit":"mm[Hg]"`, high, low, pulse), findings...))
	if pulse != "255" {
		shown = append(shown, l.write(v, "heart_rate", valued(pulse, "/min"), findings...))
	}
	return shown, repeat
}

// mishap is what goes wrong with a cuff: it moved, it was loose, the person talked, or wore it over a sleeve.
func (l *Life) mishap(v *visit, r *rand.Rand, systolic, diastolic float64, findings []string) (high, low float64, found []string, repeat bool) {
	switch p := r.Float64(); {
	case p < 0.015:
		l.note(v.at, Artefact, "cuff moved", "blood_pressure")
		return systolic + between(r, -14, 22), diastolic + between(r, -8, 12), append(findings, "body_movement"), chance(r, 0.7)
	case p < 0.022:
		l.note(v.at, Artefact, "cuff loose", "blood_pressure")
		return systolic - between(r, 8, 18), diastolic - between(r, 4, 9), append(findings, "cuff_loose"), chance(r, 0.7)
	case p < 0.045:
		l.note(v.at, Technique, "talking", "blood_pressure")
		return systolic + between(r, 7, 15), diastolic + between(r, 4, 9), findings, false
	case p < 0.06:
		l.note(v.at, Technique, "cuff over a sleeve", "blood_pressure")
		return systolic + between(r, 5, 18), diastolic + between(r, 2, 8), findings, false
	case p < 0.075:
		l.note(v.at, Technique, "the other arm", "blood_pressure")
		return systolic + between(r, -9, 9), diastolic + between(r, -5, 5), findings, false
	}
	return systolic, diastolic, findings, false
}

// oximeter counts the pulse beside the saturation. Cold fingers give a low number that is not the person's.
func (l *Life) oximeter(v *visit, s *state, r *rand.Rand) (shown []*element, repeat bool) {
	saturation := s.saturation + 0.45*clamp(r.NormFloat64(), -3, 3)
	pulse := l.beat(s, r)
	var findings []string
	if !l.habits.calm && !v.again {
		switch p := r.Float64(); {
		case p < 0.0015:
			l.note(v.at, Artefact, "finger taken out", "oxygen_saturation")
			return []*element{l.write(v, "oxygen_saturation", valued("0", "%"), "poor_signal")}, true
		case p < 0.02:
			l.note(v.at, Artefact, "cold fingers", "oxygen_saturation")
			saturation -= between(r, 3, 9)
			findings, repeat = append(findings, "low_perfusion"), chance(r, 0.75)
		case p < 0.03:
			l.note(v.at, Artefact, "poor signal", "oxygen_saturation")
			saturation -= between(r, 0, 5)
			findings, repeat = append(findings, "poor_signal"), chance(r, 0.75)
		}
	}
	saturation = clamp(math.Round(saturation), 65, 100)
	return []*element{
		l.write(v, "oxygen_saturation", valued(whole(saturation), "%"), findings...),
		l.write(v, "heart_rate", valued(whole(pulse), "/min"), findings...),
	}, repeat
}

func (l *Life) onScale(v *visit, s *state, r *rand.Rand) float64 {
	weight := s.weight + 0.1*r.NormFloat64()
	if l.habits.calm {
		return weight
	}
	if l.dayOf(v.at) == l.habits.guestDay {
		l.note(v.at, Technique, "somebody else on the scale", "body_weight")
		return weight + l.habits.guest
	}
	if chance(r, 0.025) {
		l.note(v.at, Technique, "weighed in clothes", "body_weight")
		return weight + between(r, 0.8, 1.8)
	}
	return weight
}

func (l *Life) glucose(mgdl float64) string {
	mgdl = clamp(mgdl, 30, 500)
	if l.habits.mmol {
		return valued(tenths(mgdl/18.0156), "mmol/L") // 1 mmol/L is 18.0156 mg/dL, clinical/vitals.csv [V]
	}
	return valued(whole(mgdl), "mg/dL")
}

func (l *Life) tracked(v *visit, s *state, r *rand.Rand) *element {
	if v.metric == "sleep_duration" {
		night := l.at(v.at.Add(-4 * time.Hour)).effect // what troubled the night
		return l.write(v, v.metric, valued(whole(clamp(l.normal.sleep+night.sleep+24*clamp(r.NormFloat64(), -2.5, 2.5), 60, 640)), "min"))
	}
	return l.write(v, v.metric, valued(whole(clamp(l.normal.steps*s.effect.steps*math.Exp(0.3*r.NormFloat64()), 0, 30000)), "{steps}"))
}
