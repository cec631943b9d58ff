package authority

import (
	"bytes"
	"context"
	"crypto/tls"
	"log/slog"
	"os"
	"sync"
	"time"

	"hale/fault"
)

// lookGivenEvery is how often the files are read again. Asking costs nothing, and no renewal tool needs to be taught to
// send a signal, which it forgets exactly when somebody set it up anew.
const lookGivenEvery = 15 * time.Second

// GivenConfig says where a certificate and its key are.
type GivenConfig struct {
	CertFile string           // PEM: the server's certificate, then the intermediates
	KeyFile  string           // PEM
	Now      func() time.Time // nil: time.Now
	Log      *slog.Logger     // nil: no log
}

// Given is a server certificate from files that somebody else renews.
type Given struct {
	shown
	certFile, keyFile string

	mu        sync.Mutex // Look may be called by anybody
	cert, key []byte     // as taken last
}

// OpenGiven reads the files. Files that are missing or do not belong together, and a certificate that is not valid now
// or has no name, are fault.Invalid.
func OpenGiven(cfg GivenConfig) (*Given, error) {
	g := &Given{certFile: cfg.CertFile, keyFile: cfg.KeyFile}
	g.now, g.log = cfg.Now, cfg.Log
	if g.now == nil {
		g.now = time.Now
	}
	if g.log == nil {
		g.log = slog.New(slog.DiscardHandler)
	}
	if err := g.Look(); err != nil {
		return nil, err
	}
	return g, nil
}

// TrustFile returns the certificate's own file: whoever trusts it trusts this very server. What the world trusts it by
// is in the world's hands.
func (g *Given) TrustFile() string { return g.certFile }

// Run reads the files again and again until ctx ends.
func (g *Given) Run(ctx context.Context) error { return g.look(ctx, lookGivenEvery, g.Look) }

// Look reads the files and takes what is new in them. What cannot be used, a certificate whose key has not been written
// yet for one, leaves the one before in use.
func (g *Given) Look() error {
	g.mu.Lock()
	defer g.mu.Unlock()
	now := g.now()
	err := g.take(now)
	if g.current.Load() != nil {
		g.warn(now)
	}
	return err
}

func (g *Given) take(now time.Time) error {
	cert, err := os.ReadFile(g.certFile) // by content: links are switched and copies keep their times
	if err != nil {
		return fault.Wrap(fault.Invalid, err, "the certificate cannot be read")
	}
	key, err := os.ReadFile(g.keyFile)
	if err != nil {
		return fault.Wrap(fault.Invalid, err, "the certificate's key cannot be read")
	}
	if bytes.Equal(cert, g.cert) && bytes.Equal(key, g.key) {
		return nil
	}
	pair, err := tls.X509KeyPair(cert, key)
	if err != nil {
		return fault.Wrap(fault.Invalid, err, "%s and %s are no certificate with its key", g.certFile, g.keyFile)
	}
	if err := inForce("the certificate in "+g.certFile, pair.Leaf, now); err != nil {
		return err
	}
	if len(namesOf(pair.Leaf)) == 0 {
		return fault.New(fault.Invalid, "the certificate in %s names no server: clients look at its subject alternative names", g.certFile)
	}
	g.cert, g.key = cert, key
	if g.current.Swap(&pair) != nil {
		g.log.Info("a new TLS certificate is in use", "ends", pair.Leaf.NotAfter.UTC().Format(time.RFC3339))
	}
	return nil
}
