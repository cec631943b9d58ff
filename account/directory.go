package account

import (
	"context"
	"slices"
	"strconv"
	"strings"
	"time"

	"hale/fault"
	"hale/vital"
)

// People is the record as the Directory needs it. Every method is bound to the actor's organisation, and fills in what the
// actor is to each patient (Patient.Relation).
type People interface {
	Patients(ctx context.Context, actor Actor, query string, limit int) ([]Patient, error)
	Patient(ctx context.Context, actor Actor, uid vital.UID) (Patient, error)
	// AddPatient stores a new patient together with whatever a new patient starts with (the default limits, the care
	// teams), and the audit row, and lists who may be the same person (Patient.Alike, possible doubles). A Number that the organisation already has is fault.Conflict.
	AddPatient(ctx context.Context, actor Actor, p Patient) (Patient, error)
	// Record writes an audit row for something that changed nothing, such as a look at a record.
	Record(ctx context.Context, a Audit) error
}

// Credentials is the record as signing in needs it.
type Credentials interface {
	// Login returns who has this login name, with the password hash (PHC string); fault.NotFound when nobody.
	Login(ctx context.Context, login string) (Actor, string, error)
	OpenSession(ctx context.Context, tokenHash []byte, s Session) error
	// Session returns a session that has neither ended nor run out nor been idle for too long (IdleAfter, BoundIdleAfter) at now;
	// fault.Unauthenticated otherwise, and also when it is bound to another device than the one whose secret's hash is given.
	// Of those who ask at once, no one's question makes an idle session live for another. SeenAt of what it returns is the look before this
	// one (it may be a minute old: the record need not write every look).
	Session(ctx context.Context, tokenHash, deviceHash []byte, now time.Time) (Session, error)
	// EndSession ends such a session and returns its UID; "" when there is none.
	EndSession(ctx context.Context, tokenHash, deviceHash []byte, now time.Time) (vital.UID, error)
}

// Directory is the people of an organisation as its staff find them.
type Directory struct {
	People People
	Now    func() time.Time
	Looks  *Looks // of lists; nil writes nothing
}

// MostPatients is how many patients one listing returns at most.
const MostPatients = 500

const usualPatients = 100

// Patients returns the patients whose name or number matches the query (all when it is empty), by name. A limit of 0
// means 100.
func (d *Directory) Patients(ctx context.Context, actor Actor, query string, limit int) ([]Patient, error) {
	if err := Allow(actor, SeePatients, nil); err != nil {
		return nil, err
	}
	limit, err := ListLength(limit, usualPatients, MostPatients)
	if err != nil {
		return nil, err
	}
	if err := d.Looks.Listed(ctx, actor, "patients"); err != nil {
		return nil, err
	}
	list, err := d.People.Patients(ctx, actor, strings.TrimSpace(query), limit)
	return reachable(actor, list), err
}

// reachable leaves out the patients whom the actor may not know of.
func reachable(actor Actor, list []Patient) []Patient {
	return slices.DeleteFunc(list, func(p Patient) bool { return Allow(actor, SeePatients, &p) != nil })
}

// Patient returns one patient's record and writes down that the actor looked at it.
func (d *Directory) Patient(ctx context.Context, actor Actor, uid vital.UID) (Patient, error) {
	return d.look(ctx, actor, uid, SeePatients, "")
}

// Readings returns the patient whose readings the actor is about to see, and writes that look down; what names the
// readings without a value, for example "blood_pressure".
func (d *Directory) Readings(ctx context.Context, actor Actor, uid vital.UID, what string) (Patient, error) {
	return d.look(ctx, actor, uid, SeeReadings, what)
}

// look finds a patient and writes the audit row first: what cannot be written down is not shown.
func (d *Directory) look(ctx context.Context, actor Actor, uid vital.UID, action Action, detail string) (Patient, error) {
	if err := Allow(actor, action, nil); err != nil {
		return Patient{}, err
	}
	p, err := d.People.Patient(ctx, actor, uid)
	if err != nil {
		return Patient{}, err
	}
	if err := Allow(actor, action, &p); err != nil {
		return Patient{}, err
	}
	audit := Audit{
		Org: actor.Org, At: d.Now(), Actor: actor, Action: "look", Patient: p.ID,
		Object: "patient " + string(p.UID), Detail: detail,
	}
	if err := d.People.Record(ctx, audit); err != nil {
		return Patient{}, err
	}
	return p, nil
}

// AddPatient takes a new person into the actor's organisation. Name and Zone are needed; Sex is "unknown" when empty.
// Whatever the caller says of ID, UID, Org and CreatedAt is not used.
func (d *Directory) AddPatient(ctx context.Context, actor Actor, p Patient) (Patient, error) {
	if err := Allow(actor, AddPatient, nil); err != nil {
		return Patient{}, err
	}
	now := d.Now()
	p.Name, p.Number = strings.TrimSpace(p.Name), strings.TrimSpace(p.Number)
	if p.Sex == "" {
		p.Sex = "unknown"
	}
	if p.BirthDate == "" && p.BirthYear > 0 {
		p.BirthDate = vital.Date(strconv.Itoa(p.BirthYear))
	}
	p.BirthYear = max(p.BirthYear, p.BirthDate.Year())
	if err := p.check(now); err != nil {
		return Patient{}, err
	}
	p.ID, p.UID, p.Org, p.CreatedAt, p.State = 0, "", actor.Org, now, Active
	p, err := d.People.AddPatient(ctx, actor, p)
	if Allow(actor, SeePatients, nil) != nil { // who may add and not see does not learn who is there
		p.Alike = nil
	}
	return p, err
}

func (p *Patient) check(now time.Time) error {
	if !Printable(p.Name, LongestName) || p.Name == "" {
		return fault.New(fault.Invalid, "name: give 1 to %d printable characters", LongestName)
	}
	if !Printable(p.Number, LongestNumber) {
		return fault.New(fault.Invalid, "number: give at most %d printable characters", LongestNumber)
	}
	if p.BirthYear != 0 && (p.BirthYear < FirstBirth || p.BirthYear > now.Year()) {
		return fault.New(fault.Invalid, "birth_year: give a year from %d to %d, or leave it out", FirstBirth, now.Year())
	}
	if p.BirthDate != "" && (!Born(p.BirthDate, now) || p.BirthDate.Year() != p.BirthYear) {
		return fault.New(fault.Invalid, "birth_date: give YYYY, YYYY-MM or YYYY-MM-DD, not in the future, and of the year of birth when that is given too")
	}
	switch p.Sex {
	case "female", "male", "other", "unknown":
	default:
		return fault.New(fault.Invalid, "sex: give female, male, other or unknown")
	}
	return CheckZone(p.Zone)
}
