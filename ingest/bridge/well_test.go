package bridge_test

import (
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"

	"hale/ingest/bridge"
	"hale/internal/mosquitto"
)

func TestWhoReadsOfTroubleReadsOfItsEnd(t *testing.T) {
	t.Parallel()
	broker := mosquitto.New(t, keeps())
	log := &lines{}
	logger := slog.New(slog.NewTextHandler(log, &slog.HandlerOptions{Level: slog.LevelWarn})) // as the program logs by itself
	r := start(t, &disk{}, bridge.Config{Brokers: read(t, one("a", broker.Addr)), Log: logger})
	r.ready(t)
	if text := log.String(); text != "" {
		t.Errorf("a start without trouble is told of: %s", text)
	}
	for round := 1; round <= 2; round++ {
		broker.Kill()
		eventually(t, 15*time.Second, func() string {
			if s := r.States()[0]; s.Well() || strings.Count(log.String(), "bridge has trouble") < round {
				return fmt.Sprintf("%+v\n%s", s, log)
			}
			return ""
		})
		broker.Start()
		eventually(t, 15*time.Second, func() string {
			if s := r.States()[0]; !s.Well() || strings.Count(log.String(), "bridge is well again") != round {
				return fmt.Sprintf("%+v\n%s", s, log)
			}
			return ""
		})
	}
	if text := log.String(); strings.Count(text, `level=WARN msg="bridge is well again" broker=a after=`) != 2 {
		t.Errorf("the log says\n%s", text)
	}
}
