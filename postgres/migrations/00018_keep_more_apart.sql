-- Why: five holes. A relative learned from a refusal that the patient had asked to be forgotten: a person asks once, not a record.
-- A patient's view could write their name and birth by itself, and read every device of the organisation. The limits of what is
-- private stood in a relative's copy. Who was erased, while a law keeps something of them, was still found by name.
-- +goose Up
SET LOCAL ROLE hale_owner;

-- One open request of everybody who may ask, and one that is being carried out.
DROP INDEX erasure_one_open;
CREATE UNIQUE INDEX erasure_one_open ON erasure (org_id, patient_id, coalesce(asked_by, 0)) WHERE state NOT IN ('refused', 'withdrawn', 'done');
CREATE UNIQUE INDEX erasure_one_decided ON erasure (org_id, patient_id) WHERE state IN ('decided', 'confirmed', 'erasing', 'kept');
-- Who is erased takes the other requests along.
GRANT UPDATE (state, answer, version) ON erasure TO hale_migrate;

-- Of their own row, patients change what the end of care changes. (Afterwards: only then are derived columns known.)
-- +goose StatementBegin
CREATE FUNCTION own_state_only() RETURNS trigger LANGUAGE plpgsql SET search_path = public, pg_temp AS $$
BEGIN
    IF to_jsonb(NEW) - 'state' IS DISTINCT FROM to_jsonb(OLD) - 'state' OR OLD.state NOT IN ('active', 'ending') OR NEW.state NOT IN ('active', 'ending') THEN
        RAISE EXCEPTION 'a patient changes nothing of their row but that care ends' USING ERRCODE = 'insufficient_privilege';
    END IF;
    RETURN NULL;
END
$$;
-- +goose StatementEnd
CREATE TRIGGER own_state_only AFTER UPDATE ON patient FOR EACH ROW WHEN (current_setting('app.view', true) = 'patient') EXECUTE FUNCTION own_state_only();

-- Devices and sensors are known to those who reach somebody who wears or wore them.
DROP POLICY views_select ON sensor;
DROP POLICY views_select ON gateway_grant;
DROP POLICY views_select ON device;
SELECT keep_to_views('sensor', '{SELECT}', '{staff,patient,caregiver}', $$(SELECT current_setting('app.view', true) = 'staff')
    OR EXISTS (SELECT FROM assignment a WHERE a.org_id = sensor.org_id AND a.sensor_id = sensor.id)
    OR EXISTS (SELECT FROM refile f WHERE f.org_id = sensor.org_id AND f.sensor_id = sensor.id)$$);
SELECT keep_to_views('gateway_grant', '{SELECT}', '{staff,patient,caregiver}', $$(SELECT current_setting('app.view', true) = 'staff')
    OR EXISTS (SELECT FROM sensor s WHERE s.org_id = gateway_grant.org_id AND s.id = gateway_grant.sensor_id)$$);
SELECT keep_to_views('device', '{SELECT}', '{staff,patient,caregiver}', $$(SELECT current_setting('app.view', true) = 'staff')
    OR EXISTS (SELECT FROM sensor s WHERE s.org_id = device.org_id AND s.device_id = device.id)
    OR EXISTS (SELECT FROM gateway_grant g WHERE g.org_id = device.org_id AND g.device_id = device.id)$$);

-- What is private as a whole has no limits and trends either.
CREATE POLICY not_hidden ON rule AS RESTRICTIVE FOR SELECT TO hale_app USING ((SELECT current_setting('app.view', true) IS DISTINCT FROM 'caregiver')
    OR NOT EXISTS (SELECT FROM hidden_from_me() h WHERE h.patient_id = rule.patient_id AND h.kind = 'metric' AND h.metric = rule.metric
        AND h.from_at = '-infinity' AND h.to_at = 'infinity'));

-- What a law keeps of somebody is out of everybody's reach from the moment in which their erasure begins. Who reads a request for
-- erasure (app.request) is told whose it is.
ALTER TABLE patient ADD COLUMN restricted_at timestamptz;
GRANT UPDATE (restricted_at) ON patient TO hale_migrate;
DROP POLICY not_erased ON patient;
CREATE POLICY not_erased ON patient AS RESTRICTIVE TO hale_app USING (erased_at IS NULL AND (restricted_at IS NULL OR (SELECT current_setting('app.request', true) = 'on')));

-- Where links and joined records were looked at is no matter of a relative's.
RESET ROLE;
-- +goose StatementBegin
CREATE OR REPLACE FUNCTION for_relatives(action text, object text) RETURNS boolean LANGUAGE sql IMMUTABLE AS $$
    SELECT action = ANY (ARRAY['add patient', 'set limits', 'end care', 'record consent', 'ask for a correction', 'decide on a correction', 'export a record', 'share a record',
            'break the glass', 'close the glass', 'review broken glass', 'change patient', 'add identifier', 'end identifier'])
        OR action LIKE 'alert %' OR action = 'look' AND split_part(object, ' ', 1) <> ALL (ARRAY['private', 'caregivers', 'codes', 'sessions', 'erasures', 'refiles', 'merges', 'doubles', 'shares'])
$$;
-- +goose StatementEnd
-- Those whose erasure has begun before.
WITH RECURSIVE people AS (
    SELECT e.org_id, e.patient_id AS id, e.cut_at FROM erasure e WHERE e.cut_at IS NOT NULL AND e.state IN ('erasing', 'kept') AND e.patient_id IS NOT NULL
    UNION SELECT p.org_id, p.id, x.cut_at FROM people x JOIN patient p ON p.org_id = x.org_id AND p.merged_into = x.id)
UPDATE patient p SET restricted_at = x.cut_at FROM people x WHERE p.org_id = x.org_id AND p.id = x.id;
