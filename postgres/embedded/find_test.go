package embedded_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"hale/fault"
	"hale/postgres/embedded"
)

// programs puts stand-ins for PostgreSQL's programs into a directory.
func programs(t *testing.T, dir, version string) {
	t.Helper()
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	script := fmt.Sprintf("#!/bin/sh\necho 'postgres (PostgreSQL) %s'\n", version)
	for _, name := range []string{"postgres", "initdb"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(script), 0o755); err != nil {
			t.Fatal(err)
		}
	}
}

func TestFind(t *testing.T) {
	t.Parallel()
	const debian, redHat, homebrew = "usr/lib/postgresql/%s/bin", "usr/pgsql-%s/bin", "opt/homebrew/opt/postgresql@%s/bin"
	cases := map[string]struct {
		there   map[string]string // directory below the root -> what the server there says of itself
		path    string            // the directory below the root that is on PATH
		given   string            // the directory below the root that is given
		cluster string            // who wrote the data that are there
		want    string
		version int
		kind    fault.Kind
		says    string
	}{
		"the newest of Debian's is taken, by number and not by name": {
			there: map[string]string{fmt.Sprintf(debian, "9.6"): "9.6.24", fmt.Sprintf(debian, "16"): "16.2 (Debian 16.2-1)", fmt.Sprintf(debian, "15"): "15.18"},
			want:  fmt.Sprintf(debian, "16"), version: 16,
		},
		"Red Hat's place is known":             {there: map[string]string{fmt.Sprintf(redHat, "17"): "17.1"}, want: fmt.Sprintf(redHat, "17"), version: 17},
		"Homebrew's place is known":            {there: map[string]string{fmt.Sprintf(homebrew, "15"): "15.4 (Homebrew)"}, want: fmt.Sprintf(homebrew, "15"), version: 15},
		"a version in the making counts":       {there: map[string]string{fmt.Sprintf(debian, "19"): "19beta1"}, want: fmt.Sprintf(debian, "19"), version: 19},
		"the PATH is searched last":            {there: map[string]string{"elsewhere": "18.0"}, path: "elsewhere", want: "elsewhere", version: 18},
		"what is too old is named":             {there: map[string]string{fmt.Sprintf(debian, "14"): "14.9"}, kind: fault.NotFound, says: "PostgreSQL 15 or later is needed, and this machine has only 14"},
		"a machine without any is told so":     {kind: fault.NotFound, says: "this machine has none"},
		"a given directory is the only one":    {there: map[string]string{fmt.Sprintf(debian, "16"): "16.2", "mine": "15.1"}, given: "mine", want: "mine", version: 15},
		"an empty given directory is an error": {there: map[string]string{fmt.Sprintf(debian, "16"): "16.2"}, given: "mine", kind: fault.Invalid, says: "/mine does not hold initdb and postgres: unset it or name the right directory"},
		"a given one that is too old is an error": {
			there: map[string]string{"mine": "13.1"}, given: "mine", kind: fault.Invalid, says: "holds PostgreSQL 13, and PostgreSQL 15 or later is needed",
		},
		"data are served by the version that wrote them": {
			there:   map[string]string{fmt.Sprintf(debian, "17"): "17.2", fmt.Sprintf(debian, "15"): "15.18"},
			cluster: "15", want: fmt.Sprintf(debian, "15"), version: 15,
		},
		"data of a version that is gone are not touched by another": {
			there: map[string]string{fmt.Sprintf(debian, "17"): "17.2"}, cluster: "15", kind: fault.NotFound, says: "PostgreSQL 15 (the data were written by it) is needed",
		},
		"what says no version is passed over": {there: map[string]string{fmt.Sprintf(debian, "16"): "unknown"}, kind: fault.NotFound, says: "this machine has none"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			root := t.TempDir()
			for dir, version := range c.there {
				programs(t, filepath.Join(root, dir), version)
			}
			cfg := embedded.Config{Dir: filepath.Join(root, "data"), SearchRoot: root}
			if c.path != "" {
				cfg.PathEnv = "relative:/nowhere:" + filepath.Join(root, c.path)
			}
			if c.given != "" {
				cfg.BinDir = filepath.Join(root, c.given)
			}
			if c.cluster != "" {
				if err := os.MkdirAll(filepath.Join(cfg.Dir, "postgres"), 0o700); err != nil {
					t.Fatal(err)
				}
				if err := os.WriteFile(filepath.Join(cfg.Dir, "postgres", "PG_VERSION"), []byte(c.cluster+"\n"), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			bin, version, err := embedded.Find(cfg)
			if c.kind != "" {
				if given := "HALE_PG_BIN=" + cfg.BinDir + " "; c.given != "" && !strings.HasPrefix(fault.MessageOf(err), given) {
					t.Errorf("it says %v, and not who gave the directory", err)
				}
				if !fault.Is(err, c.kind) || !strings.Contains(err.Error(), c.says) {
					t.Errorf("it says %v, want %s with %q", err, c.kind, c.says)
				}
				return
			}
			if err != nil || bin != filepath.Join(root, c.want) || version != c.version {
				t.Errorf("found %s, %d (%v), want %s, %d", bin, version, err, c.want, c.version)
			}
		})
	}
}

// debian returns a search root that looks like an empty Debian.
func debian(t *testing.T) string {
	t.Helper()
	root := room(t)
	if err := os.Mkdir(filepath.Join(root, "etc"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(root, "etc", "os-release"), []byte("NAME=\"Debian\"\nID=debian\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	return root
}

func TestStartInstallsNothingUnlessAllowed(t *testing.T) {
	t.Parallel()
	root := debian(t)
	called := filepath.Join(root, "called")
	tools := filepath.Join(root, "tools")
	if err := os.Mkdir(tools, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(tools, "apt-get"), []byte("#!/bin/sh\necho called >"+called+"\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	cfg := embedded.Config{Dir: filepath.Join(root, "data"), SearchRoot: root, PathEnv: tools, Install: false}
	_, err := embedded.Start(t.Context(), cfg)
	if !fault.Is(err, fault.Unavailable) || !strings.Contains(fault.MessageOf(err), "apt-get install -y --no-install-recommends postgresql") ||
		!strings.Contains(fault.MessageOf(err), "create_main_cluster = false") {
		t.Errorf("it says %v", err)
	}
	if _, err := os.Stat(called); !os.IsNotExist(err) {
		t.Error("apt-get was called")
	}
}
