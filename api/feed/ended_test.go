package feed

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"testing"
	"time"

	"hale/account"
	"hale/alerts"
	"hale/vital"
)

func TestTheEndOfASessionClosesItsPlacesAndNoOthers(t *testing.T) {
	t.Parallel()
	hub := NewHub(nil, &ledger{}, slog.New(slog.DiscardHandler))
	var places []*subscription
	for _, session := range []vital.UID{"a", "b", "a"} {
		place, err := hub.subscribe(account.Actor{Org: 1, Session: session})
		if err != nil {
			t.Fatal(err)
		}
		places = append(places, place)
	}
	hub.hand(1, alerts.Event{Org: 1, ID: 7})
	hub.End("a", "z")
	for i, want := range []struct {
		open bool
		told int
	}{{false, 0}, {true, 1}, {false, 0}} {
		if batch, open := places[i].take(); open != want.open || len(batch) != want.told {
			t.Errorf("place %d: open %v with %d pieces of news", i, open, len(batch))
		}
	}
	if hub.Count() != 1 {
		t.Errorf("%d connections are left", hub.Count())
	}
}

// TestTheRecordIsAskedOnceForAllSessions: one question however many connections there are, and none when there are none.
func TestTheRecordIsAskedOnceForAllSessions(t *testing.T) {
	t.Parallel()
	hub := NewHub(nil, &ledger{}, slog.New(slog.DiscardHandler))
	var asked [][]vital.UID
	var away error
	hub.Ended = func(_ context.Context, uids []vital.UID) ([]vital.UID, error) {
		slices.Sort(uids)
		asked = append(asked, uids)
		return []vital.UID{"b"}, away
	}
	now := time.Date(2026, 5, 1, 12, 0, 0, 0, time.UTC)
	hub.lookForEnded(t.Context(), now, time.Time{})
	for _, session := range []vital.UID{"a", "b", "a", "b", "c"} {
		if _, err := hub.subscribe(account.Actor{Org: 1, Session: session}); err != nil {
			t.Fatal(err)
		}
	}
	hub.lookForEnded(t.Context(), now, time.Time{})
	if len(asked) != 1 || !slices.Equal(asked[0], []vital.UID{"a", "b", "c"}) || hub.Count() != 3 {
		t.Errorf("asked %v, %d connections are left", asked, hub.Count())
	}
	// Nobody is thrown out while the record is away for a moment; what cannot be checked for long ends.
	away = errors.New("away")
	since := hub.lookForEnded(t.Context(), now, time.Time{})
	since = hub.lookForEnded(t.Context(), now.Add(29*time.Second), since)
	if !since.Equal(now) || hub.Count() != 3 {
		t.Errorf("away since %s, %d connections are left", since, hub.Count())
	}
	hub.lookForEnded(t.Context(), now.Add(30*time.Second), since)
	if hub.Count() != 0 {
		t.Errorf("%d connections go on unchecked", hub.Count())
	}
}
