package embedded

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"hale/fault"
)

const (
	pollEvery     = 10 * time.Millisecond  // while somebody waits for us
	watchEvery    = 250 * time.Millisecond // an adopted server's life: it is no child that could be waited for
	stragglerTime = 10 * time.Second
	pidFile       = "postmaster.pid"
)

// running is what a server writes about itself into postmaster.pid.
type running struct {
	pid    int
	socket socket // its dir is "" when the server has no socket yet, or none at all
	status string // starting, ready, stopping, standby; "" when it has not come so far
}

// readPIDFile reads the cluster's postmaster.pid; there is false when there is none or it says nothing.
func readPIDFile(data string) (r running, there bool) {
	text, err := os.ReadFile(filepath.Join(data, pidFile)) //nolint:gosec // G304: in our own cluster
	if err != nil {
		return running{}, false
	}
	lines := append(strings.Split(string(text), "\n"), make([]string, 8)...)
	pid, err := strconv.Atoi(strings.TrimSpace(lines[0]))
	if err != nil || pid <= 0 {
		return running{}, false
	}
	r = running{pid: pid, status: strings.TrimSpace(lines[7]), socket: socket{dir: lines[4]}}
	if r.socket.port, err = strconv.Atoi(strings.TrimSpace(lines[3])); err != nil {
		r.socket.dir = ""
	}
	return r, true
}

// living returns the server that runs on the cluster now. A process id alone proves nothing: after a power cut it may be
// anybody's.
func (c *cluster) living(ctx context.Context) (r running, alive bool) {
	r, there := readPIDFile(c.data)
	if !there || !c.alive(r.pid) {
		return r, false
	}
	if _, known := serverOf(r.pid, c.data); !known && r.status == "ready" {
		return r, listens(ctx, r.socket) // the best that can be asked where the system does not tell whose a process is
	}
	return r, true
}

func (c *cluster) alive(pid int) bool {
	if yes, known := serverOf(pid, c.data); known {
		return yes
	}
	return exists(pid)
}

// exists reports whether there is any process of that id.
func exists(pid int) bool {
	err := syscall.Kill(pid, 0)
	return err == nil || errors.Is(err, syscall.EPERM)
}

// found is a server that is adopted.
type found struct {
	postmaster *postmaster
	socket     socket
}

// adopt returns the server that lives on from an earlier run, nil when there is none. A server that is on its way out,
// because it was told to stop or because it was the child of a Hale that has died, is waited for instead.
func (c *cluster) adopt(ctx context.Context) (*found, error) {
	r, alive := c.living(ctx)
	if !alive {
		return nil, nil
	}
	p, giveUp := c.watchOther(ctx, r.pid)
	if r.pid == c.lock.child || r.status == "stopping" {
		defer giveUp()
		if err := p.stop(ctx, c.cfg.Log); err != nil && !p.hasEnded() {
			return nil, err
		}
		return nil, nil
	}
	s, err := c.awaitOther(ctx, p)
	switch {
	case errors.Is(err, errEnded):
		giveUp()
		return nil, nil
	case err != nil:
		giveUp()
		return nil, fault.Wrap(fault.Conflict, err, "a PostgreSQL that runs on %s (pid %d) does not let us in: stop it with `kill -INT %d`", c.data, r.pid, r.pid)
	}
	if s.dir == lastLent(c.dir) {
		s.lent = filepath.Join(c.dir, lentName)
	}
	if err := c.lock.note(0); err != nil {
		giveUp()
		return nil, err
	}
	return &found{postmaster: p, socket: s}, nil
}

// awaitOther waits until a server that is no child of ours takes connections, and returns where.
func (c *cluster) awaitOther(ctx context.Context, p *postmaster) (s socket, err error) {
	err = poll(ctx, func() (bool, error) {
		r, there := readPIDFile(c.data)
		if p.hasEnded() || !there || r.pid != p.pid {
			return false, errEnded
		}
		s = r.socket
		switch {
		case s.dir == "" && r.status == "ready":
			return false, errors.New("it has no Unix socket")
		case s.dir == "":
			return false, nil
		}
		return ping(ctx, s.path())
	})
	return s, err
}

// watchOther follows a process that is no child of ours until it ends or giveUp is called.
func (c *cluster) watchOther(ctx context.Context, pid int) (p *postmaster, giveUp context.CancelFunc) {
	ctx, giveUp = context.WithCancel(context.WithoutCancel(ctx))
	ended := make(chan struct{})
	go func() {
		tick := time.NewTicker(watchEvery)
		defer tick.Stop()
		for c.alive(pid) {
			select {
			case <-ctx.Done():
				return
			case <-tick.C:
			}
		}
		close(ended)
	}()
	signal := func(sig os.Signal) error {
		number, ok := sig.(syscall.Signal)
		if !ok || !c.alive(pid) {
			return os.ErrProcessDone
		}
		return syscall.Kill(pid, number)
	}
	how := func() error { return fmt.Errorf("process %d is gone", pid) }
	return &postmaster{pid: pid, ended: ended, how: how, signal: signal, logFrom: logSize(c.dir)}, giveUp
}

func logSize(dir string) int64 {
	info, err := os.Stat(filepath.Join(dir, logName))
	if err != nil {
		return 0
	}
	return info.Size()
}

// clearTheWay waits for what a killed server left working in the cluster, and removes what would make PostgreSQL believe
// that a server runs although none does: a process id that is somebody else's by now. We hold the lock, so no other Hale
// starts one meanwhile. PostgreSQL's own interlock on shared memory goes with the file, which is why stragglers count.
func (c *cluster) clearTheWay(ctx context.Context, s socket) error {
	waiting, cancel := context.WithTimeout(ctx, stragglerTime)
	defer cancel()
	err := poll(waiting, func() (bool, error) { return len(stragglers(c.data)) == 0, nil })
	if err != nil {
		return fault.Wrap(fault.Conflict, err, "processes of an earlier PostgreSQL still work on %s: %v", c.data, stragglers(c.data))
	}
	if r, there := readPIDFile(c.data); there {
		if _, known := serverOf(r.pid, c.data); known && exists(r.pid) {
			c.cfg.Log.Warn("removing a stale pid file", "pid", r.pid)
			err = os.Remove(filepath.Join(c.data, pidFile))
		}
	}
	for _, stale := range []string{s.path(), s.path() + ".lock"} {
		if e := os.Remove(stale); e != nil && !errors.Is(e, os.ErrNotExist) {
			err = errors.Join(err, e)
		}
	}
	return fault.Wrap(fault.Invalid, err, "remove what a killed server left")
}

// poll asks until the answer is yes, an error, or ctx ends.
func poll(ctx context.Context, ask func() (bool, error)) error {
	tick := time.NewTicker(pollEvery)
	defer tick.Stop()
	for {
		if yes, err := ask(); yes || err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-tick.C:
		}
	}
}
