package devices_test

import (
	"testing"
	"time"

	"hale/devices"
)

func TestAClockIsOneProblem(t *testing.T) {
	t.Parallel()
	ago := func(d time.Duration) time.Time { return ten().Add(-d) }
	const day = 24 * time.Hour
	cases := map[string]struct {
		fact devices.Fact
		want devices.Problem // its kind is empty where there is none
	}{
		"nothing is known": {devices.Fact{}, devices.Problem{}},
		"found wrong": {devices.Fact{Clock: devices.ClockFact{Trouble: devices.ClockTrouble{Wrong: -time.Hour, Since: ago(day)}}},
			devices.Problem{Kind: devices.ProblemClock, Since: ago(day), ClockOff: time.Hour}},
		"put right yesterday": {devices.Fact{Clock: devices.ClockFact{Trouble: devices.ClockTrouble{Jumped: time.Hour, JumpedAt: ago(day)}}},
			devices.Problem{Kind: devices.ProblemClock, Since: ago(day), ClockJump: time.Hour}},
		"put right long ago": {devices.Fact{Clock: devices.ClockFact{Trouble: devices.ClockTrouble{Jumped: time.Hour, JumpedAt: ago(8 * day)}}}, devices.Problem{}},
		"its times are refused": {devices.Fact{Clock: devices.ClockFact{Refused: 3, Since: ago(9 * day), Newest: ago(day)}},
			devices.Problem{Kind: devices.ProblemClock, Since: ago(9 * day), ClockRefused: 3}},
		"were refused, and good ones came since": {devices.Fact{Clock: devices.ClockFact{Refused: 3, Since: ago(9 * day), Newest: ago(day), TimedAt: ago(day - time.Hour)}}, devices.Problem{}},
		"were refused again after good ones": {devices.Fact{Clock: devices.ClockFact{Refused: 3, Since: ago(9 * day), Newest: ago(day), TimedAt: ago(day + time.Hour)}},
			devices.Problem{Kind: devices.ProblemClock, Since: ago(9 * day), ClockRefused: 3}},
		"were refused, and it was found right since": {devices.Fact{Clock: devices.ClockFact{Refused: 3, Since: ago(9 * day), Newest: ago(day), Trouble: devices.ClockTrouble{RightAt: ago(time.Hour)}}}, devices.Problem{}},
		"were refused long ago":                      {devices.Fact{Clock: devices.ClockFact{Refused: 3, Since: ago(9 * day), Newest: ago(8 * day)}}, devices.Problem{}},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var got devices.Problem
			facts := devices.Facts{Devices: []devices.Fact{c.fact}}
			for _, p := range facts.List(ten()) {
				if p.Kind == devices.ProblemClock {
					got = p
				}
			}
			w := c.want
			if got.Kind != w.Kind || !got.Since.Equal(w.Since) || got.ClockOff != w.ClockOff || got.ClockJump != w.ClockJump || got.ClockRefused != w.ClockRefused {
				t.Errorf("%+v, want %+v", got, w)
			}
		})
	}
}
