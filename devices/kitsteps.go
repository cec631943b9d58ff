package devices

import (
	"fmt"
	"slices"
	"strings"

	"hale/account"
	"hale/fault"
	"hale/vital"
)

// Bounds of a kit.
const (
	longestLabel = 80 // characters
	mostItems    = 32 // devices of a kit
	mostUsers    = 64 // people and slots of one issue
)

// KitStep is what is done with a kit in one transaction.
type KitStep struct {
	What   KitWhat
	State  KitState
	Detail string // for the history: without names of people

	Add    []string // UIDs of devices that come in
	Remove []string // and that go out
	End    bool     // nobody has the kit any more: what anybody has of its sensors ends now, but for Partly
	Partly []string // sensors of the kit, and of Taken, of which only that ends what those have who have the kit
	Give   []Gift   // assignments that begin now
	Hold   []vital.UID
	Named  []vital.PatientID // whose names were confirmed
	Cuff   bool              // the cuff's size was confirmed
}

// Gift gives a sensor, or a user slot of it, to a patient.
type Gift struct {
	Sensor  string
	Slot    int // NoSlot: the whole sensor, with all its slots
	Patient vital.UID
}

// NoSlot stands where a whole sensor is meant.
const NoSlot = -1

// Handout says to whom a kit goes. Patient has every sensor that Users does not name; of one that it does, each slot is its user's.
type Handout struct {
	Kit     vital.UID
	Patient vital.UID
	Users   []SlotUser
}

// SlotUser says whose a user slot of a shared device is.
type SlotUser struct {
	Sensor  string
	Slot    uint8
	Patient vital.UID
}

// people returns everybody to whom something goes, each once, the patient first.
func (i *Handout) people() []vital.UID {
	list := []vital.UID{i.Patient}
	for _, u := range i.Users {
		if !slices.Contains(list, u.Patient) {
			list = append(list, u.Patient)
		}
	}
	return list
}

func (i *Handout) check() error {
	if i.Patient == "" {
		return fault.New(fault.Invalid, "patient: say who gets the kit")
	}
	if len(i.Users) > mostUsers {
		return fault.New(fault.Invalid, "users: a kit has at most %d of them", mostUsers)
	}
	for n, u := range i.Users {
		if err := CheckUID("users", u.Sensor); err != nil {
			return err
		}
		if u.Patient == "" {
			return fault.New(fault.Invalid, "users: say whose slot %d of %s is", u.Slot, u.Sensor)
		}
		if u.Slot > MaxSlot {
			return fault.New(fault.Invalid, "users: a user slot is a number from 0 to %d", MaxSlot)
		}
		if slices.ContainsFunc(i.Users[:n], func(o SlotUser) bool { return o.Sensor == u.Sensor && o.Slot == u.Slot }) {
			return fault.New(fault.Invalid, "users: slot %d of %s stands twice", u.Slot, u.Sensor)
		}
	}
	return nil
}

// issue gives every sensor of the kit to whom it is for.
func (k *Kit) issue(i Handout) (KitStep, error) {
	step, err := k.step(KitIssue)
	if err != nil {
		return step, err
	}
	if len(k.Items) == 0 {
		return step, fault.New(fault.Conflict, "the kit %s is empty: add its devices first", k.Label)
	}
	for _, u := range i.Users {
		s := k.sensor(u.Sensor)
		if s == nil {
			return step, fault.New(fault.Invalid, "users: the kit %s has no sensor %q", k.Label, u.Sensor)
		}
		if t := s.Details.Type; t.Known() && int(u.Slot) > t.Slots {
			return step, fault.New(fault.Invalid, "users: %s tells apart %d users; there is no slot %d", u.Sensor, t.Slots, u.Slot)
		}
	}
	n := 0
	for _, item := range k.Items {
		if item.Revoked {
			return step, fault.New(fault.Conflict, "the device %s was taken out of use: take it out of the kit first", item.Device)
		}
		for _, s := range item.Sensors {
			step.Give = append(step.Give, i.giftsOf(s.UID)...)
			n++
		}
	}
	step.Hold = i.people()
	step.Detail = fmt.Sprintf("sensors: %d, people: %d", n, len(step.Hold))
	return step, nil
}

func (i *Handout) giftsOf(sensor string) []Gift {
	var list []Gift
	for _, u := range i.Users {
		if u.Sensor == sensor {
			list = append(list, Gift{Sensor: sensor, Slot: int(u.Slot), Patient: u.Patient})
		}
	}
	if list == nil {
		list = []Gift{{Sensor: sensor, Slot: NoSlot, Patient: i.Patient}}
	}
	return list
}

// Confirmation is what somebody saw at home.
type Confirmation struct {
	Names []vital.UID // of the people who have the kit: it was asked who they are
	Cuff  bool        // the cuff fits the arm
}

func (k *Kit) confirm(c Confirmation) (KitStep, error) {
	step, err := k.step(KitConfirmed)
	if err != nil {
		return step, err
	}
	if len(c.Names) == 0 && !c.Cuff {
		return step, fault.New(fault.Invalid, "say what was confirmed: names, cuff")
	}
	var said []string
	for _, uid := range c.Names {
		i := slices.IndexFunc(k.Holders, func(h Holder) bool { return h.UID == uid })
		if i < 0 {
			return step, fault.New(fault.Invalid, "names: %q has not this kit", string(uid))
		}
		step.Named = append(step.Named, k.Holders[i].Patient)
	}
	if len(step.Named) > 0 {
		said = append(said, fmt.Sprintf("name of %d", len(step.Named)))
	}
	if c.Cuff {
		if !k.HasCuff() {
			return step, fault.New(fault.Invalid, "cuff: the kit %s has none", k.Label)
		}
		step.Cuff = true
		said = append(said, "size of the cuff")
	}
	step.Detail = strings.Join(said, ", ")
	return step, nil
}

// accept takes the kit live when all three ticks are green.
func (k *Kit) accept() (KitStep, error) {
	step, err := k.step(KitAccept)
	if err != nil {
		return step, err
	}
	if missing := k.Missing(); len(missing) > 0 {
		words := make([]string, len(missing))
		for i, m := range missing {
			words[i] = m.String()
		}
		return step, fault.New(fault.Conflict, "the kit %s is not live yet: %s", k.Label, strings.Join(words, "; "))
	}
	if len(k.Holders) == 0 {
		return step, fault.New(fault.Conflict, "nobody has the kit %s any more: take it back", k.Label)
	}
	return step, nil
}

// String says what is missing, without the names of people.
func (m Missing) String() string {
	switch m.What {
	case MissingReading:
		if m.Kind != "" && m.Kind != OtherKind {
			return string(m.Kind) + " " + m.Sensor + " has not sent"
		}
		return m.Sensor + " has not sent"
	case MissingOwner:
		return m.Sensor + " is nobody's"
	case MissingName:
		return "the name is not confirmed"
	case MissingCuff:
		return "the size of the cuff is not confirmed"
	}
	return string(m.What)
}

// back ends at once what anybody has of the kit. Where a gateway that stays out speaks for a sensor too, it ends for those who have
// the kit, and for nobody else. What was taken from its gateways meanwhile ends with it, unless another gateway has come to speak for it.
func (k *Kit) back() (KitStep, error) {
	step, err := k.step(KitReturn)
	if err != nil {
		return step, err
	}
	step.End = true
	for _, s := range k.all() {
		if len(s.Others) > 0 {
			step.Partly = append(step.Partly, s.UID)
		}
	}
	taken, stay := k.ToReturn()
	step.Partly = append(step.Partly, taken...)
	var said []string
	if len(taken) > 0 {
		said = append(said, "with what was taken from its gateways before: "+strings.Join(taken, ", "))
	}
	if len(stay) > 0 {
		said = append(said, "somebody else's still: "+strings.Join(stay, ", "))
	}
	step.Detail = strings.Join(said, "; ")
	return step, nil
}

// ToReturn says what is not plain about the return of a kit: the sensors that were taken from its gateways and end with it, and those
// that it speaks for and that stay somebody else's. Both are empty when nobody has the kit.
func (k *Kit) ToReturn() (taken, stay []string) {
	if !k.May(KitReturn) {
		return nil, nil
	}
	for i := range k.Taken {
		s := &k.Taken[i]
		if len(s.Others) == 0 && slices.ContainsFunc(s.Users, func(u SensorUser) bool { return k.with(u.Patient) }) {
			taken = append(taken, s.UID)
		}
	}
	for _, s := range k.all() {
		if len(s.Others) > 0 && slices.ContainsFunc(s.Users, func(u SensorUser) bool { return !k.with(u.Patient) }) && !slices.Contains(stay, s.UID) {
			stay = append(stay, s.UID)
		}
	}
	return taken, stay
}

// all returns the sensors of the kit's devices; what two of them speak for stands twice.
func (k *Kit) all() []*KitSensor {
	var list []*KitSensor
	for i := range k.Items {
		for j := range k.Items[i].Sensors {
			list = append(list, &k.Items[i].Sensors[j])
		}
	}
	return list
}

// with reports whether a patient has the kit.
func (k *Kit) with(p vital.PatientID) bool {
	return slices.ContainsFunc(k.Holders, func(h Holder) bool { return h.Patient == p })
}

// retire ends the kit; its devices are free for another.
func (k *Kit) retire() (KitStep, error) {
	step, err := k.step(KitRetire)
	for i := range k.Items {
		step.Remove = append(step.Remove, k.Items[i].Device)
	}
	return step, err
}

func (k *Kit) fill(device string) (KitStep, error) {
	step, err := k.step(KitFilled)
	if err == nil && len(k.Items) >= mostItems {
		err = fault.New(fault.Conflict, "a kit has at most %d devices", mostItems)
	}
	step.Add, step.Detail = []string{device}, device
	return step, err
}

func (k *Kit) empty(device string) (KitStep, error) {
	step, err := k.step(KitEmptied)
	if err == nil && !slices.ContainsFunc(k.Items, func(i KitItem) bool { return i.Device == device }) {
		err = fault.New(fault.NotFound, "the kit %s has no device %q", k.Label, device)
	}
	step.Remove, step.Detail = []string{device}, device
	return step, err
}

func checkLabel(label string) error {
	if label == "" || !account.Printable(label, longestLabel) {
		return fault.New(fault.Invalid, "label: give 1 to %d printable characters, as on the box", longestLabel)
	}
	return nil
}
