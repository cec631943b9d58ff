// Package account knows the people: organisations, staff and their roles, the patients, sessions, and who may do
// what to whom (Allow). Every service asks Allow before it acts, and every act of a person leaves an audit row.
package account

import (
	"time"

	"hale/vital"
)

// StaffID is a person who works for an organisation.
type StaffID int64

// Role is what a person is to an organisation.
type Role string

// The roles. A system is a program with a key of its own.
const (
	Nurse          Role = "nurse"
	Pharmacist     Role = "pharmacist"
	Physician      Role = "physician"
	DeviceDesk     Role = "device_desk"
	Manager        Role = "manager"
	Researcher     Role = "researcher"
	PrivacyOfficer Role = "privacy_officer"
	Administrator  Role = "administrator"
)

// Actor is who acts, as the session or the system knows them. The zero Actor is nobody.
type Actor struct {
	Org     vital.OrgID
	Staff   StaffID
	UID     vital.UID
	Name    string
	Role    Role
	Session vital.UID // names the session in the audit row; empty for the operator at the console
}

// Action is a thing that can be done. It is named by what a person would say.
type Action string

// The actions of the vital way.
const (
	SeePatients  Action = "see patients"
	AddPatient   Action = "add patient"
	SeeReadings  Action = "see readings"
	SeeAlerts    Action = "see alerts"
	HandleAlert  Action = "handle alert" // acknowledge, resolve, note
	SetLimits    Action = "set limits"
	SeeDevices   Action = "see devices"
	EnrolDevice  Action = "enrol device"
	AssignDevice Action = "assign device"
)

// Patient is a person being watched over.
type Patient struct {
	ID        vital.PatientID
	UID       vital.UID
	Org       vital.OrgID
	Name      string
	BirthYear int    // 0 when not known
	Sex       string // "female", "male", "other" or "unknown", as FHIR R4 administrative gender
	Zone      string // IANA time zone of the home, for example "Europe/Ljubljana"
	Number    string // the programme's own number for the person; unique in the organisation, may be empty
	CreatedAt time.Time
}

// Session is a signed-in person. Only a hash of its token is stored.
type Session struct {
	UID       vital.UID
	Actor     Actor
	CSRF      string // value that every changing request of a browser must carry
	CreatedAt time.Time
	SeenAt    time.Time
	ExpiresAt time.Time
}

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
