package alerts_test

import (
	"math"
	"math/big"
	"slices"
	"strconv"
	"testing"
	"time"

	"pgregory.net/rapid"

	"hale/alerts"
	"hale/vital"
)

// TestTrendLevelsAreThoseOfAPlainCount compares every level with one that is counted from all readings, day by day,
// without any memory in between.
func TestTrendLevelsAreThoseOfAPlainCount(t *testing.T) {
	t.Parallel()
	for _, form := range alerts.Forms() {
		t.Run(string(form), func(t *testing.T) {
			t.Parallel()
			rapid.Check(t, func(t *rapid.T) {
				v := drawTrendVersion(form)(t)
				v.Number, v.EffectiveFrom, v.Enabled = 1, autumn().Add(-time.Hour), true
				rule := alerts.Rule{Kind: alerts.KindTrend, Form: form, Metric: vital.BodyWeight, Versions: []alerts.Version{v}}
				points := drawWeights(t)
				slices.SortFunc(points, byMark)
				run := alerts.Resume(&rule, nil)
				for i, p := range points {
					if got, want := run.Step(p).Level, countedLevel(t, v.Trend, points[:i+1]); got != want {
						t.Fatalf("reading %d of %s: %s, a plain count says %s", p.ID, p.At, got, want)
					}
				}
			})
		})
	}
}

// plain is the readings of a part of the local day up to the last of them.
type plain struct {
	zone  *time.Location
	part  alerts.DayPart
	scale vital.SensorID // 0 is any
	far   int            // grams; 0: nothing is unlike
	all   []alerts.Point
	today time.Time // noon of the day, by UTC, so that days can be counted
	sats  map[int][]sat
}

// sat is a value with its repeats.
type sat struct {
	first, last alerts.Point
}

func newPlain(t *rapid.T, trend *alerts.Trend, part alerts.DayPart, same bool, unlike float64, points []alerts.Point) *plain {
	zone, err := time.LoadLocation(trend.Zone)
	if err != nil {
		t.Fatal(err)
	}
	d := &plain{zone: zone, part: part, far: int(unlike * 1000), all: points, sats: map[int][]sat{}}
	if same {
		d.scale = points[len(points)-1].Sensor
	}
	d.today, _ = d.dayOf(points[len(points)-1])
	of := map[int][]alerts.Point{}
	for _, p := range points {
		if day, clock := d.dayOf(p); clock >= part.From && clock < part.Until && (d.scale == 0 || p.Sensor == d.scale) {
			ago := int(d.today.Sub(day).Hours()) / 24
			of[ago] = append(of[ago], p)
		}
	}
	for ago, points := range of {
		d.sats[ago] = d.sat(points)
	}
	return d
}

func (d *plain) dayOf(p alerts.Point) (noon time.Time, clock string) {
	l := p.At.In(d.zone)
	return time.Date(l.Year(), l.Month(), l.Day(), 12, 0, 0, 0, time.UTC), l.Format("15:04")
}

// day returns the values of the day so many days ago, those without their repeats.
func (d *plain) day(ago int) []sat { return d.sats[ago] }

func (d *plain) sat(points []alerts.Point) []sat {
	of := map[vital.SensorID]int{}
	var kept []alerts.Point
	for _, p := range points {
		if of[p.Sensor]++; of[p.Sensor] > 16 {
			last := 0
			for i := range kept {
				if kept[i].Sensor == p.Sensor {
					last = i
				}
			}
			kept = slices.Delete(kept, last, last+1)
		}
		kept = append(kept, p)
	}
	var list []sat
next:
	for _, p := range kept {
		for i := len(list) - 1; i >= 0; i-- {
			s := &list[i]
			if s.last.Sensor == p.Sensor && p.At.Sub(s.first.At) <= 10*time.Minute && (d.far == 0 || d.near(s.last, grams(p))) {
				s.last = p
				continue next
			}
		}
		list = append(list, sat{p, p})
	}
	return list
}

func (d *plain) near(p alerts.Point, value int) bool {
	return max(grams(p)-value, value-grams(p)) <= d.far
}

// like returns the first value of a day that is near another.
func (d *plain) like(ago, value int) (alerts.Point, bool) {
	for _, s := range d.day(ago) {
		if d.near(s.last, value) {
			return s.last, true
		}
	}
	return alerts.Point{}, false
}

// usual is the median of the 7 days before one: of each day the value on which most days agree.
func (d *plain) usual(ago int) (median int, known bool) {
	weighed, most, mostLonger := 0, 0, 0
	var of []int
	for back := ago + 7; back > ago; back-- {
		if len(d.day(back)) > 0 {
			weighed++
		}
		for _, s := range d.day(back) {
			var agree []int
			for other := ago + 7; other > ago; other-- {
				if p, ok := d.like(other, grams(s.last)); ok {
					agree = append(agree, grams(p))
				}
			}
			longer := 0 // of as many days the one of more days of the 24 before
			for other := ago + 24; other > ago; other-- {
				if _, ok := d.like(other, grams(s.last)); ok {
					longer++
				}
			}
			if len(agree) > most || len(agree) == most && longer > mostLonger {
				most, mostLonger, of = len(agree), longer, agree
			}
		}
	}
	if d.far == 0 || weighed < 3 || most < 2 {
		return 0, false
	}
	return middle(of), true
}

// values returns how many grams the patient's value was so many days ago, of the days before today.
func (d *plain) values() map[int]int {
	of, newestFirst := map[int]int{}, []int(nil)
	median, known := d.usual(0)
	if !known {
		for ago := 1; ago <= 31; ago++ {
			if list := d.day(ago); len(list) > 0 {
				of[ago] = grams(list[0].last)
			}
		}
		return of
	}
	for ago := 1; ago <= 31; ago++ {
		near := median
		if ago > 7 {
			near = middle(newestFirst[max(0, len(newestFirst)-7):])
		}
		if p, ok := d.like(ago, near); ok {
			of[ago] = grams(p)
			newestFirst = append(newestFirst, grams(p))
		}
	}
	return of
}

// judged says what the last reading is: nothing to look at, the day's value, or perhaps somebody else's.
func (d *plain) judged() (looked, unlike, changed bool) {
	p, today := d.all[len(d.all)-1], d.day(0)
	at := slices.IndexFunc(today, func(s sat) bool { return s.last.ID == p.ID })
	if at < 0 {
		return false, false, false
	}
	median, known := d.usual(0)
	if !known {
		unlike = d.far > 0 && !d.near(p, grams(today[0].last))
		return at == 0 || unlike, unlike, false
	}
	if !d.near(p, median) {
		return true, true, false
	}
	first, _ := d.like(0, median)
	last := 1
	for len(d.day(last)) == 0 {
		last++
	}
	before, known := d.usual(last)
	return first.ID == p.ID, false, known && max(before-median, median-before) > d.far
}

// between returns the values from so many days ago to so many.
func between(values map[int]int, from, to int) []int {
	var list []int
	for ago := from; ago >= to; ago-- {
		if v, ok := values[ago]; ok {
			list = append(list, v)
		}
	}
	return list
}

func grams(p alerts.Point) int { return int(math.Round(p.Values[0] * 1000)) }

func middle(list []int) int {
	list = slices.Sorted(slices.Values(list))
	n := len(list)
	if n%2 == 1 {
		return list[n/2]
	}
	return int(math.Floor(float64(list[n/2-1]+list[n/2])/2 + 0.5))
}

func mean(list []int) int {
	sum := 0
	for _, v := range list {
		sum += v
	}
	return int(math.Floor(float64(sum)/float64(len(list)) + 0.5))
}

func reached(s alerts.TrendStep, value, against int) bool {
	by := value - against
	if s.Direction == alerts.Fall {
		by = -by
	}
	return float64(by) > s.By*1000 || !s.MoreThan && float64(by) == s.By*1000
}

func countedLevel(t *rapid.T, trend *alerts.Trend, points []alerts.Point) alerts.Level {
	p := points[len(points)-1]
	var d *plain
	var over func() alerts.Level // what the steps say of the day's value
	worst := func(steps []alerts.TrendStep, over func(s alerts.TrendStep) bool) alerts.Level {
		level := alerts.None
		for _, s := range steps {
			if s.Level > level && over(s) {
				level = s.Level
			}
		}
		return level
	}
	switch {
	case trend.Change != nil:
		c := trend.Change
		d = newPlain(t, trend, c.Part, c.SameSensor, c.Unlike, points)
		over = func() alerts.Level {
			values := d.values()
			return worst(c.Steps, func(s alerts.TrendStep) bool { // beyond one of them is beyond the furthest
				return slices.ContainsFunc(between(values, s.Days, 1), func(v int) bool { return reached(s, grams(p), v) })
			})
		}
	case trend.Reference != nil:
		r := trend.Reference
		d = newPlain(t, trend, r.Part, false, r.Unlike, points)
		over = func() alerts.Level {
			return worst(r.Steps, func(s alerts.TrendStep) bool { return reached(s, grams(p), int(r.Value*1000)) })
		}
	case trend.MovingAverage != nil:
		m := trend.MovingAverage
		d = newPlain(t, trend, m.Part, m.SameSensor, m.Unlike, points)
		over = func() alerts.Level {
			values := d.values()
			short, long := append(between(values, m.ShortDays-1, 1), grams(p)), between(values, m.ShortDays+m.LongDays-1, m.ShortDays)
			if len(short) < m.LeastShort || len(long) < m.LeastLong {
				return alerts.None
			}
			return worst(m.Steps, func(s alerts.TrendStep) bool { return reached(s, mean(short), middle(long)) })
		}
	case trend.Average != nil:
		return countedAverage(newPlain(t, trend, alerts.DayPart{}, false, 0, points), trend.Average)
	case trend.Baseline != nil:
		return countedBaseline(newPlain(t, trend, alerts.DayPart{}, false, 0, points), trend.Baseline)
	}
	switch looked, unlike, changed := d.judged(); {
	case !looked:
		return alerts.None
	case unlike:
		return alerts.Yellow
	case changed:
		return max(alerts.Yellow, over())
	}
	return over()
}

// countedAverage takes the mean of the means of the mornings and of the afternoons with their evenings.
func countedAverage(d *plain, a *alerts.TrendAverage) alerts.Level {
	var days [][]alerts.Point
	for ago := a.Days - 1; ago >= 0; ago-- {
		var of []alerts.Point
		for _, p := range d.all {
			if day, _ := d.dayOf(p); day.Equal(d.today.AddDate(0, 0, -ago)) {
				of = append(of, p)
			}
		}
		if len(of) > 0 {
			days = append(days, of)
		}
	}
	days = days[min(a.SkipDays, len(days)):]
	readings := 0
	var means []*big.Rat
	for _, of := range days {
		readings += len(of)
		for _, late := range []bool{false, true} {
			var values []int
			for _, p := range of {
				if _, clock := d.dayOf(p); clock >= "12:00" == late {
					values = append(values, grams(p))
				}
			}
			if len(values) > 0 {
				means = append(means, exactMean(values))
			}
		}
	}
	if readings < a.LeastReadings || len(days) < a.LeastDays {
		return alerts.None
	}
	all := new(big.Rat)
	for _, m := range means {
		all.Add(all, m)
	}
	all.Quo(all, big.NewRat(int64(len(means)), 1))
	whole, _ := strconv.Atoi(all.FloatString(0)) // of positive numbers it rounds half up
	mean, b := float64(whole), &a.Components[0]
	switch {
	case mean >= *b.RedHigh*1000:
		return alerts.Red
	case mean >= *b.YellowHigh*1000 || mean < *b.YellowLow*1000:
		return alerts.Yellow
	}
	return alerts.None
}

func exactMean(list []int) *big.Rat {
	sum := int64(0)
	for _, v := range list {
		sum += int64(v)
	}
	return big.NewRat(sum, int64(len(list)))
}
