-- Why: an audit row is written unchained in the transaction of what it tells, and sealed into its organisation's hash chain
-- a moment later: it gets its place and its hash once, and nothing of it changes ever again. A checkpoint signs the chain up
-- to a row. What is about a patient goes into the chain behind a salt, so that it can be erased without breaking the chain.
-- +goose Up
SET LOCAL ROLE hale_owner;

ALTER TABLE audit ADD COLUMN salt bytea NOT NULL DEFAULT uuid_send(gen_random_uuid());
ALTER TABLE audit ADD COLUMN seq bigint CHECK (seq > 0);
ALTER TABLE audit ADD COLUMN hash bytea CHECK (length(hash) = 32);
ALTER TABLE audit ADD CONSTRAINT audit_sealed_check CHECK ((seq IS NULL) = (hash IS NULL));
CREATE UNIQUE INDEX audit_chained ON audit (org_id, seq) WHERE seq IS NOT NULL;
CREATE INDEX audit_unsealed ON audit (org_id, id) WHERE seq IS NULL;

-- Only the seal may be filled in, once. Nobody passes a trigger, whatever they were granted.
DROP TRIGGER audit_append_only ON audit;
CREATE TRIGGER audit_append_only BEFORE DELETE OR TRUNCATE ON audit FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
CREATE TRIGGER audit_sealed_once BEFORE UPDATE ON audit FOR EACH ROW
    WHEN (OLD.seq IS NOT NULL OR NEW.seq IS NULL
        OR (NEW.org_id, NEW.id, NEW.at, NEW.actor_id, NEW.actor_name, NEW.actor_role, NEW.session_uid, NEW.action, NEW.patient_id, NEW.object, NEW.detail, NEW.salt)
        IS DISTINCT FROM
           (OLD.org_id, OLD.id, OLD.at, OLD.actor_id, OLD.actor_name, OLD.actor_role, OLD.session_uid, OLD.action, OLD.patient_id, OLD.object, OLD.detail, OLD.salt))
    EXECUTE FUNCTION refuse_change();

-- Where each chain stands. Whoever holds the row's lock seals; the lock ends with the transaction or the connection.
CREATE TABLE audit_chain (
    org_id    integer PRIMARY KEY REFERENCES org,
    seq       bigint NOT NULL DEFAULT 0 CHECK (seq >= 0),
    hash      bytea NOT NULL CHECK (length(hash) = 32),
    number    bigint NOT NULL DEFAULT 0,  -- of the last checkpoint
    signed    bigint NOT NULL DEFAULT 0 CHECK (signed <= seq), -- up to this place by it
    signed_at timestamptz NOT NULL DEFAULT '-infinity'
);

CREATE TABLE audit_checkpoint (
    org_id     integer NOT NULL REFERENCES org,
    number     bigint NOT NULL CHECK (number > 0),
    seq        bigint NOT NULL CHECK (seq > 0),
    hash       bytea NOT NULL CHECK (length(hash) = 32),
    at         timestamptz NOT NULL,
    public_key bytea NOT NULL CHECK (length(public_key) = 32),
    signature  bytea NOT NULL CHECK (length(signature) = 64),
    PRIMARY KEY (org_id, number),
    UNIQUE (org_id, seq)
);
CREATE TRIGGER audit_checkpoint_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON audit_checkpoint FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();

-- +goose StatementBegin
-- Holds hale_app to its organisation in a table that has org_id: what 00001 does, for every table that is added later.
CREATE FUNCTION isolate(t regclass) RETURNS void LANGUAGE plpgsql SET search_path = public, pg_temp AS $$
BEGIN
    EXECUTE format('ALTER TABLE %s ENABLE ROW LEVEL SECURITY', t);
    EXECUTE format('ALTER TABLE %s FORCE ROW LEVEL SECURITY', t);
    EXECUTE format('CREATE POLICY own_organisation ON %s TO hale_app
        USING (org_id = nullif(current_setting(''app.org'', true), '''')::int)
        WITH CHECK (org_id = nullif(current_setting(''app.org'', true), '''')::int)', t);
END
$$;
-- +goose StatementEnd
REVOKE ALL ON FUNCTION isolate(regclass) FROM PUBLIC;
SELECT isolate('audit_chain'), isolate('audit_checkpoint');

-- Who writes a row chooses neither its seal nor its salt.
REVOKE INSERT ON audit FROM hale_app, hale_work;
GRANT INSERT (org_id, at, actor_id, actor_name, actor_role, session_uid, action, patient_id, object, detail) ON audit TO hale_app, hale_work;
GRANT SELECT, UPDATE (seq, hash) ON audit TO hale_work;
GRANT SELECT, INSERT, UPDATE (seq, hash, number, signed, signed_at) ON audit_chain TO hale_work;
GRANT SELECT, INSERT ON audit_checkpoint TO hale_work;
GRANT SELECT ON audit_chain, audit_checkpoint TO hale_app;

RESET ROLE;
