-- Why: two relatives of one name were taken for one, and a relative learned of the others: from the trail, from links and from
-- what they had said to be wrong. What somebody did is known by who they are, and another relative's is not shown.
-- +goose Up
SET LOCAL ROLE hale_owner;

-- Who said that something is wrong; null: the patient.
ALTER TABLE correction ADD COLUMN asked_by bigint;
ALTER TABLE correction ADD FOREIGN KEY (org_id, asked_by) REFERENCES caregiver (org_id, id) ON DELETE SET NULL (asked_by);
CREATE INDEX correction_asked_by ON correction (org_id, asked_by) WHERE asked_by IS NOT NULL;
DROP INDEX correction_asked_once;
CREATE UNIQUE INDEX correction_asked_once ON correction (patient_id, kind, about, coalesce(reading_id, 0), coalesce(asked_by, 0), asked_role, asked_name) WHERE state = 'asked';
GRANT SELECT, UPDATE (asked_by) ON correction TO hale_migrate;
GRANT UPDATE (caregiver_id) ON share TO hale_migrate;
RESET ROLE;

-- +goose StatementBegin
-- Whether a caregiver is the one for whom hale_app acts.
CREATE FUNCTION is_me(caregiver bigint) RETURNS boolean LANGUAGE sql STABLE AS $$
    SELECT current_setting('app.view', true) = 'caregiver' AND caregiver = nullif(current_setting('app.who', true), '')::bigint
$$;
-- +goose StatementEnd
-- +goose StatementBegin
-- The one relative of a patient who ever had a name; null when there are more, or none.
CREATE FUNCTION only_relative(org integer, patient bigint, name text) RETURNS bigint LANGUAGE sql STABLE SECURITY DEFINER SET search_path = public, pg_temp AS $$
    SELECT min(c.id) FROM caregiver c WHERE c.org_id = only_relative.org AND c.name = only_relative.name
        AND EXISTS (SELECT FROM caregiver_grant g WHERE g.org_id = c.org_id AND g.caregiver_id = c.id AND g.patient_id = only_relative.patient) HAVING count(*) = 1
$$;
-- +goose StatementEnd
-- +goose StatementBegin
-- The sessions of the relative for whom hale_app acts: what was done in them, they did. Asked once for a statement.
CREATE FUNCTION my_sessions() RETURNS SETOF text LANGUAGE sql STABLE SECURITY DEFINER SET search_path = public, pg_temp AS $$
    SELECT e.uid::text FROM session e WHERE e.org_id = nullif(current_setting('app.org', true), '')::int AND is_me(e.caregiver_id)
$$;
-- +goose StatementEnd
-- +goose StatementBegin
-- Whether a name in the trail of a patient, of a row without a session, is that of the relative for whom hale_app acts: if no other
-- relative of the patient ever had it.
CREATE FUNCTION only_me(name text, patient bigint) RETURNS boolean LANGUAGE sql STABLE SECURITY DEFINER SET search_path = public, pg_temp AS $$
    SELECT is_me(only_relative(nullif(current_setting('app.org', true), '')::int, only_me.patient, only_me.name))
$$;
-- +goose StatementEnd
REVOKE ALL ON FUNCTION is_me(bigint), only_relative(integer, bigint, text), my_sessions(), only_me(text, bigint) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION is_me(bigint), my_sessions(), only_me(text, bigint) TO hale_app;

-- What is there from before has the name only.
UPDATE correction SET asked_by = only_relative(org_id, patient_id, asked_name) WHERE asked_role IN ('caregiver', 'guardian');
UPDATE share SET caregiver_id = only_relative(org_id, patient_id, made_name) WHERE made_role IN ('caregiver', 'guardian') AND caregiver_id IS NULL;

SET LOCAL ROLE hale_owner;
-- A relative asks and makes links in their own name, and takes back no other's.
DROP POLICY views_insert ON correction;
DROP POLICY views_update ON correction;
DROP POLICY views_insert ON share;
DROP POLICY views_update ON share;
SELECT keep_to_views('correction', '{INSERT}', '{patient,caregiver}', $$(SELECT current_setting('app.view', true) = 'patient') OR is_me(asked_by)$$);
SELECT keep_to_views('correction', '{UPDATE}', '{staff,patient,caregiver}', $$(SELECT current_setting('app.view', true) <> 'caregiver') OR is_me(asked_by)$$);
SELECT keep_to_views('share', '{INSERT}', '{patient,caregiver}', $$(SELECT current_setting('app.view', true) = 'patient') OR is_me(caregiver_id)$$);
SELECT keep_to_views('share', '{UPDATE}', '{staff,patient,caregiver}', $$(SELECT current_setting('app.view', true) <> 'caregiver') OR is_me(caregiver_id)$$);

-- They see their own, and the patient's as far as it is not kept from them.
DROP POLICY not_hidden ON correction;
CREATE POLICY not_hidden ON correction AS RESTRICTIVE FOR SELECT TO hale_app USING ((SELECT current_setting('app.view', true) IS DISTINCT FROM 'caregiver')
    OR (is_me(asked_by) OR asked_role NOT IN ('caregiver', 'guardian')) AND NOT EXISTS (SELECT FROM hidden_from_me() h WHERE h.patient_id = correction.patient_id
        AND (h.kind = 'frozen' AND correction.asked_at >= h.from_at AND asked_role NOT IN ('caregiver', 'guardian') OR h.kind = 'correction' AND correction.uid = h.ref)));
DROP POLICY not_hidden ON share;
CREATE POLICY not_hidden ON share AS RESTRICTIVE FOR SELECT TO hale_app USING ((SELECT current_setting('app.view', true) IS DISTINCT FROM 'caregiver')
    OR is_me(caregiver_id) OR made_role NOT IN ('caregiver', 'guardian') AND NOT EXISTS (
        SELECT FROM hidden_from_me() h WHERE h.patient_id = share.patient_id AND h.kind = 'frozen' AND share.created_at >= h.from_at));
-- Of the trail: what they did, and what others who are no relatives did with things that they see.
DROP POLICY not_hidden ON audit;
CREATE POLICY not_hidden ON audit AS RESTRICTIVE FOR SELECT TO hale_app USING ((SELECT current_setting('app.view', true) IS DISTINCT FROM 'caregiver')
    OR CASE WHEN actor_role IN ('caregiver', 'guardian') THEN session_uid IN (SELECT my_sessions())
            OR session_uid = '' AND actor_name = (SELECT my_name()) AND only_me(actor_name, patient_id) ELSE for_relatives(action, object) AND CASE split_part(object, ' ', 1)
            WHEN 'share' THEN EXISTS (SELECT FROM share s WHERE s.patient_id = audit.patient_id AND s.uid::text = split_part(audit.object, ' ', 2))
            WHEN 'correction' THEN EXISTS (SELECT FROM correction c WHERE c.patient_id = audit.patient_id AND c.uid::text = split_part(audit.object, ' ', 2))
            WHEN 'request' THEN EXISTS (SELECT FROM guardian_request r WHERE r.patient_id = audit.patient_id AND r.uid::text = split_part(audit.object, ' ', 2))
            ELSE true END END
        AND NOT EXISTS (SELECT FROM hidden_from_me() h WHERE h.patient_id = audit.patient_id AND CASE h.kind
            WHEN 'frozen' THEN audit.at >= h.from_at AND audit.actor_role NOT IN ('caregiver', 'guardian')
            WHEN 'span' THEN false
            WHEN 'metric' THEN h.from_at = '-infinity' AND h.to_at = 'infinity' AND strpos(audit.detail, metric_code(h.metric)) > 0
            ELSE strpos(audit.object || audit.detail, h.ref::text) > 0 END));
RESET ROLE;
DROP FUNCTION by_me(text, text);
