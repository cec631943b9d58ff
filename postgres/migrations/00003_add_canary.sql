-- Why: a canary is a synthetic patient of one edge in one partition. It belongs to no organisation, and only its newest
-- beat is kept, so that it can stand in no list, chart, count or export. An edge that starts enters a row of number 0, and
-- one that stops in order says so in ended_at: any other row that grows old is of an edge that has died, or whose beats do
-- not arrive.
-- +goose Up
SET LOCAL ROLE hale_owner;

CREATE TABLE canary (
    partition    smallint NOT NULL,
    edge         text NOT NULL CHECK (edge <> ''),
    number       bigint NOT NULL,
    sent_at      timestamptz NOT NULL,
    committed_at timestamptz NOT NULL,
    level        smallint NOT NULL CHECK (level BETWEEN 0 AND 3),
    evaluator    smallint NOT NULL,
    wrong        bigint NOT NULL DEFAULT 0,
    wrong_at     timestamptz,
    ended_at     timestamptz,
    PRIMARY KEY (partition, edge)
);

GRANT SELECT, INSERT, UPDATE, DELETE ON canary TO hale_work;

RESET ROLE;
