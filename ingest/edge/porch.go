package edge

import (
	"container/heap"
	"crypto/tls"
	"net"
	"net/netip"
	"sync"
	"time"
)

// arrival is a connection that has not said who it is.
type arrival struct {
	conn  net.Conn
	tls   *tls.Config // nil: the connection speaks MQTT at once, or does TLS by itself
	door  string      // label of the listener
	from  netip.Prefix
	since time.Time
}

// porch is where connections wait that have not said who they are. A bounded number of them at once is asked; the others
// stand in line, one line for each address and the addresses in turn, so that a storm of known devices is let in orderly
// and an address that fills the porch with silence keeps nobody else out.
type porch struct {
	limits Limits
	now    func() time.Time
	ask    func(*arrival)               // asks one who it is; left is called when that is over. It runs under mu
	refuse func(a *arrival, why string) // closes one that cannot be asked. It runs under mu

	mu      sync.Mutex
	callers map[netip.Prefix]*caller
	line    []*caller // who has somebody waiting, in turn
	longest byLength  // the same, the one with the most first
	waiting int
	active  int
	all     bucket
	timer   *time.Timer
	closed  bool
}

// caller is an address from which somebody comes.
type caller struct {
	from    netip.Prefix
	active  int
	waiting []*arrival
	place   int // in longest
	bucket  bucket
}

// callersKept is how many addresses are remembered before those with nobody here and a full bucket are forgotten.
const callersKept = 8192

func newPorch(limits Limits, now func() time.Time) *porch {
	return &porch{limits: limits, now: now, callers: map[netip.Prefix]*caller{}}
}

// arrive takes a connection: it is asked at once, waits in line, or is refused when the line is full and nobody has a
// longer part in it.
func (p *porch) arrive(a *arrival) {
	p.mu.Lock()
	c := p.caller(a.from)
	// No address gets more than half of the porch, so that there is always room for another.
	full := p.closed || len(c.waiting) >= max(1, p.limits.Waiting/2) ||
		p.waiting >= p.limits.Waiting && !p.thin(len(c.waiting))
	if full {
		p.refuse(a, "full")
		p.mu.Unlock()
		return
	}
	c.waiting = append(c.waiting, a)
	p.waiting++
	if len(c.waiting) == 1 {
		p.line = append(p.line, c)
		heap.Push(&p.longest, c)
	} else {
		heap.Fix(&p.longest, c.place)
	}
	p.advance()
	p.mu.Unlock()
}

// yield makes place for a newcomer where there is none for another connection, if somebody in line has more than it. Where
// a load balancer has not said yet who comes, from is no address.
func (p *porch) yield(from netip.Prefix) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	mine := 0
	if c := p.callers[from]; c != nil {
		mine = len(c.waiting)
	}
	return p.thin(mine)
}

// thin turns away, with mu held, the newest of who has the longest line, if that stays as long as a newcomer's becomes,
// of whom that many wait: so no number of connections of a few addresses keeps others out.
func (p *porch) thin(mine int) bool {
	if len(p.longest) == 0 || len(p.longest[0].waiting) <= mine+1 {
		return false
	}
	c := p.longest[0]
	last := len(c.waiting) - 1
	a := c.waiting[last]
	c.waiting[last] = nil
	c.waiting = c.waiting[:last]
	p.waiting--
	heap.Fix(&p.longest, c.place)
	p.refuse(a, "full")
	return true
}

// left says that one that was asked has answered, or has gone.
func (p *porch) left(from netip.Prefix) {
	p.mu.Lock()
	p.active--
	if c := p.callers[from]; c != nil {
		c.active--
	}
	p.advance()
	p.mu.Unlock()
}

// advance asks, with mu held, whoever may be asked now. Nobody is asked after close.
func (p *porch) advance() {
	start, late := p.next()
	for _, a := range late {
		p.refuse(a, "waited")
	}
	for _, a := range start {
		p.ask(a)
	}
}

// next takes out of the line, with mu held, whom to ask now and who has waited too long.
func (p *porch) next() (start, late []*arrival) {
	if p.closed || len(p.line) == 0 {
		return nil, nil
	}
	now := p.now()
	soonest := p.limits.AdmitWithin
	for turns := len(p.line); turns > 0 && len(p.line) > 0; {
		c := p.line[0]
		late = append(late, p.expire(c, now)...)
		if len(c.waiting) == 0 {
			p.line = p.line[1:]
			heap.Remove(&p.longest, c.place)
			turns--
			continue
		}
		if p.active >= p.limits.Handshakes {
			break // somebody will leave
		}
		if wait := p.all.wait(now, p.limits.ConnectsPerSecond); wait > 0 {
			soonest = min(soonest, wait)
			break
		}
		p.line = append(p.line[1:], c)
		wait := c.bucket.wait(now, p.limits.AddressConnectsPerSecond)
		if wait > 0 || c.active >= p.limits.AddressHandshakes {
			if wait > 0 {
				soonest = min(soonest, wait)
			}
			turns-- // this address may not, the next one may
			continue
		}
		start = append(start, p.take(c))
		turns = len(p.line)
	}
	p.look(soonest)
	return start, late
}

// take takes the first of a caller, who stands at the end of the line by now, out of it.
func (p *porch) take(c *caller) *arrival {
	a := c.waiting[0]
	c.waiting[0] = nil
	c.waiting = c.waiting[1:]
	p.waiting--
	p.active++
	c.active++
	p.all.tokens--
	c.bucket.tokens--
	if len(c.waiting) == 0 {
		c.waiting = nil
		p.line = p.line[:len(p.line)-1]
		heap.Remove(&p.longest, c.place)
	} else {
		heap.Fix(&p.longest, c.place)
	}
	return a
}

// expire takes those of a caller who have waited too long out of the line.
func (p *porch) expire(c *caller, now time.Time) []*arrival {
	n := 0
	for n < len(c.waiting) && now.Sub(c.waiting[n].since) >= p.limits.AdmitWithin {
		n++
	}
	late := c.waiting[:n:n]
	c.waiting = c.waiting[n:]
	p.waiting -= n
	heap.Fix(&p.longest, c.place)
	return late
}

// look sees to it, with mu held, that the line is looked at again after that time.
func (p *porch) look(after time.Duration) {
	switch {
	case len(p.line) == 0:
	case p.timer == nil:
		p.timer = time.AfterFunc(after, p.again)
	default:
		p.timer.Reset(after)
	}
}

func (p *porch) again() {
	p.mu.Lock()
	p.advance()
	p.mu.Unlock()
}

// caller returns, with mu held, what is known of an address.
func (p *porch) caller(from netip.Prefix) *caller {
	c := p.callers[from]
	if c == nil {
		if len(p.callers) >= callersKept {
			p.forget()
		}
		c = &caller{from: from}
		p.callers[from] = c
	}
	return c
}

// forget drops, with mu held, the addresses from which nobody is here and whose bucket is full again.
func (p *porch) forget() {
	now := p.now()
	for from, c := range p.callers {
		if c.active == 0 && len(c.waiting) == 0 && c.bucket.full(now, p.limits.AddressConnectsPerSecond) {
			delete(p.callers, from)
		}
	}
}

// close refuses everybody who waits, and whoever comes later.
func (p *porch) close() {
	p.mu.Lock()
	p.closed = true
	if p.timer != nil {
		p.timer.Stop()
	}
	for _, c := range p.line {
		for _, a := range c.waiting {
			p.refuse(a, "drain")
		}
	}
	p.line, p.longest, p.waiting = nil, nil, 0
	p.mu.Unlock()
}

// inLine returns how many wait.
func (p *porch) inLine() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.waiting
}

// byLength is a heap of callers: first who has the longest line.
type byLength []*caller

// Len is part of heap.Interface.
func (l byLength) Len() int { return len(l) }

// Less is part of heap.Interface.
func (l byLength) Less(i, j int) bool { return len(l[i].waiting) > len(l[j].waiting) }

// Swap is part of heap.Interface.
func (l byLength) Swap(i, j int) {
	l[i], l[j] = l[j], l[i]
	l[i].place, l[j].place = i, j
}

// Push is part of heap.Interface.
func (l *byLength) Push(x any) {
	if c, ok := x.(*caller); ok {
		c.place = len(*l)
		*l = append(*l, c)
	}
}

// Pop is part of heap.Interface.
func (l *byLength) Pop() any {
	last := len(*l) - 1
	c := (*l)[last]
	(*l)[last] = nil
	*l = (*l)[:last]
	return c
}

// bucket holds the tokens of a rate; it holds those of one second at most, and is full at first.
type bucket struct {
	tokens float64
	last   time.Time
}

// wait fills the bucket and returns how long it takes until it holds a token.
func (b *bucket) wait(now time.Time, perSecond int) time.Duration {
	rate := float64(perSecond)
	if b.last.IsZero() {
		b.tokens = rate
	} else {
		b.tokens = min(rate, b.tokens+rate*max(0, now.Sub(b.last).Seconds()))
	}
	b.last = now
	if b.tokens >= 1 {
		return 0
	}
	return max(time.Millisecond, time.Duration((1-b.tokens)/rate*float64(time.Second)))
}

func (b *bucket) full(now time.Time, perSecond int) bool {
	b.wait(now, perSecond)
	return b.tokens >= float64(perSecond)
}
