package postgres

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"

	"hale/account"
	"hale/fault"
	"hale/safe"
	"hale/vital"
)

// refiling is a refile as the process role carries it out.
type refiling struct {
	id       int64
	org      vital.OrgID
	uid      vital.UID
	sensor   vital.SensorID
	source   vital.PatientID // 0: parked
	target   vital.PatientID // 0: to be parked
	from, to time.Time
	state    safe.RefileState
	undoOf   int64
	reached  time.Time
	total    int
	moved    int
	askedBy  string
	merged   bool           // it is a part of a merge
	claims   bool           // what waits is the target's even where the sensor is another's
	device   int64          // of which a claim takes what it sent; 0: whoever sent it
	within   map[span]int64 // parts that lie within an assignment that the target has
	earliest time.Time      // measured: of what has moved so far
	now      time.Time
}

const failRefile = `UPDATE refile SET state = 'failed', problem = $3, ended_at = $4 WHERE org_id = $1 AND id = $2`

const noteRefile = `
UPDATE refile SET state = $3, started_at = coalesce(started_at, $4), ended_at = CASE WHEN $3 = 'done' THEN $4::timestamptz END, reached_at = $5, total = $6, moved = $7,
    earliest_at = $8, stepped_at = $4, attempts = 0, next_action_at = '-infinity', problem = ''
WHERE org_id = $1 AND id = $2`

// StepRefile carries out one bounded step of a refile. See safe.RefileStore.
//
// Lock order: cursor rows by partition, the sensor's row, the refile's row, assignments, readings, inbox, unverified reds by sensor, metric
// and side and then their values (standing), episodes, situation changes, the registry's version: as a batch, and as whoever assigns a
// sensor. Every batch that could file a reading of the sensor or judge either patient comes wholly before the step or wholly after it
// (ADR 0021).
func (w *Work) StepRefile(ctx context.Context, now time.Time, most int) (safe.RefileStep, error) {
	if err := w.ensureParkedMonths(ctx); err != nil {
		return safe.RefileStep{}, err
	}
	var step safe.RefileStep
	r := &refiling{now: now.UTC()}
	err := pgx.BeginFunc(ctx, w.pool, func(tx pgx.Tx) error {
		if err := nextHeld(ctx, tx, r); err != nil || r.id == 0 {
			return err
		}
		step.Found, step.Refile = true, string(r.uid)
		if r.state == "" {
			return nil // somebody has ended it in this moment
		}
		if r.state == safe.RefileAsked {
			refused, err := r.begin(ctx, tx)
			if err != nil {
				return err
			}
			if refused != "" {
				step.Ended, step.Failed = true, true
				return r.fail(ctx, tx, refused)
			}
			step.Registry = true
		}
		moved, err := w.move(ctx, tx, r, most)
		if err != nil {
			return err
		}
		step.Moved, step.Ended = len(moved), len(moved) < most
		return r.settle(ctx, tx, moved, step)
	})
	if err != nil {
		return w.setBack(ctx, r, fmt.Errorf("file readings anew: %w", err))
	}
	return step, nil
}

// span is a half-open period; a zero to has no end.
type span struct{ from, to time.Time }

func (s span) empty() bool { return !s.to.IsZero() && !s.from.Before(s.to) }

func (s span) meet(o span) span {
	from, to := s.from, s.to
	if from.Before(o.from) {
		from = o.from
	}
	if to.IsZero() || !o.to.IsZero() && o.to.Before(to) {
		to = o.to
	}
	return span{from, to}
}

// less returns what is left of s without o.
func (s span) less(o span) []span {
	if s.meet(o).empty() {
		return []span{s}
	}
	var rest []span
	if s.from.Before(o.from) {
		rest = append(rest, span{s.from, o.from})
	}
	if !o.to.IsZero() && (s.to.IsZero() || o.to.Before(s.to)) {
		rest = append(rest, span{o.to, s.to})
	}
	return rest
}

func without(list []span, o span) []span {
	var rest []span
	for _, s := range list {
		rest = append(rest, s.less(o)...)
	}
	return rest
}

const livingAssignments = `
SELECT id, patient_id, from_at, to_at FROM assignment WHERE sensor_id = $1 AND (to_at IS NULL OR to_at > from_at) ORDER BY from_at`

// erasedSpans are those of people who were erased: they are nobody's for ever.
const erasedSpans = `SELECT from_at, coalesce(to_at, erased_at) FROM erased_span WHERE sensor_id = $1 ORDER BY from_at`
const partsOf = `SELECT from_at, to_at FROM refile_part WHERE org_id = $1 AND refile_id = $2 ORDER BY from_at`

// cut ends an assignment where it is cut off first; its epoch tells edges and batches that it is another one now.
const cut = `UPDATE assignment SET to_at = $3, epoch = epoch + 1 WHERE org_id = $1 AND id = $2`
const insertPart = `INSERT INTO refile_part (org_id, refile_id, from_at, to_at, target_assignment) VALUES ($1, $2, $3, $4, $5)`

// begin gives the periods to whom they belong, before any reading moves: what comes from now on is filed there. It returns
// why not, when there is nothing to be given.
func (r *refiling) begin(ctx context.Context, tx pgx.Tx) (refused string, err error) {
	if !r.merged { // who shares it may be another since it was asked
		switch err := notOneOfMany(ctx, tx, r.sensor, r.source, r.target, r.to, r.now); {
		case fault.Is(err, fault.Conflict):
			return fault.MessageOf(err), nil
		case err != nil:
			return "", err
		}
	}
	wanted := []span{{r.from, r.to}}
	if r.undoOf != 0 {
		if wanted, err = readSpans(ctx, tx, partsOf, int32(r.org), r.undoOf); err != nil {
			return "", err
		}
	}
	parts, err := r.give(ctx, tx, wanted)
	if err != nil {
		return "", err
	}
	switch {
	case len(parts) > 0:
	case r.source == 0:
		return "the sensor was somebody's throughout that time: nothing is parked as nobody's", nil
	default:
		return "the sensor was not the patient's at any moment of that time", nil
	}
	for _, p := range parts {
		var made *int64
		if id, has := r.within[p]; has {
			made = &id
		} else if r.target != 0 {
			var id int64
			var epoch int32
			if err := tx.QueryRow(ctx, insertAssignment, int32(r.org), int64(r.sensor), int64(r.target), p.from, nullTime(p.to), r.now).Scan(&id, &epoch); err != nil {
				return "", fmt.Errorf("assign the sensor: %w", err)
			}
			made = &id
		}
		if _, err := tx.Exec(ctx, insertPart, int32(r.org), r.id, p.from, nullTime(p.to), made); err != nil {
			return "", fmt.Errorf("note the period: %w", err)
		}
	}
	r.reached = parts[0].from.Add(-widen)
	r.from, r.to = parts[0].from, parts[len(parts)-1].to
	if err := r.run(ctx, tx); err != nil {
		return "", err
	}
	return "", r.count(ctx, tx)
}

// run says that it runs, which the function that deletes readings asks for.
func (r *refiling) run(ctx context.Context, tx pgx.Tx) error {
	r.state = safe.RefileRunning
	if _, err := tx.Exec(ctx, noteRefile, int32(r.org), r.id, string(r.state), r.now, r.reached, r.total, r.moved, nullTime(r.earliest)); err != nil {
		return fmt.Errorf("begin the refile: %w", err)
	}
	return nil
}

// owned is an assignment as it stands.
type owned struct {
	id      int64
	patient vital.PatientID
	span
}

// give takes the wanted periods from the source's assignments, as far as they are the source's, and returns them in order.
func (r *refiling) give(ctx context.Context, tx pgx.Tx, wanted []span) ([]span, error) {
	rows, err := tx.Query(ctx, livingAssignments, int64(r.sensor))
	if err != nil {
		return nil, fmt.Errorf("load assignments: %w", err)
	}
	all, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (owned, error) {
		var o owned
		var to *time.Time
		err := row.Scan(&o.id, &o.patient, &o.from, &to)
		o.from, o.to = o.from.UTC(), timeOf(to)
		return o, err
	})
	if err != nil {
		return nil, fmt.Errorf("load assignments: %w", err)
	}
	var parts []span
	if r.source == 0 {
		parts = wanted
		for _, o := range all {
			parts = without(parts, o.span)
		}
		erased, err := readSpans(ctx, tx, erasedSpans, int64(r.sensor))
		if err != nil {
			return nil, err
		}
		for _, o := range erased {
			parts = without(parts, o)
		}
		if r.claims {
			for _, o := range all {
				taken, err := r.take(ctx, tx, o)
				if err != nil {
					return nil, err
				}
				parts = append(parts, taken...)
			}
			slices.SortFunc(parts, func(a, b span) int { return a.from.Compare(b.from) })
		}
		return parts, nil
	}
	for _, o := range all {
		if o.patient != r.source {
			continue
		}
		left := []span{o.span}
		for _, s := range wanted {
			if both := o.meet(s); !both.empty() {
				parts, left = append(parts, both), without(left, s)
			}
		}
		if err := r.leave(ctx, tx, o, left); err != nil {
			return nil, err
		}
	}
	slices.SortFunc(parts, func(a, b span) int { return a.from.Compare(b.from) })
	return parts, nil
}

// keep leaves the source what is left of an assignment.
func (r *refiling) keep(ctx context.Context, tx pgx.Tx, id int64, was span, left []span) error {
	return r.leave(ctx, tx, owned{id, r.source, was}, left)
}

// leave leaves its owner what is left of an assignment.
func (r *refiling) leave(ctx context.Context, tx pgx.Tx, o owned, left []span) error {
	id, was := o.id, o.span
	if len(left) == 1 && left[0] == was {
		return nil
	}
	end := was.from // nothing is left of it
	if len(left) > 0 && left[0].from.Equal(was.from) {
		end, left = left[0].to, left[1:]
	}
	if _, err := tx.Exec(ctx, cut, int32(r.org), id, end); err != nil {
		return fmt.Errorf("end assignment %d: %w", id, err)
	}
	for _, s := range left {
		if _, err := tx.Exec(ctx, insertAssignment, int32(r.org), int64(r.sensor), int64(o.patient), s.from, nullTime(s.to), r.now); err != nil {
			return fmt.Errorf("leave the rest of assignment %d: %w", id, err)
		}
	}
	return nil
}

func readSpans(ctx context.Context, tx pgx.Tx, query string, args ...any) ([]span, error) {
	rows, err := tx.Query(ctx, query, args...)
	if err != nil {
		return nil, fmt.Errorf("load periods: %w", err)
	}
	list, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (span, error) {
		var s span
		var to *time.Time
		err := row.Scan(&s.from, &to)
		s.from, s.to = s.from.UTC(), timeOf(to)
		return s, err
	})
	if err != nil {
		return nil, fmt.Errorf("load periods: %w", err)
	}
	return list, nil
}

func (r *refiling) fail(ctx context.Context, tx pgx.Tx, problem string) error {
	if _, err := tx.Exec(ctx, failRefile, int32(r.org), r.id, problem, r.now); err != nil {
		return fmt.Errorf("end the refile: %w", err)
	}
	return r.audit(ctx, tx, "refile failed", "")
}

// audit writes what Hale did, for both patients.
func (r *refiling) audit(ctx context.Context, tx pgx.Tx, action, detail string) error {
	for _, p := range []vital.PatientID{r.source, r.target} {
		if p == 0 {
			continue
		}
		if err := writeAudit(ctx, tx, account.Audit{Org: r.org, At: r.now, Action: action, Patient: p, Object: "refile " + string(r.uid), Detail: detail}); err != nil {
			return err
		}
	}
	return nil
}

const noteMoved = `INSERT INTO situation_change (org_id, partition, patient_id, rejudge_from, late, moved, at) VALUES ($1, $2, $3, $4, $5, true, $6)`

// settle writes down what has moved and tells the processors of both patients: when it begins that the sensor is another's, and
// when all has moved, and not before, to judge them anew, the one from whom readings were taken as after a changed rule, the
// other as after readings that came in elsewhere. By half of what was measured nobody is judged.
func (r *refiling) settle(ctx context.Context, tx pgx.Tx, moved []movedReading, step safe.RefileStep) error {
	if r.source != 0 {
		if err := r.annotate(ctx, tx, moved); err != nil {
			return err
		}
	}
	if r.target != 0 {
		if err := r.restore(ctx, tx, moved); err != nil {
			return err
		}
	}
	for i := range moved {
		if at := moved[i].At; r.earliest.IsZero() || at.Before(r.earliest) {
			r.earliest = at
		}
		if moved[i].sent.After(r.reached) {
			r.reached = moved[i].sent
		}
	}
	var judged *time.Time
	if step.Ended {
		judged = nullTime(r.earliest)
	}
	if judged != nil || step.Registry {
		if err := r.judge(ctx, tx, judged); err != nil {
			return err
		}
	}
	r.moved += len(moved)
	if step.Ended {
		if err := r.takeAlong(ctx, tx); err != nil {
			return err
		}
		r.state = safe.RefileDone
		if err := r.audit(ctx, tx, "refile done", fmt.Sprintf("%d readings", r.moved)); err != nil {
			return err
		}
	}
	if _, err := tx.Exec(ctx, noteRefile, int32(r.org), r.id, string(r.state), r.now, r.reached, max(r.total, r.moved), r.moved, nullTime(r.earliest)); err != nil {
		return fmt.Errorf("note how far the refile is: %w", err)
	}
	if step.Registry {
		return touchRegistry(ctx, tx)
	}
	return nil
}

// judge tells the processors of both patients that their situation has changed, and from when on they are to be judged anew; nil:
// not yet.
func (r *refiling) judge(ctx context.Context, tx pgx.Tx, since *time.Time) error {
	for _, p := range []vital.PatientID{r.source, r.target} {
		if p == 0 {
			continue
		}
		brought := p == r.target
		if _, err := tx.Exec(ctx, noteMoved, int32(r.org), vital.PartitionOf(uint64(p)), int64(p), since, brought, r.now); err != nil {
			return fmt.Errorf("note the changed situation: %w", err)
		}
	}
	return nil
}

// toldOf are the source's alerts that tell of readings which were taken away, and that have not said so yet.
const toldOf = `
INSERT INTO refile_episode (org_id, refile_id, episode_id)
SELECT DISTINCT e.org_id, $2::bigint, e.id
FROM episode e JOIN timeline t ON t.org_id = e.org_id AND t.episode_id = e.id
    JOIN unnest($4::smallint[], $5::timestamptz[], $6::bigint[]) AS m (metric, at, id) ON m.metric = e.metric AND m.at = t.reading_at AND m.id = t.reading_id
WHERE e.org_id = $1 AND e.patient_id = $3 AND t.kind IN ('opened', 'occurred', 'worsened', 'annotated')
ON CONFLICT DO NOTHING
RETURNING episode_id`

const lockEpisodes = `SELECT ` + episodeColumns + ` FROM episode e WHERE e.org_id = $1 AND e.id = ANY($2) ORDER BY e.id FOR NO KEY UPDATE`

const endMerges = `
UPDATE merge m SET state = CASE state WHEN 'running' THEN 'done' ELSE 'undone' END, ended_at = $1
WHERE m.state IN ('running', 'undoing') AND NOT EXISTS (SELECT FROM refile f WHERE f.org_id = m.org_id AND f.merge_id = m.id AND f.state IN ('asked', 'running'))
RETURNING m.org_id, m.uid::text, m.from_id, m.into_id, m.state`

// EndMerges ends the merges whose refiles have ended. See safe.RefileStore.
func (w *Work) EndMerges(ctx context.Context, now time.Time) (int, error) {
	ended := 0
	err := pgx.BeginFunc(ctx, w.pool, func(tx pgx.Tx) error {
		rows, err := tx.Query(ctx, endMerges, now)
		if err != nil {
			return err
		}
		var list []account.Audit
		var org vital.OrgID
		var uid, state string
		var from, into vital.PatientID
		_, err = pgx.ForEachRow(rows, []any{&org, &uid, &from, &into, &state}, func() error {
			ended++
			for _, p := range []vital.PatientID{from, into} {
				list = append(list, account.Audit{Org: org, At: now, Action: "merge " + state, Patient: p, Object: "merge " + uid})
			}
			return nil
		})
		if err != nil {
			return err
		}
		for _, row := range list {
			if err := writeAudit(ctx, tx, row); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return 0, classify(fmt.Errorf("end merges: %w", err))
	}
	return ended, nil
}
