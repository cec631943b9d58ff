package devices

import (
	"time"

	"hale/vital"
)

// clockTold is for how long it is told that a clock was changed, or that times were refused [J: a week is how often somebody looks].
const clockTold = 7 * 24 * time.Hour

// ClockFact is what is known of the clock of a sensor or device.
type ClockFact struct {
	Trouble ClockTrouble // zero where nothing is wrong, or nobody has looked
	// Refused is how many messages wait in quarantine whose times cannot be, since when, and when the newest of them came.
	Refused       int
	Since, Newest time.Time
	TimedAt       time.Time // the newest arrival of a reading whose time can be right; zero: none
}

// Timed reports whether a reading was stamped by a clock that can be right: it has a time of its own, of the last day.
func Timed(r *vital.Reading) bool {
	return r.Findings&vital.TimeAssumed == 0 && r.ReceivedAt.Sub(r.MeasuredAt) <= MostOffset
}

// clockProblem tells what is wrong with the clock; ok is false when nothing is. That times were refused is over when good ones came
// since, or the clock was found to be right.
func (d *Fact) clockProblem(now time.Time) (since time.Time, fill func(p *Problem), ok bool) {
	c := &d.Clock
	jumped := c.Trouble.Jumped != 0 && now.Sub(c.Trouble.JumpedAt) < clockTold
	refused := c.Refused > 0 && now.Sub(c.Newest) < clockTold && !c.TimedAt.After(c.Newest) && !c.Trouble.RightAt.After(c.Newest)
	fill = func(p *Problem) {
		p.ClockOff = -c.Trouble.Wrong
		if jumped {
			p.ClockJump = c.Trouble.Jumped
		}
		if refused {
			p.ClockRefused = c.Refused
		}
	}
	switch {
	case c.Trouble.Wrong != 0:
		return c.Trouble.Since, fill, true
	case jumped:
		return c.Trouble.JumpedAt, fill, true
	case refused:
		return c.Since, fill, true
	}
	return time.Time{}, nil, false
}

// ClockCount is of how many devices and sensors the clock is off, was changed lately, so that its times are not sure, or only sent times
// that were refused. Each stands in one of them.
type ClockCount struct{ Off, Unsure, Refused int }

// CountClocks counts what is wrong with clocks at now.
func CountClocks(list []Fact, now time.Time) ClockCount {
	var n ClockCount
	for i := range list {
		_, fill, wrong := list[i].clockProblem(now)
		if !wrong {
			continue
		}
		var p Problem
		switch fill(&p); {
		case p.ClockOff != 0:
			n.Off++
		case p.ClockJump != 0:
			n.Unsure++
		default:
			n.Refused++
		}
	}
	return n
}
