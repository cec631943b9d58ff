-- Why: a trend rule may compare a reading with what is usual for the person, the form baseline.
-- +goose Up
SET LOCAL ROLE hale_owner;

ALTER TABLE rule DROP CONSTRAINT rule_form_check;
ALTER TABLE rule ADD CONSTRAINT rule_form_check CHECK (
    kind = 'limit' AND form = '' OR kind = 'trend' AND form IN ('change', 'reference', 'moving_average', 'average', 'baseline'));

RESET ROLE;
