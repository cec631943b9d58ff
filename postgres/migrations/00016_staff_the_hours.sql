-- Why: somebody is watching, or everybody knows that nobody is. A care team's hours are versions, so that what was promised at
-- any time can be told; shifts say who of the team is on duty, who stands behind them, and who leads.
-- +goose Up
SET LOCAL ROLE hale_owner;

CREATE TABLE team_hours (
    org_id         integer NOT NULL,
    team_id        bigint NOT NULL,
    number         integer NOT NULL CHECK (number > 0),
    effective_from timestamptz NOT NULL,
    hours          jsonb NOT NULL,
    author_id      bigint,
    author_name    text NOT NULL,
    reason         text NOT NULL CHECK (reason <> ''),
    created_at     timestamptz NOT NULL,
    PRIMARY KEY (org_id, team_id, number),
    FOREIGN KEY (org_id, team_id) REFERENCES team (org_id, id),
    FOREIGN KEY (org_id, author_id) REFERENCES staff (org_id, id)
);
CREATE TRIGGER team_hours_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON team_hours FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();

CREATE TABLE shift (
    org_id       integer NOT NULL,
    id           bigint GENERATED ALWAYS AS IDENTITY,
    uid          uuid NOT NULL UNIQUE,
    team_id      bigint NOT NULL,
    staff_id     bigint NOT NULL,
    duty         text NOT NULL CHECK (duty IN ('duty', 'backup', 'supervisor')),
    from_at      timestamptz NOT NULL,
    to_at        timestamptz NOT NULL CHECK (to_at > from_at),
    created_at   timestamptz NOT NULL,
    cancelled_at timestamptz,
    PRIMARY KEY (org_id, id),
    FOREIGN KEY (org_id, team_id) REFERENCES team (org_id, id),
    FOREIGN KEY (org_id, staff_id) REFERENCES staff (org_id, id)
);
CREATE INDEX shift_of_team ON shift (org_id, team_id, to_at) WHERE cancelled_at IS NULL;

-- Who tries out numbers at the glass is counted by these rows, which are few.
CREATE INDEX audit_glass_missed ON audit (org_id, actor_id, at) WHERE action = 'break the glass of nobody';

SELECT isolate('team_hours'), isolate('shift');
GRANT SELECT, INSERT ON team_hours TO hale_app;
GRANT SELECT, INSERT, UPDATE (cancelled_at) ON shift TO hale_app;
GRANT SELECT ON team, team_member, team_patient, team_hours, shift TO hale_work;

RESET ROLE;

-- +goose StatementBegin
-- Takes the password of a member of staff away, who chooses another by a code: for whoever manages the whole organisation.
CREATE FUNCTION take_password_away(staff_id bigint) RETURNS void LANGUAGE sql VOLATILE SECURITY DEFINER SET search_path = public, pg_temp AS $$
    UPDATE staff s SET password_hash = '' WHERE current_setting('app.view', true) = 'org'
        AND s.org_id = nullif(current_setting('app.org', true), '')::int AND s.id = take_password_away.staff_id
$$;
-- +goose StatementEnd
REVOKE ALL ON FUNCTION take_password_away(bigint) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION take_password_away(bigint) TO hale_app;
