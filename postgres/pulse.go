package postgres

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"hale/account"
	"hale/alerts"
	"hale/vital"
)

// A cuff counts the pulse too: a patient whose heart rate is private has it hidden in their blood pressure readings as well.
// Here is all of it: what is read of readings, alerts and limits for a caregiver passes through this file.

// heldPulse is the component of blood pressure that is the heart rate, and heldFindings what a cuff says of it.
const (
	heldPulse    = 2
	heldFindings = vital.IrregularPulse | vital.PulseDropped
)

// pulseHidden is whether a row of reading r, of blood pressure (1), holds a heart rate (2) that the caregiver whom the transaction
// acts for does not see. In any other view it is asked once.
const pulseHidden = `((SELECT current_setting('app.view', true) = 'caregiver') AND r.metric = 1 AND EXISTS (SELECT FROM hidden_from_me() h
    WHERE h.patient_id = r.patient_id AND h.kind = 'metric' AND h.metric = 2 AND r.measured_at >= h.from_at AND r.measured_at < h.to_at))`

// readingSeen stands for the table of readings wherever values are read for people; 129 are heldFindings.
const readingSeen = `(SELECT r.sensor_id, r.metric, r.sent_at, r.tie, r.patient_id, r.device_id, r.id, r.measured_at, r.received_at, r.value, r.value2,
    r.mantissa, r.mantissa2, r.exponent, r.exponent2, r.unit, r.unit2,
    CASE WHEN ` + pulseHidden + ` THEN NULL ELSE r.value3 END AS value3, CASE WHEN ` + pulseHidden + ` THEN NULL ELSE r.mantissa3 END AS mantissa3,
    CASE WHEN ` + pulseHidden + ` THEN NULL ELSE r.exponent3 END AS exponent3, CASE WHEN ` + pulseHidden + ` THEN NULL ELSE r.unit3 END AS unit3,
    CASE WHEN ` + pulseHidden + ` THEN r.findings & ~129 ELSE r.findings END AS findings FROM reading r)`

// pulseSpans are the spans in which somebody's heart rate is private, by patient; a zero time has no bound.
type pulseSpans map[vital.PatientID][]pulseSpan

type pulseSpan struct{ from, to time.Time }

func (s pulseSpan) holds(at time.Time) bool {
	return !at.Before(s.from) && (s.to.IsZero() || at.Before(s.to))
}

// pulsesHidden returns what the actor is not shown: nothing for anybody but a caregiver.
func pulsesHidden(ctx context.Context, tx pgx.Tx, actor account.Actor) (pulseSpans, error) {
	if actor.Role != account.CaregiverRole {
		return nil, nil
	}
	const spans = `SELECT patient_id, nullif(from_at, '-infinity'), nullif(to_at, 'infinity') FROM hidden_from_me() WHERE kind = 'metric' AND metric = $1`
	rows, err := tx.Query(ctx, spans, int16(vital.HeartRate))
	if err != nil {
		return nil, fmt.Errorf("find what is private: %w", err)
	}
	hidden := pulseSpans{}
	var patient vital.PatientID
	var from, to *time.Time
	_, err = pgx.ForEachRow(rows, []any{&patient, &from, &to}, func() error {
		hidden[patient] = append(hidden[patient], pulseSpan{from: timeOf(from), to: timeOf(to)})
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("find what is private: %w", err)
	}
	return hidden, nil
}

// pulsesHidden is the function of the name for whoever reads in several transactions.
func (a *App) pulsesHidden(ctx context.Context, actor account.Actor) (hidden pulseSpans, err error) {
	err = a.as(ctx, actor, func(tx pgx.Tx, _ time.Time) (err error) {
		hidden, err = pulsesHidden(ctx, tx, actor)
		return err
	})
	return hidden, err
}

func (h pulseSpans) at(patient vital.PatientID, metric vital.Metric, at time.Time) bool {
	return metric == vital.BloodPressure && slices.ContainsFunc(h[patient], func(s pulseSpan) bool { return s.holds(at) })
}

// always reports whether no pulse of the patient is ever shown, so that nothing that was set for it is either.
func (h pulseSpans) always(patient vital.PatientID) bool {
	return slices.Contains(h[patient], pulseSpan{})
}

// values are those of a reading without the pulse, when that is hidden.
func (h pulseSpans) values(patient vital.PatientID, metric vital.Metric, at time.Time, values []float64) []float64 {
	if h.at(patient, metric, at) && len(values) > heldPulse {
		return values[:heldPulse]
	}
	return values
}

func (h pulseSpans) grounds(patient vital.PatientID, metric vital.Metric, at time.Time, g *alerts.Grounds) *alerts.Grounds {
	if g == nil || !h.at(patient, metric, at) || len(g.Means) <= heldPulse {
		return g
	}
	seen := *g
	seen.Means = g.Means[:heldPulse]
	return &seen
}

func (h pulseSpans) alert(a *alerts.Alert) {
	a.LastValues = h.values(a.Patient, a.Metric, a.Last.At, a.LastValues)
	a.WorstValues = h.values(a.Patient, a.Metric, a.Worst.At, a.WorstValues)
	a.LastGrounds = h.grounds(a.Patient, a.Metric, a.Last.At, a.LastGrounds)
	a.WorstGrounds = h.grounds(a.Patient, a.Metric, a.Worst.At, a.WorstGrounds)
	a.Retracted = h.retracted(a.Patient, a.Metric, a.Retracted)
}

// retracted are retractions without the pulses that are hidden.
func (h pulseSpans) retracted(patient vital.PatientID, metric vital.Metric, list []alerts.Retraction) []alerts.Retraction {
	seen := slices.Clone(list)
	for i := range seen {
		r := &seen[i]
		r.Values = h.values(patient, metric, r.Reading.At, r.Values)
		if r.Instead != nil {
			r.Instead = &alerts.Instead{Reading: r.Instead.Reading, Values: h.values(patient, metric, r.Instead.Reading.At, r.Instead.Values)}
		}
	}
	return seen
}

// logSeen makes the log of an alert what the actor sees of it.
func logSeen(ctx context.Context, tx pgx.Tx, actor account.Actor, alert uuid.UUID, log []alerts.Entry) error {
	h, err := pulsesHidden(ctx, tx, actor)
	if err != nil || len(h) == 0 || len(log) == 0 {
		return err
	}
	var patient vital.PatientID
	var metric vital.Metric
	if err := tx.QueryRow(ctx, `SELECT patient_id, metric FROM episode WHERE uid = $1`, alert).Scan(&patient, &metric); err != nil {
		return fmt.Errorf("find the alert of the log: %w", err)
	}
	for i := range log {
		n := &log[i]
		if h.at(patient, metric, n.Reading.At) {
			n.Values, n.Grounds = h.values(patient, metric, n.Reading.At, n.Values), h.grounds(patient, metric, n.Reading.At, n.Grounds)
			n.Findings &^= heldFindings
		}
		n.Retracts = h.retracted(patient, metric, n.Retracts)
	}
	return nil
}

// rules are a patient's without the bounds of the pulse.
func (h pulseSpans) rules(patient vital.PatientID, rules []alerts.Rule) {
	if !h.always(patient) {
		return
	}
	for i := range rules {
		if rules[i].Metric != vital.BloodPressure {
			continue
		}
		for j := range rules[i].Versions {
			v := &rules[i].Versions[j]
			unbound(v.Limit.Components)
			if v.Trend != nil && v.Trend.Average != nil {
				unbound(v.Trend.Average.Components)
			}
		}
	}
}

func unbound(components []alerts.Bounds) {
	if len(components) > heldPulse {
		components[heldPulse] = alerts.Bounds{}
	}
}

// specSeen is what a version of a rule says, as a copy has it, without the bounds of a pulse that is never shown.
const specSeen = `CASE WHEN r.metric = 1 AND EXISTS (SELECT FROM hidden_from_me() h WHERE h.patient_id = r.patient_id AND h.kind = 'metric' AND h.metric = 2
    AND h.from_at = '-infinity' AND h.to_at = 'infinity') THEN v.spec #- '{components,2}' #- '{average,components,2}' ELSE v.spec END AS spec`
