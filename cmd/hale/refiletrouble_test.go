package main

import (
	"strings"
	"testing"
	"time"

	"github.com/chromedp/chromedp"
	"github.com/jackc/pgx/v5"

	"hale/internal/browser"
	"hale/simulators"
)

// TestWhatStandsStillSaysWhatToDo lets a refile and a part of a merge fail for good, as a bad block would, on a phone and on a desk:
// each page says that it stands, why, and what to do, and that goes by itself when it is mended.
func TestWhatStandsStillSaysWhatToDo(t *testing.T) {
	t.Parallel()
	_, told := up(t, dataDir(t), "--demo=false")
	staff, api := signIn(t, told), newAsker(t, told)
	k, twice, stays := newKit(t, staff, "cuff-stuck", time.Now().Add(-48*time.Hour)), newKit(t, staff, "cuff-merged", time.Now().Add(-48*time.Hour)), newKit(t, staff, "cuff-stays", time.Now().Add(-48*time.Hour))
	right, err := staff.AddPatient(t.Context(), simulators.Person{Name: "Person whose it is", Number: "R-1", Sex: "unknown", Zone: "Europe/Ljubljana"})
	if err != nil {
		t.Fatal(err)
	}
	conn, err := pgx.Connect(t.Context(), told.Database)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close(t.Context()) })
	run := func(statement string) {
		t.Helper()
		if _, err := conn.Exec(t.Context(), statement); err != nil {
			t.Fatal(err)
		}
	}
	run(`CREATE FUNCTION broken() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'broken' USING ERRCODE = 'data_corrupted'; END $$;
CREATE TRIGGER broken BEFORE UPDATE ON refile FOR EACH ROW WHEN (NEW.state = 'running') EXECUTE FUNCTION broken()`)
	var made struct{ Merge, Refile struct{ ID string } }
	both := map[string]any{"patient": twice.patient.ID, "into": stays.patient.ID, "dry_run": true}
	var seen struct{ Comparison struct{ Confirm string } }
	api.ask("POST", "/v1/merges", both, 200, &seen)
	delete(both, "dry_run")
	both["reason"], both["confirm"], both["override"] = "enrolled twice", seen.Comparison.Confirm, "her daughter brought both cards"
	api.ask("POST", "/v1/merges", both, 202, &made)
	api.ask("POST", "/v1/refiles", map[string]any{
		"sensor": k.device, "from": time.Now().Add(-time.Hour), "owner": k.patient.ID, "belongs_to": right.ID, "reason": "the boxes were mixed up",
	}, 202, &made)
	run(`UPDATE refile SET attempts = 7, next_action_at = '-infinity'`) // seven times before

	tab := browser.Start(t).Tab(t, 390, 844)
	signInAt(tab, told)
	wide := tab.Another(1280, 900)
	see := func(name, path string, says ...string) {
		t.Helper()
		for suffix, one := range map[string]*browser.Tab{"": tab, "-wide": wide} {
			one.Open(told.URL + path)
			for _, words := range says {
				one.Until(name+" says "+words, `document.querySelector('main').textContent.includes("`+words+`")`)
			}
			one.Keep(name + suffix)
			if browser.Eval[bool](one, `document.documentElement.scrollWidth > innerWidth`) {
				t.Errorf("%s%s is wider than the screen", name, suffix)
			}
		}
	}
	see("merge-stands", "/merges/"+made.Merge.ID, "under way", "The readings of one device have not moved", "cuff-merged", "Tell whoever runs Hale")
	see("refile-failed", "/refiles/"+made.Refile.ID, "not done", "the log of Hale says why", "Nothing was changed")
	see("refile-failed-was", "/patients/"+k.patient.ID, "It was tried several times", "No reading of cuff-stuck was moved from here to")

	run(`DROP TRIGGER broken ON refile; UPDATE refile SET next_action_at = '-infinity'`)
	wide.Open(told.URL + "/merges/" + made.Merge.ID)
	wide.Until("it ends when that is mended", `document.querySelector('#progress').textContent.includes('done') && !document.querySelector('#progress').textContent.includes('have not moved')`)

	// Of one that failed the page says how to go on, also by the API.
	run(`UPDATE refile SET state = 'failed', problem = 'the sensor was not the patient''s at any moment of that time' WHERE merge_id IS NOT NULL`)
	see("merge-failed", "/merges/"+made.Merge.ID, "not the patient's at any moment", "Undo the merge, have that mended, and merge again")
	var m struct {
		Troubles []struct{ Problem, State string }
	}
	api.ask("GET", "/v1/merges/"+made.Merge.ID, nil, 200, &m)
	if len(m.Troubles) != 1 || m.Troubles[0].State != "failed" || !strings.Contains(m.Troubles[0].Problem, "at any moment") {
		t.Errorf("the API says %+v", m)
	}
	tab.Open(told.URL + "/merges/" + made.Merge.ID)
	tab.Do(chromedp.Click(`form.undo button`))
	tab.Until("it is undone", `document.querySelector('#progress').textContent.includes('undone')`)
	for _, complaint := range append(tab.Complaints(), wide.Complaints()...) {
		t.Errorf("the console says: %s", complaint)
	}
}
