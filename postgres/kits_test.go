package postgres_test

import (
	"context"
	"crypto/sha256"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"hale/account"
	"hale/alerts"
	"hale/devices"
	"hale/fault"
	"hale/vital"
)

// depot is a record with a device desk and its kits.
type depot struct {
	*record
	desk    account.Actor
	kits    *devices.Kits
	types   *devices.Types
	told    int // how often the edges were told
	cursors map[int]alerts.Cursor
}

func newDepot(t *testing.T) *depot {
	t.Helper()
	d := &depot{record: newRecord(t), cursors: map[int]alerts.Cursor{}}
	d.desk = d.staff(t, "Home", "dora")
	d.desk.Role = account.DeviceDesk
	d.kits = &devices.Kits{Book: d.app, Wearing: d.app, Patients: d.app, Changed: func(context.Context) { d.told++ }}
	d.types = &devices.Types{Catalogue: d.app}
	d.cursors[vital.PartitionOf(uint64(d.patient.ID))] = d.cursor
	return d
}

// enrol adds a device that nobody has.
func (d *depot) enrol(t *testing.T, uid string, sensors ...string) devices.Device {
	t.Helper()
	made, err := d.app.Enrol(t.Context(), d.desk, devices.Enrolment{UID: uid, Model: "any", SecretHash: sha256.Sum256([]byte(uid)), Sensors: sensors})
	if err != nil {
		t.Fatal(err)
	}
	return made
}

// describe says what a sensor is, by the model of a type that is shipped.
func (d *depot) describe(t *testing.T, sensor, model string) {
	t.Helper()
	list, err := d.types.List(t.Context(), d.desk)
	if err != nil {
		t.Fatal(err)
	}
	i := slices.IndexFunc(list, func(one devices.Type) bool { return one.Model == model })
	if i < 0 {
		t.Fatalf("no type %q among %v", model, list)
	}
	if err := d.types.Describe(t.Context(), d.desk, devices.Describing{Sensor: sensor, Type: list[i].UID, Lot: "L1"}); err != nil {
		t.Fatal(err)
	}
}

func (d *depot) make(t *testing.T, label string, list ...string) devices.Kit {
	t.Helper()
	k, err := d.kits.Make(t.Context(), d.desk, label, list)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func (d *depot) issue(t *testing.T, k devices.Kit, p account.Patient, users ...devices.SlotUser) {
	t.Helper()
	if _, err := d.kits.Issue(t.Context(), d.desk, devices.Handout{Kit: k.UID, Patient: p.UID, Users: users}); err != nil {
		t.Fatal(err)
	}
}

// back takes a kit back, cleans it, and has it in stock again.
func (d *depot) back(t *testing.T, k devices.Kit) {
	t.Helper()
	for _, act := range []func(context.Context, account.Actor, vital.UID) (devices.Kit, error){d.kits.Return, d.kits.Clean, d.kits.Stock} {
		if _, err := act(t.Context(), d.desk, k.UID); err != nil {
			t.Fatal(err)
		}
	}
}

// edge returns what an edge knows that looks at the registry now.
func (d *depot) edge(t *testing.T) *devices.Snapshot {
	t.Helper()
	s, err := d.work.Snapshot(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// measure sends a weight of a sensor as an edge that knows so much files it: to the partition of whom it takes for the owner.
func (d *depot) measure(t *testing.T, knows *devices.Snapshot, device devices.Device, sensor vital.SensorID, slot int, at time.Time, grams int64) {
	t.Helper()
	sent := [3]vital.Quantity{{Mantissa: grams, Exponent: -3, Unit: vital.Kilogram}}
	of, _ := knows.OfSlot(sensor, uint8(max(slot, 0)), slot >= 0, at)
	r := &vital.Reading{
		Key:        vital.Key{Sensor: of, Metric: vital.BodyWeight, SentAt: at, Tie: vital.TieOf(sent[:1])},
		MeasuredAt: at, ReceivedAt: time.Now(), Org: d.nurse.Org, Device: device.ID, Sent: sent, N: 1,
	}
	partition := vital.PartitionOf(uint64(device.ID))
	if a, ok := knows.Owner(of, at); ok {
		r.Patient, r.Assignment, r.Epoch = a.Patient, a.ID, a.Epoch
		partition = vital.PartitionOf(uint64(a.Patient))
	}
	c, claimed := d.cursors[partition]
	if !claimed {
		c = d.claim(t, partition, "p1")
	}
	res, err := d.work.Advance(t.Context(), alerts.Batch{Cursor: c, Lane: vital.Live, To: c.LiveSeq + 1, Records: []vital.Record{{Reading: r}}, Now: time.Now()}, d.decider.Decide)
	if err != nil {
		t.Fatal(err)
	}
	d.cursors[partition] = res.Cursor
	d.decider.Committed()
}

// whose tells where the readings of a weight are: names of patients, or "inbox".
func (d *depot) whose(t *testing.T, grams int64) []string {
	t.Helper()
	return d.column(t, fmt.Sprintf(`SELECT p.name FROM reading r JOIN patient p ON p.id = r.patient_id WHERE r.mantissa = %d
		UNION ALL SELECT 'inbox' FROM inbox i WHERE i.mantissa = %d AND i.state = 'waiting'`, grams, grams))
}

// TestAReadingLandsWithWhoHeldTheKitWhenItWasMeasured: a kit comes back and is issued again while its old gateway still sends what it
// has in memory, and while edges know nothing of either. Each reading is filed once, under who held the kit at the measured time.
func TestAReadingLandsWithWhoHeldTheKitWhenItWasMeasured(t *testing.T) {
	t.Parallel()
	d := newDepot(t)
	anna, bert := d.patient, d.addPatient(t, d.nurse, "2")
	hub := d.enrol(t, "hub-1", "scale-1")
	scale := hub.Sensors["scale-1"]
	kit := d.make(t, "K-1", "hub-1")

	knew := []*devices.Snapshot{d.edge(t)} // nobody had it
	d.issue(t, kit, anna)
	knew = append(knew, d.edge(t)) // it was Anna's
	d.back(t, kit)
	knew = append(knew, d.edge(t)) // it was back
	d.issue(t, kit, bert)
	knew = append(knew, d.edge(t)) // it is Bert's
	now := knew[3]

	periods := now.Assignments[scale]
	if len(periods) != 2 || periods[0].Patient != anna.ID || periods[1].Patient != bert.ID || periods[0].To.IsZero() || periods[1].From.Before(periods[0].To) {
		t.Fatalf("the periods of the kit's scale: %+v", periods)
	}
	if e := knew[1].Assignments[scale][0].Epoch; periods[0].Epoch <= e {
		t.Errorf("an assignment that ended has epoch %d, as it had %d before", periods[0].Epoch, e)
	}
	const tick = time.Microsecond
	cases := []struct {
		name string
		at   time.Time
		want string
	}{
		{"before anybody had it", periods[0].From.Add(-time.Hour), "inbox"},
		{"as Anna gets it", periods[0].From, anna.Name},
		{"the last moment of Anna's", periods[0].To.Add(-tick), anna.Name},
		{"as it comes back", periods[0].To, "inbox"},
		{"the last moment in stock", periods[1].From.Add(-tick), "inbox"},
		{"as Bert gets it", periods[1].From, bert.Name},
		{"today", periods[1].From.Add(time.Minute), bert.Name},
	}
	grams := int64(70_000)
	for _, c := range cases {
		for i, edge := range knew {
			grams++
			d.measure(t, edge, hub, scale, -1, c.at, grams)
			d.measure(t, now, hub, scale, -1, c.at, grams) // and once more, by an edge that knows
			if got := d.whose(t, grams); !slices.Equal(got, []string{c.want}) {
				t.Errorf("measured %s, by an edge that knew %d steps: %v, want it once with %s", c.name, i, got, c.want)
			}
		}
	}
	if d.told != 5 { // issue, return, clean, stock, issue
		t.Errorf("the edges were told %d times, want 5", d.told)
	}
}

// TestTwoPeopleShareACuffByItsUserSlots: what names a slot is its user's, what names none waits; and when one person has the whole
// again, every slot is theirs.
func TestTwoPeopleShareACuffByItsUserSlots(t *testing.T) {
	t.Parallel()
	d := newDepot(t)
	anna, bert := d.patient, d.addPatient(t, d.nurse, "2")
	cuff := d.enrol(t, "shared-1")
	kit := d.make(t, "K-1", "shared-1")
	d.describe(t, "shared-1", "blood pressure cuff for two")

	d.issue(t, kit, anna)
	before := d.edge(t)
	first := before.Assignments[cuff.Own][0].From
	d.measure(t, before, cuff, cuff.Own, 2, first, 60_000)
	d.back(t, kit)
	d.issue(t, kit, anna, devices.SlotUser{Sensor: "shared-1", Slot: 1, Patient: anna.UID}, devices.SlotUser{Sensor: "shared-1", Slot: 2, Patient: bert.UID})
	shared := d.edge(t)
	if len(shared.Slots[cuff.Own]) != 2 {
		t.Fatalf("user slots of the cuff: %v", shared.Slots)
	}
	from := shared.Assignments[shared.Slots[cuff.Own][2].Sensor][0].From
	d.measure(t, shared, cuff, cuff.Own, 2, first, 60_000) // sent again, by who knows of slots
	d.measure(t, shared, cuff, cuff.Own, 1, from, 61_000)
	d.measure(t, shared, cuff, cuff.Own, 2, from, 62_000)
	d.measure(t, shared, cuff, cuff.Own, 3, from, 63_000)
	d.measure(t, shared, cuff, cuff.Own, -1, from, 64_000)
	d.measure(t, shared, cuff, cuff.Own, 255, from, 65_000)
	d.measure(t, before, cuff, cuff.Own, 2, from, 66_000) // by an edge that has not heard of slots

	held, err := d.kits.Get(t.Context(), d.desk, kit.UID)
	if err != nil {
		t.Fatal(err)
	}
	var missing []string
	for _, m := range held.Missing() {
		missing = append(missing, m.Name+": "+m.String())
	}
	if want := []string{anna.Name + ": the name is not confirmed", bert.Name + ": the name is not confirmed", ": the size of the cuff is not confirmed"}; !slices.Equal(missing, want) {
		t.Errorf("missing after both have measured: %q, want %q", missing, want)
	}

	d.back(t, kit)
	d.issue(t, kit, bert)
	whole := d.edge(t)
	at := whole.Assignments[cuff.Own][1].From
	d.measure(t, whole, cuff, cuff.Own, 1, at, 71_000)
	d.measure(t, whole, cuff, cuff.Own, -1, at, 72_000)
	d.measure(t, whole, cuff, cuff.Own, 1, from, 73_000) // from the memory of the cuff: Anna pressed button 1

	for grams, want := range map[int64]string{
		60_000: anna.Name, 61_000: anna.Name, 62_000: bert.Name, 63_000: "inbox", 64_000: "inbox", 65_000: "inbox", 66_000: "inbox",
		71_000: bert.Name, 72_000: bert.Name, 73_000: anna.Name,
	} {
		if got := d.whose(t, grams); !slices.Equal(got, []string{want}) {
			t.Errorf("%d g: %v, want it once with %s", grams, got, want)
		}
	}
	// Nobody gets the whole of what somebody else has a part of, nor a part of the whole.
	if _, err := d.app.Assign(t.Context(), d.desk, devices.Binding{Sensor: "shared-1:5", Patient: anna.UID, From: time.Now()}); !fault.Is(err, fault.Conflict) {
		t.Errorf("a slot beside the whole: %v", err)
	}
	if _, err := d.kits.EndAssignment(t.Context(), d.desk, "shared-1"); err != nil {
		t.Fatal(err)
	}
	if _, err := d.app.Assign(t.Context(), d.desk, devices.Binding{Sensor: "shared-1", Patient: anna.UID, From: time.Now()}); !fault.Is(err, fault.Conflict) {
		t.Errorf("the whole of what has slots: %v", err)
	}
	if _, err := d.app.Assign(t.Context(), d.desk, devices.Binding{Sensor: "shared-1:1", Patient: anna.UID, From: time.Now()}); err != nil {
		t.Errorf("one slot alone: %v", err)
	}
}

// TestAKitGoesFromTheBoxToTheBedsideAndBack by its states, with its history, and live only with three green ticks.
func TestAKitGoesFromTheBoxToTheBedsideAndBack(t *testing.T) {
	t.Parallel()
	d := newDepot(t)
	anna := d.patient
	hub := d.enrol(t, "hub-1", "scale-1")
	d.enrol(t, "arm-1")
	d.describe(t, "arm-1", "blood pressure cuff")
	kit := d.make(t, "K-1", "hub-1")
	ctx := t.Context()
	refused := func(what string, err error, kind fault.Kind, text string) {
		t.Helper()
		if !fault.Is(err, kind) || !strings.Contains(fault.MessageOf(err), text) {
			t.Errorf("%s: %v, want kind %v with %q", what, err, kind, text)
		}
	}
	_, err := d.kits.Make(ctx, d.desk, "k-1", nil)
	refused("a label that is taken", err, fault.Conflict, "is there already")
	_, err = d.kits.Make(ctx, d.desk, "K-2", []string{"hub-1"})
	refused("a device of another kit", err, fault.Conflict, "is in a kit already")
	_, err = d.kits.Fill(ctx, d.desk, kit.UID, "nowhere")
	refused("a device that is not there", err, fault.NotFound, "nowhere")
	if _, err := d.kits.Fill(ctx, d.desk, kit.UID, "arm-1"); err != nil {
		t.Fatal(err)
	}
	_, err = d.kits.Return(ctx, d.desk, kit.UID)
	refused("back from nobody", err, fault.Conflict, "nobody has it")

	d.issue(t, kit, anna)
	_, err = d.kits.Issue(ctx, d.desk, devices.Handout{Kit: kit.UID, Patient: anna.UID})
	refused("issued twice", err, fault.Conflict, "only a kit in stock")
	_, err = d.kits.Accept(ctx, d.desk, kit.UID)
	refused("accepted unseen", err, fault.Conflict, "scale-1 has not sent; cuff arm-1 has not sent; the name is not confirmed; the size of the cuff is not confirmed")
	_, err = d.kits.Confirm(ctx, d.desk, kit.UID, devices.Confirmation{Names: []vital.UID{"somebody"}})
	refused("a name of nobody", err, fault.Invalid, "has not this kit")
	now := d.edge(t)
	at := now.Assignments[hub.Sensors["scale-1"]][0].From
	d.measure(t, now, hub, hub.Sensors["scale-1"], -1, at, 70_000)
	d.measure(t, now, *now.Devices["arm-1"], now.Devices["arm-1"].Own, -1, at.Add(-time.Second), 71_000) // before it was issued
	if _, err := d.kits.Confirm(ctx, d.desk, kit.UID, devices.Confirmation{Names: []vital.UID{anna.UID}, Cuff: true}); err != nil {
		t.Fatal(err)
	}
	_, err = d.kits.Accept(ctx, d.desk, kit.UID)
	refused("accepted with a silent cuff", err, fault.Conflict, "not live yet: cuff arm-1 has not sent")
	seen, err := d.kits.OfPatient(ctx, d.nurse, &anna)
	if err != nil || len(seen) != 1 || seen[0].Live() || len(seen[0].Missing()) != 1 {
		t.Errorf("what a nurse sees of it: %+v, %v", seen, err)
	}
	d.measure(t, now, *now.Devices["arm-1"], now.Devices["arm-1"].Own, -1, at, 72_000)
	if k, err := d.kits.Accept(ctx, d.desk, kit.UID); err != nil || !k.Live() {
		t.Fatalf("accepted with three green ticks: %+v, %v", k, err)
	}
	d.back(t, kit)
	after, err := d.kits.Get(ctx, d.desk, kit.UID)
	if err != nil || after.State != devices.KitInStock || len(after.Holders) != 0 {
		t.Errorf("after it came back: %+v, %v", after, err)
	}
	d.issue(t, kit, anna)
	if k, err := d.kits.Get(ctx, d.desk, kit.UID); err != nil || len(k.Missing()) != 4 {
		t.Errorf("what was confirmed is of the time before: %+v, %v", k.Missing(), err)
	}
	if _, err := d.kits.Return(ctx, d.desk, kit.UID); err != nil {
		t.Fatal(err)
	}
	if _, err := d.kits.Retire(ctx, d.desk, kit.UID); err != nil {
		t.Fatal(err)
	}
	d.make(t, "K-3", "hub-1") // its devices are free
	history, err := d.kits.History(ctx, d.desk, kit.UID, 0)
	if err != nil {
		t.Fatal(err)
	}
	var told []string
	for _, e := range slices.Backward(history) {
		told = append(told, string(e.What))
	}
	if diff := cmp.Diff([]string{"made", "device added", "issued", "confirmed", "accepted", "returned", "cleaning", "cleaned", "issued", "returned", "retired"}, told); diff != "" {
		t.Errorf("history (-want +got):\n%s", diff)
	}
	worn, err := d.kits.Worn(ctx, d.desk, "scale-1", 0)
	if err != nil || len(worn) != 2 || worn[0].Name != anna.Name || worn[0].To.IsZero() {
		t.Errorf("who had the scale: %+v, %v", worn, err)
	}
}

// TestAKitThatCannotBeIssuedWhollyIsNotIssuedAtAll: one sensor of it is somebody's.
func TestAKitThatCannotBeIssuedWhollyIsNotIssuedAtAll(t *testing.T) {
	t.Parallel()
	d := newDepot(t)
	d.enrol(t, "hub-1", "scale-1", "oxi-1")
	kit := d.make(t, "K-1", "hub-1")
	other := d.addPatient(t, d.nurse, "2")
	if _, err := d.app.Assign(t.Context(), d.desk, devices.Binding{Sensor: "oxi-1", Patient: other.UID, From: time.Now()}); err != nil {
		t.Fatal(err)
	}
	_, err := d.kits.Issue(t.Context(), d.desk, devices.Handout{Kit: kit.UID, Patient: d.patient.UID})
	if !fault.Is(err, fault.Conflict) || !strings.Contains(fault.MessageOf(err), "oxi-1: the sensor is assigned") {
		t.Errorf("issued with another's oximeter: %v", err)
	}
	if n := d.count(t, `SELECT count(*) FROM assignment a JOIN sensor s ON s.id = a.sensor_id WHERE s.uid IN ('hub-1', 'scale-1')`); n != 0 {
		t.Errorf("%d assignments were begun all the same", n)
	}
	if k, err := d.kits.Get(t.Context(), d.desk, kit.UID); err != nil || k.State != devices.KitInStock || len(k.Holders) != 0 {
		t.Errorf("the kit is %+v, %v", k, err)
	}
	if n, err := d.kits.EndAssignment(t.Context(), d.desk, "oxi-1"); err != nil || n != 1 {
		t.Errorf("ended %d, %v", n, err)
	}
	if _, err := d.kits.EndAssignment(t.Context(), d.desk, "oxi-1"); !fault.Is(err, fault.Conflict) {
		t.Errorf("ended twice: %v", err)
	}
	d.issue(t, kit, d.patient)
}

// TestAKitTakesOverWhatIsThePatientsAlready: an installation that assigned devices before there were kits.
func TestAKitTakesOverWhatIsThePatientsAlready(t *testing.T) {
	t.Parallel()
	d := newDepot(t)
	kit := d.make(t, "K-1", "cuff-1") // which the patient has since March
	other := d.addPatient(t, d.nurse, "2")
	if _, err := d.kits.Issue(t.Context(), d.desk, devices.Handout{Kit: kit.UID, Patient: other.UID}); !fault.Is(err, fault.Conflict) {
		t.Errorf("issued to somebody else: %v", err)
	}
	d.issue(t, kit, d.patient)
	list := d.edge(t).Assignments[d.device.Own]
	if len(list) != 1 || list[0].ID != d.given.ID || !list[0].To.IsZero() {
		t.Errorf("the cuff's assignments are %+v", list)
	}
	d.measure(t, d.edge(t), d.device, d.device.Own, -1, since().Add(time.Hour), 70_000)
	k, err := d.kits.Get(t.Context(), d.desk, kit.UID)
	if err != nil || len(k.Missing()) != 3 {
		t.Errorf("what was measured before the issue is no sign that it works at home now: %+v, %v", k.Missing(), err)
	}
	if _, err := d.kits.Return(t.Context(), d.desk, kit.UID); err != nil {
		t.Fatal(err)
	}
	if list := d.edge(t).Assignments[d.device.Own]; list[0].To.IsZero() {
		t.Error("the kit came back and the cuff is still theirs")
	}
}

// TestARecallNamesWhoHasTheModel at home now, by model, maker, lot and firmware, and what lies in stock.
func TestARecallNamesWhoHasTheModel(t *testing.T) {
	t.Parallel()
	d := newDepot(t)
	ctx := t.Context()
	bert := d.addPatient(t, d.nurse, "2")
	d.enrol(t, "hub-1", "oxi-1")
	d.enrol(t, "oxi-2")
	d.enrol(t, "oxi-3")
	kind, err := d.types.Add(ctx, d.desk, devices.Type{Maker: "Acme", Model: "Clip", Kind: devices.Oximeter, Metrics: []vital.Metric{vital.OxygenSat}, Slots: 2})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := d.types.Add(ctx, d.desk, devices.Type{Maker: "ACME", Model: "clip", Kind: devices.Oximeter}); !fault.Is(err, fault.Conflict) {
		t.Errorf("a type twice: %v", err)
	}
	for sensor, lot := range map[string]string{"oxi-1": "L1", "oxi-2": "L1", "oxi-3": "L2"} {
		if err := d.types.Describe(ctx, d.desk, devices.Describing{Sensor: sensor, Type: kind.UID, Lot: lot, Version: "1.0", Serial: "S-" + sensor, Due: "2027-03-01"}); err != nil {
			t.Fatal(err)
		}
	}
	kit := d.make(t, "K-1", "hub-1")
	d.issue(t, kit, d.patient, devices.SlotUser{Sensor: "oxi-1", Slot: 2, Patient: bert.UID})
	held := func(r devices.Recall) []string {
		t.Helper()
		list, err := d.types.Recall(ctx, d.desk, r)
		if err != nil {
			t.Fatal(err)
		}
		var words []string
		for _, h := range list {
			words = append(words, h.Sensor+" "+h.Name+" "+h.Kit+" "+h.Details.Serial+" "+string(h.Details.CalibrationDue))
		}
		return words
	}
	cases := []struct {
		ask  devices.Recall
		want []string
	}{
		{devices.Recall{Model: "clip"}, []string{"oxi-1:2 " + bert.Name + " K-1 S-oxi-1 2027-03-01", "oxi-2   S-oxi-2 2027-03-01", "oxi-3   S-oxi-3 2027-03-01"}},
		{devices.Recall{Maker: "acme", Lot: "l2"}, []string{"oxi-3   S-oxi-3 2027-03-01"}},
		{devices.Recall{Model: "Clip", Firmware: "1.0", Lot: "L1"}, []string{"oxi-1:2 " + bert.Name + " K-1 S-oxi-1 2027-03-01", "oxi-2   S-oxi-2 2027-03-01"}},
		{devices.Recall{Model: "Clip", Firmware: "2.0"}, nil},
		{devices.Recall{Model: "cuff"}, []string{"cuff-1 " + d.patient.Name + "   "}}, // by what its enrolment says
	}
	for _, c := range cases {
		if diff := cmp.Diff(c.want, held(c.ask)); diff != "" {
			t.Errorf("%+v (-want +got):\n%s", c.ask, diff)
		}
	}
	if _, err := d.types.Recall(ctx, d.desk, devices.Recall{Firmware: "1.0"}); !fault.Is(err, fault.Invalid) {
		t.Errorf("a recall of everything: %v", err)
	}
	if err := d.types.Describe(ctx, d.desk, devices.Describing{Sensor: "oxi-9"}); !fault.Is(err, fault.NotFound) {
		t.Errorf("a sensor that is not there: %v", err)
	}
	if stranger := d.staff(t, "Elsewhere", "eva"); d.count(t, fmt.Sprintf(`SELECT count(*) FROM device_type WHERE org_id = %d AND NOT shipped`, stranger.Org)) != 0 {
		t.Error("a type of one organisation is another's")
	}
}
