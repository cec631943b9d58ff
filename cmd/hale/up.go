package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"time"

	"hale/account/signin"
	"hale/fault"
	"hale/postgres"
	"hale/postgres/embedded"
	"hale/simulators"
	"hale/stream"
)

// Default addresses. Plain HTTP and MQTT stay on this machine; a busy default moves to the next free port.
const (
	defaultHTTP  = "127.0.0.1:8080"
	defaultMQTT  = "127.0.0.1:1883"
	defaultMQTTS = "127.0.0.1:8883"
)

type upCommand struct {
	Data      string   `help:"Directory of everything Hale keeps. Default: /var/lib/hale as root, else $XDG_DATA_HOME/hale." placeholder:"DIR" env:"HALE_DATA"`
	HTTP      string   `help:"Address of the API and the screens (default 127.0.0.1:8080, or the next free port)." placeholder:"ADDR" env:"HALE_HTTP"`
	MQTT      string   `help:"Address of the device edge (default 127.0.0.1:1883, or the next free port)." placeholder:"ADDR" env:"HALE_MQTT"`
	MQTTS     string   `name:"mqtts" help:"Address of the encrypted device edge (default 127.0.0.1:8883, or the next free port)." placeholder:"ADDR" env:"HALE_MQTTS"`
	Demo      bool     `help:"Let a handful of simulated patients live." default:"true" negatable:""`
	JSON      bool     `help:"Print one JSON line when ready, and nothing else, on standard output."`
	NoInstall bool     `help:"Do not install a missing PostgreSQL."`
	Zone      string   `help:"Time zone of the staff, for example Europe/Ljubljana (default: this machine's)." placeholder:"ZONE" env:"HALE_ZONE"`
	Emergency string   `help:"Number to call in an emergency; it stands on every page." default:"112" env:"HALE_EMERGENCY_NUMBER"`
	Insecure  bool     `name:"insecure-http" help:"Let plain HTTP be reached from other machines: passwords and patients' data travel unencrypted." env:"HALE_INSECURE_HTTP"`
	NATS      string   `help:"Also let other processes of this machine reach the embedded NATS at this address." placeholder:"ADDR" hidden:""`
	TLSNames  []string `name:"tls-name" help:"Further name or address by which browsers and devices will know this machine; it goes into the certificate." placeholder:"NAME" env:"HALE_TLS_NAMES"`
	doorFlags
	bridgeFlags
	oidcFlags
	eraseFlags
	pairFlags
	paceFlags
	noticeFlags
}

// announcement is what `up` tells when it is ready, and what it leaves in its data directory while it runs.
type announcement struct {
	URL         string   `json:"url"`
	MQTT        string   `json:"mqtt"`
	MQTTS       string   `json:"mqtts"`              // encrypted
	CA          string   `json:"ca"`                 // file of the certificates that clients of the encrypted doors must trust
	TLSName     string   `json:"tls_name,omitempty"` // by which to check the certificate, where that is not the address
	Login       string   `json:"login"`
	Password    string   `json:"password"`
	Others      []string `json:"others,omitempty"` // logins of the demo with the same password
	Credentials string   `json:"credentials"`      // file of device secrets
	Data        string   `json:"data"`
	Database    string   `json:"database"` // its administrator's way in; only who may pass the socket's directory gets there
	PID         int      `json:"pid"`

	Brokers []bridgeTold `json:"brokers,omitempty"` // of --mapping, when it was ready
}

// organisation is the one that `up` makes on a fresh directory.
const organisation = "Hale"

// runningFile tells other commands of this machine where `up` runs. It holds a password: mode 0600.
const runningFile = "running.json"

// Run starts everything and stays until it is told to end.
func (c *upCommand) Run(p *program) error {
	dir, err := c.directory(p)
	if err != nil {
		return err
	}
	if err := c.check(c.TLSNames...); err != nil {
		return err
	}
	if err := errors.Join(c.checkPairing(), c.checkPace()); err != nil {
		return err
	}
	if c.Mapping != "" {
		if _, err := readMappings(c.Mapping); err != nil {
			return err // before anything is started
		}
	}
	if _, err := c.ways(p, "http://localhost"); err != nil {
		return err // the same
	}
	plain := c.HTTP
	if c.HTTPS {
		plain = ""
	}
	if err := keepPlain(p.ctx, p.err, plain, c.MQTT, c.Insecure); err != nil {
		return err
	}
	if err := keepAddress(p.ctx, p.err, c.HTTP, c.Public); err != nil {
		return err
	}
	cfg := databaseConfig(p, dir, !c.NoInstall)
	server, err := embedded.Start(p.ctx, cfg)
	if err != nil {
		return err
	}
	_ = os.Remove(filepath.Join(dir, runningFile)) // of one that was killed: we hold the lock, so that nobody else runs
	runErr := c.withDatabase(p, dir, server)
	stop, cancel := context.WithTimeout(context.WithoutCancel(p.ctx), 30*time.Second)
	defer cancel()
	return errors.Join(runErr, server.Stop(stop))
}

func (c *upCommand) directory(p *program) (string, error) {
	dir := c.Data
	switch {
	case dir != "":
	case os.Geteuid() == 0:
		dir = "/var/lib/hale"
	case p.env("XDG_DATA_HOME") != "":
		dir = filepath.Join(p.env("XDG_DATA_HOME"), "hale")
	default:
		home, err := os.UserHomeDir()
		if err != nil {
			return "", fault.Wrap(fault.Invalid, err, "no home directory is known: say --data DIR")
		}
		dir = filepath.Join(home, ".local", "share", "hale")
	}
	dir, err := filepath.Abs(dir)
	if err != nil {
		return "", fault.Wrap(fault.Invalid, err, "--data %s", dir)
	}
	return dir, nil
}

// databaseConfig is how the embedded PostgreSQL is found and started.
func databaseConfig(p *program, dir string, install bool) embedded.Config {
	return embedded.Config{
		Dir: dir, BinDir: p.env("HALE_PG_BIN"), PathEnv: p.env("PATH"), RuntimeDir: p.env("XDG_RUNTIME_DIR"), Install: install,
		Log: p.log, Out: func(line string) { fmt.Fprintln(p.err, line) }, Now: time.Now,
	}
}

func (c *upCommand) withDatabase(p *program, dir string, server *embedded.Server) error {
	ctx, cancel := context.WithCancelCause(p.ctx)
	defer cancel(nil)
	go func() {
		select {
		case <-server.Done():
			cancel(server.Err())
		case <-ctx.Done():
		}
	}()
	if _, err := postgres.Migrate(ctx, server.SuperURL("hale")); err != nil {
		return err
	}
	told := announcement{Login: "staff", Password: signin.NewPassword(), Credentials: filepath.Join(dir, "devices.json"), Data: dir, Database: server.SuperURL("hale"), PID: os.Getpid()}
	if err := c.makePeople(ctx, postgres.Operator{AdminURL: server.SuperURL("hale")}, &told); err != nil {
		return err
	}
	nats, err := stream.StartServer(ctx, stream.ServerConfig{Dir: filepath.Join(dir, "stream"), SyncAlways: true, Listen: c.NATS, Log: p.log})
	if err != nil {
		return err
	}
	err = c.withStream(ctx, p, server, nats, told)
	stop, stopped := context.WithTimeout(context.WithoutCancel(p.ctx), 15*time.Second)
	defer stopped()
	err = errors.Join(err, nats.Shutdown(stop))
	if cause := context.Cause(ctx); cause != nil && p.ctx.Err() == nil {
		return errors.Join(cause, err)
	}
	return err
}

func (c *upCommand) withStream(ctx context.Context, p *program, server *embedded.Server, nats *stream.Server, told announcement) error {
	registry := newRegistry()
	conn, err := nats.Connect(ctx, stream.Config{Log: p.log, Metrics: registry})
	if err != nil {
		return err
	}
	defer conn.Close()
	flow, err := conn.Ensure(ctx, stream.StreamConfig{MaxBytes: nats.MaxBytes()})
	if err != nil {
		return err
	}
	zone, err := staffZone(c.Zone)
	if err != nil {
		return err
	}
	h := &house{
		roles: []string{roleEdge, roleProcess, roleAPI}, owner: "up", alone: true, stream: flow, conn: conn, registry: registry, zone: zone, number: c.Emergency, log: p.log,
		database: postgres.Config{URL: server.URL, Log: p.log},
	}
	h.forgets = forgetting{ledger: c.kept(told.Data), scrub: scrubbing(server.SuperURL("hale"))}
	if h.sealKey, err = openSealKey(filepath.Join(told.Data, sealKeyName)); err != nil {
		return err
	}
	if c.Mapping != "" {
		h.roles = append(h.roles, roleBridge)
		if h.others, err = c.brokers(p); err != nil {
			return err
		}
	}
	if h.secondKey, err = ownSecondKey(told.Data); err != nil {
		return err
	}
	h.paces = c.paceFlags
	if h.webhookNetworks, err = c.webhookNetworks(); err != nil {
		return err
	}
	if h.signer, err = deviceSigner(p, filepath.Join(told.Data, deviceAuthorityName)); err != nil {
		return err
	}
	if err := c.open(ctx, p, h, &told); err != nil {
		return err
	}
	if h.ways, err = c.ways(p, told.URL, told.Login); err != nil {
		return err
	}
	defer func() { _ = os.Remove(filepath.Join(told.Data, runningFile)) }() // a leftover is recognised by the lock

	ready := make(chan struct{})
	go func() {
		select {
		case <-ready:
			told.Brokers = h.tellBridge(ctx)
			c.live(ctx, p, told)
		case <-ctx.Done():
		}
	}()
	return h.run(ctx, func() { close(ready) })
}

// open opens the doors, all of them or none, and notes where they are.
func (c *upCommand) open(ctx context.Context, p *program, h *house, told *announcement) error {
	var err error
	if h.proxies, err = c.proxies(); err != nil {
		return err
	}
	if h.cert, err = c.own(p, told.Data, c.TLSNames, c.HTTP, c.MQTTS); err != nil {
		return err
	}
	h.https, h.strict = c.HTTPS, c.HTTPS && c.Cert != ""
	if h.http, err = listen(ctx, c.HTTP, defaultHTTP); err != nil {
		return err
	}
	if h.mqtt, err = listen(ctx, c.MQTT, defaultMQTT); err != nil {
		return errors.Join(err, h.http.Close())
	}
	if h.mqtts, err = listen(ctx, c.MQTTS, defaultMQTTS); err != nil {
		return errors.Join(err, h.http.Close(), h.mqtt.Close())
	}
	h.http = overTLS(h.http, h.cert, c.HTTPS)
	told.URL, told.MQTT, told.MQTTS = scheme(c.HTTPS)+visitable(h.http.Addr()), visitable(h.mqtt.Addr()), visitable(h.mqtts.Addr())
	told.TLSName = nameFor(h.cert, h.http.Addr())
	if h.pairs = c.pairFlags; c.Cert == "" && c.DeviceCA == "" {
		h.pairs.DeviceCA = h.cert.TrustFile()
	}
	if told.CA, err = filepath.Abs(h.cert.TrustFile()); err != nil {
		told.CA = h.cert.TrustFile()
	}
	return nil
}

// signIn signs in at the running Hale.
func (a announcement) signIn(ctx context.Context) (*simulators.Staff, error) {
	trust, err := simulators.Trusting(a.CA, a.TLSName)
	if err != nil {
		return nil, err
	}
	return simulators.SignInTrusting(ctx, trust, a.URL, a.Login, a.Password)
}

// live tells that everything is up, and lets the demo run.
func (c *upCommand) live(ctx context.Context, p *program, told announcement) {
	if err := keepCredentials(told.Credentials); err != nil {
		p.log.Error("there is no file for the devices' secrets", "error", err)
	}
	if err := told.leave(); err != nil {
		p.log.Error("other commands will not find this one", "error", err)
	}
	if err := c.tell(p, told); err != nil {
		p.log.Error("cannot print where to go", "error", err)
	}
	if !c.Demo {
		return
	}
	staff, err := told.signIn(ctx)
	if err == nil {
		demo := &simulators.Demo{Staff: staff, MQTT: told.MQTT, Credentials: told.Credentials, Now: time.Now, Spare: c.inviteTry(p, told)}
		err = demo.Run(ctx)
	}
	if err != nil && ctx.Err() == nil {
		p.log.Error("the demo's patients have stopped", "error", err)
	}
}

// inviteTry prints how to send a reading by hand, with a device of the demo that nobody else drives.
func (c *upCommand) inviteTry(p *program, told announcement) func(device, secret, patient string) {
	return func(device, secret, patient string) {
		host, port, err := net.SplitHostPort(told.MQTT)
		if err != nil || c.JSON {
			return
		}
		_, err = fmt.Fprintf(p.out, `
Send a reading of %s yourself (Debian's mosquitto-clients):

  mosquitto_pub -h %s -p %s -V 311 -q 1 -i %s -u %s -P %s -t hale/v1/%s/readings \
    -m '{"metric":"blood_pressure","systolic":186,"diastolic":104,"unit":"mm[Hg]"}'

`, patient, host, port, device, device, secret, device)
		if err != nil {
			p.log.Error("cannot print how to send a reading", "error", err)
		}
	}
}

func (c *upCommand) tell(p *program, told announcement) error {
	if c.JSON {
		return json.NewEncoder(p.out).Encode(told) //nolint:gosec // the login is made for this run and is what this line is for
	}
	_, err := fmt.Fprintf(p.out, `Hale is up.

  Board    %s
  Login    %s
  Password %s   (made for this run)
%s  Devices  mqtt://%s   (secrets of enrolled devices: %s)
           mqtts://%s
  Trust    %s   (for devices and browsers: whom they must believe at mqtts and https)
  API      %s/docs
%s
`, told.URL, told.Login, told.Password, told.otherLogins(), told.MQTT, told.Credentials, told.MQTTS, told.CA, told.URL, brokerLines(told.Brokers))
	if err == nil && told.TLSName != "" {
		_, err = fmt.Fprintf(p.out, "The certificate is that of %s.\n", told.TLSName)
	}
	if err == nil && c.Demo {
		_, err = fmt.Fprintln(p.out, "Five simulated people are living: two get into trouble within a minute, a third has been gathering fluid all week.")
	}
	if err == nil {
		_, err = fmt.Fprintln(p.out, "Hale is no emergency service. Ctrl-C ends it.")
	}
	return err
}

// keepCredentials makes the file of device secrets where it is missing, so that what is told is there.
func keepCredentials(path string) error {
	secrets, err := simulators.ReadCredentials(path)
	if err != nil || len(secrets) > 0 {
		return err
	}
	return simulators.WriteCredentials(path, secrets)
}

func (a announcement) leave() error {
	b, err := json.MarshalIndent(a, "", "  ") //nolint:gosec // other commands of this user sign in with it; the file is 0600
	if err != nil {
		return fmt.Errorf("write %s: %w", runningFile, err)
	}
	if err := os.WriteFile(filepath.Join(a.Data, runningFile), append(b, '\n'), 0o600); err != nil {
		return fmt.Errorf("write %s: %w", runningFile, err)
	}
	return nil
}

// findRunning reads what an `up` on the directory left, and checks that it is of the one that holds the directory and
// still answers. What a killed one left is removed: its address may be another program's by now, and its password would
// be sent there.
func findRunning(ctx context.Context, dir string) (announcement, error) {
	var a announcement
	path := filepath.Join(dir, runningFile)
	pid, held := embedded.Holder(dir)
	if !held {
		err := os.Remove(path)
		if errors.Is(err, fs.ErrNotExist) {
			err = nil
		}
		return a, errors.Join(fault.New(fault.NotFound, "no `hale up` runs on %s: start one, or say --data DIR", dir), err)
	}
	b, err := os.ReadFile(path) //nolint:gosec // the user names the directory
	if errors.Is(err, fs.ErrNotExist) {
		return a, notReady(pid, dir)
	}
	if err != nil {
		return a, fault.Wrap(fault.Invalid, err, "%s cannot be read", path)
	}
	if err := json.Unmarshal(b, &a); err != nil {
		return a, fault.Wrap(fault.Invalid, err, "%s cannot be read", path)
	}
	if a.PID != pid { // the one that holds the directory will remove what an earlier one left
		return announcement{}, notReady(pid, dir)
	}
	conn, err := (&net.Dialer{Timeout: 2 * time.Second}).DialContext(ctx, "tcp", a.MQTT)
	if err != nil {
		return a, fault.Wrap(fault.Unavailable, err, "the `hale up` of %s does not answer", dir)
	}
	return a, conn.Close()
}

func notReady(pid int, dir string) error {
	return fault.New(fault.Unavailable, "the `hale up` of %s (pid %d) is not ready: try again in a moment", dir, pid)
}
