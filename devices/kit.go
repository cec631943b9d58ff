package devices

import (
	"slices"
	"time"

	"hale/fault"
	"hale/vital"
)

// KitState says where a kit is between the box and the bedside.
type KitState string

// The states of a kit. Issued: somebody has it, and it is not live yet. Accepted: it is at home, and everything was seen to work.
const (
	KitInStock  KitState = "stock"
	KitIssued   KitState = "issued"
	KitAccepted KitState = "accepted"
	KitReturned KitState = "returned"
	KitCleaning KitState = "cleaning"
	KitRetired  KitState = "retired"
)

// KitStates returns all states, in the order of a kit's way.
func KitStates() []KitState {
	return []KitState{KitInStock, KitIssued, KitAccepted, KitReturned, KitCleaning, KitRetired}
}

// KitWhat is what somebody did with a kit.
type KitWhat string

// What is done with kits.
const (
	KitMade      KitWhat = "made"
	KitFilled    KitWhat = "device added"
	KitEmptied   KitWhat = "device taken out"
	KitIssue     KitWhat = "issued"
	KitConfirmed KitWhat = "confirmed"
	KitAccept    KitWhat = "accepted"
	KitReturn    KitWhat = "returned"
	KitClean     KitWhat = "cleaning"
	KitStock     KitWhat = "cleaned"
	KitRetire    KitWhat = "retired"

	// Of a gateway that is in a kit, wherever the kit is: no step of the kit itself.
	KitSensorAdded KitWhat = "sensor added"
	KitSensorTaken KitWhat = "sensor taken away"
)

// Kit is what one household is given: devices, the sensors they speak for, and who has them.
type Kit struct {
	UID      vital.UID
	Label    string // what stands on the box
	State    KitState
	StateAt  time.Time // since when
	IssuedAt time.Time // the latest time; zero: never
	CuffAt   time.Time // when the size of the cuff was confirmed at home, since it was issued; zero: not
	Items    []KitItem
	Holders  []Holder // who has it; empty when nobody has, or nobody of whom the reader may know
	// Taken are the sensors that were taken from its gateways since it was issued, of a kit that somebody has.
	Taken []KitSensor
	// Seen says that the reader may know of everybody who has a sensor: only then is one that nobody seems to have nobody's.
	Seen bool
}

// KitItem is a device of a kit.
type KitItem struct {
	Device  string // UID
	Model   string
	Revoked bool
	Sensors []KitSensor // its own, and those that it speaks for
}

// KitSensor is one sensor of a kit.
type KitSensor struct {
	UID     string
	Own     bool // of the device itself
	Carries bool // the device speaks for others: it need not measure anything itself
	Details Details
	Users   []SensorUser
	Others  []string // UIDs of gateways in use that are not in the kit and speak for it too
}

// SensorUser is somebody who has a sensor, or a user slot of it, just now.
type SensorUser struct {
	Sensor  string // name of the sensor, or of the slot
	Patient vital.PatientID
	Sent    bool // a plausible reading of it has come since the kit was issued
}

// Holder is somebody who has a kit.
type Holder struct {
	Patient vital.PatientID
	UID     vital.UID
	Name    string
	From    time.Time
	NamedAt time.Time // when their name was confirmed at home; zero: not
}

// KitEvent is a line of a kit's history.
type KitEvent struct {
	At     time.Time
	By     string // name of who did it
	Role   string
	What   KitWhat
	Detail string
}

// MissingWhat says which of the three green ticks is missing.
type MissingWhat string

// What stands between a kit and its acceptance.
const (
	MissingReading MissingWhat = "reading" // a sensor has not sent since the kit was issued
	MissingOwner   MissingWhat = "owner"   // a sensor is nobody's: it was ended, or came to a gateway while the kit was out
	MissingName    MissingWhat = "name"    // nobody has confirmed at home whose the kit is
	MissingCuff    MissingWhat = "cuff"    // nor that the cuff fits
)

// Missing is one thing that is missing before a kit may go live.
type Missing struct {
	What   MissingWhat
	Sensor string // that has not sent, or is nobody's
	Kind   Kind   // of the sensor; empty when nobody has said
	Holder vital.PatientID
	Name   string // of the holder
}

// HasCuff reports whether the size of a cuff is to be confirmed. What nobody has described may be one.
func (k *Kit) HasCuff() bool {
	for i := range k.Items {
		for j := range k.Items[i].Sensors {
			s := &k.Items[i].Sensors[j]
			if s.Details.Type.Kind == Cuff || s.expected() && !s.Details.Type.Known() {
				return true
			}
		}
	}
	return false
}

// expected reports whether the sensor measures something. Of a device that nobody described and that speaks for others it is not
// expected that it does so itself.
func (s *KitSensor) expected() bool {
	return s.Details.Type.Measures() && (s.Details.Type.Known() || !s.Carries)
}

// Missing returns what stands between a kit that was issued and its acceptance; nothing when all three ticks are green. Each
// person who has a sensor must have measured with it; who has several slots of one has measured with any.
func (k *Kit) Missing() []Missing {
	var list []Missing
	for i := range k.Items {
		for j := range k.Items[i].Sensors {
			list = append(list, k.silent(&k.Items[i].Sensors[j])...)
		}
	}
	for _, h := range k.Holders {
		if h.NamedAt.IsZero() {
			list = append(list, Missing{What: MissingName, Holder: h.Patient, Name: h.Name})
		}
	}
	if k.CuffAt.IsZero() && k.HasCuff() {
		list = append(list, Missing{What: MissingCuff})
	}
	return list
}

// silent returns the people of whom nothing has come from the sensor since the kit was issued, or that it is nobody's.
func (k *Kit) silent(s *KitSensor) []Missing {
	if !s.expected() {
		return nil
	}
	if len(s.Users) == 0 && len(k.Holders) > 0 && k.Seen {
		return []Missing{{What: MissingOwner, Sensor: s.UID, Kind: s.Details.Type.Kind}}
	}
	var list []Missing
	sent := map[vital.PatientID]bool{}
	for _, u := range s.Users {
		sent[u.Patient] = sent[u.Patient] || u.Sent
	}
	for _, u := range s.Users {
		if heard, first := sent[u.Patient]; first && !heard {
			m := Missing{What: MissingReading, Sensor: s.UID, Kind: s.Details.Type.Kind, Holder: u.Patient}
			for _, h := range k.Holders {
				if h.Patient == u.Patient {
					m.Name = h.Name
				}
			}
			list = append(list, m)
		}
		delete(sent, u.Patient)
	}
	return list
}

// Live reports whether somebody has the kit and it was accepted.
func (k *Kit) Live() bool { return k.State == KitAccepted }

// sensor returns a sensor of the kit by its name; nil when there is none.
func (k *Kit) sensor(uid string) *KitSensor {
	for i := range k.Items {
		for j := range k.Items[i].Sensors {
			if k.Items[i].Sensors[j].UID == uid {
				return &k.Items[i].Sensors[j]
			}
		}
	}
	return nil
}

// steps says from which states a kit may be taken where.
func steps(what KitWhat) (from []KitState, to KitState) {
	switch what {
	case KitIssue:
		return []KitState{KitInStock}, KitIssued
	case KitAccept:
		return []KitState{KitIssued}, KitAccepted
	case KitReturn:
		return []KitState{KitIssued, KitAccepted}, KitReturned
	case KitClean:
		return []KitState{KitReturned}, KitCleaning
	case KitStock:
		return []KitState{KitCleaning}, KitInStock
	case KitRetire:
		return []KitState{KitInStock, KitReturned, KitCleaning}, KitRetired
	case KitConfirmed:
		return []KitState{KitIssued}, KitIssued
	case KitMade, KitFilled, KitEmptied:
		return []KitState{KitInStock}, KitInStock
	case KitSensorAdded, KitSensorTaken: // are done with a gateway
	}
	return nil, ""
}

// May reports whether something may be done with the kit in its state.
func (k *Kit) May(what KitWhat) bool {
	from, _ := steps(what)
	return slices.Contains(from, k.State)
}

// step begins a step of a kit, or says why it cannot be done.
func (k *Kit) step(what KitWhat) (KitStep, error) {
	if !k.May(what) {
		return KitStep{}, fault.New(fault.Conflict, "%s", k.refusal(what))
	}
	_, to := steps(what)
	return KitStep{What: what, State: to}, nil
}

// refusal says why something cannot be done with the kit as it is, and what to do first.
func (k *Kit) refusal(what KitWhat) string {
	is := map[KitState]string{
		KitInStock: "is in stock", KitIssued: "is issued", KitAccepted: "is issued and live", KitReturned: "came back and is not cleaned yet",
		KitCleaning: "is being cleaned", KitRetired: "is retired",
	}[k.State]
	first := map[KitWhat]string{
		KitIssue: "only a kit in stock can be issued", KitAccept: "only a kit that was issued can be accepted", KitReturn: "nobody has it",
		KitClean: "only a kit that came back is cleaned", KitStock: "only a kit that is being cleaned goes to stock",
		KitRetire: "take it back first", KitConfirmed: "confirmations are of a kit that is issued and not live yet",
		KitFilled: "devices are added while it is in stock", KitEmptied: "devices are taken out while it is in stock",
	}[what]
	if k.State == KitReturned && what == KitStock {
		first = "say first that it is being cleaned"
	}
	if k.State == KitRetired {
		first = "make a new one of its devices"
	}
	return "the kit " + k.Label + " " + is + ": " + first
}
