//go:build clients

package edge

import (
	"context"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"hale/ingest"
)

// sensor is what the sample imports: a reading every 20 ms that counts over restarts.
const sensor = `import os, time
def heart_rate():
    time.sleep(0.02)
    n = int(open("n").read()) if os.path.exists("n") else 0
    open("n", "w").write(str(n + 1))
    return 60 + n % 40
`

// TestTheSampleInPythonLosesNothing runs the sample of docs/wire.md, save that it speaks without TLS and in whichever
// version of paho-mqtt is there: the edge hangs up now and then without acknowledging, the program is killed and started
// again, and every number arrives.
func TestTheSampleInPythonLosesNothing(t *testing.T) {
	text, err := os.ReadFile("../../docs/wire.md")
	if err != nil {
		t.Fatal(err)
	}
	_, sample, _ := strings.Cut(string(text), "### In Python")
	_, sample, found := strings.Cut(sample, "```python\n")
	sample, _, ended := strings.Cut(sample, "```\n")
	if !found || !ended {
		t.Fatal("there is no sample in docs/wire.md")
	}
	python := interpreter(t)

	var mu sync.Mutex
	taken := map[int64]bool{}
	messages := 0
	h := open(t, Limits{}, &recorder{forget: true, always: func(m ingest.Message) ingest.Receipt {
		mu.Lock()
		defer mu.Unlock()
		if messages++; messages%30 == 10 {
			return ingest.Receipt{Err: context.DeadlineExceeded}
		}
		var readings []struct{ Seq int64 }
		if err := json.Unmarshal(m.Payload, &readings); err != nil || m.Topic != "hale/v1/d1/readings" {
			t.Errorf("%s: %v", m.Topic, err)
		}
		for _, r := range readings {
			taken[r.Seq] = true
		}
		return ingest.Receipt{Accepted: len(readings)}
	}})
	host, port, _ := strings.Cut(h.Addr().String(), ":")
	sample = strings.NewReplacer(
		"mqtt.CallbackAPIVersion.VERSION2, ", `*([mqtt.CallbackAPIVersion.VERSION2] if hasattr(mqtt, "CallbackAPIVersion") else []), `,
		"client.tls_set(\"ca.pem\")\n", "", "8883", port,
	).Replace(sample)
	dir := t.TempDir()
	for name, content := range map[string]string{"device.py": sample, "sensor.py": sensor} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for life := 1; life <= 3; life++ {
		ctx, kill := context.WithCancel(t.Context())
		cmd := exec.CommandContext(ctx, python, "device.py")
		cmd.Dir, cmd.Stderr = dir, os.Stderr
		cmd.Env = append(os.Environ(), "DEVICE=d1", "SECRET="+secret, "HALE="+host)
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		eventually(t, "more readings", func() bool {
			mu.Lock()
			defer mu.Unlock()
			return len(taken) >= 40*life
		})
		kill()
		_ = cmd.Wait() // killed
	}
	mu.Lock()
	defer mu.Unlock()
	var newest int64
	for seq := range taken {
		newest = max(newest, seq)
	}
	for seq := int64(1); seq <= newest; seq++ {
		if !taken[seq] {
			t.Errorf("reading %d of %d is missing", seq, newest)
		}
	}
	t.Logf("%d readings in %d messages", newest, messages)
}

// interpreter returns a Python that has paho-mqtt.
func interpreter(t *testing.T) string {
	t.Helper()
	for _, python := range []string{"python3", "/usr/bin/python3"} {
		if exec.CommandContext(t.Context(), python, "-c", "import paho.mqtt.client").Run() == nil {
			return python
		}
	}
	t.Fatal("Python 3 with paho-mqtt is missing: pip install paho-mqtt, or apt-get install python3-paho-mqtt")
	return ""
}
