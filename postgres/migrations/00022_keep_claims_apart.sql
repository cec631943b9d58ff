-- Why: a process that was held up longer than its lease on an erasure wrote over what another had done meanwhile; and whether a
-- reading of somebody who is erased is parked was decided by another clock than the rest of its batch. One index stood there twice.
-- +goose Up
SET LOCAL ROLE hale_owner;

-- Counts who took the request to carry it out: who was held up finds another number there, and changes nothing.
ALTER TABLE erasure ADD COLUMN claim integer NOT NULL DEFAULT 0;
GRANT UPDATE (claim) ON erasure TO hale_work;

-- The same as audit_glass_missed, which begins with the organisation as every question does.
DROP INDEX audit_glass_of_nobody;
RESET ROLE;

-- +goose StatementBegin
-- As in 00015, but that the reading's own time of arrival says whether a law kept such readings then: the same batch finds the same
-- whenever it is stored. Once they are erased, nothing of them is parked.
CREATE OR REPLACE FUNCTION drop_erased_reading() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
    span bigint;
BEGIN
    SELECT s.id INTO span FROM erased_span s
    WHERE s.id = (SELECT e.id FROM erased_span e WHERE e.sensor_id = NEW.sensor_id AND e.from_at <= NEW.measured_at AND (e.to_at IS NULL OR e.to_at > NEW.measured_at) LIMIT 1)
      AND NOT EXISTS (SELECT FROM assignment a WHERE a.sensor_id = NEW.sensor_id AND a.from_at <= NEW.measured_at AND (a.to_at IS NULL OR a.to_at > NEW.measured_at)
          AND (NOT being_erased(a.org_id, a.patient_id) OR EXISTS (SELECT FROM erasure_item i WHERE i.org_id = s.org_id AND i.erasure_id = s.erasure_id
              AND i.class = 'readings' AND i.done_at IS NULL AND i.keep_until > NEW.received_at)));
    IF FOUND THEN
        -- Whoever counts just now is not waited for: rows of spans have no place in the lock order of a batch.
        UPDATE erased_span s SET dropped = dropped + 1 WHERE s.id = (SELECT e.id FROM erased_span e WHERE e.id = span FOR UPDATE SKIP LOCKED);
        RETURN NULL;
    END IF;
    RETURN NEW;
END
$$;
-- +goose StatementEnd
