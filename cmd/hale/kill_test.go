package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5"

	"hale/account"
	"hale/alerts"
	"hale/postgres"
	"hale/postgres/embedded"
	"hale/simulators"
	"hale/vital"
)

// kills is how often the binary is killed in mid-replay.
const kills = 12

// sent is one message of the kill test with what is known of it.
type sent struct {
	body  []byte
	acked bool
}

// source sends a device's messages again and again until every one has had its PUBACK.
type source struct {
	kit  kit
	mu   sync.Mutex
	list []*sent
}

func (s *source) missing() []*sent {
	s.mu.Lock()
	defer s.mu.Unlock()
	var m []*sent
	for _, x := range s.list {
		if !x.acked {
			m = append(m, x)
		}
	}
	return m
}

// send publishes what has no PUBACK yet until the connection breaks.
func (s *source) send(ctx context.Context, addr string) {
	w, err := simulators.Dial(ctx, addr, s.kit.device, s.kit.secret, 20)
	if err != nil {
		return
	}
	defer func() { _ = w.Close() }()
	for _, m := range s.missing() {
		err := w.Publish(ctx, s.kit.topic(), m.body, func(time.Time) {
			s.mu.Lock()
			defer s.mu.Unlock()
			m.acked = true
		})
		if err != nil {
			return
		}
	}
	_ = w.Drain(ctx) // a broken connection is what this test makes
}

// walk makes readings that go in and out of every limit, some out of order, some garbage.
func walk(device string, seed uint64, n int) []*sent {
	rng := rand.New(rand.NewPCG(seed, 7))
	from := time.Now().Add(-5 * 24 * time.Hour).Truncate(time.Minute)
	var list []*sent
	value := 130.0
	for i := range n {
		value += 18 * rng.NormFloat64()
		value = min(230, max(70, value))
		at := from.Add(time.Duration(i)*time.Minute + time.Duration(rng.IntN(40*60))*time.Second)
		body := fmt.Sprintf(`{"metric":"blood_pressure","systolic":%.0f,"diastolic":%.0f,"unit":"mm[Hg]","time":%q}`, value, value*0.55, at.UTC().Format(time.RFC3339))
		if i%50 == 0 {
			body = fmt.Sprintf(`{"metric":"blood_pressure","garbage":%q`, device+fmt.Sprint(i))
		}
		list = append(list, &sent{body: []byte(body)})
	}
	return list
}

func TestKilledInMidReplayItLosesAndDoublesNothing(t *testing.T) {
	t.Parallel()
	dir := dataDir(t)
	p, told := up(t, dir, "--demo=false")
	staff := signIn(t, told)
	var sources []*source
	for i := range 3 {
		k := newKit(t, staff, fmt.Sprintf("kill-%d", i), time.Now().Add(-10*24*time.Hour))
		sources = append(sources, &source{kit: k, list: walk(k.device, uint64(i), 4000)})
	}
	sources[0].kit.dial(t, told.MQTT) // the edge knows the new devices before the first round
	killed := 0
	for killed < kills {
		ctx, stop := context.WithCancel(t.Context())
		var wg sync.WaitGroup
		for _, s := range sources {
			wg.Go(func() { s.send(ctx, told.MQTT) })
		}
		<-time.After(time.Duration(rand.IntN(250)) * time.Millisecond) // a random moment
		if killed < kills-1 && len(sources[0].missing()) == 0 {
			t.Logf("everything was acknowledged after %d kills; more is sent", killed)
			for i, s := range sources {
				s.list = append(s.list, walk(s.kit.device, uint64(1000*killed+i), 2000)...)
			}
		}
		p.end(t, syscall.SIGKILL)
		killed++
		stop()
		wg.Wait()
		p, told = up(t, dir, "--demo=false")
	}
	for _, s := range sources {
		eventually(t, 60*time.Second, func() string {
			s.send(t.Context(), told.MQTT)
			return notEmpty(len(s.missing()), "messages of "+s.kit.device+" have no PUBACK")
		})
	}
	staff = signIn(t, told)
	for _, s := range sources {
		want := map[string]bool{}
		for _, m := range s.list {
			want[string(m.body)] = true
		}
		eventually(t, 60*time.Second, func() string {
			in, err := staff.Intake(t.Context(), s.kit.device)
			if err != nil {
				return err.Error()
			}
			if in.Total != len(want) {
				return fmt.Sprintf("%s: %d messages were acknowledged, %d readings and refusals are in the record (%+v)", s.kit.device, len(want), in.Total, in)
			}
			return ""
		})
	}
	p.end(t, syscall.SIGINT)
	compareWithReference(t, dir, sources)
}

func notEmpty(n int, what string) string {
	if n == 0 {
		return ""
	}
	return fmt.Sprintf("%d %s", n, what)
}

// compareWithReference reads the record without hale: every reading once, and every condition track equal to the
// pure fold over the stored readings.
func compareWithReference(t *testing.T, dir string, sources []*source) {
	t.Helper()
	conn, app := openRecord(t, dir)
	foldEveryLog(t, app)
	for _, s := range sources {
		points := storedPoints(t, conn, s.kit.device)
		stored := map[string]int{}
		for _, p := range points {
			stored[fmt.Sprintf(`"systolic":%.0f,"diastolic":%.0f,"unit":"mm[Hg]","time":%q`, p.Values[0], p.Values[1], p.At.UTC().Format(time.RFC3339))]++
		}
		for _, m := range s.list {
			body := string(m.body)
			if strings.Contains(body, "garbage") {
				continue
			}
			if n := stored[strings.TrimSuffix(strings.TrimPrefix(body, `{"metric":"blood_pressure",`), "}")]; n != 1 {
				t.Errorf("%s: an acknowledged reading is stored %d times: %s", s.kit.device, n, body)
			}
		}
		if want, got := reference(points), storedTrack(t, conn, s.kit.device); !cmp.Equal(want, got) {
			t.Errorf("%s: the condition track differs from the reference (-want +got):\n%s", s.kit.device, cmp.Diff(want, got))
		} else {
			t.Logf("%s: %d readings, %d intervals equal to the reference", s.kit.device, len(points), len(got))
		}
	}
	var doubled int
	if err := conn.QueryRow(t.Context(), `SELECT count(*) FROM (SELECT FROM episode WHERE state <> 'closed' GROUP BY patient_id, rule_id HAVING count(*) > 1) d`).Scan(&doubled); err != nil || doubled != 0 {
		t.Errorf("%d rules have two open episodes, %v", doubled, err)
	}
}

// storedPoints reads a device's blood pressures in the order in which rules see them.
func storedPoints(t *testing.T, conn *pgx.Conn, device string) []alerts.Point {
	t.Helper()
	rows, err := conn.Query(t.Context(), `SELECT r.value, r.value2, r.measured_at, r.id FROM reading r JOIN device d ON d.id = r.device_id WHERE d.uid = $1 ORDER BY r.measured_at, r.id`, device)
	if err != nil {
		t.Fatal(err)
	}
	points, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (alerts.Point, error) {
		p := alerts.Point{Metric: vital.BloodPressure, Values: make([]float64, 2)}
		err := row.Scan(&p.Values[0], &p.Values[1], &p.At, &p.ID)
		p.At = p.At.UTC()
		return p, err
	})
	if err != nil {
		t.Fatal(err)
	}
	return points
}

func openRecord(t *testing.T, dir string) (*pgx.Conn, *postgres.App) {
	t.Helper()
	cfg := embedded.Config{Dir: dir, PathEnv: "/usr/bin:/bin", Now: time.Now}
	server, err := embedded.Start(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = server.Stop(context.Background()) })
	conn, err := pgx.Connect(t.Context(), server.SuperURL("hale"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close(context.Background()) })
	app, err := postgres.OpenApp(t.Context(), postgres.Config{URL: server.URL})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(app.Close)
	return conn, app
}

// foldEveryLog replays the log of every episode: it must fold to the episode that is stored.
func foldEveryLog(t *testing.T, app *postgres.App) {
	t.Helper()
	actor := account.Actor{Org: 1, Role: account.Administrator}
	folded, filter := 0, alerts.Filter{Limit: 500}
	for {
		page, err := app.Alerts(t.Context(), actor, filter)
		if err != nil {
			t.Fatal(err)
		}
		for _, a := range page {
			log, err := app.Log(t.Context(), actor, a.UID)
			if err != nil {
				t.Fatal(err)
			}
			first := alerts.Episode{ID: a.ID, UID: a.UID, Org: a.Org, Patient: a.Patient, Rule: a.Rule, Metric: a.Metric}
			if diff := cmp.Diff(a.Episode, alerts.FoldLog(first, log)); diff != "" {
				t.Fatalf("the log of alert %s does not fold to it (-stored +folded):\n%s", a.UID, diff)
			}
			folded++
		}
		if len(page) < filter.Limit {
			break
		}
		filter.Before = page[len(page)-1].UID
	}
	if folded == 0 {
		t.Error("there was no alert to fold")
	}
	t.Logf("%d logs fold to their episodes", folded)
}

func reference(points []alerts.Point) []alerts.Interval {
	for _, d := range alerts.Defaults() {
		if d.Metric == vital.BloodPressure {
			rule := alerts.Rule{Kind: alerts.KindLimit, Metric: d.Metric, Versions: []alerts.Version{d.Version}}
			return alerts.FoldAll(&rule, points)
		}
	}
	return nil
}

func storedTrack(t *testing.T, conn *pgx.Conn, device string) []alerts.Interval {
	t.Helper()
	rows, err := conn.Query(t.Context(), `
		SELECT c.from_at, c.from_id, c.to_at, coalesce(c.to_id, 0), c.peak, c.count, c.last_at, c.last_id
		FROM condition_interval c JOIN rule r ON r.id = c.rule_id JOIN patient p ON p.id = c.patient_id
		WHERE p.number = $1 AND r.kind = 'limit' AND r.metric = $2 ORDER BY c.from_at, c.from_id`, device, int16(vital.BloodPressure))
	if err != nil {
		t.Fatal(err)
	}
	list, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (alerts.Interval, error) {
		var i alerts.Interval
		var to *time.Time
		err := row.Scan(&i.From.At, &i.From.ID, &to, &i.To.ID, &i.Peak, &i.Count, &i.Last.At, &i.Last.ID)
		i.From.At, i.Last.At = i.From.At.UTC(), i.Last.At.UTC()
		if to != nil {
			i.To.At = to.UTC()
		}
		return i, err
	})
	if err != nil {
		t.Fatal(err)
	}
	return list
}
