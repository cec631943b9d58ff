package embedded

import (
	"io/fs"
	"os"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"

	"hale/fault"
)

// dbUser is who the server runs as: PostgreSQL refuses to run as root.
type dbUser struct {
	name     string
	uid, gid int
	other    bool // another than who we are
}

// chooseUser returns who runs the server: ourselves, or as root the system's "postgres", else "nobody"; a cluster that
// is there already keeps the one of the two that owns it.
func chooseUser(data string) (*dbUser, error) {
	if uid := os.Geteuid(); uid != 0 {
		return &dbUser{name: "uid " + strconv.Itoa(uid), uid: uid, gid: os.Getegid()}, ownedBy(data, uid)
	}
	var candidates []*dbUser
	for _, name := range []string{"postgres", "nobody"} {
		if u, err := lookUp(name); err == nil {
			candidates = append(candidates, u)
		}
	}
	if len(candidates) == 0 {
		return nil, fault.New(fault.Unavailable, "PostgreSQL cannot run as root, and this system has neither a user postgres nor a user nobody: "+
			"create one, or run hale as an ordinary user")
	}
	for _, u := range candidates {
		if ownedBy(data, u.uid) == nil {
			return u, nil
		}
	}
	return nil, ownedBy(data, candidates[0].uid)
}

func lookUp(name string) (*dbUser, error) {
	u, err := user.Lookup(name)
	if err != nil {
		return nil, err
	}
	uid, err := strconv.Atoi(u.Uid)
	if err != nil {
		return nil, err
	}
	gid, err := strconv.Atoi(u.Gid)
	if err != nil {
		return nil, err
	}
	return &dbUser{name: name, uid: uid, gid: gid, other: true}, nil
}

// ownedBy returns nil when the cluster belongs to the user or is not there yet.
func ownedBy(data string, uid int) error {
	info, err := os.Stat(data)
	if err != nil {
		return nil //nolint:nilerr // not there, or not to be seen: the start itself will say which
	}
	if owner := ownerOf(info); owner != uid {
		return fault.New(fault.Forbidden, "the cluster %s belongs to user id %d: run hale as that user, or choose another --data", data, owner)
	}
	return nil
}

func ownerOf(info fs.FileInfo) int {
	if stat, ok := info.Sys().(*syscall.Stat_t); ok {
		return int(stat.Uid)
	}
	return -1
}

func groupOf(info fs.FileInfo) int {
	if stat, ok := info.Sys().(*syscall.Stat_t); ok {
		return int(stat.Gid)
	}
	return -1
}

// barred returns the first directory on the way from / to dir that the user may not pass, "" when there is none. It
// reads the permission bits, and so knows nothing of access lists.
func (u *dbUser) barred(dir string) string {
	if resolved, err := filepath.EvalSymlinks(dir); err == nil {
		dir = resolved
	}
	at := "/"
	for _, part := range append([]string{""}, strings.Split(strings.Trim(dir, "/"), "/")...) {
		at = filepath.Join(at, part)
		info, err := os.Stat(at)
		if err != nil {
			return "" // what is not there yet is made by us, passable
		}
		pass := fs.FileMode(0o001)
		switch {
		case ownerOf(info) == u.uid:
			pass = 0o100
		case groupOf(info) == u.gid:
			pass = 0o010
		}
		if info.Mode()&pass == 0 {
			return at
		}
	}
	return ""
}

// barredError says which directory stands in the way and how to mend it.
func (u *dbUser) barredError(dir, blocked string) error {
	return fault.New(fault.Invalid, "PostgreSQL runs as user %s, who cannot pass %s on the way to %s: allow it with `chmod o+x %s`, or choose another place",
		u.name, blocked, dir, blocked)
}

// makePassable makes a directory with its missing parents so that the database user can pass them, whatever the umask.
func makePassable(dir string) error {
	if _, err := os.Stat(dir); err == nil {
		return nil
	}
	if err := makePassable(filepath.Dir(dir)); err != nil {
		return err
	}
	if err := os.Mkdir(dir, 0o755); err != nil { //nolint:gosec // G301: PostgreSQL's user passes; what is private has its own mode
		return err
	}
	return os.Chmod(dir, 0o755) //nolint:gosec // G302: likewise
}
