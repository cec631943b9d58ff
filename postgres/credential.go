package postgres

import (
	"context"
	"crypto/sha256"
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

const deviceToPair = `SELECT id, revoked_at IS NOT NULL FROM device WHERE uid = $1`
const insertPairing = `
INSERT INTO pairing_code (org_id, uid, device_id, staff_id, lookup, code_hash, created_at, expires_at) VALUES ($1, $2, $3, $4, $5, $6, $7, $8)`

// inService returns a device of the organisation that was not revoked.
func inService(ctx context.Context, tx pgx.Tx, uid string) (vital.DeviceID, error) {
	var id vital.DeviceID
	var revoked bool
	switch err := tx.QueryRow(ctx, deviceToPair, uid).Scan(&id, &revoked); {
	case errors.Is(err, pgx.ErrNoRows):
		return 0, fault.New(fault.NotFound, "there is no device %q", uid)
	case err != nil:
		return 0, fmt.Errorf("find device: %w", err)
	case revoked:
		return 0, errRevoked(uid)
	}
	return id, nil
}

func errRevoked(uid string) error {
	return fault.New(fault.Conflict, "the device %q was revoked and gets no secret any more: enrol it under another name", uid)
}

// AddPairing keeps the hash of a pairing code in place of the ones that the device has. See credential.CredentialBook.
func (a *App) AddPairing(ctx context.Context, actor account.Actor, uid string, c credential.NewCode) (taken bool, err error) {
	err = a.as(ctx, actor, func(tx pgx.Tx, now time.Time) error {
		id, err := inService(ctx, tx, uid)
		if err != nil {
			return err
		}
		var free bool
		if err := tx.QueryRow(ctx, `SELECT begin_pairing($1, $2, $3)`, int64(id), c.Lookup, now).Scan(&free); err != nil {
			return fmt.Errorf("make room for a code: %w", err)
		}
		if !free {
			taken = true
			return errTaken()
		}
		made := newUID()
		_, err = tx.Exec(ctx, insertPairing, int32(actor.Org), string(made), int64(id), nullID(actor.Staff), c.Lookup, c.Hash[:], now, c.ExpiresAt)
		if violated(err, "pairing_code_lookup") {
			taken = true
			return errTaken()
		}
		if err != nil {
			return fmt.Errorf("keep a code: %w", err)
		}
		return writeAudit(ctx, tx, account.Audit{Org: actor.Org, At: now, Actor: actor, Action: "make pairing code", Object: "device " + uid, Detail: "code " + string(made)})
	})
	return taken, err
}

const deviceStanding = `SELECT id, uid, model, revoked_at IS NOT NULL, coalesce(secret_made_at, created_at), overlap_until FROM device WHERE uid = $1`
const newestPairing = `
SELECT uid::text, created_at, expires_at, used_at, ended_at, attempts FROM pairing_code WHERE device_id = $1 ORDER BY created_at DESC, id DESC LIMIT 1`

// Standing tells how a device stands. See credential.CredentialBook.
func (a *App) Standing(ctx context.Context, actor account.Actor, uid string) (credential.Standing, error) {
	var s credential.Standing
	err := a.as(ctx, actor, func(tx pgx.Tx, now time.Time) error {
		var id vital.DeviceID
		var until *time.Time
		err := tx.QueryRow(ctx, deviceStanding, uid).Scan(&id, &s.UID, &s.Model, &s.Revoked, &s.MadeAt, &until)
		if errors.Is(err, pgx.ErrNoRows) {
			return fault.New(fault.NotFound, "there is no device %q", uid)
		}
		if err != nil {
			return fmt.Errorf("find device: %w", err)
		}
		s.MadeAt = s.MadeAt.UTC()
		if s.OldUntil = timeOf(until); !s.OldUntil.After(now) {
			s.OldUntil = time.Time{}
		}
		var c credential.PairingCode
		var used, ended *time.Time
		err = tx.QueryRow(ctx, newestPairing, int64(id)).Scan(&c.UID, &c.CreatedAt, &c.ExpiresAt, &used, &ended, &c.Attempts)
		if errors.Is(err, pgx.ErrNoRows) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("find the pairing code: %w", err)
		}
		c.CreatedAt, c.ExpiresAt, c.UsedAt, c.EndedAt = c.CreatedAt.UTC(), c.ExpiresAt.UTC(), timeOf(used), timeOf(ended)
		s.Pairing = &c
		return nil
	})
	return s, err
}

// Renew gives a device a next secret. See credential.CredentialBook.
func (a *App) Renew(ctx context.Context, actor account.Actor, uid string, next devices.Kept, until time.Time) error {
	return a.as(ctx, actor, func(tx pgx.Tx, now time.Time) error {
		id, err := inService(ctx, tx, uid)
		if err != nil {
			return err
		}
		var done bool
		if err := tx.QueryRow(ctx, `SELECT renew_secret($1, $2, $3, $4, $5)`, int64(id), next.Hash[:], next.Broker, now, until).Scan(&done); err != nil {
			return fmt.Errorf("renew the secret: %w", err)
		}
		if !done {
			return errRevoked(uid)
		}
		row := account.Audit{Org: actor.Org, At: now, Actor: actor, Action: "renew secret", Object: "device " + uid, Detail: "the old one ends by " + until.UTC().Format(time.RFC3339)}
		if err := writeAudit(ctx, tx, row); err != nil {
			return err
		}
		return touchRegistry(ctx, tx)
	})
}

const dropOld = `SELECT drop_old_secret($1, $2, $3)`

// DropOld ends the time in which two secrets of a device are good. See credential.CredentialBook.
func (a *App) DropOld(ctx context.Context, actor account.Actor, uid string) error {
	return a.as(ctx, actor, func(tx pgx.Tx, now time.Time) error {
		id, err := inService(ctx, tx, uid)
		if err != nil {
			return err
		}
		done, err := dropped(ctx, tx, dropping{actor.Org, id, uid, nil}, account.Audit{At: now, Actor: actor})
		if err != nil {
			return err
		}
		if !done {
			return fault.New(fault.Conflict, "the device has one secret: no old one is to be ended")
		}
		return endRenewed(ctx, tx, int64(id), account.Audit{Org: actor.Org, At: now, Actor: actor, Object: "device " + uid})
	})
}

// dropping says whose old secret goes; shown is the hash of the next one when that was seen.
type dropping struct {
	org   vital.OrgID
	id    vital.DeviceID
	uid   string
	shown []byte
}

// dropped makes the next secret of a device its only one, with the audit row that row begins; false when there was none.
func dropped(ctx context.Context, tx pgx.Tx, d dropping, row account.Audit) (done bool, err error) {
	if err := tx.QueryRow(ctx, dropOld, int32(d.org), int64(d.id), d.shown).Scan(&done); err != nil {
		return false, fmt.Errorf("end the old secret: %w", err)
	}
	if !done {
		return false, nil
	}
	row.Org, row.Action, row.Object = d.org, "end old secret", "device "+d.uid
	if err := writeAudit(ctx, tx, row); err != nil {
		return false, err
	}
	return true, touchRegistry(ctx, tx)
}

const redeemPairing = `SELECT org_id, device_uid, pairing_uid::text, coalesce(staff_uid::text, '') FROM redeem_pairing($1, $2, $3, $4, $5, $6)`

// Pair takes a code, once, and gives its device the secret. See credential.CredentialDoor.
func (a *App) Pair(ctx context.Context, t credential.Attempt) (uid string, err error) {
	good := false
	err = pgx.BeginFunc(ctx, a.pool, func(tx pgx.Tx) error {
		var org vital.OrgID
		var code, staff string
		err := tx.QueryRow(ctx, redeemPairing, t.Lookup, t.Hash[:], t.At, t.Most, t.Gets.Hash[:], t.Gets.Broker).Scan(&org, &uid, &code, &staff)
		if errors.Is(err, pgx.ErrNoRows) {
			return nil // the count is kept
		}
		if err != nil {
			return fmt.Errorf("redeem a pairing code: %w", err)
		}
		good = true
		const enter = `SELECT set_config('app.org', $1, true), set_config('app.view', $2, true)`
		if err := tx.QueryRow(ctx, enter, fmt.Sprint(int32(org)), viewOrg).Scan(nil, nil); err != nil {
			return fmt.Errorf("enter the organisation: %w", err)
		}
		detail := "code " + code + " of a program"
		if staff != "" {
			detail = "code " + code + " of staff " + staff
		}
		row := account.Audit{Org: org, At: t.At, Actor: account.Actor{Org: org}, Action: "pair device", Object: "device " + uid, Detail: detail}
		if err := writeAudit(ctx, tx, row); err != nil {
			return err
		}
		id, err := deviceID(ctx, tx, uid)
		if err != nil {
			return err
		}
		if err := endRenewed(ctx, tx, id, row); err != nil {
			return err
		}
		return touchRegistry(ctx, tx)
	})
	switch {
	case err != nil:
		return "", classify(err)
	case !good:
		return "", fault.New(fault.Unauthenticated, "the pairing code is not good")
	}
	return uid, nil
}

// Prove reports whether a device is the one that a secret belongs to. See credential.CredentialDoor.
func (a *App) Prove(ctx context.Context, actor account.Actor, uid string, shown [sha256.Size]byte) (good bool, err error) {
	err = a.as(ctx, actor, func(tx pgx.Tx, now time.Time) error {
		var id vital.DeviceID
		var byNext bool
		err := tx.QueryRow(ctx, `SELECT id, by_next FROM prove_device($1, $2, $3)`, uid, shown[:], now).Scan(&id, &byNext)
		if errors.Is(err, pgx.ErrNoRows) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("look at a secret: %w", err)
		}
		good = true
		if byNext {
			_, err = dropped(ctx, tx, dropping{actor.Org, id, uid, shown[:]}, account.Audit{At: now, Actor: actor, Detail: "the new one was shown to a broker"})
		}
		return err
	})
	return good, err
}

// InUse reports whether there is such a device that was not revoked. See credential.CredentialDoor.
func (a *App) InUse(ctx context.Context, actor account.Actor, uid string) (there bool, err error) {
	err = a.as(ctx, actor, func(tx pgx.Tx, _ time.Time) error {
		return tx.QueryRow(ctx, `SELECT EXISTS (SELECT FROM device WHERE uid = $1 AND revoked_at IS NULL)`, uid).Scan(&there)
	})
	return there, err
}

// DropOldSecret makes the next secret of a device its only one: it has connected with it, shown being its hash. A secret that is no
// longer the next one changes nothing.
func (w *Work) DropOldSecret(ctx context.Context, d *devices.Device, shown [sha256.Size]byte) error {
	return classify(pgx.BeginFunc(ctx, w.pool, func(tx pgx.Tx) error {
		var now time.Time
		if err := tx.QueryRow(ctx, `SELECT clock_timestamp()`).Scan(&now); err != nil {
			return fmt.Errorf("read the clock: %w", err)
		}
		row := account.Audit{At: now.UTC(), Actor: account.Actor{Org: d.Org}, Detail: "the device connected with the new one"}
		_, err := dropped(ctx, tx, dropping{d.Org, d.ID, d.UID, shown[:]}, row)
		return err
	}))
}

const brokerUsers = `
SELECT uid, coalesce(CASE WHEN overlap_until <= $2 THEN next_broker_hash ELSE broker_hash END, '') FROM device WHERE org_id = $1 AND revoked_at IS NULL ORDER BY uid`

// BrokerUsers hands every device of an organisation that was not revoked to write, with the hash of the secret that a broker of the
// organisation's own has to ask for: of two that are good the older one, until its end. When write reports a change that is written
// down.
func (o Operator) BrokerUsers(ctx context.Context, organisation string, write func([]credential.BrokerUser) (changed bool, err error)) error {
	return o.inNamed(ctx, organisation, func(tx pgx.Tx, operator account.Actor, now time.Time) error {
		rows, err := tx.Query(ctx, brokerUsers, int32(operator.Org), now)
		if err != nil {
			return fmt.Errorf("list devices: %w", err)
		}
		list, err := pgx.CollectRows(rows, pgx.RowToStructByPos[credential.BrokerUser])
		if err != nil {
			return fmt.Errorf("list devices: %w", err)
		}
		changed, err := write(list)
		if err != nil || !changed {
			return err
		}
		return writeAudit(ctx, tx, account.Audit{Org: operator.Org, At: now, Actor: operator, Action: "write broker files", Detail: fmt.Sprintf("%d devices", len(list))})
	})
}
