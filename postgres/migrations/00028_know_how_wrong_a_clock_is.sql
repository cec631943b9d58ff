-- Why: a device without a good clock still measures at some time. By how much its clock is wrong is known when it says what its clock
-- shows; every edge must know it, also after a restart, and readings that lay in a memory since before the clock was set as well.
-- +goose Up
SET LOCAL ROLE hale_owner;

-- A time over which a clock was found to be wrong by the same. The newest sixteen of each clock are kept.
CREATE TABLE sensor_clock (
    org_id      integer NOT NULL,
    sensor_id   bigint NOT NULL,      -- whose clock it is; of a device, its own sensor
    local       boolean NOT NULL,     -- it tells no zone: its digits are taken as if they were UTC, and the offset has the zone in it
    from_at     timestamptz NOT NULL, -- the first look that found it so, by our clock
    last_at     timestamptz NOT NULL CHECK (last_at >= from_at), -- the newest
    offset_us   bigint NOT NULL,      -- microseconds to be added to what it shows
    unsure_us   bigint NOT NULL CHECK (unsure_us >= 0), -- either way, microseconds
    method      smallint NOT NULL,
    device_id   bigint NOT NULL,      -- who told it
    told_us     bigint NOT NULL,      -- the offset that edges were told last, by then
    told_at     timestamptz,          -- when; null: they were told nothing
    PRIMARY KEY (org_id, sensor_id, local, from_at),
    FOREIGN KEY (org_id, sensor_id) REFERENCES sensor (org_id, id),
    FOREIGN KEY (org_id, device_id) REFERENCES device (org_id, id)
);
SELECT isolate('sensor_clock');
SELECT keep_to_views('sensor_clock', '{SELECT}', '{staff}');
SELECT keep_to_views('sensor_clock', '{INSERT,UPDATE,DELETE}', '{}');
GRANT SELECT ON sensor_clock TO hale_app;
GRANT SELECT, INSERT, DELETE, UPDATE (last_at, told_us, told_at) ON sensor_clock TO hale_work;

-- Of what was refused for its time: whose clock it was. A gateway speaks for several.
ALTER TABLE quarantine ADD COLUMN sensor_id bigint;
ALTER TABLE quarantine ADD FOREIGN KEY (org_id, sensor_id) REFERENCES sensor (org_id, id);
ALTER TABLE quarantine ADD COLUMN metrics smallint[] NOT NULL DEFAULT '{}'; -- what was measured then: something came of it, though nobody knows when it was
CREATE INDEX quarantine_of_clock ON quarantine (sensor_id, last_received_at) WHERE reason = 'clock';

-- How well the times of its readings are known, where that is more than a few minutes (vital.Vague): whoever is shown them must not take
-- them for known. Null of nearly all. Of an episode {first, since, last, worst}.
ALTER TABLE episode ADD COLUMN vague jsonb CHECK (jsonb_typeof(vague) = 'object');
ALTER TABLE timeline ADD COLUMN vague jsonb CHECK (jsonb_typeof(vague) = 'object');

RESET ROLE;
