package embedded

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"syscall"
)

// What PostgreSQL means by signals: INT ends transactions and writes a checkpoint, QUIT drops everything.
const (
	signalFast      = syscall.SIGINT
	signalImmediate = syscall.SIGQUIT
)

// tool is a program that runs to its end.
type tool struct {
	path  string
	args  []string
	user  *dbUser // nil is whoever we are
	dir   string
	env   []string // besides the clean environment
	input string
	lines func(line string) // takes what it says, line by line, while it runs; may be nil
}

// run runs the tool and returns all it wrote. Its output is part of the error when it fails. It does not outlive us.
func (t tool) run(ctx context.Context) ([]byte, error) {
	// The signal at our death is bound to the thread that forked, so that thread must stay until the tool has ended.
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	var out bytes.Buffer
	cmd := command(ctx, t.path, t.args, t.user, syscall.SIGKILL)
	cmd.Dir, cmd.Env = t.dir, append(cmd.Env, t.env...)
	cmd.Stdin = strings.NewReader(t.input)
	cmd.Stdout = io.MultiWriter(&out, &lineWriter{tell: t.lines})
	cmd.Stderr = cmd.Stdout
	if err := cmd.Run(); err != nil {
		return nil, errors.Join(fmt.Errorf("run %s: %w", t.path, err), said(lastLines(out.Bytes(), tailLines)))
	}
	return out.Bytes(), nil
}

// command prepares a program with a clean environment (what a user's session sets must not change what the cluster
// becomes), as the database user, and with the signal that it gets when we die.
func command(ctx context.Context, path string, args []string, user *dbUser, atOurDeath syscall.Signal) *exec.Cmd {
	cmd := exec.CommandContext(ctx, path, args...) //nolint:gosec // G204: the programs that Find found, arguments of our own
	cmd.Env = []string{"LC_ALL=C", "TZ=UTC", "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"}
	cmd.SysProcAttr = attributes(atOurDeath)
	if user != nil && user.other {
		cmd.SysProcAttr.Credential = &syscall.Credential{Uid: uint32(user.uid), Gid: uint32(user.gid)}
	}
	return cmd
}

// lineWriter passes whole lines on.
type lineWriter struct {
	tell func(string)
	rest []byte
}

// Write takes a piece of output and tells the lines that it completes.
func (w *lineWriter) Write(p []byte) (int, error) {
	if w.tell == nil {
		return len(p), nil
	}
	w.rest = append(w.rest, p...)
	for {
		line, rest, whole := bytes.Cut(w.rest, []byte("\n"))
		if !whole {
			return len(p), nil
		}
		w.rest = rest
		w.tell(string(bytes.TrimRight(line, "\r")))
	}
}

const tailLines = 12

// lastLines returns the end of a text.
func lastLines(text []byte, n int) string {
	lines := strings.Split(strings.TrimSpace(string(text)), "\n")
	return strings.Join(lines[max(0, len(lines)-n):], "\n")
}

// said makes an error of what a program said, nil when it said nothing.
func said(text string) error {
	if text == "" {
		return nil
	}
	return errors.New(text)
}

// postmaster is the server's first process, which is our child or one that we found.
type postmaster struct {
	pid     int
	signal  func(os.Signal) error
	ended   <-chan struct{}
	how     func() error // how it ended; only after ended is closed
	logFrom int64        // where in the log file this run begins
}

func (p *postmaster) hasEnded() bool {
	select {
	case <-p.ended:
		return true
	default:
		return false
	}
}

// spawn starts the server as our direct child. On Linux the kernel shuts it down when we die: the signal is sent when
// the thread that forked ends, so that thread is locked and does nothing but wait for the child.
func spawn(cmd *exec.Cmd) (*postmaster, error) {
	started, ended := make(chan error, 1), make(chan struct{})
	var how error
	go func() {
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		err := cmd.Start()
		started <- err
		if err == nil {
			how = cmd.Wait()
		}
		close(ended)
	}()
	if err := <-started; err != nil {
		return nil, fmt.Errorf("run %s: %w", cmd.Path, err)
	}
	return &postmaster{
		pid:    cmd.Process.Pid,
		ended:  ended,
		how:    func() error { return how },
		signal: cmd.Process.Signal,
	}, nil
}
