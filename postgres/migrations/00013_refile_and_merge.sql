-- Why: a device that was given to the wrong person, and a person who is known twice. Undoing either is a command that stands
-- in a row and is carried out step by step (ADR 0021): assignments are cut and made under a new epoch, readings and parked
-- readings move, both people are judged anew, and the record says who asked for it and why.
-- +goose Up
SET LOCAL ROLE hale_owner;

-- Readings that were brought to somebody (late) or taken away from them, rather than a rule that was changed.
ALTER TABLE situation_change ADD COLUMN moved boolean NOT NULL DEFAULT false;
ALTER TABLE episode DROP CONSTRAINT episode_ended_check;
ALTER TABLE episode ADD CONSTRAINT episode_ended_check CHECK (ended IN ('', 'returned', 'rule off', 'judged anew', 'late data', 'filed elsewhere', 'filed here'));
ALTER TABLE timeline DROP CONSTRAINT timeline_cause_check;
ALTER TABLE timeline ADD CONSTRAINT timeline_cause_check CHECK (cause IN ('', 'returned', 'rule off', 'judged anew', 'late data', 'filed elsewhere', 'filed here'));

-- An assignment of which nothing is left stays, and holds for no moment: what was filed under it can be explained.
ALTER TABLE assignment DROP CONSTRAINT assignment_check;
ALTER TABLE assignment ADD CONSTRAINT assignment_period_check CHECK (to_at IS NULL OR to_at >= from_at);

ALTER TABLE patient ADD COLUMN merged_into bigint;
ALTER TABLE patient ADD CONSTRAINT patient_merged_check CHECK ((state = 'merged') = (merged_into IS NOT NULL) AND merged_into <> id);
ALTER TABLE patient ADD CONSTRAINT patient_merged_into_fkey FOREIGN KEY (org_id, merged_into) REFERENCES patient (org_id, id);

-- Two records of one person. kept is what undoing needs beside the refiles: what the first was, and what was made for the second.
CREATE TABLE merge (
    org_id      integer NOT NULL,
    id          bigint GENERATED ALWAYS AS IDENTITY UNIQUE,
    uid         uuid NOT NULL UNIQUE,
    from_id     bigint NOT NULL,
    into_id     bigint NOT NULL CHECK (into_id <> from_id),
    state       text NOT NULL CHECK (state IN ('running', 'done', 'undoing', 'undone')),
    reason      text NOT NULL CHECK (reason <> ''),
    override    text NOT NULL DEFAULT '', -- why it is one person although their records differ
    kept        jsonb NOT NULL,
    asked_by    bigint,
    asked_name  text NOT NULL,
    asked_at    timestamptz NOT NULL,
    ended_at    timestamptz,
    undo_reason text NOT NULL DEFAULT '',
    undo_by     bigint,
    undo_name   text NOT NULL DEFAULT '',
    undo_at     timestamptz,
    PRIMARY KEY (org_id, id),
    CHECK ((state IN ('undoing', 'undone')) = (undo_at IS NOT NULL)),
    CHECK ((state IN ('done', 'undone')) = (ended_at IS NOT NULL)),
    FOREIGN KEY (org_id, from_id) REFERENCES patient (org_id, id),
    FOREIGN KEY (org_id, into_id) REFERENCES patient (org_id, id),
    FOREIGN KEY (org_id, asked_by) REFERENCES staff (org_id, id),
    FOREIGN KEY (org_id, undo_by) REFERENCES staff (org_id, id)
);
CREATE UNIQUE INDEX merge_once ON merge (org_id, from_id) WHERE state <> 'undone';
CREATE INDEX merge_into ON merge (org_id, into_id);

-- The readings of a sensor in a span, filed under the source (null: parked, nobody's), are the target's (null: nobody's).
CREATE TABLE refile (
    org_id     integer NOT NULL,
    id         bigint GENERATED ALWAYS AS IDENTITY UNIQUE,
    uid        uuid NOT NULL UNIQUE,
    sensor_id  bigint NOT NULL,
    source_id  bigint,
    target_id  bigint,
    from_at    timestamptz NOT NULL,
    to_at      timestamptz CHECK (to_at > from_at),
    reason     text NOT NULL CHECK (reason <> ''),
    state      text NOT NULL DEFAULT 'asked' CHECK (state IN ('asked', 'running', 'done', 'failed')),
    problem    text NOT NULL DEFAULT '', -- why it failed, or why it does not go on
    undo_of    bigint,
    merge_id   bigint,
    asked_by   bigint,
    asked_name text NOT NULL,
    asked_role text NOT NULL,
    asked_at   timestamptz NOT NULL,
    started_at timestamptz,
    ended_at   timestamptz,
    reached_at timestamptz, -- of times as sent: what lies before has moved
    earliest_at timestamptz, -- of times of measuring: from when on both people are judged anew, once all has moved
    stepped_at timestamptz NOT NULL DEFAULT '-infinity', -- or tried: who waits longest is next
    attempts   smallint NOT NULL DEFAULT 0,              -- that failed since the last step
    next_action_at timestamptz NOT NULL DEFAULT '-infinity', -- after a failure; the others go on meanwhile
    total      bigint NOT NULL DEFAULT 0, -- readings there were to move when it began
    moved      bigint NOT NULL DEFAULT 0,
    PRIMARY KEY (org_id, id),
    CHECK (source_id IS DISTINCT FROM target_id),
    CHECK ((state IN ('done', 'failed')) = (ended_at IS NOT NULL)),
    CHECK (state <> 'failed' OR problem <> ''),
    FOREIGN KEY (org_id, sensor_id) REFERENCES sensor (org_id, id),
    FOREIGN KEY (org_id, source_id) REFERENCES patient (org_id, id),
    FOREIGN KEY (org_id, target_id) REFERENCES patient (org_id, id),
    FOREIGN KEY (org_id, undo_of) REFERENCES refile (org_id, id),
    FOREIGN KEY (org_id, merge_id) REFERENCES merge (org_id, id),
    FOREIGN KEY (org_id, asked_by) REFERENCES staff (org_id, id)
);
-- One at a time of a sensor, so that of two that ask for the same span one wins and the other is told.
CREATE UNIQUE INDEX refile_one_at_a_time ON refile (sensor_id) WHERE state IN ('asked', 'running');
CREATE UNIQUE INDEX refile_undone_once ON refile (undo_of) WHERE state <> 'failed';
CREATE INDEX refile_of_source ON refile (org_id, source_id);
CREATE INDEX refile_of_target ON refile (org_id, target_id);
CREATE INDEX refile_of_merge ON refile (org_id, merge_id) WHERE merge_id IS NOT NULL;

-- The periods that changed hands, and under which assignments. An undo gives back exactly these.
CREATE TABLE refile_part (
    org_id            integer NOT NULL,
    refile_id         bigint NOT NULL,
    from_at           timestamptz NOT NULL,
    to_at             timestamptz CHECK (to_at > from_at),
    target_assignment bigint,
    PRIMARY KEY (org_id, refile_id, from_at),
    FOREIGN KEY (org_id, refile_id) REFERENCES refile (org_id, id),
    FOREIGN KEY (org_id, target_assignment) REFERENCES assignment (org_id, id)
);

-- The alerts whose log tells of readings that were taken away: each says so once.
CREATE TABLE refile_episode (
    org_id     integer NOT NULL,
    refile_id  bigint NOT NULL,
    episode_id bigint NOT NULL,
    PRIMARY KEY (org_id, refile_id, episode_id),
    FOREIGN KEY (org_id, refile_id) REFERENCES refile (org_id, id),
    FOREIGN KEY (org_id, episode_id) REFERENCES episode (org_id, id)
);

SELECT isolate('merge'), isolate('refile'), isolate('refile_part'), isolate('refile_episode');
SELECT keep_to_patients('merge', 'from_id IN (SELECT mine.patient_id FROM my_patients() mine) OR into_id IN (SELECT mine.patient_id FROM my_patients() mine)');
SELECT keep_to_patients('refile', 'source_id IN (SELECT mine.patient_id FROM my_patients() mine) OR target_id IN (SELECT mine.patient_id FROM my_patients() mine)');
SELECT keep_to_patients('refile_part', 'EXISTS (SELECT FROM refile f WHERE f.org_id = refile_part.org_id AND f.id = refile_id)');
SELECT keep_to_patients('refile_episode', 'EXISTS (SELECT FROM refile f WHERE f.org_id = refile_episode.org_id AND f.id = refile_id)');

GRANT SELECT, INSERT (org_id, uid, sensor_id, source_id, target_id, from_at, to_at, reason, undo_of, merge_id, asked_by, asked_name, asked_role, asked_at) ON refile TO hale_app;
GRANT SELECT ON refile_part, refile_episode TO hale_app;
GRANT SELECT, INSERT, UPDATE (state, ended_at, undo_reason, undo_by, undo_name, undo_at) ON merge TO hale_app;
GRANT UPDATE (state, merged_into) ON patient TO hale_app;
-- What belongs to a person follows them into the other record, and back: whom they let in, what they keep from those, and
-- what others call them.
GRANT UPDATE (ended_at) ON invitation TO hale_app; -- a code of the first record opens nothing any more
GRANT UPDATE (patient_id) ON private_item, patient_identifier TO hale_app;

GRANT SELECT, UPDATE (state, problem, started_at, ended_at, reached_at, earliest_at, total, moved, stepped_at, attempts, next_action_at) ON refile TO hale_work;
GRANT SELECT, INSERT ON refile_part, refile_episode TO hale_work;
GRANT SELECT, UPDATE (state, ended_at) ON merge TO hale_work;
GRANT INSERT, UPDATE (to_at, epoch) ON assignment TO hale_work;
GRANT UPDATE (patient_id, assignment_id) ON reading TO hale_work;
GRANT UPDATE (state, reason) ON inbox TO hale_work;
GRANT UPDATE (uid) ON sensor TO hale_work; -- the row is locked while its assignments change, as hale_app does
GRANT UPDATE (version) ON registry_version TO hale_work;

RESET ROLE;
GRANT SELECT, DELETE ON reading TO hale_migrate;
GRANT SELECT, INSERT, UPDATE ON inbox TO hale_migrate;
GRANT SELECT ON refile, refile_part TO hale_migrate;
-- +goose StatementBegin
-- Takes readings out of the record and parks them as nobody's: the next ones, in the order of their times as sent, of a refile
-- that is running and has no target. hale_work itself can delete no reading.
CREATE FUNCTION unfile_readings(given_org integer, given_refile bigint, low timestamptz, high timestamptz, most integer)
RETURNS TABLE (metric smallint, sent_at timestamptz, measured_at timestamptz, id bigint)
LANGUAGE sql VOLATILE SECURITY DEFINER SET search_path = public, pg_temp AS $$
    WITH chosen AS MATERIALIZED (
        SELECT r.sensor_id, r.metric, r.sent_at, r.tie
        FROM refile f JOIN refile_part p ON p.org_id = f.org_id AND p.refile_id = f.id
            JOIN reading r ON r.sensor_id = f.sensor_id AND r.patient_id = f.source_id AND r.sent_at BETWEEN low AND high
                AND r.measured_at >= p.from_at AND r.measured_at < coalesce(p.to_at, 'infinity')
        WHERE f.org_id = given_org AND f.id = given_refile AND f.state = 'running' AND f.source_id IS NOT NULL AND f.target_id IS NULL
        ORDER BY r.sent_at LIMIT most
    ), taken AS (
        DELETE FROM reading r USING chosen c
        WHERE r.sensor_id = c.sensor_id AND r.metric = c.metric AND r.sent_at = c.sent_at AND r.tie = c.tie AND r.sent_at BETWEEN low AND high
        RETURNING r.*
    ), parked AS (
        INSERT INTO inbox (sensor_id, metric, sent_at, tie, org_id, device_id, id, measured_at, received_at,
            mantissa, mantissa2, mantissa3, exponent, exponent2, exponent3, unit, unit2, unit3, findings, has_sequence, reason)
        SELECT t.sensor_id, t.metric, t.sent_at, t.tie, t.org_id, t.device_id, t.id, t.measured_at, t.received_at,
            t.mantissa, t.mantissa2, t.mantissa3, t.exponent, t.exponent2, t.exponent3, t.unit, t.unit2, t.unit3, t.findings, t.has_sequence, 'refiled'
        FROM taken t
        ON CONFLICT (sensor_id, metric, sent_at, tie) DO UPDATE SET state = 'waiting', reason = 'refiled'
    )
    SELECT t.metric, t.sent_at, t.measured_at, t.id FROM taken t
$$;
-- +goose StatementEnd
REVOKE ALL ON FUNCTION unfile_readings(integer, bigint, timestamptz, timestamptz, integer) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION unfile_readings(integer, bigint, timestamptz, timestamptz, integer) TO hale_work;

-- +goose StatementBegin
-- Under which record somebody is known now whose number was that of a record that is merged: also to who never saw that one.
-- Whom of these the caller sees is decided where it joins them.
CREATE FUNCTION merged_as(given_number text) RETURNS SETOF bigint LANGUAGE sql STABLE SECURITY DEFINER SET search_path = public, pg_temp AS $$
    WITH RECURSIVE way AS (
        SELECT p.org_id, p.merged_into AS id FROM patient p
        WHERE p.org_id = nullif(current_setting('app.org', true), '')::integer AND p.number = given_number AND p.number <> '' AND p.state = 'merged'
        UNION
        SELECT n.org_id, n.merged_into FROM way w JOIN patient n ON n.org_id = w.org_id AND n.id = w.id WHERE n.state = 'merged'
    ) SELECT w.id FROM way w JOIN patient p ON p.org_id = w.org_id AND p.id = w.id WHERE p.state <> 'merged'
$$;
-- +goose StatementEnd
REVOKE ALL ON FUNCTION merged_as(text) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION merged_as(text) TO hale_app;
