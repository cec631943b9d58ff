package account

import (
	"context"
	"time"

	"hale/vital"
)

// People is the record as the Directory needs it. Every method is bound to the actor's organisation.
type People interface {
	Patients(ctx context.Context, actor Actor, query string, limit int) ([]Patient, error)
	Patient(ctx context.Context, actor Actor, uid vital.UID) (Patient, error)
	// AddPatient stores a new patient together with whatever a new patient starts with (the default limits), and
	// the audit row. A Number that the organisation already has is fault.Conflict.
	AddPatient(ctx context.Context, actor Actor, p Patient) (Patient, error)
	// Record writes an audit row for something that changed nothing, such as a look at a record.
	Record(ctx context.Context, a Audit) error
}

// Credentials is the record as signing in needs it.
type Credentials interface {
	// Login returns who has this login name, with the password hash (PHC string); fault.NotFound when nobody.
	Login(ctx context.Context, login string) (Actor, string, error)
	OpenSession(ctx context.Context, tokenHash []byte, s Session) error
	// Session returns a session that has not ended or run out at now; fault.Unauthenticated otherwise.
	Session(ctx context.Context, tokenHash []byte, now time.Time) (Session, error)
	EndSession(ctx context.Context, tokenHash []byte, now time.Time) error
}
