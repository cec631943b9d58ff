package alerts_test

import (
	"testing"
	"time"

	"hale/alerts"
	"hale/vital"
)

func TestWhatIsParkedIsScreenedForEmergencies(t *testing.T) {
	t.Parallel()
	at := time.Date(2026, 3, 1, 9, 0, 0, 0, time.UTC)
	q := func(mantissa int64, exponent int8, unit vital.Unit) vital.Quantity {
		return vital.Quantity{Mantissa: mantissa, Exponent: exponent, Unit: unit}
	}
	of := func(m vital.Metric, sent ...vital.Quantity) alerts.Suspect {
		return alerts.Suspect{Metric: m, Sent: sent, At: at}
	}
	for name, c := range map[string]struct {
		suspect alerts.Suspect
		level   alerts.Level
		ground  alerts.Ground
	}{
		"an oximeter's 72 % is an emergency of whomever it is":           {of(vital.OxygenSat, q(72, 0, vital.Percent)), alerts.Extreme, alerts.GroundExtreme},
		"84.9 % is rounded down and below 85":                            {of(vital.OxygenSat, q(849, -1, vital.Percent)), alerts.Extreme, alerts.GroundExtreme},
		"85 % is not beyond the extreme":                                 {suspect: of(vital.OxygenSat, q(85, 0, vital.Percent))},
		"a fraction is a saturation too":                                 {of(vital.OxygenSat, q(72, -2, vital.Fraction)), alerts.Extreme, alerts.GroundExtreme},
		"20 % is no saturation of anybody alive":                         {suspect: of(vital.OxygenSat, q(20, 0, vital.Percent))},
		"a heart rate of 0 was not measured":                             {suspect: of(vital.HeartRate, q(0, 0, vital.PerMinute))},
		"a heart rate of 65535 was not measured":                         {suspect: of(vital.HeartRate, q(65535, 0, vital.PerMinute))},
		"a heart rate of 12 is refused, and screened":                    {of(vital.HeartRate, q(12, 0, vital.PerMinute)), alerts.Extreme, alerts.GroundExtreme},
		"a heart rate of 22 is complete heart block":                     {of(vital.HeartRate, q(22, 0, vital.PerMinute)), alerts.Extreme, alerts.GroundExtreme},
		"29.5 degrees are refused, and hypothermia":                      {of(vital.BodyTemperature, q(295, -1, vital.Celsius)), alerts.Extreme, alerts.GroundExtreme},
		"22 degrees are those of a room":                                 {suspect: of(vital.BodyTemperature, q(22, 0, vital.Celsius))},
		"a pressure of 210/205 is implausible, and its systolic extreme": {of(vital.BloodPressure, q(210, 0, vital.MmHg), q(205, 0, vital.MmHg)), alerts.Extreme, alerts.GroundExtreme},
		"a pressure in kilopascal":                                       {of(vital.BloodPressure, q(28, 0, vital.KiloPascal), q(14, 0, vital.KiloPascal)), alerts.Extreme, alerts.GroundExtreme},
		"a low diastolic alone is none":                                  {suspect: of(vital.BloodPressure, q(120, 0, vital.MmHg), q(25, 0, vital.MmHg))},
		"a weight has no extremes":                                       {suspect: of(vital.BodyWeight, q(20, 0, vital.Kilogram))},
		"a meter that shows LO":                                          {alerts.Suspect{Metric: vital.Glucose, Beyond: vital.Below, At: at}, alerts.Extreme, alerts.GroundBeyond},
		"a meter that shows HI":                                          {alerts.Suspect{Metric: vital.GlucoseFasting, Beyond: vital.Above, At: at}, alerts.Extreme, alerts.GroundBeyond},
		"an oximeter below what it can measure":                          {alerts.Suspect{Metric: vital.OxygenSat, Beyond: vital.Below, At: at}, alerts.Extreme, alerts.GroundBeyond},
		"a thermometer that shows LO was not in place":                   {suspect: alerts.Suspect{Metric: vital.BodyTemperature, Beyond: vital.Below, At: at}},
		"glucose of 16.9 without a unit can be either":                   {suspect: of(vital.Glucose, q(169, -1, vital.NoUnit))},
		"glucose of 17 without a unit is red under either":               {of(vital.Glucose, q(17, 0, vital.NoUnit)), alerts.Red, alerts.GroundUnit},
		"glucose of 35 without a unit is red under either":               {of(vital.Glucose, q(35, 0, vital.NoUnit)), alerts.Red, alerts.GroundUnit},
		"glucose of 36 without a unit can be either":                     {suspect: of(vital.Glucose, q(36, 0, vital.NoUnit))},
		"glucose of 45 without a unit can only be mg/dL":                 {of(vital.Glucose, q(450, -1, vital.NoUnit)), alerts.Extreme, alerts.GroundExtreme},
		"glucose of 2.5 without a unit can only be mmol/L":               {of(vital.Glucose, q(25, -1, vital.NoUnit)), alerts.Extreme, alerts.GroundExtreme},
		"glucose of 5.6 without a unit is a good one":                    {suspect: of(vital.Glucose, q(56, -1, vital.NoUnit))},
		"a saturation of 72 without a unit can only be percent":          {of(vital.OxygenSat, q(72, 0, vital.NoUnit)), alerts.Extreme, alerts.GroundExtreme},
		"below 70 % is red, whatever it was":                             {alerts.Suspect{Metric: vital.OxygenSat, Beyond: vital.Under, Sent: []vital.Quantity{q(70, 0, vital.Percent)}, At: at}, alerts.Extreme, alerts.GroundExtreme},
		"below 98 % says nothing":                                        {suspect: alerts.Suspect{Metric: vital.OxygenSat, Beyond: vital.Under, Sent: []vital.Quantity{q(98, 0, vital.Percent)}, At: at}},
		"a heart rate above 200 is red":                                  {alerts.Suspect{Metric: vital.HeartRate, Beyond: vital.Over, Sent: []vital.Quantity{q(200, 0, vital.PerMinute)}, At: at}, alerts.Extreme, alerts.GroundExtreme},
		"a heart rate above 30 says nothing":                             {suspect: alerts.Suspect{Metric: vital.HeartRate, Beyond: vital.Over, Sent: []vital.Quantity{q(30, 0, vital.PerMinute)}, At: at}},
		"a heart rate below 200 says nothing":                            {suspect: alerts.Suspect{Metric: vital.HeartRate, Beyond: vital.Under, Sent: []vital.Quantity{q(200, 0, vital.PerMinute)}, At: at}},
		"a bound without a number says nothing":                          {suspect: alerts.Suspect{Metric: vital.HeartRate, Beyond: vital.Under, At: at}},
		"nothing was read":                                               {suspect: of(vital.OxygenSat)},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			hit, ok := alerts.Screen(c.suspect, nil)
			if ok != (c.level != alerts.None) || hit.Level != c.level || hit.Ground != c.ground {
				t.Errorf("%+v, %v; want %s by %q", hit, ok, c.level, c.ground)
			}
		})
	}
}

func TestARedLimitOfWhoeverItMayBeIsAsked(t *testing.T) {
	t.Parallel()
	at := time.Date(2026, 3, 1, 9, 0, 0, 0, time.UTC)
	ninety := 90.0
	rule := alerts.Rule{Kind: alerts.KindLimit, Metric: vital.OxygenSat, Versions: []alerts.Version{{
		Number: 1, Enabled: true, EffectiveFrom: at.Add(-time.Hour), Limit: alerts.Limit{K: 1, N: 1, ClearAfter: 2, Components: []alerts.Bounds{{RedLow: &ninety}}},
	}}}
	s := alerts.Suspect{Metric: vital.OxygenSat, Sent: []vital.Quantity{{Mantissa: 88, Unit: vital.Percent}}, At: at}
	if _, ok := alerts.Screen(s, nil); ok {
		t.Error("88 % is beyond what is acted on for anybody")
	}
	hit, ok := alerts.Screen(s, []alerts.Rule{rule})
	if !ok || hit.Level != alerts.Red || hit.Ground != alerts.GroundLimit {
		t.Errorf("88 %% of somebody whose red begins below 90: %+v, %v", hit, ok)
	}
	s.At = at.Add(-2 * time.Hour)
	if _, ok := alerts.Screen(s, []alerts.Rule{rule}); ok {
		t.Error("a limit judged what was measured before it was in force")
	}
	rule.Metric = vital.HeartRate
	s.At = at
	if _, ok := alerts.Screen(s, []alerts.Rule{rule}); ok {
		t.Error("a limit of the heart rate judged a saturation")
	}
}

// TestTheExtremesLieAtOrBeyondTheDefaults: what is acted on for anybody is not asked of fewer than of a new patient.
func TestTheExtremesLieAtOrBeyondTheDefaults(t *testing.T) {
	t.Parallel()
	byMetric := map[vital.Metric]alerts.Version{}
	for _, d := range alerts.Extremes() {
		byMetric[d.Metric] = d.Version
		if err := d.Version.Limit.Check(d.Metric); err != nil && d.Metric != vital.BodyTemperature {
			t.Errorf("%s: %v", d.Metric, err)
		}
		for _, g := range d.Grades {
			if g.Grade == "" || g.Source == "" {
				t.Errorf("%s %s %s has no source", d.Metric, g.Component, g.Bound)
			}
		}
	}
	for _, d := range alerts.Defaults() {
		v, has := byMetric[d.Metric]
		for i, b := range d.Version.Limit.Components {
			if b.ExtremeLow == nil && b.ExtremeHigh == nil {
				continue
			}
			if !has {
				t.Fatalf("%s has an extreme, and none that holds for anybody", d.Metric)
			}
			e := v.Limit.Components[i]
			if b.ExtremeLow != nil && (e.ExtremeLow == nil || *e.ExtremeLow > *b.ExtremeLow) || b.ExtremeHigh != nil && (e.ExtremeHigh == nil || *e.ExtremeHigh < *b.ExtremeHigh) {
				t.Errorf("%s %d: %+v against the default %+v", d.Metric, i, e, b)
			}
		}
	}
}
