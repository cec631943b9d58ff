-- Why: a team counts on those only who may answer alerts and can sign in, so whether somebody has a way in is asked wherever teams
-- are looked at, and whoever manages teams is told of one that is left alone. And nobody gets a login that only looks like another, or
-- a number that a closed record has.
-- +goose Up
SET LOCAL ROLE hale_owner;

-- A notice may be about a care team and no patient; then it is for whoever manages teams, or for the privacy officer.
ALTER TABLE outbox ALTER COLUMN patient_id DROP NOT NULL;
ALTER TABLE outbox DROP CONSTRAINT outbox_audience_check;
ALTER TABLE outbox ADD CONSTRAINT outbox_audience_check CHECK (audience IN ('team', 'patient', 'caregiver', 'privacy_officer', 'manager'));
ALTER TABLE outbox ADD CONSTRAINT outbox_about CHECK (patient_id IS NOT NULL OR audience IN ('privacy_officer', 'manager'));

-- Since when a team's patients have nobody, as far as somebody was told; NULL while somebody is there. A round looks for teams that
-- time alone has left so, and tells once.
ALTER TABLE team ADD COLUMN alone_at timestamptz;
GRANT UPDATE (alone_at) ON team TO hale_work;
GRANT SELECT (org_id, id, role, disabled_at) ON staff TO hale_work;

RESET ROLE;

-- +goose StatementBegin
-- Whether a member of staff has a password or is known to an identity provider. It says neither which, nor anything of another
-- organisation than the one that is acted for.
CREATE FUNCTION has_way_in(in_org integer, staff_id bigint) RETURNS boolean LANGUAGE sql STABLE SECURITY DEFINER SET search_path = public, pg_temp AS $$
    SELECT EXISTS (SELECT FROM staff s WHERE s.org_id = in_org AND s.id = has_way_in.staff_id
        AND in_org = coalesce(nullif(current_setting('app.org', true), '')::int, in_org)
        AND (s.password_hash <> '' OR EXISTS (SELECT FROM staff_identity i WHERE i.org_id = s.org_id AND i.staff_id = s.id)))
$$;
-- +goose StatementEnd
REVOKE ALL ON FUNCTION has_way_in(integer, bigint) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION has_way_in(integer, bigint) TO hale_app, hale_work;

-- +goose StatementBegin
-- Which of these numbers somebody has or had, though it be somebody whose record is closed and in nobody's reach. It says neither whose
-- they are nor why, and answers only those who look after the organisation and bring people in.
CREATE FUNCTION numbers_given(given text[]) RETURNS SETOF text LANGUAGE sql STABLE SECURITY DEFINER SET search_path = public, pg_temp AS $$
    SELECT p.number FROM patient p WHERE p.org_id = nullif(current_setting('app.org', true), '')::integer
        AND current_setting('app.view', true) = 'org' AND p.number = ANY(given) AND p.number <> ''
$$;
-- +goose StatementEnd
REVOKE ALL ON FUNCTION numbers_given(text[]) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION numbers_given(text[]) TO hale_app;

-- +goose StatementBegin
-- Leaves out a login that reads like another, of any organisation (capital letters, wide letters), as ON CONFLICT DO NOTHING leaves out one
-- that is taken: whoever inserts is told so by the row that does not come back. The lock keeps two apart who ask at once.
CREATE FUNCTION leave_out_like_login() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
BEGIN
    PERFORM pg_advisory_xact_lock(hashtextextended('logins', 0)); -- one for all: many may come in together
    IF EXISTS (SELECT FROM staff s WHERE lower(normalize(s.login, NFKC)) = lower(normalize(NEW.login, NFKC)) AND s.login <> NEW.login)
        AND NOT EXISTS (SELECT FROM staff s WHERE s.login = NEW.login) THEN -- one that was there before stays what it is
        RETURN NULL;
    END IF;
    RETURN NEW;
END
$$;
-- +goose StatementEnd
REVOKE ALL ON FUNCTION leave_out_like_login() FROM PUBLIC;
GRANT EXECUTE ON FUNCTION leave_out_like_login() TO hale_owner;

SET LOCAL ROLE hale_owner;
CREATE TRIGGER staff_login_like BEFORE INSERT ON staff FOR EACH ROW EXECUTE FUNCTION leave_out_like_login();
CREATE INDEX staff_login_like ON staff (lower(normalize(login, NFKC)));
RESET ROLE;
