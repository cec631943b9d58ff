package main

import (
	"context"
	"math"
	"time"

	"hale/fault"
	"hale/simulators"
)

// backlogReport tells how present red readings fare while late ones drain.
type backlogReport struct {
	Late      int     `json:"late_readings"`
	PerSecond float64 `json:"drained_per_second"`
	Deepest   int     `json:"deepest"` // most late readings that were acknowledged and not yet committed
	Alerts    int     `json:"present_alerts"`
	P50       float64 `json:"p50_ms"`
	P99       float64 `json:"p99_ms"`
	Max       float64 `json:"max_ms"`
}

// How the people are split: a quarter sends its memory of a day, the others measure now, a few at a time.
const (
	backlogShare  = 4
	presentGroup  = 50
	presentRate   = 10  // red readings a second
	backlogPerMsg = 50  // readings in a message of a device that sends its memory
	backlogRed    = 100 // one of so many messages has a red reading in it
	backlogDay    = 24 * time.Hour
	backlogSettle = 20 * time.Minute // late readings are at least as old as this
)

func (c *benchCommand) backlog(ctx context.Context, g *ground) (*backlogReport, error) {
	late := c.Patients / backlogShare
	if c.Patients-late < presentGroup || late < 1 {
		return nil, fault.New(fault.Invalid, "the backlog needs --patients %d or more", 2*presentGroup)
	}
	g.say("%d late readings of %d people drain while others measure now", c.Backlog, late)
	committed, err := g.committed()
	if err != nil {
		return nil, err
	}
	rounds := max(1, c.Backlog/late/len(g.rules))
	memory, err := g.generate(ctx, simulators.LoadSpec{
		Kind: simulators.LoadFull, Prefix: benchPrefix, Devices: late, PerMessage: backlogPerMsg, Readings: c.Backlog, Window: 4, RedEvery: backlogRed,
		StartMillis: time.Now().Add(-backlogDay - backlogSettle).UnixMilli(), StepMillis: max(1, backlogDay.Milliseconds()/int64(rounds)),
	})
	if err != nil {
		return nil, err
	}
	type outcome struct {
		result simulators.LoadResult
		err    error
	}
	sent := make(chan outcome, 1)
	began := time.Now()
	go func() {
		result, err := memory.run()
		sent <- outcome{result, err}
	}()
	r := &backlogReport{}
	var took []float64
	var done *simulators.LoadResult
	present := 0
	for first := late; first+presentGroup <= c.Patients; first += presentGroup {
		one, err := c.presentReds(ctx, g, first)
		if err != nil {
			return nil, err
		}
		took, present = append(took, one...), present+presentGroup
		if done == nil {
			select {
			case o := <-sent:
				if o.err != nil {
					return nil, o.err
				}
				done = &o.result
			default:
			}
		}
		now, err := g.committed()
		if err != nil {
			return nil, err
		}
		g.say("%9d late readings committed; present alerts: %.0f ms at most", now-committed-present, percentiles(took).Max)
		if done != nil {
			r.Deepest = max(r.Deepest, done.Readings-(now-committed-present))
			if now-committed-present >= done.Readings {
				break
			}
		}
	}
	if done == nil {
		o := <-sent
		if o.err != nil {
			return nil, o.err
		}
		done = &o.result
	}
	end, err := g.waitCommitted(ctx, committed+present+done.Readings)
	if err != nil {
		return nil, err
	}
	all := percentiles(took)
	r.Late, r.Alerts, r.P50, r.P99, r.Max = done.Readings, all.Alerts, all.P50, all.P99, all.Max
	r.PerSecond = math.Round(float64(done.Readings) / end.Sub(began).Seconds())
	return r, memory.end()
}

// presentReds lets a few people send a red reading each, and returns how long their alerts took.
func (c *benchCommand) presentReds(ctx context.Context, g *ground, first int) ([]float64, error) {
	watch := g.watchAlerts(ctx)
	defer watch.stop()
	watch.patients = g.patients[first : first+presentGroup]
	load, err := g.generate(ctx, simulators.LoadSpec{
		Kind: simulators.LoadPaced, Prefix: benchPrefix, First: first, Devices: presentGroup, PerMessage: 1, Readings: presentGroup, PerSecond: presentRate, Red: true,
		StartMillis: time.Now().UnixMilli(), StepMillis: 1,
	})
	if err != nil {
		return nil, err
	}
	result, err := load.run()
	if err != nil {
		return nil, err
	}
	took, err := watch.times(ctx, result.RedSent)
	if err != nil {
		return nil, err
	}
	return took, load.end()
}
