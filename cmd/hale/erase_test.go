package main

import (
	"bytes"
	"context"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"hale/account"
	"hale/account/signin"
	"hale/internal/pgtest"
	"hale/postgres"
	"hale/safe"
	"hale/simulators"
)

// wearer is a patient whose scale sends all the time.
type wearer struct {
	kit
	says  atomic.Int64 // what the scale says next, in tenths of a milligram
	acked atomic.Int64
}

// wears enrols somebody with a name, a number and a value that nobody else has.
func wears(t *testing.T, s *simulators.Staff, device, name, number string, says int64) *wearer {
	t.Helper()
	w := &wearer{kit: kit{device: device}}
	w.says.Store(says)
	var err error
	if w.patient, err = s.AddPatient(t.Context(), simulators.Person{Name: name, Number: number, Sex: "unknown", Zone: "Europe/Ljubljana"}); err == nil {
		w.secret, err = s.Enrol(t.Context(), device, "test scale")
	}
	if err == nil {
		err = s.Assign(t.Context(), device, w.patient.ID, time.Now().Add(-24*time.Hour))
	}
	if err != nil {
		t.Fatal(err)
	}
	return w
}

// send publishes until stop is closed, a reading every few milliseconds, over connections that may break.
func (w *wearer) send(ctx context.Context, addr string, stop <-chan struct{}) error {
	line, err := simulators.Dial(ctx, addr, w.device, w.secret, 500)
	if err != nil {
		return err
	}
	for {
		body := fmt.Sprintf(`{"metric":"body_weight","value":%s,"unit":"kg","time":%q}`, kilograms(w.says.Load()), time.Now().UTC().Format(time.RFC3339Nano))
		if err := line.Publish(ctx, w.topic(), []byte(body), func(time.Time) { w.acked.Add(1) }); err != nil {
			return err
		}
		if err := line.Flush(); err != nil {
			return err
		}
		select {
		case <-stop:
			if err := line.Drain(ctx); err != nil {
				return err
			}
			return line.Close()
		case <-time.After(15 * time.Millisecond):
		}
	}
}

// kilograms writes tenths of a milligram.
func kilograms(says int64) string { return fmt.Sprintf("%d.%07d", says/10_000_000, says%10_000_000) }

// officer signs in as somebody of the staff and speaks JSON.
type officer struct{ url, token string }

func officerOf(t *testing.T, told announcement, login string) officer {
	t.Helper()
	_, err := postgres.Operator{AdminURL: told.Database}.SetStaff(t.Context(), postgres.Staff{
		Organisation: organisation, Login: login, Name: "Officer " + login, Role: account.PrivacyOfficer, PasswordHash: signin.Hash("a long enough password of " + login),
	})
	if err != nil {
		t.Fatal(err)
	}
	p := officer{url: told.URL}
	var out struct {
		Token string `json:"token"`
	}
	p.call(t, http.MethodPost, "/v1/session", map[string]string{"login": login, "password": "a long enough password of " + login}, &out)
	p.token = out.Token
	return p
}

func (p officer) call(t *testing.T, method, path string, in, out any) {
	t.Helper()
	body, err := json.Marshal(in)
	if err != nil {
		t.Fatal(err)
	}
	req, err := http.NewRequestWithContext(t.Context(), method, p.url+path, bytes.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/json")
	if p.token != "" {
		req.Header.Set("Authorization", "Bearer "+p.token)
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	text, err := io.ReadAll(res.Body)
	if err := errors.Join(err, res.Body.Close()); err != nil {
		t.Fatal(err)
	}
	if res.StatusCode >= 300 {
		t.Fatalf("%s %s: %d %s", method, path, res.StatusCode, text)
	}
	if out != nil {
		if err := json.Unmarshal(text, out); err != nil {
			t.Fatal(err)
		}
	}
}

// needle is something by which a person would be found again.
type needle struct {
	what string
	text string // as it stands in a row
	raw  [][]byte
}

// needlesOf are name, number and uid of a person, and the value that only they have.
func needlesOf(t *testing.T, w *wearer, says int64) []needle {
	t.Helper()
	uid, err := hex.DecodeString(strings.ReplaceAll(w.patient.ID, "-", ""))
	if err != nil {
		t.Fatal(err)
	}
	// A value stands in the record as digits and as a float, in machine order; in the stream as a varint, and its exponent.
	digits := binary.LittleEndian.AppendUint64(nil, uint64(says))
	float := binary.LittleEndian.AppendUint64(nil, math.Float64bits(float64(says)/1e7))
	return []needle{
		{"the name", w.patient.Name, [][]byte{[]byte(w.patient.Name)}},
		{"the number", w.patient.Number, [][]byte{[]byte(w.patient.Number)}},
		{"the uid", w.patient.ID, [][]byte{[]byte(w.patient.ID), uid}},
		{"a value", fmt.Sprint(says), [][]byte{digits, float, append(binary.AppendVarint(nil, says), 0xf9), []byte(kilograms(says))}},
		{"a value as a float", kilograms(says), nil},
	}
}

// filesHolding searches the bytes of every file below a directory.
func filesHolding(t *testing.T, dir string, raw [][]byte) []string {
	t.Helper()
	var found []string
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return nil //nolint:nilerr // a file that the database has just taken away holds nothing
		}
		b, err := os.ReadFile(path)
		if err != nil {
			return nil //nolint:nilerr // as above
		}
		for _, r := range raw {
			if bytes.Contains(b, r) {
				found = append(found, path)
				break
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return found
}

// hale runs a verb in this process and returns what it printed.
func verb(t *testing.T, args ...string) string {
	t.Helper()
	var out, complaint bytes.Buffer
	if code := run(t.Context(), args, &out, &complaint, os.Getenv); code != 0 {
		t.Fatalf("hale %v ended with %d: %s", args, code, complaint.String())
	}
	return out.String()
}

func copyDirectory(t *testing.T, from, to string) {
	t.Helper()
	if out, err := exec.CommandContext(t.Context(), "cp", "-a", from, to).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
}

// keptReadings is how many readings of a patient the record holds.
func keptReadings(t *testing.T, adminURL string, w *wearer) int64 {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), adminURL)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close(t.Context()) }()
	var n int64
	if err := conn.QueryRow(t.Context(), `SELECT count(*) FROM reading r JOIN patient p ON p.id = r.patient_id WHERE p.uid = $1`, w.patient.ID).Scan(&n); err != nil {
		t.Fatal(err)
	}
	return n
}

// forget takes a request through two officers, and waits until it is carried out.
func forget(t *testing.T, told announcement, w *wearer) {
	t.Helper()
	one, two := officerOf(t, told, "olga"), officerOf(t, told, "otto")
	policy := policyOfNothing()
	one.call(t, http.MethodPut, "/v1/erasure-policy", policy, nil)
	var e struct {
		ID     string `json:"id"`
		Number int    `json:"number"`
		State  string `json:"state"`
	}
	one.call(t, http.MethodPost, "/v1/patients/"+w.patient.ID+"/erasures", map[string]string{"wish": "forget " + w.patient.Name}, &e)
	one.call(t, http.MethodPost, "/v1/erasures/"+e.ID+"/decision", map[string]any{}, &e)
	two.call(t, http.MethodPost, "/v1/erasures/"+e.ID+"/confirmation", map[string]any{"number": e.Number, "told": "Olga told them at home, on the first."}, &e)
	w.says.Store(777_654_321) // what is measured from now on is nobody's
	eventually(t, 90*time.Second, func() string {
		two.call(t, http.MethodGet, "/v1/erasures/"+e.ID, nil, &e)
		if e.State != "done" {
			return "the erasure is " + e.State
		}
		return ""
	})
}

func policyOfNothing() map[string]any {
	var table []map[string]any
	for _, c := range safe.Classes() {
		table = append(table, map[string]any{"class": c, "years": 0, "from": "decision", "linked": false, "ground": ""})
	}
	return map[string]any{"cooling_days": 0, "backup_days": 35, "retention": table}
}

func TestOneOfThreePatientsIsErasedWhileAllAreMeasured(t *testing.T) {
	t.Parallel()
	dir := dataDir(t)
	backups := t.TempDir()
	ledger := filepath.Join(backups, "erasures.jsonl")
	p, told := up(t, dir, "--demo=false", "--erasure-ledger", ledger)
	staff := signIn(t, told)
	const says = 831_234_567
	erased := wears(t, staff, "scale-1", "Zoran Needleman", "NEEDLE-4711", says)
	others := []*wearer{wears(t, staff, "scale-2", "Breda Staying", "S-2", 712_222_222), wears(t, staff, "scale-3", "Ciril Staying", "S-3", 723_333_333)}
	all := append(others[:2:2], erased)
	needles := needlesOf(t, erased, says)

	// Some readings, an alert and some looks, and then the backup.
	measure := func(addr string, until func() string) {
		t.Helper()
		stop := make(chan struct{})
		var sending sync.WaitGroup
		ended := make(chan error, len(all))
		for _, w := range all {
			sending.Add(1)
			go func() {
				defer sending.Done()
				ended <- w.send(context.WithoutCancel(t.Context()), addr, stop)
			}()
		}
		eventually(t, 100*time.Second, until)
		close(stop)
		sending.Wait()
		close(ended)
		for err := range ended {
			if err != nil {
				t.Fatal(err)
			}
		}
	}
	enough := func(n int64) func() string {
		return func() string {
			for _, w := range all {
				if w.acked.Load() < n {
					return "too few readings were acknowledged"
				}
			}
			return ""
		}
	}
	eventually(t, 10*time.Second, func() string { // the edge hears of a new device within a second
		line, err := simulators.Dial(t.Context(), told.MQTT, others[1].device, others[1].secret, 10)
		if err != nil {
			return err.Error()
		}
		_ = line.Close()
		return ""
	})
	measure(told.MQTT, enough(40))
	line := erased.dial(t, told.MQTT)
	err := line.Publish(t.Context(), erased.topic(), []byte("\x00 garbage of NEEDLE-4711"), func(time.Time) {})
	if err := errors.Join(err, line.Flush(), line.Drain(t.Context()), line.Close()); err != nil {
		t.Fatal(err)
	}
	p.end(t, syscall.SIGTERM)
	backup := filepath.Join(filepath.Dir(dir), "backup")
	copyDirectory(t, dir, backup)

	p, told = up(t, dir, "--demo=false", "--erasure-ledger", ledger)
	for _, n := range needles {
		if len(pgtest.Holding(t, told.Database, n.text)) == 0 || n.raw != nil && len(filesHolding(t, dir, n.raw)) == 0 {
			t.Fatalf("%s was nowhere: the test sees nothing", n.what)
		}
	}
	before := filepath.Join(backups, "before.jsonl")
	eventually(t, 10*time.Second, func() string { return unsealed(t, told.Database) })
	verb(t, "audit", "export", "--organisation", organisation, "--out", before, "--data", dir)
	stopAll := make(chan struct{})
	sent := make(chan error, len(all))
	for _, w := range all {
		go func() { sent <- w.send(context.WithoutCancel(t.Context()), told.MQTT, stopAll) }()
	}
	forget(t, told, erased)
	close(stopAll)
	for range all {
		if err := <-sent; err != nil {
			t.Fatal(err)
		}
	}
	nothingLeft(t, told, dir, needles)
	for _, w := range others {
		eventually(t, 10*time.Second, func() string {
			if n := keptReadings(t, told.Database, w); n != w.acked.Load() {
				return fmt.Sprintf("%d readings of %s are stored, and %d were acknowledged", n, w.device, w.acked.Load())
			}
			return ""
		})
	}
	after := filepath.Join(backups, "after.jsonl")
	eventually(t, 10*time.Second, func() string { return unsealed(t, told.Database) })
	verb(t, "audit", "export", "--organisation", organisation, "--out", after, "--data", dir)
	verb(t, "audit", "verify", before, "--key", filepath.Join(dir, "audit-key.pem.pub"))
	if said := verb(t, "audit", "verify", after, "--since", before, "--key", filepath.Join(dir, "audit-key.pem.pub")); !strings.Contains(said, "blanked    erasure 1: ") {
		t.Errorf("verify says nothing of the erasure: %s", said)
	}
	receipt := filepath.Join(backups, "receipt.json")
	verb(t, "erase", "receipt", "--organisation", organisation, "--number", "1", "--out", receipt, "--data", dir)
	if said := verb(t, "erase", "verify-receipt", receipt, "--key", filepath.Join(dir, "audit-key.pem.pub")); !strings.Contains(said, "erased  readings") {
		t.Errorf("the receipt says %s", said)
	}
	for _, n := range needles {
		for _, file := range []string{after, receipt, ledger} {
			if b, err := os.ReadFile(file); err != nil || bytes.Contains(b, []byte(n.text)) {
				t.Errorf("%s holds %s (%v)", file, n.what, err)
			}
		}
	}
	p.end(t, syscall.SIGTERM)

	// The backup is restored: it is not served before the ledger is replayed.
	if err := os.Rename(dir, dir+".broken"); err != nil {
		t.Fatal(err)
	}
	copyDirectory(t, backup, dir)
	refused := start(t, "up", "--data", dir, "--http", "127.0.0.1:0", "--mqtt", "127.0.0.1:0", "--mqtts", "127.0.0.1:0", "--json", "--no-install", "--demo=false", "--erasure-ledger", ledger)
	select {
	case <-refused.ended:
	case <-time.After(60 * time.Second):
		t.Fatal("an older record is served")
	}
	if said := refused.stderr.String(); !strings.Contains(said, "hale erase replay") {
		t.Fatalf("an older record was refused with: %s", said)
	}
	if said := verb(t, "erase", "replay", ledger, "--data", dir); !strings.Contains(said, "erased again") {
		t.Fatalf("replay said: %s", said)
	}
	p, told = up(t, dir, "--demo=false", "--erasure-ledger", ledger)
	eventually(t, 60*time.Second, func() string {
		if said := verb(t, "erase", "list", "--organisation", organisation, "--data", dir); !strings.Contains(said, "done") {
			return said
		}
		return ""
	})
	nothingLeft(t, told, dir, needles)
	p.end(t, syscall.SIGTERM)
}

// unsealed says whether audit rows wait for their seal.
func unsealed(t *testing.T, adminURL string) string {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), adminURL)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close(t.Context()) }()
	var n int
	if err := conn.QueryRow(t.Context(), `SELECT count(*) FROM audit WHERE seq IS NULL`).Scan(&n); err != nil || n > 0 {
		return fmt.Sprintf("%d rows are not sealed, %v", n, err)
	}
	return ""
}

// nothingLeft searches tables, stream, database and every other file of the installation.
func nothingLeft(t *testing.T, told announcement, dir string, needles []needle) {
	t.Helper()
	for _, n := range needles {
		if found := pgtest.Holding(t, told.Database, n.text); len(found) > 0 {
			t.Errorf("%s is in the tables %v", n.what, found)
		}
		if found := filesHolding(t, dir, n.raw); len(found) > 0 {
			t.Errorf("%s is in the files %v", n.what, found)
		}
	}
}

func TestALedgerWithoutEntriesIsAFileToo(t *testing.T) {
	t.Parallel()
	l := &ledgerFile{path: filepath.Join(t.TempDir(), "erasures.jsonl")}
	for range 2 {
		if err := l.keep(t.Context(), nil); err != nil {
			t.Fatal(err)
		}
		if text, err := os.ReadFile(l.path); err != nil || len(text) != 0 {
			t.Fatalf("the file holds %q, %v", text, err)
		}
	}
	if err := l.keep(t.Context(), []safe.LedgerEntry{{UID: "a"}}); err != nil {
		t.Fatal(err)
	}
	if there, err := (&ledgerFile{path: l.path}).read(); err != nil || len(there) != 1 {
		t.Errorf("the file has %v, %v", there, err)
	}
}
