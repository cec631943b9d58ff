package pgtest

import (
	"os"
	"path/filepath"
	"strings"
	"time"

	"hale/postgres/embedded"
)

const (
	dirPrefix = "halepg"
	// leftoverAge is how old the directory of a test binary must be before it can be one that was killed: none runs so long.
	leftoverAge = time.Hour
)

// removeLeftovers removes the directories of test binaries that were killed. What is young, held by a living one, or another
// user's stays, and so does whatever cannot be told: it is only about space.
func removeLeftovers(parent string, now time.Time) {
	list, err := os.ReadDir(parent)
	if err != nil {
		return
	}
	for _, entry := range list {
		dir := filepath.Join(parent, entry.Name())
		if !entry.IsDir() || !strings.HasPrefix(entry.Name(), dirPrefix) || !isOld(entry, now) || !isOurs(entry) {
			continue
		}
		if _, held := embedded.Holder(dir); held || serverLives(dir) {
			continue
		}
		_ = os.RemoveAll(dir)
	}
}

func isOld(entry os.DirEntry, now time.Time) bool {
	info, err := entry.Info()
	return err == nil && now.Sub(info.ModTime()) > leftoverAge
}
