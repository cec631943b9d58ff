package account

import (
	"time"

	"hale/vital"
)

// Invitation is a code with which a patient or a caregiver signs in once. Only a hash of it is kept.
type Invitation struct {
	Code      string // as it is shown to a person, for example "K7W2-9XQ4-M0ST"
	Name      string // of who signs in with it
	ExpiresAt time.Time
}

// Invited is whom a code is made for: the patient, or a caregiver of theirs.
type Invited struct {
	Patient   vital.UID
	Caregiver vital.UID // empty: the patient signs in
}

// Invitee is a caregiver of a patient for whom a code can be made.
type Invitee struct {
	UID  vital.UID
	Name string
}

// Key is the API key of a program. Only a hash of its token is kept.
type Key struct {
	UID       vital.UID
	Name      string
	Scopes    Scopes
	MadeBy    string // name of the member of staff; empty: the operator
	CreatedAt time.Time
	ExpiresAt time.Time
	UsedAt    time.Time // when it was last used, to the minute; zero: never
	RevokedAt time.Time // zero: it was not
}

// Redemption is an attempt to sign in with a code, as the record sees it: hashes, and how many attempts are borne.
type Redemption struct {
	Lookup                string // the first signs of the code, under which attempts are counted
	CodeHash              []byte
	TokenHash, DeviceHash []byte // of the session that is to be opened
	Most                  int    // attempts under the same signs
	MostAMinute           int    // attempts at all codes
}
