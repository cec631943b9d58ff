package alerts

import "hale/vital"

// worst reports whether the reading lies further beyond the limits than every one that the open episode has counted: at
// a worse level or, at the same one, further beyond its bound. Of an episode whose worst is not known none is; where the worst was taken
// back and none is left, it is.
func (f *follower) worst(o occurrence) bool {
	e := f.open
	if e.Last.Before(o.Mark) && (f.rule.discounts(e) || e.Retraction(e.Worst) != nil) {
		return true
	}
	return !e.Worst.IsZero() && f.worse(o, e.WorstLevel, e.WorstValues, e.WorstGrounds)
}

// discounts reports whether the version that is in force for the episode's worst reading counts it no more: then it counts none
// of the episode's (renewed would have found one), and the first that it counts is the worst. A rule that is off says nothing
// of what was counted. What a trend says of a reading is not to be had from its values; so much is known: a version that was
// not there yet when the last reading was judged, which is of a higher number than its version, has not judged the worst.
func (r *Rule) discounts(e *Episode) bool {
	worst, values := e.Worst, e.WorstValues
	if worst.IsZero() {
		worst, values = e.Last, e.LastValues
	}
	v, ok := r.InForce(worst.At)
	switch {
	case !ok || !v.judges():
		return false
	case r.Kind == KindTrend:
		return v.Number > e.LastVersion
	}
	return Judge(v, r.Metric, values) == None
}

// worse reports whether the reading lies further beyond the limits than another, by the version that judges the reading.
func (f *follower) worse(o occurrence, was Level, values []float64, grounds *Grounds) bool {
	v := f.version(o.Version)
	if v == nil {
		return o.Level > was
	}
	if v.Trend == nil { // an entry may tell the level of the condition, which its reading need not have
		was = Judge(v, f.rule.Metric, values)
	}
	if o.Level != was {
		return o.Level > was
	}
	return v.beyond(f.rule.Metric, o.Level, o.Values, o.Grounds) > v.beyond(f.rule.Metric, o.Level, values, grounds)
}

func (f *follower) version(number int) *Version {
	for i := range f.rule.Versions {
		if f.rule.Versions[i].Number == number {
			return &f.rule.Versions[i]
		}
	}
	return nil
}

// beyond is how far a reading lies beyond the bounds of a level: as a part of the bound, of several components the
// furthest, so that a pressure of 182/104 can be compared with one of 178/121. Of a trend it is the distance that decided,
// of a mean that of the mean. Below 0: not beyond.
func (v *Version) beyond(metric vital.Metric, level Level, values []float64, g *Grounds) float64 {
	bounds := v.Limit.Components
	if v.Trend != nil {
		switch {
		case g == nil:
			return -1
		case v.Trend.Average == nil:
			return g.By
		}
		bounds, values = v.Trend.Average.Components, g.Means
	}
	furthest := -1.0
	for i := range bounds {
		if i >= len(values) {
			break
		}
		value := vital.Rounded(metric, values[i])
		low, high := bounds[i].at(level)
		if low != nil && value < *low {
			furthest = max(furthest, (*low-value)/max(*low, 1))
		}
		if high != nil && value >= *high {
			furthest = max(furthest, (value-*high)/max(*high, 1))
		}
	}
	return furthest
}

// at returns the bounds at which a level begins; where there is none, the next one outwards (of a low diastolic pressure,
// which is yellow at most).
func (b *Bounds) at(level Level) (low, high *float64) {
	switch level {
	case Extreme:
		return b.ExtremeLow, b.ExtremeHigh
	case Red:
		return first(b.RedLow, b.ExtremeLow), first(b.RedHigh, b.ExtremeHigh)
	case Yellow:
		return first(b.YellowLow, b.RedLow, b.ExtremeLow), first(b.YellowHigh, b.RedHigh, b.ExtremeHigh)
	case None:
	}
	return nil, nil
}
