package postgres

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"

	"hale/account"
	"hale/devices"
	"hale/fault"
	"hale/vital"
)

// ChangeKit does with a kit what c decides, in one transaction. See devices.KitBook. The order of its locks is that of Assign: the
// partitions, the patients, the kit, the sensors.
func (a *App) ChangeKit(ctx context.Context, actor account.Actor, c devices.KitChange) (devices.Kit, error) {
	var changed devices.Kit
	err := a.as(ctx, actor, func(tx pgx.Tx, _ time.Time) error {
		people := map[vital.UID]account.Patient{}
		for _, uid := range c.Patients {
			p, err := onePatient(ctx, tx, uid)
			if err != nil {
				return err
			}
			people[uid] = p
		}
		k, err := heldKit(ctx, tx, actor, c, people)
		if err != nil {
			return err
		}
		step, err := c.Decide(&k.Kit)
		if err != nil {
			return err
		}
		if err := k.carryOut(ctx, tx, actor, step, people); err != nil {
			return err
		}
		now, err := askTime(ctx, tx)
		if err == nil {
			changed, err = oneKit(ctx, tx, c.Kit, now)
		}
		return err
	})
	return changed, err
}

// heldKit loads a kit with everything held that a step of it may touch: it and who has it are as they are until the end.
func heldKit(ctx context.Context, tx pgx.Tx, actor account.Actor, c devices.KitChange, people map[vital.UID]account.Patient) (*loadedKit, error) {
	now, err := askTime(ctx, tx)
	if err != nil {
		return nil, err
	}
	before, err := loadKit(ctx, tx, c.Kit, now)
	if err != nil {
		return nil, err
	}
	concerned := before.wearers()
	for _, p := range people {
		concerned = append(concerned, p.ID)
	}
	if err := holdPartitions(ctx, tx, concerned, before.all()); err != nil {
		return nil, err
	}
	var all []string
	for uid := range people {
		all = append(all, string(uid))
	}
	if _, err := tx.Exec(ctx, keepPatients, all); err != nil { // in the order of their numbers
		return nil, fmt.Errorf("hold the patients: %w", err)
	}
	for uid := range people {
		if people[uid], err = stillAllowed(ctx, tx, actor, c.Action, uid); err != nil {
			return nil, err
		}
	}
	if _, err := tx.Exec(ctx, lockKit, string(before.UID)); err != nil {
		return nil, fmt.Errorf("lock kit: %w", err)
	}
	if err := lockFamily(ctx, tx, before.all()); err != nil { // a gateway of it gets no sensor from here on, and none is taken from it
		return nil, err
	}
	if now, err = askTime(ctx, tx); err != nil { // somebody may have had it until a moment ago
		return nil, err
	}
	k, err := loadKit(ctx, tx, c.Kit, now)
	if err != nil {
		return nil, err
	}
	if !maps.Equal(k.sensors, before.sensors) || !maps.Equal(k.taken, before.taken) || !slices.Equal(k.wearers(), before.wearers()) {
		return nil, fault.New(fault.Conflict, "somebody has changed the kit %s just now: look again", k.Label)
	}
	return k, nil
}

// all returns the sensors of the kit, and those that were taken from its gateways.
func (k *loadedKit) all() []vital.SensorID {
	return slices.AppendSeq(slices.Collect(maps.Values(k.sensors)), maps.Values(k.taken))
}

// wearers returns everybody who has something of the kit now, each once and in order.
func (k *loadedKit) wearers() []vital.PatientID {
	var list []vital.PatientID
	for _, p := range k.places() {
		for _, u := range p.at.Users {
			list = append(list, u.Patient)
		}
	}
	for _, h := range k.Holders {
		list = append(list, h.Patient)
	}
	slices.Sort(list)
	return slices.Compact(list)
}

const (
	setKit = `
UPDATE kit SET state = $2, state_at = CASE WHEN state = $2 THEN state_at ELSE $3 END,
    issued_at = CASE WHEN $4 THEN $3 ELSE issued_at END, cuff_at = CASE WHEN $4 THEN NULL ELSE cuff_at END WHERE id = $1`
	cuffOfKit      = `UPDATE kit SET cuff_at = $2 WHERE id = $1`
	nameOfKit      = `UPDATE kit_holder SET named_at = $3 WHERE kit_id = $1 AND patient_id = ANY($2) AND to_at IS NULL`
	holdKit        = `INSERT INTO kit_holder (org_id, kit_id, patient_id, from_at) VALUES ($1, $2, $3, $4)`
	leaveKit       = `UPDATE kit_holder SET to_at = greatest(from_at, $2) WHERE kit_id = $1 AND to_at IS NULL RETURNING patient_id`
	insertItem     = `INSERT INTO kit_item (org_id, kit_id, device_id, from_at) SELECT $1, $2, d.id, $4 FROM device d WHERE d.uid = $3 AND d.revoked_at IS NULL`
	endItem        = `UPDATE kit_item i SET to_at = greatest(i.from_at, $3) FROM device d WHERE d.org_id = i.org_id AND d.id = i.device_id AND i.kit_id = $1 AND d.uid = ANY($2) AND i.to_at IS NULL`
	insertKitEvent = `INSERT INTO kit_event (org_id, kit_id, at, actor_id, actor_name, actor_role, what, detail) VALUES ($1, $2, $3, $4, $5, $6, $7, $8)`
)

// clockNow is asked after the locks are held: what was measured before it may be filed under who had the sensor until then.
const clockNow = `SELECT clock_timestamp()`

func askTime(ctx context.Context, tx pgx.Tx) (now time.Time, err error) {
	if err := tx.QueryRow(ctx, clockNow).Scan(&now); err != nil {
		return now, fmt.Errorf("ask the time: %w", err)
	}
	return now.UTC(), nil
}

// carryOut does a step.
func (k *loadedKit) carryOut(ctx context.Context, tx pgx.Tx, actor account.Actor, step devices.KitStep, people map[vital.UID]account.Patient) error {
	now, err := askTime(ctx, tx)
	if err != nil {
		return err
	}
	if _, err := tx.Exec(ctx, setKit, k.id, string(step.State), now, len(step.Give) > 0); err != nil {
		return fmt.Errorf("change kit: %w", err)
	}
	if err := k.contents(ctx, tx, actor.Org, step, now); err != nil {
		return err
	}
	if step.What == devices.KitRetire {
		if err := k.silence(ctx, tx, actor, now); err != nil {
			return err
		}
	}
	if step.End {
		if err := k.takeBack(ctx, tx, actor, step.Partly, now); err != nil {
			return err
		}
	}
	if len(step.Give) > 0 {
		if err := k.handOut(ctx, tx, actor, step, people, now); err != nil {
			return err
		}
	}
	if err := tellOfKit(ctx, tx, actor, k, step, now); err != nil {
		return err
	}
	if !step.End && len(step.Give) == 0 {
		return nil
	}
	return touchRegistry(ctx, tx)
}

// silence cancels what the devices of a kit that is retired are asked.
func (k *loadedKit) silence(ctx context.Context, tx pgx.Tx, actor account.Actor, now time.Time) error {
	var list []string
	for i := range k.Items {
		list = append(list, k.Items[i].Device)
	}
	return cancelCommands(ctx, tx, actor, list, "the kit was retired", now)
}

// contents changes what is in the kit, and what was confirmed of it.
func (k *loadedKit) contents(ctx context.Context, tx pgx.Tx, org vital.OrgID, step devices.KitStep, now time.Time) error {
	if len(step.Remove) > 0 {
		if _, err := tx.Exec(ctx, endItem, k.id, step.Remove, now); err != nil {
			return fmt.Errorf("take devices out of a kit: %w", err)
		}
	}
	if err := putIn(ctx, tx, org, k.id, step.Add, now); err != nil {
		return err
	}
	if step.Cuff {
		if _, err := tx.Exec(ctx, cuffOfKit, k.id, now); err != nil {
			return fmt.Errorf("confirm the cuff: %w", err)
		}
	}
	if len(step.Named) > 0 {
		if _, err := tx.Exec(ctx, nameOfKit, k.id, step.Named, now); err != nil {
			return fmt.Errorf("confirm the name: %w", err)
		}
	}
	return nil
}

func putIn(ctx context.Context, tx pgx.Tx, org vital.OrgID, kit int64, list []string, now time.Time) error {
	for _, uid := range list {
		tag, err := tx.Exec(ctx, insertItem, int32(org), kit, uid, now)
		if violated(err, "kit_item_device") {
			return fault.New(fault.Conflict, "the device %q is in a kit already: take it out there first", uid)
		}
		if err != nil {
			return fmt.Errorf("put a device into a kit: %w", err)
		}
		if tag.RowsAffected() == 0 {
			return fault.New(fault.NotFound, "there is no device %q, or it was taken out of use", uid)
		}
	}
	return nil
}

// takeBack ends all that anybody has of the kit; of what is named partly, only what those have who have the kit.
func (k *loadedKit) takeBack(ctx context.Context, tx pgx.Tx, actor account.Actor, partly []string, now time.Time) error {
	ends := ending{sensors: slices.Collect(maps.Values(k.sensors)), of: make([]vital.PatientID, len(k.Holders))}
	for i, h := range k.Holders {
		ends.of[i] = h.Patient
	}
	for _, uid := range partly {
		id, of := k.sensors[uid]
		if !of {
			id = k.taken[uid]
			ends.sensors = append(ends.sensors, id)
		}
		ends.partly = append(ends.partly, id)
	}
	if _, err := unassign(ctx, tx, actor, ends, "kit "+string(k.UID), now); err != nil {
		return err
	}
	if _, err := tx.Exec(ctx, leaveKit, k.id, now); err != nil {
		return fmt.Errorf("take a kit back: %w", err)
	}
	return nil
}

// handOut begins the assignments of a kit.
func (k *loadedKit) handOut(ctx context.Context, tx pgx.Tx, actor account.Actor, step devices.KitStep, people map[vital.UID]account.Patient, now time.Time) error {
	var got []vital.PatientID
	for _, g := range step.Give {
		p, known := people[g.Patient]
		sensor, there := k.sensors[g.Sensor]
		if !known || !there {
			return fault.New(fault.Internal, "a kit gives what it has not to whom nobody asked for")
		}
		if err := giveNow(ctx, tx, p, g, sensor, now); err != nil {
			return err
		}
		got = append(got, p.ID)
	}
	for _, uid := range step.Hold {
		p := people[uid]
		if uid != step.Hold[0] && !slices.Contains(got, p.ID) {
			continue
		}
		if _, err := tx.Exec(ctx, holdKit, int32(actor.Org), k.id, int64(p.ID), now); err != nil {
			return fmt.Errorf("write down who has the kit: %w", err)
		}
		if _, err := tx.Exec(ctx, noteChange, int32(p.Org), vital.PartitionOf(uint64(p.ID)), int64(p.ID), nil, now); err != nil {
			return fmt.Errorf("note the changed situation: %w", err)
		}
		row := account.Audit{Org: p.Org, At: now, Actor: actor, Action: string(account.AssignDevice), Patient: p.ID, Object: "kit " + string(k.UID), Detail: "from " + now.Format(time.RFC3339)}
		if err := writeAudit(ctx, tx, row); err != nil {
			return err
		}
	}
	return nil
}

// tellOfKit writes the line of the kit's history, and the audit row of what concerns no patient.
func tellOfKit(ctx context.Context, tx pgx.Tx, actor account.Actor, k *loadedKit, step devices.KitStep, now time.Time) error {
	if _, err := tx.Exec(ctx, insertKitEvent, int32(actor.Org), k.id, now, nullID(actor.Staff), actor.Name, string(actor.Role), string(step.What), step.Detail); err != nil {
		return fmt.Errorf("write the history of a kit: %w", err)
	}
	if len(step.Give) > 0 {
		return nil // each patient has a row
	}
	return writeAudit(ctx, tx, account.Audit{Org: actor.Org, At: now, Actor: actor, Action: "kit: " + string(step.What), Object: "kit " + string(k.UID), Detail: step.Detail})
}

const lockSensors = `SELECT 1 FROM sensor WHERE id = ANY($1) OR parent_id = ANY($1) ORDER BY id FOR NO KEY UPDATE`

// lockFamily locks sensors with all their user slots, in order.
func lockFamily(ctx context.Context, tx pgx.Tx, sensors []vital.SensorID) error {
	if _, err := tx.Exec(ctx, lockSensors, sensors); err != nil {
		return fmt.Errorf("lock sensors: %w", err)
	}
	return nil
}

// ending is what is taken from people: sensors with their user slots, and of some of them only what these people have.
type ending struct {
	sensors []vital.SensorID
	partly  []vital.SensorID
	of      []vital.PatientID
}

// endOpen ends assignments at a time, under another epoch: whatever an edge still believes of them is asked for again. One that was
// to begin later never does.
const endOpen = `
UPDATE assignment a SET to_at = greatest(a.from_at, $2), epoch = a.epoch + 1 FROM sensor s
WHERE s.org_id = a.org_id AND s.id = a.sensor_id AND (s.id = ANY($1) OR s.parent_id = ANY($1)) AND (a.to_at IS NULL OR a.to_at > $2 AND a.to_at > a.from_at)
  AND (coalesce(s.id <> ALL($3) AND (s.parent_id IS NULL OR s.parent_id <> ALL($3)), true) OR a.patient_id = ANY($4))
RETURNING a.patient_id`

// unassign ends what people have, now or from a later time on. It returns how many assignments ended.
func unassign(ctx context.Context, tx pgx.Tx, actor account.Actor, e ending, object string, now time.Time) (int, error) {
	rows, err := tx.Query(ctx, endOpen, e.sensors, now, e.partly, e.of)
	if err != nil {
		return 0, fmt.Errorf("end assignments: %w", err)
	}
	ended, err := pgx.CollectRows(rows, pgx.RowTo[vital.PatientID])
	if err != nil {
		return 0, fmt.Errorf("end assignments: %w", err)
	}
	people := slices.Clone(ended)
	slices.Sort(people)
	for _, p := range slices.Compact(people) {
		if _, err := tx.Exec(ctx, noteChange, int32(actor.Org), vital.PartitionOf(uint64(p)), int64(p), nil, now); err != nil {
			return 0, fmt.Errorf("note the changed situation: %w", err)
		}
		row := account.Audit{Org: actor.Org, At: now, Actor: actor, Action: "unassign device", Patient: p, Object: object, Detail: "until " + now.Format(time.RFC3339)}
		if err := writeAudit(ctx, tx, row); err != nil {
			return 0, err
		}
	}
	return len(ended), nil
}

// hasAlready asks whether a patient has a sensor already, until further notice.
const hasAlready = `SELECT EXISTS (SELECT FROM assignment WHERE sensor_id = $1 AND patient_id = $2 AND from_at <= $3 AND to_at IS NULL)`

// giveNow gives a sensor, or one user slot of it, to a patient from now on. A whole sensor comes with its slots; what is the
// patient's already stays so.
func giveNow(ctx context.Context, tx pgx.Tx, p account.Patient, g devices.Gift, sensor vital.SensorID, now time.Time) error {
	targets := []vital.SensorID{sensor}
	var err error
	if g.Slot == devices.NoSlot {
		targets, err = familyOf(ctx, tx, sensor)
	} else {
		targets[0], err = slotOf(ctx, tx, p.Org, g.Sensor, sensor, uint8(g.Slot), now)
	}
	if err != nil {
		return err
	}
	for _, target := range targets {
		var has bool
		if err := tx.QueryRow(ctx, hasAlready, int64(target), int64(p.ID), now).Scan(&has); err != nil {
			return fmt.Errorf("look who has the sensor: %w", err)
		}
		if has {
			continue
		}
		b := devices.Binding{Sensor: g.Sensor, Patient: p.UID, From: now}
		if _, err := beginAssignment(ctx, tx, p, target, b, now); err != nil {
			return nameSensor(err, g.Sensor)
		}
	}
	return nil
}

// nameSensor says of which of many sensors a refusal is.
func nameSensor(err error, sensor string) error {
	var known *fault.Error
	if errors.As(err, &known) && fault.Is(err, fault.Conflict) {
		return fault.New(fault.Conflict, "%s: %s", sensor, fault.MessageOf(err))
	}
	return err
}
