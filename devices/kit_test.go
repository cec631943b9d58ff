package devices_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"hale/account"
	"hale/devices"
	"hale/fault"
	"hale/vital"
)

func TestASlotIsASensorOfItsOwnAndWhatNamesNoneIsTheSharedOnes(t *testing.T) {
	t.Parallel()
	split := time.Date(2026, 5, 1, 8, 0, 0, 0, time.UTC)
	s := &devices.Snapshot{Slots: map[vital.SensorID]map[uint8]devices.UserSlot{
		7: {0: {Sensor: 70}, 2: {Sensor: 72}},
		8: {1: {Sensor: 81, Since: split}},
	}}
	cases := []struct {
		name   string
		sensor vital.SensorID
		slot   uint8
		has    bool
		sent   time.Time
		want   vital.SensorID
		ok     bool
	}{
		{"a sensor that nobody shares", 5, 0, false, split, 5, true},
		{"one that nobody shares, whatever it names", 5, 3, true, split, 5, true},
		{"a known slot", 7, 2, true, split, 72, true},
		{"slot 0 is a slot", 7, 0, true, split, 70, true},
		{"no slot, where slot 0 is known", 7, 0, false, split, 7, false},
		{"a slot that is not known", 7, 3, true, split, 7, false},
		{"the user whom the device does not know", 7, 255, true, split, 7, false},
		{"a slot from its first moment on", 8, 1, true, split, 81, true},
		{"a slot before it was one", 8, 1, true, split.Add(-time.Microsecond), 8, false},
	}
	for _, c := range cases {
		if got, ok := s.OfSlot(c.sensor, c.slot, c.has, c.sent); got != c.want || ok != c.ok {
			t.Errorf("%s: sensor %d, %v; want %d, %v", c.name, got, ok, c.want, c.ok)
		}
	}
}

func TestTheNameOfASlotIsNoDevicesName(t *testing.T) {
	t.Parallel()
	for _, slot := range []uint8{0, 1, devices.MaxSlot} {
		name := devices.SlotUID("cuff-1", slot)
		if sensor, n, ok := devices.SplitSlotUID(name); sensor != "cuff-1" || n != slot || !ok {
			t.Errorf("%q is read as %q, %d, %v", name, sensor, n, ok)
		}
		desk := &devices.Desk{Kit: household(), Now: time.Now}
		if _, err := desk.Enrol(t.Context(), worker(account.DeviceDesk), devices.Enrolment{UID: name, Model: "cuff"}); !fault.Is(err, fault.Invalid) {
			t.Errorf("a device was named %q: %v", name, err)
		}
	}
	for _, name := range []string{"cuff-1", "cuff-1:", "cuff-1:255", "cuff-1:-1", "cuff-1:01", "cuff-1:x", ":"} {
		if _, _, ok := devices.SplitSlotUID(name); ok {
			t.Errorf("%q is taken for a user slot", name)
		}
	}
}

// household is a record that knows two people of one household.
func household() *book {
	return &book{patients: map[vital.UID]account.Patient{"anna": {ID: 1, UID: "anna", Org: 3}, "bert": {ID: 2, UID: "bert", Org: 3}}}
}

// binder is a KitBook that decides on one kit in memory.
type binder struct {
	devices.KitBook
	kit   devices.Kit
	steps []devices.KitStep
}

func (b *binder) ChangeKit(_ context.Context, _ account.Actor, c devices.KitChange) (devices.Kit, error) {
	k := b.kit
	step, err := c.Decide(&k)
	if err != nil {
		return devices.Kit{}, err
	}
	b.steps = append(b.steps, step)
	b.kit.State = step.State
	return b.kit, nil
}

// homeKit is a kit of a gateway that speaks for an oximeter and a shared scale, and of a cuff, in a state.
func homeKit(state devices.KitState) devices.Kit {
	scale := devices.Type{UID: "t1", Kind: devices.Scale, Metrics: []vital.Metric{vital.BodyWeight}, Slots: 2}
	cuff := devices.Type{UID: "t2", Kind: devices.Cuff, Metrics: []vital.Metric{vital.BloodPressure}, Slots: 1}
	return devices.Kit{UID: "k", Label: "K-1", State: state, Seen: true, Items: []devices.KitItem{
		{Device: "hub-1", Sensors: []devices.KitSensor{
			{UID: "hub-1", Own: true, Carries: true, Users: []devices.SensorUser{{Sensor: "hub-1", Patient: 1}}},
			{UID: "scale-1", Details: devices.Details{Type: scale}, Users: []devices.SensorUser{{Sensor: "scale-1:1", Patient: 1, Sent: true}, {Sensor: "scale-1:2", Patient: 2}, {Sensor: "scale-1", Patient: 1}}},
		}},
		{Device: "cuff-1", Sensors: []devices.KitSensor{{UID: "cuff-1", Own: true, Details: devices.Details{Type: cuff}, Users: []devices.SensorUser{{Sensor: "cuff-1", Patient: 1, Sent: true}}}}},
	}, Holders: []devices.Holder{{Patient: 1, UID: "p1", Name: "Anna"}, {Patient: 2, UID: "p2", Name: "Bert", NamedAt: time.Unix(1, 0)}}}
}

func TestAKitTellsWhatIsMissingBeforeItGoesLive(t *testing.T) {
	t.Parallel()
	words := func(k devices.Kit) string {
		list := make([]string, 0, 4)
		for _, m := range k.Missing() {
			list = append(list, fmt.Sprint(m.Holder, " ", m))
		}
		return strings.Join(list, "; ")
	}
	kit := homeKit(devices.KitIssued)
	if got, want := words(kit), "2 scale scale-1 has not sent; 1 the name is not confirmed; 0 the size of the cuff is not confirmed"; got != want {
		t.Errorf("missing: %q, want %q", got, want)
	}
	kit.Items = kit.Items[:1]
	if kit.HasCuff() {
		t.Error("a kit of a gateway and a scale has a cuff")
	}
	kit.Items[0].Sensors[1].Details = devices.Details{}
	if !kit.HasCuff() {
		t.Error("what nobody has described may be a cuff, and it was not asked")
	}
	kit.Items[0].Sensors[0].Details.Type = devices.Type{UID: "t3", Kind: devices.Gateway, Slots: 1}
	kit.Items[0].Sensors[1].Users = nil
	if got, want := words(kit), "0 scale-1 is nobody's; 1 the name is not confirmed; 0 the size of the cuff is not confirmed"; got != want {
		t.Errorf("missing of a sensor that somebody has no more: %q, want %q", got, want)
	}
	kit.Seen = false
	if got, want := words(kit), "1 the name is not confirmed; 0 the size of the cuff is not confirmed"; got != want {
		t.Errorf("missing, for one who may not know whose the sensor is: %q, want %q", got, want)
	}
	kit.Holders = nil
	if got, want := words(kit), "0 the size of the cuff is not confirmed"; got != want {
		t.Errorf("missing of what nobody has: %q, want %q", got, want)
	}
}

func TestAKitGoesItsWayAndNoOther(t *testing.T) {
	t.Parallel()
	actor, ctx := worker(account.DeviceDesk), t.Context()
	acts := map[string]func(*devices.Kits) (devices.Kit, error){
		"accept": func(k *devices.Kits) (devices.Kit, error) { return k.Accept(ctx, actor, "k") },
		"return": func(k *devices.Kits) (devices.Kit, error) { return k.Return(ctx, actor, "k") },
		"clean":  func(k *devices.Kits) (devices.Kit, error) { return k.Clean(ctx, actor, "k") },
		"stock":  func(k *devices.Kits) (devices.Kit, error) { return k.Stock(ctx, actor, "k") },
		"retire": func(k *devices.Kits) (devices.Kit, error) { return k.Retire(ctx, actor, "k") },
		"fill":   func(k *devices.Kits) (devices.Kit, error) { return k.Fill(ctx, actor, "k", "new-1") },
		"empty":  func(k *devices.Kits) (devices.Kit, error) { return k.Empty(ctx, actor, "k", "hub-1") },
		"issue": func(k *devices.Kits) (devices.Kit, error) {
			return k.Issue(ctx, actor, devices.Handout{Kit: "k", Patient: "anna"})
		},
		"confirm": func(k *devices.Kits) (devices.Kit, error) {
			return k.Confirm(ctx, actor, "k", devices.Confirmation{Cuff: true})
		},
	}
	may := map[devices.KitState]string{
		devices.KitInStock: "empty fill issue retire", devices.KitIssued: "confirm return", devices.KitAccepted: "return",
		devices.KitReturned: "clean retire", devices.KitCleaning: "retire stock", devices.KitRetired: "",
	}
	for _, state := range devices.KitStates() {
		for name, act := range acts {
			book := &binder{kit: homeKit(state)}
			_, err := act(&devices.Kits{Book: book, Patients: household()})
			allowed := slices.Contains(strings.Fields(may[state]), name)
			if allowed != (err == nil) || err != nil && !fault.Is(err, fault.Conflict) {
				t.Errorf("%s of a kit that is %s: %v, want allowed %v", name, state, err, allowed)
			}
		}
	}
	// Nobody writes down that a kit was cleaned that nobody took to be cleaned.
	_, err := acts["stock"](&devices.Kits{Book: &binder{kit: homeKit(devices.KitReturned)}, Patients: household()})
	if want := "the kit K-1 came back and is not cleaned yet: say first that it is being cleaned"; err == nil || !strings.HasPrefix(fault.MessageOf(err), want) {
		t.Errorf("from the door to stock: %v, want %q", err, want)
	}
}

func TestAHandoutGivesEverySensorToWhomItIsFor(t *testing.T) {
	t.Parallel()
	book := &binder{kit: homeKit(devices.KitInStock)}
	kits := &devices.Kits{Book: book, Patients: household()}
	issue := func(users ...devices.SlotUser) error {
		book.kit.State = devices.KitInStock
		_, err := kits.Issue(t.Context(), worker(account.DeviceDesk), devices.Handout{Kit: "k", Patient: "anna", Users: users})
		return err
	}
	if err := issue(devices.SlotUser{Sensor: "scale-1", Slot: 1, Patient: "anna"}, devices.SlotUser{Sensor: "scale-1", Slot: 2, Patient: "bert"}); err != nil {
		t.Fatal(err)
	}
	want := []devices.Gift{{Sensor: "hub-1", Slot: devices.NoSlot, Patient: "anna"}, {Sensor: "scale-1", Slot: 1, Patient: "anna"}, {Sensor: "scale-1", Slot: 2, Patient: "bert"}, {Sensor: "cuff-1", Slot: devices.NoSlot, Patient: "anna"}}
	if got := book.steps[0]; !slices.Equal(got.Give, want) || !slices.Equal(got.Hold, []vital.UID{"anna", "bert"}) || strings.Contains(got.Detail, "anna") {
		t.Errorf("the step is %+v", got)
	}
	refused := map[string][]devices.SlotUser{
		"a sensor of another kit":         {{Sensor: "elsewhere", Slot: 1, Patient: "anna"}},
		"a slot that it does not have":    {{Sensor: "scale-1", Slot: 3, Patient: "anna"}},
		"a slot twice":                    {{Sensor: "scale-1", Slot: 1, Patient: "anna"}, {Sensor: "scale-1", Slot: 1, Patient: "bert"}},
		"a slot of nobody":                {{Sensor: "scale-1", Slot: 1}},
		"the user the device knows not":   {{Sensor: "scale-1", Slot: 255, Patient: "anna"}},
		"a slot named as if it had slots": {{Sensor: "scale-1:1", Slot: 1, Patient: "anna"}},
	}
	for name, users := range refused {
		if err := issue(users...); !fault.Is(err, fault.Invalid) {
			t.Errorf("%s: %v", name, err)
		}
	}
	book.kit.Items[1].Revoked = true
	if err := issue(); !fault.Is(err, fault.Conflict) {
		t.Errorf("with a device that is out of use: %v", err)
	}
	book.kit.Items = nil
	if err := issue(); !fault.Is(err, fault.Conflict) {
		t.Errorf("an empty kit: %v", err)
	}
}

func TestOnlyTheDeskTouchesKits(t *testing.T) {
	t.Parallel()
	book := &binder{kit: homeKit(devices.KitIssued)}
	kits := &devices.Kits{Book: book, Patients: household()}
	for _, role := range account.Roles() {
		actor := worker(account.DeviceDesk)
		actor.Role = role
		_, err := kits.Return(t.Context(), actor, "k")
		may := role == account.DeviceDesk || role == account.Administrator
		if may != (err == nil) || err != nil && !fault.Is(err, fault.Forbidden) {
			t.Errorf("%s takes a kit back: %v, want allowed %v", role, err, may)
		}
		book.kit.State = devices.KitIssued
	}
}
