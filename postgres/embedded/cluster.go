package embedded

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"hale/fault"
)

// What lies in Hale's data directory because of us.
const (
	clusterName  = "postgres"        // the cluster, 0700
	stagingName  = ".postgres-"      // a cluster in the making, with a suffix
	settingsName = "postgres.conf"   // our settings, included by the cluster's own
	logName      = "postgres.log"    // what the server says
	socketName   = "socket"          // the socket, 0700
	lentName     = "postgres.socket" // remembers the socket's directory when it has to be elsewhere

	logLimit = 16 << 20 // bytes; a longer log is put aside at the next start
)

// cluster is Hale's data directory, locked, with what it takes to run its server.
type cluster struct {
	cfg  Config
	bin  string
	dir  string // absolute, links resolved
	data string
	user *dbUser
	lock *lock
}

// openCluster makes the data directory if need be, locks it, and checks that the server's user can work there.
func openCluster(ctx context.Context, cfg Config, bin string) (*cluster, error) {
	if cfg.Dir == "" {
		return nil, fault.New(fault.Invalid, "no data directory is given")
	}
	dir, err := filepath.Abs(cfg.Dir)
	if err != nil {
		return nil, fault.Wrap(fault.Invalid, err, "the data directory cannot be found")
	}
	if err := makePassable(dir); err != nil {
		return nil, fault.Wrap(fault.Invalid, err, "the data directory %s cannot be made", dir)
	}
	if dir, err = filepath.EvalSymlinks(dir); err != nil {
		return nil, fault.Wrap(fault.Invalid, err, "the data directory cannot be found")
	}
	c := &cluster{cfg: cfg, bin: bin, dir: dir, data: filepath.Join(dir, clusterName)}
	if c.user, err = chooseUser(c.data); err != nil {
		return nil, err
	}
	if c.lock, err = takeLock(ctx, dir); err != nil {
		return nil, err
	}
	if err := c.checkAccess(ctx); err != nil {
		return nil, errors.Join(err, c.lock.release())
	}
	return c, nil
}

// checkAccess runs a program of PostgreSQL as the database user in the data directory: the only question to which the
// system gives the true answer.
func (c *cluster) checkAccess(ctx context.Context) error {
	if !c.user.other {
		return nil
	}
	_, err := tool{path: c.program("postgres"), args: []string{"--version"}, user: c.user, dir: c.dir}.run(ctx)
	if !errors.Is(err, fs.ErrPermission) {
		return fault.Wrap(fault.Unavailable, err, "PostgreSQL cannot be run as user %s", c.user.name)
	}
	for _, place := range []string{c.dir, c.bin} {
		if blocked := c.user.barred(place); blocked != "" {
			return c.user.barredError(place, blocked)
		}
	}
	return fault.Wrap(fault.Invalid, err, "user %s cannot work in %s with the programs in %s", c.user.name, c.dir, c.bin)
}

func (c *cluster) program(name string) string { return filepath.Join(c.bin, name) }

// initialise makes the cluster if there is none. It is made under another name and renamed when it is whole and on disk,
// so that a start that is killed half-way leaves nothing that the next one could mistake for a cluster.
func (c *cluster) initialise(ctx context.Context) error {
	if clusterVersion(c.dir) != 0 {
		return nil
	}
	if entries, err := os.ReadDir(c.data); err == nil && len(entries) > 0 {
		return fault.New(fault.Invalid, "%s is not empty and holds no PostgreSQL cluster: move it away, or choose another --data", c.data)
	}
	c.cfg.Out("Making a new PostgreSQL cluster in " + c.data)
	if err := c.removeStaging(); err != nil {
		return fault.Wrap(fault.Invalid, err, "remove an unfinished cluster")
	}
	staging, err := os.MkdirTemp(c.dir, stagingName)
	if err != nil {
		return fault.Wrap(fault.Invalid, err, "make the cluster's directory")
	}
	if err := c.fill(ctx, staging); err != nil {
		return errors.Join(fault.Wrap(fault.Unavailable, err, "PostgreSQL's cluster could not be made"), os.RemoveAll(staging))
	}
	if err := os.Rename(staging, c.data); err != nil {
		return fault.Wrap(fault.Invalid, err, "put the new cluster in its place")
	}
	return fault.Wrap(fault.Unavailable, syncDir(c.dir), "write the new cluster to disk")
}

func (c *cluster) removeStaging() error {
	entries, err := os.ReadDir(c.dir)
	for _, e := range entries {
		if strings.HasPrefix(e.Name(), stagingName) {
			err = errors.Join(err, os.RemoveAll(filepath.Join(c.dir, e.Name())))
		}
	}
	return err
}

// fill makes the cluster and the database in a directory that is there and empty.
func (c *cluster) fill(ctx context.Context, dir string) error {
	if c.user.other {
		if err := os.Lchown(dir, c.user.uid, c.user.gid); err != nil {
			return err
		}
	}
	args := []string{
		"-D", dir, "-U", superuser, "--auth-local=trust", "--auth-host=reject", // the socket's directory is the door
		"--locale-provider=libc", "--locale=C", "-E", "UTF8", "--data-checksums", "--no-instructions",
	}
	single := []string{"--single", "-D", dir, "-c", "exit_on_error=true"}
	if bulkSync {
		args, single = append(args, "--no-sync"), append(single, "-F")
	}
	if _, err := (tool{path: c.program("initdb"), args: args, user: c.user, dir: dir}).run(ctx); err != nil {
		return err
	}
	create := tool{
		path: c.program("postgres"), args: append(single, "template1"), user: c.user, dir: dir,
		input: "CREATE DATABASE " + database + ";\n",
	}
	if _, err := create.run(ctx); err != nil {
		return err
	}
	if err := includeSettings(dir); err != nil {
		return err
	}
	return syncAll(dir)
}

// includeSettings makes the cluster read our settings, and keeps its door shut should somebody start it by hand. What
// ALTER SYSTEM sets comes after them.
func includeSettings(dir string) error {
	name := filepath.Join(dir, "postgresql.conf")
	f, err := os.OpenFile(name, os.O_WRONLY|os.O_APPEND|syscall.O_NOFOLLOW, 0) //nolint:gosec // G304: in the cluster that we just made
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(f, "\n# Hale\nlisten_addresses = ''\nunix_socket_permissions = 0700\ninclude_if_exists '../%s'\n", settingsName)
	return errors.Join(err, f.Close())
}

// settings is what differs from PostgreSQL's defaults. It is written anew at each start.
const settings = `# Written by Hale at each start, so changes here are lost: use ALTER SYSTEM.
cluster_name = 'hale'
max_connections = 60
shared_buffers = '256MB'
max_wal_size = '2GB'
checkpoint_timeout = '15min'
checkpoint_completion_target = 0.9
jit = off
autovacuum = on
timezone = 'UTC'
log_timezone = 'UTC'
log_line_prefix = '%m [%p] %a '
log_min_duration_statement = '2000ms'
# The log must not hold anybody's health: no parameters of statements, and no DETAIL, which quotes rows.
log_parameter_max_length = 0
log_parameter_max_length_on_error = 0
log_error_verbosity = terse
`

// pinned are the settings on which promises rest: on the command line not even ALTER SYSTEM overrides them.
func pinned(s socket) []string {
	var args []string
	for _, setting := range []string{
		"listen_addresses=",
		"unix_socket_directories=" + `"` + strings.ReplaceAll(s.dir, `"`, `""`) + `"`,
		"unix_socket_permissions=0700",
		fmt.Sprintf("port=%d", s.port),
		"fsync=on",
		"full_page_writes=on",
		"synchronous_commit=on",
		"log_destination=stderr",
		"logging_collector=off",
	} {
		args = append(args, "-c", setting)
	}
	return args
}

// launch starts the server and waits until it takes connections.
func (c *cluster) launch(ctx context.Context, s socket) (*postmaster, error) {
	if err := c.clearTheWay(ctx, s); err != nil {
		return nil, err
	}
	conf := filepath.Join(c.dir, settingsName)
	if err := writePublic(conf, settings); err != nil {
		return nil, fault.Wrap(fault.Invalid, err, "write PostgreSQL's settings")
	}
	log, from, err := c.openLog()
	if err != nil {
		return nil, fault.Wrap(fault.Invalid, err, "open PostgreSQL's log")
	}
	defer log.Close() //nolint:errcheck // the server holds its own
	cmd := command(context.WithoutCancel(ctx), c.program("postgres"), append([]string{"-D", c.data}, pinned(s)...), c.user, signalFast)
	cmd.Dir, cmd.Stdout, cmd.Stderr = c.data, log, log
	p, err := spawn(cmd)
	if err != nil {
		return nil, fault.Wrap(fault.Unavailable, err, "PostgreSQL cannot be started")
	}
	p.logFrom = from
	if endsWithUs {
		err = c.lock.note(p.pid)
	}
	if err == nil {
		err = c.awaitReady(ctx, p, s)
	}
	if err != nil {
		return nil, errors.Join(err, p.stop(context.WithoutCancel(ctx), c.cfg.Log), s.remove())
	}
	return p, nil
}

// awaitReady waits until the server takes connections, as long as it lives and ctx allows: recovery after a crash may
// take minutes, and to give up on it would only make it begin again.
func (c *cluster) awaitReady(ctx context.Context, p *postmaster, s socket) error {
	patience := time.NewTimer(3 * time.Second)
	defer patience.Stop()
	err := poll(ctx, func() (bool, error) {
		if p.hasEnded() {
			return false, errEnded
		}
		select {
		case <-patience.C:
			c.cfg.Out("PostgreSQL is still starting: it recovers what an interrupted run left")
		default:
		}
		return ping(ctx, s.path())
	})
	if err == nil {
		return nil
	}
	if errors.Is(err, errEnded) {
		err = c.explain(p)
	}
	return fault.Wrap(fault.Unavailable, err, "PostgreSQL did not start")
}

// errEnded says that the server ended while it was waited for; the log says more.
var errEnded = errors.New("the server ended")

// explain says how the server ended and what it said last.
func (c *cluster) explain(p *postmaster) error {
	how := p.how()
	if how == nil {
		how = errors.New("it was asked to stop by somebody else")
	}
	name := filepath.Join(c.dir, logName)
	return errors.Join(fmt.Errorf("%w; its log is %s", how, name), said(tail(name, p.logFrom)))
}

// openLog opens the server's log to append to it, and puts it aside when it has grown long.
func (c *cluster) openLog() (f *os.File, from int64, err error) {
	name := filepath.Join(c.dir, logName)
	if info, err := os.Stat(name); err == nil && info.Size() > logLimit {
		if err := os.Rename(name, name+".1"); err != nil {
			return nil, 0, err
		}
	}
	f, err = os.OpenFile(name, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600) //nolint:gosec // G304: in our own directory
	if err != nil {
		return nil, 0, err
	}
	from, err = f.Seek(0, io.SeekEnd)
	return f, from, err
}

// tail returns the last lines of a log, none from before the given place.
func tail(name string, from int64) string {
	f, err := os.Open(name) //nolint:gosec // G304: our own log
	if err != nil {
		return ""
	}
	defer f.Close() //nolint:errcheck // read only
	const most = 16 << 10
	if info, err := f.Stat(); err == nil {
		from = max(from, info.Size()-most)
	}
	text, err := io.ReadAll(io.NewSectionReader(f, from, most))
	if err != nil {
		return ""
	}
	return lastLines(text, tailLines)
}

// writePublic writes a file that the database user can read, whatever the umask. Nothing in it is secret.
func writePublic(name, text string) error {
	if err := os.WriteFile(name, []byte(text), 0o644); err != nil { //nolint:gosec // G306: as the name says
		return err
	}
	return os.Chmod(name, 0o644) //nolint:gosec // G302: likewise
}

// syncDir makes a rename in a directory durable.
func syncDir(dir string) error {
	f, err := os.Open(dir) //nolint:gosec // G304: our own directory
	if err != nil {
		return err
	}
	return errors.Join(f.Sync(), f.Close())
}
