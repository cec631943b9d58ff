-- Why: patients say what is wrong in their record, and let a doctor see it for a while through a secret link. A correction is
-- asked, then accepted with what was done, refused with the reason, or withdrawn; what a name or a
-- birth was before stays in patient_change. Of a link only the hash is kept, and each opening counts: it is found by the hash before the organisation is
-- known, by a function that counts in the same step, so that nobody opens it once more than was allowed.
-- +goose Up
SET LOCAL ROLE hale_owner;

CREATE TABLE correction (
    org_id       integer NOT NULL,
    id           bigint GENERATED ALWAYS AS IDENTITY,
    uid          uuid NOT NULL UNIQUE,
    patient_id   bigint NOT NULL,
    kind         text NOT NULL CHECK (kind IN ('reading', 'name', 'birth', 'note')),
    metric       smallint,                         -- of a reading, with the two below
    reading_at   timestamptz,
    reading_id   bigint,
    about        text NOT NULL DEFAULT '',         -- of a note: the alert's uid
    wish         text NOT NULL CHECK (wish <> ''), -- what is wrong, in the patient's words
    asked_name   text NOT NULL,
    asked_role   text NOT NULL,
    asked_at     timestamptz NOT NULL,
    state        text NOT NULL DEFAULT 'asked' CHECK (state IN ('asked', 'accepted', 'refused', 'withdrawn')),
    decided_by   bigint,
    decided_name text NOT NULL DEFAULT '',
    decided_at   timestamptz,
    answer       text NOT NULL DEFAULT '',         -- what was done, or why not
    PRIMARY KEY (org_id, id),
    CHECK ((kind = 'reading') = (reading_id IS NOT NULL) AND (reading_id IS NULL) = (reading_at IS NULL) AND (reading_id IS NULL) = (metric IS NULL)),
    CHECK ((state = 'asked') = (decided_at IS NULL)),
    CHECK ((state IN ('accepted', 'refused')) <= (answer <> '')),
    FOREIGN KEY (org_id, patient_id) REFERENCES patient (org_id, id),
    FOREIGN KEY (org_id, decided_by) REFERENCES staff (org_id, id)
);
CREATE INDEX correction_of_patient ON correction (patient_id, id DESC);
CREATE UNIQUE INDEX correction_asked_once ON correction (patient_id, kind, about, coalesce(reading_id, 0)) WHERE state = 'asked';
-- A chart asks which of its readings are disputed.
CREATE INDEX correction_disputes ON correction (patient_id, reading_id) WHERE kind = 'reading' AND state IN ('asked', 'accepted');

CREATE TABLE share (
    org_id         integer NOT NULL,
    id             bigint GENERATED ALWAYS AS IDENTITY,
    uid            uuid NOT NULL UNIQUE,
    patient_id     bigint NOT NULL,
    what           text NOT NULL CHECK (what IN ('sheet', 'month', 'everything')),
    secret_hash    bytea NOT NULL UNIQUE CHECK (length(secret_hash) = 32),
    made_name      text NOT NULL,
    made_role      text NOT NULL,
    created_at     timestamptz NOT NULL,
    expires_at     timestamptz NOT NULL CHECK (expires_at > created_at),
    opens_most     integer NOT NULL CHECK (opens_most BETWEEN 1 AND 100),
    opened         integer NOT NULL DEFAULT 0 CHECK (opened BETWEEN 0 AND opens_most),
    last_opened_at timestamptz,
    ended_at       timestamptz,
    PRIMARY KEY (org_id, id),
    FOREIGN KEY (org_id, patient_id) REFERENCES patient (org_id, id)
);
CREATE INDEX share_of_patient ON share (patient_id, id DESC);

-- Whom the emergency sheet says to call; empty: not recorded.
ALTER TABLE team ADD COLUMN IF NOT EXISTS phone text NOT NULL DEFAULT '';
ALTER TABLE caregiver ADD COLUMN IF NOT EXISTS phone text NOT NULL DEFAULT '';

SELECT isolate('correction'), isolate('share');
SELECT keep_to_patients(t) FROM unnest(ARRAY['correction', 'share']::regclass[]) t;
-- What is kept from a caregiver (00009) is not among the rows.
CREATE POLICY not_hidden ON correction AS RESTRICTIVE FOR SELECT TO hale_app USING ((SELECT current_setting('app.view', true) IS DISTINCT FROM 'caregiver')
    OR NOT EXISTS (SELECT FROM hidden_from_me() h WHERE h.patient_id = correction.patient_id
        AND (h.kind = 'frozen' AND correction.asked_at >= h.from_at OR h.kind = 'correction' AND correction.uid = h.ref)));
CREATE POLICY not_hidden ON share AS RESTRICTIVE FOR SELECT TO hale_app USING ((SELECT current_setting('app.view', true) IS DISTINCT FROM 'caregiver')
    OR NOT EXISTS (SELECT FROM hidden_from_me() h WHERE h.patient_id = share.patient_id AND h.kind = 'frozen' AND share.created_at >= h.from_at));
GRANT SELECT, INSERT ON correction, share TO hale_app;
GRANT UPDATE (state, decided_by, decided_name, decided_at, answer) ON correction TO hale_app;
GRANT UPDATE (ended_at) ON share TO hale_app;
-- A copy of a record tells which notices were owed, and when.
GRANT SELECT (severity, created_at) ON outbox TO hale_app;
GRANT SELECT, UPDATE (opened, last_opened_at) ON share TO hale_migrate;
GRANT SELECT ON patient TO hale_migrate;

RESET ROLE;
-- +goose StatementBegin
CREATE FUNCTION open_share(given_hash bytea, at timestamptz)
RETURNS TABLE (org_id integer, uid uuid, patient_id bigint, patient_uid uuid, what text, expires_at timestamptz, opened integer, opens_most integer)
LANGUAGE sql VOLATILE SECURITY DEFINER SET search_path = public, pg_temp AS $$
    UPDATE share s SET opened = s.opened + 1, last_opened_at = at FROM patient p
    WHERE s.secret_hash = given_hash AND s.ended_at IS NULL AND s.expires_at > at AND s.opened < s.opens_most AND p.org_id = s.org_id AND p.id = s.patient_id
    RETURNING s.org_id, s.uid, s.patient_id, p.uid, s.what, s.expires_at, s.opened, s.opens_most
$$;
-- +goose StatementEnd
REVOKE ALL ON FUNCTION open_share(bytea, timestamptz) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION open_share(bytea, timestamptz) TO hale_app;
