package account

import (
	"slices"

	"hale/fault"
)

// Allow is the one place where it is decided whether actor may do action. patient is whom it concerns, or nil when it
// concerns the organisation as a whole. It returns nil, or an error of kind fault.Unauthenticated when nobody acts,
// fault.Forbidden when the role lacks the function, and fault.NotFound when the patient belongs to another
// organisation: whoever may not know of a person learns nothing from the answer.
func Allow(actor Actor, action Action, patient *Patient) error {
	if actor.Nobody() {
		return fault.New(fault.Unauthenticated, "sign in first")
	}
	if !slices.Contains(actor.Role.functions(), action) {
		return fault.New(fault.Forbidden, "your role (%s) may not do this: %s", actor.Role, action)
	}
	if patient != nil && patient.Org != actor.Org {
		return errNoPatient()
	}
	return nil
}

// Nobody reports whether the actor is no known person of an organisation.
func (a Actor) Nobody() bool { return a.Org == 0 || a.Role == "" }

// Actions returns every action of the vital way, in the order in which the role table names them.
func Actions() []Action {
	return []Action{
		SeePatients, AddPatient, SeeReadings, SeeAlerts, HandleAlert, SetLimits, SeeDevices, EnrolDevice, AssignDevice,
	}
}

// functions is the role table: what each role is for. A role that is not here may do nothing. Researchers work on
// pseudonymised sets and see nobody by name; the privacy officer finds a person in order to read who looked.
func (r Role) functions() []Action {
	switch r {
	case Nurse, Physician:
		return []Action{SeePatients, SeeReadings, SeeAlerts, HandleAlert, SetLimits}
	case Pharmacist:
		return []Action{SeePatients, SeeReadings, SeeAlerts}
	case DeviceDesk:
		return []Action{SeePatients, AddPatient, SeeDevices, EnrolDevice, AssignDevice}
	case Manager:
		return []Action{SeeDevices}
	case PrivacyOfficer:
		return []Action{SeePatients}
	case Researcher:
		return nil
	case Administrator:
		return Actions()
	}
	return nil
}

func errNoPatient() error { return fault.New(fault.NotFound, "there is no such patient") }
