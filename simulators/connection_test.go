package simulators

import (
	"context"
	"math/rand/v2"
	"net"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// nobody returns an address at which nothing listens.
func nobody(t *testing.T) string {
	t.Helper()
	l, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	return l.Addr().String()
}

// silent returns an address at which connections are taken and never answered.
func silent(t *testing.T) string {
	t.Helper()
	l, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	return l.Addr().String()
}

func unopened(broker string) (*connection, *atomic.Int64) {
	var dialled atomic.Int64
	return newConnection(&connection{broker: broker, device: "cuff", secret: "secret", random: rand.New(rand.NewPCG(1, 2)), dialled: &dialled}), &dialled
}

// soon returns what came, or fails.
func soon(t *testing.T, what string, of <-chan error) error {
	t.Helper()
	select {
	case err := <-of:
		return err
	case <-time.After(10 * time.Second):
		t.Fatalf("%s has not ended within 10 s", what)
		return nil
	}
}

func TestAConnectionEndsWhileItIsTriedForEver(t *testing.T) {
	t.Parallel()
	for name, address := range map[string]func(*testing.T) string{"nobody listens": nobody, "nobody answers": silent} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c, dialled := unopened(address(t))
			opened, published, closed := make(chan error, 1), make(chan error, 1), make(chan error, 1)
			go func() { opened <- c.open(t.Context(), 0) }()
			go func() { published <- c.publish(t.Context(), "hale/v1/cuff/readings", []byte("{}")) }()
			for deadline := time.Now().Add(10 * time.Second); dialled.Load() == 0; {
				if time.Now().After(deadline) {
					t.Fatal("nothing was dialled")
				}
				<-time.After(time.Millisecond)
			}
			go func() { c.close(); c.close(); closed <- nil }()
			_ = soon(t, "close", closed)
			for what, of := range map[string]chan error{"open": opened, "publish": published} {
				if err := soon(t, what, of); err == nil || !strings.Contains(err.Error(), "has ended") {
					t.Errorf("%s ended with %v", what, err)
				}
			}
		})
	}
}

func TestAConnectionHasPatienceAndNoMore(t *testing.T) {
	t.Parallel()
	c, _ := unopened(nobody(t))
	c.patience = 300 * time.Millisecond
	published := make(chan error, 2)
	for range 2 { // the second waits for the first, and no longer than it would alone
		go func() { published <- c.publish(t.Context(), "hale/v1/cuff/readings", []byte("{}")) }()
	}
	for range 2 {
		if err := soon(t, "publish", published); err == nil || !strings.Contains(err.Error(), "connect device cuff") {
			t.Errorf("publish ended with %v", err)
		}
	}
	told, stop := context.WithCancel(t.Context())
	stop()
	if err := c.open(told, time.Minute); !stopped(err) {
		t.Errorf("told to end, it ended with %v", err)
	}
}
