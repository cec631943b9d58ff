package postgres

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"hale/account"
	"hale/fault"
	"hale/safe"
	"hale/vital"
)

// eraseLease is how long a process that falls silent keeps an erasure: the purge of a long stream takes a while.
const eraseLease = 5 * time.Minute

// claimErasure takes a request that is due, and marks it as being carried out. From then on it is another version: who decides
// to withdraw it in the same moment comes too late. One whose readings are just being filed anew waits for the end of that, but not
// for one that says itself that it stands still (saysProblem): nobody may ever mend it. A red alert of somebody under care, which
// came after the confirmation, is closed by a person first.
const claimErasure = `
UPDATE erasure SET lease_until = $1::timestamptz + $2::interval, claim = claim + 1, version = CASE WHEN state = 'erasing' THEN version ELSE version + 1 END, state = 'erasing', step = CASE WHEN state = 'kept' THEN 'cut off' ELSE step END,
    stream_seq = CASE WHEN state = 'kept' THEN NULL ELSE stream_seq END
WHERE id = (SELECT e.id FROM erasure e WHERE e.due_at <= $1 AND e.lease_until <= $1 AND e.state IN ('confirmed', 'erasing', 'kept')
        AND (e.step <> '' OR NOT EXISTS (SELECT FROM refile f JOIN erased_people(e.org_id, e.patient_id) x ON x IN (f.source_id, f.target_id) WHERE f.org_id = e.org_id AND f.state IN ('asked', 'running') AND f.problem = '')
        AND NOT EXISTS (SELECT FROM episode x JOIN patient p ON p.org_id = x.org_id AND p.id = x.patient_id
            WHERE x.org_id = e.org_id AND x.patient_id = e.patient_id AND x.state <> 'closed' AND x.level >= 2 AND p.state IN ('active', 'ending')))
    ORDER BY e.lease_until, e.due_at, e.id LIMIT 1 FOR NO KEY UPDATE SKIP LOCKED)
RETURNING org_id, uid::text`

// ClaimErasure takes a request that is due. See safe.EraseStore.
func (w *Work) ClaimErasure(ctx context.Context, now time.Time) (task safe.EraseTask, ok bool, err error) {
	err = pgx.BeginFunc(ctx, w.pool, func(tx pgx.Tx) error {
		var org int32
		var uid vital.UID
		if err := tx.QueryRow(ctx, claimErasure, now, eraseLease).Scan(&org, &uid); err != nil {
			return err
		}
		task, err = eraseTask(ctx, tx, uid, now)
		return err
	})
	if errors.Is(err, pgx.ErrNoRows) {
		return task, false, nil
	}
	if err != nil {
		return task, false, classify(fmt.Errorf("look for erasures that are due: %w", err))
	}
	return task, true, nil
}

const selectTask = `SELECT ` + erasureColumns + `, e.step, e.stream, coalesce(e.stream_seq, 0), e.claim` + erasureTables + `WHERE e.uid = $2`

func eraseTask(ctx context.Context, tx pgx.Tx, uid vital.UID, now time.Time) (safe.EraseTask, error) {
	rows, err := tx.Query(ctx, selectTask, now, string(uid))
	if err != nil {
		return safe.EraseTask{}, err
	}
	return pgx.CollectExactlyOneRow(rows, func(row pgx.CollectableRow) (safe.EraseTask, error) {
		var t safe.EraseTask
		var end int64
		var err error
		t.Erasure, err = scanErasure(row, &t.Step, &t.Stream, &end, &t.Claim)
		t.End = uint64(end)
		return t, err
	})
}

// ReleaseErasure gives the task back: who was let go last is claimed last. See safe.EraseStore.
func (w *Work) ReleaseErasure(ctx context.Context, t safe.EraseTask, until time.Time) error {
	return noteOf(ctx, w.pool, t, `lease_until = $3`, until)
}

// noteOf notes something of a request that this process is at. Another may have taken it over, after this one was held up for
// longer than its lease: then nothing is noted, and the transaction around it comes to nothing.
func noteOf(ctx context.Context, in pieces, t safe.EraseTask, set string, args ...any) error {
	done, err := in.Exec(ctx, `UPDATE erasure SET `+set+` WHERE id = $1 AND claim = $2`, append([]any{t.ID, t.Claim}, args...)...)
	if err != nil {
		return classify(fmt.Errorf("note how far the erasure is: %w", err))
	}
	if done.RowsAffected() == 0 {
		return fault.New(fault.Conflict, "another process has taken this erasure over, after this one was held up: it goes on there")
	}
	return nil
}

const eraseRows = `SELECT erased_from, erased_rows FROM erase_rows($1, $2, $3, $4, $5)`

// erasePhase carries out one phase, and returns how many rows it touched. The partitions that judge the person wait meanwhile.
func erasePhase(ctx context.Context, tx pgx.Tx, t safe.EraseTask, phase string, held []int, now time.Time) (rows int64, err error) {
	found, err := tx.Query(ctx, eraseRows, int32(t.Org), t.ID, phase, held, now)
	if err != nil {
		return 0, fmt.Errorf("erase %s: %w", phase, err)
	}
	var table string
	var n int64
	if _, err := pgx.ForEachRow(found, []any{&table, &n}, func() error { rows += n; return nil }); err != nil {
		return 0, fmt.Errorf("erase %s: %w", phase, err)
	}
	return rows, nil
}

// CutOff ends what could bring in something new. See safe.EraseStore.
func (w *Work) CutOff(ctx context.Context, t safe.EraseTask, now time.Time) error {
	return classify(pgx.BeginFunc(ctx, w.pool, func(tx pgx.Tx) error { return cutOff(ctx, tx, t, now) }))
}

// cutOff waits for a file that just comes in while it holds nothing yet: the batch holds the file and people, and everybody's
// partitions would wait for it with the erasure.
func cutOff(ctx context.Context, tx pgx.Tx, t safe.EraseTask, now time.Time) error {
	if err := lockIdentities(ctx, tx, t.Org); err != nil {
		return err
	}
	if _, err := erasePhase(ctx, tx, t, phaseCut, nil, now); err != nil {
		return err
	}
	if err := settleRefiles(ctx, tx, t, now); err != nil {
		return err
	}
	if err := noteOf(ctx, tx, t, `step = 'cut off', stream_seq = NULL`); err != nil {
		return err
	}
	return writeAudit(ctx, tx, account.Audit{Org: t.Org, At: now, Action: "begin erasure", Object: "erasure " + string(t.UID)})
}

// AwaitStream notes what the cursors have to pass. See safe.EraseStore.
func (w *Work) AwaitStream(ctx context.Context, t safe.EraseTask, stream string, end uint64) error {
	return noteOf(ctx, w.pool, t, `stream = $3, stream_seq = $4`, stream, int64(end))
}

// DeleteDue removes what is due. What is much goes before the transaction that removes the rest, in pieces for which nobody
// waits; what is found in the audit is looked at again there. See safe.EraseStore.
func (w *Work) DeleteDue(ctx context.Context, t safe.EraseTask, now time.Time) error {
	if err := eraseReadings(ctx, w.pool, t, now); err != nil {
		return classify(err)
	}
	found, err := findInAudit(ctx, w.pool, t, now)
	if err != nil {
		return classify(err)
	}
	return classify(pgx.BeginFunc(ctx, w.pool, func(tx pgx.Tx) error { return deleteDue(ctx, tx, t, newUID(), found, now) }))
}

// deleteDue is one transaction, so that nobody sees half a person: the entry in the ledger first, which needs what is deleted
// then, the audit next, which needs the names, and who the person is last.
func deleteDue(ctx context.Context, tx pgx.Tx, t safe.EraseTask, entry vital.UID, found inAudit, now time.Time) error {
	due := t.Due(now)
	if err := enterLedger(ctx, tx, t, entry, due, now); err != nil {
		return err
	}
	held, err := judgedBy(ctx, tx, t)
	if err != nil {
		return err
	}
	var blanked, rows int64
	if identity, looks := blanks(due); identity || looks {
		const blank = `SELECT blank_audit($1, $2, $3, $4, $5, $6, $7)`
		if err := tx.QueryRow(ctx, blank, int32(t.Org), t.ID, looks, found.rows, found.seen, string(newUID()), now).Scan(&blanked); err != nil {
			return fmt.Errorf("blank the audit: %w", err)
		}
	}
	phases := make([]string, 0, len(due)+1)
	for _, c := range due {
		phases = append(phases, string(c))
	}
	if len(due) == t.Open() {
		phases = append(phases, phaseLast)
	}
	for _, phase := range phases {
		n, err := erasePhase(ctx, tx, t, phase, held, now)
		if err != nil {
			return err
		}
		rows += n
	}
	if err := noteOf(ctx, tx, t, `step = 'deleted', stream_seq = NULL, executed_at = $3`, now); err != nil {
		return err
	}
	return writeAudit(ctx, tx, account.Audit{
		Org: t.Org, At: now, Action: "erase", Object: "erasure " + string(t.UID), Detail: fmt.Sprintf("%s: %d rows, %d audit rows blanked", strings.Join(phases, ", "), rows, blanked),
	})
}

const insertLedger = `
INSERT INTO erasure_ledger (org_id, uid, erasure_uid, number, patient_id, patient_hash, classes, kept, spans, also, at)
SELECT e.org_id, $2, e.uid, e.number, e.patient_id, e.patient_hash, $3, $4, coalesce((
    SELECT jsonb_agg(jsonb_strip_nulls(jsonb_build_object('sensor', n.uid, 'from', to_char(s.from_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'), 'to', to_char(s.to_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'))))
    FROM erased_span s JOIN sensor n ON n.org_id = s.org_id AND n.id = s.sensor_id WHERE s.org_id = e.org_id AND s.erasure_id = e.id), '[]'), coalesce((
    SELECT jsonb_agg(jsonb_build_object('row', p.id, 'hash', encode(sha256(convert_to(p.uid::text || ' ' || o.uid::text, 'UTF8')), 'hex')))
    FROM erased_people(e.org_id, e.patient_id) x JOIN patient p ON p.org_id = e.org_id AND p.id = x JOIN org o ON o.id = p.org_id WHERE p.id <> e.patient_id AND p.erased_at IS NULL), '[]'), $5
FROM erasure e WHERE e.id = $1`

func enterLedger(ctx context.Context, tx pgx.Tx, t safe.EraseTask, entry vital.UID, due []safe.Class, now time.Time) error {
	names := make([]string, len(due))
	for i, c := range due {
		names[i] = string(c)
	}
	kept := []safe.ErasureItem{}
	for _, i := range t.Items {
		if i.DoneAt.IsZero() && i.Until.After(now) {
			kept = append(kept, i)
		}
	}
	text, err := json.Marshal(kept)
	if err != nil {
		return fault.Wrap(fault.Internal, err, "write down what is kept")
	}
	if _, err := tx.Exec(ctx, insertLedger, t.ID, string(entry), strings.Join(names, ","), text, now); err != nil {
		return fmt.Errorf("enter the erasure in the ledger: %w", err)
	}
	return nil
}

// The row of the person is gone by now: the ledger knows its number. Their devices are those that speak for their sensors.
const selectTraces = `
SELECT ARRAY(SELECT DISTINCT l.patient_id FROM erasure_ledger l WHERE l.erasure_uid = e.uid),
    ARRAY(SELECT DISTINCT s.sensor_id FROM erased_span s WHERE s.org_id = e.org_id AND s.erasure_id = e.id),
    ARRAY(SELECT n.device_id FROM erased_span s JOIN sensor n ON n.org_id = s.org_id AND n.id = s.sensor_id WHERE s.org_id = e.org_id AND s.erasure_id = e.id AND n.device_id IS NOT NULL
          UNION SELECT g.device_id FROM erased_span s JOIN gateway_grant g ON g.org_id = s.org_id AND g.sensor_id = s.sensor_id WHERE s.org_id = e.org_id AND s.erasure_id = e.id)
FROM erasure e WHERE e.id = $1`

// Traces returns by what the person is known in the stream. See safe.EraseStore.
func (w *Work) Traces(ctx context.Context, t safe.EraseTask) (safe.Traces, error) {
	var traces safe.Traces
	if err := w.pool.QueryRow(ctx, selectTraces, t.ID).Scan(&traces.Patients, &traces.Sensors, &traces.Devices); err != nil {
		return traces, classify(fmt.Errorf("look for the person's traces: %w", err))
	}
	return traces, nil
}

// Purged notes that the stream was purged. See safe.EraseStore.
func (w *Work) Purged(ctx context.Context, t safe.EraseTask) error {
	return noteOf(ctx, w.pool, t, `step = 'purged'`)
}

// lockNotAvailable is the SQLSTATE of what was not to be waited for any longer.
const lockNotAvailable = "55P03"

// rewriteMost is the largest table or partition that is written anew while others wait for it, in bytes: a second or two [J].
const rewriteMost = 128 << 20

// rewriteTries is how often a table is asked for that others use, a fifth of a second each and as long between them [J].
const rewriteTries = 25

// RewriteErased writes the tables anew that the erasure touched. See safe.EraseStore.
func (w *Work) RewriteErased(ctx context.Context, t safe.EraseTask) (left []string, err error) {
	rows, err := w.pool.Query(ctx, `SELECT touched_by_erasure($1, $2)`, int32(t.Org), t.ID)
	if err != nil {
		return nil, classify(fmt.Errorf("find the tables to write anew: %w", err))
	}
	tables, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		return nil, classify(fmt.Errorf("find the tables to write anew: %w", err))
	}
	for _, table := range tables { // each in a transaction of its own: nobody waits for all of them
		done, err := w.rewrite(ctx, table)
		if err != nil {
			return left, classify(fmt.Errorf("write table %s anew: %w", table, err))
		}
		if !done {
			left = append(left, table)
		}
		if err := stayAt(ctx, w.pool, t); err != nil {
			return left, err
		}
	}
	return left, nil
}

func (w *Work) rewrite(ctx context.Context, table string) (done bool, err error) {
	tick := time.NewTicker(200 * time.Millisecond)
	defer tick.Stop()
	for range rewriteTries {
		err = w.pool.QueryRow(ctx, `SELECT rewrite_erased($1, $2)`, int64(rewriteMost), table).Scan(&done)
		var refused *pgconn.PgError
		if !errors.As(err, &refused) || refused.Code != lockNotAvailable {
			return done, err
		}
		select {
		case <-ctx.Done():
			return false, ctx.Err()
		case <-tick.C:
		}
	}
	return false, err
}

const finishErasure = `state = $3, due_at = $4, receipt = $5, step = 'purged', lease_until = '-infinity', version = version + 1`

// FinishErasure keeps the receipt. See safe.EraseStore.
func (w *Work) FinishErasure(ctx context.Context, t safe.EraseTask, now time.Time, receipt func(string, *safe.Erasure, safe.Policy) ([]byte, error)) error {
	return classify(pgx.BeginFunc(ctx, w.pool, func(tx pgx.Tx) error {
		task, err := eraseTask(ctx, tx, t.UID, now)
		if err != nil {
			return fmt.Errorf("load erasure: %w", err)
		}
		policy, err := policyFrom(ctx, tx, `SELECT $1::int`, int32(task.Org))
		if err != nil {
			return err
		}
		var organisation string
		if err := tx.QueryRow(ctx, `SELECT name FROM org WHERE id = $1`, int32(task.Org)).Scan(&organisation); err != nil {
			return fmt.Errorf("load the organisation: %w", err)
		}
		text, err := receipt(organisation, &task.Erasure, policy)
		if err != nil {
			return err
		}
		state, next := safe.ErasureDone, task.Next()
		if !next.IsZero() {
			state = safe.ErasureKept
		}
		if err := noteOf(ctx, tx, t, finishErasure, string(state), nullTime(next), string(text)); err != nil {
			return err
		}
		return writeAudit(ctx, tx, account.Audit{Org: task.Org, At: now, Action: "finish erasure", Object: "erasure " + string(task.UID), Detail: string(state)})
	}))
}

const selectLedger = `
SELECT l.uid::text, o.uid::text, l.erasure_uid::text, l.number, l.patient_id, l.patient_hash, l.classes, l.kept, l.spans, l.also, l.at
FROM erasure_ledger l JOIN org o ON o.id = l.org_id ORDER BY l.id`

// LedgerLength counts what was carried out. See safe.EraseStore.
func (w *Work) LedgerLength(ctx context.Context) (int64, error) {
	var n int64
	if err := w.pool.QueryRow(ctx, `SELECT count(*) FROM erasure_ledger`).Scan(&n); err != nil {
		return 0, classify(fmt.Errorf("count the entries of the ledger: %w", err))
	}
	return n, nil
}

// Ledger returns what was carried out. See safe.EraseStore.
func (w *Work) Ledger(ctx context.Context) ([]safe.LedgerEntry, error) {
	rows, err := w.pool.Query(ctx, selectLedger)
	if err != nil {
		return nil, classify(fmt.Errorf("read the ledger of erasures: %w", err))
	}
	list, err := pgx.CollectRows(rows, scanLedger)
	if err != nil {
		return nil, classify(fmt.Errorf("read the ledger of erasures: %w", err))
	}
	return list, nil
}

func scanLedger(row pgx.CollectableRow) (safe.LedgerEntry, error) {
	var e safe.LedgerEntry
	var classes string
	var kept, spans, also []byte
	err := row.Scan(&e.UID, &e.Org, &e.Erasure, &e.Number, &e.Patient, (*[]byte)(&e.Hash), &classes, &kept, &spans, &also, &e.At)
	if err != nil {
		return e, err
	}
	e.At = e.At.UTC()
	for name := range strings.SplitSeq(classes, ",") {
		e.Classes = append(e.Classes, safe.Class(name))
	}
	return e, errors.Join(json.Unmarshal(kept, &e.Kept), json.Unmarshal(spans, &e.Spans), json.Unmarshal(also, &e.Also))
}
