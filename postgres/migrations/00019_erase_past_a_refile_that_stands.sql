-- Why: a refile that stands still and never succeeds must not keep a person from being erased: the erasure goes ahead, ends it,
-- and takes also what is still filed under somebody else of the time in which the person wore a sensor. And where only `hale serve`
-- runs, the planner's statistics kept samples of names and numbers after it: of more columns they are not taken any more.
-- +goose Up
RESET ROLE;

-- +goose StatementBegin
-- As in 00015, but that a refile which stands still is ended rather than waited for.
CREATE OR REPLACE FUNCTION erase_rows(given_org integer, given_erasure bigint, given_phase text, held integer[], at timestamptz)
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
    -- Half of what a refile moves would stay with somebody else: it ends first, unless it says itself that it stands still.
    IF given_phase = 'cut off' AND EXISTS (SELECT FROM refile f JOIN erased_people(given_org, person) x ON x IN (f.source_id, f.target_id)
        WHERE f.org_id = given_org AND f.state = 'running' AND f.problem = '') THEN
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
-- Deletes readings, at most so many, that were measured in a span of a person who is erased and stand under somebody else: a
-- refile that never ended, or a backup in which it had not begun. It returns from whom they were taken, and from when on.
CREATE FUNCTION erase_elsewhere(given_org integer, given_erasure bigint, most integer, at timestamptz) RETURNS TABLE (patient bigint, since timestamptz, readings bigint)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
BEGIN
    IF NOT EXISTS (SELECT FROM erasure e WHERE e.org_id = given_org AND e.id = given_erasure AND (e.state = 'done'
        OR e.state = 'erasing' AND e.cut_at IS NOT NULL AND EXISTS (SELECT FROM erasure_item i WHERE i.org_id = given_org AND i.erasure_id = given_erasure
            AND i.class = 'readings' AND coalesce(i.keep_until, '-infinity') <= at))) THEN
        RAISE EXCEPTION 'the readings of erasure % are not due', given_erasure;
    END IF;
    RETURN QUERY WITH theirs AS MATERIALIZED (
        SELECT s.sensor_id, s.from_at, least(coalesce(s.to_at, s.erased_at), s.erased_at) AS until
        FROM erased_span s WHERE s.org_id = given_org AND s.erasure_id = given_erasure
    ), chosen AS MATERIALIZED (
        SELECT r.sensor_id, r.metric, r.sent_at, r.tie FROM theirs s JOIN reading r ON r.sensor_id = s.sensor_id
            AND r.sent_at BETWEEN s.from_at - interval '1 day' AND s.until + interval '1 day' AND r.measured_at >= s.from_at AND r.measured_at < s.until
        LIMIT most
    ), taken AS (
        DELETE FROM reading r USING chosen c WHERE (r.sensor_id, r.metric, r.sent_at, r.tie) = (c.sensor_id, c.metric, c.sent_at, c.tie)
        RETURNING r.patient_id, r.measured_at
    ) SELECT t.patient_id, min(t.measured_at), count(*) FROM taken t GROUP BY t.patient_id;
END
$$;
-- +goose StatementEnd
REVOKE ALL ON FUNCTION erase_elsewhere(integer, bigint, integer, timestamptz) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION erase_elsewhere(integer, bigint, integer, timestamptz) TO hale_work;
-- The replay on a restored backup takes a sensor from whom it had been given by mistake.
GRANT INSERT ON assignment TO hale_migrate;

-- +goose StatementBegin
-- As in 00015, and the samples are taken anew of what is left.
CREATE OR REPLACE FUNCTION rewrite_erased(most bigint, only_table text) RETURNS boolean
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
    EXECUTE format('ANALYZE public.%I', t.relname); -- the planner's samples of what was deleted go with it
    RETURN true;
END
$$;
-- +goose StatementEnd

SET LOCAL ROLE hale_owner;
ALTER TABLE caregiver ALTER COLUMN phone SET STATISTICS 0;
ALTER TABLE break_glass ALTER COLUMN finding SET STATISTICS 0;
ALTER TABLE patient ALTER COLUMN name_key SET STATISTICS 0, ALTER COLUMN birth_date SET STATISTICS 0;
ALTER TABLE patient_identifier ALTER COLUMN value SET STATISTICS 0, ALTER COLUMN key SET STATISTICS 0, ALTER COLUMN end_reason SET STATISTICS 0;
ALTER TABLE patient_change ALTER COLUMN actor_name SET STATISTICS 0, ALTER COLUMN source SET STATISTICS 0;
ALTER TABLE import ALTER COLUMN content SET STATISTICS 0, ALTER COLUMN actor_name SET STATISTICS 0, ALTER COLUMN options SET STATISTICS 0;
ALTER TABLE import_line ALTER COLUMN problem SET STATISTICS 0, ALTER COLUMN field SET STATISTICS 0;
ALTER TABLE possible_double ALTER COLUMN reason SET STATISTICS 0, ALTER COLUMN decided_name SET STATISTICS 0;
ALTER TABLE caregiver_grant ALTER COLUMN document SET STATISTICS 0, ALTER COLUMN reason SET STATISTICS 0, ALTER COLUMN recorded_by SET STATISTICS 0;
ALTER TABLE consent_decision ALTER COLUMN decided_by SET STATISTICS 0, ALTER COLUMN through SET STATISTICS 0;
ALTER TABLE correction ALTER COLUMN about SET STATISTICS 0, ALTER COLUMN answer SET STATISTICS 0, ALTER COLUMN decided_name SET STATISTICS 0;
ALTER TABLE ending_step ALTER COLUMN actor_name SET STATISTICS 0, ALTER COLUMN note SET STATISTICS 0;
ALTER TABLE erasure ALTER COLUMN answer SET STATISTICS 0, ALTER COLUMN receipt SET STATISTICS 0;
ALTER TABLE private_item ALTER COLUMN marked_by SET STATISTICS 0, ALTER COLUMN unmarked_by SET STATISTICS 0;
ALTER TABLE session ALTER COLUMN label SET STATISTICS 0;
ALTER TABLE provider_session ALTER COLUMN subject SET STATISTICS 0, ALTER COLUMN sitting SET STATISTICS 0;
ALTER TABLE invitation ALTER COLUMN lookup SET STATISTICS 0;
ALTER TABLE refile ALTER COLUMN asked_name SET STATISTICS 0;
ALTER TABLE merge ALTER COLUMN asked_name SET STATISTICS 0, ALTER COLUMN undo_name SET STATISTICS 0;
ALTER TABLE rule_version ALTER COLUMN author_name SET STATISTICS 0;
ALTER TABLE episode ALTER COLUMN ack_name SET STATISTICS 0;
ALTER TABLE timeline ALTER COLUMN actor_name SET STATISTICS 0;
ALTER TABLE outbox ALTER COLUMN dedup SET STATISTICS 0;
ALTER TABLE quarantine ALTER COLUMN topic SET STATISTICS 0;
RESET ROLE;
