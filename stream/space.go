package stream

import (
	"errors"
	"io/fs"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// FreeSpace returns how many bytes an ordinary process may still write to the file system that holds dir.
func FreeSpace(dir string) (uint64, error) {
	var s unix.Statfs_t
	if err := unix.Statfs(dir, &s); err != nil {
		return 0, err
	}
	return uint64(s.Bavail) * uint64(s.Bsize), nil
}

// usedSpace returns the bytes of all files below dir. Files that vanish meanwhile count nothing.
func usedSpace(dir string) (uint64, error) {
	var used uint64
	err := filepath.WalkDir(dir, func(_ string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return ignoreMissing(err)
		}
		info, err := entry.Info()
		if err != nil {
			return ignoreMissing(err)
		}
		used += uint64(info.Size())
		return nil
	})
	return used, err
}

func ignoreMissing(err error) error {
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}

// reservable returns how much of the wanted bytes the stream may really fill: what it holds already and what is free,
// less the low-water mark at which publishing stops.
func reservable(wanted int64, free, used, minFree uint64) int64 {
	const least = 1 << 20 // a server must start on a full disk too, or what it holds could never be worked off
	var room uint64
	if free+used > minFree {
		room = free + used - minFree
	}
	return max(least, min(wanted, int64(min(room, 1<<62))))
}
