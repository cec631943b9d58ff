package postgres

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"

	"hale/vital"
)

// mostWithdrawals is how many withdrawals of one device may be open: a Bundle of FHIR takes back a thousand at once, and nobody waits for more
// than that of one device.
const mostWithdrawals = 1000

// What was carried out is asked again only when something else was said under that name since: an amendment back to an earlier value
// brings nothing new to the record, and is no resend. Returned is what is beyond the bound, by its place in the arrays.
const askWithdrawals = `
WITH asked AS (
    SELECT DISTINCT ON (org, sensor, name, standing, sent, tie) *, bool_or(new) OVER (PARTITION BY org, sensor, name, standing, sent, tie) AS news
    FROM unnest($1::integer[], $2::bigint[], $3::bigint[], $4::bigint[], $5::smallint[], $6::smallint[], $7::timestamptz[], $8::bigint[], $9::timestamptz[], $10::boolean[])
        WITH ORDINALITY u (org, sensor, device, name, standing, metric, sent, tie, received, new, place)
    ORDER BY org, sensor, name, standing, sent, tie, received DESC, place
), open AS MATERIALIZED (
    SELECT w.org_id, w.device_id, count(*) AS of_device FROM withdrawal w
    WHERE w.state = 'asked' AND (w.org_id, w.device_id) IN (SELECT org, device FROM asked) GROUP BY w.org_id, w.device_id
), fresh AS (
    SELECT a.*, coalesce(o.of_device, 0) + row_number() OVER (PARTITION BY a.org, a.device ORDER BY a.place) AS nth
    FROM asked a LEFT JOIN open o ON o.org_id = a.org AND o.device_id = a.device
        LEFT JOIN withdrawal own ON own.org_id = a.org AND own.sensor_id = a.sensor AND own.name = a.name AND own.standing = a.standing AND own.sent_at = a.sent
            AND own.tie = a.tie AND own.state <> 'unknown'
        LEFT JOIN sensor s ON s.org_id = a.org AND s.id = a.sensor
    WHERE a.news AND own.id IS NULL
        OR EXISTS (SELECT FROM withdrawal w WHERE w.org_id = a.org AND w.sensor_id IN (s.id, s.parent_id) AND w.name = a.name AND w.state <> 'unknown'
            AND (w.standing, w.sent_at, w.tie) <> (a.standing, a.sent, a.tie) AND w.received_at <= a.received AND w.received_at > coalesce(own.received_at, '-infinity'))
        OR EXISTS (SELECT FROM asked w WHERE w.org = a.org AND w.sensor IN (s.id, s.parent_id) AND w.name = a.name
            AND (w.standing, w.sent, w.tie) <> (a.standing, a.sent, a.tie) AND w.received <= a.received AND w.received > coalesce(own.received_at, '-infinity'))
), noted AS (
    INSERT INTO withdrawal AS w (org_id, sensor_id, device_id, name, standing, metric, sent_at, tie, received_at, next_action_at)
    SELECT org, sensor, device, name, standing, metric, sent, tie, received, $11 FROM fresh WHERE nth <= $12 ORDER BY org, sensor, name, standing, sent, tie
    ON CONFLICT (org_id, sensor_id, name, standing, sent_at, tie) DO UPDATE
    SET state = 'asked', attempts = 0, received_at = greatest(w.received_at, excluded.received_at), next_action_at = excluded.next_action_at
)
SELECT place FROM fresh WHERE nth > $12 ORDER BY place`

// askWithdrawals notes what the batch amends and takes back, and returns what is too much for one device. It is carried out beside the
// batches (StepWithdrawal): whose the reading is, and which partition judges it, is known only once it is found.
func (j *job) askWithdrawals(ctx context.Context, tx statements, now time.Time) ([]*vital.Refused, error) {
	asked, news := j.asksBack()
	if err := reopenWithdrawals(ctx, tx, j.namedAnew(), now); err != nil {
		return nil, err
	}
	if len(asked) == 0 {
		return nil, nil
	}
	rows, err := tx.Query(ctx, askWithdrawals, append(withdrawalArrays(asked, news), now, mostWithdrawals)...)
	if err != nil {
		return nil, fmt.Errorf("note what is taken back: %w", err)
	}
	beyond, err := pgx.CollectRows(rows, pgx.RowTo[int])
	if err != nil {
		return nil, fmt.Errorf("note what is taken back: %w", err)
	}
	tooMuch := make([]*vital.Refused, len(beyond))
	for i, place := range beyond {
		r := asked[place-1]
		w := withdrawing{org: r.Org, device: r.Device, name: r.More.Name, standing: r.More.Standing, metric: r.Metric, sent: r.SentAt, received: r.ReceivedAt}
		tooMuch[i] = w.refused(fmt.Sprintf("the device amends or takes back more than %d measurements at once: what it names was left as it is", mostWithdrawals))
	}
	return tooMuch, nil
}

// asksBack returns what of the batch amends and takes back, and of each whether it is new: an amendment that brought nothing new to the
// record is one that was sent again, or one back to what was sent before.
func (j *job) asksBack() (asked []*vital.Reading, news []bool) {
	known := map[*vital.Reading]bool{} // of the few that do either
	ask := func(r *vital.Reading, isNew bool) {
		if takesBack(r) && !known[r] {
			known[r] = true
			asked, news = append(asked, r), append(news, isNew)
		}
	}
	for i := range j.filed.stored {
		ask(j.filed.stored[i].Reading, true)
	}
	for _, r := range slices.Concat(j.filed.parkedFirst, j.sifted.withdrawn) {
		ask(r, true)
	}
	for _, list := range [][]*vital.Reading{j.sifted.readings, j.sifted.again} {
		for _, r := range list {
			if !r.HasSequence {
				ask(r, false)
			}
		}
	}
	return asked, news
}

// takesBack reports whether the reading amends or takes back what was sent before under its name.
func takesBack(r *vital.Reading) bool {
	return r.More != nil && r.More.Name != 0 && (r.More.Standing == vital.Amended || r.More.Standing == vital.EnteredInError)
}

// namedAnew are the readings that are new to the record and may have been amended or taken back before they came.
func (j *job) namedAnew() (list []*vital.Reading) {
	add := func(r *vital.Reading) {
		if r.More != nil && r.More.Name != 0 && !takesBack(r) {
			list = append(list, r)
		}
	}
	for i := range j.filed.stored {
		add(j.filed.stored[i].Reading)
	}
	for _, r := range j.filed.parkedFirst {
		add(r)
	}
	return list
}

// A device that was offline sends the newest first: what was named in vain is looked for again when it comes (withdrawalsFor).
const reopenNamed = `
UPDATE withdrawal w SET state = 'asked', attempts = 0, next_action_at = $4 FROM (
    SELECT f.id FROM unnest($1::integer[], $2::bigint[], $3::bigint[]) AS a (org, sensor, name) JOIN sensor s ON s.org_id = a.org AND s.id = a.sensor
        JOIN withdrawal f ON f.org_id = a.org AND f.sensor_id IN (a.sensor, s.parent_id) AND f.name = a.name
    WHERE f.state <> 'done' ORDER BY f.org_id, f.sensor_id, f.name, f.standing, f.sent_at, f.tie FOR NO KEY UPDATE OF f) o
WHERE w.id = o.id`

func reopenWithdrawals(ctx context.Context, tx statements, named []*vital.Reading, now time.Time) error {
	if len(named) == 0 {
		return nil
	}
	var orgs []int32
	var sensors, names []int64
	for _, r := range named {
		orgs, sensors, names = append(orgs, int32(r.Org)), append(sensors, int64(r.Sensor)), append(names, r.More.Name)
	}
	_, err := tx.Exec(ctx, reopenNamed, orgs, sensors, names, now)
	return wrapped(err, "look again for what was taken back before it came")
}

func withdrawalArrays(asked []*vital.Reading, news []bool) []any {
	n := len(asked)
	orgs, standings, metrics := make([]int32, n), make([]int16, n), make([]int16, n)
	sensors, gateways, names, ties := make([]int64, n), make([]int64, n), make([]int64, n), make([]int64, n)
	sent, received := make([]time.Time, n), make([]time.Time, n)
	for i, r := range asked {
		orgs[i], sensors[i], gateways[i], names[i], ties[i] = int32(r.Org), int64(r.Sensor), int64(r.Device), r.More.Name, r.Tie
		standings[i], metrics[i], sent[i], received[i] = int16(r.More.Standing), int16(r.Metric), r.SentAt, r.ReceivedAt
		if r.SentAt.IsZero() {
			sent[i] = time.Unix(0, 0)
		}
	}
	return []any{orgs, sensors, gateways, names, standings, metrics, sent, ties, received, news}
}
