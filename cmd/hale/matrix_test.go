package main

import (
	"context"
	"fmt"
	"net/http"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5"

	"hale/account"
)

// atOnce is how many requests of the town are under way at the same time.
const atOnce = 8

// accessTable is the expectation, for people to read.
const accessTable = "testdata/access.txt"

// readTable returns the cells of the table by route, with the columns as the heading names them.
func readTable(t *testing.T) map[string][]string {
	t.Helper()
	text, err := os.ReadFile(accessTable)
	if err != nil {
		t.Fatal(err)
	}
	rows, roles := map[string][]string{}, columns()
	for i, line := range strings.Split(string(text), "\n") {
		if strings.HasPrefix(line, "#") || strings.TrimSpace(line) == "" {
			continue
		}
		parts := strings.Fields(line)
		cut := len(parts) - len(roles)
		if cut < 1 {
			t.Fatalf("%s:%d: a row has a route and %d cells", accessTable, i+1, len(roles))
		}
		route, cells := strings.Join(parts[:cut], " "), parts[cut:]
		if _, twice := rows[route]; twice {
			t.Errorf("%s:%d: there are two rows of %s", accessTable, i+1, route)
		}
		rows[route] = cells
	}
	for i, name := range rows["route"] {
		if name != string(roles[i]) {
			t.Fatalf("%s: column %d is of %s, want %s", accessTable, i+1, name, roles[i])
		}
	}
	delete(rows, "route")
	return rows
}

// TestWhoMaySeeAndDoWhat asks every route of the server, as every role, about a patient of every class.
func TestWhoMaySeeAndDoWhat(t *testing.T) {
	t.Parallel()
	want := readTable(t)
	w := newTown(t)
	var list []question
	for _, r := range w.server.server.App().GetRoutes(true) {
		if r.Method != http.MethodHead { // a GET without its body
			list = append(list, questions(t, r.Method, r.Path)...)
		}
	}
	slices.SortFunc(list, func(a, b question) int { return strings.Compare(a.route, b.route) })
	list = slices.CompactFunc(list, func(a, b question) bool { return a.route == b.route })
	got, asked := w.askAll(t, list)
	w.actsAreWritten(t, list, asked, got)
	for _, q := range list {
		row := line(q.route, got[q.route])
		cells, some := want[q.route]
		switch {
		case !some:
			t.Errorf("%s has no row of this route. This is what happens now; write down what should:\n%s%s", accessTable, row, w.why(q.route))
		case !slices.Equal(cells, got[q.route]):
			t.Errorf("%s\nnow:\n%s\nthe table says:\n%s%s", difference(q.route, cells, got[q.route]), row, line(q.route, cells), w.why(q.route))
		}
		delete(want, q.route)
	}
	for route := range want {
		t.Errorf("%s has a row of %s, which is no route of the server", accessTable, route)
	}
}

// line is a row as it stands in the table.
func line(route string, cells []string) string {
	text := fmt.Sprintf("%-66s ", route)
	for i, c := range cells {
		text += fmt.Sprintf("%-*s ", max(len(columns()[i]), len("ok/404/404"))+1, c)
	}
	return strings.TrimRight(text, " ")
}

func difference(route string, want, got []string) string {
	var parts []string
	for i, role := range columns() {
		if want[i] != got[i] {
			parts = append(parts, fmt.Sprintf("%s gets %s, should get %s", role, got[i], want[i]))
		}
	}
	return route + ": " + strings.Join(parts, "; ")
}

// askAll returns the cells of every question, by route, and who asked each: of what changes something, everybody in another scene.
func (w *town) askAll(t *testing.T, list []question) (map[string][]string, [][]person) {
	t.Helper()
	got := map[string][]string{}
	for _, q := range list {
		got[q.route] = make([]string, len(columns()))
	}
	scenes := 1 // the first is for those who only look
	scene := func(q question) int {
		if !q.changes() {
			return 0
		}
		scenes++
		return scenes - 1
	}
	asked := make([][]person, len(list))
	for i, q := range list {
		for _, role := range columns() {
			asked[i] = append(asked[i], person{Scene: scene(q), Role: role})
		}
	}
	w.settle(t, scenes)
	w.arrange(t, list, asked)
	var group sync.WaitGroup
	slots := make(chan struct{}, atOnce)
	for i, q := range list {
		for j, p := range asked[i] {
			slots <- struct{}{}
			group.Go(func() {
				defer func() { <-slots }()
				got[q.route][j] = w.cell(t, q, p)
			})
		}
	}
	group.Wait()
	return got, asked
}

// arrange brings the things of every question into the state that it needs.
func (w *town) arrange(t *testing.T, list []question, asked [][]person) {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), w.db.AdminURL())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close(context.Background()) }()
	var batch pgx.Batch
	for i, q := range list {
		for _, p := range asked[i] {
			for _, c := range classes() {
				for _, statement := range q.state {
					batch.Queue(fill(statement, w.things(p, c)))
				}
			}
		}
	}
	if err := conn.SendBatch(t.Context(), &batch).Close(); err != nil {
		t.Fatalf("arrange the scenes: %v", err)
	}
}

// cell asks one question as one person and says in a word what came of it; see the head of the table.
func (w *town) cell(t *testing.T, q question, p person) string {
	t.Helper()
	if !q.concerns() {
		a := w.ask(t, q, p, own, false)
		w.strangersFirst(t, q, p, outcome(a))
		w.note(q, p, a)
		if seen := w.seen(p, a, ""); outcome(a) == "ok" && seen != "" {
			return seen
		}
		return outcome(a)
	}
	absent := w.ask(t, q, p, missing, false)
	w.strangersFirst(t, q, p, outcome(absent))
	var words []string
	for _, c := range []class{away, other, own} { // the one that may change something comes last
		a := w.ask(t, q, p, c, false)
		w.note(q, p, a)
		words = append([]string{outcome(a)}, words...)
		asked := fill(q.path+q.json+q.form, w.things(p, c))
		if p.Role == account.SelfRole {
			asked += patientName(p.Scene, own) // who stands at the top of every page of theirs
		}
		switch seen := w.seen(p, a, asked); {
		case outcome(a) == "ok" && q.listing() && seen != "":
			words[0] = seen
		case seen != "" && (!reached(a) || seen != c.String()):
			words[0] += "!shows-" + seen
		}
		if a.status == http.StatusNotFound {
			w.spoiltTellsNothing(t, q, p, c)
			if x, y := a.plain(q, w.things(p, c)), absent.plain(q, w.things(p, missing)); x != y {
				t.Errorf("%s as %s: a thing of class %s and one that does not exist are answered differently: %s", q.route, p.Role, c, diffLines(x, y))
			}
		}
	}
	if words[0] == words[1] && words[1] == words[2] {
		return words[0]
	}
	return strings.Join(words, "/")
}

// reached reports whether the answer lets the person see the thing, though it may say that what was asked of it cannot be done.
func reached(a reply) bool {
	return outcome(a) == "ok" || slices.Contains([]int{http.StatusConflict, http.StatusGone, http.StatusUnprocessableEntity}, a.status)
}

// outcome is an answer in one word.
func outcome(a reply) string {
	switch {
	case a.status == http.StatusSeeOther && strings.HasPrefix(a.header.Get("Location"), "/signin"):
		return "signin"
	case a.status >= 200 && a.status < 300 || a.status == http.StatusSeeOther:
		return "ok"
	}
	return fmt.Sprint(a.status)
}

// note keeps what was said of a request that was not understood, or that failed: the table's reader has to mend the request.
func (w *town) note(q question, p person, a reply) {
	if a.status != http.StatusBadRequest && a.status != http.StatusUnprocessableEntity && a.status < http.StatusInternalServerError {
		return
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	text := a.body
	if _, page, html := strings.Cut(text, "<main"); html {
		text = page
	}
	w.notes[q.route] = fmt.Sprintf("\n%d to %s: %.400s", a.status, p.Role, text)
}

func (w *town) why(route string) string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.notes[route]
}

// seen names the classes of the patients who are in an answer, by more than the question held.
func (w *town) seen(p person, a reply, asked string) string {
	var list []string
	for _, c := range classes() {
		n := one(p.Scene, c)
		for _, mark := range []string{patientName(p.Scene, c), townUID("patient", n), townUID("alert", n), deviceName(n), fmt.Sprintf("N-%d", n)} {
			if strings.Contains(a.body, mark) && !strings.Contains(asked, mark) && !slices.Contains(list, c.String()) {
				list = append(list, c.String())
			}
		}
	}
	return strings.Join(list, "+")
}

// spoiltTellsNothing sends what nobody can read: what is said of it does not depend on whether the thing exists.
func (w *town) spoiltTellsNothing(t *testing.T, q question, p person, c class) {
	t.Helper()
	if q.json == "" && q.form == "" {
		return
	}
	x, y := w.ask(t, q, p, c, true).plain(q, w.things(p, c)), w.ask(t, q, p, missing, true).plain(q, w.things(p, missing))
	if x != y {
		t.Errorf("%s as %s: a request that cannot be read is answered differently about %s and about what does not exist: %s", q.route, p.Role, c, diffLines(x, y))
	}
}

// strangersFirst sends what nobody can read without a session: it is refused as what can be read is, with want.
func (w *town) strangersFirst(t *testing.T, q question, p person, want string) {
	t.Helper()
	if p.Role != nobody || strings.HasPrefix(want, "ok") || q.json == "" && q.form == "" {
		return
	}
	if a := w.ask(t, q, p, own, true); outcome(a) != want {
		t.Errorf("%s, without a session and with a body that cannot be read: %d %s", q.route, a.status, a.body)
	}
}

// diffLines are the lines by which two texts differ, without those around them.
func diffLines(x, y string) string {
	var list []string
	for line := range strings.Lines(cmp.Diff(strings.Split(x, "\n"), strings.Split(y, "\n"))) {
		if strings.HasPrefix(line, "-") || strings.HasPrefix(line, "+") {
			list = append(list, "\n"+line[:1]+" "+strings.TrimSpace(line[1:]))
		}
	}
	return strings.Join(list, "")
}
