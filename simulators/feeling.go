package simulators

import (
	"math/rand/v2"
	"time"
)

// Shares of the acute troubles that are felt [J]: most low glucose of older people goes unnoticed, asleep nearly all of
// it; many feel nothing of a high pressure, and of half the paroxysms nothing either.
func (t *Trouble) feltShares() (awake, asleep float64) {
	switch t.Kind {
	case Hypoglycaemia:
		return 0.6, 0.15
	case PressureCrisis:
		return 0.5, 0.1
	case Paroxysm:
		return 0.5, 0.2
	case Desaturation:
		return 0.7, 0.3
	case Decompensation, Exacerbation, Untreated, Hyperglycaemia, Infection, Dehydration, arrhythmia, inflated:
	}
	return 0, 0
}

// frailFeels is how much of its share a frail person still feels [J].
const frailFeels = 0.7

// acute reports whether it comes within minutes, so that it is a matter of chance whether anybody measures meanwhile.
func (t *Trouble) acute() bool {
	awake, _ := t.feltShares()
	return awake > 0
}

// feels draws when the person notices an acute trouble: some minutes after it is at its worst. Who sleeps through it may
// notice after waking, when it still lasts. Zero is never.
func (l *Life) feels(t *Trouble) time.Time {
	r := l.source("felt "+string(t.Kind), t.Onset.Unix())
	awake, asleep := t.feltShares()
	if l.has(Frailty) {
		awake, asleep = awake*frailFeels, asleep*frailFeels
	}
	minutes := func(low, high float64) time.Duration { return time.Duration(60*between(r, low, high)) * time.Second }
	soon, morning := t.Crisis.Add(minutes(1, 15)), minutes(5, 45)
	share := awake
	wakes, sleeps := l.sleepsAt(t.Crisis)
	if sleeps {
		share = asleep
	}
	switch {
	case chance(r, share) && soon.Before(t.End):
		return soon
	case sleeps && chance(r, awake) && wakes.Add(morning).Before(t.Ease):
		return wakes.Add(morning)
	}
	return time.Time{}
}

// sleepsAt reports whether a time lies in the person's usual night, and when that ends.
func (l *Life) sleepsAt(at time.Time) (wakes time.Time, sleeps bool) {
	day := l.dayOf(at)
	if rises := l.clock(day, l.habits.wake); at.Before(rises) {
		return rises, true
	}
	return l.clock(day+1, l.habits.wake), !at.Before(l.clock(day, l.habits.bed))
}

// diligent reports whether the person measures now, as they should.
func (l *Life) diligent(r *rand.Rand) bool {
	return l.habits.calm || chance(r, l.habits.adherence)
}
