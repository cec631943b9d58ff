package alerts_test

import (
	"math/big"
	"strconv"
	"time"

	"hale/alerts"
)

// countedBaseline takes every reading of the window by itself, puts those of a half-day together, and sorts: no memory in between.
func countedBaseline(d *plain, b *alerts.TrendBaseline) alerts.Level {
	part := alerts.DayPart{From: "00:00", Until: "24:00"}
	if b.Part != nil {
		part = *b.Part
	}
	counts := func(clock string) bool { return clock >= part.From && clock < part.Until }
	p := d.all[len(d.all)-1]
	if _, clock := d.dayOf(p); !counts(clock) {
		return alerts.None
	}
	halves, dates := map[string][]int{}, map[time.Time]bool{}
	for _, other := range d.all {
		day, clock := d.dayOf(other)
		if ago := int(d.today.Sub(day).Hours()) / 24; counts(clock) && ago > b.GapDays && ago <= b.GapDays+b.Days {
			half := day.Format(time.DateOnly) + strconv.FormatBool(clock < "12:00")
			halves[half], dates[day] = append(halves[half], grams(other)), true
		}
	}
	if len(dates) < b.LeastDays || len(halves) < b.LeastSessions {
		return alerts.None
	}
	var values, away []int
	for _, of := range halves {
		values = append(values, whole(exactMean(of)))
	}
	median := middle(values)
	for _, v := range values {
		away = append(away, max(v-median, median-v))
	}
	spread := whole(new(big.Rat).Mul(big.NewRat(14826, 10000), big.NewRat(int64(middle(away)), 1)))
	if least := int(b.LeastSpread * 1000); spread < least {
		spread = least
	}
	level := alerts.None
	for _, s := range b.Steps {
		far := max(int(s.By*1000), whole(new(big.Rat).Mul(new(big.Rat).SetFloat64(s.Spreads), big.NewRat(int64(spread), 1))))
		by := grams(p) - median
		if s.Direction == alerts.Fall {
			by = -by
		}
		if by > far || by == far && !s.MoreThan {
			level = max(level, s.Level)
		}
	}
	return level
}

// whole rounds a number that is not negative, half up.
func whole(r *big.Rat) int {
	n, _ := strconv.Atoi(r.FloatString(0))
	return n
}
