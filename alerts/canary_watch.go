package alerts

import (
	"context"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"hale/vital"
)

// CanaryRows is the record as a CanaryWatch needs it.
type CanaryRows interface {
	// CanaryBeats returns the newest beat of every edge in every partition, and the record's clock.
	CanaryBeats(ctx context.Context) (beats []CanaryBeat, now time.Time, err error)
	// EnterCanary says that an edge starts: its beats are missed from then on, by every process.
	EnterCanary(ctx context.Context, edge string) error
	// LeaveCanary says that an edge stops in order, and that nobody is to miss its beats.
	LeaveCanary(ctx context.Context, edge string) error
}

// CanaryConfig is what a CanaryWatch is made of. Rows is needed; zero values of the rest mean what is written beside
// them.
type CanaryConfig struct {
	Rows     CanaryRows
	Edge     string           // names this process's own canary (CanaryName); empty: it has none
	Every    time.Duration    // between two looks: 1 s
	Deadline time.Duration    // age of an edge's newest beat in a partition that is an alarm: 30 s
	Now      func() time.Time // this machine's clock: time.Now
	Log      *slog.Logger     // nil: nothing is logged
	Looked   func(CanaryReport)
	Arrived  func(took time.Duration) // an own beat is in the record, so long after it was sent
	Failed   func(CanaryTrouble)      // once for each
}

// CanaryTrouble says what a CanaryWatch has found wrong.
type CanaryTrouble string

// The troubles that a CanaryWatch sees in the record.
const (
	CanaryLate   CanaryTrouble = "late"   // an edge's newest beat in a partition is older than the deadline
	CanaryWrong  CanaryTrouble = "wrong"  // a beat was judged otherwise than it must be
	CanaryRecord CanaryTrouble = "record" // the record did not tell
)

// CanaryReport is how the canaries stand after a look.
type CanaryReport struct {
	Partitions  []CanaryState // all of them, in order
	Edges       []CanaryEdge  // that are to beat, by place
	ClockOffset time.Duration // of the record's clock from this machine's, give or take half of the question's time
	ClockKnown  bool
	ClockOff    bool // the offset is more than a reading's time may be off
}

// CanaryState is how the way of one partition stands.
type CanaryState struct {
	Partition int
	Known     bool          // an edge is to beat in it
	Age       time.Duration // of the edge that has been silent for longest: since its newest committed beat was sent
	Own       time.Duration // the same of this process's own beats, since its start when there is none yet; 0 without a canary
	Late      bool          // alarm: an edge is late
	Wrong     bool          // alarm: a beat was judged wrongly within twice the deadline
}

// CanaryEdge is how it stands with the beats of the edge at one place, whichever process of it beats.
type CanaryEdge struct {
	Place string
	Ages  [vital.Partitions]time.Duration // since its newest committed beat was sent; since it started as long as there is none
	Known [vital.Partitions]bool          // where Ages is
	Late  []int                           // alarm: partitions in which the age is beyond the deadline
}

const (
	canaryLooks     = time.Second
	canaryDeadline  = 30 * time.Second
	canaryTellAgain = time.Minute
	// clockOffAtMost is how far this machine's clock may be from the record's [J]: an edge's clock decides what is live,
	// and what is in the future.
	clockOffAtMost = 2 * time.Second
)

// CanaryWatch looks at the canaries' rows and raises the alarm when the newest beat of an edge is too old in a partition,
// or was judged wrongly. It sees what readiness cannot: readings that are safe in the stream, and that nobody judges, and
// an edge that is no more. Run it in every process; each one alarms by itself.
//
// An edge is missed from its start until it stops in order (Leave). Where none has ever started there is nothing to miss.
// The watch itself gives everybody the deadline first: what is old when it begins may be what its process is to mend.
type CanaryWatch struct {
	CanaryConfig
	began   time.Time
	entered bool // of RunOnce only

	mu     sync.Mutex
	beats  map[canaryKey]CanaryBeat
	late   map[canaryKey]bool // by place
	report CanaryReport
	said   string // what was logged last
	saidAt time.Time
}

// canaryKey is an edge, or a place of edges, in a partition.
type canaryKey struct {
	partition int
	edge      string
}

// NewCanaryWatch returns a CanaryWatch that has not looked yet.
func NewCanaryWatch(c CanaryConfig) *CanaryWatch {
	c.Every, c.Deadline = orElse(c.Every, canaryLooks), orElse(c.Deadline, canaryDeadline)
	if c.Now == nil {
		c.Now = time.Now
	}
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	return &CanaryWatch{CanaryConfig: c, began: c.Now(), beats: map[canaryKey]CanaryBeat{}}
}

// Run looks again and again until ctx ends, and returns nil then.
func (w *CanaryWatch) Run(ctx context.Context) error {
	for {
		w.RunOnce(ctx)
		if !pause(ctx, w.Every) {
			return nil
		}
	}
}

// RunOnce looks once. A record that does not answer is no reason to be silent: the ages go on growing.
func (w *CanaryWatch) RunOnce(ctx context.Context) {
	asking, cancel := context.WithTimeout(ctx, askWithin)
	defer cancel()
	w.enter(asking)
	start := w.Now()
	beats, now, err := w.Rows.CanaryBeats(asking)
	end := w.Now()
	if ctx.Err() != nil {
		return
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if err != nil {
		w.Log.WarnContext(ctx, "cannot look at the canaries' rows", "error", err)
		w.failed(CanaryRecord)
		now = end.Add(w.report.ClockOffset)
	} else {
		w.clock(now, start, end)
		w.take(beats, now)
	}
	w.report.Edges = w.edges(now, end)
	w.report.Partitions = w.states(now)
	w.countLate()
	w.tell(ctx, end)
	if w.Looked != nil {
		w.Looked(w.report)
	}
}

// enter says once that the edge of this process has started. Until the record has heard it, this process alone misses it.
func (w *CanaryWatch) enter(ctx context.Context) {
	if w.entered || w.Edge == "" {
		return
	}
	if err := w.Rows.EnterCanary(ctx, w.Edge); err != nil {
		w.Log.WarnContext(ctx, "cannot enter this edge's canary", "error", err)
		return
	}
	w.entered = true
}

// clock compares this machine's clock with the record's, which was read somewhere between start and end.
func (w *CanaryWatch) clock(now, start, end time.Time) {
	half := end.Sub(start) / 2
	w.report.ClockOffset = now.Sub(start.Add(half))
	w.report.ClockKnown = true
	w.report.ClockOff = w.report.ClockOffset.Abs()-half > clockOffAtMost
}

// Leave says that the edge of this process stops in order. Call it when it has, and not after it broke.
func (w *CanaryWatch) Leave(ctx context.Context) error {
	if w.Edge == "" {
		return nil
	}
	return w.Rows.LeaveCanary(ctx, w.Edge)
}

// take keeps the rows, and tells of what is new in them. A partition that has lost all its rows keeps those of before:
// they go on growing old.
func (w *CanaryWatch) take(beats []CanaryBeat, now time.Time) {
	fresh := make(map[canaryKey]CanaryBeat, len(beats))
	var there [vital.Partitions]bool
	for _, b := range beats {
		if b.Partition < 0 || b.Partition >= len(there) {
			continue
		}
		k := canaryKey{b.Partition, b.Edge}
		fresh[k], there[b.Partition] = b, true
		before, known := w.beats[k]
		if b.Edge == w.Edge && b.Number > before.Number && w.Arrived != nil {
			w.Arrived(max(0, b.CommittedAt.Sub(b.SentAt)))
		}
		wrong := b.Wrong - before.Wrong
		if !known && !w.recent(b.WrongAt, now) {
			wrong = 0 // of before our time
		}
		for range wrong {
			w.failed(CanaryWrong)
		}
	}
	for k, b := range w.beats {
		if !there[k.partition] {
			fresh[k] = b
		}
	}
	w.beats = fresh
}

func (w *CanaryWatch) recent(at, now time.Time) bool {
	return !at.IsZero() && now.Sub(at) <= 2*w.Deadline
}

func (w *CanaryWatch) failed(t CanaryTrouble) {
	if w.Failed != nil {
		w.Failed(t)
	}
}

// edges judges each place from which beats are to come, as of now on the record's clock and local on this machine's.
func (w *CanaryWatch) edges(now, local time.Time) []CanaryEdge {
	since := w.since()
	places := map[string]*CanaryEdge{}
	for k, at := range since {
		e := places[k.edge]
		if e == nil {
			e = &CanaryEdge{Place: k.edge}
			places[k.edge] = e
		}
		e.Ages[k.partition], e.Known[k.partition] = max(0, now.Sub(at)), true
	}
	list := make([]CanaryEdge, 0, len(places))
	for _, place := range slices.Sorted(maps.Keys(places)) {
		e := places[place]
		for p, age := range e.Ages {
			if min(age, local.Sub(w.began)) > w.Deadline {
				e.Late = append(e.Late, p)
			}
		}
		list = append(list, *e)
	}
	return list
}

// since returns from when on beats are missed, for each place and partition in which they are: since the newest one,
// or since the first start when there is none.
func (w *CanaryWatch) since() map[canaryKey]time.Time {
	ended := map[canaryKey]time.Time{} // when a place was last left in order
	for _, b := range w.beats {
		if k := b.where(); b.EndedAt.After(ended[k]) {
			ended[k] = b.EndedAt
		}
	}
	newest, first := map[canaryKey]time.Time{}, map[canaryKey]time.Time{}
	for _, b := range w.beats {
		k := b.where()
		switch {
		case !b.EndedAt.IsZero() || !b.SentAt.After(ended[k]): // or another process has taken over from it
		case b.Number > 0:
			if b.SentAt.After(newest[k]) {
				newest[k] = b.SentAt
			}
		case first[k].IsZero() || b.SentAt.Before(first[k]):
			first[k] = b.SentAt
		}
	}
	if w.Edge != "" { // also when the record knows nothing of it
		for p := range vital.Partitions {
			if k := (canaryKey{p, CanaryPlace(w.Edge)}); first[k].IsZero() {
				first[k] = w.began.Add(w.report.ClockOffset)
			}
		}
	}
	for k, at := range newest {
		first[k] = at
	}
	return first
}

func (b *CanaryBeat) where() canaryKey { return canaryKey{b.Partition, CanaryPlace(b.Edge)} }

// states judges the partitions, after the edges.
func (w *CanaryWatch) states(now time.Time) []CanaryState {
	list := make([]CanaryState, vital.Partitions)
	for p := range list {
		s := &list[p]
		s.Partition = p
		if w.Edge == "" {
			continue
		}
		at := w.began.Add(w.report.ClockOffset)
		if b, ok := w.beats[canaryKey{p, w.Edge}]; ok && b.Number > 0 {
			at = b.SentAt
		}
		s.Own = max(0, now.Sub(at))
	}
	for _, e := range w.report.Edges {
		for p, age := range e.Ages {
			if e.Known[p] {
				list[p].Known, list[p].Age = true, max(list[p].Age, age)
			}
		}
		for _, p := range e.Late {
			list[p].Late = true
		}
	}
	for _, b := range w.beats {
		s := &list[b.Partition]
		s.Wrong = s.Wrong || w.recent(b.WrongAt, now)
	}
	return list
}

// countLate counts each edge once in each partition when it becomes late there.
func (w *CanaryWatch) countLate() {
	late := map[canaryKey]bool{}
	for _, e := range w.report.Edges {
		for _, p := range e.Late {
			k := canaryKey{p, e.Place}
			late[k] = true
			if !w.late[k] {
				w.failed(CanaryLate)
			}
		}
	}
	w.late = late
}

// tell logs an alarm once per change, and again every minute while it lasts.
func (w *CanaryWatch) tell(ctx context.Context, now time.Time) {
	late, wrong := w.report.late(), w.report.wrong()
	key := fmt.Sprint(late, wrong, w.report.ClockOff)
	for _, e := range w.report.Edges {
		key += fmt.Sprint(e.Place, e.Late) // an edge more in a partition that is late already is news
	}
	well := len(late)+len(wrong) == 0 && !w.report.ClockOff
	if key == w.said && (well || now.Sub(w.saidAt) < canaryTellAgain) || well && w.said == "" {
		return
	}
	w.said, w.saidAt = key, now
	if well {
		w.Log.InfoContext(ctx, "the canaries are well again")
		return
	}
	w.Log.ErrorContext(ctx, "canary alarm", "what", w.report.Text(), "late", late, "wrong", wrong, "clock_offset_seconds", w.report.ClockOffset.Seconds())
}

func (r CanaryReport) late() []int  { return r.where(func(s CanaryState) bool { return s.Late }) }
func (r CanaryReport) wrong() []int { return r.where(func(s CanaryState) bool { return s.Wrong }) }

func (r CanaryReport) where(holds func(CanaryState) bool) (list []int) {
	for _, s := range r.Partitions {
		if holds(s) {
			list = append(list, s.Partition)
		}
	}
	return list
}

// Text says what is wrong, for a person; it is empty when nothing is.
func (r CanaryReport) Text() string {
	var texts []string
	texts = append(texts, r.lateTexts()...)
	if wrong := r.wrong(); len(wrong) > 0 {
		texts = append(texts, fmt.Sprintf("a canary was judged wrongly in partition %s: alerts may be wrong or missing", numbers(wrong)))
	}
	if r.ClockOff {
		texts = append(texts, fmt.Sprintf("this machine's clock is %s from the record's", r.ClockOffset.Abs().Round(time.Millisecond)))
	}
	return strings.Join(texts, "; ")
}

// lateTexts tells of the partitions in which every edge is late, and then of the edges that are late in others: where some
// beats come through it is not the partition that stands still.
func (r CanaryReport) lateTexts() (texts []string) {
	var shut []int
	oldest := time.Duration(0)
	for _, p := range r.late() {
		open := slices.ContainsFunc(r.Edges, func(e CanaryEdge) bool { return e.Known[p] && !slices.Contains(e.Late, p) })
		if !open {
			shut, oldest = append(shut, p), max(oldest, r.Partitions[p].Age)
		}
	}
	if len(shut) > 0 {
		texts = append(texts, fmt.Sprintf("no canary has come through partition %s for %s: readings may wait in the stream unjudged", numbers(shut), oldest.Round(time.Second)))
	}
	for _, e := range r.Edges {
		var list []int
		oldest := time.Duration(0)
		for _, p := range e.Late {
			if !slices.Contains(shut, p) {
				list, oldest = append(list, p), max(oldest, e.Ages[p])
			}
		}
		if len(list) > 0 {
			texts = append(texts, fmt.Sprintf("the canary of edge %s has not come through partition %s for %s: the edge has died, or what it takes does not arrive", e.Place, numbers(list), oldest.Round(time.Second)))
		}
	}
	return texts
}

func numbers(list []int) string {
	texts := make([]string, len(list))
	for i, n := range list {
		texts[i] = fmt.Sprint(n)
	}
	return strings.Join(texts, ", ")
}

// Report returns what the last look found.
func (w *CanaryWatch) Report() CanaryReport {
	w.mu.Lock()
	defer w.mu.Unlock()
	r := w.report
	r.Partitions, r.Edges = slices.Clone(r.Partitions), slices.Clone(r.Edges)
	return r
}

// Clock returns the record's time as far as this process knows it: its own until it has looked.
func (w *CanaryWatch) Clock() time.Time {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.Now().Add(w.report.ClockOffset)
}
