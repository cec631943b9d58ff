package embedded

import (
	"bufio"
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"hale/fault"
)

const (
	createCluster = "etc/postgresql-common/createcluster.conf"
	noCluster     = "create_main_cluster = false"
	downloads     = "https://www.postgresql.org/download/"
)

// Install installs PostgreSQL from the distribution's package, which it does as root on a Debian-like system if
// cfg.Install allows it; the package does not get to start a server of its own. Anywhere else it returns
// fault.Unavailable with the one command that installs it.
func Install(ctx context.Context, cfg Config) error {
	return install(ctx, cfg.withDefaults(), os.Geteuid() == 0)
}

func install(ctx context.Context, cfg Config, root bool) error {
	sys, pkg := systemOf(cfg.SearchRoot), packageFor(cfg)
	_, _, missing := find(ctx, cfg)
	apt := lookPath(cfg.PathEnv, "apt-get")
	if !cfg.Install || !root || !sys.is("debian") || apt == "" {
		return fault.New(fault.Unavailable, "%s; this installs it:\n  %s", fault.MessageOf(orNone(missing)), sys.command(pkg, root))
	}
	cfg.Out("PostgreSQL is missing: installing this system's package " + pkg + " with apt-get, without a server of its own")
	cfg.Log.Info("installing postgresql")
	takeBack, err := refuseMainCluster(cfg)
	if err != nil {
		return fault.Wrap(fault.Unavailable, err, "tell the package to start no server of its own")
	}
	if err := aptGet(ctx, cfg, apt, pkg); err != nil {
		return errors.Join(err, takeBack())
	}
	if _, _, err := find(ctx, cfg); err != nil {
		return fault.Wrap(fault.Unavailable, err, "the package was installed, and is not what Hale needs; install PostgreSQL %d or later from %s", oldest, downloads)
	}
	cfg.Out("PostgreSQL is installed")
	return nil
}

// aptGet installs a package.
func aptGet(ctx context.Context, cfg Config, apt, pkg string) error {
	for _, args := range [][]string{
		{"update", "-q"},
		{"install", "-q", "-y", "--no-install-recommends", "-o", "DPkg::Lock::Timeout=120", pkg},
	} {
		cfg.Out("  apt-get " + strings.Join(args, " "))
		_, err := tool{
			path: apt, args: args, lines: progress(cfg.Out),
			env: []string{"PATH=" + cfg.PathEnv, "DEBIAN_FRONTEND=noninteractive", "UCF_FORCE_CONFFOLD=1"},
		}.run(ctx)
		if err != nil {
			return fault.Wrap(fault.Unavailable, err, "apt-get %s failed; mend it, or install PostgreSQL %d or later yourself (%s)", args[0], oldest, downloads)
		}
	}
	return nil
}

// packageFor names Debian's package: the newest, or the one whose version wrote the data that are there.
func packageFor(cfg Config) string {
	if made := clusterVersion(cfg.Dir); made != 0 {
		return "postgresql-" + strconv.Itoa(made)
	}
	return "postgresql"
}

// orNone is for whoever asks to install what is there already.
func orNone(missing error) error {
	if missing == nil {
		return fault.New(fault.Unavailable, "PostgreSQL is there, and was not installed again")
	}
	return missing
}

// progress tells the steps that a person may want to see, and leaves the rest.
func progress(out func(string)) func(string) {
	return func(line string) {
		if strings.HasPrefix(line, "Setting up ") || strings.HasPrefix(line, "E: ") || strings.HasPrefix(line, "W: ") {
			out("  " + line)
		}
	}
}

// refuseMainCluster sets that Debian's package makes no cluster, which it would start on TCP port 5432, unless that is set
// already. What was there before stays. takeBack leaves the file as it was, for a package that did not come.
func refuseMainCluster(cfg Config) (takeBack func() error, err error) {
	name := filepath.Join(cfg.SearchRoot, createCluster)
	before, err := os.ReadFile(name) //nolint:gosec // G304: a public setting of the system
	missing := errors.Is(err, fs.ErrNotExist)
	switch {
	case err != nil && !missing:
		return nil, err
	case refusesMainCluster(string(before)):
		return func() error { return nil }, nil
	}
	if err := makePassable(filepath.Dir(name)); err != nil {
		return nil, err
	}
	cfg.Out("  writing \"" + noCluster + "\" to " + name)
	f, err := os.OpenFile(name, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o644) //nolint:gosec // G302, G304: a public setting of the system
	if err != nil {
		return nil, err
	}
	_, err = f.WriteString(refusal5432)
	if err := errors.Join(err, f.Close()); err != nil {
		return nil, err
	}
	return func() error {
		cfg.Out("  taking that line back from " + name)
		return unrefuse(name, missing)
	}, nil
}

// refusal5432 is what we add to the package's settings.
const refusal5432 = "\n# Written by hale: it runs a private server of its own and needs none on port 5432.\n" + noCluster + "\n"

// refusesMainCluster reports whether the settings of the package say already that it makes no cluster. The last one wins.
func refusesMainCluster(settings string) bool {
	refused := false
	for line := range strings.Lines(settings) {
		line, _, _ = strings.Cut(line, "#")
		key, value, _ := strings.Cut(line, "=")
		if strings.TrimSpace(key) == "create_main_cluster" {
			value = strings.ToLower(strings.Trim(strings.TrimSpace(value), "'"))
			refused = slices.Contains([]string{"false", "off", "no", "0"}, value)
		}
	}
	return refused
}

// unrefuse removes what refuseMainCluster added; a file that somebody has written to since is left alone.
func unrefuse(name string, ours bool) error {
	text, err := os.ReadFile(name) //nolint:gosec // G304: a public setting of the system
	if err != nil {
		return err
	}
	before, whole := strings.CutSuffix(string(text), refusal5432)
	switch {
	case !whole:
		return nil
	case ours && before == "":
		return os.Remove(name)
	}
	return os.Truncate(name, int64(len(before)))
}

// lookPath finds a program in a given PATH.
func lookPath(pathEnv, name string) string {
	for _, dir := range filepath.SplitList(pathEnv) {
		if full := filepath.Join(dir, name); filepath.IsAbs(dir) && executable(full) {
			return full
		}
	}
	return ""
}

// system is an operating system by its names: its own and those of its kin, the nearest first (os-release(5)).
type system struct{ names []string }

func (s system) is(name string) bool { return slices.Contains(s.names, name) }

func systemOf(searchRoot string) system {
	var s system
	for _, file := range []string{"etc/os-release", "usr/lib/os-release"} {
		f, err := os.Open(filepath.Join(searchRoot, file)) //nolint:gosec // G304: a public file of the system
		if err != nil {
			continue
		}
		s.names = namesIn(bufio.NewScanner(f))
		if f.Close() == nil && len(s.names) > 0 {
			break
		}
	}
	for _, kin := range []struct{ name, mark string }{
		{"debian", "etc/debian_version"}, {"darwin", "System/Library/CoreServices"},
	} {
		if _, err := os.Stat(filepath.Join(searchRoot, kin.mark)); err == nil && !s.is(kin.name) {
			s.names = append(s.names, kin.name)
		}
	}
	return s
}

func namesIn(lines *bufio.Scanner) []string {
	var own, kin []string
	for lines.Scan() {
		key, value, _ := strings.Cut(lines.Text(), "=")
		words := strings.Fields(strings.Trim(value, `"'`))
		switch key {
		case "ID":
			own = words
		case "ID_LIKE":
			kin = words
		}
	}
	return append(own, kin...)
}

// command returns the one command that installs PostgreSQL here.
func (s system) command(pkg string, root bool) string {
	sudo := "sudo "
	if root {
		sudo = ""
	}
	for _, name := range s.names {
		switch name {
		case "debian":
			return sudo + "sh -c 'mkdir -p /etc/postgresql-common && echo \"" + noCluster + "\" >>/" + createCluster +
				" && apt-get update && apt-get install -y --no-install-recommends " + pkg + "'"
		case "rhel": // its default is older than ours; version 10 has no modules and needs none
			return sudo + "sh -c 'dnf module enable -y postgresql:16; dnf install -y postgresql-server'"
		case "fedora":
			return sudo + "dnf install -y postgresql-server"
		case "suse", "opensuse":
			return sudo + "zypper install -y postgresql-server"
		case "arch":
			return sudo + "pacman -S --noconfirm postgresql"
		case "alpine":
			return sudo + "apk add postgresql"
		case "darwin":
			return "brew install postgresql@17" // Homebrew refuses to run as root
		}
	}
	return "see " + downloads + " (PostgreSQL 15 or later; HALE_PG_BIN names its directory of programs)"
}
