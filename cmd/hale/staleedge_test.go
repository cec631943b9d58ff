package main

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"hale/simulators"
)

// cutOff starts an edge with a database user of its own, and returns where it listens and what cuts it off from the database.
func cutOff(t *testing.T, a apart, conn *pgx.Conn) (edge *process, addr string, cut func()) {
	t.Helper()
	run := func(statement string) {
		t.Helper()
		if _, err := conn.Exec(t.Context(), statement); err != nil {
			t.Fatal(err)
		}
	}
	user := "edge_of_" + a.db.Name
	run("CREATE ROLE " + user + " LOGIN IN ROLE hale_app, hale_work")
	t.Cleanup(func() {
		if _, err := conn.Exec(context.WithoutCancel(t.Context()), "DROP ROLE "+user); err != nil {
			t.Error(err)
		}
	})
	way, err := url.Parse(a.db.AdminURL())
	if err != nil {
		t.Fatal(err)
	}
	way.User, addr = url.User(user), freeAddr(t)
	edge = start(t, "--log-level=info", "serve", "--roles", "edge", "--nats", a.nats.ClientURL(), "--database", way.String(), "--stream-bytes", "268435456", "--mqtt", addr)
	return edge, addr, func() {
		t.Helper()
		run("ALTER ROLE " + user + " NOLOGIN")
		run("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = '" + user + "'")
	}
}

// anEdgeThatKnowsNothingOfAReturnMixesNobodyUp: a kit comes back and is issued again while its gateway is connected to an edge that
// cannot hear of it, and then sends what it has in memory.
func anEdgeThatKnowsNothingOfAReturnMixesNobodyUp(t *testing.T, a apart) {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), a.db.AdminURL())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close(context.Background()) })
	count := func(query string, args ...any) (n int) {
		t.Helper()
		if err := conn.QueryRow(t.Context(), query, args...).Scan(&n); err != nil {
			t.Fatal(err)
		}
		return n
	}
	const leases = `SELECT count(*) FROM device_presence p JOIN edge_lease l ON l.edge = p.edge JOIN device d ON d.id = p.device_id WHERE d.uid = $1 AND l.ended_at IS NULL`
	if count(leases, "mover-1") != 1 || count(`SELECT count(*) FROM edge_lease WHERE ended_at IS NOT NULL`) != 1 {
		t.Error("it is not known that mover-1 came to an edge that lives, or that another has said goodbye")
	}

	edge, addr, cut := cutOff(t, a, conn)
	admin := isReady(t, edge)
	desk := newAsker(t, announcement{URL: "http://" + a.http, Login: "ana", Password: a.password})
	k := kit{device: "flusher-1"}
	if k.secret, err = a.staff.Enrol(t.Context(), k.device, "test kit"); err != nil {
		t.Fatal(err)
	}
	spills().plant("a device's secret", k.secret)
	var made struct{ ID string }
	desk.ask(http.MethodPost, "/v1/kits", map[string]any{"label": "K-1", "devices": []string{k.device}}, http.StatusCreated, &made)
	issue := func(number string) {
		t.Helper()
		p, err := a.staff.AddPatient(t.Context(), simulators.Person{Name: "Person of flusher " + number, Number: number, Sex: "unknown", Zone: "Europe/Ljubljana"})
		if err != nil {
			t.Fatal(err)
		}
		desk.ask(http.MethodPost, "/v1/kits/"+made.ID+"/issue", map[string]string{"patient": p.ID}, http.StatusOK, nil)
	}
	issue("anna-1")
	line := k.dial(t, addr)
	send := func(systolic int, at time.Time) {
		t.Helper()
		body := strings.Replace(string(pressure(systolic, 80, at)), at.UTC().Format(time.RFC3339), at.UTC().Format(time.RFC3339Nano), 1)
		if err := line.Publish(t.Context(), k.topic(), []byte(body), func(time.Time) {}); err != nil {
			t.Fatal(err)
		}
		if err := line.Drain(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	const whose = `SELECT coalesce((SELECT string_agg(p.number, ',') FROM reading r JOIN patient p ON p.id = r.patient_id WHERE r.mantissa = $1 AND p.number IN ('anna-1', 'bert-1')), '')
		|| coalesce((SELECT string_agg('inbox', ',') FROM inbox i WHERE i.mantissa = $1 AND i.state = 'waiting'), '')`
	lands := func(systolic int, want string) {
		t.Helper()
		eventually(t, 20*time.Second, func() string {
			var got string
			if err := conn.QueryRow(t.Context(), whose, systolic).Scan(&got); err != nil || got != want {
				return fmt.Sprintf("%d mm[Hg] is with %q, want %q (%v)", systolic, got, want, err)
			}
			return ""
		})
	}
	send(141, time.Now())
	lands(141, "anna-1") // the edge knows whose the kit is

	cut()
	eventually(t, 20*time.Second, func() string {
		if _, checks := readyz(t, admin); checks["registry"].OK {
			return "the edge reaches the registry"
		}
		return ""
	})
	for _, step := range []string{"return", "clean", "stock"} {
		desk.ask(http.MethodPost, "/v1/kits/"+made.ID+"/"+step, nil, http.StatusOK, nil)
	}
	issue("bert-1")
	var from, to, again time.Time
	if err := conn.QueryRow(t.Context(), `SELECT min(a.from_at), min(a.to_at), max(a.from_at) FROM assignment a JOIN sensor s ON s.id = a.sensor_id WHERE s.uid = $1`, k.device).Scan(&from, &to, &again); err != nil {
		t.Fatal(err)
	}
	between := func(from, to time.Time) time.Time { return from.Add(to.Sub(from) / 2) }
	send(142, between(from, to))
	send(143, between(to, again))
	send(144, between(again, time.Now()))
	lands(142, "anna-1")
	lands(143, "inbox")
	lands(144, "bert-1")
	if _, checks := readyz(t, admin); checks["registry"].OK {
		t.Error("the edge has heard of it after all: the test shows nothing")
	}
	edge.end(t, syscall.SIGTERM)
}
