// Package pgtest gives a test a database of its own on a real PostgreSQL: one server per test binary, one migrated
// template, one copy of it per test. A missing PostgreSQL fails the test with what to do; nothing is skipped.
package pgtest

import (
	"context"
	"crypto/rand"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"hale/postgres"
	"hale/postgres/embedded"
)

// cluster is the server of this test binary. It ends with the binary: the supervisor sees to that.
var cluster = sync.OnceValues(start)

// Database is a fresh, migrated database.
type Database struct {
	Server *embedded.Server
	Name   string
}

// mostWaiting is how many databases of tests that have ended may wait to be dropped: some 16 MB each.
const mostWaiting = 32

// drops takes the names of databases that no test needs any more. PostgreSQL writes everything out before it drops one, for which no test
// has to wait.
var drops = sync.OnceValue(func() chan<- string {
	names := make(chan string, mostWaiting)
	go func() {
		for name := range names {
			drop(name)
		}
	}()
	return names
})

func drop(name string) {
	server, err := cluster()
	if err != nil {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	conn, err := pgx.Connect(ctx, server.SuperURL("postgres"))
	if err != nil {
		return // what is left goes with the directory (removeLeftovers)
	}
	defer func() { _ = conn.Close(ctx) }()
	_, _ = conn.Exec(ctx, "DROP DATABASE "+name+" WITH (FORCE)")
}

// New copies the migrated template for t and drops the copy some time after t has ended.
func New(tb testing.TB) Database {
	tb.Helper()
	server, err := cluster()
	if err != nil {
		tb.Fatalf("these tests need a real PostgreSQL (run `make test`, which installs it): %v", err)
	}
	name := "t_" + strings.ToLower(rand.Text())
	exec(tb, server, "CREATE DATABASE "+name+" TEMPLATE hale_template")
	tb.Cleanup(func() { drops() <- name })
	return Database{Server: server, Name: name}
}

// Config returns how to open the database in a role.
func (d Database) Config() postgres.Config {
	return postgres.Config{URL: func(string) string { return d.AdminURL() }, SetRole: true, MaxConns: 6}
}

// AdminURL returns a superuser's way into the database.
func (d Database) AdminURL() string { return d.Server.SuperURL(d.Name) }

// ServerLog returns what the server has logged so far, of every database of the test run.
func (d Database) ServerLog(tb testing.TB) string {
	tb.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	conn, err := pgx.Connect(ctx, d.AdminURL())
	if err != nil {
		tb.Fatalf("connect to the test cluster: %v", err)
	}
	defer func() { _ = conn.Close(ctx) }()
	var dir string
	if err := conn.QueryRow(ctx, "SHOW data_directory").Scan(&dir); err != nil {
		tb.Fatalf("find the test cluster: %v", err)
	}
	text, err := os.ReadFile(filepath.Join(filepath.Dir(dir), "postgres.log"))
	if err != nil {
		tb.Fatalf("read what the test cluster logged: %v", err)
	}
	return string(text)
}

func start() (server *embedded.Server, err error) {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	removeLeftovers(os.TempDir(), time.Now())
	dir, err := os.MkdirTemp("", dirPrefix)
	if err == nil {
		err = os.Chmod(dir, 0o755) //nolint:gosec // the database user must pass; what is secret lies below in 0700
	}
	if err == nil {
		server, err = embedded.Start(ctx, embedded.Config{Dir: dir, PathEnv: os.Getenv("PATH"), BinDir: os.Getenv("HALE_PG_BIN"), Log: slog.New(slog.DiscardHandler), Now: time.Now})
	}
	if err == nil {
		err = template(ctx, server)
	}
	return server, err
}

func template(ctx context.Context, server *embedded.Server) error {
	conn, err := pgx.Connect(ctx, server.SuperURL("postgres"))
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close(ctx) }()
	if _, err := conn.Exec(ctx, "CREATE DATABASE hale_template"); err != nil {
		return err
	}
	_, err = postgres.Migrate(ctx, server.SuperURL("hale_template"))
	return err
}

func exec(tb testing.TB, server *embedded.Server, statement string) {
	tb.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	conn, err := pgx.Connect(ctx, server.SuperURL("postgres"))
	if err != nil {
		tb.Fatalf("connect to the test cluster: %v", err)
	}
	defer func() { _ = conn.Close(ctx) }()
	if _, err := conn.Exec(ctx, statement); err != nil {
		tb.Fatalf("%s: %v", statement, err)
	}
}
