package feed

import (
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"hale/account"
	"hale/fault"
	"hale/vital"
)

// TestNobodyTakesTheBoardAwayFromOthers: one session, one person and all guests together have their share of the places.
func TestNobodyTakesTheBoardAwayFromOthers(t *testing.T) {
	t.Parallel()
	caregiver := func(n int) account.Actor {
		return account.Actor{Org: 1, Role: account.CaregiverRole, Caregiver: account.CaregiverID(n), Session: vital.UID(fmt.Sprint("c", n))}
	}
	nurse := func(n int) account.Actor {
		return account.Actor{Org: 1, Role: account.Nurse, Staff: account.StaffID(n), Session: vital.UID(fmt.Sprint("n", n))}
	}
	for name, c := range map[string]struct {
		who  func(i int) account.Actor
		want int
	}{
		"one session": {func(int) account.Actor { return nurse(1) }, mostOfSession},
		"one person in many sessions": {func(i int) account.Actor {
			a := nurse(1)
			a.Session = vital.UID(fmt.Sprint("s", i))
			return a
		}, mostOfPerson},
		"all caregivers":    {caregiver, mostOfGuests},
		"one organisation":  {nurse, mostOfOrg},
		"all organisations": {func(i int) account.Actor { a := nurse(i); a.Org = vital.OrgID(i); return a }, mostConnection},
		"patients are guests": {func(i int) account.Actor {
			return account.Actor{Org: 1, Role: account.SelfRole, Self: vital.PatientID(i), Session: vital.UID(fmt.Sprint(i))}
		}, mostOfGuests},
		"keys are persons too": {func(i int) account.Actor {
			return account.Actor{Org: 1, Role: account.SystemRole, Key: 1, Session: vital.UID(fmt.Sprint(i))}
		}, mostOfPerson},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			hub := NewHub(nil, &ledger{}, slog.New(slog.DiscardHandler))
			var places []*subscription
			for i := range mostConnection + 10 {
				place, err := hub.subscribe(c.who(i))
				if err == nil {
					places = append(places, place)
				} else if !fault.Is(err, fault.Unavailable) {
					t.Fatal(err)
				}
			}
			if len(places) != c.want {
				t.Errorf("%d places, want %d", len(places), c.want)
			}
			if c.want < mostConnection {
				if _, err := hub.subscribe(account.Actor{Org: 2, Role: account.Nurse, Staff: 1, Session: "other"}); err != nil {
					t.Errorf("a nurse of another organisation: %v", err)
				}
			}
			hub.leave(places[0])
			if _, err := hub.subscribe(c.who(0)); err != nil {
				t.Errorf("after one has left: %v", err)
			}
			hub.mu.Lock()
			defer hub.mu.Unlock()
			for r := range hub.rooms {
				for s := range hub.rooms[r].members {
					hub.remove(s)
				}
			}
			if len(hub.persons)+len(hub.sittings)+hub.guests+hub.count != 0 {
				t.Errorf("what is left: %d persons, %d sessions, %d guests, %d places", len(hub.persons), len(hub.sittings), hub.guests, hub.count)
			}
		})
	}
}

// TestTheConnectionsOfOnePersonAskOnce: a burst is one question for all the places in which somebody follows the alerts, and so is
// the look at their session.
func TestTheConnectionsOfOnePersonAskOnce(t *testing.T) {
	t.Parallel()
	reg, entrance := &register{}, &door{}
	hub := NewHub(nil, &ledger{}, slog.New(slog.DiscardHandler))
	stream := &Stream{Hub: hub, People: reg, Sessions: entrance}
	actor := account.Actor{Org: 1, Role: account.Nurse, Name: "n", Session: "n"}
	now := time.Now()
	var all sync.WaitGroup
	for range mostOfSession {
		place, err := hub.subscribe(actor)
		if err != nil {
			t.Fatal(err)
		}
		l := &listener{Stream: stream, place: place, actor: actor, token: "1:nurse:n"}
		all.Go(func() {
			if hears, ok := l.ask(t.Context(), []news{{event: event(1, 3)}}, now); !ok || !hears["p1"] {
				t.Errorf("hears %v, %v", hears, ok)
			}
			if !l.stillSignedIn(t.Context(), now) {
				t.Error("is not signed in")
			}
		})
	}
	all.Wait()
	if reg.asked != 1 || entrance.asked != 1 {
		t.Errorf("%d questions about patients and %d about the session, want 1 and 1", reg.asked, entrance.asked)
	}
}

// TestAnIDSaysNothingOfOthers: neither the number nor the distance to another can be read from it.
func TestAnIDSaysNothingOfOthers(t *testing.T) {
	t.Parallel()
	one, two := newCursors(), newCursors()
	seen := map[string]bool{}
	for id := range int64(1000) {
		text := one.of(1, id)
		if got, ok := one.read(1, text); !ok || got != id {
			t.Fatalf("%d became %d, %v", id, got, ok)
		}
		if _, ok := one.read(2, text); ok {
			t.Fatalf("%d of another organisation is taken", id)
		}
		if _, ok := two.read(1, text); ok {
			t.Fatalf("%d of another process is taken", id)
		}
		seen[text[:8]] = true
	}
	if len(seen) != 1000 {
		t.Errorf("ids in a row have %d beginnings", len(seen))
	}
	for _, bad := range []string{"", "7", "-1", strings.Repeat("A", 22), strings.Repeat("A", 5000), "ü"} {
		if _, ok := one.read(1, bad); ok {
			t.Errorf("%q is taken", bad)
		}
	}
}

func TestWhoeverShowsAnIDThatIsNotOursLoadsAnew(t *testing.T) {
	t.Parallel()
	b := newBed(t)
	b.log.write(event(1, 4))
	for _, id := range []string{"x", "-1.5", newCursors().of(1, 3), b.hub.cursors.of(2, 3)} {
		b.open(t, "1:nurse", id).want(t, reload)
	}
	b.open(t, "1:nurse", b.hub.cursors.of(1, 3)).want(t, told(4))
}
