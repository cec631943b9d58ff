package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"hale/simulators"
)

// asHale is set for a copy of this test binary that is to be hale itself.
const asHale = "HALE_TEST_BINARY_IS_HALE"

func TestMain(m *testing.M) {
	if os.Getenv(asHale) == "1" {
		main()
		return
	}
	code := m.Run()
	for _, line := range spills().found() {
		fmt.Fprintln(os.Stderr, "FAIL:", line)
		code = 1
	}
	os.Exit(code)
}

// process is a hale that runs as a process of its own.
type process struct {
	cmd    *exec.Cmd
	stdout *lineBuffer
	stderr *lineBuffer
	ended  chan struct{}
}

// lineBuffer keeps what a process prints and can be read meanwhile.
type lineBuffer struct {
	mu  chan struct{}
	buf bytes.Buffer
}

func newLineBuffer() *lineBuffer {
	b := &lineBuffer{mu: make(chan struct{}, 1)}
	b.mu <- struct{}{}
	return b
}

func (b *lineBuffer) Write(p []byte) (int, error) {
	<-b.mu
	defer func() { b.mu <- struct{}{} }()
	return b.buf.Write(p)
}

func (b *lineBuffer) String() string {
	<-b.mu
	defer func() { b.mu <- struct{}{} }()
	return b.buf.String()
}

// watched returns where a server inside this process logs to: what it says is searched for secrets as every log is.
func watched(t *testing.T) *slog.Logger {
	t.Helper()
	b := newLineBuffer()
	t.Cleanup(func() { spills().keep(t.Name(), b.String()) })
	return slog.New(slog.NewTextHandler(b, nil))
}

// start runs hale with these arguments.
func start(t *testing.T, args ...string) *process {
	t.Helper()
	p := &process{cmd: exec.CommandContext(context.WithoutCancel(t.Context()), os.Args[0], args...), stdout: newLineBuffer(), stderr: newLineBuffer(), ended: make(chan struct{})}
	p.cmd.Env = append(os.Environ(), asHale+"=1")
	p.cmd.Stdout, p.cmd.Stderr = p.stdout, p.stderr
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		_ = p.cmd.Wait() // how it ended is seen from its output and the test's own checks
		close(p.ended)
	}()
	t.Cleanup(func() {
		_ = p.cmd.Process.Kill()
		<-p.ended
		spills().keep(fmt.Sprintf("%s: hale %v", t.Name(), args), p.stderr.String())
		if t.Failed() {
			t.Logf("hale %v said:\n%s", args, p.stderr.String())
		}
	})
	return p
}

func (p *process) signal(t *testing.T, s syscall.Signal) {
	t.Helper()
	if err := p.cmd.Process.Signal(s); err != nil {
		t.Fatal(err)
	}
}

// end sends a signal and waits for the end.
func (p *process) end(t *testing.T, s syscall.Signal) {
	t.Helper()
	p.signal(t, s)
	select {
	case <-p.ended:
	case <-time.After(40 * time.Second):
		t.Fatalf("hale did not end within 40 s of %v", s)
	}
}

// eventually waits until f holds. f returns what is missing, or "".
func eventually(t *testing.T, within time.Duration, f func() string) {
	t.Helper()
	deadline := time.Now().Add(within)
	for {
		missing := f()
		if missing == "" {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("after %s: %s", within, missing)
		}
		<-time.After(20 * time.Millisecond)
	}
}

// dataDir is a fresh data directory that the database user can pass.
func dataDir(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "hale") //nolint:usetesting // t.TempDir lies below a directory that only we may pass
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(dir, 0o755); err != nil { // what is secret lies below in 0700
		t.Fatal(err)
	}
	data := filepath.Join(dir, "data")
	t.Cleanup(func() {
		log, _ := os.ReadFile(filepath.Join(data, "postgres.log")) // not every test starts a database there
		spills().keep(t.Name()+": PostgreSQL", string(log))
		_ = os.RemoveAll(dir)
	})
	return data
}

// up runs `hale up` and waits until it is ready.
func up(t *testing.T, dir string, more ...string) (*process, announcement) {
	t.Helper()
	p := start(t, append([]string{"up", "--data", dir, "--http", "127.0.0.1:0", "--mqtt", "127.0.0.1:0", "--mqtts", "127.0.0.1:0", "--json", "--no-install"}, more...)...)
	var told announcement
	eventually(t, 60*time.Second, func() string {
		select {
		case <-p.ended:
			t.Fatalf("hale up ended: %s", p.stderr.String())
		default:
		}
		line := p.stdout.String()
		if line == "" {
			return "hale up is not ready"
		}
		if err := json.Unmarshal([]byte(line), &told); err != nil {
			return fmt.Sprintf("what it printed is not one JSON line: %q", line)
		}
		return ""
	})
	spills().plant("the password of the run", told.Password)
	return p, told
}

func signIn(t *testing.T, told announcement) *simulators.Staff {
	t.Helper()
	s, err := told.signIn(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// kit is a patient with a device.
type kit struct {
	patient simulators.Person
	device  string
	secret  string
}

func (k kit) topic() string { return "hale/v1/" + k.device + "/readings" }

func newKit(t *testing.T, s *simulators.Staff, device string, from time.Time) kit {
	t.Helper()
	k := kit{device: device}
	var err error
	if k.patient, err = s.AddPatient(t.Context(), simulators.Person{Name: "Person of " + device, Number: device, Sex: "unknown", Zone: "Europe/Ljubljana"}); err != nil {
		t.Fatal(err)
	}
	spills().plant("a patient's name", k.patient.Name)
	if k.secret, err = s.Enrol(t.Context(), device, "test kit"); err != nil {
		t.Fatal(err)
	}
	spills().plant("a device's secret", k.secret)
	if err := s.Assign(t.Context(), device, k.patient.ID, from); err != nil {
		t.Fatal(err)
	}
	return k
}

// dial connects the kit's device with a raw socket.
func (k kit) dial(t *testing.T, addr string) *simulators.Wire {
	t.Helper()
	var w *simulators.Wire
	eventually(t, 10*time.Second, func() string { // the edge hears of a new device within a second
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
		defer cancel()
		var err error
		if w, err = simulators.Dial(ctx, addr, k.device, k.secret, 500); err != nil {
			return err.Error()
		}
		return ""
	})
	return w
}
