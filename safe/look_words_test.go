package safe_test

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"hale/account"
	"hale/safe"
)

// writtenActions finds the actions of audit rows that stand as texts in the program's sources.
func writtenActions(t *testing.T) map[string]bool {
	t.Helper()
	found := map[string]bool{}
	written := regexp.MustCompile(`(?:Action: +|auditMerge\(ctx, tx, actor, now, |AmendErasure\(ctx, actor, uid, |noteCommand\(ctx, tx, actor, now, |o\.act\(ctx, login, )"([^"]+)"`)
	for _, dir := range []string{"account", "safe", "postgres", "alerts", "api", "web", "cmd"} {
		err := filepath.WalkDir(filepath.Join("..", dir), func(path string, _ fs.DirEntry, err error) error {
			if err != nil || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") || strings.HasSuffix(path, "look_words.go") {
				return err
			}
			text, err := os.ReadFile(path)
			for _, m := range written.FindAllSubmatch(text, -1) {
				found[string(m[1])] = true
			}
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	return found
}

func TestEveryActHasWords(t *testing.T) {
	t.Parallel()
	actions := writtenActions(t)
	if len(actions) < 30 {
		t.Fatalf("only %d actions were found in the sources", len(actions))
	}
	for _, a := range account.Actions() {
		actions[string(a)] = true
	}
	for _, kind := range []string{"opened", "occurred", "worsened", "cleared", "resumed", "annotated", "acknowledged", "resolved", "noted"} { // alerts.EntryKind
		actions["alert "+kind] = true
	}
	for _, state := range []string{"done", "undone", "failed"} {
		actions["merge "+state] = true
	}
	for _, kind := range []string{"opened", "worsened", "acknowledged", "closed", "claimed", "overdue"} {
		actions["unverified red "+kind] = true
	}
	for _, what := range []string{"made", "device added", "device taken out", "issued", "confirmed", "accepted", "returned", "cleaning", "cleaned", "retired"} { // devices.KitWhat
		actions["kit: "+what] = true
	}
	for _, state := range []string{"new", "seen", "snoozed"} { // devices.ProblemState
		actions["device problem "+state] = true
	}
	for _, a := range []string{"look", "alert ", "merge ", "unverified red ", "kit: ", "device problem "} {
		delete(actions, a)
	}
	for a := range actions {
		l := safe.Look{Name: "Ana", Role: account.Nurse, Action: a, Detail: "made"}
		did := l.Did(safe.Yours)
		if strings.Contains(did, "something else") || strings.ContainsAny(did, "{}_") {
			t.Errorf("%q is told as %q", a, did)
		}
	}
}

func TestEveryThingThatIsLookedAtHasWords(t *testing.T) {
	t.Parallel()
	for _, object := range []string{
		"worklist", "alerts", "alert 1", "limits", "looks", "corrections", "sheet", "consents", "caregivers", "private items", "end of care", "identity", "sessions", "refiles", "erasures", "merges", "shares", "copy", "device cuff-1", "schedule", "technique",
	} {
		l := safe.Look{Name: "Ana", Role: account.Nurse, Action: account.LookAction, Object: object}
		if did := l.Did(safe.Yours); did == "looked at your record" {
			t.Errorf("a look at %q is told as one at the record", object)
		}
	}
	for _, c := range []struct{ action, object, detail, want string }{
		{account.LookAction, "share 01", "sheet, opened from 192.0.2.7", "looked at your emergency sheet, from the internet address 192.0.2.7"},
		{account.LookAction, "share 01", "month, opened from 192.0.2.7", "looked at your emergency sheet and what was measured in the last month, from the internet address 192.0.2.7"},
		{account.LookAction, "device cuff-1", "", "looked at what your device “cuff-1” sent that could not be used"},
		{account.LookAction, "patient 1", "series_v2", "looked at your record"},
		{"assign device", "sensor cuff-1", "from 2026-03-03T14:05:00Z", "gave the device “cuff-1” to you"},
		{"ask for a correction", "correction 01", "withdrawn", "took back the wish for a correction"},
		{"record consent", "request 01", "asks the team: research given", "asked the care team to change what you agreed to"},
		{"let oneself in", "refile 01", "", "moved readings of yours to a record that they saw, and so opened them to themselves"},
		{"let oneself in", "merge 01", "", "joined your record with one that they saw, and so opened it to themselves"},
		{"record consent", "request 01", "refused", "refused what a guardian had asked for on a consent of yours"},
		{"end care", "patient 1", "told", "wrote down that you know that nobody watches any more"},
		{"end care", "patient 1", "readmitted", "took you into care again"},
		{"break the glass", "glass 1", "until 2026-03-03T15:05:00Z", "opened your record in an emergency, without being of your care team"},
	} {
		l := safe.Look{Name: "Ana", Role: account.Nurse, Action: c.action, Object: c.object, Detail: c.detail}
		if did := l.Did(safe.Yours); did != c.want {
			t.Errorf("%s %s: %q, want %q", c.action, c.detail, did, c.want)
		}
	}
	l := safe.Look{Name: "Ana", Role: account.Nurse, Action: account.LookAction, Object: "patient 1", Detail: "alert blood_pressure"}
	if did := l.Did(safe.Yours); did != "looked at your blood pressure around an alert" {
		t.Error(did)
	}
}
