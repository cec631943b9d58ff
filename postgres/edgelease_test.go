package postgres_test

import (
	"fmt"
	"testing"
	"time"

	"hale/devices"
	"hale/vital"
)

// livesSince has an edge renew its lease last at a moment.
func (r *record) livesSince(t *testing.T, edge string, seen time.Time) {
	t.Helper()
	r.exec(t, fmt.Sprintf(`INSERT INTO edge_lease (edge, began_at, seen_at) VALUES ('%s', '%s', '%s')
		ON CONFLICT (edge) DO UPDATE SET seen_at = excluded.seen_at, missed_at = NULL`, edge, since().Format(time.RFC3339), seen.Format(time.RFC3339)))
}

// TestAnEdgeThatDiedHoldsNoDevicesInPresence: six people weigh themselves through a gateway whose edge is killed before their time.
func TestAnEdgeThatDiedHoldsNoDevicesInPresence(t *testing.T) {
	t.Parallel()
	r := newRecord(t)
	gateway, people := r.gatewayOf(t, 6)
	r.exec(t, `DELETE FROM canary`)
	came := func(minutes int, epoch int64, edge string) vital.Record {
		return r.told(minutes, func(s *vital.Status) {
			s.Device, s.Sensor, s.Kind, s.Connection, s.Edge = gateway.ID, gateway.Own, vital.StatusCame, epoch, edge
		})
	}
	hour := func(n float64) time.Time { return since().Add(time.Duration(n * float64(time.Hour))) }
	r.advance(t, came(5, 1, "a/1"))
	r.holds(t, "device_presence", "edge = 'a/1' AND connection = 1")

	// While its edge lives it is there, and what is missing is the people's.
	explained := func(want, of int) {
		t.Helper()
		if n, all := r.count(t, `SELECT count(*) FROM device_silence WHERE explained AND metric = `+id(int64(vital.BodyWeight))), r.count(t, `SELECT count(*) FROM device_silence`); n != want || all != of {
			t.Errorf("%d of %d silences are explained, want %d of %d", n, all, want, of)
		}
	}
	r.livesSince(t, "a/1", hour(11))
	r.lookAtPresence(t, hour(11))
	explained(0, 6)
	if n := r.count(t, `SELECT count(*) FROM incident`); n != 0 {
		t.Errorf("%d incidents of a gateway that is connected", n)
	}

	// It was killed at one in the night. The first look misses it, and the next one knows.
	r.livesSince(t, "a/1", hour(1))
	r.lookAtPresence(t, hour(11))
	explained(0, 6)
	r.lookAtPresence(t, hour(11).Add(time.Minute))
	explained(6, 6)
	r.holds(t, "incident", "kind = 'gateway' AND why = 'silent' AND from_at = '2026-03-01 01:00Z' AND explains = 6 AND to_at IS NULL")
	if silent, err := r.app.SilentOf(t.Context(), r.nurse, people[0].ID, since()); err != nil || len(silent[vital.BodyWeight]) != 1 || !silent[vital.BodyWeight][0].From.Equal(hour(1)) {
		t.Errorf("not arrived since %v (%v)", silent, err)
	}
	list, err := (&devices.Problems{Book: r.app}).List(t.Context(), r.nurse)
	if err != nil || len(list) != 1 || list[0].Kind != devices.ProblemOutage {
		t.Errorf("problems: %+v (%v)", list, err)
	}

	// It connects to another edge: it is there, and what lay within the outage is nobody's. What the dead one had still to say is old.
	r.livesSince(t, "b/1", hour(12))
	r.advance(t, came(12*60-1, 2, "b/1"), came(11*60, 1, "a/1"))
	r.lookAtPresence(t, hour(12))
	r.holds(t, "incident", "to_at = '2026-03-01 11:59Z'")
	explained(0, 0)

	// That one stops in order, and the word that the gateway left is lost.
	r.exec(t, `UPDATE edge_lease SET seen_at = '2026-03-01 13:00Z', ended_at = '2026-03-01 13:00Z' WHERE edge = 'b/1'`)
	r.lookAtPresence(t, hour(35))
	r.holds(t, "incident", "to_at IS NULL AND from_at = '2026-03-01 13:00Z' AND opened_at = '2026-03-02 11:00Z'")
}

func TestALeaseIsOneRowOfAnEdgeAndGoesWhenNobodyIsConnected(t *testing.T) {
	t.Parallel()
	r := newRecord(t)
	ctx := t.Context()
	var store devices.EdgeStore = r.work
	for range 3 {
		if err := store.RenewEdge(ctx, "a/1"); err != nil {
			t.Fatal(err)
		}
	}
	r.holds(t, "edge_lease", "edge = 'a/1' AND seen_at > began_at AND seen_at > clock_timestamp() - interval '1 minute' AND ended_at IS NULL")
	r.exec(t, `UPDATE edge_lease SET missed_at = clock_timestamp()`)
	if err := store.RenewEdge(ctx, "a/1"); err != nil {
		t.Fatal(err)
	}
	r.holds(t, "edge_lease", "missed_at IS NULL")
	if err := store.LeaveEdge(ctx, "a/1"); err != nil {
		t.Fatal(err)
	}
	r.holds(t, "edge_lease", "ended_at >= seen_at")

	keeps := func(want int, what string) {
		t.Helper()
		if err := r.work.KeepLeases(ctx); err != nil {
			t.Fatal(err)
		}
		if n := r.count(t, `SELECT count(*) FROM edge_lease`); n != want {
			t.Errorf("%s: %d rows, want %d", what, n, want)
		}
	}
	keeps(1, "it has just ended")
	r.exec(t, `UPDATE edge_lease SET began_at = began_at - interval '8 days', seen_at = seen_at - interval '8 days', ended_at = ended_at - interval '8 days'`)
	r.advance(t, r.told(1, func(s *vital.Status) { s.Kind, s.Connection, s.Edge = vital.StatusCame, 5, "a/1" }))
	keeps(1, "a device is connected to it as far as anybody knows")
	r.advance(t, r.told(2, func(s *vital.Status) { s.Kind, s.Connection, s.Edge = vital.StatusLeft, 5, "a/1" }))
	keeps(0, "it ended a week ago and has no devices")
}
