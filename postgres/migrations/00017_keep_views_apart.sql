-- Why: whoever finds a hole in the program must not find everything behind it. Row level security knew which patients are
-- within a view; now it also knows which tables are for which view, to read and to write. The view of an organisation (Hale
-- itself, and those who look after the organisation) is not narrowed. Nobody reads hashes of passwords or secrets of devices.
-- A relative is shown the trail by the same rule as the things that it names.
-- +goose Up
SET LOCAL ROLE hale_owner;

-- +goose StatementBegin
-- Keeps commands on a table to the views that are named, besides that of an organisation; holds is a condition on the row that
-- they have to meet besides. A row may be locked by whom the rest of its policies lets at it: what is written is checked.
CREATE FUNCTION keep_to_views(t regclass, commands text[], views text[], holds text DEFAULT 'true') RETURNS void
LANGUAGE plpgsql SET search_path = public, pg_temp AS $$
DECLARE
    command text;
    rule    text;
BEGIN
    FOREACH command IN ARRAY commands LOOP
        rule := format($r$(SELECT current_setting('app.view', true) = 'org') OR (SELECT current_setting('app.view', true) = ANY (%L::text[])) AND (%s)$r$, views, holds);
        EXECUTE format('CREATE POLICY %I ON %s AS RESTRICTIVE FOR %s TO hale_app ', 'views_' || lower(command), t, command)
            || CASE command WHEN 'INSERT' THEN format('WITH CHECK (%s)', rule) WHEN 'UPDATE' THEN format('USING (true) WITH CHECK (%s)', rule) ELSE format('USING (%s)', rule) END;
    END LOOP;
END
$$;
-- +goose StatementEnd
REVOKE ALL ON FUNCTION keep_to_views(regclass, text[], text[], text) FROM PUBLIC;

-- Reading. What is about nobody is for staff; what is about a patient for whoever reaches the patient (keep_to_patients).
SELECT keep_to_views(t, '{SELECT}', '{staff}') FROM unnest(ARRAY['staff', 'team_member', 'team_hours', 'shift', 'invitation', 'possible_double']::regclass[]) t;
SELECT keep_to_views(t, '{SELECT}', '{}') FROM unnest(ARRAY['api_key', 'staff_invitation', 'staff_identity', 'provider_session', 'audit_chain', 'audit_checkpoint', 'import_line']::regclass[]) t;
SELECT keep_to_views(t, '{SELECT}', '{staff,patient}') FROM unnest(ARRAY['break_glass', 'refile', 'refile_part', 'refile_episode', 'merge']::regclass[]) t;
SELECT keep_to_views(t, '{SELECT}', '{staff,patient,caregiver}') FROM unnest(ARRAY['device', 'sensor', 'gateway_grant', 'consent_text', 'identifier_system', 'retention', 'erasure_policy']::regclass[]) t;
SELECT keep_to_views('team', '{SELECT}', '{staff,patient,caregiver}',
    $$(SELECT current_setting('app.view', true) = 'staff') OR EXISTS (SELECT FROM team_patient m WHERE m.org_id = team.org_id AND m.team_id = team.id)$$);
SELECT keep_to_views('org', '{SELECT}', '{staff,patient,caregiver,nobody}');
-- A second factor is its owner's.
SELECT keep_to_views(t, '{SELECT,INSERT,DELETE}', '{staff}', $$staff_id = (SELECT nullif(current_setting('app.who', true), '')::bigint)$$)
    FROM unnest(ARRAY['second_factor', 'recovery_code']::regclass[]) t;
SELECT keep_to_views(t, '{UPDATE}', '{staff}', $$staff_id = (SELECT nullif(current_setting('app.who', true), '')::bigint)$$)
    FROM unnest(ARRAY['second_factor', 'recovery_code']::regclass[]) t;

-- Writing: what the organisation does,
SELECT keep_to_views(t, '{INSERT,UPDATE,DELETE}', '{}') FROM unnest(ARRAY['staff', 'api_key', 'staff_invitation', 'staff_identity', 'provider_session', 'team', 'team_member',
    'team_patient', 'team_hours', 'shift', 'break_glass', 'device', 'sensor', 'gateway_grant', 'consent_text', 'identifier_system', 'patient_identifier', 'import', 'import_line',
    'possible_double', 'merge', 'retention', 'erasure_policy', 'erasure_item', 'reading', 'inbox', 'quarantine', 'condition_interval']::regclass[]) t;
SELECT keep_to_views(t, '{INSERT}', '{}') FROM unnest(ARRAY['session', 'patient', 'assignment', 'episode', 'erasure']::regclass[]) t;
-- what its care teams do too,
SELECT keep_to_views(t, '{INSERT,UPDATE,DELETE}', '{staff}')
    FROM unnest(ARRAY['rule', 'rule_version', 'timeline', 'invitation', 'patient_change', 'refile']::regclass[]) t;
SELECT keep_to_views(t, '{UPDATE,DELETE}', '{staff}') FROM unnest(ARRAY['assignment', 'episode', 'guardian_request']::regclass[]) t;
-- Whoever takes back the consent to their care begins its end, and undoes it by giving it again.
SELECT keep_to_views('situation_change', '{INSERT,UPDATE,DELETE}', '{staff,patient}');
SELECT keep_to_views('ending_step', '{INSERT,UPDATE,DELETE}', '{staff,patient}', $$(SELECT current_setting('app.view', true) = 'staff') OR kind IN ('started', 'undone')$$);
SELECT keep_to_views('patient', '{UPDATE,DELETE}', '{staff,patient}', $$(SELECT current_setting('app.view', true) = 'staff') OR state IN ('active', 'ending')$$);
-- and what patients do about themselves, and relatives for them.
SELECT keep_to_views(t, '{INSERT,UPDATE,DELETE}', '{staff,patient}') FROM unnest(ARRAY['consent_decision', 'caregiver_grant', 'private_item']::regclass[]) t;
SELECT keep_to_views('caregiver', '{INSERT,UPDATE,DELETE}', '{staff,patient}');
SELECT keep_to_views('guardian_request', '{INSERT}', '{caregiver}');
SELECT keep_to_views('correction', '{INSERT}', '{patient,caregiver}'), keep_to_views('correction', '{UPDATE,DELETE}', '{staff,patient,caregiver}');
SELECT keep_to_views('share', '{INSERT}', '{patient,caregiver}'), keep_to_views('share', '{UPDATE,DELETE}', '{staff,patient,caregiver}');
SELECT keep_to_views('erasure', '{UPDATE,DELETE}', '{patient,caregiver}');
SELECT keep_to_views('session', '{UPDATE,DELETE}', '{staff,patient,caregiver}');
SELECT keep_to_views('outbox', '{INSERT}', '{staff,patient,caregiver}'), keep_to_views('outbox', '{UPDATE,DELETE}', '{staff,patient}');
SELECT keep_to_views('audit', '{INSERT}', '{staff,patient,caregiver,nobody}');

-- What nobody reads, in any view: it is compared, or used by functions.
REVOKE SELECT, INSERT, UPDATE ON staff FROM hale_app;
GRANT SELECT (org_id, id, uid, login, name, role, created_at, disabled_at), INSERT (org_id, uid, login, name, role, created_at), UPDATE (name, role, disabled_at) ON staff TO hale_app;
REVOKE SELECT, UPDATE ON device FROM hale_app;
GRANT SELECT (org_id, id, uid, model, created_at, revoked_at), UPDATE (revoked_at) ON device TO hale_app;

-- What is asked twice is asked twice by the same person: what another has asked, and keeps private, is not told by a refusal.
DROP INDEX correction_asked_once;
CREATE UNIQUE INDEX correction_asked_once ON correction (patient_id, kind, about, coalesce(reading_id, 0), asked_role, asked_name) WHERE state = 'asked';
-- Whose request it is.
ALTER TABLE erasure ADD COLUMN asked_by bigint; -- the caregiver; null: the patient, or the operator
ALTER TABLE erasure ADD FOREIGN KEY (org_id, asked_by) REFERENCES caregiver (org_id, id) ON DELETE SET NULL (asked_by);
CREATE INDEX erasure_asked_by ON erasure (org_id, asked_by) WHERE asked_by IS NOT NULL;
-- Whose link it is: it shows what its maker sees at the moment, and goes with them.
ALTER TABLE share ADD COLUMN caregiver_id bigint; -- null: the patient's
ALTER TABLE share ADD FOREIGN KEY (org_id, caregiver_id) REFERENCES caregiver (org_id, id) ON DELETE CASCADE;
CREATE INDEX share_of_caregiver ON share (org_id, caregiver_id) WHERE caregiver_id IS NOT NULL;
GRANT UPDATE (ended_at) ON share TO hale_migrate;
GRANT SELECT ON patient_change TO hale_migrate;

RESET ROLE;

-- +goose StatementBegin
-- A metric as it is written outside the database; a test holds it to vital.Metrics.
CREATE FUNCTION metric_code(metric smallint) RETURNS text LANGUAGE sql IMMUTABLE AS $$
    SELECT coalesce((ARRAY['blood_pressure', 'heart_rate', 'oxygen_saturation', 'body_weight', 'body_temperature', 'respiratory_rate', 'glucose', 'glucose_fasting',
        'glucose_postmeal', 'steps', 'sleep_duration', 'fev1', 'peak_flow', 'inr', 'pain_score', 'oxygen_flow', 'body_water', 'muscle_mass', 'skin_temperature'])[metric], metric::text)
$$;
-- +goose StatementEnd
-- +goose StatementBegin
-- The password hash of the member of staff for whom hale_app acts, in their organisation.
CREATE FUNCTION own_password() RETURNS TABLE (login text, password_hash text) LANGUAGE sql STABLE SECURITY DEFINER SET search_path = public, pg_temp AS $$
    SELECT s.login, s.password_hash FROM staff s
    WHERE current_setting('app.view', true) IN ('org', 'staff') AND s.org_id = nullif(current_setting('app.org', true), '')::int
        AND s.id = nullif(current_setting('app.who', true), '')::bigint AND s.disabled_at IS NULL
$$;
-- +goose StatementEnd
-- +goose StatementBegin
-- Gives them another in the place of the one of this hash; false when they have that no more.
CREATE FUNCTION set_own_password(old_hash text, new_hash text) RETURNS boolean LANGUAGE sql VOLATILE SECURITY DEFINER SET search_path = public, pg_temp AS $$
    WITH done AS (UPDATE staff s SET password_hash = new_hash
        WHERE current_setting('app.view', true) IN ('org', 'staff') AND s.org_id = nullif(current_setting('app.org', true), '')::int
            AND s.id = nullif(current_setting('app.who', true), '')::bigint AND s.disabled_at IS NULL AND s.password_hash = old_hash RETURNING 1)
    SELECT EXISTS (SELECT FROM done)
$$;
-- +goose StatementEnd
-- +goose StatementBegin
-- The name of a member of staff, for rows that tell what they did.
CREATE FUNCTION staff_name(staff bigint) RETURNS text LANGUAGE sql STABLE SECURITY DEFINER SET search_path = public, pg_temp AS $$
    SELECT s.name FROM staff s WHERE s.org_id = nullif(current_setting('app.org', true), '')::int AND s.id = staff
$$;
-- +goose StatementEnd
-- +goose StatementBegin
-- Who made the code with which somebody signed in, as "nurse Nina".
CREATE FUNCTION let_in_by(invitation uuid) RETURNS text LANGUAGE sql STABLE SECURITY DEFINER SET search_path = public, pg_temp AS $$
    SELECT replace(s.role, '_', ' ') || ' ' || s.name FROM invitation i JOIN staff s ON s.org_id = i.org_id AND s.id = i.staff_id
    WHERE i.org_id = nullif(current_setting('app.org', true), '')::int AND i.uid = let_in_by.invitation
$$;
-- +goose StatementEnd
-- +goose StatementBegin
-- Whether a row that a person signed with name and role is of the relative for whom hale_app acts.
CREATE FUNCTION by_me(role text, name text) RETURNS boolean LANGUAGE sql STABLE AS $$ SELECT role IN ('caregiver', 'guardian') AND name = my_name() $$;
-- +goose StatementEnd
-- +goose StatementBegin
-- What stood in a field of a patient when the view was frozen that hale_app acts in; in any other view, what stands there.
CREATE FUNCTION as_it_was(patient bigint, given_field text, value text) RETURNS text LANGUAGE sql STABLE SECURITY DEFINER SET search_path = public, pg_temp AS $$
    SELECT coalesce((SELECT c.before FROM my_ways() w JOIN patient_change c ON c.org_id = nullif(current_setting('app.org', true), '')::int
            AND c.patient_id = w.patient_id AND c.field = given_field AND c.at >= w.frozen_at
        WHERE w.patient_id = as_it_was.patient ORDER BY c.at, c.id LIMIT 1), value)
$$;
-- +goose StatementEnd
-- +goose StatementBegin
-- A moment as the view knows it that hale_app acts in: null when it came after the view was frozen.
CREATE FUNCTION as_of_freeze(patient bigint, at timestamptz) RETURNS timestamptz LANGUAGE sql STABLE SECURITY DEFINER SET search_path = public, pg_temp AS $$
    SELECT CASE WHEN current_setting('app.view', true) IS DISTINCT FROM 'caregiver' OR NOT EXISTS (
        SELECT FROM my_ways() w WHERE w.patient_id = as_of_freeze.patient AND w.frozen_at <= as_of_freeze.at) THEN at END
$$;
-- +goose StatementEnd
-- +goose StatementBegin
-- A link that a relative made ends with what lets them in.
DROP FUNCTION open_share(bytea, timestamptz);
-- +goose StatementEnd
-- +goose StatementBegin
CREATE FUNCTION open_share(given_hash bytea, at timestamptz)
RETURNS TABLE (org_id integer, uid uuid, patient_id bigint, patient_uid uuid, what text, expires_at timestamptz, opened integer, opens_most integer, caregiver_id bigint)
LANGUAGE sql VOLATILE SECURITY DEFINER SET search_path = public, pg_temp AS $$
    UPDATE share s SET opened = s.opened + 1, last_opened_at = at FROM patient p
    WHERE s.secret_hash = given_hash AND s.ended_at IS NULL AND s.expires_at > at AND s.opened < s.opens_most AND p.org_id = s.org_id AND p.id = s.patient_id
        AND (s.caregiver_id IS NULL OR EXISTS (SELECT FROM caregiver_grant g WHERE g.org_id = s.org_id AND g.patient_id = s.patient_id AND g.caregiver_id = s.caregiver_id
            AND g.guardian AND g.confirmed_at <= at AND g.from_at <= at AND (g.to_at IS NULL OR g.to_at > at)))
    RETURNING s.org_id, s.uid, s.patient_id, p.uid, s.what, s.expires_at, s.opened, s.opens_most, s.caregiver_id
$$;
-- +goose StatementEnd
REVOKE ALL ON FUNCTION as_it_was(bigint, text, text), as_of_freeze(bigint, timestamptz), open_share(bytea, timestamptz) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION as_it_was(bigint, text, text), as_of_freeze(bigint, timestamptz), open_share(bytea, timestamptz) TO hale_app;
-- Of links that are there nobody knows which relative made them.
UPDATE share SET ended_at = clock_timestamp() WHERE made_role IN ('caregiver', 'guardian') AND ended_at IS NULL;

-- +goose StatementBegin
-- A row of the trail that a relative is shown though they did not do it: what tells of codes, sessions, other relatives, requests
-- for erasure and what is kept from relatives is not among them, as these things are not.
CREATE FUNCTION for_relatives(action text, object text) RETURNS boolean LANGUAGE sql IMMUTABLE AS $$
    SELECT action = ANY (ARRAY['add patient', 'set limits', 'end care', 'record consent', 'ask for a correction', 'decide on a correction', 'export a record', 'share a record',
            'break the glass', 'close the glass', 'review broken glass', 'change patient', 'add identifier', 'end identifier'])
        OR action LIKE 'alert %' OR action = 'look' AND split_part(object, ' ', 1) <> ALL (ARRAY['private', 'caregivers', 'codes', 'sessions', 'erasures', 'refiles', 'doubles'])
$$;
-- +goose StatementEnd
-- +goose StatementBegin
-- An act of a guardian says so, in whichever view the row is written: the caregiver is who acts, or whose session it is.
CREATE OR REPLACE FUNCTION say_guardian() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
BEGIN
    IF EXISTS (SELECT FROM my_ways() w WHERE w.patient_id = NEW.patient_id AND w.guardian) OR EXISTS (
        SELECT FROM session e JOIN caregiver_grant g ON g.org_id = e.org_id AND g.caregiver_id = e.caregiver_id
        WHERE e.org_id = NEW.org_id AND e.uid = CASE WHEN NEW.session_uid ~ '^[0-9a-f-]{36}$' THEN NEW.session_uid::uuid END AND g.patient_id = NEW.patient_id AND g.guardian AND g.confirmed_at <= NEW.at
            AND g.from_at <= NEW.at AND (g.to_at IS NULL OR g.to_at > NEW.at)) THEN
        NEW.actor_role := 'guardian';
    END IF;
    RETURN NEW;
END
$$;
-- +goose StatementEnd
REVOKE ALL ON FUNCTION own_password(), set_own_password(text, text), staff_name(bigint), let_in_by(uuid), by_me(text, text), for_relatives(text, text), metric_code(smallint) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION own_password(), set_own_password(text, text), staff_name(bigint), let_in_by(uuid), by_me(text, text), for_relatives(text, text), metric_code(smallint) TO hale_app;

SET LOCAL ROLE hale_owner;
-- What is kept from a relative, or came after their view was frozen, is not among the rows; what they did themselves is.
DROP POLICY not_hidden ON audit;
CREATE POLICY not_hidden ON audit AS RESTRICTIVE FOR SELECT TO hale_app USING ((SELECT current_setting('app.view', true) IS DISTINCT FROM 'caregiver')
    OR (by_me(actor_role, actor_name) OR for_relatives(action, object)) AND NOT EXISTS (SELECT FROM hidden_from_me() h WHERE h.patient_id = audit.patient_id AND CASE h.kind
        WHEN 'frozen' THEN audit.at >= h.from_at AND NOT by_me(audit.actor_role, audit.actor_name)
        WHEN 'span' THEN false
        WHEN 'metric' THEN h.from_at = '-infinity' AND h.to_at = 'infinity' AND strpos(audit.detail, metric_code(h.metric)) > 0
        ELSE strpos(audit.object || audit.detail, h.ref::text) > 0 END));
DROP POLICY not_hidden ON correction;
CREATE POLICY not_hidden ON correction AS RESTRICTIVE FOR SELECT TO hale_app USING ((SELECT current_setting('app.view', true) IS DISTINCT FROM 'caregiver')
    OR NOT EXISTS (SELECT FROM hidden_from_me() h WHERE h.patient_id = correction.patient_id
        AND (h.kind = 'frozen' AND correction.asked_at >= h.from_at AND NOT by_me(correction.asked_role, correction.asked_name) OR h.kind = 'correction' AND correction.uid = h.ref)));
DROP POLICY not_hidden ON share;
CREATE POLICY not_hidden ON share AS RESTRICTIVE FOR SELECT TO hale_app USING ((SELECT current_setting('app.view', true) IS DISTINCT FROM 'caregiver')
    OR by_me(made_role, made_name) OR NOT EXISTS (SELECT FROM hidden_from_me() h WHERE h.patient_id = share.patient_id AND h.kind = 'frozen' AND share.created_at >= h.from_at));
-- A request for erasure is shown to the relative who made it, and to no other.
CREATE POLICY own_requests ON erasure AS RESTRICTIVE TO hale_app USING ((SELECT current_setting('app.view', true) IS DISTINCT FROM 'caregiver')
    OR asked_by = (SELECT nullif(current_setting('app.who', true), '')::bigint));
CREATE POLICY not_hidden ON patient_identifier AS RESTRICTIVE FOR SELECT TO hale_app USING ((SELECT current_setting('app.view', true) IS DISTINCT FROM 'caregiver')
    OR NOT EXISTS (SELECT FROM hidden_from_me() h WHERE h.patient_id = patient_identifier.patient_id AND h.kind = 'frozen' AND patient_identifier.added_at >= h.from_at));
CREATE POLICY not_hidden ON patient_change AS RESTRICTIVE FOR SELECT TO hale_app USING ((SELECT current_setting('app.view', true) IS DISTINCT FROM 'caregiver')
    OR NOT EXISTS (SELECT FROM hidden_from_me() h WHERE h.patient_id = patient_change.patient_id AND h.kind = 'frozen' AND patient_change.at >= h.from_at));
CREATE POLICY not_hidden ON team_patient AS RESTRICTIVE FOR SELECT TO hale_app USING ((SELECT current_setting('app.view', true) IS DISTINCT FROM 'caregiver')
    OR NOT EXISTS (SELECT FROM hidden_from_me() h WHERE h.patient_id = team_patient.patient_id AND h.kind = 'frozen' AND team_patient.from_at >= h.from_at));
CREATE POLICY not_hidden ON assignment AS RESTRICTIVE FOR SELECT TO hale_app USING ((SELECT current_setting('app.view', true) IS DISTINCT FROM 'caregiver')
    OR NOT EXISTS (SELECT FROM hidden_from_me() h WHERE h.patient_id = assignment.patient_id AND h.kind = 'frozen' AND assignment.created_at >= h.from_at));
-- A notice may be owed by what a relative does in this moment; others' they do not see.
CREATE POLICY not_hidden ON outbox AS RESTRICTIVE FOR SELECT TO hale_app USING ((SELECT current_setting('app.view', true) IS DISTINCT FROM 'caregiver')
    OR created_at >= (SELECT nullif(current_setting('app.now', true), '')::timestamptz));
RESET ROLE;
