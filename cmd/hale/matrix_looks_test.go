package main

import (
	"context"
	"net/http"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/jackc/pgx/v5"

	"hale/account"
)

// unlookedTable says, for people to read, what is shown without being written down, and why that is right.
const unlookedTable = "testdata/unlooked.txt"

// readUnlooked returns the reasons by route and role; the role is "all" or one of columns.
func readUnlooked(t *testing.T) map[[2]string]string {
	t.Helper()
	text, err := os.ReadFile(unlookedTable)
	if err != nil {
		t.Fatal(err)
	}
	rows := map[[2]string]string{}
	for i, line := range strings.Split(string(text), "\n") {
		if strings.HasPrefix(line, "#") || strings.TrimSpace(line) == "" {
			continue
		}
		parts := strings.Split(line, "|")
		if len(parts) != 3 || strings.TrimSpace(parts[2]) == "" {
			t.Fatalf("%s:%d: a row has a route, roles and a reason, with | between", unlookedTable, i+1)
		}
		for role := range strings.FieldsSeq(parts[1]) {
			rows[[2]string{strings.TrimSpace(parts[0]), role}] = strings.TrimSpace(parts[2])
		}
	}
	return rows
}

// TestWhatIsShownOfAPatientIsWrittenDown asks every GET of the server as everybody who is signed in. An answer that shows
// something of a patient leaves a row of the trail by them: about that patient, or about the list in which patients are named.
func TestWhatIsShownOfAPatientIsWrittenDown(t *testing.T) {
	t.Parallel()
	w, reasons, used := newTown(t), readUnlooked(t), map[[2]string]bool{}
	var list []question
	for _, r := range w.server.server.App().GetRoutes(true) {
		if r.Method == http.MethodGet {
			list = append(list, questions(t, r.Method, r.Path)...)
		}
	}
	slices.SortFunc(list, func(a, b question) int { return strings.Compare(a.route, b.route) })
	list = slices.CompactFunc(list, func(a, b question) bool { return a.route == b.route })
	asked := make([][]person, len(list)) // a scene for each route: no look stands for another
	for i := range list {
		for _, role := range columns() {
			if role != nobody {
				asked[i] = append(asked[i], person{Scene: i, Role: role})
			}
		}
	}
	w.settle(t, len(list))
	w.arrange(t, list, asked)
	shown := w.showAll(t, list, asked)
	rows := w.trail(t)
	for i, q := range list {
		for j, p := range asked[i] {
			if shown[i][j] == "" || slices.ContainsFunc(rows[p], func(r lookedAt) bool { return r.tells(q, p) }) {
				continue
			}
			reason := [2]string{q.route, string(p.Role)}
			if _, some := reasons[reason]; !some {
				reason[1] = "all"
			}
			if _, some := reasons[reason]; !some {
				t.Errorf("%s shows a %s %s, and the trail holds only %v: write the look down (account.Looks), or say in %s why not", q.route, p.Role, shown[i][j], rows[p], unlookedTable)
			}
			used[reason] = true
		}
	}
	for reason := range reasons {
		if !used[reason] {
			t.Errorf("%s excuses %s for %s, which needs no excuse", unlookedTable, reason[0], reason[1])
		}
	}
}

// showAll asks every question about the asker's own patient and says what each answer shows of patients: "" when nothing.
func (w *town) showAll(t *testing.T, list []question, asked [][]person) [][]string {
	t.Helper()
	shown := make([][]string, len(list))
	var group sync.WaitGroup
	slots := make(chan struct{}, atOnce)
	for i, q := range list {
		shown[i] = make([]string, len(asked[i]))
		for j, p := range asked[i] {
			slots <- struct{}{}
			group.Go(func() {
				defer func() { <-slots }()
				a := w.ask(t, q, p, own, false)
				if a.status != http.StatusOK {
					return
				}
				known := fill(q.path, w.things(p, own))
				if p.Role == account.SelfRole {
					known += patientName(p.Scene, own) + townUID("patient", one(p.Scene, own)) // of every page of theirs
				}
				switch seen := w.seen(p, a, known); {
				case q.concerns() && !q.listing():
					shown[i][j] = "something of a patient"
				case seen != "":
					shown[i][j] = "a list with patients (" + seen + ")"
				}
			})
		}
	}
	group.Wait()
	return shown
}

// lookedAt is a row of the trail.
type lookedAt struct {
	Patient int
	Action  string
	Object  string
}

// tells reports whether the row is about what the question shows: the patient of its path, or any list.
func (r lookedAt) tells(q question, p person) bool {
	if r.Patient != 0 || q.concerns() && !q.listing() {
		return r.Patient == one(p.Scene, own) || r.Patient == spare(p.Scene, own)
	}
	return r.Object != ""
}

// trail returns the rows that everybody of the town has left.
func (w *town) trail(t *testing.T) map[person][]lookedAt {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), w.db.AdminURL())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close(context.Background()) }()
	rows, err := conn.Query(t.Context(), `SELECT org_id, actor_role, coalesce(patient_id, 0), action, object FROM audit WHERE org_id >= $1`, townFirst)
	if err != nil {
		t.Fatal(err)
	}
	by := map[person][]lookedAt{}
	var org int
	var role string
	var r lookedAt
	if _, err := pgx.ForEachRow(rows, []any{&org, &role, &r.Patient, &r.Action, &r.Object}, func() error {
		p := person{Scene: (org - townFirst) / 2, Role: account.Role(role)}
		by[p] = append(by[p], r)
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	return by
}
