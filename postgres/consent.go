package postgres

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"hale/account"
	"hale/account/consent"
	"hale/fault"
	"hale/push"
	"hale/vital"
)

const selectTexts = `SELECT uid::text, purpose, version, language, body, effective_from, author_name, created_at FROM consent_text ORDER BY purpose, version, language`

func textsOf(ctx context.Context, tx pgx.Tx) ([]consent.Text, error) {
	rows, err := tx.Query(ctx, selectTexts)
	if err != nil {
		return nil, fmt.Errorf("load consent texts: %w", err)
	}
	list, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (consent.Text, error) {
		var t consent.Text
		err := row.Scan(&t.UID, &t.Purpose, &t.Version, &t.Language, &t.Body, &t.EffectiveFrom, &t.AuthorName, &t.CreatedAt)
		t.EffectiveFrom, t.CreatedAt = t.EffectiveFrom.UTC(), t.CreatedAt.UTC()
		return t, err
	})
	if err != nil {
		return nil, fmt.Errorf("load consent texts: %w", err)
	}
	return list, nil
}

// ConsentTexts returns the organisation's texts. See consent.Store.
func (a *App) ConsentTexts(ctx context.Context, actor account.Actor) (list []consent.Text, err error) {
	err = a.as(ctx, actor, func(tx pgx.Tx, _ time.Time) (err error) {
		list, err = textsOf(ctx, tx)
		return err
	})
	return list, err
}

const insertText = `
INSERT INTO consent_text (org_id, uid, purpose, version, language, body, effective_from, author_id, author_name, created_at) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)`

// AddConsentText stores the next text. See consent.Store.
func (a *App) AddConsentText(ctx context.Context, actor account.Actor, decide func([]consent.Text, time.Time) (consent.Text, error)) (t consent.Text, err error) {
	err = a.as(ctx, actor, func(tx pgx.Tx, now time.Time) error {
		texts, err := textsOf(ctx, tx)
		if err != nil {
			return err
		}
		if t, err = decide(texts, now); err != nil {
			return err
		}
		t.UID = newUID()
		_, err = tx.Exec(ctx, insertText, int32(actor.Org), string(t.UID), string(t.Purpose), t.Version, t.Language, t.Body, t.EffectiveFrom, nullID(actor.Staff), t.AuthorName, t.CreatedAt)
		if violated(err, "consent_text_org_id_purpose_version_language_key") {
			return fault.New(fault.Conflict, "somebody added a text in the same moment: look at it again")
		}
		if err != nil {
			return fmt.Errorf("add consent text: %w", err)
		}
		return writeAudit(ctx, tx, account.Audit{
			Org: actor.Org, At: now, Actor: actor, Action: string(account.WriteConsent), Object: "consent text " + string(t.UID),
			Detail: fmt.Sprintf("%s version %d in %s", t.Purpose, t.Version, t.Language),
		})
	})
	return t, err
}

// ConsentFile returns what is known of a patient's consents. See consent.Store.
func (a *App) ConsentFile(ctx context.Context, actor account.Actor, uid vital.UID) (f consent.File, at time.Time, err error) {
	err = a.as(ctx, actor, func(tx pgx.Tx, now time.Time) (err error) {
		at = now
		f, err = consentFile(ctx, tx, actor, uid)
		return err
	})
	return f, at, err
}

// theirs loads a patient: the one who acts when no uid is given.
func theirs(ctx context.Context, tx pgx.Tx, actor account.Actor, uid vital.UID) (account.Patient, error) {
	if uid == "" {
		if actor.Self == 0 {
			return account.Patient{}, fault.New(fault.Forbidden, "this is for patients about themselves: name the patient")
		}
		err := tx.QueryRow(ctx, `SELECT uid::text FROM patient WHERE id = $1`, int64(actor.Self)).Scan(&uid)
		if errors.Is(err, pgx.ErrNoRows) {
			return account.Patient{}, fault.New(fault.NotFound, "you have no record of your own here")
		}
		if err != nil {
			return account.Patient{}, fmt.Errorf("find one's own record: %w", err)
		}
	}
	return onePatient(ctx, tx, uid)
}

// lockPatient keeps two acts about one patient's consents apart, and reads the clock again: the lock may have taken its time.
func lockPatient(ctx context.Context, tx pgx.Tx, actor account.Actor, uid vital.UID) (f consent.File, now time.Time, err error) {
	p, err := theirs(ctx, tx, actor, uid)
	if err != nil {
		return f, now, err
	}
	if _, err := tx.Exec(ctx, `SELECT 1 FROM patient WHERE id = $1 FOR NO KEY UPDATE`, int64(p.ID)); err != nil {
		return f, now, fmt.Errorf("lock patient: %w", err)
	}
	if err := tx.QueryRow(ctx, `SELECT clock_timestamp()`).Scan(&now); err != nil {
		return f, now, fmt.Errorf("read the clock: %w", err)
	}
	f, err = consentFile(ctx, tx, actor, p.UID)
	return f, now.UTC(), err
}

const selectDecisions = `
SELECT d.id, d.uid::text, d.purpose, d.version, d.language, d.choice, d.decided_by, coalesce(d.caregiver_id, 0), d.through, coalesce(d.staff_id, 0), d.recorded_by,
    d.document, d.witness, d.decided_at, d.created_at,
    EXISTS (SELECT FROM private_item i WHERE i.org_id = d.org_id AND i.kind = 'consent' AND i.ref = d.uid AND i.unmarked_at IS NULL)
FROM consent_decision d WHERE d.patient_id = $1 ORDER BY d.decided_at, d.id`

func scanDecision(row pgx.CollectableRow, more ...any) (consent.Decision, error) {
	var d consent.Decision
	err := row.Scan(append([]any{
		&d.ID, &d.UID, &d.Purpose, &d.Version, &d.Language, &d.Choice, &d.By, &d.Guardian, &d.Through, &d.Staff, &d.RecordedBy,
		&d.Document, &d.Witness, &d.DecidedAt, &d.RecordedAt, &d.Private,
	}, more...)...)
	d.DecidedAt, d.RecordedAt = d.DecidedAt.UTC(), d.RecordedAt.UTC()
	return d, err
}

func consentFile(ctx context.Context, tx pgx.Tx, actor account.Actor, uid vital.UID) (f consent.File, err error) {
	if f.Patient, err = theirs(ctx, tx, actor, uid); err != nil {
		return f, err
	}
	if f.Texts, err = textsOf(ctx, tx); err != nil {
		return f, err
	}
	rows, err := tx.Query(ctx, selectDecisions, int64(f.Patient.ID))
	if err != nil {
		return f, fmt.Errorf("load consents: %w", err)
	}
	if f.Log, err = pgx.CollectRows(rows, func(row pgx.CollectableRow) (consent.Decision, error) { return scanDecision(row) }); err != nil {
		return f, fmt.Errorf("load consents: %w", err)
	}
	if f.Grants, err = grantsOf(ctx, tx, f.Patient.ID); err != nil {
		return f, err
	}
	if f.Steps, err = endingSteps(ctx, tx, f.Patient.ID); err != nil {
		return f, err
	}
	f.Requests, err = requestsOf(ctx, tx, f.Patient.ID)
	return f, err
}

const selectRequests = `
SELECT r.uid::text, c.uid::text, c.name, r.purpose, r.version, r.choice, r.made_at, r.settled_at, coalesce(r.accepted, false)
FROM guardian_request r JOIN caregiver c ON c.org_id = r.org_id AND c.id = r.caregiver_id WHERE r.patient_id = $1 ORDER BY r.id`

func requestsOf(ctx context.Context, tx pgx.Tx, patient vital.PatientID) ([]consent.GuardianRequest, error) {
	rows, err := tx.Query(ctx, selectRequests, int64(patient))
	if err != nil {
		return nil, fmt.Errorf("load guardians' requests: %w", err)
	}
	list, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (consent.GuardianRequest, error) {
		var r consent.GuardianRequest
		var settled *time.Time
		err := row.Scan(&r.UID, &r.Guardian, &r.Name, &r.Purpose, &r.Version, &r.Choice, &r.MadeAt, &settled, &r.Accepted)
		r.MadeAt, r.SettledAt = r.MadeAt.UTC(), timeOf(settled)
		return r, err
	})
	if err != nil {
		return nil, fmt.Errorf("load guardians' requests: %w", err)
	}
	return list, nil
}

const insertRequest = `INSERT INTO guardian_request (org_id, uid, patient_id, caregiver_id, purpose, version, choice, made_at) VALUES ($1, $2, $3, $4, $5, $6, $7, $8)`

// DecideConsent takes a decision down, or a guardian's request. See consent.Store.
func (a *App) DecideConsent(ctx context.Context, actor account.Actor, uid vital.UID, decide func(*consent.File, time.Time) (consent.Effect, error)) error {
	return a.as(ctx, actor, func(tx pgx.Tx, _ time.Time) error {
		f, now, err := lockPatient(ctx, tx, actor, uid)
		if err != nil {
			return err
		}
		effect, err := decide(&f, now)
		if err != nil {
			return err
		}
		if actor.Role != account.CaregiverRole {
			return saveDecision(ctx, tx, actor, &f.Patient, effect, now)
		}
		request, d := newUID(), effect.Decision
		if _, err := tx.Exec(ctx, insertRequest, int32(actor.Org), string(request), int64(f.Patient.ID), int64(actor.Caregiver), string(d.Purpose), d.Version, string(d.Choice), now); err != nil {
			return fmt.Errorf("keep the guardian's request: %w", err)
		}
		if err := notify(ctx, tx, push.Notice{Org: actor.Org, Patient: f.Patient.ID, Topic: push.GuardianAsks, Dedup: string(request), CreatedAt: now}); err != nil {
			return err
		}
		return writeAudit(ctx, tx, account.Audit{
			Org: actor.Org, At: now, Actor: actor, Action: string(account.RecordConsent), Patient: f.Patient.ID, Object: "request " + string(request),
			Detail: fmt.Sprintf("asks the team: %s %s", d.Purpose, d.Choice),
		})
	})
}

const settleRequest = `UPDATE guardian_request SET settled_at = $2, settled_by = $3, accepted = $4 WHERE uid = $1 AND settled_at IS NULL`

// SettleRequest answers a guardian's request. See consent.Store.
func (a *App) SettleRequest(ctx context.Context, actor account.Actor, uid, request vital.UID, accept bool, decide func(*consent.File, consent.GuardianRequest, time.Time) (consent.Effect, error)) error {
	return a.as(ctx, actor, func(tx pgx.Tx, _ time.Time) error {
		f, now, err := lockPatient(ctx, tx, actor, uid)
		if err != nil {
			return err
		}
		var asked consent.GuardianRequest
		for _, r := range f.Requests {
			if r.UID == request {
				asked = r
			}
		}
		effect, err := decide(&f, asked, now) // first whether the actor may know of the patient at all
		switch {
		case asked.UID == "":
			return fault.New(fault.NotFound, "there is no such request")
		case !asked.SettledAt.IsZero():
			return fault.New(fault.Conflict, "this request has been answered already")
		case err != nil:
			return err
		}
		if _, err := tx.Exec(ctx, settleRequest, string(request), now, int64(actor.Staff), accept); err != nil {
			return fmt.Errorf("settle the request: %w", err)
		}
		if accept {
			return saveDecision(ctx, tx, actor, &f.Patient, effect, now)
		}
		return writeAudit(ctx, tx, account.Audit{
			Org: actor.Org, At: now, Actor: actor, Action: string(account.RecordConsent), Patient: f.Patient.ID, Object: "request " + string(request), Detail: "refused",
		})
	})
}

const insertDecision = `
INSERT INTO consent_decision (org_id, uid, patient_id, purpose, version, language, choice, decided_by, caregiver_id, through, staff_id, recorded_by, document, witness, decided_at, created_at)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16)`

// saveDecision writes a decision with all that follows from it.
func saveDecision(ctx context.Context, tx pgx.Tx, actor account.Actor, p *account.Patient, e consent.Effect, now time.Time) error {
	d := &e.Decision
	d.UID = newUID()
	_, err := tx.Exec(ctx, insertDecision, int32(p.Org), string(d.UID), int64(p.ID), string(d.Purpose), d.Version, d.Language, string(d.Choice), string(d.By),
		nullID(d.Guardian), string(d.Through), nullID(d.Staff), d.RecordedBy, d.Document, d.Witness, d.DecidedAt, d.RecordedAt)
	if err != nil {
		return fmt.Errorf("write the decision: %w", err)
	}
	detail := fmt.Sprintf("%s %s, version %d, by %s through %s", d.Purpose, d.Choice, d.Version, d.By, d.Through)
	row := account.Audit{Org: p.Org, At: now, Actor: actor, Action: string(account.RecordConsent), Patient: p.ID, Object: "consent " + string(d.UID), Detail: detail}
	if err := writeAudit(ctx, tx, row); err != nil {
		return err
	}
	if e.Stops {
		if _, err := tx.Exec(ctx, cancelPurpose, int64(p.ID), string(d.Purpose), now, "consent ended"); err != nil {
			return fmt.Errorf("cancel waiting notices: %w", err)
		}
	}
	if e.Step == "" {
		return nil
	}
	return saveEnding(ctx, tx, actor, p, consent.EndingStep{Kind: e.Step, At: now}, e.State)
}

// cancelPurpose leaves the notices that speak of the care itself: the team and the patient go on being told.
const cancelPurpose = `
UPDATE outbox SET cancelled_at = $3, cancelled_for = $4 WHERE patient_id = $1 AND purpose = $2 AND purpose <> 'care' AND sent_at IS NULL AND cancelled_at IS NULL`

const insertNoticeTo = `
INSERT INTO outbox (org_id, patient_id, topic, dedup, severity, created_at, audience, caregiver_id, purpose) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)
ON CONFLICT (org_id, topic, dedup) DO NOTHING`

// notify owes somebody a notice: the team, unless it names another audience.
func notify(ctx context.Context, tx pgx.Tx, n push.Notice) error {
	if n.Audience == "" {
		n.Audience = push.ToTeam
	}
	if n.Purpose == "" {
		n.Purpose = string(consent.ForCare)
	}
	if n.Severity == "" {
		n.Severity = push.SeverityNone
	}
	_, err := tx.Exec(ctx, insertNoticeTo, int32(n.Org), int64(n.Patient), string(n.Topic), n.Dedup, n.Severity, n.CreatedAt, string(n.Audience), nullID(n.Caregiver), n.Purpose)
	if err != nil {
		return fmt.Errorf("owe a notice: %w", err)
	}
	return nil
}

const newestDecisions = `
SELECT DISTINCT ON (d.patient_id, d.purpose) d.id, d.uid::text, d.purpose, d.version, d.language, d.choice, d.decided_by, coalesce(d.caregiver_id, 0), d.through,
    coalesce(d.staff_id, 0), d.recorded_by, d.document, d.witness, d.decided_at, d.created_at, false, d.patient_id
FROM consent_decision d WHERE d.decided_at <= $1 ORDER BY d.patient_id, d.purpose, d.decided_at DESC, d.id DESC`

// ConsentFiles returns, of all whom the actor reaches and whose care has not ended, how their consents stand: of each log the
// newest decision of each purpose, which is what a standing is made of.
func (a *App) ConsentFiles(ctx context.Context, actor account.Actor) (files []consent.File, at time.Time, err error) {
	err = a.as(ctx, actor, func(tx pgx.Tx, now time.Time) error {
		at = now
		texts, err := textsOf(ctx, tx)
		if err != nil {
			return err
		}
		rows, err := tx.Query(ctx, `SELECT `+patientColumns+patientTables+`WHERE p.state IN ('active', 'ending') ORDER BY p.name COLLATE "und-x-icu", p.id`)
		if err != nil {
			return fmt.Errorf("list patients: %w", err)
		}
		people, err := pgx.CollectRows(rows, scanPatient)
		if err != nil {
			return fmt.Errorf("list patients: %w", err)
		}
		if rows, err = tx.Query(ctx, newestDecisions, now); err != nil {
			return fmt.Errorf("list consents: %w", err)
		}
		logs := map[vital.PatientID][]consent.Decision{}
		_, err = pgx.CollectRows(rows, func(row pgx.CollectableRow) (struct{}, error) {
			var patient vital.PatientID
			d, err := scanDecision(row, &patient)
			logs[patient] = append(logs[patient], d)
			return struct{}{}, err
		})
		if err != nil {
			return fmt.Errorf("list consents: %w", err)
		}
		for _, p := range people {
			files = append(files, consent.File{Patient: p, Texts: texts, Log: logs[p.ID]})
		}
		return nil
	})
	return files, at, err
}
