package embedded

import (
	"bytes"
	"cmp"
	"context"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"hale/fault"
)

const (
	oldest       = 15 // the oldest PostgreSQL that Hale's SQL is written for
	probeTimeout = 10 * time.Second
)

// Find returns the directory of the PostgreSQL programs to use and their major version, 15 or later. It looks at
// cfg.BinDir alone if that is given; else where Debian, the PostgreSQL project's own packages and Homebrew put them,
// the newest first, and then in cfg.PathEnv. If cfg.Dir holds a cluster already, only the version that made it will do.
// It returns fault.NotFound when there is none and fault.Invalid when cfg.BinDir cannot be used.
func Find(cfg Config) (binDir string, version int, err error) {
	return find(context.Background(), cfg.withDefaults())
}

func find(ctx context.Context, cfg Config) (binDir string, version int, err error) {
	made := clusterVersion(cfg.Dir)
	fits := func(v int) bool { return v >= oldest && (made == 0 || v == made) }
	if cfg.BinDir != "" {
		v, err := programVersion(ctx, cfg.BinDir)
		if err != nil {
			return "", 0, fault.Wrap(fault.Invalid, err, "HALE_PG_BIN=%s does not hold initdb and postgres: unset it or name the right directory", cfg.BinDir)
		}
		if !fits(v) {
			return "", 0, fault.New(fault.Invalid, "HALE_PG_BIN=%s holds PostgreSQL %d, and %s is needed: unset it or name the right directory", cfg.BinDir, v, needed(made))
		}
		return cfg.BinDir, v, nil
	}
	var others []string
	for _, dir := range places(cfg) {
		v, err := programVersion(ctx, dir)
		switch {
		case err != nil: // a half installed version is no reason to give up on a whole one
		case fits(v):
			return dir, v, nil
		default:
			others = append(others, strconv.Itoa(v))
		}
	}
	if len(others) > 0 {
		return "", 0, fault.New(fault.NotFound, "%s is needed, and this machine has only %s",
			needed(made), strings.Join(slices.Compact(others), ", "))
	}
	return "", 0, fault.New(fault.NotFound, "%s is needed, and this machine has none", needed(made))
}

// needed says in words which version will do.
func needed(made int) string {
	if made == 0 {
		return "PostgreSQL " + strconv.Itoa(oldest) + " or later"
	}
	return "PostgreSQL " + strconv.Itoa(made) + " (the data were written by it)"
}

// clusterVersion returns the major version that made the cluster in Hale's data directory, 0 when there is none.
func clusterVersion(dir string) int {
	text, err := os.ReadFile(filepath.Join(dir, clusterName, "PG_VERSION")) //nolint:gosec // G304: below the directory we are given
	if err != nil {
		return 0
	}
	v, err := strconv.Atoi(string(bytes.TrimSpace(text)))
	if err != nil {
		return 0
	}
	return v
}

// places lists the directories that hold both programs, in the order of preference.
func places(cfg Config) []string {
	var dirs []string
	for _, pattern := range []string{
		"usr/lib/postgresql/*/bin",         // Debian, Ubuntu
		"usr/pgsql-*/bin",                  // the PostgreSQL project's packages for Red Hat's systems
		"opt/homebrew/opt/postgresql*/bin", // Homebrew on Apple silicon
		"usr/local/opt/postgresql*/bin",    // Homebrew on Intel
	} {
		found, err := filepath.Glob(filepath.Join(cfg.SearchRoot, pattern))
		if err != nil {
			continue // a search root that is no pattern; the next place may be
		}
		slices.SortFunc(found, func(a, b string) int { return cmp.Compare(numberIn(b), numberIn(a)) })
		dirs = append(dirs, found...)
	}
	dirs = append(dirs, filepath.SplitList(cfg.PathEnv)...)
	return slices.DeleteFunc(dirs, func(dir string) bool {
		return !filepath.IsAbs(dir) || !executable(filepath.Join(dir, "postgres")) || !executable(filepath.Join(dir, "initdb"))
	})
}

// numberIn returns the version in a directory's name, such as 15 in .../postgresql/15/bin. A folder without a number
// (Homebrew's "postgresql") is looked at last.
func numberIn(dir string) int {
	_, tail, _ := strings.Cut(filepath.Base(filepath.Dir(dir)), "@")
	if tail == "" {
		tail = strings.TrimPrefix(filepath.Base(filepath.Dir(dir)), "pgsql-")
	}
	n, err := strconv.Atoi(tail)
	if err != nil {
		return 0
	}
	return n
}

func executable(name string) bool {
	info, err := os.Stat(name)
	return err == nil && info.Mode().IsRegular() && info.Mode()&0o111 != 0
}

// versionLine matches what the server says of itself: "postgres (PostgreSQL) 15.18 (Debian 15.18-0+deb12u1)".
var versionLine = regexp.MustCompile(`^postgres \(PostgreSQL\) (\d+)`)

// programVersion asks the server in a directory for its major version.
func programVersion(ctx context.Context, dir string) (int, error) {
	for _, name := range []string{"postgres", "initdb"} {
		if !executable(filepath.Join(dir, name)) {
			return 0, &fs.PathError{Op: "find", Path: filepath.Join(dir, name), Err: fs.ErrNotExist}
		}
	}
	ctx, cancel := context.WithTimeout(ctx, probeTimeout)
	defer cancel()
	out, err := tool{path: filepath.Join(dir, "postgres"), args: []string{"--version"}}.run(ctx)
	if err != nil {
		return 0, err
	}
	match := versionLine.FindSubmatch(out)
	if match == nil {
		return 0, fault.New(fault.Invalid, "%s does not say its version", filepath.Join(dir, "postgres"))
	}
	return strconv.Atoi(string(match[1]))
}
