package postgres

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"hale/account"
	"hale/fault"
	"hale/safe"
	"hale/vital"
)

const missingErasures = `
SELECT u.uid::text FROM unnest($1::uuid[], $2::uuid[]) u (uid, org) JOIN org o ON o.uid = u.org
WHERE NOT EXISTS (SELECT FROM erasure_ledger l WHERE l.uid = u.uid)`

// MissingErasures returns those of the entries that were not carried out in this record: it was restored from a backup that
// is older than they are. Entries of organisations that are not there have nothing to erase.
func (w *Work) MissingErasures(ctx context.Context, entries []safe.LedgerEntry) ([]safe.LedgerEntry, error) {
	uids, orgs := make([]string, len(entries)), make([]string, len(entries))
	for i, e := range entries {
		uids[i], orgs[i] = string(e.UID), string(e.Org)
	}
	rows, err := w.pool.Query(ctx, missingErasures, uids, orgs)
	if err != nil {
		return nil, classify(fmt.Errorf("compare the ledger of erasures: %w", err))
	}
	names, err := pgx.CollectRows(rows, pgx.RowTo[vital.UID])
	if err != nil {
		return nil, classify(fmt.Errorf("compare the ledger of erasures: %w", err))
	}
	lacks := make(map[vital.UID]bool, len(names))
	for _, n := range names {
		lacks[n] = true
	}
	var missing []safe.LedgerEntry
	for _, e := range entries {
		if lacks[e.UID] {
			missing = append(missing, e)
		}
	}
	return missing, nil
}

// Replayed is what became of an entry of the ledger in a restored record.
type Replayed string

// What becomes of an entry.
const (
	ReplayErased  Replayed = "erased"        // the person was there, and is not any more
	ReplayNobody  Replayed = "nobody"        // the record is older than the person
	ReplayAlready Replayed = "already"       // it was carried out in this record
	ReplayNoOrg   Replayed = "no such place" // the record is older than the organisation
)

const findErased = `
SELECT coalesce((SELECT e.patient_id FROM erasure e WHERE e.org_id = $1 AND e.uid = $2 AND e.patient_id IS NOT NULL),
    (SELECT p.id FROM patient p JOIN org o ON o.id = p.org_id WHERE p.org_id = $1 AND p.id = $3 AND sha256(convert_to(p.uid::text || ' ' || o.uid::text, 'UTF8')) = $4), 0)`

// The request may be there, as it stood when the backup was taken, or not yet.
const replayRequest = `
INSERT INTO erasure AS e (org_id, uid, number, patient_id, patient_hash, state, step, asked_role, asked_at, decided_at, due_at)
VALUES ($1, $2, CASE WHEN EXISTS (SELECT FROM erasure x WHERE x.org_id = $1 AND x.number = $3) THEN (SELECT max(x.number) + 1 FROM erasure x WHERE x.org_id = $1) ELSE $3 END,
    nullif($4, 0), CASE WHEN $4 <> 0 THEN $5::bytea END, CASE WHEN $4 = 0 THEN 'done' ELSE 'erasing' END, 'cut off', '', $6, $6, CASE WHEN $4 <> 0 THEN $7::timestamptz END)
ON CONFLICT (uid) DO UPDATE SET state = excluded.state, step = excluded.step, patient_id = excluded.patient_id, patient_hash = excluded.patient_hash,
    decided_at = coalesce(e.decided_at, excluded.decided_at), due_at = excluded.due_at, stream_seq = NULL, lease_until = '-infinity'
RETURNING id, claim`

const replayItem = `
INSERT INTO erasure_item (org_id, erasure_id, class, keep_until, linked, ground) VALUES ($1, $2, $3, $4, $5, $6)
ON CONFLICT (org_id, erasure_id, class) DO UPDATE SET keep_until = excluded.keep_until, linked = excluded.linked, ground = excluded.ground`

const replaySpan = `
INSERT INTO erased_span (org_id, erasure_id, sensor_id, from_at, to_at, erased_at)
SELECT $1, $2, n.id, $4, $5, $6 FROM sensor n WHERE n.org_id = $1 AND n.uid = $3
  AND NOT EXISTS (SELECT FROM erased_span s WHERE s.org_id = $1 AND s.erasure_id = $2 AND s.sensor_id = n.id AND s.from_at = $4)`

const replayNobody = `
INSERT INTO erasure_ledger (org_id, uid, erasure_uid, number, patient_id, patient_hash, classes, kept, spans, also, at) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)`

// ReplayErasure carries out an entry of the ledger again, in a record that nobody serves. What it leaves to do, the stream
// and the free space of the tables, is done by the first process that serves it.
func (o Operator) ReplayErasure(ctx context.Context, entry safe.LedgerEntry) (Replayed, error) {
	outcome := ReplayErased
	err := o.do(ctx, func(tx pgx.Tx, now time.Time) error {
		if _, err := tx.Exec(ctx, `SET LOCAL ROLE `+RoleMigrate); err != nil {
			return fault.Wrap(fault.Forbidden, err, "replay as a superuser or a member of %s", RoleMigrate)
		}
		var org vital.OrgID
		var done bool
		err := tx.QueryRow(ctx, `SELECT o.id, EXISTS (SELECT FROM erasure_ledger l WHERE l.uid = $2) FROM org o WHERE o.uid = $1`, string(entry.Org), string(entry.UID)).Scan(&org, &done)
		switch {
		case errors.Is(err, pgx.ErrNoRows):
			outcome = ReplayNoOrg
			return nil
		case err != nil:
			return fmt.Errorf("look for the organisation: %w", err)
		case done:
			outcome = ReplayAlready
			return nil
		}
		outcome, err = replay(ctx, tx, org, entry, now)
		return err
	})
	if err != nil {
		return "", fmt.Errorf("replay request %d: %w", entry.Number, err)
	}
	return outcome, nil
}

func replay(ctx context.Context, tx pgx.Tx, org vital.OrgID, entry safe.LedgerEntry, now time.Time) (Replayed, error) {
	var person, id int64
	var claim int
	if err := tx.QueryRow(ctx, findErased, int32(org), string(entry.Erasure), int64(entry.Patient), []byte(entry.Hash)).Scan(&person); err != nil {
		return "", fmt.Errorf("look for the person: %w", err)
	}
	person, err := rejoin(ctx, tx, org, person, entry)
	if err != nil {
		return "", err
	}
	if person != 0 {
		// Another open request of the person, by somebody who served the restored record, is overtaken.
		const overtake = `UPDATE erasure SET state = 'withdrawn', due_at = NULL WHERE org_id = $1 AND patient_id = $2 AND uid <> $3 AND state NOT IN ('refused', 'withdrawn', 'done')`
		if _, err := tx.Exec(ctx, overtake, int32(org), person, string(entry.Erasure)); err != nil {
			return "", fmt.Errorf("overtake other requests: %w", err)
		}
	}
	err = tx.QueryRow(ctx, replayRequest, int32(org), string(entry.Erasure), entry.Number, person, []byte(entry.Hash), entry.At, now).Scan(&id, &claim)
	if err != nil {
		return "", fmt.Errorf("write the request: %w", err)
	}
	for _, s := range entry.Spans {
		if _, err := tx.Exec(ctx, replaySpan, int32(org), id, s.Sensor, s.From, nullTime(s.To), entry.At); err != nil {
			return "", fmt.Errorf("note what the person wore: %w", err)
		}
	}
	if err := giveTheirTime(ctx, tx, org, id, person, &entry, now); err != nil {
		return "", err
	}
	if person == 0 {
		if slices.Contains(entry.Classes, safe.ClassReadings) {
			if err := eraseElsewhere(ctx, tx, safe.EraseTask{Erasure: safe.Erasure{ID: id, Org: org}, Claim: claim}, now); err != nil {
				return "", err
			}
		}
		return ReplayNobody, enterReplayed(ctx, tx, org, entry, now)
	}
	return ReplayErased, eraseAgain(ctx, tx, org, id, entry, now)
}

const findRecord = `SELECT p.id FROM patient p JOIN org o ON o.id = p.org_id WHERE p.org_id = $1 AND p.id = $2 AND sha256(convert_to(p.uid::text || ' ' || o.uid::text, 'UTF8')) = $3`

// rejoin merges the person's records again that the backup has apart, and returns the one that stands for all; 0: it has none.
func rejoin(ctx context.Context, tx pgx.Tx, org vital.OrgID, person int64, entry safe.LedgerEntry) (int64, error) {
	for _, a := range entry.Also {
		var id int64
		err := tx.QueryRow(ctx, findRecord, int32(org), int64(a.Patient), []byte(a.Hash)).Scan(&id)
		if errors.Is(err, pgx.ErrNoRows) || err == nil && id == person {
			continue
		}
		if err != nil {
			return 0, fmt.Errorf("look for the person's other record: %w", err)
		}
		if person == 0 {
			person = id
			continue
		}
		if _, err := tx.Exec(ctx, markMerged, int32(org), id, person); err != nil {
			return 0, fmt.Errorf("join the person's records: %w", err)
		}
	}
	return person, nil
}

func enterReplayed(ctx context.Context, tx pgx.Tx, org vital.OrgID, entry safe.LedgerEntry, now time.Time) error {
	names := make([]string, len(entry.Classes))
	for i, c := range entry.Classes {
		names[i] = string(c)
	}
	kept, err := json.Marshal(entry.Kept)
	if err != nil {
		return fault.Wrap(fault.Internal, err, "write down what is kept")
	}
	spans, err := json.Marshal(entry.Spans)
	if err != nil {
		return fault.Wrap(fault.Internal, err, "write down what was worn")
	}
	also, err := json.Marshal(append([]safe.ErasedRecord{}, entry.Also...))
	if err != nil {
		return fault.Wrap(fault.Internal, err, "write down which records were theirs")
	}
	_, err = tx.Exec(ctx, replayNobody, int32(org), string(entry.UID), string(entry.Erasure), entry.Number, int64(entry.Patient), []byte(entry.Hash), strings.Join(names, ","), kept, spans, also, entry.At)
	if err != nil {
		return fmt.Errorf("enter the erasure in the ledger: %w", err)
	}
	return writeAudit(ctx, tx, account.Audit{Org: org, At: now, Actor: account.Actor{Name: "operator"}, Action: "replay erasure", Object: "erasure " + string(entry.Erasure), Detail: string(ReplayNobody)})
}

func eraseAgain(ctx context.Context, tx pgx.Tx, org vital.OrgID, id int64, entry safe.LedgerEntry, now time.Time) error {
	items := make([]safe.ErasureItem, 0, len(entry.Classes)+len(entry.Kept))
	for _, c := range entry.Classes {
		items = append(items, safe.ErasureItem{Class: c})
	}
	for _, i := range append(items, entry.Kept...) {
		if _, err := tx.Exec(ctx, replayItem, int32(org), id, string(i.Class), nullTime(i.Until), i.Linked, i.Ground); err != nil {
			return fmt.Errorf("write the decision on %s: %w", i.Class, err)
		}
	}
	task, err := eraseTask(ctx, tx, entry.Erasure, now)
	if err != nil {
		return fmt.Errorf("load the request: %w", err)
	}
	if err := cutOff(ctx, tx, task, now); err != nil {
		return err
	}
	if err := eraseReadings(ctx, tx, task, now); err != nil {
		return err
	}
	if err := deleteDue(ctx, tx, task, entry.UID, inAudit{}, now); err != nil {
		return err
	}
	return writeAudit(ctx, tx, account.Audit{Org: org, At: now, Actor: account.Actor{Name: "operator"}, Action: "replay erasure", Object: "erasure " + string(entry.Erasure), Detail: string(ReplayErased)})
}

// Erasures returns the requests of an organisation, the newest first, without names. An unknown organisation is
// fault.NotFound. The look is audited.
func (o Operator) Erasures(ctx context.Context, organisation string) ([]safe.Erasure, error) {
	var list []safe.Erasure
	err := o.do(ctx, func(tx pgx.Tx, now time.Time) error {
		org, _, err := namedOrg(ctx, tx, organisation)
		if err != nil {
			return err
		}
		rows, err := tx.Query(ctx, `SELECT `+erasureColumns+erasureTables+`WHERE e.org_id = $2 ORDER BY e.number DESC`, now, int32(org))
		if err != nil {
			return fmt.Errorf("list erasures: %w", err)
		}
		if list, err = pgx.CollectRows(rows, func(row pgx.CollectableRow) (safe.Erasure, error) { return scanErasure(row) }); err != nil {
			return fmt.Errorf("list erasures: %w", err)
		}
		return writeAudit(ctx, tx, account.Audit{Org: org, At: now, Actor: account.Actor{Name: "operator"}, Action: "list erasures", Object: "organisation"})
	})
	return list, err
}

// auditEverywhere writes what an operator did to all organisations at once, in each.
func auditEverywhere(ctx context.Context, tx pgx.Tx, now time.Time, action string) error {
	rows, err := tx.Query(ctx, `SELECT id FROM org ORDER BY id`)
	if err != nil {
		return fmt.Errorf("list the organisations: %w", err)
	}
	orgs, err := pgx.CollectRows(rows, pgx.RowTo[int32])
	if err != nil {
		return fmt.Errorf("list the organisations: %w", err)
	}
	for _, org := range orgs {
		if err := writeAudit(ctx, tx, account.Audit{Org: vital.OrgID(org), At: now, Actor: account.Actor{Name: "operator"}, Action: action, Object: "organisation"}); err != nil {
			return err
		}
	}
	return nil
}

// ErasureLedger returns what was carried out, the oldest first. The look is audited.
func (o Operator) ErasureLedger(ctx context.Context) ([]safe.LedgerEntry, error) {
	var list []safe.LedgerEntry
	err := o.do(ctx, func(tx pgx.Tx, now time.Time) error {
		rows, err := tx.Query(ctx, selectLedger)
		if err != nil {
			return fmt.Errorf("read the ledger of erasures: %w", err)
		}
		if list, err = pgx.CollectRows(rows, scanLedger); err != nil {
			return fmt.Errorf("read the ledger of erasures: %w", err)
		}
		return auditEverywhere(ctx, tx, now, "write erasure ledger")
	})
	return list, err
}

// mostSegments bounds how much of the write-ahead log is gone through: 16 MiB each.
const mostSegments = 256

// Scrub overwrites what PostgreSQL itself still holds of deleted rows, as a superuser of the cluster: it writes the tables of
// erasure anew, whatever their size, when all is set, and the planner's statistics; it goes through the write-ahead log, so
// that no segment, also none that waits to be used again, holds an old row. Backups, archives and standbys keep what they have.
func (o Operator) Scrub(ctx context.Context, all bool) error {
	conn, err := pgx.Connect(ctx, o.AdminURL)
	if err != nil {
		return fault.Wrap(fault.Unavailable, err, "connect to the database")
	}
	defer func() { _ = conn.Close(context.WithoutCancel(ctx)) }()
	statements := scrubStatistics()
	if all {
		statements = append(statements, rewriteAll()...)
	}
	for _, s := range statements {
		if _, err := conn.Exec(ctx, s); err != nil {
			return fault.Wrap(fault.Unavailable, err, "scrub: %s", s)
		}
	}
	if all { // a person asked for it
		if err := o.do(ctx, func(tx pgx.Tx, now time.Time) error { return auditEverywhere(ctx, tx, now, "scrub") }); err != nil {
			return err
		}
	}
	return turnLog(ctx, conn)
}

// scrubStatistics lets the planner forget samples of who was erased. ANALYZE by itself keeps what it once knew of a column that it
// does not look at any more, and of a table that has become empty.
func scrubStatistics() []string {
	return []string{`DELETE FROM pg_catalog.pg_statistic WHERE starelid IN (SELECT c.oid FROM pg_class c LEFT JOIN pg_inherits h ON h.inhrelid = c.oid LEFT JOIN pg_class p ON p.oid = h.inhparent
JOIN erasure_rule r ON r.table_name IN (c.relname, p.relname) WHERE c.relnamespace = 'public'::regnamespace)`, `ANALYZE`, `VACUUM (FULL) pg_catalog.pg_statistic`}
}

// rewriteAll vacuums every table that erasure touches; of one in partitions PostgreSQL takes each.
func rewriteAll() []string {
	var list []string
	seen := map[string]bool{}
	for _, r := range append(eraseRules(), eraseRule{table: "audit", phase: string(safe.ClassLooks)}) {
		if r.phase != "" && !seen[r.table] {
			seen[r.table] = true
			list = append(list, `VACUUM (FULL) public.`+pgx.Identifier{r.table}.Sanitize())
		}
	}
	return list
}

// turnLog fills every segment of the write-ahead log that is there anew: a switch writes zeros to the end of one. Segments
// are not kept for reuse meanwhile, so that the checkpoint removes those behind it.
func turnLog(ctx context.Context, conn *pgx.Conn) error {
	for _, s := range []string{`ALTER SYSTEM SET wal_recycle = off`, `SELECT pg_reload_conf()`, `CHECKPOINT`} {
		if _, err := conn.Exec(ctx, s); err != nil {
			return fault.Wrap(fault.Unavailable, err, "scrub: %s (it wants a superuser)", s)
		}
	}
	defer func() {
		for _, s := range []string{`ALTER SYSTEM RESET wal_recycle`, `SELECT pg_reload_conf()`} {
			_, _ = conn.Exec(context.WithoutCancel(ctx), s) // it costs a little speed, and the next scrub tries again
		}
	}()
	var ahead int
	if err := conn.QueryRow(ctx, `SELECT count(*) FROM pg_ls_waldir()`).Scan(&ahead); err != nil {
		return fault.Wrap(fault.Unavailable, err, "look at the write-ahead log")
	}
	for range min(ahead, mostSegments) + 1 {
		if _, err := conn.Exec(ctx, `SELECT pg_logical_emit_message(false, 'hale', 'scrub')`); err != nil {
			return fault.Wrap(fault.Unavailable, err, "go through the write-ahead log")
		}
		if _, err := conn.Exec(ctx, `SELECT pg_switch_wal()`); err != nil {
			return fault.Wrap(fault.Unavailable, err, "go through the write-ahead log")
		}
	}
	for range 2 {
		if _, err := conn.Exec(ctx, `CHECKPOINT`); err != nil {
			return fault.Wrap(fault.Unavailable, err, "go through the write-ahead log")
		}
	}
	return nil
}
