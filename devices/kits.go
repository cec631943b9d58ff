package devices

import (
	"context"
	"strings"
	"time"

	"hale/account"
	"hale/fault"
	"hale/vital"
)

const mostKits = 1000

// KitFilter says which kits are asked for: all that it does not leave out.
type KitFilter struct {
	UID     vital.UID // one
	Patient vital.UID // those that this patient has
	State   KitState
	Limit   int
}

// KitChange is something that is done with a kit. Patients are those who get it: they are held, and asked for again, before Decide is
// asked what to do with the kit as it is then.
type KitChange struct {
	Kit      vital.UID
	Action   account.Action
	Patients []vital.UID
	Decide   func(k *Kit) (KitStep, error)
}

// Worn is a time in which somebody had a sensor.
type Worn struct {
	Sensor  string // name of the sensor, or of a user slot of it
	Patient vital.PatientID
	UID     vital.UID
	Name    string
	From    time.Time
	To      time.Time // zero while it lasts
}

// KitBook is the record as the Kits need it. Every method is bound to the actor's organisation, and what it changes has its audit row.
type KitBook interface {
	Kits(ctx context.Context, actor account.Actor, f KitFilter) ([]Kit, error)
	// MakeKit stores a kit in stock, with its devices; a label that is taken or a device of another kit is fault.Conflict.
	MakeKit(ctx context.Context, actor account.Actor, label string, devices []string) (Kit, error)
	// ChangeKit does what c decides in one transaction: assignments end and begin, all of them or none. Edges that have not heard
	// of it are overruled by the epoch of the assignments.
	ChangeKit(ctx context.Context, actor account.Actor, c KitChange) (Kit, error)
	// KitHistory returns what was done with a kit, newest first.
	KitHistory(ctx context.Context, actor account.Actor, uid vital.UID, limit int) ([]KitEvent, error)
}

// Wearing is the record of who has a sensor over time.
type Wearing interface {
	// Worn returns everybody who had a sensor or a user slot of it, newest first; fault.NotFound when there is no such sensor.
	Worn(ctx context.Context, actor account.Actor, sensor string, limit int) ([]Worn, error)
	// EndAssignment ends what the sensor's assignment is now; fault.Conflict when it has none. Of a shared sensor it is that of
	// the slot that is named, or all of them.
	EndAssignment(ctx context.Context, actor account.Actor, sensor string) (ended int, err error)
}

// Kits is where kits are made, issued, accepted at home, taken back and cleaned.
type Kits struct {
	Book     KitBook
	Wearing  Wearing
	Patients Patients
	Looks    *account.Looks // at who has what; nil writes nothing
	// Changed, when set, is called after each change of an assignment, as of Desk.
	Changed func(ctx context.Context)
}

// List returns the organisation's kits by label, with who has each.
func (k *Kits) List(ctx context.Context, actor account.Actor, f KitFilter) ([]Kit, error) {
	if err := account.Allow(actor, account.SeeDevices, nil); err != nil {
		return nil, err
	}
	var err error
	if f.Limit, err = account.ListLength(f.Limit, mostKits, mostKits); err != nil {
		return nil, err
	}
	list, err := k.Book.Kits(ctx, actor, f)
	if err != nil {
		return nil, err
	}
	return list, k.Looks.Listed(ctx, actor, "kits")
}

// Get returns one kit; fault.NotFound when there is none.
func (k *Kits) Get(ctx context.Context, actor account.Actor, uid vital.UID) (Kit, error) {
	if err := account.Allow(actor, account.SeeDevices, nil); err != nil {
		return Kit{}, err
	}
	list, err := k.Book.Kits(ctx, actor, KitFilter{UID: uid, Limit: 1})
	if err != nil {
		return Kit{}, err
	}
	if len(list) == 0 {
		return Kit{}, fault.New(fault.NotFound, "there is no kit %q", string(uid))
	}
	return list[0], k.Looks.Saw(ctx, actor, "kit "+string(uid), "", list[0].patients()...)
}

func (k *Kit) patients() []vital.PatientID {
	list := make([]vital.PatientID, len(k.Holders))
	for i, h := range k.Holders {
		list[i] = h.Patient
	}
	return list
}

// OfPatient returns the kits that a patient has, for those who look after the patient.
func (k *Kits) OfPatient(ctx context.Context, actor account.Actor, p *account.Patient) ([]Kit, error) {
	if err := account.Allow(actor, account.SeePatients, p); err != nil {
		return nil, err
	}
	return k.Book.Kits(ctx, actor, KitFilter{Patient: p.UID, Limit: mostKits})
}

// History returns what was done with a kit, newest first. A limit of 0 means 200.
func (k *Kits) History(ctx context.Context, actor account.Actor, uid vital.UID, limit int) ([]KitEvent, error) {
	if err := account.Allow(actor, account.SeeDevices, nil); err != nil {
		return nil, err
	}
	if limit <= 0 || limit > mostKits {
		limit = 200
	}
	return k.Book.KitHistory(ctx, actor, uid, limit)
}

// Make takes a new kit into stock, with the devices that are named.
func (k *Kits) Make(ctx context.Context, actor account.Actor, label string, devices []string) (Kit, error) {
	if err := account.Allow(actor, account.EnrolDevice, nil); err != nil {
		return Kit{}, err
	}
	label = strings.TrimSpace(label)
	if err := checkLabel(label); err != nil {
		return Kit{}, err
	}
	if len(devices) > mostItems {
		return Kit{}, fault.New(fault.Invalid, "devices: a kit has at most %d", mostItems)
	}
	for _, d := range devices {
		if err := CheckUID("devices", d); err != nil {
			return Kit{}, err
		}
	}
	return k.Book.MakeKit(ctx, actor, label, devices)
}

// Fill puts a device into a kit that is in stock.
func (k *Kits) Fill(ctx context.Context, actor account.Actor, uid vital.UID, device string) (Kit, error) {
	if err := CheckUID("device", device); err != nil {
		return Kit{}, err
	}
	return k.change(ctx, actor, KitChange{Kit: uid, Action: account.EnrolDevice, Decide: func(kit *Kit) (KitStep, error) { return kit.fill(device) }})
}

// Empty takes a device out of a kit that is in stock.
func (k *Kits) Empty(ctx context.Context, actor account.Actor, uid vital.UID, device string) (Kit, error) {
	return k.change(ctx, actor, KitChange{Kit: uid, Action: account.EnrolDevice, Decide: func(kit *Kit) (KitStep, error) { return kit.empty(device) }})
}

// Issue gives a kit in stock to a patient, or to the people of one household: from now on what its sensors measure is theirs.
func (k *Kits) Issue(ctx context.Context, actor account.Actor, i Handout) (Kit, error) {
	if err := account.Allow(actor, account.AssignDevice, nil); err != nil {
		return Kit{}, err
	}
	if err := i.check(); err != nil {
		return Kit{}, err
	}
	for _, uid := range i.people() {
		p, err := k.Patients.Patient(ctx, actor, uid)
		if err != nil {
			return Kit{}, err
		}
		if err := account.Allow(actor, account.AssignDevice, &p); err != nil {
			return Kit{}, err
		}
	}
	return k.change(ctx, actor, KitChange{
		Kit: i.Kit, Action: account.AssignDevice, Patients: i.people(),
		Decide: func(kit *Kit) (KitStep, error) { return kit.issue(i) },
	})
}

// Confirm writes down what was confirmed at home. It makes no kit live; Accept does.
func (k *Kits) Confirm(ctx context.Context, actor account.Actor, uid vital.UID, c Confirmation) (Kit, error) {
	return k.change(ctx, actor, KitChange{Kit: uid, Action: account.AssignDevice, Decide: func(kit *Kit) (KitStep, error) { return kit.confirm(c) }})
}

// Accept takes a kit live when nothing is missing; else fault.Conflict says what is.
func (k *Kits) Accept(ctx context.Context, actor account.Actor, uid vital.UID) (Kit, error) {
	return k.change(ctx, actor, KitChange{Kit: uid, Action: account.AssignDevice, Decide: (*Kit).accept})
}

// Return takes a kit back: from this moment nobody has its sensors. What they measured before is filed under who had them
// then, whenever it arrives.
func (k *Kits) Return(ctx context.Context, actor account.Actor, uid vital.UID) (Kit, error) {
	return k.change(ctx, actor, KitChange{Kit: uid, Action: account.AssignDevice, Decide: (*Kit).back})
}

// Clean says that a kit which came back is being cleaned.
func (k *Kits) Clean(ctx context.Context, actor account.Actor, uid vital.UID) (Kit, error) {
	return k.change(ctx, actor, KitChange{Kit: uid, Action: account.AssignDevice, Decide: func(kit *Kit) (KitStep, error) { return kit.step(KitClean) }})
}

// Stock says that a kit was cleaned: it can be issued again.
func (k *Kits) Stock(ctx context.Context, actor account.Actor, uid vital.UID) (Kit, error) {
	return k.change(ctx, actor, KitChange{Kit: uid, Action: account.AssignDevice, Decide: func(kit *Kit) (KitStep, error) { return kit.step(KitStock) }})
}

// Retire ends a kit that nobody has. Its devices can go into another.
func (k *Kits) Retire(ctx context.Context, actor account.Actor, uid vital.UID) (Kit, error) {
	return k.change(ctx, actor, KitChange{Kit: uid, Action: account.EnrolDevice, Decide: (*Kit).retire})
}

// change asks whether the actor may, and does it.
func (k *Kits) change(ctx context.Context, actor account.Actor, c KitChange) (Kit, error) {
	if err := account.Allow(actor, c.Action, nil); err != nil {
		return Kit{}, err
	}
	kit, err := k.Book.ChangeKit(ctx, actor, c)
	if err != nil {
		return Kit{}, err
	}
	if k.Changed != nil {
		k.Changed(ctx)
	}
	return kit, nil
}

// Worn returns everybody who had a sensor or a user slot of it, newest first.
func (k *Kits) Worn(ctx context.Context, actor account.Actor, sensor string, limit int) ([]Worn, error) {
	if err := account.Allow(actor, account.SeeDevices, nil); err != nil {
		return nil, err
	}
	if err := account.Allow(actor, account.SeePatients, nil); err != nil {
		return nil, err
	}
	if err := checkSensor(sensor); err != nil {
		return nil, err
	}
	if limit <= 0 || limit > mostKits {
		limit = 200
	}
	list, err := k.Wearing.Worn(ctx, actor, sensor, limit)
	if err != nil {
		return nil, err
	}
	who := make([]vital.PatientID, len(list))
	for i := range list {
		who[i] = list[i].Patient
	}
	return list, k.Looks.Saw(ctx, actor, "sensor "+sensor, "", who...)
}

// EndAssignment takes a sensor, or one user slot of it ("cuff-1:2"), from whoever has it now, at once. It returns how many
// assignments ended.
func (k *Kits) EndAssignment(ctx context.Context, actor account.Actor, sensor string) (int, error) {
	if err := account.Allow(actor, account.AssignDevice, nil); err != nil {
		return 0, err
	}
	if err := checkSensor(sensor); err != nil {
		return 0, err
	}
	n, err := k.Wearing.EndAssignment(ctx, actor, sensor)
	if err == nil && k.Changed != nil {
		k.Changed(ctx)
	}
	return n, err
}

// checkSensor accepts the name of a sensor, or of a user slot of one.
func checkSensor(uid string) error {
	shared, _, ok := SplitSlotUID(uid)
	if !ok {
		shared = uid
	}
	return CheckUID("sensor", shared)
}
