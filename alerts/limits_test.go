package alerts_test

import (
	"context"
	"math"
	"strings"
	"testing"
	"time"

	"hale/account"
	"hale/alerts"
	"hale/fault"
	"hale/vital"
)

func TestDefaultsAreLimitsThatMayBeSet(t *testing.T) {
	t.Parallel()
	seen := map[vital.Metric]bool{}
	for _, d := range alerts.Defaults() {
		if seen[d.Metric] {
			t.Errorf("%s has two defaults", d.Metric)
		}
		seen[d.Metric] = true
		if err := d.Version.Limit.Check(d.Metric); err != nil {
			t.Errorf("%s: %v", d.Metric, err)
		}
		definition, _ := vital.Define(d.Metric)
		if len(d.Version.Limit.Components) != len(definition.Components) {
			t.Errorf("%s: limits for %d of %d components", d.Metric, len(d.Version.Limit.Components), len(definition.Components))
		}
		for _, g := range d.Grades {
			if !strings.Contains("V2MJ", g.Grade) || g.Source == "" || g.Component == "" || g.Value == 0 {
				t.Errorf("%s: a number without its source: %+v", d.Metric, g)
			}
		}
	}
	for _, m := range []vital.Metric{vital.BloodPressure, vital.HeartRate, vital.OxygenSat, vital.BodyTemperature, vital.RespiratoryRate, vital.Glucose, vital.GlucoseFasting, vital.GlucosePostMeal, vital.INR, vital.PainScore} {
		if !seen[m] {
			t.Errorf("%s has no default", m)
		}
	}
}

// shelf keeps the version that was added last.
type shelf struct{ added *alerts.Version }

func (s *shelf) Patient(_ context.Context, _ account.Actor, uid vital.UID) (account.Patient, error) {
	return account.Patient{UID: uid, Org: org, Relation: account.Relation{Team: true}}, nil
}

func (s *shelf) Rules(context.Context, account.Actor, vital.UID) ([]alerts.Rule, error) {
	return []alerts.Rule{{ID: 1}}, nil
}

func (s *shelf) AddVersion(_ context.Context, _ account.Actor, _ vital.UID, _ alerts.RuleKey, _ int, v alerts.Version) (alerts.Rule, error) {
	s.added = &v
	return alerts.Rule{Versions: []alerts.Version{v}}, nil
}

func good() alerts.Version {
	return alerts.Version{Enabled: true, Reason: "lives with AF", Limit: alerts.Limit{
		Components: []alerts.Bounds{{RedLow: ptr(41), YellowLow: ptr(50), YellowHigh: ptr(111), RedHigh: ptr(131), Margin: 5}}, K: 1, N: 1, ClearAfter: 2,
	}}
}

func TestSettingLimitsSaysWhatToMend(t *testing.T) {
	t.Parallel()
	first := func(v *alerts.Version) *alerts.Bounds { return &v.Limit.Components[0] }
	cases := map[string]struct {
		spoil func(v *alerts.Version)
		want  string // "" is accepted
	}{
		"good limits are taken":               {func(*alerts.Version) {}, ""},
		"red may equal yellow":                {func(v *alerts.Version) { first(v).RedLow = ptr(50) }, ""},
		"no reason":                           {func(v *alerts.Version) { v.Reason = "  " }, "reason"},
		"red inside yellow":                   {func(v *alerts.Version) { first(v).RedHigh = ptr(105) }, "red_high (105) must not be below yellow_high (111)"},
		"low and high meet":                   {func(v *alerts.Version) { first(v).YellowLow = ptr(111) }, "leave no value"},
		"low above high":                      {func(v *alerts.Version) { first(v).YellowLow = ptr(120) }, "must not be below"},
		"not a number":                        {func(v *alerts.Version) { first(v).YellowHigh = ptr(math.NaN()) }, "yellow_high must be a number"},
		"beyond what is plausible":            {func(v *alerts.Version) { first(v).RedHigh = ptr(400) }, "red_high must be a number from 15 to 250"},
		"two of one":                          {func(v *alerts.Version) { v.Limit.K = 2 }, "k of n"},
		"of none":                             {func(v *alerts.Version) { v.Limit.K, v.Limit.N = 0, 0 }, "k of n"},
		"of too many":                         {func(v *alerts.Version) { v.Limit.N = 17 }, "k of n"},
		"a duration of many readings":         {func(v *alerts.Version) { v.Limit.N, v.Limit.ForMinutes, v.Limit.GapMinutes = 2, 20, 10 }, "not both"},
		"a duration without a gap":            {func(v *alerts.Version) { v.Limit.ForMinutes = 20 }, "gap_minutes"},
		"a gap as long as nobody waits":       {func(v *alerts.Version) { v.Limit.ForMinutes, v.Limit.GapMinutes = 20, 21 }, "gap_minutes"},
		"a gap without a duration":            {func(v *alerts.Version) { v.Limit.GapMinutes = 20 }, "goes with for_minutes"},
		"a duration of two days":              {func(v *alerts.Version) { v.Limit.ForMinutes, v.Limit.GapMinutes = 2880, 10 }, "for_minutes"},
		"never to clear":                      {func(v *alerts.Version) { v.Limit.ClearAfter = 0 }, "clear after"},
		"a margin that leaves nothing":        {func(v *alerts.Version) { first(v).Margin = 31 }, "never end"},
		"a negative margin":                   {func(v *alerts.Version) { first(v).Margin = -1 }, "margin"},
		"no bound at all":                     {func(v *alerts.Version) { v.Limit.Components = nil }, "at least one bound"},
		"no bound, switched off":              {func(v *alerts.Version) { v.Limit.Components, v.Enabled = nil, false }, ""},
		"more components than the metric has": {func(v *alerts.Version) { v.Limit.Components = append(v.Limit.Components, alerts.Bounds{}) }, "1 components"},
		"beginning in two years":              {func(v *alerts.Version) { v.EffectiveFrom = epoch().AddDate(2, 0, 0) }, "a year ahead, not in 2028"},
		"beginning with the first readings":   {func(v *alerts.Version) { v.EffectiveFrom = time.Date(2015, 1, 1, 0, 0, 0, 0, time.UTC) }, ""},
		"beginning before any reading":        {func(v *alerts.Version) { v.EffectiveFrom = time.Date(1999, 11, 2, 0, 0, 0, 0, time.UTC) }, "2015 at the earliest, no reading is older; not in 1999"},
		"reviewed before they begin":          {func(v *alerts.Version) { v.ReviewBy = epoch().AddDate(0, 0, -1) }, "review date"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			book := &shelf{}
			l := alerts.Limits{Book: book, Now: epoch}
			v := good()
			c.spoil(&v)
			_, err := l.Set(context.Background(), ana(), "p", vital.HeartRate, 1, v)
			if c.want == "" {
				if err != nil || book.added == nil {
					t.Fatalf("refused: %v", err)
				}
				from := v.EffectiveFrom
				if from.IsZero() {
					from = epoch()
				}
				if book.added.AuthorName != "Ana Kovač" || book.added.Author != 3 || !book.added.EffectiveFrom.Equal(from) || !book.added.CreatedAt.Equal(epoch()) {
					t.Errorf("stored %+v", book.added)
				}
				return
			}
			if !fault.Is(err, fault.Invalid) || !strings.Contains(err.Error(), c.want) || book.added != nil {
				t.Errorf("got %v, want something about %q", err, c.want)
			}
		})
	}
}

func TestALowDiastolicPressureIsYellowOnly(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		diastolic alerts.Bounds
		refused   bool
	}{
		"a red one":     {alerts.Bounds{RedLow: ptr(50), YellowLow: ptr(56)}, true},
		"an extreme":    {alerts.Bounds{ExtremeLow: ptr(45)}, true},
		"a yellow one":  {alerts.Bounds{YellowLow: ptr(56)}, false},
		"red, but high": {alerts.Bounds{RedHigh: ptr(120), ExtremeHigh: ptr(130)}, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			l := alerts.Limit{Components: []alerts.Bounds{{RedLow: ptr(91)}, c.diastolic}, K: 1, N: 1, ClearAfter: 1}
			err := l.Check(vital.BloodPressure)
			if c.refused != fault.Is(err, fault.Invalid) || c.refused && !strings.Contains(err.Error(), "a low diastolic pressure alone is yellow only") || !c.refused && err != nil {
				t.Errorf("got %v", err)
			}
			// Limits that were set before are judged so all the same.
			v := alerts.Version{Enabled: true, Limit: l}
			if got := alerts.Judge(&v, vital.BloodPressure, []float64{120, 40}); got > alerts.Yellow {
				t.Errorf("a diastolic pressure of 40 is %s", got)
			}
		})
	}
}

func TestOnlyThoseWhoMayTouchLimits(t *testing.T) {
	t.Parallel()
	book := &shelf{}
	l := alerts.Limits{Book: book, Now: epoch}
	desk := account.Actor{Org: org, Staff: 9, Role: account.DeviceDesk}
	if _, err := l.Set(context.Background(), desk, "p", vital.HeartRate, 1, good()); !fault.Is(err, fault.Forbidden) || book.added != nil {
		t.Errorf("the device desk set limits: %v", err)
	}
	if _, err := l.Get(context.Background(), desk, "p"); !fault.Is(err, fault.Forbidden) {
		t.Errorf("the device desk saw limits: %v", err)
	}
	if rules, err := l.Get(context.Background(), ana(), "p"); err != nil || len(rules) != 1 {
		t.Errorf("a nurse saw %d rules, %v", len(rules), err)
	}
}

func TestJudge(t *testing.T) {
	t.Parallel()
	var defaults = map[vital.Metric]alerts.Version{}
	for _, d := range alerts.Defaults() {
		defaults[d.Metric] = d.Version
	}
	kPa := func(v float64) float64 { mm, _ := vital.Convert(v, vital.KiloPascal, vital.MmHg); return mm }
	percent := func(v float64) float64 { p, _ := vital.Convert(v, vital.Fraction, vital.Percent); return p }
	cases := map[string]struct {
		metric vital.Metric
		values []float64
		want   alerts.Level
	}{
		"a good blood pressure":                        {vital.BloodPressure, []float64{130, 80}, alerts.None},
		"160 systolic is yellow":                       {vital.BloodPressure, []float64{160, 80}, alerts.Yellow},
		"159.9 is not":                                 {vital.BloodPressure, []float64{159.9, 80}, alerts.None},
		"the worse component counts":                   {vital.BloodPressure, []float64{165, 121}, alerts.Red},
		"a systolic of 79 is extreme":                  {vital.BloodPressure, []float64{79, 60}, alerts.Extreme},
		"a diastolic of 31 is yellow":                  {vital.BloodPressure, []float64{120, 31}, alerts.Yellow},
		"the pulse of the cuff is not looked at":       {vital.BloodPressure, []float64{130, 80, 160}, alerts.None},
		"no diastolic is not judged":                   {vital.BloodPressure, []float64{181}, alerts.Red},
		"not a number is not judged":                   {vital.BloodPressure, []float64{math.NaN(), 101}, alerts.Yellow},
		"24 kPa is 180.01 and red":                     {vital.BloodPressure, []float64{kPa(24), kPa(10)}, alerts.Red},
		"a fraction of 0.94 is 94":                     {vital.OxygenSat, []float64{percent(0.94)}, alerts.None},
		"57 % is 57 in spite of binary fractions":      {vital.OxygenSat, []float64{percent(0.57)}, alerts.Extreme},
		"91.99 % is 91":                                {vital.OxygenSat, []float64{91.99}, alerts.Red},
		"37.85 is 37.9":                                {vital.BodyTemperature, []float64{37.85}, alerts.Yellow},
		"37.849 is 37.8":                               {vital.BodyTemperature, []float64{37.849}, alerts.None},
		"35.05 is 35.1 and yellow, 35.04 would be red": {vital.BodyTemperature, []float64{35.05}, alerts.Yellow},
		"35.04 is 35.0 and red":                        {vital.BodyTemperature, []float64{35.04}, alerts.Red},
		"a heart rate of 150 is extreme":               {vital.HeartRate, []float64{150}, alerts.Extreme},
		"a heart rate of 149 is red":                   {vital.HeartRate, []float64{149}, alerts.Red},
		"an INR of 3.5 is inside":                      {vital.INR, []float64{3.5}, alerts.None},
		"an INR of 3.51 is yellow":                     {vital.INR, []float64{3.51}, alerts.Yellow},
		"pain of 10 is yellow":                         {vital.PainScore, []float64{10}, alerts.Yellow},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			v := defaults[c.metric]
			if got := alerts.Judge(&v, c.metric, c.values); got != c.want {
				t.Errorf("%v is %s, want %s", c.values, got, c.want)
			}
			v.Enabled = false
			if got := alerts.Judge(&v, c.metric, c.values); got != alerts.None {
				t.Errorf("a rule that is switched off says %s", got)
			}
		})
	}
}

func TestTheVersionInForceIsTheHighestThatHasBegun(t *testing.T) {
	t.Parallel()
	day := func(n int) time.Time { return epoch().AddDate(0, 0, n) }
	r := alerts.Rule{Versions: []alerts.Version{{Number: 1, EffectiveFrom: day(0)}, {Number: 2, EffectiveFrom: day(10)}, {Number: 3, EffectiveFrom: day(5)}}}
	for n, want := range map[int]int{-1: 0, 0: 1, 4: 1, 5: 3, 9: 3, 10: 3, 20: 3} {
		got := 0
		if v, ok := r.InForce(day(n)); ok {
			got = v.Number
		}
		if got != want {
			t.Errorf("day %d: version %d, want %d", n, got, want)
		}
	}
}
