package web

import (
	"strings"
	"testing"
	"time"

	"hale/devices"
)

func TestAClockProblemSaysWhatIsKnownAndNoMore(t *testing.T) {
	t.Parallel()
	cases := map[string]struct {
		problem devices.Problem
		says    []string
		not     string
	}{
		"what is put right does not wait in quarantine": {devices.Problem{ClockOff: 2219300 * time.Millisecond}, []string{"The clock of gw-1 is wrong", "37 min ahead", "put right"}, "quarantine"},
		"too far to put right":                          {devices.Problem{ClockOff: -50 * time.Hour}, []string{"2 days behind", "wait in quarantine"}, "filed"},
		"put back":                                      {devices.Problem{ClockJump: time.Hour}, []string{"was changed", "put back by 60 min"}, "behind"},
		"put forward, and times were refused":           {devices.Problem{ClockJump: -3 * time.Hour, ClockRefused: 2}, []string{"put forward by 3 h", "2 messages wait in quarantine"}, "behind"},
		"only times were refused":                       {devices.Problem{ClockRefused: 1}, []string{"Times that gw-1 sent cannot be right", "1 message waits in quarantine", "old measurements"}, "The clock of"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c.problem.Kind, c.problem.Device, c.problem.Sensor = devices.ProblemClock, "gw-1", "gw-1"
			title, text, do := problemWords(&c.problem, clock{})
			all := title + ". " + text + " " + do
			for _, want := range c.says {
				if !strings.Contains(all, want) {
					t.Errorf("%q does not say %q", all, want)
				}
			}
			if strings.Contains(all, c.not) {
				t.Errorf("%q says %q", all, c.not)
			}
		})
	}
}
