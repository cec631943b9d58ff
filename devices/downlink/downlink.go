package downlink

import (
	"cmp"
	"context"
	"log/slog"
	"maps"
	"sync"
	"time"

	"hale/vital"
)

// Orders is the record as the Sender needs it.
type Orders interface {
	// OpenCommands returns the commands that are open and not stale, and whose device is with whom it was with when they were made,
	// the oldest first, and the time of the record.
	OpenCommands(ctx context.Context) (open []Command, now time.Time, err error)
	// CommandsSent notes that they were sent.
	CommandsSent(ctx context.Context, ids []vital.UID, at time.Time) error
}

// Sender brings commands to the devices that are connected to one edge: when they are made, and all that are open whenever a
// device begins to listen. A command goes at least once, with its id; none goes from its not-after on, nor into somebody's night.
// Right before it sends it asks the record: a device may have changed hands a moment ago. While the record is away nothing goes.
type Sender struct {
	Orders  Orders
	Deliver func(device string, payload []byte) bool // false: it is not connected here, or does not listen
	Now     func() time.Time                         // nil: time.Now
	Log     *slog.Logger
	Every   time.Duration // between two looks; 0 is a second

	once sync.Once
	wake chan struct{} // holds a token when something is to be done
	mu   sync.Mutex
	asks map[string]bool // devices that have begun to listen
	look bool            // somebody knows of a new command

	// Of Run alone.
	open   []Command
	ahead  time.Duration // of the record's clock
	sent   map[vital.UID]bool
	failed bool // the last look
}

func (d *Sender) begin() {
	d.once.Do(func() {
		d.wake, d.asks, d.sent = make(chan struct{}, 1), map[string]bool{}, map[vital.UID]bool{}
	})
}

// Nudge makes it look at once: somebody knows of a new command. It does not wait.
func (d *Sender) Nudge() { d.do(func() { d.look = true }) }

// Subscribed says that a device has begun to listen for commands. It does not wait.
func (d *Sender) Subscribed(device string) { d.do(func() { d.asks[device] = true }) }

func (d *Sender) do(note func()) {
	d.begin()
	d.mu.Lock()
	note()
	d.mu.Unlock()
	select {
	case d.wake <- struct{}{}:
	default: // it is about to look anyway
	}
}

// Run brings commands until ctx ends, and returns nil then.
func (d *Sender) Run(ctx context.Context) error {
	d.begin()
	tick := time.NewTicker(cmp.Or(d.Every, time.Second))
	defer tick.Stop()
	for look := true; ; {
		d.runOnce(ctx, look)
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
			look = true
		case <-d.wake:
			d.mu.Lock()
			look, d.look = d.look, false
			d.mu.Unlock()
		}
	}
}

// runOnce looks for new commands, when it is to or when something may have to be sent, and sends what is to be sent: of a device that
// has begun to listen all that are open, of the others those that were not sent since they did.
func (d *Sender) runOnce(ctx context.Context, look bool) {
	d.mu.Lock()
	asks := d.asks
	d.asks = map[string]bool{}
	d.mu.Unlock()
	for i := 0; i < len(d.open) && !look; i++ {
		look = asks[d.open[i].Device]
	}
	if !look && !d.failed {
		return // nothing is known that they are asked
	}
	if !d.refresh(ctx) {
		d.mu.Lock()
		maps.Copy(d.asks, asks) // they still listen when the record is there again
		d.mu.Unlock()
		return
	}
	now := d.now()
	var sent []vital.UID
	for i := range d.open {
		c := &d.open[i]
		if d.sent[c.ID] && !asks[c.Device] || !c.Deliverable(now) || !d.Deliver(c.Device, c.Wire(now)) {
			continue
		}
		d.sent[c.ID] = true
		sent = append(sent, c.ID)
	}
	if len(sent) == 0 {
		return
	}
	if err := d.Orders.CommandsSent(ctx, sent, now); err != nil && ctx.Err() == nil {
		d.Log.Warn("commands were sent, and that cannot be written down", "commands", len(sent), "error", err)
	}
}

// refresh reads the open commands, and reports whether it could.
func (d *Sender) refresh(ctx context.Context) bool {
	open, now, err := d.Orders.OpenCommands(ctx)
	if err != nil {
		if !d.failed && ctx.Err() == nil {
			d.Log.Warn("commands for devices cannot be read", "error", err)
		}
		d.failed = true
		return false
	}
	d.failed, d.open, d.ahead = false, open, now.Sub(d.clock())
	known := make(map[vital.UID]bool, len(open))
	for i := range open {
		if d.sent[open[i].ID] {
			known[open[i].ID] = true
		}
	}
	d.sent = known
	return true
}

// now is the time of the record, as far as it is known.
func (d *Sender) now() time.Time { return d.clock().Add(d.ahead) }

func (d *Sender) clock() time.Time {
	if d.Now != nil {
		return d.Now()
	}
	return time.Now()
}
