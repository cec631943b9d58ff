-- Why: an alert says its worst reading beside its last one, how long its trouble has lasted (late readings come in any order)
-- and which reading contact was asked for. The worst of the alerts that exist is not known: their log does not say which of
-- two readings of a level lies further beyond the limits.
-- +goose Up
SET LOCAL ROLE hale_owner;

ALTER TABLE episode ADD COLUMN since_at timestamptz;    -- the earliest reading that counts; null: first_at
ALTER TABLE episode ADD COLUMN worst_at timestamptz;
ALTER TABLE episode ADD COLUMN worst_id bigint;
ALTER TABLE episode ADD COLUMN worst_level smallint NOT NULL DEFAULT 0 CHECK (worst_level BETWEEN 0 AND 3);
ALTER TABLE episode ADD COLUMN worst_values float8[];
ALTER TABLE episode ADD COLUMN worst_grounds jsonb;
ALTER TABLE episode ADD COLUMN contact_at timestamptz;  -- the reading that contact was last asked for
ALTER TABLE episode ADD COLUMN contact_id bigint;
ALTER TABLE episode ADD CONSTRAINT episode_worst_check CHECK ((worst_at IS NULL) = (worst_id IS NULL));
ALTER TABLE episode ADD CONSTRAINT episode_contact_check CHECK ((contact_at IS NULL) = (contact_id IS NULL));
ALTER TABLE timeline ADD COLUMN worst boolean NOT NULL DEFAULT false;

RESET ROLE; -- the owner is held to an organisation and sees no row
UPDATE episode e SET since_at = t.at FROM (
    SELECT org_id, episode_id, min(reading_at) AS at FROM timeline WHERE kind IN ('opened', 'occurred', 'worsened') GROUP BY org_id, episode_id) t
WHERE t.org_id = e.org_id AND t.episode_id = e.id AND t.at < e.first_at;
UPDATE episode e SET contact_at = t.reading_at, contact_id = t.reading_id FROM (
    SELECT DISTINCT ON (org_id, episode_id) org_id, episode_id, reading_at, reading_id FROM timeline
    WHERE contact AND reading_at IS NOT NULL ORDER BY org_id, episode_id, id DESC) t
WHERE e.contact AND t.org_id = e.org_id AND t.episode_id = e.id;
