package account

import (
	"slices"
	"strings"
)

// Action is a thing that can be done. It is named by what a person would say.
type Action string

// The actions.
const (
	SeePatients  Action = "see patients" // who they are, not what was measured
	AddPatient   Action = "add patient"
	SeeReadings  Action = "see readings"
	SeeAlerts    Action = "see alerts"
	HandleAlert  Action = "handle alert" // acknowledge, resolve, note
	SetLimits    Action = "set limits"
	SetSchedule  Action = "set the measurement schedule"
	SeeDevices   Action = "see devices"
	EnrolDevice  Action = "enrol device"
	AssignDevice Action = "assign device"
	CheckDevice  Action = "check devices for a broker" // a broker asks whom it may let in; for programs only

	SeeTeams    Action = "see care teams" // their people, rosters and staffed hours
	ManageTeams Action = "manage care teams"
	ManageStaff Action = "manage staff"
	ManageKeys  Action = "manage API keys"
	// ManageWebhooks lets notices leave the house: whoever may, says to which address.
	ManageWebhooks Action = "manage webhooks"
	BreakGlass     Action = "break the glass"
	ReviewAccess   Action = "review access" // the privacy officer's look at broken glass and the audit trail
	InvitePatient  Action = "let a patient sign in"

	SeeConsents     Action = "see consents"
	RecordConsent   Action = "record consent"
	ManageCaregiver Action = "let a caregiver in"
	EndCare         Action = "end care"                // what off-boarding asks of the team
	Protect         Action = "protect from a relative" // private items, quiet suspension; no relative learns of it
	WriteConsent    Action = "write consent texts"

	ImportPeople  Action = "import people"
	MergePatients Action = "merge patients"
	Refile        Action = "refile readings"

	SeeLooks         Action = "see who looked"
	ExportRecord     Action = "export a record"
	ShareRecord      Action = "share a record"
	SeeSheet         Action = "see the emergency sheet"
	AskCorrection    Action = "ask for a correction"
	DecideCorrection Action = "decide on a correction"
	AskErasure       Action = "ask for erasure"
	DecideErasure    Action = "decide on erasure"
)

// Actions returns every action, in the order in which they are defined.
func Actions() []Action {
	return []Action{
		SeePatients, AddPatient, SeeReadings, SeeAlerts, HandleAlert, SetLimits, SetSchedule, SeeDevices, EnrolDevice, AssignDevice, CheckDevice,
		SeeTeams, ManageTeams, ManageStaff, ManageKeys, ManageWebhooks, BreakGlass, ReviewAccess, InvitePatient,
		SeeConsents, RecordConsent, ManageCaregiver, EndCare, Protect, WriteConsent, ImportPeople, MergePatients, Refile,
		SeeLooks, ExportRecord, ShareRecord, SeeSheet, AskCorrection, DecideCorrection, AskErasure, DecideErasure,
	}
}

// functions is the role table: what each role is for. A role that is not here may do nothing. Researchers work on
// pseudonymised sets and see nobody by name; the privacy officer finds a person in order to read who looked.
func (r Role) functions() []Action {
	clinical := []Action{
		SeePatients, SeeReadings, SeeAlerts, SeeTeams, BreakGlass, InvitePatient, SeeConsents, RecordConsent, ManageCaregiver, SeeSheet, Protect,
	}
	switch r {
	case Nurse, Physician:
		return append(clinical, HandleAlert, SetLimits, SetSchedule, EndCare, DecideCorrection, Refile)
	case Pharmacist:
		return append(clinical, SetSchedule)
	case DeviceDesk:
		return []Action{
			SeePatients, AddPatient, SeeDevices, EnrolDevice, AssignDevice, SeeTeams, ImportPeople, MergePatients, Refile,
		}
	case Manager:
		return []Action{SeePatients, SeeDevices, SeeTeams, ManageTeams, ManageWebhooks, ImportPeople}
	case PrivacyOfficer:
		return []Action{SeePatients, SeeTeams, ReviewAccess, SeeConsents, Protect, WriteConsent, SeeLooks, AskErasure, DecideErasure}
	case Researcher:
		return nil
	case Administrator:
		return without(Actions(), CheckDevice, ReviewAccess, SeeLooks, ShareRecord, AskCorrection, AskErasure, DecideErasure, InvitePatient)
	case SelfRole:
		return append(own(), Protect)
	case CaregiverRole:
		return own()
	case SystemRole:
		return ForSystems()
	}
	return nil
}

// own is what patients may do about themselves, and a guardian for them.
func own() []Action {
	return []Action{
		SeePatients, SeeReadings, SeeAlerts, SeeConsents, RecordConsent, ManageCaregiver,
		SeeLooks, ExportRecord, ShareRecord, SeeSheet, AskCorrection, AskErasure,
	}
}

// ForSystems returns the actions that an API key can be given.
func ForSystems() []Action {
	return []Action{SeePatients, AddPatient, SeeReadings, SeeAlerts, SeeDevices, EnrolDevice, AssignDevice, CheckDevice, ImportPeople}
}

// ForCaregivers returns the actions that a patient can share with a caregiver. A guardian may do more; see ForGuardians.
func ForCaregivers() []Action { return []Action{SeePatients, SeeReadings, SeeAlerts, SeeSheet} }

// ForGuardians returns the actions of a guardian: what patients may do about themselves, but for what protects them from
// relatives.
func ForGuardians() []Action { return own() }

func without(list []Action, some ...Action) []Action {
	return slices.DeleteFunc(list, func(a Action) bool { return slices.Contains(some, a) })
}

// Scopes is a set of actions as it is stored: their names, separated by commas. The empty Scopes hold nothing.
type Scopes string

// ScopesOf returns the set of the actions, in the order of Actions and each once; what is no action is left out.
func ScopesOf(actions ...Action) Scopes {
	var names []string
	for _, a := range Actions() {
		if slices.Contains(actions, a) {
			names = append(names, string(a))
		}
	}
	return Scopes(strings.Join(names, ","))
}

// Actions returns the actions of the set.
func (s Scopes) Actions() []Action {
	var list []Action
	for _, a := range Actions() {
		if s.Has(a) {
			list = append(list, a)
		}
	}
	return list
}

// Has reports whether the set holds the action.
func (s Scopes) Has(a Action) bool {
	rest, found := string(s), false
	for rest != "" && !found {
		var name string
		name, rest, _ = strings.Cut(rest, ",")
		found = name == string(a)
	}
	return found
}
