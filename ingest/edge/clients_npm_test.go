//go:build clients

package edge

import (
	"context"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"

	"hale/ingest"
)

// TestTheNpmClient runs testdata/npm/clients.mjs against a server; `make clients` installs what it needs. It is under a
// build tag because it needs Node, which `make test` does not.
func TestTheNpmClient(t *testing.T) {
	node, err := exec.LookPath("node")
	if err != nil {
		t.Fatal("node is missing: https://nodejs.org, or apt-get install nodejs npm")
	}
	var mu sync.Mutex
	failed := map[string]bool{}
	core := &recorder{forget: true}
	h := open(t, Limits{WrongSecretFor: time.Millisecond}, core)
	core.always = func(m ingest.Message) ingest.Receipt {
		text := string(m.Payload)
		mu.Lock()
		again := failed[text]
		failed[text] = true
		mu.Unlock()
		switch {
		case strings.HasPrefix(text, "fail once") && !again:
			return ingest.Receipt{Err: context.DeadlineExceeded}
		case strings.HasPrefix(text, "refuse"):
			return ingest.Receipt{Refused: []ingest.Refusal{{Reason: "unit", Detail: "unit is missing"}}}
		case strings.HasSuffix(m.Topic, "/status") || strings.HasPrefix(text, "tell me"):
			h.Deliver("watcher", Commands, m.Payload)
		}
		return ingest.Receipt{Accepted: 1}
	}
	h.registry.Store(kit(2, "d1", "d2", "watcher"))
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, node, "testdata/npm/clients.mjs", "mqtt://"+h.Addr().String(), secret)
	cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr
	if err := cmd.Run(); err != nil {
		t.Errorf("npm's mqtt does not find what it should: %v", err)
	}
}
