package edge

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	mqtt "github.com/eclipse/paho.mqtt.golang"

	"hale/ingest"
)

func (h *house) paho(t *testing.T, uid string, change ...func(*mqtt.ClientOptions)) mqtt.Client {
	t.Helper()
	o := mqtt.NewClientOptions().AddBroker("tcp://" + h.Addr().String()).SetClientID(uid).SetUsername(uid).SetPassword(secret).
		SetAutoReconnect(false).SetConnectTimeout(patience).SetProtocolVersion(4)
	for _, c := range change {
		c(o)
	}
	c := mqtt.NewClient(o)
	t.Cleanup(func() { c.Disconnect(10) })
	return c
}

func settle(t *testing.T, token mqtt.Token) {
	t.Helper()
	if !token.WaitTimeout(patience) {
		t.Fatal("no answer")
	}
	if token.Error() != nil {
		t.Fatal(token.Error())
	}
}

func TestAPahoClient(t *testing.T) {
	t.Parallel()
	h := open(t, Limits{}, &recorder{})
	c := h.paho(t, "d1")
	settle(t, c.Connect())
	heard := make(chan string, 1)
	settle(t, c.Subscribe("hale/v1/d1/receipts", 1, func(_ mqtt.Client, m mqtt.Message) { heard <- string(m.Payload()) }))

	for qos := byte(1); qos <= 2; qos++ {
		token := c.Publish("hale/v1/d1/readings", qos, true, `{"metric":"heart_rate"}`)
		got := h.core.wait(t, int(qos))[qos-1]
		select {
		case <-token.Done():
			t.Fatalf("QoS %d: acknowledged before it is durable", qos)
		default:
		}
		got.done(ingest.Receipt{Accepted: 1, Wanted: true})
		settle(t, token)
		select {
		case receipt := <-heard:
			if want := `{"topic":"hale/v1/d1/readings","accepted":1,"refused":[]}`; receipt != want {
				t.Errorf("receipt %s, want %s", receipt, want)
			}
		case <-time.After(patience):
			t.Fatal("no receipt")
		}
	}

	other := c.Subscribe("hale/v1/d2/receipts", 0, nil)
	settle(t, other)
	if answered, ok := other.(*mqtt.SubscribeToken); !ok || answered.Result()["hale/v1/d2/receipts"] != subackFailure {
		t.Errorf("another device's topic was answered with %v", answered.Result())
	}
}

func TestAPahoClientWithAWrongSecret(t *testing.T) {
	t.Parallel()
	h := open(t, Limits{}, &recorder{})
	token := h.paho(t, "d1", func(o *mqtt.ClientOptions) { o.SetPassword("wrong") }).Connect()
	if !token.WaitTimeout(patience) || token.Error() == nil || !strings.Contains(token.Error().Error(), "bad user name or password") {
		t.Errorf("error %v, want one of the password", token.Error())
	}
}

func TestAPahoClientOfAnotherVersionIsToldSo(t *testing.T) {
	t.Parallel()
	h := open(t, Limits{}, &recorder{})
	token := h.paho(t, "d1", func(o *mqtt.ClientOptions) { o.SetProtocolVersion(3) }).Connect()
	if !token.WaitTimeout(patience) || token.Error() == nil || !strings.Contains(token.Error().Error(), "unacceptable protocol version") {
		t.Errorf("error %v, want one of the version", token.Error())
	}
}

func TestAPahoClientSendsAgainWhatWasNotAcknowledged(t *testing.T) {
	t.Parallel()
	for qos := byte(1); qos <= 2; qos++ {
		t.Run(fmt.Sprintf("QoS %d", qos), func(t *testing.T) {
			t.Parallel()
			h := open(t, Limits{}, &recorder{})
			c := h.paho(t, "d1", func(o *mqtt.ClientOptions) {
				o.SetAutoReconnect(true).SetCleanSession(false).SetMaxReconnectInterval(10 * time.Millisecond)
			})
			settle(t, c.Connect())
			c.Publish("hale/v1/d1/readings", qos, false, "a reading") // its token says "done" at the reconnect: docs/wire.md warns of it
			h.core.wait(t, 1)[0].done(ingest.Receipt{Err: errors.New("the disk is away")})
			again := h.core.wait(t, 2)[1] // on a new connection
			if again.Topic != "hale/v1/d1/readings" || string(again.Payload) != "a reading" {
				t.Errorf("it sent %+v", again.Message)
			}
			again.done(ingest.Receipt{Accepted: 1})
			token := c.Publish("hale/v1/d1/readings", qos, false, "another")
			h.core.wait(t, 3)[2].done(ingest.Receipt{Accepted: 1})
			settle(t, token)
			c.Disconnect(10)
			settle(t, c.Connect())
			settle(t, c.Subscribe("hale/v1/d1/receipts", 0, nil)) // answered behind everything it had to send again: nothing
			h.core.wait(t, 3)
		})
	}
}

func TestAPahoClientThatVanishesLeavesItsWill(t *testing.T) {
	t.Parallel()
	h := open(t, Limits{}, &recorder{always: accepted})
	line := make(chan net.Conn, 1)
	c := h.paho(t, "d1", func(o *mqtt.ClientOptions) {
		o.SetWill("hale/v1/d1/status", `{"online":false}`, 1, true)
		o.SetCustomOpenConnectionFn(func(to *url.URL, _ mqtt.ClientOptions) (net.Conn, error) {
			var dialer net.Dialer
			conn, err := dialer.DialContext(t.Context(), "tcp", to.Host)
			line <- conn
			return conn, err
		})
	})
	settle(t, c.Connect())
	_ = (<-line).Close()
	if got := h.core.wait(t, 1)[0]; got.Topic != "hale/v1/d1/status" || string(got.Payload) != `{"online":false}` {
		t.Errorf("the will is %+v", got.Message)
	}
}

// mosquitto runs one of the programs of Debian's mosquitto-clients and returns what it prints and its exit status.
func (h *house) mosquitto(t *testing.T, program, uid, password string, arguments ...string) (said string, status int) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 2*patience)
	defer cancel()
	cmd := h.mosquittoCommand(ctx, t, program, uid, password, arguments...)
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := cmd.Run(); err != nil && cmd.ProcessState == nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(out.String()), cmd.ProcessState.ExitCode()
}

func (h *house) mosquittoCommand(ctx context.Context, t *testing.T, program, uid, password string, arguments ...string) *exec.Cmd {
	t.Helper()
	path, err := exec.LookPath(program)
	if err != nil {
		t.Fatalf("%s is missing: apt-get install mosquitto-clients", program)
	}
	host, port, err := net.SplitHostPort(h.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	arguments = append([]string{"-V", "mqttv311", "-h", host, "-p", port, "-i", uid, "-u", uid, "-P", password}, arguments...)
	return exec.CommandContext(ctx, path, arguments...)
}

func TestMosquittoClients(t *testing.T) {
	t.Parallel()
	refuseAll := func(m ingest.Message) ingest.Receipt {
		return ingest.Receipt{Refused: []ingest.Refusal{{Reason: "unit", Detail: "unit is missing"}}}
	}
	const topic, reading = "hale/v1/d1/readings", `{"metric":"heart_rate","value":61,"unit":"/min"}`

	for qos := range 3 {
		t.Run(fmt.Sprintf("mosquitto_pub sends with QoS %d", qos), func(t *testing.T) {
			t.Parallel()
			h := open(t, Limits{}, &recorder{always: accepted})
			if said, status := h.mosquitto(t, "mosquitto_pub", "d1", secret, "-q", fmt.Sprint(qos), "-t", topic, "-m", reading); status != 0 {
				t.Fatalf("status %d: %s", status, said)
			}
			if got := h.core.wait(t, 1)[0]; string(got.Payload) != reading || got.Topic != topic || got.Device.UID != "d1" {
				t.Errorf("the core was handed %+v", got.Message)
			}
		})
	}
	t.Run("mosquitto_pub sends a file of 1 MiB", func(t *testing.T) {
		t.Parallel()
		h := open(t, Limits{}, &recorder{always: accepted})
		file := filepath.Join(t.TempDir(), "large")
		if err := os.WriteFile(file, make([]byte, 1<<20), 0o600); err != nil {
			t.Fatal(err)
		}
		if said, status := h.mosquitto(t, "mosquitto_pub", "d1", secret, "-q", "1", "-t", topic, "-f", file); status != 0 {
			t.Fatalf("status %d: %s", status, said)
		}
		if got := h.core.wait(t, 1)[0]; got.Oversize == nil || got.Oversize.Length != 1<<20 {
			t.Errorf("oversize %+v", got.Oversize)
		}
	})
	t.Run("mosquitto_pub with a wrong secret is told so", func(t *testing.T) {
		t.Parallel()
		h := open(t, Limits{}, &recorder{})
		said, status := h.mosquitto(t, "mosquitto_pub", "d1", "wrong", "-q", "1", "-t", topic, "-m", reading)
		if status == 0 || !strings.Contains(said, "Connection Refused: bad user name or password") {
			t.Errorf("status %d: %s", status, said)
		}
	})
	t.Run("mosquitto_rr sends and waits for the receipt", func(t *testing.T) {
		t.Parallel()
		h := open(t, Limits{}, &recorder{always: refuseAll})
		said, status := h.mosquitto(t, "mosquitto_rr", "d1", secret, "-q", "1", "-t", topic, "-e", "hale/v1/d1/receipts", "-m", `{"metric":"heart_rate","value":61}`, "-W", "10")
		if want := `{"topic":"hale/v1/d1/readings","accepted":0,"refused":[{"index":0,"reason":"unit","detail":"unit is missing"}]}`; status != 0 || said != want {
			t.Errorf("status %d: %s", status, said)
		}
	})
	t.Run("mosquitto_sub hears a command", func(t *testing.T) {
		t.Parallel()
		h := open(t, Limits{}, &recorder{})
		ctx, stop := context.WithCancel(context.Background())
		done := make(chan struct{})
		go func() {
			defer close(done)
			ticker := time.NewTicker(2 * time.Millisecond)
			defer ticker.Stop()
			for ctx.Err() == nil && !h.Deliver("d1", Commands, []byte(`{"measure":"now"}`)) {
				<-ticker.C
			}
		}()
		said, status := h.mosquitto(t, "mosquitto_sub", "d1", secret, "-q", "1", "-t", "hale/v1/d1/commands", "-C", "1", "-W", "10")
		if status != 0 || said != `{"measure":"now"}` {
			t.Errorf("status %d: %s", status, said)
		}
		stop()
		<-done
	})
	t.Run("mosquitto_sub is denied another device's topic", func(t *testing.T) {
		t.Parallel()
		h := open(t, Limits{}, &recorder{})
		said, _ := h.mosquitto(t, "mosquitto_sub", "d1", secret, "-t", "hale/v1/d2/receipts", "-C", "1", "-W", "5")
		if !strings.Contains(said, "denied") {
			t.Errorf("it says %q", said)
		}
	})
}

func TestMosquittoClientsThatAreRefusedAreToldWhy(t *testing.T) {
	t.Parallel()
	cases := map[string]struct {
		program, password string
		with              []string
		says              string
	}{
		"mosquitto_pub with MQTT 3.1":          {"mosquitto_pub", secret, []string{"-V", "mqttv31", "-m", "x"}, "unacceptable protocol version"},
		"mosquitto_sub with MQTT 3.1":          {"mosquitto_sub", secret, []string{"-V", "mqttv31"}, "unacceptable protocol version"},
		"mosquitto_pub with MQTT 5":            {"mosquitto_pub", secret, []string{"-V", "mqttv5", "-m", "x"}, "Unsupported Protocol Version"},
		"mosquitto_sub with MQTT 5":            {"mosquitto_sub", secret, []string{"-V", "mqttv5"}, "Unsupported Protocol Version"},
		"mosquitto_pub with another client id": {"mosquitto_pub", secret, []string{"-i", "d2", "-m", "x"}, "identifier rejected"},
		"mosquitto_sub with a wrong secret":    {"mosquitto_sub", "wrong", nil, "bad user name or password"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := open(t, Limits{WrongSecretFor: time.Millisecond}, &recorder{})
			with := append([]string{"-t", "hale/v1/d1/receipts"}, c.with...)
			if said, status := h.mosquitto(t, c.program, "d1", c.password, with...); status == 0 || !strings.Contains(said, c.says) {
				t.Errorf("status %d: %s", status, said)
			}
			h.core.wait(t, 0)
		})
	}
}

func TestMosquittoSubHearsReceiptsAndCommands(t *testing.T) {
	t.Parallel()
	for qos := range 3 { // whatever is asked for, it comes with QoS 0
		t.Run(fmt.Sprintf("asked for with QoS %d", qos), func(t *testing.T) {
			t.Parallel()
			h := open(t, Limits{}, &recorder{})
			ctx, stop := context.WithTimeout(context.Background(), 2*patience)
			defer stop()
			cmd := h.mosquittoCommand(ctx, t, "mosquitto_sub", "d1", secret, "-q", fmt.Sprint(qos), "-C", "2", "-W", "10", "-F", "%q %r %t %p",
				"-t", "hale/v1/d1/receipts", "-t", "hale/v1/d1/commands")
			var out bytes.Buffer
			cmd.Stdout, cmd.Stderr = &out, &out
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			eventually(t, "it listens", func() bool { return h.Deliver("d1", Receipts, []byte(`{"accepted":1}`)) })
			if !h.Deliver("d1", Commands, []byte(`{"measure":"now"}`)) {
				t.Error("it does not listen for commands")
			}
			if err := cmd.Wait(); err != nil {
				t.Errorf("%v: %s", err, out.String())
			}
			want := "0 0 hale/v1/d1/receipts {\"accepted\":1}\n0 0 hale/v1/d1/commands {\"measure\":\"now\"}\n"
			if out.String() != want {
				t.Errorf("it heard %s", out.String())
			}
		})
	}
}

func TestAMosquittoThatIsKilledLeavesItsWill(t *testing.T) {
	t.Parallel()
	h := open(t, Limits{}, &recorder{always: accepted})
	ctx, kill := context.WithCancel(context.Background())
	defer kill()
	cmd := h.mosquittoCommand(ctx, t, "mosquitto_sub", "d1", secret, "-c", "-t", "hale/v1/d1/commands",
		"--will-topic", "hale/v1/d1/status", "--will-payload", `{"online":false}`, "--will-qos", "2", "--will-retain")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	eventually(t, "it listens", func() bool { return h.Deliver("d1", Commands, nil) })
	kill()
	_ = cmd.Wait() // killed
	if got := h.core.wait(t, 1)[0]; got.Topic != "hale/v1/d1/status" || string(got.Payload) != `{"online":false}` {
		t.Errorf("the will is %+v", got.Message)
	}
}

func TestMosquittoPubSendsLineByLine(t *testing.T) {
	t.Parallel()
	const n = 300
	for qos := range 3 {
		t.Run(fmt.Sprintf("QoS %d", qos), func(t *testing.T) {
			t.Parallel()
			h := open(t, Limits{}, &recorder{always: accepted})
			ctx, stop := context.WithTimeout(context.Background(), 2*patience)
			defer stop()
			cmd := h.mosquittoCommand(ctx, t, "mosquitto_pub", "d1", secret, "-q", fmt.Sprint(qos), "-r", "-l", "-t", "hale/v1/d1/readings")
			var lines strings.Builder
			for i := range n {
				fmt.Fprintf(&lines, "%d\n", i)
			}
			cmd.Stdin = strings.NewReader(lines.String())
			if out, err := cmd.CombinedOutput(); err != nil {
				t.Fatalf("%v: %s", err, out)
			}
			for i, m := range h.core.wait(t, n) {
				if string(m.Payload) != fmt.Sprint(i) {
					t.Fatalf("message %d is %q", i, m.Payload)
				}
			}
		})
	}
}
