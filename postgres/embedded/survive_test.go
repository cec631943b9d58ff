package embedded_test

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"

	"hale/postgres/embedded"
)

// clusterState asks PostgreSQL's own tool how the cluster was left.
func clusterState(t *testing.T, dir string) string {
	t.Helper()
	out, err := exec.CommandContext(t.Context(), filepath.Join(binDir(t), "pg_controldata"), filepath.Join(dir, "postgres")).CombinedOutput()
	if err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	for line := range strings.Lines(string(out)) {
		if state, ok := strings.CutPrefix(line, "Database cluster state:"); ok {
			return strings.TrimSpace(state)
		}
	}
	t.Fatalf("no state in %s", out)
	return ""
}

func TestKillOfHale(t *testing.T) {
	t.Parallel()
	for name, who := range people() {
		t.Run("started "+name+" shuts the server down cleanly, and nothing is lost", func(t *testing.T) {
			t.Parallel()
			dir := filepath.Join(room(t), "data")
			if who != nil {
				if err := os.Chown(filepath.Dir(dir), int(who.Uid), int(who.Gid)); err != nil {
					t.Fatal(err)
				}
			}
			h := startHale(t, dir, who)
			query(t, h.URL, "CREATE TABLE kept AS SELECT 42 AS n")
			h.kill()
			if runtime.GOOS == "linux" { // elsewhere the next start adopts the server
				eventually(t, "the server ends", func() bool { return gone(h.PID) })
				if got := clusterState(t, dir); got != "shut down" {
					t.Errorf("the cluster was left %q", got)
				}
			}
			again := startHale(t, dir, who)
			if got := query(t, again.URL, "SELECT n FROM kept"); got != "42" {
				t.Errorf("the table holds %q", got)
			}
			if got := again.Adopted; got != (runtime.GOOS != "linux") {
				t.Errorf("adopted is %t", got)
			}
			if err := again.input.Close(); err != nil {
				t.Fatal(err)
			}
			if err := again.cmd.Wait(); err != nil {
				t.Errorf("hale did not end well: %v", err)
			}
			if !gone(again.PID) {
				t.Error("the server lives on after its hale ended")
			}
		})
	}
}

func TestStartRightAfterAKill(t *testing.T) {
	t.Parallel()
	dir := furnished(t)
	h := startHale(t, dir, nil)
	query(t, h.URL, "CREATE TABLE kept AS SELECT generate_series(1, 50000) AS n")
	note, err := os.ReadFile(filepath.Join(dir, "hale.lock"))
	if err != nil {
		t.Fatal(err)
	}
	if want := fmt.Sprintf("%d\n%d\n", h.cmd.Process.Pid, h.PID); runtime.GOOS == "linux" && string(note) != want {
		t.Errorf("the lock file says %q, want hale's process id and that of the server that ends with it: %q", note, want)
	}
	h.kill()
	s := start(t, config(dir)) // the old server may still be writing its last checkpoint
	if runtime.GOOS == "linux" && (s.Adopted() || s.PID() == h.PID) {
		t.Errorf("adopted a server that was about to end (pid %d, adopted %t)", s.PID(), s.Adopted())
	}
	if got := query(t, s.SuperURL("hale"), "SELECT count(*) FROM kept"); got != "50000" {
		t.Errorf("the table holds %q rows", got)
	}
}

// runServer runs a server on a directory's cluster that no Hale has started.
func runServer(t *testing.T, dir, socketDir string) *exec.Cmd {
	t.Helper()
	data := filepath.Join(dir, "postgres")
	cmd := exec.Command(filepath.Join(binDir(t), "postgres"), "-D", data, //nolint:noctx // it has to outlive nothing but this test, which ends it
		"-c", "listen_addresses=", "-c", "unix_socket_directories="+socketDir, "-c", "port=5433")
	cmd.Dir, cmd.SysProcAttr = data, &syscall.SysProcAttr{Credential: owner(t, data)}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan struct{})
	go func() {
		cmd.Wait() //nolint:errcheck // that it has ended is all one wants to know
		close(ended)
	}()
	t.Cleanup(func() {
		cmd.Process.Signal(syscall.SIGQUIT) //nolint:errcheck // it has ended, or does now
		<-ended
	})
	eventually(t, "the server listens", func() bool {
		select {
		case <-ended:
			t.Fatal("the server that the test runs by hand has ended")
		default:
		}
		_, err := os.Stat(filepath.Join(socketDir, ".s.PGSQL.5433"))
		return err == nil
	})
	return cmd
}

//nolint:tparallel // the second case goes on with the directory of the first
func TestAdoption(t *testing.T) {
	t.Parallel()
	dir := furnished(t)
	server := runServer(t, dir, filepath.Join(dir, "socket"))

	t.Run("a server that lives on is taken over where it is", func(t *testing.T) {
		s := start(t, config(dir))
		if !s.Adopted() || s.PID() != server.Process.Pid {
			t.Fatalf("pid %d, adopted %t; the living server has pid %d", s.PID(), s.Adopted(), server.Process.Pid)
		}
		if got := query(t, s.SuperURL("hale"), "SHOW port"); got != "5433" {
			t.Errorf("the URL leads to port %q", got)
		}
		stop(t, s)
		if !gone(server.Process.Pid) {
			t.Error("Stop left the adopted server running")
		}
		if got := clusterState(t, dir); got != "shut down" {
			t.Errorf("the cluster was left %q", got)
		}
	})

	t.Run("an adopted server that ends by itself is told", func(t *testing.T) {
		server := runServer(t, dir, filepath.Join(dir, "socket"))
		s := start(t, config(dir))
		if !s.Adopted() {
			t.Fatal("it was not adopted")
		}
		if err := server.Process.Signal(syscall.SIGINT); err != nil {
			t.Fatal(err)
		}
		eventually(t, "Done is closed", func() bool { return s.Err() != nil })
		<-s.Done()
	})
}

func TestServerThatWasToEndWithItsHaleIsNotAdopted(t *testing.T) {
	t.Parallel()
	dir := furnished(t)
	server := runServer(t, dir, filepath.Join(dir, "socket"))
	// Its hale has just been killed: the lock is free, and the signal that the kernel sends has not arrived yet.
	note := fmt.Sprintf("%d\n%d\n", server.Process.Pid, server.Process.Pid)
	if err := os.WriteFile(filepath.Join(dir, "hale.lock"), []byte(note), 0o644); err != nil {
		t.Fatal(err)
	}
	s := start(t, config(dir))
	if s.Adopted() || s.PID() == server.Process.Pid || !gone(server.Process.Pid) {
		t.Errorf("adopted %t, pid %d; the old server had pid %d and is gone: %t", s.Adopted(), s.PID(), server.Process.Pid, gone(server.Process.Pid))
	}
}

func TestStalePIDFile(t *testing.T) {
	t.Parallel()
	dir := furnished(t)
	data := filepath.Join(dir, "postgres")

	// The process id is in use again, by a process of the same user: PostgreSQL itself takes that for a running server.
	other := exec.CommandContext(t.Context(), "tail", "-f", "/dev/null")
	other.SysProcAttr = &syscall.SysProcAttr{Credential: owner(t, data)}
	if err := other.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan struct{})
	t.Cleanup(func() { <-ended })
	go func() {
		other.Wait() //nolint:errcheck // it is killed with the test's context
		close(ended)
	}()
	socketDir := filepath.Join(dir, "socket")
	stale := fmt.Sprintf("%d\n%s\n1700000000\n5432\n%s\n\n  5432001  0\nready   \n", other.Process.Pid, data, socketDir)
	for _, name := range []string{filepath.Join(data, "postmaster.pid"), filepath.Join(socketDir, ".s.PGSQL.5432.lock")} {
		if err := os.WriteFile(name, []byte(stale), 0o600); err != nil {
			t.Fatal(err)
		}
		if who := owner(t, data); who != nil {
			if err := os.Chown(name, int(who.Uid), int(who.Gid)); err != nil {
				t.Fatal(err)
			}
		}
	}

	s := start(t, config(dir))
	if s.Adopted() || s.PID() == other.Process.Pid {
		t.Errorf("adopted a process that is no server")
	}
	if got := query(t, s.SuperURL("hale"), "SELECT 1"); got != "1" {
		t.Errorf("the server answers %q", got)
	}
	if gone(other.Process.Pid) {
		t.Error("the innocent process was ended")
	}
}

func TestCheck(t *testing.T) {
	t.Parallel()
	finding := func(t *testing.T, cfg embedded.Config, name string) embedded.Finding {
		t.Helper()
		for _, f := range embedded.Check(cfg) {
			if f.Name == name {
				return f
			}
		}
		t.Fatalf("nothing is said about the %s", name)
		return embedded.Finding{}
	}

	t.Run("a good machine passes, and nothing is made", func(t *testing.T) {
		t.Parallel()
		dir := filepath.Join(room(t), "data")
		for _, f := range embedded.Check(config(dir)) {
			if !f.OK || f.Mend != "" || f.Detail == "" {
				t.Errorf("%+v", f)
			}
		}
		if _, err := os.Stat(dir); !os.IsNotExist(err) {
			t.Errorf("the data directory is there: %v", err)
		}
	})

	t.Run("missing programs come with the command that installs them", func(t *testing.T) {
		t.Parallel()
		root := debian(t)
		f := finding(t, embedded.Config{Dir: room(t), SearchRoot: root}, "PostgreSQL programs")
		if f.OK || !strings.Contains(f.Mend, "apt-get install") {
			t.Errorf("%+v", f)
		}
	})

	t.Run("a closed door is named with its mend", func(t *testing.T) {
		t.Parallel()
		closed := filepath.Join(room(t), "closed")
		if err := os.Mkdir(closed, 0o700); err != nil {
			t.Fatal(err)
		}
		f := finding(t, config(filepath.Join(closed, "data")), "data directory")
		if closedToUs := os.Geteuid() == 0; f.OK == closedToUs || closedToUs && !strings.Contains(f.Mend, "chmod o+x "+closed) {
			t.Errorf("%+v", f)
		}
	})

	t.Run("a server without a hale is told", func(t *testing.T) {
		t.Parallel()
		dir := furnished(t)
		server := runServer(t, dir, filepath.Join(dir, "socket"))
		if f := finding(t, config(dir), "leftover server"); f.OK || !strings.Contains(f.Mend, fmt.Sprintf("kill -INT %d", server.Process.Pid)) {
			t.Errorf("%+v", f)
		}
		start(t, config(dir))
		if f := finding(t, config(dir), "leftover server"); !f.OK || !strings.Contains(f.Detail, fmt.Sprintf("hale is running (pid %d)", os.Getpid())) {
			t.Errorf("%+v", f)
		}
	})
}
