// Package identity says who a patient is: identifiers by system, files of people that are taken in (CSV, FHIR), and records that may
// be of one person.
package identity

import (
	"context"
	"net/url"
	"slices"
	"strings"
	"time"

	"hale/account"
	"hale/fault"
	"hale/vital"
)

// Identifier is what a system of the world (a health insurance, a hospital, a registry) calls a patient. While it is in force
// no two patients of an organisation have the same.
type Identifier struct {
	UID     vital.UID
	System  string // URI of the system, as it writes it
	Value   string // as it was written, trimmed, in Unicode's composed form (NFC)
	Key     string // what is compared: Value, or that in small letters where the system does not tell large ones from small
	Use     string // FHIR R4 identifier-use: "usual", "official", "temp", "secondary", "old"; may be empty
	From    string // date or moment as FHIR R4 writes it; may be empty
	To      string // the same; the identifier is in force until this is over
	AddedAt time.Time
	EndedAt time.Time // zero while nobody has ended it
	Reason  string    // why it was ended
}

// InForce reports whether the identifier says who somebody is at a moment.
func (i *Identifier) InForce(at time.Time) bool {
	return i.EndedAt.IsZero() && i.Use != "old" && (i.To == "" || vital.EndOf(i.To).After(at))
}

// IdentifierSystem is what an organisation says about a system. Of a system about which nothing is said, large and small
// letters are different.
type IdentifierSystem struct {
	URI   string
	Title string // what people call it: "Health insurance number"
	Folds bool   // large and small letters are the same
}

// IdentityBook is the record as Identities needs it. Every method is bound to the actor's organisation.
type IdentityBook interface {
	Patient(ctx context.Context, actor account.Actor, uid vital.UID) (account.Patient, error)
	// NumberSystem returns the URI under which the programme's own numbers (Patient.Number) are known to others.
	NumberSystem(ctx context.Context, actor account.Actor) (string, error)
	Systems(ctx context.Context, actor account.Actor) ([]IdentifierSystem, error)
	// SetSystem stores what is said about a system; fault.Conflict when that would change how identifiers that exist compare.
	SetSystem(ctx context.Context, actor account.Actor, s IdentifierSystem) error
	// Identifiers returns all identifiers of a patient, those in force first.
	Identifiers(ctx context.Context, actor account.Actor, patient vital.UID) ([]Identifier, error)
	// AddIdentifier stores an identifier with the audit row; fault.Conflict when it is in force for somebody.
	AddIdentifier(ctx context.Context, actor account.Actor, patient vital.UID, i Identifier) (Identifier, error)
	// EndIdentifier ends one that is in force, with the audit row; fault.NotFound when there is none.
	EndIdentifier(ctx context.Context, actor account.Actor, patient, identifier vital.UID, reason string) error
	// Identified returns the patients whom an identifier in force points to: one, or none.
	Identified(ctx context.Context, actor account.Actor, system, key string) ([]account.Patient, error)
	// Numbered is the same for the programme's own number.
	Numbered(ctx context.Context, actor account.Actor, number string) ([]account.Patient, error)
	// Changes returns what was changed of who the patient is, the newest first.
	Changes(ctx context.Context, actor account.Actor, patient vital.UID) ([]PatientChange, error)
}

// PatientChange is one change of who somebody is.
type PatientChange struct {
	At     time.Time
	By     string
	Source string // "import 0192...", for example
	Field  string // "name", "birth_date", "sex" or "number"
	Before string
	After  string
}

// Identities says who is who by what systems call them, and never by a name. NFC brings text to Unicode's composed form.
type Identities struct {
	Book  IdentityBook
	NFC   func(string) string
	Now   func() time.Time
	Looks *account.Looks // nil writes nothing
}

// The longest URI of a system, value and title, in characters.
const (
	longestSystem = 255
	longestValue  = 128
)

// checkSystem returns the URI of a system; fault.Invalid when it is none.
func checkSystem(text string) (string, error) {
	text = strings.TrimSpace(text)
	u, err := url.Parse(text)
	if err != nil || u.Scheme == "" || u.Scheme+":" == text || !account.Printable(text, longestSystem) || strings.ContainsAny(text, " |") {
		return "", fault.New(fault.Invalid, "system: give the URI of the system that gives the identifier, for example urn:oid:1.2.36.146 or https://clinic.example.org/mrn")
	}
	return text, nil
}

// normal returns the identifier as it is stored and compared; fault.Invalid says what to mend.
func (i Identifier) normal(nfc func(string) string, folds map[string]bool) (Identifier, error) {
	var err error
	if i.System, err = checkSystem(i.System); err != nil {
		return i, err
	}
	i.Value = strings.TrimSpace(nfc(i.Value))
	if i.Value == "" || !account.Printable(i.Value, longestValue) {
		return i, fault.New(fault.Invalid, "value: give 1 to %d printable characters", longestValue)
	}
	i.Key = i.Value
	if folds[i.System] {
		i.Key = strings.ToLower(i.Value)
	}
	if !slices.Contains([]string{"", "usual", "official", "temp", "secondary", "old"}, i.Use) {
		return i, fault.New(fault.Invalid, "use: give usual, official, temp, secondary or old, or leave it out")
	}
	for _, end := range []struct{ name, text string }{{"from", i.From}, {"to", i.To}} {
		if end.text != "" && !vital.ValidWhen(end.text) {
			return i, fault.New(fault.Invalid, "%s: give a date as YYYY, YYYY-MM or YYYY-MM-DD, or a time with its zone", end.name)
		}
	}
	return i, nil
}

// folding returns which systems do not tell large letters from small.
func folding(list []IdentifierSystem) map[string]bool {
	folds := map[string]bool{}
	for _, s := range list {
		folds[s.URI] = s.Folds
	}
	return folds
}

// Systems returns what the organisation says about systems, and the URI of its own numbers.
func (d *Identities) Systems(ctx context.Context, actor account.Actor) (list []IdentifierSystem, number string, err error) {
	if err := account.Allow(actor, account.SeePatients, nil); err != nil {
		return nil, "", err
	}
	if list, err = d.Book.Systems(ctx, actor); err != nil {
		return nil, "", err
	}
	number, err = d.Book.NumberSystem(ctx, actor)
	return list, number, err
}

// SetSystem says of a system what people call it, and whether large and small letters are the same in it. The latter can be
// said only while the organisation has no identifier of the system.
func (d *Identities) SetSystem(ctx context.Context, actor account.Actor, s IdentifierSystem) (IdentifierSystem, error) {
	if err := account.Allow(actor, account.ImportPeople, nil); err != nil {
		return s, err
	}
	var err error
	if s.URI, err = checkSystem(s.URI); err != nil {
		return s, err
	}
	s.Title = strings.TrimSpace(d.NFC(s.Title))
	if s.Title == "" || !account.Printable(s.Title, account.LongestName) {
		return s, fault.New(fault.Invalid, "title: give 1 to %d printable characters", account.LongestName)
	}
	number, err := d.Book.NumberSystem(ctx, actor)
	if err != nil {
		return s, err
	}
	if s.URI == number {
		return s, errOwnNumber()
	}
	return s, d.Book.SetSystem(ctx, actor, s)
}

func errOwnNumber() error {
	return fault.New(fault.Invalid, "system: this is the programme's own number, which is a field of the patient and not an identifier")
}

// Of returns a patient's identifiers, those in force first, and writes down that the actor looked. Whoever sees the patient
// sees them.
func (d *Identities) Of(ctx context.Context, actor account.Actor, patient vital.UID) (account.Patient, []Identifier, error) {
	p, err := d.seen(ctx, actor, patient)
	if err != nil {
		return p, nil, err
	}
	list, err := d.Book.Identifiers(ctx, actor, patient)
	return p, list, err
}

// Changes returns what was changed of who the patient is, the newest first.
func (d *Identities) Changes(ctx context.Context, actor account.Actor, patient vital.UID) ([]PatientChange, error) {
	if _, err := d.seen(ctx, actor, patient); err != nil {
		return nil, err
	}
	return d.Book.Changes(ctx, actor, patient)
}

// seen finds a patient and writes down that the actor is about to see by what names and numbers others know them.
func (d *Identities) seen(ctx context.Context, actor account.Actor, uid vital.UID) (account.Patient, error) {
	p, err := d.reach(ctx, actor, account.SeePatients, uid)
	if err != nil {
		return account.Patient{}, err
	}
	return p, d.Looks.Saw(ctx, actor, "identity", "", p.ID)
}

// reach finds a patient with whom the actor may do this.
func (d *Identities) reach(ctx context.Context, actor account.Actor, action account.Action, uid vital.UID) (account.Patient, error) {
	if err := account.Allow(actor, action, nil); err != nil {
		return account.Patient{}, err
	}
	p, err := d.Book.Patient(ctx, actor, uid)
	if err != nil {
		return p, err
	}
	return p, account.Allow(actor, action, &p)
}

// Add gives a patient an identifier.
func (d *Identities) Add(ctx context.Context, actor account.Actor, patient vital.UID, i Identifier) (Identifier, error) {
	p, err := d.reach(ctx, actor, account.AddPatient, patient)
	if err != nil {
		return i, err
	}
	if p.State == account.Merged {
		return i, fault.New(fault.Conflict, "this person is known under another record by now: add the identifier there")
	}
	list, number, err := d.Systems(ctx, actor)
	if err != nil {
		return i, err
	}
	if i, err = i.normal(d.NFC, folding(list)); err != nil {
		return i, err
	}
	if i.System == number {
		return i, errOwnNumber()
	}
	if !i.InForce(d.Now()) {
		return i, fault.New(fault.Invalid, "to: an identifier that is over points to nobody: leave it out, or give one that is in force")
	}
	return d.Book.AddIdentifier(ctx, actor, patient, i)
}

// End ends an identifier that is in force. The reason stays with it.
func (d *Identities) End(ctx context.Context, actor account.Actor, patient, identifier vital.UID, reason string) error {
	if _, err := d.reach(ctx, actor, account.AddPatient, patient); err != nil {
		return err
	}
	reason = strings.TrimSpace(reason)
	if reason == "" || !account.Printable(reason, account.LongestReason) {
		return fault.New(fault.Invalid, "reason: say in 1 to %d characters why the identifier is ended", account.LongestReason)
	}
	return d.Book.EndIdentifier(ctx, actor, patient, identifier, reason)
}

// Find returns the patient whom "system|value" points to: exactly this identifier, in force. There is none, or one.
func (d *Identities) Find(ctx context.Context, actor account.Actor, token string) ([]account.Patient, error) {
	list, number, err := d.Systems(ctx, actor)
	if err != nil {
		return nil, err
	}
	system, value, two := strings.Cut(token, "|")
	if !two {
		return nil, fault.New(fault.Invalid, "identifier: give system|value, for example urn:oid:1.2.36.146|12345")
	}
	i, err := Identifier{System: system, Value: value}.normal(d.NFC, folding(list))
	if err != nil {
		return nil, err
	}
	if err := d.Looks.Listed(ctx, actor, "patients"); err != nil {
		return nil, err
	}
	var found []account.Patient
	if i.System == number {
		found, err = d.Book.Numbered(ctx, actor, i.Value)
	} else {
		found, err = d.Book.Identified(ctx, actor, i.System, i.Key)
	}
	return slices.DeleteFunc(found, func(p account.Patient) bool { return account.Allow(actor, account.SeePatients, &p) != nil }), err
}
