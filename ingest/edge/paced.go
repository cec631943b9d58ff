package edge

import (
	"context"

	"hale/fault"
	"hale/ingest"
)

// Paced takes messages of devices that come by another door than an edge's, and of one device no more by all doors together than an edge
// reads. Nothing holds such a sender back: it is told to send again. Make it with NewPaced.
type Paced struct {
	core  Core
	paces *Paces
}

// NewPaced returns a door to the core.
func NewPaced(core Core, p *Paces) *Paced { return &Paced{core, p} }

// Submit is that of the core. What comes too fast is not taken, and done is called at once with fault.Unavailable.
func (p *Paced) Submit(ctx context.Context, m ingest.Message, done func(ingest.Receipt)) {
	if wait := p.paces.take(m.Device.UID, len(m.Payload)); wait > 0 {
		done(ingest.Receipt{Err: fault.New(fault.Unavailable, "the device sends more than is read of one; send it again")})
		return
	}
	p.core.Submit(ctx, m, done)
}
