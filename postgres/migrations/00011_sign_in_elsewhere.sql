-- Why: staff may sign in by an identity provider (OpenID Connect). Who somebody is to the provider is the pair of issuer and
-- subject, and leads to a staff row of each organisation that they worked for by its word. Such a row has no password. A session that the
-- provider opened knows the provider's own session, so that it can end with it. What belongs to no organisation yet has no
-- org_id, and hale_app reaches it through functions only: browsers that are on their way to the provider (the record holds
-- the hash of what the browser keeps, and nothing that would be of use without it), and the provider's word that somebody
-- has signed out there.
-- +goose Up
SET LOCAL ROLE hale_owner;

ALTER TABLE staff ALTER COLUMN password_hash SET DEFAULT '';

CREATE TABLE staff_identity (
    org_id     integer NOT NULL,
    staff_id   bigint NOT NULL,
    issuer     text NOT NULL,
    subject    text NOT NULL CHECK (subject <> '' AND length(subject) <= 255),
    created_at timestamptz NOT NULL,
    PRIMARY KEY (org_id, issuer, subject),
    FOREIGN KEY (org_id, staff_id) REFERENCES staff (org_id, id)
);
CREATE INDEX staff_identity_of_subject ON staff_identity (issuer, subject);

CREATE TABLE provider_session (
    org_id      integer NOT NULL,
    session_uid uuid NOT NULL,
    issuer      text NOT NULL,
    subject     text NOT NULL,
    sitting     text NOT NULL, -- of the provider (sid); may be empty
    hint        bytea NOT NULL, -- ID token, encrypted under a key that only the session's token gives
    PRIMARY KEY (org_id, session_uid),
    FOREIGN KEY (org_id, session_uid) REFERENCES session (org_id, uid) ON DELETE CASCADE
);
CREATE INDEX provider_session_of_subject ON provider_session (issuer, subject);

CREATE TABLE sign_in_flow (
    flow_hash bytea PRIMARY KEY CHECK (length(flow_hash) = 32),
    next      text NOT NULL,
    until_at  timestamptz NOT NULL
);
CREATE INDEX sign_in_flow_age ON sign_in_flow (until_at);

CREATE TABLE provider_sign_out (
    issuer     text NOT NULL,
    token_hash bytea NOT NULL CHECK (length(token_hash) = 32),
    subject    text NOT NULL,
    sitting    text NOT NULL,
    written_at timestamptz NOT NULL,
    until_at   timestamptz NOT NULL,
    PRIMARY KEY (issuer, token_hash)
);
CREATE INDEX provider_sign_out_age ON provider_sign_out (until_at);

SELECT isolate('staff_identity'), isolate('provider_session');
GRANT SELECT, INSERT ON staff_identity, provider_session TO hale_app;
-- A person whom the provider lets in is made without a password; none can be set this way.
GRANT INSERT (org_id, uid, login, name, role, created_at), UPDATE (name, role) ON staff TO hale_app;
GRANT SELECT ON staff_identity, provider_session TO hale_migrate;
GRANT SELECT, INSERT, DELETE ON sign_in_flow, provider_sign_out TO hale_migrate;

RESET ROLE;
-- +goose StatementBegin
-- Nobody signs in with a password that there is not.
CREATE OR REPLACE FUNCTION find_login(given_login text)
RETURNS TABLE (org_id integer, id bigint, uid uuid, name text, role text, password_hash text)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = public, pg_temp AS $$
    SELECT s.org_id, s.id, s.uid, s.name, s.role, s.password_hash FROM staff s
    WHERE s.login = given_login AND s.disabled_at IS NULL AND s.password_hash <> ''
$$;
-- +goose StatementEnd
-- +goose StatementBegin
CREATE FUNCTION find_org(given_name text) RETURNS integer
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = public, pg_temp AS $$
    SELECT o.id FROM org o WHERE o.name = given_name
$$;
-- +goose StatementEnd
-- +goose StatementBegin
-- The organisations that know an identity.
CREATE FUNCTION find_identity(given_issuer text, given_subject text) RETURNS SETOF integer
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = public, pg_temp AS $$
    SELECT i.org_id FROM staff_identity i WHERE i.issuer = given_issuer AND i.subject = given_subject ORDER BY i.org_id
$$;
-- +goose StatementEnd
-- +goose StatementBegin
-- The open sessions that a provider's word is about: of one session with it, else of everything of the subject.
CREATE FUNCTION find_provider_sessions(given_issuer text, given_subject text, given_sitting text) RETURNS TABLE (org_id integer, uid uuid)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = public, pg_temp AS $$
    SELECT p.org_id, p.session_uid FROM provider_session p JOIN session s ON s.org_id = p.org_id AND s.uid = p.session_uid
    WHERE p.issuer = given_issuer AND (given_subject = '' OR p.subject = given_subject) AND (given_sitting = '' OR p.sitting = given_sitting)
        AND given_subject || given_sitting <> '' AND s.ended_at IS NULL
    ORDER BY p.org_id, p.session_uid
$$;
-- +goose StatementEnd
-- +goose StatementBegin
CREATE FUNCTION begin_sign_in_flow(given_hash bytea, given_next text, at timestamptz, until timestamptz) RETURNS void
LANGUAGE sql VOLATILE SECURITY DEFINER SET search_path = public, pg_temp AS $$
    DELETE FROM sign_in_flow WHERE flow_hash IN (
        SELECT f.flow_hash FROM sign_in_flow f WHERE f.until_at <= at ORDER BY f.until_at LIMIT 20 FOR UPDATE SKIP LOCKED);
    INSERT INTO sign_in_flow (flow_hash, next, until_at) VALUES (given_hash, given_next, until);
$$;
-- +goose StatementEnd
-- +goose StatementBegin
-- Takes a flow, once; null when there is none, or its time is over.
CREATE FUNCTION take_sign_in_flow(given_hash bytea, at timestamptz) RETURNS text
LANGUAGE sql VOLATILE SECURITY DEFINER SET search_path = public, pg_temp AS $$
    WITH taken AS (DELETE FROM sign_in_flow WHERE flow_hash = given_hash RETURNING next, until_at)
    SELECT t.next FROM taken t WHERE t.until_at > at
$$;
-- +goose StatementEnd
-- +goose StatementBegin
-- Keeps a provider's word; false when it was said before. It is kept until it runs out, and for as long as a sign-in may still be
-- on its way that began before it.
CREATE FUNCTION note_provider_sign_out(given_issuer text, given_token bytea, given_subject text, given_sitting text, at timestamptz, until timestamptz)
RETURNS boolean LANGUAGE sql VOLATILE SECURITY DEFINER SET search_path = public, pg_temp AS $$
    SELECT pg_advisory_xact_lock(hashtextextended('sign-out ' || given_issuer, 0)); -- see stillIn in postgres/oidc.go
    DELETE FROM provider_sign_out WHERE until_at < at - interval '1 hour';
    WITH added AS (
        INSERT INTO provider_sign_out (issuer, token_hash, subject, sitting, written_at, until_at)
        VALUES (given_issuer, given_token, given_subject, given_sitting, at, until) ON CONFLICT DO NOTHING RETURNING 1)
    SELECT EXISTS (SELECT FROM added)
$$;
-- +goose StatementEnd
-- +goose StatementBegin
-- Whether the provider has said that this session with it has ended: by its name, or of the whole subject since it vouched.
CREATE FUNCTION provider_signed_out(given_issuer text, given_subject text, given_sitting text, vouched_at timestamptz) RETURNS boolean
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = public, pg_temp AS $$
    SELECT EXISTS (SELECT FROM provider_sign_out o WHERE o.issuer = given_issuer AND (o.subject = '' OR o.subject = given_subject)
        AND CASE WHEN o.sitting = '' THEN o.written_at >= vouched_at ELSE o.sitting = given_sitting END)
$$;
-- +goose StatementEnd
REVOKE ALL ON FUNCTION find_org(text), find_identity(text, text), find_provider_sessions(text, text, text),
    begin_sign_in_flow(bytea, text, timestamptz, timestamptz), take_sign_in_flow(bytea, timestamptz),
    note_provider_sign_out(text, bytea, text, text, timestamptz, timestamptz), provider_signed_out(text, text, text, timestamptz) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION find_org(text), find_identity(text, text), find_provider_sessions(text, text, text),
    begin_sign_in_flow(bytea, text, timestamptz, timestamptz), take_sign_in_flow(bytea, timestamptz),
    note_provider_sign_out(text, bytea, text, text, timestamptz, timestamptz), provider_signed_out(text, text, text, timestamptz) TO hale_app;
