//go:build unix

package pgtest

import (
	"errors"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
)

func isOurs(entry os.DirEntry) bool {
	info, err := entry.Info()
	if err != nil {
		return false
	}
	stat, ok := info.Sys().(*syscall.Stat_t)
	return ok && int(stat.Uid) == os.Geteuid()
}

// serverLives reports whether the server that was started in the directory may live; in doubt it does.
func serverLives(dir string) bool {
	text, err := os.ReadFile(filepath.Join(dir, "postgres", "postmaster.pid")) //nolint:gosec // G304: below our own directory
	if err != nil {
		return !errors.Is(err, os.ErrNotExist) // it removes the file when it ends in order
	}
	line, _, _ := strings.Cut(string(text), "\n")
	pid, err := strconv.Atoi(strings.TrimSpace(line))
	return err != nil || pid <= 0 || !errors.Is(syscall.Kill(pid, 0), syscall.ESRCH)
}
