package simulators

import (
	"math/rand/v2"
	"slices"
	"time"
)

// Sending is one reading on its way to the wire.
type Sending struct {
	At       time.Time // when the device has a line and sends it
	Measured time.Time
	Kit      int    // place in Life.Kits
	Sensor   string // of the kit; empty for its own
	Metric   string
	Body     []byte // one JSON object, see docs/wire.md
	Again    bool   // was sent before: the device did not hear the acknowledgement
}

// NextDay lives the next day and returns its readings in the order in which they are sent. Some are sent on a later
// day: their device had no line.
func (l *Life) NextDay() []Sending {
	day := l.day
	l.day++
	var list []Sending
	taken := map[visit]bool{}
	for _, v := range l.visits(day) {
		if v.at.Before(l.start) {
			continue
		}
		v.wait(taken)
		kit, sensor, ok := l.holder(v.instrument)
		if !ok {
			continue
		}
		shown, repeat := l.measure(&v)
		list = l.queue(list, &v, kit, sensor, shown)
		if repeat {
			next := v
			next.at, next.again, next.turn = v.at.Add(100*time.Second), true, 1
			next.wait(taken)
			shown, _ = l.measure(&next)
			list = l.queue(list, &next, kit, sensor, shown)
		}
	}
	slices.SortStableFunc(list, func(a, b Sending) int { return a.At.Compare(b.At) })
	return list
}

// wait moves a visit to the next second in which the instrument is free: nothing measures twice at once.
func (v *visit) wait(taken map[visit]bool) {
	for {
		moment := visit{at: v.at, instrument: v.instrument}
		if !taken[moment] {
			taken[moment] = true
			return
		}
		v.at = v.at.Add(time.Second)
	}
}

// Lived is the time up to which every reading is known.
func (l *Life) Lived() time.Time { return l.clock(l.day, 0) }

func (l *Life) queue(list []Sending, v *visit, kit int, sensor string, shown []*element) []Sending {
	at, resent := l.line(kit, v.at)
	for _, e := range shown {
		s := Sending{At: at, Measured: v.at, Kit: kit, Sensor: sensor, Metric: e.metric, Body: []byte(e.text.String())}
		list = append(list, s)
		if !resent.IsZero() {
			s.At, s.Again = resent, true
			list = append(list, s)
		}
	}
	return list
}

func (l *Life) holder(i Instrument) (kit int, sensor string, ok bool) {
	for k := range l.Kits {
		for _, s := range l.Kits[k].Sensors {
			if s.Instrument == i {
				return k, s.Name, true
			}
		}
	}
	return 0, "", false
}

// visits lists the moments of a day at which something is measured, in their order.
func (l *Life) visits(day int) []visit {
	r := l.source("day", int64(day))
	wake, bed := l.habits.wake+0.25*r.NormFloat64(), l.habits.bed+0.3*r.NormFloat64()
	d := &dayPlan{life: l, day: day, r: r}
	if l.habits.away > 0 && day >= l.habits.awayFrom && day < l.habits.awayFrom+l.habits.away && !l.habits.calm {
		if day == l.habits.awayFrom {
			l.noteSpan(l.clock(day, 0), l.clock(day+l.habits.away, 0), Missing, "away", "")
		}
		return nil
	}
	d.morning(wake)
	d.afternoon()
	d.evening(bed)
	d.ill(wake, bed)
	d.moments()
	if l.habits.patch {
		for minute := range 24 * 12 {
			d.add(float64(minute)/12, visit{instrument: Patch})
		}
	}
	slices.SortStableFunc(d.list, func(a, b visit) int { return a.at.Compare(b.at) })
	return d.list
}

// dayPlan is a day as it is being filled.
type dayPlan struct {
	life *Life
	day  int
	r    *rand.Rand
	list []visit
}

func (d *dayPlan) add(hour float64, v visit) {
	v.at = d.life.clock(d.day, hour)
	d.list = append(d.list, v)
}

// kept reports whether a session takes place, and notes one that is forgotten.
func (d *dayPlan) kept(hour float64, session string) bool {
	if d.life.diligent(d.r) {
		return true
	}
	if at := d.life.clock(d.day, hour); at.After(d.life.start) {
		d.life.note(at, Missing, session+" forgotten")
	}
	return false
}

// pair is two blood pressures a minute or so apart, as the home protocol asks (clinical/scores.md, section 3).
func (d *dayPlan) pair(hour float64) {
	d.add(hour, visit{instrument: Cuff})
	d.add(hour+between(d.r, 1.1, 2)/60, visit{instrument: Cuff, turn: 1})
}

func (d *dayPlan) morning(wake float64) {
	jitter := between(d.r, 0.1, 0.5)
	// What happens by itself needs no diligence.
	d.add(wake+0.05, visit{instrument: Tracker, metric: "sleep_duration"})
	if d.kept(wake, "morning") {
		d.add(wake+jitter, visit{instrument: Scale})
		d.add(wake+jitter+0.05, visit{instrument: Meter, metric: "glucose_fasting"})
		d.add(wake+jitter+0.15, visit{instrument: Oximeter})
		d.add(wake+jitter+0.2, visit{instrument: Thermometer})
		d.add(wake+jitter+0.25, visit{instrument: Spirometer})
		d.pair(wake + jitter + 0.3)
	}
}

func (d *dayPlan) afternoon() {
	hour := lunch + 2 + 0.2*d.r.NormFloat64()
	if _, _, has := d.life.holder(Meter); has && d.kept(hour, "after lunch") {
		d.add(hour, visit{instrument: Meter, metric: "glucose_postmeal"})
	}
}

func (d *dayPlan) evening(bed float64) {
	hour := bed - 1.5 + 0.4*d.r.NormFloat64()
	if d.kept(hour, "evening") {
		d.pair(hour)
		d.add(hour+0.1, visit{instrument: Oximeter})
		d.add(hour+0.2, visit{instrument: Meter, metric: "glucose"})
	}
	d.add(23.2, visit{instrument: Tracker, metric: "steps"})
}

// ill adds what people who feel unwell do: they measure again in the course of the day, and in the night.
func (d *dayPlan) ill(wake, bed float64) {
	l := d.life
	for hour := wake + 2.5; hour < bed; hour += 2.5 {
		at := hour + 0.4*d.r.Float64()
		if l.effects(l.clock(d.day, at)).unwell < 0.4 || !l.diligent(d.r) {
			continue
		}
		d.add(at, visit{instrument: Oximeter})
		d.add(at+0.03, visit{instrument: Thermometer})
		d.add(at+0.06, visit{instrument: Cuff, turn: 1})
		d.add(at+0.1, visit{instrument: Meter, metric: "glucose"})
	}
	for _, hour := range []float64{1.5, 4} {
		at := hour + d.r.Float64()
		if l.effects(l.clock(d.day, at)).nights > 0.4 && l.diligent(d.r) && chance(d.r, 0.8) {
			d.add(at, visit{instrument: Oximeter})
		}
	}
}

// moments adds what people do when something is felt at once: they reach for the instrument, as diligently as they
// measure otherwise.
func (d *dayPlan) moments() {
	l := d.life
	from, to := l.clock(d.day, 0), l.clock(d.day+1, 0)
	for i := range l.Troubles {
		t := &l.Troubles[i]
		if t.felt.IsZero() || !l.diligent(l.source("reach", t.felt.Unix())) {
			continue
		}
		within := func(after time.Duration, v visit) {
			if v.at = t.felt.Add(after); !v.at.Before(from) && v.at.Before(to) {
				d.list = append(d.list, v)
			}
		}
		switch t.Kind {
		case Hypoglycaemia: // sugar, and again after a quarter of an hour
			within(0, visit{instrument: Meter, metric: "glucose"})
			within(15*time.Minute, visit{instrument: Meter, metric: "glucose"})
			within(35*time.Minute, visit{instrument: Meter, metric: "glucose"})
		case PressureCrisis, Paroxysm:
			within(0, visit{instrument: Cuff, turn: 1})
			within(10*time.Minute, visit{instrument: Cuff, turn: 1})
		case Desaturation:
			within(0, visit{instrument: Oximeter})
			within(10*time.Minute, visit{instrument: Oximeter})
		case Decompensation, Exacerbation, Untreated, Hyperglycaemia, Infection, Dehydration, arrhythmia, inflated:
		}
	}
}
