package embedded

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"hale/fault"
)

// machine is a stand-in for a computer without PostgreSQL.
type machine struct {
	t    *testing.T
	root string
	told []string
}

// newMachine returns a machine with that os-release, and an apt-get that notes how it was called and what the setting
// for the package's own cluster was then, and that runs the given lines when it is asked to install.
func newMachine(t *testing.T, osRelease, install string) *machine {
	t.Helper()
	m := &machine{t: t, root: t.TempDir()}
	m.write("etc/os-release", osRelease, 0o644)
	m.write("tools/apt-get", `#!/bin/sh
echo "apt-get $*" >>`+m.at("calls")+`
echo "frontend $DEBIAN_FRONTEND" >>`+m.at("calls")+`
[ "$1" = install ] || exit 0
[ ! -e `+m.at(createCluster)+` ] || cp `+m.at(createCluster)+` `+m.at("setting then")+`
`+install+"\n", 0o755)
	return m
}

func (m *machine) at(name string) string { return "'" + filepath.Join(m.root, name) + "'" }

func (m *machine) write(name, text string, mode os.FileMode) {
	m.t.Helper()
	name = filepath.Join(m.root, name)
	if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
		m.t.Fatal(err)
	}
	if err := os.WriteFile(name, []byte(text), mode); err != nil {
		m.t.Fatal(err)
	}
}

func (m *machine) read(name string) string {
	m.t.Helper()
	text, err := os.ReadFile(filepath.Join(m.root, name))
	if err != nil && !os.IsNotExist(err) {
		m.t.Fatal(err)
	}
	return string(text)
}

func (m *machine) config() Config {
	return Config{
		Dir: filepath.Join(m.root, "data"), SearchRoot: m.root, Install: true,
		PathEnv: filepath.Join(m.root, "tools") + ":/usr/bin:/bin", // cp and mkdir
		Out:     func(line string) { m.told = append(m.told, line) },
	}.withDefaults()
}

// brings is what a package does that brings programs of that version.
func (m *machine) brings(version string) string {
	bin := fmt.Sprintf("usr/lib/postgresql/%s/bin", version)
	return "mkdir -p " + m.at(bin) + `
for f in postgres initdb; do
  printf '#!/bin/sh\necho "postgres (PostgreSQL) ` + version + `.3"\n' >` + m.at(bin) + `/$f
  chmod 755 ` + m.at(bin) + `/$f
done
echo "Unpacking postgresql-` + version + `"
echo "Setting up postgresql-` + version + ` ..."`
}

const (
	debianRelease = "PRETTY_NAME=\"Debian GNU/Linux 12 (bookworm)\"\nID=debian\n"
	ubuntuRelease = "ID=ubuntu\nID_LIKE=debian\n"
)

func TestInstallAsRootOnDebian(t *testing.T) {
	t.Parallel()
	m := newMachine(t, ubuntuRelease, "")
	m.write("tools/apt-get", m.read("tools/apt-get")+m.brings("16"), 0o755)
	m.write(createCluster, "ssl = on\ncreate_main_cluster = true", 0o644)
	// The PATH has cp, and on a machine with PostgreSQL the programs too: hide those.
	cfg := m.config()
	cfg.PathEnv = m.withoutPostgreSQL()
	if err := install(t.Context(), cfg, true); err != nil {
		t.Fatal(err)
	}
	wantCalls := "apt-get update -q\nfrontend noninteractive\n" +
		"apt-get install -q -y --no-install-recommends -o DPkg::Lock::Timeout=120 postgresql\nfrontend noninteractive\n"
	if diff := cmp.Diff(wantCalls, m.read("calls")); diff != "" {
		t.Errorf("calls (-want +got):\n%s", diff)
	}
	setting := m.read("setting then")
	if !strings.HasPrefix(setting, "ssl = on\ncreate_main_cluster = true\n") || !strings.HasSuffix(setting, "\ncreate_main_cluster = false\n") {
		t.Errorf("when the package was installed the setting read %q", setting)
	}
	wantTold := []string{
		"PostgreSQL is missing: installing this system's package postgresql with apt-get, without a server of its own",
		`  writing "create_main_cluster = false" to ` + filepath.Join(m.root, createCluster),
		"  apt-get update -q",
		"  apt-get install -q -y --no-install-recommends -o DPkg::Lock::Timeout=120 postgresql",
		"  Setting up postgresql-16 ...",
		"PostgreSQL is installed",
	}
	if diff := cmp.Diff(wantTold, m.told); diff != "" {
		t.Errorf("told (-want +got):\n%s", diff)
	}
	if bin, version, err := Find(cfg); err != nil || version != 16 || bin != filepath.Join(m.root, "usr/lib/postgresql/16/bin") {
		t.Errorf("found %s, %d (%v)", bin, version, err)
	}
}

// withoutPostgreSQL returns a PATH with the few tools that the stand-in uses and nothing else.
func (m *machine) withoutPostgreSQL() string {
	m.t.Helper()
	for _, name := range []string{"cp", "mkdir", "chmod", "sh"} {
		full := lookPath("/usr/bin:/bin", name)
		if full == "" {
			m.t.Fatalf("these tests need %s in /usr/bin or /bin", name)
		}
		if err := os.Symlink(full, filepath.Join(m.root, "tools", name)); err != nil {
			m.t.Fatal(err)
		}
	}
	return filepath.Join(m.root, "tools")
}

func TestInstallNamesTheVersionThatWroteTheData(t *testing.T) {
	t.Parallel()
	m := newMachine(t, debianRelease, "exit 0")
	m.write("data/postgres/PG_VERSION", "15\n", 0o600)
	cfg := m.config()
	cfg.PathEnv = m.withoutPostgreSQL()
	if err := install(t.Context(), cfg, true); !fault.Is(err, fault.Unavailable) {
		t.Errorf("it says %v", err)
	}
	if !strings.Contains(m.read("calls"), " postgresql-15\n") {
		t.Errorf("apt-get was called as %q", m.read("calls"))
	}
}

func TestInstallRefuses(t *testing.T) {
	t.Parallel()
	cases := map[string]struct {
		osRelease string
		install   string
		forbidden bool
		user      bool
		says      string
		calls     bool
		keeps     bool // the package is there, and so stays what it was told
	}{
		"when it is forbidden, with root's command":       {osRelease: debianRelease, forbidden: true, says: "\n  sh -c 'mkdir -p /etc/postgresql-common && echo \"create_main_cluster = false\""},
		"when we are not root, with sudo":                 {osRelease: debianRelease, user: true, says: "\n  sudo sh -c 'mkdir -p"},
		"on Fedora, with its command":                     {osRelease: "ID=fedora\n", says: "dnf install -y postgresql-server"},
		"on a cousin of Red Hat's, with its command":      {osRelease: "ID=\"rocky\"\nID_LIKE=\"rhel centos fedora\"\n", says: "dnf module enable -y postgresql:16"},
		"on Alpine, with its command":                     {osRelease: "ID=alpine\n", says: "apk add postgresql"},
		"on Arch, with its command":                       {osRelease: "ID=arch\n", says: "pacman -S --noconfirm postgresql"},
		"on a SUSE, with its command":                     {osRelease: "ID=\"opensuse-leap\"\nID_LIKE=\"suse opensuse\"\n", says: "zypper install -y postgresql-server"},
		"on a system nobody knows, with the place to ask": {osRelease: "ID=plan9\n", says: "https://www.postgresql.org/download/"},
		"when apt-get fails, with what it said":           {osRelease: debianRelease, install: "echo 'E: no space left' >&2; exit 100", says: "E: no space left", calls: true},
		"when the package brings nothing of use":          {osRelease: debianRelease, install: "exit 0", says: "was installed, and is not what Hale needs", calls: true, keeps: true},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			m := newMachine(t, c.osRelease, c.install)
			cfg := m.config()
			cfg.Install, cfg.PathEnv = !c.forbidden, m.withoutPostgreSQL()
			err := install(t.Context(), cfg, !c.user)
			if !fault.Is(err, fault.Unavailable) || !strings.Contains(err.Error(), c.says) {
				t.Errorf("it says %v, want %q", err, c.says)
			}
			if called := m.read("calls") != ""; called != c.calls {
				t.Errorf("apt-get was called as %q", m.read("calls"))
			}
			if changed := m.read(createCluster) != ""; changed != c.keeps {
				t.Errorf("the package's setting reads %q", m.read(createCluster))
			}
		})
	}
}

func TestThePackagesOwnServerIsRefusedOnce(t *testing.T) {
	t.Parallel()
	const refused = "\ncreate_main_cluster = false\n"
	cases := map[string]struct {
		before string
		fails  bool
		then   string // how the setting ends when the package is installed
		after  string // what holds when Hale has given up
		told   int    // lines about the setting
	}{
		"what is set already is not set again":                 {before: "create_main_cluster = false\n", then: "create_main_cluster = false\n", after: "create_main_cluster = false\n"},
		"and however it is written":                            {before: " create_main_cluster='off' # ours\nssl = on", fails: true, then: "ssl = on", after: " create_main_cluster='off' # ours\nssl = on"},
		"the last setting counts":                              {before: "create_main_cluster = false\ncreate_main_cluster = true", fails: true, then: refused, after: "create_main_cluster = false\ncreate_main_cluster = true", told: 2},
		"what is commented out is not set":                     {before: "#create_main_cluster = false\n", fails: true, then: refused, after: "#create_main_cluster = false\n", told: 2},
		"a file that we made goes when the package has failed": {fails: true, then: refused, told: 2},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			end := map[bool]string{false: "exit 0", true: "exit 100"}[c.fails]
			m := newMachine(t, debianRelease, end)
			if c.before != "" {
				m.write(createCluster, c.before, 0o644)
			}
			cfg := m.config()
			cfg.PathEnv = m.withoutPostgreSQL()
			for range 2 { // whoever tries again finds no more than the first time
				if err := install(t.Context(), cfg, true); !fault.Is(err, fault.Unavailable) {
					t.Fatalf("it says %v", err)
				}
				if then := m.read("setting then"); !strings.HasSuffix(then, c.then) || strings.Count(then, "Written by hale") > 1 {
					t.Errorf("when the package was installed the setting read %q", then)
				}
				if after := m.read(createCluster); after != c.after {
					t.Errorf("afterwards it reads %q, want %q", after, c.after)
				}
			}
			_, err := os.Stat(filepath.Join(m.root, createCluster))
			if there := err == nil; there != (c.before != "") {
				t.Errorf("the file is there: %t", there)
			}
			about := 0
			for _, line := range m.told {
				if strings.Contains(line, createCluster) {
					about++
				}
			}
			if about != 2*c.told {
				t.Errorf("it told %q", m.told)
			}
		})
	}
}
