// Package push holds the notices that Hale owes to people. A notice is a row written in the transaction of the fact
// it tells; senders come later and only ever read that outbox.
package push

import (
	"time"

	"hale/vital"
)

// Topic says what a notice is about; at most one notice per topic and dedup key is ever written.
type Topic string

// The topics.
const (
	AlertOpened   Topic = "alert.opened"
	AlertWorsened Topic = "alert.worsened"
	ContactNow    Topic = "alert.contact_now" // late, but still the patient's last known value
)

// Notice is one row of the outbox. It names things by id only: the words are made when it is sent, for whoever
// reads them.
type Notice struct {
	Org       vital.OrgID
	Patient   vital.PatientID
	Topic     Topic
	Dedup     string // one notice per organisation, topic and dedup key
	Severity  string // "yellow", "red" or "extreme"
	CreatedAt time.Time
}
