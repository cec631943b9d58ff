package embedded

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/gofrs/flock"

	"hale/fault"
)

const (
	lockName = "hale.lock"
	lockWait = 400 * time.Millisecond // `hale doctor` holds the lock for a moment to see whether it is free
)

// lock is the lock on Hale's data directory. The system gives it back when the process ends, however it ends. The file
// holds the process id of the Hale that has it, and of the PostgreSQL that ends with that Hale.
type lock struct {
	file  *flock.Flock
	child int // the server that an earlier Hale started, and that ends or has ended with it; 0 when there is none
}

// takeLock locks the data directory, or returns fault.Conflict with the process id of who has it.
func takeLock(ctx context.Context, dir string) (*lock, error) {
	l := &lock{file: newFlock(dir)}
	ctx, cancel := context.WithTimeout(ctx, lockWait)
	defer cancel()
	locked, err := l.file.TryLockContext(ctx, lockWait/20)
	switch {
	case locked:
	case err == nil, errors.Is(err, context.DeadlineExceeded):
		return nil, fault.New(fault.Conflict, "hale is already running (pid %s) on %s", holder(dir), dir)
	case errors.Is(err, fs.ErrPermission):
		return nil, fault.Wrap(fault.Forbidden, err, "the data directory %s belongs to another user: run hale as that user, or choose another --data", dir)
	default:
		return nil, fault.Wrap(fault.Invalid, err, "the data directory %s cannot be locked", dir)
	}
	_, l.child = readLock(dir)
	if err := l.note(l.child); err != nil {
		return nil, errors.Join(err, l.release())
	}
	return l, nil
}

func newFlock(dir string) *flock.Flock {
	return flock.New(filepath.Join(dir, lockName), flock.SetFlag(os.O_CREATE|os.O_RDWR), flock.SetPermissions(0o644))
}

// note writes who holds the lock and which server ends with it, 0 for none: the next Hale waits for that server's end
// instead of adopting it.
func (l *lock) note(child int) error {
	text := fmt.Sprintf("%d\n%d\n", os.Getpid(), child)
	return fault.Wrap(fault.Invalid, writePublic(l.file.Path(), text), "write the lock file")
}

// release gives the directory back.
func (l *lock) release() error { return l.file.Unlock() }

// readLock returns what the lock file says, zeros where it says nothing.
func readLock(dir string) (hale, child int) {
	text, err := os.ReadFile(filepath.Join(dir, lockName)) //nolint:gosec // G304: in our own directory
	if err != nil {
		return 0, 0
	}
	fields := strings.Fields(string(text))
	for i, target := range []*int{&hale, &child} {
		if i < len(fields) {
			if n, err := strconv.Atoi(fields[i]); err == nil {
				*target = n
			}
		}
	}
	return hale, child
}

// Holder returns the process id of the Hale that holds the data directory, and whether one does; in doubt one does. It
// changes nothing.
func Holder(dir string) (pid int, held bool) {
	if _, err := os.Stat(filepath.Join(dir, lockName)); err != nil {
		return 0, false // nobody has ever been here
	}
	file := flock.New(filepath.Join(dir, lockName), flock.SetFlag(os.O_RDONLY))
	free, err := file.TryRLock() // shared, so that two who ask do not take each other for a Hale
	if err == nil && free {
		return 0, file.Unlock() != nil
	}
	pid, _ = readLock(dir)
	return pid, true
}

func holder(dir string) string {
	if hale, _ := readLock(dir); hale > 0 {
		return strconv.Itoa(hale)
	}
	return "unknown"
}
