package alerts_test

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"time"

	"hale/account"
	"hale/alerts"
	"hale/push"
	"hale/vital"
)

// record is a model of what the real one keeps for one partition, in memory: plain lists, searched from end to end.
type record struct {
	rules    []alerts.Rule
	points   []alerts.Point // all of one patient, in order
	tracks   map[alerts.RuleID][]alerts.Interval
	episodes []*alerts.Episode
	logs     map[alerts.EpisodeID][]alerts.Entry
	notices  []push.Notice
	changes  []alerts.Change
	acts     map[alerts.EpisodeID]alerts.Episode // closed by a person: as it was then
	entries  int64
}

const (
	org     vital.OrgID     = 1
	patient vital.PatientID = 7
)

func newRecord(rules ...alerts.Rule) *record {
	return &record{
		rules: rules, tracks: map[alerts.RuleID][]alerts.Interval{}, logs: map[alerts.EpisodeID][]alerts.Entry{},
		acts: map[alerts.EpisodeID]alerts.Episode{},
	}
}

// facts is the record inside a transaction: the fresh readings are stored already.
type facts struct {
	*record
	fresh []alerts.Point
}

func (f facts) Situations(_ context.Context, patients []vital.PatientID) ([]alerts.Situation, error) {
	if !slices.Contains(patients, patient) {
		return nil, nil
	}
	s := alerts.Situation{
		Org: org, Patient: patient, Last: map[alerts.RuleID]alerts.Interval{}, Episodes: map[alerts.RuleID]alerts.Episode{},
		Newest: map[vital.Metric]alerts.Mark{}, Tail: map[vital.Metric][]alerts.Point{},
	}
	for _, r := range f.rules {
		r.Versions = slices.Clone(r.Versions)
		s.Rules = append(s.Rules, r)
		if track := f.tracks[r.ID]; len(track) > 0 {
			s.Last[r.ID] = track[len(track)-1]
		}
	}
	for _, e := range f.episodes {
		if e.State != alerts.Closed {
			s.Episodes[e.Rule] = *e
		}
	}
	for _, p := range f.points {
		if slices.ContainsFunc(f.fresh, func(q alerts.Point) bool { return q.Compare(p.Mark) == 0 && q.Metric == p.Metric }) {
			continue
		}
		s.Newest[p.Metric] = p.Mark
		tail := append(s.Tail[p.Metric], p)
		s.Tail[p.Metric] = slices.Clone(tail[max(0, len(tail)-alerts.TailOf(f.rules, p.Metric)):])
	}
	return []alerts.Situation{s}, nil
}

func (f facts) Points(_ context.Context, _ vital.PatientID, m vital.Metric, after alerts.Mark) ([]alerts.Point, error) {
	var list []alerts.Point
	for _, p := range f.points {
		if p.Metric == m && after.Before(p.Mark) {
			list = append(list, p)
		}
	}
	return list, nil
}

func (f facts) PointsBefore(_ context.Context, _ vital.PatientID, m vital.Metric, before, floor alerts.Mark, n int) ([]alerts.Point, error) {
	var list []alerts.Point
	for _, p := range f.points {
		if p.Metric == m && p.Before(before) && floor.Before(p.Mark) {
			list = append(list, p)
		}
	}
	return list[max(0, len(list)-n):], nil
}

func (f facts) PointsSince(_ context.Context, _ vital.PatientID, m vital.Metric, from time.Time, before alerts.Mark) ([]alerts.Point, error) {
	return slices.DeleteFunc(f.of(m), func(p alerts.Point) bool { return p.At.Before(from) || !p.Before(before) }), nil
}

func (f facts) Intervals(_ context.Context, _ vital.PatientID, rule alerts.RuleID, from alerts.Mark) ([]alerts.Interval, error) {
	track := f.tracks[rule]
	i := slices.IndexFunc(track, func(iv alerts.Interval) bool { return !iv.From.Before(from) })
	if i < 0 {
		i = len(track)
	}
	return slices.Clone(track[max(0, i-1):]), nil
}

func (f facts) Logged(_ context.Context, _ vital.PatientID, rule alerts.RuleID, from alerts.Mark) ([]alerts.Told, error) {
	var told []alerts.Told
	for _, e := range f.episodes {
		if e.Rule != rule {
			continue
		}
		acked := 0 // so many entries stood when it was acknowledged
		for i, entry := range f.logs[e.ID] {
			if entry.Kind == alerts.EntryAcknowledged && e.State == alerts.Acknowledged {
				acked = i
			}
		}
		for i, entry := range f.logs[e.ID] {
			if entry.Tells() && !entry.Reading.Before(from) {
				told = append(told, alerts.Told{Mark: entry.Reading, Episode: e.ID, Acked: i < acked})
			}
		}
	}
	slices.SortFunc(told, func(a, b alerts.Told) int { return a.Compare(b.Mark) })
	return told, nil
}

func (f facts) Resolved(_ context.Context, _ vital.PatientID, rule alerts.RuleID, after time.Time) ([]alerts.Episode, error) {
	var list []alerts.Episode
	for _, e := range f.episodes {
		if e.Rule == rule && e.Closing == alerts.ClosedByPerson && e.ClosedAt.After(after) {
			list = append(list, *e)
		}
	}
	return list, nil
}

// counts reports whether an entry counts a reading as beyond the limit.
func counts(e alerts.Entry) bool {
	switch e.Kind {
	case alerts.EntryOpened, alerts.EntryOccurred, alerts.EntryWorsened:
		return !e.Reading.IsZero()
	case alerts.EntryCleared, alerts.EntryResumed, alerts.EntryAnnotated, alerts.EntryAcknowledged, alerts.EntryResolved, alerts.EntryNoted:
	}
	return false
}

// take is one batch: stores the readings, asks for the decision (tries times, as when the transaction is retried) and
// commits the last. It returns the entries made, in order.
func (r *record) take(d *alerts.Decider, now time.Time, tries int, points ...alerts.Point) ([]logged, error) {
	var fresh []alerts.Fresh
	for _, p := range points {
		fresh = append(fresh, alerts.Fresh{Org: org, Patient: patient, Point: p})
		r.points = append(r.points, p)
	}
	slices.SortFunc(r.points, func(a, b alerts.Point) int { return a.Compare(b.Mark) })
	var out alerts.Outcome
	for range tries {
		var err error
		if out, err = d.Decide(context.Background(), now, facts{r, points}, r.changes, fresh); err != nil {
			return nil, err
		}
	}
	made, err := r.commit(out)
	if err != nil {
		return nil, err
	}
	r.changes = nil
	d.Committed()
	return made, nil
}

// logged is an entry with the episode it belongs to.
type logged struct {
	alert alerts.EpisodeID
	alerts.Entry
}

func (r *record) commit(out alerts.Outcome) ([]logged, error) {
	for _, t := range out.Tracks {
		kept := slices.DeleteFunc(r.tracks[t.Rule], func(iv alerts.Interval) bool { return !iv.From.Before(t.DropFrom) })
		r.tracks[t.Rule] = append(kept, t.Intervals...)
	}
	var made []logged
	for _, c := range out.Episodes {
		if c.Episode.ID == 0 {
			c.Episode.ID = alerts.EpisodeID(len(r.episodes) + 1)
			c.Episode.UID = vital.UID(fmt.Sprintf("alert-%d", c.Episode.ID))
			r.episodes = append(r.episodes, nil)
		}
		stored := *c.Episode
		r.episodes[c.Episode.ID-1] = &stored
		for _, e := range c.Entries {
			made = append(made, r.log(c.Episode.ID, e))
		}
		open := 0
		for _, e := range r.episodes {
			if e.Rule == stored.Rule && e.State != alerts.Closed {
				open++
			}
		}
		if open > 1 {
			return nil, fmt.Errorf("rule %d has %d open episodes", stored.Rule, open)
		}
	}
	for _, n := range out.Notices {
		if !slices.ContainsFunc(r.notices, func(o push.Notice) bool { return o.Topic == n.Topic && o.Dedup == n.Dedup }) {
			r.notices = append(r.notices, n)
		}
	}
	return made, nil
}

func (r *record) log(id alerts.EpisodeID, e alerts.Entry) logged {
	r.entries++
	e.ID = r.entries
	r.logs[id] = append(r.logs[id], e)
	return logged{id, e}
}

// openEpisode returns the rule's open episode, or nil.
func (r *record) openEpisode(rule alerts.RuleID) *alerts.Episode {
	i := slices.IndexFunc(r.episodes, func(e *alerts.Episode) bool { return e.Rule == rule && e.State != alerts.Closed })
	if i < 0 {
		return nil
	}
	return r.episodes[i]
}

// amend is what a person does; it counts as a change of the patient's situation.
func (r *record) amend(e *alerts.Episode, entries ...alerts.Entry) []logged {
	var made []logged
	for _, entry := range entries {
		*e = e.Apply(entry)
		made = append(made, r.log(e.ID, entry))
	}
	if e.State == alerts.Closed {
		r.acts[e.ID] = *e
	}
	r.changes = append(r.changes, alerts.Change{Patient: patient})
	return made
}

// addVersion changes a rule.
func (r *record) addVersion(i int, v alerts.Version) {
	rule := &r.rules[i]
	v.Number = len(rule.Versions) + 1
	rule.Versions = append(slices.Clone(rule.Versions), v)
	r.changes = append(r.changes, alerts.Change{Patient: patient, Rejudge: true, From: v.EffectiveFrom})
}

// of returns the readings of one metric.
func (r *record) of(m vital.Metric) []alerts.Point {
	return slices.DeleteFunc(slices.Clone(r.points), func(p alerts.Point) bool { return p.Metric != m })
}

func ana() account.Actor {
	return account.Actor{Org: org, Staff: 3, UID: "ana", Name: "Ana Kovač", Role: account.Nurse}
}

func ptr(v float64) *float64 { return &v }

func byMark(a, b alerts.Point) int { return cmp.Or(a.Compare(b.Mark), cmp.Compare(a.Metric, b.Metric)) }
