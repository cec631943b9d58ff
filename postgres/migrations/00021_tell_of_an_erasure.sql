-- Why: an erasure ends care, so whoever confirms it says how the patient was told that nobody watches any more; and a browser
-- that was signed in as the patient reads afterwards that the record was erased, and not that it should sign in.
-- +goose Up
SET LOCAL ROLE hale_owner;

ALTER TABLE erasure ADD COLUMN told text NOT NULL DEFAULT '';
ALTER TABLE erasure ALTER COLUMN told SET STATISTICS 0;
GRANT UPDATE (told) ON erasure TO hale_app;

-- What a browser of somebody who was erased is told: the hash of a token that only this browser has, and of nobody's name.
-- asked is who asked: 'patient', 'guardian', 'paper', or '' when nobody knows any more.
CREATE TABLE farewell (
    org_id     integer NOT NULL REFERENCES org,
    token_hash bytea NOT NULL CHECK (length(token_hash) = 32),
    number     integer NOT NULL,
    asked      text NOT NULL CHECK (asked IN ('', 'patient', 'guardian', 'paper')),
    at         timestamptz NOT NULL,
    PRIMARY KEY (org_id, token_hash)
);
CREATE INDEX farewell_by_token ON farewell (token_hash);
SELECT isolate('farewell');
GRANT SELECT, INSERT, DELETE ON farewell TO hale_migrate;
GRANT SELECT (at), DELETE ON farewell TO hale_work;
RESET ROLE;

-- +goose StatementBegin
-- The one look-up of somebody who is signed in no more: by a token that they hold, and of the last 90 days.
CREATE FUNCTION find_farewell(given_hash bytea) RETURNS TABLE (number integer, asked text, at timestamptz)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = public, pg_temp AS $$
    SELECT f.number, f.asked, f.at FROM farewell f WHERE f.token_hash = given_hash AND f.at > clock_timestamp() - interval '90 days'
$$;
-- +goose StatementEnd
REVOKE ALL ON FUNCTION find_farewell(bytea) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION find_farewell(bytea) TO hale_app;
