package postgres_test

import (
	"strconv"
	"testing"
	"time"

	"hale/account"
	"hale/devices/downlink"
	"hale/fault"
	"hale/vital"
)

// told is a status of the record's device, minutes after the assignment began.
func (r *record) told(minutes int, change func(s *vital.Status)) vital.Record {
	s := &vital.Status{Org: r.nurse.Org, Device: r.device.ID, Sensor: r.device.Own, ReceivedAt: since().Add(time.Duration(minutes) * time.Minute), Kind: vital.StatusTold}
	change(s)
	return vital.Record{Status: s}
}

// holds reports whether the condition is true of a row of the table.
func (r *record) holds(t *testing.T, table, condition string) {
	t.Helper()
	if r.count(t, "SELECT count(*) FROM "+table+" WHERE "+condition) != 1 {
		t.Errorf("%s: not so: %s", table, condition)
	}
}

func TestReadingsAreNotedAsHeardOnceAMinute(t *testing.T) {
	t.Parallel()
	r := newRecord(t)
	written := func() int {
		return r.count(t, `SELECT count(*) FROM sensor_presence p WHERE p.xmin::text = $1`, r.xminOfPresence(t))
	}
	r.advance(t, r.pressure(0, 120, 80))
	r.holds(t, "sensor_presence", "reading_at = '2026-03-01 00:00:01Z' AND heard_at = reading_at AND device_id = "+id(r.device.ID))
	r.holds(t, "device_presence", "heard_at = '2026-03-01 00:00:01Z' AND connection = 0 AND connected_at IS NULL")
	before := r.xminOfPresence(t)
	half := r.pressure(0, 121, 80)
	half.Reading.SentAt, half.Reading.ReceivedAt = since().Add(30*time.Second), since().Add(31*time.Second)
	half.Reading.MeasuredAt = half.Reading.SentAt
	r.advance(t, half)
	if after := r.xminOfPresence(t); after != before || written() != 1 {
		t.Error("half a minute later it was written again")
	}
	r.advance(t, r.pressure(2, 122, 80))
	r.holds(t, "sensor_presence", "reading_at = '2026-03-01 00:02:01Z'")
	r.holds(t, "device_presence", "heard_at = '2026-03-01 00:02:01Z'")
}

// xminOfPresence names the transaction that wrote the one row last.
func (r *record) xminOfPresence(t *testing.T) string {
	t.Helper()
	return id(r.count(t, `SELECT xmin::text::bigint FROM sensor_presence`))
}

func TestAStatusIsKeptAndAnOlderConnectionSaysNothing(t *testing.T) {
	t.Parallel()
	r := newRecord(t)
	r.advance(t, r.told(1, func(s *vital.Status) { s.Kind, s.Connection = vital.StatusCame, 5 }),
		r.told(2, func(s *vital.Status) {
			s.Connection, s.HasBattery, s.Battery, s.Signal, s.Firmware, s.Raw = 5, true, 15, -97, "1.0", []byte(`{"battery":15}`)
		}))
	r.holds(t, "device_presence", "connection = 5 AND connected_at = '2026-03-01 00:01Z' AND left_at IS NULL AND convert_from(status, 'UTF8') = '{\"battery\":15}'")
	r.holds(t, "sensor_presence", "battery = 15 AND battery_low_at = '2026-03-01 00:02Z' AND signal = -97 AND signal_poor_at = battery_low_at AND firmware = '1.0'")

	r.holds(t, "sensor", "uid = 'cuff-1' AND firmware = '1.0'")

	// Still low: since then. And what is not told stays.
	r.advance(t, r.told(3, func(s *vital.Status) { s.Connection, s.HasBattery, s.Battery = 5, true, 9 }))
	r.holds(t, "sensor_presence", "battery = 9 AND battery_low_at = '2026-03-01 00:02Z' AND firmware = '1.0' AND signal = -97")

	// It comes again, and the older connection ends after that, with its will and a status that was on its way.
	r.advance(t, r.told(4, func(s *vital.Status) { s.Kind, s.Connection = vital.StatusCame, 6 }))
	r.advance(t, r.told(5, func(s *vital.Status) { s.Connection, s.HasBattery, s.Battery = 5, true, 1 }),
		r.told(5, func(s *vital.Status) { s.Kind, s.Connection = vital.StatusLeft, 5 }),
		r.told(5, func(s *vital.Status) { s.Kind, s.Connection, s.Raw = vital.StatusWill, 5, []byte(`{"online":false}`) }))
	r.holds(t, "device_presence", "connection = 6 AND connected_at = '2026-03-01 00:04Z' AND left_at IS NULL AND NOT vanished AND convert_from(status, 'UTF8') = '{\"battery\":15}'")

	r.advance(t, r.told(6, func(s *vital.Status) { s.Connection, s.HasBattery, s.Battery = 6, true, 100 }),
		r.told(7, func(s *vital.Status) { s.Kind, s.Connection = vital.StatusLeft, 6 }),
		r.told(7, func(s *vital.Status) { s.Kind, s.Connection = vital.StatusWill, 6 }))
	r.holds(t, "sensor_presence", "battery = 100 AND battery_low_at IS NULL")
	r.holds(t, "device_presence", "left_at = '2026-03-01 00:07Z' AND vanished AND heard_at = '2026-03-01 00:06Z'")

	snapshot, err := r.work.Snapshot(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if snapshot.Epoch != 6 {
		t.Errorf("the edges are told of epoch %d", snapshot.Epoch)
	}
}

func TestACommandIsAskedSentAndAnswered(t *testing.T) {
	t.Parallel()
	r := newRecord(t)
	ctx := t.Context()
	desk := &downlink.CommandDesk{Book: r.app}
	asked, err := desk.Ask(ctx, r.nurse, downlink.Command{Device: "cuff-1", Kind: downlink.MeasureNow, Metric: "blood_pressure", Urgent: true})
	if err != nil {
		t.Fatal(err)
	}
	open, now, err := r.work.OpenCommands(ctx)
	if err != nil || len(open) != 1 || open[0].ID != asked.ID || open[0].Metric != "blood_pressure" || open[0].Homes[0].String() != "Europe/Ljubljana" || now.IsZero() {
		t.Fatalf("open %+v (%v)", open, err)
	}
	if err := r.work.CommandsSent(ctx, []vital.UID{asked.ID}, now); err != nil {
		t.Fatal(err)
	}
	r.holds(t, "device_command", "state = 'sent' AND times = 1 AND settled_at IS NULL")

	// Another device cannot answer for it.
	other, _ := r.addDevice(t, r.nurse, r.addPatient(t, r.nurse, "2"), "cuff-2")
	answer := func(by vital.DeviceID, done bool) vital.Record {
		return r.told(9, func(s *vital.Status) {
			s.Device, s.Answer = by, &vital.Answer{Command: asked.ID, Done: done, Detail: "no arm"}
		})
	}
	r.advance(t, answer(other.ID, true), r.told(9, func(s *vital.Status) { s.Answer = &vital.Answer{Command: "nonsense", Done: true} }))
	r.holds(t, "device_command", "state = 'sent'")
	r.advance(t, answer(r.device.ID, false))
	r.holds(t, "device_command", "state = 'failed' AND detail = 'no arm' AND settled_at = '2026-03-01 00:09Z'")
	r.holds(t, "audit", "action = 'command failed' AND actor_name = 'device cuff-1'")
	r.holds(t, "audit", "action = 'ask device' AND detail = 'device cuff-1: measure_now'")
	r.advance(t, answer(r.device.ID, true)) // the first outcome stands
	r.holds(t, "device_command", "state = 'failed'")

	list, err := desk.Commands(ctx, r.nurse, "cuff-1", 0)
	if err != nil || len(list) != 1 || list[0].State != downlink.CommandFailed || list[0].By != r.nurse.Name {
		t.Errorf("listed %+v (%v)", list, err)
	}
	if err := desk.Withdraw(ctx, r.nurse, "cuff-1", asked.ID); !fault.Is(err, fault.Conflict) {
		t.Errorf("withdrawn although settled: %v", err)
	}
	if _, err := desk.Ask(ctx, r.nurse, downlink.Command{Device: "cuff-1", Sensor: "cuff-2", Kind: downlink.SyncClock}); !fault.Is(err, fault.NotFound) {
		t.Errorf("cuff-1 was asked something for cuff-2: %v", err)
	}
	if _, err := desk.Ask(ctx, account.Actor{Org: r.nurse.Org, Staff: 9, Role: account.Nurse}, downlink.Command{Device: "cuff-1", Kind: downlink.SyncClock}); !fault.Is(err, fault.Forbidden) {
		t.Errorf("a nurse asked: %v", err)
	}
	more, err := desk.Ask(ctx, r.nurse, downlink.Command{Device: "cuff-1", Kind: downlink.SyncClock})
	if err != nil {
		t.Fatal(err)
	}
	if err := desk.Withdraw(ctx, r.nurse, "cuff-1", more.ID); err != nil {
		t.Fatal(err)
	}
	if err := r.app.Revoke(ctx, r.nurse, "cuff-1"); err != nil {
		t.Fatal(err)
	}
	if _, err := desk.Ask(ctx, r.nurse, downlink.Command{Device: "cuff-1", Kind: downlink.SyncClock}); !fault.Is(err, fault.Conflict) {
		t.Errorf("a revoked device was asked: %v", err)
	}
}

func id[T ~int64 | ~int](n T) string { return strconv.FormatInt(int64(n), 10) }
