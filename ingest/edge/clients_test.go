package edge

import (
	"bytes"
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

// mosquitto runs one of the programs of Debian's mosquitto-clients and returns what it prints and its exit status.
func (h *house) mosquitto(t *testing.T, program, uid, password string, arguments ...string) (said string, status int) {
	t.Helper()
	path, err := exec.LookPath(program)
	if err != nil {
		t.Fatalf("%s is missing: apt-get install mosquitto-clients", program)
	}
	host, port, err := net.SplitHostPort(h.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), 2*patience)
	defer cancel()
	arguments = append([]string{"-V", "mqttv311", "-h", host, "-p", port, "-i", uid, "-u", uid, "-P", password}, arguments...)
	cmd := exec.CommandContext(ctx, path, arguments...)
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := cmd.Run(); err != nil && cmd.ProcessState == nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(out.String()), cmd.ProcessState.ExitCode()
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
