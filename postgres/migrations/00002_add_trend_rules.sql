-- Why: trend rules stand beside limits. A patient may have several of one metric, one of each form; what a trend saw is
-- kept with the alert it raised, so that it can be explained whatever arrives later. Rules that exist are limits.
-- +goose Up
SET LOCAL ROLE hale_owner;

ALTER TABLE rule DROP CONSTRAINT rule_kind_check;
ALTER TABLE rule ADD COLUMN form text NOT NULL DEFAULT '';
ALTER TABLE rule ADD CONSTRAINT rule_kind_check CHECK (kind IN ('limit', 'trend'));
ALTER TABLE rule ADD CONSTRAINT rule_form_check CHECK (
    kind = 'limit' AND form = '' OR kind = 'trend' AND form IN ('change', 'reference', 'moving_average', 'average'));
ALTER TABLE rule DROP CONSTRAINT rule_patient_id_kind_metric_key;
ALTER TABLE rule ADD CONSTRAINT rule_one_of_a_form UNIQUE (patient_id, kind, metric, form);

-- The numbers by which a trend decided; null for a limit, whose reading says it all.
ALTER TABLE episode ADD COLUMN last_grounds jsonb;
ALTER TABLE timeline ADD COLUMN grounds jsonb;

RESET ROLE;
