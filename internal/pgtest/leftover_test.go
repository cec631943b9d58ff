//go:build unix

package pgtest

import (
	"os"
	"path/filepath"
	"strconv"
	"syscall"
	"testing"
	"time"
)

func TestOnlyWhatAKilledRunLeftIsRemoved(t *testing.T) {
	t.Parallel()
	gone, err := os.StartProcess("/bin/true", []string{"true"}, &os.ProcAttr{})
	if err != nil {
		t.Fatal(err)
	}
	dead, living := strconv.Itoa(gone.Pid), strconv.Itoa(os.Getpid())
	if _, err := gone.Wait(); err != nil {
		t.Fatal(err)
	}
	now, parent := time.Now(), t.TempDir()
	cases := []struct {
		name string
		age  time.Duration
		pid  string // in postmaster.pid; none when empty
		held bool   // by a test binary
		stay bool
	}{
		{"halepg-killed", 2 * time.Hour, dead, false, false},
		{"halepg-ended-in-order", 2 * time.Hour, "", false, false},
		{"halepg-young", 50 * time.Minute, dead, false, true},
		{"halepg-server-lives", 2 * time.Hour, living, false, true},
		{"halepg-binary-lives", 2 * time.Hour, dead, true, true},
		{"halepg-unreadable", 2 * time.Hour, "what", false, true},
		{"somebody-elses", 2 * time.Hour, dead, false, true},
	}
	for _, c := range cases {
		dir := filepath.Join(parent, c.name)
		if err := os.MkdirAll(filepath.Join(dir, "postgres"), 0o700); err != nil {
			t.Fatal(err)
		}
		if c.pid != "" {
			if err := os.WriteFile(filepath.Join(dir, "postgres", "postmaster.pid"), []byte(c.pid+"\n"+dir+"\n"), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		if c.held {
			file, err := os.Create(filepath.Join(dir, "hale.lock"))
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { _ = file.Close() })
			if err := syscall.Flock(int(file.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
				t.Fatal(err)
			}
		}
		if err := os.Chtimes(dir, now, now.Add(-c.age)); err != nil {
			t.Fatal(err)
		}
	}
	removeLeftovers(parent, now)
	for _, c := range cases {
		if _, err := os.Stat(filepath.Join(parent, c.name)); (err == nil) != c.stay {
			t.Errorf("%s: %v", c.name, err)
		}
	}
}
