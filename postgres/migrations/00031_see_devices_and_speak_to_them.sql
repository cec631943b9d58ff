-- Why: whether a device is there is judged by what is expected of it, a broken gateway is one incident and not one alarm for each of
-- its patients, and what Hale asks of a device must be a row, since the device may be away.
-- +goose Up
SET LOCAL ROLE hale_owner;

-- What was heard of a device last, and of each sensor. Written at status messages, and at most once a minute for readings: never
-- for each of them. Devices are locked before sensors, and both in the order of their keys.
CREATE TABLE device_presence (
    org_id       integer NOT NULL,
    device_id    bigint NOT NULL,
    heard_at     timestamptz NOT NULL,           -- anything, by our clock
    connection   bigint NOT NULL DEFAULT 0,      -- the newest connection that told anything: what an older one tells is ignored
    edge         text,                           -- where that connection is: one life of one edge
    connected_at timestamptz,
    left_at      timestamptz,                    -- null while it is connected, or was never
    vanished     boolean NOT NULL DEFAULT false, -- its last will was told: it left without a goodbye
    status_at    timestamptz,
    status       bytea,                          -- the newest as sent, its first 4 KiB
    PRIMARY KEY (org_id, device_id),
    FOREIGN KEY (org_id, device_id) REFERENCES device (org_id, id)
);
CREATE TABLE sensor_presence (
    org_id         integer NOT NULL,
    sensor_id      bigint NOT NULL,
    device_id      bigint NOT NULL,              -- who spoke of it last: the device itself, or a gateway
    heard_at       timestamptz NOT NULL,
    reading_at     timestamptz,                  -- the newest arrival of a reading, but for a minute
    timed_at       timestamptz,                  -- of one with a time that can be right
    connection     bigint NOT NULL DEFAULT 0,
    status_at      timestamptz,
    battery        smallint CHECK (battery BETWEEN 0 AND 100), -- percent
    battery_low_at timestamptz,                  -- since when it is low
    signal         smallint CHECK (signal < 0),  -- dBm
    signal_poor_at timestamptz,
    firmware       text,
    firmware_at    timestamptz,                  -- since when
    PRIMARY KEY (org_id, sensor_id),
    FOREIGN KEY (org_id, sensor_id) REFERENCES sensor (org_id, id),
    FOREIGN KEY (org_id, device_id) REFERENCES device (org_id, id)
);

-- An outage: one row, however many measurements it explains.
CREATE TABLE incident (
    org_id    integer NOT NULL,
    id        bigint GENERATED ALWAYS AS IDENTITY UNIQUE,
    uid       uuid NOT NULL UNIQUE,
    kind      text NOT NULL CHECK (kind IN ('device', 'gateway', 'platform')),
    device_id bigint,                                -- null of the platform
    why       text NOT NULL CHECK (why IN ('silent', 'many_silent', 'edge_missed', 'stream_behind')),
    from_at   timestamptz NOT NULL,                  -- since when nothing was heard
    opened_at timestamptz NOT NULL,
    seen_at   timestamptz NOT NULL,                  -- that it lasts was seen last
    to_at     timestamptz,
    explains  integer NOT NULL CHECK (explains >= 0), -- patients whose measurements it held back, at most at once
    PRIMARY KEY (org_id, id),
    CHECK ((kind = 'platform') = (device_id IS NULL)),
    FOREIGN KEY (org_id) REFERENCES org (id),
    FOREIGN KEY (org_id, device_id) REFERENCES device (org_id, id)
);
CREATE UNIQUE INDEX incident_open ON incident (org_id, device_id) WHERE to_at IS NULL AND device_id IS NOT NULL;
CREATE UNIQUE INDEX incident_of_platform ON incident (org_id) WHERE to_at IS NULL AND kind = 'platform';
CREATE INDEX incident_newest ON incident (org_id, from_at DESC);

-- Slots that passed with nothing, as the last look at presence found them: what makes a device silent. The looker replaces them.
-- Whatever tells people of what is missing reads them from here.
CREATE TABLE device_silence (
    org_id    integer NOT NULL,
    sensor_id bigint NOT NULL,
    metric    smallint NOT NULL,
    from_at   timestamptz NOT NULL,                  -- when the first of the slots opened that passed since something came
    slots     integer NOT NULL CHECK (slots > 0),
    explained boolean NOT NULL,                      -- by an incident that is open and began before the first of them closed: nobody is told of it. What lay in one that is over is not here
    PRIMARY KEY (org_id, sensor_id, metric),
    FOREIGN KEY (org_id, sensor_id) REFERENCES sensor (org_id, id)
);

-- What a person said of a problem. It holds for that problem as it began then: one that comes again is new.
CREATE TABLE device_problem_mark (
    org_id    integer NOT NULL,
    device_id bigint NOT NULL,
    sensor_id bigint NOT NULL,
    kind      text NOT NULL,
    since_at  timestamptz NOT NULL,
    state     text NOT NULL CHECK (state IN ('seen', 'snoozed')),
    until_at  timestamptz,
    note      text NOT NULL DEFAULT '',
    by_name   text NOT NULL,
    at        timestamptz NOT NULL,
    PRIMARY KEY (org_id, device_id, sensor_id, kind),
    CHECK ((state = 'snoozed') = (until_at IS NOT NULL)),
    FOREIGN KEY (org_id, device_id) REFERENCES device (org_id, id),
    FOREIGN KEY (org_id, sensor_id) REFERENCES sensor (org_id, id)
);

-- What Hale asks of a device. Undelivered ones are rows, sent when the device listens.
CREATE TABLE device_command (
    org_id     integer NOT NULL,
    id         bigint GENERATED ALWAYS AS IDENTITY UNIQUE,
    uid        uuid NOT NULL UNIQUE,
    device_id  bigint NOT NULL,
    sensor_id  bigint NOT NULL,                      -- the device's own when it is for the device
    kind       text NOT NULL CHECK (kind IN ('measure_now', 'set_interval', 'sync_clock', 'text')),
    payload    jsonb NOT NULL CHECK (jsonb_typeof(payload) = 'object'),
    urgent     boolean NOT NULL,                     -- quiet hours do not hold it back
    created_at timestamptz NOT NULL,
    not_after  timestamptz NOT NULL CHECK (not_after > created_at),
    author_id  bigint,
    author_name text NOT NULL,
    state      text NOT NULL DEFAULT 'queued' CHECK (state IN ('queued', 'sent', 'done', 'failed', 'expired', 'withdrawn', 'cancelled')),
    sent_at    timestamptz,                          -- last
    times      integer NOT NULL DEFAULT 0,           -- sent
    settled_at timestamptz,
    detail     text NOT NULL DEFAULT '',             -- in the device's words, or why it was cancelled
    PRIMARY KEY (org_id, id),
    CHECK ((state IN ('queued', 'sent')) = (settled_at IS NULL)),
    CHECK ((sent_at IS NULL) = (times = 0)),
    FOREIGN KEY (org_id, device_id) REFERENCES device (org_id, id),
    FOREIGN KEY (org_id, sensor_id) REFERENCES sensor (org_id, id),
    FOREIGN KEY (org_id, author_id) REFERENCES staff (org_id, id)
);
CREATE INDEX device_command_open ON device_command (not_after) WHERE settled_at IS NULL;
CREATE INDEX device_command_of_device ON device_command (org_id, device_id, id DESC);

-- What people wrote and what was measured is in no statistics of columns.
ALTER TABLE device_problem_mark ALTER COLUMN note SET STATISTICS 0, ALTER COLUMN by_name SET STATISTICS 0;
ALTER TABLE device_command ALTER COLUMN payload SET STATISTICS 0, ALTER COLUMN author_name SET STATISTICS 0, ALTER COLUMN detail SET STATISTICS 0;

SELECT isolate(t) FROM unnest(ARRAY['device_presence', 'sensor_presence', 'incident', 'device_silence', 'device_problem_mark', 'device_command']::regclass[]) t;
SELECT keep_to_views(t, '{SELECT}', '{staff}') FROM unnest(ARRAY['device_presence', 'sensor_presence', 'incident', 'device_silence']::regclass[]) t;
SELECT keep_to_views(t, '{SELECT}', '{}') FROM unnest(ARRAY['device_problem_mark', 'device_command']::regclass[]) t;
SELECT keep_to_views(t, '{INSERT,UPDATE,DELETE}', '{}')
    FROM unnest(ARRAY['device_presence', 'sensor_presence', 'incident', 'device_silence', 'device_problem_mark', 'device_command']::regclass[]) t;
GRANT SELECT ON device_presence, sensor_presence, incident, device_silence, device_problem_mark, device_command TO hale_app;
GRANT INSERT, UPDATE (since_at, state, until_at, note, by_name, at), DELETE ON device_problem_mark TO hale_app;
GRANT INSERT, UPDATE (state, settled_at, detail) ON device_command TO hale_app;
GRANT SELECT, INSERT, UPDATE ON device_presence, sensor_presence, incident TO hale_work;
GRANT SELECT, INSERT, DELETE ON device_silence TO hale_work;
GRANT SELECT, UPDATE (state, sent_at, times, settled_at, detail) ON device_command TO hale_work;
RESET ROLE;

-- What was asked of a device while one person had it never reaches the next: whoever gives or takes a sensor cancels what is open of it
-- and of the devices that speak for it, in the same transaction. A span that was over when something was asked changes nothing of it.
-- +goose StatementBegin
CREATE FUNCTION cancel_commands() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
    until timestamptz := coalesce(NEW.to_at, 'infinity');
BEGIN
    IF TG_OP = 'UPDATE' THEN
        IF (OLD.patient_id, OLD.sensor_id, OLD.from_at, OLD.to_at) IS NOT DISTINCT FROM (NEW.patient_id, NEW.sensor_id, NEW.from_at, NEW.to_at) THEN
            RETURN NULL;
        END IF;
        until := greatest(until, coalesce(OLD.to_at, 'infinity'));
    END IF;
    WITH concerned AS (
        SELECT c.id FROM device_command c JOIN sensor s ON s.org_id = c.org_id AND s.id = c.sensor_id JOIN sensor w ON w.org_id = c.org_id AND w.id = NEW.sensor_id
        WHERE c.org_id = NEW.org_id AND c.settled_at IS NULL AND c.created_at < until AND NEW.from_at <= clock_timestamp()
          AND (c.sensor_id IN (w.id, w.parent_id) OR s.device_id IS NOT NULL AND EXISTS (
              SELECT FROM gateway_grant g WHERE g.org_id = c.org_id AND g.device_id = c.device_id AND g.sensor_id IN (w.id, w.parent_id) AND g.ended_at IS NULL))
        ORDER BY c.id FOR NO KEY UPDATE OF c),
    cancelled AS (
        UPDATE device_command c SET state = 'cancelled', settled_at = clock_timestamp(), detail = 'it changed hands' FROM concerned x
        WHERE c.org_id = NEW.org_id AND c.id = x.id RETURNING c.org_id, c.uid, c.kind)
    INSERT INTO audit (org_id, at, actor_name, actor_role, action, object, detail)
    SELECT c.org_id, clock_timestamp(), 'Hale', '', 'command cancelled', 'command ' || c.uid, c.kind || ': it changed hands' FROM cancelled c;
    RETURN NULL;
END
$$;
-- +goose StatementEnd
REVOKE ALL ON FUNCTION cancel_commands() FROM PUBLIC;
GRANT EXECUTE ON FUNCTION cancel_commands() TO hale_owner;
SET LOCAL ROLE hale_owner;
CREATE TRIGGER assignment_cancels_commands AFTER INSERT OR UPDATE OF patient_id, sensor_id, from_at, to_at ON assignment FOR EACH ROW EXECUTE FUNCTION cancel_commands();
RESET ROLE;
