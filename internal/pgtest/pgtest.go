// Package pgtest gives a test a database of its own on a real PostgreSQL: one server per test binary, one migrated
// template, one copy of it per test. A missing PostgreSQL fails the test with what to do; nothing is skipped.
package pgtest

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"hale/postgres"
	"hale/postgres/embedded"
)

// cluster is the server of this test binary. It ends with the binary: the supervisor sees to that.
type cluster struct {
	server *embedded.Server
	err    error
}

var (
	once    sync.Once
	shared  cluster
	counter atomic.Int64
)

// Database is a fresh, migrated database.
type Database struct {
	Server *embedded.Server
	Name   string
}

// New copies the migrated template for t and drops the copy when t ends.
func New(t testing.TB) Database {
	t.Helper()
	once.Do(start)
	if shared.err != nil {
		t.Fatalf("these tests need a real PostgreSQL (run `make test`, which installs it): %v", shared.err)
	}
	name := fmt.Sprintf("t%d_%d", os.Getpid(), counter.Add(1))
	exec(t, "CREATE DATABASE "+name+" TEMPLATE hale_template")
	t.Cleanup(func() { exec(t, "DROP DATABASE "+name+" WITH (FORCE)") })
	return Database{Server: shared.server, Name: name}
}

// Config returns how to open the database in a role.
func (d Database) Config() postgres.Config {
	return postgres.Config{URL: func(string) string { return d.AdminURL() }, SetRole: true, MaxConns: 6}
}

// AdminURL returns a superuser's way into the database.
func (d Database) AdminURL() string { return d.Server.SuperURL(d.Name) }

func start() {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	dir, err := os.MkdirTemp("", "halepg")
	if err == nil {
		err = os.Chmod(dir, 0o755) //nolint:gosec // the database user must pass; what is secret lies below in 0700
	}
	if err == nil {
		shared.server, err = embedded.Start(ctx, embedded.Config{Dir: dir, PathEnv: os.Getenv("PATH"), BinDir: os.Getenv("HALE_PG_BIN"), Log: slog.New(slog.DiscardHandler), Now: time.Now})
	}
	if err == nil {
		err = template(ctx)
	}
	shared.err = err
}

func template(ctx context.Context) error {
	conn, err := pgx.Connect(ctx, shared.server.SuperURL("postgres"))
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close(ctx) }()
	if _, err := conn.Exec(ctx, "CREATE DATABASE hale_template"); err != nil {
		return err
	}
	return postgres.Migrate(ctx, shared.server.SuperURL("hale_template"))
}

func exec(t testing.TB, statement string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	conn, err := pgx.Connect(ctx, shared.server.SuperURL("postgres"))
	if err != nil {
		t.Fatalf("connect to the test cluster: %v", err)
	}
	defer func() { _ = conn.Close(ctx) }()
	if _, err := conn.Exec(ctx, statement); err != nil {
		t.Fatalf("%s: %v", statement, err)
	}
}
