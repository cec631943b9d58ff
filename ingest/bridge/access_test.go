package bridge_test

import (
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	mqtt "github.com/eclipse/paho.mqtt.golang"

	"hale/devices"
	"hale/devices/credential"
	"hale/ingest"
	"hale/ingest/bridge"
	"hale/internal/mosquitto"
)

// site is a Mosquitto with the files that Hale writes for it.
type site struct {
	*mosquitto.Broker
	other   string // the address of a listener of the site's own, with users of its own; empty: there is none
	dir     string
	users   map[string]string // what is kept of the secrets, by name
	secrets map[string]string
}

// reception is a user of the site's own listener.
const reception = "reception"

// openSite starts a Mosquitto that knows the bridge's device and two others by what the desk keeps of their secrets. Hale's lines stand
// below the listener of the devices, as they are to be copied there; it may have another one beside that, as docs/bridge.md says.
func openSite(t *testing.T, another bool) *site {
	t.Helper()
	s := &site{dir: t.TempDir(), users: map[string]string{}, secrets: map[string]string{}}
	for _, uid := range []string{"bridge-1", "cuff-1", "cuff-2", reception} {
		secret, kept, err := devices.NewSecret()
		if err != nil {
			t.Fatal(err)
		}
		s.secrets[uid], s.users[uid] = secret, kept.Broker
	}
	at := func(name string) string { return filepath.Join(s.dir, name) }
	own, _ := credential.MosquittoPasswords([]credential.BrokerUser{{UID: reception, Hash: s.users[reception]}})
	delete(s.users, reception)
	if err := os.WriteFile(at("own"), []byte(own), 0o600); err != nil {
		t.Fatal(err)
	}
	s.write(t)
	c := mosquitto.Config{Guarded: true, Lines: strings.Split(credential.MosquittoLines(at("passwd"), at("acl")), "\n")}
	if another {
		s.other = mosquitto.FreeAddress(t)
		_, port, _ := strings.Cut(s.other, ":")
		c.Above = []string{"per_listener_settings true", "listener " + port + " 127.0.0.1", "allow_anonymous false", "password_file " + at("own")}
	}
	s.Broker = mosquitto.New(t, c)
	return s
}

// write writes the files of those who are known now.
func (s *site) write(t *testing.T) {
	t.Helper()
	var list []credential.BrokerUser
	for uid, hash := range s.users {
		list = append(list, credential.BrokerUser{UID: uid, Hash: hash})
	}
	passwords, left := credential.MosquittoPasswords(list)
	if len(left) > 0 {
		t.Fatalf("without a hash: %v", left)
	}
	for name, text := range map[string]string{"passwd": passwords, "acl": credential.MosquittoAccess("bridge-1", []string{"hale/v1/#"})} {
		if err := os.WriteFile(filepath.Join(s.dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

// client runs one of Debian's mosquitto-clients as a device.
func (s *site) client(ctx context.Context, t *testing.T, program, uid string, more ...string) *exec.Cmd {
	t.Helper()
	host, port, err := net.SplitHostPort(s.Addr)
	if err != nil {
		t.Fatal(err)
	}
	args := append([]string{"-V", "311", "-h", host, "-p", port, "-q", "1", "-i", uid, "-u", uid, "-P", s.secrets[uid]}, more...)
	return exec.CommandContext(ctx, program, args...)
}

// run runs a client to its end.
func (s *site) run(t *testing.T, program, uid string, more ...string) (said string, ok bool) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	out, err := s.client(ctx, t, program, uid, more...).CombinedOutput()
	return string(out), err == nil
}

// paho connects a device by paho; gone closes when the broker ends the connection.
func (s *site) paho(t *testing.T, uid string) (c mqtt.Client, gone chan struct{}) {
	t.Helper()
	gone = make(chan struct{})
	c = mqtt.NewClient(mqtt.NewClientOptions().AddBroker("tcp://" + s.Addr).SetProtocolVersion(4).SetClientID(uid).SetUsername(uid).SetPassword(s.secrets[uid]).
		SetAutoReconnect(false).SetConnectionLostHandler(func(mqtt.Client, error) { close(gone) }))
	settled(t, c.Connect())
	t.Cleanup(func() { c.Disconnect(0) })
	return c, gone
}

func settled(t *testing.T, token mqtt.Token) {
	t.Helper()
	if !token.WaitTimeout(20*time.Second) || token.Error() != nil {
		t.Fatalf("the broker did not answer: %v", token.Error())
	}
}

// ended waits until the broker has ended a connection.
func ended(t *testing.T, gone chan struct{}) {
	t.Helper()
	select {
	case <-gone:
	case <-time.After(10 * time.Second):
		t.Fatal("the connection stays open")
	}
}

// next waits for what a client hears.
func next(t *testing.T, heard chan string) string {
	t.Helper()
	select {
	case what := <-heard:
		return what
	case <-time.After(20 * time.Second):
		t.Fatal("nothing is heard")
		return ""
	}
}

const cuffReading = `{"metric":"heart_rate","value":61,"unit":"/min","time":"2026-11-21T07:25:00Z","seq":%d}`

func TestWithTheFilesOfHaleADeviceIsNobodyButItselfAtMosquitto(t *testing.T) {
	t.Parallel()
	for name, another := range map[string]bool{"Mosquitto has one listener": false, "it has another one for somebody else": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			isNobodyButItself(t, openSite(t, another))
		})
	}
}

// keepsApart looks that no door of the site's own lets a device in, and that of the devices nobody else.
func (s *site) keepsApart(t *testing.T, victimGone chan struct{}) {
	t.Helper()
	if said, ok := s.run(t, "mosquitto_pub", reception, "-t", "hale/v1/cuff-2/readings", "-m", "x"); ok || !strings.Contains(said, "not authorised") {
		t.Errorf("somebody else at the devices' listener: %s", said)
	}
	if s.other == "" {
		return
	}
	_, port, _ := strings.Cut(s.other, ":")
	for _, as := range [][]string{{}, {"-i", "cuff-2"}, {"-i", "bridge-1"}, {"-u", "", "-P", ""}} {
		if said, ok := s.run(t, "mosquitto_pub", "cuff-1", append([]string{"-p", port, "-t", "hale/v1/cuff-2/readings", "-m", "x"}, as...)...); ok || !strings.Contains(said, "not authorised") {
			t.Errorf("a device at the other listener as %v: %s", as, said)
		}
	}
	if said, ok := s.run(t, "mosquitto_pub", reception, "-p", port, "-t", "house/door", "-m", "open"); !ok {
		t.Errorf("somebody else at their own listener: %s", said)
	}
	select {
	case <-victimGone:
		t.Error("a device's connection was taken over by way of the other listener")
	default:
	}
}

func isNobodyButItself(t *testing.T, s *site) {
	t.Helper()
	d := &disk{}
	r := start(t, d, bridge.Config{Brokers: read(t, one("a", s.Addr)), Credentials: func(*ingest.Broker) (string, string, error) {
		return "bridge-1", s.secrets["bridge-1"], nil
	}})
	r.ready(t)

	// What is its own arrives: readings in Hale, commands at the device.
	victim, victimGone := s.paho(t, "cuff-2")
	heard := make(chan string, 100)
	settled(t, victim.Subscribe("hale/v1/#", 1, func(_ mqtt.Client, m mqtt.Message) { heard <- m.Topic() + " " + string(m.Payload()) }))
	device, gone := s.paho(t, "cuff-1")
	spied := make(chan string, 100)
	settled(t, device.SubscribeMultiple(map[string]byte{"#": 1, "hale/v1/cuff-2/#": 1, "hale/v1/+/receipts": 1, "$SYS/#": 1}, func(_ mqtt.Client, m mqtt.Message) {
		spied <- m.Topic() + " " + string(m.Payload())
	}))
	settled(t, device.Publish("hale/v1/cuff-1/readings", 1, false, fmt.Sprintf(cuffReading, 1)))
	if said, ok := s.run(t, "mosquitto_pub", "cuff-1", "-t", "hale/v1/cuff-1/readings", "-m", fmt.Sprintf(cuffReading, 2)); !ok { // the same name: it takes over
		t.Errorf("mosquitto_pub: %s", said)
	}
	d.holds(t, 2)
	ended(t, gone) // by its own second connection
	device, gone = s.paho(t, "cuff-1")
	settled(t, device.Subscribe("#", 1, func(_ mqtt.Client, m mqtt.Message) { spied <- m.Topic() + " " + string(m.Payload()) }))

	// What is another's does not: neither to Hale nor to the device.
	for _, topic := range []string{"hale/v1/cuff-2/readings", "hale/v1/cuff-2/commands", "hale/v1/cuff-2/receipts", "hale/v1/bridge-1/sensors/s0/readings", "v/s0", "hale/v1//readings", "hale/v1/cuff-11/readings"} {
		settled(t, device.Publish(topic, 1, true, fmt.Sprintf(cuffReading, 3))) // Mosquitto acknowledges what it drops
		if said, ok := s.run(t, "mosquitto_pub", "cuff-2", "-i", "cuff-1", "-u", "cuff-1", "-P", "of cuff-2", "-t", topic, "-m", "x"); ok {
			t.Errorf("a wrong secret published on %s: %s", topic, said)
		}
	}
	// Another's client id under one's own name does not take the other's connection: the name stands in for the id.
	if said, ok := s.run(t, "mosquitto_pub", "cuff-1", "-i", "cuff-2", "-t", "hale/v1/cuff-2/readings", "-m", fmt.Sprintf(cuffReading, 4)); !ok {
		t.Errorf("mosquitto_pub under another's client id: %s", said)
	}
	for _, as := range [][]string{{"-i", "cuff-2", "-u", "cuff-2", "-P", s.secrets["cuff-1"]}, {"-u", "cuff-2"}, {"-u", "cuff-3"}, {"-u", "", "-P", ""}} {
		if said, ok := s.run(t, "mosquitto_pub", "cuff-1", append([]string{"-t", "hale/v1/cuff-2/readings", "-m", "x"}, as...)...); ok {
			t.Errorf("connected as %v: %s", as, said)
		}
	}
	ended(t, gone) // by the mosquitto_pub of its own name
	settled(t, victim.Publish("hale/v1/cuff-2/commands", 1, false, "to itself"))
	if what := next(t, heard); what != "hale/v1/cuff-2/commands to itself" {
		t.Errorf("the other heard first %q", what)
	}
	device, gone = s.paho(t, "cuff-1")
	settled(t, device.Subscribe("#", 1, func(_ mqtt.Client, m mqtt.Message) { spied <- m.Topic() + " " + string(m.Payload()) }))
	settled(t, device.Publish("hale/v1/cuff-1/commands", 1, false, "to itself as well"))
	if what := next(t, spied); what != "hale/v1/cuff-1/commands to itself as well" { // behind everything that it must not hear
		t.Errorf("it heard first %q", what)
	}
	settled(t, device.Publish("hale/v1/cuff-1/readings", 1, false, fmt.Sprintf(cuffReading, 5)))
	d.holds(t, 3)
	for _, refused := range d.quarantined() {
		if refused.Topic != "hale/v1/cuff-2/commands" && refused.Topic != "hale/v1/cuff-1/commands" { // what they told themselves
			t.Errorf("Hale was sent %s", refused.Topic)
		}
	}

	s.keepsApart(t, victimGone)

	// Revoked, it is out with the next reading of the files, and the others stay.
	delete(s.users, "cuff-1")
	s.write(t)
	s.Reload()
	ended(t, gone)
	if said, ok := s.run(t, "mosquitto_pub", "cuff-1", "-t", "hale/v1/cuff-1/readings", "-m", "x"); ok || !strings.Contains(said, "not authorised") {
		t.Errorf("a revoked device: %s", said)
	}
	settled(t, victim.Publish("hale/v1/cuff-2/commands", 1, false, "still there"))
	if what := next(t, heard); what != "hale/v1/cuff-2/commands still there" {
		t.Errorf("the other heard %q", what)
	}
	select {
	case <-victimGone:
		t.Error("the other was thrown out")
	default:
	}
	r.ready(t)
}
