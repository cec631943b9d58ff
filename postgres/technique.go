package postgres

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"hale/account"
	"hale/devices/measuring"
	"hale/fault"
	"hale/vital"
)

// mostTaken bounds the readings of a metric that are looked at for one sensor: a scale that sends every second hides nobody else's.
const mostTaken = 2000

const takenOf = `
SELECT k.patient_id, r.metric, r.measured_at, r.id, r.value, r.value2, r.sensor_id, r.sent_at, r.tie, ` + vagueSeen + `, r.received_at
FROM (SELECT DISTINCT a.patient_id, a.sensor_id, m.metric FROM assignment a CROSS JOIN unnest(@metrics::smallint[]) AS m (metric) WHERE a.patient_id = ANY(@patients)) k
CROSS JOIN LATERAL (
    SELECT * FROM %s r WHERE r.sensor_id = k.sensor_id AND r.metric = k.metric AND r.sent_at BETWEEN @low AND @high AND r.patient_id = k.patient_id
        AND r.measured_at >= @from AND r.measured_at < @to
    ORDER BY r.sent_at DESC, r.id DESC LIMIT @most) r
ORDER BY k.patient_id, r.measured_at, r.id`

func markArgs(q measuring.MarkQuery) pgx.NamedArgs {
	metrics := make([]int16, len(q.Metrics))
	for i, m := range q.Metrics {
		metrics[i] = int16(m)
	}
	return pgx.NamedArgs{
		"patients": numbersOf(q.Patients), "metrics": metrics, "from": q.From, "to": q.To, "low": q.From.Add(-widen), "high": q.To.Add(widen),
	}
}

// takenBetween reads readings as technique looks at them.
func takenBetween(ctx context.Context, tx statements, table string, q measuring.MarkQuery) (map[vital.PatientID][]measuring.Taken, error) {
	args := markArgs(q)
	args["most"] = mostTaken
	rows, err := tx.Query(ctx, fmt.Sprintf(takenOf, table), args)
	if err != nil {
		return nil, fmt.Errorf("read how was measured: %w", err)
	}
	all := map[vital.PatientID][]measuring.Taken{}
	var patient vital.PatientID
	var r measuring.Taken
	var value float64
	var value2 *float64
	var vague vagueColumns
	_, err = pgx.ForEachRow(rows, append([]any{&patient, &r.Metric, &r.At, &r.ID, &value, &value2, &r.Key.Sensor, &r.Key.SentAt, &r.Key.Tie}, vague.targets()...), func() error {
		one := r
		one.At, one.Key.SentAt, one.Key.Metric, one.Values, one.Vague = r.At.UTC(), r.Key.SentAt.UTC(), r.Metric, []float64{value}, vague.of()
		if value2 != nil {
			one.Values = append(one.Values, *value2)
		}
		all[patient] = append(all[patient], one)
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("read how was measured: %w", err)
	}
	return all, nil
}

// TakenBy returns readings of the query's one patient, as the view shows them. See devices.DoubtBook.
func (a *App) TakenBy(ctx context.Context, actor account.Actor, q measuring.MarkQuery) ([]measuring.Taken, error) {
	var taken []measuring.Taken
	err := a.as(ctx, actor, func(tx pgx.Tx, _ time.Time) error {
		all, err := takenBetween(ctx, tx, readingSeen, q)
		for _, p := range q.Patients {
			taken = append(taken, all[p]...)
		}
		return err
	})
	return taken, err
}

// stillTheirs is the reading of a doubt d, as long as it is the patient's.
const stillTheirs = `
JOIN ` + readingSeen + ` r ON r.sensor_id = d.sensor_id AND r.metric = d.metric AND r.sent_at = d.sent_at AND r.tie = d.tie AND r.patient_id = d.patient_id`

// waitingStill chooses doubts that nobody has answered: with $1, of patients of whose care team the actor is.
const waitingStill = ` WHERE d.answered_at IS NULL AND (NOT $1::boolean OR d.patient_id IN (SELECT mine.patient_id FROM my_patients() mine WHERE mine.team))`

const selectQuestions = `
SELECT d.uid::text, d.patient_id, s.uid, d.metric, d.measured_at, d.reading_id, r.value, r.value2, d.kind, d.compared, coalesce(extract(epoch FROM d.apart)::float8, 0), d.raised_at,
    d.answer, d.note, d.answered_at, d.answered_name, ` + vagueSeen + `, r.received_at
FROM technique_doubt d JOIN sensor s ON s.org_id = d.org_id AND s.id = d.sensor_id` + stillTheirs

const (
	waitingQuestions = selectQuestions + waitingStill + ` AND ($2::uuid IS NULL OR d.id < (SELECT b.id FROM technique_doubt b WHERE b.uid = $2)) ORDER BY d.id DESC LIMIT $3`
	countQuestions   = `SELECT count(*) FROM technique_doubt d` + stillTheirs + waitingStill
	questionsOf      = selectQuestions + ` WHERE d.patient_id = (SELECT p.id FROM patient p WHERE p.uid = $1) ORDER BY d.measured_at DESC, d.id DESC LIMIT $2`
	oneQuestion      = selectQuestions + ` WHERE d.uid = $1`
	lockQuestion     = `SELECT answered_at IS NOT NULL, answered_name FROM technique_doubt WHERE uid = $1 FOR NO KEY UPDATE`
	settleQuestion   = `UPDATE technique_doubt SET answer = $2, note = $3, answered_at = $4, answered_id = $5, answered_name = $6, answered_role = $7 WHERE uid = $1`
)

func scanQuestion(row pgx.CollectableRow) (measuring.Question, error) {
	var q measuring.Question
	var value, apart float64
	var value2 *float64
	var answered *time.Time
	var vague vagueColumns
	err := row.Scan(append([]any{&q.UID, &q.Patient.ID, &q.Sensor, &q.Metric, &q.MeasuredAt, &q.Reading, &value, &value2, &q.Doubt, &q.Compared, &apart, &q.RaisedAt,
		&q.Answer, &q.Note, &answered, &q.AnsweredBy}, vague.targets()...)...)
	q.Vague = vague.of()
	q.Values = []float64{value}
	if value2 != nil {
		q.Values = append(q.Values, *value2)
	}
	q.MeasuredAt, q.RaisedAt, q.AnsweredAt, q.Apart = q.MeasuredAt.UTC(), q.RaisedAt.UTC(), timeOf(answered), time.Duration(apart*float64(time.Second)).Round(time.Microsecond)
	return q, err
}

// readQuestions reads doubts with their patients, as whoever the transaction acts for is related to them.
func readQuestions(ctx context.Context, tx pgx.Tx, query string, args ...any) ([]measuring.Question, error) {
	rows, err := tx.Query(ctx, query, args...)
	if err != nil {
		return nil, fmt.Errorf("read doubts: %w", err)
	}
	list, err := pgx.CollectRows(rows, scanQuestion)
	if err != nil {
		return nil, fmt.Errorf("read doubts: %w", err)
	}
	return list, withPatients(ctx, tx, list, func(q *measuring.Question) *account.Patient { return &q.Patient })
}

// Questions returns doubts. See measuring.DoubtBook.
func (a *App) Questions(ctx context.Context, actor account.Actor, f measuring.DoubtFilter) (measuring.Doubts, error) {
	var of, before any
	for at, uid := range map[*any]vital.UID{&of: f.Patient, &before: f.Before} {
		if uid == "" {
			continue
		}
		u, err := parseUID(uid, "doubt or patient")
		if err != nil {
			return measuring.Doubts{}, err
		}
		*at = u
	}
	var page measuring.Doubts
	err := a.as(ctx, actor, func(tx pgx.Tx, _ time.Time) (err error) {
		if of != nil {
			page.List, err = readQuestions(ctx, tx, questionsOf, of, cmp.Or(f.Limit, 100))
			return err
		}
		if page.List, err = readQuestions(ctx, tx, waitingQuestions, f.Team, before, cmp.Or(f.Limit, 100)); err != nil {
			return err
		}
		return wrapped(tx.QueryRow(ctx, countQuestions, f.Team).Scan(&page.Waiting), "count doubts")
	})
	return page, err
}

// Question returns one doubt. See devices.DoubtBook.
func (a *App) Question(ctx context.Context, actor account.Actor, uid vital.UID) (measuring.Question, error) {
	u, err := parseUID(uid, "doubt")
	if err != nil {
		return measuring.Question{}, err
	}
	var list []measuring.Question
	err = a.as(ctx, actor, func(tx pgx.Tx, _ time.Time) (err error) {
		list, err = readQuestions(ctx, tx, oneQuestion, u)
		return err
	})
	if err == nil && len(list) == 0 {
		err = fault.New(fault.NotFound, "there is no doubt %s", uid)
	}
	if err != nil {
		return measuring.Question{}, err
	}
	return list[0], nil
}

// SettleQuestion stores an answer. See devices.DoubtBook.
func (a *App) SettleQuestion(ctx context.Context, actor account.Actor, q measuring.Question) (measuring.Question, error) {
	err := a.as(ctx, actor, func(tx pgx.Tx, now time.Time) error {
		q.AnsweredAt, q.AnsweredBy = now, actor.Name
		return settleDoubt(ctx, tx, actor, q, now)
	})
	return q, err
}

// settleDoubt stores the answer to a doubt, with its audit row.
func settleDoubt(ctx context.Context, tx pgx.Tx, actor account.Actor, q measuring.Question, now time.Time) error {
	u, err := parseUID(q.UID, "doubt")
	if err != nil {
		return err
	}
	var answered bool
	var by string
	if err := tx.QueryRow(ctx, lockQuestion, u).Scan(&answered, &by); err != nil {
		return fmt.Errorf("lock doubt %s: %w", u, err)
	}
	if answered {
		return fault.New(fault.Conflict, "%s has answered this already", by)
	}
	if _, err := tx.Exec(ctx, settleQuestion, u, string(q.Answer), q.Note, now, nullID(actor.Staff), actor.Name, string(actor.Role)); err != nil {
		return fmt.Errorf("answer doubt %s: %w", u, err)
	}
	return writeAudit(ctx, tx, account.Audit{
		Org: actor.Org, At: now, Actor: actor, Action: answerDoubt, Patient: q.Patient.ID, Object: "doubt " + string(q.UID), Detail: string(q.Answer),
	})
}

// answerDoubt is the action of the audit row of an answer.
const answerDoubt = "answer a doubt about a measurement"

const measurers = `
SELECT DISTINCT k.patient_id
FROM (SELECT DISTINCT a.patient_id, a.sensor_id, m.metric FROM assignment a CROSS JOIN unnest(@metrics::smallint[]) AS m (metric) WHERE a.to_at IS NULL OR a.to_at > @low) k
CROSS JOIN LATERAL (
    SELECT FROM reading r WHERE r.sensor_id = k.sensor_id AND r.metric = k.metric AND r.sent_at BETWEEN @from AND @to AND r.patient_id = k.patient_id AND r.received_at > @arrived LIMIT 1) r
ORDER BY 1`

// Measurers returns of whom something was measured that has arrived after a time. See devices.TechnicianStore.
func (w *Work) Measurers(ctx context.Context, q measuring.MarkQuery, arrived time.Time) ([]vital.PatientID, error) {
	args := markArgs(q)
	args["arrived"] = arrived
	rows, err := w.pool.Query(ctx, measurers, args)
	if err == nil {
		var list []vital.PatientID
		if list, err = pgx.CollectRows(rows, pgx.RowTo[vital.PatientID]); err == nil {
			return list, nil
		}
	}
	return nil, classify(fmt.Errorf("find who has measured: %w", err))
}

// TakenOf returns readings by patient. See devices.TechnicianStore.
func (w *Work) TakenOf(ctx context.Context, q measuring.MarkQuery) (map[vital.PatientID][]measuring.Taken, error) {
	var all map[vital.PatientID][]measuring.Taken
	err := pgx.BeginTxFunc(ctx, w.pool, pgx.TxOptions{AccessMode: pgx.ReadOnly}, func(tx pgx.Tx) (err error) {
		all, err = takenBetween(ctx, tx, "reading", q)
		return err
	})
	return all, classify(err)
}

// raiseDoubt leaves out whoever is being erased or was merged: their record takes nothing more. It leaves out as well what was asked
// already of the same sitting, answered or not.
const raiseDoubt = `
INSERT INTO technique_doubt (org_id, uid, patient_id, sensor_id, metric, sent_at, tie, measured_at, reading_id, kind, compared, apart, raised_at)
SELECT p.org_id, $2, p.id, $3, $4, $5, $6, $7, $8, $9, $10, make_interval(secs => $11), $12 FROM patient p
WHERE p.id = $1 AND p.state IN ('active', 'ending') AND p.restricted_at IS NULL
    AND NOT EXISTS (SELECT FROM technique_doubt o WHERE o.org_id = p.org_id AND o.patient_id = p.id AND o.kind = $9 AND o.measured_at BETWEEN $13 AND $14)
ON CONFLICT (org_id, patient_id, reading_id, kind) DO NOTHING`

// Raise stores doubts. See devices.TechnicianStore.
func (w *Work) Raise(ctx context.Context, now time.Time, doubts map[vital.PatientID][]measuring.Doubted) (int, error) {
	batch, raised := &pgx.Batch{}, 0
	for p, list := range doubts {
		for _, d := range list {
			var apart *float64
			if d.Apart > 0 || d.Doubt != measuring.OtherPerson {
				s := d.Apart.Seconds()
				apart = &s
			}
			batch.Queue(raiseDoubt, int64(p), string(newUID()), int64(d.Key.Sensor), int16(d.Metric), d.Key.SentAt, d.Key.Tie, d.At, d.ID,
				string(d.Doubt), d.Compared, apart, now, nullTime(d.SatFrom), nullTime(d.SatTo))
		}
	}
	results := w.pool.SendBatch(ctx, batch)
	for range batch.Len() {
		tag, err := results.Exec()
		if err != nil {
			return 0, classify(fmt.Errorf("raise doubts: %w", errors.Join(err, results.Close())))
		}
		raised += int(tag.RowsAffected())
	}
	return raised, classify(results.Close())
}
