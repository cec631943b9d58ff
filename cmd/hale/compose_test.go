package main

import (
	"context"
	"crypto/rand"
	"errors"
	"flag"
	"fmt"
	"log/slog"
	"maps"
	"net"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/compose-spec/compose-go/v2/cli"
	"github.com/compose-spec/compose-go/v2/types"
	"github.com/jackc/pgx/v5"
	"github.com/nats-io/nats-server/v2/server"

	"hale/account/signin"
	"hale/postgres/embedded"
	"hale/simulators"
)

// There is no container engine where these tests run, so the image is not built and no container is started. The file is
// loaded as Docker Compose loads it; PostgreSQL and NATS run as the local programs with the very files and arguments, and
// each service of Hale is this program with exactly the command and the environment of the file, after the names of hosts,
// the ports and the paths of secrets were replaced by those of this machine.

const repository = "../.."

func loadCompose(t *testing.T) *types.Project {
	t.Helper()
	o, err := cli.NewProjectOptions([]string{filepath.Join(repository, "compose.yaml")}, cli.WithWorkingDirectory(repository), cli.WithResolvedPaths(false), cli.WithProfiles([]string{"bridge"}))
	if err != nil {
		t.Fatal(err)
	}
	project, err := o.LoadProject(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return project
}

// ofHale are the services that run this program.
func ofHale(p *types.Project) (list []types.ServiceConfig) {
	for _, name := range slices.Sorted(maps.Keys(p.Services)) {
		if s := p.Services[name]; s.Build != nil {
			list = append(list, s)
		}
	}
	return list
}

// composed is the compose file at work on this machine.
type composed struct {
	t       *testing.T
	project *types.Project
	secrets string            // directory of the files
	socket  string            // directory of PostgreSQL's socket
	nats    string            // address of NATS
	up      map[string]bool   // services that are there
	ports   map[string]string // "service:port" -> address here
	last    map[string][]*instance
}

// instance is one replica of a service of Hale.
type instance struct {
	*process
	env []string
}

func (c *composed) bring(name string) {
	c.t.Helper()
	if c.up[name] {
		return
	}
	c.up[name] = true
	s := c.project.Services[name]
	for _, before := range slices.Sorted(maps.Keys(s.DependsOn)) {
		c.bring(before)
		switch condition := s.DependsOn[before].Condition; condition {
		case types.ServiceConditionHealthy:
			c.healthy(before)
		case types.ServiceConditionCompletedSuccessfully:
			c.completed(before)
		default:
			c.t.Fatalf("%s waits for %s to be %s: say healthy or completed", name, before, condition)
		}
	}
	switch name {
	case "postgres":
		c.postgres(s)
	case "nats":
		c.startNATS(s)
	default:
		for range s.GetScale() {
			c.last[name] = append(c.last[name], c.hale(s, s.Command))
		}
	}
}

// postgres starts a new cluster and does what the image does at its first start.
func (c *composed) postgres(s types.ServiceConfig) {
	t := c.t
	t.Helper()
	dir := dataDir(t)
	ctx := context.WithoutCancel(t.Context())
	db, err := embedded.Start(ctx, embedded.Config{Dir: dir, PathEnv: os.Getenv("PATH"), BinDir: os.Getenv("HALE_PG_BIN"), Log: slog.New(slog.DiscardHandler), Now: time.Now})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Stop(ctx) })
	at, err := url.Parse(db.SuperURL("hale"))
	if err != nil {
		t.Fatal(err)
	}
	c.socket = at.Query().Get("host")
	conn, err := pgx.Connect(ctx, at.String())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close(ctx) }()
	password := c.secret(s, *s.Environment["POSTGRES_PASSWORD_FILE"])
	for _, statement := range []string{
		fmt.Sprintf("CREATE ROLE postgres SUPERUSER LOGIN PASSWORD '%s'", password),
		fmt.Sprintf("ALTER DATABASE %s OWNER TO postgres", *s.Environment["POSTGRES_DB"]),
	} {
		if _, err := conn.Exec(ctx, statement); err != nil {
			t.Fatalf("%s: %v", statement, err)
		}
	}
	for _, v := range s.Volumes {
		if strings.HasPrefix(v.Target, "/docker-entrypoint-initdb.d/") {
			c.runSQL(s, v.Source)
		}
	}
	// From here on everybody but the supervisor needs their password.
	if err := os.WriteFile(filepath.Join(dir, "postgres", "pg_hba.conf"), []byte("local all hale trust\nlocal all all scram-sha-256\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := conn.Exec(ctx, "SELECT pg_reload_conf()"); err != nil {
		t.Fatal(err)
	}
	wrong := fmt.Sprintf("postgres://hale_serve:wrong@/hale?host=%s&port=5432", url.QueryEscape(c.socket))
	eventually(t, 10*time.Second, func() string {
		if other, err := pgx.Connect(ctx, wrong); err == nil {
			_ = other.Close(ctx)
			return "a wrong password opens the database"
		}
		return ""
	})
}

// runSQL runs a file as the image's entrypoint does.
func (c *composed) runSQL(s types.ServiceConfig, source string) {
	t := c.t
	t.Helper()
	text, err := os.ReadFile(filepath.Join(repository, source))
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "init.sql")
	if err := os.WriteFile(file, []byte(c.mounted(s, string(text))), 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), "psql", "-v", "ON_ERROR_STOP=1", "--no-psqlrc", "-h", c.socket, "-U", "postgres", "-d", *s.Environment["POSTGRES_DB"], "-f", file)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%s: %v\n%s", source, err, out)
	}
}

// startNATS runs the server of go.mod with the arguments and the file of the service.
func (c *composed) startNATS(s types.ServiceConfig) {
	t := c.t
	t.Helper()
	i := slices.IndexFunc(s.Volumes, func(v types.ServiceVolumeConfig) bool { return slices.Contains(s.Command, v.Target) })
	if i < 0 {
		t.Fatalf("the file of the command %q is not mounted", s.Command)
	}
	text, err := os.ReadFile(filepath.Join(repository, s.Volumes[i].Source))
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	file, monitor := filepath.Join(dir, "nats.conf"), freeAddr(t)
	c.nats = freeAddr(t)
	here := strings.NewReplacer("0.0.0.0:4222", c.nats, "127.0.0.1:8222", monitor, " /data\n", " "+dir+"\n").Replace(string(text))
	if !strings.Contains(here, c.nats) || !strings.Contains(here, monitor) || !strings.Contains(here, dir) {
		t.Fatalf("nats.conf listens or stores elsewhere than the service says:\n%s", text)
	}
	if err := os.WriteFile(file, []byte(here), 0o600); err != nil {
		t.Fatal(err)
	}
	var arguments []string
	for _, a := range s.Command {
		arguments = append(arguments, strings.ReplaceAll(a, s.Volumes[i].Target, file))
	}
	usage := func() { t.Error("the command asks for help") }
	options, err := server.ConfigureOptions(flag.NewFlagSet("nats-server", flag.ContinueOnError), arguments, usage, usage, usage)
	if err != nil {
		t.Fatal(err)
	}
	if !options.SyncAlways || !options.JetStream || options.JetStreamMaxStore < 4<<30 {
		t.Errorf("sync always %v, JetStream %v with %d bytes", options.SyncAlways, options.JetStream, options.JetStreamMaxStore)
	}
	options.NoSigs, options.NoLog = true, true
	nats, err := server.NewServer(options)
	if err != nil {
		t.Fatal(err)
	}
	go nats.Start()
	t.Cleanup(nats.Shutdown)
	c.ports["nats:8222"] = monitor
}

var mountedSecret = regexp.MustCompile(`/run/secrets/([a-z_]+)`)

// mounted replaces the paths of the secrets that the service is given.
func (c *composed) mounted(s types.ServiceConfig, text string) string {
	return mountedSecret.ReplaceAllStringFunc(text, func(path string) string {
		name := strings.TrimPrefix(path, "/run/secrets/")
		if !slices.ContainsFunc(s.Secrets, func(f types.ServiceSecretConfig) bool { return f.Source == name && f.Target == "" || f.Target == path }) {
			c.t.Errorf("the service %s is not given the secret %s that it reads", s.Name, name)
		}
		return filepath.Join(c.secrets, name)
	})
}

func (c *composed) secret(s types.ServiceConfig, path string) string {
	c.t.Helper()
	b, err := os.ReadFile(c.mounted(s, path))
	if err != nil {
		c.t.Fatal(err)
	}
	return strings.TrimSpace(string(b))
}

var listened = regexp.MustCompile(`^(0\.0\.0\.0|127\.0\.0\.1):([0-9]+)$`)

// environment is that of the service, with the hosts, ports and files of this machine.
func (c *composed) environment(s types.ServiceConfig) (env []string) {
	for name, value := range s.Environment {
		if value == nil {
			c.t.Errorf("%s of %s is taken from whoever runs compose", name, s.Name)
			continue
		}
		here := c.mounted(s, *value)
		here = strings.ReplaceAll(here, "//nats:4222", "//"+c.nats)
		if before, after, ok := strings.Cut(here, "@postgres:5432/"); ok {
			here = before + "@/" + after + "?host=" + url.QueryEscape(c.socket) + "&port=5432"
		}
		for _, v := range s.Volumes {
			if v.Target == here { // a file that only the site has
				here = mappingFile(c.t, freeAddr(c.t), ", credentials_file: "+filepath.Join(c.secrets, "broker"))
			}
		}
		if m := listened.FindStringSubmatch(here); m != nil {
			here = freeAddr(c.t)
			c.ports[s.Name+":"+m[2]] = here
		}
		env = append(env, name+"="+here)
	}
	return append(env, asHale+"=1")
}

// hale runs this program as a container of the service would run it.
func (c *composed) hale(s types.ServiceConfig, arguments []string) *instance {
	return c.run(c.environment(s), arguments)
}

func (c *composed) run(env, arguments []string) *instance {
	t := c.t
	t.Helper()
	p := &process{cmd: exec.CommandContext(context.WithoutCancel(t.Context()), os.Args[0], arguments...), stdout: newLineBuffer(), stderr: newLineBuffer(), ended: make(chan struct{})}
	p.cmd.Env, p.cmd.Stdout, p.cmd.Stderr = env, p.stdout, p.stderr
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		_ = p.cmd.Wait() // how it ended is looked at where it matters
		close(p.ended)
	}()
	t.Cleanup(func() {
		_ = p.cmd.Process.Kill()
		<-p.ended
		if t.Failed() {
			t.Logf("hale %v said:\n%s", arguments, p.stderr.String())
		}
	})
	return &instance{process: p, env: env}
}

// completed waits for a service that runs once.
func (c *composed) completed(name string) {
	c.t.Helper()
	for _, i := range c.last[name] {
		<-i.ended
		if code := i.cmd.ProcessState.ExitCode(); code != 0 {
			c.t.Fatalf("%s ended with %d: %s", name, code, i.stderr.String())
		}
	}
}

// healthy runs the health check of a service until it holds.
func (c *composed) healthy(name string) {
	c.t.Helper()
	test := c.project.Services[name].HealthCheck.Test
	if len(test) < 2 || test[0] != "CMD" {
		c.t.Fatalf("the health check %q of %s needs a shell", test, name)
	}
	eventually(c.t, 30*time.Second, func() string {
		switch name {
		case "postgres":
			arguments := slices.Clone(test[2:])
			for i := range arguments {
				arguments[i] = strings.ReplaceAll(arguments[i], "127.0.0.1", c.socket)
			}
			if out, err := exec.CommandContext(c.t.Context(), test[1], arguments...).CombinedOutput(); err != nil {
				return fmt.Sprintf("%q: %v %s", test, err, out)
			}
			return ""
		case "nats":
			// wget is in the image and need not be here: what it asks is asked.
			if test[1] != "wget" {
				return fmt.Sprintf("%q is no program of the image", test[1])
			}
			status, body := get(c.t, strings.Replace(test[len(test)-1], "127.0.0.1:8222", c.ports["nats:8222"], 1))
			if status != 200 {
				return fmt.Sprintf("%q: %d %s", test, status, body)
			}
			return ""
		}
		for _, i := range c.last[name] {
			check := c.run(i.env, test[2:])
			if <-check.ended; check.cmd.ProcessState.ExitCode() != 0 {
				return fmt.Sprintf("%s: %q: %s", name, test, check.stderr.String())
			}
		}
		return ""
	})
}

func TestTheComposeFileIsAWholeHale(t *testing.T) {
	t.Parallel()
	c := &composed{t: t, project: loadCompose(t), secrets: t.TempDir(), up: map[string]bool{}, ports: map[string]string{}, last: map[string][]*instance{}}
	const name = "hale.example.org"
	certFile, keyFile := given(t, time.Now().Add(60*24*time.Hour), name)
	for secret, from := range map[string]string{"tls_cert": certFile, "tls_key": keyFile} {
		if err := os.Rename(from, filepath.Join(c.secrets, secret)); err != nil {
			t.Fatal(err)
		}
	}
	for _, secret := range []string{"postgres_password", "serve_password"} {
		if err := os.WriteFile(filepath.Join(c.secrets, secret), []byte(rand.Text()+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := makeSealKey(filepath.Join(c.secrets, "audit_key")); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(c.secrets, "second_factor_key"), []byte(signin.NewKey()), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(c.secrets, "broker"), []byte("hale\nsecret\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	services := slices.Sorted(maps.Keys(c.project.Services))
	for _, s := range services {
		c.bring(s)
	}
	for _, s := range services {
		if check := c.project.Services[s].HealthCheck; !check.Disable {
			c.healthy(s)
		}
	}
	if n := len(c.last["process"]); n != 2 {
		t.Errorf("%d processes judge, want 2", n)
	}

	said := c.hale(c.project.Services["migrate"], []string{"organisation", "create", "Home care North", "--login", "ana", "--name", "Ana"})
	<-said.ended
	words := strings.Fields(said.stdout.String())
	if len(words) == 0 {
		t.Fatalf("hale staff: %s", said.stderr.String())
	}
	trust, err := simulators.Trusting(filepath.Join(c.secrets, "tls_cert"), name)
	if err != nil {
		t.Fatal(err)
	}
	staff, err := simulators.SignInTrusting(t.Context(), trust, "https://"+c.published("api", 8443), "ana", words[len(words)-1])
	if err != nil {
		t.Fatal(err)
	}
	c.oneReading(staff, func(ctx context.Context, k kit) (*simulators.Wire, error) {
		return simulators.DialTrusting(ctx, trust, "mqtts://"+c.published("edge", 8883), k.device, k.secret, 8)
	})
	c.end()
}

// published is where a port that the service publishes is here.
func (c *composed) published(service string, port uint32) string {
	c.t.Helper()
	if !slices.ContainsFunc(c.project.Services[service].Ports, func(p types.ServicePortConfig) bool { return p.Target == port }) {
		c.t.Fatalf("%s does not publish %d", service, port)
	}
	return c.ports[fmt.Sprintf("%s:%d", service, port)]
}

// oneReading sends a reading that is beyond the limits and waits for its alert.
func (c *composed) oneReading(staff *simulators.Staff, dial func(ctx context.Context, k kit) (*simulators.Wire, error)) {
	t := c.t
	t.Helper()
	k := newKit(t, staff, "cuff-1", time.Now().Add(-24*time.Hour))
	var line *simulators.Wire
	eventually(t, 10*time.Second, func() string { // the edge hears of a new device within a second
		var err error
		if line, err = dial(t.Context(), k); err != nil {
			return err.Error()
		}
		return ""
	})
	if err := line.Publish(t.Context(), k.topic(), pressure(186, 104, time.Now()), func(time.Time) {}); err != nil {
		t.Fatal(err)
	}
	if err := line.Drain(t.Context()); err != nil {
		t.Fatal(err)
	}
	eventually(t, 20*time.Second, func() string {
		if list, err := staff.Alerts(t.Context(), k.patient.ID); err != nil || len(list) != 1 {
			return fmt.Sprintf("%d alerts, %v", len(list), err)
		}
		return ""
	})
}

// end stops everything as compose does.
func (c *composed) end() {
	c.t.Helper()
	for name, list := range c.last {
		for _, i := range list {
			if err := i.cmd.Process.Signal(syscall.SIGTERM); err != nil && !errors.Is(err, os.ErrProcessDone) {
				c.t.Fatal(err)
			}
			grace := c.project.Services[name].StopGracePeriod
			select {
			case <-i.ended:
			case <-time.After(time.Duration(*grace)):
				c.t.Fatalf("%s did not end within %s", name, grace)
			}
			if code := i.cmd.ProcessState.ExitCode(); code != 0 {
				c.t.Errorf("%s ended with %d", name, code)
			}
		}
	}
}

func TestTheComposeFileKeepsItsDoorsShut(t *testing.T) {
	t.Parallel()
	project := loadCompose(t)
	encrypted := []uint32{8443, 8883}
	for name, s := range project.Services {
		for _, p := range s.Ports {
			if ip := net.ParseIP(p.HostIP); !slices.Contains(encrypted, p.Target) && (ip == nil || !ip.IsLoopback()) {
				t.Errorf("%s publishes port %d, which is not encrypted, beyond this machine", name, p.Target)
			}
		}
		if s.Build == nil && !strings.Contains(s.Image, ":") {
			t.Errorf("the image %s of %s has no version", s.Image, name)
		}
		for variable, value := range s.Environment {
			if secret := regexp.MustCompile(`(?i)password|secret|token|key`); secret.MatchString(variable) && (value == nil || !strings.HasPrefix(*value, "/run/secrets/")) {
				t.Errorf("%s of %s is no file of a secret", variable, name)
			}
			if value != nil && regexp.MustCompile(`://[^/@]*:[^/@]*@`).MatchString(*value) {
				t.Errorf("%s of %s holds a password", variable, name)
			}
		}
	}
	for _, s := range ofHale(project) {
		if !s.ReadOnly || !slices.Equal(s.CapDrop, []string{"ALL"}) || !slices.Contains(s.SecurityOpt, "no-new-privileges:true") || s.Privileged || s.User == "root" {
			t.Errorf("%s may more than it needs", s.Name)
		}
		if s.Command[0] == "serve" && (s.Restart != types.RestartPolicyUnlessStopped || s.HealthCheck == nil || s.HealthCheck.Disable) {
			t.Errorf("%s is not restarted, or nobody looks after it", s.Name)
		}
	}
	ignored, err := os.ReadFile(filepath.Join(repository, ".gitignore"))
	if err != nil {
		t.Fatal(err)
	}
	for name, s := range project.Secrets {
		if !strings.HasPrefix(filepath.ToSlash(filepath.Clean(s.File)), "secrets/") || s.Environment != "" || !strings.Contains(string(ignored), "\n/secrets/\n") {
			t.Errorf("the secret %s (%q) is not a file in secrets/, which git ignores", name, s.File)
		}
	}
	if !project.Networks["inner"].Internal {
		t.Error("the inner network reaches out")
	}
	for _, name := range []string{"postgres", "nats"} {
		if s := project.Services[name]; len(s.Networks) != 1 || len(s.Ports) != 0 {
			t.Errorf("%s can be reached from outside", name)
		}
	}
}
