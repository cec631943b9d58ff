package guess

import (
	"sync"
	"time"
)

const mostKnown = 10_000

// Known remembers for ForgetAfter what was shown, by its hash: whoever shows the same again guesses nothing and need not wait. It
// opens nothing. Make it with NewKnown.
type Known struct {
	mu   sync.Mutex
	seen map[string]time.Time
}

// NewKnown returns a Known that remembers nothing yet.
func NewKnown() *Known { return &Known{seen: map[string]time.Time{}} }

// Lately reports whether what has this hash was noted within ForgetAfter.
func (k *Known) Lately(hash string, now time.Time) bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	at, known := k.seen[hash]
	return known && now.Sub(at) < ForgetAfter
}

// Note remembers what has this hash.
func (k *Known) Note(hash string, now time.Time) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if len(k.seen) >= mostKnown {
		clear(k.seen) // they come back with their next request
	}
	k.seen[hash] = now
}

// Forget forgets what has this hash.
func (k *Known) Forget(hash string) {
	k.mu.Lock()
	defer k.mu.Unlock()
	delete(k.seen, hash)
}
