package devices

import "time"

// clockTold is for how long it is told that a clock was changed, or that times were refused [J: a week is how often somebody looks].
const clockTold = 7 * 24 * time.Hour

// ClockFact is what is known of the clock of a sensor or device, beside what it said of it last.
type ClockFact struct {
	Known   bool // it was looked at: Trouble tells all of its state
	Trouble ClockTrouble
	// Refused is how many messages wait in quarantine whose times cannot be, since when, and when the newest of them came.
	Refused       int
	Since, Newest time.Time
}

// clockProblem tells what is wrong with the clock; ok is false when nothing is.
func (d *Fact) clockProblem(now time.Time) (since time.Time, fill func(p *Problem), ok bool) {
	c := &d.Clock
	said := !d.Condition.ClockWrongAt.IsZero()
	jumped := c.Known && c.Trouble.Jumped != 0 && now.Sub(c.Trouble.JumpedAt) < clockTold
	refused := c.Refused > 0 && now.Sub(c.Newest) < clockTold
	beside := func(p *Problem) {
		if jumped {
			p.ClockJump = c.Trouble.Jumped
		}
		if refused {
			p.ClockRefused = c.Refused
		}
	}
	with := func(off time.Duration) func(p *Problem) {
		return func(p *Problem) {
			beside(p)
			p.ClockOff = off
		}
	}
	switch {
	case c.Known && c.Trouble.Wrong != 0:
		return c.Trouble.Since, with(-c.Trouble.Wrong), true
	case !c.Known && said:
		return d.Condition.ClockWrongAt, with(d.Condition.ClockOff), true
	case jumped:
		return c.Trouble.JumpedAt, beside, true
	case refused:
		return c.Since, beside, true
	}
	return time.Time{}, nil, false
}
