package postgres

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"hale/account"
	"hale/account/audit"
	"hale/fault"
	"hale/vital"
)

const unsealedOrgs = `
SELECT o.id, o.uid::text, (SELECT min(a.at) FROM audit a WHERE a.org_id = o.id AND a.seq IS NULL)
FROM org o LEFT JOIN audit_chain c ON c.org_id = o.id
WHERE EXISTS (SELECT FROM audit a WHERE a.org_id = o.id AND a.seq IS NULL)
   OR (@sign AND c.signed < c.seq AND c.signed_at <= @before)
ORDER BY o.id`

// Unsealed returns the organisations with something to seal or to sign, and when the oldest row to seal was written.
func (w *Work) Unsealed(ctx context.Context, sign bool, signedBefore time.Time) (orgs []audit.ChainHead, oldest time.Time, err error) {
	rows, err := w.pool.Query(ctx, unsealedOrgs, pgx.NamedArgs{"sign": sign, "before": signedBefore})
	if err == nil {
		orgs, err = pgx.CollectRows(rows, func(row pgx.CollectableRow) (audit.ChainHead, error) {
			var h audit.ChainHead
			var at *time.Time
			err := row.Scan(&h.Org, &h.UID, &at)
			if at != nil && (oldest.IsZero() || at.Before(oldest)) {
				oldest = at.UTC()
			}
			return h, err
		})
	}
	if err != nil {
		return nil, time.Time{}, classify(fmt.Errorf("look for audit rows to seal: %w", err))
	}
	return orgs, oldest, nil
}

const beginChain = `INSERT INTO audit_chain (org_id, hash) VALUES ($1, $2) ON CONFLICT (org_id) DO NOTHING`

const lockChain = `
SELECT seq, hash, number, signed, CASE WHEN signed_at > '-infinity' THEN signed_at END
FROM audit_chain WHERE org_id = $1 FOR NO KEY UPDATE SKIP LOCKED`

const auditColumns = `id, at, coalesce(actor_id, 0), actor_name, actor_role, session_uid, action, salt, coalesce(patient_id, 0), object, detail, subject, coalesce(blanked::text, '')`

const nextUnsealed = `SELECT ` + auditColumns + ` FROM audit WHERE org_id = $1 AND seq IS NULL ORDER BY id LIMIT $2`

const sealRows = `
UPDATE audit a SET seq = s.seq, hash = s.hash
FROM unnest(@ids::bigint[], @seqs::bigint[], @hashes::bytea[]) s (id, seq, hash)
WHERE a.org_id = @org AND a.id = s.id`

const moveChain = `UPDATE audit_chain SET seq = $2, hash = $3 WHERE org_id = $1`

const insertCheckpoint = `
INSERT INTO audit_checkpoint (org_id, number, seq, hash, at, public_key, signature) VALUES ($1, $2, $3, $4, $5, $6, $7)`

const noteCheckpoint = `UPDATE audit_chain SET number = $2, signed = $3, signed_at = $4 WHERE org_id = $1`

// Seal chains the next rows of an organisation as decide says. The lock of the chain's row is the lease: one process at
// a time holds it, the others go on, and it ends with the transaction or the connection, which a paused process loses.
func (w *Work) Seal(ctx context.Context, org audit.ChainHead, most int, decide func(audit.ChainHead, []audit.Row) audit.Sealing) (int, error) {
	sealed, genesis := 0, audit.Genesis(org.UID)
	// Committed by itself: others would wait for a row that is being inserted, and not pass it by.
	if _, err := w.pool.Exec(ctx, beginChain, int32(org.Org), genesis[:]); err != nil {
		return 0, classify(fmt.Errorf("begin the chain of organisation %d: %w", org.Org, err))
	}
	err := pgx.BeginFunc(ctx, w.pool, func(tx pgx.Tx) error {
		head, err := takeChain(ctx, tx, org)
		if errors.Is(err, pgx.ErrNoRows) {
			return nil // another process is at it
		}
		if err != nil {
			return fmt.Errorf("take the chain: %w", err)
		}
		found, err := tx.Query(ctx, nextUnsealed, int32(org.Org), most)
		if err != nil {
			return fmt.Errorf("read the rows to seal: %w", err)
		}
		rows, err := pgx.CollectRows(found, scanAudit)
		if err != nil {
			return fmt.Errorf("read the rows to seal: %w", err)
		}
		sealed = len(rows)
		return storeSealing(ctx, tx, head, rows, decide(head, rows))
	})
	if err != nil {
		return 0, classify(fmt.Errorf("seal the audit trail of organisation %d: %w", org.Org, err))
	}
	return sealed, nil
}

func takeChain(ctx context.Context, tx pgx.Tx, org audit.ChainHead) (audit.ChainHead, error) {
	var hash []byte
	var signedAt *time.Time
	err := tx.QueryRow(ctx, lockChain, int32(org.Org)).Scan(&org.Seq, &hash, &org.Number, &org.Signed, &signedAt)
	copy(org.Hash[:], hash)
	org.SignedAt = timeOf(signedAt)
	return org, err
}

func scanAudit(row pgx.CollectableRow) (audit.Row, error) {
	var r audit.Row
	err := scanAuditInto(row, &r)
	return r, err
}

// scanAuditInto reads auditColumns, and whatever columns follow them into more.
func scanAuditInto(row pgx.CollectableRow, r *audit.Row, more ...any) error {
	var subject []byte
	err := row.Scan(append([]any{
		&r.ID, &r.At, &r.Actor, &r.Name, &r.Role, &r.Session, &r.Action, (*[]byte)(&r.Salt), &r.Patient, &r.Object, &r.Detail, &subject, &r.Blanked,
	}, more...)...)
	r.At = r.At.UTC()
	if len(subject) > 0 {
		r.Subject = new(audit.Hash)
		copy(r.Subject[:], subject)
	}
	return err
}

func storeSealing(ctx context.Context, tx pgx.Tx, head audit.ChainHead, rows []audit.Row, s audit.Sealing) error {
	if len(s.Links) != len(rows) {
		return fault.New(fault.Internal, "%d links for %d rows", len(s.Links), len(rows))
	}
	if len(rows) > 0 {
		ids, seqs, hashes := make([]int64, len(rows)), make([]int64, len(rows)), make([][]byte, len(rows))
		for i := range rows {
			ids[i], seqs[i], hashes[i] = rows[i].ID, head.Seq+int64(i)+1, s.Links[i][:]
		}
		done, err := tx.Exec(ctx, sealRows, pgx.NamedArgs{"org": int32(head.Org), "ids": ids, "seqs": seqs, "hashes": hashes})
		if err == nil && done.RowsAffected() != int64(len(rows)) {
			err = fault.New(fault.Internal, "%d of %d rows were there to be sealed", done.RowsAffected(), len(rows))
		}
		if err == nil {
			_, err = tx.Exec(ctx, moveChain, int32(head.Org), seqs[len(seqs)-1], hashes[len(hashes)-1])
		}
		if err != nil {
			return fmt.Errorf("fill in the seals: %w", err)
		}
	}
	if c := s.Checkpoint; c != nil {
		_, err := tx.Exec(ctx, insertCheckpoint, int32(head.Org), c.Number, c.Seq, c.Hash[:], c.At, []byte(c.Key), []byte(c.Signature))
		if err == nil {
			_, err = tx.Exec(ctx, noteCheckpoint, int32(head.Org), c.Number, c.Seq, c.At)
		}
		if err != nil {
			return fmt.Errorf("write checkpoint %d: %w", c.Number, err)
		}
	}
	return nil
}

const exportSealed = `SELECT ` + auditColumns + `, seq, hash FROM audit WHERE org_id = $1 AND seq IS NOT NULL ORDER BY seq`

const exportUnsealed = `SELECT ` + auditColumns + ` FROM audit WHERE org_id = $1 AND seq IS NULL ORDER BY id`

const exportCheckpoints = `SELECT number, seq, hash, at, public_key, signature FROM audit_checkpoint WHERE org_id = $1 ORDER BY number`

// ExportAudit hands an organisation's audit trail to export, as it stands at one moment. That it was exported is written
// down, and committed, before anything is handed out. An unknown organisation is fault.NotFound.
func (o Operator) ExportAudit(ctx context.Context, organisation string, export *audit.Export) error {
	var org vital.OrgID
	var uid vital.UID
	err := o.do(ctx, func(tx pgx.Tx, now time.Time) error {
		var err error
		if org, uid, err = namedOrg(ctx, tx, organisation); err != nil {
			return err
		}
		return writeAudit(ctx, tx, account.Audit{Org: org, At: now, Actor: account.Actor{Name: "operator"}, Action: "export audit", Object: "organisation " + string(uid)})
	})
	if err != nil {
		return err
	}
	// One moment of the record: a row that is sealed meanwhile must not be missing on both sides.
	moment := pgx.TxOptions{IsoLevel: pgx.RepeatableRead, AccessMode: pgx.ReadOnly}
	return o.doAs(ctx, moment, func(tx pgx.Tx, now time.Time) error {
		checkpoints, err := readCheckpoints(ctx, tx, org)
		if err != nil {
			return err
		}
		if err := export.Begin(organisation, uid, now, checkpoints); err != nil {
			return err
		}
		if err := eachAudit(ctx, tx, exportSealed, org, export.Sealed); err != nil {
			return err
		}
		if err := eachAudit(ctx, tx, exportUnsealed, org, func(r *audit.Row, _ int64, _ audit.Hash) error { return export.Unsealed(r) }); err != nil {
			return err
		}
		return export.End()
	})
}

func readCheckpoints(ctx context.Context, tx pgx.Tx, org vital.OrgID) ([]audit.Checkpoint, error) {
	rows, err := tx.Query(ctx, exportCheckpoints, int32(org))
	if err != nil {
		return nil, fmt.Errorf("read the checkpoints: %w", err)
	}
	list, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (audit.Checkpoint, error) {
		var c audit.Checkpoint
		var hash []byte
		err := row.Scan(&c.Number, &c.Seq, &hash, &c.At, (*[]byte)(&c.Key), (*[]byte)(&c.Signature))
		copy(c.Hash[:], hash)
		c.At = c.At.UTC()
		return c, err
	})
	if err != nil {
		return nil, fmt.Errorf("read the checkpoints: %w", err)
	}
	return list, nil
}

func eachAudit(ctx context.Context, tx pgx.Tx, query string, org vital.OrgID, f func(*audit.Row, int64, audit.Hash) error) error {
	rows, err := tx.Query(ctx, query, int32(org))
	if err != nil {
		return fmt.Errorf("read the audit trail: %w", err)
	}
	defer rows.Close()
	for rows.Next() {
		var r audit.Row
		var seq int64
		var raw []byte
		var into []any
		if query == exportSealed {
			into = append(into, &seq, &raw)
		}
		if err := scanAuditInto(rows, &r, into...); err != nil {
			return fmt.Errorf("read the audit trail: %w", err)
		}
		var hash audit.Hash
		copy(hash[:], raw)
		if err := f(&r, seq, hash); err != nil {
			return err
		}
	}
	return rows.Err()
}
