package alerts_test

import (
	"math"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"hale/alerts"
	"hale/vital"
)

func TestAHitSaysWhetherItIsTooLowOrTooHigh(t *testing.T) {
	t.Parallel()
	at := time.Date(2026, 3, 1, 9, 0, 0, 0, time.UTC)
	q := func(mantissa int64, unit vital.Unit) vital.Quantity {
		return vital.Quantity{Mantissa: mantissa, Unit: unit}
	}
	of := func(m vital.Metric, sent ...vital.Quantity) alerts.Suspect {
		return alerts.Suspect{Metric: m, Sent: sent, At: at}
	}
	nan := math.NaN()
	for name, c := range map[string]struct {
		suspect alerts.Suspect
		side    vital.Beyond
		values  []float64 // nil: no hit
	}{
		"a meter's LO":                          {alerts.Suspect{Metric: vital.Glucose, Beyond: vital.Below}, vital.Below, []float64{}},
		"a meter's HI":                          {alerts.Suspect{Metric: vital.Glucose, Beyond: vital.Above}, vital.Above, []float64{}},
		"a fever":                               {of(vital.BodyTemperature, q(42, vital.Celsius)), vital.Above, []float64{42}},
		"hypothermia":                           {of(vital.BodyTemperature, q(29, vital.Celsius)), vital.Below, []float64{29}},
		"a collapse, whatever the diastolic is": {of(vital.BloodPressure, q(75, vital.MmHg), q(70, vital.MmHg)), vital.Below, []float64{75, 70}},
		"a crisis":                              {of(vital.BloodPressure, q(250, vital.MmHg), q(140, vital.MmHg)), vital.Above, []float64{250, 140}},
		"a glucose that is red whichever unit it has":      {of(vital.Glucose, q(20, vital.NoUnit)), 0, []float64{20}},
		"a pressure without a unit can only be of mercury": {of(vital.BloodPressure, q(250, vital.NoUnit), q(140, vital.NoUnit)), vital.Above, []float64{250, 140}},
		"its pulse may have a unit":                        {of(vital.BloodPressure, q(70, vital.NoUnit), q(40, vital.NoUnit), q(90, vital.PerMinute)), vital.Below, []float64{70, 40, 90}},
		"a pressure without a unit can only be kilopascal": {of(vital.BloodPressure, q(30, vital.NoUnit), q(15, vital.NoUnit)), vital.Above, []float64{30, 15}},
		"a good pressure without a unit":                   {suspect: of(vital.BloodPressure, q(120, vital.NoUnit), q(80, vital.NoUnit))},
		"a systolic alone, without a unit":                 {of(vital.BloodPressure, q(210, vital.NoUnit)), vital.Above, []float64{210}},
		"a diastolic that is not there hides no systolic":  {of(vital.BloodPressure, q(210, vital.MmHg), vital.Quantity{}), vital.Above, []float64{210, nan}},
		"a systolic that is not there hides no diastolic":  {of(vital.BloodPressure, vital.Quantity{}, q(140, vital.MmHg)), vital.Above, []float64{nan, 140}},
		"nor where the unit is not there either":           {of(vital.BloodPressure, vital.Quantity{}, q(140, vital.NoUnit)), vital.Above, []float64{nan, 140}},
		"one unit that fails hides no number that has one": {of(vital.BloodPressure, q(210, vital.MmHg), q(9000, vital.NoUnit)), vital.Above, []float64{210, 9000}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			hit, ok := alerts.Screen(c.suspect, nil)
			same := cmp.Equal(c.values, hit.Values, cmp.Comparer(func(a, b float64) bool { return a == b || math.IsNaN(a) && math.IsNaN(b) }))
			if ok != (c.values != nil) || hit.Side != c.side || !same {
				t.Errorf("%+v, %v; want %v on side %d", hit, ok, c.values, c.side)
			}
		})
	}
}

func TestHowBadANumberIsIsToldByItsOwnSide(t *testing.T) {
	t.Parallel()
	badness := func(m vital.Metric, n int64, unit vital.Unit) float64 {
		hit, ok := alerts.Screen(alerts.Suspect{Metric: m, Sent: []vital.Quantity{{Mantissa: n, Unit: unit}}}, nil)
		if !ok {
			t.Fatalf("%d is no hit", n)
		}
		return hit.Badness
	}
	for _, rising := range [][]float64{
		{badness(vital.Glucose, 53, vital.MgPerDL), badness(vital.Glucose, 38, vital.MgPerDL), badness(vital.Glucose, 21, vital.MgPerDL)},
		{badness(vital.Glucose, 501, vital.MgPerDL), badness(vital.Glucose, 700, vital.MgPerDL), badness(vital.Glucose, 1400, vital.MgPerDL)},
		{badness(vital.HeartRate, 34, vital.PerMinute), badness(vital.HeartRate, 22, vital.PerMinute), badness(vital.HeartRate, 12, vital.PerMinute)},
	} {
		if rising[0] >= rising[1] || rising[1] >= rising[2] {
			t.Errorf("%v do not rise", rising)
		}
	}
}
