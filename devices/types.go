package devices

import (
	"context"
	"slices"
	"strings"
	"time"

	"hale/account"
	"hale/fault"
	"hale/vital"
)

// Kind says what somebody holds in their hands.
type Kind string

// The kinds of devices.
const (
	Gateway     Kind = "gateway"
	Tablet      Kind = "tablet"
	Cuff        Kind = "cuff"
	Scale       Kind = "scale"
	Oximeter    Kind = "oximeter"
	Thermometer Kind = "thermometer"
	Glucometer  Kind = "glucometer"
	Spirometer  Kind = "spirometer"
	Patch       Kind = "patch"
	Tracker     Kind = "tracker"
	OtherKind   Kind = "other"
)

// Kinds returns all kinds.
func Kinds() []Kind {
	return []Kind{Gateway, Tablet, Cuff, Scale, Oximeter, Thermometer, Glucometer, Spirometer, Patch, Tracker, OtherKind}
}

// Type is what a maker makes: its kind and what it can do. A set is shipped; an organisation adds its own.
type Type struct {
	UID     vital.UID
	Maker   string
	Model   string
	Kind    Kind
	Metrics []vital.Metric // what it can measure; empty: it only carries what others measured
	Slots   int            // how many users it tells apart, at least 1
	Shipped bool
}

// Known reports whether this is a type at all, and not what stands for none.
func (t *Type) Known() bool { return t.UID != "" }

// Measures reports whether a reading is to be expected of a thing of this type; of one of no known type it is.
func (t *Type) Measures() bool { return !t.Known() || len(t.Metrics) > 0 }

func (t *Type) check() error {
	t.Maker, t.Model = strings.TrimSpace(t.Maker), strings.TrimSpace(t.Model)
	if t.Maker == "" || !account.Printable(t.Maker, longestModel) {
		return fault.New(fault.Invalid, "maker: give 1 to %d printable characters", longestModel)
	}
	if t.Model == "" || !account.Printable(t.Model, longestModel) {
		return fault.New(fault.Invalid, "model: give 1 to %d printable characters", longestModel)
	}
	if !slices.Contains(Kinds(), t.Kind) {
		return fault.New(fault.Invalid, "kind: %q is none of %s", string(t.Kind), kindWords())
	}
	if t.Slots == 0 {
		t.Slots = 1
	}
	if t.Slots < 1 || t.Slots > MaxSlot+1 {
		return fault.New(fault.Invalid, "user_slots: a device tells apart 1 to %d users", MaxSlot+1)
	}
	for i, m := range t.Metrics {
		if _, ok := vital.Define(m); !ok || slices.Contains(t.Metrics[:i], m) {
			return fault.New(fault.Invalid, "metrics: name each thing that it measures once, by its code")
		}
	}
	return nil
}

func kindWords() string {
	words := make([]string, len(Kinds()))
	for i, k := range Kinds() {
		words[i] = string(k)
	}
	return strings.Join(words, ", ")
}

// Details are what one sensor is: which type, and what stands on its label. Of a device, its own sensor has them; a sensor that a
// gateway speaks for has its own, and the user slots of a shared one have those of the whole.
type Details struct {
	Type           Type // the zero Type when nobody has said
	Serial         string
	Lot            string
	Firmware       string
	CalibrationDue vital.Date // empty when nothing is to be calibrated
}

// Describing is what the desk says of a sensor.
type Describing struct {
	Sensor  string    // UID of a device (its own sensor) or of a granted sensor
	Type    vital.UID // empty: not known
	Serial  string
	Lot     string
	Version string     // of the firmware
	Due     vital.Date // calibration
}

func (d *Describing) check() error {
	if err := CheckUID("sensor", d.Sensor); err != nil {
		return err
	}
	for _, f := range []struct {
		name string
		text *string
	}{{"serial", &d.Serial}, {"lot", &d.Lot}, {"firmware", &d.Version}} {
		*f.text = strings.TrimSpace(*f.text)
		if *f.text != "" && !account.Printable(*f.text, longestModel) {
			return fault.New(fault.Invalid, "%s: give at most %d printable characters", f.name, longestModel)
		}
	}
	if d.Due != "" {
		if _, err := time.Parse(time.DateOnly, string(d.Due)); err != nil {
			return fault.New(fault.Invalid, "calibration_due: give a day such as 2027-03-01, or nothing")
		}
	}
	return nil
}

// Recall asks who has what: empty parts ask for nothing. Letters' case does not matter.
type Recall struct {
	Maker, Model, Lot, Firmware string
}

func (r *Recall) check() error {
	for _, text := range []*string{&r.Maker, &r.Model, &r.Lot, &r.Firmware} {
		*text = strings.TrimSpace(*text)
		if *text != "" && !account.Printable(*text, longestModel) {
			return fault.New(fault.Invalid, "a maker, model, lot or firmware has at most %d printable characters", longestModel)
		}
	}
	if r.Maker == "" && r.Model == "" && r.Lot == "" {
		return fault.New(fault.Invalid, "say which model, lot or maker is recalled")
	}
	return nil
}

// Held is a thing that a recall asks for, and who has it.
type Held struct {
	Sensor  string // name of the sensor, or of the user slot of a shared one
	Details Details
	Kit     string // label of the kit it is in; empty when in none
	Patient vital.PatientID
	UID     vital.UID // of the patient; empty: nobody has it
	Name    string
	Number  string
	From    time.Time // since when they have it
}

// Catalogue is the record as the Types need it. Every method is bound to the actor's organisation, and what it changes
// has its audit row.
type Catalogue interface {
	Types(ctx context.Context, actor account.Actor) ([]Type, error)
	// AddType stores a type of the organisation's own; one that is there by maker and model is fault.Conflict.
	AddType(ctx context.Context, actor account.Actor, t Type) (Type, error)
	// Describe writes down what a sensor is; fault.NotFound when there is none, or no such type.
	Describe(ctx context.Context, actor account.Actor, d Describing) error
	// Details returns what a sensor is; fault.NotFound when there is none.
	Details(ctx context.Context, actor account.Actor, sensor string) (Details, error)
	// Holding answers a recall in one question, what somebody has first.
	Holding(ctx context.Context, actor account.Actor, r Recall) ([]Held, error)
}

// Types is where it is kept what things are.
type Types struct {
	Catalogue Catalogue
	Looks     *account.Looks // at who has what; nil writes nothing
}

// List returns the types that the organisation knows, by maker and model.
func (t *Types) List(ctx context.Context, actor account.Actor) ([]Type, error) {
	if err := account.Allow(actor, account.SeeDevices, nil); err != nil {
		return nil, err
	}
	return t.Catalogue.Types(ctx, actor)
}

// Add stores a type of the organisation's own.
func (t *Types) Add(ctx context.Context, actor account.Actor, add Type) (Type, error) {
	if err := account.Allow(actor, account.EnrolDevice, nil); err != nil {
		return Type{}, err
	}
	if err := add.check(); err != nil {
		return Type{}, err
	}
	add.Shipped = false
	return t.Catalogue.AddType(ctx, actor, add)
}

// Of returns what a sensor is, as far as somebody has said.
func (t *Types) Of(ctx context.Context, actor account.Actor, sensor string) (Details, error) {
	if err := account.Allow(actor, account.SeeDevices, nil); err != nil {
		return Details{}, err
	}
	return t.Catalogue.Details(ctx, actor, sensor)
}

// Describe writes down what a sensor is: its type, serial number, lot, firmware, and when it is to be calibrated.
func (t *Types) Describe(ctx context.Context, actor account.Actor, d Describing) error {
	if err := account.Allow(actor, account.EnrolDevice, nil); err != nil {
		return err
	}
	if err := d.check(); err != nil {
		return err
	}
	return t.Catalogue.Describe(ctx, actor, d)
}

// Recall tells which patients have what is asked for, and what of it lies in stock. Every patient on the list is told, in who
// looked at their data.
func (t *Types) Recall(ctx context.Context, actor account.Actor, r Recall) ([]Held, error) {
	if err := account.Allow(actor, account.SeeDevices, nil); err != nil {
		return nil, err
	}
	if err := account.Allow(actor, account.SeePatients, nil); err != nil {
		return nil, err
	}
	if err := r.check(); err != nil {
		return nil, err
	}
	list, err := t.Catalogue.Holding(ctx, actor, r)
	if err != nil {
		return nil, err
	}
	var who []vital.PatientID
	for i := range list {
		if list[i].Patient != 0 && !slices.Contains(who, list[i].Patient) {
			who = append(who, list[i].Patient)
		}
	}
	if err := t.Looks.Listed(ctx, actor, "recall"); err != nil {
		return nil, err
	}
	return list, t.Looks.Saw(ctx, actor, "recall", "", who...)
}
