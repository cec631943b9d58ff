package edge

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"testing"
	"time"

	mqtt "github.com/eclipse/paho.mqtt.golang"

	"hale/devices"
	"hale/devices/downlink"
	"hale/vital"
)

// orders is a record with commands in it. Its clock is the test's.
type orders struct {
	mu   sync.Mutex
	open []downlink.Command
	now  time.Time
	sent []vital.UID
	away bool
	seen int // looks since set
}

func (o *orders) OpenCommands(context.Context) ([]downlink.Command, time.Time, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.away {
		return nil, time.Time{}, context.DeadlineExceeded
	}
	o.seen++
	return slices.Clone(o.open), o.now, nil
}

func (o *orders) CommandsSent(_ context.Context, ids []vital.UID, _ time.Time) error {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.sent = append(o.sent, ids...)
	return nil
}

func (o *orders) set(now time.Time, open ...downlink.Command) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.now, o.open, o.seen = now, open, 0
}

// command is one for d1, good for an hour.
func (o *orders) command(id vital.UID) downlink.Command {
	return downlink.Command{ID: id, Device: "d1", Sensor: "d1", Kind: downlink.MeasureNow, State: downlink.CommandQueued, NotAfter: o.now.Add(time.Hour)}
}

// noticed is what an edge told of who came and left.
type noticed struct {
	mu  sync.Mutex
	all []string
}

func (n *noticed) note(d *devices.Device, kind vital.StatusKind, epoch int64, _ time.Time) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.all = append(n.all, fmt.Sprintf("%s %d %t", d.UID, kind, epoch > 41))
}

func (n *noticed) told() []string {
	n.mu.Lock()
	defer n.mu.Unlock()
	return slices.Clone(n.all)
}

// openDown starts a server with its downlink. The downlink looks when it is nudged.
func openDown(t *testing.T, o *orders) (*house, *downlink.Sender, *noticed) {
	t.Helper()
	h := &house{core: &recorder{always: accepted}, ended: make(chan error, 1)}
	snapshot := kit(1, "d1", "d2")
	snapshot.Epoch = 41
	h.registry.Store(snapshot)
	var seen noticed
	down := &downlink.Sender{
		Orders: o, Log: slog.New(slog.DiscardHandler), Every: time.Hour,
		Now:     func() time.Time { return time.Date(2020, 1, 1, 0, 0, 0, 0, time.UTC) }, // the edge's clock is wrong: the record's counts
		Deliver: func(device string, payload []byte) bool { return h.Deliver(device, Commands, payload) },
	}
	h.Server = New(Config{
		Addr: "127.0.0.1:0", Core: h.core, Noted: seen.note, Subscribed: down.Subscribed,
		Snapshot: func() (*devices.Snapshot, bool) { return h.registry.Load(), true },
		Now:      func() time.Time { return time.Unix(0, 0).Add(time.Hour) }, // far behind: the snapshot's epoch counts
	})
	ctx, stop := context.WithCancel(context.Background())
	if err := h.Listen(ctx); err != nil {
		t.Fatal(err)
	}
	ran := make(chan error, 1)
	go func() { h.ended <- h.Run(ctx) }()
	go func() { ran <- down.Run(ctx) }()
	eventually(t, "ready", h.Ready)
	t.Cleanup(func() {
		stop()
		if err := errors.Join(<-h.ended, <-ran); err != nil {
			t.Errorf("the edge or the downlink ended with %v", err)
		}
	})
	return h, down, &seen
}

// listener is a device that keeps the ids of the commands that it gets.
func (h *house) listener(t *testing.T, uid string) (c mqtt.Client, heard func() []string) {
	t.Helper()
	var mu sync.Mutex
	var ids []string
	c = h.paho(t, uid)
	if token := c.Connect(); !token.WaitTimeout(patience) || token.Error() != nil {
		t.Fatal(token.Error())
	}
	token := c.Subscribe("hale/v1/"+uid+"/commands", 1, func(_ mqtt.Client, m mqtt.Message) {
		var got struct {
			ID       string    `json:"id"`
			Kind     string    `json:"kind"`
			NotAfter time.Time `json:"not_after"`
		}
		if err := json.Unmarshal(m.Payload(), &got); err != nil || got.Kind != "measure_now" || got.NotAfter.IsZero() {
			t.Errorf("command %s: %v", m.Payload(), err)
		}
		mu.Lock()
		ids = append(ids, got.ID)
		mu.Unlock()
	})
	if !token.WaitTimeout(patience) || token.Error() != nil {
		t.Fatal(token.Error())
	}
	return c, func() []string {
		mu.Lock()
		defer mu.Unlock()
		return slices.Clone(ids)
	}
}

func TestCommandsComeWhenADeviceListensAndNoneThatIsStale(t *testing.T) {
	t.Parallel()
	o := &orders{now: time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)}
	stale, of2 := o.command("stale"), o.command("other")
	stale.NotAfter = o.now
	of2.Device, of2.Sensor = "d2", "d2"
	o.set(o.now, o.command("a"), stale, of2)
	h, down, _ := openDown(t, o)
	c, heard := h.listener(t, "d1")
	eventually(t, "the command that waited", func() bool { return slices.Equal(heard(), []string{"a"}) })

	// One that is made while the device listens comes at once; what was sent does not come again on the same connection.
	o.set(o.now, o.command("a"), o.command("b"), stale)
	down.Nudge()
	eventually(t, "the new command", func() bool { return slices.Equal(heard(), []string{"a", "b"}) })
	eventually(t, "what was sent is noted", func() bool {
		o.mu.Lock()
		defer o.mu.Unlock()
		return slices.Equal(o.sent, []vital.UID{"a", "b"})
	})

	// It connects again, an hour later by the record's clock but for a, which is good for longer, while the record is away.
	c.Disconnect(50)
	longer := o.command("a")
	longer.NotAfter = o.now.Add(2 * time.Hour)
	soon := o.command("b")
	o.set(o.now.Add(time.Hour), longer, soon)
	down.Nudge()
	eventually(t, "a look", func() bool {
		o.mu.Lock()
		defer o.mu.Unlock()
		o.away = o.seen > 0
		return o.away
	})
	_, again := h.listener(t, "d1")

	// Nothing goes that cannot be asked about; what is still open when the record is there again comes, and what was cancelled does not.
	kept := o.command("c")
	kept.NotAfter = longer.NotAfter
	o.set(o.now, kept)
	down.Nudge()
	o.mu.Lock()
	o.away = false
	o.mu.Unlock()
	down.Nudge()
	eventually(t, "what is open and not stale", func() bool { return slices.Equal(again(), []string{"c"}) })
}

func TestWhatWasCancelledAMomentAgoIsNotSentByAnOlderList(t *testing.T) {
	t.Parallel()
	o := &orders{now: time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)}
	o.set(o.now, o.command("of the one before"))
	h, _, _ := openDown(t, o)
	eventually(t, "a look", func() bool {
		o.mu.Lock()
		defer o.mu.Unlock()
		return o.seen > 0
	})
	o.set(o.now, o.command("of the next")) // it changes hands, and nobody has nudged the edge
	_, heard := h.listener(t, "d1")
	eventually(t, "the next one's command alone", func() bool { return slices.Equal(heard(), []string{"of the next"}) })
}

func TestCommandsKeepOutOfTheNight(t *testing.T) {
	t.Parallel()
	home := time.FixedZone("home", 3600)
	o := &orders{now: time.Date(2026, 11, 21, 21, 30, 0, 0, time.UTC)} // half past ten at home
	quiet, urgent := o.command("quiet"), o.command("urgent")
	quiet.NotAfter = o.now.Add(24 * time.Hour)
	quiet.Homes, urgent.Homes, urgent.Urgent = []*time.Location{home}, []*time.Location{home}, true
	o.set(o.now, quiet, urgent)
	h, down, _ := openDown(t, o)
	_, heard := h.listener(t, "d1")
	eventually(t, "the urgent one", func() bool { return slices.Equal(heard(), []string{"urgent"}) })
	o.set(o.now.Add(8*time.Hour+30*time.Minute), quiet) // seven o'clock
	down.Nudge()
	eventually(t, "the other in the morning", func() bool { return slices.Equal(heard(), []string{"urgent", "quiet"}) })
}

func TestWhoCameAndLeftIsNotedWithTheEpoch(t *testing.T) {
	t.Parallel()
	h, _, seen := openDown(t, &orders{})
	c, _ := h.listener(t, "d1")
	if token := c.Publish("hale/v1/d1/status", 1, false, `{"battery":80}`); !token.WaitTimeout(patience) || token.Error() != nil {
		t.Fatal(token.Error())
	}
	if m := h.core.wait(t, 1)[0]; m.Connection <= 41 || m.Presence != 0 {
		t.Errorf("the status came with epoch %d and presence %d", m.Connection, m.Presence)
	}
	second := h.paho(t, "d1", func(o *mqtt.ClientOptions) { o.SetWill("hale/v1/d1/status", `{"online":false}`, 1, false) })
	if token := second.Connect(); !token.WaitTimeout(patience) || token.Error() != nil {
		t.Fatal(token.Error())
	}
	// The first was taken over, and says nothing.
	came, left := fmt.Sprintf("d1 %d true", vital.StatusCame), fmt.Sprintf("d1 %d true", vital.StatusLeft)
	eventually(t, "two came", func() bool { return slices.Equal(seen.told(), []string{came, came}) })
	h.mu.Lock()
	one := h.sessions["d1"]
	h.mu.Unlock()
	_ = one.socket.Close()
	eventually(t, "one left", func() bool { return slices.Equal(seen.told(), []string{came, came, left}) })
	will := h.core.wait(t, 2)[1]
	if will.Presence != vital.StatusWill || will.Connection != one.epoch.Load() || string(will.Payload) != `{"online":false}` {
		t.Errorf("the will is %+v", will.Message)
	}
}
