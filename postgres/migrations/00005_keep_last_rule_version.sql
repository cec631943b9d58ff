-- Why: an alert is explained by the version of its rule that judged its last reading; that need not be the one that opened it.
-- +goose Up
SET LOCAL ROLE hale_owner;

ALTER TABLE episode ADD COLUMN last_version integer; -- null: rule_version

RESET ROLE; -- the owner is held to an organisation and sees no row
UPDATE episode e SET last_version = t.rule_version FROM (
    SELECT DISTINCT ON (org_id, episode_id, reading_at, reading_id) org_id, episode_id, reading_at, reading_id, rule_version FROM timeline
    WHERE kind IN ('opened', 'occurred', 'worsened') AND reading_at IS NOT NULL ORDER BY org_id, episode_id, reading_at, reading_id, id) t
WHERE t.org_id = e.org_id AND t.episode_id = e.id AND t.reading_at = e.last_at AND t.reading_id = e.last_id AND t.rule_version <> e.rule_version;
