package embedded

import (
	"bufio"
	"context"
	"errors"
	"fmt"
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
	if err := refuseMainCluster(cfg.SearchRoot); err != nil {
		return fault.Wrap(fault.Unavailable, err, "tell the package to start no server of its own")
	}
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
	if _, _, err := find(ctx, cfg); err != nil {
		return fault.Wrap(fault.Unavailable, err, "the package was installed, and is not what Hale needs; install PostgreSQL %d or later from %s", oldest, downloads)
	}
	cfg.Out("PostgreSQL is installed")
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

// refuseMainCluster sets that Debian's package makes no cluster, which it would start on TCP port 5432. The last setting
// in the file wins; what was there before stays.
func refuseMainCluster(searchRoot string) error {
	name := filepath.Join(searchRoot, createCluster)
	if err := makePassable(filepath.Dir(name)); err != nil {
		return err
	}
	f, err := os.OpenFile(name, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o644) //nolint:gosec // G302, G304: a public setting of the system
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(f, "\n# Written by hale: it runs a private server of its own and needs none on port 5432.\n%s\n", noCluster)
	return errors.Join(err, f.Close())
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
