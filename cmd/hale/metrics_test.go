package main

import (
	"context"
	"io"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"hale/internal/pgtest"
	"hale/postgres"
	"hale/stream"
)

// registered runs a house with every role until it is ready, and returns the names of its own metrics.
func registered(t *testing.T) []string {
	t.Helper()
	db := pgtest.New(t)
	nats, err := stream.StartServer(t.Context(), stream.ServerConfig{Dir: t.TempDir(), SyncAlways: true, Log: watched(t)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = nats.Shutdown(context.Background()) })
	registry, log := newRegistry(), watched(t)
	conn, err := nats.Connect(t.Context(), stream.Config{Metrics: registry, Log: log})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(conn.Close)
	flow, err := conn.Ensure(t.Context(), stream.StreamConfig{MaxBytes: 64 << 20})
	if err != nil {
		t.Fatal(err)
	}
	h := &house{
		roles: []string{roleEdge, roleBridge, roleProcess, roleAPI}, owner: "test", stream: flow, conn: conn, registry: registry, zone: time.UTC, log: log,
		database: postgres.Config{URL: func(string) string { return db.AdminURL() }, SetRole: true, Log: log},
	}
	nobody := bridgeFlags{Mapping: mappingFile(t, freeAddr(t), ""), Instance: "1"}
	if h.others, err = nobody.brokers(&program{ctx: t.Context(), log: log, err: io.Discard, env: func(string) string { return "" }}); err != nil {
		t.Fatal(err)
	}
	if h.cert, err = (doorFlags{}).own(&program{ctx: t.Context(), log: log}, t.TempDir(), nil); err != nil {
		t.Fatal(err)
	}
	if h.http, err = listen(t.Context(), "127.0.0.1:0", ""); err != nil {
		t.Fatal(err)
	}
	if h.mqtt, err = listen(t.Context(), "127.0.0.1:0", ""); err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	ready, ended := make(chan struct{}), make(chan error, 1)
	go func() { ended <- h.run(ctx, func() { close(ready) }) }()
	select {
	case <-ready:
	case err := <-ended:
		t.Fatal(err)
	case <-time.After(30 * time.Second):
		t.Error("the house is not ready")
	}
	defer func() {
		stop()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	}()
	// Gather shows only what has a value by now; the descriptions are those of all that is registered.
	descriptions := make(chan *prometheus.Desc)
	go func() {
		registry.Describe(descriptions)
		close(descriptions)
	}()
	var names []string
	name := regexp.MustCompile(`fqName: "(hale_[a-z0-9_]+)"`)
	for d := range descriptions {
		if m := name.FindStringSubmatch(d.String()); m != nil {
			names = append(names, m[1])
		}
	}
	slices.Sort(names)
	return slices.Compact(names)
}

// tabled are the metrics that docs/production.md explains, in their order.
func tabled(t *testing.T) (names []string) {
	t.Helper()
	doc, err := os.ReadFile("../../docs/production.md")
	if err != nil {
		t.Fatal(err)
	}
	_, section, found := strings.Cut(string(doc), "\n### The metrics\n")
	section, _, _ = strings.Cut(section, "\n## ")
	if !found {
		t.Fatal("docs/production.md has no section about the metrics")
	}
	row := regexp.MustCompile("(?m)^\\| `(hale_[a-z0-9_]+)` +\\|(.*)\\|$")
	for _, m := range row.FindAllStringSubmatch(section, -1) {
		names = append(names, m[1])
		if cells := strings.Split(m[2], "|"); len(cells) != 4 || strings.TrimSpace(cells[2]) == "" {
			t.Errorf("the row of %s has not the cells type, labels, what it tells, alarm", m[1])
		}
	}
	return names
}

func TestEveryMetricIsExplainedAndEveryExplanationIsOfAMetric(t *testing.T) {
	t.Parallel()
	have, told := registered(t), tabled(t)
	if len(have) < 40 {
		t.Fatalf("only %d metrics are registered", len(have))
	}
	for _, name := range have {
		if !slices.Contains(told, name) {
			t.Errorf("%s is not in the table of docs/production.md", name)
		}
	}
	for i, name := range told {
		if !slices.Contains(have, name) {
			t.Errorf("docs/production.md explains %s, which is not registered", name)
		}
		if slices.Contains(told[:i], name) {
			t.Errorf("docs/production.md explains %s twice", name)
		}
	}
}
