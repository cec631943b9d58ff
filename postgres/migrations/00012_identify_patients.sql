-- Why: a person is known to others by what their systems call them, and comes in by files. Identifiers say who is who, never a
-- name; a file is checked before it is taken in, taken in from exactly that text, and tells of each line what became of it.
-- What a file changes of a person is kept, since the audit trail holds no names. Two people who may be one wait for somebody
-- to look. Staff who come in by a file choose their own password, once, with a code that ends.
-- +goose Up
SET LOCAL ROLE hale_owner;

-- What two names have in common that may be one person's: the words without case, accents and punctuation, in the order of the
-- alphabet, for one hospital writes "NOVAK, MARIJA" and the next one "Márija Novak". It finds whom to ask about, and says of
-- nobody who they are.
-- +goose StatementBegin
CREATE FUNCTION name_key(name text) RETURNS text LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE AS $$
    SELECT coalesce(string_agg(word, ' ' ORDER BY word COLLATE "C"), '')
    FROM regexp_split_to_table(
        replace(replace(replace(replace(
            translate(lower(regexp_replace(normalize(name, NFKD), '[\u0300-\u036f]', '', 'g') COLLATE "und-x-icu"), 'đðłøıħŧς''’ʼ`', 'ddloihtσ'),
            'ß', 'ss'), 'æ', 'ae'), 'œ', 'oe'), 'þ', 'th') COLLATE "und-x-icu",
        '[^[:alnum:]]+') AS word
    WHERE word <> ''
$$;
-- +goose StatementEnd
-- A column and not an index on the expression: row level security lets no function that may tell what it saw use an index.
ALTER TABLE patient ADD COLUMN name_key text GENERATED ALWAYS AS (name_key(name)) STORED;
CREATE INDEX patient_name_key ON patient (org_id, name_key);

-- The date of birth as far as it is known (FHIR R4 date). birth_year is its year, whichever of the two is written.
ALTER TABLE patient ADD COLUMN birth_date text NOT NULL DEFAULT '' CHECK (birth_date ~ '^([0-9]{4}(-[0-9]{2}(-[0-9]{2})?)?)?$');
-- +goose StatementBegin
CREATE FUNCTION keep_birth_in_step() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NEW.birth_date <> '' AND (TG_OP = 'INSERT' OR NEW.birth_date IS DISTINCT FROM OLD.birth_date OR NEW.birth_year = left(NEW.birth_date, 4)::int) THEN
        NEW.birth_year := left(NEW.birth_date, 4)::int;
    ELSE
        NEW.birth_date := CASE WHEN NEW.birth_year = 0 THEN '' ELSE lpad(NEW.birth_year::text, 4, '0') END;
    END IF;
    RETURN NEW;
END
$$;
-- +goose StatementEnd
CREATE TRIGGER patient_birth_in_step BEFORE INSERT OR UPDATE OF birth_date, birth_year ON patient FOR EACH ROW EXECUTE FUNCTION keep_birth_in_step();

-- A system that gives identifiers, when the organisation says something about it. What is not here tells large letters from small.
CREATE TABLE identifier_system (
    org_id     integer NOT NULL REFERENCES org,
    uri        text NOT NULL CHECK (uri <> ''),
    title      text NOT NULL,
    folds      boolean NOT NULL, -- large and small letters are the same
    created_at timestamptz NOT NULL,
    PRIMARY KEY (org_id, uri)
);

-- The programme's own number is patient.number and never here. key is what is compared; value is what was written.
CREATE TABLE patient_identifier (
    org_id     integer NOT NULL,
    id         bigint GENERATED ALWAYS AS IDENTITY,
    uid        uuid NOT NULL UNIQUE,
    patient_id bigint NOT NULL,
    system     text NOT NULL CHECK (system <> ''),
    value      text NOT NULL CHECK (value <> ''),
    key        text NOT NULL CHECK (key <> ''),
    use        text NOT NULL DEFAULT '' CHECK (use IN ('', 'usual', 'official', 'temp', 'secondary', 'old')),
    from_when  text NOT NULL DEFAULT '', -- as FHIR R4 writes the ends of a period
    to_when    text NOT NULL DEFAULT '',
    until_at   timestamptz,              -- when to_when is over
    added_at   timestamptz NOT NULL,
    ended_at   timestamptz,
    end_reason text NOT NULL DEFAULT '',
    PRIMARY KEY (org_id, id),
    CHECK ((ended_at IS NULL) = (end_reason = '')),
    CHECK ((to_when = '') = (until_at IS NULL)),
    FOREIGN KEY (org_id, patient_id) REFERENCES patient (org_id, id)
);
CREATE UNIQUE INDEX patient_identifier_in_force ON patient_identifier (org_id, system, key) WHERE ended_at IS NULL;
CREATE INDEX patient_identifier_of_patient ON patient_identifier (org_id, patient_id);

-- A file: its text stays as long as somebody may mend and send again what was refused.
CREATE TABLE import (
    org_id      integer NOT NULL REFERENCES org,
    id          bigint GENERATED ALWAYS AS IDENTITY,
    uid         uuid NOT NULL UNIQUE,
    kind        text NOT NULL CHECK (kind IN ('patients', 'staff')),
    hash        bytea NOT NULL CHECK (length(hash) = 32),
    content     bytea,
    options     jsonb NOT NULL,
    rows        integer NOT NULL CHECK (rows >= 0),
    done        integer NOT NULL DEFAULT 0 CHECK (done BETWEEN 0 AND rows),
    state       text NOT NULL DEFAULT 'checked' CHECK (state IN ('checked', 'running', 'done')),
    actor_id    bigint,
    actor_name  text NOT NULL,
    created_at  timestamptz NOT NULL,
    finished_at timestamptz,
    PRIMARY KEY (org_id, id),
    CHECK ((state = 'done') = (finished_at IS NOT NULL)),
    FOREIGN KEY (org_id, actor_id) REFERENCES staff (org_id, id)
);
CREATE INDEX import_of_text ON import (org_id, hash);
CREATE INDEX import_newest ON import (org_id, created_at DESC);

-- What became of each row of a file. problem names nobody.
CREATE TABLE import_line (
    org_id     integer NOT NULL,
    import_id  bigint NOT NULL,
    row        integer NOT NULL CHECK (row > 0),
    line       integer NOT NULL CHECK (line > 0),
    entry      integer NOT NULL DEFAULT 0 CHECK (entry >= 0), -- of a Bundle
    outcome    text NOT NULL CHECK (outcome IN ('new', 'same', 'changed', 'double', 'refused')),
    patient_id bigint,
    field      text NOT NULL DEFAULT '',
    problem    text NOT NULL DEFAULT '',
    other_ids  bigint[] NOT NULL DEFAULT '{}', -- patients whom it may be: their names are looked up when somebody reads
    PRIMARY KEY (org_id, import_id, row),
    FOREIGN KEY (org_id, import_id) REFERENCES import (org_id, id) ON DELETE CASCADE,
    FOREIGN KEY (org_id, patient_id) REFERENCES patient (org_id, id)
);
CREATE INDEX import_line_of_patient ON import_line (org_id, patient_id) WHERE patient_id IS NOT NULL;

-- What was changed of who somebody is: from what to what.
CREATE TABLE patient_change (
    org_id     integer NOT NULL,
    id         bigint GENERATED ALWAYS AS IDENTITY,
    patient_id bigint NOT NULL,
    at         timestamptz NOT NULL,
    actor_id   bigint,
    actor_name text NOT NULL,
    source     text NOT NULL, -- "import 0192..." or what else changed it
    field      text NOT NULL CHECK (field IN ('name', 'birth_date', 'sex', 'number')),
    before     text NOT NULL,
    after      text NOT NULL,
    PRIMARY KEY (org_id, id),
    FOREIGN KEY (org_id, patient_id) REFERENCES patient (org_id, id),
    FOREIGN KEY (org_id, actor_id) REFERENCES staff (org_id, id)
);
CREATE INDEX patient_change_of_patient ON patient_change (org_id, patient_id, at);

-- Two records that may be one person's. Once somebody has said that they are two people, nobody is asked again.
CREATE TABLE possible_double (
    org_id       integer NOT NULL,
    id           bigint GENERATED ALWAYS AS IDENTITY,
    uid          uuid NOT NULL UNIQUE,
    patient_id   bigint NOT NULL,
    other_id     bigint NOT NULL,
    state        text NOT NULL DEFAULT 'open' CHECK (state IN ('open', 'two_people', 'merged')),
    found_at     timestamptz NOT NULL,
    decided_at   timestamptz,
    decided_by   bigint,
    decided_name text NOT NULL DEFAULT '',
    reason       text NOT NULL DEFAULT '',
    PRIMARY KEY (org_id, id),
    UNIQUE (org_id, patient_id, other_id),
    CHECK (patient_id < other_id),
    CHECK ((state = 'open') = (decided_at IS NULL)),
    FOREIGN KEY (org_id, patient_id) REFERENCES patient (org_id, id),
    FOREIGN KEY (org_id, other_id) REFERENCES patient (org_id, id),
    FOREIGN KEY (org_id, decided_by) REFERENCES staff (org_id, id)
);
CREATE INDEX possible_double_other ON possible_double (org_id, other_id);

-- A code with which somebody new sets their own first password.
CREATE TABLE staff_invitation (
    org_id     integer NOT NULL,
    staff_id   bigint NOT NULL,
    code_hash  bytea NOT NULL UNIQUE CHECK (length(code_hash) = 32),
    created_at timestamptz NOT NULL,
    expires_at timestamptz NOT NULL CHECK (expires_at > created_at),
    used_at    timestamptz,
    PRIMARY KEY (org_id, staff_id),
    FOREIGN KEY (org_id, staff_id) REFERENCES staff (org_id, id)
);

SELECT isolate(t) FROM unnest(ARRAY['identifier_system', 'patient_identifier', 'import', 'import_line', 'patient_change', 'possible_double', 'staff_invitation']::regclass[]) t;
SELECT keep_to_patients(t) FROM unnest(ARRAY['patient_identifier', 'import_line', 'patient_change']::regclass[]) t;
SELECT keep_to_patients('possible_double',
    'patient_id IN (SELECT mine.patient_id FROM my_patients() mine) AND other_id IN (SELECT mine.patient_id FROM my_patients() mine)');
-- A file tells of many people: it is for those who look after the organisation.
SELECT keep_to_patients('import', 'false');

-- A file may bring more people at once than there were. What was planned for a few of them, the checks of references above all,
-- would then read all of them for each; autovacuum comes a minute too late.
-- +goose StatementBegin
CREATE FUNCTION look_anew_at_people() RETURNS void LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
BEGIN
    ANALYZE patient, patient_identifier, rule, import_line;
END
$$;
-- +goose StatementEnd
REVOKE ALL ON FUNCTION look_anew_at_people() FROM PUBLIC;
GRANT EXECUTE ON FUNCTION look_anew_at_people() TO hale_app;

GRANT EXECUTE ON FUNCTION name_key(text) TO hale_app, hale_work;
GRANT SELECT, INSERT ON identifier_system, patient_identifier, import, import_line, patient_change, possible_double, staff_invitation TO hale_app;
GRANT UPDATE (title, folds) ON identifier_system TO hale_app;
GRANT UPDATE (ended_at, end_reason) ON patient_identifier TO hale_app;
GRANT UPDATE (content, done, state, finished_at) ON import TO hale_app;
GRANT UPDATE (outcome, patient_id, field, problem) ON import_line TO hale_app;
GRANT UPDATE (state, decided_at, decided_by, decided_name, reason) ON possible_double TO hale_app;
GRANT UPDATE (code_hash, created_at, expires_at, used_at) ON staff_invitation TO hale_app;
GRANT UPDATE (name, birth_date, birth_year, sex, number) ON patient TO hale_app;
GRANT INSERT ON staff TO hale_app;

RESET ROLE; -- the owner is held to an organisation and sees no row
UPDATE patient SET birth_date = lpad(birth_year::text, 4, '0') WHERE birth_year > 0;

-- Whoever has a code is in no organisation yet: two look-ups by an unguessable key pass the policy.
GRANT SELECT, UPDATE ON staff_invitation TO hale_migrate;
-- +goose StatementBegin
CREATE FUNCTION find_invitation(given_hash bytea, at timestamptz)
RETURNS TABLE (org_id integer, organisation text, staff_id bigint, login text, name text)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = public, pg_temp AS $$
    SELECT s.org_id, o.name, s.id, s.login, s.name
    FROM staff_invitation i JOIN staff s ON s.org_id = i.org_id AND s.id = i.staff_id JOIN org o ON o.id = i.org_id
    WHERE i.code_hash = given_hash AND i.used_at IS NULL AND i.expires_at > at AND s.disabled_at IS NULL
$$;
-- +goose StatementEnd
-- +goose StatementBegin
-- Sets the first password and uses the code up; true when the code was good, and the moment's only taker gets it.
CREATE FUNCTION accept_invitation(given_hash bytea, new_password_hash text, at timestamptz) RETURNS boolean
LANGUAGE sql VOLATILE SECURITY DEFINER SET search_path = public, pg_temp AS $$
    WITH used AS (
        UPDATE staff_invitation i SET used_at = at WHERE i.code_hash = given_hash AND i.used_at IS NULL AND i.expires_at > at
        RETURNING i.org_id, i.staff_id
    ), done AS (
        UPDATE staff s SET password_hash = new_password_hash FROM used u WHERE s.org_id = u.org_id AND s.id = u.staff_id AND s.disabled_at IS NULL
        RETURNING s.id
    )
    SELECT EXISTS (SELECT FROM done)
$$;
-- +goose StatementEnd
REVOKE ALL ON FUNCTION find_invitation(bytea, timestamptz), accept_invitation(bytea, text, timestamptz) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION find_invitation(bytea, timestamptz), accept_invitation(bytea, text, timestamptz) TO hale_app;
