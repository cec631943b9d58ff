package postgres

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"hale/account"
	"hale/devices/measuring"
	"hale/fault"
	"hale/push"
	"hale/vital"
)

// lineRow is a line of a schedule as it is stored: metrics by their codes, times in minutes after midnight.
type lineRow struct {
	Metric string     `json:"metric"`
	First  vital.Date `json:"first"`
	Last   vital.Date `json:"last,omitempty"`
	Weekly []int      `json:"weekdays,omitempty"`
	Every  int        `json:"every,omitempty"`
	Times  [][3]int   `json:"times"` // from, at, to
	Intro  *introRow  `json:"intro,omitempty"`
}

type introRow struct {
	Days   int      `json:"days"`
	Weekly []int    `json:"weekdays,omitempty"`
	Every  int      `json:"every,omitempty"`
	Times  [][3]int `json:"times"`
}

func lineRows(lines []measuring.Line) ([]byte, error) {
	all := []lineRow{}
	for _, l := range lines {
		r := lineRow{Metric: l.Metric.String(), First: l.First, Last: l.Last, Weekly: daysRow(l.Days), Every: l.Days.Every, Times: timesRow(l.Times)}
		if l.Intro != nil {
			r.Intro = &introRow{Days: l.Intro.For, Weekly: daysRow(l.Intro.Days), Every: l.Intro.Days.Every, Times: timesRow(l.Intro.Times)}
		}
		all = append(all, r)
	}
	return json.Marshal(all)
}

func daysRow(d measuring.Days) (all []int) {
	for _, day := range d.Weekdays {
		all = append(all, int(day))
	}
	return all
}

func timesRow(times []measuring.Window) (all [][3]int) {
	for _, w := range times {
		all = append(all, [3]int{w.From, w.At, w.To})
	}
	return all
}

func linesOf(stored []byte) ([]measuring.Line, error) {
	var rows []lineRow
	if err := json.Unmarshal(stored, &rows); err != nil {
		return nil, fmt.Errorf("read the lines of a schedule: %w", err)
	}
	var lines []measuring.Line
	for _, r := range rows {
		m, ok := vital.ParseMetric(r.Metric)
		if !ok {
			return nil, fault.New(fault.Internal, "a stored schedule has the metric %q, which this program does not know", r.Metric)
		}
		l := measuring.Line{Metric: m, First: r.First, Last: r.Last, Days: daysOf(r.Weekly, r.Every), Times: timesOf(r.Times)}
		if r.Intro != nil {
			l.Intro = &measuring.Intro{For: r.Intro.Days, Days: daysOf(r.Intro.Weekly, r.Intro.Every), Times: timesOf(r.Intro.Times)}
		}
		lines = append(lines, l)
	}
	return lines, nil
}

func daysOf(weekly []int, every int) measuring.Days {
	d := measuring.Days{Every: every}
	for _, day := range weekly {
		d.Weekdays = append(d.Weekdays, time.Weekday(day))
	}
	return d
}

func timesOf(rows [][3]int) (all []measuring.Window) {
	for _, w := range rows {
		all = append(all, measuring.Window{From: w[0], At: w[1], To: w[2]})
	}
	return all
}

const selectSchedules = `
SELECT patient_id, number, effective_from, lines, reason, author_name, created_at FROM measurement_schedule WHERE patient_id = ANY($1) ORDER BY patient_id, number`

const selectPauses = `
SELECT patient_id, uid::text, kind, from_at, to_at, reason, author_name, created_at, ended_at, ended_by FROM measurement_pause WHERE patient_id = ANY($1)
ORDER BY patient_id, from_at, id`

// measuringOf reads the versions and pauses of patients into the given ones.
func measuringOf(ctx context.Context, tx statements, byID map[vital.PatientID]*measuring.History) error {
	ids := make([]int64, 0, len(byID))
	for id := range byID {
		ids = append(ids, int64(id))
	}
	rows, err := tx.Query(ctx, selectSchedules, ids)
	if err != nil {
		return fmt.Errorf("read schedules: %w", err)
	}
	var patient vital.PatientID
	var v measuring.Authored
	var lines []byte
	_, err = pgx.ForEachRow(rows, []any{&patient, &v.Number, &v.EffectiveFrom, &lines, &v.Reason, &v.Author, &v.CreatedAt}, func() error {
		one := v
		one.EffectiveFrom, one.CreatedAt = v.EffectiveFrom.UTC(), v.CreatedAt.UTC()
		var err error
		one.Lines, err = linesOf(lines)
		byID[patient].Versions = append(byID[patient].Versions, one)
		return err
	})
	if err != nil {
		return fmt.Errorf("read schedules: %w", err)
	}
	if rows, err = tx.Query(ctx, selectPauses, ids); err != nil {
		return fmt.Errorf("read pauses: %w", err)
	}
	var b measuring.Break
	var to, ended *time.Time
	_, err = pgx.ForEachRow(rows, []any{&patient, &b.UID, &b.Kind, &b.From, &to, &b.Reason, &b.Author, &b.CreatedAt, &ended, &b.EndedBy}, func() error {
		one := b
		one.From, one.To, one.CreatedAt, one.EndedAt = b.From.UTC(), timeOf(to), b.CreatedAt.UTC(), timeOf(ended)
		byID[patient].Breaks = append(byID[patient].Breaks, one)
		return nil
	})
	if err != nil {
		return fmt.Errorf("read pauses: %w", err)
	}
	return nil
}

// Measuring returns what a patient is to measure. See devices.ScheduleBook.
func (a *App) Measuring(ctx context.Context, actor account.Actor, patient vital.UID) (measuring.History, error) {
	var m measuring.History
	err := a.as(ctx, actor, func(tx pgx.Tx, _ time.Time) (err error) {
		if m.Patient, err = onePatient(ctx, tx, patient); err != nil {
			return err
		}
		return measuringOf(ctx, tx, map[vital.PatientID]*measuring.History{m.Patient.ID: &m})
	})
	return m, err
}

const newestSchedule = `SELECT coalesce(max(number), 0) FROM measurement_schedule WHERE patient_id = $1`

const insertSchedule = `
INSERT INTO measurement_schedule (org_id, patient_id, number, effective_from, lines, reason, author_id, author_name, created_at) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)`

// AddSchedule appends a version. See devices.ScheduleBook.
func (a *App) AddSchedule(ctx context.Context, actor account.Actor, patient vital.PatientID, expected int, s measuring.Authored) (measuring.Authored, error) {
	lines, err := lineRows(s.Lines)
	if err != nil {
		return s, err
	}
	err = a.as(ctx, actor, func(tx pgx.Tx, now time.Time) error {
		var newest int
		if err := tx.QueryRow(ctx, newestSchedule, int64(patient)).Scan(&newest); err != nil {
			return fmt.Errorf("find the newest schedule: %w", err)
		}
		if newest != expected {
			return fault.New(fault.Conflict, "the schedule is at version %d by now, not %d: look at it again before you change it", newest, expected)
		}
		s.Number, s.Author, s.CreatedAt = newest+1, actor.Name, now
		_, err := tx.Exec(ctx, insertSchedule, int32(actor.Org), int64(patient), s.Number, s.EffectiveFrom, lines, s.Reason, nullID(actor.Staff), s.Author, now)
		if violated(err, "measurement_schedule_pkey") {
			return fault.New(fault.Conflict, "somebody changed this schedule in the same moment: look at it again")
		}
		if err != nil {
			return fmt.Errorf("add version %d of a schedule: %w", s.Number, err)
		}
		return scheduleChanged(ctx, tx, actor, patient, fmt.Sprintf("schedule version %d", s.Number), s.EffectiveFrom.UTC().Format(time.RFC3339), now)
	})
	return s, err
}

// scheduleChanged writes down who changed what is expected of the patient, and owes them the word.
func scheduleChanged(ctx context.Context, tx pgx.Tx, actor account.Actor, patient vital.PatientID, object, detail string, now time.Time) error {
	told := push.Notice{
		Org: actor.Org, Patient: patient, Topic: push.ScheduleChanged, Dedup: fmt.Sprintf("%d %s %s", patient, object, detail), CreatedAt: now, Audience: push.ToPatient,
	}
	if err := notify(ctx, tx, told); err != nil {
		return err
	}
	return writeAudit(ctx, tx, account.Audit{Org: actor.Org, At: now, Actor: actor, Action: string(account.SetSchedule), Patient: patient, Object: object, Detail: "from " + detail})
}

const insertPause = `
INSERT INTO measurement_pause (org_id, uid, patient_id, kind, from_at, to_at, reason, author_id, author_name, created_at) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)`
const endPause = `
UPDATE measurement_pause SET ended_at = $3, ended_by = $4 WHERE patient_id = $1 AND uid = $2 AND ended_at IS NULL`

// SavePause stores a new pause, or that one has ended. See devices.ScheduleBook.
func (a *App) SavePause(ctx context.Context, actor account.Actor, patient vital.PatientID, b measuring.Break) (measuring.Break, error) {
	err := a.as(ctx, actor, func(tx pgx.Tx, now time.Time) error {
		if !b.EndedAt.IsZero() {
			tag, err := tx.Exec(ctx, endPause, int64(patient), string(b.UID), b.EndedAt, b.EndedBy)
			if err != nil {
				return fmt.Errorf("end pause %s: %w", b.UID, err)
			}
			if tag.RowsAffected() == 0 {
				return fault.New(fault.Conflict, "this pause is over already")
			}
			return scheduleChanged(ctx, tx, actor, patient, "pause "+string(b.UID)+" ended", b.EndedAt.UTC().Format(time.RFC3339), now)
		}
		b.UID, b.Author, b.CreatedAt = newUID(), actor.Name, now
		_, err := tx.Exec(ctx, insertPause, int32(actor.Org), string(b.UID), int64(patient), string(b.Kind), b.From, nullTime(b.To), b.Reason, nullID(actor.Staff), b.Author, now)
		if err != nil {
			return fmt.Errorf("add a pause: %w", err)
		}
		return scheduleChanged(ctx, tx, actor, patient, "pause "+string(b.UID), b.From.UTC().Format(time.RFC3339), now)
	})
	return b, err
}

// marksOf are the moments at which readings were measured, one for each minute: a strip asks whether, not how often.
const marksOf = `
SELECT DISTINCT a.patient_id, r.metric, date_trunc('minute', r.measured_at)
FROM (SELECT DISTINCT patient_id, sensor_id FROM assignment WHERE patient_id = ANY(@patients)) a
JOIN %s r ON r.sensor_id = a.sensor_id AND r.metric = ANY(@metrics) AND r.sent_at BETWEEN @low AND @high AND r.patient_id = a.patient_id
WHERE r.measured_at >= @from AND r.measured_at < @to
ORDER BY 1, 3, 2`

// marksBetween reads when what was measured of patients. Windows of a schedule begin and end at whole minutes, so a minute is
// enough to know.
func marksBetween(ctx context.Context, tx statements, table string, q measuring.MarkQuery) (map[vital.PatientID][]measuring.Mark, error) {
	rows, err := tx.Query(ctx, fmt.Sprintf(marksOf, table), markArgs(q))
	if err != nil {
		return nil, fmt.Errorf("read when was measured: %w", err)
	}
	return collectMarks(rows)
}

// collectMarks reads rows of patient, metric and time.
func collectMarks(rows pgx.Rows) (map[vital.PatientID][]measuring.Mark, error) {
	all := map[vital.PatientID][]measuring.Mark{}
	var patient vital.PatientID
	var m measuring.Mark
	_, err := pgx.ForEachRow(rows, []any{&patient, &m.Metric, &m.At}, func() error {
		all[patient] = append(all[patient], measuring.Mark{Metric: m.Metric, At: m.At.UTC()})
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("read when something came: %w", err)
	}
	return all, nil
}

// Measured returns when readings were measured, to the minute. See devices.ScheduleBook.
func (a *App) Measured(ctx context.Context, actor account.Actor, q measuring.MarkQuery) (map[vital.PatientID][]measuring.Mark, error) {
	var marks map[vital.PatientID][]measuring.Mark
	err := a.as(ctx, actor, func(tx pgx.Tx, _ time.Time) (err error) {
		marks, err = marksBetween(ctx, tx, readingSeen, q)
		return err
	})
	return marks, err
}

const zonesOf = `SELECT id, zone, state FROM patient WHERE id = ANY($1)`

// Plans returns what is expected of patients, for loops of the process role. Whoever has no schedule has an empty plan.
func (w *Work) Plans(ctx context.Context, patients []vital.PatientID) (map[vital.PatientID]measuring.Plan, error) {
	plans := map[vital.PatientID]measuring.Plan{}
	err := pgx.BeginTxFunc(ctx, w.pool, pgx.TxOptions{AccessMode: pgx.ReadOnly}, func(tx pgx.Tx) error {
		rows, err := tx.Query(ctx, zonesOf, numbersOf(patients))
		if err != nil {
			return fmt.Errorf("read where patients live: %w", err)
		}
		byID := map[vital.PatientID]*measuring.History{}
		var p account.Patient
		if _, err := pgx.ForEachRow(rows, []any{&p.ID, &p.Zone, &p.State}, func() error {
			byID[p.ID] = &measuring.History{Patient: p}
			return nil
		}); err != nil {
			return fmt.Errorf("read where patients live: %w", err)
		}
		if err := measuringOf(ctx, tx, byID); err != nil {
			return err
		}
		for id, m := range byID {
			plans[id] = m.Plan()
		}
		return nil
	})
	return plans, classify(err)
}

// Marks returns when what was measured, to the minute, for loops of the process role.
func (w *Work) Marks(ctx context.Context, q measuring.MarkQuery) (map[vital.PatientID][]measuring.Mark, error) {
	var marks map[vital.PatientID][]measuring.Mark
	err := pgx.BeginTxFunc(ctx, w.pool, pgx.TxOptions{AccessMode: pgx.ReadOnly}, func(tx pgx.Tx) (err error) {
		marks, err = marksBetween(ctx, tx, "reading", q)
		return err
	})
	return marks, classify(err)
}

func numbersOf(patients []vital.PatientID) []int64 {
	ids := make([]int64, len(patients))
	for i, p := range patients {
		ids[i] = int64(p)
	}
	return ids
}
