// Package push holds the notices that Hale owes to people. A notice is a row written in the transaction of the fact
// it tells. The Dispatcher makes a delivery of it for each channel that wants it and hands these to a Sender, until each has a
// settled end. Channels are managed by people (Channels).
package push

import (
	"time"

	"hale/vital"
)

// Topic says what a notice is about; at most one notice per topic and dedup key is ever written.
type Topic string

// The topics.
const (
	AlertOpened        Topic = "alert.opened"
	AlertWorsened      Topic = "alert.worsened"
	ContactNow         Topic = "alert.contact_now" // late, but still the patient's last known value
	UnverifiedOpened   Topic = "unverified.opened" // a value of nobody known may be an emergency; for whoever is on duty, it names no patient
	UnverifiedWorsened Topic = "unverified.worsened"
	UnverifiedOverdue  Topic = "unverified.overdue" // nobody has looked at it in time

	CareEnding   Topic = "care.ending"  // consent to care was withdrawn; the watch goes on until the patient was told
	CareStopped  Topic = "care.stopped" // nobody watches any more
	CareEnded    Topic = "care.ended"   // the record is locked
	CareResumed  Topic = "care.resumed"
	ConsentDue   Topic = "consent.due"
	GuardianAsks Topic = "consent.guardian_asks"

	CodeMade    Topic = "signin.code"   // somebody of the care team made a code that lets a device in; the patient is told
	DeviceLetIn Topic = "signin.device" // and that it was used

	AccessGiven     Topic = "access.given"     // somebody close to a patient was let in, or is shown something else from now on; they are told
	GlassBroken     Topic = "access.glass"     // somebody opened a record outside their care
	LetOneselfIn    Topic = "access.let_in"    // somebody who manages care teams put themselves beside patients
	TeamUnattended  Topic = "team.unattended"  // a care team has patients, and nobody any more who answers their alerts
	CorrectionAsked Topic = "correction.asked" // a patient says that something in the record is wrong

	ScheduleChanged Topic = "schedule.changed" // what a patient is to measure at home, and when; the patient is told

	ReadingWithdrawn Topic = "reading.withdrawn" // a reading of theirs was taken back

	ChannelTested Topic = "webhook.test" // somebody tries a channel; it tells of nothing, and only that channel gets it

	ErasureAsked     Topic = "erasure.asked"     // somebody asks that a patient's data is erased
	ErasureDecided   Topic = "erasure.decided"   // the privacy officer has answered, by a refusal or a decision
	ErasureConfirmed Topic = "erasure.confirmed" // it happens on the day that the request names; until then it can be taken back
	ErasureWithdrawn Topic = "erasure.withdrawn"
)

// Audience is for whom a notice is.
type Audience string

// The audiences.
const (
	ToTeam      Audience = "team" // the care team, as its rosters say
	ToPatient   Audience = "patient"
	ToCaregiver Audience = "caregiver"
	ToOfficer   Audience = "privacy_officer"
	ToManagers  Audience = "manager" // whoever manages care teams
)

// SeverityNone is the severity of what tells of no reading.
const SeverityNone = "none"

// Notice is one row of the outbox. It names things by id only: the words are made when it is sent, for whoever
// reads them.
type Notice struct {
	Org       vital.OrgID
	Patient   vital.PatientID // 0 of what is about a care team, for the privacy officer or whoever manages teams
	Topic     Topic
	Dedup     string // one notice per organisation, topic and dedup key
	Severity  string // "yellow", "red" or "extreme"; SeverityNone of what tells of no reading
	CreatedAt time.Time

	Audience  Audience // the team when empty
	Caregiver int64    // with ToCaregiver
	Purpose   string   // the consent under which it may be sent; "care" when empty
}
