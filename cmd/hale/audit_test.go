package main

import (
	"bytes"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"hale/fault"
)

// hale runs a command in this process, and returns how it ended and what it said.
func hale(t *testing.T, args ...string) (code int, said string) {
	t.Helper()
	var out bytes.Buffer
	code = run(t.Context(), args, &out, &out, func(string) string { return "" })
	return code, out.String()
}

// TestTheAuditTrailOfARunningHaleIsSealedExportedAndVerified goes the whole way of an operator.
func TestTheAuditTrailOfARunningHaleIsSealedExportedAndVerified(t *testing.T) {
	t.Parallel()
	dir := dataDir(t)
	_, told := up(t, dir, "--no-demo")
	newKit(t, signIn(t, told), "cuff-audit", time.Now().Add(-time.Hour))
	tmp := t.TempDir()
	key := filepath.Join(dir, sealKeyName)

	first := filepath.Join(tmp, "first.jsonl")
	eventually(t, 20*time.Second, func() string { // until the acts are sealed
		_ = os.Remove(first)
		if code, said := hale(t, "audit", "export", "--organisation", organisation, "--data", dir, "--out", first); code != 0 {
			t.Fatal(said)
		}
		text, err := os.ReadFile(first)
		if err != nil {
			t.Fatal(err)
		}
		for _, action := range []string{"sign in", "add patient", "enrol device", "assign device"} {
			if sealed := `"action":"` + action + `"`; !containsLine(string(text), `{"row":`, sealed) {
				return action + " is not sealed"
			}
		}
		return ""
	})
	if info, err := os.Stat(first); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the export has mode %v, %v", info, err)
	}
	code, said := hale(t, "audit", "verify", first, "--key", key+publicSuffix)
	if code != 0 || !strings.Contains(said, "holds") || !strings.Contains(said, "by 1 checkpoint") {
		t.Errorf("verify ended with %d: %s", code, said)
	}
	if code, said = hale(t, "audit", "export", "--organisation", organisation, "--data", dir, "--out", first); code != 1 || !strings.Contains(said, "is there already") {
		t.Errorf("a second export over the first ended with %d: %s", code, said)
	}
	nothing := filepath.Join(tmp, "nothing.jsonl")
	if code, said = hale(t, "audit", "export", "--org", "Nowhere", "--data", dir, "--out", nothing); code != 1 || !strings.Contains(said, "no organisation") {
		t.Errorf("an export of nobody ended with %d: %s", code, said)
	}
	if _, err := os.Stat(nothing); err == nil {
		t.Error("an export that failed left a file")
	}

	second := filepath.Join(tmp, "second.jsonl")
	if code, said = hale(t, "audit", "export", "--organisation", organisation, "--data", dir, "--out", second); code != 0 {
		t.Fatal(said)
	}
	if code, said = hale(t, "audit", "verify", second, "--since", first); code != 0 {
		t.Errorf("the second does not continue the first: %s", said)
	}
	text, err := os.ReadFile(second)
	if err != nil {
		t.Fatal(err)
	}
	changed := filepath.Join(tmp, "changed.jsonl")
	if err := os.WriteFile(changed, bytes.Replace(text, []byte(`"add patient"`), []byte(`"see patients"`), 1), 0o600); err != nil {
		t.Fatal(err)
	}
	if code, said = hale(t, "audit", "verify", changed); code != 1 || !strings.Contains(said, "was changed") {
		t.Errorf("verify of a changed export ended with %d: %s", code, said)
	}
	if code, said = hale(t, "audit", "verify", second, "--key", strings.Repeat("ab", 32)); code != 1 || !strings.Contains(said, "forged") {
		t.Errorf("verify by another key ended with %d: %s", code, said)
	}
}

// containsLine reports whether a line that begins so contains a text.
func containsLine(text, begin, what string) bool {
	for line := range strings.Lines(text) {
		if strings.HasPrefix(line, begin) && strings.Contains(line, what) {
			return true
		}
	}
	return false
}

func TestTheAuditKeyIsMadeOnceAndKeptFromOthers(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), sealKeyName)
	made, err := openSealKey(path)
	if err != nil {
		t.Fatal(err)
	}
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the key has mode %v, %v", info, err)
	}
	again, err := openSealKey(path)
	if err != nil || !again.Equal(made) {
		t.Errorf("another key the second time: %v", err)
	}
	if shown, err := publicKey(path + publicSuffix); err != nil || !shown.Equal(made.Public()) {
		t.Errorf("the public half is another: %v", err)
	}
	if left, err := fs.Glob(os.DirFS(filepath.Dir(path)), "*.new-*"); err != nil || len(left) > 0 {
		t.Errorf("%v is left over, %v", left, err)
	}
	if err := os.Remove(path + publicSuffix); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(path+publicSuffix, 0o700); err != nil { // nothing can be written there
		t.Fatal(err)
	}
	if again, err = openSealKey(path); err != nil || !again.Equal(made) {
		t.Errorf("a key in a place where nothing can be written: %v", err)
	}
	if err := os.Chmod(path, 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := openSealKey(path); !fault.Is(err, fault.Invalid) {
		t.Errorf("a key that others can read: %v", err)
	}
	damaged := filepath.Join(t.TempDir(), sealKeyName)
	if err := os.WriteFile(damaged, []byte("damaged"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := openSealKey(damaged); !fault.Is(err, fault.Invalid) {
		t.Errorf("a damaged key: %v", err)
	}
	p := &program{log: watched(t)}
	if key, err := (&serveCommand{Roles: []string{roleAPI}, AuditKey: path}).sealKey(p); key != nil || err != nil {
		t.Errorf("a process that seals nothing took the key: %v", err)
	}
}
