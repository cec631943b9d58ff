-- Why: an edge that is killed tells nobody that its devices left. Each life of an edge renews a row: when that is old, its
-- connections have ended with the last renewal. It is one write of an edge every few seconds, and none of a device. An edge belongs
-- to no organisation.
-- +goose Up
SET LOCAL ROLE hale_owner;

CREATE TABLE edge_lease (
    edge      text PRIMARY KEY CHECK (edge <> ''), -- one life of one device edge: the same name never comes again
    began_at  timestamptz NOT NULL,
    seen_at   timestamptz NOT NULL CHECK (seen_at >= began_at), -- renewed last
    missed_at timestamptz,                         -- when the lease was first found to be old, null since it was renewed
    ended_at  timestamptz                          -- it stopped in order
);

GRANT SELECT, INSERT, UPDATE, DELETE ON edge_lease TO hale_work;

RESET ROLE;
