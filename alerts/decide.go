package alerts

import (
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
	mended  int                          // tracks that did not follow from the stored readings and were judged anew
}

// DefaultPatients is how many patients' states a Decider keeps unless told otherwise: about 4 kB each.
const DefaultPatients = 16_384

// NewDecider returns a Decider that remembers at most so many patients; 0 means DefaultPatients.
func NewDecider(patients int) *Decider {
	if patients <= 0 {
		patients = DefaultPatients
	}
	return &Decider{kept: newCache(patients)}
}

// At returns the decision as of now. Nothing it decides is remembered before Committed is called.
func (d *Decider) At(now time.Time) Decide {
	return func(ctx context.Context, facts Facts, changed []Change, fresh []Fresh) (Outcome, error) {
		return d.decide(ctx, now, facts, changed, fresh)
	}
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

func (d *Decider) decide(ctx context.Context, now time.Time, facts Facts, changed []Change, fresh []Fresh) (Outcome, error) {
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
			continue // nobody of that id: erased, or a reading that waits in the inbox
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
	fresh   map[vital.Metric][]Point // in order
	rejudge bool
	from    time.Time
}

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
		if !t.rejudge || c.From.Before(t.from) {
			t.rejudge, t.from = true, c.From
		}
	}
	for _, f := range fresh {
		t := of(f.Patient)
		if t.fresh == nil {
			t.fresh = make(map[vital.Metric][]Point)
		}
		t.fresh[f.Point.Metric] = append(t.fresh[f.Point.Metric], f.Point)
	}
	for _, t := range work {
		for _, points := range t.fresh {
			slices.SortFunc(points, func(a, b Point) int { return a.Compare(b.Mark) })
		}
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
		d.pending[situations[i].Patient] = settle(&situations[i])
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
	ready   bool     // false: last is open and state must still be folded from its beginning
	episode *Episode // the open one, or nil
}

// settle makes a patient's state from a loaded situation.
func settle(s *Situation) *patient {
	p := &patient{org: s.Org, id: s.Patient, tracks: make([]*track, 0, len(s.Rules))}
	for i := range s.Rules {
		rule := &s.Rules[i]
		if rule.Kind != KindLimit {
			continue
		}
		t := &track{rule: rule, newest: s.Newest[rule.Metric], last: s.Last[rule.ID]}
		if e, ok := s.Episodes[rule.ID]; ok {
			t.episode = &e
		}
		if t.holds() {
			t.fromTail(s.Tail[rule.Metric])
		} else {
			t.state, t.ready = Resume(rule, latest(s.Tail[rule.Metric], t.last.To, rule.window()-1)), true
		}
		p.tracks = append(p.tracks, t)
	}
	return p
}

// holds reports whether the newest stored interval is open.
func (t *track) holds() bool { return !t.last.From.IsZero() && t.last.Open() }

// latest returns the last n of the points that come after the mark.
func latest(points []Point, after Mark, n int) []Point {
	i := slices.IndexFunc(points, func(p Point) bool { return after.Before(p.Mark) })
	if i < 0 {
		return nil
	}
	points = points[i:]
	return points[max(0, len(points)-n):]
}

// fromTail folds the open interval from its beginning when that still lies in the tail. Rules that look at more than
// one reading need those before the beginning too, and where the interval before ended; they ask the record.
func (t *track) fromTail(tail []Point) {
	i := slices.IndexFunc(tail, func(p Point) bool { return p.Compare(t.last.From) == 0 })
	if i < 0 || t.rule.window() > 1 {
		return
	}
	if all := fold(Resume(t.rule, nil), tail[i:]); all.is(t.last) {
		t.state, t.ready = all.after, true
	}
}

// judge does one patient's part of a batch and returns how many tracks had to be mended.
func (p *patient) judge(ctx context.Context, now time.Time, facts Facts, todo *task, out *Outcome) (mended int, err error) {
	for i, kept := range p.tracks {
		fresh := todo.fresh[kept.rule.Metric]
		if len(fresh) == 0 && !todo.rejudge {
			continue
		}
		t := *kept
		p.tracks[i] = &t
		j := judgement{facts: facts, patient: p, track: &t, follower: follower{
			org: p.org, patient: p.id, rule: t.rule, now: now, newest: t.newest, open: t.episode,
		}}
		if n := len(fresh); n > 0 && t.newest.Before(fresh[n-1].Mark) {
			j.follower.newest = fresh[n-1].Mark
		}
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

// Mended returns how often a stored track did not follow from the stored readings, and was therefore judged anew.
// That never happens unless something else wrote to the record.
func (d *Decider) Mended() int { return d.mended }

// judgement is one rule's part of a batch.
type judgement struct {
	facts    Facts
	patient  *patient
	track    *track
	follower follower

	mended    bool // what was stored did not follow from the readings
	dirty     bool // intervals replace what is stored from dropFrom on
	dropFrom  Mark
	intervals []Interval
}

// do judges late readings first, as corrections of the past, then the newer ones one after another. What comes out
// of the track is the same however the readings are spread over batches.
func (j *judgement) do(ctx context.Context, todo *task, fresh []Point) error {
	t := j.track
	split := sort.Search(len(fresh), func(i int) bool { return t.newest.Before(fresh[i].Mark) })
	late, ahead := fresh[:split], fresh[split:]
	switch change, cause := j.change(todo, late); {
	case !change.IsZero():
		if err := j.revise(ctx, change, cause); err != nil {
			return err
		}
	case !t.ready:
		if err := j.resume(ctx); err != nil {
			return err
		}
	}
	for _, p := range ahead {
		j.step(p)
	}
	return nil
}

// change returns from where on the past must be judged anew, and why; the zero mark when it stands.
func (j *judgement) change(todo *task, late []Point) (from Mark, cause string) {
	if len(late) > 0 && (todo.rejudge || !j.harmless(late)) {
		from, cause = late[0].Mark, causeLate
	}
	if todo.rejudge {
		// A rule that changes after the newest reading changes nothing of what was judged.
		if rule := (Mark{At: todo.from, ID: math.MinInt64}); rule.Before(j.track.newest) {
			cause = causeRule
			if from.IsZero() || rule.Before(from) {
				from = rule
			}
		}
	}
	return from, cause
}

// harmless reports whether late readings can change nothing: a rule that looks at single readings, whose condition
// does not hold, and readings after its last interval that are inside the limits.
func (j *judgement) harmless(late []Point) bool {
	t := j.track
	if t.rule.window() > 1 || t.holds() || !t.last.To.Before(late[0].Mark) {
		return false
	}
	for _, p := range late {
		if v, ok := t.rule.InForce(p.At); ok && Judge(v, t.rule.Metric, p.Values) != None {
			return false
		}
	}
	return true
}

func (j *judgement) step(p Point) {
	t := j.track
	s := t.state.Step(p)
	t.newest = p.Mark
	if s.Occurred || s.Ended {
		j.put(t.state.Interval())
	}
	j.follower.step(p, s)
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
