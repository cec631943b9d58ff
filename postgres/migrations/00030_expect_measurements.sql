-- Why: whether a measurement is missing can only be said where somebody has said that it is expected. Schedules and pauses are kept
-- as they were set, so that what was expected on a day stays as it was; and what is doubtful about how something was measured waits
-- for a person's answer.
-- +goose Up
SET LOCAL ROLE hale_owner;

-- Versions are never updated; in force is the highest one whose effective_from has come. An empty list expects nothing.
CREATE TABLE measurement_schedule (
    org_id         integer NOT NULL,
    patient_id     bigint NOT NULL,
    number         integer NOT NULL CHECK (number > 0),
    effective_from timestamptz NOT NULL,
    lines          jsonb NOT NULL CHECK (jsonb_typeof(lines) = 'array'),
    reason         text NOT NULL CHECK (reason <> ''),
    author_id      bigint,
    author_name    text NOT NULL,
    created_at     timestamptz NOT NULL,
    PRIMARY KEY (org_id, patient_id, number),
    FOREIGN KEY (org_id, patient_id) REFERENCES patient (org_id, id),
    FOREIGN KEY (org_id, author_id) REFERENCES staff (org_id, id)
);
CREATE TRIGGER measurement_schedule_append_only BEFORE UPDATE OR TRUNCATE ON measurement_schedule FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();

-- When nothing is expected. A holiday ends by its date, a hospital stay when somebody says so.
CREATE TABLE measurement_pause (
    org_id      integer NOT NULL,
    id          bigint GENERATED ALWAYS AS IDENTITY UNIQUE,
    uid         uuid NOT NULL UNIQUE,
    patient_id  bigint NOT NULL,
    kind        text NOT NULL CHECK (kind IN ('hospital', 'holiday', 'other')),
    from_at     timestamptz NOT NULL,
    to_at       timestamptz CHECK (to_at > from_at), -- as planned
    reason      text NOT NULL CHECK (reason <> ''),
    author_id   bigint,
    author_name text NOT NULL,
    created_at  timestamptz NOT NULL,
    ended_at    timestamptz,                         -- by a person, before the planned end
    ended_by    text NOT NULL DEFAULT '',
    PRIMARY KEY (org_id, id),
    CHECK (kind = 'hospital' OR to_at IS NOT NULL),
    CHECK ((ended_at IS NULL) = (ended_by = '')),
    FOREIGN KEY (org_id, patient_id) REFERENCES patient (org_id, id),
    FOREIGN KEY (org_id, author_id) REFERENCES staff (org_id, id)
);
CREATE INDEX measurement_pause_of_patient ON measurement_pause (org_id, patient_id, from_at);

-- Readings of which something is doubtful, and what a person said to it. The reading itself stands and counts.
CREATE TABLE technique_doubt (
    org_id        integer NOT NULL,
    id            bigint GENERATED ALWAYS AS IDENTITY UNIQUE,
    uid           uuid NOT NULL UNIQUE,
    patient_id    bigint NOT NULL,
    sensor_id     bigint NOT NULL,
    metric        smallint NOT NULL,
    sent_at       timestamptz NOT NULL,
    tie           bigint NOT NULL,
    measured_at   timestamptz NOT NULL,
    reading_id    bigint NOT NULL,
    kind          text NOT NULL CHECK (kind IN ('too_soon', 'far_apart', 'other_person')),
    compared      float8[] NOT NULL, -- with what: the reading before it, or the median of the week, in canonical units
    apart         interval,          -- from the reading before it
    raised_at     timestamptz NOT NULL,
    answer        text NOT NULL DEFAULT '' CHECK (answer IN ('', 'theirs', 'somebody_else', 'closed')),
    note          text NOT NULL DEFAULT '',
    answered_at   timestamptz,
    answered_id   bigint,
    answered_name text NOT NULL DEFAULT '',
    answered_role text NOT NULL DEFAULT '',
    PRIMARY KEY (org_id, id),
    UNIQUE (org_id, patient_id, reading_id, kind),
    CHECK ((answer = '') = (answered_at IS NULL)),
    CHECK (answer <> 'closed' OR kind <> 'other_person'),
    CHECK (answer NOT IN ('theirs', 'somebody_else') OR kind = 'other_person'),
    FOREIGN KEY (org_id, patient_id) REFERENCES patient (org_id, id),
    FOREIGN KEY (org_id, sensor_id) REFERENCES sensor (org_id, id),
    FOREIGN KEY (org_id, answered_id) REFERENCES staff (org_id, id)
);
CREATE INDEX technique_doubt_waiting ON technique_doubt (org_id, id) WHERE answered_at IS NULL;

-- What people wrote and what was measured is in no statistics of columns.
ALTER TABLE measurement_schedule ALTER COLUMN lines SET STATISTICS 0, ALTER COLUMN reason SET STATISTICS 0, ALTER COLUMN author_name SET STATISTICS 0;
ALTER TABLE measurement_pause ALTER COLUMN reason SET STATISTICS 0, ALTER COLUMN author_name SET STATISTICS 0, ALTER COLUMN ended_by SET STATISTICS 0;
ALTER TABLE technique_doubt ALTER COLUMN compared SET STATISTICS 0, ALTER COLUMN answer SET STATISTICS 0, ALTER COLUMN note SET STATISTICS 0, ALTER COLUMN answered_name SET STATISTICS 0, ALTER COLUMN answered_role SET STATISTICS 0;

SELECT isolate('measurement_schedule'), isolate('measurement_pause'), isolate('technique_doubt');
SELECT keep_to_patients(t) FROM unnest(ARRAY['measurement_schedule', 'measurement_pause', 'technique_doubt']::regclass[]) t;
-- Relatives are not shown them: what is kept from them of the readings would show as missing.
SELECT keep_to_views(t, '{SELECT}', '{staff,patient}') FROM unnest(ARRAY['measurement_schedule', 'measurement_pause', 'technique_doubt']::regclass[]) t;
SELECT keep_to_views(t, '{INSERT,UPDATE,DELETE}', '{staff}') FROM unnest(ARRAY['measurement_schedule', 'measurement_pause', 'technique_doubt']::regclass[]) t;
GRANT SELECT, INSERT ON measurement_schedule, measurement_pause TO hale_app;
GRANT UPDATE (ended_at, ended_by) ON measurement_pause TO hale_app;
GRANT SELECT, UPDATE (answer, note, answered_at, answered_id, answered_name, answered_role, patient_id) ON technique_doubt TO hale_app; -- patient_id: a merge
GRANT SELECT ON measurement_schedule, measurement_pause, technique_doubt TO hale_work;
GRANT INSERT ON technique_doubt TO hale_work;
RESET ROLE;
