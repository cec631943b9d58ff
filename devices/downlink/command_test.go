package downlink_test

import (
	"strings"
	"testing"
	"time"

	"hale/devices/downlink"
)

func TestACommandHasItsTimeAndItsContent(t *testing.T) {
	t.Parallel()
	ljubljana, err := time.LoadLocation("Europe/Ljubljana")
	if err != nil {
		t.Fatal(err)
	}
	at := func(hour int) time.Time { return time.Date(2026, 11, 21, hour, 30, 0, 0, ljubljana) }
	home := []*time.Location{ljubljana}
	for name, c := range map[string]struct {
		ask  downlink.Command
		now  time.Time
		want string // not after, by the clock of the home; or what is wrong
	}{
		"by day for an hour":             {downlink.Command{Kind: downlink.MeasureNow, Homes: home}, at(12), "21 13:30"},
		"at night from its end on":       {downlink.Command{Kind: downlink.MeasureNow, Homes: home}, at(22), "22 08:00"},
		"before dawn the same day":       {downlink.Command{Kind: downlink.ShowText, Text: "Hello", Homes: home}, at(3), "22 07:00"},
		"urgent at night":                {downlink.Command{Kind: downlink.MeasureNow, Urgent: true, Homes: home}, at(22), "21 23:30"},
		"a clock disturbs nobody":        {downlink.Command{Kind: downlink.SyncClock, Homes: home}, at(22), "22 22:30"},
		"nobody's home":                  {downlink.Command{Kind: downlink.MeasureNow}, at(22), "21 23:30"},
		"stale before the night is over": {downlink.Command{Kind: downlink.MeasureNow, NotAfter: at(23), Homes: home}, at(22), "quiet hours"},
		"in the past":                    {downlink.Command{Kind: downlink.MeasureNow, NotAfter: at(11), Homes: home}, at(12), "lies ahead"},
		"too far ahead":                  {downlink.Command{Kind: downlink.SyncClock, NotAfter: at(12).AddDate(0, 0, 8)}, at(12), "lies ahead"},
		"another kind":                   {downlink.Command{Kind: "reboot"}, at(12), "kind"},
		"a metric that is none":          {downlink.Command{Kind: downlink.MeasureNow, Metric: "mood"}, at(12), "metric"},
		"no text":                        {downlink.Command{Kind: downlink.ShowText, Text: " "}, at(12), "text"},
		"a text that is a program":       {downlink.Command{Kind: downlink.ShowText, Text: "a\x00b"}, at(12), "text"},
		"too often":                      {downlink.Command{Kind: downlink.SetInterval, Seconds: 5}, at(12), "seconds"},
		"what goes with another":         {downlink.Command{Kind: downlink.SyncClock, Seconds: 60}, at(12), "goes with"},
	} {
		got := ""
		if err := c.ask.Check(c.now); err != nil {
			got = err.Error()
		} else {
			got = c.ask.NotAfter.In(ljubljana).Format("2 15:04")
		}
		if !strings.Contains(got, c.want) {
			t.Errorf("%s: %s, want %s", name, got, c.want)
		}
	}
}
