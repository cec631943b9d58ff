package edge

import (
	"crypto/rand"
	"encoding/json"
	"maps"
	"math"
	"slices"
	"sync"
	"time"
)

// This file settles between edges which connection of a device is its newest: docs/adr/0010. An edge claims a device when
// it connects, and again in each roll call. Whoever has a connection of that device too asks how long ago that was; ages
// are measured by each edge's own steady clock, and the time that the answer took bounds what they leave open. So neither
// the clocks of the edges nor the order in which words arrive decide anything.

// wordKind says what a word is.
type wordKind string

// The kinds of word.
const (
	wordClaim    wordKind = "claim"    // these devices are connected here
	wordQuestion wordKind = "question" // how long has this device been connected there?
	wordAnswer   wordKind = "answer"   // so long
	wordVerdict  wordKind = "verdict"  // that connection is not the device's newest
	wordYield    wordKind = "yield"    // that connection, of this edge, has given way to yours
)

// word is what an edge tells others.
type word struct {
	From  string     `json:"from"`
	To    string     `json:"to,omitempty"` // empty: everybody
	Kind  wordKind   `json:"kind"`
	Claim []presence `json:"claim,omitempty"` // one, save in a claim
	// Number is that of a question, repeated in its answer.
	Number uint64 `json:"number,omitempty"`
	// AgeNanos is, in an answer, how long ago the connection was accepted; -1: there is none.
	AgeNanos int64 `json:"age,omitempty"`
}

// presence is one device's connection. The epoch is unlike any other of the same edge.
type presence struct {
	Device string `json:"device"`
	Epoch  int64  `json:"epoch"`
}

// question is one that waits for its answer.
type question struct {
	about *session
	to    string
	asked time.Time
}

// rivalry is what one edge knows of the others.
type rivalry struct {
	id string // of this process among all edges that ever were

	mu        sync.Mutex
	number    uint64
	questions map[uint64]question
}

const (
	// rollOf is how many devices one word of a roll call names: some 50 KiB.
	rollOf = 1000
	// questionsOpen bounds the questions that wait; what is not asked now is asked after the next roll call.
	questionsOpen = 32 << 10
)

func newRivalry() *rivalry {
	return &rivalry{id: rand.Text(), questions: map[uint64]question{}}
}

// Hear takes a word that another edge has told, or this one: what it told itself it ignores.
func (s *Server) Hear(text []byte) {
	var w word
	if err := json.Unmarshal(text, &w); err != nil {
		s.log.Error("a word of another edge cannot be read", "error", err)
		return
	}
	if w.From == s.rivals.id || (w.To != "" && w.To != s.rivals.id) {
		return
	}
	for _, p := range w.Claim {
		s.observe(p.Epoch)
	}
	switch w.Kind {
	case wordClaim:
		for _, p := range w.Claim {
			s.ask(w.From, p)
		}
	case wordQuestion:
		s.answer(w)
	case wordAnswer:
		s.judge(w)
	case wordVerdict:
		for _, p := range w.Claim {
			if one := s.connected(p.Device); one != nil && one.epoch.Load() == p.Epoch {
				one.outlive()
			}
		}
	case wordYield:
		for _, p := range w.Claim {
			if one := s.connected(p.Device); one != nil && one.epoch.Load() <= p.Epoch {
				one.epoch.Store(s.nextEpoch()) // the newest has the highest, whatever the other had been raised to
			}
		}
	}
}

// RollCall tells the other edges of every device that is connected here: some may not have heard of them.
func (s *Server) RollCall() {
	if s.cfg.Tell == nil {
		return
	}
	s.mu.Lock()
	roll := make([]presence, 0, len(s.sessions))
	for _, one := range s.sessions {
		if one.canary == "" {
			roll = append(roll, presence{one.uid, one.epoch.Load()})
		}
	}
	s.mu.Unlock()
	for part := range slices.Chunk(roll, rollOf) {
		s.tell(word{Kind: wordClaim, Claim: part})
	}
}

func (s *Server) tell(w word) {
	if s.cfg.Tell == nil {
		return
	}
	w.From = s.rivals.id
	text, err := json.Marshal(w)
	if err != nil { // strings and integers always marshal
		s.log.Error("a word to the other edges cannot be written", "error", err)
		return
	}
	s.cfg.Tell(text)
}

func (s *Server) connected(device string) *session {
	s.mu.Lock()
	defer s.mu.Unlock()
	one := s.sessions[device]
	if one == nil || one.canary != "" {
		return nil
	}
	return one
}

// observe moves our epochs beyond those of others, whatever our clock says: a device that leaves them for us has a higher
// one here. One that leaves no room above it is a mistake, which no clock makes before the year 2262.
func (s *Server) observe(epoch int64) {
	if epoch > math.MaxInt64-1<<40 {
		return
	}
	s.mu.Lock()
	s.epoch = max(s.epoch, epoch)
	s.mu.Unlock()
}

// ask asks an edge that claims a device which is connected here how long it has had it.
func (s *Server) ask(to string, claimed presence) {
	one := s.connected(claimed.Device)
	if one == nil {
		return
	}
	r := s.rivals
	r.mu.Lock()
	if len(r.questions) >= questionsOpen {
		r.mu.Unlock()
		return
	}
	r.number++
	number := r.number
	r.questions[number] = question{about: one, to: to, asked: s.now()}
	r.mu.Unlock()
	s.tell(word{To: to, Kind: wordQuestion, Number: number, Claim: []presence{{claimed.Device, one.epoch.Load()}}})
}

// answer tells another edge how long a device has been connected here.
func (s *Server) answer(w word) {
	if len(w.Claim) != 1 {
		return
	}
	a := word{To: w.From, Kind: wordAnswer, Number: w.Number, AgeNanos: -1, Claim: []presence{{Device: w.Claim[0].Device}}}
	if one := s.connected(w.Claim[0].Device); one != nil {
		a.Claim[0].Epoch, a.AgeNanos = one.epoch.Load(), int64(s.now().Sub(one.since))
	}
	s.tell(a)
}

// judge compares our connection with another edge's, and ends the older one.
func (s *Server) judge(w word) {
	r, now := s.rivals, s.now()
	r.mu.Lock()
	q, open := r.questions[w.Number]
	if open && q.to == w.From {
		delete(r.questions, w.Number)
	}
	r.mu.Unlock()
	if !open || q.to != w.From || len(w.Claim) != 1 || w.AgeNanos < 0 {
		return
	}
	took := now.Sub(q.asked)
	one := s.connected(w.Claim[0].Device)
	if one != q.about || took > s.limits.AnswerWithin {
		return // the next roll call asks again, if there is still something to ask
	}
	theirs := w.Claim[0]
	if older(one.since, one.epoch.Load(), now, theirs.Epoch, time.Duration(w.AgeNanos), took) {
		one.outlive()
		s.tell(word{To: w.From, Kind: wordYield, Claim: []presence{{one.uid, one.epoch.Load()}}})
		return
	}
	one.epoch.Store(s.nextEpoch()) // ours is the newest, so it has the highest
	s.tell(word{To: w.From, Kind: wordVerdict, Claim: []presence{theirs}})
}

// older reports whether the connection accepted at since here is older than another edge's, which had that age at some
// moment during the time that its answer took. When that time leaves it open the higher epoch is taken for the newer.
func older(since time.Time, epoch int64, now time.Time, theirEpoch int64, theirAge, took time.Duration) bool {
	age := now.Sub(since)
	switch {
	case age > theirAge+took:
		return true
	case age < theirAge:
		return false
	}
	return epoch < theirEpoch
}

// forgetQuestions drops the questions that nobody will answer any more.
func (s *Server) forgetQuestions() {
	r, now := s.rivals, s.now()
	r.mu.Lock()
	defer r.mu.Unlock()
	maps.DeleteFunc(r.questions, func(_ uint64, q question) bool { return now.Sub(q.asked) > s.limits.AnswerWithin })
}

// nextEpoch returns an epoch above every one that this edge has given or heard of.
func (s *Server) nextEpoch() int64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.nextEpochLocked()
}

// nextEpochLocked does so with mu held. The clock keeps the epochs of an edge that starts anew above those it gave before;
// nothing depends on it.
func (s *Server) nextEpochLocked() int64 {
	s.epoch = max(s.epoch+1, s.now().UnixNano())
	return s.epoch
}
