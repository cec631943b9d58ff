-- Why: what the planner samples outlives what was deleted. Numbers and words of a device lead to whoever had it.
-- +goose Up
SET LOCAL ROLE hale_owner;

ALTER TABLE sensor ALTER COLUMN uid SET STATISTICS 0, ALTER COLUMN serial SET STATISTICS 0, ALTER COLUMN lot SET STATISTICS 0,
    ALTER COLUMN firmware SET STATISTICS 0, ALTER COLUMN calibration_due SET STATISTICS 0;
ALTER TABLE sensor_presence ALTER COLUMN firmware SET STATISTICS 0;
ALTER TABLE device_cert ALTER COLUMN serial SET STATISTICS 0;
ALTER TABLE device_claim ALTER COLUMN batch SET STATISTICS 0, ALTER COLUMN serial SET STATISTICS 0;
ALTER TABLE pairing_code ALTER COLUMN lookup SET STATISTICS 0;
ALTER TABLE incident ALTER COLUMN why SET STATISTICS 0;

RESET ROLE;
