package hale_test

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// machine is a stand-in for a computer on which somebody types `make test`: a root folder that the script searches, and
// the only folder on its PATH.
type machine struct {
	t          *testing.T
	root, path string
}

// newMachine returns a machine that has the ordinary tools and Go, and nothing else that the tests need.
func newMachine(t *testing.T) machine {
	t.Helper()
	dir := t.TempDir()
	m := machine{t: t, root: filepath.Join(dir, "root"), path: filepath.Join(dir, "bin")}
	for _, tool := range []string{"bash", "sh", "cat", "dirname", "grep", "mkdir", "sed", "chmod", "ln", "rm"} {
		program, err := exec.LookPath(tool)
		if err != nil {
			t.Fatal(err)
		}
		m.mkdir(m.path)
		if err := os.Symlink(program, filepath.Join(m.path, tool)); err != nil {
			t.Fatal(err)
		}
	}
	m.tool("go", "exit 0")
	m.mkdir(filepath.Join(m.root, "etc"))
	return m
}

func (m machine) mkdir(dir string) {
	m.t.Helper()
	if err := os.MkdirAll(dir, 0o755); err != nil {
		m.t.Fatal(err)
	}
}

func (m machine) write(name, text string, mode os.FileMode) {
	m.t.Helper()
	m.mkdir(filepath.Dir(name))
	if err := os.WriteFile(name, []byte(text), mode); err != nil {
		m.t.Fatal(err)
	}
}

// tool puts a program on the PATH that runs the given lines.
func (m machine) tool(name, lines string) {
	m.t.Helper()
	m.write(filepath.Join(m.path, name), "#!/bin/sh\n"+lines+"\n", 0o755)
}

// postgresql puts a server of that version where Debian puts it.
func (m machine) postgresql(version string) {
	m.t.Helper()
	bin := filepath.Join(m.root, "usr/lib/postgresql", version, "bin")
	m.write(filepath.Join(bin, "postgres"), "#!/bin/sh\necho 'postgres (PostgreSQL) "+version+".7 (Debian)'\n", 0o755)
	m.write(filepath.Join(bin, "initdb"), "#!/bin/sh\n", 0o755)
}

// debian makes the machine a Debian with a user of that number and an apt-get that notes how it was called, together
// with the cluster setting as it stood at that moment, and then runs the given lines.
func (m machine) debian(uid, install string) {
	m.t.Helper()
	m.write(filepath.Join(m.root, "etc/debian_version"), "12\n", 0o644)
	m.tool("id", "echo "+uid)
	m.tool("apt-get", `echo "apt-get $*" >>`+m.log()+`
cat `+m.clusterConf()+` >>`+m.log()+` 2>/dev/null
[ "$1" = install ] || exit 0
`+install)
}

func (m machine) log() string { return filepath.Join(m.root, "apt.log") }
func (m machine) clusterConf() string {
	return filepath.Join(m.root, "etc/postgresql-common/createcluster.conf")
}

// service is what the mosquitto package's service would be started by, policy what would keep it from that.
func (m machine) service() string {
	return filepath.Join(m.root, "etc/systemd/system/mosquitto.service")
}
func (m machine) policy() string { return filepath.Join(m.root, "usr/sbin/policy-rc.d") }

func (m machine) read(name string) string {
	m.t.Helper()
	text, err := os.ReadFile(name)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		m.t.Fatal(err)
	}
	return string(text)
}

// run runs the script there and returns its exit status and what it said.
func (m machine) run() (status int, said string) {
	m.t.Helper()
	cmd := exec.CommandContext(m.t.Context(), filepath.Join(m.path, "bash"), "scripts/prerequisites.sh")
	cmd.Env = []string{"PATH=" + m.path, "PREREQUISITES_ROOT=" + m.root}
	out, err := cmd.CombinedOutput()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		m.t.Fatal(err)
	}
	return cmd.ProcessState.ExitCode(), string(out)
}

func (m machine) expect(status int, says ...string) {
	m.t.Helper()
	got, said := m.run()
	if got != status {
		m.t.Errorf("exit status %d, want %d; it said %q", got, status, said)
	}
	for _, want := range says {
		if !strings.Contains(said, want) {
			m.t.Errorf("it said %q, which lacks %q", said, want)
		}
	}
	if len(says) == 0 && said != "" {
		m.t.Errorf("it said %q, want silence", said)
	}
}

func TestPrerequisites(t *testing.T) {
	t.Parallel()

	t.Run("a machine that has everything is passed in silence and left alone", func(t *testing.T) {
		t.Parallel()
		m := newMachine(t)
		m.debian("0", "exit 1")
		m.postgresql("15")
		m.tool("chromium", "exit 0")
		m.tool("mosquitto_pub", "exit 0")
		m.tool("python3", "exit 0")                                                // a Python that has whatever it is asked for
		m.write(filepath.Join(m.root, "usr/sbin/mosquitto"), "#!/bin/sh\n", 0o755) // where only root's PATH looks
		m.expect(0)
		if log := m.read(m.log()); log != "" {
			t.Errorf("apt-get was called: %s", log)
		}
	})

	t.Run("root on Debian gets what is missing, and no cluster is made by the package", func(t *testing.T) {
		t.Parallel()
		m := newMachine(t)
		bin := filepath.Join(m.root, "usr/lib/postgresql/16/bin")
		m.debian("0", `mkdir -p `+bin+`
printf '#!/bin/sh\necho "postgres (PostgreSQL) 16.2"\n' >`+bin+`/postgres
for f in `+bin+`/initdb `+m.path+`/chromium `+m.path+`/mosquitto `+m.path+`/mosquitto_pub `+m.path+`/python3; do printf '#!/bin/sh\n' >$f; done
chmod 755 `+bin+`/* `+m.path+`/chromium `+m.path+`/mosquitto `+m.path+`/mosquitto_pub `+m.path+`/python3
cat `+m.policy()+` >>`+m.log()+`
[ -L `+m.service()+` ] && echo masked >>`+m.log())
		m.write(m.clusterConf(), "ssl = on\n", 0o644)
		m.expect(0, "Installing", "postgresql chromium mosquitto mosquitto-clients python3-paho-mqtt")
		log := m.read(m.log())
		_, installing, called := strings.Cut(log, "apt-get install -q -y --no-install-recommends postgresql chromium mosquitto mosquitto-clients python3-paho-mqtt\n")
		if !called || !strings.HasPrefix(log, "apt-get update") {
			t.Errorf("apt-get was called as %q", log)
		}
		if !strings.Contains(installing, "ssl = on\n") || !strings.Contains(installing, "\ncreate_main_cluster = false\n") {
			t.Errorf("when the package was installed the cluster setting read %q", installing)
		}
		if !strings.Contains(installing, "\nexit 101\n") || !strings.Contains(installing, "\nmasked\n") {
			t.Errorf("when mosquitto was installed nothing kept its service from starting: %q", installing)
		}
		if _, err := os.Lstat(m.policy()); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("the policy was left behind: %v", err)
		}
		if to, err := os.Readlink(m.service()); err != nil || to != "/dev/null" {
			t.Errorf("mosquitto would run after the next boot: %q, %v", to, err)
		}
	})

	t.Run("only what is missing is installed, and a PostgreSQL that is there keeps its settings", func(t *testing.T) {
		t.Parallel()
		m := newMachine(t)
		m.debian("0", "printf '#!/bin/sh\n' >"+m.path+"/chromium; chmod 755 "+m.path+"/chromium")
		m.postgresql("17")
		m.tool("mosquitto", "exit 0")
		m.tool("mosquitto_pub", "exit 0")
		m.tool("python3", "exit 0") // a Python that has whatever it is asked for
		m.expect(0, "Installing", "lacks: chromium\n")
		if conf := m.read(m.clusterConf()); conf != "" {
			t.Errorf("the cluster setting was written: %q", conf)
		}
		if _, err := os.Lstat(m.service()); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("a Mosquitto that is there was kept from running: %v", err)
		}
	})

	t.Run("an install that does not bring what is needed is an error", func(t *testing.T) {
		t.Parallel()
		m := newMachine(t)
		m.debian("0", "exit 0")
		m.postgresql("13")
		m.tool("chromium", "exit 0")
		m.tool("mosquitto", "exit 0")
		m.tool("mosquitto_pub", "exit 0")
		m.tool("python3", "exit 0") // a Python that has whatever it is asked for
		m.expect(1, "too old: postgresql (PostgreSQL must be 15 or later)")
	})

	t.Run("an install that fails is an error", func(t *testing.T) {
		t.Parallel()
		m := newMachine(t)
		m.debian("0", "exit 100")
		m.expect(100, "Installing")
	})

	t.Run("somebody who is not root is told the command", func(t *testing.T) {
		t.Parallel()
		m := newMachine(t)
		m.debian("1000", "exit 1")
		m.tool("chromium", "exit 0")
		m.expect(1, "  sudo apt-get update && sudo apt-get install -y --no-install-recommends postgresql mosquitto mosquitto-clients python3-paho-mqtt\n",
			"  sudo ln -s /dev/null /etc/systemd/system/mosquitto.service",
			"echo 'create_main_cluster = false' | sudo tee -a /etc/postgresql-common/createcluster.conf")
		if log := m.read(m.log()); log != "" {
			t.Errorf("apt-get was called: %s", log)
		}
	})

	t.Run("another system is told what is missing", func(t *testing.T) {
		t.Parallel()
		m := newMachine(t)
		m.postgresql("15")
		m.expect(1, "these are missing: chromium mosquitto mosquitto-clients python3-paho-mqtt")
	})

	t.Run("a Python without packages does not do, and Debian's beside it does", func(t *testing.T) {
		t.Parallel()
		m := newMachine(t)
		m.postgresql("15")
		for _, tool := range []string{"chromium", "mosquitto", "mosquitto_pub"} {
			m.tool(tool, "exit 0")
		}
		m.write(filepath.Join(m.path, "python3"), "#!/bin/sh\nexit 1\n", 0o755)
		m.expect(1, "these are missing: python3-paho-mqtt")
		m.write(filepath.Join(m.root, "usr/bin/python3"), "#!/bin/sh\n", 0o755)
		m.expect(0)
	})

	t.Run("a machine without Go is told where to get it", func(t *testing.T) {
		t.Parallel()
		m := newMachine(t)
		if err := os.Remove(filepath.Join(m.path, "go")); err != nil {
			t.Fatal(err)
		}
		m.expect(1, "Go 1.26 or later")
	})
}
