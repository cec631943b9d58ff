package api

import (
	"net/http"
	"testing"

	"hale/alerts"
	"hale/fault"
)

// TestAConflictOfAnUnverifiedRedIsOfItsVersionOnlyWhereItChanged: what has no version answers 409.
func TestAConflictOfAnUnverifiedRedIsOfItsVersionOnlyWhereItChanged(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		err  error
		want int // 0: as any conflict
	}{
		"it has changed":             {fault.Wrap(fault.Conflict, alerts.ErrStale, "look again"), http.StatusPreconditionFailed},
		"somebody has closed it":     {fault.Wrap(fault.Conflict, alerts.ErrClosed, "closed"), http.StatusPreconditionFailed},
		"it was taken back already":  {fault.New(fault.Conflict, "taken back"), 0},
		"it was filed among another": {fault.New(fault.Conflict, "undo that filing"), 0},
	} {
		_, err := (&Server{}).oneUnverified(alerts.Unverified{}, c.err)
		if got, _ := statusOf(err); got != c.want || !fault.Is(err, fault.Conflict) {
			t.Errorf("%s: %d, %v", name, got, err)
		}
	}
}
