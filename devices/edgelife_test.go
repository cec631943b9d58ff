package devices_test

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"hale/devices"
	"hale/vital"
)

// connectedAt is the gateway of six, which has been connected since six o'clock to an edge of which so much is known.
func connectedAt(life *devices.EdgeLife) devices.WatchedDevice {
	d := gatewayOfSix(nine().Add(-3 * time.Hour))
	d.ConnectedAt, d.Life = nine().Add(-3*time.Hour), life
	return d
}

func TestConnectionsEndWithTheLeaseOfTheirEdge(t *testing.T) {
	t.Parallel()
	at := func(hours float64) time.Time { return nine().Add(time.Duration(hours * float64(time.Hour))) }
	for name, c := range map[string]struct {
		life *devices.EdgeLife
		out  time.Time // since when the gateway is; zero: it is there
	}{
		"nobody knows where it is":                        {nil, time.Time{}},
		"its edge lives":                                  {&devices.EdgeLife{SeenAt: at(0)}, time.Time{}},
		"its edge is late for the first time":             {&devices.EdgeLife{SeenAt: at(-2.5), MissedAt: at(0)}, time.Time{}},
		"its edge has died before the slot":               {&devices.EdgeLife{SeenAt: at(-2.5), MissedAt: at(-0.1)}, at(-2.5)},
		"its edge died before it could renew once more":   {&devices.EdgeLife{SeenAt: at(-3.1), MissedAt: at(-0.1)}, at(-3)},
		"its edge has died when the slot was half over":   {&devices.EdgeLife{SeenAt: at(-1.5), MissedAt: at(-0.1)}, at(-1.5)},
		"its edge has died when the slot was over":        {&devices.EdgeLife{SeenAt: at(-0.9), MissedAt: at(-0.1)}, time.Time{}},
		"its edge stopped and its goodbye did not arrive": {&devices.EdgeLife{SeenAt: at(-2.5), EndedAt: at(-2.4)}, at(-2.4)},
	} {
		all, silent := devices.Outages(1, devices.Watched{Devices: []devices.WatchedDevice{connectedAt(c.life)}}, nine())
		var want []devices.Incident
		if !c.out.IsZero() {
			want = []devices.Incident{{Org: 1, Kind: devices.GatewayOut, Device: 7, Why: devices.WhySilent, From: c.out, OpenedAt: nine(), Explains: 6}}
		}
		if diff := cmp.Diff(want, all); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
		for _, s := range silent {
			if s.Explained == c.out.IsZero() {
				t.Errorf("%s: %+v", name, s)
			}
		}
	}

	// What is expected after the edge died is the outage's doing, and what had passed before it is not.
	d := connectedAt(&devices.EdgeLife{SeenAt: at(-0.9), MissedAt: at(-0.1)})
	for i := range d.Missed {
		d.Missed[i].Add(devices.Passed{Opens: at(-0.5), Closes: at(-0.2)})
	}
	all, silent := devices.Outages(1, devices.Watched{Devices: []devices.WatchedDevice{d}}, nine())
	if len(all) != 1 || !all[0].From.Equal(at(-0.9)) || silent[0].Explained {
		t.Errorf("one slot before and one after: %+v, silent %+v", all, silent[0])
	}

	// An edge that was cut off from the record and is back never lost its devices.
	all[0].UID = "a"
	d.Life = &devices.EdgeLife{SeenAt: at(0.01)}
	if all, _ = devices.Outages(1, devices.Watched{Devices: []devices.WatchedDevice{d}, Open: all}, at(0.02)); len(all) != 1 || !all[0].To.Equal(at(0.02)) {
		t.Errorf("the edge is back: %+v", all)
	}
	// While an edge lives its connections stand, however long nothing is said on them.
	quiet := connectedAt(&devices.EdgeLife{SeenAt: nine()})
	quiet.HeardAt, quiet.ConnectedAt = at(-50), at(-50)
	if all, _ = devices.Outages(1, devices.Watched{Devices: []devices.WatchedDevice{quiet}}, nine()); len(all) != 0 {
		t.Errorf("connected for two days: %+v", all)
	}
}

func TestDevicesThatDoNotComeBackWhenTheirEdgeDiedAreOneIncident(t *testing.T) {
	t.Parallel()
	life := &devices.EdgeLife{SeenAt: nine().Add(-11 * time.Minute), MissedAt: nine().Add(-10 * time.Minute)}
	var w devices.Watched
	for i := range 6 { // nothing was expected of any yet
		d := lastHeard(vital.DeviceID(i+1), nine().Add(-time.Duration(i)*time.Hour))
		d.ConnectedAt, d.Life = d.HeardAt, life
		w.Devices = append(w.Devices, d)
	}
	w.Devices[0].HeardAt, w.Devices[0].ConnectedAt = nine(), nine() // it came back, to another
	w.Devices[0].Life = &devices.EdgeLife{SeenAt: nine()}
	all, _ := devices.Outages(1, w, nine())
	want := []devices.Incident{{Org: 1, Kind: devices.PlatformOut, Why: devices.WhyManySilent, From: life.SeenAt, OpenedAt: nine()}}
	if diff := cmp.Diff(want, all); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if w.Devices[1].Vanished {
		t.Error("what was handed in was changed")
	}
}

// leases keeps what edges said. It hands every renewal on.
type leases struct {
	mu      sync.Mutex
	said    []string
	renewed chan struct{}
}

func (l *leases) RenewEdge(_ context.Context, edge string) error {
	l.mu.Lock()
	l.said = append(l.said, "renew "+edge)
	n := len(l.said)
	l.mu.Unlock()
	l.renewed <- struct{}{}
	if n == 1 {
		return errors.New("the record is away")
	}
	return nil
}

func (l *leases) LeaveEdge(ctx context.Context, edge string) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.said = append(l.said, "leave "+edge)
	return ctx.Err()
}

func TestAnEdgeRenewsItsLeaseAndSaysGoodbye(t *testing.T) {
	t.Parallel()
	store := &leases{renewed: make(chan struct{})}
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error)
	go func() {
		ended <- (&devices.Lease{Store: store, Edge: "here/1", Every: time.Millisecond, Log: slog.New(slog.DiscardHandler)}).Run(ctx)
	}()
	<-store.renewed
	<-store.renewed // it goes on although the first one failed
	stop()
	for {
		select {
		case <-store.renewed: // one was on its way
			continue
		case err := <-ended:
			if err != nil || !slices.Contains(store.said, "renew here/1") || store.said[len(store.said)-1] != "leave here/1" {
				t.Errorf("said %q, ended with %v", store.said, err)
			}
			return
		}
	}
}
