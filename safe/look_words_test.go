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
	written := regexp.MustCompile(`(?:Action: +|auditMerge\(ctx, tx, actor, now, |AmendErasure\(ctx, actor, uid, |o\.act\(ctx, login, )"([^"]+)"`)
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
	for _, a := range []string{"look", "alert ", "merge "} {
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
		"worklist", "alerts", "alert 1", "limits", "looks", "corrections", "sheet", "consents", "caregivers", "private items", "end of care", "identity", "sessions", "refiles", "erasures",
	} {
		l := safe.Look{Name: "Ana", Role: account.Nurse, Action: account.LookAction, Object: object}
		if did := l.Did(safe.Yours); did == "looked at your record" {
			t.Errorf("a look at %q is told as one at the record", object)
		}
	}
	l := safe.Look{Name: "Ana", Role: account.Nurse, Action: account.LookAction, Object: "patient 1", Detail: "alert blood_pressure"}
	if did := l.Did(safe.Yours); did != "looked at your blood pressure around an alert" {
		t.Error(did)
	}
}
