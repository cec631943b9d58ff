package main

import (
	"context"
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"hale/account"
	"hale/account/signin"
	"hale/alerts"
	"hale/internal/pgtest"
	"hale/postgres"
	"hale/safe"
	"hale/stream"
	"hale/vital"
)

// class is how a patient stands to the people of a scene.
type class int

const (
	own     class = iota // of their care team, or themselves, or who has let them in
	other                // of the same organisation, and of another care team
	away                 // of another organisation
	missing              // of nobody: there is no such person or thing
)

func classes() []class { return []class{own, other, away} }

func (c class) String() string { return [...]string{"own", "other", "away", "missing"}[c] }

// nobody is who asks without a session.
const nobody account.Role = "nobody"

// columns are those who ask, in the order of the table.
func columns() []account.Role { return append(account.Roles(), nobody) }

// town is a running server over a record with many scenes. A scene is two organisations, with one person of every role and
// one patient of every class: what is changed in one scene is seen in no other.
type town struct {
	base    string
	server  *house
	log     *lineBuffer
	client  *http.Client
	began   time.Time
	keys    []string // API keys, by scene
	codes   []string // of somebody who is invited to the staff, by scene
	home    *time.Location
	receipt string // of an erasure
	db      pgtest.Database

	mu    sync.Mutex
	notes map[string]string // by route
}

// townPassword is that of everybody who has one.
const townPassword = "kettle under the linden"

// newTown starts a town in which nobody lives yet; see settle.
func newTown(t *testing.T) *town {
	t.Helper()
	return newTownOver(t, func(cfg postgres.Config) postgres.Config { return cfg })
}

// newTownOver starts one that reaches its record in a way of its own.
func newTownOver(t *testing.T, way func(postgres.Config) postgres.Config) *town {
	t.Helper()
	w := &town{log: newLineBuffer(), began: time.Now().Add(-time.Hour).UTC().Truncate(time.Second), db: pgtest.New(t), notes: map[string]string{}}
	log := slog.New(slog.NewTextHandler(w.log, nil))
	for what, word := range map[string]string{
		"a password": townPassword, "a CSRF value": townCSRF, "a name of the town": "Vidmar", "a name on a duty": "Staff nurse-", "a reason": "She called the wrong number", "a wish": "It is written with an h",
	} {
		spills().plant(what, word)
	}
	t.Cleanup(func() {
		spills().keep(t.Name()+": the server", w.log.String())
		spills().keep(t.Name()+": PostgreSQL", w.db.ServerLog(t))
	})
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	nats, err := stream.StartServer(ctx, stream.ServerConfig{Dir: t.TempDir(), Log: log})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = nats.Shutdown(context.Background()) })
	registry := newRegistry()
	conn, err := nats.Connect(ctx, stream.Config{Log: log, Metrics: registry})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(conn.Close)
	flow, err := conn.Ensure(ctx, stream.StreamConfig{MaxBytes: 64 << 20}) // what an app sends, and what is decoded again, goes there; nobody judges it
	if err != nil {
		t.Fatal(err)
	}
	door, err := new(net.ListenConfig).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	w.base = "http://" + door.Addr().String()
	w.server = &house{roles: []string{roleAPI}, owner: "town", database: way(w.db.Config()), conn: conn, stream: flow, signer: townSigner(t), http: door, registry: registry, number: "112", zone: time.UTC, log: log,
		pairs: pairFlags{DeviceURL: []string{"mqtts://hale.example.org:8883"}}}
	if w.server.secondKey, err = ownSecondKey(t.TempDir()); err != nil {
		t.Fatal(err)
	}
	w.client = &http.Client{
		Transport:     &http.Transport{MaxIdleConnsPerHost: atOnce},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		Timeout:       30 * time.Second,
	}
	if w.home, err = time.LoadLocation("Europe/Ljubljana"); err != nil {
		t.Fatal(err)
	}
	_, seal, err := ed25519.GenerateKey(nil)
	if err != nil {
		t.Fatal(err)
	}
	receipt, err := safe.NewReceipt("Organisation", &safe.Erasure{AskedAt: w.began, DecidedAt: w.began, CutAt: w.began}, safe.DefaultPolicy(), w.began).Sign(seal)
	if err != nil {
		t.Fatal(err)
	}
	w.receipt = string(receipt)
	ready, ended := make(chan struct{}), make(chan error, 1)
	go func() { ended <- w.server.run(ctx, func() { close(ready) }) }()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("the server ended with %v", err)
		}
	})
	select {
	case <-ready:
	case err := <-ended:
		ended <- nil
		t.Fatalf("the server did not get ready: %v", err)
	}
	return w
}

// person is what the town knows of one who asks.
type person struct {
	Scene int
	Role  account.Role
}

// number gives everybody and everything of a scene a number of its own, far from those that the record gives.
func (p person) number() int {
	for i, role := range columns() {
		if role == p.Role {
			return townFirst + p.Scene*100 + i
		}
	}
	return 0
}

const townFirst = 1_000_000

// townNurse is a nurse of a class's team who asks for nothing: an object for what is done with staff.
func townNurse(scene int, c class) int { return townFirst + scene*100 + 50 + int(c) }

// one is the number of what a scene has once in every class, and spare of a second one with nothing to it.
func one(scene int, c class) int   { return townFirst + scene*100 + 60 + int(c) }
func spare(scene int, c class) int { return townFirst + scene*100 + 70 + int(c) }

func orgOf(scene int, c class) int {
	if c == away {
		return townFirst + 2*scene + 1
	}
	return townFirst + 2*scene
}

// uid is the outside id of a thing of the town: the kind keeps those of one number apart.
func townUID(kind string, number int) string {
	sum := sha256.Sum256([]byte(kind))
	return fmt.Sprintf("%08x-%04x-7%03x-8000-%012x", sum[:4], sum[4:6], int(sum[6]), number)
}

// secretOf is a token by which somebody is signed in, or the secret of the device that a session is bound to.
func secretOf(kind string, number int) string {
	sum := sha256.Sum256(fmt.Append(nil, kind, number))
	return base64.RawURLEncoding.EncodeToString(sum[:])
}

func (p person) login() string { return fmt.Sprintf("%s-%d", p.Role, p.Scene) }

// townCSRF is the CSRF value of every session.
const townCSRF = "csrf of the town"

// patientName is what is looked for in answers.
func patientName(scene int, c class) string {
	return fmt.Sprintf("%s %d Vidmar", [...]string{"Ownelia", "Othmara", "Awalda"}[c], scene)
}

// settle fills the record with so many scenes.
func (w *town) settle(t *testing.T, scenes int) {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), w.db.AdminURL())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close(context.Background()) }()
	if _, err := conn.Exec(t.Context(), `SELECT make_reading_partition($1::date)`, w.began); err != nil {
		t.Fatal(err)
	}
	hash := signin.Hash(townPassword)
	in := inhabitants{order: []string{"org", "team", "staff", "patient", "caregiver", "device", "sensor"}, tables: map[string]*townTable{}}
	for k := range scenes {
		key, keyHash := signin.NewAPIKey()
		w.keys = append(w.keys, key)
		code, codeHash := signin.NewInvitation()
		w.codes = append(w.codes, code)
		in.organisations(k, w.began)
		in.people(k, w.began, hash)
		in.programs(k, w.began, keyHash)
		in.newcomer(k, codeHash)
		for _, c := range classes() {
			in.patient(k, c, w.began)
		}
	}
	for _, name := range in.order {
		table := in.tables[name]
		if _, err := conn.CopyFrom(t.Context(), pgx.Identifier{name}, table.columns, pgx.CopyFromRows(table.rows)); err != nil {
			t.Fatalf("fill %s: %v", name, err)
		}
	}
}

// inhabitants are rows to be copied, by table: first those that others point to, then in the order of their first one.
type inhabitants struct {
	tables map[string]*townTable
	order  []string
}

type townTable struct {
	columns []string
	rows    [][]any
}

// field is a column of a row with its value.
type field struct {
	column string
	value  any
}

func (in *inhabitants) add(table string, fields ...field) {
	into := in.tables[table]
	if into == nil {
		into = &townTable{}
		for _, f := range fields {
			into.columns = append(into.columns, f.column)
		}
		in.tables[table] = into
		if !slices.Contains(in.order, table) {
			in.order = append(in.order, table)
		}
	}
	row := make([]any, len(fields))
	for i, f := range fields {
		row[i] = f.value
	}
	into.rows = append(into.rows, row)
}

// teamOf is the care team of a class: own and other have one each in the one organisation.
func teamOf(scene int, c class) int { return one(scene, c) }

func (in *inhabitants) organisations(k int, at time.Time) {
	for _, c := range []class{own, away} {
		org := orgOf(k, c)
		in.add("org", field{"id", org}, field{"uid", townUID("org", org)}, field{"name", fmt.Sprintf("Organisation %d", org)}, field{"created_at", at})
	}
	for _, c := range classes() {
		in.add("team", field{"org_id", orgOf(k, c)}, field{"id", teamOf(k, c)}, field{"uid", townUID("team", teamOf(k, c))},
			field{"name", "Team " + c.String()}, field{"usual", c != other}, field{"created_at", at})
		in.add("team", field{"org_id", orgOf(k, c)}, field{"id", spare(k, c)}, field{"uid", townUID("team", spare(k, c))},
			field{"name", "Spare team " + c.String()}, field{"usual", false}, field{"created_at", at})
	}
}

// people are one of every role, all of the team of the own patient, and a colleague in each team.
func (in *inhabitants) people(k int, at time.Time, hash string) {
	staff := func(org, id int, login string, role account.Role, team int) {
		in.add("staff", field{"org_id", org}, field{"id", id}, field{"uid", townUID("staff", id)}, field{"login", login}, field{"name", "Staff " + login},
			field{"role", string(role)}, field{"password_hash", hash}, field{"created_at", at})
		in.add("team_member", field{"org_id", org}, field{"team_id", team}, field{"staff_id", id}, field{"from_at", at})
		in.session(org, id, id, nil, nil, at)
	}
	for _, role := range account.StaffRoles() {
		p := person{k, role}
		staff(orgOf(k, own), p.number(), p.login(), role, teamOf(k, own))
	}
	for _, c := range classes() {
		staff(orgOf(k, c), townNurse(k, c), fmt.Sprintf("colleague-%d", townNurse(k, c)), account.Nurse, teamOf(k, c))
	}
}

// newcomer is somebody who was invited to the staff and has no password yet.
func (in *inhabitants) newcomer(k int, codeHash []byte) {
	org, id := orgOf(k, own), townFirst+k*100+90
	in.add("staff", field{"org_id", org}, field{"id", id}, field{"uid", townUID("staff", id)}, field{"login", fmt.Sprintf("newcomer-%d", k)}, field{"name", "Newcomer"},
		field{"role", string(account.Nurse)}, field{"password_hash", ""}, field{"created_at", time.Now()})
	in.add("staff_invitation", field{"org_id", org}, field{"staff_id", id}, field{"code_hash", codeHash}, field{"created_at", time.Now()}, field{"expires_at", time.Now().Add(time.Hour)})
}

// session is one of a member of staff, a patient or a caregiver. Those of the latter two are bound to a device.
func (in *inhabitants) session(org, number int, staff, patient, caregiver any, at time.Time) {
	token := sha256.Sum256([]byte(secretOf("token", number)))
	device := sha256.Sum256([]byte(secretOf("device", number)))
	bound := device[:]
	if staff != nil {
		bound = nil
	}
	in.add("session", field{"org_id", org}, field{"uid", townUID("session", number)}, field{"staff_id", staff}, field{"patient_id", patient}, field{"caregiver_id", caregiver},
		field{"token_hash", token[:]}, field{"device_hash", bound}, field{"csrf", townCSRF}, field{"created_at", at}, field{"seen_at", time.Now()}, field{"expires_at", at.Add(48 * time.Hour)})
}

// programs are API keys that may do all that a key can be given: one that asks, and one of each class to be asked about.
func (in *inhabitants) programs(k int, at time.Time, hash []byte) {
	key := func(org, number int, hash []byte) {
		in.add("api_key", field{"org_id", org}, field{"id", number}, field{"uid", townUID("key", number)}, field{"name", fmt.Sprintf("Program %d", number)},
			field{"scopes", string(account.ScopesOf(account.ForSystems()...))}, field{"token_hash", hash}, field{"created_at", at}, field{"expires_at", at.Add(48 * time.Hour)})
	}
	key(orgOf(k, own), person{k, account.SystemRole}.number(), hash)
	for _, c := range []class{own, away} {
		sum := sha256.Sum256(fmt.Append(nil, "spare key ", one(k, c)))
		key(orgOf(k, c), one(k, c), sum[:])
	}
}

// relatives are the person whom a patient has let in, with what they share, and the patient's own session.
func (in *inhabitants) relatives(k int, c class, at time.Time) {
	org, id := orgOf(k, c), one(k, c)
	asks, helper := id, id
	if c == own {
		asks, helper = person{k, account.SelfRole}.number(), person{k, account.CaregiverRole}.number()
	}
	in.session(org, asks, nil, id, nil, at)
	in.add("caregiver", field{"org_id", org}, field{"id", helper}, field{"uid", townUID("caregiver", id)}, field{"name", fmt.Sprintf("Relative %d", id)}, field{"created_at", at})
	in.add("caregiver_grant", field{"org_id", org}, field{"id", id}, field{"uid", townUID("grant", id)}, field{"patient_id", id}, field{"caregiver_id", helper},
		field{"scopes", string(account.ScopesOf(account.ForCaregivers()...))}, field{"from_at", at})
	in.add("consent_decision", field{"org_id", org}, field{"id", id}, field{"uid", townUID("consent", id)}, field{"patient_id", id}, field{"purpose", "caregiver_sharing"},
		field{"version", 1}, field{"language", "en"}, field{"choice", "given"}, field{"decided_by", "self"}, field{"through", "own_session"}, field{"recorded_by", "the patient"},
		field{"decided_at", at}, field{"created_at", at})
	if c == own {
		in.session(org, helper, nil, nil, helper, at)
		in.session(org, id, nil, id, nil, at) // another device of the same person
	}
}

// requestNumber is that of the request to be forgotten: none that stands in a page for something else.
func requestNumber(c class) int { return 7_700_010 + int(c) }

// shareCode is the code of the link to the data of the patient of this number.
func shareCode(id int) string {
	text := []byte("kmnpqrstvwxyz2345678")
	for i, n := 0, id; n > 0; i, n = i+1, n/10 {
		text[i] = "abcdefghjk"[n%10]
	}
	return string(text)
}

// townCode is a code with which the patient of a class signs in.
func townCode(k int, c class) string {
	const signs = "0123456789abcdefghjkmnpqrstvwxyz"
	text := []byte("zzzz7w29xq4m")
	for i, n := 3, one(k, c)-townFirst; i >= 0; i, n = i-1, n/32 {
		text[i] = signs[n%32]
	}
	return string(text)
}

// doings are what people have begun: a broken glass of a colleague of the other team, and a shift.
func (in *inhabitants) doings(k int, c class, at time.Time) {
	org, id := orgOf(k, c), one(k, c)
	breaker := townNurse(k, c)
	if c == own {
		breaker = townNurse(k, other)
	}
	in.add("break_glass", field{"org_id", org}, field{"id", id}, field{"uid", townUID("glass", id)}, field{"patient_id", id}, field{"staff_id", breaker},
		field{"reason", "She called the wrong number."}, field{"from_at", at}, field{"until_at", at.Add(time.Minute)})
	code := sha256.Sum256([]byte(townCode(k, c)))
	in.add("invitation", field{"org_id", org}, field{"id", id}, field{"uid", townUID("invitation", id)}, field{"patient_id", id}, field{"staff_id", townNurse(k, c)},
		field{"lookup", townCode(k, c)[:4]}, field{"code_hash", code[:]}, field{"created_at", at}, field{"expires_at", at.Add(24 * time.Hour)})
	in.add("shift", field{"org_id", org}, field{"id", id}, field{"uid", townUID("shift", id)}, field{"team_id", teamOf(k, c)}, field{"staff_id", townNurse(k, c)},
		field{"duty", "duty"}, field{"from_at", at.Add(24 * time.Hour)}, field{"to_at", at.Add(32 * time.Hour)}, field{"created_at", at})
}

// patient has what a patient has: a team, a limit, an open alert, a device and a reading.
func (in *inhabitants) patient(k int, c class, at time.Time) {
	org, id := orgOf(k, c), one(k, c)
	in.add("patient", field{"org_id", org}, field{"id", id}, field{"uid", townUID("patient", id)}, field{"name", patientName(k, c)},
		field{"number", fmt.Sprintf("N-%d", id)}, field{"birth_year", 1941}, field{"sex", "female"}, field{"zone", "Europe/Ljubljana"}, field{"created_at", at},
		field{"state", "active"}, field{"merged_into", nil})
	in.add("team_patient", field{"org_id", org}, field{"team_id", teamOf(k, c)}, field{"patient_id", id}, field{"from_at", at})
	in.relatives(k, c, at)
	in.doings(k, c, at)
	in.wishes(k, c, at)
	in.add("rule", field{"org_id", org}, field{"id", id}, field{"uid", townUID("rule", id)}, field{"patient_id", id}, field{"kind", "limit"}, field{"metric", int(vital.HeartRate)})
	in.add("rule_version", field{"org_id", org}, field{"rule_id", id}, field{"number", 1}, field{"effective_from", at}, field{"enabled", true},
		field{"spec", alerts.Limit{Components: []alerts.Bounds{{}}, K: 1, N: 1, ClearAfter: 1}}, field{"advice", ""}, field{"author_name", ""}, field{"reason", ""}, field{"created_at", at})
	in.add("device", field{"org_id", org}, field{"id", id}, field{"uid", deviceName(id)}, field{"model", "Cuff"}, field{"secret_hash", make([]byte, 32)}, field{"created_at", at})
	in.add("sensor", field{"org_id", org}, field{"id", id}, field{"uid", deviceName(id)}, field{"device_id", id})
	in.add("sensor_presence", field{"org_id", org}, field{"sensor_id", id}, field{"device_id", id}, field{"heard_at", at}, field{"status_at", at}, field{"battery", 5}, field{"battery_low_at", at})
	in.spares(k, c, at)
	in.add("assignment", field{"org_id", org}, field{"id", id}, field{"sensor_id", id}, field{"patient_id", id}, field{"from_at", at}, field{"to_at", at.Add(30 * time.Minute)}, field{"created_at", at})
	in.kit(org, id, at)
	in.parked(k, c, at)
	in.add("reading", field{"sensor_id", id}, field{"metric", int(vital.HeartRate)}, field{"sent_at", at}, field{"tie", 1}, field{"org_id", org}, field{"patient_id", id},
		field{"assignment_id", id}, field{"device_id", id}, field{"id", id}, field{"measured_at", at}, field{"received_at", at}, field{"value", 173.0},
		field{"mantissa", 173}, field{"exponent", 0}, field{"unit", int(vital.PerMinute)}, field{"findings", 0}, field{"has_sequence", false})
	in.add("episode", field{"org_id", org}, field{"id", id}, field{"uid", townUID("alert", id)}, field{"patient_id", id}, field{"rule_id", id}, field{"metric", int(vital.HeartRate)},
		field{"state", "open"}, field{"holds", true}, field{"level", 2}, field{"historic", false}, field{"rule_version", 1}, field{"opened_at", at}, field{"first_at", at}, field{"first_id", id},
		field{"last_at", at}, field{"last_id", id}, field{"last_values", []float64{173}}, field{"occurrences", 1}, field{"version", 1})
	in.add("timeline", field{"org_id", org}, field{"episode_id", id}, field{"kind", "opened"}, field{"recorded_at", at}, field{"level", 2}, field{"reading_at", at}, field{"reading_id", id},
		field{"vals", []float64{173}}, field{"rule_version", 1}, field{"episode_version", 1})
}

// kit is a kit of a patient's device, which they have and which is not live yet.
func (in *inhabitants) kit(org, id int, at time.Time) {
	in.add("kit", field{"org_id", org}, field{"id", id}, field{"uid", townUID("kit", id)}, field{"label", fmt.Sprintf("K-%d", id)}, field{"state", "issued"}, field{"state_at", at},
		field{"issued_at", at}, field{"made_at", at})
	in.add("kit_item", field{"org_id", org}, field{"kit_id", id}, field{"device_id", id}, field{"from_at", at})
	in.add("kit_holder", field{"org_id", org}, field{"kit_id", id}, field{"patient_id", id}, field{"from_at", at})
	in.add("kit_event", field{"org_id", org}, field{"kit_id", id}, field{"at", at}, field{"actor_name", "Desk"}, field{"actor_role", "device_desk"}, field{"what", "made"})
}

// spares are a device of ours that nobody has, and a second record of the patient, which was merged into the first.
func (in *inhabitants) spares(k int, c class, at time.Time) {
	org, id := orgOf(k, c), spare(k, c)
	in.add("device", field{"org_id", orgOf(k, own)}, field{"id", id}, field{"uid", deviceName(id)}, field{"model", "Cuff"}, field{"secret_hash", make([]byte, 32)}, field{"created_at", at})
	in.add("sensor", field{"org_id", orgOf(k, own)}, field{"id", id}, field{"uid", deviceName(id)}, field{"device_id", id})
	in.add("patient", field{"org_id", org}, field{"id", id}, field{"uid", townUID("patient", id)}, field{"name", fmt.Sprintf("Twin %d", id)},
		field{"number", fmt.Sprintf("S-%d", id)}, field{"birth_year", 1941}, field{"sex", "female"}, field{"zone", "Europe/Ljubljana"}, field{"created_at", at},
		field{"state", "merged"}, field{"merged_into", one(k, c)})
	in.add("team_patient", field{"org_id", org}, field{"team_id", spare(k, c)}, field{"patient_id", one(k, c)}, field{"from_at", at})
	in.add("team_member", field{"org_id", org}, field{"team_id", spare(k, c)}, field{"staff_id", townNurse(k, c)}, field{"from_at", at})
	in.add("merge", field{"org_id", org}, field{"id", id}, field{"uid", townUID("merge", one(k, c))}, field{"from_id", id}, field{"into_id", one(k, c)}, field{"state", "done"},
		field{"reason", "She was taken in twice."}, field{"kept", map[string]any{"state": "active"}}, field{"asked_name", "Desk"}, field{"asked_at", at}, field{"ended_at", at})
	in.add("refile", field{"org_id", org}, field{"id", one(k, c)}, field{"uid", townUID("refile", one(k, c))}, field{"sensor_id", one(k, c)}, field{"source_id", one(k, c)},
		field{"from_at", at.Add(-time.Hour)}, field{"to_at", at.Add(-time.Minute)}, field{"reason", "It was the wrong box."}, field{"state", "done"}, field{"asked_name", "Desk"},
		field{"asked_role", "device_desk"}, field{"asked_at", at}, field{"ended_at", at})
}

// wishes are what a patient has asked for, and what others have written down about them.
func (in *inhabitants) wishes(k int, c class, at time.Time) {
	org, id := orgOf(k, c), one(k, c)
	row := func(table, kind string, more ...field) {
		in.add(table, append([]field{{"org_id", org}, {"id", id}, {"uid", townUID(kind, id)}, {"patient_id", id}}, more...)...)
	}
	row("correction", "correction", field{"kind", "name"}, field{"wish", "It is written with an h."}, field{"asked_name", "The patient"}, field{"asked_role", "patient"}, field{"asked_at", at})
	secret := sha256.Sum256([]byte("hale share 1 " + shareCode(id)))
	row("share", "share", field{"what", "sheet"}, field{"secret_hash", secret[:]}, field{"made_name", "The patient"}, field{"made_role", "patient"}, field{"created_at", at},
		field{"expires_at", at.Add(48 * time.Hour)}, field{"opens_most", 3})
	row("private_item", "private", field{"kind", "metric"}, field{"metric", int(vital.BodyWeight)}, field{"marked_at", at}, field{"marked_by", "The patient"})
	row("patient_identifier", "identifier", field{"system", "urn:oid:1.2.36.2"}, field{"value", fmt.Sprint("I-", id)}, field{"key", fmt.Sprint("I-", id)}, field{"added_at", at})
	row("erasure", "erasure", field{"number", requestNumber(c)}, field{"state", "asked"}, field{"asked_role", "patient"}, field{"asked_at", at})
	row("measurement_pause", "pause", field{"kind", "hospital"}, field{"from_at", at}, field{"reason", "She fell."}, field{"author_name", "A nurse"}, field{"created_at", at})
	row("technique_doubt", "doubt", field{"sensor_id", id}, field{"metric", int(vital.HeartRate)}, field{"sent_at", at}, field{"tie", 1}, field{"measured_at", at}, field{"reading_id", id},
		field{"kind", "other_person"}, field{"compared", []float64{70}}, field{"raised_at", at})
	helper := id
	if c == own {
		helper = person{k, account.CaregiverRole}.number()
	}
	row("guardian_request", "request", field{"caregiver_id", helper}, field{"purpose", "research"}, field{"version", 1}, field{"choice", "given"}, field{"made_at", at})
	row("possible_double", "double", field{"other_id", spare(k, c)}, field{"found_at", at})
	content := sha256.Sum256(fmt.Append(nil, "import ", id))
	in.add("import", field{"org_id", org}, field{"id", id}, field{"uid", townUID("import", id)}, field{"kind", "patients"}, field{"hash", content[:]}, field{"options", map[string]any{}},
		field{"rows", 0}, field{"state", "done"}, field{"actor_name", "Desk"}, field{"created_at", at}, field{"finished_at", at})
}

func deviceName(number int) string { return fmt.Sprintf("cuff-%d", number) }
