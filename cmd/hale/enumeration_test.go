package main

import (
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"regexp"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"hale/account"
	"hale/postgres"
)

// counted returns a way to the same database that counts the statements that are sent through it.
func counted(t *testing.T, cfg postgres.Config) (postgres.Config, *atomic.Int64) {
	t.Helper()
	there, err := pgx.ParseConfig(cfg.URL(postgres.RoleApp))
	if err != nil {
		t.Fatal(err)
	}
	network, address := pgxNetwork(there)
	door, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = door.Close() })
	var n atomic.Int64
	go func() {
		for {
			in, err := door.Accept()
			if err != nil {
				return // the test is over
			}
			out, err := new(net.Dialer).DialContext(context.WithoutCancel(t.Context()), network, address)
			if err != nil {
				_ = in.Close()
				continue
			}
			go func() { _, _ = io.Copy(in, out); _ = in.Close() }()
			go func() { _ = passOn(out, in, &n); _ = out.Close() }()
		}
	}()
	way := url.URL{Scheme: "postgres", User: url.UserPassword(there.User, there.Password), Host: door.Addr().String(), Path: "/" + there.Database, RawQuery: "sslmode=disable"}
	cfg.URL = func(string) string { return way.String() }
	return cfg, &n
}

func pgxNetwork(c *pgx.ConnConfig) (network, address string) {
	if strings.HasPrefix(c.Host, "/") {
		return "unix", fmt.Sprintf("%s/.s.PGSQL.%d", c.Host, c.Port)
	}
	return "tcp", net.JoinHostPort(c.Host, fmt.Sprint(c.Port))
}

// passOn copies a client's messages (PostgreSQL's protocol 3.0) and counts those that run a statement: Query and Execute. That the pool
// looks whether a connection lives which nobody has used for a second is nobody's work.
func passOn(to io.Writer, from io.Reader, n *atomic.Int64) error {
	for head := 4; ; head = 5 { // the first message has no type
		b := make([]byte, head)
		if _, err := io.ReadFull(from, b); err != nil {
			return err
		}
		text := make([]byte, binary.BigEndian.Uint32(b[head-4:])-4)
		if _, err := io.ReadFull(from, text); err != nil {
			return err
		}
		if head == 5 && (b[0] == 'Q' && !strings.HasPrefix(string(text), "-- ping") || b[0] == 'E') {
			n.Add(1)
		}
		if _, err := to.Write(append(b, text...)); err != nil {
			return err
		}
	}
}

// alikes are things that whoever asks must not tell apart: some are there and some are not.
type alikes struct {
	name   string
	ask    question // in which {x} stands for each of them
	roles  []account.Role
	values map[string]string // by what they are
	times  int               // how often each is asked: a guesser has to wait after the fifth
}

// hashCost is what one run of argon2id allocates, in bytes: the memory that it fills.
const hashCost = 19 << 20

// TestNobodyLearnsWhatExistsFromAnAnswerOrFromItsWork asks the running server for what is there, and out of reach, and for what
// is not. What it says is the same word for word, and so is the work behind it: statements, and runs of argon2id. Those tell
// more than a clock in a test does. It runs by itself, because what is allocated is counted for the whole process.
func TestNobodyLearnsWhatExistsFromAnAnswerOrFromItsWork(t *testing.T) { //nolint:paralleltest // see above
	var statements *atomic.Int64
	w := newTownOver(t, func(cfg postgres.Config) postgres.Config {
		cfg, statements = counted(t, cfg)
		return cfg
	})
	w.settle(t, 1)
	w.lockedOut(t)
	for _, a := range w.alikes() {
		for _, role := range a.roles {
			t.Run(fmt.Sprintf("%s as %s", a.name, role), func(t *testing.T) {
				var first, of string
				for what, x := range a.values {
					said := w.workOf(t, a, person{Scene: 0, Role: role}, x, statements)
					if first == "" {
						first, of = said, what
					}
					if said != first {
						t.Errorf("%s is answered otherwise than %s:%s", what, of, diffLines(first, said))
					}
				}
				t.Logf("%.4s, %s", first, first[strings.LastIndex(first, "work: "):])
			})
		}
	}
}

// workOf returns what was answered, and the least work that it took: something else may be going on besides.
func (w *town) workOf(t *testing.T, a alikes, p person, x string, statements *atomic.Int64) string {
	t.Helper()
	things := map[string]string{"x": x}
	var text string
	least, hashes := int64(1<<62), uint64(1<<62)
	for range a.times {
		kind, body := "application/json", a.ask.json
		if a.ask.form != "" {
			kind, body = "application/x-www-form-urlencoded", a.ask.form
		}
		header := http.Header{"Accept": {"text/html,application/json"}}
		if name, value, some := strings.Cut(a.ask.header, ": "); some {
			header.Set(name, value)
		}
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		n := statements.Load()
		got, err := w.send(t.Context(), p, a.ask.method, fill(a.ask.path, things), kind, strings.NewReader(fill(body, things)), header)
		if err != nil {
			t.Fatal(err)
		}
		least = min(least, statements.Load()-n)
		runtime.ReadMemStats(&after)
		hashes = min(hashes, (after.TotalAlloc-before.TotalAlloc)/hashCost)
		text = regexp.MustCompile(`Retry-After: \d+`).ReplaceAllString(got.plain(a.ask, things), "Retry-After: so long")
	}
	return fmt.Sprintf("%s\nwork: %d statements, %d runs of argon2id", text, least, hashes)
}

// lockedOut adds people who do not sign in with a password just now.
func (w *town) lockedOut(t *testing.T) {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), w.db.AdminURL())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close(context.Background()) }()
	const like = `INSERT INTO staff (org_id, uid, login, name, role, password_hash, created_at, disabled_at)
		SELECT org_id, gen_random_uuid(), $1, name, role, CASE WHEN $2 THEN password_hash ELSE '' END, created_at, CASE WHEN $3 THEN now() END FROM staff WHERE login = 'nurse-0'`
	for _, one := range []struct {
		login              string
		password, disabled bool
	}{{"disabled", true, true}, {"disabled-too", true, true}, {"provided", false, false}, {"provided-too", false, false}, {"locked", true, false}} {
		if _, err := conn.Exec(t.Context(), like, one.login, one.password, one.disabled); err != nil {
			t.Fatal(err)
		}
	}
	const lock = `INSERT INTO sign_in_failure (login_hash, failures, last_at, locked_until) SELECT sha256(convert_to(l, 'UTF8')), 10, now(), $2 FROM unnest($1::text[]) l`
	if _, err := conn.Exec(t.Context(), lock, []string{"locked", "locked-nobody"}, time.Now().Add(time.Hour)); err != nil {
		t.Fatal(err)
	}
}

func (w *town) alikes() []alikes {
	number := func(c class) int { return one(0, c) }
	of := func(kind string, list ...class) map[string]string {
		m := map[string]string{}
		for _, c := range append(list, missing) {
			m[c.String()] = townUID(kind, number(c))
		}
		return m
	}
	everyCode := map[string]string{"the signs of one that is there": townCode(0, own)[:4] + "zzzzzzzz", "other signs": "q00qzzzzzzzz", "one of another length of life": "00000000zzzz"}
	logins := map[string]string{"a login": "nurse-0", "no login": "nobody-at-all", "a disabled login": "disabled", "somebody of the identity provider": "provided"}
	onThePage := map[string]string{"a login": "physician-0", "no login": "nobody-else", "a disabled login": "disabled-too", "somebody of the identity provider": "provided-too"}
	locked := map[string]string{"a locked login": "locked", "a locked login of nobody": "locked-nobody"}
	wrong := `{"login":"{x}","password":"a heron over the reeds"}`
	noSession, nurse, both := []account.Role{nobody}, []account.Role{account.Nurse}, []account.Role{account.Nurse, account.Administrator}
	desk := []account.Role{account.DeviceDesk}
	return []alikes{
		{"logins of the API", question{method: "POST", path: "/v1/session", json: wrong}, noSession, logins, 3},
		{"logins of the page", question{method: "POST", path: "/signin", form: "login={x}&password=a+heron"}, noSession, onThePage, 3},
		{"locked logins", question{method: "POST", path: "/v1/session", json: wrong}, noSession, locked, 3},
		{"codes", question{method: "POST", path: "/v1/session/code", json: `{"code":"{x}"}`}, noSession, everyCode, 2},
		{"patients", question{method: "GET", path: "/v1/patients/{x}"}, nurse, of("patient", other, away), 4},
		{"what was measured of patients", question{method: "GET", path: "/v1/patients/{x}/series?metric=heart_rate"}, both, of("patient", other, away), 4},
		{"identifiers", question{method: "GET", path: "/v1/patients?identifier={x}"}, nurse, map[string]string{
			"other": fmt.Sprintf("urn:oid:1.2.36.2%%7CI-%d", number(other)), "away": fmt.Sprintf("urn:oid:1.2.36.2%%7CI-%d", number(away)), "missing": "urn:oid:1.2.36.2%7CI-0",
		}, 4},
		{"alerts", question{method: "GET", path: "/v1/alerts/{x}"}, both, of("alert", other, away), 4},
		{"an alert to acknowledge", question{method: "POST", path: "/v1/alerts/{x}/acknowledge", json: `{"minutes":30}`, header: `If-Match: "1"`}, both, of("alert", other, away), 4},
		{"devices", question{method: "GET", path: "/v1/devices/{x}/intake"}, desk, map[string]string{"away": deviceName(number(away)), "missing": deviceName(number(missing))}, 4},
		{"corrections", question{method: "POST", path: "/v1/corrections/{x}/decide", json: `{"accept":false,"answer":"It is right."}`}, both, of("correction", other, away), 4},
		{"links to a record", question{method: "DELETE", path: "/v1/shares/{x}"}, []account.Role{account.SelfRole, account.CaregiverRole}, of("share", other, away), 4},
	}
}
