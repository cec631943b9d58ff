-- Why: a device may show who it is by a client certificate. An organisation trusts authorities, several at once while a maker
-- changes from one to the next; of what they sign only that counts which was written down for a device. A device that the desk has
-- marked may be claimed once with a maker's certificate, and gets its own.
-- +goose Up
SET LOCAL ROLE hale_owner;

CREATE TABLE trusted_ca (
    org_id      integer NOT NULL REFERENCES org,
    id          bigint GENERATED ALWAYS AS IDENTITY,
    uid         uuid NOT NULL UNIQUE,
    kind        text NOT NULL CHECK (kind IN ('device', 'claim')), -- what its certificates are for: to connect, or to claim with
    name        text NOT NULL CHECK (name <> ''),
    certificate bytea NOT NULL, -- DER
    fingerprint bytea NOT NULL CHECK (length(fingerprint) = 32),
    from_at     timestamptz NOT NULL,
    until_at    timestamptz NOT NULL CHECK (until_at > from_at),
    revoked_at  timestamptz, -- for good: a row of its fingerprint stays
    created_at  timestamptz NOT NULL,
    PRIMARY KEY (org_id, id),
    UNIQUE (org_id, fingerprint)
);

CREATE TABLE device_cert (
    org_id      integer NOT NULL,
    device_id   bigint NOT NULL,
    fingerprint bytea NOT NULL CHECK (length(fingerprint) = 32), -- SHA-256 of the certificate
    serial      text NOT NULL,
    certificate bytea NOT NULL, -- DER
    not_before  timestamptz NOT NULL,
    not_after   timestamptz NOT NULL,
    origin      text NOT NULL CHECK (origin IN ('given', 'signed', 'renewed', 'claimed')),
    created_at  timestamptz NOT NULL,
    revoked_at  timestamptz,
    renewed_from bytea CHECK (length(renewed_from) = 32), -- the certificate that the device showed for it; null: it showed none
    PRIMARY KEY (org_id, device_id, fingerprint),
    FOREIGN KEY (org_id, device_id, renewed_from) REFERENCES device_cert (org_id, device_id, fingerprint),
    FOREIGN KEY (org_id, device_id) REFERENCES device (org_id, id)
);
CREATE UNIQUE INDEX device_cert_fingerprint ON device_cert (org_id, fingerprint); -- a certificate is one device's
CREATE INDEX device_cert_ends ON device_cert (org_id, not_after) WHERE revoked_at IS NULL;

CREATE TABLE device_claim (
    org_id     integer NOT NULL,
    id         bigint GENERATED ALWAYS AS IDENTITY,
    device_id  bigint NOT NULL,
    serial     text NOT NULL CHECK (serial <> ''), -- as the device knows itself
    batch      text NOT NULL,                      -- the common name of the claim certificate; empty: the serial
    from_at    timestamptz NOT NULL,
    until_at   timestamptz NOT NULL CHECK (until_at > from_at),
    created_at timestamptz NOT NULL,
    ended_at   timestamptz, -- the desk took it back, or made another
    used_at    timestamptz,
    used_by    bytea CHECK (length(used_by) = 32), -- the claim certificate
    got        bytea,                              -- the certificate that the device got
    PRIMARY KEY (org_id, id),
    CHECK ((used_at IS NULL) = (used_by IS NULL) AND (used_at IS NULL) = (got IS NULL)),
    FOREIGN KEY (org_id, device_id) REFERENCES device (org_id, id),
    FOREIGN KEY (org_id, device_id, got) REFERENCES device_cert (org_id, device_id, fingerprint)
);
CREATE UNIQUE INDEX device_claim_serial ON device_claim (org_id, serial) WHERE ended_at IS NULL;
CREATE UNIQUE INDEX device_claim_device ON device_claim (org_id, device_id) WHERE ended_at IS NULL;

SELECT isolate(t) FROM unnest(ARRAY['trusted_ca', 'device_cert', 'device_claim']::regclass[]) t;
SELECT keep_to_views(t, '{SELECT,INSERT,UPDATE,DELETE}', '{}') FROM unnest(ARRAY['trusted_ca', 'device_cert', 'device_claim']::regclass[]) t;
GRANT SELECT, INSERT, UPDATE (revoked_at) ON trusted_ca, device_cert TO hale_app;
GRANT SELECT, INSERT, UPDATE (ended_at, used_at, used_by, got) ON device_claim TO hale_app;
GRANT SELECT ON trusted_ca TO hale_work;
GRANT SELECT (org_id, device_id, fingerprint, not_before, not_after, created_at, revoked_at) ON device_cert TO hale_work;
GRANT SELECT ON device_claim, device TO hale_migrate;

RESET ROLE;
-- +goose StatementBegin
-- Whose a device is: it comes by itself, and nobody has signed in.
CREATE FUNCTION org_of_device(given_uid text) RETURNS integer LANGUAGE sql STABLE SECURITY DEFINER SET search_path = public, pg_temp AS $$
    SELECT d.org_id FROM device d WHERE d.uid = given_uid
$$;
-- +goose StatementEnd
-- +goose StatementBegin
-- The organisations in which a device of that serial may be claimed.
CREATE FUNCTION orgs_of_claim(given_serial text, at timestamptz) RETURNS SETOF integer LANGUAGE sql STABLE SECURITY DEFINER SET search_path = public, pg_temp AS $$
    SELECT c.org_id FROM device_claim c WHERE c.serial = given_serial AND c.ended_at IS NULL AND c.from_at <= at AND c.until_at > at ORDER BY c.org_id LIMIT 20
$$;
-- +goose StatementEnd
REVOKE ALL ON FUNCTION org_of_device(text), orgs_of_claim(text, timestamptz) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION org_of_device(text), orgs_of_claim(text, timestamptz) TO hale_app;
