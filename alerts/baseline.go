package alerts

import (
	"sort"
	"strconv"
	"strings"

	"hale/fault"
	"hale/vital"
)

// TrendBaseline compares a reading with what is usual for this person: the median of the sessions of Days local days, of which the
// last lies GapDays before the day before the reading's, so that a slow decline is not the usual within days. Sessions are those of
// TrendAverage, of Part of the day where one is given: many readings of one hour weigh as one. The usual spread is the median of
// their distances from that median times 1.4826, which is a standard deviation of values that scatter evenly (MAD), at least
// LeastSpread: who never varies is not alarmed by what the sensor cannot tell. It says nothing before LeastSessions sessions on
// LeastDays days lie in the window.
type TrendBaseline struct {
	Part          *DayPart    `json:"part,omitempty" doc:"Only readings of this part of the day are judged, and make what is usual. Left out: all of them"`
	Days          int         `json:"days" doc:"Local days whose sessions make what is usual"`
	GapDays       int         `json:"gap_days,omitempty" doc:"Days between those and the day of the reading, with days at most 31: the larger, the longer a slow decline stays one"`
	LeastDays     int         `json:"least_days" doc:"Nothing is said before so many of the days have a session"`
	LeastSessions int         `json:"least_sessions" doc:"Nothing is said before there are so many sessions, a session being the readings of a day before noon, or from noon on"`
	LeastSpread   float64     `json:"least_spread,omitempty" doc:"The smallest usual spread that counts, in the canonical unit. Left out: what a sensor of the metric scatters by itself"`
	Margin        float64     `json:"margin,omitempty" doc:"How far inside the nearest step a reading must be to count as returned"`
	Steps         []TrendStep `json:"steps"`
}

const (
	leastOfBaseline = 3     // days without which a spread says nothing
	mostSpreads     = 20    // of a step: further away nothing is
	spreadOf        = 14826 // ten thousandths: the median distance of evenly scattered values in a standard deviation
)

// LeastSpread returns the smallest usual spread of a metric's readings that counts unless a rule says another, in its canonical unit:
// about what a home sensor scatters by itself, all of it our judgement [J]. 0: a baseline cannot judge the metric.
func LeastSpread(m vital.Metric) float64 {
	switch m {
	case vital.OxygenSat, vital.RespiratoryRate, vital.PainScore, vital.BodyWater:
		return 1
	case vital.HeartRate:
		return 3
	case vital.BodyTemperature, vital.INR:
		return 0.2
	case vital.SkinTemperature:
		return 0.3
	case vital.Glucose, vital.GlucoseFasting, vital.GlucosePostMeal:
		return 10
	case vital.StepCount:
		return 500
	case vital.SleepDuration:
		return 30
	case vital.FEV1:
		return 0.1
	case vital.PeakFlow:
		return 20
	case vital.OxygenFlow, vital.MuscleMass:
		return 0.5
	case vital.BloodPressure, vital.BodyWeight: // three numbers; a scale has several people
	}
	return 0
}

// BaselineOffer is a baseline that the screens offer as a beginning, with where its numbers come from. No patient has one that
// nobody has set: what is unusual for a person is for those to say who know them. Metrics without a number of their own have no
// step: somebody must say how far is too far.
func BaselineOffer(m vital.Metric) (TrendBaseline, []Grade, bool) {
	const (
		days, gap, leastDays, leastSessions = 21, 7, 14, 14
		fallSaturation, backSaturation      = 3.0, 1.0
		risePulse, backPulse                = 15.0, 5.0
		fallFlow, backFlow                  = 60.0, 20.0
		spreads                             = 3.0
	)
	least := LeastSpread(m)
	if least == 0 {
		return TrendBaseline{}, nil, false
	}
	b := TrendBaseline{Days: days, GapDays: gap, LeastDays: leastDays, LeastSessions: leastSessions, LeastSpread: least}
	grades := []Grade{
		{"usual", "days", days, "J", "three weeks: a cold of some days does not own the median"},
		{"usual", "gap_days", gap, "J", "a decline over two weeks is not the usual before it is seen"},
		{"usual", "least_days", leastDays, "J", "two of three days"},
		{"usual", "least_sessions", leastSessions, "J", "one a day"},
		{"usual", "least_spread", least, "J", "about what a home sensor scatters by itself"},
	}
	step := func(name string, d Direction, by, of, back float64, source string) {
		b.Steps, b.Margin = append(b.Steps, TrendStep{Level: Yellow, Direction: d, By: by, Spreads: of}), back
		grades = append(grades, Grade{name, "by", by, "J", source})
		if of != 0 {
			grades = append(grades, Grade{name, "spreads", of, "J", "three standard deviations, so that who varies much is not called for it"})
		}
		grades = append(grades, Grade{name, "margin", back, "J", "deadband"})
	}
	switch m { //nolint:exhaustive // of the others nobody has said how far is too far
	case vital.OxygenSat:
		step("fall", Fall, fallSaturation, 0, backSaturation, "3 points below the own median: clinical/scores.md, section 5, ours")
	case vital.HeartRate:
		step("rise", Rise, risePulse, spreads, backPulse, "well beyond the day to day change of a resting pulse")
	case vital.PeakFlow:
		step("fall", Fall, fallFlow, spreads, backFlow, "a fifth of 300 L/min, the yellow zone of a personal best")
	}
	return b, grades, true
}

func (b *TrendBaseline) back() int { return b.GapDays + b.Days }

// sparing returns the baseline with the metric's smallest spread where it says none: a version holds all that its verdict depends on.
func (b *TrendBaseline) sparing(m vital.Metric) *TrendBaseline {
	own := *b
	if own.LeastSpread == 0 {
		own.LeastSpread = LeastSpread(m)
	}
	return &own
}

func (b *TrendBaseline) check(d *vital.Definition) error {
	most := d.Components[0].Max - d.Components[0].Min
	switch {
	case d.Metric == vital.BodyWeight:
		return fault.New(fault.Invalid, "a scale may be somebody else's, which a baseline does not ask: of a body weight use the form %s", FormMovingAverage)
	case b.Days < leastOfBaseline || b.GapDays < 0 || b.back() > furthestBack:
		return fault.New(fault.Invalid, "days: what is usual is of %d days or more, with gap_days of at most %d (got %d and %d)",
			leastOfBaseline, furthestBack, b.Days, b.GapDays)
	case b.LeastDays < leastOfBaseline || b.LeastDays > b.Days:
		return fault.New(fault.Invalid, "least_days: must be %d to %d of the days (got %d)", leastOfBaseline, b.Days, b.LeastDays)
	case b.LeastSessions < b.LeastDays || b.LeastSessions > 2*b.Days:
		return fault.New(fault.Invalid, "least_sessions: must be %d to %d, a day has two at most (got %d)", b.LeastDays, 2*b.Days, b.LeastSessions)
	case bad(b.LeastSpread, 0.001, most):
		return fault.New(fault.Invalid, "least_spread: must be a number from 0.001 to %s: a sensor that never varies would alarm by nothing", number(most))
	case len(b.Steps) == 0 || len(b.Steps) > mostSteps:
		return fault.New(fault.Invalid, "a trend has 1 to %d steps (got %d)", mostSteps, len(b.Steps))
	}
	if b.Part != nil {
		if _, _, err := b.Part.minutes(); err != nil {
			return err
		}
	}
	for i := range b.Steps {
		if err := b.checkStep(&b.Steps[i], most); err != nil {
			return err
		}
	}
	return nil
}

func (b *TrendBaseline) checkStep(s *TrendStep, most float64) error {
	if err := s.checkWay(); err != nil {
		return err
	}
	switch {
	case s.Days != 0:
		return fault.New(fault.Invalid, "days: the days of a baseline stand beside its steps, not in them")
	case bad(s.By, 0, most) || s.By > 0 && s.By < 0.001:
		return fault.New(fault.Invalid, "by: must be a number from 0.001 to %s, or left out where spreads say how far", number(most))
	case bad(s.Spreads, 0, mostSpreads) || s.Spreads > 0 && s.Spreads < 1:
		return fault.New(fault.Invalid, "spreads: must be a number from 1 to %d, or left out where by says how far", mostSpreads)
	case s.By == 0 && s.Spreads == 0:
		return fault.New(fault.Invalid, "say how far is too far: by in the unit, or spreads, or both (then the larger of the two counts)")
	case bad(b.Margin, 0, most) || thousandths(b.Margin) >= b.bound(s, thousandths(b.LeastSpread)):
		return fault.New(fault.Invalid, "margin: must be a number from 0 and less than every step, or the condition would never end")
	}
	return nil
}

// norm is what is usual for a person on a day.
type norm struct {
	median, spread int64 // thousandths of the canonical unit
	days, sessions int   // in the window
	until          int32 // the last local day of the window
	known          bool  // there are enough of both
}

// norm looks back from a local day; sessions stand in the order of time.
func (b *TrendBaseline) norm(all []session, date int32) norm {
	u := norm{until: date - int32(b.GapDays) - 1}
	from := sort.Search(len(all), func(i int) bool { return all[i].date() > u.until-int32(b.Days) })
	var room [2 * furthestBack]int64
	values, last := room[:0], int32(0)
	for i := from; i < len(all) && all[i].date() <= u.until; i++ {
		s := &all[i]
		if u.days == 0 || s.date() != last {
			u.days, last = u.days+1, s.date()
		}
		values = append(values, halfUp(s.sum[0], int64(s.n[0])))
	}
	u.sessions = len(values)
	if u.days < b.LeastDays || u.sessions < b.LeastSessions {
		return u
	}
	u.known, u.median = true, middleOf(values)
	for i := range values {
		values[i] = apart(values[i], u.median)
	}
	u.spread = max(halfUp(middleOf(values)*spreadOf, 10_000), thousandths(b.LeastSpread))
	return u
}

// middleOf sorts the values and returns their median.
func middleOf(values []int64) int64 {
	sortSmall(values)
	middle := len(values) / 2
	if len(values)%2 == 1 {
		return values[middle]
	}
	return halfUp(values[middle-1]+values[middle], 2)
}

// sortSmall sorts in place by insertion: the sessions of a window are few, and lie on the stack.
func sortSmall(values []int64) {
	for i := 1; i < len(values); i++ {
		for j := i; j > 0 && values[j] < values[j-1]; j-- {
			values[j], values[j-1] = values[j-1], values[j]
		}
	}
}

// bound is the distance in thousandths at which a step fires: the larger of its two.
func (b *TrendBaseline) bound(s *TrendStep, spread int64) int64 {
	return max(thousandths(s.By), halfUp(thousandths(s.Spreads)*spread, thousand))
}

func (b *TrendBaseline) reaches(s *TrendStep, value int64, u *norm, margin int64) bool {
	by, bound := s.towards(value, u.median), b.bound(s, u.spread)-margin
	return by > bound || by == bound && !s.MoreThan
}

// returned reports whether the value lies inside every step by the margin.
func (b *TrendBaseline) returned(value int64, u *norm) bool {
	for i := range b.Steps {
		if b.reaches(&b.Steps[i], value, u, thousandths(b.Margin)) {
			return false
		}
	}
	return true
}

func (b *TrendBaseline) judge(s *days, metric vital.Metric, p *Point) verdict {
	date, wanted := s.wants(p)
	if !wanted {
		return verdict{}
	}
	u := b.norm(s.sessions, date)
	if !u.known {
		return verdict{}
	}
	value := thousandths(vital.Rounded(metric, p.Values[0]))
	said := verdict{judged: true, returned: b.returned(value, &u), value: value, norm: u}
	for i := range b.Steps {
		step := &b.Steps[i]
		if step.Level > said.level && b.reaches(step, value, &u, 0) {
			said.level = step.Level
			said.grounds = &Grounds{
				Form: FormBaseline, Direction: step.Direction, Day: dateText(date), Value: units(value), Against: units(u.median), AgainstDay: dateText(u.until),
				By: units(step.towards(value, u.median)), Spread: units(u.spread), Days: b.Days, DaysWith: u.days, Sessions: u.sessions,
			}
		}
	}
	return said
}

// moved reports whether a reading that has returned has done so only because what is usual has changed since the interval began: it
// would not have returned to what was usual then.
func (r *Runner) moved(v *Version, said *verdict) bool {
	return v.Trend != nil && v.Trend.Baseline != nil && r.norm.known && !v.Trend.Baseline.returned(said.value, &r.norm)
}

// Standing is what a baseline compares a reading of one day with, or how much history it waits for.
type Standing struct {
	Known         bool    `json:"known" doc:"There is enough history: readings are judged"`
	Median        float64 `json:"median,omitempty" doc:"What is usual, in the canonical unit"`
	Spread        float64 `json:"spread,omitempty" doc:"The usual spread, at least least_spread"`
	Days          int     `json:"days" doc:"Days of the window that have a session"`
	Sessions      int     `json:"sessions"`
	LeastDays     int     `json:"least_days"`
	LeastSessions int     `json:"least_sessions"`
	OfDays        int     `json:"of_days" doc:"Days that the window has"`
	Until         string  `json:"until" doc:"The last local day of the window" example:"2026-05-07"`
}

// standing returns what the baseline compares a reading of a local day with.
func (b *TrendBaseline) standing(all []session, date int32) Standing {
	u := b.norm(all, date)
	s := Standing{Known: u.known, Days: u.days, Sessions: u.sessions, LeastDays: b.LeastDays, LeastSessions: b.LeastSessions, OfDays: b.Days, Until: dateText(u.until)}
	if u.known {
		s.Median, s.Spread = units(u.median), units(u.spread)
	}
	return s
}

// Words say it in one plain sentence, without its full stop.
func (s *Standing) Words(m vital.Metric) string {
	if s.Known {
		return "usual is " + amount(m, s.Median) + " (" + medianWords(m, s.Sessions, s.Days, s.Until, s.Spread) + ")"
	}
	var missing []string
	if s.Days < s.LeastDays {
		missing = append(missing, strconv.Itoa(s.Days)+" of "+counted(s.LeastDays, "day"))
	}
	if s.Sessions < s.LeastSessions {
		missing = append(missing, strconv.Itoa(s.Sessions)+" of "+counted(s.LeastSessions, "session"))
	}
	return "not enough history yet: " + strings.Join(missing, " and ") + " in the " + counted(s.OfDays, "day") + " until " + dayWords(s.Until)
}

// medianWords are "median of 21 sessions on 14 days until Thu 7 May, usual spread 1 %".
func medianWords(m vital.Metric, sessions, days int, until string, spread float64) string {
	return "median of " + counted(sessions, "session") + " on " + counted(days, "day") + " until " + dayWords(until) + ", usual spread " + amount(m, spread)
}

func (g *Grounds) baselineWords(m vital.Metric) string {
	return amount(m, g.Value) + ": " + decimals(g.By) + g.side() + "the usual " + amount(m, g.Against) +
		" (" + medianWords(m, g.Sessions, g.DaysWith, g.AgainstDay, g.Spread) + ")"
}
