package stream_test

import (
	"context"
	"log/slog"
	"sync"
	"testing"

	"hale/fault"
	"hale/stream"
)

// heard is a log handler that counts messages.
type heard struct {
	mu       sync.Mutex
	messages map[string]int
}

func (h *heard) logger() *slog.Logger { return slog.New(h) }

func (h *heard) count(message string) int {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.messages[message]
}

// Enabled is part of slog.Handler.
func (h *heard) Enabled(context.Context, slog.Level) bool { return true }

// Handle is part of slog.Handler.
func (h *heard) Handle(_ context.Context, r slog.Record) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.messages == nil {
		h.messages = map[string]int{}
	}
	h.messages[r.Message]++
	return nil
}

// WithAttrs is part of slog.Handler.
func (h *heard) WithAttrs([]slog.Attr) slog.Handler { return h }

// WithGroup is part of slog.Handler.
func (h *heard) WithGroup(string) slog.Handler { return h }

func TestFeedTellsOtherConnections(t *testing.T) {
	t.Parallel()
	s := startServer(t, stream.ServerConfig{})
	speaker, listener := connect(t, s).Feed(), connect(t, s).Feed()
	type announcement struct {
		org     int32
		payload string
	}
	got := make(chan announcement, 1000)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() {
		done <- listener.Listen(ctx, func(org int32, payload []byte) {
			select {
			case got <- announcement{org, string(payload)}:
			default:
			}
		})
	}()
	var first announcement
	eventually(t, "hearing an announcement", func() bool {
		speaker.Announce(soon(t), 42, []byte("event 7"))
		select {
		case first = <-got:
			return true
		default:
			return false
		}
	})
	if (first != announcement{42, "event 7"}) {
		t.Errorf("heard %+v", first)
	}
	cancel()
	if err := <-done; err != nil {
		t.Errorf("Listen ended with %v", err)
	}
}

func TestWhatIsToldReachesItsTopicAlsoAfterAReconnection(t *testing.T) {
	t.Parallel()
	s := startServer(t, stream.ServerConfig{})
	speaker, listener := connect(t, s).Feed(), connect(t, s).Feed()
	const missed = "some may have been missed"
	got, other := make(chan string, 1000), make(chan string, 1000)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 2)
	go func() {
		done <- listener.Hear(ctx, "takeover", func(payload []byte) { got <- string(payload) }, func() { got <- missed })
	}()
	go func() {
		done <- listener.Hear(ctx, "other", func(payload []byte) { other <- string(payload) }, func() {})
	}()
	hears := func(payload string) {
		eventually(t, "hearing "+payload, func() bool {
			speaker.Tell("takeover", []byte(payload))
			for len(got) > 0 {
				if <-got == payload {
					return true
				}
			}
			return false
		})
	}
	hears("device 1")
	if err := s.Restart(soon(t)); err != nil {
		t.Fatal(err)
	}
	for first := ""; first != missed; first = <-got { // before anything that is told afterwards
		if first == "device 2" {
			t.Fatal("it is not said that some may have been missed")
		}
	}
	hears("device 2")
	if len(other) != 0 {
		t.Errorf("%q reached another topic", <-other)
	}
	cancel()
	for range 2 {
		if err := <-done; err != nil {
			t.Errorf("Hear ended with %v", err)
		}
	}
	if err := listener.Hear(soon(t), "two words", func([]byte) {}, func() {}); !fault.Is(err, fault.Invalid) {
		t.Errorf("a topic of two words: %v, want invalid", err)
	}
}

func TestNudgesReachTheirTopicAndAReconnectionIsOne(t *testing.T) {
	t.Parallel()
	s := startServer(t, stream.ServerConfig{})
	c := connect(t, s)
	feed := c.Feed()
	registry, other := make(chan struct{}, 1), make(chan struct{}, 1)
	into := func(ch chan struct{}) func() {
		return func() {
			select {
			case ch <- struct{}{}:
			default:
			}
		}
	}
	done := make(chan error, 2)
	go func() { done <- feed.OnNudge(t.Context(), "registry", into(registry)) }()
	go func() { done <- feed.OnNudge(t.Context(), "other", into(other)) }()
	eventually(t, "a nudge", func() bool {
		feed.Nudge(soon(t), "registry")
		return len(registry) == 1
	})
	if len(other) != 0 {
		t.Error("a nudge reached another topic")
	}
	if err := s.Restart(soon(t)); err != nil {
		t.Fatal(err)
	}
	eventually(t, "a nudge by reconnection", func() bool { return len(other) == 1 })
	c.Close()
	for range 2 {
		if err := <-done; !fault.Is(err, fault.Unavailable) {
			t.Errorf("a closed connection: %v, want unavailable", err)
		}
	}
	feed.Announce(soon(t), 1, nil) // lost, and nothing happens
	for _, topic := range []string{"", "a.b", "*", "two words"} {
		if err := feed.OnNudge(soon(t), topic, func() {}); !fault.Is(err, fault.Invalid) {
			t.Errorf("topic %q: %v, want invalid", topic, err)
		}
	}
}
