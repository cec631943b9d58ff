package feed

import (
	"context"
	"maps"
	"sync"
	"time"

	"hale/account"
	"hale/fault"
	"hale/vital"
)

// How many connections one session, one person, one organisation, and all patients and caregivers together can have: nobody takes
// the board away from those who watch. A browser opens six at most to one host.
const (
	mostOfSession = 8
	mostOfPerson  = 20
	mostOfOrg     = mostConnection * 3 / 4
	mostOfGuests  = mostConnection / 2
)

// mostAsking is how many questions the feed of a process asks the record at once: it must leave the record to those who work.
const mostAsking = 4

// person is what the connections of one person share, so that each question is asked once for all of them.
type person struct {
	places int // guarded by Hub.mu

	mu    sync.Mutex
	reach map[vital.UID]reached
}

// reached says whether the person may hear of a patient, and when that was asked.
type reached struct {
	yes bool
	at  time.Time
}

// sitting is what the connections of one session share.
type sitting struct {
	places int // guarded by Hub.mu

	mu      sync.Mutex
	at      time.Time // of the last look; zero: none yet
	session account.Session
	err     error
}

// personOf returns what an actor is known by here: another session of theirs is the same person, another role is not.
func personOf(actor account.Actor) account.Actor {
	actor.Session = ""
	return actor
}

func guest(actor account.Actor) bool {
	return actor.Role == account.SelfRole || actor.Role == account.CaregiverRole
}

// seat gives a subscription its person and session, unless there are too many of either. h.mu is held.
func (h *Hub) seat(s *subscription, r *room) error {
	who := personOf(s.actor)
	p, sat := h.persons[who], h.sittings[s.session]
	switch {
	case r != nil && len(r.members) >= mostOfOrg, guest(s.actor) && h.guests >= mostOfGuests:
		return errFull()
	case p != nil && p.places >= mostOfPerson, s.session != "" && sat != nil && sat.places >= mostOfSession:
		return fault.New(fault.Unavailable, "you follow the alerts in too many places at once: close some")
	}
	if p == nil {
		p = &person{reach: map[vital.UID]reached{}}
		h.persons[who] = p
	}
	if sat == nil || s.session == "" {
		sat = &sitting{}
		if s.session != "" {
			h.sittings[s.session] = sat
		}
	}
	p.places++
	sat.places++
	s.person, s.sitting = p, sat
	if guest(s.actor) {
		h.guests++
	}
	return nil
}

// unseat takes back what seat gave. h.mu is held.
func (h *Hub) unseat(s *subscription) {
	if s.person.places--; s.person.places == 0 {
		delete(h.persons, personOf(s.actor))
	}
	if s.sitting.places--; s.sitting.places == 0 && s.session != "" {
		delete(h.sittings, s.session)
	}
	if guest(s.actor) {
		h.guests--
	}
}

func errFull() error {
	return fault.New(fault.Unavailable, "the live feed takes no connections now; try again")
}

// turn waits until this connection may ask the record; done gives the turn back. ok is false when ctx has ended meanwhile.
func (h *Hub) turn(ctx context.Context) (done func(), ok bool) {
	select {
	case h.asking <- struct{}{}:
		return func() { <-h.asking }, true
	case <-ctx.Done():
		return nil, false
	}
}

// ask returns of which patients of the batch the actor may hear just now. An answer is good for reachLasts, and for all
// connections of the person: a burst about one patient is one question. ok is false when the record does not answer.
func (l *listener) ask(ctx context.Context, batch []news, now time.Time) (hears map[vital.UID]bool, ok bool) {
	p := l.place.person
	p.mu.Lock()
	defer p.mu.Unlock()
	maps.DeleteFunc(p.reach, func(_ vital.UID, r reached) bool { return now.Sub(r.at) > reachLasts })
	hears = map[vital.UID]bool{}
	var unknown []vital.UID
	for _, n := range batch {
		if n.reload || n.event.Unverified {
			continue
		}
		r, known := p.reach[n.event.Patient]
		if _, again := hears[n.event.Patient]; !known && !again {
			unknown = append(unknown, n.event.Patient)
		}
		hears[n.event.Patient] = r.yes
	}
	if len(unknown) == 0 {
		return hears, true
	}
	var list []account.Patient
	asked, answered := l.inTurn(ctx, func(ctx context.Context) (err error) {
		list, err = l.People.PatientsOf(ctx, l.actor, unknown)
		return err
	})
	if asked && !answered {
		clear(p.reach)
	}
	if !answered {
		return nil, false
	}
	for i := range list {
		hears[list[i].UID] = account.Allow(l.actor, account.SeeAlerts, &list[i]) == nil
	}
	for _, uid := range unknown {
		p.reach[uid] = reached{yes: hears[uid], at: now}
	}
	return hears, true
}

// inTurn asks the record something when it is this connection's turn, and for so long as nobody waits in vain. It reports whether
// its turn came, and whether the record answered.
func (l *listener) inTurn(ctx context.Context, ask func(context.Context) error) (asked, answered bool) {
	done, ok := l.Hub.turn(ctx)
	if !ok {
		return false, false
	}
	defer done()
	asking, cancel := context.WithTimeout(ctx, askWithin)
	defer cancel()
	return true, ask(asking) == nil
}

// sessionNow looks at the session, once for all connections that it has: a look is good for half of the time after which each
// of them looks again.
func (l *listener) sessionNow(ctx context.Context, now time.Time) (account.Session, error) {
	s := l.place.sitting
	s.mu.Lock()
	defer s.mu.Unlock()
	if age := now.Sub(s.at); !s.at.IsZero() && age >= 0 && age < orElse(l.Recheck, sessionEvery)/2 {
		return s.session, s.err
	}
	done, ok := l.Hub.turn(ctx)
	if !ok {
		return account.Session{}, fault.Wrap(fault.Unavailable, ctx.Err(), "the connection ends")
	}
	defer done()
	asking, cancel := context.WithTimeout(ctx, askWithin)
	defer cancel()
	s.session, s.err = l.Sessions.SessionOf(asking, l.token)
	s.at = now
	return s.session, s.err
}

// mayHearAny refuses a caregiver with whom nobody shares alerts.
func (s *Stream) mayHearAny(ctx context.Context, actor account.Actor) error {
	if err := account.Allow(actor, account.SeeAlerts, nil); err != nil || actor.Role != account.CaregiverRole {
		return err
	}
	done, ok := s.Hub.turn(ctx)
	if !ok {
		return errFull()
	}
	defer done()
	hears, err := s.People.HearsAny(ctx, actor)
	if err == nil && !hears {
		err = fault.New(fault.Forbidden, "nobody shares their alerts with you just now")
	}
	return err
}
