package devices

import (
	"slices"
	"sync"
	"time"

	"hale/vital"
)

const (
	// ClockTolerance is how far two looks at one clock may differ and still tell the same: the way of the message takes time, and
	// cheap clocks drift. A clock that is wrong by no more is taken at its word.
	ClockTolerance = 10 * time.Second
	// ClockJump is from when a clock that is suddenly another is a problem of the device, and not its drift.
	ClockJump = 10 * time.Minute
	// MostOffset is how far a time as sent is put right. What is further off waits in quarantine: the record keeps readings by
	// the time as sent, and looks for them no further around than this.
	MostOffset = 24 * time.Hour
	// mostSpans is how many offsets of one clock are remembered.
	mostSpans = 16
	// handSet is how far a clock may be wrong that people set by hand, and whose zone is all that is known of it.
	handSet = 5 * time.Minute
	// tellFrom is from which uncertainty on it is worth keeping beside a time that is taken as it was sent.
	tellFrom = time.Minute
)

// ClockKey names a clock: that of a sensor, which may tell its zone or, when it is Local, not. The digits of one without zone are
// taken as if they were UTC, so that its offset has the zone in it.
type ClockKey struct {
	Sensor vital.SensorID
	Local  bool
}

// ClockSpan is a time over which a clock was found to be wrong by the same, but for ClockTolerance.
type ClockSpan struct {
	vital.Clock
	From time.Time // the first look, by our time
	Last time.Time // the newest look that agreed

	// Told is the offset that edges were told last, as of the span, and ToldAt when: it outlives the span that it was told of. Zero says
	// that they were told nothing.
	Told   time.Duration
	ToldAt time.Time
}

// Clocks is what is known of one clock over time, ordered by From. It is never changed in place.
type Clocks []ClockSpan

// Hear returns what is known after a look, and whether it told something new: the first of all, or another offset. A look from
// before the newest span tells nothing.
func (c Clocks) Hear(l vital.ClockLook) (next Clocks, anew bool) {
	if n := len(c); n > 0 {
		last := c[n-1]
		if l.At.Before(last.From) {
			return c, false
		}
		if apart(l.Offset, last.Offset) <= ClockTolerance {
			if l.At.After(last.Last) {
				last.Last = l.At
			}
			return append(slices.Clone(c[:n-1]), last), false
		}
		c = c[max(0, n+1-mostSpans):]
		return append(slices.Clone(c), ClockSpan{Clock: l.Clock, From: l.At, Last: l.At, Told: last.Told, ToldAt: last.ToldAt}), true
	}
	return Clocks{{Clock: l.Clock, From: l.At, Last: l.At}}, true
}

// These bound what other edges are told of a clock that changes all the time: each time they read the whole registry again. A change is
// worth it from a minute on, the grain of measurements at home, and once a minute.
const (
	tellChange = time.Minute
	tellEvery  = time.Minute
)

// Tell reports after a look whether edges are to be told of the newest span, and returns what is known with that they were. The first of
// a clock is when they would read its times otherwise. The digits of a local clock are as good as any zone's until somebody has looked.
func (c Clocks) Tell(local bool) (next Clocks, news bool) {
	newest := c[len(c)-1]
	if newest.ToldAt.IsZero() {
		news = local || newest.Offset.Abs() > ClockTolerance
	} else {
		news = apart(newest.Offset, newest.Told) > tellChange && newest.Last.Sub(newest.ToldAt) >= tellEvery
	}
	if !news {
		return c, false
	}
	newest.Told, newest.ToldAt = newest.Offset, newest.Last
	return append(slices.Clone(c[:len(c)-1]), newest), true
}

// At returns by how much a time that this clock showed, and that arrived at received, is wrong; ok is false when nobody has looked
// at the clock. A span holds for the times, put right by it, that lie between the newest look before it and the first look after
// it: in between the clock was changed, and nobody saw when. Where several spans can be meant, it is the newest, and uncertain by
// as much as they are apart; where none can, it is the one that is missed by the least, and uncertain by that.
func (c Clocks) At(sent, received time.Time) (clock vital.Clock, ok bool) {
	if len(c) == 0 {
		return vital.Clock{}, false
	}
	best, missed := 0, time.Duration(0)
	for i := len(c) - 1; i >= 0; i-- {
		if by := c.misses(i, sent, received); i == len(c)-1 || by < missed {
			best, missed = i, by
		}
	}
	clock = c[best].Clock
	widest := missed
	for i := range c {
		if c.misses(i, sent, received) == 0 {
			widest = max(widest, apart(c[i].Offset, clock.Offset))
		}
	}
	clock.Uncertainty += widest
	return clock, true
}

// misses returns by how much the time, put right by the span, lies outside of when the span can have held.
func (c Clocks) misses(i int, sent, received time.Time) time.Duration {
	at, until := sent.Add(c[i].Offset), received
	if i+1 < len(c) && c[i+1].From.Before(until) {
		until = c[i+1].From
	}
	if i > 0 {
		if since := c[i-1].Last.Add(-ClockTolerance); at.Before(since) {
			return since.Sub(at)
		}
	}
	return max(0, at.Sub(until.Add(ClockTolerance)))
}

func apart(a, b time.Duration) time.Duration { return (a - b).Abs() }

// ClockBook is what one process has heard of clocks itself. It knows at once what the registry tells a moment later, so that what
// a device sends right after its clock is put right already.
type ClockBook struct {
	mu    sync.Mutex
	heard map[ClockKey]Clocks
}

// NewClockBook returns an empty book.
func NewClockBook() *ClockBook { return &ClockBook{heard: map[ClockKey]Clocks{}} }

// Hear notes a look, on top of what the snapshot knows.
func (b *ClockBook) Hear(s *Snapshot, sensor vital.SensorID, l vital.ClockLook) {
	if b == nil {
		return
	}
	key := ClockKey{sensor, l.Local}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.heard[key], _ = newer(s.Clocks[key], b.heard[key]).Hear(l)
}

// Known returns all that is known of clocks: the snapshot's, or what was heard since. A nil book has heard nothing.
func (b *ClockBook) Known(s *Snapshot, key ClockKey) Clocks {
	if b == nil {
		return s.Clocks[key]
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	return newer(s.Clocks[key], b.heard[key])
}

// newer returns which of the two knows of the newer look at which the clock was another.
func newer(registry, heard Clocks) Clocks {
	if len(heard) == 0 || len(registry) > 0 && registry[len(registry)-1].From.After(heard[len(heard)-1].Last) {
		return registry
	}
	return heard
}

// Stamp is a time of a measurement as it was sent, and who wrote it.
type Stamp struct {
	Sent     time.Time // UTC; the digits of a clock without zone as if they were
	Received time.Time
	Local    bool           // no zone was told
	Day      bool           // no more than the date was told
	Sensor   vital.SensorID // whose clock it is, when it has one
	Gateway  vital.SensorID // of the device that speaks: its clock, where nobody has looked at the sensor's
	Worn     vital.SensorID // the sensor, or the user's slot of it, by which its wearer is known
}

// Moment returns when it was measured and how that is known; the zero Clock says that the time as sent was taken as it is. The
// offset may be more than MostOffset: then nobody can say when. It depends on no other reading, and the identity of a reading on
// nothing of it.
func (s *Snapshot) Moment(t Stamp, book *ClockBook) (time.Time, vital.Clock) {
	if t.Day {
		return s.inZone(t)
	}
	clock, known := book.Known(s, ClockKey{t.Sensor, t.Local}).At(t.Sent, t.Received)
	if !known && !t.Local {
		clock, known = book.Known(s, ClockKey{t.Gateway, false}).At(t.Sent, t.Received)
	}
	switch {
	case !known && t.Local:
		return s.inZone(t)
	case !known:
		return t.Sent, vital.Clock{}
	case clock.Offset.Abs() > ClockTolerance:
		return t.Sent.Add(clock.Offset), clock
	case clock.Uncertainty < tellFrom && !t.Local:
		return t.Sent, vital.Clock{}
	}
	clock.Offset = 0
	return t.Sent, clock
}

// inZone reads the digits of a clock on the wall where the wearer lives. Whose zone it is, hangs on who wore the sensor then, and
// that on the zone: where two wearers can be meant, it is uncertain by as much as their answers are apart. Where nobody can, the
// zone is that of whoever wore it at the time that lies nearest, or UTC where nobody ever did, and it is uncertain by MostOffset.
func (s *Snapshot) inZone(t Stamp) (time.Time, vital.Clock) {
	type answer struct {
		at     time.Time
		unsure time.Duration
		far    time.Duration // from when that wearer had it
	}
	var all []answer
	nearest := answer{}
	for _, a := range slices.Backward(s.Assignments[t.Worn]) {
		if zone := s.Zones[a.Patient]; zone != nil {
			at, unsure := onTheWall(t, zone)
			all = append(all, answer{at, unsure, a.apart(at)})
			if one := all[len(all)-1]; len(all) == 1 || one.far < nearest.far {
				nearest = one
			}
		}
	}
	if len(all) == 0 {
		nearest.at, nearest.unsure = onTheWall(t, time.UTC)
		nearest.unsure += MostOffset
	}
	unsure := nearest.unsure
	if nearest.far > nearest.unsure {
		unsure += MostOffset // none of those whom this snapshot knows: it may be somebody's of whom it has not heard
	}
	for _, other := range all {
		if other.far <= other.unsure {
			unsure = max(unsure, apart(other.at.Sub(t.Sent), nearest.at.Sub(t.Sent))+other.unsure)
		}
	}
	return nearest.at, vital.Clock{Offset: nearest.at.Sub(t.Sent), Method: vital.ClockZone, Uncertainty: unsure}
}

// onTheWall returns when the clock of a zone shows the digits, and how uncertain that is: where the clocks go back or forward, by
// an hour more; of a whole day, by a day.
func onTheWall(t Stamp, zone *time.Location) (at time.Time, unsure time.Duration) {
	at, occurs := vital.Wall(t.Sent, zone)
	unsure = handSet
	if occurs != vital.Once {
		unsure += time.Hour
	}
	if t.Day {
		unsure += 24 * time.Hour
	}
	return at, unsure
}

// apart returns how far from the assignment a time lies; 0 when it covers it.
func (a Assignment) apart(t time.Time) time.Duration {
	switch {
	case t.Before(a.From):
		return a.From.Sub(t)
	case !a.To.IsZero() && !t.Before(a.To):
		return t.Sub(a.To) + time.Microsecond
	}
	return 0
}

// OwnerWithin returns the assignment of a measurement that was made within an uncertainty of t, and not after it was received. ok
// is false when there is none that covers all of that time; doubtful is true then when a part of it is somebody's: the sensor
// changed hands meanwhile, and whose the measurement is cannot be told.
func (s *Snapshot) OwnerWithin(sensor vital.SensorID, t time.Time, unsure time.Duration, received time.Time) (a Assignment, ok, doubtful bool) {
	first, last := t.Add(-unsure), t.Add(unsure)
	if last.After(received) {
		last = received
	}
	if last.Before(t) {
		last = t // a clock may be ahead of ours
	}
	a, ok = s.Owner(sensor, t)
	if unsure <= 0 {
		return a, ok, false
	}
	if ok && a.Covers(first) && a.Covers(last) {
		return a, true, false
	}
	for _, other := range s.Assignments[sensor] {
		if other.From.Before(other.To) || other.To.IsZero() {
			doubtful = doubtful || !other.From.After(last) && (other.To.IsZero() || other.To.After(first))
		}
	}
	return Assignment{}, false, doubtful
}

// ClockTrouble is what is wrong with a clock.
type ClockTrouble struct {
	Wrong    time.Duration // what has to be added to it; 0 when it is right by now
	Since    time.Time     // when it was first found so
	Jumped   time.Duration // by how much it was changed between two looks the last time; 0: never by more than ClockJump
	JumpedAt time.Time     // when that was found
	RightAt  time.Time     // the newest look, when that found it right; else zero
}

// Trouble tells what is wrong with a clock; ok is false when nothing is. The zone is that of a clock which tells none, and nil for
// others: such a clock is put forward by an hour and back in a year, and that is no trouble.
func (c Clocks) Trouble(zone *time.Location) (t ClockTrouble, ok bool) {
	for i, span := range c {
		wrong := span.Offset + shown(zone, span.From)
		switch {
		case wrong.Abs() <= vital.AheadAtMost, zone != nil && apart(wrong.Abs(), time.Hour) <= vital.AheadAtMost:
			t.Wrong, t.Since = 0, time.Time{}
		case t.Wrong == 0:
			t.Since = span.From
			fallthrough
		default:
			t.Wrong = wrong
		}
		if i == 0 {
			continue
		}
		jump := span.Offset - c[i-1].Offset
		season := zone != nil && apart(jump.Abs(), time.Hour) <= 2*ClockTolerance
		if jump.Abs() > ClockJump && !season {
			t.Jumped, t.JumpedAt = jump, span.From
		}
	}
	if n := len(c); n > 0 && t.Wrong == 0 {
		t.RightAt = c[n-1].Last
	}
	return t, t.Wrong != 0 || t.Jumped != 0
}

// shown returns by how much the digits of a clock on the wall of the zone are ahead of UTC.
func shown(zone *time.Location, at time.Time) time.Duration {
	if zone == nil {
		return 0
	}
	_, seconds := at.In(zone).Zone()
	return time.Duration(seconds) * time.Second
}
