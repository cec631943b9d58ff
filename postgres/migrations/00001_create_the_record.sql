-- Why: the record of the vital way. org_id stands in every row that belongs to somebody, and references carry it
-- (org_id, id), so that no row can point across an organisation. hale_app is held to its organisation by row level
-- security; hale_work passes it and has no more grants than the processor needs.
-- +goose Up
SET LOCAL ROLE hale_owner;

CREATE TABLE org (
    id         integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    uid        uuid NOT NULL UNIQUE,
    name       text NOT NULL UNIQUE,
    created_at timestamptz NOT NULL
);

CREATE TABLE staff (
    org_id        integer NOT NULL REFERENCES org,
    id            bigint GENERATED ALWAYS AS IDENTITY UNIQUE,
    uid           uuid NOT NULL UNIQUE,
    login         text NOT NULL UNIQUE,
    name          text NOT NULL,
    role          text NOT NULL CHECK (role IN ('nurse', 'pharmacist', 'physician', 'device_desk', 'manager', 'researcher', 'privacy_officer', 'administrator')),
    password_hash text NOT NULL,
    disabled_at   timestamptz,
    created_at    timestamptz NOT NULL,
    PRIMARY KEY (org_id, id)
);

CREATE TABLE session (
    org_id     integer NOT NULL,
    uid        uuid NOT NULL UNIQUE,
    staff_id   bigint NOT NULL,
    token_hash bytea NOT NULL UNIQUE,
    csrf       text NOT NULL,
    created_at timestamptz NOT NULL,
    seen_at    timestamptz NOT NULL,
    expires_at timestamptz NOT NULL,
    ended_at   timestamptz,
    PRIMARY KEY (org_id, uid),
    FOREIGN KEY (org_id, staff_id) REFERENCES staff (org_id, id)
);

CREATE TABLE patient (
    org_id     integer NOT NULL REFERENCES org,
    id         bigint GENERATED ALWAYS AS IDENTITY UNIQUE,
    uid        uuid NOT NULL UNIQUE,
    name       text NOT NULL CHECK (name <> ''),
    number     text NOT NULL DEFAULT '',
    birth_year smallint NOT NULL DEFAULT 0,
    sex        text NOT NULL CHECK (sex IN ('female', 'male', 'other', 'unknown')),
    zone       text NOT NULL,
    created_at timestamptz NOT NULL,
    PRIMARY KEY (org_id, id)
);
CREATE UNIQUE INDEX patient_number ON patient (org_id, number) WHERE number <> '';

CREATE TABLE device (
    org_id      integer NOT NULL REFERENCES org,
    id          bigint GENERATED ALWAYS AS IDENTITY UNIQUE,
    uid         text NOT NULL UNIQUE,
    model       text NOT NULL,
    secret_hash bytea NOT NULL CHECK (length(secret_hash) = 32),
    revoked_at  timestamptz,
    created_at  timestamptz NOT NULL,
    PRIMARY KEY (org_id, id)
);

CREATE TABLE sensor (
    org_id    integer NOT NULL REFERENCES org,
    id        bigint GENERATED ALWAYS AS IDENTITY UNIQUE,
    uid       text NOT NULL UNIQUE,
    device_id bigint,          -- the device whose own sensor this is; null: one that gateways speak for
    PRIMARY KEY (org_id, id),
    FOREIGN KEY (org_id, device_id) REFERENCES device (org_id, id)
);
CREATE UNIQUE INDEX sensor_of_device ON sensor (org_id, device_id) WHERE device_id IS NOT NULL;

CREATE TABLE gateway_grant (
    org_id    integer NOT NULL,
    device_id bigint NOT NULL,
    sensor_id bigint NOT NULL,
    PRIMARY KEY (org_id, device_id, sensor_id),
    FOREIGN KEY (org_id, device_id) REFERENCES device (org_id, id),
    FOREIGN KEY (org_id, sensor_id) REFERENCES sensor (org_id, id)
);

CREATE TABLE assignment (
    org_id     integer NOT NULL,
    id         bigint GENERATED ALWAYS AS IDENTITY UNIQUE,
    sensor_id  bigint NOT NULL,
    patient_id bigint NOT NULL,
    from_at    timestamptz NOT NULL,
    to_at      timestamptz,
    epoch      integer NOT NULL DEFAULT 1,
    created_at timestamptz NOT NULL,
    PRIMARY KEY (org_id, id),
    CHECK (to_at IS NULL OR to_at > from_at),
    FOREIGN KEY (org_id, sensor_id) REFERENCES sensor (org_id, id),
    FOREIGN KEY (org_id, patient_id) REFERENCES patient (org_id, id)
);
CREATE INDEX assignment_of_sensor ON assignment (sensor_id, from_at);
CREATE INDEX assignment_of_patient ON assignment (patient_id, sensor_id);

-- One row that grows with every change an edge must know of.
CREATE TABLE registry_version (
    only_row boolean PRIMARY KEY DEFAULT true CHECK (only_row),
    version  bigint NOT NULL
);
INSERT INTO registry_version (version) VALUES (1);

-- The position of the stream, one row per partition: also the fence against a paused processor.
CREATE TABLE stream_cursor (
    partition       smallint PRIMARY KEY,
    stream_identity text NOT NULL DEFAULT '',
    live_seq        bigint NOT NULL DEFAULT 0,
    late_seq        bigint NOT NULL DEFAULT 0,
    owner           text NOT NULL DEFAULT '',
    epoch           bigint NOT NULL DEFAULT 0,
    lease_until     timestamptz NOT NULL DEFAULT '-infinity',
    shared          boolean NOT NULL DEFAULT false -- nobody reads it: who holds the row FOR SHARE must be allowed to update something
);
INSERT INTO stream_cursor (partition) SELECT generate_series(0, 7);

-- What a judgement depends on has changed; the partition's processor forgets what it cached and deletes the row.
CREATE TABLE situation_change (
    id           bigint GENERATED ALWAYS AS IDENTITY,
    org_id       integer NOT NULL,
    partition    smallint NOT NULL,
    patient_id   bigint NOT NULL,
    rejudge_from timestamptz,
    late         boolean NOT NULL DEFAULT false, -- readings came in by another partition: that may close no alert
    at           timestamptz NOT NULL,
    PRIMARY KEY (partition, id),
    FOREIGN KEY (org_id, patient_id) REFERENCES patient (org_id, id)
);

-- Readings: the primary key is the identity of a measurement (time as sent, never the patient or the arrival).
-- No foreign keys: one look-up per row would cost more than the row; the batch checks the assignment instead.
CREATE TABLE reading (
    sensor_id     bigint NOT NULL,
    metric        smallint NOT NULL,
    sent_at       timestamptz NOT NULL,
    tie           bigint NOT NULL,
    org_id        integer NOT NULL,
    patient_id    bigint NOT NULL,
    assignment_id bigint NOT NULL,
    device_id     bigint NOT NULL,
    id            bigint NOT NULL,
    measured_at   timestamptz NOT NULL,
    received_at   timestamptz NOT NULL,
    value         float8 NOT NULL,
    value2        float8,
    value3        float8,
    mantissa      bigint NOT NULL,
    mantissa2     bigint,
    mantissa3     bigint,
    exponent      smallint NOT NULL,
    exponent2     smallint,
    exponent3     smallint,
    unit          smallint NOT NULL,
    unit2         smallint,
    unit3         smallint,
    findings      integer NOT NULL,
    has_sequence  boolean NOT NULL,
    PRIMARY KEY (sensor_id, metric, sent_at, tie)
) PARTITION BY RANGE (sent_at);

-- Readings whose owner is not known. The key is that of reading; claimed rows stay, so that a resend meets them.
CREATE TABLE inbox (
    sensor_id     bigint NOT NULL,
    metric        smallint NOT NULL,
    sent_at       timestamptz NOT NULL,
    tie           bigint NOT NULL,
    org_id        integer NOT NULL,
    device_id     bigint NOT NULL,
    id            bigint NOT NULL,
    measured_at   timestamptz NOT NULL,
    received_at   timestamptz NOT NULL,
    mantissa      bigint NOT NULL,
    mantissa2     bigint,
    mantissa3     bigint,
    exponent      smallint NOT NULL,
    exponent2     smallint,
    exponent3     smallint,
    unit          smallint NOT NULL,
    unit2         smallint,
    unit3         smallint,
    findings      integer NOT NULL,
    has_sequence  boolean NOT NULL,
    reason        text NOT NULL,
    state         text NOT NULL DEFAULT 'waiting' CHECK (state IN ('waiting', 'claimed')),
    PRIMARY KEY (sensor_id, metric, sent_at, tie),
    FOREIGN KEY (org_id, sensor_id) REFERENCES sensor (org_id, id),
    FOREIGN KEY (org_id, device_id) REFERENCES device (org_id, id)
);

-- What was refused, with its raw bytes and the reason. The same bytes sent again count up.
CREATE TABLE quarantine (
    org_id           integer NOT NULL,
    id               bigint GENERATED ALWAYS AS IDENTITY UNIQUE,
    device_id        bigint NOT NULL,
    topic            text NOT NULL,
    reason           text NOT NULL,
    detail           text NOT NULL,
    raw              bytea NOT NULL,
    length           bigint NOT NULL,
    hash             bytea NOT NULL CHECK (length(hash) = 32),
    identity         bytea NOT NULL,
    received_at      timestamptz NOT NULL,
    last_received_at timestamptz NOT NULL,
    times            integer NOT NULL DEFAULT 1,
    PRIMARY KEY (org_id, device_id, identity),
    FOREIGN KEY (org_id, device_id) REFERENCES device (org_id, id)
);
CREATE INDEX quarantine_newest ON quarantine (org_id, received_at DESC);

CREATE TABLE rule (
    org_id     integer NOT NULL,
    id         bigint GENERATED ALWAYS AS IDENTITY UNIQUE,
    uid        uuid NOT NULL UNIQUE,
    patient_id bigint NOT NULL,
    kind       text NOT NULL CHECK (kind IN ('limit')),
    metric     smallint NOT NULL,
    PRIMARY KEY (org_id, id),
    UNIQUE (patient_id, kind, metric),
    FOREIGN KEY (org_id, patient_id) REFERENCES patient (org_id, id)
);

-- Versions are never updated; in force is the highest one whose effective_from is not after the reading.
CREATE TABLE rule_version (
    org_id         integer NOT NULL,
    rule_id        bigint NOT NULL,
    number         integer NOT NULL CHECK (number > 0),
    effective_from timestamptz NOT NULL,
    enabled        boolean NOT NULL,
    spec           jsonb NOT NULL,
    advice         text NOT NULL,
    author_id      bigint,
    author_name    text NOT NULL,
    reason         text NOT NULL,
    review_by      timestamptz,
    created_at     timestamptz NOT NULL,
    PRIMARY KEY (org_id, rule_id, number),
    FOREIGN KEY (org_id, rule_id) REFERENCES rule (org_id, id),
    FOREIGN KEY (org_id, author_id) REFERENCES staff (org_id, id)
);

-- The condition track: intervals in which a rule held. A pure function of readings and rule versions.
CREATE TABLE condition_interval (
    org_id     integer NOT NULL,
    rule_id    bigint NOT NULL,
    patient_id bigint NOT NULL,
    from_at    timestamptz NOT NULL,
    from_id    bigint NOT NULL,
    to_at      timestamptz,
    to_id      bigint,
    peak       smallint NOT NULL CHECK (peak BETWEEN 1 AND 3),
    count      integer NOT NULL,
    last_at    timestamptz NOT NULL,
    last_id    bigint NOT NULL,
    PRIMARY KEY (rule_id, from_at, from_id),
    CHECK ((to_at IS NULL) = (to_id IS NULL)),
    FOREIGN KEY (org_id, rule_id) REFERENCES rule (org_id, id),
    FOREIGN KEY (org_id, patient_id) REFERENCES patient (org_id, id)
);

CREATE TABLE episode (
    org_id       integer NOT NULL,
    id           bigint GENERATED ALWAYS AS IDENTITY UNIQUE,
    uid          uuid NOT NULL UNIQUE,
    patient_id   bigint NOT NULL,
    rule_id      bigint NOT NULL,
    metric       smallint NOT NULL,
    state        text NOT NULL CHECK (state IN ('open', 'acknowledged', 'closed')),
    holds        boolean NOT NULL,
    level        smallint NOT NULL CHECK (level BETWEEN 1 AND 3),
    historic     boolean NOT NULL,
    rule_version integer NOT NULL,
    opened_at    timestamptz NOT NULL,
    first_at     timestamptz NOT NULL,
    first_id     bigint NOT NULL,
    last_at      timestamptz NOT NULL,
    last_id      bigint NOT NULL,
    last_values  float8[] NOT NULL,
    occurrences  integer NOT NULL,
    ack_by       bigint,
    ack_name     text NOT NULL DEFAULT '',
    ack_at       timestamptz,
    ack_until    timestamptz,
    closed_at    timestamptz,
    closing      text NOT NULL DEFAULT '' CHECK (closing IN ('', 'resolved', 'cleared')),
    next_step    text NOT NULL DEFAULT '' CHECK (next_step IN ('', 'none', 'recheck', 'call', 'hand_over')),
    next_step_at timestamptz,
    note         text NOT NULL DEFAULT '',
    version      integer NOT NULL,
    contact      boolean NOT NULL DEFAULT false,
    paged        smallint NOT NULL DEFAULT 0 CHECK (paged BETWEEN 0 AND 3),
    ended        text NOT NULL DEFAULT '' CHECK (ended IN ('', 'returned', 'rule off', 'judged anew', 'late data')),
    ack_level    smallint NOT NULL DEFAULT 0 CHECK (ack_level BETWEEN 0 AND 3),
    PRIMARY KEY (org_id, id),
    CHECK ((state = 'closed') = (closing <> '')),
    CHECK ((state = 'acknowledged') <= (ack_by IS NOT NULL AND ack_until IS NOT NULL)),
    CHECK ((closing = 'resolved') = (next_step <> '')),
    FOREIGN KEY (org_id, patient_id) REFERENCES patient (org_id, id),
    FOREIGN KEY (org_id, rule_id) REFERENCES rule (org_id, id),
    FOREIGN KEY (org_id, ack_by) REFERENCES staff (org_id, id)
);
CREATE UNIQUE INDEX episode_one_open ON episode (patient_id, rule_id) WHERE state <> 'closed';
CREATE INDEX episode_open ON episode (org_id) WHERE state <> 'closed';
CREATE INDEX episode_newest ON episode (org_id, id DESC);
CREATE INDEX episode_of_patient ON episode (patient_id, id DESC);

-- The log that episodes are a fold of. Append-only.
CREATE TABLE timeline (
    org_id          integer NOT NULL,
    id              bigint GENERATED ALWAYS AS IDENTITY,
    episode_id      bigint NOT NULL,
    kind            text NOT NULL CHECK (kind IN ('opened', 'occurred', 'worsened', 'cleared', 'resumed', 'annotated', 'acknowledged', 'resolved', 'noted')),
    recorded_at     timestamptz NOT NULL,
    actor_id        bigint,
    actor_name      text NOT NULL DEFAULT '',
    actor_role      text NOT NULL DEFAULT '',
    level           smallint NOT NULL DEFAULT 0,
    reading_at      timestamptz,
    reading_id      bigint,
    vals            float8[] NOT NULL DEFAULT '{}',
    rule_version    integer NOT NULL DEFAULT 0,
    historic        boolean NOT NULL DEFAULT false,
    closes          boolean NOT NULL DEFAULT false,
    until_at        timestamptz,
    next_step       text NOT NULL DEFAULT '',
    next_step_at    timestamptz,
    note            text NOT NULL DEFAULT '',
    episode_version integer NOT NULL,
    breaks          boolean NOT NULL DEFAULT false,
    contact         boolean NOT NULL DEFAULT false,
    cause           text NOT NULL DEFAULT '' CHECK (cause IN ('', 'returned', 'rule off', 'judged anew', 'late data')),
    evaluator       smallint NOT NULL DEFAULT 0,
    PRIMARY KEY (org_id, id),
    FOREIGN KEY (org_id, episode_id) REFERENCES episode (org_id, id),
    FOREIGN KEY (org_id, actor_id) REFERENCES staff (org_id, id)
);
CREATE INDEX timeline_of_episode ON timeline (org_id, episode_id, id);
CREATE INDEX timeline_recorded ON timeline (org_id, recorded_at, id);

-- Notices owed to people; written in the transaction of the fact they tell.
CREATE TABLE outbox (
    org_id     integer NOT NULL,
    id         bigint GENERATED ALWAYS AS IDENTITY,
    patient_id bigint NOT NULL,
    topic      text NOT NULL,
    dedup      text NOT NULL,
    severity   text NOT NULL,
    created_at timestamptz NOT NULL,
    PRIMARY KEY (org_id, id),
    UNIQUE (org_id, topic, dedup),
    FOREIGN KEY (org_id, patient_id) REFERENCES patient (org_id, id)
);

CREATE TABLE audit (
    org_id      integer NOT NULL,
    id          bigint GENERATED ALWAYS AS IDENTITY,
    at          timestamptz NOT NULL,
    actor_id    bigint,
    actor_name  text NOT NULL,
    actor_role  text NOT NULL,
    session_uid text NOT NULL DEFAULT '',
    action      text NOT NULL,
    patient_id  bigint,
    object      text NOT NULL DEFAULT '',
    detail      text NOT NULL DEFAULT '',
    PRIMARY KEY (org_id, id)
);
CREATE INDEX audit_of_patient ON audit (org_id, patient_id, at) WHERE patient_id IS NOT NULL;

-- +goose StatementBegin
CREATE FUNCTION refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION '% is append-only', TG_TABLE_NAME USING ERRCODE = 'insufficient_privilege';
END
$$;
-- +goose StatementEnd
CREATE TRIGGER audit_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON audit FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
CREATE TRIGGER timeline_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON timeline FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
CREATE TRIGGER rule_version_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON rule_version FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();

-- Makes the month's partition of reading when it is missing: built apart, then attached, so that readers and the
-- batches of other months go on. No role is granted anything on a partition: it would pass by the parent's policy.
-- +goose StatementBegin
CREATE FUNCTION make_reading_partition(month date) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
    first date := date_trunc('month', month)::date;
    name  text := 'reading_' || to_char(first, 'YYYYMM');
BEGIN
    IF first < DATE '2014-12-01' OR first > DATE '2200-01-01' THEN
        RAISE EXCEPTION 'no partition for %', month;
    END IF;
    PERFORM pg_advisory_xact_lock(hashtext('make_reading_partition'));
    IF to_regclass(name) IS NOT NULL THEN
        RETURN;
    END IF;
    EXECUTE format('CREATE TABLE %I (LIKE reading INCLUDING ALL)', name);
    EXECUTE format('ALTER TABLE %I ENABLE ROW LEVEL SECURITY', name);
    EXECUTE format('ALTER TABLE %I FORCE ROW LEVEL SECURITY', name);
    EXECUTE format('ALTER TABLE reading ATTACH PARTITION %I FOR VALUES FROM (%L) TO (%L)', name,
                   first::timestamp AT TIME ZONE 'UTC', (first + interval '1 month') AT TIME ZONE 'UTC');
END
$$;
-- +goose StatementEnd
REVOKE ALL ON FUNCTION make_reading_partition(date) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION make_reading_partition(date) TO hale_work;

-- Row level security: hale_app sees and writes its own organisation only; nobody but BYPASSRLS passes.
-- +goose StatementBegin
DO $$
DECLARE t text;
BEGIN
    FOREACH t IN ARRAY ARRAY['staff', 'session', 'patient', 'device', 'sensor', 'gateway_grant', 'assignment', 'situation_change',
        'reading', 'inbox', 'quarantine', 'rule', 'rule_version', 'condition_interval', 'episode', 'timeline', 'outbox', 'audit'] LOOP
        EXECUTE format('ALTER TABLE %I ENABLE ROW LEVEL SECURITY', t);
        EXECUTE format('ALTER TABLE %I FORCE ROW LEVEL SECURITY', t);
        EXECUTE format('CREATE POLICY own_organisation ON %I TO hale_app
            USING (org_id = nullif(current_setting(''app.org'', true), '''')::int)
            WITH CHECK (org_id = nullif(current_setting(''app.org'', true), '''')::int)', t);
    END LOOP;
END
$$;
-- +goose StatementEnd
ALTER TABLE org ENABLE ROW LEVEL SECURITY;
ALTER TABLE org FORCE ROW LEVEL SECURITY;
CREATE POLICY own_organisation ON org TO hale_app USING (id = nullif(current_setting('app.org', true), '')::int);

GRANT SELECT ON org, staff, patient, device, sensor, gateway_grant, assignment, reading, inbox, quarantine, rule, rule_version,
    condition_interval, episode, timeline, audit, registry_version TO hale_app;
GRANT INSERT ON session, patient, device, sensor, gateway_grant, assignment, situation_change, rule, rule_version, timeline, outbox, audit TO hale_app;
GRANT UPDATE ON device, episode TO hale_app;
GRANT SELECT, UPDATE ON session TO hale_app;
-- FOR SHARE wants one updatable column; the fence is not among them.
GRANT SELECT, UPDATE (shared) ON stream_cursor TO hale_app;
GRANT UPDATE (version) ON registry_version TO hale_app;
-- A sensor row is locked while an assignment of it is decided.
GRANT UPDATE (uid) ON sensor TO hale_app;

GRANT SELECT ON org, patient, device, sensor, gateway_grant, assignment, reading, inbox, quarantine, rule, rule_version,
    condition_interval, episode, timeline, registry_version, situation_change, stream_cursor TO hale_work;
GRANT INSERT ON reading, inbox, quarantine, condition_interval, episode, timeline, outbox, audit, situation_change TO hale_work;
GRANT UPDATE ON stream_cursor, episode, quarantine TO hale_work;
GRANT DELETE ON situation_change, condition_interval TO hale_work;

-- One notice per dedup key: ON CONFLICT has to see the key.
GRANT SELECT (org_id, topic, dedup) ON outbox TO hale_app, hale_work;

-- Signing in happens before the organisation is known: two look-ups by an unguessable or unique key pass the policy.
RESET ROLE;
-- A process looks at the version of the tables before it touches them.
GRANT SELECT ON goose_db_version TO hale_app, hale_work;
GRANT SELECT, UPDATE ON staff, session TO hale_migrate;
GRANT SELECT ON org TO hale_migrate;
-- +goose StatementBegin
CREATE FUNCTION find_login(given_login text)
RETURNS TABLE (org_id integer, id bigint, uid uuid, name text, role text, password_hash text)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = public, pg_temp AS $$
    SELECT s.org_id, s.id, s.uid, s.name, s.role, s.password_hash FROM staff s WHERE s.login = given_login AND s.disabled_at IS NULL
$$;
-- +goose StatementEnd
-- +goose StatementBegin
CREATE FUNCTION find_session(given_hash bytea, at timestamptz)
RETURNS TABLE (org_id integer, uid uuid, staff_id bigint, staff_uid uuid, name text, role text, csrf text,
               created_at timestamptz, seen_at timestamptz, expires_at timestamptz)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = public, pg_temp AS $$
    SELECT e.org_id, e.uid, e.staff_id, s.uid, s.name, s.role, e.csrf, e.created_at, e.seen_at, e.expires_at
    FROM session e JOIN staff s ON s.org_id = e.org_id AND s.id = e.staff_id
    WHERE e.token_hash = given_hash AND e.ended_at IS NULL AND e.expires_at > at AND s.disabled_at IS NULL
$$;
-- +goose StatementEnd
REVOKE ALL ON FUNCTION find_login(text), find_session(bytea, timestamptz) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION find_login(text), find_session(bytea, timestamptz) TO hale_app;
