package alerts

import (
	"math"
	"time"

	"hale/account"
	"hale/fault"
	"hale/vital"
)

// Form is what a trend rule compares. A patient may have one trend rule of each form per metric.
type Form string

// The forms of trend rules.
const (
	FormChange        Form = "change"         // the day's value with the values of the days before
	FormReference     Form = "reference"      // the day's value with a personal reference, such as the dry weight
	FormMovingAverage Form = "moving_average" // the mean of the last days with the median of the days before them
	FormAverage       Form = "average"        // the mean of some days with bounds, such as the 7-day home blood pressure
	FormBaseline      Form = "baseline"       // each reading with what is usual for the person: a median of the weeks before
)

// Forms returns every form of trend rules.
func Forms() []Form {
	return []Form{FormChange, FormReference, FormMovingAverage, FormAverage, FormBaseline}
}

// Direction says which way a change or a distance counts.
type Direction string

// The directions.
const (
	Rise Direction = "rise"
	Fall Direction = "fall"
)

// Trend is what a trend rule compares with: exactly one of its forms. All that its verdict depends on, beside the
// readings, stands in it, the patient's zone too: days are local days of that zone.
type Trend struct {
	Zone          string              `json:"zone"` // IANA; the patient's when the version was made
	ClearAfter    int                 `json:"clear_after"`
	Change        *TrendChange        `json:"change,omitempty"`
	Reference     *TrendReference     `json:"reference,omitempty"`
	MovingAverage *TrendMovingAverage `json:"moving_average,omitempty"`
	Average       *TrendAverage       `json:"average,omitempty"`
	Baseline      *TrendBaseline      `json:"baseline,omitempty"`
}

// DayPart is a part of the local day: from From (inclusive) to Until (exclusive), "04:00" to "12:00". 24:00 is the end of
// the day. A day's value is the first reading in it that is not unlike those of the week before (Unlike of a form); a repeat
// by the same sensor within 10 minutes takes its place.
type DayPart struct {
	From  string `json:"from" example:"04:00"`
	Until string `json:"until" example:"12:00"`
}

// TrendStep is one distance that matters: at By in the direction, or beyond it only (MoreThan), in the metric's canonical unit.
// Distances are compared in whole thousandths of the unit (grams), never as binary fractions.
type TrendStep struct {
	Level     Level     `json:"level" enum:"yellow,red"`
	Direction Direction `json:"direction" enum:"rise,fall"`
	By        float64   `json:"by,omitempty" doc:"Fires at this distance, in the canonical unit"`
	MoreThan  bool      `json:"more_than,omitempty" doc:"Fires only beyond it"`
	Days      int       `json:"days,omitempty" doc:"Of a change: on how many local days before today it looks back"`
	Spreads   float64   `json:"spreads,omitempty" doc:"Of a baseline: fires at so many usual spreads; with by, the larger of the two counts"`
}

// TrendChange compares the day's value with the lowest (a rise) or the highest (a fall) of the local days before. The worst
// step that fires counts.
type TrendChange struct {
	Part       DayPart     `json:"part"`
	SameSensor bool        `json:"same_sensor,omitempty" doc:"A new scale begins a new baseline"`
	Unlike     float64     `json:"unlike,omitempty" doc:"Further than this from the median of the 7 days before may be somebody else: at most yellow, with the question, and compared with nothing later. Left out: 5 kg of a body weight, else nothing is asked"`
	Steps      []TrendStep `json:"steps"`
}

// TrendReference compares the day's value with a personal reference.
type TrendReference struct {
	Part   DayPart     `json:"part"`
	Name   string      `json:"name" doc:"What the reference is" example:"dry weight"`
	Value  float64     `json:"value"`
	Unlike float64     `json:"unlike,omitempty" doc:"Further than this from the median of the 7 days before may be somebody else: at most yellow, with the question, and compared with nothing later. Left out: 5 kg of a body weight, else nothing is asked"`
	Margin float64     `json:"margin,omitempty" doc:"How far inside the nearest step a value must be to count as returned"`
	Steps  []TrendStep `json:"steps"`
}

// TrendMovingAverage compares the mean of the last ShortDays local days (today is one) with the median of the LongDays before
// those. It says nothing before LeastShort and LeastLong of them have a value.
type TrendMovingAverage struct {
	Part       DayPart     `json:"part"`
	SameSensor bool        `json:"same_sensor,omitempty"`
	ShortDays  int         `json:"short_days"`
	LeastShort int         `json:"least_short"`
	LongDays   int         `json:"long_days"`
	LeastLong  int         `json:"least_long"`
	Unlike     float64     `json:"unlike,omitempty" doc:"Further than this from the median of the 7 days before may be somebody else: at most yellow, with the question, and compared with nothing later. Left out: 5 kg of a body weight, else nothing is asked"`
	Margin     float64     `json:"margin,omitempty"`
	Steps      []TrendStep `json:"steps"`
}

// TrendAverage compares the mean of the sessions of the last Days local days (today is one), without the first SkipDays of
// those that have readings, with bounds. A session is the mean of all readings of a day before noon, or from noon on, and each
// weighs the same [J]. The mean of blood pressure is rounded half up to a whole number; that of any other metric is compared in
// thousandths of its unit, rounded as its values are (vital.Rounded). It says nothing before LeastReadings readings on
// LeastDays days are left.
type TrendAverage struct {
	Days          int      `json:"days"`
	SkipDays      int      `json:"skip_days,omitempty"`
	LeastReadings int      `json:"least_readings"`
	LeastDays     int      `json:"least_days"`
	Components    []Bounds `json:"components" doc:"In the order of the metric's components; no extreme bounds"`
}

// Form returns which form the trend has; empty when it has none, as that of a rule that is switched off may.
func (t *Trend) Form() Form {
	switch {
	case t.Change != nil:
		return FormChange
	case t.Reference != nil:
		return FormReference
	case t.MovingAverage != nil:
		return FormMovingAverage
	case t.Average != nil:
		return FormAverage
	case t.Baseline != nil:
		return FormBaseline
	}
	return ""
}

// asking returns the trend with the distance from which a body weight may be somebody else's, and the smallest spread that counts,
// where it says none: a version holds all that its verdict depends on.
func (t *Trend) asking(m vital.Metric) *Trend {
	own := *t
	if own.Baseline != nil {
		own.Baseline = own.Baseline.sparing(m)
	}
	if m != vital.BodyWeight {
		return &own
	}
	if c := t.Change; c != nil && c.Unlike == 0 {
		with := *c
		own.Change, with.Unlike = &with, likelyKilogram
	}
	if r := t.Reference; r != nil && r.Unlike == 0 {
		with := *r
		own.Reference, with.Unlike = &with, likelyKilogram
	}
	if m := t.MovingAverage; m != nil && m.Unlike == 0 {
		with := *m
		own.MovingAverage, with.Unlike = &with, likelyKilogram
	}
	return &own
}

func (c *TrendChange) back() int {
	days := 0
	for i := range c.Steps {
		days = max(days, c.Steps[i].Days)
	}
	return days
}

func (m *TrendMovingAverage) back() int { return m.ShortDays + m.LongDays - 1 }

// back returns how many local days before today the trend looks at.
func (t *Trend) back() int {
	days, unlike := 0, 0.0
	switch {
	case t.Change != nil:
		days, unlike = t.Change.back(), t.Change.Unlike
	case t.Reference != nil:
		unlike = t.Reference.Unlike
	case t.MovingAverage != nil:
		days, unlike = t.MovingAverage.back(), t.MovingAverage.Unlike
	case t.Average != nil:
		days = t.Average.Days - 1
	case t.Baseline != nil:
		days = t.Baseline.back()
	}
	if unlike > 0 {
		days = max(days, likelyDays+likelyLonger) // what was usual on the last day of the week
	}
	return days
}

// reach returns how far back from a reading its verdict may depend on others, whatever happened there; 0 for a limit without a
// duration. A zone may repeat an hour, or a whole day when it changes sides of the date line.
func (r *Rule) reach() time.Duration {
	if r.Kind != KindTrend {
		longest, gap := 0, 0 // a run that had lasted longer before the latest gap would have begun an interval
		for i := range r.Versions {
			longest, gap = max(longest, r.Versions[i].Limit.ForMinutes), max(gap, r.Versions[i].Limit.GapMinutes)
		}
		return minutes(longest + gap)
	}
	days := 0
	for i := range r.Versions {
		if t := r.Versions[i].Trend; t != nil {
			days = max(days, t.back())
		}
	}
	return time.Duration(days+2) * 24 * time.Hour
}

// returns reports whether the end of the rule's condition says that the patient is well again. A weight that stays high
// is soon no rise any more, since the days before were high as well: such an alert waits for a person. So does one that
// asks who was measured, of whatever form, and one whose readings are usual only because what is usual has changed (Step.Doubt).
func (r *Rule) returns() bool {
	switch r.Form {
	case FormChange, FormMovingAverage:
		return false
	case FormReference, FormAverage, FormBaseline, "":
	}
	return true
}

// doubts reports whether the end of the rule's condition may leave something for a person to look at (Step.Doubt).
func (r *Rule) doubts() bool { return r.Form == FormReference || r.Form == FormBaseline }

// sums reports whether the rule remembers sums of half-days, however many readings there were.
func (r *Rule) sums() bool { return r.Form == FormAverage || r.Form == FormBaseline }

// furthestBack is how many local days before today a trend may look at: it bounds what has to be read again.
const furthestBack = 31

const mostSteps = 8

// longestName is how many characters the name of a reference may have: it stands in the sentence of an alert.
const longestName = 100

// Check returns fault.Invalid with what to mend when the trend cannot judge readings of the metric. Its zone is not
// looked at: it is the patient's.
func (t *Trend) Check(metric vital.Metric) error {
	d, ok := vital.Define(metric)
	if !ok {
		return fault.New(fault.Invalid, "there is no such metric")
	}
	forms := 0
	for _, has := range []bool{t.Change != nil, t.Reference != nil, t.MovingAverage != nil, t.Average != nil, t.Baseline != nil} {
		if has {
			forms++
		}
	}
	switch {
	case forms != 1:
		return fault.New(fault.Invalid, "a trend has exactly one form: %s, %s, %s, %s or %s",
			FormChange, FormReference, FormMovingAverage, FormAverage, FormBaseline)
	case t.Average == nil && len(d.Components) > 1:
		return fault.New(fault.Invalid, "%s has %d components: only the form %s can judge it", d.Code, len(d.Components), FormAverage)
	case t.ClearAfter < 1 || t.ClearAfter > MaxWindow:
		return fault.New(fault.Invalid, "clear after: must be 1 to %d readings (got %d)", MaxWindow, t.ClearAfter)
	}
	switch {
	case t.Change != nil:
		return t.Change.check(&d)
	case t.Reference != nil:
		return t.Reference.check(&d)
	case t.MovingAverage != nil:
		return t.MovingAverage.check(&d)
	case t.Baseline != nil:
		return t.Baseline.check(&d)
	}
	return t.Average.check(&d)
}

func (c *TrendChange) check(d *vital.Definition) error {
	if _, _, err := c.Part.minutes(); err != nil {
		return err
	}
	if err := checkUnlike(c.Unlike, d); err != nil {
		return err
	}
	for _, s := range c.Steps {
		if s.Days < 1 || s.Days > furthestBack {
			return fault.New(fault.Invalid, "days: a step looks back on 1 to %d days (got %d)", furthestBack, s.Days)
		}
	}
	return checkSteps(c.Steps, d)
}

func (r *TrendReference) check(d *vital.Definition) error {
	if _, _, err := r.Part.minutes(); err != nil {
		return err
	}
	c := d.Components[0]
	switch {
	case bad(r.Value, c.Min, c.Max):
		return fault.New(fault.Invalid, "the reference must be a number from %s to %s", number(c.Min), number(c.Max))
	case r.Name == "" || !account.Printable(r.Name, longestName):
		return fault.New(fault.Invalid, "say in up to %d printable characters what the reference is, for example dry weight", longestName)
	}
	if err := checkUnlike(r.Unlike, d); err != nil {
		return err
	}
	if err := checkTrendMargin(r.Margin, r.Steps); err != nil {
		return err
	}
	return checkSteps(r.Steps, d)
}

func (m *TrendMovingAverage) check(d *vital.Definition) error {
	if _, _, err := m.Part.minutes(); err != nil {
		return err
	}
	switch {
	case m.ShortDays < 1 || m.LongDays < 2 || m.ShortDays+m.LongDays-1 > furthestBack:
		return fault.New(fault.Invalid, "the mean is of at least 1 day, the median of at least 2, both together of at most %d", furthestBack+1)
	case m.LeastShort < 1 || m.LeastShort > m.ShortDays:
		return fault.New(fault.Invalid, "least_short: must be 1 to %d of the days of the mean (got %d)", m.ShortDays, m.LeastShort)
	case m.LeastLong < 2 || m.LeastLong > m.LongDays:
		return fault.New(fault.Invalid, "least_long: must be 2 to %d of the days of the median (got %d)", m.LongDays, m.LeastLong)
	}
	if err := checkUnlike(m.Unlike, d); err != nil {
		return err
	}
	if err := checkTrendMargin(m.Margin, m.Steps); err != nil {
		return err
	}
	return checkSteps(m.Steps, d)
}

func (a *TrendAverage) check(d *vital.Definition) error {
	switch {
	case a.Days < 2 || a.Days-1 > furthestBack:
		return fault.New(fault.Invalid, "days: the mean is of 2 to %d days (got %d)", furthestBack+1, a.Days)
	case a.SkipDays < 0 || a.SkipDays >= a.Days:
		return fault.New(fault.Invalid, "skip_days: must leave a day of %d (got %d)", a.Days, a.SkipDays)
	case a.LeastDays < 1 || a.LeastDays > a.Days-a.SkipDays:
		return fault.New(fault.Invalid, "least_days: must be 1 to %d (got %d)", a.Days-a.SkipDays, a.LeastDays)
	case a.LeastReadings < a.LeastDays:
		return fault.New(fault.Invalid, "least_readings: cannot be fewer than least_days")
	}
	bounded := false
	for i := range a.Components {
		bounded = bounded || a.Components[i].any()
		if a.Components[i].ExtremeLow != nil || a.Components[i].ExtremeHigh != nil {
			return fault.New(fault.Invalid, "a mean of days has no extreme bounds")
		}
	}
	if !bounded {
		return fault.New(fault.Invalid, "set at least one bound, or switch the rule off")
	}
	return (&Limit{Components: a.Components, K: 1, N: 1, ClearAfter: 1}).Check(d.Metric)
}

func checkSteps(steps []TrendStep, d *vital.Definition) error {
	if len(steps) == 0 || len(steps) > mostSteps {
		return fault.New(fault.Invalid, "a trend has 1 to %d steps (got %d)", mostSteps, len(steps))
	}
	most := d.Components[0].Max - d.Components[0].Min
	for _, s := range steps {
		if err := s.checkWay(); err != nil {
			return err
		}
		switch {
		case bad(s.By, 0.001, most):
			return fault.New(fault.Invalid, "by: must be a number from 0.001 to %s", number(most))
		case s.Spreads != 0:
			return fault.New(fault.Invalid, "spreads: only a %s knows a usual spread", FormBaseline)
		}
	}
	return nil
}

func (s *TrendStep) checkWay() error {
	switch {
	case s.Level != Yellow && s.Level != Red:
		return fault.New(fault.Invalid, "the level of a step is yellow or red (got %s)", s.Level)
	case s.Direction != Rise && s.Direction != Fall:
		return fault.New(fault.Invalid, "the direction of a step is %s or %s (got %q)", Rise, Fall, s.Direction)
	}
	return nil
}

func checkUnlike(unlike float64, d *vital.Definition) error {
	if bad(unlike, 0, d.Components[0].Max) {
		return fault.New(fault.Invalid, "unlike: must be a number from 0 to %s", number(d.Components[0].Max))
	}
	return nil
}

func checkTrendMargin(margin float64, steps []TrendStep) error {
	for _, s := range steps {
		if bad(margin, 0, s.By) || margin == s.By {
			return fault.New(fault.Invalid, "margin: must be a number from 0 and less than every step, or the condition would never end")
		}
	}
	return nil
}

func bad(v, low, high float64) bool { return math.IsNaN(v) || v < low || v > high }

// minutes returns the part as minutes of the local day.
func (p DayPart) minutes() (from, until int, err error) {
	from, fromOK := minuteOf(p.From)
	until, untilOK := minuteOf(p.Until)
	if !fromOK || !untilOK || from >= until {
		return 0, 0, fault.New(fault.Invalid, "the part of the day must be from an earlier to a later time of the form 04:00, the latest 24:00 (got %q to %q)", p.From, p.Until)
	}
	return from, until, nil
}

func minuteOf(text string) (int, bool) {
	const endOfDay = 24 * 60
	if text == "24:00" {
		return endOfDay, true
	}
	at, err := time.Parse("15:04", text)
	if err != nil || len(text) != len("15:04") {
		return 0, false
	}
	return at.Hour()*60 + at.Minute(), true
}
