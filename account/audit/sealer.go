package audit

import (
	"cmp"
	"context"
	"crypto/ed25519"
	"log/slog"
	"time"

	"hale/account"
)

// ChainStore is the record as the Sealer needs it.
type ChainStore interface {
	// Clock is the one clock of the installation.
	Clock(ctx context.Context) (time.Time, error)
	// Unsealed returns the organisations with rows to seal, or sealed ones that no checkpoint since signedBefore covers
	// when sign is set, and when the oldest row to seal was written (zero: there is none).
	Unsealed(ctx context.Context, sign bool, signedBefore time.Time) (orgs []ChainHead, oldest time.Time, err error)
	// Seal locks an organisation's chain, hands its head and the next rows, most at the most, to decide, and stores
	// what it returns. It returns how many rows were sealed; 0 also when another process is at it.
	Seal(ctx context.Context, org ChainHead, most int, decide func(ChainHead, []Row) Sealing) (int, error)
}

// Sealer chains the rows of the audit trail behind the transactions that wrote them, so that none of these waits for
// another. Any number of processes may run one.
type Sealer struct {
	Store ChainStore
	Key   ed25519.PrivateKey // signs the checkpoints; nil: there are none
	Every time.Duration      // between two looks; 0 is half a second
	Log   *slog.Logger
	Watch Watch
}

// Watch is told what a Sealer does; each func may be nil.
type Watch struct {
	Sealed func(rows int)
	Behind func(age time.Duration) // age of the oldest row that was not sealed at the last look
	Failed func(error)
}

const (
	sealEvery = 500 * time.Millisecond // a row is to be in the chain within 2 s
	sealMost  = 2000                   // rows in one transaction
)

// Run seals until ctx ends. What fails is tried again at the next look.
func (s *Sealer) Run(ctx context.Context) error {
	return account.Rounds(ctx, cmp.Or(s.Every, sealEvery), s.look, func(err error, first bool) {
		if s.Watch.Failed != nil {
			s.Watch.Failed(err)
		}
		if first {
			s.Log.Error("the audit trail cannot be sealed just now", "error", err)
		}
	})
}

func (s *Sealer) look(ctx context.Context) error {
	now, err := s.Store.Clock(ctx)
	if err != nil {
		return err
	}
	return s.runOnce(ctx, now)
}

// runOnce seals and signs what there is at now, organisation by organisation, a bounded number of rows of each, so that
// none waits for another's backlog.
func (s *Sealer) runOnce(ctx context.Context, now time.Time) error {
	orgs, oldest, err := s.Store.Unsealed(ctx, s.Key != nil, now.Add(-signEvery))
	if err != nil {
		return err
	}
	if s.Watch.Behind != nil {
		age := time.Duration(0)
		if !oldest.IsZero() {
			age = max(0, now.Sub(oldest))
		}
		s.Watch.Behind(age)
	}
	for len(orgs) > 0 {
		var more []ChainHead
		for _, org := range orgs {
			n, err := s.Store.Seal(ctx, org, sealMost, func(head ChainHead, rows []Row) Sealing { return Seal(head, rows, s.Key, now) })
			if err != nil {
				return err
			}
			if s.Watch.Sealed != nil {
				s.Watch.Sealed(n)
			}
			if n == sealMost {
				more = append(more, org)
			}
		}
		orgs = more
	}
	return nil
}
