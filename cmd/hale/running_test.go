package main

import (
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"hale/fault"
)

func TestOnlyALivingUpIsFound(t *testing.T) {
	t.Parallel()
	dir := dataDir(t)
	p, told := up(t, dir, "--demo=false", "--http", "0.0.0.0:0", "--insecure-http", "--mqtt", "0.0.0.0:0")
	if !strings.HasPrefix(told.URL, "http://127.0.0.1:") || !strings.HasPrefix(told.MQTT, "127.0.0.1:") {
		t.Errorf("told %s and %s, which cannot be visited", told.URL, told.MQTT)
	}
	signIn(t, told)
	if said := p.stderr.String(); !strings.Contains(said, "unencrypted over HTTP") || !strings.Contains(said, "unencrypted over MQTT") {
		t.Errorf("hale up did not warn: %q", said)
	}
	var a announcement
	eventually(t, 5*time.Second, func() string { // the file is left just before the line is printed
		var err error
		if a, err = findRunning(t.Context(), dir); err != nil {
			return err.Error()
		}
		return ""
	})
	if !cmp.Equal(a, told) {
		t.Errorf("found %+v, told %+v", a, told)
	}
	// What another process left, while this one is starting, is not believed.
	stale := a
	stale.PID++
	if err := stale.leave(); err != nil {
		t.Fatal(err)
	}
	if _, err := findRunning(t.Context(), dir); !fault.Is(err, fault.Unavailable) || !strings.Contains(err.Error(), "is not ready") {
		t.Errorf("the file of another process was answered with %v", err)
	}
	if err := a.leave(); err != nil {
		t.Fatal(err)
	}

	p.end(t, syscall.SIGKILL)
	squatter, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", told.MQTT) // somebody else has the address now
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = squatter.Close() })
	left := filepath.Join(dir, runningFile)
	if _, err := os.Stat(left); err != nil {
		t.Fatalf("a killed hale left nothing: %v", err)
	}
	if _, err := findRunning(t.Context(), dir); !fault.Is(err, fault.NotFound) || !strings.Contains(err.Error(), "no `hale up` runs on") {
		t.Errorf("what a killed one left was answered with %v", err)
	}
	if _, err := os.Stat(left); err == nil {
		t.Error("what a killed one left is still there")
	}

	// The next one removes it too, even if it does not get ready.
	if err := stale.leave(); err != nil {
		t.Fatal(err)
	}
	next := start(t, "up", "--data", dir, "--no-install", "--demo=false", "--http", "127.0.0.1:0", "--mqtt", told.MQTT)
	<-next.ended
	if said := next.stderr.String(); !strings.Contains(said, "cannot listen on "+told.MQTT) {
		t.Errorf("a busy address was answered with %q", said)
	}
	if _, err := os.Stat(left); err == nil {
		t.Error("the next hale up left what it found")
	}
}
