-- Why: a notice that nobody hands over reaches nobody. An organisation names addresses of programs of its own (channels), and each
-- notice becomes one delivery for each channel that wants it: a row, so that neither a restart nor a killed process loses or doubles
-- one. The deadline of the next try is a column, claimed by lease.
-- +goose Up
SET LOCAL ROLE hale_owner;

CREATE TABLE channel (
    org_id       integer NOT NULL,
    id           bigint GENERATED ALWAYS AS IDENTITY UNIQUE,
    uid          uuid NOT NULL UNIQUE,
    name         text NOT NULL CHECK (name <> ''),
    url          text NOT NULL CHECK (url <> ''),
    topics       text[] NOT NULL,                    -- or groups of them, "alert.*"; empty: all
    severities   text[] NOT NULL,                    -- empty: all
    audiences    text[] NOT NULL CHECK (cardinality(audiences) > 0),
    secret       bytea NOT NULL,                     -- sealed under the key of the installation, and bound to the uid
    old_secret   bytea,                              -- the one before, while it signs too
    old_until    timestamptz,
    created_at   timestamptz NOT NULL,
    created_by   bigint,
    created_name text NOT NULL,
    held_until   timestamptz,                        -- the receiver asked to be left alone until then
    disabled_at  timestamptz,
    disabled_why text NOT NULL DEFAULT '' CHECK (disabled_why IN ('', 'person', 'gone')),
    PRIMARY KEY (org_id, id),
    CHECK ((disabled_at IS NULL) = (disabled_why = '')),
    CHECK ((old_secret IS NULL) = (old_until IS NULL)),
    FOREIGN KEY (org_id) REFERENCES org (id),
    FOREIGN KEY (org_id, created_by) REFERENCES staff (org_id, id)
);
CREATE UNIQUE INDEX channel_name ON channel (org_id, lower(name)) WHERE disabled_at IS NULL;

-- Nobody who manages channels reads a secret, also not to keep it as the one before.
-- +goose StatementBegin
CREATE FUNCTION keep_old_secret() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    NEW.old_secret := OLD.secret;
    RETURN NEW;
END
$$;
-- +goose StatementEnd
CREATE TRIGGER channel_keeps_old_secret BEFORE UPDATE OF secret ON channel FOR EACH ROW EXECUTE FUNCTION keep_old_secret();

CREATE TABLE delivery (
    org_id         integer NOT NULL,
    id             bigint GENERATED ALWAYS AS IDENTITY UNIQUE,
    uid            uuid NOT NULL UNIQUE,                          -- what the receiver knows it by, at every try
    outbox_id      bigint NOT NULL,
    channel_id     bigint NOT NULL,
    urgency        smallint NOT NULL,                             -- 0 is the most urgent
    created_at     timestamptz NOT NULL,
    state          text NOT NULL DEFAULT 'waiting' CHECK (state IN ('waiting', 'delivered', 'given_up', 'cancelled')),
    next_action_at timestamptz NOT NULL,                          -- of the next try; while one is under way, the end of its lease
    tries          integer NOT NULL DEFAULT 0,                    -- begun
    refusals       integer NOT NULL DEFAULT 0,
    reason         text NOT NULL DEFAULT '',                      -- push.Reason
    status         smallint NOT NULL DEFAULT 0,                   -- of HTTP, of the last try
    settled_at     timestamptz,
    PRIMARY KEY (org_id, id),
    UNIQUE (org_id, outbox_id, channel_id),
    CHECK ((state = 'waiting') = (settled_at IS NULL)),
    FOREIGN KEY (org_id, outbox_id) REFERENCES outbox (org_id, id) ON DELETE CASCADE, -- it is nothing without its notice
    FOREIGN KEY (org_id, channel_id) REFERENCES channel (org_id, id)
);
CREATE INDEX delivery_due ON delivery (org_id, channel_id, urgency, next_action_at) WHERE state = 'waiting';
CREATE INDEX delivery_of_channel ON delivery (org_id, channel_id, id DESC);
CREATE INDEX delivery_settled ON delivery (settled_at) WHERE state <> 'waiting';
CREATE INDEX delivery_given_up ON delivery (org_id, channel_id, settled_at) WHERE state = 'given_up';
CREATE INDEX delivery_delivered ON delivery (org_id, channel_id, settled_at) WHERE state = 'delivered';

-- That the deliveries of a notice were made.
ALTER TABLE outbox ADD COLUMN planned_at timestamptz;
CREATE INDEX outbox_unplanned ON outbox (id) WHERE planned_at IS NULL;

-- What people wrote is in no statistics of columns.
ALTER TABLE channel ALTER COLUMN name SET STATISTICS 0, ALTER COLUMN url SET STATISTICS 0, ALTER COLUMN created_name SET STATISTICS 0;

SELECT isolate('channel'), isolate('delivery');
SELECT keep_to_views(t, '{SELECT,INSERT,UPDATE,DELETE}', '{}') FROM unnest(ARRAY['channel', 'delivery']::regclass[]) t;
GRANT SELECT (org_id, id, uid, name, url, topics, severities, audiences, old_until, created_at, created_by, created_name, held_until, disabled_at, disabled_why), INSERT,
    UPDATE (secret, old_until, disabled_at, disabled_why) ON channel TO hale_app;
GRANT SELECT, INSERT ON delivery TO hale_app;
GRANT SELECT, UPDATE (held_until, disabled_at, disabled_why) ON channel TO hale_work;
GRANT SELECT, INSERT, UPDATE (state, next_action_at, tries, refusals, reason, status, settled_at) ON delivery TO hale_work;
GRANT SELECT (severity, created_at, planned_at), UPDATE (planned_at, sent_at) ON outbox TO hale_work;
GRANT DELETE ON delivery, outbox TO hale_work; -- what became of old ones, and tests of channels
RESET ROLE;
-- What was owed before there were channels is for none of them.
UPDATE outbox SET planned_at = created_at;
