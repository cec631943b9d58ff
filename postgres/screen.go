package postgres

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"

	"hale/alerts"
	"hale/vital"
)

// suspect is a value of a batch that no limit of a known person judged.
type suspect struct {
	alerts.Suspect
	org        vital.OrgID
	device     vital.DeviceID
	sensor     vital.SensorID // 0: the device's own
	findings   vital.Finding
	reading    int64         // 0: it is none
	measured   time.Time     // zero: not known
	unsure     time.Duration // of measured, either way
	received   time.Time
	place      alerts.Place
	why        string
	sent       time.Time       // with tie the rest of the key of what waits or is stored
	tie        int64           // see sent
	quarantine int64           // the row of what was refused
	mayBeKnown vital.PatientID // whose it would be, as the record or the edge saw it
}

func suspectOf(r *vital.Reading, place alerts.Place, why string) suspect {
	s := suspect{
		Suspect: alerts.Suspect{Metric: r.Metric, Sent: r.Sent[:r.N], At: r.MeasuredAt}, unsure: r.Unsure(), org: r.Org, device: r.Device, sensor: r.Sensor,
		findings: r.Findings, reading: r.ID(), measured: r.MeasuredAt, received: r.ReceivedAt, place: place, why: why,
		sent: r.SentAt, tie: r.Tie, mayBeKnown: r.Patient,
	}
	if !r.Vague().IsZero() {
		s.findings |= vital.TimeUnsure // what was refused was not looked at in that way
	}
	return s
}

// refusedSuspects are the measurements that could be read of what was refused: what a value of no metric means, nobody knows.
func refusedSuspects(no quarantined) []suspect {
	var list []suspect
	for _, seen := range no.All() {
		s := suspectOf(&seen.Read, alerts.InQuarantine, string(no.Reason))
		s.org, s.device, s.received, s.reading, s.quarantine, s.Beyond = no.Org, no.Device, no.ReceivedAt, 0, no.row, seen.Beyond
		if s.measured.IsZero() || no.Reason == vital.ReasonClock || !vital.ClockPlausible(s.measured, s.received) {
			s.measured, s.At = time.Time{}, s.received // it may have been measured just now
		}
		list = append(list, s)
	}
	return list
}

// historic reports whether the value tells of the past. Of one whose time is not known, or not so well that it may have been measured
// just now, that is not known either.
func (s *suspect) historic() bool {
	return !s.measured.IsZero() && s.received.Sub(vital.Latest(s.measured, s.unsure, s.received)) > vital.HistoricAfter
}

// suspects are what a batch brought that is screened: parked and refused for the first time, and stored without being judged.
func (j *job) suspects(first []quarantined) []suspect {
	var all []suspect
	for _, r := range j.filed.parkedFirst {
		all = append(all, suspectOf(r, alerts.InInbox, cmp.Or(j.placed.reasons[r], parkedNoOwner)))
	}
	for _, no := range first {
		all = append(all, refusedSuspects(no)...)
	}
	for i := range j.filed.stored {
		if r := &j.filed.stored[i]; r.Findings&vital.NotJudged != 0 {
			all = append(all, suspectOf(r.Reading, alerts.InRecord, "averaged"))
		}
	}
	return all
}

func suspectsOf(jobs []*job) (all []suspect) {
	for _, j := range jobs {
		all = append(all, j.suspected...)
	}
	return all
}

// How much a batch asks for whom a suspect may concern. Beyond that universal extremes alone are asked.
const (
	mostSuspectSensors = 64
	mostHolders        = 16 // of one sensor
	heldLately         = 30 * 24 * time.Hour
)

// holder is somebody whose a value of a sensor may be.
type holder struct {
	patient  vital.PatientID
	how      string
	from, to time.Time
}

// possibleHolders are, of each sensor, those who hold or held it lately, and those who hold another sensor of a device that speaks for
// it, or another slot of the same shared sensor: a household, or the kit's patient. Nobody whose record is locked, and nobody because of what
// a claim made: it is no evidence for the next.
const possibleHolders = `
WITH spoke AS NOT MATERIALIZED (SELECT * FROM gateway_grant WHERE ended_at IS NULL OR ended_at >= $2)
SELECT k.sensor, h.patient_id, h.near, h.from_at, h.to_at FROM unnest($1::bigint[]) AS k (sensor) CROSS JOIN LATERAL (
    SELECT a.patient_id, a.sensor_id <> k.sensor AS near, a.from_at, a.to_at
    FROM assignment a JOIN patient p ON p.org_id = a.org_id AND p.id = a.patient_id AND p.state NOT IN ('locked', 'merged')
    WHERE (a.to_at IS NULL OR a.to_at > a.from_at AND a.to_at >= $2)
      AND NOT EXISTS (SELECT FROM refile_part t JOIN refile f ON f.org_id = t.org_id AND f.id = t.refile_id WHERE t.target_assignment = a.id AND f.source_id IS NULL)
      AND a.sensor_id IN (
        SELECT k.sensor
        UNION SELECT s.id FROM sensor n JOIN sensor s ON s.org_id = n.org_id AND (s.parent_id = n.id OR s.parent_id = n.parent_id OR s.id = n.parent_id) WHERE n.id = k.sensor
        UNION SELECT o.sensor_id FROM spoke g JOIN spoke o ON o.org_id = g.org_id AND o.device_id = g.device_id WHERE g.sensor_id = k.sensor
        UNION SELECT s.id FROM spoke g JOIN sensor s ON s.org_id = g.org_id AND s.device_id = g.device_id WHERE g.sensor_id = k.sensor
        UNION SELECT g.sensor_id FROM sensor s JOIN spoke g ON g.org_id = s.org_id AND g.device_id = s.device_id WHERE s.id = k.sensor)
    ORDER BY near, a.from_at DESC LIMIT $3) h`

// screen opens an unverified red for each suspect that may be an emergency, in the transaction of the batch that brought it, and returns
// the events to announce after the commit. However many there are, it is five round trips.
func screen(ctx context.Context, tx statements, now time.Time, list []suspect) ([]alerts.Event, error) {
	if len(list) == 0 {
		return nil, nil
	}
	if err := nameSensors(ctx, tx, list); err != nil {
		return nil, err
	}
	list, holders, err := whomTheyMayConcern(ctx, tx, list)
	if err != nil || len(list) == 0 {
		return nil, err
	}
	rules, err := rulesOfHolders(ctx, tx, list, holders)
	if err != nil {
		return nil, err
	}
	return openAll(ctx, tx, now, hitsOf(list, holders, rules))
}

// nameSensors fills in the own sensor of devices that spoke for themselves.
func nameSensors(ctx context.Context, tx statements, list []suspect) error {
	var devices []int64
	for i := range list {
		if list[i].sensor == 0 {
			devices = append(devices, int64(list[i].device))
		}
	}
	if len(devices) == 0 {
		return nil
	}
	rows, err := tx.Query(ctx, `SELECT device_id, id FROM sensor WHERE device_id = ANY($1)`, devices)
	if err != nil {
		return fmt.Errorf("find the devices' own sensors: %w", err)
	}
	own := map[vital.DeviceID]vital.SensorID{}
	var device vital.DeviceID
	var sensor vital.SensorID
	if _, err := pgx.ForEachRow(rows, []any{&device, &sensor}, func() error { own[device] = sensor; return nil }); err != nil {
		return fmt.Errorf("find the devices' own sensors: %w", err)
	}
	for i := range list {
		if list[i].sensor == 0 {
			list[i].sensor = own[list[i].device]
		}
	}
	return nil
}

const erasedOfSensors = `SELECT sensor_id, from_at, coalesce(to_at, erased_at) FROM erased_span WHERE sensor_id = ANY($1)`

// whomTheyMayConcern returns the possible holders of the suspects' sensors, and the suspects without what was measured by people who were
// erased: nothing of it is kept, and there is nobody to look after.
func whomTheyMayConcern(ctx context.Context, tx statements, list []suspect) ([]suspect, map[vital.SensorID][]holder, error) {
	var sensors []int64
	earliest := list[0].At
	for i := range list {
		if s := int64(list[i].sensor); !slices.Contains(sensors, s) {
			sensors = append(sensors, s)
		}
		if list[i].At.Before(earliest) {
			earliest = list[i].At
		}
	}
	erased, holders := map[vital.SensorID][]span{}, map[vital.SensorID][]holder{}
	q := &pgx.Batch{}
	q.Queue(erasedOfSensors, sensors).Query(func(rows pgx.Rows) error {
		var sensor vital.SensorID
		var one span
		_, err := pgx.ForEachRow(rows, []any{&sensor, &one.from, &one.to}, func() error { erased[sensor] = append(erased[sensor], one); return nil })
		return err
	})
	q.Queue(possibleHolders, sensors[:min(len(sensors), mostSuspectSensors)], earliest.Add(-heldLately), mostHolders).Query(func(rows pgx.Rows) error {
		var sensor vital.SensorID
		var h holder
		var near bool
		var to *time.Time
		_, err := pgx.ForEachRow(rows, []any{&sensor, &h.patient, &near, &h.from, &to}, func() error {
			h.from, h.to, h.how = h.from.UTC(), timeOf(to), "held"
			if near {
				h.how = "near"
			}
			holders[sensor] = append(holders[sensor], h)
			return nil
		})
		return err
	})
	if err := tx.SendBatch(ctx, q).Close(); err != nil {
		return nil, nil, fmt.Errorf("find whose a parked value may be: %w", err)
	}
	return slices.DeleteFunc(list, func(s suspect) bool {
		return slices.ContainsFunc(erased[s.sensor], func(e span) bool { return !s.At.Before(e.from) && s.At.Before(e.to) })
	}), holders, nil
}

func rulesOfHolders(ctx context.Context, tx statements, list []suspect, holders map[vital.SensorID][]holder) (map[vital.PatientID][]alerts.Rule, error) {
	var patients []int64
	add := func(p vital.PatientID) {
		if p != 0 && !slices.Contains(patients, int64(p)) {
			patients = append(patients, int64(p))
		}
	}
	for i := range list {
		add(list[i].mayBeKnown)
		for _, h := range holders[list[i].sensor] {
			add(h.patient)
		}
	}
	if len(patients) == 0 {
		return nil, nil
	}
	rows, err := tx.Query(ctx, rulesOfPatients, patients)
	if err != nil {
		return nil, fmt.Errorf("load the limits of whose a parked value may be: %w", err)
	}
	rules, err := collectRules(rows)
	if err != nil {
		return nil, fmt.Errorf("load the limits of whose a parked value may be: %w", err)
	}
	all := map[vital.PatientID][]alerts.Rule{}
	for _, r := range rules {
		all[r.Patient] = append(all[r.Patient], r)
	}
	return all, nil
}
