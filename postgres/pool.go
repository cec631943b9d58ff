package postgres

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"

	"hale/account"
	"hale/fault"
	"hale/vital"
)

// The database roles.
const (
	RoleOwner   = "hale_owner"
	RoleMigrate = "hale_migrate"
	RoleApp     = "hale_app"
	RoleWork    = "hale_work"
)

// Config says how to reach the database.
type Config struct {
	URL func(role string) string // connection string to use for a database role
	// SetRole is set when every URL logs in as one user who is a member of the roles: the role is then taken on
	// after connecting. Without it the URL's user is the role.
	SetRole  bool
	MaxConns int32 // per pool; 0 means 12
	Log      *slog.Logger
}

func openPool(ctx context.Context, cfg Config, role string) (*pgxpool.Pool, error) {
	pc, err := pgxpool.ParseConfig(cfg.URL(role))
	if err != nil {
		return nil, fault.Wrap(fault.Invalid, err, "the database URL cannot be read")
	}
	if cfg.SetRole {
		pc.ConnConfig.RuntimeParams["role"] = role
	}
	pc.ConnConfig.RuntimeParams["application_name"] = "hale " + role
	pc.ConnConfig.RuntimeParams["timezone"] = "UTC"
	// A process that is paused in the middle of a transaction must not hold its locks for ever: the partition's next
	// owner waits for the cursor row. Its connection is ended well before a lease is over.
	pc.ConnConfig.RuntimeParams["idle_in_transaction_session_timeout"] = "5s"
	// Our statements are short; compiling one because its sub-plans look dear costs seconds.
	pc.ConnConfig.RuntimeParams["jit"] = "off"
	pc.ConnConfig.ConnectTimeout = 5 * time.Second
	pc.MaxConns = 12
	if cfg.MaxConns > 0 {
		pc.MaxConns = cfg.MaxConns
	}
	pool, err := pgxpool.NewWithConfig(ctx, pc)
	if err != nil {
		return nil, fault.Wrap(fault.Unavailable, err, "connect to the database as %s", role)
	}
	if err := pool.Ping(ctx); err != nil {
		pool.Close()
		var pg *pgconn.PgError
		if errors.As(err, &pg) && (pg.Code == "22023" || pg.Code == "28000") { // no such role, or not a member of it
			return nil, fault.Wrap(fault.Invalid, err, "the database has no role %s for this user: run `hale migrate` first, or grant it", role)
		}
		return nil, fault.Wrap(fault.Unavailable, err, "connect to the database as %s", role)
	}
	if err := checkVersion(ctx, pool); err != nil {
		pool.Close()
		return nil, err
	}
	return pool, nil
}

// checkVersion refuses a database whose tables are older than this program.
func checkVersion(ctx context.Context, db interface {
	QueryRow(ctx context.Context, sql string, args ...any) pgx.Row
},
) error {
	want, err := newestMigration()
	if err != nil {
		return err
	}
	var have int64
	err = db.QueryRow(ctx, `SELECT coalesce(max(version_id), 0) FROM goose_db_version`).Scan(&have)
	var pg *pgconn.PgError
	if errors.As(err, &pg) && pg.Code == "42P01" { // undefined table: never migrated
		have, err = 0, nil
	}
	if err != nil {
		return classify(fmt.Errorf("look at the version of the tables: %w", err))
	}
	if have == 0 {
		return fault.New(fault.Invalid, "the tables are not there yet: run `hale migrate --database URL` first")
	}
	if have < want {
		return fault.New(fault.Invalid, "the database is at version %d and this program needs %d: run `hale migrate` first", have, want)
	}
	return nil
}

// App is the record as people reach it: always inside one organisation, and no further than the person who asks reaches.
type App struct{ pool *pgxpool.Pool }

// OpenApp connects as hale_app.
func OpenApp(ctx context.Context, cfg Config) (*App, error) {
	pool, err := openPool(ctx, cfg, RoleApp)
	if err != nil {
		return nil, err
	}
	return &App{pool: pool}, nil
}

// Close gives the connections back.
func (a *App) Close() { a.pool.Close() }

// Ping reports whether the database answers.
func (a *App) Ping(ctx context.Context) error {
	return fault.Wrap(fault.Unavailable, a.pool.Ping(ctx), "the database does not answer")
}

// What the row level security of hale_app shows inside an organisation: everything, or the patients whom one person reaches.
const (
	viewOrg       = "org"
	viewStaff     = "staff"
	viewCaregiver = "caregiver"
	viewPatient   = "patient"
	viewNobody    = "nobody" // only what is about no patient
)

// viewOf returns what an actor is shown at most, and the id that says who they are in that view.
func viewOf(actor account.Actor) (view string, who int64) {
	switch actor.Role {
	case account.SelfRole:
		return viewPatient, int64(actor.Self)
	case account.CaregiverRole:
		return viewCaregiver, int64(actor.Caregiver)
	case account.Nurse, account.Pharmacist, account.Physician, account.Researcher: // of whom the last is in no care team
		return viewStaff, int64(actor.Staff)
	case account.DeviceDesk, account.Manager, account.PrivacyOfficer, account.Administrator, account.SystemRole:
		return viewOrg, int64(actor.Staff)
	}
	return viewNobody, 0
}

// as runs f in a transaction that sees what the actor may see at most, and hands it the clock.
func (a *App) as(ctx context.Context, actor account.Actor, f func(tx pgx.Tx, now time.Time) error) error {
	if actor.Nobody() {
		return fault.New(fault.Unauthenticated, "sign in first")
	}
	view, who := viewOf(actor)
	return a.enter(ctx, actor.Org, view, who, f)
}

// inOrg runs f in a transaction that sees one whole organisation, and hands it the clock: for what Hale itself does.
func (a *App) inOrg(ctx context.Context, org vital.OrgID, f func(tx pgx.Tx, now time.Time) error) error {
	return a.enter(ctx, org, viewOrg, 0, f)
}

func (a *App) enter(ctx context.Context, org vital.OrgID, view string, who int64, f func(tx pgx.Tx, now time.Time) error) error {
	if org == 0 {
		return fault.New(fault.Unauthenticated, "sign in first")
	}
	const enter = `
SELECT set_config('app.org', $1, true), set_config('app.view', $2, true), set_config('app.who', $3, true), set_config('app.now', c.now::text, true), c.now
FROM (SELECT clock_timestamp() AS now) c`
	err := pgx.BeginFunc(ctx, a.pool, func(tx pgx.Tx) error {
		var now time.Time
		if err := tx.QueryRow(ctx, enter, fmt.Sprint(int32(org)), view, fmt.Sprint(who)).Scan(nil, nil, nil, nil, &now); err != nil {
			return fmt.Errorf("enter the organisation: %w", err)
		}
		return f(tx, now.UTC())
	})
	return classify(err)
}

// classify gives errors of the database a kind, by SQLSTATE and never by text.
func classify(err error) error {
	if err == nil {
		return nil
	}
	var already *fault.Error
	if errors.As(err, &already) {
		return err
	}
	if away(err) {
		return fault.Wrap(fault.Unavailable, err, "the record is not reachable just now")
	}
	var pg *pgconn.PgError
	if errors.As(err, &pg) && (pg.Code == "22021" || pg.Code == "22P05") { // not in the repertoire, not to be translated
		return fault.New(fault.Invalid, "the text holds a sign that cannot be kept: send UTF-8 without the zero sign")
	}
	return err
}

// away reports whether the same work may succeed later: the server is gone, going, or asks to try again.
func away(err error) bool {
	if errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
		return true
	}
	var pg *pgconn.PgError
	if errors.As(err, &pg) {
		switch pg.Code[:2] {
		case "08", "53", "57", "58": // connection, resources, operator intervention, system
			return true
		case "40": // serialization, deadlock
			return true
		}
		return false
	}
	var connect *pgconn.ConnectError
	var network net.Error
	return errors.As(err, &connect) || errors.As(err, &network) || pgconn.SafeToRetry(err) || errors.Is(err, net.ErrClosed) ||
		errors.Is(err, pgx.ErrTxClosed) || errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, io.EOF)
}

// violated reports whether err is a violation of the named constraint or unique index.
func violated(err error, constraint string) bool {
	var pg *pgconn.PgError
	return errors.As(err, &pg) && pg.Code[:2] == "23" && pg.ConstraintName == constraint
}

func newUID() vital.UID { return vital.UID(uuid.Must(uuid.NewV7()).String()) }

// parseUID refuses what is no UUID as something that does not exist, before the database has to.
func parseUID(uid vital.UID, what string) (uuid.UUID, error) {
	u, err := uuid.Parse(string(uid))
	if err != nil {
		return uuid.UUID{}, fault.New(fault.NotFound, "there is no %s %q", what, string(uid))
	}
	return u, nil
}

func nullTime(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	return &t
}

func timeOf(t *time.Time) time.Time {
	if t == nil {
		return time.Time{}
	}
	return t.UTC()
}

func nullID[T ~int64](id T) *int64 {
	if id == 0 {
		return nil
	}
	n := int64(id)
	return &n
}

const insertAudit = `INSERT INTO audit (org_id, at, actor_id, actor_name, actor_role, session_uid, action, patient_id, object, detail)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)`

func auditArgs(a account.Audit) []any {
	a.Actor = signed(a.Actor)
	name := a.Actor.Name
	if a.Actor.Staff == 0 && name == "" {
		name = "hale"
	}
	return []any{int32(a.Org), a.At, nullID(a.Actor.Staff), name, string(a.Actor.Role), string(a.Actor.Session), a.Action, nullID(a.Patient), a.Object, a.Detail}
}

func writeAudit(ctx context.Context, tx pgx.Tx, a account.Audit) error {
	if _, err := tx.Exec(ctx, insertAudit, auditArgs(a)...); err != nil {
		return fmt.Errorf("write audit row %q: %w", a.Action, err)
	}
	return nil
}
