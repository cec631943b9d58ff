package postgres

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"hale/account"
	"hale/account/identity"
	"hale/fault"
	"hale/vital"
)

// numberSystem is what stands before the organisation's id in the URI of its own numbers.
const numberSystem = "urn:hale:number:"

const selectOrgUID = `SELECT uid::text FROM org`

// NumberSystem returns the URI under which the organisation's own numbers are known to others. It holds the organisation's
// id, so that the numbers of two programmes are never taken for each other's.
func (a *App) NumberSystem(ctx context.Context, actor account.Actor) (string, error) {
	var uid string
	err := a.as(ctx, actor, func(tx pgx.Tx, _ time.Time) error {
		if err := tx.QueryRow(ctx, selectOrgUID).Scan(&uid); err != nil {
			return fmt.Errorf("load the organisation: %w", err)
		}
		return nil
	})
	return numberSystem + uid, err
}

const selectSystems = `SELECT uri, title, folds FROM identifier_system ORDER BY title COLLATE "und-x-icu", uri`

// Systems returns what the organisation says about systems.
func (a *App) Systems(ctx context.Context, actor account.Actor) ([]identity.IdentifierSystem, error) {
	var list []identity.IdentifierSystem
	err := a.as(ctx, actor, func(tx pgx.Tx, _ time.Time) error {
		rows, err := tx.Query(ctx, selectSystems)
		if err != nil {
			return fmt.Errorf("list systems: %w", err)
		}
		list, err = pgx.CollectRows(rows, pgx.RowToStructByPos[identity.IdentifierSystem])
		return err
	})
	return list, err
}

const upsertSystem = `
INSERT INTO identifier_system (org_id, uri, title, folds, created_at)
SELECT $1, $2, $3, $4, $5
WHERE $4 = coalesce((SELECT s.folds FROM identifier_system s WHERE s.org_id = $1 AND s.uri = $2), false)
    OR NOT EXISTS (SELECT FROM patient_identifier i WHERE i.org_id = $1 AND i.system = $2)
ON CONFLICT (org_id, uri) DO UPDATE SET title = excluded.title, folds = excluded.folds`

// SetSystem stores what is said about a system. See identity.IdentityBook.
func (a *App) SetSystem(ctx context.Context, actor account.Actor, s identity.IdentifierSystem) error {
	return a.as(ctx, actor, func(tx pgx.Tx, now time.Time) error {
		if err := lockIdentities(ctx, tx, actor.Org); err != nil {
			return err
		}
		done, err := tx.Exec(ctx, upsertSystem, int32(actor.Org), s.URI, s.Title, s.Folds, now)
		if err != nil {
			return fmt.Errorf("set system: %w", err)
		}
		if done.RowsAffected() == 0 {
			return fault.New(fault.Conflict, "there are identifiers of this system already: whether large and small letters are the same in it cannot be changed any more")
		}
		return writeAudit(ctx, tx, account.Audit{Org: actor.Org, At: now, Actor: actor, Action: "set identifier system", Object: "system " + s.URI, Detail: fmt.Sprintf("folds %v", s.Folds)})
	})
}

// lockIdentities makes whoever gives identifiers in an organisation do so one after the other, until the transaction ends:
// what a file points to is decided before it is stored.
func lockIdentities(ctx context.Context, tx pgx.Tx, org vital.OrgID) error {
	if _, err := tx.Exec(ctx, `SELECT pg_advisory_xact_lock(hashtext('identities'), $1)`, int32(org)); err != nil {
		return fmt.Errorf("wait for others who give identifiers: %w", err)
	}
	return nil
}

const identifierColumns = `i.uid::text, i.system, i.value, i.key, i.use, i.from_when, i.to_when, i.added_at, as_of_freeze(i.patient_id, i.ended_at), CASE WHEN i.ended_at IS DISTINCT FROM as_of_freeze(i.patient_id, i.ended_at) THEN '' ELSE i.end_reason END`

func scanIdentifier(row pgx.CollectableRow) (identity.Identifier, error) {
	var i identity.Identifier
	var ended *time.Time
	err := row.Scan(&i.UID, &i.System, &i.Value, &i.Key, &i.Use, &i.From, &i.To, &i.AddedAt, &ended, &i.Reason)
	i.AddedAt, i.EndedAt = i.AddedAt.UTC(), timeOf(ended)
	return i, err
}

const selectIdentifiers = `SELECT ` + identifierColumns + ` FROM patient_identifier i WHERE i.patient_id = $1 ORDER BY i.ended_at IS NOT NULL, i.system, i.id`

// Identifiers returns all identifiers of a patient, those in force first.
func (a *App) Identifiers(ctx context.Context, actor account.Actor, patient vital.UID) ([]identity.Identifier, error) {
	var list []identity.Identifier
	err := a.as(ctx, actor, func(tx pgx.Tx, _ time.Time) error {
		p, err := onePatient(ctx, tx, patient)
		if err != nil {
			return err
		}
		list, err = identifiersOf(ctx, tx, p.ID)
		return err
	})
	return list, err
}

func identifiersOf(ctx context.Context, tx pgx.Tx, patient vital.PatientID) ([]identity.Identifier, error) {
	rows, err := tx.Query(ctx, selectIdentifiers, int64(patient))
	if err != nil {
		return nil, fmt.Errorf("list identifiers: %w", err)
	}
	list, err := pgx.CollectRows(rows, scanIdentifier)
	if err != nil {
		return nil, fmt.Errorf("list identifiers: %w", err)
	}
	return list, nil
}

// What has run out by its own period is ended before the same identifier is given again.
const endLapsed = `
UPDATE patient_identifier SET ended_at = until_at, end_reason = 'its period is over'
WHERE org_id = $1 AND ended_at IS NULL AND until_at <= $2 AND (system, key) IN (SELECT * FROM unnest($3::text[], $4::text[]))`

const insertIdentifiers = `
INSERT INTO patient_identifier (org_id, uid, patient_id, system, value, key, use, from_when, to_when, until_at, added_at, ended_at, end_reason)
SELECT $1, g.uid, g.patient_id, g.system, g.value, g.key, g.use, g.from_when, g.to_when, g.until_at, $2, g.ended_at, g.end_reason
FROM unnest($3::uuid[], $4::bigint[], $5::text[], $6::text[], $7::text[], $8::text[], $9::text[], $10::text[], $11::timestamptz[], $12::timestamptz[], $13::text[])
    AS g (uid, patient_id, system, value, key, use, from_when, to_when, until_at, ended_at, end_reason)`

// given is an identifier for a patient.
type given struct {
	patient vital.PatientID
	identity.Identifier
}

// giveIdentifiers stores identifiers. One that is in force for somebody is fault.Conflict.
func giveIdentifiers(ctx context.Context, tx pgx.Tx, org vital.OrgID, now time.Time, list []given) error {
	if len(list) == 0 {
		return nil
	}
	var (
		uids, systems, values, keys, uses, froms, tos, reasons []string
		patients                                               []int64
		untils, ends                                           []*time.Time
	)
	for _, g := range list {
		uids, patients = append(uids, string(g.UID)), append(patients, int64(g.patient))
		systems, values, keys, uses = append(systems, g.System), append(values, g.Value), append(keys, g.Key), append(uses, g.Use)
		froms, tos, reasons = append(froms, g.From), append(tos, g.To), append(reasons, g.Reason)
		untils, ends = append(untils, nullTime(vital.EndOf(g.To))), append(ends, nullTime(g.EndedAt))
	}
	if _, err := tx.Exec(ctx, endLapsed, int32(org), now, systems, keys); err != nil {
		return fmt.Errorf("end identifiers that have run out: %w", err)
	}
	_, err := tx.Exec(ctx, insertIdentifiers, int32(org), now, uids, patients, systems, values, keys, uses, froms, tos, untils, ends, reasons)
	if violated(err, "patient_identifier_in_force") {
		return fault.New(fault.Conflict, "this identifier was given already: end it there first, or see whether both are one person; when you find nobody who has it, it cannot be given again")
	}
	if err != nil {
		return fmt.Errorf("add identifiers: %w", err)
	}
	return nil
}

// AddIdentifier stores an identifier with the audit row, which names the system and not the value.
func (a *App) AddIdentifier(ctx context.Context, actor account.Actor, patient vital.UID, i identity.Identifier) (identity.Identifier, error) {
	err := a.as(ctx, actor, func(tx pgx.Tx, now time.Time) error {
		p, err := onePatient(ctx, tx, patient)
		if err != nil {
			return err
		}
		if err := lockIdentities(ctx, tx, p.Org); err != nil {
			return err
		}
		i.UID, i.AddedAt = newUID(), now
		if err := giveIdentifiers(ctx, tx, p.Org, now, []given{{p.ID, i}}); err != nil {
			return err
		}
		return writeAudit(ctx, tx, account.Audit{Org: p.Org, At: now, Actor: actor, Action: "add identifier", Patient: p.ID, Object: "identifier " + string(i.UID), Detail: i.System})
	})
	return i, err
}

const endIdentifier = `UPDATE patient_identifier SET ended_at = $4, end_reason = $5 WHERE org_id = $1 AND patient_id = $2 AND uid = $3 AND ended_at IS NULL RETURNING system`

// EndIdentifier ends an identifier that is in force.
func (a *App) EndIdentifier(ctx context.Context, actor account.Actor, patient, identifier vital.UID, reason string) error {
	return a.as(ctx, actor, func(tx pgx.Tx, now time.Time) error {
		p, err := onePatient(ctx, tx, patient)
		if err != nil {
			return err
		}
		u, err := parseUID(identifier, "identifier")
		if err != nil {
			return err
		}
		var system string
		err = tx.QueryRow(ctx, endIdentifier, int32(p.Org), int64(p.ID), u, now, reason).Scan(&system)
		if errors.Is(err, pgx.ErrNoRows) {
			return fault.New(fault.NotFound, "this patient has no such identifier in force")
		}
		if err != nil {
			return fmt.Errorf("end identifier: %w", err)
		}
		return writeAudit(ctx, tx, account.Audit{Org: p.Org, At: now, Actor: actor, Action: "end identifier", Patient: p.ID, Object: "identifier " + u.String(), Detail: system})
	})
}

const selectIdentified = `SELECT ` + patientColumns + patientTables + `
JOIN patient_identifier i ON i.org_id = p.org_id AND i.patient_id = p.id
WHERE i.system = $1 AND i.key = $2 AND i.ended_at IS NULL AND (i.until_at IS NULL OR i.until_at > $3) AND p.state <> 'merged'`

// Identified returns the patient whom an identifier in force points to, if there is one within the actor's view.
func (a *App) Identified(ctx context.Context, actor account.Actor, system, key string) ([]account.Patient, error) {
	return a.somePatients(ctx, actor, func(now time.Time) (string, []any) { return selectIdentified, []any{system, key, now} })
}

const selectNumbered = `SELECT ` + patientColumns + patientTables + `WHERE (p.number = $1 AND p.number <> '' OR p.id IN (SELECT merged_as($1))) AND p.state <> 'merged'`

// Numbered is Identified for the programme's own number.
func (a *App) Numbered(ctx context.Context, actor account.Actor, number string) ([]account.Patient, error) {
	return a.somePatients(ctx, actor, func(time.Time) (string, []any) { return selectNumbered, []any{number} })
}

func (a *App) somePatients(ctx context.Context, actor account.Actor, query func(now time.Time) (string, []any)) ([]account.Patient, error) {
	var list []account.Patient
	err := a.as(ctx, actor, func(tx pgx.Tx, now time.Time) error {
		sql, args := query(now)
		rows, err := tx.Query(ctx, sql, args...)
		if err != nil {
			return fmt.Errorf("find patient: %w", err)
		}
		list, err = pgx.CollectRows(rows, scanPatient)
		return err
	})
	return list, err
}

const selectChanges = `SELECT at, actor_name, source, field, before, after FROM patient_change WHERE patient_id = $1 ORDER BY at DESC, id DESC LIMIT 200`

// Changes returns what was changed of who the patient is, the newest first.
func (a *App) Changes(ctx context.Context, actor account.Actor, patient vital.UID) ([]identity.PatientChange, error) {
	var list []identity.PatientChange
	err := a.as(ctx, actor, func(tx pgx.Tx, _ time.Time) error {
		p, err := onePatient(ctx, tx, patient)
		if err != nil {
			return err
		}
		rows, err := tx.Query(ctx, selectChanges, int64(p.ID))
		if err != nil {
			return fmt.Errorf("list changes: %w", err)
		}
		list, err = pgx.CollectRows(rows, pgx.RowToStructByPos[identity.PatientChange])
		return err
	})
	return list, err
}
