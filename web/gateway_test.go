package web_test

import (
	"context"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"

	"hale/account"
	"hale/devices"
	"hale/fault"
	"hale/vital"
)

func (b *boxes) Granted(_ context.Context, _ account.Actor, device string) ([]devices.Granted, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	var list []devices.Granted
	for _, d := range b.all {
		for name := range d.Sensors {
			if d.UID == device {
				list = append(list, devices.Granted{Sensor: name, Others: []string{"hub-8"}})
			}
		}
	}
	if device == "hub-1" {
		list = append(list, b.taken...)
	}
	return list, nil
}

func (b *boxes) GrantSensor(_ context.Context, _ account.Actor, g devices.Granting, decide func(devices.Carrier) (bool, error)) (devices.Granted, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	i := slices.IndexFunc(b.all, func(d devices.Device) bool { return d.UID == g.Device })
	d := &b.all[i]
	is := devices.Carrier{Revoked: d.Revoked, Sensors: len(d.Sensors)}
	if g.Sensor == b.elsewhere {
		is.Elsewhere = &devices.Elsewhere{Since: b.now, Kits: []string{"K-3"}}
	}
	if grant, err := decide(is); err != nil || !grant {
		return devices.Granted{}, err
	}
	d.Sensors = maps.Clone(d.Sensors)
	d.Sensors[g.Sensor] = 9
	if g.Is != nil {
		b.is[g.Sensor] = devices.Details{Type: b.types[slices.IndexFunc(b.types, func(t devices.Type) bool { return t.UID == g.Is.Type })]}
	}
	return devices.Granted{Sensor: g.Sensor}, nil
}

func (b *boxes) EndGrant(_ context.Context, _ account.Actor, device, sensor string) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	i := slices.IndexFunc(b.all, func(d devices.Device) bool { return d.UID == device })
	if _, speaks := b.all[i].Sensors[sensor]; !speaks {
		return fault.New(fault.NotFound, "the device %q does not speak for %q", device, sensor)
	}
	b.all[i].Sensors = maps.Clone(b.all[i].Sensors)
	delete(b.all[i].Sensors, sensor)
	b.taken = append(b.taken, devices.Granted{Sensor: sensor, Ended: b.now, Held: true})
	return nil
}

// TestAGatewayGetsAFurtherSensorOnItsPage, which says that nobody has it; somebody says whose it is there, and takes it from the gateway.
func TestAGatewayGetsAFurtherSensorOnItsPage(t *testing.T) {
	t.Parallel()
	f := furnish(t)
	kits, _, _ := f.boxes.services()
	kit, err := kits.Make(t.Context(), f.staff["desk"], "K-12", []string{"hub-1"})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := kits.Issue(t.Context(), f.staff["desk"], devices.Handout{Kit: kit.UID, Patient: f.ana.UID}); err != nil {
		t.Fatal(err)
	}
	app := f.app(t)
	desk, nurse := visit(t, app, "desk"), visit(t, app, "mira")
	const at = "/devices/about/hub-1"
	_, page := desk.get(at)
	wants(t, page, "Add a sensor", "Sensor oxi-1", "hub-8 speaks for it too", "Nobody has it by that, also when somebody has the kit")
	for sensor, status := range map[string]int{"a b": http.StatusBadRequest, "hub-1": http.StatusBadRequest} {
		if answer, page := press(desk, at+"/sensors", url.Values{"sensor": {sensor}}); answer.StatusCode != status && answer.StatusCode != http.StatusUnprocessableEntity {
			t.Errorf("%q: %d %s", sensor, answer.StatusCode, words(page))
		}
	}
	f.boxes.elsewhere = "scale-9"
	for _, confirm := range []string{"", "yes", "scale-8"} {
		answer, page := press(desk, at+"/sensors", url.Values{"sensor": {"scale-9"}, "type": {"t-oxi"}, "confirm": {confirm}})
		if answer.StatusCode != http.StatusConflict {
			t.Fatalf("add what is somebody else's: %d %s", answer.StatusCode, words(page))
		}
		wants(t, page, "The sensor scale-9 is somebody else&#39;s, since", "(kit K-3)", "scale-9 is somebody else’s", "Ana Novak", "End it now", "It stays theirs, and what hub-1 sends of scale-9 is theirs too")
		if !strings.Contains(page, `name="confirm" value="scale-9"`) || !strings.Contains(page, `value="t-oxi" selected`) {
			t.Errorf("what was asked for does not stand in the form: %s", words(page))
		}
	}
	if answer, page := press(desk, at+"/sensors", url.Values{"sensor": {"scale-9"}, "type": {"t-oxi"}, "confirm": {"scale-9"}}); answer.StatusCode != http.StatusSeeOther {
		t.Fatalf("add: %d %s", answer.StatusCode, words(page))
	}
	if answer, page := press(desk, at+"/sensors", url.Values{"sensor": {" oxi-2 "}}); answer.StatusCode != http.StatusSeeOther {
		t.Fatalf("add: %d %s", answer.StatusCode, words(page))
	}
	_, page = desk.get(at)
	wants(t, page, "Sensor scale-9", "Nonin 3230", "Sensor oxi-2", "Nobody has it: what it measures waits under", "That somebody has the kit does not make it theirs.", "Take scale-9 from hub-1", "Whoever has it still has it")
	answer, page := press(desk, at+"/give", url.Values{"sensor": {"oxi-2"}, "who": {"novak"}})
	if answer.StatusCode != http.StatusOK {
		t.Errorf("a name is a choice: %d", answer.StatusCode)
	}
	wants(t, page, "Who is it?", "Ana Novak")
	if len(f.boxes.bound) != 0 {
		t.Error("it was guessed whose it is")
	}
	if answer, page := press(desk, at+"/give", url.Values{"sensor": {"oxi-2"}, "who": {"novak"}, "other": {string(f.ana.UID)}}); answer.StatusCode != http.StatusSeeOther {
		t.Fatalf("give: %d %s", answer.StatusCode, words(page))
	}
	if len(f.boxes.bound) != 1 || f.boxes.bound[0].Sensor != "oxi-2" || f.boxes.bound[0].Patient != f.ana.UID {
		t.Errorf("bound %+v", f.boxes.bound)
	}
	if answer, page := press(desk, at+"/sensors/take", url.Values{"sensor": {"scale-9"}}); answer.StatusCode != http.StatusSeeOther {
		t.Fatalf("take: %d %s", answer.StatusCode, words(page))
	}
	_, page = desk.get(at)
	wants(t, page, "Taken from it, and somebody has it still", "scale-9", "Ana Novak", "End it now")
	if strings.Contains(page, "Sensor scale-9") {
		t.Error("it speaks for what was taken from it")
	}
	for _, path := range []string{"/sensors", "/sensors/take", "/give"} {
		if answer, _ := press(nurse, at+path, url.Values{"sensor": {"oxi-2"}, "who": {"novak"}}); answer.StatusCode != http.StatusForbidden {
			t.Errorf("a nurse did %s: %d", path, answer.StatusCode)
		}
	}
	_, page = desk.get("/devices/about/cuff-9")
	if strings.Contains(page, "Add a sensor") {
		t.Error("one that is out of use is offered a sensor")
	}
}

// TestTheKitPageSaysWhatAReturnEndsAndWhatNot of sensors for which its gateways do not speak alone, or not any more.
func TestTheKitPageSaysWhatAReturnEndsAndWhatNot(t *testing.T) {
	t.Parallel()
	f := furnish(t)
	kits, _, _ := f.boxes.services()
	kit, err := kits.Make(t.Context(), f.staff["desk"], "K-12", []string{"hub-1"})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := kits.Issue(t.Context(), f.staff["desk"], devices.Handout{Kit: kit.UID, Patient: f.ana.UID}); err != nil {
		t.Fatal(err)
	}
	with := func(p vital.PatientID) []devices.SensorUser { return []devices.SensorUser{{Patient: p}} }
	k := &f.boxes.kits[0]
	k.Items[0].Sensors = append(k.Items[0].Sensors, devices.KitSensor{UID: "scale-3", Others: []string{"hub-8"}, Users: with(f.ana.ID + 1000)})
	k.Taken = []devices.KitSensor{{UID: "cuff-old", Users: with(f.ana.ID)}, {UID: "cuff-new", Users: with(f.ana.ID + 1000)}}
	_, page := visit(t, f.app(t), "desk").get("/devices/kits/" + string(kit.UID))
	wants(t, page, "hub-8 speaks for it too, and is not in this kit. somebody else’s", "somebody else has scale-3, which stays theirs",
		"Taken from its gateways since it was issued, and still with who has the kit: cuff-old. When the kit comes back, that ends too.")
	if strings.Contains(page, "cuff-new") {
		t.Error("what is somebody else's comes back with the kit")
	}
}
