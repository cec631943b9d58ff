package postgres

import (
	"cmp"
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
// brings nothing new to the record, and is no resend. Returned is what is beyond the bound, by its place in the arrays, which is the order
// in which it came.
//
// Words about one name are in order by (received_at, standing, said): of what was received at one time, as in one message, what takes back
// comes after what amends, and of the same kind what came last after what came first.
const askWithdrawals = `
WITH asked AS (
    SELECT DISTINCT ON (org, sensor, name, standing, sent, tie) *, bool_or(new) OVER (PARTITION BY org, sensor, name, standing, sent, tie) AS news
    FROM unnest($1::integer[], $2::bigint[], $3::bigint[], $4::bigint[], $5::smallint[], $6::smallint[], $7::timestamptz[], $8::bigint[], $9::timestamptz[], $10::boolean[], $11::text[])
        WITH ORDINALITY u (org, sensor, device, name, standing, metric, sent, tie, received, new, identifier, place)
    ORDER BY org, sensor, name, standing, sent, tie, received DESC, place DESC
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
            AND (w.standing, w.sent_at, w.tie) <> (a.standing, a.sent, a.tie) AND (w.received_at, w.standing) <= (a.received, a.standing)
            AND (own.id IS NULL OR (w.received_at, w.standing, w.said) > (own.received_at, own.standing, own.said)))
        OR EXISTS (SELECT FROM asked w WHERE w.org = a.org AND w.sensor IN (s.id, s.parent_id) AND w.name = a.name
            AND (w.standing, w.sent, w.tie) <> (a.standing, a.sent, a.tie) AND (w.received, w.standing, w.place) < (a.received, a.standing, a.place)
            AND (own.id IS NULL OR (w.received, w.standing) >= (own.received_at, own.standing)))
), numbered AS MATERIALIZED (
    SELECT o.*, nextval('withdrawal_said') AS said FROM (SELECT * FROM fresh WHERE nth <= $13 ORDER BY place) o
), noted AS (
    INSERT INTO withdrawal AS w (org_id, sensor_id, device_id, name, standing, metric, sent_at, tie, received_at, identifier, said, next_action_at)
    SELECT org, sensor, device, name, standing, metric, sent, tie, received, identifier, said, $12 FROM numbered ORDER BY org, sensor, name, standing, sent, tie
    ON CONFLICT (org_id, sensor_id, name, standing, sent_at, tie) DO UPDATE
    SET state = 'asked', attempts = 0, received_at = greatest(w.received_at, excluded.received_at), next_action_at = excluded.next_action_at,
        said = CASE WHEN excluded.received_at < w.received_at THEN w.said ELSE excluded.said END
)
SELECT place FROM fresh WHERE nth > $13 ORDER BY place`

// askWithdrawals notes what the batch amends and takes back, and returns what is too much for one device. It is carried out beside the
// batches (StepWithdrawal): whose the reading is, and which partition judges it, is known only once it is found.
func (j *job) askWithdrawals(ctx context.Context, tx statements, now time.Time) ([]*vital.Refused, error) {
	asked, news := j.asksBack()
	corrections, err := j.refusedCorrections(ctx, tx)
	if err != nil {
		return nil, err
	}
	for _, r := range corrections {
		asked, news = append(asked, r), append(news, true)
	}
	if err := reopenWithdrawals(ctx, tx, j.namedAnew(), now); err != nil {
		return nil, err
	}
	if len(asked) == 0 {
		return nil, nil
	}
	place := make([]int, len(asked))
	for i := range place {
		place[i] = i
	}
	slices.SortStableFunc(place, func(a, b int) int { return cmp.Compare(j.sifted.said[asked[a]], j.sifted.said[asked[b]]) })
	asked, news = permuted(asked, place), permuted(news, place)
	rows, err := tx.Query(ctx, askWithdrawals, append(withdrawalArrays(asked, news), now, mostWithdrawals)...)
	if err != nil {
		return nil, fmt.Errorf("note what is taken back: %w", err)
	}
	beyond, err := pgx.CollectRows(rows, pgx.RowTo[int])
	if err != nil {
		return nil, fmt.Errorf("note what is taken back: %w", err)
	}
	if len(beyond) == 0 {
		return nil, nil
	}
	uids := map[vital.SensorID]string{} // of what is told
	var tooMuch []*vital.Refused
	for _, place := range beyond {
		r := asked[place-1]
		if r.More.Standing == refusedCorrection {
			continue // it is in quarantine already
		}
		if _, known := uids[r.Sensor]; !known {
			if uids[r.Sensor], err = uidOfSensor(ctx, tx, r.Sensor); err != nil {
				return nil, err
			}
		}
		w := withdrawing{
			org: r.Org, device: r.Device, name: r.More.Name, standing: r.More.Standing, metric: r.Metric, sent: r.SentAt, received: r.ReceivedAt, identifier: identifierOf(r),
			uid: uids[r.Sensor],
		}
		tooMuch = append(tooMuch, w.refused(fmt.Sprintf("the device amends or takes back more than %d measurements at once: what it names was left as it is", mostWithdrawals)))
	}
	return tooMuch, nil
}

func permuted[T any](list []T, order []int) []T {
	all := make([]T, len(order))
	for i, at := range order {
		all[i] = list[at]
	}
	return all
}

// identifierOf is the sender's own name for what the reading takes back, in its words; empty when it is not known.
func identifierOf(r *vital.Reading) string {
	i := slices.IndexFunc(r.More.Facts, func(f vital.Fact) bool { return f.Name == vital.Identifier })
	if i < 0 || r.N > 0 {
		return ""
	}
	return validText(r.More.Facts[i].Value)
}

func uidOfSensor(ctx context.Context, tx statements, sensor vital.SensorID) (uid string, err error) {
	err = tx.QueryRow(ctx, `SELECT uid FROM sensor WHERE id = $1`, int64(sensor)).Scan(&uid)
	return uid, wrapped(err, "name a sensor")
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
		if r.More != nil && r.More.Name != 0 {
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

// A device that was offline sends the newest first: what was named in vain is looked for again when it comes (withdrawalsFor). So is what was
// carried out after it was received, and could not be read until now: it waited in quarantine. What is an amendment itself is met by later
// words only.
const reopenNamed = `
UPDATE withdrawal w SET state = 'asked', attempts = 0, next_action_at = $5 FROM (
    SELECT f.id FROM unnest($1::integer[], $2::bigint[], $3::bigint[], $4::timestamptz[], $6::smallint[]) AS a (org, sensor, name, received, standing) JOIN sensor s ON s.org_id = a.org AND s.id = a.sensor
        JOIN withdrawal f ON f.org_id = a.org AND f.sensor_id IN (a.sensor, s.parent_id) AND f.name = a.name
    WHERE CASE WHEN a.standing = 1 THEN (f.received_at, f.standing) > (a.received, a.standing) ELSE f.state <> 'done' OR f.received_at >= a.received END
    ORDER BY f.org_id, f.sensor_id, f.name, f.standing, f.sent_at, f.tie FOR NO KEY UPDATE OF f) o
WHERE w.id = o.id`

func reopenWithdrawals(ctx context.Context, tx statements, named []*vital.Reading, now time.Time) error {
	if len(named) == 0 {
		return nil
	}
	var orgs []int32
	var sensors, names []int64
	var received []time.Time
	var standings []int16
	for _, r := range named {
		standings = append(standings, int16(r.More.Standing))
		orgs, sensors, names, received = append(orgs, int32(r.Org)), append(sensors, int64(r.Sensor)), append(names, r.More.Name), append(received, r.ReceivedAt)
	}
	_, err := tx.Exec(ctx, reopenNamed, orgs, sensors, names, received, now, standings)
	return wrapped(err, "look again for what was taken back before it came")
}

func withdrawalArrays(asked []*vital.Reading, news []bool) []any {
	n := len(asked)
	orgs, standings, metrics := make([]int32, n), make([]int16, n), make([]int16, n)
	sensors, gateways, names, ties := make([]int64, n), make([]int64, n), make([]int64, n), make([]int64, n)
	sent, received, identifiers := make([]time.Time, n), make([]time.Time, n), make([]string, n)
	for i, r := range asked {
		orgs[i], sensors[i], gateways[i], names[i], ties[i] = int32(r.Org), int64(r.Sensor), int64(r.Device), r.More.Name, r.Tie
		standings[i], metrics[i], sent[i], received[i] = int16(r.More.Standing), int16(r.Metric), r.SentAt, r.ReceivedAt
		identifiers[i] = identifierOf(r)
		if r.SentAt.IsZero() {
			sent[i] = time.Unix(0, 0)
		}
	}
	return []any{orgs, sensors, gateways, names, standings, metrics, sent, ties, received, news, identifiers}
}
