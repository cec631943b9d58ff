package simulators

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
)

// counting is a staff API that refuses everything, and counts what it was asked.
func counting(t *testing.T) (*Staff, *atomic.Int64) {
	t.Helper()
	asked := &atomic.Int64{}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		asked.Add(1)
		w.WriteHeader(http.StatusTeapot)
	}))
	t.Cleanup(server.Close)
	return &Staff{URL: server.URL, http: server.Client()}, asked
}

func TestNobodyIsEnrolledWhoseSecretCannotBeKept(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	pipe := filepath.Join(dir, "pipe")
	if err := syscall.Mkfifo(pipe, 0o600); err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct{ path, says string }{
		"a folder that is not there":         {filepath.Join(dir, "nowhere", "devices.json"), "no such file or directory"},
		"a device that takes nothing":        {"/dev/full", "is none"},
		"a device whose reading never ends":  {"/dev/zero", "is none"},
		"a pipe that nobody writes into":     {pipe, "is none"},
		"a folder":                           {dir, "is none"},
		"more than credentials can ever say": {huge(t), "no file of device credentials"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			staff, asked := counting(t)
			ways := map[string]func(context.Context) error{
				"simulate": func(ctx context.Context) error {
					f := &Fleet{Staff: staff, Credentials: c.path, Cohort: *cohort(t, "quiet", 2, 1), Now: func() time.Time { return noon().AddDate(0, 0, 7) }}
					_, err := f.Run(ctx)
					return err
				},
				"replay": func(ctx context.Context) error {
					r := &Replay{Staff: staff, Credentials: c.path}
					_, err := r.enrol(ctx, &Recording{Zone: time.UTC, People: []Recorded{{Key: "p1", Messages: []Message{{At: noon()}}}}})
					return err
				},
			}
			for way, enrol := range ways {
				ended := make(chan error, 1)
				go func() { ended <- enrol(t.Context()) }()
				if err := soon(t, way, ended); err == nil || !strings.Contains(err.Error(), c.says) || asked.Load() != 0 {
					t.Errorf("%s: %v, after %d requests", way, err, asked.Load())
				}
			}
		})
	}
}

// huge is a file that says it holds very much, and takes no room.
func huge(t *testing.T) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "huge.json")
	if err := os.WriteFile(path, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(path, largestCredentials+1); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestCredentialsThatCanBeKeptAreLeftAsTheyAre(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "devices.json")
	for _, secret := range []string{"", "old"} {
		keys, err := openKeyring(path)
		if err != nil || keys.get("cuff") != secret {
			t.Fatalf("%q, %v", keys.get("cuff"), err)
		}
		keys.put("cuff", "old")
		if err := keys.save(); err != nil {
			t.Fatal(err)
		}
	}
}

func TestMoreDevicesThanFilesMayBeOpenAreRefusedBeforeAnybodyIsEnrolled(t *testing.T) {
	t.Parallel()
	staff, asked := counting(t)
	credentials := filepath.Join(t.TempDir(), "devices.json")
	f := &Fleet{Staff: staff, Credentials: credentials, Cohort: *cohort(t, "quiet", 4, 1), Most: 3, Now: func() time.Time { return noon().AddDate(0, 0, 7) }}
	if _, err := f.Run(t.Context()); err == nil || !strings.Contains(err.Error(), "limit of open files leaves 3") || asked.Load() != 0 {
		t.Errorf("%v, after %d requests", err, asked.Load())
	}
}

func TestWhoeverDrawsACohortCanBeToldToEnd(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	c := cohort(t, "mixed", 20, 1)
	all, err := c.lives(ctx)
	if err != nil || len(all) != 20 {
		t.Fatalf("%d people, %v", len(all), err)
	}
	p := &resident{Life: all[0]}
	cancel()
	if all, err := c.lives(ctx); len(all) != 0 || !errors.Is(err, context.Canceled) {
		t.Errorf("after the end %d people were drawn, %v", len(all), err)
	}
	if err := p.liveUntil(ctx, noon().AddDate(1, 0, 0)); !errors.Is(err, context.Canceled) || len(p.waiting) != 0 {
		t.Errorf("after the end %d readings were measured, %v", len(p.waiting), err)
	}
}

func TestNothingOfAStoryBeginsBeforeHaleTakesIt(t *testing.T) {
	t.Parallel()
	earliest := time.Date(2015, 1, 1, 0, 0, 0, 0, time.UTC)
	for start, want := range map[time.Time]time.Time{earliest: earliest, earliest.Add(30 * time.Hour): earliest.Add(6 * time.Hour)} {
		c := cohort(t, "copd-exacerbation", 1, 1)
		c.Start = start
		l := c.Life(0)
		if own := l.Limits["oxygen_saturation"]; !l.known().Equal(want) || !own.EffectiveFrom.Equal(want) {
			t.Errorf("a story from %s on: devices from %s, limits from %s", start, l.known(), own.EffectiveFrom)
		}
	}
}
