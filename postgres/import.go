package postgres

import (
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"

	"hale/account"
	"hale/account/identity"
	"hale/fault"
	"hale/vital"
)

const insertImport = `
INSERT INTO import (org_id, uid, kind, hash, content, options, rows, actor_id, actor_name, created_at) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)`

const forgetImports = `UPDATE import SET content = NULL WHERE org_id = $1 AND content IS NOT NULL AND created_at < $2`

// KeepImport stores a file that was checked. See identity.ImportBook.
func (a *App) KeepImport(ctx context.Context, actor account.Actor, i identity.Import, content []byte) (identity.Import, error) {
	err := a.as(ctx, actor, func(tx pgx.Tx, now time.Time) error {
		hash, err := hex.DecodeString(i.Hash)
		if err != nil {
			return fmt.Errorf("read the hash of an import: %w", err)
		}
		options, err := json.Marshal(i.Options)
		if err != nil {
			return fmt.Errorf("write the options of an import: %w", err)
		}
		i.UID, i.CreatedAt, i.Kept = newUID(), now, true
		if _, err := tx.Exec(ctx, forgetImports, int32(actor.Org), now.Add(-identity.KeepImports)); err != nil {
			return fmt.Errorf("forget old files: %w", err)
		}
		_, err = tx.Exec(ctx, insertImport, int32(actor.Org), string(i.UID), string(i.Kind), hash, content, options, i.Rows, nullID(actor.Staff), actor.Name, now)
		if err != nil {
			return fmt.Errorf("keep the file: %w", err)
		}
		return writeAudit(ctx, tx, account.Audit{
			Org: actor.Org, At: now, Actor: actor, Action: "check import", Object: "import " + string(i.UID),
			Detail: fmt.Sprintf("%s, %d rows, SHA-256 %s", i.Kind, i.Rows, i.Hash),
		})
	})
	return i, err
}

// The counts are those of the rows that are done.
const importColumns = `i.uid::text, i.kind, encode(i.hash, 'hex'), i.options, i.rows, i.done, i.state, i.actor_name, i.created_at, i.finished_at, i.content IS NOT NULL,
    n.new, n.same, n.changed, n.double, n.refused
FROM import i CROSS JOIN LATERAL (
    SELECT count(*) FILTER (WHERE outcome = 'new') AS new, count(*) FILTER (WHERE outcome = 'same') AS same, count(*) FILTER (WHERE outcome = 'changed') AS changed,
        count(*) FILTER (WHERE outcome = 'double') AS double, count(*) FILTER (WHERE outcome = 'refused') AS refused
    FROM import_line l WHERE l.org_id = i.org_id AND l.import_id = i.id) n `

func scanImport(row pgx.CollectableRow) (identity.Import, error) {
	var i identity.Import
	var options []byte
	var finished *time.Time
	c := &i.Counts
	err := row.Scan(&i.UID, &i.Kind, &i.Hash, &options, &i.Rows, &i.Done, &i.State, &i.By, &i.CreatedAt, &finished, &i.Kept, &c.New, &c.Same, &c.Changed, &c.Double, &c.Refused)
	if err != nil {
		return i, err
	}
	i.CreatedAt, i.FinishedAt = i.CreatedAt.UTC(), timeOf(finished)
	return i, json.Unmarshal(options, &i.Options)
}

const selectImport = `SELECT ` + importColumns + `WHERE i.uid = $1`

func oneImport(ctx context.Context, tx pgx.Tx, uid vital.UID) (identity.Import, error) {
	u, err := parseUID(uid, "import")
	if err != nil {
		return identity.Import{}, err
	}
	rows, err := tx.Query(ctx, selectImport, u)
	if err != nil {
		return identity.Import{}, fmt.Errorf("load import: %w", err)
	}
	i, err := pgx.CollectExactlyOneRow(rows, scanImport)
	if errors.Is(err, pgx.ErrNoRows) {
		return i, fault.New(fault.NotFound, "there is no import %s", u)
	}
	if err != nil {
		return i, fmt.Errorf("load import: %w", err)
	}
	return i, nil
}

// ImportOf returns an import with its text.
func (a *App) ImportOf(ctx context.Context, actor account.Actor, uid vital.UID) (identity.Import, []byte, error) {
	var i identity.Import
	var content []byte
	err := a.as(ctx, actor, func(tx pgx.Tx, _ time.Time) (err error) {
		if i, err = oneImport(ctx, tx, uid); err != nil {
			return err
		}
		return tx.QueryRow(ctx, `SELECT content FROM import WHERE uid = $1`, string(i.UID)).Scan(&content)
	})
	return i, content, err
}

const selectImports = `SELECT ` + importColumns + `WHERE i.kind = ANY($1) ORDER BY i.created_at DESC, i.id DESC LIMIT $2`

// ImportsOf returns the newest imports of some kinds.
func (a *App) ImportsOf(ctx context.Context, actor account.Actor, kinds []identity.ImportKind, limit int) ([]identity.Import, error) {
	names := make([]string, len(kinds))
	for i, k := range kinds {
		names[i] = string(k)
	}
	var list []identity.Import
	err := a.as(ctx, actor, func(tx pgx.Tx, _ time.Time) error {
		rows, err := tx.Query(ctx, selectImports, names, limit)
		if err != nil {
			return fmt.Errorf("list imports: %w", err)
		}
		list, err = pgx.CollectRows(rows, scanImport)
		return err
	})
	return list, err
}

const selectLines = `
SELECT l.row, l.line, l.entry, l.outcome, coalesce(p.uid::text, ''), l.field, l.problem, o.ids, o.uids, o.names, o.numbers
FROM import_line l JOIN import i ON i.org_id = l.org_id AND i.id = l.import_id LEFT JOIN patient p ON p.org_id = l.org_id AND p.id = l.patient_id
CROSS JOIN LATERAL (
    SELECT coalesce(array_agg(q.id ORDER BY q.id), '{}') AS ids, coalesce(array_agg(q.uid::text ORDER BY q.id), '{}') AS uids,
        coalesce(array_agg(q.name ORDER BY q.id), '{}') AS names, coalesce(array_agg(q.number ORDER BY q.id), '{}') AS numbers
    FROM patient q WHERE q.org_id = l.org_id AND q.id = ANY(l.other_ids)) o
WHERE i.uid = $1 AND ($2 = '' OR l.outcome = $2) AND l.row > $3 ORDER BY l.row LIMIT $4`

// ImportLines returns what became of rows.
func (a *App) ImportLines(ctx context.Context, actor account.Actor, uid vital.UID, o identity.Outcome, after, limit int) ([]identity.ImportLine, error) {
	var list []identity.ImportLine
	err := a.as(ctx, actor, func(tx pgx.Tx, _ time.Time) error {
		i, err := oneImport(ctx, tx, uid)
		if err != nil {
			return err
		}
		rows, err := tx.Query(ctx, selectLines, string(i.UID), string(o), after, limit)
		if err != nil {
			return fmt.Errorf("list the rows of an import: %w", err)
		}
		list, err = pgx.CollectRows(rows, scanLine)
		return err
	})
	return list, err
}

func scanLine(row pgx.CollectableRow) (identity.ImportLine, error) {
	var l identity.ImportLine
	var ids []int64
	var uids, names, numbers []string
	err := row.Scan(&l.Row, &l.Line, &l.Entry, &l.Outcome, &l.Patient, &l.Field, &l.Problem, &ids, &uids, &names, &numbers)
	for i := range ids {
		l.Others = append(l.Others, identity.Candidate{ID: vital.PatientID(ids[i]), Patient: vital.UID(uids[i]), Name: names[i], Number: numbers[i]})
	}
	return l, err
}

// Situate returns what the record knows about rows.
func (a *App) Situate(ctx context.Context, actor account.Actor, q identity.ImportQuestion) (identity.ImportFacts, error) {
	var f identity.ImportFacts
	err := a.as(ctx, actor, func(tx pgx.Tx, now time.Time) (err error) {
		f, err = situate(ctx, tx, q, now)
		return err
	})
	return f, err
}

// AdvanceImport takes in the next rows of an import. See identity.ImportBook. Whoever brings people in does so one after the
// other, so that no two files make the same person.
func (a *App) AdvanceImport(ctx context.Context, actor account.Actor, uid vital.UID, ask func(identity.Import) identity.ImportQuestion, decide func(identity.ImportFacts) []identity.Decided) (identity.Import, []identity.ImportLine, error) {
	var after identity.Import
	var lines []identity.ImportLine
	err := a.as(ctx, actor, func(tx pgx.Tx, now time.Time) error {
		if err := lockIdentities(ctx, tx, actor.Org); err != nil {
			return err
		}
		i, err := oneImport(ctx, tx, uid)
		if err != nil || i.State == identity.ImportDone {
			after = i
			return err
		}
		if err := stillKept(ctx, tx, i); err != nil {
			return err
		}
		if batches := i.Done / identity.ImportBatch; batches > 0 && batches&(batches-1) == 0 { // the file has come to twice as many
			if _, err := tx.Exec(ctx, `SELECT look_anew_at_people()`); err != nil {
				return fmt.Errorf("look anew at how many people there are: %w", err)
			}
		}
		f, err := situate(ctx, tx, ask(i), now)
		if err != nil {
			return err
		}
		s := settling{tx: tx, actor: actor, run: i, now: now, decided: decide(f)}
		if err := s.store(ctx); err != nil {
			return err
		}
		for n := range s.decided {
			lines = append(lines, s.decided[n].Line)
		}
		after, err = oneImport(ctx, tx, uid)
		return err
	})
	return after, lines, err
}

// stillKept refuses to go on when the text has been forgotten meanwhile, as it is when somebody is erased whom it may name; the
// row stays locked, so that forgetting waits for the batch.
func stillKept(ctx context.Context, tx pgx.Tx, i identity.Import) error {
	var kept bool
	if err := tx.QueryRow(ctx, `SELECT content IS NOT NULL FROM import WHERE uid = $1 FOR NO KEY UPDATE`, string(i.UID)).Scan(&kept); err != nil {
		return fmt.Errorf("hold the import: %w", err)
	}
	if !kept {
		return fault.New(fault.Gone, "the file is not kept any more, since it is old or somebody whom it may name was erased: send it again")
	}
	return nil
}

const selectTaken = `
SELECT DISTINCT ON (l.row) l.row, p.uid::text
FROM import i JOIN import_line l ON l.org_id = i.org_id AND l.import_id = i.id JOIN patient p ON p.org_id = l.org_id AND p.id = l.patient_id
WHERE i.hash = $1 AND i.kind = 'patients' AND l.row = ANY($2) AND l.outcome IN ('new', 'same', 'changed') ORDER BY l.row, i.id`

const selectOwners = `
SELECT i.system, i.key, i.patient_id
FROM unnest($1::text[], $2::text[]) AS q (system, key) JOIN patient_identifier i ON i.system = q.system AND i.key = q.key AND i.ended_at IS NULL
WHERE i.until_at IS NULL OR i.until_at > $3`

const selectOfNumbers = `SELECT number, id FROM patient WHERE number = ANY($1) AND number <> ''`

const selectGiven = `SELECT numbers_given($1)`

const selectNameKeys = `SELECT DISTINCT u.given, name_key(u.given) FROM unnest($1::text[]) AS u (given)`

const selectOfNames = `SELECT name_key, id FROM patient WHERE name_key = ANY($1) AND name_key <> '' AND state <> 'merged'`

const selectKnown = `SELECT id, uid::text, org_id, name, birth_year, birth_date, sex, zone, number, state, name_key FROM patient WHERE id = ANY($1)`

const selectStaffNames = `SELECT login, name, role FROM staff WHERE login = ANY($1)`

const selectTeamNames = `
SELECT t.name, t.uid::text, t.usual, NOT EXISTS (SELECT FROM team_member m JOIN staff s ON s.org_id = m.org_id AND s.id = m.staff_id AND ` + atBedside + `
    WHERE m.org_id = t.org_id AND m.team_id = t.id AND m.from_at <= $1 AND (m.to_at IS NULL OR m.to_at > $1::timestamptz + ` + staysFor + `))
FROM team t WHERE t.ended_at IS NULL`

// situate loads what rows have to be held against: a number of queries that does not grow with the rows.
func situate(ctx context.Context, tx pgx.Tx, q identity.ImportQuestion, now time.Time) (identity.ImportFacts, error) {
	f := identity.ImportFacts{
		Now: now, Teams: map[string]vital.UID{}, Alone: map[vital.UID]bool{}, Taken: map[int]vital.UID{}, Owners: map[identity.IdentifierKey]vital.PatientID{},
		Numbers: map[string]vital.PatientID{}, Keys: map[string]string{}, Named: map[string][]vital.PatientID{}, Staff: map[string]identity.KnownStaff{},
		SpentNumbers: map[string]bool{}, SpentKeys: map[identity.IdentifierKey]bool{},
	}
	var text, second string
	var number int64
	var usual, alone bool
	err := each(ctx, tx, selectTeamNames, []any{now}, []any{&text, &second, &usual, &alone}, func() {
		f.Teams[text], f.Alone[vital.UID(second)] = vital.UID(second), alone
		if usual {
			f.Usual = text
		}
	})
	if err != nil {
		return f, err
	}
	if q.Kind == identity.ImportStaff {
		var role string
		return f, each(ctx, tx, selectStaffNames, []any{q.Logins}, []any{&text, &second, &role}, func() { f.Staff[text] = identity.KnownStaff{Name: second, Role: account.Role(role)} })
	}
	hash, err := hex.DecodeString(q.Hash)
	if err != nil {
		return f, fmt.Errorf("read the hash of an import: %w", err)
	}
	var row int
	if err := each(ctx, tx, selectTaken, []any{hash, q.Rows}, []any{&row, &text}, func() { f.Taken[row] = vital.UID(text) }); err != nil {
		return f, err
	}
	systems, keys := make([]string, len(q.Keys)), make([]string, len(q.Keys))
	for i, k := range q.Keys {
		systems[i], keys[i] = k.System, k.Key
	}
	people := map[int64]bool{}
	err = each(ctx, tx, selectOwners, []any{systems, keys, now}, []any{&text, &second, &number}, func() {
		f.Owners[identity.IdentifierKey{System: text, Key: second}], people[number] = vital.PatientID(number), true
	})
	if err != nil {
		return f, err
	}
	err = each(ctx, tx, selectOfNumbers, []any{q.Numbers}, []any{&text, &number}, func() { f.Numbers[text], people[number] = vital.PatientID(number), true })
	if err != nil {
		return f, err
	}
	var nameKeys []string
	err = each(ctx, tx, selectNameKeys, []any{q.Names}, []any{&text, &second}, func() { f.Keys[text], nameKeys = second, append(nameKeys, second) })
	if err != nil {
		return f, err
	}
	err = each(ctx, tx, selectOfNames, []any{nameKeys}, []any{&text, &number}, func() {
		f.Named[text], people[number] = append(f.Named[text], vital.PatientID(number)), true
	})
	if err != nil {
		return f, err
	}
	if f.People, err = knownPeople(ctx, tx, people, f.Keys); err != nil {
		return f, err
	}
	spend(&f)
	return f, each(ctx, tx, selectGiven, []any{q.Numbers}, []any{&text}, func() {
		if f.Numbers[text] == 0 {
			f.SpentNumbers[text] = true
		}
	})
}

// spend leaves out of the facts who cannot be reached (row level security shows what hangs on them, and not them), and notes
// that what they have is spent.
func spend(f *identity.ImportFacts) {
	reached := map[vital.PatientID]bool{}
	for i := range f.People {
		reached[f.People[i].ID] = true
	}
	for key, id := range f.Owners {
		if !reached[id] {
			delete(f.Owners, key)
			f.SpentKeys[key] = true
		}
	}
	maps.DeleteFunc(f.Numbers, func(_ string, id vital.PatientID) bool { return !reached[id] }) // they are looked up as given
	for name, ids := range f.Named {
		f.Named[name] = slices.DeleteFunc(ids, func(id vital.PatientID) bool { return !reached[id] })
	}
}

// knownPeople loads people, and notes the keys of their names.
func knownPeople(ctx context.Context, tx pgx.Tx, people map[int64]bool, nameKeys map[string]string) ([]identity.Known, error) {
	ids := make([]int64, 0, len(people))
	for id := range people {
		ids = append(ids, id)
	}
	rows, err := tx.Query(ctx, selectKnown, ids)
	if err != nil {
		return nil, fmt.Errorf("load patients: %w", err)
	}
	list, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (k identity.Known, err error) {
		var key string
		err = row.Scan(&k.ID, &k.UID, &k.Org, &k.Name, &k.BirthYear, &k.BirthDate, &k.Sex, &k.Zone, &k.Number, &k.State, &key)
		nameKeys[k.Name] = key
		return k, err
	})
	if err != nil {
		return nil, fmt.Errorf("load patients: %w", err)
	}
	return list, nil
}

// each asks a query and calls f for each row, which stands in the targets.
func each(ctx context.Context, tx pgx.Tx, query string, args, targets []any, f func()) error {
	rows, err := tx.Query(ctx, query, args...)
	if err != nil {
		return fmt.Errorf("ask about the rows of an import: %w", err)
	}
	_, err = pgx.ForEachRow(rows, targets, func() error {
		f()
		return nil
	})
	if err != nil {
		return fmt.Errorf("ask about the rows of an import: %w", err)
	}
	return nil
}

// In returns the operator as who acts in an organisation; fault.NotFound when there is none of the name.
func (o Operator) In(ctx context.Context, organisation string) (account.Actor, error) {
	var who account.Actor
	err := o.inNamed(ctx, organisation, func(_ pgx.Tx, operator account.Actor, _ time.Time) error {
		who = operator
		return nil
	})
	who.Name, who.Role = OperatorName, account.Administrator
	return who, err
}
