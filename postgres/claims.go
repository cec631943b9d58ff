package postgres

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"hale/account"
	"hale/devices"
	"hale/devices/credential"
	"hale/fault"
	"hale/vital"
)

const newestClaim = `SELECT serial, batch, from_at, until_at, used_at FROM device_claim WHERE device_id = $1 AND ended_at IS NULL`

// Claimable returns the claim of a device. See credential.ClaimBook.
func (a *App) Claimable(ctx context.Context, actor account.Actor, uid string) (found *credential.Claimable, err error) {
	err = a.as(ctx, actor, func(tx pgx.Tx, _ time.Time) error {
		id, err := deviceID(ctx, tx, uid)
		if err != nil {
			return err
		}
		var c credential.Claimable
		var used *time.Time
		err = tx.QueryRow(ctx, newestClaim, id).Scan(&c.Serial, &c.Batch, &c.From, &c.Until, &used)
		if errors.Is(err, pgx.ErrNoRows) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("find the claim: %w", err)
		}
		c.From, c.Until, c.UsedAt = c.From.UTC(), c.Until.UTC(), timeOf(used)
		found = &c
		return nil
	})
	return found, err
}

const endClaim = `UPDATE device_claim SET ended_at = $2 WHERE device_id = $1 AND ended_at IS NULL`
const insertClaim = `
INSERT INTO device_claim (org_id, device_id, serial, batch, from_at, until_at, created_at) VALUES ($1, $2, $3, $4, $5, $6, $7)`

// MakeClaimable lets a device be claimed. See credential.ClaimBook.
func (a *App) MakeClaimable(ctx context.Context, actor account.Actor, uid string, c credential.Claimable) error {
	return a.as(ctx, actor, func(tx pgx.Tx, now time.Time) error {
		id, err := certifiable(ctx, tx, uid)
		if err != nil {
			return err
		}
		if _, err := tx.Exec(ctx, endClaim, id, now); err != nil {
			return fmt.Errorf("end the claim before: %w", err)
		}
		_, err = tx.Exec(ctx, insertClaim, int32(actor.Org), id, c.Serial, c.Batch, c.From, c.Until, now)
		if violated(err, "device_claim_serial") {
			return fault.New(fault.Conflict, "another device waits to be claimed under the serial %q, or was claimed under it: take that back first", c.Serial)
		}
		if err != nil {
			return fmt.Errorf("let a device be claimed: %w", err)
		}
		row := account.Audit{Org: actor.Org, At: now, Actor: actor, Action: "make claimable", Object: "device " + uid, Detail: "until " + c.Until.Format(time.RFC3339)}
		return writeAudit(ctx, tx, row)
	})
}

// EndClaim takes it back. See credential.ClaimBook.
func (a *App) EndClaim(ctx context.Context, actor account.Actor, uid string) error {
	return a.as(ctx, actor, func(tx pgx.Tx, now time.Time) error {
		id, err := deviceID(ctx, tx, uid)
		if err != nil {
			return err
		}
		done, err := tx.Exec(ctx, endClaim, id, now)
		if err != nil {
			return fmt.Errorf("end the claim: %w", err)
		}
		if done.RowsAffected() == 0 {
			return nil
		}
		return writeAudit(ctx, tx, account.Audit{Org: actor.Org, At: now, Actor: actor, Action: "end claim", Object: "device " + uid})
	})
}

const openClaim = `
SELECT c.id, d.uid, c.serial, c.batch, c.from_at, c.until_at, c.used_at, g.certificate
FROM device_claim c JOIN device d ON d.org_id = c.org_id AND d.id = c.device_id AND d.revoked_at IS NULL
LEFT JOIN device_cert g ON g.org_id = c.org_id AND g.device_id = c.device_id AND g.fingerprint = c.got AND g.revoked_at IS NULL
WHERE c.serial = $1 AND c.ended_at IS NULL AND c.from_at <= $2 AND c.until_at > $2 AND (c.used_at IS NULL OR g.certificate IS NOT NULL)`

// OpenClaims returns the devices of a serial that may be claimed at a time. See credential.CertificateDoor.
func (a *App) OpenClaims(ctx context.Context, serial string, at time.Time) ([]credential.OpenClaim, error) {
	rows, err := a.pool.Query(ctx, `SELECT * FROM orgs_of_claim($1, $2)`, serial, at)
	if err != nil {
		return nil, classify(fmt.Errorf("find who may be claimed: %w", err))
	}
	orgs, err := pgx.CollectRows(rows, pgx.RowTo[vital.OrgID])
	if err != nil {
		return nil, classify(fmt.Errorf("find who may be claimed: %w", err))
	}
	var list []credential.OpenClaim
	for _, org := range orgs {
		err := a.inOrg(ctx, org, func(tx pgx.Tx, _ time.Time) error {
			o := credential.OpenClaim{Org: org}
			var used *time.Time
			var got []byte
			err := tx.QueryRow(ctx, openClaim, serial, at).Scan(&o.ID, &o.Device, &o.Serial, &o.Batch, &o.From, &o.Until, &used, &got)
			if errors.Is(err, pgx.ErrNoRows) {
				return nil
			}
			if err != nil {
				return fmt.Errorf("find the claim: %w", err)
			}
			o.UsedAt = timeOf(used)
			if got != nil {
				if o.Made, err = x509.ParseCertificate(got); err != nil {
					return err
				}
			}
			if o.Authorities, err = readAuthorities(ctx, tx, ` WHERE kind = 'claim'`); err != nil {
				return fmt.Errorf("list authorities: %w", err)
			}
			list = append(list, o)
			return nil
		})
		if err != nil {
			return nil, err
		}
	}
	return list, nil
}

const useClaim = `UPDATE device_claim SET used_at = $2, used_by = $3, got = $4 WHERE id = $1 AND ended_at IS NULL AND used_at IS NULL`

// KeepClaimed ends a claim and writes down what its device got. See credential.CertificateDoor.
func (a *App) KeepClaimed(ctx context.Context, claim *credential.OpenClaim, by devices.Fingerprint, c credential.NewCertificate) error {
	return a.inOrg(ctx, claim.Org, func(tx pgx.Tx, now time.Time) error {
		actor := account.Actor{Org: claim.Org}
		id, err := certifiable(ctx, tx, claim.Device)
		if err != nil {
			return err
		}
		if err := keepCertificate(ctx, tx, newCertificate{actor, id, claim.Device, c, now}); err != nil {
			return err
		}
		got := devices.FingerprintOf(c.Certificate)
		done, err := tx.Exec(ctx, useClaim, claim.ID, now, by[:], got[:])
		if err != nil {
			return fmt.Errorf("use the claim: %w", err)
		}
		if done.RowsAffected() == 0 {
			return fault.New(fault.Conflict, "the device was claimed a moment ago, or its claim was taken back")
		}
		return writeAudit(ctx, tx, account.Audit{Org: claim.Org, At: now, Actor: actor, Action: "claim device", Object: "device " + claim.Device, Detail: "shown " + by.String()})
	})
}
