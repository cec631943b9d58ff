package devices_test

import (
	"fmt"
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
				Condition: devices.Condition{HeardAt: ago(1), BatteryLowAt: ago(5), Battery: 12, SignalPoorAt: ago(4), Signal: -99},
				Clock:     devices.ClockFact{Trouble: devices.ClockTrouble{Wrong: 50 * time.Hour, Since: ago(3)}},
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
