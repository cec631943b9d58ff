package edge

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"os/exec"
	"strings"
	"testing"
	"time"

	mqtt "github.com/eclipse/paho.mqtt.golang"
	"github.com/eclipse/paho.mqtt.golang/packets"

	"hale/devices"
	"hale/internal/certs"
	"hale/vital"
)

// papers are the certificates of a test: a maker that is trusted, and d1's certificate of it, which is written down.
type papers struct {
	*house
	maker *certs.Authority
	d1    tls.Certificate
}

// withPapers opens a house with a plain door and one with TLS. The devices d1, d2 and d3 have their secrets; d1 has a
// certificate besides.
func withPapers(t *testing.T) papers {
	t.Helper()
	return withPapersWatched(t, 0)
}

// withPapersWatched is withPapers with an edge that looks as often at who is connected as it is told; 0: all the time.
func withPapersWatched(t *testing.T, every time.Duration) papers {
	t.Helper()
	p := papers{maker: certs.New(t, "maker")}
	p.house = openDoors(t, Limits{WrongSecretFor: time.Millisecond, WatchEvery: every}, &recorder{always: accepted}, Listener{}, Listener{TLS: selfSigned(t)})
	p.d1 = p.maker.Issue(t, certs.Leaf{Name: "d1"})
	p.write(func(s *devices.Snapshot) {
		s.Authorities = map[vital.OrgID][]*devices.Authority{1: {authorityOf(p.maker, "maker", devices.ForDevices)}}
		give(s, "d1", &p.d1)
	})
	return p
}

func authorityOf(a *certs.Authority, uid vital.UID, kind devices.AuthorityKind) *devices.Authority {
	c := a.Certificate
	return &devices.Authority{UID: uid, Org: 1, Kind: kind, Name: string(uid), Certificate: c, From: c.NotBefore, Until: c.NotAfter}
}

// write makes a new version of the registry: the one before, changed. A snapshot is never changed itself.
func (p papers) write(change func(s *devices.Snapshot)) {
	before := p.registry.Load()
	after := kit(before.Version+1, "d1", "d2", "d3")
	after.Authorities = map[vital.OrgID][]*devices.Authority{}
	for uid, d := range after.Devices {
		d.Certificates = append(d.Certificates, before.Devices[uid].Certificates...)
	}
	for _, a := range before.Authorities[1] {
		same := *a
		after.Authorities[1] = append(after.Authorities[1], &same)
	}
	change(after)
	p.registry.Store(after)
}

// give writes a certificate down for a device.
func give(s *devices.Snapshot, uid string, c *tls.Certificate) {
	s.Devices[uid].Certificates = append(s.Devices[uid].Certificates, devices.Certificate{
		Fingerprint: devices.FingerprintOf(c.Leaf), NotBefore: c.Leaf.NotBefore, NotAfter: c.Leaf.NotAfter,
	})
}

// show connects at the door with TLS and shows a certificate; nil: none.
func (p papers) show(t *testing.T, c *tls.Certificate) raw {
	t.Helper()
	cfg := &tls.Config{InsecureSkipVerify: true}
	if c != nil {
		cfg.Certificates = []tls.Certificate{*c}
	}
	return raw{t, tls.Client(p.dialDoor(t, 1).Conn, cfg)}
}

// nameless is a CONNECT with neither user name nor password.
func nameless(uid string) *packets.ConnectPacket {
	c := hello(uid)
	c.UsernameFlag, c.Username, c.PasswordFlag, c.Password = false, "", false, nil
	return c
}

// answered sends a CONNECT and returns the code of the CONNACK.
func (r raw) answered(c *packets.ConnectPacket) byte {
	r.t.Helper()
	r.send(c)
	ack, ok := r.receive().(*packets.ConnackPacket)
	if !ok {
		r.t.Fatal("the answer to a CONNECT is no CONNACK")
	}
	return ack.ReturnCode
}

func TestCertificatesAndPasswordsSideBySide(t *testing.T) {
	t.Parallel()
	p := withPapers(t)
	one := p.show(t, &p.d1)
	if code := one.answered(nameless("d1")); code != 0 {
		t.Fatalf("with a certificate: code %d", code)
	}
	two := p.show(t, nil)
	if code := two.answered(hello("d2")); code != 0 {
		t.Fatalf("with a password: code %d", code)
	}
	one.send(message("hale/v1/d1/readings", 1, 1, "by certificate"))
	two.send(message("hale/v1/d2/readings", 1, 1, "by password"))
	one.expect(ack("PUBACK", 1))
	two.expect(ack("PUBACK", 1))
	for _, m := range p.core.wait(t, 2) {
		if want := map[string]string{"by certificate": "d1", "by password": "d2"}[string(m.Payload)]; m.Device.UID != want {
			t.Errorf("%q is a message of %s, want %s", m.Payload, m.Device.UID, want)
		}
	}
	if n := counted(t, p.metrics.certificates.WithLabelValues("good")); n != 1 {
		t.Errorf("%v good certificates are counted", n)
	}
}

func TestWhatIsShownMustBeGoodAllOfIt(t *testing.T) {
	t.Parallel()
	now := time.Now()
	p := withPapers(t)
	stranger, batches := certs.New(t, "stranger"), certs.New(t, "batches")
	issue := func(a *certs.Authority, uid string, l certs.Leaf) *tls.Certificate {
		c := a.Issue(t, l)
		p.write(func(s *devices.Snapshot) { give(s, uid, &c) })
		return &c
	}
	p.write(func(s *devices.Snapshot) {
		s.Authorities[1] = append(s.Authorities[1], authorityOf(batches, "batches", devices.ForClaims))
	})
	unknown := p.maker.Issue(t, certs.Leaf{Name: "d1"})
	password := func(uid, user, secret string) func() *packets.ConnectPacket {
		return func() *packets.ConnectPacket {
			c := hello(uid)
			c.Username, c.Password = user, []byte(secret)
			return c
		}
	}
	alone := func(uid string) func() *packets.ConnectPacket {
		return func() *packets.ConnectPacket { return nameless(uid) }
	}
	cases := map[string]struct {
		shown *tls.Certificate
		send  func() *packets.ConnectPacket
		want  byte
	}{
		"with the UID as user name and no password": {&p.d1, func() *packets.ConnectPacket { c := nameless("d1"); c.UsernameFlag, c.Username = true, "d1"; return c }, 0},
		"with an empty user name":                   {&p.d1, func() *packets.ConnectPacket { c := nameless("d1"); c.UsernameFlag = true; return c }, 0},
		"with the right password beside":            {&p.d1, password("d1", "d1", secret), 0},
		"with a wrong password beside":              {&p.d1, password("d1", "d1", "wrong"), 4},
		"with another's user name":                  {&p.d1, password("d1", "d2", secret), 2},
		"with another's client id":                  {&p.d1, alone("d2"), 4},
		"with another's client id and its password": {&p.d1, password("d2", "d2", secret), 4},
		"without a client id":                       {&p.d1, alone(""), 2},
		"of an authority that nobody trusts":        {issue(stranger, "d2", certs.Leaf{Name: "d2"}), alone("d2"), 4},
		"the same, with the right password beside":  {issue(stranger, "d2", certs.Leaf{Name: "d2"}), password("d2", "d2", secret), 4},
		"with a name that is not the device's":      {issue(p.maker, "d2", certs.Leaf{Name: "d9"}), alone("d2"), 4},
		"that was not written down":                 {&unknown, alone("d1"), 4},
		"that has ended":                            {issue(p.maker, "d2", certs.Leaf{Name: "d2", To: now.Add(-time.Second)}), alone("d2"), 4},
		"that is not valid yet":                     {issue(p.maker, "d2", certs.Leaf{Name: "d2", From: now.Add(time.Hour)}), alone("d2"), 4},
		"for a server":                              {issue(p.maker, "d2", certs.Leaf{Name: "d2", Usages: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}}), alone("d2"), 4},
		"to claim with":                             {issue(batches, "d2", certs.Leaf{Name: "d2"}), alone("d2"), 4},
		"none, and no password":                     {nil, alone("d1"), 4},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := p.show(t, c.shown)
			if got := r.answered(c.send()); got != c.want {
				t.Errorf("the code is %d, want %d", got, c.want)
			}
		})
	}
}

func TestACertificateThatMayBeNewWaitsForTheRegistry(t *testing.T) {
	t.Parallel()
	p := withPapers(t)
	p.away.Store(true)
	fresh := p.maker.Issue(t, certs.Leaf{Name: "d1"})
	if code := p.show(t, &fresh).answered(nameless("d1")); code != byte(codeUnavailable) {
		t.Errorf("one that the snapshot does not know: code %d, want 3: it may have been signed a moment ago", code)
	}
	if code := p.show(t, &p.d1).answered(nameless("d1")); code != 0 {
		t.Errorf("one that it knows: code %d", code)
	}
	over := p.maker.Issue(t, certs.Leaf{Name: "d2", To: time.Now().Add(-time.Second)})
	p.write(func(s *devices.Snapshot) { give(s, "d2", &over) })
	if code := p.show(t, &over).answered(nameless("d2")); code != byte(codeCredentials) {
		t.Errorf("one that has ended: code %d, want 4: no registry makes it good again", code)
	}
}

func TestALiveSessionEndsWithWhatLetItIn(t *testing.T) {
	t.Parallel()
	cases := map[string]struct {
		change   func(p papers)
		cause    cause
		bySecret bool
	}{
		"the certificate is revoked":            {func(p papers) { p.write(func(s *devices.Snapshot) { s.Devices["d1"].Certificates[0].Revoked = true }) }, causeRevoked, false},
		"its authority is revoked":              {func(p papers) { p.write(func(s *devices.Snapshot) { s.Authorities[1][0].Revoked = true }) }, causeRevoked, false},
		"the device is revoked":                 {func(p papers) { p.write(func(s *devices.Snapshot) { s.Devices["d1"].Revoked = true }) }, causeRevoked, false},
		"the certificate ends":                  {func(p papers) { p.clock.Store(int64(25 * time.Hour)) }, causeExpired, false},
		"the device with a password is revoked": {func(p papers) { p.write(func(s *devices.Snapshot) { s.Devices["d1"].Revoked = true }) }, causeRevoked, true},
		"the device with a password is paired":  {func(p papers) { p.write(func(s *devices.Snapshot) { s.Devices["d1"].SecretHash[0]++ }) }, causeRevoked, true},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := withPapersWatched(t, New(Config{}).limits.WatchEvery) // as an edge does that nobody has told otherwise
			shown, says := &p.d1, nameless
			if c.bySecret {
				shown, says = nil, hello
			}
			one, two := p.show(t, shown), p.show(t, nil)
			if one.answered(says("d1")) != 0 || two.answered(hello("d2")) != 0 {
				t.Fatal("they are not let in")
			}
			p.write(func(*devices.Snapshot) {}) // a change of something else
			eventually(t, "that was looked at", func() bool { return p.connected("d1").device.Load() == p.registry.Load().Devices["d1"] })
			one.ping()
			changed := time.Now()
			c.change(p)
			one.closed()
			took := time.Since(changed)
			if t.Logf("%s: the session ended %v later", name, took.Round(time.Millisecond)); took > time.Second {
				t.Errorf("the session ended %v later, more than a second", took)
			}
			eventually(t, "the cause is counted", func() bool { return counted(t, p.metrics.closed.WithLabelValues(string(c.cause))) == 1 })
			two.ping()
			again := p.show(t, shown)
			if code := again.answered(says("d1")); code != byte(codeCredentials) {
				t.Errorf("it comes back and hears %d", code)
			}
		})
	}
}

func TestASecretThatChangesIsNothingToWhoCameByCertificate(t *testing.T) {
	t.Parallel()
	p := withPapers(t)
	alone := p.show(t, &p.d1)
	if alone.answered(nameless("d1")) != 0 {
		t.Fatal("it is not let in")
	}
	p.write(func(s *devices.Snapshot) { s.Devices["d1"].SecretHash[0]++ })
	alone.ping()
	p.write(func(*devices.Snapshot) {})
	both := p.show(t, &p.d1)
	if both.answered(hello("d1")) != 0 {
		t.Fatal("it is not let in with both")
	}
	alone.closed() // it has connected again
	p.write(func(s *devices.Snapshot) { s.Devices["d1"].SecretHash[0]++ })
	both.closed()
}

// TestRenewalWithoutAGap changes a device's certificate, and then its maker's authority, while the device is connected.
func TestRenewalWithoutAGap(t *testing.T) {
	t.Parallel()
	p := withPapers(t)
	before := p.show(t, &p.d1)
	if before.answered(nameless("d1")) != 0 {
		t.Fatal("it is not let in")
	}
	next := certs.New(t, "next")
	renewed := next.Issue(t, certs.Leaf{Name: "d1"})
	p.write(func(s *devices.Snapshot) { give(s, "d1", &renewed) })
	before.ping()
	if code := p.show(t, &renewed).answered(nameless("d1")); code != byte(codeCredentials) {
		t.Errorf("nobody trusts its authority yet, and it hears %d", code)
	}
	p.write(func(s *devices.Snapshot) {
		s.Authorities[1] = append(s.Authorities[1], authorityOf(next, "next", devices.ForDevices))
	})
	before.ping()
	after := p.show(t, &renewed)
	if code := after.answered(nameless("d1")); code != 0 {
		t.Fatalf("with the renewed certificate of the new authority: code %d", code)
	}
	before.closed() // one device, one connection
	old := p.show(t, &p.d1)
	if code := old.answered(nameless("d1")); code != 0 {
		t.Fatalf("the certificate before is good until it ends: code %d", code)
	}
	p.write(func(s *devices.Snapshot) { s.Authorities[1][0].Revoked = true })
	old.closed()
	after = p.show(t, &renewed)
	if code := after.answered(nameless("d1")); code != 0 {
		t.Fatalf("after the old authority: code %d", code)
	}
	after.send(message("hale/v1/d1/readings", 1, 1, "still here"))
	after.expect(ack("PUBACK", 1))
}

func TestADoorWithoutTLSAsksForNoCertificate(t *testing.T) {
	t.Parallel()
	p := withPapers(t)
	r := p.dialDoor(t, 0)
	if code := r.answered(nameless("d1")); code != byte(codeCredentials) {
		t.Errorf("the code is %d", code)
	}
}

func TestPahoWithACertificate(t *testing.T) {
	t.Parallel()
	p := withPapers(t)
	to := p.listeners[1].Addr().String()
	client := func(shown tls.Certificate) mqtt.Client {
		return p.paho(t, "d1", func(o *mqtt.ClientOptions) {
			o.Servers = nil
			o.AddBroker("ssl://" + to).SetUsername("").SetPassword("").SetTLSConfig(&tls.Config{InsecureSkipVerify: true, Certificates: []tls.Certificate{shown}})
		})
	}
	c := client(p.d1)
	settle(t, c.Connect())
	settle(t, c.Publish("hale/v1/d1/readings", 1, false, "a reading"))
	other := c.Subscribe("hale/v1/d2/receipts", 0, nil)
	settle(t, other)
	if answered, ok := other.(*mqtt.SubscribeToken); !ok || answered.Result()["hale/v1/d2/receipts"] != subackFailure {
		t.Error("another device's topic was granted")
	}
	token := client(certs.New(t, "stranger").Issue(t, certs.Leaf{Name: "d1"})).Connect()
	if !token.WaitTimeout(patience) || token.Error() == nil || !strings.Contains(token.Error().Error(), "bad user name or password") {
		t.Errorf("a stranger's certificate is answered with %v, want a CONNACK that says so", token.Error())
	}
}

func TestMosquittoWithACertificate(t *testing.T) {
	t.Parallel()
	p := withPapers(t)
	over := p.maker.Issue(t, certs.Leaf{Name: "d2", To: time.Now().Add(-time.Second)})
	p.write(func(s *devices.Snapshot) { give(s, "d2", &over) })
	for _, c := range []struct {
		uid   string
		shown *tls.Certificate
		want  int
	}{{"d1", &p.d1, 0}, {"d2", &over, 4}} {
		if said, status := p.mosquittoShowing(t, c.uid, c.shown); status != c.want {
			t.Errorf("%s: status %d, want %d: %s", c.uid, status, c.want, said)
		}
	}
	if got := p.core.wait(t, 1)[0]; got.Device.UID != "d1" {
		t.Errorf("the core was handed %+v", got.Message)
	}
}

// mosquittoShowing publishes once with a client certificate, and returns what mosquitto_pub prints and its exit status: the
// code of a CONNACK that refuses.
func (p papers) mosquittoShowing(t *testing.T, uid string, shown *tls.Certificate) (said string, status int) {
	t.Helper()
	path, err := exec.LookPath("mosquitto_pub")
	if err != nil {
		t.Fatal("mosquitto_pub is missing: apt-get install mosquitto-clients")
	}
	cert, key := certs.Files(t, shown)
	host, port, _ := strings.Cut(p.listeners[1].Addr().String(), ":")
	ctx, cancel := context.WithTimeout(t.Context(), 2*patience)
	defer cancel()
	server := certs.ServerFile(t, p.cfg.Listeners[1].TLS)
	cmd := exec.CommandContext(ctx, path, "-V", "mqttv311", "-h", host, "-p", port, "--cafile", server, "--insecure", "--cert", cert, "--key", key,
		"-i", uid, "-q", "1", "-t", "hale/v1/"+uid+"/readings", "-m", "a reading")
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := cmd.Run(); err != nil && cmd.ProcessState == nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(out.String()), cmd.ProcessState.ExitCode()
}
