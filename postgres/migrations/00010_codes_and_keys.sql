-- Why: patients and caregivers sign in with a code that a member of staff gives them, once, and stay signed in on that device
-- only; programs have keys. One table holds everybody's sessions. Guesses at codes are counted under the first four signs of
-- what was typed, whether or not there is such a code, and per minute over all of them: what belongs to no organisation has no
-- org_id, and hale_app reaches it through a function only.
-- +goose Up
SET LOCAL ROLE hale_owner;

ALTER TABLE session ALTER COLUMN staff_id DROP NOT NULL;
ALTER TABLE session
    ADD COLUMN patient_id bigint,
    ADD COLUMN caregiver_id bigint,
    ADD COLUMN device_hash bytea CHECK (length(device_hash) = 32), -- of the secret of the device that the session is bound to
    ADD COLUMN label text NOT NULL DEFAULT '', -- of the device, for people
    ADD COLUMN misused_at timestamptz, -- the token was first shown without the device's secret
    ADD COLUMN invited_by bigint, -- staff who made the code that opened it
    ADD CONSTRAINT session_of_one_person CHECK (num_nonnulls(staff_id, patient_id, caregiver_id) = 1),
    ADD CONSTRAINT session_bound_to_device CHECK ((staff_id IS NULL) = (device_hash IS NOT NULL)),
    ADD FOREIGN KEY (org_id, patient_id) REFERENCES patient (org_id, id),
    ADD FOREIGN KEY (org_id, caregiver_id) REFERENCES caregiver (org_id, id),
    ADD FOREIGN KEY (org_id, invited_by) REFERENCES staff (org_id, id);
CREATE INDEX session_of_staff ON session (org_id, staff_id) WHERE staff_id IS NOT NULL AND ended_at IS NULL;
CREATE INDEX session_of_patient ON session (org_id, patient_id) WHERE patient_id IS NOT NULL AND ended_at IS NULL;
CREATE INDEX session_of_caregiver ON session (org_id, caregiver_id) WHERE caregiver_id IS NOT NULL AND ended_at IS NULL;

CREATE TABLE invitation (
    org_id       integer NOT NULL,
    id           bigint GENERATED ALWAYS AS IDENTITY,
    uid          uuid NOT NULL UNIQUE,
    patient_id   bigint NOT NULL,
    caregiver_id bigint, -- of the patient, who signs in; null: the patient does
    staff_id     bigint NOT NULL,
    lookup       text NOT NULL CHECK (length(lookup) = 4), -- the signs of the code that are no secret
    code_hash    bytea NOT NULL CHECK (length(code_hash) = 32),
    created_at   timestamptz NOT NULL,
    expires_at   timestamptz NOT NULL CHECK (expires_at > created_at),
    used_at      timestamptz,
    ended_at     timestamptz, -- a newer one took its place, or its signs
    PRIMARY KEY (org_id, id),
    FOREIGN KEY (org_id, patient_id) REFERENCES patient (org_id, id),
    FOREIGN KEY (org_id, caregiver_id) REFERENCES caregiver (org_id, id),
    FOREIGN KEY (org_id, staff_id) REFERENCES staff (org_id, id)
);
CREATE UNIQUE INDEX invitation_lookup ON invitation (lookup) WHERE used_at IS NULL AND ended_at IS NULL;
CREATE INDEX invitation_of_patient ON invitation (org_id, patient_id) WHERE used_at IS NULL AND ended_at IS NULL;

CREATE TABLE sign_in_code_guess (
    lookup   text PRIMARY KEY CHECK (length(lookup) = 4),
    attempts integer NOT NULL CHECK (attempts > 0),
    last_at  timestamptz NOT NULL
);
CREATE INDEX sign_in_code_guess_age ON sign_in_code_guess (last_at);
CREATE TABLE sign_in_code_minute (
    minute   timestamptz PRIMARY KEY,
    attempts integer NOT NULL CHECK (attempts > 0)
);

CREATE TABLE api_key (
    org_id     integer NOT NULL REFERENCES org,
    id         bigint GENERATED ALWAYS AS IDENTITY UNIQUE,
    uid        uuid NOT NULL UNIQUE,
    name       text NOT NULL CHECK (name <> ''),
    scopes     text NOT NULL CHECK (scopes <> ''), -- account.Scopes
    token_hash bytea NOT NULL UNIQUE CHECK (length(token_hash) = 32),
    staff_id   bigint, -- who made it; null: the operator at the console
    created_at timestamptz NOT NULL,
    expires_at timestamptz NOT NULL CHECK (expires_at > created_at),
    used_at    timestamptz,
    revoked_at timestamptz,
    PRIMARY KEY (org_id, id),
    FOREIGN KEY (org_id, staff_id) REFERENCES staff (org_id, id)
);
CREATE UNIQUE INDEX api_key_name ON api_key (org_id, name) WHERE revoked_at IS NULL;

SELECT isolate('invitation'), isolate('api_key');
SELECT keep_to_patients('invitation');
-- Sessions are seen by whoever they are of, and those of patients and caregivers by the people who look after them.
SELECT keep_to_patients('session', $$CASE (SELECT current_setting('app.view', true))
    WHEN 'staff' THEN staff_id = (SELECT nullif(current_setting('app.who', true), '')::bigint)
        OR patient_id IN (SELECT mine.patient_id FROM my_patients() mine)
        OR caregiver_id IN (SELECT g.caregiver_id FROM caregiver_grant g JOIN my_patients() mine USING (patient_id))
    WHEN 'patient' THEN patient_id = (SELECT nullif(current_setting('app.who', true), '')::bigint)
    WHEN 'caregiver' THEN caregiver_id = (SELECT nullif(current_setting('app.who', true), '')::bigint)
    ELSE false END$$);
GRANT SELECT, INSERT ON invitation, api_key TO hale_app;
GRANT UPDATE (used_at, revoked_at) ON api_key TO hale_app;
GRANT UPDATE (password_hash) ON staff TO hale_app; -- one's own; the old one must be shown
GRANT SELECT, UPDATE ON invitation TO hale_migrate;
GRANT SELECT ON api_key, patient, caregiver TO hale_migrate;
GRANT SELECT, INSERT, UPDATE, DELETE ON sign_in_code_guess, sign_in_code_minute TO hale_migrate;

RESET ROLE;
-- +goose StatementBegin
-- The sessions that neither have ended nor run out nor been idle for too long, of staff or bound to a device, with who they are
-- of. It runs as its caller, which are the functions below.
CREATE FUNCTION open_sessions(at timestamptz, idle interval, bound_idle interval)
RETURNS TABLE (org_id integer, uid uuid, staff_id bigint, patient_id bigint, caregiver_id bigint, person_uid uuid, name text, role text, csrf text,
               label text, created_at timestamptz, seen_at timestamptz, expires_at timestamptz, token_hash bytea, device_hash bytea)
LANGUAGE sql STABLE AS $$
    SELECT e.org_id, e.uid, e.staff_id, e.patient_id, e.caregiver_id, coalesce(s.uid, p.uid, c.uid), coalesce(s.name, p.name, c.name),
           CASE WHEN e.staff_id IS NOT NULL THEN s.role WHEN e.patient_id IS NOT NULL THEN 'patient' ELSE 'caregiver' END, e.csrf,
           e.label, e.created_at, e.seen_at, e.expires_at, e.token_hash, e.device_hash
    FROM session e
        LEFT JOIN staff s ON s.org_id = e.org_id AND s.id = e.staff_id
        LEFT JOIN patient p ON p.org_id = e.org_id AND p.id = e.patient_id
        LEFT JOIN caregiver c ON c.org_id = e.org_id AND c.id = e.caregiver_id
    WHERE e.ended_at IS NULL AND e.expires_at > at AND e.seen_at >= at - CASE WHEN e.staff_id IS NULL THEN bound_idle ELSE idle END
        AND s.disabled_at IS NULL AND p.state IS DISTINCT FROM 'merged'
$$;
-- +goose StatementEnd
DROP FUNCTION find_session(bytea, timestamptz);
-- +goose StatementBegin
-- One look-up for everybody's sessions; of one that is bound to a device, bound says whether its secret was shown too.
CREATE FUNCTION find_session(given_hash bytea, given_device bytea, at timestamptz, idle interval, bound_idle interval)
RETURNS TABLE (org_id integer, uid uuid, staff_id bigint, patient_id bigint, caregiver_id bigint, person_uid uuid, name text, role text, csrf text,
               label text, created_at timestamptz, seen_at timestamptz, expires_at timestamptz, bound boolean)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = public, pg_temp AS $$
    SELECT o.org_id, o.uid, o.staff_id, o.patient_id, o.caregiver_id, o.person_uid, o.name, o.role, o.csrf, o.label, o.created_at, o.seen_at, o.expires_at,
           o.device_hash IS NULL OR coalesce(o.device_hash = given_device, false)
    FROM open_sessions(at, idle, bound_idle) o WHERE o.token_hash = given_hash
$$;
-- +goose StatementEnd
-- +goose StatementBegin
CREATE FUNCTION find_key(given_hash bytea, at timestamptz)
RETURNS TABLE (org_id integer, id bigint, uid uuid, name text, scopes text, created_at timestamptz, used_at timestamptz, expires_at timestamptz)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = public, pg_temp AS $$
    SELECT k.org_id, k.id, k.uid, k.name, k.scopes, k.created_at, k.used_at, k.expires_at
    FROM api_key k WHERE k.token_hash = given_hash AND k.revoked_at IS NULL AND k.expires_at > at
$$;
-- +goose StatementEnd
-- +goose StatementBegin
-- Of the sessions and keys that are listened to, those that are over.
CREATE FUNCTION ended_sessions(given uuid[], at timestamptz, idle interval, bound_idle interval) RETURNS SETOF uuid
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = public, pg_temp AS $$
    SELECT u FROM unnest(given) u
    WHERE NOT EXISTS (SELECT FROM open_sessions(at, idle, bound_idle) o WHERE o.uid = u)
        AND NOT EXISTS (SELECT FROM api_key k WHERE k.uid = u AND k.revoked_at IS NULL AND k.expires_at > at)
$$;
-- +goose StatementEnd
-- +goose StatementBegin
-- Makes room for a new code of a person: ends those they have, in whosever view, and wipes the slate of its signs. It returns
-- false when another person's open code begins with them.
CREATE FUNCTION begin_invitation(of_patient bigint, of_caregiver bigint, wanted text, at timestamptz) RETURNS boolean
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = public, pg_temp AS $$
BEGIN
    -- Of codes that are made at once the last one stays: each sees what the one before has made.
    PERFORM pg_advisory_xact_lock(hashtextextended(format('hale code %s %s', of_caregiver IS NULL, coalesce(of_caregiver, of_patient)), 0));
    UPDATE invitation i SET ended_at = at
    WHERE i.used_at IS NULL AND i.ended_at IS NULL AND (i.lookup = wanted AND i.expires_at <= at
        OR i.org_id = current_setting('app.org')::int AND CASE WHEN of_caregiver IS NULL THEN i.patient_id = of_patient AND i.caregiver_id IS NULL ELSE i.caregiver_id = of_caregiver END);
    IF EXISTS (SELECT FROM invitation i WHERE i.lookup = wanted AND i.used_at IS NULL AND i.ended_at IS NULL) THEN
        RETURN false;
    END IF;
    DELETE FROM sign_in_code_guess g WHERE g.lookup = wanted;
    RETURN true;
END
$$;
-- +goose StatementEnd
-- +goose StatementBegin
-- Takes a code, once. Every attempt does the same work, whatever is wrong with it: it is counted in its minute and under its
-- signs, one after the other, and the code is looked for. A code dies when more than most were tried under its signs. A minute
-- that is full is told to whoever has no right code, so that guessers keep nobody else out.
CREATE FUNCTION redeem_invitation(given_lookup text, given_hash bytea, at timestamptz, most integer, most_a_minute integer)
RETURNS TABLE (too_many boolean, org_id integer, patient_id bigint, caregiver_id bigint, person_uid uuid, name text, invitation_uid uuid, staff_id bigint, staff_uid uuid)
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = public, pg_temp AS $$
#variable_conflict use_column
DECLARE
    this_minute integer;
    tried       integer;
BEGIN
    INSERT INTO sign_in_code_minute AS m (minute, attempts) VALUES (date_trunc('minute', at), 1)
    ON CONFLICT (minute) DO UPDATE SET attempts = m.attempts + 1 RETURNING m.attempts INTO this_minute;
    DELETE FROM sign_in_code_minute m WHERE m.minute < at - interval '1 hour';
    DELETE FROM sign_in_code_guess g WHERE g.lookup IN (
        SELECT o.lookup FROM sign_in_code_guess o WHERE o.last_at < at - interval '1 day' AND o.lookup <> given_lookup ORDER BY o.last_at LIMIT 20 FOR UPDATE SKIP LOCKED);
    INSERT INTO sign_in_code_guess AS g (lookup, attempts, last_at) VALUES (given_lookup, 1, at)
    ON CONFLICT (lookup) DO UPDATE SET attempts = g.attempts + 1, last_at = at RETURNING g.attempts INTO tried;
    RETURN QUERY
        WITH taken AS (
            UPDATE invitation i SET used_at = at
            WHERE i.lookup = given_lookup AND i.code_hash = given_hash AND i.used_at IS NULL AND i.ended_at IS NULL AND i.expires_at > at AND tried <= most
            RETURNING i.org_id, i.patient_id, i.caregiver_id, i.uid, i.staff_id)
        SELECT false, t.org_id, t.patient_id, t.caregiver_id, coalesce(c.uid, p.uid), coalesce(c.name, p.name), t.uid, t.staff_id, s.uid
        FROM taken t JOIN patient p ON p.org_id = t.org_id AND p.id = t.patient_id JOIN staff s ON s.org_id = t.org_id AND s.id = t.staff_id
            LEFT JOIN caregiver c ON c.org_id = t.org_id AND c.id = t.caregiver_id;
    IF NOT FOUND AND this_minute > most_a_minute THEN
        RETURN QUERY SELECT true, NULL::integer, NULL::bigint, NULL::bigint, NULL::uuid, NULL::text, NULL::uuid, NULL::bigint, NULL::uuid;
    END IF;
END
$$;
-- +goose StatementEnd
REVOKE ALL ON FUNCTION open_sessions(timestamptz, interval, interval), find_session(bytea, bytea, timestamptz, interval, interval), find_key(bytea, timestamptz), ended_sessions(uuid[], timestamptz, interval, interval),
    begin_invitation(bigint, bigint, text, timestamptz), redeem_invitation(text, bytea, timestamptz, integer, integer) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION find_session(bytea, bytea, timestamptz, interval, interval), find_key(bytea, timestamptz), ended_sessions(uuid[], timestamptz, interval, interval),
    begin_invitation(bigint, bigint, text, timestamptz), redeem_invitation(text, bytea, timestamptz, integer, integer) TO hale_app;
