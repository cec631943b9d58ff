// Package receiver is a program that webhooks are sent to, for tests: a real HTTP server that verifies each message as Standard
// Webhooks says, with that project's own library, and answers as it is told.
package receiver

import (
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"sync"
	"testing"
	"time"

	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"

	"hale/account/signin"
	"hale/push/webhook"
)

// Message is what arrived and was verified.
type Message struct {
	ID     string
	Header http.Header
	Raw    []byte
	Body   webhook.Message
}

// Receiver is the server. Until it is told otherwise it answers 204.
type Receiver struct {
	URL string

	mu       sync.Mutex
	secret   string
	answer   func(w http.ResponseWriter, try int)
	messages []Message
	wrong    int // that did not verify
	came     chan struct{}
}

// New starts a receiver on loopback, which ends with the test.
func New(tb testing.TB) *Receiver {
	tb.Helper()
	r := &Receiver{came: make(chan struct{}, 10_000)}
	s := httptest.NewServer(r)
	tb.Cleanup(s.Close)
	r.URL = s.URL + "/hale"
	return r
}

// Trust has the receiver verify with this secret from now on.
func (r *Receiver) Trust(secret string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.secret = secret
}

// Answer has it answer otherwise from now on; try counts every message from 1.
func (r *Receiver) Answer(how func(w http.ResponseWriter, try int)) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.answer = how
}

// ServeHTTP takes a message in.
func (r *Receiver) ServeHTTP(w http.ResponseWriter, asked *http.Request) {
	raw, err := io.ReadAll(io.LimitReader(asked.Body, 1<<20))
	r.mu.Lock()
	secret, answer := r.secret, r.answer
	r.mu.Unlock()
	verifier, _ := standardwebhooks.NewWebhook(secret)
	m := Message{ID: asked.Header.Get(standardwebhooks.HeaderWebhookID), Header: asked.Header, Raw: raw}
	// The clock of a test may be another: what is asked of the timestamp is asked by the test.
	if err != nil || asked.Method != http.MethodPost || verifier.VerifyIgnoringTimestamp(raw, asked.Header) != nil || json.Unmarshal(raw, &m.Body) != nil {
		r.mu.Lock()
		r.wrong++
		r.mu.Unlock()
		http.Error(w, "not verified", http.StatusUnauthorized)
		return
	}
	r.mu.Lock()
	r.messages = append(r.messages, m)
	try := len(r.messages)
	r.mu.Unlock()
	r.came <- struct{}{}
	if answer == nil {
		w.WriteHeader(http.StatusNoContent)
		return
	}
	answer(w, try)
}

// Messages returns what has arrived, in that order: a message that was sent again is in it again.
func (r *Receiver) Messages() []Message {
	r.mu.Lock()
	defer r.mu.Unlock()
	return append([]Message(nil), r.messages...)
}

// IDs returns how often each id arrived.
func (r *Receiver) IDs() map[string]int {
	times := map[string]int{}
	for _, m := range r.Messages() {
		times[m.ID]++
	}
	return times
}

// Wrong returns how many messages did not verify.
func (r *Receiver) Wrong() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.wrong
}

// Wait returns when another n messages have arrived.
func (r *Receiver) Wait(tb testing.TB, n int) {
	tb.Helper()
	for range n {
		select {
		case <-r.came:
		case <-time.After(20 * time.Second):
			tb.Fatalf("only %d messages arrived", len(r.Messages()))
		}
	}
}

// Client returns a client that may send to loopback, with a key of its own.
func Client(tb testing.TB) *webhook.Client {
	tb.Helper()
	key, err := signin.ParseKey(signin.NewKey())
	if err != nil {
		tb.Fatal(err)
	}
	return webhook.New(webhook.Config{Sealer: key, Networks: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}})
}
