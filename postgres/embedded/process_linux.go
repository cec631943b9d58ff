package embedded

import (
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

const (
	// endsWithUs says that the kernel signals our children when we die.
	endsWithUs = true
	// socketPathLimit is the length of a Unix socket's path: the kernel's 108 bytes less the closing zero.
	socketPathLimit = 107
	// bulkSync says that syncAll can write a whole tree to disk, so that initdb need not sync file by file.
	bulkSync = true
)

// attributes puts a program into a session of its own, so that Ctrl-C in a terminal reaches Hale alone and Hale shuts
// down in its order, and asks for a signal at our death. The runtime asks for it after it has changed the user, which
// would clear it.
func attributes(atOurDeath syscall.Signal) *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setsid: true, Pdeathsig: atOurDeath}
}

// syncAll writes everything of the file system that holds dir to disk.
func syncAll(dir string) error {
	f, err := os.Open(dir) //nolint:gosec // G304: our own directory
	if err != nil {
		return err
	}
	defer f.Close() //nolint:errcheck // read only
	if err := unix.Syncfs(int(f.Fd())); err != nil {
		return &os.PathError{Op: "syncfs", Path: dir, Err: err}
	}
	return nil
}

// serverOf reports whether the process is a PostgreSQL process that works in the given cluster; known is false when the
// system does not tell. A server makes the cluster its working directory, and so do all its children. A zombie is none.
func serverOf(pid int, data string) (yes, known bool) {
	if _, err := os.Stat("/proc/self/cwd"); err != nil {
		return false, false
	}
	proc := filepath.Join("/proc", strconv.Itoa(pid))
	comm, err := os.ReadFile(filepath.Join(proc, "comm")) //nolint:gosec // G304: the kernel's
	if err != nil || !strings.HasPrefix(string(comm), "post") {
		return false, true // "postgres" and "postmaster"
	}
	home, err := os.Stat(data)
	if err != nil {
		return false, true
	}
	cwd, err := os.Stat(filepath.Join(proc, "cwd"))
	return err == nil && os.SameFile(home, cwd), true
}

// stragglers lists the PostgreSQL processes that work in the cluster.
func stragglers(data string) []int {
	entries, err := os.ReadDir("/proc")
	if err != nil {
		return nil
	}
	var pids []int
	for _, e := range entries {
		pid, err := strconv.Atoi(e.Name())
		if err != nil {
			continue
		}
		if yes, _ := serverOf(pid, data); yes {
			pids = append(pids, pid)
		}
	}
	return pids
}
