-- Why: measurements come in formats of the world that say more than a number: beside which facts, by which clock, what it is worth. It
-- is kept beside the few readings that have it; and the bytes as sent are kept for a while, so that a decoder's mistake can be mended.
-- +goose Up
SET LOCAL ROLE hale_owner;

-- Of a reading, stored or parked, with the same key. It is whoever's the reading is, and goes with it.
CREATE TABLE reading_more (
    org_id          integer NOT NULL,
    sensor_id       bigint NOT NULL,
    metric          smallint NOT NULL,
    sent_at         timestamptz NOT NULL,
    tie             bigint NOT NULL,
    clock_offset_us bigint NOT NULL DEFAULT 0,      -- added to the time as sent
    clock_method    smallint NOT NULL DEFAULT 0,    -- vital.ClockMethod
    uncertainty_us  bigint NOT NULL DEFAULT 0,      -- either way
    standing        smallint NOT NULL DEFAULT 0 CHECK (standing BETWEEN 0 AND 3),
    name            bigint NOT NULL DEFAULT 0,      -- hash of the sender's own name for it; 0: none
    facts           jsonb NOT NULL DEFAULT '[]' CHECK (jsonb_typeof(facts) = 'array'), -- [{name, value}]
    PRIMARY KEY (org_id, sensor_id, metric, sent_at, tie),
    FOREIGN KEY (org_id, sensor_id) REFERENCES sensor (org_id, id)
);
CREATE INDEX reading_more_of_name ON reading_more (org_id, sensor_id, name) WHERE name <> 0;

-- What a device says beside a measurement of a sequence number, while that has not come: a meter sends the two apart.
CREATE TABLE reading_note (
    org_id      integer NOT NULL,
    sensor_id   bigint NOT NULL,
    metric      smallint NOT NULL,
    tie         bigint NOT NULL,
    received_at timestamptz NOT NULL,
    facts       jsonb NOT NULL CHECK (jsonb_typeof(facts) = 'array'),
    PRIMARY KEY (org_id, sensor_id, metric, tie),
    FOREIGN KEY (org_id, sensor_id) REFERENCES sensor (org_id, id)
);
CREATE INDEX reading_note_oldest ON reading_note (received_at);

-- Messages as they were sent, once per content and device.
CREATE TABLE original (
    org_id           integer NOT NULL,
    device_id        bigint NOT NULL,
    hash             bytea NOT NULL CHECK (length(hash) = 32),
    topic            text NOT NULL,
    raw              bytea NOT NULL,
    received_at      timestamptz NOT NULL,
    last_received_at timestamptz NOT NULL,
    PRIMARY KEY (org_id, device_id, hash),
    FOREIGN KEY (org_id, device_id) REFERENCES device (org_id, id)
);
CREATE INDEX original_oldest ON original (last_received_at);
-- As in quarantine: what people sent is in no statistics of columns.
ALTER TABLE original ALTER COLUMN raw SET STATISTICS 0, ALTER COLUMN topic SET STATISTICS 0;
ALTER TABLE reading_more ALTER COLUMN facts SET STATISTICS 0;
ALTER TABLE reading_note ALTER COLUMN facts SET STATISTICS 0;

SELECT isolate(t) FROM unnest(ARRAY['reading_more', 'reading_note', 'original']::regclass[]) t;
SELECT keep_to_patients('reading_more', 'EXISTS (SELECT FROM reading r WHERE r.sensor_id = reading_more.sensor_id AND r.metric = reading_more.metric AND r.sent_at = reading_more.sent_at AND r.tie = reading_more.tie)');
SELECT keep_to_patients('reading_note', 'false'), keep_to_patients('original', 'false');
GRANT SELECT ON reading_more, original TO hale_app;
GRANT SELECT, INSERT ON reading_more TO hale_work;
GRANT UPDATE (facts) ON reading_more TO hale_work;
GRANT SELECT, INSERT, DELETE, UPDATE (received_at, facts) ON reading_note TO hale_work;
GRANT SELECT, INSERT, DELETE ON original TO hale_work;
GRANT UPDATE (last_received_at) ON original TO hale_work;
RESET ROLE;

-- +goose StatementBegin
-- The bytes of a device whose wearer was erased, and that is nobody's since, are not kept. The topic names the sensor.
CREATE FUNCTION drop_erased_original() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
BEGIN
    IF EXISTS (SELECT FROM sensor p JOIN sensor n ON n.org_id = p.org_id AND coalesce(n.parent_id, n.id) = p.id JOIN erased_span s ON s.sensor_id = n.id
        WHERE p.org_id = NEW.org_id AND s.from_at <= NEW.received_at AND (s.to_at IS NULL OR s.to_at > NEW.received_at)
          AND (p.device_id = NEW.device_id AND strpos(NEW.topic, '/sensors/') = 0 OR strpos(NEW.topic, '/sensors/' || p.uid || '/') > 0)
          AND NOT EXISTS (SELECT FROM assignment a WHERE a.sensor_id = s.sensor_id AND a.from_at <= NEW.received_at AND (a.to_at IS NULL OR a.to_at > NEW.received_at)
              AND NOT being_erased(a.org_id, a.patient_id))) THEN
        RETURN NULL;
    END IF;
    RETURN NEW;
END
$$;
-- +goose StatementEnd
REVOKE ALL ON FUNCTION drop_erased_original() FROM PUBLIC;
GRANT EXECUTE ON FUNCTION drop_erased_original() TO hale_owner;
SET LOCAL ROLE hale_owner;
CREATE TRIGGER original_not_of_the_erased BEFORE INSERT ON original FOR EACH ROW EXECUTE FUNCTION drop_erased_original();
RESET ROLE;
