-- Why: a device gets its secret by a code that works once, and a new one without a gap: for a while both are good. A site with a
-- broker of its own gets a file of passwords from us, which cannot be made from our hashes later: it is made with the secret.
-- +goose Up
SET LOCAL ROLE hale_owner;

ALTER TABLE device
    ADD COLUMN broker_hash text, -- the secret as Mosquitto keeps passwords (PBKDF2, SHA-512); null: it was made before there was this column
    ADD COLUMN next_secret_hash bytea CHECK (length(next_secret_hash) = 32), -- of the secret that takes the place of the other
    ADD COLUMN next_broker_hash text,
    ADD COLUMN overlap_until timestamptz, -- from then on only the next secret is good
    ADD COLUMN secret_made_at timestamptz, -- the newest; null: with the device
    ADD CONSTRAINT device_overlap CHECK ((next_secret_hash IS NULL) = (overlap_until IS NULL) AND (next_broker_hash IS NULL OR next_secret_hash IS NOT NULL));
GRANT SELECT (overlap_until, secret_made_at) ON device TO hale_app;
GRANT SELECT ON device TO hale_migrate;
GRANT UPDATE (secret_hash, broker_hash, next_secret_hash, next_broker_hash, overlap_until, secret_made_at) ON device TO hale_migrate;

CREATE TABLE pairing_code (
    org_id     integer NOT NULL,
    id         bigint GENERATED ALWAYS AS IDENTITY,
    uid        uuid NOT NULL UNIQUE,
    device_id  bigint NOT NULL,
    staff_id   bigint, -- who made it; null: a program with a key
    lookup     text NOT NULL CHECK (length(lookup) = 4), -- the signs of the code that are no secret
    code_hash  bytea NOT NULL CHECK (length(code_hash) = 32),
    attempts   integer NOT NULL DEFAULT 0, -- under its signs, the good one included
    created_at timestamptz NOT NULL,
    expires_at timestamptz NOT NULL CHECK (expires_at > created_at),
    used_at    timestamptz,
    ended_at   timestamptz, -- a newer one took its place, or its signs
    PRIMARY KEY (org_id, id),
    FOREIGN KEY (org_id, device_id) REFERENCES device (org_id, id),
    FOREIGN KEY (org_id, staff_id) REFERENCES staff (org_id, id)
);
CREATE UNIQUE INDEX pairing_code_lookup ON pairing_code (lookup) WHERE used_at IS NULL AND ended_at IS NULL;
CREATE INDEX pairing_code_of_device ON pairing_code (org_id, device_id, created_at DESC);
SELECT isolate('pairing_code');
SELECT keep_to_views('pairing_code', '{SELECT,INSERT,UPDATE,DELETE}', '{}');
GRANT INSERT, SELECT (org_id, id, uid, device_id, staff_id, attempts, created_at, expires_at, used_at, ended_at) ON pairing_code TO hale_app;
GRANT SELECT, UPDATE ON pairing_code TO hale_migrate;

RESET ROLE;
-- +goose StatementBegin
-- Makes room for a new code of a device of the organisation: ends those that it has. It returns false when another device's open
-- code begins with the same signs.
CREATE FUNCTION begin_pairing(of_device bigint, wanted text, at timestamptz) RETURNS boolean
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = public, pg_temp AS $$
BEGIN
    -- Of codes that are made at once the last one stays: each sees what the one before has made.
    PERFORM pg_advisory_xact_lock(hashtextextended(format('hale pairing %s', of_device), 0));
    UPDATE pairing_code c SET ended_at = at
    WHERE c.used_at IS NULL AND c.ended_at IS NULL AND (c.lookup = wanted AND c.expires_at <= at
        OR c.org_id = current_setting('app.org')::int AND c.device_id = of_device);
    RETURN NOT EXISTS (SELECT FROM pairing_code c WHERE c.lookup = wanted AND c.used_at IS NULL AND c.ended_at IS NULL);
END
$$;
-- +goose StatementEnd
-- +goose StatementBegin
-- Takes a code, once, and gives its device a new secret in place of all that it had. An attempt is counted before it is looked at,
-- one after the other; a code dies when more than most were made. Whoever used it before, or when, nobody is told.
CREATE FUNCTION redeem_pairing(given_lookup text, given_hash bytea, at timestamptz, most integer, new_hash bytea, new_broker text)
RETURNS TABLE (org_id integer, device_uid text, pairing_uid uuid, staff_uid uuid)
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = public, pg_temp AS $$
#variable_conflict use_column
DECLARE
    found_code pairing_code;
    found_uid  text;
BEGIN
    UPDATE pairing_code c SET attempts = c.attempts + 1
    WHERE c.lookup = given_lookup AND c.used_at IS NULL AND c.ended_at IS NULL AND c.expires_at > at RETURNING c.* INTO found_code;
    IF NOT FOUND OR found_code.attempts > most OR found_code.code_hash <> given_hash THEN
        RETURN;
    END IF;
    UPDATE device d SET secret_hash = new_hash, broker_hash = new_broker, next_secret_hash = NULL, next_broker_hash = NULL, overlap_until = NULL, secret_made_at = at
    WHERE d.org_id = found_code.org_id AND d.id = found_code.device_id AND d.revoked_at IS NULL RETURNING d.uid INTO found_uid;
    IF NOT FOUND THEN
        RETURN;
    END IF;
    UPDATE pairing_code c SET used_at = at WHERE c.org_id = found_code.org_id AND c.id = found_code.id;
    RETURN QUERY SELECT found_code.org_id, found_uid, found_code.uid,
        (SELECT s.uid FROM staff s WHERE s.org_id = found_code.org_id AND s.id = found_code.staff_id);
END
$$;
-- +goose StatementEnd
-- +goose StatementBegin
-- Gives a device of the organisation a next secret, in place of one that waits. The one before stays good until then; it is the
-- one that was next when its time had come. false: there is no such device, or it was revoked.
CREATE FUNCTION renew_secret(of_device bigint, new_hash bytea, new_broker text, at timestamptz, until_at timestamptz) RETURNS boolean
LANGUAGE sql VOLATILE SECURITY DEFINER SET search_path = public, pg_temp AS $$
    WITH done AS (UPDATE device d SET
        secret_hash = CASE WHEN d.overlap_until <= at THEN d.next_secret_hash ELSE d.secret_hash END,
        broker_hash = CASE WHEN d.overlap_until <= at THEN d.next_broker_hash ELSE d.broker_hash END,
        next_secret_hash = new_hash, next_broker_hash = new_broker, overlap_until = until_at, secret_made_at = at
        WHERE d.org_id = current_setting('app.org')::int AND d.id = of_device AND d.revoked_at IS NULL RETURNING 1)
    SELECT EXISTS (SELECT FROM done)
$$;
-- +goose StatementEnd
-- +goose StatementBegin
-- Ends the time in which two secrets are good: the next one is the only one from now on. With a hash only if that is the next
-- one's: who says so has seen it. false: there was nothing to end.
CREATE FUNCTION drop_old_secret(of_org integer, of_device bigint, shown bytea) RETURNS boolean
LANGUAGE sql VOLATILE SECURITY DEFINER SET search_path = public, pg_temp AS $$
    WITH done AS (UPDATE device d SET secret_hash = d.next_secret_hash, broker_hash = d.next_broker_hash, next_secret_hash = NULL, next_broker_hash = NULL, overlap_until = NULL
        WHERE d.org_id = of_org AND d.id = of_device AND d.next_secret_hash IS NOT NULL AND (shown IS NULL OR d.next_secret_hash = shown)
            AND d.org_id = coalesce(nullif(current_setting('app.org', true), '')::int, d.org_id) RETURNING 1)
    SELECT EXISTS (SELECT FROM done)
$$;
-- +goose StatementEnd
-- +goose StatementBegin
-- What a secret proves of a device of the organisation: nothing (no row), that it is the device, or that it is the device and has
-- taken its next secret.
CREATE FUNCTION prove_device(given_uid text, given_hash bytea, at timestamptz) RETURNS TABLE (id bigint, by_next boolean)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = public, pg_temp AS $$
    SELECT d.id, coalesce(d.next_secret_hash = given_hash, false) FROM device d
    WHERE d.org_id = nullif(current_setting('app.org', true), '')::int AND d.uid = given_uid AND d.revoked_at IS NULL
        AND (d.next_secret_hash = given_hash OR d.secret_hash = given_hash AND (d.overlap_until IS NULL OR d.overlap_until > at))
$$;
-- +goose StatementEnd
REVOKE ALL ON FUNCTION begin_pairing(bigint, text, timestamptz), redeem_pairing(text, bytea, timestamptz, integer, bytea, text),
    renew_secret(bigint, bytea, text, timestamptz, timestamptz), drop_old_secret(integer, bigint, bytea), prove_device(text, bytea, timestamptz) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION begin_pairing(bigint, text, timestamptz), redeem_pairing(text, bytea, timestamptz, integer, bytea, text),
    renew_secret(bigint, bytea, text, timestamptz, timestamptz), drop_old_secret(integer, bigint, bytea), prove_device(text, bytea, timestamptz) TO hale_app;
GRANT EXECUTE ON FUNCTION drop_old_secret(integer, bigint, bytea) TO hale_work;
