package main

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"hale/internal/pgtest"
)

// TestEveryVerbOfTheOperatorFindsTheRecordTheSameWay is one mistake, and one right call, through all verbs that act on the record.
func TestEveryVerbOfTheOperatorFindsTheRecordTheSameWay(t *testing.T) {
	t.Parallel()
	db := pgtest.New(t)
	dir := t.TempDir()
	rows := filepath.Join(dir, "rows.csv")
	if err := os.WriteFile(rows, []byte("login,name,role\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	ledger := filepath.Join(dir, "ledger.jsonl")
	if err := os.WriteFile(ledger, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	hale := func(env map[string]string, args ...string) string {
		t.Helper()
		var out, wrong bytes.Buffer
		if code := run(t.Context(), args, &out, &wrong, func(name string) string { return env[name] }); code == 2 {
			t.Errorf("%q is not understood: %s", args, wrong.String())
		}
		return out.String() + wrong.String()
	}
	if said := hale(nil, "organisation", "create", "Home", "--login", "ana", "--name", "Ana", "--database", db.AdminURL()); !strings.Contains(said, "can sign in") {
		t.Fatal(said)
	}
	out := filepath.Join(dir, "out")
	ofOrganisation := [][]string{
		{"staff", "--login", "nina", "--name", "Nina", "--role", "nurse"},
		{"keys", "create", "--name", "p", "--scope", "see patients"},
		{"keys", "list"},
		{"keys", "revoke", "--key", "0"},
		{"audit", "export", "--out", out},
		{"export", "--patient", "K-1", "--out", out},
		{"import", "patients", rows},
		{"import", "staff", rows},
		{"erase", "list"},
		{"erase", "receipt", "--number", "1", "--out", out},
	}
	others := [][]string{
		{"organisation", "create", "Other", "--login", "bo", "--name", "Bo"},
		{"organisation", "list"},
		{"staff", "sessions", "--login", "ana"},
		{"staff", "end-sessions", "--login", "ana"},
		{"staff", "reset-second-factor", "--login", "ana"},
		{"staff", "disable", "--login", "ana"},
		{"staff", "unlock", "--login", "ana"},
		{"erase", "ledger", "--out", out},
		{"erase", "replay", ledger},
		{"erase", "scrub"},
	}
	for _, verb := range ofOrganisation {
		for _, flag := range []string{"--organisation", "--org"} {
			if said := hale(nil, append(verb, flag, "Nowhere", "--database", db.AdminURL())...); !strings.Contains(said, `there is no organisation "Nowhere"; there are: Home.`) {
				t.Errorf("%q %s: %s", verb, flag, said)
			}
		}
		others = append(others, append(verb, "--organisation", "Home"))
	}
	for _, verb := range others {
		if said := hale(nil, append(verb, "--database", db.AdminURL(), "--data", dir)...); !strings.Contains(said, "choose one") {
			t.Errorf("%q with two records: %s", verb, said)
		}
		if said := hale(nil, append(verb, "--data", dir, "--database-password-file", ledger)...); !strings.Contains(said, "--database-password-file is for the --database") {
			t.Errorf("%q with a password for nothing: %s", verb, said)
		}
		if said := hale(nil, append(verb, "--database", "postgres://u@127.0.0.1:1/hale", "--database-password-file", ledger)...); !strings.Contains(said, "is empty") {
			t.Errorf("%q with an empty password: %s", verb, said)
		}
		if verb[1] == "replay" {
			continue // is for a directory that nobody serves
		}
		if said := hale(map[string]string{"DATABASE_URL": db.AdminURL()}, append(verb, "--database", db.AdminURL(), "--data", dir)...); !strings.Contains(said, "no `hale up` runs on "+dir) {
			t.Errorf("%q with --data and a database of the environment: %s", verb, said)
		}
		if _, err := os.Stat(out); err == nil {
			t.Errorf("%q left a file", verb)
		}
	}
}
