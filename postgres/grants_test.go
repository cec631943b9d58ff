package postgres_test

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"slices"
	"strings"
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

// with returns the names of who has a sensor now, and whose time of it ended.
func (d *depot) with(t *testing.T, sensor string) (now, before []string) {
	t.Helper()
	worn, err := d.kits.Worn(t.Context(), d.desk, sensor, 0)
	if err != nil {
		t.Fatal(err)
	}
	for _, w := range worn {
		if w.To.IsZero() {
			now = append(now, w.Name)
		} else {
			before = append(before, w.Name)
		}
	}
	return now, before
}

// TestAKitThatComesBackTakesNothingFromAThirdPerson whose sensor its gateway speaks for too.
func TestAKitThatComesBackTakesNothingFromAThirdPerson(t *testing.T) {
	t.Parallel()
	d := newDepot(t)
	ctx, anna, bert := t.Context(), d.patient, d.addPatient(t, d.nurse, "2")
	d.enrol(t, "hub-a", "scale-a")
	d.enrol(t, "hub-b", "scale-b", "loose-b")
	ofAnna, ofBert := d.make(t, "K-A", "hub-a"), d.make(t, "K-B", "hub-b")
	d.issue(t, ofAnna, anna)
	d.issue(t, ofBert, bert)
	if _, err := d.gateways().Grant(ctx, d.desk, devices.Granting{Device: "hub-b", Sensor: "scale-a", Confirmed: true}); err != nil {
		t.Fatal(err)
	}
	// What is nobody's but the kit's comes back with it, whoever has it.
	if _, err := d.kits.EndAssignment(ctx, d.desk, "loose-b"); err != nil {
		t.Fatal(err)
	}
	if _, err := d.app.Assign(ctx, d.desk, devices.Binding{Sensor: "loose-b", Patient: anna.UID, From: time.Now()}); err != nil {
		t.Fatal(err)
	}
	list, err := d.kits.List(ctx, d.desk, devices.KitFilter{})
	if err != nil || len(list) != 2 {
		t.Fatalf("%d kits, %v", len(list), err)
	}
	for i, other := range []string{"hub-b", "hub-a"} {
		for _, s := range list[i].Items[0].Sensors {
			if s.UID == "scale-a" && (len(s.Users) != 1 || s.Users[0].Patient != anna.ID || !cmp.Equal(s.Others, []string{other})) {
				t.Errorf("%s: scale-a is with %+v, and %q speak for it", list[i].Label, s.Users, s.Others)
			}
		}
	}
	d.grant(t, "hub-a", "new-a")
	if k, err := d.kits.Get(ctx, d.desk, ofAnna.UID); err != nil || !slices.ContainsFunc(k.Missing(), func(m devices.Missing) bool { return m.String() == "new-a is nobody's" }) {
		t.Errorf("nobody said whose the new sensor is, and missing is %+v, %v", k.Missing(), err)
	}
	nurse := d.nurse
	nurse.Role = account.Nurse
	hers, err := d.app.Patient(ctx, nurse, anna.UID)
	if err != nil {
		t.Fatal(err)
	}
	if k, err := d.kits.OfPatient(ctx, nurse, &hers); err != nil || len(k) != 1 || slices.ContainsFunc(k[0].Missing(), func(m devices.Missing) bool { return m.What == devices.MissingOwner }) {
		t.Errorf("a nurse, who may not know of everybody, is told %+v, %v", k, err)
	}
	if _, err := d.kits.Return(ctx, d.desk, ofBert.UID); err != nil {
		t.Fatal(err)
	}
	if now, _ := d.with(t, "scale-a"); !cmp.Equal(now, []string{anna.Name}) {
		t.Errorf("Bert's kit came back, and Anna's scale is with %q", now)
	}
	for _, sensor := range []string{"hub-b", "scale-b", "loose-b"} {
		if now, _ := d.with(t, sensor); len(now) != 0 {
			t.Errorf("the kit came back, and %s is with %q", sensor, now)
		}
	}
	d.holds(t, "kit_event", `what = 'returned' AND detail = 'somebody else''s still: scale-a'`)
	if _, err := d.kits.Return(ctx, d.desk, ofAnna.UID); err != nil {
		t.Fatal(err)
	}
	if now, _ := d.with(t, "scale-a"); len(now) != 0 {
		t.Errorf("Anna's own kit came back, and her scale is with %q", now)
	}
}

// TestAKitThatComesBackEndsWhatWasTakenFromItMeanwhile and its holders have still, but not what another gateway has come to speak for.
func TestAKitThatComesBackEndsWhatWasTakenFromItMeanwhile(t *testing.T) {
	t.Parallel()
	d := newDepot(t)
	anna, bert := d.patient, d.addPatient(t, d.nurse, "2")
	d.enrol(t, "hub-a", "left", "moved", "handed", "before")
	d.enrol(t, "hub-c")
	d.take(t, "hub-a", "before")
	if _, err := d.app.Assign(t.Context(), d.desk, devices.Binding{Sensor: "before", Patient: anna.UID, From: time.Now()}); err != nil {
		t.Fatal(err)
	}
	kit := d.make(t, "K-A", "hub-a")
	d.issue(t, kit, anna)
	for _, sensor := range []string{"left", "moved", "handed"} {
		d.take(t, "hub-a", sensor)
	}
	d.grant(t, "hub-c", "moved")
	if _, err := d.kits.EndAssignment(t.Context(), d.desk, "handed"); err != nil {
		t.Fatal(err)
	}
	if _, err := d.app.Assign(t.Context(), d.desk, devices.Binding{Sensor: "handed", Patient: bert.UID, From: time.Now()}); err != nil {
		t.Fatal(err)
	}
	if _, err := d.kits.Return(t.Context(), d.desk, kit.UID); err != nil {
		t.Fatal(err)
	}
	for sensor, want := range map[string][]string{"hub-a": nil, "left": nil, "moved": {anna.Name}, "handed": {bert.Name}, "before": {anna.Name}} {
		if now, _ := d.with(t, sensor); !cmp.Equal(now, want) {
			t.Errorf("the kit came back, and %s is with %q, want %q", sensor, now, want)
		}
	}
	d.holds(t, "kit_event", `what = 'returned' AND detail = 'with what was taken from its gateways before: left'`)
}

// TestAGatewayInOnePersonsHandsIsNotGivenAnothersSensorWithoutAWord: what it sends of it would be the other's.
func TestAGatewayInOnePersonsHandsIsNotGivenAnothersSensorWithoutAWord(t *testing.T) {
	t.Parallel()
	d := newDepot(t)
	ctx, anna, cora := t.Context(), d.patient, d.addPatient(t, d.nurse, "2")
	d.enrol(t, "hub-a", "scale-a", "oxi-a")
	d.enrol(t, "hub-c")
	d.enrol(t, "hub-lone")
	d.enrol(t, "hub-some", "theirs")
	d.enrol(t, "hub-free")
	d.issue(t, d.make(t, "K-A", "hub-a"), anna)
	d.issue(t, d.make(t, "K-C", "hub-c"), cora)
	d.make(t, "K-F", "hub-free")
	for _, sensor := range []string{"hub-lone", "theirs"} {
		if _, err := d.app.Assign(ctx, d.desk, devices.Binding{Sensor: sensor, Patient: cora.UID, From: time.Now()}); err != nil {
			t.Fatal(err)
		}
	}
	for _, hub := range []string{"hub-c", "hub-lone", "hub-some"} {
		_, err := d.gateways().Grant(ctx, d.desk, devices.Granting{Device: hub, Sensor: "scale-a"})
		if text := fault.MessageOf(err); !fault.Is(err, fault.Conflict) || !errors.Is(err, devices.ErrElsewhere) || !strings.Contains(text, "scale-a is somebody else's, since ") ||
			!strings.Contains(text, "(kit K-A)") || strings.Contains(text, anna.Name) {
			t.Errorf("%s is Cora's, and the scale Anna's: %v", hub, err)
		}
		if d.speaks(t, hub, "scale-a") {
			t.Errorf("%s speaks for what it was refused", hub)
		}
		if made, err := d.gateways().Grant(ctx, d.desk, devices.Granting{Device: hub, Sensor: "scale-a", Confirmed: true}); err != nil || !made.Held || !d.speaks(t, hub, "scale-a") {
			t.Errorf("%s, when it was asked: %+v, %v", hub, made, err)
		}
		d.grant(t, hub, "scale-a") // again
		d.holds(t, "audit", `action = 'grant sensor' AND object = 'device `+hub+`' AND detail = 'sensor scale-a, of somebody else: confirmed'`)
	}
	d.holds(t, "kit_event", `what = 'sensor added' AND detail = 'hub-c: scale-a, of somebody else: confirmed'`)
	d.grant(t, "hub-free", "oxi-a") // of a kit in stock: it is issued to Anna, or not at all
	d.grant(t, "hub-c", "theirs")   // Cora's own
	if now, _ := d.with(t, "scale-a"); !cmp.Equal(now, []string{anna.Name}) {
		t.Errorf("the scale is with %q", now)
	}
}
