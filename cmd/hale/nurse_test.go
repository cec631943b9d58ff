package main

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"
)

// asNurse is the announcement as a nurse of the usual care team has it: whoever runs the place lets nobody sign in.
func asNurse(t *testing.T, told announcement) announcement {
	t.Helper()
	told.Login, told.Password = "ward-nurse", frontPassword
	file := filepath.Join(t.TempDir(), "password")
	if err := os.WriteFile(file, []byte(told.Password), 0o600); err != nil {
		t.Fatal(err)
	}
	var said, wrong bytes.Buffer
	set := []string{"staff", "--database", told.Database, "--organisation", organisation, "--login", told.Login, "--name", "Nina Nurse", "--role", "nurse", "--new-password-file", file}
	if code := run(t.Context(), set, &said, &wrong, func(string) string { return "" }); code != 0 {
		t.Fatal(wrong.String())
	}
	return told
}
