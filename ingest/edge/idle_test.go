package edge

import (
	"bufio"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"flag"
	"fmt"
	"io"
	"math/big"
	"net"
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/eclipse/paho.mqtt.golang/packets"

	"hale/devices"
)

// holdFlag makes this test binary a crowd of idle devices: the bench starts it so, in a process of its own.
var holdFlag = flag.String("edge.hold", "", "connect idle devices, as `tls|plain,ADDR,COUNT`, until standard input ends")

func TestMain(m *testing.M) {
	flag.Parse()
	if *holdFlag == "" {
		os.Exit(m.Run())
	}
	if err := hold(*holdFlag); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	os.Exit(0)
}

// hold connects devices d0, d1, ... and keeps them connected. It says "connected" on standard output.
func hold(what string) error {
	parts := strings.Split(what, ",")
	count, err := strconv.Atoi(parts[2])
	if err != nil {
		return err
	}
	for i := range count {
		conn, err := holdOne(parts[0], parts[1], fmt.Sprintf("d%d", i))
		if err != nil {
			return fmt.Errorf("device %d: %w", i, err)
		}
		defer func() { _ = conn.Close() }()
	}
	fmt.Println("connected")
	_, err = io.Copy(io.Discard, os.Stdin)
	return err
}

func holdOne(kind, addr, uid string) (net.Conn, error) {
	conn, err := (&net.Dialer{}).DialContext(context.Background(), "tcp", addr)
	if err != nil {
		return nil, err
	}
	if kind == doorTLS {
		conn = tls.Client(conn, &tls.Config{InsecureSkipVerify: true})
	}
	p := hello(uid)
	p.Keepalive = 300
	if err := p.Write(conn); err != nil {
		return nil, err
	}
	answer, err := packets.ReadPacket(conn)
	if err != nil {
		return nil, err
	}
	if c, ok := answer.(*packets.ConnackPacket); !ok || c.ReturnCode != 0 {
		return nil, fmt.Errorf("answer %v", answer)
	}
	return conn, nil
}

// resident returns the resident memory of this process in bytes.
func resident(tb testing.TB) int {
	tb.Helper()
	text, err := os.ReadFile("/proc/self/status")
	if err != nil {
		tb.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(text), "VmRSS:")
	kib, err := strconv.Atoi(strings.Fields(rest)[0])
	if err != nil {
		tb.Fatal(err)
	}
	return kib << 10
}

func selfSigned(tb testing.TB) *tls.Config {
	tb.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		tb.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), DNSNames: []string{"localhost"}}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		tb.Fatal(err)
	}
	return &tls.Config{MinVersion: tls.VersionTLS12, Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}}}
}

// serving starts a server for many devices, plain or with TLS.
func serving(tb testing.TB, kind string, devicesKnown int) *Server {
	tb.Helper()
	uids := make([]string, devicesKnown)
	for i := range uids {
		uids[i] = fmt.Sprintf("d%d", i)
	}
	registry := kit(1, uids...)
	l, err := (&net.ListenConfig{}).Listen(tb.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		tb.Fatal(err)
	}
	door := Listener{Listener: l}
	if kind == doorTLS {
		door.TLS = selfSigned(tb)
	}
	s := New(Config{
		Listeners: []Listener{door}, Core: &recorder{always: accepted, forget: true},
		Snapshot: func() (*devices.Snapshot, bool) { return registry, true },
		Limits:   Limits{DeviceMessagesPerSecond: 1 << 30, DeviceBytesPerSecond: 1 << 40}, // benchmarks send as fast as they can
	})
	ctx, stop := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- s.Run(ctx) }()
	tb.Cleanup(func() {
		stop()
		if err := <-ended; err != nil {
			tb.Error(err)
		}
	})
	return s
}

// BenchmarkIdle measures by how much the resident memory of this process grows for each of 8,000 devices that are
// connected and idle. They live in a process of their own.
func BenchmarkIdle(b *testing.B) {
	for _, kind := range []string{doorPlain, doorTLS} {
		b.Run(kind, func(b *testing.B) {
			const count = 8000
			s := serving(b, kind, count)
			before := resident(b)
			crowd := exec.CommandContext(b.Context(), os.Args[0], "-edge.hold", fmt.Sprintf("%s,%s,%d", kind, s.Addr(), count))
			crowd.Stderr = os.Stderr
			in, err := crowd.StdinPipe()
			if err != nil {
				b.Fatal(err)
			}
			out, err := crowd.StdoutPipe()
			if err != nil {
				b.Fatal(err)
			}
			b.ResetTimer()
			if err := crowd.Start(); err != nil {
				b.Fatal(err)
			}
			if line, err := bufio.NewReader(out).ReadString('\n'); line != "connected\n" {
				b.Fatalf("the devices say %q, %v", line, err)
			}
			b.StopTimer()
			if n := s.open.Load(); n != count {
				b.Fatalf("%d connections", n)
			}
			var m runtime.MemStats
			after := resident(b)
			runtime.GC()
			runtime.ReadMemStats(&m)
			b.ReportMetric(float64(after-before)/count, "RSS-B/device")
			b.ReportMetric(float64(m.HeapAlloc)/count, "heap-B/device")
			b.ReportMetric(float64(m.StackInuse)/count, "stack-B/device")
			if err := in.Close(); err != nil {
				b.Fatal(err)
			}
			if err := crowd.Wait(); err != nil {
				b.Fatal(err)
			}
		})
	}
}
