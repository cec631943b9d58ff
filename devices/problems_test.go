package devices_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"hale/devices"
	"hale/vital"
)

func TestProblemsAreListedByWhatIsUrgentAndWhoHasSeenThem(t *testing.T) {
	t.Parallel()
	now := nine()
	ago := func(hours int) time.Time { return now.Add(-time.Duration(hours) * time.Hour) }
	anna := []devices.Wearer{{ID: 1, Name: "Anna"}}
	f := devices.Facts{
		Devices: []devices.Fact{
			{Device: 1, Name: "cuff-1", Sensor: 10, SensorName: "cuff-1", Wearers: anna, CalibrationDue: ago(24), CertificateEnds: now.Add(devices.EndsSoon - time.Hour),
				Condition: devices.Condition{HeardAt: ago(1), BatteryLowAt: ago(5), Battery: 12, SignalPoorAt: ago(4), Signal: -99, ClockWrongAt: ago(3), ClockOff: -50 * time.Hour},
				Silence:   devices.Silence{From: ago(6), Slots: 2}, Lost: 3, LostAt: ago(7)},
			{Device: 2, Name: "gw-1", Sensor: 20, SensorName: "gw-1", CalibrationDue: ago(24), CertificateEnds: now.Add(devices.EndsSoon + time.Hour)},
			{Device: 2, Name: "gw-1", Sensor: 21, SensorName: "scale-1", Wearers: anna, Silence: devices.Silence{From: ago(6), Slots: 2, Explained: true}},
		},
		Incidents: []devices.Incident{{UID: "i", Kind: devices.GatewayOut, Device: 2, Name: "gw-1", From: ago(8), Explains: 1}},
		Marks: []devices.ProblemMark{
			{Device: 1, Sensor: 10, Kind: devices.ProblemBattery, Since: ago(5), State: devices.ProblemSeen, Note: "batteries are on their way", By: "Dora"},
			{Device: 1, Sensor: 10, Kind: devices.ProblemSignal, Since: ago(4), State: devices.ProblemSnoozed, Until: now.Add(time.Hour)},
			{Device: 1, Sensor: 10, Kind: devices.ProblemGaps, Since: ago(7), State: devices.ProblemSnoozed, Until: now},
			{Device: 1, Sensor: 10, Kind: devices.ProblemClock, Since: ago(30), State: devices.ProblemSeen}, // that one was another time
		},
	}
	var got []string
	for _, p := range f.List(now) {
		got = append(got, fmt.Sprintf("%s %s %s", p.State, p.Kind, p.Sensor))
	}
	want := []string{
		"new outage gw-1", "new clock cuff-1", "new certificate cuff-1", "new silent cuff-1", "new gaps cuff-1", "new calibration cuff-1",
		"seen battery cuff-1", "snoozed signal cuff-1",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if list := f.List(now); list[0].Wearers[0].Name != "Anna" || list[6].Note == "" || !list[4].SnoozedYet {
		t.Errorf("%+v", list)
	}
}

func TestNumbersThatAreMissingForAnHourAreLost(t *testing.T) {
	t.Parallel()
	at := func(minutes int, number int64) devices.Counted {
		return devices.Counted{Metric: vital.HeartRate, Number: number, SentAt: nine().Add(time.Duration(minutes) * time.Minute)}
	}
	counted := []devices.Counted{at(-180, 1), at(-170, 2), at(-120, 6), at(-10, 9)}
	if lost, since := devices.LostIn(counted, nine()); lost != 3 || !since.Equal(nine().Add(-170*time.Minute)) {
		t.Errorf("%d since %s", lost, since)
	}
}

func TestACommandHasItsTimeAndItsContent(t *testing.T) {
	t.Parallel()
	ljubljana, err := time.LoadLocation("Europe/Ljubljana")
	if err != nil {
		t.Fatal(err)
	}
	at := func(hour int) time.Time { return time.Date(2026, 11, 21, hour, 30, 0, 0, ljubljana) }
	home := []*time.Location{ljubljana}
	for name, c := range map[string]struct {
		ask  devices.Command
		now  time.Time
		want string // not after, by the clock of the home; or what is wrong
	}{
		"by day for an hour":             {devices.Command{Kind: devices.MeasureNow, Homes: home}, at(12), "21 13:30"},
		"at night from its end on":       {devices.Command{Kind: devices.MeasureNow, Homes: home}, at(22), "22 08:00"},
		"before dawn the same day":       {devices.Command{Kind: devices.ShowText, Text: "Hello", Homes: home}, at(3), "22 07:00"},
		"urgent at night":                {devices.Command{Kind: devices.MeasureNow, Urgent: true, Homes: home}, at(22), "21 23:30"},
		"a clock disturbs nobody":        {devices.Command{Kind: devices.SyncClock, Homes: home}, at(22), "22 22:30"},
		"nobody's home":                  {devices.Command{Kind: devices.MeasureNow}, at(22), "21 23:30"},
		"stale before the night is over": {devices.Command{Kind: devices.MeasureNow, NotAfter: at(23), Homes: home}, at(22), "quiet hours"},
		"in the past":                    {devices.Command{Kind: devices.MeasureNow, NotAfter: at(11), Homes: home}, at(12), "lies ahead"},
		"too far ahead":                  {devices.Command{Kind: devices.SyncClock, NotAfter: at(12).AddDate(0, 0, 8)}, at(12), "lies ahead"},
		"another kind":                   {devices.Command{Kind: "reboot"}, at(12), "kind"},
		"a metric that is none":          {devices.Command{Kind: devices.MeasureNow, Metric: "mood"}, at(12), "metric"},
		"no text":                        {devices.Command{Kind: devices.ShowText, Text: " "}, at(12), "text"},
		"a text that is a program":       {devices.Command{Kind: devices.ShowText, Text: "a\x00b"}, at(12), "text"},
		"too often":                      {devices.Command{Kind: devices.SetInterval, Seconds: 5}, at(12), "seconds"},
		"what goes with another":         {devices.Command{Kind: devices.SyncClock, Seconds: 60}, at(12), "goes with"},
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
