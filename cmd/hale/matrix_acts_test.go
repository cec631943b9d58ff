package main

import (
	"maps"
	"net/http"
	"os"
	"slices"
	"strings"
	"testing"

	"hale/account"
)

// actsTable says, for people to read, what stands in the trail after each request that changes something.
const actsTable = "testdata/acts.txt"

// act is what a request leaves in the trail.
type act struct {
	action string       // "" for one that changes nothing
	by     account.Role // "" for whoever asked
}

// readActs returns the acts by route.
func readActs(t *testing.T) map[string]act {
	t.Helper()
	text, err := os.ReadFile(actsTable)
	if err != nil {
		t.Fatal(err)
	}
	rows := map[string]act{}
	for i, line := range strings.Split(string(text), "\n") {
		if strings.HasPrefix(line, "#") || strings.TrimSpace(line) == "" {
			continue
		}
		parts := strings.Split(line, "|")
		if len(parts) != 3 {
			t.Fatalf("%s:%d: a row has a route, an action, and by whom or why none, with | between", actsTable, i+1)
		}
		route, action, by := strings.TrimSpace(parts[0]), strings.TrimSpace(parts[1]), strings.TrimSpace(parts[2])
		if _, twice := rows[route]; twice {
			t.Errorf("%s:%d: there are two rows of %s", actsTable, i+1, route)
		}
		switch {
		case action == "-" && by == "":
			t.Errorf("%s:%d: say why %s is not written down", actsTable, i+1, route)
		case action == "-":
			rows[route] = act{}
		default:
			rows[route] = act{action, account.Role(by)}
		}
	}
	return rows
}

// actsAreWritten compares what the trail holds after the questions with the table: who did something stands in it with that act.
// Everybody has asked each question in a scene of their own.
func (w *town) actsAreWritten(t *testing.T, list []question, asked [][]person, got map[string][]string) {
	t.Helper()
	want, trail := readActs(t), w.trail(t)
	for i, q := range list {
		if q.method == http.MethodGet {
			continue
		}
		a, some := want[q.route]
		delete(want, q.route)
		for j, p := range asked[i] {
			if !did(q, p, got[q.route][j]) {
				continue
			}
			by := p
			if a.by != "" {
				by.Role = a.by
			}
			if a.by == nobody {
				by.Role = "" // as it stands in the trail
			}
			switch found := w.inScene(trail, p.Scene); {
			case !some:
				t.Errorf("%s has no row of %s. By %s the trail holds %v: write down which of them it should hold", actsTable, q.route, p.Role, found)
			case a.action != "" && !slices.ContainsFunc(trail[by], func(r lookedAt) bool { return r.Action == a.action }):
				t.Errorf("%s, done by a %s, has left no %q by %s in the trail, which holds %v", q.route, p.Role, a.action, by.Role, found)
			}
		}
	}
	for route := range want {
		t.Errorf("%s has a row of %s, which nobody of the town can ask", actsTable, route)
	}
}

// did reports whether a cell says that somebody's question about their own patient was done. Signing out leads to the door, and
// ends nothing of those who have no session.
func did(q question, p person, cell string) bool {
	first, _, _ := strings.Cut(cell, "/")
	if q.route == "POST /signout" || q.route == "DELETE /v1/session" {
		return p.Role != nobody && p.Role != account.SystemRole
	}
	return strings.HasPrefix(first, "ok") || strings.HasPrefix(first, own.String())
}

// inScene are the actions of a scene, by whom they were done.
func (w *town) inScene(trail map[person][]lookedAt, scene int) []string {
	found := map[string]bool{}
	for p, rows := range trail {
		for _, r := range rows {
			if p.Scene == scene {
				found[string(p.Role)+": "+r.Action] = true
			}
		}
	}
	return slices.Sorted(maps.Keys(found))
}
