package main

import (
	"bytes"
	"log/slog"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

func TestHowManyDevicesFitUnderALimitOfOpenFiles(t *testing.T) {
	t.Parallel()
	for files, want := range map[uint64]int{1 << 60: 20_000, 21_000: 20_000, 20_000: 19_000, 4_096: 3_096, 2_000: 1_000, 1_024: 512, 256: 128} {
		if got := connectionsUnder(files, 20_000); got != want {
			t.Errorf("%d files: %d devices, want %d", files, got, want)
		}
	}
}

// TestTheLimitOfOpenFilesIsNamed is not parallel: it lowers a limit of this process for a moment.
func TestTheLimitOfOpenFilesIsNamed(t *testing.T) {
	var before unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &before); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = unix.Setrlimit(unix.RLIMIT_NOFILE, &before) })
	lowered := unix.Rlimit{Cur: before.Max / 2, Max: before.Max}
	if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &lowered); err != nil {
		t.Fatal(err)
	}
	var said bytes.Buffer
	log := slog.New(slog.NewTextHandler(&said, nil))
	wanted := int(before.Max) - otherFiles
	if got := connectionsWithin(wanted, log); got != wanted || said.Len() != 0 {
		t.Errorf("%d devices although the limit can be raised: %q", got, said.String())
	}
	var now unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &now); err != nil || now.Cur != before.Max {
		t.Errorf("the limit is %d, %v", now.Cur, err)
	}
	if got := connectionsWithin(1<<40, log); got >= 1<<40 || !strings.Contains(said.String(), "ulimit -n") {
		t.Errorf("%d devices without a limit: %q", got, said.String())
	}
}
