package postgres_test

import (
	"fmt"
	"testing"
	"time"

	"hale/devices"
	"hale/devices/downlink"
	"hale/vital"
)

// text asks a device to show a text that is meant for whoever has it now.
func (d *depot) text(t *testing.T, device, sensor string) vital.UID {
	t.Helper()
	desk := &downlink.CommandDesk{Book: d.app}
	c, err := desk.Ask(t.Context(), d.desk, downlink.Command{Device: device, Sensor: sensor, Kind: downlink.ShowText, Text: "Please call your nurse", Urgent: true})
	if err != nil {
		t.Fatal(err)
	}
	return c.ID
}

// due returns which commands the edges are told of.
func (d *depot) due(t *testing.T) map[vital.UID]bool {
	t.Helper()
	open, _, err := d.work.OpenCommands(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	list := map[vital.UID]bool{}
	for i := range open {
		list[open[i].ID] = true
	}
	return list
}

func TestWhatWasAskedOfADeviceNeverReachesWhoeverHasItNext(t *testing.T) {
	t.Parallel()
	d := newDepot(t)
	ctx := t.Context()
	next := d.addPatient(t, d.nurse, "2")
	assign := func(sensor string, from, to time.Time) {
		if _, err := d.app.Assign(ctx, d.desk, devices.Binding{Sensor: sensor, Patient: next.UID, From: from, To: to}); err != nil {
			t.Fatal(err)
		}
	}
	must := func(err error) {
		if err != nil {
			t.Fatal(err)
		}
	}
	hands := "it changed hands"
	for i, c := range []struct {
		name   string
		before func(k devices.Kit, uid string)
		change func(k devices.Kit, uid string)
		why    string
	}{
		{"the kit is returned", func(k devices.Kit, _ string) { d.issue(t, k, d.patient) }, func(k devices.Kit, _ string) {
			_, err := d.kits.Return(ctx, d.desk, k.UID)
			must(err)
		}, hands},
		{"the kit is issued", nil, func(k devices.Kit, _ string) { d.issue(t, k, next) }, hands},
		{"an assignment ends", func(k devices.Kit, _ string) { d.issue(t, k, d.patient) }, func(_ devices.Kit, uid string) {
			_, err := d.kits.EndAssignment(ctx, d.desk, uid)
			must(err)
		}, hands},
		{"an assignment begins", nil, func(_ devices.Kit, uid string) { assign(uid, time.Now(), time.Time{}) }, hands},
		{"somebody gets a user slot", nil, func(_ devices.Kit, uid string) {
			assign(devices.SlotUID(uid, 2), time.Now(), time.Time{})
		}, hands},
		{"a sensor of the gateway is given away", nil, func(_ devices.Kit, uid string) { assign(uid+"-s", time.Now(), time.Time{}) }, hands},
		{"the kit is retired", nil, func(k devices.Kit, _ string) {
			_, err := d.kits.Retire(ctx, d.desk, k.UID)
			must(err)
		}, "the kit was retired"},
		{"the device is revoked", nil, func(_ devices.Kit, uid string) { must(d.app.Revoke(ctx, d.desk, uid)) }, "the device was taken out of use"},
	} {
		uid := fmt.Sprintf("hub-%d", i)
		d.enrol(t, uid, uid+"-s")
		k := d.make(t, fmt.Sprintf("Kit %d", i), uid)
		if c.before != nil {
			c.before(k, uid)
		}
		asked, other := d.text(t, uid, ""), d.text(t, "cuff-1", "")
		if !d.due(t)[asked] {
			t.Fatalf("%s: the command is not due before", c.name)
		}
		c.change(k, uid)
		if due := d.due(t); due[asked] || !due[other] {
			t.Errorf("%s: due are %v: %s is not to be, %s is", c.name, due, asked, other)
		}
		d.holds(t, "device_command", fmt.Sprintf("uid = '%s' AND state = 'cancelled' AND detail = '%s' AND settled_at IS NOT NULL", asked, c.why))
		d.holds(t, "audit", fmt.Sprintf("object = 'command %s' AND action IN ('command cancelled', 'cancel command') AND detail LIKE '%%text: %s'", asked, c.why))
	}
}

func TestACommandForOneSensorOutlivesAnotherThatIsGivenAway(t *testing.T) {
	t.Parallel()
	d := newDepot(t)
	d.enrol(t, "hub-1", "hub-1-a", "hub-1-b")
	of := d.text(t, "hub-1", "hub-1-a")
	if _, err := d.app.Assign(t.Context(), d.desk, devices.Binding{Sensor: "hub-1-b", Patient: d.patient.UID, From: time.Now()}); err != nil {
		t.Fatal(err)
	}
	if !d.due(t)[of] {
		t.Error("a command for one sensor was cancelled by another")
	}
}

func TestWhatComesIntoOtherHandsByTheClockIsNotSentAndIsCancelled(t *testing.T) {
	t.Parallel()
	d := newDepot(t)
	ctx := t.Context()
	d.enrol(t, "hub-1")
	asked, stays := d.text(t, "hub-1", ""), d.text(t, "cuff-1", "")
	// An hour passes, in which the device became somebody's by an assignment made beforehand.
	if _, err := d.app.Assign(ctx, d.desk, devices.Binding{Sensor: "hub-1", Patient: d.patient.UID, From: time.Now().Add(time.Hour)}); err != nil {
		t.Fatal(err)
	}
	if !d.due(t)[asked] {
		t.Fatal("it is nobody's until then")
	}
	d.exec(t, `UPDATE device_command SET created_at = created_at - interval '2 hours'`)
	d.exec(t, `ALTER TABLE assignment DISABLE TRIGGER assignment_cancels_commands; UPDATE assignment SET from_at = now() - interval '1 hour' WHERE from_at > now(); ALTER TABLE assignment ENABLE TRIGGER assignment_cancels_commands`)
	if due := d.due(t); due[asked] || !due[stays] {
		t.Errorf("due are %v", due)
	}
	if err := d.work.ExpireCommands(ctx, time.Now()); err != nil {
		t.Fatal(err)
	}
	d.holds(t, "device_command", fmt.Sprintf("uid = '%s' AND state = 'cancelled'", asked))
	d.holds(t, "device_command", fmt.Sprintf("uid = '%s' AND state = 'queued'", stays))
	d.holds(t, "audit", fmt.Sprintf("action = 'command cancelled' AND object = 'command %s'", asked))
}
