-- Run once by the PostgreSQL image, on a new cluster: the login of Hale's processes, and the roles that it takes on, as
-- docs/production.md has them. `hale migrate` comes later, as the superuser. The password is read where this runs.
\set ON_ERROR_STOP on
\set password `cat /run/secrets/serve_password`
CREATE ROLE hale_owner NOLOGIN;
CREATE ROLE hale_migrate NOLOGIN BYPASSRLS;
GRANT hale_owner TO hale_migrate;
CREATE ROLE hale_app NOLOGIN;
CREATE ROLE hale_work NOLOGIN BYPASSRLS;
GRANT USAGE, CREATE ON SCHEMA public TO hale_owner, hale_migrate;
GRANT USAGE ON SCHEMA public TO hale_app, hale_work;
CREATE ROLE hale_serve LOGIN NOINHERIT PASSWORD :'password';
GRANT hale_app, hale_work TO hale_serve;
