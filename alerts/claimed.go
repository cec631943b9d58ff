package alerts

import (
	"context"
	"slices"
	"time"

	"hale/account"
	"hale/vital"
)

// ClaimedOnBoard is how long the board tells of a claimed red that no limit judges: somebody said whose it is, and nothing else calls [J].
const ClaimedOnBoard = 24 * time.Hour

const mostClaimed = 50

// ClaimedRed is an unverified red of which somebody said whose it is.
type ClaimedRed struct {
	Unverified
	Value int64 // UnverifiedValue.ID
	Claim
}

// Filed reports whether it is among the readings of the patient, where limits judge it: what was refused cannot be, and of a summary
// nothing is judged.
func (c *ClaimedRed) Filed() bool { return c.Place == InInbox }

// ClaimedFilter chooses claimed reds, the newest first.
type ClaimedFilter struct {
	Patient  vital.UID // empty: of everybody within the view
	Since    time.Time // claimed then or later; zero: ever
	Unjudged bool      // only what was not filed
	Limit    int
}

// ClaimedBook is the record as ClaimedReds needs it, bound to the actor's organisation and view.
type ClaimedBook interface {
	Claimed(ctx context.Context, actor account.Actor, f ClaimedFilter) ([]ClaimedRed, error)
}

// ClaimedReds are the unverified reds that turned out to be somebody's, as they are shown with that patient.
type ClaimedReds struct {
	Book  ClaimedBook
	Looks *account.Looks // nil writes nothing
	Now   func() time.Time
}

// Of returns those of a patient, for whoever sees their readings.
func (c *ClaimedReds) Of(ctx context.Context, actor account.Actor, patient vital.UID) ([]ClaimedRed, error) {
	return c.list(ctx, actor, account.SeeReadings, ClaimedFilter{Patient: patient, Limit: mostClaimed})
}

// Lately returns those of the last day that no limit judges, for the board.
func (c *ClaimedReds) Lately(ctx context.Context, actor account.Actor) ([]ClaimedRed, error) {
	return c.list(ctx, actor, account.SeeAlerts, ClaimedFilter{Since: c.Now().Add(-ClaimedOnBoard), Unjudged: true, Limit: mostClaimed})
}

func (c *ClaimedReds) list(ctx context.Context, actor account.Actor, action account.Action, f ClaimedFilter) ([]ClaimedRed, error) {
	if err := account.Allow(actor, action, nil); err != nil {
		return nil, err
	}
	list, err := c.Book.Claimed(ctx, actor, f)
	if err != nil {
		return nil, err
	}
	list = slices.DeleteFunc(list, func(r ClaimedRed) bool { return account.Allow(actor, action, &r.Owner) != nil })
	whose := make([]vital.PatientID, len(list))
	for i := range list {
		whose[i] = list[i].Owner.ID
	}
	return list, c.Looks.Saw(ctx, actor, "claimed reds", "", whose...)
}
