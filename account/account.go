// Package account knows the people: organisations, staff and their roles, the patients, sessions, and who may do
// what to whom (Allow). Every service asks Allow before it acts, and every act of a person leaves an audit row.
package account

import (
	"time"

	"hale/vital"
)

// StaffID is a person who works for an organisation.
type StaffID int64

// CaregiverID is a person whom a patient lets in: family, a neighbour, a guardian.
type CaregiverID int64

// KeyID is the API key of a program.
type KeyID int64

// Role is what a person is to an organisation.
type Role string

// The roles. The patient, the caregiver and the system are no staff: they act under Actor.Self, Caregiver and Key.
const (
	Nurse          Role = "nurse"
	Pharmacist     Role = "pharmacist"
	Physician      Role = "physician"
	DeviceDesk     Role = "device_desk"
	Manager        Role = "manager"
	Researcher     Role = "researcher"
	PrivacyOfficer Role = "privacy_officer"
	Administrator  Role = "administrator"
	SelfRole       Role = "patient"
	CaregiverRole  Role = "caregiver"
	SystemRole     Role = "system"
)

// Roles returns every role, those of staff first.
func Roles() []Role {
	return append(StaffRoles(), SelfRole, CaregiverRole, SystemRole)
}

// StaffRoles returns the roles that a member of staff can have.
func StaffRoles() []Role {
	return []Role{Nurse, Pharmacist, Physician, DeviceDesk, Manager, Researcher, PrivacyOfficer, Administrator}
}

// Actor is who acts, as the session or the system knows them. The zero Actor is nobody. One of Staff, Self, Caregiver and Key
// says who it is, by Role; the operator at the console has none of them.
type Actor struct {
	Org       vital.OrgID
	Staff     StaffID
	Self      vital.PatientID // the patient who acts, with SelfRole
	Caregiver CaregiverID     // with CaregiverRole
	Key       KeyID           // with SystemRole
	Scopes    Scopes          // what the key may do, with SystemRole
	UID       vital.UID
	Name      string
	Role      Role
	Session   vital.UID // names the session in the audit row; empty for the operator at the console
}

// Patient is a person being watched over, as one actor is related to them: whoever loads a Patient fills in Relation for the
// actor who asks.
type Patient struct {
	ID        vital.PatientID
	UID       vital.UID
	Org       vital.OrgID
	Name      string
	BirthYear int        // 0 when not known
	BirthDate vital.Date // as far as it is known; BirthYear is its year
	Sex       string     // "female", "male", "other" or "unknown", as FHIR R4 administrative gender
	Zone      string     // IANA time zone of the home, for example "Europe/Ljubljana"
	Number    string     // the programme's own number for the person; unique in the organisation, may be empty
	State     State
	CreatedAt time.Time
	Relation  Relation
	Teams     []vital.UID // of a new patient: the care teams that take them in; none means the organisation's own
	Before    string      // of a patient who was searched for: the number of a record that was merged into this one
	Alike     []vital.UID // of a patient who was just added: who may be the same person, by name and birth
}

// State says how a patient stands to the programme.
type State string

// The states of a patient. Ending: consent to care has been withdrawn and somebody has to close what is open. Locked: the
// record can be read by those who may, and nothing can be added. Merged: the person is known under another record.
const (
	Active State = "active"
	Ending State = "ending"
	Locked State = "locked"
	Merged State = "merged"
)

// Session is a signed-in person. Only a hash of its token is stored.
type Session struct {
	UID       vital.UID
	Actor     Actor
	CSRF      string // value that every changing request of a browser must carry
	Label     string // of the browser or app, for people
	CreatedAt time.Time
	SeenAt    time.Time
	ExpiresAt time.Time
	MisusedAt time.Time // when its token was first shown without the device it is bound to; zero: never
	LetInBy   Actor     // who made the code that opened it: UID, Name and Role; zero: no code did
}

// How long a session may go without a request: one of staff, and one that is bound to the device of a patient or a caregiver
// (docs/adr/0018).
const (
	IdleAfter      = 12 * time.Hour
	BoundIdleAfter = 30 * 24 * time.Hour
)

// Audit is one row of the audit trail: who did what to whom, when.
type Audit struct {
	Org     vital.OrgID
	At      time.Time
	Actor   Actor // zero for an act of Hale itself
	Action  string
	Patient vital.PatientID // 0 when no patient is concerned
	Object  string          // kind and UID of the thing, for example "alert 0192..."
	Detail  string          // what changed, in one line without names or values of health
}
