-- Why: what a patient agreed to, and whom they let in, decides who may see what from one moment to the next. Decisions are a
-- log that nothing changes; what stands is a fold over it, here (consent_stands, my_ways) as in the code. A relative who must
-- not know is shown less without a sign of it: the database itself leaves out what is private, and what came after the
-- moment at which a quiet suspension froze the view.
-- +goose Up
SET LOCAL ROLE hale_owner;

CREATE TABLE consent_text (
    org_id         integer NOT NULL REFERENCES org,
    id             bigint GENERATED ALWAYS AS IDENTITY UNIQUE,
    uid            uuid NOT NULL UNIQUE,
    purpose        text NOT NULL CHECK (purpose IN ('care', 'caregiver_sharing', 'research')),
    version        integer NOT NULL CHECK (version > 0),
    language       text NOT NULL CHECK (language <> ''),
    body           text NOT NULL CHECK (body <> ''),
    effective_from timestamptz NOT NULL,
    author_id      bigint,
    author_name    text NOT NULL,
    created_at     timestamptz NOT NULL,
    PRIMARY KEY (org_id, id),
    UNIQUE (org_id, purpose, version, language),
    FOREIGN KEY (org_id, author_id) REFERENCES staff (org_id, id)
);
CREATE TRIGGER consent_text_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON consent_text FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();

-- A row is never changed; only the erasure of the person deletes it.
CREATE TABLE consent_decision (
    org_id       integer NOT NULL,
    id           bigint GENERATED ALWAYS AS IDENTITY UNIQUE,
    uid          uuid NOT NULL UNIQUE,
    patient_id   bigint NOT NULL,
    purpose      text NOT NULL CHECK (purpose IN ('care', 'caregiver_sharing', 'research')),
    version      integer NOT NULL CHECK (version > 0),
    language     text NOT NULL,
    choice       text NOT NULL CHECK (choice IN ('given', 'refused', 'withdrawn')),
    decided_by   text NOT NULL CHECK (decided_by IN ('self', 'guardian')),
    caregiver_id bigint,                     -- the guardian
    through      text NOT NULL CHECK (through IN ('own_session', 'paper', 'in_person', 'phone')),
    staff_id     bigint,                     -- who wrote it down, when it was not the patient
    recorded_by  text NOT NULL,
    document     text NOT NULL DEFAULT '',
    witness      text NOT NULL DEFAULT '',
    decided_at   timestamptz NOT NULL,
    created_at   timestamptz NOT NULL,
    PRIMARY KEY (org_id, id),
    CHECK ((decided_by = 'guardian') = (caregiver_id IS NOT NULL)),
    CHECK ((through = 'own_session') = (staff_id IS NULL)),
    CHECK (staff_id IS NULL OR document <> '' OR witness <> ''),
    CHECK (decided_at <= created_at),
    FOREIGN KEY (org_id, patient_id) REFERENCES patient (org_id, id),
    FOREIGN KEY (org_id, caregiver_id) REFERENCES caregiver (org_id, id),
    FOREIGN KEY (org_id, staff_id) REFERENCES staff (org_id, id)
);
CREATE INDEX consent_decision_of_patient ON consent_decision (org_id, patient_id, purpose, decided_at DESC, id DESC);
CREATE TRIGGER consent_decision_append_only BEFORE UPDATE OR TRUNCATE ON consent_decision FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();

-- What a guardian asks for waits here for the team.
CREATE TABLE guardian_request (
    org_id       integer NOT NULL,
    id           bigint GENERATED ALWAYS AS IDENTITY UNIQUE,
    uid          uuid NOT NULL UNIQUE,
    patient_id   bigint NOT NULL,
    caregiver_id bigint NOT NULL,
    purpose      text NOT NULL CHECK (purpose IN ('care', 'caregiver_sharing', 'research')),
    version      integer NOT NULL,
    choice       text NOT NULL CHECK (choice IN ('given', 'refused', 'withdrawn')),
    made_at      timestamptz NOT NULL,
    settled_at   timestamptz,
    settled_by   bigint,
    accepted     boolean,
    PRIMARY KEY (org_id, id),
    CHECK ((settled_at IS NULL) = (accepted IS NULL) AND (settled_at IS NULL) = (settled_by IS NULL)),
    FOREIGN KEY (org_id, patient_id) REFERENCES patient (org_id, id),
    FOREIGN KEY (org_id, caregiver_id) REFERENCES caregiver (org_id, id),
    FOREIGN KEY (org_id, settled_by) REFERENCES staff (org_id, id)
);
CREATE INDEX guardian_request_waiting ON guardian_request (org_id, patient_id) WHERE settled_at IS NULL;

-- A change of a grant ends the row and makes another. A guardian's has a document and an end, and no force until a second
-- member of staff has confirmed it.
ALTER TABLE caregiver_grant
    ADD COLUMN uid uuid NOT NULL DEFAULT gen_random_uuid() UNIQUE,
    ADD COLUMN document text NOT NULL DEFAULT '',
    ADD COLUMN reason text NOT NULL DEFAULT '',
    ADD COLUMN staff_id bigint,              -- who wrote it down, when it was not the patient
    ADD COLUMN recorded_by text NOT NULL DEFAULT '',
    ADD COLUMN created_at timestamptz NOT NULL DEFAULT '-infinity',
    ADD COLUMN confirmed_at timestamptz,
    ADD COLUMN confirmed_by bigint,
    ADD CONSTRAINT caregiver_grant_guardian CHECK (NOT guardian OR (document <> '' AND to_at IS NOT NULL AND staff_id IS NOT NULL)),
    ADD CONSTRAINT caregiver_grant_two_people CHECK (confirmed_by IS NULL OR confirmed_by <> staff_id),
    ADD CONSTRAINT caregiver_grant_confirmed CHECK ((confirmed_at IS NULL) = (confirmed_by IS NULL)),
    ADD FOREIGN KEY (org_id, staff_id) REFERENCES staff (org_id, id),
    ADD FOREIGN KEY (org_id, confirmed_by) REFERENCES staff (org_id, id);

-- What caregivers and guardians do not see. An alert, a metric (in a span or always), everything measured in a span, a
-- consent decision or a request for correction.
CREATE TABLE private_item (
    org_id      integer NOT NULL,
    id          bigint GENERATED ALWAYS AS IDENTITY UNIQUE,
    uid         uuid NOT NULL UNIQUE,
    patient_id  bigint NOT NULL,
    kind        text NOT NULL CHECK (kind IN ('alert', 'metric', 'span', 'consent', 'correction')),
    ref         uuid,
    metric      smallint,
    from_at     timestamptz,
    to_at       timestamptz,
    marked_at   timestamptz NOT NULL,
    staff_id    bigint,
    marked_by   text NOT NULL,
    unmarked_at timestamptz,
    unmarked_by text NOT NULL DEFAULT '',
    PRIMARY KEY (org_id, id),
    CHECK ((kind IN ('alert', 'consent', 'correction')) = (ref IS NOT NULL)),
    CHECK ((kind = 'metric') = (metric IS NOT NULL)),
    CHECK (kind <> 'span' OR (from_at IS NOT NULL AND to_at IS NOT NULL)),
    CHECK (to_at > from_at),
    FOREIGN KEY (org_id, patient_id) REFERENCES patient (org_id, id),
    FOREIGN KEY (org_id, staff_id) REFERENCES staff (org_id, id)
);
CREATE INDEX private_item_of_patient ON private_item (org_id, patient_id) WHERE unmarked_at IS NULL;

-- How care ends: patient.state is where this log stands.
CREATE TABLE ending_step (
    org_id     integer NOT NULL,
    id         bigint GENERATED ALWAYS AS IDENTITY UNIQUE,
    uid        uuid NOT NULL UNIQUE,
    patient_id bigint NOT NULL,
    kind       text NOT NULL CHECK (kind IN ('started', 'told', 'finished', 'undone', 'readmitted')),
    at         timestamptz NOT NULL,
    actor_id   bigint,
    actor_name text NOT NULL,
    actor_role text NOT NULL,
    how        text NOT NULL DEFAULT '',
    note       text NOT NULL DEFAULT '',
    PRIMARY KEY (org_id, id),
    CHECK (kind <> 'told' OR how <> ''),
    FOREIGN KEY (org_id, patient_id) REFERENCES patient (org_id, id),
    FOREIGN KEY (org_id, actor_id) REFERENCES staff (org_id, id)
);
CREATE INDEX ending_step_of_patient ON ending_step (org_id, patient_id, id);
CREATE TRIGGER ending_step_append_only BEFORE UPDATE OR TRUNCATE ON ending_step FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();

-- For whom a notice is, and under which purpose it may be sent; one that must not be sent any more is cancelled, not deleted.
-- Whoever sends takes rows with neither sent_at nor cancelled_at.
ALTER TABLE outbox
    ADD COLUMN audience text NOT NULL DEFAULT 'team' CHECK (audience IN ('team', 'patient', 'caregiver', 'privacy_officer')),
    ADD COLUMN caregiver_id bigint,
    ADD COLUMN purpose text NOT NULL DEFAULT 'care' CHECK (purpose IN ('care', 'caregiver_sharing', 'research')),
    ADD COLUMN sent_at timestamptz,
    ADD COLUMN cancelled_at timestamptz,
    ADD COLUMN cancelled_for text NOT NULL DEFAULT '',
    ADD CONSTRAINT outbox_recipient CHECK ((audience = 'caregiver') = (caregiver_id IS NOT NULL)),
    ADD CONSTRAINT outbox_cancelled CHECK ((cancelled_at IS NULL) = (cancelled_for = '')),
    ADD CONSTRAINT outbox_sent_or_cancelled CHECK (sent_at IS NULL OR cancelled_at IS NULL),
    ADD FOREIGN KEY (org_id, caregiver_id) REFERENCES caregiver (org_id, id);
CREATE INDEX outbox_waiting ON outbox (org_id, patient_id) WHERE sent_at IS NULL AND cancelled_at IS NULL;

SELECT isolate('consent_text'), isolate('consent_decision'), isolate('guardian_request'), isolate('private_item'), isolate('ending_step');
GRANT SELECT, INSERT ON consent_text, consent_decision, ending_step TO hale_app;
GRANT SELECT, INSERT, UPDATE (settled_at, settled_by, accepted) ON guardian_request TO hale_app;
GRANT SELECT, INSERT, UPDATE (unmarked_at, unmarked_by) ON private_item TO hale_app;
GRANT UPDATE (state) ON patient TO hale_app;
GRANT UPDATE (to_at, epoch) ON assignment TO hale_app;
GRANT SELECT (id, patient_id, audience, caregiver_id, purpose, sent_at, cancelled_at), UPDATE (cancelled_at, cancelled_for) ON outbox TO hale_app;
GRANT USAGE ON SEQUENCE caregiver_id_seq TO hale_app; -- the id of a caregiver whom no grant shows yet
GRANT SELECT ON consent_text, consent_decision TO hale_work;
GRANT SELECT (id, patient_id, audience, caregiver_id, purpose, sent_at, cancelled_at), UPDATE (cancelled_at, cancelled_for) ON outbox TO hale_work;

RESET ROLE;
GRANT SELECT ON caregiver_grant, consent_decision, private_item, caregiver TO hale_migrate;
GRANT SELECT, INSERT ON consent_text TO hale_migrate;

-- +goose StatementBegin
-- Whether a consent stands at a moment: the newest decision was "given". Half a year after it, it is asked for again; where
-- nobody answers for 30 days (212 in all), sharing and research lapse, and care goes on. See account.Stand.
CREATE FUNCTION consent_stands(org integer, patient bigint, wanted text, at timestamptz) RETURNS boolean
LANGUAGE sql STABLE AS $$
    SELECT coalesce((SELECT d.choice = 'given' AND (wanted = 'care' OR at < d.decided_at + interval '5088 hours')
        FROM consent_decision d WHERE d.org_id = org AND d.patient_id = patient AND d.purpose = wanted AND d.decided_at <= at
        ORDER BY d.decided_at DESC, d.id DESC LIMIT 1), false)
$$;
-- +goose StatementEnd

-- +goose StatementBegin
-- The patients whom the caregiver that hale_app acts for may know of, and the moment at which their view is frozen. It runs as
-- its owner: a caregiver reads neither grants nor decisions. See account.WayOf.
CREATE FUNCTION my_ways() RETURNS TABLE (patient_id bigint, scopes text, guardian boolean, frozen_at timestamptz)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = public, pg_temp AS $$
    WITH me AS MATERIALIZED (
        SELECT nullif(current_setting('app.who', true), '')::bigint AS who,
               nullif(current_setting('app.org', true), '')::int AS org, nullif(current_setting('app.now', true), '')::timestamptz AS at
        WHERE current_setting('app.view', true) = 'caregiver'
    )
    SELECT g.patient_id, string_agg(g.scopes, ','), bool_or(g.guardian), min(g.suspended_at) FILTER (WHERE g.suspended_at <= me.at)
    FROM me JOIN caregiver_grant g ON g.org_id = me.org AND g.caregiver_id = me.who AND g.from_at <= me.at AND (g.to_at IS NULL OR g.to_at > me.at)
        AND CASE WHEN g.guardian THEN coalesce(g.confirmed_at <= me.at, false) ELSE consent_stands(g.org_id, g.patient_id, 'caregiver_sharing', me.at) END
    GROUP BY g.patient_id
$$;
-- +goose StatementEnd

-- +goose StatementBegin
-- As in 00008, but what is shared is asked of my_ways, which knows consent, guardians and quiet suspension.
CREATE OR REPLACE FUNCTION my_patients() RETURNS TABLE (patient_id bigint, team boolean, glass_until timestamptz, shared text) LANGUAGE sql STABLE AS $$
    WITH ways AS (
        SELECT c.patient_id, c.team, c.glass_until, NULL::text AS shared FROM my_care() c
        UNION ALL
        SELECT w.patient_id, false, NULL, w.scopes FROM my_ways() w
        UNION ALL
        SELECT nullif(current_setting('app.who', true), '')::bigint, false, NULL, NULL WHERE current_setting('app.view', true) = 'patient'
    )
    SELECT w.patient_id, bool_or(w.team), max(w.glass_until), coalesce(string_agg(w.shared, ','), '') FROM ways w GROUP BY w.patient_id
$$;
-- +goose StatementEnd

-- +goose StatementBegin
-- What is kept from the caregiver that hale_app acts for: private items of the patients, and of a frozen view whatever came
-- from a moment on (kind 'frozen'). Empty in any other view.
CREATE FUNCTION hidden_from_me() RETURNS TABLE (patient_id bigint, kind text, metric smallint, ref uuid, from_at timestamptz, to_at timestamptz)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = public, pg_temp AS $$
    WITH ways AS MATERIALIZED (SELECT w.patient_id, w.frozen_at FROM my_ways() w)
    SELECT i.patient_id, i.kind, i.metric, i.ref, coalesce(i.from_at, '-infinity'), coalesce(i.to_at, 'infinity')
    FROM ways w JOIN private_item i ON i.org_id = nullif(current_setting('app.org', true), '')::int AND i.patient_id = w.patient_id AND i.unmarked_at IS NULL
    UNION ALL
    SELECT w.patient_id, 'frozen', NULL, NULL, w.frozen_at, 'infinity' FROM ways w WHERE w.frozen_at IS NOT NULL
$$;
-- +goose StatementEnd

-- +goose StatementBegin
-- The name by which the audit trail knows the caregiver that hale_app acts for.
CREATE FUNCTION my_name() RETURNS text LANGUAGE sql STABLE SECURITY DEFINER SET search_path = public, pg_temp AS $$
    SELECT c.name FROM caregiver c WHERE current_setting('app.view', true) = 'caregiver'
        AND c.org_id = nullif(current_setting('app.org', true), '')::int AND c.id = nullif(current_setting('app.who', true), '')::bigint
$$;
-- +goose StatementEnd

-- +goose StatementBegin
-- An act of a guardian says so, whoever writes the row.
CREATE FUNCTION say_guardian() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
BEGIN
    IF EXISTS (SELECT FROM my_ways() w WHERE w.patient_id = NEW.patient_id AND w.guardian) THEN
        NEW.actor_role := 'guardian';
    END IF;
    RETURN NEW;
END
$$;
-- +goose StatementEnd

-- +goose StatementBegin
-- The texts that an organisation begins with; its own words are version 2.
CREATE FUNCTION add_first_consent_texts(org integer, author text, at timestamptz) RETURNS void LANGUAGE sql SECURITY DEFINER SET search_path = public, pg_temp AS $$
    INSERT INTO consent_text (org_id, uid, purpose, version, language, body, effective_from, author_name, created_at)
    SELECT org, gen_random_uuid(), t.purpose, 1, 'en', t.body, at, author, at FROM (VALUES
        ('care', 'My measurements at home are sent to the care team. They look at them, call me when something is not right, and keep a record of it. I can stop this at any time: the team then talks with me, the devices are taken back, and my record is kept but nothing is added to it.'),
        ('caregiver_sharing', 'I may let people I choose see what I choose of my record, for as long as I choose. I can end this for one of them or for all at any time, and it stops at once.'),
        ('research', 'My record may be used for research without my name. I can stop this at any time: from then on nothing more is taken. My care does not depend on it.')
    ) AS t (purpose, body)
$$;
-- +goose StatementEnd

-- +goose StatementBegin
CREATE FUNCTION begin_consent_texts() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
BEGIN
    PERFORM add_first_consent_texts(NEW.id, 'hale', NEW.created_at);
    RETURN NULL;
END
$$;
-- +goose StatementEnd
REVOKE ALL ON FUNCTION consent_stands(integer, bigint, text, timestamptz), my_ways(), hidden_from_me(), my_name(), say_guardian(), begin_consent_texts(),
    add_first_consent_texts(integer, text, timestamptz) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION my_ways(), hidden_from_me(), my_name(), consent_stands(integer, bigint, text, timestamptz) TO hale_app;
GRANT EXECUTE ON FUNCTION consent_stands(integer, bigint, text, timestamptz) TO hale_work;
GRANT EXECUTE ON FUNCTION say_guardian() TO hale_app, hale_work;
GRANT EXECUTE ON FUNCTION begin_consent_texts(), say_guardian() TO hale_owner;

SET LOCAL ROLE hale_owner;
CREATE TRIGGER org_consent_texts AFTER INSERT ON org FOR EACH ROW EXECUTE FUNCTION begin_consent_texts();
CREATE TRIGGER audit_says_guardian BEFORE INSERT ON audit FOR EACH ROW WHEN (NEW.actor_role = 'caregiver' AND NEW.patient_id IS NOT NULL)
    EXECUTE FUNCTION say_guardian();

SELECT keep_to_patients(t) FROM unnest(ARRAY['consent_decision', 'guardian_request', 'private_item', 'ending_step', 'caregiver_grant']::regclass[]) t;
-- A caregiver sees no grant, neither another's nor their own: my_ways answers for them.
CREATE POLICY not_for_caregivers ON caregiver_grant AS RESTRICTIVE TO hale_app USING ((SELECT current_setting('app.view', true) IS DISTINCT FROM 'caregiver'));
CREATE POLICY not_for_caregivers ON private_item AS RESTRICTIVE TO hale_app USING ((SELECT current_setting('app.view', true) IS DISTINCT FROM 'caregiver'));
CREATE POLICY not_for_caregivers ON condition_interval AS RESTRICTIVE FOR SELECT TO hale_app USING ((SELECT current_setting('app.view', true) IS DISTINCT FROM 'caregiver'));
CREATE POLICY own_requests ON guardian_request AS RESTRICTIVE TO hale_app USING ((SELECT current_setting('app.view', true) IS DISTINCT FROM 'caregiver')
    OR caregiver_id = (SELECT nullif(current_setting('app.who', true), '')::bigint));
-- Somebody who was let in is known to those who see the grant, and to themselves.
CREATE POLICY own_caregivers ON caregiver AS RESTRICTIVE FOR SELECT TO hale_app USING ((SELECT current_setting('app.view', true) = 'org')
    OR (SELECT current_setting('app.view', true) = 'caregiver') AND id = (SELECT nullif(current_setting('app.who', true), '')::bigint)
    OR EXISTS (SELECT FROM caregiver_grant g WHERE g.org_id = caregiver.org_id AND g.caregiver_id = caregiver.id));

-- What is kept from a caregiver is not among the rows: no count, id or answer knows of it.
CREATE POLICY not_hidden ON reading AS RESTRICTIVE FOR SELECT TO hale_app USING ((SELECT current_setting('app.view', true) IS DISTINCT FROM 'caregiver')
    OR NOT EXISTS (SELECT FROM hidden_from_me() h WHERE h.patient_id = reading.patient_id AND CASE h.kind
        WHEN 'frozen' THEN reading.received_at >= h.from_at
        WHEN 'metric' THEN reading.metric = h.metric AND reading.measured_at >= h.from_at AND reading.measured_at < h.to_at
        WHEN 'span' THEN reading.measured_at >= h.from_at AND reading.measured_at < h.to_at ELSE false END));
CREATE POLICY not_hidden ON episode AS RESTRICTIVE FOR SELECT TO hale_app USING ((SELECT current_setting('app.view', true) IS DISTINCT FROM 'caregiver')
    OR NOT EXISTS (SELECT FROM hidden_from_me() h WHERE h.patient_id = episode.patient_id AND CASE h.kind
        WHEN 'frozen' THEN episode.opened_at >= h.from_at
        WHEN 'alert' THEN episode.uid = h.ref
        WHEN 'metric' THEN episode.metric = h.metric AND episode.first_at < h.to_at AND episode.last_at >= h.from_at
        WHEN 'span' THEN episode.first_at < h.to_at AND episode.last_at >= h.from_at ELSE false END));
CREATE POLICY not_hidden ON timeline AS RESTRICTIVE FOR SELECT TO hale_app USING ((SELECT current_setting('app.view', true) IS DISTINCT FROM 'caregiver')
    OR NOT EXISTS (SELECT FROM hidden_from_me() h JOIN episode e ON e.patient_id = h.patient_id
        WHERE e.org_id = timeline.org_id AND e.id = timeline.episode_id AND h.kind = 'frozen' AND timeline.recorded_at >= h.from_at));
CREATE POLICY not_hidden ON rule_version AS RESTRICTIVE FOR SELECT TO hale_app USING ((SELECT current_setting('app.view', true) IS DISTINCT FROM 'caregiver')
    OR NOT EXISTS (SELECT FROM hidden_from_me() h JOIN rule r ON r.patient_id = h.patient_id
        WHERE r.org_id = rule_version.org_id AND r.id = rule_version.rule_id AND h.kind = 'frozen' AND rule_version.created_at >= h.from_at));
CREATE POLICY not_hidden ON consent_decision AS RESTRICTIVE FOR SELECT TO hale_app USING ((SELECT current_setting('app.view', true) IS DISTINCT FROM 'caregiver')
    OR NOT EXISTS (SELECT FROM hidden_from_me() h WHERE h.patient_id = consent_decision.patient_id
        AND (h.kind = 'frozen' AND consent_decision.created_at >= h.from_at OR h.kind = 'consent' AND consent_decision.uid = h.ref)));
CREATE POLICY not_hidden ON ending_step AS RESTRICTIVE FOR SELECT TO hale_app USING ((SELECT current_setting('app.view', true) IS DISTINCT FROM 'caregiver')
    OR NOT EXISTS (SELECT FROM hidden_from_me() h WHERE h.patient_id = ending_step.patient_id AND h.kind = 'frozen' AND ending_step.at >= h.from_at));
-- Who looked tells a caregiver neither what protects the patient from them, nor, in a frozen view, what others did since.
CREATE POLICY not_hidden ON audit AS RESTRICTIVE FOR SELECT TO hale_app USING ((SELECT current_setting('app.view', true) IS DISTINCT FROM 'caregiver')
    OR action <> 'protect from a relative' AND NOT EXISTS (SELECT FROM hidden_from_me() h WHERE h.patient_id = audit.patient_id AND h.kind = 'frozen' AND audit.at >= h.from_at
        AND NOT (audit.actor_role IN ('caregiver', 'guardian') AND audit.actor_name = my_name())));

RESET ROLE;
-- Organisations that are there begin with the same texts as new ones.
SELECT add_first_consent_texts(o.id, 'hale', o.created_at) FROM org o;
