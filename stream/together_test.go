package stream_test

import (
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"hale/stream"
)

// While another process makes the stream its space is taken and it cannot be seen: the server says that there is no room.
func TestAProcessThatFindsNoRoomLooksForTheStreamThatAnotherIsMaking(t *testing.T) {
	t.Parallel()
	const size = 64 << 20
	s, err := server.NewServer(&server.Options{Host: "127.0.0.1", Port: server.RANDOM_PORT, JetStream: true, StoreDir: t.TempDir(), JetStreamMaxStore: size + size/2, NoSigs: true})
	if err != nil {
		t.Fatal(err)
	}
	s.Start()
	t.Cleanup(func() {
		s.Shutdown()
		s.WaitForShutdown()
	})
	if !s.ReadyForConnections(10 * time.Second) {
		t.Fatal("the server does not start")
	}
	dial := func() *stream.Conn {
		c, err := stream.Dial(soon(t), s.ClientURL(), stream.Config{Name: "a process"})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(c.Close)
		return c
	}
	nc, err := nats.Connect(s.ClientURL())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(nc.Close)
	js, err := jetstream.New(nc)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := js.CreateStream(soon(t), jetstream.StreamConfig{Name: "OTHER", Subjects: []string{"other"}, MaxBytes: size}); err != nil {
		t.Fatal(err)
	}
	one, two := dial(), dial()
	type made struct {
		flow *stream.Stream
		err  error
	}
	first := make(chan made, 1)
	go func() {
		flow, err := one.Ensure(soon(t), stream.StreamConfig{MaxBytes: size})
		first <- made{flow, err}
	}()
	select {
	case m := <-first:
		t.Fatalf("it does not look again: %v", m.err)
	case <-time.After(300 * time.Millisecond):
	}
	if err := js.DeleteStream(soon(t), "OTHER"); err != nil {
		t.Fatal(err)
	}
	flow, err := two.Ensure(soon(t), stream.StreamConfig{MaxBytes: size})
	if err != nil {
		t.Fatal(err)
	}
	if m := <-first; m.err != nil || m.flow.Identity() != flow.Identity() {
		t.Errorf("they do not share the stream: %v", m.err)
	}
}
