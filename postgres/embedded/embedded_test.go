package embedded_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"

	"hale/fault"
	"hale/postgres/embedded"
)

func TestFreshStart(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(room(t), "not", "there yet")
	var told []string
	cfg := config(dir)
	cfg.Out = func(line string) { told = append(told, line) }
	s := start(t, cfg)
	if len(told) != 1 || !strings.Contains(told[0], "new PostgreSQL cluster in "+dir) {
		t.Errorf("it told %q", told)
	}
	if s.Adopted() {
		t.Error("a new server counts as adopted")
	}

	got := map[string]string{}
	for name := range freshSettings() {
		got[name] = query(t, s.SuperURL("postgres"), "SHOW "+name)
	}
	if diff := cmp.Diff(freshSettings(), got); diff != "" {
		t.Errorf("settings (-want +got):\n%s", diff)
	}
	if got := query(t, s.SuperURL("hale"), `SELECT concat_ws(' ', datname, pg_encoding_to_char(encoding), datcollate, datctype, current_user)
		FROM pg_database WHERE datname = current_database()`); got != "hale UTF8 C C hale" {
		t.Errorf("the database is %q", got)
	}

	for name, want := range map[string]os.FileMode{".": 0o755, "postgres": 0o700, "socket": 0o700} {
		info, err := os.Stat(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		if name != "." && info.Mode().Perm() != want {
			t.Errorf("%s has mode %o, want %o", name, info.Mode().Perm(), want)
		}
	}
	if group, err := syscall.Getpgid(s.PID()); err != nil || group != s.PID() {
		t.Errorf("the server is in process group %d (%v): Ctrl-C in a terminal would reach it before Hale has drained", group, err)
	}

	query(t, s.SuperURL("hale"), "CREATE ROLE hale_app LOGIN")
	if got := query(t, s.URL("hale_app"), "SELECT current_user || ' in ' || current_database()"); got != "hale_app in hale" {
		t.Errorf("by the role's URL one is %s", got)
	}
	query(t, s.SuperURL("hale"), "CREATE TABLE kept AS SELECT 41 + 1 AS n")
	stop(t, s)
	if err := s.Err(); err != nil {
		t.Errorf("a server that was stopped ended by itself: %v", err)
	}

	again := start(t, cfg)
	if got := query(t, again.SuperURL("hale"), "SELECT n FROM kept"); got != "42" {
		t.Errorf("after a restart the table holds %q", got)
	}
	if len(told) != 1 {
		t.Errorf("the second start told %q", told[1:])
	}
}

func freshSettings() map[string]string {
	return map[string]string{
		"listen_addresses": "", "unix_socket_permissions": "0700",
		"fsync": "on", "synchronous_commit": "on", "full_page_writes": "on", "data_checksums": "on", "wal_level": "replica",
		"shared_buffers": "256MB", "max_connections": "60", "max_wal_size": "2GB",
		"checkpoint_timeout": "15min", "checkpoint_completion_target": "0.9",
		"jit": "off", "autovacuum": "on", "TimeZone": "UTC", "log_timezone": "UTC", "log_min_duration_statement": "2s",
		// nothing that a person said or measured may reach the log
		"log_parameter_max_length": "0", "log_parameter_max_length_on_error": "0", "log_error_verbosity": "terse",
	}
}

func TestSecondStartIsRefused(t *testing.T) {
	t.Parallel()
	dir := furnished(t)
	first := start(t, config(dir))
	_, err := embedded.Start(t.Context(), config(dir))
	if !fault.Is(err, fault.Conflict) || !strings.Contains(fault.MessageOf(err), fmt.Sprintf("already running (pid %d)", os.Getpid())) {
		t.Errorf("the second start says %v", err)
	}
	if got := query(t, first.SuperURL("hale"), "SELECT 1"); got != "1" {
		t.Errorf("the first server answers %q", got)
	}
	stop(t, first)
	start(t, config(dir))
}

func TestUnexpectedEnd(t *testing.T) {
	t.Parallel()
	dir := furnished(t)
	s := start(t, config(dir))
	query(t, s.SuperURL("hale"), "CREATE TABLE kept AS SELECT 7 AS n")
	select {
	case <-s.Done():
		t.Fatal("Done is closed while the server runs")
	default:
	}
	if err := syscall.Kill(s.PID(), syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	eventually(t, "Done is closed", func() bool {
		select {
		case <-s.Done():
			return true
		default:
			return false
		}
	})
	if err := s.Err(); !fault.Is(err, fault.Unavailable) || !strings.Contains(err.Error(), "killed") ||
		!strings.Contains(err.Error(), "start hale up again; nothing acknowledged is lost") || !strings.Contains(err.Error(), "ready to accept connections") {
		t.Errorf("Err says %v, which lacks how it ended or what it said last", err)
	}
	stop(t, s)

	again := start(t, config(dir))
	if got := query(t, again.SuperURL("hale"), "SELECT n FROM kept"); got != "7" {
		t.Errorf("after recovery the table holds %q", got)
	}
}

func TestStopWithoutTimeStopsAtOnce(t *testing.T) {
	t.Parallel()
	dir := furnished(t)
	s := start(t, config(dir))
	query(t, s.SuperURL("hale"), "CREATE TABLE kept AS SELECT 5 AS n")
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	// A stopped process cannot answer before the time is up; it gets both signals when it goes on.
	if err := syscall.Kill(s.PID(), syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the server stands still", func() bool { return state(s.PID()) == "T" })
	outcome := make(chan error, 1)
	go func() { outcome <- s.Stop(ctx) }()
	eventually(t, "the server is told to stop at once", func() bool {
		status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", s.PID()))
		if err != nil {
			return true // not on Linux: nothing to see, and the outcome below decides
		}
		_, pending, _ := strings.Cut(string(status), "ShdPnd:")
		pending, _, _ = strings.Cut(pending, "\n")
		return strings.HasSuffix(pending, "6") // bits 1 and 2: SIGINT and SIGQUIT
	})
	if err := syscall.Kill(s.PID(), syscall.SIGCONT); err != nil {
		t.Fatal(err)
	}
	if err := <-outcome; !fault.Is(err, fault.Unavailable) {
		t.Errorf("Stop says %v", err)
	}
	again := start(t, config(dir))
	if got := query(t, again.SuperURL("hale"), "SELECT n FROM kept"); got != "5" {
		t.Errorf("after recovery the table holds %q", got)
	}
}

func TestStartThatFails(t *testing.T) {
	t.Parallel()

	t.Run("because of the server says what the server said, and gives the directory back", func(t *testing.T) {
		t.Parallel()
		dir := furnished(t)
		conf := filepath.Join(dir, "postgres", "postgresql.auto.conf")
		before, err := os.ReadFile(conf)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(conf, []byte("no_such_setting = 1\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := embedded.Start(t.Context(), config(dir)); !fault.Is(err, fault.Unavailable) || !strings.Contains(err.Error(), `"no_such_setting"`) {
			t.Errorf("it says %v", err)
		}
		if err := os.WriteFile(conf, before, 0o600); err != nil {
			t.Fatal(err)
		}
		start(t, config(dir))
	})

	t.Run("half-way through making the cluster leaves nothing in the way of the next", func(t *testing.T) {
		t.Parallel()
		dir := room(t)
		if err := os.MkdirAll(filepath.Join(dir, ".postgres-unfinished", "base"), 0o700); err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		cfg := config(dir)
		cfg.Out = func(string) { cancel() }
		_, err := embedded.Start(ctx, cfg)
		if !fault.Is(err, fault.Unavailable) || !errors.Is(err, context.Canceled) || fault.MessageOf(err) != "stopped before PostgreSQL was ready" {
			t.Errorf("it says %v", err)
		}
		if left, err := filepath.Glob(filepath.Join(dir, ".postgres-*")); err != nil || len(left) > 0 {
			t.Errorf("it left %v (%v)", left, err)
		}
		start(t, config(dir))
	})

	t.Run("in a directory that holds something else touches nothing", func(t *testing.T) {
		t.Parallel()
		binDir(t)
		dir := room(t)
		note := filepath.Join(dir, "postgres", "thesis.txt")
		if err := os.Mkdir(filepath.Dir(note), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(note, []byte("the only copy"), 0o600); err != nil {
			t.Fatal(err)
		}
		if os.Geteuid() == 0 { // the database user's, or it is refused for being somebody else's
			from, err := template()
			if err != nil {
				t.Fatal(err)
			}
			stat := owner(t, filepath.Join(from, "postgres"))
			if err := os.Chown(filepath.Dir(note), int(stat.Uid), int(stat.Gid)); err != nil {
				t.Fatal(err)
			}
		}
		if _, err := embedded.Start(t.Context(), config(dir)); !fault.Is(err, fault.Invalid) || !strings.Contains(err.Error(), "holds no PostgreSQL cluster") {
			t.Errorf("it says %v", err)
		}
		if text, err := os.ReadFile(note); err != nil || string(text) != "the only copy" {
			t.Errorf("the other's file holds %q (%v)", text, err)
		}
	})
}

func TestDataDirectoryBehindAClosedDoor(t *testing.T) {
	t.Parallel()
	closed := filepath.Join(room(t), "closed")
	if err := os.Mkdir(closed, 0o700); err != nil {
		t.Fatal(err)
	}
	dir := filepath.Join(closed, "data")
	if os.Geteuid() != 0 { // the server runs as ourselves, and our own door is open to us
		start(t, config(dir))
		return
	}
	_, err := embedded.Start(t.Context(), config(dir))
	if !fault.Is(err, fault.Invalid) || !strings.Contains(fault.MessageOf(err), "chmod o+x "+closed+"`") {
		t.Errorf("it says %v, which lacks the directory or the mend", err)
	}
}

func TestSocketElsewhere(t *testing.T) {
	t.Parallel()
	for name, data := range map[string]string{
		"a data directory with a long path gets a short one": strings.Repeat("x", 100),
		"a comma in the path would end the host":             "before, after",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := filepath.Join(filepath.Dir(furnished(t)), data)
			if err := os.Rename(filepath.Join(filepath.Dir(dir), "data"), dir); err != nil {
				t.Fatal(err)
			}
			s := start(t, config(dir))
			at := query(t, s.SuperURL("hale"), "SHOW unix_socket_directories")
			socketDir := strings.Trim(at, `"`)
			if strings.HasPrefix(socketDir, dir) || len(socketDir) > 60 {
				t.Errorf("the socket is in %s", socketDir)
			}
			if info, err := os.Stat(socketDir); err != nil || info.Mode().Perm() != 0o700 {
				t.Errorf("its directory is %v (%v)", info.Mode(), err)
			}
			recorded, err := os.ReadFile(filepath.Join(dir, "postgres.socket"))
			if err != nil || strings.TrimSpace(string(recorded)) != socketDir {
				t.Errorf("recorded is %q (%v)", recorded, err)
			}
			stop(t, s)
			if _, err := os.Stat(socketDir); !os.IsNotExist(err) {
				t.Errorf("after Stop the directory is there: %v", err)
			}
		})
	}
}
