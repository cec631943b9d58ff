package simulators

import (
	"context"
	"encoding/base32"
	"encoding/binary"
	"fmt"
	"hash/fnv"
	"math/rand/v2"
	"slices"
	"strings"
	"time"
)

// Scenario is a kind of cohort and what happens to it.
type Scenario struct {
	Name  string
	Story string // one sentence for people
	Days  int    // how much of the past is lived before the present, unless told otherwise

	people func(l *Life, r *rand.Rand, i int) // who person i is
	story  func(l *Life, r *rand.Rand, i int) // what goes wrong
}

// Scenarios returns all scenarios, the default first.
func Scenarios() []Scenario {
	of := func(list ...Condition) func(*Life, *rand.Rand, int) {
		return func(l *Life, _ *rand.Rand, _ int) { l.Conditions = list }
	}
	return []Scenario{
		{Name: "mixed", Days: 7, Story: "a cohort as programmes have it, every condition in its share; one in three has something going wrong", people: byPrevalence, story: something},
		{Name: "heart-failure-week", Days: 7, Story: "heart failure; every third person decompensates over the week, every third has begun to, the others stay well", people: of(HeartFailure), story: heartFailureWeek},
		{Name: "copd-exacerbation", Days: 7, Story: "COPD; every second person has an exacerbation that began some days ago", people: of(COPD), story: copdExacerbation},
		{Name: "hypertension", Days: 14, Story: "hypertension with white coats; every third person leaves out the tablets for a week, every tenth has a crisis", people: of(Hypertension), story: hypertension},
		{Name: "diabetes", Days: 7, Story: "type 2 diabetes with meals; every third person has a low glucose at night, every fifth a high one for days", people: of(Diabetes), story: diabetes},
		{Name: "atrial-fibrillation", Days: 7, Story: "atrial fibrillation, permanent or in fast paroxysms, with the cuff's finding of an irregular pulse", people: of(AtrialFibrillation), story: fibrillation},
		{Name: "frailty", Days: 14, Story: "frail people with low pressure who lose weight, measure irregularly, and dry out: every third", people: of(Frailty), story: frailty},
		{Name: "quiet", Days: 7, Story: "people who are well; nobody should get a red alert", people: of(), story: quiet},
		{Name: "storm", Days: 1, Story: "patches that measure every five minutes; every device was offline for 24 h and sends its memory at once, while the first person gets into trouble now", people: of(), story: storm},
	}
}

// FindScenario returns the scenario of that name. The error lists the names.
func FindScenario(name string) (Scenario, error) {
	var names []string
	for _, s := range Scenarios() {
		if s.Name == name {
			return s, nil
		}
		names = append(names, s.Name)
	}
	return Scenario{}, fmt.Errorf("there is no scenario %q; there are %s", name, strings.Join(names, ", "))
}

// Cohort is a group of simulated people. The same cohort has the same people, who measure the same at the same times.
type Cohort struct {
	Scenario Scenario
	Patients int
	Seed     uint64
	Start    time.Time // of the story
	Days     int       // its length; 0 means the scenario's own
}

// Life draws person i, from 0 on: the same however many there are. Who they are depends on the seed alone, and what
// happens to them on the start and the length of the story as well.
func (c *Cohort) Life(i int) *Life {
	start := c.Start.UTC().Truncate(time.Second)
	code := c.code(start)
	r := source(c.Seed, c.Scenario.Name, int64(i))
	l := &Life{
		Number: fmt.Sprintf("SIM-%s-%04d", strings.ToUpper(code), i+1), seed: r.Uint64(),
		start: start, end: start.Add(c.Length()), counts: map[string]int64{}, noted: map[[2]int]bool{},
	}
	c.Scenario.people(l, l.source("who"), i)
	l.born()
	c.Scenario.story(l, l.source("story"), i)
	slices.SortStableFunc(l.Troubles, func(a, b Trouble) int { return a.Onset.Compare(b.Onset) })
	l.equip(fmt.Sprintf("sim-%s-%04d", code, i+1))
	return l
}

// lives draws everybody, until ctx ends.
func (c *Cohort) lives(ctx context.Context) ([]*Life, error) {
	var all []*Life
	for i := range c.Patients {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		all = append(all, c.Life(i))
	}
	return all, nil
}

// Length is how long the story lasts; life goes on after it.
func (c *Cohort) Length() time.Duration {
	days := c.Days
	if days == 0 {
		days = c.Scenario.Days
	}
	return time.Duration(days) * 24 * time.Hour
}

// code names the cohort in numbers and device names: a run that differs in anything that changes the readings has
// other people, so that two stories are never mixed in one record.
func (c *Cohort) code(start time.Time) string {
	h := fnv.New64a()
	_, _ = fmt.Fprintf(h, "%s %d %d %d", c.Scenario.Name, c.Seed, start.Unix(), c.Length()) // a hash takes everything
	var b [8]byte
	binary.BigEndian.PutUint64(b[:], h.Sum64())
	return strings.ToLower(base32.StdEncoding.EncodeToString(b[:])[:7])
}

// equip gives the person the instruments of their conditions: as devices with a modem each, or as one gateway that
// speaks for them.
func (l *Life) equip(device string) {
	if l.habits.patch {
		l.Kits = []Kit{{Device: device + "-patch", Model: "simulated patch", Sensors: []Sensor{{Instrument: Patch}}}}
		return
	}
	instruments := []Instrument{Cuff}
	add := func(more ...Instrument) {
		for _, i := range more {
			if !slices.Contains(instruments, i) {
				instruments = append(instruments, i)
			}
		}
	}
	for _, c := range l.Conditions {
		switch c {
		case HeartFailure:
			add(Scale, Oximeter, Tracker)
		case COPD:
			add(Oximeter, Thermometer, Spirometer, Tracker)
		case Diabetes:
			add(Meter, Scale)
		case Frailty:
			add(Scale, Thermometer, Tracker)
		case Hypertension, AtrialFibrillation:
		}
	}
	if len(l.Conditions) == 0 {
		add(Scale, Oximeter)
	}
	if l.source("kit").IntN(2) == 0 {
		gateway := Kit{Device: device + "-hub", Model: "simulated gateway"}
		for _, i := range instruments {
			gateway.Sensors = append(gateway.Sensors, Sensor{Name: device + "-" + string(i), Instrument: i})
		}
		l.Kits = []Kit{gateway}
		return
	}
	for _, i := range instruments {
		l.Kits = append(l.Kits, Kit{Device: device + "-" + string(i), Model: "simulated " + string(i), Sensors: []Sensor{{Instrument: i}}})
	}
}

// before is a time so many days before the end of the story.
func (l *Life) before(days float64) time.Time {
	return l.end.Add(-time.Duration(days * 24 * float64(time.Hour)))
}

// within draws a time in the middle part of the story.
func (l *Life) within(r *rand.Rand) time.Time {
	return l.start.Add(time.Duration(between(r, 0.15, 0.85) * float64(l.end.Sub(l.start))))
}

// atNight moves a time to the small hours of its local day.
func (l *Life) atNight(r *rand.Rand, t time.Time) time.Time {
	night := l.clock(l.dayOf(t), between(r, 2, 4.5))
	if night.Before(l.start) {
		night = night.Add(24 * time.Hour)
	}
	return night
}

func (l *Life) suffer(t Trouble) {
	if t.acute() {
		t.felt = l.feels(&t)
	}
	l.Troubles = append(l.Troubles, t)
}

// stay keeps the person at home: a holiday would hide the story.
func (l *Life) stay() { l.habits.away = 0 }

// byPrevalence gives people the conditions of a remote monitoring programme for older people, one in three a second
// one. The shares are our judgement [J].
func byPrevalence(l *Life, r *rand.Rand, _ int) {
	shares := []struct {
		c Condition
		p float64
	}{{Hypertension, 0.34}, {HeartFailure, 0.16}, {COPD, 0.12}, {Diabetes, 0.18}, {AtrialFibrillation, 0.08}, {Frailty, 0.06}}
	p := r.Float64()
	for _, s := range shares {
		if p -= s.p; p < 0 {
			l.Conditions = append(l.Conditions, s.c)
			break
		}
	}
	if len(l.Conditions) == 0 || !chance(r, 0.33) {
		return
	}
	switch first := l.Conditions[0]; first {
	case Hypertension:
		l.Conditions = append(l.Conditions, Diabetes)
	case HeartFailure:
		l.Conditions = append(l.Conditions, AtrialFibrillation)
	case Diabetes, AtrialFibrillation, COPD:
		l.Conditions = append(l.Conditions, Hypertension)
	case Frailty:
	}
}

func something(l *Life, r *rand.Rand, _ int) {
	if l.has(AtrialFibrillation) && chance(r, 0.5) {
		l.suffer(trouble(arrhythmia, l.start, 0.001, 1e6, 1, 1))
	}
	if l.normal.whiteCoat > 0 {
		l.suffer(trouble(inflated, l.start.Add(-time.Hour), 0.5, 30, 60, l.normal.whiteCoat))
	}
	if !chance(r, 0.33) || len(l.Conditions) == 0 {
		return
	}
	l.stay()
	at := l.within(r)
	switch l.Conditions[0] {
	case HeartFailure:
		l.suffer(decompensating(r, at))
	case COPD:
		l.suffer(exacerbating(r, at))
	case Hypertension:
		l.suffer(trouble(Untreated, at, 48, between(r, 72, 120), 48, between(r, 0.9, 1.2)))
	case Diabetes:
		l.suffer(low(l, r, at))
	case AtrialFibrillation:
		l.suffer(racing(r, at))
	case Frailty:
		l.suffer(drying(r, at))
	}
	if chance(r, 0.2) {
		l.suffer(trouble(Infection, l.within(r), 18, between(r, 24, 60), 36, between(r, 0.8, 1.1)))
	}
}

func decompensating(r *rand.Rand, onset time.Time) Trouble {
	return trouble(Decompensation, onset, 24*between(r, 5, 7), 30, 72, between(r, 0.9, 1.2))
}

func exacerbating(r *rand.Rand, onset time.Time) Trouble {
	return trouble(Exacerbation, onset, between(r, 40, 60), between(r, 48, 80), 72, between(r, 0.9, 1.15))
}

func low(l *Life, r *rand.Rand, day time.Time) Trouble {
	return trouble(Hypoglycaemia, l.atNight(r, day), 0.75, 0.2, 0.4, between(r, 0.8, 1.2))
}

func racing(r *rand.Rand, onset time.Time) Trouble {
	return trouble(Paroxysm, onset, 0.3, between(r, 4, 26), 0.5, between(r, 0.9, 1.2))
}

func drying(r *rand.Rand, onset time.Time) Trouble {
	return trouble(Dehydration, onset, between(r, 48, 72), 36, 36, between(r, 0.9, 1.2))
}

func heartFailureWeek(l *Life, r *rand.Rand, i int) {
	l.stay()
	l.habits.guestDay = -1
	switch i % 3 {
	case 0: // has come to the crisis about now
		t := decompensating(r, l.start)
		grows := t.Crisis.Sub(t.Onset)
		onset := l.end.Add(-grows + time.Duration(between(r, -6, 4)*float64(time.Hour)))
		l.suffer(trouble(Decompensation, onset, grows.Hours(), 48, 72, t.Size))
	case 1: // fluid gathers, nothing is felt yet
		l.suffer(trouble(Decompensation, l.before(between(r, 2.4, 3.2)), 24*between(r, 6, 7), 48, 72, between(r, 0.95, 1.15)))
	}
}

func copdExacerbation(l *Life, r *rand.Rand, i int) {
	l.stay()
	if i%2 == 0 {
		l.suffer(exacerbating(r, l.before(between(r, 2, 3))))
	}
}

func hypertension(l *Life, r *rand.Rand, i int) {
	if l.normal.whiteCoat > 0 {
		l.suffer(trouble(inflated, l.start.Add(-time.Hour), 0.5, 30, 60, l.normal.whiteCoat))
	}
	switch {
	case i%10 == 4:
		l.suffer(trouble(PressureCrisis, l.within(r), 0.7, between(r, 2, 5), 3, between(r, 0.9, 1.1)))
	case i%3 == 0:
		l.stay()
		l.suffer(trouble(Untreated, l.before(between(r, 6, 8)), 48, 120, 48, between(r, 0.9, 1.2)))
	}
}

func diabetes(l *Life, r *rand.Rand, i int) {
	switch {
	case i%3 == 0:
		l.suffer(low(l, r, l.within(r)))
		l.suffer(low(l, r, l.before(0.3)))
	case i%5 == 1:
		l.stay()
		l.suffer(trouble(Hyperglycaemia, l.before(between(r, 2.5, 4)), 20, 96, 24, between(r, 0.9, 1.3)))
	}
}

func fibrillation(l *Life, r *rand.Rand, i int) {
	if i%2 == 0 {
		l.suffer(trouble(arrhythmia, l.start, 0.001, 1e6, 1, 1))
		return
	}
	l.suffer(racing(r, l.within(r)))
	if i%4 == 1 {
		l.suffer(trouble(Paroxysm, l.before(0.15), 0.3, 9, 0.5, between(r, 0.9, 1.2)))
	}
}

func frailty(l *Life, r *rand.Rand, i int) {
	if i%3 == 0 {
		l.stay()
		l.suffer(drying(r, l.before(between(r, 2, 3))))
	}
}

func quiet(l *Life, _ *rand.Rand, _ int) {
	l.habits.calm = true
	l.normal.systolic = min(l.normal.systolic, 128)
	l.normal.diastolic = min(l.normal.diastolic, 76)
	l.normal.unsteady, l.normal.moment = min(l.normal.unsteady, 4), min(l.normal.moment, 4)
}

func storm(l *Life, _ *rand.Rand, i int) {
	l.habits.patch, l.habits.calm = true, true
	l.normal.respiration, l.normal.pulse = max(l.normal.respiration, 15.5), clamp(l.normal.pulse, 68, 76)
	l.gap = outage{from: l.before(1), to: l.end}
	if i == 0 {
		l.suffer(trouble(Desaturation, l.before(0.02), 0.5, 8, 2, 1))
	}
}
