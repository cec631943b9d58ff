package edge

import (
	"context"
	"sync"
	"time"

	"hale/fault"
	"hale/ingest"
)

// Paced takes messages of devices that come by another door than an edge's, and no more of one device than an edge reads. Nothing holds
// such a sender back: it is told to send again. Make it with NewPaced.
type Paced struct {
	core   Core
	limits Limits
	now    func() time.Time
	mu     sync.Mutex
	paces  map[string]*pace // by device UID
}

// NewPaced returns a door to the core that has heard of nobody yet. Of the limits those of a device count.
func NewPaced(core Core, l Limits, now func() time.Time) *Paced {
	return &Paced{core: core, limits: l.withDefaults(), now: now, paces: map[string]*pace{}}
}

// Submit is that of the core. What comes too fast is not taken, and done is called at once with fault.Unavailable.
func (p *Paced) Submit(ctx context.Context, m ingest.Message, done func(ingest.Receipt)) {
	p.mu.Lock()
	wait := paceIn(p.paces, m.Device.UID, pacesKept, p.limits, p.now).take(p.now(), len(m.Payload))
	p.mu.Unlock()
	if wait > 0 {
		done(ingest.Receipt{Err: fault.New(fault.Unavailable, "the device sends more than is read of one; send it again")})
		return
	}
	p.core.Submit(ctx, m, done)
}
