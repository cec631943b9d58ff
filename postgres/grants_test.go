package postgres_test

import (
	"context"
	"crypto/sha256"
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"hale/account"
	"hale/devices"
	"hale/fault"
	"hale/safe"
	"hale/vital"
)

// gateways is the desk that says for what gateways speak.
func (d *depot) gateways() *devices.Gateways {
	return &devices.Gateways{Book: d.app, Changed: func(context.Context) { d.told++ }}
}

// grant lets a gateway speak for a sensor.
func (d *depot) grant(t *testing.T, device, sensor string) devices.Granted {
	t.Helper()
	made, err := d.gateways().Grant(t.Context(), d.desk, devices.Granting{Device: device, Sensor: sensor})
	if err != nil {
		t.Fatal(err)
	}
	return made
}

// take ends that a gateway speaks for a sensor.
func (d *depot) take(t *testing.T, device, sensor string) {
	t.Helper()
	if err := d.gateways().Take(t.Context(), d.desk, device, sensor); err != nil {
		t.Fatal(err)
	}
}

// speaks reports whether an edge that looks now lets a gateway speak for a sensor.
func (d *depot) speaks(t *testing.T, device, sensor string) bool {
	t.Helper()
	_, some := d.edge(t).Devices[device].Sensors[sensor]
	return some
}

func TestAGatewayIsGivenAFurtherSensorThatNobodyHasAndItIsTakenBack(t *testing.T) {
	t.Parallel()
	d := newDepot(t)
	d.enrol(t, "hub-1", "scale-1")
	kit := d.make(t, "K-1", "hub-1")
	d.issue(t, kit, d.patient)
	types, err := d.types.List(t.Context(), d.desk)
	if err != nil {
		t.Fatal(err)
	}
	before := d.edge(t).Version
	is := &devices.Describing{Type: types[0].UID, Serial: "S9"}
	made, err := d.gateways().Grant(t.Context(), d.desk, devices.Granting{Device: "hub-1", Sensor: "cuff-new", Is: is})
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(devices.Granted{Sensor: "cuff-new", Others: []string{}}, made); diff != "" {
		t.Error(diff)
	}
	if s := d.edge(t); s.Version == before || s.Devices["hub-1"].Sensors["cuff-new"] == 0 || s.Devices["hub-1"].Sensors["scale-1"] == 0 || d.told == 0 {
		t.Errorf("the edges know %+v, version %d after %d", s.Devices["hub-1"], s.Version, before)
	}
	if of, err := d.types.Of(t.Context(), d.desk, "cuff-new"); err != nil || of.Serial != "S9" || of.Type.UID != types[0].UID {
		t.Errorf("it is %+v, %v", of, err)
	}
	if worn, err := d.kits.Worn(t.Context(), d.desk, "cuff-new", 0); err != nil || len(worn) != 0 {
		t.Errorf("nobody said whose it is, and it is %+v, %v", worn, err)
	}
	rows := func(action string) int {
		return d.count(t, `SELECT count(*) FROM audit WHERE action = $1 AND object = 'device hub-1' AND detail = 'sensor cuff-new' AND patient_id IS NULL`, action)
	}
	d.grant(t, "hub-1", "cuff-new")
	if n := rows("grant sensor"); n != 1 {
		t.Errorf("granted twice: %d audit rows", n)
	}
	d.take(t, "hub-1", "cuff-new")
	d.take(t, "hub-1", "cuff-new")
	if d.speaks(t, "hub-1", "cuff-new") || !d.speaks(t, "hub-1", "scale-1") {
		t.Error("the edges let it speak for what was taken from it")
	}
	if n := rows("take sensor from gateway"); n != 1 {
		t.Errorf("taken twice: %d audit rows", n)
	}
	list, err := d.gateways().Of(t.Context(), d.desk, "hub-1")
	if err != nil || len(list) != 2 || list[0].Sensor != "cuff-new" || list[0].Ended.IsZero() || list[0].Held || !list[1].Ended.IsZero() || !list[1].Held {
		t.Errorf("it speaks for %+v, %v", list, err)
	}
	if history := d.column(t, `SELECT what || ' ' || detail FROM kit_event WHERE what LIKE 'sensor%' ORDER BY id`); !cmp.Equal(history, []string{"sensor added hub-1: cuff-new", "sensor taken away hub-1: cuff-new"}) {
		t.Errorf("the kit's history says %q", history)
	}
	d.grant(t, "hub-1", "cuff-new")
	if !d.speaks(t, "hub-1", "cuff-new") {
		t.Error("given again, it does not speak for it")
	}
}

func TestWhatAGatewayCannotSpeakFor(t *testing.T) {
	t.Parallel()
	d := newDepot(t)
	d.enrol(t, "hub-1")
	d.enrol(t, "hub-2", "scale-1")
	d.enrol(t, "gone")
	if err := d.app.Revoke(t.Context(), d.desk, "gone"); err != nil {
		t.Fatal(err)
	}
	other := d.staff(t, "Elsewhere", "oda")
	if _, err := d.app.Enrol(t.Context(), other, devices.Enrolment{UID: "hub-9", Model: "any", SecretHash: sha256.Sum256([]byte("x")), Sensors: []string{"theirs"}}); err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		by             account.Actor
		device, sensor string
		kind           fault.Kind
	}{
		"a device's own":              {d.desk, "hub-1", "cuff-1", fault.Conflict},
		"itself":                      {d.desk, "hub-1", "hub-1", fault.Invalid},
		"somebody else's":             {d.desk, "hub-1", "theirs", fault.Conflict},
		"a name that cannot be":       {d.desk, "hub-1", "a:2", fault.Invalid},
		"a gateway that is not there": {d.desk, "hub-9", "scale-2", fault.NotFound},
		"one that is out of use":      {d.desk, "gone", "scale-2", fault.Conflict},
		"by a nurse":                  {account.Actor{Org: d.desk.Org, Staff: 1, Role: account.Nurse}, "hub-1", "scale-2", fault.Forbidden},
	} {
		if _, err := d.gateways().Grant(t.Context(), c.by, devices.Granting{Device: c.device, Sensor: c.sensor}); !fault.Is(err, c.kind) {
			t.Errorf("%s: %v", name, err)
		}
	}
	d.exec(t, `INSERT INTO sensor (org_id, uid) SELECT org_id, 'many-' || i FROM device, generate_series(1, 256) i WHERE uid = 'hub-1';
INSERT INTO gateway_grant (org_id, device_id, sensor_id) SELECT d.org_id, d.id, s.id FROM device d JOIN sensor s ON s.uid LIKE 'many-%' WHERE d.uid = 'hub-1'`)
	if _, err := d.gateways().Grant(t.Context(), d.desk, devices.Granting{Device: "hub-1", Sensor: "one-more"}); !fault.Is(err, fault.Conflict) {
		t.Errorf("the 257th: %v", err)
	}
	d.take(t, "hub-1", "many-7")
	d.grant(t, "hub-1", "one-more")
	if n := d.count(t, `SELECT count(*) FROM sensor WHERE uid = 'scale-2'`); n != 0 {
		t.Error("a sensor came of what was refused")
	}
	if got := d.grant(t, "hub-2", "one-more"); !cmp.Equal(got.Others, []string{"hub-1"}) {
		t.Errorf("who else speaks for it: %q", got.Others)
	}
	for _, sensor := range []string{"cuff-1", "never", "theirs"} {
		if err := d.gateways().Take(t.Context(), d.desk, "hub-1", sensor); !fault.Is(err, fault.NotFound) {
			t.Errorf("taken, what it never spoke for: %v", err)
		}
	}
}

func TestWhatAGatewayWasAskedForASensorEndsWithTheGrant(t *testing.T) {
	t.Parallel()
	d := newDepot(t)
	d.enrol(t, "hub-1", "hub-1-a", "hub-1-b", "hub-1-c")
	d.enrol(t, "hub-2", "hub-1-a")
	if _, err := d.app.Assign(t.Context(), d.desk, devices.Binding{Sensor: "hub-1-c", Patient: d.patient.UID, From: time.Now()}); err != nil {
		t.Fatal(err)
	}
	of, other, elsewhere, itself := d.text(t, "hub-1", "hub-1-a"), d.text(t, "hub-1", "hub-1-b"), d.text(t, "hub-2", "hub-1-a"), d.text(t, "hub-1", "")
	d.take(t, "hub-1", "hub-1-a")
	if due := d.due(t); due[of] || !due[other] || !due[elsewhere] || !due[itself] {
		t.Errorf("due are %v", due)
	}
	d.holds(t, "device_command", fmt.Sprintf("uid = '%s' AND state = 'cancelled' AND detail = 'the sensor was taken from the gateway'", of))
	d.holds(t, "audit", fmt.Sprintf("object = 'command %s' AND action = 'cancel command'", of))
	// What is asked of the gateway itself is noticed by whoever has what it speaks for.
	d.take(t, "hub-1", "hub-1-c")
	if due := d.due(t); due[itself] || !due[other] {
		t.Errorf("one who had a sensor of it has it no more: due are %v", due)
	}
	itself = d.text(t, "hub-1", "")
	d.grant(t, "hub-1", "hub-1-a")
	if !d.due(t)[itself] {
		t.Error("a sensor that nobody has cancelled what was asked of the gateway")
	}
	d.grant(t, "hub-1", "hub-1-c")
	if due := d.due(t); due[itself] || !due[other] {
		t.Errorf("one who has a sensor came to the gateway: due are %v", due)
	}
}

// TestWhatWasTakenFromAGatewayIsStillErased: what came of a person by a gateway that has lost the sensor since is theirs all the same.
func TestWhatWasTakenFromAGatewayIsStillErased(t *testing.T) {
	t.Parallel()
	d := newDepot(t)
	hub := d.enrol(t, "hub-1", "scale-1")
	if _, err := d.app.Assign(t.Context(), d.desk, devices.Binding{Sensor: "scale-1", Patient: d.patient.UID, From: since()}); err != nil {
		t.Fatal(err)
	}
	no := d.refusedValue(10, vital.ReasonUnit, `{"sensor":"scale-1","value":61}`, vital.BodyWeight, 0)
	no.Refused.Device = hub.ID
	d.advance(t, no)
	d.take(t, "hub-1", "scale-1")
	if list, wearers, err := d.app.Refusals(t.Context(), d.nurse, devices.RefusalFilter{Device: "hub-1", Limit: 10}); err != nil || len(list) != 1 || len(wearers) != 1 {
		t.Errorf("%d messages, of %v, %v", len(list), wearers, err)
	}
	d.request(t, d.patient, atOnce(), safe.ErasureDecision{})
	d.carryErasureOut(t, d.now(t))
	if n := d.count(t, `SELECT count(*) FROM quarantine WHERE position('scale-1' IN convert_from(raw, 'UTF8')) > 0`); n != 0 {
		t.Errorf("%d messages of the erased are left", n)
	}
}
