package embedded_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"hale/postgres/embedded"
)

// haleDir makes this test binary behave as a small hale: it starts the server of that directory.
const haleDir = "EMBEDDED_TEST_HALE_DIR"

func TestMain(m *testing.M) {
	if dir := os.Getenv(haleDir); dir != "" {
		os.Exit(beHale(dir))
	}
	code := m.Run()
	if dir, err := template(); err == nil {
		if err := os.RemoveAll(dir); err != nil {
			code = 1
		}
	}
	os.Exit(code)
}

// running is what the small hale says when it is ready.
type running struct {
	PID     int
	URL     string
	Adopted bool
}

// beHale starts the server, says so, and stops it when its input ends.
func beHale(dir string) int {
	ctx := context.Background()
	s, err := embedded.Start(ctx, config(dir))
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	if err := json.NewEncoder(os.Stdout).Encode(running{s.PID(), s.SuperURL("hale"), s.Adopted()}); err != nil {
		return 1
	}
	if _, err := io.Copy(io.Discard, os.Stdin); err != nil {
		return 1
	}
	if err := s.Stop(ctx); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return 0
}

func config(dir string) embedded.Config {
	return embedded.Config{Dir: dir, PathEnv: os.Getenv("PATH"), BinDir: os.Getenv("HALE_PG_BIN")}
}

// binDir returns PostgreSQL's programs, without which nothing here can be tested.
func binDir(t *testing.T) string {
	t.Helper()
	bin, _, err := embedded.Find(config(""))
	if err != nil {
		t.Fatalf("these tests need PostgreSQL: %v; `make prerequisites` installs it", err)
	}
	return bin
}

// room returns a directory that the database user can pass.
func room(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	for _, d := range []string{dir, filepath.Dir(dir)} {
		if err := os.Chmod(d, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// template makes one cluster that tests copy: making one takes most of a second.
var template = sync.OnceValues(func() (string, error) {
	dir, err := os.MkdirTemp("", "hale-template-")
	if err != nil {
		return "", err
	}
	if err := os.Chmod(dir, 0o755); err != nil {
		return "", err
	}
	s, err := embedded.Start(context.Background(), config(dir))
	if err != nil {
		return "", fmt.Errorf("these tests need PostgreSQL (`make prerequisites` installs it): %w", err)
	}
	return dir, s.Stop(context.Background())
})

// furnished returns a data directory in which a Hale has been and has stopped.
func furnished(t *testing.T) string {
	t.Helper()
	from, err := template()
	if err != nil {
		t.Fatal(err)
	}
	dir := filepath.Join(room(t), "data")
	if out, err := exec.CommandContext(t.Context(), "cp", "-a", from, dir).CombinedOutput(); err != nil {
		t.Fatalf("copy the cluster: %v: %s", err, out)
	}
	return dir
}

// start starts the server of a directory in this process and stops it after the test.
func start(t *testing.T, cfg embedded.Config) *embedded.Server {
	t.Helper()
	s, err := embedded.Start(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		// What a test did to the server before may make this fail; that no process is left is what counts.
		err := s.Stop(context.Background())
		if !gone(s.PID()) {
			t.Errorf("the server lives on after Stop: %v", err)
		}
	})
	return s
}

func stop(t *testing.T, s *embedded.Server) {
	t.Helper()
	if err := s.Stop(context.Background()); err != nil {
		t.Fatal(err)
	}
}

// query runs one statement and returns the first column of the first row as text, "" when there is none.
func query(t *testing.T, url, sql string) string {
	t.Helper()
	ctx := context.Background()
	conn, err := pgx.Connect(ctx, url)
	if err != nil {
		t.Fatalf("connect to %s: %v", url, err)
	}
	defer conn.Close(ctx) //nolint:errcheck // the answer is there, or the test has failed
	rows, err := conn.Query(ctx, sql, pgx.QueryExecModeSimpleProtocol)
	if err != nil {
		t.Fatalf("%s: %v", sql, err)
	}
	defer rows.Close()
	var answer string
	if rows.Next() {
		answer = string(rows.RawValues()[0])
	}
	rows.Close()
	if rows.Err() != nil {
		t.Fatalf("%s: %v", sql, rows.Err())
	}
	return answer
}

// eventually waits for a condition.
func eventually(t *testing.T, what string, condition func() bool) {
	t.Helper()
	deadline := time.After(20 * time.Second)
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for !condition() {
		select {
		case <-deadline:
			t.Fatalf("not within 20 s: %s", what)
		case <-tick.C:
		}
	}
}

// state returns the letter of a process's state (T stopped, Z ended and not yet waited for), "" when it is gone.
func state(pid int) string {
	out, err := exec.Command("ps", "-o", "stat=", "-p", strconv.Itoa(pid)).Output() //nolint:noctx // ends by itself
	if err != nil || len(out) == 0 {
		return ""
	}
	return string(out[:1])
}

// gone reports whether a process has ended.
func gone(pid int) bool {
	now := state(pid)
	return now == "" || now == "Z"
}

// owner returns the credential of who owns a file, nil when that is us.
func owner(t *testing.T, name string) *syscall.Credential {
	t.Helper()
	info, err := os.Stat(name)
	if err != nil {
		t.Fatal(err)
	}
	stat, ok := info.Sys().(*syscall.Stat_t)
	if !ok || int(stat.Uid) == os.Geteuid() {
		return nil
	}
	return &syscall.Credential{Uid: stat.Uid, Gid: stat.Gid}
}

// hale is a small hale in a process of its own.
type hale struct {
	running
	t     *testing.T
	cmd   *exec.Cmd
	input io.Closer
}

// people returns who runs hale in the tests: whoever runs the tests, and an ordinary user where we may become one.
func people() map[string]*syscall.Credential {
	who := map[string]*syscall.Credential{"by whoever runs the tests": nil}
	if os.Geteuid() == 0 {
		who["by an ordinary user"] = &syscall.Credential{Uid: 65534, Gid: 65534}
	}
	return who
}

// startHale runs the small hale on a directory and waits until it is ready.
func startHale(t *testing.T, dir string, who *syscall.Credential) *hale {
	t.Helper()
	program, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	if who != nil { // the test binary lies where nobody but us can reach it
		program = copyOf(t, program)
	}
	cmd := exec.CommandContext(context.Background(), program)
	cmd.Env = []string{haleDir + "=" + dir, "PATH=" + os.Getenv("PATH"), "HALE_PG_BIN=" + os.Getenv("HALE_PG_BIN")}
	cmd.Dir, cmd.Stderr = filepath.Dir(dir), os.Stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: who}
	input, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	output, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	h := &hale{t: t, cmd: cmd, input: input}
	t.Cleanup(h.kill)
	if err := json.NewDecoder(output).Decode(&h.running); err != nil {
		t.Fatalf("hale did not get ready: %v", err)
	}
	return h
}

// kill is kill -9.
func (h *hale) kill() {
	if err := h.cmd.Process.Kill(); err != nil {
		return // it has been waited for already
	}
	if err := h.cmd.Wait(); err == nil {
		h.t.Error("hale ended well although it was killed")
	}
}

func copyOf(t *testing.T, program string) string {
	t.Helper()
	text, err := os.ReadFile(program)
	if err != nil {
		t.Fatal(err)
	}
	name := filepath.Join(room(t), "hale")
	if err := errors.Join(os.WriteFile(name, text, 0o755), os.Chmod(name, 0o755)); err != nil {
		t.Fatal(err)
	}
	return name
}
