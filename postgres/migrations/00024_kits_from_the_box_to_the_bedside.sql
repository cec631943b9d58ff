-- Why: a patient gets a kit, not a device: a type says what a device is and can measure, a kit holds what one household uses, and a
-- user slot of a shared device is a sensor of its own. What is at home today, and who has it, is one question.
-- +goose Up
SET LOCAL ROLE hale_owner;

-- What a maker makes. A set is shipped to every organisation, which adds its own.
CREATE TABLE device_type (
    org_id     integer NOT NULL REFERENCES org,
    id         bigint GENERATED ALWAYS AS IDENTITY UNIQUE,
    uid        uuid NOT NULL UNIQUE,
    maker      text NOT NULL CHECK (maker <> ''),
    model      text NOT NULL CHECK (model <> ''),
    kind       text NOT NULL CHECK (kind IN ('gateway', 'tablet', 'cuff', 'scale', 'oximeter', 'thermometer', 'glucometer', 'spirometer', 'patch', 'tracker', 'other')),
    metrics    text[] NOT NULL DEFAULT '{}', -- codes of what it can measure; none: it only carries what others measured
    user_slots smallint NOT NULL DEFAULT 1 CHECK (user_slots BETWEEN 1 AND 255), -- users whom it tells apart
    shipped    boolean NOT NULL DEFAULT false,
    added_at   timestamptz NOT NULL,
    PRIMARY KEY (org_id, id)
);
CREATE UNIQUE INDEX device_type_once ON device_type (org_id, lower(maker), lower(model));

-- What a sensor is, whether it connects itself (then it is a device's own) or a gateway speaks for it.
ALTER TABLE sensor ADD COLUMN type_id bigint;
ALTER TABLE sensor ADD COLUMN serial text NOT NULL DEFAULT '';
ALTER TABLE sensor ADD COLUMN lot text NOT NULL DEFAULT '';
ALTER TABLE sensor ADD COLUMN firmware text NOT NULL DEFAULT '';
ALTER TABLE sensor ADD COLUMN calibration_due date;
ALTER TABLE sensor ADD FOREIGN KEY (org_id, type_id) REFERENCES device_type (org_id, id);
CREATE INDEX sensor_of_type ON sensor (org_id, type_id) WHERE type_id IS NOT NULL;

-- A user slot of a shared sensor is a sensor: it is assigned, filed anew and erased like any other. What it is, the shared one says.
ALTER TABLE sensor ADD COLUMN parent_id bigint;
ALTER TABLE sensor ADD COLUMN slot smallint CHECK (slot BETWEEN 0 AND 254);
ALTER TABLE sensor ADD COLUMN slot_since timestamptz; -- from which time as sent on; null: always
ALTER TABLE sensor ADD CONSTRAINT sensor_slot_of_parent CHECK ((parent_id IS NULL) = (slot IS NULL) AND (parent_id IS NULL OR device_id IS NULL AND type_id IS NULL));
ALTER TABLE sensor ADD FOREIGN KEY (org_id, parent_id) REFERENCES sensor (org_id, id);
CREATE UNIQUE INDEX sensor_slot ON sensor (org_id, parent_id, slot) WHERE parent_id IS NOT NULL;

-- What is handed out together.
CREATE TABLE kit (
    org_id    integer NOT NULL REFERENCES org,
    id        bigint GENERATED ALWAYS AS IDENTITY UNIQUE,
    uid       uuid NOT NULL UNIQUE,
    label     text NOT NULL CHECK (label <> ''),
    state     text NOT NULL DEFAULT 'stock' CHECK (state IN ('stock', 'issued', 'accepted', 'returned', 'cleaning', 'retired')),
    state_at  timestamptz NOT NULL,
    issued_at timestamptz, -- the latest time
    cuff_at   timestamptz, -- when the size of the cuff was confirmed at home, since it was issued
    made_at   timestamptz NOT NULL,
    PRIMARY KEY (org_id, id),
    CHECK (state NOT IN ('issued', 'accepted') OR issued_at IS NOT NULL)
);
CREATE UNIQUE INDEX kit_label ON kit (org_id, lower(label));

-- A device is in one kit at a time; the sensors that it speaks for come with it.
CREATE TABLE kit_item (
    org_id    integer NOT NULL,
    id        bigint GENERATED ALWAYS AS IDENTITY UNIQUE,
    kit_id    bigint NOT NULL,
    device_id bigint NOT NULL,
    from_at   timestamptz NOT NULL,
    to_at     timestamptz CHECK (to_at >= from_at),
    PRIMARY KEY (org_id, id),
    FOREIGN KEY (org_id, kit_id) REFERENCES kit (org_id, id),
    FOREIGN KEY (org_id, device_id) REFERENCES device (org_id, id)
);
CREATE UNIQUE INDEX kit_item_device ON kit_item (org_id, device_id) WHERE to_at IS NULL;
CREATE INDEX kit_item_of_kit ON kit_item (org_id, kit_id);

-- Who has a kit, over time: one person, or the people of a household who share it.
CREATE TABLE kit_holder (
    org_id     integer NOT NULL,
    id         bigint GENERATED ALWAYS AS IDENTITY UNIQUE,
    kit_id     bigint NOT NULL,
    patient_id bigint NOT NULL,
    from_at    timestamptz NOT NULL,
    to_at      timestamptz CHECK (to_at >= from_at),
    named_at   timestamptz, -- when their name was confirmed at home
    PRIMARY KEY (org_id, id),
    FOREIGN KEY (org_id, kit_id) REFERENCES kit (org_id, id),
    FOREIGN KEY (org_id, patient_id) REFERENCES patient (org_id, id)
);
CREATE INDEX kit_holder_of_kit ON kit_holder (org_id, kit_id);
CREATE INDEX kit_holder_of_patient ON kit_holder (patient_id);

-- What was done with a kit. Whom it concerned stands in kit_holder, which an erasure can take.
CREATE TABLE kit_event (
    org_id     integer NOT NULL,
    id         bigint GENERATED ALWAYS AS IDENTITY,
    kit_id     bigint NOT NULL,
    at         timestamptz NOT NULL,
    actor_id   bigint, -- of staff
    actor_name text NOT NULL,
    actor_role text NOT NULL,
    what       text NOT NULL,
    detail     text NOT NULL DEFAULT '',
    PRIMARY KEY (org_id, id),
    FOREIGN KEY (org_id, kit_id) REFERENCES kit (org_id, id),
    FOREIGN KEY (org_id, actor_id) REFERENCES staff (org_id, id)
);
CREATE INDEX kit_event_of_kit ON kit_event (org_id, kit_id, id);
CREATE TRIGGER kit_event_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON kit_event FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();

SELECT isolate(t) FROM unnest(ARRAY['device_type', 'kit', 'kit_item', 'kit_holder', 'kit_event']::regclass[]) t;
SELECT keep_to_patients('kit_holder');
-- Reading: staff; and patients what they themselves have, for the copy of their record.
SELECT keep_to_views(t, '{SELECT}', '{staff}') FROM unnest(ARRAY['device_type', 'kit_item', 'kit_event']::regclass[]) t;
SELECT keep_to_views('kit_holder', '{SELECT}', '{staff,patient}');
SELECT keep_to_views('kit', '{SELECT}', '{staff,patient}',
    $$(SELECT current_setting('app.view', true) = 'staff') OR EXISTS (SELECT FROM kit_holder h WHERE h.org_id = kit.org_id AND h.kit_id = kit.id)$$);
-- Writing: those who look after the organisation.
SELECT keep_to_views(t, '{INSERT,UPDATE,DELETE}', '{}') FROM unnest(ARRAY['device_type', 'kit', 'kit_item', 'kit_holder', 'kit_event']::regclass[]) t;

GRANT SELECT, INSERT ON device_type, kit_event TO hale_app;
GRANT SELECT, INSERT, UPDATE (state, state_at, issued_at, cuff_at, label) ON kit TO hale_app;
GRANT SELECT, INSERT, UPDATE (to_at) ON kit_item TO hale_app;
GRANT SELECT, INSERT, UPDATE (to_at, named_at, patient_id) ON kit_holder TO hale_app; -- a merge gives a kit to the record that lives
GRANT UPDATE (type_id, serial, lot, firmware, calibration_due) ON sensor TO hale_app;

-- A gateway gets further sensors, and some are taken from it. The row stays: what came by it before is still told apart by it, and erased.
ALTER TABLE gateway_grant ADD COLUMN ended_at timestamptz; -- null: the gateway speaks for the sensor
GRANT UPDATE (ended_at) ON gateway_grant TO hale_app;
GRANT SELECT ON device_type, kit, kit_item, kit_holder TO hale_work;
GRANT UPDATE (firmware) ON sensor TO hale_work; -- as a device says of itself
GRANT SELECT, UPDATE, DELETE ON kit_holder TO hale_migrate; -- erasure
GRANT SELECT, INSERT ON device_type TO hale_migrate;
ALTER TABLE kit_event ALTER COLUMN actor_name SET STATISTICS 0;

RESET ROLE;

-- +goose StatementBegin
-- Gives an organisation the types that are shipped. What it knows already by maker and model stays as it is.
CREATE FUNCTION ship_device_types(given_org integer, at timestamptz) RETURNS void
LANGUAGE sql SECURITY DEFINER SET search_path = public, pg_temp AS $$
    INSERT INTO device_type (org_id, uid, maker, model, kind, metrics, user_slots, shipped, added_at)
    SELECT given_org, gen_random_uuid(), t.maker, t.model, t.kind, t.metrics::text[], t.user_slots, true, at FROM (VALUES
        ('Any', 'gateway', 'gateway', '{}', 1),
        ('Any', 'tablet', 'tablet', '{}', 1),
        ('Any', 'blood pressure cuff', 'cuff', '{blood_pressure,heart_rate}', 1),
        ('Any', 'blood pressure cuff for two', 'cuff', '{blood_pressure,heart_rate}', 2),
        ('Any', 'scale', 'scale', '{body_weight}', 1),
        ('Any', 'family scale', 'scale', '{body_weight,body_water,muscle_mass}', 8),
        ('Any', 'pulse oximeter', 'oximeter', '{oxygen_saturation,heart_rate}', 1),
        ('Any', 'thermometer', 'thermometer', '{body_temperature}', 1),
        ('Any', 'glucose meter', 'glucometer', '{glucose,glucose_fasting,glucose_postmeal}', 1),
        ('Any', 'spirometer', 'spirometer', '{fev1,peak_flow}', 1),
        ('Any', 'patch', 'patch', '{heart_rate,respiratory_rate,skin_temperature}', 1),
        ('Any', 'activity tracker', 'tracker', '{steps,sleep_duration,heart_rate}', 1),
        ('A&D', 'UA-651BLE', 'cuff', '{blood_pressure,heart_rate}', 1),
        ('A&D', 'UC-352BLE', 'scale', '{body_weight}', 1),
        ('A&D', 'UT-201BLE', 'thermometer', '{body_temperature}', 1),
        ('Nonin', '3230', 'oximeter', '{oxygen_saturation,heart_rate}', 1),
        ('Omron', 'HEM-7322T', 'cuff', '{blood_pressure,heart_rate}', 2),
        ('Roche', 'Accu-Chek Guide', 'glucometer', '{glucose,glucose_fasting,glucose_postmeal}', 1)
    ) t (maker, model, kind, metrics, user_slots)
    ON CONFLICT (org_id, lower(maker), lower(model)) DO NOTHING
$$;
-- +goose StatementEnd
REVOKE ALL ON FUNCTION ship_device_types(integer, timestamptz) FROM PUBLIC;
-- +goose StatementBegin
CREATE FUNCTION ship_to_new_organisation() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
BEGIN
    PERFORM ship_device_types(NEW.id, NEW.created_at);
    RETURN NULL;
END
$$;
-- +goose StatementEnd
REVOKE ALL ON FUNCTION ship_to_new_organisation() FROM PUBLIC;
GRANT EXECUTE ON FUNCTION ship_to_new_organisation() TO hale_owner;
SELECT ship_device_types(id, now()) FROM org;
SET LOCAL ROLE hale_owner;
CREATE TRIGGER org_device_types AFTER INSERT ON org FOR EACH ROW EXECUTE FUNCTION ship_to_new_organisation();
RESET ROLE;

-- +goose StatementBegin
-- As in 00015, and of who had a user slot of a shared device too: what is refused names the shared sensor, if any.
CREATE OR REPLACE FUNCTION blank_erased_refusal() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
BEGIN
    IF EXISTS (SELECT FROM (
            SELECT n.id, true AS own, n.uid FROM sensor n WHERE n.org_id = NEW.org_id AND n.device_id = NEW.device_id
            UNION ALL SELECT n.id, false, n.uid FROM gateway_grant g JOIN sensor n ON n.org_id = g.org_id AND n.id = g.sensor_id WHERE g.org_id = NEW.org_id AND g.device_id = NEW.device_id
            UNION ALL SELECT c.id, true, n.uid FROM sensor n JOIN sensor c ON c.org_id = n.org_id AND c.parent_id = n.id WHERE n.org_id = NEW.org_id AND n.device_id = NEW.device_id
            UNION ALL SELECT c.id, false, n.uid FROM gateway_grant g JOIN sensor n ON n.org_id = g.org_id AND n.id = g.sensor_id JOIN sensor c ON c.org_id = n.org_id AND c.parent_id = n.id
                WHERE g.org_id = NEW.org_id AND g.device_id = NEW.device_id
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
