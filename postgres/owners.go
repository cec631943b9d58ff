package postgres

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"hale/devices"
	"hale/vital"
)

// placed is a batch whose owners have been checked against the record.
type placed struct {
	owned     []*vital.Reading
	unowned   []*vital.Reading
	elsewhere map[*vital.Reading]bool   // owned, but judged by another partition
	reasons   map[*vital.Reading]string // why an unowned one is parked, when not for want of an owner
}

// Why readings wait in the inbox.
const (
	parkedNoOwner = "no_owner"
	parkedRevoked = "revoked"         // received after its device was taken out of use
	parkedClock   = "clock_uncertain" // the sensor changed hands within the time in which it can have been measured
)

// assignmentsByID tells in one query how the assignments stand that the edge saw, and which devices are out of use.
const assignmentsByID = `
SELECT false, id, epoch, NULL::timestamptz FROM assignment WHERE id = ANY($1)
UNION ALL
SELECT true, id, 0, revoked_at FROM device WHERE id = ANY($2) AND revoked_at IS NOT NULL`

// Nothing is added to a record that is locked: what arrives for it has no owner.
const assignmentsOfSensors = `
SELECT a.org_id, a.id, a.sensor_id, a.patient_id, a.from_at, a.to_at, a.epoch FROM assignment a JOIN patient p ON p.org_id = a.org_id AND p.id = a.patient_id
WHERE a.sensor_id = ANY($1) AND p.state <> 'locked' ORDER BY a.sensor_id, a.from_at`

const changeElsewhere = `
INSERT INTO situation_change (org_id, partition, patient_id, rejudge_from, late, at) VALUES ($1, $2, $3, $4, true, $5)`

// settleOwners checks the assignment that the edge saw against the record's answer, which is all where all is well. Where the
// assignment has changed since, or there was none, the record's own assignments decide.
func settleOwners(ctx context.Context, tx statements, partition int, now time.Time, readings []*vital.Reading, known known) (placed, error) {
	p := placed{elsewhere: map[*vital.Reading]bool{}, reasons: map[*vital.Reading]string{}}
	var doubtful []*vital.Reading
	for _, r := range readings {
		if at, out := known.revoked[r.Device]; out && !r.ReceivedAt.Before(at) {
			// Revoked holds behind an edge that has not heard of it yet.
			r.Patient, r.Assignment, r.Epoch = 0, 0, 0
			p.unowned, p.reasons[r] = append(p.unowned, r), parkedRevoked
		} else if r.Findings&vital.UserUnsure != 0 {
			r.Patient, r.Assignment, r.Epoch = 0, 0, 0
			p.unowned, p.reasons[r] = append(p.unowned, r), parkedSlot
		} else if e, ok := known.epochs[r.Assignment]; ok && e == r.Epoch && r.Patient != 0 {
			p.owned = append(p.owned, r)
			p.judgedElsewhere(r, partition)
		} else {
			doubtful = append(doubtful, r)
		}
	}
	if len(doubtful) > 0 {
		if err := p.resettle(ctx, tx, partition, doubtful); err != nil {
			return p, err
		}
	}
	if err := p.sharedBy(ctx, tx); err != nil {
		return p, err
	}
	return p, p.tellOthers(ctx, tx, now)
}

// known is how the record sees what the edge knew.
type known struct {
	epochs  map[vital.AssignmentID]int32
	revoked map[vital.DeviceID]time.Time
}

// queueStanding asks, with the first statements of a batch, how the record sees what the edge knew.
func queueStanding(q *pgx.Batch, jobs []*job) known {
	k := known{epochs: map[vital.AssignmentID]int32{}, revoked: map[vital.DeviceID]time.Time{}}
	var assignments, spoke []int64
	seen := map[vital.DeviceID]bool{}
	for _, j := range jobs {
		for _, r := range j.sifted.readings {
			if _, ok := k.epochs[r.Assignment]; !ok && r.Assignment != 0 {
				k.epochs[r.Assignment] = 0
				assignments = append(assignments, int64(r.Assignment))
			}
			if !seen[r.Device] {
				seen[r.Device] = true
				spoke = append(spoke, int64(r.Device))
			}
		}
	}
	if len(seen) == 0 {
		return k
	}
	clear(k.epochs)
	q.Queue(assignmentsByID, assignments, spoke).Query(func(rows pgx.Rows) error {
		var device bool
		var id int64
		var epoch int32
		var at *time.Time
		_, err := pgx.ForEachRow(rows, []any{&device, &id, &epoch, &at}, func() error {
			if device {
				k.revoked[vital.DeviceID(id)] = timeOf(at)
			} else {
				k.epochs[vital.AssignmentID(id)] = epoch
			}
			return nil
		})
		return err
	})
	return k
}

func (p *placed) resettle(ctx context.Context, tx statements, partition int, doubtful []*vital.Reading) error {
	sensors := map[vital.SensorID]bool{}
	list := []int64{}
	for _, r := range doubtful {
		if !sensors[r.Sensor] {
			sensors[r.Sensor] = true
			list = append(list, int64(r.Sensor))
		}
	}
	rows, err := tx.Query(ctx, assignmentsOfSensors, list)
	if err != nil {
		return fmt.Errorf("load assignments: %w", err)
	}
	all, err := pgx.CollectRows(rows, scanAssignment)
	if err != nil {
		return fmt.Errorf("load assignments: %w", err)
	}
	now := devices.Snapshot{Assignments: map[vital.SensorID][]devices.Assignment{}}
	for _, a := range all {
		now.Assignments[a.Sensor] = append(now.Assignments[a.Sensor], a)
	}
	if err := inTheirZones(ctx, tx, &now, list, doubtful); err != nil {
		return err
	}
	for _, r := range doubtful {
		a, ok, clock := now.OwnerWithin(r.Sensor, r.MeasuredAt, r.Unsure(), r.ReceivedAt)
		if !ok {
			r.Patient, r.Assignment, r.Epoch = 0, 0, 0
			p.unowned = append(p.unowned, r)
			if clock {
				p.reasons[r] = parkedClock
			}
			continue
		}
		r.Org, r.Patient, r.Assignment, r.Epoch = a.Org, a.Patient, a.ID, a.Epoch
		p.owned = append(p.owned, r)
		p.judgedElsewhere(r, partition)
	}
	return nil
}

func (p *placed) judgedElsewhere(r *vital.Reading, partition int) {
	if vital.PartitionOf(uint64(r.Patient)) != partition {
		p.elsewhere[r] = true
	}
}

// tellOthers asks the partitions of owners that the edge did not know of to judge the readings that are filed here.
func (p *placed) tellOthers(ctx context.Context, tx statements, now time.Time) error {
	earliest := map[vital.PatientID]*vital.Reading{}
	for r := range p.elsewhere {
		if e := earliest[r.Patient]; e == nil || r.MeasuredAt.Before(e.MeasuredAt) {
			earliest[r.Patient] = r
		}
	}
	for patient, r := range earliest {
		if _, err := tx.Exec(ctx, changeElsewhere, int32(r.Org), vital.PartitionOf(uint64(patient)), int64(patient), r.MeasuredAt, now); err != nil {
			return fmt.Errorf("tell the owner's partition: %w", err)
		}
	}
	return nil
}

func scanAssignment(row pgx.CollectableRow) (devices.Assignment, error) {
	var a devices.Assignment
	var to *time.Time
	err := row.Scan(&a.Org, &a.ID, &a.Sensor, &a.Patient, &a.From, &to, &a.Epoch)
	a.From, a.To = a.From.UTC(), timeOf(to)
	return a, err
}
