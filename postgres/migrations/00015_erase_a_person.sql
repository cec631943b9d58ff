-- Why: who asks for it is erased: everywhere, by class of data, at once or when the law lets go of it. The request is decided
-- against the organisation's table of retention, confirmed by a second person, and carried out by functions that touch only
-- the person of a confirmed request that is due. Rows of the audit are blanked and stay in the chain. What was erased stands
-- in a ledger without a name, which is applied again after a restore; spans of sensors tell what may not come back.
-- +goose Up
SET LOCAL ROLE hale_owner;

-- How long an organisation keeps a class; a class without a row is kept as Hale's defaults say (safe.DefaultRetention).
CREATE TABLE retention (
    org_id integer NOT NULL REFERENCES org,
    class  text NOT NULL CHECK (class <> ''),
    years  smallint NOT NULL CHECK (years BETWEEN 0 AND 100),
    event  text NOT NULL CHECK (event IN ('end of care', 'decision')),
    linked boolean NOT NULL, -- kept together with who the person is
    ground text NOT NULL,
    PRIMARY KEY (org_id, class),
    CHECK (years = 0 OR ground <> '')
);

CREATE TABLE erasure_policy (
    org_id       integer PRIMARY KEY REFERENCES org,
    cooling_days smallint NOT NULL CHECK (cooling_days BETWEEN 0 AND 90),
    backup_days  smallint NOT NULL CHECK (backup_days BETWEEN 0 AND 3660)
);

-- due_at is when Hale acts next; step is how far it has come; stream_seq what the cursors have to pass before the next step.
CREATE TABLE erasure (
    org_id         integer NOT NULL REFERENCES org,
    id             bigint GENERATED ALWAYS AS IDENTITY UNIQUE,
    uid            uuid NOT NULL UNIQUE,
    number         integer NOT NULL CHECK (number > 0),
    patient_id     bigint,  -- until nothing of the person is left
    patient_hash   bytea CHECK (length(patient_hash) = 32), -- of the uid: finds the person again in a restored record, and nowhere else
    state          text NOT NULL CHECK (state IN ('asked', 'refused', 'withdrawn', 'decided', 'confirmed', 'erasing', 'kept', 'done')),
    step           text NOT NULL DEFAULT '' CHECK (step IN ('', 'cut off', 'deleted', 'purged')),
    on_paper       boolean NOT NULL DEFAULT false,
    wish           text NOT NULL DEFAULT '',
    asked_role     text NOT NULL,
    asked_at       timestamptz NOT NULL,
    answer         text NOT NULL DEFAULT '',
    decided_by     bigint,
    decided_at     timestamptz,
    confirmed_by   bigint,
    confirmed_at   timestamptz,
    due_at         timestamptz,
    cut_at         timestamptz,
    lease_until    timestamptz NOT NULL DEFAULT '-infinity',
    stream         text NOT NULL DEFAULT '',
    stream_seq     bigint,
    executed_at    timestamptz,
    receipt        text NOT NULL DEFAULT '',
    version        integer NOT NULL DEFAULT 1,
    PRIMARY KEY (org_id, id),
    UNIQUE (org_id, number),
    CHECK (state NOT IN ('decided', 'confirmed', 'erasing') OR patient_id IS NOT NULL OR step <> ''),
    CHECK ((decided_at IS NULL) = (state IN ('asked', 'withdrawn')) OR state = 'withdrawn'),
    CHECK (state <> 'refused' OR answer <> ''),
    CHECK (confirmed_by IS NULL OR confirmed_by IS DISTINCT FROM decided_by), -- four eyes
    FOREIGN KEY (org_id, patient_id) REFERENCES patient (org_id, id),
    FOREIGN KEY (org_id, decided_by) REFERENCES staff (org_id, id),
    FOREIGN KEY (org_id, confirmed_by) REFERENCES staff (org_id, id)
);
CREATE UNIQUE INDEX erasure_one_open ON erasure (org_id, patient_id) WHERE state NOT IN ('refused', 'withdrawn', 'done');
CREATE INDEX erasure_due ON erasure (due_at) WHERE due_at IS NOT NULL;

CREATE TABLE erasure_item (
    org_id     integer NOT NULL,
    erasure_id bigint NOT NULL,
    class      text NOT NULL,
    keep_until timestamptz, -- null: erased at once
    linked     boolean NOT NULL DEFAULT false,
    ground     text NOT NULL DEFAULT '',
    done_at    timestamptz,
    PRIMARY KEY (org_id, erasure_id, class),
    CHECK (keep_until IS NULL OR ground <> ''),
    FOREIGN KEY (org_id, erasure_id) REFERENCES erasure (org_id, id)
);

-- What was measured by this sensor in this span is of somebody who was erased: it is nobody's and is not kept. Without an
-- end it lasts until the sensor is somebody else's.
CREATE TABLE erased_span (
    org_id     integer NOT NULL,
    id         bigint GENERATED ALWAYS AS IDENTITY,
    erasure_id bigint NOT NULL,
    sensor_id  bigint NOT NULL,
    from_at    timestamptz NOT NULL,
    to_at      timestamptz,
    erased_at  timestamptz NOT NULL,
    dropped    bigint NOT NULL DEFAULT 0, -- readings that came later and were let go, at least
    PRIMARY KEY (org_id, id),
    CHECK (to_at > from_at),
    FOREIGN KEY (org_id, erasure_id) REFERENCES erasure (org_id, id),
    FOREIGN KEY (org_id, sensor_id) REFERENCES sensor (org_id, id)
);
CREATE INDEX erased_span_of_sensor ON erased_span (sensor_id, from_at);

CREATE INDEX erased_span_of_erasure ON erased_span (org_id, erasure_id);

-- What was carried out, enough to do it again. patient_id is the number that a row had, and refers to nobody.
CREATE TABLE erasure_ledger (
    org_id       integer NOT NULL REFERENCES org,
    id           bigint GENERATED ALWAYS AS IDENTITY,
    uid          uuid NOT NULL UNIQUE,
    erasure_uid  uuid NOT NULL,
    number       integer NOT NULL,
    patient_id   bigint NOT NULL,
    patient_hash bytea NOT NULL CHECK (length(patient_hash) = 32),
    classes      text NOT NULL,  -- that were erased, separated by commas
    kept         jsonb NOT NULL, -- [{class, until, linked, ground}]
    spans        jsonb NOT NULL, -- [{sensor, from, to}]
    also         jsonb NOT NULL, -- [{row, hash}] of records that were merged into theirs
    at           timestamptz NOT NULL,
    PRIMARY KEY (org_id, id)
);
CREATE TRIGGER erasure_ledger_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON erasure_ledger FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();

-- What erasure does with each table: written by `hale migrate` from the program's own list, read by erase_rows alone.
CREATE TABLE erasure_rule (
    position   integer PRIMARY KEY,
    table_name text NOT NULL,
    phase      text NOT NULL, -- 'cut off', a class, 'last'; '' where nothing is to be done
    statement  text NOT NULL
);

SELECT isolate(t) FROM unnest(ARRAY['retention', 'erasure_policy', 'erasure', 'erasure_item', 'erased_span', 'erasure_ledger']::regclass[]) t;
SELECT keep_to_patients('erasure'), keep_to_patients('erased_span', 'false'), keep_to_patients('erasure_ledger', 'false');
SELECT keep_to_patients('erasure_item', 'EXISTS (SELECT FROM erasure e WHERE e.org_id = erasure_item.org_id AND e.id = erasure_id)');
GRANT SELECT, INSERT, UPDATE ON retention, erasure_policy TO hale_app;
GRANT SELECT, INSERT ON erasure TO hale_app;
GRANT UPDATE (state, answer, decided_by, decided_at, confirmed_by, confirmed_at, due_at, version) ON erasure TO hale_app;
GRANT SELECT, INSERT, DELETE ON erasure_item TO hale_app;
GRANT SELECT ON erased_span TO hale_app;
GRANT SELECT ON erasure, erasure_item, erased_span, erasure_ledger, erasure_policy, retention, team_patient TO hale_work;
GRANT UPDATE (state, step, due_at, lease_until, stream, stream_seq, executed_at, receipt, version) ON erasure TO hale_work;
GRANT INSERT ON erasure_ledger TO hale_work;

-- By which the rows of one person are found, and by which the checks of references to what is deleted look: without them each
-- reads the table, which others wait for.
CREATE INDEX condition_interval_of_patient ON condition_interval (patient_id);
CREATE INDEX episode_of_rule ON episode (rule_id);
CREATE INDEX outbox_of_patient ON outbox (patient_id);
CREATE INDEX outbox_of_caregiver ON outbox (caregiver_id) WHERE caregiver_id IS NOT NULL;
CREATE INDEX patient_merged_into ON patient (org_id, merged_into) WHERE merged_into IS NOT NULL;
CREATE INDEX merge_from ON merge (org_id, from_id);
CREATE INDEX refile_undo_of ON refile (undo_of) WHERE undo_of IS NOT NULL;
CREATE INDEX refile_episode_of_episode ON refile_episode (episode_id);
CREATE INDEX refile_part_of_assignment ON refile_part (target_assignment) WHERE target_assignment IS NOT NULL;
CREATE INDEX team_patient_of_patient ON team_patient (patient_id);
CREATE INDEX session_ever_of_patient ON session (patient_id) WHERE patient_id IS NOT NULL;
CREATE INDEX session_ever_of_caregiver ON session (caregiver_id) WHERE caregiver_id IS NOT NULL;
CREATE INDEX invitation_ever_of_patient ON invitation (patient_id);
CREATE INDEX invitation_ever_of_caregiver ON invitation (caregiver_id) WHERE caregiver_id IS NOT NULL;
CREATE INDEX private_item_ever_of_patient ON private_item (patient_id);
CREATE INDEX guardian_request_of_patient ON guardian_request (patient_id);
CREATE INDEX guardian_request_of_caregiver ON guardian_request (caregiver_id);
CREATE INDEX consent_decision_of_caregiver ON consent_decision (caregiver_id) WHERE caregiver_id IS NOT NULL;
CREATE INDEX audit_glass_of_nobody ON audit (actor_id, at) WHERE action = 'break the glass of nobody'; -- an emergency waits for no whole trail
CREATE INDEX erasure_of_patient ON erasure (patient_id) WHERE patient_id IS NOT NULL;

-- Who is erased, while something that may not go yet hangs on the row, is nobody to hale_app.
ALTER TABLE patient ADD COLUMN erased_at timestamptz;
CREATE POLICY not_erased ON patient AS RESTRICTIVE TO hale_app USING (erased_at IS NULL);
-- The processor is told to forget a person whose row is gone in the same moment.
ALTER TABLE situation_change DROP CONSTRAINT situation_change_org_id_patient_id_fkey;

-- Samples of these columns must not stand in the planner's statistics.
ALTER TABLE patient ALTER COLUMN name SET STATISTICS 0, ALTER COLUMN number SET STATISTICS 0, ALTER COLUMN uid SET STATISTICS 0;
ALTER TABLE episode ALTER COLUMN note SET STATISTICS 0, ALTER COLUMN last_values SET STATISTICS 0, ALTER COLUMN worst_values SET STATISTICS 0,
    ALTER COLUMN last_grounds SET STATISTICS 0, ALTER COLUMN worst_grounds SET STATISTICS 0;
ALTER TABLE timeline ALTER COLUMN note SET STATISTICS 0, ALTER COLUMN vals SET STATISTICS 0, ALTER COLUMN grounds SET STATISTICS 0;
ALTER TABLE rule_version ALTER COLUMN spec SET STATISTICS 0, ALTER COLUMN reason SET STATISTICS 0, ALTER COLUMN advice SET STATISTICS 0;
ALTER TABLE quarantine ALTER COLUMN raw SET STATISTICS 0, ALTER COLUMN detail SET STATISTICS 0;
ALTER TABLE caregiver ALTER COLUMN name SET STATISTICS 0;
ALTER TABLE patient_change ALTER COLUMN before SET STATISTICS 0, ALTER COLUMN after SET STATISTICS 0;
ALTER TABLE consent_decision ALTER COLUMN document SET STATISTICS 0, ALTER COLUMN witness SET STATISTICS 0, ALTER COLUMN recorded_by SET STATISTICS 0;
ALTER TABLE correction ALTER COLUMN wish SET STATISTICS 0, ALTER COLUMN asked_name SET STATISTICS 0;
ALTER TABLE share ALTER COLUMN made_name SET STATISTICS 0;
ALTER TABLE break_glass ALTER COLUMN reason SET STATISTICS 0;
ALTER TABLE erasure ALTER COLUMN wish SET STATISTICS 0;
ALTER TABLE refile ALTER COLUMN reason SET STATISTICS 0;
ALTER TABLE merge ALTER COLUMN reason SET STATISTICS 0, ALTER COLUMN override SET STATISTICS 0, ALTER COLUMN kept SET STATISTICS 0, ALTER COLUMN undo_reason SET STATISTICS 0;
ALTER TABLE audit ALTER COLUMN actor_name SET STATISTICS 0, ALTER COLUMN object SET STATISTICS 0, ALTER COLUMN detail SET STATISTICS 0, ALTER COLUMN salt SET STATISTICS 0;

-- A blanked row keeps the hash of what it was about, and names the entry that accounts for it.
ALTER TABLE audit ADD COLUMN subject bytea CHECK (length(subject) = 32);
ALTER TABLE audit ADD COLUMN blanked uuid;
ALTER TABLE audit ADD CONSTRAINT audit_blanked_check CHECK (
    (subject IS NULL) = (blanked IS NULL) AND (subject IS NULL OR (patient_id IS NULL AND object = '' AND detail = '' AND salt = ''
        AND (actor_name = '' OR actor_role NOT IN ('patient', 'caregiver', 'guardian')))));

CREATE INDEX audit_blanked ON audit (org_id, blanked) WHERE blanked IS NOT NULL;

-- +goose StatementBegin
-- The salted hash of whom and what a row is about, as account.AuditRow has it; of an act of a patient or somebody close to
-- them it holds the name too.
CREATE FUNCTION audit_subject(salt bytea, patient_id bigint, object text, detail text, name text, role text) RETURNS bytea LANGUAGE sql IMMUTABLE SET search_path = pg_catalog AS $$
    SELECT sha256(int8send(20) || convert_to('hale audit subject ' || CASE WHEN role IN ('patient', 'caregiver', 'guardian') THEN '2' ELSE '1' END, 'UTF8')
        || int8send(length(salt)) || salt || int8send(8) || int8send(coalesce(patient_id, 0))
        || int8send(octet_length(object)) || convert_to(object, 'UTF8') || int8send(octet_length(detail)) || convert_to(detail, 'UTF8')
        || CASE WHEN role IN ('patient', 'caregiver', 'guardian') THEN int8send(octet_length(name)) || convert_to(name, 'UTF8') ELSE '' END)
$$;
-- +goose StatementEnd
-- +goose StatementBegin
-- Two changes of a row are let through, each once: its seal, and its blanking by erasure. Nobody else passes, whatever they
-- were granted.
CREATE FUNCTION guard_audit() RETURNS trigger LANGUAGE plpgsql SET search_path = public, pg_temp AS $$
DECLARE
    same boolean := (NEW.org_id, NEW.id, NEW.at, NEW.actor_id, NEW.actor_role, NEW.session_uid, NEW.action)
        IS NOT DISTINCT FROM (OLD.org_id, OLD.id, OLD.at, OLD.actor_id, OLD.actor_role, OLD.session_uid, OLD.action);
    about boolean := (NEW.actor_name, NEW.patient_id, NEW.object, NEW.detail, NEW.salt, NEW.subject, NEW.blanked)
        IS NOT DISTINCT FROM (OLD.actor_name, OLD.patient_id, OLD.object, OLD.detail, OLD.salt, OLD.subject, OLD.blanked);
    personal boolean := OLD.actor_role IN ('patient', 'caregiver', 'guardian');
BEGIN
    IF same AND about AND OLD.seq IS NULL AND NEW.seq IS NOT NULL THEN
        RETURN NEW;
    END IF;
    IF same AND (NEW.seq, NEW.hash) IS NOT DISTINCT FROM (OLD.seq, OLD.hash) AND OLD.blanked IS NULL AND NEW.blanked IS NOT NULL
        AND NEW.actor_name = (CASE WHEN personal THEN '' ELSE OLD.actor_name END)
        AND NEW.subject = audit_subject(OLD.salt, OLD.patient_id, OLD.object, OLD.detail, OLD.actor_name, OLD.actor_role)
        AND current_user = 'hale_migrate' AND current_setting('app.blanking', true) = NEW.blanked::text THEN
        RETURN NEW;
    END IF;
    RAISE EXCEPTION 'audit is append-only' USING ERRCODE = 'insufficient_privilege';
END
$$;
-- +goose StatementEnd
DROP TRIGGER audit_sealed_once ON audit;
CREATE TRIGGER audit_sealed_once BEFORE UPDATE ON audit FOR EACH ROW EXECUTE FUNCTION guard_audit();
-- +goose StatementBegin
-- Nobody but erasure writes the entry that accounts for blanked rows.
CREATE FUNCTION guard_blanking() RETURNS trigger LANGUAGE plpgsql SET search_path = public, pg_temp AS $$
BEGIN
    IF current_user <> 'hale_migrate' THEN
        RAISE EXCEPTION 'only an erasure blanks audit rows' USING ERRCODE = 'insufficient_privilege';
    END IF;
    RETURN NEW;
END
$$;
-- +goose StatementEnd
CREATE TRIGGER audit_blanking BEFORE INSERT ON audit FOR EACH ROW WHEN (NEW.action = 'blank audit rows') EXECUTE FUNCTION guard_blanking();

-- +goose StatementBegin
-- What is append-only stays so, but for the rows of a person who is being erased.
CREATE FUNCTION refuse_change_but_erasure() RETURNS trigger LANGUAGE plpgsql SET search_path = public, pg_temp AS $$
BEGIN
    IF TG_OP = 'DELETE' AND current_user = 'hale_migrate' AND current_setting('app.erasing', true) <> '' THEN
        RETURN NULL;
    END IF;
    RAISE EXCEPTION '% is append-only', TG_TABLE_NAME USING ERRCODE = 'insufficient_privilege';
END
$$;
-- +goose StatementEnd
DROP TRIGGER timeline_append_only ON timeline;
CREATE TRIGGER timeline_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON timeline FOR EACH STATEMENT EXECUTE FUNCTION refuse_change_but_erasure();
DROP TRIGGER rule_version_append_only ON rule_version;
CREATE TRIGGER rule_version_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON rule_version FOR EACH STATEMENT EXECUTE FUNCTION refuse_change_but_erasure();

RESET ROLE;

-- What follows runs as hale_migrate: it passes row level security, and hale_work may call it and nothing more.
-- +goose StatementBegin
-- A person and the records that were merged into theirs.
CREATE FUNCTION erased_people(given_org integer, given_patient bigint) RETURNS SETOF bigint LANGUAGE sql STABLE SET search_path = public, pg_temp AS $$
    WITH RECURSIVE people AS (
        SELECT given_patient AS id
        UNION
        SELECT p.id FROM people x JOIN patient p ON p.org_id = given_org AND p.merged_into = x.id
    ) SELECT id FROM people
$$;
-- +goose StatementEnd
-- +goose StatementBegin
-- Those whom the person has let in, and nobody else has.
CREATE FUNCTION erased_caregivers(given_org integer, given_patient bigint) RETURNS SETOF bigint LANGUAGE sql STABLE SET search_path = public, pg_temp AS $$
    SELECT DISTINCT g.caregiver_id FROM caregiver_grant g WHERE g.org_id = given_org AND g.patient_id IN (SELECT x FROM erased_people(given_org, given_patient) x)
    EXCEPT
    SELECT g.caregiver_id FROM caregiver_grant g WHERE g.org_id = given_org AND g.patient_id NOT IN (SELECT x FROM erased_people(given_org, given_patient) x)
$$;
-- +goose StatementEnd
-- +goose StatementBegin
-- Whether somebody is erased, in this record or in the one that theirs was merged into: what they keep, a law keeps.
CREATE FUNCTION being_erased(given_org integer, given_patient bigint) RETURNS boolean LANGUAGE sql STABLE SET search_path = public, pg_temp AS $$
    WITH RECURSIVE people AS (
        SELECT given_patient AS id
        UNION
        SELECT p.merged_into FROM people x JOIN patient p ON p.org_id = given_org AND p.id = x.id WHERE p.merged_into IS NOT NULL
    ) SELECT EXISTS (SELECT FROM people x JOIN erasure e ON e.org_id = given_org AND e.patient_id = x.id
        WHERE e.cut_at IS NOT NULL AND e.state NOT IN ('refused', 'withdrawn', 'done'))
$$;
-- +goose StatementEnd
-- +goose StatementBegin
-- Carries out what one phase of an erasure does with every table: only of the person of a request that is being carried out.
-- The cursors come first in the lock order. To cut somebody off takes all of them, for a moment: batches that file readings come
-- wholly before or wholly after. Later nothing can be filed under the person any more, and only the partitions that judge them
-- (held) wait, so that none writes to an alert that goes.
CREATE FUNCTION erase_rows(given_org integer, given_erasure bigint, given_phase text, held integer[], at timestamptz)
RETURNS TABLE (erased_from text, erased_rows bigint) LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
    person bigint;
    rule   record;
BEGIN
    PERFORM 1 FROM stream_cursor c WHERE given_phase = 'cut off' OR c.partition = ANY (held) ORDER BY c.partition FOR UPDATE;
    SELECT e.patient_id INTO STRICT person FROM erasure e WHERE e.org_id = given_org AND e.id = given_erasure AND e.state = 'erasing' AND e.patient_id IS NOT NULL FOR UPDATE;
    IF given_phase NOT IN ('cut off', 'last') AND NOT EXISTS (SELECT FROM erasure_item i WHERE i.org_id = given_org AND i.erasure_id = given_erasure
        AND i.class = given_phase AND i.done_at IS NULL AND coalesce(i.keep_until, '-infinity') <= at) THEN
        RAISE EXCEPTION 'class % of erasure % is not due', given_phase, given_erasure;
    END IF;
    IF given_phase = 'last' AND EXISTS (SELECT FROM erasure_item i WHERE i.org_id = given_org AND i.erasure_id = given_erasure AND i.done_at IS NULL) THEN
        RAISE EXCEPTION 'something of erasure % is kept', given_erasure;
    END IF;
    -- Half of what a refile moves would stay with somebody else: it ends first.
    IF given_phase = 'cut off' AND EXISTS (SELECT FROM refile f JOIN erased_people(given_org, person) x ON x IN (f.source_id, f.target_id)
        WHERE f.org_id = given_org AND f.state = 'running') THEN
        RAISE EXCEPTION 'readings of the person are being filed anew' USING ERRCODE = 'lock_not_available';
    END IF;
    PERFORM set_config('app.erasing', given_erasure::text, true);
    FOR rule IN SELECT r.table_name, r.statement FROM erasure_rule r WHERE r.phase = given_phase AND r.statement <> '' ORDER BY r.position LOOP
        EXECUTE rule.statement USING given_org, person, given_erasure, at;
        GET DIAGNOSTICS erased_rows = ROW_COUNT;
        erased_from := rule.table_name;
        RETURN NEXT;
    END LOOP;
    PERFORM set_config('app.erasing', '', true);
    IF given_phase = 'cut off' THEN
        UPDATE erasure e SET cut_at = at, patient_hash = coalesce(e.patient_hash, (
            SELECT sha256(convert_to(p.uid::text || ' ' || o.uid::text, 'UTF8')) FROM patient p JOIN org o ON o.id = p.org_id WHERE p.org_id = given_org AND p.id = person))
        WHERE e.org_id = given_org AND e.id = given_erasure;
    ELSIF given_phase <> 'last' THEN
        UPDATE erasure_item i SET done_at = at WHERE i.org_id = given_org AND i.erasure_id = given_erasure AND i.class = given_phase;
    END IF;
    -- The processor forgets what it holds in memory.
    INSERT INTO situation_change (org_id, partition, patient_id, at) SELECT given_org, c.partition, person, at FROM stream_cursor c;
    UPDATE registry_version SET version = version + 1;
END
$$;
-- +goose StatementEnd
-- +goose StatementBegin
-- Deletes readings of a sensor that are the person's, at most so many, in a span of times as sent: by the primary key, in the
-- partitions of that span, and without holding anybody up. Nothing is filed under a person who is cut off.
CREATE FUNCTION erase_readings(given_org integer, given_erasure bigint, given_sensor bigint, low timestamptz, high timestamptz, most integer, at timestamptz) RETURNS bigint
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
    people bigint[];
    n      bigint;
BEGIN
    SELECT ARRAY(SELECT x FROM erased_people(given_org, e.patient_id) x) INTO STRICT people FROM erasure e
    WHERE e.org_id = given_org AND e.id = given_erasure AND e.state = 'erasing' AND e.patient_id IS NOT NULL AND e.cut_at IS NOT NULL;
    IF NOT EXISTS (SELECT FROM erasure_item i WHERE i.org_id = given_org AND i.erasure_id = given_erasure
        AND i.class = 'readings' AND i.done_at IS NULL AND coalesce(i.keep_until, '-infinity') <= at) THEN
        RAISE EXCEPTION 'the readings of erasure % are not due', given_erasure;
    END IF;
    WITH chosen AS MATERIALIZED (
        SELECT r.metric, r.sent_at, r.tie FROM reading r
        WHERE r.sensor_id = given_sensor AND r.sent_at >= low AND r.sent_at < high AND r.patient_id = ANY (people) LIMIT most
    )
    DELETE FROM reading r USING chosen c
    WHERE r.sensor_id = given_sensor AND r.metric = c.metric AND r.sent_at = c.sent_at AND r.tie = c.tie AND r.sent_at >= low AND r.sent_at < high;
    GET DIAGNOSTICS n = ROW_COUNT;
    RETURN n;
END
$$;
-- +goose StatementEnd
-- +goose StatementBegin
-- By what the audit knows the person of an erasure that is being carried out, and those who are close to them and to nobody else.
CREATE FUNCTION erased_names(given_org integer, given_erasure bigint, OUT people bigint[], OUT uids text[], OUT names text[], OUT near_names text[])
LANGUAGE plpgsql STABLE SET search_path = public, pg_temp AS $$
DECLARE
    person bigint;
BEGIN
    SELECT e.patient_id INTO STRICT person FROM erasure e WHERE e.org_id = given_org AND e.id = given_erasure AND e.state = 'erasing' AND e.patient_id IS NOT NULL;
    SELECT array_agg(p.id), array_agg(p.uid::text), array_agg(p.name) INTO people, uids, names
    FROM patient p WHERE p.org_id = given_org AND p.id IN (SELECT x FROM erased_people(given_org, person) x);
    SELECT uids || array_agg(c.uid::text), array_agg(c.name) INTO uids, near_names
    FROM caregiver c WHERE c.org_id = given_org AND c.id IN (SELECT x FROM erased_caregivers(given_org, person) x);
END
$$;
-- +goose StatementEnd
-- +goose StatementBegin
-- Whether an audit row is about them. What names the person without being filed under them is an import, a merge, a sign-in, or
-- an act of somebody close to them who is close to nobody else. Not whole: what others did stays, under a number that is nobody's.
CREATE FUNCTION audit_is_about(whole boolean, patient bigint, role text, name text, object text, detail text, people bigint[], uids text[], names text[], near_names text[])
RETURNS boolean LANGUAGE sql IMMUTABLE SET search_path = pg_catalog AS $$
    SELECT (whole OR patient IS NULL OR role IN ('patient', 'caregiver', 'guardian')) AND (patient = ANY (people)
        OR EXISTS (SELECT FROM unnest(uids) u WHERE strpos(object, u) > 0 OR strpos(detail, u) > 0)
        OR patient IS NULL AND (role = 'patient' AND name = ANY (names) OR role IN ('caregiver', 'guardian') AND name = ANY (near_names)))
$$;
-- +goose StatementEnd
-- +goose StatementBegin
-- Finds the sealed audit rows about the person in a piece of the chain, (low, high]: the whole trail is read before anybody
-- waits, and in pieces.
CREATE FUNCTION find_audit(given_org integer, given_erasure bigint, whole boolean, low bigint, high bigint) RETURNS SETOF bigint
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
    who record;
BEGIN
    SELECT * INTO who FROM erased_names(given_org, given_erasure);
    RETURN QUERY SELECT a.id FROM audit a WHERE a.org_id = given_org AND a.seq > low AND a.seq <= high AND a.blanked IS NULL
        AND audit_is_about(whole, a.patient_id, a.actor_role, a.actor_name, a.object, a.detail, who.people, who.uids, who.names, who.near_names);
END
$$;
-- +goose StatementEnd
-- +goose StatementBegin
-- Blanks the audit rows about the person of an erasure that is being carried out, and writes the entry that accounts for them.
-- named are rows that find_audit found among those up to the place seen in the chain; what came after is looked at here. A row
-- that is not about the person stays, whoever named it.
CREATE FUNCTION blank_audit(given_org integer, given_erasure bigint, whole boolean, named bigint[], seen bigint, entry uuid, at timestamptz) RETURNS bigint
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
    who     record;
    request integer;
    n       bigint;
    digest  bytea;
BEGIN
    PERFORM 1 FROM audit_chain c WHERE c.org_id = given_org FOR UPDATE; -- the sealer waits
    SELECT e.number INTO STRICT request FROM erasure e WHERE e.org_id = given_org AND e.id = given_erasure AND e.state = 'erasing' AND e.patient_id IS NOT NULL;
    SELECT * INTO who FROM erased_names(given_org, given_erasure);
    PERFORM set_config('app.blanking', entry::text, true);
    UPDATE audit a SET subject = audit_subject(a.salt, a.patient_id, a.object, a.detail, a.actor_name, a.actor_role), blanked = entry,
        actor_name = CASE WHEN a.actor_role IN ('patient', 'caregiver', 'guardian') THEN '' ELSE a.actor_name END, patient_id = NULL, object = '', detail = '', salt = ''
    WHERE a.org_id = given_org AND a.blanked IS NULL
      AND a.id IN (SELECT f FROM unnest(named) f
        UNION SELECT b.id FROM audit b WHERE b.org_id = given_org AND b.patient_id = ANY (who.people)
        UNION SELECT b.id FROM audit b WHERE b.org_id = given_org AND b.seq > seen
        UNION SELECT b.id FROM audit b WHERE b.org_id = given_org AND b.seq IS NULL)
      AND audit_is_about(whole, a.patient_id, a.actor_role, a.actor_name, a.object, a.detail, who.people, who.uids, who.names, who.near_names);
    SELECT count(*), sha256(coalesce(string_agg(int8send(a.id) || a.subject, ''::bytea ORDER BY a.id), '')) INTO n, digest FROM audit a WHERE a.org_id = given_org AND a.blanked = entry;
    INSERT INTO audit (org_id, at, actor_name, actor_role, action, object, detail)
    VALUES (given_org, at, 'hale', '', 'blank audit rows', 'blanking ' || entry, format('erasure %s: %s rows, %s', request, n, encode(digest, 'hex')));
    PERFORM set_config('app.blanking', '', true);
    RETURN n;
END
$$;
-- +goose StatementEnd
-- +goose StatementBegin
-- The tables that are to be written anew after an erasure: of one in partitions those of the months in which the person was
-- measured.
CREATE FUNCTION touched_by_erasure(given_org integer, given_erasure bigint) RETURNS SETOF text
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = public, pg_temp AS $$
    SELECT c.relname::text FROM pg_class c LEFT JOIN pg_inherits h ON h.inhrelid = c.oid LEFT JOIN pg_class p ON p.oid = h.inhparent
    WHERE c.relkind = 'r' AND c.relnamespace = 'public'::regnamespace
      AND EXISTS (SELECT FROM erasure_rule r WHERE r.table_name = coalesce(p.relname, c.relname) AND (r.phase <> '' OR r.table_name = 'audit'))
      AND (p.oid IS NULL OR c.relname !~ '_[0-9]{6}$' OR EXISTS (SELECT FROM erased_span s WHERE s.org_id = given_org AND s.erasure_id = given_erasure
        AND right(c.relname, 6) BETWEEN to_char((s.from_at - interval '1 day') AT TIME ZONE 'UTC', 'YYYYMM')
            AND to_char((least(coalesce(s.to_at, s.erased_at), s.erased_at) + interval '1 day') AT TIME ZONE 'UTC', 'YYYYMM')))
    ORDER BY 1
$$;
-- +goose StatementEnd
-- +goose StatementBegin
-- Writes a table, or a partition, anew without what was deleted: free space in its pages would still hold it. One larger than
-- most bytes is left to a person, since nobody else can use it meanwhile. It does not stand in line for long: others would behind it.
CREATE FUNCTION rewrite_erased(most bigint, only_table text) RETURNS boolean
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
    t record;
BEGIN
    PERFORM set_config('lock_timeout', '200ms', true);
    SELECT c.oid, c.relname, i.indexrelid::regclass AS key INTO STRICT t FROM pg_class c JOIN pg_index i ON i.indrelid = c.oid AND i.indisprimary
        LEFT JOIN pg_inherits h ON h.inhrelid = c.oid LEFT JOIN pg_class p ON p.oid = h.inhparent
        WHERE c.relkind = 'r' AND c.relnamespace = 'public'::regnamespace AND c.relname = only_table
          AND EXISTS (SELECT FROM erasure_rule r WHERE r.table_name = coalesce(p.relname, c.relname));
    IF pg_total_relation_size(t.oid) > most THEN
        RETURN false;
    END IF;
    EXECUTE format('CLUSTER public.%I USING %s', t.relname, t.key);
    RETURN true;
END
$$;
-- +goose StatementEnd
-- +goose StatementBegin
-- Readings of somebody who was erased, and of nobody since, are let go and counted. That their devices may be kept makes nobody
-- of them an owner; where the law keeps what was measured, what comes late of their own time waits with it.
CREATE FUNCTION drop_erased_reading() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
    span bigint;
BEGIN
    SELECT s.id INTO span FROM erased_span s
    WHERE s.id = (SELECT e.id FROM erased_span e WHERE e.sensor_id = NEW.sensor_id AND e.from_at <= NEW.measured_at AND (e.to_at IS NULL OR e.to_at > NEW.measured_at) LIMIT 1)
      AND NOT EXISTS (SELECT FROM assignment a WHERE a.sensor_id = NEW.sensor_id AND a.from_at <= NEW.measured_at AND (a.to_at IS NULL OR a.to_at > NEW.measured_at)
          AND (NOT being_erased(a.org_id, a.patient_id) OR EXISTS (SELECT FROM erasure_item i WHERE i.org_id = s.org_id AND i.erasure_id = s.erasure_id
              AND i.class = 'readings' AND i.done_at IS NULL AND i.keep_until > clock_timestamp())));
    IF FOUND THEN
        -- Whoever counts just now is not waited for: rows of spans have no place in the lock order of a batch.
        UPDATE erased_span s SET dropped = dropped + 1 WHERE s.id = (SELECT e.id FROM erased_span e WHERE e.id = span FOR UPDATE SKIP LOCKED);
        RETURN NULL;
    END IF;
    RETURN NEW;
END
$$;
-- +goose StatementEnd
-- +goose StatementBegin
-- Of what is refused of a device whose wearer was erased, only that it was refused is kept.
CREATE FUNCTION blank_erased_refusal() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
BEGIN
    IF EXISTS (SELECT FROM (
            SELECT n.id, true AS own, n.uid FROM sensor n WHERE n.org_id = NEW.org_id AND n.device_id = NEW.device_id
            UNION ALL SELECT n.id, false, n.uid FROM gateway_grant g JOIN sensor n ON n.org_id = g.org_id AND n.id = g.sensor_id WHERE g.org_id = NEW.org_id AND g.device_id = NEW.device_id
        ) n JOIN erased_span s ON s.sensor_id = n.id
        WHERE s.from_at <= NEW.received_at AND (s.to_at IS NULL OR s.to_at > NEW.received_at)
          AND (n.own OR NEW.reason = 'conflict' OR position(convert_to(n.uid, 'UTF8') IN NEW.raw) > 0)
          AND NOT EXISTS (SELECT FROM assignment a WHERE a.sensor_id = s.sensor_id AND a.from_at <= NEW.received_at AND (a.to_at IS NULL OR a.to_at > NEW.received_at)
              AND NOT being_erased(a.org_id, a.patient_id))) THEN
        NEW.topic := '';
        NEW.detail := 'of somebody who was erased';
        NEW.raw := '';
        NEW.hash := decode(repeat('00', 32), 'hex');
        NEW.identity := sha256(convert_to('erased ' || NEW.reason, 'UTF8'));
    END IF;
    RETURN NEW;
END
$$;
-- +goose StatementEnd
-- +goose StatementBegin
-- A sensor becomes somebody else's from after the erasure on, never in the span of who was erased, and never theirs again.
CREATE FUNCTION after_erasure() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
BEGIN
    IF EXISTS (SELECT FROM erased_span s WHERE s.sensor_id = NEW.sensor_id AND s.from_at < coalesce(NEW.to_at, 'infinity')
        AND NEW.from_at < coalesce(s.to_at, s.erased_at)) THEN
        RAISE EXCEPTION 'the sensor was worn by somebody who was erased' USING ERRCODE = 'exclusion_violation', CONSTRAINT = 'assignment_after_erasure';
    END IF;
    IF being_erased(NEW.org_id, NEW.patient_id) THEN
        RAISE EXCEPTION 'the person is being erased' USING ERRCODE = 'exclusion_violation', CONSTRAINT = 'assignment_after_erasure';
    END IF;
    UPDATE erased_span s SET to_at = NEW.from_at WHERE s.sensor_id = NEW.sensor_id AND s.to_at IS NULL AND s.from_at < NEW.from_at;
    RETURN NEW;
END
$$;
-- +goose StatementEnd
REVOKE ALL ON FUNCTION erase_rows(integer, bigint, text, integer[], timestamptz), erase_readings(integer, bigint, bigint, timestamptz, timestamptz, integer, timestamptz),
    find_audit(integer, bigint, boolean, bigint, bigint), blank_audit(integer, bigint, boolean, bigint[], bigint, uuid, timestamptz), rewrite_erased(bigint, text),
    drop_erased_reading(), blank_erased_refusal(), after_erasure(), erased_people(integer, bigint), erased_caregivers(integer, bigint),
    erased_names(integer, bigint), being_erased(integer, bigint), touched_by_erasure(integer, bigint) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION erase_rows(integer, bigint, text, integer[], timestamptz), erase_readings(integer, bigint, bigint, timestamptz, timestamptz, integer, timestamptz),
    find_audit(integer, bigint, boolean, bigint, bigint), blank_audit(integer, bigint, boolean, bigint[], bigint, uuid, timestamptz), rewrite_erased(bigint, text),
    erased_people(integer, bigint), touched_by_erasure(integer, bigint) TO hale_work;
GRANT EXECUTE ON FUNCTION drop_erased_reading(), blank_erased_refusal(), after_erasure() TO hale_owner;
SET LOCAL ROLE hale_owner;
CREATE TRIGGER inbox_not_of_the_erased BEFORE INSERT ON inbox FOR EACH ROW EXECUTE FUNCTION drop_erased_reading();
CREATE TRIGGER quarantine_not_of_the_erased BEFORE INSERT ON quarantine FOR EACH ROW EXECUTE FUNCTION blank_erased_refusal();
CREATE TRIGGER assignment_after_the_erased BEFORE INSERT OR UPDATE OF from_at, sensor_id ON assignment FOR EACH ROW EXECUTE FUNCTION after_erasure();
RESET ROLE;
