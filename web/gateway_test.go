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
	if grant, err := decide(devices.Carrier{Revoked: d.Revoked, Sensors: len(d.Sensors)}); err != nil || !grant {
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
	if answer, page := press(desk, at+"/sensors", url.Values{"sensor": {"scale-9"}, "type": {"t-oxi"}}); answer.StatusCode != http.StatusSeeOther {
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
