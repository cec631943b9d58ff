package simulators

import (
	"math"
	"time"
)

// TroubleKind is something that goes wrong in a simulated person.
type TroubleKind string

// The kinds of trouble.
const (
	Decompensation TroubleKind = "decompensation"    // heart failure: fluid gathers for days, then the lungs fill
	Exacerbation   TroubleKind = "exacerbation"      // COPD: a chest infection
	Untreated      TroubleKind = "missed medication" // pressure rises for a week without the tablets
	PressureCrisis TroubleKind = "pressure crisis"
	Desaturation   TroubleKind = "desaturation" // oxygen falls within minutes
	Hypoglycaemia  TroubleKind = "hypoglycaemia"
	Hyperglycaemia TroubleKind = "hyperglycaemia"
	Paroxysm       TroubleKind = "paroxysm" // of atrial fibrillation, fast
	Infection      TroubleKind = "infection"
	Dehydration    TroubleKind = "dehydration"
	arrhythmia     TroubleKind = "arrhythmia" // permanent, rate-controlled: a condition, and nothing that an alert should find
	inflated       TroubleKind = "white coat" // the first days of measuring: nothing that an alert should find
)

// Trouble is one thing that goes wrong: it grows from Onset to Crisis, stays until Ease and is over at End.
type Trouble struct {
	Kind   TroubleKind
	Onset  time.Time
	Crisis time.Time // somebody should have come by then
	Ease   time.Time
	End    time.Time
	Size   float64 // drawn: 1 is usual

	felt time.Time // when the person notices an acute one; zero: never
}

// trouble makes one whose parts take so many hours.
func trouble(kind TroubleKind, onset time.Time, grows, stays, eases, size float64) Trouble {
	hours := func(h float64) time.Duration { return time.Duration(h * float64(time.Hour)).Truncate(time.Second) }
	t := Trouble{Kind: kind, Onset: onset.Truncate(time.Second), Size: size}
	t.Crisis = t.Onset.Add(hours(grows))
	t.Ease = t.Crisis.Add(hours(stays))
	t.End = t.Ease.Add(hours(eases))
	return t
}

// progress is how far it has grown at a time: 0 before the onset, 1 from the crisis until it eases, 0 when it is over.
func (t *Trouble) progress(at time.Time) float64 {
	switch {
	case !at.After(t.Onset) || !at.Before(t.End):
		return 0
	case at.Before(t.Crisis):
		return float64(at.Sub(t.Onset)) / float64(t.Crisis.Sub(t.Onset))
	case at.Before(t.Ease):
		return 1
	}
	return 1 - float64(at.Sub(t.Ease))/float64(t.End.Sub(t.Ease))
}

// smooth makes a straight rise a gentle one.
func smooth(p float64) float64 { return p * p * (3 - 2*p) }

// effect is what the troubles of a person add to their normal at a moment.
type effect struct {
	systolic, diastolic, pulse, saturation, weight, temperature, respiration, glucose, sleep float64

	steps, flow float64 // factors
	lowest      float64 // glucose is not above it; 0 for no bound
	irregular   bool
	scatter     float64 // of the pulse from beat to beat
	unwell      float64 // 0 to 1: how ill the person feels
	nights      float64 // 0 to 1: how often they wake and measure
}

// congestedFrom is the share of the gathering of fluid after which the lungs begin to fill: weight rises for days before
// anything is felt.
const congestedFrom = 0.55

func (l *Life) effects(at time.Time) effect {
	e := effect{steps: 1, flow: 1}
	for i := range l.Troubles {
		t := &l.Troubles[i]
		p := t.progress(at)
		if p <= 0 {
			continue
		}
		unwell, nights := e.unwell, e.nights
		t.add(&e, p)
		if t.acute() && (t.felt.IsZero() || at.Before(t.felt)) {
			e.unwell, e.nights = unwell, nights
		}
	}
	return e
}

// add puts one trouble's part on top. The sizes are our judgement [J]: what a clinician would call a clear case.
func (t *Trouble) add(e *effect, p float64) {
	s := smooth(p) * t.Size
	switch t.Kind {
	case Decompensation:
		c := smooth(clamp((p-congestedFrom)/(1-congestedFrom), 0, 1)) * t.Size
		e.weight += 2.8 * t.Size * math.Pow(p, 0.9)
		e.saturation -= 4.5 * c
		e.pulse += 16 * c
		e.respiration += 4 * c
		e.systolic += 10 * c
		e.diastolic += 5 * c
		e.sleep -= 130 * c
		e.steps *= 1 - 0.6*math.Min(1, c)
		e.unwell, e.nights = math.Max(e.unwell, c), math.Max(e.nights, c)
	case Exacerbation:
		e.saturation -= 6.5 * s
		e.respiration += 4.5 * s
		e.pulse += 8 * s
		e.temperature += 1 * s
		e.flow *= 1 - 0.3*math.Min(1, s)
		e.steps *= 1 - 0.6*math.Min(1, s)
		e.unwell, e.nights = math.Max(e.unwell, s), math.Max(e.nights, s/2)
	case Untreated:
		e.systolic += 26 * s
		e.diastolic += 13 * s
	case PressureCrisis:
		e.systolic += 55 * s
		e.diastolic += 25 * s
		e.pulse += 8 * s
		e.unwell = math.Max(e.unwell, s)
	case Desaturation:
		e.saturation -= 7.5 * s
		e.pulse += 10 * s
		e.respiration += 4 * s
		e.unwell = math.Max(e.unwell, s)
	case Hypoglycaemia:
		e.lowest = 300 - (300-62+14*t.Size)*math.Min(1, smooth(p)*1.2) // 48 at size 1
		e.pulse += 12 * s
		e.unwell = math.Max(e.unwell, s)
	case Hyperglycaemia:
		e.glucose += 120 * s
		e.unwell = math.Max(e.unwell, s/2)
	case Paroxysm:
		e.pulse += 52 * s
		e.scatter = math.Max(e.scatter, 9)
		e.systolic -= 8 * s
		e.diastolic -= 3 * s
		e.irregular = true
		e.unwell = math.Max(e.unwell, s)
	case Infection:
		e.temperature += 2.1 * s
		e.saturation -= 0.8 * s
		e.glucose += 15 * s
		e.unwell = math.Max(e.unwell, s)
	case Dehydration:
		e.systolic -= 27 * s
		e.diastolic -= 8 * s
		e.pulse += 16 * s
		e.weight -= 1.2 * s
		e.steps *= 1 - 0.5*math.Min(1, s)
		e.unwell = math.Max(e.unwell, s)
	case arrhythmia:
		e.irregular, e.scatter = true, math.Max(e.scatter, 5)
	case inflated:
		e.systolic += t.Size * p
		e.diastolic += t.Size * p / 2
	}
}

// Answers lists the metrics whose alerts would tell of the trouble; none when no alert should.
func (t *Trouble) Answers() []string {
	switch t.Kind {
	case Decompensation:
		return []string{"body_weight", "oxygen_saturation", "heart_rate", "respiratory_rate", "sleep_duration", "steps"}
	case Exacerbation:
		return []string{"oxygen_saturation", "respiratory_rate", "heart_rate", "body_temperature", "peak_flow"}
	case Untreated, PressureCrisis:
		return []string{"blood_pressure"}
	case Desaturation:
		return []string{"oxygen_saturation", "heart_rate", "respiratory_rate"}
	case Hypoglycaemia, Hyperglycaemia:
		return []string{"glucose", "glucose_fasting", "glucose_postmeal"}
	case Paroxysm:
		return []string{"heart_rate"}
	case Infection:
		return []string{"body_temperature", "heart_rate"}
	case Dehydration:
		return []string{"blood_pressure", "heart_rate", "body_weight"}
	case arrhythmia, inflated:
	}
	return nil
}
