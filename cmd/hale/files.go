package main

import (
	"log/slog"

	"golang.org/x/sys/unix"
)

const (
	// mostDevices is how many connections the device edge takes at once where the system lets it.
	mostDevices = 20_000
	// otherFiles is how many files the rest of a process opens at most: stream, database, people's browsers.
	otherFiles = 1_000
)

// connectionsWithin returns how many connections of devices this process may have at once: as many as are wanted where the
// limit of open files allows it or can be raised, else what fits under it, and it says so: as a warning when that is less than half.
func connectionsWithin(wanted int, log *slog.Logger) int {
	var limit unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &limit); err != nil {
		log.Warn("the limit of open files is not known", "error", err)
		return wanted
	}
	need := uint64(wanted + otherFiles)
	raised := unix.Rlimit{Cur: max(limit.Cur, need), Max: max(limit.Max, need)}
	if limit.Cur >= need || unix.Setrlimit(unix.RLIMIT_NOFILE, &raised) == nil {
		return wanted
	}
	if limit.Cur < limit.Max { // what everybody may do
		raised = unix.Rlimit{Cur: limit.Max, Max: limit.Max}
		if unix.Setrlimit(unix.RLIMIT_NOFILE, &raised) == nil {
			limit = raised
		}
	}
	fits := connectionsUnder(limit.Cur, wanted)
	tell := log.Info
	if fits < wanted/2 {
		tell = log.Warn
	}
	tell("fewer devices than usual can be connected at once: raise the limit of open files (ulimit -n, LimitNOFILE= of systemd)",
		"files", limit.Cur, "devices", fits, "wanted_files", need)
	return fits
}

// connectionsUnder is how many devices fit under a limit of open files: what is left of it, half of a very small one.
func connectionsUnder(files uint64, wanted int) int {
	fits := files / 2
	if files > 2*otherFiles {
		fits = files - otherFiles
	}
	return int(min(fits, uint64(wanted)))
}
