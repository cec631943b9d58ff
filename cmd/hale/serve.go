package main

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"net"
	"os"
	"slices"
	"time"

	"hale/api/session"
	"hale/fault"
	"hale/ingest/bridge"
	"hale/postgres"
	"hale/stream"
)

type serveCommand struct {
	Roles       []string      `help:"Roles of this process." default:"edge,process,api" env:"HALE_ROLES"`
	NATS        string        `help:"URL of the NATS server or cluster." required:"" placeholder:"URL" env:"NATS_URL"`
	NATSCreds   string        `help:"File with NATS credentials." placeholder:"FILE" env:"HALE_NATS_CREDENTIALS"`
	Database    string        `help:"URL of the PostgreSQL database; its user must be a member of hale_app and hale_work." required:"" placeholder:"URL" env:"DATABASE_URL"`
	HTTP        string        `help:"Address of the API and the screens (role api)." default:"127.0.0.1:8080" placeholder:"ADDR" env:"HALE_HTTP"`
	MQTT        string        `help:"Address of the device edge (role edge)." default:"127.0.0.1:1883" placeholder:"ADDR" env:"HALE_MQTT"`
	MQTTS       string        `name:"mqtts" help:"Address of the encrypted device edge (role edge); none without it. Needs --tls-cert." placeholder:"ADDR" env:"HALE_MQTTS"`
	MQTTProxies []string      `name:"mqtt-proxies" help:"Addresses or ranges of TCP load balancers before the device edge, which must then say each device's address first (PROXY protocol, version 1 or 2)." placeholder:"CIDR" env:"HALE_MQTT_PROXIES"`
	Admin       string        `help:"Address of /healthz, /readyz and /metrics (default without role api: 127.0.0.1:9090, or the next free port)." placeholder:"ADDR" env:"HALE_ADMIN"`
	Insecure    bool          `name:"insecure-http" help:"Let plain HTTP be reached from other machines: passwords and patients' data travel unencrypted." env:"HALE_INSECURE_HTTP"`
	StreamBytes int64         `help:"Largest size of the stream in bytes; the NATS server must really have it." default:"4294967296" env:"HALE_STREAM_BYTES"`
	Replicas    int           `help:"Copies of the stream that a NATS cluster keeps." default:"1" env:"HALE_STREAM_REPLICAS"`
	Lease       time.Duration `help:"How long a silent process keeps its partitions (role process); the same for all processes, for the canary's alarm waits that long." default:"30s" env:"HALE_LEASE"`
	Canary      time.Duration `help:"Time between two beats of each edge's canary, the same for all processes. Alarm when none has come through for six of them, and for the lease with 2 s and two beats." default:"5s" env:"HALE_CANARY"`
	Zone        string        `help:"Time zone of the staff, for example Europe/Ljubljana (default: this machine's)." placeholder:"ZONE" env:"HALE_ZONE"`
	SecondKey   string        `name:"second-factor-key" help:"File with the key that the secrets of second factors (role api) and of webhooks (roles api and process) are kept under, the same for all processes: 32 bytes in base64." placeholder:"FILE" env:"HALE_SECOND_FACTOR_KEY"`
	Emergency   string        `help:"Number to call in an emergency; it stands on every page." default:"112" env:"HALE_EMERGENCY_NUMBER"`
	AuditKey    string        `name:"audit-key" help:"File with the key that signs the audit trail (role process), made when it is missing; the same for all processes. Its public half is written beside it. Without it nothing is signed." placeholder:"FILE" env:"HALE_AUDIT_KEY"`
	databasePassword
	doorFlags
	bridgeFlags
	oidcFlags
	eraseFlags
	pairFlags
	paceFlags
	noticeFlags

	DeviceAuthority string `name:"device-authority" help:"Directory of the authority that signs devices' client certificates (role api), made when it is missing. Without it none are signed here." placeholder:"DIR" env:"HALE_DEVICE_AUTHORITY"`
}

// Run takes on the roles until it is told to end.
func (c *serveCommand) Run(p *program) error {
	for _, r := range c.Roles {
		if !slices.Contains([]string{roleEdge, roleBridge, roleProcess, roleAPI}, r) {
			return fault.New(fault.Invalid, "there is no role %q; the roles are edge, bridge, process and api", r)
		}
	}
	if err := c.check(); err != nil {
		return err
	}
	if err := errors.Join(c.checkPairing(), c.checkPace()); err != nil {
		return err
	}
	signer, err := deviceSigner(p, c.DeviceAuthority)
	if err != nil {
		return err
	}
	if err := c.into(&c.Database); err != nil {
		return err
	}
	if err := c.plain(p); err != nil {
		return err
	}
	cert, err := c.certificate(p)
	if err != nil {
		return err
	}
	proxies, err := c.proxies()
	if err != nil {
		return err
	}
	balancers, err := session.ParseProxies(c.MQTTProxies)
	if err != nil {
		return fault.Wrap(fault.Invalid, err, "--mqtt-proxies")
	}
	others, err := c.others(p)
	if err != nil {
		return err
	}
	zone, err := staffZone(c.Zone)
	if err != nil {
		return err
	}
	owner, err := ownerName()
	if err != nil {
		return err
	}
	sealKey, err := c.sealKey(p)
	if err != nil {
		return err
	}
	secondKey, err := givenSecondKey(c.SecondKey)
	if err != nil {
		return err
	}
	ways, err := c.ways(p, "")
	if err != nil {
		return err
	}
	networks, err := c.webhookNetworks()
	if err != nil {
		return err
	}
	registry := newRegistry()
	conn, err := stream.Dial(p.ctx, c.NATS, stream.Config{Name: owner, Credentials: c.NATSCreds, Log: p.log, Metrics: registry})
	if err != nil {
		return err
	}
	defer conn.Close()
	flow, err := conn.Ensure(p.ctx, stream.StreamConfig{MaxBytes: c.StreamBytes, Replicas: c.Replicas})
	if err != nil {
		return err
	}
	h := &house{
		roles: c.Roles, owner: owner, stream: flow, conn: conn, registry: registry, zone: zone, number: c.Emergency, lease: c.Lease, canaryEvery: c.Canary, log: p.log,
		database: postgres.Config{URL: func(string) string { return c.Database }, SetRole: true, Log: p.log},
		others:   others,
		sealKey:  sealKey, secondKey: secondKey, ways: ways, forgets: forgetting{ledger: c.kept("")},
		pairs: c.pairFlags, paces: c.paceFlags, signer: signer, webhookNetworks: networks,
		cert: cert, https: c.HTTPS, strict: c.HTTPS, proxies: proxies, balancers: balancers,
	}
	if err := c.listen(p.ctx, h); err != nil {
		return err
	}
	return h.run(p.ctx, func() { fmt.Fprintln(p.err, "hale: ready"+doors(h)) })
}

// others returns the brokers of role bridge; nil without it.
func (c *serveCommand) others(p *program) (*bridge.Config, error) {
	switch {
	case !slices.Contains(c.Roles, roleBridge):
		return nil, nil //nolint:nilnil // no other broker is an answer here
	case c.Mapping == "":
		return nil, fault.New(fault.Invalid, "role bridge needs --mapping FILE, which says what to take from which brokers (docs/bridge.md)")
	}
	return c.brokers(p)
}

// certificate is that of the encrypted doors which the roles will really open; nil when they open none.
func (c *serveCommand) certificate(p *program) (certificate, error) {
	wanted := c.HTTPS && slices.Contains(c.Roles, roleAPI) || c.MQTTS != "" && slices.Contains(c.Roles, roleEdge)
	if !wanted {
		return nil, nil //nolint:nilnil // no certificate is an answer here
	}
	cert, err := c.given(p)
	if cert == nil && err == nil {
		err = fault.New(fault.Invalid, "serve has no certificate authority of its own: --https and --mqtts need --tls-cert and --tls-key")
	}
	return cert, err
}

// plain looks at the addresses that the roles will really listen on.
func (c *serveCommand) plain(p *program) error {
	var http, mqtt string
	if slices.Contains(c.Roles, roleAPI) && !c.HTTPS {
		http = c.HTTP
	}
	if slices.Contains(c.Roles, roleEdge) {
		mqtt = c.MQTT
	}
	if slices.Contains(c.Roles, roleAPI) {
		if err := keepAddress(p.ctx, p.err, c.HTTP, c.Public); err != nil {
			return err
		}
	}
	return keepPlain(p.ctx, p.err, http, mqtt, c.Insecure)
}

// listen opens what the roles need, all of it or nothing.
func (c *serveCommand) listen(ctx context.Context, h *house) error {
	var opened []net.Listener
	open := func(wanted bool, at *net.Listener, asked, byDefault string) error {
		if !wanted {
			return nil
		}
		l, err := listen(ctx, asked, byDefault)
		if err == nil {
			*at, opened = l, append(opened, l)
		}
		return err
	}
	err := open(h.has(roleAPI), &h.http, c.HTTP, defaultHTTP)
	if err == nil {
		err = open(h.has(roleEdge), &h.mqtt, c.MQTT, defaultMQTT)
	}
	if err == nil {
		err = open(h.has(roleEdge) && c.MQTTS != "", &h.mqtts, c.MQTTS, defaultMQTTS)
	}
	if err == nil {
		err = open(!h.has(roleAPI) || c.Admin != "", &h.admin, c.Admin, defaultAdmin)
	}
	if err != nil {
		for _, l := range opened {
			err = errors.Join(err, l.Close())
		}
		return err
	}
	if h.http != nil {
		h.http = overTLS(h.http, h.cert, h.https)
	}
	return nil
}

// doors says where the process listens.
func doors(h *house) string {
	text := ""
	if h.http != nil {
		text += "; API on " + scheme(h.https) + visitable(h.http.Addr())
	}
	if h.mqtt != nil {
		text += "; devices on mqtt://" + visitable(h.mqtt.Addr())
	}
	if h.mqtts != nil {
		text += "; devices on mqtts://" + visitable(h.mqtts.Addr())
	}
	if h.admin != nil {
		text += "; admin on http://" + visitable(h.admin.Addr())
	}
	return text
}

// staffZone is the time zone in which screens show times that concern no single patient.
func staffZone(name string) (*time.Location, error) {
	if name == "" {
		return time.Local, nil
	}
	zone, err := time.LoadLocation(name)
	return zone, fault.Wrap(fault.Invalid, err, "--zone %s: say a name such as Europe/Ljubljana", name)
}

// ownerName is unique to this process: two processes must never take each other for the same owner of a partition.
func ownerName() (string, error) {
	host, err := os.Hostname()
	if err != nil {
		host = "host"
	}
	var salt [4]byte
	if _, err := rand.Read(salt[:]); err != nil {
		return "", fmt.Errorf("draw a name: %w", err)
	}
	return fmt.Sprintf("%s-%d-%s", host, os.Getpid(), hex.EncodeToString(salt[:])), nil
}

type migrateCommand struct {
	Database string `help:"URL of the PostgreSQL database; a superuser the first time, later a member of hale_migrate." required:"" placeholder:"URL" env:"DATABASE_URL"`
	databasePassword
}

// Run migrates the database.
func (c *migrateCommand) Run(p *program) error {
	if err := c.into(&c.Database); err != nil {
		return err
	}
	done, err := postgres.Migrate(p.ctx, c.Database)
	if err != nil {
		return err
	}
	if done.From == done.To {
		_, err = fmt.Fprintf(p.out, "The database was at version %d already; nothing was changed.\n", done.To)
	} else {
		_, err = fmt.Fprintf(p.out, "The database was brought from version %d to %d.\n", done.From, done.To)
	}
	return err
}
