package main

import (
	"bytes"
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

	"hale/simulators"
)

func TestSimulateRefusesNumbersThatCannotWorkInItsOwnWords(t *testing.T) {
	t.Parallel()
	for args, want := range map[string]string{
		"--patients 0":                      "--patients: at least 1",
		"--patients -3":                     "--patients: at least 1",
		"--patients=-3":                     "--patients: at least 1",
		"--patients 200001":                 "--patients: 1 to 200000",
		"--patients 2000000000":             "each with an open file and 93 KB of memory: 372000 GB in all",
		"--patients three":                  "--patients: expected",
		"--days 4000":                       "--days: 1 to 366",
		"--days -1":                         "--days: 1 to 366",
		"--speed -1":                        "--speed: a number from 0 on",
		"--speed=NaN":                       "--speed: a number from 0 on",
		"--speed Inf":                       "--speed: a number from 0 on",
		"--speed -Inf":                      "--speed: a number from 0 on",
		"--seed -1":                         "--seed: -1 is too small: 0 or more",
		"--seed=-1":                         "--seed: -1 is too small: 0 or more",
		"--speed --print":                   "--speed: expected",
		"--scenario happiness":              "heart-failure-week",
		"--start yesterday":                 "2026-05-04T06:00:00Z",
		"--start 2014-12-31T00:00:00Z":      "from 2015 until now",
		"--start 2015-01-01T00:30:00+01:00": "from 2015 until now",
		"--start 2999-01-01T00:00:00Z":      "until now",
	} {
		t.Run(args, func(t *testing.T) {
			t.Parallel()
			ctx, cancel := context.WithCancel(t.Context())
			cancel() // what is not refused ends at once
			var out, said bytes.Buffer
			code := run(ctx, append([]string{"simulate", "--print"}, strings.Fields(args)...), &out, &said, func(string) string { return "" })
			if code == 0 || !strings.Contains(said.String(), want) || strings.Contains(said.String(), "perhaps try") && strings.ContainsAny(args, "0123456789") {
				t.Errorf("it ended with %d and said %q", code, said.String())
			}
		})
	}
}

func TestSimulateTellsItsDefaults(t *testing.T) {
	t.Parallel()
	var out, said bytes.Buffer
	if code := run(t.Context(), []string{"simulate", "--help"}, &out, &said, func(string) string { return "" }); code != 0 {
		t.Fatalf("it ended with %d: %s", code, said.String())
	}
	words := strings.Join(strings.Fields(out.String()), " ")
	for flag, value := range map[string]string{"--patients=N": "20", "--scenario=NAME": "mixed", "--seed=K": "1", "--speed=X": "0"} {
		_, rest, _ := strings.Cut(words, flag+" ")
		if own, _, _ := strings.Cut(rest, " --"); !strings.Contains(own, "(default: "+value+")") && !strings.Contains(rest[:min(len(rest), 200)], "(default: "+value+")") {
			t.Errorf("of %s it tells %q", flag, own)
		}
	}
}

// writer is what a test does with every line.
type writer func(line []byte) (int, error)

func (w writer) Write(line []byte) (int, error) { return w(line) }

func TestPrintingPeopleEndsWhenTold(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	lines := 0
	out := writer(func(line []byte) (int, error) {
		lines++
		cancel()
		return len(line), nil
	})
	var said bytes.Buffer
	code := run(ctx, []string{"simulate", "--print", "--patients", "200", "--days", "14"}, out, &said, func(string) string { return "" })
	if code != 0 || said.Len() > 0 || lines == 0 || lines > 200 {
		t.Errorf("told to end at the first line, it ended with %d after %d lines: %s", code, lines, said.String())
	}
}

func TestNoRoomUnderStandardOutputIsNotOurOwnMistake(t *testing.T) {
	t.Parallel()
	for name, args := range map[string][]string{"print": {"--print", "--patients", "1"}, "list": {"--list"}} {
		for why, c := range map[string]struct {
			err  error
			code int
			says string
		}{
			"the disk is full": {syscall.ENOSPC, 1, "hale: standard output: no space left on device\n"},
			"nobody reads":     {syscall.EPIPE, 0, ""},
		} {
			t.Run(name+", "+why, func(t *testing.T) {
				t.Parallel()
				var said bytes.Buffer
				out := writer(func([]byte) (int, error) { return 0, c.err })
				if code := run(t.Context(), append([]string{"simulate"}, args...), out, &said, func(string) string { return "" }); code != c.code || said.String() != c.says {
					t.Errorf("it ended with %d and said %q", code, said.String())
				}
			})
		}
	}
}

// elsewhere names a Hale that refuses everybody, and counts what it was asked.
func elsewhere(t *testing.T) (flags []string, asked *atomic.Int64) {
	t.Helper()
	asked = &atomic.Int64{}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		asked.Add(1)
		w.WriteHeader(http.StatusUnauthorized)
	}))
	t.Cleanup(server.Close)
	return []string{
		"simulate", "--url", server.URL, "--mqtt", "127.0.0.1:1", "--login", "ana", "--password", "wrong",
		"--credentials", filepath.Join(t.TempDir(), "devices.json"),
	}, asked
}

func TestATruthThatCannotBeWrittenIsToldBeforeAnybodyLives(t *testing.T) {
	t.Parallel()
	flags, asked := elsewhere(t)
	var out, said bytes.Buffer
	code := run(t.Context(), append(flags, "--truth", filepath.Join(t.TempDir(), "nowhere", "truth")), &out, &said, func(string) string { return "" })
	if code != 1 || asked.Load() != 0 || !strings.Contains(said.String(), "--truth") {
		t.Errorf("it ended with %d after %d requests and said %q", code, asked.Load(), said.String())
	}
}

func TestARunWithoutAResultTouchesNoTruth(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	made, old := filepath.Join(dir, "made"), filepath.Join(dir, "old")
	if err := os.WriteFile(old, []byte("of an earlier run"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{made, old} {
		flags, asked := elsewhere(t)
		var out, said bytes.Buffer
		if code := run(t.Context(), append(flags, "--truth", path), &out, &said, func(string) string { return "" }); code != 1 || asked.Load() == 0 {
			t.Errorf("it ended with %d after %d requests and said %q", code, asked.Load(), said.String())
		}
	}
	if b, err := os.ReadFile(old); err != nil || string(b) != "of an earlier run" {
		t.Errorf("the earlier truth became %q, %v", b, err)
	}
	if _, err := os.Stat(made); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("an empty truth is left behind: %v", err)
	}
}

func TestATruthTakesThePlaceOfTheOneBefore(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "truth")
	if err := os.WriteFile(path, bytes.Repeat([]byte("an earlier and longer one\n"), 1000), 0o600); err != nil {
		t.Fatal(err)
	}
	scenario, err := simulators.FindScenario("heart-failure-week")
	if err != nil {
		t.Fatal(err)
	}
	noon := time.Date(2026, 11, 14, 12, 0, 0, 0, time.UTC)
	cohort := simulators.Cohort{Scenario: scenario, Patients: 1, Seed: 1, Start: noon}
	res := &simulators.FleetResult{Until: noon.AddDate(0, 0, 7), Lives: []*simulators.Life{cohort.Life(0)}}
	var want strings.Builder
	if err := simulators.WriteTruth(&want, res.Lives, res.Until); err != nil {
		t.Fatal(err)
	}
	truth, err := (&simulateCommand{Truth: path}).openTruth()
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(truth.write(res), truth.write(res)); err != nil { // the second has nothing left to write
		t.Fatal(err)
	}
	truth.leave()
	if b, err := os.ReadFile(path); err != nil || string(b) != want.String() || want.Len() == 0 {
		t.Errorf("%d bytes, %v; want %d", len(b), err, want.Len())
	}
	if truth, err = (&simulateCommand{Truth: "/dev/full"}).openTruth(); err != nil {
		t.Fatal(err)
	}
	if err := truth.write(res); !errors.Is(err, syscall.ENOSPC) || !strings.Contains(err.Error(), "--truth /dev/full") {
		t.Errorf("a full disk: %v", err)
	}
}
