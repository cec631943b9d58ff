package embedded

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"hale/fault"
)

// makeSocketDir returns where the server listens: Dir/socket, or a short directory elsewhere when that path is too long
// for a socket or has a comma, which clients take for the end of a host. The directory is 0700 and the server's user's:
// it is the only door, and who can open it is trusted.
func (c *cluster) makeSocketDir() (socket, error) {
	s := socket{dir: filepath.Join(c.dir, socketName), port: port}
	if usable(s) {
		return s, fault.Wrap(fault.Invalid, c.makePrivate(s.dir), "the socket's directory cannot be used: remove it")
	}
	s.lent = filepath.Join(c.dir, lentName)
	var problems error
	for _, dir := range c.shortDirs() {
		s.dir = dir
		if !usable(s) {
			continue
		}
		if err := c.makePrivate(dir); err != nil {
			problems = errors.Join(problems, err)
			continue
		}
		return s, fault.Wrap(fault.Invalid, writePublic(s.lent, dir+"\n"), "remember the socket's directory")
	}
	return socket{}, fault.Wrap(fault.Invalid, problems, "there is no directory for PostgreSQL's socket: choose a --data with a shorter path")
}

// usable reports whether a socket can have that path.
func usable(s socket) bool {
	return len(s.path()) <= socketPathLimit && !strings.ContainsAny(s.dir, ",")
}

// shortDirs lists directories for the socket outside Hale's own, the one used last time first.
func (c *cluster) shortDirs() []string {
	name := shortName(c.dir)
	bases := []string{c.cfg.RuntimeDir, "/tmp"}
	if c.user.other { // root's runtime directory is closed to the database user, and only root writes to /run
		bases = []string{"/run", "/tmp"}
	}
	var dirs []string
	if at := lastLent(c.dir); strings.HasPrefix(filepath.Base(at), name) {
		dirs = append(dirs, at)
	}
	for _, base := range bases {
		if base != "" {
			dirs = append(dirs, filepath.Join(base, name))
		}
	}
	// Somebody may have taken the plain name in a directory that everybody writes to, by accident or to keep us out.
	for i := range 3 {
		dirs = append(dirs, filepath.Join("/tmp", fmt.Sprintf("%s-%d", name, i)))
	}
	return dirs
}

// lastLent returns the socket's directory of the last run if that was outside Hale's own, "" else.
func lastLent(dir string) string {
	text, err := os.ReadFile(filepath.Join(dir, lentName)) //nolint:gosec // G304: in our own directory
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(text))
}

// shortName is the same for the same data directory, and another for a copy of it.
func shortName(dir string) string {
	sum := sha256.Sum256([]byte(dir))
	return "hale-" + hex.EncodeToString(sum[:6])
}

// makePrivate makes a directory for the database user alone, or accepts one that is exactly that. It never changes what
// is another's: in a directory that everybody writes to, it could be made to change something else.
func (c *cluster) makePrivate(dir string) error {
	err := os.Mkdir(dir, 0o700)
	if err == nil && c.user.other {
		return os.Lchown(dir, c.user.uid, c.user.gid)
	}
	if !errors.Is(err, os.ErrExist) {
		return err
	}
	info, err := os.Lstat(dir)
	if err != nil {
		return err
	}
	private := info.IsDir() && info.Mode().Perm() == 0o700
	if private && c.user.other && ownerOf(info) == os.Geteuid() { // a start that was killed before it gave it away
		return os.Lchown(dir, c.user.uid, c.user.gid)
	}
	if !private || ownerOf(info) != c.user.uid {
		return fmt.Errorf("%s is there and is not a directory of mode 0700 that belongs to user id %d", dir, c.user.uid)
	}
	return nil
}

// remove removes a socket directory that lies outside Hale's own. Whatever else somebody put there keeps it.
func (s socket) remove() error {
	if s.lent == "" {
		return nil
	}
	if err := os.Remove(s.dir); err != nil && !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("remove the socket's directory: %w", err)
	}
	return os.Remove(s.lent)
}
