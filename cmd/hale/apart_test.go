package main

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"hale/api"
)

// get asks an address and returns the status and the body, or why there is none.
func get(t *testing.T, url string) (int, string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return 0, err.Error()
	}
	defer func() { _ = res.Body.Close() }()
	body, err := io.ReadAll(res.Body)
	if err != nil {
		return 0, err.Error()
	}
	return res.StatusCode, string(body)
}

// readyz asks a process what it says of its checks, by name.
func readyz(t *testing.T, url string) (int, map[string]api.Check) {
	t.Helper()
	status, body := get(t, url+"/readyz")
	var said struct {
		Ready  bool        `json:"ready"`
		Checks []api.Check `json:"checks"`
	}
	if err := json.Unmarshal([]byte(body), &said); err != nil {
		t.Fatalf("%s/readyz said %d %q: %v", url, status, body, err)
	}
	if said.Ready != (status == http.StatusOK) {
		t.Errorf("%s/readyz: status %d, but ready is %v", url, status, said.Ready)
	}
	checks := map[string]api.Check{}
	for _, c := range said.Checks {
		checks[c.Name] = c
	}
	return status, checks
}

// isReady waits until the process says so, and returns its admin address, "" where it has none.
func isReady(t *testing.T, p *process) string {
	t.Helper()
	line := regexp.MustCompile(`(?m)^hale: ready.*$`)
	eventually(t, 30*time.Second, func() string {
		if !line.MatchString(p.stderr.String()) {
			return "the process does not say that it is ready"
		}
		return ""
	})
	_, admin, _ := strings.Cut(line.FindString(p.stderr.String()), "admin on ")
	return admin
}

func TestAProcessThatStandsByIsReadyAndSaysWhatIsNotItsOwn(t *testing.T) {
	t.Parallel()
	a := newApart(t)
	conn, err := pgx.Connect(t.Context(), a.db.AdminURL())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close(context.Background()) })

	first := a.serve(t, "process")
	admin := isReady(t, first)
	if status, body := get(t, admin+"/healthz"); status != http.StatusOK || !strings.Contains(body, `"ok":true`) {
		t.Errorf("healthz of a processor: %d %s", status, body)
	}
	if status, checks := readyz(t, admin); status != http.StatusOK || !checks["database"].OK || !checks["stream"].OK || !checks["partitions"].OK || checks["partitions"].Detail != "" {
		t.Errorf("readyz of a processor: %d %+v", status, checks)
	}
	if status, body := get(t, admin+"/metrics"); status != http.StatusOK || strings.Count(body, "\nhale_partition_owned{") != 8 {
		t.Errorf("metrics of a processor: %d %s", status, body)
	}

	addr := freeAddr(t)
	second := a.serve(t, "process,api", "--http", addr)
	if other := isReady(t, second); other != "" {
		t.Errorf("a process with role api and without --admin listens on %s", other)
	}
	status, checks := readyz(t, "http://"+addr)
	if status != http.StatusOK || !strings.Contains(checks["partitions"].Detail, "partition 7 is held by another process") {
		t.Errorf("readyz of the one that stands by: %d %+v", status, checks)
	}
	first.signal(t, syscall.SIGKILL)
	eventually(t, 30*time.Second, func() string {
		if _, checks = readyz(t, "http://"+addr); !checks["partitions"].OK || checks["partitions"].Detail != "" {
			return fmt.Sprintf("the one that stood by has not taken over: %+v", checks)
		}
		return ""
	})
	if owners, _ := cursors(t, conn); len(owners) != 1 {
		t.Errorf("partitions by owner: %v", owners)
	}
}

// connectWithWill connects the kit's device with a will, which is a reading.
func (k kit) connectWithWill(t *testing.T, addr string, will []byte) net.Conn {
	t.Helper()
	var body []byte
	text := func(s string) { body = append(binary.BigEndian.AppendUint16(body, uint16(len(s))), s...) }
	text("MQTT")
	body = append(body, 4, 0xce, 0, 0) // level 4; user name, password, will with QoS 1, clean session; no keep-alive
	text(k.device)
	text(k.topic())
	text(string(will))
	text(k.device)
	text(k.secret)
	packet := append(binary.AppendUvarint([]byte{0x10}, uint64(len(body))), body...)
	var line net.Conn
	eventually(t, 10*time.Second, func() string { // an edge hears of a new device within a second
		var err error
		if line, err = (&net.Dialer{Timeout: 5 * time.Second}).DialContext(t.Context(), "tcp", addr); err != nil {
			return err.Error()
		}
		var answer [4]byte
		if err = line.SetDeadline(time.Now().Add(5 * time.Second)); err == nil {
			_, err = line.Write(packet)
		}
		if err == nil {
			_, err = io.ReadFull(line, answer[:])
		}
		if err != nil || answer != [4]byte{0x20, 2, 0, 0} {
			_ = line.Close()
			return fmt.Sprintf("CONNACK %v, %v", answer, err)
		}
		return ""
	})
	t.Cleanup(func() { _ = line.Close() })
	return line
}

func TestADeviceThatConnectsToAnotherEdgeHasOneSessionAndNoOldWill(t *testing.T) {
	t.Parallel()
	a := newApart(t)
	at, other := freeAddr(t), freeAddr(t)
	first, second := a.serve(t, "edge", "--mqtt", at), a.serve(t, "edge,process", "--mqtt", other)
	if _, checks := readyz(t, isReady(t, first)); !checks["edge"].OK || !checks["registry"].OK {
		t.Errorf("readyz of an edge: %+v", checks)
	}
	isReady(t, second)
	k := newKit(t, a.staff, "mover-1", time.Now().Add(-24*time.Hour))

	old := k.connectWithWill(t, at, pressure(131, 81, time.Now()))
	fresh := k.dial(t, other)
	mark := time.Now()
	if err := old.SetReadDeadline(mark.Add(5 * time.Second)); err != nil {
		t.Fatal(err)
	}
	_, err := old.Read(make([]byte, 1))
	var late net.Error
	if took := time.Since(mark); err == nil || errors.As(err, &late) && late.Timeout() || took > time.Second {
		t.Fatalf("the session on the first edge ended with %v after %s", err, took)
	}
	first.end(t, syscall.SIGTERM) // whatever it would still tell is in the stream now
	stored := func(total int) {
		t.Helper()
		eventually(t, 20*time.Second, func() string {
			if in, err := a.staff.Intake(t.Context(), k.device); err != nil || in.Total < total {
				return fmt.Sprintf("%d of %d are in the record, %v", in.Total, total, err)
			}
			return ""
		})
		if in, err := a.staff.Intake(t.Context(), k.device); err != nil || in.Stored != total || in.Total != total {
			t.Errorf("%+v in the record, want %d, %v", in, total, err)
		}
	}
	if err := fresh.Publish(t.Context(), k.topic(), pressure(132, 82, time.Now()), func(time.Time) {}); err != nil {
		t.Fatal(err)
	}
	if err := fresh.Drain(t.Context()); err != nil {
		t.Errorf("the new session: %v", err)
	}
	stored(1)

	// A device that vanishes for good does leave its will: so the first one was held back, not lost.
	last := k.connectWithWill(t, other, pressure(133, 83, time.Now()))
	if err := last.Close(); err != nil {
		t.Fatal(err)
	}
	stored(2)
	anEdgeThatKnowsNothingOfAReturnMixesNobodyUp(t, a)
}
