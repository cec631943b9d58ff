package main

import (
	"context"
	"encoding/json"
	"fmt"
	"net"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"hale/internal/pgtest"
	"hale/simulators"
	"hale/stream"
)

// freeAddr is an address of this machine that nobody listens on.
func freeAddr(t *testing.T) string {
	t.Helper()
	l, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	addr := l.Addr().String()
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	return addr
}

// apart is an installation in processes of their own: the record and the stream run here.
type apart struct {
	db    pgtest.Database
	nats  *stream.Server
	http  string
	mqtt  string
	doors *process // with API and device edge
	staff *simulators.Staff

	password string // of staff, who signs in as ana
}

func (a apart) serve(t *testing.T, roles string, more ...string) *process {
	t.Helper()
	return start(t, append([]string{"--log-level=info", "serve", "--roles", roles, "--nats", a.nats.ClientURL(), "--database", a.db.AdminURL(), "--stream-bytes", "268435456", "--lease", "2s"}, more...)...)
}

// newApart starts the record, the stream and a first process with the doors, which is given more flags when there are.
func newApart(t *testing.T, more ...string) apart {
	t.Helper()
	a := apart{db: pgtest.New(t), http: freeAddr(t), mqtt: freeAddr(t)}
	var err error
	if a.nats, err = stream.StartServer(t.Context(), stream.ServerConfig{Dir: t.TempDir(), SyncAlways: true, Listen: "127.0.0.1:0", Log: watched(t)}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = a.nats.Shutdown(context.Background()) })
	set := start(t, "organisation", "create", "Home", "--database", a.db.AdminURL(), "--login", "ana", "--name", "Ana")
	<-set.ended
	said := strings.Fields(set.stdout.String())
	if len(said) == 0 {
		t.Fatalf("hale staff said nothing: %s", set.stderr.String())
	}
	a.password = said[len(said)-1]
	a.doors = a.serve(t, "edge,api", append([]string{"--http", a.http, "--mqtt", a.mqtt}, more...)...)
	eventually(t, 30*time.Second, func() string {
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
		defer cancel()
		if a.staff, err = simulators.SignIn(ctx, "http://"+a.http, "ana", a.password); err != nil {
			return err.Error()
		}
		return ""
	})
	return a
}

// cursors tells who holds the partitions, by owner.
func cursors(t *testing.T, conn *pgx.Conn) (owners map[string]int, epochs string) {
	t.Helper()
	rows, err := conn.Query(t.Context(), `SELECT partition, owner, epoch FROM stream_cursor WHERE lease_until > clock_timestamp() ORDER BY partition`)
	if err != nil {
		t.Fatal(err)
	}
	owners = map[string]int{}
	var partition, epoch int
	var owner string
	if _, err := pgx.ForEachRow(rows, []any{&partition, &owner, &epoch}, func() error {
		owners[owner]++
		epochs += fmt.Sprintf("%d:%s:%d ", partition, owner, epoch)
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	return owners, epochs
}

func TestAPausedProcessorThatWakesCommitsNothing(t *testing.T) {
	t.Parallel()
	a := newApart(t)
	conn, err := pgx.Connect(t.Context(), a.db.AdminURL())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close(context.Background()) })

	first := a.serve(t, "process")
	eventually(t, 30*time.Second, func() string {
		if owners, _ := cursors(t, conn); len(owners) != 1 {
			return fmt.Sprintf("the first processor does not hold everything: %v", owners)
		}
		return ""
	})
	a.serve(t, "process")
	k := newKit(t, a.staff, "paused-1", time.Now().Add(-10*24*time.Hour))
	src := &source{kit: k, list: walk(k.device, 5, 6000)}
	k.dial(t, a.mqtt)

	// The first one is put to sleep while batches are under way, and sleeps past its lease.
	go src.send(t.Context(), a.mqtt)
	eventually(t, 20*time.Second, func() string {
		if in, err := a.staff.Intake(t.Context(), k.device); err != nil || in.Stored == 0 {
			return fmt.Sprintf("nothing stored yet, %v", err)
		}
		return ""
	})
	first.signal(t, syscall.SIGSTOP)
	_, before := cursors(t, conn)
	var taken string
	eventually(t, 40*time.Second, func() string {
		owners, epochs := cursors(t, conn)
		if len(owners) != 1 || owners[ownerIn(before)] != 0 || strings.Count(epochs, ":") != 16 {
			return fmt.Sprintf("the second processor has not taken over: %s", epochs)
		}
		taken = epochs
		return ""
	})
	eventually(t, 60*time.Second, func() string {
		src.send(t.Context(), a.mqtt)
		return notEmpty(len(src.missing()), "messages have no PUBACK")
	})
	want := map[string]bool{}
	for _, m := range src.list {
		want[string(m.body)] = true
	}
	settled := func() string {
		in, err := a.staff.Intake(t.Context(), k.device)
		if err != nil {
			return err.Error()
		}
		if in.Total != len(want) {
			return fmt.Sprintf("%d of %d are in the record", in.Total, len(want))
		}
		return ""
	}
	eventually(t, 60*time.Second, settled)
	rows := fingerprint(t, conn)

	first.signal(t, syscall.SIGCONT)
	eventually(t, 30*time.Second, func() string {
		if !strings.Contains(first.stderr.String(), "epoch") {
			return "the woken processor has not noticed that it lost its partitions"
		}
		return ""
	})
	// More comes in after it woke: only the second may commit it.
	more := walk(k.device, 77, 500)
	src.list = append(src.list, more...)
	for _, m := range more {
		want[string(m.body)] = true
	}
	eventually(t, 60*time.Second, func() string {
		src.send(t.Context(), a.mqtt)
		return notEmpty(len(src.missing()), "messages have no PUBACK")
	})
	eventually(t, 60*time.Second, settled)
	if _, now := cursors(t, conn); now != taken {
		t.Errorf("the woken processor changed who owns what:\n%s\n%s", taken, now)
	}
	if rows == fingerprint(t, conn) {
		t.Error("nothing was committed after the first one woke: the test shows nothing")
	}
	var twice int
	if err := conn.QueryRow(t.Context(), `SELECT count(*) - count(DISTINCT id) FROM reading`).Scan(&twice); err != nil || twice != 0 {
		t.Errorf("%d readings are there twice, %v", twice, err)
	}
	if got, points := storedTrack(t, conn, k.device), storedPoints(t, conn, k.device); fmt.Sprint(reference(points)) != fmt.Sprint(got) {
		t.Errorf("the condition track differs from the reference:\n%v\n%v", reference(points), got)
	}
}

func ownerIn(epochs string) string {
	parts := strings.SplitN(epochs, ":", 3)
	if len(parts) < 3 {
		return ""
	}
	return parts[1]
}

// fingerprint sums up what is in the record.
func fingerprint(t *testing.T, conn *pgx.Conn) string {
	t.Helper()
	var f struct{ Readings, Entries, Episodes int }
	err := conn.QueryRow(t.Context(), `SELECT (SELECT count(*) FROM reading), (SELECT count(*) FROM timeline), (SELECT count(*) FROM episode)`).Scan(&f.Readings, &f.Entries, &f.Episodes)
	if err != nil {
		t.Fatal(err)
	}
	b, err := json.Marshal(f)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}
