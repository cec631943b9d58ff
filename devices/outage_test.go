package devices_test

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"hale/devices"
	"hale/vital"
)

func nine() time.Time { return time.Date(2026, 11, 21, 9, 0, 0, 0, time.UTC) }

// missed is a slot from seven to eight that passed with nothing.
func missed(sensor vital.SensorID, patient vital.PatientID) devices.Missed {
	m := devices.Missed{Sensor: sensor, Patient: patient}
	m.Add(devices.Passed{Opens: nine().Add(-2 * time.Hour), Closes: nine().Add(-time.Hour)})
	return m
}

func lastHeard(id vital.DeviceID, at time.Time, all ...devices.Missed) devices.WatchedDevice {
	return devices.WatchedDevice{Presence: devices.Presence{Org: 1, Device: id, HeardAt: at}, Missed: all}
}

// gatewayOfSix speaks for six sensors of six people, all of whom were expected to measure between seven and eight.
func gatewayOfSix(heard time.Time) devices.WatchedDevice {
	d := lastHeard(7, heard)
	d.Gateway = true
	for i := range 6 {
		d.Missed = append(d.Missed, missed(vital.SensorID(70+i), vital.PatientID(i+1)))
	}
	return d
}

func TestAGatewayWithSixPatientsIsOneIncident(t *testing.T) {
	t.Parallel()
	six := gatewayOfSix(nine().Add(-3 * time.Hour))
	all, silent := devices.Outages(1, devices.Watched{Devices: []devices.WatchedDevice{six}}, nine())
	want := []devices.Incident{{Org: 1, Kind: devices.GatewayOut, Device: 7, Why: devices.WhySilent, From: six.HeardAt, OpenedAt: nine(), Explains: 6}}
	if diff := cmp.Diff(want, all); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if len(silent) != 6 {
		t.Fatalf("%d sensors are silent", len(silent))
	}
	for _, s := range silent {
		if !s.Explained {
			t.Errorf("somebody would be told of %+v", s)
		}
	}

	// It lasts as it is, and ends when the gateway is heard.
	all[0].UID = "a"
	again, _ := devices.Outages(1, devices.Watched{Devices: []devices.WatchedDevice{six}, Open: all}, nine().Add(time.Minute))
	if diff := cmp.Diff(all, again); diff != "" {
		t.Errorf("a minute later (-want +got):\n%s", diff)
	}
	six.HeardAt = nine().Add(2 * time.Minute)
	ended, silent := devices.Outages(1, devices.Watched{Devices: []devices.WatchedDevice{six}, Open: all}, nine().Add(3*time.Minute))
	if len(ended) != 1 || !ended[0].To.Equal(six.HeardAt) || ended[0].UID != "a" {
		t.Errorf("heard again: %+v", ended)
	}
	if len(silent) != 0 {
		t.Errorf("all that is missing lay within the outage: %+v", silent)
	}
	// So it stays, and what passes with nothing from then on is the people's.
	w := devices.Watched{Devices: []devices.WatchedDevice{six}, Over: ended}
	if _, silent = devices.Outages(1, w, nine().Add(time.Hour)); len(silent) != 0 {
		t.Errorf("later: %+v", silent)
	}
	more := devices.Passed{Opens: nine(), Closes: nine().Add(30 * time.Minute)} // heard meanwhile
	w.Devices[0].Missed[0].Add(more)
	if _, silent = devices.Outages(1, w, nine().Add(time.Hour)); len(silent) != 1 || silent[0].Slots != 1 || !silent[0].From.Equal(more.Opens) || silent[0].Explained {
		t.Errorf("missed after it: %+v", silent)
	}
	// A device that is alone, and comes back with nothing, has measured nothing.
	w.Devices[0].Missed = w.Devices[0].Missed[1:2]
	w.Over[0].Kind = devices.DeviceOut
	if _, silent = devices.Outages(1, w, nine().Add(time.Hour)); len(silent) != 1 {
		t.Errorf("of a single device: %+v", silent)
	}
}

func TestWhoIsHeardAndMeasuresNothingIsNoOutage(t *testing.T) {
	t.Parallel()
	heard := gatewayOfSix(nine().Add(-90 * time.Minute)) // within the slot
	connected := gatewayOfSix(nine().Add(-3 * time.Hour))
	connected.ConnectedAt = nine().Add(-3 * time.Hour)
	for name, d := range map[string]devices.WatchedDevice{"heard since": heard, "connected": connected} {
		all, silent := devices.Outages(1, devices.Watched{Devices: []devices.WatchedDevice{d}}, nine())
		if len(all) != 0 || len(silent) != 6 || silent[0].Explained {
			t.Errorf("%s: %+v, silent %+v", name, all, silent)
		}
	}
	stale := connected // its edge was killed, and told nothing
	stale.ConnectedAt, stale.HeardAt = nine().Add(-30*time.Hour), nine().Add(-30*time.Hour)
	if all, _ := devices.Outages(1, devices.Watched{Devices: []devices.WatchedDevice{stale}}, nine()); len(all) != 1 {
		t.Errorf("a connection of which nothing was heard for a day: %+v", all)
	}
}

func TestManySilentDevicesAreOneIncidentOfThePlatform(t *testing.T) {
	t.Parallel()
	at := nine().Add(-3 * time.Hour)
	var w devices.Watched
	for i := range 6 {
		w.Devices = append(w.Devices, lastHeard(vital.DeviceID(i+1), at.Add(time.Duration(i)*time.Minute), missed(vital.SensorID(i+1), vital.PatientID(i+1))))
	}
	w.Open = []devices.Incident{{UID: "d1", Org: 1, Kind: devices.DeviceOut, Device: 1, Why: devices.WhySilent, From: at, OpenedAt: at.Add(2 * time.Hour), Explains: 1}}
	w.Devices = append(w.Devices, lastHeard(99, nine().Add(-72*time.Hour), missed(99, 99))) // dead for days: its own trouble
	all, silent := devices.Outages(1, w, nine())
	ended := w.Open[0]
	ended.To = nine()
	want := []devices.Incident{
		{Org: 1, Kind: devices.PlatformOut, Why: devices.WhyManySilent, From: at, OpenedAt: nine(), Explains: 7},
		ended,
		{Org: 1, Kind: devices.DeviceOut, Device: 99, Why: devices.WhySilent, From: nine().Add(-72 * time.Hour), OpenedAt: nine(), Explains: 1},
	}
	if diff := cmp.Diff(want, all); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	for _, s := range silent {
		if !s.Explained {
			t.Errorf("somebody would be told of %+v", s)
		}
	}
	// Two more are there: half of all is still too few, and four of six are their own troubles.
	few := devices.Watched{Devices: w.Devices[:4]}
	if all, _ := devices.Outages(1, few, nine()); len(all) != 4 || all[0].Kind != devices.DeviceOut {
		t.Errorf("four devices: %+v", all)
	}
	// It ends when three quarters are back, and who is not has an incident of their own.
	open := all[:1]
	for i := range 5 {
		w.Devices[i].HeardAt = nine().Add(time.Minute)
	}
	w.Open = open
	all, _ = devices.Outages(1, w, nine().Add(2*time.Minute))
	if len(all) != 3 || all[0].To.IsZero() || all[1].Device != 6 || !all[1].To.IsZero() {
		t.Errorf("nearly all back: %+v", all)
	}
}

func TestWhoComesBackOverHTTPIsBack(t *testing.T) {
	t.Parallel()
	gone := nine().Add(-20 * time.Minute)
	killed := &devices.EdgeLife{SeenAt: gone, MissedAt: gone.Add(time.Minute)}
	for name, life := range map[string]*devices.EdgeLife{"each said its last will": nil, "their edge was killed": killed} {
		var w devices.Watched
		for i := range 5 {
			d := lastHeard(vital.DeviceID(i+1), gone.Add(-time.Minute))
			d.ConnectedAt, d.Life = gone.Add(-time.Hour), life
			if life == nil {
				d.LeftAt, d.Vanished = gone, true
			} else {
				d.HeardAt = gone.Add(4 * time.Second) // after the newest renewal
			}
			w.Devices = append(w.Devices, d)
		}
		w.Open, _ = devices.Outages(1, w, nine())
		if len(w.Open) != 1 || w.Open[0].Why != devices.WhyManySilent {
			t.Fatalf("%s: %+v", name, w.Open)
		}
		w.Open[0].UID = "p"
		for i := range w.Devices {
			w.Devices[i].HeardAt = nine().Add(time.Minute)
		}
		all, _ := devices.Outages(1, w, nine().Add(2*time.Minute))
		if len(all) != 1 || !all[0].To.Equal(nine().Add(2*time.Minute)) {
			t.Errorf("%s: all are heard again, and the incident is %+v", name, all)
		}
		w.Open = nil
		if all, _ = devices.Outages(1, w, nine().Add(time.Hour)); len(all) != 0 {
			t.Errorf("%s: nothing was expected of them since they were heard: %+v", name, all)
		}
	}
}

func TestAnEdgeThatIsMissedExplainsWhatDoesNotCome(t *testing.T) {
	t.Parallel()
	w := devices.Watched{
		Devices:  []devices.WatchedDevice{lastHeard(1, nine().Add(-3*time.Hour), missed(1, 1))},
		Platform: devices.WhyEdgeMissed, Since: nine().Add(-90 * time.Minute),
	}
	w.Devices[0].HeardAt = w.Since.Add(-time.Hour)
	all, silent := devices.Outages(1, w, nine())
	if len(all) != 1 || all[0].Kind != devices.PlatformOut || all[0].Explains != 1 || !silent[0].Explained {
		t.Fatalf("%+v, silent %+v", all, silent)
	}
	// What was missed before is not its doing.
	before := missed(1, 1)
	before.Opens, before.Closes = w.Since.Add(-2*time.Hour), w.Since.Add(-time.Hour)
	before.LastOpens, before.LastCloses = before.Opens, before.Closes
	before.Passed = []devices.Passed{{Opens: before.Opens, Closes: before.Closes}}
	w.Devices[0].Missed = []devices.Missed{before}
	if all, silent := devices.Outages(1, w, nine()); all[0].Explains != 0 || silent[0].Explained {
		t.Errorf("%+v, silent %+v", all, silent)
	}
	w.Platform, w.Open = "", all
	if all, _ := devices.Outages(1, w, nine().Add(time.Minute)); len(all) != 1 || all[0].To.IsZero() {
		t.Errorf("after the edge came back: %+v", all)
	}
}
