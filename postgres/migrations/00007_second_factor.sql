-- Why: a password alone is guessed or lent. Staff may have a second factor: a secret shared with their phone (RFC 6238),
-- encrypted under the installation's key, and recovery codes of which only hashes are kept. last_step is the newest step
-- whose code was taken, so that none is taken twice. Wrong passwords and codes are counted under the hash of the login,
-- whether or not there is such a login: what belongs to no organisation has no org_id, and hale_app reaches it through
-- three functions only.
-- +goose Up
SET LOCAL ROLE hale_owner;

CREATE TABLE second_factor (
    org_id       integer NOT NULL,
    staff_id     bigint NOT NULL,
    secret       bytea NOT NULL,
    created_at   timestamptz NOT NULL,
    confirmed_at timestamptz,
    last_step    bigint NOT NULL DEFAULT 0,
    PRIMARY KEY (org_id, staff_id),
    FOREIGN KEY (org_id, staff_id) REFERENCES staff (org_id, id)
);

CREATE TABLE recovery_code (
    org_id    integer NOT NULL,
    staff_id  bigint NOT NULL,
    code_hash bytea NOT NULL CHECK (length(code_hash) = 32),
    used_at   timestamptz,
    PRIMARY KEY (org_id, staff_id, code_hash),
    FOREIGN KEY (org_id, staff_id) REFERENCES second_factor (org_id, staff_id) ON DELETE CASCADE
);

CREATE TABLE sign_in_failure (
    login_hash   bytea PRIMARY KEY CHECK (length(login_hash) = 32),
    failures     integer NOT NULL CHECK (failures > 0),
    last_at      timestamptz NOT NULL,
    locked_until timestamptz
);
CREATE INDEX sign_in_failure_age ON sign_in_failure (last_at);

SELECT isolate('second_factor'), isolate('recovery_code');
GRANT SELECT, INSERT, UPDATE, DELETE ON second_factor, recovery_code TO hale_app;
GRANT SELECT, DELETE ON second_factor, recovery_code TO hale_migrate;
GRANT SELECT, INSERT, UPDATE, DELETE ON sign_in_failure TO hale_migrate;

RESET ROLE;
-- +goose StatementBegin
CREATE FUNCTION sign_in_locked(given_hash bytea, at timestamptz) RETURNS timestamptz
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = public, pg_temp AS $$
    SELECT f.locked_until FROM sign_in_failure f WHERE f.login_hash = given_hash AND f.locked_until > at
$$;
-- +goose StatementEnd
-- +goose StatementBegin
-- Counts one more failure and returns the end of the lock that it leads to, or null. A count that is older than fresh, or
-- whose lock has ended, starts anew; old counts are swept, a few at a time.
CREATE FUNCTION note_sign_in_failure(given_hash bytea, at timestamptz, fresh timestamptz, most integer, until timestamptz) RETURNS timestamptz
LANGUAGE sql VOLATILE SECURITY DEFINER SET search_path = public, pg_temp AS $$
    DELETE FROM sign_in_failure WHERE login_hash IN (
        SELECT f.login_hash FROM sign_in_failure f WHERE f.last_at < fresh AND f.login_hash <> given_hash ORDER BY f.last_at LIMIT 20 FOR UPDATE SKIP LOCKED);
    INSERT INTO sign_in_failure AS f (login_hash, failures, last_at, locked_until) VALUES (given_hash, 1, at, CASE WHEN most <= 1 THEN until END)
    ON CONFLICT (login_hash) DO UPDATE SET last_at = excluded.last_at,
        failures = CASE WHEN f.last_at < fresh OR f.locked_until <= at THEN 1 ELSE f.failures + 1 END,
        locked_until = CASE WHEN f.last_at >= fresh AND (f.locked_until IS NULL OR f.locked_until > at) AND f.failures + 1 >= most THEN until END
    RETURNING f.locked_until
$$;
-- +goose StatementEnd
-- +goose StatementBegin
CREATE FUNCTION forget_sign_in_failures(given_hash bytea) RETURNS void
LANGUAGE sql VOLATILE SECURITY DEFINER SET search_path = public, pg_temp AS $$
    DELETE FROM sign_in_failure WHERE login_hash = given_hash
$$;
-- +goose StatementEnd
REVOKE ALL ON FUNCTION sign_in_locked(bytea, timestamptz), forget_sign_in_failures(bytea),
    note_sign_in_failure(bytea, timestamptz, timestamptz, integer, timestamptz) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION sign_in_locked(bytea, timestamptz), forget_sign_in_failures(bytea),
    note_sign_in_failure(bytea, timestamptz, timestamptz, integer, timestamptz) TO hale_app;
