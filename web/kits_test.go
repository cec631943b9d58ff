package web_test

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"hale/account"
	"hale/devices"
	"hale/fault"
	"hale/internal/browser"
	"hale/vital"
)

// boxes is a record in memory of kits, of what things are, and of who has them.
type boxes struct {
	*house
	kits  []devices.Kit
	log   map[vital.UID][]devices.KitEvent
	types []devices.Type
	is    map[string]devices.Details
	all   []devices.Device
	ended []string
	taken []devices.Granted // from hub-1
	bound []devices.Binding // of single sensors

	elsewhere string // a sensor that is somebody else's than every gateway
}

func newBoxes(h *house) *boxes {
	b := &boxes{house: h, log: map[vital.UID][]devices.KitEvent{}, is: map[string]devices.Details{}}
	b.types = []devices.Type{
		{UID: "t-cuff", Maker: "Any", Model: "cuff for two", Kind: devices.Cuff, Metrics: []vital.Metric{vital.BloodPressure}, Slots: 2, Shipped: true},
		{UID: "t-oxi", Maker: "Nonin", Model: "3230", Kind: devices.Oximeter, Metrics: []vital.Metric{vital.OxygenSat}, Slots: 1},
		{UID: "t-hub", Maker: "Any", Model: "gateway", Kind: devices.Gateway, Slots: 1, Shipped: true},
	}
	b.is = map[string]devices.Details{
		"hub-1": {Type: b.types[2]}, "oxi-1": {Type: b.types[1], Serial: "S7", Lot: "L1", Firmware: "1.4", CalibrationDue: "2027-03-01"}, "cuff-1": {Type: b.types[0]}, "cuff-9": {},
	}
	b.all = []devices.Device{
		{UID: "cuff-1", Model: "BP 2"}, {UID: "cuff-9", Model: "BP <2>", Revoked: true}, {UID: "hub-1", Model: "Hub", Sensors: map[string]vital.SensorID{"oxi-1": 5}}, {UID: "scale-2", Model: "Scale"},
	}
	return b
}

func (b *boxes) services() (*devices.Kits, *devices.Types, *devices.Desk) {
	return &devices.Kits{Book: b, Wearing: b, Patients: b}, &devices.Types{Catalogue: b}, &devices.Desk{Kit: b, Patients: b, Now: b.clock}
}

func (b *boxes) Kits(_ context.Context, _ account.Actor, f devices.KitFilter) ([]devices.Kit, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	var list []devices.Kit
	for _, k := range b.kits {
		has := slices.ContainsFunc(k.Holders, func(h devices.Holder) bool { return h.UID == f.Patient })
		if (f.UID == "" || f.UID == k.UID) && (f.Patient == "" || has) {
			list = append(list, k)
		}
	}
	return list, b.broken
}

func (b *boxes) item(device string) devices.KitItem {
	item := devices.KitItem{Device: device, Model: "Model of " + device, Sensors: []devices.KitSensor{{UID: device, Own: true, Carries: device == "hub-1", Details: b.is[device]}}}
	if device == "hub-1" {
		item.Sensors = append(item.Sensors, devices.KitSensor{UID: "oxi-1", Details: b.is["oxi-1"]})
	}
	return item
}

func (b *boxes) MakeKit(_ context.Context, actor account.Actor, label string, list []string) (devices.Kit, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if slices.ContainsFunc(b.kits, func(k devices.Kit) bool { return k.Label == label }) {
		return devices.Kit{}, fault.New(fault.Conflict, "a kit with the label %q is there already", label)
	}
	k := devices.Kit{UID: vital.UID(fmt.Sprintf("01920000-0000-7000-8000-0000000000%02d", len(b.kits)+50)), Label: label, State: devices.KitInStock, StateAt: b.now}
	for _, d := range list {
		k.Items = append(k.Items, b.item(d))
	}
	b.kits = append(b.kits, k)
	b.log[k.UID] = []devices.KitEvent{{At: b.now, By: actor.Name, Role: string(actor.Role), What: devices.KitMade}}
	return k, nil
}

func (b *boxes) ChangeKit(_ context.Context, actor account.Actor, c devices.KitChange) (devices.Kit, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	i := slices.IndexFunc(b.kits, func(k devices.Kit) bool { return k.UID == c.Kit })
	if i < 0 {
		return devices.Kit{}, fault.New(fault.NotFound, "there is no kit %q", string(c.Kit))
	}
	k := &b.kits[i]
	step, err := c.Decide(k)
	if err != nil {
		return devices.Kit{}, err
	}
	k.State, k.StateAt = step.State, b.now
	if step.Cuff {
		k.CuffAt = b.now
	}
	for j := range k.Holders {
		if slices.Contains(step.Named, k.Holders[j].Patient) {
			k.Holders[j].NamedAt = b.now
		}
	}
	if step.End {
		k.Holders = nil
	}
	for _, uid := range step.Hold {
		p := b.people[slices.IndexFunc(b.people, func(p account.Patient) bool { return p.UID == uid })]
		k.IssuedAt, k.CuffAt = b.now, time.Time{}
		k.Holders = append(k.Holders, devices.Holder{Patient: p.ID, UID: p.UID, Name: p.Name, From: b.now})
	}
	for _, g := range step.Give {
		p := b.people[slices.IndexFunc(b.people, func(p account.Patient) bool { return p.UID == g.Patient })]
		for j := range k.Items {
			for n := range k.Items[j].Sensors {
				if s := &k.Items[j].Sensors[n]; s.UID == g.Sensor {
					name := s.UID
					if g.Slot != devices.NoSlot {
						name = devices.SlotUID(name, uint8(g.Slot))
					}
					s.Users = append(s.Users, devices.SensorUser{Sensor: name, Patient: p.ID})
				}
			}
		}
	}
	b.log[k.UID] = append([]devices.KitEvent{{At: b.now, By: actor.Name, Role: string(actor.Role), What: step.What, Detail: step.Detail}}, b.log[k.UID]...)
	return *k, nil
}

// sends lets every sensor of a kit have sent.
func (b *boxes) sends(kit vital.UID) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for i := range b.kits {
		for j := range b.kits[i].Items {
			for n := range b.kits[i].Items[j].Sensors {
				for u := range b.kits[i].Items[j].Sensors[n].Users {
					b.kits[i].Items[j].Sensors[n].Users[u].Sent = b.kits[i].UID == kit
				}
			}
		}
	}
}

func (b *boxes) KitHistory(_ context.Context, _ account.Actor, uid vital.UID, _ int) ([]devices.KitEvent, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.log[uid], nil
}

func (b *boxes) Worn(_ context.Context, _ account.Actor, sensor string, _ int) ([]devices.Worn, error) {
	p := b.people[0]
	if sensor == "scale-9" {
		return []devices.Worn{{Sensor: sensor, Patient: p.ID, UID: p.UID, Name: p.Name, From: b.clock().Add(-time.Hour)}}, nil
	}
	if sensor != "cuff-1" {
		return nil, nil
	}
	return []devices.Worn{
		{Sensor: "cuff-1:2", Patient: p.ID, UID: p.UID, Name: p.Name, From: b.clock().Add(-time.Hour)},
		{Sensor: "cuff-1", Patient: p.ID, UID: p.UID, Name: p.Name, From: b.clock().Add(-50 * time.Hour), To: b.clock().Add(-20 * time.Hour)},
	}, nil
}

func (b *boxes) EndAssignment(_ context.Context, _ account.Actor, sensor string) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if slices.Contains(b.ended, sensor) {
		return 0, fault.New(fault.Conflict, "nobody has the sensor %q", sensor)
	}
	b.ended = append(b.ended, sensor)
	return 1, nil
}

func (b *boxes) Types(context.Context, account.Actor) ([]devices.Type, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return slices.Clone(b.types), nil
}

func (b *boxes) AddType(_ context.Context, _ account.Actor, t devices.Type) (devices.Type, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.types = append(b.types, t)
	return t, nil
}

func (b *boxes) Describe(_ context.Context, _ account.Actor, d devices.Describing) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	i := slices.IndexFunc(b.types, func(t devices.Type) bool { return t.UID == d.Type })
	if i < 0 {
		return fault.New(fault.NotFound, "there is no device type %q", string(d.Type))
	}
	b.is[d.Sensor] = devices.Details{Type: b.types[i], Serial: d.Serial, Lot: d.Lot, Firmware: d.Version, CalibrationDue: d.Due}
	return nil
}

func (b *boxes) Details(_ context.Context, _ account.Actor, sensor string) (devices.Details, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.is[sensor], nil
}

func (b *boxes) Holding(_ context.Context, _ account.Actor, r devices.Recall) ([]devices.Held, error) {
	if !strings.EqualFold(r.Model, "3230") {
		return nil, nil
	}
	p := b.people[0]
	return []devices.Held{
		{Sensor: "oxi-1", Details: b.is["oxi-1"], Kit: "K-12", Patient: p.ID, UID: p.UID, Name: p.Name, Number: p.Number, From: b.clock().Add(-time.Hour)}, {Sensor: "oxi-8", Details: b.is["oxi-1"]},
	}, nil
}

func (b *boxes) Devices(context.Context, account.Actor, int) ([]devices.Device, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return slices.Clone(b.all), nil
}

func (b *boxes) Enrol(_ context.Context, _ account.Actor, e devices.Enrolment) (devices.Device, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	d := devices.Device{UID: e.UID, Model: e.Model}
	b.all = append(b.all, d)
	return d, nil
}

func (b *boxes) Assign(_ context.Context, _ account.Actor, one devices.Binding) (devices.Assignment, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.bound = append(b.bound, one)
	return devices.Assignment{}, nil
}

func (b *boxes) Intake(context.Context, account.Actor, string) (devices.Intake, error) {
	return devices.Intake{}, nil
}

func (b *boxes) Revoke(context.Context, account.Actor, string) error { return nil }

// press sends a form of a page of the device desk, as a browser does.
func press(v *visitor, path string, form url.Values) (*http.Response, string) {
	v.t.Helper()
	_, page := v.get("/patients")
	sent := v.form(page, "/signout")
	for name, values := range form {
		sent[name] = values
	}
	return v.post(path, sent)
}

// TestAKitIsIssuedAcceptedAndTakenBackOnItsPage, as the device desk does it, and a nurse is told on the patient's page what it waits for.
func TestAKitIsIssuedAcceptedAndTakenBackOnItsPage(t *testing.T) {
	t.Parallel()
	f := furnish(t)
	app := f.app(t)
	desk, nurse := visit(t, app, "desk"), visit(t, app, "mira")
	if answer, _ := nurse.get("/devices"); answer.StatusCode != http.StatusForbidden {
		t.Errorf("a nurse opened the device desk: %d", answer.StatusCode)
	}
	answer, page := press(desk, "/devices/kits", url.Values{"label": {"K-12"}, "devices": {"hub-1, cuff-1"}})
	if answer.StatusCode != http.StatusSeeOther {
		t.Fatalf("make a kit: %d %s", answer.StatusCode, page)
	}
	at := answer.Header.Get("Location")
	if answer, page = press(desk, "/devices/kits", url.Values{"label": {"K-12"}}); answer.StatusCode != http.StatusConflict {
		t.Errorf("the same label again: %d", answer.StatusCode)
	}
	wants(t, page, "A kit with the label", `value="K-12"`)

	_, page = desk.get(at)
	wants(t, page, "Kit K-12", "in stock", "oximeter oxi-1 , Nonin 3230, serial S7, lot L1, firmware 1.4", "calibration due 2027-03-01", "cuff-1 is shared by several people", "User 2")
	_, page = press(desk, at+"/issue", url.Values{"who": {"nobody of that name"}})
	wants(t, page, "Nobody else whom you can see has this name")
	answer, page = press(desk, at+"/issue", url.Values{"who": {"novak"}})
	wants(t, page, "Who is it?", "Ana Novak")
	if answer.StatusCode != http.StatusOK {
		t.Errorf("a choice is offered with status %d", answer.StatusCode)
	}
	if answer, page = press(desk, at+"/issue", url.Values{"who": {"novak"}, "other": {string(f.ana.UID)}}); answer.StatusCode != http.StatusSeeOther {
		t.Fatalf("issue: %d %s", answer.StatusCode, words(page))
	}
	_, page = desk.get(at)
	wants(t, page, "issued, not live yet", "oximeter has not sent (oxi-1)", "It is Ana Novak: asked at home", "The cuff fits the arm", "has not sent")
	_, page = nurse.get("/patients/" + string(f.ana.UID))
	wants(t, page, "Kit K-12: not live yet : oximeter has not sent, cuff has not sent, name not confirmed, size of the cuff not confirmed")
	if strings.Contains(page, at) {
		t.Error("a nurse is led to the device desk's page")
	}
	answer, page = press(desk, at+"/accept", nil)
	if answer.StatusCode != http.StatusConflict {
		t.Errorf("accepted unseen: %d", answer.StatusCode)
	}
	wants(t, page, "is not live yet: oximeter oxi-1 has not sent")
	f.boxes.sends(vital.UID(at[len("/devices/kits/"):]))
	for path, form := range map[string]url.Values{"/confirm": {"name": {string(f.ana.UID)}, "cuff": {"yes"}}} {
		if answer, page = press(desk, at+path, form); answer.StatusCode != http.StatusSeeOther {
			t.Fatalf("%s: %d %s", path, answer.StatusCode, words(page))
		}
	}
	for _, step := range []struct{ act, says string }{
		{"accept", "Accepted at home"}, {"return", "came back"}, {"clean", "being cleaned"}, {"stock", "Issue it"}, {"retire", "Nothing: it is retired."},
	} {
		if answer, page = press(desk, at+"/"+step.act, nil); answer.StatusCode != http.StatusSeeOther {
			t.Fatalf("%s: %d %s", step.act, answer.StatusCode, words(page))
		}
		_, page = desk.get(at)
		wants(t, page, step.says)
		if offered := strings.Contains(page, at+"/stock"); offered != (step.act == "clean") {
			t.Errorf("after %s the page offers to put it into stock: %t", step.act, offered)
		}
	}
	wants(t, page, "Dora Desk device desk", "returned")
	if answer, _ := press(nurse, at+"/return", nil); answer.StatusCode != http.StatusForbidden {
		t.Errorf("a nurse took a kit back: %d", answer.StatusCode)
	}
}

func TestAKitIsIssuedToTwoPeopleOnItsPage(t *testing.T) {
	t.Parallel()
	f := furnish(t)
	kits, _, _ := f.boxes.services()
	kit, err := kits.Make(t.Context(), f.staff["desk"], "K-12", []string{"cuff-1"})
	if err != nil {
		t.Fatal(err)
	}
	desk := visit(t, f.app(t), "desk")
	at := "/devices/kits/" + string(kit.UID)
	form := url.Values{"who": {f.ana.Name}, "other": {string(f.ana.UID)}, "slot-1-cuff-1": {f.ana.Number}, "slot-2-cuff-1": {"Nobody"}}
	answer, page := press(desk, at+"/issue", form)
	if answer.StatusCode != http.StatusNotFound {
		t.Errorf("a button of nobody: %d", answer.StatusCode)
	}
	wants(t, page, "Nobody whom you can see has the name or number")
	form.Set("slot-2-cuff-1", "a")
	answer, page = press(desk, at+"/issue", form)
	if answer.StatusCode != http.StatusUnprocessableEntity && answer.StatusCode != http.StatusBadRequest {
		t.Errorf("a button of anybody: %d", answer.StatusCode)
	}
	wants(t, page, "Several people have")
	form.Set("slot-2-cuff-1", f.old.Name)
	if answer, page = press(desk, at+"/issue", form); answer.StatusCode != http.StatusSeeOther {
		t.Fatalf("issue: %d %s", answer.StatusCode, words(page))
	}
	_, page = desk.get(at)
	wants(t, page, "user 1: "+f.ana.Name, "user 2: "+f.old.Name)
}

func TestADeviceIsDescribedAndTakenFromWhoHasIt(t *testing.T) {
	t.Parallel()
	f := furnish(t)
	desk := visit(t, f.app(t), "desk")
	_, page := desk.get("/devices")
	wants(t, page, "No kits yet.", "hub-1", "1 sensor", "BP &lt;2&gt;", "out of use")
	_, page = desk.get("/devices/about/cuff-1")
	wants(t, page, "Any cuff for two", "Who had it", "user 2", "End it now")
	if answer, page := press(desk, "/devices/about/cuff-1/describe", url.Values{"sensor": {"cuff-1"}, "type": {"t-oxi"}, "lot": {"L9"}, "due": {"2027-13-01"}}); answer.StatusCode != http.StatusUnprocessableEntity && answer.StatusCode != http.StatusBadRequest {
		t.Errorf("a day that there is not: %d %s", answer.StatusCode, words(page))
	}
	if answer, _ := press(desk, "/devices/about/cuff-1/describe", url.Values{"sensor": {"cuff-1"}, "type": {"t-oxi"}, "lot": {"L9"}}); answer.StatusCode != http.StatusSeeOther {
		t.Fatalf("describe: %d", answer.StatusCode)
	}
	_, page = desk.get("/devices/about/cuff-1")
	wants(t, page, "Nonin 3230, lot L9")
	if answer, _ := press(desk, "/devices/about/cuff-1/end", url.Values{"sensor": {"cuff-1:2"}}); answer.StatusCode != http.StatusSeeOther || !slices.Equal(f.boxes.ended, []string{"cuff-1:2"}) {
		t.Errorf("ended %v", f.boxes.ended)
	}
	answer, page := press(desk, "/devices/about/cuff-1/end", url.Values{"sensor": {"cuff-1:2"}})
	if answer.StatusCode != http.StatusConflict {
		t.Errorf("ended twice: %d", answer.StatusCode)
	}
	wants(t, page, "Nobody has the sensor")
	_, page = desk.get("/devices/recall?model=3230")
	wants(t, page, "1 patient has it, and nobody has 1 more", "Ana Novak", "oxi-1", "K-12")
	_, page = desk.get("/devices/recall?firmware=1")
	wants(t, page, "Say which model, lot or maker is recalled.")
	if answer, page = press(desk, "/devices/types", url.Values{"maker": {"Acme"}, "model": {"Clip"}, "kind": {"oximeter"}, "slots": {"1"}, "metric": {"oxygen_saturation", "heart_rate"}}); answer.StatusCode != http.StatusSeeOther {
		t.Fatalf("add a type: %d %s", answer.StatusCode, words(page))
	}
	_, page = desk.get("/devices/types")
	wants(t, page, "Acme Clip", "your own", "oxygen saturation, heart rate")
	if answer, page = press(desk, "/devices/types", url.Values{"maker": {"Acme"}, "model": {"Clap"}, "kind": {"teapot"}, "slots": {"1"}}); answer.StatusCode == http.StatusSeeOther {
		t.Errorf("a teapot: %d", answer.StatusCode)
	}
	wants(t, page, "none of gateway, tablet")
}

// TestThePagesOfTheDeviceDeskFitAPhoneAndReadAloud at 390 and 1280 pixels, without a violation that axe finds.
func TestThePagesOfTheDeviceDeskFitAPhoneAndReadAloud(t *testing.T) {
	t.Parallel()
	f := furnish(t)
	address := f.serve(t)
	kits, _, _ := f.boxes.services()
	actor := f.staff["desk"]
	kit, err := kits.Make(t.Context(), actor, "K-12", []string{"hub-1", "cuff-1"})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := kits.Make(t.Context(), actor, "K-13", nil); err != nil {
		t.Fatal(err)
	}
	chromium := browser.Start(t)
	fitAPhoneAndReadAloud(t, chromium, address, "admin", map[string]string{"kits-stock-kit": "/devices/kits/" + string(kit.UID)})
	if _, err := kits.Issue(t.Context(), actor, devices.Handout{Kit: kit.UID, Patient: f.ana.UID, Users: []devices.SlotUser{{Sensor: "cuff-1", Slot: 1, Patient: f.ana.UID}, {Sensor: "cuff-1", Slot: 2, Patient: f.old.UID}}}); err != nil {
		t.Fatal(err)
	}
	fitAPhoneAndReadAloud(t, chromium, address, "admin", map[string]string{
		"kits-list": "/devices", "kits-kit": "/devices/kits/" + string(kit.UID), "kits-device": "/devices/about/cuff-1", "kits-gateway": "/devices/about/hub-1", "kits-recall": "/devices/recall?model=3230", "kits-types": "/devices/types", "kits-patient": "/patients/" + string(f.ana.UID),
	})
}
