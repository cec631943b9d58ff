-- Why: a value that waits for an owner, or that was refused, may be somebody's emergency. It is screened when it comes, and what may
-- be red is on the nurses' list at once, whoever it belongs to. What waits is claimed or put aside by a person, and what a device or a
-- person takes back is kept visibly.
-- +goose Up
SET LOCAL ROLE hale_owner;

-- One row per sensor, metric and side (too low, too high: two emergencies) while it is open: a device that repeats itself counts up,
-- and the worst is kept. What tells only of the past (historic) is listed and calls nobody: it does not hide what is measured now.
CREATE TABLE unverified (
    org_id           integer NOT NULL REFERENCES org,
    id               bigint GENERATED ALWAYS AS IDENTITY UNIQUE,
    uid              uuid NOT NULL UNIQUE,
    device_id        bigint NOT NULL,
    sensor_id        bigint NOT NULL,
    metric           smallint NOT NULL,
    level            smallint NOT NULL CHECK (level IN (2, 3)),
    ground           text NOT NULL CHECK (ground IN ('extreme', 'limit', 'beyond', 'unit')),
    side             smallint NOT NULL DEFAULT 0 CHECK (side IN (-1, 0, 1)),     -- too low, too high; 0: the unit decides that
    beyond           smallint NOT NULL DEFAULT 0 CHECK (beyond IN (-1, 0, 1)),   -- the device could not even measure one of them
    vals             float8[] NOT NULL, -- of the worst number, none when there was none; canonical units, as read when unitless
    unitless         boolean NOT NULL DEFAULT false,
    badness          float8 NOT NULL,   -- orders numbers of the metric and side; alerts.Screened.Badness
    findings         integer NOT NULL,
    reading_id       bigint,            -- of the worst, where it is a reading
    measured_at      timestamptz,       -- of the worst; null: not known
    received_at      timestamptz NOT NULL,
    last_received_at timestamptz NOT NULL,
    times            integer NOT NULL DEFAULT 1,
    place            text NOT NULL CHECK (place IN ('inbox', 'quarantine', 'record')),
    why              text NOT NULL,     -- the reason in that place
    historic         boolean NOT NULL,
    opened_at        timestamptz NOT NULL,
    deadline_at      timestamptz CHECK ((deadline_at IS NULL) = historic),
    next_action_at   timestamptz,       -- when nobody looks after it any more; of a closed one: what it stood for besides is to be opened anew
    loud_at          timestamptz,       -- since when it is overdue
    state            text NOT NULL DEFAULT 'open' CHECK (state IN ('open', 'acknowledged', 'closed')),
    ack_by           bigint,
    ack_name         text NOT NULL DEFAULT '',
    ack_until        timestamptz,
    closed_at        timestamptz,
    closing          text NOT NULL DEFAULT '' CHECK (closing IN ('', 'claimed', 'not_real', 'handled', 'dismissed', 'taken_back', 'read_again')),
    closed_name      text NOT NULL DEFAULT '',
    note             text NOT NULL DEFAULT '',
    version          integer NOT NULL DEFAULT 1, -- what it shows, or what somebody did
    called_version   integer NOT NULL DEFAULT 1, -- with which it called last
    PRIMARY KEY (org_id, id),
    CHECK ((state = 'closed') = (closing <> '') AND (state = 'closed') = (closed_at IS NOT NULL)),
    CHECK (state <> 'acknowledged' OR ack_by IS NOT NULL AND ack_until IS NOT NULL),
    FOREIGN KEY (org_id, device_id) REFERENCES device (org_id, id),
    FOREIGN KEY (org_id, sensor_id) REFERENCES sensor (org_id, id),
    FOREIGN KEY (org_id, ack_by) REFERENCES staff (org_id, id)
);
CREATE UNIQUE INDEX unverified_one_open ON unverified (sensor_id, metric, historic, side) WHERE state <> 'closed';
CREATE INDEX unverified_open ON unverified (org_id, opened_at) WHERE state <> 'closed';
CREATE INDEX unverified_newest ON unverified (org_id, id DESC);
CREATE INDEX unverified_due ON unverified (next_action_at) WHERE next_action_at IS NOT NULL;

-- Whose it may be, because they hold the sensor or held it or share the kit; and whose somebody said that it is.
CREATE TABLE unverified_person (
    org_id        integer NOT NULL,
    id            bigint GENERATED ALWAYS AS IDENTITY,
    unverified_id bigint NOT NULL,
    patient_id    bigint NOT NULL,
    how           text NOT NULL CHECK (how IN ('holds', 'held', 'near', 'claimed')),
    value_id      bigint, -- which of the values was said to be theirs: a row may stand for those of several people
    from_at       timestamptz,
    to_at         timestamptz,
    PRIMARY KEY (org_id, id),
    FOREIGN KEY (org_id, unverified_id) REFERENCES unverified (org_id, id) ON DELETE CASCADE,
    FOREIGN KEY (org_id, patient_id) REFERENCES patient (org_id, id)
);
CREATE UNIQUE INDEX unverified_person_once ON unverified_person (org_id, unverified_id, patient_id, how, coalesce(value_id, 0));
CREATE INDEX unverified_person_of_patient ON unverified_person (patient_id);
CREATE INDEX unverified_person_of_value ON unverified_person (value_id) WHERE value_id IS NOT NULL;

-- The log. Its numbers are drawn from those of timeline: the live feed tells both in one order.
CREATE TABLE unverified_entry (
    org_id        integer NOT NULL,
    id            bigint NOT NULL DEFAULT nextval('timeline_id_seq'),
    unverified_id bigint NOT NULL,
    kind          text NOT NULL CHECK (kind IN ('opened', 'worsened', 'overdue', 'acknowledged', 'claimed', 'unclaimed', 'closed', 'dismissed', 'brought_back', 'taken_back', 'read_again', 'correction_refused')),
    recorded_at   timestamptz NOT NULL,
    actor_id      bigint,
    actor_name    text NOT NULL DEFAULT '',
    actor_role    text NOT NULL DEFAULT '',
    vals          float8[] NOT NULL DEFAULT '{}',
    note          text NOT NULL DEFAULT '',
    version       integer NOT NULL,
    claimed_for   bigint, -- the patient whose it says that it was, or was not: for erasing alone; hale_app cannot read it, so the line is everybody's
    PRIMARY KEY (org_id, id),
    FOREIGN KEY (org_id, unverified_id) REFERENCES unverified (org_id, id) ON DELETE CASCADE,
    FOREIGN KEY (org_id, actor_id) REFERENCES staff (org_id, id)
);
CREATE INDEX unverified_entry_of ON unverified_entry (org_id, unverified_id, id);
CREATE INDEX unverified_entry_claimed ON unverified_entry (claimed_for) WHERE claimed_for IS NOT NULL;
CREATE INDEX unverified_entry_recorded ON unverified_entry (org_id, recorded_at, id);

-- The values that a row stands for, each where it is parked, and what became of it. A row ends when the one that it shows has ended; those
-- that still wait are opened anew then.
CREATE TABLE unverified_value (
    org_id        integer NOT NULL,
    id            bigint GENERATED ALWAYS AS IDENTITY UNIQUE,
    unverified_id bigint NOT NULL,
    sensor_id     bigint NOT NULL,
    metric        smallint NOT NULL,
    sent_at       timestamptz,      -- with sensor, metric and tie the key of what waits or is stored; null of what was refused
    tie           bigint,
    quarantine_id bigint,           -- where it was refused
    place         text NOT NULL CHECK (place IN ('inbox', 'quarantine', 'record')),
    why           text NOT NULL,
    level         smallint NOT NULL CHECK (level IN (2, 3)),
    ground        text NOT NULL CHECK (ground IN ('extreme', 'limit', 'beyond', 'unit')),
    vals          float8[] NOT NULL, -- as of the row
    unitless      boolean NOT NULL,
    badness       float8 NOT NULL,
    findings      integer NOT NULL,
    reading_id    bigint,
    measured_at   timestamptz,      -- null: not known
    unsure_us     bigint NOT NULL DEFAULT 0, -- of measured_at, either way
    received_at   timestamptz NOT NULL,
    times         integer NOT NULL DEFAULT 1, -- the same bytes without a time, received again
    left_at       timestamptz,      -- since when it waits no more where it was parked
    became        text NOT NULL DEFAULT '' CHECK (became IN ('', 'claimed', 'not_real', 'handled', 'dismissed', 'taken_back', 'read_again')),
    by_name       text NOT NULL DEFAULT '',
    note          text NOT NULL DEFAULT '',
    ended_at      timestamptz,      -- since when nobody has to look at it; of a claimed one: its patient was judged by it
    PRIMARY KEY (org_id, id),
    CHECK ((sent_at IS NULL) = (tie IS NULL) AND (sent_at IS NULL) = (place = 'quarantine')),
    FOREIGN KEY (org_id, unverified_id) REFERENCES unverified (org_id, id) ON DELETE CASCADE,
    FOREIGN KEY (org_id, sensor_id) REFERENCES sensor (org_id, id)
);
CREATE INDEX unverified_value_of ON unverified_value (unverified_id, id);
CREATE INDEX unverified_value_key ON unverified_value (sensor_id, metric, sent_at, tie);
CREATE INDEX unverified_value_left ON unverified_value (left_at) WHERE left_at IS NOT NULL AND ended_at IS NULL;
CREATE INDEX unverified_value_claimed ON unverified_value (quarantine_id) WHERE became = 'claimed';
CREATE INDEX unverified_value_refused ON unverified_value (quarantine_id, vals) WHERE ended_at IS NULL;
CREATE INDEX unverified_value_reading ON unverified_value (reading_id) WHERE reading_id IS NOT NULL AND ended_at IS NULL;
ALTER TABLE unverified_person ADD FOREIGN KEY (org_id, value_id) REFERENCES unverified_value (org_id, id) ON DELETE CASCADE;

-- What a device or a person took back. The key is that of reading, so that what is sent again does not bring it back.
CREATE TABLE withdrawn_reading (
    LIKE reading,
    withdrawn_at timestamptz NOT NULL,
    how          text NOT NULL CHECK (how IN ('amended', 'entered_in_error')),
    by_id        bigint, -- of staff; null: the device said it
    by_name      text NOT NULL DEFAULT '',
    by_role      text NOT NULL DEFAULT '',
    why          text NOT NULL DEFAULT '',
    PRIMARY KEY (org_id, sensor_id, metric, sent_at, tie),
    FOREIGN KEY (org_id, sensor_id) REFERENCES sensor (org_id, id),
    FOREIGN KEY (org_id, patient_id) REFERENCES patient (org_id, id),
    FOREIGN KEY (org_id, by_id) REFERENCES staff (org_id, id)
);
CREATE UNIQUE INDEX withdrawn_reading_key ON withdrawn_reading (sensor_id, metric, sent_at, tie);
CREATE INDEX withdrawn_reading_of_patient ON withdrawn_reading (patient_id, withdrawn_at DESC);

-- What a device says of a measurement that it sent before, by its own name for it: carried out beside the batches, which hold one
-- partition only.
CREATE TABLE withdrawal (
    org_id         integer NOT NULL,
    id             bigint GENERATED ALWAYS AS IDENTITY UNIQUE,
    sensor_id      bigint NOT NULL,
    device_id      bigint NOT NULL,
    name           bigint NOT NULL,
    standing       smallint NOT NULL CHECK (standing IN (1, 2, 4)), -- vital.Amended, vital.EnteredInError; 4: an amendment that was refused, which changes nothing
    metric         smallint NOT NULL,
    sent_at        timestamptz NOT NULL, -- of what takes its place
    tie            bigint NOT NULL,
    received_at    timestamptz NOT NULL,
    said           bigint NOT NULL DEFAULT 0, -- grows with what comes; words about one name are in order by (received_at, standing, said)
    identifier     text NOT NULL DEFAULT '',  -- the name, as it was sent; empty when that is not known
    state          text NOT NULL DEFAULT 'asked' CHECK (state IN ('asked', 'done', 'unknown')),
    attempts       integer NOT NULL DEFAULT 0,
    next_action_at timestamptz NOT NULL,
    PRIMARY KEY (org_id, id),
    UNIQUE (org_id, sensor_id, name, standing, sent_at, tie),
    FOREIGN KEY (org_id, sensor_id) REFERENCES sensor (org_id, id),
    FOREIGN KEY (org_id, device_id) REFERENCES device (org_id, id)
);
CREATE SEQUENCE withdrawal_said;
GRANT USAGE ON SEQUENCE withdrawal_said TO hale_work;
ALTER TABLE withdrawal ALTER COLUMN identifier SET STATISTICS 0;
CREATE INDEX withdrawal_due ON withdrawal (next_action_at) WHERE state = 'asked';
CREATE INDEX withdrawal_open ON withdrawal (org_id, device_id) WHERE state = 'asked';
SELECT isolate('withdrawal'), keep_to_patients('withdrawal', 'false');
SELECT keep_to_views('withdrawal', '{INSERT,UPDATE,DELETE}', '{}');
GRANT SELECT, INSERT, UPDATE, DELETE ON withdrawal TO hale_work;
GRANT SELECT ON withdrawal TO hale_app;

-- An alert goes on showing what people were shown, and says which of it stands no more (alerts.Retraction).
ALTER TABLE timeline ADD COLUMN retracts jsonb CHECK (jsonb_typeof(retracts) = 'array'); -- null: nothing
ALTER TABLE episode ADD COLUMN retracted jsonb NOT NULL DEFAULT '[]' CHECK (jsonb_typeof(retracted) = 'array');
ALTER TABLE timeline DROP CONSTRAINT timeline_cause_check;
ALTER TABLE timeline ADD CONSTRAINT timeline_cause_check CHECK (cause IN ('', 'returned', 'rule off', 'judged anew', 'late data', 'filed elsewhere', 'filed here', 'taken back', 'correction refused'));
ALTER TABLE episode DROP CONSTRAINT episode_ended_check;
ALTER TABLE episode ADD CONSTRAINT episode_ended_check CHECK (ended IN ('', 'returned', 'rule off', 'judged anew', 'late data', 'filed elsewhere', 'filed here', 'taken back'));
ALTER TABLE situation_change ADD COLUMN withdrawn boolean NOT NULL DEFAULT false; -- readings were taken back

ALTER TABLE inbox DROP CONSTRAINT inbox_state_check;
ALTER TABLE inbox ADD CONSTRAINT inbox_state_check CHECK (state IN ('waiting', 'claimed', 'dismissed'));
ALTER TABLE inbox ADD COLUMN settled_at timestamptz;
ALTER TABLE inbox ADD COLUMN settled_by text NOT NULL DEFAULT ''; -- who put it aside
ALTER TABLE inbox ADD COLUMN settled_why text NOT NULL DEFAULT '';
CREATE INDEX inbox_waiting ON inbox (org_id, sensor_id, measured_at) WHERE state = 'waiting';
CREATE INDEX inbox_put_aside ON inbox (org_id, settled_at) WHERE state = 'dismissed';

-- What became of a refused message: nothing is deleted.
ALTER TABLE quarantine ADD COLUMN uid uuid NOT NULL DEFAULT gen_random_uuid() UNIQUE;
ALTER TABLE quarantine ADD COLUMN tried_at timestamptz;
ALTER TABLE quarantine ADD COLUMN tried_by text NOT NULL DEFAULT '';
ALTER TABLE quarantine ADD COLUMN accepted integer; -- readings that came of it then
ALTER TABLE quarantine ADD COLUMN refused_again text NOT NULL DEFAULT '';
ALTER TABLE quarantine ADD COLUMN settled_at timestamptz; -- since when it waits for nobody
ALTER TABLE quarantine ADD COLUMN name bigint NOT NULL DEFAULT 0; -- hash of the sender's own name for what was refused, of sensor_id; 0: none
CREATE INDEX quarantine_of_name ON quarantine (org_id, name) WHERE name <> 0;

-- What people wrote and what was measured is in no statistics of columns.
ALTER TABLE unverified ALTER COLUMN ack_name SET STATISTICS 0, ALTER COLUMN closed_name SET STATISTICS 0, ALTER COLUMN note SET STATISTICS 0, ALTER COLUMN place SET STATISTICS 0, ALTER COLUMN why SET STATISTICS 0, ALTER COLUMN vals SET STATISTICS 0;
ALTER TABLE unverified_value ALTER COLUMN by_name SET STATISTICS 0, ALTER COLUMN note SET STATISTICS 0, ALTER COLUMN why SET STATISTICS 0, ALTER COLUMN vals SET STATISTICS 0;
ALTER TABLE unverified_entry ALTER COLUMN actor_name SET STATISTICS 0, ALTER COLUMN note SET STATISTICS 0, ALTER COLUMN vals SET STATISTICS 0;
ALTER TABLE timeline ALTER COLUMN retracts SET STATISTICS 0;
ALTER TABLE episode ALTER COLUMN retracted SET STATISTICS 0;
ALTER TABLE withdrawn_reading ALTER COLUMN by_name SET STATISTICS 0, ALTER COLUMN by_role SET STATISTICS 0, ALTER COLUMN why SET STATISTICS 0;
ALTER TABLE inbox ALTER COLUMN settled_by SET STATISTICS 0, ALTER COLUMN settled_why SET STATISTICS 0;
ALTER TABLE quarantine ALTER COLUMN tried_by SET STATISTICS 0, ALTER COLUMN refused_again SET STATISTICS 0;

-- A claim gives what waits to a person even where the sensor was another's by the clock.
ALTER TABLE refile ADD COLUMN claims boolean NOT NULL DEFAULT false;
-- Of a claim: what this device sent, and no other that speaks for the sensor; null: whoever sent it.
ALTER TABLE refile ADD COLUMN device_id bigint CHECK (device_id IS NULL OR claims);
ALTER TABLE refile ADD FOREIGN KEY (org_id, device_id) REFERENCES device (org_id, id);

GRANT INSERT (claims, device_id), SELECT (claims, device_id) ON refile TO hale_app;
GRANT SELECT (claims, device_id) ON refile TO hale_work;

-- A notice of what is nobody's goes to whoever is on duty.
ALTER TABLE outbox DROP CONSTRAINT outbox_about;
ALTER TABLE outbox ADD CONSTRAINT outbox_about CHECK (patient_id IS NOT NULL OR audience IN ('privacy_officer', 'manager') OR topic LIKE 'unverified.%');

SELECT isolate(t) FROM unnest(ARRAY['unverified', 'unverified_person', 'unverified_entry', 'unverified_value', 'withdrawn_reading']::regclass[]) t;
SELECT keep_to_patients('unverified_person'), keep_to_patients('withdrawn_reading');
-- An emergency of nobody is every nurse's; a patient finds in the copy of their record what was said to be theirs.
SELECT keep_to_views('unverified_value', '{SELECT}', '{staff,patient}', $$(SELECT current_setting('app.view', true) = 'staff')
    OR EXISTS (SELECT FROM unverified_person p WHERE p.org_id = unverified_value.org_id AND p.value_id = unverified_value.id AND p.how = 'claimed')$$);
SELECT keep_to_views('unverified_person', '{SELECT}', '{staff,patient}');
SELECT keep_to_views('unverified', '{SELECT}', '{staff}'), keep_to_views('unverified_entry', '{SELECT}', '{staff}'), keep_to_views('unverified_value', '{UPDATE}', '{staff}'), keep_to_views('unverified_value', '{INSERT,DELETE}', '{}');
SELECT keep_to_views('withdrawn_reading', '{SELECT}', '{staff,patient}');
SELECT keep_to_views('unverified', '{UPDATE}', '{staff}'), keep_to_views('unverified', '{INSERT,DELETE}', '{}');
SELECT keep_to_views(t, '{INSERT}', '{staff}') FROM unnest(ARRAY['unverified_person', 'unverified_entry']::regclass[]) t;
SELECT keep_to_views(t, '{UPDATE}', '{}') FROM unnest(ARRAY['unverified_person', 'unverified_entry']::regclass[]) t;
SELECT keep_to_views('unverified_person', '{DELETE}', '{staff}'), keep_to_views('unverified_entry', '{DELETE}', '{}');
SELECT keep_to_views('withdrawn_reading', '{INSERT,UPDATE,DELETE}', '{}');

GRANT SELECT ON unverified, unverified_person, unverified_value, withdrawn_reading TO hale_app, hale_work;
GRANT SELECT ON unverified_entry TO hale_work;
GRANT SELECT (org_id, id, unverified_id, kind, recorded_at, actor_id, actor_name, actor_role, vals, note, version) ON unverified_entry TO hale_app;
GRANT INSERT ON unverified, unverified_person, unverified_entry, unverified_value TO hale_work;
GRANT INSERT ON unverified_person, unverified_entry TO hale_app;
GRANT UPDATE ON unverified, unverified_value TO hale_work;
GRANT UPDATE (left_at, became, by_name, note, ended_at) ON unverified_value TO hale_app; -- what became of it, not what was measured
GRANT UPDATE (state, ack_by, ack_name, ack_until, next_action_at, loud_at, closing, closed_at, closed_name, note, version) ON unverified TO hale_app; -- what a person says, not what was measured
GRANT UPDATE (patient_id, assignment_id) ON withdrawn_reading TO hale_work; -- a merge
GRANT UPDATE (state, settled_at, settled_by, settled_why) ON inbox TO hale_app, hale_work;
GRANT UPDATE (tried_at, tried_by, accepted, refused_again, settled_at) ON quarantine TO hale_app;
GRANT USAGE ON SEQUENCE timeline_id_seq TO hale_app, hale_work;
GRANT DELETE ON unverified_person TO hale_work, hale_app; -- what is said to be theirs no more
GRANT UPDATE (patient_id) ON unverified_person TO hale_app; -- a merge
GRANT SELECT, DELETE ON unverified, unverified_person, unverified_entry, unverified_value, withdrawn_reading TO hale_migrate;
GRANT UPDATE ON unverified TO hale_migrate; -- what stands for others besides shows these
GRANT UPDATE (note) ON unverified_value TO hale_migrate; -- what was said of them and of others at once
GRANT UPDATE (vals, note) ON unverified_entry TO hale_migrate;
GRANT SELECT, INSERT ON reading, withdrawn_reading TO hale_migrate;
GRANT DELETE ON reading TO hale_migrate;
GRANT UPDATE (findings) ON reading, inbox TO hale_work; -- what is found later: a correction that was refused
RESET ROLE;

-- +goose StatementBegin
-- Takes a reading out of the record and keeps it beside. No role deletes readings by itself. hale_app takes only those of patients
-- within its view, and only with the partition of the patient held.
CREATE FUNCTION withdraw_reading(given_org integer, given_sensor bigint, given_metric smallint, given_sent timestamptz, given_tie bigint,
    given_how text, given_by bigint, given_name text, given_role text, given_why text, at timestamptz)
RETURNS TABLE (patient_id bigint, id bigint, measured_at timestamptz) LANGUAGE sql VOLATILE SECURITY DEFINER SET search_path = public, pg_temp AS $$
    WITH taken AS (
        DELETE FROM reading r WHERE r.org_id = given_org AND r.sensor_id = given_sensor AND r.metric = given_metric AND r.sent_at = given_sent AND r.tie = given_tie
        RETURNING r.*
    ), kept AS (
        INSERT INTO withdrawn_reading SELECT t.*, at, given_how, given_by, given_name, given_role, given_why FROM taken t ON CONFLICT DO NOTHING
    )
    SELECT t.patient_id, t.id, t.measured_at FROM taken t
$$;
-- +goose StatementEnd
REVOKE ALL ON FUNCTION withdraw_reading(integer, bigint, smallint, timestamptz, bigint, text, bigint, text, text, text, timestamptz) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION withdraw_reading(integer, bigint, smallint, timestamptz, bigint, text, bigint, text, text, text, timestamptz) TO hale_work;

-- +goose StatementBegin
-- Puts back into the record what its device took out of it and now says again, with a finding more. What a person took out stays so.
CREATE FUNCTION restore_reading(given_org integer, given_sensor bigint, given_metric smallint, given_sent timestamptz, given_tie bigint, finding integer)
RETURNS TABLE (patient_id bigint, id bigint, measured_at timestamptz) LANGUAGE sql VOLATILE SECURITY DEFINER SET search_path = public, pg_temp AS $$
    WITH back AS (
        DELETE FROM withdrawn_reading w WHERE w.org_id = given_org AND w.sensor_id = given_sensor AND w.metric = given_metric AND w.sent_at = given_sent AND w.tie = given_tie
            AND w.by_id IS NULL
        RETURNING w.*
    ), kept AS (
        INSERT INTO reading (sensor_id, metric, sent_at, tie, org_id, patient_id, assignment_id, device_id, id, measured_at, received_at, value, value2, value3,
            mantissa, mantissa2, mantissa3, exponent, exponent2, exponent3, unit, unit2, unit3, findings, has_sequence)
        SELECT b.sensor_id, b.metric, b.sent_at, b.tie, b.org_id, b.patient_id, b.assignment_id, b.device_id, b.id, b.measured_at, b.received_at, b.value, b.value2, b.value3,
            b.mantissa, b.mantissa2, b.mantissa3, b.exponent, b.exponent2, b.exponent3, b.unit, b.unit2, b.unit3, b.findings | finding, b.has_sequence FROM back b
        ON CONFLICT DO NOTHING
    )
    SELECT b.patient_id, b.id, b.measured_at FROM back b
$$;
-- +goose StatementEnd
REVOKE ALL ON FUNCTION restore_reading(integer, bigint, smallint, timestamptz, bigint, integer) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION restore_reading(integer, bigint, smallint, timestamptz, bigint, integer) TO hale_work;

-- +goose StatementBegin
-- The same by a person of staff, within their view.
CREATE FUNCTION withdraw_by_person(given_patient bigint, given_id bigint, near timestamptz, given_why text)
RETURNS TABLE (patient_id bigint, id bigint, measured_at timestamptz, metric smallint) LANGUAGE sql VOLATILE SECURITY DEFINER SET search_path = public, pg_temp AS $$
    WITH me AS (
        SELECT nullif(current_setting('app.org', true), '')::int AS org, nullif(current_setting('app.who', true), '')::bigint AS who, nullif(current_setting('app.now', true), '')::timestamptz AS at
        WHERE current_setting('app.view', true) IN ('staff', 'org')
            AND (current_setting('app.view', true) = 'org' OR EXISTS (SELECT FROM my_care() c WHERE c.patient_id = given_patient))
    ), found AS MATERIALIZED (
        SELECT r.sensor_id, r.metric, r.sent_at, r.tie, r.org_id FROM me
            JOIN (SELECT DISTINCT a.org_id, a.sensor_id FROM assignment a WHERE a.patient_id = given_patient) s ON s.org_id = me.org
            JOIN reading r ON r.sensor_id = s.sensor_id AND r.patient_id = given_patient AND r.id = given_id AND r.sent_at BETWEEN near - interval '24 hours' AND near + interval '24 hours'
    )
    SELECT w.patient_id, w.id, w.measured_at, f.metric FROM me, found f, staff t,
        withdraw_reading(f.org_id, f.sensor_id, f.metric, f.sent_at, f.tie, 'entered_in_error', t.id, t.name, t.role, given_why, me.at) w
    WHERE t.org_id = me.org AND t.id = me.who
$$;
-- +goose StatementEnd
REVOKE ALL ON FUNCTION withdraw_by_person(bigint, bigint, timestamptz, text) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION withdraw_by_person(bigint, bigint, timestamptz, text) TO hale_app;
