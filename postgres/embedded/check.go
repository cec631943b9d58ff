package embedded

import (
	"context"
	"fmt"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"

	"hale/fault"
)

// leastSpace is what the cluster may come to need before anything is wrong: 2 GiB of write-ahead log (max_wal_size),
// and as much again for data and the stream. In bytes.
const leastSpace = 4 << 30

// Finding is one prerequisite, as `hale doctor` tells it: what was looked at, whether it is as it should be, what was
// seen, and how to mend it when it is not.
type Finding struct {
	Name   string
	OK     bool
	Detail string
	Mend   string
}

// Check looks at all that Start will need, and changes nothing.
func Check(cfg Config) []Finding {
	cfg = cfg.withDefaults()
	dir, err := filepath.Abs(cfg.Dir)
	if err != nil {
		return []Finding{{Name: "data directory", Detail: err.Error(), Mend: "name it with --data"}}
	}
	if resolved, err := filepath.EvalSymlinks(dir); err == nil {
		dir = resolved
	}
	cfg.Dir = dir
	c := &cluster{cfg: cfg, dir: dir, data: filepath.Join(dir, clusterName)}
	findings := []Finding{c.checkPrograms()}
	user, err := chooseUser(c.data)
	if err != nil {
		return append(findings, Finding{Name: "database user", Detail: fault.MessageOf(err), Mend: "run hale as an ordinary user, with a data directory of that user"})
	}
	c.user = user
	return append(findings, c.checkUser(), c.checkPlace(), c.checkSpace(), c.checkSocket(), c.checkPostmaster())
}

func (c *cluster) checkPrograms() Finding {
	f := Finding{Name: "PostgreSQL programs"}
	bin, version, err := find(context.Background(), c.cfg)
	switch {
	case err == nil:
		f.OK, f.Detail, c.bin = true, fmt.Sprintf("PostgreSQL %d in %s", version, bin), bin
	case fault.Is(err, fault.NotFound):
		f.Detail, f.Mend = fault.MessageOf(err), systemOf(c.cfg.SearchRoot).command(packageFor(c.cfg), os.Geteuid() == 0)
	default:
		f.Detail, f.Mend = err.Error(), fmt.Sprintf("name the directory of PostgreSQL %d or later, or none", oldest)
	}
	return f
}

func (c *cluster) checkUser() Finding {
	f := Finding{Name: "database user", OK: true, Detail: "PostgreSQL runs as " + c.user.name}
	if !c.user.other || c.bin == "" {
		return f
	}
	if blocked := c.user.barred(c.bin); blocked != "" {
		f.OK, f.Detail = false, fmt.Sprintf("user %s cannot pass %s on the way to PostgreSQL's programs", c.user.name, blocked)
		f.Mend = "chmod o+x " + blocked
	}
	return f
}

func (c *cluster) checkPlace() Finding {
	f := Finding{Name: "data directory", OK: true, Detail: c.dir}
	there := existing(c.dir)
	blocked := c.user.barred(there)
	switch {
	case c.user.other && blocked != "":
		f.OK, f.Detail = false, fmt.Sprintf("user %s cannot pass %s on the way to %s", c.user.name, blocked, c.dir)
		f.Mend = "chmod o+x " + blocked + ", or choose another --data"
	case unix.Access(there, unix.W_OK|unix.X_OK) != nil:
		f.OK, f.Detail = false, "we may not write to "+there
		f.Mend = "choose another --data, or run hale as the owner of " + there
	case there != c.dir:
		f.Detail += " (will be made)"
	}
	return f
}

// existing returns the directory, or the nearest above it that is there.
func existing(dir string) string {
	for {
		if _, err := os.Stat(dir); err == nil || dir == filepath.Dir(dir) {
			return dir
		}
		dir = filepath.Dir(dir)
	}
}

func (c *cluster) checkSpace() Finding {
	f := Finding{Name: "free space"}
	var stat unix.Statfs_t
	if err := unix.Statfs(existing(c.dir), &stat); err != nil {
		f.Detail, f.Mend = err.Error(), "choose another --data"
		return f
	}
	free := uint64(stat.Bavail) * uint64(stat.Bsize) //nolint:unconvert // their types differ between systems
	f.OK, f.Detail = free >= leastSpace, fmt.Sprintf("%.1f GiB", float64(free)/(1<<30))
	if !f.OK {
		f.Mend = fmt.Sprintf("make room for at least %d GiB, or choose another --data", leastSpace>>30)
	}
	return f
}

func (c *cluster) checkSocket() Finding {
	s := socket{dir: filepath.Join(c.dir, socketName), port: port}
	if usable(s) {
		return Finding{Name: "socket path", OK: true, Detail: s.path()}
	}
	for _, dir := range c.shortDirs() {
		s.dir = dir
		if base, err := os.Stat(filepath.Dir(dir)); err == nil && base.IsDir() && usable(s) {
			return Finding{Name: "socket path", OK: true, Detail: s.path() + " (the data directory's own path is too long for a socket)"}
		}
	}
	return Finding{Name: "socket path", Detail: "no path is short enough for a socket", Mend: "choose a --data with a shorter path"}
}

func (c *cluster) checkPostmaster() Finding {
	f := Finding{Name: "leftover server", OK: true, Detail: "none"}
	held, err := c.isLocked()
	r, alive := c.living(context.Background())
	_, there := readPIDFile(c.data)
	switch {
	case err != nil:
		f.OK, f.Detail, f.Mend = false, err.Error(), "run hale as the owner of "+c.dir+", or choose another --data"
	case held:
		f.Detail = "hale is running (pid " + holder(c.dir) + ")"
	case alive:
		f.OK, f.Detail = false, fmt.Sprintf("PostgreSQL runs without hale (pid %d)", r.pid)
		f.Mend = fmt.Sprintf("`hale up` takes it over; or stop it with kill -INT %d", r.pid)
	case there:
		f.Detail = "none (a killed one left its pid file, which the next start clears)"
	}
	return f
}

// isLocked reports whether a Hale holds the directory, without making the lock file.
func (c *cluster) isLocked() (bool, error) {
	if _, err := os.Stat(filepath.Join(c.dir, lockName)); err != nil {
		return false, nil //nolint:nilerr // nobody has ever been here
	}
	file := newFlock(c.dir)
	free, err := file.TryLock()
	if err != nil {
		return false, fmt.Errorf("the lock cannot be asked: %w", err)
	}
	if !free {
		return true, nil
	}
	return false, file.Unlock()
}
