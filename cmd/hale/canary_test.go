package main

import (
	"bufio"
	"context"
	"fmt"
	"net"
	"net/http"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"hale/simulators"
)

// figures are the values of one metric by its labels as they are written, "" where it has none.
func figures(t *testing.T, admin, name string) map[string]float64 {
	t.Helper()
	status, body := get(t, admin+"/metrics")
	if status != http.StatusOK {
		t.Fatalf("%s/metrics: %d %s", admin, status, body)
	}
	values := map[string]float64{}
	for lines := bufio.NewScanner(strings.NewReader(body)); lines.Scan(); {
		rest, ok := strings.CutPrefix(lines.Text(), name)
		labels, value, valued := strings.Cut(rest, " ")
		if !ok || !valued || labels != "" && labels[0] != '{' {
			continue
		}
		f, err := strconv.ParseFloat(value, 64)
		if err != nil {
			t.Fatal(err)
		}
		values[labels] = f
	}
	return values
}

// oldest is the greatest age of the canaries of all partitions, over the edges; -1 while one is not known.
func oldest(t *testing.T, admin, name string) float64 {
	t.Helper()
	ages := figures(t, admin, name)
	if len(ages) == 0 || len(ages)%8 != 0 {
		return -1
	}
	most := 0.0
	for _, age := range ages {
		most = max(most, age)
	}
	return most
}

func TestTheDeathOfAProcessorIsNoAlarm(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		lease, every, want time.Duration
		alone              bool
	}{
		"by default":             {30 * time.Second, 5 * time.Second, 42 * time.Second, false},
		"a short lease":          {5 * time.Second, 5 * time.Second, 30 * time.Second, false},
		"a long lease":           {2 * time.Minute, time.Second, 124 * time.Second, false},
		"nobody else is to come": {0, 5 * time.Second, 30 * time.Second, true},
	} {
		h := &house{lease: c.lease, canaryEvery: c.every, alone: c.alone}
		if got := h.canaryDeadline(); got != c.want {
			t.Errorf("%s: alarm after %s, want %s", name, got, c.want)
		}
	}
}

func TestACanaryProvesTheWholeWayAndAStalledProcessorIsSeen(t *testing.T) {
	t.Parallel()
	const every = "--canary=150ms" // with a lease of 2 s the alarm comes after 4.3 s
	a := newApart(t, every)
	addr := freeAddr(t)
	edge, processor := a.serve(t, "edge", "--mqtt", addr, every), a.serve(t, "process", every)
	admin, other := isReady(t, edge), isReady(t, processor)
	eventually(t, 20*time.Second, func() string {
		if age, own := oldest(t, admin, "hale_canary_age_seconds"), oldest(t, admin, "hale_canary_own_age_seconds"); age < 0 || own < 0 || own > 0.8 {
			return fmt.Sprintf("ages %v, own %v", age, own)
		}
		if beats := figures(t, admin, "hale_canary_seconds_count")[""]; beats < 8 { // an edge that has just entered is young too
			return fmt.Sprintf("%v beats", beats)
		}
		if age := oldest(t, other, "hale_canary_age_seconds"); age < 0 || age > 0.8 {
			return fmt.Sprintf("the processor sees an age of %v", age)
		}
		return ""
	})
	if len(figures(t, other, "hale_canary_own_age_seconds")) != 0 {
		t.Error("a process without an edge has a canary of its own")
	}
	eventually(t, 10*time.Second, func() string { // alarms of the time in which no processor ran are over
		if status, checks := readyz(t, admin); status != http.StatusOK || !checks["canary"].OK || checks["canary"].Detail != "" {
			return fmt.Sprintf("%d %+v", status, checks["canary"])
		}
		return ""
	})
	beats := 0.0
	eventually(t, 20*time.Second, func() string {
		if beats = figures(t, admin, "hale_canary_seconds_count")[""]; beats < 8 {
			return fmt.Sprintf("%v beats", beats)
		}
		return ""
	})
	if took := figures(t, admin, "hale_canary_seconds_sum")[""] / beats; took <= 0 || took > 5 {
		t.Errorf("%v beats took %v s on average", beats, took)
	}
	if wrong := figures(t, admin, "hale_canary_failures_total")[`{reason="wrong"}`]; wrong != 0 {
		t.Errorf("%v beats were judged wrongly", wrong)
	}

	lates := figures(t, admin, "hale_canary_failures_total")[`{reason="late"}`]
	processor.signal(t, syscall.SIGSTOP)
	eventually(t, 20*time.Second, func() string {
		status, checks := readyz(t, admin)
		if status != http.StatusOK {
			t.Fatalf("an edge whose readings are safe is not ready: %+v", checks)
		}
		if c := checks["canary"]; c.OK || !c.Alarm || !strings.Contains(c.Detail, "no canary has come through partition 0, 1, 2, 3, 4, 5, 6, 7") {
			return fmt.Sprintf("nobody misses the canaries: %+v", checks["canary"])
		}
		return ""
	})
	if n := figures(t, admin, "hale_canary_failures_total")[`{reason="late"}`] - lates; n < 8 {
		t.Errorf("%v partitions were counted as late", n)
	}
	if age := oldest(t, admin, "hale_canary_own_age_seconds"); age < 0.9 {
		t.Errorf("the age is %v s", age)
	}
	eventually(t, 5*time.Second, func() string {
		if !strings.Contains(edge.stderr.String(), `level=ERROR msg="canary alarm"`) {
			return "there is no alarm in the log"
		}
		return ""
	})
	processor.signal(t, syscall.SIGCONT)
	eventually(t, 20*time.Second, func() string {
		if _, checks := readyz(t, admin); checks["canary"].Detail != "" {
			return checks["canary"].Detail
		}
		if !strings.Contains(edge.stderr.String(), "the canaries are well again") {
			return "the end of the alarm is not told"
		}
		return ""
	})
	theCanariesAreNobodys(t, a, admin)
	anEdgeIsMissedWhenItDies(t, a, edge, other)
}

// anEdgeIsMissedWhenItDies stops one edge in order and kills another, and looks at what the processor says.
func anEdgeIsMissedWhenItDies(t *testing.T, a apart, edge *process, other string) {
	t.Helper()
	says := func(known int, want string) {
		t.Helper()
		eventually(t, 20*time.Second, func() string {
			_, checks := readyz(t, other)
			detail, ages := checks["canary"].Detail, figures(t, other, "hale_canary_age_seconds")
			if len(ages) != known*8 || want == "" && detail != "" || !strings.Contains(detail, want) {
				return fmt.Sprintf("%d ages, %q, want %d edges and %q", len(ages), detail, known, want)
			}
			return ""
		})
	}
	says(2, "")
	edge.signal(t, syscall.SIGTERM)
	<-edge.ended
	says(1, "") // nobody misses it
	a.doors.signal(t, syscall.SIGKILL)
	<-a.doors.ended
	says(1, "no canary has come through partition 0, 1, 2, 3, 4, 5, 6, 7 for")
	third := a.serve(t, "edge", "--mqtt", freeAddr(t), "--canary=150ms")
	_, port, err := net.SplitHostPort(a.mqtt)
	if err != nil {
		t.Fatal(err)
	}
	says(2, ":"+port+" has not come through partition 0, 1, 2, 3, 4, 5, 6, 7 for")
	again := a.serve(t, "edge", "--mqtt", a.mqtt, "--canary=150ms")
	says(2, "") // another process has taken its place
	for _, p := range []*process{third, again} {
		p.signal(t, syscall.SIGTERM)
		<-p.ended
	}
	says(0, "")
}

// theCanariesAreNobodys looks at everything that people see and count.
func theCanariesAreNobodys(t *testing.T, a apart, admin string) {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), a.db.AdminURL())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close(context.WithoutCancel(t.Context())) }()
	for _, table := range []string{"patient", "device", "sensor", "reading", "inbox", "quarantine", "rule", "condition_interval", "episode", "timeline", "outbox"} {
		var n int
		if err := conn.QueryRow(t.Context(), "SELECT count(*) FROM "+table).Scan(&n); err != nil || n != 0 {
			t.Errorf("%d rows in %s, %v", n, table, err)
		}
	}
	for _, name := range []string{"hale_edge_messages_total", "hale_ingest_messages_total", "hale_ingest_readings_total", "hale_ingest_refused_total"} {
		for labels, n := range figures(t, admin, name) {
			if n != 0 {
				t.Errorf("%s%s counts %v", name, labels, n)
			}
		}
	}
	if in, err := a.staff.Intake(t.Context(), "~canary"); err == nil {
		t.Errorf("the API knows the canary: %+v", in)
	}
	if _, err := simulators.Dial(t.Context(), a.mqtt, "~canary", "guess", 1); err == nil {
		t.Error("somebody else is the canary")
	}
}
