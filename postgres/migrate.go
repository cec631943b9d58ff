package postgres

import (
	"context"
	"embed"
	"fmt"
	"io/fs"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/stdlib"
	"github.com/pressly/goose/v3"

	"hale/fault"
)

//go:embed migrations/*.sql
var migrations embed.FS

// createRoles makes the four roles. Only a superuser can (BYPASSRLS); where they exist it changes nothing, so that
// an operator may make them by hand and run migrations with less power.
const createRoles = `
DO $$
BEGIN
    IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'hale_owner') THEN CREATE ROLE hale_owner NOLOGIN; END IF;
    IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'hale_migrate') THEN CREATE ROLE hale_migrate LOGIN BYPASSRLS; GRANT hale_owner TO hale_migrate; END IF;
    IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'hale_app') THEN CREATE ROLE hale_app LOGIN; END IF;
    IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'hale_work') THEN CREATE ROLE hale_work LOGIN BYPASSRLS; END IF;
EXCEPTION WHEN duplicate_object OR unique_violation THEN NULL; -- another migration was faster
END
$$`

// grantSchema lets the owner make tables and the migration role keep its own version table.
const grantSchema = `GRANT USAGE, CREATE ON SCHEMA public TO hale_owner, hale_migrate; GRANT USAGE ON SCHEMA public TO hale_app, hale_work`

// Migrated tells between which versions the tables were brought; 0 is an empty database.
type Migrated struct{ From, To int64 }

// Migrate makes the roles where they are missing and brings the tables to this program's version. The login of
// adminURL must be a superuser the first time; later a member of hale_migrate is enough.
func Migrate(ctx context.Context, adminURL string) (Migrated, error) {
	newest, err := newestMigration()
	if err != nil {
		return Migrated{}, err
	}
	return migrateTo(ctx, adminURL, newest)
}

func migrateTo(ctx context.Context, adminURL string, version int64) (Migrated, error) {
	cc, err := pgx.ParseConfig(adminURL)
	if err != nil {
		return Migrated{}, fault.Wrap(fault.Invalid, err, "the database URL cannot be read")
	}
	conn, err := pgx.ConnectConfig(ctx, cc)
	if err != nil {
		return Migrated{}, fault.Wrap(fault.Unavailable, err, "connect to the database to migrate it")
	}
	err = prepare(ctx, conn)
	if closeErr := conn.Close(ctx); err == nil && closeErr != nil {
		err = closeErr
	}
	if err != nil {
		return Migrated{}, err
	}

	cc.RuntimeParams["role"] = RoleMigrate
	db := stdlib.OpenDB(*cc)
	defer func() { _ = db.Close() }() // nothing is pending on it once Up has returned
	files, err := fs.Sub(migrations, "migrations")
	if err != nil {
		return Migrated{}, fmt.Errorf("open embedded migrations: %w", err)
	}
	provider, err := goose.NewProvider(goose.DialectPostgres, db, files, goose.WithDisableGlobalRegistry(true))
	if err != nil {
		return Migrated{}, fmt.Errorf("read migrations: %w", err)
	}
	done := Migrated{To: version}
	if done.From, err = provider.GetDBVersion(ctx); err != nil {
		return Migrated{}, fault.Wrap(fault.Internal, err, "look at the version of the database")
	}
	if _, err := provider.UpTo(ctx, version); err != nil {
		return Migrated{}, fault.Wrap(fault.Internal, err, "migrate the database")
	}
	if newest, err := newestMigration(); err != nil || version < newest {
		return done, err
	}
	if err := keepEraseRules(ctx, db); err != nil {
		return Migrated{}, fault.Wrap(fault.Internal, err, "migrate the database")
	}
	return done, nil
}

// newestMigration is the version that this program's tables have.
func newestMigration() (int64, error) {
	files, err := fs.Glob(migrations, "migrations/*.sql")
	if err != nil || len(files) == 0 {
		return 0, fmt.Errorf("no migrations are embedded: %w", err)
	}
	return goose.NumericComponent(files[len(files)-1])
}

func prepare(ctx context.Context, conn *pgx.Conn) error {
	var version, missing int
	const look = `SELECT current_setting('server_version_num')::int,
		(SELECT 4 - count(*) FROM pg_roles WHERE rolname IN ('hale_owner', 'hale_migrate', 'hale_app', 'hale_work'))`
	if err := conn.QueryRow(ctx, look).Scan(&version, &missing); err != nil {
		return fmt.Errorf("look at the server: %w", err)
	}
	if version < 150000 {
		return fault.New(fault.Invalid, "this PostgreSQL is version %d; Hale needs 15 or newer", version/10000)
	}
	if missing > 0 {
		if _, err := conn.Exec(ctx, createRoles); err != nil {
			return fault.Wrap(fault.Forbidden, err, "create the roles hale_owner, hale_migrate, hale_app and hale_work: migrate once as a superuser, or make them by hand (docs/production.md)")
		}
	}
	const fresh = `SELECT NOT has_schema_privilege('hale_owner', 'public', 'CREATE') OR NOT has_schema_privilege('hale_migrate', 'public', 'CREATE')`
	var grant bool
	if err := conn.QueryRow(ctx, fresh).Scan(&grant); err != nil {
		return fmt.Errorf("look at the schema: %w", err)
	}
	if grant {
		if _, err := conn.Exec(ctx, grantSchema); err != nil {
			return fault.Wrap(fault.Forbidden, err, "grant the schema public to Hale's roles")
		}
	}
	return nil
}
