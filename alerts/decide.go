package alerts

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"math"
	"slices"
	"sort"
	"time"

	"hale/vital"
)

// Decider judges the batches of one partition. It keeps the state of its patients' tracks between batches; all of it
// can be had again from what is stored, so it may be forgotten at any time. It is for one goroutine.
type Decider struct {
	kept    *cache
	pending map[vital.PatientID]*patient // of the batch in hand, until it is committed
	zones   zones                        // that trends have asked for
	mended  int                          // tracks that did not follow from the stored readings and were judged anew
}

// DefaultPatients is how many patients' states a Decider keeps unless told otherwise: about 4 kB each, and 1 kB more for
// each trend rule of a metric that the patient measures (3 kB of weights that two people send).
const DefaultPatients = 16_384

// NewDecider returns a Decider that remembers at most so many patients; 0 means DefaultPatients.
func NewDecider(patients int) *Decider {
	if patients <= 0 {
		patients = DefaultPatients
	}
	return &Decider{kept: newCache(patients), zones: zones{}}
}

// Committed tells that the outcome decided last is in the record.
func (d *Decider) Committed() {
	for id, p := range d.pending {
		d.kept.put(id, p)
	}
	d.pending = nil
}

// Forget drops everything, for when somebody else may have written since.
func (d *Decider) Forget() {
	d.kept.clear()
	d.pending = nil
}

// Decide is the decision as of now. Nothing it decides is remembered before Committed is called.
func (d *Decider) Decide(ctx context.Context, now time.Time, facts Facts, changed []Change, fresh []Fresh) (Outcome, error) {
	d.pending = make(map[vital.PatientID]*patient)
	work := gather(changed, fresh)
	for _, c := range changed {
		d.kept.drop(c.Patient)
	}
	patients := slices.Sorted(maps.Keys(work))
	if err := d.load(ctx, facts, patients); err != nil {
		return Outcome{}, err
	}
	var out Outcome
	for _, id := range patients {
		p, known := d.pending[id]
		if !known {
			continue // the record told nothing of this patient
		}
		mended, err := p.judge(ctx, now, facts, work[id], &out)
		if err != nil {
			return Outcome{}, fmt.Errorf("judge patient %d: %w", id, err)
		}
		d.mended += mended
	}
	return out, nil
}

// task is what a batch asks to be done for one patient.
type task struct {
	fresh   []run // in the order of the metrics
	rejudge bool
	from    time.Time

	rerouted     bool // readings came in by another partition
	reroutedFrom time.Time

	taken     bool // with rejudge: readings were taken away
	withdrawn bool // with rejudge: readings were taken back
	brought   bool // with rerouted: readings were brought from elsewhere
}

// added is why stored readings that are new to the patient are judged.
func (t *task) added() Cause {
	if t.brought {
		return CauseBrought
	}
	return CauseLate
}

// changed is why stored readings that were judged are judged anew. What came in besides cannot be told from the rest there,
// and may close nothing.
func (t *task) changed() Cause {
	switch {
	case t.rerouted:
		return t.added()
	case t.taken:
		return CauseTaken
	case t.withdrawn:
		return CauseWithdrawn
	}
	return CauseRule
}

// run is what a batch brought of one metric of a patient, in order.
type run struct {
	metric vital.Metric
	points []Point
}

// of returns the task's fresh readings of a metric, in order.
func (t *task) of(m vital.Metric) []Point {
	for i := range t.fresh {
		if t.fresh[i].metric == m {
			return t.fresh[i].points
		}
	}
	return nil
}

// gather sorts a batch by what is to be done for whom. It brings fresh into order: patients, metrics, marks.
func gather(changed []Change, fresh []Fresh) map[vital.PatientID]*task {
	work := make(map[vital.PatientID]*task)
	of := func(id vital.PatientID) *task {
		t := work[id]
		if t == nil {
			t = &task{}
			work[id] = t
		}
		return t
	}
	for _, c := range changed {
		if !c.Rejudge {
			continue
		}
		t := of(c.Patient)
		if c.Late {
			t.brought = t.brought || c.Moved
		} else {
			t.taken, t.withdrawn = t.taken || c.Moved, t.withdrawn || c.Withdrawn
		}
		switch {
		case c.Late && (!t.rerouted || c.From.Before(t.reroutedFrom)):
			t.rerouted, t.reroutedFrom = true, c.From
		case !c.Late && (!t.rejudge || c.From.Before(t.from)):
			t.rejudge, t.from = true, c.From
		}
	}
	slices.SortFunc(fresh, func(a, b Fresh) int {
		return cmp.Or(cmp.Compare(a.Patient, b.Patient), cmp.Compare(a.Point.Metric, b.Point.Metric), a.Point.Compare(b.Point.Mark))
	})
	points := make([]Point, len(fresh)) // of all runs
	for i := range fresh {
		points[i] = fresh[i].Point
	}
	for from, to := 0, 0; from < len(fresh); from = to {
		first := &fresh[from]
		for to = from; to < len(fresh) && fresh[to].Patient == first.Patient && fresh[to].Point.Metric == first.Point.Metric; to++ {
		}
		t := of(first.Patient)
		t.fresh = append(t.fresh, run{first.Point.Metric, points[from:to:to]})
	}
	return work
}

// load brings the states of these patients into pending: copies of what is kept, and the rest from the record at once.
func (d *Decider) load(ctx context.Context, facts Facts, patients []vital.PatientID) error {
	var missing []vital.PatientID
	for _, id := range patients {
		if p, ok := d.kept.get(id); ok {
			d.pending[id] = p.copy()
		} else {
			missing = append(missing, id)
		}
	}
	if len(missing) == 0 {
		return nil
	}
	situations, err := facts.Situations(ctx, missing)
	if err != nil {
		return fmt.Errorf("load situations: %w", err)
	}
	for i := range situations {
		d.pending[situations[i].Patient] = settle(&situations[i], d.zones)
	}
	return nil
}

// patient is the state of a patient's tracks. The tracks are never changed in place but replaced by changed copies.
type patient struct {
	org    vital.OrgID
	id     vital.PatientID
	tracks []*track
}

func (p *patient) copy() *patient {
	own := *p
	own.tracks = slices.Clone(p.tracks)
	return &own
}

// track is the state of one rule's track at the newest reading of its metric.
type track struct {
	rule    *Rule
	newest  Mark     // newest reading of the metric
	last    Interval // newest interval; zero when there is none
	state   Runner
	zones   zones
	ready   bool     // false: state must still be had from the record (resume)
	episode *Episode // the open one, or nil
}

// settle makes a patient's state from a loaded situation.
func settle(s *Situation, known zones) *patient {
	p := &patient{org: s.Org, id: s.Patient, tracks: make([]*track, 0, len(s.Rules))}
	for i := range s.Rules {
		rule := &s.Rules[i]
		t := &track{rule: rule, zones: known, newest: s.Newest[rule.Metric], last: s.Last[rule.ID]}
		if e, ok := s.Episodes[rule.ID]; ok {
			t.episode = &e
		}
		tail := s.Tail[rule.Metric]
		all := len(tail) < TailOf(s.Rules, rule.Metric) // that there are
		switch {
		case t.holds():
			t.fromTail(tail, all)
		case rule.Kind == KindTrend:
			if all || t.sees(tail, t.newest) {
				t.state, t.ready = t.begin(tail), true
			}
		default:
			t.outside(tail, all)
		}
		p.tracks = append(p.tracks, t)
	}
	return p
}

// holds reports whether the newest stored interval is open.
func (t *track) holds() bool { return !t.last.From.IsZero() && t.last.Open() }

// begin returns the state outside any interval after the given readings (Resume).
func (t *track) begin(since []Point) Runner { return resume(t.rule, t.zones, since) }

// sees reports whether a tail that is not everything holds all that the rule can look back on from a place in it.
func (t *track) sees(tail []Point, from Mark) bool {
	return len(tail) > 0 && tail[0].At.Before(from.At.Add(-t.rule.reach()))
}

// outside takes the state outside any interval from the tail, unless the tail does not reach far enough because
// readings in it do not count.
func (t *track) outside(tail []Point, all bool) {
	since := tail
	if i := slices.IndexFunc(tail, func(p Point) bool { return t.last.To.Before(p.Mark) }); i > 0 {
		since = tail[i:]
	} else if i < 0 {
		since = nil
	}
	whole := all || len(since) < len(tail)
	if whole || t.rule.counting(since) >= t.rule.window()-1 && (t.rule.reach() == 0 || t.sees(tail, t.newest)) {
		t.state, t.ready = t.begin(since), true
	}
}

// fromTail folds the open interval from its beginning when that still lies in the tail. Limits that look at more than
// one reading need those before the beginning too, and where the interval before ended; they ask the record. Trends, and limits
// with a duration, need those before it that they can look back on.
func (t *track) fromTail(tail []Point, all bool) {
	i := slices.IndexFunc(tail, func(p Point) bool { return p.Compare(t.last.From) == 0 })
	if i < 0 || t.rule.window() > 1 {
		return
	}
	var before []Point
	if t.rule.reach() > 0 {
		if !all && !t.sees(tail, t.last.From) {
			return
		}
		before = tail[:i]
	}
	if now := fold(t.begin(before), tail[i:]); now.is(t.last) {
		t.state, t.ready = now.after, true
	}
}

// judge does one patient's part of a batch and returns how many tracks had to be mended.
func (p *patient) judge(ctx context.Context, now time.Time, facts Facts, todo *task, out *Outcome) (mended int, err error) {
	for i, kept := range p.tracks {
		fresh := todo.of(kept.rule.Metric)
		if len(fresh) == 0 && !todo.rejudge && !todo.rerouted {
			continue
		}
		t := *kept
		p.tracks[i] = &t
		j := judgement{facts: facts, patient: p, track: &t, follower: follower{
			org: p.org, patient: p.id, rule: t.rule, now: now, newest: p.newest(t.rule.Metric, todo), open: t.episode,
		}}
		if err := j.do(ctx, todo, fresh); err != nil {
			return mended, fmt.Errorf("rule %d: %w", t.rule.ID, err)
		}
		if j.mended {
			mended++
		}
		j.save(out)
	}
	return mended, nil
}

// newest returns the newest reading of the vital, the batch in hand included. The three kinds of glucose are one.
func (p *patient) newest(metric vital.Metric, todo *task) Mark {
	var newest Mark
	take := func(m Mark) {
		if newest.Before(m) {
			newest = m
		}
	}
	for _, t := range p.tracks {
		if sameVital(t.rule.Metric, metric) {
			take(t.newest)
		}
	}
	for _, r := range todo.fresh {
		if sameVital(r.metric, metric) {
			take(r.points[len(r.points)-1].Mark)
		}
	}
	return newest
}

func sameVital(a, b vital.Metric) bool { return a == b || glucose(a) && glucose(b) }

func glucose(m vital.Metric) bool {
	return m == vital.Glucose || m == vital.GlucoseFasting || m == vital.GlucosePostMeal
}

// Mended returns how often a stored track did not follow from the stored readings, and was therefore judged anew.
// It happens when another partition files a reading of the patient while a batch is under way, and when a reading comes in while
// those of the patient are being filed anew, before all of them have moved; otherwise never.
func (d *Decider) Mended() int { return d.mended }

// judgement is one rule's part of a batch.
type judgement struct {
	facts    Facts
	patient  *patient
	track    *track
	follower follower

	recalled   bool // the follower has the episodes resolved after recalledTo
	recalledTo time.Time

	mended    bool // what was stored did not follow from the readings
	dirty     bool // intervals replace what is stored from dropFrom on
	dropFrom  Mark
	intervals []Interval
}

// do judges the past anew first: for a changed rule without the late readings of the batch, then for those, so that
// neither is taken for the other. Then come the newer readings one after another. What comes out of the track is the
// same however the readings are spread over batches.
func (j *judgement) do(ctx context.Context, todo *task, fresh []Point) error {
	t := j.track
	split := sort.Search(len(fresh), func(i int) bool { return t.newest.Before(fresh[i].Mark) })
	late, ahead := fresh[:split], fresh[split:]
	// A rule that changes after the newest reading changes nothing of what was judged; readings that are gone may have
	// been the newest themselves.
	if rule := (Mark{At: todo.from, ID: math.MinInt64}); todo.rejudge && (todo.taken || todo.withdrawn || rule.Before(t.newest)) {
		// What the open alert says of its worst and last reading is renewed by all that it counts.
		if e := j.follower.open; e != nil && e.Since.Before(todo.from) {
			rule.At = e.Since
		}
		if err := j.revise(ctx, revision{change: rule, cause: todo.changed(), renews: true, fewer: todo.taken || todo.withdrawn, without: late}); err != nil {
			return err
		}
	}
	from := Mark{}
	if len(late) > 0 && !j.harmless(late) {
		from = late[0].Mark
	}
	if rerouted := (Mark{At: todo.reroutedFrom, ID: math.MinInt64}); todo.rerouted && (from.IsZero() || rerouted.Before(from)) {
		from = rerouted
	}
	added := CauseLate
	if todo.rerouted {
		added = todo.added()
	}
	switch {
	case !from.IsZero():
		if err := j.revise(ctx, revision{change: from, cause: added}); err != nil {
			return err
		}
	case !t.ready:
		if err := j.resume(ctx); err != nil {
			return err
		}
	}
	for _, p := range ahead {
		if err := j.step(ctx, p); err != nil {
			return err
		}
	}
	return nil
}

// harmless reports whether late readings can change nothing: a rule that looks at single readings, whose condition
// does not hold, and readings after its last interval that are inside the limits. Later readings are compared with those
// that a trend looks back on, so none of its are.
func (j *judgement) harmless(late []Point) bool {
	t := j.track
	if t.rule.reach() > 0 || t.rule.window() > 1 || t.holds() || !t.last.To.Before(late[0].Mark) {
		return false
	}
	for _, p := range late {
		if v, ok := t.rule.InForce(p.At); ok && Judge(v, t.rule.Metric, p.Values) != None {
			return false
		}
	}
	return true
}

func (j *judgement) step(ctx context.Context, p Point) error {
	t := j.track
	s := t.state.Step(p)
	t.newest = p.Mark
	if s.Occurred || s.Ended {
		j.put(t.state.Interval())
	}
	if s.Occurred && !s.Began && j.follower.open == nil {
		if err := j.recall(ctx, p.At); err != nil {
			return err
		}
	}
	j.follower.interval = t.state.Interval()
	j.follower.step(p, s)
	return nil
}

// recall gives the follower the episodes that a person resolved after the given time, once per batch.
func (j *judgement) recall(ctx context.Context, after time.Time) error {
	if j.recalled && !after.Before(j.recalledTo) {
		return nil
	}
	list, err := j.facts.Resolved(ctx, j.patient.id, j.track.rule.ID, after)
	if err != nil {
		return fmt.Errorf("read resolved alerts: %w", err)
	}
	j.recalled, j.recalledTo = true, after
	for i := range list {
		known := slices.ContainsFunc(j.follower.resolved, func(e *Episode) bool { return e.ID == list[i].ID })
		if !known {
			j.follower.resolved = append(j.follower.resolved, &list[i])
		}
	}
	return nil
}

// put notes that the newest interval is new or different.
func (j *judgement) put(iv Interval) {
	t := j.track
	t.last = iv
	if !j.dirty {
		j.dirty, j.dropFrom = true, iv.From
	}
	if n := len(j.intervals); n > 0 && j.intervals[n-1].From.Compare(iv.From) == 0 {
		j.intervals[n-1] = iv
		return
	}
	j.intervals = append(j.intervals, iv)
}

// save adds what was decided to the outcome and keeps the open episode.
func (j *judgement) save(out *Outcome) {
	j.track.episode = j.follower.open
	if j.dirty {
		out.Tracks = append(out.Tracks, TrackChange{
			Org: j.patient.org, Patient: j.patient.id, Rule: j.track.rule.ID, DropFrom: j.dropFrom, Intervals: j.intervals,
		})
	}
	out.Episodes = append(out.Episodes, j.follower.changes...)
	out.Notices = append(out.Notices, j.follower.notices...)
}
