package vital_test

import (
	"math"
	"strconv"
	"testing"
	"time"

	"pgregory.net/rapid"

	"hale/vital"
)

func TestParseDecimalKeepsWhatWasSent(t *testing.T) {
	t.Parallel()
	good := map[string]string{"120": "120", "36.80": "36.80", "-1.5": "-1.5", "0.05": "0.05", "1.2e2": "12e1", "0": "0", "5E-1": "0.5"}
	for in, want := range good {
		m, e, err := vital.ParseDecimal(in)
		if err != nil {
			t.Errorf("%q: %v", in, err)
			continue
		}
		if got := (vital.Quantity{Mantissa: m, Exponent: e}).String(); got != want {
			t.Errorf("%q became %q, want %q", in, got, want)
		}
	}
	for _, bad := range []string{"", "NaN", "Infinity", "36,8", "1.", ".5", "--1", "1e99", "12345678901234567890", "0x10", "1e", " 1"} {
		if _, _, err := vital.ParseDecimal(bad); err == nil {
			t.Errorf("%q was taken for a number", bad)
		}
	}
}

func TestDecimalRoundTrip(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		q := vital.Quantity{Mantissa: rapid.Int64Range(-1e12, 1e12).Draw(t, "mantissa"), Exponent: rapid.Int8Range(-6, 0).Draw(t, "exponent")}
		m, e, err := vital.ParseDecimal(q.String())
		if err != nil || m != q.Mantissa || e != q.Exponent {
			t.Fatalf("%+v printed as %s read as %d e%d, %v", q, q, m, e, err)
		}
	})
}

func TestConversions(t *testing.T) {
	t.Parallel()
	cases := []struct {
		value    float64
		from, to vital.Unit
		want     float64
	}{
		{16, vital.KiloPascal, vital.MmHg, 120.01},
		{100.4, vital.Fahrenheit, vital.Celsius, 38},
		{172.73, vital.Pound, vital.Kilogram, 78.349},
		{12, vital.Stone, vital.Kilogram, 76.2035},
		{25200, vital.Second, vital.Minute, 420},
		{6.7, vital.MmolPerL, vital.MgPerDL, 120.70},
		{0.97, vital.Fraction, vital.Percent, 97},
	}
	for _, c := range cases {
		got, ok := vital.Convert(c.value, c.from, c.to)
		if !ok || math.Abs(got-c.want) > 0.01 {
			t.Errorf("%v %s = %v %s, want %v", c.value, c.from.UCUM(), got, c.to.UCUM(), c.want)
		}
	}
	if _, ok := vital.Convert(1, vital.Kilogram, vital.MmHg); ok {
		t.Error("kilograms became a pressure")
	}
}

func TestEveryAcceptedUnitConvertsAndParses(t *testing.T) {
	t.Parallel()
	for _, d := range vital.Metrics() {
		if m, ok := vital.ParseMetric(d.Code); !ok || m != d.Metric {
			t.Errorf("%s does not parse back", d.Code)
		}
		for _, c := range d.Components {
			for _, u := range c.Accepted {
				if _, ok := vital.Convert(1, u, c.Canonical); !ok {
					t.Errorf("%s %s accepts %s but cannot convert it", d.Code, c.Code, u.UCUM())
				}
				if p, ok := vital.ParseUnit(u.UCUM()); !ok || p != u {
					t.Errorf("unit %s does not parse back", u.UCUM())
				}
			}
		}
	}
}

func q(m int64, e int8, u vital.Unit) vital.Quantity {
	return vital.Quantity{Mantissa: m, Exponent: e, Unit: u}
}

func check(m vital.Metric, sent []vital.Quantity) (vital.Reason, string, bool) {
	d, _ := vital.Define(m)
	return d.Check(sent)
}

func TestCheck(t *testing.T) {
	t.Parallel()
	cases := map[string]struct {
		metric vital.Metric
		sent   []vital.Quantity
		want   vital.Reason
	}{
		"a good blood pressure passes":             {vital.BloodPressure, []vital.Quantity{q(120, 0, vital.MmHg), q(80, 0, vital.MmHg)}, ""},
		"with its pulse it passes too":             {vital.BloodPressure, []vital.Quantity{q(120, 0, vital.MmHg), q(80, 0, vital.MmHg), q(66, 0, vital.PerMinute)}, ""},
		"a systolic alone is refused":              {vital.BloodPressure, []vital.Quantity{q(120, 0, vital.MmHg)}, vital.ReasonMetric},
		"swapped values are refused":               {vital.BloodPressure, []vital.Quantity{q(80, 0, vital.MmHg), q(120, 0, vital.MmHg)}, vital.ReasonImplausible},
		"a diastolic of 194 is refused":            {vital.BloodPressure, []vital.Quantity{q(220, 0, vital.MmHg), q(194, 0, vital.MmHg)}, vital.ReasonImplausible},
		"a pressure in kilograms is refused":       {vital.BloodPressure, []vital.Quantity{q(120, 0, vital.Kilogram), q(80, 0, vital.MmHg)}, vital.ReasonUnit},
		"a heart rate of 22 is kept":               {vital.HeartRate, []vital.Quantity{q(22, 0, vital.PerMinute)}, ""},
		"the bounds themselves are plausible":      {vital.OxygenSat, []vital.Quantity{q(100, 0, vital.Percent)}, ""},
		"a saturation as a fraction is understood": {vital.OxygenSat, []vital.Quantity{q(97, -2, vital.Fraction)}, ""},
		"a skin temperature of 74.1 is refused":    {vital.SkinTemperature, []vital.Quantity{q(741, -1, vital.Celsius)}, vital.ReasonImplausible},
		"43.04 degrees are 43.0":                   {vital.BodyTemperature, []vital.Quantity{q(4304, -2, vital.Celsius)}, ""},
		"43.06 degrees are too hot":                {vital.BodyTemperature, []vital.Quantity{q(4306, -2, vital.Celsius)}, vital.ReasonImplausible},
		"half a point of pain is no score":         {vital.PainScore, []vital.Quantity{q(35, -1, vital.Score)}, vital.ReasonImplausible},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			reason, detail, ok := check(c.metric, c.sent)
			if reason != c.want || ok != (c.want == "") {
				t.Errorf("Check = %q (%s) %v, want %q", reason, detail, ok, c.want)
			}
			if !ok && detail == "" {
				t.Error("refused without saying what to mend")
			}
		})
	}
}

func TestIdentity(t *testing.T) {
	t.Parallel()
	at := time.Date(2026, 2, 5, 7, 25, 0, 0, time.UTC)
	k := vital.Key{Sensor: 7, Metric: vital.Glucose, SentAt: at, Tie: vital.TieOf([]vital.Quantity{q(97, 0, vital.MgPerDL)})}
	same := k
	same.SentAt = at.In(time.FixedZone("x", 3600))
	if k.ID() != same.ID() {
		t.Error("the zone of the time changed the identity")
	}
	other := k
	other.Tie = vital.TieOf([]vital.Quantity{q(98, 0, vital.MgPerDL)})
	if k.ID() == other.ID() {
		t.Error("two values in one clock minute are one")
	}
}

func TestClockPlausible(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 5, 1, 12, 0, 0, 0, time.UTC)
	for at, want := range map[time.Time]bool{
		now: true, now.Add(5 * time.Minute): true, now.Add(5*time.Minute + time.Second): false,
		time.Date(2019, 4, 1, 0, 0, 0, 0, time.UTC): true, time.Date(2014, 12, 31, 23, 59, 59, 0, time.UTC): false, time.Unix(0, 0): false,
	} {
		if got := vital.ClockPlausible(at, now); got != want {
			t.Errorf("ClockPlausible(%s) = %v", at, got)
		}
	}
}

func TestPartitionsAreEven(t *testing.T) {
	t.Parallel()
	var n [vital.Partitions]int
	for id := uint64(1); id <= 8000; id++ {
		n[vital.PartitionOf(id)]++
	}
	for p, c := range n {
		if c < 800 || c > 1200 {
			t.Errorf("partition %d holds %d of 8000", p, c)
		}
	}
}

func TestUnitsAreThoseThatParseUnitTakes(t *testing.T) {
	t.Parallel()
	units := vital.Units()
	for _, spelling := range []string{"mm[Hg]", "mmHg", "/min", "bpm", "1", "{score}", "mL"} {
		if _, ok := units[spelling]; !ok {
			t.Errorf("%q is missing", spelling)
		}
	}
	for spelling, u := range units {
		if got, ok := vital.ParseUnit(spelling); !ok || got != u {
			t.Errorf("ParseUnit(%q) = %v, %v, want %v", spelling, got, ok, u)
		}
	}
}

func TestFloatIsTheNearestNumber(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		q := vital.Quantity{Mantissa: rapid.Int64Range(-1e18+1, 1e18-1).Draw(t, "mantissa"), Exponent: rapid.Int8Range(-10, 3).Draw(t, "exponent")}
		want, err := strconv.ParseFloat(q.String(), 64)
		if err != nil || q.Float() != want {
			t.Fatalf("%s became %v, want %v (%v)", q, q.Float(), want, err)
		}
	})
}

func TestAnImpossiblePulseCostsNoPressure(t *testing.T) {
	t.Parallel()
	d, _ := vital.Define(vital.BloodPressure)
	for pulse, want := range map[int64]int{66: 3, 0: 2, 255: 2, 15: 3, 14: 2} {
		sent := []vital.Quantity{q(210, 0, vital.MmHg), q(120, 0, vital.MmHg), q(pulse, 0, vital.PerMinute)}
		if got := d.Usable(sent); got != want {
			t.Errorf("210/120 with pulse %d keeps %d quantities, want %d", pulse, got, want)
		}
	}
	if got := d.Usable([]vital.Quantity{q(210, 0, vital.MmHg), q(5, 0, vital.MmHg)}); got != 2 {
		t.Errorf("a required component was left out: %d", got)
	}
}
