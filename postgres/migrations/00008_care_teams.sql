-- Why: who may see a patient follows from being in a care team together, and ends with it. Teams, their people and their
-- patients stand in periods; broken glass and what a patient shares with a caregiver are the two other ways in. Row level
-- security knows them too: hale_app sees the rows of those patients only whom the person it acts for reaches.
-- +goose Up
SET LOCAL ROLE hale_owner;

CREATE TABLE team (
    org_id     integer NOT NULL REFERENCES org,
    id         bigint GENERATED ALWAYS AS IDENTITY UNIQUE,
    uid        uuid NOT NULL UNIQUE,
    name       text NOT NULL CHECK (name <> ''),
    usual      boolean NOT NULL DEFAULT false, -- takes in who is sent to no other
    created_at timestamptz NOT NULL,
    ended_at   timestamptz CHECK (ended_at > created_at),
    PRIMARY KEY (org_id, id),
    CHECK (NOT usual OR ended_at IS NULL)
);
CREATE UNIQUE INDEX team_name ON team (org_id, name) WHERE ended_at IS NULL;
CREATE UNIQUE INDEX team_usual ON team (org_id) WHERE usual;

CREATE TABLE team_member (
    org_id   integer NOT NULL,
    id       bigint GENERATED ALWAYS AS IDENTITY,
    team_id  bigint NOT NULL,
    staff_id bigint NOT NULL,
    from_at  timestamptz NOT NULL,
    to_at    timestamptz CHECK (to_at >= from_at), -- one that was ended before it began lasted for no moment
    PRIMARY KEY (org_id, id),
    FOREIGN KEY (org_id, team_id) REFERENCES team (org_id, id),
    FOREIGN KEY (org_id, staff_id) REFERENCES staff (org_id, id)
);
CREATE INDEX team_member_of_staff ON team_member (org_id, staff_id, team_id);
CREATE UNIQUE INDEX team_member_once ON team_member (org_id, team_id, staff_id) WHERE to_at IS NULL;

CREATE TABLE team_patient (
    org_id     integer NOT NULL,
    id         bigint GENERATED ALWAYS AS IDENTITY,
    team_id    bigint NOT NULL,
    patient_id bigint NOT NULL,
    from_at    timestamptz NOT NULL,
    to_at      timestamptz CHECK (to_at >= from_at),
    PRIMARY KEY (org_id, id),
    FOREIGN KEY (org_id, team_id) REFERENCES team (org_id, id),
    FOREIGN KEY (org_id, patient_id) REFERENCES patient (org_id, id)
);
CREATE INDEX team_patient_of_team ON team_patient (org_id, team_id, patient_id);
CREATE UNIQUE INDEX team_patient_once ON team_patient (org_id, patient_id, team_id) WHERE to_at IS NULL;

CREATE TABLE break_glass (
    org_id      integer NOT NULL,
    id          bigint GENERATED ALWAYS AS IDENTITY,
    uid         uuid NOT NULL UNIQUE,
    patient_id  bigint NOT NULL,
    staff_id    bigint NOT NULL,
    reason      text NOT NULL CHECK (reason <> ''),
    from_at     timestamptz NOT NULL,
    until_at    timestamptz NOT NULL CHECK (until_at > from_at),
    ended_at    timestamptz,
    reviewed_at timestamptz,
    reviewed_by bigint,
    finding     text NOT NULL DEFAULT '',
    PRIMARY KEY (org_id, id),
    CHECK ((reviewed_at IS NULL) = (reviewed_by IS NULL)),
    FOREIGN KEY (org_id, patient_id) REFERENCES patient (org_id, id),
    FOREIGN KEY (org_id, staff_id) REFERENCES staff (org_id, id),
    FOREIGN KEY (org_id, reviewed_by) REFERENCES staff (org_id, id)
);
CREATE INDEX break_glass_of_staff ON break_glass (org_id, staff_id, until_at);
CREATE INDEX break_glass_of_patient ON break_glass (org_id, patient_id);

-- Whom a patient lets in. scopes are actions (account.Scopes).
CREATE TABLE caregiver (
    org_id     integer NOT NULL REFERENCES org,
    id         bigint GENERATED ALWAYS AS IDENTITY UNIQUE,
    uid        uuid NOT NULL UNIQUE,
    name       text NOT NULL CHECK (name <> ''),
    created_at timestamptz NOT NULL,
    PRIMARY KEY (org_id, id)
);

CREATE TABLE caregiver_grant (
    org_id       integer NOT NULL,
    id           bigint GENERATED ALWAYS AS IDENTITY,
    patient_id   bigint NOT NULL,
    caregiver_id bigint NOT NULL,
    guardian     boolean NOT NULL DEFAULT false,
    scopes       text NOT NULL,
    from_at      timestamptz NOT NULL,
    to_at        timestamptz CHECK (to_at >= from_at),
    suspended_at timestamptz,
    PRIMARY KEY (org_id, id),
    FOREIGN KEY (org_id, patient_id) REFERENCES patient (org_id, id),
    FOREIGN KEY (org_id, caregiver_id) REFERENCES caregiver (org_id, id)
);
CREATE INDEX caregiver_grant_of_caregiver ON caregiver_grant (org_id, caregiver_id);
CREATE INDEX caregiver_grant_of_patient ON caregiver_grant (org_id, patient_id);

ALTER TABLE patient ADD COLUMN state text NOT NULL DEFAULT 'active' CHECK (state IN ('active', 'ending', 'locked', 'merged'));

SELECT isolate('team'), isolate('team_member'), isolate('team_patient'), isolate('break_glass'), isolate('caregiver'), isolate('caregiver_grant');
GRANT SELECT, INSERT, UPDATE ON team, team_member, team_patient, break_glass, caregiver, caregiver_grant TO hale_app;

GRANT SELECT ON patient, break_glass TO hale_migrate;
GRANT SELECT, INSERT ON team, team_member, team_patient TO hale_migrate;
RESET ROLE;

-- The patients whom a member of staff that hale_app acts for looks after, or has broken the glass for. It runs as its owner: the
-- policies of the tables that it reads ask it.
-- +goose StatementBegin
CREATE FUNCTION my_care() RETURNS TABLE (patient_id bigint, team boolean, glass_until timestamptz)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = public, pg_temp AS $$
    WITH me AS MATERIALIZED (
        SELECT nullif(current_setting('app.who', true), '')::bigint AS who,
               nullif(current_setting('app.org', true), '')::int AS org, nullif(current_setting('app.now', true), '')::timestamptz AS at
        WHERE current_setting('app.view', true) IN ('staff', 'org')
    )
    SELECT p.patient_id, true, NULL::timestamptz
    FROM me JOIN team_member m ON m.org_id = me.org AND m.staff_id = me.who AND m.from_at <= me.at AND (m.to_at IS NULL OR m.to_at > me.at)
        JOIN team t ON t.org_id = m.org_id AND t.id = m.team_id AND (t.ended_at IS NULL OR t.ended_at > me.at)
        JOIN team_patient p ON p.org_id = m.org_id AND p.team_id = m.team_id AND p.from_at <= me.at AND (p.to_at IS NULL OR p.to_at > me.at)
    UNION ALL
    SELECT g.patient_id, false, g.until_at
    FROM me JOIN break_glass g ON g.org_id = me.org AND g.staff_id = me.who AND g.from_at <= me.at AND g.until_at > me.at AND g.ended_at IS NULL
$$;
-- +goose StatementEnd
REVOKE ALL ON FUNCTION my_care() FROM PUBLIC;
GRANT EXECUTE ON FUNCTION my_care() TO hale_app, hale_owner;

SET LOCAL ROLE hale_owner;
-- The patients whom the person that hale_app acts for reaches, and how. Who that is stands in settings of the transaction:
-- app.view ('staff', 'caregiver' or 'patient'), app.who (the id) and app.now (the moment). It runs as its caller.
-- +goose StatementBegin
CREATE FUNCTION my_patients() RETURNS TABLE (patient_id bigint, team boolean, glass_until timestamptz, shared text) LANGUAGE sql STABLE AS $$
    WITH ways AS (
        SELECT c.patient_id, c.team, c.glass_until, NULL::text AS shared FROM my_care() c
        UNION ALL
        SELECT g.patient_id, false, NULL, g.scopes FROM caregiver_grant g
        WHERE current_setting('app.view', true) = 'caregiver' AND g.caregiver_id = nullif(current_setting('app.who', true), '')::bigint
            AND g.from_at <= nullif(current_setting('app.now', true), '')::timestamptz AND g.suspended_at IS NULL
            AND (g.to_at IS NULL OR g.to_at > nullif(current_setting('app.now', true), '')::timestamptz)
        UNION ALL
        SELECT nullif(current_setting('app.who', true), '')::bigint, false, NULL, NULL WHERE current_setting('app.view', true) = 'patient'
    )
    SELECT w.patient_id, bool_or(w.team), max(w.glass_until), coalesce(string_agg(w.shared, ','), '') FROM ways w GROUP BY w.patient_id
$$;
-- +goose StatementEnd

-- +goose StatementBegin
-- Holds hale_app, in a table with a patient_id, to the patients within its view; what a table of another shape needs is given
-- as the condition that stands for "is of one of my patients". Restrictive: it is asked besides the organisation.
CREATE FUNCTION keep_to_patients(t regclass, otherwise text DEFAULT 'patient_id IN (SELECT mine.patient_id FROM my_patients() mine)', command text DEFAULT 'ALL')
RETURNS void LANGUAGE plpgsql SET search_path = public, pg_temp AS $$
BEGIN
    EXECUTE format('CREATE POLICY own_patients ON %s AS RESTRICTIVE FOR %s TO hale_app
        USING ((SELECT current_setting(''app.view'', true) = ''org'') OR %s)', t, command, otherwise);
END
$$;
-- +goose StatementEnd
REVOKE ALL ON FUNCTION keep_to_patients(regclass, text, text) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION my_patients() TO hale_app;

SELECT keep_to_patients('patient', 'id IN (SELECT mine.patient_id FROM my_patients() mine)');
SELECT keep_to_patients(t) FROM unnest(ARRAY['assignment', 'reading', 'rule', 'condition_interval', 'episode', 'situation_change']::regclass[]) t;
-- A row that tells an act or a notice is written about whom it concerns; only reading it needs reach.
SELECT keep_to_patients('outbox', command => 'SELECT'), keep_to_patients('audit', command => 'SELECT');
SELECT keep_to_patients('rule_version', 'EXISTS (SELECT FROM rule r WHERE r.org_id = rule_version.org_id AND r.id = rule_id)');
SELECT keep_to_patients('timeline', 'EXISTS (SELECT FROM episode e WHERE e.org_id = timeline.org_id AND e.id = episode_id)');
-- What belongs to a device, or to nobody yet, is for those who look after the organisation.
SELECT keep_to_patients('inbox', 'false'), keep_to_patients('quarantine', 'false');
SELECT keep_to_patients('team_patient');
SELECT keep_to_patients('break_glass', 'patient_id IN (SELECT mine.patient_id FROM my_patients() mine)');

RESET ROLE;

-- Everybody who is there stays together: one team, with all who care and all patients. hale_migrate sees every organisation.
INSERT INTO team (org_id, uid, name, usual, created_at)
    SELECT id, gen_random_uuid(), 'Home care', true, created_at FROM org;
INSERT INTO team_member (org_id, team_id, staff_id, from_at)
    SELECT t.org_id, t.id, s.id, s.created_at FROM staff s JOIN team t USING (org_id) WHERE s.role IN ('nurse', 'pharmacist', 'physician', 'administrator');
INSERT INTO team_patient (org_id, team_id, patient_id, from_at)
    SELECT t.org_id, t.id, p.id, p.created_at FROM patient p JOIN team t USING (org_id);
