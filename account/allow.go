package account

import (
	"slices"
	"time"

	"hale/fault"
	"hale/vital"
)

// Relation is what one actor is to one patient just now. Whoever loads a Patient for an actor fills it in; see Patient.
type Relation struct {
	Team   bool      // they are together in a care team, both in its period
	Glass  time.Time // until when the actor has broken the glass; zero: not
	Shared Scopes    // what the patient, or the law for a guardian, lets this caregiver do

	Guardian bool      // they act for the patient by law
	Frozen   time.Time // from when on this caregiver sees nothing new, and is not to notice; zero: they see what comes
}

// Allow is the one place where it is decided whether actor may do action. patient is whom it concerns, or nil when it
// concerns the organisation as a whole; its Relation is to this actor. It returns nil, or an error of kind
// fault.Unauthenticated when nobody acts, fault.Forbidden when the role lacks the function, fault.NotFound when the
// patient is out of the actor's reach (another organisation's, or of no care team of theirs): whoever may not know of a
// person learns nothing from the answer. Whoever has broken the glass sees the patient, and gets fault.Forbidden for what lasts
// longer than that. Of a patient whose record is locked, what would change it is fault.Conflict.
func Allow(actor Actor, action Action, patient *Patient) error {
	if actor.Nobody() {
		return fault.New(fault.Unauthenticated, "sign in first")
	}
	if !actor.may(action) {
		return fault.New(fault.Forbidden, "your role (%s) may not do this: %s", actor.Role, action)
	}
	if patient == nil {
		return nil
	}
	if patient.Org != actor.Org || !actor.reaches(action, patient) {
		return fault.New(fault.NotFound, "there is no patient %s", patient.UID) // as of one whom nobody knows
	}
	if actor.byGlassOnly(action, patient.Relation) && !slices.Contains(emergency(), action) {
		return fault.New(fault.Forbidden, "you see this record in an emergency only: what lasts longer is for the patient's care team (%s)", action)
	}
	if patient.State == Locked && slices.Contains(watching(), action) {
		return fault.New(fault.Conflict, "care of this patient has ended and the record is locked: it can be read, but nothing can be added")
	}
	if patient.State == Merged && slices.Contains(beginning(), action) {
		return fault.New(fault.Conflict, "this patient is known under another record now: do it there")
	}
	return nil
}

// AllowThing asks Allow about something that belongs to a patient, such as "share 0192...". Of somebody out of reach there is no
// such thing, word for word as of one that does not exist: the answer names nobody.
func AllowThing(actor Actor, action Action, patient *Patient, thing string) error {
	err := Allow(actor, action, patient)
	if fault.Is(err, fault.NotFound) {
		return fault.New(fault.NotFound, "there is no %s", thing)
	}
	return err
}

// Nobody reports whether the actor is no known person of an organisation.
func (a Actor) Nobody() bool { return a.Org == 0 || a.Role == "" }

func (a Actor) may(action Action) bool {
	return slices.Contains(a.Role.functions(), action) && (a.Role != SystemRole || a.Scopes.Has(action))
}

// reaches reports whether the patient is one of those with whom the actor may do this at all. What is health needs a care
// team or broken glass; what is administration is for the whole organisation, unless the role is one of care.
func (a Actor) reaches(action Action, p *Patient) bool {
	switch a.Role {
	case SelfRole:
		return a.Self != 0 && a.Self == p.ID
	case CaregiverRole:
		return a.Caregiver != 0 && p.Relation.Shared.Has(action)
	case SystemRole:
		return true
	case Nurse, Pharmacist, Physician:
		return p.Relation.cares()
	case Administrator:
		return !slices.Contains(health(), action) || p.Relation.cares()
	case DeviceDesk, Manager, PrivacyOfficer, Researcher:
		return true
	}
	return false
}

// AtBedside reports whether a care team can count on somebody of the role to answer its alerts: the role may, and they can sign in.
func (r Role) AtBedside(signsIn bool) bool {
	return signsIn && slices.Contains(r.functions(), HandleAlert)
}

// LetsThemselvesIn reports whether the actor, by putting this member of staff beside patients, opens to themselves what was measured.
func (a Actor) LetsThemselvesIn(staff vital.UID) bool {
	return a.UID != "" && a.UID == staff && a.Role.AtBedside(true)
}

func (r Relation) cares() bool { return r.Team || !r.Glass.IsZero() }

// byGlassOnly reports whether nothing but broken glass brings the actor to the patient for this action.
func (a Actor) byGlassOnly(action Action, r Relation) bool {
	if r.Team || r.Glass.IsZero() {
		return false
	}
	return a.Role.InCare() || a.Role == Administrator && slices.Contains(health(), action)
}

// emergency are the actions that broken glass opens: to see, and to help just now. What lets somebody in, what settles who
// decides, what the watch asks for from now on (limits), and what leaves a copy lasts longer than the glass, and is for the care team.
func emergency() []Action {
	return []Action{SeePatients, SeeReadings, SeeAlerts, SeeSheet, SeeConsents, SeeTeams, BreakGlass, HandleAlert}
}

// health are the actions that show what was measured, or act on it.
func health() []Action {
	return []Action{SeeReadings, SeeAlerts, HandleAlert, SetLimits, SetSchedule, SeeSheet, ExportRecord, DecideCorrection, Protect}
}

// watching are the actions that end with care. That something in the record is wrong is decided on as long as there is a record.
func watching() []Action {
	return []Action{HandleAlert, SetLimits, SetSchedule, AssignDevice, InvitePatient}
}

// beginning are the actions that begin something with a patient. Of one who is merged, what is open can still be ended.
func beginning() []Action { return []Action{AssignDevice, SetLimits, SetSchedule, InvitePatient} }

// InCare reports whether the role sees only the patients whom its care teams look after: the record then shows it no other.
func (r Role) InCare() bool {
	switch r {
	case Nurse, Pharmacist, Physician:
		return true
	case DeviceDesk, Manager, Researcher, PrivacyOfficer, Administrator, SelfRole, CaregiverRole, SystemRole:
		return false
	}
	return false
}
