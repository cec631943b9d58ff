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

const allAuthorities = `SELECT org_id, uid::text, kind, name, certificate, from_at, until_at, revoked_at IS NOT NULL FROM trusted_ca`

// knownCertificates are those of devices, as long as somebody may still come with them: those that have not ended before a time.
const knownCertificates = `
SELECT d.uid, c.fingerprint, c.not_before, c.not_after, c.revoked_at IS NOT NULL FROM device_cert c JOIN device d ON d.org_id = c.org_id AND d.id = c.device_id
WHERE c.not_after > $1 ORDER BY c.created_at`

// rememberEnded is how long after its end somebody hears of a certificate that it has ended; then it is one that nobody knows.
const rememberEnded = 366 * 24 * time.Hour

// readTrust reads the authorities, and the certificates of the devices that are in the snapshot, as of a time.
func readTrust(ctx context.Context, tx pgx.Tx, now time.Time, s *devices.Snapshot) error {
	list, err := readAuthorities(ctx, tx, "")
	if err != nil {
		return err
	}
	s.Authorities = map[vital.OrgID][]*devices.Authority{}
	for _, a := range list {
		s.Authorities[a.Org] = append(s.Authorities[a.Org], a)
	}
	rows, err := tx.Query(ctx, knownCertificates, now.Add(-rememberEnded))
	if err != nil {
		return err
	}
	var uid string
	var print []byte
	var c devices.Certificate
	_, err = pgx.ForEachRow(rows, []any{&uid, &print, &c.NotBefore, &c.NotAfter, &c.Revoked}, func() error {
		if d := s.Devices[uid]; d != nil {
			c.Fingerprint, c.NotBefore, c.NotAfter = devices.Fingerprint(print), c.NotBefore.UTC(), c.NotAfter.UTC()
			d.Certificates = append(d.Certificates, c)
		}
		return nil
	})
	return err
}

// readAuthorities returns those that the transaction sees and the condition holds for, the newest first.
func readAuthorities(ctx context.Context, tx pgx.Tx, where string, args ...any) ([]*devices.Authority, error) {
	rows, err := tx.Query(ctx, allAuthorities+where+` ORDER BY created_at DESC, id DESC`, args...)
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, func(row pgx.CollectableRow) (*devices.Authority, error) {
		a := &devices.Authority{}
		var der []byte
		err := row.Scan(&a.Org, &a.UID, &a.Kind, &a.Name, &der, &a.From, &a.Until, &a.Revoked)
		if err == nil {
			a.Certificate, err = x509.ParseCertificate(der)
		}
		a.From, a.Until = a.From.UTC(), a.Until.UTC()
		return a, err
	})
}

// Authorities returns what the organisation trusts, or has trusted. See credential.AuthorityBook.
func (a *App) Authorities(ctx context.Context, actor account.Actor) (list []*devices.Authority, err error) {
	err = a.as(ctx, actor, func(tx pgx.Tx, _ time.Time) error {
		if list, err = readAuthorities(ctx, tx, ""); err != nil {
			return fmt.Errorf("list authorities: %w", err)
		}
		return nil
	})
	return list, err
}

const insertAuthority = `
INSERT INTO trusted_ca (org_id, uid, kind, name, certificate, fingerprint, from_at, until_at, created_at) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)
ON CONFLICT (org_id, fingerprint) DO NOTHING`

// AddAuthority keeps one. See credential.AuthorityBook.
func (a *App) AddAuthority(ctx context.Context, actor account.Actor, n *devices.Authority) error {
	return a.as(ctx, actor, func(tx pgx.Tx, now time.Time) error {
		added, err := trust(ctx, tx, actor, n, now)
		if err == nil && !added {
			err = fault.New(fault.Conflict, "this authority is known already, or was revoked: see the list")
		}
		if err != nil {
			return err
		}
		return touchRegistry(ctx, tx)
	})
}

// trust keeps an authority with its audit row; false when its certificate is kept already.
func trust(ctx context.Context, tx pgx.Tx, actor account.Actor, n *devices.Authority, now time.Time) (added bool, err error) {
	n.Org, n.UID = actor.Org, newUID()
	print := devices.FingerprintOf(n.Certificate)
	done, err := tx.Exec(ctx, insertAuthority, int32(n.Org), string(n.UID), string(n.Kind), n.Name, n.Certificate.Raw, print[:], n.From, n.Until, now)
	if err != nil {
		return false, fmt.Errorf("keep an authority: %w", err)
	}
	if done.RowsAffected() == 0 {
		return false, nil
	}
	row := account.Audit{Org: n.Org, At: now, Actor: actor, Action: "trust authority", Object: "authority " + string(n.UID), Detail: string(n.Kind) + " " + print.String()}
	return true, writeAudit(ctx, tx, row)
}

const revokeAuthority = `UPDATE trusted_ca SET revoked_at = coalesce(revoked_at, $2) WHERE uid = $1 RETURNING revoked_at = $2`

// RevokeAuthority makes what it signed worthless. See credential.AuthorityBook.
func (a *App) RevokeAuthority(ctx context.Context, actor account.Actor, uid vital.UID) error {
	u, err := parseUID(uid, "authority")
	if err != nil {
		return err
	}
	return a.as(ctx, actor, func(tx pgx.Tx, now time.Time) error {
		return revoking(ctx, tx, account.Audit{Org: actor.Org, At: now, Actor: actor, Action: "revoke authority", Object: "authority " + u.String()},
			fmt.Sprintf("there is no authority %s", u), revokeAuthority, u.String(), now)
	})
}

// revoking runs a statement that says whether it was the first to revoke something, and says so where it must be known.
func revoking(ctx context.Context, tx pgx.Tx, row account.Audit, missing, statement string, args ...any) error {
	var first bool
	switch err := tx.QueryRow(ctx, statement, args...).Scan(&first); {
	case errors.Is(err, pgx.ErrNoRows):
		return fault.New(fault.NotFound, "%s", missing)
	case err != nil:
		return fmt.Errorf("%s: %w", row.Action, err)
	case !first:
		return nil
	}
	if err := writeAudit(ctx, tx, row); err != nil {
		return err
	}
	return touchRegistry(ctx, tx)
}

const keptCertificates = `
SELECT d.uid, c.fingerprint, c.serial, c.not_before, c.not_after, c.origin, c.created_at, c.revoked_at, c.renewed_from FROM device_cert c JOIN device d ON d.org_id = c.org_id AND d.id = c.device_id `

// Certificates returns a device's. See credential.CertificateBook.
func (a *App) Certificates(ctx context.Context, actor account.Actor, uid string) (list []credential.KeptCertificate, err error) {
	err = a.as(ctx, actor, func(tx pgx.Tx, _ time.Time) error {
		id, err := deviceID(ctx, tx, uid)
		if err != nil {
			return err
		}
		list, err = certificates(ctx, tx, `WHERE c.device_id = $1 ORDER BY c.created_at DESC, c.not_after DESC`, id)
		return err
	})
	return list, err
}

// lastToEnd holds for the certificate of a device that ends last, among those that were not revoked.
const lastToEnd = `WHERE c.revoked_at IS NULL AND d.revoked_at IS NULL AND c.not_after < $1 AND NOT EXISTS (
    SELECT FROM device_cert o WHERE o.org_id = c.org_id AND o.device_id = c.device_id AND o.revoked_at IS NULL AND (o.not_after, o.fingerprint) > (c.not_after, c.fingerprint))
ORDER BY c.not_after, d.uid LIMIT 1000`

// EndingCertificates returns certificates that end soon, or have ended. See credential.CertificateBook.
func (a *App) EndingCertificates(ctx context.Context, actor account.Actor, before time.Time) (list []credential.KeptCertificate, err error) {
	err = a.as(ctx, actor, func(tx pgx.Tx, _ time.Time) error {
		list, err = certificates(ctx, tx, lastToEnd, before)
		return err
	})
	return list, err
}

func certificates(ctx context.Context, tx pgx.Tx, which string, args ...any) ([]credential.KeptCertificate, error) {
	rows, err := tx.Query(ctx, keptCertificates+which, args...)
	if err != nil {
		return nil, fmt.Errorf("list certificates: %w", err)
	}
	list, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (credential.KeptCertificate, error) {
		var k credential.KeptCertificate
		var print, from []byte
		var revoked *time.Time
		err := row.Scan(&k.Device, &print, &k.Serial, &k.NotBefore, &k.NotAfter, &k.Origin, &k.CreatedAt, &revoked, &from)
		if err != nil {
			return k, err
		}
		if from != nil {
			shown := devices.Fingerprint(from)
			k.From = &shown
		}
		k.Fingerprint, k.Revoked, k.RevokedAt = devices.Fingerprint(print), revoked != nil, timeOf(revoked)
		k.NotBefore, k.NotAfter, k.CreatedAt = k.NotBefore.UTC(), k.NotAfter.UTC(), k.CreatedAt.UTC()
		return k, nil
	})
	if err != nil {
		return nil, fmt.Errorf("list certificates: %w", err)
	}
	return list, nil
}

// KeepCertificate writes a certificate down. See credential.CertificateBook.
func (a *App) KeepCertificate(ctx context.Context, actor account.Actor, uid string, c credential.NewCertificate) error {
	return a.as(ctx, actor, func(tx pgx.Tx, now time.Time) error {
		id, err := certifiable(ctx, tx, uid)
		if err != nil {
			return err
		}
		return keepCertificate(ctx, tx, newCertificate{actor, id, uid, c, now})
	})
}

// lockOneDevice locks what pairing, revoking and ending a secret change: of two of these the second sees all that the first has done.
const lockOneDevice = `SELECT id, revoked_at IS NOT NULL FROM device WHERE uid = $1 FOR NO KEY UPDATE`

// lockDevice finds a device of the organisation, and keeps what it may show as it is until the transaction ends.
func lockDevice(ctx context.Context, tx pgx.Tx, uid string) (id vital.DeviceID, revoked bool, err error) {
	switch err := tx.QueryRow(ctx, lockOneDevice, uid).Scan(&id, &revoked); {
	case errors.Is(err, pgx.ErrNoRows):
		return 0, false, fault.New(fault.NotFound, "there is no device %q", uid)
	case err != nil:
		return 0, false, fmt.Errorf("lock the device: %w", err)
	}
	return id, revoked, nil
}

// certifiable returns a device of the organisation that was not revoked, and is not until the transaction ends.
func certifiable(ctx context.Context, tx pgx.Tx, uid string) (int64, error) {
	id, revoked, err := lockDevice(ctx, tx, uid)
	if err != nil {
		return 0, err
	}
	if revoked {
		return 0, fault.New(fault.Conflict, "the device %q was revoked and gets no certificate any more: enrol it under another name", uid)
	}
	return int64(id), nil
}

// newCertificate is one that is being written down.
type newCertificate struct {
	actor account.Actor
	id    int64 // of the device
	uid   string
	credential.NewCertificate
	now time.Time
}

const insertCertificate = `
INSERT INTO device_cert (org_id, device_id, fingerprint, serial, certificate, not_before, not_after, origin, created_at, renewed_from) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)`

// ownAuthority names our own authority in the list of those that an organisation trusts.
const ownAuthority = "Hale"

// keepCertificate writes a certificate down, and the trust in our own authority if that signed it.
func keepCertificate(ctx context.Context, tx pgx.Tx, k newCertificate) error {
	if k.By != nil {
		if err := trustOurs(ctx, tx, k.actor, k.By, k.now); err != nil {
			return err
		}
	}
	c, print := k.Certificate, devices.FingerprintOf(k.Certificate)
	var from []byte
	if k.From != nil {
		from = k.From[:]
	}
	_, err := tx.Exec(ctx, insertCertificate, int32(k.actor.Org), k.id, print[:], c.SerialNumber.Text(16), c.Raw, c.NotBefore, c.NotAfter, string(k.Origin), k.now, from)
	if violated(err, "device_cert_fingerprint") || violated(err, "device_cert_pkey") {
		return fault.New(fault.Conflict, "this certificate is written down already; one that was revoked stays so")
	}
	if err != nil {
		return fmt.Errorf("keep a certificate: %w", err)
	}
	row := account.Audit{Org: k.actor.Org, At: k.now, Actor: k.actor, Action: "keep certificate", Object: "device " + k.uid, Detail: string(k.Origin) + " " + print.String()}
	if err := writeAudit(ctx, tx, row); err != nil {
		return err
	}
	return touchRegistry(ctx, tx)
}

// trustOurs makes our own authority one that the organisation trusts, unless it has revoked it.
func trustOurs(ctx context.Context, tx pgx.Tx, actor account.Actor, by *x509.Certificate, now time.Time) error {
	n := &devices.Authority{Kind: devices.ForDevices, Name: ownAuthority, Certificate: by, From: by.NotBefore, Until: by.NotAfter}
	if added, err := trust(ctx, tx, actor, n, now); err != nil || added {
		return err
	}
	print := devices.FingerprintOf(by)
	var good bool
	err := tx.QueryRow(ctx, `SELECT revoked_at IS NULL AND kind = 'device' AND until_at > $2 FROM trusted_ca WHERE fingerprint = $1`, print[:], now).Scan(&good)
	if err != nil {
		return fmt.Errorf("look at our authority: %w", err)
	}
	if !good {
		return fault.New(fault.Conflict, "the organisation does not trust Hale's own authority any more: start Hale with another --device-authority")
	}
	return nil
}

// revokeCertificate revokes a certificate ($2) of a device, and unless $4 all that came of it by renewing.
const revokeCertificate = `
WITH RECURSIVE ended AS (
    SELECT c.fingerprint FROM device_cert c WHERE c.device_id = $1 AND c.fingerprint = $2
    UNION SELECT n.fingerprint FROM ended e JOIN device_cert n ON n.device_id = $1 AND n.renewed_from = e.fingerprint WHERE NOT $4)
UPDATE device_cert c SET revoked_at = $3 FROM ended e WHERE c.device_id = $1 AND c.fingerprint = e.fingerprint AND c.revoked_at IS NULL RETURNING c.fingerprint`

// RevokeCertificate makes a certificate worthless. See credential.CertificateBook. The device is locked, so that nothing is renewed
// from it meanwhile.
func (a *App) RevokeCertificate(ctx context.Context, actor account.Actor, uid string, f devices.Fingerprint, alone bool) error {
	return a.as(ctx, actor, func(tx pgx.Tx, now time.Time) error {
		id, _, err := lockDevice(ctx, tx, uid)
		if err != nil {
			return err
		}
		var there bool
		if err := tx.QueryRow(ctx, `SELECT EXISTS (SELECT FROM device_cert WHERE device_id = $1 AND fingerprint = $2)`, int64(id), f[:]).Scan(&there); err != nil {
			return fmt.Errorf("find certificate: %w", err)
		}
		if !there {
			return fault.New(fault.NotFound, "the device has no such certificate")
		}
		rows, err := tx.Query(ctx, revokeCertificate, int64(id), f[:], now, alone)
		if err != nil {
			return fmt.Errorf("revoke certificate: %w", err)
		}
		prints, err := pgx.CollectRows(rows, pgx.RowTo[[]byte])
		if err != nil {
			return fmt.Errorf("revoke certificate: %w", err)
		}
		for _, print := range prints {
			row := account.Audit{Org: actor.Org, At: now, Actor: actor, Action: "revoke certificate", Object: "device " + uid, Detail: devices.Fingerprint(print).String()}
			if devices.Fingerprint(print) != f {
				row.Detail += ", renewed from " + f.String()
			}
			if err := writeAudit(ctx, tx, row); err != nil {
				return err
			}
		}
		if len(prints) == 0 {
			return nil
		}
		return touchRegistry(ctx, tx)
	})
}

const revokeRenewed = `UPDATE device_cert SET revoked_at = $2 WHERE device_id = $1 AND origin = 'renewed' AND revoked_at IS NULL RETURNING fingerprint`

// endRenewed revokes the certificates that a device got by itself, each with an audit row as row begins it. Whoever had its secret
// could get one, and renew that for ever: they end with the secret. What the desk or a maker gave it, and what it claimed, was not
// got with the secret and stays.
func endRenewed(ctx context.Context, tx pgx.Tx, id int64, row account.Audit) error {
	rows, err := tx.Query(ctx, revokeRenewed, id, row.At)
	if err != nil {
		return fmt.Errorf("revoke renewed certificates: %w", err)
	}
	prints, err := pgx.CollectRows(rows, pgx.RowTo[[]byte])
	if err != nil {
		return fmt.Errorf("revoke renewed certificates: %w", err)
	}
	for _, print := range prints {
		row.Action, row.Detail = "revoke certificate", devices.Fingerprint(print).String()+", got with a secret that has ended"
		if err := writeAudit(ctx, tx, row); err != nil {
			return err
		}
	}
	return nil
}

const certificatesInUse = `SELECT certificate, revoked_at IS NOT NULL FROM device_cert WHERE device_id = $1 ORDER BY not_after DESC`

// Reissue lets a device that shows something have another certificate. See credential.CertificateDoor.
func (a *App) Reissue(ctx context.Context, shown credential.Shown, decide func(*credential.Showing) (*credential.NewCertificate, error)) error {
	var org *int32
	if err := a.pool.QueryRow(ctx, `SELECT org_of_device($1)`, shown.Device).Scan(&org); err != nil {
		return classify(fmt.Errorf("find whose device it is: %w", err))
	}
	if org == nil {
		return fault.New(fault.NotFound, "there is no device %q", shown.Device)
	}
	return a.inOrg(ctx, vital.OrgID(*org), func(tx pgx.Tx, now time.Time) error {
		s, err := lookAt(ctx, tx, vital.OrgID(*org), shown)
		if err != nil {
			return err
		}
		made, err := decide(&s)
		if err != nil {
			return err
		}
		itself, id := account.Actor{Org: s.Device.Org}, s.Device.ID
		if s.ByNext {
			row := account.Audit{At: now, Actor: itself, Detail: "the new one was shown for a certificate"}
			if _, err := dropped(ctx, tx, dropping{s.Device.Org, id, shown.Device, shown.Secret[:]}, row); err != nil {
				return err
			}
		}
		if made == nil {
			return nil
		}
		return keepCertificate(ctx, tx, newCertificate{itself, int64(id), shown.Device, *made, now})
	})
}

// lookAt returns how a device stands, and keeps it so until the transaction ends.
func lookAt(ctx context.Context, tx pgx.Tx, org vital.OrgID, shown credential.Shown) (s credential.Showing, err error) {
	s.Device = &devices.Device{Org: org, UID: shown.Device}
	if s.Device.ID, s.Device.Revoked, err = lockDevice(ctx, tx, shown.Device); err != nil {
		return s, err
	}
	if shown.Secret != nil {
		const prove = `SELECT by_next FROM prove_device($1, $2, $3)`
		switch err := tx.QueryRow(ctx, prove, shown.Device, shown.Secret[:], shown.At).Scan(&s.ByNext); {
		case err == nil:
			s.BySecret = true
		case !errors.Is(err, pgx.ErrNoRows):
			return s, fmt.Errorf("look at a secret: %w", err)
		}
	}
	if s.Authorities, err = readAuthorities(ctx, tx, ""); err != nil {
		return s, fmt.Errorf("list authorities: %w", err)
	}
	return s, readShown(ctx, tx, &s)
}

// readShown reads the certificates of a device that asks for itself.
func readShown(ctx context.Context, tx pgx.Tx, s *credential.Showing) error {
	rows, err := tx.Query(ctx, certificatesInUse, int64(s.Device.ID))
	if err != nil {
		return fmt.Errorf("list certificates: %w", err)
	}
	var der []byte
	var revoked bool
	_, err = pgx.ForEachRow(rows, []any{&der, &revoked}, func() error {
		c, err := x509.ParseCertificate(der)
		if err != nil {
			return err
		}
		s.Device.Certificates = append(s.Device.Certificates, devices.Certificate{
			Fingerprint: devices.FingerprintOf(c), NotBefore: c.NotBefore, NotAfter: c.NotAfter, Revoked: revoked,
		})
		if !revoked {
			s.Made = append(s.Made, c)
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("list certificates: %w", err)
	}
	return nil
}
